"""The records of partners."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict, Unpack

from sqlalchemy import case, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By, Records, checked
from server.parties.models import partners
from server.parties.rules import LIVE, SANDBOX_PREFIX, TEST, sandbox_codes, sandbox_id
from server.platform.change_feed import ChangeKind
from server.platform.errors import DomainError, Reason, invalid

DEFAULT_REQUESTS_PER_MINUTE = 100


FOLLOWED = ("requests_per_minute", "allowed_addresses", "activation_tolerance_basis_points")
"""What a sandbox has of its partner at any time."""


@dataclass(frozen=True, slots=True)
class PartnerRecord:
    """An OTA partner, or the sandbox of one: `mode` is LIVE or TEST.

    `sandbox_partner_code` is the code of a partner's sandbox, `live_partner_code` that of a
    sandbox's partner; None where there is none.
    """

    partner_id: int
    partner_code: str
    display_name: str
    requests_per_minute: int
    allowed_addresses: list[str]
    activation_tolerance_basis_points: int
    state: str
    create_time: datetime
    update_time: datetime
    mode: str
    sandbox_partner_code: str | None
    live_partner_code: str | None
    version: int


class NewPartner(TypedDict):
    """The fields of a new partner."""

    partner_code: str
    display_name: str
    requests_per_minute: int
    allowed_addresses: Sequence[str]
    activation_tolerance_basis_points: int


_LIVE, _SANDBOX = partners.alias("live"), partners.alias("sandbox")
PARTNERS = Records(
    "partner",
    partners.c.partner_code,
    select(
        *(each for each in partners.c if each.name != "sandbox_of"),
        case((partners.c.sandbox_of.is_(None), LIVE), else_=TEST).label("mode"),
        _SANDBOX.c.partner_code.label("sandbox_partner_code"),
        _LIVE.c.partner_code.label("live_partner_code"),
    )
    .outerjoin(_LIVE, _LIVE.c.partner_id == partners.c.sandbox_of)
    .outerjoin(_SANDBOX, _SANDBOX.c.sandbox_of == partners.c.partner_id),
    PartnerRecord,
    ChangeKind.PARTNER,
)


async def create_partner(
    tx: AsyncConnection, partner: NewPartner, **by: Unpack[By]
) -> PartnerRecord:
    """A new partner, without keys or stock. Raises INVALID_FIELD, ALREADY_EXISTS."""
    if partner["partner_code"].startswith(SANDBOX_PREFIX):
        raise invalid("partner_code", f"the codes of sandboxes begin with {SANDBOX_PREFIX}")
    return await PARTNERS.create(tx, checked({**partner, "state": "ACTIVE"}), **by)


async def update_partner(
    tx: AsyncConnection, partner_code: str, values: Mapping[str, Any], **by: Unpack[By]
) -> PartnerRecord:
    """Changes the given fields, and of its sandbox those that are FOLLOWED. Raises INVALID_FIELD,
    also for a sandbox, NOT_FOUND, REVOKED.
    """
    before = await PARTNERS.lock_active(tx, partner_code)
    refuse_sandbox(before, "it has what its partner has; change that one")
    after = await PARTNERS.change(tx, before, checked(values), **by)
    followed = {name: values[name] for name in FOLLOWED if name in values}
    sandbox = await find_sandbox(tx, partner_code)
    if sandbox and followed:
        await PARTNERS.change(tx, sandbox, followed, **by)
    return after


async def revoke_partner(tx: AsyncConnection, partner_code: str, **by: Unpack[By]) -> PartnerRecord:
    """Revokes a partner with its sandbox, for good; a repeat changes nothing. Raises NOT_FOUND,
    INVALID_FIELD for a sandbox.
    """
    refuse_sandbox(await PARTNERS.lock(tx, partner_code), "revoke its keys, or its partner")
    revoked = await PARTNERS.revoke(tx, partner_code, **by)
    if sandbox := await find_sandbox(tx, partner_code):
        await PARTNERS.revoke(tx, sandbox.partner_code, **by)
    return revoked


async def archive_partner(
    tx: AsyncConnection, partner_code: str, **by: Unpack[By]
) -> PartnerRecord:
    """Shuts a partner out with its sandbox until it is taken back; a repeat changes nothing. Raises
    NOT_FOUND, REVOKED, INVALID_FIELD for a sandbox.
    """
    refuse_sandbox(await PARTNERS.lock(tx, partner_code), "archive its partner")
    archived = await PARTNERS.archive(tx, partner_code, **by)
    if sandbox := await find_sandbox(tx, partner_code):
        await PARTNERS.archive(tx, sandbox.partner_code, **by)
    return archived


async def unarchive_partner(
    tx: AsyncConnection, partner_code: str, **by: Unpack[By]
) -> PartnerRecord:
    """Takes an archived partner back with its sandbox; a repeat changes nothing. Raises as
    `archive_partner`.
    """
    refuse_sandbox(await PARTNERS.lock(tx, partner_code), "unarchive its partner")
    active = await PARTNERS.unarchive(tx, partner_code, **by)
    if sandbox := await find_sandbox(tx, partner_code):
        await PARTNERS.unarchive(tx, sandbox.partner_code, **by)
    return active


async def find_sandbox(tx: AsyncConnection, partner_code: str) -> PartnerRecord | None:
    """The sandbox of a partner, locked until the end of the transaction; None if it has none.
    Raises NOT_FOUND.
    """
    # read after the lock on the partner's row, which a caller has: one that waited for it may have
    # been overtaken by whoever made the sandbox
    partner = await PARTNERS.get(tx, partner_code)
    if partner.sandbox_partner_code is None:
        return None
    return await PARTNERS.lock(tx, partner.sandbox_partner_code)


async def open_sandbox(
    tx: AsyncConnection, partner_code: str, **by: Unpack[By]
) -> tuple[PartnerRecord, bool]:
    """The sandbox of a partner, and whether it is new: made if it has none. Raises NOT_FOUND,
    REVOKED, INVALID_FIELD for a sandbox.
    """
    live = await PARTNERS.lock_active(tx, partner_code)
    refuse_sandbox(live, "name its partner")
    if found := await find_sandbox(tx, partner_code):
        return found, False
    values = {name: getattr(live, name) for name in FOLLOWED} | {
        "partner_id": sandbox_id(live.partner_id),
        "sandbox_of": live.partner_id,
        "display_name": f"{live.display_name} (TEST)",
        "state": "ACTIVE",
    }
    for code in sandbox_codes(live.partner_id, live.partner_code):
        try:
            return await PARTNERS.create(tx, values | {"partner_code": code}, **by), True
        except DomainError as error:  # of an older partner
            if error.reason is not Reason.ALREADY_EXISTS:
                raise
    raise AssertionError("a code of its number is free")


def refuse_sandbox(partner: PartnerRecord, remedy: str) -> None:
    """Raises INVALID_FIELD for a sandbox, with what to do instead."""
    if partner.live_partner_code is not None:
        raise invalid(
            "partner_code",
            f"{partner.partner_code} is the sandbox of {partner.live_partner_code}: {remedy}",
        )
