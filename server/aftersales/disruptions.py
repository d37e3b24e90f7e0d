"""A departure is cancelled or moved, on a preview if one is named, and its report begins: one
transaction.

What follows is work of tasks of the outbox (tasks.py), which note here what could not be done.
"""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple, Unpack
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from server.aftersales import disruption_models  # noqa: F401 - whoever writes has the tables
from server.aftersales import disruption_previews as previews
from server.aftersales.disruption_previews import Action
from server.audit.records import By
from server.catalog import departures
from server.platform import outbox
from server.platform.statements import Statement, run, run_together

CANCELLED, MOVED = "CANCELLED", "MOVED"
LONGEST_FAILURE = 300
"""Characters of why an order could not follow."""

_NEW = Statement("""
INSERT INTO disruptions (disruption_id, departure_id, kind, comment, waiver_code, refunds, was_time,
  departure_time, preview_id, actor, create_time, order_ids, reservation_ids)
SELECT $1::uuid, d.departure_id, $3::text, $4::text, $5::text,
  CASE WHEN $3::text = 'CANCELLED' THEN d.cancel_refunds END,
  $6::timestamptz, d.departure_time, $7::text, $8::text, $9::timestamptz, $10::bigint[],
  ARRAY(SELECT reservation_id FROM reservations r
        WHERE r.departure_id = d.departure_id AND r.state = 'OPEN')
FROM departures d WHERE d.departure_id = $2::bigint
""")
_REFUNDS = Statement("""
UPDATE disruptions SET refunds = $2::text WHERE departure_id = $1::bigint AND kind = 'CANCELLED'
""")
# What was given back or changed before is none of it any more. A departure has one cancellation,
# and its last move is the one that its tickets follow.
_ADD = Statement("""
WITH latest AS MATERIALIZED (
  SELECT disruption_id, departure_id FROM disruptions WHERE departure_id = $1::bigint
  ORDER BY disruption_id DESC LIMIT 1)
INSERT INTO disruption_tickets (disruption_id, ticket_id, ticket_code, order_id, partner_id,
  was_state, was_blocked, was_reference_time, paid_minor, currency_code)
SELECT l.disruption_id, t.ticket_id, t.ticket_code, t.order_id, 0, t.state, t.blocked,
  s.reference_time, s.amount_minor, o.currency_code
FROM latest l JOIN ticket_sales s ON s.departure_id = l.departure_id AND s.passenger_index >= 0
JOIN tickets t ON t.ticket_id = s.ticket_id JOIN orders o ON o.order_id = s.order_id
WHERE t.state NOT IN ('REFUNDED', 'CHANGED', 'VOIDED')
UNION ALL
SELECT l.disruption_id, t.ticket_id, t.ticket_code, t.order_id, t.partner_id, t.state, t.blocked,
  d.reference_time, coalesce(e.amount_minor, 0), coalesce(e.currency_code, '')
FROM latest l JOIN departure_tickets d ON d.departure_id = l.departure_id
JOIN tickets t ON t.ticket_id = d.ticket_id
LEFT JOIN LATERAL (
  SELECT sum(amount_minor)::bigint AS amount_minor, max(currency_code) AS currency_code
  FROM ledger_entries
  WHERE partner_id = t.partner_id AND ticket_id = t.ticket_id AND kind = 'ACTIVATION'
    AND debit_account = 'PARTNER_RECEIVABLE') e ON true
WHERE t.state NOT IN ('REFUNDED', 'CHANGED', 'VOIDED')
ON CONFLICT DO NOTHING
""")
_FAILED = Statement("""
UPDATE disruption_tickets t SET failure = $3::text
FROM (SELECT disruption_id FROM disruptions WHERE departure_id = $1::bigint
      ORDER BY disruption_id DESC LIMIT 1) d
WHERE t.disruption_id = d.disruption_id AND t.order_id = ANY($2::bigint[])
  AND t.failure IS DISTINCT FROM $3::text
""")


