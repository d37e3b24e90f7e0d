"""The three vendors: who is let in, what a request must look like, and how each answers."""

import base64
import hashlib
import hmac
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from tools.dev.channel_simulator import seed_shapes, shapes
from tools.dev.channel_simulator.books import Books, Entry
from tools.dev.channel_simulator.switches import Switches

SIGNATURE_SECONDS = 300
"""A signature's time may differ so much from the vendor's clock."""


class RefusedError(Exception):
    """A request is not carried out."""

    def __init__(self, status: int, text: str, code: int = 4000) -> None:
        super().__init__(text)
        self.status = status
        self.code = code


@dataclass(frozen=True)
class Call:
    """A request: its path below the vendor's base, and the last part of that which is an id."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    booking_id: str = ""

    def content(self, shape: shapes.Shape) -> Any:
        """The body, of that shape. Raises RefusedError."""
        if self.headers.get("content-type", "").partition(";")[0] != "application/json":
            raise RefusedError(415, "content-type is not application/json")
        try:
            content = shapes.parse(self.body)
            shapes.check(content, shape)
        except shapes.ShapeError as error:
            raise RefusedError(400, str(error)) from None
        return content

    def nothing(self) -> None:
        """Raises RefusedError for a body where there is none."""
        if self.body:
            raise RefusedError(400, "a body where there is none")


Handle = Callable[[Call], Any]


class SimulatedVendor(ABC):
    """A vendor with one partner, whose keys are random unless they are given.

    Attributes:
        base: of the paths.
        routes: method and path pattern (`{id}` for a booking's), operation, what handles it.
    """

    name: str
    base: str

    def __init__(
        self, books: Books, switches: Switches, now: Callable[[], float], keys: dict[str, str]
    ) -> None:
        self.keys = keys
        self.books = books
        self._switches = switches
        self._now = now

    @abstractmethod
    def routes(self) -> list[tuple[str, str, str, Handle]]:
        """Method, path, operation, what carries it out."""

    @abstractmethod
    def admit(self, call: Call, operation: str) -> None:
        """Raises RefusedError for whoever has not proven to be the partner."""

    def answer(self, content: Any) -> tuple[int, Any]:
        """Status and body of what was carried out."""
        return 200, content

    def refusal(self, error: RefusedError) -> tuple[int, Any]:
        """Status and body of what was refused."""
        return error.status, {"error": str(error)}

    def require_token(self, call: Call) -> None:
        """Raises RefusedError for a call without a token that is good."""
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not self.books.token_is_good(self.name, token, self._now()):
            raise RefusedError(401, "the token is not good", 1003)

    def issue(self) -> str:
        """A new token."""
        token = secrets.token_urlsafe(32)
        self.books.issue(self.name, token, self._now() + self._switches.token_seconds)
        return token

    def require_time(self, at: float) -> None:
        """Raises RefusedError for a time that is not about now."""
        if abs(at - self._now()) > SIGNATURE_SECONDS:
            raise RefusedError(401, "the time of the signature is not now", 1002)

    def listed(self, call: Call, names: tuple[str, str], others: tuple[str, ...] = ()) -> Any:
        """The bookings that the query asks for. Raises RefusedError for parameters there are not,
        or that are missing.
        """
        if odd := set(call.query) - {*names, *others, "status"}:
            raise RefusedError(400, f"no such parameter: {', '.join(sorted(odd))}")
        first, last = (call.query.get(name, "") for name in names)
        if shapes.day(first) or shapes.day(last) or last < first:
            raise RefusedError(400, "the days are none")
        found = self.books.bookings(self.name, first, last, call.query.get("status", ""))
        if self._switches.reordered_bookings:
            found.reverse()
        return [each for each in found for _ in range(1 + self._switches.doubled_bookings)]

    def push(self, kind: str, entries: Iterable[Entry]) -> None:
        """Takes what was pushed."""
        self.books.push(self.name, kind, entries)

    def confirm(self, call: Call, number: str = "") -> None:
        """Raises RefusedError for a booking that cannot be confirmed."""
        if fault := self.books.confirm(self.name, call.booking_id, number):
            raise RefusedError(409 if "no such" not in fault else 404, fault, 4004)

    def cancel(self, call: Call, why: dict[str, Any]) -> None:
        """Raises RefusedError for a booking that there is not."""
        if fault := self.books.cancel(self.name, call.booking_id, why):
            raise RefusedError(404, fault, 4004)


class Ctrip(SimulatedVendor):
    """Ctrip: every answer is a 200 with a code."""

    name, base = "ctrip", "/car-rental/v1"

    def routes(self) -> list[tuple[str, str, str, Handle]]:
        return [
            ("POST", "/auth/token", "token", self._token),
            ("POST", "/inventory/cars/batch", "static", self._static),
            (
                "POST",
                "/inventory/prices/batch",
                "prices",
                self._pushed(seed_shapes.CTRIP_PRICES, "prices"),
            ),
            (
                *("POST", "/inventory/availability/batch", "availability"),
                self._pushed(seed_shapes.CTRIP_AVAILABILITY, "availability"),
            ),
            ("GET", "/bookings/list", "bookings", self._bookings),
            ("POST", "/bookings/{id}/confirm", "confirm", self._confirm),
            ("POST", "/bookings/{id}/cancel", "cancel", self._cancel),
        ]

    def admit(self, call: Call, operation: str) -> None:
        if operation == "token":
            return
        self.require_token(call)
        if call.headers.get("x-ctrip-partner-id") != self.keys["partner_id"]:
            raise RefusedError(401, "X-Ctrip-Partner-ID is not the token's", 1004)

    def answer(self, content: Any) -> tuple[int, Any]:
        return 200, {"code": 0, "message": "success", "data": content}

    def refusal(self, error: RefusedError) -> tuple[int, Any]:
        is_401 = error.status == 401 and not self._switches.expired_in_200
        return 401 if is_401 else 200, {"code": error.code, "message": str(error)}

    def _token(self, call: Call) -> Any:
        content = call.content(
            {"appKey": shapes.text, "timestamp": shapes.text, "sign": shapes.text}
        )
        given, timestamp = content["appKey"], content["timestamp"]
        signed = f"{given}{timestamp}{self.keys['app_secret']}".encode()
        sign = hashlib.md5(signed, usedforsecurity=False).hexdigest()
        if given != self.keys["app_key"] or content["sign"] != sign:
            raise RefusedError(401, "appKey or sign is wrong", 1001)
        if not timestamp.isdigit():
            raise RefusedError(400, "timestamp is no time")
        self.require_time(int(timestamp))
        return {"accessToken": self.issue(), "expiresIn": self._switches.token_seconds}

    def _static(self, call: Call) -> Any:
        cars = call.content(seed_shapes.CTRIP_CARS)["cars"]
        self.push("static", (Entry(each["carId"], "", "", each) for each in cars))

    def _pushed(self, shape: shapes.Shape, kind: str) -> Handle:
        def handle(call: Call) -> Any:
            (entries,) = call.content(shape).values()
            self.push(kind, (Entry(e["carId"], e["locationId"], e["date"], e) for e in entries))

        return handle

    def _bookings(self, call: Call) -> Any:
        return self.listed(call, ("fromDate", "toDate"))

    def _confirm(self, call: Call) -> Any:
        call.nothing()
        self.confirm(call)

    def _cancel(self, call: Call) -> Any:
        self.cancel(call, call.content({"reason": shapes.text}))


class BookingCom(SimulatedVendor):
    """Booking.com: OAuth 2.0, and HTTP statuses."""

    name, base = "booking_com", "/api/v2"

    def routes(self) -> list[tuple[str, str, str, Handle]]:
        ours = f"/properties/{self.keys['hotel_id']}"
        return [
            ("POST", "/oauth/token", "token", self._token),
            ("POST", f"{ours}/cars/batch", "static", self._static),
            (
                "POST",
                "/rates/update",
                "prices",
                self._pushed(seed_shapes.BOOKING_RATES, "rates", "prices"),
            ),
            (
                *("POST", "/availability/update", "availability"),
                self._pushed(seed_shapes.BOOKING_AVAILABILITY, "availability", "availability"),
            ),
            ("GET", f"{ours}/reservations", "bookings", self._bookings),
            ("POST", "/reservations/{id}/confirm", "confirm", self._confirm),
            ("POST", "/reservations/{id}/cancel", "cancel", self._cancel),
        ]

    def admit(self, call: Call, operation: str) -> None:
        if operation != "token":
            self.require_token(call)

    def _token(self, call: Call) -> Any:
        pair = f"{self.keys['client_id']}:{self.keys['client_secret']}".encode()
        if call.headers.get("authorization") != "Basic " + base64.b64encode(pair).decode():
            raise RefusedError(401, "invalid_client")
        form = call.headers.get("content-type") == "application/x-www-form-urlencoded"
        if not form or parse_qs(call.body.decode()) != {"grant_type": ["client_credentials"]}:
            raise RefusedError(400, "unsupported_grant_type")
        return {
            "access_token": self.issue(),
            "token_type": "Bearer",
            "expires_in": self._switches.token_seconds,
        }

    def _static(self, call: Call) -> Any:
        cars = call.content(seed_shapes.BOOKING_CARS)["cars"]
        self.push("static", (Entry(each["id"], "", "", each) for each in cars))
        return {"updated": len(cars)}

    def _pushed(self, shape: shapes.Shape, field: str, kind: str) -> Handle:
        def handle(call: Call) -> Any:
            content = call.content(shape)
            if content["property_id"] != self.keys["hotel_id"]:
                raise RefusedError(403, "property_id is not yours")
            entries = content[field]
            if any(e["date_range"]["start_date"] > e["date_range"]["end_date"] for e in entries):
                raise RefusedError(400, "a date_range ends before it begins")
            self.push(
                kind,
                (
                    Entry(e["car_id"], e["location_id"], e["date_range"]["start_date"], e)
                    for e in entries
                ),
            )
            return {"updated": len(entries)}

        return handle

    def _bookings(self, call: Call) -> Any:
        return {"reservations": self.listed(call, ("created_from", "created_to"))}

    def _confirm(self, call: Call) -> Any:
        call.nothing()
        self.confirm(call)
        return {"status": "confirmed"}

    def _cancel(self, call: Call) -> Any:
        reasons = "guest_request payment_issue fraudulent no_show property_request other"
        shape = {"reason_code": shapes.one_of(*reasons.split()), "comment": shapes.text}
        self.cancel(call, call.content(shape))
        return {"status": "cancelled"}


class Expedia(SimulatedVendor):
    """Expedia: each request is signed, and HTTP statuses."""

    name, base = "expedia", "/v1"

    def routes(self) -> list[tuple[str, str, str, Handle]]:
        return [
            ("POST", "/inventory/vehicles", "static", self._static),
            (
                "POST",
                "/rates",
                "prices",
                self._pushed(seed_shapes.EXPEDIA_RATES, "rates", "prices"),
            ),
            (
                *("POST", "/availability", "availability"),
                self._pushed(seed_shapes.EXPEDIA_AVAILABILITY, "availability", "availability"),
            ),
            ("GET", "/bookings", "bookings", self._bookings),
            ("POST", "/bookings/{id}/confirm", "confirm", self._confirm),
            ("POST", "/bookings/{id}/cancel", "cancel", self._cancel),
        ]

    def admit(self, call: Call, operation: str) -> None:  # noqa: ARG002 - all are signed
        timestamp = call.headers.get("x-timestamp", "")
        text = f"{call.method}\n{self.base}{call.path}\n{timestamp}".encode()
        secret = self.keys["api_secret"].encode()
        signature = hmac.new(secret, text, hashlib.sha256).hexdigest()
        given = call.headers.get("x-signature", "")
        if call.headers.get("x-api-key") != self.keys["api_key"] or not hmac.compare_digest(
            given, signature
        ):
            raise RefusedError(401, "X-Signature or X-Api-Key is wrong")
        try:
            at = datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:
            raise RefusedError(401, "X-Timestamp is no time") from None
        self.require_time(at.timestamp())

    def _static(self, call: Call) -> Any:
        vehicles = call.content(seed_shapes.EXPEDIA_VEHICLES)["vehicles"]
        for each in vehicles:
            self._ours(each["supplierId"])
        self.push("static", (Entry(each["vehicleId"], "", "", each) for each in vehicles))
        return {"accepted": len(vehicles)}

    def _pushed(self, shape: shapes.Shape, field: str, kind: str) -> Handle:
        def handle(call: Call) -> Any:
            content = call.content(shape)
            self._ours(content["supplierId"])
            entries = content[field]
            self.push(
                kind,
                (
                    Entry(e["vehicleId"], e["locationId"], e["dateRange"]["startDate"], e)
                    for e in entries
                ),
            )
            return {"accepted": len(entries)}

        return handle

    def _bookings(self, call: Call) -> Any:
        self._ours(call.query.get("supplierId", ""))
        days = ("createdDateRange.startDate", "createdDateRange.endDate")
        return {"bookings": self.listed(call, days, ("supplierId",))}

    def _confirm(self, call: Call) -> Any:
        shape = {"supplierId": shapes.text, "confirmationNumber": shapes.text}
        content = call.content(shape)
        self._ours(content["supplierId"])
        self.confirm(call, content["confirmationNumber"])
        return {"status": "Confirmed"}

    def _cancel(self, call: Call) -> Any:
        names = ("supplierId", "reason", "cancellationNumber")
        content = call.content(dict.fromkeys(names, shapes.text))
        self._ours(content["supplierId"])
        self.cancel(call, content)
        return {"status": "Cancelled"}

    def _ours(self, supplier: str) -> None:
        if supplier != self.keys["supplier_id"]:
            raise RefusedError(403, "supplierId is not yours")


KINDS: tuple[type[SimulatedVendor], ...] = (Ctrip, BookingCom, Expedia)
KEYS = {
    "ctrip": ("app_key", "app_secret", "partner_id"),
    "booking_com": ("client_id", "client_secret", "hotel_id"),
    "expedia": ("api_key", "api_secret", "supplier_id"),
}


def new_keys(vendor: str) -> dict[str, str]:
    """Random keys of a partner."""
    return {name: f"{name[0]}{secrets.token_hex(16)}" for name in KEYS[vendor]}
