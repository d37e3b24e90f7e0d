"""Sales by hour, channel, product and currency are what one gets by counting orders one by one,
however much of them is summed.
"""

import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import orjson
import psycopg
import pytest
from sqlalchemy import text

from server.parties.rules import sandbox_id
from server.platform.config import load_settings
from server.platform.database import Database
from server.reports import rules, sales_sums
from server.reports.rules import ReportTime, report_time
from server.tickets.rules import Number

NOW = datetime(2026, 6, 15, 9, 37, 20, tzinfo=UTC)
LONG_AGO = datetime(2026, 6, 1, tzinfo=UTC)
KOLKATA = ZoneInfo("Asia/Kolkata")
MOST_PIECES = 1_000
"""Of a run: more is no use, and takes minutes."""
ORDER = """
INSERT INTO orders (order_id, order_code, partner_id, state, jti, customer_type, customer_name,
  ticket_count, payment_reference, amount_minor, currency_code, credit_minor, changes_ticket_id,
  hold_expire_time, create_time, traveller_id, content, changes_order_id, first_order_id,
  first_item_index)
VALUES (%s, '', %s, 'PAID', gen_random_uuid(), '', '', %s, '', %s, %s, %s, %s, now(), %s, NULL,
  NULL, %s, %s, %s)
"""
TICKET = """
INSERT INTO tickets (ticket_id, ticket_code, jti, state, product_id, partner_id, distributor_id,
  snapshot_id, order_id, valid_from_time, valid_until_time, create_time, update_time)
VALUES (%s, '', gen_random_uuid(), 'ACTIVE', %s, %s, '', %s, %s, now(), now() + interval '1 day',
  now(), now())
"""
SALE = "INSERT INTO ticket_sales VALUES (%s, %s, 0, 0, 1, NULL, NULL, NULL, %s, now(), 0)"
EVENT = "INSERT INTO order_events VALUES (%s, %s, %s, 'PAID', NULL, NULL, 'system', %s)"
REFUND = "INSERT INTO refunds VALUES (%s, %s, %s, %s, %s, %s, %s, now(), %s)"
SNAPSHOT = uuid4()
PRODUCTS, CURRENCIES = (106, 107), ("HKD", "CNY")
Fact = tuple[datetime, str, int, int, str, int, int]


