"""What is WeChat's and what is not: signatures, encrypted resources, certificates."""

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st
from wechatpayv3 import utils as other

from server.wechat.signatures import (
    ContentInvalidError,
    PlatformKey,
    PlatformKeys,
    SignatureInvalidError,
    UnknownSerialError,
    authorization,
    decrypt,
    encrypt_field,
    load_private_key,
    load_public_key,
    parse_certificates,
    sign,
)
from tests.support.wechat_codec import (
    API_V3_KEY,
    AT,
    NOW,
    PUBLIC_KEY_ID,
    certificate,
    key,
    merchant,
    platform_key,
    sealed,
    signed,
)

BODY = '{"summary":"支付成功"}'.encode()
CERTIFICATE_SERIAL = "7132D72A03E93CDDF8C03BBD1F37EEDF00000000"
KEYS = PlatformKeys([platform_key(), platform_key(CERTIFICATE_SERIAL)])
DAY = timedelta(days=1)


@given(st.binary(max_size=400), st.sampled_from([PUBLIC_KEY_ID, CERTIFICATE_SERIAL]))
def test_what_wechat_signed_is_believed_by_the_serial_it_names(body: bytes, serial: str) -> None:
    KEYS.verify(signed(body, serial=serial), body, NOW)
    KEYS.verify({k.lower(): v for k, v in signed(body, serial=serial).items()}, body, NOW)


@given(st.binary(min_size=1, max_size=400), st.data())
def test_one_changed_byte_is_seen(body: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(body) - 1))
    other_byte = data.draw(st.integers(0, 255).filter(lambda value: value != body[place]))
    forged = body[:place] + bytes([other_byte]) + body[place + 1 :]
    with pytest.raises(SignatureInvalidError):
        KEYS.verify(signed(body), forged, NOW)


@pytest.mark.parametrize("seconds", [-300, -299, 0, 299, 300])
def test_five_minutes_either_way(seconds: int) -> None:
    KEYS.verify(signed(BODY, at=AT + seconds), BODY, NOW)


FORGERIES: dict[str, dict[str, Any]] = {
    "old": {"at": AT - 301},
    "of the future": {"at": AT + 301},
    "a month old": {"at": AT - 30 * 86400},
    "replayed under a fresh time": {"at": AT - 301, "timestamp": str(AT)},
    "signed by another": {"signer": "stranger"},
    "signed by the certificate, named the public key": {"signer": CERTIFICATE_SERIAL},
    "another nonce": {"nonce": "other"},
    "no signature": {"signature": ""},
    "not Base64": {"signature": "§" * 10},
    "half Base64": {"signature": "abc"},
    "a short signature": {"signature": base64.b64encode(b"x" * 64).decode()},
    "a probe": {"signature": "WECHATPAY/SIGNTEST/" + "A" * 325},
    "a probe that is Base64": {"signature": "WECHATPAY/SIGNTEST/" + "A" * 325 + "=="},
    "an endless header": {"nonce": "n" * 2000},
    "a time in words": {"timestamp": "now"},
    "a time with digits of another script": {"timestamp": "١٧٦"},
    "a time before all times": {"timestamp": f"-{AT}"},
    "an endless time": {"timestamp": "9" * 900},
    "no time": {"timestamp": ""},
    "no nonce": {"nonce": ""},
    "no serial": {"serial": ""},
    "another signature type": {"signature-type": "WECHATPAY2-SHA256-HMAC"},
}


