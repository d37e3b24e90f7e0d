"""What is done for redemptions by the clock."""

from datetime import timedelta

from server.platform.config import Settings
from server.platform.schedule import About, Job
from server.redemption.issue_check import check
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
        ),
        Job(
            "check-redeemed-codes",
            timedelta(hours=1),
            check,
            about=About(
                "Looks for redemptions by codes that were made with a key of ours, but not by us.",
                "查找以我方密钥签名、但并非由我方签发的二维码的核销记录。",
            ),
        ),
    ]
