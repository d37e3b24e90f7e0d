"""Which tests are fast, and run by `make test-fast`: those that need no server and are not marked
as slow.

Nobody keeps a list: a test needs one if a fixture of it, however far away, starts the services, or
if its module has something at hand that starts a server of its own.
"""

import functools
from pathlib import Path

import pytest

SERVICES = "services"
"""The fixture from which every database and Redis of the tests comes."""
STARTERS = (
    "tests.support.channel_vendors",
    "tests.support.forking",
    "tests.support.http_server",
    "tests.support.redis_cluster",
    "tests.support.server_process",
    "tests.support.wechat",
    "tools.dev.embedded",
)
END_TO_END = Path(__file__).parents[1] / "e2e"


def is_fast(item: pytest.Item) -> bool:
    """Whether `make test-fast` runs the test."""
    return not _needs_server(item) and item.get_closest_marker("slow") is None


def _needs_server(item: pytest.Item) -> bool:
    """Whether the test needs PostgreSQL, Redis, a simulator or a server in a process of its own."""
    return SERVICES in getattr(item, "fixturenames", ()) or _has_server(
        item.path, getattr(item, "module", item)
    )


@functools.cache
def _has_server(path: Path, module: object) -> bool:
    return END_TO_END in path.parents or any(map(_starts, vars(module).values()))


def _starts(named: object) -> bool:
    home = getattr(named, "__module__", None) or getattr(named, "__name__", None)
    return isinstance(home, str) and home.startswith(STARTERS)
