"""Two PostgreSQL servers over TCP: a primary that commits when its standby has it, and that
standby.
"""

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg

from server.platform import postgres_url
from tests.support.free_ports import free_port
from tools.dev.embedded.services import _Account, _postgres_binary

USER = "deeptravel"
START_SECONDS = 60
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "timezone": "UTC",
}


class Node:
    """One of the two, in a folder; `port` on 127.0.0.1."""

    def __init__(self, account: _Account, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self._account = account
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Of its database postgres; also where it takes no writes."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres?target_session_attrs=any"

    def run(self, program: str, *arguments: object) -> None:
        """Runs a program of PostgreSQL to its end."""
        command: list[str | Path] = [_postgres_binary(program)]
        command += [str(argument) for argument in arguments]
        done = self._account.spawn(command, self._log)
        assert done.wait(START_SECONDS) == 0, self._log.read_text()[-2000:]

    def start(self, **settings: str) -> None:
        """Starts it, and waits until it answers."""
        command: list[str | Path] = [_postgres_binary("postgres"), "-D", self.folder]
        for name, value in (SETTINGS | {"port": str(self.port)} | settings).items():
            command += ["-c", f"{name}={value}"]
        self._process = self._account.spawn(command, self._log)
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                self.ask("SELECT 1")
            except psycopg.OperationalError:
                assert time.monotonic() < until, self._log.read_text()[-2000:]
                time.sleep(0.05)
            else:
                return

    def ask(self, query: str) -> Any:
        """The first value of an answer; None if it gives no rows."""
        with postgres_url.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(query)
            row = cursor.fetchone() if cursor.description else None
            return row and row[0]

    def signal(self, number: signal.Signals) -> None:
        """To all its processes: SIGSTOP freezes it, as a machine that stands still does."""
        assert self._process
        postmaster = psutil.Process(self._process.pid)
        # the postmaster first: it must make no new ones
        for process in (postmaster, *postmaster.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def kill(self) -> None:
        """Ends it, frozen or not."""
        if self._process and self._process.poll() is None:
            self.signal(signal.SIGKILL)
            self._process.wait()

    @property
    def _log(self) -> Path:
        return self.folder.with_suffix(".log")


class Replicas:
    """The two."""

    def __init__(self, primary: Node, standby: Node) -> None:
        self.primary = primary
        self.standby = standby

    def url(self, database: str) -> str:
        """That names both."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in (self.primary, self.standby))
        return f"postgresql://{USER}@{hosts}/{database}"

    def promote(self) -> None:
        """Makes the standby a primary."""
        self.standby.ask("SELECT pg_promote(true)")


@contextmanager
def replicas(folder: Path) -> Iterator[Replicas]:
    """Both, running; a commit of the primary is done when the standby has written it."""
    folder.mkdir()
    account = _Account.choose(folder)
    account.make_folder(folder / "nodes")
    nodes = [Node(account, folder / "nodes" / name, free_port()) for name in ("first", "second")]
    primary, standby = nodes
    account.make_folder(primary.folder)
    account.make_folder(standby.folder)
    try:
        options = ["--auth=trust", "--no-sync", "--locale=C", "--encoding=UTF8"]
        primary.run("initdb", "-D", primary.folder, "-U", USER, *options)
        primary.start(synchronous_standby_names="*")
        source = f"host=127.0.0.1 port={primary.port} user={USER}"
        standby.run(
            "pg_basebackup", "-D", standby.folder, "-d", source, "-R", "-c", "fast", "--no-sync"
        )
        standby.start()
        yield Replicas(primary, standby)
    finally:
        for node in nodes:
            node.kill()
