"""N gates, one ticket: whatever races with whatever, over two servers on one database.

Each test says which guard it holds ("Seen red": what was taken out of a copy of the server, and how
the test failed).
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import grpc
import psycopg
import pytest

from server.api import interceptor
from server.platform.errors import Reason
from server.platform.statements import Statement
from server.redemption import rules, statements
from tests.support.gate import (
    QrTicket,
    Terminal,
    World,
    a_world,
    remaining,
    scan_message,
    verdict,
)
from tests.support.gate_server import GateServer, gate_server
from tests.support.redemption_model import Entitlement
from tests.support.rpc_server import refusal_or_none

GATES = 64


@pytest.fixture(scope="module")
async def filled_world(module_database_url: str) -> AsyncIterator[World]:
    async with a_world(module_database_url) as filled:
        yield filled


@pytest.fixture
async def world(filled_world: World, module_database_url: str) -> AsyncIterator[World]:
    yield filled_world
    assert await filled_world.contradictions() == []


@pytest.fixture(scope="module")
async def servers(
    filled_world: World, module_database_url: str, module_redis_url: str
) -> AsyncIterator[tuple[GateServer, GateServer]]:
    async with (
        gate_server(module_database_url, module_redis_url) as one,
        gate_server(module_database_url, module_redis_url) as two,
    ):
        yield one, two


@pytest.fixture
async def gates(world: World, servers: tuple[GateServer, GateServer]) -> list[Terminal]:
    """Four terminals, two at each of two servers."""
    return [
        await world.log_in(server.channel, "sam", f"T-{number}")
        for number, server in enumerate(servers * 2, 1)
    ]


async def at_once(gates: Sequence[Terminal], count: int, call: Callable[..., Any]) -> list[Any]:
    """`call(gate, number)` `count` times at once, in turn from each gate."""
    callers = itertools.islice(itertools.cycle(gates), count)
    return await asyncio.gather(*(call(gate, number) for number, gate in enumerate(callers)))


def assert_one_admitted(answers: Sequence[Any]) -> None:
    """One SUCCESS; all others name it."""
    assert Counter(map(verdict, answers)) == {"SUCCESS": 1, "ALREADY_REDEEMED": len(answers) - 1}
    (winner,) = (a.redemption_id for a in answers if verdict(a) == "SUCCESS")
    assert {a.earlier.redemption_id for a in answers if verdict(a) != "SUCCESS"} == {winner}


# One (jti, function_code), one success


async def test_many_gates_one_ticket_one_admitted(world: World, gates: list[Terminal]) -> None:
    """Of each of several tickets at the same time.

    Seen red: without the row lock and the guards' key, two of 64 were admitted.
    """
    tickets = await world.tickets(8)
    scans = [(ticket, gate) for ticket in tickets for gate in range(GATES)]
    answers = await asyncio.gather(
        *(gates[gate % len(gates)].redeem(ticket.qr) for ticket, gate in scans)
    )
    for ticket in tickets:
        of_ticket = [a for a, (t, _) in zip(answers, scans, strict=True) if t == ticket]
        assert_one_admitted(of_ticket)
        assert await world.uses(ticket) == (0, 1)


async def test_over_streams_one_admitted(world: World, gates: list[Terminal]) -> None:
    ticket = await world.ticket()
    streams = [gate.stream() for gate in gates]
    messages = [scan_message(str(number), ticket.qr) for number in range(GATES)]

    async def write(stream: Any) -> None:
        for message in messages:
            await stream.write(message)
        await stream.done_writing()

    async def read(stream: Any) -> list[Any]:
        return [answer.answer async for message in stream for answer in message.answers]

    answers, _ = await asyncio.gather(
        asyncio.gather(*map(read, streams)), asyncio.gather(*map(write, streams))
    )
    assert_one_admitted(list(itertools.chain.from_iterable(answers)))


async def test_a_ticket_and_its_order_are_one(world: World, gates: list[Terminal]) -> None:
    """The order's QR, the ticket's QR and a call of many race for the same use."""
    order, (ticket,) = await world.order(1)

    async def scan(gate: Terminal, number: int) -> Any:
        if number % 3 == 0:
            return await gate.redeem(ticket.qr)
        if number % 3 == 1:
            return await gate.redeem(order.qr, ticket_code=ticket.code)
        items = [(ticket.qr, "ferry")]
        return (await gate.redeem_many(items, all_or_nothing=bool(number % 2))).results[0]

    assert_one_admitted(await at_once(gates, GATES, scan))


async def test_the_guards_key_alone_admits_once(
    world: World, gates: list[Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although the tickets' rows are not locked, so that many decide at once that they are the
    first.

    Seen red: without the primary key, two of 64 were admitted.
    """
    unlocked = statements.LOCK_TICKETS.sql.decode().replace("FOR NO KEY UPDATE SKIP LOCKED", "")
    monkeypatch.setattr(statements, "LOCK_TICKETS", Statement(unlocked, statements.TicketRow))
    ticket = await world.ticket()
    assert_one_admitted(
        await at_once(gates, GATES, lambda gate, _: gate.redeem_until_decided(ticket.qr))
    )


