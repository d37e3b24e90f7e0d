"""What was issued under a QR key that others have is issued anew: a task of the outbox.

Tickets and orders keep their jti, which tells their codes from forged ones: so what an admission
has used up stays used up, whichever code it was by. A token is sealed, and recorded, when it is
asked for, here as ever. Piece by piece: what partners hear is in one transaction with the note that
the old one is replaced, so that a task that was killed goes on where it was.
"""

from collections.abc import Sequence
from datetime import datetime
from time import monotonic

from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.database import Database
from server.platform.outbox import Postpone, Task
from server.platform.statements import run, run_together
from server.tickets import partner_events, qr, tickets
from server.tickets.issuing import IssuedQr, issues_of

AT_ONCE = 500
"""QRs in one transaction."""
RUN_SECONDS = 10.0
"""After so long a run ends and the next begins, so that the lease of a process that died is soon
over.
"""


class Reissues:
    """The handler of the task `keys.REISSUE`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def reissue(self, task: Task) -> Postpone | None:
        """Issues anew what is left of a key's; it is looked again once nothing is."""
        key_id, began = int(task.key), monotonic()
        while monotonic() - began < RUN_SECONDS:
            if not await self._db.in_transaction(
                lambda tx: reissue_some(tx, key_id, now=task.now())
            ):
                return None
        return Postpone(task.now())


async def reissue_some(
    tx: AsyncConnection, key_id: int, *, now: datetime, limit: int = AT_ONCE
) -> int:
    """Notes of up to `limit` QRs of a key that they are to be asked for anew; how many. Of one that
    is of no use any more nobody hears.
    """
    issues = issues_of(key_id)
    found = await run(tx, issues.to_replace(key_id, limit))
    if not found:
        return 0
    events = partner_events.record_reissue(await _tickets(tx, found, now), now=now)
    await run_together(tx, events, issues.replaced.of_rows(found, now, key_id))
    return len(found)


async def _tickets(tx: AsyncConnection, found: Sequence[IssuedQr], now: datetime) -> list[int]:
    # of one ticket several may have been issued, the former ones before rotations
    issued = {(each.number, each.jti) for each in found if each.kind == qr.QrKind.TICKET}
    current = await tickets.claims_of_all(tx, {number for number, _ in issued}, now=now)
    return sorted(each.number for each in current if (each.number, each.jti) in issued)
