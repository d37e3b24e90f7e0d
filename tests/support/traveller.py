"""What travellers buy, and a traveller's side of the contract.

`a_world(database_url)` fills a migrated database by SQL: Hong Kong and Shenzhen, a train
between them (product 1, class 0 `FIRST` with numbered seats, class 1 `SECOND` without) with
`departures` departures in a week, each with `seats` seats in each class, and package 106 with a
shared entitlement. `World` names the offers and looks at the tables.

`traveller_server` (tests/support/gate_server.py's `gate_server`) serves it as production does;
`TravellerClient.of(channel, 1)` is the traveller number 1 at it:
`await client.order(world.seat())`, `client.create(...)`, `client.call("AnyMethod", request)`.
`await world.enrol(1, 2)` writes rows of `travellers`, which payments need and orders do not.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import grpc
import orjson
import psycopg
from deeptravel.ticketing.v1 import order_pb2, ticketing_service_pb2_grpc
from deeptravel.tickets.v1 import ticket_pb2

from server.api import convert
from server.identity.callers import Traveller
from server.identity.travellers import TravellerTokens
from server.platform import clock as clock_module
from server.platform.config import load_settings
from server.platform.database import Database
from server.stock.ids import departure_id, departure_stock_id, promotion_stock_id, stock_id
from server.tickets import keys, qr
from tests.support.changes import show_changes
from tests.support.gate_server import gate_server as traveller_server
from tests.support.rpc_server import SECRET_KEY

if TYPE_CHECKING:  # known to the .pyi file alone
    from deeptravel.ticketing.v1.ticketing_service_pb2_grpc import TicketingServiceAsyncStub

__all__ = ["TravellerClient", "World", "a_world", "party", "traveller_server"]

ORDER_STATE = convert.enum_names(order_pb2.OrderState)
CANCEL_REASON = convert.enum_names(order_pb2.CancelReason)
FARE_MINOR = {"FIRST": 20_000, "SECOND": 10_000, "PACKAGE": 50_000}
"""Of an adult; a child pays half."""
FIRST, SECOND = 0, 1
TRAIN, PREMIUM = 1, 106
APP_ID = "wx8888888888888888"

POLICY = {
    "refund_tiers": [
        {"minutes_before": 1440, "percent": 100},
        {"minutes_before": 120, "percent": 80},
    ],
    "refund_fee_minor": 500,
    "changes_allowed": 1,
    "change_minutes_before": 30,
    "change_fee_minor": 1000,
    "pro_rata": False,
}
TABLES = """
INSERT INTO cities VALUES ('HKG', 'Hong Kong', '香港', 'Asia/Hong_Kong', 1),
  ('SZX', 'Shenzhen', '深圳', 'Asia/Hong_Kong', 2);
INSERT INTO stops VALUES ('XJA', 'HKG', 'West Kowloon', '西九龙'), ('FTN', 'SZX', 'Futian', '福田')
"""
PRODUCT = """
INSERT INTO products (product_id, kind, display_name_en, display_name_zh, currency_code, fares,
  entitlements, tiers, policy, max_per_traveller, city_code, calendar_code, validity_days,
  blackout_dates, state, create_time, update_time)
VALUES (%s, %s, %s, %s, 'CNY', %s, %s, '[]', %s, %s, %s, 'HK', 1, '{}', 'ACTIVE', now(), now())
"""
ROUTE = "INSERT INTO routes VALUES (1, 1, 'TRAIN', %s, %s, %s, 'ACTIVE')"
TIMETABLE = """
INSERT INTO timetables
VALUES (%s, 1, %s, %s, 127, %s, %s, '{"FIRST": 0, "SECOND": 0}', 60, 0, 'ACTIVE')
"""
DEPARTURE = "INSERT INTO departures VALUES (%s, %s, %s, %s, 'SCHEDULED')"
STOCK = """
INSERT INTO stocks (stock_id, product_id, partner_id, departure_id, fare_class, promotion_id, total,
  hold_seconds, update_time)
VALUES (%s, %s, 0, %s, %s, %s, %s, %s, now())
"""
PROMOTION = """
INSERT INTO promotions (promotion_id, code, display_name_en, display_name_zh, basis_points_off,
  amount_off_minor, begin_time, end_time, min_party, product_ids, stackable, capped,
  max_per_traveller, state)
