"""Refunds in parts, and those that WeChat was not to be reached about: each has somebody at it,
and is paid once.
"""

from typing import Any

import pytest

from server.payments import abnormal_refunds
from server.payments.refund_news import RefundNews
from server.payments.tasks import MOST_ATTEMPTS, refund_kinds, watch_refunds
from server.platform.errors import DomainError, Reason
from server.platform.task_worker import TaskWorker
from tests.support.gate_server import GateServer
from tests.support.order_scenario import (
    REFUND_STATE,
    OrderScenario,
    give_back,
    outstanding,
    states,
)
from tests.support.refund_client import (
    ABNORMAL,
    CLOSED,
    SUCCEEDED,
    AdminClient,
    an_admin_client,
    in_two_parts,
)
from tests.support.rpc_server import refusal
from tests.support.traveller import TravellerClient, World, party

AWAY = DomainError(Reason.PAYMENT_PROVIDER_UNAVAILABLE, "WeChat is away", retry_seconds=5)


@pytest.fixture
async def admin_client(world: World, server: GateServer) -> AdminClient:
    return await an_admin_client(world, server.channel)


async def incidents(world: World) -> list[str]:
    rows = await world.sql("SELECT kind FROM payment_incidents ORDER BY create_time, kind")
    return [kind for (kind,) in rows]


async def test_by_hand_is_only_what_is_abnormal(
    world: World, client: TravellerClient, scenario: OrderScenario, admin_client: AdminClient
) -> None:
    """Seen red: without the look for PROCESSING parts it was settled by hand while WeChat was still
    paying.
    """
    order, number = await in_two_parts(world, client, scenario)
    first, second = f"DT{number}R1S1", f"DT{number}R1S2"
    scenario.wechat.states = {first: "ABNORMAL", second: "PROCESSING"}
    refund = await give_back(client, order.order_id)
    await scenario.drain()
    named = {"refund_id": refund.refund_id}
    found = (await admin_client.do("GetRefund", **named)).refund
    assert [(part.out_refund_no, REFUND_STATE[part.state]) for part in found.parts] == [
        (first, "ABNORMAL"),
        (second, "PROCESSING"),
    ]
    assert sum(part.amount_minor for part in found.parts) == found.amount_minor
    assert found.parts[0].out_trade_no == f"DT{number}P1"
    assert found.parts[1].out_trade_no != f"DT{number}P1"
    assert all(part.wechat_refund_id and part.wechat_create_time.seconds for part in found.parts)
    (listed,) = (await admin_client.do("ListRefunds", state=ABNORMAL)).refunds
    assert listed == found
    (facts,) = [row[0] for row in await world.sql("SELECT facts FROM payment_incidents")]
    assert facts["left_minor"] == found.parts[0].amount_minor
    assert [part["out_refund_no"] for part in facts["parts"]] == [first]
    assert [part["out_refund_no"] for part in facts["processing"]] == [second]
    for state in (SUCCEEDED, CLOSED):
        refused = await refusal(
            admin_client.do("SettleRefund", state=state, comment="cash", **named)
        )
        assert (refused.reason, refused.metadata["why"]) == (
            Reason.REFUND_REFUSED,
            "PART_PROCESSING",
        )
    assert await scenario.notice(second, "SUCCESS") == "SUCCEEDED"
    refused = await refusal(admin_client.do("SettleRefund", state=CLOSED, comment="no", **named))
    assert refused.metadata["why"] == "PART_SUCCEEDED"
    settled = (
        await admin_client.do("SettleRefund", state=SUCCEEDED, comment="cash", **named)
    ).refund
    assert [(REFUND_STATE[p.state], REFUND_STATE[p.wechat_state]) for p in settled.parts] == [
        ("SUCCEEDED", "ABNORMAL"),
        ("SUCCEEDED", "SUCCEEDED"),
    ]
    assert await states(client, order.order_id) == ["REFUNDED"]


