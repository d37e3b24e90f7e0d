"""Jobs in an administrator's hands: the list, a run now, a pause, and the history, each audited."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from deeptravel.admin.v1 import job_pb2
from sqlalchemy import delete, insert

from server.app import jobs
from server.platform.errors import Reason
from server.platform.job_runs import job_history, job_runs
from server.platform.schedule import Jobs
from tests.support.admin_client import AdminClient
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
    found = {job.job_code: job for job in (await client.do("ListJobs")).jobs}
    return found[name]


async def test_every_job_is_listed_with_how_it_stands(admin_client: AdminClient) -> None:
    await fresh(admin_client)
    found = (await admin_client.do("ListJobs")).jobs
    assert [job.job_code for job in found] == sorted(
        job.name for job in jobs(admin_client.node.settings)
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


async def test_unknown_jobs_are_refused(admin_client: AdminClient) -> None:
    for method, fields in (
        ("RunJob", {}),
        ("PauseJob", {"comment": "a test"}),
        ("ResumeJob", {}),
        ("ListJobRuns", {}),
    ):
        refused = await admin_client.refused(method, job_code="no-such-job", **fields)
        assert refused.reason == Reason.NOT_FOUND, method