@dataclass
class Sales:
    """What was sold, in the database and as the test counts it."""

    pg: psycopg.AsyncConnection[Any]
    dice: random.Random
    facts: list[Fact] = field(default_factory=list)
    made: int = 0
    sold: list[tuple[int, int, int, str]] = field(default_factory=list)

    def number(self, partner_id: int) -> int:
        self.made += 1
        return int(Number(partner_id, date(2026, 6, 1), self.made))

    def moment(self) -> datetime:
        if self.dice.random() < 0.4:  # in the hour of which a part is summed
            return NOW - timedelta(days=3, minutes=self.dice.randrange(-20, 60))
        at = NOW - timedelta(seconds=self.dice.randrange(6 * 86_400))
        return at.replace(minute=0, second=0) if self.dice.random() < 0.2 else at

    async def partner_order(self, partner_id: int) -> None:
        order, at, count = self.number(partner_id), self.moment(), self.dice.randint(1, 4)
        product, currency = self.dice.choice(PRODUCTS), self.dice.choice(CURRENCIES)
        amount = self.dice.randrange(1000)
        await self.pg.execute(
            ORDER, (order, partner_id, count, amount, currency, 0, None, at, *[None] * 3)
        )
        for _ in range(count):
            await self.pg.execute(
                TICKET, (self.number(partner_id), product, partner_id, SNAPSHOT, order)
            )
        if partner_id < 1000:
            self.facts += [
                (at, "MADE", partner_id, 0, currency, 1, amount),
                (at, "PAID", partner_id, 0, currency, 1, amount),
                (at, "SOLD", partner_id, product, currency, count, amount),
            ]

    async def own_order(self) -> None:
        order, at, currency = self.number(0), self.moment(), self.dice.choice(CURRENCIES)
        places = [
            (self.number(0), self.dice.choice(PRODUCTS), self.dice.randrange(500))
            for _ in range(self.dice.randint(1, 3))
        ]
        amount, credit = sum(each[2] for each in places), 0
        changed = self.dice.choice(self.sold) if self.sold and self.dice.random() < 0.4 else None
        if changed:  # the order costs its fee too
            currency, amount = changed[3], amount + 30
            credit = min(amount, changed[2])
        family = [1, 1, 0] if changed else [None] * 3
        values = order, 0, 0, amount, currency, credit, changed and changed[0], at, *family
        await self.pg.execute(ORDER, values)
        self.facts.append((at, "MADE", 0, 0, currency, 1, amount - credit))
        paid = at + timedelta(seconds=self.dice.randrange(7200))
        if self.dice.random() < 0.3:
            await self.event(order, 2, "order.cancelled", paid)
            self.facts.append((paid, "CANCELLED", 0, 0, "", 1, 0))
            return
        await self.event(order, 2, "order.paid", paid)
        self.facts.append((paid, "PAID", 0, 0, currency, 1, amount - credit))
        for ticket, product, price in places:
            await self.pg.execute(TICKET, (ticket, product, 0, SNAPSHOT, order))
            await self.pg.execute(SALE, (ticket, order, price))
            self.facts.append((paid, "SOLD", 0, product, currency, 1, price))
            self.sold.append((ticket, product, price, currency))
        if changed:
            self.facts.append((paid, "CHANGED", 0, changed[1], currency, 1, credit - 30))
        await self.later(order, paid, places, currency)

    async def later(self, order: int, paid: datetime, places: Any, currency: str) -> None:
        done = paid + timedelta(seconds=self.dice.randrange(7200))
        for sequence, (name, items) in enumerate(
            (("order.completed", 1), ("order.reopened", -1), ("ticket.refunded", 0)), 3
        ):
            await self.event(order, sequence, name, done)
            if items:
                self.facts.append((done, "COMPLETED", 0, 0, "", items, 0))
        states = ("SUCCEEDED", "SUCCEEDED", "CLOSED", "PROCESSING")
        for number, (ticket, product, price) in enumerate(places):
            state, cause = self.dice.choice(states), self.dice.choice(("TRAVELLER", "CHANGE"))
            settled = done if state in ("SUCCEEDED", "CLOSED") else None
            back = price // 2
            tickets = orjson.dumps([{"ticket_id": ticket, "amount_minor": back}]).decode()
            values = order, number, state, cause, tickets, back, currency, settled
            await self.pg.execute(REFUND, values)
            if state == "SUCCEEDED":
                items = int(cause != "CHANGE")
                self.facts.append((done, "REFUNDED", 0, product, currency, items, back))
        late = order, 9, "SUCCEEDED", "LATE_PAYMENT", "[]", 77, currency, done
        await self.pg.execute(REFUND, late)

    async def event(self, order: int, sequence: int, name: str, at: datetime) -> None:
        await self.pg.execute(EVENT, (order, sequence, name, at))

    def expected(self, time: ReportTime) -> list[tuple[Any, ...]]:
        found: Counter[tuple[Any, ...]] = Counter()
        amounts: Counter[tuple[Any, ...]] = Counter()
        for at, kind, partner, product, currency, items, amount in self.facts:
            if time.begin_time <= at < time.bounds[-1]:
                key = time.piece_of(at), kind, partner, product, currency
                found[key] += items
                amounts[key] += amount
        rows = [(*key, items, amounts[key]) for key, items in found.items()]
        return sorted(rows, key=lambda row: (row[0], *row[2:5], row[1]))


@pytest.fixture
async def sales(module_database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sales]:
    """However much of it is not summed, all of it is read."""
    monkeypatch.setattr(rules, "MOST_UNSUMMED", timedelta(days=60))
    async with await psycopg.AsyncConnection.connect(module_database_url, autocommit=True) as pg:
        for table in ("orders", "order_events", "tickets", "ticket_sales", "refunds", "sales_sums"):
            await pg.execute(f"DELETE FROM {table}".encode())
        await pg.execute("UPDATE sales_sums_mark SET until_time = %s", (LONG_AGO,))
        yield Sales(pg, random.Random(11))


@pytest.fixture
async def db(module_database_url: str) -> AsyncIterator[Database]:
    database = Database(load_settings(), module_database_url)
    yield database
    await database.close()


async def happened(sales: Sales, count: int) -> None:
    async with sales.pg.transaction():
        for _ in range(count):
            if sales.dice.random() < 0.6:
                await sales.own_order()
            else:
                await sales.partner_order(sales.dice.choice((7, 8, sandbox_id(7))))


async def summed(db: Database, now: datetime, zone: ZoneInfo = KOLKATA) -> int:
    """How many pieces it took."""
    work, pieces = sales_sums.summing(zone), 1
    while True:
        async with db.transaction() as tx:
            if not (await work(tx, now)).more or pieces == MOST_PIECES:
                return pieces
        pieces += 1


