"""Offers: what a party can buy, as it is configured now or as it was sold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Self
from uuid import UUID

import orjson

from server.catalog import pricing
from server.catalog.policy import TicketStart
from server.stock.journeys import Ride, Span
from server.stock.seating import SeatMap


@dataclass(frozen=True, slots=True)
class OfferStop:
    """A station or pier."""

    stop_code: str
    city_code: str
    display_name_en: str
    display_name_zh: str


@dataclass(frozen=True, slots=True)
class OfferJourney:
    """A departure in one fare class, from where the party boards to where it leaves; times are
    there.

    `service_time` is when it leaves its first stop, by which it is known how far it was moved
    since; None in what was sold before that was kept, when no departure was ever moved. With
    `headway_seconds` the service has no timetable: it leaves about so often, and `departure_time`
    is the earliest moment of one of its vehicles.
    """

    departure_id: int
    service_number: str
    fare_class: str
    class_index: int
    fare_class_name_en: str
    fare_class_name_zh: str
    origin: OfferStop
    destination: OfferStop
    departure_time: datetime
    arrival_time: datetime
    service_time: datetime | None = None
    headway_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class RentalPlace:
    """Where a car is picked up or returned; its clock is that of `time_zone`. Hours and dates are
    as they are stored. Vouchers are redeemed at the venue, without one anywhere.
    """

    location_id: int
    city_code: str
    display_name_en: str
    display_name_zh: str
    address_en: str
    address_zh: str
    phone: str
    time_zone: str
    latitude_microdegrees: int | None
    longitude_microdegrees: int | None
    pick_up: bool
    drop_off: bool
    opening_hours: list[dict[str, Any]]
    closed_dates: list[str]
    venue_code: str | None


@dataclass(frozen=True, slots=True)
class RentedExtra:
    """An extra that a car is rented with, or could be with a quantity of 0; one of it costs
    `rental_minor` for the whole rental.
    """

    extra_code: str
    display_name_en: str
    display_name_zh: str
    quantity: int
    max_quantity: int
    rental_minor: int


@dataclass(frozen=True, slots=True)
class OfferRental:
    """A car for a while: which (`car` are the columns of its category), from where to where and
    when. `stock_ids` are its fleet's of each day that it takes, `day_types` the types of these
    days; `charges` are what it costs besides, for each car.
    """

    fleet_id: int
    car: dict[str, Any]
    pick_up_location: RentalPlace
    drop_off_location: RentalPlace
    pick_up_time: datetime
    return_time: datetime
    day_types: tuple[str, ...]
    stock_ids: tuple[int, ...]
    driver_age: int
    extras: tuple[RentedExtra, ...]
    charges: tuple[pricing.Charge, ...]

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> Self:
        """From a snapshot."""
        return cls(
            **{
                **content,
                "pick_up_location": RentalPlace(**content["pick_up_location"]),
                "drop_off_location": RentalPlace(**content["drop_off_location"]),
                "pick_up_time": _moment(content["pick_up_time"]),
                "return_time": _moment(content["return_time"]),
                "day_types": tuple(content["day_types"]),
                "stock_ids": tuple(content["stock_ids"]),
                "extras": tuple([RentedExtra(**each) for each in content["extras"]]),
                "charges": tuple([pricing.Charge(**each) for each in content["charges"]]),
            }
        )


@dataclass(frozen=True, slots=True)
class Offer:
    """Something a party can buy, as it is configured now or, `from_snapshot`, as it was sold.

    `kind` is TRAIN, FERRY, BUS, PACKAGE or RENTAL; `fares` are by customer type and day type,
    `policy` and `entitlements` as they are stored. `passenger_rules` are the product's,
    {unaccompanied_types, age_limits}, empty in what was sold before there were any; `travel_date`
    is the day of boarding, first use or pick-up. `snapshot` is what an order keeps of it (JSON),
    `snapshot_id` a hash of that. `stock_id` is the first of `stock_ids`. `reference_time` is what
    refund and change count from: the departure, the pick-up, or the first moment of use.
    `static_fault` is why nobody can buy it at any time: BLACKOUT, CANCELLED, NO_FARE, of a rental
    also LOCATION_CLOSED, DRIVER_TOO_YOUNG, ONE_WAY_NOT_OFFERED, RENTAL_LENGTH, NO_SERVICE; empty if
    there is nothing. `hold_seconds` None is the setting's. `span` is when it travels, if it does,
    and `ride` the same from when its departure leaves, where `service_time` is known. `terms` are
    what it is priced by. `provisional` if the type of a day was not known when it was offered;
    False in what was sold before that was kept.
    """

    offer_id: str
    kind: str
    product_id: int
    display_name_en: str
    display_name_zh: str
    currency_code: str
    journey: OfferJourney | None
    stock_id: int
    seat_map: SeatMap | None
    fares: Mapping[tuple[str, str], int]
    day_type: str
    tiers: Sequence[pricing.Tier]
    policy: dict[str, Any]
    entitlements: list[dict[str, Any]]
    snapshot_id: UUID
    snapshot: dict[str, Any]
    reference_time: datetime
    valid_from_time: datetime
    valid_until_time: datetime
    max_per_traveller: int
    documents_required: bool
    hold_seconds: int | None
    sale_from_time: datetime
    sale_until_time: datetime
    static_fault: str
    passenger_rules: Mapping[str, Any]
    travel_date: date | None
    provisional: bool
    rental: OfferRental | None = None
    span: Span | None = field(init=False)
    ride: Ride | None = field(init=False)
    terms: pricing.PriceTerms = field(init=False)

    def __post_init__(self) -> None:
        journey = self.journey
        span = Span(journey.departure_time, journey.arrival_time) if journey else None
        leaves = journey.service_time if journey else None
        # worked out once: an offer is sold to many
        object.__setattr__(self, "span", span)
        object.__setattr__(self, "ride", Ride.of(span, leaves) if span and leaves else None)
        rental = self.rental
        terms = pricing.PriceTerms(
            *(self.product_id, self.currency_code, self.day_type, self.fares, self.tiers),
            *((rental.day_types, rental.charges) if rental else ()),
        )
        object.__setattr__(self, "terms", terms)

    @property
    def stock_ids(self) -> tuple[int, ...]:
        """The stocks it takes one of for each ticket: several of a rental, a day each."""
        return self.rental.stock_ids if self.rental else (self.stock_id,)

    @property
    def start(self) -> TicketStart:
        """What it begins with."""
        if self.rental:
            return TicketStart.PICK_UP
        return TicketStart.DEPARTURE if self.journey else TicketStart.FIRST_DAY

    def unavailable(self, now: datetime) -> str:
        """The UnavailableReason for which it cannot be bought at `now`, whatever is left; empty
        if it can.
        """
        if self.static_fault:
            return self.static_fault
        if now < self.sale_from_time:
            return "NOT_YET_ON_SALE"
        return "SALE_CLOSED" if now >= self.sale_until_time else ""

    def moved_by(self, moved: timedelta) -> Self:
        """As it was sold, with all its times so much later, as its departure leaves later now;
        earlier below zero.
        """
        if not moved or self.journey is None:
            return self
        journey = self.journey
        return replace(
            self,
            journey=replace(
                journey,
                departure_time=journey.departure_time + moved,
                arrival_time=journey.arrival_time + moved,
            ),
            reference_time=self.reference_time + moved,
            valid_from_time=self.valid_from_time + moved,
            valid_until_time=self.valid_until_time + moved,
            sale_until_time=self.sale_until_time + moved,
        )

    @classmethod
    def from_snapshot(cls, offer_id: str, snapshot_id: UUID, content: dict[str, Any]) -> Self:
        """The offer as it was sold, from the snapshot that an order keeps."""
        made = content["offer"]
        journey = made["journey"]
        if journey:
            journey = OfferJourney(
                **journey
                | {key: OfferStop(**journey[key]) for key in ("origin", "destination")}
                | {key: _moment(journey[key]) for key in _JOURNEY_MOMENTS if journey.get(key)}
            )
        return cls(
            offer_id=offer_id,
            kind=made["kind"],
            product_id=made["product_id"],
            display_name_en=content["display_name_en"],
            display_name_zh=content["display_name_zh"],
            currency_code=content["currency_code"],
            journey=journey,
            stock_id=made["stock_id"],
            seat_map=_seat_map(made["seat_map"]),
            fares=pricing.fare_table(
                pricing.Fare(fare["customer_type"], fare["day_type"], fare["amount_minor"])
                for fare in content["fares"]
            ),
            day_type=made["day_type"],
            tiers=pricing.parse_tiers(content["tiers"]),
            policy=content["policy"],
            entitlements=content["entitlements"],
            snapshot_id=snapshot_id,
            snapshot=content,
            max_per_traveller=made["max_per_traveller"],
            documents_required=made["documents_required"],
            hold_seconds=made["hold_seconds"],
            static_fault=made["static_fault"],
            passenger_rules=content.get("passenger_rules", {}),
            travel_date=_day(made.get("travel_date")),
            provisional=made.get("provisional", False),
            rental=OfferRental.parse(made["rental"]) if made.get("rental") else None,
            **{key: _moment(made[key]) for key in _MOMENTS},
        )


_JOURNEY_MOMENTS = ("departure_time", "arrival_time", "service_time")
_MOMENTS = (
    "reference_time",
    "valid_from_time",
    "valid_until_time",
    "sale_from_time",
    "sale_until_time",
)


def _moment(written: str) -> datetime:
    return datetime.fromisoformat(written).astimezone(UTC)


def _day(written: str | None) -> date | None:
    return date.fromisoformat(written) if written else None


def _seat_map(content: Mapping[str, Any] | None) -> SeatMap | None:
    return _parsed_seat_map(orjson.dumps(content)) if content else None


@lru_cache(maxsize=256)
def _parsed_seat_map(content: bytes) -> SeatMap:
    """One map for all departures of a vehicle: a map is large."""
    return SeatMap.parse(orjson.loads(content))
