"""What metrics say of channels, and whom they alert."""

from datetime import timedelta

import pytest

from server.channels import health
from server.channels.due import PROBE
from server.platform.metrics import CHANNEL_AWAY, CHANNEL_FAULTS, CHANNEL_LATE
from tests.support.booking_process import BookingProcess


async def test_metrics_say_what_waits_for_an_administrator_and_who_is_away(
    process: BookingProcess,
) -> None:
    await process.sell_at("ctrip")
    process.buy("ctrip", "ODD", car_id="X")
    await process.settle("ctrip", "ODD")
    await process.measure()
    assert process.metric(CHANNEL_FAULTS, "ctrip", "BOOKINGS") == 1
    assert process.metric(CHANNEL_FAULTS, "ctrip", "PRICES") == 0
    assert process.metric(CHANNEL_AWAY, "ctrip") == 0
    process.vendors.switch(down={"ctrip": -1})
    await process.fetch("ctrip")
    await process.measure(timedelta(minutes=9))
    assert process.metric(CHANNEL_AWAY, "ctrip") > 480
    await process.sql("UPDATE channels SET state = 'PAUSED'")
    await process.measure(timedelta(minutes=9))
    assert process.metric(CHANNEL_AWAY, "ctrip") == 0  # who has paused it knows
    await process.sql("UPDATE channels SET state = 'ACTIVE'")
    process.vendors.switch(down={})
    await process.reset_breaker("ctrip")
    await process.fetch("ctrip")
    await process.measure(timedelta(minutes=9))
    assert process.metric(CHANNEL_AWAY, "ctrip") == 0


async def test_a_dead_channel_that_nothing_calls_is_seen_within_minutes(
    process: BookingProcess,
) -> None:
    """Seen red: nobody called it until bookings were due, up to a quarter of an hour later."""
    await process.sell_at("ctrip")
    await process.sql("UPDATE channel_calls SET create_time = now() + interval '1 hour'")
    await process.job("keep-channels-in-step")
    assert await process.asked(PROBE) == []
    await process.sql("UPDATE channel_calls SET create_time = now() - interval '2 minutes'")
    process.vendors.switch(down={"ctrip": -1})
    await process.job("keep-channels-in-step")
    assert await process.asked(PROBE) == ["ctrip"]
    await process.run(PROBE, "ctrip")
    await process.measure(timedelta(minutes=5))
    assert process.metric(CHANNEL_AWAY, "ctrip") > 240
    process.vendors.switch(down={})
    await process.run(PROBE, "ctrip")
    await process.measure(timedelta(minutes=5))
    assert process.metric(CHANNEL_AWAY, "ctrip") == 0


async def test_a_channel_that_is_later_than_its_cadences_is_seen(process: BookingProcess) -> None:
    await process.sell_at("ctrip")
    await process.job("keep-channels-in-step")
    for part in ("STATIC", "PRICES_DAILY", "PRICES_FOUR_HOURLY", "PRICES_HOURLY", "AVAILABILITY"):
        await process.work_out(f"ctrip:{part}")
    await process.push("ctrip")
    await process.measure()
    assert process.metric(CHANNEL_LATE, "ctrip") < 15 * 60
    await process.sql(
        "UPDATE channel_values SET wanted_version = wanted_version + 1,"
        " wanted_time = now() - interval '20 minutes' WHERE item_id = 'P'"
    )
    await process.measure()
    assert process.metric(CHANNEL_LATE, "ctrip") >= 20 * 60
    await process.push("ctrip")
    await process.sql(
        "UPDATE channel_syncs SET done_time = now() - interval '3 hours'"
        " WHERE part = 'AVAILABILITY'"
    )
    await process.measure()
    assert process.metric(CHANNEL_LATE, "ctrip") >= 2 * 60 * 60
    await process.work_out("ctrip:AVAILABILITY")
    await process.measure()
    assert process.metric(CHANNEL_LATE, "ctrip") < 15 * 60


async def test_one_endpoint_that_is_away_is_seen_beside_others_that_answer(
    process: BookingProcess,
) -> None:
    """Seen red: any answer ended the time away."""
    await process.sell_at("ctrip")
    process.vendors.switch(down={"ctrip:bookings": -1})
    await process.fetch("ctrip")
    await process.failed_before(timedelta(minutes=9))
    await process.fetch("ctrip")
    await process.sql("UPDATE channel_values SET wanted_version = wanted_version + 1")
    await process.push("ctrip")
    await process.measure()
    assert process.metric(CHANNEL_AWAY, "ctrip") > 480
    await process.measure(health.TRIED_WITHIN)
    assert process.metric(CHANNEL_AWAY, "ctrip") == 0  # it is called no more
    process.vendors.switch(down={})
    await process.fetch("ctrip")
    await process.measure()
    assert process.metric(CHANNEL_AWAY, "ctrip") == 0


async def test_a_token_that_is_renewed_is_no_sign_of_life(
    process: BookingProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Credentials that are taken for the token, and for nothing else. Seen red: each renewal ended
    the time away.
    """
    await process.sell_at("ctrip")
    keys = process.vendors.simulator.vendors["ctrip"].keys
    monkeypatch.setitem(keys, "partner_id", "another")
    await process.fetch("ctrip")
    await process.failed_before(timedelta(minutes=9))
    await process.fetch("ctrip")
    await process.measure()
    assert process.metric(CHANNEL_AWAY, "ctrip") > 480
