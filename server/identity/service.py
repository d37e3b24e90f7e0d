"""Who calls: keys, log-ins, tokens and validator sessions.

What a credential stands for is remembered (`server.platform.change_feed`), so that a call costs no
statement for it; revoking a key, partner, account, terminal, venue or merchant, and logging out,
end it within a second in every process.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import (
    ColumnElement,
    Row,
    and_,
    bindparam,
    delete,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit import origins
from server.audit.trail import AuditedChange, audit
from server.identity import (
    credentials,
    login_failures,
    login_places,
    refreshing,
    rules,
    sign_ins,
)
from server.identity.callers import Admin, Caller, Operator, Partner, Person, Traveller
from server.identity.credentials import Passwords
from server.identity.keys import PartnerKeys, on_its_clock, unauthenticated
from server.identity.models import accounts, logins, validator_sessions
from server.identity.sessions import ValidatorSessions, session_departure
from server.identity.signing_in import (
    FACTS,
    HAS_SECOND_FACTOR,
    LoginTokens,
    SigningIn,
    at_terminal,
    issue_tokens,
    standing,
)
from server.identity.travellers import TOKEN_PREFIX, Travellers
from server.parties.offline_policy import OfflinePolicy
from server.platform import change_feed
from server.platform.change_feed import ChangeFeed, ChangeKind, Remembered, Subject
from server.platform.config import Settings
from server.platform.crypto import same
from server.platform.database import Database
from server.platform.errors import DomainError
from server.platform.loops import Loops
from server.platform.ratelimit import Allowance, RateLimiter
from server.platform.statements import run

log = structlog.get_logger()

LOGIN = (
    select(
        *FACTS,
        logins,
        HAS_SECOND_FACTOR,
        validator_sessions.c.departure_id,
        validator_sessions.c.service_number,
    )
    .select_from(
        at_terminal(
            logins.join(accounts, accounts.c.username == logins.c.username),
            logins.c.terminal_device_id,
        ).outerjoin(
            validator_sessions,
            and_(
                validator_sessions.c.login_id == logins.c.login_id,
                validator_sessions.c.close_time.is_(None),
            ),
        )
    )
    .where(logins.c.login_id == bindparam("id"))
)


@dataclass(frozen=True, slots=True)
class _Login:
    caller: Person
    access_expires: float
    refresh_expires: float


_KINDS = (
    ChangeKind.LOGIN,
    ChangeKind.ACCOUNT,
    ChangeKind.MERCHANT,
    ChangeKind.VENUE,
    ChangeKind.TERMINAL,
)


def _subjects(login: _Login) -> Iterator[Subject]:
    """What a log-in is made of: a change of any of these may end it or change its rights."""
    caller = login.caller
    yield Subject(ChangeKind.LOGIN, str(caller.login_id))
    yield Subject(ChangeKind.ACCOUNT, caller.username)
    if isinstance(caller, Operator):
        yield Subject(ChangeKind.MERCHANT, caller.merchant_code)
        yield Subject(ChangeKind.VENUE, caller.venue_code)
        yield Subject(ChangeKind.TERMINAL, caller.terminal_device_id)


class Identity:
    """Tells who calls, logs people in and out, and keeps their sessions. `start` and `stop` it
    with the server.
    """

    def __init__(
        self,
        db: Database,
        feed: ChangeFeed,
        limiter: RateLimiter,
        settings: Settings,
        loops: Loops | None = None,
    ) -> None:
        self._db = db
        self._feed = feed
        self._limiter = limiter
        self._settings = settings
        self.passwords = Passwords()
        self._signing_in = SigningIn(db, settings, self.passwords)
        self.codes = self._signing_in.codes
        self.login_failures = self._signing_in.failures
        self.travellers = Travellers(db, feed, settings)
        self._keys = PartnerKeys(db, feed, loops)
        self._tokens: Remembered[str, _Login] = Remembered(
            feed, self._load_token, kinds=_KINDS, subjects=_subjects
        )
        self._logins: Remembered[UUID, _Login] = Remembered(
            feed, self._load_login, kinds=_KINDS, subjects=_subjects
        )
        self.sessions = ValidatorSessions(db, feed)

    async def start(self) -> None:
        """Begins to write down when keys were used."""
        self._keys.start()

    async def stop(self) -> None:
        """Writes down what is left to write, and gives the threads back."""
        await self._keys.stop()
        self.passwords.close()

    # Recognising callers

    async def authenticate(
        self, metadata: Mapping[str, str | bytes], address: str
    ) -> Caller | None:
        """The caller by `x-api-key`, else by `authorization: Bearer`; None without either.

        `address` is where a partner's call comes from. Raises UNAUTHENTICATED, alike for what is
        unknown, wrong, expired and revoked, and ADDRESS_NOT_ALLOWED.
        """
        caller = self.remembered(metadata, address)
        if caller is not None:
            return await on_its_clock(self._db, caller)
        api_key = metadata.get("x-api-key")
        if api_key is not None:
            partner = await self._keys.recognise(str(api_key), address)
            return await on_its_clock(self._db, partner)
        token = credentials.bearer_token(metadata)
        if token is None:
            return None
        if token.startswith(TOKEN_PREFIX):
            return await self.travellers.recognise(token)
        return _in_time(await self._tokens.get(token))

    def remembered(self, metadata: Mapping[str, str | bytes], address: str) -> Caller | None:
        """`authenticate` for a caller that is remembered; None for one that is not, and without
        credentials. Raises as that does.
        """
        api_key = metadata.get("x-api-key")
        if api_key is not None:
            return self._keys.recall(str(api_key), address)
        token = credentials.bearer_token(metadata)
        if token is None:
            return None
        if token.startswith(TOKEN_PREFIX):
            return self.travellers.remembered(token)
        login = self._tokens.peek(token)
        return None if login is None else _in_time(login)

    async def allowance(self, caller: object) -> Allowance | None:
        """Counts a call of a partner or traveller against its limit; None for all others, and if
        Redis is lost.
        """
        if isinstance(caller, Partner):
            limit = caller.requests_per_minute
            return await self._limiter.hit(f"partner:{caller.partner_id}", limit)
        return self.local_allowance(caller)

    def is_counted_here(self, caller: object) -> bool:
        """Whether `local_allowance` counts this caller's calls, if they are counted at all."""
        return not isinstance(caller, Partner)

    def local_allowance(self, caller: object) -> Allowance | None:
        """`allowance` of a caller that is counted in this process."""
        return self.travellers.allowance(caller) if isinstance(caller, Traveller) else None

    def recall(
        self, caller: Caller, metadata: Mapping[str, str | bytes], address: str
    ) -> Caller | None:
        """`recheck` of a caller that is remembered as it is now; None for one that is not."""
        if isinstance(caller, Partner):
            partner = self._keys.recall(str(metadata["x-api-key"]), address)
            return partner and replace(partner, time=caller.time)
        if isinstance(caller, Traveller):
            return self.travellers.recall(caller)
        login = self._logins.peek(caller.login_id)
        # one that is over may have been refreshed, which is not published: tokens are nobody's
        # configuration
        return None if login is None or _is_over(login) else login.caller

    async def recheck(
        self,
        caller: Caller,
        metadata: Mapping[str, str | bytes] = MappingProxyType({}),
        address: str = "",
    ) -> Caller:
        """The caller as it is now, for streams, which outlive the access token.

        `metadata` and `address` are those it was recognised by. Raises UNAUTHENTICATED,
        ADDRESS_NOT_ALLOWED.
        """
        if isinstance(caller, Partner):
            partner = await self._keys.recognise(str(metadata["x-api-key"]), address)
            return await on_its_clock(self._db, partner)
        if isinstance(caller, Traveller):
            await self.travellers.recheck(caller)
            return caller
        known = self._logins.peek(caller.login_id)
        if known is None or _is_over(known):
            self._logins.forget(caller.login_id)
            known = await self._logins.get(caller.login_id)
        if _is_over(known):
            raise unauthenticated()
        return known.caller

    async def _load_token(self, token: str) -> _Login:
        given = credentials.read_token("a", token)
        if given is None:
            raise unauthenticated()
        async with self._db.transaction() as tx:
            row = (await tx.execute(LOGIN, {"id": given[0]})).one_or_none()
        if row is None or not same(row.access_hash, given[1]):
            raise unauthenticated()
        return _live(row, self._settings)

    async def _load_login(self, login_id: UUID) -> _Login:
        async with self._db.transaction() as tx:
            row = (await tx.execute(LOGIN, {"id": login_id})).one_or_none()
        if row is None:
            raise unauthenticated()
        return _live(row, self._settings)

    # Logging in and out

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
        """`SigningIn.log_in`."""
        return await self._signing_in.log_in(
            username, password, terminal_device_id, now, address=address, code=code
        )

    async def refresh(self, refresh_token: str, now: datetime) -> LoginTokens:
        """New tokens for a refresh token; the same again for a repeat within 30 s, whose answer may
        have been lost.

        One that was used before that is refused, and shows a theft: it ends the log-in, unless it
        comes so soon after its use that it is a late retry (`rules.is_theft`). The access token
        before is good for what is left of its life where it is remembered. Each that is refused is
        audited, as far as refused sign-ins are. Raises UNAUTHENTICATED.
        """
        given = credentials.read_token("r", refresh_token)
        row = await self._login_row(given[0]) if given else None
        if given is None or row is None:
            raise await self._refused_refresh(None, "refresh token unknown", now)
        login_id, given_hash = given
        if same(row.refresh_hash, given_hash):
            if fault := _refresh_fault(row, now):
                raise await self._refused_refresh(row, fault, now)
            tokens = await self._succeed(login_id, refresh_token, given_hash, now)
            if tokens:
                return tokens
            # another call with it was first
            row = await self._login_row(login_id) or row
        if row.end_time is None and row.former_refresh_hash and row.successor_sealed:
            repeated = same(row.former_refresh_hash, given_hash)
            if repeated and rules.gets_successor_again(row.issue_time, now):
                if fault := _fault(row):
                    raise await self._refused_refresh(row, fault, now)
                successor = refreshing.unseal(refresh_token, row.successor_sealed)
                left = max(0, round((row.access_expire_time - now).total_seconds()))
                return LoginTokens(*successor, left)
        if row.end_time is None and rules.is_theft(row.issue_time, now):
            log.warning("login.refresh_token_reused", username=row.username, login_id=login_id)
            stolen = sign_ins.stolen(row.username, login_id, row.terminal_device_id)
            await self._end(login_id, stolen, now)
            raise unauthenticated()
        fault = _fault(row) or "refresh token used before"
        raise await self._refused_refresh(row, fault, now)

    async def _login_row(self, login_id: UUID) -> Row[*tuple[Any, ...]] | None:
        async with self._db.transaction() as tx:
            return (await tx.execute(LOGIN, {"id": login_id})).one_or_none()

    async def _refused_refresh(
        self, row: Row[*tuple[Any, ...]] | None, fault: str, now: datetime
    ) -> DomainError:
        """UNAUTHENTICATED, once it is written down."""
        terminal = row.terminal_device_id if row else None
        origin = sign_ins.origin_of(terminal, origins.current().address)
        await self._signing_in.note_refused(row, row.username if row else "", fault, origin, now)
        return unauthenticated()

    async def _succeed(
        self, login_id: UUID, refresh_token: str, given_hash: bytes, now: datetime
    ) -> LoginTokens | None:
        """New tokens for a refresh token; None if it is no longer the one that is valid."""
        columns, tokens = issue_tokens(self._settings, login_id, now)
        successor = refreshing.Successor(tokens.access_token, tokens.refresh_token)
        async with self._db.transaction() as tx:
            refreshed = await tx.execute(
                update(logins)
                .where(
                    logins.c.login_id == login_id,
                    logins.c.refresh_hash == given_hash,
                    logins.c.end_time.is_(None),
                )
                .values(
                    **columns,
                    former_refresh_hash=given_hash,
                    successor_sealed=refreshing.seal(refresh_token, successor),
                )
            )
        return tokens if refreshed.rowcount else None

    async def log_out(self, caller: Person, now: datetime) -> None:
        """Ends the caller's log-in, its tokens and its session."""
        await self._end(caller.login_id, sign_ins.signed_out(caller), now)

    async def _end(self, login_id: UUID, why: AuditedChange, now: datetime) -> None:
        async def work(tx: AsyncConnection) -> None:
            if await _end_logins(tx, logins.c.login_id == login_id, now):
                await change_feed.publish(tx, ChangeKind.LOGIN, login_id)
                await run(tx, audit(why, now=now))

        await self._db.in_transaction(work)
        await self._forget()

    # Keeping memory and table in step

    async def _forget(self) -> None:
        """Lets this process see its own change at once; if that fails, it sees it as soon as the
        others.
        """
        with contextlib.suppress(DomainError):
            await self._feed.poll()


