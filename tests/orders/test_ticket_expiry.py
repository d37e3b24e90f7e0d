"""Tickets whose validity is over are EXPIRED within a minute, and their orders COMPLETED, once,
whatever happens.

Those of partners, at the gate. What travellers have beside is in test_travellers_tickets_expire.py.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from server.orders import completion
from server.orders.ticket_expiry import OPEN
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.statements import run_together
from server.tickets.tickets import move
from tests.support.expiring import AUDITED, Expirer, an_expirer
from tests.support.gate import QrTicket, Terminal, World, a_world, verdict
from tests.support.gate_server import GateServer, gate_process, gate_server
from tests.support.invariants import broken
from tests.support.waiting import WAIT_SECONDS

OVER = (
    "UPDATE tickets SET valid_from_time = now() - interval '9 days', valid_until_time = now() -"
    " interval '{}' WHERE order_id = %s"
)
COMPLETED = "SELECT state = 'COMPLETED' FROM orders WHERE order_id = %s"
HOLD = ("overdue-tickets", "expired", "ticket-events", "order-states", "uses")
READ = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'tickets'"
"""Rows of tickets that the connection has read since its last report."""
IN_PLACE = "SELECT n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = 'orders'"


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with a_world(database_url) as filled:
        yield filled
        assert await filled.contradictions() == []
    # the tickets that a World makes are of no batch, so not all hold
    found = {result.invariant.name: result.text for result in broken(database_url)}
    assert not {name: found[name] for name in HOLD if name in found}


@pytest.fixture
async def expirer(world: World, database_url: str) -> AsyncIterator[Expirer]:
    async with an_expirer(database_url, page_tickets=7) as process:
        yield process


@pytest.fixture
async def server(world: World, database_url: str, redis_url: str) -> AsyncIterator[GateServer]:
    async with gate_server(database_url, redis_url) as running:
        yield running


@pytest.fixture
async def terminal(world: World, server: GateServer) -> Terminal:
    return await world.log_in(server.channel)


async def over(world: World, order: QrTicket, ago: str = "1 second") -> None:
    """The validity of an order's tickets is over since a while."""
    await world.sql(OVER.format(ago), order.ticket_id)


async def an_order(world: World, count: int) -> tuple[QrTicket, list[QrTicket]]:
    """Whose tickets' validity is over."""
    order, tickets = await world.order(count)
    await over(world, order)
    return order, tickets


async def states(world: World, order: QrTicket) -> tuple[str, list[str]]:
    """The order's state, and those of its tickets."""
    ((state,),) = await world.sql("SELECT state FROM orders WHERE order_id = %s", order.ticket_id)
    rows = await world.sql(
        "SELECT state FROM tickets WHERE order_id = %s ORDER BY ticket_id", order.ticket_id
    )
    return state, [found for (found,) in rows]


async def until(world: World, question: str, *values: Any) -> None:
    """Waits until the one value a statement gives is true; fails if it is not within a minute."""
    for _ in range(600):
        if (await world.sql(question, *values))[0][0]:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(question)


async def pending(world: World) -> set[int]:
    """Tickets whose end of validity is still to be looked at."""
    rows = await world.sql("SELECT ticket_id FROM tickets WHERE expiry_pending")
    return {ticket_id for (ticket_id,) in rows}


async def moves(world: World) -> list[tuple[Any, ...]]:
    return await world.sql("SELECT event, actor FROM order_events ORDER BY order_id, sequence")


