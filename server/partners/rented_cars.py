"""Cars that a partner rents out of its own stock of a fleet's days: sold in one step, as a batch of
one ticket under an order of its own, and given back by the policy they were sold under.

What a ticket was sold as is its snapshot, as of everything a partner sells: so its lists, events,
ledger and statements have it.
"""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple
from uuid import uuid4
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog import policy
from server.catalog.offer_making import of_partner
from server.catalog.offers import Offer
from server.identity.callers import Partner
from server.orders.partner_orders import NewPartnerOrder, Sale, create_paid
from server.partners import sold_tickets
from server.partners.booking_refusals import refund_refused
from server.partners.partner_tickets import BatchRequest, NewBatch, batch_event
from server.platform.database import Database
from server.platform.statements import Statement, run, run_together
from server.stock import inventory
from server.tickets import snapshots, tickets
from server.tickets.departure_tickets import ToRefund
from server.tickets.generation import NewTickets, generate, reserve_numbers
from server.tickets.snapshots import NewSnapshot
from server.tickets.tickets import LockedTicket
from server.webhooks import events


class SoldCar(NamedTuple):
    """A car that was sold: its ticket, which is locked, as what, and for how much."""

    ticket: LockedTicket
    offer: Offer
    order_id: int
    amount_minor: int


class _OfOrder(NamedTuple):
    ticket_id: int
    amount_minor: int


_OF_ORDER = Statement(
    """
SELECT t.ticket_id, o.amount_minor FROM orders o JOIN tickets t USING (order_id)
WHERE o.order_id = $1::bigint AND o.partner_id = $2::int
""",
    _OfOrder,
)


async def sell(
    tx: AsyncConnection,
    db: Database,
    partner: Partner,
    offer: Offer,
    sale: Sale,
    *,
    zone: ZoneInfo,
    now: datetime,
) -> NewPartnerOrder:
    """Sells a car, of an offer of our own stock, out of the partner's; `zone` is whose days count
    in codes. Its stock is taken last. Raises SOLD_OUT.
    """
    theirs = of_partner(offer, partner.partner_id)
    (order,) = await create_paid(tx, db, partner, [sale], zone=zone, now=now)
    kept = NewSnapshot(uuid4(), offer.product_id, theirs.snapshot | {"line_of_sale": []})
    day = now.astimezone(zone).date()
    new = NewTickets(
        first_ticket_id=await reserve_numbers(db, partner.partner_id, day, "T", 1),
        quantity=1,
        partner_code=partner.partner_code,
        state="ACTIVE",
        product_id=offer.product_id,
        batch_id=uuid4(),
        distributor_id="",
        snapshot_id=kept.snapshot_id,
        order_id=order.order_id,
        customer_type=sale.customer_type,
        customer_name=sale.customer_name,
        valid_from_time=offer.valid_from_time,
        valid_until_time=offer.valid_until_time,
        create_time=now,
        entitlements=[(each["function_code"], each["total_uses"]) for each in offer.entitlements],
    )
    batch = NewBatch(new.batch_id, new.first_ticket_id, 1, new.state, order.order_code)
    event = batch_event(partner, BatchRequest(offer.product_id, 1, "", sale, None), batch)
    await run_together(tx, snapshots.store([kept], now=now), events.record(event, now=now))
    await generate(tx, new)
    await inventory.take_sold_of_each(tx, theirs.stock_ids, product_id=offer.product_id, now=now)
    return order


async def find(tx: AsyncConnection, partner: Partner, order_id: int) -> SoldCar | None:
    """The car of a partner's order, its ticket locked; None for an order of anything else."""
    found = await run(tx, _OF_ORDER(order_id, partner.partner_id))
    locked = await run(
        tx, tickets.lock_tickets(partner.partner_id, [each.ticket_id for each in found])
    )
    sold = await run(tx, snapshots.read({each.snapshot_id for each in locked}))
    if len(sold) != 1 or not sold[0].content.get("offer", {}).get("rental"):
        return None
    offer = Offer.from_snapshot("", sold[0].snapshot_id, sold[0].content)
    return SoldCar(locked[0], offer, order_id, found[0].amount_minor)


async def lock_stocks(tx: AsyncConnection, car: SoldCar, partner: Partner, offer: Offer) -> None:
    """Locks the days of a car and those of another that is to be sold instead, in one order."""
    both: Collection[int] = {*car.offer.stock_ids, *of_partner(offer, partner.partner_id).stock_ids}
    await inventory.lock_levels(tx, both)


async def give_back(
    tx: AsyncConnection, partner: Partner, car: SoldCar, *, now: datetime, whole: bool = False
) -> int:
    """Refunds a car by its policy, or `whole` if nobody has used it; how much. Its stock stays
    locked. Raises REFUND_REFUSED.
    """
    ticket, offer = car.ticket, car.offer
    sold = policy.PolicyTicket(
        state=ticket.state,
        paid_minor=car.amount_minor,
        remaining_uses=1,
        total_uses=1,
        reference_time=offer.reference_time,
        valid_until_time=ticket.valid_until_time,
        blocked=ticket.blocked,
        start=offer.start,
    )
    amount_minor = car.amount_minor
    if not whole or ticket.state != "ACTIVE":
        back = policy.refund(sold, policy.Policy.parse(offer.policy), now)
        if isinstance(back, policy.Refused):
            raise refund_refused(ticket.ticket_code, back)
        amount_minor = back.amount_minor
    first, *others = offer.stock_ids
    found = ToRefund(ticket.ticket_id, car.order_id, first, first, None, others)
    await sold_tickets.refund(
        *(tx, [found]),
        actor=partner.key,
        reason="PARTNER",
        amounts={ticket.ticket_id: amount_minor},
        now=now,
    )
    return amount_minor
