"""What holds for every method of AdminService: repeats, rights, unknown and taken names.

"Seen red" in a test says which guard was taken out, and that the test then failed.
"""

import asyncio
from typing import Any

import pytest
from sqlalchemy import func, select

from server.errors import Reason
from server.identity.models import audit_events
from tests.support.admin_office import (
    CHANGING,
    METHODS,
    OPERATOR,
    PASSWORD,
    VALID,
    Office,
    message,
    renamed,
    request_id,
    valid,
)

CREATING = [name for name in CHANGING if name.startswith("Create") and name != "CreatePartnerKey"]
AUDITED = select(func.count()).select_from(audit_events)

NAMES = {
    "UpdatePartner": "partner",
    "RevokePartner": "partner",
    "CreatePartnerKey": "partner",
    "UpdateMerchant": "merchant",
    "RevokeMerchant": "merchant",
    "UpdateVenue": "venue",
    "RevokeVenue": "venue",
    "UpdateTerminal": "terminal",
    "RevokeTerminal": "terminal",
    "UpdateOperator": "operator",
    "RevokeOperator": "operator",
    "RevokeAdministrator": "administrator",
    "UpdateProduct": "product",
    "ArchiveProduct": "product",
    "CreateAllotment": "product",
    "BlockTicket": "ticket",
    "UnblockTicket": "ticket",
    "GetPartner": "partner",
    "ListPartnerKeys": "partner",
    "GetMerchant": "merchant",
    "GetVenue": "venue",
    "GetTerminal": "terminal",
    "GetOperator": "operator",
    "GetProduct": "product",
}
"""What the first field of a method's request names."""

UNKNOWN: list[tuple[str, dict[str, Any], str, str | None]] = [
    ("CreateVenue", {"merchant_code": "NONE"}, "merchant", "NONE"),
    ("CreateTerminal", {"venue_code": "NONE"}, "venue", "NONE"),
    ("CreateOperator", {"merchant_code": "NONE"}, "merchant", "NONE"),
    ("CreateOperator", {"venue_codes": ["PIER", "NONE"]}, "venue", "NONE"),
    ("CreateOperator", {"venue_codes": ["SHOP"]}, "venue", "SHOP"),
    ("CreateAllotment", {"channel": "NONE"}, "partner", "NONE"),
    ("GetAllotment", {"channel": "NONE"}, "partner", "NONE"),
    ("GetAllotment", {"channel": "HK"}, "allotment", "106/HK"),
    ("UpdateAllotment", {"channel": "HK"}, "allotment", "106/HK"),
    ("UpdateAllotment", {"product_id": 107}, "allotment", "107/CP"),
    ("MoveAllotment", {"from_channel": "NONE"}, "partner", "NONE"),
    ("MoveAllotment", {"from_channel": "HK"}, "allotment", "106/HK"),
    ("MoveAllotment", {"to_channel": "HK"}, "allotment", "106/HK"),
    ("MoveAllotment", {"product_id": 107}, "allotment", "107/CP"),
    ("RevokePartnerKey", {"key_id": "none"}, "partner_key", "none"),
    ("RevokePartnerKey", {"partner_code": "HK"}, "partner_key", None),
    ("BlockTicket", {"ticket_code": "OTA-XX-20260301-000001"}, "ticket", None),
    ("BlockTicket", {"ticket_code": "DIR-CP-20260301-000001"}, "ticket", None),
    ("BlockTicket", {"ticket_code": "ORD-CP-20260301-000001"}, "ticket", None),
    ("BlockTicket", {"ticket_code": "no code"}, "ticket", "no code"),
    ("ListAllotments", {"channel": "NONE"}, "partner", "NONE"),
    ("RevokeOperator", {"username": "root"}, "operator", "root"),
    ("RevokeAdministrator", {"username": "olga"}, "administrator", "olga"),
]
"""Method, wrong fields, and what is not found."""


def test_every_method_is_tried() -> None:
    listing = {name for name in METHODS if name.startswith("List")} - {"ListPartnerKeys"}
    assert set(VALID) == METHODS.keys() - listing
    assert set(CHANGING) == {
        name for name in METHODS if not name.startswith(("Get", "List")) and name != "AdminLogin"
    }


# Repeats


@pytest.mark.parametrize("method", CHANGING)
async def test_repeat_gets_the_first_answer(office: Office, method: str) -> None:
    request = message(method, **await valid(office, method))
    first = await office.call(method, request)
    audited = await office.scalar(AUDITED)
    assert await office.call(method, request) == first
    assert await office.scalar(AUDITED) == audited


@pytest.mark.parametrize("method", CHANGING)
async def test_repeats_at_once_do_the_work_once(office: Office, method: str) -> None:
    """Seen red: with the key of the call written after the work, creations tell ALREADY_EXISTS."""
    alone = await _audited_by(office, method, calls=1)
    assert await _audited_by(office, method, calls=4) <= alone


async def _audited_by(office: Office, method: str, *, calls: int) -> int:
    request = message(method, **await valid(office, method))
    before = await office.scalar(AUDITED)
    first, *others = await asyncio.gather(*[office.call(method, request) for _ in range(calls)])
    assert all(answer == first for answer in others)
    return int(await office.scalar(AUDITED)) - before


async def test_request_id_with_other_content_is_refused(
    office: Office, subtests: pytest.Subtests
) -> None:
    for method in CHANGING:
        with subtests.test(method=method):
            fields = await valid(office, method) | {"request_id": request_id()}
            await office.reason(method, **fields)
