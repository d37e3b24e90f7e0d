"""A token that was opened: what it names, and whether it opens a ticket."""

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from server.orders.rules import rotations_of_order_qr
from server.redemption import rules
from server.redemption.statements import OrderQrRow, ScanFacts
from server.redemption.token_refusals import COMPROMISED_KEY, INVALID_TOKEN
from server.tickets import qr, rotating_codes
from server.tickets.rotating_codes import CodeShown
from server.tickets.rotating_keys import RotatingKeys


class Token(NamedTuple):
    """An opened token: the ticket (0 if none) or order it names, or why it is refused; `text` of
    a genuine one, and `shown` the rotating code behind it; empty and None without a QR.
    `missing_key` is the number of its issuing key, for want of which it is refused.
    """

    ticket_id: int = 0
    jti: UUID | None = None
    order_id: int | None = None
    refusal: rules.Refusal | None = None
    is_code: bool = False
    text: str = ""
    shown: CodeShown | None = None
    missing_key: int | None = None

    @property
    def seal(self) -> qr.Seal:
        """Of a genuine one; worked out each time."""
        return qr.seal_of(self.text)


def code_shown(
    code: str,
    claims: qr.Claims,
    keys: RotatingKeys,
    now: datetime,
    clock_slack: timedelta | None = timedelta(),
) -> CodeShown:
    """The rotating code behind a token that says these claims; an order has none. Where nobody
    knows the time, any code is as good as that of now.
    """
    if not code or claims.kind is not qr.QrKind.TICKET:
        return CodeShown.NO_CODE
    if clock_slack is None:
        return CodeShown.CURRENT
    secret = keys.secret(claims.number, claims.jti)
    return rotating_codes.shown(code, secret, now, clock_slack=clock_slack)


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
