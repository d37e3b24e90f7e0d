"""Failed log-ins, counted in PostgreSQL: of each name at each place, and of each address over all
names.

A place is the terminal that the caller names together with the address it calls from, so that
whoever guesses from elsewhere locks out the guesser, not the operator at the own terminal (DOMAIN,
Operations). The address bounds who tries many names or terminals; an account at a terminal where it
may act is not kept out by it, since others may call from the same address, behind a proxy or from
one venue.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from server.identity import rules
from server.identity.credentials import secret_hash
from server.identity.hashing_queue import Share
from server.identity.models import login_failures
from server.platform.config import Settings
from server.platform.errors import DomainError, Reason

ANY_NAME = secret_hash("")
"""Under which an address is counted; nobody's name is empty."""

Key = tuple[bytes, bytes]
"""Hashes of the name as it was typed, and of the place."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A log-in that is tried: what its failure counts against."""

    name_at_place: Key
    address: Key

    @classmethod
    def of(cls, username: str, terminal_device_id: str | None, address: str) -> "Attempt":
        """`address` is where the call comes from, as far as the server sees."""
        source = rules.login_source(address)
        place = f"{terminal_device_id or ''}\0{source}"
        return cls((secret_hash(username), secret_hash(place)), (ANY_NAME, secret_hash(source)))

    def share(self, *, own_terminal: bool, known: bool) -> Share:
        """Whose turn it is when its password is hashed: the name's at its place, if it may act
        there or has before.

        Of all others who call from one address it is the address's.
        """
        which = self.name_at_place if own_terminal or known else self.address
        return Share(b"".join(which).hex(), known)


class LoginFailures:
    """Counts failures and refuses who has too many, by the settings."""

    def __init__(self, settings: Settings) -> None:
        self._lock = timedelta(seconds=settings.login_lock_seconds)
        self._limit = settings.login_failures
        self._address_limit = settings.login_failures_per_address

    async def locked(
        self, tx: AsyncConnection, attempt: Attempt, now: datetime, *, own_terminal: bool
    ) -> DomainError | None:
        """LOGIN_LOCKED for a name that is locked out at its place, or an address that is.

        With `own_terminal` the address does not count: the account may act at the terminal it
        names.
        """
        keys = [attempt.name_at_place] if own_terminal else [attempt.name_at_place, attempt.address]
        found = await tx.execute(_ROWS.where(or_(*map(_under, keys))))
        for row in found:
            key = bytes(row.username_hash), bytes(row.place_hash)
            failures = rules.Failures(row.failures, row.expire_time)
            if locked := self._locked(key, failures, now):
                return locked
        return None

    async def count(
        self, tx: AsyncConnection, attempt: Attempt, now: datetime, *, own_terminal: bool
    ) -> DomainError | None:
        """One failure more, and LOGIN_LOCKED to be raised after the commit, if the address is
        locked out anyway.

        Raises LOGIN_LOCKED if others, at the same moment, were enough already.
        """
        before = await _locked_row(tx, attempt.name_at_place, now)
        self._refuse(attempt.name_at_place, before, now)
        await _write(tx, attempt.name_at_place, before.another(now, lock=self._lock))
        of_address = await _locked_row(tx, attempt.address, now)
        locked = self._locked(attempt.address, of_address, now)
        if locked is None:
            after = of_address.another_in_window(now, lock=self._lock, limit=self._address_limit)
            await _write(tx, attempt.address, after)
        elif not own_terminal:
            raise locked
        return locked

    async def succeed(self, tx: AsyncConnection, attempt: Attempt, now: datetime) -> None:
        """Forgets the failures of the name at its place. Raises LOGIN_LOCKED if they are too
        many by now.
        """
        which = _under(attempt.name_at_place)
        row = (await tx.execute(_ROWS.where(which).with_for_update())).one_or_none()
        if row:
            failures = rules.Failures(row.failures, row.expire_time)
            self._refuse(attempt.name_at_place, failures, now)
            await tx.execute(delete(login_failures).where(which))

    def _refuse(self, key: Key, failures: rules.Failures, now: datetime) -> None:
        locked = self._locked(key, failures, now)
        if locked:
            raise locked

    def _locked(self, key: Key, failures: rules.Failures, now: datetime) -> DomainError | None:
        limit = self._address_limit if key[0] == ANY_NAME else self._limit
        locked = failures.locked_for(now, limit=limit)
        if locked is None:
            return None
        return DomainError(
            Reason.LOGIN_LOCKED,
            "too many failed log-ins from here; try again later",
            retry_seconds=locked.total_seconds(),
        )


async def unlock(tx: AsyncConnection, username: str) -> None:
    """Ends the lock-out of a name everywhere, and forgets its failed log-ins."""
    await tx.execute(
        delete(login_failures).where(login_failures.c.username_hash == secret_hash(username))
    )


async def purge(tx: AsyncConnection, now: datetime, limit: int) -> None:
    """Removes up to `limit` rows that no longer count."""
    key = login_failures.c.username_hash, login_failures.c.place_hash
    old = select(*key).where(login_failures.c.expire_time < now).limit(limit)
    rows = (await tx.execute(old.with_for_update(skip_locked=True))).all()
    if rows:
        await tx.execute(delete(login_failures).where(or_(*(_under(tuple(row)) for row in rows))))


_ROWS = select(
    login_failures.c.username_hash,
    login_failures.c.place_hash,
    login_failures.c.failures,
    login_failures.c.expire_time,
)


def _under(key: Key) -> ColumnElement[bool]:
    name_hash, place_hash = key
    return and_(
        login_failures.c.username_hash == name_hash, login_failures.c.place_hash == place_hash
    )


async def _locked_row(tx: AsyncConnection, key: Key, now: datetime) -> rules.Failures:
    """What is counted under a key, locked: by an update that changes nothing, whether it was
    there or not.
    """
    new = insert(login_failures).values(
        username_hash=key[0], place_hash=key[1], failures=0, expire_time=now
    )
    row = await tx.execute(
        new.on_conflict_do_update(
            index_elements=[login_failures.c.username_hash, login_failures.c.place_hash],
            set_={"failures": login_failures.c.failures},
        ).returning(login_failures.c.failures, login_failures.c.expire_time)
    )
    return rules.Failures(*row.one())


async def _write(tx: AsyncConnection, key: Key, failures: rules.Failures) -> None:
    await tx.execute(
        update(login_failures)
        .where(_under(key))
        .values(failures=failures.count, expire_time=failures.expire_time)
    )
