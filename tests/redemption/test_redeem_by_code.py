"""No QR at hand: a supervisor redeems by the ticket's code, and everything else is as with the QR.

Seen red: without the audit trail's statement among the writes (audited); with a jti of its own (the
QR is not ALREADY_REDEEMED afterwards); with the check of the merchant's functions left out (what is
not redeemed here is not there).
"""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from deeptravel.admin.v1 import audit_pb2
from deeptravel.admin.v1.admin_service_pb2_grpc import AdminServiceStub
from deeptravel.redemption.v1 import redemption_pb2

from server.platform.errors import Reason
from tests.support.gate import QrTicket, Terminal, World, a_world, remaining, verdict
from tests.support.gate_server import GateServer, gate_server
from tests.support.redemption_model import Entitlement
from tests.support.rpc_server import refusal

TORN = "the print is torn"


@pytest.fixture(scope="module")
async def filled_world(module_database_url: str) -> AsyncIterator[World]:
    async with a_world(module_database_url) as filled:
        yield filled


@pytest.fixture
async def world(filled_world: World, module_database_url: str) -> AsyncIterator[World]:
    yield filled_world
    assert await filled_world.contradictions() == []


@pytest.fixture(scope="module")
async def server(
    filled_world: World, module_database_url: str, module_redis_url: str
) -> AsyncIterator[GateServer]:
    async with gate_server(module_database_url, module_redis_url) as running:
        yield running


@pytest.fixture
async def terminal(world: World, server: GateServer) -> Terminal:
    return await world.log_in(server.channel)


@pytest.fixture
async def supervisor(world: World, server: GateServer) -> Terminal:
    return await world.log_in(server.channel, "sam", "T-2")


async def by_code(
    terminal: Terminal, code: str, function_code: str = "ferry", **fields: Any
) -> Any:
    values = {"comment": TORN, "request_id": uuid4().hex} | fields
    request = redemption_pb2.RedeemByCodeRequest(
        ticket_code=code, function_code=function_code, **values
    )
    return await terminal.call("RedeemByCode", request)


async def test_a_redemption_by_code_is_one_as_by_qr(
    world: World, terminal: Terminal, supervisor: Terminal
) -> None:
    ticket = await world.ticket()
    done = await by_code(supervisor, ticket.code)
    assert (verdict(done), done.ticket_code) == ("SUCCESS", ticket.code)
    assert remaining(done) == {"ferry": 0, "gift": 1}
    assert done.details.product_id == 106
    refused = await terminal.redeem(ticket.qr, "ferry")
    assert verdict(refused) == "ALREADY_REDEEMED"
    assert refused.earlier.redemption_id == done.redemption_id
    gift = await terminal.redeem(ticket.qr, "gift")
    refused = await by_code(supervisor, ticket.code, "gift")
    assert (verdict(refused), refused.earlier.redemption_id) == (
        "ALREADY_REDEEMED",
        gift.redemption_id,
    )
    back = await supervisor.reverse(done.redemption_id)
    assert remaining(back) == {"ferry": 1, "gift": 0}
    assert verdict(await by_code(supervisor, ticket.code)) == "SUCCESS"
    events = "SELECT DISTINCT jti FROM redemption_events WHERE ticket_id = %s"
    assert await world.sql(events, ticket.ticket_id) == [(ticket.jti,)]


