"""Dead letters: an administrator has a task that was given up tried again."""

from typing import Unpack
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By
from server.audit.trail import AuditedChange, audit
from server.platform import dead_letters
from server.platform.statements import run


async def replay(tx: AsyncConnection, task_id: str, **by: Unpack[By]) -> UUID:
    """Replays a dead letter; the id of the task that carries the work now. Raises NOT_FOUND."""
    carrier = await dead_letters.replay(tx, UUID(task_id), now=by["now"])
    change = AuditedChange(
        actor=by["actor"],
        action="replay",
        resource="task",
        name=task_id,
        before={"state": "DEAD"},
        after={"task_id": str(carrier)},
    )
    await run(tx, audit(change, now=by["now"]))
    return carrier
