"""Facts of channels for tests, which need no server."""

from collections.abc import Iterable
from datetime import date
from typing import Any

from server.channels.facts import BookingState, MappingKind, Money, PriceUpdate, StaticItem
from server.channels.registry import VENDORS
from server.channels.words import WordPair, Words

CONNECTED = ("ctrip", "booking_com", "expedia")
LOCATION = "HKG-AIRPORT"
THEIR_LOCATION = "L-77"
CURRENCY = {"ctrip": "CNY", "booking_com": "EUR", "expedia": "USD"}

DAY = date(2026, 12, 20)
CAR = StaticItem(
    item_id="501",
    names={"en": "Corolla"},
    texts={"en": "Toyota Corolla (2024) - Compact", "zh": "丰田卡罗拉"},
    make="Toyota",
    model="Corolla",
    year=2024,
    category="COMPACT",
    seats=5,
    doors=4,
    automatic=True,
    air_conditioning=True,
    fuel="GASOLINE",
    image_urls=("https://example.com/c.jpg",),
    features=("gps", "backup_camera"),
)
PRICE = PriceUpdate("501", LOCATION, DAY, Money(12_310, "CNY"), 1_250, 825)


def booking(booking_id: str = "B-1", **changes: Any) -> dict[str, Any]:
    """A booking as a vendor lists it, with the fields that seed 003 names."""
    return {
        "id": booking_id,
        "car_id": "501",
        "pickup_location_id": THEIR_LOCATION,
        "dropoff_location_id": THEIR_LOCATION,
        "pickup_date": "2026-12-20",
        "return_date": "2026-12-23",
        "total_price": 123.4,
        "customer": {
            "email": "wei@example.com",
            "first_name": "Wei",
            "last_name": "Wang",
            "phone": "+8613800000000",
        },
        "driver_age": 31,
        "options": {"damage_waiver": True, "child_seats": 2},
        **changes,
    }


def words(vendor: str, statuses: dict[str, str], more: Iterable[WordPair] = ()) -> Words:
    """The vendor's documented words, its states, and one location."""
    pairs = [
        *VENDORS[vendor].words,
        *(
            WordPair(MappingKind.STATUS, BookingState(ours.upper()), theirs)
            for ours, theirs in statuses.items()
        ),
        WordPair(MappingKind.LOCATION, LOCATION, THEIR_LOCATION),
        *more,
    ]
    return Words(pairs, CURRENCY[vendor])
