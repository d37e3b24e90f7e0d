"""What OTA partners do with their stock: make batches of tickets, and activate them when they
are sold.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time
from typing import Any, NamedTuple
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog import sales as catalog
from server.catalog.catalogue import Catalogue
from server.catalog.offers import Offer
from server.catalog.rules import fault_of_start, is_provisional, valid_until
from server.catalog.sales import ProductForSale
from server.identity.callers import Partner
from server.orders.partner_orders import Sale, create_paid, order_code
from server.partners import departure_batches, distributors, reservations
from server.partners.commission import line_of_sale
from server.partners.reservations import Reservation
from server.partners.rules import Amount, price_instead
from server.partners.turns import wait_for_turn
from server.platform import clock
from server.platform.database import Database
from server.platform.errors import DomainError, Reason, invalid, not_found
from server.platform.statements import run, run_together
from server.stock import holds, inventory
from server.stock.ids import stock_id
from server.tickets import snapshots, tickets
from server.tickets.generation import NewTickets, generate, reserve_numbers
from server.tickets.rules import PARTNER_PREFIX, Number, why_not_activated
from server.tickets.snapshots import NewSnapshot
from server.webhooks import events
from server.webhooks.events import PartnerEvent, TicketEvent
from server.webhooks.rules import BATCH_GENERATED, TICKET_ACTIVATED

STREAM_CHUNK_TICKETS = 1000


@dataclass(frozen=True, slots=True)
class SoldTicket:
    """A ticket that a partner sold: to whom, under which payment of its own, for how much."""

    ticket_code: str
    customer_type: str
    customer_name: str
    payment_reference: str
    amount_minor: int
    currency_code: str


@dataclass(frozen=True, slots=True)
class ActivationVerdict:
    """What became of an activation: `reason` is empty if it was done; `state` None if there is no
    such ticket.

    With PAYMENT_MISMATCH, what was `paid` and what was `expected`; where the ticket's reservation
    has ended, the `error` that says so.
    """

    ticket_code: str
    state: str | None = None
    order_code: str = ""
    reason: Reason | None = None
    explanation: str = ""
    paid: Amount | None = None
    expected: Amount | None = None
    error: DomainError | None = None


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """Tickets that a partner asks for; with a `sale` they are sold already, without
    `valid_from_time` valid at once. With a `reservation_id` they are what that holds.
    """

    product_id: int
    quantity: int
    distributor_id: str
    sale: Sale | None
    valid_from_time: datetime | None
    reservation_id: str = ""
    origin_stop_code: str = ""
    destination_stop_code: str = ""


class BatchTerms(NamedTuple):
    """What the tickets of a batch are sold under: the content of their price snapshot, and from
    when until when they are valid; `leg` of a departure.
    """

    content: dict[str, Any]
    valid_from_time: datetime
    valid_until_time: datetime
    leg: Offer | None = None

    @property
    def entitlements(self) -> list[tuple[str, int]]:
        """Each by function code, with how often it may be used."""
        return [
            (each["function_code"], each["total_uses"]) for each in self.content["entitlements"]
        ]


@dataclass(frozen=True, slots=True)
class NewBatch:
    """A batch that was made: its tickets have `quantity` numbers from `first_ticket_id` on, and
    all one state. `seats` are their labels, none where seats are not numbered.
    """

    batch_id: UUID
    first_ticket_id: int
    quantity: int
    state: str
    order_code: str
    seats: Sequence[str] = ()

    def codes(self, partner: Partner, limit: int) -> list[str]:
        """The codes of the first `limit` tickets."""
        end = self.first_ticket_id + min(self.quantity, limit)
        return [
            Number.unpack(number).code(PARTNER_PREFIX, partner.partner_code)
            for number in range(self.first_ticket_id, end)
        ]

    def last_of_first(self, limit: int) -> int | None:
        """The last ticket of the first `limit`; None if there are no others."""
        return self.first_ticket_id + limit - 1 if self.quantity > limit else None


async def generate_batch(
    tx: AsyncConnection,
    db: Database,
    partner: Partner,
    wanted: BatchRequest,
    *,
    catalogue: Catalogue | None,
    zone: ZoneInfo,
    now: datetime,
) -> NewBatch:
    """Makes tickets out of the partner's stock, or of what a reservation of it holds; with a sale
    they are born ACTIVE and belong to one order. Their snapshot says what they are sold for, and
    through whom.

    They are valid by the days of the city where the product is used; `zone` is whose days count in
    codes. The `catalogue` is for those of a reservation. Stock is taken last, so that its row is
    not locked while the tickets are written. Raises SOLD_OUT, PRODUCT_NOT_ON_SALE,
    DISTRIBUTOR_REFUSED, INVALID_FIELD, PAYMENT_MISMATCH, of a reservation NOT_FOUND,
    RESERVATION_EXPIRED, RESERVATION_STATE_REFUSES, RESERVATION_USED_UP, and of a departure
    DEPARTURE_CANCELLED, OFFER_NOT_AVAILABLE.
    """
    await wait_for_turn(tx, partner.partner_id, wanted.quantity)
    reserved = await _reserved(tx, partner, wanted, now)
    product = await catalog.product_for_sale(
        tx,
        stock=reserved.stock_id if reserved else stock_id(wanted.product_id, partner.partner_id),
        product_id=wanted.product_id,
        quantity=0 if reserved else wanted.quantity,
    )
    terms = await _terms(tx, wanted, product, reserved, catalogue, zone=zone, now=now)
    line = await distributors.line_for_batch(tx, partner, wanted.distributor_id)
    snapshot = terms.content | {"line_of_sale": line_of_sale(line, terms.content["fares"])}
    sale = wanted.sale
    if sale:
        _require_price(partner, sale, snapshot)
    orders = await create_paid(tx, db, partner, [sale] if sale else [], zone=zone, now=now)
    kept = NewSnapshot(uuid4(), product.product_id, snapshot)
    new = NewTickets(
        first_ticket_id=await reserve_numbers(
            db, partner.partner_id, now.astimezone(zone).date(), "T", wanted.quantity
        ),
        quantity=wanted.quantity,
        partner_code=partner.partner_code,
        state="ACTIVE" if sale else "PRE_GENERATED",
        product_id=wanted.product_id,
        batch_id=uuid4(),
        distributor_id=wanted.distributor_id,
        snapshot_id=kept.snapshot_id,
        order_id=orders[0].order_id if sale else None,
        customer_type=sale.customer_type if sale else None,
        customer_name=sale.customer_name if sale else None,
        valid_from_time=terms.valid_from_time,
        valid_until_time=terms.valid_until_time,
        create_time=now,
        entitlements=terms.entitlements,
        reservation_id=reserved.reservation_id if reserved else None,
        line=[level.distributor_id for level in line],
    )
    made = new.batch_id, new.first_ticket_id, new.quantity, new.state
    batch = NewBatch(*made, orders[0].order_code if sale else "")
    event = events.record(batch_event(partner, wanted, batch), now=now)
    await run_together(tx, snapshots.store([kept], now=now), event)
    await generate(tx, new)
    if reserved:
        seats = await _take_reserved(tx, partner, reserved, new, terms.leg, now=now)
        return replace(batch, seats=seats)
    of_partner = {"product_id": new.product_id, "partner_id": partner.partner_id}
    await inventory.take_sold(tx, **of_partner, quantity=new.quantity, now=now)
    return batch


async def _take_reserved(
    tx: AsyncConnection,
    partner: Partner,
    reserved: Reservation,
    new: NewTickets,
    leg: Offer | None,
    *,
    now: datetime,
) -> list[str]:
    """Takes new tickets out of what a reservation holds; the labels of their seats."""
    is_sold = new.order_id is not None
    await reservations.count_generated(tx, partner, reserved, new.quantity, activated=is_sold)
    seats: list[str] = []
    if leg:
        numbers = range(new.first_ticket_id, new.last_ticket_id + 1)
        seats = await departure_batches.seat(tx, reserved, leg, numbers, now=clock.now())
    if is_sold:
        await run(tx, holds.sell_held({reserved.stock_id: new.quantity}, now=now))
    return seats


async def _terms(
    tx: AsyncConnection,
    wanted: BatchRequest,
    product: ProductForSale,
    reserved: Reservation | None,
    catalogue: Catalogue | None,
    *,
    zone: ZoneInfo,
    now: datetime,
) -> BatchTerms:
    if reserved and reserved.departure_id is not None:
        assert catalogue is not None, "whoever has a reservation is given it"
        if wanted.valid_from_time:
            raise invalid("valid_from_time", "the departure says when they are valid; leave it out")
        leg = await departure_batches.leg(
            tx,
            catalogue,
            reserved,
            origin=wanted.origin_stop_code,
            destination=wanted.destination_stop_code,
            now=now,
        )
        valid = leg.valid_from_time, leg.valid_until_time
        return BatchTerms(departure_batches.content(leg), *valid, leg)
    for field in ("origin_stop_code", "destination_stop_code"):
        if getattr(wanted, field):
            raise invalid(field, "is for the reservation of a departure; leave it out")
    zone_of_use = ZoneInfo(product.time_zone) if product.time_zone else zone
    valid_from = _valid_from(wanted, reserved, zone_of_use, now)
    fault = fault_of_start(valid_from, product.validity_days, now)
    if fault:
        raise invalid("valid_from_time", fault)
    until = valid_until(valid_from, product.validity_days, zone_of_use)
    first_day = valid_from.astimezone(zone_of_use).date()
    content = product.snapshot() | {"provisional": is_provisional(first_day, product.known_until)}
    return BatchTerms(content, valid_from, until)


def batch_event(partner: Partner, wanted: BatchRequest, batch: NewBatch) -> PartnerEvent:
    """What the partner hears of a batch: one event, however many tickets it has."""
    data: dict[str, Any] = {
        "batch_id": str(batch.batch_id),
        "product_id": wanted.product_id,
        "quantity": batch.quantity,
        "status": batch.state,
    }
    if wanted.reservation_id:
        data["reservation_id"] = wanted.reservation_id
    if wanted.distributor_id:
        data["distributor_id"] = wanted.distributor_id
    if wanted.sale:
        data["order_id"] = batch.order_code
        data |= _paid(wanted.sale)
    return PartnerEvent(partner.partner_id, BATCH_GENERATED, str(batch.batch_id), data)


def _paid(sale: Sale | SoldTicket) -> dict[str, Any]:
    """How something was paid, as events have it: without the customer's name."""
    return {
        "payment_reference": sale.payment_reference,
        "amount_minor": sale.amount_minor,
        "currency_code": sale.currency_code,
        "customer_type": sale.customer_type,
    }


