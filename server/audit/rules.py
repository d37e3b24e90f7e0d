"""What the fields of administered records may be, beyond what the contract's annotations say.
Pure.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import cache
from ipaddress import ip_network
from typing import Any, NotRequired, TypedDict
from zoneinfo import available_timezones

DIRECT_CHANNEL = "DIRECT"
"""Our own sales channel, where others are named by their partner_code."""
RESERVED_PARTNER_CODES = frozenset({DIRECT_CHANNEL, "DT"})
"""The channel, and the code in its tickets' codes."""

ACCOMPANIED_TYPES = frozenset({"CHILD", "PET"})
"""Customer types that travel with somebody, unless the product says that they may alone."""

Fault = tuple[str, str]
"""Field path, and what is wrong with it and what to send instead."""


class ProductFare(TypedDict):
    """A price in minor units, as it is stored; `day_type` is `weekday`, `weekend` or `holiday`."""

    customer_type: str
    day_type: str
    amount_minor: int


class ProductEntitlement(TypedDict):
    """What every ticket of a product allows, as it is stored; `use_mode` is ONCE_PER_QR or
    MULTI_USE, `rotating_code` NONE, OPTIONAL or REQUIRED.
    """

    function_code: str
    display_name_en: str
    display_name_zh: str
    total_uses: int
    use_mode: str
    guard_seconds: int
    shared: NotRequired[bool]
    rotating_code: NotRequired[str]


ENTITLEMENT_DEFAULTS: Mapping[str, Any] = {"shared": False, "rotating_code": "NONE"}
"""What is meant by a stored entitlement that does not say it, as older ones."""


class AgeLimit(TypedDict):
    """Whom a customer type's fare is for, in full years, as it is stored; no `max_age`: any from
    `min_age` on.
    """

    customer_type: str
    min_age: int
    max_age: int | None


def faults(values: Mapping[str, Any]) -> list[Fault]:
    """Every fault of the given fields, by field name; those without a rule here have none."""
    return [
        fault for name, value in values.items() if name in RULES for fault in RULES[name](value)
    ]


def _partner_code(code: str) -> Iterator[Fault]:
    if code in RESERVED_PARTNER_CODES:
        yield "partner_code", f"{code} is our own channel; choose another code"


def _allowed_addresses(addresses: Sequence[str]) -> Iterator[Fault]:
    for index, address in enumerate(addresses):
        try:
            ip_network(address)
        except ValueError as error:
            yield (
                f"allowed_addresses[{index}]",
                f"is no network such as 203.0.113.0/24 or 2001:db8::/32: {error}",
            )
    yield from _repeated("allowed_addresses", addresses)


def _time_zone(name: str) -> Iterator[Fault]:
    if name not in _time_zones():
        yield "time_zone", "is not an IANA time zone such as Asia/Hong_Kong"


def _function_codes(codes: Sequence[str]) -> Iterator[Fault]:
    yield from _repeated("function_codes", codes)


def _venue_codes(codes: Sequence[str]) -> Iterator[Fault]:
    yield from _repeated("venue_codes", codes)


def _fares(fares: Sequence[ProductFare]) -> Iterator[Fault]:
    if not fares:
        yield "fares", "needs at least one"
    yield from _repeated("fares", [f"{fare['customer_type']} {fare['day_type']}" for fare in fares])


def _entitlements(entitlements: Sequence[ProductEntitlement]) -> Iterator[Fault]:
    if not entitlements:
        yield "entitlements", "needs at least one"
    yield from _repeated("entitlements", [each["function_code"] for each in entitlements])


def _roles(roles: Sequence[str]) -> Iterator[Fault]:
    if not roles:
        yield "roles", "needs at least one"
    for index, role in enumerate(roles):
        if not role:
            yield f"roles[{index}]", "is unspecified; name a role"
    yield from _repeated("roles", roles)


def _unaccompanied_types(types: Sequence[str]) -> Iterator[Fault]:
    for index, customer_type in enumerate(types):
        if customer_type not in ACCOMPANIED_TYPES:
            yield f"unaccompanied_types[{index}]", f"is not one of {sorted(ACCOMPANIED_TYPES)}"
    yield from _repeated("unaccompanied_types", types)


def _age_limits(limits: Sequence[AgeLimit]) -> Iterator[Fault]:
    for index, limit in enumerate(limits):
        if limit["max_age"] is not None and limit["max_age"] < limit["min_age"]:
            yield f"age_limits[{index}].max_age", f"is below min_age, {limit['min_age']}"
    yield from _repeated("age_limits", [limit["customer_type"] for limit in limits])


def _blackout_dates(dates: Sequence[str]) -> Iterator[Fault]:
    for index, text in enumerate(dates):
        try:
            date.fromisoformat(text)
        except ValueError:
            yield f"blackout_dates[{index}]", f"{text} is not a day of the calendar"
    yield from _repeated("blackout_dates", dates)


RULES: Mapping[str, Callable[[Any], Iterator[Fault]]] = {
    "partner_code": _partner_code,
    "allowed_addresses": _allowed_addresses,
    "time_zone": _time_zone,
    "function_codes": _function_codes,
    "venue_codes": _venue_codes,
    "fares": _fares,
    "entitlements": _entitlements,
    "blackout_dates": _blackout_dates,
    "unaccompanied_types": _unaccompanied_types,
    "age_limits": _age_limits,
    "roles": _roles,
}


def _repeated(field: str, names: Iterable[str]) -> Iterator[Fault]:
    for name, times in Counter(names).items():
        if times > 1:
            yield field, f"{name} stands there {times} times; send it once"


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())
