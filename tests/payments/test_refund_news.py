"""News of refunds that are taken in together: each refund as if it had been alone, whatever the
others of its transaction are.
"""

import asyncio
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from server.orders.orders import order_number
from server.payments import refunds
from server.platform import outbox
from server.platform.batching import Batcher
from server.platform.database import Database
from server.platform.outbox import NewTask
from server.platform.pipeline import PipelineConnection
from server.platform.statements import run
from server.wechat.codec import WechatRefund
from tests.support.order_scenario import (
    FakeWechat,
    OrderScenario,
    give_back,
    outstanding,
    states,
)
from tests.support.traveller import TravellerClient, World, party

DEPARTURES = 3
"""Of `filled_world`."""
OPEN = "SELECT array_agg(key ORDER BY key) FROM outbox_tasks WHERE state = 'OPEN'"
SETTLED = "SELECT count(*) FROM order_events WHERE event = 'payment.refunded'"


class GatheringWechat(FakeWechat):
    """Answers when so many have asked, at one moment."""

    def __init__(self) -> None:
        super().__init__()
        self.gather(0)

    def gather(self, callers: int) -> None:
        """From now on, once."""
        self._callers, self._arrived, self._all = callers, 0, asyncio.Event()

    async def refund(self, **asked: Any) -> WechatRefund:
        answer = await super().refund(**asked)
        await self._gather()
        return answer

    async def query_refund(self, out_refund_no: str) -> WechatRefund | None:
        answer = await super().query_refund(out_refund_no)
        await self._gather()
        return answer

    async def _gather(self) -> None:
        self._arrived += 1
        if self._arrived == self._callers:
            self._all.set()
        if self._arrived <= self._callers:
            await self._all.wait()


@pytest.fixture
def scenario(world: World, module_scenario: OrderScenario) -> OrderScenario:
    scenario = module_scenario.again()
    scenario.wechat = GatheringWechat()
    return scenario


