"""Ports for servers that are started again at the same place.

They are below those that a system gives to whoever asks for any port (from 32768 on in Linux, from
49152 on elsewhere), so that nobody takes them while their server is away.
"""

import os
import random
import socket

LOWEST, EACH = 16_000, 500
"""Each of pytest's workers has so many of its own."""
WORKERS = 8

_given: set[int] = set()


def free_port(*, also: int = 0) -> int:
    """A port of 127.0.0.1 that nobody has; with `also` the one that much above it is free too."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
    begin = LOWEST + worker * EACH
    for port in random.sample(range(begin, begin + EACH), EACH):
        if port not in _given and all(_is_free(each) for each in {port, port + also}):
            _given.add(port)
            return port
    raise AssertionError("no port is free")


def _is_free(port: int) -> bool:
    with socket.socket() as trying:
        trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trying.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
