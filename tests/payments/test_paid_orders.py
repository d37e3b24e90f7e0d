"""Notices that are handled together: each order as if it had been alone, whatever the others
of its transaction are.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from deeptravel.ticketing.v1 import refund_pb2
from structlog.testing import capture_logs

from server.orders import orders
from server.payments import payments
from server.payments.notices import NOTICE
from server.payments.order_tickets import OrderTickets
from server.payments.payments import StoredNotice
from server.payments.settlement import PaymentMade
from server.platform import outbox
from server.platform.batching import Batcher
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.pipeline import PipelineConnection
from server.platform.statements import run
from tests.support.invariants import broken
from tests.support.paying import PaymentScenario, a_scenario, envelope, transaction
from tests.support.traveller import SECOND, passenger

UNDONE = "SELECT count(*) FROM outbox_tasks WHERE kind = 'notice' AND state <> 'DONE'"
PAID = "SELECT count(*) FROM orders WHERE state = 'PAID'"


@pytest.fixture(scope="module")
async def filled_scenario(
    module_database_url: str, module_redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[PaymentScenario]:
    async with a_scenario(
        module_database_url,
        module_redis_url,
        tmp_path_factory.mktemp("wechat"),
        seats=200,
        max_per_traveller=200,
    ) as seeded:
        yield seeded


@pytest.fixture
async def scenario(filled_scenario: PaymentScenario) -> AsyncIterator[PaymentScenario]:
    yield filled_scenario
    await filled_scenario.sound()
    await filled_scenario.wechat.begin_again()


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many orders each transaction paid; none if there was no order to be paid in it."""
    sizes: list[int] = []
    transact = Batcher._transact

    async def counted(
        batcher: Any, pipeline: PipelineConnection, units: list[Any], *, skip_locked: bool
    ) -> Any:
        outcomes = await transact(batcher, pipeline, units, skip_locked=skip_locked)
        paid = [outcome for outcome in outcomes if isinstance(outcome, PaymentMade)]
        sizes.extend([len(paid)] if paid else [])
        return outcomes

    monkeypatch.setattr(Batcher, "_transact", counted)
    return sizes


async def asked(scenario: PaymentScenario, quantity: int, **fields: Any) -> list[tuple[Any, str]]:
    """Orders of one passenger, 200.00, whose payments wait; each with its out_trade_no."""
    found = []
    for _ in range(quantity):
        order = await scenario.client.order(
            scenario.world.seat(), passengers=[passenger()], **fields
        )
        found.append((order, str((await scenario.create(order)).payment.out_trade_no)))
    return found


def paid_notice(
    scenario: PaymentScenario, number: str, *, notice_id: str = "", **changes: Any
) -> bytes:
    content = transaction(scenario, number, **{"total": 20_000} | changes)
    return envelope(scenario, content, number=notice_id or f"EV-{number}")


async def tell_at_once(
    scenario: PaymentScenario, bodies: dict[str, bytes], *, quiet: bool = False
) -> None:
    """Notices that are there at one moment, so that one look finds them all; waits until they
    are handled.
    """
    now = datetime.now(UTC)
    db = Database(load_settings(), scenario.database_url)
    received = [StoredNotice(name, "", body, {}, now) for name, body in bodies.items()]
    async with db.transaction() as tx:
        await run(tx, payments.store_notices(received))
        asks = [outbox.NewTask(NOTICE, name, {}, now) for name in bodies]
        await run(tx, outbox.enqueue(*asks, now=now))
    await db.close()
    if not quiet:
        await scenario.idle_of("notice")


async def test_many_orders_share_a_transaction(
    scenario: PaymentScenario, batches: list[int]
) -> None:
    """And whoever is at another of them does not hold them up."""
    waiting = await asked(scenario, 30)
    bodies = {f"EV-{n}": paid_notice(scenario, number) for n, (_, number) in enumerate(waiting)}
    await tell_at_once(scenario, bodies)
    assert sum(batches) == 30
    assert max(batches) > 10
    assert await scenario.world.value(PAID) == 30
    assert await scenario.world.value(UNDONE) == 0
    assert await scenario.world.stock() == (200, 0, 30)
    for order, _ in waiting:
        ((state, name, seat, amount, place),) = await scenario.tickets(order)
        assert (state, name, amount, place) == ("ACTIVE", "张三", 20_000, 0)
        assert seat
    moves = await scenario.world.sql("SELECT sequence, event, actor FROM order_events")
    assert moves == [(2, "order.paid", "system")] * 30
    tries = await scenario.world.sql(
        "SELECT DISTINCT attempts, lease_until FROM outbox_tasks WHERE kind = 'notice'"
    )
    assert tries == [(1, None)]


