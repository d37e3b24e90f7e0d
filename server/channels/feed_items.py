"""What of a listing stands in the feed on whatever day: names, car, places, extras and policies,
worked out of the catalogue and kept as static data are.
"""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

from server.catalog.catalogue import Catalogue
from server.catalog.listed import ListedProduct
from server.catalog.offers import Offer, OfferStop, RentalPlace
from server.catalog.policy import Policy, TicketStart
from server.catalog.policy_words import summary
from server.channels.facts import Capability
from server.channels.listed_values import WantedValue, offer_id_of, planned
from server.channels.listings import ChannelListing
from server.channels.static_values import NO_DAY

CAR = (
    *("category_code", "make", "model", "model_year", "seats", "doors", "large_bags", "small_bags"),
    *("transmission", "fuel_type", "air_conditioning", "feature_codes", "image_urls"),
    *("min_driver_age", "min_days", "max_days"),
)
"""What is said of a car."""


def feed_values(
    catalogue: Catalogue, listings: Iterable[ChannelListing], *, today: date
) -> list[WantedValue]:
    """The listings that are on sale, as the feed has them."""
    return [
        WantedValue(
            *(Capability.STATIC, listing.item_id, NO_DAY, listing.location, 0, None, None),
            content=content,
        )
        for listing in listings
        if (content := _content(catalogue, listing, today))
    ]


def _content(catalogue: Catalogue, listing: ChannelListing, today: date) -> dict[str, Any] | None:
    if listing.timetable_id is not None:
        offer = _first_offer(catalogue, listing, today)
        product = catalogue.products.get(offer.product_id) if offer else None
        return _said(catalogue, listing, product, offer) if product else None
    product = catalogue.products.get(listing.product_id or 0)
    return _said(catalogue, listing, product, None) if product else None


def _first_offer(catalogue: Catalogue, listing: ChannelListing, today: date) -> Offer | None:
    for ahead in range(listing.days_ahead):
        if offer := catalogue.offer(offer_id_of(listing, today + timedelta(days=ahead))):
            return offer
    return None


def _said(
    catalogue: Catalogue, listing: ChannelListing, product: ListedProduct, offer: Offer | None
) -> dict[str, Any]:
    rentals, journey = catalogue.rentals, offer.journey if offer else None
    car = rentals.cars.get(product.product_id)
    place = rentals.locations.get(listing.rental_location_id or 0)
    start = TicketStart.PICK_UP if car else TicketStart.FIRST_DAY
    policy = summary(
        Policy.parse(product.policy),
        product.currency_code,
        start=TicketStart.DEPARTURE if journey else start,
    )
    extras = [each for each in rentals.extras.values() if car and each.is_for(product)]
    return {
        "kind": product.kind,
        "names": _names(product),
        "customer_type": listing.customer_type,
        "includes": [_names(each) for each in product.entitlements],
        "car": {name: getattr(car, name) for name in CAR} if car else None,
        "pick_up": _place(place) if place else None,
        "journey": {
            "service_number": journey.service_number,
            "origin": _stop(journey.origin),
            "destination": _stop(journey.destination),
            "class_names": {"en": journey.fare_class_name_en, "zh": journey.fare_class_name_zh},
        }
        if journey
        else None,
        "extras": [
            {
                "extra_code": each.extra_code,
                "names": _names(each),
                "charge_basis": each.charge_basis,
                "max_quantity": each.max_quantity,
                "price_minor": planned(listing, each.currency_code, each.amount_minor),
                "currency": listing.currency_code,
            }
            for each in extras
        ],
        "refund": {"en": policy.refund_en, "zh": policy.refund_zh},
        "change": {"en": policy.change_en, "zh": policy.change_zh},
    }


def _names(named: Any) -> dict[str, str]:
    if isinstance(named, dict):
        return {"en": named["display_name_en"], "zh": named["display_name_zh"]}
    return {"en": named.display_name_en, "zh": named.display_name_zh}


def _stop(stop: OfferStop) -> dict[str, Any]:
    return {"stop_code": stop.stop_code, "city_code": stop.city_code, "names": _names(stop)}


def _place(place: RentalPlace) -> dict[str, Any]:
    return {
        "names": _names(place),
        "addresses": {"en": place.address_en, "zh": place.address_zh},
        "phone": place.phone,
        "city_code": place.city_code,
        "time_zone": place.time_zone,
        "opening_hours": place.opening_hours,
        "closed_dates": place.closed_dates,
    }
