"""What a channel is to know of a listed car on whatever day: the car, and in words where it is
picked up, what it can be rented with, and how it is given back.

Seed 003 has a wire for cars alone. So locations, extras and policies stand in the description,
which Booking.com and Expedia take; packages and departures have no static data.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import date
from typing import Any

from server.catalog.catalogue import Catalogue
from server.catalog.listed import ListedProduct
from server.catalog.policy import Policy, TicketStart
from server.catalog.policy_words import summary
from server.catalog.rental_offers import ListedCar, ListedExtra
from server.channels.facts import Capability, StaticItem
from server.channels.listed_values import WantedValue, planned
from server.channels.listings import ChannelListing
from server.channels.words import category_names
from server.platform.currencies import money_text

NO_DAY = date.max
"""The day that static data are kept under."""
BASIS = {"PER_DAY": ("a day", "/天"), "PER_RENTAL": ("a rental", "/次")}
AUTOMATIC = "AUTOMATIC"


def static_values(catalogue: Catalogue, listings: Iterable[ChannelListing]) -> list[WantedValue]:
    """The static data of the listed cars that are on sale."""
    return [
        WantedValue(
            *(Capability.STATIC, listing.item_id, NO_DAY, listing.location, 0, None, None),
            content=content,
        )
        for listing in listings
        if (content := _content(catalogue, listing))
    ]


def static_item(item_id: str, content: Mapping[str, Any]) -> StaticItem:
    """Static data as they are kept, for a codec."""
    return StaticItem(item_id, **content)


def _content(catalogue: Catalogue, listing: ChannelListing) -> dict[str, Any] | None:
    car = catalogue.rentals.cars.get(listing.product_id or 0)
    product = catalogue.products.get(listing.product_id or 0)
    if car is None or product is None:
        return None
    item = StaticItem(
        item_id=listing.item_id,
        names={"en": product.display_name_en, "zh": product.display_name_zh},
        texts=_texts(catalogue, listing, product, car),
        make=car.make,
        model=car.model,
        year=car.model_year,
        category=car.category_code,
        seats=car.seats,
        doors=car.doors,
        automatic=car.transmission == AUTOMATIC,
        air_conditioning=car.air_conditioning,
        fuel=car.fuel_type,
        image_urls=tuple(car.image_urls),
        features=tuple(car.feature_codes),
    )
    fields = asdict(item)
    del fields["item_id"]
    return fields


def _texts(
    catalogue: Catalogue, listing: ChannelListing, product: ListedProduct, car: ListedCar
) -> dict[str, str]:
    """The seed's description, and what its shapes have no field for."""
    name_en, name_zh = category_names(car.category_code)
    named = f"{car.make} {car.model} ({car.model_year}) - "
    texts_en, texts_zh = [f"{named}{name_en}."], [f"{named}{name_zh}。"]
    place = catalogue.rentals.locations.get(listing.rental_location_id or 0)
    if place:
        texts_en.append(f"Picked up at {place.display_name_en}, {place.address_en}.")
        texts_zh.append(f"取车门店：{place.display_name_zh}，{place.address_zh}。")
    extras = [each for each in catalogue.rentals.extras.values() if each.is_for(product)]
    if extras:
        lines_en, lines_zh = zip(*_extras(listing, extras), strict=True)
        texts_en.append(f"Extras: {'; '.join(lines_en)}.")
        texts_zh.append(f"附加服务：{'；'.join(lines_zh)}。")
    policy = summary(Policy.parse(product.policy), product.currency_code, start=TicketStart.PICK_UP)
    texts_en += [policy.refund_en, policy.change_en]
    texts_zh += [policy.refund_zh, policy.change_zh]
    return {"en": " ".join(texts_en), "zh": "".join(texts_zh)}


def _extras(listing: ChannelListing, extras: Iterable[ListedExtra]) -> Iterator[tuple[str, str]]:
    """Each with what it costs by the listing's price plan."""
    for each in extras:
        minor = planned(listing, each.currency_code, each.amount_minor)
        cost, (basis_en, basis_zh) = (
            money_text(minor, listing.currency_code),
            BASIS[each.charge_basis],
        )
        yield (
            f"{each.display_name_en} {cost} {basis_en}",
            f"{each.display_name_zh} {cost}{basis_zh}",
        )