async def test_what_is_unusual_among_what_is_usual(
    scenario: PaymentScenario, batches: list[int]
) -> None:
    """Each as it is alone: late, twice, another amount, a change, a second payment, a refund,
    unknown, unreadable.
    """
    usual = await asked(scenario, 5)
    ((twice, twice_number),) = await asked(scenario, 1)
    ((again, first),) = await asked(scenario, 1)
    await scenario.world.sql("UPDATE payments SET state = 'CLOSED' WHERE out_trade_no = %s", first)
    second = str((await scenario.create(again)).payment.out_trade_no)
    ((misfit, misfit_number),) = await asked(scenario, 1)
    ((late, late_number),) = await asked(scenario, 1)
    await scenario.wechat.switch(down={"close": -1, "query": -1})
    await scenario.world.expire(late.order_id)
    await scenario.until_state(late, "CANCELLED")
    bodies = {f"EV-{number}": paid_notice(scenario, number) for _, number in usual}
    bodies |= {f"EV-T{n}": paid_notice(scenario, twice_number) for n in range(3)}
    bodies |= {
        f"EV-A{n}": paid_notice(scenario, number) for n, number in enumerate((first, second))
    }
    bodies["EV-M"] = paid_notice(scenario, misfit_number, total=19_999)
    bodies["EV-L"] = paid_notice(scenario, late_number)
    bodies["EV-U"] = paid_notice(scenario, "DT1P1")
    bodies["EV-N"] = paid_notice(scenario, misfit_number, trade_state="NOTPAY")
    refund = {
        "out_trade_no": "DT1P1",
        "transaction_id": "42",
        "out_refund_no": "DT1R1S1",
        "refund_id": "50",
        "refund_status": "SUCCESS",
        "amount": {"total": 1, "refund": 1},
    }
    bodies["EV-R"] = envelope(scenario, refund, event="REFUND.SUCCESS")
    bodies["EV-X"] = b"{}"
    await tell_at_once(scenario, bodies)
    for order in (*(order for order, _ in usual), twice, again, late):
        assert len(await scenario.tickets(order)) == 1
    assert await scenario.tickets(misfit) == []
    assert 0 < sum(batches) <= 7  # the late one is not among them
    assert await scenario.incidents() == [
        *("AMOUNT_MISMATCH", "REFUND_UNKNOWN", "SECOND_PAYMENT", "UNKNOWN_ORDER")
    ]
    assert [cause for _, cause, _ in await scenario.refunds(again)] == ["LATE_PAYMENT"]
    not_done = "SELECT key, state FROM outbox_tasks WHERE kind = 'notice' AND state <> 'DONE'"
    assert await scenario.world.sql(not_done) == [("EV-X", "DEAD")]
    (seen,) = broken(scenario.database_url)
    assert seen.examples[0][0] == "notice EV-X"
    await scenario.world.sql("DELETE FROM notices WHERE notice_id = 'EV-X'")
    assert await scenario.world.stock() == (200, 1, 8)


async def test_a_change_among_what_is_usual(scenario: PaymentScenario, batches: list[int]) -> None:
    first = await scenario.client.order(
        scenario.world.seat(fare_class=SECOND), passengers=[passenger()]
    )
    await scenario.pay(first)
    await scenario.paid(first)
    code = await scenario.world.value("SELECT ticket_code FROM tickets")
    quote = await scenario.client.call(
        "QuoteChange",
        refund_pb2.QuoteChangeRequest(ticket_code=code, offer_id=scenario.world.seat()),
    )
    request = refund_pb2.ChangeTicketRequest(
        ticket_code=code, change_quote=quote.change_quote, request_id="change-1"
    )
    changed = (await scenario.client.call("ChangeTicket", request)).order
    payment = (await scenario.create(changed)).payment
    usual = await asked(scenario, 3)
    batches.clear()
    bodies = {f"EV-{number}": paid_notice(scenario, number) for _, number in usual}
    number = str(payment.out_trade_no)
    bodies["EV-C"] = paid_notice(scenario, number, total=payment.amount_minor)
    await tell_at_once(scenario, bodies)
    assert sum(batches) == 3
    assert [state for state, *_ in await scenario.tickets(first)] == ["CHANGED"]
    assert [state for state, *_ in await scenario.tickets(changed)] == ["ACTIVE"]
    assert await scenario.world.stock() == (200, 0, 4)


async def test_one_whose_order_somebody_is_at_does_not_hold_up_the_others(
    scenario: PaymentScenario, batches: list[int]
) -> None:
    (busy, *others) = await asked(scenario, 4)
    db = Database(load_settings(), scenario.database_url)
    bodies = {f"EV-{number}": paid_notice(scenario, number) for _, number in (busy, *others)}
    async with db.transaction() as tx:
        found = await scenario.world.value(
            "SELECT order_id FROM orders WHERE order_code = %s", busy[0].order_id
        )
        assert await orders.lock_order(tx, found)
        await tell_at_once(scenario, bodies, quiet=True)
        await scenario.world.until(f"SELECT ({PAID}) = 3")
        assert await scenario.tickets(busy[0]) == []
    await scenario.paid(busy[0])
    await scenario.idle_of("notice")
    await db.close()
    assert batches == [3, 1]  # the busy one in a later batch, when it was free


