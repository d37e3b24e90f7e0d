"""Payments under races and crashes: one payment, one set of tickets, and no money without one or
the other.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import grpc
import httpx2
import psycopg
import pytest
from deeptravel.ticketing.v1 import order_pb2, payment_pb2
from sqlalchemy import make_url

from server.orders import orders
from server.orders.passengers import PassengerSeals
from server.orders.reader import OrderReader
from server.platform.config import load_settings
from server.platform.database import Database
from tests.support.free_ports import free_port
from tests.support.gate_server import gate_process, gate_server
from tests.support.invariants import assert_invariants
from tests.support.paying import (
    NOTICES,
    PaymentScenario,
    a_scenario,
    envelope,
    merchant_settings,
    transaction,
)
from tests.support.rpc_server import SECRET_KEY
from tests.support.runs import share
from tests.support.server_process import ServerProcess
from tests.support.traveller import TravellerClient, World, a_world, passenger
from tests.support.wechat import WechatSimulator
from tools.dev.wechat_simulator.protocol import RefusedError, by_public_key

ROUNDS = share(12, 2)
COPIES = 50
TABLES = ("tickets", "ticket_sales", "order_events", "payments", "stocks")
"""What a settlement writes."""
SEATS = 6 * len(TABLES)


@pytest.fixture(scope="module")
async def filled_scenario(
    module_database_url: str, module_redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[PaymentScenario]:
    async with a_scenario(
        module_database_url, module_redis_url, tmp_path_factory.mktemp("wechat"), seats=100
    ) as seeded:
        yield seeded


@pytest.fixture
async def scenario(filled_scenario: PaymentScenario) -> AsyncIterator[PaymentScenario]:
    yield filled_scenario
    await filled_scenario.sound()
    await filled_scenario.wechat.begin_again()


def notices(scenario: PaymentScenario) -> list[tuple[bytes, dict[str, str]]]:
    """What WeChat holds back, as it would post it."""
    sender = scenario.wechat.simulator._notices
    return [
        (body, by_public_key(scenario.wechat.merchant).headers(body))
        for body in map(sender._body, scenario.wechat.notices("HELD"))
    ]


async def test_an_order_that_is_paid_while_it_is_read_is_shown_as_of_one_moment(
    scenario: PaymentScenario,
) -> None:
    """Seen red: PENDING, with tickets."""
    order, db = (
        await scenario.client.order(scenario.world.seat()),
        Database(load_settings(), scenario.database_url),
    )
    async with db.transaction() as tx:
        found = await orders.find(tx, scenario.client.traveller_id, order.order_id)
        await scenario.pay(order)
        await scenario.paid(order)
        (shown,) = await OrderReader(PassengerSeals(SECRET_KEY)).show(tx, [found])
    await db.close()
    assert (shown.order.state, list(shown.sold)) == ("PENDING", [])


async def test_fifty_at_once_through_two_processes(
    scenario: PaymentScenario, module_database_url: str, module_redis_url: str
) -> None:
    await scenario.wechat.switch(hold_notices=True)
    order = await scenario.client.order(scenario.world.seat())
    await scenario.pay(order)
    ((body, headers),) = notices(scenario)
    async with (
        gate_server(
            module_database_url, module_redis_url, **merchant_settings(scenario.wechat)
        ) as other,
        httpx2.AsyncClient(trust_env=False, timeout=60.0) as http,
    ):
        urls = [scenario.url, f"http://127.0.0.1:{other.app.http_port}"]
        posts = (
            http.post(urls[n % 2] + NOTICES, content=body, headers=headers) for n in range(COPIES)
        )
        reads = (scenario.payment(order) for _ in range(5))
        answers, _ = await asyncio.gather(asyncio.gather(*posts), asyncio.gather(*reads))
        assert {answer.status_code for answer in answers} == {200}
        await scenario.paid(order)
        await scenario.idle_of("notice")
    assert await scenario.world.value("SELECT count(*) FROM notices") == 1
    assert len(await scenario.tickets(order)) == 2
    assert await scenario.world.stock() == (100, 0, 2)
    assert await scenario.incidents() == []
    assert await scenario.refunds(order) == []


async def test_many_orders_notified_again_and_again_through_two_processes(
    scenario: PaymentScenario, module_database_url: str, module_redis_url: str
) -> None:
    """Batches of both processes meet at the same orders: each is paid once."""
    orders = [
        await scenario.client.order(scenario.world.seat(), passengers=[passenger()])
        for _ in range(9)
    ]
    numbers = [str((await scenario.create(order)).payment.out_trade_no) for order in orders]
    dice = random.Random(5)
    bodies = [
        envelope(
            scenario, transaction(scenario, number, total=20_000), number=f"EV-{number}-{copy}"
        )
        for number in numbers
        for copy in range(6)
    ]
    dice.shuffle(bodies)
    async with (
        gate_server(
            module_database_url, module_redis_url, **merchant_settings(scenario.wechat)
        ) as other,
        httpx2.AsyncClient(trust_env=False, timeout=60.0) as http,
    ):
        urls = [scenario.url, f"http://127.0.0.1:{other.app.http_port}"]
        signer = by_public_key(scenario.wechat.merchant)
        answers = await asyncio.gather(
            *(
                http.post(urls[n % 2] + NOTICES, content=body, headers=signer.headers(body))
                for n, body in enumerate(bodies)
            )
        )
        assert {answer.status_code for answer in answers} == {200}
        await scenario.idle_of("notice")
    assert await scenario.world.value("SELECT count(*) FROM tickets") == len(orders)
    assert await scenario.world.stock() == (100, 0, len(orders))
    undone = "SELECT count(*) FROM outbox_tasks WHERE kind = 'notice' AND state <> 'DONE'"
    assert await scenario.world.value(undone) == 0
    assert await scenario.incidents() == []
    assert await scenario.world.value("SELECT count(*) FROM refunds") == 0


async def test_payment_expiry_and_cancellation_at_the_same_moment(
    scenario: PaymentScenario,
) -> None:
    """Whichever wins: paid with tickets, or cancelled and the money back, or never paid."""
    orders = [
        await scenario.client.order(scenario.world.seat(fare_class=1), passengers=[passenger()])
        for _ in range(9)
    ]
    orders += [
        await TravellerClient.of(scenario.server.channel, 2).order(
            scenario.world.seat(fare_class=0), passengers=[passenger()]
        )
        for _ in range(9)
    ]
    clients = [scenario.client] * 9 + [TravellerClient.of(scenario.server.channel, 2)] * 9
    numbers = []
    for order, client in zip(orders, clients, strict=True):
        request = payment_pb2.CreatePaymentRequest(order_id=order.order_id)
        numbers.append((await client.call("CreatePayment", request)).payment.out_trade_no)
    dice = random.Random(7)

    async def pay(number: str) -> None:
        await asyncio.sleep(dice.random() * 0.3)
        try:
            scenario.wechat.pay(number)
        except RefusedError as refused:
            assert refused.code == "ORDER_CLOSED"  # noqa: PT017 - it may or may not be

    async def end(order: order_pb2.Order, client: TravellerClient, how: int) -> None:
        await asyncio.sleep(dice.random() * 0.3)
        if how == 0:
            await scenario.world.expire(order.order_id)
        elif how == 1:
            try:
                await client.cancel(order.order_id)
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.FAILED_PRECONDITION  # noqa: PT017

    await asyncio.gather(
        *map(pay, numbers),
        *(
            end(order, client, n % 3)
            for n, (order, client) in enumerate(zip(orders, clients, strict=True))
        ),
    )
    await scenario.world.until(
        "SELECT count(*) = 0 FROM payments p JOIN orders o USING (order_id)"
        " WHERE p.state = 'PENDING' OR o.state = 'PENDING'"
    )
    await scenario.world.until("SELECT count(*) = 0 FROM refunds WHERE state <> 'SUCCEEDED'")
    await scenario.idle()
    outcomes = await scenario.world.sql(
        "SELECT o.state, p.state, p.refunded_minor = p.amount_minor,"
        " (SELECT count(*) FROM tickets t WHERE t.order_id = o.order_id)"
        " FROM orders o JOIN payments p USING (order_id)"
    )
    assert len(outcomes) == len(orders)
    assert set(outcomes) <= {
        ("PAID", "SUCCEEDED", False, 1),
        ("CANCELLED", "SUCCEEDED", True, 0),
        ("CANCELLED", "CLOSED", False, 0),
    }


async def test_orders_paid_at_once_for_the_last_seats(scenario: PaymentScenario) -> None:
    """Payments that are late all take stock again: as many as there is, the others go back."""
    await scenario.wechat.switch(hold_notices=True, down={"close": -1, "query": -1})
    await scenario.world.sql(
        "UPDATE stocks SET total = 9 WHERE stock_id = %s", scenario.world.stock_id()
    )
    late = []
    for number in range(2):
        client = TravellerClient.of(scenario.server.channel, number + 1)
        for _ in range(4):
            order = await client.order(scenario.world.seat(), passengers=[passenger()])
            request = payment_pb2.CreatePaymentRequest(order_id=order.order_id)
            created = await client.call("CreatePayment", request)
            scenario.wechat.pay(created.payment.out_trade_no)
            late.append(order)
    for order in late:
        await scenario.world.expire(order.order_id)
    await scenario.world.until("SELECT count(*) = 0 FROM orders WHERE state = 'PENDING'")
    await scenario.world.sql(
        "UPDATE stocks SET total = 5 WHERE stock_id = %s", scenario.world.stock_id()
    )
    await asyncio.gather(*(scenario.post(body, headers) for body, headers in notices(scenario)))
    await scenario.wechat.switch(hold_notices=False, down={})
    await scenario.world.until("SELECT count(*) = 3 FROM refunds WHERE state = 'SUCCEEDED'")
    await scenario.idle()
    assert await scenario.world.stock() == (5, 0, 5)
    assert await scenario.world.value("SELECT count(*) FROM orders WHERE state = 'PAID'") == 5


# Crashes


class Mortal:
    """A server in a process of its own that is killed, and started again at the same address."""

    def __init__(
        self, world: World, wechat: WechatSimulator, database_url: str, redis_url: str, folder: Path
    ) -> None:
        self.world = world
        self.wechat = wechat
        self._urls = database_url, redis_url
        self._folder = folder
        self._port = str(free_port())
        self._stack = ExitStack()
        self.process: ServerProcess

    def start(self) -> None:
        environment = self.wechat.environment()
        del environment["DEEPTRAVEL_WECHAT_NOTIFY_URL"]
        # it waits for what the test has locked until it is killed
        long_timeout = {"DEEPTRAVEL_BATCH_LOCK_TIMEOUT_MS": "30000"}
        settings = environment | {"DEEPTRAVEL_HTTP_PORT": self._port} | long_timeout
        server = gate_process(*self._urls, self._folder, settings=settings)
        self.process = self._stack.enter_context(server)

    async def die_and_rise(self) -> None:
        """Killed, with all it was at; what it had leased is free, as it would be after a while."""
        await asyncio.to_thread(self.process.kill)
        await self.world.sql(
            "UPDATE outbox_tasks SET lease_until = now(), due_time = now() WHERE state = 'OPEN'"
        )
        await asyncio.to_thread(self.start)

    def close(self) -> None:
        self._stack.close()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[TravellerClient]:
        async with grpc.aio.insecure_channel(self.process.target) as channel:
            yield TravellerClient.of(channel)


@pytest.fixture
async def mortal(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Mortal]:
    async with (
        a_world(database_url, seats=SEATS, max_per_traveller=SEATS) as world,
        WechatSimulator(tmp_path / "wechat") as wechat,
    ):
        await world.enrol(1)
        await world.sql(
            "UPDATE travellers SET app_id = %s, openid = %s",
            wechat.merchant.app_id,
            wechat.openid("alice"),
        )
        server = Mortal(world, wechat, database_url, redis_url, tmp_path / "server")
        await asyncio.to_thread(server.start)
        try:
            yield server
        finally:
            await asyncio.to_thread(server.close)
        assert_invariants(database_url)


@contextmanager
def locked(database_url: str, table: str) -> Iterator[None]:
    """Whoever writes to the table waits."""
    plain = make_url(database_url).set(drivername="postgresql")
    with psycopg.connect(plain.render_as_string(hide_password=False)) as connection:
        connection.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE".encode())
        yield
        connection.rollback()


WAITS = (
    "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    " AND datname = current_database()"
)


async def create(client: TravellerClient, order: order_pb2.Order) -> str:
    request = payment_pb2.CreatePaymentRequest(order_id=order.order_id)
    return str((await client.call("CreatePayment", request)).payment.out_trade_no)


async def test_killed_in_the_middle_of_a_settlement(mortal: Mortal, database_url: str) -> None:
    """Nothing of it is there, of no order; after the restart all of it is."""
    for paid, table in enumerate(TABLES):
        async with mortal.client() as client:
            orders = [await client.order(mortal.world.seat()) for _ in range(3)]
            numbers = [await create(client, order) for order in orders]
        with locked(database_url, table):
            for number in numbers:
                mortal.wechat.pay(number)
            await mortal.world.until(WAITS)
            await asyncio.to_thread(mortal.process.kill)
        pending = "SELECT count(*) FROM orders WHERE state = 'PENDING'"
        assert await mortal.world.value(pending) == 3, table
        assert await mortal.world.value("SELECT count(*) FROM tickets") == 6 * paid, table
        await mortal.die_and_rise()
        await mortal.world.until(
            "SELECT count(*) = %s FROM orders WHERE state = 'PAID'", 3 * (paid + 1)
        )
        assert await mortal.world.value("SELECT count(*) FROM tickets") == 6 * (paid + 1), table
        assert await mortal.world.stock() == (SEATS, 0, 6 * (paid + 1)), table


async def test_killed_before_the_notice_is_stored(mortal: Mortal, database_url: str) -> None:
    """WeChat sends it again."""
    async with mortal.client() as client:
        number = await create(client, await client.order(mortal.world.seat()))
    with locked(database_url, "notices"):
        mortal.wechat.pay(number)
        await mortal.world.until(WAITS)
        await asyncio.to_thread(mortal.process.kill)
    await mortal.die_and_rise()
    await mortal.world.until("SELECT state = 'PAID' FROM orders")


@pytest.mark.parametrize("operation", ["prepay", "close", "refund"])
async def test_killed_while_wechat_is_asked(mortal: Mortal, operation: str) -> None:
    """It is asked again under the same number."""
    await mortal.wechat.switch(slow={operation: 60.0}, hold_notices=operation == "refund")
    async with mortal.client() as client:
        order = await client.order(mortal.world.seat())
        creating = asyncio.create_task(create(client, order))
        if operation == "prepay":
            await mortal.world.until("SELECT count(*) = 1 FROM payments")
            await asyncio.to_thread(mortal.process.kill)
            with pytest.raises(grpc.aio.AioRpcError):
                await creating
        else:
            number = await creating
            if operation == "refund":
                mortal.wechat.pay(number)
            await client.cancel(order.order_id)
            leased = "SELECT count(*) > 0 FROM outbox_tasks WHERE kind = %s AND lease_until > now()"
            kind = "payment.close" if operation == "close" else "refund.send"
            await mortal.world.until(leased, kind)
    await mortal.wechat.switch(slow={})
    await mortal.die_and_rise()
    if operation == "prepay":
        async with mortal.client() as client:
            mortal.wechat.pay(await create(client, order))
        await mortal.world.until("SELECT state = 'PAID' FROM orders")
    elif operation == "close":
        await mortal.world.until("SELECT state = 'CLOSED' FROM payments")
    else:
        await mortal.wechat.switch(hold_notices=False)
        await mortal.world.until("SELECT state = 'SUCCEEDED' FROM refunds")
        assert await mortal.world.value("SELECT count(*) FROM refund_parts") == 1
    assert await mortal.world.value("SELECT count(*) FROM payments") == 1


async def test_killed_at_any_moment(mortal: Mortal, database_url: str) -> None:
    """Whole loops go on while it is killed again and again."""
    dice = random.Random(11)
    paid = 0
    for _ in range(3):
        async with mortal.client() as client:
            for _ in range(3):
                order = await client.order(mortal.world.package(), passengers=[passenger()])
                mortal.wechat.pay(await create(client, order))
                paid += 1
        await asyncio.sleep(dice.random() * 0.3)
        await mortal.die_and_rise()
        await asyncio.to_thread(assert_invariants, database_url)
    await mortal.world.until("SELECT count(*) = %s FROM orders WHERE state = 'PAID'", paid)
    assert await mortal.world.value("SELECT count(*) FROM tickets") == 2 * paid
