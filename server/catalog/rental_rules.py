"""Rentals of cars: how days are counted, when a location is open, what an extra costs, and what an
offer's id says. Pure.

A day of a rental is from a time of the clock to the same time of the next day, by the clock where
the car is picked up, whatever hours are put on or back between. Each day that is begun counts, but
for the minutes of grace; the shortest rental is one day. It takes a car of its fleet on as many
calendar days, from that of the pick-up on: what is brought back is rented again from then on.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta, tzinfo
from typing import Any, NamedTuple, Self

PER_DAY, PER_RENTAL = "PER_DAY", "PER_RENTAL"
DAY_MINUTES = 24 * 60
MOST_DAYS = 90
MOST_EXTRAS = 5
"""Different extras with one car: the id of an offer has room for so many."""
DEFAULT_GRACE_MINUTES = 59
END_OF_DAY = "24:00"
MOST_OPENING_HOURS = 42


class OpeningHours(NamedTuple):
    """Minutes of a day of the week (1 is Monday) in which a location is open, both included;
    1,440 is the end of the day.
    """

    weekday: int
    opens: int
    closes: int

    @classmethod
    def parse(cls, stored: Mapping[str, Any]) -> Self:
        """From {weekday, opens, closes}, the latter two HH:MM."""
        return cls(stored["weekday"], _minutes(stored["opens"]), _minutes(stored["closes"]))


class RentalKey(NamedTuple):
    """What the id of a rental's offer says: RC-product-day-clock-from-to-minutes-age, and -extras
    if there are: two digits of the number of each and one of how many.

    `pick_up` is by the clock of the location, without zone, and `minutes` go by that clock.
    """

    product_id: int
    pick_up: datetime
    pick_up_location_id: int
    drop_off_location_id: int
    minutes: int
    driver_age: int
    extras: tuple[tuple[int, int], ...] = ()

    @property
    def returns(self) -> datetime:
        """When the car is returned, by the clock of the pick-up."""
        return self.pick_up + timedelta(minutes=self.minutes)

    @property
    def offer_id(self) -> str:
        """The id."""
        extras = "".join([f"{extra:02}{quantity}" for extra, quantity in self.extras])
        places = f"{self.pick_up_location_id}-{self.drop_off_location_id}"
        start = f"RC-{self.product_id}-{self.pick_up:%Y%m%d-%H%M}-{places}"
        return f"{start}-{self.minutes}-{self.driver_age}" + (f"-{extras}" if extras else "")

    @classmethod
    def parse(cls, offer_id: str) -> Self | None:
        """The key that an id spells; None for what is none, or is written otherwise."""
        found = _ID.fullmatch(offer_id)
        if found is None:
            return None
        product, day, start, length, extras = found.group(1, 2, 3, 4, 5)
        try:
            pick_up = datetime.strptime(day, "%Y%m%d-%H%M")  # noqa: DTZ007 - by a clock
        except ValueError:
            return None
        from_id, to_id, minutes, age = map(int, f"{start}-{length}".split("-"))
        triples = [extras[at : at + 3] for at in range(0, len(extras or ""), 3)]
        wanted = tuple([(int(each[:2]), int(each[2])) for each in triples])
        key = cls(int(product), pick_up, from_id, to_id, minutes, age, wanted)
        in_order = sorted({extra for extra, _ in wanted}) == [extra for extra, _ in wanted]
        return key if in_order and key.offer_id == offer_id else None


_ID = re.compile(
    r"RC-([0-9]{1,10})-([0-9]{8}-[0-9]{4})-([0-9]{1,4}-[0-9]{1,4})-([0-9]{1,6}-[0-9]{2})"
    r"(?:-((?:[0-9]{2}[1-9]){1,5}))?",
    re.ASCII,
)


def days_of(minutes: int, grace_minutes: int) -> int:
    """How many days so many minutes by the clock are: one at least."""
    whole, rest = divmod(minutes, DAY_MINUTES)
    return max(1, whole + (rest > grace_minutes))


def days_between(pick_up: datetime, returns: datetime, grace_minutes: int) -> int:
    """The same, from one moment of a clock to another."""
    return days_of(minutes_between(pick_up, returns), grace_minutes)


def minutes_between(pick_up: datetime, returns: datetime) -> int:
    """Minutes from one time of a clock to another, which have no zones."""
    return (returns - pick_up) // timedelta(minutes=1)


def days_taken(pick_up: date, days: int) -> tuple[date, ...]:
    """The calendar days on which a rental takes a car."""
    return tuple([pick_up + timedelta(days=at) for at in range(days)])


def clock_exists(moment: datetime, zone: tzinfo) -> bool:
    """Whether a clock ever shows this time: not one of the hour that is put on."""
    there = datetime.fromtimestamp(moment.replace(tzinfo=zone).timestamp(), zone)
    return there.replace(tzinfo=None) == moment


def is_open(hours: Iterable[OpeningHours], closed_dates: Iterable[date], moment: datetime) -> bool:
    """Whether a location is open at a time of its clock. Midnight is open too if the day before is
    open to its end.
    """
    minute = moment.hour * 60 + moment.minute
    closed = set(closed_dates)
    day = moment.date()
    looked = [(day, minute)]
    if not minute:
        looked.append((day - timedelta(days=1), DAY_MINUTES))
    return any(
        each.weekday == on.isoweekday() and each.opens <= at <= each.closes and on not in closed
        for on, at in looked
        for each in hours
    )


def hours_faults(stored: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """What is wrong with a list of {weekday, opens, closes}, by field."""
    hours = [OpeningHours.parse(each) for each in stored]
    if not 1 <= len(hours) <= MOST_OPENING_HOURS:
        yield "opening_hours", f"needs 1 to {MOST_OPENING_HOURS}"
    for index, each in enumerate(hours):
        if not 1 <= each.weekday <= 7:
            yield f"opening_hours[{index}].weekday", "is not within 1, Monday, to 7, Sunday"
        if each.opens >= each.closes:
            yield f"opening_hours[{index}].closes", "is not after opens; 24:00 ends a day"
        for other in hours[:index]:
            if other.weekday == each.weekday and (
                each.opens < other.closes and other.opens < each.closes
            ):
                yield f"opening_hours[{index}]", "overlaps another of its day"


def extra_minor(charge_basis: str, amount_minor: int, max_amount_minor: int, days: int) -> int:
    """What one of an extra costs for a rental of so many days, in minor units; a maximum of 0 is
    none.
    """
    whole = amount_minor * (days if charge_basis == PER_DAY else 1)
    return min(whole, max_amount_minor) if max_amount_minor else whole


def driver_fault(age: int, born_age: int, min_age: int, young_age: int) -> str:
    """What is wrong with a driver of whom a document tells another age than was said; empty if
    both drive at the same price.
    """
    if born_age < min_age:
        return f"the car is for drivers from {min_age} on"
    if (age < young_age) != (born_age < young_age):
        return f"its price is that of a driver of {age}"
    return ""


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)
