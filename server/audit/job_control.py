"""Jobs in an administrator's hands: how they stand, a run now, a pause. Each change is audited."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple, Unpack
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By
from server.audit.trail import AuditedChange, audit
from server.platform import job_runs
from server.platform.errors import not_found
from server.platform.job_runs import EndedRun, JobState
from server.platform.schedule import Job, lag_seconds
from server.platform.statements import run

JobTable = Mapping[str, Job]
"""All jobs, by name."""


class JobStanding(NamedTuple):
    """A job, how it stands, and how late it is."""

    job: Job
    state: JobState
    lag_seconds: float


def require_job(table: JobTable, name: str) -> Job:
    """The job. Raises NOT_FOUND."""
    job = table.get(name)
    if job is None:
        raise not_found("job", name)
    return job


async def standings(
    tx: AsyncConnection, table: JobTable, *, after: str, limit: int, now: datetime
) -> list[JobStanding]:
    """How up to `limit` jobs stand, in the order of their names, those after `after`."""
    states = await job_runs.states(tx)
    return [
        await _standing(tx, table[name], states.get(name, JobState(name)), now)
        for name in sorted(name for name in table if name > after)[:limit]
    ]


async def run_now(tx: AsyncConnection, table: JobTable, name: str, **by: Unpack[By]) -> UUID:
    """Asks for a run; its id. Raises NOT_FOUND, JOB_RUNNING."""
    require_job(table, name)
    run_id = uuid4()
    await job_runs.ask(tx, name, run_id, by=by["actor"], now=by["now"])
    await _trace(tx, name, "run", None, {"run_id": str(run_id)}, **by)
    return run_id


async def pause(
    tx: AsyncConnection, table: JobTable, name: str, *, comment: str, **by: Unpack[By]
) -> JobStanding:
    """Pauses a job. Raises NOT_FOUND."""
    job = require_job(table, name)
    before, after = await job_runs.pause(tx, name, by=by["actor"], comment=comment, now=by["now"])
    if after != before:
        await _trace(tx, name, "pause", _pause_of(before), _pause_of(after), **by)
    return await _standing(tx, job, after, by["now"])


async def resume(tx: AsyncConnection, table: JobTable, name: str, **by: Unpack[By]) -> JobStanding:
    """Ends a job's pause. Raises NOT_FOUND."""
    job = require_job(table, name)
    before, after = await job_runs.resume(tx, name)
    if after != before:
        await _trace(tx, name, "resume", _pause_of(before), _pause_of(after), **by)
    return await _standing(tx, job, after, by["now"])


async def runs(
    tx: AsyncConnection,
    table: JobTable,
    *,
    name: str,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> list[EndedRun]:
    """Runs that ended, the latest first; "" is every job. Raises NOT_FOUND."""
    if name:
        require_job(table, name)
    return await job_runs.history(tx, job_name=name, before=before, limit=limit)


async def _standing(tx: AsyncConnection, job: Job, state: JobState, now: datetime) -> JobStanding:
    return JobStanding(job, state, await lag_seconds(tx, job, state, now))


def _pause_of(state: JobState) -> dict[str, object]:
    if state.paused_time is None:
        return {"state": "RUNNING"}
    return {"state": "PAUSED", "paused_by": state.paused_by, "comment": state.pause_comment}


async def _trace(
    tx: AsyncConnection,
    name: str,
    action: str,
    before: dict[str, object] | None,
    after: dict[str, object],
    **by: Unpack[By],
) -> None:
    change = AuditedChange(
        actor=by["actor"],
        action=action,
        resource="job",
        name=name,
        before=before,
        after=after,
    )
    await run(tx, audit(change, now=by["now"]))
