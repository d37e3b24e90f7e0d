"""What a channel has of a product, a class of a departure or a promotion: total, held, sold,
available.

What an order takes of it is in holds.py.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.parties.rules import SANDBOX_BIT
from server.platform.errors import DomainError, Reason
from server.platform.statements import Command, Statement, run, run_together
from server.stock import levels
from server.stock.ids import DAY_BITS, EPOCH, stock_id
from server.stock.models import stocks

AVAILABLE = stocks.c.total - stocks.c.held - stocks.c.sold

# in the order of the ids: so the rows are locked by whoever takes of several
_CREATE_OF_DEPARTURES = Statement(
    levels.begin("""
INSERT INTO stocks (stock_id, product_id, partner_id, departure_id, fare_class, total, update_time)
SELECT v.stock_id, v.product_id, 0, v.departure_id, v.fare_class, v.total, $1::timestamptz
FROM unnest($2::bigint[], $3::int[], $4::bigint[], $5::text[], $6::int[])
  AS v (stock_id, product_id, departure_id, fare_class, total)
ORDER BY v.stock_id
"""),
    int,
    notifies=levels.NOTED,
)
_CREATE = Statement(
    levels.begin("""
INSERT INTO stocks (stock_id, partner_id, product_id, promotion_id, total, update_time)
VALUES ($1::bigint, $2::int, $3::int, $4::int, $5::int, $6::timestamptz)
"""),
    int,
    notifies=levels.NOTED,
)
_CREATE_LIKE = Statement(
    levels.begin("""
INSERT INTO stocks
  (stock_id, product_id, partner_id, departure_id, fare_class, use_date, fleet_id, total,
   update_time)
SELECT $1::bigint, product_id, $2::int, departure_id, fare_class,
  CASE WHEN fleet_id IS NULL THEN $3::date ELSE use_date END, fleet_id, 0, $4::timestamptz
FROM stocks WHERE stock_id = $5::bigint
"""),
    int,
    notifies=levels.NOTED,
)
# locked meanwhile: what closes a departure's stocks closes these too, or has closed them before
_COPY_TO_SANDBOX = Statement("""
INSERT INTO stocks
  (stock_id, product_id, partner_id, departure_id, fare_class, use_date, fleet_id, total,
   hold_seconds, max_hold_seconds, closed, update_time)
SELECT s.stock_id + $2::int, s.product_id, s.partner_id + $2::int, s.departure_id, s.fare_class,
  s.use_date, s.fleet_id, s.total, s.hold_seconds, s.max_hold_seconds, s.closed, $4::timestamptz
FROM stocks s
WHERE s.partner_id = $1::int AND ($3::bigint IS NULL OR s.stock_id = $3::bigint)
  AND NOT s.archived AND (s.use_date IS NULL OR s.use_date >= $5::date)
  AND (s.departure_id IS NULL OR s.departure_id & $6::bigint >= $5::date - $7::date)
  AND EXISTS (SELECT FROM partners p WHERE p.sandbox_of = $1::int)
ORDER BY s.stock_id FOR SHARE OF s
ON CONFLICT (stock_id) DO UPDATE SET hold_seconds = excluded.hold_seconds,
  max_hold_seconds = excluded.max_hold_seconds,
  allotment_version = stocks.allotment_version + 1
