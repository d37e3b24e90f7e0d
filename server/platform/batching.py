"""Calls that arrive together share one transaction, each decided on its own: one commit for many.

A worker takes all calls that wait, has them worked on together, and answers. While its commit is on
the way to the disk the next worker takes what has arrived since.

No call waits for a row that another call needs: what somebody else has locked is left out, tried
again a few times within a quarter of a second, since an ordinary race is over by then, and refused
with CONFLICT if it is locked still.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, cast

from prometheus_client import Gauge, Histogram

from server.platform import clock, idempotency
from server.platform.database import RACE_ATTEMPTS, Database
from server.platform.driver_errors import LockedError, LostRaceError
from server.platform.errors import DomainError
from server.platform.idempotency import KeptAnswer, KeyedCall
from server.platform.metrics import LOCKED_CALLS
from server.platform.pipeline import PipelineConnection
from server.platform.statements import Command, commit_with, run_all, with_next

SECOND_WORKER_SECONDS = 0.05
"""A second worker opens when a call has waited this long, say for a row that somebody has locked:
one worker alone gives the larger transactions.
"""
BATCH_WINDOW_SECONDS = 0.002
"""While calls come together a worker waits this long for more: a transaction costs as much as
several calls in it.
"""

RETRIES_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08)
"""How long a call whose row is locked is put off, each time; then it is CONFLICT."""
SKIP_LOCKED_SECONDS = 1.0
"""So long after a time-out no shared transaction waits for a lock."""
MOST_WAITS = 4
"""So many calls of a transaction that failed wait for a lock, each on its own; those after them
are put off.
"""

U = TypeVar("U")
F = TypeVar("F")
O = TypeVar("O")  # noqa: E741 - outcome
U_contra = TypeVar("U_contra", contravariant=True)
F_co = TypeVar("F_co", covariant=True)


class _Waiting(NamedTuple, Generic[U, O]):
    unit: U
    answer: asyncio.Future[O]
    queued_at: float
    retries: int = 0


class Read(Protocol[U_contra, F_co]):
    """Locks and reads all that the units need, and gives it as the facts of the transaction.

    What needs no transaction comes before its first statement, with which that begins. With
    `skip_locked` what somebody else has locked is passed over, as far as one can tell; else it may
    wait, and raises LockedError where that was in vain.
    """

    async def __call__(  # noqa: D102
        self, tx: PipelineConnection, units: Sequence[U_contra], /, *, skip_locked: bool
    ) -> F_co: ...


@dataclass(frozen=True, slots=True)
class Idempotency(Generic[U, O]):
    """How calls are repeated: which `call` a unit is, if it may be, and how an outcome is kept."""

    call: Callable[[U], KeyedCall | None]
    dump: Callable[[O], bytes]
    load: Callable[[bytes], O]


@dataclass(frozen=True, slots=True)
class Work(Generic[U, F, O]):
    """What is done for the calls (units) of one transaction, a single one being a batch of one.

    `decide` gives the outcome of one unit by the facts, in which it notes what the units after it
    are to see and what is to be written. It raises a DomainError that refuses the unit, or
    LockedError if a row of it is locked, and then it has noted nothing. `write` gives the commands
    that write what was decided; they share the round trip of the commit.
    """

    read: Read[U, F]
    decide: Callable[[U, F], O]
    write: Callable[[PipelineConnection, F], Awaitable[Iterable[Command[Any] | None]]]
    repeats: Idempotency[U, O] | None = None


class Batcher(Generic[U, F, O]):
    """Works on calls (units), in `workers` shared transactions at once of at most `batch` each.

    A repeat of a call gets the outcome of the first, also within a batch, or IDEMPOTENCY_MISMATCH.
    `size` is what a unit counts in a batch; `on_result` hears of every outcome and error, after
    the commit.

    Attributes:
        retries_seconds: how long a call whose row is locked is put off, each time.
    """

    def __init__(
        self,
        db: Database,
        work: Work[U, F, O],
        *,
        batch: int,
        workers: int,
        queue: Gauge,
        batches: Histogram,
        size: Callable[[U], int] = lambda _: 1,
        on_result: Callable[[O | Exception], None] = lambda _: None,
    ) -> None:
        self._db = db
        self._work = work
        self._batch = batch
        self._free_workers = workers
        self._queue = queue
        self._batches = batches
        self._size = size
        self._on_result = on_result
        self.retries_seconds: Sequence[float] = RETRIES_SECONDS
        self._skip_locked_until = 0.0
        self._waiting: deque[_Waiting[U, O]] = deque()
        self._running: set[asyncio.Task[None]] = set()

    def submit(self, unit: U) -> asyncio.Future[O]:
        """Queues a call; the future gives its outcome, or raises it.

        A future that is cancelled before its turn is not worked on. Raises (in the future) what
        `work` does, CONFLICT and DATABASE_UNAVAILABLE: after the latter only a repeat tells what
        became of the call.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[O] = loop.create_future()
        self._enqueue(_Waiting(unit, answer, loop.time()))
        return answer

    def _enqueue(self, waiting: _Waiting[U, O]) -> None:
        self._waiting.append(waiting)
        self._queue.set(len(self._waiting))
        is_late = waiting.queued_at - self._waiting[0].queued_at > SECOND_WORKER_SECONDS
        if self._free_workers and (is_late or not self._running):
            self._free_workers -= 1
            self._running.add(asyncio.create_task(self._worker(), name="batch worker"))

    async def _worker(self) -> None:
        try:
            while self._waiting:
                try:
                    async with self._db.pipeline() as pipeline:
                        await self._serve(pipeline)
                except Exception as error:  # noqa: BLE001 - those who wait must hear of it
                    self._fail(self._take(), error)
        finally:
            self._free_workers += 1
            # here, not in a callback: one who submits between the two would wait for a worker that
            # has ended
            self._running.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _serve(self, pipeline: PipelineConnection) -> None:
        busy = False
        while self._waiting and not pipeline.is_lost:
            await asyncio.sleep(BATCH_WINDOW_SECONDS if busy else 0)
            taken = self._take()
            busy = len(taken) > 1
            if taken:
                await self._run(pipeline, taken)

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

    async def _run(self, pipeline: PipelineConnection, taken: list[_Waiting[U, O]]) -> None:
        self._batches.observe(len(taken))
        try:
            outcomes = await self._run_together(pipeline, [waiting.unit for waiting in taken])
        except LostRaceError as error:
            # the race of one call must not cost the others: each again, on its own
            await self._run_one_by_one(pipeline, taken, error)
        # whatever happened, those who wait must hear of it
        except Exception as error:  # noqa: BLE001
            self._fail(taken, error)
        else:
            self._answer(taken, outcomes)

    async def _run_together(
        self, pipeline: PipelineConnection, units: list[U]
    ) -> list[O | DomainError]:
        loop = asyncio.get_running_loop()
        if loop.time() >= self._skip_locked_until:
            try:
                return await self._transact(pipeline, units, skip_locked=False)
            except LockedError:
                self._skip_locked_until = loop.time() + SKIP_LOCKED_SECONDS
        return await self._transact(pipeline, units, skip_locked=True)

    async def _transact(
        self, tx: PipelineConnection, units: list[U], *, skip_locked: bool
    ) -> list[O | DomainError]:
        """One transaction: reads, decides each unit, writes and commits. An outcome or a refusal
        for each.
        """
        work = self._work
        calls = [work.repeats.call(unit) if work.repeats else None for unit in units]
        async with tx.transaction():
            found = with_next(tx, idempotency.read([call.key for call in calls if call]))
            facts = await work.read(tx, units, skip_locked=skip_locked)
            await run_all(tx, [])  # had `read` nothing to ask
            kept = _Answers(work.repeats, found)
            outcomes: list[O | DomainError] = []
            for unit, call in zip(units, calls, strict=True):
                outcome = kept.find(call)
                if outcome is None:
                    outcome = kept.keep(call, _decided(work.decide, unit, facts))
                outcomes.append(outcome)
            commands = await work.write(tx, facts)
            await commit_with(tx, [*commands, idempotency.store(kept.fresh, now=clock.now())])
        return outcomes

    async def _run_one_by_one(
        self, pipeline: PipelineConnection, taken: list[_Waiting[U, O]], error: LostRaceError
    ) -> None:
        waits = 0
        for waiting in taken:
            if waits < MOST_WAITS:
                waits += await self._run_alone(pipeline, waiting, error)
            else:  # others wait after them
                self._answer([waiting], [LockedError()])

    async def _run_alone(
        self, pipeline: PipelineConnection, waiting: _Waiting[U, O], error: Exception
    ) -> bool:
        """Whether it had to wait for a lock, in vain."""
        for _ in range(RACE_ATTEMPTS):
            try:
                outcomes = await self._transact(pipeline, [waiting.unit], skip_locked=True)
            except LockedError as locked:
                self._fail([waiting], locked)
                return True
            except LostRaceError as lost:
                error = lost
            except Exception as fault:  # noqa: BLE001 - as above
                error = fault
                break
            else:
                self._answer([waiting], outcomes)
                return False
        self._fail([waiting], error)
        return False

    def _answer(self, taken: Iterable[_Waiting[U, O]], outcomes: Iterable[O | DomainError]) -> None:
        for waiting, outcome in zip(taken, outcomes, strict=True):
            if isinstance(outcome, LockedError) and waiting.retries < len(self.retries_seconds):
                self._put_off(waiting)
                continue
            if isinstance(outcome, DomainError):
                self._fail([waiting], outcome)
                continue
            self._on_result(outcome)
            if not waiting.answer.done():
                waiting.answer.set_result(outcome)

    def _put_off(self, waiting: _Waiting[U, O]) -> None:
        LOCKED_CALLS.labels("RETRIED").inc()
        loop, seconds = asyncio.get_running_loop(), self.retries_seconds[waiting.retries]
        again = waiting._replace(queued_at=loop.time() + seconds, retries=waiting.retries + 1)
        loop.call_later(seconds, self._enqueue, again)

    def _fail(self, taken: Iterable[_Waiting[U, O]], error: Exception) -> None:
        for waiting in taken:
            if isinstance(error, LockedError):
                LOCKED_CALLS.labels("REFUSED").inc()
            self._on_result(error)
            if not waiting.answer.done():
                waiting.answer.set_exception(error)


