"""API keys of partners."""

from dataclasses import dataclass
from datetime import datetime
from typing import Unpack

from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import REVOKED, By, Records
from server.identity.credentials import new_partner_key
from server.identity.models import partner_keys
from server.parties.models import partners
from server.parties.partners import PARTNERS, PartnerRecord, refuse_sandbox
from server.parties.rules import LIVE, TEST
from server.platform.change_feed import ChangeKind
from server.platform.errors import not_found


@dataclass(frozen=True, slots=True)
class PartnerKey:
    """An API key of a partner, without its secret; one of `mode` TEST calls as its sandbox."""

    key_id: str
    partner_code: str
    mode: str
    state: str
    create_time: datetime
    last_used_time: datetime | None
    revoke_time: datetime | None


_LIVE = partners.alias("live")
PARTNER_KEYS = Records(
    "partner_key",
    partner_keys.c.key_id,
    select(
        partner_keys.c.key_id,
        func.coalesce(_LIVE.c.partner_code, partners.c.partner_code).label("partner_code"),
        case((partners.c.sandbox_of.is_(None), LIVE), else_=TEST).label("mode"),
        case((partner_keys.c.revoke_time.is_(None), "ACTIVE"), else_=REVOKED).label("state"),
        partner_keys.c.create_time,
        partner_keys.c.last_used_time,
        partner_keys.c.revoke_time,
    )
    .join(partners, partners.c.partner_id == partner_keys.c.partner_id)
    .outerjoin(_LIVE, _LIVE.c.partner_id == partners.c.sandbox_of),
    PartnerKey,
    ChangeKind.PARTNER_KEY,
)


async def create_live_key(
    tx: AsyncConnection, partner_code: str, **by: Unpack[By]
) -> tuple[PartnerKey, str]:
    """A new key of a partner, and its text, which is not stored. Raises NOT_FOUND, REVOKED,
    INVALID_FIELD for a sandbox.
    """
    partner = await PARTNERS.rely_on(tx, partner_code)
    refuse_sandbox(partner, "name its partner, and the mode TEST")
    return await create_key(tx, partner, **by)


async def create_key(
    tx: AsyncConnection, partner: PartnerRecord, **by: Unpack[By]
) -> tuple[PartnerKey, str]:
    """A new key of a partner or sandbox that is not revoked meanwhile, and its text."""
    new = new_partner_key(is_test=partner.mode == TEST)
    values = {
        "key_id": new.key_id,
        "partner_id": partner.partner_id,
        "secret_hash": new.secret_hash,
    }
    return await PARTNER_KEYS.create(tx, values, **by), new.api_key


async def get_key(tx: AsyncConnection, partner_code: str, key_id: str) -> PartnerKey:
    """A key of the partner. Raises NOT_FOUND."""
    return _of_partner(await PARTNER_KEYS.get(tx, key_id), partner_code)


async def revoke_key(
    tx: AsyncConnection, partner_code: str, key_id: str, **by: Unpack[By]
) -> PartnerKey:
    """Revokes a key of the partner; a repeat changes nothing. Raises NOT_FOUND."""
    before = _of_partner(await PARTNER_KEYS.lock(tx, key_id), partner_code)
    if before.revoke_time:
        return before
    values = {"revoke_time": by["now"]}
    return await PARTNER_KEYS.change(tx, before, values, action="revoke", **by)


def _of_partner(key: PartnerKey, partner_code: str) -> PartnerKey:
    if key.partner_code != partner_code:
        raise not_found(PARTNER_KEYS.resource, key.key_id)
    return key
