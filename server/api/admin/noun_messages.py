"""The catalogue's nouns as protobuf messages, and requests to create one as plain values: cities,
stops, timetables, templates of entitlements, promotions.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time
from typing import Any

from deeptravel.admin.v1 import (
    city_pb2,
    entitlement_template_pb2,
    promotion_pb2,
    state_pb2,
    timetable_pb2,
)
from google.protobuf.timestamp_pb2 import Timestamp

from server.api.admin.product_messages import (
    ROTATING_CODE_NAME,
    USE_MODE_NAME,
    entitlement_values,
)
from server.api.convert import enum_numbers, timestamp
from server.api.requests import optional
from server.catalog.cities import City, Stop
from server.catalog.products import DEFAULT_GUARD_SECONDS
from server.catalog.promotions import KeptPromotion, PromotionRecord
from server.catalog.templates import EntitlementTemplate
from server.catalog.timetables import Timetable
from server.platform.errors import invalid

CATALOGUE_STATE = enum_numbers(state_pb2.CatalogueState)


def city_message(city: City) -> city_pb2.City:
    """A city."""
    return city_pb2.City(
        city_code=city.city_code,
        display_name_en=city.display_name_en,
        display_name_zh=city.display_name_zh,
        time_zone=city.time_zone,
        hot_rank=city.hot_rank or 0,
        state=CATALOGUE_STATE[city.state],
        version=city.version,
    )


def new_city(request: city_pb2.CreateCityRequest) -> City:
    """What CreateCity asks for."""
    return City(
        city_code=request.city_code,
        display_name_en=request.display_name_en,
        display_name_zh=request.display_name_zh,
        time_zone=request.time_zone,
        hot_rank=request.hot_rank or None,
    )


def stop_message(stop: Stop) -> city_pb2.Stop:
    """A stop."""
    return city_pb2.Stop(
        stop_code=stop.stop_code,
        city_code=stop.city_code,
        display_name_en=stop.display_name_en,
        display_name_zh=stop.display_name_zh,
        latitude_microdegrees=stop.latitude_microdegrees,
        longitude_microdegrees=stop.longitude_microdegrees,
        state=CATALOGUE_STATE[stop.state],
        version=stop.version,
    )


def new_stop(request: city_pb2.CreateStopRequest) -> Stop:
    """What CreateStop asks for."""
    return Stop(
        stop_code=request.stop_code,
        city_code=request.city_code,
        display_name_en=request.display_name_en,
        display_name_zh=request.display_name_zh,
        latitude_microdegrees=_place(request, "latitude_microdegrees"),
        longitude_microdegrees=_place(request, "longitude_microdegrees"),
    )


def _place(request: city_pb2.CreateStopRequest, name: str) -> int | None:
    return int(getattr(request, name)) if request.HasField(name) else None  # type: ignore[arg-type]


def timetable_message(timetable: Timetable) -> timetable_pb2.Timetable:
    """A timetable."""
    return timetable_pb2.Timetable(
        timetable_id=timetable.timetable_id,
        route_id=timetable.route_id,
        service_number=timetable.service_number,
        departure_clock=timetable.departure_clock.isoformat("minutes"),
        weekdays=[day for day in range(1, 8) if timetable.weekdays >> (day - 1) & 1],
        first_date=timetable.first_date.isoformat(),
        last_date=timetable.last_date.isoformat(),
        seats=[
            timetable_pb2.TimetableSeats(class_code=class_code, total=total)
            for class_code, total in sorted(timetable.seats.items())
        ],
        sale_days=timetable.sale_days,
        closing_minutes=timetable.closing_minutes,
        added_dates=[day.isoformat() for day in timetable.added_dates],
        removed_dates=[day.isoformat() for day in timetable.removed_dates],
        headway_seconds=timetable.headway_seconds or 0,
        state=CATALOGUE_STATE[timetable.state],
        version=timetable.version,
    )


def new_timetable(request: timetable_pb2.CreateTimetableRequest) -> Timetable:
    """What CreateTimetable asks for. Raises INVALID_FIELD."""
    return Timetable(
        timetable_id=request.timetable_id,
        route_id=request.route_id,
        service_number=request.service_number,
        departure_clock=time.fromisoformat(request.departure_clock),
        weekdays=weekdays(request.weekdays),
        first_date=day("first_date", request.first_date),
        last_date=day("last_date", request.last_date),
        seats=seats(request.seats),
        sale_days=request.sale_days,
        closing_minutes=request.closing_minutes,
        added_dates=days("added_dates", request.added_dates),
        removed_dates=days("removed_dates", request.removed_dates),
        headway_seconds=request.headway_seconds or None,
    )


def weekdays(numbers: Iterable[int]) -> int:
    """Days of the week as they are stored: bit 0 is Monday. Raises INVALID_FIELD."""
    bits = 0
    for index, number in enumerate(numbers):
        if not 1 <= number <= 7:
            raise invalid(f"weekdays[{index}]", f"is {number}; 1 is Monday, 7 Sunday")
        bits |= 1 << number - 1
    return bits


def seats(messages: Iterable[timetable_pb2.TimetableSeats]) -> dict[str, int]:
    """Seats by class, as they are stored. Raises INVALID_FIELD for a class that is named twice."""
    found: dict[str, int] = {}
    for index, each in enumerate(messages):
        if each.class_code in found:
            raise invalid(f"seats[{index}].class_code", f"{each.class_code} is there already")
        found[each.class_code] = each.total
    return found


def day(field: str, written: str) -> date:
    """The day in a text. Raises INVALID_FIELD."""
    try:
        return date.fromisoformat(written)
    except ValueError:
        raise invalid(field, f"{written!r} is not a day of the calendar") from None


def days(field: str, written: Iterable[str]) -> list[date]:
    """The days in texts. Raises INVALID_FIELD."""
    return [day(f"{field}[{index}]", each) for index, each in enumerate(written)]


def moment(field: str) -> Callable[[Timestamp], datetime]:
    """Makes a moment of a field. Raises INVALID_FIELD beyond years 1 to 9999."""

    def read(value: Timestamp) -> datetime:
        try:
            return value.ToDatetime(tzinfo=UTC)
        except (ValueError, OverflowError):
            raise invalid(field, "is not a time between the years 1 and 9999") from None

    return read


def _or_none(value: Any) -> Any:
    """None for what is empty."""
    return value or None


READ_CITY: Mapping[str, Callable[..., object]] = {"hot_rank": _or_none}
READ_TIMETABLE: Mapping[str, Callable[..., object]] = {
    "departure_clock": time.fromisoformat,
    "weekdays": weekdays,
    "first_date": lambda written: day("first_date", written),
    "last_date": lambda written: day("last_date", written),
    "seats": seats,
    "added_dates": lambda written: days("added_dates", written),
    "removed_dates": lambda written: days("removed_dates", written),
    "headway_seconds": _or_none,
}
READ_PROMOTION: Mapping[str, Callable[..., object]] = {
    "promotion_code": _or_none,
    "begin_time": moment("begin_time"),
    "end_time": moment("end_time"),
    "currency_code": _or_none,
    "max_per_traveller": _or_none,
}
"""Of the fields of each Update request, those that are no plain values."""
PROMOTION_NAMES = {"promotion_code": "code"}
"""Fields that the domain calls otherwise."""


def template_message(
    template: EntitlementTemplate,
) -> entitlement_template_pb2.EntitlementTemplate:
    """A template of an entitlement."""
    return entitlement_template_pb2.EntitlementTemplate(
        template_code=template.template_code,
        state=CATALOGUE_STATE[template.state],
        version=template.version,
        **entitlement_values(template.entitlement()),
    )


def new_template(
    request: entitlement_template_pb2.CreateEntitlementTemplateRequest,
) -> EntitlementTemplate:
    """What CreateEntitlementTemplate asks for."""
    return EntitlementTemplate(
        template_code=request.template_code,
        function_code=request.function_code,
        display_name_en=request.display_name_en,
        display_name_zh=request.display_name_zh,
        total_uses=request.total_uses,
        use_mode=USE_MODE_NAME[request.use_mode],
        guard_seconds=optional(request, "guard_seconds", DEFAULT_GUARD_SECONDS),
        shared=request.shared,
        rotating_code=ROTATING_CODE_NAME[request.rotating_code],
    )


def promotion_message(promotion: KeptPromotion) -> promotion_pb2.Promotion:
    """A promotion with its cap."""
    return promotion_pb2.Promotion(
        promotion_id=promotion.promotion_id,
        promotion_code=promotion.code or "",
        display_name_en=promotion.display_name_en,
        display_name_zh=promotion.display_name_zh,
        basis_points_off=promotion.basis_points_off,
        amount_off_minor=promotion.amount_off_minor,
        begin_time=timestamp(promotion.begin_time),
        end_time=timestamp(promotion.end_time),
        min_party=promotion.min_party,
        product_ids=promotion.product_ids,
        stackable=promotion.stackable,
        currency_code=promotion.currency_code or "",
        max_per_traveller=promotion.max_per_traveller or 0,
        capped=promotion.capped,
        cap=promotion.cap,
        held=promotion.held,
        used=promotion.used,
        state=CATALOGUE_STATE[promotion.state],
        version=promotion.version,
    )


def new_promotion(request: promotion_pb2.CreatePromotionRequest) -> tuple[PromotionRecord, int]:
    """What CreatePromotion asks for, and the cap; 0 if its orders are not counted."""
    record = PromotionRecord(
        promotion_id=request.promotion_id,
        code=request.promotion_code or None,
        display_name_en=request.display_name_en,
        display_name_zh=request.display_name_zh,
        basis_points_off=request.basis_points_off,
        amount_off_minor=request.amount_off_minor,
        begin_time=moment("begin_time")(request.begin_time),
        end_time=moment("end_time")(request.end_time),
        min_party=request.min_party or 1,
        product_ids=list(request.product_ids),
        stackable=request.stackable,
        capped=request.HasField("cap"),
        currency_code=request.currency_code or None,
        max_per_traveller=request.max_per_traveller or None,
    )
    return record, request.cap
