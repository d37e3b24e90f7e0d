"""Version 2 of the QR token: signed by the key of one partner's day, encrypted by a QR key.

What both versions have in common stands in test_qr_token.py, forgeries in test_qr_forgeries.py.
"""

import base64
import os
import string
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from server.tickets import qr
from server.tickets.qr import (
    Check,
    Claims,
    Compromised,
    Expired,
    Invalid,
    IssuingKey,
    IssuingKeys,
    KeyRing,
    KeyState,
    QrKey,
    QrKind,
    Signature,
    Unverified,
    Valid,
    VerifiedTokens,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
AES = QrKey.generate(7, KeyState.ACTIVE)
CLAIMS = Claims(
    jti=UUID("550e8400-e29b-41d4-a716-446655440000"),
    number=0x0123456789ABCDEF,
    expire_time=LATER,
    kind=QrKind.TICKET,
    flags=0,
)


def issuing_key(number: int = 256) -> IssuingKey:
    return IssuingKey(number, *qr.new_pair(), LATER)


KEY = issuing_key()
RING = KeyRing([AES], IssuingKeys(good={KEY.number: KEY.verify_key}))
TOKEN = qr.seal(CLAIMS, AES, KEY)
OF_QR_KEY = qr.seal(CLAIMS, AES)


def stdlib_decode(part: str) -> bytes:
    return base64.b32decode(part + "=" * (-len(part) % 8))


def base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=")


def with_header(content: bytes, by: bytes, prefix: bytes) -> str:
    """The token with another first part, signed again."""
    text = ":".join([base32(content), *TOKEN.split(":")[1:3]])
    signature = Ed25519PrivateKey.from_private_bytes(by).sign(prefix + text.encode())
    return f"{text}:{base32(signature)}"


VECTOR_VERIFY_KEY = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
VECTOR_TOKEN = (
    "AIVAUCYMZPGM3TWP2DI5FUY"
    ":GDKJZQF6RA4Q367ZRZLSE4UQAAJRFNBA5FZZHFG4NWH7EJXC"
    ":E2Q2QMOTSQTZXHP5PZWQZF34X4"
    ":FO6JU5DTXVFOBT2667BLT3SIDTT7T4S4AU7ONR4YUQ7OOAHVEE46E6S2DXYVLD5IIQIRK5L2BZANAZSJ5WBL3OCJVPRE"
    "ZQRCICWSYAY"
)


def test_known_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made with nothing of ours: struct, base64 and the `cryptography` package."""
    aes = QrKey(42, KeyState.ACTIVE, AES.verify_key, aes_key=bytes(range(100, 132)))
    verify_key = bytes.fromhex(VECTOR_VERIFY_KEY)
    key = IssuingKey(0x0A0B0C, verify_key, bytes(range(32)), LATER)
    monkeypatch.setattr(os, "urandom", lambda size: bytes(range(200, 200 + size)))
    assert qr.seal(CLAIMS, aes, key) == VECTOR_TOKEN
    ring = KeyRing([aes], IssuingKeys(good={key.number: verify_key}))
    assert qr.unseal(VECTOR_TOKEN, ring, NOW) == Valid(CLAIMS)
    assert qr.seal_of(VECTOR_TOKEN).key_id == key.number


def test_a_second_reader_written_from_the_specification_agrees() -> None:
    header, encrypted, tag, signature = map(stdlib_decode, TOKEN.split(":"))
    assert header[:2] == bytes([2, AES.key_id])
    assert int.from_bytes(header[2:5]) == KEY.number
    Ed25519PublicKey.from_public_bytes(KEY.verify_key).verify(
        signature, b"deeptravel qr token v2\x00" + TOKEN.rpartition(":")[0].encode()
    )
    plaintext = AESGCM(AES.aes_key).decrypt(header[2:], encrypted + tag, header)
    assert plaintext == (
        CLAIMS.jti.bytes
        + CLAIMS.number.to_bytes(8)
        + int(LATER.timestamp()).to_bytes(4)
        + bytes([1, 0])
    )


@given(
    st.builds(
        Claims,
        jti=st.uuids(allow_nil=True),
        number=st.integers(0, 2**64 - 1),
        expire_time=st.integers(0, 2**32 - 1).map(lambda s: datetime.fromtimestamp(s, UTC)),
        kind=st.sampled_from(QrKind),
        flags=st.integers(0, 255),
    ),
    st.integers(qr.FIRST_NUMBER, qr.LAST_NUMBER),
)
def test_what_is_sealed_is_unsealed(wanted: Claims, number: int) -> None:
    token = qr.seal(wanted, AES, IssuingKey(number, KEY.verify_key, KEY.seed, LATER))
    assert len(token) == 203
    assert set(token) <= set(string.ascii_uppercase + "234567:")
    ring = KeyRing([AES], IssuingKeys(good={number: KEY.verify_key}))
    outcome = qr.unseal(token, ring, NOW)
    assert outcome == (Valid(wanted) if wanted.expire_time > NOW else Expired(wanted))
    assert qr.unseal(token, KeyRing([AES]), NOW) == Invalid(Check.KEY, number)
    assert qr.seal_of(token).key_id == number


def test_the_same_claims_never_give_the_same_token() -> None:
    tokens = [qr.seal(CLAIMS, AES, KEY) for _ in range(100)]
    assert len({stdlib_decode(token[:23])[5:] for token in tokens}) == 100
    assert {stdlib_decode(token[:23])[:5] for token in tokens} == {bytes([2, 7, 0, 1, 0])}


def test_the_key_that_encrypts_needs_no_seed_and_must_be_active() -> None:
    without = QrKey(7, KeyState.ACTIVE, AES.verify_key, aes_key=AES.aes_key)
    assert qr.unseal(qr.seal(CLAIMS, without, KEY), RING, NOW) == Valid(CLAIMS)
    with pytest.raises(ValueError, match="only the active one"):
        qr.seal(CLAIMS, QrKey.generate(7, KeyState.PENDING), KEY)


def test_each_number_has_a_signature_of_its_own() -> None:
    """An issuing key signs for its own number alone, a QR key for no issuing key, and neither as
    the other version has it.
    """
    other = issuing_key(257)
    good = {KEY.number: KEY.verify_key, other.number: other.verify_key}
    ring = KeyRing([AES], IssuingKeys(good=good))
    header, of_other = (stdlib_decode(qr.seal(CLAIMS, AES, key)[:23]) for key in (KEY, other))
    first, second = (b"deeptravel qr token v%d\x00" % version for version in (1, 2))
    assert AES.seed is not None
    forged = [
        with_header(of_other, KEY.seed, second),
        with_header(header, AES.seed, second),
        with_header(header, KEY.seed, first),
        with_header(b"\x01" + header[1:], KEY.seed, first),
        with_header(b"\x01" + header[1:], AES.seed, second),
    ]
    assert [qr.unseal(text, ring, NOW) for text in forged] == [Invalid(Check.SIGNATURE)] * 5


@pytest.mark.parametrize(
    ("content", "failed"),
    [
        (bytes([3, 7, 0, 1, 0]), Invalid(Check.VERSION)),
        (bytes([2, 8, 0, 1, 0]), Invalid(Check.KEY)),
        (bytes([2, 7, 0, 0, 7]), Invalid(Check.KEY)),  # of a QrKey
        (bytes([2, 7, 0, 0, 255]), Invalid(Check.KEY)),
        (bytes([2, 7, 0, 1, 1]), Invalid(Check.KEY, 257)),
        (bytes([2, 7, 255, 255, 255]), Invalid(Check.KEY, (1 << 24) - 1)),
        (bytes([2, 7, 0, 1, 0]), Invalid(Check.DECRYPTION)),  # another iv than it was sealed with
    ],
)
def test_checks_in_order(content: bytes, failed: Invalid) -> None:
    text = with_header(content + bytes(9), KEY.seed, b"deeptravel qr token v2\x00")
    assert qr.unseal(text, RING, datetime(2100, 1, 1, tzinfo=UTC)) == failed


def test_what_is_looked_up_verifies_and_what_is_stolen_is_refused() -> None:
    found = {KEY.number: Signature(KEY.verify_key)}
    assert qr.unseal(TOKEN, KeyRing([AES], IssuingKeys(looked_up=found)), NOW) == Valid(CLAIMS)
    stolen = {KEY.number: Signature(KEY.verify_key, NOW)}
    ring = KeyRing([AES], IssuingKeys(stolen=stolen, looked_up=found))
    assert qr.unseal(TOKEN, ring, NOW) == Compromised(CLAIMS, NOW)
    assert qr.unseal(OF_QR_KEY, ring, NOW) == Valid(CLAIMS)


def test_a_remembered_token_dies_with_either_key() -> None:
    memory, parsed = VerifiedTokens(10), qr.parse(TOKEN, RING)
    assert isinstance(parsed, Unverified)
    for ring in (KeyRing([AES]), KeyRing([QrKey.generate(7, KeyState.ACTIVE)], RING.issuing)):
        memory.put(parsed, CLAIMS)
        assert memory.get(TOKEN, RING) == CLAIMS
        assert memory.get(TOKEN, ring) is None
        assert memory.get(TOKEN, RING) is None  # for good
