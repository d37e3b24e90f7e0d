"""What a file of the catalogue holds: its nouns in the order in which one is made of another, their
columns, and the lists that belong to a record.

In YAML each noun is a list of records, and a list of a record stands in it. In CSV each noun is a
file, and so is each list, with the record's key in its first column.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any

from server.catalog.car_categories import DEFAULT_MAX_DAYS
from server.catalog.rental_rules import DEFAULT_GRACE_MINUTES
from server.platform.phones import read_phone_number
from server.platform.texts import read_name

MOST_JSON = 20_000
"""Characters of a cell with JSON."""


@dataclass(frozen=True, slots=True)
class Column:
    """A field: how a text becomes its value; `value_if_new` is what a new record has without it,
    and `...` (none) one it needs. An entry of a list says nothing where it would be `left_out`.
    """

    name: str
    read: Callable[[str], Any]
    value_if_new: Any = ...
    left_out: Any = ...


@dataclass(frozen=True, slots=True)
class ListField:
    """A list of a record, which is a file of its own in CSV."""

    name: str
    file: str
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class FileNoun:
    """A noun of a file: the columns of its key come first."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    lists: tuple[ListField, ...] = ()
    by_name: Mapping[str, Column] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {each.name: each for each in self.columns})


def text(written: str) -> str:
    """Words, as they are written."""
    return written


def code(written: str) -> str:
    """A code: NFKC, so that full-width letters are what they mean."""
    return unicodedata.normalize("NFKC", written).strip()


def code_or_none(written: str) -> str | None:
    """A code; None for an empty text."""
    return code(written) or None


def name_of(most: int) -> Callable[[str], str]:
    """A name of so many characters at the most, as it is kept (`texts.read_name`)."""

    def read(written: str) -> str:
        made = read_name(written)
        if len(made) > most:
            raise ValueError(f"has {len(made)} characters; at most {most}")
        return made

    return read


def phone(written: str) -> str:
    """A telephone number in the form E.164, or none. Raises ValueError."""
    return written and read_phone_number(written)


def number(written: str) -> int:
    """A whole number, also with leading zeros or full-width digits. Raises ValueError."""
    plain = code(written)
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", plain):
        raise ValueError(f"{written!r} is no whole number; write digits alone, without separators")
    return int(plain)


def flag(written: str) -> bool:
    """True or false. Raises ValueError."""
    known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    try:
        return known[code(written).lower()]
    except KeyError:
        raise ValueError(f"{written!r} is neither true nor false") from None


def day(written: str) -> date:
    """A day. Raises ValueError."""
    plain = code(written)
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", plain):
        raise ValueError(f"{written!r} is no day; write YYYY-MM-DD")
    try:
        return date.fromisoformat(plain)
    except ValueError:
        raise ValueError(f"{written!r} is not in the calendar") from None


def day_text(written: str) -> str:
    """A day as text. Raises ValueError."""
    return day(written).isoformat()


def clock(written: str) -> time:
    """A time of day. Raises ValueError."""
    found = re.fullmatch(r"([0-9]{1,2}):([0-9]{2})(?::00)?", code(written))
    if not found or int(found[1]) > 23 or int(found[2]) > 59:
        raise ValueError(f"{written!r} is no time of day; write HH:MM, 00:00 to 23:59")
    return time(int(found[1]), int(found[2]))


def clock_text(written: str) -> str:
    """A time of day as text, 24:00 among them. Raises ValueError."""
    return "24:00" if code(written) == "24:00" else clock(written).isoformat("minutes")


def moment(written: str) -> datetime:
    """A moment with its offset. Raises ValueError."""
    fault = f"{written!r} is no moment; write e.g. 2027-01-31T23:59:00+08:00"
    try:
        made = datetime.fromisoformat(code(written).replace("Z", "+00:00"))
        if made.tzinfo is None:
            raise ValueError(fault)
        return made.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(fault) from None


