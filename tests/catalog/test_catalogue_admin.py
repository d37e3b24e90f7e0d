"""What administrators make of the catalogue: checked, audited, and departures made from
timetables, once.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from deeptravel.admin.v1 import catalog_pb2, product_pb2
from deeptravel.tickets.v1 import ticket_pb2
from sqlalchemy import func, select, update

from server.audit.models import audit_events
from server.catalog import allotments, limits, products, promotions, transport
from server.catalog.catalogue import Catalogue, Catalogues
from server.catalog.cities import City, Stop, create_cities, create_stops
from server.catalog.departures import set_departure_state
from server.catalog.holidays import Holiday, remove_holiday, set_holidays
from server.catalog.models import departures, holidays
from server.catalog.policy import Policy
from server.catalog.products import PRODUCTS
from server.catalog.rental_rules import RentalKey
from server.catalog.routes import Route, create_route, set_fares
from server.catalog.timetables import MARGIN_DAYS, create_timetables, make_departures
from server.platform.change_feed import ChangeFeed, ChangeKind, change_feed, publish
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from server.stock.ids import departure_id, departure_stock_id
from server.stock.models import stocks
from tests.support import timetable as world
from tests.support.admin_client import ROUTE_FARE, VALID, AdminClient
from tests.support.admin_rows import DEPARTURE
from tests.support.rpc_server import refusal
from tests.support.timetable import by, call, fare, fare_class, timetable
from tools.dev import demo_catalog, demo_rentals


@pytest.fixture
async def db(timetable_url: str) -> AsyncIterator[Database]:
    async with world.database(timetable_url) as database:
        yield database


async def do(db: Database, work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    async with db.transaction() as tx:
        return await work(tx, *arguments, **named, **by())


async def faults(
    db: Database, work: Callable[..., Any], *arguments: Any, **named: Any
) -> tuple[str, ...]:
    """The fields that are refused."""
    with pytest.raises(DomainError) as refused:
        await do(db, work, *arguments, **named)
    assert refused.value.reason is Reason.INVALID_FIELD
    return tuple(field for field, _ in refused.value.violations)


async def reason(db: Database, work: Callable[..., Any], *arguments: Any, **named: Any) -> Reason:
    with pytest.raises(DomainError) as refused:
        await do(db, work, *arguments, **named)
    return refused.value.reason


async def scalar(db: Database, query: Any) -> Any:
    async with db.transaction() as tx:
        return await tx.scalar(query)


async def version(db: Database) -> int:
    return int(await scalar(db, select(func.count()).select_from(change_feed)))


ROUTE = Route(
    77,
    world.TRAIN,
    "TRAIN",
    [call("IOQ", 0, 0), call("XJA", 20, 20)],
    [fare_class("SECOND", 0, {"rows": 2, "columns": "AB"})],
    [fare("SECOND", "IOQ", "XJA", "ADULT", 100)],
)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"vehicle": "PLANE"}, "vehicle"),
        ({"product_id": world.PACKAGE}, "product_id"),
        ({"stops": [call("IOQ", 0, 0), call("NONE", 20, 20)], "fares": []}, "stops[1].stop_code"),
        ({"stops": [call("IOQ", 0, 5), call("XJA", 20, 20)]}, "stops[0].depart_minutes"),
        ({"stops": [call("IOQ", 0, 0), call("XJA", 20, 10)]}, "stops[1].depart_minutes"),
        ({"stops": [call("IOQ", 0, 0), call("XJA", 0, 10)]}, "stops[1].arrive_minutes"),
        ({"stops": [call("IOQ", 0, 0)], "fares": []}, "stops"),
        ({"fare_classes": [], "fares": []}, "fare_classes"),
        ({"fare_classes": [fare_class("SECOND", 16)]}, "fare_classes[0].class_index"),
        ({"fare_classes": [fare_class("second", 0)], "fares": []}, "fare_classes[0].class_code"),
        ({"fare_classes": [fare_class("SECOND", 0, {"rows": 0})]}, "fare_classes[0].seat_map"),
        ({"fares": [fare("FIRST", "IOQ", "XJA", "ADULT", 1)]}, "fares[0].class_code"),
        ({"fares": [fare("SECOND", "SW", "XJA", "ADULT", 1)]}, "fares[0].origin"),
        ({"fares": [fare("SECOND", "XJA", "IOQ", "ADULT", 1)]}, "fares[0].destination"),
        ({"fares": [fare("SECOND", "IOQ", "XJA", "DOG", 1)]}, "fares[0].customer_type"),
        ({"fares": [fare("SECOND", "IOQ", "XJA", "ADULT", -1)]}, "fares[0].amount_minor"),
        ({"fares": [*ROUTE.fares, *ROUTE.fares]}, "fares"),
    ],
)
async def test_bad_routes(db: Database, change: dict[str, Any], field: str) -> None:
    assert await faults(db, create_route, replace(ROUTE, **change)) == (field,)


async def test_a_route_is_made_once_and_its_fares_change(db: Database) -> None:
    await do(db, create_route, ROUTE)
    assert await reason(db, create_route, ROUTE) is Reason.ALREADY_EXISTS
    missing = replace(ROUTE, route_id=78, product_id=4711)
    assert await reason(db, create_route, missing) is Reason.NOT_FOUND
    await do(db, set_fares, 77, [])
    bad = [fare("SECOND", "IOQ", "XJA", "ADULT", 1)] * 2
    assert await faults(db, set_fares, 77, bad) == ("fares",)
    assert await reason(db, set_fares, 4711, []) is Reason.NOT_FOUND
    query = select(audit_events.c.action).where(
        audit_events.c.resource == "route", audit_events.c.name == "77"
    )
    async with db.transaction() as tx:
        trail = (await tx.scalars(query.order_by(audit_events.c.occurred_time))).all()
    assert trail == ["create", "update"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"timetable_id": 0}, "timetable_id"),
        ({"timetable_id": 1 << 20}, "timetable_id"),
        ({"weekdays": 0}, "weekdays"),
        ({"weekdays": 128}, "weekdays"),
        ({"last_date": world.today() - timedelta(days=1)}, "last_date"),
        ({"last_date": date(2100, 1, 1)}, "last_date"),
        ({"departure_clock": time(8, 0, 1)}, "departure_clock"),
        ({"sale_days": 366}, "sale_days"),
        ({"closing_minutes": -1}, "closing_minutes"),
        ({"seats": {}}, "seats"),
        ({"seats": {"THIRD": 1}}, "seats[0].class_code"),
        ({"seats": {"SECOND": 101}}, "seats[0].total"),
    ],
)
async def test_bad_timetables(db: Database, change: dict[str, Any], field: str) -> None:
    good = timetable(500, world.TRAIN_ROUTE, "09:00", {"SECOND": 10})
    new = replace(good, **change)
    assert await faults(db, create_timetables, [new]) == (field,)


async def test_departures_are_made_ahead_once(db: Database) -> None:
    per_day = {world.EARLY: 2, world.LATE: 2, world.BOAT: 1}
    rows = select(func.count()).select_from(departures)
    before, then = await scalar(db, rows), await version(db)
    left = datetime.combine(world.today(), time(20), world.ZONE)  # all of today's, by whatever hour
    async with db.transaction() as tx:
        assert await make_departures(tx, left) == 0
    assert (await scalar(db, rows), await version(db)) == (before, then)
    async with db.transaction() as tx:
        made = await make_departures(tx, left + timedelta(days=1))
    assert made == len(per_day) + sum(per_day.values())
    assert await version(db) == then + 1
    last = world.today() + timedelta(days=world.SALE_DAYS + MARGIN_DAYS + 1)
    assert await scalar(db, select(func.max(departures.c.travel_date))) == last
    number = departure_id(world.EARLY, last)
    row = select(departures.c.departure_time).where(departures.c.departure_id == number)
    assert await scalar(db, row) == datetime.combine(last, time(8), world.ZONE)
    seats = select(stocks.c.total).where(stocks.c.stock_id == departure_stock_id(number, 1, 0))
    assert await scalar(db, seats) == 10


async def test_departures_leave_by_our_own_tables_of_time_zones(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by the database's, whose age is another: here ours say of Hong Kong what is true of
    Tokyo.

    Seen red: the database made 08:00 of it, as it thinks of Hong Kong.
    """
    monkeypatch.setattr("server.catalog.timetables.ZoneInfo", lambda _: ZoneInfo("Asia/Tokyo"))
    day = world.today() + timedelta(days=world.SALE_DAYS + MARGIN_DAYS + 1)
    async with db.transaction() as tx:
        noon = datetime.combine(world.today(), time(12), world.ZONE)
        await make_departures(tx, noon + timedelta(days=1))
    row = select(departures.c.departure_time).where(
        departures.c.departure_id == departure_id(world.EARLY, day)
    )
    assert await scalar(db, row) == datetime.combine(day, time(8), ZoneInfo("Asia/Tokyo"))


