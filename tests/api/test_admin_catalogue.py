"""What administrators make of the catalogue: versions, what is in use and what is sold, holidays
and fares day by day.
"""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from deeptravel.admin.v1 import city_pb2, state_pb2
from deeptravel.ticketing.v1 import offer_pb2
from deeptravel.tickets.v1 import ticket_pb2
from sqlalchemy import select, update

from server.catalog.catalogue import Catalogue, Catalogues
from server.catalog.models import departures
from server.platform.change_feed import ChangeFeed
from server.platform.errors import Reason
from server.stock.ids import departure_id
from server.stock.models import stocks
from tests.support import timetable
from tests.support.admin_client import METHODS, VALID, AdminClient, valid
from tests.support.admin_rows import DEPARTURE, DEPARTURE_DAY
from tests.support.catalogue_calls import FARE, SECOND, STOPS

READ = {"UpdateConfigDraft": "revision"}
"""The field that says what was read, where it is not `version`."""
VERSIONED = [
    name
    for name, method in METHODS.items()
    if READ.get(name, "version") in method.input_type.fields_by_name
    and name not in {"UpdateDistributor", "GetNotificationTemplate"}
]
ADULT = ticket_pb2.CUSTOMER_TYPE_ADULT


async def sell(admin_client: AdminClient, departure: int, *, sold: int = 1) -> None:
    async with admin_client.node.db.transaction() as tx:
        this = stocks.c.departure_id == departure
        await tx.execute(update(stocks).where(this).values(sold=sold))


async def catalogue(admin_client: AdminClient) -> Catalogue:
    db = admin_client.node.db
    return await Catalogues(ChangeFeed(db), db).get()


ENDING = {"EndChannelListing", "RemoveChannelWord"}
"""What they end is not there any more."""


@pytest.mark.parametrize("method", VERSIONED)
async def test_a_stale_version_is_refused_and_changes_nothing(
    admin_client: AdminClient, method: str
) -> None:
    """Of two who read the same and change it at once, one has to read again. Seen red with
    `require_version` left out of each row: the change was made; and with the record read without
    its lock: most were changed twice.
    """
    fields = await valid(admin_client, method)
    read = READ.get(method, "version")
    refused = await admin_client.refused(method, **fields, **{read: 77})
    assert refused.reason == Reason.VERSION_MISMATCH
    now = {read: int(refused.metadata["version"])}
    assert refused.metadata.keys() == {"resource", "name", "version"}
    both = await asyncio.gather(*(admin_client.reason(method, **fields, **now) for _ in range(2)))
    late = Reason.NOT_FOUND if method in ENDING else Reason.VERSION_MISMATCH
    assert sorted(both, key=str) == sorted([None, late], key=str)


async def test_what_others_use_is_not_archived(admin_client: AdminClient) -> None:
    refused = await admin_client.refused("ArchiveCity", city_code="SZX")
    assert refused.reason == Reason.IN_USE
    assert refused.metadata == {
        "resource": "city",
        "name": "SZX",
        "used_by_resource": "stop",
        "used_by": "IOQ",
    }
    refused = await admin_client.refused("ArchiveStop", stop_code="IOQ")
    assert (refused.reason, refused.metadata["used_by"]) == (Reason.IN_USE, "11")
    for change in ({"time_zone": "Asia/Macau"}, {"time_zone": "Mars/Base"}):
        mask = {"update_mask": "time_zone"}
        reason = await admin_client.reason("UpdateCity", city_code="HKG", **change, **mask)
        wrong = change["time_zone"] == "Mars/Base"
        assert reason == (Reason.INVALID_FIELD if wrong else Reason.IN_USE)
    await admin_client.do("ArchiveRoute", route_id=11)
    for _ in range(2):
        stop = (await admin_client.do("ArchiveStop", stop_code="IOQ")).stop
        assert (stop.state, stop.version) == (2, 2)
    refused = await admin_client.refused("UnarchiveRoute", route_id=11)
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, ("stops[0].stop_code",))
    fresh = VALID["CreateStop"] | {"city_code": "OLD"}
    assert await admin_client.reason("CreateStop", **fresh) == Reason.ARCHIVED
    renamed = {"stop_code": "IOQ", "display_name_en": "X", "update_mask": "display_name_en"}
    assert await admin_client.reason("UpdateStop", **renamed) == Reason.ARCHIVED


