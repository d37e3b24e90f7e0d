"""What it would do to cancel or move a departure: who is concerned, what goes back, which holds end
and where there are seats instead. It is worked out by the rules that the work itself goes by.

A preview is kept nowhere. Its id says what it counted, and has a digest of every ticket, order and
reservation: whoever acts on it has it worked out again, under the departure's lock.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from server.aftersales import departure_orders
from server.catalog import departures, policy
from server.catalog.departures import AT_ONCE, CANCELLED
from server.catalog.operator_cause import OPERATOR_CAUSES
from server.orders import travel_tickets
from server.orders.travel_tickets import TravelTicket
from server.platform.crypto import fingerprint
from server.platform.errors import DomainError, Reason, invalid
from server.platform.statements import Statement, run, run_together

ORDERS_AT_ONCE = 200
MOST_ALTERNATIVES = 20
"""Departures of the product that are nearest in time, by class."""
PREVIEW_ID = re.compile(r"P1-([0-9a-f]{32})((?:-[0-9]{1,18}){5})")
COUNTS = ("tickets", "partner_tickets", "waiting_orders", "reservations", "refund_minor")
"""What the id of a preview counts, in this order; amounts of all currencies together."""

_DEPARTURE = Statement(
    """
SELECT departure_id, state, departure_time, cancel_refunds FROM departures
WHERE departure_id = $1::bigint
""",
    departure_orders.AffectedDeparture,
)
_ORDERS = Statement(
    """
SELECT DISTINCT order_id FROM ticket_sales
WHERE departure_id = $1::bigint AND passenger_index >= 0 ORDER BY order_id
""",
    int,
)


class PartnerHas(NamedTuple):
    """A ticket that a partner has of the departure; amounts as its ledger has them."""

    ticket_id: int
    ticket_code: str
    partner_code: str
    state: str
    blocked: bool
    paid_minor: int
    currency_code: str


class Reserved(NamedTuple):
    """A reservation of a partner's that is open, and how much of it is not sold."""

    reservation_id: UUID
    partner_code: str
    unsold: int


class Alternative(NamedTuple):
    """A class of another departure of the product, with seats left in our own channel."""

    departure_id: int
    departure_time: datetime
    class_code: str
    available: int


class Around(NamedTuple):
    """Payments that paid for tickets of the departure, and tickets of other departures in the same
    orders that leave within a day of it.
    """

    payments: int
    connecting_tickets: int


_PARTNERS_TICKETS = Statement(
    """
SELECT t.ticket_id, t.ticket_code, p.partner_code, t.state, t.blocked, coalesce((
  SELECT sum(e.amount_minor) FROM ledger_entries e
  WHERE e.partner_id = t.partner_id AND e.ticket_id = t.ticket_id AND e.kind = 'ACTIVATION'
    AND e.debit_account = 'PARTNER_RECEIVABLE'), 0)::bigint, coalesce((
  SELECT max(e.currency_code) FROM ledger_entries e
  WHERE e.partner_id = t.partner_id AND e.ticket_id = t.ticket_id AND e.kind = 'ACTIVATION'), '')
FROM departure_tickets d JOIN tickets t ON t.ticket_id = d.ticket_id
JOIN partners p ON p.partner_id = t.partner_id
WHERE d.departure_id = $1::bigint AND t.state NOT IN ('REFUNDED', 'CHANGED', 'VOIDED')
ORDER BY t.ticket_id
""",
    PartnerHas,
)
_RESERVED = Statement(
    """
SELECT r.reservation_id, p.partner_code, r.quantity - r.activated
FROM reservations r JOIN partners p ON p.partner_id = r.partner_id
WHERE r.departure_id = $1::bigint AND r.state = 'OPEN' ORDER BY r.reservation_id
""",
    Reserved,
)
_ALTERNATIVES = Statement(
    """
SELECT d.departure_id, d.departure_time, s.fare_class, s.total - s.held - s.sold
FROM departures this JOIN timetables t1 ON t1.timetable_id = this.timetable_id
JOIN routes r1 ON r1.route_id = t1.route_id
JOIN routes r2 ON r2.product_id = r1.product_id
JOIN timetables t2 ON t2.route_id = r2.route_id
JOIN departures d ON d.timetable_id = t2.timetable_id AND d.departure_id <> this.departure_id
  AND d.state = 'SCHEDULED' AND d.departure_time > $2::timestamptz
  AND d.travel_date BETWEEN this.travel_date - 3 AND this.travel_date + 7
JOIN stocks s ON s.departure_id = d.departure_id AND s.partner_id = 0 AND NOT s.closed
  AND s.total > s.held + s.sold
WHERE this.departure_id = $1::bigint
ORDER BY abs(extract(epoch FROM d.departure_time - this.departure_time)), d.departure_id,
  s.fare_class
LIMIT $3::int
""",
    Alternative,
)
_AROUND = Statement(
    """
WITH mine AS MATERIALIZED (
  SELECT DISTINCT s.order_id FROM ticket_sales s WHERE s.departure_id = $1::bigint)
SELECT
  (SELECT count(*)::int FROM mine JOIN payments p ON p.order_id = mine.order_id
   WHERE p.state = 'SUCCEEDED'),
  (SELECT count(*)::int FROM mine JOIN ticket_sales s ON s.order_id = mine.order_id
   JOIN tickets t ON t.ticket_id = s.ticket_id JOIN departures d ON d.departure_id = $1::bigint
   WHERE s.departure_id <> $1::bigint AND s.passenger_index >= 0
     AND t.state IN ('ACTIVE', 'PARTIALLY_REDEEMED')
     AND s.reference_time BETWEEN d.departure_time - interval '1 day'
       AND d.departure_time + interval '1 day')
""",
    Around,
)


