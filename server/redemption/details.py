"""What a ticket is for, as every answer about it says: product, departure, seat, validity."""

from datetime import datetime
from typing import NamedTuple

from server.redemption.rules import ScannedTicket, TicketDeparture


class Details(NamedTuple):
    """What an operator looks at before he admits anybody; `departure` is None for a ticket of
    none.
    """

    product_id: int
    display_name_en: str
    display_name_zh: str
    departure: TicketDeparture | None
    valid_from_time: datetime
    valid_until_time: datetime


def details(ticket: ScannedTicket) -> Details:
    """What the ticket is for."""
    return Details(
        ticket.product_id,
        ticket.snapshot.display_name_en,
        ticket.snapshot.display_name_zh,
        ticket.departure,
        ticket.begin_time,
        ticket.valid_until_time,
    )
