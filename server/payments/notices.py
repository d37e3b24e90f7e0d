"""WeChat's notices: verified as they came, stored once under WeChat's id, answered, and handled by
a task.

What is not proven to be WeChat's is refused and believed in nothing; an administrator hears of it,
once in a while. What is WeChat's may still not fit our orders: that is found when its task is run.
(DOMAIN, Payment.)

Orders are paid together, as nearly all are: notices that fit orders which wait for them share one
transaction, each decided on its own. Notices of refunds are passed on to `refund_news`, which takes
them in together. Whatever is not of these cases (an order that changes a ticket or does not wait, a
departure that is cancelled, a payment that does not fit) they leave as it is, to be handled
alone. An order or a stock that somebody else has locked holds up none but its own
notices. If the transaction fails, all are handled alone.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from server.orders.orders import Order
from server.payments import payments, refund_outcomes, settlement
from server.payments.payment_requests import configured
from server.payments.payments import StoredNotice
from server.payments.refund_news import RefundNews
from server.payments.refund_outcomes import News
from server.payments.rules import MERCHANT_MISMATCH, NOTICE_REFUSED, NOTICE_UNREADABLE
from server.payments.settlement import PaidOrder, PaymentFacts, PaymentMade, Settlement
from server.platform import outbox
from server.platform.batching import Batcher, Work
from server.platform.database import Database
from server.platform.driver_errors import LockedError
from server.platform.errors import DomainError, Reason
from server.platform.metrics import (
    NOTICE_BATCH,
    NOTICE_QUEUE,
    NOTICES,
    PAYMENT_BATCH,
    PAYMENT_QUEUE,
)
from server.platform.outbox import GiveUpError, NewTask, Task
from server.platform.pipeline import PipelineConnection
from server.platform.statements import Command, run, run_together
from server.stock import holds
from server.wechat.client import WechatClient
from server.wechat.codec import Transaction, WechatRefund
from server.wechat.signatures import ContentInvalidError, SignatureInvalidError

NOTICE = "notice"
"""Kind of outbox task: a stored notice is handled; its key is WeChat's id of it."""
REPORT_SECONDS = 60.0
"""Between two incidents of refused notices, in one process: whoever sends forgeries must not
fill the list.
"""
BATCH = 128
"""Notices stored, or handled, in one shared transaction."""
WORKERS = 2
"""Such transactions at once."""
MOST_AT_ONCE = 256
"""Notices handled at once; all but a few of them share transactions."""
MOST_ALONE = 4
"""Notices handled at once that need a transaction, and a connection, each."""
LONGEST_CAUSE = 200
HEADER_PREFIX = "wechatpay-"

log = structlog.get_logger()


@dataclass(slots=True)
class _Fresh:
    """The ids of notices that came for the first time, and the tasks that are enqueued for them."""

    notice_ids: set[str]
    now: datetime
    tasks: list[NewTask] = field(default_factory=list)


async def _store(
    tx: PipelineConnection,
    received: Sequence[StoredNotice],
    *,
    skip_locked: bool,  # noqa: ARG001 - nobody locks what is new
) -> _Fresh:
    fresh = await run(tx, payments.store_notices(received))
    return _Fresh(set(fresh), received[0].receive_time)


def _is_fresh(notice: StoredNotice, fresh: _Fresh) -> bool:
    """Whether a notice comes for the first time; then a task is enqueued."""
    if notice.notice_id not in fresh.notice_ids:
        return False
    fresh.notice_ids.remove(notice.notice_id)
    fresh.tasks.append(NewTask(NOTICE, notice.notice_id, {}, fresh.now))
    return True


async def _enqueue(_: PipelineConnection, fresh: _Fresh) -> list[Command[None] | None]:
    return [outbox.enqueue(*fresh.tasks, now=fresh.now)]


