"""An administrator's second factor: enrolled by its owner, confirmed by a first code, and taken
away by another administrator or from the command line. The secret is stored sealed, recovery codes
as hashes.
"""

import base64
import os
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar, Unpack

from sqlalchemy import delete, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit import origins
from server.audit.records import By, already_exists
from server.audit.trail import AuditedChange, audit
from server.identity.accounts import ADMINISTRATORS, own_account
from server.identity.login_failures import Attempt, LoginFailures
from server.identity.models import admin_factors, recovery_codes
from server.identity.one_time_codes import (
    RESOURCE,
    OneTimeCodes,
    factor_of,
    recovery_hash,
    totp_of,
)
from server.identity.service import end_logins
from server.platform import change_feed, clock
from server.platform.change_feed import ChangeKind
from server.platform.database import Database
from server.platform.errors import DomainError, Reason, invalid, not_found
from server.platform.statements import run

SECRET_BYTES = 20
RECOVERY_CODES = 10
ISSUER = "DeepTravel"
WRONG_CODE = "is not the code that the authenticator shows now, or was taken"
R = TypeVar("R")
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an authenticator needs: its URI, which its QR holds, and the secret to type."""

    otpauth_uri: str
    secret: str


class CodeRefusedError(DomainError):
    """INVALID_FIELD for a code that is wrong or was taken."""


class SecondFactors:
    """Enrols administrators, whose codes `codes` takes; `failures` counts wrong ones."""

    def __init__(self, db: Database, codes: OneTimeCodes, failures: LoginFailures) -> None:
        self._db = db
        self._codes = codes
        self._failures = failures

    async def enrol(self, tx: AsyncConnection, username: str, **by: Unpack[By]) -> Enrolment:
        """A new secret, which counts once a code of it was confirmed. Raises ALREADY_EXISTS if one
        is confirmed: another administrator resets it first.
        """
        await ADMINISTRATORS.lock_active(tx, username)
        found = await factor_of(tx, username)
        if found and found.confirm_time:
            raise already_exists(RESOURCE, username)
        secret = os.urandom(SECRET_BYTES)
        await tx.execute(delete(admin_factors).where(admin_factors.c.username == username))
        await tx.execute(
            insert(admin_factors).values(
                username=username,
                secret_sealed=self._codes.sealer.seal(secret, username.encode()),
                last_step=0,
                create_time=by["now"],
            )
        )
        await _trace(tx, "enrol", username, {"state": "UNCONFIRMED"}, **by)
        uri = totp_of(secret).get_provisioning_uri(username, ISSUER)
        return Enrolment(uri, base64.b32encode(secret).decode())

    async def confirm(
        self, tx: AsyncConnection, username: str, code: str, **by: Unpack[By]
    ) -> list[str]:
        """Takes the first code of the secret that was enrolled; the recovery codes, each for one
        log-in. Raises NOT_FOUND, ALREADY_EXISTS, INVALID_FIELD.
        """
        await ADMINISTRATORS.lock_active(tx, username)
        found = await factor_of(tx, username)
        if found is None:
            raise not_found(RESOURCE, username)
        if found.confirm_time:
            raise already_exists(RESOURCE, username)
        if not await self._codes.take_step(tx, found, code, by["now"], confirmed=False):
            raise invalid("code", WRONG_CODE)
        await tx.execute(
            update(admin_factors)
            .where(admin_factors.c.username == username)
            .values(confirm_time=by["now"])
        )
        codes = await _new_codes(tx, username)
        await change_feed.publish(tx, ChangeKind.ACCOUNT, username)
        await _trace(tx, "confirm", username, {"state": "CONFIRMED"}, **by)
        return codes

    async def renew(
        self, tx: AsyncConnection, username: str, code: str, **by: Unpack[By]
    ) -> list[str]:
        """New recovery codes for a code of the clock; those of before are refused from the commit
        on. Raises NOT_FOUND without a factor that is confirmed, CodeRefusedError, LOGIN_LOCKED.
        """
        await ADMINISTRATORS.lock_active(tx, username)
        found = await factor_of(tx, username)
        if found is None or found.confirm_time is None:
            raise not_found(RESOURCE, username)
        # as at a log-in: whoever has failed too often by now goes no further, however many at once
        await self._failures.succeed(tx, _attempt(username), by["now"])
        if not await self._codes.take_step(tx, found, code, by["now"], confirmed=True):
            raise CodeRefusedError(
                Reason.INVALID_FIELD,
                f"code: {WRONG_CODE}",
                violations=[("code", WRONG_CODE)],
            )
        codes = await _new_codes(tx, username)
        after: dict[str, object] = {"recovery_codes": RECOVERY_CODES}
        await _trace(tx, "renew_recovery_codes", username, after, **by)
        return codes

    async def counted(self, username: str, renewing: Callable[[], Awaitable[R]]) -> R:
        """What a call gives that takes a code of a caller's. A wrong one counts as a failed log-in,
        and is audited. Raises LOGIN_LOCKED, before the code is looked at, too.
        """
        now, attempt = clock.now(), _attempt(username)
        async with self._db.transaction() as tx:
            if locked := await self._failures.locked(tx, attempt, now, own_terminal=False):
                raise locked
        try:
            return await renewing()
        except CodeRefusedError as refused:

            async def count(tx: AsyncConnection) -> DomainError | None:
                by = By(actor=f"admin:{username}", now=now)
                await _trace(tx, "refuse_code", username, {"detail": WRONG_CODE}, **by)
                return await self._failures.count(tx, attempt, now, own_terminal=False)

            raise (await self._db.in_transaction(count)) or refused from None


def picture(enrolment: Enrolment) -> str:
    """The QR of its URI, SVG."""
    import segno  # with the first picture: a process that serves need not wait for it

    made = segno.make_qr(enrolment.otpauth_uri, error="m")
    return str(made.svg_inline(scale=6, border=4))


async def reset(tx: AsyncConnection, username: str, *, reason: str, **by: Unpack[By]) -> None:
    """Takes an administrator's second factor away, and ends the log-ins; a repeat does no harm.

    Raises NOT_FOUND, OWN_ACCOUNT.
    """
    if by["actor"] == f"admin:{username}":
        raise own_account(username)
    await ADMINISTRATORS.lock(tx, username)
    await tx.execute(delete(admin_factors).where(admin_factors.c.username == username))
    await tx.execute(delete(recovery_codes).where(recovery_codes.c.username == username))
    await end_logins(tx, username, by["now"])
    await change_feed.publish(tx, ChangeKind.ACCOUNT, username)
    await _trace(tx, "reset", username, {"state": "NONE"}, reason=reason, **by)


async def _new_codes(tx: AsyncConnection, username: str) -> list[str]:
    """Recovery codes in place of those there are."""
    codes = [_recovery_code() for _ in range(RECOVERY_CODES)]
    await tx.execute(delete(recovery_codes).where(recovery_codes.c.username == username))
    rows = [{"username": username, "code_hash": recovery_hash(each)} for each in codes]
    await tx.execute(insert(recovery_codes), rows)
    return codes


def _attempt(username: str) -> Attempt:
    return Attempt.of(username, None, origins.current().address)


async def _trace(
    tx: AsyncConnection,
    action: str,
    username: str,
    after: dict[str, object],
    *,
    reason: str = "",
    **by: Unpack[By],
) -> None:
    change = AuditedChange(by["actor"], action, RESOURCE, username, None, after, reason)
    await run(tx, audit(change, now=by["now"]))


def _recovery_code() -> str:
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(12))
    return "-".join(letters[first : first + 4] for first in (0, 4, 8))
