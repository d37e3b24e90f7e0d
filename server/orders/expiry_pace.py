"""How fast tickets expire while gates redeem: the pages of the job wait longer for each other when
redemptions take longer than they did before it began.

What is looked at are the redemptions of the process that runs the job: of several that share a
port each has its share of them.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from server.platform.metrics import LATENCY

GATE_METHODS = frozenset({"RedemptionService/Redeem", "RedemptionService/ScanStream"})
SLOWER = 1.5
"""Redemptions that take so many times as long as before are slowed down."""
MOST_WAIT = 0.75
"""A page is followed by a wait of so many times its own length at the most, so that all tickets
of a day are EXPIRED in time whatever the gates do.
"""
STEP_UP, STEP_DOWN = 0.25, 0.05
"""The wait grows at once and shrinks slowly."""
FEW = 5
"""So few redemptions say nothing."""
QUIET_SECONDS = 5.0
"""A page that comes so long after the last one begins a run: what lies between was quiet."""


class Redeemed(NamedTuple):
    """How many redemptions there were since the process began, and the seconds of all of them."""

    scans: float
    seconds: float

    def mean_since(self, before: "Redeemed") -> float | None:
        """The mean seconds of those since; None for too few."""
        count = self.scans - before.scans
        return (self.seconds - before.seconds) / count if count >= FEW else None


def redeemed() -> Redeemed:
    """As this process counts them for its metrics."""
    found = {"_count": 0.0, "_sum": 0.0}
    for metric in LATENCY.collect():
        for sample in metric.samples:
            ending = sample.name[sample.name.rfind("_") :]
            if ending in found and sample.labels.get("method") in GATE_METHODS:
                found[ending] += sample.value
    return Redeemed(found["_count"], found["_sum"])


class GatePace:
    """A job's pace (`schedule.Pace`); `read` and `clock` are looked at after each page."""

    def __init__(
        self,
        read: Callable[[], Redeemed] = redeemed,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._clock = read, clock
        self._before, self._at = Redeemed(0, 0), -QUIET_SECONDS
        self._quiet: float | None = None
        self._wait = 0.0

    def __call__(self, piece_seconds: float) -> float:
        """Seconds to wait after a page that took so long."""
        seen, at = self._read(), self._clock()
        mean, began = seen.mean_since(self._before), at - self._at - piece_seconds
        self._before, self._at = seen, at
        if began >= QUIET_SECONDS:
            self._quiet, self._wait = mean or self._quiet, 0.0
        elif mean is not None and self._quiet is not None and mean > SLOWER * self._quiet:
            self._wait = min(MOST_WAIT, self._wait + STEP_UP)
        elif mean is not None:
            self._wait = max(0.0, self._wait - STEP_DOWN)
        return piece_seconds * self._wait
