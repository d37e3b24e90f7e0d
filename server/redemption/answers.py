"""What a scan is answered, and how the answer is kept for a repeat."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import orjson

from server.redemption.details import Details
from server.redemption.rules import TicketDeparture, TicketLeg, TicketStop


class Answer(NamedTuple):
    """What became of one item. `earlier` is (redemption_id, time, terminal, venue)."""

    result: str
    reason: str
    check: str
    facts: dict[str, str | int]
    ticket_code: str = ""
    ticket_state: str | None = None
    remaining: tuple[tuple[str, int], ...] = ()
    redemption_id: str = ""
    earlier: tuple[str, datetime, str, str] | None = None
    details: Details | None = None


def dump(answers: Sequence[Answer]) -> bytes:
    """Answers as they are kept: the values of their fields in their order, without the names,
    which are the larger part of them. A new field goes to the end, with a default.
    """
    return orjson.dumps(answers, default=tuple)


def load(kept: bytes) -> list[Answer]:
    """The answers that `dump` made these bytes of, now or in an earlier release."""
    return [_answer(each) for each in orjson.loads(kept)]


def _read(kind: Callable[..., Any], kept: Any, **parse: Callable[[Any], Any]) -> Any:
    # in earlier releases each value stood beside its name, in the same order
    values = kept.values() if isinstance(kept, dict) else kept
    made = kind(*values)
    parsed = {name: getattr(made, name) for name in parse}
    return made._replace(**{n: parse[n](v) for n, v in parsed.items() if v is not None})


def _pairs(kept: list[list[Any]]) -> tuple[tuple[Any, ...], ...]:
    return tuple(map(tuple, kept))


def _earlier(kept: list[str]) -> tuple[str, datetime, str, str]:
    redemption_id, at, terminal, venue = kept
    return redemption_id, datetime.fromisoformat(at), terminal, venue


_stop = partial(_read, TicketStop)
_leg = partial(_read, TicketLeg, origin=_stop, destination=_stop)
_departure = partial(_read, TicketDeparture, departure_time=datetime.fromisoformat, leg=_leg)
_times = dict.fromkeys(("valid_from_time", "valid_until_time"), datetime.fromisoformat)
_details = partial(_read, Details, departure=_departure, **_times)
_answer = partial(_read, Answer, remaining=_pairs, earlier=_earlier, details=_details)
