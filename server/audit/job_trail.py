"""What the daemon has done, in the audit trail: a run of a job, with how much it did. What it did
to each order, ticket or reservation stands in their own events.
"""

from datetime import UTC, datetime

from server.audit.origins import NOWHERE
from server.audit.trail import AuditedChange, audit
from server.platform.schedule import JobEnd
from server.platform.statements import Transaction, run

DAEMON = "daemon"


async def note_run(tx: Transaction, end: JobEnd) -> None:
    """Writes down a run that did something, failed or was asked for."""
    facts: dict[str, object] = {"run_id": end.run_id, "outcome": end.outcome, "items": end.items}
    if end.error:
        facts["error"] = end.error
    change = AuditedChange(DAEMON, "run", "job", end.job_name, None, facts, origin=NOWHERE)
    await run(tx, audit(change, now=datetime.now(UTC)))
