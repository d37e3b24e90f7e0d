"""Messages of the dashboard and of reports."""

from collections.abc import Iterable

from deeptravel.admin.v1 import report_pb2

from server.api import convert
from server.reports import figures
from server.reports.dashboard import Dashboard, Period
from server.reports.redemption_report import RedemptionRow
from server.reports.rules import Uncounted
from server.reports.sales_report import ReportedSales
from server.reports.state_counts import StateCount

PERIOD_NAME = convert.enum_names(report_pb2.ReportPeriod)


def dashboard(found: Dashboard) -> report_pb2.GetDashboardResponse:
    """A dashboard."""
    message = report_pb2.GetDashboardResponse(
        time_zone=str(found.time.zone),
        begin_time=convert.timestamp(found.time.begin_time),
        end_time=convert.timestamp(found.time.end_time),
        figures_time=convert.timestamp(found.figures_time),
        revenue=map(_revenue, found.revenue),
        redemptions=_redemptions(found.redemptions),
        periods=map(_period, found.periods),
        merchants=(
            report_pb2.MerchantFigures(merchant_code=code, redemptions=_redemptions(each))
            for code, each in found.merchants.items()
        ),
        refusals=(
            report_pb2.RefusalFigure(reason=reason, count=count) for reason, count in found.refusals
        ),
    )
    say_uncounted(message, found.uncounted)
    if found.orders:
        message.orders.CopyFrom(_orders(found.orders))
    if found.house:
        _house(message, found)
    return message


def say_uncounted(
    message: report_pb2.GetDashboardResponse
    | report_pb2.ReportRedemptionsResponse
    | report_pb2.ReportSalesResponse,
    uncounted: Uncounted | None,
) -> None:
    """Of which time figures are missing, if any are."""
    if uncounted:
        message.uncounted_from_time.FromDatetime(uncounted.from_time)
        message.uncounted_until_time.FromDatetime(uncounted.until_time)


def _house(message: report_pb2.GetDashboardResponse, found: Dashboard) -> None:
    assert found.house
    states = found.house.states
    message.ticket_states.extend(_states(states, "TICKET"))
    message.order_states.extend(_states(states, "ORDER"))
    if states:
        oldest = convert.timestamp(min(each.count_time for each in states))
        assert oldest
        message.states_time.CopyFrom(oldest)
    message.queues.extend(
        report_pb2.QueueFigure(
            kind=each.kind,
            open_count=each.open_count,
            dead_count=each.dead_count,
            oldest_wait_seconds=int(each.oldest_due_seconds),
        )
        for each in found.house.queues
    )
    message.jobs.extend(
        report_pb2.JobFigure(job_name=each.job_name, run_time=convert.timestamp(each.run_time))
        for each in found.house.jobs
    )


def _states(states: Iterable[StateCount], noun: str) -> list[report_pb2.StateFigure]:
    return [
        report_pb2.StateFigure(state=each.state, count=each.items)
        for each in states
        if each.noun == noun
    ]


def _period(period: Period) -> report_pb2.DashboardPeriod:
    message = report_pb2.DashboardPeriod(
        begin_time=convert.timestamp(period.begin_time),
        end_time=convert.timestamp(period.end_time),
        redemptions=_redemptions(period.redemptions),
    )
    if period.sales:
        message.orders.CopyFrom(_orders(period.sales.orders))
        message.revenue.extend(_revenue(each) for _, each in sorted(period.sales.revenue.items()))
    return message


def _orders(found: figures.OrderFigures) -> report_pb2.OrderFigures:
    return report_pb2.OrderFigures(
        made_count=found.made_count,
        paid_count=found.paid_count,
        cancelled_count=found.cancelled_count,
        completed_count=found.completed_count,
        ticket_count=found.ticket_count,
    )


def _revenue(found: figures.Revenue) -> report_pb2.RevenueFigures:
    return report_pb2.RevenueFigures(
        currency_code=found.currency_code,
        paid_minor=found.paid_minor,
        refunded_minor=found.refunded_minor,
        net_minor=found.net_minor,
    )


def _redemptions(found: figures.RedemptionFigures) -> report_pb2.RedemptionFigures:
    return report_pb2.RedemptionFigures(
        admitted_count=found.admitted_count,
        admitted_uses=found.admitted_uses,
        refused_count=found.refused_count,
        reversed_count=found.reversed_count,
        reversed_uses=found.reversed_uses,
    )


def redemption_row(row: RedemptionRow) -> report_pb2.RedemptionReportRow:
    """A row of the report of redemptions."""
    _, merchant_code, venue_code, function_code = row.key
    return report_pb2.RedemptionReportRow(
        begin_time=convert.timestamp(row.begin_time),
        day=row.day,
        merchant_code=merchant_code,
        venue_code=venue_code,
        function_code=function_code,
        redemptions=_redemptions(row.figures),
    )


def sales_row(row: ReportedSales) -> report_pb2.SalesReportRow:
    """A row of the report of sales."""
    _, _, product_id, currency_code = row.key
    found = row.figures
    return report_pb2.SalesReportRow(
        begin_time=convert.timestamp(row.begin_time),
        day=row.day,
        partner_code=row.partner_code,
        product_id=product_id,
        product_name=row.product_name,
        currency_code=currency_code,
        sold_count=found.sold_count,
        sold_minor=found.sold_minor,
        changed_count=found.changed_count,
        changed_minor=found.changed_minor,
        refunded_count=found.refunded_count,
        refunded_minor=found.refunded_minor,
        net_minor=found.net_minor,
    )
