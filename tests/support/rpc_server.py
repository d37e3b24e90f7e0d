"""A process's worth of server for tests: a real gRPC server with the production interceptor, and
what it refused.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.rpc import error_details_pb2, status_pb2

from server.api import interceptor, paging
from server.api import repeats as repeats_module
from server.api.admission import Admission
from server.api.transport.choice import new_server
from server.identity.service import Identity
from server.orders import search_terms
from server.platform.change_feed import ChangeFeed
from server.platform.config import Settings, load_settings
from server.platform.database import Database
from server.platform.errors import STATUS_BY_REASON, Reason
from server.platform.ratelimit import RateLimiter

SECRET_KEY = b"0123456789abcdef0123456789abcdef"
DETAILS = "grpc-status-details-bin"


@dataclass(frozen=True)
class Node:
    """One server process; several over one database and Redis are several processes, but for the
    machine.
    """

    settings: Settings
    db: Database
    feed: ChangeFeed
    identity: Identity
    repeats: repeats_module.Repeats
    pages: paging.PageTokens
    channel: grpc.aio.Channel


@dataclass(frozen=True)
class Offer:
    """A service: its descriptor, its `add_…_to_server`, and what makes its servicer."""

    service: ServiceDescriptor
    add: Callable[[Any, grpc.aio.Server], None]
    servicer: Callable[[Any], object]


@asynccontextmanager
async def running_node(
    database_url: str, redis_url: str, *offers: Offer, **settings: Any
) -> AsyncIterator[Node]:
    """A server with these services on a free port of the loopback, and a channel to it."""
    loaded = load_settings(**{"secret_key": SECRET_KEY} | settings)
    search_terms.use_key(SECRET_KEY)
    async with AsyncExitStack() as stack:
        db = Database(loaded, database_url)
        stack.push_async_callback(db.close)
        feed = ChangeFeed(db)
        await feed.start()
        stack.push_async_callback(feed.stop)
        limiter = RateLimiter(redis_url)
        stack.push_async_callback(limiter.close)
        identity = Identity(db, feed, limiter, loaded)
        await identity.start()
        stack.push_async_callback(identity.stop)
        services = [offer.service for offer in offers]
        server = new_server(
            loaded.transport,
            interceptors=[interceptor.Interceptor(services, identity, Admission(max_calls=1000))],
        )
        port = server.add_insecure_port("127.0.0.1:0")
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        stack.push_async_callback(channel.close)
        repeats, pages = repeats_module.Repeats(db, SECRET_KEY), paging.PageTokens(SECRET_KEY)
        node = Node(loaded, db, feed, identity, repeats, pages, channel)
        for offer in offers:
            offer.add(offer.servicer(node), server)
        await server.start()
        stack.push_async_callback(server.stop, None)
        yield node


@dataclass(frozen=True)
class Refusal:
    """Why a call failed, from the status details; `fields` are the paths that were violated."""

    reason: Reason
    metadata: dict[str, str]
    fields: tuple[str, ...]
    retry_seconds: float | None


async def refusal(call: Awaitable[object]) -> Refusal:
    """The refusal of a call, whose gRPC status is checked against the reason's; fails if it was
    not refused.
    """
    found = await refusal_or_none(call)
    assert found is not None, "the call was not refused"
    return found


async def refusal_or_none(call: Awaitable[object]) -> Refusal | None:
    """The refusal of a call; None if it was not refused."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return read_refusal(error)
    return None


def read_refusal(error: grpc.aio.AioRpcError) -> Refusal:
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())[DETAILS])
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        for kind in (info, bad, retry):
            detail.Unpack(kind)
    reason = Reason(info.reason)
    assert (info.domain, error.code().name) == ("deeptravel", STATUS_BY_REASON[reason])
    assert status.code == error.code().value[0]
    return Refusal(
        reason,
        dict(info.metadata),
        tuple(violation.field for violation in bad.field_violations),
        retry.retry_delay.ToTimedelta().total_seconds() if retry.HasField("retry_delay") else None,
    )
