"""The codecs, byte by byte as seed 003 has them: no server is needed."""

import hashlib
import hmac
import json
from datetime import date, time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.channels.facts import (
    AvailabilityUpdate,
    BookingState,
    CancellationReason,
    Capability,
    ChannelCallError,
    FailureKind,
    MappingKind,
    Money,
    PriceUpdate,
    StaticItem,
    UnmappedError,
)
from server.channels.registry import VENDORS
from server.channels.wire import (
    Cancellation,
    Codec,
    WireAnswer,
    amount,
    minor_of,
    percent_text,
    share_of,
    write,
)
from server.channels.words import WordPair
from tests.support.channels import (
    CAR,
    CONNECTED,
    DAY,
    LOCATION,
    PRICE,
    THEIR_LOCATION,
    booking,
    words,
)
from tools.dev.channel_simulator.books import WORDS

CREDENTIALS = {
    "ctrip": {"app_key": "KEY", "app_secret": "SECRET", "partner_id": "P-1"},
    "booking_com": {"client_id": "ID", "client_secret": "SECRET", "hotel_id": "H-1"},
    "expedia": {"api_key": "KEY", "api_secret": "SECRET", "supplier_id": "S-1"},
}
SOLD_OUT = AvailabilityUpdate("501", LOCATION, DAY, 0)


def codec(vendor: str, *more: WordPair) -> Codec:
    make = VENDORS[vendor].codec
    assert make
    return make(CREDENTIALS[vendor], words(vendor, WORDS[vendor], more))


def answer(content: Any, status: int = 200, **headers: str) -> WireAnswer:
    return WireAnswer(status, headers, json.dumps(content).encode())


STATIC = {
    "ctrip": (
        "inventory/cars/batch",
        {
            "cars": [
                {
                    "carId": "501",
                    "carName": "Corolla",
                    "carBrand": "Toyota",
                    "carModel": "Corolla",
                    "carYear": 2024,
                    "carCategory": "COM",
                    "seatCount": 5,
                    "doorCount": 4,
                    "transmissionType": "A",
                    "hasAirCondition": True,
                    "fuelType": "GASOLINE",
                    "imageUrls": ["https://example.com/c.jpg"],
                    "features": ["GPS", "Backup Camera"],
                }
            ]
        },
    ),
    "booking_com": (
        "properties/H-1/cars/batch",
        {
            "cars": [
                {
                    "id": "501",
                    "name": "Corolla",
                    "description": {
                        "en": "Toyota Corolla (2024) - Compact",
                        "zh": "丰田卡罗拉",
                    },
                    "vehicle_info": {
                        "category": "economy",
                        "make": "Toyota",
                        "model": "Corolla",
                        "year": 2024,
                        "passenger_capacity": 5,
                        "door_count": 4,
                        "transmission_type": "automatic",
                        "air_conditioning": True,
                    },
                    "images": [
                        {
                            "url": "https://example.com/c.jpg",
                            "caption": {"en": "Toyota Corolla", "zh": "Toyota Corolla"},
                        }
                    ],
                    "features": [{"code": "GPS"}, {"code": "Backup Camera"}],
                }
            ]
        },
    ),
    "expedia": (
        "inventory/vehicles",
        {
            "vehicles": [
                {
                    "supplierId": "S-1",
                    "vehicleId": "501",
                    "name": "Corolla",
                    "description": "Toyota Corolla (2024) - Compact",
                    "vehicleInfo": {
                        "category": "Compact",
                        "make": "Toyota",
                        "model": "Corolla",
                        "year": 2024,
                        "passengerCapacity": 5,
                        "doorCount": 4,
                        "transmissionType": "Automatic",
                        "airConditioned": True,
                    },
                    "images": [{"url": "https://example.com/c.jpg", "category": "PRIMARY"}],
                    "amenities": ["GPS", "RearviewCamera"],
                }
            ]
        },
    ),
}
PRICES = {
    "ctrip": (
        "inventory/prices/batch",
        (
            '{"prices":[{"carId":"501","locationId":"L-77","date":"2026-12-20","basePrice":123.10,'
            '"currencyCode":"CNY","specialOffers":[{"offerType":"DISCOUNT","offerValue":12.5,'
            '"description":"12.5% 折扣"}]}]}'
        ),
    ),
    "booking_com": (
        "rates/update",
        (
            '{"property_id":"H-1","rates":[{"car_id":"501","location_id":"L-77","date_range":'
            '{"start_date":"2026-12-20","end_date":"2026-12-20"},"base_rate":{"amount":123.10,'
            '"currency":"CNY"}}]}'
        ),
    ),
    "expedia": (
        "rates",
        (
            '{"supplierId":"S-1","rates":[{"vehicleId":"501","locationId":"L-77","dateRange":'
            '{"startDate":"2026-12-20","endDate":"2026-12-20"},"baseRate":{"amount":123.10,'
            '"currency":"CNY"},"taxes":[{"code":"VAT","description":"Value Added Tax",'
            '"amount":10.16,"currency":"CNY","included":false}],"fees":[]}]}'
        ),
    ),
}
AVAILABILITY = {
    "ctrip": (
        "inventory/availability/batch",
        (
            '{"availability":[{"carId":"501","locationId":"L-77","date":"2026-12-20",'
            '"available":false,"quantity":0}]}'
        ),
    ),
    "booking_com": (
        "availability/update",
        (
            '{"property_id":"H-1","availability":[{"car_id":"501","location_id":"L-77",'
            '"date_range":{"start_date":"2026-12-20","end_date":"2026-12-20"},'
            '"status":"not_available","quantity":0}]}'
        ),
    ),
    "expedia": (
        "availability",
        (
            '{"supplierId":"S-1","availability":[{"vehicleId":"501","locationId":"L-77",'
            '"dateRange":{"startDate":"2026-12-20","endDate":"2026-12-20"},'
            '"status":"Unavailable","count":0}]}'
        ),
    ),
}


