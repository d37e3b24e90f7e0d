"""Refund, change and redemption of one ticket at the same moment: exactly one wins, and money and
stock stay right.

Hundreds of interleavings, many tickets at once, nine to an order, so that the orders are fought for
too. Seen red: without the locks in front of the second look RefundHandler and ChangeHandler find
their tickets moved ("nobody moves a ticket that is locked").
"""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import pytest

from server.aftersales.quotes import Quotes
from server.aftersales.refund_requests import RefundHandler
from server.aftersales.ticket_changes import ChangeHandler
from server.catalog.catalogue import Catalogues
from server.identity.callers import Operator, Traveller
from server.orders import qr_codes, travel_tickets
from server.orders.hold import OrderHolds
from server.orders.passengers import Passenger
from server.orders.prices import NewOrder, Wish
from server.orders.reader import OrderReader
from server.platform import clock
from server.platform.change_feed import ChangeFeed
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.driver_errors import LockedError
from server.platform.errors import DomainError, Reason
from server.redemption.redeem import Redeemer, ScanItem
from server.tickets import qr
from server.tickets.key_rings import KeyRings
from server.tickets.rotating_keys import RotatingKeys
from tests.support.changes import show_changes
from tests.support.invariants import assert_invariants
from tests.support.order_scenario import OrderScenario, a_scenario
from tests.support.rpc_server import SECRET_KEY
from tests.support.runs import share
from tests.support.traveller import FIRST, SECOND, World, a_world

RACES = 9 * share(5, 3)
"""Of each kind, in orders of nine tickets."""
SEATS = max(RACES, 54) + 18
AT_ONCE = 24
LEAST_APART, MOST_APART = 0.0, 0.012
"""Seconds between the two of a race, by chance."""
REFUSALS = {
    Reason.REFUND_REFUSED,
    Reason.CHANGE_REFUSED,
    Reason.QUOTE_INVALID,
    Reason.TICKET_STATE_REFUSES,
}
TRAVELLER = Traveller(1)
OPERATOR = Operator(
    role="OPERATOR",
    login_id=uuid4(),
    username="sam",
    merchant_code="M",
    venue_code="V",
    terminal_device_id="T-1",
    venue_time_zone="Asia/Hong_Kong",
    function_codes=frozenset({"boarding"}),
    reversal_window_seconds=300,
)


