"""A world to sell in: partners with stock, and the calls of a partner."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any

import grpc
import orjson
import psycopg
from deeptravel.ota.v1 import (
    distributor_pb2,
    ota_service_pb2_grpc,
    reservation_pb2,
    unsold_ticket_pb2,
)
from deeptravel.ota.v1 import ota_service_pb2 as ota
from deeptravel.tickets.v1 import ticket_pb2

from server.api import convert
from server.audit.records import By
from server.identity.credentials import new_partner_key
from server.partners import sandboxes
from server.platform import clock
from server.platform.config import load_settings
from server.platform.database import Database
from server.tickets import keys, qr
from tests.support.rpc_server import SECRET_KEY

if TYPE_CHECKING:  # known to the .pyi file alone
    from deeptravel.ota.v1.ota_service_pb2_grpc import OtaServiceAsyncStub

STATE = convert.enum_numbers(ticket_pb2.TicketState)
STATE_NAME = convert.enum_names(ticket_pb2.TicketState)
CP, HK = new_partner_key(), new_partner_key()
FARE_MINOR = 12_000
FARES = [{"customer_type": "ADULT", "day_type": "weekday", "amount_minor": FARE_MINOR}]
PARTNERS = """
INSERT INTO partners (partner_code, display_name, requests_per_minute, allowed_addresses, state,
  create_time, update_time)
VALUES ('CP', 'Central Pier Travel', 1000000, '{}', 'ACTIVE', now(), now()),
       ('HK', 'Harbour', 1000000, '{}', 'ACTIVE', now(), now())
"""
KEY = (
    "INSERT INTO partner_keys (key_id, partner_id, secret_hash, create_time)"
    " VALUES (%s, %s, %s, now())"
)
PRODUCT = """
INSERT INTO products
VALUES (%s, 'PACKAGE', 'Premium', '优享', 'HKD', %s, %s, 30, '{2026-12-25}', %s, now(), now())
"""
STOCK = """
INSERT INTO stocks (stock_id, product_id, partner_id, total, update_time)
VALUES ((%s::bigint << 20) + %s, %s, %s, %s, now())
"""
TABLES = ("tickets", "entitlements", "batches", "snapshots", "orders", "idempotency_records")

# Every ticket comes from one batch or order as that says, stock counts them, and none lacks
# anything.
CONTRADICTIONS = """
SELECT 'stock', s.stock_id::text FROM stocks s WHERE (s.held, s.sold) <>
  ((SELECT coalesce(sum(quantity - activated), 0) FROM reservations r
    WHERE r.stock_id = s.stock_id AND r.state = 'OPEN'),
   (SELECT coalesce(sum(quantity), 0) FROM batches b WHERE b.reservation_id IS NULL
    AND (b.product_id, b.partner_id) = (s.product_id, s.partner_id) AND s.use_date IS NULL)
   - (SELECT count(*) FROM tickets t JOIN batches b USING (batch_id) WHERE t.state = 'VOIDED'
    AND b.reservation_id IS NULL
    AND (t.product_id, t.partner_id) = (s.product_id, s.partner_id) AND s.use_date IS NULL)
   + (SELECT coalesce(sum(activated), 0) FROM reservations r WHERE r.stock_id = s.stock_id))
UNION ALL SELECT 'reservation', r.reservation_id::text FROM reservations r
WHERE (r.generated, r.activated) <>
  (SELECT count(*), count(*) FILTER (WHERE state NOT IN ('PRE_GENERATED', 'VOIDED'))
   FROM tickets t WHERE t.reservation_id = r.reservation_id)
UNION ALL SELECT 'unsold ticket of a reservation that has ended', t.ticket_code
FROM tickets t JOIN reservations r USING (reservation_id)
WHERE t.state = 'PRE_GENERATED' AND r.state <> 'OPEN' AND NOT r.voids_pending
UNION ALL SELECT 'batch', b.batch_id::text FROM batches b WHERE b.quantity <>
  (SELECT count(*) FROM tickets t WHERE t.batch_id = b.batch_id
   AND t.ticket_id BETWEEN b.first_ticket_id AND b.first_ticket_id + b.quantity - 1)