_EXPIRED = Statement(
    """
SELECT CASE WHEN bool_or(c.is_open) THEN 0 ELSE count(*) FILTER (WHERE NOT c.is_open)::int END
FROM departures d CROSS JOIN LATERAL (
  SELECT t.state <> 'EXPIRED' AS is_open FROM ticket_sales s JOIN tickets t USING (ticket_id)
  WHERE s.departure_id = d.departure_id AND s.passenger_index >= 0
    AND t.state IN ('EXPIRED', 'ACTIVE', 'PARTIALLY_REDEEMED', 'CHANGING', 'REFUNDING')
  UNION ALL
  SELECT t.state <> 'EXPIRED' FROM departure_tickets s JOIN tickets t USING (ticket_id)
  WHERE s.departure_id = d.departure_id
    AND t.state IN ('EXPIRED', 'PRE_GENERATED', 'ACTIVE', 'PARTIALLY_REDEEMED')) c
WHERE d.departure_id = $1::bigint AND d.state <> 'CANCELLED'
""",
    int,
)


class Action(NamedTuple):
    """To move a departure to a time, or to cancel it with refunds AT_ONCE, AFTER_CHOICE or, if
    empty, as its product says.
    """

    departure_id: int
    departure_time: datetime | None
    refunds: str


class PreviewedTicket(NamedTuple):
    """What becomes of a ticket: an outcome of `disruption_reports`, and why if it stays.

    `refund_minor` goes back by itself; `offered_minor` if the traveller asks for it, who may change
    for nothing as well. `waived_minor` is how much less the ticket's own policy would have given.
    """

    ticket_id: int
    ticket_code: str
    order_id: int
    traveller_id: int
    partner_code: str
    state: str
    blocked: bool
    outcome: str
    reason: str
    paid_minor: int
    refund_minor: int
    offered_minor: int
    waived_minor: int
    currency_code: str


class DisruptionTotal(NamedTuple):
    """Tickets of one outcome, of one partner or, if empty, our own channel, in one currency."""

    outcome: str
    partner_code: str
    currency_code: str
    tickets: int
    paid_minor: int
    refund_minor: int
    offered_minor: int = 0
    waived_minor: int = 0


class DisruptionPreview(NamedTuple):
    """All of it; tickets in the order of their numbers."""

    action: Action
    was_time: datetime
    refunds: str
    tickets: Sequence[PreviewedTicket]
    waiting_orders: Sequence[int]
    reservations: Sequence[Reserved]
    alternatives: Sequence[Alternative]
    around: Around

    @property
    def counts(self) -> tuple[int, ...]:
        """The numbers of COUNTS."""
        of_partners = sum(bool(each.partner_code) for each in self.tickets)
        return (
            len(self.tickets) - of_partners,
            of_partners,
            len(self.waiting_orders),
            len(self.reservations),
            sum(each.refund_minor for each in self.tickets),
        )

    @property
    def totals(self) -> list[DisruptionTotal]:
        """The sums of the tickets, by outcome, partner and currency."""
        sums: dict[tuple[str, str, str], list[int]] = {}
        for each in self.tickets:
            key = each.outcome, each.partner_code, each.currency_code
            amounts = each.paid_minor, each.refund_minor, each.offered_minor, each.waived_minor
            added = sums.setdefault(key, [0] * 5)
            for place, amount in enumerate((1, *amounts)):
                added[place] += amount
        return [DisruptionTotal(*key, *added) for key, added in sorted(sums.items())]

    @property
    def preview_id(self) -> str:
        """By what it is named when it is carried out."""
        facts = [
            [*self.action, self.was_time, self.refunds, *self.waiting_orders],
            [(str(each.reservation_id), each.unsold) for each in self.reservations],
            [[each.ticket_id, *each[5:]] for each in self.tickets],
        ]
        digest = fingerprint(orjson.dumps(facts), size_bytes=16).hex()
        return "-".join(["P1", digest, *map(str, self.counts)])


