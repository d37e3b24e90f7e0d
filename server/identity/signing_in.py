"""Signing in by password: judged in turns, counted where it fails, and written down either way."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import structlog
from sqlalchemy import ColumnElement, FromClause, Row, bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.origins import ChangeOrigin
from server.audit.trail import audit
from server.identity import credentials, login_places, rules, sign_ins
from server.identity.credentials import DECOY_HASH, NewToken, Passwords
from server.identity.hashing_queue import Share
from server.identity.login_failures import Attempt, LoginFailures
from server.identity.models import accounts, admin_factors, logins
from server.identity.one_time_codes import OneTimeCodes, Spent
from server.identity.sign_ins import RefusedSignIns
from server.parties import offline_policy
from server.parties.models import merchants, terminals, venues
from server.platform.config import Settings
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from server.platform.statements import run

log = structlog.get_logger()

FACTS = (
    accounts.c.username,
    accounts.c.role,
    accounts.c.state,
    accounts.c.merchant_code,
    accounts.c.venue_codes,
    accounts.c.admin_roles,
    merchants.c.state.label("merchant_state"),
    merchants.c.function_codes.label("merchant_function_codes"),
    merchants.c.reversal_window_seconds,
    *(
        func.coalesce(venues.c[name], merchants.c[name]).label(name)
        for name in offline_policy.COLUMNS
    ),
    terminals.c.state.label("terminal_state"),
    venues.c.venue_code,
    venues.c.state.label("venue_state"),
    venues.c.merchant_code.label("venue_merchant_code"),
    venues.c.function_codes.label("venue_function_codes"),
    venues.c.time_zone,
)


def at_terminal(source: FromClause, terminal_device_id: ColumnElement[Any]) -> FromClause:
    """Joins what decides whether an account may act at a terminal."""
    return (
        source.outerjoin(merchants, merchants.c.merchant_code == accounts.c.merchant_code)
        .outerjoin(terminals, terminals.c.terminal_device_id == terminal_device_id)
        .outerjoin(venues, venues.c.venue_code == terminals.c.venue_code)
    )


_terminal = bindparam("terminal_device_id", type_=terminals.c.terminal_device_id.type)
HAS_SECOND_FACTOR = (
    select(admin_factors.c.username)
    .where(
        admin_factors.c.username == accounts.c.username, admin_factors.c.confirm_time.is_not(None)
    )
    .correlate(accounts)
    .exists()
    .label("second_factor")
)
ACCOUNT = (
    select(
        *FACTS, HAS_SECOND_FACTOR, _terminal.label("terminal_device_id"), accounts.c.password_hash
    )
    .select_from(at_terminal(accounts, _terminal))
    .where(accounts.c.username == bindparam("name"))
)


@dataclass(frozen=True, slots=True)
class LoginTokens:
    """What a log-in or refresh gives: both tokens, and the access token's life."""

    access_token: str
    refresh_token: str
    expires_in_seconds: int


