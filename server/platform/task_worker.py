"""The worker of the outbox: takes tasks that are due, does them under a lease, tries again,
gives up.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import (
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.database import Database
from server.platform.errors import DomainError
from server.platform.faults import fault_text
from server.platform.loops import Loops, Polling
from server.platform.metrics import OUTBOX_DEPTH, OUTBOX_OLDEST, OUTBOX_TASKS
from server.platform.outbox import (
    ENQUEUED,
    Clock,
    GiveUpError,
    LeaseLostError,
    NotDeadError,
    Postpone,
    Task,
)
from server.platform.presence import Presence
from server.platform.schedule import NO_TEXTS, About
from server.platform.statements import Command, Statement, commit_with, run_all
from server.platform.task_queues import queue_code

POLL_SECONDS = 0.5
"""How often a process looks for due tasks that another one has enqueued."""


SPACING_SECONDS = 0.03
"""Between two looks: under load one look takes many tasks, and each of many costs less."""


SAMPLE_SECONDS = 15.0
"""How often a process counts what waits, and dead letters."""


STOP_SECONDS = 10.0
"""Tasks under way get this long at the stop."""


CUT_OFF_SECONDS = 2.0
"""And this long to end when they are cancelled, and to give up their leases."""


LEASE_MARGIN_SECONDS = 10.0
"""A lease outlives the handler's time by this much, for writing down the result and for clocks
that differ.
"""


BACK_OFF_BASE_SECONDS = 1.0


BACK_OFF_MOST_SECONDS = 600.0


MAX_COUNTED = 100_000
"""Of what waits and is no task so many are counted, of each channel or endpoint."""


LONGEST_ERROR = 500
"""Characters of an error that are kept."""


log = structlog.get_logger()


class LeasedTask(NamedTuple):
    """A task that was taken, as `Task` has it."""

    task_id: UUID
    kind: str
    key: str
    payload: dict[str, Any]
    attempt: int
    create_time: datetime
    lease_until: datetime


# ARRAY, not a join: the planner would expect many and read the whole table
_TAKE = Statement(
    """
WITH due AS MATERIALIZED (
  SELECT t.task_id
  FROM unnest($1::text[], $2::int[]) AS k (kind, room)
  CROSS JOIN LATERAL (
    SELECT task_id FROM outbox_tasks
    WHERE kind = k.kind AND state = 'OPEN' AND due_time <= $4::timestamptz
      AND (lease_until IS NULL OR lease_until <= $4::timestamptz)
    ORDER BY due_time LIMIT k.room FOR UPDATE SKIP LOCKED) t)
UPDATE outbox_tasks SET
  lease_until = ($3::timestamptz[])[array_position($1::text[], kind)], holder = $5::int,
  attempts = attempts + 1,
  again_time = CASE WHEN again_time > $4::timestamptz THEN again_time END,
  update_time = $4::timestamptz
WHERE task_id = ANY(ARRAY(SELECT task_id FROM due))
RETURNING task_id, kind, key, payload, attempts, create_time, lease_until
""",
    LeasedTask,
)


_ANY_DUE = Statement(
    """
SELECT EXISTS (SELECT FROM unnest($1::text[]) AS k (kind) CROSS JOIN LATERAL (
  SELECT FROM outbox_tasks
  WHERE kind = k.kind AND state = 'OPEN' AND due_time <= $2::timestamptz
    AND (lease_until IS NULL OR lease_until <= $2::timestamptz) LIMIT 1) t)
