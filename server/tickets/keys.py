"""The QR keys in the database: made, rotated, revoked, compromised, and read into the `KeyRing` of
the codec.

Secrets are stored encrypted by AES-256-GCM under the settings' secret key. Every change takes one
lock, so that two commands at once do one thing after the other; unique indexes state again that
there is one active key and one pending at the most.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidTag
from sqlalchemy import Row, delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.trail import AuditedChange, audit
from server.platform import change_feed, outbox
from server.platform.config import ConfigError
from server.platform.crypto import Sealer
from server.platform.database import Database
from server.platform.errors import DomainError, Reason, invalid, not_found
from server.platform.statements import Statement, run
from server.tickets import issuing_keys
from server.tickets.models import issued_tokens, qr_issues, qr_keys
from server.tickets.qr import (
    AES_KEY_BYTES,
    FIRST_NUMBER,
    IV_BYTES,
    TAG_BYTES,
    KeyRing,
    KeyState,
    QrKey,
)

REISSUE = "qr_key.reissue"
"""The task that issues anew what was issued under a compromised key; its key is the key's id."""
PROPAGATION_SECONDS = change_feed.TRUST_SECONDS + 1.0
"""After this long every process knows a new key, those that were just answering a call included."""
_ENCRYPTED_AES_KEY_BYTES = IV_BYTES + AES_KEY_BYTES + TAG_BYTES


@dataclass(frozen=True)
class KeyInfo:
    """One key as an operator sees it: nothing secret."""

    key_id: int
    state: KeyState
    verify_key: bytes  # Ed25519 public key
    create_time: datetime
    activate_time: datetime | None
    retire_time: datetime | None  # its successor became active
    revoke_time: datetime | None
    compromise_time: datetime | None = None
    # of a compromised one: of how many tickets and orders QRs were issued under it, and how many of
    # these were issued anew or found to be of no use
    issued: int = 0
    replaced: int = 0
    # whether each token of it is recorded, so that redemptions by others' are found
    is_recorded: bool = True
    # whether it signs tokens itself, as those of before there were issuing keys
    signs: bool = True


class _Issued(NamedTuple):
    key_id: int
    issued: int
    replaced: int


_COUNT_ISSUED = Statement(
    """
SELECT key_id, count(*)::int, count(replace_time)::int FROM qr_issues
WHERE key_id = ANY(ARRAY(SELECT key_id FROM qr_keys WHERE state = 'COMPROMISED'))
GROUP BY key_id
""",
    _Issued,
)


async def load_key_ring(tx: AsyncConnection, secret_key: bytes) -> KeyRing:
    """All keys that are not revoked, and the issuing keys whose tokens may be valid.

    Raises ConfigError if they were stored under another secret key.
    """
    reading = await issuing_keys.read(tx, secret_key)
    return KeyRing(await load_qr_keys(tx, secret_key), reading.keys)


async def load_qr_keys(tx: AsyncConnection, secret_key: bytes) -> list[QrKey]:
    """All that are not revoked. Raises ConfigError, as `load_key_ring`."""
    known = select(qr_keys).where(qr_keys.c.state != KeyState.REVOKED)
    return [_from_row(row, secret_key) for row in await tx.execute(known)]


async def list_keys(tx: AsyncConnection) -> list[KeyInfo]:
    """All keys, revoked ones included, by id."""
    counted = {each.key_id: each for each in await run(tx, _COUNT_ISSUED())}
    return [
        KeyInfo(
            key_id=row.key_id,
            state=KeyState(row.state),
            verify_key=row.verify_key,
            create_time=row.create_time,
            activate_time=row.activate_time,
            retire_time=row.retire_time,
            revoke_time=row.revoke_time,
            compromise_time=row.compromise_time,
            issued=counted[row.key_id].issued if row.key_id in counted else 0,
            replaced=counted[row.key_id].replaced if row.key_id in counted else 0,
            is_recorded=row.is_recorded,
            signs=len(row.encrypted_secrets) > _ENCRYPTED_AES_KEY_BYTES,
        )
        for row in await tx.execute(select(qr_keys).order_by(qr_keys.c.key_id))
    ]


