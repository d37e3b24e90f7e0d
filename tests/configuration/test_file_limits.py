"""What the contract refuses in a call is refused in a file of the catalogue, by field and line."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import yaml
from buf.validate import validate_pb2
from deeptravel.admin.v1 import admin_service_pb2
from google.protobuf.descriptor import FieldDescriptor

from server.catalog.holiday_tables import load_shipped
from server.configuration.catalogue_files import read, write_yaml
from server.configuration.catalogue_import import import_catalogue
from server.configuration.catalogue_nouns import BY_NAME, JSON_READERS, NOUNS
from server.configuration.catalogue_records import read_catalogue
from server.platform.database import Database
from tests.support import timetable as world
from tests.support.catalogue_calls import seed_catalogue
from tests.support.timetable import by

MESSAGES = {
    ("calendars", ""): "CreateHolidayCalendarRequest",
    ("holiday_years", ""): "AddHolidayYearRequest",
    ("holidays", ""): "HolidayDay",
    ("cities", ""): "CreateCityRequest",
    ("stops", ""): "CreateStopRequest",
    ("entitlement_templates", ""): "CreateEntitlementTemplateRequest",
    ("products", ""): "CreateProductRequest",
    ("products", "fares"): "Fare",
    ("products", "entitlements"): "ProductEntitlement",
    ("routes", ""): "CreateRouteRequest",
    ("routes", "stops"): "RouteStop",
    ("routes", "fare_classes"): "RouteClass",
    ("routes", "fares"): "RouteFare",
    ("timetables", ""): "CreateTimetableRequest",
    ("car_categories", ""): "CreateCarCategoryRequest",
    ("rental_locations", ""): "CreateRentalLocationRequest",
    ("rental_locations", "opening_hours"): "OpeningHours",
    ("rental_extras", ""): "CreateRentalExtraRequest",
    ("rental_fleets", ""): "CreateRentalFleetRequest",
    ("promotions", ""): "CreatePromotionRequest",
}
OTHER_NAMES = {
    ("routes", "kind"): "vehicle",
    ("routes", "origin_stop_code"): "origin",
    ("routes", "destination_stop_code"): "destination",
    ("promotions", "promotion_code"): "code",
}
IN_JSON = {
    "policy": ("5", '{"refund_fee_minor": -1}', '{"fee": 1}'),
    "age_limits": ("5", "[5]", '[{"customer_type": "CHILD"}]', '{"min_age": 1}'),
    "tiers": ("5", "[5]", '[{"min_party": 0, "percent_off": 1}]'),
    "seats": ("5", "[5]", '{"SECOND": "x"}', '{"SECOND": -1}'),
    "seat_map": ("5", "[5]", '{"rows": "x"}'),
}


@pytest.fixture
async def db(timetable_url: str) -> AsyncIterator[Database]:
    async with world.database(timetable_url) as database:
        yield database


def wrong(field: FieldDescriptor) -> Iterator[str]:
    """Texts that the field's annotations refuse."""
    rules = field.GetOptions().Extensions[validate_pb2.field]
    if field.is_repeated:
        rules = rules.repeated.items
    if field.enum_type is not None:
        yield "NO_SUCH"
    for limits in (rules.int32, rules.int64):
        if limits.HasField("gte"):
            yield str(limits.gte - 1)
        if limits.HasField("lte"):
            yield str(limits.lte + 1)
    if rules.string.pattern and not field.name.endswith(("_date", "day", "_dates", "_clock")):
        yield "?!"
    if rules.string.max_len:
        yield "x" * (rules.string.max_len + 1)


def cases() -> Iterator[tuple[str, str, str, str]]:
    """Noun, list or nothing, column and a value that is none."""
    pool = admin_service_pb2.DESCRIPTOR.pool
    for (noun, part), name in MESSAGES.items():
        message = pool.FindMessageTypeByName(f"deeptravel.admin.v1.{name}")
        lists = {each.name: each.columns for each in BY_NAME[noun].lists}
        found = lists[part] if part else BY_NAME[noun].columns
        columns = {each.name for each in found}
        for field in message.fields:
            column = OTHER_NAMES.get((noun, field.name), field.name)
            if column in columns:
                yield from ((noun, part, column, text) for text in wrong(field))
        yield from (
            (noun, part, column, text)
            for column in sorted(each.name for each in found if each.read in JSON_READERS)
            for text in IN_JSON[column]
        )


async def test_what_a_call_may_not_say_a_file_may_not_either(db: Database) -> None:
    """Each alone in a record that is valid else. Seen red: a package with a fare of -5 and an
    entitlement of no uses was taken, 0 days of validity and a policy `5` were a fault.
    """
    async with db.transaction() as tx:
        await load_shipped(tx)
        await seed_catalogue(tx, **by())
        valid = await read_catalogue(tx)
    taken, tried = [], 0
    for noun, part, column, text in cases():
        whole = [each for each in valid[noun] if not part or each[part]][-1:]
        assert whole, f"the seeded catalogue has no {noun} {part}"
        record: dict[str, Any] = yaml.safe_load(write_yaml({noun: whole}))[noun][0]
        (record[part][0] if part else record)[column] = text
        content = yaml.safe_dump({noun: [record]}, allow_unicode=True)
        async with db.transaction() as tx:
            report = await import_catalogue(tx, read(content.encode()), dry_run=True, **by())
        said = [f"{each.field} {each.description}" for each in report.refused]
        if not any(
            column in each or text in each or (part and f"{part}[0]." in each) for each in said
        ):
            taken.append((noun, part, column, text, report.refused))
        tried += 1
    assert taken == []
    assert tried > 100
    assert {noun for noun, _ in MESSAGES} == {noun.name for noun in NOUNS}
