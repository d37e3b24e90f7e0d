"""Many orders at once: nothing is sold twice, nothing is lost, and nobody fails who need not.

"Seen red" in a test says what was taken out, and how the test then failed.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterable
from pathlib import Path
from typing import Any

import grpc
import pytest
from deeptravel.ticketing.v1 import order_pb2

from server.api.ticketing import orders as order_messages
from server.catalog.catalogue import Catalogues
from server.identity.callers import Traveller
from server.orders import orders
from server.orders.hold import OrderHolds
from server.orders.hold_expiry import Expiry
from server.orders.passengers import PassengerSeals
from server.orders.reader import OrderReader
from server.payments import payments
from server.platform.change_feed import ChangeFeed
from server.platform.clock import now
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.errors import Reason
from tests.support.gate_server import GateServer, gate_process
from tests.support.rpc_server import SECRET_KEY, read_refusal, refusal_or_none
from tests.support.runs import share
from tests.support.traveller import (
    SECOND,
    TravellerClient,
    World,
    a_world,
    party,
    passenger,
    seats_of,
    traveller_server,
)
from tests.support.waiting import WAIT_SECONDS

SEATS = share(1_500, 200)
CALLS = 2 * SEATS
KILLED_SEATS = share(300, 200)
KILLED_CALLS = 2 * KILLED_SEATS
ONE_ADDRESS = {"DEEPTRAVEL_MAX_CALLS_PER_ADDRESS": "0"}
"""All callers of a test have one."""
LOST = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


@pytest.fixture(scope="module")
async def filled_world(module_database_url: str) -> AsyncIterator[World]:
    async with a_world(module_database_url, departures=2) as seeded:
        yield seeded


@pytest.fixture
async def world(filled_world: World, module_database_url: str) -> AsyncIterator[World]:
    yield filled_world
    assert await filled_world.contradictions() == []


@pytest.fixture(scope="module")
async def server(
    filled_world: World, module_database_url: str, module_redis_url: str
) -> AsyncIterator[GateServer]:
    async with traveller_server(module_database_url, module_redis_url) as running:
        yield running


async def outcome(call: Awaitable[Any]) -> str:
    """`OK`, or the reason of the refusal."""
    refused = await refusal_or_none(call)
    return refused.reason if refused else "OK"


async def decided(channel: grpc.aio.Channel, world: World, number: int) -> str:
    """The outcome of an order, which is repeated where it came behind too many others."""
    request = one_way(world, number, 0)
    while (
        found := await outcome(TravellerClient.of(channel, number).call("CreateOrder", request))
    ) == (Reason.CONFLICT):
        pass
    return found


def one_way(world: World, number: int, fare_class: int) -> order_pb2.CreateOrderRequest:
    return order_pb2.CreateOrderRequest(
        request_id=f"burst-{number}",
        items=[order_pb2.OrderItem(offer_id=world.seat(1, fare_class))],
        passengers=party(1),
    )


def repeated(numbers: Iterable[Any]) -> list[Any]:
    return [number for number, times in Counter(numbers).items() if times > 1]


@pytest.mark.timeout(600)
async def test_twice_as_many_at_once_as_there_are_seats(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """All in flight at the same moment, on one connection, at a server of its own.

    Seen red: without max_pending_requests in server/api/grpc_server.py more than a thousand are
    CANCELLED.
    """
    async with a_world(database_url, seats=SEATS) as world:
        with gate_process(database_url, redis_url, tmp_path, settings=ONE_ADDRESS) as process:
            async with grpc.aio.insecure_channel(process.target) as channel:
                calls = [decided(channel, world, number) for number in range(1, CALLS + 1)]
                outcomes = Counter(await asyncio.gather(*calls))
        assert outcomes == {"OK": SEATS, Reason.SOLD_OUT: CALLS - SEATS}
        assert await world.stock() == (SEATS, SEATS, 0)
        assert await world.value("SELECT count(*) FROM taken_seats") == SEATS
        assert await world.contradictions() == []


@pytest.mark.timeout(600)
async def test_many_at_once_and_the_server_is_killed_in_the_middle(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """Who lost the connection repeats with the same request_id, at the next server, until there
    is an answer.
    """
    async with a_world(database_url, seats=KILLED_SEATS) as world:
        running = [
            gate_process(database_url, redis_url, tmp_path / "0", settings=ONE_ADDRESS).start()
        ]
        channels = [grpc.aio.insecure_channel(running[0].target)]
        answers: dict[int, str] = {}
        restarted = asyncio.Event()

        async def traveller(number: int) -> None:
            request = one_way(world, number, 0)
            while number not in answers:
                try:
                    await TravellerClient.of(channels[-1], number).call("CreateOrder", request)
                    answers[number] = "OK"
                except grpc.aio.AioRpcError as error:
                    if error.code() in LOST:
                        await restarted.wait()
                        continue
                    if (reason := read_refusal(error).reason) is not Reason.CONFLICT:
                        answers[number] = reason

        async def kill() -> None:
            await world.until("SELECT count(*) > %s FROM orders", KILLED_SEATS // 3)
            assert await asyncio.to_thread(running[0].kill)
            again = gate_process(database_url, redis_url, tmp_path / "1", settings=ONE_ADDRESS)
            running.append(await asyncio.to_thread(again.start))
            channels.append(grpc.aio.insecure_channel(running[1].target))
            restarted.set()

        try:
            await asyncio.gather(
                kill(), *[traveller(number) for number in range(1, KILLED_CALLS + 1)]
            )
        finally:
            for channel in channels:
                await channel.close()
            for process in running:
                process.__exit__()
        assert Counter(answers.values()) == {
            "OK": KILLED_SEATS,
            Reason.SOLD_OUT: KILLED_CALLS - KILLED_SEATS,
        }
        assert await world.stock() == (KILLED_SEATS, KILLED_SEATS, 0)
        owners = await world.sql("SELECT traveller_id FROM orders")
        assert repeated(owners) == []
        assert sorted(number for (number,) in owners) == sorted(
            number for number, answer in answers.items() if answer == "OK"
        )
        assert await world.contradictions() == []


async def test_two_processes_never_sell_a_seat_twice(
    world: World, server: GateServer, module_database_url: str, module_redis_url: str
) -> None:
    """Parties of one to three for ten seats, numbered and not."""
    async with traveller_server(module_database_url, module_redis_url) as elsewhere:
        for fare_class in (0, SECOND):
            clients = [
                TravellerClient.of(channel, number)
                for number in range(1, 21)
                for channel in (server.channel, elsewhere.channel)
            ]
            calls = [
                client.create(world.seat(1, fare_class), passengers=party(1 + number % 3))
                for number, client in enumerate(clients)
            ]
            answers = await asyncio.gather(*calls, return_exceptions=True)
            made = [answer.order for answer in answers if not isinstance(answer, BaseException)]
            refused = [read_refusal(a) for a in answers if isinstance(a, grpc.aio.AioRpcError)]
            assert {refusal.reason for refusal in refused} == {Reason.SOLD_OUT}
            assert len(made) + len(refused) == len(calls)
            seats = [seat for order in made for seat in seats_of(order)]
            assert len(seats) == 10  # parties of one fill what is left
            if fare_class == 0:
                assert repeated(seats) == []
            assert await world.stock(1, fare_class) == (10, 10, 0)


async def test_one_document_in_two_classes_at_two_processes(
    world: World, server: GateServer, module_database_url: str, module_redis_url: str
) -> None:
    """The classes have stocks of their own, so no common lock: the version of document_journeys
    decides.
    """
    async with traveller_server(module_database_url, module_redis_url) as elsewhere:
        clients = [
            TravellerClient.of(server.channel, 1),
            TravellerClient.of(elsewhere.channel, 2),
        ]
        offers = [world.seat(2), world.seat(2, SECOND)]
        for number in range(20):
            who = [passenger(document_number=f"E77{number:05}")]
            calls = [
                client.create(offer, passengers=who)
                for client, offer in zip(clients, offers, strict=True)
            ]
            answers = await asyncio.gather(*calls, return_exceptions=True)
            (refused,) = [a for a in answers if isinstance(a, grpc.aio.AioRpcError)]
            assert read_refusal(refused).reason is Reason.DUPLICATE_PASSENGER
            ((client, made),) = [
                (client, answer)
                for client, answer in zip(clients, answers, strict=True)
                if not isinstance(answer, BaseException)
            ]
            await client.cancel(made.order.order_id)


async def test_one_request_at_two_processes(
    world: World, server: GateServer, module_database_url: str, module_redis_url: str
) -> None:
    async with traveller_server(module_database_url, module_redis_url) as elsewhere:
        clients = [
            TravellerClient.of(channel, 1) for channel in (server.channel, elsewhere.channel)
        ]
        for number in range(20):
            request = one_way(world, number, number % 2)
            answers = await asyncio.gather(*[d.call("CreateOrder", request) for d in clients * 2])
            assert all(answer == answers[0] for answer in answers)
            assert await world.value("SELECT count(*) FROM orders WHERE state = 'PENDING'") == 1
            await clients[0].cancel(answers[0].order.order_id)


async def test_orders_that_come_when_a_worker_ends_are_not_forgotten(
    world: World, module_database_url: str
) -> None:
    """Seen red: with the worker leaving `_running` in a done-callback the second or third round
    waits for ever.
    """
    await world.sql("UPDATE stocks SET total = 10000")
    settings = load_settings(secret_key=SECRET_KEY)
    db = Database(settings, module_database_url)
    feed = ChangeFeed(db)
    await feed.start()
    order_holds = OrderHolds(
        db,
        Catalogues(feed, db),
        OrderReader(PassengerSeals(SECRET_KEY)),
        zone=settings.zone,
        hold_seconds=600,
        batch=16,
        workers=2,
    )
    for number in range(20):
        async with asyncio.timeout(WAIT_SECONDS):
            calls = [
                order_holds.submit(
                    Traveller(1000 * number + at),
                    order_messages.new_order(one_way(world, at, SECOND)),
                    request_id=str(number),
                    content_hash=b"",
                )
                for at in range(64)
            ]
            await asyncio.gather(*calls)
    await feed.stop()
    await db.close()


async def test_calls_that_are_given_up_do_all_or_nothing(world: World, server: GateServer) -> None:
    """At every moment of their way; a repeat without haste tells what became of each."""
    requests = [one_way(world, number, SECOND) for number in range(100)]

    async def hasty(number: int, request: Any) -> Any:
        call = TravellerClient.of(server.channel, number + 1).call(
            "CreateOrder", request, timeout=0.002 + 0.0005 * (number % 40)
        )
        with contextlib.suppress(grpc.aio.AioRpcError):
            return await call
        return None

    hurried = await asyncio.gather(*[hasty(n, request) for n, request in enumerate(requests)])
    assert await world.contradictions() == []
    again = [
        outcome(TravellerClient.of(server.channel, n + 1).call("CreateOrder", request))
        for n, request in enumerate(requests)
    ]
    outcomes = await asyncio.gather(*again)
    assert Counter(outcomes) == {"OK": 10, Reason.SOLD_OUT: 90}
    for first, last in zip(hurried, outcomes, strict=True):
        assert first is None or last == "OK"


async def test_an_order_that_is_being_settled_does_not_expire(
    world: World, server: GateServer, module_database_url: str
) -> None:
    """Nor does the expiry wait for it: other orders expire in time."""
    client = TravellerClient.of(server.channel, 1)
    settled, other = await client.order(world.seat()), await client.order(world.seat())
    await world.sql("UPDATE orders SET hold_expire_time = now() + interval '5 seconds'")
    db = Database(load_settings(), module_database_url)
    async with db.transaction() as tx:
        order = await orders.find(tx, 1, settled.order_id, lock=True)
        async with asyncio.timeout(WAIT_SECONDS):
            await world.until(
                "SELECT state = 'CANCELLED' FROM orders WHERE order_code = %s", other.order_id
            )
        assert (await client.get(settled.order_id)).sequence == 1
        assert order.state == "PENDING"
    async with asyncio.timeout(WAIT_SECONDS):
        await world.until("SELECT count(*) = 0 FROM orders WHERE state = 'PENDING'")
    await db.close()


async def test_a_cancellation_and_the_expiry_at_once(
    world: World, server: GateServer, module_database_url: str
) -> None:
    client = TravellerClient.of(server.channel, 1)
    db = Database(load_settings(), module_database_url)
    another = Expiry(db, payments.close_waiting)
    for _ in range(20):
        order = await client.order(world.seat())
        await world.expire(order.order_id)
        cancelled, _ = await asyncio.gather(outcome(client.cancel(order.order_id)), another.run())
        (events,) = await world.sql(
            "SELECT count(*) FROM order_events JOIN orders USING (order_id) WHERE order_code = %s",
            order.order_id,
        )
        assert events == (1,)
        assert cancelled in ("OK", Reason.ORDER_STATE_REFUSES)
        assert await world.stock() == (10, 0, 0)
    await db.close()


async def test_two_processes_expire_many_once_each(
    world: World, server: GateServer, module_database_url: str
) -> None:
    """Three hundred orders, more than one transaction takes, in several processes at once."""
    await world.sql("UPDATE stocks SET total = 1000")
    made = [
        TravellerClient.of(server.channel, n).create(world.seat(1, SECOND)) for n in range(1, 301)
    ]
    await asyncio.gather(*made)
    await world.sql("UPDATE orders SET hold_expire_time = %s", now())
    databases = [Database(load_settings(), module_database_url) for _ in range(3)]
    await asyncio.gather(*[Expiry(db, payments.close_waiting).run() for db in databases])
    await world.until("SELECT count(*) = 0 FROM orders WHERE state = 'PENDING'")
    assert await world.value("SELECT count(*) FROM order_events") == 300
    assert await world.stock(1, SECOND) == (1000, 0, 0)
    for db in databases:
        await db.close()


async def test_the_holds_of_a_dead_process_are_returned_by_another(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with a_world(database_url) as world:
        with gate_process(database_url, redis_url, tmp_path / "0") as dying:
            async with grpc.aio.insecure_channel(dying.target) as channel:
                order = await TravellerClient.of(channel, 1).order(world.seat())
            dying.kill()
        await world.expire(order.order_id)
        assert await world.stock() == (10, 2, 0)
        with gate_process(database_url, redis_url, tmp_path / "1"):
            await world.until("SELECT state = 'CANCELLED' FROM orders")
        assert await world.stock() == (10, 0, 0)


async def test_orders_and_expiry_go_on_after_the_database_was_away(
    world: World, server: GateServer
) -> None:
    client = TravellerClient.of(server.channel, 1)
    order = await client.order(world.seat())
    await world.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await world.expire(order.order_id)
    async with asyncio.timeout(WAIT_SECONDS):
        await world.until("SELECT state = 'CANCELLED' FROM orders")
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):
                await client.order(world.seat())
                break
    await world.sql("UPDATE orders SET hold_expire_time = now() WHERE state = 'PENDING'")
    await world.until("SELECT count(*) = 0 FROM orders WHERE state = 'PENDING'")
