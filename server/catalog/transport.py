"""Single departures of timetables: what leaves when, and our own seats of it."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple, Unpack

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By, refuse
from server.catalog.changes import trace
from server.catalog.departures import require_version
from server.catalog.models import departures, timetables
from server.catalog.routes import ROUTES
from server.catalog.timetables import total_faults
from server.platform.errors import DomainError, Reason, invalid, not_found
from server.stock import inventory
from server.stock.ids import DIRECT, departure_parts, departure_stock_id
from server.stock.models import stocks


class Seats(NamedTuple):
    """Our own seats of a departure in one class."""

    fare_class: str
    total: int
    held: int
    sold: int


@dataclass(frozen=True)
class Departure:
    """A service on a day, with our own seats by class.

    `planned_time` is when it was to leave before it was first moved; it and what is about its
    cancelling are None before.
    """

    departure_id: int
    route_id: int
    service_number: str
    travel_date: date
    departure_time: datetime
    state: str
    planned_time: datetime | None
    cancel_time: datetime | None
    cancel_refunds: str | None
    version: int
    seats: list[Seats]


async def set_departure_total(
    tx: AsyncConnection,
    departure: int,
    fare_class: str,
    total: int,
    *,
    was_total: int | None = None,
    version: int = 0,
    **by: Unpack[By],
) -> None:
    """Our own seats of a class; `version` is that of the departure that was read, 0 any. Raises
    INVALID_FIELD, NOT_FOUND, VERSION_MISMATCH, also if there are not `was_total` any more,
    STOCK_IN_USE if fewer than are held and sold.
    """
    timetable_id, _ = departure_parts(departure)
    route_id = await tx.scalar(
        select(timetables.c.route_id).where(timetables.c.timetable_id == timetable_id)
    )
    if route_id is None:
        raise not_found("departure", departure)
    route = await ROUTES.lock(tx, route_id)
    await require_version(tx, departure, version)
    classes = {each["class_code"]: each for each in route.fare_classes}
    if fare_class not in classes:
        raise invalid("fare_class", f"{fare_class} is not in {sorted(classes)}; name one of them")
    refuse(list(total_faults("total", total, classes[fare_class])))
    stock_id = departure_stock_id(departure, classes[fare_class]["class_index"], DIRECT)
    # before its stocks, as whoever cancels or moves it
    this = departures.c.departure_id == departure
    await tx.execute(update(departures).where(this).values(version=departures.c.version + 1))
    row = await inventory.lock_level(tx, stock_id)
    if row is None:
        raise not_found("departure", departure)
    if was_total not in (None, row.total):
        raise DomainError(
            Reason.VERSION_MISMATCH,
            f"was_total: there are {row.total} now, not {was_total}; look at the departure again",
            resource="departure",
            name=f"{departure}/{fare_class}",
            version=row.total,
        )
    if not await inventory.set_total(tx, stock_id, total, now=by["now"]):
        raise DomainError(
            Reason.STOCK_IN_USE,
            f"total: {row.held} are held and {row.sold} sold; it cannot be {total}",
            held=row.held,
            sold=row.sold,
            total=row.total,
        )
    name = f"{departure}/{fare_class}"
    before, after = {"total": row.total}, {"total": total}
    await trace(tx, "update", "departure", name, before=before, after=after, **by)


async def set_hold_seconds(
    tx: AsyncConnection, stock_id: int, seconds: int | None, **by: Unpack[By]
) -> None:
    """How long a stock is held; None as the setting says. Raises INVALID_FIELD, NOT_FOUND."""
    if seconds is not None and not 1 <= seconds <= 86_400:
        raise invalid("hold_seconds", f"is {seconds}; send 1 to 86400, or nothing")
    this = stocks.c.stock_id == stock_id
    row = (await tx.execute(select(stocks.c.hold_seconds).where(this).with_for_update())).first()
    if row is None:
        raise not_found("stock", stock_id)
    await inventory.set_hold_seconds(tx, stock_id, seconds)
    before, after = {"hold_seconds": row.hold_seconds}, {"hold_seconds": seconds}
    await trace(tx, "update", "stock", stock_id, before=before, after=after, **by)


# Reading


async def list_departures(
    tx: AsyncConnection,
    *,
    route_id: int = 0,
    timetable_id: int = 0,
    state: str = "",
    day: date | None = None,
    after: int = -1,
    limit: int,
) -> list[Departure]:
    """Up to `limit` departures after the number `after`; empty filters do not count."""
    query = _DEPARTURES.where(departures.c.departure_id > after)
    if route_id:
        query = query.where(timetables.c.route_id == route_id)
    if timetable_id:
        query = query.where(departures.c.timetable_id == timetable_id)
    if state:
        query = query.where(departures.c.state == state)
    if day:
        query = query.where(departures.c.travel_date == day)
    found = await tx.execute(query.order_by(departures.c.departure_id).limit(limit))
    rows = found.mappings().all()
    seats: defaultdict[int, list[Seats]] = defaultdict(list)
    own = select(*(stocks.c[name] for name in ("departure_id", *Seats._fields))).where(
        stocks.c.departure_id.in_([row["departure_id"] for row in rows]),
        stocks.c.partner_id == DIRECT,
    )
    for departure, *left in await tx.execute(own.order_by(stocks.c.stock_id)):
        seats[departure].append(Seats(*left))
    return [Departure(**row, seats=seats[row["departure_id"]]) for row in rows]


async def get_departure(tx: AsyncConnection, departure: int) -> Departure:
    """The departure. Raises NOT_FOUND."""
    found = await list_departures(tx, after=departure - 1, limit=1)
    if not found or found[0].departure_id != departure:
        raise not_found("departure", departure)
    return found[0]


_DEPARTURES = select(
    departures.c.departure_id,
    timetables.c.route_id,
    timetables.c.service_number,
    departures.c.travel_date,
    departures.c.departure_time,
    departures.c.state,
    departures.c.planned_time,
    departures.c.cancel_time,
    departures.c.cancel_refunds,
    departures.c.version,
).join(timetables, timetables.c.timetable_id == departures.c.timetable_id)
