"""Moments and enums of the contract to Python's and back."""

import os
from datetime import UTC, date, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from server.platform.errors import DomainError, Reason, invalid

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp(moment: datetime | None) -> Timestamp | None:
    """A protobuf timestamp; None stays unset."""
    if moment is None:
        return None
    # a tenth of what Timestamp.FromDatetime takes, and a page of tickets has hundreds
    passed = moment - _EPOCH
    return Timestamp(
        seconds=passed.days * 86_400 + passed.seconds, nanos=passed.microseconds * 1_000
    )


def moment(request: Any, field: str) -> datetime | None:
    """The time in a field of the request, UTC; None if unset. Raises INVALID_FIELD beyond years
    1 to 9999.
    """
    if not request.HasField(field):
        return None
    try:
        return getattr(request, field).ToDatetime(tzinfo=UTC)  # type: ignore[no-any-return]
    except (ValueError, OverflowError):
        raise DomainError(
            Reason.INVALID_FIELD,
            f"{field}: is not a time",
            violations=[(field, "is not a time between the years 1 and 9999")],
        ) from None


def day(request: Any, field: str) -> date | None:
    """The day in a text field of the request, YYYY-MM-DD; None if it is empty. Raises
    INVALID_FIELD.
    """
    written = getattr(request, field)
    try:
        return date.fromisoformat(written) if written else None
    except ValueError:
        raise invalid(field, f"{written} is no day; send YYYY-MM-DD") from None


def enum_numbers(enum: Any) -> dict[str, Any]:
    """The numbers of an enum by the names the domain uses: without prefix, UNSPECIFIED as the
    empty name.
    """
    prefix = os.path.commonprefix(enum.keys())
    prefix = prefix[: prefix.rindex("_") + 1]
    return {
        "" if name == prefix + "UNSPECIFIED" else name.removeprefix(prefix): number
        for name, number in enum.items()
    }


def enum_names(enum: Any) -> dict[int, str]:
    """The names the domain uses, by number."""
    return {number: name for name, number in enum_numbers(enum).items()}
