"""What a person sees of a start: misspelt settings, busy ports, where the secrets are, when it
is ready.
"""

import base64
import contextlib
import json
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from server.operations import read_only
from tests.support import databases
from tests.support.data_folders import copied
from tests.support.free_ports import free_port
from tests.support.server_process import REAL, ServerProcess, run_command
from tests.support.waiting import WAIT_SECONDS
from tools.dev.embedded.services import EmbeddedServices

ROOT = Path(__file__).parents[2]


@pytest.fixture
def by_urls(database_url: str, redis_url: str) -> dict[str, str]:
    return {
        "DEEPTRAVEL_DATABASE_URL": database_url,
        "DEEPTRAVEL_REDIS_URL": redis_url,
        "DEEPTRAVEL_SECRET_KEY": base64.b64encode(bytes(range(32))).decode(),
    }


def events(server: ServerProcess, name: str) -> list[dict[str, Any]]:
    return [line for line in server.log_lines if line["event"] == name]


def is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


@contextlib.contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def secrets_of(server: ServerProcess) -> list[str]:
    found = server.credentials
    return [
        *(found["partner_api_key"], found["other_partner_api_key"]),
        *(found[role]["password"] for role in ("operator", "supervisor", "admin")),
    ]


def cut_off(folder: Path) -> Path:
    """Makes it as if the first start had ended before the credentials were shown; their file."""
    return (folder / "demo-credentials.json").rename(folder / "demo-credentials.json.new")


