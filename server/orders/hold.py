"""CreateOrder: the orders that arrive together share one transaction, each decided on its own.

A worker takes all orders that wait, locks the stocks they want in one ordered statement, decides
each in the order they came, in memory, writes everything in one statement a table, commits once,
and answers. While its commit is on the way to the disk the next worker takes what has arrived
since. Once a stock was locked for longer than orders lock it, the orders that want it are put off,
see `platform/batching.py`.

What keeps a seat from being sold twice, in PostgreSQL alone: the row lock on the stock and its
constraint no_oversell, the primary key of taken_seats. That a document is on one departure at a
time: see catalog.journeys.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import orjson

from server.catalog.catalogue import Catalogue, Catalogues
from server.catalog.offers import Offer
from server.identity.callers import Traveller
from server.orders import hold_statements, orders, passenger_checks
from server.orders import prices as asked
from server.orders.content import Content, OrderItem, Place
from server.orders.order_numbers import OrderNumbers
from server.orders.orders import Order, order_code
from server.orders.prices import NewOrder, Priced, PricedItem, Prices, Wish
from server.orders.reader import OrderReader, Shown
from server.platform import idempotency
from server.platform.batching import Batcher
from server.platform.database import Database
from server.platform.driver_errors import LockedError
from server.platform.errors import DomainError
from server.platform.metrics import ORDER_BATCH, ORDER_QUEUE, ORDERS
from server.platform.pipeline import PipelineConnection
from server.stock import holds, seating
from server.stock.holds import duplicate_passenger, overlapping_journey, sold_out, too_many
from server.stock.ids import promotion_quota_id, promotion_stock_id, quota_id
from server.stock.journeys import Journey, Span, over

METHOD = "CreateOrder"
"""The method under which an order's request_id counts."""

MAX_SNAPSHOTS = 100_000
"""Snapshots known to be stored."""
RETRIES_SECONDS = (0.02, 0.03, 0.05, 0.05, 0.05)
"""How long an order whose stock is locked is put off, each time: in a rush each has its turn."""


_CREATED = ORDERS.labels("CREATED")


class Held(NamedTuple):
    """A new order, and what was ordered; or, with nothing but `repeated`, the id of an earlier
    call's.
    """

    order: Order | None
    offers: tuple[Offer, ...]
    repeated: int = 0


class OrderQuote(NamedTuple):
    """What an order would cost, what is left by stock, and how long it would be held."""

    priced: Priced
    left: dict[int, int]
    hold_seconds: int


@dataclass(slots=True, eq=False)
class HoldUnit:
    """One call. What it asks for is priced by one catalogue, or why it is refused."""

    traveller: Traveller
    new: NewOrder
    request_id: str
    content_hash: bytes
    catalogue: Catalogue | None = None
    priced: Priced | None = None
    documents: tuple[bytes | None, ...] = ()
    fault: DomainError | None = None

    @property
    def key(self) -> idempotency.Key:
        """The key of the call's repeats."""
        return self.traveller.key, METHOD, self.request_id


Outcome = Held | DomainError


