"""Ports for servers that are started again at the same place.

They are below those that a system gives to whoever asks for any port (from 32768 on in Linux, from
49152 on elsewhere), so that nobody takes them while their server is away; nor does another run of
tests on this machine, since each port is locked until this process ends.
"""

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

LOWEST, EACH = 16_000, 500
"""Each of pytest's workers has so many of its own."""
WORKERS = 8

_given: set[int] = set()
_locked: dict[int, int] = {}
"""Descriptors of the files whose locks say that a port is ours."""


def free_port(*, also: int = 0) -> int:
    """A port of 127.0.0.1 that nobody has; with `also` the one that much above it is free too."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
    begin = LOWEST + worker * EACH
    for port in random.sample(range(begin, begin + EACH), EACH):
        wanted = {port, port + also}
        if port not in _given and all(_is_ours(each) and _is_free(each) for each in wanted):
            _given.add(port)
            return port
    raise AssertionError("no port is free")


def _is_ours(port: int) -> bool:
    """Whether no other process that tests has it; from then on none will."""
    if port in _locked:
        return True
    folder = Path(tempfile.gettempdir()) / f"deeptravel-test-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(folder / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return False
    _locked[port] = lock
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as trying:
        trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trying.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
