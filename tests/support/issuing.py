"""An issuer of QR codes without a server."""

from server.platform.change_feed import ChangeFeed, ChangeKind, Remembered
from server.platform.database import Database
from server.tickets import keys, qr
from server.tickets.issuing import Issuer


def key_rings(db: Database, secret_key: bytes) -> Remembered[str, qr.KeyRing]:
    """The keys in a database."""

    async def load(_: str) -> qr.KeyRing:
        async with db.transaction() as tx:
            return await keys.load_key_ring(tx, secret_key)

    return Remembered(ChangeFeed(db), load, kinds=[ChangeKind.QR_KEY])


def issuer(db: Database, secret_key: bytes) -> Issuer:
    """Issues under the active of these keys."""
    return Issuer(key_rings(db, secret_key), db)
