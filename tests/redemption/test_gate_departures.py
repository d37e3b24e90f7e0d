"""Departures at the gate: what an operator sees of a ticket, when boarding opens, sessions for one
departure.

Seen red: the validity of departures' tickets left as the ticket has it (boarding, midnight);
`READ_DEPARTURES` not among the statements of a scan (details, cancelled); the session's departure
not read with the log-in (wrong departure).
"""

import asyncio
import base64
import hmac
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import psycopg
import pytest
from deeptravel.redemption.v1 import access_pb2, redemption_pb2
from deeptravel.ticketing.v1 import ticket_pb2
from sqlalchemy import make_url

from server.platform.errors import Reason
from tests.support import gate
from tests.support.changes import show_changes
from tests.support.gate import REFUSAL, Terminal, scan_message, verdict
from tests.support.gate_server import GateServer
from tests.support.order_scenario import OrderScenario, a_scenario, tickets
from tests.support.rpc_server import refusal
from tests.support.traveller import TravellerClient, World, a_world, party, traveller_server

LEAVES_IN = """
WITH moved AS (
  UPDATE ticket_sales SET reference_time = date_trunc('second', now()) + %s::interval
  WHERE departure_id IS NOT NULL RETURNING ticket_id, reference_time)
UPDATE tickets t SET valid_from_time = reference_time - interval '30 minutes',
  valid_until_time = reference_time + interval '6 hours'
FROM moved WHERE t.ticket_id = moved.ticket_id
"""
"""All departures leave so long from now, and the tickets' own validity begins on the 'day' half
an hour before.
"""
ASKS_FOR_CODES = """
UPDATE products SET entitlements = jsonb_set(entitlements, '{0,rotating_code}', '"REQUIRED"')
"""
REDEEMED_AS_ISSUED = """
SELECT count(*) FROM redemption_events e JOIN issued_tokens i
  ON (i.key_id, i.number, i.digest) = (e.qr_key_id, e.ticket_id, e.qr_digest)
WHERE e.result = 'SUCCESS' AND e.ticket_code = %s
"""
"""The code behind a token is no part of what was issued."""
CANCEL = "UPDATE departures SET state = 'CANCELLED' WHERE departure_id = %s"


@pytest.fixture(scope="module")
async def world(module_database_url: str) -> AsyncIterator[World]:
    async with a_world(module_database_url, departures=2) as filled:
        gates = gate.World(filled.pg, filled.ring)
        await gates.open_gates()
        await filled.sql("UPDATE merchants SET function_codes = '{boarding,ferry,gift,lounge}'")
        yield filled


@pytest.fixture(scope="module")
async def server(
    world: World, module_database_url: str, module_redis_url: str
) -> AsyncIterator[GateServer]:
    async with traveller_server(module_database_url, module_redis_url) as running:
        yield running


@pytest.fixture
async def client(server: GateServer) -> TravellerClient:
    return TravellerClient.of(server.channel, 1)


@pytest.fixture(scope="module")
async def module_scenario(module_database_url: str) -> AsyncIterator[OrderScenario]:
    async with a_scenario(module_database_url) as scenario:
        yield scenario


@pytest.fixture
def scenario(world: World, module_scenario: OrderScenario) -> OrderScenario:
    return module_scenario.again()


@pytest.fixture
async def terminal(world: World, server: GateServer) -> Terminal:
    return await gate.World(world.pg, world.ring).log_in(server.channel)


async def qr_of(client: TravellerClient, ticket: Any) -> str:
    request = ticket_pb2.IssueTicketQrRequest(ticket_code=ticket.ticket_code)
    return str((await client.call("IssueTicketQr", request)).encrypted_data)


async def sold(
    client: TravellerClient, scenario: OrderScenario, *offers: str
) -> tuple[list[Any], list[str]]:
    """One traveller's tickets for these offers, and their QR codes."""
    order = await scenario.sell(client, *offers, passengers=party(1))
    found = await tickets(client, order_id=order.order_id)
    return found, [await qr_of(client, ticket) for ticket in found]


async def open_session(terminal: Terminal, **departure: str) -> Any:
    request = access_pb2.OpenValidatorSessionRequest(
        terminal_device_id=terminal.device, **departure
    )
    return await terminal.call("OpenValidatorSession", request)


async def lookup(terminal: Terminal, token: str) -> Any:
    request = redemption_pb2.LookupOrderRequest(encrypted_data=token)
    return await terminal.call("LookupOrder", request)


