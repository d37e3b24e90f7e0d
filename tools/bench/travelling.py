"""What travellers do: orders now. A world of its own, in a database of its own, at a server of its
own.

An order is of two passengers with documents, priced, snapshotted and held. What else travellers do
is measured by one more function called in `run`.
"""

import asyncio
import itertools
import tempfile
import time
from base64 import b64encode
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import uvloop
from deeptravel.ticketing.v1 import order_pb2

from server.operations.schema import migrate
from tests.support import databases
from tests.support.rpc_server import SECRET_KEY, read_refusal
from tests.support.server_process import ServerProcess
from tests.support.traveller import FIRST, SECOND, TravellerClient, World, a_world, party
from tools.bench.figures import Figures, open_loop, percentile, unary
from tools.dev.embedded.services import EmbeddedServices

DATABASE = "bench_travellers"
SEATS = 5_000
"""Of each departure in a class with numbers."""
SEATS_WITHOUT_NUMBERS = 10_000
SPREAD_DEPARTURES = 40
IN_FLIGHT = 256
BURST_ORDERS = 10_000
OPEN_LOOP_RATE = 300
TARGETS = {
    "orders on one departure that all want": (">=", 1_000),
    "orders spread over many departures": (">=", 1_000),
    "burst of 10,000 orders": ("<=", 6),
    "burst errors": ("<=", 0),
    f"orders open loop, {OPEN_LOOP_RATE}/s, p95": ("<=", 50),
}
"""What the figures are to reach: at least or at most."""

_numbers = itertools.count(1)


class Travellers:
    """Travellers at one connection, each of whom orders once."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    def orders(self, offer_ids: list[str]) -> list[tuple[TravellerClient, Any]]:
        """A traveller with an order of two passengers for each of the offers."""
        return [
            (
                TravellerClient.of(self._channel, number),
                order_pb2.CreateOrderRequest(
                    request_id=f"bench-{number}",
                    items=[order_pb2.OrderItem(offer_id=offer_id)],
                    passengers=party(2),
                ),
            )
            for offer_id, number in zip(offer_ids, _numbers, strict=False)
        ]


async def create(order: tuple[TravellerClient, Any]) -> None:
    """CreateOrder; raises AioRpcError for one that is not made."""
    client, request = order
    await client.call("CreateOrder", request)


async def orders_a_second(
    world: World, travellers: Travellers, figures: Figures, *, pipeline: int, size: int
) -> None:
    """IN_FLIGHT travellers who wait for their answers: on one departure, and on
    SPREAD_DEPARTURES others in turn.
    """
    one = [world.seat(pipeline, FIRST)] * size
    many = [world.seat(1 + n % SPREAD_DEPARTURES, FIRST) for n in range(size)]
    for name, offer_ids in (
        ("orders on one departure that all want", one),
        ("orders spread over many departures", many),
    ):
        rate = await unary(create, travellers.orders(offer_ids), IN_FLIGHT)
        figures.add(name, rate, "orders/s")


async def burst(world: World, travellers: Travellers, figures: Figures, *, pipeline: int) -> None:
    """All at once on one departure that has seats for half of them; SOLD_OUT is an answer,
    anything else an error.
    """
    orders = travellers.orders([world.seat(pipeline, SECOND)] * BURST_ORDERS)
    latencies: list[float] = []
    outcomes: Counter[str] = Counter()
    began = time.perf_counter()

    async def one(order: tuple[TravellerClient, Any]) -> None:
        try:
            await create(order)
            outcomes["OK"] += 1
        except grpc.aio.AioRpcError as error:
            outcomes[read_refusal(error).reason if error.details() else str(error.code())] += 1
        latencies.append((time.perf_counter() - began) * 1000)

    await asyncio.gather(*map(one, orders))
    figures.add("burst of 10,000 orders", time.perf_counter() - began, "s")
    figures.add("burst p50", percentile(latencies, 0.5), "ms")
    figures.add("burst p95", percentile(latencies, 0.95), "ms")
    figures.add("burst errors", BURST_ORDERS - outcomes["OK"] - outcomes["SOLD_OUT"], "calls")
    if outcomes["OK"] != SEATS_WITHOUT_NUMBERS // 2:
        raise RuntimeError(f"{SEATS_WITHOUT_NUMBERS} seats were sold as {outcomes}")


async def steady(world: World, travellers: Travellers, figures: Figures, seconds: int) -> None:
    """OPEN_LOOP_RATE orders a second, spread, whether or not answers come."""
    offer_ids = [
        world.seat(1 + n % SPREAD_DEPARTURES, SECOND) for n in range(OPEN_LOOP_RATE * seconds)
    ]
    latencies, errors = await open_loop(create, travellers.orders(offer_ids), OPEN_LOOP_RATE)
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        figures.add(
            f"orders open loop, {OPEN_LOOP_RATE}/s, {name}", percentile(latencies, share), "ms"
        )
    figures.add("orders open loop errors", errors, "calls")


async def run(server: ServerProcess, world: World, figures: Figures, options: Any) -> None:
    """All of it, against a running server."""
    async with grpc.aio.insecure_channel(server.target) as channel:
        travellers = Travellers(channel)
        warm = [world.seat(1 + n % SPREAD_DEPARTURES, SECOND) for n in range(options.size)]
        await unary(create, travellers.orders(warm), IN_FLIGHT)
        for number in range(options.rounds):
            print(f"travellers, round {number + 1} of {options.rounds}", flush=True)
            pipeline = SPREAD_DEPARTURES + 1 + number
            await orders_a_second(world, travellers, figures, pipeline=pipeline, size=options.size)
            await burst(world, travellers, figures, pipeline=pipeline)
        await steady(world, travellers, figures, options.seconds)


def measure(services: EmbeddedServices, figures: Figures, options: Any) -> None:
    """Seeds a database, starts a server over it, and measures."""
    databases.execute(services.database_url, f"CREATE DATABASE {DATABASE}")
    url = databases.renamed(services.database_url, DATABASE)
    migrate(url)
    environment = {
        "DEEPTRAVEL_DATABASE_URL": url,
        "DEEPTRAVEL_REDIS_URL": services.redis_url,
        "DEEPTRAVEL_MAX_CALLS_PER_ADDRESS": "0",  # all callers have one
        "DEEPTRAVEL_SECRET_KEY": b64encode(SECRET_KEY).decode(),
    }

    async def seeded(folder: str) -> None:
        departures = SPREAD_DEPARTURES + options.rounds
        async with a_world(url, seats=SEATS, departures=departures) as world:
            await world.sql(
                "UPDATE stocks SET total = %s WHERE fare_class = 'SECOND'", SEATS_WITHOUT_NUMBERS
            )
            with ServerProcess(data_dir=Path(folder), env=environment) as server:
                await run(server, world, figures, options)
                if found := await world.contradictions():
                    raise RuntimeError(f"the tables contradict each other: {found[:10]}")

    with tempfile.TemporaryDirectory() as folder:
        uvloop.run(seeded(folder))