async def test_a_timetable_runs_on_its_weekdays_within_its_dates(db: Database) -> None:
    first, last = world.today() + timedelta(days=2), world.today() + timedelta(days=12)
    new = timetable(
        500,
        world.FERRY_ROUTE,
        "09:00",
        {"ECONOMY": 5},
        weekdays=0b0100001,
        first_date=first,
        last_date=last,
    )
    await do(db, create_timetables, [new])
    query = select(departures.c.travel_date).where(departures.c.timetable_id == 500)
    async with db.transaction() as tx:
        days = set(await tx.scalars(query))
    span = [first + timedelta(days=each) for each in range(11)]
    assert days == {day for day in span if day.weekday() in (0, 5)}


async def test_departure_state_and_total(db: Database) -> None:
    number = departure_id(world.EARLY, world.tomorrow())
    stock = departure_stock_id(number, 1, 0)
    async with db.transaction() as tx:
        await tx.execute(update(stocks).where(stocks.c.stock_id == stock).values(held=2, sold=3))
    total = transport.set_departure_total
    assert await reason(db, total, number, "FIRST", 4) is Reason.STOCK_IN_USE
    await do(db, total, number, "FIRST", 5)
    stale = reason(db, total, number, "FIRST", 6, was_total=4)
    assert await stale is Reason.VERSION_MISMATCH
    await do(db, total, number, "FIRST", 5, was_total=5)
    assert await scalar(db, select(stocks.c.total).where(stocks.c.stock_id == stock)) == 5
    assert await faults(db, total, number, "SECOND", 101) == ("total",)
    assert await faults(db, total, number, "THIRD", 1) == ("fare_class",)
    assert (
        await reason(db, total, departure_id(999, date(2026, 1, 1)), "FIRST", 1) is Reason.NOT_FOUND
    )
    gone = departure_id(world.EARLY, date(2021, 1, 1))
    assert await reason(db, total, gone, "FIRST", 1) is Reason.NOT_FOUND
    state = set_departure_state
    assert await faults(db, state, number, "LATE") == ("state",)
    assert await reason(db, state, gone, "CANCELLED") is Reason.NOT_FOUND
    then = await version(db)
    await do(db, state, number, "CANCELLED")
    await do(db, state, number, "CANCELLED")
    assert await version(db) == then + 1
    await do(db, transport.set_hold_seconds, stock, 60)
    assert await faults(db, transport.set_hold_seconds, stock, 0) == ("hold_seconds",)
    assert await reason(db, transport.set_hold_seconds, 1, 5) is Reason.NOT_FOUND


