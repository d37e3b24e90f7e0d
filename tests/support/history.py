"""Whether a recorded history of one ticket is explained by some serial order of its calls.

A search in the manner of Wing and Gong, with Lowe's memory of where it has been: take any call that
may come next (none that has returned may have to come before it), see that the model gives the
recorded answer, go on from there. A call without an answer may have taken effect at any moment
after it began, or never.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.redemption_model import Model

NEVER = float("inf")
Step = Callable[[Model], tuple[Any, Model]]
Way = tuple[int, Model, tuple[str, ...]]
"""What is done (a bit for each call), the ticket then, and the order so far."""


@dataclass(frozen=True)
class Call:
    """One call: what it does to the ticket, its answer (None: unknown), when it began and returned.

    The answer must tell whether the call changed anything.
    """

    name: str
    step: Step
    answer: Any
    invoked: float
    returned: float = NEVER


def explain(
    begin: Model, calls: Sequence[Call], is_final: Callable[[Model], bool]
) -> tuple[bool, list[str]]:
    """Whether an order of the calls explains all answers and ends as `is_final` says; the
    longest that was found.
    """
    answered = sum(1 << index for index, call in enumerate(calls) if call.answer is not None)
    seen: set[tuple[int, Model]] = set()
    longest: tuple[str, ...] = ()
    ways: list[Way] = [(0, begin, ())]
    while ways:
        done, ticket, order = ways.pop()
        if (done, ticket) in seen:
            continue
        seen.add((done, ticket))
        longest = max(longest, order, key=len)
        if done & answered == answered and is_final(ticket):
            return True, list(order)
        ways.extend(_next(calls, done, ticket, order))
    return False, list(longest)


def _next(calls: Sequence[Call], done: int, ticket: Model, order: tuple[str, ...]) -> Iterator[Way]:
    left = [(index, call) for index, call in enumerate(calls) if not done >> index & 1]
    first_return = min((call.returned for _, call in left), default=NEVER)
    ways: list[Way] = []
    for index, call in left:
        if call.invoked > first_return:
            continue
        answer, after = call.step(ticket)
        way = done | 1 << index, after, (*order, call.name)
        if call.answer is None:
            if after != ticket:  # else it explains nothing
                ways.append(way)
        elif answer == call.answer:
            if after == ticket:  # it changed nothing: if it may come now, now is as good as later
                yield way
                return
            ways.append(way)
    yield from ways