async def end_logins(tx: AsyncConnection, username: str, now: datetime) -> None:
    """Ends all log-ins of an account and forgets its failures: after a new password, or a
    revocation.
    """
    await end_logins_where(tx, logins.c.username == username, now)
    await login_failures.unlock(tx, username)


async def end_logins_where(tx: AsyncConnection, which: ColumnElement[bool], now: datetime) -> None:
    """Ends the log-ins for which this holds, with their sessions."""
    if usernames := await _end_logins(tx, which, now):
        await change_feed.publish(tx, ChangeKind.ACCOUNT, *sorted(usernames))


async def purge_logins(tx: AsyncConnection, now: datetime, limit: int) -> int:
    """Removes up to `limit` log-ins none of whose tokens can be used again, with their sessions;
    returns how many.

    Failures that no longer count go, too, at most as many, and places where nobody has been for
    long.
    """
    old = logins.c.refresh_expire_time < now, logins.c.access_expire_time < now
    gone = await tx.execute(
        delete(logins).where(
            logins.c.login_id.in_(
                select(logins.c.login_id).where(*old).limit(limit).with_for_update(skip_locked=True)
            )
        )
    )
    await tx.execute(
        update(logins)
        .where(
            logins.c.successor_sealed.is_not(None),
            logins.c.issue_time < now - rules.REFRESH_REPEAT,
        )
        .values(former_refresh_hash=None, successor_sealed=None)
    )
    await login_failures.purge(tx, now, limit)
    await login_places.purge(tx, now)
    return gone.rowcount


