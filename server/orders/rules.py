"""The decisions of an order: its states. Pure.

What a ticket's refund or change costs is in catalog/policy.py, how a refund is shared out over the
payments in payments/refund_rules.py, what a travel document says in documents.py.
"""

from uuid import UUID

ORDER_MOVES = frozenset(
    {
        ("PENDING", "PAID"),
        ("PENDING", "CANCELLED"),
        ("PAID", "COMPLETED"),
        ("PAID", "CANCELLED"),
        # a payment that arrives after its hold expired, if stock could be taken again (DOMAIN,
        # Payment)
        ("CANCELLED", "PAID"),
        # a supervisor reverses a redemption, and a ticket is no longer used up (DOMAIN, States)
        ("COMPLETED", "PAID"),
    }
)
"""Every move an order may make (DOMAIN, States); every other is refused."""


WITHDRAWN = frozenset({"REFUNDED", "CHANGED", "VOIDED"})
"""Final states of a ticket that the traveller gave back."""


_ORDER_QR_COUNT_BITS = 32
_ORDER_QR_COUNT = (1 << _ORDER_QR_COUNT_BITS) - 1


def order_qr_jti(order_jti: UUID, rotations: int) -> UUID:
    """The id in an order's QR that is issued now.

    `order_jti` is the order's, new with each rotation of the order's QR; `rotations` says how often
    a QR of one of its tickets was rotated until now. It is added to the last 32 bits, so that the
    QR itself says before and after which of these rotations it was issued. Those issued before any
    of them carry `order_jti` as it is.
    """
    number = order_jti.int
    count = number + rotations & _ORDER_QR_COUNT
    return UUID(int=number & ~_ORDER_QR_COUNT | count)


def rotations_of_order_qr(order_jti: UUID, jti: UUID) -> int | None:
    """How many rotations of tickets an order's QR was issued after; None for one that the order's
    rotation superseded.

    A ticket whose own QR was rotated as one later than that is not opened by it (DOMAIN, QR token).
    """
    if (order_jti.int ^ jti.int) >> _ORDER_QR_COUNT_BITS:
        return None
    return jti.int - order_jti.int & _ORDER_QR_COUNT
