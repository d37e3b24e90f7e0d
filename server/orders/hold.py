"""CreateOrder: the orders that arrive together share one transaction, each decided on its own.

`_prepare` prices an order when it arrives, `_read` locks the stocks that all want in one ordered
statement, `_decide` decides each in the order they came, in memory, `_write` writes everything in
one statement a table with the commit; what they have in common with other batched calls, and
repeats, is in `platform/batching.py`. What may be taken, and what keeps a seat from being sold
twice, says `stock/taking.py`.
"""

import asyncio
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from server.catalog.catalogue import Catalogue, Catalogues
from server.catalog.offers import Offer
from server.identity.callers import Traveller
from server.orders import new_orders, order_search, orders, passenger_checks
from server.orders.content import Content, OrderItem, Place
from server.orders.new_orders import MadeOrder
from server.orders.order_numbers import OrderNumbers
from server.orders.order_search import NewTerms
from server.orders.orders import Order, order_code
from server.orders.passengers import PassengerParty
from server.orders.prices import NewOrder, Priced, PricedItem, Prices, Wish, check_total
from server.orders.reader import OrderReader, Shown
from server.platform import clock
from server.platform.batching import Batcher, Idempotency, Work
from server.platform.database import Database
from server.platform.driver_errors import LockedError
from server.platform.errors import DomainError
from server.platform.idempotency import KeyedCall
from server.platform.metrics import ORDER_BATCH, ORDER_QUEUE, ORDERS
from server.platform.pipeline import PipelineConnection
from server.platform.statements import Command, commit_with
from server.stock import holds, taking
from server.stock.ids import promotion_quota_id, promotion_stock_id, quota_id
from server.stock.known_seats import KnownSeats
from server.stock.taking import StockFacts, Wanted
from server.tickets import snapshots
from server.tickets.snapshots import NewSnapshot

METHOD = "CreateOrder"
"""The method under which an order's request_id counts."""

MAX_SNAPSHOTS = 100_000
"""Snapshots known to be stored."""
RETRIES_SECONDS = (0.02, 0.03, 0.05, 0.05, 0.05)
"""How long an order whose stock is locked is put off, each time: in a rush each has its turn."""


class Held(NamedTuple):
    """A new order as its answer shows it; or, with nothing but `repeated`, the id of an earlier
    call's.
    """

    shown: Shown | None
    repeated: int = 0


class OrderQuote(NamedTuple):
    """What an order would cost, what is left by stock, and how long it would be held."""

    priced: Priced
    left: dict[int, int]
    hold_seconds: int


@dataclass(slots=True, eq=False)
class HoldUnit:
    """One call. What it asks for is priced by one catalogue, with what it wants of stock, or why
    it is refused.

    `stock_ids` are those it may need: of what is wanted, and caps of promotions.
    """

    traveller: Traveller
    new: NewOrder
    request_id: str
    content_hash: bytes
    catalogue: Catalogue | None = None
    priced: Priced | None = None
    wanted: Sequence[Wanted] = ()
    stock_ids: Collection[int] = ()
    documents: tuple[bytes | None, ...] = ()
    fault: DomainError | None = None

    @property
    def call(self) -> KeyedCall:
        """The call that a repeat repeats."""
        return KeyedCall.of(self.traveller.key, METHOD, self.request_id, self.content_hash)


@dataclass(slots=True)
class _Orders:
    """The orders of one transaction: the stock they want, by which prices, under which numbers,
    and what is to be written.
    """

    stock: StockFacts
    prices: Prices
    numbers: deque[int]
    now: datetime
    made: list[MadeOrder] = field(default_factory=list)
    terms: list[NewTerms] = field(default_factory=list)
    sold: dict[UUID, Offer] = field(default_factory=dict)


