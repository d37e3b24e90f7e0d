"""A cancelled departure with thousands of tickets: how long its preview, its cancellation and its
report take, and until all is done: every order has followed, WeChat has settled every refund and
has every message, partners' tickets are refunded in the ledger, and the report is COMPLETED. Each
traveller has an order of one ticket; a tenth of the tickets are a partner's.
"""

import asyncio
import time
from base64 import b64encode
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
import uvloop
from deeptravel.admin.v1 import catalog_pb2, disruption_pb2

from server.operations.schema import migrate
from tests.support import databases, gate
from tests.support.changes import show_changes
from tests.support.free_ports import free_port
from tests.support.operations import Manager
from tests.support.order_scenario import a_scenario
from tests.support.partner_client import CP, KEY, PartnerClient, payment
from tests.support.rpc_server import SECRET_KEY
from tests.support.server_process import ServerProcess
from tests.support.traveller import SECOND, TRAIN, TravellerClient, World, a_world, party
from tools.bench.figures import Figures
from tools.bench.metering import cpu_seconds
from tools.bench.wechat import Simulated, simulator
from tools.dev.embedded.services import EmbeddedServices
from tools.dev.wechat_simulator.store import Store

DATABASE = "bench_disrupting"
SELLERS = 8
"""Travellers who buy at the same time."""
PARTNERS_SHARE = 10
"""One in so many tickets is a partner's."""
PARTNERS_FARE = 20_000
BATCH = 100
"""A partner's tickets made at once."""
TARGETS = {
    "cancelled departure, all done": ("<=", 60),
    "cancelled departure, rows missing": ("<=", 0),
    "cancelled departure, messages missing": ("<=", 0),
}
UNLIMITED = "UPDATE partners SET requests_per_minute = 1000000 WHERE partner_id = 1"
ALLOT = """
INSERT INTO stocks (stock_id, product_id, partner_id, departure_id, fare_class, total, update_time)
SELECT stock_id | 1, product_id, 1, departure_id, fare_class, %s, now() FROM stocks
WHERE departure_id IS NOT NULL AND partner_id = 0 AND fare_class = 'FIRST'
"""
PUBLISH = """
INSERT INTO notification_templates VALUES (%s, 'WECHAT', 'zh', 1, '', '', %s,
  '', '{"character_string1": "{order_code}"}', true, 'bench', now())
"""
CONSENT = """
INSERT INTO notification_consents (traveller_id, template_id, available, granted, update_time)
SELECT traveller_id, %s, 1000, 1000, now() FROM travellers
"""
CPU = ("server CPU a ticket", "PostgreSQL CPU a ticket")
MESSAGES = ("DEPARTURE_CANCELLED", "REFUND_RESULT")
FOLLOWED = """
SELECT NOT EXISTS (SELECT FROM tickets t JOIN ticket_sales s USING (ticket_id)
  WHERE s.departure_id = %s AND t.state = 'ACTIVE')
"""
SETTLED = "SELECT count(*) = %s FROM refunds WHERE state = 'SUCCEEDED'"
POSTED = "SELECT count(DISTINCT ticket_id) = %s FROM ledger_entries WHERE kind = 'REFUND'"
ACTIVATED = "SELECT count(DISTINCT ticket_id) = %s FROM ledger_entries WHERE kind = 'ACTIVATION'"
SENT = """
SELECT count(*) = %s FROM notification_deliveries
WHERE channel = 'WECHAT' AND state = 'SENT' AND kind IN ('DEPARTURE_CANCELLED', 'REFUND_RESULT')
"""
PAID = "SELECT out_trade_no, amount_minor FROM payments WHERE state = 'SUCCEEDED'"


async def _sell(url: str, server: ServerProcess, world: World, own: int, partners: int) -> None:
    await world.enrol(*range(1, own + 1))
    async with (
        a_scenario(url) as scenario,
        grpc.aio.insecure_channel(server.target) as channel,
    ):
        at_once = asyncio.Semaphore(SELLERS)

        async def one(number: int) -> None:
            async with at_once:
                client = TravellerClient.of(channel, number)
                await scenario.pay(await _ordered(client, world))

        await asyncio.gather(*map(one, range(1, own + 1)))
        await _sell_by_partner(PartnerClient.at(channel), world, partners, at_once)


async def _ordered(client: TravellerClient, world: World) -> str:
    """An order of one ticket, asked for until nobody else is at its stock."""
    while True:
        try:
            order = await client.order(world.seat(1, SECOND), passengers=party(1))
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.ABORTED:
                raise
        else:
            return order.order_id


async def _sell_by_partner(
    partner: PartnerClient, world: World, count: int, at_once: asyncio.Semaphore
) -> None:
    departure = {"departure_id": str(world.departure_id()), "fare_class": "FIRST"}
    codes: list[str] = []
    for first in range(0, count, BATCH):
        some = min(BATCH, count - first)
        reserved = await partner.reserve(some, product_id=TRAIN, **departure)
        made = await partner.batch(some, product_id=TRAIN, reservation_id=reserved.reservation_id)
        codes += [each.ticket_code for each in made.tickets]
    assert len(codes) == count, "an answer has all of a small batch"

    async def activate(code: str, number: int) -> None:
        async with at_once:
            await partner.activate(code, payment=payment(f"PAY-{number}", PARTNERS_FARE, "CNY"))

    await asyncio.gather(*(activate(code, number) for number, code in enumerate(codes)))
    await _until(world, ACTIVATED, count)


def _known_to_wechat(folder: Path, paid: Iterable[tuple[str, int]]) -> None:
    """WeChat knows the payments, which were taken in without it."""
    store = Store(folder)
    with store.transaction():
        for out_trade_no, amount_minor in paid:
            amount = {"total": amount_minor, "currency": "CNY"}
            store.add_order({"out_trade_no": out_trade_no, "amount": amount}, None)
            store.pay(out_trade_no)
    store.close()


