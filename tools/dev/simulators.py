"""WeChat simulated beside a server that runs embedded and has no merchant: a process of its own,
ended with this one.

Whoever runs by URLs starts one by hand, if it is wanted, and is told how.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from server.platform.config import Settings
from server.platform.errors import StartError

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
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begins to start it; the folder must be this server's."""
        folder = self._folder
        folder.mkdir(parents=True, exist_ok=True)
        self._ready.unlink(missing_ok=True)
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        command = [
            sys.executable,
            "-m",
            "tools.dev.wechat_simulator",
            "serve",
            "--until-input-ends",
        ]
        command += ["--folder", str(folder), "--port", "0", "--ready-file", str(self._ready)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.PIPE,  # closed by the kernel if we die, which ends it
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches us, and we tell it
            )

    def merchant(self) -> dict[str, str]:
        """Settings with which we are its merchant, once it serves. Raises StartError."""
        assert self._process
        until = time.monotonic() + START_SECONDS
        while not self._ready.exists():
            if self._process.poll() is not None or time.monotonic() > until:
                last = (self._log.read_text(errors="replace").strip().splitlines() or ["nothing"])[
                    -1
                ]
                raise StartError(
                    f"the WeChat simulator did not start; its last words in {self._log}: {last}"
                )
            time.sleep(POLL_SECONDS)
        settings: dict[str, str] = json.loads(self._ready.read_text())["settings"]
        return settings

    def stop(self) -> None:
        """Ends it; what it knows stays in the folder."""
        if self._process is None:
            return
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def open_wechat(settings: Settings) -> Iterator[WechatSimulator]:
    """A simulator over the data folder, to be started, ended with the block."""
    simulator = WechatSimulator((settings.data_dir / "wechat").resolve())
    try:
        yield simulator
    finally:
        simulator.stop()
