"""Where PostgreSQL and Redis are. The server takes two URLs; whose services they name is its
caller's affair.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from server.platform.config import Settings
from server.platform.loops import Loop, Loops

CONNECT_SECONDS = 5


class Child(Protocol):
    """A service that this process runs as a child of its own."""

    name: str

    async def keep(self) -> None:
        """Starts it again whenever it has died, until it is cancelled."""


@dataclass(frozen=True)
class Places:
    """The two URLs, and whether the services are of the data folder.

    Attributes:
        database_url: of PostgreSQL, as libpq writes it.
        redis_url: of a Redis or a cluster.
        embedded: whether they run over the data folder, here or in another process.
        children: those that this process runs.
    """

    database_url: str
    redis_url: str
    embedded: bool = False
    children: Sequence[Child] = field(default=(), repr=False, compare=False)

    @property
    def for_workers(self) -> dict[str, Any]:
        """What another process of the same server is given."""
        return {
            "database_url": self.database_url,
            "redis_url": self.redis_url,
            "embedded": self.embedded,
        }

    def keep(self, loops: Loops) -> list[Loop]:
        """Has the services that this process runs started again when they die; end the loops before
        the services.
        """
        kept = []
        for child in self.children:
            kept.append(loops.add(f"embedded {child.name}", child.keep))
            kept[-1].start()
        return kept


OpenPlaces = Callable[[Settings], AbstractContextManager[Places]]
"""Finds the services of some settings, or runs them to the end of the block. Raises StartError."""
