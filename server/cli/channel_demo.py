"""Bookings at each simulated channel, from its connection to our confirmations: for those who try
it with `serve --channels`.
"""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from server.cli import ttd_demo
from server.cli.simulated import get, post, until
from server.platform.errors import StartError

ANNOUNCED_FILE = "channels.json"
LOCATION, THEIR_LOCATION = "HKG", "L-77"
PARTNERS_VENDOR = "booking_com"
DAYS = "10"
DRIVER_AGE = 30
CAR = "car"

Command = Callable[..., None]
"""Runs one of `deeptravel channels`, given as its words and what it reads from a file."""


class DemoSale(NamedTuple):
    """What is sold at each vendor: a package, the first class of a timetable from its first stop to
    the stop at `destination`, and a car at a location; and whose allotment of the former two at a
    channel of its own, if anybody's.
    """

    product_id: int
    timetable_id: int
    destination: int
    car_id: int
    rental_location_id: int
    currency_code: str
    partner_code: str = ""


class DemoItem(NamedTuple):
    """An item: its id there, what it is, and how it is listed; a car is booked for a day."""

    item_id: str
    what: str
    options: tuple[str, ...]


def walk(folder: Path, sold: DemoSale, command: Command, *, server_url: str = "") -> Iterator[str]:
    """Books each item at each vendor, and those of the partner's allotment at a channel of its own;
    a line for each step. With the server's URL Ctrip's attractions channel calls it, too. Raises
    StartError.
    """
    try:
        announced = json.loads((folder / ANNOUNCED_FILE).read_text())
    except OSError:
        remedy = "start the server with --channels"
        raise StartError(f"{folder / ANNOUNCED_FILE} is not there; {remedy}") from None
    channels = [(vendor, "") for vendor in announced["channels"]]
    if sold.partner_code:
        channels.append((PARTNERS_VENDOR, sold.partner_code))
    for vendor, partner in channels:
        url, said = f"{announced['url']}/simulator/{vendor}", announced["channels"][vendor]
        yield from _walk(url, vendor, said, sold, command)(partner)
    if server_url:
        ttd = announced["ttd"]
        yield from ttd_demo.walk(announced["url"], ttd, server_url, command)(
            str(sold.product_id), sold.currency_code
        )


def _walk(
    url: str, vendor: str, said: dict[str, Any], sold: DemoSale, command: Command
) -> Callable[[str], Iterator[str]]:
    def walk_through(partner: str) -> Iterator[str]:
        parts = ("DEMO", *vendor.upper().split("_"), partner, f"{datetime.now(UTC):%H%M%S}")
        code = "-".join(filter(None, parts))
        connect = ["connect", code, "--vendor", vendor, "--currency", sold.currency_code]
        connect += ["--base-url", said["base_url"], "--partner", partner]
        command(*connect, credentials=said["credentials"])
        command("test", code)
        yield f"{code}: connected; it answers, and knows us"
        command("map", code, "LOCATION", LOCATION, THEIR_LOCATION)
        for ours, theirs in said["statuses"].items():
            command("map", code, "STATUS", ours.upper(), theirs)
        for item in _items(code, sold, partner):
            listing = ["list-item", code, item.item_id, *item.options, "--location", LOCATION]
            command(*listing, "--currency", sold.currency_code, "--days", DAYS)
            yield from _book(url, code, item, sold.currency_code, command)
        command("bookings", code)
        command("pause", code)  # another demo's channel would fetch the same bookings

    return walk_through


def _items(code: str, sold: DemoSale, partner: str) -> list[DemoItem]:
    found = [
        DemoItem(f"{code}-P", "package", ("--product", str(sold.product_id))),
        DemoItem(
            f"{code}-T",
            "departure",
            (
                *("--timetable", str(sold.timetable_id), "--class", "0", "--origin", "0"),
                *("--destination", str(sold.destination)),
            ),
        ),
    ]
    if not partner:
        place = ("--rental-location", str(sold.rental_location_id))
        found.append(DemoItem(f"{code}-C", CAR, ("--product", str(sold.car_id), *place)))
    return found


def _book(url: str, code: str, item: DemoItem, currency: str, command: Command) -> Iterator[str]:
    price = _price(until(lambda: _pushed(url, "prices", item), "prices are pushed")[-1])
    left = until(
        lambda: [each for each in _pushed(url, "availability", item) if _day(each) == price["day"]],
        "quantities are pushed",
    )[-1]
    yield (
        f"{code}: a {item.what} is listed as {item.item_id}, sold there at {price['amount']}"
        f" {currency}; {left.get('quantity', left.get('count'))} are left on {price['day']}"
    )
    booking_id = uuid4().hex[:8].upper()
    post(f"{url}/bookings", _booking(booking_id, item, currency, price))
    command("fetch", code)
    until(lambda: _confirmed(url, booking_id), "the booking is confirmed")
    yield f"{code}: booking {booking_id} for {price['day']} is an order of ours, and confirmed"


def _pushed(url: str, kind: str, item: DemoItem) -> list[dict[str, Any]]:
    names = ("carId", "car_id", "vehicleId")
    found = get(f"{url}/{kind}")
    return [each for each in found if item.item_id in [each.get(name) for name in names]]


def _price(entry: dict[str, Any]) -> dict[str, Any]:
    """Amount and day of a pushed price, whichever vendor's."""
    rate = entry.get("base_rate") or entry.get("baseRate")
    return {"amount": rate["amount"] if rate else entry["basePrice"], "day": _day(entry)}


def _day(entry: dict[str, Any]) -> Any:
    days = entry.get("date_range") or entry.get("dateRange") or {}
    return entry.get("date") or days.get("start_date") or days.get("startDate")


def _booking(
    booking_id: str, item: DemoItem, currency: str, price: dict[str, Any]
) -> dict[str, Any]:
    is_car = item.what == CAR
    back = date.fromisoformat(price["day"]) + timedelta(days=is_car)
    return {
        "id": booking_id,
        "car_id": item.item_id,
        "pickup_location_id": THEIR_LOCATION,
        "pickup_date": price["day"],
        "return_date": back.isoformat(),
        "total_price": price["amount"],
        "currency": currency,
        "customer": {
            "email": f"{booking_id}@example.com",
            "first_name": "Wei",
            "last_name": "Wang",
        },
        "driver_age": DRIVER_AGE if is_car else None,
    }


def _confirmed(url: str, booking_id: str) -> list[Any]:
    found = get(f"{url}/bookings")
    return [each for each in found if each["id"] == booking_id and each["status"] == "confirmed"]