def gather(scenario: OrderScenario, callers: int) -> None:
    """Has the next so many answers come at one moment."""
    assert isinstance(scenario.wechat, GatheringWechat)
    scenario.wechat.gather(callers)


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many news each transaction took in; none if it took in none."""
    sizes: list[int] = []
    transact = Batcher._transact

    async def counted(
        batcher: Any, pipeline: PipelineConnection, units: list[Any], *, skip_locked: bool
    ) -> Any:
        outcomes = await transact(batcher, pipeline, units, skip_locked=skip_locked)
        taken_in = [outcome for outcome in outcomes if outcome is True]
        sizes.extend([len(taken_in)] if taken_in else [])
        return outcomes

    monkeypatch.setattr(Batcher, "_transact", counted)
    return sizes


async def asked(
    world: World, client: TravellerClient, scenario: OrderScenario, count: int
) -> dict[str, str]:
    """Orders of one ticket, of one departure after the other, whose money is asked back: the number
    at WeChat, and the order's.
    """
    found = {}
    for number in range(count):
        offer = world.seat(number % DEPARTURES + 1)
        order = await scenario.sell(client, offer, passengers=party(1))
        await give_back(client, order.order_id)
        found[f"DT{order_number(order.order_id)}R1S1"] = order.order_id
    gather(scenario, count)
    return found


async def ticket_states(client: TravellerClient, found: dict[str, str]) -> list[str]:
    """In the order of the orders."""
    return [state for code in found.values() for state in await states(client, code)]


async def test_what_becomes_of_each_is_its_own(
    world: World, client: TravellerClient, scenario: OrderScenario, batches: list[int]
) -> None:
    found = await asked(world, client, scenario, 6)
    one, two, three, four, five, six = found
    scenario.wechat.states = {
        one: "SUCCESS",
        two: "PROCESSING",
        three: "CLOSED",
        four: "ABNORMAL",
        five: "SUCCESS",
        six: "WHATEVER",
    }
    await scenario.drain()
    assert await ticket_states(client, found) == [
        *("REFUNDED", "REFUNDING", "ACTIVE", "REFUNDING", "REFUNDED", "REFUNDING"),
    ]
    assert batches == [5], "what is closed locks more, and is alone"
    kinds = await world.sql("SELECT kind FROM payment_incidents ORDER BY kind")
    assert [kind for (kind,) in kinds] == ["REFUND_ABNORMAL", "REFUND_MISMATCH"]
    # a notice is waited for; a number that WeChat does not close is asked under again
    assert two in await world.value(OPEN)
    assert await world.value(SETTLED) == 2


async def test_one_that_fails_fails_alone(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    """Seen red: without the second try all of the transaction failed with it."""
    found = await asked(world, client, scenario, 3)
    _, two, _ = found
    move = "UPDATE tickets SET state = %s WHERE order_id = %s"
    await world.sql(move, "ACTIVE", order_number(found[two]))
    with capture_logs() as logs:
        await scenario.drain()
    assert await ticket_states(client, found) == ["REFUNDED", "ACTIVE", "REFUNDED"]
    assert [each["event"] for each in logs if each["event"] == "outbox.failed"] == ["outbox.failed"]
    assert await world.value(OPEN) == [two]
    await world.sql(move, "REFUNDING", order_number(found[two]))
    scenario.forward(minutes=1)
    await scenario.drain()
    assert await ticket_states(client, found) == ["REFUNDED"] * 3
    assert await outstanding(scenario) == 0


@pytest.mark.parametrize(
    "row",
    [
        "orders WHERE order_id = {order}",
        "tickets WHERE order_id = {order}",
        "stocks WHERE stock_id = {stock}",
    ],
)
async def test_one_that_is_locked_holds_up_no_other(
    world: World, client: TravellerClient, scenario: OrderScenario, batches: list[int], row: str
) -> None:
    """Seen red without the `skip_locked` of each: all waited for the lock, and were then taken in
    one by one.
    """
    found = await asked(world, client, scenario, 3)
    _, two, _ = found
    where = row.format(order=order_number(found[two]), stock=world.stock_id(2))
    async with scenario.db.transaction() as tx:
        await tx.execute(text(f"SELECT FROM {where} FOR UPDATE"))
        draining = asyncio.create_task(scenario.drain())
        await world.until("SELECT count(*) = 2 FROM refunds WHERE state = 'SUCCEEDED'")
        assert await ticket_states(client, found) == ["REFUNDED", "REFUNDING", "REFUNDED"]
        assert batches == [2]
    await draining
    assert await ticket_states(client, found) == ["REFUNDED"] * 3
    assert await outstanding(scenario) == 0


async def test_twice_at_once_is_once(
    world: World, client: TravellerClient, scenario: OrderScenario, batches: list[int]
) -> None:
    """Two answers of one refund come together, among those of others: it is settled by the first.

    Seen red without the look for another of its refund.
    """
    scenario.wechat.state = "PROCESSING"
    found = await asked(world, client, scenario, 3)
    await scenario.drain()
    scenario.wechat.state = "SUCCESS"
    scenario.forward(minutes=2)
    batches.clear()
    async with scenario.db.transaction() as tx:
        again = [NewTask(refunds.SEND, number, {}, scenario.clock()) for number in found]
        await run(tx, outbox.enqueue(*again, now=scenario.clock()))
    gather(scenario, 2 * len(found))
    await scenario.drain()
    assert await ticket_states(client, found) == ["REFUNDED"] * 3
    assert batches == [3, 3]
    assert await world.value(SETTLED) == 3
    assert await world.value("SELECT count(*) FROM payment_incidents") == 0
    assert await outstanding(scenario) == 0


class LosingWechat(GatheringWechat):
    """While it answers, another process takes the task of one refund."""

    db: Database
    lost: str

    async def refund(self, **asked: Any) -> Any:
        if asked["out_refund_no"] == self.lost and self.lost not in self.known:
            async with self.db.transaction() as tx:
                taken = outbox.outbox_tasks.c
                await tx.execute(
                    outbox.outbox_tasks.update()
                    .where(taken.key == self.lost)
                    .values(lease_until=taken.due_time)
                )
        return await super().refund(**asked)


async def test_who_lost_the_lease_writes_nothing(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    """Seen red: without the look at the leases it was written, and the task done again later."""
    found = await asked(world, client, scenario, 3)
    _, two, _ = found
    scenario.wechat = losing = LosingWechat()
    losing.db, losing.lost = scenario.db, two
    losing.gather(3)
    await scenario.drain()
    assert await ticket_states(client, found) == ["REFUNDED"] * 3
    assert losing.asked.count(two) == 2, "the second time by whoever took it"
    assert await world.value(SETTLED) == 3
    assert await outstanding(scenario) == 0
