"""What all that administrators keep has in common: a unique name, a state, and a trace of every
change.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Generic, Protocol, TypedDict, TypeVar, Unpack, cast

from sqlalchemy import Column, Select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit import rules
from server.audit.trail import AuditedChange, audit
from server.platform import change_feed
from server.platform.change_feed import ChangeKind
from server.platform.errors import DomainError, Reason, not_found, refuse_stale
from server.platform.statements import run
from server.platform.texts import read_name

ACTIVE, ARCHIVED, REVOKED = "ACTIVE", "ARCHIVED", "REVOKED"
MOST_NAME = 100
"""Characters of a name, as the contract says it of each."""


class By(TypedDict):
    """Who makes a change (the caller's key) and when: arguments of every use case that changes
    something.
    """

    actor: str
    now: datetime


class Kept(Protocol):
    """A frozen dataclass that has a state."""

    @property
    def state(self) -> str: ...  # noqa: D102


T = TypeVar("T", bound=Kept)
R = TypeVar("R")


@dataclass(frozen=True)
class Records(Generic[T]):
    """The rows of one table that carry a unique name, as frozen dataclasses.

    Attributes:
        resource: what errors and the audit trail call one of them.
        key: the column of the name; pages come in its order.
        query: reads them, with what else they are joined.
        record: the dataclass, of the query's columns; it goes into the audit trail whole, so it
            holds no secret.
        kind: what its changes are published as.
    """

    resource: str
    key: Column[Any]
    query: Select[*tuple[Any, ...]]
    record: Callable[..., T]
    kind: ChangeKind

    async def get(self, tx: AsyncConnection, name: object) -> T:
        """The record. Raises NOT_FOUND."""
        return await self._read(tx, name, self.query)

    async def lock(self, tx: AsyncConnection, name: object) -> T:
        """The record, which nobody else changes until the end of the transaction. Raises
        NOT_FOUND.
        """
        return await self._read(tx, name, self.query.with_for_update(of=self.key.table))

    async def lock_all(self, tx: AsyncConnection, names: Collection[object]) -> dict[object, T]:
        """As `lock`, those there are of several, by name."""
        query = self.query.where(self.key.in_(names)).order_by(self.key)
        rows = await tx.execute(query.with_for_update(of=self.key.table))
        return {row[self.key.name]: self.record(**row) for row in rows.mappings()}

    async def lock_active(self, tx: AsyncConnection, name: object) -> T:
        """As `lock`. Raises NOT_FOUND, REVOKED, ARCHIVED."""
        return self._active(name, await self.lock(tx, name))

    async def rely_on(self, tx: AsyncConnection, name: object) -> T:
        """As `share`. Raises NOT_FOUND, REVOKED, ARCHIVED."""
        return self._active(name, await self.share(tx, name))

    async def share(self, tx: AsyncConnection, name: object) -> T:
        """The record, which nobody changes until the end of the transaction. Raises NOT_FOUND."""
        return await self._read(tx, name, self.query.with_for_update(read=True, of=self.key.table))

    async def require_version(self, tx: AsyncConnection, name: object, version: int) -> None:
        """Locks the record if it is of that version still; 0 is any, and locks nothing.

        Raises NOT_FOUND, VERSION_MISMATCH.
        """
        if version:
            now = getattr(await self.lock(tx, name), "version", version)
            refuse_stale(self.resource, name, sent=version, now=now)

    async def page(
        self, tx: AsyncConnection, *, after: object | None, limit: int, **filters: object
    ) -> list[T]:
        """Up to `limit` records after the name `after`, in the order of names; empty filters do
        not count.
        """
        query = self.query.order_by(self.key).limit(limit)
        if after is not None:
            query = query.where(self.key > after)
        for column, value in filters.items():
            if value:
                query = query.where(self.query.selected_columns[column] == value)
        return [self.record(**row) for row in (await tx.execute(query)).mappings()]

    async def create(self, tx: AsyncConnection, values: Mapping[str, Any], **by: Unpack[By]) -> T:
        """Adds a record. Raises ALREADY_EXISTS, also when another call is just adding the same."""
        name = values[self.key.name]
        row = {**values, **self._stamped("create_time", "update_time", now=by["now"])}
        inserted = await tx.execute(
            pg_insert(self.key.table).values(row).on_conflict_do_nothing().returning(self.key)
        )
        if not inserted.one_or_none():
            raise already_exists(self.resource, name)
        return await self._trace(tx, name, None, "create", {}, **by)

    async def change(
        self,
        tx: AsyncConnection,
        before: T,
        values: Mapping[str, Any],
        *,
        action: str = "update",
        unshown: Mapping[str, str] | None = None,
        **by: Unpack[By],
    ) -> T:
        """Changes a record that is locked; `unshown` are fields the record does not have, for
        the audit trail.
        """
        name = getattr(before, self.key.name)
        row = {**values, **self._stamped("update_time", now=by["now"])}
        if "version" in self.key.table.c:
            row["version"] = self.key.table.c.version + 1
        await tx.execute(update(self.key.table).where(self.key == name).values(row))
        return await self._trace(tx, name, before, action, unshown or {}, **by)

    async def revoke(self, tx: AsyncConnection, name: object, **by: Unpack[By]) -> T:
        """Revokes a record, for good; a repeat changes nothing. Raises NOT_FOUND."""
        before = await self.lock(tx, name)
        if before.state == REVOKED:
            return before
        return await self.change(tx, before, {"state": REVOKED}, action="revoke", **by)

    async def archive(self, tx: AsyncConnection, name: object, **by: Unpack[By]) -> T:
        """Shuts a record out until it is taken back; a repeat changes nothing. Raises NOT_FOUND,
        REVOKED.
        """
        return await self._move(tx, name, ARCHIVED, "archive", **by)

    async def unarchive(self, tx: AsyncConnection, name: object, **by: Unpack[By]) -> T:
        """Takes a record that is archived back; a repeat changes nothing. Raises NOT_FOUND,
        REVOKED.
        """
        return await self._move(tx, name, ACTIVE, "unarchive", **by)

    async def _move(
        self, tx: AsyncConnection, name: object, state: str, action: str, **by: Unpack[By]
    ) -> T:
        before = await self.lock(tx, name)
        if before.state == REVOKED:
            raise revoked(self.resource, name)
        if before.state == state:
            return before
        return await self.change(tx, before, {"state": state}, action=action, **by)

    async def _read(self, tx: AsyncConnection, name: object, query: Select[*tuple[Any, ...]]) -> T:
        row = (await tx.execute(query.where(self.key == name))).mappings().one_or_none()
        if row is None:
            raise not_found(self.resource, name)
        return self.record(**row)

    def _active(self, name: object, record: T) -> T:
        if record.state == REVOKED:
            raise revoked(self.resource, name)
        if record.state == ARCHIVED:
            raise archived(self.resource, name)
        return record

    def _stamped(self, *columns: str, now: datetime) -> dict[str, datetime]:
        return {column: now for column in columns if column in self.key.table.c}

    async def _trace(
        self,
        tx: AsyncConnection,
        name: object,
        before: T | None,
        action: str,
        unshown: Mapping[str, str],
        **by: Unpack[By],
    ) -> T:
        after = await self.get(tx, name)
        change = AuditedChange(
            actor=by["actor"],
            action=action,
            resource=self.resource,
            name=name,
            before=shown(before) if before else None,
            after={**shown(after), **unshown},
        )
        await run(tx, audit(change, now=by["now"]))
        await change_feed.publish(tx, self.kind, name)
        return after


def shown(record: object) -> dict[str, Any]:
    """A record's fields for the audit trail."""
    return asdict(cast("Any", record))


def checked(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields, which are as `rules` wants them. Raises INVALID_FIELD."""
    refuse(rules.faults(values))
    return values


def with_names(record: R, path: str = "") -> R:
    """The record, a dataclass or mapping, with its names as they are kept (`texts.read_name`).

    Raises INVALID_FIELD, with field paths below `path`.
    """
    values: Mapping[str, Any] = record if isinstance(record, Mapping) else shown(record)
    read: dict[str, str] = {}
    faults: list[rules.Fault] = []
    for name in values:
        if name.startswith("display_name"):
            try:
                read[name] = read_name(values[name])
            except ValueError as error:
                faults.append((path + name, str(error)))
            if len(values[name]) > MOST_NAME:
                faults.append((path + name, f"has more than {MOST_NAME} characters"))
    refuse(faults)
    if isinstance(record, Mapping):
        return cast("R", {**record, **read})
    return cast("R", replace(cast("Any", record), **read))


def refuse(faults: Sequence[rules.Fault]) -> None:
    """Raises INVALID_FIELD with every fault, if there is any."""
    if faults:
        field, description = faults[0]
        raise DomainError(Reason.INVALID_FIELD, f"{field}: {description}", violations=faults)


def already_exists(resource: str, name: object) -> DomainError:
    """ALREADY_EXISTS for a name that is taken, if only by what is revoked."""
    return DomainError(
        Reason.ALREADY_EXISTS,
        f"{resource} {name!r} exists already; choose another name, or change that one",
        resource=resource,
        name=name,
    )


def revoked(resource: str, name: object) -> DomainError:
    """REVOKED for what may no longer be used or changed."""
    return DomainError(
        Reason.REVOKED,
        f"{resource} {name!r} is revoked for good; create and use another",
        resource=resource,
        name=name,
    )


def archived(resource: str, name: object) -> DomainError:
    """ARCHIVED for what is to be used or changed before it is taken back."""
    return DomainError(
        Reason.ARCHIVED,
        f"{resource} {name!r} is archived: unarchive it first, or name another",
        resource=resource,
        name=name,
    )
