"""Scans that were decided without network: a verdict for each, for good, and none is lost."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from deeptravel.admin.v1 import offline_scan_pb2
from deeptravel.admin.v1.admin_service_pb2_grpc import AdminServiceStub
from deeptravel.redemption.v1 import offline_pb2

from server.parties.offline_policy import USUAL
from server.platform.errors import Reason
from tests.support.gate import REFUSAL, QrTicket, World, a_world, verdict
from tests.support.gate_server import GateServer, gate_server
from tests.support.offline_terminal import LIABLE, VERDICT, OfflineTerminal, hash_of
from tests.support.redemption_model import Entitlement
from tests.support.rpc_server import refusal
from tests.support.venue_pack import knows_policy

TOKENS = Entitlement("tokens", total=3, use_mode="MULTI_USE", guard_seconds=0)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
GIVEN_BACK = """
WITH moved AS (UPDATE tickets SET state = 'REFUNDED' WHERE ticket_id = %s RETURNING ticket_id)
INSERT INTO ticket_events (ticket_id, event_id, action, state, actor, occurred_time)
SELECT ticket_id, v.id, v.state, v.state, 'traveller:1', %s
FROM moved, (VALUES (1, 'REFUNDING'), (2, 'REFUNDED')) v (id, state)
"""


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
async def gate(world: World, server: GateServer) -> OfflineTerminal:
    return OfflineTerminal(await world.log_in(server.channel))


@pytest.fixture
async def other_gate(world: World, server: GateServer) -> OfflineTerminal:
    return OfflineTerminal(await world.log_in(server.channel, device="T-2"))


async def test_a_scan_is_accepted_and_stays_so(world: World, gate: OfflineTerminal) -> None:
    ticket, then = await world.ticket(), datetime.now(UTC) - HOUR
    gate.scan(ticket.qr, at=then)
    gate.scan(ticket.qr, "gift", at=then)
    refused = gate.scan(ticket.qr, at=then, admitted=False)
    first = await gate.upload()
    assert [VERDICT[scan.verdict] for scan in first.scans] == ["ACCEPTED", "ACCEPTED", "RECORDED"]
    assert [scan.scan_hash for scan in first.scans] == [hash_of(scan) for scan in gate.scans]
    assert await gate.upload() == first
    assert (await gate.upload([refused])).scans == first.scans[2:]
    assert await world.state(ticket) == "USED"
    assert await world.events(ticket) == [("SUCCESS", "")] * 2
    assert await world.contradictions() == []
    again = await gate.terminal.redeem(ticket.qr)
    assert verdict(again) == "ALREADY_REDEEMED"
    assert again.earlier.redemption_id == first.scans[0].redemption_id
    assert again.earlier.redeemed_at.ToMicroseconds() == int(then.timestamp() * 1e6)


async def test_who_was_first_is_named(
    world: World, gate: OfflineTerminal, other_gate: OfflineTerminal
) -> None:
    ticket, then = await world.ticket(), datetime.now(UTC) - HOUR
    party = await world.ticket((TOKENS,))
    other_gate.scan(ticket.qr, at=then)
    other_gate.scan(party.qr, "tokens", at=then, quantity=2)
    assert await other_gate.verdicts() == ["ACCEPTED"] * 2
    gate.scan(ticket.qr, at=then - MINUTE)
    gate.scan(party.qr, "tokens", at=then, quantity=2)
    gate.scan(party.qr, "tokens", at=then)
    gate.scan(party.qr, "tokens", at=then)
    answer = await gate.upload()
    found = [VERDICT[scan.verdict] for scan in answer.scans]
    assert found == ["CONFLICT", "CONFLICT", "ACCEPTED", "DUPLICATE"]
    for scan in answer.scans[:2]:
        assert scan.earlier.terminal_device_id == "T-2"
        assert scan.earlier.redeemed_at.ToMicroseconds() == int(then.timestamp() * 1e6)
        assert LIABLE[scan.liable] == "MERCHANT"
    assert await world.uses(party, "tokens") == (0, 3)
    assert await world.contradictions() == []


async def test_what_names_no_ticket_is_recorded(world: World, gate: OfflineTerminal) -> None:
    (gone,) = await world.tickets(1)
    unknown = world.seal(gone.jti, gone.ticket_id + 1_000_000)
    foreign = "https://pay.example/q?customer=138"
    scans = [gate.scan(unknown), gate.scan(foreign), gate.scan(""), gate.scan(gone.qr, "spa")]
    scans[3].ClearField("scanned_time")
    scans[2].counter = scans[2].pack_version = (1 << 63) - 1
    assert await gate.verdicts() == ["UNKNOWN_TICKET", "MALFORMED", "MALFORMED", "REFUSED"]
    (kept,) = await world.sql("SELECT string_agg(s::text, '') FROM offline_scans s")
    assert "pay.example" not in kept[0]
    ((count,),) = await world.sql("SELECT count(*) FROM offline_scans WHERE counter > 0")
    assert count >= len(scans)


async def test_a_scan_whose_answer_was_lost_counts_once(
    world: World, server: GateServer, gate: OfflineTerminal, other_gate: OfflineTerminal
) -> None:
    """Redeemed online, and written down under the same id as nobody heard of it: accepted, whatever
    became of the ticket since. It excuses no second scan, none of another terminal, and none of
    another function. Seen red without the look for it: DUPLICATE, or consumed twice.
    """
    once, taken_back, other = await world.tickets(3)
    party = await world.ticket((TOKENS,))
    online = gate.terminal
    answers = [
        await online.redeem(once.qr, request_id="lost-1"),
        await online.redeem(party.qr, "tokens", quantity=2, request_id="lost-2"),
        await online.redeem(taken_back.qr, request_id="lost-3"),
        await online.redeem(other.qr, request_id="lost-4"),
    ]
    sam = await world.log_in(server.channel, "sam", "T-4")
    await sam.reverse(answers[2].redemption_id)
    gate.scan(once.qr, scan_id="lost-1")
    gate.scan(party.qr, "tokens", quantity=2, scan_id="lost-2")
    gate.scan(taken_back.qr, scan_id="lost-3").ClearField("scanned_time")
    gate.scan(other.qr, "gift", scan_id="lost-4")
    gate.scan(party.qr, "tokens", quantity=2, scan_id="lost-2")
    other_gate.scan(once.qr, scan_id="lost-1")
    answer = await gate.upload()
    found = [VERDICT[scan.verdict] for scan in answer.scans]
    assert found == ["ACCEPTED"] * 4 + ["DUPLICATE"]
    redeemed = [scan.redemption_id for scan in answer.scans[:3]]
    assert redeemed == [each.redemption_id for each in answers[:3]]
    assert [LIABLE[scan.liable] for scan in answer.scans] == [""] * 4 + ["MERCHANT"]
    assert await other_gate.verdicts() == ["CONFLICT"]
    assert await world.uses(party, "tokens") == (1, 3)
    assert await world.uses(taken_back) == (1, 1)
    assert await world.events(other) == [("SUCCESS", "")] * 2
    assert await gate.upload() == answer
    gate.scan(once.qr, at=datetime.now(UTC) + MINUTE, scan_id="lost-1")
    assert (await gate.verdicts())[-1] == "DUPLICATE", "it was excused in an earlier upload"
    assert await world.contradictions() == []


@pytest.mark.parametrize(
    ("minutes", "pack_minutes", "expected"),
    [
        (-5, -9, ("CONFLICT", "PLATFORM")),  # admitted before it was given back
        (5, -9, ("REVOKED_AT_SCAN", "PLATFORM")),  # by a pack of before
        (5, 3, ("REVOKED_AT_SCAN", "MERCHANT")),  # which said so
        (5, -60 * 24, ("REVOKED_AT_SCAN", "MERCHANT")),  # by one that was too old
    ],
)
async def test_a_refund_is_decided_by_the_time_of_the_scan(
    world: World,
    gate: OfflineTerminal,
    minutes: int,
    pack_minutes: int,
    expected: tuple[str, str],
) -> None:
    ticket, refunded = await world.ticket(), datetime.now(UTC) - HOUR
    await world.sql(GIVEN_BACK, ticket.ticket_id, refunded)
    made = int((refunded + pack_minutes * MINUTE).timestamp() * 1000)
    gate.scan(ticket.qr, at=refunded + minutes * MINUTE, pack_version=made)
    (scan,) = (await gate.upload()).scans
    assert (VERDICT[scan.verdict], LIABLE[scan.liable]) == expected
    assert REFUSAL[scan.reason] == "TICKET_REFUNDED"
    assert abs(scan.revoked_time.ToMicroseconds() - refunded.timestamp() * 1e6) < 2
    assert await world.uses(ticket) == (1, 1)


@pytest.mark.parametrize("table", ["merchants", "venues"])
async def test_the_policy_of_a_merchant_or_venue_decides(
    world: World, gate: OfflineTerminal, other_gate: OfflineTerminal, table: str
) -> None:
    """Who was admitted stays so, and the merchant bears that and what was refunded since; a pack of
    two hours is too old, a clock a minute off is wrong. No use is consumed that there is not. What
    a venue has counts there, whatever the merchant has.
    """
    now = datetime.now(UTC)
    ticket, refunded, old, clock = await world.tickets(4)
    await world.sql(GIVEN_BACK, refunded.ticket_id, now - 10 * MINUTE)
    await world.sql(GIVEN_BACK, old.ticket_id, now - 10 * MINUTE)
    gate.scan(ticket.qr, at=now - HOUR)
    other_gate.scan(ticket.qr, at=now - HOUR)
    gate.scan(refunded.qr, at=now - HOUR)
    long_ago = int((now - 3 * HOUR).timestamp() * 1000)
    gate.scan(old.qr, at=now - 5 * MINUTE, pack_version=long_ago)
    gate.scan(clock.qr, at=now - MINUTE, pack_version=int(now.timestamp() * 1000))
    assert await other_gate.verdicts() == ["ACCEPTED"]
    named = {"merchants": "merchant_code = 'M'", "venues": "venue_code = 'PIER'"}[table]
    change = (
        f"UPDATE {table} SET (offline_pack_seconds, offline_clock_seconds, offline_over_admission,"
        f" offline_bears_refunds) = (%s, %s, %s, %s) WHERE {named}"
    )
    before = USUAL if table == "merchants" else (None,) * 4
    await world.change(change, 7_200, 30, True, True)
    try:
        await knows_policy(gate.terminal, 7_200)
        answer = await gate.upload()
    finally:
        await world.change(change, *before)
        await knows_policy(gate.terminal, USUAL.pack_seconds)
    found = [(VERDICT[scan.verdict], LIABLE[scan.liable]) for scan in answer.scans]
    assert found == [
        ("OVER_ADMITTED", "MERCHANT"),
        ("CONFLICT", "MERCHANT"),
        ("REVOKED_AT_SCAN", "MERCHANT"),
        ("CLOCK_SUSPECT", ""),
    ]
    assert answer.scans[0].earlier.terminal_device_id == "T-2"
    assert await world.uses(ticket) == (0, 1)
    assert await gate.upload() == answer, "a verdict is for good, whatever is agreed on later"
    assert await world.contradictions() == []


async def test_what_ended_since_is_accepted(world: World, gate: OfflineTerminal) -> None:
    """A validity that was over at the upload, a block and a new QR that came after the scan."""
    now = datetime.now(UTC)
    over = await world.ticket(state="EXPIRED", valid_until_time=now - MINUTE)
    blocked, rotated = await world.ticket(blocked=True), await world.ticket()
    for ticket, action in ((blocked, "block"), (rotated, "qr_rotated")):
        await world.sql(
            "INSERT INTO ticket_events (ticket_id, event_id, action, state, actor, occurred_time)"
            " VALUES (%s, 1, %s, 'ACTIVE', 'admin:root', %s)",
            *(ticket.ticket_id, action, now - 10 * MINUTE),
        )
    await world.rotate(rotated)
    for ticket in (over, blocked, rotated):
        gate.scan(ticket.qr, at=now - 30 * MINUTE)
    gate.scan(over.qr, "gift", at=now)
    gate.scan(blocked.qr, "gift", at=now - 5 * MINUTE, pack_version=0)
    expected = ["ACCEPTED"] * 3 + ["REFUSED", "REVOKED_AT_SCAN"]
    assert await gate.verdicts() == expected
    assert await world.state(over) == "EXPIRED"
    assert await world.uses(over) == (0, 1)
    assert await world.contradictions() == []


async def test_tickets_that_were_admitted_by_their_orders_qr(
    world: World, gate: OfflineTerminal
) -> None:
    """As by their own: one that got another QR after the scan is accepted, one that had it before
    is not; nor is a ticket that is of no such order. Seen red with the rotation as it is now.
    """
    now = datetime.now(UTC)
    order, (first, rotated) = await world.order(2)
    (stranger,) = await world.tickets(1)
    await world.sql(
        "INSERT INTO ticket_events (ticket_id, event_id, action, state, actor, occurred_time)"
        " VALUES (%s, 1, 'qr_rotated', 'ACTIVE', 'partner:CP', %s)",
        *(rotated.ticket_id, now - 10 * MINUTE),
    )
    await world.sql(
        "WITH counted AS (UPDATE orders SET ticket_rotations = 1 WHERE order_id = %s)"
        " UPDATE tickets SET rotation = 1 WHERE ticket_id = %s",
        *(order.ticket_id, rotated.ticket_id),
    )
    await world.rotate(rotated)
    for code in (first.code, rotated.code, stranger.code):
        gate.scan(order.qr, at=now - 30 * MINUTE, ticket_code=code)
    gate.scan(order.qr, "gift", at=now - 5 * MINUTE, ticket_code=rotated.code, pack_version=0)
    verdicts = ["ACCEPTED", "ACCEPTED", "UNKNOWN_TICKET", "REVOKED_AT_SCAN"]
    assert await gate.verdicts() == verdicts
    assert [await world.uses(each) for each in (first, rotated)] == [(0, 1)] * 2
    assert await world.contradictions() == []


async def test_a_ticket_that_was_admitted_by_its_number(
    world: World, server: GateServer, gate: OfflineTerminal
) -> None:
    """By a supervisor, and once, with its reason in the audit trail; an operator's upload records
    nothing of the call. Seen red without the check of the role.
    """
    sam = OfflineTerminal(await world.log_in(server.channel, "sam", "T-2"))
    ticket, other = await world.tickets(2)
    for terminal in (gate, sam):
        terminal.scan("", ticket_code=ticket.code, comment="the print is torn")
        terminal.scan(other.qr)
    assert (await refusal(gate.upload())).reason == Reason.ROLE_NOT_ALLOWED
    sam.scan("", ticket_code=ticket.code, comment="again")
    sam.scan("", ticket_code=f"{ticket.code[:-6]}999999", comment="no such ticket")
    answer = await sam.upload()
    found = [VERDICT[scan.verdict] for scan in answer.scans]
    assert found == ["ACCEPTED", "ACCEPTED", "DUPLICATE", "UNKNOWN_TICKET"]
    assert [scan.scan_hash for scan in answer.scans] == [hash_of(scan) for scan in sam.scans]
    assert await sam.upload() == answer
    assert verdict(await gate.terminal.redeem(ticket.qr)) == "ALREADY_REDEEMED"
    rows = await world.sql(
        "SELECT actor, after ->> 'comment', after ->> 'result' FROM audit_events"
        " WHERE action = 'redeem_by_code' AND name = %s",
        ticket.code,
    )
    assert rows == [("supervisor:sam", "the print is torn", "SUCCESS")]


async def test_a_clock_that_cannot_be_right_is_named(world: World, gate: OfflineTerminal) -> None:
    now, tickets = datetime.now(UTC), await world.tickets(4)
    gate.scan(tickets[0].qr, at=now + HOUR)
    gate.scan(tickets[1].qr, at=now - HOUR, pack_version=int(now.timestamp() * 1000))
    gate.scan(tickets[2].qr).ClearField("scanned_time")
    gate.scan(tickets[3].qr, at=now + MINUTE)
    assert await gate.verdicts() == ["CLOCK_SUSPECT"] * 3 + ["ACCEPTED"]
    assert [(await world.uses(ticket))[0] for ticket in tickets] == [0] * 4


async def test_the_chain_shows_what_was_taken_out(
    world: World, gate: OfflineTerminal, server: GateServer
) -> None:
    gate.terminal = await world.log_in(server.channel, device="T-3")
    for ticket in await world.tickets(6):
        gate.scan(ticket.qr)
    first, second, taken_out, *rest = gate.scans
    breaks = (await gate.upload([*rest, second])).chain_breaks
    assert [(each.counter, each.counter_before) for each in breaks] == [(2, 0), (4, 2)]
    breaks = (await gate.upload([first])).chain_breaks
    assert [*breaks] == []
    altered = offline_pb2.OfflineScan()
    altered.CopyFrom(taken_out)
    altered.function_code = "gift"
    breaks = (await gate.upload([altered])).chain_breaks
    assert [(each.counter, each.counter_before) for each in breaks] == [(4, 3)]
    # both are recorded: none is lost
    assert await gate.verdicts(taken_out) == ["ACCEPTED"]


async def conflicts(world: World, server: GateServer) -> Counter[str]:
    """The verdicts on an administrator's list of the two gates, read page by page."""
    root = await world.log_in(server.channel, "root", device=None)
    admin = AdminServiceStub(server.channel)
    listed, request = Counter[str](), offline_scan_pb2.ListOfflineConflictsRequest(page_size=30)
    while True:
        page = await admin.ListOfflineConflicts(request, metadata=root.metadata)
        mine = [each for each in page.conflicts if each.terminal_device_id in ("T-1", "T-2")]
        listed.update(VERDICT[each.scan.verdict] for each in mine)
        request.page_token = page.next_page_token
        if not page.next_page_token:
            return listed


