"""The methods of AdminService that show how things stand: the dashboard and the reports."""

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from deeptravel.admin.v1 import report_pb2
from google.api import httpbody_pb2

from server.api import calls, convert
from server.api.admin import report_messages as messages
from server.api.admin.table import AdminMethods
from server.api.calls import Context
from server.api.paging import Page, paged
from server.audit.job_control import JobTable
from server.identity.callers import Admin, Operator
from server.platform import clock
from server.platform.errors import invalid
from server.redemption.lookup import days_of
from server.reports import redemption_report, report_csv, sales_report
from server.reports.dashboard import Dashboard, dashboard
from server.reports.recent import Recent
from server.reports.rules import ReportTime, report_time

DASHBOARD_SECONDS = 4.0
"""So old figures of a dashboard may be; those who look at the same share them."""
NAMES = ("merchant_code", "venue_code", "function_code", "partner_code", "product_name")
"""Columns whose texts people chose."""


class Days(Protocol):
    """A request about days."""

    from_day: str
    until_day: str


class ReportMethods(AdminMethods):
    """A part of AdminServicer; the contract documents each method."""

    _zone: ZoneInfo
    _dashboards: Recent[Dashboard]
    _jobs: JobTable

    async def GetDashboard(
        self,
        request: report_pb2.GetDashboardRequest,
        context: Context[report_pb2.GetDashboardRequest, report_pb2.GetDashboardResponse],
    ) -> report_pb2.GetDashboardResponse:
        now, caller = clock.now(), calls.caller(Admin, Operator)
        time = self._time(request, now, hourly=None)
        merchant = _merchant(request.merchant_code)
        kinds = self._jobs.kinds if isinstance(caller, Admin) else None

        async def make() -> Dashboard:
            async with self._db.report(f"dashboard of {merchant}") as tx:
                return await dashboard(tx, time, merchant_code=merchant, kinds=kinds, now=now)

        # until now: the same for all who ask within these seconds
        key = time.zone, time.bounds, merchant, kinds is None
        return messages.dashboard(await self._dashboards.get(key, make))

    @paged
    async def ReportRedemptions(
        self,
        request: report_pb2.ReportRedemptionsRequest,
        page: Page[Admin | Operator, tuple[int, str, str, str]],
    ) -> report_pb2.ReportRedemptionsResponse:
        time = self._time(request, clock.now(), hourly=_is_hourly(request.period))
        async with self._db.report(page.caller.key) as tx:
            found, uncounted = await redemption_report.rows(
                tx, time, _merchant(request.merchant_code)
            )
        after = [row for row in found if page.after is None or row.key > page.after]
        answer = report_pb2.ReportRedemptionsResponse(
            rows=map(messages.redemption_row, page.cut(after, lambda last: last.key)),
            time_zone=str(time.zone),
        )
        messages.say_uncounted(answer, uncounted)
        return answer

    @paged
    async def ReportSales(
        self,
        request: report_pb2.ReportSalesRequest,
        page: Page[Admin, tuple[int, int, int, str]],
    ) -> report_pb2.ReportSalesResponse:
        time = self._time(request, clock.now(), hourly=_is_hourly(request.period))
        async with self._db.report(page.caller.key) as tx:
            found, uncounted = await sales_report.rows(tx, time)
        after = [row for row in found if page.after is None or row.key > page.after]
        answer = report_pb2.ReportSalesResponse(
            rows=map(messages.sales_row, page.cut(after, lambda last: last.key)),
            time_zone=str(time.zone),
        )
        messages.say_uncounted(answer, uncounted)
        return answer

    async def DownloadRedemptionReport(
        self,
        request: report_pb2.DownloadRedemptionReportRequest,
        context: Context[
            report_pb2.DownloadRedemptionReportRequest, report_pb2.DownloadRedemptionReportResponse
        ],
    ) -> AsyncIterator[report_pb2.DownloadRedemptionReportResponse]:
        time = self._time(request, clock.now(), hourly=_is_hourly(request.period))
        async with self._db.report(calls.caller().key) as tx:
            rows, uncounted = await redemption_report.rows(
                tx, time, _merchant(request.merchant_code)
            )
        report_csv.require_counted(uncounted)
        for body in _csv(redemption_report.COLUMNS, rows):
            yield report_pb2.DownloadRedemptionReportResponse(body=body)

    async def DownloadSalesReport(
        self,
        request: report_pb2.DownloadSalesReportRequest,
        context: Context[
            report_pb2.DownloadSalesReportRequest, report_pb2.DownloadSalesReportResponse
        ],
    ) -> AsyncIterator[report_pb2.DownloadSalesReportResponse]:
        time = self._time(request, clock.now(), hourly=_is_hourly(request.period))
        async with self._db.report(calls.caller().key) as tx:
            rows, uncounted = await sales_report.rows(tx, time)
        report_csv.require_counted(uncounted)
        for body in _csv(sales_report.COLUMNS, rows):
            yield report_pb2.DownloadSalesReportResponse(body=body)

    def _time(self, request: Days, now: datetime, *, hourly: bool | None) -> ReportTime:
        """Raises INVALID_FIELD."""
        zone = days_of(calls.caller(Admin, Operator), self._zone)
        first, last = convert.day(request, "from_day"), convert.day(request, "until_day")
        try:
            return report_time(first, last, now=now, zone=zone, hourly=hourly)
        except ValueError as error:
            field, _, what = str(error).partition(": ")
            raise invalid(field, what) from None


def _csv(
    columns: Sequence[str],
    rows: Sequence[redemption_report.RedemptionRow] | Sequence[sales_report.ReportedSales],
) -> Iterator[httpbody_pb2.HttpBody]:
    cells = (row.cells() for row in rows)
    for piece in report_csv.csv_pieces(columns, cells, names=NAMES):
        yield httpbody_pb2.HttpBody(content_type=report_csv.CONTENT_TYPE, data=piece)


def _merchant(asked: str) -> str:
    """Whose redemptions are shown: a supervisor's own, else as asked, all if empty."""
    caller = calls.caller(Admin, Operator)
    return caller.merchant_code if isinstance(caller, Operator) else asked


def _is_hourly(period: int) -> bool:
    return messages.PERIOD_NAME[period] == "HOUR"
