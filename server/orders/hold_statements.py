"""What the orders of one transaction read and write: one statement a table, however many orders
there are.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from server.catalog.offers import Offer
from server.platform import idempotency
from server.platform.pipeline import Command, PipelineConnection, PreparedStatement, columns
from server.platform.statements import with_next
from server.stock import journeys
from server.stock.journeys import Additions, Journeys

_LOCK_STOCKS = """
SELECT stock_id, product_id, total - held - sold, closed
FROM stocks WHERE stock_id = ANY($1::bigint[]) ORDER BY stock_id FOR NO KEY UPDATE
"""
# Many orders want one stock, and queue for it: each holds it for one transaction, a few
# milliseconds.
LOCK_STOCKS = PreparedStatement(_LOCK_STOCKS)
# Where one was locked for longer, others must not wait for it.
LOCK_FREE_STOCKS = PreparedStatement(f"{_LOCK_STOCKS} SKIP LOCKED")
FIND_STOCKS = PreparedStatement("SELECT stock_id FROM stocks WHERE stock_id = ANY($1::bigint[])")
# behind the lock, in statements of their own: each sees what the lock's last holder committed
READ_QUOTAS = PreparedStatement("""
SELECT q.quota_id, q.traveller_id, q.quantity
FROM unnest($1::bigint[], $2::bigint[]) AS k (quota_id, traveller_id)
JOIN traveller_quotas q USING (quota_id, traveller_id)
""")
SEATS_IN_WORD = 60
READ_SEATS = PreparedStatement(f"""
SELECT stock_id, seat_index / {SEATS_IN_WORD}, bit_or(1::bigint << seat_index % {SEATS_IN_WORD})
FROM taken_seats WHERE stock_id = ANY($1::bigint[]) GROUP BY 1, 2
""")  # noqa: S608 - a constant

HOLD_STOCKS = PreparedStatement("""
UPDATE stocks s SET held = s.held + v.quantity, update_time = $1::timestamptz
FROM unnest($2::bigint[], $3::int[]) AS v (stock_id, quantity) WHERE s.stock_id = v.stock_id
""")
# what somebody else counted since it was read would violate the check of the limit
ADD_QUOTAS = PreparedStatement("""
INSERT INTO traveller_quotas AS q (quota_id, traveller_id, quantity, max_quantity)
SELECT v.* FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::int[]) v
ON CONFLICT (quota_id, traveller_id) DO UPDATE
SET quantity = q.quantity + excluded.quantity, max_quantity = excluded.max_quantity
""")
# a seat that is taken after all would violate the key, whatever the decision before it said
TAKE_SEATS = PreparedStatement("""
INSERT INTO taken_seats (stock_id, seat_index, order_id)
SELECT v.* FROM unnest($1::bigint[], $2::int[], $3::bigint[]) v
""")
KEEP_SNAPSHOTS = PreparedStatement("""
INSERT INTO snapshots (snapshot_id, product_id, content, create_time)
SELECT v.*, $1::timestamptz FROM unnest($2::uuid[], $3::int[], $4::jsonb[]) v
ON CONFLICT DO NOTHING
""")
INSERT_ORDERS = PreparedStatement("""
INSERT INTO orders
  (order_id, order_code, partner_id, state, jti, customer_type, customer_name, ticket_count,
   payment_reference, amount_minor, currency_code, traveller_id, content, passengers_sealed,
   hold_expire_time, create_time)
SELECT v.order_id, v.order_code, 0, 'PENDING', v.jti, '', '', v.ticket_count,
  '', v.amount_minor, v.currency_code, v.traveller_id, v.content, v.passengers_sealed,
  v.hold_expire_time, $1::timestamptz
FROM unnest($2::bigint[], $3::text[], $4::uuid[], $5::int[], $6::bigint[], $7::text[],
            $8::bigint[], $9::jsonb[], $10::bytea[], $11::timestamptz[])
  AS v (order_id, order_code, jti, ticket_count, amount_minor, currency_code,
        traveller_id, content, passengers_sealed, hold_expire_time)