class NoticeHandler:
    """Takes notices in; `client` is None where no merchant is set."""

    def __init__(
        self,
        db: Database,
        client: WechatClient | None,
    ) -> None:
        self._db = db
        self._client = client
        self._report_after: dict[str, float] = {}
        self._workers: Batcher[StoredNotice, _Fresh, bool] = Batcher(
            db,
            Work(_store, _is_fresh, _enqueue),
            batch=BATCH,
            workers=WORKERS,
            queue=NOTICE_QUEUE,
            batches=NOTICE_BATCH,
        )

    async def receive(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> None:
        """Stores a notice that is WeChat's; one that came before changes nothing.

        Raises NOTICE_REFUSED, PAYMENTS_NOT_CONFIGURED.
        """
        client = configured(self._client)
        try:
            notice = client.verify_notice(headers, body, now)
        except SignatureInvalidError as error:
            raise await self._refused(NOTICE_REFUSED, str(error), now) from error
        except ContentInvalidError as error:
            raise await self._refused(NOTICE_UNREADABLE, str(error), now) from error
        kept = {name: value for name, value in headers.items() if name.startswith(HEADER_PREFIX)}

        fresh = await self._workers.submit(
            StoredNotice(notice.notice_id, notice.event_type, body, kept, now)
        )
        NOTICES.labels("TAKEN" if fresh else "REPEATED").inc()

    async def _refused(self, kind: str, cause: str, now: datetime) -> DomainError:
        NOTICES.labels("REFUSED").inc()
        log.warning("notice.refused", kind=kind, cause=cause[:LONGEST_CAUSE])
        if time.monotonic() >= self._report_after.get(kind, 0.0):
            self._report_after[kind] = time.monotonic() + REPORT_SECONDS
            facts = {"cause": cause[:LONGEST_CAUSE], "time": now.isoformat()}
            try:
                async with self._db.transaction() as tx:
                    await payments.record_incident(tx, kind, None, facts, now=now)
            except DomainError as error:  # the refusal is the same without it
                log.warning("notice.not_reported", error=error.message)
        return DomainError(
            Reason.NOTICE_REFUSED, "the notice is not proven to be WeChat's, or cannot be read"
        )


@dataclass(slots=True)
class _PaidFacts:
    """The payments that notices say were made, by task, one of each order: another is handled after
    it. What we know of them, and the leases that are held; and what other notices say of refunds.

    `free_stocks` are the stocks that nobody else has locked, None where that was not asked. `paid`
    are the orders that are settled, and `tasks` theirs.
    """

    made: dict[UUID, PaymentMade]
    known: PaymentFacts
    leased: set[UUID]
    refunds: dict[UUID, WechatRefund]
    free_stocks: set[int] | None = None
    paid: list[PaidOrder] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)