async def _reserved(
    tx: AsyncConnection, partner: Partner, wanted: BatchRequest, now: datetime
) -> Reservation | None:
    """The reservation that a batch is to be made of, if it has so much left; its row decides at the
    end. None without one.
    """
    if not wanted.reservation_id:
        return None
    found = await reservations.get(tx, partner, wanted.reservation_id)
    if found.product_id != wanted.product_id:
        raise invalid("product_id", f"the reservation is of product {found.product_id}")
    found.require_open(now)
    found.require_left(wanted.quantity)
    return found


def _valid_from(
    wanted: BatchRequest, reserved: Reservation | None, zone_of_use: ZoneInfo, now: datetime
) -> datetime:
    """When the tickets' validity begins: with the day of use that was reserved, if it was one."""
    if reserved is None or reserved.use_date is None:
        return wanted.valid_from_time or now
    if wanted.valid_from_time:
        raise invalid(
            "valid_from_time", f"the reservation is for {reserved.use_date}; leave it out"
        )
    return datetime.combine(reserved.use_date, time(), zone_of_use)


async def get_batch(tx: AsyncConnection, partner: Partner, batch_id: str) -> tickets.Batch:
    """A partner's batch by the text of its id. Raises NOT_FOUND."""
    try:
        found = await tickets.find_batch(tx, partner.partner_id, UUID(batch_id))
    except ValueError:
        found = None
    if found is None:
        raise not_found("batch", batch_id)
    return found