async def test_open_tickets_expire_and_no_others(world: World, expirer: Expirer) -> None:
    """Blocked ones too: their validity ends as any other's. What has its validity ahead stays."""
    others = ("USED", "REFUNDING", "REFUNDED", "CHANGING", "CHANGED", "EXPIRED")
    every = ("ACTIVE", "PARTIALLY_REDEEMED", "ACTIVE", *others)
    order, tickets = await an_order(world, len(every))
    for ticket, state in zip(tickets, every, strict=True):
        await world.sql(
            "UPDATE tickets SET state = %s WHERE ticket_id = %s", state, ticket.ticket_id
        )
    await world.sql("UPDATE tickets SET blocked = true WHERE ticket_id = %s", tickets[2].ticket_id)
    unsold = await world.ticket(
        state="PRE_GENERATED",
        order_id=None,
        customer_type=None,
        customer_name=None,
        valid_from_time=datetime.now(UTC) - timedelta(days=9),
        valid_until_time=datetime.now(UTC) - timedelta(days=1),
    )
    later, _ = await world.order(1)
    await expirer.run()
    assert await states(world, order) == ("PAID", ["EXPIRED"] * 3 + list(others))
    assert await world.state(unsold) == "PRE_GENERATED"
    assert await states(world, later) == ("PAID", ["ACTIVE"])
    audited = {ticket: facts for ticket, *facts in await world.sql(AUDITED)}
    assert audited == {each.ticket_id: [1, "system", "EXPIRED"] for each in tickets[:3]}
    await world.sql("DELETE FROM tickets WHERE order_id = %s", order.ticket_id)
    await world.sql("DELETE FROM orders WHERE order_id = %s", order.ticket_id)
    await world.sql("DELETE FROM entitlements")


async def test_what_may_expire_yet_is_not_settled(world: World, expirer: Expirer) -> None:
    """Nor what is valid still, whatever it is. Many processes settle beside each other, and one
    that a gate has waits for the next time. Seen red without the states in the statement: the
    check of the table refused it.
    """
    others = ("USED", "REFUNDED", "CHANGED", "EXPIRED")
    every = ("ACTIVE", "PARTIALLY_REDEEMED", "REFUNDING", "CHANGING", *others)
    order, tickets = await an_order(world, len(every))
    later, valid = await world.order(1)
    for ticket, state in zip([*tickets, *valid], [*every, "USED"], strict=True):
        await world.sql(
            "UPDATE tickets SET state = %s WHERE ticket_id = %s", state, ticket.ticket_id
        )
    first_final = tickets[4].ticket_id
    async with world.pg.transaction():
        await world.sql("SELECT FROM tickets WHERE ticket_id = %s FOR UPDATE", first_final)
        async with asyncio.timeout(WAIT_SECONDS):
            await asyncio.gather(expirer.settle(), expirer.settle())
    kept = {each.ticket_id for each in [*tickets[:4], *valid]}
    assert await pending(world) == kept | {first_final}
    await expirer.settle()
    assert await pending(world) == kept
    await world.sql("DELETE FROM tickets; DELETE FROM entitlements")
    await world.sql(
        "DELETE FROM orders WHERE order_id IN (%s, %s)", order.ticket_id, later.ticket_id
    )


async def test_an_order_of_expired_and_refunded_tickets_is_completed(
    world: World, expirer: Expirer
) -> None:
    order, tickets = await an_order(world, 20)  # three pages
    await world.sql(
        "UPDATE tickets SET state = 'REFUNDED' WHERE ticket_id = %s", tickets[0].ticket_id
    )
    await world.sql(
        "INSERT INTO ticket_events VALUES (%s, 1, 'refunded', 'REFUNDED', 'system', now())",
        tickets[0].ticket_id,
    )
    await expirer.run()
    assert await states(world, order) == ("COMPLETED", ["REFUNDED"] + ["EXPIRED"] * 19)
    assert await moves(world) == [("order.completed", "system")]


async def test_by_itself_within_a_minute(world: World, terminal: Terminal) -> None:
    """By the server's own clock; the gate says so before and after in the same words.

    Seen red without the job in `jobs`.
    """
    order, (ticket, other) = await an_order(world, 2)
    await until(world, COMPLETED, order.ticket_id)
    assert (await states(world, order))[1] == ["EXPIRED", "EXPIRED"]
    assert verdict(await terminal.redeem(ticket.qr)) == "TICKET_EXPIRED"
    assert verdict(await terminal.redeem(other.qr, "gift")) == "TICKET_EXPIRED"


