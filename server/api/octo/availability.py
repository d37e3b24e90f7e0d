"""Availability, by departure or day and by calendar, as OCTO has it."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta

from server.api.octo.products import OPENING_HOURS, PRICING, Json, fares_of, price
from server.partners.bookings import MAX_UNITS
from server.partners.sellable import SaleOption, Slot

BOOKABLE = ("AVAILABLE", "LIMITED")


def utc(moment: datetime) -> str:
    """A moment in UTC, in whole seconds."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"


def local(moment: datetime) -> str:
    """A moment by its own clock, with the offset of that."""
    return moment.isoformat(timespec="seconds")


def _status(left: int, total: int, *, closed: bool) -> str:
    if closed:
        return "CLOSED"
    if left <= 0:
        return "SOLD_OUT"
    return "LIMITED" if left * 2 < total else "AVAILABLE"


def stock(left: int, total: int, *, closed: bool, quantity: int = 1) -> Json:
    """What can be booked, and whether so many of it."""
    status = _status(left, total, closed=closed)
    return {
        "available": status in BOOKABLE and left >= quantity,
        "status": status,
        "vacancies": max(0, left),
        "capacity": total,
        "maxUnits": min(MAX_UNITS, max(0, left)),
    }


def availability(slot: Slot, party: Sequence[str], active: frozenset[str], now: datetime) -> Json:
    """A departure or a day, for a party if one is named."""
    offer, zone = slot.offer, slot.option.zone
    if offer.journey:
        start, end = offer.journey.departure_time, offer.journey.arrival_time
    else:
        start = offer.valid_from_time
        end = start + timedelta(hours=23, minutes=59)
    made: Json = {
        "id": slot.slot_id,
        "localDateTimeStart": local(start.astimezone(zone)),
        "localDateTimeEnd": local(end.astimezone(zone)),
        "allDay": offer.journey is None,
        **stock(slot.left, slot.total, closed=slot.closed(now), quantity=len(party)),
        "utcCutoffAt": utc(offer.sale_until_time),
        "openingHours": [] if offer.journey else OPENING_HOURS,
    }
    if PRICING in active:
        made["unitPricing"] = _unit_prices([slot])
        if party:
            total = sum(slot.fare_minor(each) for each in party)
            made["pricing"] = price(total, offer.currency_code)
    return made


def calendar(
    option: SaleOption,
    slots: Iterable[Slot],
    first: date,
    last: date,
    *,
    active: frozenset[str],
    now: datetime,
) -> list[Json]:
    """Each day from one to another, with what there is most of on it; CLOSED without anything."""
    by_day: dict[date, list[Slot]] = {}
    for slot in slots:
        if slot.offer.travel_date:
            by_day.setdefault(slot.offer.travel_date, []).append(slot)
    length = (last - first).days + 1
    return [
        _calendar_day(option, day, by_day.get(day, []), active, now)
        for day in (first + timedelta(days=offset) for offset in range(length))
    ]


def _calendar_day(
    option: SaleOption, day: date, slots: list[Slot], active: frozenset[str], now: datetime
) -> Json:
    found = {_status(each.left, each.total, closed=each.closed(now)) for each in slots}
    order = ("AVAILABLE", "LIMITED", "SOLD_OUT")
    status = next((each for each in order if each in found), "CLOSED")
    open_slots = [each for each in slots if not each.closed(now)]
    made: Json = {
        "localDate": day.isoformat(),
        "available": status in BOOKABLE,
        "status": status,
        "vacancies": max((max(0, each.left) for each in open_slots), default=0),
        "capacity": max((each.total for each in slots), default=0),
        "openingHours": [] if option.leg else OPENING_HOURS,
    }
    if PRICING in active:
        made["unitPricingFrom"] = _unit_prices(slots)
    return made


def _unit_prices(slots: Sequence[Slot]) -> list[Json]:
    """The least that a unit of each customer type costs on some departures or days."""
    made = []
    for each in slots[0].option.customer_types if slots else ():
        fares = [
            fare
            for slot in slots
            if (fare := fares_of(slot.offer.fares, each, slot.offer.day_type)) is not None
        ]
        if fares:
            made.append({"unitId": each, **price(min(fares), slots[0].offer.currency_code)})
    return made
