"""API keys of partners."""

from dataclasses import dataclass
from datetime import datetime
from typing import Unpack

from sqlalchemy import case, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import REVOKED, By, Records
from server.identity.credentials import new_partner_key
from server.identity.models import partner_keys
from server.parties.models import partners
from server.parties.partners import PARTNERS
from server.platform.change_feed import ChangeKind
from server.platform.errors import not_found


@dataclass(frozen=True, slots=True)
class PartnerKey:
    """An API key of a partner, without its secret."""

    key_id: str
    partner_code: str
    state: str
    create_time: datetime
    last_used_time: datetime | None
    revoke_time: datetime | None


PARTNER_KEYS = Records(
    "partner_key",
    partner_keys.c.key_id,
    select(
        partner_keys.c.key_id,
        partners.c.partner_code,
        case((partner_keys.c.revoke_time.is_(None), "ACTIVE"), else_=REVOKED).label("state"),
        partner_keys.c.create_time,
        partner_keys.c.last_used_time,
        partner_keys.c.revoke_time,
    ).join(partners, partners.c.partner_id == partner_keys.c.partner_id),
    PartnerKey,
    ChangeKind.PARTNER_KEY,
)


async def create_key(
    tx: AsyncConnection, partner_code: str, **by: Unpack[By]
) -> tuple[PartnerKey, str]:
    """A new key of a partner, and its text, which is not stored. Raises NOT_FOUND, REVOKED."""
    partner = await PARTNERS.rely_on(tx, partner_code)
    new = new_partner_key()
    values = {
        "key_id": new.key_id,
        "partner_id": partner.partner_id,
        "secret_hash": new.secret_hash,
    }
    return await PARTNER_KEYS.create(tx, values, **by), new.api_key


async def revoke_key(
    tx: AsyncConnection, partner_code: str, key_id: str, **by: Unpack[By]
) -> PartnerKey:
    """Revokes a key of the partner; a repeat changes nothing. Raises NOT_FOUND."""
    before = await PARTNER_KEYS.lock(tx, key_id)
    if before.partner_code != partner_code:
        raise not_found(PARTNER_KEYS.resource, key_id)
    if before.revoke_time:
        return before
    values = {"revoke_time": by["now"]}
    return await PARTNER_KEYS.change(tx, before, values, action="revoke", **by)
