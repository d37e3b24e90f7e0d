"""The decision of a scan: every reason, which of two reasons wins, and the words for it."""

import ast
import re
import string
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from deeptravel.redemption.v1 import redemption_pb2

import server.redemption
from server.api import convert
from server.redemption import explanations, rules, token_refusals
from server.redemption.explanations import explain
from server.redemption.rules import (
    Earlier,
    Scan,
    ScannedTicket,
    Snapshot,
    TicketDeparture,
    TicketTerms,
    Uses,
)
from server.tickets import qr
from server.tickets.rotating_codes import CodeShown
from server.tickets.rules import Number

HONG_KONG = ZoneInfo("Asia/Hong_Kong")
NOON = datetime(2026, 12, 24, 12, tzinfo=HONG_KONG)
JTI, OTHER_JTI = UUID(int=1), UUID(int=2)
EARLIER = Earlier(7, NOON - timedelta(seconds=30), "T-1", "PIER")
REASONS = set(convert.enum_numbers(redemption_pb2.RefusalReason)) - {""}


def a_scan() -> Scan:
    return Scan(JTI, "ferry", 1, frozenset({"ferry", "tokens"}), NOON)


def a_ticket() -> ScannedTicket:
    return ScannedTicket(
        ticket_id=1,
        ticket_code="OTA-CP-20261101-000001",
        jti=JTI,
        state="ACTIVE",
        blocked=False,
        order_id=5,
        product_id=106,
        valid_from_time=datetime(2026, 12, 1, tzinfo=UTC),
        valid_until_time=datetime(2027, 1, 1, tzinfo=UTC),
        snapshot=Snapshot(
            {"ferry": TicketTerms("ONCE_PER_QR", 60), "tokens": TicketTerms("MULTI_USE", 60)},
            frozenset({date(2026, 12, 26)}),
        ),
        uses={"ferry": Uses(1, 1), "tokens": Uses(10, 10)},
    )


# Each fault by itself: what makes it, and what it must be called. In the order in which they are to
# win.


def elsewhere(scan: Scan, ticket: ScannedTicket) -> tuple[Scan, ScannedTicket]:
    return scan._replace(allowed=frozenset({"gift"})), ticket


def superseded(scan: Scan, ticket: ScannedTicket) -> tuple[Scan, ScannedTicket]:
    ticket.guards = {(scan.jti, function): e for (_, function), e in ticket.guards.items()}
    return scan, replace(ticket, jti=OTHER_JTI)


def refunded(scan: Scan, ticket: ScannedTicket) -> tuple[Scan, ScannedTicket]:
    return scan, replace(ticket, state="REFUNDED")


def blocked(scan: Scan, ticket: ScannedTicket) -> tuple[Scan, ScannedTicket]:
    return scan, replace(ticket, blocked=True)


def not_included(scan: Scan, ticket: ScannedTicket) -> tuple[Scan, ScannedTicket]:
    return scan, replace(ticket, uses={"gift": Uses(1, 1)})


def redeemed_before(scan: Scan, ticket: ScannedTicket) -> tuple[Scan, ScannedTicket]:
    return scan, replace(ticket, guards={(scan.jti, scan.function_code): EARLIER})


def too_early(scan: Scan, ticket: ScannedTicket) -> tuple[Scan, ScannedTicket]:
    begin = scan.now + timedelta(seconds=1)
    return scan, replace(ticket, valid_from_time=begin.astimezone(UTC))


def too_late(scan: Scan, ticket: ScannedTicket) -> tuple[Scan, ScannedTicket]:
    return scan, replace(ticket, valid_until_time=scan.now.astimezone(UTC))


def on_a_blackout_date(scan: Scan, ticket: ScannedTicket) -> tuple[Scan, ScannedTicket]:
    dates = frozenset({scan.now.date()})
    return scan, replace(ticket, snapshot=replace(ticket.snapshot, blackout_dates=dates))


HERE = rules.Admits(7, "G5711", NOON.date())


