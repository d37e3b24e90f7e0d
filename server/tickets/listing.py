"""Lists of a partner's tickets, page by page in the order of their numbers.

A page looks at so many tickets at the most, along the primary key alone: no index may name a state,
as a redemption changes it (tests/contract/test_schema.py). What holds of all tickets of a batch,
or of those under one snapshot, is looked up in the batches first, so that the page begins with one
that matches.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.statements import Statement, run
from server.tickets.rules import number_range
from server.tickets.tickets import find_batch

MAX_SCANNED = 5_000
"""A page looks at this many tickets at the most; if fewer match than it could hold, it is short.
Some 10 ms of the database.
"""
MAX_BATCHES = 20_000
"""A page looks at this many batches at the most for those that match, and"""
MAX_SPANS = 500
"""in this many of these for its tickets; at first in"""
FEW_SPANS = 8
"""this many, which are enough unless they are small."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket as its partner sees it; `entitlements` are (function_code, remaining_uses,
    total_uses) by code.
    """

    ticket_id: int
    ticket_code: str
    state: str
    batch_id: UUID | None
    product_id: int
    distributor_id: str
    order_id: int | None
    create_time: datetime
    valid_from_time: datetime
    valid_until_time: datetime
    snapshot_id: UUID
    entitlements: Sequence[tuple[str, int, int]]
    departure_id: int | None = None
    seat: str | None = None


@dataclass(frozen=True, slots=True)
class TicketFilter:
    """Which tickets; None or empty takes all. `order_ids` are those of orders, by number."""

    state: str = ""
    batch_id: UUID | None = None
    distributor_id: str = ""
    create_time_from: datetime | None = None
    create_time_until: datetime | None = None
    product_id: int = 0
    order_ids: Sequence[int] | None = None

    @property
    def names_batches(self) -> bool:
        """Whether it takes what holds of all tickets of a batch: then batches are looked up."""
        return bool(
            self.distributor_id
            or self.create_time_from
            or self.create_time_until
            or self.product_id
        )

    @property
    def is_sparse(self) -> bool:
        """Whether those that it takes may lie far apart: it is not all of a partner's, or of a
        batch.
        """
        return bool(self.state or self.names_batches)


@dataclass(frozen=True, slots=True)
class TicketPage:
    """Tickets in the order of their numbers, and the number to go on behind; None at the end."""

    tickets: list[Ticket]
    next_after: int | None


class _Row(NamedTuple):
    ticket_id: int
    ticket_code: str
    state: str
    batch_id: UUID | None
    product_id: int
    distributor_id: str
    order_id: int | None
    create_time: datetime
    valid_from_time: datetime
    valid_until_time: datetime
    snapshot_id: UUID
    function_codes: Sequence[str] | None
    remaining_uses: Sequence[int] | None
    total_uses: Sequence[int] | None
    departure_id: int | None
    seat: str | None


class TicketSpan(NamedTuple):
    """Numbers that lie together; with `snapshot_ids`, which of them are meant. One that is the last
    that was looked at, and not the last there is, `is_cut`; it may not match.
    """

    first: int
    last: int
    matches: bool = True
    is_cut: bool = False
    snapshot_ids: Sequence[UUID] | None = None


class _Next(NamedTuple):
    ticket_id: int
    has_more: bool


class Window(NamedTuple):
    """Where tickets are looked for, up to the number `last`; after that there is more unless it
    `is_all`.
    """

    spans: Sequence[TicketSpan]
    last: int
    is_all: bool

    @property
    def numbers(self) -> int:
        """How many these are."""
        return sum(span.last - span.first + 1 for span in self.spans)

    @property
    def snapshot_ids(self) -> set[UUID] | None:
        """Those that are meant; None for all."""
        found = {each for span in self.spans for each in span.snapshot_ids or ()}
        return found or None


# a span at a time, each along the primary key until the page is full
_PAGE = Statement(
    """
SELECT p.*, e.*, d.departure_id, d.seat FROM (
  SELECT t.* FROM unnest($1::bigint[], $2::bigint[]) AS s (first, last) CROSS JOIN LATERAL (
    SELECT ticket_id, ticket_code, state, batch_id, product_id, distributor_id, order_id,
      create_time, valid_from_time, valid_until_time, snapshot_id
    FROM tickets WHERE ticket_id BETWEEN s.first AND s.last
      AND ($3::text = '' OR state = $3::text)
      AND ($4::uuid[] IS NULL OR snapshot_id = ANY($4::uuid[]))
    ORDER BY ticket_id LIMIT $5::int) t
  ORDER BY t.ticket_id LIMIT $5::int) p
CROSS JOIN LATERAL (
  SELECT array_agg(function_code ORDER BY function_code),
    array_agg(remaining_uses ORDER BY function_code), array_agg(total_uses ORDER BY function_code)
  FROM entitlements WHERE ticket_id = p.ticket_id) e
LEFT JOIN departure_tickets d ON d.ticket_id = p.ticket_id
ORDER BY p.ticket_id
""",
    _Row,
)
_PAGE_OF_ORDERS = Statement(
    """
