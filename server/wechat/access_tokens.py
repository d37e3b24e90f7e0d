"""The access token of the mini program's calls: one for all processes, kept sealed in PostgreSQL.

Whoever finds it near its end fetches the next one from WeChat, alone: it takes the row's
`fetch_until` first, by a guarded UPDATE, and the others go on with the token that is still good, or
wait for the new one. A process that dies while it fetches is waited for no longer than that. Redis
has no part in it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from sqlalchemy import Column, DateTime, LargeBinary, Table, Text

from server.platform import clock
from server.platform.crypto import Sealer, derive
from server.platform.database import Database, metadata
from server.platform.statements import Statement, run

RENEWED_BEFORE = timedelta(minutes=4)
"""So long before a token's end the next one is fetched: from 5 minutes before it on WeChat gives
another, and both are good for 5 minutes.
"""
FORCED_EVERY = timedelta(seconds=30)
"""A token that is called invalid before its end is replaced by force: WeChat does that after 30 s
again, and 20 times a day.
"""
FETCH_SECONDS = 5.0
"""Who fetches has so long; then another does: well before the attempts that wait for it end (12 s),
of which nobody would know whether they had sent anything.
"""
WAIT_SECONDS = 0.1
"""Between two looks whether another has fetched it."""

wechat_access_tokens = Table(
    "wechat_access_tokens",
    metadata,
    Column("app_id", Text, primary_key=True),
    # AES-GCM, bound to the app_id; NULL before the first
    Column("sealed", LargeBinary),
    Column("expire_time", DateTime(timezone=True)),
    Column("fetch_time", DateTime(timezone=True)),
    # until when somebody is fetching the next one
    Column("fetch_until", DateTime(timezone=True)),
)


class FetchedToken(NamedTuple):
    """A token as WeChat gave it, and how long it is good."""

    token: str
    expires_in_seconds: int


class _Row(NamedTuple):
    sealed: bytes | None
    expire_time: datetime | None
    fetch_time: datetime | None
    fetch_until: datetime | None


_READ = Statement(
    """
SELECT sealed, expire_time, fetch_time, fetch_until FROM wechat_access_tokens WHERE app_id = $1
""",
    _Row,
)
_BEGIN = Statement(
    """
INSERT INTO wechat_access_tokens AS t (app_id, fetch_until) VALUES ($1, $3::timestamptz)
ON CONFLICT (app_id) DO UPDATE SET fetch_until = excluded.fetch_until
WHERE (t.fetch_until IS NULL OR t.fetch_until <= $2::timestamptz)
  AND t.sealed IS NOT DISTINCT FROM $4::bytea
RETURNING app_id
""",
    str,
)
_KEEP = Statement("""
UPDATE wechat_access_tokens SET sealed = $2::bytea, expire_time = $3::timestamptz,
  fetch_time = $4::timestamptz, fetch_until = NULL
WHERE app_id = $1 AND fetch_until = $5::timestamptz
""")
_GIVE_UP = Statement("""
UPDATE wechat_access_tokens SET fetch_until = NULL
WHERE app_id = $1 AND fetch_until = $2::timestamptz
""")

Fetch = Callable[[bool], Awaitable[FetchedToken]]
"""Asks WeChat for a token; with True for another than it gave last."""


class AccessTokens:
    """The token of one mini program, as this process knows it."""

    def __init__(self, db: Database, secret_key: bytes, app_id: str, fetch: Fetch) -> None:
        self._db = db
        self._sealer = Sealer(derive(secret_key, "deeptravel wechat access tokens"))
        self._app_id = app_id
        self._fetch = fetch
        self._known: tuple[str, datetime] | None = None
        self._turn = asyncio.Lock()

    async def get(self, refused: str = "") -> str:
        """A token that is good now, and is not `refused`, which WeChat has just called invalid.

        Raises what the fetch raises, and DATABASE_UNAVAILABLE.
        """
        if (known := self._good(refused, clock.now())) is not None:
            return known
        async with self._turn:  # one of this process asks the database, then one of all WeChat
            while True:
                now = clock.now()
                if (known := self._good(refused, now)) is not None:
                    return known
                row = await self._read()
                token = self._open(row, now)
                is_near_end = row.expire_time is None or now >= row.expire_time - RENEWED_BEFORE
                if token and token != refused and not is_near_end:
                    continue
                if refused and token == refused and _is_new(row, now):
                    return token  # WeChat gives no other yet: the message is tried again later
                fetched = await self._fetch_alone(row, refused, token, now)
                if fetched is not None:
                    return fetched
                if token and token != refused:
                    return token  # still good, while another fetches the next one
                await asyncio.sleep(WAIT_SECONDS)

    def _good(self, refused: str, now: datetime) -> str | None:
        if self._known is None or self._known[0] == refused:
            return None
        token, expire_time = self._known
        return token if now < expire_time - RENEWED_BEFORE else None

    async def _read(self) -> _Row:
        async with self._db.transaction() as tx:
            rows = await run(tx, _READ(self._app_id))
        return rows[0] if rows else _Row(None, None, None, None)

    def _open(self, row: _Row, now: datetime) -> str:
        """The row's token, if it is good; remembered."""
        if row.sealed is None or row.expire_time is None or now >= row.expire_time:
            return ""
        try:
            token = self._sealer.open(row.sealed, self._app_id.encode()).decode()
        except InvalidTag:  # sealed under another key of this server
            return ""
        self._known = token, row.expire_time
        return token

    async def _fetch_alone(self, row: _Row, refused: str, found: str, now: datetime) -> str | None:
        """Fetches the next one; None while another process is at it."""
        until = now + timedelta(seconds=FETCH_SECONDS)
        async with self._db.transaction() as tx:
            if not await run(tx, _BEGIN(self._app_id, now, until, row.sealed)):
                return None
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                fetched = await self._fetch(bool(refused) and found == refused)
        except BaseException:
            async with self._db.transaction() as tx:
                await run(tx, _GIVE_UP(self._app_id, until))
            raise
        expire_time = now + timedelta(seconds=fetched.expires_in_seconds)
        sealed = self._sealer.seal(fetched.token.encode(), self._app_id.encode())
        async with self._db.transaction() as tx:
            await run(tx, _KEEP(self._app_id, sealed, expire_time, now, until))
        self._known = fetched.token, expire_time
        return fetched.token


def _is_new(row: _Row, now: datetime) -> bool:
    return row.fetch_time is not None and now < row.fetch_time + FORCED_EVERY
