"""Who may travel on which fare: in whose company, and at which age. Pure.

Source: DOMAIN, Price. The ages are ours where a product says nothing: children of the mainland's
railways are under 14, seniors of its parks and ferries are 60 and older.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

ACCOMPANYING = frozenset({"ADULT", "SENIOR", "STUDENT"})
"""Customer types that may travel alone, and with whom those travel who may not: children and
pets.
"""

COMPANION_REQUIRED, AGE_LIMIT, DRIVER_AGE = "COMPANION_REQUIRED", "AGE_LIMIT", "DRIVER_AGE"
"""The rules, as PASSENGER_NOT_ALLOWED names them."""


class Ages(NamedTuple):
    """Full years on the day of travel, both included; no `oldest`: any from `youngest` on."""

    youngest: int
    oldest: int | None

    def admit(self, age: int) -> bool:
        """Whether the fare is for this age."""
        return self.youngest <= age and (self.oldest is None or age <= self.oldest)


DEFAULT_AGES = {"CHILD": Ages(0, 13), "SENIOR": Ages(60, None)}
ANY_AGE = Ages(0, None)


def needs_companion(
    customer_type: str, party: Collection[str], *, unaccompanied_types: Collection[str]
) -> bool:
    """Whether somebody of this type may not travel in this party.

    `unaccompanied_types` are those that the product lets travel alone.
    """
    if customer_type in ACCOMPANYING or customer_type in unaccompanied_types:
        return False
    return ACCOMPANYING.isdisjoint(party)


def ages_of(customer_type: str, limits: Iterable[Mapping[str, Any]]) -> Ages:
    """Whom a fare is for, by the product's limits ({customer_type, min_age, max_age}) or else
    the default.
    """
    for limit in limits:
        if limit["customer_type"] == customer_type:
            return Ages(limit["min_age"], limit["max_age"])
    return DEFAULT_AGES.get(customer_type, ANY_AGE)
