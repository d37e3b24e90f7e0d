"""What orders take of stock: the facts under the lock, one decision for single and batched orders,
and what it writes.

What keeps a seat from being sold twice, in PostgreSQL alone: the row lock on the stock and its
constraint no_oversell, the primary key of taken_seats. What counts for a traveller, and where a
document travels, is guarded row by row: see quotas.py and journeys.py.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from server.platform.statements import Command, Statement, Transaction, run_together
from server.stock import journeys, levels, quotas, seating
from server.stock.ids import quota_id
from server.stock.journeys import Additions, Journey, Journeys, Ride, Span
from server.stock.known_seats import KnownSeats, SeatBits, Version
from server.stock.quotas import Count, QuotaKey
from server.stock.refusals import (
    cancelled,
    duplicate_passenger,
    overlapping_journey,
    sold_out,
    too_many,
)
from server.stock.seating import SeatMap


class Wanted(NamedTuple):
    """What an item of an order asks for, a place for each of its passengers.

    `max_per_traveller` limits what counts as the same. `documents` are the hashes that travel,
    `passengers` the positions in the party that refusals name; `ride` and `span` say when, and are
    None where nothing departs. A rental takes of a stock for each of its days: the first and
    `other_stock_ids`.

    Of what is taken again, or in place of a ticket that is changed: the `seats` it had, others if
    those are taken; whether it needs a place of its own in `stock_id`, and counts for the
    traveller, or has both from that ticket; and the key of that ticket's journey, which does not
    count.
    """

    offer_id: str
    product_id: int
    stock_id: int
    traveller_id: int
    max_per_traveller: int
    passengers: Sequence[int]
    seat_map: SeatMap | None = None
    departure_id: int | None = None
    ride: Ride | None = None
    span: Span | None = None
    documents: Sequence[bytes | None] = ()
    seats: Sequence[int] = ()
    has_own_place: bool = True
    is_counted: bool = True
    instead_of: str | None = None
    other_stock_ids: tuple[int, ...] = ()

    @property
    def stock_ids(self) -> tuple[int, ...]:
        """The stocks in which it takes places."""
        return (
            (self.stock_id, *self.other_stock_ids) if self.has_own_place else self.other_stock_ids
        )

    @property
    def quantity(self) -> int:
        """How many places."""
        return len(self.passengers)

    @property
    def quota(self) -> QuotaKey:
        """What counts for the traveller."""
        return quota_id(self.offer_id), self.traveller_id


@dataclass(slots=True)
class Stock:
    """A locked stock: of which product (0: the cap of a promotion), how much is left, and the
    bitmap of taken seats.

    It is `closed` when its departure is cancelled. `version` is that of its row; None where no
    seats were asked for, or those that are remembered are wrong.
    """

    product_id: int
    left: int
    closed: bool = False
    taken: int = 0
    version: Version | None = None


NO_STOCK = Stock(0, 0)
NOTHING: Mapping[int, int] = {}


class StockRow(NamedTuple):
    """A stock that was locked."""

    stock_id: int
    product_id: int | None
    left: int
    closed: bool
    update_time: datetime
    held: int
    sold: int


class SeatsRow(NamedTuple):
    """Which seats of a stock are taken: the bits of SEATS_IN_WORD of them."""

    stock_id: int
    word: int
    bits: int


class TakenSeat(NamedTuple):
    """A seat that an order takes."""

    stock_id: int
    seat_index: int
    order_id: int


_LOCK_SQL = """
SELECT stock_id, product_id, total - held - sold, closed, update_time, held, sold
FROM stocks WHERE stock_id = ANY($1::bigint[]) ORDER BY stock_id FOR NO KEY UPDATE
"""
# Many orders want one stock, and queue for it: each holds it for one transaction, a few
# milliseconds.
LOCK = Statement(_LOCK_SQL, StockRow)
# Where one was locked for longer, others must not wait for it.
LOCK_FREE = Statement(f"{_LOCK_SQL} SKIP LOCKED", StockRow)
FIND = Statement("SELECT stock_id FROM stocks WHERE stock_id = ANY($1::bigint[])", int)
SEATS_IN_WORD = 60
# of the stocks whose row is not as it was when their seats were last read
READ_SEATS = Statement(
    f"""