async def test_a_calendar_is_archived_when_no_product_is_of_it(admin_client: AdminClient) -> None:
    """And no product is of an archived one. Seen red with products not looked at, and with a
    product taken back whose calendar is archived.
    """
    mask = {"product_id": 106, "update_mask": "calendar_code"}
    await admin_client.do("UpdateProduct", **mask, calendar_code="CN")
    refused = await admin_client.refused("ArchiveHolidayCalendar", calendar_code="CN")
    assert (refused.reason, refused.metadata) == (
        Reason.IN_USE,
        {
            "resource": "holiday_calendar",
            "name": "CN",
            "used_by_resource": "product",
            "used_by": "106",
        },
    )
    await admin_client.do("ArchiveProduct", product_id=106)
    for _ in range(2):
        await admin_client.do("ArchiveHolidayCalendar", calendar_code="CN")
    for method, fields in (
        ("UpdateHolidayCalendar", {"display_name_en": "X", "update_mask": "display_name_en"}),
        ("AddHolidayYear", {"year": 2027, "source": "G.N. 1"}),
        ("SetHolidays", {"days": VALID["SetHolidays"]["days"]}),
        ("RemoveHoliday", {"day": "2027-12-25"}),
    ):
        assert await admin_client.reason(method, calendar_code="CN", **fields) == Reason.ARCHIVED
    for method, fields in (
        ("UnarchiveProduct", {"product_id": 106}),
        ("CreateProduct", VALID["CreateProduct"] | {"calendar_code": "CN"}),
    ):
        refused = await admin_client.refused(method, **fields)
        assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, ("calendar_code",))
    listed = await admin_client.do("ListHolidayCalendars", state="CATALOGUE_STATE_ARCHIVED")
    assert [each.calendar_code for each in listed.holiday_calendars] == ["CN", "OLD"]
    await admin_client.do("UnarchiveHolidayCalendar", calendar_code="CN")
    await admin_client.do("UnarchiveProduct", product_id=106)


async def test_an_archived_city_is_not_in_the_hot_list(admin_client: AdminClient) -> None:
    await admin_client.do(
        "CreateCity",
        city_code="NEW",
        time_zone="Asia/Macau",
        hot_rank=1,
        display_name_en="New",
        display_name_zh="新",
    )
    assert [city.city_code for city in (await catalogue(admin_client)).hot_cities()] == ["NEW"]
    await admin_client.do("ArchiveCity", city_code="NEW")
    assert (await catalogue(admin_client)).hot_cities() == []
    taken_back = (await admin_client.do("UnarchiveCity", city_code="NEW")).city
    assert taken_back == city_pb2.City(
        city_code="NEW",
        display_name_en="New",
        display_name_zh="新",
        time_zone="Asia/Macau",
        hot_rank=1,
        state=state_pb2.CATALOGUE_STATE_ACTIVE,
        version=3,
    )
    mask = {"update_mask": "hot_rank", "hot_rank": 0}
    assert (await admin_client.do("UpdateCity", city_code="NEW", **mask)).city.hot_rank == 0