async def preview(
    tx: AsyncConnection, action: Action, *, now: datetime, lock: bool = False
) -> DisruptionPreview:
    """Works out what an action would do now; with `lock` under the departure's lock.

    Raises NOT_FOUND, DEPARTURE_CANCELLED (to be moved), DEPARTURE_OVER (to be cancelled),
    INVALID_FIELD.
    """
    number = action.departure_id
    await departures.require_change(tx, number, action.departure_time, now=now, lock=lock)
    if action.departure_time is None:
        await require_in_time(tx, number)
    found, order_ids, of_partners, reserved, alternatives, (around,) = await run_together(
        tx,
        _DEPARTURE(number),
        _ORDERS(number),
        _PARTNERS_TICKETS(number),
        _RESERVED(number),
        _ALTERNATIVES(number, now, MOST_ALTERNATIVES),
        _AROUND(number),
    )
    departure = found[0]
    refunds = "" if action.departure_time else action.refunds
    if not refunds and not action.departure_time:
        refunds = departure.refunds or await departures.refunds_of_product(tx, number)
    planned = _Planned(action, departure, refunds, now)
    tickets = [_of_partner(each, action) for each in of_partners]
    for first in range(0, len(order_ids), ORDERS_AT_ONCE):
        tickets += await planned.of_orders(tx, order_ids[first : first + ORDERS_AT_ONCE])
    is_over = departure.state == CANCELLED or action.departure_time is not None
    return DisruptionPreview(
        action,
        departure.departure_time,
        refunds,
        sorted(tickets),
        [] if is_over else await waiting_orders(tx, number),
        [] if action.departure_time else reserved,
        alternatives,
        around,
    )


async def require_in_time(tx: AsyncConnection, departure_id: int) -> None:
    """Raises DEPARTURE_OVER if tickets of a departure that is not cancelled are EXPIRED, which is
    final, and none is left that a cancellation would give back.
    """
    (expired,) = await run(tx, _EXPIRED(departure_id))
    if expired:
        raise DomainError(
            Reason.DEPARTURE_OVER,
            f"departure {departure_id} is over: {expired} tickets of it are EXPIRED, for good, and"
            " none is left that would be given back; give the money back by hand, by the payments"
            " of the orders",
            departure_id=departure_id,
            expired=expired,
        )


async def require(tx: AsyncConnection, action: Action, preview_id: str, *, now: datetime) -> None:
    """Raises INVALID_FIELD for what is no preview's id, PREVIEW_OUTDATED, with what is another now,
    and what `preview` raises.
    """
    known = PREVIEW_ID.fullmatch(preview_id)
    if known is None:
        raise invalid("preview_id", "is not one that PreviewDisruption gave")
    current = await preview(tx, action, now=now, lock=True)
    if current.preview_id == preview_id:
        return
    before = [int(count) for count in known[2].split("-")[1:]]
    changed = [
        f"{name} {was} -> {is_now}"
        for name, was, is_now in zip(COUNTS, before, current.counts, strict=True)
        if was != is_now
    ]
    what = ", ".join(changed) or "what is asked for, or a ticket of it, is another"
    raise DomainError(
        Reason.PREVIEW_OUTDATED,
        f"not everything is as in the preview: {what}; look at a new one",
        departure_id=action.departure_id,
        changed=what,
    )


async def waiting_orders(tx: AsyncConnection, departure_id: int) -> list[int]:
    """The orders that wait for payment and are for the departure, or change a ticket of it."""
    found: list[int] = []
    while page := await departure_orders.waiting(
        tx, departure_id, after=found[-1] if found else 0, limit=ORDERS_AT_ONCE
    ):
        found += page
    return found


