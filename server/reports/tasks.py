"""What is done for reports by the clock."""

from datetime import timedelta

from server.platform.config import Settings
from server.platform.schedule import About, Job
from server.reports import sales_sums, state_counts


def jobs(settings: Settings) -> list[Job]:
    """What is done by the clock."""
    return [
        Job(
            "sum-sales",
            timedelta(minutes=5),
            sales_sums.summing(settings.zone),
            about=About("Sums up sales by hour, for reports.", "按小时汇总销售数据，供报表使用。"),
        ),
        Job(
            "count-states",
            timedelta(minutes=1),
            state_counts.count,
            quiet=True,
            about=About(
                "Counts tickets and orders by state, for metrics.",
                "按状态统计票券与订单，供监控指标使用。",
            ),
        ),
    ]