async def batch_page(
    tx: AsyncConnection,
    partner: Partner,
    batch_id: str,
    *,
    after: int | None,
    limit: int,
    now: datetime,
) -> tuple[list[tickets.BatchTicket], int | None]:
    """Up to `limit` tickets of a batch after the number `after`, and the number to go on from.
    Raises NOT_FOUND.
    """
    batch = await get_batch(tx, partner, batch_id)
    after = batch.first_ticket_id - 1 if after is None else after
    found = await tickets.batch_tickets(tx, batch, after=after, limit=limit, now=now)
    last = after + limit
    return found, last if last < batch.last_ticket_id else None


async def batch_chunks(
    db: Database,
    partner: Partner,
    batch_id: str,
    *,
    after_ticket_code: str,
    clock: Callable[[], datetime],
) -> AsyncIterator[list[tickets.BatchTicket]]:
    """All tickets of a batch after the given one, chunk by chunk.

    No transaction is open between two chunks, however slow the reader. Raises NOT_FOUND,
    INVALID_FIELD.
    """
    async with db.transaction() as tx:
        batch = await get_batch(tx, partner, batch_id)
    after = batch.first_ticket_id - 1
    if after_ticket_code:
        given = tickets.ticket_number(after_ticket_code, partner)
        if given is None or not batch.first_ticket_id <= given <= batch.last_ticket_id:
            raise invalid("after_ticket_code", "is not the code of a ticket of this batch")
        after = given
    while after < batch.last_ticket_id:
        async with db.transaction() as tx:
            chunk = await tickets.batch_tickets(
                tx, batch, after=after, limit=STREAM_CHUNK_TICKETS, now=clock()
            )
        yield chunk
        after += STREAM_CHUNK_TICKETS