async def test_two_gates_without_network_and_one_with_it(
    world: World, server: GateServer, gate: OfflineTerminal, other_gate: OfflineTerminal
) -> None:
    """Uploads are lost, doubled, cut and mixed, while others scan the same tickets online. Exactly
    as many uses are accepted as there are, and what is not accepted is on the list. Seen red with
    scans that are decided without looking for those that are known: the table's key refuses them.
    """
    chance = random.Random(7)
    tickets = await world.tickets(12, (TOKENS, Entitlement("ferry")))
    online = await world.log_in(server.channel, device="T-4")
    gates = [gate, other_gate]
    admitted: Counter[tuple[int, str]] = Counter()

    async def redeem_online(ticket: QrTicket, function_code: str) -> None:
        if verdict(await online.redeem(ticket.qr, function_code)) == "SUCCESS":
            admitted[ticket.ticket_id, function_code] += 1

    for device in gates:
        for _ in range(60):
            ticket, function = chance.choice(tickets), chance.choice(("tokens", "ferry"))
            device.scan(ticket.qr, function, at=datetime.now(UTC) - HOUR * chance.random())
    asked: list[Any] = [
        redeem_online(chance.choice(tickets), chance.choice(("tokens", "ferry"))) for _ in range(40)
    ]
    for device in gates:
        for _ in range(12):
            asked.append(device.upload(chance.sample(device.scans, chance.randint(1, 40))))
    chance.shuffle(asked)
    await asyncio.gather(*asked)
    verdicts: Counter[str] = Counter()
    for device in gates:
        answer = await device.upload()
        assert await device.upload(reversed(device.scans)) != answer  # its order is another
        assert {*map(str, (await device.upload(device.scans[::-1])).scans)} == {
            *map(str, answer.scans)
        }
        for scan, found in zip(device.scans, answer.scans, strict=True):
            verdicts[VERDICT[found.verdict]] += 1
            ticket_id = next(t.ticket_id for t in tickets if t.qr == scan.qr_token)
            admitted[ticket_id, scan.function_code] += VERDICT[found.verdict] == "ACCEPTED"
    for ticket, function in itertools.product(tickets, ("tokens", "ferry")):
        remaining, total = await world.uses(ticket, function)
        assert admitted[ticket.ticket_id, function] == total - remaining
    assert verdicts["ACCEPTED"] > 20
    assert verdicts["CONFLICT"] > 5
    listed = await conflicts(world, server)
    assert all(listed[name] >= count for name, count in verdicts.items() if name != "ACCEPTED")
    assert not listed["ACCEPTED"]
    assert await world.contradictions() == []
