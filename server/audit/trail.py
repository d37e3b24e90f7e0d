"""The audit trail: one row for each administrative change, sign-in and action of the daemon
(DOMAIN, Operations).

Rows are only added, each in the transaction of what it tells of, and wait for nobody. Each carries
a seal, made of its content with a key that is not in the database, so that what somebody writes or
changes by SQL is known (`verifying.py`); a sequencer puts them into a chain after the commit
(`chaining.py`).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import orjson

from server.audit import canonical, origins
from server.audit.origins import ChangeOrigin
from server.platform.crypto import Signer
from server.platform.statements import Command, Statement

SECRET_WORDS = ("password", "secret", "api_key", "_token")
REDACTED = "(not recorded)"
RECORDED = "audit_recorded"
"""What a transaction that has recorded something notifies."""
SEAL_PURPOSE = "deeptravel audit seals"
SEAL_BYTES = 16

State = Mapping[str, object] | None

_seals: Signer | None = None


def seal_with(secret_key: bytes) -> None:
    """Has this process seal what it records from now on; a server and a command do so when they
    start.
    """
    global _seals  # noqa: PLW0603 - one for the process, as its secret key
    _seals = seals(secret_key)


def seals(secret_key: bytes) -> Signer:
    """What makes seals, and knows them again."""
    return Signer(secret_key, SEAL_PURPOSE, mac_bytes=SEAL_BYTES)


class AuditedChange(NamedTuple):
    """What who did to what, why, and from where.

    `actor` is the caller's key, `action` a verb (`create`, `update`, `revoke`), `resource` and
    `name` say what was changed; `before` and `after` are its fields, None where there is none.
    Values may be what JSON has, times, UUIDs and sets; whatever a field's name says is secret is
    replaced. `reason` is what the actor said; the `comment` of `after` if nothing else is given.
    `origin` is that of the call under way, unless it is given: work that calls wait for together
    has to give it.
    """

    actor: str
    action: str
    resource: str
    name: object
    before: State
    after: State
    reason: str = ""
    origin: ChangeOrigin | None = None


_RECORD = Statement(
    """
INSERT INTO audit_events (audit_id, occurred_time, actor, action, resource, name, before, after,
  reason, address, terminal_device_id, request_id, seal)
SELECT v.audit_id, $1::timestamptz, v.actor, v.action, v.resource, v.name, v.before::jsonb,
  v.after::jsonb, v.reason, v.address, v.terminal_device_id, v.request_id, decode(v.seal, 'hex')
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::text[], $10::text[], $11::text[], $12::text[], $13::text[])
  AS v (audit_id, actor, action, resource, name, before, after, reason, address,
    terminal_device_id, request_id, seal)
""",
    notifies=RECORDED,
)


def audit(*changes: AuditedChange, now: datetime) -> Command[None] | None:
    """Records changes, in the transaction that makes them; None if there are none."""
    return _RECORD.of_rows([_row(uuid4(), change, now) for change in changes], now)


def _row(audit_id: UUID, change: AuditedChange, now: datetime) -> tuple[Any, ...]:
    before, after = _written(change.before), _written(change.after)
    origin = change.origin or origins.current()
    fields: dict[str, Any] = {
        "actor": change.actor,
        "action": change.action,
        "resource": change.resource,
        "name": str(change.name),
        "before": before,
        "after": after,
        "reason": change.reason or _comment(change.after),
        "address": origin.address or None,
        "terminal_device_id": origin.terminal_device_id or None,
        "request_id": origin.request_id or None,
    }
    return audit_id, *fields.values(), _seal(audit_id, fields, now)


def _comment(after: State) -> str | None:
    comment = (after or {}).get("comment")
    return comment if isinstance(comment, str) and comment else None


def _seal(audit_id: UUID, fields: dict[str, Any], now: datetime) -> str | None:
    if _seals is None:
        return None
    digest = canonical.event_digest(
        {
            **fields,
            "audit_id": audit_id,
            "occurred_time": now,
            "before": canonical.parse(fields["before"]),
            "after": canonical.parse(fields["after"]),
        }
    )
    return _seals.mac(digest).hex()


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