VALUES (%s, %s, 'Promotion', '优惠', %s, 0, now() - interval '1 day', now() + interval '1 day', 1,
'{}', %s, %s, %s, 'ACTIVE')
"""
TRAVELLER = """
INSERT INTO travellers (traveller_id, app_id, openid, state, create_time, update_time,
  last_login_time)
VALUES (%s, %s, %s, 'ACTIVE', now(), now(), now())
"""

# What stock, seats, guards, quotas and caps say follows from the orders and tickets that still hold
# something.
CONTRADICTIONS = """
WITH live AS (
  SELECT o.order_id, o.traveller_id, o.state, o.content FROM orders o
  WHERE o.traveller_id IS NOT NULL AND o.state = 'PENDING'
), places AS (
  SELECT l.order_id, l.traveller_id, (i ->> 'stock_id')::bigint AS stock_id,
    (i ->> 'departure_id')::bigint AS departure_id, (p ->> 'seat_index')::int AS seat_index,
    p ->> 'document' AS document, 'held' AS part, i ->> 'offer_id' AS offer_id,
    l.content -> 'replaces' ->> 'offer_id' AS replaced,
    l.content -> 'replaces' ->> 'stock_id' IS DISTINCT FROM i ->> 'stock_id' AS own
  FROM live l, jsonb_array_elements(l.content -> 'items') i, jsonb_array_elements(i -> 'places') p
  UNION ALL
  SELECT s.order_id, o.traveller_id, s.stock_id, s.departure_id, s.seat_index,
    o.content -> 'items' -> s.item_index -> 'places' -> (
      SELECT n - 1 FROM jsonb_array_elements(o.content -> 'items' -> s.item_index
        -> 'places') WITH ORDINALITY AS q (place, n)
      WHERE (q.place ->> 'passenger')::int = s.passenger_index)::int ->> 'document', 'sold',
    o.content -> 'items' -> s.item_index ->> 'offer_id', NULL, true
  FROM ticket_sales s JOIN orders o USING (order_id) JOIN tickets t USING (ticket_id)
  WHERE t.state NOT IN ('REFUNDED', 'CHANGED') AND s.passenger_index >= 0
), counted AS (
  SELECT CASE WHEN offer_id LIKE 'TR-%' THEN split_part(offer_id, '-', 2)
    ELSE offer_id END AS quota, CASE WHEN replaced LIKE 'TR-%' THEN split_part(replaced, '-', 2)
    ELSE replaced END AS replaced, traveller_id
  FROM places
), quotas AS (
  SELECT quota, traveller_id, count(*) AS quantity FROM counted
  WHERE quota IS DISTINCT FROM replaced GROUP BY 1, 2
), known AS (
  SELECT CASE WHEN quota_id >= 1::bigint << 62 THEN (quota_id - (1::bigint << 62))::text
    ELSE format('PK-%s-%s', quota_id >> 14, to_char(DATE '2020-01-01' + (quota_id & 16383)::int,
    'YYYYMMDD')) END AS quota, traveller_id, quantity
  FROM traveller_quotas WHERE quota_id & (1::bigint << 61) = 0
), caps AS (
  SELECT cap::bigint AS stock_id, count(*) AS uses
  FROM live l, jsonb_array_elements_text(l.content -> 'capped_stock_ids') cap
  GROUP BY 1
)
SELECT 'held', s.stock_id::text FROM stocks s WHERE s.promotion_id IS NULL AND partner_id = 0
  AND s.held <>
  (SELECT count(*) FROM places p WHERE p.stock_id = s.stock_id AND part = 'held' AND own)
UNION ALL SELECT 'sold', s.stock_id::text FROM stocks s WHERE s.promotion_id IS NULL
AND partner_id = 0 AND s.sold <>
  (SELECT count(*) FROM places p WHERE p.stock_id = s.stock_id AND part = 'sold')
UNION ALL SELECT 'cap', s.stock_id::text FROM stocks s LEFT JOIN caps USING (stock_id)
  WHERE s.promotion_id IS NOT NULL AND s.held <> coalesce(uses, 0)
UNION ALL SELECT 'quota', traveller_id::text FROM quotas p
  FULL JOIN known q USING (quota, traveller_id) WHERE p.quantity IS DISTINCT FROM q.quantity
UNION ALL SELECT 'seat', coalesce(p.order_id, t.order_id)::text
FROM (SELECT * FROM places WHERE seat_index IS NOT NULL AND own) p
  FULL JOIN taken_seats t USING (stock_id, seat_index, order_id)
  WHERE t.order_id IS NULL OR p.order_id IS NULL
