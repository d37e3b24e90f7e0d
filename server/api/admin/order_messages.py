"""Orders and tickets of all channels, as AdminService shows them."""

from collections.abc import Sequence

from deeptravel.admin.v1 import order_pb2
from deeptravel.ticketing.v1 import order_pb2 as ticketing_order_pb2
from deeptravel.tickets.v1 import ticket_pb2

from server.api import convert
from server.orders.order_search import FoundOrder
from server.orders.passengers import PassengerSeals
from server.orders.ticket_search import FoundTicket
from server.reports.order_history import Changed, HistoryRow

ORDER_STATE = convert.enum_numbers(ticketing_order_pb2.OrderState)
CANCEL_REASON = convert.enum_numbers(ticketing_order_pb2.CancelReason)
DOCUMENT_TYPE = convert.enum_numbers(ticketing_order_pb2.DocumentType)
TICKET_STATE = convert.enum_numbers(ticket_pb2.TicketState)
CUSTOMER_TYPE = convert.enum_numbers(ticket_pb2.CustomerType)
HISTORY_KIND = convert.enum_numbers(order_pb2.HistoryKind)


def overview(order: FoundOrder, seals: PassengerSeals, *, persons: bool) -> order_pb2.OrderOverview:
    """An order as lists show it; without names unless `persons`."""
    names: list[str] = []
    if persons and order.partner_id:
        names = [order.customer_name]
    elif persons:
        names = [passenger.name for passenger in order.party(seals).passengers]
    return order_pb2.OrderOverview(
        order_code=order.order_code,
        state=ORDER_STATE[order.state],
        partner_code=order.partner_code,
        traveller_id=order.traveller_id or 0,
        names=names,
        ticket_count=order.ticket_count,
        amount_minor=order.amount_minor,
        currency_code=order.currency_code,
        create_time=convert.timestamp(order.create_time),
        pay_time=convert.timestamp(order.pay_time),
        payment_reference=order.payment_reference,
    )


def ticket(found: FoundTicket, *, persons: bool) -> order_pb2.TicketOverview:
    """A ticket as lists show it; without a name unless `persons`."""
    return order_pb2.TicketOverview(
        ticket_code=found.ticket_code,
        state=TICKET_STATE[found.state],
        blocked=found.blocked,
        order_code=found.order_code,
        partner_code=found.partner_code,
        distributor_id=found.distributor_id,
        product_id=found.product_id,
        customer_name=found.customer_name if persons else "",
        customer_type=CUSTOMER_TYPE.get(found.customer_type, 0),
        seat=found.seat,
        valid_from_time=convert.timestamp(found.valid_from_time),
        valid_until_time=convert.timestamp(found.valid_until_time),
    )


def whole_order(
    order: FoundOrder,
    tickets: Sequence[FoundTicket],
    history: Sequence[HistoryRow],
    seals: PassengerSeals,
    *,
    persons: bool,
) -> order_pb2.GetOrderResponse:
    """An order with all that is known of it."""
    party = order.party(seals)
    return order_pb2.GetOrderResponse(
        order=overview(order, seals, persons=persons),
        travellers=[
            order_pb2.OrderTraveller(
                name=each.name if persons else "",
                customer_type=CUSTOMER_TYPE.get(each.customer_type, 0),
                document_type=DOCUMENT_TYPE.get(each.document_type, 0),
                document_masked=each.document_masked if persons else "",
            )
            for each in party.passengers
        ],
        contact_phone=party.contact_phone if persons else "",
        cancel_reason=CANCEL_REASON.get(order.cancel_reason or "", 0),
        tickets=[ticket(each, persons=persons) for each in tickets],
        history=map(_entry, history),
    )


def whole_ticket(
    found: FoundTicket,
    uses: Sequence[tuple[str, int, int]],
    changed: Changed,
    history: Sequence[HistoryRow],
    *,
    persons: bool,
) -> order_pb2.GetTicketResponse:
    """A ticket with all that is known of it."""
    return order_pb2.GetTicketResponse(
        ticket=ticket(found, persons=persons),
        entitlements=[
            ticket_pb2.Entitlement(
                function_code=function_code, remaining_uses=remaining, total_uses=total
            )
            for function_code, remaining, total in uses
        ],
        changed_into_ticket_code=changed.into_code,
        changed_from_ticket_code=changed.from_code,
        history=map(_entry, history),
    )


def _entry(row: HistoryRow) -> order_pb2.HistoryEntry:
    return order_pb2.HistoryEntry(
        occurred_time=convert.timestamp(row.occurred_time),
        kind=HISTORY_KIND[row.kind],
        action=row.action,
        state=row.state,
        actor=row.actor,
        ticket_code=row.ticket_code,
        reason=row.reason,
        amount_minor=row.amount_minor,
        reference=row.reference,
    )