@pytest.mark.parametrize("arguments", [(), ("--workers", "2")])
def test_first_start(begun_folder: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """The file of the credentials is there when both ports answer, for its owner alone, and is the
    only place of them. Of several workers, whose parent makes it, too: these go on from a first
    start that was cut off before it was shown.

    Seen red: the file was there before the ports answered, and standard output had its secrets.
    """
    data_dir = tmp_path / "data"
    if arguments:
        cut_off(copied(begun_folder, data_dir))
    grpc_port, http_port = free_port(), free_port()
    file = data_dir / "demo-credentials.json"
    too_early: list[int] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set() and not file.exists():
            time.sleep(0.001)
        too_early.extend(port for port in (grpc_port, http_port) if not is_open(port))

    watching = threading.Thread(target=watch)
    watching.start()
    ports = {"DEEPTRAVEL_GRPC_PORT": str(grpc_port), "DEEPTRAVEL_HTTP_PORT": str(http_port)}
    misspelt = {"DEEPTRAVEL_HTTP_PROT": "1", "DEEPTRAVEL_NONSENSE": "1"}
    try:
        with ServerProcess(
            *arguments, data_dir=data_dir, env=ports | misspelt, command=REAL
        ) as server:
            assert (server.grpc_port, server.http_port) == (grpc_port, http_port)
            assert httpx2.get(f"{server.url}/healthz").status_code == 200
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert server.metadata()
            until(lambda: "Ctrl-C stops the server." in server.output)
            assert str(file.resolve()) in server.output
            remedies = {line["name"]: line["remedy"] for line in events(server, "settings.unknown")}
            assert remedies == {
                "DEEPTRAVEL_HTTP_PROT": "did you mean DEEPTRAVEL_HTTP_PORT?",
                "DEEPTRAVEL_NONSENSE": "it has no effect: remove it",
            }
            assert events(server, "wechat.missing") == []
            for secret in secrets_of(server):
                assert secret not in server.output + server.log
    finally:
        done.set()
        watching.join()
    assert too_early == []


@pytest.mark.parametrize("name", ["GRPC", "HTTP"])
@pytest.mark.parametrize("arguments", [(), ("--workers", "2")])
def test_busy_port_is_found_before_anything_is_made(
    tmp_path: Path, name: str, arguments: tuple[str, ...]
) -> None:
    """Seen red: with one worker and with two, the data folder had a database with demo data."""
    with taken_port() as port:
        done = run_command(
            "serve",
            *arguments,
            env={
                "DEEPTRAVEL_DATA_DIR": str(tmp_path / "data"),
                "DEEPTRAVEL_GRPC_PORT": "0",
                "DEEPTRAVEL_HTTP_PORT": "0",
                f"DEEPTRAVEL_{name}_PORT": str(port),
            },
        )
    assert done.returncode == 3
    assert f"port {port} is taken" in done.stderr
    assert f"DEEPTRAVEL_{name}_PORT" in done.stderr
    assert not (tmp_path / "data").exists()


def test_credentials_of_a_start_that_was_cut_off(begun_folder: Path, tmp_path: Path) -> None:
    """What the database has only as hashes is found again, though nobody was shown the file."""
    folder = copied(begun_folder, tmp_path / "data")
    credentials = json.loads((folder / "demo-credentials.json").read_text())
    new = cut_off(folder)
    with ServerProcess(data_dir=folder) as server:
        assert server.credentials == credentials
    assert not new.exists()


def test_by_urls_it_is_said_that_nobody_can_pay_and_how(
    tmp_path: Path, by_urls: dict[str, str]
) -> None:
    """And what is said works. Seen red: nothing was said."""
    with ServerProcess(data_dir=tmp_path / "data", env=by_urls) as server:
        (missing,) = events(server, "wechat.missing")
        assert "DEEPTRAVEL_WECHAT_" in missing["remedy"]
        assert "python -m tools.dev.wechat_simulator serve" in missing["remedy"]
        assert 'eval "$(python -m tools.dev.wechat_simulator settings)"' in missing["remedy"]
        refused = httpx2.post(f"{server.url}/travellers/login", json={"code": "somebody"})
        assert "PAYMENTS_NOT_CONFIGURED" in refused.text
    folder = ("--folder", str(tmp_path / "wechat"))
    simulator = [sys.executable, "-m", "tools.dev.wechat_simulator"]
    with subprocess.Popen(
        [*simulator, "serve", *folder, "--port", "0", "--until-input-ends"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as simulated:
        assert simulated.stdout
        assert "WeChat simulator on" in simulated.stdout.readline()
        printed = subprocess.run(
            ["sh", "-c", f'eval "$({" ".join([*simulator, "settings", *folder])})"; env -0'],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        pairs = (line.split("=", 1) for line in printed.split("\0") if "=" in line)
        settings = {name: text for name, text in pairs if name.startswith("DEEPTRAVEL_WECHAT_")}
        with ServerProcess(data_dir=tmp_path / "again", env=by_urls | settings) as server:
            assert events(server, "wechat.missing") == []
            answer = httpx2.post(f"{server.url}/travellers/login", json={"code": "somebody"})
            assert answer.status_code == 200, answer.text
        assert simulated.stdin
        simulated.stdin.close()
    assert json.loads((tmp_path / "wechat" / "merchant.json").read_text())["url"]


def migrate(data_dir: Path) -> subprocess.CompletedProcess[str]:
    return run_command("migrate", env={"DEEPTRAVEL_DATA_DIR": str(data_dir)})


def test_embedded_database_that_takes_no_writes(tmp_path: Path) -> None:
    """What the remedy names mends it. Seen red: it was to correct DEEPTRAVEL_DATABASE_URL."""
    data_dir = tmp_path / "data"
    services = EmbeddedServices.start(data_dir, durable=False)
    databases.execute(services.database_url, f"ALTER SYSTEM SET {read_only.SETTING} = on")
    services.stop()
    done = migrate(data_dir)
    assert done.returncode == 3
    assert "takes no writes" in done.stderr
    assert "DEEPTRAVEL_" not in done.stderr
    file = Path(done.stderr.partition(" out of ")[2].partition(" and start again")[0])
    assert file.is_relative_to(data_dir / "postgres")
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if read_only.SETTING not in line))
    assert migrate(data_dir).returncode == 0


def test_embedded_database_of_a_newer_release(begun_folder: Path, tmp_path: Path) -> None:
    """Seen red: another database was to be named in DEEPTRAVEL_DATABASE_URL, which is not set."""
    data_dir = copied(begun_folder, tmp_path / "data")
    services = EmbeddedServices.start(data_dir)
    databases.execute(services.database_url, "UPDATE alembic_version SET version_num = '9999'")
    services.stop()
    done = migrate(data_dir)
    assert done.returncode == 3
    assert "set DEEPTRAVEL_DATA_DIR to another folder" in done.stderr
    assert "DATABASE_URL" not in done.stderr
