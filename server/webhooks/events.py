"""Recording partner events: each in the transaction in which it happens.

Whoever moves a partner's ticket, batch or stock records it here, by a command that runs alone or in
the round trip of the move. An event has no place in the partner's order yet: that is
given after the commit (sequencing.py), so that nobody waits for anybody. What happened to a ticket
is completed by the statement itself with what the ticket's row says.

Nothing is recorded of our own channel.
"""

import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from server.platform import clock
from server.platform.statements import Command, Statement, Value
from server.webhooks import models  # noqa: F401 - whoever records has the tables
from server.webhooks.rules import EVENT_TYPES

RECORDED = "partner_events"
"""What a transaction that records an event notifies: this process's sequencer looks after the
commit.
"""
PUBLIC_PREFIX = "evt_"
_COUNTER_BITS = 42
_RANDOM_BITS = 32


class PartnerEvent(NamedTuple):
    """Something that happened to a partner's batch, reservation or stock.

    `subject` is its id as the partner knows it: events of one subject reach the partner in their
    order. `data` is what a reader needs, by the names of the contract's `EventData`: codes, states,
    amounts in minor units with their currency code; texts, whole numbers and lists of them.
    """

    partner_id: int
    type: str
    subject: str
    data: Mapping[str, Any]


class TicketEvent(NamedTuple):
    """Something that happened to a partner's ticket.

    The ticket's code, state, product, batch, distributor and order are added from its row as the
    transaction leaves it; what `data` says counts more.
    """

    ticket_id: int
    type: str
    data: Mapping[str, Any]


# What happens to a sandbox has the time that its clock shows, whoever does it: `$2` is the time
# that it is. Its own calls, and whoever moves the clock, come with that already.
_OCCURRED = """greatest($1::timestamptz, CASE WHEN c.partner_id IS NOT NULL THEN
  coalesce(c.standing_time, $2::timestamptz + c.ahead_microseconds * interval '1 microsecond') END)
"""
_RECORD = Statement(
    f"""
INSERT INTO partner_events (partner_id, event_id, type, subject, data, occurred_time)
SELECT v.partner_id, v.event_id, v.type, v.subject, v.data, {_OCCURRED}
FROM unnest($3::int[], $4::uuid[], $5::text[], $6::text[], $7::jsonb[])
  AS v (partner_id, event_id, type, subject, data)
LEFT JOIN sandbox_clocks c ON c.partner_id = v.partner_id
""",  # noqa: S608 - our own
    notifies=RECORDED,
)
# 0 is our own channel
_OF_TICKETS = f"""
SELECT t.partner_id, v.event_id, v.type, t.ticket_code AS subject,
  jsonb_strip_nulls(jsonb_build_object(
    'ticket_code', t.ticket_code, 'status', t.state, 'product_id', t.product_id,
    'batch_id', t.batch_id, 'distributor_id', nullif(t.distributor_id, ''),
    'order_id', o.order_code)) || v.data AS data,
  {_OCCURRED} AS occurred_time
FROM {{events}}
JOIN tickets t ON t.ticket_id = v.ticket_id AND t.partner_id <> 0
LEFT JOIN orders o ON o.order_id = t.order_id
LEFT JOIN sandbox_clocks c ON c.partner_id = t.partner_id
"""  # noqa: S608
_INSERT = "INSERT INTO partner_events (partner_id, event_id, type, subject, data, occurred_time)"
_RECORD_OF_TICKETS = Statement(
    _INSERT
    + _OF_TICKETS.format(
        events="""unnest($3::bigint[], $4::uuid[], $5::text[], $6::jsonb[])
  AS v (ticket_id, event_id, type, data)"""
    ),
    notifies=RECORDED,
)
OF_ALL = _OF_TICKETS.format(
    events="""(SELECT *, $5::text AS type, $6::jsonb AS data
  FROM unnest($3::bigint[], $4::uuid[]) AS u (ticket_id, event_id)) v"""
)
"""What is recorded where the same happens to many tickets: of the values of `of_all`."""
_RECORD_OF_ALL = Statement(_INSERT + OF_ALL, notifies=RECORDED)


_noted: ContextVar[list[UUID] | None] = ContextVar("events that are noted", default=None)


