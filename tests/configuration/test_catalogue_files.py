"""Bulk import and export: what is exported makes the same catalogue elsewhere, a repeat changes
nothing, what is refused is reported by line, and spreadsheet programs are understood.
"""

import io
import zipfile
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import func, select

from server.audit.models import audit_events
from server.audit.rules import ENTITLEMENT_DEFAULTS
from server.catalog import rental_fleets
from server.catalog.catalogue_queries import read_facts as catalogue_facts
from server.catalog.cities import (
    City,
    Stop,
    archive_city,
    archive_stop,
    create_cities,
    create_stops,
)
from server.catalog.holiday_tables import load_shipped
from server.catalog.models import cities
from server.catalog.rental_rules import MOST_DAYS
from server.configuration import catalogue_files, catalogue_import
from server.configuration.catalogue_files import FileRefused, RefusedLine, read, read_folder
from server.configuration.catalogue_import import ImportReport, import_catalogue
from server.configuration.catalogue_records import read_catalogue
from server.platform.database import Database
from server.stock.models import stocks
from tests.support import rentals
from tests.support import timetable as world
from tests.support.catalogue_calls import seed_catalogue
from tests.support.timetable import by

REFUSED_LINES = """\
cities:
- {city_code: MFM, display_name_en: Macau, display_name_zh: 澳门, time_zone: Asia/Macau}
- {city_code: Bad, display_name_en: Bad, display_name_zh: 坏, time_zone: Mars/Base}
- {city_code: ZUH, time_zone: Asia/Shanghai}
stops:
- {stop_code: TAIPA, city_code: NONE, display_name_en: Taipa, display_name_zh: 氹仔}
routes:
- route_id: 1
  product_id: 7
- route_id: ROUTE
  fares:
  - {class_code: SECOND, origin: IOQ, destination: XJA, customer_type: ADULT, day_type: weekday,
     amount_minor: 90}
  - {class_code: THIRD, origin: IOQ, destination: XJA, customer_type: ADULT, day_type: weekday,
     amount_minor: 12.50}
nonsense: []
"""
REFUSED_RENTALS = """\
car_categories:
- {product_id: 1301, seats: 61, doors: 0, transmission: STICK, fuel_type: COAL, max_days: 91}
- {product_id: 1304, category_code: suv, feature_codes: GPS, image_urls: "http://a https://b"}
- {product_id: 1308, make: "\\u202e", model_year: new}
- {product_id: 77, category_code: SUV, make: A, model: B, model_year: 2025, seats: 5, doors: 5,
   transmission: MANUAL, fuel_type: DIESEL, min_driver_age: 21}
rental_locations:
- location_id: 10
  phone: 12
- location_id: 20
  city_code: XRK
  closed_dates: [2026-12-25, 2026-12-25]
- location_id: 10000
  city_code: HKG
  display_name_en: A
  display_name_zh: A
  address_en: A
  address_zh: A
  opening_hours:
  - {weekday: 8, opens: 07:00, closes: 24:00}
- location_id: 21
  opening_hours:
  - {weekday: 1, opens: 7 am, closes: "24:00"}
- {location_id: 22, city_code: HKG, display_name_en: A, display_name_zh: A, address_en: A,
   address_zh: A, venue_code: NOWHERE, opening_hours: [{weekday: 1, opens: 07:00, closes: 09:00}]}
rental_extras:
- {extra_id: 10, currency_code: CNY}
- {extra_id: 20, charge_basis: PER_HOUR, max_quantity: 10, product_ids: 7}
rental_fleets:
- fleet_id: 31
  cars: -1
  fares:
  - {customer_type: ADULT, day_type: sunday, amount_minor: 1}
- fleet_id: 33
  last_date: 2025-12-31
- fleet_id: 35
  product_id: 1304
  location_id: 20
  cars: 1
  first_date: 2026-01-01
  last_date: 2026-12-31
  sale_days: 30
  closing_minutes: 60
  one_way:
  - {location_id: 10, fee_minor: -1}
products:
- product_id: 1301
  fares:
  - {customer_type: ROBOT, day_type: weekday, amount_minor: 1}
"""
ENTITLEMENTS = 6
"""Their place in the facts of a product."""
CITY = b"city_code,display_name_en,display_name_zh,time_zone,hot_rank\r\n"


