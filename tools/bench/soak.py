"""A long mixed load on the transport: cancellations, resets, late calls, slow readers.

    python -m tools.bench.soak --seconds 3600 --log soak.log

The server, an echo on our transport with the product's settings, is a process of its own, so that
what a client keeps of its calls does not count. Writes a line of figures every `--every` seconds,
and ends with exit code 1 if the server has died, a caller was answered wrongly, or memory or
descriptors have grown: what they are in the last quarter, on average, against the second.
"""

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import grpc
import psutil
import uvloop

from server.api.grpc_server import server_options
from server.api.transport.choice import Transport, new_server
from server.platform import logs
from server.platform.config import SECRET_KEY_BYTES, load_settings
from tests.support.echo_server import SERVICE, Client, Echo
from tests.support.mixed_load import MESSAGE_LIMIT, Load

ROOT = Path(__file__).resolve().parents[2]
GROWTH_MIB, GROWTH_DESCRIPTORS = 8.0, 4.0
"""So much more may be open at the end than in the second quarter: what the load happens to hold."""
END_SECONDS = 60.0


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


async def load(port: int, process: psutil.Process, log: TextIO, options: Any) -> list[Sample]:
    """Calls for as long as was asked; the samples, the last of them when all calls have ended."""
    samples: list[Sample] = []
    began = time.monotonic()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        client = Client(channel, f"127.0.0.1:{port}")
        chance = random.Random(options.seed)  # noqa: S311 - no secret
        mixed = Load(client, chance, pause_seconds=options.pause)
        callers = [
            asyncio.create_task(mixed.call_until(began + options.seconds))
            for _ in range(options.callers)
        ]

        def look() -> None:
            times = process.cpu_times()
            sample = Sample(
                round(time.monotonic() - began, 1),
                mixed.calls.total(),
                len(mixed.faults),
                round(process.memory_info().rss / 2**20, 2),
                process.num_fds(),
                process.num_threads(),
                round(times.user + times.system, 2),
            )
            samples.append(sample)
            print(json.dumps(asdict(sample)), file=log, flush=True)

        ended = asyncio.gather(*callers)
        while not ended.done():
            look()
            await asyncio.wait({ended}, timeout=options.every)
        await ended
        for fault in mixed.faults:
            print(json.dumps({"fault": fault}), file=log, flush=True)
        print(json.dumps({"done": mixed.calls}), file=log, flush=True)
        look()
    return samples


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


def main() -> int:
    """Starts the server, calls it, says what is wrong; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3600, help="how long it is called")
    parser.add_argument("--every", type=float, default=10, help="seconds between two samples")
    parser.add_argument("--callers", type=int, default=16, help="each does one thing at a time")
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
    server = subprocess.Popen(
        [sys.executable, "-m", "tools.bench.soak", "--serve", "--transport", options.transport],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdin
    assert server.stdout
    log = options.log.open("w") if options.log else sys.stdout
    try:
        port = int(server.stdout.readline())
        samples = uvloop.run(load(port, psutil.Process(server.pid), log, options))
    finally:
        server.stdin.close()
        code = server.wait(END_SECONDS)
    wrong = verdict(samples) + ([f"the server ended with {code}"] if code else [])
    print(json.dumps({"wrong": wrong}), file=log, flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