async def test_what_is_sold_of_a_route_stays(admin_client: AdminClient) -> None:
    """Seen red with `_refuse_sold` left out: the stops of a sold journey were taken away."""
    later = [STOPS[0], type(STOPS[1])(stop_code="XJA", arrive_minutes=25, depart_minutes=25)]
    new_stops = {"route_id": 11, "stops": later, "update_mask": "stops"}
    other_seats = {"route_id": 11, "fare_classes": [SECOND], "update_mask": "fare_classes"}
    await sell(admin_client, int(DEPARTURE))
    for change, field in ((new_stops, "stops"), (other_seats, "fare_classes")):
        refused = await admin_client.refused("UpdateRoute", **change)
        assert refused.reason == Reason.STOCK_IN_USE, field
        assert refused.metadata == {"held": "0", "sold": "1", "total": "10"}
    await admin_client.do("UpdateRoute", route_id=11, fares=[FARE], update_mask="fares")
    await sell(admin_client, int(DEPARTURE), sold=0)
    # 3 seats are numbered, and the timetable has 10
    refused = await admin_client.refused("UpdateRoute", **other_seats)
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, ("fare_classes",))
    changed = (await admin_client.do("UpdateRoute", **new_stops)).route
    assert [call.arrive_minutes for call in changed.stops] == [0, 25]
    fewer = {"stops": [STOPS[1]], "update_mask": "stops"}
    refused = await admin_client.refused("UpdateRoute", route_id=11, **fewer)
    assert {"stops", "fares[0].origin"} <= set(refused.fields)


async def test_single_fares_are_set_and_removed(admin_client: AdminClient) -> None:
    await admin_client.do("SetRouteFares", route_id=11, fares=[FARE])
    dearer = type(FARE)()
    dearer.CopyFrom(FARE)
    dearer.amount_minor, dearer.day_type = 9999, "weekend"
    route = (await admin_client.do("ChangeRouteFares", route_id=11, fares=[dearer])).route
    assert list(route.fares) == [FARE, dearer]
    listed = await admin_client.do("ListRouteFares", route_id=11, day_type="weekend")
    assert (list(listed.fares), listed.version) == ([dearer], route.version)
    route = (await admin_client.do("ChangeRouteFares", route_id=11, removed_fares=[FARE])).route
    assert list(route.fares) == [dearer]
    refused = await admin_client.refused("ChangeRouteFares", route_id=11, removed_fares=[FARE])
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, ("removed_fares[0]",))


async def test_another_clock_is_for_what_is_not_sold(admin_client: AdminClient) -> None:
    """Seen red with every departure moved: the sold one left at 09:40 too."""
    number = timetable.EARLY
    last = DEPARTURE_DAY + timedelta(days=1)
    more = {"last_date": last.isoformat(), "update_mask": "last_date"}
    await admin_client.do("UpdateTimetable", timetable_id=number, **more)
    await sell(admin_client, int(DEPARTURE))
    clock = {"departure_clock": "09:40", "update_mask": "departure_clock"}
    changed = (await admin_client.do("UpdateTimetable", timetable_id=number, **clock)).timetable
    assert changed.departure_clock == "09:40"
    leaves = []
    for day in (DEPARTURE_DAY, last):
        this = departures.c.departure_id == departure_id(number, day)
        moment = await admin_client.scalar(select(departures.c.departure_time).where(this))
        leaves.append(moment.astimezone(timetable.ZONE).strftime("%H:%M"))
    assert leaves == ["08:00", "09:40"]
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"first_date": "2099-02-30", "update_mask": "first_date"}, "first_date"),
        ({"weekdays": [8], "update_mask": "weekdays"}, "weekdays[0]"),
        ({"departure_clock": "24:00", "update_mask": "departure_clock"}, "departure_clock"),
    ]
    for fields, field in wrong:
        refused = await admin_client.refused("UpdateTimetable", timetable_id=number, **fields)
        assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, (field,))


