"""Exports of a partner's tickets: all that pass a filter, part by part in the order of their
numbers, as rows or as the lines of a file.

The database writes the lines: it does so ten times as quickly as Python. No transaction is open
between two parts, however slow the reader, and only one part is in memory.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from server.platform.database import Database
from server.platform.statements import Command, Statement, run
from server.tickets import qr
from server.tickets.listing import TicketFilter, Window, next_window, number_bounds
from server.tickets.rules import why_no_qr

PART_TICKETS = 1_000
"""Looked at in one transaction, some 30 ms of the database, and kept in memory."""

FileFormat = Literal["CSV", "JSONL"]
Issue = Callable[[Sequence[qr.Claims]], Awaitable[list[str]]]

COLUMNS = (
    *("ticket_code", "status", "product_id", "batch_id", "distributor_id", "order_id"),
    *("payment_reference", "create_time", "valid_from_time", "valid_until_time"),
    *("departure_id", "seat"),
)
QR_COLUMN = "encrypted_data"
_TIME = """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
_TICKETS = """
FROM unnest($1::bigint[], $2::bigint[]) AS s (first, last) CROSS JOIN LATERAL (
  SELECT * FROM tickets WHERE ticket_id BETWEEN s.first AND s.last
    AND ($3::text = '' OR state = $3::text)
    AND ($4::uuid[] IS NULL OR snapshot_id = ANY($4::uuid[]))
  ORDER BY ticket_id LIMIT $5::int) t
LEFT JOIN orders o ON o.order_id = t.order_id
LEFT JOIN departure_tickets d ON d.ticket_id = t.ticket_id
"""


def _cell(text: str) -> str:
    """A free text as a field of CSV: an apostrophe before what a spreadsheet would take for a
    formula, and quotes where RFC 4180 wants them.
    """
    harmless = rf"CASE WHEN {text} ~ E'^[=+@\t\r\n-]' THEN '''' || {text} ELSE {text} END"
    return (
        rf"""CASE WHEN {text} ~ E'[",\r\n]' THEN '"' || replace({harmless}, '"', '""') || '"'"""
        rf" ELSE {harmless} END"
    )


_VALUES = {
    "ticket_code": "t.ticket_code",
    "status": "t.state",
    "product_id": "t.product_id",
    "batch_id": "t.batch_id",
    "distributor_id": "t.distributor_id",
    "order_id": "coalesce(o.order_code, '')",
    "payment_reference": "coalesce(o.payment_reference, '')",
    "create_time": _TIME.format("t.create_time"),
    "valid_from_time": _TIME.format("t.valid_from_time"),
    "valid_until_time": _TIME.format("t.valid_until_time"),
    "departure_id": "coalesce(d.departure_id::text, '')",
    "seat": "coalesce(d.seat, '')",
}
_FREE_TEXTS = {"distributor_id", "payment_reference"}
_LINES: dict[FileFormat, str] = {
    "CSV": " || ',' || ".join(
        _cell(_VALUES[name]) if name in _FREE_TEXTS else _VALUES[name] for name in COLUMNS
    ),
    "JSONL": "(SELECT row_to_json(r)::text FROM (SELECT "
    + ", ".join(f"{_VALUES[name]} AS {name}" for name in COLUMNS)
    + ") r)",
}
_ENDS: dict[FileFormat, str] = {"CSV": "\r\n", "JSONL": "\n"}
_ENDS_IN_SQL: dict[FileFormat, str] = {"CSV": r"E'\r\n'", "JSONL": r"E'\n'"}
Row = TypeVar("Row")


class ExportedTicket(NamedTuple):
    """A ticket of an export."""

    ticket_id: int
    blocked: bool
    jti: UUID
    ticket_code: str
    status: str
    product_id: int
    batch_id: UUID | None
    distributor_id: str
    order_id: str
    payment_reference: str
    create_time: datetime
    valid_from_time: datetime
    valid_until_time: datetime
    departure_id: str
    seat: str


class FilePart(NamedTuple):
    """Whole lines of a file, and the code of the last ticket in them; empty where there is none."""

    text: str
    last_ticket_code: str


class _Line(NamedTuple):
    ticket_id: int
    blocked: bool
    jti: UUID
    ticket_code: str
    status: str
    valid_until_time: datetime
    text: str


