"""Travellers, and their blocks: a blocked one can neither log in nor call."""

from dataclasses import dataclass
from datetime import datetime
from typing import Unpack

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By, Records
from server.audit.trail import AuditedChange, audit
from server.identity.models import travellers
from server.platform import change_feed
from server.platform.change_feed import ChangeKind
from server.platform.statements import run


@dataclass(frozen=True, slots=True)
class TravellerRecord:
    """A traveller who has logged in by the mini-program."""

    traveller_id: int
    app_id: str
    openid: str
    unionid: str | None
    state: str
    create_time: datetime
    update_time: datetime
    last_login_time: datetime


TRAVELLERS = Records(
    "traveller",
    travellers.c.traveller_id,
    select(travellers),
    TravellerRecord,
    ChangeKind.TRAVELLER,
)


async def block_traveller(
    tx: AsyncConnection, traveller_id: int, *, comment: str, **by: Unpack[By]
) -> TravellerRecord:
    """Ends the traveller's tokens within a second, and log-ins at once; a repeat changes
    nothing. Raises NOT_FOUND.
    """
    return await _move(tx, traveller_id, "block", "BLOCKED", comment, **by)


async def unblock_traveller(
    tx: AsyncConnection, traveller_id: int, *, comment: str, **by: Unpack[By]
) -> TravellerRecord:
    """Lets the traveller in again; a repeat changes nothing. Raises NOT_FOUND."""
    return await _move(tx, traveller_id, "unblock", "ACTIVE", comment, **by)


async def _move(
    tx: AsyncConnection, traveller_id: int, action: str, state: str, comment: str, **by: Unpack[By]
) -> TravellerRecord:
    before = await TRAVELLERS.lock(tx, traveller_id)
    if before.state == state:
        return before
    await tx.execute(
        update(travellers)
        .where(travellers.c.traveller_id == traveller_id)
        .values(state=state, update_time=by["now"])
    )
    # without what WeChat calls the traveller: the trail is for ever
    change = AuditedChange(
        actor=by["actor"],
        action=action,
        resource=TRAVELLERS.resource,
        name=traveller_id,
        before={"state": before.state},
        after={"state": state, "comment": comment},
    )
    await run(tx, audit(change, now=by["now"]))
    await change_feed.publish(tx, ChangeKind.TRAVELLER, traveller_id)
    return await TRAVELLERS.get(tx, traveller_id)
