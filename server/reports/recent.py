"""What many look at again and again, worked out once every few seconds for all of them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

MOST_KEPT = 64
"""Values of a process, the last made; each is some ten kilobytes."""

V = TypeVar("V")


class Recent(Generic[V]):
    """Values of a process, each up to `seconds` old; of those who ask for one at the same time, one
    makes it.

    Attributes:
        made: how many were made.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._found: dict[Hashable, tuple[float, asyncio.Future[V]]] = {}
        self.made = 0

    async def get(self, key: Hashable, make: Callable[[], Awaitable[V]]) -> V:
        """The value of the key; raises what `make` raises, to all who wait for it.

        It is made in a task of its own: whoever asked for it may go away.
        """
        kept = self._found.get(key)
        if kept is None or self._is_over(*kept):
            self.made += 1
            future = asyncio.ensure_future(make())
            future.add_done_callback(_looked_at)
            self._found.pop(key, None)
            self._found[key] = kept = time.monotonic(), future
            if len(self._found) > MOST_KEPT:
                del self._found[next(iter(self._found))]
        return await asyncio.shield(kept[1])

    def _is_over(self, began: float, future: "asyncio.Future[V]") -> bool:
        if not future.done():
            return False
        failed = future.cancelled() or future.exception() is not None
        return failed or time.monotonic() - began > self._seconds


def _looked_at(future: "asyncio.Future[V]") -> None:
    """Nobody may be there any more to hear of an error."""
    if not future.cancelled():
        future.exception()