async def test_every_answer_says_what_the_ticket_is_for(
    world: World, client: TravellerClient, scenario: OrderScenario, terminal: Terminal
) -> None:
    (ticket,), (token,) = await sold(client, scenario, world.seat())
    await world.sql(LEAVES_IN, "1 hour")
    leaves = await world.value("SELECT reference_time FROM ticket_sales")
    shown = (await terminal.decrypt(token)).ticket_info.details
    assert (shown.product_id, shown.display_name_en, shown.display_name_zh) == (1, "Train", "火车")
    assert shown.journey.departure_id == str(world.departure_id())
    assert (shown.journey.service_number, shown.journey.fare_class) == ("G5001", "FIRST")
    assert shown.journey.origin == ticket.journey.origin
    assert shown.journey.destination == ticket.journey.destination
    assert shown.seat == ticket.seat != ""
    assert not shown.departure_cancelled
    seconds = int(leaves.timestamp())
    assert shown.journey.departure_time.seconds == seconds
    assert shown.journey.arrival_time.seconds == seconds + 15 * 60
    assert shown.valid_from_time.seconds == seconds - 2 * 3600
    assert shown.valid_until_time.seconds == seconds + 6 * 3600

    (listed,) = (await lookup(terminal, token)).tickets
    assert listed.ticket_info.details == shown
    assert not listed.HasField("result")
    refused = await terminal.redeem(token, "gift")
    assert (verdict(refused), refused.details) == ("FUNCTION_NOT_INCLUDED", shown)
    item = redemption_pb2.RedeemItem(qr_token=token, function_code="boarding")
    nothing = redemption_pb2.RedeemItem(qr_token=token, function_code="gift")
    many = await terminal.redeem_many([item, nothing], all_or_nothing=True)
    assert [verdict(each) for each in many.results] == ["WITHHELD", "FUNCTION_NOT_INCLUDED"]
    assert [each.details for each in many.results] == [shown, shown]
    admitted = await terminal.redeem(token, "boarding", request_id="r-1")
    assert (verdict(admitted), admitted.details) == ("SUCCESS", shown)
    assert await terminal.redeem(token, "boarding", request_id="r-1") == admitted
    stream = terminal.stream()
    await stream.write(scan_message("s-1", token, "boarding"))
    await stream.done_writing()
    (answer,) = [each async for batch in stream for each in batch.answers]
    assert (verdict(answer.answer), answer.answer.details) == ("ALREADY_REDEEMED", shown)


async def test_a_ticket_of_no_departure_says_its_product_and_validity(
    world: World, client: TravellerClient, scenario: OrderScenario, terminal: Terminal
) -> None:
    found, tokens = await sold(client, scenario, world.package())
    answer = await terminal.redeem(tokens[0], "ferry")
    assert (verdict(answer), answer.explanation.check) == ("TICKET_NOT_YET_VALID", "validity")
    assert (answer.details.product_id, answer.details.display_name_zh) == (106, "优享")
    assert not answer.details.HasField("journey")
    assert answer.details.valid_from_time == found[0].valid_from_time
    assert answer.details.valid_until_time == found[0].valid_until_time


async def test_boarding_opens_two_hours_before_whatever_the_day(
    world: World, client: TravellerClient, scenario: OrderScenario, terminal: Terminal
) -> None:
    _, (token,) = await sold(client, scenario, world.seat())
    await world.sql(LEAVES_IN, "2 hours 1 minute")
    early = await terminal.redeem(token, "boarding")
    assert (verdict(early), early.explanation.check) == ("TICKET_NOT_YET_VALID", "boarding")
    assert "G5001" in early.explanation.en
    assert REFUSAL[(await terminal.decrypt(token)).reason] == "TICKET_NOT_YET_VALID"
    (listed,) = (await lookup(terminal, token)).tickets
    assert REFUSAL[listed.reason] == "TICKET_NOT_YET_VALID"
    # the travel date, on which the ticket's own validity begins, is tomorrow: half an hour before
    # it leaves
    await world.sql(LEAVES_IN, "1 hour 59 minutes")
    assert not (await terminal.decrypt(token)).HasField("result")
    assert verdict(await terminal.redeem(token, "boarding")) == "SUCCESS"


