"""Travellers' tickets between protobuf and plain values."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from deeptravel.ticketing.v1 import order_pb2, ticket_pb2
from deeptravel.tickets.v1 import ticket_pb2 as tickets_pb2

from server.api import convert
from server.api.ticketing.offers import offer_message
from server.api.ticketing.orders import CUSTOMER_TYPES, DOCUMENT_TYPES
from server.catalog.operator_cause import DEPARTURE_CANCELLED, DEPARTURE_MOVED
from server.orders.passengers import Passenger, PassengerSeals
from server.orders.travel_tickets import TravelTicket
from server.platform import clock
from server.tickets import qr
from server.tickets.rotating_codes import STEP_SECONDS
from server.tickets.rotating_keys import RotatingKeys

STATES = convert.enum_numbers(tickets_pb2.TicketState)
STATE_NAMES = convert.enum_names(tickets_pb2.TicketState)
DEPARTURE_CHANGES = {
    "": ticket_pb2.DEPARTURE_CHANGE_UNSPECIFIED,
    DEPARTURE_CANCELLED: ticket_pb2.DEPARTURE_CHANGE_CANCELLED,
    DEPARTURE_MOVED: ticket_pb2.DEPARTURE_CHANGE_MOVED,
}


def passengers(
    seals: PassengerSeals, tickets: Sequence[TravelTicket]
) -> Mapping[int, Sequence[Passenger]]:
    """Who travels, by order, of the orders of these tickets."""
    sealed = {ticket.order_id: ticket.order.passengers_sealed for ticket in tickets}
    return {order_id: seals.open(order_id, each) for order_id, each in sealed.items()}


def found(
    seals: PassengerSeals, keys: RotatingKeys, ticket: TravelTicket
) -> ticket_pb2.GetTicketResponse:
    """The answer to GetTicket, as it is made."""
    (shown,) = own_tickets(seals, keys, [ticket], clock.now())
    return ticket_pb2.GetTicketResponse(ticket=shown)


def own_tickets(
    seals: PassengerSeals, keys: RotatingKeys, found: Sequence[TravelTicket], now: datetime
) -> list[ticket_pb2.TravellerTicket]:
    """Tickets for their owner's phone, with what rotating codes are made of: in no answer that is
    kept for a repeat.
    """
    shown = tickets(seals, found)
    for message, ticket in zip(shown, found, strict=True):
        if ticket.shows_code(now):
            message.rotating_code_key.CopyFrom(_code_key(keys, ticket, now))
    return shown


def tickets(
    seals: PassengerSeals, found: Sequence[TravelTicket]
) -> list[ticket_pb2.TravellerTicket]:
    """Tickets as their owner sees them."""
    travelling = passengers(seals, found)
    return [_ticket(each, travelling[each.order_id]) for each in found]


def _code_key(
    keys: RotatingKeys, ticket: TravelTicket, now: datetime
) -> ticket_pb2.RotatingCodeKey:
    return ticket_pb2.RotatingCodeKey(
        secret=keys.secret(ticket.ticket_id, ticket.jti),
        jti=str(ticket.jti),
        step_seconds=STEP_SECONDS,
        server_time=convert.timestamp(now),
    )


def _ticket(ticket: TravelTicket, party: Sequence[Passenger]) -> ticket_pb2.TravellerTicket:
    offered = offer_message(ticket.offer.moved_by(ticket.moved), ticket.item.price)
    message = ticket_pb2.TravellerTicket(
        ticket_code=ticket.ticket_code,
        status=STATES[ticket.state],
        order_id=ticket.order.order_code,
        product_id=ticket.product_id,
        display_name_en=ticket.snapshot["display_name_en"],
        display_name_zh=ticket.snapshot["display_name_zh"],
        journey=offered.journey if offered.HasField("journey") else None,
        seat=ticket.seat or "",
        valid_from_time=convert.timestamp(ticket.valid_from_time),
        valid_until_time=convert.timestamp(ticket.valid_until_time),
        shared=ticket.is_shared,
        amount_minor=ticket.amount_minor,
        changes_made=ticket.changes_made,
        policy=offered.policy,
        departure_change=DEPARTURE_CHANGES[ticket.operator_cause],
        sold_departure_time=convert.timestamp(_sold_for(ticket)),
        entitlements=[
            tickets_pb2.Entitlement(
                function_code=function_code, remaining_uses=remaining, total_uses=total
            )
            for function_code, remaining, total in ticket.uses
        ],
    )
    if ticket.boarding_time:
        message.boarding_time.FromDatetime(ticket.boarding_time)
    if not ticket.is_shared:
        who = party[ticket.passenger_index]
        message.passenger.CopyFrom(
            order_pb2.OrderedPassenger(
                name=who.name,
                customer_type=CUSTOMER_TYPES[who.customer_type],
                document_type=DOCUMENT_TYPES[who.document_type],
                document_masked=who.document_masked,
            )
        )
    return message


def _sold_for(ticket: TravelTicket) -> datetime | None:
    """When its departure was to leave as it was sold, if that is another time now."""
    journey = ticket.offer.journey if ticket.moved else None
    return journey.departure_time if journey else None


def ticket_qr(ticket_code: str, claims: qr.Claims, token: str) -> ticket_pb2.IssueTicketQrResponse:
    """The QR of a ticket, not drawn yet."""
    return ticket_pb2.IssueTicketQrResponse(
        ticket_code=ticket_code,
        jti=str(claims.jti),
        encrypted_data=token,
        expire_time=convert.timestamp(claims.expire_time),
    )


def order_qr(order_code: str, claims: qr.Claims, token: str) -> ticket_pb2.IssueOrderQrResponse:
    """The QR of an order, not drawn yet."""
    return ticket_pb2.IssueOrderQrResponse(
        order_id=order_code,
        encrypted_data=token,
        expire_time=convert.timestamp(claims.expire_time),
    )
