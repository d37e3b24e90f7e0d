"""From a redemption at a gate to the sender of its message: how long, at 500 redemptions a second.

Travellers have bought packages and agreed to messages; a terminal redeems them at an even rate,
whether or not answers come. A server follows the redemptions and has a message sent for each, to
the simulator of WeChat in a process of its own, which keeps when each came in. What is measured is
from when a redemption was sent to when WeChat has its message; and, by the server's own metric, how
many of its messages were with the sender within a second of the redemption.
"""

import asyncio
import time
from base64 import b64encode
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import httpx2
import uvloop

from server.operations.schema import migrate
from server.platform import clock
from server.tickets import qr
from tests.support import databases
from tests.support.order_scenario import a_scenario
from tests.support.rpc_server import SECRET_KEY
from tests.support.server_process import ServerProcess
from tests.support.staff import Staff, hire, valid_now
from tests.support.traveller import TravellerClient, World, a_world, party
from tools.bench.figures import Figures, open_loop, percentile
from tools.bench.redemption import admitted
from tools.bench.wechat import Simulated, simulator
from tools.dev.embedded.services import EmbeddedServices

RATE = 500
FUNCTIONS = ("ferry", "gift")
PARTY = 2
TEMPLATE = "TPL-redeemed"
WITHIN = 'deeptravel_notification_seconds_bucket{channel="WECHAT",le="1.0"}'
ALL = 'deeptravel_notification_seconds_count{channel="WECHAT"}'
TARGETS = {
    "redemption to message p95": ("<=", 1_000),
    "at the sender within 1 s": (">=", 95),
    "messages missing": ("<=", 0),
}
PUBLISH = """
INSERT INTO notification_templates VALUES ('REDEMPTION_SUCCEEDED', 'WECHAT', 'zh', 1, '', '', %s,
  '', '{"character_string1": "{ticket_code}", "character_string2": "{function}"}', true, 'bench',
  now())
"""
CONSENT = """
INSERT INTO notification_consents (traveller_id, template_id, available, granted, update_time)
SELECT traveller_id, %s, 1000, 1000, now() FROM travellers
"""
TICKETS = """
SELECT t.ticket_id, t.ticket_code, t.jti FROM tickets t JOIN ticket_sales s USING (ticket_id)
WHERE s.passenger_index >= 0 AND t.state = 'ACTIVE' ORDER BY t.ticket_id
"""


async def sell(url: str, server: ServerProcess, world: World, count: int) -> None:
    """So many tickets of package 106, each party an order of a traveller of its own."""
    import grpc

    numbers = range(1, -(-count // PARTY) + 1)
    await world.enrol(*numbers)
    async with (
        a_scenario(url) as scenario,
        grpc.aio.insecure_channel(server.target) as channel,
    ):
        at_once = asyncio.Semaphore(8)

        async def one(number: int) -> None:
            async with at_once:
                client = TravellerClient.of(channel, number)
                order = await client.order(world.package(), passengers=party(PARTY))
                await scenario.pay(order.order_id)

        await asyncio.gather(*map(one, numbers))
    await valid_now(world)


async def scans(world: World) -> list[tuple[str, str, str]]:
    """(ticket code, function, QR) of every redemption there may be, each ticket's apart."""
    expire = clock.now() + timedelta(days=365)
    rows = await world.sql(TICKETS)
    sealed = [
        (code, qr.seal(qr.Claims(jti, number, expire, qr.QrKind.TICKET), world.ring.active))
        for number, code, jti in rows
    ]
    return [(code, function, token) for function in FUNCTIONS for code, token in sealed]


async def run(
    url: str, server: ServerProcess, wechat: Simulated, world: World, seconds: int
) -> tuple[list[float], list[float], int]:
    """Milliseconds of redemptions, from redemption to message, and how many messages are
    missing.
    """
    import grpc

    await sell(url, server, world, RATE * seconds // len(FUNCTIONS))
    await world.sql("UPDATE travellers SET app_id = %s", wechat.settings["wechat_app_id"])
    await world.sql(PUBLISH, TEMPLATE)
    await world.sql(CONSENT, TEMPLATE)
    await world.sql("INSERT INTO change_feed DEFAULT VALUES")
    asked = await scans(world)
    began: dict[tuple[str, str], float] = {}
    async with grpc.aio.insecure_channel(server.target) as channel:
        staff: Staff = await hire(world, channel)
        terminal = staff.terminal
        await terminal.redeem(asked[0][2], asked[0][1])

        async def redeem(each: tuple[str, str, str]) -> None:
            began[each[:2]] = time.time()
            admitted(await terminal.redeem(each[2], each[1], request_id=uuid4().hex))

        latencies, errors = await open_loop(redeem, asked[1:], RATE)
    assert errors == 0, "every redemption is admitted"
    sent: dict[tuple[str, str], float] = {}
    async with httpx2.AsyncClient(trust_env=False, base_url=wechat.url) as http:
        until = time.monotonic() + 60
        while time.monotonic() < until and not began.keys() <= sent.keys():
            await asyncio.sleep(0.5)
            for message in (await http.get("/simulator/messages")).json():
                data = {key: value["value"] for key, value in message["data"].items()}
                key = data["character_string1"], data["character_string2"]
                sent.setdefault(key, message["time"])
    passed = [(sent[key] - at) * 1000 for key, at in began.items() if key in sent]
    return latencies, passed, len(began) - len(passed)


async def metrics(server: ServerProcess, *names: str) -> list[float]:
    """Values of a server's metrics."""
    async with httpx2.AsyncClient(trust_env=False) as http:
        lines = (await http.get(f"{server.operations_url}/metrics")).text.splitlines()
    found = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return [float(found[name]) for name in names]


def measure(services: EmbeddedServices, figures: Figures, options: Any) -> None:
    """Starts the simulator and a server, and measures them."""
    url = databases.renamed(services.database_url, "bench_notifying")
    databases.execute(services.database_url, "CREATE DATABASE bench_notifying")
    migrate(url)
    with TemporaryDirectory() as folder, simulator(Path(folder)) as wechat:
        uvloop.run(_measure(services, url, wechat, figures, options))


async def _measure(
    services: EmbeddedServices, url: str, wechat: Simulated, figures: Figures, options: Any
) -> None:
    environment = wechat.environment("http://127.0.0.1:9") | {
        "DEEPTRAVEL_DATABASE_URL": url,
        "DEEPTRAVEL_REDIS_URL": services.redis_url,
        "DEEPTRAVEL_SECRET_KEY": b64encode(SECRET_KEY).decode(),
        "DEEPTRAVEL_MAX_CALLS_PER_ADDRESS": "0",
    }
    async with a_world(url, packages=1_000_000) as world:
        with TemporaryDirectory() as folder:
            server = ServerProcess(data_dir=Path(folder), env=environment)
            await asyncio.to_thread(server.start)
            try:
                print(f"{RATE} redemptions/s of travellers for {options.seconds} s", flush=True)
                latencies, passed, missing = await run(url, server, wechat, world, options.seconds)
                within, sent = await metrics(server, WITHIN, ALL)
            finally:
                await asyncio.to_thread(server.__exit__)
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        figures.add(f"redemption to message {name}", percentile(passed, share), "ms")
    figures.add("redemption beside messages p99", percentile(latencies, 0.99), "ms")
    figures.add("at the sender within 1 s", 100 * within / sent, "%")
    figures.add("messages missing", missing, "messages")
