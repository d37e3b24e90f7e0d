"""Notices as WeChat posts them to the gateway: forged, replayed, repeated, out of order, and
those that do not fit.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from deeptravel.ticketing.v1 import order_pb2, payment_pb2
from google.api import httpbody_pb2

from server.platform.errors import Reason
from tests.support.gate_server import gate_server
from tests.support.paying import PaymentScenario, a_scenario, envelope, transaction
from tests.support.rpc_server import refusal
from tests.support.waiting import until
from tools.dev.wechat_simulator.protocol import by_certificate, by_public_key


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
async def own_scenario(
    database_url: str, redis_url: str, tmp_path: Path
) -> AsyncIterator[PaymentScenario]:
    """With a server that has reported no refused notice within the last minute."""
    async with a_scenario(database_url, redis_url, tmp_path) as seeded:
        yield seeded
        await seeded.sound()


@pytest.fixture
async def order(scenario: PaymentScenario) -> Any:
    return await scenario.client.order(scenario.world.seat())


async def post(
    scenario: PaymentScenario, body: bytes, *, age: int = 0, **headers: str
) -> httpx2.Response:
    """Posts it signed as WeChat does, with some headers replaced."""
    signed = by_public_key(scenario.wechat.merchant).headers(body, age_seconds=age)
    return await scenario.post(
        body, signed | {f"Wechatpay-{k.capitalize()}": v for k, v in headers.items()}
    )


async def tell(
    scenario: PaymentScenario, number: str, *, notice_id: str = "EV-1", **changes: Any
) -> int:
    """A notice of WeChat's, taken and handled; the HTTP status of the answer."""
    answer = await post(
        scenario, envelope(scenario, transaction(scenario, number, **changes), number=notice_id)
    )
    await scenario.world.until(
        "SELECT count(*) = 0 FROM outbox_tasks WHERE kind = 'notice' AND state = 'OPEN'"
    )
    return answer.status_code


def refused(answer: httpx2.Response) -> bool:
    """Whether it was refused as not WeChat's."""
    details = answer.json()["details"]
    return answer.status_code == 401 and details[0]["reason"] == Reason.NOTICE_REFUSED


async def stored(scenario: PaymentScenario) -> int:
    return int(await scenario.world.value("SELECT count(*) FROM notices"))


# What is not WeChat's


async def test_what_is_not_wechats_is_refused(own_scenario: PaymentScenario) -> None:
    scenario = own_scenario
    order = await scenario.client.order(scenario.world.seat())
    number = (await scenario.create(order)).payment.out_trade_no
    body = envelope(scenario, transaction(scenario, number))
    another_time = str(int(datetime.now(UTC).timestamp()) - 7)
    # functions: a call that is never awaited, since one before it failed, would fail a later test
    others: dict[str, Callable[[], Awaitable[httpx2.Response]]] = {
        # half a minute beyond what is let through: a slow machine reads them later
        "old": lambda: post(scenario, body, age=330),
        "from the future": lambda: post(scenario, body, age=-330),
        "another signature": lambda: post(scenario, body, signature="Zm9yZ2Vk"),
        "a probe": lambda: post(scenario, body, signature="WECHATPAY/SIGNTEST/Zm9yZ2Vk"),
        "no signature": lambda: scenario.post(body, {"Content-Type": "application/json"}),
        "a key of nobody": lambda: post(scenario, body, serial="PUB_KEY_ID_0000000000000000000001"),
        "a certificate of nobody": lambda: post(scenario, body, serial="ABCDEF"),
        "another nonce": lambda: post(scenario, body, nonce="abc"),
        "another time": lambda: post(scenario, body, timestamp=another_time),
        "nothing": lambda: scenario.post(b"", {}),
        "too large": lambda: post(scenario, body + b" " * 64 * 1024),
    }
    for name, call in others.items():
        assert refused(await call()), name
    signed = by_public_key(scenario.wechat.merchant).headers(body)
    assert refused(await scenario.post(body.replace(b"EV-1", b"EV-2"), signed)), "another body"
    assert (await scenario.post(b"x" * (2 << 20), signed)).status_code == 413
    assert await stored(scenario) == 0
    assert await scenario.world.value("SELECT count(*) FROM payments WHERE state <> 'PENDING'") == 0
    assert await scenario.incidents() == ["NOTICE_REFUSED", "NOTICE_UNREADABLE"]


async def test_what_cannot_be_understood_is_refused(scenario: PaymentScenario) -> None:
    """Though WeChat signed it: it will send it again."""
    unfit = [
        *(b"{}", b"[]", b"\xff", b'{"id": "EV-1", "event_type": "TRANSACTION.SUCCESS"}'),
        # what the table of notices cannot hold
        *(b'{"id": "EV%s", "event_type": "COUPON.USE"}' % bad for bad in (rb"\u0000", rb"\ud800")),
    ]
    for body in unfit:
        assert refused(await post(scenario, body))
    assert await stored(scenario) == 0


