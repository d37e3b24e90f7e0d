"""Offers: what a party can buy, as it is configured now or as it was sold."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Self
from uuid import UUID

import orjson

from server.catalog import pricing
from server.catalog.seating import SeatMap


@dataclass(frozen=True, slots=True)
class Stop:
    """A station or pier."""

    stop_code: str
    city_code: str
    display_name_en: str
    display_name_zh: str


@dataclass(frozen=True, slots=True)
class Journey:
    """A departure in one fare class, from where the party boards to where it leaves; times are there."""

    departure_id: int
    service_number: str
    fare_class: str
    class_index: int
    fare_class_name_en: str
    fare_class_name_zh: str
    origin: Stop
    destination: Stop
    departure_time: datetime
    arrival_time: datetime


@dataclass(frozen=True, slots=True)
class Offer:
    """Something a party can buy, as it is configured now or, `from_snapshot`, as it was sold.

    `kind` is TRAIN, FERRY, BUS or PACKAGE; `fares` are by customer type and day type, `policy` and `entitlements` as they
    are stored. `snapshot` is what an order keeps of it (JSON), `snapshot_id` a hash of that. `reference_time` is what
    refund and change count from: the departure, or the first moment of use. `static_fault` is why nobody can buy it at any
    time: BLACKOUT, CANCELLED, NO_FARE; empty if there is nothing. `hold_seconds` None is the setting's.
    """

    offer_id: str
    kind: str
    product_id: int
    display_name_en: str
    display_name_zh: str
    currency_code: str
    journey: Journey | None
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

    def unavailable(self, now: datetime) -> str:
        """The UnavailableReason for which it cannot be bought at `now`, whatever is left; empty if it can."""
        if self.static_fault:
            return self.static_fault
        if now < self.sale_from_time:
            return "NOT_YET_ON_SALE"
        return "SALE_CLOSED" if now >= self.sale_until_time else ""

    @classmethod
    def from_snapshot(cls, offer_id: str, snapshot_id: UUID, content: dict[str, Any]) -> Self:
        """The offer as it was sold, from the snapshot that an order keeps."""
        made = content["offer"]
        journey = made["journey"]
        if journey:
            journey = Journey(
                **journey
                | {key: Stop(**journey[key]) for key in ("origin", "destination")}
                | {key: _moment(journey[key]) for key in ("departure_time", "arrival_time")}
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
            fares=_fare_table(content["fares"]),
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
            **{key: _moment(made[key]) for key in _MOMENTS},
        )


_MOMENTS = (
    "reference_time",
    "valid_from_time",
    "valid_until_time",
    "sale_from_time",
    "sale_until_time",
)


def _moment(written: str) -> datetime:
    return datetime.fromisoformat(written).astimezone(UTC)


def _fare_table(fares: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], int]:
    return {(fare["customer_type"], fare["day_type"]): fare["amount_minor"] for fare in fares}


def _seat_map(content: Mapping[str, Any] | None) -> SeatMap | None:
    return _parsed_seat_map(orjson.dumps(content)) if content else None


@lru_cache(maxsize=256)
def _parsed_seat_map(content: bytes) -> SeatMap:
    """One map for all departures of a vehicle: a map is large."""
    return SeatMap.parse(orjson.loads(content))
