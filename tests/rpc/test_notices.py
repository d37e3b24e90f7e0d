"""Notices as WeChat posts them to the gateway: forged, replayed, repeated, out of order, and those that do not fit."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from deeptravel.ticketing.v1 import payment_pb2
from google.api import httpbody_pb2

from server.platform.errors import Reason
from tests.support.gate_server import gate_server
from tests.support.paying import Till, a_till, envelope, transaction
from tests.support.rpc_server import refusal
from tools.dev.wechat_simulator.protocol import by_certificate, by_public_key


@pytest.fixture
async def till(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Till]:
    async with a_till(database_url, redis_url, tmp_path) as furnished:
        yield furnished
        await furnished.sound()


@pytest.fixture
async def order(till: Till) -> Any:
    return await till.desk.order(till.world.seat())


async def post(till: Till, body: bytes, *, age: int = 0, **headers: str) -> httpx2.Response:
    """Posts it signed as WeChat does, with some headers replaced."""
    signed = by_public_key(till.wechat.merchant).headers(body, age_seconds=age)
    return await till.post(
        body, signed | {f"Wechatpay-{k.capitalize()}": v for k, v in headers.items()}
    )


async def tell(till: Till, number: str, *, notice_id: str = "EV-1", **changes: Any) -> int:
    """A notice of WeChat's, taken and worked off; the HTTP status of the answer."""
    answer = await post(
        till, envelope(till, transaction(till, number, **changes), number=notice_id)
    )
    await till.world.until(
        "SELECT count(*) = 0 FROM outbox_tasks WHERE kind = 'notice' AND state = 'OPEN'"
    )
    return answer.status_code


def refused(answer: httpx2.Response) -> bool:
    """Whether it was refused as not WeChat's."""
    details = answer.json()["details"]
    return answer.status_code == 401 and details[0]["reason"] == Reason.NOTICE_REFUSED


async def stored(till: Till) -> int:
    return int(await till.world.value("SELECT count(*) FROM notices"))


# What is not WeChat's


async def test_what_is_not_wechats_is_refused(till: Till, order: Any) -> None:
    number = (await till.create(order)).payment.out_trade_no
    body = envelope(till, transaction(till, number))
    another_time = str(int(datetime.now(UTC).timestamp()) - 7)
    # functions: a call that is never awaited, since one before it failed, would fail a later test
    others: dict[str, Callable[[], Awaitable[httpx2.Response]]] = {
        # half a minute beyond what is let through: a slow machine reads them later
        "old": lambda: post(till, body, age=330),
        "from the future": lambda: post(till, body, age=-330),
        "another signature": lambda: post(till, body, signature="Zm9yZ2Vk"),
        "a probe": lambda: post(till, body, signature="WECHATPAY/SIGNTEST/Zm9yZ2Vk"),
        "no signature": lambda: till.post(body, {"Content-Type": "application/json"}),
        "a key of nobody": lambda: post(till, body, serial="PUB_KEY_ID_0000000000000000000001"),
        "a certificate of nobody": lambda: post(till, body, serial="ABCDEF"),
        "another nonce": lambda: post(till, body, nonce="abc"),
        "another time": lambda: post(till, body, timestamp=another_time),
        "nothing": lambda: till.post(b"", {}),
        "too large": lambda: post(till, body + b" " * 64 * 1024),
    }
    for name, call in others.items():
        assert refused(await call()), name
    signed = by_public_key(till.wechat.merchant).headers(body)
    assert refused(await till.post(body.replace(b"EV-1", b"EV-2"), signed)), "another body"
    assert (await till.post(b"x" * (2 << 20), signed)).status_code == 413
    assert await stored(till) == 0
    assert await till.world.value("SELECT count(*) FROM payments WHERE state <> 'PENDING'") == 0
    assert await till.incidents() == ["NOTICE_REFUSED", "NOTICE_UNREADABLE"]