class NoticeTasks:
    """The handler of stored notices: those of payments together, and those of refunds; all others
    one by one.
    """

    def __init__(
        self, db: Database, settlement: Settlement, client: WechatClient, refund_news: RefundNews
    ) -> None:
        self._db = db
        self._settlement = settlement
        self._client = client
        self._refund_news = refund_news
        self._workers: Batcher[Task, _PaidFacts, PaymentMade | WechatRefund | None] = Batcher(
            db,
            Work(self._read, self._decide, self._write),
            batch=BATCH,
            workers=WORKERS,
            queue=PAYMENT_QUEUE,
            batches=PAYMENT_BATCH,
        )
        self._alone = asyncio.Semaphore(MOST_ALONE)

    async def handle(self, task: Task) -> None:
        """Takes in what a notice tells.

        Raises CONFLICT while its order or a stock of it is locked, and DATABASE_UNAVAILABLE, which
        leaves the outcome unknown.
        """
        try:
            made = await self._workers.submit(task)
        except DomainError:
            raise
        except Exception:  # one of its batch is to blame: handled alone it fails alone
            log.exception("paid_orders.failed", notice_id=task.key)
            made = None
        if isinstance(made, WechatRefund):
            await self._refund_news.take_in(task, News(made.out_refund_no, made, is_notice=True))
            return
        if made:
            task.is_settled = True
            settlement.count(made.transaction, "PAID")
            return
        async with self._alone:
            await self._db.in_transaction(partial(self._handle_alone, task))

    async def _handle_alone(self, task: Task, tx: AsyncConnection) -> None:
        stored = await run(tx, payments.read_notices([task.key]))
        if not stored:
            raise GiveUpError("there is no such notice")
        try:
            notice = self._client.open_notice(stored[0].body)
        except ContentInvalidError as error:
            raise GiveUpError(str(error)) from error
        match notice.content:
            case Transaction(is_paid=True) as paid:
                await self._settlement.payment_succeeded(tx, paid, now=task.now())
            case WechatRefund() as refund if self._is_ours(refund):
                await refund_outcomes.settle_part(
                    tx, refund.out_refund_no, refund, now=task.now(), is_notice=True
                )
            case WechatRefund() as refund:
                facts = asdict(refund) | {"success_time": str(refund.success_time)}
                await payments.record_incident(tx, MERCHANT_MISMATCH, None, facts, now=task.now())
            # news of a kind that was not there when this was written, or not of a payment made
            case _:
                log.info("notice.ignored", event_type=notice.event_type, notice_id=task.key)
        await task.done(tx)

    async def _read(
        self, tx: PipelineConnection, tasks: Sequence[Task], *, skip_locked: bool
    ) -> _PaidFacts:
        """Opens the notices, locks the orders that they pay, and reads what is known of these.

        An order that somebody else has locked is passed over, and with `skip_locked` one whose
        stock is.
        """
        stored = await run(tx, payments.read_notices([task.key for task in tasks]))
        bodies = {notice.notice_id: notice.body for notice in stored}
        by_order: dict[int, tuple[Task, PaymentMade]] = {}
        refunds: dict[UUID, WechatRefund] = {}
        for task in tasks:
            match self._open(bodies.get(task.key, b"")):
                case PaymentMade() as made:
                    by_order.setdefault(made.order_id, (task, made))
                case WechatRefund() as refund:
                    refunds[task.task_id] = refund
        named = list(by_order.values())
        if not named:
            return _PaidFacts({}, PaymentFacts({}, {}, {}), set(), refunds)
        locked, departures, found, leased = await run_together(
            tx,
            *settlement.facts([made for _, made in named], skip_locked=True),
            outbox.lock_leases([task for task, _ in named]),
        )
        facts = _PaidFacts(
            {task.task_id: made for task, made in named},
            PaymentFacts.of(locked, departures, found),
            set(leased),
            refunds,
        )
        if skip_locked:
            orders = [self._payable(task, facts) for task in tasks]
            takes = [take for order in orders if order for take in order.takes]
            facts.free_stocks = set(await run(tx, holds.lock_free(takes) if takes else None))
        return facts

    def _open(self, body: bytes) -> PaymentMade | WechatRefund | None:
        """What is handled with others; None if the notice is to be handled alone."""
        try:
            content = self._client.open_notice(body).content
        except ContentInvalidError:
            return None
        if isinstance(content, WechatRefund):
            return content if self._is_ours(content) else None
        if not isinstance(content, Transaction) or not content.is_paid:
            return None
        return PaymentMade.of(content)

    def _is_ours(self, refund: WechatRefund) -> bool:
        return refund.merchant_id in ("", self._client.merchant_id)

    def _payable(self, task: Task, facts: _PaidFacts) -> Order | None:
        """The order that a notice pays, if that is of the case that is settled together."""
        made = facts.made.get(task.task_id)
        if made is None or task.task_id not in facts.leased:
            return None
        order = facts.known.orders.get(made.order_id)
        if order is None or order.changes_ticket_id is not None:
            return None
        return order if self._settlement.judge(made, facts.known) == "WAITS" else None

    def _decide(self, task: Task, facts: _PaidFacts) -> PaymentMade | WechatRefund | None:
        """The payment that pays its order, or what the notice says of a refund, which is yet to be
        taken in; None if the notice is to be handled alone.

        Raises LockedError if somebody else has locked its order or a stock of it.
        """
        made = facts.made.get(task.task_id)
        if made is None:
            return facts.refunds.get(task.task_id)
        if made.order_id not in facts.known.orders and made.named in facts.known.payments:
            raise LockedError
        order = self._payable(task, facts)
        if order is None:
            return None
        free = facts.free_stocks
        if free is not None and not free.issuperset(take.stock_id for take in order.takes):
            raise LockedError
        running = facts.known.departures.get(order.order_id, {})
        facts.paid.append(
            PaidOrder(order, made.success_time, departures=running, success=made.success)
        )
        facts.tasks.append(task)
        return made

    async def _write(self, tx: PipelineConnection, facts: _PaidFacts) -> Sequence[Command[Any]]:
        """Settles them, so that what does not add up is found before the commit."""
        if facts.paid:
            # after the locks, which may have taken a while
            now = facts.tasks[0].now()
            await self._settlement.settle(tx, facts.paid, now=now, tasks=facts.tasks)
        return ()
