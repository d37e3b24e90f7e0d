"""What is done for payments and refunds later (tasks of the outbox) and by the clock (jobs)."""

from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.orders import hold_expiry, orders
from server.payments import payments as payment_records
from server.payments import refund_outcomes, refund_rules, refunds
from server.payments.daily_reconciliation import RECONCILE, Reconciler, ask_for_missed
from server.payments.notices import MOST_AT_ONCE, NOTICE, NoticeTasks
from server.payments.payment_requests import QUERY_PAYMENT, PaymentHandler
from server.payments.payments import CLOSE_PAYMENT
from server.payments.refund_models import refund_parts
from server.payments.refund_news import RefundNews
from server.payments.refund_outcomes import News
from server.payments.rules import next_query
from server.payments.settlement import Settlement
from server.platform import outbox
from server.platform.config import Settings
from server.platform.database import Database
from server.platform.outbox import GiveUpError, Postpone, Task, outbox_tasks
from server.platform.schedule import About, Job, Progress
from server.platform.statements import Statement, run
from server.platform.task_worker import TaskKind
from server.wechat.client import WechatClient
from server.wechat.codec import WechatError

PAYING_NOW = timedelta(seconds=5)
"""A payment that the traveller is at is closed so much later."""
RECONCILE_ATTEMPTS = 200
RECONCILE_SECONDS = 300.0
NEXT_QUERY = timedelta(minutes=10)
"""After so long WeChat is asked again."""
REFUSED_ATTEMPTS = 10
"""So often, over some minutes, what WeChat refuses is asked for again; then it is an
administrator's.
"""
MOST_ATTEMPTS = 500
"""WeChat may be away for days: no payment that it knows of is given up before, and no refund."""
WATCHED_AFTER = timedelta(minutes=10)
"""A part that is PROCESSING so long has somebody at it, or gets somebody."""
REFUNDS_AT_ONCE = 32
"""WeChat is waited for most of the time: thousands that a cancelled departure gives back at once
would else take minutes. It takes 150 a second of a merchant, which these are below if it needs a
quarter of a second for each.
"""
EXPIRE_HOLDS = "expire-holds"
HOLDS_CADENCE = timedelta(seconds=10)
REASON = "退票 Refund"
"""What the traveller reads in WeChat."""

log = structlog.get_logger()


def kinds(
    db: Database,
    client: WechatClient | None,
    settlement: Settlement,
    payment_handler: PaymentHandler,
) -> dict[str, TaskKind]:
    """The kinds of tasks, by name; none without a merchant."""
    if client is None:
        return {}
    refund_news = RefundNews(db)
    notices, payments_ = (
        NoticeTasks(db, settlement, client, refund_news),
        PaymentTasks(db, client, payment_handler),
    )
    return {
        NOTICE: TaskKind(
            notices.handle,
            max_at_once=MOST_AT_ONCE,
            about=About(
                "Handles WeChat's notices of payments and refunds; a payment that comes late is"
                " honoured if there is stock, else given back.",
                "处理微信的支付与退款通知；迟到的支付有库存则出票，否则退回。",
            ),
        ),
        QUERY_PAYMENT: TaskKind(
            payments_.query,
            max_attempts=MOST_ATTEMPTS,
            about=About(
                "Asks WeChat what became of a payment whose notice did not come.",
                "查询未收到通知的支付结果。",
            ),
        ),
        CLOSE_PAYMENT: TaskKind(
            payments_.close,
            max_attempts=MOST_ATTEMPTS,
            about=About(
                "Closes payments of orders that are no longer waiting; one that was paid after all"
                " is settled.",
                "关闭不再等待付款的订单的支付；若其间已付款则照常处理。",
            ),
        ),
        RECONCILE: TaskKind(
            Reconciler(db, client).handle,
            max_attempts=RECONCILE_ATTEMPTS,
            max_at_once=1,
            most_seconds=RECONCILE_SECONDS,
            about=About(
                "Compares a day's bill of WeChat with our payments and refunds.",
                "将微信某日账单与本系统的支付和退款核对。",
            ),
        ),
        **refund_kinds(db, client, refund_news),
    }


