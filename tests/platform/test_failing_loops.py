"""No loop of ours ends by an error, whichever of its statements fails, and a read-only database is
over when it is over.

Seen red without restarts and with class 25 taken for a fault: the change feed ended at the first
error that was no DomainError, and calls got INTERNAL while the database took no writes.
"""

import ast
import asyncio
import itertools
import time
from asyncio import selector_events
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import psycopg
import pytest
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from redis.asyncio import Redis

import server
from server.api import health as health_module
from server.api import streams
from server.app import App, jobs
from server.identity import keys
from server.orders import hold_expiry, watch
from server.partners import ledger, reservation_expiry, sandbox_clock
from server.platform import change_feed, schedule, task_worker
from server.platform import loops as loops_module
from server.platform.config import load_settings
from server.platform.connection import DriverConnection
from server.platform.errors import Reason
from server.platform.round_trips import RoundTrips
from server.webhooks import dispatching, sequencing
from tests.support import databases
from tests.support.gate_server import GateServer
from tests.support.rpc_server import refusal_or_none
from tests.support.traveller import TravellerClient, World, a_world, traveller_server
from tests.support.waiting import WAIT_SECONDS
from tools.dev.embedded.services import EmbeddedServices

PRODUCT = Path(server.__file__).parent
SECONDS = WAIT_SECONDS

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
    "webhooks/dispatching.py": "one delivery, whose failure is an attempt: tests/webhooks",
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


class Fault(NamedTuple):
    """What fails when: a loop's own statement, by its number, counted from 0 when the loop has
    run for a while.
    """

    loop: str
    error: Callable[[], BaseException]


def read_only() -> BaseException:
    return psycopg.errors.ReadOnlySqlTransaction("cannot execute UPDATE in a read-only transaction")


def broken_index() -> BaseException:
    return psycopg.errors.IndexCorrupted("could not read block 7")


ERRORS = [read_only, broken_index, ZeroDivisionError]


class Statements:
    """Counts what a loop does, and lets it fail where asked to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, loop: str) -> None:
        self.loop = loop
        self.count = 0
        self.fail: dict[int, BaseException] = {}
        for owner, name in (
            (DriverConnection, "wait"),
            (RoundTrips, "run"),
            (Redis, "ping"),
            (health.aio.HealthServicer, "set"),
            (selector_events.BaseSelectorEventLoop, "sock_accept"),
        ):
            self._listen(monkeypatch, owner, name)
        look = streams._Stream.look

        def looked(stream: streams._Stream) -> None:
            self._count()
            look(stream)

        monkeypatch.setattr(streams._Stream, "look", looked)

    def _listen(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        real = getattr(owner, name)

        async def called(*given: Any, **named: Any) -> Any:
            self._count()
            return await real(*given, **named)

        monkeypatch.setattr(owner, name, called)

    def _count(self) -> None:
        task = asyncio.current_task()
        if task and task.get_name() == self.loop:
            self.count += 1
            error = self.fail.pop(self.count, None)
            if error:
                raise error


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


async def prompt(app: App, loop: str) -> None:
    """Gives a loop something to do that has nothing to do without."""
    if loop.startswith("job "):
        return
    if loop.startswith("accept "):
        _, writer = await asyncio.open_connection("127.0.0.1", app.ports[f"{loop.split()[1]}_port"])
        writer.close()
        return
    owner = owner_of(app, loop)
    if loop == "key-uses":
        owner._used["none"] = time.time()
    elif loop == "order-watcher":
        if not owner._watches:
            owner._begin(watch._Watch(1, 0))
    elif loop == "stream-rights":
        open_stream(owner)
    elif loop == "outbox":
        owner._loop.wake()
    elif loop == "health":
        owner._changed.set()
        owner._reported = (
            health_pb2.HealthCheckResponse.UNKNOWN
        )  # so that there is something to report


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
async def app_server(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[GateServer]:
    """A server whose loops turn quickly."""
    for module, name in (
        (hold_expiry, "LOOK_SECONDS"),
        (reservation_expiry, "LOOK_SECONDS"),
        (sandbox_clock, "LOOK_SECONDS"),
        (change_feed, "POLL_SECONDS"),
        (task_worker, "POLL_SECONDS"),
        (task_worker, "SAMPLE_SECONDS"),
        (keys, "NOTE_POLL_SECONDS"),
        (keys, "NOTE_SECONDS"),
        (watch, "POLL_SECONDS"),
        (streams, "RECHECK_SECONDS"),
        (schedule, "LOOK_SECONDS"),
        (health_module, "PROBE_SECONDS"),
        (ledger, "POLL_SECONDS"),
        (sequencing, "POLL_SECONDS"),
        (dispatching, "POLL_SECONDS"),
        (loops_module, "FIRST_RESTART_SECONDS"),
        (loops_module, "MAX_RESTART_SECONDS"),
        (loops_module, "STEADY_SECONDS"),
    ):
        monkeypatch.setattr(module, name, 0.05)
    async with traveller_server(database_url, redis_url, all_jobs=True) as running:
        yield running


LOOPS = [
    "accept http 0",
    "accept operations_http 0",
    "change-feed",
    "database-probe",
    "health",
    "hold-expiry",
    "key-uses",
    "ledgers",
    "order-watcher",
    "outbox",
    "outbox-sample",
    "partner-events",
    "redis-probe",
    "reservation-expiry",
    "sandbox-clocks",
    "state-metrics",
    "stream-rights",
    "webhooks",
]


JOBS = [
    "job count-states",
    "job expire-tickets",
    "job make-departures",
    "job purge-answers",
    "job purge-changes",
    "job purge-logins",
    "job purge-partner-events",
    "job purge-tasks",
    "job purge-webhook-log",
    "job release-allotments",
    "job remind-tickets",
    "job seal-statements",
    "job settle-tickets",
    "job sum-redemptions",
    "job sum-sales",
]


async def test_every_loop_of_the_server_is_tried_here(app_server: GateServer) -> None:
    # "webhook-outcomes" has something to do after a delivery alone, and tolerates every error
    assert app_server.app.loops.names == {*LOOPS, "jobs", "webhook-outcomes"}
    assert sorted(f"job {job.name}" for job in jobs(load_settings())) == JOBS


@pytest.mark.parametrize("loop", [*LOOPS, *JOBS])
async def test_no_error_ends_a_loop(
    app_server: GateServer, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    """Its next statement fails, then a later one, with each kind of error."""
    app = app_server.app
    statements = Statements(monkeypatch, loop)
    for error in ERRORS:
        for later in (1, 3):
            failing = statements.count + later
            statements.fail[failing] = error()
            async with asyncio.timeout(SECONDS):
                while statements.count < failing + 3:
                    await prompt(app, loop)
                    await asyncio.sleep(0.01)
            assert not statements.fail
    await until(lambda: app.loops.down == [])
    await until_status(app_server, health_pb2.HealthCheckResponse.SERVING)


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


async def test_a_loop_that_is_down_makes_health_say_so(
    app_server: GateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_server.app
    monkeypatch.setattr(loops_module, "STEADY_SECONDS", 60)
    statements = Statements(monkeypatch, "change-feed")
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
    statements = Statements(monkeypatch, "batch worker")
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
