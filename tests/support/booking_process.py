"""A process of ours that takes bookings of channels, without a worker of its own."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from prometheus_client import Gauge
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from server.aftersales.quotes import Quotes
from server.aftersales.refund_requests import RefundHandler, give_all_back
from server.aftersales.ticket_changes import ChangeHandler
from server.catalog.catalogue import Catalogues
from server.channels import health, tasks
from server.channels.allotment_orders import AllotmentOrders
from server.channels.booking_ends import request_cancellation
from server.channels.booking_handler import BookingHandler
from server.channels.booking_orders import BookingOrders
from server.channels.booking_seals import BookingSeals, booking_key
from server.channels.disconnecting import ChannelEnder
from server.channels.due import BOOK, FETCH, NEW, fetch_key
from server.channels.facts import BookingState, MappingKind
from server.channels.fetching import BookingFetcher
from server.channels.listings import ChannelListing, add_listing
from server.channels.models import channel_bookings
from server.channels.probing import ChannelProbe
from server.channels.words import WordPair
from server.domain import reservation_terms
from server.orders import orders
from server.orders.hold import OrderHolds
from server.orders.passengers import PassengerSeals
from server.orders.reader import OrderReader
from server.partners import ledger, statements
from server.partners.booking_content import PartnerBookingSeals
from server.partners.bookings import Booker
from server.payments import payments
from server.payments.settlement import Settlement
from server.platform.change_feed import ChangeFeed
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.outbox import Postpone, outbox_tasks
from server.webhooks import sequencing
from tests.support import rentals, timetable
from tests.support.channel_process import PushingProcess
from tests.support.channel_vendors import SimulatedChannels
from tests.support.channels import LOCATION, THEIR_LOCATION
from tests.support.partner_client import PARTNERS
from tests.support.rpc_server import SECRET_KEY

PACKAGE_PRICE = 300.0
MOST_ROUNDS = 20
ALLOTTED = 12
"""Of each stock, to the partner."""


async def allot(db: Database) -> None:
    """The partner CP has an allotment of all that we have: packages for all days, departures."""
    async with db.transaction() as tx:
        await tx.execute(text(PARTNERS))
        await tx.execute(
            text(f"""
            INSERT INTO stocks (stock_id, product_id, partner_id, departure_id, fare_class,
              fleet_id, use_date, total, update_time)
            SELECT stock_id | p.partner_id, product_id, p.partner_id, departure_id, fare_class,
              fleet_id, use_date, {ALLOTTED}, now()
            FROM stocks s JOIN partners p ON p.partner_code = 'CP'
            WHERE s.partner_id = 0 AND promotion_id IS NULL""")
        )


class BookedOrder(NamedTuple):
    """An order of a booking, as tests look at it."""

    order_id: int
    state: str
    tickets: tuple[str, ...]
    amount_minor: int


class BookingProcess(PushingProcess):
    """A process that pushes and takes bookings; a test runs the tasks itself."""

    def __init__(
        self, db: Database, redis_url: str, vendors: SimulatedChannels, secret_key: bytes
    ) -> None:
        super().__init__(db, redis_url, vendors, secret_key)
        reader = OrderReader(PassengerSeals(secret_key))
        self.catalogues = Catalogues(ChangeFeed(db), db)
        self.order_holds = OrderHolds(
            *(db, self.catalogues, reader),
            zone=timetable.ZONE,
            hold_seconds=600,
            batch=8,
            workers=1,
        )
        self.settlement, quotes = Settlement(db, reader, zone=timetable.ZONE), Quotes(secret_key)
        self.changes = ChangeHandler(
            *(db, self.order_holds, reader.seals, quotes, self.settlement),
            zone=timetable.ZONE,
            quote_seconds=300,
        )
        self.refunds = RefundHandler(quotes, quote_seconds=300)
        seals = BookingSeals(secret_key)
        made = BookingOrders(db, seals, self.order_holds, self.settlement, self.changes)
        terms = reservation_terms(load_settings())
        booker = Booker(db, PartnerBookingSeals(secret_key), terms, timetable.ZONE)
        self.allotted = AllotmentOrders(db, seals, booker, self.catalogues, timetable.ZONE)
        self.handler = BookingHandler(db, self.clients, made, self.allotted, self.refunds)
        self.fetcher = BookingFetcher(db, self.clients, seals)
        self.ender = ChannelEnder(db, self.clients, timetable.ZONE)

    def kinds(self) -> dict[str, Any]:
        of_bookings = tasks.kinds(self.fetcher, self.handler)
        probe = ChannelProbe(self.db, self.clients)
        return {**self.pusher.kinds(), **of_bookings, **self.ender.kinds(), **probe.kinds()}

    async def sell_at(
        self, vendor: str, *, statuses: bool = True, partner_code: str = "", code: str = ""
    ) -> None:
        """A channel with a package and a train, whose words for states are mapped, and which knows
        our prices.
        """
        await self.connect(vendor, partner_code=partner_code, code=code)
        code = code or vendor
        if statuses:
            for ours, theirs in self.vendors.simulator.announced()[vendor]["statuses"].items():
                state = BookingState(ours.upper())
                await self.map(code, WordPair(MappingKind.STATUS, state, theirs))
        await self.work_out(code)
        await self.push(code)

    async def rent_out(self, vendor: str, partner_code: str = "") -> None:
        """Cars are listed, too, and the channel knows their prices; all of a partner's allotment if
        one is named.
        """

        async def seed(tx: AsyncConnection, **by: Any) -> None:
            await rentals.seed_rentals(tx, **by)

        await self.change(seed)
        self.see_catalogue()
        if partner_code:
            await allot(self.db)
        await self.sell_at(vendor, partner_code=partner_code)
        listing = ChannelListing(
            *(vendor, "C", LOCATION, "HKD", rentals.ECONOMY),
            rental_location_id=rentals.AIRPORT,
            days_ahead=12,
        )
        await self.change(add_listing, listing)
        await self.work_out(vendor)
        await self.push(vendor)

    def see_catalogue(self) -> None:
        """The catalogue is read anew."""
        self.catalogues = self.pusher._catalogues = Catalogues(ChangeFeed(self.db), self.db)
        self.order_holds._catalogues = self.catalogues

    async def fetch(self, vendor: str, which: str = NEW) -> Postpone | None:
        return await self.run(FETCH, fetch_key(vendor, which))

    async def book(self, vendor: str, booking_id: str) -> Postpone | None:
        return await self.run(BOOK, booking_key(vendor, booking_id))

    async def settle(self, vendor: str, booking_id: str, which: str = NEW) -> None:
        """Fetches, and works on the booking until nothing is left to be done."""
        for _ in range(MOST_ROUNDS):
            if not await self.fetch(vendor, which):
                break
        else:
            raise AssertionError("it was not fetched")
        for _ in range(MOST_ROUNDS):
            if not await self.book(vendor, booking_id):
                return
            await self.wait(vendor, booking_id)
        raise AssertionError("something is left to be done")

    async def wait(self, vendor: str, booking_id: str) -> None:
        """As if a call to the vendor had been sent long enough ago to show."""
        await self.sql(
            f"UPDATE channel_bookings SET update_time = update_time - interval '1 minute'"
            f" WHERE channel_code = '{vendor}' AND booking_id = '{booking_id}'"
        )

    async def row(self, vendor: str, booking_id: str) -> Any:
        query = select(channel_bookings).where(
            channel_bookings.c.channel_code == vendor, channel_bookings.c.booking_id == booking_id
        )
        async with self.db.transaction() as tx:
            return (await tx.execute(query)).one_or_none()

    async def orders(self, vendor: str, booking_id: str) -> list[BookedOrder]:
        """The orders that were paid for a booking."""
        query = text("""
            SELECT o.order_id, o.state, array_agg(t.state ORDER BY t.ticket_id)
              FILTER (WHERE t.state IS NOT NULL), o.amount_minor
            FROM orders o LEFT JOIN tickets t USING (order_id)
            WHERE o.payment_reference = :name GROUP BY o.order_id ORDER BY o.order_id""")
        async with self.db.transaction() as tx:
            found = await tx.execute(query, {"name": booking_key(vendor, booking_id)})
        return [BookedOrder(row[0], row[1], tuple(row[2] or ()), row[3]) for row in found]

    async def count(self, query: str) -> int:
        async with self.db.transaction() as tx:
            return int(await tx.scalar(text(query)) or 0)

    async def balances(self, partner_code: str) -> dict[str, int]:
        """What a partner's statement closes with, by account, when all is posted; debits are above
        zero.
        """
        while await sequencing.sequence(self.db):
            pass
        now = datetime.now(UTC)
        async with self.db.transaction() as tx:
            partner = await statements.partner_id_of(tx, partner_code)
        while await ledger.post(self.db, partner, zone=timetable.ZONE):
            pass
        of: Any = {"zone": timetable.ZONE, "now": now}
        async with self.db.transaction() as tx:
            (last,) = await statements.page(tx, partner, before=None, limit=1, **of)
            made = await statements.get(tx, partner, f"{last.month:%Y-%m}", **of)
        return {each["account"]: each["closing_minor"] for each in made.content["accounts"]}

    async def sql(self, statement: str) -> None:
        async with self.db.transaction() as tx:
            await tx.execute(text(statement))

    async def expire_holds(self) -> None:
        """What is held, and was not paid, expires."""
        await self.sql(
            "UPDATE orders SET hold_expire_time = now() - interval '1 second'"
            " WHERE state = 'PENDING'"
        )
        now = datetime.now(UTC)

        async def expire(tx: AsyncConnection) -> None:
            found = await orders.lock_expired(tx, now=now, limit=10)
            how = {"reason": "HOLD_EXPIRED", "actor": "system"}
            close = payments.close_waiting
            await orders.cancel(tx, found, **how, now=now, close_payments=close)  # type: ignore[arg-type]

        await self.db.in_transaction(expire)

    async def give_back(self, vendor: str, booking_id: str) -> None:
        """The operator gives the order of a booking back."""
        (order,) = await self.orders(vendor, booking_id)
        now = datetime.now(UTC)
        await self.db.in_transaction(
            lambda tx: give_all_back(tx, order.order_id, "admin:test", now=now)
        )

    async def change_policy(self, **changes: Any) -> None:
        """The package's policy from now on."""
        await self.sql(
            f"UPDATE products SET policy = policy || '{json.dumps(changes)}'"
            f" WHERE product_id = {timetable.PACKAGE}"
        )

    async def fetched_until(self, until: datetime) -> None:
        """As if nothing was fetched since."""
        await self.sql(f"UPDATE channel_fetches SET until_time = '{until.isoformat()}'")

    async def cancel(self, vendor: str, booking_id: str) -> None:
        """An administrator does."""
        await self.change(request_cancellation, vendor, booking_id, "other", "broken")

    async def measure(self, later: timedelta = timedelta(0)) -> None:
        """Sets the metrics, as after a while."""
        now = datetime.now(UTC) + later
        async with self.db.transaction() as tx:
            await health.measure(tx, today=timetable.today(), now=now)

    async def failed_before(self, age: timedelta) -> None:
        """As if the calls that failed had been made so long ago."""
        seconds = age.total_seconds()
        await self.sql(
            f"UPDATE channel_calls SET create_time = create_time - {seconds} * interval '1 second'"
            " WHERE outcome <> 'OK'"
        )

    def metric(self, gauge: Gauge, *labels: str) -> float:
        """Its value."""
        return float(gauge.labels(*labels)._value.get())

    async def reset_breaker(self, vendor: str) -> None:
        """A vendor that was away is asked at once."""
        self.clients._breakers[vendor].clear()

    async def asked(self, kind: str) -> list[str]:
        """The keys of tasks that were asked for."""
        query = select(outbox_tasks.c.key).where(outbox_tasks.c.kind == kind)
        async with self.db.transaction() as tx:
            return sorted(await tx.scalars(query))

    def theirs(self, vendor: str, booking_id: str) -> dict[str, Any]:
        """What the vendor's books say of a booking."""
        (found,) = [
            each
            for each in self.vendors.simulator.books.all_bookings(vendor)
            if each["id"] == booking_id
        ]
        return found

    def buy(self, vendor: str, booking_id: str, **changes: Any) -> dict[str, Any]:
        """A customer of the vendor books the package for tomorrow, unless the changes say
        otherwise.
        """
        day = timetable.tomorrow()
        content = booking(booking_id, day, **changes)
        self.vendors.book(vendor, content, datetime.now(UTC).timestamp())
        return content


def booking(booking_id: str, day: date, **changes: Any) -> dict[str, Any]:
    """A booking of the package, with a customer of its own."""
    return {
        "id": booking_id,
        "car_id": "P",
        "pickup_location_id": THEIR_LOCATION,
        "dropoff_location_id": THEIR_LOCATION,
        "pickup_date": day.isoformat(),
        "return_date": day.isoformat(),
        "total_price": PACKAGE_PRICE,
        "currency": "HKD",
        "customer": {
            "email": f"{booking_id.lower()}@example.com",
            "first_name": "Wei",
            "last_name": "Wang",
            "phone": "+85291234567",
        },
        **changes,
    }


@asynccontextmanager
async def booking_process(
    db: Database,
    redis_url: str,
    vendors: SimulatedChannels,
    *,
    secret_key: bytes = SECRET_KEY,
) -> AsyncIterator[BookingProcess]:
    made = BookingProcess(db, redis_url, vendors, secret_key)
    try:
        yield made
    finally:
        await made.close()
