"""CreatePayment, GetPayment and the log-in, against the simulator of WeChat."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from deeptravel.ticketing.v1 import order_pb2, payment_pb2

from server.platform.errors import Reason
from tests.support.changes import changes_are_seen
from tests.support.gate_server import gate_server
from tests.support.paying import PAYMENT_STATE, PaymentScenario, a_scenario
from tests.support.rpc_server import refusal
from tests.support.traveller import TravellerClient, a_world, passenger
from tools.dev.wechat_simulator.protocol import RefusedError


@pytest.fixture(scope="module")
async def filled_scenario(
    module_database_url: str, module_redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[PaymentScenario]:
    async with a_scenario(
        module_database_url, module_redis_url, tmp_path_factory.mktemp("wechat")
    ) as seeded:
        yield seeded


@pytest.fixture
async def scenario(filled_scenario: PaymentScenario) -> AsyncIterator[PaymentScenario]:
    yield filled_scenario
    await filled_scenario.sound()
    await filled_scenario.wechat.begin_again()


@pytest.fixture
async def order(scenario: PaymentScenario) -> Any:
    """Of two adults, 400.00."""
    return await scenario.client.order(scenario.world.seat())


def state(payment: Any) -> str:
    return PAYMENT_STATE[payment.state]


async def hurry(scenario: PaymentScenario, kind: str) -> None:
    """Makes tasks of a kind due now."""
    await scenario.world.sql("UPDATE outbox_tasks SET due_time = now() WHERE kind = %s", kind)


# Log-in


async def log_in(scenario: PaymentScenario, code: str) -> Any:
    return await scenario.client.stub.TravellerLogin(payment_pb2.TravellerLoginRequest(code=code))


async def test_a_traveller_logs_in_and_comes_back(scenario: PaymentScenario) -> None:
    first, again = await log_in(scenario, "carol#1"), await log_in(scenario, "carol#2")
    assert first.traveller_id == again.traveller_id
    assert first.expires_in_seconds == 7200
    metadata = (("authorization", f"Bearer {first.access_token}"),)
    listed = await scenario.client.stub.ListOrders(order_pb2.ListOrdersRequest(), metadata=metadata)
    assert not listed.orders


async def test_a_code_works_once(scenario: PaymentScenario) -> None:
    await log_in(scenario, "carol#1")
    assert (await refusal(log_in(scenario, "carol#1"))).reason is Reason.LOGIN_FAILED


async def test_no_log_in_without_wechat(scenario: PaymentScenario) -> None:
    await scenario.wechat.switch(down={"login": -1})
    found = await refusal(log_in(scenario, "carol"))
    assert found.reason is Reason.PAYMENT_PROVIDER_UNAVAILABLE
    assert found.retry_seconds


async def test_a_blocked_traveller_does_not_log_in(scenario: PaymentScenario) -> None:
    await scenario.world.sql("UPDATE travellers SET state = 'BLOCKED' WHERE traveller_id = 1")
    assert (await refusal(log_in(scenario, "alice"))).reason is Reason.REVOKED
    await scenario.world.sql("UPDATE travellers SET state = 'ACTIVE' WHERE traveller_id = 1")


async def test_log_ins_are_in_the_audit_trail(scenario: PaymentScenario) -> None:
    """Accepted and refused ones, without who somebody is in WeChat. Seen red on the code of
    before, which wrote nothing.
    """
    metadata = (("x-request-id", "log-ins"),)

    async def call(code: str) -> Any:
        request = payment_pb2.TravellerLoginRequest(code=code)
        return await scenario.client.stub.TravellerLogin(request, metadata=metadata)

    carol = (await call("carol#9")).traveller_id
    await refusal(call("carol#9"))
    await scenario.world.sql("UPDATE travellers SET state = 'BLOCKED' WHERE traveller_id = 1")
    await refusal(call("alice"))
    await scenario.world.sql("UPDATE travellers SET state = 'ACTIVE' WHERE traveller_id = 1")
    found = await scenario.world.sql(
        "SELECT actor, action, name, after ->> 'detail' FROM audit_events"
        " WHERE resource = 'sign_in' AND request_id = 'log-ins' ORDER BY occurred_time"
    )
    assert [tuple(row) for row in found] == [
        (f"traveller:{carol}", "sign_in", str(carol), None),
        ("(unknown)", "refuse_sign_in", "(unknown)", "WeChat refuses the code"),
        ("traveller:1", "refuse_sign_in", "1", "blocked"),
    ]


# CreatePayment


async def test_what_the_phone_needs_to_pay(
    scenario: PaymentScenario, order: order_pb2.Order
) -> None:
    created = await scenario.create(order)
    payment, sign = created.payment, created.pay_sign
    assert (state(payment), payment.amount_minor, payment.currency_code) == (
        "PENDING",
        40_000,
        "CNY",
    )
    assert payment.expire_time == order.lock_expire_time
    signed = {
        "appId": scenario.wechat.merchant.app_id,
        "timeStamp": sign.time_stamp,
        "nonceStr": sign.nonce_str,
        "package": sign.package,
        "signType": sign.sign_type,
        "paySign": sign.pay_sign,
    }
    transaction_id = scenario.wechat.pay(payment.out_trade_no, signed)
    await scenario.paid(order)
    paid = await scenario.payment(order)
    assert (state(paid), paid.transaction_id) == ("SUCCEEDED", transaction_id)
    assert paid.HasField("success_time")
    again = await scenario.create(order)
    assert again.payment == paid
    assert not again.HasField("pay_sign")


async def test_a_repeat_leads_to_the_same_payment(
    scenario: PaymentScenario, order: order_pb2.Order
) -> None:
    calls = await asyncio.gather(*(scenario.create(order) for _ in range(8)))
    assert len({call.payment.out_trade_no for call in calls}) == 1
    assert len({call.pay_sign.package for call in calls}) == 1
    assert await scenario.world.value("SELECT count(*) FROM payments") == 1


async def test_a_repeat_with_its_id_gets_the_first_answer(
    scenario: PaymentScenario, order: order_pb2.Order
) -> None:
    first = await scenario.create(order, "pay-1")
    assert await scenario.create(order, "pay-1") == first
    assert (await scenario.create(order, "pay-2")).pay_sign != first.pay_sign
    other = await scenario.client.order(scenario.world.package())
    assert (await refusal(scenario.create(other, "pay-1"))).reason is Reason.IDEMPOTENCY_MISMATCH


async def test_a_lost_answer_of_wechat(scenario: PaymentScenario, order: order_pb2.Order) -> None:
    await scenario.wechat.switch(lost_answers={"prepay": -1})
    found = await refusal(scenario.create(order, "pay-1"))
    assert found.reason is Reason.PAYMENT_PROVIDER_UNAVAILABLE
    await scenario.wechat.switch(lost_answers={})
    created = await scenario.create(order, "pay-1")
    assert created.payment.out_trade_no.endswith("P1")
    scenario.wechat.pay(created.payment.out_trade_no)
    await scenario.paid(order)


async def test_only_ones_own_order(scenario: PaymentScenario, order: order_pb2.Order) -> None:
    other = TravellerClient.of(scenario.server.channel, 2)
    request = payment_pb2.CreatePaymentRequest(order_id=order.order_id)
    assert (await refusal(other.call("CreatePayment", request))).reason is Reason.NOT_FOUND
    get = payment_pb2.GetPaymentRequest(order_id=order.order_id)
    assert (await refusal(other.call("GetPayment", get))).reason is Reason.NOT_FOUND


async def test_only_what_is_held(scenario: PaymentScenario, order: order_pb2.Order) -> None:
    await scenario.client.cancel(order.order_id)
    assert (await refusal(scenario.create(order))).reason is Reason.ORDER_STATE_REFUSES
    second = await scenario.client.order(scenario.world.seat())
    await scenario.world.expire(second.order_id)
    assert (await refusal(scenario.create(second))).reason is Reason.ORDER_STATE_REFUSES
    await scenario.until_state(second, "CANCELLED")


async def test_what_wechat_refuses(scenario: PaymentScenario, order: order_pb2.Order) -> None:
    await scenario.world.sql("UPDATE travellers SET openid = 'nobody' WHERE traveller_id = 1")
    found = await refusal(scenario.create(order))
    assert found.reason is Reason.PAYMENT_REFUSED
    assert found.metadata == {"order_id": order.order_id, "code": "PARAM_ERROR"}


async def test_nothing_to_pay(scenario: PaymentScenario) -> None:
    await scenario.world.promote(7, "FREE", basis_points=10_000, cap=5)
    await scenario.wechat.switch(down={"prepay": -1, "query": -1})
    await changes_are_seen()
    order = await scenario.client.order(scenario.world.seat(), promotion_codes=["FREE"])
    assert order.total_minor == 0
    created = await scenario.create(order)
    assert (state(created.payment), created.payment.amount_minor) == ("SUCCEEDED", 0)
    assert not created.HasField("pay_sign")
    assert (await scenario.payment(order)) == created.payment
    assert [row[0] for row in await scenario.tickets(order)] == ["ACTIVE", "ACTIVE"]
    assert await scenario.world.value("SELECT count(*) FROM payments") == 0


async def test_an_order_cancelled_while_wechat_is_asked(
    scenario: PaymentScenario, order: order_pb2.Order
) -> None:
    """Closed at WeChat before WeChat has heard of it, as the first attempts fail, so it is
    closed once more.
    """
    await scenario.wechat.switch(down={"prepay": 2})
    creating = asyncio.create_task(scenario.create(order))
    await scenario.world.until("SELECT count(*) = 1 FROM payments")
    await scenario.client.cancel(order.order_id)
    await scenario.world.sql(
        "UPDATE outbox_tasks SET due_time = now() WHERE kind = 'payment.close'"
    )
    assert (await refusal(creating)).reason is Reason.ORDER_STATE_REFUSES
    number = await scenario.world.value("SELECT out_trade_no FROM payments")
    await scenario.idle()
    with pytest.raises(RefusedError):
        scenario.wechat.pay(number)


async def test_a_payment_that_wechat_closed(
    scenario: PaymentScenario, order: order_pb2.Order
) -> None:
    """A new one is asked for, under another number."""
    first = (await scenario.create(order)).payment
    await scenario.close_at_wechat(first.out_trade_no)
    await hurry(scenario, "payment.query")
    await scenario.world.until("SELECT state = 'CLOSED' FROM payments")
    second = (await scenario.create(order)).payment
    assert second.out_trade_no == first.out_trade_no.removesuffix("1") + "2"
    scenario.wechat.pay(second.out_trade_no)
    await scenario.paid(order)


async def test_a_prepay_that_wechat_closed_unasked(
    scenario: PaymentScenario, order: order_pb2.Order
) -> None:
    await scenario.wechat.switch(lost_answers={"prepay": -1})
    await refusal(scenario.create(order))
    await scenario.wechat.switch(lost_answers={})
    number = await scenario.world.value("SELECT out_trade_no FROM payments")
    await scenario.close_at_wechat(number)
    assert (await refusal(scenario.create(order))).reason is Reason.PAYMENT_REFUSED
    await scenario.world.until("SELECT state = 'CLOSED' FROM payments")
    assert (await scenario.create(order)).payment.out_trade_no.endswith("P2")


async def test_without_a_merchant(database_url: str, redis_url: str) -> None:
    async with (
        a_world(database_url) as world,
        gate_server(database_url, redis_url) as server,
    ):
        await world.enrol(1)
        client = TravellerClient.of(server.channel)
        order = await client.order(world.seat())
        for method, request in (
            ("CreatePayment", payment_pb2.CreatePaymentRequest(order_id=order.order_id)),
            ("TravellerLogin", payment_pb2.TravellerLoginRequest(code="x")),
        ):
            found = await refusal(client.call(method, request))
            assert found.reason is Reason.PAYMENTS_NOT_CONFIGURED
        assert await world.value("SELECT count(*) FROM payments") == 0
        await client.cancel(order.order_id)


# GetPayment, and what happens without notices


async def test_no_payment_yet(scenario: PaymentScenario, order: order_pb2.Order) -> None:
    assert (await refusal(scenario.payment(order))).reason is Reason.NOT_FOUND


async def test_a_lost_notice_is_found_by_looking(
    scenario: PaymentScenario, order: order_pb2.Order
) -> None:
    await scenario.wechat.switch(lost_notices=True)
    await scenario.pay(order)
    await scenario.world.sql("UPDATE payments SET update_time = now() - interval '1 minute'")
    assert state(await scenario.payment(order)) == "SUCCEEDED"
    assert (await scenario.client.get(order.order_id)).state == order_pb2.ORDER_STATE_PAID


async def test_a_lost_notice_is_found_in_time(
    scenario: PaymentScenario, order: order_pb2.Order
) -> None:
    await scenario.wechat.switch(lost_notices=True)
    await scenario.pay(order)
    await hurry(scenario, "payment.query")
    await scenario.paid(order)


async def test_wechat_is_asked_now_and_then(
    scenario: PaymentScenario, order: order_pb2.Order
) -> None:
    """However often the traveller looks."""
    await scenario.create(order)
    await scenario.world.sql("UPDATE payments SET update_time = now() - interval '1 minute'")
    await scenario.wechat.switch(down={"query": 100})
    looks = await asyncio.gather(*(scenario.payment(order) for _ in range(20)))
    assert {state(each) for each in looks} == {"PENDING"}
    left = scenario.wechat.simulator.switches.down["query"]
    assert 97 <= left < 100  # one of the twenty asked, three times as WeChat did not answer


async def test_wechat_is_away_for_a_while(
    scenario: PaymentScenario, order: order_pb2.Order
) -> None:
    await scenario.wechat.switch(lost_notices=True)
    await scenario.pay(order)
    await scenario.wechat.switch(down={"query": -1})
    await scenario.world.sql("UPDATE payments SET update_time = now() - interval '1 minute'")
    assert state(await scenario.payment(order)) == "PENDING"
    await hurry(scenario, "payment.query")
    await scenario.world.until(
        "SELECT attempts > 0 AND lease_until IS NULL FROM outbox_tasks WHERE kind = 'payment.query'"
    )
    await scenario.wechat.switch(down={})
    await hurry(scenario, "payment.query")
    await scenario.paid(order)


async def test_a_payment_that_waits_is_looked_at_again(
    scenario: PaymentScenario, order: order_pb2.Order
) -> None:
    await scenario.create(order)
    await hurry(scenario, "payment.query")
    await scenario.world.until(
        "SELECT due_time > now() + interval '20 seconds' FROM outbox_tasks WHERE kind ="
        " 'payment.query'"
    )


# Closing


async def test_a_cancelled_order_cannot_be_paid(
    scenario: PaymentScenario, order: order_pb2.Order
) -> None:
    number = (await scenario.create(order)).payment.out_trade_no
    await scenario.client.cancel(order.order_id)
    await scenario.world.until("SELECT state = 'CLOSED' FROM payments")
    with pytest.raises(RefusedError):
        scenario.wechat.pay(number)
    assert state(await scenario.payment(order)) == "CLOSED"


async def test_an_expired_order_cannot_be_paid(
    scenario: PaymentScenario, order: order_pb2.Order
) -> None:
    number = (await scenario.create(order)).payment.out_trade_no
    await scenario.world.expire(order.order_id)
    await scenario.world.until("SELECT state = 'CLOSED' FROM payments")
    with pytest.raises(RefusedError):
        scenario.wechat.pay(number)


async def test_closing_waits_for_wechat(scenario: PaymentScenario, order: order_pb2.Order) -> None:
    await scenario.create(order)
    await scenario.wechat.switch(down={"close": -1})
    await scenario.client.cancel(order.order_id)
    await scenario.world.until("SELECT attempts > 0 FROM outbox_tasks WHERE kind = 'payment.close'")
    assert state(await scenario.payment(order)) == "PENDING"
    await scenario.wechat.switch(down={})
    await scenario.world.until("SELECT state = 'CLOSED' FROM payments")


async def test_paid_just_before_it_was_closed(scenario: PaymentScenario) -> None:
    """Closing finds it, though the notice is lost, and the hold is honoured."""
    order = await scenario.client.order(scenario.world.seat(), passengers=[passenger()])
    await scenario.wechat.switch(lost_notices=True)
    await scenario.pay(order)
    await scenario.world.expire(order.order_id)
    await scenario.paid(order)
    assert state(await scenario.payment(order)) == "SUCCEEDED"
