"""The canonical form of audit events is for good: examples that must never change, and JSON however
it is written.
"""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.audit import canonical

EVENT: dict[str, Any] = {
    "audit_id": UUID("0B6F3E52-8A3C-4F0E-9D53-0C6F1F3B7A11"),
    "occurred_time": datetime(2026, 11, 28, 19, 0, 0, 120, UTC),
    "actor": "admin:root",
    "action": "update",
    "resource": "partner",
    "name": "CP",
    "before": None,
    "after": canonical.parse('{"b": [1, 2.50, true, null], "a": {"ü": "\\n\\"", "A": 1e2}}'),
    "reason": "季節",
    "address": "192.0.2.1",
    "terminal_device_id": None,
    "request_id": "r-1",
}
DIGEST = "7ead649737d4605a671c6d6035a55b21fb3d51991df189ff8c94d40939c3cf05"
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False, places=4)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
pytestmark = pytest.mark.fast


def test_the_digest_of_an_example_stays() -> None:
    assert canonical.event_digest(EVENT).hex() == DIGEST


def test_the_text_of_an_example_stays() -> None:
    assert canonical._text(EVENT["after"]) == '{"a":{"A":100,"ü":"\\n\\""},"b":[1,2.5,true,null]}'


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("1.0", "1"),
        ("-0.0", "0"),
        ("1e22", "10000000000000000000000"),
        ("0.10", "0.1"),
        ('{"b":1,"a":2}', '{ "a": 2, "b": 1 }'),
        ('"\\u00fc"', '"ü"'),
        ("9007199254740993", "9007199254740993.0"),
    ],
)
def test_values_that_are_the_same_have_one_form(written: str, same: str) -> None:
    parsed = [canonical._text(canonical.parse(each)) for each in (written, same)]
    assert parsed[0] == parsed[1]


@given(JSON)
def test_the_form_is_json_and_of_itself(value: Any) -> None:
    """What is read of the form has the same form: no two values are mixed up on the way."""
    text = canonical._text(canonical.parse(json.dumps(value, default=float)))
    assert canonical._text(canonical.parse(text)) == text


def test_a_moment_has_one_form_in_every_zone() -> None:
    there = EVENT["occurred_time"].astimezone(timezone(timedelta(hours=8)))
    assert canonical.event_digest(EVENT | {"occurred_time": there}).hex() == DIGEST


@pytest.mark.parametrize("field", EVENT)
def test_every_field_counts(field: str) -> None:
    """Seen red with a field left out of FIELDS."""
    others: dict[str, Any] = {
        "audit_id": UUID(int=1),
        "occurred_time": EVENT["occurred_time"] + timedelta(microseconds=1),
    }
    other = EVENT | {field: others.get(field, "another")}
    assert canonical.event_digest(other) != canonical.event_digest(EVENT)