async def test_both_of_wechats_keys(scenario: PaymentScenario, order: order_pb2.Order) -> None:
    number = (await scenario.create(order)).payment.out_trade_no
    body = envelope(scenario, transaction(scenario, number))
    for signer in (
        by_public_key(scenario.wechat.merchant),
        by_certificate(scenario.wechat.merchant),
    ):
        assert (await scenario.post(body, signer.headers(body))).json() == {
            "code": "SUCCESS",
            "message": "SUCCESS",
        }
    assert await stored(scenario) == 1
    await scenario.paid(order)


async def test_over_grpc_too(scenario: PaymentScenario, order: order_pb2.Order) -> None:
    number = (await scenario.create(order)).payment.out_trade_no
    body = envelope(scenario, transaction(scenario, number))
    headers = by_public_key(scenario.wechat.merchant).headers(body)
    request = payment_pb2.ReceiveWechatPayNoticeRequest(body=httpbody_pb2.HttpBody(data=body))
    metadata = tuple((name.lower(), value) for name, value in headers.items())
    call = scenario.client.stub.ReceiveWechatPayNotice
    assert (await call(request, metadata=metadata)).code == "SUCCESS"
    await scenario.paid(order)
    found = await refusal(call(request))
    assert found.reason is Reason.NOTICE_REFUSED


async def test_without_a_merchant(
    scenario: PaymentScenario, module_database_url: str, module_redis_url: str
) -> None:
    async with gate_server(module_database_url, module_redis_url) as server:
        request = payment_pb2.ReceiveWechatPayNoticeRequest(body=httpbody_pb2.HttpBody(data=b"{}"))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.app.grpc_port}") as channel:
            stub = type(scenario.client.stub)(channel)
            found = await refusal(stub.ReceiveWechatPayNotice(request))
    assert found.reason is Reason.PAYMENTS_NOT_CONFIGURED


# What is WeChat's, and repeated


async def test_the_same_any_number_of_times_at_once(
    scenario: PaymentScenario, order: order_pb2.Order
) -> None:
    number = (await scenario.create(order)).payment.out_trade_no
    body = envelope(scenario, transaction(scenario, number))
    answers = await asyncio.gather(*(post(scenario, body) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    await scenario.paid(order)
    assert await stored(scenario) == 1
    assert len(await scenario.tickets(order)) == 2


async def test_the_same_payment_under_many_ids(
    scenario: PaymentScenario, order: order_pb2.Order
) -> None:
    number = (await scenario.create(order)).payment.out_trade_no
    content = transaction(scenario, number)
    bodies = [envelope(scenario, content, number=f"EV-{n}") for n in range(20)]
    await asyncio.gather(*(post(scenario, body) for body in bodies))
    await scenario.idle()
    assert await stored(scenario) == 20
    undone = "SELECT count(*) FROM outbox_tasks WHERE kind = 'notice' AND state <> 'DONE'"
    assert await scenario.world.value(undone) == 0
    assert len(await scenario.tickets(order)) == 2
    assert await scenario.world.stock() == (10, 0, 2)
    assert await scenario.incidents() == []


async def test_out_of_order(scenario: PaymentScenario, order: order_pb2.Order) -> None:
    """The refund's before the payment's."""
    await scenario.wechat.switch(hold_notices=True, down={"close": -1})
    await scenario.pay(order)
    await scenario.client.cancel(order.order_id)
    await scenario.wechat.switch(down={})
    await scenario.world.sql(
        "UPDATE outbox_tasks SET due_time = now() WHERE kind = 'payment.close'"
    )
    refund_sent = (
        "SELECT count(*) = 1 FROM outbox_tasks WHERE kind = 'refund.send' AND state = 'DONE'"
    )
    await scenario.world.until(refund_sent)
    await scenario.wechat.switch(hold_notices=False)
    await scenario.idle()
    assert [notice.event_type for notice in scenario.wechat.notices()].count("REFUND.SUCCESS") == 1
    assert await scenario.refunds(order) == [("SUCCEEDED", "LATE_PAYMENT", 40_000)]
    assert await scenario.incidents() == []


async def test_a_notice_after_the_query(scenario: PaymentScenario, order: order_pb2.Order) -> None:
    await scenario.wechat.switch(hold_notices=True)
    await scenario.pay(order)
    await scenario.world.sql("UPDATE payments SET update_time = now() - interval '1 minute'")
    await scenario.payment(order)
    await scenario.paid(order)
    await scenario.wechat.switch(hold_notices=False)
    await scenario.idle()
    assert len(await scenario.tickets(order)) == 2


# What does not fit


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"total": 39_999}, "AMOUNT_MISMATCH"),
        ({"total": 40_001}, "AMOUNT_MISMATCH"),
        ({"total": 0}, "AMOUNT_MISMATCH"),
        ({"currency": "HKD"}, "CURRENCY_MISMATCH"),
        ({"mchid": "1900000009"}, "MERCHANT_MISMATCH"),
        ({"appid": "wx0000000000000000"}, "MERCHANT_MISMATCH"),
    ],
)
async def test_what_we_did_not_ask_for(
    scenario: PaymentScenario, order: order_pb2.Order, changes: dict[str, Any], kind: str
) -> None:
    """An administrator's: no tickets, and no refund by itself. The right notice still does its
    work.
    """
    number = (await scenario.create(order)).payment.out_trade_no
    assert await tell(scenario, number, **changes) == 200
    assert await scenario.incidents() == [kind]
    assert await scenario.tickets(order) == []
    assert await scenario.refunds(order) == []
    assert await scenario.world.stock() == (10, 2, 0)
    assert await tell(scenario, number, **changes, notice_id="EV-2") == 200
    assert await scenario.incidents() == [kind]
    assert await tell(scenario, number, notice_id="EV-3") == 200
    assert len(await scenario.tickets(order)) == 2


