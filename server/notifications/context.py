"""What a message needs to know of its order, ticket and traveller, read for many at once."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

from server.platform.statements import Command, Statement


class OrderContext(NamedTuple):
    """An order, with one of its tickets or without, and whose it is."""

    order_id: int
    ticket_id: int
    order_code: str
    traveller_id: int
    paid_minor: int
    currency_code: str
    is_change: bool
    places: int
    ticket_code: str
    reference_time: datetime | None
    valid_until_time: datetime | None
    name_zh: str
    name_en: str
    offered_time: str
    travel_date: str
    journey: dict[str, Any] | None
    app_id: str
    openid: str
    language: str
    has_sms: bool
    has_email: bool
    quiet_from: int | None
    quiet_until: int | None

    def facts(self) -> dict[str, Any]:
        """What texts may say of it, in no language."""
        facts: dict[str, Any] = {
            "order_code": self.order_code,
            "product": {"zh": self.name_zh, "en": self.name_en},
            "time": self._time(),
        }
        if self.ticket_code:
            facts["ticket_code"] = self.ticket_code
        if journey := self.journey:
            facts["service"] = journey["service_number"]
            facts["journey"] = {
                language: " → ".join(
                    journey[stop][f"display_name_{language}"] for stop in ("origin", "destination")
                )
                for language in ("zh", "en")
            }
        return facts

    def _time(self) -> str:
        """When it leaves, as it is now; of what has no departure the day of use."""
        if not self.journey and self.travel_date:
            return self.travel_date
        return self.reference_time.isoformat() if self.reference_time else self.offered_time


class RefundOutcome(NamedTuple):
    """A refund that is over."""

    order_id: int
    settle_time: datetime
    state: str
    amount_minor: int
    currency_code: str


class Consent(NamedTuple):
    """How many messages of a template a traveller has agreed to, and has not had."""

    traveller_id: int
    template_id: str
    available: int


# 0 is no ticket: then the first item says what was ordered
_CONTEXTS = Statement(
    """
SELECT v.order_id, v.ticket_id, o.order_code, o.traveller_id, o.amount_minor - o.credit_minor,
  o.currency_code, o.changes_ticket_id IS NOT NULL,
  (SELECT coalesce(sum(jsonb_array_length(i -> 'places')), 0)::int
   FROM jsonb_array_elements(o.content -> 'items') i),
  coalesce(t.ticket_code, ''), s.reference_time, t.valid_until_time,
  coalesce(n.content ->> 'display_name_zh', ''), coalesce(n.content ->> 'display_name_en', ''),
  coalesce(n.content #>> '{offer,reference_time}', ''),
  coalesce(n.content #>> '{offer,travel_date}', ''),
  nullif(n.content #> '{offer,journey}', 'null'::jsonb), coalesce(r.app_id, ''),
  coalesce(r.openid, ''), coalesce(p.language, ''), coalesce(p.sms, false),
  coalesce(p.email, false), p.quiet_from, p.quiet_until
FROM unnest($1::bigint[], $2::bigint[]) AS v (order_id, ticket_id)
JOIN orders o ON o.order_id = v.order_id AND o.traveller_id IS NOT NULL
LEFT JOIN tickets t ON t.ticket_id = v.ticket_id
LEFT JOIN ticket_sales s ON s.ticket_id = v.ticket_id
LEFT JOIN snapshots n ON n.snapshot_id
  = coalesce(t.snapshot_id, (o.content #>> '{items,0,snapshot_id}')::uuid)
LEFT JOIN travellers r ON r.traveller_id = o.traveller_id
LEFT JOIN notification_preferences p ON p.traveller_id = o.traveller_id
""",
    OrderContext,
)
_ORDERS_OF_TICKETS = Statement(
    """
SELECT t.order_id, t.ticket_id FROM tickets t
WHERE t.ticket_id = ANY($1::bigint[]) AND t.order_id IS NOT NULL
""",
    lambda *row: (int(row[0]), int(row[1])),
)
_REFUNDS = Statement(
    """
SELECT order_id, settle_time, state, amount_minor, currency_code FROM refunds
WHERE order_id = ANY($1::bigint[]) AND settle_time IS NOT NULL
""",
    RefundOutcome,
)
_KNOWN = Statement(
    """
SELECT n.source FROM unnest($1::bigint[], $2::text[]) AS v (traveller_id, source)
JOIN notifications n ON n.traveller_id = v.traveller_id AND n.source = v.source
""",
    str,
)
_CONSENTS = Statement(
    """
SELECT traveller_id, template_id, available FROM notification_consents
WHERE traveller_id = ANY($1::bigint[]) AND available > 0
ORDER BY traveller_id, template_id FOR NO KEY UPDATE
""",
    Consent,
)


def contexts(wanted: Collection[tuple[int, int]]) -> Command[OrderContext] | None:
    """Those of (order, ticket), where a ticket of 0 is none; of travellers' orders alone."""
    return _CONTEXTS.of_rows(sorted(set(wanted)))


def orders_of(ticket_ids: Collection[int]) -> Command[tuple[int, int]] | None:
    """(order, ticket) of tickets."""
    return _ORDERS_OF_TICKETS(sorted(set(ticket_ids))) if ticket_ids else None


def refunds_of(order_ids: Collection[int]) -> Command[RefundOutcome] | None:
    """The refunds of orders that are over."""
    return _REFUNDS(sorted(set(order_ids))) if order_ids else None


def known(sources: Collection[tuple[int, str]]) -> Command[str] | None:
    """Which sources travellers were notified of already."""
    return _KNOWN.of_rows(sorted(sources))


def lock_consents(traveller_ids: Collection[int]) -> Command[Consent] | None:
    """What these travellers have agreed to, locked."""
    return _CONSENTS(sorted(set(traveller_ids))) if traveller_ids else None
