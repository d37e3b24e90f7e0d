"""QR keys in PostgreSQL: first key, rotation without downtime, revocation, races and kills.

Seen to fail without the lock in server/tickets/keys.py (several at once: the unique indexes refuse
the second), without the wait between the two steps, and with pending keys left out of the ring.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import func, insert, select, update

from server.platform.change_feed import ChangeKind, change_feed
from server.platform.config import ConfigError, load_settings
from server.platform.database import Database
from server.platform.driver_errors import LostRaceError
from server.platform.errors import DomainError, Reason
from server.tickets import keys, qr
from server.tickets.models import qr_keys
from server.tickets.qr import Check, Claims, Invalid, KeyRing, KeyState, Valid

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECRET_KEY = os.urandom(32)


@pytest.fixture
async def db(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """A database with its first key, and rotation hurried up."""
    monkeypatch.setattr(keys, "PROPAGATION_SECONDS", 0.1)
    database = Database(load_settings(), database_url)
    await create_first_key(database)
    yield database
    await database.close()


async def create_first_key(db: Database) -> None:
    async with db.transaction() as tx:
        await keys.create_first_key(tx, SECRET_KEY, NOW)


async def ring_of(db: Database) -> KeyRing:
    async with db.transaction() as tx:
        return await keys.load_key_ring(tx, SECRET_KEY)


async def states_of(db: Database) -> dict[int, KeyState]:
    async with db.transaction() as tx:
        return {key.key_id: key.state for key in await keys.list_keys(tx)}


async def begin_rotation(db: Database) -> int:
    async with db.transaction() as tx:
        return await keys.begin_rotation(tx, SECRET_KEY, NOW)


async def finish_rotation(db: Database, key_id: int) -> None:
    async with db.transaction() as tx:
        await keys.finish_rotation(tx, key_id, NOW)


async def revoke(db: Database, key_id: int) -> None:
    async with db.transaction() as tx:
        await keys.revoke(tx, key_id, NOW)


async def until_pending(db: Database) -> None:
    while KeyState.PENDING not in (await states_of(db)).values():  # noqa: ASYNC110 no event tells
        await asyncio.sleep(0.01)


async def version_of(db: Database) -> int:
    async with db.transaction() as tx:
        changes = select(func.count()).select_from(change_feed)
        return int((await tx.scalar(changes.where(change_feed.c.kind == ChangeKind.QR_KEY))) or 0)


def seal(ring: KeyRing) -> str:
    return qr.seal(Claims(uuid4(), 42, NOW + timedelta(days=1)), ring.active)


def is_valid(token: str, ring: KeyRing) -> bool:
    return isinstance(qr.unseal(token, ring, NOW), Valid)


async def test_the_first_key_is_active_and_made_once(db: Database) -> None:
    await create_first_key(db)
    assert await states_of(db) == {0: KeyState.ACTIVE}
    assert is_valid(seal(await ring_of(db)), await ring_of(db))


async def test_many_processes_make_one_first_key(db: Database) -> None:
    async with db.transaction() as tx:
        await tx.execute(qr_keys.delete())
    await asyncio.gather(*(create_first_key(db) for _ in range(8)))
    assert await states_of(db) == {0: KeyState.ACTIVE}


async def test_keys_need_the_secret_key_they_were_stored_under(db: Database) -> None:
    with pytest.raises(ConfigError, match="DEEPTRAVEL_SECRET_KEY"):
        async with db.transaction() as tx:
            await keys.load_key_ring(tx, os.urandom(32))


async def test_the_database_holds_no_secret_in_clear(db: Database) -> None:
    key = (await ring_of(db)).active
    async with db.transaction() as tx:
        row = (await tx.execute(select(qr_keys))).one()
    assert key.seed is not None
    assert all(
        secret not in stored
        for stored in row
        if isinstance(stored, bytes)
        for secret in (key.seed, key.aes_key)
    )


async def test_rotation_refuses_no_token_whatever_a_process_has_seen_of_it(db: Database) -> None:
    rings = [await ring_of(db)]
    key_id = await begin_rotation(db)
    rings.append(await ring_of(db))
    await finish_rotation(db, key_id)
    rings.append(await ring_of(db))

    assert [ring.active.key_id for ring in rings] == [0, 0, 1]
    # One step apart at the most: that is what the wait between the steps is for.
    for signer, reader in [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 1), (2, 2), (0, 2)]:
        assert is_valid(seal(rings[signer]), rings[reader]), (signer, reader)


async def test_rotation_waits_until_every_process_knows_the_new_key(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "PROPAGATION_SECONDS", 0.5)
    began = time.monotonic()
    rotation = asyncio.create_task(keys.rotate(db, SECRET_KEY, NOW))
    await until_pending(db)
    assert await rotation == 1
    assert time.monotonic() - began > 0.5
    assert await states_of(db) == {0: KeyState.VERIFY_ONLY, 1: KeyState.ACTIVE}


async def test_a_rotation_killed_between_its_steps_is_completed_by_the_next(db: Database) -> None:
    rotation = asyncio.create_task(keys.rotate(db, SECRET_KEY, NOW))
    await until_pending(db)
    rotation.cancel()
    await asyncio.gather(rotation, return_exceptions=True)
    assert await states_of(db) == {0: KeyState.ACTIVE, 1: KeyState.PENDING}

    assert await keys.rotate(db, SECRET_KEY, NOW) == 1
    assert await states_of(db) == {0: KeyState.VERIFY_ONLY, 1: KeyState.ACTIVE}


async def test_a_kill_within_a_step_leaves_the_step_undone(db: Database) -> None:
    key_id = await begin_rotation(db)

    async def killed() -> None:
        async with db.transaction() as tx:
            await keys.finish_rotation(tx, key_id, NOW)
            raise SystemExit

    with pytest.raises(SystemExit):
        await killed()
    assert await states_of(db) == {0: KeyState.ACTIVE, 1: KeyState.PENDING}


async def test_rotations_at_the_same_time_are_one(db: Database) -> None:
    for new in range(1, 6):
        rotated = await asyncio.gather(*(keys.rotate(db, SECRET_KEY, NOW) for _ in range(4)))
        assert rotated == [new] * 4
    assert await states_of(db) == {
        **dict.fromkeys(range(5), KeyState.VERIFY_ONLY),
        5: KeyState.ACTIVE,
    }


async def test_finishing_twice_changes_nothing(db: Database) -> None:
    key_id = await begin_rotation(db)
    await finish_rotation(db, key_id)
    before = await version_of(db)
    await finish_rotation(db, key_id)
    await finish_rotation(db, 0)  # the former one does not come back
    assert await states_of(db) == {0: KeyState.VERIFY_ONLY, 1: KeyState.ACTIVE}
    assert await version_of(db) == before


async def test_a_key_revoked_while_pending_does_not_become_active(db: Database) -> None:
    key_id = await begin_rotation(db)
    await revoke(db, key_id)
    with pytest.raises(DomainError) as refused:
        await finish_rotation(db, key_id)
    assert refused.value.reason is Reason.REVOKED
    assert await keys.rotate(db, SECRET_KEY, NOW) == 2


async def test_tokens_of_a_revoked_key_are_refused(db: Database) -> None:
    token = seal(await ring_of(db))
    await keys.rotate(db, SECRET_KEY, NOW)
    assert is_valid(token, await ring_of(db))
    await revoke(db, 0)
    await revoke(db, 0)
    assert qr.unseal(token, await ring_of(db), NOW) == Invalid(Check.KEY)
    assert await states_of(db) == {0: KeyState.REVOKED, 1: KeyState.ACTIVE}


async def test_the_active_key_is_not_revoked(db: Database) -> None:
    with pytest.raises(DomainError) as refused:
        await revoke(db, 0)
    assert refused.value.reason is Reason.INVALID_FIELD
    assert await states_of(db) == {0: KeyState.ACTIVE}


async def test_an_unknown_key_is_not_found(db: Database) -> None:
    for change in (revoke, finish_rotation):
        with pytest.raises(DomainError) as refused:
            await change(db, 9)
        assert refused.value.reason is Reason.NOT_FOUND


async def test_every_change_is_announced(db: Database) -> None:
    versions = [await version_of(db)]
    key_id = await begin_rotation(db)
    versions.append(await version_of(db))
    await finish_rotation(db, key_id)
    versions.append(await version_of(db))
    await revoke(db, 0)
    versions.append(await version_of(db))
    assert versions == sorted(set(versions))


@pytest.mark.parametrize("state", [KeyState.ACTIVE, KeyState.PENDING])
async def test_the_database_itself_refuses_a_second_one(db: Database, state: KeyState) -> None:
    await begin_rotation(db)
    second = {
        "key_id": 99,
        "state": state,
        "verify_key": bytes(32),
        "encrypted_secrets": b"",
        "create_time": NOW,
    }
    with pytest.raises(LostRaceError) as refused:
        async with db.transaction() as tx:
            await tx.execute(insert(qr_keys).values(second))
    assert refused.value.constraint == f"qr_keys_one_{state.lower()}"


async def test_a_reused_key_id_does_not_bring_old_tokens_back(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = seal(await ring_of(db))
    await keys.rotate(db, SECRET_KEY, NOW)
    await revoke(db, 0)
    async with db.transaction() as tx:
        row = (await tx.execute(select(qr_keys).where(qr_keys.c.key_id == 0))).one()
        others = [{**row._mapping, "key_id": key_id} for key_id in range(2, 256)]
        await tx.execute(insert(qr_keys).values(others))
        await tx.execute(
            update(qr_keys)
            .where(qr_keys.c.key_id == 0)
            .values(revoke_time=NOW - timedelta(seconds=1))
        )
    assert await keys.rotate(db, SECRET_KEY, NOW) == 0
    assert qr.unseal(token, await ring_of(db), NOW) == Invalid(Check.SIGNATURE)
    assert is_valid(seal(await ring_of(db)), await ring_of(db))


async def test_from_a_rotation_by_day_on_issuing_keys_sign(db: Database) -> None:
    """What was sealed before stays good, and nobody can seal so any more: all former private halves
    are destroyed.
    """
    token = seal(await ring_of(db))
    await keys.rotate(db, SECRET_KEY, NOW)
    await keys.rotate(db, SECRET_KEY, NOW, by_day=True)
    await keys.rotate(db, SECRET_KEY, NOW)
    ring = await ring_of(db)
    assert [(each.key_id, each.seed) for each in ring.keys] == [(n, None) for n in range(4)]
    assert ring.active.key_id == 3
    assert is_valid(token, ring)
    async with db.transaction() as tx:
        assert not any(each.signs for each in await keys.list_keys(tx))
        with pytest.raises(DomainError) as refused:
            await keys.compromise(tx, SECRET_KEY, 3, actor="root", comment="?", now=NOW)
    assert refused.value.reason is Reason.INVALID_FIELD


async def test_what_was_cut_off_is_completed_before_a_rotation_by_day(db: Database) -> None:
    await begin_rotation(db)
    with pytest.raises(DomainError) as refused:
        await keys.rotate(db, SECRET_KEY, NOW, by_day=True)
    assert refused.value.reason is Reason.INVALID_FIELD
    assert await keys.rotate(db, SECRET_KEY, NOW) == 1
    assert await keys.rotate(db, SECRET_KEY, NOW, by_day=True) == 2
