"""A channel that belongs to a partner sells that partner's allotment, and nobody else's."""

from datetime import date, timedelta

from server.channels.due import ALL
from server.identity.callers import Partner
from server.partners.statements import partner_id_of
from server.partners.ticket_lists import WantedList, list_tickets
from server.tickets.listing import TicketFilter
from tests.support import rentals, timetable
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
    """Out of its stock of each day and of nobody else's, under an order of its own: sold, changed,
    and given back by the policy. Seen red with the offer of our own stock: it was ours that was
    taken.
    """
    await process.rent_out("expedia", "CP")
    first, end = day_of(4), day_of(6)
    left = process.known("expedia", "availability")
    assert {quantity(left["C", day]) for day in (first, day_of(5))} == {ALLOTTED}
    paid = buy_car(process, "B-1", first, end)
    await process.settle("expedia", "B-1")
    row = await process.row("expedia", "B-1")
    assert (row.state, row.fault) == ("CONFIRMED", "")
    assert (await process.count(OF_PARTNER), await process.count(OURS)) == (2, 0)
    await process.work_out("expedia")
    await process.push("expedia")
    left = process.known("expedia", "availability")
    assert [quantity(left["C", day]) for day in (first, day_of(5), end)] == [
        *[ALLOTTED - 1] * 2,
        ALLOTTED,
    ]
    assert await process.balances("CP") == {"PARTNER_RECEIVABLE": paid, "DEFERRED_REVENUE": -paid}
    assert await listed(process, "expedia:B-1") == [("ACTIVE", rentals.ECONOMY)]

    longer = {"return_date": f"{day_of(7)}T10:00:00", "total_price": total(process, first, 3)}
    process.vendors.simulator.books.change("expedia", "B-1", longer)
    await process.settle("expedia", "B-1", ALL)
    row = await process.row("expedia", "B-1")
    assert (row.state, row.fault, row.attempt) == ("CONFIRMED", "", 2)
    assert await process.count(OF_PARTNER) == 3
    process.vendors.simulator.books.change("expedia", "B-1", {"customer": ANOTHER})
    await process.settle("expedia", "B-1", ALL)
    assert (await process.row("expedia", "B-1")).attempt == 2  # the same rental

    process.vendors.simulator.books.cancel("expedia", "B-1", {})
    await process.settle("expedia", "B-1", ALL)
    row = await process.row("expedia", "B-1")
    assert (row.state, row.fault) == ("CANCELLED", "")
    assert (await process.count(OF_PARTNER), await process.count(OURS)) == (0, 0)
    books = await process.balances("CP")
    sold = await process.count("SELECT sum(amount_minor) FROM orders")
    assert books["PARTNER_RECEIVABLE"] == sold > paid
    assert books["DEFERRED_REVENUE"] == sum(books.values()) == 0
    assert books["REFUND_PAYABLE"] < 0
    assert await listed(process, "expedia:B-1") == [("REFUNDED", rentals.ECONOMY)] * 2


ANOTHER = {
    "email": "b-1@example.com",
    "first_name": "Wei",
    "last_name": "Wang",
    "phone": "+85291234568",
}


async def listed(process: BookingProcess, reference: str) -> list[tuple[str, int]]:
    """State and product of the partner's tickets under a payment reference."""
    wanted = WantedList(TicketFilter(), "", reference)
    async with process.db.transaction() as tx:
        partner = Partner(await partner_id_of(tx, "CP"), "CP", 100)
        page, _ = await list_tickets(
            *(tx, partner, wanted),
            zone=timetable.ZONE,
            after=None,
            limit=10,
            with_lines=False,
        )
    return [(each.state, each.product_id) for each in page.tickets]


def total(process: BookingProcess, first: str, days: int) -> float:
    """What so many days cost, as the channel knows it."""
    prices = process.known("expedia", "prices")
    known = sorted(day for item, day in prices if item == "C" and day >= first)[:days]
    return sum(float(price(prices["C", day])) for day in known)


def buy_car(process: BookingProcess, booking_id: str, first: str, end: str) -> int:
    """Somebody of thirty rents a car; what it costs, in minor units."""
    days = (date.fromisoformat(end) - date.fromisoformat(first)).days
    cost = total(process, first, days)
    process.buy(
        "expedia",
        booking_id,
        car_id="C",
        pickup_date=f"{first}T10:00:00",
        return_date=f"{end}T10:00:00",
        total_price=cost,
        driver_age=30,
    )
    return round(cost * 100)
