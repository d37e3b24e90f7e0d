"""A server that ends channels is killed after each commit and each call to a vendor of their ends,
and another goes on: nothing is left there before the credentials are gone, and what was booked
meanwhile is sold here.

Several channels are held at their steps side by side, so each kill is of all of them. The steps in
one process, with an error for each boundary: test_disconnecting.py; those of the bookings that are
seen to on the way: test_booking_sigkills.py.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.channels import disconnecting
from server.platform import clock
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from server.tickets import keys
from tests.support import timetable
from tests.support.booking_process import BookingProcess, booking_process
from tests.support.channel_process import quantity
from tests.support.channel_vendors import SimulatedChannels
from tests.support.channels import CONNECTED
from tests.support.gate_server import gate_process
from tests.support.invariants import assert_invariants
from tests.support.killed_servers import LONG_LOCKS, held_ends
from tests.support.rpc_server import SECRET_KEY
from tests.support.server_process import ServerProcess
from tests.support.waiting import WAIT_SECONDS

ROUNDS = (
    {"ctrip": "channel_values", "booking_com": "channel_bookings", "expedia": "channel_syncs"},
    {"ctrip": "channel_bookings", "booking_com": "channels", "expedia": "channels"},
    {"ctrip": "channels"},
)
"""Of each server that is killed: what channels are about to write down. The vendor has quantities
that are not noted yet as sent; was asked for bookings that are not kept, or whose list is not noted
as complete; knows all, and the credentials are still there.
"""


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
        for vendor in CONNECTED:
            await made.sell_at(vendor)
        yield made
    assert_invariants(timetable_url)


async def test_killed_at_each_step_of_an_end(
    process: BookingProcess, timetable_url: str, redis_url: str, tmp_path: Path
) -> None:
    def a_server(number: int) -> ServerProcess:
        folder = tmp_path / f"server-{number}"
        return gate_process(timetable_url, redis_url, folder, settings=LONG_LOCKS)

    process.buy("ctrip", "OLD")
    await process.settle("ctrip", "OLD")
    with pytest.raises(DomainError) as refused:
        await disconnect(process, "ctrip", keep_bookings=False)
    assert (refused.value.reason, refused.value.metadata["used_by"]) == (Reason.IN_USE, "OLD")
    for vendor in CONNECTED:
        await disconnect(process, vendor, keep_bookings=True)
        process.buy(vendor, f"NEW-{vendor}")  # before it knows that nothing is left
    for number, tables in enumerate(ROUNDS):
        async with held_ends(timetable_url, tables) as all_there:
            with a_server(number) as server:
                await all_there()
                for vendor, table in tables.items():
                    if table != "channel_values":
                        assert left(process, vendor) == {0}, (number, vendor)
                await asyncio.to_thread(server.kill)
        held = ", ".join(f"'{each}'" for each in tables)
        ended = f"SELECT count(*) FROM channels WHERE channel_code IN ({held}) AND {ENDED}"
        assert await process.count(ended) == 0, number
    with a_server(len(ROUNDS)):
        async with asyncio.timeout(WAIT_SECONDS):
            open_ = f"SELECT count(*) FROM channels WHERE NOT ({ENDED})"
            while await process.count(open_):  # noqa: ASYNC110 - the server commits it
                await asyncio.sleep(0.05)
    for vendor in CONNECTED:
        assert left(process, vendor) == {0}
        assert (await process.row(vendor, f"NEW-{vendor}")).state == "CONFIRMED"
        assert process.theirs(vendor, f"NEW-{vendor}")["confirms"] == 1
        assert process.vendors.faults(vendor) == []
    actions = "SELECT count(*) FROM audit_events WHERE action = 'revoke' AND resource = 'channel'"
    assert await process.count(actions) == len(CONNECTED)


ENDED = "state = 'REVOKED' AND sealed_credentials = ''"


def left(process: BookingProcess, vendor: str) -> set[int]:
    """How many the vendor believes are left, on all days."""
    return {quantity(each) for each in process.known(vendor, "availability").values()}


async def disconnect(process: BookingProcess, code: str, *, keep_bookings: bool) -> None:
    await process.change(
        disconnecting.disconnect_channel,
        *(process.clients.seals, code),
        today=timetable.today(),
        keep_bookings=keep_bookings,
    )
