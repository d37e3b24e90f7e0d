"""The clients of channels in this process: one a channel, made anew when anything of it changes."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import REVOKED, revoked
from server.channels import call_log
from server.channels.breaker import CircuitBreakers
from server.channels.calling import ChannelClient, Connection
from server.channels.channel_credentials import ACTIVE, SENT_TO, ChannelSeals
from server.channels.channel_records import (
    CHANNELS,
    ChannelRecord,
    credentials_of,
)
from server.channels.channel_words import words_of
from server.channels.facts import Capability, UntestableError
from server.channels.http_pool import HttpPool
from server.channels.registry import FEED_PATH, VENDORS, Vendor
from server.channels.tokens import ChannelTokens
from server.channels.words import WordPair, Words
from server.platform.database import Database
from server.platform.errors import DomainError, Reason, invalid
from server.platform.ratelimit import RateLimiter
from server.platform.statements import run


class _Read(NamedTuple):
    """All that a client is made of."""

    record: ChannelRecord
    sealed: bytes
    words: tuple[WordPair, ...]


@dataclass(slots=True)
class _Open:
    read: _Read
    client: ChannelClient
    pool: HttpPool


class OpenedChannel(NamedTuple):
    """A channel as it is now, and how to call it."""

    record: ChannelRecord
    vendor: Vendor
    client: ChannelClient

    @property
    def is_active(self) -> bool:
        """Whether it sells: it is neither paused nor being disconnected."""
        return self.record.state == ACTIVE


class ChannelClients:
    """What this process calls channels with. Credentials that were rotated, and words that were
    mapped, count from the next call on.
    """

    def __init__(
        self, db: Database, secret_key: bytes, tokens: ChannelTokens, limiter: RateLimiter
    ) -> None:
        self.seals = ChannelSeals(secret_key)
        self._db = db
        self._tokens = tokens
        self._limiter = limiter
        self._open: dict[str, _Open] = {}
        self._replaced: list[HttpPool] = []
        self._breakers: dict[str, CircuitBreakers] = {}

    async def get(self, channel_code: str) -> OpenedChannel:
        """The channel. Raises NOT_FOUND, REVOKED, INVALID_FIELD for one that is not called but
        fetches, DATABASE_UNAVAILABLE.
        """
        async with self._db.transaction() as tx:
            read = await _read(tx, channel_code)
        if read.record.state == REVOKED:
            raise revoked("channel", channel_code)
        vendor = VENDORS[read.record.vendor_code]
        if vendor.codec is None:
            raise invalid("channel_code", f"{vendor.display_name_en} fetches, and is never called")
        known = self._open.get(channel_code)
        if known is None or known.read != read:
            known = self._opened(read, vendor)
            if replaced := self._open.get(channel_code):
                self._replaced.append(replaced.pool)  # calls may be under way in it
            self._open[channel_code] = known
        return OpenedChannel(read.record, vendor, known.client)

    async def active(self, channel_code: str) -> OpenedChannel | None:
        """The channel, if it is called now: neither paused nor revoked. Raises as `get`."""
        try:
            found = await self.get(channel_code)
        except DomainError as error:
            if error.reason is not Reason.REVOKED:
                raise
            return None
        return found if found.record.state in SENT_TO else None

    async def forget(self, channel: ChannelRecord) -> None:
        """Forgets what a channel was called with that is revoked now."""
        code = channel.channel_code
        await self._tokens.forget(f"{code}:{channel.credentials_version - 1}")
        if opened := self._open.pop(code, None):
            self._replaced.append(opened.pool)

    async def test(self, channel_code: str) -> None:
        """Calls a channel to prove that it knows us. Raises as `get`, ChannelCallError,
        UnmappedError, UntestableError.
        """
        async with self._db.transaction() as tx:
            channel = await CHANNELS.get(tx, channel_code)
            calls = await run(tx, call_log.newest(channel_code, before=None, limit=1))
        vendor = VENDORS[channel.vendor_code]
        if Capability.BOOKINGS in vendor.capabilities:
            await (await self.get(channel_code)).client.test()
            return
        said = "there was none yet: list an item, and look at the channel's calls then"
        if calls:
            last = calls[0]
            when = f"{last.create_time:%Y-%m-%d %H:%M:%S} UTC"
            said = f"the last call, {last.endpoint} at {when}, was {last.outcome}"
        why = "has no call that proves us and changes nothing"
        if Capability.FEED in vendor.capabilities:
            why = f"is never called, and fetches {FEED_PATH}{channel_code}"
        raise UntestableError(f"{vendor.display_name_en} {why}; {said}")

    async def close(self) -> None:
        """Closes connections and tokens."""
        for pool in (*self._replaced, *(each.pool for each in self._open.values())):
            await pool.close()
        self._open.clear()
        await self._tokens.close()

    def _opened(self, read: _Read, vendor: Vendor) -> _Open:
        assert vendor.codec
        record = read.record
        credentials = self.seals.open(record.channel_code, read.sealed)
        codec = vendor.codec(credentials, Words(read.words, record.currency_code))
        pool = HttpPool(record.base_url)
        connection = Connection(
            record.channel_code,
            f"{record.channel_code}:{record.credentials_version}",
            codec,
            pool,
            record.calls_per_minute,
        )
        breakers = self._breakers.setdefault(record.channel_code, CircuitBreakers())
        client = ChannelClient(
            connection, self._tokens, self._limiter, partial(call_log.note, self._db), breakers
        )
        return _Open(read, client, pool)


async def _read(tx: AsyncConnection, channel_code: str) -> _Read:
    record = await CHANNELS.get(tx, channel_code)
    stored = await credentials_of(tx, channel_code)
    return _Read(record, stored.sealed, tuple(await words_of(tx, channel_code)))
