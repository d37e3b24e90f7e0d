"""Keys and signatures for tests of the WeChat codec, made without it."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from server.wechat.signatures import PlatformKey, WechatMerchant

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AT = int(NOW.timestamp())
API_V3_KEY = b"0123456789abcdef0123456789abcdef"
PUBLIC_KEY_ID = "PUB_KEY_ID_0119000000012026030100"


@cache
def key(name: str) -> rsa.RSAPrivateKey:
    """A key of the run's own; the same for the same name."""
    return rsa.generate_private_key(65537, 2048)


def merchant() -> WechatMerchant:
    return WechatMerchant("wx0123456789abcdef", "1900000001", "5F00AA", key("merchant"), API_V3_KEY)


def platform_key(serial: str = PUBLIC_KEY_ID, **life: datetime) -> PlatformKey:
    return PlatformKey(serial, key(serial).public_key(), **life)


def signed(
    body: bytes, *, serial: str = PUBLIC_KEY_ID, at: int = AT, signer: str = "", **changed: str
) -> dict[str, str]:
    """Headers as WeChat sends them with a body; `changed` replaces some (timestamp="…") after
    the signing.
    """
    message = f"{at}\nnonce\n".encode() + body + b"\n"
    signature = key(signer or serial).sign(message, padding.PKCS1v15(), SHA256())
    values = {
        "timestamp": str(at),
        "nonce": "nonce",
        "signature": base64.b64encode(signature).decode(),
        "serial": serial,
        **changed,
    }
    return {f"Wechatpay-{name.capitalize()}": value for name, value in values.items()}


def sealed(content: Any, associated_data: str = "transaction") -> dict[str, str]:
    """A resource as WeChat encrypts it; bytes as they are, anything else as JSON."""
    plaintext = content if isinstance(content, bytes) else json.dumps(content).encode()
    ciphertext = AESGCM(API_V3_KEY).encrypt(b"twelve bytes", plaintext, associated_data.encode())
    return {
        "algorithm": "AEAD_AES_256_GCM",
        "nonce": "twelve bytes",
        "ciphertext": base64.b64encode(ciphertext).decode(),
        "associated_data": associated_data,
    }


@cache
def certificate(name: str, number: int = 0xABCDEF) -> bytes:
    """A platform certificate in PEM, valid a day around NOW."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key(name).public_key())
        .serial_number(number)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .sign(key(name), SHA256())
    )
    return made.public_bytes(Encoding.PEM)


def changed(content: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The content with what is at a dotted path replaced, or removed by `...`."""
    name, _, rest = path.partition(".")
    if rest:
        return {**content, name: changed(content[name], rest, value)}
    kept = {each: found for each, found in content.items() if each != name}
    return kept if value is ... else {**kept, name: value}
