"""The end of the screen: its window was closed, or its line was cut.

A program that ignores the signal of that (SIGHUP), since `nohup` or a shell says so, would go on
without anybody, and read the end of its input for ever.
"""

import os
import select
import sys
import threading
from collections.abc import Callable

LOOK_MS = 500
"""Between two looks, where a hang-up wakes nobody by itself; that of a window does."""
GRACE_SECONDS = 10.0


def follow(fd: int, ended: Callable[[], object]) -> None:
    """Has `ended` called, from a thread, when nobody is at the screen `fd` any more.

    Nothing is written to it from then on. A program that has not ended after the grace, since it
    waits for what the screen was to take, is ended here: what is to be kept is on the disk.
    """

    def watch() -> None:
        looks = select.poll()
        looks.register(fd, 0)  # a hang-up is reported in any case
        while not looks.poll(LOOK_MS):
            pass
        _write_nowhere()
        ended()
        threading.Event().wait(GRACE_SECONDS)
        os._exit(0)

    threading.Thread(target=watch, name="screen-end", daemon=True).start()


def _write_nowhere() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (sys.__stdin__, sys.__stdout__, sys.__stderr__):
        if stream is not None:
            os.dup2(nowhere, stream.fileno())