async def test_promotions_are_changed(admin_client: AdminClient) -> None:
    made = (
        await admin_client.do(
            "CreatePromotion", **VALID["CreatePromotion"], promotion_code="ten-off ", cap=3
        )
    ).promotion
    assert (made.promotion_code, made.capped, made.cap, made.version) == ("TENOFF", True, 3, 1)
    amount = {
        "basis_points_off": 0,
        "amount_off_minor": 500,
        "currency_code": "HKD",
        "product_ids": [106],
        "update_mask": "basis_points_off amount_off_minor currency_code product_ids",
    }
    changed = (await admin_client.do("UpdatePromotion", promotion_id=99, **amount)).promotion
    assert (changed.amount_off_minor, changed.currency_code, changed.version) == (500, "HKD", 2)
    for wrong, field in (
        ({"currency_code": "CNY", "update_mask": "currency_code"}, "product_ids[0]"),
        ({"product_ids": [106, 12345], "update_mask": "product_ids"}, "product_ids[1]"),
        ({"basis_points_off": 5, "update_mask": "basis_points_off"}, "basis_points_off"),
    ):
        refused = await admin_client.refused("UpdatePromotion", promotion_id=99, **wrong)
        assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, (field,))
    taken = VALID["CreatePromotion"] | {"promotion_id": 98, "promotion_code": "ＴＥＮ ＯＦＦ"}
    assert await admin_client.reason("CreatePromotion", **taken) == Reason.ALREADY_EXISTS
    assert await admin_client.reason("SetPromotionCap", promotion_id=98, cap=1) == Reason.NOT_FOUND
    await admin_client.do("ArchivePromotion", promotion_id=99)
    assert (await catalogue(admin_client)).promotion("TENOFF") is None
    await admin_client.do("UnarchivePromotion", promotion_id=99)
    assert (await catalogue(admin_client)).promotion("TENOFF")


async def test_a_product_is_made_of_templates(admin_client: AdminClient) -> None:
    new = VALID["CreateProduct"] | {"entitlements": [], "product_id": 998}
    refused = await admin_client.refused("CreateProduct", **new)
    assert refused.fields == ("entitlements",)
    by_template = {"entitlement_template_codes": ["FERRY"]}
    made = (await admin_client.do("CreateProduct", **new, **by_template)).product
    assert [each.function_code for each in made.entitlements] == ["ferry"]
    gift = VALID["CreateEntitlementTemplate"] | {"template_code": "GIFT"}
    await admin_client.do("CreateEntitlementTemplate", **gift)
    change = {"entitlement_template_codes": ["FERRY", "GIFT"]}
    mask = {"update_mask": "entitlement_template_codes"}
    made = (await admin_client.do("UpdateProduct", product_id=106, **change, **mask)).product
    assert [each.function_code for each in made.entitlements] == ["ferry", "gift"]
    await admin_client.do("UpdateEntitlementTemplate", **VALID["UpdateEntitlementTemplate"])
    kept = (await admin_client.do("GetProduct", product_id=106)).product
    assert kept.entitlements == made.entitlements
    for code, reason in (("OLD", Reason.ARCHIVED), ("NONE", Reason.NOT_FOUND)):
        change = {"entitlement_template_codes": [code]}
        assert (
            await admin_client.reason("UpdateProduct", product_id=106, **change, **mask) == reason
        )


