"""Processes of `python -m MODULE …` that are forked from one which has loaded the server's modules
(`tests.support.fork_server`): a start costs a twentieth of the CPU.

Each is a process of its own, with its own id, session, standard streams, environment, working
folder, signals and exit code, and is sent SIGTERM when the tests end, however they do. MODULE
itself is run as `python -m` runs it. What differs from a real start:

- the modules are loaded already, in one order, and some that the command might never load, and
  what calls are checked by is made of the contract; so a test of what is loaded, in which order,
  or how long it takes starts for real;
- what Python reads of the environment or options when it starts is the tests' (`READ_AT_START`;
  other values are refused); hashes of strings are the same in all processes of a worker of pytest;
- `sys.path` begins with the tests' folder, not with `cwd`;
- the parent is the fork server, the command line that the system shows is its, and the standard
  streams are buffered as they are for files, not as for a terminal;
- its modules are not taken apart at its end, after threads and `atexit`;
- random numbers are not the same: Python seeds `random` anew in a forked process, all else asks
  the system.

Workers of `serve --workers`, PostgreSQL, Valkey and simulators are started by it as ever.
"""

import atexit
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from tests.support.fork_server import ANSWER, Request

ROOT = Path(__file__).parents[2]
READ_AT_START = ("PYTHON", "LC_", "LANG", "LD_")
"""What variables begin with that a process reads before it runs anything of ours."""
LOADED = (
    # in the order of `server.__main__`, which itself is run anew in each process
    *("typer", "server.cli.audit_commands", "server.cli.gtfs_feeds"),
    *("server.cli.development", "server.operations.data_folder", "server.platform.ports"),
    *("tools.dev.demo_data", "server.operations.preparation", "server.cli.serving"),
    *("server.cli.welcome", "server.operations.doctor", "alembic.command", "psutil"),
    "tests.support.prepared",
)
LOAD_SECONDS = 240.0


class Forked:
    """A process; what `subprocess.Popen` has of the same name is the same.

    Attributes:
        pid: of the process.
        returncode: None until `poll` or `wait` saw that it has ended.
        stdout: what it prints, if a pipe was asked for.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        env: Mapping[str, str],
        cwd: Path | None = None,
        stdin: IO[bytes] | int = subprocess.DEVNULL,
        stdout: IO[bytes] | int = subprocess.PIPE,
        stderr: IO[bytes],
    ) -> None:
        _require_same_start(env)
        self.args = ["python", "-m", module, *arguments]
        self.returncode: int | None = None
        self.stdout: IO[str] | None = None
        with contextlib.ExitStack() as passed:
            if stdin == subprocess.DEVNULL:
                stdin = passed.enter_context(Path(os.devnull).open("rb"))
            if stdout == subprocess.PIPE:
                ours, theirs = os.pipe()
                self.stdout = os.fdopen(ours, encoding="utf-8")
                stdout = passed.enter_context(os.fdopen(theirs, "wb"))
            streams = [each if isinstance(each, int) else each.fileno() for each in (stdin, stdout)]
            request = Request(
                module=module,
                arguments=list(arguments),
                env=dict(env),
                cwd=str(cwd or Path.cwd()),
            )
            self._connection = _connect()
            weakref.finalize(self, self._connection.close)
            content = json.dumps(request).encode() + b"\n"
            sent = socket.send_fds(self._connection, [content], [*streams, stderr.fileno()])
            self._connection.sendall(content[sent:])
            self.pid, _ = self._answer(LOAD_SECONDS, peek=False)

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, when it has ended. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            # it stays to be read by other threads that wait
            _, self.returncode = self._answer(timeout, peek=True)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends a signal, if it has not ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _answer(self, timeout: float | None, *, peek: bool) -> tuple[int, int]:
        waiting = select.poll()
        waiting.register(self._connection, select.POLLIN)
        if not waiting.poll(None if timeout is None else timeout * 1000):
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        flags = socket.MSG_WAITALL | (socket.MSG_PEEK if peek else 0)
        content = self._connection.recv(ANSWER.size, flags)
        if len(content) < ANSWER.size:
            raise ChildProcessError("it, or the fork server, ended too early: see what was said")
        pid, code = ANSWER.unpack(content)
        return pid, code


def run(
    module: str, *arguments: str, env: Mapping[str, str], text: str = "", timeout: float
) -> subprocess.CompletedProcess[str]:
    """Runs it to its end, `text` as its standard input. Raises subprocess.TimeoutExpired."""
    with (
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        given.write(text.encode())
        given.seek(0)
        ran = Forked(module, *arguments, env=env, stdin=given, stdout=out, stderr=err)
        try:
            code = ran.wait(timeout)
        finally:
            ran.kill()
        said = [_content(each) for each in (out, err)]
    return subprocess.CompletedProcess(ran.args, code, *said)


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def _require_same_start(env: Mapping[str, str]) -> None:
    for name in {*env, *os.environ}:
        if name.startswith(READ_AT_START) and env.get(name) != os.environ.get(name):
            raise ValueError(f"{name} is read when Python starts: start the process for real")


class _Loaded:
    """The fork server of this process, started at the first need."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asking: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, connection: socket.socket) -> None:
        """Gives it the other end of a connection, on which it takes a request."""
        with self._lock:
            if self._asking is None:
                self._asking, theirs = socket.socketpair()
                with theirs:
                    number = theirs.fileno()
                    self._process = subprocess.Popen(
                        [sys.executable, "-m", "tests.support.fork_server", str(number), *LOADED],
                        cwd=ROOT,
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        pass_fds=[number],
                        start_new_session=True,
                    )
                atexit.register(self._end)
            socket.send_fds(self._asking, [b"\n"], [connection.fileno()])

    def _end(self) -> None:
        assert self._asking
        assert self._process
        self._asking.close()
        self._process.wait()


_loaded = _Loaded()


def _connect() -> socket.socket:
    ours, theirs = socket.socketpair()
    with theirs:
        _loaded.ask(theirs)
    return ours
