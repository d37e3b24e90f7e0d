"""API v3 from WeChat's side: requests verified, answers and notices signed, what is secret
encrypted.
"""

import base64
import json
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from tools.dev.wechat_simulator.merchant import Merchant

SCHEME = "WECHATPAY2-SHA256-RSA2048"
WINDOW_SECONDS = 300
BEIJING = timezone(timedelta(hours=8))
AUTHORIZATION_FIELD = re.compile(r'(\w+)="([^"]*)"')
AUTHORIZATION_FIELDS = {"mchid", "nonce_str", "timestamp", "serial_no", "signature"}


class RefusedError(Exception):
    """WeChat's answer to what it will not do."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    @property
    def body(self) -> bytes:
        return dump({"code": self.code, "message": self.message})


@dataclass(frozen=True)
class Signer:
    """A key to sign with, under the serial it is known by."""

    serial: str
    key: rsa.RSAPrivateKey

    def headers(self, body: bytes, *, age_seconds: int = 0) -> dict[str, str]:
        """The headers that go with a body."""
        stamp, nonce = str(int(time.time()) - age_seconds), secrets.token_hex(16)
        message = f"{stamp}\n{nonce}\n".encode() + body + b"\n"
        signature = self.key.sign(message, padding.PKCS1v15(), SHA256())
        return {
            "Wechatpay-Timestamp": stamp,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Serial": self.serial,
            "Wechatpay-Signature": base64.b64encode(signature).decode(),
            "Wechatpay-Signature-Type": SCHEME,
            "Request-ID": secrets.token_hex(16),
        }


def by_public_key(merchant: Merchant) -> Signer:
    return Signer(merchant.public_key_id, merchant.public_key)


def by_certificate(merchant: Merchant) -> Signer:
    newest = merchant.certificates[-1]
    return Signer(newest.serial, newest.key)


def verify_request(
    merchant: Merchant, method: str, target: str, body: bytes, headers: Mapping[str, str]
) -> None:
    """Raises RefusedError unless our merchant signed this request just now."""
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    if scheme != SCHEME:
        raise RefusedError(
            401,
            "SIGN_ERROR",
            "Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》",
        )
    fields = dict(AUTHORIZATION_FIELD.findall(rest))
    if set(fields) != AUTHORIZATION_FIELDS:
        raise RefusedError(401, "SIGN_ERROR", "Http头Authorization缺少字段或有多余字段")
    if fields["mchid"] != merchant.merchant_id:
        raise RefusedError(401, "SIGN_ERROR", "商户号不存在")
    if fields["serial_no"] != merchant.merchant_serial:
        raise RefusedError(401, "SIGN_ERROR", "商户证书序列号有误")
    if not 1 <= len(fields["nonce_str"]) <= 32:
        raise RefusedError(401, "SIGN_ERROR", "随机字符串长度错误")
    stamp = fields["timestamp"]
    if not stamp.isdecimal() or abs(int(stamp) - time.time()) > WINDOW_SECONDS:
        raise RefusedError(
            401, "SIGN_ERROR", "Http头Authorization中的timestamp与发起请求的时间不得超过5分钟"
        )
    message = f"{method}\n{target}\n{stamp}\n{fields['nonce_str']}\n".encode() + body + b"\n"
    if not verified(merchant, message, fields["signature"]):
        raise RefusedError(401, "SIGN_ERROR", "签名错误，请检查后再试")


def verified(merchant: Merchant, message: bytes, signature: str) -> bool:
    """Whether our merchant signed it."""
    try:
        decoded = base64.b64decode(signature, validate=True)
        merchant.merchant_public_key.verify(decoded, message, padding.PKCS1v15(), SHA256())
    except (ValueError, InvalidSignature):
        return False
    return True


def encrypt(
    merchant: Merchant,
    plaintext: bytes,
    kind: str,
    *,
    associated: Literal["kind", "empty", "null", "absent"] = "kind",
) -> dict[str, str | None]:
    """A sealed resource; `associated` is how its associated data is written, all but `kind`
    being none.
    """
    nonce = secrets.token_hex(6)
    associated_data = kind if associated == "kind" else ""
    sealed = AESGCM(merchant.api_v3_key.encode()).encrypt(
        nonce.encode(), plaintext, associated_data.encode()
    )
    content: dict[str, str | None] = {
        "algorithm": "AEAD_AES_256_GCM",
        "ciphertext": base64.b64encode(sealed).decode(),
        "associated_data": None if associated == "null" else associated_data,
        "nonce": nonce,
    }
    if associated == "absent":
        del content["associated_data"]
    return content


def decrypt_field(merchant: Merchant, serial: str, ciphertext: object) -> str:
    """A sensitive field that a merchant has encrypted with the key of this serial.

    RSAES-OAEP with SHA-1 and MGF1 ("encryption of sensitive information"). Raises RefusedError.
    """
    keys = {each.serial: each.key for each in merchant.certificates}
    key = keys.get(serial) or (merchant.public_key if serial == merchant.public_key_id else None)
    oaep = padding.OAEP(padding.MGF1(SHA1()), SHA1(), None)  # noqa: S303 - WeChat's choice
    try:
        if key is None or not isinstance(ciphertext, str):
            raise ValueError
        return key.decrypt(base64.b64decode(ciphertext, validate=True), oaep).decode()
    except ValueError:
        raise RefusedError(400, "PARAM_ERROR", "敏感信息解密失败，请检查Wechatpay-Serial") from None


def dump(content: Any) -> bytes:
    """JSON as WeChat writes it."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def beijing(seconds: float) -> str:
    """A time as WeChat writes it."""
    return datetime.fromtimestamp(int(seconds), BEIJING).isoformat()
