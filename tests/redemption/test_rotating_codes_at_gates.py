"""Rotating codes at gates: a screenshot is refused, what the phone shows now is admitted, and the
policy says whether the QR alone is enough; scans without network likewise.

A code of now stays good for a minute at least, and one of two steps ago never is again, whatever
the time of the test.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from deeptravel.redemption.v1 import access_pb2, redemption_pb2
from deeptravel.redemption.v1.redemption_service_pb2_grpc import RedemptionServiceStub

from server.tickets.rotating_codes import STEP_SECONDS, code_at, secret_of
from server.tickets.rotating_keys import RotatingKeys
from server.tickets.rules import DIRECT
from tests.support.gate import (
    PASSWORD,
    QrTicket,
    Terminal,
    World,
    a_world,
    scan_message,
    verdict,
)
from tests.support.gate_server import GateServer, gate_server
from tests.support.offline_terminal import OfflineTerminal
from tests.support.redemption_model import Entitlement
from tests.support.rpc_server import SECRET_KEY
from tests.support.venue_pack import KeptPack

STEP, HOUR = timedelta(seconds=STEP_SECONDS), timedelta(hours=1)
KEYS = RotatingKeys(SECRET_KEY)
NEXT = STEP  # good now, and for two steps to come
REQUIRED = (Entitlement("ferry", rotating_code="REQUIRED"), Entitlement("gift"))
OPTIONAL = (Entitlement("ferry", rotating_code="OPTIONAL"),)
ONLY_REQUIRED = REQUIRED[:1]
MANY_USES = (Entitlement("tokens", 3, "MULTI_USE", guard_seconds=0, rotating_code="REQUIRED"),)
EXPIRED, MISSING = "ROTATING_CODE_EXPIRED", "ROTATING_CODE_REQUIRED"


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
async def terminal(world: World, server: GateServer) -> Terminal:
    return await world.log_in(server.channel)


async def ours(world: World, entitlements: tuple[Entitlement, ...]) -> QrTicket:
    return await world.ticket(entitlements, partner_id=DIRECT)


def shown(ticket: QrTicket, at: datetime) -> str:
    """What the phone shows at a moment."""
    return f"{ticket.qr}-{code_at(KEYS.secret(ticket.ticket_id, ticket.jti), at)}"


def on_phone(ticket: QrTicket, later: timedelta = timedelta()) -> str:
    """What the phone shows now, or so much later."""
    return shown(ticket, datetime.now(UTC) + later)


@pytest.mark.parametrize(
    ("entitlements", "expected"),
    [
        ((Entitlement("ferry"),), ("", "", "")),
        (OPTIONAL, ("", EXPIRED, "")),
        (ONLY_REQUIRED, (MISSING, EXPIRED, "")),
    ],
    ids=["NONE", "OPTIONAL", "REQUIRED"],
)
async def test_the_policy_decides(
    world: World,
    terminal: Terminal,
    entitlements: tuple[Entitlement, ...],
    expected: tuple[str, str, str],
) -> None:
    """The QR alone, a screenshot two steps old, and what the phone shows: looked at, redeemed, in a
    stream and in one call.

    Seen red with the rule left out (`_code` giving None): REQUIRED admits the QR alone.
    """
    for n, reason in enumerate(expected):
        one, two, three = [await ours(world, entitlements) for _ in range(3)]

        def text(ticket: QrTicket, n: int = n) -> str:
            return (ticket.qr, on_phone(ticket, -2 * STEP), on_phone(ticket, NEXT))[n]

        looked = await terminal.decrypt(text(one))
        assert (verdict(looked) if looked.HasField("result") else "") == reason
        assert looked.ticket_code == one.code
        wanted = reason or "SUCCESS"
        assert verdict(await terminal.redeem(text(one))) == wanted
        many = await terminal.redeem_many([(text(two), "ferry")], all_or_nothing=True)
        assert [verdict(each) for each in many.results] == [wanted]
        stream = terminal.stream()
        await stream.write(scan_message("s", text(three)))
        await stream.done_writing()
        (answer,) = [each async for batch in stream for each in batch.answers]
        assert verdict(answer.answer) == wanted
        assert await world.uses(one) == (1 if reason else 0, 1)


async def test_a_phone_whose_clock_is_wrong_is_refused(world: World, terminal: Terminal) -> None:
    """And admitted as soon as it is right; a step it may be off."""
    ticket = await ours(world, OPTIONAL)
    for later in (-HOUR, HOUR):
        refused = await terminal.redeem(on_phone(ticket, later))
        assert verdict(refused) == EXPIRED
        assert "30 s" in refused.explanation.en
    assert verdict(await terminal.redeem(on_phone(ticket, NEXT))) == "SUCCESS"


async def test_a_code_of_another_ticket_or_a_former_qr_is_none(
    world: World, terminal: Terminal
) -> None:
    ticket, other = [await ours(world, ONLY_REQUIRED) for _ in range(2)]
    code = on_phone(other, NEXT).removeprefix(other.qr)
    assert verdict(await terminal.redeem(ticket.qr + code)) == EXPIRED
    new = await world.rotate(ticket)
    former = on_phone(ticket, NEXT).removeprefix(ticket.qr)
    assert verdict(await terminal.redeem(new.qr + former)) == EXPIRED
    assert verdict(await terminal.redeem(on_phone(ticket, NEXT))) == "QR_SUPERSEDED"
    assert verdict(await terminal.redeem(on_phone(new, NEXT))) == "SUCCESS"


async def test_what_has_no_code_of_its_own(
    world: World, server: GateServer, terminal: Terminal
) -> None:
    """A partner's ticket, another function, an order's QR, and the ticket's printed number."""
    partners, mixed = await world.ticket(ONLY_REQUIRED), await ours(world, REQUIRED)
    assert verdict(await terminal.redeem(partners.qr)) == "SUCCESS"
    assert not (await terminal.decrypt(mixed.qr)).HasField("result")
    assert verdict(await terminal.redeem(mixed.qr, "gift")) == "SUCCESS"
    assert verdict(await terminal.redeem(mixed.qr)) == MISSING
    order, _ = await world.order(0)
    (of_order,) = await world.tickets(1, ONLY_REQUIRED, partner_id=DIRECT, order_id=order.ticket_id)
    request = redemption_pb2.LookupOrderRequest(encrypted_data=on_phone(of_order))
    assert (await terminal.call("LookupOrder", request)).order_id == order.code
    by_number = redemption_pb2.RedeemByCodeRequest(
        ticket_code=mixed.code,
        function_code="ferry",
        terminal_device_id="T-2",
        comment="phone is dead",
        request_id=uuid4().hex,
    )
    supervisor = await world.log_in(server.channel, "sam", "T-2")
    assert verdict(await supervisor.call("RedeemByCode", by_number)) == "SUCCESS"


