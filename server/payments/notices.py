"""WeChat's notices: verified as they came, stored once under WeChat's id, answered, and handled by
a task.

What is not proven to be WeChat's is refused and believed in nothing; an administrator hears of it,
once in a while. What is WeChat's may still not fit our orders: that is found when its task is run.
(DOMAIN, Payment.)
"""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
import structlog

from server.payments import payments
from server.payments.payment_requests import configured
from server.payments.payments import StoredNotice
from server.payments.rules import NOTICE_REFUSED, NOTICE_UNREADABLE
from server.platform import outbox
from server.platform.batching import Batcher
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from server.platform.metrics import NOTICE_BATCH, NOTICE_QUEUE, NOTICES
from server.platform.outbox import NewTask
from server.platform.pipeline import PipelineConnection
from server.platform.statements import commit_with
from server.wechat.client import WechatClient
from server.wechat.signatures import ContentInvalidError, SignatureInvalidError

NOTICE = "notice"
"""Kind of outbox task: a stored notice is handled; its key is WeChat's id of it."""
REPORT_SECONDS = 60.0
"""Between two incidents of refused notices, in one process: whoever sends forgeries must not
fill the list.
"""
BATCH = 128
"""Notices stored in one shared transaction."""
WORKERS = 2
"""Such transactions at once."""
LONGEST_CAUSE = 200
HEADER_PREFIX = "wechatpay-"

log = structlog.get_logger()


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
        self._workers: Batcher[StoredNotice, Any, bool] = Batcher(
            db, self._store, batch=BATCH, workers=WORKERS, queue=NOTICE_QUEUE, batches=NOTICE_BATCH
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
            StoredNotice(
                notice.notice_id, notice.event_type, body, orjson.dumps(kept).decode(), now
            )
        )
        NOTICES.labels("TAKEN" if fresh else "REPEATED").inc()

    async def _store(
        self,
        pipeline: PipelineConnection,
        received: list[StoredNotice],
        *,
        careful: bool,  # noqa: ARG002
    ) -> list[bool | DomainError]:
        """Whether each came for the first time; then a task is enqueued. Nobody locks what is
        new.
        """
        async with pipeline.transaction():
            (rows,) = await pipeline.round_trip([payments.storing_notices(received)])
            fresh = {notice_id for (notice_id,) in rows}
            now = received[0].receive_time
            asks = [NewTask(NOTICE, notice_id, {}, now) for notice_id in fresh]
            await commit_with(pipeline, [outbox.enqueueing(asks, now=now)])
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
