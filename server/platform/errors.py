"""What can go wrong, in one table: every reason, and the gRPC status it is reported with."""

from collections.abc import Iterable, Sequence
from enum import StrEnum


class Reason(StrEnum):
    """Why a call failed. Mirrors `ErrorReason` of deeptravel.common.v1, which documents each
    value.
    """

    INVALID_FIELD = "INVALID_FIELD"
    PAGE_TOKEN_INVALID = "PAGE_TOKEN_INVALID"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    LOGIN_FAILED = "LOGIN_FAILED"
    LOGIN_LOCKED = "LOGIN_LOCKED"
    ROLE_NOT_ALLOWED = "ROLE_NOT_ALLOWED"
    ADDRESS_NOT_ALLOWED = "ADDRESS_NOT_ALLOWED"
    TERMINAL_MISMATCH = "TERMINAL_MISMATCH"
    SESSION_NOT_OPEN = "SESSION_NOT_OPEN"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    IDEMPOTENCY_MISMATCH = "IDEMPOTENCY_MISMATCH"
    SOLD_OUT = "SOLD_OUT"
    PRODUCT_NOT_ON_SALE = "PRODUCT_NOT_ON_SALE"
    TICKET_STATE_REFUSES = "TICKET_STATE_REFUSES"
    STOCK_IN_USE = "STOCK_IN_USE"
    REVERSAL_REFUSED = "REVERSAL_REFUSED"
    REVOKED = "REVOKED"
    RATE_LIMITED = "RATE_LIMITED"
    SERVER_BUSY = "SERVER_BUSY"
    CONFLICT = "CONFLICT"
    DATABASE_UNAVAILABLE = "DATABASE_UNAVAILABLE"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    INTERNAL = "INTERNAL"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    LAST_ADMINISTRATOR = "LAST_ADMINISTRATOR"
    PAYMENT_PROVIDER_UNAVAILABLE = "PAYMENT_PROVIDER_UNAVAILABLE"
    PAYMENTS_NOT_CONFIGURED = "PAYMENTS_NOT_CONFIGURED"
    PAYMENT_REFUSED = "PAYMENT_REFUSED"
    NOTICE_REFUSED = "NOTICE_REFUSED"
    OFFER_NOT_AVAILABLE = "OFFER_NOT_AVAILABLE"
    PRICE_CHANGED = "PRICE_CHANGED"
    PROMOTION_NOT_APPLICABLE = "PROMOTION_NOT_APPLICABLE"
    TOO_MANY_FOR_TRAVELLER = "TOO_MANY_FOR_TRAVELLER"
    DUPLICATE_PASSENGER = "DUPLICATE_PASSENGER"
    ORDER_STATE_REFUSES = "ORDER_STATE_REFUSES"
    REFUND_REFUSED = "REFUND_REFUSED"
    CHANGE_REFUSED = "CHANGE_REFUSED"
    QUOTE_INVALID = "QUOTE_INVALID"
    PAYMENT_MISMATCH = "PAYMENT_MISMATCH"
    DEPARTURE_CANCELLED = "DEPARTURE_CANCELLED"
    OVERLAPPING_JOURNEY = "OVERLAPPING_JOURNEY"
    PASSENGER_NOT_ALLOWED = "PASSENGER_NOT_ALLOWED"
    RANGE_TOO_LARGE = "RANGE_TOO_LARGE"
    EVENTS_REMOVED = "EVENTS_REMOVED"
    RESERVATION_EXPIRED = "RESERVATION_EXPIRED"
    RESERVATION_STATE_REFUSES = "RESERVATION_STATE_REFUSES"
    RESERVATION_USED_UP = "RESERVATION_USED_UP"
    RESERVATION_TOO_LONG = "RESERVATION_TOO_LONG"
    DISTRIBUTOR_REFUSED = "DISTRIBUTOR_REFUSED"
    VERSION_MISMATCH = "VERSION_MISMATCH"
    ENDPOINT_LIMIT = "ENDPOINT_LIMIT"
    TEST_MODE_ONLY = "TEST_MODE_ONLY"
    OWN_ACCOUNT = "OWN_ACCOUNT"
    ARCHIVED = "ARCHIVED"
    IN_USE = "IN_USE"
    CONFIG_VERSION_OUTDATED = "CONFIG_VERSION_OUTDATED"
    CONFIG_VERSION_STATE_REFUSES = "CONFIG_VERSION_STATE_REFUSES"
    CONFIG_EXAMPLE_FAILED = "CONFIG_EXAMPLE_FAILED"
    JOB_RUNNING = "JOB_RUNNING"
    SECOND_FACTOR_REQUIRED = "SECOND_FACTOR_REQUIRED"
    PREVIEW_OUTDATED = "PREVIEW_OUTDATED"
    DEPARTURE_OVER = "DEPARTURE_OVER"
    RECEIPT_REFUSED = "RECEIPT_REFUSED"


