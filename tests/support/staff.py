"""Those whom a traveller meets, over a traveller's world: operator and supervisor at a gate, and
an administrator.
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from deeptravel.admin.v1 import admin_service_pb2_grpc, ticket_block_pb2
from deeptravel.redemption.v1 import redemption_pb2

from tests.support import cached, gate
from tests.support.changes import show_changes
from tests.support.gate import PASSWORD, WORLD, Terminal
from tests.support.traveller import World, request_id

if TYPE_CHECKING:  # known to the .pyi file alone
    from deeptravel.admin.v1.admin_service_pb2_grpc import AdminServiceAsyncStub


@dataclass(frozen=True)
class Administrator:
    """Somebody who runs the platform."""

    stub: "AdminServiceAsyncStub"
    metadata: tuple[tuple[str, str], ...]

    def block(self, ticket_code: str) -> Awaitable[ticket_block_pb2.BlockTicketResponse]:
        """BlockTicket."""
        request = ticket_block_pb2.BlockTicketRequest(
            ticket_code=ticket_code, comment="stolen", request_id=request_id()
        )
        return self.stub.BlockTicket(request, metadata=self.metadata)

    def unblock(self, ticket_code: str) -> Awaitable[ticket_block_pb2.UnblockTicketResponse]:
        """UnblockTicket."""
        request = ticket_block_pb2.UnblockTicketRequest(
            ticket_code=ticket_code, comment="found", request_id=request_id()
        )
        return self.stub.UnblockTicket(request, metadata=self.metadata)


@dataclass(frozen=True)
class Staff:
    """An operator and a supervisor of a merchant that redeems ferry, gift and lounge, and an
    administrator.
    """

    terminal: Terminal
    supervisor: Terminal
    administrator: Administrator

    async def look_up(self, **fields: Any) -> redemption_pb2.LookupOrderResponse:
        """LookupOrder."""
        request = redemption_pb2.LookupOrderRequest(**fields)
        return await self.terminal.stub.LookupOrder(request, metadata=self.terminal.metadata)


async def hire(world: World, channel: grpc.aio.Channel) -> Staff:
    """Writes them down, and logs them in."""
    password_hash = cached.password_hash(PASSWORD)
    for statement in WORLD.split(";\n"):
        if statement.strip():
            values = (password_hash,) if "%s" in statement else ()
            await world.sql(statement, *values)
    await show_changes(world)
    people = gate.World(world.pg, world.ring)
    admin_client = await people.log_in(channel, "root", None)
    return Staff(
        await people.log_in(channel),
        await people.log_in(channel, "sam", "T-2"),
        Administrator(admin_service_pb2_grpc.AdminServiceStub(channel), admin_client.metadata),
    )


async def valid_now(world: World) -> None:
    """What was sold is valid from yesterday on."""
    await world.sql("UPDATE tickets SET valid_from_time = now() - interval '1 day'")