def a_departure(departure_time: datetime = NOON, **fields: Any) -> TicketDeparture:
    origin = rules.TicketStop("XJA", "HKG", "West Kowloon", "西九龙")
    destination = rules.TicketStop("NZQ", "SZX", "Futian", "福田")
    leg = rules.TicketLeg("B0030", "SECOND", "Second", "二等座", origin, destination, 900, True)
    return TicketDeparture(7, departure_time, "3A", False, False, leg, 120)._replace(**fields)


def cancelled(scan: Scan, ticket: ScannedTicket) -> tuple[Scan, ScannedTicket]:
    departure = (ticket.departure or a_departure())._replace(is_cancelled=True)
    return scan, replace(ticket, departure=departure)


def another_departure(scan: Scan, ticket: ScannedTicket) -> tuple[Scan, ScannedTicket]:
    departure = (ticket.departure or a_departure())._replace(departure_id=8)
    return scan._replace(admits=HERE), replace(ticket, departure=departure)


def before_boarding(scan: Scan, ticket: ScannedTicket) -> tuple[Scan, ScannedTicket]:
    leaves = scan.now + timedelta(minutes=120, seconds=1)
    departure = (ticket.departure or a_departure())._replace(departure_time=leaves)
    return scan, replace(ticket, departure=departure)


def a_screenshot(scan: Scan, ticket: ScannedTicket) -> tuple[Scan, ScannedTicket]:
    terms = {
        code: replace(t, rotating_code="OPTIONAL") for code, t in ticket.snapshot.terms.items()
    }
    asking = replace(ticket, snapshot=replace(ticket.snapshot, terms=terms))
    return scan._replace(shown=CodeShown.STALE), asking


def none_left(scan: Scan, ticket: ScannedTicket) -> tuple[Scan, ScannedTicket]:
    uses = {function: Uses(u.total, 0) for function, u in ticket.uses.items()}
    return scan, replace(ticket, uses=uses)


def leased(scan: Scan, ticket: ScannedTicket) -> tuple[Scan, ScannedTicket]:
    lease = rules.Lease("T-9", scan.now + timedelta(minutes=1))
    uses = {function: replace(u, lease=lease) for function, u in ticket.uses.items()}
    return scan, replace(ticket, uses=uses)


Fault = Callable[[Scan, ScannedTicket], tuple[Scan, ScannedTicket]]
FAULTS: dict[Fault, tuple[str, str]] = {
    elsewhere: ("FUNCTION_NOT_ALLOWED_HERE", "place"),
    superseded: ("QR_SUPERSEDED", "jti"),
    cancelled: ("DEPARTURE_CANCELLED", "departure"),
    refunded: ("TICKET_REFUNDED", "state"),
    blocked: ("TICKET_BLOCKED", "blocked"),
    another_departure: ("WRONG_DEPARTURE", "departure"),
    not_included: ("FUNCTION_NOT_INCLUDED", "function"),
    redeemed_before: ("ALREADY_REDEEMED", "guard"),
    before_boarding: ("TICKET_NOT_YET_VALID", "boarding"),
    too_early: ("TICKET_NOT_YET_VALID", "validity"),
    too_late: ("TICKET_EXPIRED", "validity"),
    on_a_blackout_date: ("BLACKOUT_DATE", "blackout"),
    none_left: ("NO_USES_LEFT", "uses"),
    leased: ("LEASED_ELSEWHERE", "lease"),
    a_screenshot: ("ROTATING_CODE_EXPIRED", "rotating_code"),
}


OF_DEPARTURES = (cancelled, another_departure, before_boarding)


def verdict(scan: Scan, ticket: ScannedTicket) -> tuple[str, str] | None:
    refusal = rules.decide(scan, ticket)
    return (refusal.reason, refusal.check) if refusal else None


