"""What codes, numbers and fares of the catalogue's records may be, whoever says them: a call, or a
line of a file. Pure.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from server.audit.rules import Fault
from server.catalog import pricing

CUSTOMER_TYPES = frozenset({"ADULT", "CHILD", "SENIOR", "STUDENT", "PET"})
DAY_TYPES = frozenset({pricing.WEEKDAY, pricing.WEEKEND, pricing.HOLIDAY})
MOST_MINOR = 100_000_000_000
MOST_SURCHARGE_MINOR = 1_000_000_000
"""Of what comes to the price of a rental."""
USE_MODES = ("ONCE_PER_QR", "MULTI_USE")
ROTATING_CODES = ("NONE", "OPTIONAL", "REQUIRED")
FUNCTION_CODE = "[a-z][a-z0-9_]{0,31}"
ENTITLEMENT = {"total_uses": (1, 1000), "guard_seconds": (0, 86_400)}
PRODUCT = {
    "validity_days": (1, 3650),
    "boarding_minutes": (1, 1440),
    "max_per_traveller": (1, 1000),
}
AGES = (0, 150)
"""In full years."""


def code_faults(field: str, code: str, pattern: str) -> Iterator[Fault]:
    """What is wrong with a code that is to match a pattern whole."""
    if not re.fullmatch(pattern, code):
        yield field, f"{code!r} does not match {pattern}"


def number_faults(
    values: Mapping[str, Any], limits: Mapping[str, tuple[int, int]], path: str = ""
) -> Iterator[Fault]:
    """Which numbers are outside their limits, both included; field paths are below `path`."""
    for name, (least, most) in limits.items():
        if not least <= values[name] <= most:
            yield path + name, f"is {values[name]}, not within {least} to {most}"


def fare_faults(fares: Sequence[Mapping[str, Any]]) -> Iterator[Fault]:
    """What is wrong with fares, each by itself."""
    for index, fare in enumerate(fares):
        path = f"fares[{index}]"
        if fare["customer_type"] not in CUSTOMER_TYPES:
            yield f"{path}.customer_type", f"is none of {', '.join(sorted(CUSTOMER_TYPES))}"
        if fare["day_type"] not in DAY_TYPES:
            yield f"{path}.day_type", f"is none of {', '.join(sorted(DAY_TYPES))}"
        if not 0 <= fare["amount_minor"] <= MOST_MINOR:
            yield f"{path}.amount_minor", f"is not within 0 to {MOST_MINOR}"


def entitlement_faults(entitlement: Mapping[str, Any], path: str = "") -> Iterator[Fault]:
    """What is wrong with what a ticket allows; field paths are below `path`."""
    yield from code_faults(f"{path}function_code", entitlement["function_code"], FUNCTION_CODE)
    if entitlement["use_mode"] not in USE_MODES:
        yield f"{path}use_mode", f"is {entitlement['use_mode']!r}; send {' or '.join(USE_MODES)}"
    asked = entitlement.get("rotating_code", "NONE")
    if asked not in ROTATING_CODES:
        yield f"{path}rotating_code", f"is {asked!r}; send {', '.join(ROTATING_CODES)}"
    yield from number_faults(entitlement, ENTITLEMENT, path)


def product_faults(values: Mapping[str, Any]) -> Iterator[Fault]:
    """What is wrong with the given fields of a product."""
    yield from number_faults(values, {name: PRODUCT[name] for name in PRODUCT if name in values})
    yield from fare_faults(values.get("fares", ()))
    for index, each in enumerate(values.get("entitlements", ())):
        yield from entitlement_faults(each, f"entitlements[{index}].")
    for index, each in enumerate(values.get("age_limits", ())):
        path = f"age_limits[{index}]."
        if each["customer_type"] not in CUSTOMER_TYPES:
            yield f"{path}customer_type", f"is none of {', '.join(sorted(CUSTOMER_TYPES))}"
        given = {name: each[name] for name in ("min_age", "max_age") if each[name] is not None}
        yield from number_faults(given, dict.fromkeys(given, AGES), path)
