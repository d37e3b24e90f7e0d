"""How calls of a method are counted in the metrics, by the names of OpenTelemetry's semantic
conventions.
"""

from typing import Any

from server.platform.metrics import RPC_DURATION

SYSTEM = "grpc"
ERRORS = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
"""Statuses that are a fault of a server, by the conventions; the others are answers."""


class MethodMetrics:
    """The metrics of one method: `full_name` is `package.Service/Method`."""

    def __init__(self, full_name: str) -> None:
        self._full_name = full_name
        # made when the method is first called: of those that nobody calls `/metrics` says nothing
        self._by_code: dict[str, Any] = {}

    def count(self, code: str, seconds: float) -> None:
        """Counts a call that has ended so, after so long."""
        duration = self._by_code.get(code)
        if duration is None:
            error = code if code in ERRORS else ""
            duration = self._by_code[code] = RPC_DURATION.labels(
                SYSTEM, self._full_name, code, error
            )
        duration.observe(seconds)
