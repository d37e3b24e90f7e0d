"""What a sandbox's test clock shows, and how far it may be moved. Pure.

A clock that nobody has moved shows the time that it is. It is moved forward only, and goes on from
there at the pace of time. While it is being moved it stands at the moments at which something falls
due, one after the other.
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

MICROSECOND = timedelta(microseconds=1)
MAX_ADVANCE_SECONDS = 400 * 86_400
"""By so much one call moves a clock at the most: more than a year of tickets."""
LATEST_TIME = datetime(2100, 1, 1, tzinfo=UTC)
"""No clock is moved beyond it: the expiry in a QR code ends in 2106."""


class SandboxTime(NamedTuple):
    """What a test clock shows: `ahead_microseconds` more than the time, or `standing_time` while it
    is being moved.
    """

    ahead_microseconds: int
    standing_time: datetime | None

    def at(self, now: datetime) -> datetime:
        """The time it shows when it is `now`."""
        return self.standing_time or now + self.ahead_microseconds * MICROSECOND


def ahead_after(before_microseconds: int, target_time: datetime, now: datetime) -> int:
    """By how many microseconds a clock is ahead when it has reached the target; never less than
    before: it does not go back, however short the way was.
    """
    return max(before_microseconds, (target_time - now) // MICROSECOND)


def fault_of_target(target_time: datetime, begin: datetime) -> str:
    """What is wrong with moving a clock from `begin` to a time; empty if nothing is."""
    if target_time <= begin:
        return f"is {begin.isoformat()} on the clock already; it only goes forward"
    if target_time - begin > timedelta(seconds=MAX_ADVANCE_SECONDS):
        days = MAX_ADVANCE_SECONDS // 86_400
        return f"is more than {days} days after {begin.isoformat()}; go there in several calls"
    if target_time > LATEST_TIME:
        return f"is after {LATEST_TIME.isoformat()}, where every test clock ends"
    return ""
