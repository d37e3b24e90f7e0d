"""Reservations and batches of 100 at a steady rate, and what a partner that hammers the server
costs another, a gate and travellers: their calls alone and beside it, as in `large_batches`.
"""

import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
import uvloop
from deeptravel.ota.v1 import ota_service_pb2, ota_service_pb2_grpc, reservation_pb2

from server.operations.schema import migrate
from tests.support import databases
from tests.support.server_process import ServerProcess
from tools.bench.figures import Figures, percentile
from tools.bench.large_batches import (
    WARM_UP_SECONDS,
    Callers,
    Latencies,
    Metadata,
    alone,
    environment_of,
    open_doors,
    request_id,
    small_calls,
)
from tools.bench.redemption import PRODUCT
from tools.dev.embedded.services import EmbeddedServices

DATABASE = "bench_reserving"
BATCH = 100
PER_SECOND = 50
HAMMERING = 64
"""Calls that the hammering partner always has under way."""
BESIDE_SECONDS = 10
TARGETS = {
    "ReserveInventory at 50/s, p95": ("<=", 50),
    "BulkGenerateTickets of 100 at 50/s, p95": ("<=", 50),
    "beside a hammering partner / alone, p95, BulkGenerateTickets of 10": ("<=", 2),
    "beside a hammering partner / alone, p95, ActivateTickets of 10": ("<=", 2),
    "beside a hammering partner / alone, p95, ListTickets of 50": ("<=", 2),
    "beside a hammering partner / alone, p95, Redeem": ("<=", 2),
    "beside a hammering partner / alone, p95, CreateOrder of a traveller": ("<=", 2),
    "beside a hammering partner / alone, p95, SearchOffers": ("<=", 2),
}
"""What the figures are to reach, at most."""


class Reserving:
    """A partner that reserves, and makes batches of what it has reserved."""

    def __init__(self, channel: grpc.aio.Channel, metadata: Metadata) -> None:
        self._ota: Any = ota_service_pb2_grpc.OtaServiceStub(channel)
        self._metadata = metadata
        self.refused = 0

    async def reserve(self) -> tuple[str, float]:
        """Reserves 100: the reservation's id, and milliseconds."""
        request = reservation_pb2.ReserveInventoryRequest(
            product_id=PRODUCT, quantity=BATCH, request_id=request_id()
        )
        began = time.perf_counter()
        answer = await self._ota.ReserveInventory(request, metadata=self._metadata)
        return answer.reservation.reservation_id, (time.perf_counter() - began) * 1000

    async def batch(self, reservation_id: str) -> float:
        """Makes 100 tickets of a reservation; milliseconds."""
        request = ota_service_pb2.BulkGenerateTicketsRequest(
            product_id=PRODUCT,
            quantity=BATCH,
            reservation_id=reservation_id,
            request_id=request_id(),
        )
        began = time.perf_counter()
        await self._ota.BulkGenerateTickets(request, metadata=self._metadata)
        return (time.perf_counter() - began) * 1000

    async def hammer(self, until: float) -> None:
        """Reserves and makes batches as fast as it is answered."""
        while time.perf_counter() < until:
            try:
                reservation_id, _ = await self.reserve()
                await self.batch(reservation_id)
            except grpc.aio.AioRpcError:
                self.refused += 1


async def steadily(reserving: Reserving, figures: Figures, seconds: float) -> None:
    """PER_SECOND calls a second, whether or not those before are answered: every second one
    reserves, the next makes tickets of an earlier reservation.
    """
    ready = [(await reserving.reserve())[0] for _ in range(10)]
    latencies: Latencies = {"ReserveInventory": [], "BulkGenerateTickets of 100": []}

    async def reserve() -> None:
        reservation_id, milliseconds = await reserving.reserve()
        ready.append(reservation_id)
        latencies["ReserveInventory"].append(milliseconds)

    async def batch(reservation_id: str) -> None:
        milliseconds = await reserving.batch(reservation_id)
        latencies["BulkGenerateTickets of 100"].append(milliseconds)

    calls = []
    begin = time.perf_counter()
    for number in range(int(seconds * PER_SECOND)):
        await asyncio.sleep(max(0.0, begin + number / PER_SECOND - time.perf_counter()))
        call = batch(ready.pop(0)) if number % 2 and ready else reserve()
        calls.append(asyncio.ensure_future(call))
    await asyncio.gather(*calls)
    for name, found in latencies.items():
        figures.add(f"{name} at {PER_SECOND}/s, p50", percentile(found, 0.5), "ms")
        figures.add(f"{name} at {PER_SECOND}/s, p95", percentile(found, 0.95), "ms")


async def beside(callers: Callers, hammering: Reserving) -> Latencies:
    """Small calls while the other partner hammers."""
    end = time.perf_counter() + BESIDE_SECONDS
    attackers = [asyncio.ensure_future(hammering.hammer(end)) for _ in range(HAMMERING)]
    latencies = await small_calls(callers, lambda: time.perf_counter() > end)
    await asyncio.gather(*attackers)
    return latencies


async def compare(callers: Callers, hammering: Reserving, figures: Figures) -> None:
    """One round: alone and beside it."""
    await callers.stock_up()
    phases = {"alone": await alone(callers, BESIDE_SECONDS)}
    await callers.stock_up()
    phases["beside"] = await beside(callers, hammering)
    for name in phases["beside"]:
        p95 = {phase: percentile(found[name], 0.95) for phase, found in phases.items()}
        for phase, milliseconds in p95.items():
            figures.add(f"{name}, {phase} a hammering partner, p95", milliseconds, "ms")
        ratio = p95["beside"] / p95["alone"]
        figures.add(f"beside a hammering partner / alone, p95, {name}", ratio, "times")


async def run(server: ServerProcess, figures: Figures, options: Any) -> None:
    """All of it, against a running server."""
    credentials = server.credentials
    async with (
        grpc.aio.insecure_channel(server.target) as channel,
        grpc.aio.insecure_channel(server.target, [("bench", 1)]) as of_the_other,
    ):
        await open_doors(channel, credentials)
        large, small = (
            (("x-api-key", credentials[key]),)
            for key in ("partner_api_key", "other_partner_api_key")
        )
        callers, reserving = Callers(channel, large, small), Reserving(of_the_other, large)
        await callers.log_in(credentials)
        await callers.stock_up()
        await alone(callers, WARM_UP_SECONDS)
        for number in range(options.rounds):
            print(f"reserving, round {number + 1} of {options.rounds}", flush=True)
            await steadily(reserving, figures, options.seconds)
            await compare(callers, reserving, figures)


def measure(services: EmbeddedServices, figures: Figures, options: Any) -> None:
    """Starts a server with demo data over a database of its own, and measures."""
    databases.execute(services.database_url, f"CREATE DATABASE {DATABASE}")
    url = databases.renamed(services.database_url, DATABASE)
    migrate(url)
    with (
        TemporaryDirectory() as folder,
        ServerProcess(data_dir=Path(folder), env=environment_of(url, services.redis_url)) as server,
    ):
        uvloop.run(run(server, figures, options))