UNION ALL SELECT 'journey', coalesce(p.key, j.key) FROM (
    SELECT departure_id || ':' || order_id AS key, document FROM places
    WHERE document IS NOT NULL) p
  FULL JOIN (SELECT encode(document_hash, 'hex') AS document, jsonb_object_keys(journeys) AS key
    FROM document_journeys) j
  USING (document, key) WHERE p.key IS NULL OR j.key IS NULL
UNION ALL SELECT 'events', o.order_code FROM orders o WHERE o.traveller_id IS NOT NULL
AND o.sequence <>
  1 + (SELECT count(*) FROM order_events e WHERE e.order_id = o.order_id)
UNION ALL SELECT 'repeat', r.key::text FROM idempotency_records r
WHERE octet_length(r.answer) = 8 -- the number of an order, as CreateOrder keeps it
AND NOT EXISTS (
  SELECT FROM orders o WHERE o.order_id = ('x' || encode(r.answer, 'hex'))::bit(64)::bigint)
"""


def _entitlement(function_code: str, *, shared: bool = False) -> dict[str, Any]:
    return {
        "function_code": function_code,
        "display_name_en": function_code,
        "display_name_zh": function_code,
        "total_uses": 1,
        "use_mode": "ONCE_PER_QR",
        "guard_seconds": 60,
        "shared": shared,
    }


def _fares(adult_minor: int, **more: str) -> list[dict[str, Any]]:
    return [
        {"customer_type": who, "day_type": "weekday", "amount_minor": amount} | more
        for who, amount in (("ADULT", adult_minor), ("CHILD", adult_minor // 2), ("PET", 1_000))
    ]


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


@dataclass
class World:
    """The database as the test sees it, and what is on sale in it."""

    pg: psycopg.AsyncConnection[Any]
    ring: qr.KeyRing
    travel_date: date
    departures: int

    async def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Runs one statement; its rows, if it gives any."""
        cursor = await self.pg.execute(statement.encode(), values or None)
        return await cursor.fetchall() if cursor.description else []

    async def value(self, statement: str, *values: Any) -> Any:
        """The one value a statement gives."""
        ((value,),) = await self.sql(statement, *values)
        return value

    async def until(self, question: str, *values: Any) -> None:
        """Waits until the one value a statement gives is true; fails after a minute."""
        for _ in range(3000):
            if await self.value(question, *values):
                return
            await asyncio.sleep(0.02)
        raise AssertionError(question)

    def departure_id(self, departure: int = 1) -> int:
        """Of the departure with this number, from 1."""
        return departure_id(departure, self.travel_date)

    def seat(self, departure: int = 1, fare_class: int = FIRST) -> str:
        """The offer of a seat: FIRST is numbered, SECOND is not."""
        return f"TR-{self.departure_id(departure)}-{fare_class}-0-1"

    def package(self, days: int = 0) -> str:
        """The offer of package 106, some days after the departures' day."""
        return f"PK-{PREMIUM}-{self.travel_date + timedelta(days=days):%Y%m%d}"

    def stock_id(self, departure: int = 1, fare_class: int = FIRST) -> int:
        """The stock of a seat."""
        return departure_stock_id(self.departure_id(departure), fare_class, 0)

    async def stock(self, departure: int = 1, fare_class: int = FIRST) -> tuple[int, int, int]:
        """(total, held, sold) of a seat's stock."""
        return await self.stock_of(self.stock_id(departure, fare_class))

    async def stock_of(self, number: int) -> tuple[int, int, int]:
        """(total, held, sold) of any stock."""
        statement = "SELECT total, held, sold FROM stocks WHERE stock_id = %s"
        ((total, held, sold),) = await self.sql(statement, number)
        return total, held, sold

    async def expire(self, order_id: str) -> None:
        """Ends the hold of an order now."""
        await self.sql("UPDATE orders SET hold_expire_time = now() WHERE order_code = %s", order_id)

    async def promote(
        self,
        promotion_id: int,
        code: str | None,
        *,
        basis_points: int = 1000,
        cap: int | None,
        each: int | None = None,
    ) -> None:
        """A promotion, by code or for all, with or without a cap, for all orders or each
        traveller's; it is seen.
        """
        await self.sql(PROMOTION, promotion_id, code, basis_points, True, cap is not None, each)
        if cap is not None:
            number = promotion_stock_id(promotion_id)
            await self.sql(STOCK, number, None, None, None, promotion_id, cap, None)
        await show_changes(self)

    async def enrol(self, *travellers: int) -> None:
        """Writes travellers down, as their first log-in does; the openid is `openid-<number>`."""
        for number in travellers:
            await self.sql(TRAVELLER, number, APP_ID, f"openid-{number}")

    async def departs(self, moment: str) -> None:
        """Lets all that was sold depart at a moment, an expression of SQL."""
        ((when,),) = await self.sql(f"SELECT to_jsonb({moment})::text")
        await self.sql(
            "UPDATE ticket_sales SET reference_time = (%s::jsonb #>> '{}')::timestamptz", when
        )
        await self.sql(
            "UPDATE snapshots SET content = jsonb_set(content, '{offer,reference_time}',"
            " %s::jsonb)",
            when,
        )

    async def contradictions(self) -> list[tuple[Any, ...]]:
        """Where the tables tell different stories."""
        return await self.sql(CONTRADICTIONS)


