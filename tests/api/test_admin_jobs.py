"""Jobs and queues in an administrator's hands: the list, a run now, a pause, and the history, each
audited.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from deeptravel.admin.v1 import job_pb2
from sqlalchemy import delete, insert, select

from server.app import jobs
from server.catalog.departures import FOLLOW_CANCELLATION
from server.catalog.timetables import FOLLOW_MOVE
from server.platform.errors import Reason
from server.platform.job_runs import job_history, job_runs
from server.platform.outbox import outbox_tasks, task_id
from server.platform.schedule import Jobs
from server.platform.task_queues import queue_code
from tests.support.admin_client import AdminClient, kinds
from tests.support.waiting import WAIT_SECONDS

JOB = "purge-answers"
LONG_AGO = datetime(2026, 11, 1, tzinfo=UTC)


async def fresh(client: AdminClient) -> None:
    """The job ran long ago, and nothing else is known of it."""
    async with client.node.db.transaction() as tx:
        await tx.execute(delete(job_runs).where(job_runs.c.job_name == JOB))
        await tx.execute(insert(job_runs).values(job_name=JOB, run_time=LONG_AGO))
        await tx.execute(delete(job_history))


async def listed(client: AdminClient, name: str = JOB) -> Any:
    found = {job.job_code: job for job in (await client.do("ListJobs", page_size=200)).jobs}
    return found[name]


async def test_every_job_is_listed_with_how_it_stands(admin_client: AdminClient) -> None:
    await fresh(admin_client)
    found = (await admin_client.do("ListJobs", page_size=200)).jobs
    queues = map(queue_code, kinds(admin_client.node))
    assert [job.job_code for job in found] == sorted(
        (*(job.name for job in jobs(admin_client.node.settings)), *queues)
    )
    job = await listed(admin_client)
    assert job.cadence.ToTimedelta() == timedelta(minutes=10)
    assert job.next_time.ToDatetime(UTC) == LONG_AGO + timedelta(minutes=10)
    late = datetime.now(UTC) - LONG_AGO - timedelta(minutes=10)
    assert abs(job.lag.ToTimedelta() - late) < timedelta(minutes=1)
    assert (job.worker, job.run_id, job.paused_by) == ("", "", "")
    assert not job.protects_stock
    assert (await listed(admin_client, "expire-holds")).protects_stock


async def test_job_is_paused_with_a_reason_and_resumed(admin_client: AdminClient) -> None:
    await fresh(admin_client)
    answer = await admin_client.do("PauseJob", job_code=JOB, comment="the disk is full")
    assert answer.job.paused_by == "admin:root"
    assert answer.job.pause_comment == "the disk is full"
    assert not answer.job.HasField("next_time")
    again = await admin_client.do("PauseJob", job_code=JOB, comment="me too")
    assert again.job.pause_comment == "the disk is full"
    resumed = await admin_client.do("ResumeJob", job_code=JOB)
    assert not resumed.job.paused_by
    assert resumed.job.HasField("next_time")
    trail = await admin_client.trail("job", JOB)
    assert [event.action for event in trail[:2]] == ["resume", "pause"]
    assert trail[1].after["comment"] == "the disk is full"


async def test_pause_of_what_protects_stock_warns(admin_client: AdminClient) -> None:
    answer = await admin_client.do("PauseJob", job_code="expire-holds", comment="a test")
    await admin_client.do("ResumeJob", job_code="expire-holds")
    assert "Stock" in answer.warning_en
    assert "库存" in answer.warning_zh


async def test_run_is_asked_for_once_and_found_in_the_history(admin_client: AdminClient) -> None:
    await fresh(admin_client)
    asked = await admin_client.do("RunJob", job_code=JOB, request_id="run-1")
    repeated = await admin_client.do("RunJob", job_code=JOB, request_id="run-1")
    assert repeated.run_id == asked.run_id
    refused = await admin_client.refused("RunJob", job_code=JOB)
    assert refused.reason == Reason.JOB_RUNNING
    assert (await listed(admin_client)).run_id == asked.run_id
    process = Jobs(admin_client.node.db, jobs(admin_client.node.settings))
    process.start()
    run = await ended(admin_client, asked.run_id)
    await process.stop()
    assert (run.outcome, run.asked_by) == (job_pb2.JOB_OUTCOME_DONE, "admin:root")
    job = await listed(admin_client)
    assert job.last_outcome == job_pb2.JOB_OUTCOME_DONE
    assert job.last_end_time.ToDatetime(UTC) > LONG_AGO
    assert (await admin_client.trail("job", JOB))[0].action == "run"


async def ended(client: AdminClient, run_id: str) -> Any:
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            found = (await client.do("ListJobRuns", job_code=JOB)).job_runs
            for run in found:
                if run.run_id == run_id:
                    return run
            await asyncio.sleep(0.05)


async def put_tasks(client: AdminClient, now: datetime) -> None:
    """Tasks of departure.cancelled in every state: (key, state, due in seconds, attempts, leased,
    error, updated before seconds).
    """
    failed = "UNAVAILABLE: WeChat is away"
    async with client.node.db.transaction() as tx:
        await tx.execute(delete(outbox_tasks))
        for key, state, due, attempts, leased, error, age in (
            ("late", "OPEN", -90, 0, False, None, 0),
            ("failing", "OPEN", 500, 3, False, failed, 0),
            ("trying", "OPEN", -5, 4, True, failed, 0),
            ("postponed", "OPEN", 500, 0, False, failed, 0),
            ("dead", "DEAD", 0, 9, False, "gave up", 900),
            ("done", "DONE", 0, 1, False, None, 60),
            ("done-before", "DONE", 0, 1, False, None, 900),
        ):
            await tx.execute(
                insert(outbox_tasks).values(
                    task_id=task_id(now),
                    kind=FOLLOW_CANCELLATION,
                    key=key,
                    payload={},
                    state=state,
                    due_time=now + timedelta(seconds=due),
                    attempts=attempts,
                    lease_until=now + timedelta(minutes=1) if leased else None,
                    last_error=error,
                    create_time=now,
                    update_time=now - timedelta(seconds=age),
                )
            )


async def test_a_queue_is_listed_run_and_paused(admin_client: AdminClient) -> None:
    """Seen red with `attempts > 0` taken out of what a run makes due: the postponed one was too."""
    code, now = queue_code(FOLLOW_CANCELLATION), datetime.now(UTC)
    await put_tasks(admin_client, now)
    queue = await listed(admin_client, code)
    assert queue.kind == job_pb2.JOB_KIND_QUEUE
    counts = queue.open_tasks, queue.failing_tasks, queue.dead_tasks, queue.done_tasks
    assert counts == (4, 2, 1, 1)
    assert queue.next_time.ToDatetime(UTC) == now - timedelta(seconds=90)
    assert queue.lag.ToTimedelta() >= timedelta(seconds=90)
    assert queue.last_error
    assert not queue.HasField("cadence")
    answer = await admin_client.do("RunJob", job_code=code)
    assert (answer.run_id, answer.tasks) == ("", 1)
    async with admin_client.node.db.transaction() as tx:
        columns = outbox_tasks.c.key, outbox_tasks.c.due_time
        due = {key: time for key, time in await tx.execute(select(*columns)) if time > now}
    assert due.keys() == {"failing", "postponed"}
    assert due["failing"] < now + timedelta(minutes=5) < due["postponed"]
    paused = (await admin_client.do("PauseJob", job_code=code, comment="WeChat is away")).job
    assert (paused.paused_by, paused.open_tasks) == ("admin:root", 4)
    assert not paused.HasField("next_time")
    resumed = (await admin_client.do("ResumeJob", job_code=code)).job
    assert (resumed.paused_by, resumed.HasField("next_time")) == ("", True)
    actions = [event.action for event in await admin_client.trail("job", code)]
    assert actions == ["resume", "pause", "run"]


async def test_unknown_jobs_are_refused(admin_client: AdminClient) -> None:
    refused = await admin_client.refused("ListJobRuns", job_code=queue_code(FOLLOW_MOVE))
    assert refused.reason == Reason.INVALID_FIELD
    for method, fields in (
        ("RunJob", {}),
        ("PauseJob", {"comment": "a test"}),
        ("ResumeJob", {}),
        ("ListJobRuns", {}),
    ):
        refused = await admin_client.refused(method, job_code="no-such-job", **fields)
        assert refused.reason == Reason.NOT_FOUND, method
