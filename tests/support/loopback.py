"""Tests reach no other machine."""

import ipaddress
import socket
import sys
from typing import Any


def _is_local(host: object) -> bool:
    if host in (None, "", "localhost", b"localhost"):
        return True
    try:
        return ipaddress.ip_address(
            host.decode() if isinstance(host, bytes) else str(host)
        ).is_loopback
    except ValueError:
        return False


def _refuse_distant(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and arguments[0].family in (socket.AF_INET, socket.AF_INET6):
        host = arguments[1][0]
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if not _is_local(host):
        raise ConnectionRefusedError(f"a test tried to reach {host!r}: only localhost is allowed")


def guard() -> None:
    """From now on this process opens Python sockets to the loopback only."""
    sys.addaudithook(_refuse_distant)
