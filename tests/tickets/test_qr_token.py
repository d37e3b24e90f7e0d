"""The codec of the QR token: its bytes, its checks in order, and the memory of verified tokens.

That nothing forged is accepted stands in test_qr_forgeries.py.
"""

import base64
import os
import string
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import example, given
from hypothesis import strategies as st

from server.platform.texts import read_scanned
from server.tickets import qr
from server.tickets.qr import (
    Check,
    Claims,
    Compromised,
    Expired,
    Invalid,
    KeyRing,
    KeyState,
    QrKey,
    QrKind,
    Unverified,
    Valid,
    VerifiedTokens,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = QrKey.generate(7, KeyState.ACTIVE)
RING = KeyRing([KEY])

claims = st.builds(
    Claims,
    jti=st.uuids(allow_nil=True),
    number=st.integers(0, 2**64 - 1),
    expire_time=st.integers(0, 2**32 - 1).map(lambda s: datetime.fromtimestamp(s, UTC)),
    kind=st.sampled_from(QrKind),
    flags=st.integers(0, 255),
)


def new_claims(expire_time: datetime = NOW + timedelta(days=1)) -> Claims:
    return Claims(uuid4(), 42, expire_time)


def base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=")


def stdlib_decode(part: str) -> bytes:
    return base64.b32decode(part + "=" * (-len(part) % 8))


# A token in full, made with nothing of ours: struct, base64 and the `cryptography` package.
VECTOR_SEED = bytes(range(32))
VECTOR_AES_KEY = bytes(range(100, 132))
VECTOR_IV = bytes(range(200, 212))
VECTOR_VERIFY_KEY = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
VECTOR_CLAIMS = Claims(
    jti=UUID("550e8400-e29b-41d4-a716-446655440000"),
    number=0x0123456789ABCDEF,
    expire_time=NOW,
    kind=QrKind.TICKET,
    flags=0,
)
VECTOR_TOKEN = (
    "AEVMRSOKZPGM3TWP2DI5FUY"
    ":HFGB5BN5ZUSKMAVPCLAFBORCNKAWWYOFEAMKG57OJVABE3KC"
    ":JTMMAI6HWLBHKW53BXMKE3LCRU"
    ":LFQITDNWTZL6WOQLMF5NETSY7F2KL42DSR3HHCJ76PKCSH26LCYAZQJBWQ2B4WN7WJGOUODI33IXIQZFMTPK7RRE"
    "XSFS6D4MSDKUCBY"
)


def test_known_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    verify_key = bytes.fromhex(VECTOR_VERIFY_KEY)
    key = QrKey(42, KeyState.ACTIVE, verify_key, aes_key=VECTOR_AES_KEY, seed=VECTOR_SEED)
    monkeypatch.setattr(os, "urandom", lambda size: VECTOR_IV[:size])
    assert qr.seal(VECTOR_CLAIMS, key) == VECTOR_TOKEN
    just_before = NOW - timedelta(microseconds=1)
    assert qr.unseal(VECTOR_TOKEN, KeyRing([key]), just_before) == Valid(VECTOR_CLAIMS)


def test_under_a_compromised_key_nothing_is_valid() -> None:
    wanted = new_claims()
    ring = KeyRing([replace(KEY, state=KeyState.COMPROMISED, compromise_time=NOW)])
    token = qr.seal(wanted, KEY)
    assert qr.unseal(token, ring, NOW) == Compromised(wanted, NOW)
    known, parsed = VerifiedTokens(10), qr.parse(token, RING)
    assert isinstance(parsed, Unverified)
    known.put(parsed, wanted)
    assert known.get(token, RING) == wanted
    assert known.get(token, ring) is None
    assert ring.good == []


def test_a_second_reader_written_from_the_specification_agrees() -> None:
    sealed = qr.seal(VECTOR_CLAIMS, KEY)
    header, encrypted, tag, signature = map(stdlib_decode, sealed.split(":"))
    assert header[:2] == bytes([1, KEY.key_id])
    Ed25519PublicKey.from_public_bytes(KEY.verify_key).verify(
        signature, b"deeptravel qr token v1\x00" + sealed.rpartition(":")[0].encode()
    )
    plaintext = AESGCM(KEY.aes_key).decrypt(header[2:], encrypted + tag, header)
    assert plaintext == (
        VECTOR_CLAIMS.jti.bytes
        + VECTOR_CLAIMS.number.to_bytes(8)
        + int(NOW.timestamp()).to_bytes(4)
        + bytes([1, 0])
    )


@given(claims)
def test_what_is_sealed_is_unsealed(wanted: Claims) -> None:
    token = qr.seal(wanted, KEY)
    assert len(token) == 203
    assert set(token) <= set(string.ascii_uppercase + "234567:")  # all of QR alphanumeric mode
    outcome = qr.unseal(token, RING, NOW)
    assert outcome == (Valid(wanted) if wanted.expire_time > NOW else Expired(wanted))


def test_the_same_claims_never_give_the_same_token() -> None:
    wanted = new_claims()
    assert len({qr.seal(wanted, KEY) for _ in range(100)}) == 100


def test_expiry_is_the_first_moment_it_is_no_longer_good() -> None:
    wanted = new_claims(expire_time=NOW)
    token = qr.seal(wanted, KEY)
    assert qr.unseal(token, RING, NOW - timedelta(microseconds=1)) == Valid(wanted)
    assert qr.unseal(token, RING, NOW) == Expired(wanted)


def test_the_fraction_of_a_second_is_cut_off() -> None:
    token = qr.seal(new_claims(NOW + timedelta(microseconds=999_999)), KEY)
    outcome = qr.unseal(token, RING, NOW)
    assert isinstance(outcome, Expired)
    assert outcome.claims.expire_time == NOW


@pytest.mark.parametrize(
    "impossible",
    [
        Claims(uuid4(), -1, NOW),
        Claims(uuid4(), 2**64, NOW),
        Claims(uuid4(), 1, datetime(1969, 12, 31, tzinfo=UTC)),
        Claims(uuid4(), 1, datetime(2106, 2, 8, tzinfo=UTC)),
        Claims(uuid4(), 1, NOW, flags=256),
    ],
)
def test_claims_out_of_range_are_not_sealed(impossible: Claims) -> None:
    with pytest.raises(ValueError, match="Claims"):
        qr.seal(impossible, KEY)


@pytest.mark.parametrize("state", [s for s in KeyState if s is not KeyState.ACTIVE])
def test_only_the_active_key_seals(state: KeyState) -> None:
    with pytest.raises(ValueError, match="only the active one"):
        qr.seal(new_claims(), QrKey.generate(1, state))


def test_a_terminal_without_the_seed_unseals_but_cannot_seal() -> None:
    terminals = QrKey(7, KeyState.ACTIVE, KEY.verify_key, aes_key=KEY.aes_key)
    wanted = new_claims()
    assert qr.unseal(qr.seal(wanted, KEY), KeyRing([terminals]), NOW) == Valid(wanted)
    with pytest.raises(ValueError, match="only the active one"):
        qr.seal(wanted, terminals)


@pytest.mark.parametrize(
    ("state", "accepted"),
    [
        (KeyState.PENDING, True),  # another process may have seen its activation first
        (KeyState.ACTIVE, True),
        (KeyState.VERIFY_ONLY, True),
        (KeyState.REVOKED, False),
    ],
)
def test_which_keys_unseal(state: KeyState, accepted: bool) -> None:
    wanted = new_claims()
    key = QrKey(7, state, KEY.verify_key, aes_key=KEY.aes_key, seed=KEY.seed)
    outcome = qr.unseal(qr.seal(wanted, KEY), KeyRing([key]), NOW)
    assert outcome == (Valid(wanted) if accepted else Invalid(Check.KEY))


# The checks, in order. Each text fails the one named and, where it can, all behind it.

HEADER, ENCRYPTED, TAG, SIGNATURE = qr.seal(new_claims(), KEY).split(":")


def header(version: int, key_id: int) -> str:
    return base32(bytes([version, key_id]) + stdlib_decode(HEADER)[2:])


def signed_by_us(first: str, encrypted: str, tag: str) -> str:
    assert KEY.seed is not None
    text = f"{first}:{encrypted}:{tag}"
    private = Ed25519PrivateKey.from_private_bytes(KEY.seed)
    return f"{text}:{base32(private.sign(qr.SIGNATURE_PREFIXES[1] + text.encode()))}"


def encrypted_by_us(plaintext: bytes) -> str:
    first = stdlib_decode(HEADER)
    ciphertext = AESGCM(KEY.aes_key).encrypt(first[2:], plaintext, first)
    return signed_by_us(HEADER, base32(ciphertext[:-16]), base32(ciphertext[-16:]))


GENUINE_PLAINTEXT = AESGCM(KEY.aes_key).decrypt(
    stdlib_decode(HEADER)[2:], stdlib_decode(ENCRYPTED) + stdlib_decode(TAG), stdlib_decode(HEADER)
)


@pytest.mark.parametrize(
    ("failed", "text"),
    [
        (Check.LENGTH, "a:" * 256 + "b"),
        (Check.LENGTH, "A" * 513),
        (Check.PARTS, ""),
        (Check.PARTS, "A" * 512),
        (Check.PARTS, ":::"),
        (Check.PARTS, f"{HEADER}:{ENCRYPTED}:{TAG}"),
        (Check.PARTS, f"{HEADER}:{ENCRYPTED}:{TAG}:{SIGNATURE}:"),
        (Check.PARTS, f"{HEADER}=:{ENCRYPTED}:{TAG}:{SIGNATURE}"),
        (Check.PARTS, f"{HEADER}:{ENCRYPTED}:{TAG}:{SIGNATURE} A"),
        (Check.PARTS, "a" * 22 + f":{ENCRYPTED}:{TAG}:{SIGNATURE}"),
        (Check.BASE32, "1" * 23 + f":{ENCRYPTED}:{TAG}:{SIGNATURE}"),
        (Check.BASE32, f"{HEADER}:{ENCRYPTED}:{TAG}:{SIGNATURE[:-1]}B"),  # spare bits set
        (Check.BASE32, f"{header(2, 8)[:-1]}B:{ENCRYPTED}:{TAG}:{SIGNATURE}"),
        (Check.BASE32, f"{HEADER}:{ENCRYPTED[:-1]}0:{TAG}:{SIGNATURE}"),
        (Check.VERSION, f"{header(0, 8)}:{ENCRYPTED}:{TAG}:{SIGNATURE}"),
        (Check.VERSION, f"{header(3, 8)}:{ENCRYPTED}:{TAG}:{SIGNATURE}"),
        (Check.KEY, f"{header(1, 8)}:{ENCRYPTED}:{TAG}:{SIGNATURE}"),
        (Check.SIGNATURE, f"{HEADER}:{'A' * 48}:{TAG}:{SIGNATURE}"),
        (Check.SIGNATURE, f"{HEADER}:{ENCRYPTED}:{TAG}:{'A' * 103}"),
        (Check.DECRYPTION, signed_by_us(HEADER, "A" * 48, TAG)),
        (Check.DECRYPTION, signed_by_us(HEADER, ENCRYPTED, "A" * 26)),
        (Check.DECRYPTION, encrypted_by_us(GENUINE_PLAINTEXT[:-2] + b"\x00\x00")),  # kind 0
        (Check.DECRYPTION, encrypted_by_us(GENUINE_PLAINTEXT[:-2] + b"\x03\x00")),
    ],
)
def test_checks_in_order(failed: Check, text: str) -> None:
    long_after_expiry = datetime(2100, 1, 1, tzinfo=UTC)
    assert qr.unseal(text, RING, long_after_expiry) == Invalid(failed)


def test_the_helpers_above_make_genuine_tokens() -> None:
    assert isinstance(qr.unseal(encrypted_by_us(GENUINE_PLAINTEXT), RING, NOW), Valid)
    assert isinstance(qr.unseal(signed_by_us(HEADER, ENCRYPTED, TAG), RING, NOW), Valid)


def test_a_header_of_another_genuine_token_does_not_decrypt() -> None:
    other = qr.seal(new_claims(), KEY).split(":")[0]
    text = signed_by_us(other, ENCRYPTED, TAG)
    assert qr.unseal(text, RING, NOW) == Invalid(Check.DECRYPTION)


def test_a_signature_of_ours_over_anything_else_is_none() -> None:
    assert KEY.seed is not None
    text = f"{HEADER}:{ENCRYPTED}:{TAG}"
    signature = Ed25519PrivateKey.from_private_bytes(KEY.seed).sign(text.encode())
    assert qr.unseal(f"{text}:{base32(signature)}", RING, NOW) == Invalid(Check.SIGNATURE)


def test_no_signature_is_universal_even_under_a_weak_public_key() -> None:
    identity = b"\x01" + bytes(31)  # of order 1: R = identity, S = 0 fits every message
    weak = KeyRing([QrKey(7, KeyState.ACTIVE, identity, aes_key=KEY.aes_key)])
    Ed25519PublicKey.from_public_bytes(identity).verify(identity + bytes(32), b"OpenSSL takes it")
    text = f"{HEADER}:{ENCRYPTED}:{TAG}:{base32(identity + bytes(32))}"
    assert qr.unseal(text, weak, NOW) == Invalid(Check.SIGNATURE)


def is_canonical(text: str) -> bool:
    """The words of the specification: decode, encode again, compare."""
    parts = text.split(":")
    try:
        again = [base32(stdlib_decode(part)) for part in parts]
    except ValueError:
        return False
    return parts == again


def mutated(token: str) -> st.SearchStrategy[str]:
    """The token with a few characters replaced or added, by ones that decoders like to forgive."""
    forgiven = st.sampled_from(string.printable + "\u0131\u017f\u212a\uff21\u0660\u0967\u00b2\x00")
    edits = st.tuples(st.integers(0, len(token)), st.integers(0, 1), forgiven)

    def edited(wanted: list[tuple[int, int, str]]) -> str:
        text = token
        for at, replaced, char in wanted:
            text = text[:at] + char + text[at + replaced :]
        return text

    return st.lists(edits, max_size=3).map(edited)


@given(mutated(":".join((HEADER, ENCRYPTED, TAG, SIGNATURE))))
@example(f"{HEADER}:{ENCRYPTED}:{TAG}:{SIGNATURE}")
def test_canonical_means_that_encoding_again_gives_the_same_text(text: str) -> None:
    outcome = qr.parse(text, RING)
    in_form = isinstance(outcome, Unverified) or outcome.failed in {Check.VERSION, Check.KEY}
    if not (isinstance(outcome, Invalid) and outcome.failed is Check.PARTS):
        assert in_form == is_canonical(read_scanned(text))


@given(st.text(max_size=600))
@example("\ud800:" * 3)
@example("0x:0b:__:+1")
def test_no_text_raises(text: str) -> None:
    assert isinstance(qr.unseal(text, RING, NOW), Invalid)


# The memory of verified tokens.


def remembered(memory: VerifiedTokens, key: QrKey = KEY) -> tuple[str, Claims]:
    wanted = new_claims()
    token = qr.parse(qr.seal(wanted, key), KeyRing([key]))
    assert isinstance(token, Unverified)
    memory.put(token, wanted)
    return token.text, wanted


def test_a_verified_token_is_remembered_to_the_letter() -> None:
    memory = VerifiedTokens(10)
    text, wanted = remembered(memory)
    assert memory.get(text, RING) == wanted
    assert memory.get(text.lower(), RING) is None
    assert memory.get(text + " ", RING) is None


def test_the_memory_is_bounded_and_forgets_what_was_not_used_for_longest() -> None:
    memory = VerifiedTokens(3)
    texts = [remembered(memory)[0] for _ in range(3)]
    memory.get(texts[0], RING)
    texts.append(remembered(memory)[0])
    assert len(memory) == 3
    assert [memory.get(text, RING) is not None for text in texts] == [True, False, True, True]


def test_a_remembered_token_takes_less_than_its_text() -> None:
    """350 bytes by Python's own count, tables included. Seen red with the texts as keys: 540."""
    count = 2_000
    memory = VerifiedTokens(count)
    tracemalloc.start()
    try:
        for _ in range(count):
            remembered(memory)
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(memory) == count
    assert used / count < 450


def test_a_text_that_no_encoding_has_is_not_remembered() -> None:
    assert VerifiedTokens(10).get("\ud800", RING) is None


def test_a_memory_of_none_remembers_nothing() -> None:
    memory = VerifiedTokens(0)
    text, _ = remembered(memory)
    assert len(memory) == 0
    assert memory.get(text, RING) is None


def test_a_remembered_token_dies_with_its_key() -> None:
    memory = VerifiedTokens(10)
    text, _ = remembered(memory)
    assert memory.get(text, KeyRing([])) is None
    assert len(memory) == 0
    assert memory.get(text, RING) is None  # for good


def test_a_new_key_under_a_revoked_id_does_not_inherit_its_tokens() -> None:
    memory = VerifiedTokens(10)
    text, _ = remembered(memory)
    assert memory.get(text, KeyRing([QrKey.generate(KEY.key_id, KeyState.ACTIVE)])) is None


def test_a_remembered_token_outlives_reload_and_rotation() -> None:
    memory = VerifiedTokens(10)
    text, wanted = remembered(memory)
    assert KEY.seed is not None
    reloaded = QrKey(7, KeyState.VERIFY_ONLY, KEY.verify_key, aes_key=KEY.aes_key, seed=KEY.seed)
    assert memory.get(text, KeyRing([QrKey.generate(8, KeyState.ACTIVE), reloaded])) == wanted
