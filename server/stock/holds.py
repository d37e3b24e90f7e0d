"""Stock that is held and sold: what an order takes, given back or confirmed in a few statements for
all that is asked.

Whoever changes `held` or `sold` has the row's lock, taken in the order of the ids; seats of a stock
are written only under it. What counts for a traveller, and where a document travels, is of several
stocks: each is a guarded write of one row (quotas.py, journeys.py).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.statements import Command, Statement, Transaction, run, run_all
from server.stock import journeys, levels, quotas, taking
from server.stock.ids import is_promotion_stock, quota_id
from server.stock.journeys import Leg, Ride
from server.stock.models import taken_seats
from server.stock.quotas import Use
from server.stock.seating import SeatMap
from server.stock.taking import StockFacts, Wanted

Column = Literal["held", "sold"]


class StockLeft(NamedTuple):
    """How much is left of a stock."""

    stock_id: int
    left: int


@dataclass(frozen=True, slots=True)
class Counterpart:
    """The other ticket of a change (改签): what both take counts once, and stays with the one that is
    not given back.

    `stock_id` is the stock of both if they are one place of it (DOMAIN, Refund and change), with
    the seat if it is numbered; None if each takes its own. Of rentals `day_stock_ids` are those of
    the days that both take.
    """

    offer_id: str
    departure_id: int | None
    stock_id: int | None = None
    day_stock_ids: tuple[int, ...] = ()

    def is_of(self, stock_id: int) -> bool:
        """Whether both are one place of a stock."""
        return stock_id == self.stock_id or stock_id in self.day_stock_ids


@dataclass(frozen=True, slots=True)
class Take:
    """What an order item takes of a stock, or, with nothing but stock and quantity, of the cap of a
    promotion. Of a rental the stocks of all days after the first are `other_stock_ids`.

    `seats` are indexes, empty where seats are not numbered; `documents` are the hashes that travel
    on the departure: when, says `ride`, which is known where it is taken. `changes_order_id` is the
    order of the counterpart.
    """

    stock_id: int
    quantity: int
    seats: tuple[int, ...]
    departure_id: int | None
    documents: tuple[bytes, ...]
    order_id: int
    traveller_id: int
    offer_id: str = ""
    counterpart: Counterpart | None = None
    ride: Ride | None = None
    changes_order_id: int | None = None
    other_stock_ids: tuple[int, ...] = ()

    @property
    def all_stock_ids(self) -> tuple[int, ...]:
        """The stocks that it is of."""
        return (self.stock_id, *self.other_stock_ids)

    @property
    def own_stock_ids(self) -> tuple[int, ...]:
        """Those in which it takes places: not where the place is its counterpart's."""
        other = self.counterpart
        if other is None:
            return self.all_stock_ids
        return tuple([each for each in self.all_stock_ids if not other.is_of(each)])

    @property
    def uses(self) -> list[Use]:
        """What it counts as for the traveller: nothing if its counterpart counts as the same."""
        if not self.offer_id:
            return []
        counted = quota_id(self.offer_id)
        if self.counterpart and quota_id(self.counterpart.offer_id) == counted:
            return []
        return [Use(counted, self.traveller_id, self.quantity)]

    @property
    def legs(self) -> list[Leg]:
        """Who travels where by it."""
        if self.departure_id is None:
            return []
        return [Leg(document, self.departure_id, self.order_id) for document in self.documents]


