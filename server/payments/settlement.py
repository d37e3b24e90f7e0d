"""What follows a payment, all in one transaction: the order PAID, its tickets there, its stock
sold.

So nobody ever sees an order that is paid without its tickets, or tickets that are not paid. A
payment is taken in under the lock of its order, any number of times and in any order; what does not
fit is put down for an administrator, and money that buys nothing goes back by itself (DOMAIN,
Payment).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog.departures import CANCELLED
from server.catalog.offers import Offer
from server.orders import (
    completion,
    events,
    ordered_departures,
    orders,
    shared_tickets,
    travel_tickets,
)
from server.orders.content import OrderItem
from server.orders.models import ticket_sales
from server.orders.order_numbers import OrderNumbers
from server.orders.ordered_departures import Departures
from server.orders.orders import Order
from server.orders.reader import OrderReader
from server.orders.shared_tickets import Shared
from server.payments import payments, refunds, travel_parties
from server.payments import rules as payment_rules
from server.payments.order_tickets import OrderTickets, of_item
from server.payments.payments import Payment
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from server.platform.faults import fault_text
from server.platform.metrics import PAYMENTS
from server.platform.pipeline import PipelineConnection
from server.platform.statements import run_all
from server.stock import holds, quotas
from server.stock.journeys import Ride
from server.tickets import tickets
from server.tickets.blocks import record_block
from server.tickets.models import tickets as ticket_rows
from server.wechat.codec import Transaction

SYSTEM = "system"
GONE = (
    Reason.SOLD_OUT,
    Reason.TOO_MANY_FOR_TRAVELLER,
    Reason.DUPLICATE_PASSENGER,
    Reason.OFFER_NOT_AVAILABLE,
    Reason.OVERLAPPING_JOURNEY,
)
"""Why the stock of an order whose hold is over cannot be taken again."""

Outcome = Literal["PAID", "KNOWN", "REFUNDED", "MISFIT", "UNKNOWN"]
"""What became of a payment: it paid its order, was taken in before, goes back, or is an
administrator's (two causes).
"""

log = structlog.get_logger()


class _GoneError(Exception):
    """What was ordered cannot be had again."""


class _Change(NamedTuple):
    """The ticket that an order changes: its order, how often it was changed before, and whether it
    is blocked.

    `shared` are the locked tickets of what it shares with others.
    """

    order: Order
    ticket_id: int
    changes_made: int
    blocked: bool
    shared: Sequence[Shared]


@dataclass(frozen=True, slots=True)
class Issue:
    """An order that gets its tickets: with `changes_made` if it changes one, which was changed so
    often before it.

    `seats`, by item, are others than those ordered. `departures` are the order's, as they are now.
    With `blocked` its tickets are born blocked, as the changed one is.
    """

    order: Order
    departures: Departures = field(default_factory=dict)
    changes_made: int | None = None
    seats: Mapping[int, tuple[int, ...]] | None = None
    blocked: bool = False


class Settlement:
    """Settles travellers' orders, for the payments of one merchant: `app_id` and `merchant_id`
    as WeChat knows us.
    """

    def __init__(
        self,
        db: Database,
        reader: OrderReader,
        *,
        zone: ZoneInfo,
        app_id: str = "",
        merchant_id: str = "",
    ) -> None:
        self._reader = reader
        self._ours = app_id, merchant_id
        self._numbers = OrderNumbers(db, zone, "T")

    async def settle(
        self,
        tx: AsyncConnection,
        order: Order,
        *,
        pay_time: datetime,
        now: datetime,
        actor: str,
        seats: Mapping[int, tuple[int, ...]] | None = None,
    ) -> list[int]:
        """Makes an order PAID that is locked and holds its stock; the numbers of its tickets, in
        the order of its places.

        If it changes a ticket that one, CHANGING so far, is CHANGED and all it took is free; a
        block that was set on it meanwhile is the new one's, and what it shares is valid as long as
        the new one, if that is the latest. `seats`, by item, are others than those ordered, of a
        payment that came too late. Locks stocks: call it last.
        """
        change = await self._change(tx, order, actor=actor, now=now)
        moves = [events.Move(order.order_id, events.PAID, actor, "PAID", pay_time=pay_time)]
        if change:
            moves.append(
                events.Move(
                    change.order.order_id,
                    events.TICKET_CHANGED,
                    actor,
                    ticket_id=change.ticket_id,
                )
            )
        await events.record(tx, moves, now=now)
        issue = Issue(
            order,
            await ordered_departures.of_order(tx, order.order_id),
            change.changes_made if change else None,
            seats,
            blocked=change is not None and change.blocked,
        )
        rows = await self.issue(await PipelineConnection.of(tx), [issue], now=now)
        await run_all(tx, rows.create(now))
        if change:
            if change.blocked:
                ids = [ticket.ticket_id for ticket in rows.tickets]
                await record_block(tx, ids, "ACTIVE", blocked=True, actor=actor, now=now)
            await shared_tickets.follow(tx, change.shared, actor=actor, now=now)
            await self._free(tx, order, change, actor=actor, now=now)
        await holds.confirm(tx, order.takes, now=now)
        return [ticket.ticket_id for ticket in rows.tickets]

    async def payment_succeeded(
        self, tx: AsyncConnection, transaction: Transaction, *, now: datetime
    ) -> Outcome:
        """Takes in what WeChat says was paid, in a notice or an answer.

        Whatever the order is meanwhile: a payment that is too late for it is honoured if the stock
        can be taken again, unless the traveller has cancelled; else it goes back, as does a second
        one, and one for a departure that the operator has cancelled.
        """
        outcome = await self._take_in(tx, transaction, now=now)
        taken_in(transaction, outcome)
        return outcome

    async def _take_in(
        self, tx: AsyncConnection, transaction: Transaction, *, now: datetime
    ) -> Outcome:
        assert transaction.success_time is not None, "only what is paid is taken in"
        named = payment_rules.payment_of(transaction.out_trade_no)
        order = await orders.lock_order(tx, named[0]) if named else None
        payment = await payments.find(tx, transaction.out_trade_no) if order else None
        verdict = self.judge(order, payment, transaction)
        if order is None or payment is None:
            await _report(tx, verdict, None, transaction, now=now)
            return "UNKNOWN"
        if verdict == "KNOWN":
            return "KNOWN"
        if verdict not in ("WAITS", "LATE"):
            await _report(tx, verdict, payment, transaction, now=now)
            return "MISFIT"
        await payments.succeed(
            tx,
            payment,
            transaction_id=transaction.transaction_id,
            success_time=transaction.success_time,
            now=now,
        )
        if verdict == "WAITS" and ordered_departures.cancelled(
            await ordered_departures.of_order(tx, order.order_id)
        ):
            await orders.cancel(
                tx,
                [order],
                reason="DEPARTURE_CANCELLED",
                actor=SYSTEM,
                now=now,
                close_payments=payments.close_waiting,
            )
        elif verdict == "WAITS":
            await self.settle(tx, order, pay_time=transaction.success_time, now=now, actor=SYSTEM)
            return "PAID"
        if (order.state, order.cancel_reason) == ("CANCELLED", "HOLD_EXPIRED") and (
            await self._settle_late(tx, order, pay_time=transaction.success_time, now=now)
        ):
            return "PAID"
        if order.pay_time is not None:
            await _report(tx, payment_rules.SECOND_PAYMENT, payment, transaction, now=now)
        await refunds.refund_whole_payment(
            tx, order.order_id, payment.attempt, "LATE_PAYMENT", now=now
        )
        return "REFUNDED"

    def judge(self, order: Order | None, payment: Payment | None, transaction: Transaction) -> str:
        """What a payment that was made is to us, given the order and payment it names.

        WAITS: the order has waited for it. LATE: the order is not PENDING any more. KNOWN: it was
        taken in before. Else the kind of an incident.
        """
        if order is None or payment is None:
            return payment_rules.UNKNOWN_ORDER
        misfit = payment_rules.misfit(
            (*self._ours, payment.currency_code, payment.amount_minor),
            (
                transaction.app_id,
                transaction.merchant_id,
                transaction.currency_code,
                transaction.total_minor,
            ),
        )
        if misfit:
            return misfit
        if payment.transaction_id not in ("", transaction.transaction_id):
            return payment_rules.TRANSACTION_MISMATCH
        if payment.state == "SUCCEEDED":
            return "KNOWN"
        return "WAITS" if order.state == "PENDING" else "LATE"

    # Tickets

    async def issue(
        self, pipeline: PipelineConnection, issues: Sequence[Issue], *, now: datetime
    ) -> OrderTickets:
        """The tickets of orders, to be written in the transaction that makes them PAID."""
        offers = await self._reader.sold_offers(pipeline, [issue.order for issue in issues])
        new = [
            [
                ticket
                for index, item in enumerate(issue.order.content.items)
                for ticket in of_item(
                    index,
                    item,
                    _as_it_is(offers[item.snapshot_id, item.offer_id], item, issue.departures),
                    (issue.seats or {}).get(index),
                    # what an order shares stays with it when one of its tickets is changed
                    shares=issue.changes_made is None,
                )
            ]
            for issue in issues
        ]
        numbers = await self._numbers.take(sum(map(len, new)), now)
        rows = OrderTickets()
        for issue, tickets_of_order in zip(issues, new, strict=True):
            order = issue.order
            passengers = self._reader.seals.open(order.order_id, order.passengers_sealed)
            names = [passenger.name for passenger in passengers]
            changes_made = issue.changes_made or 0
            terms = order.content.change
            if issue.changes_made is not None and not (terms and terms.operator_cause):
                changes_made += 1
            for ticket in tickets_of_order:
                rows.add(
                    order,
                    ticket,
                    numbers.popleft(),
                    names=names,
                    changes_made=changes_made,
                    blocked=issue.blocked,
                )
        return rows

    # Changes

    async def _change(
        self, tx: AsyncConnection, order: Order, *, actor: str, now: datetime
    ) -> _Change | None:
        """Ends the ticket that the order changes, if it does; it and its order are locked then."""
        if order.changes_ticket_id is None or order.changes_order_id is None:
            return None
        ticket_id = order.changes_ticket_id
        shared = await shared_tickets.lock(tx, [ticket_id])
        moved = await tickets.move(
            tx, [ticket_id], ("CHANGING",), "CHANGED", action="changed", actor=actor, now=now
        )
        assert moved, "a ticket is CHANGING as long as the order that changes it holds"
        old = await orders.lock_order(tx, order.changes_order_id)
        query = select(ticket_sales.c.changes_made, ticket_rows.c.blocked).join(
            ticket_rows, ticket_rows.c.ticket_id == ticket_sales.c.ticket_id
        )
        sold = await tx.execute(query.where(ticket_sales.c.ticket_id == ticket_id))
        changes_made, blocked = sold.one()
        assert old is not None, "a ticket has an order"
        return _Change(old, ticket_id, changes_made, blocked, shared)

    async def _free(
        self, tx: AsyncConnection, order: Order, change: _Change, *, actor: str, now: datetime
    ) -> None:
        old_order_id = change.order.order_id
        taken = {take.stock_id for take in (*order.takes, *change.order.takes)}
        await holds.lock(tx, taken)
        (item,) = order.content.items
        replaced = order.content.replaces
        shared_stock_id = replaced.stock_id if replaced else None
        for place in item.places:
            if shared_stock_id is not None and place.seat_index is not None:
                # a place that both tickets of a change are keeps its seat
                await holds.pass_seat(
                    tx,
                    shared_stock_id,
                    place.seat_index,
                    from_order=old_order_id,
                    to_order=order.order_id,
                )
        await completion.withdraw(
            tx,
            change.order,
            [change.ticket_id],
            actor=actor,
            now=now,
            successor=replace(item.counterpart, stock_id=shared_stock_id),
        )

    # Late payments

    async def _settle_late(
        self, tx: AsyncConnection, order: Order, *, pay_time: datetime, now: datetime
    ) -> bool:
        """Takes an expired order's stock again and settles it; False, and nothing is done, if
        that cannot be.
        """
        try:
            async with tx.begin_nested():
                seats = await self._take_again(tx, order, now=now)
                await self.settle(tx, order, pay_time=pay_time, now=now, actor=SYSTEM, seats=seats)
        except (DomainError, _GoneError) as error:
            if isinstance(error, DomainError) and error.reason not in GONE:
                raise
            log.info("payment.too_late", order_id=order.order_code, cause=fault_text(error))
            return False
        return True

    async def _take_again(
        self, tx: AsyncConnection, order: Order, *, now: datetime
    ) -> dict[int, tuple[int, ...]]:
        """The seats of each item, others than before if those are taken. Raises _GoneError, or
        one of GONE.
        """
        offers = await self._reader.sold_offers(await PipelineConnection.of(tx), [order])
        items = list(enumerate(order.content.items))
        running = await ordered_departures.of_order(tx, order.order_id)
        for _, item in items:
            offer = _as_it_is(offers[item.snapshot_id, item.offer_id], item, running)
            _require_still_sold(item, offer, running, now)
        old = await self._change_again(tx, order, now=now)
        of_old = {take.stock_id for take in old.takes} if old else set()
        await holds.lock(tx, {take.stock_id for take in order.takes} | of_old)
        takes = []
        seats: dict[int, tuple[int, ...]] = {}
        for index, item in items:
            offer = offers[item.snapshot_id, item.offer_id]
            take = order.content.take_of(item, order.order_id, order.traveller_id)
            takes.append(
                replace(
                    take,
                    ride=_ride(item, offer, running),
                    changes_order_id=order.changes_order_id,
                )
            )
            seats[index] = await holds.take(
                tx,
                takes[-1],
                offer_id=item.offer_id,
                seat_map=offer.seat_map,
                max_per_traveller=offer.max_per_traveller,
                now=now,
            )
        for take in order.content.caps(order.order_id, order.traveller_id):
            await holds.take(tx, take, offer_id="", seat_map=None, max_per_traveller=0, now=now)
        for use, (_, limit) in zip(order.uses, order.content.promotion_limits, strict=True):
            if await quotas.count(tx, use, limit=limit) is not None:
                raise _GoneError("the promotion is used as often as one traveller may")
        await holds.travel(tx, takes, now=now)
        return seats

    async def _change_again(
        self, tx: AsyncConnection, order: Order, *, now: datetime
    ) -> Order | None:
        """Puts the ticket that the order was to change back to CHANGING, and gives its order,
        locked.

        Raises _GoneError for a ticket that is not ACTIVE any more, or was blocked, and for one that
        is not worth any more what it was to count for, since what had been kept for it was given
        back with another of its party: what was paid goes back then.
        """
        if order.changes_ticket_id is None or order.changes_order_id is None:
            return None
        await shared_tickets.lock(tx, [order.changes_ticket_id])
        old = await orders.lock_order(tx, order.changes_order_id)
        if not await _is_worth_it(tx, order, order.changes_ticket_id):
            raise _GoneError("the ticket to be changed is worth less by now")
        moved = await tickets.move(
            tx,
            [order.changes_ticket_id],
            ("ACTIVE",),
            "CHANGING",
            action="changing",
            actor=SYSTEM,
            now=now,
        )
        if not moved:
            raise _GoneError("the ticket to be changed is not ACTIVE any more")
        query = select(ticket_rows.c.blocked).where(
            ticket_rows.c.ticket_id == order.changes_ticket_id
        )
        if await tx.scalar(query):
            raise _GoneError("the ticket to be changed is blocked")
        return old


async def _is_worth_it(tx: AsyncConnection, order: Order, ticket_id: int) -> bool:
    """Whether a ticket still is worth what the change of it counted on; its order is locked."""
    terms = order.content.change
    assert order.changes_order_id is not None, "it changes a ticket"
    found = await travel_tickets.of_order(tx, order.changes_order_id)
    (ticket,) = [each for each in found if each.ticket_id == ticket_id]
    if terms is None or ticket.state in travel_parties.LEFT:
        return True  # it is not ACTIVE, which is said next
    party = (await travel_parties.read(tx, found))[ticket.item_index]
    return party.credit_minor(ticket_id) >= terms.old_minor


def taken_in(transaction: Transaction, outcome: Outcome) -> None:
    """Counts and logs what became of a payment."""
    PAYMENTS.labels(outcome).inc()
    log.info("payment.taken_in", out_trade_no=transaction.out_trade_no, outcome=outcome)


def _as_it_is(offer: Offer, item: OrderItem, running: Departures) -> Offer:
    """What was sold, with the times of its departure as they are now."""
    departure = running.get(item.departure_id) if item.departure_id is not None else None
    return departure.as_it_is(offer) if departure else offer


def _ride(item: OrderItem, offer: Offer, running: Departures) -> Ride | None:
    """When what was sold travels, from when its departure leaves; None for a package."""
    departure = running.get(item.departure_id) if item.departure_id is not None else None
    if departure is None or offer.journey is None or offer.span is None:
        return None
    return Ride.of(offer.span, departure.sold_for(offer.journey.service_time))


def _require_still_sold(item: OrderItem, offer: Offer, running: Departures, now: datetime) -> None:
    """Raises _GoneError for what is not sold any more: its time is over, or the departure was
    cancelled.
    """
    departure = running.get(item.departure_id) if item.departure_id is not None else None
    is_cancelled = departure is not None and departure.state == CANCELLED
    if now >= offer.sale_until_time or is_cancelled:
        raise _GoneError(f"{item.offer_id} is not sold any more")


async def _report(
    tx: AsyncConnection,
    kind: str,
    payment: Payment | None,
    transaction: Transaction,
    *,
    now: datetime,
) -> None:
    """Puts down what was expected and what came; who paid stands with WeChat."""
    facts: dict[str, object] = {
        "out_trade_no": transaction.out_trade_no,
        "transaction_id": transaction.transaction_id,
        "app_id": transaction.app_id,
        "merchant_id": transaction.merchant_id,
        "currency_code": transaction.currency_code,
        "paid_minor": transaction.total_minor,
        "success_time": transaction.success_time and transaction.success_time.isoformat(),
    }
    if payment:
        facts["expected_minor"] = payment.amount_minor
        facts["expected_currency_code"] = payment.currency_code
    log.warning("payment.does_not_fit", kind=kind, out_trade_no=transaction.out_trade_no)
    await payments.record_incident(tx, kind, payment.order_id if payment else None, facts, now=now)
