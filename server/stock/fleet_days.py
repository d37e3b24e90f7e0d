"""The cars of a fleet on each day, by channel: a row of `stocks` for each."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.statements import Statement, run
from server.stock import levels
from server.stock.ids import DIRECT, rental_stock_id
from server.stock.models import stocks


class NewFleetDay(NamedTuple):
    """Our own cars of a fleet on a day that has no stock yet."""

    stock_id: int
    product_id: int
    fleet_id: int
    use_date: date
    total: int


class FleetDay(NamedTuple):
    """A channel's cars of a fleet on a day."""

    stock_id: int
    use_date: date
    total: int
    held: int
    sold: int
    update_time: datetime


# in the order of the ids: so the rows are locked by whoever takes of several
_CREATE = Statement(
    levels.begin("""
INSERT INTO stocks (stock_id, product_id, partner_id, fleet_id, use_date, total, update_time)
SELECT v.stock_id, v.product_id, 0, v.fleet_id, v.use_date, v.total, $1::timestamptz
FROM unnest($2::bigint[], $3::int[], $4::int[], $5::date[], $6::int[])
  AS v (stock_id, product_id, fleet_id, use_date, total)
ORDER BY v.stock_id
"""),
    int,
    notifies=levels.NOTED,
)
_LOCK = Statement(
    """
SELECT stock_id, use_date, total, held, sold, update_time FROM stocks
WHERE stock_id = ANY($1::bigint[]) ORDER BY stock_id FOR NO KEY UPDATE
""",
    FleetDay,
)
_SET = Statement(
    levels.change(
        f"total = $1::int, update_time = $2::timestamptz, {levels.ALLOTTED}",
        "WHERE s.stock_id = ANY($3::bigint[])",
    ),
    int,
    notifies=levels.NOTED,
)


def new_day(product_id: int, fleet_id: int, use_date: date, total: int) -> NewFleetDay:
    """Our own stock of a fleet on a day."""
    stock_id = rental_stock_id(fleet_id, use_date, DIRECT)
    return NewFleetDay(stock_id, product_id, fleet_id, use_date, total)


async def create(tx: AsyncConnection, new: Iterable[NewFleetDay], *, now: datetime) -> set[int]:
    """Begins stocks, and leaves those that are there; the ids of the new ones."""
    return set(await run(tx, _CREATE.of_rows(sorted(new), now)))


async def lock(tx: AsyncConnection, stock_ids: Iterable[int]) -> list[FleetDay]:
    """Stocks, locked in the order of their ids until the end of the transaction."""
    return await run(tx, _LOCK(sorted(stock_ids)))


async def set_totals(
    tx: AsyncConnection, stock_ids: Iterable[int], total: int, *, now: datetime
) -> None:
    """Sets how much there is of stocks that are locked and hold and sold no more."""
    await run(tx, _SET(total, now, sorted(stock_ids)))


async def page(
    tx: AsyncConnection,
    fleet_id: int,
    partner_id: int,
    *,
    since: date,
    until: date,
    limit: int,
) -> list[FleetDay]:
    """Up to `limit` days of a channel's stock of a fleet, both ends included, by day."""
    columns = [stocks.c[name] for name in FleetDay._fields]
    first = rental_stock_id(fleet_id, since, 0)
    last = rental_stock_id(fleet_id, until, partner_id)
    query = select(*columns).where(
        stocks.c.stock_id.between(first, last), stocks.c.partner_id == partner_id
    )
    query = query.order_by(stocks.c.stock_id).limit(limit)
    return [FleetDay(*row) for row in await tx.execute(query)]
