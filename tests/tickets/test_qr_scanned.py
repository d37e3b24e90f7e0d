"""What scanners and keyboards make of a genuine token is the same token; what they do not make is
not.

Seen red: `read_scanned` giving its text back as it is; without folding, without raising, without
the identifier, one end only.
"""

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.platform.texts import read_scanned
from server.tickets import qr
from server.tickets.qr import Check, Claims, Invalid, KeyRing, KeyState, QrKey, QrKind, Valid

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = QrKey.generate(7, KeyState.ACTIVE)
RING = KeyRing([KEY])
CLAIMS = [Claims(UUID(int=7), 42, NOW + timedelta(days=1), kind) for kind in QrKind]
TOKENS = {claims.kind: qr.seal(claims, KEY) for claims in CLAIMS}
FULL_WIDTH = {ord("!") + at: 0xFF01 + at for at in range(94)} | {ord(" "): 0x3000}
kinds = st.sampled_from(CLAIMS)

ends = st.text(
    st.sampled_from(
        " \t\r\n\x00\x02\x03\x04\x0b\x0c\x1c\x1d\x1e\x7f\x85\u00a0\u2003\u3000\ufeff\u200b"
    ),
    max_size=20,
)
identifiers = st.sampled_from(["", "]Q1", "]q1", "]Q3", "\uff3d\uff31\uff11"])


@pytest.mark.parametrize("kind", QrKind)
@pytest.mark.parametrize(
    "form",
    [
        "{}\r\n",
        "{}\n",
        "{}\t",
        " {}",
        "]Q1{}",
        "]Q1{}\r\n",
        "\x02{}\x03",
        "\x00{}\x00",
        "\ufeff{}",
        "]Q1 {}",
        " ]q0{}",
    ],
)
def test_with_what_a_scanner_adds(form: str, kind: QrKind) -> None:
    outcome = qr.unseal(form.format(TOKENS[kind]), RING, NOW)
    assert isinstance(outcome, Valid)
    assert outcome.claims.kind is kind


def test_in_other_forms() -> None:
    token = TOKENS[QrKind.TICKET]
    for text in (
        token.lower(),
        token.replace(":", "\uff1a"),
        token.translate(FULL_WIDTH),
        token.lower().translate(FULL_WIDTH) + "\r\n",
    ):
        assert read_scanned(text) == token
        assert isinstance(qr.unseal(text, RING, NOW), Valid)


@given(kinds, ends, identifiers, ends, ends, st.data())
def test_any_of_them_together(
    claims: Claims, first: str, identifier: str, second: str, last: str, data: st.DataObject
) -> None:
    token = TOKENS[claims.kind]
    small = data.draw(st.sets(st.integers(0, len(token) - 1), max_size=30))
    wide = data.draw(st.sets(st.integers(0, len(token) - 1), max_size=30))
    typed = [each.lower() if at in small else each for at, each in enumerate(token)]
    typed = [each.translate(FULL_WIDTH) if at in wide else each for at, each in enumerate(typed)]
    outcome = qr.unseal(first + identifier + second + "".join(typed) + last, RING, NOW)
    assert outcome == Valid(claims)


@given(st.integers(1, 202), st.sampled_from(" \t\r\n\x00\u3000\ufeff\u200b]"))
def test_nothing_is_dropped_inside(at: int, inside: str) -> None:
    token = TOKENS[QrKind.TICKET]
    assert isinstance(qr.unseal(token[:at] + inside + token[at:], RING, NOW), Invalid)


@pytest.mark.parametrize(
    "form",
    [
        "]Q1]Q1{}",
        "]C1{}",
        "]Q{}",
        "]Q10{}",
        "Q1{}",
        "{}]Q1",
        "x{}",
        "{}:",
        '"{}"',
        "\u0131{}",
        "\ud800{}",
    ],
)
def test_what_no_scanner_adds_is_a_forgery(form: str) -> None:
    assert isinstance(qr.unseal(form.format(TOKENS[QrKind.TICKET]), RING, NOW), Invalid)


@given(st.one_of(st.text(), st.text(st.sampled_from("\u0131\u017f\u212aISK:]Q1 \n"), min_size=100)))
def test_any_text_is_answered(text: str) -> None:
    assert isinstance(qr.unseal(text, RING, NOW), Invalid)
    assert read_scanned(read_scanned(text)) in (
        read_scanned(text),
        read_scanned(text).removeprefix("]Q1").strip(),
    )


@given(st.text())
def test_letters_outside_ascii_are_not_raised(text: str) -> None:
    """Unicode makes an I of a dotless i: that would be another spelling of a token."""
    ours = set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567:")
    given_ours = {each for each in text if each.isascii() or "\uff01" <= each <= "\uff5e"}
    assert len([each for each in read_scanned(text) if each in ours]) <= len(
        [each for each in text if each in given_ours]
    )


@pytest.mark.parametrize("letter", ["\u0131", "\u017f", "\u212a"])
def test_a_letter_that_would_become_one_of_ours_stays(letter: str) -> None:
    """Seen red: with `str.upper`, which makes an I and an S of the first two; with NFKC, a K of the
    last.
    """
    assert read_scanned(f"a{letter}\n") == f"A{letter}"


def test_the_work_is_bounded() -> None:
    """As many additions as a call's fields let through, and far more: they are looked at once,
    or not at all.
    """
    token = TOKENS[QrKind.TICKET]
    assert isinstance(qr.unseal(token + "\n" * 500, RING, NOW), Valid)
    assert qr.unseal(token + "\n" * 5000, RING, NOW) == Invalid(Check.LENGTH)
    begin = time.process_time()
    assert qr.unseal("]Q1" * 5_000_000, RING, NOW) == Invalid(Check.LENGTH)
    assert time.process_time() - begin < 0.1
