"""Partners, merchants, venues, terminals and operators that are archived, and taken back."""

from typing import Any

import pytest
from deeptravel.admin.v1 import state_pb2
from sqlalchemy import func, select

from server.audit.models import audit_events
from server.platform.errors import DomainError, Reason
from tests.support.admin_client import VALID, AdminClient, Headers
from tests.support.waiting import becomes

NOT_AN_ADMIN = Reason.ROLE_NOT_ALLOWED
"""The reason a caller gets who is known, but may not call AdminService."""


async def headers_of(admin_client: AdminClient, who: str) -> Headers:
    caller: AdminClient = await getattr(admin_client, who)()
    return caller.headers


@pytest.mark.parametrize(
    ("noun", "fields", "who", "stays"),
    [
        ("Partner", {"partner_code": "CP"}, "partner", None),
        ("Merchant", {"merchant_code": "FERRIES"}, "operator", Reason.UNAUTHENTICATED),
        ("Venue", {"venue_code": "PIER"}, "operator", Reason.UNAUTHENTICATED),
        ("Terminal", {"terminal_device_id": "T-1"}, "operator", Reason.UNAUTHENTICATED),
        ("Operator", {"username": "olga"}, "operator", Reason.UNAUTHENTICATED),
    ],
)
async def test_archived_is_shut_out_everywhere_and_comes_back(
    admin_client: AdminClient,
    other_admin_client: AdminClient,
    noun: str,
    fields: dict[str, Any],
    who: str,
    stays: Reason | None,
) -> None:
    """A partner's keys work again, a log-in of before does not: one logs in anew. Seen red without
    `end_logins_where`: the token of before was good again.
    """
    headers = await headers_of(admin_client, who)
    here, there = admin_client.called_by(*headers), other_admin_client.called_by(*headers)
    for process in (here, there):
        assert await process.reason("ListPartners") == NOT_AN_ADMIN
    await admin_client.do(f"Archive{noun}", **fields)
    for process in (there, here):
        await becomes(Reason.UNAUTHENTICATED, lambda: process.reason("ListPartners"))  # noqa: B023
    if stays:
        with pytest.raises(DomainError) as refused:
            await headers_of(admin_client, who)
        assert refused.value.reason == Reason.LOGIN_FAILED
    await admin_client.do(f"Unarchive{noun}", **fields)
    for process in (there, here):
        await becomes(stays or NOT_AN_ADMIN, lambda: process.reason("ListPartners"))  # noqa: B023
    fresh = admin_client.called_by(*await headers_of(admin_client, who))
    assert await fresh.reason("ListPartners") == NOT_AN_ADMIN


async def test_archived_is_kept_and_taken_back(
    admin_client: AdminClient, subtests: pytest.Subtests
) -> None:
    """Once each, audited, by version, and listed by state; nothing comes back below what is
    archived.
    """
    events = select(func.count()).select_from(audit_events)
    nouns = ("Terminal", "Operator", "Venue", "Merchant", "Partner")
    for noun in nouns:
        with subtests.test(noun=noun):
            fields = VALID[f"Archive{noun}"]
            version = getattr(await admin_client.do(f"Get{noun}", **fields), noun.lower()).version
            archived = await admin_client.do(f"Archive{noun}", **fields, version=version)
            record = getattr(archived, noun.lower())
            assert record.state == state_pb2.RESOURCE_STATE_ARCHIVED
            assert record.version == version + 1
            audited = await admin_client.scalar(events)
            assert await admin_client.do(f"Archive{noun}", **fields) == archived
            assert await admin_client.scalar(events) == audited
            late = await admin_client.reason(f"Unarchive{noun}", **fields, version=version)
            assert late == Reason.VERSION_MISMATCH
            listed = await admin_client.do(f"List{noun}s", state=state_pb2.RESOURCE_STATE_ARCHIVED)
            assert list(getattr(listed, f"{noun.lower()}s")) == [record]
    for noun in ("Terminal", "Operator", "Venue"):
        refused = await admin_client.refused(f"Unarchive{noun}", **VALID[f"Unarchive{noun}"])
        assert refused.reason == Reason.ARCHIVED
        assert refused.metadata["resource"] in ("venue", "merchant")
    for noun in reversed(nouns):
        back = await admin_client.do(f"Unarchive{noun}", **VALID[f"Unarchive{noun}"])
        assert getattr(back, noun.lower()).state == state_pb2.RESOURCE_STATE_ACTIVE
        (name,) = VALID[f"Unarchive{noun}"].values()
        actions = [each.action for each in await admin_client.trail(noun.lower(), name)]
        assert actions[:2] == ["unarchive", "archive"]
