"""Partners' own webhooks: payments, which activate tickets (Standard Webhooks).

A message is verified as it came, stored once under its sender's id, answered, and handled by a
task: all its tickets are activated or none. What is refused is an event for the partner, and an
incident for administrators. A ticket that was activated under the same payment already, by RPC say,
is done.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from server.identity.callers import Partner
from server.parties import sandbox_clocks
from server.partners import partner_tickets, payment_models, reservations  # noqa: F401 - tables
from server.partners.partner_tickets import SoldTicket
from server.partners.payment_messages import (
    MAX_TICKETS,
    PartnerPayment,
    UnreadableError,
    parse,
)
from server.payments.payments import record_incident
from server.platform import outbox
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from server.platform.outbox import NewTask, Task
from server.platform.schedule import About
from server.platform.statements import Statement, run, run_together
from server.platform.task_worker import TaskKind
from server.tickets import tickets
from server.tickets.rules import PARTNER_PREFIX, Number
from server.webhooks import events, signatures
from server.webhooks.endpoints import DEFAULT_OVERLAP_SECONDS
from server.webhooks.events import PartnerEvent
from server.webhooks.rules import PAYMENT_REFUSED
from server.webhooks.signatures import NotSignedError
from server.webhooks.webhook_secrets import StoredSecrets, WebhookSecrets

KIND = "partner.payment"
"""Kind of outbox task: a stored message is handled; its key is the partner's number and the
message's id.
"""
INCIDENT = "PARTNER_PAYMENT_REFUSED"

log = structlog.get_logger()


class _Sender(NamedTuple):
    partner_id: int
    encrypted_secret: bytes
    encrypted_previous_secret: bytes | None
    previous_secret_expire_time: datetime | None


class _Stored(NamedTuple):
    body: bytes
    partner_code: str
    requests_per_minute: int
    activation_tolerance_basis_points: int


_SENDER = Statement(
    """
SELECT s.partner_id, s.encrypted_secret, s.encrypted_previous_secret,
  s.previous_secret_expire_time
FROM partners p JOIN partner_payment_secrets s ON s.partner_id = p.partner_id
WHERE p.partner_code = $1 AND p.state = 'ACTIVE'
""",
    _Sender,
)
_ROTATE = Statement(
    """
INSERT INTO partner_payment_secrets AS s (partner_id, encrypted_secret, update_time)
VALUES ($1::int, $2::bytea, $3::timestamptz)
ON CONFLICT (partner_id) DO UPDATE SET encrypted_previous_secret = s.encrypted_secret,
  encrypted_secret = excluded.encrypted_secret, previous_secret_expire_time = $4::timestamptz,
  update_time = excluded.update_time
RETURNING previous_secret_expire_time
""",
    datetime,
)
_STORE = Statement(
    """
INSERT INTO partner_payments (partner_id, message_id, body, receive_time, state)
VALUES ($1::int, $2, $3::bytea, $4::timestamptz, 'RECEIVED')
ON CONFLICT DO NOTHING RETURNING message_id
""",
    str,
)
_LOCK = Statement(
    """
SELECT m.body, p.partner_code, p.requests_per_minute, p.activation_tolerance_basis_points
FROM partner_payments m JOIN partners p ON p.partner_id = m.partner_id
WHERE m.partner_id = $1::int AND m.message_id = $2 AND m.state = 'RECEIVED'
FOR NO KEY UPDATE OF m
""",
    _Stored,
)
_SETTLE = Statement("""
UPDATE partner_payments SET state = $3, reason = $4
WHERE partner_id = $1::int AND message_id = $2 AND state = 'RECEIVED'
""")
# under the tickets' locks
_PAID_BY = Statement(
    """
SELECT t.ticket_code FROM tickets t
WHERE t.ticket_id = ANY($1::bigint[]) AND (
  SELECT o.payment_reference = $2 AND o.currency_code = $3 FROM orders o
  WHERE o.order_id = t.order_id)
