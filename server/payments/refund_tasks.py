"""Asking WeChat for refunds, and what became of them: the outbox's work behind refunds.ask."""

from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.payments import refund_outcomes, refund_rules, refunds
from server.payments.models import payments
from server.payments.refund_models import refund_parts
from server.platform import outbox
from server.platform.database import Database
from server.platform.outbox import GiveUpError, Kind, Postpone, Task, outbox_tasks
from server.wechat.client import WechatClient
from server.wechat.codec import Refund as Outcome
from server.wechat.codec import WechatError

FIRST_QUERY = timedelta(minutes=1)
NEXT_QUERY = timedelta(minutes=10)
"""A notice is waited for so long before WeChat is asked."""
PATIENT_ATTEMPTS = 10
"""So often, over some minutes, what WeChat refuses is asked for again; then it is an administrator's."""
PATIENCE_ATTEMPTS = 500
"""WeChat may be away for days, as with payments; then a refund is an administrator's, too."""
WATCHED_AFTER = timedelta(minutes=10)
"""A part that is PROCESSING so long has somebody at it, or gets somebody."""
REASON = "退票 Refund"
"""What the traveller reads in WeChat."""

log = structlog.get_logger()


async def watch_refunds(tx: AsyncConnection, now: datetime) -> bool:
    """Has WeChat asked about every part that is PROCESSING without an open task, as one whose task is dead; a job's work."""
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
        asks = [outbox.Ask(refunds.QUERY, number, {}, now) for number in left]
        await outbox.enqueue_many(tx, asks, now=now)
    return False


class _Part(NamedTuple):
    state: str
    is_taken_on: bool
    amount_minor: int
    out_trade_no: str
    total_minor: int
    currency_code: str


class RefundTasks:
    """The handlers of refund.send and refund.query, for a process that has the settings of a merchant."""

    def __init__(self, db: Database, client: WechatClient) -> None:
        self._db = db
        self._client = client

    def kinds(self) -> dict[str, Kind]:
        """The kinds of tasks, for the outbox."""
        return {
            kind: Kind(handle, most_attempts=PATIENCE_ATTEMPTS, on_give_up=self._give_up)
            for kind, handle in ((refunds.SEND, self.send), (refunds.QUERY, self.query))
        }

    async def send(self, task: Task) -> Postpone | None:
        """Asks WeChat for the money, under a number by which it gives it back once however often it is asked.

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
        await self._settle(task, outcome)
        return None

    async def query(self, task: Task) -> Postpone | None:
        """Asks what became of a refund until it is settled: a lost notice does no harm.

        Also of one that was given up, and when a settled one was taken on, if only a notice told of
        it.
        """
        part = await self._read(task.key)
        if part.state in refunds.FINAL and part.is_taken_on:
            return None
        outcome = await self._client.query_refund(task.key)
        if outcome is None and part.state != "PROCESSING":
            return None
        if outcome is None:  # it never got there

            async def again(tx: AsyncConnection) -> None:
                await outbox.enqueue(tx, refunds.SEND, task.key, {}, due=task.now(), now=task.now())
                await task.done(tx)

            await self._db.in_transaction(again)
            return None
        if outcome.state == "PROCESSING" and part.state == "PROCESSING":
            return Postpone(task.now() + NEXT_QUERY)
        await self._settle(task, outcome)
        return None

    async def _give_up(self, tx: AsyncConnection, task: Task, cause: str) -> None:
        """Nobody asks any more: it is an administrator's, in the same transaction."""
        await refund_outcomes.give_up_part(
            tx, task.key, "REFUND_GIVEN_UP", {"cause": cause}, now=task.now()
        )

    async def _refused(self, task: Task, error: WechatError) -> None:
        """Whether WeChat's no is for good is not ours to tell: the balance may be filled up, an account opened again."""
        if task.attempt < PATIENT_ATTEMPTS:
            raise error
        log.warning("refund.refused", out_refund_no=task.key, code=error.code)

        async def give_up(tx: AsyncConnection) -> None:
            await refund_outcomes.give_up_part(
                tx, task.key, "REFUND_REFUSED", {"code": error.code}, now=task.now()
            )
            await task.done(tx)

        await self._db.in_transaction(give_up)

    async def _settle(self, task: Task, outcome: Outcome) -> None:
        async def settle(tx: AsyncConnection) -> None:
            state = await refund_outcomes.settle_part(tx, task.key, outcome, now=task.now())
            if state == "PROCESSING":
                due = task.now() + FIRST_QUERY
                await outbox.enqueue(tx, refunds.QUERY, task.key, {}, due=due, now=task.now())
            await task.done(tx)

        await self._db.in_transaction(settle)

    async def _read(self, out_refund_no: str) -> _Part:
        key = refund_rules.refund_part(out_refund_no)
        if key is None:
            raise GiveUpError("not a number of ours")
        query = (
            select(
                refund_parts.c.out_refund_no,
                refund_parts.c.state,
                refund_parts.c.provider_create_time.is_not(None),
                refund_parts.c.amount_minor,
                payments.c.out_trade_no,
                payments.c.amount_minor,
                payments.c.currency_code,
            )
            .join(
                payments,
                (payments.c.order_id == refund_parts.c.payment_order_id)
                & (payments.c.attempt == refund_parts.c.payment_attempt),
            )
            .where(
                refund_parts.c.order_id == key.order_id,
                refund_parts.c.refund_no == key.refund_no,
                refund_parts.c.part_no == key.part_no,
            )
        )
        async with self._db.transaction() as tx:
            row = (await tx.execute(query)).one_or_none()
        if row is None:
            raise GiveUpError("there is no such refund")
        number, state, *facts = row
        # what is asked for under another number by now was closed under this one
        return _Part(state if number == out_refund_no else "CLOSED", *facts)
