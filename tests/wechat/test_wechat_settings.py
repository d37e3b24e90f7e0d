"""Settings of the WeChat merchant: all or none, and every fault listed."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from server.platform.config import ConfigError, load_settings
from server.wechat.client import WechatClient
from tests.support.wechat_codec import API_V3_KEY, PUBLIC_KEY_ID, key


@pytest.fixture
def given(tmp_path: Path) -> dict[str, str]:
    private = key("merchant").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = (
        key("wechat").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    (tmp_path / "key.pem").write_bytes(private)
    (tmp_path / "pub.pem").write_bytes(public)
    return {
        "wechat_app_id": "wx0123456789abcdef",
        "wechat_app_secret": "s3cret",
        "wechat_merchant_id": "1900000001",
        "wechat_merchant_serial": "5f00aa",
        "wechat_merchant_key": str(tmp_path / "key.pem"),
        "wechat_api_v3_key": API_V3_KEY.decode(),
        "wechat_public_key_id": PUBLIC_KEY_ID,
        "wechat_public_key": str(tmp_path / "pub.pem"),
        "wechat_notify_url": "https://tickets.example/",
    }


async def test_a_merchant(given: dict[str, str]) -> None:
    settings = load_settings(**given)
    assert settings.wechat_merchant_serial == "5F00AA"
    assert settings.wechat_notify_url == "https://tickets.example"
    shown = repr(settings)
    assert "s3cret" not in shown
    assert API_V3_KEY.decode() not in shown
    client = WechatClient.of(settings)
    assert client
    assert (client.app_id, client.merchant_id) == ("wx0123456789abcdef", "1900000001")
    await client.aclose()


def test_no_merchant() -> None:
    assert WechatClient.of(load_settings()) is None


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"wechat_app_id": None}, "DEEPTRAVEL_WECHAT_APP_ID: set all"),
        (
            {"wechat_notify_url": None, "wechat_app_secret": None},
            "WECHAT_APP_SECRET, WECHAT_NOTIFY_URL",
        ),
        ({"wechat_public_key": None}, "set both or none"),
        ({"wechat_public_key_id": "ABC"}, "DEEPTRAVEL_WECHAT_PUBLIC_KEY_ID must begin with"),
        ({"wechat_api_v3_key": "short"}, "DEEPTRAVEL_WECHAT_API_V3_KEY has 5 bytes, must have 32"),
        ({"wechat_merchant_serial": "xyz"}, "DEEPTRAVEL_WECHAT_MERCHANT_SERIAL is not"),
        ({"wechat_merchant_key": "/nowhere.pem"}, "DEEPTRAVEL_WECHAT_MERCHANT_KEY names"),
        ({"wechat_notify_url": "tickets.example"}, "DEEPTRAVEL_WECHAT_NOTIFY_URL must begin"),
        ({"wechat_pay_url": "https://x.example?y"}, "DEEPTRAVEL_WECHAT_PAY_URL must begin"),
    ],
)
def test_faults_are_named(given: dict[str, str], change: dict[str, str | None], word: str) -> None:
    with pytest.raises(ConfigError, match=word.replace(".", r"\.")):
        load_settings(**{**given, **change})


def test_files_without_keys_are_named(given: dict[str, str]) -> None:
    for name, setting in (
        ("wechat_merchant_key", "MERCHANT_KEY"),
        ("wechat_public_key", "PUBLIC_KEY"),
    ):
        other = "wechat_public_key" if name == "wechat_merchant_key" else "wechat_merchant_key"
        with pytest.raises(ConfigError, match=f"DEEPTRAVEL_WECHAT_{setting} names .* is not"):
            WechatClient.of(load_settings(**{**given, name: given[other]}))
