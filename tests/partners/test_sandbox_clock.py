"""The test clock of a sandbox: all that would befall its reservations, tickets and statements with
time happens in order when the clock is moved, once, whoever moves it, and to nobody else.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from deeptravel.ota.v1 import event_pb2, reservation_pb2, statement_pb2
from deeptravel.ota.v1 import test_clock_pb2 as pb
from deeptravel.redemption.v1 import redemption_pb2

from server.api.ota import servicer_test_clock
from server.orders.ticket_expiry import TicketExpiry
from server.parties.clock_rules import (
    LATEST_TIME,
    MAX_ADVANCE_SECONDS,
    SandboxTime,
    ahead_after,
    fault_of_target,
)
from server.parties.rules import sandbox_id
from server.partners import sandbox_clock, statements
from server.partners.reservation_expiry import ReservationExpiry
from server.partners.sandbox_clock import ClockTerms, SandboxClocks
from server.partners.sandbox_rules import Awaited, Due, Kind, next_due
from server.partners.statement_rules import SEAL_DELAY, end_of
from server.platform import clock
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.errors import Reason
from tests.support.admin_client import Headers
from tests.support.app_server import SECRET_KEY, channel_to, running
from tests.support.invariants import broken
from tests.support.module_database import ModuleDatabase
from tests.support.partner_client import PartnerClient
from tests.support.rpc_server import refusal
from tests.support.sandbox import PAID, TEST, SandboxWorld, a_sandbox_world
from tests.support.sandbox_clock import (
    DAY,
    ZONE,
    advance,
    events,
    moment,
    scan,
    seals_from,
    shown,
    types,
    when,
)
from tests.support.server_process import ServerProcess

TERMS = ClockTerms(timedelta(days=3), ZONE)
CP_SANDBOX = sandbox_id(1)
NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
NOTHING = Awaited(False, None, None, None, None, None, False)


@pytest.fixture(scope="module")
async def world(
    admin_database: ModuleDatabase, module_redis_url: str, seeded: tuple[str, Headers]
) -> AsyncIterator[SandboxWorld]:
    """Before each test its clock is put back to the time that it is."""
    async with a_sandbox_world(admin_database.url, module_redis_url, seeded[1]) as made:
        await made.sql("UPDATE products SET validity_days = 89 WHERE product_id = 106")
        yield made


@pytest.fixture(scope="module")
def sandbox_url(admin_database: ModuleDatabase) -> str:
    return admin_database.url


@pytest.fixture(scope="module")
async def db(sandbox_url: str) -> AsyncIterator[Database]:
    opened = Database(load_settings(), sandbox_url)
    yield opened
    await opened.close()


async def no_loop(self: Any, partner_id: int) -> None:
    """No process does by itself what falls due by clocks."""
    del self, partner_id


def test_what_a_clock_shows() -> None:
    assert SandboxTime(0, None).at(NOW) == NOW
    assert SandboxTime(1_500_000, None).at(NOW) == NOW + timedelta(seconds=1.5)
    assert SandboxTime(1_500_000, NOW - DAY).at(NOW) == NOW - DAY
    assert ahead_after(7, NOW + timedelta(microseconds=9), NOW) == 9
    assert ahead_after(7, NOW + timedelta(microseconds=5), NOW) == 7


def test_how_far_a_clock_is_moved() -> None:
    most = timedelta(seconds=MAX_ADVANCE_SECONDS)
    assert fault_of_target(NOW + timedelta(microseconds=1), NOW) == ""
    assert fault_of_target(NOW + most, NOW) == ""
    assert "only goes forward" in fault_of_target(NOW, NOW)
    assert "400 days" in fault_of_target(NOW + most + timedelta(microseconds=1), NOW)
    assert fault_of_target(LATEST_TIME, LATEST_TIME - DAY) == ""
    assert "ends" in fault_of_target(LATEST_TIME + DAY, LATEST_TIME)


def test_what_falls_due_next() -> None:
    def due(until: datetime, **waits: Any) -> Due | None:
        awaited = NOTHING._replace(**waits)
        return next_due(awaited, shown=NOW, until=until, reminder=3 * DAY, zone=ZONE)

    assert due(LATEST_TIME) is None
    assert due(NOW + DAY, warn_time=NOW + 2 * DAY) is None
    assert due(NOW + 2 * DAY, warn_time=NOW + 2 * DAY) == (NOW + 2 * DAY, Kind.WARN_OF_RESERVATIONS)
    # the earlier first; at one moment the ticket's reminder before a reservation's end
    ends = {"reminded_ticket_ends": NOW + 5 * DAY, "reservation_expire_time": NOW + 2 * DAY}
    assert due(LATEST_TIME, **ends) == (NOW + 2 * DAY, Kind.REMIND_OF_TICKETS)
    assert due(LATEST_TIME, **ends, warn_time=NOW + DAY) == (NOW + DAY, Kind.WARN_OF_RESERVATIONS)
    assert due(LATEST_TIME, **ends, voids_pending=True) == (NOW, Kind.VOID_TICKETS)
    sealed = end_of(date(2027, 3, 1), ZONE) + SEAL_DELAY
    assert due(sealed, open_month=date(2027, 3, 1)) == (sealed, Kind.SEAL_STATEMENT)


async def test_a_clock_is_a_sandboxs(world: SandboxWorld) -> None:
    for method, request in (
        ("GetTestClock", pb.GetTestClockRequest()),
        ("AdvanceTestClock", pb.AdvanceTestClockRequest(request_id="r", by_seconds=1)),
    ):
        refused = await refusal(world.live.call(method, request))
        assert refused.reason is Reason.TEST_MODE_ONLY
    answer = await world.test.call("GetTestClock", pb.GetTestClockRequest())
    assert abs(moment(answer.clock.current_time) - clock.now()) < timedelta(minutes=1)
    assert (answer.clock.ahead_seconds, answer.clock.HasField("target_time")) == (0, False)


async def test_the_life_of_a_ticket(world: SandboxWorld, db: Database, sandbox_url: str) -> None:
    """90 days from the reservation to the end of the tickets, each thing at its own moment."""
    seeded = await asyncio.to_thread(contradictions, sandbox_url)
    client = world.test
    made = await client.reserve(3)
    codes = await client.codes(3, reservation_id=made.reservation_id)
    for code in codes[:2]:
        await client.activate(code, payment=PAID)
    assert (await scan(client, codes[0])).result == redemption_pb2.REDEMPTION_RESULT_SUCCESS
    begin = await shown(client)
    answer = await advance(client, by_seconds=91 * 86_400)
    target = moment(answer.target_time)
    assert answer.finished
    assert moment(answer.current_time) == target
    assert begin + 91 * DAY <= target <= begin + 91 * DAY + timedelta(minutes=1)
    assert target <= await shown(client) < target + timedelta(minutes=1)
    found = await events(client)
    lived = found[types(found).index("ticket.redeemed") + 1 :]
    (until,) = {
        row[0]
        for row in await world.sql(
            "SELECT DISTINCT valid_until_time FROM tickets WHERE ticket_code = ANY(%s)", codes
        )
    }
    end = moment(made.expire_time)
    expected = [
        (end - timedelta(hours=1), "reservation.expiring"),
        (end, "reservation.expired"),
        (end, "ticket.voided"),
        (until - 3 * DAY, "ticket.expiring"),
        (until - 3 * DAY, "ticket.expiring"),
        (until, "ticket.expired"),
        (until, "ticket.expired"),
    ]
    seals = [seal for seal in seals_from(begin) if seal <= target]
    expected += [(seal, "statement.ready") for seal in seals]
    # what happens at one moment, in the order in which it does
    assert [(moment(each.occurred_time), each.type) for each in lived] == sorted(
        expected, key=lambda each: each[0]
    )
    counted = {each.type: each.count for each in answer.events}
    assert counted == Counter(kind for _, kind in expected)
    assert len(expected) - 2 <= answer.steps <= len(expected) + 5
    assert {each.data.ticket_code for each in lived if each.type == "ticket.expiring"} == set(
        codes[:2]
    )
    states = dict(
        await world.sql("SELECT ticket_code, state FROM tickets WHERE ticket_code = ANY(%s)", codes)
    )
    assert states == {codes[0]: "EXPIRED", codes[1]: "EXPIRED", codes[2]: "VOIDED"}
    orders = await world.sql("SELECT DISTINCT state FROM orders WHERE partner_id = %s", CP_SANDBOX)
    assert orders == [("COMPLETED",)]
    assert await world.stock(client, product_id=106) == [(2000, 0, 2)]
    closed = await client.reservation(made.reservation_id)
    assert closed.status == reservation_pb2.RESERVATION_STATE_EXPIRED
    assert moment(closed.close_time) == end
    # nothing is left to be done, and nothing is done again
    again = await advance(client, by_seconds=1)
    assert ([*again.events], again.steps) == ([], 0)
    await look(db)
    assert len(await events(client)) == len(found)
    assert await asyncio.to_thread(contradictions, sandbox_url) == seeded


def contradictions(url: str) -> set[str]:
    """Which invariants do not hold; those of the seeded database, whose tickets have no batch."""
    return {result.invariant.name for result in broken(url)}


async def look(db: Database) -> None:
    """What each process does every second."""
    await SandboxClocks(db, TERMS).look()


async def test_statements_of_test_months(world: SandboxWorld, db: Database) -> None:
    """Each month that the clock passes is sealed, adds up and is rebuilt byte for byte."""
    client = world.test
    codes = await client.codes(2)
    for code in codes:
        await client.activate(code, payment=PAID)
    begin = await shown(client)
    await advance(client, by_seconds=70 * 86_400)
    request = statement_pb2.ListStatementsRequest(page_size=50)
    listed = (await client.call("ListStatements", request)).statements
    passed = [seal for seal in seals_from(begin) if seal <= begin + 70 * DAY]
    sealed = [each for each in listed if each.state == statement_pb2.STATEMENT_STATE_SEALED]
    assert len(sealed) == len(passed)
    ready = await when(client, "statement.ready")
    assert [moment(each.occurred_time) for each in ready] == passed
    month = f"{begin.astimezone(ZONE):%Y-%m}"
    asked = statement_pb2.GetStatementRequest(month=month)
    statement = (await client.call("GetStatement", asked)).statement
    (totals,) = statement.totals
    assert statement.partner_code == "TESTCP"
    assert totals.activated_count == 2
    assert totals.debit_minor == totals.credit_minor > 0
    async with db.transaction() as tx:
        assert (await statements.rebuild(tx, "TESTCP", month)).fault == ""
    assert await world.sql("SELECT 1 FROM statements WHERE partner_id < 524288") == []


async def test_time_goes_on_from_where_the_clock_is(world: SandboxWorld, db: Database) -> None:
    """What a sandbox does afterwards has its time, and what is due by it is done; the ordinary jobs
    leave it alone. Seen red with calls at the real time, and with jobs that take all partners.
    """
    client = world.test
    await advance(client, by_seconds=40 * 86_400)
    begin = await shown(client)
    made = await client.reserve(1, hold_seconds=1)
    assert begin <= moment(made.create_time) <= await shown(client)
    assert moment(made.expire_time) == moment(made.create_time) + timedelta(seconds=1)
    (expired,) = await when(client, "reservation.expired")
    found = await events(client)
    assert timedelta() <= moment(expired.occurred_time) - moment(made.expire_time) < DAY
    times = [moment(each.occurred_time) for each in found]
    assert times == sorted(times)
    (code,) = await client.codes(1)
    day = (await shown(client)).astimezone(ZONE)
    assert f"-{day:%Y%m%d}-" in code
    await client.activate(code, payment=PAID)
    issued = await client.qr(code)
    assert moment(issued.expire_time) > begin + 80 * DAY
    answer = await scan(client, code)
    assert answer.result == redemption_pb2.REDEMPTION_RESULT_SUCCESS
    (redeemed,) = await when(client, "ticket.redeemed")
    assert begin < moment(redeemed.occurred_time) <= await shown(client)


async def test_what_others_do_to_its_tickets_has_its_time(world: SandboxWorld) -> None:
    """A block by an administrator, and a first look; seen red with the real time."""
    client = world.test
    await advance(client, by_seconds=10 * 86_400)
    begin = await shown(client)
    (code,) = await client.codes(1)
    await client.activate(code, payment=PAID)
    await world.admin("BlockTicket", ticket_code=code, comment="lost")
    (blocked,) = await when(client, "ticket.blocked")
    assert begin < moment(blocked.occurred_time) <= await shown(client)
    await world.admin("UnblockTicket", ticket_code=code, comment="found")
    token = (await client.qr(code)).encrypted_data
    seen = await world.look(token, client.metadata)
    assert (seen.ticket_code, seen.reason) == (code, 0)


async def test_the_jobs_of_others_leave_a_sandbox_alone(
    world: SandboxWorld, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the real time everything of it is over, by its clock nothing is, and the reverse. Seen red
    without the bound of the partners' numbers in the statements of the jobs.
    """
    monkeypatch.setattr(SandboxClocks, "_catch_up", no_loop)
    client = world.test
    made = await client.reserve(1, hold_seconds=60)
    codes = await client.codes(1)
    await client.activate(codes[0], payment=PAID)
    await world.sql(
        "UPDATE reservations SET expire_time = now() - interval '2 s',"
        " warn_time = now() - interval '3 s'"
    )
    await world.sql(
        "UPDATE tickets SET valid_from_time = now() - interval '2 days',"
        " valid_until_time = now() - interval '1 s' WHERE ticket_code = ANY(%s)",
        codes,
    )
    jobs = ReservationExpiry(db)
    await jobs.look()
    later = clock.now() + 40 * DAY
    async with db.transaction() as tx:
        await TicketExpiry().work(tx, clock.now())
        while await statements.seal_due(tx, zone=ZONE, now=later):
            pass
    assert await world.sql("SELECT 1 FROM statements WHERE partner_id >= 524288") == []
    found = types(await events(client))
    assert not {"reservation.expiring", "reservation.expired", "ticket.expired"} & {*found}
    assert (
        await world.sql(
            "SELECT state FROM reservations WHERE reservation_id = %s", made.reservation_id
        )
    ) == [("OPEN",)]