async def activate(
    tx: AsyncConnection,
    db: Database,
    partner: Partner,
    sold: Sequence[SoldTicket],
    *,
    zone: ZoneInfo,
    now: datetime,
) -> list[ActivationVerdict]:
    """Activates what can be activated of the sold tickets, each at most once; one verdict for each,
    in order.

    Tickets under one payment reference share an order. Raises INVALID_FIELD for a ticket that
    stands there twice, and a payment in two currencies.
    """
    _refuse_contradictions(sold)
    numbers = [tickets.ticket_number(each.ticket_code, partner) for each in sold]
    ids = [number for number in numbers if number is not None]
    reserved, locked = await run_together(
        tx,
        reservations.lock_of_tickets(ids, partner.partner_id),
        tickets.lock_tickets(partner.partner_id, ids),
    )
    known = {row.ticket_id: row for row in locked}
    decided = partner.now() if reserved else now
    ended = await departure_batches.refusals(tx, reserved, decided)
    sold_under = await run(tx, snapshots.read({row.snapshot_id for row in known.values()}))
    content = {each.snapshot_id: each.content for each in sold_under}
    verdicts: list[ActivationVerdict | None] = []
    sales: dict[str, list[tuple[int, SoldTicket]]] = {}
    for number, each in zip(numbers, sold, strict=True):
        ticket: Any = known.get(number or 0)
        verdict = _refusal(each.ticket_code, ticket, ended, partner, now)
        if verdict is None:
            verdict = _mismatch(each, ticket.state, content[ticket.snapshot_id], partner)
        verdicts.append(verdict)
        if number is not None and verdict is None:
            sales.setdefault(each.payment_reference, []).append((number, each))
    orders = await create_paid(
        tx,
        db,
        partner,
        [_sale(of_order) for of_order in sales.values()],
        zone=zone,
        now=now,
        names=[[each.customer_name for _, each in of_order] for of_order in sales.values()],
    )
    activations = []
    codes = {}
    of_reservations: Counter[UUID] = Counter()
    for order, of_order in zip(orders, sales.values(), strict=True):
        for number, each in of_order:
            codes[number] = order.order_code
            if reservation_id := known[number].reservation_id:
                of_reservations[reservation_id] += 1
            activations.append(
                tickets.Activation(number, order.order_id, each.customer_type, each.customer_name)
            )
    await tickets.activate(tx, activations, actor=partner.key, now=now)
    activated = [
        TicketEvent(number, TICKET_ACTIVATED, _paid(each))
        for of_order in sales.values()
        for number, each in of_order
    ]
    await run(tx, events.record_of_tickets(*activated, now=now))
    await reservations.take_activated(tx, reserved, of_reservations, now=decided)
    return [
        verdict or ActivationVerdict(each.ticket_code, "ACTIVE", codes[number or 0])
        for verdict, each, number in zip(verdicts, sold, numbers, strict=True)
    ]


async def activate_one(
    tx: AsyncConnection,
    db: Database,
    partner: Partner,
    sold: SoldTicket,
    *,
    zone: ZoneInfo,
    now: datetime,
) -> ActivationVerdict:
    """Activates one sold ticket.

    Raises NOT_FOUND, TICKET_STATE_REFUSES, PAYMENT_MISMATCH, RESERVATION_EXPIRED,
    RESERVATION_STATE_REFUSES, DEPARTURE_CANCELLED.
    """
    (verdict,) = await activate(tx, db, partner, [sold], zone=zone, now=now)
    require_done(verdict)
    return verdict