@pytest.fixture
async def db(timetable_url: str) -> AsyncIterator[Database]:
    async with world.database(timetable_url) as database:
        yield database


@pytest.fixture
async def empty(database_url: str) -> AsyncIterator[Database]:
    """Another database, of which nothing is set up."""
    async with world.database(database_url) as database:
        yield database


async def bring(db: Database, content: bytes, name: str = "", **options: Any) -> ImportReport:
    async with db.transaction() as tx:
        return await import_catalogue(tx, read(content, name), **options, **by())


async def records(db: Database) -> dict[str, Any]:
    async with db.transaction() as tx:
        return await read_catalogue(tx)


async def facts(db: Database) -> dict[str, Any]:
    """All that offers are made of, as far as files have it."""
    async with db.transaction() as tx:
        found = await catalogue_facts(tx, datetime.now(UTC))
    # what is not said of an entitlement is false
    products = [
        [
            [{**ENTITLEMENT_DEFAULTS, **each} for each in value] if place == ENTITLEMENTS else value
            for place, value in enumerate(row)
        ]
        for row in found["products"]
    ]
    return found | {"products": products}


async def scalar(db: Database, query: Any) -> Any:
    async with db.transaction() as tx:
        return await tx.scalar(query)


@pytest.mark.parametrize("write", ["write_yaml", "write_zip"])
async def test_what_is_exported_makes_the_same_catalogue(
    db: Database, empty: Database, write: str
) -> None:
    """Archived records, shipped holidays, caps, seat maps and stock of our own included; repeated,
    it changes nothing. Seen red with cities archived as they come: their stops were refused.
    """
    async with db.transaction() as tx:
        await load_shipped(tx)
        await seed_catalogue(tx, **by())
        await create_cities(tx, [City("GON", "Gone", "无", "Asia/Macau")], **by())
        await create_stops(tx, [Stop("GONE", "GON", "Gone", "无")], **by())
        await archive_stop(tx, "GONE", **by())
        await archive_city(tx, "GON", **by())
    wanted = await records(db)
    content = getattr(catalogue_files, write)(wanted)
    dry = await bring(empty, content, dry_run=True)
    assert (dry.refused, dry.applied) == ([], False)
    assert await scalar(empty, select(func.count()).select_from(cities)) == 0
    report = await bring(empty, content)
    assert report.refused == []
    assert (report.created, report.updated, report.unchanged) == (
        dry.created,
        dry.updated,
        dry.unchanged,
    )
    made = await records(empty)
    for noun, rows in wanted.items():
        assert [each for each in made[noun] if each not in rows] == [], noun
        assert [each for each in rows if each not in made[noun]] == [], noun
    assert await facts(empty) == await facts(db)
    audited = await scalar(empty, select(func.count()).select_from(audit_events))
    again = await bring(empty, content)
    assert (again.created, again.updated, again.applied) == ({}, {}, False)
    assert await scalar(empty, select(func.count()).select_from(audit_events)) == audited