UNION ALL SELECT 'ticket without batch', ticket_code FROM tickets
WHERE batch_id NOT IN (SELECT batch_id FROM batches)
UNION ALL SELECT 'order', o.order_code FROM orders o WHERE o.ticket_count <>
  (SELECT count(*) FROM tickets t WHERE t.order_id = o.order_id)
UNION ALL SELECT 'ticket without order', ticket_code FROM tickets
  WHERE order_id IS NOT NULL AND order_id NOT IN (SELECT order_id FROM orders)
UNION ALL SELECT 'entitlements', ticket_code FROM tickets t WHERE 2 <>
  (SELECT count(*) FROM entitlements e WHERE e.ticket_id = t.ticket_id)
UNION ALL SELECT 'jti', jti::text FROM tickets GROUP BY jti HAVING count(*) > 1
"""


def _entitlement(function_code: str) -> dict[str, Any]:
    return {
        "function_code": function_code,
        "display_name_en": function_code,
        "display_name_zh": function_code,
        "total_uses": 1,
        "use_mode": "ONCE_PER_QR",
        "guard_seconds": 60,
    }


@dataclass
class Market:
    """The database as the test sees it, and the keys that seal its QR codes."""

    pg: psycopg.AsyncConnection[Any]
    ring: qr.KeyRing

    async def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Runs one statement; its rows, if it gives any."""
        cursor = await self.pg.execute(statement.encode(), values)
        return await cursor.fetchall() if cursor.description else []

    async def value(self, statement: str, *values: Any) -> Any:
        """The one value a statement gives."""
        ((value,),) = await self.sql(statement, *values)
        return value

    async def until(self, question: str) -> None:
        """Waits until the one value a statement gives is true; fails if it never is."""
        for _ in range(3000):
            if await self.value(question):
                return
            await asyncio.sleep(0.01)
        raise AssertionError(question)

    async def counts(self) -> dict[str, int]:
        """Rows of each table that a batch or an activation writes."""
        return {table: await self.value(f"SELECT count(*) FROM {table}") for table in TABLES}

    async def sold(self, product_id: int = 106, partner_id: int = 1) -> int:
        """What the stock says is sold."""
        statement = "SELECT sold FROM stocks WHERE (product_id, partner_id) = (%s, %s)"
        return int(await self.value(statement, product_id, partner_id))

    async def contradictions(self) -> list[tuple[Any, ...]]:
        """Where the tables tell different stories."""
        return await self.sql(CONTRADICTIONS)

    def claims(self, token: str) -> qr.Claims:
        """What a genuine token says."""
        opened = qr.unseal(token, self.ring, datetime.now(UTC))
        assert isinstance(opened, qr.Valid)
        return opened.claims


@asynccontextmanager
async def a_market(database_url: str, *, stock: int = 200_000) -> AsyncIterator[Market]:
    """Partners CP and HK; CP has `stock` of products 106 and 107 and some of 99, which is
    archived, HK 1,000 of 106.
    """
    db = Database(load_settings(), database_url)
    async with db.transaction() as tx:
        await keys.create_first_key(tx, SECRET_KEY, clock.now())
        ring = await keys.load_key_ring(tx, SECRET_KEY)
    await db.close()
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as pg:
        market = Market(pg, ring)
        await market.sql(PARTNERS)
        for partner_id, key in ((1, CP), (2, HK)):
            await market.sql(KEY, key.key_id, partner_id, key.secret_hash)
        terms = orjson.dumps([_entitlement("ferry"), _entitlement("gift")]).decode()
        fares = orjson.dumps(FARES).decode()
        for product_id, state in ((99, "ARCHIVED"), (106, "ACTIVE"), (107, "ACTIVE")):
            await market.sql(PRODUCT, product_id, fares, terms, state)
        for product_id, partner_id, total in (
            (99, 1, 10),
            (106, 1, stock),
            (107, 1, stock),
            (106, 2, 1000),
        ):
            await market.sql(STOCK, product_id, partner_id, product_id, partner_id, total)
        yield market