async def test_one_code_is_good_once_whatever_races(world: World, server: GateServer) -> None:
    """Pictures of one step, and of the steps beside it, at two gates: the guard admits one."""
    ticket = await ours(world, ONLY_REQUIRED)
    gates = [await world.log_in(server.channel, device=device) for device in ("T-1", "T-2")]
    texts = [on_phone(ticket, later) for later in (timedelta(), NEXT) for _ in range(10)]
    answers = await asyncio.gather(
        *[gate.redeem_until_decided(text) for text in texts for gate in gates]
    )
    found = sorted(map(verdict, answers))
    assert found == ["ALREADY_REDEEMED"] * (len(found) - 1) + ["SUCCESS"]
    assert await world.contradictions() == []
    party = await ours(world, MANY_USES)
    code = on_phone(party, NEXT)
    answers = await asyncio.gather(*[gate.redeem(code, "tokens") for gate in gates * 4])
    assert sorted(map(verdict, answers)) == ["NO_USES_LEFT"] * 5 + ["SUCCESS"] * 3


async def test_a_pack_has_what_codes_of_its_tickets_are_verified_by(
    world: World, server: GateServer, terminal: Terminal
) -> None:
    """Of those tickets alone that show codes: together with the jti of the token it makes the
    secret of the phone, and without that nothing.
    """
    request = access_pb2.OperatorLoginRequest(
        username="olga", password=PASSWORD, terminal_device_id="T-1", with_offline_key=True
    )
    key = (await RedemptionServiceStub(server.channel).OperatorLogin(request)).offline_verify_key
    asking = await ours(world, REQUIRED), await ours(world, OPTIONAL)
    plain, partners = await ours(world, (Entitlement("ferry"),)), await world.ticket(ONLY_REQUIRED)
    pack = KeptPack(key)
    await pack.update(terminal)
    for ticket in asking:
        kept = pack.tickets[ticket.ticket_id]
        secret = KEYS.secret(ticket.ticket_id, ticket.jti)
        assert secret_of(kept.share, ticket.jti) == secret
        assert kept.jti == ticket.jti.bytes[:8]
    flags = [
        (each.looks_at_code, each.needs_code)
        for ticket in (*asking, plain, partners)
        for each in pack.tickets[ticket.ticket_id].terms.functions
    ]
    none = False, False
    assert flags == [(True, True), none, (True, False), none, none]
    assert [pack.tickets[t.ticket_id].share for t in (plain, partners)] == [b"", b""]
    new = await world.rotate(asking[0])
    await world.sql(
        "INSERT INTO ticket_events (ticket_id, event_id, action, state, actor, occurred_time)"
        " VALUES (%s, 1, 'qr_rotated', 'ACTIVE', 'traveller:1', now())",
        new.ticket_id,
    )
    await pack.update(terminal)
    assert secret_of(pack.tickets[new.ticket_id].share, new.jti) == KEYS.secret(
        new.ticket_id, new.jti
    )


