"""What tests may connect to."""

import asyncio
import socket
from pathlib import Path

import pytest

DISTANT = "192.0.2.1"  # of documentation: nobody's


def test_no_test_reaches_another_machine() -> None:
    """By none of the ways there are. `pytest-socket` sees the first of them alone."""
    with socket.socket() as one, pytest.raises(ConnectionRefusedError, match="only localhost"):
        one.connect((DISTANT, 80))
    with socket.socket() as one, pytest.raises(ConnectionRefusedError, match="only localhost"):
        one.connect_ex((DISTANT, 80))
    with pytest.raises(ConnectionRefusedError, match="only localhost"):
        socket.getaddrinfo("example.org", 80)


async def test_no_coroutine_reaches_another_machine() -> None:
    for host in (DISTANT, "example.org"):
        with pytest.raises(ConnectionRefusedError, match="only localhost"):
            await asyncio.open_connection(host, 80)


def test_this_machine_is_reached(tmp_path: Path) -> None:
    with socket.socket() as listening, socket.socket() as one:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        one.connect(("localhost", listening.getsockname()[1]))
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as one:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        one.connect(str(tmp_path / "s"))
