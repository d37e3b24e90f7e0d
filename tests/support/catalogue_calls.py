"""A valid request for each method of AdminService about cities, stops, routes, timetables,
templates, promotions, holidays and fares, and what is set up for them.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from deeptravel.admin.v1 import (
    car_category_pb2,
    catalog_pb2,
    holiday_pb2,
    rental_extra_pb2,
    rental_location_pb2,
    timetable_pb2,
)
from deeptravel.ticketing.v1 import offer_pb2
from deeptravel.tickets.v1 import ticket_pb2
from google.api import httpbody_pb2
from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog import cities, holidays, products, promotions, routes, templates, timetables
from server.catalog.cities import City, Stop
from server.catalog.holidays import Holiday, HolidayCalendar, HolidayYear, add_year
from server.catalog.promotions import PromotionRecord
from server.catalog.templates import EntitlementTemplate
from tests.support import gtfs_feeds, rentals, timetable

NAMES = {"display_name_en": "New", "display_name_zh": "新"}
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
RENAMED = {"display_name_en": "Renamed", "update_mask": "display_name_en"}
FARE = catalog_pb2.RouteFare(
    class_code="SECOND",
    origin_stop_code="IOQ",
    destination_stop_code="XJA",
    customer_type=ticket_pb2.CUSTOMER_TYPE_CHILD,
    day_type="weekday",
    amount_minor=4500,
)
STOPS = [
    catalog_pb2.RouteStop(stop_code="IOQ"),
    catalog_pb2.RouteStop(stop_code="XJA", arrive_minutes=20, depart_minutes=20),
]
SECOND = catalog_pb2.RouteClass(
    class_code="SECOND",
    display_name_en="Second",
    display_name_zh="二等座",
    seat_map=catalog_pb2.RouteSeatMap(rows=[1, 2], columns="AB D", missing_seats=["2D"]),
)
EVE = holiday_pb2.HolidayDay(
    day="2027-12-24", day_type="holiday", display_name_en="Eve", display_name_zh="前夕"
)
PROMOTION: dict[str, Any] = {
    "basis_points_off": 1000,
    "begin_time": BEGIN,
    "end_time": BEGIN + timedelta(days=730),
    **NAMES,
}


CAR: dict[str, Any] = {
    "category_code": "ECONOMY",
    "make": "Toyota",
    "model": "Yaris",
    "model_year": 2025,
    "seats": 5,
    "doors": 5,
    "transmission": car_category_pb2.TRANSMISSION_AUTOMATIC,
    "fuel_type": car_category_pb2.FUEL_TYPE_GASOLINE,
    "min_driver_age": 21,
}


VALID: dict[str, dict[str, Any]] = {
    "CreateCity": {"city_code": "NEW", "time_zone": "Asia/Macau", **NAMES},
    "GetCity": {"city_code": "SZX"},
    "UpdateCity": {"city_code": "SZX", **RENAMED},
    "ArchiveCity": {"city_code": "MFM"},
    "UnarchiveCity": {"city_code": "OLD"},
    "CreateStop": {"stop_code": "NEW", "city_code": "HKG", **NAMES},
    "GetStop": {"stop_code": "XJA"},
    "UpdateStop": {"stop_code": "XJA", **RENAMED},
    "ArchiveStop": {"stop_code": "TAIPA"},
    "UnarchiveStop": {"stop_code": "OLD"},
    "CreateRoute": {
        "route_id": 99,
        "product_id": timetable.TRAIN,
        "kind": offer_pb2.OFFER_KIND_TRAIN,
        "stops": STOPS,
        "fare_classes": [SECOND],
        "fares": [FARE],
    },
    "GetRoute": {"route_id": 11},
    "UpdateRoute": {
        "route_id": 11,
        "kind": offer_pb2.OFFER_KIND_BUS,
        "update_mask": "kind",
    },
    "ArchiveRoute": {"route_id": 11},
    "UnarchiveRoute": {"route_id": 20},
    "CreateTimetable": {
        "timetable_id": 999,
        "route_id": 11,
        "service_number": " g５-00１",
        "departure_clock": "23:10",
        "weekdays": [6, 7],
        "first_date": "2027-01-01",
        "last_date": "2027-06-30",
        "seats": [timetable_pb2.TimetableSeats(class_code="SECOND", total=4)],
        "sale_days": 30,
        "closing_minutes": 30,
    },
    "GetTimetable": {"timetable_id": timetable.EARLY},
    "UpdateTimetable": {
        "timetable_id": timetable.EARLY,
        "closing_minutes": 5,
        "update_mask": "closing_minutes",
    },
    "ArchiveTimetable": {"timetable_id": timetable.EARLY},
    "UnarchiveTimetable": {"timetable_id": 998},
    "CreateEntitlementTemplate": {
        "template_code": "NEW",
        "function_code": "gift",
        "total_uses": 1,
        **NAMES,
    },
    "GetEntitlementTemplate": {"template_code": "FERRY"},
    "UpdateEntitlementTemplate": {"template_code": "FERRY", **RENAMED},
    "ArchiveEntitlementTemplate": {"template_code": "FERRY"},
    "UnarchiveEntitlementTemplate": {"template_code": "OLD"},
    "CreatePromotion": {"promotion_id": 99, **PROMOTION},
    "GetPromotion": {"promotion_id": 9},
    "UpdatePromotion": {"promotion_id": 9, **RENAMED},
    "SetPromotionCap": {"promotion_id": 9, "cap": 7},
    "ArchivePromotion": {"promotion_id": 9},
    "UnarchivePromotion": {"promotion_id": 7},
    "CreateCarCategory": {"product_id": 1308, **CAR},
    "GetCarCategory": {"product_id": 1301},
    "UpdateCarCategory": {"product_id": 1301, "grace_minutes": 30, "update_mask": "grace_minutes"},
    "ArchiveCarCategory": {"product_id": 1301},
    "UnarchiveCarCategory": {"product_id": 1306},
    "CreateRentalLocation": {
        "location_id": 9,
        "city_code": "HKG",
        "opening_hours": [
            rental_location_pb2.OpeningHours(weekday=1, opens="07:00", closes="24:00")
        ],
        "address_en": "1 Road",
        "address_zh": "路 1 号",
        **NAMES,
    },
    "GetRentalLocation": {"location_id": 10},
    "UpdateRentalLocation": {"location_id": 10, **RENAMED},
    "ArchiveRentalLocation": {"location_id": 20},
    "UnarchiveRentalLocation": {"location_id": 30},
    "CreateRentalExtra": {
        "extra_id": 9,
        "extra_code": "snow_chains",
        "charge_basis": rental_extra_pb2.CHARGE_BASIS_PER_RENTAL,
        "amount_minor": 9000,
        "currency_code": "HKD",
        "max_quantity": 1,
        **NAMES,
    },
    "GetRentalExtra": {"extra_id": 10},
    "UpdateRentalExtra": {"extra_id": 10, **RENAMED},
    "ArchiveRentalExtra": {"extra_id": 10},
    "UnarchiveRentalExtra": {"extra_id": 20},
    "CreateRentalFleet": {
        "fleet_id": 39,
        "product_id": 1301,
        "location_id": 20,
        "cars": 2,
        "first_date": "2027-01-01",
        "last_date": "2027-12-31",
        "sale_days": 30,
        "closing_minutes": 60,
    },
    "GetRentalFleet": {"fleet_id": 31},
    "UpdateRentalFleet": {"fleet_id": 31, "sale_days": 20, "update_mask": "sale_days"},
    "ArchiveRentalFleet": {"fleet_id": 31},
    "UnarchiveRentalFleet": {"fleet_id": 33},
    "SetRentalStock": {
        "fleet_id": 31,
        "first_date": "2027-05-01",
        "last_date": "2027-05-03",
        "total": 4,
    },
    "CreateHolidayCalendar": {"calendar_code": "NEW", **NAMES},
    "GetHolidayCalendar": {"calendar_code": "HK"},
    "UpdateHolidayCalendar": {"calendar_code": "HK", **RENAMED},
    "ArchiveHolidayCalendar": {"calendar_code": "MO"},
    "UnarchiveHolidayCalendar": {"calendar_code": "OLD"},
    "AddHolidayYear": {"calendar_code": "HK", "year": 2028, "source": "G.N. 1 of 2027"},
    "ListHolidays": {"calendar_code": "HK"},
    "SetHolidays": {"calendar_code": "HK", "days": [EVE]},
    "RemoveHoliday": {"calendar_code": "HK", "day": "2027-12-25"},
    "ListRouteFares": {"route_id": 11},
    "ChangeRouteFares": {"route_id": 11, "fares": [FARE]},
    "ListFareCalendar": {
        "product_id": 106,
        "customer_type": ticket_pb2.CUSTOMER_TYPE_ADULT,
        "since": "2027-12-20",
        "until": "2028-01-10",
    },
    "ListBlackoutDates": {"product_id": 106},
    "AddBlackoutDates": {"product_id": 106, "blackout_dates": ["2027-12-24"]},
    "RemoveBlackoutDates": {"product_id": 106, "blackout_dates": ["2026-12-25"]},
    "UnarchiveProduct": {"product_id": 950},
    "ImportCatalogue": {
        "file": httpbody_pb2.HttpBody(
            data=b"cities:\n- {city_code: NEW, display_name_en: New, display_name_zh: \xe6\x96\xb0,"
            b" time_zone: Asia/Macau}\n"
        )
    },
    "ExportCatalogue": {},
    "ImportGtfs": {
        "archive": gtfs_feeds.zipped(
            gtfs_feeds.files(
                gtfs_feeds.FERRY_FEED, day0="20270104", day1="20270105", day2="20270106"
            )
        ),
        "feed_name": "star",
        "product_id": timetable.TRAIN,
        "seats": [timetable_pb2.TimetableSeats(class_code="ECONOMY", total=100)],
        "city_code": "HKG",
    },
    "ExportGtfs": {
        "agency_name": "Star",
        "agency_url": "https://ferry.example",
        "route_ids": [11],
    },
}
"""A request that succeeds where `seed_catalogue` was called, by method."""
RESOURCES = {
    "City": "city",
    "Stop": "stop",
    "Route": "route",
    "Timetable": "timetable",
    "EntitlementTemplate": "entitlement_template",
    "Promotion": "promotion",
    "HolidayCalendar": "holiday_calendar",
    "CarCategory": "car_category",
    "RentalLocation": "rental_location",
    "RentalExtra": "rental_extra",
    "RentalFleet": "rental_fleet",
}
NAMED = {
    f"{verb}{noun}": resource
    for noun, resource in RESOURCES.items()
    for verb in ("Get", "Update", "Archive", "Unarchive")
    if f"{verb}{noun}" in VALID
} | {
    "SetPromotionCap": "promotion",
    "AddHolidayYear": "holiday_calendar",
    "ListHolidays": "holiday_calendar",
    "SetHolidays": "holiday_calendar",
    "ListRouteFares": "route",
    "ChangeRouteFares": "route",
    "ListFareCalendar": "product",
    "ListBlackoutDates": "product",
    "AddBlackoutDates": "product",
    "RemoveBlackoutDates": "product",
    "UnarchiveProduct": "product",
    "SetRentalStock": "rental_fleet",
}
"""What the first field of a method's request names."""


