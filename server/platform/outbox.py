"""The transactional outbox: tasks that are enqueued with a commit, and run by a `task_worker`
afterwards.

A use case enqueues a task in its own transaction (it runs `enqueue`), so the task is there exactly
when the change is. Every process takes what is due (`TaskWorker`), under a lease and not in a
transaction: no connection is held while a handler talks to the outside, and the tasks of a process
that died are taken by another when the lease is over, or within seconds where the database has seen
the process end (`give_back`). So a task may run more than once, and a
handler must be idempotent: what it does in the database belongs into one transaction with
`Task.done`, which only the holder of the lease passes; what it does outside needs a key of its own
that the outside knows, such as an out_refund_no.

What fails is retried with back-off, and is a dead letter in the end, which an administrator sees
and may replay. (DOMAIN, Operations.) How to add a task: docs/guides/adding-a-task.md.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

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
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.database import metadata
from server.platform.presence import PRESENCE_LOCKS
from server.platform.statements import Command, Statement, run

ENQUEUED = "tasks"
"""What a transaction that enqueues a task notifies: this process's worker looks after the
commit.
"""
DONE_TASKS_KEPT = timedelta(days=3)
"""At least, for whoever asks what the outbox did; the setting DONE_TASK_DAYS may say longer."""


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
    # whose it is, by the number that shows that the process is there (presence.py)
    Column("holder", Integer),
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
Index("ix_outbox_tasks_holder", _t.holder, postgresql_where=_t.holder.is_not(None))
Index("ix_outbox_tasks_dead", _t.update_time, _t.task_id, postgresql_where=_t.state == "DEAD")
Index("ix_outbox_tasks_done", _t.update_time, postgresql_where=_t.state == "DONE")

# A conflict locks the open task: a worker's `done` comes before it, and then this inserts a new
# one, or after it, and then finds again_time. DO NOTHING would lose what is enqueued while a worker
# is at it.
_ENQUEUE = Statement(
    """
INSERT INTO outbox_tasks AS o
  (task_id, kind, key, payload, state, due_time, attempts, create_time, update_time)
SELECT v.task_id, v.kind, v.key, v.payload, 'OPEN', v.due, 0, $1::timestamptz, $1::timestamptz
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::jsonb[], $6::timestamptz[])
  AS v (task_id, kind, key, payload, due)
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
# only the holder of the lease, which only an open task has; LEAST passes over NULLs
_SETTLE = Statement(
    """
UPDATE outbox_tasks t SET
  state = CASE WHEN again_time IS NULL THEN v.state ELSE 'OPEN' END,
  due_time = COALESCE(LEAST(again_time, v.due), due_time),
  attempts = CASE WHEN again_time IS NULL THEN v.attempts ELSE 0 END,
  last_error = COALESCE(v.error, last_error),
  lease_until = NULL, holder = NULL, again_time = NULL, update_time = v.now
FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::int[], $5::timestamptz[], $6::text[],
  $7::timestamptz[])
  AS v (task_id, lease_until, state, attempts, due, error, now)
WHERE t.task_id = v.task_id AND t.lease_until = v.lease_until
RETURNING t.state
""",
    str,
)
_LOCK_LEASES = Statement(
    """
SELECT t.task_id
FROM unnest($1::uuid[], $2::timestamptz[]) AS v (task_id, lease_until)
JOIN outbox_tasks t USING (task_id)
WHERE t.lease_until = v.lease_until
ORDER BY t.task_id FOR NO KEY UPDATE OF t SKIP LOCKED
""",
    UUID,
)
# whoever is there has the lock of its number; that of nobody is had for this transaction
_GIVE_BACK = Statement(
    """
WITH dead AS MATERIALIZED (
  SELECT h.holder
  FROM (SELECT DISTINCT holder FROM outbox_tasks WHERE holder IS NOT NULL OFFSET 0) h
  WHERE pg_try_advisory_xact_lock($2::int, h.holder)),
left_behind AS MATERIALIZED (
  SELECT t.task_id FROM outbox_tasks t JOIN dead USING (holder)
  ORDER BY t.task_id LIMIT $3::int FOR NO KEY UPDATE OF t SKIP LOCKED)
UPDATE outbox_tasks t SET lease_until = LEAST(lease_until, $1::timestamptz), holder = NULL,
  update_time = $1::timestamptz
FROM left_behind WHERE t.task_id = left_behind.task_id
RETURNING t.kind
""",
    str,
)

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


