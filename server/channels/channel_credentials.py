"""Credentials of channels: sealed, bound to the channel, and compared by the account that they are
of.
"""

from collections.abc import Mapping
from typing import NamedTuple, Self

import orjson
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.channels.models import channels
from server.platform.crypto import Sealer, derive, fingerprint
from server.platform.errors import invalid

ACTIVE = "ACTIVE"
DISCONNECTING = "DISCONNECTING"
"""It is sent that nothing is left, and what it has booked is seen to; then it is REVOKED."""
SENT_TO = (ACTIVE, DISCONNECTING)
"""States in which a channel is called, and its bookings are fetched."""
HASH_BYTES = 16
ACCOUNT_LOCK = 0x44544348
"""An advisory lock, any number that nobody else uses: accounts are compared one channel after the
other.
"""


class ChannelSeals:
    """Seals and opens credentials of channels."""

    def __init__(self, secret_key: bytes) -> None:
        self._sealer = Sealer(derive(secret_key, "deeptravel channel credentials"))
        self._account_key = derive(secret_key, "deeptravel channel accounts")

    def seal(self, channel_code: str, credentials: Mapping[str, str]) -> bytes:
        """The credentials as they are stored."""
        return self._sealer.seal(orjson.dumps(dict(credentials)), channel_code.encode())

    def open(self, channel_code: str, sealed: bytes) -> dict[str, str]:
        """The credentials again. Raises InvalidTag for those of another channel or key."""
        found: dict[str, str] = orjson.loads(self._sealer.open(sealed, channel_code.encode()))
        return found

    def account_hash(self, account: "VendorAccount") -> bytes:
        """What is kept of an account without its names."""
        said = orjson.dumps([*account[:2], sorted(account.names)])
        return fingerprint(said, size_bytes=HASH_BYTES, key=self._account_key)


class VendorAccount(NamedTuple):
    """Whose bookings a vendor gives: where, and as whom; without what proves it."""

    vendor_code: str
    base_url: str
    names: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, vendor_code: str, base_url: str, credentials: Mapping[str, str]) -> Self:
        """The account of these credentials."""
        public = [each for each in credentials.items() if not each[0].endswith("secret")]
        return cls(vendor_code, base_url, frozenset(public))


async def refuse_shared_account(
    tx: AsyncConnection, seals: ChannelSeals, channel_code: str, account: VendorAccount
) -> None:
    """Raises INVALID_FIELD if another channel that is not paused has the account: each would fetch
    all its bookings, and each booking become two orders.
    """
    if code := await who_shares(tx, seals, channel_code, account):
        raise invalid(
            "credentials",
            f"are of the account that channel {code} has; pause that one first, or list more items"
            " on it",
        )


async def who_shares(
    tx: AsyncConnection, seals: ChannelSeals, channel_code: str, account: VendorAccount
) -> str:
    """Another channel of the account that is neither paused nor revoked; empty if there is none.
    Whoever else asks waits until the end of the transaction.
    """
    if not account.names:
        return ""
    await tx.execute(select(func.pg_advisory_xact_lock(ACCOUNT_LOCK)))
    c = channels.c
    query = select(c.channel_code, c.base_url, c.sealed_credentials).where(
        c.vendor_code == account.vendor_code,
        c.channel_code != channel_code,
        c.state.in_(SENT_TO),
    )
    for code, base_url, sealed in await tx.execute(query):
        if VendorAccount.of(account.vendor_code, base_url, seals.open(code, sealed)) == account:
            return str(code)
    return ""
