"""A partner's sandbox: a partner of its own (parties/rules.py), whose keys are those of test mode
and whose stock is set by the partner itself.

Nothing of it counts against the stock of anybody else: it comes from no channel and goes to none.
Its tickets are refused by every live terminal (redemption/rules.py).
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Unpack
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By
from server.identity import partner_keys
from server.identity.callers import Operator, Partner
from server.identity.partner_keys import PartnerKey
from server.parties import partners
from server.parties.rules import live_id
from server.stock import inventory
from server.tickets import validity
from server.tickets.qr import Claims

MERCHANT = "(sandbox)"
"""Whose the redemptions of simulated terminals are: no merchant can be called so, so that they are
in no merchant's lists and reports.
"""
VENUE = "SANDBOX"
A_SECOND = timedelta(seconds=1)
REVERSAL_SECONDS = 24 * 3600
NO_LOGIN = UUID(int=0)


async def create_test_key(
    tx: AsyncConnection, partner_code: str, **by: Unpack[By]
) -> tuple[PartnerKey, str]:
    """A new key of test mode of a partner, and its text, which is not stored. The first makes the
    sandbox, with stock of what the partner has stock of.

    Raises NOT_FOUND, REVOKED, INVALID_FIELD for a sandbox.
    """
    sandbox, is_new = await partners.open_sandbox(tx, partner_code, **by)
    if is_new:
        live = live_id(sandbox.partner_id)
        await inventory.copy_to_sandbox(tx, live, now=by["now"])
    return await partner_keys.create_key(tx, sandbox, **by)


def simulated_terminal(sandbox: Partner, function_code: str, *, zone: ZoneInfo) -> Operator:
    """Who redeems at the terminal that is simulated for a sandbox: a supervisor of no merchant,
    where `function_code` may be redeemed; `zone` is whose days count.
    """
    return Operator(
        role="SUPERVISOR",
        login_id=NO_LOGIN,
        username=sandbox.key,
        merchant_code=MERCHANT,
        venue_code=VENUE,
        terminal_device_id=f"{VENUE}-{sandbox.partner_code}",
        venue_time_zone=zone.key,
        function_codes=frozenset([function_code]),
        reversal_window_seconds=REVERSAL_SECONDS,
        sandbox_id=sandbox.partner_id,
    )


async def end_validity(tx: AsyncConnection, ticket_ids: Collection[int], *, now: datetime) -> None:
    """Has test tickets that are locked be valid for a second more."""
    await validity.end_at(tx, ticket_ids, now + A_SECOND, now=now)


def expiring(claims: Claims, now: datetime) -> Claims:
    """What a QR says that is good for a second."""
    return replace(claims, expire_time=now + A_SECOND)
