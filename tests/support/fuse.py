"""Kills a process of ours at a boundary: an error that nothing catches, before or after each commit
and each call to a vendor.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from server.channels.http_pool import HttpPool
from server.platform.database import Database


class KilledError(BaseException):
    """The process is no more."""


class Fuse:
    """Kills at the boundary with this number; each has one before and one after."""

    def __init__(self) -> None:
        self.left = -1

    def burn(self) -> None:
        if self.left == 0:
            raise KilledError
        self.left -= 1

    def around(self, work: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def run(*arguments: Any, **named: Any) -> Any:
            self.burn()
            done = await work(*arguments, **named)
            self.burn()
            return done

        return run

    @classmethod
    def of(cls, monkeypatch: pytest.MonkeyPatch) -> "Fuse":
        """Around what this process writes and calls."""
        made = cls()
        monkeypatch.setattr(Database, "in_transaction", made.around(Database.in_transaction))
        monkeypatch.setattr(HttpPool, "send", made.around(HttpPool.send))
        return made
