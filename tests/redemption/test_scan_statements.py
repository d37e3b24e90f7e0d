"""What a scan costs the database: counted in statements and rows, since seconds are the
machine's.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from sqlalchemy import text

from server.platform import clock, idempotency
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.pipeline import PipelineConnection, Prepared, Sent
from server.platform.statements import run_together
from server.redemption import statements
from server.tickets import partner_events, uses
from server.tickets.rules import Number
from server.tickets.uses import TicketState, UsesLeft
from server.webhooks import events
from server.webhooks.events import TicketEvent
from server.webhooks.rules import TICKET_REDEEMED
from tests.support.gate import DAY, Terminal, World, a_world, verdict
from tests.support.gate_server import gate_server
from tests.support.redemption_model import Entitlement

READ = [
    statements.LOCK_TICKETS,
    statements.READ_USES,
    statements.READ_GUARDS,
    idempotency._READ,
]
KEPT = [statements.RECORD_EVENTS, idempotency._STORE]
KEPT_FOR_PARTNERS = [statements.RECORD_EVENTS, events._RECORD_OF_TICKETS, idempotency._STORE]
IN_PLACE = """
SELECT relname, n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables
WHERE relname IN ('tickets', 'entitlements')
"""
PARTY = 60
"""Tickets with consecutive numbers that are scanned in one transaction."""


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with a_world(database_url) as filled:
        yield filled


@pytest.fixture
async def terminal(world: World, database_url: str, redis_url: str) -> AsyncIterator[Terminal]:
    async with gate_server(database_url, redis_url) as running:
        yield await world.log_in(running.channel)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Prepared]:
    """The statements of batches, in the order in which they are sent."""
    found: list[Prepared] = []
    send = PipelineConnection._send

    async def counted(self: PipelineConnection, commands: Sequence[Sent], **options: Any) -> Any:
        # what is polled for in the background may come between
        task = asyncio.current_task()
        if task and task.get_name() == "batch worker":
            found.extend(statement for statement, _ in commands)
        return await send(self, commands, **options)

    monkeypatch.setattr(PipelineConnection, "_send", counted)
    return found


async def test_a_scan_is_ten_statements(
    world: World, terminal: Terminal, sent: list[Prepared]
) -> None:
    """Of a partner's ticket, whose partner hears of it; of our own it is nine. A refused one writes
    its event and its answer, and a repeat nothing.
    """
    ticket, other = await world.tickets(2)
    await terminal.redeem(other.qr)  # which reads the snapshot, once
    expected = {
        "r-1": ("SUCCESS", [uses._MOVE, uses._LEAVE, statements.SET_GUARDS, *KEPT_FOR_PARTNERS]),
        "r-2": ("ALREADY_REDEEMED", KEPT),
    }
    for request_id, (result, writes) in expected.items():
        sent.clear()
        assert verdict(await terminal.redeem(ticket.qr, request_id=request_id)) == result
        assert sent == [*READ, *writes]
        sent.clear()
        assert verdict(await terminal.redeem(ticket.qr, request_id=request_id)) == result
        assert sent == READ


def test_of_our_own_tickets_nothing_is_recorded_for_partners() -> None:
    own, partners = (int(Number(partner_id, DAY, 1)) for partner_id in (0, 1))
    both = [TicketEvent(number, TICKET_REDEEMED, {}) for number in (own, partners)]
    assert partner_events.record(*both[:1], now=clock.now()) is None
    command = partner_events.record(*both, now=clock.now())
    assert command
    assert f"{{{partners}}}".encode() in command.parameters


async def test_a_ticket_is_written_when_its_state_changes(
    world: World, terminal: Terminal, sent: list[Prepared]
) -> None:
    """Seen red with every ticket written that something of was redeemed."""
    tokens = Entitlement("tokens", 3, "MULTI_USE", guard_seconds=0)
    ticket = await world.ticket([tokens])
    for state, moves in (("PARTIALLY_REDEEMED", 1), ("PARTIALLY_REDEEMED", 0), ("USED", 1)):
        sent.clear()
        assert verdict(await terminal.redeem(ticket.qr, "tokens")) == "SUCCESS"
        assert await world.state(ticket) == state
        assert sent.count(uses._MOVE) == moves
        assert sent.count(uses._LEAVE) == 1
    assert await world.contradictions() == []


async def test_redemptions_change_their_rows_in_place(world: World, database_url: str) -> None:
    """In no index, and on the same page, also those of a whole party in one transaction.

    Seen red with the state in the condition of an index, and with the fill factor of before.
    """
    tickets = sorted(ticket.ticket_id for ticket in await world.tickets(PARTY))
    db = Database(load_settings(), database_url)
    try:
        async with db.transaction() as tx:
            await run_together(
                tx,
                uses.move(
                    [TicketState(each, "PARTIALLY_REDEEMED") for each in tickets], now=clock.now()
                ),
                uses.leave(
                    [UsesLeft(each, code, 0) for each in tickets for code in ("ferry", "gift")]
                ),
            )
            rows = (await tx.execute(text(IN_PLACE))).all()
            await tx.rollback()
    finally:
        await db.close()
    updated = {name: (count, in_place) for name, count, in_place in rows}
    assert updated == {"tickets": (PARTY, PARTY), "entitlements": (2 * PARTY, 2 * PARTY)}
