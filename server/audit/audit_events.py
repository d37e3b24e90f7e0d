"""Reading the audit trail."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.models import audit_events

HIDDEN = "(redacted)"
READ_AT_ONCE = 1_000

Transactions = Callable[[], AbstractAsyncContextManager[AsyncConnection]]


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One change: `before` and `after` are the fields of what was changed, None where there was
    none; `position` and `chain_hash` its place in the chain, once it has one.
    """

    audit_id: UUID
    occurred_time: datetime
    actor: str
    action: str
    resource: str
    name: str
    reason: str | None
    address: str | None
    terminal_device_id: str | None
    request_id: str | None
    position: int | None
    chain_hash: bytes | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None

    def without(self, names: Collection[str]) -> "AuditEvent":
        """The event with HIDDEN in place of what is in fields of these names."""
        if not names:
            return self
        hidden = {each: _hidden(getattr(self, each), names) for each in ("before", "after")}
        return replace(self, **hidden)


_COLUMNS = [audit_events.c[name] for name in AuditEvent.__dataclass_fields__]


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which events are meant; what is empty does not count. `reason` is a part of it."""

    resource: str = ""
    name: str = ""
    actor: str = ""
    action: str = ""
    reason: str = ""
    time_from: datetime | None = None
    time_until: datetime | None = None


async def list_audit_events(
    tx: AsyncConnection,
    wanted: AuditFilter,
    *,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[AuditEvent]:
    """Up to `limit` events older than `after` (time, id), newest first."""
    query = newest(wanted, after=after, limit=limit)
    return [AuditEvent(**row) for row in (await tx.execute(query)).mappings()]


def newest(
    wanted: AuditFilter, *, after: tuple[datetime, UUID] | None, limit: int
) -> Select[*tuple[Any, ...]]:
    """Reads what `list_audit_events` gives."""
    time, audit_id = audit_events.c.occurred_time, audit_events.c.audit_id
    query = select(*_COLUMNS).order_by(time.desc(), audit_id.desc()).limit(limit)
    for column in ("resource", "name", "actor", "action"):
        if value := getattr(wanted, column):
            query = query.where(audit_events.c[column] == value)
    if wanted.reason:
        query = query.where(audit_events.c.reason.icontains(wanted.reason, autoescape=True))
    if wanted.time_from:
        query = query.where(time >= wanted.time_from)
    if wanted.time_until:
        query = query.where(time < wanted.time_until)
    if after:
        query = query.where(tuple_(time, audit_id) < after)
    return query


async def stream_audit_events(
    transaction: Transactions, wanted: AuditFilter
) -> AsyncIterator[list[AuditEvent]]:
    """All of them, newest first, READ_AT_ONCE in a transaction."""
    after = None
    while True:
        async with transaction() as tx:
            found = await list_audit_events(tx, wanted, after=after, limit=READ_AT_ONCE)
        if found:
            yield found
        if len(found) < READ_AT_ONCE:
            return
        after = found[-1].occurred_time, found[-1].audit_id


def _hidden(value: Any, names: Collection[str]) -> Any:
    if isinstance(value, Mapping):
        return {
            name: HIDDEN if name in names and item else _hidden(item, names)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_hidden(item, names) for item in value]
    return value
