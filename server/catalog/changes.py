"""How the catalogue's rows are added, changed, archived and taken back: audited, and seen by every
process within a second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Protocol, TypeVar, Unpack

from sqlalchemy import Table, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit import records as records_module
from server.audit.records import By, Records, already_exists, archived
from server.audit.trail import AuditedChange, audit
from server.platform import change_feed
from server.platform.change_feed import ChangeKind
from server.platform.errors import DomainError, Reason
from server.platform.statements import run

ACTIVE, ARCHIVED = records_module.ACTIVE, records_module.ARCHIVED


class CatalogueRecord(Protocol):
    """A frozen dataclass of the catalogue; `version` counts its changes."""

    @property
    def state(self) -> str: ...  # noqa: D102
    @property
    def version(self) -> int: ...  # noqa: D102


T = TypeVar("T", bound=CatalogueRecord)


async def create(
    tx: AsyncConnection, table: Table, resource: str, new: Sequence[Any], **by: Unpack[By]
) -> None:
    """Adds rows, each named by its first field. Raises ALREADY_EXISTS."""
    rows = [asdict(each) for each in new]
    (key,) = table.primary_key.columns
    named = {row[key.name]: row for row in rows}
    if not rows:
        return
    adding = pg_insert(table).on_conflict_do_nothing().returning(key)
    added = set(await tx.scalars(adding, rows))
    for name in named.keys() - added:
        raise already_exists(resource, name)
    created = [
        AuditedChange(by["actor"], "create", resource, name, None, row)
        for name, row in named.items()
    ]
    await run(tx, audit(*created, now=by["now"]))
    await change_feed.publish(tx, ChangeKind.CATALOGUE)


async def change(
    tx: AsyncConnection,
    records: Records[T],
    before: T,
    values: Mapping[str, Any],
    *,
    action: str = "update",
    **by: Unpack[By],
) -> T:
    """Changes a record that is locked; what is so already is no change, and leaves no trace.

    The audit trail has the fields that change, not the whole record: a route has thousands of
    fares.
    """
    after = {name: value for name, value in values.items() if getattr(before, name) != value}
    if not after:
        return before
    name = getattr(before, records.key.name)
    row = {**after, "version": before.version + 1}
    await tx.execute(update(records.key.table).where(records.key == name).values(row))
    was = {field: getattr(before, field) for field in after}
    await trace(tx, action, records.resource, name, before=was, after=after, **by)
    return replace(before, **row)  # type: ignore[type-var]


async def archive(tx: AsyncConnection, records: Records[T], before: T, **by: Unpack[By]) -> T:
    """Archives a record that is locked; a repeat changes nothing."""
    return await change(tx, records, before, {"state": ARCHIVED}, action="archive", **by)


async def unarchive(tx: AsyncConnection, records: Records[T], before: T, **by: Unpack[By]) -> T:
    """Takes a record that is locked back; a repeat changes nothing."""
    return await change(tx, records, before, {"state": ACTIVE}, action="unarchive", **by)


async def trace(
    tx: AsyncConnection,
    action: str,
    resource: str,
    name: object,
    *,
    before: Mapping[str, object] | None,
    after: Mapping[str, object] | None,
    **by: Unpack[By],
) -> None:
    """Records a change in the audit trail, and has every process see it."""
    changed = AuditedChange(
        actor=by["actor"], action=action, resource=resource, name=name, before=before, after=after
    )
    await run(tx, audit(changed, now=by["now"]))
    await change_feed.publish(tx, ChangeKind.CATALOGUE)


def refuse_archived(resource: str, name: object, record: CatalogueRecord) -> None:
    """Raises ARCHIVED for what is to be used, or changed."""
    if record.state == ARCHIVED:
        raise archived(resource, name)


def in_use(
    resource: str, name: object, *, user: str, user_name: object, remedy: str
) -> DomainError:
    """IN_USE for what something else is made of."""
    return DomainError(
        Reason.IN_USE,
        f"{resource} {name!r} is used by {user} {user_name!r}: {remedy}",
        resource=resource,
        name=name,
        used_by_resource=user,
        used_by=user_name,
    )
