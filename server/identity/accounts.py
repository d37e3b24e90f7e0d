"""Accounts: merchants' operators and supervisors, and platform administrators."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Unpack

from sqlalchemy import ColumnElement, ScalarSelect, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By, Records, checked
from server.identity.credentials import Passwords
from server.identity.login_failures import unlock
from server.identity.models import accounts, login_failures
from server.identity.service import end_logins
from server.identity.signing_in import HAS_SECOND_FACTOR
from server.parties.venues import MERCHANTS, VENUES
from server.platform.change_feed import ChangeKind
from server.platform.errors import DomainError, Reason, invalid, not_found, refuse_stale

ADMINISTRATOR = "ADMINISTRATOR"
"""The role that may call whatever administrators may, and alone makes administrators."""
SUPPORT = "SUPPORT"
"""The role for travellers' orders and tickets."""


@dataclass(frozen=True, slots=True)
class OperatorAccount:
    """An operator's or supervisor's account; without venues it works at all of the merchant's.

    `failed_logins` in a row, at the terminal and address with the most of them, are forgotten, and
    a lock-out by them is over, at `failed_logins_expire_time`.
    """

    username: str
    role: str
    merchant_code: str
    venue_codes: list[str]
    display_name: str
    failed_logins: int
    failed_logins_expire_time: datetime | None
    state: str
    create_time: datetime
    update_time: datetime
    version: int


@dataclass(frozen=True, slots=True)
class Administrator:
    """A platform administrator's account; `failed_logins` as an operator's."""

    username: str
    display_name: str
    roles: list[str]
    failed_logins: int
    failed_logins_expire_time: datetime | None
    second_factor: bool
    state: str
    create_time: datetime
    update_time: datetime
    version: int


def _where_most(value: ColumnElement[Any]) -> ScalarSelect[Any]:
    """Of the failed log-ins under the account's name, which are counted at each place."""
    # as server.identity.credentials.secret_hash
    name_hash = func.sha256(func.convert_to(accounts.c.username, "UTF8"))
    return (
        select(value)
        .where(login_failures.c.username_hash == name_hash)
        .correlate(accounts)
        .scalar_subquery()
    )


_FAILED_LOGINS = (
    _where_most(func.coalesce(func.max(login_failures.c.failures), 0)).label("failed_logins"),
    _where_most(func.max(login_failures.c.expire_time)).label("failed_logins_expire_time"),
)
OPERATORS = Records(
    "operator",
    accounts.c.username,
    select(
        accounts.c.username,
        accounts.c.role,
        accounts.c.merchant_code,
        accounts.c.venue_codes,
        accounts.c.display_name,
        *_FAILED_LOGINS,
        accounts.c.state,
        accounts.c.create_time,
        accounts.c.update_time,
        accounts.c.version,
    ).where(accounts.c.role != "ADMIN"),
    OperatorAccount,
    ChangeKind.ACCOUNT,
)
ADMINISTRATORS = Records(
    "administrator",
    accounts.c.username,
    select(
        accounts.c.username,
        accounts.c.display_name,
        accounts.c.admin_roles.label("roles"),
        *_FAILED_LOGINS,
        HAS_SECOND_FACTOR,
        accounts.c.state,
        accounts.c.create_time,
        accounts.c.update_time,
        accounts.c.version,
    ).where(accounts.c.role == "ADMIN"),
    Administrator,
    ChangeKind.ACCOUNT,
)


async def create_operator(
    tx: AsyncConnection,
    passwords: Passwords,
    *,
    username: str,
    role: str,
    merchant_code: str,
    venue_codes: Sequence[str],
    display_name: str,
    password: str,
    **by: Unpack[By],
) -> OperatorAccount:
    """A new account of a merchant's staff; `role` is OPERATOR or SUPERVISOR.

    Raises INVALID_FIELD, ALREADY_EXISTS; NOT_FOUND and REVOKED for the merchant and its venues;
    SERVER_BUSY.
    """
    values = checked(
        {
            "username": username,
            "role": role,
            "merchant_code": merchant_code,
            "venue_codes": venue_codes,
            "display_name": display_name,
            "state": "ACTIVE",
        }
    )
    await _rely_on_venues(tx, merchant_code, venue_codes)
    await MERCHANTS.rely_on(tx, merchant_code)
    password_hash = await passwords.hash(password)
    return await OPERATORS.create(tx, {**values, "password_hash": password_hash}, **by)


async def update_operator(
    tx: AsyncConnection,
    passwords: Passwords,
    username: str,
    values: Mapping[str, Any],
    **by: Unpack[By],
) -> OperatorAccount:
    """Changes the given fields; a `password` ends the log-ins and the lock-out, `locked` false the
    lock-out alone.

    Raises INVALID_FIELD, NOT_FOUND and REVOKED, also for venues, SERVER_BUSY.
    """
    before = await OPERATORS.lock_active(tx, username)
    columns = dict(checked(values))
    await _rely_on_venues(tx, before.merchant_code, columns.get("venue_codes", ()))
    unshown = await _let_in(tx, passwords, username, columns, by["now"])
    return await OPERATORS.change(tx, before, columns, unshown=unshown, **by)