async def test_a_scan_without_network_is_verified_by_its_own_time(
    world: World, terminal: Terminal
) -> None:
    """The terminal's clock may be wrong by what is allowed for, two minutes; where its time cannot
    be believed at all, the administrators see it.
    """
    then, gate = datetime.now(UTC) - HOUR, OfflineTerminal(terminal)
    expected = []

    async def scan(code_later: timedelta | None, verdict: str, **fields: object) -> None:
        ticket = await ours(world, ONLY_REQUIRED)
        text = ticket.qr if code_later is None else shown(ticket, then + code_later)
        made = gate.scan(text, **{"at": then, **fields})  # type: ignore[arg-type]
        if fields.get("pack_version") == 0:
            made.ClearField("scanned_time")
        expected.append(verdict)

    await scan(timedelta(), "ACCEPTED")
    await scan(-STEP, "ACCEPTED")
    await scan(timedelta(minutes=2), "ACCEPTED")
    await scan(-timedelta(minutes=2), "ACCEPTED")
    await scan(-timedelta(minutes=4), "REFUSED")
    await scan(timedelta(minutes=4), "REFUSED")
    await scan(None, "REFUSED")
    await scan(-timedelta(minutes=4), "RECORDED", admitted=False)
    await scan(-timedelta(minutes=4), "CLOCK_SUSPECT", at=datetime.now(UTC) + HOUR)
    await scan(timedelta(), "CLOCK_SUSPECT", pack_version=0)
    await scan(None, "REFUSED", pack_version=0)
    answer = await gate.upload()
    assert await gate.verdicts() == expected
    reasons = [redemption_pb2.RefusalReason.Name(each.reason) for each in answer.scans]
    assert [each.removeprefix("REFUSAL_REASON_") for each in reasons[4:7]] == [
        *(EXPIRED, EXPIRED, MISSING)
    ]
    assert await world.contradictions() == []
