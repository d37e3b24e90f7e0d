"""Channels that are stopped: nothing of them goes out until an administrator resumes them, or one
message that tries it does.

A channel stops as a whole where who we are is wrong there, or one template of WeChat's where that
is. Nothing is lost: what is to go out waits.
"""

from datetime import datetime, timedelta
from typing import NamedTuple, Unpack

from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By
from server.audit.trail import AuditedChange, audit
from server.notifications import deliveries, rules
from server.platform.errors import not_found
from server.platform.statements import Command, Statement, run, run_together

MAX_WORDS = 500


class Pause(NamedTuple):
    """A channel, or a template of it, that is stopped: by which code of the provider, since when,
    and when it is tried.
    """

    channel: str
    template_id: str
    code: str
    reason: str
    failures: int
    pause_time: datetime
    probe_time: datetime


_READ = Statement(
    """
SELECT channel, template_id, code, reason, failures, pause_time, probe_time
FROM notification_pauses ORDER BY channel, template_id
""",
    Pause,
)
_STOP = Statement(
    """
INSERT INTO notification_pauses AS p
  (channel, template_id, code, reason, failures, pause_time, probe_time)
VALUES ($1, $2, $3, $4, 1, $5::timestamptz, $6::timestamptz)
ON CONFLICT (channel, template_id) DO UPDATE SET code = excluded.code, reason = excluded.reason,
  failures = p.failures + 1,
  probe_time = $5::timestamptz + least($7::double precision,
    $8::double precision * 2.0 ^ least(p.failures, 20)) * interval '1 second'
RETURNING failures
""",
    int,
)
# who tries it does so alone, until then
_PROBE = Statement(
    """
UPDATE notification_pauses SET probe_time = $4::timestamptz
WHERE channel = $1 AND template_id = $2 AND probe_time <= $3::timestamptz RETURNING channel
""",
    str,
)
_RESUME = Statement(
    """
DELETE FROM notification_pauses WHERE channel = $1 AND template_id = $2
RETURNING channel, template_id, code, reason, failures, pause_time, probe_time
""",
    Pause,
    notifies="notification_deliveries",
)


def read() -> Command[Pause]:
    """What is stopped."""
    return _READ()


def stop(channel: str, template_id: str, code: str, reason: str, *, now: datetime) -> Command[int]:
    """Stops a channel or a template, or keeps it stopped for longer; how often it failed."""
    first = now + timedelta(seconds=rules.FIRST_PROBE_SECONDS)
    limits = rules.MAX_PROBE_SECONDS, rules.FIRST_PROBE_SECONDS
    return _STOP(channel, template_id, code, reason[:MAX_WORDS], now, first, *map(str, limits))


def probe(pause: Pause, *, now: datetime, until: datetime) -> Command[str]:
    """Has this process alone try it; no row where another does."""
    return _PROBE(pause.channel, pause.template_id, now, until)


def mended(channel: str, template_id: str, *, now: datetime) -> list[Command[object] | None]:
    """A message of it has gone out: it is stopped no more."""
    return [
        _RESUME(channel, template_id),  # type: ignore[list-item]
        deliveries.hasten(channel, template_id, now=now) if template_id else None,  # type: ignore[list-item]
    ]


async def resume(tx: AsyncConnection, channel: str, template_id: str, **by: Unpack[By]) -> Pause:
    """An administrator has it go on. Raises NOT_FOUND for what is not stopped."""
    rows, _ = await run_together(
        tx,
        _RESUME(channel, template_id),
        deliveries.hasten(channel, template_id, now=by["now"]) if template_id else None,
    )
    if not rows:
        raise not_found("notification pause", f"{channel}/{template_id}".rstrip("/"))
    before = {"code": rows[0].code, "reason": rows[0].reason}
    name = f"{channel}/{template_id}".rstrip("/")
    change = AuditedChange(by["actor"], "resume", "notification_channel", name, before, {})
    await run(tx, audit(change, now=by["now"]))
    return rows[0]