# the lock first, in order; SET then reads the row as it is under the lock
_MOVE = levels.change(
    "{changes}, update_time = $1::timestamptz",
    """
FROM unnest($2::bigint[], $3::int[]) AS v (stock_id, quantity) JOIN locked l USING (stock_id)
WHERE s.stock_id = v.stock_id
""",
    locks="""
WITH locked AS MATERIALIZED (
  SELECT stock_id FROM stocks WHERE stock_id = ANY($2::bigint[])
  ORDER BY stock_id FOR NO KEY UPDATE
)
""",
)
_RELEASE = {
    column: Statement(
        _MOVE.format(changes=f"{column} = s.{column} - v.quantity"), int, notifies=levels.NOTED
    )
    for column in ("held", "sold")
}
_CONFIRM = Statement(
    _MOVE.format(changes="held = s.held - v.quantity, sold = s.sold + v.quantity"), int
)
_LOCK_STOCKS = """
SELECT stock_id FROM stocks WHERE stock_id = ANY($1::bigint[])
ORDER BY stock_id FOR NO KEY UPDATE
"""
_LOCK = Statement(_LOCK_STOCKS, int)
_LOCK_FREE = Statement(f"{_LOCK_STOCKS} SKIP LOCKED", int)
_LEFT = Statement(
    "SELECT stock_id, total - held - sold FROM stocks WHERE stock_id = ANY($1::bigint[])", StockLeft
)
_LEAVE_SEATS = Statement("""
DELETE FROM taken_seats t
USING unnest($1::bigint[], $2::int[], $3::bigint[]) AS v (stock_id, seat_index, order_id)
WHERE t.stock_id = v.stock_id AND t.seat_index = v.seat_index AND t.order_id = v.order_id
""")


async def release(
    tx: Transaction,
    takes: Iterable[Take],
    *,
    column: Column,
    now: datetime,
    uses: Iterable[Use] = (),
) -> None:
    """Gives back what was taken and is held, or sold: stock, seats, journeys and what counts for
    the traveller.

    `uses` are what else does not count any more: of promotions. The stock rows stay locked until
    the commit: call it last. Once for each take: the caller holds the lock of the order that says
    it is still taken.
    """
    takes = list(takes)
    moved = await run(tx, _moved(_RELEASE[column], takes, now))
    assert len(moved) == len(moved_stocks(takes)), "a stock that something was taken of is there"
    await quotas.give_back(tx, [*uses, *[use for take in takes for use in take.uses]])
    seats = [(t.stock_id, seat, t.order_id) for t in takes for seat in t.seats]
    await run(tx, _LEAVE_SEATS.of_rows(seats))
    await journeys.end(tx, [leg for take in takes for leg in take.legs])


def return_held(quantities: Mapping[int, int], *, now: datetime) -> Command[int] | None:
    """Gives back so much of what is held of each stock; the ids of those that changed.

    Once for each hold: the caller has the lock of the reservation that says it is still held. The
    stock rows stay locked until the commit: run it last.
    """
    return _RELEASE["held"].of_rows(list(quantities.items()), now)


def return_sold(quantities: Mapping[int, int], *, now: datetime) -> Command[int] | None:
    """As `return_held`, of what is sold: of partners' tickets without a reservation, each voided
    under its lock.
    """
    return _RELEASE["sold"].of_rows(list(quantities.items()), now)


def sell_held(quantities: Mapping[int, int], *, now: datetime) -> Command[int] | None:
    """So much of what is held of each stock is sold now; else as `return_held`."""
    return _CONFIRM.of_rows(list(quantities.items()), now)


def confirm(takes: Iterable[Take], *, now: datetime) -> Command[int] | None:
    """What is held is sold now; the ids of `moved_stocks`. The stock rows stay locked until the
    commit: run it last.
    """
    return _moved(_CONFIRM, takes, now)


def moved_stocks(takes: Iterable[Take]) -> set[int]:
    """The stocks that change when what was taken is confirmed or given back: a place that is its
    counterpart's stays that one's.
    """
    return {stock_id for take in takes for stock_id in take.own_stock_ids}


def all_stocks(takes: Iterable[Take]) -> set[int]:
    """The stocks of what was taken, to be locked together."""
    return {stock_id for take in takes for stock_id in take.all_stock_ids}


