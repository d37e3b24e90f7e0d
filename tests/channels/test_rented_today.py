"""Cars that are booked for a day that is under way, and for a day without a time of the clock."""

from datetime import datetime, time, timedelta
from typing import Any

from sqlalchemy import text

from server.catalog.rental_rules import RentalKey
from server.channels.asking import get_booking
from server.channels.booked_offers import booked_offer
from server.channels.booking_seals import BookingSeals
from server.channels.listed_values import listed_days
from server.channels.listings import listings_of
from server.stock.ids import DIRECT
from tests.support import rentals, timetable
from tests.support.booking_process import BookingProcess
from tests.support.rpc_server import SECRET_KEY

# the location is open from 7 to 23, and the fleet is booked until an hour before
LOOKS = [
    ("05:45", True, "07:00"),
    ("06:00", True, "07:15"),
    ("14:00", True, "15:15"),
    ("14:01", True, "15:30"),
    ("21:45", True, "23:00"),
    ("21:59", True, "23:00"),
    ("22:00", False, "23:00"),
]


async def test_a_car_is_booked_for_today_as_long_as_it_can_be_picked_up(
    process: BookingProcess,
) -> None:
    """Seen red with the offer of the opening alone: nothing was left from an hour before it on."""
    await process.rent_out("expedia")
    day = timetable.tomorrow()
    day_minor = rentals.DAY_MINOR["weekend" if day.isoweekday() > 5 else "weekday"]
    process.buy(
        *("expedia", "B-1"),
        car_id="C",
        pickup_date=day.isoformat(),
        return_date=(day + timedelta(days=1)).isoformat(),
        total_price=day_minor / 100,
        driver_age=30,
    )
    await process.settle("expedia", "B-1")
    row = await process.row("expedia", "B-1")
    assert (row.state, row.fault, row.cancel_comment) == ("CONFIRMED", "", "")
    catalogue = await process.catalogues.get()
    async with process.db.transaction() as tx:
        listings = await listings_of(tx, "expedia")
        stored = await get_booking(tx, "expedia", "B-1")
        order = "SELECT content -> 'items' -> 0 ->> 'offer_id' FROM orders"
        ordered = RentalKey.parse(str(await tx.scalar(text(order))))
    assert ordered
    assert ordered.pick_up == datetime.combine(day, time(7))
    cars = [each for each in listings if each.item_id == "C"]
    content = BookingSeals(SECRET_KEY).open(stored)
    for clock, is_sold, pick_up in LOOKS:
        now = datetime.combine(day, time.fromisoformat(clock), timetable.ZONE)
        of: Any = {"partner_id": DIRECT, "today": day, "now": now}
        first = listed_days(catalogue, cars, **of)[0]
        assert (first.offer is not None) is is_sold, clock
        found = RentalKey.parse(booked_offer(catalogue, listings, content, at=now).offer_id)
        assert found
        assert found.pick_up == datetime.combine(day, time.fromisoformat(pick_up)), clock
        offer = catalogue.rental(found)
        assert offer
        assert (offer.unavailable(now) == "") is is_sold, clock
