"""No loop of ours ends by an error, whichever of its statements fails, and a read-only database is
over when it is over.

Seen red without restarts and with class 25 taken for a fault: the change feed ended at the first
error that was no DomainError, and calls got INTERNAL while the database took no writes.
"""

import ast
import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import structlog
from grpc_health.v1 import health_pb2

import server
from server.api import streams
from server.app import App, jobs
from server.channels.calling import CallRecord
from server.identity.callers import Operator
from server.orders import watch
from server.platform import clock
from server.platform.config import load_settings
from server.platform.job_runs import JobState
from server.redemption.pack_pushes import PackPushes
from tests.support import databases
from tests.support.failing_loops import (
    ERRORS,
    SECONDS,
    Statements,
    quick_server,
    statements_of,
    until,
    until_status,
)
from tests.support.gate_server import GateServer
from tests.support.traveller import a_world
from tools.dev.embedded.services import EmbeddedServices

PRODUCT = Path(server.__file__).parent

NO_LOOPS = {
    "app.py": "the server's own stop, and what serves HTTP",
    "platform/change_feed.py": "one poll, for those who wait for it; one load",
    "cli/serving.py": "the processes of `serve`, kept by their parent",
    "platform/redis_client.py": "one look at the nodes, for those who need one",
    "api/http/answers.py": "within a request",
    "api/interceptor.py": "within a call",
    "api/transport/completions.py": "the thread that waits for the core, as long as its server is",
    "api/transport/in_process.py": "one call",
    "api/transport/server.py": "one call",
    "api/http/listener.py": "one connection",
    "api/http/serving.py": "what waits for the end of HTTP, at the stop",
    "platform/reading.py": "one reader, whose failure those hear who wait for it",
    "api/ticketing/orders.py": "within a call",
    "platform/batching.py": "for those who wait: tests/races and `test_a_batch_that_fails` below",
    "platform/schedule.py": "the wait for the stop; the loop `jobs` ends, and is started again,"
    " when a job does",
    "platform/loops.py": "where loops are run",
    "api/streams.py": "one look at the rights of one stream",
    "platform/task_worker.py": (
        "one task, whose failure is written down: tests/platform/test_outbox.py"
    ),
    "reports/recent.py": "one read, whose failure those hear who wait for it",
    "platform/dispatch.py": "one attempt, whose failure is its outcome: tests/notifications and"
    " tests/webhooks",
    "wechat/client.py": "one fetch of certificates",
    "api/redemption/scan_stream.py": "within a call",
    "search/cache.py": "one value, for those who wait for it",
    "identity/credentials.py": "hashes passwords, one call after the other",
    "__main__.py": "loads the code at the start",
}
"""Where something is run beside the caller, and why it is no loop."""
STARTERS = {
    *("create_task", "ensure_future", "TaskGroup", "Thread", "ThreadPoolExecutor"),
    *("run_coroutine_threadsafe", "run_in_executor", "current_thread"),
}


def owner_of(app: App, loop: str) -> Any:
    """The object whose method the loop runs."""
    run: Any = app.loops._loops[loop]._run
    return getattr(run, "look", run).__self__


HELD: set[asyncio.Task[None]] = set()


async def hold_stream(rights: streams.StreamRights) -> None:
    """A stream that is open for a moment."""

    async def recheck() -> None: ...

    async with rights.hold(lambda: True, recheck):
        await asyncio.sleep(0.3)


def open_stream(rights: streams.StreamRights) -> None:
    """Opens one, unless one is open."""
    if not rights._open:
        held = asyncio.create_task(hold_stream(rights))
        HELD.add(held)
        held.add_done_callback(HELD.discard)


async def hold_pushes(pushes: PackPushes[Any]) -> None:
    """A terminal that is pushed to for a moment."""
    place = "M", "PIER", "T-1", "Asia/Hong_Kong"
    operator = Operator("OPERATOR", uuid4(), "olga", *place, frozenset({"ferry"}), 60)
    with pushes.follow(operator, lambda _: None):
        await asyncio.sleep(0.3)


def follow_pack(pushes: PackPushes[Any]) -> None:
    """Has a terminal pushed to, unless one is."""
    if not pushes._followers:
        held = asyncio.create_task(hold_pushes(pushes))
        HELD.add(held)
        held.add_done_callback(HELD.discard)


def watch_order(watcher: Any) -> None:
    """Watches one, unless one is watched."""
    if not watcher._watches:
        watcher._begin(watch._Watch(1, 0))


def change_health(owner: Any) -> None:
    """So that there is something to report."""
    owner._changed.set()
    owner._reported = health_pb2.HealthCheckResponse.UNKNOWN


PROMPTS: dict[str, Callable[[Any], object]] = {
    "channel-call-log": lambda log: log.note(
        CallRecord("none", "", "IN", 200, "OK", 0, 0, 0, "", clock.now())
    ),
    "channel-catalogue": lambda watched: setattr(watched, "_edition", "another"),
    "health": change_health,
    "key-uses": lambda keys: keys._used.update(none=time.time()),
    "order-watcher": watch_order,
    "pack-pushes": follow_pack,
    "stream-rights": open_stream,
}
"""What gives a loop something to do that has nothing to do without."""


