"""What is to go out by which channel, and what became of it.

Every process takes what is due, with a lease: before a message is sent it stands here that it is
being sent (`reason` SENDING). A process that dies meanwhile leaves that behind; when the lease is
over another sends the message again, since nobody can tell whether it went out. Of one order only
the first message that is PENDING in a channel is taken: the next waits until it is sent or given
up.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from server.notifications import preferences, rules
from server.notifications.sending import AttemptResult, SendResult
from server.platform import outbox
from server.platform.outbox import NewTask
from server.platform.statements import Command, Statement, Transaction, run_all
from server.platform.task_worker import MAX_COUNTED, WaitingWork

KIND = "notification"
"""Kind of the dead letters of messages that were given up."""
SENDING = "SENDING"
PAUSED = "PAUSED"
WAITS = "WAITS"
"""`reason` of one that waits for one of its order before it."""
MAX_DEFERRED = 2_000
MAX_REASON = 200
UNCLEAR = frozenset({SENDING, AttemptResult.UNKNOWN.value})
"""After these it may have gone out before."""


class DueMessage(NamedTuple):
    """A delivery that this process has taken until `lease_time`; `before` is what was known of its
    last attempt.
    """

    traveller_id: int
    number: int
    channel: str
    order_id: int
    kind: str
    template_id: str
    attempt: int
    before: str
    lease_time: datetime


class MessageContent(NamedTuple):
    """What a delivery says, and to whom."""

    traveller_id: int
    number: int
    language: str
    facts: dict[str, Any]
    occurred_time: datetime
    openid: str
    contacts_sealed: bytes | None


class DeliveryOutcome(NamedTuple):
    """What became of an attempt."""

    delivery: DueMessage
    state: str
    reason: str
    due_time: datetime
    result: AttemptResult
    words: str = ""
    code: str = ""

    @property
    def returns_consent(self) -> bool:
        """Whether WeChat surely did not use the consent, and nothing more is sent."""
        return bool(
            self.state == "DEAD"
            and self.delivery.template_id
            and self.delivery.before not in UNCLEAR
            and self.result is AttemptResult.GIVE_UP
        )


class _DeliveryKey(NamedTuple):
    """Of the deliveries of one message each channel has its own."""

    traveller_id: int
    number: int
    channel: str


class ListedDelivery(NamedTuple):
    """A delivery as administrators see it; the inbox's has no attempts, but when it was read."""

    traveller_id: int
    number: int
    channel: str
    order_code: str
    kind: str
    template_id: str
    state: str
    reason: str
    attempts: int
    due_time: datetime
    create_time: datetime
    update_time: datetime
    language: str
    read_time: datetime | None