@pytest.mark.parametrize("vendor", CONNECTED)
def test_static_data(vendor: str) -> None:
    made = codec(vendor)
    request = made.push(Capability.STATIC, [made.static_entry(CAR)])
    assert (request.path, json.loads(request.body)) == STATIC[vendor]


@pytest.mark.parametrize("vendor", CONNECTED)
def test_prices_and_availability(vendor: str) -> None:
    made = codec(vendor)
    prices = made.push(Capability.PRICES, [made.price_entry(PRICE)])
    assert (prices.path, prices.body.decode()) == PRICES[vendor]
    stops = made.push(Capability.AVAILABILITY, [made.availability_entry(SOLD_OUT)])
    assert (stops.path, stops.body.decode()) == AVAILABILITY[vendor]
    assert prices.method == stops.method == "POST"
    assert prices.is_repeatable
    assert stops.is_repeatable


@pytest.mark.parametrize(
    ("vendor", "target"),
    [
        ("ctrip", "bookings/list?fromDate=2026-12-20&toDate=2026-12-21"),
        (
            "booking_com",
            "properties/H-1/reservations?created_from=2026-12-20&created_to=2026-12-21",
        ),
        (
            "expedia",
            (
                "bookings?supplierId=S-1&createdDateRange.startDate=2026-12-20"
                "&createdDateRange.endDate=2026-12-21"
            ),
        ),
    ],
)
def test_bookings_are_asked_for(vendor: str, target: str) -> None:
    made, last = codec(vendor), date(2026, 12, 21)
    new = {"ctrip": "NEW", "booking_com": "new", "expedia": "Pending"}[vendor]
    assert made.bookings(DAY, last, None).target == target
    assert made.bookings(DAY, last, BookingState.NEW).target == f"{target}&status={new}"


@pytest.mark.parametrize(
    ("vendor", "confirmed", "cancelled"),
    [
        (
            "ctrip",
            ("bookings/B-1/confirm", None),
            ("bookings/B-1/cancel", {"reason": "no car"}),
        ),
        (
            "booking_com",
            ("reservations/B-1/confirm", None),
            (
                "reservations/B-1/cancel",
                {"reason_code": "property_request", "comment": "no car"},
            ),
        ),
        (
            "expedia",
            ("bookings/B-1/confirm", {"supplierId": "S-1", "confirmationNumber": "N-1"}),
            (
                "bookings/B-1/cancel",
                {"supplierId": "S-1", "reason": "no car", "cancellationNumber": "C-1"},
            ),
        ),
    ],
)
def test_confirm_and_cancel(vendor: str, confirmed: Any, cancelled: Any) -> None:
    made = codec(vendor)
    why = Cancellation(CancellationReason.VEHICLE_UNAVAILABLE, "no car")
    for request, (path, content) in (
        (made.confirm("B-1", "N-1"), confirmed),
        (made.cancel("B-1", why, "C-1"), cancelled),
    ):
        assert (request.method, request.path) == ("POST", path)
        assert (json.loads(request.body) if request.body else None) == content
        assert not request.is_repeatable
        assert "B-1" not in request.endpoint


