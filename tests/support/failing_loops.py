"""A server whose loops turn quickly, and a statement of a loop that fails where a test says so."""

import asyncio
import base64
from asyncio import selector_events
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from redis.asyncio import Redis

from server.api import health as health_module
from server.api import streams
from server.channels import call_log, catalogue_watch, watching
from server.identity import keys
from server.orders import hold_expiry, watch
from server.partners import ledger, reservation_expiry, sandbox_clock
from server.platform import (
    change_feed,
    dispatch,
    due_check,
    job_runs,
    leadership,
    schedule,
    task_worker,
)
from server.platform import loops as loops_module
from server.platform.connection import DriverConnection
from server.platform.round_trips import RoundTrips
from server.redemption import pack_pushes
from server.reports import state_counts
from server.webhooks import sequencing
from tests.support.gate_server import GateServer
from tests.support.traveller import traveller_server
from tests.support.waiting import WAIT_SECONDS

SECONDS = WAIT_SECONDS


def read_only() -> BaseException:
    return psycopg.errors.ReadOnlySqlTransaction("cannot execute UPDATE in a read-only transaction")


def broken_index() -> BaseException:
    return psycopg.errors.IndexCorrupted("could not read block 7")


TEXT_MESSAGES = {
    "notification_sms_url": "http://127.0.0.1:9/nobody-is-there",
    "notification_sms_secret": "whsec_" + base64.b64encode(bytes(24)).decode(),
}
"""So that there is a channel to send by."""
ERRORS = [read_only, broken_index, ZeroDivisionError]


class Statements:
    """What one loop does, counted; it fails where asked to."""

    def __init__(self) -> None:
        self.count = 0
        self.fail: dict[int, BaseException] = {}

    def next(self) -> None:
        """Raises what the loop is to fail with here."""
        self.count += 1
        error = self.fail.pop(self.count, None)
        if error:
            raise error


def statements_of(monkeypatch: pytest.MonkeyPatch, *loops: str) -> list[Statements]:
    """Those of each of these loops, from now on."""
    found = {loop: Statements() for loop in loops}

    def count() -> None:
        task = asyncio.current_task()
        if task and task.get_name() in found:
            found[task.get_name()].next()

    def listen(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        async def called(*given: Any, **named: Any) -> Any:
            count()
            return await real(*given, **named)

        monkeypatch.setattr(owner, name, called)

    for owner, name in (
        (DriverConnection, "wait"),
        (RoundTrips, "run"),
        (Redis, "ping"),
        (health.aio.HealthServicer, "set"),
        (selector_events.BaseSelectorEventLoop, "sock_accept"),
    ):
        listen(owner, name)
    look = streams._Stream.look

    def looked(stream: streams._Stream) -> None:
        count()
        look(stream)

    monkeypatch.setattr(streams._Stream, "look", looked)
    return [*found.values()]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not true():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def until_status(server: GateServer, status: int) -> None:
    """Waits until gRPC health says so of the whole server."""
    stub: Any = health_pb2_grpc.HealthStub(server.channel)
    async with asyncio.timeout(SECONDS):
        async for answer in stub.Watch(health_pb2.HealthCheckRequest()):
            if answer.status == status:
                return


@asynccontextmanager
async def quick_server(database_url: str, redis_url: str) -> AsyncIterator[GateServer]:
    """A server whose loops turn quickly."""
    with pytest.MonkeyPatch.context() as patched:
        for module, name in (
            (hold_expiry, "LOOK_SECONDS"),
            (reservation_expiry, "LOOK_SECONDS"),
            (sandbox_clock, "LOOK_SECONDS"),
            (change_feed, "POLL_SECONDS"),
            (change_feed, "CHECK_SECONDS"),
            (task_worker, "POLL_SECONDS"),
            (task_worker, "SAMPLE_SECONDS"),
            (keys, "NOTE_POLL_SECONDS"),
            (keys, "NOTE_SECONDS"),
            (watch, "POLL_SECONDS"),
            (streams, "RECHECK_SECONDS"),
            (pack_pushes, "LOOK_SECONDS"),
            (schedule, "LOOK_SECONDS"),
            (schedule, "RETRY_SECONDS"),
            (leadership, "LOOK_SECONDS"),
            (leadership, "JITTER_SECONDS"),
            (health_module, "PROBE_SECONDS"),
            (state_counts, "SAMPLE_SECONDS"),
            (state_counts, "JITTER_SECONDS"),
            (ledger, "POLL_SECONDS"),
            (catalogue_watch, "LOOK_SECONDS"),
            (watching, "COMPARE_SECONDS"),
            (watching, "LOOK_SECONDS"),
            (call_log, "POLL_SECONDS"),
            (call_log, "SPACING_SECONDS"),
            (sequencing, "POLL_SECONDS"),
            (dispatch, "POLL_SECONDS"),
            (due_check, "TICK_SECONDS"),
            (loops_module, "FIRST_RESTART_SECONDS"),
            (loops_module, "MAX_RESTART_SECONDS"),
            (loops_module, "STEADY_SECONDS"),
        ):
            patched.setattr(module, name, 0.05)
        patched.setattr(job_runs, "STALE", timedelta(seconds=0.05))
        async with traveller_server(
            database_url, redis_url, all_jobs=True, **TEXT_MESSAGES
        ) as running:
            yield running
