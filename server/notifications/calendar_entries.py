"""Calendar entries of tickets (RFC 5545): the crossing of a departure, the days of a pass.

Times are in UTC with `Z`, days are DATE values whose end is not one of them, and nothing recurs, so
that no reader has to know a time zone: the same bytes come from a process in whatever zone. The UID
is the ticket's for good; SEQUENCE counts what the operator did to the departure, and the last thing
that can happen to a ticket.
"""

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.errors import not_found
from server.platform.statements import Command, Statement, run
from server.tickets.rules import DIRECT, DIRECT_CODE, DIRECT_PREFIX, Code

if TYPE_CHECKING:
    from icalendar import Event, vDate, vDatetime
    from icalendar.prop import vInline

CONTENT_TYPE = "text/calendar; charset=utf-8"
PRODUCT_ID = "-//DeepTravel//Ticketing//EN"
UID_DOMAIN = "tickets.deeptravel"
OVER = frozenset({"REFUNDING", "REFUNDED", "CHANGED", "VOIDED"})
"""States of a ticket that its traveller does not come with any more."""


class CalendarTicket(NamedTuple):
    """What an entry says of a ticket. `moves` are how often its departure was moved, `update_time`
    when anything of this changed last.
    """

    ticket_id: int
    ticket_code: str
    state: str
    order_code: str
    snapshot: dict[str, Any]
    reference_time: datetime | None
    valid_from_time: datetime
    valid_until_time: datetime
    departure_state: str
    moves: int
    seat: str
    update_time: datetime


_READ = Statement(
    """
SELECT t.ticket_id, t.ticket_code, t.state, o.order_code, n.content, s.reference_time,
  t.valid_from_time, t.valid_until_time, coalesce(d.state, ''),
  (SELECT count(*)::int FROM order_events e WHERE e.order_id = t.order_id
     AND e.ticket_id = t.ticket_id AND e.event = 'departure.moved'),
  coalesce(s.seat, ''),
  greatest(t.update_time, (SELECT max(e.occurred_time) FROM order_events e
    WHERE e.order_id = t.order_id AND e.ticket_id = t.ticket_id))
FROM tickets t
JOIN orders o ON o.order_id = t.order_id
JOIN snapshots n ON n.snapshot_id = t.snapshot_id
LEFT JOIN ticket_sales s ON s.ticket_id = t.ticket_id
LEFT JOIN departures d ON d.departure_id = s.departure_id
WHERE t.ticket_id = ANY($1::bigint[]) AND o.traveller_id = $2::bigint
ORDER BY t.ticket_id
""",
    CalendarTicket,
)


def read(ticket_ids: list[int], traveller_id: int) -> Command[CalendarTicket]:
    """Those of the tickets that are the traveller's own."""
    return _READ(ticket_ids, traveller_id)


async def entry_of(
    tx: AsyncConnection, ticket_code: str, traveller_id: int, *, zone: ZoneInfo
) -> bytes:
    """The calendar entry of a traveller's ticket. Raises NOT_FOUND, also for another's."""
    code, rows = Code.parse(ticket_code), []
    if code and (code.prefix, code.partner_code) == (DIRECT_PREFIX, DIRECT_CODE):
        rows = await run(tx, read([code.number(DIRECT)], traveller_id))
    if not rows:
        raise not_found("ticket", ticket_code)
    return entry(rows, language="", zone=zone)


def entry(tickets: list[CalendarTicket], *, language: str, zone: ZoneInfo) -> bytes:
    """A calendar with an event for each ticket; `zone` is where a pass's days are days. In a
    language, or in both if that is empty.
    """
    from icalendar import Calendar  # with the first entry: a process that serves need not wait

    calendar = Calendar()
    calendar.add("prodid", PRODUCT_ID)
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    for ticket in tickets:
        calendar.add_component(_event(ticket, language, zone))
    content: bytes = calendar.to_ical()
    return content


def _event(ticket: CalendarTicket, language: str, zone: ZoneInfo) -> "Event":
    from icalendar import Event

    is_cancelled = ticket.departure_state == "CANCELLED" or ticket.state in OVER
    event = Event()
    event.add("uid", f"{ticket.ticket_code}@{UID_DOMAIN}")
    event["dtstamp"] = _utc(ticket.update_time)
    event["last-modified"] = _utc(ticket.update_time)
    event.add("sequence", ticket.moves + is_cancelled)
    event.add("status", "CANCELLED" if is_cancelled else "CONFIRMED")
    event.add("transp", "TRANSPARENT" if not _journey(ticket) else "OPAQUE")
    name = _in_language(ticket.snapshot, "display_name", language)
    lines = [f"{ticket.ticket_code} ({ticket.order_code})"]
    if (journey := _journey(ticket)) and ticket.reference_time:
        departs, arrives = (
            datetime.fromisoformat(journey[key]) for key in ("departure_time", "arrival_time")
        )
        event["dtstart"] = _utc(ticket.reference_time)
        event["dtend"] = _utc(ticket.reference_time + (arrives - departs))
        origin, destination = (
            _in_language(journey[stop], "display_name", language)
            for stop in ("origin", "destination")
        )
        event["summary"] = _text(f"{journey['service_number']} {origin} → {destination}")
        event["location"] = _text(origin)
        lines.insert(0, name)
        if ticket.seat:
            lines.append(ticket.seat)
    else:
        first, after = _days(ticket, zone)
        event["dtstart"], event["dtend"] = _day(first), _day(after)
        event["summary"] = _text(name)
    event["description"] = _text("\n".join(lines))
    return event


def _journey(ticket: CalendarTicket) -> dict[str, Any] | None:
    offer = ticket.snapshot.get("offer") or {}
    journey: dict[str, Any] | None = offer.get("journey")
    return journey


def _days(ticket: CalendarTicket, zone: ZoneInfo) -> tuple[date, date]:
    """The first day of a pass, and the day after its last."""
    first = ticket.valid_from_time.astimezone(zone).date()
    # a validity ends with the last moment of a day, or the first of the next
    last = (ticket.valid_until_time - timedelta(microseconds=1)).astimezone(zone).date()
    return first, max(first, last) + timedelta(days=1)


def _in_language(names: dict[str, Any], key: str, language: str) -> str:
    both = [str(names.get(f"{key}_{each}", "")) for each in ("zh", "en")]
    if language:
        return both[language == "en"] or both[0]
    return " ".join(dict.fromkeys(filter(None, both)))


def _text(text: str) -> "vInline":
    """A TEXT value, escaped as RFC 5545 section 3.3.11 says: icalendar 7.3.2's own takes `\\N` in a
    name for a line break (findings/icalendar-backslash-capital-n.sh).
    """
    from icalendar.prop import vInline

    for plain, escaped in (
        ("\\", "\\\\"),
        (";", "\\;"),
        (",", "\\,"),
        ("\r\n", "\\n"),
        ("\n", "\\n"),
    ):
        text = text.replace(plain, escaped)
    return vInline(text)


def _utc(moment: datetime) -> "vDatetime":
    from icalendar import vDatetime

    return vDatetime(moment.astimezone(UTC).replace(microsecond=0))


def _day(day: date) -> "vDate":
    from icalendar import vDate

    made = vDate(day)
    made.params["VALUE"] = "DATE"
    return made