def refund_kinds(db: Database, client: WechatClient, news: RefundNews) -> dict[str, TaskKind]:
    """Those of refunds."""
    tasks = RefundTasks(db, client, news)
    until_settled = partial(
        TaskKind,
        max_attempts=MOST_ATTEMPTS,
        max_at_once=REFUNDS_AT_ONCE,
        on_give_up=tasks.give_up,
    )
    return {
        refunds.SEND: until_settled(
            tasks.send,
            about=About(
                "Asks WeChat to give money back, until it is settled.", "向微信申请退款直至有结果。"
            ),
        ),
        refunds.QUERY: until_settled(
            tasks.query,
            about=About(
                "Asks WeChat how far a refund is, until it is settled.",
                "查询退款进度直至有结果。",
            ),
        ),
    }


def jobs(settings: Settings) -> list[Job]:
    """What is done by the clock; without a merchant nothing that asks WeChat."""
    holds = Job(
        EXPIRE_HOLDS,
        HOLDS_CADENCE,
        hold_expiry.work(payment_records.close_waiting),
        quiet=True,
        about=About(
            "Cancels orders that were not paid in time and returns their stock; every process"
            " looks each second, this job at what they passed over.",
            "取消超时未支付的订单并退回库存；各进程每秒检查，本任务处理其遗漏的部分。",
        ),
        oldest_due=orders.oldest_expired,
        protects_stock=True,
    )
    if not settings.wechat_merchant_id:
        return [holds]
    return [
        holds,
        Job(
            "reconcile",
            timedelta(minutes=10),
            ask_for_missed,
            about=About(
                "Has each day compared with WeChat's bill, days that were missed too.",
                "每日与微信支付账单对账，并补对遗漏的日期。",
            ),
        ),
        Job(
            "watch-refunds",
            timedelta(minutes=10),
            watch_refunds,
            about=About(
                "Has WeChat asked about refunds under way that no task sees to.",
                "查询无人跟进的处理中退款。",
            ),
        ),
    ]


class PaymentTasks:
    """The handlers of payment.query and payment.close."""

    def __init__(self, db: Database, client: WechatClient, payment_handler: PaymentHandler) -> None:
        self._db = db
        self._client = client
        self._payment_handler = payment_handler

    async def query(self, task: Task) -> Postpone | None:
        """Looks for the payment whose notice may be lost."""
        async with self._db.transaction() as tx:
            payment = await payment_records.by_number(tx, task.key)
        if payment is None:
            raise GiveUpError("not a payment of ours")
        if payment.state != "PENDING" or await self._payment_handler.look_up(
            task.key, now=task.now(), done=task.done
        ):
            return None
        due = next_query(payment.create_time, payment.expire_time, task.now())
        return Postpone(due) if due else None

    async def close(self, task: Task) -> Postpone | None:
        """Makes a payment impossible; one that was made just before is taken in."""
        async with self._db.transaction() as tx:
            payment = await payment_records.by_number(tx, task.key)
        if payment is None:
            raise GiveUpError("not a payment of ours")
        if payment.state == "SUCCEEDED":
            return None
        try:
            await self._client.close(task.key)
        except WechatError as error:
            if error.says("USERPAYING"):
                return Postpone(task.now() + PAYING_NOW)
            if not error.says("ORDERPAID"):
                raise
            if await self._payment_handler.look_up(
                task.key, now=task.now(), done=task.done, closes=True
            ):
                return None
            raise  # it says paid and not paid: later it will know

        async def closed(tx: AsyncConnection) -> None:
            await payment_records.close(tx, task.key, now=task.now())
            await task.done(tx)

        await self._db.in_transaction(closed)
        return None


async def watch_refunds(tx: AsyncConnection, now: datetime) -> Progress:
    """A job: has WeChat asked about every part that is PROCESSING without an open task.

    As one whose task is a dead letter.
    """
    waiting = select(refund_parts.c.out_refund_no).where(
        refund_parts.c.state == "PROCESSING", refund_parts.c.update_time < now - WATCHED_AFTER
    )
    numbers = list(await tx.scalars(waiting))
    seen_to = select(outbox_tasks.c.key).where(
        outbox_tasks.c.kind.in_((refunds.SEND, refunds.QUERY)), outbox_tasks.c.state == "OPEN"
    )
    left = set(numbers) - set(await tx.scalars(seen_to)) if numbers else set()
    if left:
        log.error("refund.nobody_at_it", out_refund_nos=sorted(left))
        asks = [outbox.NewTask(refunds.QUERY, number, {}, now) for number in left]
        await run(tx, outbox.enqueue(*asks, now=now))
    return Progress(more=False, items=len(left))