SELECT p.*, e.*, d.departure_id, d.seat FROM (
  SELECT ticket_id, ticket_code, state, batch_id, product_id, distributor_id, order_id,
    create_time, valid_from_time, valid_until_time, snapshot_id
  FROM tickets WHERE order_id = ANY($1::bigint[]) AND ticket_id BETWEEN $2::bigint AND $3::bigint
    AND ($4::text = '' OR state = $4::text) AND ($5::uuid IS NULL OR batch_id = $5::uuid)
    AND ($6::int = 0 OR product_id = $6::int)
    AND ($7::text = '' OR EXISTS (
      SELECT FROM distributor_batches d WHERE d.partner_id = $8::int AND d.distributor_id = $7::text
        AND d.snapshot_id = tickets.snapshot_id
        AND d.first_ticket_id = (SELECT first_ticket_id FROM batches b
          WHERE b.batch_id = tickets.batch_id)))
    AND ($9::timestamptz IS NULL OR create_time >= $9::timestamptz)
    AND ($10::timestamptz IS NULL OR create_time < $10::timestamptz)
  ORDER BY ticket_id LIMIT $11::int) p
CROSS JOIN LATERAL (
  SELECT array_agg(function_code ORDER BY function_code),
    array_agg(remaining_uses ORDER BY function_code), array_agg(total_uses ORDER BY function_code)
  FROM entitlements WHERE ticket_id = p.ticket_id) e
LEFT JOIN departure_tickets d ON d.ticket_id = p.ticket_id
ORDER BY p.ticket_id
""",
    _Row,
)
# the first number that there is, and whether there are others than the next so many
_NEXT = Statement(
    """
SELECT n.ticket_id, EXISTS (
  SELECT FROM tickets WHERE ticket_id BETWEEN n.ticket_id + $3::bigint AND $2::bigint)
FROM (SELECT ticket_id FROM tickets WHERE ticket_id BETWEEN $1::bigint AND $2::bigint
  ORDER BY ticket_id LIMIT 1) n
""",
    _Next,
)
# from the batch on that `first` ($2) is in, or the next; the last one looked at comes too
_OF_BATCHES = """
SELECT first, last, matches, n = $7::int, snapshot_ids FROM (
  SELECT *, row_number() OVER (ORDER BY first) AS n, ($4::int = 0 OR product_id = $4::int)
      AND ($5::timestamptz IS NULL OR create_time >= $5::timestamptz)
      AND ($6::timestamptz IS NULL OR create_time < $6::timestamptz) AS matches
  FROM (
    {batches}
    ORDER BY first LIMIT $7::int) b
  ) looked
WHERE matches OR n = $7::int ORDER BY first LIMIT $8::int
"""
_SPANS = Statement(
    _OF_BATCHES.format(
        batches="""
    SELECT first_ticket_id AS first, first_ticket_id + quantity - 1 AS last,
      NULL::uuid[] AS snapshot_ids, product_id, create_time
    FROM batches WHERE partner_id = $1::int AND first_ticket_id BETWEEN coalesce((
      SELECT max(first_ticket_id) FROM batches
      WHERE partner_id = $1::int AND first_ticket_id <= $2::bigint), $2::bigint) AND $3::bigint
"""
    ),
    TicketSpan,
)
_SPANS_OF_DISTRIBUTOR = Statement(
    _OF_BATCHES.format(
        batches="""
    SELECT d.first, d.last, d.snapshot_ids, b.product_id, b.create_time
    FROM (
      SELECT first_ticket_id AS first, max(last_ticket_id) AS last,
        array_agg(snapshot_id) AS snapshot_ids
      FROM distributor_batches
      WHERE partner_id = $1::int AND distributor_id = $9 AND first_ticket_id BETWEEN coalesce((
        SELECT max(first_ticket_id) FROM distributor_batches
        WHERE partner_id = $1::int AND distributor_id = $9 AND first_ticket_id <= $2::bigint
      ), $2::bigint) AND $3::bigint
      GROUP BY first_ticket_id ORDER BY first_ticket_id LIMIT $7::int) d
    JOIN batches b ON b.partner_id = $1::int AND b.first_ticket_id = d.first