SELECT t.stock_id, t.seat_index / {SEATS_IN_WORD},
  bit_or(1::bigint << t.seat_index % {SEATS_IN_WORD})
FROM unnest($1::bigint[], $2::timestamptz[], $3::int[], $4::int[])
  AS k (stock_id, update_time, held, sold)
JOIN stocks s ON s.stock_id = k.stock_id
  AND (s.update_time, s.held, s.sold) <> (k.update_time, k.held, k.sold)
JOIN taken_seats t ON t.stock_id = s.stock_id
GROUP BY 1, 2
""",  # noqa: S608 - a constant
    SeatsRow,
)
HOLD = Statement(
    levels.change(
        "held = s.held + v.quantity, update_time = $1::timestamptz",
        "FROM unnest($2::bigint[], $3::int[]) AS v (stock_id, quantity)"
        " WHERE s.stock_id = v.stock_id",
    ),
    int,
    notifies=levels.NOTED,
)
# a seat that is taken after all would violate the key, whatever the decision before it said
TAKE_SEATS = Statement("""
INSERT INTO taken_seats (stock_id, seat_index, order_id)
SELECT v.* FROM unnest($1::bigint[], $2::int[], $3::bigint[]) v
""")


@dataclass(slots=True)
class StockFacts:
    """What the database holds about the stock that orders of one transaction want, and what those
    decided so far take; the stocks are locked until its end.

    Somebody else has locked `locked_stocks`, and maybe for long. `known_seats` are remembered from
    one transaction to the next.
    """

    stocks: dict[int, Stock]
    quotas: dict[QuotaKey, int]
    journeys: Journeys
    locked_stocks: set[int] = field(default_factory=set)
    held: Counter[int] = field(default_factory=Counter)
    counts: dict[QuotaKey, Count] = field(default_factory=dict)
    additions: dict[bytes, Additions] = field(default_factory=dict)
    seats: list[TakenSeat] = field(default_factory=list)
    known_seats: KnownSeats = field(default_factory=KnownSeats)

    def left(self, stock_id: int) -> int:
        """How much is left of a stock."""
        return self.stocks.get(stock_id, NO_STOCK).left

    def check_places(self, wanted: Wanted, before: Mapping[int, int] = NOTHING) -> None:
        """Whether there are as many places as it wants in each of its stocks, after those taken
        `before`. Raises OFFER_NOT_AVAILABLE (the departure is cancelled, maybe since the catalogue
        was read), SOLD_OUT.
        """
        quantity = len(wanted.passengers)
        for stock_id in wanted.stock_ids:
            self._check_place(wanted, stock_id, before.get(stock_id, 0) + quantity)
        if not wanted.has_own_place:
            self._check_place(wanted, wanted.stock_id, before.get(wanted.stock_id, 0))

    def _check_place(self, wanted: Wanted, stock_id: int, quantity: int) -> None:
        stock = self.stocks.get(stock_id, NO_STOCK)
        if stock.closed:
            raise cancelled(wanted.offer_id)
        if stock.left < quantity:
            raise sold_out(wanted.offer_id, wanted.product_id, quantity, max(stock.left, 0))

    def count(self, key: QuotaKey, quantity: int, limit: int) -> None:
        """Counts for a traveller."""
        self.quotas[key] = self.quotas.get(key, 0) + quantity
        before = self.counts.get(key)
        added = before.quantity if before else 0
        self.counts[key] = Count(*key, added + quantity, limit)

    def forget_seats(self, stock_id: int) -> None:
        """Has the next transaction read the seats of a stock again, whatever this one takes."""
        self.known_seats.forget(stock_id)
        self.stocks[stock_id].version = None  # else `write` would remember them again

    def take_cap(self, stock_id: int) -> None:
        """Takes an order's one of the cap of a promotion."""
        self.stocks[stock_id].left -= 1
        self.held[stock_id] += 1


