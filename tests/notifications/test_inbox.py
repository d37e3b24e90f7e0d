"""What travellers find in their inbox: each thing that happened once, in its order, their own
alone, over gRPC and JSON.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from deeptravel.admin.v1 import notification_pb2 as admin_notification_pb2
from deeptravel.admin.v1 import order_pb2
from deeptravel.ticketing.v1 import notification_pb2, ticket_pb2

from server.notifications import sources
from server.orders.orders import order_number
from server.platform import clock
from server.platform.errors import Reason
from server.platform.statements import run
from tests.support.gate import verdict
from tests.support.gate_server import GateServer
from tests.support.operations import Manager, followed
from tests.support.order_scenario import (
    OrderScenario,
    a_scenario,
    give_back,
    tickets,
)
from tests.support.rpc_server import refusal, refusal_or_none
from tests.support.staff import Staff, hire, valid_now
from tests.support.traveller import SECOND, TravellerClient, World, a_world, traveller_server

KIND = notification_pb2.NotificationKind


@pytest.fixture(scope="module")
async def world(module_database_url: str) -> AsyncIterator[World]:
    async with a_world(module_database_url, departures=3) as filled:
        await filled.enrol(*range(1, 10))
        yield filled


@pytest.fixture(scope="module")
async def server(
    world: World, module_database_url: str, module_redis_url: str
) -> AsyncIterator[GateServer]:
    async with traveller_server(module_database_url, module_redis_url) as running:
        yield running


@pytest.fixture(scope="module")
async def scenario(world: World, module_database_url: str) -> AsyncIterator[OrderScenario]:
    async with a_scenario(module_database_url) as made:
        yield made


@pytest.fixture
async def manager(scenario: OrderScenario, server: GateServer) -> Manager:
    return await Manager.hired(scenario.db, server.channel)


@pytest.fixture
async def staff(world: World, server: GateServer) -> Staff:
    return await hire(world, server.channel)


async def inbox(client: TravellerClient, **wanted: Any) -> list[notification_pb2.Notification]:
    request = notification_pb2.ListNotificationsRequest(**wanted)
    return list((await client.call("ListNotifications", request)).notifications)


async def notified(client: TravellerClient, count: int) -> list[str]:
    """The kinds of what the traveller was notified, the oldest first; waits for so many."""
    found: list[notification_pb2.Notification] = []
    for _ in range(500):
        found = await inbox(client)
        if len(found) >= count:
            break
        await asyncio.sleep(0.02)
    return [KIND.Name(each.kind).removeprefix("NOTIFICATION_KIND_") for each in reversed(found)]


async def test_a_traveller_hears_of_all_that_happens_to_his_orders(
    world: World, server: GateServer, scenario: OrderScenario, staff: Staff
) -> None:
    """Payment, redemption, refund, cancellation, each once, in its order: by the mark of the
    move, and by the source of the message.
    """
    client = TravellerClient.of(server.channel, 1)
    order = await scenario.sell(client, world.package())
    await valid_now(world)
    own = [each for each in await tickets(client, order_id=order.order_id) if not each.shared]
    qr = await client.call(
        "IssueTicketQr", ticket_pb2.IssueTicketQrRequest(ticket_code=own[0].ticket_code)
    )
    answer = await staff.terminal.redeem(qr.encrypted_data, "ferry")
    assert verdict(answer) == "SUCCESS"
    await give_back(client, order.order_id, own[1].ticket_code)
    await scenario.drain()
    cancelled = await client.order(world.seat(), request_id="cancelled-1")
    await client.cancel(cancelled.order_id)
    assert await notified(client, 4) == [
        "PAYMENT_SUCCEEDED",
        "REDEMPTION_SUCCEEDED",
        "REFUND_RESULT",
        "ORDER_CANCELLED",
    ]
    await asyncio.sleep(0.3)  # a second telling would be here by now
    found = await inbox(client)
    assert len(found) == 4
    paid = found[-1]
    assert (paid.order_id, paid.title) == (order.order_id, "支付成功")
    assert order.order_id in paid.body
    assert "优享" in paid.body
    assert own[0].ticket_code in found[-2].body


async def test_an_administrator_sees_what_the_traveller_of_an_order_was_notified_of(
    world: World, server: GateServer, scenario: OrderScenario, manager: Manager
) -> None:
    """Kind, channel, outcome, time and language, by page and in the order's history; of no other
    order of his.
    """
    client = TravellerClient.of(server.channel, 9)
    order = await scenario.sell(client, world.package())
    await client.cancel((await client.order(world.seat(), request_id="other-9")).order_id)
    await notified(client, 2)
    number = (await inbox(client))[-1].notification_id
    await world.value(
        "INSERT INTO notification_deliveries (traveller_id, number, channel, order_id, kind,"
        " template_id, state, reason, due_time, attempts, create_time, update_time)"
        " SELECT traveller_id, number, 'WECHAT', order_id, kind, 'TPL', 'DEAD', '47003',"
        " create_time, 1, create_time, create_time FROM notifications WHERE number = %s"
        " RETURNING number",
        number,
    )
    deliveries: list[Any] = []
    token = ""
    while token or not deliveries:
        request = admin_notification_pb2.ListOrderNotificationsRequest(
            order_code=order.order_id, page_size=1, page_token=token
        )
        page = await manager.stub.ListOrderNotifications(request, metadata=manager.headers)
        deliveries += page.deliveries
        token = page.next_page_token
    channel, state = (
        admin_notification_pb2.NotificationChannel,
        admin_notification_pb2.NotificationDeliveryState,
    )
    assert [
        (each.notification_id, channel.Name(each.channel)[21:], state.Name(each.state)[28:])
        for each in deliveries
    ] == [(number, "WECHAT", "DEAD"), (number, "INBOX", "SENT")]
    for each in deliveries:
        assert each.kind == notification_pb2.NOTIFICATION_KIND_PAYMENT_SUCCEEDED
        assert each.language == notification_pb2.NOTIFICATION_LANGUAGE_ZH
        assert each.order_id == order.order_id
        assert each.HasField("update_time")
    assert [each.reason for each in deliveries] == ["47003", ""]
    shown = await manager.stub.GetOrder(
        order_pb2.GetOrderRequest(order_code=order.order_id), metadata=manager.headers
    )
    assert sorted(
        (each.action, each.state, each.reason, each.reference)
        for each in shown.history
        if each.kind == order_pb2.HISTORY_KIND_NOTIFICATION
    ) == [
        ("PAYMENT_SUCCEEDED", "DEAD", "47003", "WECHAT zh"),
        ("PAYMENT_SUCCEEDED", "SENT", "", "INBOX zh"),
    ]


async def test_whoever_goes_by_a_departure_hears_of_its_move_and_end_in_his_language(
    world: World, server: GateServer, scenario: OrderScenario, manager: Manager
) -> None:
    client = TravellerClient.of(server.channel, 2)
    preferences = notification_pb2.NotificationPreferences(
        language=notification_pb2.NOTIFICATION_LANGUAGE_EN
    )
    await client.call(
        "UpdateNotificationPreferences",
        notification_pb2.UpdateNotificationPreferencesRequest(
            preferences=preferences, request_id="en-2"
        ),
    )
    await scenario.sell(client, world.seat(2, SECOND))
    leaves = await world.value(
        "SELECT departure_time FROM departures WHERE departure_id = %s", world.departure_id(2)
    )
    await manager.move(world.departure_id(2), leaves + timedelta(hours=3))
    await followed(world)
    await manager.cancel(world.departure_id(2))
    await followed(world)
    await notified(client, 3)
    kinds = await notified(client, 3)
    assert kinds[:3] == ["PAYMENT_SUCCEEDED", "DEPARTURE_MOVED", "DEPARTURE_CANCELLED"]
    moved, cancelled = (await inbox(client))[-2::-1][:2]
    assert moved.title == "Departure moved"
    assert "now leaves at" in moved.body
    assert cancelled.title == "Departure cancelled"


async def test_of_two_who_set_preferences_they_read_one_reads_them_again(
    server: GateServer, world: World
) -> None:
    """Also the first ones, of which there were none before. Seen red without the version in the
    statement: each succeeded.
    """
    client = TravellerClient.of(server.channel, 5)

    async def version() -> int:
        request = notification_pb2.GetNotificationPreferencesRequest()
        return int((await client.call("GetNotificationPreferences", request)).version)

    async def set_them(read: int) -> Reason | None:
        request = notification_pb2.UpdateNotificationPreferencesRequest(
            preferences=notification_pb2.NotificationPreferences(),
            version=read,
            request_id=uuid4().hex,
        )
        found = await refusal_or_none(client.call("UpdateNotificationPreferences", request))
        return found.reason if found else None

    assert await set_them(7) is Reason.VERSION_MISMATCH
    for count in (1, 2):
        assert await version() == count
        both = await asyncio.gather(set_them(count), set_them(count))
        assert sorted(both, key=str) == [None, Reason.VERSION_MISMATCH]
    assert await set_them(0) is None
    assert await version() == 4


async def test_a_traveller_reads_his_own_messages_alone(
    world: World, server: GateServer, scenario: OrderScenario
) -> None:
    """Marking, counting and paging; another's message does not exist. Seen red without the
    traveller in the statement that marks.
    """
    client, other = (TravellerClient.of(server.channel, number) for number in (3, 4))
    for _ in range(3):
        order = await client.order(world.package())
        await client.cancel(order.order_id)
    await notified(client, 3)
    count = notification_pb2.GetUnreadNotificationCountRequest()
    assert (await client.call("GetUnreadNotificationCount", count)).unread == 3
    assert await inbox(other) == []
    first = await client.call(
        "ListNotifications", notification_pb2.ListNotificationsRequest(page_size=2)
    )
    rest = await inbox(client, page_size=2, page_token=first.next_page_token)
    ids = [each.notification_id for each in (*first.notifications, *rest)]
    assert len(ids) == 3
    assert ids == sorted(ids, reverse=True)
    mark = notification_pb2.MarkNotificationReadRequest(notification_id=ids[1])
    assert (await refusal(other.call("MarkNotificationRead", mark))).reason is Reason.NOT_FOUND
    read = (await client.call("MarkNotificationRead", mark)).notification
    assert read.HasField("read_time")
    again = (await client.call("MarkNotificationRead", mark)).notification
    assert again.read_time == read.read_time
    assert [each.notification_id for each in await inbox(client, unread_only=True)] == ids[::2]
    until = notification_pb2.MarkAllNotificationsReadRequest(until_notification_id=ids[1])
    assert (await client.call("MarkAllNotificationsRead", until)).unread == 1
    assert (await client.call("GetUnreadNotificationCount", count)).unread == 1


async def test_the_inbox_is_read_over_json(world: World, server: GateServer) -> None:
    client = TravellerClient.of(server.channel, 5)
    order = await client.order(world.package())
    await client.cancel(order.order_id)
    await notified(client, 1)
    headers = dict(client.metadata)
    url = f"http://127.0.0.1:{server.app.http_port}"
    async with httpx2.AsyncClient(trust_env=False, base_url=url, headers=headers) as http:
        assert (await http.get("/notifications:unread")).json() == {"unread": 1}
        (listed,) = (await http.get("/notifications")).json()["notifications"]
        assert listed["kind"] == "ORDER_CANCELLED"
        number = listed["notification_id"]
        assert (await http.post(f"/notifications/{number}:read", json={})).status_code == 200
        assert (await http.post("/notifications:read", json={})).json() == {"unread": 0}
        assert (await http.get("/notifications:unread")).json() == {"unread": 0}


async def test_other_rooms_ask_for_a_message_once(
    world: World, server: GateServer, scenario: OrderScenario
) -> None:
    """By the plain function, in their transaction; the same key says the same thing."""
    client = TravellerClient.of(server.channel, 6)
    order = await client.order(world.seat(3))
    order_id = order_number(order.order_id)
    assert order_id is not None
    facts = {"former_time": clock.now().isoformat()}
    for _ in range(2):
        async with scenario.db.transaction() as tx:
            wanted = (order_id, "DEPARTURE_MOVED", "plan-7", facts)
            await run(tx, sources.ask(wanted, now=clock.now()))
        assert await notified(client, 1) == ["DEPARTURE_MOVED"]
    await world.until("SELECT count(*) = 0 FROM notification_requests")
    assert len(await inbox(client)) == 1
