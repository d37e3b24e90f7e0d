"""The envelope of Ctrip's protocol for suppliers of attractions (TTD): header, signature, sealed
body. Pure.

Unverified against the vendor: made of what independent public implementations by suppliers agree
on; `docs/guides/ctrip-ttd.md` says what that is, and what nobody confirms.

A body is AES-128-CBC with PKCS #5 padding of JSON in UTF-8, each byte of it two letters a to p, the
high half first. The signature is the lower-case MD5 of account, service, time, sealed body, version
and key, in this order. Neither is our choice: MD5 and a fixed vector are the vendor's.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

import orjson
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

VERSION = "1.0"
CREDENTIALS = ("account_id", "sign_key_secret", "aes_key_secret", "aes_iv_secret")
KEY_BYTES = 16
BLOCK_BITS = 128
CHINA = timezone(timedelta(hours=8))
"""Whose clock `requestTime` is by."""
LETTERS = "abcdefghijklmnop"
_TO_DIGITS = str.maketrans(LETTERS, "0123456789abcdef", "0123456789qrstuvwxyz")
_TO_LETTERS = str.maketrans("0123456789abcdef", LETTERS)


class ResultCode(StrEnum):
    """What an answer says. 1100 to 1199, 2100 to 2199 and so on are a supplier's own."""

    OK = "0000"
    UNREADABLE = "0001"
    WRONG_SIGNATURE = "0002"
    WRONG_ACCOUNT = "0003"
    UNKNOWN_SERVICE = "0004"
    FAULT = "0005"
    UNKNOWN_PRODUCT = "1001"
    OFF_SALE = "1002"
    NO_STOCK = "1003"
    RESTRICTED = "1004"
    MISSING = "1005"
    WRONG = "1006"
    NO_PRICE = "1007"
    WRONG_DATE = "1009"
    OTHER_CONTENT = "1101"
    ORDER_CLOSED = "1102"
    UNKNOWN_ORDER = "2001"
    USED = "2002"
    EXPIRED = "2003"
    WRONG_QUANTITY = "2004"
    NOT_REFUNDABLE = "2005"
    CANCEL_OTHER_CONTENT = "2101"
    NOT_PAID = "2102"
    PAID = "2103"
    QUERY_UNKNOWN_ORDER = "4001"
    VOUCHER_UNKNOWN_ORDER = "5001"
    VOUCHER_NOT_PAID = "5101"
    VOUCHER_USED = "5102"
    EDIT_UNKNOWN_ORDER = "6001"
    EDIT_MISSING = "6002"
    EDIT_WRONG_DATE = "6004"
    EDIT_REFUSED = "6005"
    EDIT_OTHER_CONTENT = "6101"
    EDIT_NO_STOCK = "6102"
    EDIT_PRICE = "6103"


