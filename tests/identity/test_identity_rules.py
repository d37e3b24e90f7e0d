"""Lock-out, who may stand where, addresses, functions, used refresh tokens, and the form of
credentials.
"""

import dataclasses
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.identity import credentials, rules
from server.identity.credentials import GivenKey
from server.identity.rules import Failures, Standing

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
LOCK = timedelta(minutes=5)
GOOD = Standing(
    role="OPERATOR",
    state="ACTIVE",
    merchant_code="CP",
    merchant_state="ACTIVE",
    venue_codes=(),
    terminal_device_id="T-1",
    terminal_state="ACTIVE",
    venue_code="PIER-1",
    venue_state="ACTIVE",
    venue_merchant_code="CP",
)
ADMIN = Standing(
    role="ADMIN",
    state="ACTIVE",
    merchant_code=None,
    merchant_state=None,
    venue_codes=(),
    terminal_device_id=None,
    terminal_state=None,
    venue_code=None,
    venue_state=None,
    venue_merchant_code=None,
)


@pytest.mark.parametrize(
    ("standing", "changes", "fault"),
    [
        (GOOD, {}, None),
        (GOOD, {"role": "SUPERVISOR"}, None),
        (GOOD, {"venue_codes": ("PIER-1", "PIER-2")}, None),
        (GOOD, {"state": "REVOKED"}, "account revoked"),
        (GOOD, {"state": "ARCHIVED"}, "account archived"),
        (GOOD, {"merchant_state": "REVOKED"}, "merchant revoked"),
        (GOOD, {"merchant_state": "ARCHIVED"}, "merchant archived"),
        (GOOD, {"terminal_device_id": None}, "operator without a terminal"),
        (GOOD, {"terminal_state": None, "venue_merchant_code": None}, "terminal unknown"),
        (GOOD, {"terminal_state": "REVOKED"}, "terminal revoked"),
        (GOOD, {"venue_state": "REVOKED"}, "venue revoked"),
        (GOOD, {"venue_merchant_code": "HK"}, "terminal of another merchant"),
        (GOOD, {"venue_codes": ("PIER-2",)}, "venue not among the account's"),
        (ADMIN, {}, None),
        (ADMIN, {"state": "REVOKED"}, "account revoked"),
        (ADMIN, {"terminal_device_id": "T-1"}, "administrator at a terminal"),
    ],
)
def test_who_may_stand_where(
    standing: Standing, changes: dict[str, object], fault: str | None
) -> None:
    assert dataclasses.replace(standing, **changes).fault() == fault  # type: ignore[arg-type]


def test_lock_out() -> None:
    failures = Failures(0, NOW)
    for count in range(1, 6):
        assert failures.locked_for(NOW, limit=5) is None
        failures = failures.another(NOW, lock=LOCK)
        assert failures.count == count
    assert failures.locked_for(NOW, limit=5) == LOCK
    assert failures.locked_for(NOW + timedelta(seconds=299), limit=5) == timedelta(seconds=1)
    assert failures.locked_for(NOW + LOCK, limit=5) is None
    assert failures.another(NOW + LOCK, lock=LOCK).count == 1


def test_old_failures_are_forgotten() -> None:
    failures = Failures(4, NOW + LOCK)
    assert failures.another(NOW + LOCK - timedelta(seconds=1), lock=LOCK).count == 5
    assert failures.another(NOW + LOCK, lock=LOCK).count == 1


@pytest.mark.parametrize(
    ("address", "allowed", "verdict"),
    [
        ("203.0.113.9", [], True),
        ("anything", [], True),
        ("203.0.113.9", ["203.0.113.9"], True),
        ("203.0.113.10", ["203.0.113.9"], False),
        ("10.1.2.3", ["192.0.2.0/24", "10.0.0.0/8"], True),
        ("10.1.2.3", ["10.1.9.9/16"], True),
        ("::ffff:10.1.2.3", ["10.0.0.0/8"], True),
        ("2001:db8::7", ["2001:db8::/32"], True),
        ("2001:db9::7", ["2001:db8::/32", "10.0.0.0/8"], False),
        ("::1", ["127.0.0.1"], False),
        ("", ["10.0.0.0/8"], False),
        ("unknown", ["0.0.0.0/0", "::/0"], False),
        ("10.1.2.3, 10.1.2.4", ["10.0.0.0/8"], False),
    ],
)
def test_addresses(address: str, allowed: list[str], verdict: bool) -> None:
    assert rules.address_allowed(address, rules.networks(allowed)) is verdict