def test_admitted() -> None:
    assert rules.decide(a_scan(), a_ticket()) is None


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_each_fault_alone(fault: Fault) -> None:
    assert verdict(*fault(a_scan(), a_ticket())) == FAULTS[fault]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (first, second)
        for index, first in enumerate(FAULTS)
        for second in list(FAULTS)[index + 1 :]
        # a validity that is over before it begins, and a departure's that does not go by the
        # ticket's
        if (first, second) not in ((too_early, too_late), *((f, too_early) for f in OF_DEPARTURES))
    ],
    ids=lambda fault: fault.__name__,
)
def test_the_earlier_check_wins(first: Fault, second: Fault) -> None:
    """In whichever order the faults came about."""
    for made_first, made_second in ((first, second), (second, first)):
        scan, ticket = made_second(*made_first(a_scan(), a_ticket()))
        assert verdict(scan, ticket) == FAULTS[first]


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("PRE_GENERATED", "TICKET_NOT_ACTIVE"),
        ("REFUNDING", "TICKET_NOT_ACTIVE"),
        ("CHANGING", "TICKET_NOT_ACTIVE"),
        ("REFUNDED", "TICKET_REFUNDED"),
        ("CHANGED", "TICKET_CHANGED"),
        ("VOIDED", "TICKET_VOIDED"),
        ("EXPIRED", "TICKET_EXPIRED"),
        ("ACTIVE", None),
        ("PARTIALLY_REDEEMED", None),
    ],
)
def test_states(state: str, reason: str | None) -> None:
    check = "validity" if state == "EXPIRED" else "state"
    expected = (reason, check) if reason else None
    assert verdict(a_scan(), replace(a_ticket(), state=state)) == expected


def test_used_ticket_says_which_redemption() -> None:
    """USED is no refusal by itself: the check behind it knows more."""
    scan, ticket = redeemed_before(a_scan(), replace(a_ticket(), state="USED"))
    refusal = rules.decide(scan, ticket)
    assert refusal
    assert (refusal.reason, refusal.earlier) == ("ALREADY_REDEEMED", EARLIER)
    rotated = replace(ticket, jti=OTHER_JTI)
    assert verdict(*none_left(scan._replace(jti=OTHER_JTI), rotated)) == ("NO_USES_LEFT", "uses")


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        ("2026-12-24 23:59:59.999999", None),
        ("2026-12-25 00:00:00", "BLACKOUT_DATE"),  # the 24th in UTC
        ("2026-12-25 23:59:59.999999", "BLACKOUT_DATE"),
        ("2026-12-26 00:00:00", None),
    ],
)
@pytest.mark.parametrize("zone", ["Asia/Hong_Kong", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_blackout_dates_are_the_venues_dates(local: str, expected: str | None, zone: str) -> None:
    now = datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone))
    ticket = a_ticket()
    snapshot = replace(ticket.snapshot, blackout_dates=frozenset({date(2026, 12, 25)}))
    refusal = rules.decide(a_scan()._replace(now=now), replace(ticket, snapshot=snapshot))
    assert (refusal and refusal.reason) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-1, "TICKET_NOT_YET_VALID"), (0, None), (3599, None), (3600, "TICKET_EXPIRED")],
)
def test_validity_includes_its_beginning_not_its_end(seconds: int, expected: str | None) -> None:
    end = NOON + timedelta(hours=1)
    ticket = replace(a_ticket(), valid_from_time=NOON, valid_until_time=end)
    refusal = rules.decide(a_scan()._replace(now=NOON + timedelta(seconds=seconds)), ticket)
    assert (refusal and refusal.reason) == expected


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        ("2026-12-24 22:29:59.999999", ("TICKET_NOT_YET_VALID", "boarding")),
        ("2026-12-24 22:30:00", None),
        ("2026-12-24 23:45:00", None),  # the bus is tomorrow's
        ("2026-12-25 00:30:00", None),  # late, and still admitted to what leaves late
        ("2026-12-25 07:00:00", ("TICKET_EXPIRED", "validity")),
    ],
)
def test_the_bus_of_half_past_midnight(local: str, expected: tuple[str, str] | None) -> None:
    """Whatever the day the ticket's own validity begins, and though the evening is a blackout
    date.
    """
    leaves = datetime(2026, 12, 25, 0, 30, tzinfo=HONG_KONG)
    ticket = replace(
        a_ticket(),
        departure=a_departure(leaves.astimezone(UTC)),
        valid_from_time=datetime(2026, 12, 25, tzinfo=HONG_KONG),
        valid_until_time=datetime(2026, 12, 25, 7, tzinfo=HONG_KONG),
        snapshot=replace(a_ticket().snapshot, blackout_dates=frozenset({date(2026, 12, 24)})),
    )
    now = datetime.fromisoformat(local).replace(tzinfo=HONG_KONG)
    assert verdict(a_scan()._replace(now=now), ticket) == expected
    refusal = rules.validity(ticket, now)
    if refusal and refusal.check == "boarding":
        assert refusal.facts["opens"] == "2026-12-24 22:30:00 UTC+08:00"
        assert refusal.facts["departs"] == "2026-12-25 00:30:00 UTC+08:00"