def several(read: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    """Several values, apart by spaces or commas."""

    def read_all(written: str) -> list[Any]:
        return [read(part) for part in re.split(r"[\s,，、]+", written.strip()) if part]

    return read_all


def addresses(written: str) -> list[str]:
    """Addresses of pages, apart by spaces alone: they may have commas."""
    return written.split()


def json_value(written: Any) -> Any:
    """What a cell with JSON says, or what YAML has in its place. Raises ValueError."""
    if not isinstance(written, str):
        return written
    if len(written) > MOST_JSON:
        raise ValueError(f"has more than {MOST_JSON} characters")
    try:
        return json.loads(written)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is no JSON: {error}") from None


def json_object(written: Any) -> dict[str, Any]:
    """A JSON object, or the mapping that YAML has. Raises ValueError."""
    value = json_value(written)
    if not isinstance(value, dict):
        raise ValueError('is no JSON object, e.g. {"SECOND": 100}')
    return value


def json_numbers(written: Any) -> dict[str, int]:
    """A JSON object of whole numbers. Raises ValueError."""
    value = json_object(written)
    if any(type(each) is not int for each in value.values()):
        raise ValueError('is no JSON object of whole numbers, e.g. {"SECOND": 100}')
    return value


def age_limits(written: Any) -> list[dict[str, Any]]:
    """Whom fares are for, as JSON. Raises ValueError."""
    value = json_value(written)
    for each in value if isinstance(value, list) else [value]:
        if (
            not isinstance(each, dict)
            or each.keys() != {"customer_type", "min_age", "max_age"}
            or type(each["customer_type"]) is not str
            or type(each["min_age"]) is not int
            or type(each["max_age"]) not in {int, type(None)}
        ):
            raise ValueError(
                'is no list such as [{"customer_type": "CHILD", "min_age": 3, "max_age": 11}];'
                " max_age may be null"
            )
    return list(value)


JSON_READERS: tuple[Callable[[Any], Any], ...] = (json_value, json_object, json_numbers, age_limits)
"""Those that take what YAML has as well as text."""


def identifier(written: str) -> int:
    """The number of a record. Raises ValueError."""
    found = number(written)
    if not 1 <= found < 1 << 31:
        raise ValueError(f"{written!r} is not within 1 to 2147483647")
    return found


def weekdays(written: str) -> int:
    """Days of the week, 1 is Monday, as bits. Raises ValueError."""
    found = several(number)(written)
    if not found or any(not 1 <= each <= 7 for each in found):
        raise ValueError(f"{written!r}: write numbers of days, 1 is Monday, 7 Sunday: 1 2 3 4 5")
    return sum(1 << each - 1 for each in set(found))


def written_weekdays(bits: int) -> list[int]:
    """Days of the week as files have them."""
    return [each for each in range(1, 8) if bits >> (each - 1) & 1]


STATE = Column("state", code, "ACTIVE")
NAMES = (Column("display_name_en", text), Column("display_name_zh", text))
FARE = (Column("customer_type", code), Column("day_type", code), Column("amount_minor", number))
ENTITLEMENT = (
    Column("function_code", code),
    *NAMES,
    Column("total_uses", number),
    Column("use_mode", code, "ONCE_PER_QR"),
    Column("guard_seconds", number, 60),
    Column("shared", flag, False),
    Column("rotating_code", code, "NONE"),
)

NOUNS = (
    FileNoun("calendars", ("calendar_code",), (Column("calendar_code", code), *NAMES, STATE)),
    FileNoun(
        "holiday_years",
        ("calendar_code", "year"),
        (Column("calendar_code", code), Column("year", number), Column("source", text)),
    ),
    FileNoun(
        "holidays",
        ("calendar_code", "day"),
        (Column("calendar_code", code), Column("day", day), Column("day_type", code), *NAMES),
    ),
    FileNoun(
        "cities",
        ("city_code",),
        (
            Column("city_code", code),
            *NAMES,
            Column("time_zone", code),
            Column("hot_rank", number, None),
            STATE,
        ),
    ),
    FileNoun(
        "stops",
        ("stop_code",),
        (
            Column("stop_code", code),
            Column("city_code", code),
            *NAMES,
            Column("latitude_microdegrees", number, None),
            Column("longitude_microdegrees", number, None),
            STATE,
        ),
    ),
    FileNoun(
        "entitlement_templates",
        ("template_code",),
        (Column("template_code", code), *ENTITLEMENT, STATE),
    ),
    FileNoun(
        "products",
        ("product_id",),
        (
            Column("product_id", identifier),
            Column("kind", code),
            *NAMES,
            Column("currency_code", code),
            Column("validity_days", number),
            Column("city_code", code, None),
            Column("calendar_code", code, "HK"),
            Column("boarding_minutes", number, 120),
            Column("max_per_traveller", number, 9),
            Column("unaccompanied_types", several(code), []),
            Column("blackout_dates", several(day_text), []),
            Column("tiers", json_value, []),
            Column("age_limits", age_limits, []),
            Column("policy", json_object, {}),
            Column("direct_total", number, None),
            STATE,
        ),
        (
            ListField("fares", "product_fares", FARE),
            ListField("entitlements", "product_entitlements", ENTITLEMENT),
        ),
    ),
    FileNoun(
        "routes",
        ("route_id",),
        (
            Column("route_id", identifier),
            Column("product_id", identifier),
            Column("vehicle", code),
            STATE,
        ),
        (
            ListField(
                "stops",
                "route_stops",
                (
                    Column("stop_code", code),
                    Column("arrive_minutes", number),
                    Column("depart_minutes", number),
                    Column("approximate", flag, False, left_out=False),
                ),
            ),
            ListField(
                "fare_classes",
                "route_classes",
                (
                    Column("class_code", code),
                    Column("class_index", number),
                    *NAMES,
                    Column("seat_map", json_object, None),
                ),
            ),
            ListField(
                "fares",
                "route_fares",
                (
                    Column("class_code", code),
                    Column("origin", code),
                    Column("destination", code),
                    *FARE,
                ),
            ),
        ),
    ),
    FileNoun(
        "timetables",
        ("timetable_id",),
        (
            Column("timetable_id", identifier),
            Column("route_id", identifier),
            Column("service_number", code),
            Column("departure_clock", clock),
            Column("weekdays", weekdays),
            Column("first_date", day),
            Column("last_date", day),
            Column("seats", json_numbers),
            Column("sale_days", number),
            Column("closing_minutes", number),
            Column("added_dates", several(day), []),
            Column("removed_dates", several(day), []),
            Column("headway_seconds", number, None),
            STATE,
        ),
    ),
    FileNoun(
        "car_categories",
        ("product_id",),
        (
            Column("product_id", identifier),
            Column("category_code", code),
            Column("make", name_of(50)),
            Column("model", name_of(50)),
            Column("model_year", number),
            Column("seats", number),
            Column("doors", number),
            Column("large_bags", number, 0),
            Column("small_bags", number, 0),
            Column("transmission", code),
            Column("fuel_type", code),
            Column("air_conditioning", flag, False),
            Column("feature_codes", several(code), []),
            Column("image_urls", addresses, []),
            Column("min_driver_age", number),
            Column("young_driver_age", number, 0),
            Column("young_driver_minor", number, 0),
            Column("grace_minutes", number, DEFAULT_GRACE_MINUTES),
            Column("min_days", number, 1),
            Column("max_days", number, DEFAULT_MAX_DAYS),
            STATE,
        ),
    ),
    FileNoun(
        "rental_locations",
        ("location_id",),
        (
            Column("location_id", identifier),
            Column("city_code", code),
            *NAMES,
            Column("address_en", name_of(200)),
            Column("address_zh", name_of(200)),
            Column("phone", phone, ""),
            Column("latitude_microdegrees", number, None),
            Column("longitude_microdegrees", number, None),
            Column("pick_up", flag, True),
            Column("drop_off", flag, True),
            Column("closed_dates", several(day), []),
            Column("venue_code", code_or_none, None),
            STATE,
        ),
        (
            ListField(
                "opening_hours",
                "rental_opening_hours",
                (
                    Column("weekday", number),
                    Column("opens", clock_text),
                    Column("closes", clock_text),
                ),
            ),
        ),
    ),
    FileNoun(
        "rental_extras",
        ("extra_id",),
        (
            Column("extra_id", identifier),
            Column("extra_code", code),
            *NAMES,
            Column("charge_basis", code),
            Column("amount_minor", number),
            Column("currency_code", code),
            Column("max_quantity", number),
            Column("max_amount_minor", number, 0),
            Column("product_ids", several(identifier), []),
            STATE,
        ),
    ),
    FileNoun(
        "rental_fleets",
        ("fleet_id",),
        (
            Column("fleet_id", identifier),
            Column("product_id", identifier),
            Column("location_id", identifier),
            Column("cars", number),
            Column("first_date", day),
            Column("last_date", day),
            Column("sale_days", number),
            Column("closing_minutes", number),
            STATE,
        ),
        (
            ListField("fares", "rental_fares", FARE),
            ListField(
                "one_way",
                "rental_one_way",
                (Column("location_id", identifier), Column("fee_minor", number)),
            ),
        ),
    ),
    FileNoun(
        "promotions",
        ("promotion_id",),
        (
            Column("promotion_id", identifier),
            Column("code", code, None),
            *NAMES,
            Column("basis_points_off", number, 0),
            Column("amount_off_minor", number, 0),
            Column("currency_code", code, None),
            Column("begin_time", moment),
            Column("end_time", moment),
            Column("min_party", number, 1),
            Column("product_ids", several(identifier), []),
            Column("stackable", flag, False),
            Column("max_per_traveller", number, None),
            Column("cap", number, None),
            STATE,
        ),
    ),
)
"""Each is made of those before it."""
BY_NAME = {noun.name: noun for noun in NOUNS}