class TtdRefusal(Exception):  # noqa: N818 - an answer, no fault
    """An answer that says no, with its code; the text is without personal data."""

    def __init__(self, code: ResultCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class TtdKeys(NamedTuple):
    """What both sides have: the account, and three secrets."""

    account_id: str
    sign_key: str
    aes_key: bytes
    aes_iv: bytes

    @classmethod
    def of(cls, credentials: Mapping[str, str]) -> "TtdKeys":
        """Of `CREDENTIALS`. Raises ValueError for a key or vector that is not 16 bytes."""
        account, sign_key, *rest = (credentials[name] for name in CREDENTIALS)
        aes_key, aes_iv = (each.encode() for each in rest)
        if len(aes_key) != KEY_BYTES or len(aes_iv) != KEY_BYTES:
            raise ValueError(f"aes_key_secret and aes_iv_secret have {KEY_BYTES} bytes each")
        return cls(account, sign_key, aes_key, aes_iv)


class TtdCall(NamedTuple):
    """A call that is proven: which service, with what."""

    service: str
    content: dict[str, Any]


class TtdAnswer(NamedTuple):
    """What Ctrip, or we, answered."""

    code: str
    message: str
    content: dict[str, Any] | None


def to_letters(content: bytes) -> str:
    """Each byte as two letters a to p."""
    return content.hex().translate(_TO_LETTERS)


def from_letters(text: str) -> bytes:
    """The bytes again. Raises ValueError for what is not written so."""
    digits = text.translate(_TO_DIGITS)
    if len(digits) != len(text) or len(text) % 2 or not (text.isascii() and text.islower()):
        raise ValueError("is not written in pairs of letters a to p")
    return bytes.fromhex(digits)


def seal(plain: bytes, keys: TtdKeys) -> str:
    """A body as it is sent."""
    padder, cipher = PKCS7(BLOCK_BITS).padder(), Cipher(AES(keys.aes_key), CBC(keys.aes_iv))
    encryptor = cipher.encryptor()
    padded = padder.update(plain) + padder.finalize()
    return to_letters(encryptor.update(padded) + encryptor.finalize())


def unseal(text: str, keys: TtdKeys) -> bytes:
    """What is in a body. Raises ValueError for what was not sealed with these keys."""
    decryptor = Cipher(AES(keys.aes_key), CBC(keys.aes_iv)).decryptor()
    unpadder = PKCS7(BLOCK_BITS).unpadder()
    padded = decryptor.update(from_letters(text)) + decryptor.finalize()
    return unpadder.update(padded) + unpadder.finalize()


def signature(  # noqa: PLR0917 - what is signed, in the order in which it is
    account_id: str, service: str, request_time: str, body: str, version: str, sign_key: str
) -> str:
    """What proves a call."""
    signed = account_id + service + request_time + body + version + sign_key
    return hashlib.md5(signed.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()


def request(service: str, plain: bytes, keys: TtdKeys, unix_seconds: int) -> bytes:
    """A call of ours, with the time at which it is made."""
    moment = datetime.fromtimestamp(unix_seconds, UTC).astimezone(CHINA)
    at, body = moment.strftime("%Y-%m-%d %H:%M:%S"), seal(plain, keys)
    header = {
        "accountId": keys.account_id,
        "serviceName": service,
        "requestTime": at,
        "version": VERSION,
        "sign": signature(keys.account_id, service, at, body, VERSION, keys.sign_key),
    }
    return orjson.dumps({"header": header, "body": body})


def read_call(raw: bytes, keys: TtdKeys) -> TtdCall:
    """A call of Ctrip's. Raises TtdRefusal: UNREADABLE, WRONG_ACCOUNT, WRONG_SIGNATURE."""
    envelope = _object(raw, "the request")
    header, body = envelope.get("header"), envelope.get("body")
    names = ("accountId", "serviceName", "requestTime", "version", "sign")
    if not isinstance(header, dict) or not isinstance(body, str):
        raise TtdRefusal(ResultCode.UNREADABLE, "header or body is missing")
    given = [header.get(name) for name in names]
    if not all(isinstance(each, str) for each in given):
        raise TtdRefusal(ResultCode.UNREADABLE, f"header needs the texts {', '.join(names)}")
    account, service, at, version, sign = map(str, given)
    if not _same(account, keys.account_id):
        raise TtdRefusal(ResultCode.WRONG_ACCOUNT, "accountId is not this supplier's")
    if not _same(sign, signature(account, service, at, body, version, keys.sign_key)):
        raise TtdRefusal(ResultCode.WRONG_SIGNATURE, "sign does not fit what was sent")
    try:
        plain = unseal(body, keys)
    except ValueError:
        raise TtdRefusal(ResultCode.UNREADABLE, "body was not sealed with our keys") from None
    return TtdCall(service, _object(plain, "the body"))


def answer(
    code: ResultCode, message: str, content: Mapping[str, Any] | None, keys: TtdKeys | None
) -> bytes:
    """Our answer; without keys it has no body."""
    said: dict[str, Any] = {"header": {"resultCode": code, "resultMessage": message}}
    if content is not None and keys is not None:
        said["body"] = seal(orjson.dumps(content), keys)
    return orjson.dumps(said)


def read_answer(content: Any, keys: TtdKeys) -> TtdAnswer:
    """An answer of Ctrip's, parsed from JSON. Raises ValueError for what is none."""
    header = content.get("header") if isinstance(content, dict) else None
    if not isinstance(header, dict) or not isinstance(header.get("resultCode"), str):
        raise ValueError("header.resultCode is missing")
    body = content.get("body")
    opened = orjson.loads(unseal(body, keys)) if isinstance(body, str) and body else None
    return TtdAnswer(header["resultCode"], str(header.get("resultMessage", "")), opened)


def _object(raw: bytes, what: str) -> dict[str, Any]:
    try:
        found = json.loads(raw, parse_float=Decimal, parse_constant=_no_number)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise TtdRefusal(ResultCode.UNREADABLE, f"{what} is no JSON object")
    return found


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode())