STATUS_BY_REASON: dict[Reason, str] = {
    Reason.INVALID_FIELD: "INVALID_ARGUMENT",
    Reason.PAGE_TOKEN_INVALID: "INVALID_ARGUMENT",
    Reason.UNAUTHENTICATED: "UNAUTHENTICATED",
    Reason.LOGIN_FAILED: "UNAUTHENTICATED",
    Reason.LOGIN_LOCKED: "RESOURCE_EXHAUSTED",
    Reason.ROLE_NOT_ALLOWED: "PERMISSION_DENIED",
    Reason.ADDRESS_NOT_ALLOWED: "PERMISSION_DENIED",
    Reason.TERMINAL_MISMATCH: "PERMISSION_DENIED",
    Reason.SESSION_NOT_OPEN: "FAILED_PRECONDITION",
    Reason.NOT_FOUND: "NOT_FOUND",
    Reason.ALREADY_EXISTS: "ALREADY_EXISTS",
    Reason.IDEMPOTENCY_MISMATCH: "ALREADY_EXISTS",
    Reason.SOLD_OUT: "FAILED_PRECONDITION",
    Reason.PRODUCT_NOT_ON_SALE: "FAILED_PRECONDITION",
    Reason.TICKET_STATE_REFUSES: "FAILED_PRECONDITION",
    Reason.STOCK_IN_USE: "FAILED_PRECONDITION",
    Reason.REVERSAL_REFUSED: "FAILED_PRECONDITION",
    Reason.REVOKED: "FAILED_PRECONDITION",
    Reason.RATE_LIMITED: "RESOURCE_EXHAUSTED",
    Reason.SERVER_BUSY: "RESOURCE_EXHAUSTED",
    Reason.CONFLICT: "ABORTED",
    Reason.DATABASE_UNAVAILABLE: "UNAVAILABLE",
    Reason.SHUTTING_DOWN: "UNAVAILABLE",
    Reason.INTERNAL: "INTERNAL",
    Reason.DEADLINE_EXCEEDED: "DEADLINE_EXCEEDED",
    Reason.LAST_ADMINISTRATOR: "FAILED_PRECONDITION",
    Reason.PAYMENT_PROVIDER_UNAVAILABLE: "UNAVAILABLE",
    Reason.PAYMENTS_NOT_CONFIGURED: "FAILED_PRECONDITION",
    Reason.PAYMENT_REFUSED: "FAILED_PRECONDITION",
    Reason.NOTICE_REFUSED: "UNAUTHENTICATED",
    Reason.OFFER_NOT_AVAILABLE: "FAILED_PRECONDITION",
    Reason.PRICE_CHANGED: "FAILED_PRECONDITION",
    Reason.PROMOTION_NOT_APPLICABLE: "FAILED_PRECONDITION",
    Reason.TOO_MANY_FOR_TRAVELLER: "FAILED_PRECONDITION",
    Reason.DUPLICATE_PASSENGER: "FAILED_PRECONDITION",
    Reason.ORDER_STATE_REFUSES: "FAILED_PRECONDITION",
    Reason.REFUND_REFUSED: "FAILED_PRECONDITION",
    Reason.CHANGE_REFUSED: "FAILED_PRECONDITION",
    Reason.QUOTE_INVALID: "FAILED_PRECONDITION",
    Reason.PAYMENT_MISMATCH: "FAILED_PRECONDITION",
    Reason.DEPARTURE_CANCELLED: "FAILED_PRECONDITION",
    Reason.OVERLAPPING_JOURNEY: "FAILED_PRECONDITION",
    Reason.PASSENGER_NOT_ALLOWED: "FAILED_PRECONDITION",
    Reason.RANGE_TOO_LARGE: "FAILED_PRECONDITION",
    Reason.EVENTS_REMOVED: "FAILED_PRECONDITION",
    Reason.RESERVATION_EXPIRED: "FAILED_PRECONDITION",
    Reason.RESERVATION_STATE_REFUSES: "FAILED_PRECONDITION",
    Reason.RESERVATION_USED_UP: "FAILED_PRECONDITION",
    Reason.RESERVATION_TOO_LONG: "FAILED_PRECONDITION",
    Reason.DISTRIBUTOR_REFUSED: "FAILED_PRECONDITION",
    Reason.VERSION_MISMATCH: "FAILED_PRECONDITION",
    Reason.ENDPOINT_LIMIT: "FAILED_PRECONDITION",
    Reason.TEST_MODE_ONLY: "PERMISSION_DENIED",
    Reason.OWN_ACCOUNT: "PERMISSION_DENIED",
    Reason.ARCHIVED: "FAILED_PRECONDITION",
    Reason.IN_USE: "FAILED_PRECONDITION",
    Reason.CONFIG_VERSION_OUTDATED: "FAILED_PRECONDITION",
    Reason.CONFIG_VERSION_STATE_REFUSES: "FAILED_PRECONDITION",
    Reason.CONFIG_EXAMPLE_FAILED: "FAILED_PRECONDITION",
    Reason.JOB_RUNNING: "FAILED_PRECONDITION",
    Reason.SECOND_FACTOR_REQUIRED: "PERMISSION_DENIED",
    Reason.PREVIEW_OUTDATED: "FAILED_PRECONDITION",
    Reason.DEPARTURE_OVER: "FAILED_PRECONDITION",
    Reason.RECEIPT_REFUSED: "FAILED_PRECONDITION",
}
"""gRPC status code name for each reason; a test holds it complete and equal to the contract's
comments.
"""