@pytest.mark.parametrize(
    "number", ["DT1P1", "DT337691803649P9", "DT0P0", "ORDER-1", "DT99999999999999999999P1"]
)
async def test_an_order_that_is_not_ours(scenario: PaymentScenario, number: str) -> None:
    assert await tell(scenario, number) == 200
    assert await scenario.incidents() == ["UNKNOWN_ORDER"]


async def test_another_transaction_of_the_same_payment(
    scenario: PaymentScenario, order: order_pb2.Order
) -> None:
    number = (await scenario.create(order)).payment.out_trade_no
    await tell(scenario, number)
    await tell(scenario, number, notice_id="EV-2", transaction_id="4200000000000000000000000009")
    assert await scenario.incidents() == ["TRANSACTION_MISMATCH"]
    assert len(await scenario.tickets(order)) == 2


@pytest.mark.parametrize("event", ["TRANSACTION.SUCCESS", "TRANSACTION.PAYERROR"])
async def test_news_of_what_is_not_paid(
    scenario: PaymentScenario, order: order_pb2.Order, event: str
) -> None:
    number = (await scenario.create(order)).payment.out_trade_no
    content = transaction(scenario, number, trade_state="NOTPAY")
    assert (await post(scenario, envelope(scenario, content, event=event))).status_code == 200
    await scenario.idle()
    assert await scenario.incidents() == []
    assert await scenario.tickets(order) == []


@pytest.mark.usefixtures("order")
async def test_news_of_a_kind_we_do_not_know(scenario: PaymentScenario) -> None:
    body = envelope(scenario, {"what": "ever"}, event="COUPON.USE")
    assert (await post(scenario, body)).status_code == 200
    await scenario.idle()
    assert (
        await scenario.world.value("SELECT state FROM outbox_tasks WHERE kind = 'notice'") == "DONE"
    )
    assert await scenario.incidents() == []


async def test_a_refund_we_did_not_ask_for(scenario: PaymentScenario) -> None:
    content = {
        "mchid": scenario.wechat.merchant.merchant_id,
        "out_trade_no": "DT1P1",
        "transaction_id": "42",
        "out_refund_no": "DT1R1S1",
        "refund_id": "50",
        "refund_status": "SUCCESS",
        "success_time": datetime.now(UTC).isoformat(timespec="seconds"),
        "user_received_account": "零钱",
        "amount": {"total": 1, "refund": 1, "payer_total": 1, "payer_refund": 1},
    }
    await post(scenario, envelope(scenario, content, event="REFUND.SUCCESS"))
    await post(
        scenario,
        envelope(scenario, content | {"mchid": "19"}, event="REFUND.SUCCESS", number="EV-2"),
    )
    await scenario.idle()
    assert await scenario.incidents() == ["MERCHANT_MISMATCH", "REFUND_UNKNOWN"]


# Everything at once


async def test_wechat_with_all_its_oddities(own_scenario: PaymentScenario) -> None:
    scenario = own_scenario
    order = await scenario.client.order(scenario.world.seat())
    await scenario.wechat.switch(probe_notices=True, notice_copies=5, sign_notices="alternate")
    await scenario.pay(order)
    await scenario.paid(order)
    await scenario.idle()
    assert len(await scenario.tickets(order)) == 2
    assert await scenario.incidents() == ["NOTICE_REFUSED"]


async def test_a_forger_who_stops(scenario: PaymentScenario, order: order_pb2.Order) -> None:
    await scenario.wechat.switch(forged_notices=True)
    await scenario.pay(order)
    await until(lambda: any(notice.attempts for notice in scenario.wechat.notices()))
    assert await scenario.tickets(order) == []
    await scenario.wechat.switch(forged_notices=False)
    await scenario.paid(order)