async def test_cities_and_stops(db: Database) -> None:
    city = City("MFM", "Macau", "澳门", "Asia/Macau", 3)
    bad = {"city_code": "mfm", "time_zone": "Asia/Nowhere", "hot_rank": 0}
    for field, value in bad.items():
        changed = replace(city, **{field: value})  # type: ignore[arg-type]
        assert await faults(db, create_cities, [changed]) == (field,)
    await do(db, create_cities, [city])
    assert await reason(db, create_cities, [city]) is Reason.ALREADY_EXISTS
    stop = Stop("PIER", "MFM", "Pier", "码头")
    await do(db, create_stops, [stop])
    assert await reason(db, create_stops, [stop]) is Reason.ALREADY_EXISTS
    lost = replace(stop, stop_code="PIER-2", city_code="XXX")
    assert await reason(db, create_stops, [lost]) is Reason.NOT_FOUND
    assert await faults(db, create_stops, [replace(stop, stop_code="?")]) == ("stop_code",)


PROMOTION = promotions.PromotionRecord(
    promotion_id=9,
    code="NINE",
    display_name_en="Nine",
    display_name_zh="九",
    basis_points_off=900,
    amount_off_minor=0,
    begin_time=datetime(2026, 1, 1, tzinfo=UTC),
    end_time=datetime(2036, 1, 1, tzinfo=UTC),
    min_party=1,
    product_ids=[],
    stackable=False,
    capped=True,
)


