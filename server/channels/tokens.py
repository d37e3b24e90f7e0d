"""Access tokens of channels: one for all processes, kept sealed in Redis until shortly before its
end.

Whoever finds none fetches it, alone: of each process one asks, of all processes the one that has
the lock in Redis. Redis may be lost, and the lock's holder may die: then a process fetches a token
of its own. A token that the vendor has refused is never given again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from secrets import token_urlsafe

import orjson
from cryptography.exceptions import InvalidTag

from server.channels.wire import IssuedToken
from server.platform import clock
from server.platform.crypto import Sealer, derive
from server.platform.redis_client import RedisClient, Script

MARGIN_SECONDS = 300
"""So long before its end a token is no longer used (seed 003); of a short life half of it."""
FETCH_SECONDS = 15.0
"""Who fetches has the lock so long; then another does."""
LOOK_SECONDS = 0.05
"""Between two looks whether another process has fetched it."""

OWNER_BYTES = 12
_RELEASE = """
if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end
return 0
"""

Fetch = Callable[[], Awaitable[IssuedToken]]


@dataclass(slots=True)
class _Known:
    token: str = ""
    until: datetime | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def good(self, refused: str, now: datetime) -> str | None:
        if self.token and self.token != refused and self.until and now < self.until:
            return self.token
        return None


class ChannelTokens:
    """The tokens that this process knows, and its way to those in Redis."""

    def __init__(self, redis_url: str, secret_key: bytes) -> None:
        self._client = RedisClient(redis_url, "channel_tokens")
        self._sealer = Sealer(derive(secret_key, "deeptravel channel tokens"))
        self._script = Script(self._client.redis, _RELEASE)
        self._known: dict[str, _Known] = {}

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def get(self, name: str, fetch: Fetch, refused: str = "") -> str:
        """The token under that name, which is the channel and the version of its credentials, and
        is not `refused`. Raises what `fetch` raises.
        """
        known = self._known.setdefault(name, _Known())
        if found := known.good(refused, clock.now()):
            return found
        async with known.turn:
            until = asyncio.get_running_loop().time() + FETCH_SECONDS
            while not (found := known.good(refused, clock.now())):
                await self._read(name, known)
                if found := known.good(refused, clock.now()):
                    break
                is_late = asyncio.get_running_loop().time() > until
                owner = token_urlsafe(OWNER_BYTES)
                if is_late or await self._lock(name, owner):
                    return await self._fetch(name, known, fetch, refused, owner)
                await asyncio.sleep(LOOK_SECONDS)
            return found

    async def forget(self, name: str) -> None:
        """Forgets the token under that name, here and in Redis."""
        self._known.pop(name, None)
        await self._client.ask(_key(name), lambda: self._client.redis.delete(_key(name)), 0)

    async def _fetch(self, name: str, known: _Known, fetch: Fetch, refused: str, owner: str) -> str:
        try:
            await self._read(name, known)  # who had the lock may have left it since we looked
            if found := known.good(refused, clock.now()):
                return found
            issued = await fetch()
            life = max(issued.expires_in_seconds, 0)
            seconds = max(life - MARGIN_SECONDS, life // 2)
            known.token, known.until = issued.token, clock.now() + timedelta(seconds=seconds)
            if seconds:
                await self._write(name, known, seconds)
            return issued.token
        finally:
            await self._client.ask(_key(name), lambda: self._release(_lock(name), owner), 0)

    async def _read(self, name: str, known: _Known) -> None:
        sealed = await self._client.ask(
            _key(name), lambda: self._client.redis.get(_key(name)), None
        )
        if not sealed:
            return
        try:
            token, until = orjson.loads(self._sealer.open(sealed, name.encode()))
        except (InvalidTag, ValueError):  # of another server, or not ours
            return
        known.token, known.until = token, datetime.fromisoformat(until)

    async def _write(self, name: str, known: _Known, seconds: int) -> None:
        assert known.until
        plain = orjson.dumps([known.token, known.until.isoformat()])
        sealed = self._sealer.seal(plain, name.encode())
        await self._client.ask(
            _key(name), lambda: self._client.redis.set(_key(name), sealed, ex=seconds), None
        )

    async def _release(self, lock: str, owner: str) -> int:
        """Gives the lock up, if it is still ours: one that outlived its time is another's."""
        return int(await self._script([lock], [owner]))

    async def _lock(self, name: str, owner: str) -> bool:
        """Whether we fetch; also if nobody can say, since Redis is away."""
        milliseconds = int(FETCH_SECONDS * 1000)
        return bool(
            await self._client.ask(
                _key(name),
                lambda: self._client.redis.set(_lock(name), owner, nx=True, px=milliseconds),
                True,
            )
        )


def _key(name: str) -> str:
    return f"channel_token:{{{name}}}"


def _lock(name: str) -> str:
    return f"{_key(name)}:lock"
