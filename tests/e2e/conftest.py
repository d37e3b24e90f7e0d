import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.support.data_folders import copied
from tests.support.server_process import ServerProcess

MOST_SECONDS = 600
"""For a test here, which may start several processes, each with a time of its own. A test that
takes longer than it may ends the whole process of pytest, which xdist tells as a worker that
crashed, without a stack.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = f"{Path(__file__).parent}/"
    for item in items:
        if str(item.path).startswith(here) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(MOST_SECONDS))


@pytest.fixture(scope="package")
def served(begun_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server as `make run` starts it, for the folder's tests that only call it.

    Its partner may call more often: together the tests ask more in a minute than a partner does.
    """
    folder = copied(begun_folder, tmp_path_factory.mktemp("served") / "data")
    with ServerProcess(data_dir=folder) as server:
        with httpx2.Client(base_url=server.url) as http:
            tokens = http.post("/admin/login", json=server.credentials["admin"]).json()
            more = {"requests_per_minute": 10_000, "update_mask": "requests_per_minute"}
            http.patch(
                "/admin/partners/CP",
                json=more | {"request_id": uuid.uuid4().hex},
                headers={"Authorization": f"Bearer {tokens['access_token']}"},
            ).raise_for_status()
        yield server
