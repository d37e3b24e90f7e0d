"""Reminders of tickets: an event some time before the end of a ticket's validity, while it is of
use (DOMAIN, Operations). Partners' are recorded here, those of travellers with their orders
(orders/expiry_reminders.py).

All tickets are looked at once, in the order in which they end; up to where is kept in a row, which
moves in the transaction of the events: a process that dies in between has reminded of nothing, and
nothing is reminded of twice. A ticket that was made later than its reminder was due, or is not
sold by then, gets none.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from server.parties.rules import SANDBOX_BIT
from server.platform.schedule import Progress, Work
from server.platform.statements import Statement, run, run_together
from server.tickets import partner_events
from server.webhooks.events import TicketEvent
from server.webhooks.rules import TICKET_EXPIRING

PAGE_TICKETS = 500
"""Tickets in one transaction."""
ALL_LIVE = 0
"""Whose row it is that is kept for all that are no sandbox."""
DIRECT = -1
"""Whose row it is that is kept for our own channel."""
LAST_TICKET = (1 << 63) - 1
REMINDED_STATES = ("ACTIVE", "PARTIALLY_REDEEMED")

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class _Place(NamedTuple):
    """A ticket in the order of their ends."""

    valid_until_time: datetime
    ticket_id: int


class _Ending(NamedTuple):
    ticket_id: int
    valid_until_time: datetime
    state: str
    create_time: datetime


class TravellersEnding(NamedTuple):
    """A traveller's ticket that ends before long."""

    ticket_id: int
    order_id: int
    valid_until_time: datetime
    state: str
    create_time: datetime


_BEGIN = Statement("""
INSERT INTO ticket_reminders (partner_id, until_time, ticket_id)
VALUES ($1::int, $2::timestamptz, 0) ON CONFLICT DO NOTHING
""")
_LOCK = Statement(
    """
SELECT until_time, ticket_id FROM ticket_reminders WHERE partner_id = $1::int FOR NO KEY UPDATE
""",
    _Place,
)
_MOVE = Statement("""
UPDATE ticket_reminders SET until_time = $2::timestamptz, ticket_id = $3::bigint
WHERE partner_id = $1::int
""")
_ENDING = Statement(
    f"""
SELECT ticket_id, valid_until_time, state, create_time FROM tickets
WHERE expiry_pending AND partner_id BETWEEN 1 AND {SANDBOX_BIT - 1}
  AND (valid_until_time, ticket_id) > ($1::timestamptz, $2::bigint)
  AND valid_until_time <= $3::timestamptz
ORDER BY valid_until_time, ticket_id LIMIT $4::int
""",  # noqa: S608 - our own number
    _Ending,
)
_ENDING_OF_DIRECT = Statement(
    """
SELECT ticket_id, order_id, valid_until_time, state, create_time FROM tickets
WHERE expiry_pending AND partner_id = 0 AND order_id IS NOT NULL
  AND (valid_until_time, ticket_id) > ($1::timestamptz, $2::bigint)
  AND valid_until_time <= $3::timestamptz
ORDER BY valid_until_time, ticket_id LIMIT $4::int
""",
    TravellersEnding,
)
_ENDING_OF_SANDBOX = Statement(
    f"""
SELECT ticket_id, valid_until_time, state, create_time FROM tickets
WHERE expiry_pending AND partner_id >= {SANDBOX_BIT} AND partner_id = $5::int
  AND (valid_until_time, ticket_id) > ($1::timestamptz, $2::bigint)
  AND valid_until_time <= $3::timestamptz
ORDER BY valid_until_time, ticket_id LIMIT $4::int
""",  # noqa: S608
    _Ending,
)


async def remind(
    tx: AsyncConnection, partner_id: int, now: datetime, *, lead: timedelta, limit: int
) -> Progress:
    """Looks at up to `limit` tickets that end within `lead`, of a sandbox or of ALL_LIVE, and
    reminds of those that are of use.
    """
    _, (last,) = await run_together(tx, _BEGIN(partner_id, _BEGINNING), _LOCK(partner_id))
    until = now + lead
    of = (*last, until, limit)
    if partner_id == ALL_LIVE:
        found = await run(tx, _ENDING(*of))
    else:
        found = await run(tx, _ENDING_OF_SANDBOX(*of, partner_id))
    reminded = [
        TicketEvent(
            each.ticket_id,
            TICKET_EXPIRING,
            {"expire_time": each.valid_until_time.astimezone(UTC).isoformat()},
        )
        for each in found
        if _is_reminded(each, lead, now)
    ]
    moved = _place_after(found, last, until, limit)
    await run_together(tx, partner_events.record(*reminded, now=now), _MOVE(partner_id, *moved))
    return Progress(len(found) == limit, len(reminded))


async def ending_of_travellers(
    tx: AsyncConnection, now: datetime, *, lead: timedelta, limit: int
) -> tuple[list[TravellersEnding], bool]:
    """The next tickets of our own channel that end within `lead`, of up to `limit` that are looked
    at, as far as they are to be reminded of; and whether there may be more. They do not come again.
    """
    _, (last,) = await run_together(tx, _BEGIN(DIRECT, _BEGINNING), _LOCK(DIRECT))
    until = now + lead
    found = await run(tx, _ENDING_OF_DIRECT(*last, until, limit))
    await run(tx, _MOVE(DIRECT, *_place_after(found, last, until, limit)))
    return [each for each in found if _is_reminded(each, lead, now)], len(found) == limit


def _is_reminded(each: _Ending | TravellersEnding, lead: timedelta, now: datetime) -> bool:
    return (
        each.state in REMINDED_STATES
        and each.create_time <= each.valid_until_time - lead
        and each.valid_until_time > now
    )


def _place_after(
    found: Sequence[_Ending | TravellersEnding], last: _Place, until: datetime, limit: int
) -> _Place:
    if len(found) == limit:
        return _Place(found[-1].valid_until_time, found[-1].ticket_id)
    return max(_Place(until, LAST_TICKET), last)  # all that end by then


def work(lead: timedelta) -> Work:
    """The work of the job, for all that are no sandbox."""

    async def remind_live(tx: AsyncConnection, now: datetime) -> Progress:
        return await remind(tx, ALL_LIVE, now, lead=lead, limit=PAGE_TICKETS)

    return remind_live
