"""Whether a recorded history of one ticket is explained by some serial order of its calls.

A search in the manner of Wing and Gong, with Lowe's memory of where it has been: take any call that may come next
(none that has returned may have to come before it), see that the model gives the recorded answer, go on from there. A
call without an answer may have taken effect at any moment after it began, or never.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.redemption_model import Model

NEVER = float("inf")
Step = Callable[[Model], tuple[Any, Model]]


@dataclass(frozen=True)
class Call:
    """One call: what it does to the model, its answer (None: unknown), when it began and returned."""

    name: str
    step: Step
    answer: Any
    invoked: float
    returned: float = NEVER

    @property
    def is_known(self) -> bool:
        """Whether an answer came."""
        return self.answer is not None


def explain(
    begin: Model, calls: Sequence[Call], is_final: Callable[[Model], bool]
) -> list[str] | None:
    """The names of the calls in an order that explains all answers and ends as `is_final` says; None: there is none."""
    known = sum(1 << index for index, call in enumerate(calls) if call.is_known)
    seen: set[tuple[int, Model]] = set()
    # depth first, without recursion: (what is done, the ticket then, the order so far)
    ways: list[tuple[int, Model, tuple[str, ...]]] = [(0, begin, ())]
    while ways:
        done, ticket, order = ways.pop()
        if (done, ticket) in seen:
            continue
        seen.add((done, ticket))
        if done & known == known and is_final(ticket):
            return list(order)
        open_calls = [(i, call) for i, call in enumerate(calls) if not done >> i & 1]
        first_return = min((call.returned for _, call in open_calls), default=NEVER)
        for index, call in open_calls:
            if call.invoked > first_return:
                continue
            answer, after = call.step(ticket)
            if call.is_known and answer != call.answer:
                continue
            ways.append((done | 1 << index, after, (*order, call.name)))
    return None
