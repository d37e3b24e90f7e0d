"""Payment notices: taken at the gateway, verified, stored and answered; then orders paid and their
tickets made.

Each notice is of an order of two passengers that is held and whose payment waits. What WeChat is
asked besides, nothing here needs: notices are signed with keys made for the run.
"""

import asyncio
import json
import re
import tempfile
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import uvloop

from server.operations.schema import migrate
from tests.support import databases
from tests.support.rpc_server import SECRET_KEY
from tests.support.server_process import ServerProcess
from tests.support.traveller import SECOND, World, a_world
from tools.bench.figures import Figures, open_loop, percentile, unary
from tools.bench.travelling import Travellers, create
from tools.dev.embedded.services import EmbeddedServices
from tools.dev.wechat_simulator.merchant import Merchant
from tools.dev.wechat_simulator.protocol import by_public_key, dump, encrypt

DATABASE = "bench_paying"
DEPARTURES = 20
IN_FLIGHT = 8
NOTICES_PATH = "/webhooks/wechatpay/notices"
POLL_SECONDS = 0.02
CONNECTIONS = 32
"""Of WeChat to us."""
RATE = 200
"""Notices a second in the open loop."""
TARGETS = {"payment notices, answered within, p95": ("<=", 1_000)}
"""WeChat's notices are answered within a second (DOMAIN, Payment)."""

_PENDING = """
INSERT INTO payments (order_id, attempt, out_trade_no, state, amount_minor, currency_code, openid,
  prepay_id, expire_time, create_time, update_time)
SELECT order_id, 1, 'DT' || order_id || 'P1', 'PENDING', amount_minor, currency_code, 'o', 'wx',
  hold_expire_time, now(), now()
FROM orders WHERE state = 'PENDING' RETURNING out_trade_no, amount_minor
"""

_PAID_TIMES = """
SELECT out_trade_no, occurred_time FROM order_events JOIN payments USING (order_id)
WHERE event = 'order.paid'
"""


def notice(merchant: Merchant, number: str, amount_minor: int) -> bytes:
    """A payment that WeChat reports."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    amount = {"total": amount_minor, "payer_total": amount_minor, "currency": "CNY"}
    content = {
        "mchid": merchant.merchant_id,
        "appid": merchant.app_id,
        "out_trade_no": number,
        "transaction_id": f"42{number[2:-2]}",
        "trade_state": "SUCCESS",
        "success_time": now,
        "payer": {"openid": "o"},
        "amount": amount,
    }
    sealed = encrypt(merchant, dump(content), "transaction")
    head = {"id": f"EV-{number}", "create_time": now, "event_type": "TRANSACTION.SUCCESS"}
    return json.dumps({**head, "resource": sealed}).encode()


Post = tuple[str, bytes]
"""A notice to be posted: the payment's number, and the request as it goes over the wire."""


async def waiting(server: ServerProcess, world: World, merchant: Merchant, size: int) -> list[Post]:
    """The notices of `size` orders that are made now and whose payments wait."""
    async with grpc.aio.insecure_channel(server.target) as channel:
        offers = [world.seat(1 + n % DEPARTURES, SECOND) for n in range(size)]
        await unary(create, Travellers(channel).orders(offers), IN_FLIGHT)
    signer = by_public_key(merchant)
    posts = []
    for number, amount in await world.sql(_PENDING):
        body = notice(merchant, number, amount)
        headers = {"Host": "bench", "Content-Length": str(len(body)), **signer.headers(body)}
        lines = [f"POST {NOTICES_PATH} HTTP/1.1", *map(": ".join, headers.items()), "", ""]
        posts.append((number, "\r\n".join(lines).encode() + body))
    return posts


@asynccontextmanager
async def wechat(server: ServerProcess) -> AsyncIterator[Callable[[Post], Awaitable[None]]]:
    """Posts notices over connections that are kept; by hand, since an HTTP client would cost
    more than the server.
    """
    free: asyncio.LifoQueue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.LifoQueue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", server.http_port))

    async def post(notice: Post) -> None:
        reader, writer = await free.get()
        writer.write(notice[1])
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        answer = await reader.readexactly(int(length[1]) if length else 0)
        free.put_nowait((reader, writer))
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(answer)

    try:
        yield post
    finally:
        while not free.empty():
            free.get_nowait()[1].close()