async def get_key(tx: AsyncConnection, key_id: int) -> KeyInfo:
    """A key. Raises NOT_FOUND."""
    for each in await list_keys(tx):
        if each.key_id == key_id:
            return each
    raise not_found("qr_key", key_id)


async def create_first_key(tx: AsyncConnection, secret_key: bytes, now: datetime) -> None:
    """Makes an active key unless there is one. Safe to repeat, and for many processes at once."""
    await _lock(tx)
    if await _key_id_in(tx, KeyState.ACTIVE) is None:
        await _add_key(tx, secret_key, KeyState.ACTIVE, now, signs=True)


async def rotate(db: Database, secret_key: bytes, now: datetime, *, by_day: bool = False) -> int:
    """Puts a new key in the active one's place and returns its id; takes PROPAGATION_SECONDS.

    No token is refused meanwhile: the new key is pending until every process knows it, and the
    former one stays, VERIFY_ONLY. If a rotation was cut off, the next completes it; two at once
    are one. With `by_day` issuing keys sign from now on, and the private halves of former keys are
    destroyed; it stays so.

    Raises INVALID_FIELD if no key id is free, or a rotation that was cut off is to be completed
    before one with `by_day`, REVOKED if the new key was revoked meanwhile.
    """
    async with db.transaction() as tx:
        key_id = await begin_rotation(tx, secret_key, now, by_day=by_day)
    # From the commit on, whoever made the key: its age says nothing about when it could be seen.
    await asyncio.sleep(PROPAGATION_SECONDS)
    async with db.transaction() as tx:
        await finish_rotation(tx, key_id, now + timedelta(seconds=PROPAGATION_SECONDS))
        await _destroy_seeds(tx, secret_key)
    return key_id


async def begin_rotation(
    tx: AsyncConnection, secret_key: bytes, now: datetime, *, by_day: bool = False
) -> int:
    """The id of the pending key, made unless there is one."""
    await _lock(tx)
    pending = await _key_id_in(tx, KeyState.PENDING)
    if pending is None:
        signs = not by_day and await _active_signs(tx)
        return await _add_key(tx, secret_key, KeyState.PENDING, now, signs=signs)
    if by_day and await _signs(tx, pending):
        raise invalid("by_day", "a rotation was cut off; complete it by `keys rotate` first")
    return pending


async def finish_rotation(tx: AsyncConnection, key_id: int, now: datetime) -> None:
    """Makes the pending key active, unless it is already; not before every process knows it.

    Raises REVOKED if it was revoked.
    """
    await _lock(tx)
    state = await _state_of(tx, key_id)
    if state is KeyState.REVOKED:
        raise DomainError(
            Reason.REVOKED,
            f"QR key {key_id} was revoked before it became active; rotate again",
            resource="qr_key",
            name=key_id,
        )
    if state is not KeyState.PENDING:
        return
    await tx.execute(
        update(qr_keys)
        .where(qr_keys.c.state == KeyState.ACTIVE)
        .values(state=KeyState.VERIFY_ONLY, retire_time=now)
    )
    await _activate(tx, key_id, now)


async def _destroy_seeds(tx: AsyncConnection, secret_key: bytes) -> None:
    """Where issuing keys sign now, nobody needs what former keys signed with."""
    if await _active_signs(tx):
        return
    signed = select(qr_keys).where(
        qr_keys.c.state == KeyState.VERIFY_ONLY,
        func.length(qr_keys.c.encrypted_secrets) > _ENCRYPTED_AES_KEY_BYTES,
    )
    for row in await tx.execute(signed):
        key = replace(_from_row(row, secret_key), seed=None)
        await tx.execute(
            update(qr_keys)
            .where(qr_keys.c.key_id == key.key_id)
            .values(encrypted_secrets=encrypt_secrets(key, secret_key))
        )