async def test_what_cannot_be_understood_is_refused(till: Till) -> None:
    """Though WeChat signed it: it will send it again."""
    unfit = [
        *(b"{}", b"[]", b"\xff", b'{"id": "EV-1", "event_type": "TRANSACTION.SUCCESS"}'),
        # what the table of notices cannot hold
        *(b'{"id": "EV%s", "event_type": "COUPON.USE"}' % bad for bad in (rb"\u0000", rb"\ud800")),
    ]
    for body in unfit:
        assert refused(await post(till, body))
    assert await stored(till) == 0


async def test_both_of_wechats_keys(till: Till, order: Any) -> None:
    number = (await till.create(order)).payment.out_trade_no
    body = envelope(till, transaction(till, number))
    for signer in (by_public_key(till.wechat.merchant), by_certificate(till.wechat.merchant)):
        assert (await till.post(body, signer.headers(body))).json() == {
            "code": "SUCCESS",
            "message": "SUCCESS",
        }
    assert await stored(till) == 1
    await till.paid(order)


async def test_over_grpc_too(till: Till, order: Any) -> None:
    number = (await till.create(order)).payment.out_trade_no
    body = envelope(till, transaction(till, number))
    headers = by_public_key(till.wechat.merchant).headers(body)
    request = payment_pb2.ReceiveWechatPayNoticeRequest(body=httpbody_pb2.HttpBody(data=body))
    metadata = tuple((name.lower(), value) for name, value in headers.items())
    call = till.desk.stub.ReceiveWechatPayNotice
    assert (await call(request, metadata=metadata)).code == "SUCCESS"
    await till.paid(order)
    found = await refusal(call(request))
    assert found.reason is Reason.NOTICE_REFUSED


async def test_without_a_merchant(till: Till, database_url: str, redis_url: str) -> None:
    async with gate_server(database_url, redis_url) as server:
        request = payment_pb2.ReceiveWechatPayNoticeRequest(body=httpbody_pb2.HttpBody(data=b"{}"))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.app.grpc_port}") as channel:
            stub = type(till.desk.stub)(channel)
            found = await refusal(stub.ReceiveWechatPayNotice(request))
    assert found.reason is Reason.PAYMENTS_NOT_CONFIGURED


# What is WeChat's, and repeated


