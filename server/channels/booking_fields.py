"""A booking in a vendor's answer. Pure.

Seed 003 names the fields of a booking once, for all vendors (its section on orders), and for each
vendor only where the list stands in the answer. Its names are read here. It names no currency of
the price: `currency` is read where a vendor sends it. Status and locations are in the vendor's
words. A booking that cannot be read is reported by its id, and holds up none of the others.
"""

from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from typing import Any

from server.channels.facts import (
    Booking,
    BookingCustomer,
    BookingOptions,
    BookingsRead,
    BookingState,
    MappingKind,
    Money,
    UnmappedError,
)
from server.channels.wire import VendorWords, minor_of, unreadable

MOST_COUNTED = 20
OLDEST_DRIVER = 130
LONGEST_ID = 100


class _FaultError(ValueError):
    """A field is not what the document says; the text names it, never its value."""


def read_bookings(listed: Any, words: VendorWords) -> BookingsRead:
    """All bookings of a list; of one that comes twice the last. Raises ChannelCallError UNREADABLE
    for what is no list of objects with ids.
    """
    found: dict[str, Booking] = {}
    faults: dict[str, str] = {}
    for booking_id, content in _identified(listed):
        found.pop(booking_id, None)
        faults.pop(booking_id, None)
        try:
            found[booking_id] = _read(booking_id, content, words)
        except (_FaultError, UnmappedError) as error:
            faults[booking_id] = str(error)
    return BookingsRead(tuple(found.values()), faults)


def _identified(listed: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(listed, list):
        raise unreadable("bookings are no list")
    for content in listed:
        given = content.get("id") if isinstance(content, dict) else None
        if isinstance(given, bool) or not isinstance(given, int | str) or given == "":
            raise unreadable("a booking has no id")
        booking_id = str(given)
        if len(booking_id) > LONGEST_ID or not booking_id.isprintable() or "/" in booking_id:
            raise unreadable("a booking has an id that no path can hold")
        yield booking_id, content


def _read(booking_id: str, content: dict[str, Any], words: VendorWords) -> Booking:
    pickup_day, pickup_clock = _moment(content, "pickup_date")
    return_day, return_clock = _moment(content, "return_date")
    if return_day < pickup_day:
        raise _FaultError("return_date is before pickup_date")
    pickup = words.ours(MappingKind.LOCATION, _text(content, "pickup_location_id"))
    back = content.get("dropoff_location_id")
    return Booking(
        booking_id=booking_id,
        state=BookingState(words.ours(MappingKind.STATUS, _text(content, "status"))),
        item_id=_text(content, "car_id"),
        pickup_location=pickup,
        return_location=pickup
        if back is None
        else words.ours(MappingKind.LOCATION, _text(content, "dropoff_location_id")),
        pickup_day=pickup_day,
        pickup_clock=pickup_clock,
        return_day=return_day,
        return_clock=return_clock,
        total=_total(content, words.currency_code),
        customer=_customer(_object(content, "customer")),
        driver_age=_count(content, "driver_age", OLDEST_DRIVER)
        if content.get("driver_age") is not None
        else None,
        options=_options(_object(content, "options") if "options" in content else {}),
    )


def _total(content: Mapping[str, Any], currency_code: str) -> Money:
    currency = content.get("currency") or currency_code
    if not isinstance(currency, str) or len(currency) != 3 or not currency.isalpha():
        raise _FaultError("currency is no code of ISO 4217")
    try:
        return Money(minor_of(content.get("total_price"), currency.upper()), currency.upper())
    except ValueError as error:
        raise _FaultError(f"total_price {error}") from None


def _customer(content: Mapping[str, Any]) -> BookingCustomer:
    email = _text(content, "email", optional=True)
    phone = _text(content, "phone", optional=True)
    if not (email or phone):
        raise _FaultError("customer has neither email nor phone")
    names = [_text(content, name, optional=True) for name in ("first_name", "last_name")]
    address = _text(content, "address", optional=True)
    return BookingCustomer(email, names[0], names[1], phone, address)


def _options(content: Mapping[str, Any]) -> BookingOptions:
    return BookingOptions(
        damage_waiver=_flag(content, "damage_waiver"),
        extended_area=_flag(content, "extended_area"),
        satellite_navigation=_flag(content, "satellite_navigation"),
        child_seats=_count(content, "child_seats", MOST_COUNTED),
        additional_drivers=_count(content, "additional_drivers", MOST_COUNTED),
    )


def _object(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = content.get(name)
    if not isinstance(value, dict):
        raise _FaultError(f"{name} is no object")
    return value


def _text(content: Mapping[str, Any], name: str, *, optional: bool = False) -> str:
    value = content.get(name)
    if optional and value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not (value.strip() or optional) or len(value) > 500:
        raise _FaultError(f"{name} is no text")
    if "\0" in value:
        raise _FaultError(f"{name} has a NUL character")
    return value.strip()


def _flag(content: Mapping[str, Any], name: str) -> bool:
    value = content.get(name, False)
    if not isinstance(value, bool):
        raise _FaultError(f"{name} is neither true nor false")
    return value


def _count(content: Mapping[str, Any], name: str, most: int) -> int:
    value = content.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise _FaultError(f"{name} is no number from 0 to {most}")
    return value


def _moment(content: Mapping[str, Any], name: str) -> tuple[date, time | None]:
    text = _text(content, name)
    try:
        if len(text) == len("2026-11-28"):
            return date.fromisoformat(text), None
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _FaultError(f"{name} is no date") from None
    return moment.date(), moment.time()
