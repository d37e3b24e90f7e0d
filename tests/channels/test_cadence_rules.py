"""How often channels are sent what: the table of seed 003."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from server.channels.cadence_rules import (
    PRICES,
    PRICES_AT_ONCE,
    PricePace,
    SyncPart,
    is_due,
    next_time,
)
from server.platform.config import ConfigError, load_settings

ZONE = ZoneInfo("Asia/Hong_Kong")
NOON = datetime(2026, 12, 20, 12, tzinfo=ZONE)
BUSY = frozenset(range(9, 22))


@pytest.mark.parametrize(
    ("part", "minutes"),
    [
        (SyncPart.STATIC, 1440),
        (SyncPart.PRICES_DAILY, 1440),
        (SyncPart.PRICES_FOUR_HOURLY, 240),
        (SyncPart.PRICES_HOURLY, 60),
        (SyncPart.AVAILABILITY, 30),
        (SyncPart.BOOKINGS, 15),
        (SyncPart.STATUS, 240),
    ],
)
def test_each_part_has_its_cadence(part: SyncPart, minutes: int) -> None:
    assert next_time(part, None, NOON, BUSY) == NOON
    last = (NOON - timedelta(minutes=7)).astimezone(UTC)
    assert next_time(part, last, NOON, BUSY) == last + timedelta(minutes=minutes)
    quiet = 60 if part is SyncPart.AVAILABILITY else minutes
    assert next_time(part, last, NOON, ()) == last + timedelta(minutes=quiet)


@pytest.mark.parametrize(
    ("last", "due"),
    [
        (None, "2026-12-21 03:00"),
        ("2026-12-20 02:59", "2026-12-20 03:00"),
        ("2026-12-20 03:00", "2026-12-21 03:00"),
        ("2026-12-17 11:00", "2026-12-18 03:00"),
    ],
)
def test_everything_is_due_at_night(last: str | None, due: str) -> None:
    since = datetime.fromisoformat(last).replace(tzinfo=ZONE).astimezone(UTC) if last else None
    found = next_time(SyncPart.EVERYTHING, since, NOON, BUSY)
    assert f"{found.astimezone(ZONE):%Y-%m-%d %H:%M}" == due


@pytest.mark.parametrize(
    ("part", "static", "left", "paces"),
    [
        ("", True, True, set(PricePace)),
        (SyncPart.EVERYTHING, True, True, set(PricePace)),
        (SyncPart.STATIC, True, False, set()),
        (SyncPart.AVAILABILITY, False, True, set()),
        (SyncPart.PRICES_DAILY, False, False, {PricePace.DAILY}),
        (SyncPart.PRICES_FOUR_HOURLY, False, False, {PricePace.FOUR_HOURLY}),
        (SyncPart.PRICES_HOURLY, False, False, {PricePace.HOURLY, PricePace.AT_ONCE}),
        (PRICES_AT_ONCE, False, False, {PricePace.AT_ONCE}),
        (PRICES, False, False, set(PricePace)),
    ],
)
def test_what_a_part_is_about(part: str, static: bool, left: bool, paces: set[str]) -> None:
    assert is_due(part, "STATIC", "DAILY") == static
    assert is_due(part, "AVAILABILITY", "DAILY") == left
    assert {each for each in PricePace if is_due(part, "PRICES", each)} == paces


def test_peak_hours_are_a_setting() -> None:
    assert load_settings(channel_peak_hours="9-22").channel_peak == BUSY
    assert load_settings(channel_peak_hours="22-2").channel_peak == {22, 23, 0, 1}
    assert load_settings(channel_peak_hours="").channel_peak == frozenset()
    for wrong in ("9", "9-9", "9-25", "nine-ten", "9-10-11", "-3-4"):
        with pytest.raises(ConfigError, match="CHANNEL_PEAK_HOURS"):
            load_settings(channel_peak_hours=wrong)