class CarriedOut(NamedTuple):
    """Which report tells of it; None if it changed nothing."""

    disruption_id: UUID | None

    @property
    def name(self) -> str:
        """The id as a text; empty if there is none."""
        return str(self.disruption_id or "")


class _Decision(NamedTuple):
    kind: str
    comment: str
    preview_id: str


async def cancel(
    tx: AsyncConnection,
    departure_id: int,
    *,
    refunds: str,
    comment: str,
    waiver_code: str = "",
    preview_id: str = "",
    **by: Unpack[By],
) -> CarriedOut:
    """Cancels a departure, see `departures.cancel_departure`.

    Raises what that raises, DEPARTURE_OVER if that comes too late for its tickets, and
    PREVIEW_OUTDATED if not everything is as in the preview.
    """
    action = Action(departure_id, None, refunds)
    if preview_id:
        await previews.require(tx, action, preview_id, now=by["now"])
    else:
        await previews.require_in_time(tx, departure_id)
    changed = await departures.cancel_departure(
        tx, departure_id, refunds=refunds, comment=comment, waiver_code=waiver_code, **by
    )
    if changed is None:
        return CarriedOut(None)
    if not changed.is_first:
        await run(tx, _REFUNDS(departure_id, refunds))
        return CarriedOut(None)
    return await _begin(tx, departure_id, changed, _Decision(CANCELLED, comment, preview_id), **by)


async def move(
    tx: AsyncConnection,
    departure_id: int,
    *,
    departure_time: datetime,
    comment: str,
    waiver_code: str = "",
    preview_id: str = "",
    **by: Unpack[By],
) -> CarriedOut:
    """Moves a departure, see `departures.move_departure`.

    Raises what that raises, and PREVIEW_OUTDATED if not everything is as in the preview.
    """
    if preview_id:
        action = Action(departure_id, departure_time, "")
        await previews.require(tx, action, preview_id, now=by["now"])
    changed = await departures.move_departure(
        tx,
        departure_id,
        departure_time=departure_time,
        comment=comment,
        waiver_code=waiver_code,
        **by,
    )
    if changed is None:
        return CarriedOut(None)
    return await _begin(tx, departure_id, changed, _Decision(MOVED, comment, preview_id), **by)


async def set_state(tx: AsyncConnection, departure_id: int, state: str, **by: Unpack[By]) -> None:
    """`departures.set_departure_state`, with a report."""
    if state == CANCELLED:
        await cancel(tx, departure_id, refunds="", comment="", **by)
    else:
        await departures.set_departure_state(tx, departure_id, state, **by)


async def _begin(
    tx: AsyncConnection,
    departure_id: int,
    changed: departures.ChangedDeparture,
    decided: _Decision,
    **by: Unpack[By],
) -> CarriedOut:
    disruption_id = outbox.task_id(by["now"])
    waiting = []
    if decided.kind == CANCELLED:
        waiting = await previews.waiting_orders(tx, departure_id)
    begun = _NEW(
        *(disruption_id, departure_id, decided.kind, decided.comment, changed.waiver_code),
        *(changed.was_time, decided.preview_id, by["actor"], by["now"], waiting),
    )
    await run_together(tx, begun, _ADD(departure_id))
    return CarriedOut(disruption_id)


async def add_tickets(tx: AsyncConnection, departure_id: int) -> None:
    """Adds to the report of a departure those tickets that were paid for meanwhile."""
    await run(tx, _ADD(departure_id))


async def note_failure(
    tx: AsyncConnection, departure_id: int, order_ids: Collection[int], failure: str | None
) -> None:
    """Notes in the report why the tickets of orders could not follow; None: they have."""
    kept = failure[:LONGEST_FAILURE].replace("\0", "") if failure else None
    await run(tx, _FAILED(departure_id, sorted(order_ids), kept))