""")
_HOLD = Statement(
    levels.change(
        "held = s.held + $2::int, update_time = $3::timestamptz",
        "WHERE s.stock_id = $1::bigint AND NOT s.closed AND s.total - s.held - s.sold >= $2::int",
    ),
    int,
    notifies=levels.NOTED,
)
_SET_TOTAL = Statement(
    levels.change(
        f"total = $2::int, update_time = $3::timestamptz, {levels.ALLOTTED}",
        "WHERE s.stock_id = $1::bigint AND s.held + s.sold <= $2::int",
    ),
    int,
    notifies=levels.NOTED,
)
_ADD_TO_TOTAL = Statement(
    levels.change(
        f"total = s.total + $2::int, update_time = $3::timestamptz, {levels.ALLOTTED}",
        "WHERE s.stock_id = $1::bigint AND s.total + $2::int <= $4::int"
        " AND s.held + s.sold <= s.total + $2::int",
    ),
    int,
    notifies=levels.NOTED,
)
_TAKE_SOLD = Statement(
    levels.change(
        "sold = s.sold + $2::int, update_time = $3::timestamptz",
        "WHERE s.stock_id = $1::bigint AND NOT s.closed AND $2::int <= s.total - s.held - s.sold",
    ),
    int,
    notifies=levels.NOTED,
)
_CLOSE = Statement(
    levels.change(
        "closed = $2::bool OR s.archived, update_time = $3::timestamptz",
        "WHERE s.departure_id = $1::bigint",
    ),
    int,
    notifies=levels.NOTED,
)

_ARCHIVE = Statement(
    levels.change(
        "archived = $2::bool, closed = $3::bool, release_date = $4::date,"
        f" update_time = $5::timestamptz, {levels.ALLOTTED}",
        "WHERE s.stock_id = $1::bigint",
    ),
    int,
    notifies=levels.NOTED,
)


@dataclass(frozen=True, slots=True)
class Inventory:
    """A channel's stock of one product, or of a class of one departure or of one day of use of it;
    what is available is total - held - sold.
    """

    product_id: int
    departure_id: int | None
    fare_class: str | None
    use_date: date | None
    total: int
    held: int
    sold: int
    available: int


class DepartureStock(NamedTuple):
    """Our own seats of a class on a departure."""

    stock_id: int
    product_id: int
    departure_id: int
    fare_class: str
    total: int


class Level(NamedTuple):
    """How much there is of a stock, and how much of that is held and sold."""

    total: int
    held: int
    sold: int


async def create(
    tx: AsyncConnection,
    stock: int,
    *,
    partner_id: int,
    product_id: int | None = None,
    promotion_id: int | None = None,
    total: int,
    now: datetime,
) -> bool:
    """Begins the stock of a channel, of a product or for a promotion; False if it is there."""
    command = _CREATE(stock, partner_id, product_id, promotion_id, total, now)
    return bool(await run(tx, command))


async def create_of_departures(
    tx: AsyncConnection, new: Sequence[DepartureStock], *, now: datetime
) -> int:
    """Begins the stocks of departures, and leaves those that are there; how many are new."""
    return len(await run(tx, _CREATE_OF_DEPARTURES.of_rows(new, now)))


async def lock_level(tx: AsyncConnection, stock: int) -> Level | None:
    """How much there is, locked until the end of the transaction; None for no stock."""
    query = select(stocks.c.total, stocks.c.held, stocks.c.sold).where(stocks.c.stock_id == stock)
    row = (await tx.execute(query.with_for_update())).one_or_none()
    return Level(*row) if row else None


async def set_total(tx: AsyncConnection, stock: int, total: int, *, now: datetime) -> bool:
    """Sets how much there is; False, and nothing is done, if that is less than is held and
    sold.
    """
    return bool(await run(tx, _SET_TOTAL(stock, total, now)))


async def add_to_total(
    tx: AsyncConnection, stock: int, quantity: int, *, limit: int, now: datetime
) -> bool:
    """Adds to how much there is, or takes from it if below zero.

    False, and nothing is done, if that were more than `limit`, or less than is held and sold.
    """
    return bool(await run(tx, _ADD_TO_TOTAL(stock, quantity, now, limit)))


async def lock_levels(tx: AsyncConnection, stock_ids: Collection[int]) -> None:
    """Locks stocks until the end of the transaction, in the order of their ids."""
    query = select(stocks.c.stock_id).where(stocks.c.stock_id.in_(stock_ids))
    await tx.execute(query.order_by(stocks.c.stock_id).with_for_update())


async def create_like(
    tx: AsyncConnection,
    stock: int,
    *,
    of: int,
    partner_id: int,
    use_date: date | None,
    now: datetime,
) -> bool:
    """Begins a channel's stock of what the stock `of` another channel is of, empty, if it is not
    there: of its class and departure, or for one day of use where `partner_id` is a partner. False
    if it is there.
    """
    day = use_date if partner_id else None
    return bool(await run(tx, _CREATE_LIKE(stock, partner_id, day, now, of)))


async def stock_of_product(
    tx: AsyncConnection, partner_id: int, product_id: int, *, of_departures: bool
) -> int | None:
    """A stock that a partner has of a product, of its departures or not; None if it has none. Those
    of fleets do not count.
    """
    query = select(stocks.c.stock_id).where(
        stocks.c.partner_id == partner_id,
        stocks.c.product_id == product_id,
        stocks.c.fleet_id.is_(None),
        stocks.c.departure_id.is_not(None) if of_departures else stocks.c.departure_id.is_(None),
        stocks.c.archived.is_(False),
    )
    return await tx.scalar(query.limit(1))


async def copy_to_sandbox(
    tx: AsyncConnection, partner_id: int, *, stock: int | None = None, now: datetime
) -> None:
    """Gives a partner's sandbox, if it has one, stock of what the partner has stock of, or of the
    one `stock`: as much, and under the same terms. What the sandbox has keeps its total. What is
    over is left out.
    """
    yesterday = now.date() - timedelta(days=1)  # which is not over everywhere
    asked = partner_id, SANDBOX_BIT, stock, now, yesterday, (1 << DAY_BITS) - 1, EPOCH
    await run(tx, _COPY_TO_SANDBOX(*asked))


async def set_terms(
    tx: AsyncConnection,
    stock: int,
    *,
    hold_seconds: int | None,
    max_hold_seconds: int | None,
    release_days: int | None,
    release_date: date | None,
) -> None:
    """Sets how long a stock is held, and when what is free of it returns to DIRECT."""
    await tx.execute(
        update(stocks)
        .where(stocks.c.stock_id == stock)
        .values(
            hold_seconds=hold_seconds,
            max_hold_seconds=max_hold_seconds,
            release_days=release_days,
            release_date=release_date,
            allotment_version=stocks.c.allotment_version + 1,
        )
    )


async def set_hold_seconds(tx: AsyncConnection, stock: int, seconds: int | None) -> None:
    """Sets how long a stock is held in seconds; None as the setting says."""
    this = stocks.c.stock_id == stock
    version = stocks.c.allotment_version + 1
    values = {"hold_seconds": seconds, "allotment_version": version}
    await tx.execute(update(stocks).where(this).values(values))


async def lock_departure(tx: AsyncConnection, departure_id: int) -> None:
    """Waits for all who take of the departure's stocks, in the order they lock them."""
    query = select(stocks.c.stock_id).where(stocks.c.departure_id == departure_id)
    await tx.execute(query.order_by(stocks.c.stock_id).with_for_update(key_share=True))