@asynccontextmanager
async def a_world(
    database_url: str,
    *,
    seats: int = 10,
    departures: int = 1,
    packages: int = 100,
    max_per_traveller: int = 9,
    hold_seconds: int | None = None,
) -> AsyncIterator[World]:
    """The world the module tells of. A row of numbered seats is `ABC DF`; there are as many as
    `seats` needs.
    """
    db = Database(load_settings(), database_url)
    async with db.transaction() as tx:
        await keys.create_first_key(tx, SECRET_KEY, clock_module.now())
        ring = await keys.load_key_ring(tx, SECRET_KEY)
    await db.close()
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as pg:
        day = datetime.now(UTC).date() + timedelta(days=7)
        world = World(pg, ring, day + timedelta(days=(7 - day.weekday()) % 7), departures)
        await world.sql(TABLES)
        await _products(world, max_per_traveller)
        await _route(world, seats)
        await world.sql(
            STOCK, stock_id(PREMIUM, 0), PREMIUM, None, None, None, packages, hold_seconds
        )
        for number in range(1, departures + 1):
            await _departure(world, number, seats, hold_seconds)
        await show_changes(world)
        yield world


async def _products(world: World, max_per_traveller: int) -> None:
    boarding = [_entitlement("boarding")]
    premium = [_entitlement("ferry"), _entitlement("gift"), _entitlement("lounge", shared=True)]
    await world.sql(
        PRODUCT, TRAIN, "TRANSPORT", "Train", "火车", "[]", _json(boarding), _json(POLICY),
        max_per_traveller, None
    )  # fmt: skip
    await world.sql(
        PRODUCT, PREMIUM, "PACKAGE", "Premium", "优享", _json(_fares(FARE_MINOR["PACKAGE"])),
        _json(premium),
        _json(POLICY), max_per_traveller, "HKG",
    )  # fmt: skip