""")


@dataclass(slots=True)
class Stock:
    """A locked stock: of which product (0: the cap of a promotion), how much is left, and the
    bitmap of taken seats.

    It is `closed` when its departure is cancelled.
    """

    product_id: int
    left: int
    closed: bool = False
    taken: int = 0


NO_STOCK = Stock(0, 0)


@dataclass(slots=True)
class HoldFacts:
    """What the database holds about the orders of one transaction; the stocks are locked until its
    end.

    Somebody else has locked `held_stocks`, and maybe for long.
    """

    stocks: dict[int, Stock]
    quotas: dict[tuple[int, int], int]
    journeys: Journeys
    stored: dict[idempotency.Key, tuple[bytes, bytes]]
    held_stocks: set[int] = field(default_factory=set)

    def is_closed(self, stock_id: int) -> bool:
        """Whether its departure was cancelled, maybe since the catalogue was read."""
        return self.stocks.get(stock_id, NO_STOCK).closed

    def left(self, stock_id: int) -> int:
        """How much is left of a stock."""
        return self.stocks.get(stock_id, NO_STOCK).left


@dataclass(slots=True)
class HoldWrites:
    """What one transaction writes. Rows are in the order of the statement's columns."""

    held: dict[int, int] = field(default_factory=dict)
    # what is added, and the limit
    quotas: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    journeys: dict[bytes, Additions] = field(default_factory=dict)
    seats: list[tuple[int, int, int]] = field(default_factory=list)
    snapshots: dict[UUID, Offer] = field(default_factory=dict)
    orders: list[tuple[Any, ...]] = field(default_factory=list)
    answers: list[idempotency.KeptAnswer] = field(default_factory=list)


async def read(
    pipeline: PipelineConnection,
    *,
    stock_ids: Iterable[int],
    seated: Iterable[int],
    quotas: Iterable[tuple[int, int]],
    documents: Collection[bytes],
    keys: Iterable[idempotency.Key],
    careful: bool,
) -> HoldFacts:
    """Locks the stocks, in the order of their ids, and reads everything about the orders, in one
    round trip.

    `seated` are the stocks whose seats are numbered. What nobody asks for has no statement. With
    `careful` the stocks that others have locked are passed over.
    """
    lock = LOCK_FREE_STOCKS if careful else LOCK_STOCKS
    wanted = [(stock_id,) for stock_id in sorted(stock_ids)]
    statements: list[Command] = [
        (statement, columns(rows))
        for statement, rows in _rows(
            (lock, wanted),
            (READ_QUOTAS, list(quotas)),
            (journeys.READ, [(document,) for document in documents]),
            (READ_SEATS, [(stock_id,) for stock_id in seated]),
            (FIND_STOCKS, wanted if careful else []),
        )
    ]
    kept = with_next(pipeline, idempotency.read(list(keys)))
    answers = await pipeline.round_trip(statements)
    found = {statement: rows for (statement, _), rows in zip(statements, answers, strict=True)}
    stocks = {row[0]: Stock(row[1] or 0, row[2], row[3]) for row in found.get(lock, ())}
    for stock_id, word, bits in found.get(READ_SEATS, ()):
        if stock_id in stocks:
            stocks[stock_id].taken |= bits << word * SEATS_IN_WORD
    return HoldFacts(
        stocks,
        {(row[0], row[1]): row[2] for row in found.get(READ_QUOTAS, ())},
        Journeys(found.get(journeys.READ, ())),
        {row[:3]: (row[3], row[4]) for row in kept},
        {stock_id for (stock_id,) in found.get(FIND_STOCKS, ())} - stocks.keys(),
    )


async def write(
    pipeline: PipelineConnection, writes: HoldWrites, facts: HoldFacts, now: datetime
) -> None:
    """Writes everything and commits, in one round trip. What two transactions may both write
    comes in order.
    """
    at = now.isoformat()
    quotas = [(*key, *writes.quotas[key]) for key in sorted(writes.quotas)]
    snapshots = [
        (offer.snapshot_id, offer.product_id, orjson.dumps(offer.snapshot).decode())
        for _, offer in sorted(writes.snapshots.items())
    ]
    statements: list[Command] = []
    if writes.held:
        statements.append((HOLD_STOCKS, [at, *columns(sorted(writes.held.items()))]))
    for statement, rows in _rows(
        (ADD_QUOTAS, quotas),
        (TAKE_SEATS, writes.seats),
    ):
        statements.append((statement, columns(rows)))
    if writes.journeys:
        statements.append(journeys.adding(writes.journeys, facts.journeys))
    for statement, rows in _rows(
        (KEEP_SNAPSHOTS, snapshots),
        (INSERT_ORDERS, writes.orders),
    ):
        statements.append((statement, [at, *columns(rows)]))
    store = idempotency.store(writes.answers, now=now)
    await pipeline.round_trip([*statements, *([store] if store else [])], commit=True)


def _rows(
    *tables: tuple[PreparedStatement, Sequence[tuple[Any, ...]]],
) -> list[tuple[PreparedStatement, Sequence[tuple[Any, ...]]]]:
    """Those that have rows to be written."""
    return [(statement, rows) for statement, rows in tables if rows]
