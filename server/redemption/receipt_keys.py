"""The keys of redemption receipts: the newest signs, all of them stay published, so that a receipt
verifies for as long as anybody keeps it.

A key is derived from the secret key and its number; of it the database holds the public half alone.
"""

from datetime import datetime
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.trail import AuditedChange, audit
from server.platform.crypto import derive, digest
from server.platform.statements import run
from server.redemption.models import receipt_keys


class ReceiptKey(NamedTuple):
    """A public key, 32 bytes, its number from 1, and since when it signs."""

    key_number: int
    public_key: bytes
    create_time: datetime

    @property
    def key_id(self) -> str:
        """What receipts name it by: the beginning of the SHA-256 of the public key."""
        return digest(self.public_key).hex()[:16]

    @property
    def pem(self) -> str:
        """The public key as openssl and others read it."""
        key = Ed25519PublicKey.from_public_bytes(self.public_key)
        return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


async def list_keys(tx: AsyncConnection) -> list[ReceiptKey]:
    """All keys that ever signed, the newest first."""
    query = select(receipt_keys).order_by(receipt_keys.c.key_number.desc())
    return [ReceiptKey(*row) for row in await tx.execute(query)]


async def signing_key(
    tx: AsyncConnection, secret_key: bytes, now: datetime
) -> tuple[str, Ed25519PrivateKey]:
    """The id of the newest key, and its secret half. It is made if there is none, or if that was
    made with another secret key than the server's.
    """
    newest = next(iter(await list_keys(tx)), None)
    if newest is None or newest.public_key != _public(secret_key, newest.key_number):
        newest = await _add(tx, secret_key, now)
    return newest.key_id, _private(secret_key, newest.key_number)


async def rotate(tx: AsyncConnection, secret_key: bytes, *, actor: str, now: datetime) -> str:
    """Has another key sign from the commit on, and returns its id."""
    added = await _add(tx, secret_key, now)
    change = AuditedChange(actor, "rotate", "receipt_key", added.key_id, None, {"state": "ACTIVE"})
    await run(tx, audit(change, now=now))
    return added.key_id


async def _add(tx: AsyncConnection, secret_key: bytes, now: datetime) -> ReceiptKey:
    """One more key; of two that are added at once the first, for both."""
    number = max((key.key_number for key in await list_keys(tx)), default=0) + 1
    key = ReceiptKey(number, _public(secret_key, number), now)
    await tx.execute(insert(receipt_keys).values(key._asdict()).on_conflict_do_nothing())
    return key


def _private(secret_key: bytes, number: int) -> Ed25519PrivateKey:
    seed = derive(secret_key, f"deeptravel redemption receipts {number}")
    return Ed25519PrivateKey.from_private_bytes(seed)


def _public(secret_key: bytes, number: int) -> bytes:
    return _private(secret_key, number).public_key().public_bytes_raw()