_TAKE = Statement(
    """
WITH due AS MATERIALIZED (
  SELECT d.traveller_id, d.number, d.channel, d.reason FROM notification_deliveries d
  WHERE d.channel = $1 AND d.state = 'PENDING' AND d.due_time <= $2::timestamptz
    AND (d.lease_time IS NULL OR d.lease_time <= $2::timestamptz)
    AND NOT d.template_id = ANY($5::text[])
    AND NOT EXISTS (
      SELECT FROM notification_deliveries e
      WHERE e.traveller_id = d.traveller_id AND e.order_id = d.order_id AND e.channel = d.channel
        AND e.state = 'PENDING' AND e.number < d.number)
  ORDER BY d.due_time, d.number LIMIT $4::int FOR NO KEY UPDATE SKIP LOCKED)
UPDATE notification_deliveries d
SET lease_time = $3::timestamptz, attempts = d.attempts + 1, reason = 'SENDING',
  update_time = $2::timestamptz
FROM due
WHERE d.traveller_id = due.traveller_id AND d.number = due.number AND d.channel = due.channel
RETURNING d.traveller_id, d.number, d.channel, d.order_id, d.kind, d.template_id, d.attempts,
  due.reason, d.lease_time
""",
    DueMessage,
)
_ANY_DUE = Statement(
    """
SELECT EXISTS (SELECT FROM notification_pauses) OR EXISTS (
  SELECT FROM unnest($1::text[]) AS c (channel) CROSS JOIN LATERAL (
    SELECT FROM notification_deliveries d
    WHERE d.channel = c.channel AND d.state = 'PENDING' AND d.due_time <= $2::timestamptz
      AND (d.lease_time IS NULL OR d.lease_time <= $2::timestamptz) LIMIT 1) d)
""",
    bool,
)
_CONTENTS = Statement(
    """
SELECT n.traveller_id, n.number, n.language, n.facts, n.occurred_time, coalesce(t.openid, ''),
  p.contacts_sealed
FROM unnest($1::bigint[], $2::bigint[]) AS v (traveller_id, number)
JOIN notifications n ON n.traveller_id = v.traveller_id AND n.number = v.number
LEFT JOIN travellers t ON t.traveller_id = v.traveller_id
LEFT JOIN notification_preferences p ON p.traveller_id = v.traveller_id
""",
    MessageContent,
)
# those of a template that is stopped are looked at again when it is tried
_DEFER = Statement("""
UPDATE notification_deliveries d SET due_time = $3::timestamptz, reason = 'PAUSED'
FROM (
  SELECT traveller_id, number, channel FROM notification_deliveries
  WHERE channel = $1 AND state = 'PENDING' AND due_time <= $2::timestamptz
    AND (lease_time IS NULL OR lease_time <= $2::timestamptz) AND template_id = $4
  ORDER BY due_time LIMIT $5::int FOR NO KEY UPDATE SKIP LOCKED) v
WHERE (d.traveller_id, d.number, d.channel) = (v.traveller_id, v.number, v.channel)
""")
_HASTEN = Statement("""
UPDATE notification_deliveries SET due_time = $3::timestamptz, reason = ''
WHERE channel = $1 AND template_id = $2 AND state = 'PENDING' AND reason = 'PAUSED'
""")
_SETTLE = Statement(
    """
UPDATE notification_deliveries d SET state = v.state, reason = v.reason, due_time = v.due_time,
  lease_time = NULL, update_time = $1::timestamptz, consent_returned = v.consent_returned,
  attempts = CASE WHEN v.keeps_attempt THEN d.attempts ELSE d.attempts - 1 END
FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::timestamptz[], $6::text[], $7::text[],
  $8::timestamptz[], $9::boolean[], $10::boolean[])
  AS v (traveller_id, number, channel, lease_time, state, reason, due_time, keeps_attempt,
    consent_returned)
WHERE d.traveller_id = v.traveller_id AND d.number = v.number AND d.channel = v.channel
  AND d.state = 'PENDING' AND d.lease_time = v.lease_time
RETURNING d.traveller_id, d.number, d.channel
""",
    _DeliveryKey,
)
# What waits for one of its order that failed is not looked at before that is due again, and at once
# when it is over.
_FOLLOW = Statement("""
UPDATE notification_deliveries d
SET due_time = CASE WHEN v.state = 'PENDING' THEN v.due_time ELSE $1::timestamptz END,
  reason = CASE WHEN v.state = 'PENDING' THEN 'WAITS' ELSE '' END
FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::timestamptz[])
  AS v (traveller_id, order_id, channel, number, state, due_time)
WHERE d.traveller_id = v.traveller_id AND d.order_id = v.order_id AND d.channel = v.channel
  AND d.state = 'PENDING' AND d.number > v.number AND d.attempts = 0
  AND CASE WHEN v.state = 'PENDING' THEN d.due_time < v.due_time ELSE d.reason = 'WAITS' END
""")
# Under the delivery's lock, so that it takes one consent however many replay it at once. A message
# that has none stays in the inbox, as one that had none from the beginning.
_REPLAY = Statement(
    """
WITH letter AS MATERIALIZED (
  SELECT traveller_id, number, channel, template_id, consent_returned FROM notification_deliveries
  WHERE traveller_id = $1::bigint AND number = $2::bigint AND channel = $3 AND state = 'DEAD'
  FOR NO KEY UPDATE),
taken AS (
  UPDATE notification_consents c SET available = c.available - 1, update_time = $4::timestamptz
  FROM letter WHERE letter.consent_returned AND c.traveller_id = letter.traveller_id
    AND c.template_id = letter.template_id AND c.available > 0
  RETURNING 1),
verdict AS (
  SELECT letter.*, letter.consent_returned AND NOT EXISTS (SELECT FROM taken) AS lacks FROM letter)
UPDATE notification_deliveries d SET
  state = CASE WHEN v.lacks THEN 'SKIPPED' ELSE 'PENDING' END,
  reason = CASE WHEN v.lacks THEN 'NO_CONSENT' ELSE '' END,
  consent_returned = v.lacks, due_time = $4::timestamptz, lease_time = NULL, attempts = 0,
  update_time = $4::timestamptz
FROM verdict v
WHERE d.traveller_id = v.traveller_id AND d.number = v.number AND d.channel = v.channel
""",
    notifies="notification_deliveries",
)
_PAGE = Statement(
    """
SELECT d.traveller_id, d.number, d.channel, o.order_code, d.kind, d.template_id, d.state, d.reason,
  d.attempts, d.due_time, d.create_time, d.update_time, n.language, NULL::timestamptz
FROM notification_deliveries d JOIN orders o ON o.order_id = d.order_id
JOIN notifications n ON n.traveller_id = d.traveller_id AND n.number = d.number
WHERE d.traveller_id = $1::bigint AND ($2 = '' OR d.state = $2)
  AND ($3::bigint IS NULL OR (d.number, d.channel) < ($3::bigint, $4))
ORDER BY d.number DESC, d.channel DESC LIMIT $5::int
""",
    ListedDelivery,
)
_WAITING = Statement(
    """
SELECT coalesce(sum(v.waiting), 0)::bigint,
  greatest(0, extract(epoch FROM $1::timestamptz - min(v.oldest)))::float8
FROM unnest($2::text[]) AS c (channel) CROSS JOIN LATERAL (
  SELECT count(*) AS waiting, min(due_time) AS oldest FROM (
    SELECT d.due_time FROM notification_deliveries d
    WHERE d.channel = c.channel AND d.state = 'PENDING' ORDER BY d.due_time LIMIT $3::int) d) v
""",
    WaitingWork,
)
# A traveller's messages are found by his id, and are few: those of an order need no index.
_OF_ORDER = Statement(
    """
SELECT n.traveller_id, n.number, v.channel, o.order_code, n.kind, v.template_id, v.state, v.reason,
  v.attempts, v.due_time, v.create_time, v.update_time, n.language, v.read_time
FROM orders o
JOIN notifications n ON n.traveller_id = o.traveller_id AND n.order_id = o.order_id
CROSS JOIN LATERAL (
  SELECT 'INBOX' AS channel, '' AS template_id, 'SENT' AS state, '' AS reason, 0 AS attempts,
    n.create_time AS due_time, n.create_time, coalesce(n.read_time, n.create_time) AS update_time,
    n.read_time
  UNION ALL
  SELECT d.channel, d.template_id, d.state, d.reason, d.attempts, d.due_time, d.create_time,
    d.update_time, NULL
  FROM notification_deliveries d WHERE d.traveller_id = n.traveller_id AND d.number = n.number) v
WHERE o.order_id = $1::bigint
  AND ($2::bigint IS NULL OR (n.number, v.channel) < ($2::bigint, $3))
ORDER BY n.number DESC, v.channel DESC LIMIT $4::int
""",
    ListedDelivery,
)


