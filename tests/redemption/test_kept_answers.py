"""The answer to a scan, kept for a repeat and read again: by this release, and by the next."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest

from server.api.redemption.messages import answer_message
from server.redemption import answers
from server.redemption.answers import Answer
from server.redemption.details import Details
from server.redemption.rules import TicketDeparture, TicketLeg, TicketStop

NOW = datetime(2026, 11, 28, 9, 30, 15, 123456, ZoneInfo("Asia/Macau"))
CENTRAL = TicketStop("HKC", "HKG", "Central", "中環")
TAIPA = TicketStop("TPA", "MFM", "Taipa", "氹仔")
LEG = TicketLeg("TJ-1", "FIRST", "First", "一等", CENTRAL, TAIPA, 3300, numbered_seats=True)
DEPARTURE = TicketDeparture(
    7, NOW, "12A", is_cancelled=True, is_shared=False, leg=LEG, boarding_minutes=90
)
PACKAGE = Details(106, "Premium", "尊享", None, NOW, NOW.astimezone(UTC) + timedelta(days=30))
FERRY = Details(3, "Ferry", "船票", DEPARTURE, NOW, NOW + timedelta(hours=2))
ADMITTED = Answer(
    "SUCCESS",
    "",
    "admitted",
    {"function": "ferry", "quantity": 2, "remaining": 0, "total": 2},
    "OTA-CP-20261128-000002",
    "PARTIALLY_REDEEMED",
    (("ferry", 0), ("gift", 1)),
    "0000084ed800000268885fb8a52b5317",
    None,
    PACKAGE,
)
REFUSED = Answer(
    "REJECT",
    "ALREADY_REDEEMED",
    "guard",
    {"function": "ferry", "at": "09:30:15", "terminal": "T-1", "venue": "PIER"},
    "DIR-20261128-000002",
    "USED",
    (("ferry", 0),),
    "0000084ed800000268885fb8a52b5318",
    ("0000084ed800000268885fb8a52b5317", NOW, "T-1", "PIER"),
    FERRY,
)
UNKNOWN = Answer("REJECT", "TOKEN_INVALID", "token", {}, redemption_id="0" * 32)
WITHHELD = Answer("WITHHELD", "", "withheld", {}, "DIR-20261128-000002", "ACTIVE", (("ferry", 1),))
ALL = [ADMITTED, REFUSED, UNKNOWN, WITHHELD]


def before(given: Any) -> bytes:
    """As earlier releases kept answers: each value beside its name."""

    def named(value: Any) -> Any:
        return (
            {name: named(each) for name, each in value._asdict().items()}
            if hasattr(value, "_asdict")
            else value
        )

    return orjson.dumps([named(answer) for answer in given])


@pytest.mark.parametrize("dump", [answers.dump, before])
def test_an_answer_is_read_as_it_was_given(dump: Callable[[Any], bytes]) -> None:
    """Seen red, for those of before, with values taken by position alone."""
    kept = dump(ALL)
    assert answers.load(kept) == ALL
    again = [answer_message(answer).SerializeToString() for answer in answers.load(kept)]
    assert again == [answer_message(answer).SerializeToString() for answer in ALL]


def test_an_answer_of_before_there_were_details() -> None:
    (fields,) = orjson.loads(before([UNKNOWN]))
    del fields["details"]
    assert answers.load(orjson.dumps([fields])) == [UNKNOWN]


def test_an_answer_has_no_names_of_fields() -> None:
    """Each scan writes one: they were more than all that it says."""
    assert len(answers.dump([ADMITTED])) < 300
    assert len(answers.dump([REFUSED])) < 0.6 * len(before([REFUSED]))