async def test_a_reversed_redemption_of_an_overdue_ticket(
    world: World, server: GateServer, terminal: Terminal, expirer: Expirer
) -> None:
    """Seen red with a reversal that leaves it settled: the check of the table refused that."""
    order, (ticket,) = await world.order(1)
    await terminal.redeem(ticket.qr)
    done = await terminal.redeem(ticket.qr, "gift")
    await over(world, order)
    await expirer.run()
    await expirer.settle()
    assert await pending(world) == set()
    assert await states(world, order) == ("COMPLETED", ["USED"])
    await (await world.log_in(server.channel, "sam", "T-2")).reverse(done.redemption_id)
    await expirer.run()
    assert await states(world, order) == ("COMPLETED", ["EXPIRED"])
    assert [event for event, _ in await moves(world)] == [
        "order.completed",
        "order.reopened",
        "order.completed",
    ]


async def test_many_processes_expire_each_once(world: World, database_url: str) -> None:
    """Also beside each other. Seen red without the job's lock and cadence: one was EXPIRED
    before the next run was due.
    """
    orders = [await an_order(world, 25) for _ in range(4)]
    db = Database(load_settings(), database_url)
    processes = [Expirer(db, page_tickets=7) for _ in range(4)]
    await asyncio.gather(*(each.run(timedelta(minutes=1)) for each in processes))
    for order, tickets in orders:
        assert await states(world, order) == ("COMPLETED", ["EXPIRED"] * len(tickets))
    assert {count for _, count, *_ in await world.sql(AUDITED)} == {1}
    assert await moves(world) == [("order.completed", "system")] * 4
    # and not again before its time
    await an_order(world, 1)
    await asyncio.gather(*(each.run(timedelta(minutes=1)) for each in processes))
    assert len(await world.sql(AUDITED)) == 100
    await processes[0].run()
    assert len(await world.sql(AUDITED)) == 101
    await db.close()


async def test_a_gate_before_it_and_a_gate_behind_it(
    world: World, terminal: Terminal, expirer: Expirer
) -> None:
    """One that has the ticket is not waited for, and one that comes meanwhile reads EXPIRED.

    Seen red without SKIP LOCKED: the run waited for the gate's lock, until the lock's time was
    over.
    """
    order, (ticket, _) = await an_order(world, 2)
    async with world.pg.transaction():
        await world.sql(
            "SELECT FROM tickets WHERE ticket_id = %s FOR NO KEY UPDATE", ticket.ticket_id
        )
        async with asyncio.timeout(WAIT_SECONDS):
            await expirer.run()
        await world.sql(
            "UPDATE tickets SET valid_until_time = now() + interval '1 day' WHERE ticket_id = %s",
            ticket.ticket_id,
        )
    assert await states(world, order) == ("PAID", ["ACTIVE", "EXPIRED"])
    assert verdict(await terminal.redeem(ticket.qr)) == "SUCCESS"
    async with world.pg.transaction():
        await over(world, order)
        await world.sql(
            "UPDATE tickets SET state = 'EXPIRED' WHERE ticket_id = %s", ticket.ticket_id
        )
        await world.sql(
            "INSERT INTO ticket_events VALUES (%s, 1, 'expired', 'EXPIRED', 'system', now())",
            ticket.ticket_id,
        )
        scan = asyncio.create_task(terminal.redeem(ticket.qr, "gift"))
        await world.meets_a_lock()
        assert not scan.done()
    answer = await scan
    assert verdict(answer) == "TICKET_EXPIRED"
    await world.sql("UPDATE orders SET state = 'COMPLETED' WHERE order_id = %s", order.ticket_id)
    await world.sql("DELETE FROM orders WHERE order_id = %s", order.ticket_id)
    await world.sql("DELETE FROM tickets WHERE order_id = %s", order.ticket_id)
    await world.sql("DELETE FROM entitlements; DELETE FROM redemption_guards")
    await world.sql("DELETE FROM redemption_events")


