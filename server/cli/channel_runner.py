"""What runs a command of `deeptravel channels`, and what several of them take."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from server.audit.records import By
from server.platform.config import Settings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from server.platform.database import Database

Work = Callable[["AsyncConnection", bytes, By], Awaitable[Any]]
Code = Annotated[str, typer.Argument(help="The channel's code here, e.g. CTRIP-1.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many at the most.")]


class Runner:
    """Runs the work of a command in a transaction."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        with_database: Callable[..., Any],
        actor: Callable[[], str],
    ) -> None:
        self.settings = settings
        self._with_database = with_database
        self._actor = actor

    def run(self, work: Work, *, reads: bool = False) -> Any:
        """What `work` gives."""
        by = By(actor=self._actor(), now=datetime.now(UTC))

        def with_key(db: "Database", key: bytes) -> Awaitable[Any]:
            return db.in_transaction(lambda tx: work(tx, key, by))

        return self._with_database(self.settings(), with_key, reads=reads)

    def look(self, work: Callable[["Database", By], Awaitable[Any]]) -> Any:
        """What `work` gives, which only reads, in transactions of its own."""
        by = By(actor=self._actor(), now=datetime.now(UTC))
        return self._with_database(self.settings(), lambda db, _key: work(db, by), reads=True)

    def call(self, code: str) -> None:
        """Calls a channel. Raises as `ChannelClients.test` does."""
        from server.channels.connecting import ChannelClients
        from server.channels.tokens import ChannelTokens
        from server.cli import development
        from server.platform.ratelimit import RateLimiter

        settings = self.settings()

        async def work(db: "Database", key: bytes) -> None:
            with development.open_places(settings, attach=True) as found:
                limiter = RateLimiter(found.redis_url)
                clients = ChannelClients(db, key, ChannelTokens(found.redis_url, key), limiter)
                try:
                    await clients.test(code)
                finally:
                    await clients.close()
                    await limiter.close()

        self._with_database(settings, work)
