"""Booking.com's wire, as seed 003 has it ("Booking.com API接入"). Pure.

A token is had by OAuth 2.0 client credentials (RFC 6749, 4.4): Basic, and a form. The seed's token
has no end; where the answer has `expires_in` it is taken, else FALLBACK_SECONDS. Confirmations
have no body. The reason of a cancellation is one of the vendor's codes, ours is its comment.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from server.channels import booking_fields
from server.channels.facts import (
    AvailabilityUpdate,
    BookingsRead,
    BookingState,
    Capability,
    ChannelCallError,
    FailureKind,
    MappingKind,
    PriceUpdate,
    StaticItem,
)
from server.channels.wire import (
    Cancellation,
    Entry,
    IssuedToken,
    TokenWire,
    VendorWords,
    WireAnswer,
    WireRequest,
    amount,
    basic,
    failed,
    unreadable,
    write,
)

BASE_URL = "https://distribution-xml.booking.com/api/v2"
CREDENTIALS = ("client_id", "client_secret", "hotel_id")
FALLBACK_SECONDS = 3_600
"""Life of a token whose answer says none: it is never taken for one without an end."""

_UPDATES = {
    Capability.PRICES: ("rates/update", "rates"),
    Capability.AVAILABILITY: ("availability/update", "availability"),
}


class BookingComCodec:
    """Booking.com's wire for one property; the credentials are `CREDENTIALS`."""

    capabilities = frozenset(Capability) - {Capability.FEED}

    def __init__(self, credentials: Mapping[str, str], words: VendorWords) -> None:
        self._client_id = credentials["client_id"]
        self._client_secret = credentials["client_secret"]
        self._property = credentials["hotel_id"]
        self._words = words
        self.token_wire = TokenWire(self._token_request, self._read_token)

    def prove(self, request: WireRequest, token: str, unix_seconds: int) -> WireRequest:
        """With the token."""
        return request.with_headers(("authorization", f"Bearer {token}"))

    def read(self, answer: WireAnswer) -> Any:
        """The content of an answer below 400. Raises ChannelCallError."""
        fault = failed(answer)
        if fault is not None:
            raise fault
        return answer.content() if answer.body else None

    def _token_request(self, unix_seconds: int) -> WireRequest:
        headers = (
            ("authorization", basic(self._client_id, self._client_secret)),
            ("content-type", "application/x-www-form-urlencoded"),
        )
        path, body = "oauth/token", b"grant_type=client_credentials"
        return WireRequest("POST", path, path, True, headers=headers, body=body)

    def _read_token(self, answer: WireAnswer) -> IssuedToken:
        if answer.status == 400:  # RFC 6749, 5.2: also for credentials that are not taken
            raise ChannelCallError(FailureKind.AUTHENTICATION, "the token is refused")
        content = self.read(answer)
        token = content.get("access_token") if isinstance(content, dict) else None
        if not isinstance(token, str) or not token:
            raise unreadable("the token's answer has no access_token")
        seconds = content.get("expires_in", FALLBACK_SECONDS)
        if isinstance(seconds, bool) or not isinstance(seconds, int):
            raise unreadable("expires_in is no number")
        return IssuedToken(token, seconds)

    def static_entry(self, item: StaticItem) -> Entry:
        """One of `cars`."""
        theirs = self._words.theirs
        caption = dict.fromkeys(item.texts, f"{item.make} {item.model}")
        return {
            "id": item.item_id,
            "name": item.names["en"],
            "description": dict(item.texts),
            "vehicle_info": {
                "category": theirs(MappingKind.CATEGORY, item.category),
                "make": item.make,
                "model": item.model,
                "year": item.year,
                "passenger_capacity": item.seats,
                "door_count": item.doors,
                "transmission_type": "automatic" if item.automatic else "manual",
                "air_conditioning": item.air_conditioning,
            },
            "images": [{"url": url, "caption": caption} for url in item.image_urls],
            "features": [{"code": theirs(MappingKind.FEATURE, each)} for each in item.features],
        }

    def price_entry(self, update: PriceUpdate) -> Entry:
        """One of `rates`, in the currency of the price."""
        return {
            "car_id": update.item_id,
            "location_id": self._words.theirs(MappingKind.LOCATION, update.location),
            "date_range": _day(update.day),
            "base_rate": {
                "amount": amount(update.price),
                "currency": update.price.currency_code,
            },
        }

    def availability_entry(self, update: AvailabilityUpdate) -> Entry:
        """One of `availability`."""
        return {
            "car_id": update.item_id,
            "location_id": self._words.theirs(MappingKind.LOCATION, update.location),
            "date_range": _day(update.day),
            "status": "available" if update.quantity > 0 else "not_available",
            "quantity": update.quantity,
        }

    def push(self, what: Capability, entries: Sequence[Entry]) -> WireRequest:
        """`properties/{hotel_id}/cars/batch`, `rates/update`, `availability/update`."""
        if what is Capability.STATIC:
            path = f"properties/{self._property}/cars/batch"
            body = write({"cars": entries})
            return WireRequest("POST", path, "properties/{id}/cars/batch", True, body=body)
        path, name = _UPDATES[what]
        body = write({"property_id": self._property, name: entries})
        return WireRequest("POST", path, path, True, body=body)

    def bookings(self, first: date, last: date, state: BookingState | None) -> WireRequest:
        """`properties/{hotel_id}/reservations`."""
        query = [("created_from", first.isoformat()), ("created_to", last.isoformat())]
        if state:
            query.append(("status", self._words.theirs(MappingKind.STATUS, state)))
        path = f"properties/{self._property}/reservations"
        return WireRequest("GET", path, "properties/{id}/reservations", True, tuple(query))

    def read_bookings(self, content: Any) -> BookingsRead:
        """They are `reservations`."""
        listed = content.get("reservations") if isinstance(content, dict) else None
        return booking_fields.read_bookings(listed, self._words)

    def confirm(self, booking_id: str, number: str) -> WireRequest:
        """`reservations/{id}/confirm`, without a body."""
        path = f"reservations/{booking_id}/confirm"
        return WireRequest("POST", path, "reservations/{id}/confirm", False)

    def cancel(self, booking_id: str, why: Cancellation, number: str) -> WireRequest:
        """`reservations/{id}/cancel`."""
        word = self._words.theirs(MappingKind.CANCELLATION_REASON, why.reason)
        body = write({"reason_code": word, "comment": why.comment})
        path = f"reservations/{booking_id}/cancel"
        return WireRequest("POST", path, "reservations/{id}/cancel", False, body=body)


def _day(day: date) -> dict[str, str]:
    return {"start_date": day.isoformat(), "end_date": day.isoformat()}
