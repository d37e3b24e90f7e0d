"""Leases: what one terminal alone redeems for a time."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from deeptravel.redemption.v1 import access_pb2, leases_pb2

from server.platform.errors import Reason
from server.redemption import leases
from tests.support.gate import PASSWORD, REFUSAL, Terminal, World, a_world, verdict
from tests.support.gate_server import GateServer, gate_server
from tests.support.offline_terminal import VERDICT, OfflineTerminal
from tests.support.redemption_model import Entitlement
from tests.support.rpc_server import refusal
from tests.support.venue_pack import KeptPack

OVER = "UPDATE entitlements SET leased_until = now() WHERE ticket_id = %s"


@pytest.fixture(scope="module")
async def world(module_database_url: str) -> AsyncIterator[World]:
    async with a_world(module_database_url) as filled:
        yield filled


@pytest.fixture(scope="module")
async def server(
    world: World, module_database_url: str, module_redis_url: str
) -> AsyncIterator[GateServer]:
    async with gate_server(module_database_url, module_redis_url) as running:
        yield running


@pytest.fixture
async def first(world: World, server: GateServer) -> Terminal:
    return await world.log_in(server.channel)


@pytest.fixture
async def second(world: World, server: GateServer) -> Terminal:
    return await world.log_in(server.channel, "sam", device="T-2")


def outcome(leased: leases_pb2.LeasedTicket) -> str:
    """The reason; empty if it is leased."""
    assert leased.HasField("reason") != leased.HasField("lease_until_time")
    return REFUSAL[leased.reason] if leased.HasField("reason") else ""


async def test_what_is_leased_is_refused_elsewhere(
    world: World, first: Terminal, second: Terminal
) -> None:
    """Named with terminal and time; other functions of the ticket, and other tickets, are not."""
    ticket, other = await world.tickets(2)
    before = datetime.now(UTC)
    (leased,) = await first.lease(ticket.code, duration_seconds=120)
    until = leased.lease_until_time.ToDatetime(tzinfo=UTC)
    assert before + timedelta(seconds=119) < until < datetime.now(UTC) + timedelta(seconds=121)
    refused = await second.redeem(ticket.qr)
    assert verdict(refused) == "LEASED_ELSEWHERE"
    for text in (refused.explanation.en, refused.explanation.zh):
        assert "T-1" in text
        assert (until + timedelta(hours=8)).strftime("%Y-%m-%d %H:%M:%S") in text
    assert outcome((await second.lease(ticket.code))[0]) == "LEASED_ELSEWHERE"
    assert verdict(await second.redeem(ticket.qr, "gift")) == "SUCCESS"
    assert verdict(await second.redeem(other.qr)) == "SUCCESS"
    assert verdict(await first.redeem(ticket.qr)) == "SUCCESS"


async def test_a_lease_ends_by_itself_or_is_given_back(
    world: World, first: Terminal, second: Terminal
) -> None:
    over, back, kept = await world.tickets(3)
    codes = [each.code for each in (over, back, kept)]
    assert [outcome(each) for each in await first.lease(*codes)] == ["", "", ""]
    assert await second.give_back(*codes) == 0  # they are the other's
    await world.sql(OVER, over.ticket_id)
    assert verdict(await second.redeem(over.qr)) == "SUCCESS"
    assert await first.give_back(back.code) == 1
    assert outcome((await second.lease(back.code))[0]) == ""
    assert verdict(await second.redeem(kept.qr)) == "LEASED_ELSEWHERE"
    assert await first.give_back() == 1
    assert verdict(await second.redeem(kept.qr)) == "SUCCESS"


async def test_an_offline_redemption_under_a_lease_is_accepted(
    world: World, first: Terminal, second: Terminal
) -> None:
    """The other's is not, whoever was first and uploads first."""
    ticket = await world.ticket()
    await first.lease(ticket.code)
    others, own = OfflineTerminal(second), OfflineTerminal(first)
    others.scan(ticket.qr, at=datetime.now(UTC) - timedelta(minutes=5))
    own.scan(ticket.qr)
    (refused,) = (await others.upload()).scans
    assert (VERDICT[refused.verdict], REFUSAL[refused.reason]) == ("REFUSED", "LEASED_ELSEWHERE")
    (accepted,) = (await own.upload()).scans
    assert VERDICT[accepted.verdict] == "ACCEPTED"
    assert (await world.sql("SELECT count(*) FROM redemption_guards"))[0][0] == 1


