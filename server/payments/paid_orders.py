"""Orders paid as nearly all are: notices that fit orders which wait for them share one transaction,
each decided on its own.

A worker takes all notices that wait, opens them, locks their orders, decides each, writes
everything in one statement a table, ends their tasks and commits once. Whatever is not of this case
(an order that changes a ticket or does not wait, a departure that is cancelled, a payment that does
not fit) it leaves as it is, to be handled alone. An order or a stock that somebody else has locked
holds up none but its own notices. If the transaction fails, all are handled alone.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import structlog

from server.orders import events, ordered_departures, orders
from server.orders.events import Move, OrderStanding
from server.orders.ordered_departures import Departures
from server.orders.orders import Order
from server.payments import payments
from server.payments import rules as payment_rules
from server.payments.payments import Payment
from server.payments.settlement import SYSTEM, Issue, Settlement, taken_in
from server.platform import outbox
from server.platform.batching import Batcher
from server.platform.database import Database
from server.platform.driver_errors import LockedError, LostRaceError
from server.platform.errors import DomainError
from server.platform.metrics import PAYMENT_BATCH, PAYMENT_QUEUE
from server.platform.outbox import Task
from server.platform.pipeline import PipelineConnection
from server.stock import holds
from server.wechat.client import WechatClient
from server.wechat.codec import Transaction
from server.wechat.signatures import ContentInvalidError

BATCH = 128
"""Notices in one shared transaction."""
WORKERS = 2
"""Shared transactions at once."""

log = structlog.get_logger()


class _Told(NamedTuple):
    """A notice of a payment that was made: its task, and which payment (order and attempt) it
    names.
    """

    task: Task
    transaction: Transaction
    success_time: datetime
    named: tuple[int, int]


class _Paid(NamedTuple):
    """An order that was waiting for the payment it is told of; it is locked. All its departures
    run.
    """

    told: _Told
    order: Order
    departures: Departures


class _Found(NamedTuple):
    """What can be settled together, and whose order or stock somebody else has locked."""

    paid: list[_Paid]
    held: list[_Told]


class PaidOrders:
    """Handles notices of payment together."""

    def __init__(self, db: Database, settlement: Settlement, client: WechatClient) -> None:
        self._settlement = settlement
        self._client = client
        self._workers: Batcher[Task, Any, bool] = Batcher(
            db, self._work, batch=BATCH, workers=WORKERS, queue=PAYMENT_QUEUE, batches=PAYMENT_BATCH
        )

    def submit(self, task: Task) -> asyncio.Future[bool]:
        """Queues a notice; the future says whether it was handled, with its task. If not, nothing
        has happened.

        Raises (in the future) CONFLICT while its order or a stock of it is locked, and
        DATABASE_UNAVAILABLE, which leaves the outcome unknown.
        """
        return self._workers.submit(task)

    async def _work(
        self, pipeline: PipelineConnection, tasks: list[Task], *, careful: bool
    ) -> list[bool | DomainError]:
        found = _Found([], [])
        try:
            told = await self._read(pipeline, tasks)
            async with pipeline.transaction():
                found = await self._settle(pipeline, told, careful=careful)
        except LockedError:
            raise
        except LostRaceError:
            log.info("paid_orders.race_lost", notices=len(tasks))
        except DomainError:
            raise
        except Exception:  # one of them is to blame: handled alone it fails alone
            log.exception("paid_orders.failed", notices=len(tasks))
        for each in found.paid:
            each.told.task.is_settled = True
            taken_in(each.told.transaction, "PAID")
        held = {told.task.task_id for told in found.held}
        return [LockedError() if task.task_id in held else task.is_settled for task in tasks]

    async def _read(self, pipeline: PipelineConnection, tasks: Sequence[Task]) -> list[_Told]:
        """What the notices tell of payments made, one of each order: another is handled after
        it.
        """
        async with pipeline.transaction():
            command = payments.reading_notices([task.key for task in tasks])
            (rows,) = await pipeline.round_trip([command], commit=True)
        bodies = dict(rows)
        by_order: dict[int, _Told] = {}
        for task in tasks:
            told = self._open(task, bodies.get(task.key, b""))
            if told:
                by_order.setdefault(told.named[0], told)
        return list(by_order.values())

    def _open(self, task: Task, body: bytes) -> _Told | None:
        try:
            content = self._client.open_notice(body).content
        except ContentInvalidError:
            return None
        if not isinstance(content, Transaction) or not content.is_paid:
            return None
        named = payment_rules.payment_of(content.out_trade_no)
        assert content.success_time is not None, "what is paid was paid at some time"
        return _Told(task, content, content.success_time, named) if named else None

    async def _settle(
        self, pipeline: PipelineConnection, told: Sequence[_Told], *, careful: bool
    ) -> _Found:
        """Settles those of this module's case, and commits; those behind whose tasks another
        process is stay as they are.
        """
        found = await self._lock(pipeline, told) if told else _Found([], [])
        if careful and found.paid:
            found = await _pass_over_locked_stocks(pipeline, found)
        paid = found.paid
        if paid:
            # behind the locks, which may have taken a while
            now = paid[0].told.task.now()
            issues = [Issue(each.order, each.departures) for each in paid]
            rows = await self._settlement.issue(pipeline, issues, now=now)
            takes = [take for each in paid for take in each.order.takes]
            succeeded, *_, sold, done = await pipeline.round_trip(
                [
                    payments.succeeding(map(_success, paid), now=now),
                    *events.recording(map(_standing, paid), map(_move, paid), now=now),
                    *[command for command in rows.create(now) if command],
                    holds.confirming(takes, now=now),
                    outbox.done_together([each.told.task for each in paid]),
                ]
            )
            assert len(succeeded) == len(paid), "nobody moves a payment whose order is locked"
            assert len(sold) == len({take.stock_id for take in takes}), "what is held is there"
            assert len(done) == len(paid), "nobody takes a task that is locked"
        await pipeline.round_trip([], commit=True)
        return found

    async def _lock(self, pipeline: PipelineConnection, told: Sequence[_Told]) -> _Found:
        named = [each.named[0] for each in told]
        rows, running, found, held = await pipeline.round_trip(
            [
                orders.locking_free(named),
                ordered_departures.reading(named),
                payments.finding([each.named for each in told]),
                outbox.lock_leases([each.task for each in told]),
            ]
        )
        locked = {order.order_id: order for order in map(orders.parse, rows)}
        asked = {(payment.order_id, payment.attempt): payment for payment in map(_payment, found)}
        leased = {task_id for (task_id,) in held}
        by_order = ordered_departures.parse(running)
        paid, passed_over = [], []
        for each in told:
            order = locked.get(each.named[0])
            if order is None and each.named in asked:
                passed_over.append(each)
                continue
            verdict = self._settlement.judge(order, asked.get(each.named), each.transaction)
            changes = order is not None and order.changes_ticket_id is not None
            of_order = by_order.get(each.named[0], {})
            fits = verdict == "WAITS" and not changes and not ordered_departures.cancelled(of_order)
            if order and fits and each.task.task_id in leased:
                paid.append(_Paid(each, order, of_order))
        return _Found(paid, passed_over)


async def _pass_over_locked_stocks(pipeline: PipelineConnection, found: _Found) -> _Found:
    takes = [take for each in found.paid for take in each.order.takes]
    (rows,) = await pipeline.round_trip([holds.locking_free(takes)])
    ours = {stock_id for (stock_id,) in rows}
    paid, held = [], list(found.held)
    for each in found.paid:
        if ours.issuperset(take.stock_id for take in each.order.takes):
            paid.append(each)
        else:
            held.append(each.told)
    return _Found(paid, held)


def _payment(row: tuple[Any, ...]) -> Payment:
    return Payment(*row)


def _success(paid: _Paid) -> tuple[int, int, str, datetime]:
    return *paid.told.named, paid.told.transaction.transaction_id, paid.told.success_time


def _standing(paid: _Paid) -> OrderStanding:
    order = paid.order
    return OrderStanding(
        order.order_id, order.sequence, order.state, order.cancel_reason, order.pay_time
    )


def _move(paid: _Paid) -> Move:
    return Move(paid.order.order_id, events.PAID, SYSTEM, "PAID", pay_time=paid.told.success_time)
