"""The audit trail: one row for each administrative change (DOMAIN, Operations)."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import uuid4

import orjson

from server.platform.statements import Command, Statement

SECRET_WORDS = ("password", "secret", "api_key", "_token")
REDACTED = "(not recorded)"

State = Mapping[str, object] | None


class AuditedChange(NamedTuple):
    """What who did to what.

    `actor` is the caller's key, `action` a verb (`create`, `update`, `revoke`), `resource` and
    `name` say what was changed; `before` and `after` are its fields, None where there is none.
    Values may be what JSON has, times, UUIDs and sets; whatever a field's name says is secret is
    replaced.
    """

    actor: str
    action: str
    resource: str
    name: object
    before: State
    after: State


_RECORD = Statement("""
INSERT INTO audit_events (audit_id, occurred_time, actor, action, resource, name, before, after)
SELECT v.audit_id, $1::timestamptz, v.actor, v.action, v.resource, v.name, v.before::jsonb,
  v.after::jsonb
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
  AS v (audit_id, actor, action, resource, name, before, after)
""")


def audit(*changes: AuditedChange, now: datetime) -> Command[None] | None:
    """Records changes, in the transaction that makes them; None if there are none."""
    rows = [
        (
            uuid4(),
            change.actor,
            change.action,
            change.resource,
            str(change.name),
            _written(change.before),
            _written(change.after),
        )
        for change in changes
    ]
    return _RECORD.of_rows(rows, now)


def _written(state: State) -> str | None:
    return None if state is None else orjson.dumps(_redacted(state), default=_json).decode()


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