async def test_the_row_lock_alone_admits_once(world: World, gates: list[Terminal]) -> None:
    """Although the guards have no key.

    Seen red: without FOR NO KEY UPDATE, two of 64 were admitted.
    """
    key = "pk_redemption_guards"
    ((definition,),) = await world.sql(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s", key
    )
    await world.sql(f"ALTER TABLE redemption_guards DROP CONSTRAINT {key}")
    try:
        ticket = await world.ticket()
        assert_one_admitted(await at_once(gates, GATES, lambda gate, _: gate.redeem(ticket.qr)))
    finally:
        await world.sql(f"ALTER TABLE redemption_guards ADD CONSTRAINT {key} {definition}")


# Exactly total_uses


async def test_no_use_too_many_and_none_lost(world: World, gates: list[Terminal]) -> None:
    """Uses asked for one by one alone exceed what there is, so all of it must go.

    Seen red: without FOR NO KEY UPDATE, two answers said that 39 are left; without the rule that
    looks at what is left, the table's check made it a fault.
    """
    total = 40
    ticket = await world.ticket([Entitlement("tokens", total, "MULTI_USE", guard_seconds=0)])
    asked = [1] * 60 + [2, 3, 4, 5] * 10

    async def scan(gate: Terminal, number: int) -> Any:
        quantity = asked[number * 37 % len(asked)]
        return quantity, await gate.redeem(ticket.qr, "tokens", quantity=quantity)

    answers = await at_once(gates, len(asked), scan)
    assert {verdict(answer) for _, answer in answers} == {"SUCCESS", "NO_USES_LEFT"}
    left = total
    admitted = [(q, remaining(a)["tokens"]) for q, a in answers if verdict(a) == "SUCCESS"]
    for quantity, left_after in sorted(admitted, key=lambda row: -row[1]):
        left -= quantity
        assert left_after == left
    assert left == 0
    assert await world.uses(ticket, "tokens") == (0, total)
    assert await world.state(ticket) == "USED"