"""
    ),
    TicketSpan,
)


async def list_tickets(
    tx: AsyncConnection,
    partner_id: int,
    wanted: TicketFilter,
    *,
    zone: ZoneInfo,
    after: int | None,
    limit: int,
) -> TicketPage:
    """Up to `limit` of a partner's tickets after the number `after`.

    A page may be short, or empty, and not the last: it looks at MAX_SCANNED tickets, and for them
    in MAX_BATCHES batches, and leaves the rest to the next.
    """
    first, last = await number_bounds(tx, partner_id, wanted, zone)
    if after is not None:
        first = max(first, after + 1)
    if first > last:
        return TicketPage([], None)
    if wanted.order_ids is not None:
        rows = await _of_orders(tx, partner_id, wanted, first, last, limit=limit)
        window = Window([], last, is_all=True)
    else:
        rows, window = await _matching(tx, partner_id, wanted, first, last, limit=limit)
    next_after = None if window.is_all else window.last
    if len(rows) > limit:
        next_after = rows[limit - 1].ticket_id
    return TicketPage(list(map(_ticket, rows[:limit])), next_after)


async def number_bounds(
    tx: AsyncConnection, partner_id: int, wanted: TicketFilter, zone: ZoneInfo
) -> tuple[int, int]:
    """The first and the last number that can match; the last before the first if none can."""
    first, last = number_range(partner_id, wanted.create_time_from, wanted.create_time_until, zone)
    if wanted.batch_id:
        batch = await find_batch(tx, partner_id, wanted.batch_id)
        if batch is None:
            return first, first - 1
        first, last = max(first, batch.first_ticket_id), min(last, batch.last_ticket_id)
    return first, last


async def _matching(
    tx: AsyncConnection,
    partner_id: int,
    wanted: TicketFilter,
    first: int,
    last: int,
    *,
    limit: int,
) -> tuple[list[_Row], Window]:
    """The matching tickets of a range, and one more than a page has; and where they were looked
    for: in MAX_SCANNED numbers, but where whole batches match first in as many as a page may have.
    """
    rows: list[_Row] = []
    window = Window([TicketSpan(first, last)], last, is_all=True)
    if not wanted.is_sparse:
        return await _look(tx, wanted, window, limit), window
    few = MAX_SCANNED if wanted.state else min(limit + 1, MAX_SCANNED)
    for numbers in sorted({few, MAX_SCANNED}):
        window = await next_window(tx, partner_id, wanted, first, last, numbers=numbers)
        rows = await _look(tx, wanted, window, limit)
        if len(rows) > limit or window.is_all:
            break
    return rows, window


async def _look(
    tx: AsyncConnection, wanted: TicketFilter, window: Window, limit: int
) -> list[_Row]:
    if not window.spans:
        return []
    firsts, lasts = zip(*(span[:2] for span in window.spans), strict=True)
    return await run(tx, _PAGE(firsts, lasts, wanted.state, window.snapshot_ids, limit + 1))


async def _of_orders(
    tx: AsyncConnection,
    partner_id: int,
    wanted: TicketFilter,
    first: int,
    last: int,
    *,
    limit: int,
) -> list[_Row]:
    asked = _PAGE_OF_ORDERS(
        wanted.order_ids or (),
        first,
        last,
        wanted.state,
        wanted.batch_id,
        wanted.product_id,
        wanted.distributor_id,
        partner_id,
        wanted.create_time_from,
        wanted.create_time_until,
        limit + 1,
    )
    return await run(tx, asked)


async def next_window(
    tx: AsyncConnection,
    partner_id: int,
    wanted: TicketFilter,
    first: int,
    last: int,
    *,
    numbers: int,
) -> Window:
    """Where the next `numbers` tickets of a range are that may match, whatever their state."""
    if not wanted.names_batches:
        begins = await run(tx, _NEXT(first, last, numbers))
        if not begins:
            return Window([], last, is_all=True)
        begin, has_more = begins[0]
        end = begin + numbers - 1
        return Window([TicketSpan(begin, min(end, last))], min(end, last), is_all=not has_more)
    window = Window([], last, is_all=True)
    for spans in sorted({min(FEW_SPANS, MAX_SPANS), MAX_SPANS}):
        values = (
            *(partner_id, first, last, wanted.product_id),
            *(wanted.create_time_from, wanted.create_time_until, MAX_BATCHES, spans),
        )
        if wanted.distributor_id:
            found = await run(tx, _SPANS_OF_DISTRIBUTOR(*values, wanted.distributor_id))
        else:
            found = await run(tx, _SPANS(*values))
        window = _cut(found, first, last, numbers, is_all=len(found) < spans)
        if window.is_all or window.numbers >= numbers:
            break
    return window


def _cut(
    found: Sequence[TicketSpan], first: int, last: int, numbers: int, *, is_all: bool
) -> Window:
    """What spans have in a range, up to so many numbers; whether these are all spans there are."""
    spans: list[TicketSpan] = []
    for span in found:
        begin, end = max(span.first, first), min(span.last, last)
        if span.matches and begin <= end:
            if not numbers:
                return Window(spans, spans[-1].last, is_all=False)
            upto = min(end, begin + numbers - 1)
            spans.append(span._replace(first=begin, last=upto))
            numbers -= upto - begin + 1
            if upto < end:
                return Window(spans, upto, is_all=False)
        if span.is_cut:
            return Window(spans, end, is_all=False)
    return Window(spans, last if is_all else spans[-1].last, is_all=is_all)


def _ticket(row: _Row) -> Ticket:
    uses = row.function_codes or (), row.remaining_uses or (), row.total_uses or ()
    of_departure = row.departure_id, row.seat
    return Ticket(*row[:11], list(zip(*uses, strict=True)), *of_departure)
