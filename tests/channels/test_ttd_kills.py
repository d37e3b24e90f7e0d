"""A server that Ctrip's attractions channel calls is killed at each step of an order, with the call
that it was at: a repeat at the next server goes on, and nothing is made or cancelled twice.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from server.platform.database import Database
from tests.support import timetable
from tests.support.channel_vendors import SimulatedChannels
from tests.support.gate_server import gate_process
from tests.support.invariants import assert_invariants
from tests.support.killed_servers import LONG_LOCKS, locked
from tests.support.ttd_process import CODE, Said, TtdProcess, item, ttd_process
from tests.support.waiting import WAIT_SECONDS

SETTINGS = {"DEEPTRAVEL_CTRIP_TTD": "true", **LONG_LOCKS}
OWN = f"FROM ttd_orders WHERE channel_code = '{CODE}'"
OWN_ROW = f"SELECT {OWN} FOR UPDATE"
STEPS = (
    ("CreatePreOrder", "LOCK TABLE orders IN EXCLUSIVE MODE"),
    ("CreatePreOrder", OWN_ROW),
    ("PayPreOrder", "LOCK TABLE tickets IN EXCLUSIVE MODE"),
    ("PayPreOrder", OWN_ROW),
    ("EditOrder", "LOCK TABLE tickets IN EXCLUSIVE MODE"),
    ("CancelOrder", "LOCK TABLE tickets IN EXCLUSIVE MODE"),
    ("CancelOrder", "LOCK TABLE idempotency_records IN EXCLUSIVE MODE"),
)
"""Calls, and what keeps each from its next write while it is killed."""


@pytest.fixture
async def ctrip(
    timetable_db: Database, timetable_url: str, redis_url: str, tmp_path: Path
) -> AsyncIterator[TtdProcess]:
    async with (
        SimulatedChannels(tmp_path) as vendors,
        ttd_process(timetable_db, redis_url, vendors) as made,
    ):
        await made.change_policy(
            refund_tiers=[{"minutes_before": 0, "percent": 100}], changes_allowed=1
        )
        yield made
    assert_invariants(timetable_url)


async def test_killed_at_each_step_of_an_order(
    ctrip: TtdProcess, timetable_url: str, redis_url: str, tmp_path: Path
) -> None:
    order = ctrip.ttd.an_order("A", item(2))
    other_day = timetable.tomorrow() + timedelta(days=1)
    calls: dict[str, dict[str, Any]] = {
        "CreatePreOrder": order,
        "PayPreOrder": ctrip.payment("A"),
        "EditOrder": ctrip.edition("A", timetable.tomorrow(), other_day),
        "CancelOrder": ctrip.cancellation("A", 1),
    }
    answers: dict[str, Said] = {}
    for number, (service, lock) in enumerate(STEPS):
        server = gate_process(
            timetable_url, redis_url, tmp_path / f"server-{number}", settings=SETTINGS
        )
        with server:
            url = f"{server.url}/ctrip-ttd/{CODE}"
            async with locked(timetable_url, lock) as waits:
                call = asyncio.create_task(_call(ctrip, url, service, calls[service]))
                await waits(1)
                # what waits may be a job of the server's
                async with asyncio.timeout(WAIT_SECONDS):
                    while not await ctrip.count(f"SELECT count(*) {OWN}"):  # noqa: ASYNC110
                        await asyncio.sleep(0.02)
                await asyncio.to_thread(server.kill)
                await call
        if service not in [
            each for each, _ in STEPS[number + 1 :]
        ]:  # the repeat, in this process, as at any other server
            answers[service] = await ctrip.call(service, calls[service])
    assert [answers[service][0] for service in calls] == ["0000"] * 4
    for service, said in calls.items():
        assert await ctrip.call(service, said) == answers[service]
    assert await ctrip.standing("A") == [(4, 2, 0, 1)]
    assert await ctrip.count("SELECT count(*) FROM orders") == 3, "one, and a change of each ticket"
    assert await ctrip.count("SELECT count(*) FROM tickets WHERE state = 'ACTIVE'") == 1


async def _call(ctrip: TtdProcess, url: str, service: str, content: dict[str, Any]) -> None:
    with suppress(httpx2.HTTPError):
        await ctrip.ttd.call(url, service, content)
        raise AssertionError(f"{service} was answered before it was killed")
