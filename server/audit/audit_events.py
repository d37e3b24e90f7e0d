"""Reading the audit trail."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.models import audit_events


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One change: `before` and `after` are the fields of what was changed, None where there was
    none.
    """

    audit_id: UUID
    occurred_time: datetime
    actor: str
    action: str
    resource: str
    name: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


async def list_audit_events(
    tx: AsyncConnection,
    *,
    time_from: datetime | None,
    time_until: datetime | None,
    after: tuple[datetime, UUID] | None,
    limit: int,
    **filters: str,
) -> list[AuditEvent]:
    """Up to `limit` events older than `after` (time, id), newest first; empty filters do not
    count.
    """
    time, audit_id = audit_events.c.occurred_time, audit_events.c.audit_id
    query = select(audit_events).order_by(time.desc(), audit_id.desc()).limit(limit)
    for column, value in filters.items():
        if value:
            query = query.where(audit_events.c[column] == value)
    if time_from:
        query = query.where(time >= time_from)
    if time_until:
        query = query.where(time < time_until)
    if after:
        query = query.where(tuple_(time, audit_id) < after)
    return [AuditEvent(**row) for row in (await tx.execute(query)).mappings()]
