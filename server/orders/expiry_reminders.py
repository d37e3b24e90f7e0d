"""Reminders of travellers' tickets: an event of the order, `ticket.expiring`, some time before the
end of a ticket's validity, while it is of use; the traveller is notified of it. (DOMAIN,
Operations).
"""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from server.orders import events
from server.platform.schedule import Progress, Work
from server.tickets import reminders

ACTOR = "system"


def work(lead: timedelta) -> Work:
    """The work of the job: reminds so long before a ticket ends, of each once."""

    async def remind(tx: AsyncConnection, now: datetime) -> Progress:
        ending, more = await reminders.ending_of_travellers(
            tx, now, lead=lead, limit=reminders.PAGE_TICKETS
        )
        moves = [
            events.Move(each.order_id, events.TICKET_EXPIRING, ACTOR, ticket_id=each.ticket_id)
            for each in ending
        ]
        await events.record(tx, moves, now=now)
        return Progress(more, len(moves))

    return remind