async def test_fares_day_by_day_are_provisional_beyond_the_calendar(
    admin_client: AdminClient,
) -> None:
    """Known until the end of 2027, which AddHolidayYear moves; and in search, quote and order the
    same: tests/search/test_offers.py.
    """
    asked = {"product_id": 106, "customer_type": ADULT, "since": "2027-12-24"}
    found = await admin_client.do("ListFareCalendar", **asked, until="2028-01-02")
    assert [(each.day[5:], each.day_type, each.provisional) for each in found.days] == [
        ("12-24", "weekday", False),
        ("12-25", "holiday", False),
        ("12-26", "weekend", False),
        *[(f"12-{day}", "weekday", False) for day in range(27, 32)],
        ("01-01", "weekend", True),
        ("01-02", "weekend", True),
    ]
    assert {each.amount_minor for each in found.days} == {28000}
    year = {"calendar_code": "HK", "year": 2028, "source": "G.N. 1 of 2027"}
    new_year = {
        "day": "2028-01-01",
        "day_type": "holiday",
        "display_name_en": "New Year",
        "display_name_zh": "元旦",
    }
    refused = await admin_client.refused("AddHolidayYear", **year | {"year": 2030})
    assert refused.fields == ("year",)
    refused = await admin_client.refused(
        "AddHolidayYear", **year, days=[new_year, new_year | {"day": "2029-01-01"}]
    )
    assert refused.fields == ("days[1].day",)
    for days in ([new_year], [new_year, new_year | {"day": "2028-01-03"}], [new_year]):
        made = (await admin_client.do("AddHolidayYear", **year, days=days)).holiday_calendar
        assert (made.known_until, len(made.years)) == ("2028-12-31", 3)
    found = await admin_client.do("ListFareCalendar", **asked, until="2028-01-03")
    last = [(each.day_type, each.provisional) for each in found.days][-3:]
    assert last == [("holiday", False), ("weekend", False), ("weekday", False)]
    refused = await admin_client.refused("ListFareCalendar", **asked, until="2029-12-24")
    assert refused.fields == ("until",)
    unknown = VALID["CreateProduct"] | {"calendar_code": "XX"}
    refused = await admin_client.refused("CreateProduct", **unknown)
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, ("calendar_code",))


async def test_a_day_is_set_otherwise_and_back(admin_client: AdminClient) -> None:
    """Seen red: a day that was there already was a fault of the server, as its names could not be
    written into the audit trail.
    """
    day = VALID["SetHolidays"]["days"][0]
    working = type(day)()
    working.CopyFrom(day)
    working.day_type = "weekday"
    for wanted in (day, working, day):
        await admin_client.do("SetHolidays", calendar_code="HK", days=[wanted])
        found = await admin_client.do("ListHolidays", calendar_code="HK", since="2027-12-24")
        assert found.days[0].day_type == wanted.day_type
    await admin_client.do("RemoveHoliday", calendar_code="HK", day=day.day)
    found = await admin_client.do("ListHolidays", calendar_code="HK", since="2027-12-24")
    assert [each.day for each in found.days] == ["2027-12-25"]


async def test_blackout_dates(admin_client: AdminClient) -> None:
    add = {"product_id": 106, "blackout_dates": ["2027-03-01", "2026-12-25"]}
    for _ in range(2):
        product = (await admin_client.do("AddBlackoutDates", **add)).product
        assert list(product.blackout_dates) == ["2026-02-17", "2026-12-25", "2027-03-01"]
        assert product.version == 2
    listed = await admin_client.do("ListBlackoutDates", product_id=106, since="2026-12-25")
    assert list(listed.blackout_dates) == ["2026-12-25", "2027-03-01"]
    product = (await admin_client.do("RemoveBlackoutDates", **add)).product
    assert list(product.blackout_dates) == ["2026-02-17"]
    wrong = {"product_id": 106, "blackout_dates": ["2027-02-29"]}
    refused = await admin_client.refused("AddBlackoutDates", **wrong)
    assert refused.fields == ("blackout_dates[0]",)


async def test_a_route_is_read_as_it_was_made(admin_client: AdminClient) -> None:
    made = (await admin_client.do("CreateRoute", **VALID["CreateRoute"])).route
    assert (list(made.stops), list(made.fare_classes), list(made.fares)) == (
        STOPS,
        [SECOND],
        [FARE],
    )
    assert (await admin_client.do("GetRoute", route_id=99)).route == made
    package = VALID["CreateRoute"] | {"route_id": 98, "kind": offer_pb2.OFFER_KIND_PACKAGE}
    refused = await admin_client.refused("CreateRoute", **package)
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, ("kind",))
    new = (await admin_client.do("CreateTimetable", **VALID["CreateTimetable"])).timetable
    assert (new.service_number, list(new.weekdays)) == ("G5001", [6, 7])
