"""A PostgreSQL that a killed server left running over its data folder."""

import contextlib
import signal
import time
from pathlib import Path

import psutil


def end_postgres(folder: Path, seconds: float, poll_seconds: float) -> int | None:
    """Ends the one over `folder`; gives its process id if it does not end within `seconds`.

    None too if there is none. The caller holds the folder's lock, so no living server of ours can
    own what is found here.
    """
    pid_file = folder / "postmaster.pid"
    leftover = None
    with contextlib.suppress(FileNotFoundError, ValueError, psutil.Error):
        process = psutil.Process(int(pid_file.read_text().split("\n", 1)[0]))
        leftover = process if str(folder) in process.cmdline() and _is_alive(process) else None
    if leftover is None:
        return None
    for how in (signal.SIGINT, signal.SIGQUIT):
        with contextlib.suppress(psutil.NoSuchProcess):
            leftover.send_signal(how)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not _is_alive(leftover):
                return None
            time.sleep(poll_seconds)
    return leftover.pid


def _is_alive(process: psutil.Process) -> bool:
    # In a container whose first process does not collect orphans, the dead stay as zombies.
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
