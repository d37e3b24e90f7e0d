"""A process dies at each step of a booking, and another goes on: there is one order and one
confirmation, and our orders and the vendor's books agree.

A kill is an error that nothing catches, before or after each commit and each call to the vendor.
"""

from datetime import timedelta
from typing import Any

import pytest

from server.channels.http_pool import HttpPool, NoVendorAnswerError
from server.channels.wire import WireAnswer, WireRequest
from tests.support import timetable
from tests.support.booking_process import BookingProcess
from tests.support.channels import CONNECTED
from tests.support.fuse import Fuse, KilledError

MOST_BOUNDARIES = 60


async def until_killed(process: BookingProcess, vendor: str, booking_id: str) -> bool:
    """Fetches and works on a booking; whether it was killed: the process after it does not know
    that the vendor's confirmations are away.
    """
    try:
        await process.settle(vendor, booking_id, "ALL")
    except KilledError:
        await process.reset_breaker(vendor)
        return True
    return False


def agree(found: Any, theirs: dict[str, Any], state: str) -> None:
    assert found.state == {"confirmed": "CONFIRMED", "cancelled": "CANCELLED"}[theirs["status"]]
    assert found.state == state
    assert found.fault == ""


@pytest.mark.parametrize("vendor", CONNECTED)
async def test_killed_at_each_step_of_a_sale_and_of_its_end(
    process: BookingProcess, vendor: str, fuse: Fuse
) -> None:
    """Seen red with the order made under a request_id of its own each time: a hold was left."""
    await process.sell_at(vendor)
    day = (timetable.tomorrow() + timedelta(days=2)).isoformat()
    for step in range(MOST_BOUNDARIES):
        booking_id = f"B-{step}"
        process.buy(vendor, booking_id, pickup_date=day, return_date=day)
        process.vendors.switch(lost_answers={f"{vendor}:confirm": 1})
        fuse.left = step
        was_killed = await until_killed(process, vendor, booking_id)
        fuse.left = -1
        await process.settle(vendor, booking_id, "ALL")
        agree(
            await process.row(vendor, booking_id), process.theirs(vendor, booking_id), "CONFIRMED"
        )
        assert [order[1:3] for order in await process.orders(vendor, booking_id)] == [
            ("PAID", ("ACTIVE",))
        ]
        assert process.theirs(vendor, booking_id)["confirms"] == 1
        process.vendors.simulator.books.cancel(vendor, booking_id, {})
        fuse.left = step
        was_killed |= await until_killed(process, vendor, booking_id)
        fuse.left = -1
        await process.settle(vendor, booking_id, "ALL")
        agree(
            await process.row(vendor, booking_id), process.theirs(vendor, booking_id), "CANCELLED"
        )
        if not was_killed:
            break
    else:
        raise AssertionError("there is no end to it")
    assert step > 10
    paid = "SELECT count(*) FROM orders WHERE state IN ('PENDING', 'PAID')"
    assert await process.count(paid) == 0
    assert await process.count("SELECT count(*) FROM orders") == step + 1
    assert not process.vendors.faults(vendor)


@pytest.mark.parametrize("vendor", CONNECTED)
async def test_what_a_vendor_carries_out_late_is_not_sent_again(
    process: BookingProcess, vendor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a process that died with a confirmation on its way. Seen red without the wait: it was
    confirmed twice.
    """
    await process.sell_at(vendor)
    process.buy(vendor, "LATE")
    before = process.vendors.count(vendor, "confirm")
    await process.fetch(vendor)
    send = HttpPool.send

    async def lost(pool: HttpPool, request: WireRequest) -> WireAnswer:
        if "confirm" in request.path:
            raise NoVendorAnswerError("it is on its way", was_sent=True)
        return await send(pool, request)

    with monkeypatch.context() as patched:
        patched.setattr(HttpPool, "send", lost)
        assert await process.book(vendor, "LATE")
    assert await process.book(vendor, "LATE")
    assert process.vendors.count(vendor, "confirm") == before
    number = (await process.row(vendor, "LATE")).confirmation_number
    process.vendors.simulator.books.confirm(vendor, "LATE", number)
    assert await process.book(vendor, "LATE") is None
    assert (await process.row(vendor, "LATE")).state == "CONFIRMED"
    assert process.theirs(vendor, "LATE")["confirms"] == 1
