"""The departure a validator session is for: found by its number, or by service and day."""

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog.models import departures, timetables
from server.identity.callers import Operator
from server.platform.errors import invalid, not_found
from server.redemption.rules import Admits
from server.stock.ids import departure_parts


@dataclass(frozen=True, slots=True)
class SessionDeparture:
    """A departure as it is planned now, at its first stop."""

    departure_id: int
    service_number: str
    departure_time: datetime


async def find_departure(
    tx: AsyncConnection, *, departure_id: str, service_number: str, travel_date: str
) -> SessionDeparture | None:
    """The departure that a session is asked for; None if all fields are empty.

    Raises INVALID_FIELD, also where several departures of a day have the service's number,
    NOT_FOUND.
    """
    if departure_id and (service_number or travel_date):
        raise invalid("departure_id", "send this, or service_number with travel_date")
    if bool(service_number) != bool(travel_date):
        missing = "travel_date" if service_number else "service_number"
        raise invalid(missing, "is missing; a service is named with its day")
    if not departure_id and not service_number:
        return None
    query = select(
        departures.c.departure_id, timetables.c.service_number, departures.c.departure_time
    ).join(timetables, timetables.c.timetable_id == departures.c.timetable_id)
    if departure_id:
        query = query.where(departures.c.departure_id == int(departure_id))
    else:
        try:
            day = date.fromisoformat(travel_date)
        except ValueError:
            raise invalid("travel_date", "is no day; send YYYY-MM-DD") from None
        written = func.regexp_replace(timetables.c.service_number, r"[\s-]", "", "g")
        query = query.where(departures.c.travel_date == day, func.upper(written) == service_number)
    found = (await tx.execute(query.order_by(departures.c.departure_id))).all()
    if not found:
        raise not_found("departure", departure_id or f"{service_number} {travel_date}")
    if len(found) > 1:
        numbers = ", ".join(str(row.departure_id) for row in found)
        raise invalid("service_number", f"has several departures that day: {numbers}; name one")
    return SessionDeparture(*found[0])


def admits(caller: Operator) -> Admits | None:
    """The departure that the caller's open session is for."""
    if caller.departure is None:
        return None
    departure_id, service_number = caller.departure
    return Admits(departure_id, service_number, departure_parts(departure_id)[1])
