"""Calls that arrive together share one transaction, each decided on its own: the hot paths' way to commit once for many.

A lane takes all calls that wait, has them worked on together, and answers. While its commit is on the way to the disk the
next lane takes what has arrived since.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, NamedTuple, TypeVar, cast

from prometheus_client import Gauge, Histogram

from server.db import RACE_ATTEMPTS, Database, HotConnection, LostRaceError
from server.errors import DomainError

STALL_SECONDS = 0.05
"""A second lane opens when a call has waited this long, say for a row that somebody has locked: one lane alone gives the
larger transactions."""
LINGER_SECONDS = 0.002
"""While calls come together a lane waits this long for more: a transaction costs as much as several calls in it."""

U = TypeVar("U")
O = TypeVar("O")  # noqa: E741 - outcome


class _Waiting(NamedTuple, Generic[U, O]):
    unit: U
    answer: asyncio.Future[O]
    queued_at: float


class Lanes(Generic[U, O]):
    """Works on calls (units), in `lanes` shared transactions at once of at most `batch` each.

    `work` decides the units it is given in one transaction of its own on the connection and commits it; a unit it refuses
    has a DomainError for an outcome. `size` is what a unit counts in a batch; `told` hears of every outcome and error.
    """

    def __init__(
        self,
        db: Database,
        work: Callable[[HotConnection, list[U]], Awaitable[list[O | DomainError]]],
        *,
        batch: int,
        lanes: int,
        queue: Gauge,
        batches: Histogram,
        size: Callable[[U], int] = lambda _: 1,
        told: Callable[[O | Exception], None] = lambda _: None,
    ) -> None:
        self._db = db
        self._work = work
        self._batch = batch
        self._free_lanes = lanes
        self._queue = queue
        self._batches = batches
        self._size = size
        self._told = told
        self._waiting: deque[_Waiting[U, O]] = deque()
        self._running: set[asyncio.Task[None]] = set()

    def submit(self, unit: U) -> asyncio.Future[O]:
        """Queues a call; the future gives its outcome, or raises it.

        A future that is cancelled before its turn is not worked on. Raises (in the future) what `work` does, CONFLICT and
        DATABASE_UNAVAILABLE: after the latter only a repeat tells what became of the call.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[O] = loop.create_future()
        now = loop.time()
        self._waiting.append(_Waiting(unit, answer, now))
        self._queue.set(len(self._waiting))
        stalled = now - self._waiting[0].queued_at > STALL_SECONDS
        if self._free_lanes and (stalled or not self._running):
            self._free_lanes -= 1
            self._running.add(asyncio.create_task(self._lane(), name="lane"))
        return answer

    async def _lane(self) -> None:
        try:
            while self._waiting:
                try:
                    async with self._db.hot() as hot:
                        await self._serve(hot)
                except Exception as error:  # noqa: BLE001 - those who wait must hear of it
                    self._fail(self._take(), error)
        finally:
            self._free_lanes += 1
            # here, not in a callback: one who submits between the two would wait for a lane that has ended
            self._running.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _serve(self, hot: HotConnection) -> None:
        busy = False
        while self._waiting and not hot.is_lost:
            await asyncio.sleep(LINGER_SECONDS if busy else 0)
            taken = self._take()
            busy = len(taken) > 1
            if taken:
                await self._run(hot, taken)

    def _take(self) -> list[_Waiting[U, O]]:
        taken: list[_Waiting[U, O]] = []
        size = 0
        while self._waiting and size < self._batch:
            waiting = self._waiting.popleft()
            if not waiting.answer.done():
                taken.append(waiting)
                size += self._size(waiting.unit)
        self._queue.set(len(self._waiting))
        return taken

    async def _run(self, hot: HotConnection, taken: list[_Waiting[U, O]]) -> None:
        self._batches.observe(len(taken))
        try:
            outcomes = await self._work(hot, [waiting.unit for waiting in taken])
        except LostRaceError as error:
            # the race of one call must not cost the others: each again, on its own
            for waiting in taken:
                await self._run_alone(hot, waiting, error)
        except Exception as error:  # noqa: BLE001 - whatever happened, those who wait must hear of it
            self._fail(taken, error)
        else:
            self._answer(taken, outcomes)

    async def _run_alone(
        self, hot: HotConnection, waiting: _Waiting[U, O], error: Exception
    ) -> None:
        for _ in range(RACE_ATTEMPTS):
            try:
                outcomes = await self._work(hot, [waiting.unit])
            except LostRaceError as lost:
                error = lost
            except Exception as fault:  # noqa: BLE001 - as above
                error = fault
                break
            else:
                return self._answer([waiting], outcomes)
        return self._fail([waiting], error)

    def _answer(self, taken: Iterable[_Waiting[U, O]], outcomes: Iterable[O | DomainError]) -> None:
        for waiting, outcome in zip(taken, outcomes, strict=True):
            if isinstance(outcome, DomainError):
                self._fail([waiting], outcome)
                continue
            self._told(outcome)
            if not waiting.answer.done():
                waiting.answer.set_result(outcome)

    def _fail(self, taken: Iterable[_Waiting[U, O]], error: Exception) -> None:
        for waiting in taken:
            self._told(error)
            if not waiting.answer.done():
                waiting.answer.set_exception(error)
