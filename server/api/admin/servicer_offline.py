"""The methods of AdminService about scans that terminals decided without network."""

from datetime import datetime

from deeptravel.admin.v1 import offline_scan_pb2

from server.api import convert
from server.api.admin.table import AdminMethods
from server.api.paging import Page, paged
from server.api.redemption import uploads as messages
from server.identity.callers import Admin
from server.redemption import uploads
from server.redemption.uploads import OfflineConflict


class OfflineMethods(AdminMethods):
    """A part of AdminServicer; the contract documents each method."""

    @paged
    async def ListOfflineConflicts(
        self,
        request: offline_scan_pb2.ListOfflineConflictsRequest,
        page: Page[Admin, tuple[datetime, str, str]],
    ) -> offline_scan_pb2.ListOfflineConflictsResponse:
        async with self._db.report(page.caller.key) as tx:
            found = await uploads.list_conflicts(
                tx, merchant_code=request.merchant_code, after=page.after, limit=page.size + 1
            )
        shown = page.cut(
            found,
            lambda last: (last.received_time, last.terminal_device_id, last.uploaded.scan_hash),
        )
        return offline_scan_pb2.ListOfflineConflictsResponse(conflicts=map(_conflict, shown))


def _conflict(conflict: OfflineConflict) -> offline_scan_pb2.OfflineConflict:
    return offline_scan_pb2.OfflineConflict(
        scan=messages.answer(conflict.scan_id, conflict.uploaded),
        terminal_device_id=conflict.terminal_device_id,
        merchant_code=conflict.merchant_code,
        venue_code=conflict.venue_code,
        operator=conflict.operator,
        function_code=conflict.function_code,
        quantity=conflict.quantity,
        scanned_time=convert.timestamp(conflict.scanned_time),
        received_time=convert.timestamp(conflict.received_time),
        pack_version=conflict.pack_version,
        counter=conflict.counter,
    )
