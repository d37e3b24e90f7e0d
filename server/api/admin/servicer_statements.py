"""The methods of AdminService about partners' statements."""

from collections.abc import AsyncIterator
from datetime import date
from zoneinfo import ZoneInfo

from deeptravel.admin.v1 import statement_pb2

from server.api import calls, pieces
from server.api.admin.table import AdminMethods
from server.api.calls import Context
from server.api.ota import statement_messages as messages
from server.api.paging import Page, paged
from server.identity.callers import Admin
from server.partners import statements
from server.partners.statement_files import statement_file
from server.partners.statement_rules import StatementDocument
from server.platform import clock


class PartnerStatementMethods(AdminMethods):
    """A part of AdminServicer; the contract documents each method."""

    _zone: ZoneInfo

    @paged
    async def ListPartnerStatements(
        self, request: statement_pb2.ListPartnerStatementsRequest, page: Page[Admin, date]
    ) -> statement_pb2.ListPartnerStatementsResponse:
        async with self._db.report(page.caller.key) as tx:
            found = await statements.page(
                tx,
                await statements.partner_id_of(tx, request.partner_code),
                zone=self._zone,
                now=clock.now(),
                before=page.after,
                limit=page.size + 1,
            )
        shown = page.cut(found, lambda last: last.month)
        return statement_pb2.ListPartnerStatementsResponse(statements=map(messages.summary, shown))

    @paged
    async def GetPartnerStatement(
        self, request: statement_pb2.GetPartnerStatementRequest, page: Page[Admin, int]
    ) -> statement_pb2.GetPartnerStatementResponse:
        made = await self._statement(request.partner_code, request.month)
        lines, page.next_after = messages.lines(made, page.after, page.size)
        return statement_pb2.GetPartnerStatementResponse(
            statement=messages.statement(made), lines=lines
        )

    async def DownloadPartnerStatement(
        self,
        request: statement_pb2.DownloadPartnerStatementRequest,
        context: Context[
            statement_pb2.DownloadPartnerStatementRequest,
            statement_pb2.DownloadPartnerStatementResponse,
        ],
    ) -> AsyncIterator[statement_pb2.DownloadPartnerStatementResponse]:
        made = await self._statement(request.partner_code, request.month)
        file = await statement_file(made, messages.FORMAT_NAME[request.format])
        for body in pieces.of_file(file.content_type, file.content):
            yield statement_pb2.DownloadPartnerStatementResponse(body=body)

    async def _statement(self, partner_code: str, month: str) -> StatementDocument:
        async with self._db.report(calls.caller(Admin).key) as tx:
            partner_id = await statements.partner_id_of(tx, partner_code)
            return await statements.get(tx, partner_id, month, zone=self._zone, now=clock.now())
