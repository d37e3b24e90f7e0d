"""Travellers are reminded of tickets that end before long: by an event of the order, each once."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from server.orders import expiry_reminders
from server.platform import clock
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.schedule import Progress
from tests.support.gate_server import GateServer
from tests.support.order_scenario import OrderScenario, a_scenario, states
from tests.support.traveller import TravellerClient, World, a_world, traveller_server

LEAD = timedelta(days=3)
MOST_PAGES = 9
"""Of a run: one that never ends is ended, so that what it did is seen."""
END = """
UPDATE tickets SET create_time = now() - interval '30 days',
  valid_from_time = now() - interval '30 days', valid_until_time = now() + interval '40 days'
"""
EVENTS = """
SELECT t.ticket_code FROM order_events e JOIN tickets t USING (ticket_id)
WHERE e.event = 'ticket.expiring' ORDER BY 1
"""


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with a_world(database_url, departures=2) as filled:
        await filled.enrol(1)
        yield filled


@pytest.fixture
async def server(world: World, database_url: str, redis_url: str) -> AsyncIterator[GateServer]:
    async with traveller_server(database_url, redis_url) as running:
        yield running


@pytest.fixture
async def scenario(world: World, database_url: str) -> AsyncIterator[OrderScenario]:
    async with a_scenario(database_url) as made:
        yield made


async def remind(database_url: str, days: float) -> None:
    """A run of the job so many days from now."""
    db, work = Database(load_settings(), database_url), expiry_reminders.work(LEAD)
    for _ in range(MOST_PAGES):
        async with db.transaction() as tx:
            done = await work(tx, clock.now() + timedelta(days=days))
        assert isinstance(done, Progress)
        if not done.more:
            break
    await db.close()


async def test_each_is_reminded_of_once_and_in_time(
    world: World,
    server: GateServer,
    scenario: OrderScenario,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In pages of two; not of what is used. Seen red without the mark up to where it has looked:
    each run reminded again.
    """
    monkeypatch.setattr("server.tickets.reminders.PAGE_TICKETS", 2)
    client = TravellerClient.of(server.channel, 1)
    order = await scenario.sell(client, world.package())
    await world.sql(END)
    await world.sql(
        "UPDATE tickets SET state = 'USED' WHERE ticket_id = (SELECT max(ticket_id) FROM tickets)"
    )
    await remind(database_url, 36)
    assert await world.sql(EVENTS) == []
    for days in (37.5, 38, 39, 41):  # an outage over the lead's beginning too
        await remind(database_url, days)
    reminded = await world.sql(EVENTS)
    assert len(reminded) == len(set(reminded)) == len(await states(client, order.order_id)) - 1
