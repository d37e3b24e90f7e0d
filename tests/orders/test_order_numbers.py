"""The numbers of orders: each has the day on which it was taken."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from psycopg import DataError

from server.orders.order_numbers import BLOCK, FEW, OrderNumbers
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.statements import Statement, commit_with
from server.tickets.rules import Number

LATE = datetime(2026, 11, 28, 15, 59, 59, tzinfo=UTC)
"""A second before midnight in Hong Kong."""


@pytest_asyncio.fixture
async def db(module_database_url: str) -> AsyncIterator[Database]:
    database = Database(load_settings(database_pool=2), module_database_url)
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


async def commit(db: Database, *numbers: OrderNumbers, with_it: str = "SELECT 1") -> None:
    """A transaction with which these reserve ahead."""
    async with db.pipeline() as tx, tx.transaction():
        for each in numbers:
            each.reserve_with(tx)
        await commit_with(tx, [Statement(with_it, int)()])


async def test_the_next_block_comes_with_a_commit(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen red: `take` reserved each block on a connection of its own, as it still does the first
    of a day.
    """
    ours, theirs = [OrderNumbers(db, ZoneInfo("Asia/Hong_Kong")) for _ in range(2)]
    taken = [*await ours.take(BLOCK - FEW, LATE), *await theirs.take(BLOCK - FEW, LATE)]
    await commit(db, ours, theirs)  # each has FEW left, which is enough
    taken += [*await ours.take(1, LATE), *await theirs.take(1, LATE)]
    await commit(db, ours, theirs)

    def refused(*_: Any) -> Any:
        raise AssertionError("a connection of its own")

    monkeypatch.setattr(db, "independent_transaction", refused)
    for numbers in (ours, theirs):
        taken += await numbers.take(FEW - 1 + BLOCK, LATE)
        with pytest.raises(AssertionError):
            await numbers.take(1, LATE)
    assert len(set(taken)) == 4 * BLOCK
    assert {Number.unpack(number).day.isoformat() for number in taken} == {"2026-11-28"}


async def test_what_was_reserved_in_vain_is_not_given_out(db: Database) -> None:
    """Seen red with the block added before the commit has succeeded: both had the same numbers."""
    ours, theirs = [OrderNumbers(db, ZoneInfo("Asia/Hong_Kong")) for _ in range(2)]
    taken = [*await ours.take(BLOCK, LATE)]
    with pytest.raises(DataError):
        await commit(db, ours, with_it="SELECT 1 / 0")
    taken += [*await theirs.take(BLOCK, LATE), *await ours.take(BLOCK, LATE)]
    assert len(set(taken)) == 3 * BLOCK


async def test_a_block_of_yesterday_is_not_given_out(db: Database) -> None:
    """The transaction with which it was reserved was committed after midnight."""
    numbers = OrderNumbers(db, ZoneInfo("Asia/Hong_Kong"))
    await numbers.take(BLOCK, LATE)
    async with db.pipeline() as tx, tx.transaction():
        numbers.reserve_with(tx)
        await numbers.take(1, LATE + timedelta(seconds=2))
        await commit_with(tx)
    taken = await numbers.take(2 * BLOCK, LATE + timedelta(seconds=2))
    assert {Number.unpack(number).day.isoformat() for number in taken} == {"2026-11-29"}
