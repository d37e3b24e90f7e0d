"""What is done for redemptions by the clock."""

from datetime import timedelta

from server.platform.config import Settings
from server.platform.schedule import About, Job
from server.redemption.sums import sum_up


def jobs(_: Settings) -> list[Job]:
    """What is done by the clock."""
    return [
        Job(
            "sum-redemptions",
            timedelta(minutes=5),
            sum_up,
            about=About(
                "Sums up redemptions by hour and venue, for reports.",
                "按小时和核销点汇总核销记录，供报表使用。",
            ),
        )
    ]
