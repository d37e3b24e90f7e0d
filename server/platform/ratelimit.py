"""Requests a minute: of each partner counted in Redis over all processes, of each traveller in each
process by itself.

Redis may be lost: then calls are let through, with a warning in the log and a count in the metrics,
since a limit is there to protect, and refusing all partners would not. Asking Redis costs a call
half a millisecond of CPU (measured), a bucket of this process five microseconds: a partner's limit
is agreed on and has to be exact, a traveller's only keeps one device from taking what is
everybody's.
"""

import math
import time
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from limits import RateLimitItemPerMinute, WindowStats
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter

from server.platform.metrics import RATE_LIMIT_FAILURES
from server.platform.redis_client import RedisClient, Script

MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a caller's limit: requests a minute, requests left, whole seconds until
    more are free.
    """

    limit: int
    remaining: int
    reset_seconds: int
    allowed: bool


class RateLimiter:
    """A moving window of one minute for each key."""

    def __init__(self, redis_url: str) -> None:
        self._client = RedisClient(redis_url, "rate_limit")
        self._window = MovingWindowRateLimiter(_Storage(self._client.redis))

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def answers(self) -> bool:
        """Whether Redis does: in a cluster every node that has keys."""
        return await self._client.answers()

    async def hit(self, key: str, limit: int) -> Allowance | None:
        """Counts one request of `key`; None if Redis did not answer and the request is let
        through.
        """
        item = RateLimitItemPerMinute(limit)
        tagged = f"{{{key}}}"

        async def count() -> tuple[bool, WindowStats] | None:
            allowed = await self._window.hit(item, tagged)
            return allowed, await self._window.get_window_stats(item, tagged)

        counted = await self._client.ask(tagged, count, None)
        if counted is None:
            RATE_LIMIT_FAILURES.inc()
            return None
        allowed, stats = counted
        reset = max(1, math.ceil(stats.reset_time - time.time()))
        return Allowance(limit, stats.remaining, reset, allowed)


class _Storage(RedisStorage):
    """The library's windows over our own client; keys are `ratelimit:LIMITER/{partner:7}/…`."""

    # the library loads each client that it finds installed: Valkey's comes with the embedded one
    DEPENDENCIES = {"redis": RedisStorage.DEPENDENCIES["redis"]}  # noqa: RUF012 - as there

    def __init__(self, redis: Any) -> None:
        self._redis = redis
        super().__init__("async+redis://", implementation="redispy", key_prefix="ratelimit")
        bridge: Any = self.bridge
        bridge.lua_moving_window = Script(redis, bridge.SCRIPT_MOVING_WINDOW)
        bridge.lua_acquire_moving_window = Script(redis, bridge.SCRIPT_ACQUIRE_MOVING_WINDOW)

    def configure_bridge(self) -> None:
        """Called by the library, for the client."""
        bridge: Any = self.bridge
        bridge.storage = self._redis
        bridge.connection_getter = lambda _: self._redis


class TokenBuckets:
    """Requests a minute of each key, as far as this process serves them: a bucket of a minute's,
    filled steadily.

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
