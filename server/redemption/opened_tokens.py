"""A token that was opened: what it names, and whether it opens a ticket."""

from typing import NamedTuple
from uuid import UUID

from server.orders.rules import rotations_of_order_qr
from server.redemption import rules
from server.redemption.statements import OrderQrRow, ScanFacts
from server.redemption.token_refusals import COMPROMISED_KEY, INVALID_TOKEN
from server.tickets.qr import Seal
from server.tickets.rotating_codes import CodeShown


class Token(NamedTuple):
    """An opened token: the ticket (0 if none) or order it names, or why it is refused; `seal` of
    a genuine one, and `shown` the rotating code behind it; None without a QR.
    """

    ticket_id: int = 0
    jti: UUID | None = None
    order_id: int | None = None
    refusal: rules.Refusal | None = None
    is_code: bool = False
    seal: Seal | None = None
    shown: CodeShown | None = None


def issued_after(order: OrderQrRow | None, jti: UUID | None) -> int | None:
    """After how many rotations of its tickets an order's QR was issued; None if it is none of the
    order's.
    """
    return rotations_of_order_qr(order.jti, jti) if order and jti else None


def opens(order_id: int, ticket_code: str, ticket: rules.ScannedTicket, facts: ScanFacts) -> bool:
    """Whether an order's QR stands for this ticket: its own, or one that it shares with the
    order it was changed from.
    """
    order = facts.orders.get(order_id)
    shows = ticket.order_id == order_id or (order and ticket.ticket_id in order.also_shown)
    return bool(shows) and ticket.ticket_code == ticket_code


def unless_forged(
    token: Token,
    ticket: rules.ScannedTicket | None,
    refusal: rules.Refusal | None,
    facts: ScanFacts,
) -> tuple[rules.ScannedTicket | None, rules.Refusal | None]:
    """As given, unless the token has a compromised key and is not, by its id, the one that its
    ticket or order has: nobody knows that id who has not seen the token.
    """
    if refusal is not COMPROMISED_KEY:
        return ticket, refusal
    if ticket and token.order_id is None:
        is_issued = ticket.jti == token.jti
    else:
        rotations = issued_after(facts.orders.get(token.order_id or 0), token.jti)
        is_issued = bool(ticket) and rules.order_qr_standing(rotations, ticket) is None
    return (ticket, refusal) if is_issued else (None, INVALID_TOKEN)