class Holder:
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
        self._workers: Batcher[HoldUnit, Any, Held] = Batcher(
            db,
            self._work,
            batch=batch,
            workers=workers,
            queue=ORDER_QUEUE,
            batches=ORDER_BATCH,
            on_result=_count,
        )
        self._workers.retries_seconds = RETRIES_SECONDS

    def submit(
        self, traveller: Traveller, new: NewOrder, *, request_id: str, content_hash: bytes
    ) -> asyncio.Future[Held]:
        """Queues a call; the future gives the order as it was made, or raises.

        A future that is cancelled before its turn is not worked on. Raises (in the future) what
        CreateOrder may, CONFLICT and DATABASE_UNAVAILABLE: after the latter only a repeat with the
        same request_id tells the outcome.
        """
        return self._workers.submit(HoldUnit(traveller, new, request_id, content_hash))

    async def create(
        self, traveller: Traveller, new: NewOrder, *, request_id: str, content_hash: bytes
    ) -> Shown:
        """The new order; for a repeat the first answer, that is the order as it was made. Raises
        as `submit` does.
        """
        held = await self.submit(traveller, new, request_id=request_id, content_hash=content_hash)
        if held.order:
            return Shown(held.order, new.passengers, held.offers, (), new.contact_phone)
        async with self._db.transaction() as tx:
            made = (await orders.read(tx, [held.repeated]))[held.repeated]
            return await self._reader.show_as_made(tx, made)

    async def prices(self) -> Prices:
        """The prices by which an order would be made now."""
        catalogue = self._catalogues.peek() or await self._catalogues.get()
        if self._prices is None or self._prices.catalogue is not catalogue:
            self._prices = Prices(catalogue)
        return self._prices

    async def quote(
        self, wishes: Sequence[Wish], types: Sequence[str], codes: tuple[str, ...]
    ) -> OrderQuote:
        """What an order would cost now, and what is left. Raises as `Prices.price` does, and
        PASSENGER_NOT_ALLOWED.
        """
        prices, now = await self.prices(), datetime.now(UTC)
        priced = prices.price(wishes, types, codes, now=now)
        passenger_checks.check_company(types, priced.items)
        caps = map(promotion_stock_id, prices.counted(codes))
        async with self._db.transaction() as tx:
            left = await holds.left(tx, {*caps, *[item.offer.stock_id for item in priced.items]})
        priced = prices.without_used_up(
            priced, wishes, types, codes, left=lambda stock_id: left.get(stock_id, 0), now=now
        )
        return OrderQuote(priced, left, self.hold_seconds([item.offer for item in priced.items]))

    def hold_seconds(self, offers: Iterable[Offer]) -> int:
        """How long an order of these holds its stock: as long as the shortest of them."""
        return min(offer.hold_seconds or self._hold_seconds for offer in offers)

    async def _work(
        self, pipeline: PipelineConnection, units: list[HoldUnit], *, careful: bool
    ) -> list[Outcome]:
        prices = await self.prices()
        now = datetime.now(UTC)
        for unit in units:
            if unit.catalogue is not prices.catalogue:
                self._prepare(unit, prices, now)
        numbers = await self._numbers.take(sum(unit.fault is None for unit in units), now)
        async with pipeline.transaction():
            facts = await _read(pipeline, units, prices, careful=careful)
            # behind the locks, which may have taken a while: a hold has its whole time
            batch = _Batch(self, facts, numbers, prices, datetime.now(UTC))
            outcomes = [batch.settle(unit) for unit in units]
            await hold_statements.write(pipeline, batch.writes, facts, batch.now)
        self._numbers.give_back(numbers, now)
        if len(self._stored) >= MAX_SNAPSHOTS:
            self._stored.clear()
        self._stored.update(batch.writes.snapshots)
        return outcomes

    def _prepare(self, unit: HoldUnit, prices: Prices, now: datetime) -> None:
        """Checks and prices what is asked for; a fault is kept, since a repeat gets the first
        answer all the same.
        """
        new = unit.new
        unit.catalogue, unit.priced, unit.fault = prices.catalogue, None, None
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

    def is_stored(self, snapshot_id: UUID) -> bool:
        """Whether this process has stored the snapshot."""
        return snapshot_id in self._stored

    def seal(self, order_id: int, unit: HoldUnit) -> bytes:
        """The passengers of the order that a call makes, and how to reach them."""
        return self._seals.seal(order_id, unit.new.passengers, contact_phone=unit.new.contact_phone)


async def _read(
    pipeline: PipelineConnection, units: Iterable[HoldUnit], prices: Prices, *, careful: bool
) -> hold_statements.HoldFacts:
    stock_ids: set[int] = set()
    seated: set[int] = set()
    quotas: set[tuple[int, int]] = set()
    documents: set[bytes] = set()
    for unit in units:
        if unit.priced is None:
            continue
        stock_ids.update(_stocks(unit, prices))
        if unit.priced.capped or unit.priced.limits:
            for promotion in prices.limited(unit.new.promotion_codes):
                quotas.add((promotion_quota_id(promotion), unit.traveller.traveller_id))
        for item in unit.priced.items:
            offer = item.offer
            quotas.add((quota_id(offer.offer_id), unit.traveller.traveller_id))
            if offer.seat_map:
                seated.add(offer.stock_id)
            if offer.journey:
                documents.update([document for document in unit.documents if document])
    return await hold_statements.read(
        pipeline,
        stock_ids=stock_ids,
        seated=seated,
        quotas=quotas,
        documents=documents,
        keys=[unit.key for unit in units],
        careful=careful,
    )


def _stocks(unit: HoldUnit, prices: Prices) -> set[int]:
    """The stocks of what is ordered, and the caps of promotions that may come into play."""
    if unit.priced is None:
        return set()
    stock_ids = {item.offer.stock_id for item in unit.priced.items}
    if unit.priced.capped or unit.priced.limits:
        # both of all, since where one is used up, in either way, others come into play
        stock_ids.update(map(promotion_stock_id, prices.counted(unit.new.promotion_codes)))
    return stock_ids