def require_done(verdict: ActivationVerdict) -> None:
    """Raises what an activation was refused with; nothing if it was done."""
    if verdict.state is None:
        raise not_found("ticket", verdict.ticket_code)
    if verdict.error:
        raise verdict.error
    if verdict.paid and verdict.expected:
        raise _payment_mismatch(verdict.ticket_code, verdict.paid, verdict.expected)
    if verdict.reason:
        raise tickets.state_refuses(verdict.ticket_code, verdict.state, verdict.explanation)


def _refuse_contradictions(sold: Sequence[SoldTicket]) -> None:
    seen: set[str] = set()
    currencies: dict[str, str] = {}
    for index, each in enumerate(sold):
        if each.ticket_code in seen:
            raise invalid(
                f"activations[{index}].ticket_code", f"{each.ticket_code} stands there twice"
            )
        seen.add(each.ticket_code)
        currency = currencies.setdefault(each.payment_reference, each.currency_code)
        if currency != each.currency_code:
            raise invalid(
                f"activations[{index}].payment.currency_code",
                f"is {each.currency_code}, under the same reference there was {currency} before",
            )


def _refusal(
    ticket_code: str,
    ticket: Any,
    ended: Mapping[UUID, DomainError | None],
    partner: Partner,
    now: datetime,
) -> ActivationVerdict | None:
    if ticket is None:
        return ActivationVerdict(ticket_code, reason=Reason.NOT_FOUND)
    end = ended.get(ticket.reservation_id)
    if end and ticket.order_id is None:
        return ActivationVerdict(ticket_code, ticket.state, reason=end.reason, error=end)
    why_not = why_not_activated(
        ticket.state, blocked=ticket.blocked, valid_until_time=ticket.valid_until_time, now=now
    )
    if why_not is None:
        return None
    order = "" if ticket.order_id is None else order_code(ticket.order_id, partner)
    return ActivationVerdict(ticket_code, ticket.state, order, Reason.TICKET_STATE_REFUSES, why_not)


def _mismatch(
    sold: SoldTicket, state: str, snapshot: Mapping[str, Any], partner: Partner
) -> ActivationVerdict | None:
    """The verdict on a payment that is not what the ticket was to cost; None if it is."""
    paid = Amount(sold.amount_minor, sold.currency_code)
    expected = price_instead(
        snapshot,
        paid,
        customer_type=sold.customer_type,
        tolerance_basis_points=partner.activation_tolerance_basis_points,
    )
    if expected is None:
        return None
    reason = Reason.PAYMENT_MISMATCH
    return ActivationVerdict(sold.ticket_code, state, reason=reason, paid=paid, expected=expected)


def _require_price(partner: Partner, sale: Sale, snapshot: Mapping[str, Any]) -> None:
    """Raises PAYMENT_MISMATCH for a batch that was not sold for what its tickets cost together."""
    paid = Amount(sale.amount_minor, sale.currency_code)
    expected = price_instead(
        snapshot,
        paid,
        customer_type=sale.customer_type,
        quantity=sale.ticket_count,
        tolerance_basis_points=partner.activation_tolerance_basis_points,
    )
    if expected:
        raise _payment_mismatch("", paid, expected)


def _payment_mismatch(ticket_code: str, paid: Amount, expected: Amount) -> DomainError:
    return DomainError(
        Reason.PAYMENT_MISMATCH,
        f"payment: {paid.minor} {paid.currency_code} were paid, the price is {expected.minor}"
        f" {expected.currency_code}, in minor units; send what was paid for the price of the batch,"
        " or ask the administrator for a tolerance",
        ticket_code=ticket_code,
        expected_minor=expected.minor,
        expected_currency_code=expected.currency_code,
        paid_minor=paid.minor,
        paid_currency_code=paid.currency_code,
    )


def _sale(of_order: Sequence[tuple[int, SoldTicket]]) -> Sale:
    """One order for the tickets of one payment; its customer is that of the first."""
    first = of_order[0][1]
    return Sale(
        customer_type=first.customer_type,
        customer_name=first.customer_name,
        payment_reference=first.payment_reference,
        amount_minor=sum(each.amount_minor for _, each in of_order),
        currency_code=first.currency_code,
        ticket_count=len(of_order),
    )