@pytest.mark.parametrize("how", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_forgery(how: dict[str, Any]) -> None:
    headers = signed(BODY, **{name: value for name, value in how.items() if name != "serial"})
    if "serial" in how:
        headers["Wechatpay-Serial"] = how["serial"]
    with pytest.raises(SignatureInvalidError) as raised:
        KEYS.verify(headers, BODY, NOW)
    assert not isinstance(raised.value, UnknownSerialError)


@pytest.mark.parametrize("missing", ["Timestamp", "Nonce", "Signature", "Serial"])
def test_each_header_is_needed(missing: str) -> None:
    headers = {k: v for k, v in signed(BODY).items() if k != f"Wechatpay-{missing}"}
    with pytest.raises(SignatureInvalidError, match=missing):
        KEYS.verify(headers, BODY, NOW)


def test_an_unknown_serial_is_an_error_of_its_own() -> None:
    with pytest.raises(UnknownSerialError) as raised:
        KEYS.verify(signed(BODY, serial="ABC"), BODY, NOW)
    assert raised.value.serial == "ABC"


@pytest.mark.parametrize(
    "life", [{"valid_until_time": NOW - DAY}, {"valid_from_time": NOW + DAY}], ids=str
)
def test_a_certificate_out_of_its_time_is_as_unknown(life: dict[str, Any]) -> None:
    keys = PlatformKeys([platform_key("ABC", **life)])
    with pytest.raises(UnknownSerialError):
        keys.verify(signed(BODY, serial="ABC"), BODY, NOW)


def test_keys_join_and_none_is_lost_but_by_age() -> None:
    old = platform_key("OLD", valid_until_time=NOW - DAY)
    known = PlatformKeys([platform_key(), old, platform_key("ABC")])
    left = known.joined([], NOW)
    assert PUBLIC_KEY_ID in left
    assert "ABC" in left
    assert "OLD" not in left
    joined = known.joined(
        [platform_key("NEW"), PlatformKey(PUBLIC_KEY_ID, key("x").public_key())], NOW
    )
    assert len(joined) == 3
    joined.verify(signed(BODY), BODY, NOW)  # the public key is still ours
    joined.verify(signed(BODY, serial="NEW"), BODY, NOW)


@given(st.binary(max_size=200), st.text(max_size=20))
def test_a_resource_opens(content: bytes, associated_data: str) -> None:
    assert decrypt(API_V3_KEY, sealed(content, associated_data)) == content


def test_a_resource_without_associated_data_opens() -> None:
    """WeChat writes what it has none of as an empty text, as null, or not at all."""
    for nothing in (None, ""):
        assert decrypt(API_V3_KEY, {**sealed(b"x", ""), "associated_data": nothing}) == b"x"
    absent = sealed(b"x", "")
    del absent["associated_data"]
    assert decrypt(API_V3_KEY, absent) == b"x"


@pytest.mark.parametrize(
    "wrong",
    [
        {"algorithm": "AES"},
        {"nonce": "another none"},
        {"nonce": ""},
        {"nonce": 7},
        {"associated_data": "refund"},
        {"associated_data": 7},
        {"ciphertext": "AAAA"},
        {"ciphertext": "§"},
        {"ciphertext": None},
    ],
    ids=str,
)
def test_a_resource_that_does_not_open(wrong: dict[str, Any]) -> None:
    with pytest.raises(ContentInvalidError):
        decrypt(API_V3_KEY, {**sealed(b"x"), **wrong})
    with pytest.raises(ContentInvalidError):
        decrypt(b"f" * 32, sealed(b"x"))


def test_a_field_is_encrypted_for_wechat_alone() -> None:
    ciphertext = encrypt_field(platform_key(), "6222 张三")
    oaep = padding.OAEP(padding.MGF1(SHA1()), SHA1(), None)
    opened = key(PUBLIC_KEY_ID).decrypt(base64.b64decode(ciphertext), oaep)
    assert opened.decode() == "6222 张三"
    assert encrypt_field(platform_key(), "x") != encrypt_field(platform_key(), "x")


def test_the_key_to_encrypt_with() -> None:
    assert PlatformKeys().for_encryption(NOW) is None
    days = [platform_key(f"{n}", valid_until_time=NOW + timedelta(days=n)) for n in (-1, 1, 2)]
    chosen = PlatformKeys(days).for_encryption(NOW)
    assert chosen
    assert chosen.serial == "2", "the certificate that lasts longest"
    chosen = PlatformKeys([platform_key(), *days]).for_encryption(NOW)
    assert chosen
    assert chosen.serial == PUBLIC_KEY_ID


def certificates(**changed: Any) -> bytes:
    entry = {
        "serial_no": "ABCDEF",
        "effective_time": "2026-01-01T00:00:00+08:00",
        "expire_time": "2031-01-01T00:00:00+08:00",
        "encrypt_certificate": sealed(certificate("platform"), "certificate"),
    }
    return json.dumps({"data": [{**entry, **changed}]}).encode()


def test_certificates_are_opened_and_their_own_dates_count() -> None:
    (found,) = parse_certificates(API_V3_KEY, certificates())
    assert (found.serial, found.valid_from_time, found.valid_until_time) == (
        "ABCDEF",
        NOW - DAY,
        NOW + DAY,
    )
    keys = PlatformKeys().joined([found], NOW)
    keys.verify(signed(BODY, serial="ABCDEF", signer="platform"), BODY, NOW)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"data":7}',
        b'{"data":[7]}',
        certificates(serial_no="ABCDEE"),
        certificates(serial_no="xyz"),
        certificates(encrypt_certificate={}),
        certificates(encrypt_certificate=sealed(b"no certificate", "certificate")),
        certificates(encrypt_certificate={**sealed(b"x"), "ciphertext": "AAAA"}),
    ],
)
def test_certificates_that_are_none(body: bytes) -> None:
    with pytest.raises(ContentInvalidError):
        parse_certificates(API_V3_KEY, body)


def test_the_authorization_header_is_what_another_library_checks() -> None:
    header = authorization(merchant(), "POST", "/v3/x?a=b", BODY, now=NOW, nonce="n0")
    scheme, _, rest = header.partition(" ")
    fields = {n: v.strip('"') for n, _, v in (part.partition("=") for part in rest.split(","))}
    assert scheme == "WECHATPAY2-SHA256-RSA2048"
    assert {k: v for k, v in fields.items() if k != "signature"} == {
        "mchid": "1900000001",
        "nonce_str": "n0",
        "timestamp": str(AT),
        "serial_no": "5F00AA",
    }
    # its check of answers joins three lines; ours has two more before
    assert other.rsa_verify(
        "POST\n/v3/x?a=b",
        f"{AT}\nn0",
        BODY.decode(),
        fields["signature"],
        key("merchant").public_key(),
    )


@given(st.text(max_size=100))
def test_another_library_signs_the_same(text: str) -> None:
    lines = text.splitlines()
    message = "".join(f"{line}\n" for line in lines)
    assert sign(key("merchant"), *lines) == other.rsa_sign(key("merchant"), message)


def test_another_library_opens_the_same() -> None:
    resource = sealed({"text": "票"})
    opened = other.aes_decrypt(
        resource["nonce"], resource["ciphertext"], "transaction", API_V3_KEY.decode()
    )
    assert opened.encode() == decrypt(API_V3_KEY, resource)


def test_keys_in_files() -> None:
    private = key("merchant").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = (
        key("merchant").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    assert load_private_key(private).public_key() == load_public_key(public)
    curve = ec.generate_private_key(ec.SECP256R1())
    curve_pem = curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    curve_public = curve.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for pem in (b"", public, curve_pem):
        with pytest.raises(ValueError, match="is not"):
            load_private_key(pem)
    for pem in (b"", private, curve_public):
        with pytest.raises(ValueError, match="is not"):
            load_public_key(pem)