def test_ctrip_is_asked_for_a_token_and_shown_it() -> None:
    made = codec("ctrip")
    assert made.token_wire
    asked = made.token_wire.request(1_700_000_000)
    sign = hashlib.md5(b"KEY1700000000SECRET").hexdigest()
    assert asked.path == "auth/token"
    assert json.loads(asked.body) == {"appKey": "KEY", "timestamp": "1700000000", "sign": sign}
    issued = made.token_wire.read(
        answer({"code": 0, "data": {"accessToken": "T", "expiresIn": 7200}})
    )
    assert (issued.token, issued.expires_in_seconds) == ("T", 7200)
    headers = dict(made.prove(made.confirm("B-1", ""), "T", 0).headers)
    assert headers["authorization"] == "Bearer T"
    assert headers["x-ctrip-partner-id"] == "P-1"


def test_booking_com_is_asked_for_a_token_and_shown_it() -> None:
    made = codec("booking_com")
    assert made.token_wire
    asked = made.token_wire.request(0)
    assert (asked.path, asked.body) == ("oauth/token", b"grant_type=client_credentials")
    assert dict(asked.headers) == {
        "authorization": "Basic SUQ6U0VDUkVU",
        "content-type": "application/x-www-form-urlencoded",
    }
    for content, seconds in (({"expires_in": 60}, 60), ({}, 3_600)):
        issued = made.token_wire.read(answer({"access_token": "T", **content}))
        assert (issued.token, issued.expires_in_seconds) == ("T", seconds)
    assert ("authorization", "Bearer T") in made.prove(made.confirm("B", ""), "T", 0).headers


def test_expedia_is_signed() -> None:
    made = codec("expedia")
    assert made.token_wire is None
    request = made.bookings(DAY, DAY, None)
    signed = b"GET\n/v1/bookings\n20231114T221320Z"  # without the query
    headers = dict(made.prove(request, "", 1_700_000_000).headers)
    assert headers["x-signature"] == hmac.new(b"SECRET", signed, hashlib.sha256).hexdigest()
    assert (headers["x-api-key"], headers["x-timestamp"]) == ("KEY", "20231114T221320Z")


LISTED: dict[str, Any] = {
    "ctrip": lambda found: {"code": 0, "data": found},
    "booking_com": lambda found: {"reservations": found},
    "expedia": lambda found: {"bookings": found},
}


@pytest.mark.parametrize("vendor", CONNECTED)
def test_bookings_are_read(vendor: str) -> None:
    made = codec(vendor)
    states = WORDS[vendor]
    good = {**booking("7"), "status": states["new"]}
    clock = {**booking("8"), "status": states["cancelled"], "pickup_date": "2026-12-20T09:30:00"}
    bad = {**booking("9", total_price=1.005), "status": states["new"]}
    odd = {**booking("10"), "status": "SOMETHING"}
    listed = [good, clock, bad, odd, good]
    read = made.read_bookings(made.read(answer(LISTED[vendor](listed))))
    first, second = sorted(read.bookings, key=lambda each: each.booking_id)
    assert (first.booking_id, first.state, first.item_id) == ("7", BookingState.NEW, "501")
    assert first.total == Money(12_340, words(vendor, states).currency_code)
    assert (first.pickup_location, first.driver_age, first.options.child_seats) == (
        LOCATION,
        31,
        2,
    )
    assert (first.pickup_day, first.pickup_clock, first.return_day) == (
        DAY,
        None,
        date(2026, 12, 23),
    )
    assert (second.state, second.pickup_clock) == (BookingState.CANCELLED, time(9, 30))
    assert set(read.faults) == {"9", "10"}
    assert "total_price" in read.faults["9"]
    assert "SOMETHING" in read.faults["10"]
    assert "Wei" not in repr(first)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"driver_age": None}, ""),
        ({"currency": "JPY", "total_price": 12300}, ""),
        ({"currency": "yen"}, ""),
        ({"currency": "¥"}, "currency"),
        ({"total_price": True}, "total_price"),
        ({"total_price": -1}, "total_price"),
        ({"total_price": "12.34"}, ""),
        ({"return_date": "2026-12-19"}, "return_date"),
        ({"pickup_date": "soon"}, "pickup_date"),
        ({"pickup_location_id": "L-1"}, "LOCATION"),
        ({"dropoff_location_id": None}, ""),
        ({"customer": {"first_name": "Wei"}}, "neither email nor phone"),
        ({"customer": {"phone": "1\0"}}, "NUL"),
        ({"options": {"child_seats": 21}}, "child_seats"),
        ({"options": {"damage_waiver": "yes"}}, "damage_waiver"),
        ({"car_id": 501}, ""),
    ],
)
def test_a_booking_that_cannot_be_read_says_why(changes: dict[str, Any], fault: str) -> None:
    made = codec("booking_com")
    content = {**booking(**changes), "status": "new"}
    read = made.read_bookings(made.read(answer({"reservations": [content]})))
    assert len(read.bookings) == (not fault)
    assert fault in read.faults.get("B-1", "")


