"""What a change makes a process forget, in this process and in others, and who waits for whom
while changing.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog.catalogue import Catalogues
from server.identity.callers import Operator
from server.identity.models import accounts, partner_keys
from server.parties.models import partners
from server.platform import change_feed as changes
from server.platform.change_feed import ChangeFeed, ChangeKind, change_feed, publish
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.errors import Reason
from tests.support.identity import (
    KEY,
    OTHER_KEY,
    PASSWORD,
    Server,
    bearer,
    now,
    reason_of,
    refused_within_a_second,
    running,
    seed,
)
from tests.support.waiting import WAIT_SECONDS, until


@pytest.fixture
async def server(database_url: str, redis_url: str) -> AsyncIterator[Server]:
    async with running(load_settings(), database_url, redis_url) as one:
        await seed(one.db)
        yield one


@pytest.fixture
async def other(server: Server, database_url: str, redis_url: str) -> AsyncIterator[Server]:
    """Another process on the same database."""
    async with running(load_settings(), database_url, redis_url) as two:
        yield two


@contextmanager
def statements(db: Database) -> Iterator[list[str]]:
    """What is asked of the database meanwhile, but for the feed's polls, which may be late."""
    asked: list[str] = []

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "change_feed" not in statement and "config_version" not in statement:
            asked.append(statement)

    event.listen(db.engine.sync_engine, "before_cursor_execute", count)
    try:
        with pytest.MonkeyPatch.context() as trusting:
            trusting.setattr(changes, "TRUST_SECONDS", math.inf)
            yield asked
    finally:
        event.remove(db.engine.sync_engine, "before_cursor_execute", count)


async def logged_in(process: Server, username: str = "olga") -> tuple[dict[str, Any], Operator]:
    tokens = await process.identity.log_in(username, PASSWORD, "T-PIER", now())
    caller = await process.identity.authenticate(bearer(tokens.access_token), "")
    assert isinstance(caller, Operator)
    return bearer(tokens.access_token), caller


async def polled_once_more(feed: ChangeFeed) -> None:
    """Until a poll has been that began after this."""
    await feed.poll()


# What others remember stays


async def test_a_log_out_makes_nobody_forget_anything_else(server: Server, other: Server) -> None:
    """Seen red: with one count for all changes each log-out had every process load all anew."""
    (mine, caller), (hers, _) = await logged_in(server), await logged_in(server, "sam")
    session = await server.identity.sessions.open(caller, "T-PIER", now())
    catalogues = [Catalogues(process.feed, process.db) for process in (server, other)]

    async def used(process: Server, catalogue: Catalogues) -> None:
        await process.identity.authenticate(hers, "")
        await process.identity.authenticate({"x-api-key": KEY.api_key}, "192.0.2.1")
        await catalogue.get()

    for process, catalogue in zip((server, other), catalogues, strict=True):
        await used(process, catalogue)
        assert await process.identity.authenticate(mine, "")
        await process.identity.sessions.require(caller, session)
    await server.identity.sessions.close(caller, session, now())
    await server.identity.log_out(caller, now())
    for process, catalogue in zip((server, other), catalogues, strict=True):
        await refused_within_a_second(process, lambda: mine)
        refused = await reason_of(process.identity.sessions.require(caller, session))
        assert refused == Reason.SESSION_NOT_OPEN
        await polled_once_more(process.feed)
        with statements(process.db) as asked:
            await used(process, catalogue)
        assert asked == []


async def test_a_change_of_configuration_makes_others_forget_only_that(
    server: Server, other: Server
) -> None:
    """Seen red: with one count for all changes the log-in was loaded anew, too."""
    header, _ = await logged_in(server)
    catalogue = Catalogues(other.feed, other.db)
    await catalogue.get()
    await other.identity.authenticate(header, "")
    async with server.db.transaction() as tx:
        await publish(tx, ChangeKind.CATALOGUE)
    await until(lambda: catalogue.peek() is None)
    await polled_once_more(other.feed)
    with statements(other.db) as asked:
        await other.identity.authenticate(header, "")
    assert asked == []


async def test_a_revoked_key_is_refused_in_another_process_and_its_sister_is_still_known(
    server: Server, other: Server
) -> None:
    keys: list[dict[str, str | bytes]]
    keys = [{"x-api-key": key.api_key} for key in (KEY, OTHER_KEY)]
    for key in keys:
        await other.identity.authenticate(key, "192.0.2.1")
    async with server.db.transaction() as tx:
        this = partner_keys.c.key_id == KEY.key_id
        await tx.execute(update(partner_keys).where(this).values(revoke_time=now()))
        await publish(tx, ChangeKind.PARTNER_KEY, KEY.key_id)
    await refused_within_a_second(other, lambda: keys[0])
    await polled_once_more(other.feed)
    with statements(other.db) as asked:
        await other.identity.authenticate(keys[1], "192.0.2.1")
    assert asked == []
    async with server.db.transaction() as tx:
        this = partners.c.partner_code == "CP"
        await tx.execute(update(partners).where(this).values(state="REVOKED"))
        await publish(tx, ChangeKind.PARTNER, "CP")
    await refused_within_a_second(other, lambda: keys[1])


