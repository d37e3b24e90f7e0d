"""A process that says when it sees a change: `python -m tests.support.seeing_process URL OFFER`.

It has what a server's process has: the feed, what listens for it, and the catalogue as search and
hold ask for it. Each line it prints is a moment (seconds since 1970) and what it sees from then
on: `price` and the price of the offer, or `change`, a kind and a key.
"""

import asyncio
import sys
import time
from collections.abc import Collection
from datetime import UTC, datetime

from server.catalog.catalogue import Catalogues
from server.orders.prices import Prices, Wish
from server.platform.change_feed import ChangeFeed, ChangeListener, Subject
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.loops import Loops

LOOK_SECONDS = 0.02


async def see(url: str, offer_id: str) -> None:
    """Prints what it sees until it is ended."""
    db, loops = Database(load_settings(database_pool=2), url), Loops()
    feed = ChangeFeed(db, loops)
    catalogues = Catalogues(feed, db)
    feed.on_change(say_all)
    await feed.start()
    ChangeListener(db, feed, loops).start()
    seen = -1
    while True:
        catalogue = catalogues.peek() or await catalogues.get()
        prices = Prices(catalogue)
        found = prices.price([Wish(offer_id)], ["ADULT"], (), now=datetime.now(UTC)).total_minor
        if found != seen:
            seen = found
            say(f"price {found}")
        await asyncio.sleep(LOOK_SECONDS)


def say_all(changed: Collection[Subject]) -> None:
    """A line for each change."""
    for kind, key in changed:
        say(f"change {kind} {key}")


def say(what: str) -> None:
    """A line."""
    sys.stdout.write(f"{time.time()} {what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(see(*sys.argv[1:]))
