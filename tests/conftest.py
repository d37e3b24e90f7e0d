import asyncio
import contextlib
import fcntl
import gc
import importlib
import os
import time
import types
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import hypothesis
import pytest
import redis
import structlog

from server.app import jobs
from server.operations.data_folder import DEMO_CREDENTIALS_FILE
from server.operations.schema import migrate
from server.platform.config import load_settings
from server.platform.database import Database
from tests.support import (
    cached,
    changes,
    databases,
    loopback,
    ordering,
    runs,
    selection,
    timeouts,
    timetable,
)
from tests.support.admin_client import ADMIN_SERVICE, AdminClient, Headers, seed
from tests.support.data_folders import data_folder
from tests.support.gate_server import GateServer, gate_server
from tests.support.invariants import assert_invariants
from tests.support.module_database import ModuleDatabase
from tests.support.partner_client import HK, Market, PartnerClient, a_market
from tests.support.rpc_server import running_node
from tests.support.server_process import ServerProcess
from tools.dev import demo_data
from tools.dev.embedded.services import EmbeddedServices

TEMPLATE = "template_migrated"
MODULE_DATABASES = {"module_database", "admin_database", "timetable_database"}
LONGEST_TEXT_IN_A_NAME = 60

# Never the zone of the data (UTC), nor one with whole hours: a naive time shows at once.
os.environ["TZ"] = "<+0545>-05:45"
time.tzset()
# structlog's default shows all locals in a traceback, which takes seconds: a transaction with an
# error in it is then ended by the database as idle
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        ),
    ]
)
# how long an example takes says how busy the machine is
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")
for setting in [name for name in os.environ if name.startswith("DEEPTRAVEL_")]:
    del os.environ[setting]  # a developer's own settings must not reach the tests
runs.transport = os.environ.get("TEST_TRANSPORT")
if runs.transport:
    os.environ["DEEPTRAVEL_TRANSPORT"] = runs.transport


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--runs", type=int, default=1, help="run each test so often, each time with other seeds"
    )
    parser.addoption(
        "--workers", type=int, default=1, help="processes of each server that a test starts as one"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`--runs`: the runs of a module's tests share its servers; a run's name is in its seed."""
    if runs.runs > 1:
        metafunc.fixturenames.append("_run")
        metafunc.parametrize("_run", [f"run{n}" for n in range(1, runs.runs + 1)], indirect=True)


@pytest.fixture
def _run(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How a run that failed is run again."""
    config = terminalreporter.config
    if config.getoption("runs") > 1:
        seed = getattr(config.option, "randomly_seed", None)
        again = f"--runs={runs.runs} --workers={runs.workers} --randomly-seed={seed}"
        for report in terminalreporter.stats.get("failed", []):
            terminalreporter.write_line(
                f"Again: .venv/bin/python -m pytest {again} '{report.nodeid}'"
            )


def pytest_configure(config: pytest.Config) -> None:
    runs.runs = config.getoption("runs")
    runs.workers = config.getoption("workers")
    runs.forks = True
    loopback.guard()
    timeouts.lengthen()
    cached.remember()
    changes.keep_in_view()


def pytest_collection_finish() -> None:
    """What has been imported and collected stays: the collector need not look at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def pytest_xdist_auto_num_workers() -> int | None:
    """Half of what a test does is wait: three workers keep two cores busy. None: as many as xdist's
    own variable says.
    """
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return max(2, (os.cpu_count() or 1) * 3 // 2)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Of a run of all tests each worker compiles its share first. In a fresh clone each would
    compile all: they read the same modules in the same order.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker and session.config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        number, count = int(worker[2:]), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        tests = Path(__file__).parent
        for path in sorted(tests.glob("*/test_*.py"))[number::count]:
            # what does not load, its collection tells
            with contextlib.suppress(Exception, pytest.skip.Exception):
                importlib.import_module(f"tests.{path.parent.name}.{path.stem}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if selection.is_fast(item):
            item.add_marker(pytest.mark.fast)
    items[:] = ordering.ordered(items)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Names that all workers agree on: a long text may be random, a lambda's name has its
    address.
    """
    if isinstance(val, str) and len(val) > LONGEST_TEXT_IN_A_NAME:
        return argname
    return argname if isinstance(val, types.FunctionType) and val.__name__ == "<lambda>" else None


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServices]:
    """A PostgreSQL and a Valkey for the whole run."""
    with data_folder(tmp_path_factory.mktemp("services")) as folder:
        running = EmbeddedServices.start(folder, durable=False)
        yield running
        running.stop()