MAX_VIOLATIONS = 50
"""The check of a request ends at this many; nobody mends more at once, and a status tells of
even fewer.
"""


class StartError(Exception):
    """What the server needs to run is missing or in use; the text says what and the remedy, for
    a person.
    """


class DomainError(Exception):
    """A call that cannot be done, for a reason the caller can act on.

    `message` names the field and the remedy, in English. `metadata` are the facts the contract
    promises for the reason; `violations` are (field path, description) pairs for INVALID_FIELD;
    `retry_seconds` becomes a RetryInfo.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        violations: Iterable[tuple[str, str]] = (),
        retry_seconds: float | None = None,
        **metadata: object,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.violations = tuple(violations)
        self.retry_seconds = retry_seconds
        self.metadata = {key: str(value) for key, value in metadata.items()}


def invalid(field: str, description: str) -> DomainError:
    """INVALID_FIELD for one field (its path as in the request) with what is wrong and what to
    send instead.
    """
    return DomainError(
        Reason.INVALID_FIELD, f"{field}: {description}", violations=[(field, description)]
    )


def invalid_fields(violations: Sequence[tuple[str, str]]) -> DomainError:
    """INVALID_FIELD for what the check of a request found; it ends at MAX_VIOLATIONS."""
    field, description = violations[0]
    message = f"{field}: {description}"
    if len(violations) >= MAX_VIOLATIONS:
        message += f" (and {len(violations) - 1} or more others)"
    elif len(violations) > 1:
        message += f" (and {len(violations) - 1} more)"
    return DomainError(Reason.INVALID_FIELD, message, violations=violations)


def not_found(resource: str, name: object) -> DomainError:
    """NOT_FOUND for what a request names: absent, or not the caller's to see."""
    shown = name if isinstance(name, int) else str(name)
    return DomainError(
        Reason.NOT_FOUND, f"there is no {resource} {shown!r} here", resource=resource, name=name
    )


def refuse_stale(resource: str, name: object, *, sent: int, now: int) -> None:
    """Raises VERSION_MISMATCH unless the version that was sent is that of now, which is locked; 0
    is any.
    """
    if sent not in (0, now):
        raise version_mismatch(resource, name, sent=sent, now=now)


def version_mismatch(resource: str, name: object, *, sent: int, now: int) -> DomainError:
    """VERSION_MISMATCH for what somebody else has changed meanwhile."""
    return DomainError(
        Reason.VERSION_MISMATCH,
        f"version: {resource} {name!r} is of version {now} by now, and {sent} was sent: read it"
        " again, and decide anew",
        resource=resource,
        name=name,
        version=now,
    )