async def test_boarding_opens_by_the_product_as_it_was_sold(
    world: World, client: TravellerClient, scenario: OrderScenario, terminal: Terminal
) -> None:
    """And by 120 minutes for what was sold before there was the setting."""
    await world.sql("UPDATE products SET boarding_minutes = 30")
    await show_changes(world)
    (ticket,), (token,) = await sold(client, scenario, world.seat())
    await world.sql(LEAVES_IN, "45 minutes")
    assert verdict(await terminal.redeem(token, "boarding")) == "TICKET_NOT_YET_VALID"
    await world.sql(LEAVES_IN, "25 minutes")
    assert verdict(await terminal.redeem(token, "boarding")) == "SUCCESS"
    assert ticket.journey.service_number == "G5001"


async def test_the_owners_phone_alone_makes_rotating_codes(
    world: World, client: TravellerClient, scenario: OrderScenario, terminal: Terminal
) -> None:
    """By what the contract says, with a clock of its own that is years off. What was sold before
    the policy asks for none.
    """
    (before, *_), (sold_before, *_) = await sold(client, scenario, world.seat())
    await world.sql(ASKS_FOR_CODES)
    await show_changes(world)
    (ticket, *_), (token, *_) = await sold(client, scenario, world.seat(2))
    await world.sql(LEAVES_IN, "1 hour")
    assert not before.HasField("rotating_code_key")
    assert verdict(await terminal.redeem(sold_before, "boarding")) == "SUCCESS"
    key = ticket.rotating_code_key
    issued = await client.call(
        "IssueTicketQr", ticket_pb2.IssueTicketQrRequest(ticket_code=ticket.ticket_code)
    )
    assert key.jti == issued.jti
    (again,) = [each for each in await tickets(client) if each.ticket_code == ticket.ticket_code]
    assert again.rotating_code_key.secret == key.secret
    step = key.server_time.seconds // key.step_seconds + 1  # whatever its own clock says
    mac = hmac.digest(key.secret, step.to_bytes(8, "big"), "sha256")
    code = base64.b32encode(mac[:5]).decode()
    assert verdict(await terminal.redeem(token, "boarding")) == "ROTATING_CODE_REQUIRED"
    assert verdict(await terminal.redeem(f"{token}-{code}", "boarding")) == "SUCCESS"
    assert await world.value(REDEEMED_AS_ISSUED, ticket.ticket_code) == 1
    await world.sql("UPDATE tickets SET blocked = true WHERE ticket_code = %s", ticket.ticket_code)
    (blocked,) = [each for each in await tickets(client) if each.ticket_code == ticket.ticket_code]
    assert not blocked.HasField("rotating_code_key")


async def test_tickets_of_a_cancelled_departure(
    world: World, client: TravellerClient, scenario: OrderScenario, terminal: Terminal
) -> None:
    _, (token,) = await sold(client, scenario, world.seat())
    _, (other,) = await sold(client, scenario, world.seat(2))
    await world.sql(LEAVES_IN, "1 hour")
    await world.sql(CANCEL, world.departure_id())
    answer = await terminal.redeem(token, "boarding")
    assert verdict(answer) == "DEPARTURE_CANCELLED"
    assert answer.details.departure_cancelled
    assert "G5001" in answer.explanation.en
    assert "G5001" in answer.explanation.zh
    assert REFUSAL[(await terminal.decrypt(token)).reason] == "DEPARTURE_CANCELLED"
    (listed,) = (await lookup(terminal, token)).tickets
    assert REFUSAL[listed.reason] == "DEPARTURE_CANCELLED"
    assert verdict(await terminal.redeem(other, "boarding")) == "SUCCESS"
    assert await world.value("SELECT count(*) FROM redemption_events WHERE result = 'SUCCESS'") == 1


async def test_a_departure_cancelled_while_a_scan_waits(
    world: World,
    client: TravellerClient,
    scenario: OrderScenario,
    terminal: Terminal,
    module_database_url: str,
) -> None:
    """It is read behind the ticket's lock. Seen red with the departures read before the lock."""
    _, (token,) = await sold(client, scenario, world.seat())
    await world.sql(LEAVES_IN, "1 hour")
    plain = make_url(module_database_url).set(drivername="postgresql")
    async with await psycopg.AsyncConnection.connect(
        plain.render_as_string(hide_password=False)
    ) as holder:
        await holder.execute("SELECT * FROM tickets FOR UPDATE")
        scan = asyncio.ensure_future(terminal.redeem_until_decided(token, "boarding"))
        await gate.World(world.pg, world.ring).meets_a_lock()
        await world.sql(CANCEL, world.departure_id())
        await holder.rollback()
    assert verdict(await scan) == "DEPARTURE_CANCELLED"


