"""Files of audit events: CSV for people, JSON lines for programs."""

import csv
import io
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import fields
from typing import Any, Literal

import orjson

from server.audit.audit_events import (
    AuditEvent,
    AuditFilter,
    Transactions,
    stream_audit_events,
)

Format = Literal["CSV", "JSON_LINES"]
CONTENT_TYPES: dict[Format, str] = {
    "CSV": "text/csv; charset=utf-8",
    "JSON_LINES": "application/x-ndjson",
}
COLUMNS = tuple(field.name for field in fields(AuditEvent))
FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet program read a text as a formula."""


async def file(
    transaction: Transactions, wanted: AuditFilter, form: Format, *, hidden: Collection[str]
) -> AsyncIterator[bytes]:
    """A file of the events that are wanted, newest first, in parts; without what is in fields of
    the names `hidden`.
    """
    content = _csv([COLUMNS]) if form == "CSV" else b""
    async for events in stream_audit_events(transaction, wanted):
        yield content + _lines([event.without(hidden) for event in events], form)
        content = b""
    if content:
        yield content


def _lines(events: Sequence[AuditEvent], form: Format) -> bytes:
    """The lines of events."""
    if form == "CSV":
        return _csv([_cell(value) for value in _values(event)] for event in events)
    shown = (dict(zip(COLUMNS, _values(event), strict=True)) for event in events)
    return b"".join(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in shown)


def _values(event: AuditEvent) -> Iterable[Any]:
    for name in COLUMNS:
        value = getattr(event, name)
        yield value.hex() if isinstance(value, bytes) else value


def _csv(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULAS) else value
    return orjson.dumps(value).decode().strip('"')
