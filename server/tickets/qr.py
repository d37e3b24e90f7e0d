"""The QR token: what a ticket's QR code carries, sealed so that nobody else can make or alter one.

Text `iv:encrypted:authTag:signature`, each part unpadded upper-case Base32, 203 characters:

    part       bytes  content
    iv            14  version u8 | key id u8 | AES-GCM iv 12 B
    encrypted     30  AES-256-GCM, with part 1 as associated data, of
                      jti 16 B | number u64 | expiry u32 in Unix seconds | kind u8 | flags u8
    authTag       16  of AES-256-GCM
    signature     64  Ed25519 over the version's prefix and the text before the third colon

The key id is that of the `QrKey` that encrypts. In version 1 it signs too. In version 2 an
`IssuingKey` does, that of one partner's day; the iv is its number, 3 B, and 9 random bytes. The
number is in no other key's iv, so that two of an AES key are the same only where these 72 bits are,
of one key's tokens: of a million in a day once in nine billion days. Version 1 is read for ever, as
codes are printed, and made only under a key that is older than version 2.

Numbers are big-endian. One content has one text: any other spelling of the same bytes is refused.
What scanners add to that text is not a spelling: `texts.read_scanned` takes it away before any
check.

`unseal` does everything. Who has many scans at once takes its steps apart: `VerifiedTokens.get`
(4 µs), `parse` (6 µs), `verify` (64 µs, of which 55 are libsodium's), `check_expiry`. A thread that
verifies beside a busy event loop waits for the interpreter after every token, and so verifies half
as many as the loop does itself.

No I/O here. The rules are those of the domain page, "QR token".
"""

import base64
import enum
import hashlib
import os
import struct
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import NamedTuple, Self
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from server.platform.texts import read_scanned
from server.tickets.rules import is_test

MAX_TOKEN_CHARS = 512
SIGNATURE_PREFIXES = {version: b"deeptravel qr token v%d\x00" % version for version in (1, 2)}
"""Keep a signature of ours over anything else from passing as a token's."""
BY_ISSUING_KEY = 2
"""The version whose tokens an issuing key signs."""

IV_BYTES = 12
TAG_BYTES = 16
AES_KEY_BYTES = 32
SEED_BYTES = 32
VERIFY_KEY_BYTES = 32
SIGNATURE_BYTES = 64
DIGEST_BYTES = 16
NUMBER_BYTES = 3
FIRST_NUMBER = 256
"""Of issuing keys; the numbers below are the ids of QrKeys."""
LAST_NUMBER = (1 << 8 * NUMBER_BYTES) - 1

