"""What partner events there are. Pure.

A partner filters by these names, in `ListEvents` and for each of its webhook endpoints.
"""

BATCH_GENERATED = "batch.generated"
TICKET_ACTIVATED = "ticket.activated"
TICKET_BLOCKED = "ticket.blocked"
TICKET_EXPIRED = "ticket.expired"
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

EVENT_TYPES = frozenset(
    {
        BATCH_GENERATED,
        TICKET_ACTIVATED,
        TICKET_BLOCKED,
        TICKET_EXPIRED,
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
    }
)
"""Every type that may be recorded; a new one is added here and in the contract's `Event.type`."""
