"""Dead letters: tasks that were given up, where an administrator sees them, and may replay them.

(DOMAIN, Operations.)
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.database import notify
from server.platform.errors import not_found
from server.platform.outbox import ENQUEUED, outbox_tasks

_t = outbox_tasks.c


@dataclass(frozen=True, slots=True)
class DeadTask:
    """Work that was given up, with its last error; `update_time` is when."""

    task_id: UUID
    kind: str
    key: str
    payload: dict[str, Any]
    attempts: int
    last_error: str
    create_time: datetime
    update_time: datetime


async def dead(
    tx: AsyncConnection, *, kind: str = "", after: tuple[datetime, UUID] | None = None, limit: int
) -> list[DeadTask]:
    """Up to `limit` dead letters, made so before `after` (update_time, task_id), latest first; ""
    is every kind.
    """
    columns = [_t[name] for name in DeadTask.__dataclass_fields__]
    query = (
        select(*columns)
        .where(_t.state == "DEAD")
        .order_by(_t.update_time.desc(), _t.task_id.desc())
        .limit(limit)
    )
    if kind:
        query = query.where(_t.kind == kind)
    if after:
        query = query.where(tuple_(_t.update_time, _t.task_id) < after)
    return [DeadTask(**row) for row in (await tx.execute(query)).mappings()]


async def replay(tx: AsyncConnection, task: UUID, *, now: datetime) -> UUID:
    """Makes a dead task due now, with all its attempts; returns the id of the task that now carries
    the work.

    That is another one if the same was enqueued again since: the dead letter is then closed. Raises
    NOT_FOUND if there is no dead task of this id.
    """
    found = (
        await tx.execute(
            select(_t.kind, _t.key)
            .where(_t.task_id == task, _t.state == "DEAD")
            .with_for_update(key_share=True)
        )
    ).one_or_none()
    if found is None:
        raise not_found("dead task", str(task))
    twin: UUID | None = await tx.scalar(
        update(outbox_tasks)
        .where(_t.kind == found.kind, _t.key == found.key, _t.state == "OPEN")
        .values(due_time=func.least(_t.due_time, now), update_time=now)
        .returning(_t.task_id)
    )
    result: dict[str, Any]
    if twin:
        result = {"state": "DONE", "last_error": f"asked for again as {twin}"}
    else:
        result = {"state": "OPEN", "due_time": now, "attempts": 0}
    await tx.execute(
        update(outbox_tasks).where(_t.task_id == task).values(**result, update_time=now)
    )
    await notify(tx, ENQUEUED)
    return twin or task