async def prompt(app: App, loop: str) -> None:
    """Gives a loop something to do."""
    if loop.startswith("accept "):
        _, writer = await asyncio.open_connection("127.0.0.1", app.ports[f"{loop.split()[1]}_port"])
        writer.close()
    elif loop in PROMPTS:
        PROMPTS[loop](owner_of(app, loop))
    elif loop in app.loops.names:
        app.loops._loops[loop].wake()  # those that look when the database says so


@pytest.fixture(autouse=True)
def _without_log() -> Iterator[None]:
    """What is logged for a terminal shows all locals, which takes a second a traceback."""
    with structlog.testing.capture_logs():
        yield


@pytest.fixture(scope="module")
async def app_server(
    services: EmbeddedServices, template_url: str, module_redis_url: str
) -> AsyncIterator[GateServer]:
    """Of all that fails and goes on as it was."""
    with databases.copied(services.database_url, template_url) as url:
        async with a_world(url), quick_server(url, module_redis_url) as running:
            yield running


LOOPS = [
    "accept http 0",
    "accept operations_http 0",
    "audit-chain",
    "change-feed",
    "change-listener",
    "channel-call-log",
    "channel-catalogue",
    "channel-comparisons",
    "channel-thresholds",
    "database-probe",
    "due-check",
    "health",
    "hold-expiry",
    "job-leader",
    "key-uses",
    "ledgers",
    "notification-dispatcher",
    "notifications",
    "order-watcher",
    "outbox",
    "outbox-sample",
    "pack-pushes",
    "partner-events",
    "redis-probe",
    "reservation-expiry",
    "sandbox-clocks",
    "scheduled-versions",
    "state-metrics",
    "stream-rights",
    "webhooks",
]


JOBS = [
    "job audit-checkpoint",
    "job cancel-unsold-channel-bookings",
    "job check-redeemed-codes",
    "job count-states",
    "job expire-holds",
    "job expire-reservations",
    "job expire-tickets",
    "job give-back-tasks",
    "job index-orders",
    "job keep-channels-in-step",
    "job make-departures",
    "job make-rental-days",
    "job purge-answers",
    "job purge-changes",
    "job purge-channel-calls",
    "job purge-channel-values",
    "job purge-job-runs",
    "job purge-logins",
    "job purge-notifications",
    "job purge-partner-events",
    "job purge-tasks",
    "job purge-webhook-log",
    "job release-allotments",
    "job remind-tickets",
    "job remind-travellers",
    "job seal-statements",
    "job settle-tickets",
    "job sum-redemptions",
    "job sum-sales",
    "job sweep-stuck",
    "job tend-issuing-keys",
]


async def test_every_loop_of_the_server_is_tried_here(app_server: GateServer) -> None:
    # those of outcomes have something to do after a delivery alone, and tolerate every error
    assert app_server.app.loops.names == {
        *LOOPS,
        "jobs",
        "notification-outcomes",
        "webhook-outcomes",
    }
    assert sorted(f"job {job.name}" for job in jobs(load_settings())) == JOBS


SIDE_BY_SIDE = [loop for loop in LOOPS if loop != "job-leader"]


@pytest.mark.parametrize(
    "loops", [SIDE_BY_SIDE, ["job-leader"], *([job] for job in JOBS)], ids=lambda loops: loops[-1]
)
async def test_no_error_ends_a_loop(
    app_server: GateServer, monkeypatch: pytest.MonkeyPatch, loops: list[str]
) -> None:
    """Its next statement fails, then a later one, with each kind of error.

    Loops fail side by side; a job ends all others with it, and is tried alone.
    """
    app = app_server.app
    # a job is due all the time while it is tried, and others are not
    monkeypatch.setattr(JobState, "is_due", lambda state, *_: f"job {state.job_name}" in loops)
    statements = statements_of(monkeypatch, *loops)
    await asyncio.gather(*map(partial(_fail, app), loops, statements))
    await until(lambda: app.loops.down == [])
    await until_status(app_server, health_pb2.HealthCheckResponse.SERVING)


async def _fail(app: App, loop: str, statements: Statements) -> None:
    for error in ERRORS:
        for later in (1, 3):
            failing = statements.count + later
            statements.fail[failing] = error()
            async with asyncio.timeout(SECONDS):
                while statements.count < failing + 3:
                    await prompt(app, loop)
                    await asyncio.sleep(0.01)
            assert not statements.fail


def test_nothing_else_runs_in_the_background() -> None:
    """A task or thread that is started elsewhere is a loop (then `Loops.add` it, and try it
    here) or says why not.
    """
    found = set()
    for path in PRODUCT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(node, "attr", getattr(node, "id", None))
            if isinstance(node, ast.Attribute | ast.Name) and name in STARTERS:
                found.add(path.relative_to(PRODUCT).as_posix())
    assert found == set(NO_LOOPS)
