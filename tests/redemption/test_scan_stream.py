"""ScanStream: many scans in flight, matched, held back, cut off, and brought to an end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from typing import Any

import grpc
import pytest
from deeptravel.redemption.v1 import redemption_pb2

from server.api.redemption import scan_stream, servicer
from server.platform.errors import Reason
from tests.support.gate import (
    QrTicket,
    Terminal,
    World,
    a_world,
    next_answers,
    scan_message,
    verdict,
)
from tests.support.gate_server import GateServer, gate_server
from tests.support.rpc_server import refusal
from tests.support.waiting import WAIT_SECONDS, WITHIN_SECONDS

MOST = scan_stream.MAX_SCANS_IN_FLIGHT


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
async def stopping_server(
    world: World, module_database_url: str, module_redis_url: str
) -> AsyncIterator[GateServer]:
    """One that no other test calls."""
    async with gate_server(module_database_url, module_redis_url) as running:
        yield running


@pytest.fixture
async def terminal(world: World, server: GateServer) -> Terminal:
    return await world.log_in(server.channel)


async def write_all(stream: Any, messages: Iterable[Any]) -> None:
    for message in messages:
        await stream.write(message)
    await stream.done_writing()


async def read_all(stream: Any) -> list[Any]:
    """Every ScanAnswer until the end; raises if that is not OK."""
    answers: list[Any] = []
    await read_on(stream, answers)
    return answers


async def read_on(stream: Any, answers: list[Any]) -> None:
    """Adds every ScanAnswer until the end; raises if that is not OK."""
    while (message := await stream.read()) is not grpc.aio.EOF:
        answers.extend(message.answers)
    if await stream.code() != grpc.StatusCode.OK:
        raise grpc.aio.AioRpcError(
            await stream.code(), await stream.initial_metadata(), await stream.trailing_metadata()
        )


def scans_of(tickets: list[QrTicket]) -> list[Any]:
    """One scan of each, whose scan_id and request_id are the ticket's code."""
    return [scan_message(t.code, t.qr, request_id=t.code) for t in tickets]


async def test_a_thousand_in_flight_are_answered_and_matched(
    world: World, terminal: Terminal
) -> None:
    tickets = await world.tickets(1000)
    stream = terminal.stream()
    writing = asyncio.create_task(write_all(stream, scans_of(tickets)))
    answers = await read_all(stream)
    await writing
    assert sorted(answer.scan_id for answer in answers) == [ticket.code for ticket in tickets]
    for answer in answers:
        assert answer.answer.ticket_code == answer.scan_id
        assert verdict(answer.answer) == "SUCCESS"
    assert await world.events() == [("SUCCESS", "")] * 1000


async def test_half_close_answers_everything(world: World, terminal: Terminal) -> None:
    tickets = await world.tickets(100)
    stream = terminal.stream()
    await write_all(stream, scans_of(tickets))
    assert len(await read_all(stream)) == 100
    assert await stream.code() == grpc.StatusCode.OK


async def test_a_bad_scan_fails_alone(world: World, terminal: Terminal) -> None:
    """In whatever way it is bad, the stream goes on, and the scans around it are decided."""
    first, last = await world.tickets(2)
    bad = {
        "": scan_message("", first.qr),
        "no-token": scan_message("no-token", ""),
        "quantity": scan_message("quantity", first.qr, quantity=-1),
        "terminal": scan_message("terminal", first.qr, terminal_device_id="T-2"),
        "session": scan_message("session", first.qr, session_code="VS-0000-0000"),
        "empty": type(scan_message("", ""))(scan_id="empty"),
    }
    stream = terminal.stream()
    messages = [scan_message("first", first.qr), *bad.values(), scan_message("last", last.qr)]
    await write_all(stream, messages)
    answers = {answer.scan_id: answer for answer in await read_all(stream)}
    assert answers.keys() == {"first", "last"} | bad.keys()
    assert {name: (answers[name].failure.reason, answers[name].failure.code) for name in bad} == {
        "": (Reason.INVALID_FIELD, 3),
        "no-token": (Reason.INVALID_FIELD, 3),
        "quantity": (Reason.INVALID_FIELD, 3),
        "empty": (Reason.INVALID_FIELD, 3),
        "terminal": (Reason.TERMINAL_MISMATCH, 7),
        "session": (Reason.SESSION_NOT_OPEN, 9),
    }
    assert verdict(answers["first"].answer) == verdict(answers["last"].answer) == "SUCCESS"
    assert await world.events() == [("SUCCESS", "")] * 2