_ROWS = Statement(
    "SELECT t.ticket_id, t.blocked, t.jti, t.ticket_code, t.state, t.product_id, t.batch_id,"
    " t.distributor_id, coalesce(o.order_code, ''), coalesce(o.payment_reference, ''),"
    " t.create_time, t.valid_from_time, t.valid_until_time, coalesce(d.departure_id::text, ''),"
    f" coalesce(d.seat, '') {_TICKETS} ORDER BY t.ticket_id",
    ExportedTicket,
)
_FILES = {
    form: Statement(
        f"SELECT coalesce(string_agg({line} || {_ENDS_IN_SQL[form]}, '' ORDER BY t.ticket_id), ''),"
        f" coalesce((array_agg(t.ticket_code ORDER BY t.ticket_id DESC))[1], '') {_TICKETS}",
        FilePart,
    )
    for form, line in _LINES.items()
}
_LINES_FOR_QR = {
    form: Statement(
        f"SELECT t.ticket_id, t.blocked, t.jti, t.ticket_code, t.state, t.valid_until_time, {line}"
        f" {_TICKETS} ORDER BY t.ticket_id",
        _Line,
    )
    for form, line in _LINES.items()
}


@dataclass(frozen=True, slots=True)
class Exporter:
    """What a partner exports, after the number `after`; `issue` issues the QR codes, if these
    are to come along.
    """

    db: Database
    caller: str
    partner_id: int
    wanted: TicketFilter
    zone: ZoneInfo
    after: int | None
    clock: Callable[[], datetime]
    issue: Issue | None

    async def rows(self) -> AsyncIterator[list[tuple[ExportedTicket, str]]]:
        """The tickets, each with its QR token; that is empty where none was asked for, or the
        ticket gets none.
        """
        async for part in self._parts(_ROWS):
            yield list(zip(part, await self._tokens(part), strict=True))

    async def file(self, form: FileFormat) -> AsyncIterator[FilePart]:
        """Whole lines of a file, at least one part. The header of CSV comes with the first lines,
        so that whoever resumes has it once; a file that goes on after a ticket has none.
        """
        names = [*COLUMNS, QR_COLUMN] if self.issue else COLUMNS
        has_header = form == "CSV" and self.after is None
        before = FilePart(",".join(names) + _ENDS[form] if has_header else "", "")
        is_empty = True
        async for part in self._lines(form):
            yield part._replace(text=before.text + part.text) if is_empty else part
            is_empty = False
        if is_empty:
            yield before

    async def _lines(self, form: FileFormat) -> AsyncIterator[FilePart]:
        if self.issue is None:
            async for (part,) in self._parts(_FILES[form]):
                if part.text:
                    yield part
            return
        async for lines in self._parts(_LINES_FOR_QR[form]):
            tokens = await self._tokens(lines)
            texts = map(_with_token, lines, tokens, [form] * len(lines))
            yield FilePart("".join(texts), lines[-1].ticket_code)

    async def _parts(self, statement: Statement[Row]) -> AsyncIterator[list[Row]]:
        """What the statement reads of each part that is not empty."""
        async with self.db.report(self.caller) as tx:
            first, last = await number_bounds(tx, self.partner_id, self.wanted, self.zone)
        if self.after is not None:
            first = max(first, self.after + 1)
        is_all = first > last
        while not is_all:
            async with self.db.report(self.caller) as tx:
                window = await next_window(
                    tx, self.partner_id, self.wanted, first, last, numbers=PART_TICKETS
                )
                rows = await run(tx, self._read(statement, window)) if window.spans else []
            if rows:
                yield rows
            first, is_all = window.last + 1, window.is_all

    def _read(self, statement: Statement[Row], window: Window) -> Command[Row]:
        firsts, lasts = zip(*(span[:2] for span in window.spans), strict=True)
        state = self.wanted.state
        return statement(firsts, lasts, state, window.snapshot_ids, PART_TICKETS)

    async def _tokens(self, part: Sequence[ExportedTicket] | Sequence[_Line]) -> list[str]:
        if self.issue is None:
            return [""] * len(part)
        now = self.clock()
        claims = [_claims(each, now) for each in part]
        issued = iter(await self.issue([each for each in claims if each]))
        return [next(issued) if each else "" for each in claims]


def _claims(ticket: ExportedTicket | _Line, now: datetime) -> qr.Claims | None:
    """What the ticket's QR says; None for one that gets none."""
    until = ticket.valid_until_time
    if why_no_qr(ticket.status, blocked=ticket.blocked, valid_until_time=until, now=now):
        return None
    return qr.claims_of(ticket.jti, ticket.ticket_id, until)


def _with_token(line: _Line, token: str, form: FileFormat) -> str:
    """A line with its QR token, which needs no quotes of its own."""
    if form == "CSV":
        return f"{line.text},{token}{_ENDS[form]}"
    return f'{line.text[:-1]},"{QR_COLUMN}":"{token}"}}{_ENDS[form]}'