def decide(items: Sequence[Wanted], facts: StockFacts) -> list[Sequence[int | None]]:
    """Whether an order may take its items: the seats of each, None where they are not numbered.

    Pure: nothing is noted. Raises OFFER_NOT_AVAILABLE, SOLD_OUT and TOO_MANY_FOR_TRAVELLER (for
    items that count together), DUPLICATE_PASSENGER, OVERLAPPING_JOURNEY (DOMAIN: Stock; Price).
    """
    places: dict[int, int] = {}
    counted: dict[int, int] = {}
    travelling: dict[bytes, list[tuple[int, Span]]] = {}
    for item in items:
        quantity = len(item.passengers)
        facts.check_places(item, places)
        for stock_id in item.stock_ids:
            places[stock_id] = places.get(stock_id, 0) + quantity
        if item.is_counted:
            quota, limit = item.quota, item.max_per_traveller
            before = facts.quotas.get(quota, 0) + counted.get(quota[0], 0)
            counted[quota[0]] = counted.get(quota[0], 0) + quantity
            if before + quantity > limit:
                raise too_many(item.offer_id, limit=limit, held=before, requested=quantity)
        check_journeys(item, facts.journeys, travelling)
    return _allot(items, facts)


def take(
    order_id: int,
    items: Sequence[Wanted],
    seats: Sequence[Sequence[int | None]],
    facts: StockFacts,
    now: datetime,
) -> None:
    """Notes what an order takes, as `decide` said, and what is not left for those after it."""
    for item, of_item in zip(items, seats, strict=True):
        quantity = len(item.passengers)
        if item.is_counted:
            facts.count(item.quota, quantity, item.max_per_traveller)
        for stock_id in item.stock_ids:
            facts.stocks[stock_id].left -= quantity
            facts.held[stock_id] += quantity
        if item.has_own_place:
            stock = facts.stocks[item.stock_id]
            for seat in of_item:
                if seat is not None:
                    stock.taken |= 1 << seat
                    facts.seats.append(TakenSeat(item.stock_id, seat, order_id))
        add_journeys(order_id, item, facts, now)


async def read(
    tx: Transaction,
    *,
    stock_ids: Collection[int],
    seated: Collection[int],
    quota_keys: Collection[QuotaKey],
    documents: Collection[bytes],
    skip_locked: bool,
    known_seats: KnownSeats | None = None,
) -> StockFacts:
    """Locks the stocks, in the order of their ids, and reads everything about what is wanted, in
    one round trip.

    `seated` are the stocks whose seats are numbered; those in `known_seats` are read only if they
    have changed. What nobody asks for has no statement. With `skip_locked` the stocks that others
    have locked are passed over.
    """
    ids = sorted(stock_ids)
    known_seats = known_seats or KnownSeats()
    # as they are now: by the answer another transaction of this process may have replaced them
    remembered = {stock_id: known_seats.of(stock_id) for stock_id in seated}
    lock = LOCK_FREE if skip_locked else LOCK
    # after the lock, in statements of their own: each sees what the lock's last holder committed
    locked, counted, rides, seats, there = await run_together(
        tx,
        lock(ids) if ids else None,
        quotas.read([*quota_keys]),
        journeys.READ(documents) if documents else None,
        READ_SEATS.of_rows([(stock_id, *each.version) for stock_id, each in remembered.items()]),
        FIND(ids) if ids and skip_locked else None,
    )
    stocks = {row.stock_id: Stock(row.product_id or 0, row.left, row.closed) for row in locked}
    for stock_id, word, bits in seats:
        if stock_id in stocks:
            stocks[stock_id].taken |= bits << word * SEATS_IN_WORD
    for row in locked:
        if row.stock_id in remembered:
            _recall(stocks[row.stock_id], row, remembered[row.stock_id])
    known = {(row.quota_id, row.traveller_id): row.quantity for row in counted}
    return StockFacts(
        stocks,
        known,
        Journeys(rides),
        set(there) - stocks.keys(),
        known_seats=known_seats,
    )


