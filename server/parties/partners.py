"""Partners and their API keys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict, Unpack

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By, Records, checked
from server.parties.models import partners
from server.platform.change_feed import ChangeKind

DEFAULT_REQUESTS_PER_MINUTE = 100


@dataclass(frozen=True, slots=True)
class PartnerRecord:
    """An OTA partner."""

    partner_id: int
    partner_code: str
    display_name: str
    requests_per_minute: int
    allowed_addresses: list[str]
    activation_tolerance_basis_points: int
    state: str
    create_time: datetime
    update_time: datetime


class NewPartner(TypedDict):
    """The fields of a new partner."""

    partner_code: str
    display_name: str
    requests_per_minute: int
    allowed_addresses: Sequence[str]
    activation_tolerance_basis_points: int


PARTNERS = Records(
    "partner",
    partners.c.partner_code,
    select(partners),
    PartnerRecord,
    ChangeKind.PARTNER,
)


async def create_partner(
    tx: AsyncConnection, partner: NewPartner, **by: Unpack[By]
) -> PartnerRecord:
    """A new partner, without keys or stock. Raises INVALID_FIELD, ALREADY_EXISTS."""
    return await PARTNERS.create(tx, checked({**partner, "state": "ACTIVE"}), **by)


async def update_partner(
    tx: AsyncConnection, partner_code: str, values: Mapping[str, Any], **by: Unpack[By]
) -> PartnerRecord:
    """Changes the given fields. Raises INVALID_FIELD, NOT_FOUND, REVOKED."""
    before = await PARTNERS.lock_active(tx, partner_code)
    return await PARTNERS.change(tx, before, checked(values), **by)
