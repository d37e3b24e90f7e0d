"""Calls that arrive together share one transaction, each decided on its own: one commit for many.

A call is prepared when it arrives, while the calls before it are in their transaction. A worker
takes all calls that wait, has them worked on together, and answers.

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
"""A second worker takes those who wait when a batch takes this long, say for a row that somebody
has locked: one worker alone gives the larger batches, and two do not finish sooner.
"""
BATCH_WINDOW_SECONDS = 0.004
"""So long a worker waits at most for those who are likely to call: a transaction costs as much as
several calls in it.
"""
CALLS_AGAIN_SECONDS = 0.02
"""Who has just been answered is likely to call again within this time."""

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
    retries: int = 0


class _InWork(NamedTuple):
    calls: int
    begun: float


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

    `prepare` does for one unit, when it arrives, what needs no transaction; it does not wait, and
    what it finds out is kept in the unit, a refusal too. `read` does it again where it is out of
    date, and where there was no time for it.

    `decide` gives the outcome of one unit by the facts, in which it notes what the units after it
    are to see and what is to be written. It raises a DomainError that refuses the unit, or
    LockedError if a row of it is locked, and then it has noted nothing. `write` gives the commands
    that write what was decided; they share the round trip of the commit.
    """

    read: Read[U, F]
    decide: Callable[[U, F], O]
    write: Callable[[PipelineConnection, F], Awaitable[Iterable[Command[Any] | None]]]
    repeats: Idempotency[U, O] | None = None
    prepare: Callable[[U], None] = lambda _: None


class Batcher(Generic[U, F, O]):
    """Works on calls (units), in `workers` shared transactions at once of at most `batch` each.

    A repeat of a call gets the outcome of the first, also within a batch, or IDEMPOTENCY_MISMATCH.
    `size` is what a unit counts in a batch; `on_result` hears of every unit's outcome or error,
    after the commit.

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
        on_result: Callable[[U, O | Exception], None] = lambda _, __: None,
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
        self._in_work: dict[int, _InWork] = {}
        self._second_worker: asyncio.TimerHandle | None = None
        self._batches_begun = 0
        self._expected = 0
        self._expected_until = 0.0
        self._gathered: asyncio.Future[None] | None = None

    def submit(self, unit: U) -> asyncio.Future[O]:
        """Queues a call; the future gives its outcome, or raises it.

        A future that is cancelled before its turn is not worked on. Raises (in the future) what
        `work` does, CONFLICT and DATABASE_UNAVAILABLE: after the latter only a repeat tells what
        became of the call.
        """
        answer: asyncio.Future[O] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(unit, answer)
        try:
            self._work.prepare(unit)
        except Exception as error:  # noqa: BLE001 - who waits must hear of it
            self._fail([waiting], error)
        else:
            self._enqueue(waiting)
        return answer

    def _enqueue(self, waiting: _Waiting[U, O]) -> None:
        self._waiting.append(waiting)
        self._queue.set(len(self._waiting))
        if self._gathered:
            if len(self._waiting) >= self._wanted:
                _end(self._gathered)
        elif not self._running:
            self._start_worker()
        elif self._second_worker is None:
            self._start_second()

    def _start_worker(self) -> None:
        self._free_workers -= 1
        self._running.add(asyncio.create_task(self._worker(), name="batch worker"))

    def _start_second(self) -> None:
        """Has one more worker take those who wait, if no other does soon, and looks again when
        the batches that are worked on have taken too long.
        """
        self._second_worker = None
        are_all_at_work = len(self._running) == len(self._in_work) > 0
        if not self._waiting or not self._free_workers or not are_all_at_work:
            return
        loop = asyncio.get_running_loop()
        late = max(batch.begun for batch in self._in_work.values()) + SECOND_WORKER_SECONDS
        if loop.time() >= late:
            self._start_worker()
        else:
            self._second_worker = loop.call_at(late, self._start_second)

    async def _worker(self) -> None:
        try:
            goes_on = True
            while goes_on and self._waiting and not self._gathered:
                try:
                    async with self._db.pipeline() as pipeline:
                        goes_on = await self._serve(pipeline)
                except Exception as error:  # noqa: BLE001 - those who wait must hear of it
                    self._fail(self._take(), error)
        finally:
            self._free_workers += 1
            # here, not in a callback: one who submits between the two would wait for a worker that
            # has ended
            self._running.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _serve(self, pipeline: PipelineConnection) -> bool:
        """Whether the worker is to go on, if calls wait.

        Not while a batch is worked on that began later: its worker takes those who wait now with
        those whom it answers, in one batch instead of two.
        """
        while self._waiting and not self._gathered and not pipeline.is_lost:
            await self._gather()
            self._batches_begun = number = self._batches_begun + 1
            if taken := self._take():
                await self._run(pipeline, number, taken)
            if any(other > number for other in self._in_work):
                return False
        return True

    @property
    def _wanted(self) -> int:
        """How many calls make a batch as large as it is likely to become."""
        return min(self._expected, self._batch)

    async def _gather(self) -> None:
        """Waits for those who are likely to call, unless all of them have: as many as were waiting
        or worked on when calls were last answered. A single caller never waits.
        """
        loop = asyncio.get_running_loop()
        if len(self._waiting) >= self._wanted or loop.time() > self._expected_until:
            return
        self._gathered = gathered = loop.create_future()
        timer = loop.call_later(BATCH_WINDOW_SECONDS, _end, gathered)
        try:
            await gathered
        finally:
            timer.cancel()
            self._gathered = None

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

    async def _run(
        self, pipeline: PipelineConnection, number: int, taken: list[_Waiting[U, O]]
    ) -> None:
        self._batches.observe(len(taken))
        self._in_work[number] = _InWork(len(taken), asyncio.get_running_loop().time())
        try:
            await self._work_on(pipeline, taken)
        finally:
            del self._in_work[number]

    async def _work_on(self, pipeline: PipelineConnection, taken: list[_Waiting[U, O]]) -> None:
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

    def _expect_again(self) -> None:
        self._expected = sum(batch.calls for batch in self._in_work.values()) + len(self._waiting)
        self._expected_until = asyncio.get_running_loop().time() + CALLS_AGAIN_SECONDS

    def _answer(self, taken: Iterable[_Waiting[U, O]], outcomes: Iterable[O | DomainError]) -> None:
        self._expect_again()
        for waiting, outcome in zip(taken, outcomes, strict=True):
            if isinstance(outcome, LockedError) and waiting.retries < len(self.retries_seconds):
                self._put_off(waiting)
                continue
            if isinstance(outcome, DomainError):
                self._fail([waiting], outcome)
                continue
            self._on_result(waiting.unit, outcome)
            if not waiting.answer.done():
                waiting.answer.set_result(outcome)

    def _put_off(self, waiting: _Waiting[U, O]) -> None:
        LOCKED_CALLS.labels("RETRIED").inc()
        loop, seconds = asyncio.get_running_loop(), self.retries_seconds[waiting.retries]
        again = waiting._replace(retries=waiting.retries + 1)
        loop.call_later(seconds, self._enqueue, again)

    def _fail(self, taken: Iterable[_Waiting[U, O]], error: Exception) -> None:
        for waiting in taken:
            if isinstance(error, LockedError):
                LOCKED_CALLS.labels("REFUSED").inc()
            self._on_result(waiting.unit, error)
            if not waiting.answer.done():
                waiting.answer.set_exception(error)


def _end(waited_for: asyncio.Future[None]) -> None:
    if not waited_for.done():
        waited_for.set_result(None)


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