def enqueue(*asks: NewTask, now: datetime) -> Command[None] | None:
    """Enqueues tasks, as the last command of a transaction: it locks tasks of these keys until the
    commit. None if there are none.

    Of one kind and key one task is open: asked for again it keeps the earlier due time, takes the
    newer payload and gets all attempts anew; while a handler is at it, it runs once more
    afterwards. One that is done or dead stays so, and another is made. After the commit this
    process looks at once.
    """
    by_key: dict[tuple[str, str], NewTask] = {}
    for ask in asks:
        earlier = by_key.get((ask.kind, ask.key), ask)
        by_key[ask.kind, ask.key] = ask._replace(due=min(ask.due, earlier.due))
    # all lock in one order, so none deadlocks
    return _ENQUEUE.of_rows([(task_id(now), *by_key[name]) for name in sorted(by_key)], now)


_BURY = Statement("""
INSERT INTO outbox_tasks
  (task_id, kind, key, payload, state, due_time, attempts, last_error, create_time, update_time)
SELECT v.task_id, v.kind, v.key, v.payload, 'DEAD', v.due, 1, v.error, $1::timestamptz,
  $1::timestamptz
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::jsonb[], $6::timestamptz[], $7::text[])
  AS v (task_id, kind, key, payload, due, error)
""")
_CLOSE = Statement("""
UPDATE outbox_tasks SET state = 'DONE', update_time = $1::timestamptz
WHERE state = 'DEAD' AND kind = $2 AND key = ANY($3::text[])
""")


def bury(given_up: Iterable[tuple[NewTask, str]], *, now: datetime) -> Command[None] | None:
    """Makes dead letters of work that was given up elsewhere, each with its last error: an
    administrator sees it among the others, and a replay runs the kind's handler.
    """
    rows = [(task_id(now), *task, error) for task, error in given_up]
    return _BURY.of_rows(rows, now)


def close(keys: Collection[str], kind: str, *, now: datetime) -> Command[None] | None:
    """Closes the dead letters of these keys, whose work was asked for anew in another way."""
    return _CLOSE(now, kind, keys) if keys else None


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


class NotDeadError(Exception):
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
        states = await run(tx, _SETTLE.of_rows([self.result(state, attempts, due, error)]))
        return states[0] if states else None

    def result(
        self, state: str, attempts: int, due: datetime | None = None, error: str | None = None
    ) -> "TaskResult":
        """How the attempt ended, as `settle` writes it."""
        return TaskResult(self.task_id, self.lease_until, state, attempts, due, error, self.now())


class TaskResult(NamedTuple):
    """How an attempt ended; `lease_until` proves who made it."""

    task_id: UUID
    lease_until: datetime
    state: str
    attempts: int
    due: datetime | None
    error: str | None
    now: datetime


def lock_leases(tasks: Collection[Task]) -> Command[UUID]:
    """Locks those of the tasks whose leases are still held, unless others have them locked, and
    gives their ids.

    For several tasks whose effects are committed as one: `done_together` ends them.
    """
    return _LOCK_LEASES([task.task_id for task in tasks], [task.lease_until for task in tasks])


def done_together(tasks: Iterable[Task]) -> Command[str]:
    """`Task.done` of several tasks in one transaction, which has their leases locked; a row for
    each.

    Set `is_settled` of each after the commit.
    """
    command = _SETTLE.of_rows([task.result("DONE", task.attempt) for task in tasks])
    assert command, "there are tasks to be ended"
    return command


def give_back(*, now: datetime, limit: int) -> Command[str]:
    """Ends the leases of up to `limit` tasks that processes had taken which are there no more; a
    row for each.
    """
    return _GIVE_BACK(now, PRESENCE_LOCKS, limit)


async def purge(tx: AsyncConnection, *, now: datetime, keep: timedelta, limit: int) -> int:
    """Forgets up to `limit` tasks that were done longer than `keep` ago; returns how many. Dead
    letters stay.
    """
    old = (
        select(_t.task_id)
        .where(_t.state == "DONE", _t.update_time < now - keep)
        .order_by(_t.update_time)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("old")
    )
    gone = await tx.execute(delete(outbox_tasks).where(_t.task_id == old.c.task_id))
    return gone.rowcount
