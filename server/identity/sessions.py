"""Validator sessions: an operator at a terminal, for all departures or one, between opening and
closing.
"""

import contextlib
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.identity import credentials
from server.identity.callers import Operator
from server.identity.keys import unauthenticated
from server.identity.models import logins, validator_sessions
from server.platform import change_feed
from server.platform.change_feed import ChangeFeed, ChangeKind, Remembered, Subject
from server.platform.database import Database
from server.platform.errors import DomainError, Reason


class _Session(NamedTuple):
    """An open session: whose, where, and the departure it is for, by number and service; None if
    all.
    """

    login_id: UUID
    username: str
    terminal_device_id: str
    departure: tuple[int, str] | None


class ValidatorSessions:
    """The sessions of operators; what is open is remembered, so that a scan costs no statement
    for it.
    """

    def __init__(self, db: Database, feed: ChangeFeed) -> None:
        self._db = db
        self._feed = feed
        self._remembered: Remembered[str, _Session] = Remembered(
            feed,
            self._load,
            kinds=[ChangeKind.LOGIN, ChangeKind.ACCOUNT],
            subjects=lambda session: (
                Subject(ChangeKind.LOGIN, str(session.login_id)),
                Subject(ChangeKind.ACCOUNT, session.username),
            ),
        )

    async def open(
        self,
        caller: Operator,
        terminal_device_id: str,
        now: datetime,
        *,
        departure: tuple[int, str] | None = None,
    ) -> str:
        """The code of the caller's session at its terminal: the open one, else a new one.

        `departure`, by number and service, is the only one that it admits; an open session for
        another, or for all, is closed. While one for a departure is open the caller is bound to it,
        in every process within a second.

        Raises TERMINAL_MISMATCH, and UNAUTHENTICATED if the caller logs out at the same moment.
        """
        if terminal_device_id != caller.terminal_device_id:
            raise _terminal_mismatch(caller, caller.terminal_device_id)
        mine = validator_sessions.c.login_id == caller.login_id

        async def work(tx: AsyncConnection) -> tuple[str, bool]:
            live = await tx.execute(
                select(logins.c.login_id)
                .where(logins.c.login_id == caller.login_id, logins.c.end_time.is_(None))
                .with_for_update(key_share=True)
            )
            if live.one_or_none() is None:
                raise unauthenticated()
            is_open = mine, validator_sessions.c.close_time.is_(None)
            session = validator_sessions.c.session_code, validator_sessions.c.departure_id
            found = (await tx.execute(select(*session).where(*is_open))).one_or_none()
            number, service_number = departure or (None, None)
            if found and found.departure_id == number:
                return str(found.session_code), False
            if found:
                closing = update(validator_sessions).where(*is_open)
                await tx.execute(closing.values(close_time=now))
            code = credentials.new_session_code()
            await tx.execute(
                insert(validator_sessions).values(
                    session_code=code,
                    login_id=caller.login_id,
                    open_time=now,
                    departure_id=number,
                    service_number=service_number,
                )
            )
            binds = bool(found or departure)
            if binds:
                await change_feed.publish(tx, ChangeKind.LOGIN, caller.login_id)
            return code, binds

        code, binds = await self._db.in_transaction(work)
        if binds:
            await self._forget()
        return code

    async def close(self, caller: Operator, session_code: str, now: datetime) -> None:
        """Closes a session of the caller at its terminal; a repeat does nothing. Raises
        SESSION_NOT_OPEN.
        """

        async def work(tx: AsyncConnection) -> None:
            session = (
                await tx.execute(
                    select(validator_sessions.c.login_id, validator_sessions.c.close_time)
                    .join_from(validator_sessions, logins)
                    .where(
                        validator_sessions.c.session_code == session_code,
                        logins.c.username == caller.username,
                        logins.c.terminal_device_id == caller.terminal_device_id,
                    )
                    .with_for_update(of=validator_sessions)
                )
            ).one_or_none()
            if session is None:
                raise _session_not_open()
            if session.close_time is None:
                await tx.execute(
                    update(validator_sessions)
                    .where(validator_sessions.c.session_code == session_code)
                    .values(close_time=now)
                )
                await change_feed.publish(tx, ChangeKind.LOGIN, session.login_id)

        await self._db.in_transaction(work)
        await self._forget()

    async def bound(self, caller: Operator, terminal_device_id: str, session_code: str) -> Operator:
        """The operator at the terminal and in the session that a call names, if it does.

        Bound to the session's departure. Raises TERMINAL_MISMATCH, SESSION_NOT_OPEN.
        """
        operator = self.remembered(caller, terminal_device_id, session_code)
        if operator is None:
            operator = _for_departure(caller, await self.require(caller, session_code))
        return operator

    def remembered(
        self, caller: Operator, terminal_device_id: str, session_code: str
    ) -> Operator | None:
        """`bound` to a session that is remembered; None if it is not. Raises as that does."""
        if terminal_device_id and terminal_device_id != caller.terminal_device_id:
            raise _terminal_mismatch(caller, terminal_device_id)
        if not session_code:
            return caller
        session = self._remembered.peek(session_code)
        return None if session is None else _for_departure(caller, _departure(session, caller))

    async def require(self, caller: Operator, session_code: str) -> tuple[int, str] | None:
        """The departure that the session is for, by number and service; None if all.

        Raises SESSION_NOT_OPEN unless it is open and the caller's at its terminal.
        """
        session = self._remembered.peek(session_code) or await self._remembered.get(session_code)
        return _departure(session, caller)

    async def _load(self, session_code: str) -> _Session:
        async with self._db.transaction() as tx:
            row = (
                await tx.execute(
                    select(
                        logins.c.login_id,
                        logins.c.username,
                        logins.c.terminal_device_id,
                        validator_sessions.c.departure_id,
                        validator_sessions.c.service_number,
                    )
                    .join_from(validator_sessions, logins)
                    .where(
                        validator_sessions.c.session_code == session_code,
                        validator_sessions.c.close_time.is_(None),
                    )
                )
            ).one_or_none()
        if row is None:
            raise _session_not_open()
        return _Session(row.login_id, row.username, row.terminal_device_id, session_departure(row))

    async def _forget(self) -> None:
        """Lets this process see its own change at once; if that fails, it sees it as soon as the
        others.
        """
        with contextlib.suppress(DomainError):
            await self._feed.poll()


def _terminal_mismatch(caller: Operator, terminal_device_id: str) -> DomainError:
    """For a terminal that is not the caller's; the metadata names this one of both."""
    return DomainError(
        Reason.TERMINAL_MISMATCH,
        f"terminal_device_id: the access token is bound to {caller.terminal_device_id};"
        " log in at this terminal",
        terminal_device_id=terminal_device_id,
    )


def session_departure(row: Any) -> tuple[int, str] | None:
    """The departure in a row of a session, by number and service; None if all."""
    return None if row.departure_id is None else (row.departure_id, row.service_number)


def _departure(session: _Session, caller: Operator) -> tuple[int, str] | None:
    """What the session is for. Raises SESSION_NOT_OPEN if it is another's."""
    owner = session.username, session.terminal_device_id
    if owner != (caller.username, caller.terminal_device_id):
        raise _session_not_open()
    return session.departure


def _for_departure(caller: Operator, departure: tuple[int, str] | None) -> Operator:
    return caller if departure == caller.departure else replace(caller, departure=departure)


def _session_not_open() -> DomainError:
    return DomainError(
        Reason.SESSION_NOT_OPEN,
        "session_code: there is no such session open for this operator at this terminal;"
        " open one, or leave the field empty",
    )
