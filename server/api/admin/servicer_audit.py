"""The methods of AdminService about the audit trail."""

from collections.abc import AsyncIterator
from datetime import datetime
from uuid import UUID

from deeptravel.admin.v1 import audit_pb2

from server.api import calls, convert, pieces
from server.api.admin import messages
from server.api.admin.table import AdminMethods
from server.api.calls import Context
from server.api.paging import Page, paged
from server.api.personal_fields import personal_fields
from server.audit import audit_events, exports
from server.audit.audit_events import AuditFilter
from server.identity.accounts import ADMINISTRATOR
from server.identity.callers import Admin

FORMAT_NAME: dict[int, exports.Format] = {
    audit_pb2.AUDIT_EXPORT_FORMAT_CSV: "CSV",
    audit_pb2.AUDIT_EXPORT_FORMAT_JSON_LINES: "JSON_LINES",
}


class AuditMethods(AdminMethods):
    """A part of AdminServicer; the contract documents each method."""

    @paged
    async def ListAuditEvents(
        self, request: audit_pb2.ListAuditEventsRequest, page: Page[Admin, tuple[datetime, UUID]]
    ) -> audit_pb2.ListAuditEventsResponse:
        async with self._db.report(page.caller.key) as tx:
            found = await audit_events.list_audit_events(
                tx, _wanted(request), after=page.after, limit=page.size + 1
            )
        shown = page.cut(found, lambda last: (last.occurred_time, last.audit_id))
        hidden = _hidden_from(page.caller)
        return audit_pb2.ListAuditEventsResponse(
            audit_events=[messages.audit_message(event.without(hidden)) for event in shown]
        )

    async def ExportAuditEvents(
        self,
        request: audit_pb2.ExportAuditEventsRequest,
        context: Context[audit_pb2.ExportAuditEventsRequest, audit_pb2.ExportAuditEventsResponse],
    ) -> AsyncIterator[audit_pb2.ExportAuditEventsResponse]:
        form, admin = FORMAT_NAME[request.format], calls.caller(Admin)
        parts = exports.file(
            lambda: self._db.report(admin.key), _wanted(request), form, hidden=_hidden_from(admin)
        )
        async for part in parts:
            for body in pieces.of_file(exports.CONTENT_TYPES[form], part):
                yield audit_pb2.ExportAuditEventsResponse(body=body)


def _wanted(
    request: audit_pb2.ListAuditEventsRequest | audit_pb2.ExportAuditEventsRequest,
) -> AuditFilter:
    return AuditFilter(
        resource=request.resource,
        name=request.name,
        actor=request.actor,
        action=request.action,
        reason=request.reason,
        time_from=convert.moment(request, "time_from"),
        time_until=convert.moment(request, "time_until"),
    )


def _hidden_from(admin: Admin) -> frozenset[str]:
    """The names of fields that the administrator may not see."""
    return frozenset() if ADMINISTRATOR in admin.admin_roles else personal_fields()
