"""Parts of a process that start, and stop in the reverse order."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Protocol

import structlog

STOP_STEP_SECONDS = 20.0
"""Any part has so long to close; longer than the outbox gives its tasks."""

log = structlog.get_logger()


class ProcessPart(Protocol):
    """What runs from `start` to `stop`."""

    def start(self) -> None:
        """Begins."""

    async def stop(self) -> None:
        """Ends, when what is under way is done."""


def start_part(stack: AsyncExitStack, name: str, part: ProcessPart) -> None:
    """Starts a part, which is stopped when the stack closes."""
    part.start()
    at_stop(stack, name, part.stop)


def at_stop(stack: AsyncExitStack, part: str, stop: Callable[[], Awaitable[None]]) -> None:
    """Has `stop` called at the stop, whose other steps follow whatever becomes of this one."""

    async def closing() -> None:
        try:
            async with asyncio.timeout(STOP_STEP_SECONDS):
                await stop()
        except Exception as error:
            log.warning("server.not_stopped_cleanly", part=part, exc_info=error)

    stack.push_async_callback(closing)
