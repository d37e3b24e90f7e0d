"""What every channel is given and gives, in no vendor's words: what is pushed, what is booked, and
how a call can fail. Pure.

Amounts are integers in minor units with their currency; they become decimal text at the vendor's
edge alone (`wire.exact`). What is pushed is absolute (a price, a quantity), never a difference: so
it may be sent again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time
from enum import StrEnum
from typing import NamedTuple


class Capability(StrEnum):
    """What a connector can do. What it does not declare is never asked of it."""

    STATIC = "STATIC"
    """Takes what is sold: names, categories, pictures."""
    PRICES = "PRICES"
    AVAILABILITY = "AVAILABILITY"
    BOOKINGS = "BOOKINGS"
    """Lists its bookings by the days they were made on."""
    CONFIRM = "CONFIRM"
    CANCEL = "CANCEL"
    FEED = "FEED"
    """Fetches a feed of ours instead of being called."""


class FailureKind(StrEnum):
    """How a call failed, which says what may be done next."""

    TRANSIENT = "TRANSIENT"
    """Nothing has happened, or a repeat does no harm: try again later."""
    RATE_LIMITED = "RATE_LIMITED"
    """Too many calls: try again after `retry_after_seconds`."""
    AUTHENTICATION = "AUTHENTICATION"
    """The credentials are not taken: an administrator is needed."""
    REFUSED = "REFUSED"
    """The vendor has understood and refuses; the same request is refused again."""
    UNKNOWN_OUTCOME = "UNKNOWN_OUTCOME"
    """The answer was lost after something may have happened: read it back, do not send again."""
    UNREADABLE = "UNREADABLE"
    """An answer that is not what the vendor's document says, to a call that may be repeated."""


REMEDIES = {
    FailureKind.TRANSIENT: "it is away, or base_url is not its own; look at the log of its calls",
    FailureKind.RATE_LIMITED: "wait, or give the channel a lower calls_per_minute",
    FailureKind.AUTHENTICATION: "rotate the channel's credentials to what the vendor gave us",
    FailureKind.REFUSED: "ask the vendor what it needs; ERROR_CODE words say what its codes mean",
    FailureKind.UNKNOWN_OUTCOME: "look at the vendor what became of it",
    FailureKind.UNREADABLE: "look whether base_url is the vendor's own",
}
"""What an administrator does about a channel whose test fails."""


class ChannelCallError(Exception):
    """A call to a vendor failed.

    Attributes:
        kind: what may be done next.
        vendor_code: the vendor's own code of the refusal, or empty.
        retry_after_seconds: what the vendor asks us to wait; 0 if it does not say.
    """

    def __init__(
        self, kind: FailureKind, text: str, *, vendor_code: str = "", retry_after_seconds: int = 0
    ) -> None:
        super().__init__(f"{kind}: {text}" + (f" (code {vendor_code})" if vendor_code else ""))
        self.kind = kind
        self.vendor_code = vendor_code
        self.retry_after_seconds = retry_after_seconds

    @property
    def with_remedy(self) -> str:
        """What failed, and what an administrator does about it."""
        return f"{self}; {REMEDIES[self.kind]}"


class MappingKind(StrEnum):
    """What has a word of ours and a word of the vendor's."""

    CATEGORY = "CATEGORY"
    FEATURE = "FEATURE"
    FUEL = "FUEL"
    LOCATION = "LOCATION"
    CANCELLATION_REASON = "CANCELLATION_REASON"
    STATUS = "STATUS"
    """State of a booking: several of the vendor's may be one of ours."""
    ERROR_CODE = "ERROR_CODE"
    """The vendor's code of a refusal, as a FailureKind."""


class UnmappedError(Exception):
    """A word has no counterpart at this vendor. Nothing is sent in its place."""

    def __init__(self, kind: MappingKind, word: str) -> None:
        super().__init__(f"{kind} {word!r} is mapped to nothing; add it to the channel's mappings")
        self.kind = kind
        self.word = word


class UntestableError(Exception):
    """The vendor has no call that proves us and changes nothing; the text is what is known."""


class Money(NamedTuple):
    """An amount in minor units of an ISO 4217 currency."""

    minor: int
    currency_code: str


@dataclass(frozen=True, slots=True)
class StaticItem:
    """What is sold, as the vendor's customers read it. `category`, `features` and `fuel` are our
    words; `texts` and `name` are by language (`en`, `zh`), English always there.
    """

    item_id: str
    names: Mapping[str, str]
    texts: Mapping[str, str]
    make: str
    model: str
    year: int
    category: str
    seats: int
    doors: int
    automatic: bool
    air_conditioning: bool
    fuel: str
    image_urls: tuple[str, ...] = ()
    features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PriceUpdate:
    """What an item costs at a location on a day from now on. Shares are in hundredths of a percent;
    `tax_basis_points` is None where no tax is shown.
    """

    item_id: str
    location: str
    day: date
    price: Money
    discount_basis_points: int = 0
    tax_basis_points: int | None = None


@dataclass(frozen=True, slots=True)
class AvailabilityUpdate:
    """How many of an item there are at a location on a day from now on; 0 stops its sale."""

    item_id: str
    location: str
    day: date
    quantity: int


class BookingState(StrEnum):
    """A booking as the vendor has it."""

    NEW = "NEW"
    """Waits for our answer."""
    CONFIRMED = "CONFIRMED"
    MODIFIED = "MODIFIED"
    """Confirmed once, changed by the customer since, and waiting for our answer."""
    CANCELLED = "CANCELLED"


class CancellationReason(StrEnum):
    """Why a booking is cancelled or rejected, in seed 003's words."""

    CUSTOMER_REQUEST = "customer_request"
    PAYMENT_ISSUE = "payment_issue"
    FRAUD = "fraud"
    NO_SHOW = "no_show"
    VEHICLE_UNAVAILABLE = "vehicle_unavailable"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class BookingCustomer:
    """Who has booked; personal data, never logged."""

    email: str = field(repr=False)
    first_name: str = field(repr=False)
    last_name: str = field(repr=False)
    phone: str = field(repr=False)
    address: str = field(repr=False, default="")


@dataclass(frozen=True, slots=True)
class BookingOptions:
    """What is booked besides; the last two are counted."""

    damage_waiver: bool = False
    extended_area: bool = False
    satellite_navigation: bool = False
    child_seats: int = 0
    additional_drivers: int = 0


@dataclass(frozen=True, slots=True)
class Booking:
    """A booking as the vendor tells it, in our words but for `booking_id` and `item_id`.

    `total` is in the currency that the vendor names, else in the channel's. Clocks are those of the
    locations, None where the vendor names a day alone. No age is assumed of a driver.
    """

    booking_id: str
    state: BookingState
    item_id: str
    pickup_location: str
    return_location: str
    pickup_day: date
    pickup_clock: time | None
    return_day: date
    return_clock: time | None
    total: Money
    customer: BookingCustomer
    driver_age: int | None
    options: BookingOptions


class BookingsRead(NamedTuple):
    """A list of bookings: those that could be read, and why each other could not, by its id."""

    bookings: tuple[Booking, ...]
    faults: Mapping[str, str]
