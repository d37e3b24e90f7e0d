"""OtaService between protobuf and plain values: batches, tickets and activations."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Any

from deeptravel.ota.v1 import ota_service_pb2
from deeptravel.tickets.v1 import ticket_pb2

from server.api import convert
from server.api.ota.distributor_messages import line_of_sale
from server.identity.callers import Partner
from server.orders import partner_orders as orders
from server.partners import partner_tickets
from server.stock.inventory import Inventory
from server.tickets import listing, tickets

TICKET_STATE = convert.enum_numbers(ticket_pb2.TicketState)
TICKET_STATE_NAME = convert.enum_names(ticket_pb2.TicketState)
CUSTOMER_TYPE = convert.enum_numbers(ticket_pb2.CustomerType)
CUSTOMER_TYPE_NAME = convert.enum_names(ticket_pb2.CustomerType)

BATCH_SECONDS = 60
"""May each statement of a large batch take, and a repeat wait for it."""


def batch_request(
    request: ota_service_pb2.BulkGenerateTicketsRequest,
) -> partner_tickets.BatchRequest:
    """What BulkGenerateTickets asks for. Raises INVALID_FIELD."""
    sale = None
    if request.HasField("activation"):
        customer, payment = request.activation.customer, request.activation.payment
        sale = orders.Sale(
            customer_type=CUSTOMER_TYPE_NAME[customer.type],
            customer_name=customer.name,
            payment_reference=payment.reference,
            amount_minor=payment.amount_minor,
            currency_code=payment.currency_code,
            ticket_count=request.quantity,
        )
    return partner_tickets.BatchRequest(
        product_id=request.product_id,
        quantity=request.quantity,
        distributor_id=request.distributor_id,
        sale=sale,
        valid_from_time=convert.moment(request, "valid_from_time"),
        reservation_id=request.reservation_id,
        origin_stop_code=request.origin_stop_code,
        destination_stop_code=request.destination_stop_code,
    )


def sold_ticket(
    request: ota_service_pb2.ActivateTicketRequest | ota_service_pb2.TicketActivation,
) -> partner_tickets.SoldTicket:
    """A ticket that is to be activated."""
    return partner_tickets.SoldTicket(
        ticket_code=request.ticket_code,
        customer_type=CUSTOMER_TYPE_NAME[request.customer.type],
        customer_name=request.customer.name,
        payment_reference=request.payment.reference,
        amount_minor=request.payment.amount_minor,
        currency_code=request.payment.currency_code,
    )


def verdict(verdict: partner_tickets.ActivationVerdict) -> ota_service_pb2.ActivationVerdict:
    """What became of one of many activations."""
    return ota_service_pb2.ActivationVerdict(
        ticket_code=verdict.ticket_code,
        activated=verdict.reason is None,
        status=TICKET_STATE[verdict.state] if verdict.state else None,
        order_id=verdict.order_code,
        reason=verdict.reason or "",
        payment_mismatch=ota_service_pb2.PaymentMismatch(
            expected_minor=verdict.expected.minor,
            expected_currency_code=verdict.expected.currency_code,
            paid_minor=verdict.paid.minor,
            paid_currency_code=verdict.paid.currency_code,
        )
        if verdict.expected and verdict.paid
        else None,
    )


def ticket(ticket: listing.Ticket, partner: Partner) -> ticket_pb2.Ticket:
    """A ticket as its partner sees it."""
    return ticket_pb2.Ticket(
        ticket_code=ticket.ticket_code,
        status=TICKET_STATE[ticket.state],
        batch_id=str(ticket.batch_id or ""),
        product_id=ticket.product_id,
        distributor_id=ticket.distributor_id,
        order_id="" if ticket.order_id is None else orders.order_code(ticket.order_id, partner),
        create_time=convert.timestamp(ticket.create_time),
        valid_from_time=convert.timestamp(ticket.valid_from_time),
        valid_until_time=convert.timestamp(ticket.valid_until_time),
        departure_id=None if ticket.departure_id is None else str(ticket.departure_id),
        seat=ticket.seat or None,
        entitlements=[
            ticket_pb2.Entitlement(
                function_code=function_code, remaining_uses=remaining, total_uses=total
            )
            for function_code, remaining, total in ticket.entitlements
        ],
    )


def batch_ticket(ticket: tickets.BatchTicket, token: str) -> ota_service_pb2.BatchTicket:
    """A ticket of a batch; `token` is empty if it gets no QR."""
    return ota_service_pb2.BatchTicket(
        ticket_code=ticket.ticket_code,
        status=TICKET_STATE[ticket.state],
        encrypted_data=token,
        seat=ticket.seat or None,
    )


def fare(found: Mapping[str, Any]) -> ota_service_pb2.Fare:
    """A fare of a price snapshot."""
    return ota_service_pb2.Fare(**{**found, "customer_type": CUSTOMER_TYPE[found["customer_type"]]})


def new_batch(
    made: partner_tickets.NewBatch, codes: Sequence[str]
) -> ota_service_pb2.BulkGenerateTicketsResponse:
    """A batch that was made, with the `codes` of its first tickets."""
    return ota_service_pb2.BulkGenerateTicketsResponse(
        batch_id=str(made.batch_id),
        quantity=made.quantity,
        tickets=[
            ota_service_pb2.GeneratedTicket(
                ticket_code=code, status=TICKET_STATE[made.state], seat=seat or None
            )
            for code, seat in zip_longest(codes, made.seats[: len(codes)], fillvalue="")
        ],
        order_id=made.order_code,
    )


def batch(batch: tickets.Batch) -> ota_service_pb2.GetBatchResponse:
    """A batch with its price snapshot."""
    return ota_service_pb2.GetBatchResponse(
        batch_id=str(batch.batch_id),
        product_id=batch.product_id,
        quantity=batch.quantity,
        distributor_id=batch.distributor_id,
        create_time=convert.timestamp(batch.create_time),
        currency_code=batch.content["currency_code"],
        fares=map(fare, batch.content["fares"]),
        line_of_sale=line_of_sale(batch.content),
        departure=_departure(batch.content),
        provisional=_provisional(batch.content),
    )


def _provisional(content: Mapping[str, Any]) -> bool:
    """False in what was made before that was kept."""
    known = content.get("offer", content).get("provisional", False)
    return bool(known)


def _departure(content: Mapping[str, Any]) -> ota_service_pb2.BatchDeparture | None:
    """What a batch of a departure was made for; None for one of none."""
    journey = content.get("offer", {}).get("journey")
    if journey is None:
        return None
    origin, destination = journey["origin"], journey["destination"]
    return ota_service_pb2.BatchDeparture(
        departure_id=str(journey["departure_id"]),
        service_number=journey["service_number"],
        fare_class=journey["fare_class"],
        origin_stop_code=origin["stop_code"],
        origin_name_en=origin["display_name_en"],
        origin_name_zh=origin["display_name_zh"],
        destination_stop_code=destination["stop_code"],
        destination_name_en=destination["display_name_en"],
        destination_name_zh=destination["display_name_zh"],
        departure_time=convert.timestamp(datetime.fromisoformat(journey["departure_time"])),
        arrival_time=convert.timestamp(datetime.fromisoformat(journey["arrival_time"])),
    )


def streamed_ticket(
    ticket: tickets.BatchTicket, token: str
) -> ota_service_pb2.StreamBatchTicketsResponse:
    """A ticket of a batch; `token` is empty if it gets no QR."""
    return ota_service_pb2.StreamBatchTicketsResponse(
        ticket_code=ticket.ticket_code,
        status=TICKET_STATE[ticket.state],
        encrypted_data=token,
        seat=ticket.seat or None,
    )


def activated(verdict: partner_tickets.ActivationVerdict) -> ota_service_pb2.ActivateTicketResponse:
    """A ticket that was activated."""
    return ota_service_pb2.ActivateTicketResponse(
        ticket_code=verdict.ticket_code,
        status=TICKET_STATE[verdict.state or ""],
        order_id=verdict.order_code,
    )


def inventory(found: Inventory) -> ota_service_pb2.Inventory:
    """The partner's stock of a product, or of a departure's class or a day of it."""
    return ota_service_pb2.Inventory(
        product_id=found.product_id,
        total=found.total,
        held=found.held,
        sold=found.sold,
        available=found.available,
        departure_id=str(found.departure_id or ""),
        fare_class=found.fare_class or "",
        use_date=found.use_date.isoformat() if found.use_date else "",
    )