async def close_departure(tx: AsyncConnection, departure_id: int, *, now: datetime) -> None:
    """Has nothing taken of the stocks of a cancelled departure any more; they are locked."""
    await run(tx, _CLOSE(departure_id, True, now))


async def open_departure(tx: AsyncConnection, departure_id: int, *, now: datetime) -> None:
    """Undoes `close_departure`."""
    await run(tx, _CLOSE(departure_id, False, now))


async def archive(
    tx: AsyncConnection, stock: int, *, release_date: date | None, now: datetime
) -> None:
    """Has nothing taken of a partner's stock until it is taken back; from `release_date` on what is
    free of it returns to DIRECT, never if None.
    """
    await run(tx, _ARCHIVE(stock, True, True, release_date, now))


async def unarchive(
    tx: AsyncConnection, stock: int, *, closed: bool, release_date: date | None, now: datetime
) -> None:
    """Takes a partner's stock back, which is `closed` still if its departure is cancelled."""
    await run(tx, _ARCHIVE(stock, False, closed, release_date, now))


async def take_sold(
    tx: AsyncConnection, *, product_id: int, partner_id: int, quantity: int, now: datetime
) -> None:
    """Takes `quantity` out of the channel's stock as sold; the row stays locked until the commit.

    Raises SOLD_OUT, PRODUCT_NOT_ON_SALE.
    """
    stock = stock_id(product_id, partner_id)
    if await run(tx, _TAKE_SOLD(stock, quantity, now)):
        return
    query = select(AVAILABLE).where(stocks.c.stock_id == stock, stocks.c.closed.is_(False))
    available = await tx.scalar(query)
    if available is None:
        raise not_on_sale(product_id)
    raise sold_out(product_id, quantity, available)


