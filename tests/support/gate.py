"""A world to redeem in: merchants, venues, terminals, operators and tickets, and the calls of a
terminal.

Made by SQL, so that a test of redemption leans on no other service, and can make tickets no service
would make.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID, uuid4

import grpc
import orjson
import psycopg
from deeptravel.redemption.v1 import access_pb2, leases_pb2, redemption_pb2
from deeptravel.redemption.v1.redemption_service_pb2_grpc import RedemptionServiceStub
from deeptravel.tickets.v1 import ticket_pb2
from prometheus_client import REGISTRY

from server.api import convert
from server.identity import credentials
from server.platform.config import load_settings
from server.platform.database import Database
from server.tickets import keys, qr
from server.tickets.rules import DIRECT, DIRECT_CODE, DIRECT_PREFIX, Number
from tests.support import cached, kept_answers
from tests.support.changes import show_changes
from tests.support.redemption_model import Entitlement
from tests.support.rpc_server import SECRET_KEY
from tests.support.waiting import WAIT_SECONDS

if TYPE_CHECKING:  # known to the .pyi file alone
    from deeptravel.redemption.v1.redemption_service_pb2_grpc import RedemptionServiceAsyncStub

    ScanStreamCall = grpc.aio.StreamStreamCall[
        redemption_pb2.ScanStreamRequest, redemption_pb2.ScanStreamResponse
    ]

PASSWORD = "correct horse battery staple"
DAY = date(2026, 11, 21)
PARTNER_ID = 1

STATE = convert.enum_names(ticket_pb2.TicketState)
RESULT = convert.enum_names(redemption_pb2.RedemptionResult)
REFUSAL = convert.enum_names(redemption_pb2.RefusalReason)

WORLD = """
INSERT INTO partners (partner_code, display_name, requests_per_minute, allowed_addresses, state,
  create_time, update_time)
VALUES ('CP', 'Central Pier Travel', 100, '{}', 'ACTIVE', now(), now());
INSERT INTO merchants VALUES
  ('M', 'Harbour Ferries', '{ferry,gift,tokens,lounge}', 600, 'ACTIVE', now(), now()),
  ('N', 'Another', '{ferry}', 600, 'ACTIVE', now(), now());
INSERT INTO venues VALUES
  ('PIER', 'M', 'Pier', 'Asia/Hong_Kong', '{}', 'ACTIVE', now(), now()),
  ('SHOP', 'M', 'Shop', 'Asia/Hong_Kong', '{gift,tokens}', 'ACTIVE', now(), now()),
  ('FAR-EAST', 'M', 'Where a day begins first', 'Pacific/Kiritimati', '{}', 'ACTIVE', now(), now()),
  ('FAR-WEST', 'M', 'Where a day ends last', 'Pacific/Pago_Pago', '{}', 'ACTIVE', now(), now()),
  ('ELSEWHERE', 'N', 'Elsewhere', 'Asia/Hong_Kong', '{}', 'ACTIVE', now(), now());
INSERT INTO terminals VALUES
  ('T-1', 'PIER', '', 'ACTIVE', now(), now()), ('T-2', 'PIER', '', 'ACTIVE', now(), now()),
  ('T-3', 'PIER', '', 'ACTIVE', now(), now()), ('T-4', 'PIER', '', 'ACTIVE', now(), now()),
  ('T-SHOP', 'SHOP', '', 'ACTIVE', now(), now()),
  ('T-EAST', 'FAR-EAST', '', 'ACTIVE', now(), now()),
  ('T-WEST', 'FAR-WEST', '', 'ACTIVE', now(), now()),
  ('T-N', 'ELSEWHERE', '', 'ACTIVE', now(), now());
INSERT INTO accounts
SELECT v.username, v.role, v.merchant, '{}', '', %s, 'ACTIVE', now(), now(),
  CASE v.role WHEN 'ADMIN' THEN '{ADMINISTRATOR}' ELSE '{}' END::text[] FROM (VALUES
  ('olga', 'OPERATOR', 'M'), ('sam', 'SUPERVISOR', 'M'), ('root', 'ADMIN', NULL),
  ('nick', 'OPERATOR', 'N'), ('nora', 'SUPERVISOR', 'N')) AS v (username, role, merchant);
"""
INSERT_TICKETS = """
COPY tickets (ticket_id, ticket_code, jti, state, blocked, product_id, partner_id, distributor_id,
snapshot_id, order_id,
              customer_type, customer_name, valid_from_time, valid_until_time, create_time,
              update_time) FROM STDIN
