"""The wheel that is built from the repository runs by itself, without the repository."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import httpx2
import pytest

from tests.support.server_process import ServerProcess

ROOT = Path(__file__).parents[2]
PACKAGES = ("server", "tools.dev", "deeptravel")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, and of all else only the locked dependencies."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    home = folder / "venv"
    venv.EnvBuilder(symlinks=True).create(home)
    python = home / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    install = [*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True, timeout=120)
    # What a .pth file names is looked through last, and its own .pth files are not read: that of
    # the repository, installed there in place, is not.
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))
    (site / "locked.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return home


def environment() -> dict[str, str]:
    names = [name for name in os.environ if name.startswith(("DEEPTRAVEL_", "PYTHON"))]
    return {name: text for name, text in os.environ.items() if name not in names}


def test_nothing_comes_from_the_repository(installed: Path, tmp_path: Path) -> None:
    code = f"""
import importlib, json, sys
print(json.dumps([sys.path, *(importlib.import_module(name).__file__ for name in {PACKAGES})]))
"""
    done = subprocess.run(
        [installed / "bin" / "python", "-c", code],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    path, *files = json.loads(done.stdout)
    assert str(ROOT) not in path
    assert [file for file in files if not file.startswith(str(installed))] == []


def test_it_serves_with_everything_it_needs(installed: Path, tmp_path: Path) -> None:
    """Migrations, documents, demo data, WeChat simulator, workers and the demo's client included.

    Seen red: the wheel had no migrations, and no simulator.
    """
    deeptravel = installed / "bin" / "deeptravel"
    with ServerProcess(
        "--workers", "2", data_dir=tmp_path / "data", command=[deeptravel], cwd=tmp_path
    ) as server:
        assert httpx2.get(f"{server.url}/healthz").status_code == 200
        assert "/offers" in httpx2.get(f"{server.url}/openapi.json").json()["paths"]
        answer = httpx2.post(f"{server.url}/travellers/login", json={"code": "somebody"})
        assert answer.status_code == 200, answer.text
        done = subprocess.run(
            [deeptravel, "demo", "--target", server.target],
            cwd=tmp_path,
            env=environment() | {"DEEPTRAVEL_DATA_DIR": str(server.data_dir)},
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "Every step held." in done.stdout
    assert server.process.returncode == 0
