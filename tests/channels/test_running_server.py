"""A server that runs sends channels what changes: nobody asks it to.

Seen red without the start of the watch in `server/domain.py`.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from server.__main__ import app
from server.channels.asking import get_booking
from server.channels.booking_seals import StoredBooking
from server.channels.due import WORK_OUT, ask
from server.cli import channel_demo
from server.platform import clock, logs
from server.platform.database import Database
from server.platform.outbox import enqueue
from server.platform.statements import run
from server.tickets import keys
from tests.support import rentals, timetable
from tests.support.booking_process import ALLOTTED, allot
from tests.support.channel_process import (
    DAYS,
    PACKAGE_STOCK,
    PushingProcess,
    a_process,
    quantity,
)
from tests.support.channel_vendors import SimulatedChannels
from tests.support.channels import CONNECTED
from tests.support.gate_server import gate_server
from tests.support.rpc_server import SECRET_KEY
from tests.support.waiting import until

SOLD = channel_demo.DemoSale(
    *(timetable.PACKAGE, timetable.EARLY, 2, rentals.ECONOMY, rentals.AIRPORT, "HKD", "CP")
)


CHANGEABLE = """
UPDATE products SET policy = policy || '{"changes_allowed": 1}' WHERE product_id = :package
"""


@pytest.fixture
async def process(
    timetable_db: Database,
    timetable_url: str,
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[PushingProcess]:
    """Administrators' work beside a server that runs."""
    folder = tmp_path_factory.mktemp("channels")
    async with (
        SimulatedChannels(folder) as vendors,
        a_process(timetable_db, redis_url, vendors, secret_key=SECRET_KEY) as made,
        _prepared(made),
        gate_server(timetable_url, redis_url, ctrip_ttd=True) as server,
    ):
        made.server_url = f"http://127.0.0.1:{server.app.http_port}"
        yield made


@asynccontextmanager
async def _prepared(process: PushingProcess) -> AsyncIterator[None]:
    """With a QR key, and a package whose day may be changed."""
    now = clock.now()
    await process.db.in_transaction(lambda tx: keys.create_first_key(tx, SECRET_KEY, now))
    async with process.db.transaction() as tx:
        await tx.execute(text(CHANGEABLE), {"package": timetable.PACKAGE})
    yield


async def test_a_sale_at_the_threshold_reaches_the_channel(process: PushingProcess) -> None:
    await process.connect("booking_com")
    now = clock.now()
    async with process.db.transaction() as tx:
        await run(tx, enqueue(*ask(WORK_OUT, ["booking_com"], now), now=now))

    def left() -> set[int]:
        known = process.known("booking_com", "availability")
        return {quantity(each) for (item, _), each in known.items() if item == "P"}

    await until(lambda: len(process.known("booking_com", "availability")) == 2 * DAYS)
    for quantity_left in (1, 0):
        await process.set_total(PACKAGE_STOCK, quantity_left)
        await until(partial(_is, left, {quantity_left}))


def _is(found: Callable[[], set[int]], wanted: set[int]) -> bool:
    return found() == wanted


async def test_the_demo_books_at_each_channel(
    process: PushingProcess,
    timetable_url: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await allot(process.db)
    await process.change(rentals.seed_rentals)
    simulator = process.vendors.simulator
    ttd = {"base_url": f"{simulator.url}/ttd/api", "credentials": simulator.ttd.keys}
    content = {"url": simulator.url, "channels": simulator.announced(), "ttd": ttd}
    (tmp_path / channel_demo.ANNOUNCED_FILE).write_text(json.dumps(content))
    monkeypatch.setattr(logs, "configure", lambda **_: None)  # of this process
    monkeypatch.setenv("DEEPTRAVEL_DATABASE_URL", timetable_url)
    monkeypatch.setenv("DEEPTRAVEL_REDIS_URL", redis_url)
    monkeypatch.setenv("DEEPTRAVEL_SECRET_KEY", base64.b64encode(SECRET_KEY).decode())

    def command(*words: str, credentials: dict[str, str] | None = None) -> None:
        given = ["--credentials", "-"] if credentials else []
        said = json.dumps(credentials or {})
        result = CliRunner().invoke(app, ["channels", *words, *given], input=said)
        assert result.exit_code == 0, result.output

    def look(code: str, booking_id: str) -> StoredBooking:
        found = asyncio.run_coroutine_threadsafe(_booking(process, code, booking_id), loop)
        return found.result()

    loop = asyncio.get_running_loop()
    walk = partial(channel_demo.walk, tmp_path, SOLD, command, look)
    lines = await asyncio.to_thread(lambda: list(walk(server_url=process.server_url)))
    assert lines[-1].endswith("1 of 3 are cancelled, and no more")
    booked = [line for line in lines if "is an order of ours, and confirmed" in line]
    assert len(booked) == 3 * len(CONNECTED) + 2
    assert sum("-CP-" in line for line in booked) == 2
    of_partner = [line for line in lines if "-CP-" in line and "is listed" in line]
    assert all(f"; {ALLOTTED} are left" in line for line in of_partner)
    changed = [line for line in lines if "changed" in line and "confirmed again" in line]
    assert len(changed) == len(CONNECTED) + 1
    by_customer = [line for line in lines if "cancelled by the customer" in line]
    assert len(by_customer) == len(CONNECTED) + 1
    assert all(line.endswith("a fee of HKD 40.00 is kept") for line in by_customer)
    by_us = [line for line in lines if "cancelled by us" in line]
    assert len(by_us) == len(CONNECTED)
    assert all(line.endswith("a fee of HKD 0.00 is kept") for line in by_us)
    for vendor in CONNECTED:
        books = simulator.books.all_bookings(vendor)
        sold = 2 if vendor == channel_demo.PARTNERS_VENDOR else 1
        assert sorted(each["confirms"] for each in books) == sorted([2, 1] * sold + [1])
        assert sorted(each["status"] for each in books) == sorted(
            ["confirmed", "cancelled"] * sold + ["cancelled"]
        )


async def _booking(process: PushingProcess, code: str, booking_id: str) -> StoredBooking:
    async with process.db.transaction() as tx:
        return await get_booking(tx, code, booking_id)
