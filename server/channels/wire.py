"""What the codecs share: a request and an answer without I/O, and numbers as they are written.
Pure.

JSON numbers that are amounts are written digit by digit from the integer, and read as decimals: no
float has part in it (DOMAIN, Channels).
"""

import json
import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlencode

import orjson

from server.channels.facts import (
    AvailabilityUpdate,
    BookingsRead,
    BookingState,
    CancellationReason,
    Capability,
    ChannelCallError,
    FailureKind,
    MappingKind,
    Money,
    PriceUpdate,
    StaticItem,
)
from server.platform.currencies import decimals

JSON = ("content-type", "application/json")
BASIS_POINTS = 10_000
LONGEST_ERROR = 300
MOST_READ = 2_000
"""Bytes of a refusal's body, before what is personal in it is left out."""

_PERSONAL = re.compile(r"[^\s@\"]+@[^\s@\"]+|[A-Za-z0-9_\-+/=.]{24,}|\+?\d[\d \-]{6,}\d")
"""What may be an address, a secret or a telephone number."""


@dataclass(frozen=True, slots=True)
class WireRequest:
    """A request, but for the base URL and what proves who sends it.

    Attributes:
        endpoint: the path with `{id}` for ids, as the log has it.
        is_repeatable: whether sending it twice does no harm; else a lost answer is an outcome that
            nobody knows.
    """

    method: str
    path: str
    endpoint: str
    is_repeatable: bool
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = (JSON,)
    body: bytes = field(default=b"", repr=False)

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path

    def with_headers(self, *more: tuple[str, str]) -> "WireRequest":
        """The same with more headers."""
        return replace(self, headers=(*self.headers, *more))


@dataclass(frozen=True, slots=True)
class WireAnswer:
    """An answer; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)

    def content(self) -> Any:
        """The JSON, its fractions as decimals. Raises ChannelCallError UNREADABLE."""
        try:
            return json.loads(self.body, parse_float=Decimal, parse_constant=_no_number)
        except (ValueError, RecursionError):
            raise unreadable("the answer is not JSON") from None


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """An access token, and for how many seconds it is good."""

    token: str = field(repr=False)
    expires_in_seconds: int = 0


class VendorWords(Protocol):
    """A vendor's words beside ours, and the currency of what has none."""

    currency_code: str

    def ours(self, kind: MappingKind, word: str) -> str:
        """Our word for the vendor's. Raises UnmappedError."""

    def theirs(self, kind: MappingKind, word: str) -> str:
        """The vendor's word for ours. Raises UnmappedError."""

    def failure_of(self, vendor_code: str) -> FailureKind | None:
        """What a vendor's code of a refusal means; None if nobody has said."""


class TokenWire(NamedTuple):
    """How an access token is had: the request at a time in Unix seconds, and the answer's token."""

    request: Callable[[int], WireRequest]
    read: Callable[[WireAnswer], IssuedToken]


Entry = dict[str, Any]
"""One of the things that are pushed together, as the vendor writes it."""


class Codec(Protocol):
    """A vendor's wire: requests built and answers read, without I/O and without a clock.

    An entry is made of each fact alone, so that a word that is mapped to nothing keeps back that
    one; `push` sends what was made together. Numbers of ours are the same at each repeat.
    """

    @property
    def token_wire(self) -> TokenWire | None:
        """How a token is had; None if each request is signed instead."""

    def prove(self, request: WireRequest, token: str, unix_seconds: int) -> WireRequest:
        """The request with what proves who sends it."""

    def read(self, answer: WireAnswer) -> Any:
        """The content of an answer that says yes. Raises ChannelCallError for any other."""

    def static_entry(self, item: StaticItem) -> Entry:
        """What is sold. Raises UnmappedError."""

    def price_entry(self, update: PriceUpdate) -> Entry:
        """A price. Raises UnmappedError."""

    def availability_entry(self, update: AvailabilityUpdate) -> Entry:
        """A quantity. Raises UnmappedError."""

    def push(self, what: Capability, entries: Sequence[Entry]) -> WireRequest:
        """Sends entries of STATIC, PRICES or AVAILABILITY."""

    def bookings(self, first: date, last: date, state: BookingState | None) -> WireRequest:
        """Asks for bookings made on these days, both included, in this state or in any."""

    def read_bookings(self, content: Any) -> BookingsRead:
        """The bookings in the content of such an answer."""

    def confirm(self, booking_id: str, number: str) -> WireRequest:
        """Confirms a booking under our confirmation number."""

    def cancel(self, booking_id: str, why: "Cancellation", number: str) -> WireRequest:
        """Cancels or rejects a booking under our cancellation number. Raises UnmappedError."""


