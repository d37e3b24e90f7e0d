"""Payment notices: taken at the gateway, verified, stored and answered; then orders paid and their tickets made.

Each notice is of an order of two passengers that is held and whose payment waits. What WeChat is asked besides, nothing here
needs: notices are signed with keys made for the run.
"""

import asyncio
import json
import tempfile
import time
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import httpx2
import uvloop

from server.embedded.services import EmbeddedServices
from server.schema import migrate
from tests.support import databases
from tests.support.rpc_server import SECRET_KEY
from tests.support.server_process import ServerProcess
from tests.support.traveller import SECOND, World, a_world
from tools.bench.figures import Figures, percentile, unary
from tools.bench.travelling import Travellers, create
from tools.wechat_simulator.merchant import Merchant
from tools.wechat_simulator.protocol import by_public_key, dump, encrypt

DATABASE = "bench_paying"
DEPARTURES = 20
IN_FLIGHT = 8
NOTICES_PATH = "/webhooks/wechatpay/notices"
POLL_SECONDS = 0.02
TARGETS = {"payment notices, answered within, p95": ("<=", 1_000)}
"""WeChat's notices are answered within a second (DOMAIN, Payment)."""

_PENDING = """
INSERT INTO payments (order_id, attempt, out_trade_no, state, amount_minor, currency_code, openid, prepay_id, expire_time,
  create_time, update_time)
SELECT order_id, 1, 'DT' || order_id || 'P1', 'PENDING', amount_minor, currency_code, 'o', 'wx', hold_expire_time, now(), now()
FROM orders WHERE state = 'PENDING' RETURNING out_trade_no, amount_minor
"""


def notice(merchant: Merchant, number: str, amount_minor: int) -> bytes:
    """A payment told by WeChat."""
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


async def one_round(
    server: ServerProcess, world: World, merchant: Merchant, figures: Figures, size: int
) -> None:
    """`size` orders made, then paid as fast as the server takes it."""
    async with grpc.aio.insecure_channel(server.target) as channel:
        offers = [world.seat(1 + n % DEPARTURES, SECOND) for n in range(size)]
        await unary(create, Travellers(channel).orders(offers), IN_FLIGHT)
    waiting = await world.sql(_PENDING)
    signer = by_public_key(merchant)
    bodies = [notice(merchant, number, amount) for number, amount in waiting]
    posts = [(body, signer.headers(body)) for body in bodies]
    latencies: list[float] = []
    queue = iter(posts)
    async with httpx2.AsyncClient(trust_env=False, timeout=60.0) as http:

        async def sender() -> None:
            for body, headers in queue:
                began = time.perf_counter()
                answer = await http.post(server.url + NOTICES_PATH, content=body, headers=headers)
                answer.raise_for_status()
                latencies.append((time.perf_counter() - began) * 1000)

        began = time.perf_counter()
        await asyncio.gather(*(sender() for _ in range(IN_FLIGHT)))
        taken = time.perf_counter() - began
    while await world.value("SELECT count(*) > 0 FROM orders WHERE state = 'PENDING'"):  # noqa: ASYNC110
        await asyncio.sleep(POLL_SECONDS)
    paid = time.perf_counter() - began
    figures.add("payment notices taken", len(posts) / taken, "notices/s")
    figures.add(
        "payment notices worked off: orders paid, with tickets", len(posts) / paid, "orders/s"
    )
    figures.add("payment notices, answered within, p50", percentile(latencies, 0.5), "ms")
    figures.add("payment notices, answered within, p95", percentile(latencies, 0.95), "ms")


def measure(services: EmbeddedServices, figures: Figures, options: Any) -> None:
    """Furnishes a database, starts a server over it that has a merchant, and measures."""
    databases.execute(services.database_url, f"CREATE DATABASE {DATABASE}")
    url = databases.renamed(services.database_url, DATABASE)
    migrate(url)

    async def furnished(folder: Path) -> None:
        merchant = Merchant.open(folder / "wechat")
        settings = {
            **merchant.settings("http://127.0.0.1:9"),
            "database_url": url,
            "redis_url": services.redis_url,
            "secret_key": b64encode(SECRET_KEY).decode(),
        }
        environment = {f"DEEPTRAVEL_{name.upper()}": value for name, value in settings.items()}
        seats = 2 * options.size * (options.rounds + 1)
        async with a_world(url, departures=DEPARTURES) as world:
            await world.sql("UPDATE stocks SET total = %s WHERE fare_class = 'SECOND'", seats)
            with ServerProcess(data_dir=folder / "server", env=environment) as server:
                await one_round(server, world, merchant, Figures(), options.size // 2)
                for number in range(options.rounds):
                    print(f"payments, round {number + 1} of {options.rounds}", flush=True)
                    await one_round(server, world, merchant, figures, options.size)
                if found := await world.contradictions():
                    raise RuntimeError(f"the tables contradict each other: {found[:10]}")

    with tempfile.TemporaryDirectory() as folder:
        uvloop.run(furnished(Path(folder)))