"""
INSERT_ENTITLEMENTS = (
    "COPY entitlements (ticket_id, function_code, total_uses, remaining_uses) FROM STDIN"
)

# Uses, guards, states and repeats all follow from the events. (That of a MULTI_USE function only
# says when it was used last, and a reversal of that leaves none.)
_KEY = kept_answers.key("'terminal:' || e.terminal_device_id", "method", "e.request_id")

CONTRADICTIONS = f"""
WITH taken AS (
  SELECT s.ticket_id, s.jti, s.function_code, s.quantity, s.event_id, s.request_id,
    s.terminal_device_id
  FROM redemption_events s WHERE s.result = 'SUCCESS' AND NOT EXISTS (
    SELECT FROM redemption_events r
    WHERE (r.ticket_id, r.reversed_event_id) = (s.ticket_id, s.event_id))
), uses AS (
  SELECT e.ticket_id, e.function_code, e.total_uses, e.remaining_uses,
    coalesce(sum(t.quantity), 0) AS used
  FROM entitlements e LEFT JOIN taken t USING (ticket_id, function_code)
  GROUP BY e.ticket_id, e.function_code
), states AS (
  SELECT ticket_id, CASE WHEN sum(remaining_uses) = 0 THEN 'USED'
    WHEN sum(used) > 0 THEN 'PARTIALLY_REDEEMED'
    ELSE 'ACTIVE' END AS state FROM uses GROUP BY ticket_id
)
SELECT 'uses', ticket_id, function_code FROM uses WHERE total_uses - remaining_uses <> used
UNION ALL SELECT 'state', ticket_id, t.state FROM tickets t JOIN states s USING (ticket_id)
  WHERE t.state <> s.state AND t.state IN ('ACTIVE', 'PARTIALLY_REDEEMED', 'USED')
UNION ALL SELECT 'redeemed without a guard', ticket_id, function_code
  FROM taken t JOIN tickets USING (ticket_id) JOIN snapshots USING (snapshot_id)
  WHERE content @> jsonb_build_object('entitlements', jsonb_build_array(jsonb_build_object(
      'function_code', function_code, 'use_mode', 'ONCE_PER_QR')))
    AND NOT EXISTS (SELECT FROM redemption_guards g
      WHERE (g.ticket_id, g.jti, g.function_code) = (t.ticket_id, t.jti, t.function_code))
UNION ALL SELECT 'guarded without a redemption', ticket_id, function_code
  FROM redemption_guards WHERE (ticket_id, event_id) NOT IN (SELECT ticket_id, event_id FROM taken)
UNION ALL SELECT 'redeemed twice under one request', NULL, request_id FROM redemption_events
  WHERE request_id <> '' GROUP BY terminal_device_id, request_id, ticket_id, function_code
  HAVING count(*) > 1
UNION ALL SELECT 'no answer kept', ticket_id, request_id FROM redemption_events e
  WHERE request_id <> '' AND NOT EXISTS (SELECT FROM idempotency_records WHERE key IN (
    SELECT {_KEY} FROM unnest('{{Redeem,RedeemMany,RedeemByCode}}'::text[]) AS method))