class _Batch:
    """The orders of one transaction, decided one after the other on what the database held
    before it.
    """

    def __init__(
        self,
        holder: Holder,
        facts: hold_statements.HoldFacts,
        numbers: deque[int],
        prices: Prices,
        now: datetime,
    ) -> None:
        self.writes = hold_statements.HoldWrites()
        self._holder = holder
        self._facts = facts
        self._numbers = numbers
        self._prices = prices
        self.now = now

    def settle(self, unit: HoldUnit) -> Outcome:
        """Decides one call and notes what it writes; one that is refused, or whose stock is
        locked, leaves no trace.
        """
        stored = self._facts.stored.get(unit.key)
        if stored is not None:
            if stored[0] != unit.content_hash:
                return idempotency.mismatch(unit.request_id)
            return Held(None, (), int.from_bytes(stored[1], "big"))
        if unit.fault:
            return unit.fault
        assert unit.priced
        if not self._facts.held_stocks.isdisjoint(_stocks(unit, self._prices)):
            return LockedError()
        try:
            for item in unit.priced.items:
                self._check_stock(item, len(item.passengers))
            new = unit.new
            priced = self._prices.without_used_up(
                unit.priced,
                new.wishes,
                new.party,
                new.promotion_codes,
                left=self._facts.left,
                used=lambda quota: self._facts.quotas.get((quota, unit.traveller.traveller_id), 0),
                now=self.now,
            )
            asked.check_total(new, priced)
            self._check_rights(unit, priced)
            seats = self._seat(priced)
        except DomainError as refusal:
            return refusal
        return self._hold(unit, priced, seats)

    def _check_stock(self, item: PricedItem, quantity: int) -> None:
        """Raises OFFER_NOT_AVAILABLE (the departure is cancelled), SOLD_OUT."""
        if self._facts.is_closed(item.offer.stock_id):
            raise holds.cancelled(item.offer.offer_id)
        left = self._facts.left(item.offer.stock_id)
        if left < quantity:
            raise sold_out(item.offer.offer_id, item.offer.product_id, quantity, max(left, 0))

    def _check_rights(self, unit: HoldUnit, priced: Priced) -> None:
        """Raises SOLD_OUT and TOO_MANY_FOR_TRAVELLER (for items that count together),
        DUPLICATE_PASSENGER, OVERLAPPING_JOURNEY.
        """
        wanted: dict[int, int] = {}
        counted: dict[int, int] = {}
        journeys: dict[bytes, list[tuple[int, Span]]] = {}
        for item in priced.items:
            offer, quantity = item.offer, len(item.passengers)
            wanted[offer.stock_id] = wanted.get(offer.stock_id, 0) + quantity
            self._check_stock(item, wanted[offer.stock_id])
            quota = quota_id(offer.offer_id)
            held = self._facts.quotas.get((quota, unit.traveller.traveller_id), 0)
            held += counted.get(quota, 0)
            counted[quota] = counted.get(quota, 0) + quantity
            if held + quantity > offer.max_per_traveller:
                raise too_many(
                    offer.offer_id, limit=offer.max_per_traveller, held=held, requested=quantity
                )
            self._check_journeys(unit, item, journeys)

    def _check_journeys(
        self, unit: HoldUnit, item: PricedItem, before: dict[bytes, list[tuple[int, Span]]]
    ) -> None:
        """Raises DUPLICATE_PASSENGER, OVERLAPPING_JOURNEY. `before` are the journeys of the
        items before it.
        """
        offer = item.offer
        if offer.journey is None or offer.span is None:
            return
        departure_id, span = offer.journey.departure_id, offer.span
        for position in item.passengers:
            document = unit.documents[position]
            if not document:
                continue
            held, earlier = self._facts.journeys.of(document), before.get(document, [])
            if held or earlier:
                known = [(each.departure_id, each.span) for each in held] + earlier
                if any(other == departure_id for other, _ in known):
                    raise duplicate_passenger(offer.offer_id, position)
                if any(other.overlaps(span) for _, other in known):
                    raise overlapping_journey(offer.offer_id, position)
            before[document] = [*earlier, (departure_id, span)]

    def _seat(self, priced: Priced) -> list[Sequence[int | None]]:
        """The seats of each item's passengers; None where seats are not numbered. Raises
        SOLD_OUT.
        """
        taken: dict[int, int] = {}
        seats: list[Sequence[int | None]] = []
        for item in priced.items:
            offer, quantity = item.offer, len(item.passengers)
            if offer.seat_map is None:
                seats.append([None] * quantity)
                continue
            before = taken.get(offer.stock_id, self._facts.stocks[offer.stock_id].taken)
            found = seating.allot(offer.seat_map, before, quantity)
            if found is None:
                left = offer.seat_map.size - before.bit_count()
                raise sold_out(offer.offer_id, offer.product_id, quantity, left)
            taken[offer.stock_id] = before | seating.bitmap(found)
            seats.append(found)
        return seats

    def _hold(self, unit: HoldUnit, priced: Priced, seats: list[Sequence[int | None]]) -> Held:
        offers = tuple([item.offer for item in priced.items])
        order_id = self._numbers.popleft()
        seconds = self._holder.hold_seconds(offers)
        order = Order(
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
            passengers_sealed=self._holder.seal(order_id, unit),
            amount_minor=priced.total_minor,
            currency_code=priced.currency_code,
            credit_minor=0,
            create_time=self.now,
            hold_expire_time=self.now + timedelta(seconds=seconds),
        )
        self._note(unit, order, offers)
        return Held(order, offers)

    def _note(self, unit: HoldUnit, order: Order, offers: tuple[Offer, ...]) -> None:
        """Notes what the order writes, and takes it off what the orders behind it find."""
        facts, writes = self._facts, self.writes
        tickets = 0
        for item, offer in zip(order.content.items, offers, strict=True):
            quantity = len(item.places)
            tickets += quantity + len([e for e in offer.entitlements if e.get("shared")])
            stock = facts.stocks[item.stock_id]
            stock.left -= quantity
            writes.held[item.stock_id] = writes.held.get(item.stock_id, 0) + quantity
            quota = quota_id(item.offer_id), order.traveller_id
            self._count(quota, quantity, limit=offer.max_per_traveller)
            for place in item.places:
                if place.seat_index is not None:
                    stock.taken |= 1 << place.seat_index
                    writes.seats.append((item.stock_id, place.seat_index, order.order_id))
            self._travel(order.order_id, item, offer)
            if not self._holder.is_stored(item.snapshot_id):
                writes.snapshots[item.snapshot_id] = offer
        for stock_id in order.content.capped_stock_ids:
            facts.stocks[stock_id].left -= 1
            writes.held[stock_id] = writes.held.get(stock_id, 0) + 1
        if order.content.promotion_limits:
            for (_, limit), use in zip(order.content.promotion_limits, order.uses, strict=True):
                self._count(use[:2], use.quantity, limit=limit)
        stored = unit.content_hash, order.order_id.to_bytes(8, "big")
        facts.stored[unit.key] = stored
        writes.answers.append(idempotency.KeptAnswer(*unit.key, *stored))
        writes.orders.append(
            (
                order.order_id,
                order.order_code,
                uuid4(),
                tickets,
                order.amount_minor,
                order.currency_code,
                order.traveller_id,
                orjson.dumps(order.content.dump()).decode(),
                order.passengers_sealed,
                order.hold_expire_time.isoformat(),
            )
        )

    def _travel(self, order_id: int, item: OrderItem, offer: Offer) -> None:
        """Notes where the documents of an item travel."""
        if item.departure_id is None or offer.span is None or offer.ride is None:
            return
        new = Journey(item.departure_id, order_id, offer.span)
        key, ride, journeys = new.key, offer.ride.dump(), self.writes.journeys
        for place in item.places:
            if not place.document:
                continue
            known = self._facts.journeys.of(place.document)
            if place.document not in journeys:
                journeys[place.document] = over(known, self.now)
            journeys[place.document][key] = ride
            known.append(new)

    def _count(self, key: tuple[int, int], quantity: int, *, limit: int) -> None:
        self._facts.quotas[key] = self._facts.quotas.get(key, 0) + quantity
        added, _ = self.writes.quotas.get(key, (0, 0))
        self.writes.quotas[key] = added + quantity, limit


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
    )


def _count(outcome: Held | Exception) -> None:
    if isinstance(outcome, DomainError):
        result: str = outcome.reason
    else:
        result = "INTERNAL" if isinstance(outcome, Exception) else "CREATED"
    ORDERS.labels(result).inc()