def call_message(scan_id: str, **call: Any) -> Any:
    return redemption_pb2.ScanStreamRequest(scan_id=scan_id, **call)


async def test_other_calls_of_a_terminal(world: World, server: GateServer) -> None:
    """A party, its order and its history, a ticket by its code, and a reversal: what each says and
    leaves is what the same call alone says and leaves, and a repeat of it there is answered so.
    """
    terminal = await world.log_in(server.channel, "sam", "T-2")
    order, (one, other) = await world.order(2)
    torn = await world.ticket()
    party = redemption_pb2.RedeemManyRequest(
        items=[
            redemption_pb2.RedeemItem(
                qr_token=order.qr, function_code="ferry", ticket_code=each.code
            )
            for each in (one, other)
        ],
        all_or_nothing=True,
        request_id="party-1",
    )
    by_code = redemption_pb2.RedeemByCodeRequest(
        ticket_code=torn.code, function_code="ferry", comment="torn", request_id="code-1"
    )
    stream = terminal.stream()
    look = redemption_pb2.LookupOrderRequest(encrypted_data=order.qr)
    await stream.write(call_message("order", order=look))
    await stream.write(call_message("party", party=party))
    await stream.write(call_message("by_code", by_code=by_code))
    found: dict[str, Any] = {}
    while len(found) < 3:
        found |= {each.scan_id: each for each in await next_answers(stream)}
    assert all(name == each.WhichOneof("outcome") for name, each in found.items()), found
    assert [each.ticket_code for each in found["order"].order.tickets] == [one.code, other.code]
    assert [each.ticket_code for each in found["party"].party.results] == [one.code, other.code]
    assert await terminal.call("RedeemMany", party) == found["party"].party
    assert await terminal.call("RedeemByCode", by_code) == found["by_code"].by_code

    reversal = redemption_pb2.ReverseRedemptionRequest(
        redemption_id=found["party"].party.results[0].redemption_id,
        comment="wrong gate",
        request_id="back-1",
    )
    await stream.write(call_message("reversal", reversal=reversal))
    (answer,) = await next_answers(stream)
    assert await terminal.call("ReverseRedemption", reversal) == answer.reversal
    history = redemption_pb2.ListRedemptionsRequest(terminal_device_id="T-2", page_size=3)
    await stream.write(call_message("history", history=history))
    (listed,) = await next_answers(stream)
    assert await terminal.call("ListRedemptions", history) == listed.history
    assert listed.history.redemptions[0].reversed_redemption_id == reversal.redemption_id
    results = [("SUCCESS", "")] * 3 + [("REVERSED", "")]
    assert sorted(await world.events()) == sorted(results)
    audited = await world.sql(
        "SELECT actor, action, name, terminal_device_id FROM audit_events ORDER BY action"
    )
    assert audited == [
        ("supervisor:sam", "redeem_by_code", torn.code, "T-2"),
        ("supervisor:sam", "reverse_redemption", one.code, "T-2"),
    ]


async def test_a_tickets_qr_redeems_no_other_of_its_order(world: World, terminal: Terminal) -> None:
    """Whatever is chosen from the list that it opened. Seen red: the ticket of the QR was redeemed,
    and the screen named the other.
    """
    _, (one, other) = await world.order(2)
    wrong = await terminal.redeem(one.qr, ticket_code=other.code)
    assert (verdict(wrong), wrong.explanation.check) == ("TICKET_NOT_FOUND", "other_ticket")
    assert verdict(await terminal.redeem(one.qr, ticket_code=one.code)) == "SUCCESS"
    assert [await world.state(each) for each in (one, other)] == ["PARTIALLY_REDEEMED", "ACTIVE"]