async def test_promotions_and_their_caps(db: Database) -> None:
    make = promotions.create_promotion
    for change, field in (
        ({"amount_off_minor": 1, "currency_code": "CNY"}, "basis_points_off"),
        ({"currency_code": "CNY"}, "currency_code"),
        ({"basis_points_off": 0, "amount_off_minor": 1}, "currency_code"),
        (
            {"basis_points_off": 0, "amount_off_minor": 1, "currency_code": "yuan"},
            "currency_code",
        ),
        ({"max_per_traveller": 0}, "max_per_traveller"),
        ({"max_per_traveller": 1, "code": None}, "max_per_traveller"),
        ({"basis_points_off": 10_001}, "basis_points_off"),
        ({"end_time": PROMOTION.begin_time}, "end_time"),
        ({"min_party": 0}, "min_party"),
        ({"code": ""}, "code"),
    ):
        assert await faults(db, make, replace(PROMOTION, **change)) == (field,)
    assert await faults(db, make, PROMOTION, cap=-1) == ("cap",)
    await do(db, make, PROMOTION, cap=3)
    same_code = replace(PROMOTION, promotion_id=10)
    assert await reason(db, make, same_code, cap=3) is Reason.ALREADY_EXISTS
    cap = stocks.c.promotion_id == 9
    async with db.transaction() as tx:
        await tx.execute(update(stocks).where(cap).values(sold=2))
    assert await reason(db, promotions.update_promotion, 9, {"cap": 1}) is Reason.STOCK_IN_USE
    await do(db, promotions.update_promotion, 9, {"cap": 2})
    assert await scalar(db, select(stocks.c.total).where(cap)) == 2
    catalogue = await a_catalogue(db)
    assert catalogue.capped == {9}
    assert catalogue.limits == {}
    amount = replace(
        PROMOTION,
        promotion_id=11,
        code="AMOUNT",
        basis_points_off=0,
        amount_off_minor=100,
        currency_code="CNY",
        max_per_traveller=2,
        capped=False,
    )
    await do(db, make, amount)
    catalogue = await a_catalogue(db)
    assert catalogue.capped == {9}
    assert catalogue.limits == {11: 2}
    listed = catalogue.promotion("AMOUNT")
    assert listed
    assert (listed.amount_off_minor, listed.currency_code) == (100, "CNY")
    assert catalogue.promotions(["NINE", "NINE", "OTHER"]) == [catalogue.promotion("NINE")]
    await do(db, promotions.archive_promotion, 9)
    await do(db, promotions.archive_promotion, 9)
    assert (await a_catalogue(db)).promotion("NINE") is None
    assert await reason(db, promotions.archive_promotion, 8) is Reason.NOT_FOUND
    assert await reason(db, promotions.update_promotion, 8, {"cap": 1}) is Reason.NOT_FOUND


