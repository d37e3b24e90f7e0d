"""Travellers: who logs in by the mini-program, their access tokens, and which of them are blocked.

An access token is not stored. It says whose it is and until when, under our MAC, so that
recognising it costs microseconds and no statement. There is no refresh token: `wx.login` gives the
mini-program a code for a new token whenever it asks. Before its time a token ends by a block alone,
within a second in every process: the ids of the blocked, normally a handful, are remembered
(`server.platform.change_feed`).
"""

import base64
import random
import re
import secrets
import struct
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from server.identity.callers import Traveller
from server.identity.keys import unauthenticated
from server.identity.models import travellers
from server.platform.change_feed import ChangeFeed, ChangeKind, Remembered
from server.platform.config import Settings
from server.platform.crypto import Signer
from server.platform.database import Database
from server.platform.errors import DomainError, Reason, not_found
from server.platform.ratelimit import Allowance, TokenBuckets

TOKEN_PREFIX = "dtt_"  # noqa: S105 - what a token begins with
_TOKEN = re.compile(r"dtt_([A-Za-z0-9_-]{48})")  # 36 bytes
_CONTENT = struct.Struct(">BQIB6s")
"""Version, traveller, expiry in Unix seconds, flags, nonce; the MAC follows."""
_VERSION = 1
_NO_FLAGS = 0
_NONCE_BYTES = 6
_MAC_BYTES = 16

_ID_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
_ID_RANDOM_BITS = 22
"""After 31 bits of seconds, which last until 2088: the 53 bits that JavaScript's numbers have."""


class TravellerToken(NamedTuple):
    """A new access token and its life."""

    access_token: str
    expires_in_seconds: int


@dataclass(frozen=True, slots=True)
class Payer:
    """A traveller as WeChat Pay knows one: the mini-program, and who it is in it."""

    app_id: str
    openid: str


async def log_in(
    tx: AsyncConnection, *, app_id: str, openid: str, unionid: str | None, now: datetime
) -> Traveller:
    """The traveller whom WeChat calls `openid` in the mini-program, made at the first log-in.

    A `unionid` once sent is kept where WeChat does not send it again. Raises REVOKED for one who is
    blocked, and LostRaceError if the new id is another's already: `Database.in_transaction` draws
    again.
    """
    new = insert(travellers).values(
        traveller_id=_new_id(now),
        app_id=app_id,
        openid=openid,
        unionid=unionid,
        state="ACTIVE",
        create_time=now,
        update_time=now,
        last_login_time=now,
    )
    row = (
        await tx.execute(
            new.on_conflict_do_update(
                index_elements=[travellers.c.openid, travellers.c.app_id],
                set_={
                    "last_login_time": now,
                    "unionid": func.coalesce(new.excluded.unionid, travellers.c.unionid),
                },
            ).returning(travellers.c.traveller_id, travellers.c.state)
        )
    ).one()
    if row.state == "BLOCKED":
        raise DomainError(
            Reason.REVOKED,
            "this traveller is blocked; the customer service can lift the block",
            resource="traveller",
            name=row.traveller_id,
        )
    return Traveller(row.traveller_id)


async def payer(tx: AsyncConnection, traveller_id: int) -> Payer:
    """Who pays when this traveller does. Raises NOT_FOUND."""
    row = (
        await tx.execute(
            select(travellers.c.app_id, travellers.c.openid).where(
                travellers.c.traveller_id == traveller_id
            )
        )
    ).one_or_none()
    if row is None:
        raise not_found("traveller", traveller_id)
    return Payer(row.app_id, row.openid)


def _new_id(now: datetime) -> int:
    seconds = int((now - _ID_EPOCH).total_seconds())
    return seconds << _ID_RANDOM_BITS | random.getrandbits(_ID_RANDOM_BITS)


