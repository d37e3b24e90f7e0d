"""Mixed load with cancellations, resets and slow readers, after which nothing is left over.

For a few seconds; `python -m tools.bench.soak` does the same for an hour, with the server in a
process of its own, and looks at its memory: grpcio's client in the same process keeps 29 kB of each
stream that it cancels with messages unread.
"""

import asyncio
import gc
import random
import threading
import time
from typing import Any

import psutil

from server.api.transport.context import Context
from server.api.transport.exchange import Exchange
from tests.api.transport.test_calls import ours
from tests.support.echo_server import Echo, serving
from tests.support.mixed_load import MESSAGE_LIMIT, Load
from tests.support.waiting import until
from tools.bench.soak import Sample, verdict

SECONDS = 4.0
CALLERS = 24
PAUSE_SECONDS = 0.02
WARM_SHARE = 0.25
"""After this much of the time everything is as large as it gets."""


def left() -> tuple[int, int]:
    """Calls that are still known, after a collection."""
    gc.collect()
    objects: list[Any] = gc.get_objects()
    return (
        sum(type(each) is Exchange for each in objects),
        sum(type(each) is Context for each in objects),
    )


@ours
async def test_nothing_is_left_of_calls_that_ended_in_any_way(transport: Any) -> None:
    """Exchanges and contexts, tasks, descriptors, threads."""
    echo, process = Echo(), psutil.Process()
    limit = (("grpc.max_receive_message_length", MESSAGE_LIMIT),)
    async with serving(transport, echo, options=limit) as (server, client):
        load = Load(client, random.Random(7), pause_seconds=PAUSE_SECONDS)
        end = time.monotonic() + SECONDS
        callers = [asyncio.create_task(load.call_until(end)) for _ in range(CALLERS)]
        await asyncio.sleep(SECONDS * WARM_SHARE)
        descriptors, threads = process.num_fds(), threading.active_count()
        await asyncio.gather(*callers)
        assert load.faults == []
        await client.unary("Unary")(b"")
        echo.context = None
        assert load.calls.total() > 50
        await until(lambda: not server._serving and not server._unsent)
        await until(lambda: left() == (0, 0))
        await until(lambda: process.num_fds() <= descriptors)
        assert threading.active_count() <= threads


def test_the_soak_sees_what_grows() -> None:
    def samples(**grown: float) -> list[Sample]:
        """Of an hour in which so much more is there every minute."""
        return [
            Sample(
                seconds=60.0 * minute,
                calls=minute,
                faults=0,
                memory_mib=80 + grown.get("memory_mib", 0) * minute,
                descriptors=18 + int(grown.get("descriptors", 0) * minute),
                threads=9,
                cpu_seconds=1.0,
            )
            for minute in range(61)
        ]

    assert verdict(samples()) == []
    assert verdict(samples(memory_mib=0.1)) == []
    assert [each.split()[0] for each in verdict(samples(memory_mib=0.5))] == ["memory_mib"]
    assert [each.split()[0] for each in verdict(samples(descriptors=0.5))] == ["descriptors"]