async def test_others_are_not_touched(world: SandboxWorld) -> None:
    """What is live, and the sandbox of another, stays as it was; seen red with a move that takes
    all partners.
    """
    await world.admin("CreateAllotment", product_id=106, channel="HK", total=10)
    other = await world.key("HK", TEST)
    open_ones = []
    for client in (world.live, other):
        made = await client.reserve(1)
        (code,) = await client.codes(1)
        await client.activate(code, payment=PAID)
        open_ones.append((client, made.reservation_id, code, await shown_events(client)))
    await world.test.reserve(1)
    answer = await advance(world.test, by_seconds=200 * 86_400)
    assert answer.finished
    for client, reservation_id, code, before in open_ones:
        found = await client.reservation(reservation_id)
        assert found.status == reservation_pb2.RESERVATION_STATE_OPEN
        assert await world.sql("SELECT state FROM tickets WHERE ticket_code = %s", code) == [
            ("ACTIVE",)
        ]
        assert await shown_events(client) == before
    assert abs(await shown(other) - clock.now()) < timedelta(minutes=1)


async def shown_events(client: PartnerClient) -> list[str]:
    """The types of a partner's events, when all are in its feed."""
    await when(client, "ticket.activated")
    return types(await events(client))


async def test_a_repeat_moves_it_no_further(world: SandboxWorld) -> None:
    client = world.test
    await client.reserve(1)
    first = await advance(client, "once", by_seconds=2 * 86_400)
    assert first.finished
    assert await advance(client, "once", by_seconds=2 * 86_400) == first
    refused = await refusal(advance(client, "once", by_seconds=3 * 86_400))
    assert refused.reason is Reason.IDEMPOTENCY_MISMATCH
    assert await shown(client) < moment(first.target_time) + timedelta(minutes=1)