def _recall(stock: Stock, row: StockRow, seats: SeatBits) -> None:
    """The seats of a stock that were not read, since its row is as it was."""
    stock.version = Version(row.update_time, row.held, row.sold)
    if seats.version == stock.version:
        stock.taken = seats.taken


def write(facts: StockFacts, *, now: datetime) -> Iterable[Command[Any] | None]:
    """Writes what was taken. What two transactions may both write comes in order."""
    for stock_id, stock in facts.stocks.items():
        if version := stock.version:
            if quantity := facts.held[stock_id]:
                version = Version(now, version.held + quantity, version.sold)
            facts.known_seats.remember(stock_id, SeatBits(version, stock.taken))
    return (
        HOLD.of_rows(sorted(facts.held.items()), now),
        quotas.add(sorted(facts.counts.values())),
        TAKE_SEATS.of_rows(facts.seats),
        journeys.add(facts.additions, facts.journeys),
    )


def check_journeys(
    item: Wanted, known: Journeys, before: dict[bytes, list[tuple[int, Span]]]
) -> None:
    """Raises DUPLICATE_PASSENGER, OVERLAPPING_JOURNEY. `before` are the journeys of the items
    before it, as far as they are not known yet.
    """
    if item.departure_id is None or item.span is None:
        return
    new = item.departure_id, item.span
    for position, document in zip(item.passengers, item.documents, strict=True):
        if not document:
            continue
        held, earlier = known.of(document), before.get(document, [])
        if item.instead_of:
            held = [journey for journey in held if journey.key != item.instead_of]
        if held or earlier:
            others = [(each.departure_id, each.span) for each in held] + earlier
            if any(departure_id == new[0] for departure_id, _ in others):
                raise duplicate_passenger(item.offer_id, position)
            if any(span.overlaps(new[1]) for _, span in others):
                raise overlapping_journey(item.offer_id, position)
        before[document] = [*earlier, new]


def _allot(items: Sequence[Wanted], facts: StockFacts) -> list[Sequence[int | None]]:
    """The seats of each item's passengers. Raises SOLD_OUT."""
    taken: dict[int, int] = {}
    seats: list[Sequence[int | None]] = []
    for item in items:
        quantity = len(item.passengers)
        if not item.has_own_place:
            seats.append(item.seats)
            continue
        if item.seat_map is None:
            seats.append([None] * quantity)
            continue
        before = taken.get(item.stock_id, facts.stocks[item.stock_id].taken)
        found: Sequence[int] | None = item.seats
        if not found or before & seating.bitmap(found):
            found = seating.allot(item.seat_map, before, quantity)
        if found is None:
            facts.forget_seats(item.stock_id)
            left = item.seat_map.size - before.bit_count()
            raise sold_out(item.offer_id, item.product_id, quantity, left)
        taken[item.stock_id] = before | seating.bitmap(found)
        seats.append(found)
    return seats


def add_journeys(order_id: int, item: Wanted, facts: StockFacts, now: datetime) -> None:
    """Notes where the documents of an item travel, for those after it too."""
    if item.departure_id is None or item.span is None or item.ride is None:
        return
    new = Journey(item.departure_id, order_id, item.span)
    key, ride = new.key, item.ride.dump()
    for document in item.documents:
        if not document:
            continue
        known = facts.journeys.of(document)
        if document not in facts.additions:
            facts.additions[document] = journeys.ended_journeys(known, now)
        facts.additions[document][key] = ride
        known.append(new)
