import uuid
from collections.abc import Iterator

import httpx2
import pytest

from tests.support.server_process import ServerProcess


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server as `make run` starts it, for tests that only call it.

    Its partner may call more often: together the tests ask more in a minute than a partner does.
    """
    with ServerProcess(data_dir=tmp_path_factory.mktemp("served")) as server:
        with httpx2.Client(base_url=server.url) as http:
            tokens = http.post("/admin/login", json=server.credentials["admin"]).json()
            more = {"requests_per_minute": 10_000, "update_mask": "requests_per_minute"}
            http.patch(
                "/admin/partners/CP",
                json=more | {"request_id": uuid.uuid4().hex},
                headers={"Authorization": f"Bearer {tokens['access_token']}"},
            ).raise_for_status()
        yield server
