"""The audit trail: one row for each administrative change (DOMAIN, Operations)."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import uuid4

import orjson
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.models import audit_events
from server.platform.pipeline import PreparedStatement

SECRET_WORDS = ("password", "secret", "api_key", "_token")
REDACTED = "(not recorded)"

State = Mapping[str, object] | None


class AuditedChange(NamedTuple):
    """What was done to what, as `audit` says."""

    action: str
    resource: str
    name: object
    before: State
    after: State


RECORD_CHANGES = PreparedStatement("""
INSERT INTO audit_events (audit_id, occurred_time, actor, action, resource, name, before, after)
SELECT v.audit_id, $1::timestamptz, v.actor, v.action, v.resource, v.name, v.before::jsonb,
  v.after::jsonb
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
  AS v (audit_id, actor, action, resource, name, before, after)
""")
"""Records changes in a shared transaction: the time, then the columns of `row`s."""


def row(change: AuditedChange, *, actor: str) -> tuple[Any, ...]:
    """A change as RECORD_CHANGES takes it."""
    states = [_written(state) for state in (change.before, change.after)]
    return uuid4(), actor, change.action, change.resource, str(change.name), *states


def _written(state: State) -> str | None:
    return None if state is None else orjson.dumps(_redacted(state), default=_json).decode()


async def audit(
    tx: AsyncConnection,
    *,
    actor: str,
    action: str,
    resource: str,
    name: object,
    before: State,
    after: State,
    now: datetime,
) -> None:
    """Records a change, in the transaction that makes it.

    `actor` is the caller's key, `action` a verb (`create`, `update`, `revoke`), `resource` and
    `name` say what was changed; `before` and `after` are its fields, None where there is none.
    Values may be what JSON has, times, UUIDs and sets; whatever a field's name says is secret is
    replaced.
    """
    await audit_all(
        tx, [AuditedChange(action, resource, name, before, after)], actor=actor, now=now
    )


async def audit_all(
    tx: AsyncConnection, changes: Iterable[AuditedChange], *, actor: str, now: datetime
) -> None:
    """Records changes as `audit` does, in one statement."""
    rows = [
        {
            "audit_id": uuid4(),
            "occurred_time": now,
            "actor": actor,
            "action": change.action,
            "resource": change.resource,
            "name": str(change.name),
            "before": _recordable(change.before),
            "after": _recordable(change.after),
        }
        for change in changes
    ]
    if rows:
        await tx.execute(insert(audit_events), rows)


def _recordable(state: State) -> Any:
    return orjson.loads(orjson.dumps(_redacted(state), default=_json))


def _redacted(value: object) -> object:
    if isinstance(value, Mapping):
        return {
            key: REDACTED if _is_secret(str(key)) and item is not None else _redacted(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_redacted(item) for item in value]
    return value


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in SECRET_WORDS)


def _json(value: object) -> object:
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{value!r} is not JSON")
