"""Moments become the contract's timestamps."""

from datetime import UTC, datetime, timedelta, timezone

from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import example, given
from hypothesis import strategies as st

from server.api import convert

ZONES = st.builds(lambda minutes: timezone(timedelta(minutes=minutes)), st.integers(-840, 840))


@given(
    moment=st.datetimes(
        min_value=datetime(1, 1, 2),  # noqa: DTZ001 - the zone is given beside it
        max_value=datetime(9999, 12, 30),  # noqa: DTZ001
        timezones=ZONES,
    )
)
@example(moment=datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))
def test_a_timestamp_is_protobufs_own(moment: datetime) -> None:
    expected = Timestamp()
    expected.FromDatetime(moment)
    assert convert.timestamp(moment) == expected


def test_no_moment_is_no_timestamp() -> None:
    assert convert.timestamp(None) is None
