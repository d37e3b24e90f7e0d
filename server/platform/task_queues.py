"""The queues of the outbox as an administrator sees and pauses them: one for each kind of task."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.outbox import ENQUEUED
from server.platform.statements import Command, Statement, run

COUNTED = timedelta(minutes=10)
"""Tasks that were done since then are counted."""
RETRIED_AT_ONCE = 10_000
"""Tasks that are made due in one transaction."""


class TaskQueue(NamedTuple):
    """How the tasks of a kind stand. `failing` ones are open and have failed since they were asked
    for; `next_time` is when the first open one is due, `last_error` of one that failed.
    """

    kind: str
    open: int = 0
    failing: int = 0
    dead: int = 0
    done: int = 0
    next_time: datetime | None = None
    last_error: str | None = None

    def lag_seconds(self, now: datetime) -> float:
        """How long the oldest task that is due waits."""
        return max(0.0, (now - self.next_time).total_seconds()) if self.next_time else 0.0


_QUEUES = Statement(
    """
WITH standing AS (
  SELECT kind, count(*) AS open,
    count(*) FILTER (WHERE attempts > 0 AND last_error IS NOT NULL) AS failing, 0 AS dead,
    0 AS done, min(due_time) AS next_time,
    max(last_error) FILTER (WHERE attempts > 0) AS last_error
  FROM outbox_tasks WHERE state = 'OPEN' GROUP BY kind
  UNION ALL
  SELECT kind, 0, 0, count(*), 0, NULL, max(last_error)
  FROM outbox_tasks WHERE state = 'DEAD' GROUP BY kind
  UNION ALL
  SELECT kind, 0, 0, 0, count(*), NULL, NULL
  FROM outbox_tasks WHERE state = 'DONE' AND update_time > $1::timestamptz GROUP BY kind)
SELECT kind, sum(open)::bigint, sum(failing)::bigint, sum(dead)::bigint, sum(done)::bigint,
  min(next_time), max(last_error)
FROM standing GROUP BY kind
""",
    TaskQueue,
)
# one that is under way ends by itself, and what was postponed has not failed
_RETRY = Statement(
    """
WITH failing AS (
  SELECT task_id FROM outbox_tasks
  WHERE kind = $1 AND state = 'OPEN' AND due_time > $2::timestamptz AND lease_until IS NULL
    AND attempts > 0 AND last_error IS NOT NULL
  ORDER BY due_time LIMIT $3::int FOR NO KEY UPDATE SKIP LOCKED)
UPDATE outbox_tasks t SET due_time = $2::timestamptz, update_time = $2::timestamptz
FROM failing WHERE t.task_id = failing.task_id
RETURNING 1
""",
    int,
    notifies=ENQUEUED,
)


def queue_code(kind: str) -> str:
    """What an administrator calls the queue of a kind: no job's name has a dot."""
    return f"task.{kind}"


async def task_queues(tx: AsyncConnection, now: datetime) -> Mapping[str, TaskQueue]:
    """How the queues stand that have tasks, by kind."""
    return {queue.kind: queue for queue in await run(tx, _QUEUES(now - COUNTED))}


def retry(kind: str, *, now: datetime) -> Command[int]:
    """Makes those due that wait for their next try after a failure, up to RETRIED_AT_ONCE; a row
    for each.
    """
    return _RETRY(kind, now, RETRIED_AT_ONCE)
