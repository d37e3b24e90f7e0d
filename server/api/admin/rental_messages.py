"""Car categories, rental locations, extras and fleets as protobuf messages, and what requests say
of them as plain values.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from deeptravel.admin.v1 import (
    car_category_pb2,
    rental_extra_pb2,
    rental_fleet_pb2,
    rental_location_pb2,
)

from server.api.admin.noun_messages import CATALOGUE_STATE, day, days
from server.api.admin.product_messages import fare_messages, fares
from server.api.convert import enum_names, enum_numbers, timestamp
from server.api.requests import optional
from server.catalog.car_categories import DEFAULT_MAX_DAYS, CarCategory
from server.catalog.rental_extras import RentalExtra
from server.catalog.rental_fleets import RentalFleet
from server.catalog.rental_locations import RentalLocation
from server.catalog.rental_rules import DEFAULT_GRACE_MINUTES
from server.stock.fleet_days import FleetDay

TRANSMISSION = enum_numbers(car_category_pb2.Transmission)
TRANSMISSION_NAME = enum_names(car_category_pb2.Transmission)
FUEL_TYPE = enum_numbers(car_category_pb2.FuelType)
FUEL_TYPE_NAME = enum_names(car_category_pb2.FuelType)
CHARGE_BASIS = enum_numbers(rental_extra_pb2.ChargeBasis)
CHARGE_BASIS_NAME = enum_names(rental_extra_pb2.ChargeBasis)


def category_message(category: CarCategory) -> car_category_pb2.CarCategory:
    """A car category."""
    enums = {
        "transmission": TRANSMISSION[category.transmission],
        "fuel_type": FUEL_TYPE[category.fuel_type],
        "state": CATALOGUE_STATE[category.state],
    }
    return car_category_pb2.CarCategory(**asdict(category) | enums)


def new_category(request: car_category_pb2.CreateCarCategoryRequest) -> CarCategory:
    """What CreateCarCategory asks for."""
    return CarCategory(
        product_id=request.product_id,
        category_code=request.category_code,
        make=request.make,
        model=request.model,
        model_year=request.model_year,
        seats=request.seats,
        doors=request.doors,
        large_bags=request.large_bags,
        small_bags=request.small_bags,
        transmission=TRANSMISSION_NAME[request.transmission],
        fuel_type=FUEL_TYPE_NAME[request.fuel_type],
        air_conditioning=request.air_conditioning,
        feature_codes=list(request.feature_codes),
        image_urls=list(request.image_urls),
        min_driver_age=request.min_driver_age,
        young_driver_age=request.young_driver_age,
        young_driver_minor=request.young_driver_minor,
        grace_minutes=optional(request, "grace_minutes", DEFAULT_GRACE_MINUTES),
        min_days=optional(request, "min_days", 1),
        max_days=optional(request, "max_days", DEFAULT_MAX_DAYS),
    )


def location_message(location: RentalLocation) -> rental_location_pb2.RentalLocation:
    """A rental location."""
    content = asdict(location) | {
        "opening_hours": [
            rental_location_pb2.OpeningHours(**each) for each in location.opening_hours
        ],
        "closed_dates": [each.isoformat() for each in location.closed_dates],
        "venue_code": location.venue_code or "",
        "state": CATALOGUE_STATE[location.state],
    }
    return rental_location_pb2.RentalLocation(**content)


def new_location(request: rental_location_pb2.CreateRentalLocationRequest) -> RentalLocation:
    """What CreateRentalLocation asks for. Raises INVALID_FIELD."""
    return RentalLocation(
        location_id=request.location_id,
        city_code=request.city_code,
        display_name_en=request.display_name_en,
        display_name_zh=request.display_name_zh,
        address_en=request.address_en,
        address_zh=request.address_zh,
        phone=request.phone,
        opening_hours=_hours(request.opening_hours),
        latitude_microdegrees=_place(request, "latitude_microdegrees"),
        longitude_microdegrees=_place(request, "longitude_microdegrees"),
        pick_up=request.pick_up or not request.HasField("pick_up"),
        drop_off=request.drop_off or not request.HasField("drop_off"),
        closed_dates=_closed_dates(request.closed_dates),
        venue_code=request.venue_code or None,
    )


def extra_message(extra: RentalExtra) -> rental_extra_pb2.RentalExtra:
    """An extra."""
    enums = {
        "charge_basis": CHARGE_BASIS[extra.charge_basis],
        "state": CATALOGUE_STATE[extra.state],
    }
    return rental_extra_pb2.RentalExtra(**asdict(extra) | enums)


def new_extra(request: rental_extra_pb2.CreateRentalExtraRequest) -> RentalExtra:
    """What CreateRentalExtra asks for."""
    return RentalExtra(
        extra_id=request.extra_id,
        extra_code=request.extra_code,
        display_name_en=request.display_name_en,
        display_name_zh=request.display_name_zh,
        charge_basis=CHARGE_BASIS_NAME[request.charge_basis],
        amount_minor=request.amount_minor,
        currency_code=request.currency_code,
        max_quantity=request.max_quantity,
        max_amount_minor=request.max_amount_minor,
        product_ids=list(request.product_ids),
    )


def fleet_message(fleet: RentalFleet) -> rental_fleet_pb2.RentalFleet:
    """A fleet."""
    content = asdict(fleet) | {
        "fares": fare_messages(fleet.fares),
        "first_date": fleet.first_date.isoformat(),
        "last_date": fleet.last_date.isoformat(),
        "one_way": [rental_fleet_pb2.OneWayRental(**each) for each in fleet.one_way],
        "state": CATALOGUE_STATE[fleet.state],
    }
    return rental_fleet_pb2.RentalFleet(**content)


def new_fleet(request: rental_fleet_pb2.CreateRentalFleetRequest) -> RentalFleet:
    """What CreateRentalFleet asks for. Raises INVALID_FIELD."""
    return RentalFleet(
        fleet_id=request.fleet_id,
        product_id=request.product_id,
        location_id=request.location_id,
        fares=fares(request.fares),
        cars=request.cars,
        first_date=day("first_date", request.first_date),
        last_date=day("last_date", request.last_date),
        sale_days=request.sale_days,
        closing_minutes=request.closing_minutes,
        one_way=_one_way(request.one_way),
    )


def stock_message(fleet_id: int, channel: str, of: FleetDay) -> rental_fleet_pb2.RentalStock:
    """A channel's cars of a fleet on one day."""
    return rental_fleet_pb2.RentalStock(
        fleet_id=fleet_id,
        use_date=of.use_date.isoformat(),
        channel=channel,
        total=of.total,
        held=of.held,
        sold=of.sold,
        available=of.total - of.held - of.sold,
        update_time=timestamp(of.update_time),
    )


def _place(request: rental_location_pb2.CreateRentalLocationRequest, name: str) -> int | None:
    return int(getattr(request, name)) if request.HasField(name) else None  # type: ignore[arg-type]


def _hours(messages: Iterable[rental_location_pb2.OpeningHours]) -> list[dict[str, Any]]:
    return [
        {"weekday": each.weekday, "opens": each.opens, "closes": each.closes} for each in messages
    ]


def _closed_dates(written: Iterable[str]) -> list[Any]:
    return sorted(days("closed_dates", written))


def _one_way(messages: Iterable[rental_fleet_pb2.OneWayRental]) -> list[dict[str, int]]:
    return [{"location_id": each.location_id, "fee_minor": each.fee_minor} for each in messages]


READ_LOCATION: Mapping[str, Callable[..., object]] = {
    "opening_hours": _hours,
    "closed_dates": _closed_dates,
    "venue_code": lambda code: code or None,
}
READ_FLEET: Mapping[str, Callable[..., object]] = {
    "fares": fares,
    "first_date": lambda written: day("first_date", written),
    "last_date": lambda written: day("last_date", written),
    "one_way": _one_way,
}
"""Of the fields of each Update request, those that are no plain values."""
