"""The transactional outbox: tasks that are enqueued with a commit, and the worker that runs them
afterwards.

A use case enqueues a task in its own transaction (`enqueue`), so the task is there exactly when the
change is. Every process takes what is due (`TaskWorker`), under a lease and not in a transaction:
no connection is held while a handler talks to the outside, and the tasks of a process that died are
taken by another when the lease is over. So a task may run more than once, and a handler must be
idempotent: what it does in the database belongs into one transaction with `Task.done`, which only
the holder of the lease passes; what it does outside needs a key of its own that the outside knows,
such as an out_refund_no.

What fails is retried with back-off, and is a dead letter in the end, which an administrator sees
and may replay. (DOMAIN, Operations.) How to add a task: docs/guides/adding-a-task.md.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import orjson
import structlog
from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    delete,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.database import Database, metadata
from server.platform.errors import DomainError
from server.platform.faults import fault_text
from server.platform.loops import Loops, Polling
from server.platform.metrics import OUTBOX_DEPTH, OUTBOX_OLDEST, OUTBOX_TASKS
from server.platform.pipeline import Command, PreparedStatement, columns, round_trip

POLL_SECONDS = 0.5
"""How often a process looks for due tasks that another one has enqueued."""
ENQUEUED = "tasks"
"""What a transaction that enqueues a task notifies: this process's worker looks after the
commit.
"""
SPACING_SECONDS = 0.03
"""Between two looks: under load one look takes many tasks, and each of many costs less."""
SAMPLE_SECONDS = 15.0
"""How often a process counts open tasks and dead letters."""
DONE_TASKS_KEPT = timedelta(days=3)
"""For whoever asks what the outbox did."""
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
LONGEST_ERROR = 500
"""Characters of an error that are kept."""

log = structlog.get_logger()

outbox_tasks = Table(
    "outbox_tasks",
    metadata,
    Column("task_id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("state", Text, nullable=False),
    Column("due_time", DateTime(timezone=True), nullable=False),
    # how often it was taken since it was last asked for, postponed or replayed
    Column("attempts", Integer, nullable=False),
    # who took it holds it so long; the value is also the proof of holding it
    Column("lease_until", DateTime(timezone=True)),
    # asked for again while somebody is at it, who may have read the old state: then it is due once
    # more
    Column("again_time", DateTime(timezone=True)),
    Column("last_error", Text),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    CheckConstraint("state IN ('OPEN', 'DONE', 'DEAD')", name="state"),
    CheckConstraint("attempts >= 0", name="attempts"),
    CheckConstraint("lease_until IS NULL OR state = 'OPEN'", name="lease_of_open"),
    CheckConstraint("again_time IS NULL OR lease_until IS NOT NULL", name="again_while_leased"),
    CheckConstraint("state <> 'DEAD' OR last_error IS NOT NULL", name="death_has_reason"),
)
_t = outbox_tasks.c
Index("uq_outbox_tasks_open", _t.kind, _t.key, unique=True, postgresql_where=_t.state == "OPEN")
Index("ix_outbox_tasks_due", _t.kind, _t.due_time, postgresql_where=_t.state == "OPEN")
Index("ix_outbox_tasks_dead", _t.update_time, _t.task_id, postgresql_where=_t.state == "DEAD")
Index("ix_outbox_tasks_done", _t.update_time, postgresql_where=_t.state == "DONE")

# A conflict locks the open task: a worker's `done` comes before it, and then this inserts a new
# one, or after it, and then finds again_time. DO NOTHING would lose what is enqueued while a worker
# is at it.
ENQUEUE = PreparedStatement(
    """
INSERT INTO outbox_tasks AS o
  (task_id, kind, key, payload, state, due_time, attempts, create_time, update_time)
SELECT a.task_id, a.kind, a.key, a.payload, 'OPEN', a.due, 0, a.now, a.now
FROM jsonb_to_recordset($1::jsonb)
  AS a (task_id uuid, kind text, key text, payload jsonb, due timestamptz, now timestamptz)
ON CONFLICT (kind, key) WHERE state = 'OPEN' DO UPDATE SET
  payload = excluded.payload,
  due_time = CASE WHEN o.lease_until IS NULL
             THEN LEAST(o.due_time, excluded.due_time) ELSE o.due_time END,
  again_time = CASE WHEN o.lease_until IS NOT NULL
               THEN LEAST(o.again_time, excluded.due_time) END,
  attempts = CASE WHEN o.lease_until IS NULL THEN 0 ELSE o.attempts END,
  update_time = excluded.update_time
