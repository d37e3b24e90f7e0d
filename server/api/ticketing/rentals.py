"""Rentals as protobuf messages, and what SearchRentals asks for."""

from dataclasses import asdict

from deeptravel.ticketing.v1 import offer_pb2, rental_pb2

from server.api import convert
from server.catalog.offers import OfferRental, RentalPlace, RentedExtra
from server.search.rentals import RentalQuery

TRANSMISSIONS = convert.enum_numbers(offer_pb2.Transmission)
FUEL_TYPES = convert.enum_numbers(offer_pb2.FuelType)


def query(request: rental_pb2.SearchRentalsRequest) -> RentalQuery:
    """What SearchRentals asks for."""
    return RentalQuery(
        pick_up_location_id=request.pick_up_location_id,
        city_code=request.city_code,
        drop_off_location_id=request.drop_off_location_id,
        pick_up_clock=request.pick_up_clock,
        return_clock=request.return_clock,
        driver_age=request.driver_age,
        extras=tuple([(each.extra_code, each.quantity) for each in request.extras]),
        cars=request.cars or 1,
        category_codes=frozenset(request.category_codes),
        available_only=request.available_only,
        promotion_codes=tuple(request.promotion_codes),
    )


def rental_message(rental: OfferRental) -> offer_pb2.Rental:
    """A rental."""
    car = {name: rental.car[name] for name in _CAR}
    return offer_pb2.Rental(
        car=offer_pb2.Car(
            **car,
            transmission=TRANSMISSIONS[rental.car["transmission"]],
            fuel_type=FUEL_TYPES[rental.car["fuel_type"]],
        ),
        pick_up_location=location_message(rental.pick_up_location),
        drop_off_location=location_message(rental.drop_off_location),
        pick_up_time=convert.timestamp(rental.pick_up_time),
        return_time=convert.timestamp(rental.return_time),
        days=len(rental.day_types),
        driver_age=rental.driver_age,
        min_driver_age=rental.car["min_driver_age"],
        extras=map(extra_message, rental.extras),
        grace_minutes=rental.car["grace_minutes"],
    )


def location_message(place: RentalPlace) -> offer_pb2.RentalLocation:
    """A place where cars are picked up or returned."""
    content = asdict(place) | {
        "opening_hours": [offer_pb2.OpeningHours(**each) for each in place.opening_hours]
    }
    del content["venue_code"]
    return offer_pb2.RentalLocation(**content)


def extra_message(extra: RentedExtra) -> offer_pb2.RentalExtra:
    """An extra."""
    return offer_pb2.RentalExtra(**asdict(extra))


_CAR = (
    *("category_code", "make", "model", "model_year", "seats", "doors", "large_bags"),
    *("small_bags", "air_conditioning", "feature_codes", "image_urls"),
)
