"""A partner that sells and tries: its live key, its key of test mode, an administrator and a
terminal of a venue, at a whole server.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import grpc
import httpx2
import psycopg
from deeptravel.admin.v1 import admin_service_pb2_grpc, partner_pb2
from deeptravel.ota.v1 import ota_service_pb2 as ota
from deeptravel.redemption.v1 import access_pb2, redemption_pb2
from deeptravel.redemption.v1.redemption_service_pb2_grpc import RedemptionServiceStub

from server.app import App
from server.platform import clock
from server.platform.config import load_settings
from server.platform.database import Database
from server.tickets import keys
from tests.support.admin_client import PASSWORD, Headers, message
from tests.support.app_server import channel_to, running
from tests.support.partner_client import PartnerClient, payment
from tests.support.rpc_server import SECRET_KEY

TEST = partner_pb2.PARTNER_MODE_TEST
PAID = payment(amount_minor=28_000)


@dataclass(frozen=True)
class SandboxWorld:
    """One server with partners CP (2,000 of product 106) and HK, and their callers."""

    app: App
    channel: grpc.aio.Channel
    http: httpx2.AsyncClient
    pg: psycopg.AsyncConnection[Any]
    admin_headers: Headers
    live: PartnerClient
    test: PartnerClient
    terminal_headers: Headers

    async def admin(self, method: str, **fields: Any) -> Any:
        """A call of the administrator."""
        stub = admin_service_pb2_grpc.AdminServiceStub(self.channel)
        return await getattr(stub, method)(message(method, **fields), metadata=self.admin_headers)

    async def key(self, partner_code: str = "CP", mode: int = 0) -> PartnerClient:
        """Whoever calls with a new key of a partner."""
        made = await self.admin("CreatePartnerKey", partner_code=partner_code, mode=mode)
        return PartnerClient.at(self.channel, made.api_key)

    async def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Runs one statement; its rows, if it gives any."""
        cursor = await self.pg.execute(statement.encode(), values)
        return await cursor.fetchall() if cursor.description else []

    async def sold(self, client: PartnerClient) -> tuple[str, str, str]:
        """A ticket that a partner has sold: its code, its QR and its order's code."""
        (code,) = await client.codes(1)
        order = (await client.activate(code, payment=PAID)).order_id
        return code, (await client.qr(code)).encrypted_data, order

    async def scan(self, token: str, function_code: str = "ferry") -> Any:
        """Redeems at the terminal."""
        request = redemption_pb2.RedeemRequest(
            qr_token=token, function_code=function_code, request_id=uuid4().hex
        )
        stub = RedemptionServiceStub(self.channel)
        return await stub.Redeem(request, metadata=self.terminal_headers)

    async def look(self, token: str, headers: Sequence[tuple[str, str]] = ()) -> Any:
        """Looks at a QR, at the terminal or as somebody else."""
        request = redemption_pb2.DecryptQrRequest(encrypted_data=token)
        stub = RedemptionServiceStub(self.channel)
        return await stub.DecryptQr(request, metadata=headers or self.terminal_headers)

    async def uses(self, ticket_code: str) -> list[int]:
        """What is left of a ticket's entitlements."""
        rows = await self.sql(
            "SELECT remaining_uses FROM entitlements JOIN tickets USING (ticket_id)"
            " WHERE ticket_code = %s ORDER BY function_code",
            ticket_code,
        )
        return [row[0] for row in rows]

    async def stock(self, client: PartnerClient, **fields: Any) -> list[tuple[int, int, int]]:
        """Total, held and sold of what a partner has."""
        answer = await client.call("GetInventory", ota.GetInventoryRequest(**fields))
        return [(each.total, each.held, each.sold) for each in answer.inventory]


@asynccontextmanager
async def a_sandbox_world(
    database_url: str, redis_url: str, admin_headers: Headers, **settings: Any
) -> AsyncIterator[SandboxWorld]:
    """Over a copy of the seeded database (tests/conftest.py, `seeded`)."""
    db = Database(load_settings(), database_url)
    async with db.transaction() as tx:
        await keys.create_first_key(tx, SECRET_KEY, clock.now())
    await db.close()
    async with (
        running(database_url, redis_url, **settings) as app,
        channel_to(app) as channel,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{app.http_port}") as http,
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as pg,
    ):
        nobody = PartnerClient.at(channel, "")
        world = SandboxWorld(app, channel, http, pg, admin_headers, nobody, nobody, ())
        await world.admin(
            "UpdatePartner",
            partner_code="CP",
            requests_per_minute=1_000_000,
            update_mask="requests_per_minute",
        )
        live, test = await world.key(), await world.key(mode=TEST)
        login = access_pb2.OperatorLoginRequest(
            username="olga", password=PASSWORD, terminal_device_id="T-1"
        )
        token = (await RedemptionServiceStub(channel).OperatorLogin(login)).access_token
        headers = (("authorization", f"Bearer {token}"),)
        yield SandboxWorld(app, channel, http, pg, admin_headers, live, test, headers)
