"""WeChat's notices: verified as they came, stored once under WeChat's id, answered, and worked off afterwards.

What is not proven to be WeChat's is refused and believed in nothing; an administrator hears of it, once in a while. What is
WeChat's may still not fit our orders: that is found when it is worked off. (DOMAIN, Payment.)
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from functools import partial

import orjson
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from server.payments import payments, refund_outcomes
from server.payments.paid_orders import PaidOrders
from server.payments.payment_requests import configured
from server.payments.payments import StoredNotice
from server.payments.rules import MERCHANT_MISMATCH, NOTICE_REFUSED, NOTICE_UNREADABLE
from server.payments.settlement import Settlement
from server.platform import outbox
from server.platform.batching import Lanes
from server.platform.database import Database, HotConnection
from server.platform.errors import DomainError, Reason
from server.platform.metrics import NOTICE_BATCH, NOTICE_QUEUE, NOTICES
from server.platform.outbox import Ask, GiveUpError, Kind, Task
from server.wechat.client import WechatClient
from server.wechat.codec import Refund, Transaction
from server.wechat.signatures import ContentInvalidError, SignatureInvalidError

NOTICE = "notice"
"""Kind of outbox task: a stored notice is worked off; its key is WeChat's id of it."""
REPORT_SECONDS = 60.0
"""Between two incidents of refused notices, in one process: whoever sends forgeries must not fill the list."""
BATCH = 128
"""Notices stored in one shared transaction."""
LANES = 2
"""Such transactions at once."""
MOST_AT_ONCE = 256
"""Notices worked off at once; all but a few of them share transactions."""
MOST_ALONE = 4
"""Notices worked off at once that need a transaction, and a connection, each."""
LONGEST_CAUSE = 200
HEADER_PREFIX = "wechatpay-"

log = structlog.get_logger()


class NoticeDesk:
    """Takes notices in; `client` is None where no merchant is set."""

    def __init__(
        self,
        db: Database,
        settlement: Settlement,
        client: WechatClient | None,
    ) -> None:
        self._db = db
        self._settlement = settlement
        self._client = client
        self._report_after: dict[str, float] = {}
        self._alone = asyncio.Semaphore(MOST_ALONE)
        self._lanes: Lanes[StoredNotice, bool] = Lanes(
            db, self._store, batch=BATCH, lanes=LANES, queue=NOTICE_QUEUE, batches=NOTICE_BATCH
        )

    def kinds(self) -> dict[str, Kind]:
        """What the outbox works off; nothing without a merchant."""
        if self._client is None:
            return {}
        paid_orders = PaidOrders(self._db, self._settlement, self._client)
        return {NOTICE: Kind(partial(self._work_off, paid_orders), most_at_once=MOST_AT_ONCE)}

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

        fresh = await self._lanes.submit(
            StoredNotice(
                notice.notice_id, notice.event_type, body, orjson.dumps(kept).decode(), now
            )
        )
        NOTICES.labels("TAKEN" if fresh else "REPEATED").inc()

    async def _store(
        self,
        hot: HotConnection,
        received: list[StoredNotice],
        *,
        careful: bool,  # noqa: ARG002
    ) -> list[bool | DomainError]:
        """Whether each came for the first time; then it is to be worked off. Nobody locks what is new."""
        async with hot.transaction():
            (rows,) = await hot.round_trip([payments.storing_notices(received)])
            fresh = {notice_id for (notice_id,) in rows}
            now = received[0].receive_time
            asks = [Ask(NOTICE, notice_id, {}, now) for notice_id in fresh]
            enqueueing = [(outbox.ENQUEUE, [outbox.enqueue_parameter(asks, now=now)])]
            await hot.round_trip(enqueueing if fresh else [], commit=True)
        first = {notice.notice_id: notice for notice in reversed(received)}
        return [n.notice_id in fresh and n is first[n.notice_id] for n in received]

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

    async def _work_off(self, paid_orders: PaidOrders, task: Task) -> None:
        if not await paid_orders.submit(task):
            async with self._alone:
                await self._work_off_alone(task)

    async def _work_off_alone(self, task: Task) -> None:
        client = configured(self._client)

        async def work(tx: AsyncConnection) -> None:
            body = await payments.notice_body(tx, task.key)
            if body is None:
                raise GiveUpError("there is no such notice")
            try:
                notice = client.open_notice(body)
            except ContentInvalidError as error:
                raise GiveUpError(str(error)) from error
            match notice.content:
                case Transaction(is_paid=True) as paid:
                    await self._settlement.payment_succeeded(tx, paid, now=task.now())
                case Refund() as refund if refund.merchant_id in ("", client.merchant_id):
                    number = refund.out_refund_no
                    await refund_outcomes.settle_part(
                        tx, number, refund, now=task.now(), is_notice=True
                    )
                case Refund() as refund:
                    facts = asdict(refund) | {"success_time": str(refund.success_time)}
                    await payments.record_incident(
                        tx, MERCHANT_MISMATCH, None, facts, now=task.now()
                    )
                case _:  # news of a kind that was not there when this was written, or not of a payment made
                    log.info("notice.ignored", event_type=notice.event_type, notice_id=task.key)
            await task.done(tx)

        await self._db.in_transaction(work)
