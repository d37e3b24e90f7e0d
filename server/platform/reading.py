"""Calls that only read, and come together, are read for together: each statement once for many.

A few readers, each with a connection of its own, take turns at what there is to read (looks at QR
codes, orders, seats left): a reader takes all calls of a kind that wait, reads for them in one
round trip without BEGIN and COMMIT, and answers them. What comes meanwhile is read for after that,
and never given what an earlier call has had read: so a call sees all that was committed before it
came.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, NamedTuple, Protocol, TypeAlias, TypeVar, cast

from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from server.platform.metrics import READ_BATCH, READ_QUEUE
from server.platform.pipeline import PipelineConnection

READERS = 2
"""So many round trips at once, of different kinds: batches of one kind are larger the fewer of
them there are.
"""
KEEP_SECONDS = 0.5
"""So long a reader keeps its connection for the next call: to take one from the pool costs more
than a statement does.
"""
MAX_BATCH = 256
"""Calls that are read for in one round trip."""

U = TypeVar("U")
O = TypeVar("O")  # noqa: E741 - outcome
O_co = TypeVar("O_co", covariant=True)
U_contra = TypeVar("U_contra", contravariant=True)
Outcome: TypeAlias = O | DomainError


class ReadTogether(Protocol[U_contra, O_co]):
    """Reads for all these calls (units): an outcome for each in their order, or the DomainError
    that refuses it.

    Its statements run without a transaction: each sees what is committed when it begins.
    """

    async def __call__(  # noqa: D102
        self, tx: PipelineConnection, units: Sequence[U_contra], /
    ) -> "Sequence[O_co | DomainError]": ...


class Readers:
    """The readers of a process, which `ReadBatcher`s share; to be stopped before the database is
    closed.
    """

    def __init__(self, db: Database, *, readers: int = READERS) -> None:
        self._db = db
        self._most = readers
        self._due: asyncio.Queue[ReadBatcher[object, object]] = asyncio.Queue()
        self._idle = 0
        self._running: set[asyncio.Task[None]] = set()

    async def stop(self) -> None:
        """Ends the readers, and gives their connections back."""
        running = [*self._running]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def schedule(self, batcher: "ReadBatcher[object, object]") -> None:
        """Has a reader read for the calls that wait there."""
        self._due.put_nowait(batcher)
        if self._idle < self._due.qsize() and len(self._running) < self._most:
            self._running.add(asyncio.create_task(self._run(), name="reader"))

    async def _run(self) -> None:
        try:
            await self._serve()
        finally:
            # here, not in a callback: what is due between the two would wait for a reader that has
            # ended
            self._running.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _serve(self) -> None:
        batcher = await self._next()
        while batcher is not None:
            try:
                async with self._db.pipeline() as pipeline:
                    while batcher is not None:
                        await batcher.read(pipeline)
                        batcher = None if pipeline.is_lost else await self._next()
            except Exception as error:  # noqa: BLE001 - those who wait must hear of it
                if batcher is not None:
                    batcher.refuse(error)
            batcher = await self._next()

    async def _next(self) -> "ReadBatcher[object, object] | None":
        """Where calls wait; None if none come within KEEP_SECONDS."""
        if not self._due.empty():
            return self._due.get_nowait()
        self._idle += 1
        try:
            async with asyncio.timeout(KEEP_SECONDS):
                return await self._due.get()
        except TimeoutError:  # at the moment when something became due, maybe
            return None if self._due.empty() else self._due.get_nowait()
        finally:
            self._idle -= 1


class _Waiting(NamedTuple, Generic[U, O]):
    unit: U
    answer: asyncio.Future[O]


class ReadBatcher(Generic[U, O]):
    """Reads for calls (units) of one kind, one batch after the other, each of at most `limit`.

    `kind` names it in the metrics; `size` is what a unit counts in a batch.
    """

    def __init__(
        self,
        readers: Readers,
        read: ReadTogether[U, O],
        *,
        kind: str,
        limit: int = MAX_BATCH,
        size: Callable[[U], int] = lambda _: 1,
    ) -> None:
        self._readers = readers
        self._read = read
        self._limit = limit
        self._size = size
        self._queue = READ_QUEUE.labels(kind)
        self._batches = READ_BATCH.labels(kind)
        self._waiting: deque[_Waiting[U, O]] = deque()
        self._is_scheduled = False

    def submit(self, unit: U) -> asyncio.Future[O]:
        """Queues a call; the future gives its outcome, or raises its refusal.

        A future that is cancelled before its turn is not read for. Raises (in the future) what
        `read` does for this unit, and DATABASE_UNAVAILABLE.
        """
        answer: asyncio.Future[O] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(unit, answer))
        self._queue.set(len(self._waiting))
        if not self._is_scheduled:
            self._schedule()
        return answer

    def _schedule(self) -> None:
        self._is_scheduled = bool(self._waiting)
        if self._waiting:
            self._readers.schedule(cast("ReadBatcher[object, object]", self))

    async def read(self, pipeline: PipelineConnection) -> None:
        """Reads for those who wait, and answers them. Raises nothing: they hear of errors."""
        await asyncio.sleep(0)  # who comes at the same moment comes along
        try:
            if taken := self._take():
                self._batches.observe(len(taken))
                await self._read_for(pipeline, taken)
        finally:
            self._schedule()

    def refuse(self, error: Exception) -> None:
        """Tells those who wait that there is no reading for them."""
        _fail(self._take(), error)
        self._schedule()

    def _take(self) -> list[_Waiting[U, O]]:
        taken: list[_Waiting[U, O]] = []
        size = 0
        while self._waiting and size < self._limit:
            waiting = self._waiting.popleft()
            if not waiting.answer.done():
                taken.append(waiting)
                size += self._size(waiting.unit)
        self._queue.set(len(self._waiting))
        return taken

    async def _read_for(
        self, pipeline: PipelineConnection, taken: Sequence[_Waiting[U, O]]
    ) -> None:
        try:
            async with pipeline.autocommit():
                outcomes = await self._read(pipeline, [waiting.unit for waiting in taken])
            _answer(taken, outcomes)
        except Exception as error:  # noqa: BLE001 - those who wait must hear of it
            if len(taken) == 1 or _is_away(error):
                _fail(taken, error)
                return
            # what is wrong with one call is not to be the others' fault: each again, on its own
            for waiting in taken:
                await self._read_for(pipeline, [waiting])
        except asyncio.CancelledError:  # the readers are stopped
            for waiting in taken:
                waiting.answer.cancel()
            raise


def _is_away(error: Exception) -> bool:
    return isinstance(error, DomainError) and error.reason is Reason.DATABASE_UNAVAILABLE


def _answer(taken: Iterable[_Waiting[U, O]], outcomes: Iterable[Outcome[O]]) -> None:
    for waiting, outcome in zip(taken, outcomes, strict=True):
        if isinstance(outcome, DomainError):
            _fail([waiting], outcome)
        elif not waiting.answer.done():
            waiting.answer.set_result(outcome)


def _fail(taken: Iterable[_Waiting[U, O]], error: Exception) -> None:
    for waiting in taken:
        if not waiting.answer.done():
            waiting.answer.set_exception(error)