async def test_one_that_cannot_be_paid_does_not_spoil_the_others(
    scenario: PaymentScenario, batches: list[int]
) -> None:
    """Its batch does nothing, then each is handled alone. Seen red: without that nobody is
    paid.
    """
    (spoilt, *others) = await asked(scenario, 4)
    await scenario.world.sql(
        "UPDATE orders SET passengers_sealed = '\\x00' WHERE order_code = %s", spoilt[0].order_id
    )
    bodies = {f"EV-{number}": paid_notice(scenario, number) for _, number in (spoilt, *others)}
    with capture_logs() as logs:
        await tell_at_once(scenario, bodies, quiet=True)
        await scenario.world.until(f"SELECT ({PAID}) = 3")
        await scenario.world.until(f"SELECT ({UNDONE}) = 1")
    assert "paid_orders.failed" in [line["event"] for line in logs]
    assert batches == []
    assert await scenario.tickets(spoilt[0]) == []
    failed = "SELECT last_error IS NOT NULL AND state = 'OPEN' FROM outbox_tasks WHERE key = %s"
    await scenario.world.until(failed, f"EV-{spoilt[1]}")


@pytest.mark.parametrize("at", ["the writing", "the commit"])
async def test_a_fault_leaves_nothing_of_a_batch(
    scenario: PaymentScenario, batches: list[int], monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """What fails together is done alone afterwards."""
    waiting = await asked(scenario, 5)
    seen: list[int] = []
    together: list[PipelineConnection] = []
    writing, go, transact = OrderTickets.create, PipelineConnection.round_trip, Batcher._transact

    async def noted(batcher: Any, pipeline: PipelineConnection, units: Any, **how: Any) -> Any:
        together.append(pipeline)
        try:
            return await transact(batcher, pipeline, units, **how)
        finally:
            together.remove(pipeline)

    def break_off(rows: OrderTickets, now: datetime) -> Any:
        if len(rows.tickets) > 1:
            raise RuntimeError
        return writing(rows, now)

    async def fail_the_commit(
        pipeline: PipelineConnection, statements: Any, *, commit: bool = False
    ) -> Any:
        if commit and pipeline in together:
            await go(pipeline, statements)
            seen.append(await scenario.world.value(PAID))
            raise RuntimeError
        return await go(pipeline, statements, commit=commit)

    if at == "the writing":
        monkeypatch.setattr(OrderTickets, "create", break_off)
    else:
        monkeypatch.setattr(Batcher, "_transact", noted)
        monkeypatch.setattr(PipelineConnection, "round_trip", fail_the_commit)
    await tell_at_once(
        scenario, {f"EV-{number}": paid_notice(scenario, number) for _, number in waiting}
    )
    assert batches == []
    assert set(seen) == ({0} if at == "the commit" else set())
    assert await scenario.world.value(PAID) == 5
    assert await scenario.world.value("SELECT count(*) FROM tickets") == 5
    assert await scenario.world.stock() == (200, 0, 5)


async def test_a_lease_that_is_lost_within_a_batch(
    scenario: PaymentScenario, batches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who lost it does nothing; who has it now will. Seen red: without lock_leases nobody of the
    batch is paid.
    """
    waiting = await asked(scenario, 5)
    lost = f"EV-{waiting[2][1]}"
    transact = Batcher._transact
    taken = asyncio.Event()

    async def too_late(batcher: Any, *given: Any, skip_locked: bool) -> Any:
        if not taken.is_set():
            taken.set()
            await scenario.world.sql(
                "UPDATE outbox_tasks SET lease_until = now() + interval '1 hour', attempts ="
                " attempts + 1 WHERE key = %s",
                lost,
            )
        return await transact(batcher, *given, skip_locked=skip_locked)

    monkeypatch.setattr(Batcher, "_transact", too_late)
    bodies = {f"EV-{number}": paid_notice(scenario, number) for _, number in waiting}
    with capture_logs() as logs:
        await tell_at_once(scenario, bodies, quiet=True)
        await scenario.world.until(f"SELECT ({PAID}) = 4")
        while "outbox.lost" not in [line["event"] for line in logs]:  # noqa: ASYNC110 - of the log
            await asyncio.sleep(0.01)
    assert batches == [4]
    assert await scenario.tickets(waiting[2][0]) == []
    assert await scenario.world.sql(
        "SELECT state, attempts FROM outbox_tasks WHERE key = %s", lost
    ) == [("OPEN", 2)]
    await scenario.world.sql("UPDATE outbox_tasks SET lease_until = now() WHERE key = %s", lost)
    await scenario.paid(waiting[2][0])
