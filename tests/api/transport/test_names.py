"""What is used of grpcio's private module, and what serves where it is not as we know it."""

import importlib
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from packaging.requirements import Requirement
from structlog.testing import capture_logs

from server.api.transport import core
from server.api.transport.choice import new_server
from server.api.transport.server import CoreServer

ROOM = Path(core.__file__).parent


@pytest.mark.parametrize("name", core.USED)
def test_grpcio_has_every_name_that_is_used(name: str) -> None:
    found = getattr(core.cygrpc, name)
    for attribute in core.USED[name]:
        assert hasattr(found, attribute), attribute


def test_a_name_that_is_gone_is_missing() -> None:
    assert core.missing() == []
    names = {name: getattr(core.cygrpc, name) for name in core.USED}
    without_polling = SimpleNamespace(shutdown=None)
    found = core.missing(
        SimpleNamespace(**{**names, "Server": None, "CompletionQueue": without_polling})
    )
    assert found == ["CompletionQueue.poll", "Server"]


def test_one_module_alone_knows_the_private_one() -> None:
    others = [path for path in ROOM.rglob("*.py") if path.name != "core.py"]
    assert len(others) > 5
    for path in others:
        text = path.read_text()
        assert "cygrpc" not in text, path
        assert "_cython" not in text, path


def test_grpcio_is_pinned_below_its_next_minor_version() -> None:
    """Private names may change with any minor version."""
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    wanted = [Requirement(each) for each in project["project"]["dependencies"]]
    (grpcio,) = (each for each in wanted if each.name == "grpcio")
    major, minor, *_ = (int(part) for part in grpc.__version__.split("."))
    assert f"{major}.{minor}.99" in grpcio.specifier
    assert f"{major}.{minor + 1}.0" not in grpcio.specifier


async def chosen(transport: Any) -> tuple[grpc.aio.Server, list[Any]]:
    with capture_logs() as logs:
        server = new_server(transport)
        await server.start()
        await server.stop(None)
    return server, [line for line in logs if line["event"] == "transport.grpc_aio"]


async def test_ours_serves_unless_the_setting_says_otherwise() -> None:
    server, logged = await chosen("core")
    assert isinstance(server, CoreServer)
    assert not logged
    server, logged = await chosen("aio")
    assert not isinstance(server, CoreServer)
    assert [(line["chosen"], line["missing"]) for line in logged] == [(True, [])]


async def test_grpc_aio_serves_where_names_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "missing", lambda: ["Server.request_call"])
    server, logged = await chosen("core")
    assert not isinstance(server, CoreServer)
    assert [(line["chosen"], line["missing"]) for line in logged] == [
        (False, ["Server.request_call"])
    ]


def test_the_room_loads_where_names_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib, "import_module", lambda _: SimpleNamespace())
    source = Path(core.__file__).read_text()
    names: dict[str, Any] = {"__name__": "core"}
    exec(compile(source, "core.py", "exec"), names)
    assert len(names["missing"]()) == len(core.USED)