""",
    bool,
)


_SAMPLE = text("""
SELECT kind, state, count(*) AS tasks, min(due_time) AS oldest
FROM outbox_tasks WHERE state = 'OPEN' GROUP BY kind, state
UNION ALL
SELECT kind, state, count(*), NULL FROM outbox_tasks WHERE state = 'DEAD' GROUP BY kind, state
""")


class WaitingWork(NamedTuple):
    """What waits of a kind and is no task, as messages to be sent do; for how long the oldest that
    is due waits.
    """

    open_count: int
    oldest_due_seconds: float


class QueueDepth(NamedTuple):
    """What waits of a kind and dead letters, and for how long the oldest that is due waits."""

    kind: str
    open_count: int = 0
    dead_count: int = 0
    oldest_due_seconds: float = 0.0


async def queue_depths(
    tx: AsyncConnection, kinds: Mapping[str, "TaskKind"], now: datetime
) -> list[QueueDepth]:
    """How much work waits, and how much was given up, by kind, of tasks and of what else `kinds`
    count; kinds with neither are not there.
    """
    found: dict[str, QueueDepth] = {}
    for row in await tx.execute(_SAMPLE):
        depth = found.get(row.kind, QueueDepth(row.kind))
        if row.state == "DEAD":
            found[row.kind] = depth._replace(dead_count=row.tasks)
        else:
            waits = max(0.0, (now - row.oldest).total_seconds())
            found[row.kind] = depth._replace(open_count=row.tasks, oldest_due_seconds=waits)
    counting = {name: kind.waiting(now) for name, kind in kinds.items() if kind.waiting}
    counted = await run_all(tx, list(counting.values()))
    for name, (waiting,) in zip(counting, counted, strict=True):
        if waiting.open_count:
            depth = found.get(name, QueueDepth(name))
            found[name] = depth._replace(
                open_count=depth.open_count + waiting.open_count,
                oldest_due_seconds=max(depth.oldest_due_seconds, waiting.oldest_due_seconds),
            )
    return [found[kind] for kind in sorted(found)]


Handler = Callable[[Task], Awaitable[Postpone | None]]
"""Does the work, idempotently. An exception is a failure; DomainError.retry_seconds is the least
wait after it.

