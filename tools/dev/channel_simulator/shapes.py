"""What a request's body must look like: exactly the fields of seed 003, each of its kind.

A shape is a dict of fields, a list of one shape, or a function that says what is wrong with a
value.
"""

import json
import re
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any

Shape = Any
Check = Callable[[Any], str]

MOST_DECIMALS = 3


class ShapeError(Exception):
    """A body is not what the document says; the text names where."""


def parse(body: bytes) -> Any:
    """JSON with decimals as they are written. Raises ShapeError."""
    try:
        return json.loads(body, parse_float=Decimal, object_pairs_hook=_once)
    except ValueError as error:
        raise ShapeError(f"no JSON: {error}") from None


def check(value: Any, shape: Shape) -> None:
    """Raises ShapeError for a value that has not that shape."""
    for fault in _faults(value, shape, "body"):
        raise ShapeError(fault)


def _faults(value: Any, shape: Shape, where: str) -> Iterator[str]:
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            yield f"{where} is no object"
            return
        if odd := set(value) ^ set(shape):
            yield f"{where} has or lacks {', '.join(sorted(odd))}"
            return
        for name, inner in shape.items():
            yield from _faults(value[name], inner, f"{where}.{name}")
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield f"{where} is no list"
            return
        for index, each in enumerate(value):
            yield from _faults(each, shape[0], f"{where}[{index}]")
    elif fault := shape(value):
        yield f"{where} {fault}"


def text(value: Any) -> str:
    """A text that is not empty."""
    return "" if isinstance(value, str) and value.strip() else "is no text"


def one_of(*words: str) -> Check:
    """One of these words."""
    return lambda value: "" if value in words else f"is none of {', '.join(words)}"


def flag(value: Any) -> str:
    """True or false."""
    return "" if isinstance(value, bool) else "is neither true nor false"


def count(value: Any) -> str:
    """A whole number from 0 on."""
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return "" if is_count else "is no whole number"


def amount(value: Any) -> str:
    """A JSON number as money is written: not below zero, with three decimals at the most, which
    0.1 + 0.2 of floats has not.
    """
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return "is no number"
    exponent = Decimal(value).as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -MOST_DECIMALS or value < 0:
        return "is no amount"
    return ""


def currency(value: Any) -> str:
    """A code of ISO 4217."""
    is_code = isinstance(value, str) and re.fullmatch("[A-Z]{3}", value)
    return "" if is_code else "is no currency"


def day(value: Any) -> str:
    """YYYY-MM-DD."""
    try:
        date.fromisoformat(value)
    except (TypeError, ValueError):
        return "is no date"
    return "" if len(value) == len("2026-11-28") else "is no date"


def languages(value: Any) -> str:
    """Texts by language, English among them."""
    is_good = isinstance(value, dict) and "en" in value and not any(map(text, value.values()))
    return "" if is_good else "has no text in English"


def year(value: Any) -> str:
    """A model's year."""
    is_year = isinstance(value, int) and not isinstance(value, bool) and 1950 <= value <= 2100
    return "" if is_year else "is no year"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field comes twice")
    return found
