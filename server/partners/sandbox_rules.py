"""What falls due next for a sandbox, by its test clock. Pure."""

from datetime import date, datetime, timedelta, tzinfo
from enum import IntEnum
from typing import NamedTuple

from server.partners.statement_rules import SEAL_DELAY, end_of


class Kind(IntEnum):
    """What falls due; at the same moment in this order."""

    VOID_TICKETS = 1
    """Those of a reservation that has ended."""
    WARN_OF_RESERVATIONS = 2
    REMIND_OF_TICKETS = 3
    EXPIRE_RESERVATIONS = 4
    EXPIRE_TICKETS = 5
    SEAL_STATEMENT = 6


class Awaited(NamedTuple):
    """What a sandbox waits for: the next of each kind, None where there is none.

    `reminded_ticket_ends` is when the validity of the next ticket ends that is to be reminded of;
    `is_unposted` whether something has happened that is not in the ledger yet.
    """

    voids_pending: bool
    warn_time: datetime | None
    reservation_expire_time: datetime | None
    reminded_ticket_ends: datetime | None
    ticket_ends: datetime | None
    open_month: date | None
    is_unposted: bool


class Due(NamedTuple):
    """Something that falls due."""

    time: datetime
    kind: Kind


def next_due(
    awaited: Awaited, *, shown: datetime, until: datetime, reminder: timedelta, zone: tzinfo
) -> Due | None:
    """The next that falls due by `until` on a clock that shows `shown`; None if nothing does.

    `reminder` is how long before its end a ticket is reminded of, `zone` whose months count. A
    statement is due, too, of a month whose events the ledger has not got yet.
    """
    ends = awaited.reminded_ticket_ends
    times = {
        Kind.VOID_TICKETS: shown if awaited.voids_pending else None,
        Kind.WARN_OF_RESERVATIONS: awaited.warn_time,
        Kind.REMIND_OF_TICKETS: ends - reminder if ends else None,
        Kind.EXPIRE_RESERVATIONS: awaited.reservation_expire_time,
        Kind.EXPIRE_TICKETS: awaited.ticket_ends,
        Kind.SEAL_STATEMENT: (
            end_of(awaited.open_month, zone) + SEAL_DELAY if awaited.open_month else None
        ),
    }
    due = sorted(Due(time, kind) for kind, time in times.items() if time and time <= until)
    return due[0] if due else None
