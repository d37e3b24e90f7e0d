"""WeChat Pay's API v3 and the mini program's log-in as bytes: requests built, answers and notices
read. No I/O, no clock.

Amounts are integers in minor units (fen), times are aware. Source: pay.weixin.qq.com, "JSAPI
order", "query order", "close order", "refund", "query refund", "apply for an abnormal refund",
"trade bill", "payment notice" and "refund notice"; developers.weixin.qq.com, "code2Session" and
"wx.requestPayment". What the documents leave optional may be missing here, too.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from server.wechat.signatures import (
    ContentInvalidError,
    PlatformKey,
    PlatformKeys,
    WechatMerchant,
    authorization,
    decrypt,
    encrypt_field,
    sign,
)

MOST_NOTICE_BYTES = 64 * 1024
"""WeChat's notices have one or two KiB; nothing greater is looked at."""
PAID_STATES = frozenset({"SUCCESS", "REFUND"})
TRANSACTION_EVENTS = "TRANSACTION."
REFUND_EVENTS = "REFUND."
LONGEST_TEXT = 200
"""Characters of WeChat's words that are kept."""
UNSTORABLE = re.compile("[\0\ud800-\udfff]")
"""What JSON can spell, but no text of PostgreSQL can hold."""


class WechatError(Exception):
    """WeChat answered that it will not do it.

    Attributes:
        code: WeChat's, such as ORDER_CLOSED; for the log-in the number as text, such as 40029.
        message: WeChat's words, for a log.
        status: HTTP.
    """

    def __init__(self, code: str, message: str, status: int) -> None:
        super().__init__(f"WeChat answered {status} {code}: {message}")
        self.code = code
        self.message = message
        self.status = status

    def says(self, *codes: str) -> bool:
        """Whether the code is one of these; WeChat writes some with and without underscores
        (ORDERPAID, ORDER_PAID).
        """
        return self.code.replace("_", "") in {code.replace("_", "") for code in codes}


@dataclass(frozen=True, slots=True)
class Request:
    """What to send: method, path with query, and body (empty for GET).

    `encrypted_for` is the serial of WeChat's key with which fields of the body are encrypted; empty
    if none is.
    """

    method: str
    target: str
    body: bytes = b""
    encrypted_for: str = ""

    def headers(self, merchant: WechatMerchant, *, now: datetime, nonce: str) -> dict[str, str]:
        """Headers to send it with, signed; `nonce` is fresh, at most 32 letters and digits."""
        signed = authorization(merchant, self.method, self.target, self.body, now=now, nonce=nonce)
        headers = {"Authorization": signed, "Accept": "application/json"}
        if self.body:
            headers["Content-Type"] = "application/json"
        if serial := self.encrypted_for or merchant.answer_serial:
            headers["Wechatpay-Serial"] = serial
        return headers


@dataclass(frozen=True, slots=True)
class PaySign:
    """The five fields a mini program gives to wx.requestPayment; their names there are those of
    `fields`.
    """

    time_stamp: str
    nonce: str
    package: str
    sign_type: str
    pay_sign: str

    def fields(self) -> dict[str, str]:
        """As wx.requestPayment takes them."""
        names = ("timeStamp", "nonceStr", "package", "signType", "paySign")
        return dict(zip(names, asdict(self).values(), strict=True))


@dataclass(frozen=True, slots=True)
class Session:
    """Who logged in to the mini program: `openid` there; `unionid`, across the company's
    programs, may be empty.
    """

    openid: str
    session_key: str
    unionid: str


@dataclass(frozen=True, slots=True)
class Transaction:
    """A payment as WeChat tells it, in a notice or an answer.

    Attributes:
        out_trade_no: ours.
        transaction_id: WeChat's; empty until it is paid.
        state: SUCCESS, REFUND (paid, and refunded in part or whole), NOTPAY, CLOSED, REVOKED,
            USERPAYING, PAYERROR.
        state_description: WeChat's words.
        app_id: as WeChat has it.
        merchant_id: likewise.
        openid: of the payer; empty until it is paid.
        total_minor: amount of the order in fen; 0 if WeChat does not say, which it may while it
            is not paid.
        currency_code: of it.
        success_time: when it was paid.
        bank_type: where the money came from.
        attach: what the order carried for us.
    """

    out_trade_no: str
    transaction_id: str
    state: str
    state_description: str
    app_id: str
    merchant_id: str
    openid: str
    total_minor: int
    currency_code: str
    success_time: datetime | None
    bank_type: str
    attach: str

    @property
    def is_paid(self) -> bool:
        """Whether the traveller has paid it, also if it was refunded since."""
        return self.state in PAID_STATES


