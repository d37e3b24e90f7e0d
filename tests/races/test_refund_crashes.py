"""The server is killed between the answer to RequestRefund and WeChat's: the money is given
back, once.
"""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from deeptravel.ticketing.v1 import payment_pb2

from server.api import convert
from tests.support.invariants import assert_invariants
from tests.support.order_scenario import give_back, states
from tests.support.rpc_server import SECRET_KEY
from tests.support.server_process import ServerProcess
from tests.support.traveller import TravellerClient, World, a_world, party
from tests.support.wechat import WechatSimulator

PAYMENT_STATE = convert.enum_names(payment_pb2.PaymentState)


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with a_world(database_url) as filled:
        yield filled
    assert_invariants(database_url)


def process(database_url: str, redis_url: str, folder: Path, env: dict[str, str]) -> ServerProcess:
    own = {
        "DEEPTRAVEL_DATABASE_URL": database_url,
        "DEEPTRAVEL_REDIS_URL": redis_url,
        "DEEPTRAVEL_SECRET_KEY": base64.b64encode(SECRET_KEY).decode(),
    }
    return ServerProcess(data_dir=folder, env=own | env)


async def bought(client: TravellerClient, world: World, wechat: WechatSimulator) -> Any:
    """An order that was paid by phone; notices are lost."""
    order = await client.order(world.seat(), passengers=party(2))
    request = payment_pb2.CreatePaymentRequest(order_id=order.order_id)
    made = await client.call("CreatePayment", request)
    wechat.pay(made.payment.out_trade_no)
    asked = payment_pb2.GetPaymentRequest(order_id=order.order_id)
    for _ in range(600):
        found = await client.call("GetPayment", asked)
        if PAYMENT_STATE[found.payment.state] == "SUCCEEDED":
            return order
        await asyncio.sleep(0.1)
    raise AssertionError("a payment is found by asking")


async def test_killed_between_request_and_send(
    world: World, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    await world.enrol(1)
    async with WechatSimulator(tmp_path / "wechat") as wechat:
        await wechat.switch(lost_notices=True)
        await world.sql("UPDATE travellers SET openid = %s", wechat.openid("alice"))
        await world.sql("UPDATE travellers SET app_id = %s", wechat.merchant.app_id)
        env = wechat.environment()
        with process(database_url, redis_url, tmp_path / "first", env) as server:
            async with grpc.aio.insecure_channel(server.target) as channel:
                client = TravellerClient.of(channel, 1)
                order = await bought(client, world, wechat)
                await wechat.switch(slow={"refund": 30.0})
                refund = await give_back(client, order.order_id)
                assert refund.amount_minor == 39_000
            server.kill()
        assert (
            await world.value("SELECT string_agg(DISTINCT state, '') FROM tickets") == "REFUNDING"
        )
        await wechat.switch(slow={})
        # what the dead process had taken is due when its lease is over
        await world.sql("UPDATE outbox_tasks SET lease_until = NULL WHERE state = 'OPEN'")
        # and a query a minute after the answer; without its lease, an attempt counts for nothing
        hasten = (
            "UPDATE outbox_tasks SET due_time = now() WHERE state = 'OPEN' AND lease_until IS NULL"
        )
        with process(database_url, redis_url, tmp_path / "second", env) as server:
            async with grpc.aio.insecure_channel(server.target) as channel:
                client = TravellerClient.of(channel, 1)
                for _ in range(600):
                    if await states(client, order.order_id) == ["REFUNDED", "REFUNDED"]:
                        break
                    await world.sql(hasten)
                    await asyncio.sleep(0.1)
                assert await states(client, order.order_id) == ["REFUNDED", "REFUNDED"]
    assert await world.value("SELECT refunded_minor FROM payments") == 39_000
    assert await world.value("SELECT count(*) FROM refund_parts") == 1