async def test_records_brought_together_are_refused_as_one_by_one(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same report line by line, and the same kept, however many are brought at once. Seen red
    with the second half of a part that is refused left out.
    """
    texts = {
        "ONE-1": ("HKG", "Pier 1", "ACTIVE"),
        "TWO-1": ("XXX", "No city", "ACTIVE"),
        "bad": ("HKG", "Bad code", "ACTIVE"),
        "ONE-2": ("HKG", "Pier 2", "ACTIVE"),
        "ONE-3": ("HKG", "Gone", "ARCHIVED"),
        "TWO-2": ("YYY", "No city", "ARCHIVED"),
        "ONE-4": ("HKG", "Pier 4", "ACTIVE"),
    }
    lines = [f"{code},{city},{name},码头,{state}" for code, (city, name, state) in texts.items()]
    header = "stop_code,city_code,display_name_en,display_name_zh,state"
    content = "\r\n".join([header, *lines, lines[0]]).encode()
    reports = []
    for at_once in (1, 2, 500):
        monkeypatch.setattr(catalogue_import, "BROUGHT_AT_ONCE", at_once)
        reports.append(await bring(db, content, "stops.csv", dry_run=True, keep_going=True))
    together = await bring(db, content, "stops.csv", keep_going=True)
    assert [replace(each, applied=True) for each in reports] == [together] * 3
    refused = [(each.line, each.name, each.field) for each in together.refused]
    assert refused == [
        (3, "TWO-1", ""),
        (4, "bad", "stop_code"),
        (7, "TWO-2", ""),
        (9, "ONE-1", "stop_code"),
    ]
    assert together.created == {"stops": 4}
    states = {each["stop_code"]: each["state"] for each in (await records(db))["stops"]}
    assert {code: states.get(code) for code in texts} == {
        code: state if city == "HKG" and code != "bad" else None
        for code, (city, _, state) in texts.items()
    }
    again = await bring(db, content, "stops.csv", keep_going=True)
    assert (again.unchanged, again.refused) == ({"stops": 4}, together.refused)
    async with db.transaction() as tx:
        trail = select(func.count()).where(audit_events.c.name.in_(texts))
        assert await tx.scalar(trail) == 5, "four made, one of them archived"


async def test_what_may_not_be_archived_is_refused_once(db: Database) -> None:
    """A part is brought in again, each half by itself, when a record after it is refused. Seen red
    without taking back what was to be archived: it was refused twice.
    """
    content = b"stops:\n- {stop_code: SK, state: ARCHIVED}\n- {stop_code: IOQ, city_code: HKG}\n"
    report = await bring(db, content)
    assert [(each.line, each.name) for each in report.refused] == [(3, "IOQ"), (2, "SK")]


async def test_each_refused_line_is_named_and_nothing_is_kept(db: Database) -> None:
    """All or nothing: seen red without the rollback to the savepoint, MFM was there."""
    content = REFUSED_LINES.replace("ROUTE", str(world.TRAIN_ROUTE))
    report = await bring(db, content.encode())
    found = [(each.line, each.name, each.field) for each in report.refused]
    assert found == [
        (16, "", "nonsense"),
        (3, "Bad", "city_code"),
        (3, "Bad", "time_zone"),
        (4, "ZUH", "display_name_en"),
        (4, "ZUH", "display_name_zh"),
        (6, "TAIPA", ""),
        (8, "1", "vehicle"),
        (14, str(world.TRAIN_ROUTE), "fares.amount_minor"),
    ]
    assert all(each.description for each in report.refused)
    assert (report.refused_count, report.applied) == (8, False)
    macau = select(func.count()).select_from(cities).where(cities.c.city_code == "MFM")
    assert await scalar(db, macau) == 0
    report = await bring(db, content.encode(), keep_going=True)
    assert (report.created, report.refused_count, report.applied) == ({"cities": 1}, 8, True)
    assert await scalar(db, macau) == 1


async def test_each_refused_line_of_rentals_is_named(db: Database) -> None:
    """By the limits that calls have. Seen red without those of numbers."""
    async with db.transaction() as tx:
        await rentals.seed_rentals(tx, **by())
        await rental_fleets.unarchive_fleet(tx, rentals.SUV_FLEET, **by())
    wanted = await records(db)
    report = await bring(db, REFUSED_RENTALS.encode(), keep_going=True)
    assert [(each.line, each.field) for each in report.refused] == [
        (49, "fares[0].customer_type"),
        (2, "transmission"),
        (2, "fuel_type"),
        (2, "seats"),
        (2, "doors"),
        (2, "max_days"),
        (3, "category_code"),
        (3, "feature_codes[0]"),
        (3, "image_urls[0]"),
        (4, "make"),
        (4, "model_year"),
        (5, ""),
        (8, "phone"),
        (10, "city_code"),
        (13, "location_id"),
        (20, "opening_hours[0].weekday"),
        (23, "opening_hours.opens"),
        (24, ""),
        (27, "currency_code"),
        (28, "charge_basis"),
        (28, "max_quantity"),
        (30, "cars"),
        (33, "fares[0].day_type"),
        (34, "last_date"),
        (45, "one_way[0].fee_minor"),
    ]
    assert all(each.description for each in report.refused)
    assert await records(db) == wanted


async def test_a_list_of_a_fleet_changes_what_is_sold_and_new_fleets_have_days(
    db: Database,
) -> None:
    async with db.transaction() as tx:
        await rentals.seed_rentals(tx, **by())
    fares = b"fleet_id,customer_type,day_type,amount_minor\n31,ADULT,weekday,12300\n"
    report = await bring(db, fares, "rental_fares.csv")
    assert (report.refused, report.updated) == ([], {"rental_fleets": 1})
    (kept,) = [each for each in (await records(db))["rental_fleets"] if each["fleet_id"] == 31]
    assert [each["amount_minor"] for each in kept["fares"]] == [12300]
    assert kept["one_way"] == [{"location_id": rentals.CITY, "fee_minor": 15_000}]
    fleets = b"fleet_id,product_id,location_id,cars,first_date,last_date,sale_days,closing_minutes"
    fleets += b"\n34,1301,20,4,2026-01-01,2030-12-31,30,60\n"
    assert (await bring(db, fleets, "rental_fleets.csv")).created == {"rental_fleets": 1}
    days = select(func.count()).where(stocks.c.fleet_id == 34, stocks.c.total == 4)
    made = 1 + 30 + MOST_DAYS + rental_fleets.MARGIN_DAYS
    assert await scalar(db, days) == made


async def test_a_refusal_of_a_list_names_the_line_of_its_entry(db: Database) -> None:
    """And a list alone changes the record: the route's own table is not needed."""
    head = "route_id,class_code,origin,destination,customer_type,day_type,amount_minor\n"
    route = world.TRAIN_ROUTE
    good = f"{route},SECOND,IOQ,XJA,ADULT,weekday,7700\n"
    content = (head + good + f"{route},THIRD,IOQ,XJA,ADULT,weekday,1\n").encode()
    report = await bring(db, content, "route_fares.csv")
    assert [(each.file, each.line, each.field) for each in report.refused] == [
        ("route_fares.csv", 3, "fares[1].class_code")
    ]
    report = await bring(db, (head + good).encode(), "route_fares.csv")
    assert (report.refused, report.updated) == ([], {"routes": 1})
    (kept,) = [each for each in (await records(db))["routes"] if each["route_id"] == route]
    assert [fare["amount_minor"] for fare in kept["fares"]] == [7700]


async def test_what_is_for_good_is_refused_and_what_is_archived_comes_back(db: Database) -> None:
    content = (
        b"""
products:
- {product_id: %d, currency_code: USD}
stops:
- {stop_code: SK, state: ARCHIVED}
"""
        % world.TRAIN
    )
    report = await bring(db, content)
    first, second = report.refused
    assert (first.name, first.field) == (str(world.TRAIN), "currency_code")
    assert second.description.startswith("IN_USE")
    two = b"stops:\n- {stop_code: NEW, city_code: HKG, display_name_en: N, display_name_zh: N,"
    two += b" state: %b}\n"
    for state, outcome in (
        (b"ARCHIVED", "created"),
        (b"ACTIVE", "updated"),
        (b"ARCHIVED", "updated"),
    ):
        report = await bring(db, two % state)
        assert (report.refused, getattr(report, outcome)) == ([], {"stops": 1})
        (kept,) = [each for each in (await records(db))["stops"] if each["stop_code"] == "NEW"]
        assert kept["state"].encode() == state


# What spreadsheet programs make of a file


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + CITY + b"MFM,Macau,\xe6\xbe\xb3,Asia/Macau,0012\r\n",
        CITY.replace(b",", b";") + b"MFM;Macau;\xe6\xbe\xb3;Asia/Macau;12\r\n",
        CITY.replace(b",", b"\t") + b"MFM\tMacau\t\xe6\xbe\xb3\tAsia/Macau\t12\n\n,,\n"[:-4],
        CITY + "ＭＦＭ,Macau,澳,Asia/Macau,１２\r\n,,,,\r\n".encode(),
        CITY.upper() + b'"MFM" ,Macau,\xe6\xbe\xb3,Asia/Macau, 12\r\n'.replace(b'" ', b'"'),
    ],
)
async def test_tables_as_spreadsheets_write_them(db: Database, content: bytes) -> None:
    report = await bring(db, content, "Cities.CSV", dry_run=True)
    assert (report.refused, report.created) == ([], {"cities": 1})
    (record,) = read(content, "cities.csv").records
    assert int(record.values["hot_rank"]) == 12


