"""Rows that somebody keeps locked: a call that needs one gets CONFLICT soon, and nobody else waits
with it.

Seen red, each of them, with locks that are waited for, five seconds and five times: others missed
their deadline.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx2
import psycopg
import pytest

from server.platform.errors import Reason
from tests.support import timeouts
from tests.support.gate import Terminal, World, a_world, verdict
from tests.support.gate_server import GateServer, gate_process, gate_server
from tests.support.redemption_model import Entitlement
from tests.support.rpc_server import refusal, refusal_or_none
from tests.support.waiting import WAIT_SECONDS

OTHERS = 40
LATEST_SECONDS = 20.0
"""Others are answered by then on a busy machine; whoever waits for the lock is not."""
LOCKS = {
    "ticket": "SELECT FROM tickets WHERE ticket_id = %s FOR UPDATE",
    "entitlement": "SELECT FROM entitlements WHERE ticket_id = %s FOR UPDATE",
}


@pytest.fixture(autouse=True, scope="module")
def _own_waits() -> Iterator[None]:
    with timeouts.the_products_own():
        yield


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


@asynccontextmanager
async def locked(world: World, statement: str, *values: Any) -> AsyncIterator[None]:
    """Somebody else holds the rows of a statement for as long as the block lasts."""
    async with await psycopg.AsyncConnection.connect(world.pg.info.dsn) as other:
        await other.execute(statement, values)
        yield
        await other.rollback()


def conflict(call: Any) -> asyncio.Task[None]:
    """A call that is to be refused with CONFLICT, and with when it may be repeated."""

    async def check() -> None:
        refused = await refusal(call)
        assert refused.reason is Reason.CONFLICT
        assert refused.retry_seconds

    return asyncio.create_task(check())


async def redeemed(terminal: Terminal, token: str, request_id: str) -> str:
    """The verdict of a scan that is repeated until it is decided, as a terminal does."""
    refused = True
    while refused:
        call = terminal.redeem(token, request_id=request_id)
        found = await refusal_or_none(call)
        assert found is None or found.reason is Reason.CONFLICT
        refused = found is not None
    return verdict(await terminal.redeem(token, request_id=request_id))


@pytest.mark.parametrize("row", LOCKS)
async def test_one_locked_row_stops_no_other_scan(
    world: World, server: GateServer, row: str
) -> None:
    """Scans of it fill every shared transaction there may be, and others come all the time."""
    gate = await world.log_in(server.channel)
    once = (Entitlement("ferry"),)
    _, (stuck,) = await world.order(1)
    await world.sql("DELETE FROM entitlements WHERE function_code = 'gift'")
    others = await world.tickets(OTHERS, once)
    async with locked(world, LOCKS[row], stuck.ticket_id):
        held = [conflict(gate.redeem(stuck.qr, request_id=f"r-{n}")) for n in range(4)]
        for half in (others[: OTHERS // 2], others[OTHERS // 2 :]):
            scans = [gate.redeem(t.qr, deadline_seconds=LATEST_SECONDS) for t in half]
            assert {verdict(a) for a in await asyncio.gather(*scans)} == {"SUCCESS"}
            held += [conflict(gate.redeem(stuck.qr, request_id=f"r-{len(held)}"))]
        await asyncio.wait_for(asyncio.gather(*held), LATEST_SECONDS)
    assert await redeemed(gate, stuck.qr, "r-0") == "SUCCESS"
    assert await world.events(stuck) == [("SUCCESS", "")]


async def test_a_locked_order_stops_no_scan_of_its_tickets(
    world: World, server: GateServer
) -> None:
    """Not even of the last one: the order is COMPLETED when nobody is at it any more. So a large
    order is no bottleneck.

    Seen red with scans that wait for the order, and with those that refuse: CONFLICT for each
    ticket that was used up.
    """
    gate = await world.log_in(server.channel)
    order, tickets = await world.order(12)
    others = await world.tickets(12, (Entitlement("ferry"),))
    whole = "SELECT FROM orders WHERE order_id = %s FOR UPDATE"
    state = "SELECT state FROM orders WHERE order_id = %s"
    async with locked(world, whole, order.ticket_id):
        for function, expected in (("ferry", "SUCCESS"), ("gift", "ALREADY_REDEEMED")):
            ends = [gate.redeem(t.qr, function, deadline_seconds=LATEST_SECONDS) for t in tickets]
            once = [gate.redeem(t.qr, deadline_seconds=LATEST_SECONDS) for t in others]
            assert {verdict(a) for a in await asyncio.gather(*ends)} == {"SUCCESS"}
            assert {verdict(a) for a in await asyncio.gather(*once)} == {expected}
        assert await world.sql(state, order.ticket_id) == [("PAID",)]
    assert {await world.state(ticket) for ticket in tickets} == {"USED"}
    async with asyncio.timeout(WAIT_SECONDS):
        while await world.sql(state, order.ticket_id) != [("COMPLETED",)]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_call_of_many_with_a_locked_ticket_does_nothing(
    world: World, server: GateServer
) -> None:
    gate = await world.log_in(server.channel)
    free, stuck = await world.tickets(2)
    async with locked(world, LOCKS["ticket"], stuck.ticket_id):
        for all_or_nothing in (True, False):
            items = [(free.qr, "ferry"), (stuck.qr, "ferry")]
            await conflict(gate.redeem_many(items, all_or_nothing=all_or_nothing))
    assert await world.events() == []
    assert await world.uses(free) == (1, 1)


async def test_in_json_it_is_409_with_retry_after(world: World, server: GateServer) -> None:
    gate = await world.log_in(server.channel)
    ticket = await world.ticket()
    url = f"http://127.0.0.1:{server.app.http_port}"
    headers = {"authorization": f"Bearer {gate.access_token}"}
    body = {"qr_token": ticket.qr, "function_code": "ferry"}
    async with (
        httpx2.AsyncClient(base_url=url, headers=headers, trust_env=False) as http,
        locked(world, LOCKS["ticket"], ticket.ticket_id),
    ):
        answer = await http.post("/venue/scan", json=body)
    assert answer.status_code == 409, answer.text
    assert int(answer.headers["retry-after"]) >= 1
    assert "CONFLICT" in answer.text


async def test_a_reversal_of_a_locked_ticket(world: World, server: GateServer) -> None:
    supervisor = await world.log_in(server.channel, "sam")
    ticket = await world.ticket()
    done = await supervisor.redeem(ticket.qr)
    async with locked(world, LOCKS["ticket"], ticket.ticket_id):
        await conflict(supervisor.reverse(done.redemption_id, request_id="r"))
    await supervisor.reverse(done.redemption_id, request_id="r")


async def test_a_process_that_is_paused_in_a_transaction_loses_its_locks(
    world: World,
    server: GateServer,
    module_database_url: str,
    module_redis_url: str,
    tmp_path: Path,
) -> None:
    """Its scan has locked the ticket and read all about it when it stops. Others go on, and soon
    that ticket, too.

    Seen red with an idle time-out of a minute.
    """
    gate = await world.log_in(server.channel)
    stuck, *others = await world.tickets(OTHERS)
    long_timeout = {"DEEPTRAVEL_BATCH_LOCK_TIMEOUT_MS": "60000"}  # so that it is paused in time
    with gate_process(
        module_database_url, module_redis_url, tmp_path, settings=long_timeout
    ) as process:
        async with grpc.aio.insecure_channel(process.target) as channel:
            async with locked(world, "LOCK TABLE redemption_guards"):
                lost = asyncio.create_task(gate.at(channel).redeem(stuck.qr, request_id="r"))
                await world.waits_for_a_lock()
                await conflict(gate.redeem(stuck.qr, request_id="r"))
                stopped = process.processes
                for each in stopped:
                    each.suspend()
            try:
                scans = [gate.redeem(t.qr, deadline_seconds=LATEST_SECONDS) for t in others]
                assert {verdict(a) for a in await asyncio.gather(*scans)} == {"SUCCESS"}
                assert (
                    await asyncio.wait_for(redeemed(gate, stuck.qr, "r"), WAIT_SECONDS) == "SUCCESS"
                )
            finally:
                for each in stopped:
                    each.resume()
            lost.cancel()
    assert await world.events(stuck) == [("SUCCESS", "")]
