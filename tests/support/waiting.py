"""Waiting for what must come, on a machine of any speed."""

import asyncio
import time
from collections.abc import Awaitable, Callable

WAIT_SECONDS = 60.0
"""So long a test waits for what must come; only a fault takes as long."""
WITHIN_SECONDS = 1.0
"""A change of configuration, or a revocation, holds for every call that begins so long after it."""


async def becomes(expected: object, look: Callable[[], Awaitable[object]]) -> None:
    """Fails unless every look that begins a second from now, or later, gives `expected`."""
    began = time.monotonic()
    while True:
        looked = time.monotonic()
        if (found := await look()) == expected:
            return
        assert looked - began < WITHIN_SECONDS, f"still {found}"
        await asyncio.sleep(0.01)


async def until(holds: Callable[[], bool]) -> None:
    """Waits for what wakes nobody. Raises TimeoutError."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not holds():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)
