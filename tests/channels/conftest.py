"""The simulated vendors of a module, and a process of ours that sells at them."""

from collections.abc import AsyncIterator

import pytest

from server.platform.database import Database
from tests.support.booking_process import BookingProcess, booking_process
from tests.support.channel_vendors import SimulatedChannels
from tests.support.fuse import Fuse
from tests.support.invariants import assert_invariants


@pytest.fixture(scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatedChannels]:
    """The vendors' server."""
    async with SimulatedChannels(tmp_path_factory.mktemp("channels")) as vendors:
        yield vendors


@pytest.fixture
def vendors(running: SimulatedChannels) -> SimulatedChannels:
    """The same, as it began."""
    running.reset()
    return running


@pytest.fixture
async def process(
    timetable_db: Database, timetable_url: str, redis_url: str, vendors: SimulatedChannels
) -> AsyncIterator[BookingProcess]:
    """Connects, lists, pushes, fetches and handles bookings; after the test the tables tell one
    story.
    """
    async with booking_process(timetable_db, redis_url, vendors) as made:
        yield made
    assert_invariants(timetable_url)


@pytest.fixture
def fuse(monkeypatch: pytest.MonkeyPatch) -> Fuse:
    return Fuse.of(monkeypatch)
