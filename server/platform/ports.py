"""Ports to listen on, and what to tell a person who cannot have one."""

import contextlib
import errno
import socket
from collections.abc import Iterator

from server.platform.config import Settings
from server.platform.errors import StartError

BACKLOG = 2048


def listen(host: str, port: int, setting: str, *, shared: bool = False) -> list[socket.socket]:
    """Listening sockets on every address of `host`, all on one port; 0 takes a free one.

    `shared` lets other processes of this user listen on the same port, if all of them say so.
    `setting` is the variable to name in the StartError that is raised if the port cannot be had.
    """
    sockets = bind(host, port, setting, shared=shared)
    for each in sockets:
        each.listen(BACKLOG)
        each.setblocking(False)
    return sockets


def bind(host: str, port: int, setting: str, *, shared: bool = False) -> list[socket.socket]:
    """As `listen`, but only keeps the port from others."""
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(found):
            each = socket.socket(family, kind, protocol)
            sockets.append(each)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            each.bind((address[0], port, *address[2:]))
            port = int(each.getsockname()[1])
    except OSError as error:
        for each in sockets:
            each.close()
        raise _refused(error, host, port, setting) from error
    return sockets


def require_free(host: str, port: int, setting: str) -> None:
    """Nothing, if a server could listen there now. Raises StartError."""
    for each in listen(host, port, setting):
        each.close()


@contextlib.contextmanager
def kept(settings: Settings) -> Iterator[Settings]:
    """Keeps all ports from others until the block ends; nobody is answered there yet.

    Gives the settings with the ports' numbers, also where they say 0. In the block this user's
    processes listen there as sharers. Raises StartError.
    """
    with contextlib.ExitStack() as stack:
        chosen = {}
        for name, address in settings.listeners.items():
            require_free(*address)  # sharing is for our own processes alone
            sockets = bind(*address, shared=True)
            for each in sockets:
                stack.enter_context(each)
            chosen[name] = int(sockets[0].getsockname()[1])
        yield settings.model_copy(update=chosen)


def _refused(error: OSError, host: str, port: int, setting: str) -> StartError:
    if error.errno == errno.EADDRINUSE:
        return StartError(f"port {port} is taken: stop the other server or set {setting}_PORT")
    if error.errno == errno.EACCES:
        return StartError(f"port {port} needs root: set {setting}_PORT to one from 1024 on")
    return StartError(f"{host} is no address of this machine ({error}): set {setting}_HOST")
