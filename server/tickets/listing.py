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
MAX_SPANS = 500
"""Batches in which a page looks for them."""


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
    entitlements: Sequence[tuple[str, int, int]]


@dataclass(frozen=True, slots=True)
class TicketFilter:
    """Which tickets; None or empty takes all."""

    state: str = ""
    batch_id: UUID | None = None
    distributor_id: str = ""
    create_time_from: datetime | None = None
    create_time_until: datetime | None = None

    @property
    def is_sparse(self) -> bool:
        """Whether those that it takes may lie far apart: it is not all of a partner's, or of a
        batch.
        """
        return bool(
            self.state or self.distributor_id or self.create_time_from or self.create_time_until
        )


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


class _Uses(NamedTuple):
    ticket_id: int
    function_code: str
    remaining_uses: int
    total_uses: int


class _Span(NamedTuple):
    """Numbers that lie together; with `snapshot_ids`, which of them are meant."""

    first: int
    last: int
    snapshot_ids: Sequence[UUID] = ()


@dataclass(frozen=True, slots=True)
class _Window:
    """Where a page looks; behind it there is more unless it `is_all`."""

    spans: Sequence[_Span]
    is_all: bool


# a span at a time, each along the primary key until the page is full
_PAGE = Statement(
    """
SELECT t.* FROM unnest($1::bigint[], $2::bigint[]) AS s (first, last) CROSS JOIN LATERAL (
  SELECT ticket_id, ticket_code, state, batch_id, product_id, distributor_id, order_id,
    create_time, valid_from_time, valid_until_time
  FROM tickets WHERE ticket_id BETWEEN s.first AND s.last
    AND ($3::text = '' OR state = $3::text)
    AND ($4::uuid[] IS NULL OR snapshot_id = ANY($4::uuid[]))
    AND ($5::timestamptz IS NULL OR create_time >= $5::timestamptz)
    AND ($6::timestamptz IS NULL OR create_time < $6::timestamptz)
  ORDER BY ticket_id LIMIT $7::int) t
ORDER BY t.ticket_id LIMIT $7::int
""",
    _Row,
)
_USES = Statement(
    """
SELECT ticket_id, function_code, remaining_uses, total_uses FROM entitlements
WHERE ticket_id = ANY($1::bigint[]) ORDER BY ticket_id, function_code
""",
    _Uses,
)
_NEXT = Statement(
    """
SELECT ticket_id FROM tickets WHERE ticket_id BETWEEN $1::bigint AND $2::bigint
ORDER BY ticket_id LIMIT 1
""",
    int,
)
# from the batch on that `first` ($3) is in, or the next
_SPANS_OF_DISTRIBUTOR = Statement(
    """
SELECT first_ticket_id, max(last_ticket_id), array_agg(snapshot_id) FROM distributor_batches
WHERE partner_id = $1::int AND distributor_id = $2 AND first_ticket_id BETWEEN coalesce((
    SELECT max(first_ticket_id) FROM distributor_batches
    WHERE partner_id = $1::int AND distributor_id = $2 AND first_ticket_id <= $3::bigint
  ), $3::bigint) AND $4::bigint AND last_ticket_id >= $3::bigint
GROUP BY first_ticket_id ORDER BY first_ticket_id LIMIT $5::int
""",
    _Span,
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

    A page may be short, or empty, and not the last: it looks at MAX_SCANNED tickets (those before
    the distributor's next batch do not count) and leaves the rest to the next.
    """
    first, last = number_range(partner_id, wanted.create_time_from, wanted.create_time_until, zone)
    if wanted.batch_id:
        batch = await find_batch(tx, partner_id, wanted.batch_id)
        if batch is None:
            return TicketPage([], None)
        first, last = max(first, batch.first_ticket_id), min(last, batch.last_ticket_id)
    if after is not None:
        first = max(first, after + 1)
    rows, window = await _matching(tx, partner_id, wanted, first, last, limit=limit)
    next_after = None if window.is_all else window.spans[-1].last
    if len(rows) > limit:
        next_after = rows[limit - 1].ticket_id
    return TicketPage(await _with_uses(tx, rows[:limit]), next_after)


async def _matching(
    tx: AsyncConnection,
    partner_id: int,
    wanted: TicketFilter,
    first: int,
    last: int,
    *,
    limit: int,
) -> tuple[list[_Row], _Window]:
    """The matching tickets of a range, and one more than a page has; and where they were looked
    for: in as many numbers as a page may have, and if that is not enough in MAX_SCANNED.
    """
    rows: list[_Row] = []
    window = _Window([_Span(first, last)], is_all=True)
    if not wanted.is_sparse:
        return await _look(tx, wanted, window, limit), window
    for numbers in (min(limit + 1, MAX_SCANNED), MAX_SCANNED):
        window = await _window(tx, partner_id, wanted, first, last, numbers=numbers)
        rows = await _look(tx, wanted, window, limit)
        if len(rows) > limit or window.is_all:
            break
    return rows, window


async def _look(
    tx: AsyncConnection, wanted: TicketFilter, window: _Window, limit: int
) -> list[_Row]:
    if not window.spans:
        return []
    snapshot_ids = {snapshot for span in window.spans for snapshot in span.snapshot_ids}
    asked = _PAGE(
        [span.first for span in window.spans],
        [span.last for span in window.spans],
        wanted.state,
        snapshot_ids or None,
        wanted.create_time_from,
        wanted.create_time_until,
        limit + 1,
    )
    return await run(tx, asked)


async def _window(
    tx: AsyncConnection,
    partner_id: int,
    wanted: TicketFilter,
    first: int,
    last: int,
    *,
    numbers: int,
) -> _Window:
    """Where the next `numbers` tickets of a range are that may match."""
    if wanted.distributor_id:
        asked = _SPANS_OF_DISTRIBUTOR(partner_id, wanted.distributor_id, first, last, MAX_SPANS)
        return _cut(await run(tx, asked), first, last, numbers)
    found = await run(tx, _NEXT(first, last))
    if not found:
        return _Window([], is_all=True)
    end = found[0] + numbers - 1
    is_all = end >= last or not await run(tx, _NEXT(end + 1, last))
    return _Window([_Span(found[0], min(end, last))], is_all=is_all)


def _cut(found: Sequence[_Span], first: int, last: int, numbers: int) -> _Window:
    """What spans have in a range, up to so many numbers."""
    spans: list[_Span] = []
    for span in found:
        begin, end = max(span.first, first), min(span.last, last)
        if end - begin >= numbers:
            spans.append(_Span(begin, begin + numbers - 1, span.snapshot_ids))
            return _Window(spans, is_all=False)
        spans.append(_Span(begin, end, span.snapshot_ids))
        numbers -= end - begin + 1
        if not numbers:
            return _Window(spans, is_all=len(spans) == len(found) < MAX_SPANS)
    return _Window(spans, is_all=len(found) < MAX_SPANS)


async def _with_uses(tx: AsyncConnection, rows: Sequence[_Row]) -> list[Ticket]:
    uses: dict[int, list[tuple[str, int, int]]] = {row.ticket_id: [] for row in rows}
    for ticket_id, function_code, remaining, total in await run(tx, _USES(list(uses))):
        uses[ticket_id].append((function_code, remaining, total))
    return [Ticket(*row, uses[row.ticket_id]) for row in rows]
