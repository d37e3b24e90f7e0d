"""What a partner's key changes in configuration, or moves in bulk, in the audit trail: one event a
call. What becomes of each ticket stands in `ticket_events` and `partner_events`.
"""

from collections.abc import Mapping

from server.api.repeats import ChangingCall
from server.audit.trail import AuditedChange, audit
from server.identity.callers import Partner
from server.platform import clock
from server.platform.statements import run


async def note(
    call: ChangingCall[Partner],
    action: str,
    resource: str,
    name: object,
    after: Mapping[str, object] | None,
) -> None:
    """Writes it down, at the time that it is, also for a sandbox."""
    change = AuditedChange(call.caller.key, action, resource, name, None, after)
    await run(call.tx, audit(change, now=clock.now()))


async def note_bulk(
    call: ChangingCall[Partner], action: str, batch_id: str, *, done: int, refused: int
) -> None:
    """Writes down a call about several tickets, unless it has moved none."""
    if done:
        after = {"batch_id": batch_id, "done_count": done, "refused_count": refused}
        await note(call, action, "tickets", batch_id or call.caller.partner_code, after)
