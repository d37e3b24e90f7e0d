"""The methods of OtaService about events."""

from deeptravel.ota.v1 import event_pb2

from server.api import calls
from server.api.calls import Context
from server.api.ota import event_messages
from server.api.paging import Page, PageTokens, paged
from server.identity.callers import Partner
from server.platform import clock
from server.platform.database import Database
from server.webhooks import feed


class EventMethods:
    """A part of OtaServicer."""

    _db: Database
    _pages: PageTokens

    @paged
    async def ListEvents(
        self, request: event_pb2.ListEventsRequest, page: Page[Partner, int]
    ) -> event_pb2.ListEventsResponse:
        feed.require_types(request.types)
        given = request.after_cursor if request.HasField("after_cursor") else None
        async with self._db.report(page.caller.key) as tx:
            found = await feed.page(
                tx,
                page.caller.partner_id,
                types=request.types,
                after=given if page.after is None else page.after,
                limit=page.size,
            )
        page.next_after = None if found.is_last else found.cursor
        return event_pb2.ListEventsResponse(
            events=map(event_messages.event, found.events), cursor=found.cursor
        )

    async def AcknowledgeEvents(
        self,
        request: event_pb2.AcknowledgeEventsRequest,
        context: Context[event_pb2.AcknowledgeEventsRequest, event_pb2.AcknowledgeEventsResponse],
    ) -> event_pb2.AcknowledgeEventsResponse:
        partner_id = calls.caller(Partner).partner_id
        cursor = await self._db.in_transaction(
            lambda tx: feed.acknowledge(tx, partner_id, request.cursor, now=clock.now())
        )
        return event_pb2.AcknowledgeEventsResponse(cursor=cursor)