@dataclass
class House:
    """The rooms of one server, without its doors."""

    db: Database
    scenario: OrderScenario
    order_holds: OrderHolds
    refund_handler: RefundHandler
    change_handler: ChangeHandler
    redeemer: Redeemer
    second_redeemer: Redeemer
    world: World

    async def sell(self, count: int, *offers: str) -> list[travel_tickets.TravelTicket]:
        """So many paid tickets of an offer, nine to an order."""

        async def nine() -> list[travel_tickets.TravelTicket]:
            passengers = tuple(
                Passenger("张三", "ADULT", "PASSPORT", f"E{random.randrange(10**8):08}")
                for _ in range(9)
            )
            held = await self.order_holds.submit(
                TRAVELLER,
                NewOrder(tuple(map(Wish, offers)), passengers),
                request_id=uuid4().hex,
                content_hash=b"",
            )
            assert held.shown
            assert await self.scenario.pay(held.shown.order.order_code) == "PAID"
            async with self.db.transaction() as tx:
                return await travel_tickets.of_order(tx, held.shown.order.order_id)

        sold = await limited([nine] * (count // 9))
        # boarding of what leaves in a week is open
        await self.world.sql(
            "UPDATE snapshots SET content = content || '{\"boarding_minutes\": 43200}'"
        )
        return [ticket for tickets in sold for ticket in tickets]

    async def refund(self, ticket: travel_tickets.TravelTicket, quote: str) -> None:
        code = ticket.order.order_code
        await self.db.in_transaction(
            lambda tx: self.refund_handler.request(tx, TRAVELLER, code, quote, now=clock.now())
        )

    async def quote_refund(self, ticket: travel_tickets.TravelTicket) -> str:
        async with self.db.transaction() as tx:
            codes = [ticket.ticket_code]
            quoted = await self.refund_handler.quote(
                tx, TRAVELLER, ticket.order.order_code, codes, now=clock.now()
            )
        return quoted.text

    async def change(self, ticket: travel_tickets.TravelTicket, quote: str) -> None:
        prices = await self.order_holds.prices()
        await self.db.in_transaction(
            lambda tx: self.change_handler.change(
                tx, TRAVELLER, ticket.ticket_code, quote, prices=prices, now=clock.now()
            )
        )

    async def quote_change(self, ticket: travel_tickets.TravelTicket, offer_id: str) -> str:
        prices = await self.order_holds.prices()
        async with self.db.transaction() as tx:
            quoted = await self.change_handler.quote(
                tx, TRAVELLER, ticket.ticket_code, offer_id, prices=prices, now=clock.now()
            )
        return quoted.text

    async def redeem(self, ticket: travel_tickets.TravelTicket) -> None:
        """Raises DomainError with the refusal's reason as message."""
        async with self.db.transaction() as tx:
            claims = await qr_codes.traveller_ticket(
                tx, TRAVELLER, ticket.ticket_code, rotate=False, now=clock.now()
            )
        token = qr.seal(claims, self.world.ring.active)
        answer = None
        while answer is None:  # as a terminal does while somebody else is at the ticket
            with contextlib.suppress(LockedError):
                (answer,) = await self.redeemer.submit(
                    OPERATOR, [ScanItem(token, "boarding", 1)], request_id="", session_code=""
                )
        if answer.result != "SUCCESS":
            raise DomainError(Reason.TICKET_STATE_REFUSES, answer.reason)


async def limited(jobs: Sequence[Callable[[], Awaitable[Any]]]) -> list[Any]:
    """All jobs, AT_ONCE at a time."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(job: Callable[[], Awaitable[Any]]) -> Any:
        async with room:
            return await job()

    return await asyncio.gather(*map(one, jobs))


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    # who waits in a row for the same stock waits long on a busy machine; a deadlock is still one
    settings = load_settings(database_pool=12, lock_timeout_ms=20_000)
    async with (
        a_world(database_url, seats=SEATS, departures=2, max_per_traveller=5000) as world,
        a_scenario(database_url) as scenario,
    ):
        db = Database(settings, database_url)
        feed = ChangeFeed(db)
        await feed.start()
        key_rings = KeyRings(feed, db, SECRET_KEY)
        reader = OrderReader(scenario.seals)
        order_holds = OrderHolds(
            db, Catalogues(feed, db), reader, zone=settings.zone, hold_seconds=600, batch=64,
            workers=2
        )  # fmt: skip
        signer = Quotes(SECRET_KEY)
        yield House(
            db,
            scenario,
            order_holds,
            RefundHandler(signer, quote_seconds=300),
            ChangeHandler(
                db,
                order_holds,
                reader.seals,
                signer,
                scenario.settlement,
                zone=settings.zone,
                quote_seconds=300,
            ),
            Redeemer(
                db,
                key_rings,
                rotating_keys=RotatingKeys(SECRET_KEY),
                batch=32,
                workers=2,
                token_cache=0,
            ),
            Redeemer(
                db,
                key_rings,
                rotating_keys=RotatingKeys(SECRET_KEY),
                batch=32,
                workers=2,
                token_cache=0,
            ),
            world,
        )
        while await scenario.drain():
            pass
        await feed.stop()
        await db.close()
    assert_invariants(database_url)


Race = Callable[[], Awaitable[None]]


async def race(*runners: Race) -> tuple[bool, ...]:
    """Starts all within some milliseconds, in any order; who won. What loses is refused with a
    reason.
    """

    async def run(runner: Race) -> bool:
        await asyncio.sleep(random.uniform(LEAST_APART, MOST_APART))
        try:
            await runner()
        except DomainError as error:
            if error.reason not in REFUSALS:
                raise
            return False
        return True

    return tuple(await asyncio.gather(*map(run, runners)))


def one_wins(results: Sequence[tuple[bool, ...]]) -> None:
    """Exactly one of each race, and each kind at times."""
    assert Counter(map(sum, results)) == {1: RACES}
    for winners in zip(*results, strict=True):
        assert any(winners), "never first: the race is none"


async def ticket_states(world: World) -> Counter[str]:
    rows = await world.sql("SELECT state, count(*) FROM tickets GROUP BY 1")
    return Counter(dict(rows))


async def test_refund_or_redemption(house: House) -> None:
    sold = await house.sell(RACES, house.world.seat())
    quotes = await limited([lambda t=t: house.quote_refund(t) for t in sold])  # type: ignore[misc]

    async def one(ticket: Any, quote: str) -> Any:
        return await race(lambda: house.refund(ticket, quote), lambda: house.redeem(ticket))

    results = await limited(
        [lambda t=t, q=q: one(t, q) for t, q in zip(sold, quotes, strict=True)]  # type: ignore[misc]
    )
    one_wins(results)
    refunds, redemptions = (sum(winners) for winners in zip(*results, strict=True))
    assert await ticket_states(house.world) == {"REFUNDING": refunds, "USED": redemptions}
    await house.scenario.drain()
    assert await ticket_states(house.world) == {"REFUNDED": refunds, "USED": redemptions}
    assert await house.world.value("SELECT sum(refunded_minor) FROM payments") == refunds * 19_500


async def test_change_or_redemption(house: House) -> None:
    sold = await house.sell(RACES, house.world.seat())
    other = house.world.seat(2, SECOND)
    quotes = await limited([lambda t=t: house.quote_change(t, other) for t in sold])  # type: ignore[misc]

    async def one(ticket: Any, quote: str) -> Any:
        return await race(lambda: house.change(ticket, quote), lambda: house.redeem(ticket))

    results = await limited(
        [lambda t=t, q=q: one(t, q) for t, q in zip(sold, quotes, strict=True)]  # type: ignore[misc]
    )
    one_wins(results)
    changes, redemptions = (sum(winners) for winners in zip(*results, strict=True))
    assert await ticket_states(house.world) == {
        "CHANGED": changes,
        "ACTIVE": changes,
        "USED": redemptions,
    }
    assert await house.world.stock(1, FIRST) == (SEATS, 0, redemptions)
    assert await house.world.stock(2, SECOND) == (SEATS, 0, changes)


async def test_refund_or_change(house: House) -> None:
    sold = await house.sell(RACES, house.world.seat())
    other = house.world.seat(2, SECOND)
    to_refund = await limited([lambda t=t: house.quote_refund(t) for t in sold])  # type: ignore[misc]
    to_change = await limited([lambda t=t: house.quote_change(t, other) for t in sold])  # type: ignore[misc]

    async def one(ticket: Any, refund: str, change: str) -> Any:
        return await race(
            lambda: house.refund(ticket, refund), lambda: house.change(ticket, change)
        )

    each = zip(sold, to_refund, to_change, strict=True)
    results = await limited([lambda e=e: one(*e) for e in each])  # type: ignore[misc]
    one_wins(results)
    refunds, changes = (sum(winners) for winners in zip(*results, strict=True))
    await house.scenario.drain()
    assert await ticket_states(house.world) == {
        "REFUNDED": refunds,
        "CHANGED": changes,
        "ACTIVE": changes,
    }
    given = "SELECT sum(refunded_minor) FROM payments"
    assert await house.world.value(given) == refunds * 19_500 + changes * 9_000


async def test_two_refunds_while_money_settles(house: House) -> None:
    sold = await house.sell(RACES, house.world.seat())
    quotes = await limited([lambda t=t: house.quote_refund(t) for t in sold])  # type: ignore[misc]

    async def one(ticket: Any, quote: str) -> Any:
        return await race(lambda: house.refund(ticket, quote), lambda: house.refund(ticket, quote))

    refunded = asyncio.Event()

    async def settle() -> None:
        # to its end: a worker that is cancelled keeps the leases of its tasks for a while
        while not refunded.is_set():
            await house.scenario.drain()
            await asyncio.sleep(0.005)

    settling = [asyncio.create_task(settle()) for _ in range(2)]
    results = await limited(
        [lambda t=t, q=q: one(t, q) for t, q in zip(sold, quotes, strict=True)]  # type: ignore[misc]
    )
    refunded.set()
    await asyncio.gather(*settling)
    one_wins(results)
    await house.scenario.drain()
    assert await ticket_states(house.world) == {"REFUNDED": RACES}
    assert await house.world.value("SELECT sum(refunded_minor) FROM payments") == RACES * 19_500
    assert len(house.scenario.wechat.known) == RACES
    assert await house.world.stock() == (SEATS, 0, 0)
    states = "SELECT array_agg(DISTINCT state || ' ' || cancel_reason) FROM orders"
    assert await house.world.value(states) == ["CANCELLED REFUNDED"]


async def test_news_of_refunds_many_times_at_once(house: House) -> None:
    sold = await house.sell(36, house.world.seat())
    house.scenario.wechat.state = "PROCESSING"
    for ticket in sold:
        await house.refund(ticket, await house.quote_refund(ticket))
    await house.scenario.drain()
    news = [(number, "SUCCESS") for number in house.scenario.wechat.known] * 4
    news += [(number, "ABNORMAL") for number in list(house.scenario.wechat.known)[::2]]
    random.shuffle(news)
    await limited([lambda n=n: house.scenario.notice(*n) for n in news])  # type: ignore[misc]
    assert await ticket_states(house.world) == {"REFUNDED": 36}
    assert await house.world.stock() == (SEATS, 0, 0)


async def test_the_last_tickets_of_orders_at_once(house: House) -> None:
    """Some are used, at two servers, while the refund of others settles: each order ends, none
    too early or twice.
    """
    sold = await house.sell(54, house.world.seat())
    house.scenario.wechat.state = "PROCESSING"
    back, used = sold[::3], [ticket for at, ticket in enumerate(sold) if at % 3]
    for ticket in back:
        await house.refund(ticket, await house.quote_refund(ticket))
    await house.scenario.drain()
    other = replace(house, redeemer=house.second_redeemer)
    last: list[Callable[[], Awaitable[Any]]] = [
        lambda n=number: house.scenario.notice(n, "SUCCESS")  # type: ignore[misc]
        for number in house.scenario.wechat.known
    ]
    last += [lambda t=t: house.redeem(t) for t in used[::2]]  # type: ignore[misc]
    last += [lambda t=t: other.redeem(t) for t in used[1::2]]  # type: ignore[misc]
    random.shuffle(last)
    await limited(last)
    while await house.scenario.drain():  # those at which somebody else was
        pass
    states = "SELECT state, count(*) FROM orders GROUP BY 1"
    assert await house.world.sql(states) == [("COMPLETED", 6)]
    ended = "SELECT count(*) FROM order_events WHERE event = 'order.completed'"
    assert await house.world.value(ended) == 6


async def test_opposite_changes_do_not_wait_for_each_other(house: House) -> None:
    here, there = house.world.seat(1, SECOND), house.world.seat(2, SECOND)
    await house.world.sql(
        "UPDATE products SET policy = jsonb_set(policy, '{change_fee_minor}', '0')"
    )
    await show_changes(house.world)
    one, other = await house.sell(36, here), await house.sell(36, there)
    quotes = [(t, await house.quote_change(t, there)) for t in one]
    quotes += [(t, await house.quote_change(t, here)) for t in other]
    random.shuffle(quotes)
    await limited([lambda q=q: house.change(*q) for q in quotes])  # type: ignore[misc]
    assert await ticket_states(house.world) == {"CHANGED": 72, "ACTIVE": 72}