""",
    notifies=ENQUEUED,
)
"""`enqueue_many` for a hot transaction; its one parameter is made by `enqueue_parameter`."""

# ARRAY, not a join: the planner would expect many and read the whole table
_TAKE = PreparedStatement("""
WITH due AS MATERIALIZED (
  SELECT t.task_id
  FROM unnest($1::text[], $2::int[]) AS k (kind, room)
  CROSS JOIN LATERAL (
    SELECT task_id FROM outbox_tasks
    WHERE kind = k.kind AND state = 'OPEN' AND due_time <= $4::timestamptz
      AND (lease_until IS NULL OR lease_until <= $4::timestamptz)
    ORDER BY due_time LIMIT k.room FOR UPDATE SKIP LOCKED) t)
UPDATE outbox_tasks SET
  lease_until = ($3::timestamptz[])[array_position($1::text[], kind)],
  attempts = attempts + 1,
  again_time = CASE WHEN again_time > $4::timestamptz THEN again_time END,
  update_time = $4::timestamptz
WHERE task_id = ANY(ARRAY(SELECT task_id FROM due))
RETURNING task_id, kind, key, payload, attempts, create_time, lease_until
""")

# only the holder of the lease; LEAST passes over NULLs
_SETTLE = PreparedStatement("""
UPDATE outbox_tasks t SET
  state = CASE WHEN again_time IS NULL THEN v.state ELSE 'OPEN' END,
  due_time = COALESCE(LEAST(again_time, v.due), due_time),
  attempts = CASE WHEN again_time IS NULL THEN v.attempts ELSE 0 END,
  last_error = COALESCE(v.error, last_error),
  lease_until = NULL, again_time = NULL, update_time = v.now
FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::int[], $5::timestamptz[], $6::text[], $7::timestamptz[])
  AS v (task_id, lease_until, state, attempts, due, error, now)
WHERE t.task_id = v.task_id AND t.state = 'OPEN' AND t.lease_until = v.lease_until
RETURNING t.state
""")
_LOCK_LEASES = PreparedStatement("""
SELECT t.task_id
FROM unnest($1::uuid[], $2::timestamptz[]) AS v (task_id, lease_until)
JOIN outbox_tasks t USING (task_id)
WHERE t.state = 'OPEN' AND t.lease_until = v.lease_until
ORDER BY t.task_id FOR NO KEY UPDATE OF t SKIP LOCKED
""")

_SAMPLE = text("""
SELECT kind, state, count(*) AS tasks, min(due_time) AS oldest
FROM outbox_tasks WHERE state = 'OPEN' GROUP BY kind, state
UNION ALL
SELECT kind, state, count(*), NULL FROM outbox_tasks WHERE state = 'DEAD' GROUP BY kind, state
""")

Clock = Callable[[], datetime]


class NewTask(NamedTuple):
    """A task to enqueue: its kind, its key, what its handler needs to know, and not before when.

    The payload becomes JSON without NUL characters; keep bodies from outside in a table of their
    own.
    """

    kind: str
    key: str
    payload: dict[str, Any]
    due: datetime


async def enqueue(
    tx: AsyncConnection,
    kind: str,
    key: str,
    payload: dict[str, Any],
    *,
    due: datetime,
    now: datetime,
) -> None:
    """Enqueues a task in the caller's transaction; see `enqueue_many`."""
    await enqueue_many(tx, [NewTask(kind, key, payload, due)], now=now)


async def enqueue_many(tx: AsyncConnection, asks: Iterable[NewTask], *, now: datetime) -> None:
    """Enqueues tasks in the caller's transaction, at its end: it locks tasks of these keys until
    the commit.

    Of one kind and key one task is open: asked for again it keeps the earlier due time, takes the
    newer payload and gets all attempts anew; while a handler is at it, it runs once more
    afterwards. One that is done or dead stays so, and another is made. After the commit this
    process looks at once.
    """
    parameter = enqueue_parameter(asks, now=now)
    if parameter != "[]":
        await round_trip(tx, [(ENQUEUE, [parameter])])