""",
    str,
)


class _Refusal(NamedTuple):
    """Why a payment activates nothing."""

    reason: str
    explanation: str
    ticket_code: str = ""


class _RefusedError(Exception):
    def __init__(self, refusal: _Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


class PaymentWebhooks:
    """Takes partners' payment webhooks in, and handles them."""

    def __init__(self, db: Database, secrets: WebhookSecrets, *, zone: ZoneInfo) -> None:
        self._db = db
        self._secrets = secrets
        self._zone = zone

    def kinds(self) -> dict[str, TaskKind]:
        """The handler of stored messages."""
        about = About(
            "Handles partners' payment webhooks: activates what was paid for.",
            "处理分销平台的支付 Webhook：激活已付款的票券。",
        )
        return {KIND: TaskKind(self.handle, about=about)}

    async def rotate_secret(
        self,
        tx: AsyncConnection,
        partner_id: int,
        *,
        overlap_seconds: int | None,
        now: datetime,
    ) -> tuple[bytes, datetime | None]:
        """A new secret, and until when the former one is good as well; None if there was none."""
        overlap = DEFAULT_OVERLAP_SECONDS if overlap_seconds is None else overlap_seconds
        secret, encrypted = self._secrets.new(_owner(partner_id))
        until = now + timedelta(seconds=overlap)
        (expire_time,) = await run(tx, _ROTATE(partner_id, encrypted, now, until))
        return secret, expire_time

    async def receive(
        self, partner_code: str, headers: Mapping[str, str], body: bytes, *, now: datetime
    ) -> str:
        """Stores a message that is proven to be the partner's, once; its id.

        Raises NOTICE_REFUSED, also for a partner that there is not.
        """
        async with self._db.transaction() as tx:
            found = await run(tx, _SENDER(partner_code))
        try:
            live = self._live(found[0], now) if found else []
            message_id = signatures.verify(live, headers, body, now.timestamp())
        except NotSignedError as error:
            log.warning("partner_payment.refused", partner=partner_code, cause=str(error))
            raise DomainError(
                Reason.NOTICE_REFUSED, "the message is not proven to be the partner's"
            ) from error
        partner_id = found[0].partner_id

        async def store(tx: AsyncConnection) -> None:
            if await run(tx, _STORE(partner_id, message_id, body, now)):
                task = NewTask(KIND, f"{partner_id}/{message_id}", {}, now)
                await run(tx, outbox.enqueue(task, now=now))

        await self._db.in_transaction(store)
        return message_id

    async def handle(self, task: Task) -> None:
        """Activates what a stored message says was paid, or refuses it."""
        partner_number, _, message_id = task.key.partition("/")

        async def work(tx: AsyncConnection) -> None:
            for stored in await run(tx, _LOCK(int(partner_number), message_id)):
                partner = Partner(int(partner_number), *stored[1:])
                now = task.now()
                if partner.is_test:
                    time = await sandbox_clocks.hold(tx, partner.partner_id)
                    partner = replace(partner, time=time)
                    now = time.at(now)
                await self._settle(tx, partner, message_id, stored.body, now=now)
            await task.done(tx)

        await self._db.in_transaction(work)

    async def _settle(
        self, tx: AsyncConnection, partner: Partner, message_id: str, body: bytes, *, now: datetime
    ) -> None:
        payment: PartnerPayment | None = None
        try:
            payment = parse(body)
            async with tx.begin_nested():
                await self._activate(tx, partner, payment, now=now)
        except UnreadableError as error:
            refusal = _Refusal(Reason.INVALID_FIELD, str(error))
        except _RefusedError as error:
            refusal = error.refusal
        else:
            await run(tx, _SETTLE(partner.partner_id, message_id, "ACTIVATED", None))
            return
        data: dict[str, Any] = {
            "payment_message_id": message_id,  # all that is known of one that cannot be read
            "reason": refusal.reason,
            "explanation": refusal.explanation,
        }
        if refusal.ticket_code:
            data["ticket_code"] = refusal.ticket_code
        if payment:
            data["payment_reference"] = payment.payment_reference
            data["amount_minor"] = payment.amount_minor
            data["currency_code"] = payment.currency_code
        event = PartnerEvent(partner.partner_id, PAYMENT_REFUSED, message_id, data)
        await run_together(
            tx,
            _SETTLE(partner.partner_id, message_id, "REFUSED", refusal.reason),
            events.record(event, now=now),
        )
        facts = {"partner_code": partner.partner_code, **data}
        await record_incident(tx, INCIDENT, None, facts, now=now)
        log.warning("partner_payment.not_activated", partner=partner.key, reason=refusal.reason)

    async def _activate(
        self, tx: AsyncConnection, partner: Partner, payment: PartnerPayment, *, now: datetime
    ) -> None:
        """Activates all tickets of a payment that are not yet. Raises _RefusedError."""
        if payment.batch_id:
            payment = payment.of_tickets(await _codes_of_batch(tx, partner, payment.batch_id))
        numbers = [tickets.ticket_number(each.ticket_code, partner) for each in payment.tickets]
        known = [number for number in numbers if number is not None]
        # as an activation locks them
        *_, paid_before = await run_together(
            tx,
            reservations.lock_of_tickets(known, partner.partner_id),
            tickets.lock_tickets(partner.partner_id, known),
            _PAID_BY(known, payment.payment_reference, payment.currency_code),
        )
        done = set(paid_before)
        sold = [
            SoldTicket(
                each.ticket_code,
                payment.customer_type,
                payment.customer_name,
                payment.payment_reference,
                each.amount_minor,
                payment.currency_code,
            )
            for each in payment.tickets
            if each.ticket_code not in done
        ]
        try:
            verdicts = await partner_tickets.activate(
                tx, self._db, partner, sold, zone=self._zone, now=now
            )
        except DomainError as error:
            if error.reason is not Reason.INVALID_FIELD:
                raise
            raise _RefusedError(_Refusal(error.reason, error.message)) from error
        for verdict in verdicts:
            if verdict.reason:
                raise _RefusedError(_refusal(verdict))

    def _live(self, sender: _Sender, now: datetime) -> Sequence[bytes]:
        return self._secrets.live(StoredSecrets(*sender[1:]), _owner(sender.partner_id), now)


