"""What travellers do first: search, over the demo data, between cities with trains and ferries, on
the next days.

Answers have up to 50 offers, each with the party's price line by line and the seats that are left.
What of the latency is the driver's and the machine's says a grpc.aio echo at the same rate.
"""

import itertools
import tempfile
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import uvloop
from deeptravel.redemption.v1 import redemption_pb2, redemption_service_pb2_grpc
from deeptravel.ticketing.v1 import offer_pb2, ticketing_service_pb2_grpc
from deeptravel.tickets.v1 import ticket_pb2

from server.operations.schema import migrate
from server.platform.config import load_settings
from server.platform.database import Database
from server.tickets.keys import create_first_key
from tests.support import databases
from tests.support.rpc_server import SECRET_KEY
from tests.support.server_process import ServerProcess
from tools.bench.figures import Call, Figures, Ratio, open_loop, percentile, unary
from tools.bench.redemption import ECHO, EchoProcess, echo_server
from tools.dev import demo_data
from tools.dev.demo_catalog import ZONE
from tools.dev.embedded.services import EmbeddedServices

DATABASE = "bench_search"
PAIRS = (("SZX", "HKG"), ("HKG", "SZX"), ("CAN", "HKG"), ("HKG", "MFM"))
DAYS = 10
IN_FLIGHT = 16
OPEN_LOOP_RATE = 200
RATIOS = {
    f"search ÷ {ECHO}, p99 at {OPEN_LOOP_RATE}/s": Ratio(
        f"search open loop, {OPEN_LOOP_RATE}/s, p99",
        f"{ECHO} open loop, {OPEN_LOOP_RATE}/s, p99",
        "<=",
        1.5,
    ),
}


def searches(count: int) -> list[Any]:
    """Requests for parties of one to three, in turn over cities and days."""
    today = datetime.now(ZONE).date()
    people = [ticket_pb2.CUSTOMER_TYPE_ADULT] * 2 + [ticket_pb2.CUSTOMER_TYPE_CHILD]
    turns = itertools.product(range(1, DAYS + 1), PAIRS, range(1, 4))
    return [
        offer_pb2.SearchOffersRequest(
            origin_city_code=origin,
            destination_city_code=destination,
            travel_date=(today + timedelta(days=ahead)).isoformat(),
            passengers=people[:size],
        )
        for ahead, (origin, destination), size in itertools.islice(itertools.cycle(turns), count)
    ]


async def run(
    server: ServerProcess, echo_process: EchoProcess, figures: Figures, options: Any
) -> None:
    """All of it, against a running server."""
    async with (
        grpc.aio.insecure_channel(server.target) as channel,
        grpc.aio.insecure_channel(echo_process.target) as bare,
    ):
        search = ticketing_service_pb2_grpc.TicketingServiceStub(channel).SearchOffers
        echo = redemption_service_pb2_grpc.RedemptionServiceStub(bare).Redeem
        await unary(search, searches(options.size), IN_FLIGHT)
        for _ in range(options.rounds):
            rate = await unary(search, searches(options.size), IN_FLIGHT)
            figures.add("searches", rate, "searches/s")
        count = OPEN_LOOP_RATE * options.seconds
        await steady(ECHO, echo, [redemption_pb2.RedeemRequest()] * count, figures)
        await steady("search", search, searches(count), figures)


async def steady(name: str, call: Call, requests: list[Any], figures: Figures) -> None:
    """OPEN_LOOP_RATE calls a second."""
    latencies, errors = await open_loop(call, requests, OPEN_LOOP_RATE)
    for percent, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        figures.add(
            f"{name} open loop, {OPEN_LOOP_RATE}/s, {percent}", percentile(latencies, share), "ms"
        )
    figures.add(f"{name} open loop errors", errors, "calls")


def measure(services: EmbeddedServices, figures: Figures, options: Any) -> None:
    """Loads the demo data into a database of its own, starts a server over it, and measures."""
    databases.execute(services.database_url, f"CREATE DATABASE {DATABASE}")
    url = databases.renamed(services.database_url, DATABASE)
    migrate(url)
    environment = {
        "DEEPTRAVEL_DATABASE_URL": url,
        "DEEPTRAVEL_REDIS_URL": services.redis_url,
        "DEEPTRAVEL_MAX_CALLS_PER_ADDRESS": "0",  # all callers have one
        "DEEPTRAVEL_SECRET_KEY": b64encode(SECRET_KEY).decode(),
    }

    async def seeded(folder: Path) -> None:
        db = Database(load_settings(), url)
        async with db.transaction() as tx:
            await create_first_key(tx, SECRET_KEY, datetime.now(UTC))
        await demo_data.load(db, folder / "demo-credentials.json")
        await db.close()
        with (
            ServerProcess(data_dir=folder, env=environment) as server,
            echo_server(environment) as echo_process,
        ):
            await run(server, echo_process, figures, options)

    with tempfile.TemporaryDirectory() as folder:
        uvloop.run(seeded(Path(folder)))
