"""What a whole server does while one of its loops fails, or its database takes no writes.

That no loop ends by an error is shown in test_failing_loops.py.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest
import structlog
from grpc_health.v1 import health_pb2

from server.orders import hold_expiry
from server.platform import loops as loops_module
from server.platform import schedule
from server.platform.errors import Reason
from tests.support import databases
from tests.support.failing_loops import (
    ERRORS,
    SECONDS,
    quick_server,
    statements_of,
    until,
    until_status,
)
from tests.support.gate_server import GateServer
from tests.support.rpc_server import refusal_or_none
from tests.support.traveller import TravellerClient, World, a_world, traveller_server
from tools.dev.embedded.services import EmbeddedServices


@pytest.fixture(autouse=True)
def _without_log() -> Iterator[None]:
    """What is logged for a terminal shows all locals, which takes a second a traceback."""
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with a_world(database_url, seats=100) as seeded:
        yield seeded


@pytest.fixture
async def app_server(world: World, database_url: str, redis_url: str) -> AsyncIterator[GateServer]:
    async with quick_server(database_url, redis_url) as running:
        yield running


async def test_an_error_that_a_job_lets_out_ends_no_schedule(
    app_server: GateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen red with the scheduler's own care for it, which logs it and leaves health as it is."""
    app, looked, times = app_server.app, asyncio.Event(), itertools.count()
    monkeypatch.setattr(loops_module, "STEADY_SECONDS", 60)

    async def look(_: schedule.Jobs, __: schedule.Job) -> None:
        if next(times) == 0:
            raise ZeroDivisionError
        looked.set()

    monkeypatch.setattr(schedule.Jobs, "run_if_due", look)
    await until(lambda: app.loops.down == ["jobs"])
    looked.clear()
    async with asyncio.timeout(SECONDS):
        await looked.wait()


async def test_a_loop_that_is_down_makes_health_say_so(
    app_server: GateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_server.app
    monkeypatch.setattr(loops_module, "STEADY_SECONDS", 60)
    (statements,) = statements_of(monkeypatch, "change-feed")
    statements.fail[1] = ZeroDivisionError()
    await until(lambda: app.loops.down == ["change-feed"])
    await until(lambda: not app._health.report.is_serving)
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{app.http_port}") as http:
        answer = await http.get("/healthz")
    found = {"status": "NOT_SERVING", "degraded": ["loop change-feed"]}
    assert (answer.status_code, answer.json()) == (503, found)
    await until_status(app_server, health_pb2.HealthCheckResponse.NOT_SERVING)


async def test_a_batch_that_fails_fails_those_who_wait_and_the_next_goes_on(
    world: World, app_server: GateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = (
        TravellerClient.of(app_server.channel, traveller) for traveller in itertools.count(1)
    )
    await next(clients).order(world.seat())
    (statements,) = statements_of(monkeypatch, "batch worker")
    for error, reason in zip(
        ERRORS, [Reason.DATABASE_UNAVAILABLE, Reason.INTERNAL, Reason.INTERNAL], strict=True
    ):
        for later in (1, 2):
            statements.count, statements.fail = 0, {later: error()}
            async with asyncio.timeout(SECONDS):
                failed = await refusal_or_none(next(clients).create(world.seat()))
                assert failed is None or failed.reason is reason
                assert (failed is None) == bool(statements.fail)
                statements.fail = {}
                assert await refusal_or_none(next(clients).create(world.seat())) is None


@pytest.mark.parametrize("is_over", [True, False])
async def test_a_read_only_database(
    world: World,
    database_url: str,
    redis_url: str,
    services: EmbeddedServices,
    is_over: bool,
) -> None:
    """Holds expire when it is over, and the server stops while it is not.

    Seen red: calls got INTERNAL, health SERVING; before, no hold expired any more and the
    stop failed.
    """
    async with traveller_server(database_url, redis_url, all_jobs=True) as running:
        client = TravellerClient.of(running.channel, 1)
        order = await client.order(world.seat())
        try:
            databases.execute(
                services.database_url, "ALTER SYSTEM SET default_transaction_read_only = on"
            )
            databases.execute(services.database_url, "SELECT pg_reload_conf()")
            await until_status(running, health_pb2.HealthCheckResponse.NOT_SERVING)
            failed = await refusal_or_none(client.create(world.seat()))
            assert failed
            assert failed.reason is Reason.DATABASE_UNAVAILABLE
            await asyncio.sleep(2 * hold_expiry.LOOK_SECONDS)  # it fails at least once
            if not is_over:
                await running.stop()
        finally:
            url = databases.with_options(services.database_url, "default_transaction_read_only=off")
            databases.execute(url, "ALTER SYSTEM RESET default_transaction_read_only")
            databases.execute(url, "SELECT pg_reload_conf()")
        if not is_over:
            return
        async with asyncio.timeout(SECONDS):
            await until_status(running, health_pb2.HealthCheckResponse.SERVING)
            await world.expire(order.order_id)
            await world.until("SELECT count(*) = 0 FROM orders WHERE state = 'PENDING'")
        assert (await client.order(world.seat())).order_id
