"""The driver's errors as ours: a lost race, a locked row, a database that is away."""

import psycopg
from psycopg import errors as pg_errors
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from server.platform.errors import DomainError, Reason

RETRY_SECONDS = 1.0


RACE_RETRY_SECONDS = 0.1


LOCKED_RETRY_SECONDS = 1.0


RACE_CHECKS = frozenset({"ck_traveller_quotas_limit", "ck_document_journeys_seen"})
"""Check constraints that only a race can violate: what was read before the write said that there
is room.
"""


DRIVER_ERRORS = (DBAPIError, InterfaceError, PoolTimeoutError, psycopg.Error)


INVALID_TRANSACTION_STATE = "25"
"""How the SQLSTATEs begin of a server that takes no writes (25006) or has ended an idle
transaction (25P03).
"""


SHUT_DOWN = ("57P", "08")
"""And those of a connection or server that ends."""


class LostRaceError(DomainError):
    """A deadlock, serialization failure, duplicate key or one of RACE_CHECKS: the transaction
    did nothing and may be run again.
    """

    def __init__(self, constraint: str | None = None) -> None:
        super().__init__(
            Reason.CONFLICT,
            "another call changed the same rows at the same moment; repeat the call",
            retry_seconds=RACE_RETRY_SECONDS,
        )
        self.constraint = constraint


class LockedError(LostRaceError):
    """A row that is needed was locked by another transaction for longer than the lock time-out;
    nothing was done.
    """

    def __init__(self) -> None:
        super().__init__()
        self.message = "another call holds a row that this one needs; repeat the call"
        self.retry_seconds = LOCKED_RETRY_SECONDS


def is_useless(error: BaseException) -> bool:
    """Whether the error says that its connection must not be used again."""
    return sqlstate(error).startswith((INVALID_TRANSACTION_STATE, *SHUT_DOWN))


def sqlstate(error: BaseException | None) -> str:
    """The SQLSTATE; empty if the server has not said one."""
    return (error.sqlstate if isinstance(error, psycopg.Error) else None) or ""


def translate(error: BaseException, *, is_committing: bool = False) -> BaseException:
    """The DomainError for a driver's error, or the error itself if it is a fault of ours.

    `is_committing` says that the transaction may have been committed in spite of it.
    """
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, pg_errors.UniqueViolation) or (
        isinstance(cause, pg_errors.CheckViolation) and cause.diag.constraint_name in RACE_CHECKS
    ):
        return LostRaceError(cause.diag.constraint_name)
    if isinstance(cause, pg_errors.LockNotAvailable):
        return LockedError()
    if isinstance(cause, pg_errors.DeadlockDetected | pg_errors.SerializationFailure):
        return LostRaceError()
    is_away = (
        isinstance(error, PoolTimeoutError)
        or isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
        or sqlstate(cause).startswith(INVALID_TRANSACTION_STATE)
    )
    if is_away:
        outcome = "it is unknown what became of the call" if is_committing else "nothing was done"
        return DomainError(
            Reason.DATABASE_UNAVAILABLE,
            f"the database is not available, {outcome}; repeat the call with the same request_id",
            retry_seconds=RETRY_SECONDS,
        )
    return error
