"""The clock of the server: time is passed down from where a call or a job begins."""

from datetime import UTC, datetime


def now() -> datetime:
    """The time of the call, UTC."""
    return datetime.now(UTC)
