"""The methods of AdminService about departures that are cancelled or moved: what it would do, and
what became of it.
"""

from collections.abc import AsyncIterator
from uuid import UUID

from deeptravel.admin.v1 import disruption_pb2
from google.api import httpbody_pb2

from server.aftersales import disruption_previews, disruption_reports
from server.aftersales.disruption_previews import Action
from server.api import calls, convert
from server.api.admin import disruption_messages as messages
from server.api.admin.catalog_messages import REFUNDS_NAME
from server.api.admin.table import AdminMethods
from server.api.calls import Context
from server.api.paging import Page, paged
from server.identity.callers import Admin
from server.platform import clock
from server.reports import report_csv


class DisruptionMethods(AdminMethods):
    """A part of AdminServicer; the contract documents each method."""

    @paged
    async def PreviewDisruption(
        self, request: disruption_pb2.PreviewDisruptionRequest, page: Page[Admin, int]
    ) -> disruption_pb2.PreviewDisruptionResponse:
        to = convert.moment(request, "departure_time")
        action = Action(int(request.departure_id), to, REFUNDS_NAME[request.refunds])
        async with self._db.report(page.caller.key) as tx:
            preview = await disruption_previews.preview(tx, action, now=clock.now())
        after = -1 if page.after is None else page.after
        left = [each for each in preview.tickets if each.ticket_id > after]
        shown = page.cut(left[: page.size + 1], lambda last: last.ticket_id)
        return messages.preview(preview, shown)

    @paged
    async def ListDisruptions(
        self, request: disruption_pb2.ListDisruptionsRequest, page: Page[Admin, UUID]
    ) -> disruption_pb2.ListDisruptionsResponse:
        async with self._db.report(page.caller.key) as tx:
            found = await disruption_reports.page(
                tx,
                departure_id=int(request.departure_id or 0),
                before=page.after,
                limit=page.size + 1,
            )
        shown = page.cut(found, lambda last: last.disruption_id)
        return disruption_pb2.ListDisruptionsResponse(disruptions=map(messages.disruption, shown))

    async def GetDisruption(
        self,
        request: disruption_pb2.GetDisruptionRequest,
        context: Context[disruption_pb2.GetDisruptionRequest, disruption_pb2.GetDisruptionResponse],
    ) -> disruption_pb2.GetDisruptionResponse:
        async with self._db.report(calls.caller().key) as tx:
            found = await disruption_reports.get(tx, UUID(request.disruption_id), now=clock.now())
        return messages.report(found)

    @paged
    async def ListDisruptionTickets(
        self, request: disruption_pb2.ListDisruptionTicketsRequest, page: Page[Admin, int]
    ) -> disruption_pb2.ListDisruptionTicketsResponse:
        async with self._db.report(page.caller.key) as tx:
            found = await disruption_reports.tickets(
                tx,
                UUID(request.disruption_id),
                outcome=messages.OUTCOME_NAME[request.outcome],
                after=-1 if page.after is None else page.after,
                limit=page.size + 1,
                now=clock.now(),
            )
        shown = page.cut(found, lambda last: last.ticket_id)
        return disruption_pb2.ListDisruptionTicketsResponse(tickets=map(messages.ticket, shown))

    async def DownloadDisruption(
        self,
        request: disruption_pb2.DownloadDisruptionRequest,
        context: Context[
            disruption_pb2.DownloadDisruptionRequest, disruption_pb2.DownloadDisruptionResponse
        ],
    ) -> AsyncIterator[disruption_pb2.DownloadDisruptionResponse]:
        async with self._db.report(calls.caller().key) as tx:
            found = await disruption_reports.every_ticket(
                tx, UUID(request.disruption_id), now=clock.now()
            )
        cells = map(messages.cells, found)
        for piece in report_csv.csv_pieces(messages.COLUMNS, cells, names=messages.CHOSEN):
            body = httpbody_pb2.HttpBody(content_type=report_csv.CONTENT_TYPE, data=piece)
            yield disruption_pb2.DownloadDisruptionResponse(body=body)
