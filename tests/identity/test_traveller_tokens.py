"""Travellers' access tokens, and the buckets their requests are counted in."""

import base64
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.identity.callers import Traveller
from server.identity.travellers import _CONTENT, TravellerTokens
from server.platform.ratelimit import TokenBuckets

KEY = b"0123456789abcdef0123456789abcdef"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AT = NOW.timestamp()
TOKENS = TravellerTokens(KEY, life_seconds=7200)
TRAVELLER = Traveller(803_217_765_123_456)


def token(traveller: Traveller = TRAVELLER) -> str:
    return TOKENS.issue(traveller, NOW).access_token


def sealed(content: bytes) -> str:
    """A token with this content, under our MAC."""
    return "dtt_" + base64.urlsafe_b64encode(content + TOKENS._signer.mac(content)).decode()


def content(version: int = 1, expiry: int = int(AT) + 1, flags: int = 0) -> bytes:
    return _CONTENT.pack(version, TRAVELLER.traveller_id, expiry, flags, b"nonce!")


@given(st.integers(1, 2**53 - 1))
def test_a_token_tells_whose_it_is(traveller_id: int) -> None:
    issued = TOKENS.issue(Traveller(traveller_id), NOW)
    assert TOKENS.read(issued.access_token, AT) == Traveller(traveller_id)
    assert issued.expires_in_seconds == 7200
    assert len(issued.access_token) == 52


def test_no_two_tokens_are_alike() -> None:
    assert len({token() for _ in range(100)}) == 100


def test_a_token_ends_with_its_life() -> None:
    assert TOKENS.read(token(), AT + 7199.9) == TRAVELLER
    assert TOKENS.read(token(), AT + 7200) is None


def test_another_key_reads_nothing() -> None:
    assert TravellerTokens(bytes(32), life_seconds=7200).read(token(), AT) is None


def test_every_bit_counts() -> None:
    raw = base64.urlsafe_b64decode(token().removeprefix("dtt_"))
    for bit in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        assert TOKENS.read("dtt_" + base64.urlsafe_b64encode(changed).decode(), AT) is None


def test_what_a_later_release_means_is_not_guessed() -> None:
    assert TOKENS.read(sealed(content()), AT) == TRAVELLER
    assert TOKENS.read(sealed(content(version=2)), AT) is None
    assert TOKENS.read(sealed(content(flags=1)), AT) is None


GOOD = sealed(content())
WRONG = [
    *("", "dtt_", GOOD[4:], GOOD.upper(), GOOD.replace("dtt_", "dta_"), GOOD * 2000),
    *(GOOD[:-1], f"{GOOD}=", f"{GOOD}A", f" {GOOD}", f"{GOOD}\n", f"{GOOD}.{GOOD}"),
    *(f"{GOOD[:30]}{letter}{GOOD[31:]}" for letter in "+/é "),
]


@pytest.mark.parametrize("text", WRONG)
def test_other_texts_are_no_tokens(text: str) -> None:
    assert TOKENS.read(text, AT) is None


@given(st.text() | st.from_regex(r"dtt_[A-Za-z0-9_-]{48}", fullmatch=True))
def test_no_text_is_a_fault(text: str) -> None:
    assert TOKENS.read(text, AT) is None


def test_reading_costs_microseconds() -> None:
    text = token()
    began = time.process_time()
    for _ in range(2000):
        assert TOKENS.read(text, AT)
    assert (time.process_time() - began) / 2000 * 1e6 < 100  # of CPU; 4


# Buckets


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("server.platform.ratelimit.time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def allowed(buckets: TokenBuckets, key: str, limit: int = 1000) -> int:
    """How many requests of `key` are let through now."""
    for count in range(limit):
        allowance = buckets.hit(key)
        assert allowance
        if not allowance.allowed:
            assert allowance.remaining == 0
            return count
    return limit


def test_a_minutes_requests_may_come_at_once_and_then_at_the_rate(clock: Clock) -> None:
    buckets = TokenBuckets(60)
    assert allowed(buckets, "a") == 60
    clock.now += 0.5
    assert allowed(buckets, "a") == 0
    clock.now += 9.6
    assert allowed(buckets, "a") == 10
    assert allowed(buckets, "b") == 60
    clock.now += 3600
    assert allowed(buckets, "a") == 60


def test_no_more_than_a_bucket_and_the_rate_ever(clock: Clock) -> None:
    """Also over the minutes in which buckets are forgotten."""
    buckets, let_through = TokenBuckets(30), 0
    for _ in range(400):
        clock.now += 0.77
        let_through += allowed(buckets, "a", 3)
    assert let_through == 30 + int(399 * 0.77 / 2)


def test_the_allowance_tells_what_is_left(clock: Clock) -> None:
    buckets = TokenBuckets(6)
    first = buckets.hit("a")
    assert first
    assert (first.limit, first.remaining, first.reset_seconds) == (6, 5, 10)
    assert allowed(buckets, "a") == 5
    clock.now += 7.5
    refused = buckets.hit("a")
    assert refused
    assert (refused.allowed, refused.remaining, refused.reset_seconds) == (False, 0, 3)
    clock.now += 2.5
    assert allowed(buckets, "a") == 1


def test_full_buckets_are_forgotten(clock: Clock) -> None:
    buckets = TokenBuckets(6)
    for minute in range(10):
        for number in range(100):
            buckets.hit(f"{minute}-{number}")
        clock.now += 61
    assert len(buckets._drawn) + len(buckets._before) <= 200


def test_no_limit() -> None:
    assert TokenBuckets(0).hit("a") is None
