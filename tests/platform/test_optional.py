"""Libraries of which a part is loaded: the part is there, the rest comes when it is asked for."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.platform.optional import load_part, without


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """One whose `__init__` takes names of two submodules, of which the first is the costly one."""
    folder = tmp_path / "made_up"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from .costly import Session\nfrom .cheap import Connection\n__version__ = '1'\n"
    )
    (folder / "costly.py").write_text("class Session: pass\n")
    (folder / "cheap.py").write_text("from . import helper\nclass Connection: pass\n")
    (folder / "helper.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder.name
    for name in [name for name in sys.modules if name.partition(".")[0] == folder.name]:
        del sys.modules[name]


def test_a_part_is_loaded_without_the_rest(package: str) -> None:
    load_part(package, cheap=("Connection",))
    found = importlib.import_module(package)
    assert found.Connection is sys.modules[f"{package}.cheap"].Connection
    assert f"{package}.costly" not in sys.modules


def test_the_rest_comes_when_it_is_asked_for(package: str) -> None:
    load_part(package, cheap=("Connection",))
    found = importlib.import_module(package)
    connection = found.Connection
    assert found.Session.__name__ == "Session"
    assert found.__version__ == "1"
    assert found.Connection is connection
    with pytest.raises(AttributeError, match="Nothing"):
        _ = found.Nothing


def test_a_name_that_is_nowhere(package: str) -> None:
    load_part(package, cheap=("Connection",))
    with pytest.raises(AttributeError, match="Nothing"):
        _ = importlib.import_module(package).Nothing
    with pytest.raises(ModuleNotFoundError):
        load_part(f"{package}_that_is_not_there", cheap=())


def test_what_is_loaded_stays(package: str) -> None:
    whole = importlib.import_module(package)
    load_part(package, cheap=("Connection",))
    assert sys.modules[package] is whole
    with without(package):
        assert importlib.import_module(package) is whole


def test_without_a_package(package: str) -> None:
    with without(package), pytest.raises(ModuleNotFoundError):
        importlib.import_module(package)
    with without(package), pytest.raises(ModuleNotFoundError):
        importlib.import_module(f"{package}.cheap")
    assert importlib.import_module(package).Session


def test_nothing_is_hidden_after_an_error(package: str) -> None:
    with pytest.raises(ValueError, match="within"), without(package):
        raise ValueError("within")
    assert importlib.import_module(package).Session