def enqueue_parameter(asks: Iterable[NewTask], *, now: datetime) -> str:
    """The parameter of ENQUEUE."""
    by_key: dict[tuple[str, str], NewTask] = {}
    for ask in asks:
        earlier = by_key.get((ask.kind, ask.key), ask)
        by_key[ask.kind, ask.key] = ask._replace(due=min(ask.due, earlier.due))
    rows = [  # all lock in one order, so none deadlocks
        by_key[name]._asdict() | {"task_id": task_id(now), "now": now} for name in sorted(by_key)
    ]
    return orjson.dumps(rows).decode()


def task_id(now: datetime) -> UUID:
    """An id in the order of time, so that new tasks stand together in the index (RFC 9562,
    version 7).
    """
    milliseconds = int(now.timestamp() * 1000)
    return UUID(int=milliseconds << 80 | 7 << 76 | uuid4().int & ((1 << 76) - 1))


class LeaseLostError(Exception):
    """The task is no longer this process's: it took too long and another took it, or it was
    finished before.
    """


class _NotDeadError(Exception):
    """A task to become a dead letter was enqueued again, or is no longer this process's."""


class GiveUpError(Exception):
    """A handler raises it for what no retry can mend: the task is a dead letter at once. The
    text is for an administrator.
    """


@dataclass(frozen=True, slots=True)
class Postpone:
    """A handler's answer that it was too early: the task is due again then, and nothing has
    failed.
    """

    due: datetime


@dataclass(eq=False, slots=True)
class Task:
    """A task that this process holds.

    Attributes:
        attempt: 1 the first time.
        create_time: when it was first asked for.
        now: the time, by the outbox's clock.
    """

    task_id: UUID
    kind: str
    key: str
    payload: dict[str, Any]
    attempt: int
    create_time: datetime
    lease_until: datetime
    now: Clock
    is_settled: bool = field(default=False, init=False)

    async def done(self, tx: AsyncConnection) -> None:
        """Marks it done in the handler's transaction, at its end, so that effect and mark are
        committed as one.

        Raises LeaseLostError, which must roll the effect back. To be called once in each
        transaction that is tried; the last of them must be committed when the handler returns.
        """
        if await self.settle(tx, "DONE", attempts=self.attempt) is None:
            raise LeaseLostError(f"{self.kind} {self.key}")
        self.is_settled = True

    async def settle(
        self,
        tx: AsyncConnection,
        state: str,
        *,
        attempts: int,
        due: datetime | None = None,
        error: str | None = None,
    ) -> str | None:
        """Gives up the lease with this result; the state it has now, OPEN if it was asked for again
        meanwhile.

        None if the lease was lost.
        """
        result = self.settling(state, attempts=attempts, due=due, error=error)
        (rows,) = await round_trip(tx, [(_SETTLE, columns([result]))])
        return rows[0][0] if rows else None

    def settling(
        self,
        state: str,
        *,
        attempts: int,
        due: datetime | None = None,
        error: str | None = None,
    ) -> tuple[Any, ...]:
        """What `settle` asks for, as a row of its statement."""
        due_text = due.isoformat() if due else None
        result = state, attempts, due_text, error, self.now().isoformat()
        return self.task_id, self.lease_until.isoformat(), *result


def lock_leases(tasks: Iterable[Task]) -> Command:
    """Locks those of the tasks whose leases are still held, unless others have them locked; each
    row is (task_id,).

    For several tasks whose effects are committed as one: `done_together` ends them.
    """
    leases = [(task.task_id, task.lease_until.isoformat()) for task in tasks]
    return _LOCK_LEASES, columns(leases)