async def test_formulas_do_no_harm_and_come_back(db: Database) -> None:
    name = '=HYPERLINK("http://x")'
    content = f"cities:\n- {{city_code: MFM, display_name_en: '{name}', display_name_zh: \"'+1\","
    await bring(db, f"{content} time_zone: Asia/Macau}}\n".encode())
    table = catalogue_files.write_tables(await records(db))["cities.csv"].decode()
    assert "'=HYPERLINK" in table
    assert "''+1" in table
    report = await bring(db, table.encode(), "cities.csv")
    assert (report.refused, report.updated) == ([], {})


REFUSED: list[tuple[bytes, str]] = [
    (b"- 1\n", "no mapping"),
    (b"a: &a [1]\nb: *a\n", "alias"),
    (b"a: [" + b"[" * 50 + b"]" * 50 + b"]", "levels"),
    (b"a: {b: \n\t- c", "no YAML"),
    (b"\xff\xfe", "UTF-8"),
    (b"PK\x03\x04 and no more", "ZIP"),
]


@pytest.mark.fast
@pytest.mark.parametrize(("content", "why"), REFUSED)
def test_what_cannot_be_read_at_all(content: bytes, why: str) -> None:
    with pytest.raises(FileRefused, match=why):
        read(content)


@pytest.mark.fast
def test_a_zip_holds_no_more_than_a_file_may() -> None:
    """Seen red with the whole entry read: a small file made as much as it wanted."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cities.csv", b"0" * (catalogue_files.MOST_BYTES + 1))
    assert len(made.getvalue()) < 100_000
    with pytest.raises(FileRefused, match="more than"):
        read(made.getvalue())


@pytest.mark.fast
def test_lines_that_cannot_be_read_are_named() -> None:
    files = {
        "cities.csv": b"city_code,colour,colour\nMFM,red,red,red\n",
        "stops.csv": b"stop_code\n\xff\n",
        "other.csv": b"a\n1\n",
        "routes.csv": b'route_id\n"1\n',
    }
    found = {(each.file, each.line, each.field) for each in read_folder(files).refused}
    assert found == {
        ("cities.csv", 1, "colour"),
        ("cities.csv", 2, ""),
        ("stops.csv", 2, ""),
        ("other.csv", 0, ""),
        ("routes.csv", 2, ""),
    }
    twice = read(b"cities:\n- {city_code: A, city_code: B, color: 1}\n").refused
    assert [(each.line, each.field) for each in twice] == [(2, "city_code"), (2, "color")]
    assert isinstance(twice[0], RefusedLine)
