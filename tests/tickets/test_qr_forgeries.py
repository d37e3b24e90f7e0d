"""Mutated, truncated, re-encoded and spliced QR tokens: none is accepted.

Each run makes a hundred thousand, others by its seed, for keys of its own; a million are
`--runs=10`. The forger has 999 genuine tokens, of three living keys and of an issuing key, 333 of a
revoked key, and keys of his own. He has neither our seeds nor our AES keys, so nothing of his may
come as far as the decryption.

What a scanner adds to a genuine token is no forgery: what is accepted must be such a text, by
`as_scanned`, which is written without ours. That all of those are accepted stands in
test_qr_scanned.py.

Seen to fail with each of these changes to server/tickets/qr.py: no signature check; signature over
fewer parts; letters raised by `str.upper`; white space dropped inside too; characters outside ASCII
ignored; spare bits not checked; part lengths not checked; digits of int() let through; revoked keys
kept.
"""

import base64
import dataclasses
import os
import random
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import pytest
from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from server.tickets import qr
from server.tickets.qr import (
    Check,
    Claims,
    Invalid,
    IssuingKey,
    IssuingKeys,
    KeyRing,
    KeyState,
    QrKey,
    Valid,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2027, 1, 1, tzinfo=UTC)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493

# Encodings of points of small order; with them a textbook verifier accepts signatures of anything.
WEAK_POINTS = [
    bytes.fromhex(point)
    for point in (
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    )
]

# What decoders tend to forgive, or to read as something else: digits int() knows, look-alikes of
# letters, spaces, signs, padding, separators, control characters, half a surrogate pair.
GENEROUS = (
    "0189_+-=.,;:/ \t\n\r\x00\x0b\x0c\x1c\x85\u00a0\u2003\u200b\ufeff%&#"
    "\u0660\u0967\u06f5\uff12\uff27\u00b2\u0410\u0412\u0415\u0391\u0392\u212a\u017f\u0131\ud800"
    "\U0001d7d8\U0001d400"
)


CASE_ALIKE = {"I": "\u0131", "S": "\u017f", "K": "\u212a"}
"""Letters outside ASCII whose capital, or small letter, is one of ours."""


def as_scanned(text: str) -> str:
    """A text as a scanner's user means it: forms folded, and what stands before and behind the
    token away.
    """
    folded = "".join(
        unicodedata.normalize("NFKC", each)
        if "\uff01" <= each <= "\uff5e" or each == "\u3000"
        else each
        for each in text
    )
    unseen = "".join(
        {" "}
        | {each for each in folded if each.isspace() or unicodedata.category(each) in ("Cc", "Cf")}
    )
    raised = re.sub("[a-z]", lambda letter: letter[0].upper(), folded.strip(unseen))
    return re.sub(r"\A\]Q[0-9]", "", raised).strip(unseen)


