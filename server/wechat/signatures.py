"""Signatures and encryption of WeChat Pay's API v3: bytes in, bytes out, no I/O and no clock.

WeChat signs with the key of a platform certificate (one or several at a time, they roll over) or
with its "public key" (ids begin with `PUB_KEY_ID_`); while a merchant moves from one to the other
both are in use, and the serial in the header says which. Source: pay.weixin.qq.com, "APIv3
signature generation", "signature verification", "WeChat Pay public key" and "decryption of
certificates and notices".
"""

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

SIGNATURE_TYPE = "WECHATPAY2-SHA256-RSA2048"
RESOURCE_ALGORITHM = "AEAD_AES_256_GCM"
WINDOW = timedelta(minutes=5)
"""How far a signature's time may be from ours, either way."""
PUBLIC_KEY_PREFIX = "PUB_KEY_ID_"
API_V3_KEY_BYTES = 32
MOST_HEADER_CHARACTERS = 1024


class SignatureInvalidError(Exception):
    """What claims to be WeChat's is not proven to be: nothing in it may be believed. The text
    says what is wrong.
    """


class UnknownSerialError(SignatureInvalidError):
    """It is signed with a key we do not have (or no longer trust); it may be proven once its
    certificate is fetched.
    """

    def __init__(self, serial: str) -> None:
        super().__init__(f"signed with the key {serial!r}, which is not among ours")
        self.serial = serial


class ContentInvalidError(Exception):
    """WeChat's message cannot be read as documented, though its signature may be right."""


@dataclass(frozen=True, slots=True)
class WechatMerchant:
    """Who we are at WeChat.

    Attributes:
        app_id: of the mini program.
        merchant_id: mchid.
        serial: serial number of our API certificate, upper-case hexadecimal.
        private_key: of that certificate.
        api_v3_key: 32 bytes that decrypt notices and platform certificates.
        answer_serial: id of the public key WeChat is to sign its answers with; empty for its
            platform certificate.
    """

    app_id: str
    merchant_id: str
    serial: str
    private_key: rsa.RSAPrivateKey = field(repr=False)
    api_v3_key: bytes = field(repr=False)
    answer_serial: str = ""


@dataclass(frozen=True, slots=True)
class PlatformKey:
    """A key WeChat signs with.

    Attributes:
        serial: as in the header `Wechatpay-Serial`.
        public_key: RSA.
        valid_from_time: before it nothing signed with it is believed; always, if none.
        valid_until_time: likewise after it.
    """

    serial: str
    public_key: rsa.RSAPublicKey
    valid_from_time: datetime | None = None
    valid_until_time: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        """Whether it may be used at `now`."""
        began = self.valid_from_time is None or self.valid_from_time <= now
        return began and (self.valid_until_time is None or now <= self.valid_until_time)


class PlatformKeys:
    """The keys WeChat signs with, by serial. Never changes; `joined` makes another."""

    def __init__(self, keys: Iterable[PlatformKey] = ()) -> None:
        self._keys = {key.serial: key for key in keys}

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, serial: object) -> bool:
        return serial in self._keys

    def joined(self, keys: Iterable[PlatformKey], now: datetime) -> "PlatformKeys":
        """These and `keys`, without certificates that have run out; the public key is never
        replaced by a certificate.
        """
        kept = [key for key in self._keys.values() if key.is_valid(now)]
        fresh = [key for key in keys if not key.serial.startswith(PUBLIC_KEY_PREFIX)]
        return PlatformKeys([*kept, *fresh])

    def for_encryption(self, now: datetime) -> PlatformKey | None:
        """The key to encrypt with what only WeChat may read: its public key, else the
        certificate that lasts longest.
        """
        valid = [key for key in self._keys.values() if key.is_valid(now)]
        return max(valid, key=_preference, default=None)

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        """Whether WeChat signed this answer or notice within the last five minutes.

        Args:
            headers: at least the four `Wechatpay-…` ones, in any case.
            body: exactly as it came.
            now: aware.

        Raises:
            UnknownSerialError: the key is not among these.
            SignatureInvalidError: a header is missing or malformed, it is older or newer than
                five minutes, or the signature does not fit, as that of WeChat's own probes
                (`WECHATPAY/SIGNTEST/…`).
        """
        given = {name.lower(): value for name, value in headers.items()}
        if given.get("wechatpay-signature-type", SIGNATURE_TYPE) != SIGNATURE_TYPE:
            raise SignatureInvalidError("Wechatpay-Signature-Type: not RSA with SHA-256")
        stamp, nonce, signature, serial = (
            _header(given, name) for name in ("timestamp", "nonce", "signature", "serial")
        )
        if not (stamp.isascii() and stamp.isdecimal()) or len(stamp) > 12:
            raise SignatureInvalidError("Wechatpay-Timestamp: not a number of seconds")
        if abs(int(stamp) - now.timestamp()) > WINDOW.total_seconds():
            raise SignatureInvalidError("Wechatpay-Timestamp: more than five minutes from now")
        key = self._keys.get(serial)
        if key is None or not key.is_valid(now):
            raise UnknownSerialError(serial)
        message = b"%s\n%s\n%s\n" % (stamp.encode(), nonce.encode(), body)
        try:
            decoded = base64.b64decode(signature, validate=True)
            key.public_key.verify(decoded, message, padding.PKCS1v15(), SHA256())
        except (binascii.Error, InvalidSignature):
            raise SignatureInvalidError("Wechatpay-Signature: does not fit") from None


