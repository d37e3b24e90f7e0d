"""The dispatcher of webhooks in one process: takes what is due, sends it, writes down what became
of it.

Each endpoint has so many attempts under way at the most, and few while it fails, so that one that
is slow or dead costs the others nothing. What became of attempts is written a few times a second,
for all together.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING
from uuid import UUID

import structlog
from cryptography.exceptions import InvalidTag

from server.platform import clock
from server.platform.config import Settings
from server.platform.database import Database
from server.platform.dispatch import Dispatch
from server.platform.loops import Loops
from server.platform.metrics import WEBHOOK_ATTEMPTS
from server.platform.statements import Command, commit_with, run
from server.webhooks import deliveries, events
from server.webhooks.deliveries import AttemptOutcome, DueDelivery, DueEndpoint
from server.webhooks.rules import ATTEMPT_SECONDS, retry_seconds
from server.webhooks.sequencing import SEQUENCED
from server.webhooks.webhook_secrets import StoredSecrets, WebhookSecrets

if TYPE_CHECKING:  # loaded for the first endpoint that something is sent to
    from server.webhooks.sending import EndpointAnswer, Sender

AT_ONCE = 1024
"""Attempts under way in one process."""
LEASE_SECONDS = ATTEMPT_SECONDS + 15.0
MAX_PAUSE_SECONDS = 30.0
"""Between two attempts at an endpoint that fails all the time."""
IDLE_LINE_SECONDS = 60.0

log = structlog.get_logger()


@dataclass(slots=True)
class _Line:
    """What this process knows of an endpoint."""

    used_at: float
    busy: int = 0
    failures: int = 0
    """In a row, whatever the event."""
    paused_until: float = 0.0

    def room(self, limit: int, now: float) -> int:
        """How many more attempts it takes."""
        if not self.failures:
            return max(0, limit - self.busy)
        return 0 if self.busy or now < self.paused_until else 1

    def hear(self, answer: "EndpointAnswer", now: float) -> None:
        """Takes note of what an attempt met: an endpoint that answers at all is there."""
        if answer.is_delivered:
            self.failures = 0
            return
        self.failures += 1
        self.paused_until = now + min(MAX_PAUSE_SECONDS, 0.1 * 2.0 ** min(self.failures, 20))


class Dispatcher:
    """Sends webhooks."""

    def __init__(
        self,
        db: Database,
        secrets: WebhookSecrets,
        settings: Settings,
        loops: Loops | None = None,
    ) -> None:
        self._db = db
        self._secrets = secrets
        self._limit = settings.webhook_endpoint_concurrency
        self._allow_private = bool(settings.webhook_allow_private)
        self._sender: Sender | None = None
        self._lines: dict[UUID, _Line] = {}
        self._dispatch = Dispatch(
            db,
            "webhooks",
            self._look,
            self._settle,
            outcomes="webhook-outcomes",
            due=self._due,
            channels=(SEQUENCED, deliveries.REPLAYED),
            loops=loops,
        )

    def start(self) -> None:
        """Begins to look, at once, and after commits of this process that have something sent."""
        self._dispatch.start()

    async def stop(self) -> None:
        """Takes no more, and lets attempts under way end for a while; the rest are made again."""
        await self._dispatch.stop()
        if self._sender is not None:
            await self._sender.close()

    def _rooms(self) -> dict[UUID, int]:
        """How many more attempts the endpoints take that were sent to lately."""
        now = time.monotonic()
        return {number: line.room(self._limit, now) for number, line in self._lines.items()}

    def _due(self) -> Command[bool] | bool:
        is_full = self._dispatch.under_way >= AT_ONCE
        return not is_full and deliveries.any_due(self._rooms(), room=self._limit, now=clock.now())

    async def _look(self) -> None:
        self._forget_idle()
        total = AT_ONCE - self._dispatch.under_way
        if total <= 0:
            return
        rooms = self._rooms()
        at = clock.now()
        async with self._db.pipeline() as pipeline, pipeline.transaction():
            found = await run(pipeline, deliveries.find_due(rooms, room=self._limit, now=at))
            take = deliveries.take(
                found, limit=total, lease=timedelta(seconds=LEASE_SECONDS), now=at
            )
            taken = await commit_with(pipeline, take)
        if not any(taken):
            return
        if self._sender is None:
            made = await asyncio.to_thread(_load_sender)  # takes 0.1 s, others are served
            self._sender = made(allow_private=self._allow_private)
        for endpoint, dues in zip(found, taken, strict=True):
            if dues:
                ordered = sorted(dues, key=attrgetter("sequence"))
                self._send(self._sender, endpoint, ordered, at)

    def _send(
        self, sender: "Sender", endpoint: DueEndpoint, dues: Sequence[DueDelivery], at: datetime
    ) -> None:
        stored = StoredSecrets(
            endpoint.encrypted_secret,
            endpoint.encrypted_previous_secret,
            endpoint.previous_secret_expire_time,
        )
        try:
            secrets = self._secrets.live(stored, str(endpoint.endpoint_id), at)
        except InvalidTag:  # sealed under another key of this server; others' are sent all the same
            log.error("webhook.secret_unreadable", endpoint_id=str(endpoint.endpoint_id))
            return
        line = self._lines.setdefault(endpoint.endpoint_id, _Line(time.monotonic()))
        for due in dues:
            line.busy += 1
            self._dispatch.begin(self._attempt(sender, due, line, endpoint.url, secrets))

    async def _attempt(
        self, sender: "Sender", due: DueDelivery, line: _Line, url: str, secrets: Sequence[bytes]
    ) -> AttemptOutcome:
        try:
            at = clock.now()
            body = deliveries.content(due.type, due.occurred_time, _data(due))
            answer = await sender.send(
                url, secrets, events.public_id(due.event_id), int(at.timestamp()), body
            )
            line.hear(answer, time.monotonic())
            _report(due, answer)
            return _outcome(due, answer, at)
        finally:
            line.busy -= 1
            line.used_at = time.monotonic()

    async def _settle(self, outcomes: Sequence[AttemptOutcome]) -> None:
        # its statements are planned by key, however small the tables were
        async with self._db.pipeline() as pipeline, pipeline.transaction():
            await deliveries.settle(pipeline, outcomes, now=clock.now())
            await commit_with(pipeline)

    def _forget_idle(self) -> None:
        long_ago = time.monotonic() - IDLE_LINE_SECONDS
        for number, line in list(self._lines.items()):
            if not line.busy and not line.failures and line.used_at < long_ago:
                del self._lines[number]


def _load_sender() -> "type[Sender]":
    from server.webhooks.sending import Sender

    return Sender


def _data(due: DueDelivery) -> dict[str, object]:
    return due.data | ({"cursor": due.sequence} if due.sequence else {})


def _outcome(due: DueDelivery, answer: "EndpointAnswer", at: datetime) -> AttemptOutcome:
    state, next_time = "DELIVERED", at
    if not answer.is_delivered:
        wait = retry_seconds(due.attempt, random.random(), answer.retry_after_seconds)  # noqa: S311
        state = "DEAD" if wait is None else "PENDING"
        next_time = at + timedelta(seconds=wait or 0)
    return AttemptOutcome(
        *(due.partner_id, due.endpoint_id, due.event_id, due.lease_time, state, next_time, at),
        *(answer.http_status, answer.duration_ms, answer.error, answer.text),
    )


def _report(due: DueDelivery, answer: "EndpointAnswer") -> None:
    result = "DELIVERED" if answer.is_delivered else "FAILED"
    WEBHOOK_ATTEMPTS.labels(result).inc()
    if not answer.is_delivered:
        log.warning(
            "webhook.failed",
            endpoint_id=str(due.endpoint_id),
            event_id=events.public_id(due.event_id),
            attempt=due.attempt,
            http_status=answer.http_status,
            error=answer.error,
        )
