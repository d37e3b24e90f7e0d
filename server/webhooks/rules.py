"""What partner events there are, and when a webhook that failed is sent again. Pure.

A partner filters by these names, in `ListEvents` and for each of its webhook endpoints.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

BATCH_GENERATED = "batch.generated"
TICKET_ACTIVATED = "ticket.activated"
TICKET_BLOCKED = "ticket.blocked"
TICKET_EXPIRED = "ticket.expired"
TICKET_EXPIRING = "ticket.expiring"
TICKET_QR_REISSUED = "ticket.qr_reissued"
TICKET_REASSIGNED = "ticket.reassigned"
TICKET_REDEEMED = "ticket.redeemed"
TICKET_REDEMPTION_REVERSED = "ticket.redemption_reversed"
TICKET_REFUNDED = "ticket.refunded"
TICKET_UNBLOCKED = "ticket.unblocked"
TICKET_VOIDED = "ticket.voided"
RESERVATION_CREATED = "reservation.created"
RESERVATION_EXTENDED = "reservation.extended"
RESERVATION_EXPIRING = "reservation.expiring"
RESERVATION_EXPIRED = "reservation.expired"
RESERVATION_RELEASED = "reservation.released"
ALLOTMENT_ADJUSTED = "allotment.adjusted"
DEPARTURE_CANCELLED = "departure.cancelled"
DEPARTURE_MOVED = "departure.moved"
DEPARTURE_REINSTATED = "departure.reinstated"
PAYMENT_REFUSED = "payment.refused"
STATEMENT_READY = "statement.ready"

EVENT_TYPES = frozenset(
    {
        BATCH_GENERATED,
        TICKET_ACTIVATED,
        TICKET_BLOCKED,
        TICKET_EXPIRED,
        TICKET_EXPIRING,
        TICKET_QR_REISSUED,
        TICKET_REASSIGNED,
        TICKET_REDEEMED,
        TICKET_REDEMPTION_REVERSED,
        TICKET_REFUNDED,
        TICKET_UNBLOCKED,
        TICKET_VOIDED,
        RESERVATION_CREATED,
        RESERVATION_EXTENDED,
        RESERVATION_EXPIRING,
        RESERVATION_EXPIRED,
        RESERVATION_RELEASED,
        ALLOTMENT_ADJUSTED,
        DEPARTURE_CANCELLED,
        DEPARTURE_MOVED,
        DEPARTURE_REINSTATED,
        PAYMENT_REFUSED,
        STATEMENT_READY,
    }
)
"""Every type that may be recorded; a new one is added here and in the contract's `Event.type`."""

ENDPOINT_TEST = "endpoint.test"
"""The type of a test event, which is sent to one endpoint and stands in no feed."""
TEST_DATA: Mapping[str, Any] = MappingProxyType({"explanation": "This is a test event."})

ATTEMPT_SECONDS = 15.0
"""An attempt is over by then, whatever the endpoint does."""
RETRY_SECONDS = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 72_000)
"""The waits after failed attempts: together three days, less what is added by chance."""
MAX_ATTEMPTS = len(RETRY_SECONDS) + 1
JITTER = 0.2
"""A wait is up to so much shorter by chance: what failed together does not come together."""
MAX_RETRY_AFTER_SECONDS = 3600
"""However long an endpoint asks us to wait."""


def retry_seconds(attempt: int, chance: float, retry_after_seconds: int = 0) -> float | None:
    """How long to wait after a failed attempt, of which the first is 1; None if there is no other.

    `chance` is a random number from 0 to 1; an endpoint that says when to come again is heard.
    """
    if attempt >= MAX_ATTEMPTS:
        return None
    wait = RETRY_SECONDS[attempt - 1] * (1 - JITTER * chance)
    return max(wait, min(retry_after_seconds, MAX_RETRY_AFTER_SECONDS))