async def revoke(tx: AsyncConnection, key_id: int, now: datetime) -> None:
    """Ends a key: within a second every token under it is refused. Safe to repeat.

    Raises NOT_FOUND, and INVALID_FIELD for the active key, without which no token could be issued.
    """
    await _lock(tx)
    state = await _state_of(tx, key_id)
    if state is KeyState.ACTIVE:
        raise invalid("key_id", f"QR key {key_id} is the active one; rotate first, then revoke it")
    if state is not KeyState.REVOKED:
        await tx.execute(
            update(qr_keys)
            .where(qr_keys.c.key_id == key_id)
            .values(state=KeyState.REVOKED, revoke_time=now)
        )
        await change_feed.publish(tx, change_feed.ChangeKind.QR_KEY, key_id)


async def compromise(
    tx: AsyncConnection,
    secret_key: bytes,
    key_id: int,
    *,
    actor: str,
    comment: str,
    now: datetime,
) -> None:
    """Ends a key that others have, by the id of a QrKey or an issuing key's number; in the place of
    one that seals another is at once. Has what was issued under it issued anew. Safe to repeat.

    Once PROPAGATION_SECONDS have passed since the commit every process refuses its tokens, and says
    of those that were issued that the ticket is genuine. A process that does not know the new key
    yet refuses what is issued under that, for as long. Raises NOT_FOUND, and INVALID_FIELD for
    one that does not sign.
    """
    await _lock(tx)
    if key_id >= FIRST_NUMBER:
        before = await issuing_keys.compromise(tx, key_id, now)
    else:
        before = await _compromise(tx, secret_key, key_id, now)
    if before is None:
        return
    await change_feed.publish(tx, change_feed.ChangeKind.QR_KEY, key_id)
    after = {"state": "COMPROMISED", "comment": comment}
    change = AuditedChange(actor, "compromise", "qr_key", key_id, {"state": before}, after)
    await run(tx, audit(change, now=now))
    due = now + timedelta(seconds=PROPAGATION_SECONDS)
    await run(tx, outbox.enqueue(outbox.NewTask(REISSUE, str(key_id), {}, due), now=now))


async def _compromise(
    tx: AsyncConnection, secret_key: bytes, key_id: int, now: datetime
) -> str | None:
    """The state before; None if it was compromised already."""
    state = await _state_of(tx, key_id)
    if state is KeyState.COMPROMISED:
        return None
    if not await _signs(tx, key_id):
        raise invalid(
            "key_id",
            f"QR key {key_id} encrypts alone: who has it makes no codes; rotate instead, and name"
            " the issuing key, 256 or above, that others have",
        )
    await tx.execute(
        update(qr_keys)
        .where(qr_keys.c.key_id == key_id)
        .values(state=KeyState.COMPROMISED, compromise_time=now)
    )
    if state is KeyState.ACTIVE:
        pending = await _key_id_in(tx, KeyState.PENDING)
        if pending is None:
            await _add_key(tx, secret_key, KeyState.ACTIVE, now, signs=True)
        else:
            await _activate(tx, pending, now)
    return state.value


async def known_everywhere() -> None:
    """Returns when every process knows what was committed about keys."""
    await asyncio.sleep(PROPAGATION_SECONDS)


async def _activate(tx: AsyncConnection, key_id: int, now: datetime) -> None:
    await tx.execute(
        update(qr_keys)
        .where(qr_keys.c.key_id == key_id, qr_keys.c.state == KeyState.PENDING)
        .values(state=KeyState.ACTIVE, activate_time=now)
    )
    await change_feed.publish(tx, change_feed.ChangeKind.QR_KEY, key_id)


async def _lock(tx: AsyncConnection) -> None:
    # Lets readers pass, holds up other changes until the commit.
    await tx.execute(text("LOCK TABLE qr_keys IN SHARE ROW EXCLUSIVE MODE"))


async def _key_id_in(tx: AsyncConnection, state: KeyState) -> int | None:
    found = await tx.execute(select(qr_keys.c.key_id).where(qr_keys.c.state == state))
    return found.scalar_one_or_none()


