"""The product's short waits, made long: on a busy machine what answers slowly is not lost.

A wait that ends is an answer of its own (CONFLICT, a call let through, DATABASE_UNAVAILABLE). A
test must not get one because the machine is slow. Tests of these answers take the product's own
waits, or set theirs; servers in processes of their own have the product's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest
from httpx2._config import DEFAULT_TIMEOUT_CONFIG

from server.api import health
from server.orders import hold
from server.payments import payment_requests
from server.platform import batching, database, idempotency, redis_client
from server.wechat import client

A_LONG_TIME = (0.1,) * 200
_LONG: list[tuple[ModuleType, str, object]] = [
    (redis_client, "SOCKET_SECONDS", 20.0),
    (redis_client, "CALL_SECONDS", 20.0),
    # how often a call comes back for a row that is locked
    (batching, "RETRIES_SECONDS", batching.RETRIES_SECONDS + A_LONG_TIME),
    (hold, "RETRIES_SECONDS", hold.RETRIES_SECONDS + A_LONG_TIME),
    (database, "POOL_TIMEOUT_SECONDS", 60),
    (database, "PING_SECONDS", 20.0),
    (database, "PIPELINE_IDLE_MS", 30_000),
    (health, "ANSWER_SECONDS", 20.0),
    (idempotency, "REPEAT_WAITS_SECONDS", 9),  # less than a statement has
    (payment_requests, "ASK_SECONDS", 20.0),
    (client, "CONNECT_SECONDS", 20.0),
]
_OWN = [(module, name, getattr(module, name)) for module, name, _ in _LONG]


def lengthen() -> None:
    """For all tests."""
    for module, name, value in _LONG:
        setattr(module, name, value)
    DEFAULT_TIMEOUT_CONFIG.read = 60.0  # of HTTP clients that say none: five seconds are few


@contextmanager
def the_products_own() -> Iterator[None]:
    """For what is started within the block: the waits as they are in the product."""
    with pytest.MonkeyPatch.context() as patched:
        for module, name, value in _OWN:
            patched.setattr(module, name, value)
        yield