@contextmanager
def noted() -> Iterator[list[UUID]]:
    """The ids of the events that are recorded meanwhile, in a transaction that is done again also
    those of the first attempt.
    """
    ids: list[UUID] = []
    token = _noted.set(ids)
    try:
        yield ids
    finally:
        _noted.reset(token)


class _EventIds:
    """Ids in the order of time (RFC 9562, version 7); of one process each is greater than the one
    before, also within a millisecond and when the clock goes back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._milliseconds = 0
        self._counter = 0

    def next(self, now: datetime) -> UUID:
        """A new id."""
        return self.some(1, now)[0]

    def some(self, count: int, now: datetime) -> list[UUID]:
        """So many new ids, in their order."""
        with self._lock:
            milliseconds = int(now.timestamp() * 1000)
            if milliseconds > self._milliseconds:
                self._milliseconds = milliseconds
                self._counter = secrets.randbits(_COUNTER_BITS - 2)
            else:
                self._counter += 1
            milliseconds, first = self._milliseconds, self._counter
            self._counter += count - 1
        tails = secrets.token_bytes(4 * count)
        return [
            _version_7(milliseconds, first + n, int.from_bytes(tails[4 * n : 4 * n + 4]))
            for n in range(count)
        ]


def _version_7(milliseconds: int, counter: int, tail: int) -> UUID:
    high, low = counter >> (_COUNTER_BITS - 12), counter & ((1 << (_COUNTER_BITS - 12)) - 1)
    tail |= low << _RANDOM_BITS
    return UUID(int=milliseconds << 80 | 7 << 76 | high << 64 | 2 << 62 | tail)


_ids = _EventIds()


def public_id(event_id: UUID) -> str:
    """An event's id as partners see it."""
    return PUBLIC_PREFIX + event_id.hex


def event_number(text: str) -> UUID | None:
    """An event's id by what partners see; None for what is none."""
    try:
        return UUID(text.removeprefix(PUBLIC_PREFIX)) if text.startswith(PUBLIC_PREFIX) else None
    except ValueError:
        return None


def record(*events: PartnerEvent, now: datetime) -> Command[None] | None:
    """Records events, in the transaction in which they happen; None if there are none."""
    rows = [
        (event.partner_id, _id_of(event.type), event.type, event.subject, dict(event.data))
        for event in events
    ]
    return _RECORD.of_rows(rows, now, clock.now())


def record_of_tickets(*events: TicketEvent, now: datetime) -> Command[None] | None:
    """Records events of tickets, which the transaction has locked, after what moves them; None if
    there are none.
    """
    rows = [(event.ticket_id, _id_of(event.type), event.type, dict(event.data)) for event in events]
    return _RECORD_OF_TICKETS.of_rows(rows, now, clock.now())


def record_of_all(
    ticket_ids: Sequence[int], event_type: str, data: Mapping[str, Any], *, now: datetime
) -> Command[None] | None:
    """As `record_of_tickets`, of many to which the same has happened: cheaper by far."""
    if not ticket_ids:
        return None
    return _RECORD_OF_ALL(*of_all(ticket_ids, event_type, data, now=now))


def of_all(
    ticket_ids: Sequence[int], event_type: str, data: Mapping[str, Any], *, now: datetime
) -> list[Value]:
    """The values of `OF_ALL`: new events, of tickets to which the same has happened."""
    event_ids = _ids_of(event_type, len(ticket_ids))
    return [now, clock.now(), ticket_ids, event_ids, event_type, dict(data)]


def first_id(recorded: datetime) -> UUID:
    """No id of an event that is recorded from then on is smaller."""
    return UUID(int=int(recorded.timestamp() * 1000) << 80)


def new_id(now: datetime) -> UUID:
    """The id of a new event."""
    return _ids.next(now)


def _id_of(event_type: str) -> UUID:
    return _ids_of(event_type, 1)[0]


def _ids_of(event_type: str, count: int) -> list[UUID]:
    assert event_type in EVENT_TYPES, f"{event_type} is no type of event"
    # by the time that it is: what happens by a sandbox's clock may be far ahead, and each id is
    # greater than the one before
    made = _ids.some(count, clock.now())
    if (ids := _noted.get()) is not None:
        ids.extend(made)
    return made