class SigningIn:
    """Logs people in by password."""

    def __init__(self, db: Database, settings: Settings, passwords: Passwords) -> None:
        self._db = db
        self._settings = settings
        self._passwords = passwords
        assert settings.secret_key is not None, "whoever serves has one"
        self.codes = OneTimeCodes(settings.secret_key.get_secret_value())
        self.failures = LoginFailures(settings)
        self._refused = RefusedSignIns()

    async def log_in(
        self,
        username: str,
        password: str,
        terminal_device_id: str | None,
        now: datetime,
        *,
        address: str = "",
        code: str = "",
    ) -> LoginTokens:
        """Logs an operator in at a terminal, or an administrator without one; may be repeated.

        `address` is where the call comes from, `code` one of the second factor, if the account has
        one: without it SECOND_FACTOR_REQUIRED is raised. Raises LOGIN_FAILED, alike for an unknown
        user, a wrong password or code and a terminal the user may not stand at (the log says
        which), LOGIN_LOCKED after `login_failures` of them in a row from this terminal and address,
        also under names that do not exist, or `login_failures_per_address` of all names from this
        address, and SERVER_BUSY.
        """
        attempt = Attempt.of(username, terminal_device_id, address)
        async with self._db.transaction() as tx:
            row = (
                await tx.execute(
                    ACCOUNT, {"name": username, "terminal_device_id": terminal_device_id}
                )
            ).one_or_none()
            fault = "user unknown" if row is None else standing(row).fault()
            own_terminal = terminal_device_id is not None and fault is None
            locked = await self.failures.locked(tx, attempt, now, own_terminal=own_terminal)
            share = attempt.share(
                own_terminal=own_terminal, known=await login_places.is_known(tx, attempt)
            )
        origin = sign_ins.origin_of(terminal_device_id, address)
        if locked:
            await self.note_refused(row, username, "locked out", origin, now)
            raise locked
        stored_hash = row.password_hash if row else DECOY_HASH
        verified = await self._passwords.verify(stored_hash, password, share)
        fault = fault or (None if verified else "password wrong")
        if row is not None and not fault and row.second_factor:
            fault = await self._code_fault(username, code, now)
        if row is None or fault:
            log.warning(
                "login.failed",
                username=username if row else None,  # an unknown one may be a password
                terminal_device_id=terminal_device_id,
                address=address,
                detail=fault,
            )
            locked = await self._db.in_transaction(
                lambda tx: self.failures.count(tx, attempt, now, own_terminal=own_terminal)
            )
            await self.note_refused(row, username, fault or "user unknown", origin, now)
            raise locked or _login_failed()
        return await self._let_in(row, attempt, password, share, origin=origin, now=now)

    async def _code_fault(self, username: str, code: str, now: datetime) -> str | None:
        """Takes a code; why it is refused, None if it is not. Raises SECOND_FACTOR_REQUIRED."""
        spent = await self._db.in_transaction(lambda tx: self.codes.spend(tx, username, code, now))
        if spent is Spent.MISSING:
            raise DomainError(
                Reason.SECOND_FACTOR_REQUIRED,
                "the account has a second factor: log in with the code that the authenticator"
                " shows, or with a recovery code",
            )
        return spent.value if spent is Spent.WRONG else None

    async def _let_in(
        self,
        row: Row[*tuple[Any, ...]],
        attempt: Attempt,
        password: str,
        share: Share,
        *,
        origin: ChangeOrigin,
        now: datetime,
    ) -> LoginTokens:
        """The tokens of one whose password is right. Raises as `log_in`."""
        username = row.username
        new_hash = row.password_hash
        if credentials.is_outdated(row.password_hash):
            new_hash = await self._passwords.hash(password, share)
        login_id = uuid4()

        async def work(tx: AsyncConnection) -> LoginTokens:
            await self.failures.succeed(tx, attempt, now)
            await login_places.note(tx, attempt, now)
            await _confirm_password(tx, username, row.password_hash, new_hash)
            columns, tokens = issue_tokens(self._settings, login_id, now)
            await tx.execute(
                insert(logins).values(
                    login_id=login_id,
                    username=username,
                    terminal_device_id=row.terminal_device_id,
                    **columns,
                )
            )
            facts: dict[str, object] = {"login_id": login_id}
            signed_in = sign_ins.accepted(row.role, username, facts, origin)
            await run(tx, audit(signed_in, now=now))
            return tokens

        return await self._db.in_transaction(work)

    async def note_refused(
        self,
        row: Row[*tuple[Any, ...]] | None,
        username: str,
        detail: str,
        origin: ChangeOrigin,
        now: datetime,
    ) -> None:
        """Writes a refused sign-in or refresh into the audit trail, unless there are too many."""
        left_out = self._refused.take(time.monotonic())
        if left_out is None:
            return
        role = row.role if row else None
        refused = sign_ins.refused(role, username, detail, left_out, origin)

        async def work(tx: AsyncConnection) -> None:
            await run(tx, audit(refused, now=now))

        await self._db.in_transaction(work)


def issue_tokens(
    settings: Settings, login_id: UUID, now: datetime
) -> tuple[dict[str, Any], LoginTokens]:
    """New tokens of a log-in, and its columns that know them."""
    access: NewToken = credentials.new_token("a", login_id)
    refresh: NewToken = credentials.new_token("r", login_id)
    seconds = settings.access_token_seconds
    columns = {
        "issue_time": now,
        "access_hash": access.secret_hash,
        "access_expire_time": now + timedelta(seconds=seconds),
        "refresh_hash": refresh.secret_hash,
        "refresh_expire_time": now + timedelta(seconds=settings.refresh_token_seconds),
    }
    return columns, LoginTokens(access.text, refresh.text, seconds)


async def _confirm_password(
    tx: AsyncConnection, username: str, verified_hash: str, new_hash: str
) -> None:
    """Locks the account, whose password may have changed while it was verified. Raises
    LOGIN_FAILED.
    """
    confirmed = await tx.execute(
        update(accounts)
        .where(
            accounts.c.username == username,
            accounts.c.password_hash == verified_hash,
            accounts.c.state == "ACTIVE",
        )
        .values(password_hash=new_hash)
    )
    if not confirmed.rowcount:
        raise _login_failed()


def standing(row: Row[*tuple[Any, ...]]) -> rules.Standing:
    """What decides whether an account may act where it stands."""
    return rules.Standing(
        role=row.role,
        state=row.state,
        merchant_code=row.merchant_code,
        merchant_state=row.merchant_state,
        venue_codes=tuple(row.venue_codes),
        terminal_device_id=row.terminal_device_id,
        terminal_state=row.terminal_state,
        venue_code=row.venue_code,
        venue_state=row.venue_state,
        venue_merchant_code=row.venue_merchant_code,
    )


def _login_failed() -> DomainError:
    return DomainError(
        Reason.LOGIN_FAILED,
        "the user name, the password or the code is wrong, or the user may not log in here",
    )
