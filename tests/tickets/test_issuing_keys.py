"""Issuing keys in PostgreSQL: how a process reads them, and looks up one that it has not."""

import os
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest

from server.platform import change_feed
from server.platform.change_feed import ChangeFeed, ChangeKind
from server.platform.config import ConfigError, load_settings
from server.platform.database import Database
from server.platform.statements import Statement, run
from server.tickets import issuing_keys, keys, qr
from server.tickets.issuing_keys import Reading
from server.tickets.key_rings import KeyRings
from server.tickets.qr import Check, Claims, Compromised, Invalid, IssuingKey, KeyRing, Valid

SECRET_KEY = os.urandom(32)
DAY = date(2026, 11, 29)
NOW = datetime.now(UTC)
LATER = NOW + timedelta(days=1)

ADD = Statement(
    """
INSERT INTO issuing_keys
  (partner_id, day, state, verify_key, encrypted_seed, create_time, end_time)
VALUES ($1::int, $2::date, 'ACTIVE', $3::bytea, $4::bytea, now(), $5::timestamptz) RETURNING number
""",
    int,
)
END = Statement("""
UPDATE issuing_keys SET state = $2::text, encrypted_seed = NULL,
  compromise_time = CASE $2::text WHEN 'COMPROMISED' THEN now() END,
  transaction_id = pg_current_xact_id()::text::bigint
WHERE number = $1::int
""")


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = Database(load_settings(), database_url)
    async with database.transaction() as tx:
        await keys.create_first_key(tx, SECRET_KEY, NOW)
    yield database
    await database.close()


async def add(db: Database, partner_id: int = 7, *, end: datetime = LATER) -> IssuingKey:
    verify_key, seed = qr.new_pair()
    sealed = issuing_keys.sealed_seed(seed, partner_id, DAY, verify_key, SECRET_KEY)
    async with db.transaction() as tx:
        (number,) = await run(tx, ADD(partner_id, DAY, verify_key, sealed, end))
        await change_feed.publish(tx, ChangeKind.QR_KEY, number)
    return IssuingKey(number, verify_key, seed, end)


async def end(db: Database, key: IssuingKey, state: str) -> None:
    async with db.transaction() as tx:
        await run(tx, END(key.number, state))


async def read(db: Database, before: Reading = issuing_keys.NOTHING) -> Reading:
    async with db.transaction() as tx:
        return await issuing_keys.read(tx, SECRET_KEY, before)


async def ring_of(db: Database) -> KeyRing:
    async with db.transaction() as tx:
        return await keys.load_key_ring(tx, SECRET_KEY)


async def sealed(db: Database, key: IssuingKey) -> str:
    return qr.seal(Claims(uuid4(), 42, LATER), (await ring_of(db)).active, key)


async def test_numbers_begin_where_those_of_qr_keys_end(db: Database) -> None:
    assert [(await add(db, partner_id)).number for partner_id in (1, 2)] == [256, 257]


async def test_a_process_reads_what_has_changed(db: Database) -> None:
    """Seen red with changes taken by number: what is committed out of turn was never read."""
    first, over = await add(db), await add(db, 8, end=NOW - timedelta(days=1))
    reading = await read(db)
    assert reading.keys.good == {first.number: first.verify_key}
    assert reading.keys.signing == {(7, DAY): first}
    async with db.independent_transaction() as late:
        verify_key, seed = qr.new_pair()
        bound = issuing_keys.sealed_seed(seed, 9, DAY, verify_key, SECRET_KEY)
        (number,) = await run(late, ADD(9, DAY, verify_key, bound, LATER))
        second = await add(db, 10)
        reading = await read(db, reading)
        assert reading.keys.good.keys() == {first.number, second.number}
    await end(db, first, "COMPROMISED")
    await end(db, second, "VERIFY_ONLY")
    again = await add(db)
    reading = await read(db, reading)
    assert reading.keys.good.keys() == {number, second.number, again.number}
    assert reading.keys.stolen.keys() == {first.number}
    assert reading.keys.signing.keys() == {(7, DAY), (9, DAY)}
    assert reading.keys.signing[7, DAY] == again
    assert over.number not in reading.keys.good


async def test_of_another_server_all_is_read_anew(db: Database) -> None:
    """As after a failover or restore, whose transactions have numbers of their own."""
    key = await add(db)
    reading = await read(db)
    for other in (
        reading._replace(server=NOW - timedelta(days=1)),
        reading._replace(since=reading.since + 1_000_000),
    ):
        stale = other._replace(keys=other.keys._replace(good={99: b""}, signing={}))
        assert (await read(db, stale)).keys == reading.keys
    assert reading.keys.good.keys() == {key.number}


async def test_they_need_the_secret_key_they_were_stored_under(db: Database) -> None:
    await add(db)
    with pytest.raises(ConfigError, match="DEEPTRAVEL_SECRET_KEY"):
        async with db.transaction() as tx:
            await issuing_keys.read(tx, os.urandom(32))


async def test_the_database_holds_no_seed_in_clear(db: Database) -> None:
    key = await add(db)
    async with db.transaction() as tx:
        (stored,) = await run(tx, Statement("SELECT encrypted_seed FROM issuing_keys", bytes)())
    assert key.seed not in stored


async def test_a_key_that_the_ring_has_not_is_looked_up(db: Database) -> None:
    rings = KeyRings(ChangeFeed(db), db, SECRET_KEY)
    before = await rings.get("")
    new, over = await add(db), await add(db, 8, end=NOW - timedelta(days=1))
    tokens = [await sealed(db, key) for key in (new, over)]
    missing = [Invalid(Check.KEY, key.number) for key in (new, over)]
    assert [qr.unseal(each, before, NOW) for each in tokens] == missing
    assert not await rings.look_up([None])
    assert not await rings.look_up([9_999])
    assert await rings.look_up([new.number, 9_999, over.number])
    assert all(isinstance(qr.unseal(each, before, NOW), Valid) for each in tokens)
    await end(db, new, "COMPROMISED")
    after = await KeyRings(ChangeFeed(db), db, SECRET_KEY).get("")
    assert isinstance(qr.unseal(tokens[0], after, NOW), Compromised)


async def test_what_is_looked_up_is_bounded(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.tickets.key_rings.MOST_LOOKED_UP", 2)
    rings = KeyRings(ChangeFeed(db), db, SECRET_KEY)
    ring = await rings.get("")
    numbers = [(await add(db, partner_id)).number for partner_id in range(1, 6)]
    for number in numbers:
        assert await rings.look_up([number])
    assert [*ring.issuing.looked_up] == numbers[-2:]
