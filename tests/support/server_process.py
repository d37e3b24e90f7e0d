"""The real server as a process of its own, started by the command line as a person starts it, or
in tests forked (`tests.support.forking`).
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

import grpc
import psutil
from deeptravel.redemption.v1 import access_pb2, redemption_service_pb2_grpc

from tests.support import forking, runs
from tools.dev.embedded import become

START_SECONDS = 90.0
STOP_SECONDS = 60.0
COMMAND_SECONDS = 240.0
"""A demo that makes a server for itself starts one with nothing there: on a busy machine longer
than a server that goes on.
"""
MODULE = "server"
REAL = (sys.executable, "-m", MODULE)
"""The command that starts as a person's does, by a new Python."""
WORKER = "server.cli.worker"
"""What one of several processes runs."""
OPERATIONS = re.compile(r"metrics on http://\S+:(\d+)/metrics, channelz on \S+:(\d+)")
SERVING = re.compile(r"gRPC on \S+:(\d+) and HTTP on \S+:(\d+)")


class NotServingError(AssertionError):
    """The server ended, or said nothing for START_SECONDS, before it served."""


class ServerProcess:
    """`deeptravel serve` on free ports, ready when the block begins and gone, gently, at its end.

    Without URLs in `env` it runs its own PostgreSQL and Valkey in `data_dir`, with demo data.
    With a `command` it starts for real; else it is forked if `runs.forks` says so.

    Attributes:
        grpc_port: gRPC, on 127.0.0.1.
        http_port: HTTP, on 127.0.0.1.
        process: the running command; with several workers their parent.
    """

    grpc_port: int
    http_port: int

    def __init__(
        self,
        *arguments: str,
        data_dir: Path,
        env: Mapping[str, str] | None = None,
        command: Sequence[str | Path] = (),
        cwd: Path | None = None,
    ) -> None:
        self.data_dir = data_dir
        if runs.workers > 1 and "--workers" not in arguments:
            arguments = ("--workers", str(runs.workers), *arguments)
        self._arguments = ("serve", *arguments)
        self._command = command
        self._cwd = cwd
        self._env = env or {}
        self._output: list[str] = []
        self._ready = threading.Event()
        self._log = data_dir / "server.log"

    @property
    def target(self) -> str:
        """For a gRPC channel."""
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def url(self) -> str:
        """Where the JSON interface begins."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def operations_url(self) -> str:
        """Where metrics are."""
        return f"http://127.0.0.1:{self._operations_ports[0]}"

    @property
    def channelz_target(self) -> str:
        """For a gRPC channel to channelz."""
        return f"127.0.0.1:{self._operations_ports[1]}"

    @property
    def _operations_ports(self) -> tuple[str, str]:
        deadline = time.monotonic() + START_SECONDS
        while not (found := OPERATIONS.search(self.output)):
            assert time.monotonic() < deadline, self.output
            time.sleep(0.01)
        return found[1], found[2]

    @property
    def credentials(self) -> dict[str, Any]:
        """The demo credentials."""
        content: dict[str, Any] = json.loads((self.data_dir / "demo-credentials.json").read_text())
        return content

    @property
    def output(self) -> str:
        """What it printed so far."""
        return "".join(self._output)

    @property
    def log(self) -> str:
        """What it logged so far."""
        return self._log.read_text()

    @property
    def log_lines(self) -> list[dict[str, Any]]:
        """What it logged so far, as far as it is JSON."""
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]

    def metadata(self, role: str = "operator") -> tuple[tuple[str, str], ...]:
        """What a call carries of somebody just logged in: `operator`, `supervisor`, or
        `partner`.
        """
        credentials = self.credentials
        if role == "partner":
            return (("x-api-key", credentials["partner_api_key"]),)
        with grpc.insecure_channel(self.target) as channel:
            stub = redemption_service_pb2_grpc.RedemptionServiceStub(channel)
            tokens = stub.OperatorLogin(
                access_pb2.OperatorLoginRequest(
                    **credentials[role], terminal_device_id=credentials["terminal_device_id"]
                )
            )
        return (("authorization", f"Bearer {tokens.access_token}"),)

    def start(self) -> Self:
        """Starts it, and waits until it serves. Raises NotServingError."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        settings = {
            "DEEPTRAVEL_DATA_DIR": str(self.data_dir),
            "DEEPTRAVEL_GRPC_PORT": "0",
            "DEEPTRAVEL_HTTP_PORT": "0",
            "DEEPTRAVEL_OPERATIONS_GRPC_PORT": "0",
            "DEEPTRAVEL_OPERATIONS_HTTP_PORT": "0",
            "DEEPTRAVEL_LOG_FORMAT": "json",
        }
        if runs.transport:
            settings["DEEPTRAVEL_TRANSPORT"] = runs.transport
        with self._log.open("ab") as log:
            self.process = self._begun(environment() | settings | dict(self._env), log)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        in_time = self._ready.wait(START_SECONDS)
        found = SERVING.search(self.output)
        if not found:
            if not in_time:
                self.kill()
            code = self.process.wait(STOP_SECONDS)
            self._close_output()
            raise NotServingError(f"exit code {code}: {self.output}\n{self.log[-4000:]}")
        self.grpc_port, self.http_port = int(found[1]), int(found[2])
        return self

    def _begun(
        self, env: Mapping[str, str], log: IO[bytes]
    ) -> subprocess.Popen[str] | forking.Forked:
        if runs.forks and not self._command:
            return forking.Forked(MODULE, *self._arguments, env=env, cwd=self._cwd, stderr=log)
        return subprocess.Popen(
            [*_tied_to_us(), *(self._command or REAL), *self._arguments],
            cwd=self._cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )

    def terminate(self) -> int:
        """SIGTERM; its exit code when it is gone."""
        return self.signal(signal.SIGTERM)

    def kill(self) -> int:
        """SIGKILL, as a crash; its exit code when all its processes are gone."""
        killed = self.crash()
        code = self.process.wait(STOP_SECONDS)
        psutil.wait_procs(killed, timeout=STOP_SECONDS)
        return code

    def crash(self) -> list[psutil.Process]:
        """SIGKILL to all its processes, waiting for none: workers whose parent alone is killed
        would end gently.
        """
        with contextlib.suppress(psutil.NoSuchProcess):
            killed = self.processes
            for each in killed:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
            return killed
        return []

    @property
    def processes(self) -> list[psutil.Process]:
        """The command and its workers. Raises psutil.NoSuchProcess if it is gone."""
        parent = psutil.Process(self.process.pid)
        workers = [each for each in parent.children() if WORKER in each.cmdline()]
        return [parent, *workers]

    def signal(self, number: signal.Signals) -> int:
        """Any signal that ends it; its exit code."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            try:
                self.terminate()
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        self._close_output()

    def _close_output(self) -> None:
        self._reader.join()
        assert self.process.stdout
        self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._output.append(line)
            if SERVING.search(line):
                self._ready.set()
        self._ready.set()


def environment() -> dict[str, str]:
    """This process's, without settings of ours."""
    return {k: v for k, v in os.environ.items() if not k.startswith("DEEPTRAVEL_")}


def run_command(
    *arguments: str, env: Mapping[str, str], text: str = "", real: bool = False
) -> subprocess.CompletedProcess[str]:
    """A command of `deeptravel` that ends by itself, forked or `real`, with `text` to read.

    Raises subprocess.TimeoutExpired.
    """
    env = environment() | dict(env)
    if not real:
        return forking.run(MODULE, *arguments, env=env, text=text, timeout=COMMAND_SECONDS)
    return subprocess.run(
        [*REAL, *arguments],
        env=env,
        input=text,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )


def _tied_to_us() -> list[str]:
    """Ends the server with the tests, however they end; the kernel ties it to the thread, so
    only in the main one.
    """
    tied = threading.current_thread() is threading.main_thread()
    launch = [sys.executable, "-I", "-S", become.__file__]
    return [*launch, str(os.geteuid()), str(os.getegid()), "0", str(int(tied))]
