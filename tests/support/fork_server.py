"""A process that has loaded the server's modules, and forks itself for each process that a test
starts: `python -m tests.support.fork_server FD MODULE…`, started by `tests.support.forking`.

It makes no connection, thread, event loop or gRPC object before it forks. On the socket FD it is
given a connection for each request: one line of JSON, and the child's three standard streams. It
answers there twice, by an `ANSWER` of the child when it is what it shall be, and by one when it has
ended. The server ends when FD's other end is closed, that is with whoever started it, and the
kernel then sends SIGTERM to its children, on Linux: SIGINT may be ignored, as all do that a shell
starts in the background.
"""

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import struct
import sys
import time
from typing import TypedDict

from tools.dev.embedded.become import PR_SET_PDEATHSIG

ANSWER = struct.Struct("!ii")
"""Process id, and exit code (negative: the signal); 0 while it runs."""
STREAMS = 3
MOST_BYTES = 1 << 20
"""Of a request, at once."""


class Request(TypedDict):
    """What a child shall be."""

    module: str
    arguments: list[str]
    env: dict[str, str]
    cwd: str


class Server:
    """Forks, and says how the children ended."""

    def __init__(self, asked: socket.socket) -> None:
        self._asked = asked
        self._children: dict[int, socket.socket] = {}
        self._woken, self._waking = socket.socketpair()
        self._waking.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waking.fileno())

    def run(self) -> Request | None:
        """Returns in each child, with what it shall be, and at the end with None."""
        with selectors.DefaultSelector() as selector:
            for source in (self._asked, self._woken):
                selector.register(source, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._woken:
                        self._woken.recv(MOST_BYTES)
                        self._bury()
                        continue
                    _, given, _, _ = socket.recv_fds(self._asked, 1, 1)
                    if not given:
                        return None
                    request = self._fork(socket.socket(fileno=given[0]))
                    if request is not None:
                        return request

    def _fork(self, connection: socket.socket) -> Request | None:
        content, streams, _, _ = socket.recv_fds(connection, MOST_BYTES, STREAMS)
        while not content.endswith(b"\n"):
            content += connection.recv(MOST_BYTES)
        request: Request = json.loads(content)
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            with connection:
                self._leave()
                _become(request, streams, parent)
                connection.sendall(ANSWER.pack(os.getpid(), 0))
            return request
        for stream in streams:
            os.close(stream)
        self._children[pid] = connection
        return None

    def _leave(self) -> None:
        """A child has nothing of ours."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for each in (self._asked, self._woken, self._waking, *self._children.values()):
            each.close()

    def _bury(self) -> None:
        for pid, connection in list(self._children.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._children[pid]
                with connection, contextlib.suppress(BrokenPipeError):  # nobody wants to know
                    connection.sendall(ANSWER.pack(pid, os.waitstatus_to_exitcode(status)))


def _become(request: Request, streams: list[int], parent: int) -> None:
    os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it died before the kernel knew our wish
            sys.exit(1)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    os.chdir(request["cwd"])


class _QuickEnd:
    """Ends a child when all else of its exit is done: threads joined, `atexit` run.

    Python would then take all modules apart, for which the system copies 75 MB that the child
    shares with us: 0.1 s. What ends by an exception or a signal ends as ever.
    """

    def __init__(self) -> None:
        self.code: int | None = None
        atexit.register(self._end)  # the first one is called last

    def _end(self) -> None:
        if self.code is not None:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(self.code)


def main() -> None:
    """Runs until the tests end; in a child all that it does, too."""
    quick_end = _QuickEnd()
    gc.disable()
    for name in sys.argv[2:]:
        importlib.import_module(name)
    gc.freeze()
    request = Server(socket.socket(fileno=int(sys.argv[1]))).run()
    if request is not None:
        gc.enable()
        sys.argv[1:] = request["arguments"]
        try:
            runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
        except SystemExit as error:
            if isinstance(error.code, int | None):
                quick_end.code = error.code or 0
            raise


if __name__ == "__main__":
    main()
