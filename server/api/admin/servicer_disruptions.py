"""The methods of AdminService about departures that are cancelled or moved: what it would do, and
what became of it.
"""

from collections.abc import AsyncIterator
from uuid import UUID

from deeptravel.admin.v1 import disruption_pb2
from google.api import httpbody_pb2

from server.aftersales import disruption_actions, disruption_previews, disruption_reports
from server.aftersales.disruption_actions import Rebooking
from server.aftersales.disruption_previews import Action
from server.aftersales.ticket_changes import ChangeHandler
from server.api import calls, convert
from server.api.admin import disruption_messages as messages
from server.api.admin.route_messages import REFUNDS_NAME
from server.api.admin.servicer_money import with_parts
from server.api.admin.table import AdminMethods, by
from server.api.calls import Context
from server.api.paging import Page, paged
from server.api.repeats import ChangingCall, changing_within
from server.identity.callers import Admin
from server.orders.prices import Prices
from server.payments import refunds
from server.platform import clock
from server.platform.statements import run
from server.reports import report_csv

BULK_SECONDS = 30
"""How long a statement may wait for those who settle orders of a hundred tickets."""


class DisruptionMethods(AdminMethods):
    """A part of AdminServicer; the contract documents each method."""

    _changes: ChangeHandler

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

    @paged
    async def ListDisruptionRefunds(
        self,
        request: disruption_pb2.ListDisruptionRefundsRequest,
        page: Page[Admin, tuple[int, int]],
    ) -> disruption_pb2.ListDisruptionRefundsResponse:
        number, after = UUID(request.disruption_id), page.after or (0, 0)
        async with self._db.report(page.caller.key) as tx:
            found = await disruption_reports.refunds(
                tx, number, after=after, limit=page.size + 1, now=clock.now()
            )
            shown = page.cut(found, lambda last: (last.order_id, last.refund_no))
            named = [(each.order_id, each.refund_no) for each in shown]
            whole = await with_parts(tx, await run(tx, refunds.of_numbers(named)))
        rows = zip(whole, shown, strict=True)
        return disruption_pb2.ListDisruptionRefundsResponse(
            refunds=[messages.reported_refund(*row) for row in rows]
        )

    async def RebookDisruptionTickets(
        self,
        request: disruption_pb2.RebookDisruptionTicketsRequest,
        context: Context[
            disruption_pb2.RebookDisruptionTicketsRequest,
            disruption_pb2.RebookDisruptionTicketsResponse,
        ],
    ) -> disruption_pb2.RebookDisruptionTicketsResponse:
        return await self._rebook(request, context, await self._changes.prices())

    @changing_within(BULK_SECONDS)
    async def _rebook(
        self,
        request: disruption_pb2.RebookDisruptionTicketsRequest,
        call: ChangingCall[Admin],
        prices: Prices,
    ) -> disruption_pb2.RebookDisruptionTicketsResponse:
        number, codes = UUID(request.disruption_id), list(request.ticket_codes)
        bulk = request.bulk == disruption_pb2.DISRUPTION_BULK_ALL_OR_NONE
        wanted = Rebooking(int(request.departure_id), request.class_code, bulk)
        done = await disruption_actions.rebook(
            *(call.tx, self._changes, number, codes, wanted),
            prices=prices,
            comment=request.comment,
            **by(call),
        )
        left = await disruption_reports.count_waiting(call.tx, number, now=call.now)
        return disruption_pb2.RebookDisruptionTicketsResponse(
            actions=map(messages.action, done), tickets_left=left
        )

    @changing_within(BULK_SECONDS)
    async def RefundDisruptionTickets(
        self, request: disruption_pb2.RefundDisruptionTicketsRequest, call: ChangingCall[Admin]
    ) -> disruption_pb2.RefundDisruptionTicketsResponse:
        number, codes = UUID(request.disruption_id), list(request.ticket_codes)
        done = await disruption_actions.refund(
            call.tx, number, codes, comment=request.comment, **by(call)
        )
        left = await disruption_reports.count_waiting(call.tx, number, now=call.now)
        return disruption_pb2.RefundDisruptionTicketsResponse(
            actions=map(messages.action, done), tickets_left=left
        )
