"""A small world of partners, merchants and accounts, and what a process has of identity."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import SecretBytes
from sqlalchemy import ColumnElement, Table, func, insert, select, update

from server.identity.callers import Operator
from server.identity.credentials import new_partner_key
from server.identity.models import accounts, partner_keys
from server.identity.service import Identity
from server.identity.signing_in import LoginTokens
from server.parties.models import merchants, partners, terminals, venues
from server.platform import change_feed
from server.platform.change_feed import ChangeFeed, ChangeKind
from server.platform.config import Settings
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from server.platform.ratelimit import RateLimiter
from tests.support import cached
from tests.support.waiting import becomes

PASSWORD = "correct horse battery staple"
PASSWORD_HASH = cached.password_hash(PASSWORD)
MADE = {
    "create_time": datetime(2026, 1, 1, tzinfo=UTC),
    "update_time": datetime(2026, 1, 1, tzinfo=UTC),
}
KEY = new_partner_key()
OTHER_KEY = new_partner_key()
SECRET_KEY = b"0123456789abcdef0123456789abcdef"


def now() -> datetime:
    return datetime.now(UTC)


def bearer(token: str) -> dict[str, str | bytes]:
    return {"authorization": f"Bearer {token}"}


async def reason_of(call: Awaitable[object]) -> Reason | None:
    """The reason a call was refused for; None if it was not."""
    try:
        await call
    except DomainError as error:
        return error.reason
    return None


async def seed(db: Database) -> None:
    rows: list[tuple[Table, list[dict[str, Any]]]] = [
        (
            partners,
            [
                {"partner_code": "CP", "display_name": "Central Pier", "requests_per_minute": 100},
                {"partner_code": "HK", "display_name": "Harbour", "requests_per_minute": 5},
            ],
        ),
        (
            merchants,
            [
                {"merchant_code": "M", "function_codes": ["ferry", "gift", "tokens"]},
                {"merchant_code": "N", "function_codes": ["ferry"]},
            ],
        ),
        (
            venues,
            [
                {"venue_code": "PIER", "merchant_code": "M", "function_codes": ["ferry", "gift"]},
                {"venue_code": "SHOP", "merchant_code": "M", "function_codes": []},
                {"venue_code": "ELSEWHERE", "merchant_code": "N", "function_codes": []},
            ],
        ),
        (
            terminals,
            [
                {"terminal_device_id": "T-PIER", "venue_code": "PIER"},
                {"terminal_device_id": "T-SHOP", "venue_code": "SHOP"},
                {"terminal_device_id": "T-GONE", "venue_code": "SHOP", "state": "REVOKED"},
                {"terminal_device_id": "T-ELSEWHERE", "venue_code": "ELSEWHERE"},
            ],
        ),
        (
            accounts,
            [
                {"username": "olga", "role": "OPERATOR", "merchant_code": "M"},
                {
                    "username": "pia",
                    "role": "OPERATOR",
                    "merchant_code": "M",
                    "venue_codes": ["PIER"],
                },
                {"username": "sam", "role": "SUPERVISOR", "merchant_code": "M"},
                {"username": "gone", "role": "OPERATOR", "merchant_code": "M", "state": "REVOKED"},
                {
                    "username": "root",
                    "role": "ADMIN",
                    "merchant_code": None,
                    "admin_roles": ["ADMINISTRATOR"],
                },
            ],
        ),
    ]
    defaults: dict[Table, dict[str, Any]] = {
        partners: {"allowed_addresses": []},
        merchants: {"display_name": "m", "reversal_window_seconds": 600},
        venues: {"display_name": "v", "time_zone": "Asia/Hong_Kong"},
        terminals: {"display_name": "t"},
        accounts: {"display_name": "a", "venue_codes": [], "password_hash": PASSWORD_HASH},
    }
    async with db.transaction() as tx:
        for table, values in rows:
            for value in values:
                row = {"state": "ACTIVE", **MADE, **defaults[table], **value}
                await tx.execute(insert(table).values(row))
        for key in (KEY, OTHER_KEY):
            partner_id = select(partners.c.partner_id).where(partners.c.partner_code == "CP")
            await tx.execute(
                insert(partner_keys).values(
                    key_id=key.key_id,
                    partner_id=partner_id.scalar_subquery(),
                    secret_hash=key.secret_hash,
                    create_time=now(),
                )
            )


@dataclass
class Server:
    """What one process has of identity."""

    db: Database
    feed: ChangeFeed
    limiter: RateLimiter
    identity: Identity

    async def operator(self, username: str = "olga", terminal: str = "T-PIER") -> Operator:
        tokens = await self.identity.log_in(username, PASSWORD, terminal, now())
        caller = await self.identity.authenticate(bearer(tokens.access_token), "")
        assert isinstance(caller, Operator)
        return caller

    async def change(
        self, table: Table, which: ColumnElement[bool], *, bump: bool = True, **values: Any
    ) -> None:
        async with self.db.transaction() as tx:
            await tx.execute(update(table).where(which).values(values))
            if bump:
                await change_feed.publish(tx, ChangeKind.EVERYTHING)

    async def count(self, table: Table, *where: ColumnElement[bool]) -> int:
        async with self.db.transaction() as tx:
            statement = select(func.count()).select_from(table).where(*where)
            return int((await tx.execute(statement)).scalar_one())


@asynccontextmanager
async def running(settings: Settings, database_url: str, redis_url: str) -> AsyncIterator[Server]:
    db = Database(settings, database_url)
    try:
        async with running_on(db, settings, redis_url) as server:
            yield server
    finally:
        await db.close()


@asynccontextmanager
async def running_on(db: Database, settings: Settings, redis_url: str) -> AsyncIterator[Server]:
    """The same, on connections that go on to be used by others."""
    settings = settings.model_copy(update={"secret_key": SecretBytes(SECRET_KEY)})
    feed = ChangeFeed(db)
    limiter = RateLimiter(redis_url)
    identity = Identity(db, feed, limiter, settings)
    await feed.start()
    await identity.start()
    try:
        yield Server(db, feed, limiter, identity)
    finally:
        await identity.stop()
        await feed.stop()
        await limiter.close()


async def refresh_later(server: Server, tokens: LoginTokens, seconds: float) -> Reason | None:
    later = now() + timedelta(seconds=seconds)
    return await reason_of(server.identity.refresh(tokens.refresh_token, later))


async def refused_within_a_second(
    process: Server, metadata: Callable[[], dict[str, str | bytes]]
) -> None:
    """Fails unless every call that begins a second from now, or later, is refused."""
    await becomes(
        Reason.UNAUTHENTICATED,
        lambda: reason_of(process.identity.authenticate(metadata(), "192.0.2.1")),
    )
