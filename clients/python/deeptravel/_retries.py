"""Whether a call that failed is made again, and when: decisions alone, without sleeping."""

import random
import time
from dataclasses import dataclass

import grpc

from deeptravel._errors import CallError
from deeptravel._generated.reasons import Reason

NOT_BEGUN = {Reason.RATE_LIMITED, Reason.SERVER_BUSY, Reason.CONFLICT}
"""The server did nothing: any call may be made again."""
UNKNOWN_OUTCOME = {
    Reason.DATABASE_UNAVAILABLE,
    Reason.DEADLINE_EXCEEDED,
    Reason.PAYMENT_PROVIDER_UNAVAILABLE,
    Reason.SHUTTING_DOWN,
}
"""It may have been done: only what is safe is called again."""
UNREACHED = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
"""Without a reason: the connection broke, or a proxy answered."""


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how patiently a call is repeated.

    Attributes:
        attempts: how many calls in all; 1 never repeats.
        first_pause_seconds: before the second one; each later pause is twice as long, and each is
            shortened by chance, so that many clients do not come back at once.
        longest_pause_seconds: the longest pause. Who is asked by the server to wait longer gets
            the error at once: the caller knows better what to do meanwhile.
    """

    attempts: int = 5
    first_pause_seconds: float = 0.1
    longest_pause_seconds: float = 10.0


class Retries:
    """The attempts of one call.

    Args:
        policy: how often.
        safe: whether the call may be repeated if it may have been done.
        timeout: seconds for everything, pauses included; None for no limit.
    """

    def __init__(self, policy: RetryPolicy, *, safe: bool, timeout: float | None) -> None:
        self._policy = policy
        self._safe = safe
        self._end = None if timeout is None else time.monotonic() + timeout
        self._made = 0

    def remaining(self) -> float | None:
        """Seconds that are left; None without a limit."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def progressed(self) -> None:
        """Something came: what fails after it is a new failure."""
        self._made = 0

    def pause(self, error: CallError) -> float | None:
        """Seconds until the next attempt; None if the error is the caller's."""
        self._made += 1
        if self._made >= self._policy.attempts or not self._may_repeat(error):
            return None
        if error.retry_seconds is not None:
            if error.retry_seconds > self._policy.longest_pause_seconds:
                return None
            pause = error.retry_seconds * random.uniform(1.0, 1.2)
        else:
            doubled = self._policy.first_pause_seconds * 2 ** (self._made - 1)
            pause = min(doubled, self._policy.longest_pause_seconds) * random.uniform(0.5, 1.0)
        left = self.remaining()
        return pause if left is None or pause < left else None

    def _may_repeat(self, error: CallError) -> bool:
        if error.reason in NOT_BEGUN:
            return True
        if error.reason:
            return self._safe and error.reason in UNKNOWN_OUTCOME
        return self._safe and error.code in UNREACHED
