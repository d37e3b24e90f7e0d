"""Terminals at gates: from the scanner's text to the verdict with and without network, the pack of
a venue with many tickets, what is queued, and many terminals on streams, with pushes and without.

The terminal is that of `clients/terminal`, in a process of its own with its file on disk. The many
are streams of this process, each with its own log-in, at a steady rate whether or not answers come;
beside them the same terminals make the same scans by unary calls, so that the ratio of the
server's CPU is of one run.
"""

import asyncio
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import uvloop
from deeptravel.ota.v1 import ota_service_pb2_grpc
from deeptravel.redemption.v1 import (
    access_pb2,
    offline_pb2,
    redemption_pb2,
    redemption_service_pb2_grpc,
)

from server.operations.schema import migrate
from tests.support import databases
from tests.support.server_process import ServerProcess
from tools.bench import redemption
from tools.bench.figures import Figures, Ratio, open_loop, percentile
from tools.bench.large_batches import environment_of
from tools.bench.metering import Meter
from tools.dev.embedded.services import EmbeddedServices

DATABASE = "bench_terminals"
CLIENT = Path(__file__).resolve().parents[2] / "clients"
PACK_TICKETS = 200_000
CHANGES = 1_000
ONLINE, QUEUED = 1_000, 10_000
TERMINALS, SCANS_A_SECOND = 200, 5
LOG_INS_AT_ONCE = 8
MANY = f"{TERMINALS} terminals, {SCANS_A_SECOND}/s each"
UNARY, STREAMS, PUSHED = (f"{MANY}, {way}" for way in ("unary", "streams", "streams with pushes"))
TARGETS = {
    "terminal, scan to verdict, online p99": ("<=", 10),
    "terminal, scan to verdict, offline p99": ("<=", 2),
    f"pack of {PACK_TICKETS:,} tickets": ("<=", 10),
    f"pack of {PACK_TICKETS:,} tickets, built and sent": ("<=", 5),
    f"pack, {CHANGES:,} changes": ("<=", 100),
    f"{STREAMS}, p99": ("<=", 20),
    f"{PUSHED}, p99": ("<=", 20),
    f"upload of {QUEUED:,} queued scans": ("<=", 3),
}
CPU_RATIOS = {
    f"{STREAMS} ÷ unary, server CPU": Ratio(STREAMS, UNARY, "<=", 0.5),
    f"{PUSHED} ÷ unary, server CPU": Ratio(PUSHED, UNARY, "<=", 0.5),
}
_MORE_TERMINALS = f"""
INSERT INTO terminals
  (terminal_device_id, venue_code, display_name, state, create_time, update_time)
SELECT 'BENCH-' || n, t.venue_code, '', 'ACTIVE', now(), now()
FROM terminals t, generate_series(1, {TERMINALS}) n WHERE t.terminal_device_id = 'TERMINAL-CP-001'
"""  # noqa: S608 # a number
"""At the venue of the demo's terminal."""
Metadata = tuple[tuple[str, str], ...]


class Venue:
    """The terminals of the demo's venue, and its tickets."""

    def __init__(self, channel: grpc.aio.Channel, tickets: redemption.Tickets) -> None:
        self.stub: Any = redemption_service_pb2_grpc.RedemptionServiceStub(channel)
        self.tickets = tickets
        self.logins: dict[str, Metadata] = {}
        self._ids = itertools.count(1)

    async def log_in(self, device: str, credentials: dict[str, Any]) -> None:
        """Logs the operator in at one more terminal."""
        request = access_pb2.OperatorLoginRequest(**credentials, terminal_device_id=device)
        answer = await self.stub.OperatorLogin(request)
        self.logins[device] = (("authorization", f"Bearer {answer.access_token}"),)

    def scans(self, count: int) -> list[tuple[str, Any]]:
        """Scans of so many new tickets, each with its terminal, in turn."""
        devices = itertools.cycle(self.logins)
        return [
            (
                device,
                redemption_pb2.RedeemRequest(
                    qr_token=token, function_code="ferry", request_id=f"scan-{next(self._ids)}"
                ),
            )
            for device, token in zip(devices, self.tickets.take(count), strict=False)
        ]

    async def pack(self, cursor: str = "") -> tuple[float, int, str]:
        """Seconds, compressed bytes, and the cursor to go on from."""
        size, last = 0, b""
        began = time.perf_counter()
        request = offline_pb2.GetVenuePackRequest(cursor=cursor)
        metadata = next(iter(self.logins.values()))
        async for part in self.stub.GetVenuePack(request, metadata=metadata):
            size, last = size + len(part.packed_chunk), part.packed_chunk
        seconds = time.perf_counter() - began
        return seconds, size, offline_pb2.PackChunk.FromString(zlib.decompress(last)).cursor


