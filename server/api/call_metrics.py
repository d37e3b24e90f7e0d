"""How calls of a method are counted in the metrics: by our own names, and by those of
OpenTelemetry's semantic conventions.
"""

from typing import Any

from server.platform.metrics import CALLS, LATENCY, RPC_DURATION

SYSTEM = "grpc"
ERRORS = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
"""Statuses that are a fault of a server, by the conventions; the others are answers."""


class MethodMetrics:
    """The metrics of one method: `name` is `Service/Method`, `full_name` with its package."""

    def __init__(self, name: str, full_name: str) -> None:
        self._name, self._full_name = name, full_name
        # made when the method is first called: of those that nobody calls `/metrics` says nothing
        self._by_code: dict[str, tuple[Any, Any, Any]] = {}

    def count(self, code: str, seconds: float) -> None:
        """Counts a call that has ended so, after so long."""
        found = self._by_code.get(code)
        if found is None:
            error = code if code in ERRORS else ""
            duration = RPC_DURATION.labels(SYSTEM, self._full_name, code, error)
            calls = CALLS.labels(self._name, code)
            found = self._by_code[code] = calls, LATENCY.labels(self._name), duration
        calls, latency, duration = found
        latency.observe(seconds)
        calls.inc()
        duration.observe(seconds)
