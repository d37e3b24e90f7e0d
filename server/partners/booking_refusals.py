"""What is refused of a booking, in words for whoever knows it by its id and nothing behind it."""

from server.catalog import policy
from server.partners.booking_rows import PartnerBooking
from server.platform.errors import DomainError, Reason


def require_held(was: PartnerBooking) -> None:
    """Raises RESERVATION_EXPIRED, RESERVATION_STATE_REFUSES for a booking that holds nothing."""
    if was.status == "EXPIRED":
        expired = was.reservation.expire_time.isoformat()
        raise DomainError(
            Reason.RESERVATION_EXPIRED,
            f"the hold of the booking expired at {expired}; book again under another uuid",
            reservation_id=was.row.reservation_id,
            expire_time=expired,
        )
    if was.status != "ON_HOLD":
        remedy = "; book again under another uuid" if was.status == "CANCELLED" else ""
        raise DomainError(
            Reason.RESERVATION_STATE_REFUSES,
            f"the booking is {was.status}, and this is for one that is ON_HOLD{remedy}",
            reservation_id=was.row.reservation_id,
            status=was.status,
        )


def other_content(done: str, remedy: str) -> DomainError:
    """IDEMPOTENCY_MISMATCH for a repeat that says something else than the first did."""
    return DomainError(
        Reason.IDEMPOTENCY_MISMATCH, f"the booking was {done} before, with another body; {remedy}"
    )


def refund_refused(ticket_code: str, refused: policy.Refused) -> DomainError:
    """REFUND_REFUSED for a ticket that its policy gives nothing back of."""
    return DomainError(
        Reason.REFUND_REFUSED,
        f"the ticket {ticket_code} of the booking cannot be given back: {refused.reason}",
        ticket_code=ticket_code,
        why=refused.reason,
        **policy.deadline(refused),
    )
