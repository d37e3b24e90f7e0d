"""Repeats of a scan with its request_id, and who may scan: terminals, sessions, rights, fields."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from deeptravel.redemption.v1 import access_pb2, redemption_pb2

from server.platform.errors import Reason
from tests.support.gate import Terminal, World, a_world, scan_message, verdict
from tests.support.gate_server import GateServer, gate_server
from tests.support.rpc_server import refusal
from tests.support.waiting import WITHIN_SECONDS


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


async def test_a_repeat_gets_the_first_answer_also_after_a_restart(
    world: World, module_database_url: str, module_redis_url: str
) -> None:
    ticket, other = await world.tickets(2)
    items = [(other.qr, "ferry"), (other.qr, "gift")]
    async with gate_server(module_database_url, module_redis_url) as server:
        terminal = await world.log_in(server.channel)
        first = await terminal.redeem(ticket.qr, request_id="r-1")
        refused = await terminal.redeem(ticket.qr, request_id="r-2")
        many = await terminal.redeem_many(items, all_or_nothing=True, request_id="r-3")
        assert await terminal.redeem(ticket.qr, request_id="r-1") == first
    async with gate_server(module_database_url, module_redis_url) as server:
        terminal = terminal.at(server.channel)
        assert await terminal.redeem(ticket.qr, request_id="r-1") == first
        assert await terminal.redeem(ticket.qr, request_id="r-2") == refused
        again = await terminal.redeem_many(items, all_or_nothing=True, request_id="r-3")
    assert again == many
    assert [verdict(first), verdict(refused)] == ["SUCCESS", "ALREADY_REDEEMED"]
    assert many.all_redeemed
    assert await world.events(ticket) == [("SUCCESS", ""), ("REJECT", "ALREADY_REDEEMED")]
    assert await world.events(other) == [("SUCCESS", "")] * 2


async def test_a_refusal_stays_the_answer_although_the_ticket_is_good_now(
    world: World, terminal: Terminal
) -> None:
    ticket = await world.ticket(blocked=True)
    refused = await terminal.redeem(ticket.qr, request_id="r-1")
    assert verdict(refused) == "TICKET_BLOCKED"
    await world.sql("UPDATE tickets SET blocked = false")
    assert await terminal.redeem(ticket.qr, request_id="r-1") == refused
    assert verdict(await terminal.redeem(ticket.qr, request_id="r-2")) == "SUCCESS"


async def test_other_content_under_the_same_id(world: World, terminal: Terminal) -> None:
    ticket = await world.ticket()
    assert verdict(await terminal.redeem(ticket.qr, request_id="r-1")) == "SUCCESS"
    for change in (
        {"function_code": "gift"},
        {"quantity": 2},
        {"token": "garbage"},
        {"ticket_code": ticket.code},
    ):
        other: dict[str, Any] = {"token": ticket.qr} | change
        refused = await refusal(terminal.redeem(**other, request_id="r-1"))
        assert refused.reason == Reason.IDEMPOTENCY_MISMATCH
    assert await world.events() == [("SUCCESS", "")]


async def test_what_does_not_change_the_content_of_a_scan(world: World, terminal: Terminal) -> None:
    """A quantity of 1 is said by 0, too; the session is where it was scanned, not what."""
    ticket = await world.ticket()
    first = await terminal.redeem(ticket.qr, request_id="r-1")
    session = await terminal.open_session()
    again = await terminal.redeem(
        ticket.qr, request_id="r-1", quantity=1, terminal_device_id="T-1", session_code=session
    )
    assert again == first


async def test_ids_are_of_one_terminal_and_of_one_method(
    world: World, server: GateServer, terminal: Terminal
) -> None:
    first, second, third = await world.tickets(3)
    other = await world.log_in(server.channel, device="T-2")
    assert verdict(await terminal.redeem(first.qr, request_id="r-1")) == "SUCCESS"
    assert verdict(await other.redeem(second.qr, request_id="r-1")) == "SUCCESS"
    many = await terminal.redeem_many([(third.qr, "ferry")], all_or_nothing=False, request_id="r-1")
    assert many.all_redeemed


async def test_the_next_operator_at_the_terminal_gets_the_first_answer(
    world: World, server: GateServer, terminal: Terminal
) -> None:
    ticket = await world.ticket()
    first = await terminal.redeem(ticket.qr, request_id="r-1")
    relief = await world.log_in(server.channel, "sam")
    assert await relief.redeem(ticket.qr, request_id="r-1") == first


async def test_a_unary_scan_is_repeated_on_a_stream_and_back(
    world: World, terminal: Terminal
) -> None:
    ticket = await world.ticket()
    first = await terminal.redeem(ticket.qr, request_id="r-1")
    stream = terminal.stream()
    for scan_id, function, request_id in (("a", "ferry", "r-1"), ("b", "gift", "r-2")):
        await stream.write(scan_message(scan_id, ticket.qr, function, request_id=request_id))
    await stream.done_writing()
    answers = {a.scan_id: a.answer async for message in stream for a in message.answers}
    assert answers["a"] == first
    assert verdict(answers["b"]) == "SUCCESS"
    assert await terminal.redeem(ticket.qr, "gift", request_id="r-2") == answers["b"]


async def test_a_repeat_within_the_same_transaction(world: World, terminal: Terminal) -> None:
    """Written at once on a stream, twins are decided together; so is one with other content."""
    ticket = await world.ticket()
    stream = terminal.stream()
    for scan_id in "abc":
        await stream.write(scan_message(scan_id, ticket.qr, request_id="r-1"))
    await stream.write(scan_message("d", ticket.qr, "gift", request_id="r-1"))
    await stream.done_writing()
    answers = {a.scan_id: a async for message in stream for a in message.answers}
    assert verdict(answers["a"].answer) == "SUCCESS"
    assert answers["a"].answer == answers["b"].answer == answers["c"].answer
    failure = answers["d"].failure
    assert (failure.reason, failure.code) == (Reason.IDEMPOTENCY_MISMATCH, 6)
    assert await world.events() == [("SUCCESS", "")]


# Who may


async def test_the_terminal_must_be_the_logins(world: World, terminal: Terminal) -> None:
    ticket = await world.ticket()
    refused = await refusal(terminal.redeem(ticket.qr, terminal_device_id="T-2"))
    assert refused.reason == Reason.TERMINAL_MISMATCH
    assert refused.metadata == {"terminal_device_id": "T-2"}
    request = redemption_pb2.RedeemManyRequest(
        items=[redemption_pb2.RedeemItem(qr_token=ticket.qr, function_code="ferry")],
        request_id="r-1",
        terminal_device_id="T-2",
    )
    refused = await refusal(terminal.call("RedeemMany", request))
    assert refused.reason == Reason.TERMINAL_MISMATCH
    assert await world.events() == []
    assert verdict(await terminal.redeem(ticket.qr, terminal_device_id="T-1")) == "SUCCESS"


async def test_the_session_must_be_open_and_the_operators(
    world: World, server: GateServer, terminal: Terminal
) -> None:
    ticket = await world.ticket()
    other = await world.log_in(server.channel, device="T-2")
    relief = await world.log_in(server.channel, "sam")
    for code in ("VS-0000-0000", await other.open_session(), await relief.open_session()):
        refused = await refusal(terminal.redeem(ticket.qr, session_code=code))
        assert refused.reason == Reason.SESSION_NOT_OPEN
    code = await terminal.open_session()
    assert verdict(await terminal.redeem(ticket.qr, session_code=code)) == "SUCCESS"
    await terminal.call(
        "CloseValidatorSession", access_pb2.CloseValidatorSessionRequest(session_code=code)
    )
    refused = await refusal(terminal.redeem(ticket.qr, "gift", session_code=code))
    assert refused.reason == Reason.SESSION_NOT_OPEN
    assert await world.events() == [("SUCCESS", "")]


async def test_no_scan_without_an_operator(world: World, server: GateServer) -> None:
    ticket = await world.ticket()
    nobody = Terminal("T-1", "no token", (await world.log_in(server.channel)).stub)
    for call in (
        nobody.redeem(ticket.qr),
        nobody.redeem_many([(ticket.qr, "ferry")], all_or_nothing=True),
        nobody.decrypt(ticket.qr),
        nobody.reverse("0" * 32),
    ):
        assert (await refusal(call)).reason == Reason.UNAUTHENTICATED
    assert await world.events() == []


async def test_a_revoked_operator_scans_no_more_within_a_second(
    world: World, terminal: Terminal
) -> None:
    ticket = await world.ticket()
    await terminal.decrypt(ticket.qr)
    await world.change("UPDATE accounts SET state = 'REVOKED' WHERE username = 'olga'")
    await asyncio.sleep(WITHIN_SECONDS)  # what is promised, not luck
    assert (await refusal(terminal.redeem(ticket.qr))).reason == Reason.UNAUTHENTICATED
    assert await world.events() == []


async def test_malformed_scans_name_the_field(world: World, terminal: Terminal) -> None:
    ticket = await world.ticket()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"token": ""}, "qr_token"),
        ({"token": "x" * 4097}, "qr_token"),
        ({"function_code": ""}, "function_code"),
        ({"function_code": "x" * 33}, "function_code"),
        ({"function_code": "fer\x00ry"}, "function_code"),
        ({"quantity": -1}, "quantity"),
        ({"quantity": 101}, "quantity"),
        ({"request_id": "x" * 65}, "request_id"),
    ]
    for fields, field in cases:
        arguments: dict[str, Any] = {"token": ticket.qr} | fields
        refused = await refusal(terminal.redeem(**arguments))
        assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, (field,))
    assert await world.events() == []


async def test_malformed_calls_of_many(world: World, terminal: Terminal) -> None:
    ticket = await world.ticket()
    item = redemption_pb2.RedeemItem(qr_token=ticket.qr, function_code="ferry", quantity=1000)
    cases = [
        (redemption_pb2.RedeemManyRequest(request_id="r"), "items"),
        (redemption_pb2.RedeemManyRequest(request_id="r", items=[item]), "items[0].quantity"),
        (redemption_pb2.RedeemManyRequest(request_id="r", items=[item] * 101), "items"),
    ]
    for request, field in cases:
        refused = await refusal(terminal.call("RedeemMany", request))
        assert refused.reason == Reason.INVALID_FIELD
        assert field in refused.fields
    assert await world.events() == []
