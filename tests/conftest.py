import os
import time
import types
from collections.abc import Iterator

import hypothesis
import pytest
import redis
import structlog

from server.operations.schema import migrate
from tests.support import databases, loopback, timeouts
from tools.dev.embedded.services import EmbeddedServices

TEMPLATE = "template_migrated"
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
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")
for setting in [name for name in os.environ if name.startswith("DEEPTRAVEL_")]:
    del os.environ[setting]  # a developer's own settings must not reach the tests


def pytest_configure() -> None:
    loopback.guard()
    timeouts.lengthen()


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
    running = EmbeddedServices.start(tmp_path_factory.mktemp("services"), durable=False)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def template_url(services: EmbeddedServices) -> str:
    """URL of a database at the newest migration, empty but for what migrations put there."""
    databases.execute(services.database_url, f"CREATE DATABASE {TEMPLATE}")
    url = databases.renamed(services.database_url, TEMPLATE)
    migrate(url)
    return url


@pytest.fixture
def database_url(services: EmbeddedServices, template_url: str) -> Iterator[str]:
    """URL of a migrated database of the test's own."""
    with databases.copied(services.database_url, template_url) as url:
        yield url


@pytest.fixture
def redis_url(services: EmbeddedServices) -> str:
    """URL of the Valkey, empty."""
    with redis.Redis.from_url(services.redis_url) as client:
        client.flushall()
    return services.redis_url