def test_boarding_opens_by_the_products_setting() -> None:
    ticket = replace(a_ticket(), departure=a_departure(boarding_minutes=30))
    for minutes, expected in ((31, "TICKET_NOT_YET_VALID"), (30, None)):
        refusal = rules.validity(ticket, NOON - timedelta(minutes=minutes))
        assert (refusal and refusal.reason) == expected


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("ACTIVE", "DEPARTURE_CANCELLED"),
        ("REFUNDING", "DEPARTURE_CANCELLED"),
        ("REFUNDED", "DEPARTURE_CANCELLED"),
        ("CHANGED", "TICKET_CHANGED"),  # there is another ticket to ask for
    ],
)
def test_a_cancelled_departure_is_named_whatever_became_of_the_ticket(
    state: str, reason: str
) -> None:
    _, ticket = cancelled(a_scan(), replace(a_ticket(), state=state))
    refusal = rules.decide(a_scan(), ticket)
    assert refusal
    assert refusal.reason == reason


def test_a_session_for_a_departure() -> None:
    """Admits its own tickets and those of no departure; of others it names the right departure."""
    scan = a_scan()._replace(admits=HERE)
    assert verdict(scan, a_ticket()) is None
    assert verdict(scan, replace(a_ticket(), departure=a_departure())) is None
    refusal = rules.decide(*another_departure(scan, a_ticket()))
    assert refusal
    assert refusal.facts == {
        "service": "B0030",
        "departs": "2026-12-24 12:00:00 UTC+08:00",
        "origin_en": "West Kowloon",
        "origin_zh": "西九龙",
        "destination_en": "Futian",
        "destination_zh": "福田",
        "here": "G5711 (2026-12-24)",
    }
    explained(refusal.reason, refusal.check, refusal.facts)
    english, chinese = explain(refusal.reason, refusal.check, refusal.facts)
    assert "B0030 (West Kowloon–Futian)" in english
    assert "B0030 次（西九龙–福田）" in chinese


def test_a_shared_entitlement_is_not_bound_to_the_departure_it_was_sold_with() -> None:
    """Those who share it may have changed: it is admitted from the earlier of boarding and its
    own validity.
    """
    midnight = datetime(2026, 12, 24, tzinfo=HONG_KONG)
    shared = a_departure(midnight + timedelta(minutes=30), is_cancelled=True, is_shared=True)
    ticket = replace(a_ticket(), departure=shared, valid_from_time=midnight)
    scan = a_scan()._replace(admits=HERE._replace(departure_id=8))
    for now, expected in (
        (midnight - timedelta(minutes=91), ("TICKET_NOT_YET_VALID", "validity")),
        (midnight - timedelta(minutes=90), None),
        (midnight + timedelta(hours=12), None),
    ):
        assert verdict(scan._replace(now=now), ticket) == expected