async def test_the_rules_are_those_of_a_scan(
    world: World, supervisor: Terminal, subtests: pytest.Subtests
) -> None:
    for columns, function_code, reason in (
        ({"blocked": True}, "ferry", "TICKET_BLOCKED"),
        ({"state": "REFUNDED"}, "ferry", "TICKET_REFUNDED"),
        ({"state": "PRE_GENERATED", "order_id": None}, "ferry", "TICKET_NOT_ACTIVE"),
        ({}, "lounge", "FUNCTION_NOT_INCLUDED"),
        ({}, "cable-car", "FUNCTION_NOT_ALLOWED_HERE"),
    ):
        with subtests.test(reason=reason):
            ticket = await world.ticket(**columns)
            refused = await by_code(supervisor, ticket.code, function_code)
            assert (verdict(refused), refused.ticket_code) == (reason, ticket.code)
            assert await world.events(ticket) == [("REJECT", reason)]
            assert await world.uses(ticket) == (1, 1)
    ticket = await world.ticket([Entitlement("tokens", 3, "MULTI_USE", guard_seconds=0)])
    assert verdict(await by_code(supervisor, ticket.code, "tokens", quantity=4)) == "NO_USES_LEFT"
    assert verdict(await by_code(supervisor, ticket.code, "tokens", quantity=3)) == "SUCCESS"


async def test_it_is_audited(world: World, server: GateServer, supervisor: Terminal) -> None:
    """Who, which ticket, why; refusals too, and a repeat once."""
    ticket = await world.ticket()
    done = await by_code(supervisor, ticket.code, comment=f"  {TORN}\n", request_id="c-1")
    assert await by_code(supervisor, ticket.code, comment=TORN, request_id="c-1") == done
    await by_code(supervisor, ticket.code, comment='used "twice" \\ 又一次')
    root = await world.log_in(server.channel, "root", None)
    request = audit_pb2.ListAuditEventsRequest(resource="ticket", name=ticket.code)
    listed = await AdminServiceStub(server.channel).ListAuditEvents(request, metadata=root.metadata)
    assert {(e.actor, e.action) for e in listed.audit_events} == {
        ("supervisor:sam", "redeem_by_code")
    }
    second, first = sorted(
        (dict(e.after) for e in listed.audit_events), key=lambda e: str(e["comment"])
    )[::-1]
    assert first == {
        "comment": TORN,
        "function_code": "ferry",
        "quantity": 1,
        "result": "SUCCESS",
        "reason": "",
        "redemption_id": done.redemption_id,
        "merchant_code": "M",
        "venue_code": "PIER",
        "terminal_device_id": "T-2",
    }
    assert (second["comment"], second["reason"]) == (
        'used "twice" \\ 又一次',
        "ALREADY_REDEEMED",
    )
    events = redemption_pb2.ListRedemptionsRequest(ticket_code=ticket.code)
    page = await supervisor.call("ListRedemptions", events)
    assert [e.comment for e in page.redemptions] == ['used "twice" \\ 又一次', TORN]


@pytest.mark.parametrize("comment", ["", " ", "\n\t", "\u3000", "\u200b", "\u202e \ufeff"])
async def test_a_reason_is_required(
    world: World, terminal: Terminal, supervisor: Terminal, comment: str
) -> None:
    ticket = await world.ticket()
    refused = await refusal(by_code(supervisor, ticket.code, comment=comment))
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, ("comment",))
    assert await world.uses(ticket) == (1, 1)
    done = await terminal.redeem(ticket.qr)
    refused = await refusal(supervisor.reverse(done.redemption_id, comment=comment))
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, ("comment",))


async def test_operators_may_not(world: World, terminal: Terminal) -> None:
    ticket = await world.ticket()
    assert (await refusal(by_code(terminal, ticket.code))).reason == Reason.ROLE_NOT_ALLOWED


async def test_repeats(world: World, supervisor: Terminal) -> None:
    ticket, other = await world.tickets(2)
    first = await by_code(supervisor, ticket.code, request_id="c-1")
    assert await by_code(supervisor, ticket.code, request_id="c-1") == first
    for code, fields in (
        (other.code, {}),
        (ticket.code, {"comment": "another reason"}),
        (ticket.code, {"quantity": 2}),
    ):
        refused = await refusal(by_code(supervisor, code, request_id="c-1", **fields))
        assert refused.reason == Reason.IDEMPOTENCY_MISMATCH
    assert await world.events(ticket) == [("SUCCESS", "")]
    assert await world.uses(other) == (1, 1)