async def sandbox_key(database_url: str, partner_code: str = "CP") -> str:
    """A new key of test mode, whose sandbox the first makes."""
    db = Database(load_settings(), database_url)
    by = By(actor="admin:root", now=clock.now())
    made = await db.in_transaction(lambda tx: sandboxes.create_test_key(tx, partner_code, **by))
    await db.close()
    return made[1]


def today() -> str:
    """The day as codes have it."""
    return f"{datetime.now(load_settings().zone):%Y%m%d}"


_request_numbers = count(1)


def request_id() -> str:
    """One that was not used before."""
    return f"request-{next(_request_numbers)}"


def customer(name: str = "张三") -> ticket_pb2.CustomerInfo:
    return ticket_pb2.CustomerInfo(type=ticket_pb2.CUSTOMER_TYPE_ADULT, name=name)


def payment(
    reference: str = "PAY-1", amount_minor: int = FARE_MINOR, currency_code: str = "HKD"
) -> ticket_pb2.PaymentProof:
    return ticket_pb2.PaymentProof(
        reference=reference, amount_minor=amount_minor, currency_code=currency_code
    )


@dataclass(frozen=True)
class PartnerClient:
    """A partner's side of the contract."""

    stub: "OtaServiceAsyncStub"
    api_key: str

    @classmethod
    def at(cls, channel: grpc.aio.Channel, api_key: str = CP.api_key) -> "PartnerClient":
        return cls(ota_service_pb2_grpc.OtaServiceStub(channel), api_key)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What every call carries."""
        return (("x-api-key", self.api_key),)

    def call(self, method: str, request: Any, **options: Any) -> Any:
        """Any method of the service."""
        return getattr(self.stub, method)(request, metadata=self.metadata, **options)

    async def reserve(self, quantity: int = 3, **fields: Any) -> reservation_pb2.Reservation:
        """Reserves of product 106."""
        values: Any = {"product_id": 106, "request_id": request_id()} | fields
        request = reservation_pb2.ReserveInventoryRequest(quantity=quantity, **values)
        return (await self.stub.ReserveInventory(request, metadata=self.metadata)).reservation

    async def reservation(self, reservation_id: str) -> reservation_pb2.Reservation:
        """A reservation as it is now."""
        request = reservation_pb2.GetReservationRequest(reservation_id=reservation_id)
        return (await self.stub.GetReservation(request, metadata=self.metadata)).reservation

    async def extend(
        self, reservation_id: str, hold_seconds: int, request: str = ""
    ) -> reservation_pb2.Reservation:
        extension = reservation_pb2.ExtendReservationRequest(
            reservation_id=reservation_id,
            hold_seconds=hold_seconds,
            request_id=request or request_id(),
        )
        return (await self.stub.ExtendReservation(extension, metadata=self.metadata)).reservation

    async def release(self, reservation_id: str, request: str = "") -> reservation_pb2.Reservation:
        end = reservation_pb2.ReleaseReservationRequest(
            reservation_id=reservation_id, request_id=request or request_id()
        )
        return (await self.stub.ReleaseReservation(end, metadata=self.metadata)).reservation

    def batch(self, quantity: int = 3, **fields: Any) -> Awaitable[ota.BulkGenerateTicketsResponse]:
        values: Any = {"product_id": 106, "request_id": request_id()} | fields
        request = ota.BulkGenerateTicketsRequest(quantity=quantity, **values)
        return self.stub.BulkGenerateTickets(request, metadata=self.metadata)

    async def codes(self, quantity: int = 3, **fields: Any) -> list[str]:
        """Makes a batch; the codes of its first tickets."""
        return [ticket.ticket_code for ticket in (await self.batch(quantity, **fields)).tickets]

    def activate(self, ticket_code: str, **fields: Any) -> Awaitable[ota.ActivateTicketResponse]:
        values: Any = {
            "request_id": request_id(),
            "customer": customer(),
            "payment": payment(),
        } | fields
        request = ota.ActivateTicketRequest(ticket_code=ticket_code, **values)
        return self.stub.ActivateTicket(request, metadata=self.metadata)

    def activate_many(
        self,
        sales: Sequence[tuple[str, ticket_pb2.CustomerInfo | None, ticket_pb2.PaymentProof | None]],
        request: str = "",
    ) -> Awaitable[ota.ActivateTicketsResponse]:
        """Activates (ticket_code, customer, payment) each."""
        return self.stub.ActivateTickets(
            ota.ActivateTicketsRequest(
                request_id=request or request_id(),
                activations=[
                    ota.TicketActivation(ticket_code=code, customer=who, payment=how)
                    for code, who, how in sales
                ],
            ),
            metadata=self.metadata,
        )

    def distributor(
        self, distributor_id: str, parent: str = "", **fields: Any
    ) -> Awaitable[distributor_pb2.CreateDistributorResponse]:
        values: Any = {"display_name": distributor_id, "request_id": request_id()} | fields
        return self.stub.CreateDistributor(
            distributor_pb2.CreateDistributorRequest(
                distributor_id=distributor_id, parent_distributor_id=parent, **values
            ),
            metadata=self.metadata,
        )

    def cancel(
        self, ticket_codes: Sequence[str] = (), **fields: Any
    ) -> Awaitable[unsold_ticket_pb2.CancelTicketsResponse]:
        values: Any = {"request_id": request_id()} | fields
        request = unsold_ticket_pb2.CancelTicketsRequest(ticket_codes=ticket_codes, **values)
        return self.stub.CancelTickets(request, metadata=self.metadata)

    def reassign(
        self, ticket_codes: Sequence[str], distributor_id: str, **fields: Any
    ) -> Awaitable[unsold_ticket_pb2.ReassignTicketsResponse]:
        values: Any = {"request_id": request_id()} | fields
        request = unsold_ticket_pb2.ReassignTicketsRequest(
            ticket_codes=ticket_codes, distributor_id=distributor_id, **values
        )
        return self.stub.ReassignTickets(request, metadata=self.metadata)

    async def pages(self, **fields: Any) -> list[ota.ListTicketsResponse]:
        """All pages of a list."""
        pages: list[ota.ListTicketsResponse] = []
        while not pages or pages[-1].next_page_token:
            token = pages[-1].next_page_token if pages else fields.pop("page_token", "")
            request = ota.ListTicketsRequest(page_token=token, **fields)
            pages.append(await self.stub.ListTickets(request, metadata=self.metadata))
        return pages

    async def listed(self, **fields: Any) -> list[str]:
        """The codes of a whole list."""
        pages = await self.pages(**fields)
        return [ticket.ticket_code for page in pages for ticket in page.tickets]

    async def streamed(self, batch_id: str, **fields: Any) -> list[ota.StreamBatchTicketsResponse]:
        request = ota.StreamBatchTicketsRequest(batch_id=batch_id, **fields)
        stream = self.stub.StreamBatchTickets(request, metadata=self.metadata)
        return [ticket async for ticket in stream]

    async def inventory(self, product_id: int = 0) -> dict[int, tuple[int, int, int, int]]:
        """(total, held, sold, available) by product."""
        request = ota.GetInventoryRequest(product_id=product_id)
        found = await self.stub.GetInventory(request, metadata=self.metadata)
        return {i.product_id: (i.total, i.held, i.sold, i.available) for i in found.inventory}

    def qr(self, ticket_code: str, **fields: Any) -> Awaitable[ota.IssueQrResponse]:
        answer: Awaitable[ota.IssueQrResponse] = self.call(
            "IssueQr", ota.IssueQrRequest(ticket_code=ticket_code, **fields)
        )
        return answer