async def test_a_call_on_a_stream_needs_its_own_rights(world: World, terminal: Terminal) -> None:
    """An operator may open the stream, and neither reverse nor redeem by code; the stream goes on.
    Seen red without the look at who may call the method.
    """
    ticket = await world.ticket()
    redeemed = await terminal.redeem(ticket.qr)
    asked = {
        "reversal": redemption_pb2.ReverseRedemptionRequest(
            redemption_id=redeemed.redemption_id, comment="mine", request_id="r-1"
        ),
        "by_code": redemption_pb2.RedeemByCodeRequest(
            ticket_code=ticket.code, function_code="gift", comment="mine", request_id="r-2"
        ),
        "party": redemption_pb2.RedeemManyRequest(request_id="r-3"),
        "order": redemption_pb2.LookupOrderRequest(order_id="ORD-CP-20261121-999999"),
    }
    stream = terminal.stream()
    await write_all(
        stream,
        [
            *(call_message(name, **{name: request}) for name, request in asked.items()),
            call_message(
                "two",
                scan=redemption_pb2.RedeemRequest(qr_token=ticket.qr, function_code="gift"),
                reversal=asked["reversal"],
            ),
            scan_message("last", ticket.qr, "gift"),
        ],
    )
    answers = {answer.scan_id: answer for answer in await read_all(stream)}
    last = answers.pop("last")
    assert {name: answer.failure.reason for name, answer in answers.items()} == {
        "reversal": Reason.ROLE_NOT_ALLOWED,
        "by_code": Reason.ROLE_NOT_ALLOWED,
        "party": Reason.INVALID_FIELD,
        "order": Reason.NOT_FOUND,
        "two": Reason.INVALID_FIELD,
    }
    assert verdict(last.answer) == "SUCCESS"
    assert await world.events() == [("SUCCESS", "")] * 2


async def test_refusals_are_answers(world: World, terminal: Terminal) -> None:
    ticket = await world.ticket()
    stream = terminal.stream()
    tokens = [ticket.qr, ticket.qr, "garbage"]
    await write_all(stream, [scan_message(str(n), token) for n, token in enumerate(tokens)])
    answers = {answer.scan_id: verdict(answer.answer) for answer in await read_all(stream)}
    assert answers == {"0": "SUCCESS", "1": "ALREADY_REDEEMED", "2": "TOKEN_INVALID"}


class Watched(scan_stream.ScanStream):
    """A stream that notes how much it holds whenever it takes a scan."""

    peak = 0
    taken = 0

    async def _take(self, request: Any) -> None:
        await super()._take(request)
        Watched.taken += 1
        Watched.peak = max(Watched.peak, len(self._in_flight), len(self._decided))


