"""WeChat's simulator, as a process of its own."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


class Simulated(NamedTuple):
    """The simulator that runs: where, the settings of its merchant, and its memory."""

    url: str
    settings: dict[str, str]
    folder: Path

    def environment(self, notify_url: str) -> dict[str, str]:
        """The variables of a server whose merchant this is."""
        named = {f"DEEPTRAVEL_{name.upper()}": value for name, value in self.settings.items()}
        return named | {"DEEPTRAVEL_WECHAT_NOTIFY_URL": notify_url}


@contextmanager
def simulator(folder: Path) -> Iterator[Simulated]:
    """Runs it, with its memory in `folder`."""
    ready = folder / "ready.json"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tools.dev.wechat_simulator", "serve", "--port", "0"),
            *("--folder", folder, "--ready-file", ready, "--until-input-ends"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    try:
        while not ready.exists():
            time.sleep(0.05)
        merchant = json.loads(ready.read_text())
        yield Simulated(merchant["url"], merchant["settings"], folder)
    finally:
        assert process.stdin
        process.stdin.close()
        process.wait()
