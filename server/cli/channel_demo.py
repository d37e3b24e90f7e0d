"""A booking at each simulated channel, from its connection to our confirmation: for those who try
it with `serve --channels`.
"""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from server.cli import ttd_demo
from server.cli.simulated import get, post, until
from server.platform.errors import StartError

ANNOUNCED_FILE = "channels.json"
LOCATION, THEIR_LOCATION = "HKG", "L-77"

Command = Callable[..., None]
"""Runs one of `deeptravel channels`, given as its words and what it reads from a file."""


def walk(
    folder: Path, product_id: int, currency: str, command: Command, *, server_url: str = ""
) -> Iterator[str]:
    """Books the package at each vendor; a line for each step. With the server's URL Ctrip's
    attractions channel calls it, too. Raises StartError.
    """
    try:
        announced = json.loads((folder / ANNOUNCED_FILE).read_text())
    except OSError:
        remedy = "start the server with --channels"
        raise StartError(f"{folder / ANNOUNCED_FILE} is not there; {remedy}") from None
    for vendor, said in announced["channels"].items():
        yield from _walk(f"{announced['url']}/simulator/{vendor}", vendor, said, command)(
            str(product_id), currency
        )
    if server_url:
        ttd = announced["ttd"]
        yield from ttd_demo.walk(announced["url"], ttd, server_url, command)(
            str(product_id), currency
        )


def _walk(
    url: str, vendor: str, said: dict[str, Any], command: Command
) -> Callable[[str, str], Iterator[str]]:
    code = f"DEMO-{vendor.upper().replace('_', '-')}-{datetime.now(UTC):%H%M%S}"

    def walk_through(product: str, currency: str) -> Iterator[str]:
        connect = ["connect", code, "--vendor", vendor, "--currency", currency]
        connect += ["--base-url", said["base_url"]]
        command(*connect, credentials=said["credentials"])
        command("test", code)
        yield f"{code}: connected; it answers, and knows us"
        command("map", code, "LOCATION", LOCATION, THEIR_LOCATION)
        for ours, theirs in said["statuses"].items():
            command("map", code, "STATUS", ours.upper(), theirs)
        listing = ["list-item", code, product, "--product", product, "--location", LOCATION]
        command(*listing, "--currency", currency, "--days", "10")
        price = _price(until(lambda: get(f"{url}/prices"), "prices are pushed")[-1])
        yield f"{code}: product {product} is listed, and sold there at {price['amount']} {currency}"
        booking_id = uuid4().hex[:8].upper()
        post(f"{url}/bookings", _booking(booking_id, product, currency, price))
        command("fetch", code)
        until(lambda: _confirmed(url, booking_id), "the booking is confirmed")
        yield f"{code}: booking {booking_id} for {price['day']} is an order of ours, and confirmed"
        command("bookings", code)
        command("pause", code)  # another demo's channel would fetch the same bookings

    return walk_through


def _price(entry: dict[str, Any]) -> dict[str, Any]:
    """Amount and day of a pushed price, whichever vendor's."""
    rate = entry.get("base_rate") or entry.get("baseRate")
    days = entry.get("date_range") or entry.get("dateRange") or {}
    day = entry.get("date") or days.get("start_date") or days.get("startDate")
    return {"amount": rate["amount"] if rate else entry["basePrice"], "day": day}


def _booking(booking_id: str, product: str, currency: str, price: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": booking_id,
        "car_id": product,
        "pickup_location_id": THEIR_LOCATION,
        "pickup_date": price["day"],
        "return_date": price["day"],
        "total_price": price["amount"],
        "currency": currency,
        "customer": {
            "email": f"{booking_id}@example.com",
            "first_name": "Wei",
            "last_name": "Wang",
        },
    }


def _confirmed(url: str, booking_id: str) -> list[Any]:
    found = get(f"{url}/bookings")
    return [each for each in found if each["id"] == booking_id and each["status"] == "confirmed"]
