"""When a change of configuration is seen by the servers of this process.

By themselves they see it within a second, which on a busy machine is longer than a test may count
on. So a test has them look.
"""

import asyncio
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from server.platform.change_feed import ChangeFeed

_reading: WeakKeyDictionary[ChangeFeed, asyncio.AbstractEventLoop] = WeakKeyDictionary()


def keep_in_view() -> None:
    """From now on it is known which servers read changes."""
    start, stop = ChangeFeed.start, ChangeFeed.stop

    async def started(feed: ChangeFeed) -> None:
        await start(feed)
        _reading[feed] = asyncio.get_running_loop()

    async def stopped(feed: ChangeFeed) -> None:
        _reading.pop(feed, None)
        await stop(feed)

    for name, method in (("start", started), ("stop", stopped)):
        setattr(ChangeFeed, name, method)


async def changes_are_seen() -> None:
    """Returns when every server of this process has seen what is committed now."""
    loop = asyncio.get_running_loop()
    await asyncio.gather(*(feed.poll() for feed, its in list(_reading.items()) if its is loop))


class _Writes(Protocol):
    async def sql(self, statement: str, /) -> Any: ...


async def show_changes(world: _Writes) -> None:
    """Says that configuration has changed, and returns when every server of this process has seen
    all that is committed of it.
    """
    await world.sql("INSERT INTO change_feed DEFAULT VALUES")
    await changes_are_seen()
