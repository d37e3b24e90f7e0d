"""An operations manager, who cancels and moves departures: over gRPC, or over JSON."""

from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc
import httpx2
from deeptravel.admin.v1 import account_pb2, admin_service_pb2_grpc, catalog_pb2
from sqlalchemy import insert

from server.identity.models import accounts
from server.platform.database import Database
from tests.support import cached
from tests.support.rpc_server import Refusal, refusal
from tests.support.traveller import World, request_id

if TYPE_CHECKING:  # known to the .pyi file alone
    from deeptravel.admin.v1.admin_service_pb2_grpc import AdminServiceAsyncStub

PASSWORD = "correct horse battery"
NAME = "manager"


@dataclass
class Manager:
    """An administrator at a server."""

    stub: "AdminServiceAsyncStub"
    token: str

    @classmethod
    async def hired(cls, db: Database, channel: grpc.aio.Channel) -> "Manager":
        """Has an account made, and logs in."""
        async with db.transaction() as tx:
            now = datetime.now(UTC)
            await tx.execute(
                insert(accounts).values(
                    username=NAME,
                    role="ADMIN",
                    admin_roles=["ADMINISTRATOR"],
                    venue_codes=[],
                    display_name=NAME,
                    password_hash=cached.password_hash(PASSWORD),
                    state="ACTIVE",
                    create_time=now,
                    update_time=now,
                )
            )
        return await cls.at(channel)

    @classmethod
    async def at(cls, channel: grpc.aio.Channel) -> "Manager":
        """Logs in at a server."""
        stub = admin_service_pb2_grpc.AdminServiceStub(channel)
        login = account_pb2.AdminLoginRequest(username=NAME, password=PASSWORD)
        return cls(stub, (await stub.AdminLogin(login)).access_token)

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Who calls."""
        return (("authorization", f"Bearer {self.token}"),)

    async def call(self, method: str, **fields: Any) -> catalog_pb2.Departure:
        """A method about a departure; what it answers about it."""
        request = getattr(catalog_pb2, f"{method}Request")(**fields)
        answer = await getattr(self.stub, method)(request, metadata=self.headers)
        departure: catalog_pb2.Departure = answer.departure
        return departure

    async def cancel(self, departure_id: int, **fields: Any) -> catalog_pb2.Departure:
        """CancelDeparture."""
        values = {"comment": "typhoon", "request_id": request_id()} | fields
        return await self.call("CancelDeparture", departure_id=str(departure_id), **values)

    async def move(self, departure_id: int, to: datetime, **fields: Any) -> catalog_pb2.Departure:
        """MoveDeparture."""
        values = {"comment": "fog", "request_id": request_id(), "departure_time": to} | fields
        return await self.call("MoveDeparture", departure_id=str(departure_id), **values)

    async def get(self, departure_id: int) -> catalog_pb2.Departure:
        """GetDeparture."""
        return await self.call("GetDeparture", departure_id=str(departure_id))

    async def refused(self, call: Awaitable[object]) -> Refusal:
        """The refusal of a call."""
        return await refusal(call)

    async def over_json(self, http: httpx2.AsyncClient, url: str, **body: Any) -> httpx2.Response:
        """A call over JSON."""
        headers = {"Authorization": f"Bearer {self.token}"}
        if not body:
            return await http.get(url, headers=headers)
        return await http.post(url, headers=headers, json=body)


async def leaves(world: World, departure: int = 1) -> datetime:
    """When a departure leaves its first stop now."""
    query = "SELECT departure_time FROM departures WHERE departure_id = %s"
    found: datetime = await world.value(query, world.departure_id(departure))
    return found


async def followed(world: World, kind: str = "departure.%") -> None:
    """Waits until no task about a departure is due, or will be tried again."""
    await world.until(
        "SELECT count(*) = 0 FROM outbox_tasks WHERE state = 'OPEN' AND kind LIKE %s"
        " AND (due_time <= now() OR lease_until IS NOT NULL OR attempts > 0)",
        kind,
    )


async def look_again(world: World) -> None:
    """Has the departures' tasks due now, as they are some minutes later."""
    await world.sql(
        "UPDATE outbox_tasks SET due_time = now() WHERE state = 'OPEN' AND kind LIKE 'departure.%'"
    )
    await followed(world)
