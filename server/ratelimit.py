"""Requests a minute: of each partner counted in Redis over all processes, of each traveller in each process by itself.

Redis may be lost: then calls are let through, with a warning in the log and a count in the metrics, since a limit is
there to protect, and refusing all partners would not. Asking Redis costs a call half a millisecond of CPU (measured), a
bucket of this process five microseconds: a partner's limit is agreed on and has to be exact, a traveller's only keeps one
device from taking what is everybody's.
"""

import asyncio
import math
import time
from collections.abc import Hashable
from dataclasses import dataclass

import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from redis.asyncio import ConnectionPool, Redis

from server.faults import fault_text
from server.metrics import RATE_LIMIT_FAILURES

REDIS_TIMEOUT_SECONDS = 0.25
REDIS_CONNECTIONS = 16
"""Calls beyond it wait for their turn: a burst must not look like a lost Redis, and be let through."""
MINUTE = 60.0
RETRY_REDIS_SECONDS = 1.0
"""After a failure Redis is not asked again for this long, so that its loss costs no call more than the timeout."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a caller's limit: requests a minute, requests left, whole seconds until more are free."""

    limit: int
    remaining: int
    reset_seconds: int
    allowed: bool


class RateLimiter:
    """A moving window of one minute for each key."""

    def __init__(self, redis_url: str) -> None:
        self._pool = ConnectionPool.from_url(
            redis_url,
            socket_timeout=REDIS_TIMEOUT_SECONDS,
            socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
        )
        storage = RedisStorage(
            "async+redis://",
            implementation="redispy",
            key_prefix="ratelimit",
            connection_pool=self._pool,  # type: ignore[arg-type] # as its documentation has it
        )
        self._window = MovingWindowRateLimiter(storage)
        self._turns = asyncio.Semaphore(REDIS_CONNECTIONS)
        self._silent_until = 0.0

    async def close(self) -> None:
        """Closes the connections."""
        await self._pool.disconnect()

    async def answers(self) -> bool:
        """Whether Redis does."""
        try:
            async with asyncio.timeout(2 * REDIS_TIMEOUT_SECONDS):
                return bool(await Redis(connection_pool=self._pool).ping())
        except Exception:  # noqa: BLE001 - whatever the client raises, there was no answer
            return False

    async def hit(self, key: str, limit: int) -> Allowance | None:
        """Counts one request of `key`; None if Redis did not answer and the request is let through."""
        item = RateLimitItemPerMinute(limit)
        async with self._turns:
            if time.monotonic() < self._silent_until:
                RATE_LIMIT_FAILURES.inc()
                return None
            try:
                async with asyncio.timeout(2 * REDIS_TIMEOUT_SECONDS):
                    allowed = await self._window.hit(item, key)
                    stats = await self._window.get_window_stats(item, key)
            except Exception as error:  # noqa: BLE001 - whatever the client raises, the call goes on
                self._silent_until = time.monotonic() + RETRY_REDIS_SECONDS
                RATE_LIMIT_FAILURES.inc()
                log.warning("rate_limit.redis_lost", error=fault_text(error))
                return None
        reset = max(1, math.ceil(stats.reset_time - time.time()))
        return Allowance(limit, stats.remaining, reset, allowed)


class TokenBuckets:
    """Requests a minute of each key, as far as this process serves them: a bucket of a minute's, filled steadily.

    A bucket nobody has drawn from for a minute is full, and forgotten within the next.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._drawn: dict[Hashable, tuple[float, float]] = {}
        self._before: dict[Hashable, tuple[float, float]] = {}
        self._turned = time.monotonic()

    def hit(self, key: Hashable) -> Allowance | None:
        """Counts one request of `key`; None if the limit is 0, which is none."""
        if not self._limit:
            return None
        now = time.monotonic()
        if now - self._turned >= MINUTE:
            self._before, self._drawn, self._turned = self._drawn, {}, now
        full = float(self._limit), now
        left, at = self._drawn.get(key) or self._before.get(key) or full
        left = min(self._limit, left + (now - at) * self._limit / MINUTE)
        allowed = left >= 1
        left -= allowed
        self._drawn[key] = left, now
        seconds = (math.floor(left) + 1 - left) * MINUTE / self._limit
        return Allowance(self._limit, math.floor(left), max(1, math.ceil(seconds)), allowed)
