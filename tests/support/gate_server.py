"""A server of redemptions in this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from deeptravel.redemption.v1 import redemption_service_pb2, redemption_service_pb2_grpc

from server.changes import Remembered
from server.redemption.scans import Redeemer
from server.redemption.servicer import RedemptionServicer
from server.tickets import keys
from tests.support.rpc_server import SECRET_KEY, Node, Offer, running_node


@dataclass
class GateServer:
    channel: grpc.aio.Channel
    stopping: asyncio.Event

    async def stop(self) -> None:
        self.stopping.set()


@asynccontextmanager
async def gate_server(
    database_url: str, redis_url: str, **settings: Any
) -> AsyncIterator[GateServer]:
    stopping = asyncio.Event()

    def servicer(node: Node) -> RedemptionServicer:
        async def load(_: str) -> Any:
            async with node.db.transaction() as tx:
                return await keys.load_key_ring(tx, SECRET_KEY)

        redeemer = Redeemer(
            node.db, Remembered(node.feed, load), batch=128, lanes=2, token_cache=1000
        )
        return RedemptionServicer(
            node.db,
            node.identity,
            redeemer,
            node.repeats,
            node.pages,
            zone=node.settings.zone,
            stopping=stopping,
        )

    service = redemption_service_pb2.DESCRIPTOR.services_by_name["RedemptionService"]
    add = redemption_service_pb2_grpc.add_RedemptionServiceServicer_to_server
    async with running_node(
        database_url, redis_url, Offer(service, add, servicer), **settings
    ) as node:
        yield GateServer(node.channel, stopping)
