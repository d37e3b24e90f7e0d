"""The CPU that calls take, of each process that has to do with them, and how noisy the machine was.

Of a process counts the CPU of all that it started, too; the client is this process.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from tools.bench.figures import Cpu, Figures

MICROS = 1_000_000
NOISE_FIGURE = "grpc.aio echo unary, 64 in flight"


def postmaster(folder: Path) -> int:
    """The process id of the embedded PostgreSQL whose data is under `folder`."""
    return int((folder / "postgres" / "postmaster.pid").read_text().split()[0])


class Meter(NamedTuple):
    """Meters a server, a PostgreSQL, and this process; by their ids, 0 for none."""

    server: int
    postgres: int

    @contextmanager
    def of(self, figures: Figures, name: str, calls: int) -> Iterator[None]:
        """Adds the CPU that each of these calls took to the samples of a figure."""
        before = self._seconds()
        yield
        used = [(end - begin) / calls for begin, end in zip(before, self._seconds(), strict=True)]
        figures.cpu.setdefault(name, []).append(Cpu(*[each * MICROS for each in used]))

    def _seconds(self) -> tuple[float, float, float]:
        own = time.process_time()
        return cpu_seconds(self.server), cpu_seconds(self.postgres), own


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a process, of those that it started, and of those of them that have ended."""
    if not pid:
        return 0.0
    seconds = 0.0
    process = psutil.Process(pid)
    for each in [process, *process.children(recursive=True)]:
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:  # it has ended; its parent knows
            continue
        seconds += times.user + times.system + times.children_user + times.children_system
    return seconds


class Noise:
    """What else the machine did while the benchmark ran."""

    def __init__(self) -> None:
        self._before = os.getloadavg()[0]
        self._began = time.monotonic()
        self._busy = _busy()
        self._ours = cpu_seconds(os.getpid())

    def line(self, figures: Figures) -> str:
        """One line about it: what others took of the cores, and how far the samples of one echo lie
        apart.
        """
        seconds = time.monotonic() - self._began
        others = max(0.0, _busy() - self._busy - (cpu_seconds(os.getpid()) - self._ours)) / seconds
        line = (
            f"Noise: others took {others:.2f} of {os.cpu_count()} cores, and the load average was"
            f" {self._before:.1f} before the run"
        )
        if samples := figures.samples.get(NOISE_FIGURE):
            apart = max(samples) / min(samples)
            line += f"; the rounds of the {NOISE_FIGURE}, lie apart by {apart:.2f}"
        return line + "."


def _busy() -> float:
    """Seconds that all cores have worked."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0))
