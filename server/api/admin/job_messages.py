"""Messages of jobs and queues."""

from datetime import datetime, timedelta
from typing import Any

from deeptravel.admin.v1 import job_pb2
from google.protobuf.duration_pb2 import Duration

from server.api import convert
from server.api.convert import timestamp
from server.audit.job_control import JobStanding, QueueStanding, Standing
from server.platform.job_runs import EndedRun, JobState
from server.platform.stuck import Stuck

OUTCOMES = convert.enum_numbers(job_pb2.JobOutcome)

STOCK_EN = "Stock that becomes free is not sold again while it is paused; resume it within minutes."
STOCK_ZH = "暂停期间，释放的库存不会重新出售；请在几分钟内恢复。"
OVERDUE_EN = "What is due meanwhile is done when it is resumed."
OVERDUE_ZH = "暂停期间到期的工作将在恢复后补做。"


def duration(seconds: float) -> Duration:
    """A span of time."""
    message = Duration()
    message.FromTimedelta(timedelta(seconds=seconds))
    return message


def job(standing: Standing) -> job_pb2.Job:
    """A job or queue, and how it stands."""
    if isinstance(standing, QueueStanding):
        return _queue(standing)
    made, state = standing.job, standing.state
    return job_pb2.Job(
        kind=job_pb2.JOB_KIND_CLOCK,
        job_code=made.name,
        description_en=made.about.en,
        description_zh=made.about.zh,
        cadence=duration(made.cadence.total_seconds()),
        last_start_time=timestamp(state.last_start_time),
        last_end_time=timestamp(state.last_end_time or state.run_time),
        last_outcome=OUTCOMES.get(state.last_outcome or "", 0),
        last_error=state.last_error or "",
        last_items=state.last_items or 0,
        next_time=timestamp(_next_time(standing)),
        lag=duration(standing.lag_seconds),
        worker=state.worker or "",
        run_id=str(state.run_id or state.asked_run_id or ""),
        items=state.items or 0,
        protects_stock=made.protects_stock,
        **_pause(state),
    )


def _queue(standing: QueueStanding) -> job_pb2.Job:
    about, queue = standing.kind.about, standing.queue
    return job_pb2.Job(
        kind=job_pb2.JOB_KIND_QUEUE,
        job_code=standing.state.job_name,
        description_en=about.en,
        description_zh=about.zh,
        last_error=queue.last_error or "",
        next_time=timestamp(None if standing.state.paused_time else queue.next_time),
        lag=duration(standing.lag_seconds),
        open_tasks=queue.open,
        failing_tasks=queue.failing,
        dead_tasks=queue.dead,
        done_tasks=queue.done,
        **_pause(standing.state),
    )


def _pause(state: JobState) -> dict[str, Any]:
    return {
        "paused_by": state.paused_by or "",
        "paused_time": timestamp(state.paused_time),
        "pause_comment": state.pause_comment or "",
    }


def paused(standing: Standing) -> job_pb2.PauseJobResponse:
    """A job or queue that was paused, with what that means."""
    stock = isinstance(standing, JobStanding) and standing.job.protects_stock
    return job_pb2.PauseJobResponse(
        job=job(standing),
        warning_en=STOCK_EN if stock else OVERDUE_EN,
        warning_zh=STOCK_ZH if stock else OVERDUE_ZH,
    )


def job_run(ended: EndedRun) -> job_pb2.JobRun:
    """A run that ended."""
    return job_pb2.JobRun(
        run_id=str(ended.run_id),
        job_code=ended.job_name,
        start_time=timestamp(ended.start_time),
        end_time=timestamp(ended.end_time),
        outcome=OUTCOMES[ended.outcome],
        items=ended.items,
        error=ended.error or "",
        worker=ended.worker,
        asked_by=ended.asked_by or "",
    )


def stuck(found: Stuck) -> job_pb2.Stuck:
    """Something that does not go on by itself."""
    return job_pb2.Stuck(
        kind=found.kind,
        subject=found.subject,
        found=found.found,
        first_time=timestamp(found.first_time),
        seen_time=timestamp(found.seen_time),
    )


def _next_time(standing: JobStanding) -> datetime | None:
    state = standing.state
    if state.run_id or state.paused_time:
        return None
    return state.due_time(standing.job.cadence)