async def test_what_is_not_redeemed_here_is_not_there(
    world: World, server: GateServer, supervisor: Terminal
) -> None:
    """Codes can be counted up: the answer for a ticket of which nothing is redeemed here is that
    for none.
    """
    ticket = await world.ticket([Entitlement("gift")])
    nora = await world.log_in(server.channel, "nora", "T-N")
    answers = [
        await by_code(nora, code)
        for code in (
            ticket.code,
            f"{ticket.code[:-6]}999999",
            ticket.code.replace("OTA", "DIR"),
            ticket.code.replace("-CP-", "-XX-"),
            "no code at all",
        )
    ]
    for answer in answers:
        assert (verdict(answer), answer.explanation.check) == ("TICKET_NOT_FOUND", "code")
        assert answer.redemption_id.startswith("0" * 16)
        answer.redemption_id = ""
    assert all(answer == answers[0] for answer in answers)
    assert not answers[0].HasField("details")
    assert await world.events(ticket) == []


async def test_codes_as_people_type_them(world: World, supervisor: Terminal) -> None:
    for typed in (str.lower, lambda code: f" {code} ", lambda code: code.replace("-", ""), wide):
        ticket = await world.ticket()
        done = await by_code(supervisor, typed(ticket.code))
        assert (verdict(done), done.ticket_code) == ("SUCCESS", ticket.code)


def wide(code: str) -> str:
    """As a Chinese keyboard gives it."""
    return code.translate({ord("!") + at: 0xFF01 + at for at in range(94)}).replace("－", " — ")


async def test_one_ticket_by_its_code_and_its_qr_at_once(
    world: World, terminal: Terminal, module_database_url: str, module_redis_url: str
) -> None:
    """Exactly one redemption, whichever of two processes it is asked of.

    Seen red: without FOR NO KEY UPDATE and the guards' key both ways were admitted; with a jti of
    its own the other way did not get ALREADY_REDEEMED.
    """
    tickets = await world.tickets(30)
    async with gate_server(module_database_url, module_redis_url) as other:
        supervisor = await world.log_in(other.channel, "sam", "T-2")

        async def by_qr(ticket: QrTicket) -> Any:
            # a code is looked up first, which a QR is not: so the two meet
            await asyncio.sleep(random.uniform(0, 0.05))
            return await terminal.redeem(ticket.qr)

        async def redeem(ticket: QrTicket) -> list[str]:
            calls = [*(by_code(supervisor, ticket.code) for _ in range(3))]
            answers = await asyncio.gather(*calls, *(by_qr(ticket) for _ in range(3)))
            return sorted(map(verdict, answers))

        for each in tickets:
            assert await redeem(each) == ["ALREADY_REDEEMED"] * 5 + ["SUCCESS"]


async def test_over_json(world: World, server: GateServer, supervisor: Terminal) -> None:
    ticket = await world.ticket()
    base = f"http://127.0.0.1:{server.app.http_port}"
    async with httpx2.AsyncClient(base_url=base, headers=dict(supervisor.metadata)) as http:
        path = f"/venue/tickets/{ticket.code}/redeem"
        body = {"function_code": "ferry", "comment": TORN, "request_id": "j-1"}
        answer = await http.post(path, json=body)
        assert (answer.status_code, answer.json()["result"]) == (200, "success")
        assert (await http.post(path, json=body)).json() == answer.json()
        answer = await http.post(path, json=body | {"request_id": "j-2"})
        assert (answer.status_code, answer.json()["reason"]) == (422, "ALREADY_REDEEMED")
        answer = await http.post(path, json=body | {"request_id": "j-3", "comment": " "})
        assert answer.status_code == 400
        answer = await http.post("/venue/tickets/x/redeem", json=body | {"request_id": "j-4"})
        assert (answer.status_code, answer.json()["reason"]) == (422, "TICKET_NOT_FOUND")