async def test_each_part_that_becomes_abnormal_is_an_incident(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    order, number = await in_two_parts(world, client, scenario)
    scenario.wechat.state = "PROCESSING"
    refund = await give_back(client, order.order_id)
    await scenario.drain()
    for part in (1, 2):
        assert await scenario.notice(f"DT{number}R1S{part}", "ABNORMAL") == "ABNORMAL"
    left = "SELECT (facts ->> 'left_minor')::int FROM payment_incidents ORDER BY 1"
    ((one,), (both,)) = await world.sql(left)
    assert (both, one < both) == (refund.amount_minor, True)


async def test_travellers_see_no_parts(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    order = await scenario.sell(client, world.seat(), passengers=party(1))
    assert not (await give_back(client, order.order_id)).parts


async def test_what_was_settled_by_hand_and_comes_from_wechat_too(
    world: World, client: TravellerClient, scenario: OrderScenario, admin_client: AdminClient
) -> None:
    """One incident is opened; what is settled stays."""
    order = await scenario.sell(client, world.seat(), passengers=party(1))
    scenario.wechat.state = "ABNORMAL"
    refund = await give_back(client, order.order_id)
    await scenario.drain()
    named = {"refund_id": refund.refund_id, "state": SUCCEEDED, "comment": "cash"}
    await admin_client.do("SettleRefund", **named)
    (number,) = scenario.wechat.known
    for _ in range(2):
        assert await scenario.notice(number, "SUCCESS") == "SUCCEEDED"
    assert await incidents(world) == ["REFUND_ABNORMAL", "REFUND_TWICE"]


# WeChat away


async def test_refunds_are_tried_as_long_as_payments(
    world: World, client: TravellerClient, scenario: OrderScenario, admin_client: AdminClient
) -> None:
    """Seen red: with twenty attempts it ended before; without `on_give_up` it was PROCESSING for
    ever, on no list.
    """
    order = await scenario.sell(client, world.seat(), passengers=party(1))
    scenario.wechat.fault = AWAY
    await give_back(client, order.order_id)
    for _ in range(30):
        await scenario.drain()
        scenario.forward(minutes=15)
    assert len(scenario.wechat.asked) == 30
    assert await outstanding(scenario) == 1
    # the rest of two days and more
    await world.sql("UPDATE outbox_tasks SET attempts = %s", MOST_ATTEMPTS - 1)
    await scenario.drain()
    assert await outstanding(scenario) == 0
    (refund,) = (await admin_client.do("ListRefunds", state=ABNORMAL)).refunds
    assert not refund.parts[0].wechat_state, "WeChat never answered"
    assert await incidents(world) == ["REFUND_ABNORMAL", "REFUND_GIVEN_UP"]
    dead = (
        "SELECT state, last_error LIKE 'PAYMENT_PROVIDER_UNAVAILABLE%%' FROM outbox_tasks"
        " WHERE kind = 'refund.send'"
    )
    assert await world.sql(dead) == [("DEAD", True)]
    # it got there after all, and that is settled right
    scenario.wechat.fault = None
    await scenario.wechat.refund(
        out_trade_no=refund.parts[0].out_trade_no,
        out_refund_no=refund.parts[0].out_refund_no,
        refund_minor=refund.amount_minor,
        total_minor=20_000,
        currency_code="CNY",
        reason="",
    )
    assert await scenario.notice(refund.parts[0].out_refund_no, "SUCCESS") == "SUCCEEDED"
    assert await states(client, order.order_id) == ["REFUNDED"]
    # when it was taken on a notice does not say: WeChat is asked
    assert await scenario.drain() == 1
    found = (await admin_client.do("GetRefund", refund_id=refund.refund_id)).refund
    assert found.parts[0].wechat_create_time.seconds
    assert await outstanding(scenario) == 0


async def test_a_query_that_is_given_up(
    world: World, client: TravellerClient, scenario: OrderScenario, admin_client: AdminClient
) -> None:
    order = await scenario.sell(client, world.seat(), passengers=party(1))
    scenario.wechat.state = "PROCESSING"
    refund = await give_back(client, order.order_id)
    await scenario.drain()
    scenario.wechat.fault = AWAY
    scenario.forward(minutes=2)
    await world.sql("UPDATE outbox_tasks SET attempts = %s", MOST_ATTEMPTS)
    await scenario.drain()
    assert await incidents(world) == ["REFUND_ABNORMAL", "REFUND_GIVEN_UP"]
    # WeChat is back, and has not settled it yet: somebody is at it again
    scenario.wechat.fault = None
    await admin_client.do("RetryRefund", refund_id=refund.refund_id)
    await scenario.drain()
    assert await outstanding(scenario) == 1
    scenario.wechat.state = "SUCCESS"
    scenario.forward(minutes=20)
    await scenario.drain()
    assert await states(client, order.order_id) == ["REFUNDED"]


async def test_a_dead_task_that_is_replayed_looks_what_became_of_it(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    order = await scenario.sell(client, world.seat(), passengers=party(1))
    scenario.wechat.fault = AWAY
    await give_back(client, order.order_id)
    await scenario.drain()
    await world.sql("UPDATE outbox_tasks SET attempts = %s", MOST_ATTEMPTS)
    scenario.forward(minutes=15)
    await scenario.drain()
    scenario.wechat.fault = None
    asked = len(scenario.wechat.asked)
    replayed = (
        "UPDATE outbox_tasks SET state = 'OPEN', attempts = 0, due_time = now()"
        " WHERE state = 'DEAD'"
    )
    await world.sql(replayed)
    await scenario.drain()
    assert await states(client, order.order_id) == ["REFUNDING"], "WeChat has none of this number"
    assert len(scenario.wechat.asked) == asked, "money is asked for again by RetryRefund alone"


async def test_nothing_is_processing_without_somebody_at_it(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    """As what an earlier release left behind: its task is dead."""
    order = await scenario.sell(client, world.seat(), passengers=party(1))
    scenario.wechat.fault = AWAY
    await give_back(client, order.order_id)
    await scenario.drain()
    await world.sql("UPDATE outbox_tasks SET state = 'DEAD', last_error = 'away'")
    scenario.wechat.fault = None
    for minutes, tasks in ((0, 0), (11, 1), (0, 1)):
        scenario.forward(minutes=minutes)
        async with scenario.db.transaction() as tx:
            asked = (await watch_refunds(tx, scenario.clock())).items
        assert asked == (1 if minutes else 0)
        assert await outstanding(scenario) == tasks
    await scenario.drain()
    assert await states(client, order.order_id) == ["REFUNDED"]


# To another account


async def sent(scenario: OrderScenario, number: int) -> None:
    """The first part of a refund is about to be sent to another account, by a process that is
    killed just then.
    """

    async def begin(tx: Any) -> Any:
        return await abnormal_refunds.begin_sending(
            tx,
            number,
            1,
            "",
            account="USER_BANK_CARD",
            request="r",
            actor="admin:root",
            now=scenario.clock(),
        )

    await scenario.db.in_transaction(begin)


async def test_killed_between_asking_and_answer(
    world: World, client: TravellerClient, scenario: OrderScenario, admin_client: AdminClient
) -> None:
    """WeChat was not asked: the part is ABNORMAL again. It was: it is settled as WeChat says.

    Seen red: with a late notice of before believed, the part was ABNORMAL while WeChat was at it.
    """
    order = await scenario.sell(client, world.seat(), passengers=party(1))
    scenario.wechat.state = "ABNORMAL"
    refund = await give_back(client, order.order_id)
    await scenario.drain()
    number = int(await world.value("SELECT order_id FROM refunds"))
    await sent(scenario, number)
    named = {"refund_id": refund.refund_id}
    refused = await refusal(
        admin_client.do("SettleRefund", state=SUCCEEDED, comment="cash", **named)
    )
    assert refused.reason == Reason.REFUND_REFUSED
    # the notice of before, which comes late, is not believed
    assert await scenario.notice(f"DT{number}R1S1", "ABNORMAL") == "PROCESSING"
    scenario.forward(minutes=2)
    await scenario.drain()
    found = (await admin_client.do("GetRefund", **named)).refund
    assert REFUND_STATE[found.state] == "ABNORMAL"
    assert await incidents(world) == ["REFUND_ABNORMAL", "REFUND_ABNORMAL"]
    await sent(scenario, number)
    scenario.wechat.state = "SUCCESS"
    scenario.forward(minutes=2)
    await scenario.drain()
    assert await states(client, order.order_id) == ["REFUNDED"]
    assert await outstanding(scenario) == 0


async def test_a_give_up_and_a_settlement_at_once(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    """Whichever is first, the other finds it done: the notice comes while the last attempt is
    under way.
    """
    order = await scenario.sell(client, world.seat(), passengers=party(1))
    scenario.wechat.state = "PROCESSING"
    await give_back(client, order.order_id)
    await scenario.drain()
    ((number, _),) = scenario.wechat.known.items()
    scenario.forward(minutes=2)

    class Late:
        async def query_refund(self, _number: str) -> None:
            assert await scenario.notice(number, "SUCCESS") == "SUCCEEDED"
            raise AWAY

    late: Any = Late()
    await world.sql("UPDATE outbox_tasks SET attempts = %s", MOST_ATTEMPTS - 1)
    kinds = refund_kinds(scenario.db, late, RefundNews(scenario.db))
    await TaskWorker(scenario.db, kinds, clock=scenario.clock).drain()
    assert await states(client, order.order_id) == ["REFUNDED"]
    assert await incidents(world) == []
