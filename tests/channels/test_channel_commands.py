"""`deeptravel channels …`: a channel connected, tested, mapped, listed, paused, and what is said of
it.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select
from typer.testing import CliRunner, Result

from server.__main__ import app
from server.audit import trail
from server.audit.models import audit_events
from server.channels.due import WORK_OUT
from server.channels.models import channel_bookings
from server.platform import clock, logs
from server.platform.outbox import outbox_tasks
from tests.support import timetable
from tests.support.channel_vendors import SimulatedChannels

SECRET = bytes(range(32))


@pytest.fixture
async def vendors(tmp_path: Path) -> AsyncIterator[SimulatedChannels]:
    async with SimulatedChannels(tmp_path) as running:
        yield running


@pytest.fixture(autouse=True)
def places(timetable_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail, "_seals", trail.seals(SECRET))
    monkeypatch.setattr(logs, "configure", lambda **_: None)  # of this process
    monkeypatch.setenv("DEEPTRAVEL_DATABASE_URL", timetable_url)
    monkeypatch.setenv("DEEPTRAVEL_REDIS_URL", redis_url)
    monkeypatch.setenv("DEEPTRAVEL_SECRET_KEY", base64.b64encode(SECRET).decode())


async def command(*words: str, given: str = "") -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, ["channels", *words], input=given)


async def done(*words: str, given: str = "") -> str:
    result = await command(*words, given=given)
    assert result.exit_code == 0, result.output
    return str(result.output)


async def see_what_is_kept() -> None:
    assert "FOUR_HOURLY" in await done("listings", "EXP")
    assert "expedia" in await done("list")
    assert (await done("cadences", "EXP")).count("last never") == 8
    assert await done("differences", "EXP") == ""
    assert "sync_time,what" in await done("differences", "EXP", "--csv")
    await see_drift()


async def see_drift() -> None:
    """What is listed was not sent yet: by day a quantity, and a price where it is sold."""
    drifted = await command("drift", "EXP", "--item", "106", "--limit", "2")
    assert drifted.exit_code == 1
    lines = drifted.output.splitlines()
    assert "90 drifted of 0 known" in lines[0]
    assert lines[2].startswith("AVAILABILITY 106 20")
    assert "sent nothing, true" in lines[2]
    assert lines[2].endswith("; not worked out since")
    assert "more; see --limit" in lines[-1]
    assert (await command("drift", "EXP", "--item", "107")).output == ""


async def disconnect() -> None:
    assert "nothing is left" in await done("disconnect", "EXP")
    assert "DISCONNECTING" in await done("list")
    assert "bookings are seen to" in await done("list")
    assert "waits until it was sent" in await done("disconnect", "EXP")
    assert "is disconnected" in await done("disconnect", "EXP", "--at-once", "--keep-bookings")
    assert "REVOKED" in await done("list")
    assert await done("bookings", "EXP", "--faulty") == ""
    assert (await command("cancel-booking", "EXP", "4711", "no car")).exit_code == 1


async def test_a_channel_from_its_connection_on(
    vendors: SimulatedChannels, timetable_url: str
) -> None:
    announced = vendors.simulator.announced()["expedia"]
    credentials = json.dumps(announced["credentials"])
    connect = ["connect", "EXP", "--vendor", "expedia", "--currency", "USD"]
    connect += ["--base-url", announced["base_url"], "--credentials", "-"]
    await done(*connect, given=credentials)
    refused = await command(*connect, given=credentials)
    assert refused.exit_code == 1
    # both would fetch the account's bookings, and make two orders of each
    second = ["connect", "EXP-2", *connect[2:]]
    refused = await command(*second, given=credentials)
    assert (refused.exit_code, "channel EXP has" in str(refused.exception)) == (1, True)
    await done("pause", "EXP")
    await done(*second, given=credentials)
    assert (await command("resume", "EXP")).exit_code == 1
    await done("pause", "EXP-2")
    await done("resume", "EXP")
    assert "knows us" in await done("test", "EXP")
    fresh = json.dumps(dict(vendors.simulator.rotate("expedia")))
    failed = await command("test", "EXP")
    assert failed.exit_code == 1
    assert "AUTHENTICATION" in failed.output
    assert "rotate the channel's credentials" in failed.output
    assert "version 2" in await done("rotate", "EXP", "-", given=fresh)
    await done("test", "EXP")
    await done("map", "EXP", "LOCATION", "HKG", "4711")
    await done("map", "EXP", "status", "CONFIRMED", "Confirmed")
    assert "4711" in await done("words", "EXP")
    await done("unmap", "EXP", "STATUS", "Confirmed")
    item = ["list-item", "EXP", "106", "--product", "106", "--location", "HKG"]
    await done(*item, "--currency", "HKD")
    await see_what_is_kept()
    await done("sync", "EXP", "--all")
    await done("unlist-item", "EXP", "106")
    assert "PAUSED" in await done("pause", "EXP")
    assert "ACTIVE" in await done("resume", "EXP")
    await done("unmap", "EXP", "STATUS", "Pending")
    failed = await command("test", "EXP")
    assert (failed.exit_code, "STATUS" in failed.output) == (1, True)
    assert failed.exception is None or isinstance(failed.exception, SystemExit)
    await done("fetch", "EXP")
    calls = await done("log", "EXP")
    assert calls.count("bookings") == 3
    assert "AUTHENTICATION" in calls
    assert await done("drift", "EXP") == ""
    await disconnect()
    await done(*connect, given=fresh)
    async with timetable.database(timetable_url) as db, db.transaction() as tx:
        tasks = select(outbox_tasks.c.key).where(outbox_tasks.c.kind == WORK_OUT)
        assert sorted(await tx.scalars(tasks)) == ["EXP", "EXP:EVERYTHING"]
        names = await tx.scalars(
            select(audit_events.c.action).where(audit_events.c.resource.startswith("channel"))
        )
        assert set(names) == {
            *("create", "rotate", "map", "unmap", "delete", "pause", "resume", "sync", "fetch"),
            *("disconnect", "revoke", "connect"),
        }


async def test_why_bookings_were_rejected_or_do_not_go_on(timetable_url: str) -> None:
    connect = ["connect", "KAY", "--vendor", "kayak", "--currency", "HKD", "--credentials", "-"]
    await done(*connect, given=json.dumps({"feed_key_secret": "k" * 32}))
    row = {"channel_code": "KAY", "first_day": timetable.today(), "last_day": timetable.today()}
    row |= {"create_time": clock.now(), "update_time": clock.now(), "sealed_content": b""}
    rejected = {"cancel_reason": "other", "cancel_comment": "it was booked for HKD 1.00"}
    rejected |= {"booking_id": "R-1", "state": "REJECTED"}
    faulty = {"booking_id": "F-1", "state": "RECEIVED", "fault": "nothing is listed as 'X'"}
    async with timetable.database(timetable_url) as db, db.transaction() as tx:
        for each in (rejected, faulty):
            await tx.execute(insert(channel_bookings).values(row | each))
    said = await done("bookings", "KAY")
    assert "other: it was booked for HKD 1.00\n" in said
    assert "fault: nothing is listed as 'X'\n" in said


@pytest.mark.parametrize(
    ("option", "said"), [("--currency", "no currency"), ("--customer-type", "none of ADULT")]
)
async def test_what_cannot_be_listed(option: str, said: str) -> None:
    connect = ["connect", "KAY", "--vendor", "kayak", "--currency", "HKD", "--credentials", "-"]
    await done(*connect, given=json.dumps({"feed_key_secret": "k" * 32}))
    item = ["list-item", "KAY", "106", "--product", "106", "--location", "HKG", "--currency", "HKD"]
    wrong = await command(*item, option, "XYZ")
    assert said in str(wrong.exception)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["test", "NONE"], "there is no channel"),
        (["log", "NONE"], "there is no channel"),
        (["cadences", "NONE"], "there is no channel"),
        (["disconnect", "NONE"], "there is no channel"),
        (["words", "NONE"], "there is no channel"),
        (["bookings", "NONE", "--state", "SOLD"], "is none of UNREADABLE"),
        (["map", "NONE", "COLOUR", "a", "b"], "is none of"),
        (["connect", "X", "--vendor", "nobody", "--currency", "CNY"], "vendor_code"),
        (["connect", "X", "--vendor", "ctrip", "--currency", "CNY"], "app_key"),
        (["connect", "X", "--vendor", "ctrip", "--currency", "CNY", "--credentials", "/x"], "JSON"),
    ],
)
async def test_what_is_wrong_is_said(words: list[str], said: str) -> None:
    result = await command(*words)
    assert result.exit_code != 0
    assert said in f"{result.output}{result.exception}"
