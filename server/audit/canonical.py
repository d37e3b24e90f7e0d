"""The canonical form of an audit event: the bytes that its seal and the chain are made of. Pure.

Written down here, and never to be changed (a new form gets a new prefix), so that anybody can make
it again, in any language, from what the table holds, however PostgreSQL writes JSON:

- An object of the twelve fields of FIELDS, as JSON in UTF-8 without any white space, the names of
  every object sorted by code points.
- Strings: `"` and `\\` escaped by a backslash, control characters below U+0020 as \\b \\f \\n \\r
  \\t or \\u00xx in lower case, all else as it is.
- Numbers: decimal without exponent, without a plus sign, without zeros at the end of a fraction,
  without a fraction that is zero; 1.0 and 1e0 are 1.
- Times: UTC with six digits of a second, 2026-11-28T19:00:00.000000Z. Ids: UUIDs in lower case.
- What is absent (`before` of what is new, a `reason` that was not given) is null.

The digest of an event is SHA-256 of EVENT_PREFIX and these bytes. The chain's hash at a position is
SHA-256 of CHAIN_PREFIX, the hash before (32 zero bytes before the first), the position as eight
bytes, the highest first, and the event's digest.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from server.platform.crypto import digest

FIELDS = (
    "action",
    "actor",
    "address",
    "after",
    "audit_id",
    "before",
    "name",
    "occurred_time",
    "reason",
    "request_id",
    "resource",
    "terminal_device_id",
)
EVENT_PREFIX = b"deeptravel audit event 1\0"
CHAIN_PREFIX = b"deeptravel audit chain 1\0"
FIRST_HASH = bytes(32)


def parse(text: str | bytes | None) -> Any:
    """JSON with its numbers as they are written; None for none."""
    return None if text is None else json.loads(text, parse_float=Decimal)


def event_digest(event: Mapping[str, Any]) -> bytes:
    """The digest of an event: its `audit_id` a UUID, `occurred_time` a time, `before` and `after`
    as `parse` gives them, all else text or None.
    """
    fields = {name: event[name] for name in FIELDS}
    fields["audit_id"] = str(event["audit_id"])
    fields["occurred_time"] = _time(event["occurred_time"])
    return digest(EVENT_PREFIX + _text(fields).encode())


def chain_hash(before: bytes, position: int, event: bytes) -> bytes:
    """The chain's hash at a position, where this is the event's digest."""
    return digest(CHAIN_PREFIX + before + position.to_bytes(8, "big") + event)


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        items = (f"{_text(str(name))}:{_text(value[name])}" for name in sorted(value))
        return "{" + ",".join(items) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_text, value)) + "]"
    if isinstance(value, Decimal):
        return _decimal(value)
    # text, whole numbers, true, false and null
    return json.dumps(value, ensure_ascii=False)


def _decimal(number: Decimal) -> str:
    plain = f"{number:f}"
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return "0" if plain == "-0" else plain