def _owner(partner_id: int) -> str:
    return f"payments of {partner_id}"


def _refusal(verdict: partner_tickets.ActivationVerdict) -> _Refusal:
    explanation = verdict.explanation or "there is no such ticket"
    if verdict.error:
        explanation = verdict.error.message
    if verdict.paid and verdict.expected:
        explanation = (
            f"{verdict.paid.minor} {verdict.paid.currency_code} were paid, the price is"
            f" {verdict.expected.minor} {verdict.expected.currency_code}, in minor units"
        )
    return _Refusal(str(verdict.reason), explanation, verdict.ticket_code)


async def _codes_of_batch(tx: AsyncConnection, partner: Partner, batch_id: str) -> Sequence[str]:
    try:
        batch = await tickets.find_batch(tx, partner.partner_id, UUID(batch_id))
    except ValueError:
        batch = None
    if batch is None:
        raise _RefusedError(_Refusal(Reason.NOT_FOUND, f"there is no batch {batch_id}"))
    if batch.quantity > MAX_TICKETS:
        raise UnreadableError(
            f"data.batch_id: has {batch.quantity} tickets; name up to {MAX_TICKETS} at once by"
            " ticket_codes"
        )
    return [
        Number.unpack(number).code(PARTNER_PREFIX, partner.partner_code)
        for number in range(batch.first_ticket_id, batch.last_ticket_id + 1)
    ]
