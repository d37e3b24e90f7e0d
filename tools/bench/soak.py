"""A long mixed load on the transport: cancellations, resets, late calls, slow readers.

    python -m tools.bench.soak --seconds 3600 --log soak.log

Two servers are called: an echo on our transport with the product's settings, over gRPC, and the
product with demo data, in JSON, whose gateway reaches its methods through the same transport inside
the process (`--json-callers 0` leaves it out). Each is a process of its own, so that what a client
keeps of its calls does not count. Writes a line of figures for each every `--every` seconds, and
ends with exit code 1 if a server has died, a caller was answered wrongly, or memory or descriptors
have grown: what they are in the last quarter, on average, against the second.
"""

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, TextIO

import grpc
import psutil
import uvloop

from server.api.grpc_server import server_options
from server.api.transport.choice import Transport, new_server
from server.platform import logs
from server.platform.config import SECRET_KEY_BYTES, load_settings
from tests.support.echo_server import SERVICE, Client, Echo
from tests.support.json_load import JsonLoad, a_gate
from tests.support.mixed_load import MESSAGE_LIMIT, Load
from tests.support.server_process import ServerProcess
from tools.dev.demo_catalog import ZONE

ROOT = Path(__file__).resolve().parents[2]
GROWTH_MIB, GROWTH_DESCRIPTORS = 8.0, 4.0
"""So much more may be open at the end than in the second quarter: what the load happens to hold."""
END_SECONDS = 60.0
ECHO, PRODUCT = "echo", "product"
"""The two servers."""


@dataclass(frozen=True)
class Sample:
    """How the server stands after so many seconds."""

    seconds: float
    calls: int
    faults: int
    memory_mib: float
    descriptors: int
    threads: int
    cpu_seconds: float


async def serve(transport: Transport) -> None:
    """Serves the echo, prints its port, and ends with standard input."""
    settings = load_settings(secret_key=bytes(SECRET_KEY_BYTES), max_message_bytes=MESSAGE_LIMIT)
    server: Any = new_server(transport, options=server_options(settings))
    echo = Echo()
    server.add_registered_method_handlers(SERVICE, echo.handlers)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)

    async def forget() -> None:
        """Nobody reads what became of each call."""
        while True:
            for noted in (echo.began, echo.ended):
                while not noted.empty():
                    noted.get_nowait()
            await asyncio.sleep(1)

    forgetting = asyncio.create_task(forget())
    await asyncio.to_thread(sys.stdin.buffer.read)
    forgetting.cancel()
    await server.stop(None)


class MixedLoad(Protocol):
    """Callers of one server, and what became of their calls."""

    calls: Counter[str]
    faults: list[str]

    def call_until(self, end: float) -> Coroutine[Any, Any, None]:
        """One caller, until `time.monotonic()` is `end`."""


