"""Offers, made from a catalogue without a database: their times, their days, and what a snapshot
keeps of them.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import orjson
import pytest
from deeptravel.ticketing.v1 import offer_pb2

from server.api.ticketing.offers import UNAVAILABLE_REASONS, search_response
from server.catalog import pricing
from server.catalog.catalogue import PACKAGE_SALE_DAYS, Catalogue
from server.catalog.offers import Offer
from server.catalog.rules import VALID_AFTER_ARRIVAL
from server.search.day_offers import Day, calendar_of
from server.search.listing import Listed
from server.search.search import Found
from server.stock.ids import EPOCH, departure_id, departure_stock_id, stock_id

DAY = date(2026, 12, 24)
NIGHT, MORNING = 7, 8
"""Timetables: a train at 23:40, whose second stop is on the next day, and one at 09:00."""


def seconds(day: date, clock: time) -> int:
    return int(datetime.combine(day, clock, UTC).timestamp()) - 8 * 3600


def facts(**changes: Any) -> dict[str, list[tuple[Any, ...]]]:
    ride = {
        "function_code": "boarding",
        "display_name_en": "Boarding",
        "display_name_zh": "乘车",
        "total_uses": 1,
        "use_mode": "ONCE_PER_QR",
        "guard_seconds": 0,
    }
    fares = [
        {"customer_type": "ADULT", "day_type": "weekday", "amount_minor": 100},
        {"customer_type": "ADULT", "day_type": "holiday", "amount_minor": 150},
    ]
    tail: tuple[Any, ...] = ([{"min_party": 2, "percent_off": 10}], {"refund_tiers": []}, 9)
    product = ("HKD", fares, [ride], *tail)
    legs = [("A", "B"), ("A", "C"), ("B", "C")]
    days = [(DAY + timedelta(days=each)) for each in range(3)]
    found: dict[str, Any] = {
        "cities": [
            ("AAA", "A", "甲", "Asia/Shanghai", None),
            ("BBB", "B", "乙", "Asia/Hong_Kong", 1),
        ],
        "stops": [("A", "AAA", "A", "甲"), ("B", "AAA", "B", "甲二"), ("C", "BBB", "C", "乙")],
        "products": [
            (
                1,
                "TRANSPORT",
                "Train",
                "火车",
                *product,
                None,
                "HK",
                1,
                [DAY + timedelta(days=2)],
                90,
                ["PET"],
                [{"customer_type": "CHILD", "min_age": 0, "max_age": 11}],
            ),
            (2, "PACKAGE", "Plan", "套票", *product, "BBB", "HK", 3, [], 120, [], []),
        ],
        "routes": [
            (
                10,
                1,
                "TRAIN",
                [
                    {"stop_code": code, "arrive_minutes": minutes, "depart_minutes": minutes}
                    for code, minutes in (("A", 0), ("B", 30), ("C", 60))
                ],
                [
                    {
                        "class_code": "SECOND",
                        "class_index": 3,
                        "display_name_en": "Second",
                        "display_name_zh": "二等",
                        "seat_map": {"rows": 2, "columns": "AB"},
                    }
                ],
                [
                    fare | {"class_code": "SECOND", "origin": origin, "destination": destination}
                    for fare in fares
                    for origin, destination in legs
                ],
            )
        ],
        "timetables": [
            (
                *(number, 10, f"G{number}", clock, 127, DAY, DAY + timedelta(days=2)),
                *(["SECOND"], 10, 30, [], [], None),
            )
            for number, clock in ((NIGHT, time(23, 40)), (MORNING, time(9)))
        ],
        "departures": [
            (
                number,
                [(day - EPOCH).days for day in days],
                [seconds(day, clock) for day in days],
                [False, False, False],
            )
            for number, clock in ((NIGHT, time(23, 40)), (MORNING, time(9)))
        ],
        "stocks": [
            (stock_id(2, 0), 90),
            (departure_stock_id(departure_id(MORNING, DAY), 3, 0), 120),
        ],
        "calendars": [("HK", DAY + timedelta(days=1))],
        "holidays": [("HK", DAY + timedelta(days=1), "holiday", "Christmas", "圣诞节")],
        "promotions": [],
        **{f"rental_{each}": [] for each in ("locations", "extras", "fleets")},
        "car_categories": [],
    }
    return found | changes


def made(**changes: Any) -> Catalogue:
    return Catalogue(facts(**changes))


def offer(offer_id: str) -> Offer:
    found = made().offer(offer_id)
    assert found
    return found


def test_a_departure_is_offered_on_the_day_it_calls_at_the_stop() -> None:
    catalogue = made()
    night, morning = departure_id(NIGHT, DAY), departure_id(MORNING, DAY)
    next_morning = departure_id(MORNING, DAY + timedelta(days=1))
    next_night = departure_id(NIGHT, DAY + timedelta(days=1))
    found = catalogue.offer_ids("AAA", "BBB", DAY + timedelta(days=1))
    assert found == [
        f"TR-{next_night}-3-0-2",
        f"TR-{next_morning}-3-0-2",
        f"TR-{night}-3-1-2",  # boards behind midnight
        f"TR-{next_morning}-3-1-2",
        "PK-2-20261225",
    ]
    late = offer(f"TR-{night}-3-1-2")
    assert late.journey
    assert late.journey.departure_time == datetime(2026, 12, 24, 16, 10, tzinfo=UTC)
    assert late.day_type == "holiday"
    assert late.valid_from_time == datetime(2026, 12, 24, 16, tzinfo=UTC)
    assert late.sale_from_time == datetime(2026, 12, 14, 16, tzinfo=UTC)
    first = catalogue.offer_ids("AAA", "BBB", DAY)
    assert f"TR-{morning}-3-1-2" in first
    assert f"TR-{night}-3-1-2" not in first
    assert catalogue.offer_ids("BBB", "AAA", DAY) == []


def test_the_times_of_a_departure() -> None:
    found = offer(f"TR-{departure_id(MORNING, DAY)}-3-0-2")
    departs = datetime(2026, 12, 24, 1, tzinfo=UTC)
    assert found.journey
    assert (found.reference_time, found.journey.departure_time) == (departs, departs)
    assert found.valid_until_time == departs + timedelta(minutes=60) + VALID_AFTER_ARRIVAL
    assert found.sale_until_time == departs - timedelta(minutes=30)
    assert found.hold_seconds == 120
    assert found.documents_required
    assert found.seat_map is not None
    assert found.seat_map.size == 4
    moments = {
        found.sale_from_time - timedelta(seconds=1): "NOT_YET_ON_SALE",
        found.sale_from_time: "",
        found.sale_until_time - timedelta(seconds=1): "",
        found.sale_until_time: "SALE_CLOSED",
    }
    assert {moment: found.unavailable(moment) for moment in moments} == moments


def test_the_times_of_a_package() -> None:
    found = offer("PK-2-20261224")
    start = datetime(2026, 12, 23, 16, tzinfo=UTC)
    assert (found.reference_time, found.valid_from_time) == (start, start)
    assert found.valid_until_time == start + timedelta(days=4)
    assert found.sale_from_time == start - timedelta(days=PACKAGE_SALE_DAYS)
    assert found.sale_until_time == start + timedelta(days=1)
    assert (found.hold_seconds, found.journey, found.documents_required) == (90, None, False)
    assert found.stock_id == stock_id(2, 0)


def test_static_faults() -> None:
    now = datetime(2026, 12, 20, tzinfo=UTC)
    black = offer(f"TR-{departure_id(MORNING, DAY + timedelta(days=2))}-3-0-2")
    assert (black.static_fault, black.unavailable(now)) == ("BLACKOUT", "BLACKOUT")
    rows = [(*row[:3], [True, False, False]) for row in facts()["departures"]]
    cancelled = made(departures=rows).offer(f"TR-{departure_id(MORNING, DAY)}-3-0-2")
    assert cancelled
    assert cancelled.unavailable(now) == "CANCELLED"
    (route,) = facts()["routes"]
    free = made(routes=[(*route[:-1], [])])
    unpriced = free.offer(f"TR-{departure_id(MORNING, DAY)}-3-0-2")
    assert unpriced
    assert unpriced.static_fault == "NO_FARE"
    assert free.offer_ids("AAA", "BBB", DAY) == ["PK-2-20261224"]


@pytest.mark.parametrize(
    "offer_id",
    [
        "",
        "TR",
        "PK-2",
        "PK-1-20261224",
        "PK-3-20261224",
        "PK-2-20260230",
        "PK-2-19991231",
        "PK-2-99991231",
        "PK-02-20261224",
        "PK-²-20261224",
        "TR-1-3-0-2",
        f"TR-{departure_id(MORNING, DAY)}-0-0-2",
        f"TR-{departure_id(MORNING, DAY)}-3-2-2",
        f"TR-{departure_id(MORNING, DAY)}-3-0-3",
        f"TR-{departure_id(MORNING, DAY)}-3-00-2",
        f"TR-{departure_id(MORNING, DAY - timedelta(days=1))}-3-0-2",
        f"XX-{departure_id(MORNING, DAY)}-3-0-2",
        "TR-" + "9" * 5000 + "-3-0-2",
    ],
)
def test_no_offer(offer_id: str) -> None:
    assert made().offer(offer_id) is None


def test_a_snapshot_shows_the_offer_as_it_was() -> None:
    changed = made(holidays=[]).offer("PK-2-20261225")
    assert changed
    assert changed.snapshot_id != offer("PK-2-20261225").snapshot_id
    for offer_id in (f"TR-{departure_id(NIGHT, DAY)}-3-1-2", "PK-2-20261225"):
        found = offer(offer_id)
        stored = orjson.loads(orjson.dumps(found.snapshot))
        assert Offer.from_snapshot(offer_id, found.snapshot_id, stored) == found
        names = {"kind", "fares", "entitlements", "validity_days", "policy", "tiers"}
        assert names | {"boarding_minutes", "passenger_rules"} <= set(stored)
        again = made().offer(offer_id)
        assert again
        assert again.snapshot_id == found.snapshot_id


def test_the_same_facts_have_the_same_edition() -> None:
    assert made().edition == made().edition
    assert made(holidays=[]).edition != made().edition


def test_a_price_is_of_the_offers_fares_day_and_tiers() -> None:
    catalogue = made()
    found = catalogue.offer("PK-2-20261225")
    assert found
    now = datetime(2026, 12, 20, tzinfo=UTC)
    assert catalogue.price(found, ["ADULT"] * 2, [], now).total_minor == 270
    with pytest.raises(pricing.NoFare):
        catalogue.price(found, ["PET"], [], now)


def test_sale_of_what_is_not_made_yet() -> None:
    catalogue = made(departures=[])
    begin = catalogue.sale_from("AAA", "BBB", DAY)
    assert begin == datetime(2026, 12, 13, 16, tzinfo=UTC)
    assert catalogue.sale_from("AAA", "BBB", DAY + timedelta(days=3)) is not None  # the night train
    assert catalogue.sale_from("AAA", "BBB", DAY + timedelta(days=4)) is None
    assert catalogue.sale_from("BBB", "AAA", DAY) is None


def test_a_day_is_the_same_behind_the_cache() -> None:
    day = Day.of(made(), ("AAA", "BBB"), DAY, lambda found: found.offer_id.encode() * 3)
    assert len(day.cards) == 4
    assert [card.clock for card in day.cards] == ["23:40", "09:00", "09:30", ""]
    assert [card.minutes for card in day.cards] == [60, 60, 30, 0]
    assert Day.parse(day.dump()) == day
    nothing = Day.of(made(departures=[], stocks=[]), ("BBB", "AAA"), DAY, lambda _: b"")
    assert Day.parse(nothing.dump()) == nothing
    calendar = calendar_of(made(), "HK", 2026)
    assert calendar == {"2026-12-25": ["holiday", "Christmas", "圣诞节"]}


def test_an_answer_is_put_together_as_protobuf_would() -> None:
    """Of sizes whose length takes one, two and three bytes."""
    price = offer_pb2.Offer(price=offer_pb2.Price(total_minor=5, currency_code="HKD"))
    names, why = ["", "N" * 100, "N" * 300, "N" * 20_000], "SOLD_OUT"
    listed = [
        Listed(
            offer_pb2.Offer(offer_id=name).SerializeToString(), price.SerializeToString(), left, why
        )
        for left, name in enumerate(names)
    ]
    expected = [
        offer_pb2.Offer(
            offer_id=name,
            price=price.price,
            seats_left=left,
            unavailable_reason=UNAVAILABLE_REASONS[why],
        )
        for left, name in enumerate(names)
    ]
    assert list(search_response(Found(listed, [], None)).offers) == expected
