"""Ctrip's wire, as seed 003 has it ("携程API接入"). Pure.

A token is had for an MD5 over key, time and secret; every answer is HTTP 200 with a `code`, and
anything but 0 is a refusal. Confirmations have no body, so no number of ours reaches Ctrip. What
the codes mean the seed does not say: `ERROR_CODE` mappings do; without one a refusal is final, but
for the token's, which says that the credentials are not taken.
"""

import hashlib
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
    failed,
    percent,
    percent_text,
    redacted,
    unreadable,
    write,
)

BASE_URL = "https://openapi.ctrip.com/car-rental/v1"
CREDENTIALS = ("app_key", "app_secret", "partner_id")

_BATCHES = {
    Capability.STATIC: ("inventory/cars/batch", "cars"),
    Capability.PRICES: ("inventory/prices/batch", "prices"),
    Capability.AVAILABILITY: ("inventory/availability/batch", "availability"),
}


class CtripCodec:
    """Ctrip's wire for one partner; the credentials are `CREDENTIALS`."""

    capabilities = frozenset(Capability) - {Capability.FEED}

    def __init__(self, credentials: Mapping[str, str], words: VendorWords) -> None:
        self._app_key = credentials["app_key"]
        self._app_secret = credentials["app_secret"]
        self._partner_id = credentials["partner_id"]
        self._words = words
        self.token_wire = TokenWire(self._token_request, self._read_token)

    def prove(self, request: WireRequest, token: str, unix_seconds: int) -> WireRequest:
        """With the token and who we are."""
        return request.with_headers(
            ("authorization", f"Bearer {token}"), ("x-ctrip-partner-id", self._partner_id)
        )

    def read(self, answer: WireAnswer) -> Any:
        """`data` of an answer with code 0. Raises ChannelCallError."""
        fault = failed(answer)
        if fault is not None:
            raise fault
        content = answer.content()
        code = content.get("code") if isinstance(content, dict) else None
        if isinstance(code, bool) or not isinstance(code, int | str):
            raise unreadable("the answer has no code")
        if code in (0, "0"):
            return content.get("data")
        kind = self._words.failure_of(str(code)) or FailureKind.REFUSED
        said = redacted(str(content.get("message", "")))
        raise ChannelCallError(kind, said, vendor_code=str(code))

    def _token_request(self, unix_seconds: int) -> WireRequest:
        signed = f"{self._app_key}{unix_seconds}{self._app_secret}".encode()
        sign = hashlib.md5(signed, usedforsecurity=False).hexdigest()
        content = {"appKey": self._app_key, "timestamp": str(unix_seconds), "sign": sign}
        return WireRequest("POST", "auth/token", "auth/token", True, body=write(content))

    def _read_token(self, answer: WireAnswer) -> IssuedToken:
        try:
            data = self.read(answer)
        except ChannelCallError as error:
            if error.kind is not FailureKind.REFUSED:
                raise
            kind = FailureKind.AUTHENTICATION
            raise ChannelCallError(kind, str(error), vendor_code=error.vendor_code) from None
        try:
            return IssuedToken(str(data["accessToken"]), int(data["expiresIn"]))
        except (KeyError, TypeError, ValueError):
            raise unreadable("the token's answer has no accessToken or expiresIn") from None

    def static_entry(self, item: StaticItem) -> Entry:
        """One of `cars`."""
        theirs = self._words.theirs
        return {
            "carId": item.item_id,
            "carName": item.names["en"],
            "carBrand": item.make,
            "carModel": item.model,
            "carYear": item.year,
            "carCategory": theirs(MappingKind.CATEGORY, item.category),
            "seatCount": item.seats,
            "doorCount": item.doors,
            "transmissionType": "A" if item.automatic else "M",
            "hasAirCondition": item.air_conditioning,
            "fuelType": theirs(MappingKind.FUEL, item.fuel),
            "imageUrls": list(item.image_urls),
            "features": [theirs(MappingKind.FEATURE, each) for each in item.features],
        }

    def price_entry(self, update: PriceUpdate) -> Entry:
        """One of `prices`, in the currency of the price."""
        offers: list[Entry] = []
        if update.discount_basis_points:
            offers.append(
                {
                    "offerType": "DISCOUNT",
                    "offerValue": percent(update.discount_basis_points),
                    "description": f"{percent_text(update.discount_basis_points)}% 折扣",
                }
            )
        return {
            "carId": update.item_id,
            "locationId": self._words.theirs(MappingKind.LOCATION, update.location),
            "date": update.day.isoformat(),
            "basePrice": amount(update.price),
            "currencyCode": update.price.currency_code,
            "specialOffers": offers,
        }

    def availability_entry(self, update: AvailabilityUpdate) -> Entry:
        """One of `availability`."""
        return {
            "carId": update.item_id,
            "locationId": self._words.theirs(MappingKind.LOCATION, update.location),
            "date": update.day.isoformat(),
            "available": update.quantity > 0,
            "quantity": update.quantity,
        }

    def push(self, what: Capability, entries: Sequence[Entry]) -> WireRequest:
        """`inventory/…/batch`."""
        path, name = _BATCHES[what]
        return WireRequest("POST", path, path, True, body=write({name: entries}))

    def bookings(self, first: date, last: date, state: BookingState | None) -> WireRequest:
        """`bookings/list`."""
        query = [("fromDate", first.isoformat()), ("toDate", last.isoformat())]
        if state:
            query.append(("status", self._words.theirs(MappingKind.STATUS, state)))
        return WireRequest("GET", "bookings/list", "bookings/list", True, tuple(query))

    def read_bookings(self, content: Any) -> BookingsRead:
        """They are `data` itself."""
        return booking_fields.read_bookings(content, self._words)

    def confirm(self, booking_id: str, number: str) -> WireRequest:
        """`bookings/{id}/confirm`, without a body."""
        path = f"bookings/{booking_id}/confirm"
        return WireRequest("POST", path, "bookings/{id}/confirm", False)

    def cancel(self, booking_id: str, why: Cancellation, number: str) -> WireRequest:
        """`bookings/{id}/cancel`."""
        path, body = f"bookings/{booking_id}/cancel", write({"reason": why.comment})
        return WireRequest("POST", path, "bookings/{id}/cancel", False, body=body)