class _Part(NamedTuple):
    out_refund_no: str
    state: str
    is_taken_on: bool
    amount_minor: int
    out_trade_no: str
    total_minor: int
    currency_code: str


_READ_PART = Statement(
    """
SELECT r.out_refund_no, r.state, r.provider_create_time IS NOT NULL, r.amount_minor,
  p.out_trade_no, p.amount_minor, p.currency_code
FROM refund_parts r
JOIN payments p ON p.order_id = r.payment_order_id AND p.attempt = r.payment_attempt
WHERE r.order_id = $1::bigint AND r.refund_no = $2::int AND r.part_no = $3::int
""",
    _Part,
)


class RefundTasks:
    """The handlers of refund.send and refund.query."""

    def __init__(self, db: Database, client: WechatClient, news: RefundNews) -> None:
        self._db = db
        self._client = client
        self._news = news

    async def send(self, task: Task) -> Postpone | None:
        """Asks WeChat for the money, under a number by which it gives it back once however often it
        is asked.

        Of one that was given up it only asks what became of it: money is asked for again by
        RetryRefund.
        """
        part = await self._read(task.key)
        if part.state == "ABNORMAL":
            return await self.query(task)
        if part.state != "PROCESSING":
            return None
        try:
            outcome = await self._client.refund(
                out_trade_no=part.out_trade_no,
                out_refund_no=task.key,
                refund_minor=part.amount_minor,
                total_minor=part.total_minor,
                currency_code=part.currency_code,
                reason=REASON,
            )
        except WechatError as error:
            await self._refused(task, error)
            return None
        await self._news.take_in(task, News(task.key, outcome))
        return None

    async def query(self, task: Task) -> Postpone | None:
        """Asks what became of a refund until it is settled: a lost notice does no harm.

        Also of one that was given up, and when a settled one was taken on, if only a notice
        reported it.
        """
        part = await self._read(task.key)
        if part.state in refunds.FINAL and part.is_taken_on:
            return None
        outcome = await self._client.query_refund(task.key)
        if outcome is None and part.state != "PROCESSING":
            return None
        if outcome is None:  # it never got there

            async def again(tx: AsyncConnection) -> None:
                await run(
                    tx,
                    outbox.enqueue(
                        outbox.NewTask(refunds.SEND, task.key, {}, task.now()), now=task.now()
                    ),
                )
                await task.done(tx)

            await self._db.in_transaction(again)
            return None
        if outcome.state == "PROCESSING" and part.state == "PROCESSING":
            return Postpone(task.now() + NEXT_QUERY)
        await self._news.take_in(task, News(task.key, outcome))
        return None

    async def give_up(self, tx: AsyncConnection, task: Task, cause: str) -> None:
        """Nobody asks any more: it needs manual resolution, in the same transaction."""
        await refund_outcomes.give_up_part(
            tx, task.key, "REFUND_GIVEN_UP", {"cause": cause}, now=task.now()
        )

    async def _refused(self, task: Task, error: WechatError) -> None:
        """Whether WeChat's no is for good is not ours to tell: the balance may be filled up, an
        account opened again.
        """
        if task.attempt < REFUSED_ATTEMPTS:
            raise error
        log.warning("refund.refused", out_refund_no=task.key, code=error.code)

        async def give_up(tx: AsyncConnection) -> None:
            await refund_outcomes.give_up_part(
                tx, task.key, "REFUND_REFUSED", {"code": error.code}, now=task.now()
            )
            await task.done(tx)

        await self._db.in_transaction(give_up)

    async def _read(self, out_refund_no: str) -> _Part:
        key = refund_rules.refund_part(out_refund_no)
        if key is None:
            raise GiveUpError("not a number of ours")
        async with self._db.pipeline() as pipeline, pipeline.autocommit():
            found = await run(pipeline, _READ_PART(*key[:3]))
        if not found:
            raise GiveUpError("there is no such refund")
        (part,) = found
        # what is asked for under another number by now was closed under this one
        return part if part.out_refund_no == out_refund_no else part._replace(state="CLOSED")