class Cancellation(NamedTuple):
    """Why a booking is cancelled, and in words for the vendor."""

    reason: CancellationReason
    comment: str


def write(content: Mapping[str, Any]) -> bytes:
    """A JSON body."""
    return orjson.dumps(content)


def exact(minor: int, digits: int) -> orjson.Fragment:
    """An integer of the last decimal place as a JSON number: `exact(12345, 2)` is 123.45."""
    sign, text = ("-" if minor < 0 else ""), str(abs(minor)).rjust(digits + 1, "0")
    whole, fraction = (text[:-digits], "." + text[-digits:]) if digits else (text, "")
    return orjson.Fragment(f"{sign}{whole}{fraction}")


def amount(money: Money) -> orjson.Fragment:
    """An amount with exactly the decimals of its currency."""
    return exact(money.minor, decimals(money.currency_code))


def percent_text(basis_points: int) -> str:
    """A share in percent, without zeros at its end: 12.5."""
    whole, rest = divmod(basis_points, 100)
    return f"{whole}.{rest:02}".rstrip("0") if rest else str(whole)


def percent(basis_points: int) -> orjson.Fragment:
    """The same as a JSON number."""
    return orjson.Fragment(percent_text(basis_points))


def share_of(money: Money, basis_points: int) -> Money:
    """A share of an amount, rounded half-up to the minor unit."""
    scaled = abs(money.minor) * basis_points * 2 + BASIS_POINTS
    share = scaled // (2 * BASIS_POINTS)
    return money._replace(minor=share if money.minor >= 0 else -share)


def minor_of(value: Any, currency_code: str) -> int:
    """The minor units of a JSON number or of a decimal text. Raises ValueError for what is none, is
    below 0, or has more decimals than the currency.
    """
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise ValueError("is no amount")
    try:
        minor = Decimal(value).scaleb(decimals(currency_code))
    except ArithmeticError:
        raise ValueError("is no amount") from None
    if not minor.is_finite() or minor < 0 or minor != minor.to_integral_value():
        raise ValueError(f"is no amount of {currency_code}")
    return int(minor)


def basic(name: str, secret: str) -> str:
    """The value of `Authorization` for a name and its secret (RFC 7617)."""
    return "Basic " + b64encode(f"{name}:{secret}".encode()).decode()


def unreadable(why: str) -> ChannelCallError:
    """UNREADABLE."""
    return ChannelCallError(FailureKind.UNREADABLE, why)


def redacted(text: str) -> str:
    """What a vendor says, without what may be somebody's address, number or secret."""
    printable = "".join(each if each.isprintable() else " " for each in text)
    return _PERSONAL.sub("…", printable)[:LONGEST_ERROR]


def failed(answer: WireAnswer) -> ChannelCallError | None:
    """What an answer's HTTP status says, if that is no success; of a refusal with its body, in
    which no document names a field for the reason. A 5xx is UNKNOWN_OUTCOME: whoever may repeat
    the call makes TRANSIENT of it.
    """
    status = answer.status
    if 200 <= status < 300:
        return None
    wait = answer.headers.get("retry-after", "")
    seconds = int(wait) if wait.isascii() and wait.isdigit() and len(wait) < 7 else 0
    if status == 429:
        kind = FailureKind.RATE_LIMITED
    elif status in (401, 403):
        kind = FailureKind.AUTHENTICATION
    elif status in (408, 425) or status >= 500:
        kind = FailureKind.UNKNOWN_OUTCOME
    else:
        kind = FailureKind.REFUSED
    said = f"HTTP {status}"
    if kind is FailureKind.REFUSED and answer.body:
        said += f": {redacted(answer.body[:MOST_READ].decode(errors='replace'))}"
    return ChannelCallError(kind, said, retry_after_seconds=seconds)


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
