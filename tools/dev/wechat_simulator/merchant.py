"""The simulated merchant and WeChat's own keys: made once, kept in the simulator's folder."""

import json
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

MERCHANT_FILE = "merchant.json"
LIFE = timedelta(days=5 * 365)


@dataclass
class PlatformCertificate:
    """One of WeChat's certificates with its key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    @property
    def serial(self) -> str:
        return f"{self.certificate.serial_number:040X}"

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)


@dataclass
class Merchant:
    """Who the simulator takes for its merchant, and what it signs with."""

    folder: Path
    app_id: str
    app_secret: str
    merchant_id: str
    merchant_serial: str
    api_v3_key: str
    public_key_id: str
    merchant_public_key: rsa.RSAPublicKey
    public_key: rsa.RSAPrivateKey
    """The private half of what merchants know as WeChat Pay's public key."""
    certificates: list[PlatformCertificate] = field(default_factory=list)
    """The newest last; that one signs."""

    @classmethod
    def open(cls, folder: Path) -> "Merchant":
        """The one in the folder, made if there is none."""
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "identity.json").exists():
            _make(folder)
        known: dict[str, Any] = json.loads((folder / "identity.json").read_text())
        certificate = x509.load_pem_x509_certificate((folder / "merchant_cert.pem").read_bytes())
        merchant_public_key = certificate.public_key()
        assert isinstance(merchant_public_key, rsa.RSAPublicKey)
        merchant = cls(
            folder,
            merchant_public_key=merchant_public_key,
            public_key=_load_key(folder / "wechatpay_key.pem"),
            **known,
        )
        for path in sorted(folder.glob("platform_*_cert.pem")):
            platform = x509.load_pem_x509_certificate(path.read_bytes())
            key = _load_key(path.with_name(path.name.replace("_cert", "_key")))
            merchant.certificates.append(PlatformCertificate(platform, key))
        return merchant

    def add_certificate(self) -> PlatformCertificate:
        """A new platform certificate, with which is signed from now on; the older ones stay in
        the list.
        """
        number = len(self.certificates) + 1
        key, certificate = _certificate("Tenpay.com Root CA (simulated)", LIFE)
        _write_key(self.folder / f"platform_{number:03}_key.pem", key)
        made = PlatformCertificate(certificate, key)
        (self.folder / f"platform_{number:03}_cert.pem").write_bytes(made.pem)
        self.certificates.append(made)
        return made

    def settings(self, url: str) -> dict[str, str]:
        """What our server needs to be this merchant; the names are those of its settings."""
        return {
            "wechat_app_id": self.app_id,
            "wechat_app_secret": self.app_secret,
            "wechat_merchant_id": self.merchant_id,
            "wechat_merchant_serial": self.merchant_serial,
            "wechat_merchant_key": str((self.folder / "merchant_key.pem").resolve()),
            "wechat_api_v3_key": self.api_v3_key,
            "wechat_public_key_id": self.public_key_id,
            "wechat_public_key": str((self.folder / "wechatpay_public_key.pem").resolve()),
            "wechat_pay_url": url,
            "wechat_login_url": url,
        }

    def announce(self, url: str) -> Path:
        """Writes where the simulator is and how to be its merchant; returns the file."""
        path = self.folder / MERCHANT_FILE
        content = {"url": url, "settings": self.settings(url)}
        fresh = path.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(content, indent=2) + "\n")
        fresh.replace(path)
        return path


def _make(folder: Path) -> None:
    merchant_key, merchant_certificate = _certificate("DeepTravel (simulated merchant)", LIFE)
    wechat_key = rsa.generate_private_key(65537, 2048)
    _write_key(folder / "merchant_key.pem", merchant_key)
    (folder / "merchant_cert.pem").write_bytes(merchant_certificate.public_bytes(Encoding.PEM))
    _write_key(folder / "wechatpay_key.pem", wechat_key)
    (folder / "wechatpay_public_key.pem").write_bytes(
        wechat_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    platform_key, platform = _certificate("Tenpay.com Root CA (simulated)", LIFE)
    _write_key(folder / "platform_001_key.pem", platform_key)
    (folder / "platform_001_cert.pem").write_bytes(platform.public_bytes(Encoding.PEM))
    merchant_id = f"19{secrets.randbelow(10**8):08}"
    identity = {
        "app_id": f"wx{secrets.token_hex(8)}",
        "app_secret": secrets.token_hex(16),
        "merchant_id": merchant_id,
        "merchant_serial": f"{merchant_certificate.serial_number:040X}",
        "api_v3_key": secrets.token_hex(16),
        "public_key_id": f"PUB_KEY_ID_01{merchant_id}{datetime.now(UTC):%Y%m%d}00",
    }
    fresh = folder / "identity.new"
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(identity, indent=2) + "\n")
    fresh.replace(folder / "identity.json")  # last: what is there is whole


def _certificate(name: str, life: timedelta) -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + life)
        .sign(key, SHA256())
    )
    return key, certificate


def _write_key(path: Path, key: rsa.RSAPrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _load_key(path: Path) -> rsa.RSAPrivateKey:
    # its own, made by it: to check the primes again would take most of its start
    key = load_pem_private_key(
        path.read_bytes(), password=None, unsafe_skip_rsa_key_validation=True
    )
    assert isinstance(key, rsa.RSAPrivateKey)
    return key
