"""Requests to WeChat, its answers and notices, as bytes."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.wechat import codec
from server.wechat.codec import (
    BankAccount,
    Notice,
    Request,
    Session,
    Transaction,
    WechatError,
    WechatRefund,
)
from server.wechat.signatures import ContentInvalidError, PlatformKeys, SignatureInvalidError, sign
from tests.support.wechat_codec import (
    AT,
    NOW,
    PUBLIC_KEY_ID,
    changed,
    key,
    merchant,
    platform_key,
    sealed,
    signed,
)

KEYS = PlatformKeys([platform_key()])
TRANSACTION: dict[str, Any] = {
    "appid": "wx0123456789abcdef",
    "mchid": "1900000001",
    "out_trade_no": "DT77P1",
    "transaction_id": "4200000000000000000000000001",
    "trade_type": "JSAPI",
    "trade_state": "SUCCESS",
    "trade_state_desc": "支付成功",
    "bank_type": "OTHERS",
    "attach": "",
    "success_time": "2026-03-01T19:59:58+08:00",
    "payer": {"openid": "oAbc"},
    "amount": {"total": 12345, "payer_total": 12345, "currency": "CNY", "payer_currency": "CNY"},
}
PAID = Transaction(
    out_trade_no="DT77P1",
    transaction_id="4200000000000000000000000001",
    state="SUCCESS",
    state_description="支付成功",
    app_id="wx0123456789abcdef",
    merchant_id="1900000001",
    openid="oAbc",
    total_minor=12345,
    currency_code="CNY",
    success_time=datetime(2026, 3, 1, 11, 59, 58, tzinfo=UTC),
    bank_type="OTHERS",
    attach="",
)
REFUND: dict[str, Any] = {
    "refund_id": "50000000000000000000000000001",
    "out_refund_no": "DT77R1S1",
    "transaction_id": "4200000000000000000000000001",
    "out_trade_no": "DT77P1",
    "channel": "ORIGINAL",
    "user_received_account": "支付用户零钱",
    "success_time": "2026-03-01T20:00:00+08:00",
    "create_time": "2026-03-01T19:59:00+08:00",
    "status": "SUCCESS",
    "amount": {"total": 12345, "refund": 100, "payer_refund": 100, "currency": "CNY"},
}
GIVEN_BACK = WechatRefund(
    out_refund_no="DT77R1S1",
    refund_id="50000000000000000000000000001",
    out_trade_no="DT77P1",
    transaction_id="4200000000000000000000000001",
    state="SUCCESS",
    merchant_id="",
    refund_minor=100,
    total_minor=12345,
    currency_code="CNY",
    success_time=NOW,
    received_account="支付用户零钱",
    create_time=datetime(2026, 3, 1, 11, 59, tzinfo=UTC),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


def dump(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode()


def notice(event_type: str, content: Any, **others: Any) -> bytes:
    return dump(
        {
            "id": "EV-1",
            "create_time": "2026-03-01T20:00:00+08:00",
            "resource_type": "encrypt-resource",
            "event_type": event_type,
            "summary": "…",
            "resource": sealed(content),
            **others,
        }
    )


def read(body: bytes, **how: Any) -> Notice:
    return codec.parse_notice(merchant(), KEYS, signed(body, **how), body, now=NOW)


def test_a_prepay() -> None:
    request = codec.prepay_request(
        merchant(),
        out_trade_no="DT77P1",
        description="深圳 – 澳门 " * 30,
        amount_minor=12345,
        openid="oAbc",
        expire_time=datetime(2026, 3, 1, 20, 10, 0, 5, tzinfo=timezone(timedelta(hours=8))),
        notify_url="https://tickets.example/webhooks/wechatpay/notices",
    )
    assert (request.method, request.target) == ("POST", "/v3/pay/transactions/jsapi")
    assert json.loads(request.body) == {
        "appid": "wx0123456789abcdef",
        "mchid": "1900000001",
        "description": ("深圳 – 澳门 " * 30)[:127],
        "out_trade_no": "DT77P1",
        "time_expire": "2026-03-01T12:10:00+00:00",
        "notify_url": "https://tickets.example/webhooks/wechatpay/notices",
        "amount": {"total": 12345, "currency": "CNY"},
        "payer": {"openid": "oAbc"},
    }


def test_a_refund() -> None:
    request = codec.refund_request(
        out_trade_no="DT77P1",
        out_refund_no="DT77R1S1",
        refund_minor=100,
        total_minor=12345,
        reason="改签" * 20,
        notify_url="https://tickets.example/n",
    )
    content = json.loads(request.body)
    assert request.target == "/v3/refund/domestic/refunds"
    assert content["amount"] == {"refund": 100, "total": 12345, "currency": "CNY"}
    assert content["reason"] == ("改签" * 20)[:26], "80 bytes, and no half character"


def test_an_abnormal_refund() -> None:
    account = BankAccount("ICBC_DEBIT", "6222020200012345678", "张三")
    assert "6222" not in repr(account)
    assert "张三" not in repr(account)
    request = codec.abnormal_refund_request(
        "5030", out_refund_no="DT77R1S1", account=account, key=platform_key()
    )
    assert request.target == "/v3/refund/domestic/refunds/5030/apply-abnormal-refund"
    assert request.headers(merchant(), now=NOW, nonce="n")["Wechatpay-Serial"] == PUBLIC_KEY_ID
    content = json.loads(request.body)
    assert set(content) == {"out_refund_no", "type", "bank_type", "bank_account", "real_name"}
    assert (content["type"], content["bank_type"]) == ("USER_BANK_CARD", "ICBC_DEBIT")
    assert len(base64.b64decode(content["bank_account"])) == 256
    ours = codec.abnormal_refund_request("5030", out_refund_no="DT77R1S1", account=None, key=None)
    assert json.loads(ours.body) == {"out_refund_no": "DT77R1S1", "type": "MERCHANT_BANK_CARD"}
    assert "Wechatpay-Serial" not in ours.headers(merchant(), now=NOW, nonce="n")


def test_the_other_requests() -> None:
    odd = "a/b?c*d"
    assert [
        codec.query_request(merchant(), odd),
        codec.close_request(merchant(), "DT77P1"),
        codec.query_refund_request("x|y@z"),
        codec.certificates_request(),
        codec.bill_request(NOW.date()),
    ] == [
        Request("GET", "/v3/pay/transactions/out-trade-no/a%2Fb%3Fc%2Ad?mchid=1900000001"),
        Request(
            "POST", "/v3/pay/transactions/out-trade-no/DT77P1/close", b'{"mchid":"1900000001"}'
        ),
        Request("GET", "/v3/refund/domestic/refunds/x%7Cy%40z"),
        Request("GET", "/v3/certificates"),
        Request("GET", "/v3/bill/tradebill?bill_date=2026-03-01&bill_type=ALL"),
    ]
    assert codec.session_target("wx1", "s&", "c=d") == (
        "/sns/jscode2session?appid=wx1&secret=s%26&js_code=c%3Dd&grant_type=authorization_code"
    )


def test_the_public_key_is_asked_for_where_there_is_one() -> None:
    plain = codec.certificates_request().headers(merchant(), now=NOW, nonce="n")
    assert set(plain) == {"Authorization", "Accept"}
    asking = merchant().__class__(
        **{
            **{n: getattr(merchant(), n) for n in merchant().__slots__},
            "answer_serial": "PUB_KEY_ID_1",
        }
    )
    headers = codec.close_request(asking, "x").headers(asking, now=NOW, nonce="n")
    assert headers["Wechatpay-Serial"] == "PUB_KEY_ID_1"
    assert headers["Content-Type"] == "application/json"


def test_pay_sign() -> None:
    signed_fields = codec.pay_sign(
        merchant(), "wx201410272009395522657a690389285100", now=NOW, nonce="n"
    )
    package = "prepay_id=wx201410272009395522657a690389285100"
    assert signed_fields.fields() == {
        "timeStamp": str(AT),
        "nonceStr": "n",
        "package": package,
        "signType": "RSA",
        "paySign": sign(key("merchant"), "wx0123456789abcdef", str(AT), "n", package),
    }


def test_a_transaction() -> None:
    assert codec.parse_transaction(dump(TRANSACTION)) == PAID
    assert PAID.is_paid
    unpaid = {
        **{name: TRANSACTION[name] for name in ("appid", "mchid", "out_trade_no")},
        "trade_state": "NOTPAY",
        "trade_state_desc": "订单未支付",
        "payer": {},
        "amount": {"total": 12345, "payer_currency": "CNY"},
    }
    waiting = codec.parse_transaction(dump(unpaid))
    assert (waiting.is_paid, waiting.total_minor, waiting.success_time) == (False, 12345, None)
    bare = codec.parse_transaction(dump(changed(changed(unpaid, "amount", ...), "payer", None)))
    assert (bare.total_minor, bare.openid, bare.transaction_id) == (0, "", "")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("out_trade_no", ...),
        ("mchid", ...),
        ("appid", ...),
        ("appid", ""),
        ("transaction_id", ...),
        ("trade_state", 7),
        ("success_time", ...),
        ("success_time", "yesterday"),
        ("success_time", "2026-03-01T19:59:58"),
        ("amount", ...),
        ("amount", [1]),
        ("amount.total", ...),
        ("amount.total", 123.45),
        ("amount.total", "12345"),
        ("amount.total", True),
        ("amount.total", -1),
        ("amount.currency", 7),
        ("payer", "oAbc"),
    ],
)
def test_a_transaction_that_cannot_be_read(path: str, value: Any) -> None:
    with pytest.raises(ContentInvalidError):
        codec.parse_transaction(dump(changed(TRANSACTION, path, value)))


def test_a_refund_in_an_answer_and_in_a_notice() -> None:
    assert codec.parse_refund(dump(REFUND)) == GIVEN_BACK
    content = {**changed(REFUND, "status", ...), "refund_status": "ABNORMAL", "mchid": "1900000001"}
    content = changed(changed(content, "success_time", ...), "amount.currency", ...)
    found = read(notice("REFUND.ABNORMAL", content)).content
    assert isinstance(found, WechatRefund)
    assert (found.state, found.merchant_id, found.success_time) == ("ABNORMAL", "1900000001", None)
    for path in ("out_refund_no", "amount", "amount.refund", "status", "refund_id"):
        with pytest.raises(ContentInvalidError):
            codec.parse_refund(dump(changed(REFUND, path, ...)))


def test_a_notice() -> None:
    assert read(notice("TRANSACTION.SUCCESS", TRANSACTION)) == Notice(
        "EV-1", "TRANSACTION.SUCCESS", NOW, PAID
    )


@pytest.mark.parametrize(
    "body",
    [
        notice("MCHTRANSFER.BILL.FINISHED", {"anything": 1}),
        notice("FAPIAO.CARD_INSERTED", b"no JSON"),
        notice("NEW.KIND", {}, resource=None),
    ],
)
def test_an_unknown_event_is_read_as_such(body: bytes) -> None:
    assert read(body).content is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        notice("TRANSACTION.SUCCESS", TRANSACTION, id=""),
        notice("", TRANSACTION),
        notice("TRANSACTION.SUCCESS", TRANSACTION, resource=None),
        notice("TRANSACTION.SUCCESS", b"no JSON"),
        notice("TRANSACTION.SUCCESS", REFUND),
        notice("REFUND.SUCCESS", TRANSACTION),
        notice("TRANSACTION.SUCCESS", TRANSACTION, create_time="2026"),
        b"{" + b" " * codec.MOST_NOTICE_BYTES,
        b"[" * 50_000,
    ],
)
def test_a_notice_that_cannot_be_read(body: bytes) -> None:
    with pytest.raises(ContentInvalidError):
        read(body)


def test_nothing_in_a_forged_notice_is_looked_at() -> None:
    for body in (b"no JSON", notice("TRANSACTION.SUCCESS", TRANSACTION)):
        with pytest.raises(SignatureInvalidError):
            read(body, signer="stranger")


@given(JSON)
def test_whatever_is_signed_is_read_or_refused(content: Any) -> None:
    body = dump(content)
    for parse in (codec.parse_transaction, codec.parse_refund, codec.parse_prepay):
        with pytest.raises(ContentInvalidError):
            parse(body)
    assert codec.parse_error(500, body).status == 500


def test_the_log_in() -> None:
    body = dump({"openid": "oAbc", "session_key": "k==", "unionid": None})
    assert codec.parse_session(body) == Session("oAbc", "k==", "")
    with pytest.raises(WechatError) as raised:
        codec.parse_session(b'{"errcode":40029,"errmsg":"invalid code"}')
    assert raised.value.says("40029")
    for wrong in (b"{}", b'{"errcode":0}', b"busy"):
        with pytest.raises(ContentInvalidError):
            codec.parse_session(wrong)


def test_errors() -> None:
    error = codec.parse_error(404, b'{"code":"ORDERNOTEXIST","message":"..."}')
    assert error.says("ORDER_NOT_EXIST")
    assert not error.says("ORDER_CLOSED")
    assert codec.parse_error(502, b"<html>").code == ""


def test_where_the_bill_is() -> None:
    body = {
        "hash_type": "SHA1",
        "hash_value": "79BB",
        "download_url": "https://elsewhere.example/v3/billdownload/file?token=a%2Fb",
    }
    found = codec.parse_bill_file(dump(body))
    assert found == codec.BillFile("/v3/billdownload/file?token=a%2Fb", "79bb")
    for path, value in (("hash_type", "MD5"), ("download_url", ...), ("hash_value", "")):
        with pytest.raises(ContentInvalidError):
            codec.parse_bill_file(dump(changed(body, path, value)))