async def a_catalogue(db: Database) -> Catalogue:
    return await Catalogues(ChangeFeed(db), db).get()


async def test_holidays(db: Database) -> None:
    day = Holiday("HK", date(2030, 1, 5), "weekday", "Working day", "调休")
    assert await faults(db, set_holidays, [replace(day, day_type="feast")]) == ("day_type",)
    then = await version(db)
    for _ in range(2):
        await do(db, set_holidays, [day])
    assert await version(db) == then + 1
    assert (await a_catalogue(db)).day_type("HK", day.day) == "weekday"
    await do(db, remove_holiday, "HK", day.day)
    assert (await a_catalogue(db)).day_type("HK", day.day) == "weekend"
    assert await reason(db, remove_holiday, "HK", day.day) is Reason.NOT_FOUND


async def test_the_edition_is_of_what_is_sold(db: Database) -> None:
    """Other configuration changes nothing: what was worked out from a catalogue stays good."""
    feed = ChangeFeed(db)
    await feed.poll()
    catalogues = Catalogues(feed, db)
    first = await catalogues.get()
    assert catalogues.peek() is first
    async with db.transaction() as tx:
        await publish(tx, ChangeKind.CATALOGUE)
    await feed.poll()
    assert catalogues.peek() is None
    assert await catalogues.get() is first
    number = departure_id(world.EARLY, world.tomorrow())
    await do(db, set_departure_state, number, "CANCELLED")
    await feed.poll()
    second = await catalogues.get()
    assert second.edition != first.edition
    offer_id = f"TR-{number}-0-1-2"
    assert [getattr(c.offer(offer_id), "static_fault", None) for c in (first, second)] == [
        "",
        "CANCELLED",
    ]


async def test_a_package_is_on_sale_from_its_allotment_on(db: Database) -> None:
    """Of partners' allotments nothing is sold to travellers. Seen red: it was as soon as
    anything else changed.
    """
    await do(db, products.create_product, world.product(399, "PACKAGE", city_code="HKG"))
    feed = ChangeFeed(db)
    await feed.poll()
    catalogues = Catalogues(feed, db)
    first = await catalogues.get()
    wanted = {"product_id": 399, "total": 5}
    await do(db, allotments.create_allotment, channel="DIRECT", **wanted)
    await feed.poll()
    second = await catalogues.get()
    offer_id = f"PK-399-{world.tomorrow():%Y%m%d}"
    assert (first.offer(offer_id) is None, second.offer(offer_id) is None) == (True, False)


