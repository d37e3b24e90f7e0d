"""Every call that changes something, made twice: over gRPC, in all services.

Seen red with a claim of the request_id that always succeeds,
and with contents that are not compared.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server import app
from server.platform.errors import Reason
from tests.support.admin_client import Headers
from tests.support.repeats import (
    METHODS,
    Example,
    example,
    has_one_of_each,
    needs_example,
    rows,
    takes_request_id,
    with_example,
)
from tests.support.rpc_server import refusal


def test_every_changing_method_has_an_example() -> None:
    changing = {name for name, method in METHODS.items() if needs_example(method)}
    assert with_example() == changing


@pytest.fixture(params=sorted(name for name in METHODS if needs_example(METHODS[name])))
async def case(
    request: pytest.FixtureRequest,
    redis_url: str,
    seeded: tuple[str, Headers],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[tuple[str, Example, str]]:
    """A method, its example, and the database it is in, where the clock starts no job."""
    monkeypatch.setattr(app, "jobs", lambda _settings: [])
    is_admins = has_one_of_each(request.param)
    url: str = request.getfixturevalue("admin_url" if is_admins else "database_url")
    async with example(request.param, url, redis_url, tmp_path, seeded[1]) as made:
        yield request.param, made, url


async def test_a_repeat_gets_the_first_answer_and_changes_nothing(
    case: tuple[str, Example, str],
) -> None:
    name, made, database_url = case
    method = METHODS[name]
    before = await rows(database_url)
    first = await made.call(method, made.request)
    await made.at_rest()
    after = await rows(database_url)
    assert after != before
    if made.refused:
        found = await refusal(made.call(method, made.request))
        assert found.reason is made.refused
    else:
        assert await made.call(method, made.request) == first
    await made.at_rest()
    assert await rows(database_url) == after
    if takes_request_id(method):
        found = await refusal(made.call(method, made.altered()))
        assert found.reason is Reason.IDEMPOTENCY_MISMATCH
        await made.at_rest()
        assert await rows(database_url) == after
