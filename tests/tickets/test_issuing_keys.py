"""Issuing keys in PostgreSQL: how they are made, used and ended, how a process reads them, and
looks up one that it has not.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from uuid import uuid4

import pytest

from server.platform import clock
from server.platform.change_feed import ChangeFeed
from server.platform.config import ConfigError, load_settings
from server.platform.database import Database
from server.platform.schedule import Progress
from server.platform.statements import Statement, run
from server.tickets import issuing_keys, keys, qr
from server.tickets.issuing_keys import Reading
from server.tickets.key_rings import KeyRings
from server.tickets.qr import Check, Claims, Compromised, Invalid, IssuingKey, KeyRing, Valid
from server.tickets.rules import Number
from tests.support.issuing import issuer as issuer_of

SECRET_KEY = os.urandom(32)
NOW = datetime.now(UTC)
ZONE = load_settings().zone
DAY = NOW.astimezone(ZONE).date()
LATER = NOW + timedelta(days=1)

OVER = Statement("UPDATE issuing_keys SET end_time = $2::timestamptz WHERE number = $1::int")
USED = Statement(
    "INSERT INTO issued_tokens VALUES ($1::int, 1, 1, decode(repeat('00', 16), 'hex'), now())"
)
END = Statement("""
UPDATE issuing_keys SET state = $2::text, encrypted_seed = NULL,
  compromise_time = CASE $2::text WHEN 'COMPROMISED' THEN now() END,
  transaction_id = pg_current_xact_id()::text::bigint
WHERE number = $1::int
""")


@pytest.fixture
async def db(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    database = Database(load_settings(), database_url)
    async with database.transaction() as tx:
        await keys.create_first_key(tx, SECRET_KEY, NOW)
    monkeypatch.setattr(keys, "PROPAGATION_SECONDS", 0.0)
    await keys.rotate(database, SECRET_KEY, NOW, by_day=True)
    yield database
    await database.close()


async def add(db: Database, partner_id: int = 7, *, end: datetime | None = None) -> IssuingKey:
    async with db.transaction() as tx:
        key = await issuing_keys.obtain(tx, SECRET_KEY, partner_id, DAY, now=NOW)
        if end:
            await run(tx, OVER(key.number, end))
    return key


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
    first, over = await add(db), await add(db, 8, end=NOW - timedelta(days=1))
    reading = await read(db)
    assert reading.keys.good == {first.number: first.verify_key}
    assert reading.keys.signing == {(7, DAY): first}
    async with db.independent_transaction() as late:
        number = (await issuing_keys.obtain(late, SECRET_KEY, 9, DAY, now=NOW)).number
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


async def tend(db: Database, now: datetime) -> Progress:
    async with db.transaction() as tx:
        return await issuing_keys.tending(SECRET_KEY, ZONE)(tx, now)


class Standing(NamedTuple):
    partner_id: int
    day: date
    state: str
    can_sign: bool


STANDING = Statement(
    "SELECT partner_id, day, state, encrypted_seed IS NOT NULL FROM issuing_keys ORDER BY day, 1",
    Standing,
)


async def standing(db: Database) -> list[Standing]:
    async with db.transaction() as tx:
        return await run(tx, STANDING())


async def test_who_comes_first_makes_the_key_for_all(db: Database) -> None:
    made = await asyncio.gather(*(add(db, partner_id) for partner_id in (7, 0) * 8))
    assert [key.number for key in made] == [made[n % 2].number for n in range(16)]
    assert await standing(db) == [(0, DAY, "ACTIVE", True), (7, DAY, "ACTIVE", True)]


async def test_codes_are_signed_by_the_key_of_the_day_and_partner(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From one microsecond to the next at midnight, and all of one partner's under one key."""
    issuer, now = issuer_of(db, SECRET_KEY), [NOW]
    monkeypatch.setattr(clock, "now", lambda: now[0])
    midnight = datetime.combine(DAY + timedelta(days=1), time(), ZONE).astimezone(UTC)
    expire_time, tokens = LATER + timedelta(days=500), list[list[str]]()
    for now[0] in (midnight - timedelta(microseconds=1), midnight):
        for partner_id in (7, 8, 0):
            number = int(Number(partner_id, DAY, 1))
            tokens.append(await issuer.issue([Claims(uuid4(), number, expire_time)] * 2))
    signers = [{qr.seal_of(token).key_id for token in of_one} for of_one in tokens]
    assert [len(of_one) for of_one in signers] == [1] * 6
    assert len(set.union(*signers)) == 6
    ring = await ring_of(db)
    opened = [qr.unseal(token, ring, NOW) for of_one in tokens for token in of_one]
    assert all(isinstance(each, Valid) for each in opened)
    days = [(each.partner_id, each.day) for each in await standing(db)]
    assert days == [(partner, DAY + timedelta(days=n)) for n in (0, 1) for partner in (0, 7, 8)]
    async with db.transaction() as tx:
        ends = await run(tx, Statement("SELECT end_time FROM issuing_keys", datetime)())
    assert all(expire_time - timedelta(seconds=1) < each for each in ends)
    assert all(each < expire_time + issuing_keys.END_STEP for each in ends)


async def test_a_private_half_is_destroyed_with_its_day_and_tomorrows_key_is_there(
    db: Database,
) -> None:
    """A key that nobody has used gets no successor."""
    await add(db, 8)
    key = await add(db)
    token = await sealed(db, key)
    async with db.transaction() as tx:
        await run(tx, USED(key.number))
    assert await tend(db, NOW) == Progress(more=False, items=1)
    assert await tend(db, NOW) == Progress(more=False)
    tomorrow = DAY + timedelta(days=1)
    living = [(7, DAY, "ACTIVE", True), (8, DAY, "ACTIVE", True), (7, tomorrow, "ACTIVE", True)]
    assert await standing(db) == living
    assert (await ring_of(db)).issuing.signing.keys() == {(7, DAY), (8, DAY), (7, tomorrow)}
    begin = datetime.combine(tomorrow, time(), ZONE)
    assert await tend(db, begin - timedelta(microseconds=1)) == Progress(more=False)
    assert await tend(db, begin) == Progress(more=False, items=3)
    over = [(7, DAY, "VERIFY_ONLY", False), (8, DAY, "VERIFY_ONLY", False)]
    ahead = (7, tomorrow + timedelta(days=1), "ACTIVE", True)
    assert await standing(db) == [*over, (7, tomorrow, "ACTIVE", True), ahead]
    ring = await ring_of(db)
    assert (7, DAY) not in ring.issuing.signing
    assert isinstance(qr.unseal(token, ring, NOW), Valid)