async def test_a_locked_order_is_passed_over(world: World, expirer: Expirer) -> None:
    """It is not waited for with a page of tickets locked. Seen red with the orders' locks waited
    for.
    """
    (mine, _), (other, _) = [await an_order(world, 3) for _ in range(2)]
    async with world.pg.transaction():
        await world.sql("SELECT FROM orders WHERE order_id = %s FOR NO KEY UPDATE", mine.ticket_id)
        async with asyncio.timeout(WAIT_SECONDS):
            await expirer.run()
    assert await states(world, mine) == ("PAID", ["ACTIVE"] * 3)
    assert await states(world, other) == ("COMPLETED", ["EXPIRED"] * 3)
    await expirer.run()
    assert await states(world, mine) == ("COMPLETED", ["EXPIRED"] * 3)


async def test_scans_while_the_validity_ends(
    world: World, terminal: Terminal, expirer: Expirer
) -> None:
    """Of each ticket a scan or the expiry wins, not both.

    Never seen red, since both are seldom at one ticket: the locks that see to it are tried in the
    test of a gate before it.
    """
    order, tickets = await world.order(120)
    await world.sql(
        "UPDATE tickets SET valid_until_time = now() + interval '300 milliseconds'"
        " + interval '10 milliseconds' * (ticket_id %% 120) WHERE order_id = %s",
        order.ticket_id,
    )
    ended = asyncio.Event()

    async def expire() -> None:
        while not ended.is_set():
            await expirer.run()

    async def scan(ticket: QrTicket, number: int) -> str:
        await asyncio.sleep(0.3 + number * 0.01 - random.uniform(0, 0.06))  # before and behind
        answers = [
            verdict(each)
            for each in await asyncio.gather(
                *(terminal.redeem(ticket.qr, code) for code in ("ferry", "gift"))
            )
        ]
        assert set(answers) <= {"SUCCESS", "TICKET_EXPIRED"}
        return "USED" if answers == ["SUCCESS"] * 2 else "EXPIRED"

    running = asyncio.create_task(expire())
    expected = await asyncio.gather(*(scan(ticket, ticket.ticket_id % 120) for ticket in tickets))
    ended.set()
    await running
    await expirer.run()
    await until(world, COMPLETED, order.ticket_id)  # a task does that where both were at the order
    assert await states(world, order) == ("COMPLETED", list(expected))
    assert {count for _, count, *_ in await world.sql(AUDITED)} <= {1}


async def test_one_that_cannot_be_moved_keeps_no_other(world: World, expirer: Expirer) -> None:
    """Seen red without the second try order by order: none of the page was EXPIRED, at every
    run.
    """
    (bad, _), (good, _) = [await an_order(world, 2) for _ in range(2)]
    await world.sql(
        "INSERT INTO order_events VALUES (%s, 2, 'order.completed', 'COMPLETED', NULL, NULL,"
        " 'system', now())",
        bad.ticket_id,
    )
    await expirer.run()
    assert await states(world, good) == ("COMPLETED", ["EXPIRED"] * 2)
    assert await states(world, bad) == ("PAID", ["ACTIVE"] * 2)
    await world.sql("DELETE FROM order_events WHERE order_id = %s", bad.ticket_id)
    await expirer.run()
    assert await states(world, bad) == ("COMPLETED", ["EXPIRED"] * 2)