async def _until(world: World, question: str, value: int) -> float:
    while not await world.value(question, value):  # noqa: ASYNC110 - of another process
        await asyncio.sleep(0.1)
    return time.perf_counter()


async def _run(
    url: str, server: ServerProcess, world: World, wechat: Simulated, options: Any
) -> dict[str, float]:
    """The figures in milliseconds, seconds and rows, by name."""
    count, pids = options.tickets, (server.process.pid, options.postgres)
    partners = count // PARTNERS_SHARE
    own = count - partners
    await _sell(url, server, world, own, partners)
    _known_to_wechat(wechat.folder, await world.sql(PAID))
    await world.sql("UPDATE travellers SET app_id = %s", wechat.settings["wechat_app_id"])
    for kind in MESSAGES:
        await world.sql(PUBLISH, kind, f"TPL-{kind}")
        await world.sql(CONSENT, f"TPL-{kind}")
    await show_changes(world)
    number = world.departure_id()
    took: dict[str, float] = {}
    async with (
        a_scenario(url) as scenario,
        grpc.aio.insecure_channel(server.target) as channel,
    ):
        manager = await Manager.hired(scenario.db, channel)
        began = time.perf_counter()
        planned = await manager.stub.PreviewDisruption(
            disruption_pb2.PreviewDisruptionRequest(departure_id=str(number)),
            metadata=manager.headers,
        )
        took["preview"] = (time.perf_counter() - began) * 1000
        before = [cpu_seconds(pid) for pid in pids]
        began = time.perf_counter()
        done = await manager.stub.CancelDeparture(
            catalog_pb2.CancelDepartureRequest(
                departure_id=str(number),
                comment="bench",
                request_id="bench",
                preview_id=planned.preview_id,
            ),
            metadata=manager.headers,
        )
        took["call"] = (time.perf_counter() - began) * 1000
        ends = {
            "orders followed": (FOLLOWED, number),
            "partners' tickets refunded": (POSTED, partners),
            "refunds settled by WeChat": (SETTLED, own),
            "messages sent": (SENT, len(MESSAGES) * own),
        }
        found = await asyncio.gather(*(_until(world, *each) for each in ends.values()))
        took |= {name: end - began for name, end in zip(ends, found, strict=True)}
        took["all done"] = max(found) - began
        for name, pid, used in zip(CPU, pids, before, strict=True):
            took[name] = (cpu_seconds(pid) - used) / count * 1000
        began = time.perf_counter()
        report = await manager.stub.GetDisruption(
            disruption_pb2.GetDisruptionRequest(disruption_id=done.disruption_id),
            metadata=manager.headers,
        )
        took["report"] = (time.perf_counter() - began) * 1000
    assert report.state == disruption_pb2.DISRUPTION_STATE_COMPLETED, report
    assert [_sums(each) for each in planned.totals] == [_sums(each) for each in report.totals], (
        "what was previewed is what happened"
    )
    took["rows missing"] = count - sum(each.tickets for each in report.totals)
    took["messages missing"] = own - sum(
        each.tickets
        for each in report.notices
        if each.notice == disruption_pb2.DISRUPTION_NOTICE_NOTIFIED
    )
    return took


def _sums(total: disruption_pb2.DisruptionTotal) -> tuple[object, ...]:
    return total.outcome, total.partner_code, total.tickets, total.paid_minor, total.refund_minor


def measure(services: EmbeddedServices, figures: Figures, options: Any) -> None:
    """Starts the simulator and a server, and measures them."""
    url = databases.renamed(services.database_url, DATABASE)
    databases.execute(services.database_url, f"CREATE DATABASE {DATABASE}")
    migrate(url)
    with TemporaryDirectory() as folder, simulator(Path(folder)) as wechat:
        uvloop.run(_measure(services, url, wechat, figures, options))


async def _measure(
    services: EmbeddedServices,
    url: str,
    wechat: Simulated,
    figures: Figures,
    options: Any,
) -> None:
    port = free_port()
    settings = wechat.environment(f"http://127.0.0.1:{port}") | {
        "DEEPTRAVEL_HTTP_PORT": str(port),
        "DEEPTRAVEL_DATABASE_URL": url,
        "DEEPTRAVEL_REDIS_URL": services.redis_url,
        "DEEPTRAVEL_SECRET_KEY": b64encode(SECRET_KEY).decode(),
        "DEEPTRAVEL_MAX_CALLS_PER_ADDRESS": "0",
        # whatever the time of day is
        "DEEPTRAVEL_NOTIFICATION_QUIET_HOURS": "00:00-00:00",
    }
    count = options.tickets
    async with a_world(url, seats=count, hold_seconds=3_600) as world:
        await gate.World(world.pg, world.ring).open_gates()
        await world.sql(KEY, CP.key_id, 1, CP.secret_hash)
        await world.sql(UNLIMITED)
        await world.sql(ALLOT, count)
        with TemporaryDirectory() as data:
            server = ServerProcess(data_dir=Path(data), env=settings)
            await asyncio.to_thread(server.start)
            try:
                print(f"a cancelled departure of {count:,} tickets", flush=True)
                took = await _run(url, server, world, wechat, options)
            finally:
                await asyncio.to_thread(server.__exit__)
    units = {
        **dict.fromkeys(("preview", "call", "report"), "ms"),
        **dict.fromkeys(CPU, "ms"),
        "rows missing": "rows",
        "messages missing": "messages",
    }
    for name, value in took.items():
        figures.add(f"cancelled departure, {name}", value, units.get(name, "s"))
