"""A partner's limit is exact over any minute, however many server processes count.

A minute is not waited for: the times that Redis keeps are moved into the past, which is the same.
"""

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

import pytest
import redis
from deeptravel.ota.v1 import event_pb2, ota_service_pb2, ota_service_pb2_grpc
from typing_extensions import override

from server.platform.errors import Reason
from server.platform.ratelimit import RateLimiter
from tests.support.free_ports import free_port
from tests.support.partner_client import CP, HK, Market
from tests.support.rpc_server import Offer, refusal_or_none, running_node

LIMIT = 100
PROCESSES = 4
KEY = "partner:1"


class _Events(ota_service_pb2_grpc.OtaServiceServicer):
    @override
    async def ListEvents(
        self, request: event_pb2.ListEventsRequest, context: object
    ) -> event_pb2.ListEventsResponse:
        return event_pb2.ListEventsResponse()


SERVICE = Offer(
    ota_service_pb2.DESCRIPTOR.services_by_name["OtaService"],
    ota_service_pb2_grpc.add_OtaServiceServicer_to_server,
    lambda _: _Events(),  # type: ignore[abstract]
)


def pass_seconds(redis_url: str, seconds: float) -> None:
    """Has so much time passed for all limits."""
    with redis.Redis.from_url(redis_url) as client:
        for key in client.scan_iter("ratelimit:*"):
            times = [int(each) - round(seconds * 1e6) for each in client.lrange(key, 0, -1)]
            client.delete(key)
            client.rpush(key, *times)


@pytest.fixture
async def limiters(redis_url: str) -> AsyncIterator[Sequence[RateLimiter]]:
    """What each of the processes has."""
    made = [RateLimiter(redis_url) for _ in range(PROCESSES)]
    yield made
    for each in made:
        await each.close()


async def burst(limiters: Sequence[RateLimiter], calls: int) -> list[bool]:
    """So many calls at once, over all processes; which were let through."""
    chosen = list(itertools.islice(itertools.cycle(limiters), calls))
    found = await asyncio.gather(*(each.hit(KEY, LIMIT) for each in chosen))
    assert None not in found
    return [allowance.allowed for allowance in found if allowance]


async def test_no_minute_has_more_and_no_call_is_refused_before(
    redis_url: str, limiters: Sequence[RateLimiter]
) -> None:
    """Bursts of all sizes at times by chance, over a quarter of an hour: at each of them as many
    are let through as the minute up to then leaves, to the last one.

    Seen red with a window for each process (160 of 160 at once), and with one that begins with its
    first request and is then over as a whole (120 in a minute).
    """
    chance = random.Random(4)
    now, let_through = 0.0, list[tuple[float, int]]()
    for _ in range(120):
        # no two bursts are as far apart as a minute, give or take what the test itself takes
        gap = chance.choice([0.0, 1.0, 7.0, 14.0, 28.0])
        pass_seconds(redis_url, gap)
        now += gap
        calls = chance.choice([1, 3, 20, 60, 130])
        began = time.monotonic()
        taken = sum(await burst(limiters, calls))
        now += time.monotonic() - began
        within = sum(count for at, count in let_through if at > now - 60)
        near = [at for at, _ in let_through if abs(at - now + 60) < 0.5]
        if not near:
            assert taken == min(calls, LIMIT - within), (now, within)
        let_through.append((now, taken))
    for end, _ in let_through:
        assert sum(count for at, count in let_through if end - 59.5 < at <= end) <= LIMIT


async def test_what_is_said_with_each_answer(
    redis_url: str, limiters: Sequence[RateLimiter]
) -> None:
    first, second, *_ = limiters
    allowance = await first.hit(KEY, 3)
    assert allowance
    assert (allowance.remaining, allowance.allowed, allowance.reset_seconds) == (2, True, 60)
    pass_seconds(redis_url, 20)
    allowance = await second.hit(KEY, 3)
    assert allowance
    assert (allowance.remaining, allowance.reset_seconds) == (1, 40)
    for remaining, allowed in ((0, True), (0, False)):
        allowance = await first.hit(KEY, 3)
        assert allowance
        assert (allowance.remaining, allowance.allowed) == (remaining, allowed)
        assert 39 <= allowance.reset_seconds <= 40
    lowered = await first.hit(KEY, 1)  # by an administrator: the last one counts
    assert lowered
    assert not lowered.allowed
    assert 59 <= lowered.reset_seconds <= 60
    raised = await second.hit(KEY, 4)
    assert raised
    assert (raised.allowed, raised.remaining) == (True, 0)
    other = await first.hit("partner:2", 3)
    assert other
    assert other.remaining == 2


async def test_over_four_servers(market: Market, module_database_url: str, redis_url: str) -> None:
    """By RPC: a hundred of each minute's calls are answered, the others are refused with a hint;
    another partner is not touched.
    """
    await market.sql("UPDATE partners SET requests_per_minute = %s", LIMIT)
    async with AsyncExitStack() as stack:
        nodes = [
            await stack.enter_async_context(running_node(module_database_url, redis_url, SERVICE))
            for _ in range(PROCESSES)
        ]
        stubs = [ota_service_pb2_grpc.OtaServiceStub(node.channel) for node in nodes]

        async def minute(api_key: str, calls: int) -> int:
            found = await asyncio.gather(
                *(
                    refusal_or_none(
                        stub.ListEvents(
                            event_pb2.ListEventsRequest(), metadata=(("x-api-key", api_key),)
                        )
                    )
                    for stub in itertools.islice(itertools.cycle(stubs), calls)
                )
            )
            refused = [each for each in found if each]
            assert {each.reason for each in refused} <= {Reason.RATE_LIMITED}
            assert all(1 <= (each.retry_seconds or 0) <= 60 for each in refused)
            return calls - len(refused)

        assert await minute(CP.api_key, LIMIT + 60) == LIMIT
        assert await minute(HK.api_key, 10) == 10
        pass_seconds(redis_url, 45)
        assert await minute(CP.api_key, 20) == 0
        pass_seconds(redis_url, 15)
        assert await minute(CP.api_key, LIMIT + 60) == LIMIT


async def test_without_redis_calls_are_let_through() -> None:
    """A limit protects the server; to refuse all partners would not. It is counted and logged."""
    limiter = RateLimiter(f"redis://127.0.0.1:{free_port()}")
    assert await limiter.hit(KEY, 1) is None
    assert await limiter.hit(KEY, 1) is None
    await limiter.close()