"""

FERRY_AND_GIFT = (Entitlement("ferry"), Entitlement("gift"))


class QrTicket(NamedTuple):
    """A ticket and the QR code that its owner shows."""

    ticket_id: int
    code: str
    jti: UUID
    qr: str


@dataclass
class World:
    """The database as the test sees it, and the key that seals its QR codes."""

    pg: psycopg.AsyncConnection[Any]
    ring: qr.KeyRing
    made: int = 0
    orders: int = 0

    async def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Runs one statement; its rows, if it gives any."""
        cursor = await self.pg.execute(statement, values or None)
        return await cursor.fetchall() if cursor.description else []

    async def tickets(
        self,
        count: int,
        entitlements: Iterable[Entitlement] = FERRY_AND_GIFT,
        *,
        blackout_dates: Iterable[date] = (),
        partner_id: int = PARTNER_ID,
        **columns: Any,
    ) -> list[QrTicket]:
        """Makes tickets, valid from yesterday for a hundred days unless `columns` say otherwise;
        ours if `partner_id` is DIRECT.
        """
        now, terms = datetime.now(UTC), tuple(entitlements)
        snapshot_id, first = uuid4(), self.made + 1
        self.made += count
        content = {
            "entitlements": [entitlement._asdict() for entitlement in terms],
            "blackout_dates": [day.isoformat() for day in blackout_dates],
            "currency_code": "HKD",
            "fares": [],
        }
        row = {
            "state": "ACTIVE",
            "blocked": False,
            "order_id": int(Number(PARTNER_ID, DAY, 0)),
            "customer_type": "ADULT",
            "customer_name": "张三",
            "valid_from_time": now - timedelta(days=1),
            "valid_until_time": now + timedelta(days=100),
        } | columns
        numbers = [Number(partner_id, DAY, sequence) for sequence in range(first, first + count)]
        code = (DIRECT_PREFIX, DIRECT_CODE) if partner_id == DIRECT else ("OTA", "CP")
        made = [self._sealed(int(number), number.code(*code)) for number in numbers]
        async with self.pg.transaction():
            await self.sql(
                "INSERT INTO snapshots VALUES (%s, 106, %s, %s)",
                snapshot_id,
                orjson.dumps(content).decode(),
                now,
            )
            async with self.pg.cursor().copy(INSERT_TICKETS) as copy:
                for ticket in made:
                    known = ticket.ticket_id, ticket.code, ticket.jti, row["state"], row["blocked"]
                    sold = 106, partner_id, "", snapshot_id, row["order_id"]
                    customer = row["customer_type"], row["customer_name"]
                    times = row["valid_from_time"], row["valid_until_time"], now, now
                    await copy.write_row((*known, *sold, *customer, *times))
            async with self.pg.cursor().copy(INSERT_ENTITLEMENTS) as copy:
                for ticket in made:
                    for e in terms:
                        await copy.write_row((ticket.ticket_id, e.function_code, e.total, e.total))
        return made

    async def ticket(
        self, entitlements: Iterable[Entitlement] = FERRY_AND_GIFT, **options: Any
    ) -> QrTicket:
        """Makes one ticket."""
        (made,) = await self.tickets(1, entitlements, **options)
        return made

    async def order(self, count: int) -> tuple[QrTicket, list[QrTicket]]:
        """Makes an order with tickets; itself as (order_id, order code, jti, QR)."""
        self.orders += 1
        number = Number(PARTNER_ID, DAY, self.orders)
        order = self._sealed(int(number), number.code("ORD", "CP"), qr.QrKind.ORDER)
        await self._add_order(order, count)
        return order, await self.tickets(count, order_id=order.ticket_id)

    async def rotate(self, ticket: QrTicket) -> QrTicket:
        """Gives a ticket a new QR; the former one is superseded."""
        new = self.another_code(ticket)
        await self.sql(
            "UPDATE tickets SET jti = %s WHERE ticket_id = %s", new.jti, ticket.ticket_id
        )
        return new

    def another_code(self, ticket: QrTicket) -> QrTicket:
        """A QR with a jti of its own, which the ticket does not have yet."""
        return self._sealed(ticket.ticket_id, ticket.code)

    def seal(self, jti: UUID, number: int, *, expire_time: datetime | None = None) -> str:
        """A genuine ticket's QR, whether there is such a ticket or not."""
        until = expire_time or datetime.now(UTC) + timedelta(days=100)
        return qr.seal(qr.Claims(jti, number, until), self.ring.active)

    async def uses(self, ticket: QrTicket, function_code: str = "ferry") -> tuple[int, int]:
        """(remaining, total) uses as the database has them."""
        ((remaining, total),) = await self.sql(
            "SELECT remaining_uses, total_uses FROM entitlements WHERE (ticket_id, function_code)"
            " = (%s, %s)",
            ticket.ticket_id,
            function_code,
        )
        return remaining, total

    async def state(self, ticket: QrTicket) -> str:
        """The ticket's state as the database has it."""
        ((state,),) = await self.sql(
            "SELECT state FROM tickets WHERE ticket_id = %s", ticket.ticket_id
        )
        return str(state)

    async def events(self, ticket: QrTicket | None = None) -> list[tuple[str, str]]:
        """(result, reason or nothing) of a ticket's events in the order of time; without one, of
        all.
        """
        rows = await self.sql(
            "SELECT result, coalesce(reason, '') FROM redemption_events"
            " WHERE %s::bigint IS NULL OR ticket_id = %s ORDER BY occurred_time, event_id",
            *[ticket and ticket.ticket_id] * 2,
        )
        return [(result, reason) for result, reason in rows]

    async def contradictions(self) -> list[tuple[Any, ...]]:
        """Where the tables tell different stories: half of a write would show here."""
        return await self.sql(CONTRADICTIONS)

    async def waits_for_a_lock(self) -> None:
        """Returns when a statement of another connection waits for a lock."""
        waiting = (
            "SELECT 1 FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        async with asyncio.timeout(WAIT_SECONDS):
            while not await self.sql(waiting):
                pass

    async def meets_a_lock(self) -> None:
        """Returns when a scan of this process finds its ticket locked: it is put off, and does
        not wait.
        """
        before = locked_calls()
        async with asyncio.timeout(WAIT_SECONDS):
            while locked_calls() == before:  # noqa: ASYNC110 - nobody else tells
                await asyncio.sleep(0)

    async def change(self, statement: str, *values: Any) -> None:
        """Changes configuration, as an administrator does; it is seen."""
        await self.sql(statement, *values)
        await show_changes(self)

    async def log_in(
        self, channel: grpc.aio.Channel, username: str = "olga", device: str | None = "T-1"
    ) -> "Terminal":
        """Somebody logged in at a terminal, or without one, as an administrator is; no password
        is asked for.
        """
        now, login_id = datetime.now(UTC), uuid4()
        token, later = credentials.new_token("a", login_id), now + timedelta(hours=1)
        await self.sql(
            "INSERT INTO logins (login_id, username, terminal_device_id, issue_time, access_hash,"
            " access_expire_time, refresh_hash, refresh_expire_time)"
            " VALUES (%s, %s, %s, %s, %s, %s, '', %s)",
            *(login_id, username, device, now, token.secret_hash, later, later),
        )
        return Terminal(device or "", token.text, RedemptionServiceStub(channel))

    async def _add_order(self, order: QrTicket, count: int) -> None:
        known = order.ticket_id, order.code, PARTNER_ID, order.jti, count
        await self.sql(
            "INSERT INTO orders VALUES (%s, %s, %s, 'PAID', %s, 'ADULT', '张三', %s, 'PAY-1', 100,"
            " 'HKD', now())",
            *known,
        )

    async def open_gates(self) -> None:
        """Makes the partner, the merchants and all they have, in a database without them."""
        for statement in WORLD.split(";\n"):
            if statement.strip():
                await self.pg.execute(
                    statement, (cached.password_hash(PASSWORD),) if "%s" in statement else None
                )

    async def begin(self) -> None:
        """Makes the order of all tickets that are made without one."""
        number = Number(PARTNER_ID, DAY, 0)
        order = self._sealed(int(number), number.code("ORD", "CP"), qr.QrKind.ORDER)
        await self._add_order(order, 0)

    def _sealed(self, number: int, code: str, kind: qr.QrKind = qr.QrKind.TICKET) -> QrTicket:
        jti = uuid4()
        claims = qr.Claims(jti, number, datetime.now(UTC) + timedelta(days=100), kind)
        return QrTicket(number, code, jti, qr.seal(claims, self.ring.active))


@asynccontextmanager
async def a_world(database_url: str) -> AsyncIterator[World]:
    """Fills an empty, migrated database, and stays connected to it."""
    now, db = datetime.now(UTC), Database(load_settings(), database_url)
    async with db.transaction() as tx:
        await keys.create_first_key(tx, SECRET_KEY, now)
        ring = await keys.load_key_ring(tx, SECRET_KEY)
    await db.close()
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as pg:
        world = World(pg, ring)
        await world.open_gates()
        await world.begin()
        yield world


@dataclass(frozen=True)
class Terminal:
    """Somebody logged in at a terminal."""

    device: str
    access_token: str
    stub: "RedemptionServiceAsyncStub"

    @classmethod
    async def log_in(
        cls, channel: grpc.aio.Channel, username: str = "olga", device: str = "T-1"
    ) -> "Terminal":
        """Logs in with the password."""
        stub = RedemptionServiceStub(channel)
        request = access_pb2.OperatorLoginRequest(
            username=username, password=PASSWORD, terminal_device_id=device
        )
        tokens = await stub.OperatorLogin(request)
        return cls(device, tokens.access_token, stub)

    def at(self, channel: grpc.aio.Channel) -> "Terminal":
        """The same log-in at another server."""
        return Terminal(self.device, self.access_token, RedemptionServiceStub(channel))

    def at_other(self, other: "Terminal") -> "Terminal":
        """The same log-in, calling the server that the other one calls."""
        return Terminal(self.device, self.access_token, other.stub)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What every call carries."""
        return (("authorization", f"Bearer {self.access_token}"),)

    def call(self, method: str, request: Any, **options: Any) -> Awaitable[Any]:
        """Any unary method of the service."""
        answer: Awaitable[Any] = getattr(self.stub, method)(
            request, metadata=self.metadata, **options
        )
        return answer

    async def redeem(
        self,
        token: str,
        function_code: str = "ferry",
        *,
        deadline_seconds: float | None = None,
        **fields: Any,
    ) -> redemption_pb2.RedeemResponse:
        """Redeem; any status that is not OK raises."""
        request = redemption_pb2.RedeemRequest(
            qr_token=token, function_code=function_code, **fields
        )
        return await self.stub.Redeem(request, metadata=self.metadata, timeout=deadline_seconds)

    async def redeem_until_decided(
        self, token: str, function_code: str = "ferry"
    ) -> redemption_pb2.RedeemResponse:
        """Redeem, again and again while somebody else is at the ticket."""
        while True:
            try:
                return await self.redeem(token, function_code)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.ABORTED:
                    raise

    async def redeem_many(
        self,
        items: Sequence[tuple[str, str] | redemption_pb2.RedeemItem],
        *,
        all_or_nothing: bool,
        request_id: str | None = None,
        deadline_seconds: float | None = None,
    ) -> redemption_pb2.RedeemManyResponse:
        """RedeemMany of (QR, function code) pairs or items."""
        request = redemption_pb2.RedeemManyRequest(
            items=[
                redemption_pb2.RedeemItem(qr_token=item[0], function_code=item[1])
                if isinstance(item, tuple)
                else item
                for item in items
            ],
            all_or_nothing=all_or_nothing,
            request_id=request_id or uuid4().hex,
        )
        return await self.stub.RedeemMany(request, metadata=self.metadata, timeout=deadline_seconds)

    async def decrypt(self, token: str) -> redemption_pb2.DecryptQrResponse:
        """DecryptQr."""
        request = redemption_pb2.DecryptQrRequest(encrypted_data=token)
        return await self.stub.DecryptQr(request, metadata=self.metadata)

    async def reverse(
        self,
        redemption_id: str,
        *,
        request_id: str | None = None,
        comment: str = "a mistake",
        deadline_seconds: float | None = None,
    ) -> redemption_pb2.ReverseRedemptionResponse:
        """ReverseRedemption."""
        request = redemption_pb2.ReverseRedemptionRequest(
            redemption_id=redemption_id, comment=comment, request_id=request_id or uuid4().hex
        )
        return await self.stub.ReverseRedemption(
            request, metadata=self.metadata, timeout=deadline_seconds
        )

    async def lease(
        self, *codes: str, function_code: str = "ferry", **fields: Any
    ) -> Sequence[leases_pb2.LeasedTicket]:
        """LeaseTickets."""
        request = leases_pb2.LeaseTicketsRequest(
            ticket_codes=codes, function_code=function_code, request_id=uuid4().hex, **fields
        )
        return (await self.stub.LeaseTickets(request, metadata=self.metadata)).tickets

    async def give_back(self, *codes: str) -> int:
        """GiveBackLeases; how many."""
        request = leases_pb2.GiveBackLeasesRequest(ticket_codes=codes, request_id=uuid4().hex)
        return (await self.stub.GiveBackLeases(request, metadata=self.metadata)).lease_count

    async def open_session(self) -> str:
        """OpenValidatorSession."""
        request = access_pb2.OpenValidatorSessionRequest(terminal_device_id=self.device)
        answer = await self.stub.OpenValidatorSession(request, metadata=self.metadata)
        return answer.session_code

    def stream(self, *, deadline_seconds: float | None = None) -> "ScanStreamCall":
        """ScanStream."""
        return self.stub.ScanStream(metadata=self.metadata, timeout=deadline_seconds)


def locked_calls() -> float:
    """How often a call in this process has met a row that somebody else held."""
    name, labels = "deeptravel_locked_calls_total", {"result": "RETRIED"}
    return REGISTRY.get_sample_value(name, labels) or 0.0


def scan_message(
    scan_id: str, token: str, function_code: str = "ferry", **fields: Any
) -> redemption_pb2.ScanStreamRequest:
    """A scan for a stream."""
    scan = redemption_pb2.RedeemRequest(qr_token=token, function_code=function_code, **fields)
    return redemption_pb2.ScanStreamRequest(scan_id=scan_id, scan=scan)


async def next_answers(stream: "ScanStreamCall") -> Sequence[redemption_pb2.ScanAnswer]:
    """The answers in a stream's next message; fails at its end."""
    message = await stream.read()
    assert isinstance(message, redemption_pb2.ScanStreamResponse)
    return message.answers


def verdict(answer: Any) -> str:
    """SUCCESS, WITHHELD, or the reason of a REJECT."""
    result = RESULT[answer.result]
    return REFUSAL[answer.reason] if result == "REJECT" else result


def remaining(answer: Any) -> dict[str, int]:
    """What an answer says is left."""
    return {e.function_code: e.remaining_uses for e in answer.entitlements}
