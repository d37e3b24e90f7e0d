"""What the operator does to a departure that was sold: it is cancelled, or it leaves at another
time. Pure.

Then refund and change are free (DOMAIN, Refund and change).
"""

from datetime import timedelta

DEPARTURE_CANCELLED = "DEPARTURE_CANCELLED"
DEPARTURE_MOVED = "DEPARTURE_MOVED"
OPERATOR_CAUSES = frozenset({DEPARTURE_CANCELLED, DEPARTURE_MOVED})
"""Every cause; a ticket of a departure that runs as it was sold has none, which is written as an
empty text.
"""

DEFAULT_TOLERANCE_MINUTES = 30
"""A departure that moves by no more than this runs as it was sold."""
MAX_TOLERANCE_MINUTES = 24 * 60
MAX_MOVE = timedelta(hours=24)
"""A departure moves by no more than this from the time in its timetable; beyond, it is another
departure.
"""

REFUND_TEXTS = {
    DEPARTURE_CANCELLED: (
        "The operator cancelled the departure: all of it is given back, without a fee",
        "营运方已取消该班次：全额退款，不收手续费",
    ),
    DEPARTURE_MOVED: (
        (
            "The operator moved the departure: all of it is given back until it leaves{at},"
            " without a"
            " fee"
        ),
        "营运方已调整该班次的时间：出发前{at}全额退款，不收手续费",
    ),
}
"""Why all is given back, by cause, in English and Chinese, without a full stop; `at` is when it
leaves, in brackets.
"""
CHANGE_TEXTS = {
    DEPARTURE_CANCELLED: (
        "The operator cancelled the departure: the change has no fee and does not count.",
        "营运方已取消该班次：改签不收手续费、不计次数。",
    ),
    DEPARTURE_MOVED: (
        (
            "The operator moved the departure: until it leaves{at}, changes have no fee and do not"
            " count."
        ),
        "营运方已调整该班次的时间：出发前{at}改签不收手续费、不计次数。",
    ),
    "": ("", ""),
}
"""Why a change is free, by cause, in English and Chinese; empty for one that is not. `at` is as
above.
"""


def operator_cause(state: str | None, moved: timedelta, tolerance_minutes: int) -> str:
    """Why refund and change of a ticket are free; empty if they are as its policy says.

    `state` is that of its departure, None where nothing departs; `moved` is by how much the
    departure leaves later than it was sold for, below zero if it leaves earlier. However often it
    was moved in between, only where it stands now counts.
    """
    if state == "CANCELLED":
        return DEPARTURE_CANCELLED
    if state is not None and abs(moved) > timedelta(minutes=tolerance_minutes):
        return DEPARTURE_MOVED
    return ""


def promise(tolerance_minutes: int) -> tuple[str, str]:
    """What is promised with a ticket for a departure, in English and Chinese."""
    minutes = tolerance_minutes
    return (
        f"Free refund and change if the operator cancels it or moves it by over {minutes} minutes.",
        f"如营运方取消班次，或将时间调整超过{minutes}分钟，退票及改签免费。",
    )