async def _route(world: World, seats: int) -> None:
    stops = [
        {"stop_code": "XJA", "arrive_minutes": 0, "depart_minutes": 0},
        {"stop_code": "FTN", "arrive_minutes": 15, "depart_minutes": 15},
    ]
    seat_map = {"rows": max(1, -(-seats // 5)), "columns": "ABC DF"}
    classes = [
        {"class_code": "FIRST", "class_index": FIRST, "display_name_en": "First",
        "display_name_zh": "一等座", "seat_map": seat_map},
        {"class_code": "SECOND", "class_index": SECOND, "display_name_en": "Second",
        "display_name_zh": "二等座", "seat_map": None},
    ]  # fmt: skip
    fares = [
        fare
        for code in ("FIRST", "SECOND")
        for fare in _fares(FARE_MINOR[code], class_code=code, origin="XJA", destination="FTN")
    ]
    await world.sql(ROUTE, _json(stops), _json(classes), _json(fares))


async def _departure(world: World, number: int, seats: int, hold_seconds: int | None) -> None:
    # on the way for 15 minutes, one after the other: a document may be on each
    clock = f"{7 + number // 3 % 15:02}:{number % 3 * 20:02}"
    today = world.travel_date - timedelta(days=30)
    await world.sql(TIMETABLE, number, f"G{5000 + number}", clock, today, world.travel_date)
    departs = datetime.fromisoformat(f"{world.travel_date}T{clock}+08:00")
    departure = world.departure_id(number)
    await world.sql(DEPARTURE, departure, number, world.travel_date, departs)
    for fare_class, code in ((FIRST, "FIRST"), (SECOND, "SECOND")):
        stock = world.stock_id(number, fare_class)
        await world.sql(STOCK, stock, TRAIN, departure, code, None, seats, hold_seconds)


_numbers = count(1)


def request_id() -> str:
    """One that was not used before."""
    return f"order-{next(_numbers)}"


def passenger(name: str = "张三", **fields: Any) -> order_pb2.Passenger:
    """An adult with a passport that nobody else has."""
    values: Any = {
        "document_type": order_pb2.DOCUMENT_TYPE_PASSPORT,
        "document_number": f"E{next(_numbers):08}",
    } | fields
    return order_pb2.Passenger(name=name, **values)


def child(name: str = "小明", **fields: Any) -> order_pb2.Passenger:
    return passenger(name, customer_type=ticket_pb2.CUSTOMER_TYPE_CHILD, **fields)


def party(size: int = 2) -> list[order_pb2.Passenger]:
    """So many adults whom nobody has seen before."""
    return [passenger() for _ in range(size)]


@dataclass(frozen=True)
class TravellerClient:
    """A traveller's side of the contract."""

    stub: "TicketingServiceAsyncStub"
    traveller_id: int
    metadata: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, channel: grpc.aio.Channel, traveller_id: int = 1) -> "TravellerClient":
        """The traveller with this number, logged in."""
        token = TravellerTokens(SECRET_KEY, life_seconds=7200).issue(
            Traveller(traveller_id), clock_module.now()
        )
        metadata = (("authorization", f"Bearer {token.access_token}"),)
        return cls(ticketing_service_pb2_grpc.TicketingServiceStub(channel), traveller_id, metadata)

    def call(self, method: str, request: Any, **options: Any) -> Any:
        """Any method of the service."""
        return getattr(self.stub, method)(request, metadata=self.metadata, **options)

    def create(self, *offer_ids: str, **fields: Any) -> Awaitable[order_pb2.CreateOrderResponse]:
        """CreateOrder of these offers, for two adults unless `passengers` says who."""
        values: Any = {
            "request_id": request_id(),
            "items": [order_pb2.OrderItem(offer_id=offer_id) for offer_id in offer_ids],
        } | fields
        if "passengers" not in values:
            values["passengers"] = party()
        request = order_pb2.CreateOrderRequest(**values)
        return self.stub.CreateOrder(request, metadata=self.metadata)

    async def order(self, *offer_ids: str, **fields: Any) -> order_pb2.Order:
        """The order that `create` makes."""
        return (await self.create(*offer_ids, **fields)).order

    async def get(self, order_id: str) -> order_pb2.Order:
        """GetOrder."""
        request = order_pb2.GetOrderRequest(order_id=order_id)
        return (await self.stub.GetOrder(request, metadata=self.metadata)).order

    def cancel(self, order_id: str, request: str = "") -> Awaitable[order_pb2.CancelOrderResponse]:
        """CancelOrder."""
        cancel = order_pb2.CancelOrderRequest(order_id=order_id, request_id=request)
        return self.stub.CancelOrder(cancel, metadata=self.metadata)

    async def pages(self, **fields: Any) -> list[order_pb2.ListOrdersResponse]:
        """All pages of ListOrders."""
        pages: list[order_pb2.ListOrdersResponse] = []
        while not pages or pages[-1].next_page_token:
            token = pages[-1].next_page_token if pages else ""
            request = order_pb2.ListOrdersRequest(page_token=token, **fields)
            pages.append(await self.stub.ListOrders(request, metadata=self.metadata))
        return pages

    def watch(
        self, order_id: str, after_sequence: int = 0
    ) -> "grpc.aio.UnaryStreamCall[order_pb2.WatchOrderRequest, order_pb2.WatchOrderResponse]":
        """WatchOrder: a stream that is read until EOF."""
        request = order_pb2.WatchOrderRequest(order_id=order_id, after_sequence=after_sequence)
        return self.stub.WatchOrder(request, metadata=self.metadata)


def seats_of(order: order_pb2.Order, item: int = 0) -> Sequence[str]:
    """The seats of an order's item."""
    return [place.seat for place in order.items[item].places]
