"""Every way in which a stock changes leaves its notice in the transaction that changes it, where
few are left of what is listed: none if that is rolled back.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

import server
from server.platform.database import Database
from server.platform.statements import run, run_all
from server.stock import fleet_days, holds, inventory, levels, taking
from server.stock.holds import Take
from server.stock.ids import DIRECT, departure_stock_id, rental_stock_id, stock_id
from server.stock.taking import Wanted
from tests.support import rentals, timetable
from tests.support.timetable import by, tomorrow

PACKAGE = stock_id(timetable.PACKAGE, DIRECT)
DEPARTURE = timetable.departure(timetable.BOAT, tomorrow())
BOAT = departure_stock_id(DEPARTURE, 0, DIRECT)
CARS = rental_stock_id(rentals.AIRPORT_FLEET, tomorrow(), DIRECT)
NOW: Any = by()["now"]
TAKE = Take(PACKAGE, 2, (), None, (), order_id=1, traveller_id=1)

Change = Callable[[AsyncConnection], Awaitable[Any]]


async def create_order(tx: AsyncConnection) -> None:
    facts = await taking.read(
        tx, stock_ids=[PACKAGE], seated=(), quota_keys=(), documents=(), skip_locked=False
    )
    item = Wanted("PK-1-20260101", 1, PACKAGE, 1, 9, range(2), is_counted=False)
    taking.take(1, [item], taking.decide([item], facts), facts, NOW)
    await run_all(tx, [*taking.write(facts, now=NOW)])


async def change_ticket(tx: AsyncConnection) -> None:
    await holds.take(
        tx, TAKE, offer_id="PK-1-20260101", seat_map=None, max_per_traveller=9, now=NOW
    )


def command(make: Callable[..., Any], *arguments: Any) -> Change:
    return lambda tx: run(tx, make(*arguments, now=NOW))


def opens(tx: AsyncConnection) -> Awaitable[None]:
    return inventory.open_departure(tx, DEPARTURE, now=NOW)


WAYS: dict[str, tuple[int, Change]] = {
    "CreateOrder": (PACKAGE, create_order),
    "a change, or a payment that came late": (PACKAGE, change_ticket),
    "an order cancelled or expired": (
        PACKAGE,
        lambda tx: holds.release(tx, [TAKE], column="held", now=NOW),
    ),
    "a refund": (PACKAGE, lambda tx: holds.release(tx, [TAKE], column="sold", now=NOW)),
    "a reservation": (PACKAGE, command(inventory.hold, PACKAGE, 2)),
    "a reservation that ends": (PACKAGE, command(holds.return_held, {PACKAGE: 2})),
    "a partner's ticket voided": (PACKAGE, command(holds.return_sold, {PACKAGE: 2})),
    "a partner's batch": (
        PACKAGE,
        lambda tx: inventory.take_sold(
            tx, product_id=timetable.PACKAGE, partner_id=DIRECT, quantity=2, now=NOW
        ),
    ),
    "a total set": (PACKAGE, lambda tx: inventory.set_total(tx, PACKAGE, 12, now=NOW)),
    "a total moved or released": (
        PACKAGE,
        lambda tx: inventory.add_to_total(tx, PACKAGE, -1, limit=100, now=NOW),
    ),
    "a departure cancelled": (BOAT, lambda tx: inventory.close_departure(tx, DEPARTURE, now=NOW)),
    "a departure that goes after all": (BOAT, opens),
    "cars of a day": (CARS, lambda tx: fleet_days.set_totals(tx, [CARS], 8, now=NOW)),
}
"""What changes how much is left, by who does it."""
NOT_CHANGED: dict[str, Change] = {
    "an order paid": command(holds.confirm, [TAKE]),
    "a reservation activated": command(holds.sell_held, {PACKAGE: 2}),
}


@pytest.fixture(scope="module")
async def db(module_database_url: str) -> AsyncIterator[Database]:
    async with timetable.database(module_database_url) as made:
        await timetable.build(made)
        async with made.transaction() as tx:
            await rentals.seed_rentals(tx, **by())
        yield made


class RolledBackError(Exception):
    pass


async def level(tx: AsyncConnection, stock: int) -> tuple[int, int]:
    """How much is left, and the version."""
    query = "SELECT (NOT closed)::int * (total - held - sold), version FROM stocks"
    found = (await tx.execute(text(f"{query} WHERE stock_id = {stock}"))).one()
    return found[0], found[1]


async def rolled_back(db: Database, change: Change) -> None:
    with suppress(RolledBackError):
        async with db.transaction() as tx:
            await change(tx)
            raise RolledBackError


async def notices(db: Database) -> list[levels.StockNotice]:
    async with db.transaction() as tx:
        return await run(tx, levels.take_notices(limit=100))


async def noted(
    db: Database, change: Change, stock: int, notice_level: int | None
) -> tuple[bool, int]:
    """Whether a change to a stock that is listed from a level on, or not at all, is noted; and how
    few were left before or after.
    """
    at = "NULL" if notice_level is None else notice_level
    prepare = f"""
        UPDATE stocks SET total = 10, held = 3, sold = 3, version = 7, left_before = 0,
          closed = {change is opens}, notice_level = {at} WHERE stock_id = {stock}"""
    async with db.transaction() as tx:
        await tx.execute(text("DELETE FROM stock_notices"))
        await tx.execute(text(prepare))
    await rolled_back(db, change)
    assert await notices(db) == []
    async with db.transaction() as tx:
        before, _ = await level(tx, stock)
        await change(tx)
        after, version = await level(tx, stock)
        assert version == 8
    taken = await notices(db)
    assert taken in ([], [(stock, 8)])
    return bool(taken), min(before, after)


@pytest.mark.parametrize("way", WAYS)
async def test_a_change_is_noted_in_its_transaction(db: Database, way: str) -> None:
    """Seen red without the notice in `levels.change`, and with a notice only of what is left
    afterwards, for all that give back.
    """
    stock, change = WAYS[way]
    is_noted, fewest = await noted(db, change, stock, 1000)
    assert is_noted
    assert await noted(db, change, stock, fewest) == (True, fewest)
    assert await noted(db, change, stock, fewest - 1) == (False, fewest)
    assert await noted(db, change, stock, None) == (False, fewest)


@pytest.mark.parametrize("way", NOT_CHANGED)
async def test_what_changes_nothing_that_is_left_is_not_noted(db: Database, way: str) -> None:
    assert await noted(db, NOT_CHANGED[way], PACKAGE, 1000) == (False, 4)


async def test_new_stock_is_noted_once_a_channel(db: Database) -> None:
    async with db.transaction() as tx:
        await run(tx, levels.take_notices(limit=100))
        for _ in range(2):
            await inventory.create_like(
                tx, PACKAGE + 5, of=PACKAGE, partner_id=5, use_date=None, now=NOW
            )
        far = tomorrow() + timedelta(days=730)
        new = [
            fleet_days.new_day(rentals.ECONOMY, rentals.AIRPORT_FLEET, day, 3)
            for day in (far, far + timedelta(days=1))
        ]
        assert len(await fleet_days.create(tx, new, now=NOW)) == 2
        found = await run(tx, levels.take_notices(limit=100))
    assert all(each.is_new for each in found)
    assert sorted(each.stock_id & 7 for each in found) == [0, 5]


def test_no_other_statement_changes_a_stock() -> None:
    """But those that `levels` writes, and terms that change nothing of what is left. Seen red with
    one that sets a total.
    """
    changes = re.compile(r"UPDATE stocks\b|\bupdate\(\s*stocks\s*\)|insert\(\s*stocks\s*\)")
    quantity = re.compile(r"\b(total|held|sold|closed)\b *=")
    found = []
    for path in Path(server.__file__).parent.rglob("*.py"):
        content = path.read_text()
        for match in changes.finditer(content):
            if quantity.search(content[match.end() : match.end() + 120].split("WHERE")[0]):
                found.append(f"{path.name}: {content[match.start() : match.end() + 60]}")
    assert found == []
