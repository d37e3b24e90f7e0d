"""Orders end with their last ticket, and are open again when a redemption is reversed."""

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from server.orders import completion
from server.platform import clock
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.statements import run_together
from server.tickets.rules import FINAL_STATES
from tests.support.gate import QrTicket, Terminal, World, a_world, verdict
from tests.support.gate_server import GateServer, gate_server
from tests.support.order_states import order_state_after
from tests.support.redemption_model import Entitlement

STATES = ("ACTIVE", "PARTIALLY_REDEEMED", "REFUNDING", *sorted(FINAL_STATES - {"VOIDED"}))
MANY = 20_000
READ = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'tickets'"
"""Rows of tickets that the connection has read since its last report."""


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
    return await world.log_in(server.channel, "sam", "T-1")


async def state(world: World, order: QrTicket) -> tuple[str, int]:
    ((found, sequence),) = await world.sql(
        "SELECT state, sequence FROM orders WHERE order_id = %s", order.ticket_id
    )
    return found, sequence


async def test_a_partners_order_ends_with_its_last_ticket(world: World, terminal: Terminal) -> None:
    order, tickets = await world.order(2)
    scans = [(ticket, code) for ticket in tickets for code in ("ferry", "gift")]
    for ticket, function_code in scans[:-1]:
        assert verdict(await terminal.redeem(ticket.qr, function_code)) == "SUCCESS"
        assert await state(world, order) == ("PAID", 1)
    done = await terminal.redeem(tickets[1].qr, "gift")
    assert await state(world, order) == ("COMPLETED", 2)
    await terminal.reverse(done.redemption_id)
    assert await state(world, order) == ("PAID", 3)
    await terminal.redeem(tickets[1].qr, "gift")
    assert await state(world, order) == ("COMPLETED", 4)
    rows = await world.sql(
        "SELECT event, state, actor FROM order_events WHERE order_id = %s ORDER BY sequence",
        order.ticket_id,
    )
    assert rows == [
        ("order.completed", "COMPLETED", "terminal:T-1"),
        ("order.reopened", "PAID", "terminal:T-1"),
        ("order.completed", "COMPLETED", "terminal:T-1"),
    ]


async def test_many_of_one_order_at_once(world: World, terminal: Terminal) -> None:
    order, tickets = await world.order(60)
    await terminal.redeem_many(
        [(ticket.qr, "ferry") for ticket in tickets[:50]], all_or_nothing=True
    )
    await terminal.redeem_many(
        [(ticket.qr, "gift") for ticket in tickets[:50]], all_or_nothing=True
    )
    assert await state(world, order) == ("PAID", 1)
    for ticket in tickets[50:]:
        await terminal.redeem(ticket.qr, "ferry")
    await asyncio.gather(*(terminal.redeem(ticket.qr, "gift") for ticket in tickets[50:]))
    assert await state(world, order) == ("COMPLETED", 2)


async def test_the_statement_decides_as_the_rule(world: World, module_database_url: str) -> None:
    """Every pair of states, of small orders and of those that remember an open ticket."""
    db = Database(load_settings(), module_database_url)
    for pair in itertools.combinations_with_replacement(STATES, 2):
        order, tickets = await world.order(2)
        for ticket, each in zip(tickets, pair, strict=True):
            await world.sql(
                "UPDATE tickets SET state = %s WHERE ticket_id = %s", each, ticket.ticket_id
            )
        expected = order_state_after(pair)
        for cancelled in ([order.ticket_id] if expected == "CANCELLED" else [], []):
            async with db.transaction() as tx:
                actors = {order.ticket_id: "test"}
                commands = completion.complete(actors, now=clock.now())
                _, found = await run_together(tx, *commands)
                assert found == cancelled
        assert await state(world, order) == (expected, 1 + (expected != "PAID")), pair
    await db.close()
    await world.sql("DELETE FROM tickets")
    await world.sql("DELETE FROM entitlements")


async def test_a_large_order_costs_little(world: World, module_database_url: str) -> None:
    """In the order of their numbers, as at a gate with one batch: all are read a few times, else
    one each.

    Seen red with the open ticket chosen by its number: half of them are read each time.
    """
    order, tickets = await world.order(MANY)
    db = Database(load_settings(), module_database_url)
    await world.sql("ANALYZE tickets")
    read = 0
    for ticket in tickets[:400]:
        await world.sql("UPDATE tickets SET state = 'USED' WHERE ticket_id = %s", ticket.ticket_id)
        async with db.transaction() as tx:
            read -= await tx.scalar(text(READ)) or 0
            commands = completion.complete({order.ticket_id: "test"}, now=clock.now())
            await run_together(tx, *commands)
            read += await tx.scalar(text(READ)) or 0
    await db.close()
    assert 400 <= read < 10 * MANY
    assert await state(world, order) == ("PAID", 1)
    await world.sql("DELETE FROM tickets")
    await world.sql("DELETE FROM entitlements")


async def test_what_has_several_uses(world: World, terminal: Terminal) -> None:
    order, tickets = await world.order(1)
    (extra,) = await world.tickets(
        1, [Entitlement("ferry", 3, "MULTI_USE", 0)], order_id=order.ticket_id
    )
    await terminal.redeem(tickets[0].qr, "ferry")
    await terminal.redeem(tickets[0].qr, "gift")
    await terminal.redeem(extra.qr, "ferry", quantity=2)
    assert await state(world, order) == ("PAID", 1)
    await terminal.redeem(extra.qr, "ferry")
    assert await state(world, order) == ("COMPLETED", 2)