def _preference(key: PlatformKey) -> tuple[bool, datetime]:
    until = key.valid_until_time or datetime.max.replace(tzinfo=UTC)
    return key.serial.startswith(PUBLIC_KEY_PREFIX), until


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(f"wechatpay-{name}", "")
    if not value or len(value) > MOST_HEADER_CHARACTERS or not value.isascii():
        raise SignatureInvalidError(f"Wechatpay-{name.capitalize()}: missing or malformed")
    return value


def sign(key: rsa.RSAPrivateKey, *lines: str | bytes) -> str:
    """RSA signature with SHA-256 over the lines, each ended by a line feed, in Base64."""
    parts = [line.encode() if isinstance(line, str) else line for line in lines]
    message = b"".join(part + b"\n" for part in parts)
    return base64.b64encode(key.sign(message, padding.PKCS1v15(), SHA256())).decode()


def authorization(
    merchant: WechatMerchant, method: str, target: str, body: bytes, *, now: datetime, nonce: str
) -> str:
    """The header `Authorization` of a request.

    Args:
        merchant: who asks.
        method: GET or POST.
        target: path with query, as sent.
        body: exactly as sent; empty for GET.
        now: time of the request.
        nonce: at most 32 letters and digits, never the same twice.
    """
    stamp = str(int(now.timestamp()))
    fields = {
        "mchid": merchant.merchant_id,
        "nonce_str": nonce,
        "timestamp": stamp,
        "serial_no": merchant.serial,
        "signature": sign(merchant.private_key, method, target, stamp, nonce, body),
    }
    return f"{SIGNATURE_TYPE} " + ",".join(f'{name}="{value}"' for name, value in fields.items())


def decrypt(api_v3_key: bytes, resource: Mapping[str, Any]) -> bytes:
    """Opens the `resource` of a notice or the `encrypt_certificate` of a certificate.

    Raises:
        ContentInvalidError: another algorithm, a part missing, or another key, nonce or
            associated data.
    """
    try:
        algorithm, nonce = resource["algorithm"], resource["nonce"].encode()
        ciphertext = base64.b64decode(resource["ciphertext"], validate=True)
        associated = (resource.get("associated_data") or "").encode()
    except (KeyError, AttributeError, TypeError, ValueError):
        raise ContentInvalidError("an encrypted resource with parts missing") from None
    if algorithm != RESOURCE_ALGORITHM:
        raise ContentInvalidError(f"a resource encrypted by {algorithm!r}")
    try:
        return AESGCM(api_v3_key).decrypt(nonce, ciphertext, associated)
    except (InvalidTag, ValueError):
        raise ContentInvalidError("a resource that our API v3 key does not open") from None


def encrypt_field(key: PlatformKey, text: str) -> str:
    """A sensitive field of a request, such as a card's number, in Base64: RSAES-OAEP with SHA-1 and
    MGF1.

    Of up to 214 bytes. Source: "encryption of sensitive information".
    """
    oaep = padding.OAEP(padding.MGF1(SHA1()), SHA1(), None)  # noqa: S303 - WeChat's choice
    return base64.b64encode(key.public_key.encrypt(text.encode(), oaep)).decode()


def parse_certificates(api_v3_key: bytes, body: bytes) -> list[PlatformKey]:
    """The platform certificates in the answer of `/v3/certificates`.

    They are sealed with our API v3 key, which only WeChat and we have; the answer itself is signed
    with one of them.

    Raises:
        ContentInvalidError: not such an answer, or a certificate that does not open or is of
            another serial.
    """
    try:
        entries = list(json.loads(body)["data"])
        return [_certificate(api_v3_key, entry) for entry in entries]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ContentInvalidError(f"not a list of certificates ({type(error).__name__})") from None


def _certificate(api_v3_key: bytes, entry: Mapping[str, Any]) -> PlatformKey:
    certificate = x509.load_pem_x509_certificate(decrypt(api_v3_key, entry["encrypt_certificate"]))
    serial = str(entry["serial_no"])
    public_key = certificate.public_key()
    if int(serial, 16) != certificate.serial_number or not isinstance(public_key, rsa.RSAPublicKey):
        raise ContentInvalidError(f"the certificate sent as {serial!r} is another")
    return PlatformKey(
        serial,
        public_key,
        certificate.not_valid_before_utc.astimezone(UTC),
        certificate.not_valid_after_utc.astimezone(UTC),
    )


def load_private_key(pem: bytes) -> rsa.RSAPrivateKey:
    """Our key, `apiclient_key.pem` as WeChat's tool writes it. Raises ValueError if it is no RSA
    key in PEM.
    """
    try:
        key = load_pem_private_key(pem, password=None)
    except (TypeError, ValueError) as error:
        raise ValueError(f"is not a private key in PEM without password ({error})") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("is not an RSA key")
    return key


def load_public_key(pem: bytes) -> rsa.RSAPublicKey:
    """WeChat's public key, `pub_key.pem` as the merchant platform gives it. Raises ValueError if
    it is no RSA key.
    """
    try:
        key = load_pem_public_key(pem)
    except ValueError as error:
        raise ValueError(f"is not a public key in PEM ({error})") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError("is not an RSA key")
    return key
