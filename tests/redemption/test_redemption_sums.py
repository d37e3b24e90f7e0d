"""Summaries of redemptions from sums and events together, and reports that take nothing from the
gates.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from deeptravel.redemption.v1 import redemption_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.errors import Reason
from server.redemption import sums
from tests.support.gate import World, a_world, verdict
from tests.support.gate_server import gate_server
from tests.support.rpc_server import refusal

NOW = datetime(2026, 6, 15, 9, 35, 20, tzinfo=UTC)
GROUPS = ("", "DAY", "TERMINAL", "OPERATOR", "VENUE")
ZONES = ("Asia/Hong_Kong", "Asia/Kolkata", "Pacific/Kiritimati", "Australia/Lord_Howe")
INSERT = """
INSERT INTO redemption_events (ticket_id, event_id, ticket_code, jti, function_code, result, reason,
  quantity, merchant_code, venue_code, terminal_device_id, operator, occurred_time)
VALUES (1, %s, '', NULL, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
PLAIN = """
SELECT function_code, result, reason, {group}, count(*),
  coalesce(sum(quantity) FILTER (WHERE result <> 'REJECT'), 0)::bigint
FROM redemption_events WHERE merchant_code = 'M' AND occurred_time >= %s AND occurred_time < %s
GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""


@pytest.fixture(scope="module")
async def world(module_database_url: str) -> AsyncIterator[World]:
    async with a_world(module_database_url) as filled:
        await filled.sql("UPDATE redemption_sums_mark SET until_time = '2026-01-01Z'")
        yield filled


@pytest.fixture
async def db(world: World, module_database_url: str) -> AsyncIterator[Database]:
    database = Database(load_settings(), module_database_url)
    yield database
    await database.close()


async def happened(world: World, dice: random.Random, count: int) -> None:
    """Events of forty days, some at the very beginning of an hour or day."""
    for number in range(count):
        at = NOW - timedelta(seconds=dice.randrange(40 * 86_400))
        if dice.random() < 0.3:
            at = at.replace(hour=dice.choice((0, 16, at.hour)), minute=0, second=0)
        result = dice.choice(("SUCCESS", "SUCCESS", "REJECT", "REVERSED"))
        await world.sql(
            INSERT,
            number,
            dice.choice(("ferry", "gift")),
            result,
            "ALREADY_REDEEMED" if result == "REJECT" else None,
            dice.randint(1, 3),
            dice.choice(("M", "M", "N")),
            dice.choice(("PIER", "SHOP")),
            dice.choice(("T-1", "T-2")),
            dice.choice(("olga", "sam")),
            at,
        )


async def sum_up(db: Database, now: datetime) -> bool:
    async with db.transaction() as tx:
        return (await sums.sum_up(tx, now)).more


async def assert_right(world: World, db: Database, dice: random.Random) -> None:
    """What is read is what one gets by counting the events, whatever the span, group and zone."""
    for group in GROUPS:
        zone = dice.choice(ZONES)
        begin = NOW - timedelta(seconds=dice.randrange(40 * 86_400))
        end = begin + timedelta(seconds=dice.randrange(1, 31 * 86_400))
        if dice.random() < 0.5:
            begin, end = begin.replace(hour=16, minute=0, second=0), end.replace(minute=0, second=0)
        async with db.transaction() as tx:
            found = await sums.read(
                tx, "M", group_by=group, time_from=begin, time_until=end, zone=ZoneInfo(zone)
            )
        columns = {"TERMINAL": "terminal_device_id", "OPERATOR": "operator", "VENUE": "venue_code"}
        columns["DAY"] = f"to_char(timezone('{zone}', occurred_time), 'YYYY-MM-DD')"
        plain = PLAIN.format(group=columns.get(group, "''"))
        assert found == await world.sql(plain, begin, end), (group, zone, begin, end)


@pytest.mark.parametrize("seed", range(3))
async def test_summaries_are_right_however_much_is_summed(
    world: World, db: Database, seed: int
) -> None:
    """Seen red with days that are summed by their last hours alone, and with hours that are
    summed and read as well.
    """
    dice = random.Random(seed)
    await happened(world, dice, 400)
    await assert_right(world, db, dice)
    for day in range(41, -1, -1):
        now = NOW - timedelta(days=day, seconds=dice.randrange(86_400) if day else 0)
        while await sum_up(db, now):
            pass
        if day % 5 == 0:
            await assert_right(world, db, dice)
    assert not await sum_up(db, NOW)
    await assert_right(world, db, dice)


async def test_a_month_is_read_from_sums_alone(world: World, db: Database) -> None:
    """Nothing of what is summed is read again: it may as well be gone."""
    await happened(world, random.Random(7), 200)
    while await sum_up(db, NOW):
        pass
    span = {"time_from": datetime(2026, 5, 15, 16, tzinfo=UTC), "time_until": NOW}
    span["time_until"] = datetime(2026, 6, 13, 16, tzinfo=UTC)
    of_merchant: Any = {"zone": ZoneInfo("Asia/Hong_Kong"), **span}
    async with db.transaction() as tx:
        before = [await sums.read(tx, "M", group_by=group, **of_merchant) for group in GROUPS]
        assert all(before)
    await world.sql("DELETE FROM redemption_events")
    async with db.transaction() as tx:
        after = [await sums.read(tx, "M", group_by=group, **of_merchant) for group in GROUPS]
    assert after == before


async def test_days_are_those_of_our_time_zones(world: World, db: Database) -> None:
    """Not of the database's tables. Seen red where it was asked: it did not know the zone."""
    await happened(world, random.Random(3), 60)
    while await sum_up(db, NOW - timedelta(days=10)):
        pass
    with (resources.files("tzdata") / "zoneinfo/Asia/Hong_Kong").open("rb") as tables:
        ours = ZoneInfo.from_file(tables, key="Of/Ours")
    span: Any = {"time_from": NOW - timedelta(days=30), "time_until": NOW, "group_by": "DAY"}
    async with db.transaction() as tx:
        found = await sums.read(tx, "M", zone=ours, **span)
        assert found == await sums.read(tx, "M", zone=ZoneInfo("Asia/Hong_Kong"), **span)
    assert len({row.group for row in found}) > 10


async def test_what_is_not_over_for_ten_minutes_is_not_summed(world: World, db: Database) -> None:
    for minutes, until in ((9, -5), (10, 0), (14, 0), (15, 5)):
        hour = datetime(2026, 6, 15, 10, tzinfo=UTC)
        while await sum_up(db, hour + timedelta(minutes=minutes)):
            pass
        ((mark,),) = await world.sql("SELECT until_time FROM redemption_sums_mark")
        assert mark == hour + timedelta(minutes=until)


async def test_a_day_that_takes_long_is_summed(world: World, module_database_url: str) -> None:
    """Longer than a statement may take elsewhere. Seen red with that time: the job failed at
    each run, for ever.
    """
    await happened(world, random.Random(5), 50)
    database = Database(
        load_settings(statement_timeout_ms=1000, lock_timeout_ms=1000), module_database_url
    )
    async with await psycopg.AsyncConnection.connect(world.pg.info.dsn) as other:
        await other.execute("LOCK TABLE redemption_sums")
        summing = asyncio.create_task(sum_up(database, NOW))
        await world.waits_for_a_lock()
        await asyncio.wait({summing}, timeout=1.5)
        await other.rollback()
        assert await summing
    await database.close()


async def test_what_is_committed_late_is_summed(world: World, db: Database) -> None:
    """As a scan whose commit waits for a standby that is away. Seen red where only time counted:
    it was in no report.
    """
    await world.sql("UPDATE redemption_sums_mark SET until_time = now() - interval '3 hours'")
    later = datetime.now(UTC) + timedelta(hours=3)
    event = (1, "ferry", "SUCCESS", None, 2, "M", "PIER", "T-1", "olga", datetime.now(UTC))
    span: Any = {"time_from": later - timedelta(hours=6), "time_until": later, "group_by": ""}
    async with await psycopg.AsyncConnection.connect(world.pg.info.dsn) as other:
        await other.execute(INSERT, event)
        while await sum_up(db, later):
            pass
        await other.commit()
    async with db.transaction() as tx:
        (row,) = await sums.read(tx, "M", zone=ZoneInfo("UTC"), **span)
        assert (row.events, row.uses) == (1, 2)
    while await sum_up(db, later):
        pass
    await world.sql("DELETE FROM redemption_events")
    async with db.transaction() as tx:
        (row,) = await sums.read(tx, "M", zone=ZoneInfo("UTC"), **span)
        assert (row.events, row.uses) == (1, 2)


async def test_reports_take_nothing_from_the_gates(
    world: World, module_database_url: str, module_redis_url: str
) -> None:
    """Twelve that do not get on: two of the caller are read, the others are refused, and all else
    goes on meanwhile.

    Seen red with one pool for all: scans failed as DATABASE_UNAVAILABLE.
    """
    settings = {
        "report_timeout_ms": 15_000,  # longer than all else takes on a busy machine
        "statement_timeout_ms": 60_000,
        "lock_timeout_ms": 60_000,
    }
    async with (
        gate_server(module_database_url, module_redis_url, **settings) as server,
        await psycopg.AsyncConnection.connect(world.pg.info.dsn) as other,
    ):
        gate = await world.log_in(server.channel)
        tickets = await world.tickets(60)
        await gate.redeem((await world.ticket()).qr)
        await other.execute("LOCK TABLE redemption_sums_mark")
        request = redemption_pb2.SummarizeRedemptionsRequest()
        reports = [
            asyncio.create_task(refusal(gate.call("SummarizeRedemptions", request)))
            for _ in range(12)
        ]
        await world.waits_for_a_lock()
        scans = await asyncio.gather(*(gate.redeem(ticket.qr) for ticket in tickets))
        assert Counter(map(verdict, scans)) == {"SUCCESS": 60}
        assert await gate.open_session()
        assert not all(report.done() for report in reports)
        refused = await asyncio.gather(*reports)
        reasons = Counter(each.reason for each in refused)
        assert set(reasons) == {Reason.SERVER_BUSY, Reason.RANGE_TOO_LARGE}
        assert reasons[Reason.RANGE_TOO_LARGE] == 2
        # only who may repeat it as it is hears when
        assert {bool(each.retry_seconds) for each in refused if each.reason == "SERVER_BUSY"} == {
            True
        }
        assert not any(each.retry_seconds for each in refused if each.reason != "SERVER_BUSY")
        await other.rollback()
        start = Timestamp()
        start.FromDatetime(datetime.now(UTC) - timedelta(days=29))
        request = redemption_pb2.SummarizeRedemptionsRequest(time_from=start)
        (row,) = (await gate.call("SummarizeRedemptions", request)).rows
        assert (row.function_code, row.events) == ("ferry", 61)


@pytest.mark.parametrize(
    ("condition", "index"),
    [
        ("terminal_device_id = 'T-9'", "ix_redemption_events_terminal"),
        ("operator = 'nobody'", "ix_redemption_events_operator"),
        ("result = 'REVERSED'", "ix_redemption_events_reversals"),
        ("result = 'REJECT'", "ix_redemption_events_rejects"),
    ],
)
async def test_filters_have_an_index(world: World, condition: str, index: str) -> None:
    """Seen red without it: all events of the merchant were read, newest first, for a page of
    none.
    """
    await world.sql(
        "INSERT INTO redemption_events (ticket_id, event_id, ticket_code, function_code, result,"
        " quantity, merchant_code, venue_code, terminal_device_id, operator, occurred_time)"
        " SELECT n, n, '', 'ferry', 'SUCCESS', 1, 'M', 'PIER', 'T-1', 'olga', now() -"
        " make_interval(secs => n) FROM generate_series(1, 20000) AS n"
    )
    await world.sql("ANALYZE redemption_events")
    plan = await world.sql(
        "EXPLAIN SELECT * FROM redemption_events"
        f" WHERE merchant_code = 'M' AND {condition}"
        " ORDER BY occurred_time DESC, event_id DESC, ticket_id DESC LIMIT 51"
    )
    assert index in str(plan)