async def test_after_an_outage_in_the_middle(
    world: World, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """Killed when some are EXPIRED; the next process has the rest at once, each once."""
    order, tickets = await an_order(world, 4_000)
    server = gate_process(database_url, redis_url, tmp_path)
    # one page, and the next waits: nobody is quick enough to kill it in between
    holder = "SELECT FROM tickets WHERE ticket_id > %s FOR NO KEY UPDATE"
    async with world.pg.transaction():
        await world.sql(holder, tickets[1_599].ticket_id)
        await asyncio.to_thread(server.start)
        await until(world, "SELECT count(*) = 1600 FROM tickets WHERE state = 'EXPIRED'")
        await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.__exit__)
    assert (await states(world, order))[0] == "PAID"
    async with gate_server(database_url, redis_url):
        await until(world, COMPLETED, order.ticket_id)
    audited = await world.sql(AUDITED)
    assert len(audited) == len(tickets)
    assert {count for _, count, *_ in audited} == {1}
    assert await moves(world) == [("order.completed", "system")]


async def test_what_is_final_is_not_read(world: World, database_url: str) -> None:
    """Whatever was ever sold, a run reads what is due. Seen red without the index, and without
    settling what is final: all are read.
    """
    past, _ = await an_order(world, 3_000)
    await world.sql(
        "UPDATE tickets SET state = 'USED', order_id = -ticket_id WHERE order_id = %s",
        past.ticket_id,
    )
    order, _ = await an_order(world, 3)
    db = Database(load_settings(), database_url)
    expirer = Expirer(db)
    await expirer.settle()
    await world.sql("VACUUM ANALYZE tickets")
    async with db.transaction() as tx:
        before = await tx.scalar(text(READ)) or 0
        await expirer._expiry.work(tx, datetime.now(UTC))
        read = (await tx.scalar(text(READ)) or 0) - before
        assert await tx.scalar(text(IN_PLACE)) == 1
    await db.close()
    assert await states(world, order) == ("COMPLETED", ["EXPIRED"] * 3)
    assert 3 <= read < 100
    await world.sql("DELETE FROM tickets WHERE order_id < 0")
    await world.sql("DELETE FROM orders WHERE order_id = %s", past.ticket_id)
    await world.sql("DELETE FROM entitlements")


async def test_what_expires_is_written_once(world: World, expirer: Expirer) -> None:
    """A ticket leaves the index of those that may expire with its move, and an order that no
    traveller waits for is nothing to notify of: no job writes either again. Seen red with the
    former MOVE and COMPLETE.
    """
    order, _ = await an_order(world, 3)
    await expirer.run()
    assert await states(world, order) == ("COMPLETED", ["EXPIRED"] * 3)
    pending = "SELECT count(*) FROM tickets WHERE order_id = %s AND expiry_pending"
    assert await world.sql(pending, order.ticket_id) == [(0,)]
    moves = "SELECT event, notify FROM order_events WHERE order_id = %s"
    assert await world.sql(moves, order.ticket_id) == [("order.completed", False)]


async def test_completing_an_order_reads_its_tickets_twice(world: World, database_url: str) -> None:
    """Whether one is open, and whether one was used: not again for each column that is written by
    it. Seen red, with four times, while `looked` was not materialized. The order is written in
    place, in no index anew: seen red with the index of holds that named the state.
    """
    order, sold = await an_order(world, 300)
    ((count,),) = await world.sql("SELECT count(*) FROM tickets")
    db, now = Database(load_settings(), database_url), datetime.now(UTC)
    async with db.transaction() as tx:
        ids, event = [each.ticket_id for each in sold], {"action": "expired", "actor": "system"}
        assert len(await move(tx, ids, OPEN, "EXPIRED", now=now, **event)) == 300
        before = await tx.scalar(text(READ)) or 0
        await run_together(tx, *completion.complete({order.ticket_id: "system"}, now=now))
        read = (await tx.scalar(text(READ)) or 0) - before
        assert await tx.scalar(text(IN_PLACE)) == 1
    await db.close()
    assert (await states(world, order))[0] == "COMPLETED"
    assert 300 <= read <= 2.5 * count
