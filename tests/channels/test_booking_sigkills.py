"""A server that works on bookings of outside channels is killed at each step of them, and another
goes on, within seconds: our orders and the vendors' books agree.

Many bookings are held at their steps side by side, so each kill is of many; what each step's
transaction and call to the vendor leave behind is what a crash leaves. The steps in one process,
with an error for each boundary: test_booking_kills.py.

What is held has locked its booking's row, and at some steps the stock: whoever else writes these
waits with it, and never comes to its own step. So a channel's bookings are fetched before any of
them is held, and of those held together one alone has locked the stock.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from pathlib import Path

import pytest

from server.channels.due import ALL, FETCH, NEW, ask, fetch_key
from server.platform import clock
from server.platform.database import Database
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
CHANGES: dict[str, Step] = {
    "CHANGED": ("expedia", "CONFIRM_PENDING", False, "MODIFIED"),
    "CHANGE-ASKED": ("ctrip", "CONFIRM_PENDING", True, "MODIFIED"),
    "CHANGE-CONFIRMED": ("booking_com", "CONFIRMED", False, "CONFIRMED"),
}
"""The same of what customers change: the first to another day, the others their names."""
ENDS: dict[str, Step] = {
    "GIVEN-BACK": ("expedia", "CANCELLED", False, None),
    "CANCEL-ASKED": ("ctrip", "CANCEL_PENDING", True, None),
    "CANCELLED-THERE": ("booking_com", "CANCEL_PENDING", False, "CANCELLED"),
}
"""The same of what is cancelled: by the customer the first, the others by us."""
PAID, AGAIN, GONE = ["PAID"], ["CANCELLED", "PAID"], ["CANCELLED"]


@pytest.fixture
async def process(
    timetable_db: Database, timetable_url: str, redis_url: str, tmp_path: Path
) -> AsyncIterator[BookingProcess]:
    async with (
        SimulatedChannels(tmp_path / "vendors") as vendors,
        booking_process(timetable_db, redis_url, vendors) as made,
    ):
        now = clock.now()
        await made.db.in_transaction(lambda tx: keys.create_first_key(tx, SECRET_KEY, now))
        await made.change_policy(changes_allowed=1, change_fee_minor=500)
        for vendor in CONNECTED:
            await made.sell_at(vendor)
        yield made
    assert_invariants(timetable_url)


async def test_killed_at_each_step_of_sales_changes_and_ends(
    process: BookingProcess, timetable_url: str, redis_url: str, tmp_path: Path
) -> None:
    def a_server(number: int) -> ServerProcess:
        folder = tmp_path / f"server-{number}"
        return gate_process(timetable_url, redis_url, folder, settings=LONG_LOCKS)

    for name, (vendor, *_) in {**CHANGES, **ENDS}.items():
        process.buy(vendor, name, pickup_date=day(3), return_date=day(3))
        await process.settle(vendor, name, ALL)  # the next is due in hours, by the clock
    async with held_at(timetable_url, points(SALES)) as all_there:
        for name, (vendor, *_) in SALES.items():
            process.buy(vendor, name)
        with a_server(1) as server:
            await fetch(process, NEW, CONNECTED)
            await all_there()
            await asyncio.to_thread(server.kill)
    with a_server(2) as server:
        await agree(process, SALES, "CONFIRMED", dict.fromkeys(SALES, PAID))
        async with held_at(timetable_url, points(CHANGES)) as all_there:
            change_some(process)
            await fetch(process, ALL, CONNECTED)
            await all_there()
            await asyncio.to_thread(server.kill)
    with a_server(3) as server:
        await agree(
            process, CHANGES, "CONFIRMED", {**dict.fromkeys(CHANGES, PAID), "CHANGED": AGAIN}
        )
        async with held_at(timetable_url, points(ENDS)) as all_there:
            await cancel_some(process)
            await all_there()
            await asyncio.to_thread(server.kill)
    with a_server(4):
        await agree(process, ENDS, "CANCELLED", dict.fromkeys(ENDS, GONE))
    for name, (vendor, *_) in {**SALES, **CHANGES, **ENDS}.items():
        assert process.theirs(vendor, name)["confirms"] == 1 + (name in CHANGES), name
    sold = "SELECT count(*) FROM tickets WHERE state = 'ACTIVE'"
    assert await process.count(sold) == len(SALES) + len(CHANGES)
    assert await process.count("SELECT count(*) FROM orders WHERE state = 'PENDING'") == 0
    assert [fault for vendor in CONNECTED for fault in process.vendors.faults(vendor)] == []


def day(ahead: int) -> str:
    return (timetable.today() + timedelta(days=ahead)).isoformat()


def points(steps: dict[str, Step]) -> list[KillPoint]:
    return [KillPoint(name, *step[1:]) for name, step in steps.items()]


async def fetch(process: BookingProcess, which: str, vendors: Iterable[str]) -> None:
    """Has the server that runs fetch the bookings of channels."""
    now = clock.now()
    tasks = ask(FETCH, [fetch_key(vendor, which) for vendor in vendors], now)
    async with process.db.transaction() as tx:
        await run(tx, enqueue(*tasks, now=now))


def change_some(process: BookingProcess) -> None:
    books = process.vendors.simulator.books
    for name, (vendor, *_) in CHANGES.items():
        books.change(vendor, name, {"customer": {"email": f"{name.lower()}@example.com"}})
    books.change(CHANGES["CHANGED"][0], "CHANGED", {"pickup_date": day(4), "return_date": day(4)})


async def cancel_some(process: BookingProcess) -> None:
    for name in ("CANCEL-ASKED", "CANCELLED-THERE"):
        await process.cancel(ENDS[name][0], name)
    vendor = ENDS["GIVEN-BACK"][0]
    process.vendors.simulator.books.cancel(vendor, "GIVEN-BACK", {})
    await fetch(process, ALL, [vendor])


async def agree(
    process: BookingProcess, steps: dict[str, Step], state: str, orders: dict[str, list[str]]
) -> None:
    """Waits until bookings have come to their end, here and there."""

    async def found(vendor: str, name: str) -> tuple[object, ...]:
        row = await process.row(vendor, name)
        theirs = process.theirs(vendor, name)["status"].upper()
        made = [each.state for each in await process.orders(vendor, name)]
        return (row.state, row.is_asked, row.fault, theirs, made) if row else ()

    expected = {name: (state, False, "", state, orders[name]) for name in steps}
    standing: dict[str, tuple[object, ...]] = {}
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while standing != expected:
                await asyncio.sleep(0.05)
                standing = {name: await found(step[0], name) for name, step in steps.items()}
    except TimeoutError:
        raise AssertionError(f"{standing}, not {expected}") from None