async def _end_logins(tx: AsyncConnection, which: ColumnElement[bool], now: datetime) -> set[str]:
    """Whose were ended, which the caller has to publish."""
    ended = (
        await tx.execute(
            update(logins)
            .where(which, logins.c.end_time.is_(None))
            .values(end_time=now)
            .returning(logins.c.login_id, logins.c.username)
        )
    ).all()
    await tx.execute(
        update(validator_sessions)
        .where(
            validator_sessions.c.login_id.in_([each.login_id for each in ended]),
            validator_sessions.c.close_time.is_(None),
        )
        .values(close_time=now)
    )
    return {each.username for each in ended}


def _fault(row: Row[*tuple[Any, ...]]) -> str | None:
    """Why the log-in of a row of LOGIN is good no more; None if it is."""
    return "logged out" if row.end_time else standing(row).fault()


def _refresh_fault(row: Row[*tuple[Any, ...]], now: datetime) -> str | None:
    """As `_fault`, also for a refresh token that has expired."""
    return "refresh token expired" if now >= row.refresh_expire_time else _fault(row)


def _live(row: Row[*tuple[Any, ...]], settings: Settings) -> _Login:
    """The log-in of a row of LOGIN. Raises UNAUTHENTICATED if it is ended, or its owner may no
    longer act there.
    """
    if fault := _fault(row):
        log.info("login.refused", username=row.username, login_id=row.login_id, detail=fault)
        raise unauthenticated()
    caller: Person
    if row.role == "ADMIN":
        caller = Admin(
            row.login_id,
            row.username,
            frozenset(row.admin_roles),
            must_enrol=settings.require_second_factor and not row.second_factor,
        )
    else:
        caller = Operator(
            role=row.role,
            login_id=row.login_id,
            username=row.username,
            merchant_code=row.merchant_code,
            venue_code=row.venue_code,
            terminal_device_id=row.terminal_device_id,
            venue_time_zone=row.time_zone,
            function_codes=rules.function_codes(
                row.merchant_function_codes, row.venue_function_codes
            ),
            reversal_window_seconds=row.reversal_window_seconds,
            departure=session_departure(row),
            offline=OfflinePolicy(
                row.offline_pack_seconds,
                row.offline_clock_seconds,
                row.offline_over_admission,
                row.offline_bears_refunds,
            ),
        )
    return _Login(caller, row.access_expire_time.timestamp(), row.refresh_expire_time.timestamp())


def _in_time(login: _Login) -> Person:
    """Whose log-in it is. Raises UNAUTHENTICATED when its access token has expired."""
    if time.time() >= login.access_expires:
        raise unauthenticated()
    return login.caller


def _is_over(login: _Login) -> bool:
    """Whether it cannot be refreshed any more."""
    return time.time() >= login.refresh_expires
