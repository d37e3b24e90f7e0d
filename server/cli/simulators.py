"""WeChat simulated beside a server that runs embedded and has no merchant: a process of its own, ended with this one.

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

import structlog

from server.platform.config import Settings, load_settings
from server.platform.errors import StartError

PACKAGE = Path(__file__).parents[2] / "tools" / "wechat_simulator"
"""In the repository; an installed wheel is without it."""
START_SECONDS = 60.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.05


REAL_MERCHANT = "set the DEEPTRAVEL_WECHAT_… settings of your merchant"
SIMULATED_MERCHANT = (
    "or simulate WeChat: `python -m tools.wechat_simulator serve`, then start this server again after"
    ' `eval "$(python -m tools.wechat_simulator settings)"`'
)

log = structlog.get_logger()


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
        root = str(PACKAGE.parents[1])
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        command = [sys.executable, "-m", "tools.wechat_simulator", "serve", "--until-input-ends"]
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
def open_wechat(settings: Settings, *, embedded: bool) -> Iterator[WechatSimulator | None]:
    """A simulator to be started, ended with the block, if everything else runs embedded and no merchant is given.

    None otherwise, and where the repository's tools are not: then nobody can pay.
    """
    if settings.wechat_merchant_id or not embedded or not PACKAGE.is_dir():
        yield None
        return
    simulator = WechatSimulator((settings.data_dir / "wechat").resolve())
    try:
        yield simulator
    finally:
        simulator.stop()


def warn_if_nobody_can_pay(settings: Settings) -> None:
    """Says in the log, and how to mend it, that there is no WeChat merchant, neither a real nor a simulated one."""
    if settings.wechat_merchant_id is None:
        remedy = f"{REAL_MERCHANT}, {SIMULATED_MERCHANT}" if PACKAGE.is_dir() else REAL_MERCHANT
        log.warning("wechat.missing", effect="travellers can neither log in nor pay", remedy=remedy)


def with_merchant(settings: Settings, simulator: WechatSimulator | None) -> Settings:
    """The settings with the simulator's merchant, if there is one. Raises StartError."""
    if simulator is None:
        return settings
    checked = load_settings(**simulator.merchant())
    fresh = {name: getattr(checked, name) for name in wechat_settings(settings)}
    return settings.model_copy(update=fresh)


def wechat_settings(settings: Settings) -> dict[str, str | None]:
    """The settings about WeChat as a worker process takes them, secrets included."""
    found: dict[str, str | None] = {}
    for name in type(settings).model_fields:
        if name.startswith("wechat_"):
            value = getattr(settings, name)
            plain = value.get_secret_value() if hasattr(value, "get_secret_value") else value
            found[name] = None if plain is None else str(plain)
    return found
