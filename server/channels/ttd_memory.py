"""What a process remembers for a second of a channel that calls it often."""

import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")

SECONDS = 1.0
"""A change counts so much later at the latest, as every change of configuration may."""
MOST = 1_000
"""Channels remembered; names that nobody has are not."""


class ForASecond(Generic[Value]):
    """Remembers what was read for each channel, and reads it anew after SECONDS."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, Value]] = {}

    async def get(self, channel_code: str, read: Callable[[], Awaitable[Value]]) -> Value:
        """What is remembered, or read now. Raises what `read` does."""
        now = time.monotonic()
        if (known := self._known.get(channel_code)) and now - known[0] < SECONDS:
            return known[1]
        value = await read()
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[channel_code] = now, value
        return value
