"""Requests a minute: of each partner counted in Redis over all processes, of each traveller in each
process by itself.

In any minute, wherever it begins, a partner has as many requests as its limit and no more: Redis
keeps the times of the last ones, by its own clock, which is one for all processes however theirs
go, and it looks and counts in one script, so that no two processes take the last one both.

Redis may be lost: then calls are let through, with a warning in the log and a count in the metrics,
since a limit is there to protect, and refusing all partners would not. Asking Redis costs a call
90 µs of CPU (measured), a bucket of this process five: a partner's limit is agreed on and has to be
exact, a traveller's only keeps one device from taking what is everybody's.
"""

import math
import time
from collections.abc import Hashable
from dataclasses import dataclass

from server.platform.metrics import RATE_LIMIT_FAILURES
from server.platform.redis_client import RedisClient, Script

MINUTE = 60.0
MICROS = 1_000_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a caller's limit: requests a minute, requests left, whole seconds until
    more are free.
    """

    limit: int
    remaining: int
    reset_seconds: int
    allowed: bool


# KEYS[1]: times of the last requests that were let through, in microseconds, the newest first.
# ARGV: the limit; the window in microseconds. Gives: whether it is let through, how many are left,
# and the microseconds until one more is free. Times that are over are dropped a thousand at once at
# the most: what is left of them counts as taken in the second answer alone.
_WINDOW = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local over = now - window
local first = tonumber(redis.call('LINDEX', KEYS[1], limit - 1) or over)
if first > over then
  return {0, 0, first - over}
end
for _ = 1, 1000 do
  first = tonumber(redis.call('LINDEX', KEYS[1], -1) or now)
  if first > over then break end
  redis.call('RPOP', KEYS[1])
end
local count = redis.call('LPUSH', KEYS[1], string.format('%.0f', now))
if count > limit then
  redis.call('LTRIM', KEYS[1], 0, limit - 1)
  count = limit
end
redis.call('PEXPIRE', KEYS[1], window / 1000)
return {1, limit - count, math.max(first - over, 1)}
"""


class RateLimiter:
    """A moving window of one minute for each key."""

    def __init__(self, redis_url: str) -> None:
        self._client = RedisClient(redis_url, "rate_limit")
        self._window = Script(self._client.redis, _WINDOW)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def answers(self) -> bool:
        """Whether Redis does: in a cluster every node that has keys."""
        return await self._client.answers()

    async def hit(self, key: str, limit: int) -> Allowance | None:
        """Counts one request of `key`, unless it is refused; None if Redis did not answer and the
        request is let through.
        """
        name = f"ratelimit:{{{key}}}"

        async def count() -> tuple[int, int, int]:
            allowed, remaining, micros = await self._window([name], [limit, int(MINUTE * MICROS)])
            return int(allowed), int(remaining), int(micros)

        counted = await self._client.ask(name, count, None)
        if counted is None:
            RATE_LIMIT_FAILURES.inc()
            return None
        allowed, remaining, micros = counted
        return Allowance(limit, remaining, math.ceil(micros / MICROS), bool(allowed))


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