async def test_products_carry_what_travellers_need(admin_client: AdminClient) -> None:
    tier = product_pb2.PartyTier(min_party=3, percent_off=5)
    policy = product_pb2.RefundPolicy(
        refund_tiers=[product_pb2.RefundTier(minutes_before=-60, percent=50)], pro_rata=True
    )
    adult = product_pb2.Fare(
        customer_type=ticket_pb2.CUSTOMER_TYPE_ADULT, day_type="weekday", amount_minor=1
    )
    locker = product_pb2.ProductEntitlement(
        function_code="locker",
        display_name_en="Locker",
        display_name_zh="储物柜",
        total_uses=1,
        shared=True,
    )
    new: dict[str, Any] = {
        "product_id": 300,
        "kind": product_pb2.PRODUCT_KIND_PACKAGE,
        "display_name_en": "Family",
        "display_name_zh": "家庭",
        "currency_code": "HKD",
        "fares": [adult],
        "entitlements": [locker],
        "validity_days": 1,
    }
    made = (await admin_client.do("CreateProduct", **new)).product
    assert (made.max_per_traveller, made.calendar_code, made.city_code) == (9, "HK", "")
    assert made.boarding_minutes == 120
    assert made.entitlements[0].shared
    new |= {"product_id": 301, "tiers": [tier], "policy": policy, "max_per_traveller": 4}
    assert (list(made.unaccompanied_types), list(made.age_limits)) == ([], [])
    child, pet = ticket_pb2.CUSTOMER_TYPE_CHILD, ticket_pb2.CUSTOMER_TYPE_PET
    limits = [
        product_pb2.AgeLimit(customer_type=child, min_age=2, max_age=11),
        product_pb2.AgeLimit(customer_type=ticket_pb2.CUSTOMER_TYPE_SENIOR, min_age=65),
    ]
    made = (
        await admin_client.do(
            "CreateProduct",
            **new,
            calendar_code="CN",
            boarding_minutes=45,
            unaccompanied_types=[child, pet],
            age_limits=limits,
        )
    ).product
    assert made.boarding_minutes == 45
    assert (list(made.unaccompanied_types), list(made.age_limits)) == ([child, pet], limits)
    assert (list(made.tiers), made.max_per_traveller, made.calendar_code) == ([tier], 4, "CN")
    policy.move_tolerance_minutes = 30
    assert made.policy == policy
    assert (await admin_client.do("GetProduct", product_id=301)).product == made
    changed = await admin_client.do(
        "UpdateProduct",
        product_id=301,
        tiers=[],
        max_per_traveller=5,
        policy=product_pb2.RefundPolicy(changes_allowed=1),
        boarding_minutes=1440,
        unaccompanied_types=[pet],
        age_limits=limits[:1],
        update_mask="tiers max_per_traveller policy boarding_minutes unaccompanied_types"
        " age_limits",
    )
    assert list(changed.product.unaccompanied_types) == [pet]
    assert list(changed.product.age_limits) == limits[:1]
    for fields, field in (
        ({"unaccompanied_types": [ticket_pb2.CUSTOMER_TYPE_ADULT]}, "unaccompanied_types[0]"),
        ({"unaccompanied_types": [pet, pet]}, "unaccompanied_types"),
        ({"age_limits": limits[:1] * 2}, "age_limits"),
        (
            {"age_limits": [product_pb2.AgeLimit(customer_type=child, min_age=3, max_age=2)]},
            "age_limits[0].max_age",
        ),
    ):
        (mask,) = fields
        refused = await refusal(
            admin_client.do("UpdateProduct", product_id=301, update_mask=mask, **fields)
        )
        assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, (field,))
    assert changed.product.boarding_minutes == 1440
    for minutes in (1441, -1):
        refused = await admin_client.refused(
            "UpdateProduct",
            product_id=301,
            boarding_minutes=minutes,
            update_mask="boarding_minutes",
        )
        assert refused.fields == ("boarding_minutes",)
    assert not changed.product.tiers
    assert changed.product.policy == product_pb2.RefundPolicy(
        changes_allowed=1, move_tolerance_minutes=30
    )
    assert changed.product.max_per_traveller == 5
    refused = await admin_client.refused(
        "CreateProduct", **new | {"product_id": 302, "city_code": "XXX"}
    )
    assert refused.fields == ("city_code",)
    rising = product_pb2.RefundPolicy(
        refund_tiers=[
            product_pb2.RefundTier(minutes_before=60, percent=10),
            product_pb2.RefundTier(minutes_before=0, percent=20),
        ]
    )
    refused = await admin_client.refused(
        "CreateProduct", **new | {"product_id": 302, "policy": rising}
    )
    assert refused.fields == ("policy",)
    refused = await admin_client.refused(
        "CreateProduct", **new | {"product_id": 302, "tiers": [tier] * 2}
    )
    assert refused.fields == ("tiers",)