@pytest.mark.parametrize("entry", ["", "10.0.0.0/33", "example.test", "10.0.0", "::/129"])
def test_bad_networks(entry: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        rules.networks(["10.0.0.0/8", entry])


def test_venue_narrows_what_the_merchant_may_redeem() -> None:
    assert rules.function_codes(["ferry", "gift"], []) == {"ferry", "gift"}
    assert rules.function_codes(["ferry", "gift"], ["gift", "tokens"]) == {"gift"}
    assert rules.function_codes(["ferry"], ["gift"]) == frozenset()


def test_a_used_refresh_token_right_after_its_use_is_a_retry() -> None:
    assert not rules.is_theft(NOW, NOW)
    assert not rules.is_theft(NOW, NOW + timedelta(seconds=9.9))
    assert not rules.is_theft(NOW, NOW - timedelta(minutes=1))
    assert rules.is_theft(NOW, NOW + timedelta(seconds=10))


def test_the_refresh_token_before_gets_its_successor_again_for_a_while() -> None:
    assert rules.gets_successor_again(NOW, NOW + timedelta(seconds=29.9))
    assert rules.gets_successor_again(NOW, NOW - timedelta(minutes=1))
    assert not rules.gets_successor_again(NOW, NOW + timedelta(seconds=30))


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("::ffff:203.0.113.5", "203.0.113.5"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::9", "2001:db8:1:2::/64"),
        ("", ""),
        ("not an address", "not an address"),
    ],
)
def test_who_an_address_is(address: str, source: str) -> None:
    """A caller has a whole network of IPv6 addresses to guess from."""
    assert rules.login_source(address) == source


def test_failures_of_an_address_are_of_a_window() -> None:
    """They are not in a row: those of many people over a day do not add up."""
    failures = rules.Failures(0, NOW)
    lock = timedelta(seconds=300)
    for seconds in (0, 100, 299):
        moment = NOW + timedelta(seconds=seconds)
        failures = failures.another_in_window(moment, lock=lock, limit=4)
    assert failures == rules.Failures(3, NOW + lock)
    assert failures.another_in_window(NOW + lock, lock=lock, limit=4).count == 1
    moment = NOW + timedelta(seconds=299)
    locked = failures.another_in_window(moment, lock=lock, limit=4)
    assert locked.locked_for(moment, limit=4) == lock


def test_credentials_read_back() -> None:
    key = credentials.new_partner_key()
    assert credentials.read_api_key(key.api_key) == GivenKey(key.key_id, key.secret_hash, False)
    test = credentials.new_partner_key(is_test=True)
    assert test.api_key.startswith("dtk_test_")
    given = credentials.read_api_key(test.api_key)
    assert given == GivenKey(test.key_id, test.secret_hash, True)
    login_id = uuid4()
    for kind, other in (("a", "r"), ("r", "a")):
        token = credentials.new_token(kind, login_id)  # type: ignore[arg-type]
        assert credentials.read_token(kind, token.text) == (login_id, token.secret_hash)  # type: ignore[arg-type]
        assert credentials.read_token(other, token.text) is None  # type: ignore[arg-type]
        assert credentials.read_api_key(token.text) is None


@given(st.text() | st.from_regex(r"\A(dtk|dtk_test|dta|dtr)_[0-9a-z]{0,40}_[a-z2-7]{45,60}\n?\Z"))
def test_reading_credentials_takes_only_their_form(text: str) -> None:
    key = credentials.read_api_key(text)
    if key:
        mode = "test_" if key.is_test else ""
        assert text == f"dtk_{mode}{key.key_id}_{text[-52:]}"
    token = credentials.read_token("a", text)
    if token:
        assert text == f"dta_{token[0].hex}_{text[-52:]}"


def test_passwords() -> None:
    hashed = credentials.hash_password("正確的密碼")
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert not credentials.is_outdated(hashed)
    assert not credentials.is_outdated(credentials.DECOY_HASH)
    assert hashed != credentials.hash_password("正確的密碼")


@pytest.mark.parametrize("stored", [credentials.DECOY_HASH, "", "plain", "$argon2id$broken"])
async def test_nothing_matches_a_decoy_or_a_broken_hash(stored: str) -> None:
    passwords = credentials.Passwords()
    assert not await passwords.verify(stored, "")
    assert not await passwords.verify(stored, stored)
    passwords.close()
