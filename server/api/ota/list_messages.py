"""Lists and exports of OtaService between protobuf and plain values."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from deeptravel.ota.v1 import distributor_pb2, export_pb2, ota_service_pb2
from google.api import httpbody_pb2

from server.api import convert
from server.api.ota import messages
from server.api.ota.distributor_messages import line_of_sale
from server.identity.callers import Partner
from server.orders import partner_orders as orders
from server.partners.ticket_lists import WantedList
from server.platform.errors import invalid
from server.tickets.batch_lists import BatchFilter, ListedBatch
from server.tickets.exports import ExportedTicket, Exporter, FileFormat
from server.tickets.listing import Ticket, TicketFilter

FORMAT_NAME = convert.enum_names(export_pb2.ExportFormat)
MEDIA_TYPES: Mapping[str, str] = {
    "CSV": "text/csv; charset=utf-8",
    "JSONL": "application/x-ndjson",
}


def ticket_filter(
    request: ota_service_pb2.ListTicketsRequest | export_pb2.ExportTicketsRequest,
) -> TicketFilter:
    """Which tickets are asked for. Raises INVALID_FIELD."""
    try:
        batch_id = UUID(request.batch_id) if request.batch_id else None
    except ValueError:
        raise invalid("batch_id", "is not a UUID") from None
    return TicketFilter(
        state=messages.TICKET_STATE_NAME[request.status],
        batch_id=batch_id,
        distributor_id=request.distributor_id,
        create_time_from=convert.moment(request, "create_time_from"),
        create_time_until=convert.moment(request, "create_time_until"),
        product_id=request.product_id,
    )


def wanted_list(request: ota_service_pb2.ListTicketsRequest) -> WantedList:
    """What ListTickets asks for. Raises INVALID_FIELD."""
    return WantedList(ticket_filter(request), request.order_id, request.payment_reference)


def ticket_page(
    found: Sequence[Ticket], lines: Mapping[UUID, Mapping[str, Any]] | None, partner: Partner
) -> ota_service_pb2.ListTicketsResponse:
    """A page; `lines` are the snapshots of its tickets, where their lines of sale are asked
    for.
    """
    page = ota_service_pb2.ListTicketsResponse(
        tickets=[messages.ticket(each, partner) for each in found]
    )
    if lines is not None:
        for message, each in zip(page.tickets, found, strict=True):
            message.line_of_sale_id = str(each.snapshot_id)
        page.lines_of_sale.extend(
            distributor_pb2.LineOfSale(
                line_of_sale_id=str(snapshot_id),
                currency_code=content["currency_code"],
                levels=line_of_sale(content),
            )
            for snapshot_id, content in lines.items()
        )
    return page


def batch_filter(request: ota_service_pb2.ListBatchesRequest) -> BatchFilter:
    """Which batches ListBatches asks for. Raises INVALID_FIELD."""
    return BatchFilter(
        distributor_id=request.distributor_id,
        product_id=request.product_id,
        create_time_from=convert.moment(request, "create_time_from"),
        create_time_until=convert.moment(request, "create_time_until"),
    )


def batch(found: ListedBatch, partner: Partner) -> ota_service_pb2.BatchSummary:
    """A batch of a list."""
    return ota_service_pb2.BatchSummary(
        batch_id=str(found.batch_id),
        product_id=found.product_id,
        quantity=found.quantity,
        distributor_id=found.distributor_id,
        create_time=convert.timestamp(found.create_time),
        order_id="" if found.order_id is None else orders.order_code(found.order_id, partner),
        reservation_id=str(found.reservation_id or ""),
    )


async def export_parts(
    exporter: Exporter, request: export_pb2.ExportTicketsRequest, *, of_gateway: bool
) -> AsyncIterator[export_pb2.ExportTicketsResponse]:
    """The parts of an export in the format that is asked for: over HTTP always a file."""
    form = FORMAT_NAME[request.format] or ("JSONL" if of_gateway else "")
    if not form:
        async for rows in exporter.rows():
            last = rows[-1][0].ticket_code
            yield export_pb2.ExportTicketsResponse(
                tickets=map(_exported, rows), last_ticket_code=last
            )
        return
    chosen: FileFormat = "CSV" if form == "CSV" else "JSONL"
    async for part in exporter.file(chosen):
        body = httpbody_pb2.HttpBody(content_type=MEDIA_TYPES[form], data=part.text.encode())
        yield export_pb2.ExportTicketsResponse(file=body, last_ticket_code=part.last_ticket_code)


def _exported(row: tuple[ExportedTicket, str]) -> export_pb2.ExportedTicket:
    ticket, token = row
    return export_pb2.ExportedTicket(
        ticket_code=ticket.ticket_code,
        status=messages.TICKET_STATE[ticket.status],
        product_id=ticket.product_id,
        batch_id=str(ticket.batch_id or ""),
        distributor_id=ticket.distributor_id,
        order_id=ticket.order_id,
        payment_reference=ticket.payment_reference,
        create_time=convert.timestamp(ticket.create_time),
        valid_from_time=convert.timestamp(ticket.valid_from_time),
        valid_until_time=convert.timestamp(ticket.valid_until_time),
        encrypted_data=token,
        departure_id=ticket.departure_id,
        seat=ticket.seat,
    )