async def take(
    tx: AsyncConnection,
    wanted: Take,
    *,
    offer_id: str,
    seat_map: SeatMap | None,
    max_per_traveller: int,
    now: datetime,
) -> tuple[int, ...]:
    """Holds what is wanted, one take at a time, and gives the seats: for changes and payments that
    came too late. What CreateOrder does for many, of one.

    The wanted seats if they are free, else others; with no wanted seats any; empty where there is
    no seat map. Several takes of one transaction come in the order of their stock ids, and
    `add_journeys` for all of them after the last. Raises SOLD_OUT, TOO_MANY_FOR_TRAVELLER,
    OFFER_NOT_AVAILABLE where the departure is cancelled. The cap of a promotion is taken too, with
    SOLD_OUT where it is used up. Of a place that is its counterpart's nothing is taken, and its
    seat stays.
    """
    stock_id, is_cap = wanted.stock_id, is_promotion_stock(wanted.stock_id)
    facts = await taking.read(
        tx,
        stock_ids=wanted.all_stock_ids,
        seated=[stock_id] if seat_map else (),
        quota_keys=[use[:2] for use in wanted.uses],
        documents=(),
        skip_locked=False,
    )
    own = wanted.own_stock_ids
    item = Wanted(
        offer_id,
        facts.stocks.get(stock_id, taking.NO_STOCK).product_id,
        stock_id,
        wanted.traveller_id,
        max_per_traveller,
        range(wanted.quantity),
        seat_map,
        seats=wanted.seats,
        has_own_place=stock_id in own,
        is_counted=bool(wanted.uses),
        other_stock_ids=tuple([each for each in own if each != stock_id]),
    )
    (seats,) = taking.decide([item], facts)
    taking.take(wanted.order_id, [item], [seats], facts, now)
    await run_all(tx, [*taking.write(facts, now=now)])
    return () if is_cap else tuple([seat for seat in seats if seat is not None])


async def add_journeys(tx: AsyncConnection, takes: Iterable[Take], *, now: datetime) -> None:
    """The documents of what was taken travel from now on. Raises DUPLICATE_PASSENGER,
    OVERLAPPING_JOURNEY.
    """
    takes = [take for take in takes if take.legs]
    documents = {leg.document for take in takes for leg in take.legs}
    if not documents:
        return
    await journeys.lock(tx, documents)
    known, leaves = await journeys.read(tx, documents, {take.departure_id for take in takes})
    facts = StockFacts({}, {}, known)
    for take in takes:
        item = _travelling(take, leaves)
        taking.check_journeys(item, known, {})
        taking.add_journeys(take.order_id, item, facts, now)
    await run_all(tx, [*taking.write(facts, now=now)])


def _travelling(take: Take, leaves: Mapping[int, datetime]) -> Wanted:
    assert take.departure_id is not None, "who travels does so on a departure"
    assert take.ride, "what is taken says when it travels"
    other, instead_of = take.counterpart, None
    if take.changes_order_id and other and other.departure_id:
        instead_of = journeys.key(other.departure_id, take.changes_order_id)
    return Wanted(
        take.offer_id,
        0,
        take.stock_id,
        take.traveller_id,
        0,
        range(len(take.documents)),
        departure_id=take.departure_id,
        ride=take.ride,
        span=take.ride.span(leaves[take.departure_id]),
        documents=take.documents,
        instead_of=instead_of,
    )


async def pass_seat(
    tx: AsyncConnection, stock_id: int, seat_index: int, *, from_order: int, to_order: int
) -> None:
    """Gives a seat of a locked stock to another order that is the same place, as of a change."""
    await tx.execute(
        taken_seats.update()
        .where(
            taken_seats.c.stock_id == stock_id,
            taken_seats.c.seat_index == seat_index,
            taken_seats.c.order_id == from_order,
        )
        .values(order_id=to_order)
    )


async def lock(tx: Transaction, stock_ids: Iterable[int]) -> None:
    """Locks in the order of their numbers what the statements of one transaction lock one after
    the other.
    """
    await run(tx, _LOCK(sorted(set(stock_ids))))


def lock_free(takes: Iterable[Take]) -> Command[int]:
    """Locks the stocks of what was taken, but not those that others have locked; their ids."""
    return _LOCK_FREE(sorted(all_stocks(takes)))


def left(stock_ids: Iterable[int]) -> Command[StockLeft]:
    """How much is left of these stocks; without a lock, so only to be shown."""
    return _LEFT(sorted(set(stock_ids)))


def _moved(statement: Statement[int], takes: Iterable[Take], now: datetime) -> Command[int] | None:
    quantities: Counter[int] = Counter()
    for one in takes:
        for stock_id in one.own_stock_ids:
            quantities[stock_id] += one.quantity
    return statement.of_rows(list(quantities.items()), now)