The exception's text is kept and logged: it must not hold secrets or personal data.
"""


GiveUp = Callable[[AsyncConnection, Task, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class TaskKind:
    """How tasks of one kind are run.

    Attributes:
        handle: does one.
        max_attempts: after so many it is a dead letter; 20 take about two hours.
        max_at_once: of this kind in one process; a slow vendor holds up its own kind only.
        most_seconds: after them the handler is cancelled, which is a failure.
        on_give_up: what follows when a task is given up, in the transaction that makes it a
            dead letter, with its last error; what waits for the task is then somebody's to see to.
        waiting: counts what waits besides tasks, where those are only the dead letters that are
            replayed.
        about: what it does, for ListJobs.
    """

    handle: Handler
    max_attempts: int = 20
    max_at_once: int = 4
    most_seconds: float = 30.0
    on_give_up: GiveUp | None = None
    waiting: Callable[[datetime], Command[WaitingWork]] | None = None
    about: About = NO_TEXTS


def back_off_seconds(attempt: int) -> float:
    """The wait after a failed attempt: doubled each time up to the longest, less up to a half by
    chance.
    """
    longest = min(BACK_OFF_MOST_SECONDS, BACK_OFF_BASE_SECONDS * 2.0 ** min(attempt - 1, 30))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _never(_code: str) -> bool:
    return False


class TaskWorker:
    """Runs the tasks of the given kinds in one process; those of other kinds are left to other
    processes, and those of a queue that `is_paused`, by its code, wait. What it has taken is given
    back soon when the process of this `presence` ends; without one, when its leases are over.
    """

    def __init__(
        self,
        db: Database,
        kinds: Mapping[str, TaskKind],
        *,
        is_paused: Callable[[str], bool] = _never,
        presence: Presence | None = None,
        clock: Clock = _utc_now,
        poll_seconds: float | None = None,
        stop_seconds: float = STOP_SECONDS,
        loops: Loops | None = None,
    ) -> None:
        self._db = db
        self._kinds = kinds
        self._clock = clock
        self._is_paused = is_paused
        self._presence = presence or Presence()
        self._stop_seconds = stop_seconds
        self._running: dict[asyncio.Task[None], Task] = {}
        self._full: set[str] = set()
        self._sampled: set[str] = set()
        loops = loops or Loops()
        self._loop = loops.add(
            "outbox",
            Polling(
                self._look,
                POLL_SECONDS if poll_seconds is None else poll_seconds,
                spacing_seconds=SPACING_SECONDS,
                at_once=True,
                tolerated=(Exception,),  # one look that fails must not be the last
                due=self._due,
            ),
        )
        self._sampling = loops.add(
            "outbox-sample",
            Polling(self.sample, SAMPLE_SECONDS, at_once=True, tolerated=(Exception,)),
        )

    def start(self) -> None:
        """Begins to look, at once, and after each commit of this process that enqueues."""
        self._db.notifications.listen(ENQUEUED, self._loop.wake)
        self._loop.start()
        self._sampling.start()

    async def stop(self) -> None:
        """Takes no more and lets those under way finish, for at most `stop_seconds`; the
        rest is handed back.
        """
        self._db.notifications.unlisten(ENQUEUED, self._loop.wake)
        await self._sampling.end(within_seconds=CUT_OFF_SECONDS)
        deadline = asyncio.get_running_loop().time() + self._stop_seconds
        await self._loop.end(within_seconds=self._stop_seconds)
        if self._running:
            left = deadline - asyncio.get_running_loop().time()
            await asyncio.wait(list(self._running), timeout=max(0.0, left))
        if self._running:
            await self._cut_off(dict(self._running))

    async def drain(self) -> int:
        """Runs all that is due by the clock and returns how many tasks it took; for a worker not
        started.

        Raises DATABASE_UNAVAILABLE.
        """
        count = 0
        while taken := await self._take():
            count += taken
            while self._running:
                await asyncio.wait(list(self._running))
        return count

    async def sample(self) -> None:
        """Counts what waits and dead letters for the metrics. Raises DATABASE_UNAVAILABLE."""
        async with self._db.transaction() as tx:
            depths = await queue_depths(tx, self._kinds, self._clock())
        found = {kind: QueueDepth(kind) for kind in (*self._sampled, *self._kinds)}
        found |= {depth.kind: depth for depth in depths}
        self._sampled = set(found)
        for kind, depth in found.items():
            OUTBOX_DEPTH.labels(kind, "OPEN").set(depth.open_count)
            OUTBOX_DEPTH.labels(kind, "DEAD").set(depth.dead_count)
            OUTBOX_OLDEST.labels(kind).set(depth.oldest_due_seconds)

    async def _look(self) -> None:
        await self._take()

    def _rooms(self) -> dict[str, int]:
        """How many more tasks of each kind may run."""
        busy = Counter(task.kind for task in self._running.values())
        return {
            name: kind.max_at_once - busy[name]
            for name, kind in self._kinds.items()
            if busy[name] < kind.max_at_once and not self._is_paused(queue_code(name))
        }

    def _due(self) -> Command[bool] | bool:
        rooms = self._rooms()
        return bool(rooms) and _ANY_DUE(list(rooms), self._clock())

    async def _take(self) -> int:
        """Takes what is due and lets it run; how many."""
        rooms = self._rooms()
        if not rooms:
            self._full = set(self._kinds)
            return 0
        now = self._clock()
        seconds = [self._kinds[name].most_seconds + LEASE_MARGIN_SECONDS for name in rooms]
        leases = [now + timedelta(seconds=lease) for lease in seconds]
        take = _TAKE(list(rooms), list(rooms.values()), leases, now, self._presence.holder)
        async with self._db.pipeline() as pipeline, pipeline.transaction():
            (rows,) = await commit_with(pipeline, [take])
        tasks = [Task(*(*row, self._clock)) for row in rows]
        for task in tasks:
            running = asyncio.create_task(self._work(task), name=f"outbox {task.kind} {task.key}")
            self._running[running] = task
            running.add_done_callback(self._ended)
        taken = Counter(task.kind for task in tasks)
        self._full = {name for name in self._kinds if taken[name] == rooms.get(name, 0)}
        return len(tasks)

    def _ended(self, running: asyncio.Task[None]) -> None:
        if self._running.pop(running).kind in self._full:
            self._loop.wake()  # more may be due than there was room for

    async def _work(self, task: Task) -> None:
        try:
            await self._try(task)
        # a lost lease, or no database: it runs again when the lease is over
        except Exception as error:  # noqa: BLE001
            self._report(task, "LOST", error)

    async def _try(self, task: Task) -> None:
        kind = self._kinds[task.kind]
        try:
            if task.attempt > kind.max_attempts:
                raise GiveUpError("the last attempt never ended")
            async with asyncio.timeout(kind.most_seconds):
                postponed = await kind.handle(task)
        except LeaseLostError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is a failed attempt
            await self._fail(task, error)
            return
        if postponed:
            await self._settle(task, "OPEN", attempts=0, due=postponed.due)
        elif not task.is_settled:
            await self._settle(task, "DONE", attempts=task.attempt)
        OUTBOX_TASKS.labels(task.kind, "POSTPONED" if postponed else "DONE").inc()

    async def _fail(self, task: Task, error: Exception) -> None:
        wait = back_off_seconds(task.attempt)
        if isinstance(error, DomainError):
            wait = max(wait, error.retry_seconds or 0.0)
        limit = 0 if isinstance(error, GiveUpError) else self._kinds[task.kind].max_attempts
        state = "DEAD" if task.attempt >= limit else "OPEN"
        due = self._clock() + timedelta(seconds=wait) if state == "OPEN" else None
        result = {"attempts": task.attempt, "due": due, "error": _error_text(error)}
        give_up = self._kinds[task.kind].on_give_up
        if state == "DEAD" and give_up and await self._make_dead(task, give_up, **result):
            found = state
        else:
            found = await self._settle(task, state, cause=error, **result)
        self._report(task, "DEAD" if found == "DEAD" else "FAILED", error)

    def _report(self, task: Task, result: str, error: Exception) -> None:
        OUTBOX_TASKS.labels(task.kind, result).inc()
        facts = {"kind": task.kind, "key": task.key, "attempt": task.attempt}
        expected = isinstance(error, DomainError | GiveUpError | LeaseLostError | OSError)
        if not expected:  # timeouts are OSErrors
            facts["exc_info"] = error
        write = log.error if result == "DEAD" else log.warning
        write(
            f"outbox.{result.lower()}", task_id=str(task.task_id), error=_error_text(error), **facts
        )

    async def _settle(
        self, task: Task, state: str, *, cause: Exception | None = None, **result: Any
    ) -> str:
        found = await self._db.in_transaction(lambda tx: task.settle(tx, state, **result))
        if found is None:
            raise LeaseLostError(_error_text(cause) if cause else "in the end") from cause
        if found == "OPEN":
            self._loop.wake()  # it may be due at once
        return found

    async def _make_dead(self, task: Task, give_up: GiveUp, **result: Any) -> bool:
        """Makes it a dead letter, with what follows from that; False, and nothing is done, if it
        was enqueued again.
        """

        async def work(tx: AsyncConnection) -> None:
            # first, since whoever enqueues a task locks what it is about before the task
            await give_up(tx, task, result["error"])
            if await task.settle(tx, "DEAD", **result) != "DEAD":
                raise NotDeadError

        try:
            await self._db.in_transaction(work)
        except NotDeadError:
            return False
        return True

    async def _cut_off(self, running: dict[asyncio.Task[None], Task]) -> None:
        for each in running:
            each.cancel()
        await asyncio.wait(list(running), timeout=CUT_OFF_SECONDS)
        log.warning("outbox.cut_off", tasks=[f"{t.kind} {t.key}" for t in running.values()])

        async def hand_back(tx: AsyncConnection) -> None:
            for task in running.values():
                await task.settle(tx, "OPEN", attempts=task.attempt - 1, due=self._clock())

        try:
            async with asyncio.timeout(CUT_OFF_SECONDS):
                await self._db.in_transaction(hand_back)
        # whatever it was, they run again after their leases
        except Exception as error:  # noqa: BLE001
            log.warning("outbox.not_handed_back", error=_error_text(error))


def _error_text(error: Exception) -> str:
    """For the log and the dead letters: of a DomainError its message too, which in a task is
    ours alone.
    """
    text = f"{error.reason}: {error}" if isinstance(error, DomainError) else fault_text(error)
    kept = text.replace("\0", "")[:LONGEST_ERROR]
    return kept.encode(errors="replace").decode()