async def test_a_move_that_takes_longer_than_the_call(
    world: SandboxWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer says how far it is; the move goes on, and a repeat waits for its end."""
    await lively(world.test, 3)
    with monkeypatch.context() as patched:
        patched.setattr(servicer_test_clock, "MAX_SECONDS", 0.0)
        first = await advance(world.test, "long", by_seconds=86_400)
    assert not first.finished
    assert [*first.events] == []
    assert moment(first.from_time) <= moment(first.current_time) < moment(first.target_time)
    done = await advance(world.test, "long", by_seconds=86_400)
    assert done.finished
    assert done.target_time == first.target_time
    require_each_once(await events(world.test), 3)


async def test_moves_that_are_refused(world: SandboxWorld) -> None:
    client = world.test
    now = await shown(client)
    for fields in (
        {},
        {"to_time": now + DAY, "by_seconds": 1},
        {"to_time": now - DAY},
        {"to_time": now + 401 * DAY},
        {"by_seconds": MAX_ADVANCE_SECONDS + 1},
        {"by_seconds": -1},
    ):
        refused = await refusal(advance(client, **fields))
        assert refused.reason is Reason.INVALID_FIELD
    target = now + 5 * DAY
    assert moment((await advance(client, to_time=target)).target_time) == target
    refused = await refusal(advance(client, to_time=target))
    assert refused.reason is Reason.INVALID_FIELD
    assert await world.sql("SELECT 1 FROM sandbox_advances WHERE finish_time IS NULL") == []


async def lively(client: PartnerClient, reservations: int) -> None:
    """Reservations that end one after the other, each with an unsold ticket."""
    for index in range(reservations):
        made = await client.reserve(1, hold_seconds=3_600 + 60 * index)
        await client.codes(1, reservation_id=made.reservation_id)


def require_each_once(found: list[event_pb2.Event], reservations: int) -> None:
    """Each reservation was warned of, expired and had its ticket voided once, in this order."""
    times = [moment(each.occurred_time) for each in found]
    assert times == sorted(times)
    happened = Counter(types(found))
    for kind in ("reservation.expiring", "reservation.expired", "ticket.voided"):
        assert happened[kind] == reservations, kind


async def test_several_processes_move_it_at_once(
    world: SandboxWorld, sandbox_url: str, module_redis_url: str
) -> None:
    """Each move is done once, and they add up, whichever process does which step. Seen red without
    the lock of the clock's row: events came twice, and out of order.
    """
    await lively(world.test, 12)
    begin = await shown(world.test)
    async with running(sandbox_url, module_redis_url) as other, channel_to(other) as channel:
        clients = world.test, PartnerClient.at(channel, world.test.api_key)
        same = [advance(each, "the same", by_seconds=3_000) for each in clients]
        own = [advance(each, by_seconds=86_400) for each in (*clients, *clients)]
        answers = await asyncio.gather(*same, *own)
    assert all(answer.finished for answer in answers)
    assert answers[0] == answers[1]
    ends = sorted({moment(answer.target_time) for answer in answers})
    begins = sorted({moment(answer.from_time) for answer in answers})
    assert len(ends) == 5
    # the clock goes on between two moves
    apart = [begin - end for end, begin in zip(ends, begins[1:], strict=False)]
    assert min(apart) >= timedelta()
    assert ends[-1] - begins[0] == timedelta(seconds=3_000 + 4 * 86_400) + sum(apart, timedelta())
    assert sum(apart, timedelta()) < timedelta(minutes=1)
    assert begin <= begins[0]
    assert ends[-1] <= await shown(world.test)
    require_each_once(await events(world.test), 12)


async def test_a_move_that_was_broken_off_is_ended_by_its_repeat(
    world: SandboxWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process fails in the middle of a step; the repeat goes on to the same target."""
    monkeypatch.setattr(SandboxClocks, "_catch_up", no_loop)
    await lively(world.test, 4)
    do, calls = sandbox_clock._do, itertools.count()

    async def fails(*arguments: Any) -> bool:
        done = await do(*arguments)
        if next(calls) == 5:
            raise RuntimeError("the process is gone")
        return done

    monkeypatch.setattr(sandbox_clock, "_do", fails)
    refused = await refusal(advance(world.test, "broken off", by_seconds=86_400))
    assert refused.reason is Reason.INTERNAL
    standing = await world.test.call("GetTestClock", pb.GetTestClockRequest())
    assert standing.clock.HasField("target_time")
    assert await shown(world.test) == moment(standing.clock.current_time)  # it stands
    answer = await advance(world.test, "broken off", by_seconds=86_400)
    assert answer.finished
    assert moment(answer.target_time) == moment(standing.clock.target_time)
    happened = {each.type: each.count for each in answer.events}
    happened.pop("statement.ready", None)  # a month ends on some days
    assert happened == {"reservation.expired": 4, "reservation.expiring": 4, "ticket.voided": 4}
    require_each_once(await events(world.test), 4)


async def test_a_move_whose_process_was_killed_goes_on_by_itself(
    world: SandboxWorld, sandbox_url: str, module_redis_url: str, tmp_path: Path
) -> None:
    """The process that moves it is killed on the way; another ends the move, and the repeat of the
    call hears what the whole of it did.
    """
    await lively(world.test, 20)
    env = {
        "DEEPTRAVEL_DATABASE_URL": sandbox_url,
        "DEEPTRAVEL_REDIS_URL": module_redis_url,
        "DEEPTRAVEL_SECRET_KEY": SECRET_KEY,
    }
    with ServerProcess(data_dir=tmp_path, env=env) as killed:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{killed.grpc_port}") as channel:
            client = PartnerClient.at(channel, world.test.api_key)
            moving = asyncio.create_task(advance(client, "killed", by_seconds=7 * 86_400))
            while (await world.sql("SELECT coalesce(max(steps), 0) FROM sandbox_advances"))[0][
                0
            ] < 5:
                assert not moving.done()
                await asyncio.sleep(0.005)
            killed.kill()
            with pytest.raises(grpc.aio.AioRpcError):
                await moving
    assert await world.sql("SELECT 1 FROM sandbox_advances WHERE finish_time IS NULL")
    for _ in range(1200):
        if not await world.sql("SELECT 1 FROM sandbox_advances WHERE finish_time IS NULL"):
            break
        await asyncio.sleep(0.05)
    answer = await advance(world.test, "killed", by_seconds=7 * 86_400)
    assert answer.finished
    assert {each.type: each.count for each in answer.events}["ticket.voided"] == 20
    require_each_once(await events(world.test), 20)


async def test_a_call_that_comes_meanwhile_has_the_time_of_the_step(
    world: SandboxWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sale while the clock is moved stands where the clock does; seen red with calls that do not
    hold the clock: a sale came with a time before what had happened.
    """
    await lively(world.test, 30)
    moving = asyncio.create_task(advance(world.test, by_seconds=86_400))
    while not moving.done():
        await world.test.codes(1)
        await asyncio.sleep(0.001)
    await moving
    require_each_once(await events(world.test), 30)
