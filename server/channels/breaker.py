"""Circuit breakers: what is away of a vendor is asked seldom, so that it comes back and we are not
held up. Each endpoint of a channel has one of its own: bookings go on while prices fail.

Only what is unexpected counts: no answer, a 5xx, an answer that cannot be read. A refusal, a limit
and credentials that are not taken are answers, and show that the vendor is there.
"""

from collections import defaultdict

THRESHOLD = 5
"""Failures on end that open it."""
OPEN_SECONDS = 30.0
"""So long nobody calls; then one call tries."""


class CircuitBreaker:
    """The breaker of one endpoint in this process; times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._failures = 0
        self._closed_at = 0.0
        self._is_tried = False

    @property
    def is_open(self) -> bool:
        """Whether calls are kept back."""
        return self._failures >= THRESHOLD

    def wait_seconds(self, now: float) -> float:
        """How long to wait before a call; 0 lets it through, and then its result must be said."""
        if not self.is_open:
            return 0.0
        if self._is_tried:
            return OPEN_SECONDS
        left = self._closed_at - now
        self._is_tried = left <= 0
        return max(left, 0.0)

    def succeeded(self) -> None:
        """The vendor has answered."""
        self._failures, self._is_tried = 0, False

    def failed(self, now: float) -> None:
        """There was no answer that could be used."""
        self._failures, self._is_tried = self._failures + 1, False
        if self.is_open:
            self._closed_at = now + OPEN_SECONDS

    def cancelled(self) -> None:
        """The call was given up before anything was known: another may try."""
        self._is_tried = False


class CircuitBreakers(defaultdict[str, CircuitBreaker]):
    """Those of one channel in this process, by endpoint as the log of calls names it."""

    def __init__(self) -> None:
        super().__init__(CircuitBreaker)
