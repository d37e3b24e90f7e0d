"""A server that works on bookings of outside channels is killed at each step of them, and another
goes on: our orders and the vendors' books agree.

Many bookings are held at their steps side by side, so each kill is of many; what each step's
transaction and call to the vendor leave behind is what a crash leaves. The steps in one process,
with an error for each boundary: test_booking_kills.py.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from server.channels.due import ALL, FETCH, NEW, ask, fetch_key
from server.platform import clock
from server.platform.outbox import enqueue
from server.platform.statements import run
from server.tickets import keys
from tests.support import timetable
from tests.support.booking_process import BookingProcess, booking_process
from tests.support.channel_vendors import SimulatedChannels
from tests.support.channels import CONNECTED
from tests.support.gate_server import gate_process
from tests.support.invariants import assert_invariants
from tests.support.killed_servers import LONG_LOCKS, KillPoint, held_at
from tests.support.rpc_server import SECRET_KEY
from tests.support.server_process import ServerProcess
from tests.support.waiting import WAIT_SECONDS

Step = tuple[str, str, bool, str | None]
"""A vendor, and the write by which a booking there is held: state, is_asked, vendor_state."""
SALES: dict[str, Step] = {
    "RECEIVED": ("ctrip", "RECEIVED", False, None),
    "RESERVED": ("booking_com", "RESERVED", False, None),
    "PAID": ("expedia", "CONFIRM_PENDING", False, None),
    "ASKED": ("booking_com", "CONFIRM_PENDING", True, None),
    "CONFIRMED": ("expedia", "CONFIRMED", False, None),
}
"""Bookings that are sold, by the write of which they are held; the last is confirmed at the vendor
by then.
"""
ENDS: dict[str, Step] = {
    "GIVEN-BACK": ("booking_com", "CANCELLED", False, None),
    "CANCEL-ASKED": ("ctrip", "CANCEL_PENDING", True, None),
    "CANCELLED-THERE": ("booking_com", "CANCEL_PENDING", False, "CANCELLED"),
}
"""The same of what is cancelled: by the customer the first, the others by us. What is held in a
transaction that has locked its stock would keep others from theirs: it is one at a time.
"""


@pytest.fixture
async def process(
    timetable_url: str, redis_url: str, tmp_path: Path
) -> AsyncIterator[BookingProcess]:
    async with (
        SimulatedChannels(tmp_path / "vendors") as vendors,
        booking_process(timetable_url, redis_url, vendors) as made,
    ):
        now = clock.now()
        await made.db.in_transaction(lambda tx: keys.create_first_key(tx, SECRET_KEY, now))
        for vendor in CONNECTED:
            await made.sell_at(vendor)
        yield made
    assert_invariants(timetable_url)


async def test_killed_at_each_step_of_sales_and_ends(
    process: BookingProcess, timetable_url: str, redis_url: str, tmp_path: Path
) -> None:
    def a_server(number: int) -> ServerProcess:
        folder = tmp_path / f"server-{number}"
        return gate_process(timetable_url, redis_url, folder, settings=LONG_LOCKS)

    day = (timetable.today() + timedelta(days=3)).isoformat()  # when it is still given back
    for name, (vendor, *_) in ENDS.items():
        process.buy(vendor, name, pickup_date=day, return_date=day)
        await process.settle(vendor, name)
    async with held_at(timetable_url, points(SALES)) as all_there:
        for name, (vendor, *_) in SALES.items():
            process.buy(vendor, name)
        with a_server(1) as server:
            await fetch(process, NEW)
            await all_there()
            await asyncio.to_thread(server.kill)
    with a_server(2) as server:
        await go_on(process, NEW)
        for name, (vendor, *_) in SALES.items():
            await agree(process, vendor, name, "CONFIRMED", ["PAID"])
        async with held_at(timetable_url, points(ENDS)) as all_there:
            await cancel_some(process)
            await fetch(process, ALL)
            await all_there()
            await asyncio.to_thread(server.kill)
    with a_server(3):
        await go_on(process, ALL)
        for name, (vendor, *_) in ENDS.items():
            await agree(process, vendor, name, "CANCELLED", ["CANCELLED"])
    for name, (vendor, *_) in {**SALES, **ENDS}.items():
        assert process.theirs(vendor, name)["confirms"] == 1, name
    assert [fault for vendor in CONNECTED for fault in process.vendors.faults(vendor)] == []


def points(steps: dict[str, Step]) -> list[KillPoint]:
    return [KillPoint(name, *step[1:]) for name, step in steps.items()]


async def fetch(process: BookingProcess, which: str) -> None:
    """Has the server that runs fetch the bookings of all channels."""
    now = clock.now()
    tasks = ask(FETCH, [fetch_key(vendor, which) for vendor in CONNECTED], now)
    async with process.db.transaction() as tx:
        await run(tx, enqueue(*tasks, now=now))


async def go_on(process: BookingProcess, which: str) -> None:
    """The leases of who was killed are over, and the next fetch is due."""
    await process.sql(
        "UPDATE outbox_tasks SET lease_until = now() - interval '1 second', due_time = now()"
        " WHERE state = 'OPEN' AND lease_until IS NOT NULL"
    )
    await fetch(process, which)


async def cancel_some(process: BookingProcess) -> None:
    process.vendors.simulator.books.cancel(ENDS["GIVEN-BACK"][0], "GIVEN-BACK", {})
    for name in ("CANCEL-ASKED", "CANCELLED-THERE"):
        await process.cancel(ENDS[name][0], name)


async def agree(
    process: BookingProcess, vendor: str, name: str, state: str, orders: list[str]
) -> None:
    """Waits until a booking has come to its end, here and there."""

    expected = (state, False, "", state, orders)
    found: tuple[object, ...] = ()
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while found != expected:
                await asyncio.sleep(0.05)
                row = await process.row(vendor, name)
                theirs = process.theirs(vendor, name)["status"].upper()
                made = [each.state for each in await process.orders(vendor, name)]
                found = (row.state, row.is_asked, row.fault, theirs, made) if row else ()
    except TimeoutError:
        raise AssertionError(f"{name} of {vendor}: {found}") from None