async def test_the_tables_check_alone_admits_none_too_many(
    world: World, gates: list[Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although the rules do not look at what is left.

    Seen red: without the check constraint, all 64 were admitted.
    """
    monkeypatch.setattr(rules, "_uses", lambda scan, ticket: None)
    monkeypatch.setattr(interceptor, "log_fault", lambda error: None)
    total = 5
    ticket = await world.ticket([Entitlement("tokens", total, "MULTI_USE", guard_seconds=0)])

    async def scan(gate: Terminal, _: int) -> str:
        try:
            return verdict(await gate.redeem(ticket.qr, "tokens"))
        except grpc.aio.AioRpcError as error:
            return error.code().name

    verdicts = Counter(await at_once(gates, GATES, scan))
    assert verdicts.keys() <= {"SUCCESS", "INTERNAL"}
    assert verdicts["SUCCESS"] <= total
    assert await world.uses(ticket, "tokens") == (total - verdicts["SUCCESS"], total)


# One request_id, one answer


@pytest.mark.parametrize("token", ["a ticket's", "garbage"])
async def test_one_request_many_times_at_once(
    world: World, gates: list[Terminal], token: str
) -> None:
    """One redemption, one recorded event, and the same answer for all; for a refusal, too.

    Seen red: without looking for stored answers the repeats ended in CONFLICT; so did those of the
    garbage without deciding each call again on its own after a lost race.
    """
    ticket = await world.ticket([Entitlement("tokens", 10, "MULTI_USE", guard_seconds=0)])
    text = token if token == "garbage" else ticket.qr
    same = [gates[0], gates[0].at_other(gates[1])]
    answers = await at_once(same, 32, lambda gate, _: gate.redeem(text, "tokens", request_id="r-1"))
    assert all(answer == answers[0] for answer in answers)
    assert verdict(answers[0]) == ("TOKEN_INVALID" if token == "garbage" else "SUCCESS")
    assert len(await world.events()) == 1
    assert await world.uses(ticket, "tokens") == (10 if token == "garbage" else 9, 10)


async def test_one_call_of_many_at_once(world: World, gates: list[Terminal]) -> None:
    tickets = await world.tickets(5)
    items = [(ticket.qr, "ferry") for ticket in tickets]
    same = [gates[0], gates[0].at_other(gates[1])]
    answers = await at_once(
        same,
        32,
        lambda gate, _: gate.redeem_many(items, all_or_nothing=True, request_id="r-1"),
    )
    assert all(answer == answers[0] for answer in answers)
    assert answers[0].all_redeemed
    assert await world.events() == [("SUCCESS", "")] * 5


async def test_one_request_id_for_different_tickets_at_once(
    world: World, gates: list[Terminal]
) -> None:
    """One wins, all others hear that the id is taken; only the winner's ticket is used.

    Seen red: without the primary key of idempotency_records, two tickets were used.
    """
    tickets = await world.tickets(32)
    same = [gates[0], gates[0].at_other(gates[1])]

    async def scan(gate: Terminal, number: int) -> Any:
        refused = await refusal_or_none(gate.redeem(tickets[number].qr, request_id="r-1"))
        return refused.reason if refused else "SUCCESS"

    answers = await at_once(same, len(tickets), scan)
    assert Counter(answers) == {"SUCCESS": 1, Reason.IDEMPOTENCY_MISMATCH: len(tickets) - 1}
    assert await world.events() == [("SUCCESS", "")]
    assert await world.events(tickets[answers.index("SUCCESS")]) == [("SUCCESS", "")]


async def test_calls_of_many_in_opposite_orders(world: World, gates: list[Terminal]) -> None:
    """Locks are taken in the order of the tickets, whatever the order of the call; no call
    fails.
    """
    tickets = await world.tickets(20)
    forwards = [(ticket.qr, "ferry") for ticket in tickets]

    async def redeem(gate: Terminal, number: int) -> Any:
        items = forwards if number % 2 else forwards[::-1]
        return await gate.redeem_many(items, all_or_nothing=False)

    answers = await at_once(gates, 16, redeem)
    admitted = [
        a.ticket_code for answer in answers for a in answer.results if verdict(a) == "SUCCESS"
    ]
    assert sorted(admitted) == [ticket.code for ticket in tickets]


async def test_all_or_nothing_calls_that_overlap(world: World, gates: list[Terminal]) -> None:
    """Each neighbour shares a ticket with the next: those that are redeemed are so as a whole."""
    tickets = await world.tickets(GATES + 1)

    async def redeem(gate: Terminal, number: int) -> bool:
        items = [(ticket.qr, "ferry") for ticket in tickets[number : number + 2]]
        answer = await gate.redeem_many(items, all_or_nothing=True)
        verdicts = Counter(map(verdict, answer.results))
        whole = {"SUCCESS": 2} if answer.all_redeemed else Counter(verdicts - Counter(SUCCESS=2))
        assert verdicts == whole
        assert "SUCCESS" not in verdicts or answer.all_redeemed
        return bool(answer.all_redeemed)

    redeemed = await at_once(gates, GATES, redeem)
    admitted = [event for event in await world.events() if event[0] == "SUCCESS"]
    assert len(admitted) == 2 * sum(redeemed)
    assert sum(redeemed) >= GATES // 3


# Other moves at the same moment


async def test_reversals_race_with_redemptions(world: World, gates: list[Terminal]) -> None:
    """One of the reversals works; the freed use is redeemed once, or stays free.

    Seen red: without the reversal's row lock, the other reversals did not all hear
    REVERSAL_REFUSED.
    """
    for ticket in await world.tickets(10):
        done = await gates[0].redeem(ticket.qr)

        async def move(
            gate: Terminal, number: int, ticket: QrTicket = ticket, done: Any = done
        ) -> str:
            if number % 8 < 2:
                refused = await refusal_or_none(gate.reverse(done.redemption_id))
                return refused.reason if refused else "REVERSED"
            return verdict(await gate.redeem(ticket.qr))

        moves = Counter(await at_once(gates, 16, move))
        assert (moves["REVERSED"], moves[Reason.REVERSAL_REFUSED]) == (1, 3)
        assert moves["SUCCESS"] + moves["ALREADY_REDEEMED"] == 12
        assert await world.uses(ticket) == (1 - moves["SUCCESS"], 1)


@asynccontextmanager
async def connected(world: World) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """Another connection to the same database, in a transaction that commits at the end."""
    async with await psycopg.AsyncConnection.connect(world.pg.info.dsn) as connection:
        yield connection


REFUND = "UPDATE tickets SET state = 'REFUNDING' WHERE ticket_id = %s AND state = 'ACTIVE'"


async def refund(world: World, ticket: QrTicket) -> bool:
    """Begins a refund as the refund service does, with a guarded update; whether it won."""
    async with connected(world) as pg:
        return (await pg.execute(REFUND, [ticket.ticket_id])).rowcount == 1


async def test_a_refund_and_a_redemption_one_wins(world: World, gates: list[Terminal]) -> None:
    tickets = await world.tickets(60)

    async def both(gate: Terminal, number: int) -> tuple[bool, str]:
        ticket = tickets[number]
        if number % 2:
            refunded, answer = await asyncio.gather(refund(world, ticket), gate.redeem(ticket.qr))
        else:
            answer, refunded = await asyncio.gather(gate.redeem(ticket.qr), refund(world, ticket))
        return refunded, verdict(answer)

    for number, outcome in enumerate(await at_once(gates, len(tickets), both)):
        assert outcome in {(True, "TICKET_NOT_ACTIVE"), (False, "SUCCESS")}
        state = "REFUNDING" if outcome[0] else "PARTIALLY_REDEEMED"
        assert await world.state(tickets[number]) == state


async def test_a_redemption_behind_a_refund_sees_it(world: World, gates: list[Terminal]) -> None:
    """The very moment: the redemption has begun before the refund commits.

    Seen red: without FOR NO KEY UPDATE it was admitted, and the refund overwritten.
    """
    ticket = await world.ticket()
    async with connected(world) as pg:
        await pg.execute(REFUND, [ticket.ticket_id])
        redeeming = asyncio.create_task(gates[0].redeem_until_decided(ticket.qr))
        await world.meets_a_lock()
    assert verdict(await redeeming) == "TICKET_NOT_ACTIVE"
    assert await world.state(ticket) == "REFUNDING"


async def test_a_redemption_behind_a_rotation_sees_it(world: World, gates: list[Terminal]) -> None:
    """Seen red: without FOR NO KEY UPDATE, or without the rule that looks at the jti, it was
    admitted.
    """
    ticket = await world.ticket()
    async with connected(world) as pg:
        await pg.execute("UPDATE tickets SET jti = %s", [uuid4()])
        redeeming = asyncio.create_task(gates[0].redeem_until_decided(ticket.qr))
        await world.meets_a_lock()
    assert verdict(await redeeming) == "QR_SUPERSEDED"
    assert await world.uses(ticket) == (1, 1)
