"""A channel that belongs to a partner sells that partner's allotment, and nobody else's."""

from datetime import timedelta

from server.channels.due import ALL
from tests.support import timetable
from tests.support.booking_process import ALLOTTED, BookingProcess, allot
from tests.support.channel_process import price, quantity


def day_of(ahead: int) -> str:
    return (timetable.today() + timedelta(days=ahead)).isoformat()


def of_allotment(where: str) -> str:
    return f"SELECT sum(held + sold) FROM stocks WHERE {where}"


OF_PARTNER, OURS = of_allotment("partner_id > 0"), of_allotment("partner_id = 0")


async def test_a_partners_channel_sells_its_allotment(process: BookingProcess) -> None:
    """Of its stock and of nobody else's, under an order of its own: sold, changed, cancelled by the
    policy, and by us, when all goes back.
    """
    await allot(process.db)
    await process.sell_at("expedia", partner_code="CP")
    left = process.known("expedia", "availability")
    assert {quantity(c) for (_, day), c in left.items() if day >= day_of(1)} == {ALLOTTED}
    process.buy("expedia", "P-1", pickup_date=day_of(3), return_date=day_of(3))
    process.buy("expedia", "T-1", car_id="T", total_price=4290, currency="JPY")
    for booking_id in ("P-1", "T-1"):
        await process.settle("expedia", booking_id)
        row = await process.row("expedia", booking_id)
        assert (row.state, row.fault) == ("CONFIRMED", "")
        assert process.theirs("expedia", booking_id)["status"] == "confirmed"
    owned = "SELECT count(*) FROM orders WHERE partner_id > 0 AND state = 'PAID'"
    assert await process.count(owned) == await process.count("SELECT count(*) FROM orders") == 2
    assert (await process.count(OF_PARTNER), await process.count(OURS)) == (2, 0)

    process.vendors.simulator.books.change(
        "expedia", "P-1", {"pickup_date": day_of(4), "return_date": day_of(4)}
    )
    await process.settle("expedia", "P-1", ALL)
    row = await process.row("expedia", "P-1")
    assert (row.state, row.fault, row.attempt) == ("CONFIRMED", "", 2)
    assert await process.count(owned) == 2
    assert await process.count(OF_PARTNER) == 2

    process.vendors.simulator.books.cancel("expedia", "P-1", {})
    await process.settle("expedia", "P-1", ALL)
    row = await process.row("expedia", "P-1")
    assert (row.state, row.fee_minor) == ("CANCELLED", 6_000)  # 80 % until a day before
    await process.cancel("expedia", "T-1")
    await process.settle("expedia", "T-1")
    row = await process.row("expedia", "T-1")
    assert (row.state, row.fee_minor) == ("CANCELLED", 0)
    assert await process.count("SELECT count(*) FROM orders WHERE state <> 'CANCELLED'") == 0
    assert (await process.count(OF_PARTNER), await process.count(OURS)) == (0, 0)


async def test_a_partner_without_any_left_sells_nothing_of_ours(process: BookingProcess) -> None:
    """Seen red with the order of our own channel: it was sold."""
    await allot(process.db)
    await process.sell_at("expedia", partner_code="CP")
    await process.sql("UPDATE stocks SET total = 0 WHERE partner_id > 0")
    process.buy("expedia", "P-1")
    await process.settle("expedia", "P-1")
    assert (await process.row("expedia", "P-1")).state == "REJECTED"
    assert await process.count("SELECT count(*) FROM orders") == 0


async def test_a_partners_channel_rents_out_its_cars(process: BookingProcess) -> None:
    """Out of its stock of each day and nobody else's; a change is reported, and a cancellation
    gives all back. Seen red with the offer of our own stock: it was ours that was taken.
    """
    await process.rent_out("expedia", "CP")
    first, end = (timetable.tomorrow() + timedelta(days=each) for each in (3, 5))
    days = [str(first), str(first + timedelta(days=1))]
    left = process.known("expedia", "availability")
    assert {quantity(left["C", day]) for day in days} == {ALLOTTED}
    prices = process.known("expedia", "prices")
    booked = {
        "car_id": "C",
        "pickup_date": f"{first}T10:00:00",
        "return_date": f"{end}T10:00:00",
        "total_price": sum(float(price(prices["C", day])) for day in days),
        "driver_age": 30,
    }
    process.buy("expedia", "B-1", **booked)
    await process.settle("expedia", "B-1")
    row = await process.row("expedia", "B-1")
    assert (row.state, row.fault) == ("CONFIRMED", "")
    assert (await process.count(OF_PARTNER), await process.count(OURS)) == (2, 0)
    await process.work_out("expedia")
    await process.push("expedia")
    left = process.known("expedia", "availability")
    assert [quantity(left["C", day]) for day in (*days, str(end))] == [ALLOTTED - 1] * 2 + [
        ALLOTTED
    ]

    longer = {"return_date": f"{end + timedelta(days=1)}T10:00:00"}
    process.vendors.simulator.books.change("expedia", "B-1", longer)
    await process.settle("expedia", "B-1", ALL)
    assert "book anew" in (await process.row("expedia", "B-1")).fault

    process.vendors.simulator.books.cancel("expedia", "B-1", {})
    await process.settle("expedia", "B-1", ALL)
    row = await process.row("expedia", "B-1")
    assert (row.state, row.fee_minor) == ("CANCELLED", 0)
    assert (await process.count(OF_PARTNER), await process.count(OURS)) == (0, 0)
