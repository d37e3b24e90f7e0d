"""A server that dies in the middle of a delivery: the event comes again, under the same id."""

from pathlib import Path
from uuid import uuid4

import grpc
from deeptravel.ota.v1 import webhook_pb2

from tests.support.gate_server import gate_process
from tests.support.partner_client import PartnerClient, a_market
from tests.support.receiver import a_receiver

SETTINGS = {"DEEPTRAVEL_WEBHOOK_ALLOW_PRIVATE": "true"}


async def test_what_was_under_way_at_a_kill_is_delivered_by_the_next_server(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """At least once: the receiver had the event, and answered nothing yet.

    Seen red with deliveries that are marked as DELIVERED when they are taken.
    """
    async with a_market(database_url) as market, a_receiver() as receiver:
        receiver.answer = lambda _: None
        with gate_process(database_url, redis_url, tmp_path, settings=SETTINGS) as server:
            async with grpc.aio.insecure_channel(server.target) as channel:
                client = PartnerClient.at(channel)
                request = webhook_pb2.CreateWebhookEndpointRequest(
                    url=receiver.url, request_id=uuid4().hex
                )
                await client.call("CreateWebhookEndpoint", request)
                for _ in range(2):  # of one ticket the second event would wait for the first
                    await client.codes(1)
                await receiver.until(2)
                server.kill()
        receiver.hung.set()
        receiver.answer = lambda _: 200
        first = {got.id for got in receiver.received}
        # as if the time of those that took them were over
        await market.sql("UPDATE webhook_deliveries SET lease_time = now()")
        with gate_process(database_url, redis_url, tmp_path, settings=SETTINGS):
            await receiver.until(4)
            assert {got.id for got in receiver.received[2:]} == first
            await market.until(
                "SELECT count(*) = 2 FROM webhook_deliveries WHERE state = 'DELIVERED'"
            )
