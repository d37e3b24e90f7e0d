"""The methods of OtaService that list and export a partner's batches and tickets."""

from collections.abc import AsyncIterator
from zoneinfo import ZoneInfo

from deeptravel.ota.v1 import export_pb2, ota_service_pb2, ota_service_pb2_grpc

from server.api import calls
from server.api.calls import Context
from server.api.ota import list_messages as messages
from server.api.paging import Page, PageTokens, paged
from server.identity.callers import Partner
from server.partners import ticket_lists
from server.platform.database import Database
from server.tickets import batch_lists
from server.tickets.exports import Exporter
from server.tickets.issuing import Issuer


class ListMethods(ota_service_pb2_grpc.OtaServiceServicer):
    """A part of OtaServicer; the contract documents each method."""

    _db: Database
    _pages: PageTokens
    _issuer: Issuer
    _zone: ZoneInfo

    @paged
    async def ListTickets(
        self, request: ota_service_pb2.ListTicketsRequest, page: Page[Partner, int]
    ) -> ota_service_pb2.ListTicketsResponse:
        async with self._db.report(page.caller.key) as tx:
            found, lines = await ticket_lists.list_tickets(
                tx,
                page.caller,
                messages.wanted_list(request),
                zone=self._zone,
                after=page.after,
                limit=page.size,
                with_lines=request.with_lines_of_sale,
            )
        page.next_after = found.next_after
        return messages.ticket_page(found.tickets, lines, page.caller)

    @paged
    async def ListBatches(
        self, request: ota_service_pb2.ListBatchesRequest, page: Page[Partner, int]
    ) -> ota_service_pb2.ListBatchesResponse:
        async with self._db.report(page.caller.key) as tx:
            found = await batch_lists.list_batches(
                tx,
                page.caller.partner_id,
                messages.batch_filter(request),
                after=page.after,
                limit=page.size + 1,
            )
        shown = page.cut(found, lambda last: last.first_ticket_id)
        return ota_service_pb2.ListBatchesResponse(
            batches=[messages.batch(each, page.caller) for each in shown]
        )

    async def ExportTickets(
        self,
        request: export_pb2.ExportTicketsRequest,
        context: Context[export_pb2.ExportTicketsRequest, export_pb2.ExportTicketsResponse],
    ) -> AsyncIterator[export_pb2.ExportTicketsResponse]:
        partner = calls.caller(Partner)
        exporter = Exporter(
            db=self._db,
            caller=partner.key,
            partner_id=partner.partner_id,
            wanted=messages.ticket_filter(request),
            zone=self._zone,
            after=ticket_lists.number_after(request.after_ticket_code, partner),
            clock=partner.now,
            issue=self._issuer.issue if request.with_qr else None,
        )
        async for part in messages.export_parts(
            exporter, request, of_gateway=calls.current().of_gateway
        ):
            yield part
