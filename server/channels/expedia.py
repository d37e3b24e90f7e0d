"""Expedia's wire, as seed 003 has it ("Expedia API接入"). Pure.

Each request is signed: HMAC-SHA256 over method, path (without the query) and time. The signature
does not cover the body. Confirmation and cancellation carry a number of ours, the same at each
repeat; the seed makes it of the clock, which would be another one each time.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from server.channels import booking_fields
from server.channels.facts import (
    AvailabilityUpdate,
    BookingsRead,
    BookingState,
    Capability,
    MappingKind,
    PriceUpdate,
    StaticItem,
)
from server.channels.wire import (
    Cancellation,
    Entry,
    VendorWords,
    WireAnswer,
    WireRequest,
    amount,
    failed,
    share_of,
    unreadable,
    write,
)

BASE_URL = "https://api.expediapartnercentral.com/v1"
CREDENTIALS = ("api_key", "api_secret", "supplier_id")

_PUSHED = {
    Capability.PRICES: ("rates", "rates"),
    Capability.AVAILABILITY: ("availability", "availability"),
}


class ExpediaCodec:
    """Expedia's wire for one supplier; the credentials are `CREDENTIALS`."""

    capabilities = frozenset(Capability) - {Capability.FEED}
    token_wire = None

    def __init__(self, credentials: Mapping[str, str], words: VendorWords) -> None:
        self._api_key = credentials["api_key"]
        self._api_secret = credentials["api_secret"]
        self._supplier = credentials["supplier_id"]
        self._words = words

    def prove(self, request: WireRequest, token: str, unix_seconds: int) -> WireRequest:
        """Signed at this time."""
        timestamp = datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y%m%dT%H%M%SZ")
        text = f"{request.method}\n/v1/{request.path}\n{timestamp}"
        signature = hmac.digest(self._api_secret.encode(), text.encode(), hashlib.sha256).hex()
        return request.with_headers(
            ("x-signature", signature), ("x-api-key", self._api_key), ("x-timestamp", timestamp)
        )

    def read(self, answer: WireAnswer) -> Any:
        """The content of an answer below 400. Raises ChannelCallError."""
        fault = failed(answer)
        if fault is not None:
            raise fault
        return answer.content() if answer.body else None

    def static_entry(self, item: StaticItem) -> Entry:
        """One of `vehicles`."""
        theirs = self._words.theirs
        return {
            "supplierId": self._supplier,
            "vehicleId": item.item_id,
            "name": item.names["en"],
            "description": item.texts["en"],
            "vehicleInfo": {
                "category": theirs(MappingKind.CATEGORY, item.category),
                "make": item.make,
                "model": item.model,
                "year": item.year,
                "passengerCapacity": item.seats,
                "doorCount": item.doors,
                "transmissionType": "Automatic" if item.automatic else "Manual",
                "airConditioned": item.air_conditioning,
            },
            "images": [{"url": url, "category": "PRIMARY"} for url in item.image_urls],
            "amenities": [theirs(MappingKind.FEATURE, each) for each in item.features],
        }

    def price_entry(self, update: PriceUpdate) -> Entry:
        """One of `rates`, with the tax beside the price where there is one."""
        taxes: list[Entry] = []
        if update.tax_basis_points is not None:
            tax = share_of(update.price, update.tax_basis_points)
            taxes.append(
                {
                    "code": "VAT",
                    "description": "Value Added Tax",
                    "amount": amount(tax),
                    "currency": tax.currency_code,
                    "included": False,
                }
            )
        return {
            "vehicleId": update.item_id,
            "locationId": self._words.theirs(MappingKind.LOCATION, update.location),
            "dateRange": _day(update.day),
            "baseRate": {"amount": amount(update.price), "currency": update.price.currency_code},
            "taxes": taxes,
            "fees": [],
        }

    def availability_entry(self, update: AvailabilityUpdate) -> Entry:
        """One of `availability`."""
        return {
            "vehicleId": update.item_id,
            "locationId": self._words.theirs(MappingKind.LOCATION, update.location),
            "dateRange": _day(update.day),
            "status": "Available" if update.quantity > 0 else "Unavailable",
            "count": update.quantity,
        }

    def push(self, what: Capability, entries: Sequence[Entry]) -> WireRequest:
        """`inventory/vehicles`, `rates`, `availability`."""
        if what is Capability.STATIC:
            path, content = "inventory/vehicles", {"vehicles": entries}
            return WireRequest("POST", path, path, True, body=write(content))
        path, name = _PUSHED[what]
        body = write({"supplierId": self._supplier, name: entries})
        return WireRequest("POST", path, path, True, body=body)

    def bookings(self, first: date, last: date, state: BookingState | None) -> WireRequest:
        """`bookings`."""
        query = [
            ("supplierId", self._supplier),
            ("createdDateRange.startDate", first.isoformat()),
            ("createdDateRange.endDate", last.isoformat()),
        ]
        if state:
            query.append(("status", self._words.theirs(MappingKind.STATUS, state)))
        return WireRequest("GET", "bookings", "bookings", True, tuple(query))

    def read_bookings(self, content: Any) -> BookingsRead:
        """They are `bookings`."""
        if not isinstance(content, dict):
            raise unreadable("the answer has no bookings")
        return booking_fields.read_bookings(content.get("bookings"), self._words)

    def confirm(self, booking_id: str, number: str) -> WireRequest:
        """`bookings/{id}/confirm`."""
        body = write({"supplierId": self._supplier, "confirmationNumber": number})
        path = f"bookings/{booking_id}/confirm"
        return WireRequest("POST", path, "bookings/{id}/confirm", False, body=body)

    def cancel(self, booking_id: str, why: Cancellation, number: str) -> WireRequest:
        """`bookings/{id}/cancel`."""
        content = {
            "supplierId": self._supplier,
            "reason": why.comment,
            "cancellationNumber": number,
        }
        path = f"bookings/{booking_id}/cancel"
        return WireRequest("POST", path, "bookings/{id}/cancel", False, body=write(content))


def _day(day: date) -> dict[str, str]:
    return {"startDate": day.isoformat(), "endDate": day.isoformat()}
