"""Credentials of channels: sealed, bound to the channel, and compared by the account that they are
of.
"""

from collections.abc import Mapping
from typing import NamedTuple, Self

import orjson
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.channels.models import channels
from server.platform.crypto import Sealer, derive
from server.platform.errors import invalid

ACTIVE = "ACTIVE"
ACCOUNT_LOCK = 0x44544348
"""An advisory lock, any number that nobody else uses: accounts are compared one channel after the
other.
"""


class ChannelSeals:
    """Seals and opens credentials of channels."""

    def __init__(self, secret_key: bytes) -> None:
        self._sealer = Sealer(derive(secret_key, "deeptravel channel credentials"))

    def seal(self, channel_code: str, credentials: Mapping[str, str]) -> bytes:
        """The credentials as they are stored."""
        return self._sealer.seal(orjson.dumps(dict(credentials)), channel_code.encode())

    def open(self, channel_code: str, sealed: bytes) -> dict[str, str]:
        """The credentials again. Raises InvalidTag for those of another channel or key."""
        found: dict[str, str] = orjson.loads(self._sealer.open(sealed, channel_code.encode()))
        return found


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
    if not account.names:
        return
    await tx.execute(select(func.pg_advisory_xact_lock(ACCOUNT_LOCK)))
    c = channels.c
    query = select(c.channel_code, c.base_url, c.sealed_credentials).where(
        c.vendor_code == account.vendor_code, c.channel_code != channel_code, c.state == ACTIVE
    )
    for code, base_url, sealed in await tx.execute(query):
        if VendorAccount.of(account.vendor_code, base_url, seals.open(code, sealed)) == account:
            raise invalid(
                "credentials",
                f"are of the account that channel {code} has; pause that one first, or list more"
                " items on it",
            )
