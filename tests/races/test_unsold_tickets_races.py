"""Cancellations, reassignments and activations of the same tickets at the same moment, at two
servers.

"Seen red" in a test says which guard was taken out, and that the test then failed.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from server.partners import unsold_tickets
from tests.support.gate_server import gate_server
from tests.support.invariants import assert_invariants
from tests.support.partner_client import (
    Market,
    PartnerClient,
    a_market,
    customer,
    payment,
)
from tests.support.rpc_server import refusal_or_none

TICKETS = 40


@pytest.fixture(scope="module")
async def market(module_database_url: str) -> AsyncIterator[Market]:
    async with a_market(module_database_url) as filled:
        yield filled


@pytest.fixture(scope="module")
async def clients(
    market: Market, module_database_url: str, module_redis_url: str
) -> AsyncIterator[list[PartnerClient]]:
    """A partner that calls two servers."""
    async with (
        gate_server(module_database_url, module_redis_url) as one,
        gate_server(module_database_url, module_redis_url) as two,
    ):
        yield [PartnerClient.at(one.channel), PartnerClient.at(two.channel)]


@pytest.mark.parametrize("whole_batch", [False, True])
async def test_a_ticket_is_sold_or_cancelled(
    market: Market,
    clients: list[PartnerClient],
    module_database_url: str,
    whole_batch: bool,
) -> None:
    """Of each ticket exactly one wins, and the stock counts what was cancelled once.

    Seen red: without FOR NO KEY UPDATE in LOCK both find it PRE_GENERATED, and the guarded UPDATE
    fails the loser with INTERNAL; without its condition in MOVE too, tickets that have an order
    are voided.
    """
    one, two = clients
    batch = await one.batch(TICKETS)
    codes = [ticket.ticket_code for ticket in batch.tickets]
    shuffled = random.Random(5).sample(codes, TICKETS)
    cancelled: list[str] = []
    activated: list[str] = []

    async def cancel(some: list[str]) -> None:
        answer = await two.cancel(some)
        cancelled.extend(v.ticket_code for v in answer.verdicts if v.cancelled)

    async def cancel_batch() -> None:
        answer = await two.cancel(batch_id=batch.batch_id)
        left = {v.ticket_code for v in answer.verdicts}
        cancelled.extend(code for code in codes if code not in left)

    async def activate(some: list[str]) -> None:
        answer = await one.activate_many([(code, customer(), payment()) for code in some])
        activated.extend(v.ticket_code for v in answer.verdicts if v.activated)

    async def activate_one(code: str) -> None:
        if await refusal_or_none(one.activate(code)) is None:
            activated.append(code)

    calls: list[Any] = [activate(shuffled[:20]), *map(activate_one, shuffled[20:])]
    if whole_batch:
        calls.insert(1, cancel_batch())
        calls.append(cancel_batch())
    else:
        calls += [cancel(shuffled[10:30]), cancel(shuffled[25:]), cancel(shuffled[:15])]
    await asyncio.gather(*calls)
    assert len(cancelled) == len(set(cancelled))
    assert not set(cancelled) & set(activated)
    rows = await market.sql("SELECT ticket_code, state FROM tickets")
    assert sorted(rows) == sorted(
        [(code, "VOIDED") for code in cancelled] + [(code, "ACTIVE") for code in activated]
    )
    assert await market.sold() == TICKETS - len(cancelled)
    assert await market.contradictions() == []
    assert_invariants(module_database_url)


async def test_one_request_id_gives_back_once(market: Market, clients: list[PartnerClient]) -> None:
    """Seen red: without the stored answer the second finds them VOIDED, and says so."""
    codes = await clients[0].codes(5)
    answers = await asyncio.gather(
        *(clients[index % 2].cancel(codes, request_id="c") for index in range(10))
    )
    assert {answer.cancelled_count for answer in answers} == {5}
    assert await market.sold() == 0


async def test_reassigned_by_several_at_once(
    market: Market,
    clients: list[PartnerClient],
    module_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A ticket that is cancelled or sold meanwhile keeps the line of sale it had; each other one
    has that of its distributor, whoever came last. All meet between the lock and the write.

    Seen red: without FOR NO KEY UPDATE in LOCK the rows that REASSIGN counts are too few, INTERNAL.
    """
    with_line = unsold_tickets._with_line

    async def slowly(*arguments: Any, **options: Any) -> Any:
        await asyncio.sleep(0.1)
        return await with_line(*arguments, **options)

    monkeypatch.setattr(unsold_tickets, "_with_line", slowly)
    for name, commission in (("A", 100), ("B", 2_000), ("C", 300)):
        await clients[0].distributor(name, commission_basis_points=commission)
    batch = await clients[0].batch(TICKETS, distributor_id="A")
    codes = [ticket.ticket_code for ticket in batch.tickets]
    sales = [(code, customer(), payment()) for code in codes[::4]]
    answers = await asyncio.gather(
        clients[0].reassign(codes[:30], "B"),
        clients[1].reassign([], "C", batch_id=batch.batch_id),
        clients[0].activate_many(sales),
        clients[1].cancel(codes[1::4]),
        clients[0].reassign(random.Random(3).sample(codes, TICKETS), "B"),
    )
    assert answers[3].cancelled_count == len(codes[1::4])
    assert all(verdict.activated for verdict in answers[2].verdicts)
    wrong = await market.sql(
        "SELECT ticket_code FROM tickets JOIN snapshots USING (snapshot_id)"
        " WHERE content -> 'line_of_sale' -> -1 ->> 'distributor_id' <> distributor_id"
    )
    assert wrong == []
    listed = [await clients[0].listed(distributor_id=name) for name in "ABC"]
    assert sorted(code for each in listed for code in each) == codes
    assert await market.contradictions() == []
    assert_invariants(module_database_url)


async def test_cancelled_while_their_reservation_is_used_and_ends(
    market: Market, clients: list[PartnerClient], module_database_url: str
) -> None:
    """Whatever comes first, what was held is returned or sold once, and nobody meets a deadlock.

    Seen red with the reservations locked after the tickets: PostgreSQL reports deadlocks.
    """
    one, two = clients
    for attempt in range(6):
        made = await one.reserve(TICKETS)
        codes = await one.codes(TICKETS, reservation_id=made.reservation_id)
        some = random.Random(attempt).sample(codes, TICKETS)
        await asyncio.gather(
            *(
                refusal_or_none(call)
                for call in (
                    two.cancel(some[:15]),
                    one.activate_many([(code, customer(), payment()) for code in some[10:25]]),
                    one.cancel(some[20:30]),
                    two.release(made.reservation_id),
                )
            )
        )
        await market.until("SELECT NOT EXISTS (SELECT FROM reservations WHERE voids_pending)")
    assert await market.contradictions() == []
    assert_invariants(module_database_url)
    await market.sql("SELECT pg_stat_force_next_flush()")
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert await market.value(deadlocks) == 0
