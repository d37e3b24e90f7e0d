"""What is done for reports by the clock."""

from datetime import timedelta

from server.platform.config import Settings
from server.platform.schedule import Job
from server.reports import sales_sums, state_counts


def jobs(settings: Settings) -> list[Job]:
    """What is done by the clock."""
    return [
        Job("sum-sales", timedelta(minutes=5), sales_sums.summing(settings.zone)),
        Job("count-states", timedelta(minutes=1), state_counts.count, quiet=True),
    ]