class OrderHolds:
    """Makes orders, in `workers` shared transactions at once of at most `batch` orders each."""

    def __init__(
        self,
        db: Database,
        catalogues: Catalogues,
        reader: OrderReader,
        *,
        zone: ZoneInfo,
        hold_seconds: int,
        batch: int,
        workers: int,
    ) -> None:
        self._db = db
        self._catalogues = catalogues
        self._reader = reader
        self._seals = reader.seals
        self._numbers = OrderNumbers(db, zone)
        self._hold_seconds = hold_seconds
        self._prices: Prices | None = None
        self._stored: set[UUID] = set()
        self._known_seats = KnownSeats()
        self._batcher = Batcher(
            db,
            Work(
                self._read,
                self._decide,
                self._write,
                Idempotency(attrgetter("call"), _dump, _load),
                prepare=self._prepare,
            ),
            batch=batch,
            workers=workers,
            queue=ORDER_QUEUE,
            batches=ORDER_BATCH,
            on_result=self._on_result,
        )
        self._batcher.retries_seconds = RETRIES_SECONDS

    def submit(
        self, traveller: Traveller, new: NewOrder, *, request_id: str, content_hash: bytes
    ) -> asyncio.Future[Held]:
        """Queues a call; the future gives the order as it was made, or raises.

        A future that is cancelled before its turn is not worked on. Raises (in the future) what
        CreateOrder may, CONFLICT and DATABASE_UNAVAILABLE: after the latter only a repeat with the
        same request_id tells the outcome.
        """
        return self._batcher.submit(HoldUnit(traveller, new, request_id, content_hash))

    async def show_as_made(self, order_id: int) -> Shown:
        """What the answer to a call showed that made this order, for a repeat of it."""
        async with self._db.transaction() as tx:
            made = (await orders.read(tx, [order_id]))[order_id]
            return await self._reader.show_as_made(tx, made)

    async def prices(self) -> Prices:
        """The prices by which an order would be made now."""
        return self._prices_of(self._catalogues.peek() or await self._catalogues.get())

    def _prices_of(self, catalogue: Catalogue) -> Prices:
        if self._prices is None or self._prices.catalogue is not catalogue:
            self._prices = Prices(catalogue)
        return self._prices

    async def quote(
        self, wishes: Sequence[Wish], types: Sequence[str], codes: tuple[str, ...]
    ) -> OrderQuote:
        """What an order would cost now, and what is left. Raises as `Prices.price` does, and
        PASSENGER_NOT_ALLOWED.
        """
        prices, now = await self.prices(), clock.now()
        priced = prices.price(wishes, types, codes, now=now)
        passenger_checks.check_company(types, priced.items)
        caps = map(promotion_stock_id, prices.counted(codes))
        async with self._db.pipeline() as tx, tx.transaction():
            (rows,) = await commit_with(tx, [holds.left({*caps, *_stocks_of(priced)})])
        left = {row.stock_id: row.left for row in rows}
        priced = prices.without_used_up(
            priced, wishes, types, codes, left=lambda stock_id: left.get(stock_id, 0), now=now
        )
        return OrderQuote(priced, left, self.hold_seconds([item.offer for item in priced.items]))

    def hold_seconds(self, offers: Iterable[Offer]) -> int:
        """How long an order of these holds its stock: as long as the shortest of them."""
        return min(offer.hold_seconds or self._hold_seconds for offer in offers)

    async def _read(
        self, tx: PipelineConnection, units: Sequence[HoldUnit], *, skip_locked: bool
    ) -> _Orders:
        prices, now = await self.prices(), clock.now()
        for unit in units:
            if unit.catalogue is not prices.catalogue:  # it changed meanwhile, or was not at hand
                self._price(unit, prices, now)
        numbers = await self._numbers.take(sum(unit.fault is None for unit in units), now)
        stock = await self._read_stock(tx, units, prices, skip_locked=skip_locked)
        # after the locks, which may have taken a while: a hold has its whole time
        return _Orders(stock, prices, numbers, clock.now())

    async def _read_stock(
        self,
        tx: PipelineConnection,
        units: Iterable[HoldUnit],
        prices: Prices,
        *,
        skip_locked: bool,
    ) -> StockFacts:
        stock_ids: set[int] = set()
        seated: set[int] = set()
        quotas: set[tuple[int, int]] = set()
        documents: set[bytes] = set()
        for unit in units:
            if unit.priced is None:
                continue
            traveller_id = unit.traveller.traveller_id
            stock_ids.update(unit.stock_ids)
            if unit.priced.capped or unit.priced.limits:
                for promotion in prices.limited(unit.new.promotion_codes):
                    quotas.add((promotion_quota_id(promotion), traveller_id))
            for item in unit.priced.items:
                offer = item.offer
                quotas.add((quota_id(offer.offer_id), traveller_id))
                if offer.seat_map:
                    seated.add(offer.stock_id)
                if offer.journey:
                    documents.update([document for document in unit.documents if document])
        return await taking.read(
            tx,
            stock_ids=stock_ids,
            seated=seated,
            quota_keys=quotas,
            documents=documents,
            skip_locked=skip_locked,
            known_seats=self._known_seats,
        )

    def _prepare(self, unit: HoldUnit) -> None:
        catalogue = self._catalogues.peek()
        if catalogue is not None:
            self._price(unit, self._prices_of(catalogue), clock.now())

    def _price(self, unit: HoldUnit, prices: Prices, now: datetime) -> None:
        """Checks and prices what is asked for; a fault is kept, since a repeat gets the first
        answer all the same.
        """
        new = unit.new
        unit.catalogue, unit.priced, unit.fault = prices.catalogue, None, None
        unit.wanted = unit.stock_ids = ()
        if not unit.documents:
            unit.documents = tuple(
                [
                    self._seals.document_hash(p) if p.document_number else None
                    for p in new.passengers
                ]
            )
        try:
            priced = prices.price(new.wishes, new.party, new.promotion_codes, now=now)
            passenger_checks.check_passengers(new, priced.items, unit.documents, now=now)
        except DomainError as fault:
            unit.fault = fault
            return
        unit.priced = priced
        unit.wanted = [_wanted(unit, item) for item in priced.items]
        unit.stock_ids = _stock_ids(unit, priced, prices)

    def _decide(self, unit: HoldUnit, batch: _Orders) -> Held:
        """Decides one call and notes what it writes; one that is refused, or whose stock is
        locked, leaves no trace.
        """
        if unit.fault:
            raise unit.fault
        stock, wanted = batch.stock, unit.wanted
        if not stock.locked_stocks.isdisjoint(unit.stock_ids):
            raise LockedError
        for item in wanted:
            stock.check_places(item)
        priced = _without_used_up(unit, batch)
        check_total(unit.new, priced)
        seats = taking.decide(wanted, stock)
        order = self._make(unit, priced, seats, batch)
        taking.take(order.order_id, wanted, seats, stock, batch.now)
        for stock_id in order.content.capped_stock_ids:
            stock.take_cap(stock_id)
        if order.content.promotion_limits:
            for (_, limit), use in zip(order.content.promotion_limits, order.uses, strict=True):
                stock.count(use[:2], use.quantity, limit)
        offers = [item.offer for item in priced.items]
        for offer in offers:
            if offer.snapshot_id not in self._stored:
                batch.sold[offer.snapshot_id] = offer
        batch.made.append(MadeOrder(order, sum(map(_tickets, offers, wanted))))
        party = PassengerParty(list(unit.new.passengers), unit.new.contact_phone)
        batch.terms.append(order_search.of_party(order.order_id, order.create_time, party))
        return Held(Shown(order, unit.new.passengers, offers, (), unit.new.contact_phone))

    def _make(
        self, unit: HoldUnit, priced: Priced, seats: list[Sequence[int | None]], batch: _Orders
    ) -> Order:
        order_id = batch.numbers.popleft()
        seconds = self.hold_seconds([item.offer for item in priced.items])
        passengers, phone = unit.new.passengers, unit.new.contact_phone
        return Order(
            order_id=order_id,
            order_code=order_code(order_id),
            traveller_id=unit.traveller.traveller_id,
            state="PENDING",
            sequence=1,
            content=Content(
                tuple([_item(unit, *pair) for pair in zip(priced.items, seats, strict=True)]),
                tuple([promotion_stock_id(promotion) for promotion in priced.capped]),
                promotion_limits=priced.limits,
            ),
            passengers_sealed=self._seals.seal(order_id, passengers, contact_phone=phone),
            amount_minor=priced.total_minor,
            currency_code=priced.currency_code,
            credit_minor=0,
            create_time=batch.now,
            hold_expire_time=batch.now + timedelta(seconds=seconds),
        )

    async def _write(self, tx: PipelineConnection, batch: _Orders) -> Iterable[Command[Any] | None]:
        self._numbers.give_back(batch.numbers)
        self._numbers.reserve_with(tx)
        sold = [
            NewSnapshot(snapshot_id, offer.product_id, offer.snapshot)
            for snapshot_id, offer in batch.sold.items()
        ]
        return (
            *taking.write(batch.stock, now=batch.now),
            snapshots.store(sold, now=batch.now),
            new_orders.create(batch.made, now=batch.now),
            order_search.store(batch.terms),
        )

    def _on_result(self, _: HoldUnit, outcome: Held | Exception) -> None:
        if isinstance(outcome, DomainError):
            result: str = outcome.reason
        else:
            result = "INTERNAL" if isinstance(outcome, Exception) else "CREATED"
        ORDERS.labels(result).inc()
        if isinstance(outcome, Held) and outcome.shown:
            if len(self._stored) >= MAX_SNAPSHOTS:
                self._stored.clear()
            self._stored.update([offer.snapshot_id for offer in outcome.shown.offers])