async def read(db: Database, time: ReportTime) -> list[tuple[Any, ...]]:
    async with db.transaction() as tx:
        return [tuple(row) for row in (await sales_sums.read(tx, time))[0]]


async def test_sales_are_right_however_much_is_summed(sales: Sales, db: Database) -> None:
    """In a zone whose hours are not those of UTC.

    Seen red with sandboxes in, with the fees of changes left out, with what is summed read once
    more, and with hours that are summed twice instead of added to.
    """
    await happened(sales, 120)
    every: Any = {"now": NOW, "zone": KOLKATA}
    times = [
        report_time(date(2026, 6, 8), date(2026, 6, 15), hourly=True, **every),
        report_time(date(2026, 6, 10), date(2026, 6, 14), hourly=False, **every),
        report_time(date(2026, 6, 15), None, hourly=None, **every),
    ]
    for moment in (LONG_AGO, NOW - timedelta(days=3, minutes=13), NOW - timedelta(minutes=4), NOW):
        await summed(db, moment)
        for time in times:
            assert await read(db, time) == sales.expected(time), moment
    assert sum(len(sales.expected(time)) for time in times) > 100


async def test_the_money_of_products_is_that_of_orders(sales: Sales, db: Database) -> None:
    await happened(sales, 60)
    time = report_time(
        date(2026, 6, 1),
        date(2026, 6, 30),
        hourly=False,
        now=NOW + timedelta(days=30),
        zone=KOLKATA,
    )
    paid, of_products = Counter[str](), Counter[str]()
    for _, kind, _, _, currency, _, amount in await read(db, time):
        paid[currency] += {"PAID": amount, "REFUNDED": -amount}.get(kind, 0)
        signs = {"SOLD": 1, "CHANGED": -1, "REFUNDED": -1}
        of_products[currency] += signs.get(kind, 0) * amount
    assert paid == of_products
    assert set(paid) == {*CURRENCIES, ""}  # of orders that ended none is asked


async def test_what_is_summed_is_not_read_again(sales: Sales, db: Database) -> None:
    await happened(sales, 30)
    await summed(db, NOW + timedelta(days=1))
    time = report_time(
        date(2026, 6, 9), date(2026, 6, 16), hourly=True, now=NOW + timedelta(days=2), zone=KOLKATA
    )
    before = await read(db, time)
    for table in ("orders", "order_events", "tickets", "ticket_sales", "refunds"):
        await sales.pg.execute(f"DELETE FROM {table}".encode())
    assert await read(db, time) == before == sales.expected(time)


async def test_time_in_which_nothing_happened_costs_nothing(sales: Sales, db: Database) -> None:
    """Seen red with one piece for each hour of the years without orders."""
    await sales.pg.execute("UPDATE sales_sums_mark SET until_time = '2020-01-01Z'")
    await sales.own_order()
    assert await summed(db, NOW + timedelta(days=1)) < 20


async def test_nothing_under_way_is_summed(sales: Sales, db: Database) -> None:
    await happened(sales, 1)
    await sales.pg.execute("UPDATE sales_sums_mark SET until_time = now() - interval '3 hours'")
    other = await psycopg.AsyncConnection.connect(sales.pg.info.dsn)
    async with other:
        await other.execute(EVENT, (1, 9, "order.paid", datetime.now(UTC)))
        await summed(db, datetime.now(UTC) + timedelta(hours=3))
        rows = await (await sales.pg.execute("SELECT until_time FROM sales_sums_mark")).fetchall()
        await other.rollback()
    assert rows[0][0] <= datetime.now(UTC) - sales_sums.SETTLED_AFTER


async def test_no_table_of_sales_is_read_from_end_to_end(sales: Sales, db: Database) -> None:
    """Seen red without the indexes by time."""
    await happened(sales, 60)
    values = {
        "bounds": [LONG_AGO],
        "from_time": LONG_AGO,
        "until_time": NOW,
        "mark": NOW - timedelta(hours=1),
        "begin": NOW - timedelta(hours=1),
        "until": NOW,
    }
    async with db.transaction() as tx:
        await tx.execute(text("SET LOCAL enable_seqscan = off"))
        plan = await tx.scalars(text(f"EXPLAIN {sales_sums._READ.text}"), values)
        lines = "\n".join(plan)
    assert "ix_orders_create_time" in lines
    assert "Seq Scan" not in lines, lines