@pytest.mark.parametrize(
    ("seconds", "remaining", "expected"),
    [
        (59.999, 9, ("ALREADY_REDEEMED", "guard_time")),
        (60, 9, None),
        (0, 0, ("NO_USES_LEFT", "uses")),  # waiting would not help
        (60, 0, ("NO_USES_LEFT", "uses")),
    ],
)
def test_guard_time(seconds: float, remaining: int, expected: tuple[str, str] | None) -> None:
    ticket = a_ticket()
    ticket.uses["tokens"].remaining = remaining
    ticket.guards[JTI, "tokens"] = EARLIER
    now = EARLIER.redeemed_time + timedelta(seconds=seconds)
    assert verdict(a_scan()._replace(function_code="tokens", now=now), ticket) == expected


@pytest.mark.parametrize(
    ("guard_seconds", "expected"), [(0, None), (60, ("ALREADY_REDEEMED", "guard_time"))]
)
def test_a_redemption_by_a_server_whose_clock_is_ahead(
    guard_seconds: int, expected: tuple[str, str] | None
) -> None:
    ticket = a_ticket()
    terms = {"tokens": TicketTerms("MULTI_USE", guard_seconds)}
    ticket = replace(ticket, snapshot=replace(ticket.snapshot, terms=terms))
    ticket.guards[JTI, "tokens"] = EARLIER._replace(redeemed_time=NOON + timedelta(seconds=1))
    assert verdict(a_scan()._replace(function_code="tokens"), ticket) == expected


def test_guard_is_of_one_qr_and_one_function() -> None:
    ticket = a_ticket()
    ticket.guards = {(OTHER_JTI, "ferry"): EARLIER, (JTI, "gift"): EARLIER}
    assert verdict(a_scan(), ticket) is None


@pytest.mark.parametrize(("quantity", "admitted"), [(1, True), (3, True), (4, False)])
def test_quantity(quantity: int, admitted: bool) -> None:
    ticket = a_ticket()
    ticket.uses["tokens"].remaining = 3
    scan = a_scan()._replace(function_code="tokens", quantity=quantity)
    assert verdict(scan, ticket) == (None if admitted else ("NO_USES_LEFT", "uses"))


def test_a_copy_does_not_change_with_the_ticket() -> None:
    ticket = a_ticket()
    before = ticket.copy()
    rules.apply(a_scan(), ticket, EARLIER)
    assert before == a_ticket()
    assert (ticket.state, ticket.uses["ferry"].remaining) == ("PARTIALLY_REDEEMED", 0)
    assert ticket.guards == {(JTI, "ferry"): EARLIER}


@pytest.mark.parametrize(
    ("changes", "is_reversible"),
    [
        ({}, True),
        ({"ticket_state": "PARTIALLY_REDEEMED"}, True),
        ({"result": "REJECT"}, False),
        ({"result": "REVERSED"}, False),
        ({"is_reversed": True}, False),
        ({"now": NOON + timedelta(seconds=600)}, True),
        ({"now": NOON + timedelta(seconds=600, microseconds=1)}, False),
        ({"ticket_state": "EXPIRED"}, False),
        ({"ticket_state": "REFUNDING"}, False),
    ],
)
def test_reversal(changes: dict[str, Any], is_reversible: bool) -> None:
    arguments: dict[str, Any] = {
        "result": "SUCCESS",
        "redeemed_time": NOON,
        "ticket_state": "USED",
        "is_reversed": False,
        "window_seconds": 600,
        "now": NOON,
    }
    assert (rules.why_not_reversible(**arguments | changes) is None) == is_reversible


# In words