async def test_why_a_ticket_is_not_leased(world: World, first: Terminal) -> None:
    """Each of a call on its own. What comes too early may be leased."""
    used = await world.ticket()
    await first.redeem(used.qr)
    expected = {
        (await world.ticket()).code: "",
        (await world.ticket(valid_from_time=datetime.now(UTC) + timedelta(days=1))).code: "",
        used.code: "ALREADY_REDEEMED",
        (await world.ticket(blocked=True)).code: "TICKET_BLOCKED",
        (await world.ticket(state="REFUNDED")).code: "TICKET_REFUNDED",
        (await world.ticket((Entitlement("gift"),))).code: "FUNCTION_NOT_INCLUDED",
        (await world.ticket((Entitlement("spa"),))).code: "TICKET_NOT_FOUND",
        "OTA-CP-20251103-999999": "TICKET_NOT_FOUND",
        "nonsense": "TICKET_NOT_FOUND",
    }
    leased = await first.lease(*expected)
    found = {code: outcome(each) for code, each in zip(expected, leased, strict=True)}
    assert found == expected


async def test_a_share_of_a_departure(world: World, first: Terminal, second: Terminal) -> None:
    """The shares of two gates are all tickets, each in one of them."""
    sold = await world.tickets(6)
    for ticket in sold:
        async with world.pg.transaction():
            await world.sql("SET LOCAL session_replication_role = replica")
            await world.sql(
                "INSERT INTO departure_tickets (ticket_id, departure_id, stock_id,"
                " reference_time) VALUES (%s, 77, 1, now())",
                ticket.ticket_id,
            )
    mine = await first.lease(departure_id=77, share=0, share_count=2)
    others = await second.lease(departure_id=77, share=1, share_count=2)
    assert sorted(each.ticket_code for each in [*mine, *others]) == [each.code for each in sold]
    assert {outcome(each) for each in [*mine, *others]} == {""}
    assert len(mine) == len(others) == 3
    again = await second.lease(departure_id=77)
    assert sorted(map(outcome, again)) == [""] * 3 + ["LEASED_ELSEWHERE"] * 3
    for wrong in (first.lease(departure_id=77, share=2, share_count=2), first.lease()):
        assert (await refusal(wrong)).reason == Reason.INVALID_FIELD
    assert (await refusal(first.lease(departure_id=78))).reason == Reason.NOT_FOUND


