"""An issuer of QR codes without a server, and the check of what was redeemed."""

import asyncio
from datetime import datetime

from server.platform.change_feed import ChangeFeed
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.statements import Statement, run
from server.redemption import issue_check
from server.tickets.issuing import Issuer
from server.tickets.key_rings import KeyRings
from tests.support.waiting import WAIT_SECONDS

_LAST = Statement(
    "SELECT coalesce(max(transaction_id), 0) FROM redemption_events WHERE result <> 'REJECT'", int
)
_MARK = Statement("SELECT transaction_id FROM issue_check_marks", int)


def issuer(db: Database, secret_key: bytes) -> Issuer:
    """Issues under the active of these keys."""
    return Issuer(KeyRings(ChangeFeed(db), db, secret_key), db, load_settings().zone)


async def check_redeemed(db: Database, now: datetime) -> None:
    """Looks at all that is redeemed, as the job does, once no transaction that began before is
    under way.
    """
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            async with db.transaction() as tx:
                (last,), (mark,) = await run(tx, _LAST()), await run(tx, _MARK())
            if mark >= last:
                return
            await db.in_transaction(lambda tx: issue_check.check(tx, now))
            await asyncio.sleep(0.02)
