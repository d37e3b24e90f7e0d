"""What was issued under a QR key that others have is issued anew: a task of the outbox.

Tickets and orders keep their jti, which tells their codes from forged ones: so what an admission
has used up stays used up, whichever code it was by. A token is sealed when it is asked for, here as
ever. Piece by piece: the record under the new key and what partners hear are in one transaction
with the note that the old one is replaced, so that a task that was killed goes on where it was.
"""

from collections.abc import Sequence
from datetime import datetime
from time import monotonic

from sqlalchemy.ext.asyncio import AsyncConnection

from server.orders import qr_codes
from server.platform.database import Database
from server.platform.outbox import Postpone, Task
from server.platform.statements import run
from server.tickets import issuing, partner_events, qr, tickets
from server.tickets.issuing import IssuedQr, Issuer

AT_ONCE = 500
"""QRs in one transaction."""
RUN_SECONDS = 10.0
"""After so long a run ends and the next begins, so that the lease of a process that died is soon
over.
"""


class Reissues:
    """The handler of the task `keys.REISSUE`."""

    def __init__(self, db: Database, issuer: Issuer) -> None:
        self._db = db
        self._issuer = issuer

    async def reissue(self, task: Task) -> Postpone | None:
        """Issues anew what is left of a key's; it is looked again once nothing is."""
        key_id, began = int(task.key), monotonic()
        while monotonic() - began < RUN_SECONDS:
            key, now = await self._issuer.key(), task.now()
            if not await self._db.in_transaction(
                lambda tx, key=key, now=now: reissue_some(tx, key_id, key, now=now)  # type: ignore[misc]
            ):
                return None
        return Postpone(task.now())


async def reissue_some(
    tx: AsyncConnection, key_id: int, key: qr.QrKey, *, now: datetime, limit: int = AT_ONCE
) -> int:
    """Has up to `limit` QRs of a key be of another; how many. What is of no use any more is noted,
    and nothing issued for it.
    """
    found = await run(tx, issuing.TO_REPLACE(key_id, limit))
    if not found:
        return 0
    claims = [*await _of_tickets(tx, found, now), *await _of_orders(tx, found, now)]
    numbers = [each.number for each in claims if each.kind is qr.QrKind.TICKET]
    events = partner_events.record_reissue(sorted(numbers), now=now)
    if events:
        await run(tx, events)
    replaced = issuing.REPLACED.of_rows(found, now, key_id)
    assert replaced is not None
    await run(tx, replaced)
    await issuing.record(tx, claims, key)
    return len(found)


async def _of_tickets(
    tx: AsyncConnection, found: Sequence[IssuedQr], now: datetime
) -> list[qr.Claims]:
    # of one ticket several may have been issued, the former ones before rotations
    issued = {(each.number, each.jti) for each in found if each.kind == qr.QrKind.TICKET}
    current = await tickets.claims_of_all(tx, {number for number, _ in issued}, now=now)
    return [each for each in current if (each.number, each.jti) in issued]


async def _of_orders(
    tx: AsyncConnection, found: Sequence[IssuedQr], now: datetime
) -> list[qr.Claims]:
    # of one order several may have been issued, after rotations of its tickets
    numbers = dict.fromkeys(each.number for each in found if each.kind == qr.QrKind.ORDER)
    current = [await qr_codes.order_claims(tx, number) for number in numbers]
    return [each for each in current if each.expire_time > now]
