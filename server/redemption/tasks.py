"""What is done for redemptions by the clock."""

from datetime import timedelta

from server.platform.config import Settings
from server.platform.schedule import Job
from server.redemption.sums import sum_up


def jobs(_: Settings) -> list[Job]:
    """What is done by the clock."""
    return [Job("sum-redemptions", timedelta(minutes=5), sum_up)]