@pytest.mark.parametrize("vendor", CONNECTED)
@pytest.mark.parametrize("found", [None, {}, [1], [{}], [{"id": True}], [{"id": "a/b"}]])
def test_no_list_of_bookings_is_unreadable(vendor: str, found: Any) -> None:
    made = codec(vendor)
    with pytest.raises(ChannelCallError) as raised:
        made.read_bookings(made.read(answer(LISTED[vendor](found))))
    assert raised.value.kind is FailureKind.UNREADABLE


@pytest.mark.parametrize("vendor", CONNECTED)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, FailureKind.REFUSED),
        (401, FailureKind.AUTHENTICATION),
        (403, FailureKind.AUTHENTICATION),
        (404, FailureKind.REFUSED),
        (409, FailureKind.REFUSED),
        (429, FailureKind.RATE_LIMITED),
        (500, FailureKind.UNKNOWN_OUTCOME),
        (503, FailureKind.UNKNOWN_OUTCOME),
        (302, FailureKind.REFUSED),
    ],
)
def test_a_status_says_what_may_be_done_next(vendor: str, status: int, kind: FailureKind) -> None:
    with pytest.raises(ChannelCallError) as raised:
        codec(vendor).read(answer({}, status, **{"retry-after": "17"}))
    assert (raised.value.kind, raised.value.retry_after_seconds) == (kind, 17)


def test_ctrip_refuses_inside_a_200() -> None:
    known = WordPair(MappingKind.ERROR_CODE, FailureKind.TRANSIENT, "5001")
    made = codec("ctrip", known)
    for code, kind in (
        (5001, FailureKind.TRANSIENT),
        ("5001", FailureKind.TRANSIENT),
        (4001, FailureKind.REFUSED),
    ):
        with pytest.raises(ChannelCallError, match="no car") as raised:
            made.read(answer({"code": code, "message": "no car"}))
        assert (raised.value.kind, raised.value.vendor_code) == (kind, str(code))
    unreadable: list[Any] = [{}, [], {"code": None}, {"code": True}]
    for content in unreadable:
        with pytest.raises(ChannelCallError) as raised:
            made.read(answer(content))
        assert raised.value.kind is FailureKind.UNREADABLE


@pytest.mark.parametrize("vendor", CONNECTED)
def test_what_is_mapped_to_nothing_is_not_sent(vendor: str) -> None:
    made = codec(vendor)
    fields = {name: getattr(CAR, name) for name in CAR.__slots__}
    for changes, kind in (
        ({"category": "Hovercraft"}, MappingKind.CATEGORY),
        ({"features": ("Ejection Seat",)}, MappingKind.FEATURE),
    ):
        with pytest.raises(UnmappedError) as raised:
            made.static_entry(StaticItem(**{**fields, **changes}))
        assert raised.value.kind is kind
    with pytest.raises(UnmappedError):
        made.price_entry(PriceUpdate("501", "NOWHERE", DAY, Money(1, "CNY")))


@given(st.integers(0, 10**12), st.sampled_from(["CNY", "JPY", "KWD"]))
def test_amounts_are_exact_both_ways(minor: int, currency: str) -> None:
    written = write({"amount": amount(Money(minor, currency))})
    number = json.loads(written, parse_float=Decimal)["amount"]
    assert minor_of(number, currency) == minor
    decimals = {"CNY": 2, "JPY": 0, "KWD": 3}[currency]
    assert Decimal(number) == Decimal(minor).scaleb(-decimals)


@given(st.integers(0, 10**9), st.integers(0, 10_000))
def test_a_share_is_rounded_half_up(minor: int, share: int) -> None:
    found = share_of(Money(minor, "CNY"), share).minor
    assert abs(found * 10_000 - minor * share) * 2 <= 10_000
    assert Decimal(percent_text(share)) * 100 == share


def test_locations_are_theirs() -> None:
    assert codec("ctrip").price_entry(PRICE)["locationId"] == THEIR_LOCATION
