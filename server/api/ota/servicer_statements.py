"""The methods of OtaService about statements."""

from collections.abc import AsyncIterator
from datetime import date
from zoneinfo import ZoneInfo

from deeptravel.ota.v1 import statement_pb2

from server.api import calls, pieces
from server.api.calls import Context
from server.api.ota import statement_messages as messages
from server.api.paging import Page, PageTokens, paged
from server.identity.callers import Partner
from server.partners import statements
from server.partners.statement_files import statement_file
from server.partners.statement_rules import StatementDocument
from server.platform.database import Database


class StatementMethods:
    """A part of OtaServicer; the contract documents each method."""

    _db: Database
    _pages: PageTokens
    _zone: ZoneInfo

    @paged
    async def ListStatements(
        self, request: statement_pb2.ListStatementsRequest, page: Page[Partner, date]
    ) -> statement_pb2.ListStatementsResponse:
        async with self._db.report(page.caller.key) as tx:
            found = await statements.page(
                tx,
                page.caller.partner_id,
                zone=self._zone,
                now=page.caller.now(),
                before=page.after,
                limit=page.size + 1,
            )
        shown = page.cut(found, lambda last: last.month)
        return statement_pb2.ListStatementsResponse(statements=map(messages.summary, shown))

    @paged
    async def GetStatement(
        self, request: statement_pb2.GetStatementRequest, page: Page[Partner, int]
    ) -> statement_pb2.GetStatementResponse:
        made = await self._own_statement(request.month)
        lines, page.next_after = messages.lines(made, page.after, page.size)
        return statement_pb2.GetStatementResponse(statement=messages.statement(made), lines=lines)

    async def DownloadStatement(
        self,
        request: statement_pb2.DownloadStatementRequest,
        context: Context[
            statement_pb2.DownloadStatementRequest, statement_pb2.DownloadStatementResponse
        ],
    ) -> AsyncIterator[statement_pb2.DownloadStatementResponse]:
        made = await self._own_statement(request.month)
        file = await statement_file(made, messages.FORMAT_NAME[request.format])
        for body in pieces.of_file(file.content_type, file.content):
            yield statement_pb2.DownloadStatementResponse(body=body)

    async def _own_statement(self, month: str) -> StatementDocument:
        partner = calls.caller(Partner)
        async with self._db.report(partner.key) as tx:
            return await statements.get(
                tx, partner.partner_id, month, zone=self._zone, now=partner.now()
            )
