"""A QR's text as scanners and keyboards deliver it, wherever one is taken.

Seen red: with `read_scanned` giving its text back as it is, TOKEN_INVALID for each; with no reader
for such a field, the repeat is a mismatch.
"""

from collections.abc import AsyncIterator, Callable

import httpx2
import pytest
from deeptravel.redemption.v1 import redemption_pb2

from server.platform.errors import Reason
from tests.support.gate import REFUSAL, Terminal, World, a_world, scan_message, verdict
from tests.support.gate_server import GateServer, gate_server
from tests.support.rpc_server import refusal

FORMS: dict[str, Callable[[str], str]] = {
    "CR LF": lambda token: token + "\r\n",
    "LF": lambda token: token + "\n",
    "TAB": lambda token: token + "\t",
    "leading space": lambda token: " " + token,
    "AIM identifier": lambda token: "]Q1" + token,
    "lower case": str.lower,
    "full-width colons": lambda token: token.replace(":", "：") + "\r\n",
    "frame": lambda token: "\x02" + token + "\x03\x00",
    "byte order mark": lambda token: "\ufeff" + token,
}


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


@pytest.mark.parametrize("name", FORMS)
async def test_it_is_the_same_code_everywhere(
    world: World, server: GateServer, terminal: Terminal, name: str
) -> None:
    form = FORMS[name]
    ticket, second, third = await world.tickets(3)
    order, (of_order,) = await world.order(1)
    looked = await terminal.decrypt(form(ticket.qr))
    assert (looked.ticket_code, looked.HasField("result")) == (ticket.code, False)
    assert verdict(await terminal.redeem(form(ticket.qr))) == "SUCCESS"
    assert verdict(await terminal.redeem(ticket.qr)) == "ALREADY_REDEEMED"
    many = await terminal.redeem_many([(form(second.qr), "ferry")], all_or_nothing=True)
    assert [verdict(each) for each in many.results] == ["SUCCESS"]
    stream = terminal.stream()
    await stream.write(scan_message("s", form(third.qr)))
    await stream.done_writing()
    (answer,) = [each async for batch in stream for each in batch.answers]
    assert verdict(answer.answer) == "SUCCESS"
    for token in (form(order.qr), form(of_order.qr)):
        request = redemption_pb2.LookupOrderRequest(encrypted_data=token)
        assert (await terminal.call("LookupOrder", request)).order_id == order.code
    typed = f" {of_order.code.lower()} "
    assert verdict(await terminal.redeem(form(order.qr), ticket_code=typed)) == "SUCCESS"
    base = f"http://127.0.0.1:{server.app.http_port}"
    async with httpx2.AsyncClient(base_url=base, headers=dict(terminal.metadata)) as http:
        body = {"qr_token": form(ticket.qr), "function_code": "gift"}
        found = await http.post("/venue/scan", json=body)
        assert (found.status_code, found.json()["result"]) == (200, "success")


async def test_a_repeat_by_another_scanner_is_a_repeat(world: World, terminal: Terminal) -> None:
    ticket, other = await world.tickets(2)
    first = await terminal.redeem(ticket.qr + "\r\n", request_id="r")
    assert await terminal.redeem("]Q1" + ticket.qr.lower(), request_id="r") == first
    refused = await refusal(terminal.redeem(other.qr, request_id="r"))
    assert refused.reason == Reason.IDEMPOTENCY_MISMATCH


async def test_forgeries_stay_refused(world: World, terminal: Terminal) -> None:
    ticket = await world.ticket()
    for text in (
        ticket.qr[:50] + " " + ticket.qr[50:],
        ticket.qr[:-1] + "ı",
        "]C1" + ticket.qr,
        ticket.qr[:150] + ("A" if ticket.qr[150] != "A" else "B") + ticket.qr[151:] + "\r\n",
        ticket.qr + "\n" * 3000,
    ):
        answer = await terminal.redeem(text)
        assert (verdict(answer), answer.explanation.check) == ("TOKEN_INVALID", "token")
        assert REFUSAL[(await terminal.decrypt(text)).reason] == "TOKEN_INVALID"
    assert await world.uses(ticket) == (1, 1)