async def test_administrators_see_and_change_departures(admin_client: AdminClient) -> None:
    changed = await admin_client.do("SetRouteFares", **VALID["SetRouteFares"])
    assert list(changed.route.fares) == [ROUTE_FARE]
    assert list(changed.route.stop_codes) == ["IOQ", "XJA"]
    assert list(changed.route.class_codes) == ["SECOND"]
    wrong = catalog_pb2.RouteFare()
    wrong.CopyFrom(ROUTE_FARE)
    wrong.class_code = "THIRD"
    refused = await admin_client.refused("SetRouteFares", route_id=11, fares=[wrong])
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, ("fares[0].class_code",))
    (found,) = (await admin_client.do("ListDepartures")).departures
    assert (found.departure_id, found.route_id, found.service_number) == (DEPARTURE, 11, "N111")
    assert [(s.class_code, s.total, s.available) for s in found.stocks] == [("SECOND", 10, 10)]
    changed = await admin_client.do("SetDepartureStock", **VALID["SetDepartureStock"])
    assert changed.departure.stocks[0].total == 5
    none = VALID["SetDepartureStock"] | {"total": 0}
    assert (await admin_client.do("SetDepartureStock", **none)).departure.stocks[0].total == 0
    changed = await admin_client.do("SetDepartureState", **VALID["SetDepartureState"])
    assert changed.departure.state == catalog_pb2.DEPARTURE_STATE_CANCELLED
    refused = await admin_client.refused("ListDepartures", travel_date="2026-02-30")
    assert refused.fields == ("travel_date",)


def test_customer_types_are_those_of_the_contract() -> None:
    # no mapping
    names = {name.removeprefix("CUSTOMER_TYPE_") for name in ticket_pb2.CustomerType.keys()}  # noqa: SIM118
    assert names - {"UNSPECIFIED"} == limits.CUSTOMER_TYPES


async def test_the_demo_catalogue_is_whole(database_url: str) -> None:
    async with world.database(database_url) as db:
        async with db.transaction() as tx:
            for product_id in demo_catalog.PACKAGES:
                await products.create_product(tx, world.product(product_id, "PACKAGE"), **by())
                await allotments.create_allotment(
                    tx, product_id=product_id, channel="DIRECT", total=1, **by()
                )
                await products.update_product(tx, product_id, {"tiers": [], "policy": {}}, **by())
        for _ in range(2):
            async with db.transaction() as tx:
                await demo_catalog.load(tx, **by())
        catalogue = await a_catalogue(db)
        assert [city.city_code for city in catalogue.hot_cities()][:3] == ["HKG", "SZX", "CAN"]
        zone = ZoneInfo("Asia/Hong_Kong")
        day = datetime.now(zone).date() + timedelta(days=3)
        for pair in (
            ("SZX", "HKG"),
            ("HKG", "SZX"),
            ("CAN", "HKG"),
            ("HKG", "MFM"),
            ("ZUH", "HKG"),
        ):
            found = [catalogue.offer(each) for each in catalogue.offer_ids(*pair, day)]
            kinds = {offer.kind for offer in found if offer}
            assert kinds & {"TRAIN", "FERRY"}
            assert ("PACKAGE" in kinds) == (pair[1] == "HKG")
            assert all(offer and offer.fares for offer in found)
            assert len({offer.currency_code for offer in found if offer and offer.journey}) == 1
        async with db.transaction() as tx:
            for product_id in (
                *demo_catalog.PACKAGES,
                201,
                202,
                203,
                204,
                205,
                *demo_rentals.NAMES,
            ):
                product = await PRODUCTS.get(tx, product_id)
                assert Policy.parse(product.policy).refund_tiers
        for fleet_id, (product_id, location_id, cars, one_way) in demo_rentals.FLEETS.items():
            fleet = catalogue.rentals.fleets[product_id, location_id]
            assert fleet.fleet_id == fleet_id
            for back in (location_id, *one_way):
                start = datetime.combine(day, time(10))
                places = location_id, back
                offer = catalogue.rental(RentalKey(product_id, start, *places, 2880, 30))
                assert offer
                assert not offer.unavailable(datetime.now(UTC))
            left = select(stocks.c.total).where(
                stocks.c.fleet_id == fleet_id, stocks.c.use_date == day
            )
            assert await scalar(db, left) == cars
        working = await scalar(
            db, select(func.count()).select_from(holidays).where(holidays.c.day_type == "weekday")
        )
        assert working == 6
