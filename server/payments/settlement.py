"""A payment pays an order, all in one transaction: the order PAID, its tickets there, its stock
sold.

So nobody ever sees an order that is paid without its tickets, or tickets that are not paid. A
payment is taken in under the lock of its order, any number of times and in any order; what does not
fit is put down for an administrator, and money that buys nothing goes back by itself (DOMAIN,
Payment).

Orders of one transaction are settled together: one is a batch of one. Notices of payment come here
from notices.py, many at once where they can.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from server.orders import events, ordered_departures, orders
from server.orders.events import Move
from server.orders.order_numbers import OrderNumbers
from server.orders.ordered_departures import DepartureOfOrder, Departures
from server.orders.orders import Order
from server.orders.reader import OrderReader
from server.payments import changed_tickets, late_payments, payments, refunds
from server.payments import rules as payment_rules
from server.payments.changed_tickets import ChangedTicket
from server.payments.late_payments import GoneError
from server.payments.order_tickets import OrderTickets, of_item
from server.payments.payments import Payment, Success
from server.platform import outbox
from server.platform.database import Database
from server.platform.faults import fault_text
from server.platform.metrics import PAYMENTS
from server.platform.outbox import Task
from server.platform.statements import Command, Transaction, run, run_all, run_together
from server.stock import holds
from server.wechat.codec import Transaction as WechatTransaction

SYSTEM = "system"

Outcome = Literal["PAID", "KNOWN", "REFUNDED", "MISFIT", "UNKNOWN"]
"""What became of a payment: it paid its order, was taken in before, goes back, or needs manual
resolution (two causes).
"""

log = structlog.get_logger()


class PaymentMade(NamedTuple):
    """A payment that was made at WeChat, and which of ours it is: an attempt at an order."""

    transaction: WechatTransaction
    order_id: int
    attempt: int
    success_time: datetime

    @classmethod
    def of(cls, transaction: WechatTransaction) -> "PaymentMade | None":
        """None for one whose number is not ours."""
        assert transaction.success_time is not None, "only what is paid is taken in"
        named = payment_rules.payment_of(transaction.out_trade_no)
        return cls(transaction, *named, transaction.success_time) if named else None

    @property
    def named(self) -> tuple[int, int]:
        """The order and the attempt."""
        return self.order_id, self.attempt

    @property
    def success(self) -> Success:
        """As it is kept."""
        number = self.transaction.transaction_id
        return Success(self.order_id, self.attempt, number, self.success_time)


class PaymentFacts(NamedTuple):
    """What we know of payments, by order; the orders are locked."""

    orders: Mapping[int, Order]
    departures: Mapping[int, Departures]
    payments: Mapping[tuple[int, int], Payment]

    @classmethod
    def of(
        cls,
        locked: Sequence[Order],
        departures: Sequence[DepartureOfOrder],
        found: Sequence[Payment],
    ) -> "PaymentFacts":
        """From the rows of `facts`."""
        return cls(
            {order.order_id: order for order in locked},
            ordered_departures.by_order(departures),
            {(payment.order_id, payment.attempt): payment for payment in found},
        )


def facts(
    made: Sequence[PaymentMade], *, skip_locked: bool = False
) -> tuple[Command[Order], Command[DepartureOfOrder], Command[Payment]]:
    """Locks the orders of payments, or with `skip_locked` those that nobody else has locked, and
    reads what `PaymentFacts` is made of, in one round trip.
    """
    order_ids = [each.order_id for each in made]
    return (
        orders.lock(order_ids, skip_locked=skip_locked),
        ordered_departures.read(order_ids),
        payments.find([each.named for each in made]),
    )


@dataclass(frozen=True, slots=True)
class PaidOrder:
    """An order that is paid: it is locked, and holds its stock.

    `departures` are the order's, as they are now; `success` is None if there was nothing to pay.
    `changed` is the ticket that it changes. `seats`, by item, are others than those ordered.
    """

    order: Order
    pay_time: datetime
    actor: str = SYSTEM
    departures: Departures = field(default_factory=dict)
    success: Success | None = None
    changed: ChangedTicket | None = None
    seats: Mapping[int, tuple[int, ...]] | None = None

    @property
    def moves(self) -> list[Move]:
        """What happens to it, and to the order of the ticket that it changes."""
        order_id, changed = self.order.order_id, self.changed
        moves = [Move(order_id, events.PAID, self.actor, "PAID", pay_time=self.pay_time)]
        if changed:
            old, ticket_id = changed.order.order_id, changed.ticket_id
            moves.append(Move(old, events.TICKET_CHANGED, self.actor, ticket_id=ticket_id))
        return moves

    @property
    def locked(self) -> list[Order]:
        """The orders that move."""
        return [self.order, self.changed.order] if self.changed else [self.order]


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

    def judge(self, made: PaymentMade, known: PaymentFacts) -> str:
        """What a payment that was made is to us.

        WAITS: the order has waited for it, and all its departures run. CANCELLED: the operator has
        cancelled one. LATE: the order is not PENDING any more. KNOWN: it was taken in before. Else
        the kind of an incident.
        """
        order = known.orders.get(made.order_id)
        payment = known.payments.get(made.named)
        if order is None or payment is None:
            return payment_rules.UNKNOWN_ORDER
        paid = made.transaction
        misfit = payment_rules.misfit(
            (*self._ours, payment.currency_code, payment.amount_minor),
            (paid.app_id, paid.merchant_id, paid.currency_code, paid.total_minor),
        )
        if misfit:
            return misfit
        if payment.transaction_id not in ("", paid.transaction_id):
            return payment_rules.TRANSACTION_MISMATCH
        if payment.state == "SUCCEEDED":
            return "KNOWN"
        if order.state != "PENDING":
            return "LATE"
        gone = ordered_departures.cancelled(known.departures.get(made.order_id, {}))
        return "CANCELLED" if gone else "WAITS"

    async def settle(
        self,
        tx: Transaction,
        paid: Sequence[PaidOrder],
        *,
        now: datetime,
        tasks: Sequence[Task] = (),
    ) -> list[int]:
        """Makes orders PAID that are locked and hold their stock, with their tickets, in one round
        trip; the numbers of the tickets, in the order of the orders and their places.

        `tasks`, whose leases are locked, are done with it. Locks stocks: call it last.
        """
        tickets = await self._tickets(tx, paid, now=now)
        successes = [each.success for each in paid if each.success]
        takes = [take for each in paid for take in each.order.takes]
        standings = [order.standing for each in paid for order in each.locked]
        moves = [move for each in paid for move in each.moves]
        succeeded, *_, sold, done = await run_all(
            tx,
            [
                payments.succeed(successes, now=now),
                *events.write(standings, moves, now=now),
                *tickets.create(now),
                holds.confirm(takes, now=now),
                outbox.done_together(tasks) if tasks else None,
            ],
        )
        assert len(succeeded) == len(successes), "nobody moves a payment whose order is locked"
        assert len(sold) == len(holds.moved_stocks(takes)), "what is held is there"
        assert len(done) == len(tasks), "nobody takes a task that is locked"
        return tickets.numbers

    async def settle_order(
        self,
        tx: AsyncConnection,
        order: Order,
        *,
        pay_time: datetime,
        now: datetime,
        actor: str,
        success: Success | None = None,
        seats: Mapping[int, tuple[int, ...]] | None = None,
    ) -> None:
        """`settle` for an order that may change a ticket: that one, CHANGING so far, is CHANGED and
        all it took is free.

        `seats`, by item, are others than those ordered, of a payment that came too late.
        """
        changed = await changed_tickets.end(tx, order, actor=actor, now=now)
        running = await ordered_departures.of_order(tx, order.order_id)
        paid = PaidOrder(order, pay_time, actor, running, success, changed, seats)
        numbers = await self.settle(tx, [paid], now=now)
        if changed:
            await changed_tickets.hand_over(tx, changed, order, numbers, actor=actor, now=now)

    async def payment_succeeded(
        self, tx: AsyncConnection, transaction: WechatTransaction, *, now: datetime
    ) -> Outcome:
        """Takes in what WeChat says was paid, in a notice or an answer.

        Whatever the order is meanwhile: a payment that is too late for it is honoured if the stock
        can be taken again, unless the traveller has cancelled; else it goes back, as does a second
        one, and one for a departure that the operator has cancelled.
        """
        made = PaymentMade.of(transaction)
        outcome: Outcome
        if made is None:
            await _report(tx, payment_rules.UNKNOWN_ORDER, None, transaction, now=now)
            outcome = "UNKNOWN"
        else:
            outcome = await self._take_in(tx, made, now=now)
        count(transaction, outcome)
        return outcome

    async def _take_in(self, tx: AsyncConnection, made: PaymentMade, *, now: datetime) -> Outcome:
        known = PaymentFacts.of(*await run_together(tx, *facts([made])))
        order = known.orders.get(made.order_id)
        payment = known.payments.get(made.named)
        verdict = self.judge(made, known)
        if order is None or payment is None:
            await _report(tx, verdict, None, made.transaction, now=now)
            return "UNKNOWN"
        if verdict == "KNOWN":
            return "KNOWN"
        if verdict not in ("WAITS", "CANCELLED", "LATE"):
            await _report(tx, verdict, payment, made.transaction, now=now)
            return "MISFIT"
        if verdict == "WAITS":
            await self._settle_paid(tx, order, made, now=now)
            return "PAID"
        if (order.state, order.cancel_reason) == ("CANCELLED", "HOLD_EXPIRED") and (
            await self._settle_late(tx, order, made, now=now)
        ):
            return "PAID"
        await self._give_back(tx, order, payment, made, now=now)
        return "REFUNDED"

    async def _settle_paid(
        self,
        tx: AsyncConnection,
        order: Order,
        made: PaymentMade,
        *,
        now: datetime,
        seats: Mapping[int, tuple[int, ...]] | None = None,
    ) -> None:
        await self.settle_order(
            tx,
            order,
            pay_time=made.success_time,
            now=now,
            actor=SYSTEM,
            success=made.success,
            seats=seats,
        )

    async def _settle_late(
        self, tx: AsyncConnection, order: Order, made: PaymentMade, *, now: datetime
    ) -> bool:
        """Takes an expired order's stock again and settles it; False, and nothing is done, if
        that cannot be.
        """
        try:
            async with tx.begin_nested():
                seats = await late_payments.take_again(
                    tx, self._reader, order, actor=SYSTEM, now=now
                )
                await self._settle_paid(tx, order, made, now=now, seats=seats)
        except GoneError as error:
            log.info("payment.too_late", order_id=order.order_code, cause=fault_text(error))
            return False
        return True

    async def _give_back(
        self,
        tx: AsyncConnection,
        order: Order,
        payment: Payment,
        made: PaymentMade,
        *,
        now: datetime,
    ) -> None:
        """Keeps that a payment was made, and asks for its refund, since it buys nothing."""
        succeeded = await run(tx, payments.succeed([made.success], now=now))
        assert succeeded, "nobody moves a payment whose order is locked"
        if order.state == "PENDING":
            await orders.cancel(
                tx,
                [order],
                reason="DEPARTURE_CANCELLED",
                actor=SYSTEM,
                now=now,
                close_payments=payments.close_waiting,
            )
        if order.pay_time is not None:
            kind = payment_rules.SECOND_PAYMENT
            await _report(tx, kind, payment, made.transaction, now=now)
        await refunds.refund_whole_payment(
            tx, order.order_id, payment.attempt, "LATE_PAYMENT", now=now
        )

    async def _tickets(
        self, tx: Transaction, paid: Sequence[PaidOrder], *, now: datetime
    ) -> OrderTickets:
        """The tickets of orders, to be written in the transaction that makes them PAID."""
        offers = await self._reader.sold_offers(tx, [each.order for each in paid])
        new = [
            [
                ticket
                for index, item in enumerate(each.order.content.items)
                for ticket in of_item(
                    index,
                    item,
                    ordered_departures.as_it_is(
                        offers[item.snapshot_id, item.offer_id], item.departure_id, each.departures
                    ),
                    (each.seats or {}).get(index),
                    # what an order shares stays with it when one of its tickets is changed
                    shares=each.changed is None,
                )
            ]
            for each in paid
        ]
        numbers = await self._numbers.take(sum(map(len, new)), now)
        made = OrderTickets()
        for each, of_order in zip(paid, new, strict=True):
            order, changed = each.order, each.changed
            passengers = self._reader.seals.open(order.order_id, order.passengers_sealed)
            names = [passenger.name for passenger in passengers]
            changes_made = changed.changes_made if changed else 0
            terms = order.content.change
            if changed and not (terms and terms.operator_cause):
                changes_made += 1
            for ticket in of_order:
                made.add(
                    order,
                    ticket,
                    numbers.popleft(),
                    names=names,
                    changes_made=changes_made,
                    blocked=changed is not None and changed.blocked,
                )
        return made


def count(transaction: WechatTransaction, outcome: Outcome) -> None:
    """Counts and logs what became of a payment."""
    PAYMENTS.labels(outcome).inc()
    log.info("payment.taken_in", out_trade_no=transaction.out_trade_no, outcome=outcome)


async def _report(
    tx: AsyncConnection,
    kind: str,
    payment: Payment | None,
    transaction: WechatTransaction,
    *,
    now: datetime,
) -> None:
    """Puts down what was expected and what came; who paid stands with WeChat."""
    fact: dict[str, object] = {
        "out_trade_no": transaction.out_trade_no,
        "transaction_id": transaction.transaction_id,
        "app_id": transaction.app_id,
        "merchant_id": transaction.merchant_id,
        "currency_code": transaction.currency_code,
        "paid_minor": transaction.total_minor,
        "success_time": transaction.success_time and transaction.success_time.isoformat(),
    }
    if payment:
        fact["expected_minor"] = payment.amount_minor
        fact["expected_currency_code"] = payment.currency_code
    log.warning("payment.does_not_fit", kind=kind, out_trade_no=transaction.out_trade_no)
    await payments.record_incident(tx, kind, payment.order_id if payment else None, fact, now=now)
