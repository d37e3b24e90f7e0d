"""Our WeChat client against the simulator: what works, and what each failure comes to."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from server.platform.config import load_settings
from server.platform.errors import DomainError, Reason
from server.wechat import client as wechat_client
from server.wechat.client import WechatClient
from server.wechat.codec import BankAccount, WechatError, WechatRefund
from server.wechat.signatures import ContentInvalidError
from tests.support.wechat import WechatSimulator
from tools.dev.wechat_simulator.protocol import BEIJING, RefusedError

PUBLIC_KEY = ("wechat_public_key", "wechat_public_key_id")


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wechat_client, "FIRST_PAUSE_SECONDS", 0.005)


@pytest.fixture
async def wechat(tmp_path: Path) -> AsyncIterator[WechatSimulator]:
    async with WechatSimulator(tmp_path / "wechat") as running:
        yield running


def client_of(
    wechat: WechatSimulator,
    without: tuple[str, ...] = (),
    answer_seconds: float = 30.0,
    /,
    **others: str,
) -> WechatClient:
    given = {k: v for k, v in wechat.settings(**others).items() if k not in without}
    client = WechatClient.of(load_settings(**given), answer_seconds=answer_seconds)
    assert client
    return client


@pytest.fixture
async def client(wechat: WechatSimulator) -> AsyncIterator[WechatClient]:
    made = client_of(wechat)
    yield made
    await made.aclose()


@pytest.fixture
async def by_certificates(wechat: WechatSimulator) -> AsyncIterator[WechatClient]:
    """A merchant from before there were public keys."""
    made = client_of(wechat, PUBLIC_KEY)
    yield made
    await made.aclose()


async def prepay(
    wechat: WechatSimulator, client: WechatClient, number: str = "DT77P1", **how: Any
) -> str:
    order = {
        "description": "深圳 – 澳门",
        "amount_minor": 12345,
        "currency_code": "CNY",
        "openid": wechat.openid("alice"),
        "expire_time": datetime(2999, 1, 1, tzinfo=UTC),
    }
    return await client.prepay(out_trade_no=number, **{**order, **how})


async def refund(
    client: WechatClient, number: str = "DT77R1S1", amount: int = 100, **how: Any
) -> WechatRefund:
    asked = {
        "out_trade_no": "DT77P1",
        "total_minor": 12345,
        "currency_code": "CNY",
        "reason": "改签",
    }
    return await client.refund(out_refund_no=number, refund_minor=amount, **{**asked, **how})


def refused(code: str) -> Any:
    return pytest.raises(WechatError, match=f" {code}: ")


@contextmanager
def unavailable() -> Iterator[None]:
    """The outcome is not known, and the caller is asked to come again."""
    with pytest.raises(DomainError) as raised:
        yield
    assert raised.value.reason is Reason.PAYMENT_PROVIDER_UNAVAILABLE
    assert raised.value.retry_seconds


async def test_log_in(wechat: WechatSimulator, client: WechatClient) -> None:
    alice = await client.code_to_session("alice")
    assert alice.openid == wechat.openid("alice") == (await client.code_to_session("alice")).openid
    assert alice.openid != (await client.code_to_session("bob")).openid
    assert (await client.code_to_session("alice#1")).openid == alice.openid
    for code in ("invalid", "used", "blocked", "alice#1"):
        with pytest.raises(DomainError) as raised:
            await client.code_to_session(code)
        assert raised.value.reason is Reason.LOGIN_FAILED
    for code in ("busy", ""):
        with unavailable():
            await client.code_to_session(code)


@pytest.mark.parametrize(
    "switch", [{"lost_answers": {"login": 1}}, {"down": {"login": 1}}, {"slow": {"login": 1}}]
)
async def test_a_lost_log_in_is_not_tried_twice(
    wechat: WechatSimulator, switch: dict[str, Any]
) -> None:
    client = client_of(wechat, (), 0.5)
    await wechat.switch(**switch)
    with unavailable():
        await client.code_to_session("alice#1")
    await client.aclose()


async def test_another_program_and_another_secret(wechat: WechatSimulator) -> None:
    for setting in ("wechat_app_id", "wechat_app_secret"):
        client = client_of(wechat, (), **{setting: "wrong"})
        with unavailable():
            await client.code_to_session("alice")
        await client.aclose()


async def test_an_order_is_paid(wechat: WechatSimulator, client: WechatClient) -> None:
    prepay_id = await prepay(wechat, client)
    assert await prepay(wechat, client) == prepay_id
    waiting = await client.query("DT77P1")
    assert waiting
    assert (waiting.state, waiting.total_minor, waiting.is_paid) == ("NOTPAY", 12345, False)
    fields = client.pay_sign(prepay_id, datetime.now(UTC)).fields()
    with pytest.raises(RefusedError, match="签名失败"):
        wechat.pay(prepay_id, {**fields, "appId": client.app_id, "nonceStr": "x"})
    transaction_id = wechat.pay(prepay_id, {**fields, "appId": client.app_id})
    paid = await client.query("DT77P1")
    assert paid
    assert (paid.state, paid.transaction_id, paid.total_minor) == ("SUCCESS", transaction_id, 12345)
    assert (paid.app_id, paid.merchant_id, paid.currency_code) == (
        client.app_id,
        client.merchant_id,
        "CNY",
    )
    assert paid.openid == wechat.openid("alice")
    assert paid.success_time
    with refused("ORDERPAID"):
        await prepay(wechat, client)
    with refused("ORDERPAID"):
        await client.close("DT77P1")


async def test_no_such_order(client: WechatClient) -> None:
    assert await client.query("DT0P1") is None
    assert await client.query_refund("DT0R1S1") is None
    await client.close("DT0P1")


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"amount_minor": 12346}, "INVALID_REQUEST"),
        ({"description": "other"}, "INVALID_REQUEST"),
        ({"amount_minor": 0}, "PARAM_ERROR"),
        ({"currency_code": "HKD"}, "PARAM_ERROR"),
        ({"openid": "someone"}, "PARAM_ERROR"),
        ({"description": ""}, "PARAM_ERROR"),
        ({"number": "short"}, "PARAM_ERROR"),
        ({"number": "DT-äöü-1"}, "PARAM_ERROR"),
        ({"number": "DT78P1", "expire_time": datetime(2020, 1, 1, tzinfo=UTC)}, "PARAM_ERROR"),
    ],
)
async def test_an_order_wechat_refuses(
    wechat: WechatSimulator, client: WechatClient, how: dict[str, Any], code: str
) -> None:
    await prepay(wechat, client)
    with refused(code):
        await prepay(wechat, client, **how)


async def test_a_closed_order_cannot_be_paid(wechat: WechatSimulator, client: WechatClient) -> None:
    await prepay(wechat, client)
    await client.close("DT77P1")
    await client.close("DT77P1")
    await prepay(wechat, client, "DT78P1", expire_time=datetime.now(UTC) + timedelta(seconds=3))
    with refused("ORDER_CLOSED"):
        await prepay(wechat, client)
    with pytest.raises(RefusedError, match="已关闭"):
        wechat.pay("DT77P1")
    while (found := await client.query("DT78P1")) and found.state == "NOTPAY":
        time.sleep(0.05)  # noqa: ASYNC251 - nothing else to be done
    assert found
    assert found.state == "CLOSED"


@pytest.mark.parametrize("failure", ["down", "limited", "lost_answers"])
async def test_what_is_safe_is_tried_again(
    wechat: WechatSimulator, client: WechatClient, failure: str
) -> None:
    await wechat.switch(**{failure: {"prepay": 2, "query": 2, "close": 2, "trade_bill": 2}})
    prepay_id = await prepay(wechat, client)
    assert await prepay(wechat, client) == prepay_id
    assert await client.query("DT77P1")
    await client.close("DT77P1")
    assert not (await client.trade_bill(today())).lines
    await wechat.switch(**{failure: {"prepay": -1, "query": -1, "close": -1, "trade_bill": -1}})
    for call in (prepay(wechat, client), client.query("DT77P1"), client.close("DT77P1")):
        with unavailable():
            await call
    with unavailable():
        await client.trade_bill(today())


async def test_slow_answers(wechat: WechatSimulator, client: WechatClient) -> None:
    await wechat.switch(slow={"query": 1})
    assert await client.query("DT77P1") is None
    hasty = client_of(wechat, (), 0.2)
    with unavailable():
        await hasty.query("DT77P1")
    await hasty.aclose()


async def test_nobody_listens(wechat: WechatSimulator) -> None:
    client = client_of(
        wechat, wechat_pay_url="http://127.0.0.1:9", wechat_login_url="http://127.0.0.1:9"
    )
    for call in (client.query("DT77P1"), refund(client), client.code_to_session("alice")):
        with unavailable():
            await call
    await client.aclose()


async def test_refunds(wechat: WechatSimulator, client: WechatClient) -> None:
    await wechat.switch(refund_seconds=1000)
    await prepay(wechat, client)
    with refused("INVALID_REQUEST"):
        await refund(client)
    wechat.pay("DT77P1")
    first = await refund(client)
    assert (first.state, first.refund_minor, first.total_minor) == ("PROCESSING", 100, 12345)
    assert (await refund(client)).refund_id == first.refund_id
    for wrong in (
        {"amount": 101},
        {"number": "DT77R2S1", "amount": 12246},
        {"number": "DT77R3S1", "total_minor": 100},
    ):
        with refused("INVALID_REQUEST"):
            await refund(client, **wrong)
    with refused("RESOURCE_NOT_EXISTS"):
        await refund(client, out_trade_no="DT78P1")
    await wechat.switch(balance_short=True)
    with refused("NOT_ENOUGH"):
        await refund(client, "DT77R2S1")
    await wechat.switch(balance_short=False, refund_seconds=0)
    assert (await refund(client, "DT77R2S1", 12245)).state == "PROCESSING"
    found = await client.query("DT77P1")
    assert found
    assert (found.state, found.is_paid) == ("REFUND", True)


@pytest.mark.parametrize("outcome", ["SUCCESS", "ABNORMAL", "CLOSED"])
async def test_what_becomes_of_a_refund(
    wechat: WechatSimulator, client: WechatClient, outcome: str
) -> None:
    await wechat.switch(refund_outcome=outcome, lost_notices=True)
    await prepay(wechat, client)
    wechat.pay("DT77P1")
    await refund(client, amount=12345)
    await wechat.settled()
    found = await client.query_refund("DT77R1S1")
    assert found
    assert found.state == outcome
    assert (found.success_time is not None) == (outcome == "SUCCESS")
    if outcome == "CLOSED":  # the money may be given back another way
        assert (await refund(client, "DT77R2S1", 12345)).state == "PROCESSING"
    else:
        with refused("INVALID_REQUEST"):
            await refund(client, "DT77R2S1", 1)


CARD = BankAccount("ICBC_DEBIT", "6222020200012345678", "张三")


@pytest.mark.parametrize("without", [(), PUBLIC_KEY], ids=["public key", "certificates"])
async def test_an_abnormal_refund_goes_to_a_bank_account(
    wechat: WechatSimulator, without: tuple[str, ...]
) -> None:
    client = client_of(wechat, without)
    await wechat.switch(lost_notices=True)
    await prepay(wechat, client)
    wechat.pay("DT77P1")
    await wechat.switch(refund_outcome="PROCESSING")
    made = await refund(client, amount=12345)
    with refused("INVALID_REQUEST"):  # it is under way as it is
        await client.abnormal_refund(made.refund_id, out_refund_no="DT77R1S1", account=CARD)
    await wechat.switch(refund_outcome="ABNORMAL")
    await wechat.settled()
    with refused("RESOURCE_NOT_EXISTS"):
        await client.abnormal_refund("5", out_refund_no="DT77R1S1", account=CARD)
    with refused("PARAM_ERROR"):
        wrong = BankAccount("ICBC_DEBIT", "no card", "张三")
        await client.abnormal_refund(made.refund_id, out_refund_no="DT77R1S1", account=wrong)
    await wechat.switch(abnormal_refund_outcome="ABNORMAL")
    await client.abnormal_refund(made.refund_id, out_refund_no="DT77R1S1", account=CARD)
    await wechat.settled()
    found = await client.query_refund("DT77R1S1")
    assert found
    assert found.state == "ABNORMAL", "that card does not take it either"
    await wechat.switch(refund_outcome="PROCESSING", lost_answers={"abnormal_refund": 1})
    applied = await client.abnormal_refund(made.refund_id, out_refund_no="DT77R1S1", account=CARD)
    assert (applied.state, applied.refund_id) == ("PROCESSING", made.refund_id)
    assert applied.received_account == "ICBC_DEBIT5678"
    await wechat.switch(refund_outcome="ABNORMAL", abnormal_refund_outcome="SUCCESS")
    await wechat.settled()
    found = await client.query_refund("DT77R1S1")
    assert found
    assert (found.state, found.create_time) == ("SUCCESS", made.create_time)
    assert "6222020200012345678" not in str(wechat.notices())
    await client.aclose()


async def test_an_abnormal_refund_goes_to_the_merchant(
    wechat: WechatSimulator, client: WechatClient
) -> None:
    await wechat.switch(refund_outcome="ABNORMAL", lost_notices=True)
    await prepay(wechat, client)
    wechat.pay("DT77P1")
    made = await refund(client, amount=12345)
    await wechat.settled()
    applied = await client.abnormal_refund(made.refund_id, out_refund_no="DT77R1S1", account=None)
    assert applied.received_account == "商户结算银行账户"
    await wechat.settled()
    found = await client.query_refund("DT77R1S1")
    assert found
    assert found.state == "SUCCESS"


async def test_fifty_refunds_of_a_payment(wechat: WechatSimulator, client: WechatClient) -> None:
    """Those that were closed count, too; a repeat of the fiftieth is no further one."""
    await prepay(wechat, client)
    wechat.pay("DT77P1")
    await wechat.switch(refund_outcome="CLOSED", lost_notices=True)
    await refund(client, "DT77R1S1", 1)
    await wechat.settled()
    await wechat.switch(refund_outcome="SUCCESS")
    for number in range(2, 51):
        await refund(client, f"DT77R{number}S1", 1)
    assert (await refund(client, "DT77R50S1", 1)).refund_minor == 1
    with refused("INVALID_REQUEST"):
        await refund(client, "DT77R51S1", 1)


async def test_a_lost_refund_is_read_back(wechat: WechatSimulator, client: WechatClient) -> None:
    await prepay(wechat, client)
    wechat.pay("DT77P1")
    await wechat.switch(lost_answers={"refund": 1})
    assert (await refund(client)).refund_minor == 100
    await wechat.switch(down={"refund": 1})
    with unavailable():
        await refund(client, "DT77R2S1")
    assert await client.query_refund("DT77R2S1") is None
    await wechat.switch(lost_answers={"refund": 1}, down={"query_refund": -1})
    with unavailable():
        await refund(client, "DT77R3S1")
    await wechat.switch(down={})
    assert await client.query_refund("DT77R3S1")


@pytest.mark.parametrize("failure", ["forged_answers", "unsigned_answers"])
async def test_an_answer_that_is_not_proven(
    wechat: WechatSimulator, client: WechatClient, failure: str
) -> None:
    await prepay(wechat, client)
    await wechat.switch(**{failure: {"query": 1, "prepay": 1, "close": 1}})
    for call in (client.query("DT77P1"), prepay(wechat, client), client.close("DT77P1")):
        with unavailable():
            await call
    assert await client.query("DT77P1")


async def test_a_failure_that_is_forged(wechat: WechatSimulator, client: WechatClient) -> None:
    await wechat.switch(forged_answers={"query": 1})
    with unavailable():
        await client.query("DT77P1")  # a forger's 404 makes no order vanish


async def test_another_merchant(wechat: WechatSimulator) -> None:
    for setting in ("wechat_merchant_serial", "wechat_merchant_id"):
        client = client_of(wechat, (), **{setting: "1234"})
        with unavailable():  # SIGN_ERROR says nothing about the order
            await client.query("DT77P1")
        await client.aclose()


async def test_certificates_are_fetched_when_they_are_met(
    wechat: WechatSimulator, by_certificates: WechatClient
) -> None:
    assert await by_certificates.query("DT77P1") is None
    wechat.merchant.add_certificate()
    by_certificates._refresh_after = 0
    assert await by_certificates.query("DT77P1") is None
    wechat.merchant.add_certificate()
    with unavailable():  # not twice in a minute
        await by_certificates.query("DT77P1")


async def test_both_keys_at_once(wechat: WechatSimulator, client: WechatClient) -> None:
    for key in ("certificate", "public_key", "as_asked", "certificate"):
        await wechat.switch(sign_answers=key)
        assert await client.query("DT77P1") is None


async def test_a_merchant_without_certificates(
    wechat: WechatSimulator, client: WechatClient
) -> None:
    await wechat.switch(has_certificates=False)
    await client._refresh()
    assert await client.query("DT77P1") is None


@pytest.mark.parametrize("failure", ["down", "forged_answers", "unsigned_answers", "lost_answers"])
async def test_a_failed_refresh_takes_no_key_away(
    wechat: WechatSimulator, by_certificates: WechatClient, failure: str
) -> None:
    assert await by_certificates.query("DT77P1") is None
    before = by_certificates._keys
    by_certificates._refresh_after = 0
    await wechat.switch(**{failure: {"certificates": -1}})
    await by_certificates._refresh()
    assert by_certificates._keys is before
    assert await by_certificates.query("DT77P1") is None


def today() -> date:
    return datetime.now(BEIJING).date()


async def test_the_bill(wechat: WechatSimulator, client: WechatClient) -> None:
    assert await client.trade_bill(today()) == await client.trade_bill(today())
    for number, amount in (("DT77P1", 12345), ("DT78P1", 1)):
        await prepay(wechat, client, number, amount_minor=amount)
        wechat.pay(number)
    await refund(client)
    await wechat.switch(lost_notices=True)
    bill = await client.trade_bill(today())
    assert {line.out_trade_no: line.total_minor for line in bill.payments} == {
        "DT77P1": 12345,
        "DT78P1": 1,
    }
    assert [(line.out_refund_no, line.refund_minor) for line in bill.refunds] == [("DT77R1S1", 100)]
    assert not (await client.trade_bill(today() - timedelta(days=1))).lines
    await wechat.switch(bill_leaves_out=["DT78P1"], bill_amount_offset=1)
    (line,) = (await client.trade_bill(today())).payments
    assert line.total_minor == 12346


@pytest.mark.parametrize("switch", ["bill_hash_wrong", "bill_sums_wrong"])
async def test_a_bill_that_is_wrong(
    wechat: WechatSimulator, client: WechatClient, switch: str
) -> None:
    await prepay(wechat, client)
    wechat.pay("DT77P1")
    await wechat.switch(**{switch: True})
    with pytest.raises(ContentInvalidError):
        await client.trade_bill(today())


async def test_a_bill_that_is_not_there(wechat: WechatSimulator, client: WechatClient) -> None:
    await wechat.switch(bill_creating=True)
    with refused("STATEMENT_CREATING"):
        await client.trade_bill(today())
    with refused("INVALID_REQUEST"):
        await client.trade_bill(today() + timedelta(days=1))
    await wechat.switch(bill_creating=False, lost_answers={"bill_download": 1})
    await prepay(wechat, client)
    wechat.pay("DT77P1")
    assert (await client.trade_bill(today())).lines
    await wechat.switch(down={"bill_download": -1})
    with unavailable():
        await client.trade_bill(today())