async def test_a_client_that_does_not_read_is_held_back(
    world: World, server: GateServer, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the server takes are 256 scans, and those whose answers the transport holds (64 KiB
    without probing).

    Seen red: without the semaphore the server takes all 4,000 scans.
    """
    monkeypatch.setattr(servicer, "ScanStream", Watched)
    monkeypatch.setattr(Watched, "peak", 0)
    monkeypatch.setattr(Watched, "taken", 0)
    address, options = f"127.0.0.1:{server.app.grpc_port}", [("grpc.http2.bdp_probe", 0)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        stream = terminal.at(channel).stream()
        scans = (scan_message(str(n), "garbage") for n in range(4000))
        writing = asyncio.create_task(write_all(stream, scans))
        before = -1
        while before != Watched.taken:
            before = Watched.taken
            await asyncio.sleep(0.5)
        assert Watched.taken < 1000
        assert verdict(await terminal.redeem((await world.ticket()).qr)) == "SUCCESS"
        answers = await read_all(stream)
        await writing
    assert sorted(int(answer.scan_id) for answer in answers) == list(range(4000))
    assert Watched.peak <= MOST


REVOCATIONS = {
    "operator": "UPDATE accounts SET state = 'REVOKED' WHERE username = 'olga'",
    "terminal": "UPDATE terminals SET state = 'REVOKED' WHERE terminal_device_id = 'T-1'",
    "venue": "UPDATE venues SET state = 'REVOKED' WHERE venue_code = 'PIER'",
    "merchant": "UPDATE merchants SET state = 'REVOKED' WHERE merchant_code = 'M'",
    "log-in": "UPDATE logins SET end_time = now()",
}


@pytest.mark.parametrize("revoked", REVOCATIONS)
async def test_revocation_cuts_the_stream_off(
    world: World, terminal: Terminal, revoked: str
) -> None:
    """Although nothing is scanned meanwhile.

    Seen red: without looking at the caller again, the stream stays open.
    """
    stream = terminal.stream()
    await stream.write(scan_message("1", "garbage"))
    assert await next_answers(stream)
    await world.change(REVOCATIONS[revoked])
    async with asyncio.timeout(WAIT_SECONDS):
        refused = await refusal(read_on(stream, []))
    assert refused.reason == Reason.UNAUTHENTICATED


async def test_nothing_is_redeemed_after_the_revocation(world: World, terminal: Terminal) -> None:
    """However fast the terminal scans.

    Seen red: without looking at the caller again, all 5,000 are redeemed.
    """
    tickets = iter(await world.tickets(5000))
    stream = terminal.stream()

    async def scan_on() -> None:
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            for ticket in tickets:
                await stream.write(scan_message(ticket.code, ticket.qr))
                assert await next_answers(stream)

    scanning = asyncio.create_task(scan_on())
    while not await world.events():
        pass
    await world.change(REVOCATIONS["operator"])
    ((revoked_at,),) = await world.sql("SELECT clock_timestamp()")
    await scanning
    ((last,),) = await world.sql("SELECT max(occurred_time) FROM redemption_events")
    assert last < revoked_at + timedelta(seconds=10)  # a second, on a machine that is not busy
    assert next(tickets, None), "the stream was cut off before all was scanned"


async def test_a_stream_outlives_the_access_token_but_not_the_log_in(
    world: World, terminal: Terminal
) -> None:
    stream = terminal.stream()
    await stream.write(scan_message("1", "garbage"))
    assert await next_answers(stream)
    await world.change("UPDATE logins SET access_expire_time = now()")
    await asyncio.sleep(WITHIN_SECONDS)  # what is promised, not luck
    assert (await refusal(terminal.redeem("garbage"))).reason == Reason.UNAUTHENTICATED
    await stream.write(scan_message("2", "garbage"))
    assert verdict((await next_answers(stream))[0].answer) == "TOKEN_INVALID"
    await world.change("UPDATE logins SET refresh_expire_time = now()")
    async with asyncio.timeout(WAIT_SECONDS):
        refused = await refusal(read_on(stream, []))
    assert refused.reason == Reason.UNAUTHENTICATED


async def test_what_may_be_redeemed_changes_on_an_open_stream(
    world: World, terminal: Terminal
) -> None:
    ticket = await world.ticket()
    stream = terminal.stream()
    await stream.write(scan_message("1", ticket.qr, "gift"))
    assert verdict((await next_answers(stream))[0].answer) == "SUCCESS"
    await world.change("UPDATE venues SET function_codes = '{gift}' WHERE venue_code = 'PIER'")
    await asyncio.sleep(WITHIN_SECONDS)  # what is promised, not luck
    await stream.write(scan_message("2", ticket.qr, "ferry"))
    assert verdict((await next_answers(stream))[0].answer) == "FUNCTION_NOT_ALLOWED_HERE"
    await stream.done_writing()
    assert await read_all(stream) == []


async def test_a_stopping_server_answers_what_it_took(
    world: World,
    stopping_server: GateServer,
    module_database_url: str,
    module_redis_url: str,
) -> None:
    """Whatever was consumed was answered; the rest is unused, and good at another server."""
    terminal = await world.log_in(stopping_server.channel)
    tickets = await world.tickets(150)
    stream, answers = terminal.stream(), list[Any]()
    for message in scans_of(tickets):
        await stream.write(message)
    answers.extend(await next_answers(stream))
    reading = asyncio.create_task(refusal(read_on(stream, answers)))
    await stopping_server.stop()
    refused = await reading
    assert refused.reason == Reason.SHUTTING_DOWN
    assert refused.retry_seconds
    consumed = await world.sql("SELECT request_id FROM redemption_events ORDER BY 1")
    assert sorted(answer.scan_id for answer in answers) == [code for (code,) in consumed]
    async with gate_server(module_database_url, module_redis_url) as other:
        stream = terminal.at(other.channel).stream()
        writing = asyncio.create_task(write_all(stream, scans_of(tickets)))
        repeated = {answer.scan_id: answer for answer in await read_all(stream)}
        await writing
    assert all(verdict(answer.answer) == "SUCCESS" for answer in repeated.values())
    assert all(repeated[answer.scan_id] == answer for answer in answers)
    assert await world.events() == [("SUCCESS", "")] * len(tickets)


async def test_a_client_that_goes_away_leaves_nothing_half_done(
    world: World, terminal: Terminal
) -> None:
    tickets = await world.tickets(500)
    for _ in range(5):
        stream, answers = terminal.stream(), list[Any]()
        writing = asyncio.create_task(write_all(stream, scans_of(tickets)))
        while not answers:
            answers.extend(await next_answers(stream))
        stream.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    stream = terminal.stream()
    writing = asyncio.create_task(write_all(stream, scans_of(tickets)))
    answers = await read_all(stream)
    await writing
    assert all(verdict(answer.answer) == "SUCCESS" for answer in answers)
    assert await world.events() == [("SUCCESS", "")] * 500
