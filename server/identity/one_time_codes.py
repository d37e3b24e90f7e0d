"""Codes of second factors: one-time codes by the clock (TOTP, RFC 6238: SHA-1, 6 digits, 30 s, as
every authenticator has them), and recovery codes for when the telephone is lost.

A code is taken once, also where several processes get it at the same moment: its step must be later
than the last one that was taken, by one guarded UPDATE. A clock may be wrong by one step either
way.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.trail import AuditedChange, audit
from server.identity.credentials import secret_hash
from server.identity.models import admin_factors, recovery_codes
from server.platform.crypto import Sealer, derive, same
from server.platform.statements import run

STEP_SECONDS = 30
DIGITS = 6
RESOURCE = "second_factor"
"""What the audit trail calls one."""


class Spent(Enum):
    """What became of a code at a log-in."""

    NOT_ENROLLED = "none is asked for"
    MISSING = "code missing"
    WRONG = "code wrong or used"
    TAKEN = "taken"


@dataclass(frozen=True, slots=True)
class Factor:
    """A second factor as it is stored; its secret is bound to the name."""

    username: str
    secret_sealed: bytes
    confirm_time: datetime | None


async def factor_of(tx: AsyncConnection, username: str) -> Factor | None:
    """An account's second factor; None without one."""
    columns = (admin_factors.c[name] for name in Factor.__dataclass_fields__)
    query = select(*columns).where(admin_factors.c.username == username)
    row = (await tx.execute(query)).mappings().one_or_none()
    return Factor(**row) if row else None


class OneTimeCodes:
    """Takes codes; `secret_key` seals what is stored."""

    def __init__(self, secret_key: bytes) -> None:
        self.sealer = Sealer(derive(secret_key, "deeptravel second factors"))

    async def spend(self, tx: AsyncConnection, username: str, code: str, now: datetime) -> Spent:
        """Takes the code of a log-in, whose password was right, once for all."""
        found = await factor_of(tx, username)
        if found is None or found.confirm_time is None:
            return Spent.NOT_ENROLLED
        if not code:
            return Spent.MISSING
        if await self.take_step(tx, found, code, now, confirmed=True):
            return Spent.TAKEN
        taken = await tx.execute(
            update(recovery_codes)
            .where(
                recovery_codes.c.username == username,
                recovery_codes.c.code_hash == recovery_hash(code),
                recovery_codes.c.use_time.is_(None),
            )
            .values(use_time=now)
        )
        if not taken.rowcount:
            return Spent.WRONG
        used = AuditedChange(
            f"admin:{username}", "use_recovery_code", RESOURCE, username, None, {"use_time": now}
        )
        await run(tx, audit(used, now=now))
        return Spent.TAKEN

    async def take_step(
        self, tx: AsyncConnection, found: Factor, code: str, now: datetime, *, confirmed: bool
    ) -> bool:
        """Takes a code of the clock, once for all, of a factor that is confirmed or not; whether it
        is one.
        """
        secret = self.sealer.open(found.secret_sealed, found.username.encode())
        step = next(matching(secret, code, now), None)
        if step is None:
            return False
        was_confirmed = admin_factors.c.confirm_time.is_not(None)
        taken = await tx.execute(
            update(admin_factors)
            .where(
                admin_factors.c.username == found.username,
                admin_factors.c.last_step < step,
                was_confirmed if confirmed else ~was_confirmed,
            )
            .values(last_step=step)
        )
        return bool(taken.rowcount)


def totp_of(secret: bytes) -> TOTP:
    """What makes the codes of a secret."""
    # SHA-1, since authenticators know no other; as a MAC it is sound
    return TOTP(secret, DIGITS, SHA1(), STEP_SECONDS)  # noqa: S303


def matching(secret: bytes, code: str, now: datetime) -> Iterator[int]:
    """The steps, of now, before and after, whose code it is."""
    typed = "".join(code.split()).encode()
    current, totp = int(now.timestamp()) // STEP_SECONDS, totp_of(secret)
    for step in (current, current - 1, current + 1):
        if same(totp.generate(step * STEP_SECONDS), typed):
            yield step


def recovery_hash(code: str) -> bytes:
    """What is stored of a recovery code, however it is typed."""
    return secret_hash("".join(each for each in code.lower() if each.isalnum()))
