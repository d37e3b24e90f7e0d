"""Webhooks that a sandbox asks to get twice, as it happens when the answer to the first is lost."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.database import Database
from server.platform.outbox import NewTask, Postpone, Task, enqueue
from server.platform.schedule import About
from server.platform.statements import Command, Statement, run
from server.platform.task_worker import TaskKind
from server.webhooks.deliveries import REPLAYED

KIND = "repeat-webhooks"
LOOK_AGAIN = timedelta(seconds=0.5)
WAIT = timedelta(minutes=1)
"""What is not delivered by then is tried again anyway, and so comes twice or not at all."""


class _Progress(NamedTuple):
    """How many events have no number yet, and how many deliveries are under way."""

    unsequenced: int
    pending: int


_LOOK = Statement(
    """
SELECT (SELECT count(*)::int FROM partner_events
        WHERE partner_id = $1::int AND event_id = ANY($2::uuid[]) AND sequence IS NULL),
  (SELECT count(*)::int FROM webhook_endpoints p JOIN webhook_deliveries d
     ON d.partner_id = p.partner_id AND d.endpoint_id = p.endpoint_id
   WHERE p.partner_id = $1::int AND d.event_id = ANY($2::uuid[]) AND d.state = 'PENDING')
""",
    _Progress,
)
_AGAIN = Statement(
    """
UPDATE webhook_deliveries d SET state = 'PENDING', due_time = $3::timestamptz, attempts = 0,
  update_time = $3::timestamptz
FROM webhook_endpoints p
WHERE p.partner_id = $1::int AND d.partner_id = p.partner_id AND d.endpoint_id = p.endpoint_id
  AND d.event_id = ANY($2::uuid[]) AND d.state = 'DELIVERED'
""",
    notifies=REPLAYED,
)


def ask(partner_id: int, event_ids: Sequence[UUID], *, now: datetime) -> Command[None] | None:
    """Has events, which are recorded, delivered once more when they have been; None if there are
    none.
    """
    if not event_ids:
        return None
    payload: dict[str, Any] = {"partner_id": partner_id, "event_ids": list(map(str, event_ids))}
    return enqueue(NewTask(KIND, str(uuid4()), payload, now), now=now)


def kind(db: Database) -> TaskKind:
    """The task that does it."""

    async def handle(task: Task) -> Postpone | None:
        asked = task.payload["partner_id"], [UUID(each) for each in task.payload["event_ids"]]
        async with db.transaction() as tx:
            (progress,) = await run(tx, _LOOK(*asked))
        if any(progress) and task.now() < task.create_time + WAIT:
            return Postpone(task.now() + LOOK_AGAIN)

        async def work(tx: AsyncConnection) -> None:
            await run(tx, _AGAIN(*asked, task.now()))
            await task.done(tx)

        await db.in_transaction(work)
        return None

    about = About(
        "Delivers events of a sandbox a second time, as it asked for.",
        "按沙箱要求将事件重复投递一次。",
    )
    return TaskKind(handle, about=about)