def encode(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=")


def decode(part: str) -> bytes:
    return base64.b32decode(part + "=" * (-len(part) % 8))


class Forger:
    """Makes false tokens from genuine ones."""

    def __init__(self, genuine: list[str], revoked: list[str], chance: random.Random) -> None:
        self.genuine = genuine
        self.revoked = revoked
        self.chance = chance
        self.signing_key = crypto_sign_seed_keypair(chance.randbytes(32))[1]

    def token(self) -> str:
        return self.chance.choice(self.genuine)

    def position(self, text: str) -> int:
        return self.chance.randrange(len(text))

    # Of another form: to be refused before any cryptography.

    def cut(self) -> str:
        text = self.token()
        start, end = sorted((self.position(text), self.position(text) + 1))
        return self.chance.choice((text[:start], text[end:], text[:start] + text[end:]))

    def grown(self) -> str:
        text, pool = self.token(), self.chance.choice((ALPHABET + ":", GENEROUS))
        extra = self.chance.choices(pool, k=self.chance.randint(1, 9))
        at = self.chance.randint(0, len(text))
        return text[:at] + "".join(extra) + text[at:]

    def too_long(self) -> str:
        text = self.token()
        junk = self.chance.choices(ALPHABET + ":=", k=self.chance.randint(310, 330))
        return text + "".join(junk) if self.chance.random() < 0.5 else "".join(junk) + text

    def other_letters(self) -> str:
        """Letters that become ours when raised by Unicode's rules, or two that are one of
        theirs.
        """
        chars = list(self.token())
        alike = [at for at, letter in enumerate(chars) if letter in CASE_ALIKE]
        for at in self.chance.sample(alike, self.chance.randint(1, 4)):
            chars[at] = self.chance.choice(CASE_ALIKE[chars[at]])
        text = "".join(chars)
        return text if self.chance.random() < 0.5 else text.lower()

    def generous(self) -> str:
        chars = list(self.token())
        for _ in range(self.chance.randint(1, 3)):
            chars[self.position(self.genuine[0])] = self.chance.choice(GENEROUS)
        return "".join(chars)

    def any_unicode(self) -> str:
        text = self.token()
        at = self.position(text)
        replaced = self.chance.randrange(2)
        return text[:at] + chr(self.chance.randrange(0x110000)) + text[at + replaced :]

    def padded(self) -> str:
        parts = [
            part + self.chance.choice(("", "=", "=" * (-len(part) % 8), " ", "\n"))
            for part in self.token().split(":")
        ]
        return self.chance.choice(("", " ", "\ufeff", "\x00")) + ":".join(parts)

    def other_separator(self) -> str:
        first, *rest = self.token().split(":")
        others = (":", "", ".", ";", "::", " :", ": ", "\uff1a", "%3A", "A", "\n", "\x00")
        return first + "".join(self.chance.choice(others) + part for part in rest)

    def parts_moved(self) -> str:
        parts = self.token().split(":")
        return ":".join(self.chance.choices([*parts, ""], k=self.chance.randint(1, 6)))

    def spare_bits(self) -> str:
        parts = self.token().split(":")
        for at, spare in ((0, 3), (2, 2), (3, 3)):
            last = ALPHABET.index(parts[at][-1]) | self.chance.randrange(1 << spare)
            parts[at] = parts[at][:-1] + ALPHABET[last]
        return ":".join(parts)

    def other_encoding(self) -> str:
        other: Callable[[bytes], bytes | str] = self.chance.choice(
            (base64.b64encode, base64.b16encode, base64.b32hexencode, base64.b32encode, bytes.hex)
        )
        parts = self.token().split(":")
        for at in self.chance.sample(range(4), self.chance.randint(1, 4)):
            text = other(decode(parts[at]))
            parts[at] = text if isinstance(text, str) else text.decode()
        return ":".join(parts)

    def noise(self) -> str:
        pool = self.chance.choice((ALPHABET, ALPHABET + ":", ALPHABET + GENEROUS))
        return "".join(self.chance.choices(pool, k=self.chance.randint(0, 260)))

    def noise_in_shape(self) -> str:
        noise = self.chance.choices(ALPHABET, k=203)
        noise[23] = noise[72] = noise[99] = ":"
        noise[22] = noise[202] = "A"
        noise[98] = "Q"
        return "".join(noise)

    # In form, with a header of no use.

    def other_version(self) -> str:
        text = self.token()
        header = decode(text[:23])
        return encode(bytes([self.chance.randrange(256)]) + header[1:]) + text[23:]

    def other_key(self) -> str:
        text = self.token()
        header = decode(text[:23])
        return encode(bytes([1, self.chance.randrange(256)]) + header[2:]) + text[23:]

    def other_issuing_key(self) -> str:
        text = self.token()
        header = decode(text[:23])
        number = self.chance.randbytes(qr.NUMBER_BYTES)
        return encode(bytes([2, header[1]]) + number + header[5:]) + text[23:]

    def revoked_key(self) -> str:
        at = self.chance.choice((23, 72, 99, 203))
        return self.chance.choice(self.revoked)[:at] + self.token()[at:]

    # In form, under a living key: only the signature tells.

    def one_character(self) -> str:
        text = self.token()
        at = self.position(text)
        return text[:at] + self.chance.choice(ALPHABET) + text[at + 1 :]

    def one_bit(self) -> str:
        parts = self.token().split(":")
        at = self.chance.randrange(4)
        data = bytearray(decode(parts[at]))
        first = 2 if at == 0 else 0  # other versions and keys have their own turn
        data[self.chance.randrange(first, len(data))] ^= 1 << self.chance.randrange(8)
        parts[at] = encode(bytes(data))
        return ":".join(parts)

    def two_exchanged(self) -> str:
        chars = list(self.token())
        first, second = self.position(self.genuine[0]), self.position(self.genuine[0])
        chars[first], chars[second] = chars[second], chars[first]
        return "".join(chars)

    def spliced(self) -> str:
        pair = [self.token().split(":"), self.token().split(":")]
        return ":".join(pair[self.chance.randrange(2)][at] for at in range(4))

    def crossed(self) -> str:
        first, second = self.token(), self.token()
        at = self.position(first)
        return first[:at] + second[at:]

    def noise_under_header(self) -> str:
        return self.token()[:24] + self.noise_in_shape()[24:]

    def own_signature(self) -> str:
        text = self.chance.choice((self.token(), self.noise_under_header()))[:99]
        prefix = self.chance.choice([*qr.SIGNATURE_PREFIXES.values()])
        signed = crypto_sign(prefix + text.encode(), self.signing_key)
        return f"{text}:{encode(signed[:64])}"

    def bent_signature(self) -> str:
        text = self.token()
        signature = decode(text[100:])
        point, scalar = signature[:32], int.from_bytes(signature[32:], "little")
        match self.chance.randrange(4):
            case 0:  # the same signature modulo the group order
                scalar += self.chance.randint(1, 14) * GROUP_ORDER
            case 1:
                scalar = GROUP_ORDER - scalar
            case 2:
                point = self.chance.choice(WEAK_POINTS)
                scalar = self.chance.choice((0, scalar, self.chance.randrange(GROUP_ORDER)))
            case _:  # the other root, and -0 in other spellings
                point = point[:31] + bytes([point[31] ^ 0x80])
        return f"{text[:100]}{encode(point + scalar.to_bytes(32, 'little'))}"


SHARES: dict[Callable[[Forger], str], int] = {
    Forger.cut: 9_000,
    Forger.grown: 7_000,
    Forger.too_long: 4_000,
    Forger.other_letters: 8_000,
    Forger.generous: 13_000,
    Forger.any_unicode: 6_000,
    Forger.padded: 4_000,
    Forger.other_separator: 3_000,
    Forger.parts_moved: 6_000,
    Forger.spare_bits: 6_000,
    Forger.other_encoding: 4_000,
    Forger.noise: 3_000,
    Forger.noise_in_shape: 3_000,
    Forger.other_version: 3_000,
    Forger.other_key: 5_000,
    Forger.other_issuing_key: 1_000,
    Forger.revoked_key: 1_000,
    Forger.one_character: 5_000,
    Forger.one_bit: 2_500,
    Forger.two_exchanged: 2_000,
    Forger.spliced: 1_500,
    Forger.crossed: 1_500,
    Forger.noise_under_header: 500,
    Forger.own_signature: 500,
    Forger.bent_signature: 500,
}


def sealed(key: QrKey, chance: random.Random, issuing: IssuingKey | None = None) -> str:
    claims = Claims(UUID(bytes=chance.randbytes(16)), chance.getrandbits(63), LATER)
    return qr.seal(claims, key, issuing)


def test_no_forgery_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(random.getrandbits(64))
    with monkeypatch.context() as patch:
        patch.setattr(os, "urandom", chance.randbytes)
        revoked = QrKey.generate(5, KeyState.ACTIVE)
        living = [QrKey.generate(key_id, KeyState.ACTIVE) for key_id in (6, 7, 8)]
        issuing = IssuingKey(0x123456, *qr.new_pair(), LATER)
        by = None, issuing, None
        genuine = [sealed(key, chance, by[n % 3]) for key in living for n in range(333)]
        forger = Forger(genuine, [sealed(revoked, chance) for _ in range(333)], chance)
    states = (KeyState.VERIFY_ONLY, KeyState.ACTIVE, KeyState.PENDING, KeyState.REVOKED)
    ring = KeyRing(
        (
            dataclasses.replace(key, state=state)
            for key, state in zip([*living, revoked], states, strict=True)
        ),
        IssuingKeys(good={issuing.number: issuing.verify_key}),
    )
    assert all(isinstance(qr.unseal(text, ring, NOW), Valid) for text in genuine)

    tokens = set(genuine)
    seen = {hash(text) for text in genuine}
    failed: Counter[Check] = Counter()
    for forge, share in SHARES.items():
        wanted = len(seen) + share
        while len(seen) < wanted:
            text = forge(forger)
            if hash(text) in seen:
                continue
            outcome = qr.unseal(text, ring, NOW)
            if isinstance(outcome, Valid) and as_scanned(text) in tokens:
                continue
            seen.add(hash(text))
            assert isinstance(outcome, Invalid), f"{forge.__name__}: {text!r}"
            failed[outcome.failed] += 1

    assert failed.total() == 100_000
    assert failed[Check.SIGNATURE] > 10_000
    assert failed[Check.DECRYPTION] == 0
    others = [check for check in Check if check is not Check.DECRYPTION]
    assert all(failed[check] > 2_000 for check in others), failed
