"""Jobs, and queues of the outbox's tasks, in an administrator's hands: how they stand, a run now, a
pause. Each change is audited.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple, Unpack
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By
from server.audit.trail import AuditedChange, audit
from server.platform import job_runs
from server.platform.errors import invalid, not_found
from server.platform.job_runs import EndedRun, JobState
from server.platform.schedule import Job, lag_seconds
from server.platform.statements import run
from server.platform.task_queues import TaskQueue, queue_code, retry, task_queues
from server.platform.task_worker import TaskKind


class _NamedKind(NamedTuple):
    """A kind of task with its name."""

    name: str
    kind: TaskKind


class JobTable:
    """All jobs, and the queue of each kind of task, by their codes."""

    def __init__(self, jobs: Mapping[str, Job], kinds: Mapping[str, TaskKind]) -> None:
        queues = {queue_code(name): _NamedKind(name, kind) for name, kind in kinds.items()}
        self.kinds = kinds
        self.work: dict[str, Job | _NamedKind] = {**jobs, **queues}

    def require(self, code: str) -> Job | _NamedKind:
        """The job or kind. Raises NOT_FOUND."""
        work = self.work.get(code)
        if work is None:
            raise not_found("job", code)
        return work


class JobStanding(NamedTuple):
    """A job, how it stands, and how late it is."""

    job: Job
    state: JobState
    lag_seconds: float


class QueueStanding(NamedTuple):
    """The queue of a kind of task, how it stands, and how late it is; `state` has its pause."""

    kind: TaskKind
    state: JobState
    queue: TaskQueue
    lag_seconds: float


class RunAsked(NamedTuple):
    """What was asked for: a run of a job, or another try of so many tasks."""

    run_id: UUID | None
    tasks: int = 0


Standing = JobStanding | QueueStanding


async def standings(
    tx: AsyncConnection, table: JobTable, *, after: str, limit: int, now: datetime
) -> list[Standing]:
    """How up to `limit` jobs and queues stand, in the order of their codes, those after `after`."""
    states, queues = await job_runs.states(tx), await task_queues(tx, now)
    return [
        await _standing(tx, table.work[code], states.get(code, JobState(code)), queues, now)
        for code in sorted(code for code in table.work if code > after)[:limit]
    ]


async def run_now(tx: AsyncConnection, table: JobTable, name: str, **by: Unpack[By]) -> RunAsked:
    """Asks for a run of a job; of a queue, has those tried at once that wait after a failure, also
    while it is paused: then they wait for its end. Raises NOT_FOUND, JOB_RUNNING.
    """
    work = table.require(name)
    facts: dict[str, object]
    if isinstance(work, Job):
        run_id = uuid4()
        await job_runs.ask(tx, name, run_id, by=by["actor"], now=by["now"])
        asked, facts = RunAsked(run_id), {"run_id": str(run_id)}
    else:
        tasks = len(await run(tx, retry(work.name, now=by["now"])))
        asked, facts = RunAsked(None, tasks), {"tasks": tasks}
    await _trace(tx, name, "run", None, facts, **by)
    return asked


async def pause(
    tx: AsyncConnection, table: JobTable, name: str, *, comment: str, **by: Unpack[By]
) -> Standing:
    """Pauses a job or queue. Raises NOT_FOUND."""
    work = table.require(name)
    before, after = await job_runs.pause(tx, name, by=by["actor"], comment=comment, now=by["now"])
    if after != before:
        await _trace(tx, name, "pause", _pause_of(before), _pause_of(after), **by)
    return await _standing(tx, work, after, await task_queues(tx, by["now"]), by["now"])


async def resume(tx: AsyncConnection, table: JobTable, name: str, **by: Unpack[By]) -> Standing:
    """Ends the pause of a job or queue. Raises NOT_FOUND."""
    work = table.require(name)
    before, after = await job_runs.resume(tx, name)
    if after != before:
        await _trace(tx, name, "resume", _pause_of(before), _pause_of(after), **by)
    return await _standing(tx, work, after, await task_queues(tx, by["now"]), by["now"])


async def runs(
    tx: AsyncConnection,
    table: JobTable,
    *,
    name: str,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> list[EndedRun]:
    """Runs that ended, the latest first; "" is every job. Raises NOT_FOUND, INVALID_FIELD
    for a queue.
    """
    if name and not isinstance(table.require(name), Job):
        raise invalid(
            "job_code",
            "is a queue, which has no runs: ListJobs counts its tasks, ListDeadTasks has those that"
            " were given up",
        )
    return await job_runs.history(tx, job_name=name, before=before, limit=limit)


async def _standing(
    tx: AsyncConnection,
    work: Job | _NamedKind,
    state: JobState,
    queues: Mapping[str, TaskQueue],
    now: datetime,
) -> Standing:
    if isinstance(work, Job):
        return JobStanding(work, state, await lag_seconds(tx, work, state, now))
    queue = queues.get(work.name, TaskQueue(work.name))
    return QueueStanding(work.kind, state, queue, queue.lag_seconds(now))


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