@dataclass(frozen=True, slots=True)
class WechatRefund:
    """A refund as WeChat tells it, in a notice or an answer.

    Attributes:
        out_refund_no: ours.
        refund_id: WeChat's.
        out_trade_no: of the payment, ours.
        transaction_id: of the payment, WeChat's.
        state: PROCESSING, SUCCESS, CLOSED (will not happen), ABNORMAL (the traveller's account
            does not take it).
        merchant_id: as WeChat has it; empty in answers, which do not say.
        refund_minor: asked back, in fen.
        total_minor: of the payment, in fen.
        currency_code: of both.
        success_time: when the money was given back.
        received_account: where it went, in WeChat's words.
        create_time: when WeChat took it on, by which the bill counts it; None in notices, which
            do not say.
    """

    out_refund_no: str
    refund_id: str
    out_trade_no: str
    transaction_id: str
    state: str
    merchant_id: str
    refund_minor: int
    total_minor: int
    currency_code: str
    success_time: datetime | None
    received_account: str
    create_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice that is WeChat's for certain; not that it fits our orders.

    Attributes:
        notice_id: the same each time it is sent.
        event_type: such as TRANSACTION.SUCCESS, REFUND.ABNORMAL, or one we do not know.
        create_time: of the event.
        content: what happened; None for an event type we do not know.
    """

    notice_id: str
    event_type: str
    create_time: datetime | None
    content: Transaction | WechatRefund | None


@dataclass(frozen=True, slots=True)
class BankAccount:
    """A traveller's debit card: the bank as WeChat names it, such as ICBC_DEBIT, its number, and
    whose it is.
    """

    bank_type: str
    number: str = field(repr=False)
    holder_name: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class BillFile:
    """Where a bill is to be fetched from within five minutes, and its SHA-1 in hexadecimal."""

    target: str
    sha1: str


def prepay_request(
    merchant: WechatMerchant,
    *,
    out_trade_no: str,
    description: str,
    amount_minor: int,
    openid: str,
    expire_time: datetime,
    notify_url: str,
    currency_code: str = "CNY",
) -> Request:
    """Registers an order that a mini program (JSAPI) may then pay until `expire_time`.

    `out_trade_no` has 6 to 32 letters, digits, `_`, `-` or `*`; `description` is cut to 127
    characters; `notify_url` has no query. Repeating it with the same arguments is safe.
    """
    content = {
        "appid": merchant.app_id,
        "mchid": merchant.merchant_id,
        "description": description[:127],
        "out_trade_no": out_trade_no,
        "time_expire": rfc3339(expire_time),
        "notify_url": notify_url,
        "amount": {"total": amount_minor, "currency": currency_code},
        "payer": {"openid": openid},
    }
    return Request("POST", "/v3/pay/transactions/jsapi", _dump(content))


def query_request(merchant: WechatMerchant, out_trade_no: str) -> Request:
    """Asks what became of an order."""
    query = urlencode({"mchid": merchant.merchant_id})
    return Request("GET", f"{_order(out_trade_no)}?{query}")


def close_request(merchant: WechatMerchant, out_trade_no: str) -> Request:
    """Makes an order unpayable; the answer is 204 also if it was closed already, and if there is
    none.
    """
    return Request("POST", f"{_order(out_trade_no)}/close", _dump({"mchid": merchant.merchant_id}))


def refund_request(
    *,
    out_trade_no: str,
    out_refund_no: str,
    refund_minor: int,
    total_minor: int,
    reason: str,
    notify_url: str,
    currency_code: str = "CNY",
) -> Request:
    """Asks for money back to the traveller; repeated with the same number and amounts, it is given
    back once.

    `out_refund_no` has up to 64 letters, digits or `_-|*@`; `total_minor` is the whole payment;
    `reason`, which the traveller reads, is cut to 80 bytes.
    """
    content: dict[str, Any] = {
        "out_trade_no": out_trade_no,
        "out_refund_no": out_refund_no,
        "notify_url": notify_url,
        "amount": {"refund": refund_minor, "total": total_minor, "currency": currency_code},
    }
    if reason:
        content["reason"] = reason.encode()[:80].decode(errors="ignore")
    return Request("POST", "/v3/refund/domestic/refunds", _dump(content))


def abnormal_refund_request(
    refund_id: str, *, out_refund_no: str, account: BankAccount | None, key: PlatformKey | None
) -> Request:
    """Sends an ABNORMAL refund to another account: the traveller's card, or the merchant's own if
    `account` is None.

    `refund_id` is WeChat's number of the refund. `key` is what the card's number and the name are
    encrypted with; it may be None where there is no account. Repeated with the same arguments, it
    is given back once. Source: "apply for an abnormal refund".
    """
    content = {"out_refund_no": out_refund_no, "type": "MERCHANT_BANK_CARD"}
    if account:
        assert key, "an account is encrypted"
        content |= {
            "type": "USER_BANK_CARD",
            "bank_type": account.bank_type,
            "bank_account": encrypt_field(key, account.number),
            "real_name": encrypt_field(key, account.holder_name),
        }
    path = f"/v3/refund/domestic/refunds/{quote(refund_id, safe='')}/apply-abnormal-refund"
    serial = key.serial if account and key else ""
    return Request("POST", path, _dump(content), encrypted_for=serial)


def query_refund_request(out_refund_no: str) -> Request:
    """Asks what became of a refund."""
    return Request("GET", f"/v3/refund/domestic/refunds/{quote(out_refund_no, safe='')}")


def certificates_request() -> Request:
    """Asks for the platform certificates; the answer is for `parse_certificates`."""
    return Request("GET", "/v3/certificates")


def bill_request(bill_date: date) -> Request:
    """Asks where the bill of a day (in Beijing) is; there is one from ten o'clock of the next
    day, for three months.
    """
    query = urlencode({"bill_date": bill_date.isoformat(), "bill_type": "ALL"})
    return Request("GET", f"/v3/bill/tradebill?{query}")


def session_target(app_id: str, app_secret: str, code: str) -> str:
    """Path and query of code2Session, which is not signed but carries the secret: keep it out of
    logs.
    """
    query = {
        "appid": app_id,
        "secret": app_secret,
        "js_code": code,
        "grant_type": "authorization_code",
    }
    return f"/sns/jscode2session?{urlencode(query)}"


def pay_sign(merchant: WechatMerchant, prepay_id: str, *, now: datetime, nonce: str) -> PaySign:
    """What the mini program needs to ask the traveller for the money."""
    stamp, package = str(int(now.timestamp())), f"prepay_id={prepay_id}"
    signature = sign(merchant.private_key, merchant.app_id, stamp, nonce, package)
    return PaySign(stamp, nonce, package, "RSA", signature)


def parse_prepay(body: bytes) -> str:
    """The prepay_id. Raises ContentInvalidError."""
    return _text(_load(body), "prepay_id")


def parse_transaction(body: bytes) -> Transaction:
    """The answer of `query_request`, and what a payment notice holds. Raises
    ContentInvalidError.
    """
    return _transaction(_load(body))


def parse_refund(body: bytes) -> WechatRefund:
    """The answer of `refund_request` and `query_refund_request`. Raises ContentInvalidError."""
    return _refund(_load(body))


def parse_bill_file(body: bytes) -> BillFile:
    """The answer of `bill_request`. Raises ContentInvalidError."""
    content = _load(body)
    if content.get("hash_type") != "SHA1":
        raise ContentInvalidError(f"a bill hashed by {content.get('hash_type')!r}")
    url = urlsplit(_text(content, "download_url"))
    return BillFile(f"{url.path}?{url.query}", _text(content, "hash_value").lower())


def parse_session(body: bytes) -> Session:
    """The answer of code2Session, which has status 200 also for errors. Raises WechatError,
    ContentInvalidError.
    """
    content = _load(body)
    if content.get("errcode"):
        code = str(content["errcode"])[:LONGEST_TEXT]
        raise WechatError(code, str(content.get("errmsg"))[:LONGEST_TEXT], 200)
    unionid = content.get("unionid") or ""
    return Session(_text(content, "openid"), _text(content, "session_key"), str(unionid))


def parse_error(status: int, body: bytes) -> WechatError:
    """An answer with a status other than the expected one; with an empty code if it is none of
    WeChat's.
    """
    try:
        content = _load(body)
    except ContentInvalidError:
        content = {}
    code, message = (str(content.get(name, ""))[:LONGEST_TEXT] for name in ("code", "message"))
    return WechatError(code, message, status)


def parse_notice(
    merchant: WechatMerchant,
    keys: PlatformKeys,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: datetime,
) -> Notice:
    """A notice as it came to us; every check of its origin is made before anything in it is looked
    at.

    Raises:
        SignatureInvalidError: not WeChat's, or older than five minutes.
        UnknownSerialError: signed with a key that is not among `keys`.
        ContentInvalidError: too large, or WeChat's and not to be understood.
    """
    if len(body) > MOST_NOTICE_BYTES:
        raise ContentInvalidError(f"a notice of {len(body)} bytes")
    keys.verify(headers, body, now)
    return open_notice(merchant, body)


def open_notice(merchant: WechatMerchant, body: bytes) -> Notice:
    """A notice that was verified when it came. Raises ContentInvalidError for one that is not to
    be understood.
    """
    content = _load(body)
    event_type = _text(content, "event_type")
    found: Transaction | WechatRefund | None = None
    if event_type.startswith((TRANSACTION_EVENTS, REFUND_EVENTS)):
        opened = _load(decrypt(merchant.api_v3_key, _object(content, "resource")))
        is_refund = event_type.startswith(REFUND_EVENTS)
        found = _refund(opened) if is_refund else _transaction(opened)
    return Notice(_text(content, "id"), event_type, _time(content, "create_time"), found)


def rfc3339(time: datetime) -> str:
    """A time as WeChat takes it, in whole seconds."""
    return time.astimezone(UTC).isoformat(timespec="seconds")


def _order(out_trade_no: str) -> str:
    return f"/v3/pay/transactions/out-trade-no/{quote(out_trade_no, safe='')}"


def _dump(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _load(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise ContentInvalidError("not JSON") from None
    if not isinstance(content, dict):
        raise ContentInvalidError("no JSON object")
    return content


def _transaction(content: Mapping[str, Any]) -> Transaction:
    state = _text(content, "trade_state")
    amount = content.get("amount") or {}
    paid = state in PAID_STATES
    payer = content.get("payer") or {}
    if not (isinstance(amount, dict) and isinstance(payer, dict)):
        raise ContentInvalidError("amount or payer: not an object")
    success_time = _time(content, "success_time")
    if paid and success_time is None:
        raise ContentInvalidError("success_time: missing, though it is paid")
    return Transaction(
        out_trade_no=_text(content, "out_trade_no"),
        transaction_id=_text(content, "transaction_id", optional=not paid),
        state=state,
        state_description=_text(content, "trade_state_desc", optional=True),
        app_id=_text(content, "appid", optional=not paid),
        merchant_id=_text(content, "mchid"),
        openid=_text(payer, "openid", optional=True),
        total_minor=_fen(amount, "total") if paid or "total" in amount else 0,
        currency_code=_text(amount, "currency", optional=True) or "CNY",
        success_time=success_time,
        bank_type=_text(content, "bank_type", optional=True),
        attach=_text(content, "attach", optional=True),
    )


def _refund(content: Mapping[str, Any]) -> WechatRefund:
    amount = _object(content, "amount")
    # `refund_status` in a notice, `status` in an answer
    state_field = "refund_status" if "refund_status" in content else "status"
    return WechatRefund(
        out_refund_no=_text(content, "out_refund_no"),
        refund_id=_text(content, "refund_id"),
        out_trade_no=_text(content, "out_trade_no"),
        transaction_id=_text(content, "transaction_id"),
        state=_text(content, state_field),
        merchant_id=_text(content, "mchid", optional=True),
        refund_minor=_fen(amount, "refund"),
        total_minor=_fen(amount, "total"),
        currency_code=_text(amount, "currency", optional=True) or "CNY",
        success_time=_time(content, "success_time"),
        received_account=_text(content, "user_received_account", optional=True),
        create_time=_time(content, "create_time"),
    )


def _object(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = content.get(name)
    if not isinstance(value, dict):
        raise ContentInvalidError(f"{name}: missing or no object")
    return value


def _text(content: Mapping[str, Any], name: str, *, optional: bool = False) -> str:
    value = content.get(name)
    if optional and value is None:
        return ""
    if not isinstance(value, str) or not (value or optional):
        raise ContentInvalidError(f"{name}: missing or no text")
    if UNSTORABLE.search(value):
        raise ContentInvalidError(f"{name}: holds a character that is none")
    return value


def _fen(content: Mapping[str, Any], name: str) -> int:
    value = content.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ContentInvalidError(f"{name}: missing or no whole number of fen")
    return value


def _time(content: Mapping[str, Any], name: str) -> datetime | None:
    text = _text(content, name, optional=True)
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ContentInvalidError(f"{name}: no time") from None
    if time.tzinfo is None:
        raise ContentInvalidError(f"{name}: a time without zone")
    return time.astimezone(UTC)