def _decided(decide: Callable[[U, F], O], unit: U, facts: F) -> O | DomainError:
    try:
        return decide(unit, facts)
    except DomainError as refusal:
        return refusal


class _Answers(Generic[U, O]):
    """The first answers of the calls of one transaction: those that were read, and fresh ones."""

    def __init__(self, repeats: Idempotency[U, O] | None, found: Iterable[KeptAnswer]) -> None:
        self._repeats = repeats
        self._known = {answer.key: answer for answer in found}
        self.fresh: list[KeptAnswer] = []

    def find(self, call: KeyedCall | None) -> O | DomainError | None:
        """The answer of a repeat; None if there is none yet."""
        answer = self._known.get(call.key) if call else None
        if answer is None or call is None or self._repeats is None:
            return None
        if answer.content_hash != call.content_hash:
            return idempotency.mismatch(call.request_id)
        return self._repeats.load(answer.answer)

    def keep(self, call: KeyedCall | None, outcome: O | DomainError) -> O | DomainError:
        """Keeps an outcome for repeats; a refusal is decided anew."""
        if call and self._repeats and not isinstance(outcome, DomainError):
            answer = KeptAnswer(call.key, call.content_hash, self._repeats.dump(outcome))
            self._known[call.key] = answer
            self.fresh.append(answer)
        return outcome
