"""Sends what is due to outside parties: the part that every dispatcher has, whatever it sends.

A look takes what is due under a lease and begins an attempt at each. What became of the attempts is
written a few times a second for all together; what could not be written is written with the next.
An attempt whose outcome was never written is made again when its lease is over.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Generic, TypeVar

import structlog

from server.platform.database import Database
from server.platform.faults import fault_text
from server.platform.loops import Due, Look, Loops, Polling

POLL_SECONDS = 0.5
SPACING_SECONDS = 0.02
SETTLE_SECONDS = 0.03
"""Between two writings of outcomes: so long, at the most, what was sent looks as if it had not
been.
"""
STOP_SECONDS = 5.0
"""How long attempts under way may still take when the process stops."""

O = TypeVar("O")  # noqa: E741 - outcome

log = structlog.get_logger()


class Dispatch(Generic[O]):
    """Two loops: one looks for what is due, the other writes outcomes.

    Args:
        db: where the look and the writing happen.
        name: of the look's loop; `outcomes` is that of the other.
        look: takes what is due and calls `begin` for each.
        due: whether a look would find something; see `Polling`.
        settle: writes outcomes, all or none.
        channels: whose notifications have it look at once.
        loops: those of the process.
    """

    def __init__(
        self,
        db: Database,
        name: str,
        look: Look,
        settle: Callable[[Sequence[O]], Awaitable[None]],
        *,
        outcomes: str,
        due: Due,
        channels: Sequence[str],
        loops: Loops | None,
    ) -> None:
        self._db = db
        self._name = name
        self._write = settle
        self._channels = channels
        self._running: set[asyncio.Task[None]] = set()
        self._outcomes: list[O] = []
        loops = loops or Loops()
        self._looking = loops.add(
            name,
            Polling(
                look,
                POLL_SECONDS,
                spacing_seconds=SPACING_SECONDS,
                at_once=True,
                tolerated=(Exception,),  # one look that fails must not be the last
                due=due,
            ),
        )
        self._settling = loops.add(
            outcomes,
            Polling(
                self._settle,
                POLL_SECONDS,
                spacing_seconds=SETTLE_SECONDS,
                tolerated=(Exception,),  # what is not written is sent again
            ),
        )

    @property
    def under_way(self) -> int:
        """How many attempts are."""
        return len(self._running)

    def begin(self, attempt: Coroutine[object, object, O]) -> None:
        """Makes an attempt in the background; it returns its outcome."""
        task = asyncio.create_task(self._attempt(attempt), name=self._name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(lambda _: attempt.close())  # it may be cancelled before it began

    def start(self) -> None:
        """Begins to look, at once, and after commits that notify."""
        for channel in self._channels:
            self._db.notifications.listen(channel, self._looking.wake)
        self._settling.start()
        self._looking.start()

    async def stop(self) -> None:
        """Takes no more, and lets attempts under way end for a while; the rest are made again."""
        for channel in self._channels:
            self._db.notifications.unlisten(channel, self._looking.wake)
        await self._looking.end()
        if self._running:
            await asyncio.wait(list(self._running), timeout=STOP_SECONDS)
        left = list(self._running)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._settling.end()
        try:
            await self._settle()
        except Exception as error:  # noqa: BLE001 - they are made again
            log.warning("dispatch.not_written", dispatcher=self._name, error=fault_text(error))

    async def _attempt(self, attempt: Coroutine[object, object, O]) -> None:
        try:
            outcome = await attempt
            # to the list of now: that of before the attempt may have been written meanwhile
            self._outcomes.append(outcome)
        finally:
            self._settling.wake()

    async def _settle(self) -> None:
        outcomes, self._outcomes = self._outcomes, []
        if not outcomes:
            return
        try:
            await self._write(outcomes)
        except Exception:
            self._outcomes = outcomes + self._outcomes
            raise
        self._looking.wake()