def _without_used_up(unit: HoldUnit, batch: _Orders) -> Priced:
    """What a call asks for without the promotions that are used up by now."""
    priced, new, stock = unit.priced, unit.new, batch.stock
    assert priced, "what is not priced has a fault"
    if not priced.capped and not priced.limits:
        return priced
    traveller_id = unit.traveller.traveller_id
    return batch.prices.without_used_up(
        priced,
        new.wishes,
        new.party,
        new.promotion_codes,
        left=stock.left,
        used=lambda quota: stock.quotas.get((quota, traveller_id), 0),
        now=batch.now,
    )


def _stock_ids(unit: HoldUnit, priced: Priced, prices: Prices) -> set[int]:
    """The stocks of what is ordered, and the caps of promotions that may come into play."""
    stock_ids = _stocks_of(priced)
    if priced.capped or priced.limits:
        # both of all, since where one is used up, in either way, others come into play
        stock_ids.update(map(promotion_stock_id, prices.counted(unit.new.promotion_codes)))
    return stock_ids


def _stocks_of(priced: Priced) -> set[int]:
    return {stock_id for item in priced.items for stock_id in item.offer.stock_ids}


def _wanted(unit: HoldUnit, item: PricedItem) -> Wanted:
    offer = item.offer
    return Wanted(
        offer.offer_id,
        offer.product_id,
        offer.stock_id,
        unit.traveller.traveller_id,
        offer.max_per_traveller,
        item.passengers,
        offer.seat_map,
        offer.journey.departure_id if offer.journey else None,
        offer.ride,
        offer.span,
        [unit.documents[position] for position in item.passengers],
        other_stock_ids=offer.stock_ids[1:],
    )


def _tickets(offer: Offer, wanted: Wanted) -> int:
    """How many tickets an item gets: one a passenger, and one for each shared entitlement."""
    return wanted.quantity + len([each for each in offer.entitlements if each.get("shared")])


def _item(unit: HoldUnit, item: PricedItem, seats: Sequence[int | None]) -> OrderItem:
    offer = item.offer
    labels = offer.seat_map.labels if offer.seat_map else ()
    departs = offer.journey is not None
    places = [
        Place(
            position,
            unit.new.passengers[position].customer_type,
            amount,
            seat,
            None if seat is None else labels[seat],
            unit.documents[position] if departs else None,
        )
        for position, amount, seat in zip(
            item.passengers, item.price.ticket_minor, seats, strict=True
        )
    ]
    return OrderItem(
        offer.offer_id,
        offer.snapshot_id,
        offer.stock_id,
        offer.journey.departure_id if offer.journey else None,
        item.price,
        tuple(places),
        offer.span,
        offer.stock_ids[1:],
    )


def _dump(held: Held) -> bytes:
    assert held.shown, "what is kept is a new order"
    return held.shown.order.order_id.to_bytes(8, "big")


def _load(kept: bytes) -> Held:
    return Held(None, int.from_bytes(kept, "big"))
