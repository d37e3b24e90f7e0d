"""What the daemon does, in the audit trail: runs that did something or failed, and no others."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.audit_events import AuditFilter, list_audit_events
from server.audit.job_trail import note_run
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.schedule import Job, Jobs, Progress


async def test_runs_that_did_something_are_written_down(module_database_url: str) -> None:
    db = Database(load_settings(), module_database_url)
    steps: Iterator[Progress | ValueError] = iter(
        [Progress(more=False), Progress(more=False, items=3), ValueError("no luck")]
    )

    async def work(_tx: AsyncConnection, _now: datetime) -> Progress:
        step = next(steps)
        if isinstance(step, ValueError):
            raise step
        return step

    process = Jobs(db, [], on_end=note_run)
    for _ in range(3):
        await process.run_if_due(Job("sweep", timedelta(), work, quiet=True))
    async with db.transaction() as tx:
        wanted = AuditFilter(resource="job", time_until=datetime.now(UTC))
        found = await list_audit_events(tx, wanted, after=None, limit=9)
    await db.close()
    facts = [(each.actor, each.name, each.after) for each in reversed(found)]
    assert [(actor, name) for actor, name, _ in facts] == [("daemon", "sweep")] * 2
    shown = [{key: after[key] for key in ("outcome", "items")} for _, _, after in facts if after]
    assert shown == [{"outcome": "DONE", "items": 3}, {"outcome": "FAILED", "items": 0}]