def take(
    channel: str, *, now: datetime, lease: timedelta, limit: int, stopped: Sequence[str]
) -> Command[DueMessage]:
    """Takes what is due in a channel, but for the templates that are stopped."""
    return _TAKE(channel, now, now + lease, limit, list(stopped))


def any_due(channels: Collection[str], *, now: datetime) -> Command[bool]:
    """Whether anything is due in these channels, or anything is stopped."""
    return _ANY_DUE(list(channels), now)


def contents(taken: Sequence[DueMessage]) -> Command[MessageContent] | None:
    """What these say, and to whom."""
    return _CONTENTS.of_rows([each[:2] for each in taken])


def defer(channel: str, template_id: str, until: datetime, *, now: datetime) -> Command[None]:
    """Has some that are due of a template wait until it is tried again."""
    return _DEFER(channel, now, until, template_id, MAX_DEFERRED)


def hasten(channel: str, template_id: str, *, now: datetime) -> Command[None]:
    """Has those of a template that wait be due, since it is stopped no more."""
    return _HASTEN(channel, template_id, now)


def outcome(
    delivery: DueMessage, sent: SendResult, chance: float, *, now: datetime
) -> DeliveryOutcome:
    """What follows from an attempt; `chance` is a random number from 0 to 1."""
    reason = sent.code or sent.result.value
    match sent.result:
        case AttemptResult.SENT:
            return DeliveryOutcome(delivery, "SENT", "", now, sent.result)
        case AttemptResult.NO_CONSENT if delivery.before in UNCLEAR:
            # an attempt whose answer nobody heard has used the consent
            return DeliveryOutcome(delivery, "SENT", "CONSENT_USED", now, AttemptResult.SENT)
        case AttemptResult.NO_CONSENT:
            return DeliveryOutcome(delivery, "SKIPPED", reason, now, sent.result)
        case AttemptResult.STOP | AttemptResult.STOP_TEMPLATE:
            # it waits with the others, and no attempt is counted
            return DeliveryOutcome(
                delivery, "PENDING", PAUSED, now, sent.result, sent.words, reason
            )
        case AttemptResult.GIVE_UP:
            return DeliveryOutcome(delivery, "DEAD", reason, now, sent.result, sent.words)
    wait = rules.retry_seconds(delivery.attempt, chance, sent.wait_seconds)
    if wait is None:
        return DeliveryOutcome(delivery, "DEAD", reason, now, sent.result, sent.words)
    if sent.result is AttemptResult.UNKNOWN:
        reason = AttemptResult.UNKNOWN.value
    due = now + timedelta(seconds=wait)
    return DeliveryOutcome(delivery, "PENDING", reason, due, sent.result, sent.words)