async def test_a_terminal_leases_so_many(
    world: World, first: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its calls come at once. What it leases anew counts once."""
    monkeypatch.setattr(leases, "MOST_OF_TERMINAL", 3)
    tickets = await world.tickets(6)
    calls = [first.lease(*[each.code for each in part]) for part in (tickets[:3], tickets[3:])]
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert sorted(isinstance(each, BaseException) for each in done) == [False, True]
    kept = tickets[3:] if isinstance(done[0], BaseException) else tickets[:3]
    await first.lease(*[each.code for each in kept])
    more = next(each.code for each in tickets if each not in kept)
    assert (await refusal(first.lease(more))).reason == Reason.RANGE_TOO_LARGE


async def test_leases_are_in_packs_and_in_the_audit_trail(
    world: World, server: GateServer, first: Terminal, second: Terminal
) -> None:
    request = access_pb2.OperatorLoginRequest(
        username="olga", password=PASSWORD, terminal_device_id="T-1", with_offline_key=True
    )
    pack = KeptPack((await first.stub.OperatorLogin(request)).offline_verify_key)
    ticket, other = await world.tickets(2)
    await pack.update(second)
    (leased,) = await first.lease(ticket.code)
    await world.sql(  # a moment that rounding would put a millisecond later
        "UPDATE entitlements SET leased_until = date_trunc('milliseconds', leased_until)"
        " + interval '999 microseconds' WHERE leased_until IS NOT NULL"
    )
    await pack.update(second)
    until = leased.lease_until_time.ToMilliseconds()
    assert pack.tickets[ticket.ticket_id].leases == {"ferry": ("T-1", until)}
    assert pack.tickets[other.ticket_id].leases == {}
    await first.give_back()
    await pack.update(second)
    assert pack.tickets[ticket.ticket_id].leases == {}
    found = await world.sql(
        "SELECT actor, action, name FROM audit_events WHERE resource = 'terminal' ORDER BY 2"
    )
    assert found == [("operator:olga", name, "T-1") for name in ("lease_ended", "leased")]


async def test_two_lease_and_redeem_at_once(
    world: World, first: Terminal, second: Terminal
) -> None:
    """Of each ticket one terminal has it: whoever leased first, or else redeemed.

    Seen red without the tickets' locks in `_lease`: both got leases.
    """
    for _ in range(8):
        ticket = await world.ticket()
        (mine,), (others,), scanned = await asyncio.gather(
            first.lease(ticket.code), second.lease(ticket.code), second.redeem(ticket.qr)
        )
        got = [outcome(mine) == "", outcome(others) == "" or verdict(scanned) == "SUCCESS"]
        assert sorted(got) == [False, True], (mine, others, scanned)
        winner, loser = (first, second) if got[0] else (second, first)
        if verdict(scanned) == "SUCCESS":
            assert verdict(await loser.redeem(ticket.qr)) in {"ALREADY_REDEEMED"}
        else:
            assert verdict(await loser.redeem(ticket.qr)) == "LEASED_ELSEWHERE"
            assert verdict(await winner.redeem(ticket.qr)) == "SUCCESS"


async def test_expiry_against_scans(world: World, first: Terminal, second: Terminal) -> None:
    """While it ends one gets in: the holder any time, the other as soon as it is over."""
    for _ in range(4):
        ticket = await world.ticket()
        await first.lease(ticket.code)
        await world.sql(
            "UPDATE entitlements SET leased_until = now() + interval '30 milliseconds'"
            " WHERE ticket_id = %s",
            ticket.ticket_id,
        )
        verdicts: list[str] = []
        while "SUCCESS" not in verdicts:
            answers = await asyncio.gather(second.redeem(ticket.qr), second.redeem(ticket.qr))
            verdicts += map(verdict, answers)
        assert verdicts.count("SUCCESS") == 1
        assert set(verdicts) <= {"SUCCESS", "LEASED_ELSEWHERE", "ALREADY_REDEEMED"}


async def test_a_lease_outlives_its_server(
    world: World,
    first: Terminal,
    module_database_url: str,
    module_redis_url: str,
) -> None:
    """It is in the database alone: another process refuses by it, and gives it back."""
    ticket = await world.ticket()
    await first.lease(ticket.code)
    async with gate_server(module_database_url, module_redis_url) as another:
        other = await world.log_in(another.channel, device="T-2")
        assert verdict(await other.redeem(ticket.qr)) == "LEASED_ELSEWHERE"
        assert await first.at(another.channel).give_back() == 1
        assert verdict(await other.redeem(ticket.qr)) == "SUCCESS"


async def test_what_is_locked_is_waited_for(
    world: World, first: Terminal, module_database_url: str
) -> None:
    """Somebody else has the ticket: a refund, which commits, and is seen."""
    ticket = await world.ticket()
    async with await psycopg.AsyncConnection.connect(module_database_url) as other:
        await other.execute(
            "UPDATE tickets SET state = 'REFUNDING' WHERE ticket_id = %s", (ticket.ticket_id,)
        )
        leasing = asyncio.create_task(first.lease(ticket.code))
        await world.waits_for_a_lock()
        await other.commit()
    assert outcome((await leasing)[0]) == "TICKET_NOT_ACTIVE"
