"""Partners and their API keys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Unpack

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By, Records, checked
from server.parties.models import partners
from server.platform.change_feed import ChangeKind

DEFAULT_REQUESTS_PER_MINUTE = 100


@dataclass(frozen=True, slots=True)
class Partner:
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


PARTNERS = Records(
    "partner",
    partners.c.partner_code,
    select(partners),
    Partner,
    ChangeKind.PARTNER,
)


async def create_partner(
    tx: AsyncConnection,
    *,
    partner_code: str,
    display_name: str,
    requests_per_minute: int,
    allowed_addresses: Sequence[str],
    activation_tolerance_basis_points: int = 0,
    **by: Unpack[By],
) -> Partner:
    """A new partner, without keys or stock. Raises INVALID_FIELD, ALREADY_EXISTS."""
    values = checked(
        {
            "partner_code": partner_code,
            "display_name": display_name,
            "requests_per_minute": requests_per_minute,
            "allowed_addresses": allowed_addresses,
            "activation_tolerance_basis_points": activation_tolerance_basis_points,
            "state": "ACTIVE",
        }
    )
    return await PARTNERS.create(tx, values, **by)


async def update_partner(
    tx: AsyncConnection, partner_code: str, values: Mapping[str, Any], **by: Unpack[By]
) -> Partner:
    """Changes the given fields. Raises INVALID_FIELD, NOT_FOUND, REVOKED."""
    before = await PARTNERS.lock_active(tx, partner_code)
    return await PARTNERS.change(tx, before, checked(values), **by)