async def _let_in(
    tx: AsyncConnection,
    passwords: Passwords,
    username: str,
    columns: dict[str, Any],
    now: datetime,
) -> dict[str, str]:
    """Does what an update's `password` and `locked` ask for, which become columns of the account;
    what the audit trail says of it. Raises INVALID_FIELD, SERVER_BUSY.
    """
    unshown = {}
    lifted = "locked" in columns
    if columns.pop("locked", False):
        raise invalid("locked", "takes only false; a revocation shuts an account out")
    if "password" in columns:
        columns["password_hash"] = await passwords.hash(columns.pop("password"))
        unshown["password"] = "changed"  # noqa: S105 - that it was, not what it is
        await end_logins(tx, username, now)
    if lifted:
        await unlock(tx, username)
    return unshown


async def create_administrator(
    tx: AsyncConnection,
    passwords: Passwords,
    *,
    username: str,
    display_name: str,
    password: str,
    roles: Sequence[str] = (),
    **by: Unpack[By],
) -> Administrator:
    """Another administrator; without `roles`, one of ADMINISTRATOR. Raises INVALID_FIELD,
    ALREADY_EXISTS, SERVER_BUSY.
    """
    checked({"roles": list(roles) or [ADMINISTRATOR]})
    values = {
        "username": username,
        "role": "ADMIN",
        "admin_roles": list(roles) or [ADMINISTRATOR],
        "venue_codes": [],
        "display_name": display_name,
        "password_hash": await passwords.hash(password),
        "state": "ACTIVE",
    }
    return await ADMINISTRATORS.create(tx, values, **by)


async def update_administrator(
    tx: AsyncConnection,
    passwords: Passwords,
    username: str,
    values: Mapping[str, Any],
    *,
    version: int = 0,
    **by: Unpack[By],
) -> Administrator:
    """Changes the given fields, `password` and `locked` as `update_operator`; other `roles` count
    within a second, everywhere. `version` is the one that was read; 0 any.

    Raises INVALID_FIELD, NOT_FOUND and REVOKED, OWN_ACCOUNT for the roles of the one who asks,
    LAST_ADMINISTRATOR, VERSION_MISMATCH, SERVER_BUSY.
    """
    columns = dict(checked(values))
    if "roles" in columns:
        roles = columns["admin_roles"] = columns.pop("roles")
        if by["actor"] == f"admin:{username}":
            raise own_account(username)
        if ADMINISTRATOR not in roles:
            await _refuse_last(tx, username)
    # after the accounts that are locked in order
    before = await ADMINISTRATORS.lock_active(tx, username)
    refuse_stale(ADMINISTRATORS.resource, username, sent=version, now=before.version)
    unshown = await _let_in(tx, passwords, username, columns, by["now"])
    return await ADMINISTRATORS.change(tx, before, columns, unshown=unshown, **by)


async def revoke_administrator(
    tx: AsyncConnection, username: str, **by: Unpack[By]
) -> Administrator:
    """Revokes an administrator; a repeat changes nothing. Raises NOT_FOUND, LAST_ADMINISTRATOR."""
    await _refuse_last(tx, username)
    return await ADMINISTRATORS.revoke(tx, username, **by)


async def _refuse_last(tx: AsyncConnection, username: str) -> None:
    """Raises LAST_ADMINISTRATOR if nobody else could make administrators."""
    # all of them, in order: two who revoke or lower each other at once must not both succeed
    active = (
        await tx.scalars(
            select(accounts.c.username)
            .where(
                accounts.c.role == "ADMIN",
                accounts.c.state == "ACTIVE",
                accounts.c.admin_roles.contains([ADMINISTRATOR]),
            )
            .order_by(accounts.c.username)
            .with_for_update()
        )
    ).all()
    if active == [username]:
        raise DomainError(
            Reason.LAST_ADMINISTRATOR,
            f"{username} is the last active administrator; create another first",
            username=username,
        )


def own_account(username: str) -> DomainError:
    """OWN_ACCOUNT: somebody else has to do it."""
    return DomainError(
        Reason.OWN_ACCOUNT,
        f"{username} cannot do this to the own account; have another administrator do it",
        username=username,
    )


async def _rely_on_venues(
    tx: AsyncConnection, merchant_code: str, venue_codes: Iterable[str]
) -> None:
    for venue_code in sorted(venue_codes):
        venue = await VENUES.rely_on(tx, venue_code)
        if venue.merchant_code != merchant_code:
            raise not_found(VENUES.resource, venue_code)
