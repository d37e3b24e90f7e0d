"""The methods of AdminService about the jobs that run by the clock, and the queues of tasks."""

from datetime import datetime
from uuid import UUID

from deeptravel.admin.v1 import job_pb2

from server.api.admin import job_messages as messages
from server.api.admin.table import AdminMethods, by
from server.api.paging import Page, paged
from server.api.repeats import ChangingCall, changing
from server.audit import job_control
from server.audit.job_control import JobTable
from server.identity.callers import Admin
from server.platform import clock, stuck


class JobMethods(AdminMethods):
    """A part of AdminServicer; the contract documents each method."""

    _jobs: JobTable

    @paged
    async def ListJobs(
        self, request: job_pb2.ListJobsRequest, page: Page[Admin, str]
    ) -> job_pb2.ListJobsResponse:
        async with self._db.report(page.caller.key) as tx:
            found = await job_control.standings(
                tx, self._jobs, after=page.after or "", limit=page.size + 1, now=clock.now()
            )
        shown = page.cut(found, lambda last: last.state.job_name)
        return job_pb2.ListJobsResponse(jobs=map(messages.job, shown))

    @changing
    async def RunJob(
        self, request: job_pb2.RunJobRequest, call: ChangingCall[Admin]
    ) -> job_pb2.RunJobResponse:
        asked = await job_control.run_now(call.tx, self._jobs, request.job_code, **by(call))
        return job_pb2.RunJobResponse(run_id=str(asked.run_id or ""), tasks=asked.tasks)

    @changing
    async def PauseJob(
        self, request: job_pb2.PauseJobRequest, call: ChangingCall[Admin]
    ) -> job_pb2.PauseJobResponse:
        paused = await job_control.pause(
            call.tx, self._jobs, request.job_code, comment=request.comment, **by(call)
        )
        return messages.paused(paused)

    @changing
    async def ResumeJob(
        self, request: job_pb2.ResumeJobRequest, call: ChangingCall[Admin]
    ) -> job_pb2.ResumeJobResponse:
        resumed = await job_control.resume(call.tx, self._jobs, request.job_code, **by(call))
        return job_pb2.ResumeJobResponse(job=messages.job(resumed))

    @paged
    async def ListJobRuns(
        self, request: job_pb2.ListJobRunsRequest, page: Page[Admin, tuple[datetime, UUID]]
    ) -> job_pb2.ListJobRunsResponse:
        async with self._db.report(page.caller.key) as tx:
            found = await job_control.runs(
                tx, self._jobs, name=request.job_code, before=page.after, limit=page.size + 1
            )
        shown = page.cut(found, lambda last: (last.start_time, last.run_id))
        return job_pb2.ListJobRunsResponse(job_runs=map(messages.job_run, shown))

    @paged
    async def ListStuck(
        self, request: job_pb2.ListStuckRequest, page: Page[Admin, tuple[str, str]]
    ) -> job_pb2.ListStuckResponse:
        async with self._db.report(page.caller.key) as tx:
            found = await stuck.page(tx, kind=request.kind, after=page.after, limit=page.size + 1)
        shown = page.cut(found, lambda last: (last.kind, last.subject))
        return job_pb2.ListStuckResponse(stuck=map(messages.stuck, shown))
