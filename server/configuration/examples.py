"""Examples of what a product's rules answer: given, expected. Pure.

A price, a refund at a moment, an entry at a gate. Each is worked out by the functions that sell,
refund and admit; what is expected names the fields that count. How examples are written stands in
docs/guides/changing-prices-and-policies.md.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from server.catalog import policy as refund_policy
from server.catalog import pricing
from server.catalog.rules import DEFAULT_BOARDING_MINUTES, VALID_AFTER_ARRIVAL, valid_until
from server.redemption import rules as entry

PRICE, REFUND, ENTRY = "price", "refund", "entry"
KINDS = (PRICE, REFUND, ENTRY)
MOST_EXAMPLES = 200
MOST_PARTY = 100
NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
"""When the departure or the first moment of use of a refund's example is, which only counts
minutes before it.
"""
QR = UUID(int=1)

_REQUIRED = {PRICE: {"party"}, REFUND: {"paid_minor"}, ENTRY: {"scan_time"}}
_GIVEN = {
    PRICE: {"party", "day_type", "route_id", "class_code", "origin", "destination"},
    REFUND: {
        *("paid_minor", "minutes_before", "state", "remaining_uses", "total_uses", "departs"),
        *("valid_days", "operator_cause", "refund_percent_cap"),
    },
    ENTRY: {
        *("scan_time", "departure_time", "arrival_time", "valid_from_time", "function_code"),
        *("quantity", "state", "blocked", "departure_cancelled", "remaining_uses"),
        "redeemed_seconds_ago",
    },
}
_EXPECTED = {
    PRICE: {"total_minor", "ticket_minor", "currency_code", "refused"},
    REFUND: {"amount_minor", "fee_minor", "percent", "rule", "refused"},
    ENTRY: {"admitted", "reason"},
}


class ExampleError(ValueError):
    """What is written is no example, or no terms; the text says where and what to write instead."""


@dataclass(frozen=True, slots=True)
class ExampleTerms:
    """What examples are tried against: a product as it is stored, and fares of its routes by
    number.
    """

    product: Mapping[str, Any]
    route_fares: Mapping[int, Sequence[Mapping[str, Any]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Example:
    """One example; `expected` has at least one field."""

    name: str
    kind: str
    given: Mapping[str, Any]
    expected: Mapping[str, Any]


class Failure(NamedTuple):
    """An example that is not answered as it says: the fields that count, as expected and as they
    are.
    """

    name: str
    expected: dict[str, Any]
    actual: dict[str, Any]


def parse(written: object) -> list[Example]:
    """The examples of a list. Raises ExampleError."""
    if not isinstance(written, list) or not 1 <= len(written) <= MOST_EXAMPLES:
        raise ExampleError(f"examples: is no list of 1 to {MOST_EXAMPLES}")
    found = [_example(f"examples[{index}]", each) for index, each in enumerate(written)]
    names = [example.name for example in found]
    for name in names:
        if names.count(name) > 1:
            raise ExampleError(f"examples: {name!r} is the name of two; give each its own")
    return found


def try_all(examples: Sequence[Example], terms: ExampleTerms) -> list[Failure]:
    """The examples that are not answered as they say. Raises ExampleError for one that cannot be
    worked out under these terms.
    """
    failures = []
    for example in examples:
        answer = answered(example, terms)
        actual = {name: answer.get(name) for name in example.expected}
        if actual != example.expected:
            why = {name: answer[name] for name in ("refused", "reason") if answer.get(name)}
            failures.append(Failure(example.name, dict(example.expected), actual | why))
    return failures


def answered(example: Example, terms: ExampleTerms) -> dict[str, Any]:
    """What the rules answer to an example. Raises ExampleError."""
    try:
        return _ANSWERS[example.kind](example.given, terms)
    except ExampleError as error:
        raise ExampleError(f"{example.name!r}: {error}") from None
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        raise ExampleError(f"{example.name!r}: cannot be worked out: {error!r}") from error


def _example(path: str, written: object) -> Example:
    if not isinstance(written, dict):
        raise ExampleError(f"{path}: is no mapping with name, one of {KINDS}, and expected")
    kinds = [kind for kind in KINDS if kind in written]
    _only(path, written, {"name", "expected", *KINDS})
    name = written.get("name")
    if not isinstance(name, str) or not name.strip():
        raise ExampleError(f"{path}.name: is missing; say what the example shows")
    if len(kinds) != 1:
        raise ExampleError(f"{path}: has {kinds or 'none'} of {', '.join(KINDS)}; give exactly one")
    given = _fields(f"{path}.{kinds[0]}", written[kinds[0]])
    expected = _fields(f"{path}.expected", written.get("expected"))
    _only(f"{path}.{kinds[0]}", given, _GIVEN[kinds[0]])
    _only(f"{path}.expected", expected, _EXPECTED[kinds[0]])
    for missing in sorted(_REQUIRED[kinds[0]] - given.keys()):
        raise ExampleError(f"{path}.{kinds[0]}.{missing}: is missing")
    return Example(name, kinds[0], given, expected)


def _fields(path: str, written: object) -> dict[Any, Any]:
    if not isinstance(written, dict) or not written:
        raise ExampleError(f"{path}: is no mapping of fields")
    return written


def _only(path: str, written: Mapping[Any, Any], known: Collection[str]) -> None:
    for key in written:
        if key not in known:
            raise ExampleError(
                f"{path}: has no field {key!r}; there are {', '.join(sorted(known))}"
            )


def _price(given: Mapping[str, Any], terms: ExampleTerms) -> dict[str, Any]:
    party = given["party"]
    if not isinstance(party, list) or not 1 <= len(party) <= MOST_PARTY:
        raise ExampleError(f"party is no list of 1 to {MOST_PARTY} customer types")
    product = terms.product
    fares = product.get("fares", ())
    if "route_id" in given:
        leg = {name: given.get(name) for name in ("class_code", "origin", "destination")}
        fares = [
            fare
            for fare in terms.route_fares.get(given["route_id"], ())
            if all(fare[name] == leg[name] for name in leg)
        ]
    sold = pricing.PriceTerms(
        product_id=0,
        currency_code=product.get("currency_code", ""),
        day_type=given.get("day_type", pricing.WEEKDAY),
        fares={(each["customer_type"], each["day_type"]): each["amount_minor"] for each in fares},
        tiers=pricing.parse_tiers(list(product.get("tiers", ()))),
    )
    try:
        made = pricing.price(sold, party, (), NOON)
    except pricing.NoFare as error:
        return {"refused": "NO_FARE", "total_minor": None, "why": str(error)}
    return {
        "total_minor": made.total_minor,
        "ticket_minor": list(made.ticket_minor),
        "currency_code": sold.currency_code,
        "refused": None,
    }


def _refund(given: Mapping[str, Any], terms: ExampleTerms) -> dict[str, Any]:
    departs, total = given.get("departs", True), given.get("total_uses", 1)
    valid = timedelta(days=given.get("valid_days", 0 if departs else 1))
    ticket = refund_policy.PolicyTicket(
        state=given.get("state", "ACTIVE"),
        paid_minor=given["paid_minor"],
        remaining_uses=given.get("remaining_uses", total),
        total_uses=total,
        reference_time=NOON,
        valid_until_time=NOON + (valid or VALID_AFTER_ARRIVAL),
        operator_cause=given.get("operator_cause", ""),
        start=refund_policy.TicketStart.DEPARTURE
        if departs
        else refund_policy.TicketStart.FIRST_DAY,
        refund_percent_cap=given.get("refund_percent_cap", 100),
    )
    rules = refund_policy.Policy.parse(terms.product.get("policy") or {})
    at = NOON - timedelta(minutes=given.get("minutes_before", 0))
    offer = refund_policy.refund(ticket, rules, at)
    if isinstance(offer, refund_policy.Refused):
        return {"refused": offer.reason, "amount_minor": None}
    names = ("amount_minor", "fee_minor", "percent", "rule")
    return {name: getattr(offer, name) for name in names} | {"refused": None}


def _entry(given: Mapping[str, Any], terms: ExampleTerms) -> dict[str, Any]:
    product, now = terms.product, _moment(given, "scan_time")
    functions = {each["function_code"]: each for each in product.get("entitlements", ())}
    function = given.get("function_code") or next(iter(functions), "")
    departure = _departure(given, product) if "departure_time" in given else None
    valid_from, valid_until_time = _validity(given, product, departure)
    ticket = entry.ScannedTicket(
        ticket_id=1,
        ticket_code="",
        jti=QR,
        state=given.get("state", "ACTIVE"),
        blocked=given.get("blocked", False),
        order_id=None,
        product_id=0,
        valid_from_time=valid_from,
        valid_until_time=valid_until_time,
        snapshot=entry.Snapshot(
            {
                code: entry.TicketTerms(each["use_mode"], each.get("guard_seconds", 0))
                for code, each in functions.items()
            },
            frozenset(map(_day, product.get("blackout_dates", ()))),
        ),
        departure=departure,
        uses={
            code: entry.Uses(each["total_uses"], given.get("remaining_uses", each["total_uses"]))
            for code, each in functions.items()
        },
    )
    if "redeemed_seconds_ago" in given:
        ago = now - timedelta(seconds=given["redeemed_seconds_ago"])
        ticket.guards[QR, function] = entry.Earlier(1, ago, "", "")
    scan = entry.Scan(
        QR, function, given.get("quantity", 1), frozenset({*functions, function}), now
    )
    refusal = entry.decide(scan, ticket)
    return {"admitted": refusal is None, "reason": refusal.reason if refusal else None}


def _departure(given: Mapping[str, Any], product: Mapping[str, Any]) -> entry.TicketDeparture:
    departs = _moment(given, "departure_time")
    arrives = _arrival(given)
    stop = entry.TicketStop("", "", "", "")
    seconds = int((arrives - departs).total_seconds())
    return entry.TicketDeparture(
        departure_id=1,
        departure_time=departs,
        seat="",
        is_cancelled=given.get("departure_cancelled", False),
        is_shared=False,
        leg=entry.TicketLeg("", "", "", "", stop, stop, seconds, numbered_seats=False),
        boarding_minutes=product.get("boarding_minutes") or DEFAULT_BOARDING_MINUTES,
    )


def _arrival(given: Mapping[str, Any]) -> datetime:
    if "arrival_time" in given:
        return _moment(given, "arrival_time")
    return _moment(given, "departure_time") + timedelta(hours=1)


def _validity(
    given: Mapping[str, Any], product: Mapping[str, Any], departure: object
) -> tuple[datetime, datetime]:
    """As sold: of a departure from its day on, else from `valid_from_time` for the product's
    days.
    """
    if departure:
        departs = _moment(given, "departure_time")
        begin = departs.replace(hour=0, minute=0, second=0, microsecond=0)
        end = _arrival(given) + VALID_AFTER_ARRIVAL
        return begin, end
    if "valid_from_time" not in given:
        raise ExampleError("needs departure_time or valid_from_time")
    begin = _moment(given, "valid_from_time")
    zone = begin.tzinfo or UTC
    return begin, valid_until(begin, product.get("validity_days", 0), zone)


def _moment(given: Mapping[str, Any], name: str) -> datetime:
    """A moment with its offset, by whose clock the day counts."""
    written = given[name]
    try:
        moment = datetime.fromisoformat(written) if isinstance(written, str) else written
    except ValueError:
        moment = None
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise ExampleError(f"{name} is {written!r}; write it as 2026-12-01T09:30:00+08:00")
    return moment


def _day(written: object) -> date:
    return written if isinstance(written, date) else date.fromisoformat(str(written))


_ANSWERS: Mapping[str, Callable[[Mapping[str, Any], ExampleTerms], dict[str, Any]]] = {
    PRICE: _price,
    REFUND: _refund,
    ENTRY: _entry,
}