async def all_paid(world: World) -> None:
    """Waits until no order is PENDING."""
    one_waits = "SELECT count(*) > 0 FROM orders WHERE state = 'PENDING'"
    while await world.value(one_waits):  # noqa: ASYNC110
        await asyncio.sleep(POLL_SECONDS)


async def one_round(
    server: ServerProcess, world: World, merchant: Merchant, figures: Figures, size: int
) -> None:
    """`size` orders made, then paid as fast as the server takes it."""
    posts = await waiting(server, world, merchant, size)
    latencies: list[float] = []
    queue = iter(posts)
    async with wechat(server) as post:

        async def sender() -> None:
            for notice in queue:
                began = time.perf_counter()
                await post(notice)
                latencies.append((time.perf_counter() - began) * 1000)

        began = time.perf_counter()
        await asyncio.gather(*(sender() for _ in range(IN_FLIGHT)))
        taken = time.perf_counter() - began
    await all_paid(world)
    paid = time.perf_counter() - began
    figures.add("payment notices taken", len(posts) / taken, "notices/s")
    figures.add("payment notices handled: orders paid, with tickets", len(posts) / paid, "orders/s")
    figures.add("payment notices, answered within, p50", percentile(latencies, 0.5), "ms")
    figures.add("payment notices, answered within, p95", percentile(latencies, 0.95), "ms")


async def steadily(
    server: ServerProcess, world: World, merchant: Merchant, figures: Figures, size: int
) -> None:
    """Notices at RATE a second, whether or not answers come. An order's time of payment is that
    of its event.
    """
    posts = await waiting(server, world, merchant, size)
    sent: dict[str, float] = {}
    async with wechat(server) as post:

        async def send(notice: Post) -> None:
            sent[notice[0]] = time.time()
            await post(notice)

        latencies, errors = await open_loop(send, posts, RATE)
    await all_paid(world)
    waits = [
        (at.timestamp() - sent[number]) * 1000
        for number, at in await world.sql(_PAID_TIMES)
        if number in sent
    ]
    name = f"payment notices at {RATE}/s"
    figures.add(f"{name}, answered within, p95", percentile(latencies, 0.95), "ms")
    figures.add(f"{name}, answered within, p99", percentile(latencies, 0.99), "ms")
    figures.add(f"{name}, order paid within, p95", percentile(waits, 0.95), "ms")
    figures.add(f"{name}, errors", errors, "errors")


def measure(services: EmbeddedServices, figures: Figures, options: Any) -> None:
    """Seeds a database, starts a server over it that has a merchant, and measures."""
    databases.execute(services.database_url, f"CREATE DATABASE {DATABASE}")
    url = databases.renamed(services.database_url, DATABASE)
    migrate(url)

    async def seeded(folder: Path) -> None:
        merchant = Merchant.open(folder / "wechat")
        settings = {
            **merchant.settings("http://127.0.0.1:9"),
            "database_url": url,
            "redis_url": services.redis_url,
            "secret_key": b64encode(SECRET_KEY).decode(),
        }
        environment = {f"DEEPTRAVEL_{name.upper()}": value for name, value in settings.items()}
        seats = 4 * options.size * (options.rounds + 1)
        async with a_world(url, departures=DEPARTURES) as world:
            await world.sql("UPDATE stocks SET total = %s WHERE fare_class = 'SECOND'", seats)
            with ServerProcess(data_dir=folder / "server", env=environment) as server:
                await one_round(server, world, merchant, Figures(), options.size // 2)
                for number in range(options.rounds):
                    print(f"payments, round {number + 1} of {options.rounds}", flush=True)
                    await one_round(server, world, merchant, figures, options.size)
                    await steadily(server, world, merchant, figures, options.size)
                if found := await world.contradictions():
                    raise RuntimeError(f"the tables contradict each other: {found[:10]}")

    with tempfile.TemporaryDirectory() as folder:
        uvloop.run(seeded(Path(folder)))
