"""Writing messages down: the inbox's row, a delivery for each channel that it goes out by, and the
consents that are used for them.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from server.notifications import models, rules  # noqa: F401 - whoever writes has the tables
from server.notifications.context import OrderContext
from server.platform.statements import Command, Statement

CREATED = "notification_deliveries"
"""What a transaction that makes deliveries notifies: this process's dispatcher looks after the
commit.
"""


class NewMessage(NamedTuple):
    """A message to be written: what it tells, of what, to whom."""

    context: OrderContext
    kind: str
    source: str
    facts: Mapping[str, Any]
    occurred_time: datetime


class NumberedMessage(NamedTuple):
    """A message with its place and its words."""

    number: int
    message: NewMessage
    language: str
    title: str
    body: str


class NewDelivery(NamedTuple):
    """How a message goes out: with `skip` it does not, and that says why."""

    traveller_id: int
    number: int
    channel: str
    order_id: int
    kind: str
    template_id: str
    skip: str
    due_time: datetime


_INSERT = Statement("""
INSERT INTO notifications
  (traveller_id, number, order_id, kind, source, language, title, body, facts, occurred_time,
   create_time)
SELECT v.*, $1::timestamptz
FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[],
  $8::text[], $9::text[], $10::jsonb[], $11::timestamptz[]) v
""")
_DELIVER = Statement(
    """
INSERT INTO notification_deliveries
  (traveller_id, number, channel, order_id, kind, template_id, state, reason, due_time, attempts,
   create_time, update_time)
SELECT v.traveller_id, v.number, v.channel, v.order_id, v.kind, v.template_id,
  CASE WHEN v.skip = '' THEN 'PENDING' ELSE 'SKIPPED' END, v.skip, v.due_time, 0,
  $1::timestamptz, $1::timestamptz
FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::text[],
  $8::text[], $9::timestamptz[])
  AS v (traveller_id, number, channel, order_id, kind, template_id, skip, due_time)
""",
    notifies=CREATED,
)
# what waits for the morning goes first, if something of its order cannot wait
_HURRY = Statement("""
UPDATE notification_deliveries d SET due_time = $1::timestamptz
FROM unnest($2::bigint[], $3::bigint[]) AS v (traveller_id, order_id)
WHERE d.traveller_id = v.traveller_id AND d.order_id = v.order_id AND d.state = 'PENDING'
  AND d.attempts = 0 AND d.due_time > $1::timestamptz
""")
_USE = Statement("""
UPDATE notification_consents c SET available = c.available - v.used,
  update_time = $1::timestamptz
FROM unnest($2::bigint[], $3::text[], $4::int[]) AS v (traveller_id, template_id, used)
WHERE c.traveller_id = v.traveller_id AND c.template_id = v.template_id
""")


def write(
    messages: Sequence[NumberedMessage], deliveries: Sequence[NewDelivery], *, now: datetime
) -> list[Command[None] | None]:
    """Writes messages, their deliveries, and the consents these use, which are locked."""
    used: dict[tuple[int, str], int] = {}
    for each in deliveries:
        if each.channel == rules.WECHAT and not each.skip:
            key = each.traveller_id, each.template_id
            used[key] = used.get(key, 0) + 1
    urgent = sorted(
        {(d.traveller_id, d.order_id) for d in deliveries if d.kind not in rules.MAY_WAIT}
    )
    rows = [
        (
            m.message.context.traveller_id,
            m.number,
            m.message.context.order_id,
            m.message.kind,
            m.message.source,
            m.language,
            m.title,
            m.body,
            dict(m.message.facts),
            m.message.occurred_time,
        )
        for m in messages
    ]
    return [
        _INSERT.of_rows(rows, now),
        _HURRY.of_rows(urgent, now),
        _DELIVER.of_rows(list(deliveries), now),
        _USE.of_rows([(*key, count) for key, count in sorted(used.items())], now),
    ]