async def test_a_session_for_one_departure(
    world: World, client: TravellerClient, scenario: OrderScenario, terminal: Terminal
) -> None:
    """It binds the whole log-in: a scan need not carry the session's code."""
    _, (mine,) = await sold(client, scenario, world.seat())
    _, (other,) = await sold(client, scenario, world.seat(2))
    await world.sql(LEAVES_IN, "1 hour")
    session = await open_session(terminal, departure_id=str(world.departure_id()))
    assert session.departure.service_number == "G5001"
    assert session.departure.travel_date == world.travel_date.isoformat()
    for fields in ({}, {"session_code": session.session_code}):
        answer = await terminal.redeem(other, "boarding", **fields)
        assert (verdict(answer), answer.explanation.check) == ("WRONG_DEPARTURE", "departure")
        assert answer.details.journey.service_number == "G5002"
        assert answer.details.journey.departure_id == str(world.departure_id(2))
        for text in (answer.explanation.en, answer.explanation.zh):
            assert "G5002" in text
            assert "G5001" in text
    assert REFUSAL[(await terminal.decrypt(other)).reason] == "WRONG_DEPARTURE"
    assert verdict(await terminal.redeem(mine, "boarding")) == "SUCCESS"
    again = await open_session(terminal, departure_id=str(world.departure_id()))
    assert again.session_code == session.session_code
    # for another departure it is another session, and the former is closed
    day = world.travel_date.isoformat()
    second = await open_session(terminal, service_number=" g５００2", travel_date=day)
    assert second.departure.departure_id == str(world.departure_id(2))
    closed = await refusal(terminal.redeem(other, "boarding", session_code=session.session_code))
    assert closed.reason == Reason.SESSION_NOT_OPEN
    assert verdict(await terminal.redeem(other, "boarding")) == "SUCCESS"
    whole = await open_session(terminal)
    assert not whole.HasField("departure")
    assert verdict(await terminal.redeem(mine, "boarding")) == "ALREADY_REDEEMED"


async def test_a_departure_that_is_not_there(
    world: World, terminal: Terminal, subtests: pytest.Subtests
) -> None:
    day = world.travel_date.isoformat()
    cases: list[tuple[dict[str, str], Reason]] = [
        ({"departure_id": "77"}, Reason.NOT_FOUND),
        ({"service_number": "G9999", "travel_date": day}, Reason.NOT_FOUND),
        ({"service_number": "G5001"}, Reason.INVALID_FIELD),
        ({"travel_date": day}, Reason.INVALID_FIELD),
        ({"service_number": "G5001", "travel_date": "2026-13-01"}, Reason.INVALID_FIELD),
        ({"departure_id": "77", "service_number": "G5001"}, Reason.INVALID_FIELD),
    ]
    for fields, reason in cases:
        with subtests.test(fields=fields):
            assert (await refusal(open_session(terminal, **fields))).reason == reason
    await world.sql("UPDATE timetables SET service_number = 'G5001'")
    ambiguous = await refusal(open_session(terminal, service_number="G5001", travel_date=day))
    assert ambiguous.reason == Reason.INVALID_FIELD


async def test_all_of_it_over_json(
    world: World,
    client: TravellerClient,
    scenario: OrderScenario,
    terminal: Terminal,
    server: GateServer,
) -> None:
    _, (token,) = await sold(client, scenario, world.seat(2))
    await world.sql(LEAVES_IN, "1 hour")
    base = f"http://127.0.0.1:{server.app.http_port}"
    async with httpx2.AsyncClient(base_url=base, headers=dict(terminal.metadata)) as http:
        day = world.travel_date.isoformat()
        body = {"terminal_device_id": "T-1", "service_number": "G5001", "travel_date": day}
        session = (await http.post("/validators/sessions", json=body)).json()
        assert session["departure"]["departure_id"] == str(world.departure_id())
        looked = (await http.post("/qr/decrypt", json={"encrypted_data": token})).json()
        assert looked["ticket_info"]["details"]["journey"]["service_number"] == "G5002"
        scan = {"qr_token": token, "function_code": "boarding"}
        answer = await http.post("/venue/scan", json=scan)
        assert (answer.status_code, answer.json()["reason"]) == (422, "WRONG_DEPARTURE")
        assert answer.json()["details"] == looked["ticket_info"]["details"]
        await world.sql(CANCEL, world.departure_id(2))
        answer = await http.post("/venue/scan", json=scan)
        assert (answer.status_code, answer.json()["reason"]) == (422, "DEPARTURE_CANCELLED")