@pytest.fixture(scope="session")
def begun_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder as a first `make run` leaves it, made once for all workers; to be copied."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "begun"
    with (shared / "begun.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            with ServerProcess(data_dir=shared / "beginning") as server:
                pass
            server.data_dir.rename(folder)
    return folder


@pytest.fixture(scope="session")
def template_url(services: EmbeddedServices) -> str:
    """URL of a database at the newest migration, empty but for what migrations put there."""
    databases.execute(services.database_url, f"CREATE DATABASE {TEMPLATE}")
    url = databases.renamed(services.database_url, TEMPLATE)
    migrate(url)
    # a server that starts does not find all its jobs due, as if it were the first of all
    seldom = [job.name for job in jobs(load_settings()) if job.cadence > timedelta(minutes=1)]
    ran = f"SELECT unnest('{{{','.join(seldom)}}}'::text[]), now() + interval '1 day'"
    databases.execute(url, f"INSERT INTO job_runs {ran}")
    return url


@pytest.fixture
def database_url(services: EmbeddedServices, template_url: str) -> Iterator[str]:
    """URL of a migrated database of the test's own."""
    with databases.copied(services.database_url, template_url) as url:
        yield url


@pytest.fixture(scope="module")
def module_database(services: EmbeddedServices, template_url: str) -> Iterator[ModuleDatabase]:
    """A migrated database of the module; what its fixtures put there stands before each test."""
    with databases.copied(services.database_url, template_url) as url:
        yield ModuleDatabase(url)


@pytest.fixture(scope="module")
def module_database_url(module_database: ModuleDatabase) -> str:
    """Its URL."""
    return module_database.url


@pytest.fixture(scope="module")
def module_redis_url(services: EmbeddedServices) -> str:
    """URL of the Valkey, which is empty before each test."""
    return services.redis_url


@pytest.fixture
async def as_filled(request: pytest.FixtureRequest, redis_url: str) -> None:
    """What the module's fixtures have made is as they made it."""
    for name in MODULE_DATABASES & set(request.fixturenames):
        database: ModuleDatabase = request.getfixturevalue(name)
        await database.as_filled()


@pytest.fixture(autouse=True)
def _as_filled(request: pytest.FixtureRequest) -> None:
    """Before the test's other fixtures, if it leans on a database of the module."""
    if MODULE_DATABASES & set(request.fixturenames):
        request.getfixturevalue("as_filled")


@pytest.fixture
def consistent(module_database_url: str) -> Iterator[None]:
    """Fails a test after which the tables tell different stories."""
    yield
    assert_invariants(module_database_url)


@pytest.fixture
def redis_url(services: EmbeddedServices) -> str:
    """URL of the Valkey, empty."""
    with redis.Redis.from_url(services.redis_url) as client:
        client.flushall()
    return services.redis_url


@pytest.fixture(scope="session")
def seeded(services: EmbeddedServices, template_url: str) -> Iterator[tuple[str, Headers]]:
    """URL of a database with one of each, to be copied, and the headers of its administrator."""

    async def headers(url: str) -> Headers:
        # logged in for as long as all tests take
        life = {"access_token_seconds": 86_400}
        async with running_node(url, services.redis_url, ADMIN_SERVICE, **life) as node:
            return (await seed(node)).headers

    with databases.copied(services.database_url, template_url) as url:
        yield url, asyncio.run(headers(url))


@pytest.fixture(scope="session")
def demo(
    services: EmbeddedServices, template_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """URL of a database with demo data, and the file with its credentials, both to be copied."""
    path = tmp_path_factory.mktemp("demo") / DEMO_CREDENTIALS_FILE

    async def load(url: str) -> None:
        db = Database(load_settings(), url)
        await demo_data.load(db, path)
        await db.close()

    with databases.copied(services.database_url, template_url) as url:
        asyncio.run(load(url))
        yield url, path


@pytest.fixture
def demo_url(services: EmbeddedServices, demo: tuple[str, Path]) -> Iterator[str]:
    """URL of a copy of the test's own."""
    with databases.copied(services.database_url, demo[0]) as url:
        yield url


@pytest.fixture
def admin_url(services: EmbeddedServices, seeded: tuple[str, Headers]) -> Iterator[str]:
    """URL of a copy of the test's own."""
    with databases.copied(services.database_url, seeded[0]) as url:
        yield url


@pytest.fixture(scope="module")
def admin_database(
    services: EmbeddedServices, seeded: tuple[str, Headers]
) -> Iterator[ModuleDatabase]:
    """A copy of the module's, as it was copied before each test."""
    with databases.copied(services.database_url, seeded[0]) as url:
        yield ModuleDatabase(url, sells=False)


@pytest.fixture(scope="module")
async def admin_client(
    admin_database: ModuleDatabase, module_redis_url: str, seeded: tuple[str, Headers]
) -> AsyncIterator[AdminClient]:
    """A server with AdminService over one of each, called by its administrator."""
    async with running_node(admin_database.url, module_redis_url, ADMIN_SERVICE) as node:
        yield AdminClient(node, seeded[1])


@pytest.fixture(scope="module")
async def other_admin_client(
    admin_database: ModuleDatabase, module_redis_url: str, seeded: tuple[str, Headers]
) -> AsyncIterator[AdminClient]:
    """Another process over the same."""
    async with running_node(admin_database.url, module_redis_url, ADMIN_SERVICE) as node:
        yield AdminClient(node, seeded[1])


@pytest.fixture(scope="module")
async def market(module_database_url: str) -> AsyncIterator[Market]:
    """Two partners with stock."""
    async with a_market(module_database_url) as filled:
        yield filled


@pytest.fixture(scope="module")
async def ota_server(
    market: Market, module_database_url: str, module_redis_url: str
) -> AsyncIterator[GateServer]:
    """A server for the partners."""
    async with gate_server(module_database_url, module_redis_url) as running:
        yield running


@pytest.fixture
async def client(ota_server: GateServer) -> PartnerClient:
    """Where CP calls from."""
    return PartnerClient.at(ota_server.channel)


@pytest.fixture
async def other_client(ota_server: GateServer) -> PartnerClient:
    """Where HK calls from."""
    return PartnerClient.at(ota_server.channel, HK.api_key)


@pytest.fixture(scope="session")
def timetable_template_url(services: EmbeddedServices, template_url: str) -> Iterator[str]:
    """URL of a database with a few trains, a ferry and a package, to be copied."""

    async def build(url: str) -> None:
        async with timetable.database(url) as db:
            await timetable.build(db)

    with databases.copied(services.database_url, template_url) as url:
        asyncio.run(build(url))
        yield url


@pytest.fixture(scope="module")
def timetable_database(
    services: EmbeddedServices, timetable_template_url: str
) -> Iterator[ModuleDatabase]:
    """A copy of the module's, as it was copied before each test."""
    with databases.copied(services.database_url, timetable_template_url) as url:
        yield ModuleDatabase(url, sells=False)


@pytest.fixture(scope="module")
def timetable_url(timetable_database: ModuleDatabase) -> str:
    """Its URL."""
    return timetable_database.url


@pytest.fixture(scope="module")
async def timetable_db(timetable_url: str) -> AsyncIterator[Database]:
    """Connections to it, which processes that the tests make share."""
    async with timetable.database(timetable_url) as db:
        yield db
