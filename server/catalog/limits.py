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
            yield f"{path}.customer_type", f"is not in {sorted(CUSTOMER_TYPES)}"
        if fare["day_type"] not in DAY_TYPES:
            yield f"{path}.day_type", f"is not in {sorted(DAY_TYPES)}"
        if not 0 <= fare["amount_minor"] <= MOST_MINOR:
            yield f"{path}.amount_minor", f"is not within 0 to {MOST_MINOR}"