_HEADER = struct.Struct(f">BB{IV_BYTES}s")
_CLAIMS = struct.Struct(">16sQIBB")
_PART_BYTES = (_HEADER.size, _CLAIMS.size, TAG_BYTES, SIGNATURE_BYTES)
_PART_CHARS = tuple(-(-8 * size // 5) for size in _PART_BYTES)
_SIGNED_CHARS = sum(_PART_CHARS[:3]) + 2

_BASE32 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_DIGITS = b"0123456789abcdefghijklmnopqrstuv"
# int(part, 32) decodes ten times faster than the base64 module, which matters at every scan, but
# reads other digits and accepts signs, spaces and underscores: all else becomes "!", not a digit.
_TO_DIGITS = bytes(
    _DIGITS[_BASE32.index(byte)] if byte in _BASE32 else byte if byte == ord(":") else ord("!")
    for byte in range(256)
)


class QrKind(enum.IntEnum):
    """What a token stands for."""

    TICKET = 1
    ORDER = 2


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says. No personal data."""

    jti: UUID  # id of this QR; a ticket's former ones are superseded
    number: int  # ticket_id, or order_id where kind is ORDER; 0 to 2^64 - 1
    expire_time: datetime  # the first moment at which it is no longer good; whole seconds
    kind: QrKind = QrKind.TICKET
    flags: int = 0  # FLAG_TEST; unknown ones are to be ignored


FLAG_TEST = 1
"""A ticket or order of a sandbox: a reader without network refuses it too. Its number says the same
(`tickets.rules.is_test`).
"""


def claims_of(
    jti: UUID, number: int, expire_time: datetime, kind: QrKind = QrKind.TICKET
) -> Claims:
    """What the QR of a ticket or order says."""
    return Claims(jti, number, expire_time, kind, FLAG_TEST if is_test(number) else 0)


class KeyState(enum.StrEnum):
    """The life of a key. At most one is ACTIVE."""

    PENDING = "PENDING"  # verifies already, so that every process knows it before the first use
    ACTIVE = "ACTIVE"  # seals new tokens
    VERIFY_ONLY = "VERIFY_ONLY"  # its tokens are still good
    COMPROMISED = (
        "COMPROMISED"  # others have it: its tokens are refused, ours apart from forged ones
    )
    REVOKED = "REVOKED"  # its tokens are refused


@dataclass(frozen=True, slots=True)
class QrKey:
    """The keys under one key id. Without the seed, as a terminal has it, it opens but cannot forge.

    Raises ValueError for a key id above a byte, wrong lengths, or a seed of another verify_key.
    """

    key_id: int
    state: KeyState
    verify_key: bytes  # Ed25519 public key
    aes_key: bytes = field(repr=False)
    seed: bytes | None = field(default=None, repr=False)  # Ed25519 private key
    compromise_time: datetime | None = None  # of one that is COMPROMISED
    cipher: AESGCM = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 <= self.key_id <= 255:
            raise ValueError(f"key_id {self.key_id}: must be 0 to 255")
        if len(self.aes_key) != AES_KEY_BYTES or len(self.verify_key) != VERIFY_KEY_BYTES:
            raise ValueError(f"key {self.key_id}: aes_key and verify_key must have 32 bytes each")
        if self.seed is not None and crypto_sign_seed_keypair(self.seed)[0] != self.verify_key:
            raise ValueError(f"key {self.key_id}: seed and verify_key are not of one pair")
        object.__setattr__(self, "cipher", AESGCM(self.aes_key))

    @classmethod
    def generate(cls, key_id: int, state: KeyState) -> Self:
        """A new key from the system's randomness."""
        verify_key, seed = new_pair()
        return cls(key_id, state, verify_key, aes_key=os.urandom(AES_KEY_BYTES), seed=seed)

    @property
    def stolen_since(self) -> datetime | None:
        """Since when others have it; None if they have not."""
        if self.state is not KeyState.COMPROMISED:
            return None
        return self.compromise_time or datetime.min.replace(tzinfo=UTC)


def new_pair() -> tuple[bytes, bytes]:
    """A public key of Ed25519 and its seed, from the system's randomness."""
    seed = os.urandom(SEED_BYTES)
    return crypto_sign_seed_keypair(seed)[0], seed


@dataclass(frozen=True, slots=True)
class IssuingKey:
    """Signs the tokens of one partner's day; it verifies them until `end_time` at least."""

    number: int
    verify_key: bytes  # Ed25519 public key
    seed: bytes = field(repr=False)  # Ed25519 private key
    end_time: datetime


class Signature(NamedTuple):
    """Whose public key a token is to be verified by; `since` others have its private half, if they
    have.
    """

    verify_key: bytes
    since: datetime | None = None


class IssuingKeys(NamedTuple):
    """The issuing keys a process knows. Thousands, so of most only the public key, by number."""

    good: Mapping[int, bytes] = MappingProxyType({})
    stolen: Mapping[int, Signature] = MappingProxyType({})
    looked_up: Mapping[int, Signature] = MappingProxyType({})  # may grow; in neither of the others
    signing: Mapping[tuple[int, date], IssuingKey] = MappingProxyType({})  # by partner and day


NO_ISSUING_KEYS = IssuingKeys()


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys a process knows, without the revoked.

    Raises ValueError for two keys of one id, or two that are ACTIVE.
    """

    keys: tuple[QrKey, ...]
    issuing: IssuingKeys = field(repr=False)
    by_id: dict[int, QrKey] = field(init=False, repr=False, compare=False)
    verify_keys: frozenset[bytes] = field(init=False, repr=False, compare=False)

    def __init__(self, keys: Iterable[QrKey], issuing: IssuingKeys = NO_ISSUING_KEYS) -> None:
        known = tuple(key for key in keys if key.state is not KeyState.REVOKED)
        by_id = {key.key_id: key for key in known}
        if len(by_id) < len(known) or sum(key.state is KeyState.ACTIVE for key in known) > 1:
            raise ValueError("a key ring has each key_id once, and one ACTIVE key at the most")
        object.__setattr__(self, "keys", known)
        object.__setattr__(self, "issuing", issuing)
        object.__setattr__(self, "by_id", by_id)
        object.__setattr__(self, "verify_keys", frozenset(key.verify_key for key in self.good))

    @property
    def good(self) -> list[QrKey]:
        """The keys whose tokens are good."""
        return [key for key in self.keys if key.state is not KeyState.COMPROMISED]

    @property
    def active(self) -> QrKey:
        """The key that seals. Raises LookupError if there is none."""
        for key in self.keys:
            if key.state is KeyState.ACTIVE:
                return key
        raise LookupError("no QR key is active")

    def issuing_signature(self, number: int) -> Signature | None:
        """How the tokens of an issuing key are verified; None if the ring has it not."""
        good = self.issuing.good.get(number)
        if good is not None:
            return Signature(good)
        return self.issuing.stolen.get(number) or self.issuing.looked_up.get(number)


class Check(enum.StrEnum):
    """The checks a forgery can fail, in the order in which they are made."""

    LENGTH = "LENGTH"  # at most MAX_TOKEN_CHARS
    PARTS = "PARTS"  # four, each of its length
    BASE32 = "BASE32"  # canonical
    VERSION = "VERSION"  # 1 or 2
    KEY = "KEY"  # known and not revoked
    SIGNATURE = "SIGNATURE"
    DECRYPTION = "DECRYPTION"  # and a known kind


@dataclass(frozen=True, slots=True)
class Valid:
    """A genuine token that has not expired. What its ticket allows, only the database knows."""

    claims: Claims


@dataclass(frozen=True, slots=True)
class Expired:
    """A genuine token whose time is over."""

    claims: Claims


@dataclass(frozen=True, slots=True)
class Compromised:
    """Made with a key that others have had `since`: by us or by them, which the issued ids tell."""

    claims: Claims
    since: datetime


@dataclass(frozen=True, slots=True)
class Invalid:
    """Not a token of ours. `failed` is for metrics and logs; a caller must not learn it.

    For want of an issuing key that the ring has not, but there may be, it is the `missing` one's
    number.
    """

    failed: Check
    missing: int | None = None


@dataclass(slots=True)
class Unverified:
    """A token in its canonical form under a known key; anybody could have made it."""

    text: str
    key: QrKey  # that it is decrypted with
    by: Signature  # that it is verified with
    number: int  # of its issuing key; 0 in version 1
    header: bytes
    iv: bytes
    ciphertext: bytes  # with the tag behind
    signature: bytes


class Seal(NamedTuple):
    """Which key signed a token, and what tells it from any other that the key signed."""

    key_id: int  # of a QrKey, or an issuing key's number
    digest: bytes  # DIGEST_BYTES


def seal(claims: Claims, key: QrKey, issuing: IssuingKey | None = None) -> str:
    """The token for the claims, signed by the issuing key; without one by the key that encrypts.
    The fraction of a second of `expire_time` is cut off.

    Raises ValueError if the key is not the active one, has no seed to sign by, or a claim is out of
    its range.
    """
    signer = issuing or key
    if key.state is not KeyState.ACTIVE or signer.seed is None:
        raise ValueError(f"key {key.key_id} is {key.state}: only the active one seals")
    version, iv = 1, os.urandom(IV_BYTES)
    if issuing:
        version = BY_ISSUING_KEY
        iv = issuing.number.to_bytes(NUMBER_BYTES) + iv[NUMBER_BYTES:]
    header = _HEADER.pack(version, key.key_id, iv)
    try:
        plaintext = _pack(claims)
    except struct.error as error:
        raise ValueError(f"{claims}: {error}") from error
    ciphertext = key.cipher.encrypt(header[-IV_BYTES:], plaintext, header)
    parts = (header, ciphertext[:-TAG_BYTES], ciphertext[-TAG_BYTES:])
    signed = ":".join(map(_encode, parts))
    content = SIGNATURE_PREFIXES[version] + signed.encode()
    signature = crypto_sign(content, signer.seed + signer.verify_key)
    return f"{signed}:{_encode(signature[:SIGNATURE_BYTES])}"


Opened = Valid | Expired | Compromised | Invalid
"""What a scanned text is."""


def unseal(text: str, keys: KeyRing, now: datetime) -> Opened:
    """What a scanned text is: all checks, in order. Never raises, whatever the text."""
    token = parse(text, keys)
    if isinstance(token, Invalid):
        return token
    claims = verify(token)
    return claims if isinstance(claims, Invalid) else check_use(token, claims, now)


def parse(text: str, keys: KeyRing) -> Unverified | Invalid:
    """The cheap checks, LENGTH to KEY, of what `read_scanned` leaves of the text."""
    text = read_scanned(text)
    if len(text) > MAX_TOKEN_CHARS:
        return Invalid(Check.LENGTH)
    digits = text.encode("ascii", "replace").translate(_TO_DIGITS).split(b":")
    if tuple(map(len, digits)) != _PART_CHARS:
        return Invalid(Check.PARTS)
    try:
        header, encrypted, tag, signature = map(_decode, digits, _PART_BYTES)
    except ValueError:
        return Invalid(Check.BASE32)
    version, key_id, iv = _HEADER.unpack(header)
    if version not in SIGNATURE_PREFIXES:
        return Invalid(Check.VERSION)
    key = keys.by_id.get(key_id)
    if key is None:
        return Invalid(Check.KEY)
    number, by = 0, Signature(key.verify_key, key.stolen_since)
    if version == BY_ISSUING_KEY:
        number = int.from_bytes(iv[:NUMBER_BYTES])
        found = keys.issuing_signature(number)
        if found is None:
            return Invalid(Check.KEY, number if number >= FIRST_NUMBER else None)
        by = found
    return Unverified(text, key, by, number, header, iv, encrypted + tag, signature)


def verify(token: Unverified) -> Claims | Invalid:
    """The dear checks: SIGNATURE, then DECRYPTION. Any thread may do them."""
    signed = SIGNATURE_PREFIXES[token.header[0]] + token.text[:_SIGNED_CHARS].encode()
    try:
        # libsodium is strict: S is below the group order, so that no second signature follows
        # from a good one, and keys and points of small order, which sign anything, are refused.
        crypto_sign_open(token.signature + signed, token.by.verify_key)
    except BadSignatureError:
        return Invalid(Check.SIGNATURE)
    try:
        return _unpack(token.key.cipher.decrypt(token.iv, token.ciphertext, token.header))
    except (InvalidTag, ValueError):
        return Invalid(Check.DECRYPTION)


def seal_of(text: str) -> Seal:
    """Of a token that is genuine, as it was issued or scanned."""
    text = read_scanned(text)
    # version, key id and the first three bytes of the iv
    begin = int(text[:8].encode().translate(_TO_DIGITS), 32)
    if begin >> 32 == BY_ISSUING_KEY:
        return Seal(begin & LAST_NUMBER, _digest(text))
    return Seal(begin >> 24 & 255, _digest(text))


def check_use(token: Unverified, claims: Claims, now: datetime) -> Valid | Expired | Compromised:
    """Whether the claims of a verified token are good, by its key and the time."""
    if token.by.since is not None:
        return Compromised(claims, token.by.since)
    return check_expiry(claims, now)


def check_expiry(claims: Claims, now: datetime) -> Valid | Expired:
    """The last check, made at every use: what was verified once does not stay valid."""
    return Valid(claims) if now < claims.expire_time else Expired(claims)


class VerifiedTokens:
    """Genuine tokens seen lately, so that look-then-redeem pays for one signature, not two.

    Bounded: above `limit` entries (0: none) the one not used for longest gives way. Forgeries never
    get in. Use it from one thread.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # By a digest of the text, plaintext, verify_key and issuing key as bytes: 100,000 entries
        # take 28 MiB.
        # With the texts they would take 44, with Claims still more, and the garbage collector 80 ms
        # to walk over them.
        self._entries: OrderedDict[bytes, bytes] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, text: str, keys: KeyRing) -> Claims | None:
        """The claims of a token put in before, if its key is still good. Expiry is the caller's.

        `text` is as `read_scanned` leaves it.
        """
        digest = _digest(text)
        entry = self._entries.get(digest)
        if entry is None:
            return None
        # By verify_key, as the id of a revoked key may have come to another.
        number = int.from_bytes(entry[-NUMBER_BYTES:])
        is_known = entry[_CLAIMS.size : -NUMBER_BYTES] in keys.verify_keys
        if not is_known or (number and number not in keys.issuing.good):
            del self._entries[digest]
            return None
        self._entries.move_to_end(digest)
        return _unpack(entry[: _CLAIMS.size])

    def put(self, token: Unverified, claims: Claims) -> None:
        """Remembers what `verify(token)` gave."""
        digest = _digest(token.text)
        number = token.number.to_bytes(NUMBER_BYTES)
        self._entries[digest] = _pack(claims) + token.key.verify_key + number
        self._entries.move_to_end(digest)
        if len(self._entries) > self._limit:
            self._entries.popitem(last=False)


def _digest(text: str) -> bytes:
    """16 bytes that no other text can be found for; the text alone takes 250."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=DIGEST_BYTES).digest()


def _pack(claims: Claims) -> bytes:
    expiry = int(claims.expire_time.timestamp())
    return _CLAIMS.pack(claims.jti.bytes, claims.number, expiry, claims.kind, claims.flags)


def _unpack(plaintext: bytes) -> Claims:
    jti, number, expiry, kind, flags = _CLAIMS.unpack(plaintext)
    expire_time = datetime.fromtimestamp(expiry, UTC)
    return Claims(UUID(bytes=jti), number, expire_time, QrKind(kind), flags)


def _encode(part: bytes) -> str:
    return base64.b32encode(part).rstrip(b"=").decode()


def _decode(digits: bytes, size: int) -> bytes:
    # One digit for one character, and the spare bits zero: encoding again gives the same text.
    number = int(digits, 32)
    spare_bits = 5 * len(digits) - 8 * size
    if number & (1 << spare_bits) - 1:
        raise ValueError("not canonical")
    return (number >> spare_bits).to_bytes(size)
