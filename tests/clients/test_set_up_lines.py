"""The lines of docs/integrators/set-up.md, run as they are printed in an empty folder, for each
language whose tools are here. Left out, with the reason, where a tool or a registry is missing.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.described import ROOT
from tests.support.server_process import ServerProcess

GUIDE = (ROOT / "docs" / "integrators" / "set-up.md").read_text()
BIN = Path(sys.executable).parent
RUN_SECONDS = 300
NO_REGISTRY = re.compile(
    r"Could not (?:resolve|transfer)|ENOTFOUND|ECONNREFUSED|ETIMEDOUT|network|dial tcp"
    r"|i/o timeout|Failed to (?:fetch|establish)|Temporary failure|No matching distribution"
)


@dataclass(frozen=True)
class Block:
    """What is printed in one place: lines for a shell, or a file, named in the text before it."""

    language: str
    text: str
    file: str


def blocks(section: str) -> Iterator[Block]:
    """Of a section, by its heading; of the beginning, by the empty one."""
    parts = re.split(r"^## (.*)\n", GUIDE, flags=re.MULTILINE)
    sections = dict(zip(["", *parts[1::2]], [parts[0], *parts[2::2]], strict=True))
    file = ""
    pattern = r"```(\w+)\n(.*?)\n```|`([\w.]+\.(?:yaml|ts))`"
    for found in re.finditer(pattern, sections[section], re.DOTALL):
        if found[3]:
            file = found[3]
        else:
            yield Block(found[1], found[2], file)


def run(folder: Path, lines: str) -> str:
    """In a shell that stops at the first line that fails; what they print."""
    path = f"{folder.parent / 'venv' / 'bin'}:{folder.parent / 'bin'}:{os.environ['PATH']}"
    given = {
        "PATH": path,
        # half the processor time of what runs for seconds
        "MAVEN_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "GOFLAGS": "-gcflags=-N",
        "PIP_NO_COMPILE": "1",
    }
    try:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", lines],
            cwd=folder,
            env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | given,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"no answer within {RUN_SECONDS} s: {lines.splitlines()[0]}")
    if done.returncode and NO_REGISTRY.search(done.stdout + done.stderr):
        pytest.skip(f"a registry does not answer: {(done.stdout + done.stderr).strip()[-300:]}")
    assert done.returncode == 0, (lines, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


def follow(folder: Path, said: Iterable[Block]) -> None:
    """Does what is said: writes its files, runs its lines."""
    for block in said:
        if block.language == "sh":
            run(folder, block.text)
        else:
            (folder / block.file).write_text(block.text)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the beginning of the guide was followed.

    Of the contract it has what partners, gates and travellers call. Administrators' messages are
    two thirds of it: each compiler's work with them is time, and no other line of the guide.
    """
    parent = tmp_path_factory.mktemp("set-up")
    (parent / "bin").mkdir()
    (parent / "bin" / "buf").symlink_to(BIN / "buf")
    uv = [str(BIN / "uv"), "venv", "--quiet", "--seed", "--python", sys.executable]
    made = subprocess.run(
        [*uv, str(parent / "venv")], capture_output=True, text=True, check=False, timeout=120
    )
    if made.returncode:
        pytest.skip(f"no environment with pip: {made.stderr.strip()[-300:]}")
    folder = parent / "begun"
    folder.mkdir()
    shutil.copytree(ROOT / "protos", folder / "protos", ignore=shutil.ignore_patterns("admin"))
    follow(folder, blocks(""))
    return folder


@pytest.fixture
def folder(begun: Path, request: pytest.FixtureRequest) -> Path:
    """Another like it, for one language."""
    other = begun.parent / str(request.node.name)
    shutil.copytree(begun, other)
    return other


def need(*tools: str) -> None:
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool} here")


def both_ways(section: str) -> None:
    """The section has a line of buf and one of protoc."""
    lines = "".join(block.text for block in blocks(section) if block.language == "sh")
    assert "buf generate" in lines
    assert "protoc -I" in lines


@pytest.mark.slow
def test_python(folder: Path) -> None:
    """Its lines import what they made."""
    both_ways("Python")
    follow(folder, blocks("Python"))


@pytest.mark.slow
def test_java(folder: Path) -> None:
    """Seen red as it was printed before: the `protoc` of Maven finds no `google/protobuf`."""
    need("mvn", "jar")
    both_ways("Java")
    follow(folder, blocks("Java"))
    for made in ("out", "gen"):
        assert (folder / made / "com/deeptravel/ota/v1/OtaServiceGrpc.java").is_file()


@pytest.mark.slow
def test_go(folder: Path) -> None:
    """Its lines build what they made. Seen red as they were before: there was no `go.mod`."""
    need("go")
    both_ways("Go")
    follow(folder, blocks("Go"))
    # What protoc made, in place of what buf did. Its packages are all named by one line: those of
    # one service and of what it imports are a third of the compiler's work.
    run(folder, "go build ./gen/deeptravel/ota/...")


@pytest.mark.slow
def test_typescript(folder: Path, served: ServerProcess) -> None:
    """It calls a server. Seen red as it was before: no top-level await outside a module."""
    need("node", "npm", "npx")
    both_ways("TypeScript")
    follow(folder, blocks("TypeScript"))
    first = folder / "first.ts"
    first.write_text(first.read_text().replace("127.0.0.1:50051", served.target))
    key = served.credentials["partner_api_key"]
    assert "productId: 106" in run(folder, f"API_KEY={key} npx tsx first.ts")
    run(folder, "npx tsx reason.ts")
