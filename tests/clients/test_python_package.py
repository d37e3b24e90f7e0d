"""The Python package as an integrator gets it: a wheel in an environment of its own, with the
package's own tests, against a server as `make run` starts it.

It runs with what requirements.lock has: the newest protobuf and grpcio of the range that its
pyproject.toml states. The other ends, the oldest of both and a newer Python, are installed from the
package index, and left out where none answers.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

from tests.support.server_process import ServerProcess

CLIENTS = Path(__file__).parents[2] / "clients"
PACKAGE = CLIENTS / "python"
NEWER = ("python3.14", "python3.13", "python3.12")
BUILD_SECONDS, RUN_SECONDS = 120, 240
NO_INDEX = re.compile(
    r"[Ff]ailed to (?:fetch|download)|error sending request|dns error|timed out|tcp connect"
)
"""What uv says where no package index answers; that there is no such version is a failure."""
UV = Path(sys.executable).with_name("uv")


def run(
    *command: str | Path,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    seconds: int = BUILD_SECONDS,
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=cwd, env=env, timeout=seconds
    )


def built(package: Path, folder: Path) -> Path:
    """Its wheel."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = run(*build, cwd=package)
    assert done.returncode == 0, done.stderr
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(PACKAGE, tmp_path_factory.mktemp("python-client"))


def new_environment(home: Path, interpreter: str = sys.executable) -> Path:
    made = run(interpreter, "-m", "venv", "--without-pip", home)
    assert made.returncode == 0, made.stderr
    return home / "bin" / "python"


def from_the_index(python: Path, *packages: str | Path) -> None:
    """Installs, or leaves the test out: a machine without a package index is no failure, a range
    that cannot be installed is one. By uv, which takes half a second where pip takes ten, keeps
    what it has downloaded, and asks again where an answer is lost.
    """
    command = (UV, "pip", "install", "--quiet", "--only-binary", ":all:", "--python", python)
    try:
        done = run(*command, *packages)
    except subprocess.TimeoutExpired as error:
        said = (error.stderr or b"").decode().strip()[-300:] or "nothing"
        pytest.skip(f"the package index gave no answer in {BUILD_SECONDS} s; uv said {said}")
    if done.returncode and NO_INDEX.search(done.stderr):
        pytest.skip(f"no package index answers: {done.stderr.strip()[-300:]}")
    assert done.returncode == 0, done.stderr


def own_tests(python: Path, served: ServerProcess, folder: Path, package: Path = PACKAGE) -> str:
    """Runs the package's tests there, out of sight of the repository; what they print."""
    shutil.copytree(package / "tests", folder / "tests")
    shutil.copy(package / "pyproject.toml", folder)
    kept = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("DEEPTRAVEL_", "PYTHON", "PYTEST"))
    }
    environment = kept | {
        "DEEPTRAVEL_TEST_TARGET": served.target,
        "DEEPTRAVEL_TEST_CREDENTIALS": str(served.data_dir / "demo-credentials.json"),
        "DEEPTRAVEL_TEST_EXAMPLES": str(CLIENTS.parent / "docs" / "examples"),
    }
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no"]
    plugins = [each for name in ("asyncio", "randomly") for each in ("-p", f"no:{name}")]
    done = run(*command, *plugins, cwd=folder, env=environment, seconds=RUN_SECONDS)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    assert "skipped" not in done.stdout, done.stdout
    assert " passed" in done.stdout
    return done.stdout


def with_locked(home: Path, *wheels: Path) -> Path:
    """An environment of these wheels, and of what requirements.lock has."""
    venv.EnvBuilder(symlinks=True).create(home)
    python = home / "bin" / "python"
    install = (UV, "pip", "install", "--quiet", "--no-deps", "--no-index", "--python", python)
    done = run(*install, *wheels)
    assert done.returncode == 0, done.stderr
    # .pth files of what a .pth file names are not read: that of the repository is there
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))
    (site / "locked.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    where = run(python, "-c", "import deeptravel; print(deeptravel.__file__)", cwd=home)
    assert where.stdout.startswith(str(home)), where
    return python


def test_with_the_locked_dependencies(wheel: Path, served: ServerProcess, tmp_path: Path) -> None:
    own_tests(with_locked(tmp_path / "venv", wheel), served, tmp_path)


def test_the_terminal(wheel: Path, served: ServerProcess, tmp_path: Path) -> None:
    """The wheel of clients/terminal on top of that of clients/python, and its command."""
    terminal = built(CLIENTS / "terminal", tmp_path)
    python = with_locked(tmp_path / "venv", wheel, terminal)
    own_tests(python, served, tmp_path, CLIENTS / "terminal")
    helped = run(python.with_name("deeptravel-terminal"), "--help")
    assert "--demo" in helped.stdout, helped.stderr


@pytest.mark.slow
def test_with_the_oldest_dependencies(wheel: Path, served: ServerProcess, tmp_path: Path) -> None:
    """Those that pyproject.toml states as the least; protobuf's is that of the generated code."""
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    least = [each.partition(",")[0].replace(">=", "==") for each in project["dependencies"]]
    python = new_environment(tmp_path / "venv")
    from_the_index(python, wheel, "pytest", *least)
    own_tests(python, served, tmp_path)


@pytest.mark.slow
def test_with_a_newer_python(wheel: Path, served: ServerProcess, tmp_path: Path) -> None:
    """And with the newest of all that it depends on."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    named = [shutil.which(name) for name in NEWER]
    kept = [str(path) for name in NEWER for path in sorted(versions.glob(f"*/bin/{name}"))]
    interpreter = next((path for path in [*named, *kept] if path and works(path)), None)
    if interpreter is None:
        pytest.skip(f"none of {', '.join(NEWER)} is here")
    python = new_environment(tmp_path / "venv", interpreter)
    from_the_index(python, wheel, "pytest")
    own_tests(python, served, tmp_path)


def works(interpreter: str) -> bool:
    """A version manager's shim is there for versions that are not."""
    return run(interpreter, "-c", "pass").returncode == 0