async def _state_of(tx: AsyncConnection, key_id: int) -> KeyState:
    found = await tx.execute(select(qr_keys.c.state).where(qr_keys.c.key_id == key_id))
    state = found.scalar_one_or_none()
    if state is None:
        raise not_found("qr_key", key_id)
    return KeyState(state)


async def _signs(tx: AsyncConnection, key_id: int) -> bool:
    stored = select(func.length(qr_keys.c.encrypted_secrets)).where(qr_keys.c.key_id == key_id)
    return bool((await tx.execute(stored)).scalar_one() > _ENCRYPTED_AES_KEY_BYTES)


async def _active_signs(tx: AsyncConnection) -> bool:
    active = await _key_id_in(tx, KeyState.ACTIVE)
    return active is None or await _signs(tx, active)


async def _add_key(
    tx: AsyncConnection, secret_key: bytes, state: KeyState, now: datetime, *, signs: bool
) -> int:
    key = QrKey.generate(free_key_id(await list_keys(tx)), state)
    if not signs:  # nobody has what its public key is of
        key = replace(key, seed=None)
    # after 256 keys an id comes again
    for issued in (qr_issues, issued_tokens):
        await tx.execute(delete(issued).where(issued.c.key_id == key.key_id))
    await tx.execute(delete(qr_keys).where(qr_keys.c.key_id == key.key_id))
    await tx.execute(
        insert(qr_keys).values(
            key_id=key.key_id,
            state=state,
            verify_key=key.verify_key,
            encrypted_secrets=encrypt_secrets(key, secret_key),
            create_time=now,
            activate_time=now if state is KeyState.ACTIVE else None,
            is_recorded=True,
        )
    )
    await change_feed.publish(tx, change_feed.ChangeKind.QR_KEY, key.key_id)
    return key.key_id


def free_key_id(keys: Sequence[KeyInfo]) -> int:
    """The lowest id never used; after 256 keys, the one revoked longest ago.

    Raises INVALID_FIELD if every id is in use.
    """
    unused = set(range(256)) - {key.key_id for key in keys}
    if unused:
        return min(unused)
    revoked = [(key.revoke_time, key.key_id) for key in keys if key.revoke_time]
    if not revoked:
        raise invalid("key_id", "all 256 ids of QR keys are in use; revoke one that is verify-only")
    return min(revoked)[1]


def encrypt_secrets(key: QrKey, secret_key: bytes) -> bytes:
    """iv 12 B | AES-256-GCM of seed, if there is one, and AES key, tag behind; bound to key id and
    public key.
    """
    bound = _bound(key.key_id, key.verify_key)
    return Sealer(secret_key).seal((key.seed or b"") + key.aes_key, bound)


def decrypt_secrets(
    encrypted: bytes, key_id: int, verify_key: bytes, secret_key: bytes
) -> tuple[bytes | None, bytes]:
    """The seed, if there is one, and the AES key. Raises ConfigError for another secret key, or an
    altered row.
    """
    try:
        secrets = Sealer(secret_key).open(encrypted, _bound(key_id, verify_key))
    except InvalidTag:
        raise ConfigError(
            f"DEEPTRAVEL_SECRET_KEY: QR key {key_id} in the database was stored under another one;"
            " set that one again"
        ) from None
    return secrets[:-AES_KEY_BYTES] or None, secrets[-AES_KEY_BYTES:]


def _bound(key_id: int, verify_key: bytes) -> bytes:
    return b"deeptravel qr key\x00" + bytes([key_id]) + verify_key


def _from_row(row: Row[Any], secret_key: bytes) -> QrKey:
    seed, aes_key = decrypt_secrets(row.encrypted_secrets, row.key_id, row.verify_key, secret_key)
    return QrKey(
        row.key_id,
        KeyState(row.state),
        row.verify_key,
        aes_key=aes_key,
        seed=seed,
        compromise_time=row.compromise_time,
    )
