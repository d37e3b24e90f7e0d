"""The generated half: complete, private, and at peace with other copies in the same process."""

import importlib
import inspect
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import deeptravel
import pytest
from deeptravel import _fields
from deeptravel._generated import services
from deeptravel._method import Method
from google.protobuf.timestamp_pb2 import Timestamp

from tests.conftest import METHODS

HERE = Path(deeptravel.__file__).parent


def test_every_method_is_there_for_threads_and_for_asyncio() -> None:
    for name in services.__all__:
        if name.startswith("Async"):
            continue
        plain, waiting = (getattr(services, each) for each in (name, f"Async{name}"))
        of_plain = {each for each in vars(plain) if not each.startswith("_")}
        assert of_plain == {each for each in vars(waiting) if not each.startswith("_")}
        for each in of_plain:
            ours = inspect.signature(getattr(plain, each)).parameters
            assert list(ours) == list(inspect.signature(getattr(waiting, each)).parameters)
            assert "timeout" in ours
            assert getattr(plain, each).__doc__


@pytest.mark.parametrize("path", METHODS)
def test_paths_are_the_contracts(path: str) -> None:
    method: Method = METHODS[path]  # type: ignore[type-arg]
    service = path.split("/")[1]
    _, noun, version, _ = service.split(".")
    importlib.import_module(f"deeptravel._generated.{noun}.{version}.{noun}_service_pb2")
    file = method.request.DESCRIPTOR.file.pool.FindServiceByName(service)
    found = file.methods_by_name[method.name]
    assert found.input_type == method.request.DESCRIPTOR
    assert found.output_type == method.response.DESCRIPTOR


def run(code: str, *paths: Path) -> None:
    """In a process of its own, with these folders before all others."""
    before = f"import sys; sys.path[:0] = {[str(each) for each in paths]}\n"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", before + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("order", ["first", "second"])
def test_another_copy_of_the_contract_in_the_same_process(order: str, tmp_path: Path) -> None:
    """Who compiles the same protos too has both: the same file may be registered twice."""
    source = (HERE / "_generated" / "common" / "v1" / "errors_pb2.py").read_text()
    (tmp_path / "mine_pb2.py").write_text(source)
    both = "mine_pb2, deeptravel" if order == "first" else "deeptravel, mine_pb2"
    run(
        f"""
        import {both}
        assert mine_pb2.ErrorReason.DESCRIPTOR is deeptravel.common.ErrorReason.DESCRIPTOR
        """,
        tmp_path,
        HERE.parent,
    )


def test_another_version_of_the_rules_in_the_same_process(tmp_path: Path) -> None:
    """`protovalidate` may bring `buf/validate/validate.proto` of another version.

    Seen red with our own copy always: TypeError, duplicate file name.
    """
    ours = (HERE / "_generated" / "buf" / "validate" / "validate_pb2.py").read_text()
    theirs = tmp_path / "buf" / "validate"
    theirs.mkdir(parents=True)
    # one letter of a file option is another version to the registry; the first of the package's is
    # written as an escape there
    other = ours.replace("uild.buf.validate", "uild.bug.validate")
    assert other.count("uild.bug.validate") == 2, "the file, and its options once more"
    (theirs / "validate_pb2.py").write_text(other)
    run("import deeptravel, buf.validate.validate_pb2", tmp_path, HERE.parent)
    run("import buf.validate.validate_pb2, deeptravel", tmp_path, HERE.parent)


def test_moments() -> None:
    hong_kong = timezone(timedelta(hours=8))
    moment = datetime(2026, 11, 28, 8, 30, tzinfo=hong_kong)
    made = _fields.timestamp(moment)
    assert made is not None
    assert made.ToDatetime(UTC) == moment
    assert _fields.timestamp(None) is None
    given = Timestamp(seconds=1)
    assert _fields.timestamp(given) is given
    with pytest.raises(ValueError, match="no time zone"):
        _fields.timestamp(datetime(2026, 11, 28))  # noqa: DTZ001


def test_types_come_along() -> None:
    assert (HERE / "py.typed").exists()
