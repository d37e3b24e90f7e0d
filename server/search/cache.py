"""What takes long to work out, kept in this process and in Redis for all of them, and never stale.

A value carries the edition of what it was made from and counts only for whoever asks with the same:
a change of the catalogue makes every older value a miss, at once, and a database that was restored
cannot bring one back. Redis holds nothing that cannot be lost: without it each process makes its
own values.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar, cast

from server.platform.metrics import SEARCH_CACHE
from server.platform.redis_client import RedisClient

LOCK_MILLISECONDS = 2_000
"""The process that makes a value has this long to do so before another tries."""
WAIT_SECONDS = 0.5
"""Others wait this long for it, then make the value themselves."""
LOOK_SECONDS = 0.01
JITTER = 0.1
"""Lives are shortened by up to this share, so that what was made together does not expire
together.
"""
MAX_REMEMBERED = 500
"""Values kept in this process, the last used, of some 100 KB each, and as much again for how
queries list them.
"""

V = TypeVar("V")


@dataclass(frozen=True)
class CacheKind(Generic[V]):
    """Values of one kind: the first part of their keys, how long Redis keeps them, and how they
    become bytes and back.
    """

    purpose: str
    seconds: int
    dump: Callable[[V], bytes]
    parse: Callable[[bytes], V]

    @cached_property
    def remembered(self) -> Any:
        """Counts the values that this process had."""
        return SEARCH_CACHE.labels(self.purpose, "memory")


class Cache:
    """The values of this process, and its way to those in Redis."""

    def __init__(self, redis_url: str) -> None:
        self._client = RedisClient(redis_url, "cache")
        self._redis = self._client.redis
        self._values: dict[str, tuple[str, Any]] = {}
        self._making: dict[tuple[str, str], asyncio.Future[Any]] = {}

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    def peek(self, kind: CacheKind[V], name: str, edition: str) -> V | None:
        """The value if this process has it."""
        key = _key(kind, name)
        found = self._values.pop(key, None)
        if found is None or found[0] != edition:
            return None
        self._values[key] = found  # again, as the last used
        kind.remembered.inc()
        return cast("V", found[1])

    async def get(self, kind: CacheKind[V], name: str, edition: str, make: Callable[[], V]) -> V:
        """The value under that name and edition: from here, from Redis, or made; once for all
        who ask meanwhile.
        """
        value = self.peek(kind, name, edition)
        if value is not None:
            return value
        key = _key(kind, name)
        making = self._making.get((key, edition))
        if making is None:
            making = asyncio.ensure_future(self._find(kind, key, edition, make))
            self._making[key, edition] = making
            making.add_done_callback(lambda _: self._making.pop((key, edition)))
        return cast("V", await asyncio.shield(making))

    async def _find(self, kind: CacheKind[V], key: str, edition: str, make: Callable[[], V]) -> V:
        value = await self._read(kind, key, edition)
        lock = f"{key}:lock:{edition}"
        if value is None:
            # who gets the lock looks again: its last holder may have written since
            mine = await self._lock(lock)
            value = await (self._read if mine else self._wait)(kind, key, edition)
            if mine and value is not None:
                await self._client.ask(key, lambda: self._redis.delete(lock), 0)
        source = "redis"
        if value is None:
            source, value = "made", make()
            await self._write(kind, key, edition, value, lock)
        SEARCH_CACHE.labels(kind.purpose, source).inc()
        self._values[key] = edition, value
        if len(self._values) > MAX_REMEMBERED:
            del self._values[next(iter(self._values))]  # the one not used for longest
        return value

    async def _wait(self, kind: CacheKind[V], key: str, edition: str) -> V | None:
        """What another process is making; None if it takes too long."""
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until:
            await asyncio.sleep(LOOK_SECONDS)
            value = await self._read(kind, key, edition)
            if value is not None:
                return value
        return None

    async def _read(self, kind: CacheKind[V], key: str, edition: str) -> V | None:
        async def read() -> V | None:
            stored: Any = await self._redis.get(key)
            prefix = f"{edition}\n".encode()
            if not stored or not stored.startswith(prefix):
                return None
            return kind.parse(stored[len(prefix) :])

        return await self._client.ask(key, read, None)

    async def _lock(self, lock: str) -> bool:
        """Whether this process is to make the value; also without Redis."""
        return bool(
            await self._client.ask(
                lock, lambda: self._redis.set(lock, b"1", nx=True, px=LOCK_MILLISECONDS), True
            )
        )

    async def _write(self, kind: CacheKind[V], key: str, edition: str, value: V, lock: str) -> None:
        seconds = round(kind.seconds * (1 - JITTER * random.random()))  # noqa: S311

        async def write() -> None:
            async with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.set(key, f"{edition}\n".encode() + kind.dump(value), ex=seconds)
                pipeline.delete(lock)
                await pipeline.execute()

        await self._client.ask(key, write, None)


def _key(kind: CacheKind[Any], name: str) -> str:
    return f"{kind.purpose}:{{{name}}}"
