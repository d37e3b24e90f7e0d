"""A cancelled departure with thousands of tickets: how long its preview, its cancellation and its
report take, and until every order has followed, with its refund asked for, and every traveller is
notified. Each traveller has an order of one ticket. There is no WeChat: it makes refunds at its own
pace.
"""

import asyncio
import time
from base64 import b64encode
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
import uvloop
from deeptravel.admin.v1 import catalog_pb2, disruption_pb2

from server.operations.schema import migrate
from tests.support import databases
from tests.support.operations import Manager
from tests.support.order_scenario import a_scenario
from tests.support.rpc_server import SECRET_KEY
from tests.support.server_process import ServerProcess
from tests.support.traveller import SECOND, TravellerClient, World, a_world, party
from tools.bench.figures import Figures
from tools.dev.embedded.services import EmbeddedServices

DATABASE = "bench_disrupting"
SELLERS = 8
"""Travellers who buy at the same time."""
TARGETS = {
    "cancelled departure, orders followed": ("<=", 60),
    "cancelled departure, rows missing": ("<=", 0),
}
FOLLOWED = """
SELECT NOT EXISTS (SELECT FROM tickets t JOIN ticket_sales s USING (ticket_id)
  WHERE s.departure_id = %s AND t.state = 'ACTIVE')
"""
NOTIFIED = "SELECT count(*) = %s FROM notifications WHERE kind = 'DEPARTURE_CANCELLED'"


async def _sell(url: str, server: ServerProcess, world: World, count: int) -> None:
    await world.enrol(*range(1, count + 1))
    async with (
        a_scenario(url) as scenario,
        grpc.aio.insecure_channel(server.target) as channel,
    ):
        at_once = asyncio.Semaphore(SELLERS)

        async def one(number: int) -> None:
            async with at_once:
                client = TravellerClient.of(channel, number)
                order = await client.order(world.seat(1, SECOND), passengers=party(1))
                await scenario.pay(order.order_id)

        await asyncio.gather(*map(one, range(1, count + 1)))


async def _until(world: World, question: str, value: int) -> float:
    while not await world.value(question, value):  # noqa: ASYNC110 - of another process
        await asyncio.sleep(0.1)
    return time.perf_counter()


async def _run(url: str, server: ServerProcess, world: World, count: int) -> dict[str, float]:
    """The figures in milliseconds, seconds and rows, by name."""
    await _sell(url, server, world, count)
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
        took["orders followed"] = await _until(world, FOLLOWED, number) - began
        took["travellers notified"] = await _until(world, NOTIFIED, count) - began
        began = time.perf_counter()
        report = await manager.stub.GetDisruption(
            disruption_pb2.GetDisruptionRequest(disruption_id=done.disruption_id),
            metadata=manager.headers,
        )
        took["report"] = (time.perf_counter() - began) * 1000
    (planned_total,), (total,) = planned.totals, report.totals
    sums = [(each.tickets, each.paid_minor, each.refund_minor) for each in (planned_total, total)]
    assert sums[0] == sums[1], "what was previewed is what happened"
    took["rows missing"] = count - total.tickets
    return took


def measure(services: EmbeddedServices, figures: Figures, options: Any) -> None:
    """Starts a server, and measures it."""
    url = databases.renamed(services.database_url, DATABASE)
    databases.execute(services.database_url, f"CREATE DATABASE {DATABASE}")
    migrate(url)
    uvloop.run(_measure(services, url, figures, options))


async def _measure(services: EmbeddedServices, url: str, figures: Figures, options: Any) -> None:
    environment = {
        "DEEPTRAVEL_DATABASE_URL": url,
        "DEEPTRAVEL_REDIS_URL": services.redis_url,
        "DEEPTRAVEL_SECRET_KEY": b64encode(SECRET_KEY).decode(),
        "DEEPTRAVEL_MAX_CALLS_PER_ADDRESS": "0",
    }
    count = options.tickets
    async with a_world(url, seats=count, hold_seconds=3_600) as world:
        with TemporaryDirectory() as folder:
            server = ServerProcess(data_dir=Path(folder), env=environment)
            await asyncio.to_thread(server.start)
            try:
                print(f"a cancelled departure of {count:,} tickets", flush=True)
                took = await _run(url, server, world, count)
            finally:
                await asyncio.to_thread(server.__exit__)
    units = {"preview": "ms", "call": "ms", "report": "ms", "rows missing": "rows"}
    for name, value in took.items():
        figures.add(f"cancelled departure, {name}", value, units.get(name, "s"))