async def seed_catalogue(tx: AsyncConnection, **by: Any) -> None:
    """Sets up what VALID names, beside route 11 and its timetable EARLY."""
    for code in ("MFM", "OLD"):
        await cities.create_city(tx, City(code, code, code, "Asia/Macau"), **by)
    await cities.archive_city(tx, "OLD", **by)
    for code in ("TAIPA", "OLD"):
        await cities.create_stop(tx, Stop(code, "HKG", code, code), **by)
    await cities.archive_stop(tx, "OLD", **by)
    calls = [timetable.call("IOQ", 0, 0), timetable.call("XJA", 20, 20)]
    classes = [timetable.fare_class("SECOND", 0)]
    other = routes.Route(20, timetable.TRAIN, "TRAIN", calls, classes, [])
    await routes.create_route(tx, other, **by)
    await routes.archive_route(tx, 20, **by)
    runs = timetable.timetable(998, 11, "09:00", {"SECOND": 3}, first_date=date(2027, 5, 1))
    await timetables.create_timetable(tx, runs, **by)
    await timetables.archive_timetable(tx, 998, **by)
    for code in ("FERRY", "OLD"):
        new = EntitlementTemplate(code, "ferry", code, code, 1, "ONCE_PER_QR", 60, shared=False)
        await templates.create_template(tx, new, **by)
    await templates.archive_template(tx, "OLD", **by)
    for number in (7, 9):
        window = BEGIN, BEGIN + timedelta(days=730)
        offer = PromotionRecord(
            number, None, "Ten", "九折", 1000, 0, *window, 1, [], stackable=True, capped=True
        )
        await promotions.create_promotion(tx, offer, cap=5, **by)
    await promotions.archive_promotion(tx, 7, **by)
    for year in (2026, 2027):
        known = HolidayYear("HK", year, f"G.N. 1 of {year - 1}")
        christmas = Holiday("HK", date(year, 12, 25), "holiday", "Christmas", "圣诞节")
        await add_year(tx, known, [christmas], **by)
    await holidays.create_calendar(tx, HolidayCalendar("OLD", "Old", "旧"), **by)
    await holidays.archive_calendar(tx, "OLD", **by)
    await products.create_product(tx, timetable.product(950, "PACKAGE"), **by)
    await products.archive_product(tx, 950, **by)
    await rentals.seed_rentals(tx, **by)
