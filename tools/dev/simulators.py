"""WeChat simulated beside a server that runs embedded and has no merchant: a process of its own,
ended with this one.

Like the services that run embedded it is started again when it dies, where it was, with what it
knew. Whoever runs by URLs starts one by hand, if it is wanted; the server says how.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from server.platform.config import Settings
from server.platform.errors import StartError
from tools.dev.embedded.child import Child

ROOT = Path(__file__).parents[2]
"""Where `tools` is imported from."""
START_SECONDS = 60.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.05


class WechatSimulator:
    """The process: to be started, starting or running.

    Args:
        folder: its keys and state, taken up again at each start.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ready = folder / "ready.json"
        self._log = folder / "simulator.log"
        self._port = 0  # any, until it has one: whoever learnt of it keeps that address
        self._child: Child | None = None

    @property
    def children(self) -> list[Child]:
        """Its process; whoever runs for long keeps it."""
        return [self._child] if self._child else []

    def start(self) -> None:
        """Begins to start it; the folder must be this server's."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._log.write_bytes(b"")
        self._child = Child("WeChat simulator", self._spawn, self._answers, self._log)

    def merchant(self) -> dict[str, str]:
        """Settings with which we are its merchant, once it serves. Raises StartError."""
        assert self._child
        until = time.monotonic() + START_SECONDS
        while not self._ready.exists():
            if self._child.process.poll() is not None or time.monotonic() > until:
                last = (self._log.read_text(errors="replace").strip().splitlines() or ["nothing"])[
                    -1
                ]
                raise StartError(
                    f"the WeChat simulator did not start; its last words in {self._log}: {last}"
                )
            time.sleep(POLL_SECONDS)
        announced = json.loads(self._ready.read_text())
        self._port = urlsplit(announced["url"]).port or 0
        settings: dict[str, str] = announced["settings"]
        return settings

    def stop(self) -> None:
        """Ends it; what it knows stays in the folder."""
        if self._child is None:
            return
        process = self._child.process
        assert process.stdin
        process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _spawn(self) -> subprocess.Popen[bytes]:
        if self._child and self._child.process.stdin:
            self._child.process.stdin.close()
        self._ready.unlink(missing_ok=True)
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        command = [sys.executable, "-m", "tools.dev.wechat_simulator", "serve"]
        command += ["--until-input-ends", "--folder", str(self._folder), "--port", str(self._port)]
        command += ["--ready-file", str(self._ready)]
        with self._log.open("ab") as log:
            return subprocess.Popen(
                command,
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.PIPE,  # closed by the kernel if we die, which ends it
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches us, and we tell it
            )

    def _answers(self) -> bool:
        if not self._ready.exists():
            return False
        try:
            socket.create_connection(("127.0.0.1", self._port), START_SECONDS).close()
        except OSError:
            return False
        return True


@contextlib.contextmanager
def open_wechat(settings: Settings) -> Iterator[WechatSimulator]:
    """A simulator over the data folder, to be started, ended with the block."""
    simulator = WechatSimulator((settings.data_dir / "wechat").resolve())
    try:
        yield simulator
    finally:
        simulator.stop()
