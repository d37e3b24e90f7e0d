"""The methods of AdminService about the cadences of channels, and what full syncs have found."""

from collections.abc import AsyncIterator, Container
from datetime import date, datetime
from zoneinfo import ZoneInfo

from deeptravel.admin.v1 import channel_difference_pb2
from google.api import httpbody_pb2

from server.api import calls
from server.api.admin import channel_messages as messages
from server.api.admin.table import AdminMethods
from server.api.calls import Context
from server.api.paging import Page, paged
from server.channels import differences, syncs
from server.channels.channel_records import CHANNELS
from server.identity.callers import Admin
from server.platform import clock
from server.platform.statements import run
from server.reports import report_csv


class ChannelSyncMethods(AdminMethods):
    """A part of AdminServicer; the contract documents each method."""

    _zone: ZoneInfo
    _channel_peak: Container[int]

    async def GetChannelCadences(
        self,
        request: channel_difference_pb2.GetChannelCadencesRequest,
        context: Context[
            channel_difference_pb2.GetChannelCadencesRequest,
            channel_difference_pb2.GetChannelCadencesResponse,
        ],
    ) -> channel_difference_pb2.GetChannelCadencesResponse:
        code, now = request.channel_code, clock.now()
        async with self._db.transaction() as tx:
            await CHANNELS.get(tx, code)
            found = await syncs.active(tx, now, self._zone, self._channel_peak, code)
        return channel_difference_pb2.GetChannelCadencesResponse(syncs=map(messages.sync, found))

    @paged
    async def ListChannelDifferences(
        self,
        request: channel_difference_pb2.ListChannelDifferencesRequest,
        page: Page[Admin, tuple[datetime, str, str, date]],
    ) -> channel_difference_pb2.ListChannelDifferencesResponse:
        command = differences.page(
            request.channel_code,
            what=messages.VALUE_KIND_NAME[request.what],
            item_id=request.item_id,
            uncorrected=request.uncorrected,
            after=page.after,
            limit=page.size + 1,
        )
        async with self._db.report(page.caller.key) as tx:
            await CHANNELS.get(tx, request.channel_code)
            found = await run(tx, command)
        shown = page.cut(found, lambda last: (last.sync_time, last.what, last.item_id, last.day))
        return channel_difference_pb2.ListChannelDifferencesResponse(
            differences=map(messages.difference, shown)
        )

    async def DownloadChannelDifferences(
        self,
        request: channel_difference_pb2.DownloadChannelDifferencesRequest,
        context: Context[
            channel_difference_pb2.DownloadChannelDifferencesRequest,
            channel_difference_pb2.DownloadChannelDifferencesResponse,
        ],
    ) -> AsyncIterator[channel_difference_pb2.DownloadChannelDifferencesResponse]:
        async with self._db.report(calls.caller().key) as tx:
            await CHANNELS.get(tx, request.channel_code)
            found = await run(
                tx, differences.every(request.channel_code, uncorrected=request.uncorrected)
            )
        cells = (each.cells() for each in found)
        for piece in report_csv.csv_pieces(differences.COLUMNS, cells, names=differences.CHOSEN):
            body = httpbody_pb2.HttpBody(content_type=report_csv.CONTENT_TYPE, data=piece)
            yield channel_difference_pb2.DownloadChannelDifferencesResponse(body=body)