def done_together(tasks: Iterable[Task]) -> Command:
    """`Task.done` of several tasks in one hot transaction, which has their leases locked; a row for
    each.

    Set `is_settled` of each after the commit.
    """
    return _SETTLE, columns([task.settling("DONE", attempts=task.attempt) for task in tasks])


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
        most_attempts: after so many it is a dead letter; 20 take about two hours.
        most_at_once: of this kind in one process; a slow vendor holds up its own kind only.
        most_seconds: after them the handler is cancelled, which is a failure.
        on_give_up: what follows when a task is given up, in the transaction that makes it a
            dead letter, with its last error; what waits for the task is then somebody's to see to.
    """

    handle: Handler
    most_attempts: int = 20
    most_at_once: int = 4
    most_seconds: float = 30.0
    on_give_up: GiveUp | None = None


def back_off_seconds(attempt: int) -> float:
    """The wait after a failed attempt: doubled each time up to the most, less up to a half by
    chance.
    """
    longest = min(BACK_OFF_MOST_SECONDS, BACK_OFF_BASE_SECONDS * 2.0 ** min(attempt - 1, 30))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311


def _utc_now() -> datetime:
    return datetime.now(UTC)


class TaskWorker:
    """Runs the tasks of the given kinds in one process; those of other kinds are left to other
    processes.
    """

    def __init__(
        self,
        db: Database,
        kinds: Mapping[str, TaskKind],
        *,
        clock: Clock = _utc_now,
        poll_seconds: float | None = None,
        stop_seconds: float = STOP_SECONDS,
        loops: Loops | None = None,
    ) -> None:
        self._db = db
        self._kinds = kinds
        self._clock = clock
        self._stop_seconds = stop_seconds
        self._running: dict[asyncio.Task[None], Task] = {}
        self._full: set[str] = set()
        self._sampled: set[tuple[str, str]] = set()
        loops = loops or Loops()
        self._loop = loops.add(
            "outbox",
            Polling(
                self._look,
                POLL_SECONDS if poll_seconds is None else poll_seconds,
                spacing_seconds=SPACING_SECONDS,
                at_once=True,
                tolerated=(Exception,),  # one look that fails must not be the last
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
        """Takes no more and lets those under way finish, for `stop_seconds` at the most; the
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
        """Counts open tasks and dead letters for the metrics. Raises DATABASE_UNAVAILABLE."""
        async with self._db.transaction() as tx:
            rows = (await tx.execute(_SAMPLE)).all()
        now = self._clock()
        depths = {(row.kind, row.state): row.tasks for row in rows}
        oldest = {row.kind: row.oldest for row in rows if row.oldest}
        self._sampled |= depths.keys()
        self._sampled |= {(kind, state) for kind in self._kinds for state in ("OPEN", "DEAD")}
        for kind, state in self._sampled:
            OUTBOX_DEPTH.labels(kind, state).set(depths.get((kind, state), 0))
            age = (now - oldest.get(kind, now)).total_seconds()
            OUTBOX_OLDEST.labels(kind).set(max(0.0, age))

    async def _look(self) -> None:
        await self._take()

    async def _take(self) -> int:
        """Takes what is due and lets it run; how many."""
        busy = Counter(task.kind for task in self._running.values())
        rooms = {
            name: kind.most_at_once - busy[name]
            for name, kind in self._kinds.items()
            if busy[name] < kind.most_at_once
        }
        if not rooms:
            self._full = set(self._kinds)
            return 0
        now = self._clock()
        seconds = [self._kinds[name].most_seconds + LEASE_MARGIN_SECONDS for name in rooms]
        leases = [(now + timedelta(seconds=lease)).isoformat() for lease in seconds]
        wanted = [(*room, lease) for room, lease in zip(rooms.items(), leases, strict=True)]
        parameters = [*columns(wanted), now.isoformat()]
        async with self._db.pipeline() as pipeline, pipeline.transaction():
            (rows,) = await pipeline.round_trip([(_TAKE, parameters)], commit=True)
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
            if task.attempt > kind.most_attempts:
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
        most = 0 if isinstance(error, GiveUpError) else self._kinds[task.kind].most_attempts
        state = "DEAD" if task.attempt >= most else "OPEN"
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
                raise _NotDeadError

        try:
            await self._db.in_transaction(work)
        except _NotDeadError:
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


async def purge(tx: AsyncConnection, *, now: datetime, keep: timedelta, most: int) -> int:
    """Forgets up to `most` tasks that were done longer than `keep` ago; returns how many. Dead
    letters stay.
    """
    old = (
        select(_t.task_id)
        .where(_t.state == "DONE", _t.update_time < now - keep)
        .order_by(_t.update_time)
        .limit(most)
        .with_for_update(skip_locked=True)
        .cte("old")
    )
    gone = await tx.execute(delete(outbox_tasks).where(_t.task_id == old.c.task_id))
    return gone.rowcount
