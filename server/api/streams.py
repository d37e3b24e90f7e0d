"""Streams live as long as the rights of whoever opened them, whatever method they are of.

One look at all open streams of a process, a few times a second. What is remembered answers, as a
rule, so that a stream costs the database nothing as long as nothing changes; what is not is asked
for each on its own.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from server.platform.loops import Loops, Polling

RECHECK_SECONDS = 0.3
"""Between two looks. With the time until a change is read it is less than a second."""


@dataclass(eq=False, slots=True)
class _Stream:
    """An open stream: how its rights are looked at (see `StreamRights.hold`), and why it is to
    end.
    """

    serving: asyncio.Task[Any]
    remembered: Callable[[], bool]
    recheck: Callable[[], Awaitable[None]]
    refused: Exception | None = None
    checking: asyncio.Task[None] | None = field(default=None)

    def look(self) -> None:
        """Ends the stream if its rights are gone, now or when that is read."""
        try:
            known = self.remembered()
        except Exception as error:  # noqa: BLE001 - raised in the stream, which it ends
            self._cut_off(error)
            return
        if not known and (self.checking is None or self.checking.done()):
            self.checking = asyncio.create_task(self._check(), name="stream-rights-check")

    async def _check(self) -> None:
        try:
            await self.recheck()
        except Exception as error:  # noqa: BLE001 - as above
            self._cut_off(error)

    def _cut_off(self, error: Exception) -> None:
        if self.refused is None:
            self.refused = error
            self.serving.cancel()


class StreamRights:
    """The open streams of a process."""

    def __init__(self, loops: Loops | None = None) -> None:
        self._open: set[_Stream] = set()
        self._loop = (loops or Loops()).add(
            "stream-rights", Polling(self._look, RECHECK_SECONDS, wanted=lambda: bool(self._open))
        )

    async def close(self) -> None:
        """Looks no more."""
        await self._loop.cancel()

    @asynccontextmanager
    async def hold(
        self, remembered: Callable[[], bool], recheck: Callable[[], Awaitable[None]]
    ) -> AsyncIterator[None]:
        """Cuts the block off when its rights are gone, wherever it waits, and raises why in its
        place.

        `remembered` says whether they are known to hold, without waiting; where it does not know,
        `recheck` finds out. Each raises when they are gone.
        """
        serving = asyncio.current_task()
        assert serving is not None
        stream = _Stream(serving, remembered, recheck)
        self._open.add(stream)
        self._loop.start()
        try:
            yield
        except asyncio.CancelledError:
            if stream.refused is None or serving.uncancel():
                raise  # the caller has left
            raise stream.refused from None
        finally:
            self._open.discard(stream)
            if stream.checking:
                stream.checking.cancel()
        if stream.refused is not None:  # it ended by itself at the same moment: nothing to cut off
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
            serving.uncancel()

    async def _look(self) -> None:
        for stream in [*self._open]:
            stream.look()