# What a log-in is made of

MADE_OF = [
    (ChangeKind.ACCOUNT, "olga"),
    (ChangeKind.MERCHANT, "M"),
    (ChangeKind.VENUE, "PIER"),
    (ChangeKind.TERMINAL, "T-PIER"),
]


@pytest.mark.parametrize(("kind", "key"), MADE_OF)
async def test_a_log_in_is_looked_at_again_when_what_it_is_made_of_changes(
    server: Server, kind: ChangeKind, key: str
) -> None:
    header, caller = await logged_in(server)
    for name, looks_again in (("another", False), (key, True)):
        await server.identity.authenticate(header, "")
        await server.identity.recheck(caller)
        async with server.db.transaction() as tx:
            await publish(tx, kind, name)
        await polled_once_more(server.feed)
        with statements(server.db) as asked:
            await server.identity.authenticate(header, "")
            await server.identity.recheck(caller)
        assert len(asked) == (2 if looks_again else 0)


# Nobody waits for anybody


async def test_a_log_out_and_a_change_of_configuration_do_not_wait_for_each_other(
    server: Server, other: Server
) -> None:
    """Seen red: both counted up the same row, so that the log-out failed after the lock
    time-out.
    """
    header, caller = await logged_in(server)
    async with other.db.transaction() as changing:
        await change_an_account(changing)
        async with asyncio.timeout(WAIT_SECONDS):
            session = await server.identity.sessions.open(caller, "T-PIER", now())
            await server.identity.sessions.close(caller, session, now())
            await server.identity.log_out(caller, now())
            assert await reason_of(server.identity.authenticate(header, "")) is not None
        async with asyncio.timeout(WAIT_SECONDS), server.db.transaction() as tx:
            await publish(tx, ChangeKind.CATALOGUE)  # nor two changes for each other
    _, caller = await logged_in(server)
    async with server.db.transaction() as leaving:
        await publish(leaving, ChangeKind.LOGIN, caller.login_id)
        async with asyncio.timeout(WAIT_SECONDS), other.db.transaction() as changing:
            await change_an_account(changing)


async def change_an_account(tx: AsyncConnection) -> None:
    this = accounts.c.username == "sam"
    await tx.execute(update(accounts).where(this).values(display_name="Sam"))
    await publish(tx, ChangeKind.ACCOUNT, "sam")
    await publish(tx, ChangeKind.CATALOGUE)
    await publish(tx, ChangeKind.CATALOGUE)  # twice in a transaction is once


# Nothing is missed


async def changed_at(feed: ChangeFeed) -> list[set[tuple[str, str]]]:
    found: list[set[tuple[str, str]]] = []
    feed.on_change(lambda changed: found.append({(each.kind, each.key) for each in changed}))
    await feed.poll()
    return found


async def test_what_commits_late_is_not_missed_and_nothing_is_read_twice(server: Server) -> None:
    """Seen red: reading on behind the newest transaction seen misses the one that commits after
    it.
    """
    feed = ChangeFeed(server.db)
    found = await changed_at(feed)
    assert found == [{("EVERYTHING", "")}]
    async with server.db.transaction() as late:
        await publish(late, ChangeKind.VENUE, "LATE")
        async with server.db.transaction() as tx:
            await publish(tx, ChangeKind.VENUE, "FIRST", "FIRST", "SECOND")
        for _ in range(3):
            await feed.poll()
        assert found[1:] == [{("VENUE", "FIRST"), ("VENUE", "SECOND")}]
    await feed.poll()
    await feed.poll()
    assert found[2:] == [{("VENUE", "LATE")}]


async def test_whoever_was_away_for_long_or_meets_another_server_forgets_everything(
    server: Server,
) -> None:
    feed = ChangeFeed(server.db)
    found = await changed_at(feed)
    feed._read_at -= changes.MISSED_SECONDS  # others' changes may have been purged
    await feed.poll()
    feed._server = "the one before the failover"
    await feed.poll()
    feed._since += 1 << 40  # a restored one is younger
    await feed.poll()
    await feed.poll()
    assert found == [{("EVERYTHING", "")}] * 4


async def test_a_change_by_hand_makes_everybody_forget_everything(
    server: Server, other: Server
) -> None:
    header, _ = await logged_in(server)
    await other.identity.authenticate(header, "")
    async with server.db.transaction() as tx:
        await tx.execute(text("UPDATE terminals SET state = 'REVOKED'"))
        await tx.execute(text("INSERT INTO change_feed DEFAULT VALUES"))
    await refused_within_a_second(other, lambda: header)


async def test_old_changes_are_purged(server: Server) -> None:
    rows = select(func.count()).select_from(change_feed)
    async with server.db.transaction() as tx:
        before = int(await tx.scalar(rows) or 0)
        await publish(tx, ChangeKind.VENUE, *range(5))
    async with server.db.transaction() as tx:
        assert await changes.purge(tx, now=now(), limit=100) == 0
        later = now() + changes.KEPT
        assert await changes.purge(tx, now=later, limit=2) == 2
        assert await changes.purge(tx, now=later, limit=100) == before + 3
        assert await tx.scalar(rows) == 0