class Stream:
    """A terminal on a stream."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._writing = asyncio.Lock()
        self._reading = asyncio.create_task(self._read())

    async def ask_for_pushes(self) -> None:
        """Has what changes of the pack pushed to it."""
        await self._call.write(redemption_pb2.ScanStreamRequest(with_pack_pushes=True))

    async def scan(self, scan: Any) -> None:
        """Sends a scan, and waits for its answer."""
        decided = asyncio.get_running_loop().create_future()
        self._waiting[scan.request_id] = decided
        request = redemption_pb2.ScanStreamRequest(scan_id=scan.request_id, scan=scan)
        async with self._writing:
            await self._call.write(request)
        await decided

    async def end(self) -> None:
        """Closes it."""
        await self._call.done_writing()
        await self._reading

    async def _read(self) -> None:
        try:
            while (response := await self._call.read()) is not grpc.aio.EOF:
                for answer in response.answers:
                    redemption.admitted(answer.answer)
                    self._waiting.pop(answer.scan_id).set_result(None)
        except (grpc.aio.AioRpcError, RuntimeError) as error:
            for each in self._waiting.values():
                each.set_exception(error)
            raise


@asynccontextmanager
async def streams(venue: Venue, *, with_pushes: bool) -> AsyncIterator[dict[str, Stream]]:
    """A stream of each terminal."""
    opened = {
        device: Stream(venue.stub.ScanStream(metadata=metadata))
        for device, metadata in venue.logins.items()
    }
    if with_pushes:
        for each in opened.values():
            await each.ask_for_pushes()
    yield opened
    for each in opened.values():
        await each.end()


async def many(venue: Venue, meter: Meter, figures: Figures, seconds: int) -> None:
    """The same load by unary calls, over streams, and over streams that are pushed to."""
    rate = TERMINALS * SCANS_A_SECOND

    async def sample(name: str, call: Any) -> None:
        scans = venue.scans(rate * seconds)
        with meter.of(figures, name, len(scans)):
            latencies, errors = await open_loop(call, scans, rate)
        if errors:
            raise RuntimeError(f"{errors} errors")
        figures.add(name, percentile(latencies, 0.5), "ms, p50")
        figures.add(f"{name}, p99", percentile(latencies, 0.99), "ms")

    async def unary(scan: tuple[str, Any]) -> None:
        device, request = scan
        redemption.admitted(await venue.stub.Redeem(request, metadata=venue.logins[device]))

    await sample(UNARY, unary)
    for name, with_pushes in ((STREAMS, False), (PUSHED, True)):
        async with streams(venue, with_pushes=with_pushes) as opened:

            async def streamed(scan: tuple[str, Any]) -> None:
                await opened[scan[0]].scan(scan[1])  # called before the next round

            await sample(name, streamed)


async def packs(venue: Venue, meter: Meter, figures: Figures) -> None:
    """A full one, and one of what has changed."""
    name = f"pack of {PACK_TICKETS:,} tickets"
    with meter.of(figures, name, 1):
        seconds, size, cursor = await venue.pack()
    figures.add(name, size / 1e6, "MB")
    figures.add(f"{name}, built and sent", seconds, "s")
    scans = venue.scans(CHANGES)
    async with streams(venue, with_pushes=False) as opened:
        await asyncio.gather(*(opened[device].scan(scan) for device, scan in scans))
    name = f"pack, {CHANGES:,} changes"
    with meter.of(figures, name, 1):
        seconds, _, _ = await venue.pack(cursor)
    figures.add(name, seconds * 1000, "ms")


async def one(venue: Venue, asked: dict[str, Any], figures: Figures) -> None:
    """A terminal of clients/terminal, with its file on disk."""
    texts = {"online": venue.tickets.take(ONLINE), "offline": venue.tickets.take(QUEUED)}
    with tempfile.TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.scan_times", folder),
            cwd=CLIENT / "terminal",
            env=os.environ | {"PYTHONPATH": f"{CLIENT / 'terminal'}:{CLIENT / 'python'}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        printed, _ = await process.communicate(json.dumps(asked | texts).encode())
    if process.returncode:
        raise RuntimeError("the terminal failed")
    found = json.loads(printed)
    for way in ("online", "offline"):
        latencies: Sequence[float] = found[f"{way}_ms"]
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            figures.add(
                f"terminal, scan to verdict, {way} {name}", percentile(latencies, share), "ms"
            )
    figures.add("terminal, log-in to a stored pack", found["pack_seconds"], "s")
    figures.add(f"upload of {QUEUED:,} queued scans", found["upload_seconds"], "s")


async def run(server: ServerProcess, url: str, figures: Figures, options: Any) -> None:
    """All of it, against a running server."""
    credentials, own = server.credentials, server.credentials["terminal_device_id"]
    devices = [f"BENCH-{number}" for number in range(1, TERMINALS + 1)]
    databases.execute(url, _MORE_TERMINALS)
    async with grpc.aio.insecure_channel(server.target) as channel:
        await redemption.allot(channel, credentials)
        ota = ota_service_pb2_grpc.OtaServiceStub(channel)
        key = (("x-api-key", credentials["partner_api_key"]),)
        venue = Venue(channel, await redemption.make_tickets(ota, key, figures, PACK_TICKETS))
        for first in range(0, TERMINALS, LOG_INS_AT_ONCE):
            together = devices[first : first + LOG_INS_AT_ONCE]
            await asyncio.gather(
                *(venue.log_in(device, credentials["operator"]) for device in together)
            )
        meter = Meter(server.process.pid, options.postgres)
        asked = {"target": server.target, "device": own, **credentials["operator"]}
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", flush=True)
            await packs(venue, meter, figures)
            await one(venue, asked, figures)
            await many(venue, meter, figures, options.seconds)


def measure(services: EmbeddedServices, figures: Figures, options: Any) -> None:
    """Starts a server with demo data over a database of its own, and measures."""
    databases.execute(services.database_url, f"CREATE DATABASE {DATABASE}")
    url = databases.renamed(services.database_url, DATABASE)
    migrate(url)
    with (
        tempfile.TemporaryDirectory() as folder,
        ServerProcess(data_dir=Path(folder), env=environment_of(url, services.redis_url)) as server,
    ):
        uvloop.run(run(server, url, figures, options))