async def settle(tx: Transaction, outcomes: Sequence[DeliveryOutcome], *, now: datetime) -> None:
    """Writes what became of attempts: what another process has taken meanwhile stays its. What is
    given up becomes a dead letter, and consents that were not used are good for another message.

    Deliveries are locked in their order, then consents in theirs, as whoever writes messages does.
    """
    outcomes = sorted(outcomes, key=lambda each: each.delivery[:3])
    rows = [
        (
            *each.delivery[:3],
            each.delivery.lease_time,
            each.state,
            each.reason[:MAX_REASON],
            each.due_time,
            each.result not in (AttemptResult.STOP, AttemptResult.STOP_TEMPLATE),
            each.returns_consent,
        )
        for each in outcomes
    ]
    followed = [
        (
            each.delivery.traveller_id,
            each.delivery.order_id,
            each.delivery.channel,
            each.delivery.number,
            each.state,
            each.due_time,
        )
        for each in outcomes
        if each.state != "SENT" or each.delivery.attempt > 1
    ]
    settled, *_ = await run_all(tx, [_SETTLE.of_rows(rows, now), _FOLLOW.of_rows(followed, now)])
    kept = set(settled)
    ours = [each for each in outcomes if _DeliveryKey(*each.delivery[:3]) in kept]
    letters = [
        (NewTask(KIND, letter_key(each.delivery), {"kind": each.delivery.kind}, now), error)
        for each in ours
        if each.state == "DEAD" and (error := f"{each.reason} {each.words}".strip())
    ]
    consents = [
        (preferences.give_back if each.returns_consent else preferences.forget)(
            *_whose(each), now=now
        )
        for each in sorted(ours, key=_whose)
        if each.returns_consent or each.result is AttemptResult.NO_CONSENT
    ]
    await run_all(tx, [outbox.bury(letters, now=now), *consents])


def waiting(now: datetime) -> Command[WaitingWork]:
    """What waits to be sent, up to MAX_COUNTED a channel. What waits for the morning, or for its
    next attempt, is not due.
    """
    return _WAITING(now, [each for each in rules.CHANNELS if each != rules.INBOX], MAX_COUNTED)


def letter_key(delivery: DueMessage) -> str:
    """The key of a delivery's dead letter."""
    return f"{delivery.traveller_id}/{delivery.number}/{delivery.channel}"


def replay(key: str, *, now: datetime) -> Command[None]:
    """Has a message that was given up sent again, by the key of its letter, with all attempts. The
    consent that was returned with it is taken again; without one left it is SKIPPED, NO_CONSENT.
    """
    traveller_id, number, channel = key.split("/")
    return _REPLAY(int(traveller_id), int(number), channel, now)


def page(
    traveller_id: int, *, state: str, before: tuple[int, str] | None, limit: int
) -> Command[ListedDelivery]:
    """Up to `limit` deliveries of a traveller from before a place, the latest first."""
    number, channel = before or (None, "")
    return _PAGE(traveller_id, state, number, channel, limit)


def of_order(
    order_id: int, *, before: tuple[int, str] | None, limit: int
) -> Command[ListedDelivery]:
    """Up to `limit` deliveries of an order's messages, the inbox's too, from before a place, the
    latest first.
    """
    return _OF_ORDER(order_id, *(before or (None, "")), limit)


def _whose(each: DeliveryOutcome) -> tuple[int, str]:
    return each.delivery.traveller_id, each.delivery.template_id