class TravellerTokens:
    """Makes travellers' access tokens and reads them; every process with the same secret key
    reads them alike.
    """

    def __init__(self, secret_key: bytes, *, life_seconds: int) -> None:
        self._signer = Signer(secret_key, "deeptravel traveller tokens", mac_bytes=_MAC_BYTES)
        self._life_seconds = life_seconds

    def issue(self, traveller: Traveller, now: datetime) -> TravellerToken:
        """A new token, `dtt_` and 48 letters."""
        expiry = int(now.timestamp()) + self._life_seconds
        nonce = secrets.token_bytes(_NONCE_BYTES)
        content = _CONTENT.pack(_VERSION, traveller.traveller_id, expiry, _NO_FLAGS, nonce)
        text = base64.urlsafe_b64encode(content + self._signer.mac(content)).decode()
        return TravellerToken(TOKEN_PREFIX + text, self._life_seconds)

    def read(self, token: str, at: float) -> Traveller | None:
        """Whose token it is; None for one that is forged, of another key or kind, or expired by
        `at` (Unix seconds).
        """
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        raw = base64.urlsafe_b64decode(match[1])
        content = raw[: _CONTENT.size]
        if not self._signer.has_signed(content, raw[_CONTENT.size :]):
            return None
        version, traveller_id, expiry, flags, _ = _CONTENT.unpack(content)
        if (version, flags) != (_VERSION, _NO_FLAGS) or at >= expiry:
            return None
        return Traveller(traveller_id)


class Travellers:
    """Recognises the travellers who call one process, and gives them their tokens."""

    def __init__(self, db: Database, feed: ChangeFeed, settings: Settings) -> None:
        assert settings.secret_key is not None, "whoever serves has one"
        secret_key = settings.secret_key.get_secret_value()
        self._db = db
        self._tokens = TravellerTokens(secret_key, life_seconds=settings.traveller_token_seconds)
        self._buckets = TokenBuckets(settings.traveller_requests_per_minute)
        self._blocked: Remembered[str, frozenset[int]] = Remembered(
            feed, self._load_blocked, kinds=[ChangeKind.TRAVELLER]
        )

    def issue(self, traveller: Traveller, now: datetime) -> TravellerToken:
        """An access token for one who has just logged in."""
        return self._tokens.issue(traveller, now)

    async def recognise(self, token: str) -> Traveller:
        """Whose live token this is. Raises UNAUTHENTICATED, alike for what is wrong, expired and
        blocked.
        """
        traveller = self._read(token)
        await self.recheck(traveller)
        return traveller

    def remembered(self, token: str) -> Traveller | None:
        """`recognise`, if it is remembered who is blocked; None if not."""
        return self.recall(self._read(token))

    def _read(self, token: str) -> Traveller:
        traveller = self._tokens.read(token, time.time())
        if traveller is None:
            raise unauthenticated()
        return traveller

    def allowance(self, traveller: Traveller) -> Allowance | None:
        """Counts a call against the traveller's limit in this process; None without a limit."""
        return self._buckets.hit(traveller.traveller_id)

    async def recheck(self, traveller: Traveller) -> None:
        """Nothing, unless the traveller is blocked by now, for streams. Raises UNAUTHENTICATED."""
        if self.recall(traveller) is None:
            _require_unblocked(traveller, await self._blocked.get(""))

    def recall(self, traveller: Traveller) -> Traveller | None:
        """The traveller, if it is remembered who is blocked; None if not. Raises UNAUTHENTICATED
        for one who is.
        """
        blocked = self._blocked.peek("")
        if blocked is None:
            return None
        _require_unblocked(traveller, blocked)
        return traveller

    async def _load_blocked(self, _: str) -> frozenset[int]:
        query = select(travellers.c.traveller_id).where(travellers.c.state == "BLOCKED")
        async with self._db.transaction() as tx:
            return frozenset((await tx.execute(query)).scalars())


def _require_unblocked(traveller: Traveller, blocked: frozenset[int]) -> None:
    if traveller.traveller_id in blocked:
        raise unauthenticated()