class _Planned(NamedTuple):
    """An action, and the departure as it is."""

    action: Action
    departure: departure_orders.AffectedDeparture
    refunds: str
    now: datetime

    async def of_orders(
        self, tx: AsyncConnection, order_ids: Sequence[int]
    ) -> list[PreviewedTicket]:
        found = [
            self._as_it_will_be(each) for each in await travel_tickets.of_orders(tx, order_ids)
        ]
        by_order: dict[int, list[TravelTicket]] = {}
        for ticket in found:
            by_order.setdefault(ticket.order_id, []).append(ticket)
        previewed: list[PreviewedTicket] = []
        for of_order in by_order.values():
            mine = departure_orders.of_departure(of_order, self.action.departure_id)
            live = [each for each in mine if each.state in departure_orders.LIVE]
            offers = await departure_orders.offers(tx, of_order, live, now=self.now)
            given = {each.ticket_id: offer for each, offer in offers}
            previewed += [
                self._ticket(each, given.get(each.ticket_id))
                for each in mine
                if each.state not in ("REFUNDED", "CHANGED", "VOIDED")
            ]
        return previewed

    def _as_it_will_be(self, ticket: TravelTicket) -> TravelTicket:
        """The ticket once the action is carried out."""
        if ticket.departure_id != self.action.departure_id:
            return ticket
        moves_to = self.action.departure_time
        if moves_to is None:
            return replace(ticket, departure_state=CANCELLED)
        by = moves_to - self.departure.departure_time
        return replace(
            ticket,
            departure_time=moves_to,
            planned_time=ticket.planned_time or ticket.departure_time,
            reference_time=ticket.reference_time + by,
            valid_until_time=ticket.valid_until_time + by,
        )

    def _ticket(self, ticket: TravelTicket, offer: policy.RefundOffer | None) -> PreviewedTicket:
        standing = ticket.standing
        free = offer if offer and offer.rule in OPERATOR_CAUSES else None
        outcome, reason = self._outcome(ticket, free)
        amount = free.amount_minor if free else 0
        refunded = outcome == "REFUNDED"
        waived = 0
        if free:
            usual = policy.refund(replace(standing, operator_cause=""), ticket.policy, self.now)
            waived = amount - (usual.amount_minor if isinstance(usual, policy.RefundOffer) else 0)
        return PreviewedTicket(
            ticket.ticket_id,
            ticket.ticket_code,
            ticket.order_id,
            ticket.order.traveller_id or 0,
            "",
            ticket.state,
            ticket.blocked,
            outcome,
            reason,
            ticket.amount_minor,
            amount if refunded else 0,
            0 if refunded else amount,
            max(0, waived),
            ticket.order.currency_code,
        )

    def _outcome(self, ticket: TravelTicket, free: policy.RefundOffer | None) -> tuple[str, str]:
        if ticket.state in _OUTCOMES:
            return _OUTCOMES[ticket.state]
        if self.action.departure_time is not None:
            return "KEPT", "DEPARTURE_MOVED"
        if free is None:
            return "KEPT", "BLOCKED" if ticket.blocked else "BOARDED"
        if self.refunds == AT_ONCE or self.now >= self.departure.departure_time:
            return "REFUNDED", ""
        return "AWAITING_CHOICE", ""


_OUTCOMES: Mapping[str, tuple[str, str]] = {
    "USED": ("USED", ""),
    "EXPIRED": ("KEPT", "EXPIRED"),
    "REFUNDING": ("KEPT", "REFUND_REQUESTED_BEFORE"),
    "CHANGING": ("REBOOKING", ""),
}


def _of_partner(ticket: PartnerHas, action: Action) -> PreviewedTicket:
    outcome, reason = "KEPT", "DEPARTURE_MOVED"
    if ticket.state in _OUTCOMES:
        outcome, reason = _OUTCOMES[ticket.state]
    elif action.departure_time is None and ticket.state == "PRE_GENERATED":
        outcome, reason = "UNSOLD", ""
    elif action.departure_time is None:
        reason = "BLOCKED" if ticket.blocked else "BOARDED"
        if ticket.state == "ACTIVE" and not ticket.blocked:
            outcome, reason = "REFUNDED", ""
    return PreviewedTicket(
        *(ticket.ticket_id, ticket.ticket_code, 0, 0, ticket.partner_code),
        *(ticket.state, ticket.blocked, outcome, reason, ticket.paid_minor),
        *(ticket.paid_minor if outcome == "REFUNDED" else 0, 0, 0, ticket.currency_code),
    )
