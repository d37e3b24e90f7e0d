"""An administrator who sees to refunds, and a ticket whose refund has two parts."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import grpc
from deeptravel.admin.v1 import admin_service_pb2_grpc, refund_pb2
from deeptravel.ticketing.v1 import order_pb2

from server.identity import credentials
from server.platform import clock
from tests.support.order_scenario import OrderScenario, swap, tickets
from tests.support.traveller import TravellerClient, World, party

if TYPE_CHECKING:  # known to the .pyi file alone
    from deeptravel.admin.v1.admin_service_pb2_grpc import AdminServiceAsyncStub

SUCCEEDED, CLOSED, ABNORMAL = 2, 3, 4


@dataclass
class AdminClient:
    """The administrator's side of the contract."""

    stub: "AdminServiceAsyncStub"
    metadata: tuple[tuple[str, str], ...]

    def do(self, method: str, **fields: Any) -> Any:
        named = {} if method.startswith(("List", "Get")) else {"request_id": uuid4().hex}
        request = getattr(refund_pb2, f"{method}Request")(**named | fields)
        return getattr(self.stub, method)(request, metadata=self.metadata)


async def an_admin_client(world: World, channel: grpc.aio.Channel) -> AdminClient:
    """Of root, who is logged in."""
    await world.sql(
        "INSERT INTO accounts (username, role, venue_codes, display_name, password_hash, state,"
        " create_time, update_time, admin_roles)"
        " VALUES ('root', 'ADMIN', '{}', '', '', 'ACTIVE', now(), now(), '{ADMINISTRATOR}')"
    )
    login_id = uuid4()
    token, later = credentials.new_token("a", login_id), clock.now() + timedelta(hours=1)
    await world.sql(
        "INSERT INTO logins (login_id, username, issue_time, access_hash, access_expire_time,"
        " refresh_hash, refresh_expire_time) VALUES (%s, 'root', now(), %s, %s, '', %s)",
        *(login_id, token.secret_hash, later, later),
    )
    stub = admin_service_pb2_grpc.AdminServiceStub(channel)
    return AdminClient(stub, (("authorization", f"Bearer {token.text}"),))


async def in_two_parts(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> tuple[order_pb2.Order, int]:
    """A ticket that was paid by two payments, since it was changed: its order, and the number of
    that.
    """
    await scenario.sell(client, world.seat(1, 1), passengers=party(1))
    (old,) = await tickets(client)
    made = await swap(client, old.ticket_code, world.seat(2, 0))
    await scenario.pay(made.order.order_id)
    number = await world.value(
        "SELECT order_id FROM orders WHERE order_code = %s", made.order.order_id
    )
    return made.order, int(number)
