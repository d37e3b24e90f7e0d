"""What is measured, and the two ways of calling: so many callers who wait for answers, or so
many calls a second.
"""

import asyncio
import contextlib
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import grpc

Call = Callable[[Any], Awaitable[Any]]


class Ratio(NamedTuple):
    """One figure by another, and what that is to reach: at least or at most."""

    figure: str
    by: str
    sign: str
    target: float


class Cpu(NamedTuple):
    """Microseconds of CPU that a call took."""

    server: float
    postgres: float
    client: float


@dataclass
class Figures:
    """What was measured: samples by name, each with its unit; of some also the CPU of each call."""

    samples: dict[str, list[float]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    cpu: dict[str, list[Cpu]] = field(default_factory=dict)

    def add(self, name: str, value: float, unit: str) -> None:
        """Adds a sample and says so."""
        self.samples.setdefault(name, []).append(value)
        self.units[name] = unit
        print(f"  {name:<52} {value:>10,.2f} {unit}", flush=True)

    def median(self, name: str) -> float:
        """The median of a figure."""
        return statistics.median(self.samples[name])

    def median_cpu(self, name: str) -> Cpu | None:
        """The medians of the CPU of a figure's calls; None where it was not metered."""
        taken = self.cpu.get(name)
        return Cpu(*map(statistics.median, zip(*taken, strict=True))) if taken else None


def percentile(latencies: Sequence[float], share: float) -> float:
    """Of latencies in any order."""
    return sorted(latencies)[int(len(latencies) * share)]


async def unary(call: Call, requests: Sequence[Any], in_flight: int) -> float:
    """Calls a second with `in_flight` callers, each waiting for its answer."""
    queue = iter(requests)

    async def caller() -> None:
        for request in queue:
            await call(request)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(in_flight)))
    return len(requests) / (time.perf_counter() - began)


async def open_loop(call: Call, requests: Sequence[Any], rate: int) -> tuple[list[float], int]:
    """Milliseconds from when each call was due, at `rate` a second whether or not answers come;
    and errors.
    """
    latencies: list[float] = []
    errors = 0

    async def one(due: float, request: Any) -> None:
        nonlocal errors
        try:
            await call(request)
        except (grpc.aio.AioRpcError, RuntimeError):
            errors += 1
        latencies.append((time.perf_counter() - due) * 1000)

    calls = set()
    with _without_collections():
        start = time.perf_counter() + 0.2
        for number, request in enumerate(requests):
            due = start + number / rate
            delay = due - time.perf_counter()
            if delay > 0:
                await asyncio.sleep(delay)
            sent = time.perf_counter()  # a timer counts milliseconds, and may be early
            task = asyncio.create_task(one(min(due, sent), request))
            calls.add(task)
            task.add_done_callback(calls.discard)
        await asyncio.gather(*calls)
    return latencies, errors


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """Python's garbage collector would stop the driver for longer than a call takes, and every
    call be reported late.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