async def take_sold_of_each(
    tx: AsyncConnection, stock_ids: Collection[int], *, product_id: int, now: datetime
) -> None:
    """Takes one out of each of a channel's stocks as sold, as of the days of a rental: of all or of
    none. They stay locked until the commit. Raises SOLD_OUT.
    """
    await lock_levels(tx, stock_ids)
    taken = await run_together(tx, *[_TAKE_SOLD(stock, 1, now) for stock in stock_ids])
    if not all(taken):
        raise sold_out(product_id, 1, 0)


def hold(stock: int, quantity: int, *, now: datetime) -> Command[int]:
    """Holds `quantity` of a channel's stock, and gives its id; nothing if there is not so much, or
    its departure is cancelled. The row stays locked until the commit: run it last.
    """
    return _HOLD(stock, quantity, now)


async def not_held(
    tx: AsyncConnection, stock: int, *, product_id: int, quantity: int
) -> DomainError:
    """SOLD_OUT, for what `hold` did not get: nothing is left of a cancelled departure."""
    left = func.greatest(AVAILABLE, 0)
    query = select(left).where(stocks.c.stock_id == stock, stocks.c.closed.is_(False))
    return sold_out(product_id, quantity, await tx.scalar(query) or 0)


async def inventory(
    tx: AsyncConnection,
    *,
    partner_id: int,
    product_id: int = 0,
    departure_id: int | None = None,
    use_date: date | None = None,
) -> list[Inventory]:
    """The channel's stock now, by product; only of `product_id` unless that is 0.

    Of a departure its classes, of a day of use what is allotted for just that day; without both
    what is allotted for all days together.
    """
    query = (
        select(
            stocks.c.product_id,
            stocks.c.departure_id,
            stocks.c.fare_class,
            stocks.c.use_date,
            stocks.c.total,
            stocks.c.held,
            stocks.c.sold,
            AVAILABLE.label("available"),
        )
        .where(
            stocks.c.partner_id == partner_id,
            stocks.c.departure_id.is_not_distinct_from(departure_id),
            stocks.c.use_date.is_not_distinct_from(use_date),
            stocks.c.fleet_id.is_(None),
            stocks.c.promotion_id.is_(None),
            stocks.c.archived.is_(False),
        )
        .order_by(stocks.c.stock_id)
    )
    if departure_id is not None:  # by its index, which `is not distinct from` does not take
        query = query.where(stocks.c.departure_id == departure_id)
    if product_id:
        query = query.where(stocks.c.product_id == product_id)
    return [Inventory(*row) for row in await tx.execute(query)]


def sold_out(product_id: int, requested: int, available: int) -> DomainError:
    """SOLD_OUT, with what is left."""
    return DomainError(
        Reason.SOLD_OUT,
        f"quantity: {requested} of product {product_id} were asked for, {available} are left",
        product_id=product_id,
        requested=requested,
        available=available,
    )


def not_on_sale(product_id: int) -> DomainError:
    """PRODUCT_NOT_ON_SALE."""
    return DomainError(
        Reason.PRODUCT_NOT_ON_SALE,
        f"product_id: {product_id} is not on sale here; GetInventory lists what is",
        product_id=product_id,
    )
