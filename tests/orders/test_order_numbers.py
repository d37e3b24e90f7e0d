"""The numbers of orders: each has the day on which it was taken."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest_asyncio

from server.orders.order_numbers import OrderNumbers
from server.platform.config import load_settings
from server.platform.database import Database
from server.tickets.rules import Number

LATE = datetime(2026, 11, 28, 15, 59, 59, tzinfo=UTC)
"""A second before midnight in Hong Kong."""


@pytest_asyncio.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = Database(load_settings(database_pool=2), database_url)
    yield database
    await database.close()


async def test_what_is_given_back_after_midnight_is_not_given_out(db: Database) -> None:
    """Orders that wait for stock at midnight give back what they took before it.

    Seen red: the next orders had numbers of the day before.
    """
    numbers = OrderNumbers(db, ZoneInfo("Asia/Hong_Kong"))
    taken = await numbers.take(2, LATE)
    await numbers.take(1, LATE + timedelta(seconds=2))
    numbers.give_back(taken)
    (number,) = await numbers.take(1, LATE + timedelta(seconds=2))
    assert Number.unpack(number).day.isoformat() == "2026-11-29"


async def test_what_is_given_back_is_given_out_again(db: Database) -> None:
    numbers = OrderNumbers(db, ZoneInfo("Asia/Hong_Kong"))
    taken = list(await numbers.take(3, LATE))
    numbers.give_back(taken[1:])
    assert list(await numbers.take(2, LATE)) == taken[1:]