async def test_the_same_any_number_of_times_at_once(till: Till, order: Any) -> None:
    number = (await till.create(order)).payment.out_trade_no
    body = envelope(till, transaction(till, number))
    answers = await asyncio.gather(*(post(till, body) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    await till.paid(order)
    assert await stored(till) == 1
    assert len(await till.tickets(order)) == 2


async def test_the_same_payment_under_many_ids(till: Till, order: Any) -> None:
    number = (await till.create(order)).payment.out_trade_no
    content = transaction(till, number)
    bodies = [envelope(till, content, number=f"EV-{n}") for n in range(20)]
    await asyncio.gather(*(post(till, body) for body in bodies))
    await till.idle()
    assert await stored(till) == 20
    undone = "SELECT count(*) FROM outbox_tasks WHERE kind = 'notice' AND state <> 'DONE'"
    assert await till.world.value(undone) == 0
    assert len(await till.tickets(order)) == 2
    assert await till.world.stock() == (10, 0, 2)
    assert await till.incidents() == []


async def test_out_of_order(till: Till, order: Any) -> None:
    """The refund's before the payment's."""
    await till.wechat.switch(hold_notices=True, down={"close": -1})
    await till.pay(order)
    await till.desk.cancel(order.order_id)
    await till.wechat.switch(down={})
    await till.world.sql("UPDATE outbox_tasks SET due_time = now() WHERE kind = 'payment.close'")
    refund_sent = (
        "SELECT count(*) = 1 FROM outbox_tasks WHERE kind = 'refund.send' AND state = 'DONE'"
    )
    await till.world.until(refund_sent)
    await till.wechat.switch(hold_notices=False)
    await till.idle()
    assert [notice.event_type for notice in till.wechat.notices()].count("REFUND.SUCCESS") == 1
    assert await till.refunds(order) == [("SUCCEEDED", "LATE_PAYMENT", 40_000)]
    assert await till.incidents() == []


async def test_a_notice_after_the_query(till: Till, order: Any) -> None:
    await till.wechat.switch(hold_notices=True)
    await till.pay(order)
    await till.world.sql("UPDATE payments SET update_time = now() - interval '1 minute'")
    await till.payment(order)
    await till.paid(order)
    await till.wechat.switch(hold_notices=False)
    await till.idle()
    assert len(await till.tickets(order)) == 2


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
    till: Till, order: Any, changes: dict[str, Any], kind: str
) -> None:
    """An administrator's: no tickets, and no refund by itself. The right notice still does its work."""
    number = (await till.create(order)).payment.out_trade_no
    assert await tell(till, number, **changes) == 200
    assert await till.incidents() == [kind]
    assert await till.tickets(order) == []
    assert await till.refunds(order) == []
    assert await till.world.stock() == (10, 2, 0)
    assert await tell(till, number, **changes, notice_id="EV-2") == 200
    assert await till.incidents() == [kind]
    assert await tell(till, number, notice_id="EV-3") == 200
    assert len(await till.tickets(order)) == 2


@pytest.mark.parametrize(
    "number", ["DT1P1", "DT337691803649P9", "DT0P0", "ORDER-1", "DT99999999999999999999P1"]
)
async def test_an_order_that_is_not_ours(till: Till, number: str) -> None:
    assert await tell(till, number) == 200
    assert await till.incidents() == ["UNKNOWN_ORDER"]


async def test_another_transaction_of_the_same_payment(till: Till, order: Any) -> None:
    number = (await till.create(order)).payment.out_trade_no
    await tell(till, number)
    await tell(till, number, notice_id="EV-2", transaction_id="4200000000000000000000000009")
    assert await till.incidents() == ["TRANSACTION_MISMATCH"]
    assert len(await till.tickets(order)) == 2


@pytest.mark.parametrize("event", ["TRANSACTION.SUCCESS", "TRANSACTION.PAYERROR"])
async def test_news_of_what_is_not_paid(till: Till, order: Any, event: str) -> None:
    number = (await till.create(order)).payment.out_trade_no
    content = transaction(till, number, trade_state="NOTPAY")
    assert (await post(till, envelope(till, content, event=event))).status_code == 200
    await till.idle()
    assert await till.incidents() == []
    assert await till.tickets(order) == []


async def test_news_of_a_kind_we_do_not_know(till: Till, order: Any) -> None:
    body = envelope(till, {"what": "ever"}, event="COUPON.USE")
    assert (await post(till, body)).status_code == 200
    await till.idle()
    assert await till.world.value("SELECT state FROM outbox_tasks WHERE kind = 'notice'") == "DONE"
    assert await till.incidents() == []
    assert order


async def test_a_refund_we_did_not_ask_for(till: Till) -> None:
    content = {
        "mchid": till.wechat.merchant.merchant_id,
        "out_trade_no": "DT1P1",
        "transaction_id": "42",
        "out_refund_no": "DT1R1S1",
        "refund_id": "50",
        "refund_status": "SUCCESS",
        "success_time": datetime.now(UTC).isoformat(timespec="seconds"),
        "user_received_account": "零钱",
        "amount": {"total": 1, "refund": 1, "payer_total": 1, "payer_refund": 1},
    }
    await post(till, envelope(till, content, event="REFUND.SUCCESS"))
    await post(
        till, envelope(till, content | {"mchid": "19"}, event="REFUND.SUCCESS", number="EV-2")
    )
    await till.idle()
    assert await till.incidents() == ["MERCHANT_MISMATCH", "REFUND_UNKNOWN"]


# Everything at once


async def test_wechat_with_all_its_oddities(till: Till, order: Any) -> None:
    await till.wechat.switch(probe_notices=True, notice_copies=5, sign_notices="alternate")
    await till.pay(order)
    await till.paid(order)
    await till.idle()
    assert len(await till.tickets(order)) == 2
    assert await till.incidents() == ["NOTICE_REFUSED"]


async def test_a_forger_who_stops(till: Till, order: Any) -> None:
    await till.wechat.switch(forged_notices=True)
    await till.pay(order)
    await asyncio.sleep(0.1)
    assert await till.tickets(order) == []
    await till.wechat.switch(forged_notices=False)
    await till.paid(order)
