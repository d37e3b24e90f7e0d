"""Bookings at each simulated channel, from its connection to our confirmations, a change, and an
end by either side: for those who try it with `serve --channels`.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from server.cli import ttd_demo
from server.cli.simulated import get, post, until
from server.platform.currencies import money_text
from server.platform.errors import StartError

if TYPE_CHECKING:
    from server.channels.booking_seals import StoredBooking

ANNOUNCED_FILE = "channels.json"
LOCATION, THEIR_LOCATION = "HKG", "L-77"
PARTNERS_VENDOR = "booking_com"
DAYS = "10"
DRIVER_AGE = 30
PACKAGE, DEPARTURE, CAR = "package", "departure", "car"
CANCELLED = "CANCELLED"

Command = Callable[..., None]
"""Runs one of `deeptravel channels`, given as its words and what it reads from a file."""
Look = Callable[[str, str], "StoredBooking"]
"""Reads a booking, by the codes of channel and booking."""


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


def commands(run: Callable[..., Any], folder: Path) -> Command:
    """The commands of an application, as `run` has them; credentials are in a file meanwhile."""

    def command(*words: str, credentials: dict[str, str] | None = None) -> None:
        if not credentials:
            run([*words], standalone_mode=False)
            return
        with tempfile.NamedTemporaryFile("w", suffix=".json", dir=folder) as file:
            file.write(json.dumps(credentials))
            file.flush()
            run([*words, "--credentials", file.name], standalone_mode=False)

    return command


def walk(
    folder: Path, sold: DemoSale, command: Command, look: Look, *, server_url: str = ""
) -> Iterator[str]:
    """Books each item at each vendor, and those of the partner's allotment at a channel of its own:
    then the customer changes the package's booking and cancels the departure's, and we cancel the
    car's. A line for each step. With the server's URL Ctrip's attractions channel calls it, too.
    Raises StartError.
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
        parts = ("DEMO", *vendor.upper().split("_"), partner, f"{datetime.now(UTC):%H%M%S}")
        code = "-".join(filter(None, parts))
        yield from _DemoChannel(url, code, sold, command, look).walk(vendor, partner, said)
    if server_url:
        ttd = announced["ttd"]
        yield from ttd_demo.walk(announced["url"], ttd, server_url, command)(
            str(sold.product_id), sold.currency_code
        )


class _DemoChannel(NamedTuple):
    url: str
    code: str
    sold: DemoSale
    command: Command
    look: Look

    def walk(self, vendor: str, partner: str, said: dict[str, Any]) -> Iterator[str]:
        """Connects, sells, and lets another demo have the account."""
        code, currency, command = self.code, self.sold.currency_code, self.command
        connect = ["connect", code, "--vendor", vendor, "--currency", currency]
        connect += ["--base-url", said["base_url"], "--partner", partner]
        command(*connect, credentials=said["credentials"])
        command("test", code)
        yield f"{code}: connected; it answers, and knows us"
        command("map", code, "LOCATION", LOCATION, THEIR_LOCATION)
        for ours, theirs in said["statuses"].items():
            command("map", code, "STATUS", ours.upper(), theirs)
        then = {PACKAGE: self._change, DEPARTURE: self._cancel_there, CAR: self._cancel}
        for item in _items(code, self.sold, partner):
            listing = ["list-item", code, item.item_id, *item.options, "--location", LOCATION]
            command(*listing, "--currency", currency, "--days", DAYS)
            booking_id = uuid4().hex[:8].upper()
            yield from self._book(item, booking_id)
            yield from then[item.what](item, booking_id)
        command("bookings", code)
        command("pause", code)  # another demo's channel would fetch the same bookings

    def _book(self, item: DemoItem, booking_id: str) -> Iterator[str]:
        url, currency = self.url, self.sold.currency_code
        price = _price(until(lambda: _pushed(url, "prices", item), "prices are pushed")[-1])
        left = until(
            lambda: [e for e in _pushed(url, "availability", item) if _day(e) == price["day"]],
            "quantities are pushed",
        )[-1]
        yield (
            f"{self.code}: a {item.what} is listed as {item.item_id}, sold there at"
            f" {price['amount']} {currency}; {left.get('quantity', left.get('count'))} are left on"
            f" {price['day']}"
        )
        post(f"{url}/bookings", _booking(booking_id, item, currency, price))
        self.command("fetch", self.code)
        until(lambda: _confirmed(url, booking_id), "the booking is confirmed")
        yield (
            f"{self.code}: booking {booking_id} for {price['day']} is an order of ours, and"
            " confirmed"
        )

    def _change(self, item: DemoItem, booking_id: str) -> Iterator[str]:
        """The customer takes another day: the one before."""
        price = _price(_pushed(self.url, "prices", item)[-2])
        days = {"pickup_date": price["day"], "return_date": price["day"]}
        changed = {**days, "total_price": price["amount"]}
        post(f"{self.url}/bookings/{booking_id}", changed, method="PUT")
        self.command("fetch", self.code)
        until(lambda: _confirmed(self.url, booking_id, times=2), "the change is confirmed")
        yield (
            f"{self.code}: booking {booking_id} was changed to {price['day']} by the customer; so"
            " is the order, and it is confirmed again"
        )

    def _cancel_there(self, _item: DemoItem, booking_id: str) -> Iterator[str]:
        """The customer cancels: what is kept is what the product's policy says."""
        post(f"{self.url}/bookings/{booking_id}", {"status": "cancelled"}, method="PUT")
        self.command("fetch", self.code)
        kept, total = self._ended(booking_id)
        yield (
            f"{self.code}: booking {booking_id} was cancelled by the customer; of {total} a fee of"
            f" {kept} is kept"
        )

    def _cancel(self, _item: DemoItem, booking_id: str) -> Iterator[str]:
        """We cancel, and nothing is kept."""
        why = ("the car is broken", "--reason", "vehicle_unavailable")
        self.command("cancel-booking", self.code, booking_id, *why)
        kept, total = self._ended(booking_id)
        yield (
            f"{self.code}: booking {booking_id} was cancelled by us, and is there; of {total} a fee"
            f" of {kept} is kept"
        )

    def _ended(self, booking_id: str) -> tuple[str, str]:
        """Fee and total of a booking, as soon as it is cancelled."""

        def ended() -> list["StoredBooking"]:
            return [each for each in [self.look(self.code, booking_id)] if each.state == CANCELLED]

        (found,) = until(ended, "the booking is cancelled")
        currency = found.currency_code
        return money_text(found.fee_minor, currency), money_text(found.total_minor, currency)


def _items(code: str, sold: DemoSale, partner: str) -> list[DemoItem]:
    found = [
        DemoItem(f"{code}-P", PACKAGE, ("--product", str(sold.product_id))),
        DemoItem(
            f"{code}-T",
            DEPARTURE,
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


def _confirmed(url: str, booking_id: str, *, times: int = 1) -> list[Any]:
    """The booking, if it is confirmed there for the so-manieth time."""
    wanted = booking_id, "confirmed", times
    found = get(f"{url}/bookings")
    return [each for each in found if (each["id"], each["status"], each["confirms"]) == wanted]
