"""The departures that travellers' orders are for, as they are now: cancelled, or moved since
they were sold.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Self

from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog.departures import CANCELLED
from server.catalog.offers import Offer
from server.platform.statements import Command, Statement, run


class OrderedDeparture(NamedTuple):
    """A departure as it is now: SCHEDULED or CANCELLED, when it leaves its first stop, and when
    it first was to.
    """

    departure_id: int
    state: str
    departure_time: datetime
    planned_time: datetime

    def moved(self, sold_for: datetime | None) -> timedelta:
        """By how much it leaves later than it was sold for; None was sold before any was moved."""
        return self.departure_time - self.sold_for(sold_for)

    def sold_for(self, service_time: datetime | None) -> datetime:
        """When it was to leave as it was sold; None was sold before any was moved."""
        return service_time or self.planned_time

    def as_it_is(self, offer: Offer) -> Offer:
        """What was sold for it, with the times as they are now."""
        assert offer.journey is not None, "a departure is of a journey"
        return offer.moved_by(self.moved(offer.journey.service_time))


Departures = Mapping[int, OrderedDeparture]
"""The departures of an order, by number."""


class DepartureOfOrder(NamedTuple):
    """One of an order's departures."""

    order_id: int
    departure: OrderedDeparture

    @classmethod
    def of_columns(cls, order_id: int, *departure: Any) -> Self:
        """From a row."""
        return cls(order_id, OrderedDeparture(*departure))


_OF_ORDERS = Statement(
    """
SELECT o.order_id, d.departure_id, d.state, d.departure_time,
  coalesce(d.planned_time, d.departure_time)
FROM orders o
CROSS JOIN LATERAL jsonb_array_elements(o.content -> 'items') AS i (item)
JOIN departures d ON d.departure_id = (i.item ->> 'departure_id')::bigint
WHERE o.order_id = ANY($1::bigint[])
""",
    DepartureOfOrder.of_columns,
)


def read(order_ids: Collection[int]) -> Command[DepartureOfOrder]:
    """The departures of orders; to be read after the orders were locked."""
    return _OF_ORDERS(order_ids)


def by_order(rows: Iterable[DepartureOfOrder]) -> dict[int, Departures]:
    """The departures by order; those without have no entry."""
    found: defaultdict[int, dict[int, OrderedDeparture]] = defaultdict(dict)
    for order_id, departure in rows:
        found[order_id][departure.departure_id] = departure
    return dict(found)


async def of_order(tx: AsyncConnection, order_id: int) -> Departures:
    """The departures of one order."""
    return by_order(await run(tx, read([order_id]))).get(order_id, {})


def cancelled(departures: Departures) -> int | None:
    """One of the departures that is cancelled; None if all run."""
    return next((d.departure_id for d in departures.values() if d.state == CANCELLED), None)


def as_it_is(offer: Offer, departure_id: int | None, departures: Departures) -> Offer:
    """What was sold, with the times of its departure as they are now."""
    departure = departures.get(departure_id) if departure_id is not None else None
    return departure.as_it_is(offer) if departure else offer