def _refusals_in_the_code() -> set[tuple[str, str]]:
    """Every `Refusal("REASON", "check", ...)` that the code of the slice writes out."""
    found = {(reason, "state") for reason in rules._REFUSED_STATES.values()}
    for path in Path(server.redemption.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not ast.unparse(node.func).endswith("Refusal"):
                continue
            match node.args:
                case [ast.Constant(str(reason)), ast.Constant(str(check)), *_]:
                    found.add((reason, check))
    return found


def test_there_are_twenty_three_reasons_and_each_has_words() -> None:
    assert len(REASONS) == 23
    assert {reason for reason, _ in _refusals_in_the_code()} == REASONS


def test_words_for_exactly_what_can_be_decided() -> None:
    accepted = {("", "admitted"), ("", "withheld")}
    within_a_call = {("ALREADY_REDEEMED", "call"), ("NO_USES_LEFT", "call")}
    assert set(explanations._TEXTS) == _refusals_in_the_code() | accepted | within_a_call


@pytest.mark.parametrize("key", explanations._TEXTS)
def test_both_languages_tell_the_same_facts(key: tuple[str, str]) -> None:
    """A name is given in the language of the text."""
    english, chinese = explanations._TEXTS[key]
    fields = [
        {field.removesuffix(language) for _, field, _, _ in string.Formatter().parse(text) if field}
        for text, language in ((english, "_en"), (chinese, "_zh"))
    ]
    assert fields[0] == fields[1]
    assert not re.search("[\u4e00-\u9fff]", english)
    assert re.search("[\u4e00-\u9fff]", chinese)


def explained(reason: str, check: str, facts: dict[str, str | int]) -> None:
    for text in explain(reason, check, facts):
        assert text
        assert not re.search(r"[{}]", text)


def test_a_tokens_faults_are_explained() -> None:
    claims = qr.Claims(JTI, 1, NOON)
    for refusal in (token_refusals.INVALID_TOKEN, token_refusals.expired_token(claims, NOON)):
        explained(refusal.reason, refusal.check, refusal.facts)
    assert token_refusals.expired_token(claims, NOON).facts == {
        "expired_at": "2026-12-24 12:00:00 UTC+08:00"
    }


ASKED = ("NONE", "OPTIONAL", "REQUIRED")
BY_CODE = {
    (CodeShown.NO_CODE, "REQUIRED"): ("ROTATING_CODE_REQUIRED", "rotating_code"),
    (CodeShown.STALE, "OPTIONAL"): ("ROTATING_CODE_EXPIRED", "rotating_code"),
    (CodeShown.STALE, "REQUIRED"): ("ROTATING_CODE_EXPIRED", "rotating_code"),
}


@pytest.mark.parametrize("shown", [*CodeShown, None])
@pytest.mark.parametrize("asked", ASKED)
def test_what_the_policy_says_of_a_rotating_code(asked: str, shown: CodeShown | None) -> None:
    """None is a redemption by the ticket's number, which nobody's screenshot is."""
    ticket, scan = a_ticket(), a_scan()._replace(shown=shown)
    terms = {"ferry": TicketTerms("ONCE_PER_QR", 60, asked), "tokens": TicketTerms("MULTI_USE", 60)}
    ticket.snapshot = replace(ticket.snapshot, terms=terms)
    expected = BY_CODE.get((shown, asked)) if shown else None
    assert verdict(scan, ticket) == expected
    if shown:  # a look says so where no other function is left
        assert rules.no_code(ticket, None, shown, NOON) is None
        one = rules.no_code(ticket, frozenset({"ferry"}), shown, NOON)
        assert (one and (one.reason, one.check)) == expected
        ticket.uses["tokens"].remaining = 0
        assert rules.no_code(ticket, None, shown, NOON) == one
    partners = replace(ticket, ticket_id=int(Number(1, NOON.date(), 1)))
    assert verdict(scan, partners) is None


def test_facts_are_in_the_venues_time() -> None:
    scan, ticket = redeemed_before(a_scan(), a_ticket())
    utc = Earlier(7, EARLIER.redeemed_time.astimezone(UTC), "T-1", "PIER")
    ticket.guards = dict.fromkeys(ticket.guards, utc)
    refusal = rules.decide(scan, ticket)
    assert refusal
    assert refusal.facts["at"] == "2026-12-24 11:59:30 UTC+08:00"
