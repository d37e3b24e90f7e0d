"""A booking of a channel as a row, and what of it is sealed: all that is booked, since it says who.
What is needed to find and compare it is not.
"""

from dataclasses import asdict
from datetime import date, datetime, time
from typing import Any, NamedTuple

import orjson

from server.channels.booking_rules import BookingFacts
from server.channels.facts import (
    Booking,
    BookingCustomer,
    BookingOptions,
    BookingState,
    CancellationReason,
    Money,
)
from server.channels.wire import Cancellation
from server.platform.crypto import Sealer, derive, fingerprint

HASH_BYTES = 16


def booking_key(channel_code: str, booking_id: str) -> str:
    """One name of channel and booking; no code of a channel has a colon."""
    return f"{channel_code}:{booking_id}"


class StoredBooking(NamedTuple):
    """A booking as the table has it; see models.channel_bookings."""

    channel_code: str
    booking_id: str
    state: str
    vendor_state: str
    sealed_content: bytes | None
    item_id: str
    pickup_day: date | None
    return_day: date | None
    total_minor: int
    currency_code: str
    first_day: date
    last_day: date
    order_id: int | None
    attempt: int
    confirmation_number: str
    is_asked: bool
    confirm_time: datetime | None
    cancel_reason: str
    cancel_comment: str
    fee_minor: int
    fault: str
    create_time: datetime
    update_time: datetime

    @property
    def facts(self) -> BookingFacts:
        """As rules see it."""
        return BookingFacts(self.state, self.vendor_state, self.is_asked)

    @property
    def name(self) -> str:
        """What orders, tasks and logs call it."""
        return booking_key(self.channel_code, self.booking_id)

    @property
    def cancellation(self) -> Cancellation:
        """Why it is to be rejected or cancelled, for the vendor."""
        return Cancellation(CancellationReason(self.cancel_reason), self.cancel_comment)


class SeenBooking(NamedTuple):
    """A booking that was on a vendor's list; its content sealed, and a hash of that."""

    booking_id: str
    vendor_state: str
    sealed_content: bytes
    content_hash: bytes
    item_id: str
    pickup_day: date
    return_day: date
    total_minor: int
    currency_code: str


class BookingSeals:
    """Seals and opens what is booked, and tells customers apart without saying who they are."""

    def __init__(self, secret_key: bytes) -> None:
        self._sealer = Sealer(derive(secret_key, "deeptravel channel bookings"))
        self._customers = derive(secret_key, "deeptravel channel customers")

    def seen(self, channel_code: str, booking: Booking) -> SeenBooking:
        """A booking as it is stored."""
        content = asdict(booking) | {"total": list(booking.total)}
        del content["state"]
        plain = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
        name = booking_key(channel_code, booking.booking_id).encode()
        return SeenBooking(
            booking.booking_id,
            booking.state,
            self._sealer.seal(plain, name),
            fingerprint(plain, size_bytes=HASH_BYTES, key=self._customers),
            booking.item_id,
            booking.pickup_day,
            booking.return_day,
            *booking.total,
        )

    def open(self, stored: StoredBooking) -> Booking:
        """What is booked. Raises InvalidTag for what was not sealed with our key."""
        assert stored.sealed_content is not None, "it was readable"
        plain = self._sealer.open(stored.sealed_content, stored.name.encode())
        return _parsed(orjson.loads(plain), BookingState(stored.vendor_state))

    def customer(self, booking: Booking) -> str:
        """What stands for the customer, wherever he books: the e-mail address, else the number."""
        who = booking.customer
        said = who.email.strip().casefold() or "".join(filter(str.isdigit, who.phone))
        return fingerprint(said.encode(), size_bytes=HASH_BYTES, key=self._customers).hex()


def _parsed(content: dict[str, Any], state: BookingState) -> Booking:
    def moment(name: str) -> Any:
        return content[name] and time.fromisoformat(content[name])

    return Booking(
        **{
            **content,
            "state": state,
            "pickup_day": date.fromisoformat(content["pickup_day"]),
            "return_day": date.fromisoformat(content["return_day"]),
            "pickup_clock": moment("pickup_clock"),
            "return_clock": moment("return_clock"),
            "total": Money(*content["total"]),
            "customer": BookingCustomer(**content["customer"]),
            "options": BookingOptions(**content["options"]),
        }
    )