async def load(
    loads: Mapping[str, MixedLoad], servers: "Servers", log: TextIO, options: Any
) -> dict[str, list[Sample]]:
    """Calls for as long as was asked; the samples of each server, the last of them when all calls
    have ended.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in loads}
    began = time.monotonic()
    counts = {ECHO: options.callers, PRODUCT: options.json_callers}
    callers = [
        asyncio.create_task(each.call_until(began + options.seconds))
        for name, each in loads.items()
        for _ in range(counts[name])
    ]

    def look() -> None:
        for name, mixed in loads.items():
            sample = sampled(servers.processes[name], mixed, time.monotonic() - began)
            samples[name].append(sample)
            print(json.dumps({"server": name} | asdict(sample)), file=log, flush=True)

    ended = asyncio.gather(*callers)
    while not ended.done():
        look()
        await asyncio.wait({ended}, timeout=options.every)
    await ended
    for name, mixed in loads.items():
        for fault in mixed.faults:
            print(json.dumps({"server": name, "fault": fault}), file=log, flush=True)
        print(json.dumps({"server": name, "done": mixed.calls}), file=log, flush=True)
    look()
    return samples


def sampled(process: psutil.Process, mixed: MixedLoad, seconds: float) -> Sample:
    """How a server stands now."""
    times = process.cpu_times()
    return Sample(
        round(seconds, 1),
        mixed.calls.total(),
        len(mixed.faults),
        round(process.memory_info().rss / 2**20, 2),
        process.num_fds(),
        process.num_threads(),
        round(times.user + times.system, 2),
    )


async def call(servers: "Servers", log: TextIO, options: Any) -> dict[str, list[Sample]]:
    """Connects to the servers that run and calls them."""
    chance = random.Random(options.seed)  # noqa: S311 - no secret
    async with AsyncExitStack() as stack:
        channel = grpc.aio.insecure_channel(servers.echo_target)
        client = Client(await stack.enter_async_context(channel), servers.echo_target)
        loads: dict[str, MixedLoad] = {ECHO: Load(client, chance, pause_seconds=options.pause)}
        if servers.product:
            today = datetime.now(ZONE).date()
            days = [(today + timedelta(days=ahead)).isoformat() for ahead in range(1, 11)]
            gate = await a_gate(servers.product, days, tickets=options.tickets)
            loads[PRODUCT] = JsonLoad(gate, chance, pause_seconds=options.pause)
        return await load(loads, servers, log, options)


def growth(samples: Sequence[Sample], figure: str) -> float:
    """How much more of it there is in the last quarter than in the second, on average."""
    values = [float(getattr(sample, figure)) for sample in samples[:-1]]
    quarter = max(1, len(values) // 4)
    return statistics.mean(values[-quarter:]) - statistics.mean(values[quarter : 2 * quarter])


def verdict(samples: Sequence[Sample]) -> list[str]:
    """What is wrong; empty if nothing is."""
    wrong = []
    if samples[-1].faults:
        wrong.append(f"{samples[-1].faults} faults")
    for figure, limit in (("memory_mib", GROWTH_MIB), ("descriptors", GROWTH_DESCRIPTORS)):
        grown = growth(samples, figure)
        if grown > limit:
            wrong.append(f"{figure} grew by {grown:.1f}")
    return wrong


@dataclass
class Servers:
    """Those that run.

    Attributes:
        processes: by name.
        ended: what to say of one that ended as it should not.
    """

    echo_target: str
    product: ServerProcess | None
    processes: dict[str, psutil.Process]
    ended: list[str]


@contextmanager
def an_echo(transport: Transport, ended: list[str]) -> Iterator[tuple[str, int]]:
    """The echo in a process of its own: its target and process id."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tools.bench.soak", "--serve", "--transport", transport],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdin
    assert server.stdout
    try:
        yield f"127.0.0.1:{int(server.stdout.readline())}", server.pid
    finally:
        server.stdin.close()
        if code := server.wait(END_SECONDS):
            ended.append(f"{ECHO} ended with {code}")


@contextmanager
def the_product(transport: Transport, ended: list[str]) -> Iterator[ServerProcess]:
    """The product with demo data and services of its own."""
    settings = {
        "DEEPTRAVEL_TRANSPORT": transport,
        "DEEPTRAVEL_DEMO_DATA": "true",
        "DEEPTRAVEL_ACCESS_TOKEN_SECONDS": "36000",
        "DEEPTRAVEL_MAX_CALLS_PER_ADDRESS": "0",  # all callers have one
    }
    with tempfile.TemporaryDirectory() as folder:
        server = ServerProcess(data_dir=Path(folder), env=settings).start()
        try:
            yield server
        finally:
            if (code := server.process.poll()) is not None:
                ended.append(f"{PRODUCT} ended with {code}: {server.log[-2000:]}")
            elif code := server.terminate():
                ended.append(f"{PRODUCT} ended with {code}")


@contextmanager
def running(options: Any) -> Iterator[Servers]:
    """The servers that are called."""
    ended: list[str] = []
    with ExitStack() as stack:
        target, process_id = stack.enter_context(an_echo(options.transport, ended))
        servers = Servers(target, None, {ECHO: psutil.Process(process_id)}, ended)
        if options.json_callers:
            servers.product = stack.enter_context(the_product(options.transport, ended))
            servers.processes[PRODUCT] = psutil.Process(servers.product.process.pid)
        yield servers


def main() -> int:
    """Starts the servers, calls them, says what is wrong; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3600, help="how long they are called")
    parser.add_argument("--every", type=float, default=10, help="seconds between two samples")
    parser.add_argument("--callers", type=int, default=16, help="each does one thing at a time")
    parser.add_argument("--json-callers", type=int, default=8, help="likewise, of the product")
    parser.add_argument("--tickets", type=int, default=300, help="that are scanned in JSON")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between two, at most")
    parser.add_argument("--seed", type=int, default=7, help="of what chance says")
    parser.add_argument("--log", type=Path, help="file of the samples; standard output if none")
    parser.add_argument("--transport", choices=["core", "aio"], default="core")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        logs.configure(level="INFO", style="json")
        uvloop.run(serve(options.transport))
        return 0
    log = options.log.open("w") if options.log else sys.stdout
    with running(options) as servers:
        samples = uvloop.run(call(servers, log, options))
    wrong = list(servers.ended)
    for name, of_server in samples.items():
        wrong += [f"{name}: {each}" for each in verdict(of_server)]
    print(json.dumps({"wrong": wrong}), file=log, flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
