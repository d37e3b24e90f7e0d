"""What holds for every method of AdminService: repeats, rights, unknown and taken names.

"Seen red" in a test says which guard was taken out, and that the test then failed.
"""

import asyncio
from typing import Any

import pytest
from sqlalchemy import func, select

from server.audit.models import audit_events
from server.platform.errors import Reason
from tests.support import catalogue_calls, channel_calls
from tests.support.admin_client import (
    ASKING_WECHAT,
    CHANGING,
    METHODS,
    OPERATOR,
    PASSWORD,
    VALID,
    AdminClient,
    message,
    renamed,
    request_id,
    valid,
)

READING = ("Get", "List", "Search", "Download", "Export", "Preview", "Report", "Test")
WITHOUT_A_NAME = {"CreatePartnerKey", "CreateConfigDraft"}
CREATING = [name for name in CHANGING if name.startswith("Create") and name not in WITHOUT_A_NAME]
OF_TWO_WORDS = {"ChannelListing": "channel listing"}
OF_TWO_NAMES = {"Allotment": "106/HK", "ChannelListing": "EXP/NEW"}
AUDITED = select(func.count()).select_from(audit_events)

NAMES = {
    "UpdatePartner": "partner",
    "RevokePartner": "partner",
    "ArchivePartner": "partner",
    "UnarchivePartner": "partner",
    "CreatePartnerKey": "partner",
    "UpdateMerchant": "merchant",
    "RevokeMerchant": "merchant",
    "ArchiveMerchant": "merchant",
    "UnarchiveMerchant": "merchant",
    "UpdateVenue": "venue",
    "RevokeVenue": "venue",
    "ArchiveVenue": "venue",
    "UnarchiveVenue": "venue",
    "UpdateTerminal": "terminal",
    "RevokeTerminal": "terminal",
    "ArchiveTerminal": "terminal",
    "UnarchiveTerminal": "terminal",
    "UpdateOperator": "operator",
    "RevokeOperator": "operator",
    "ArchiveOperator": "operator",
    "UnarchiveOperator": "operator",
    "RevokeAdministrator": "administrator",
    "UpdateProduct": "product",
    "ArchiveProduct": "product",
    "CreateAllotment": "product",
    "BlockTicket": "ticket",
    "UnblockTicket": "ticket",
    "BlockTraveller": "traveller",
    "UnblockTraveller": "traveller",
    "SetRouteFares": "route",
    "UpdateConfigDraft": "config version",
    "DiscardConfigDraft": "config version",
    "GetConfigVersion": "config version",
    "PublishConfigVersion": "config version",
    "CancelScheduledVersion": "config version",
    "RollBackConfig": "config version",
    "PreviewConfigVersion": "config version",
    "RollBackChangeSet": "change set",
    "SetProductExamples": "product",
    "GetProductExamples": "product",
    "ResetSecondFactor": "administrator",
    "SetDepartureState": "departure",
    "SetDepartureStock": "departure",
    "MoveDeparture": "departure",
    "CancelDeparture": "departure",
    "GetDeparture": "departure",
    "GetDisruption": "disruption",
    "RebookDisruptionTickets": "disruption",
    "RefundDisruptionTickets": "disruption",
    "GetRefund": "refund",
    "GetOrder": "order",
    "GetTicket": "ticket",
    "GetPartner": "partner",
    "ListPartnerKeys": "partner",
    "GetMerchant": "merchant",
    "GetVenue": "venue",
    "GetTerminal": "terminal",
    "GetOperator": "operator",
    "GetAdministrator": "administrator",
    "GetQrKey": "qr_key",
    "GetProduct": "product",
    **catalogue_calls.NAMED,
    **channel_calls.NAMED,
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
    ("AdjustAllotment", {"from_channel": "NONE"}, "partner", "NONE"),
    ("AdjustAllotment", {"from_channel": "HK", "to_channel": "CP"}, "allotment", "106/HK"),
    ("SetAllotmentTerms", {"channel": "HK"}, "allotment", "106/HK"),
    ("ArchiveAllotment", {"channel": "HK"}, "allotment", "106/HK"),
    ("UnarchiveAllotment", {"channel": "HK"}, "allotment", "106/HK"),
    ("GetPartnerKey", {"key_id": "none"}, "partner_key", "none"),
    ("GetPartnerKey", {"partner_code": "HK"}, "partner_key", None),
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
    asking = {"ListPartnerKeys", "ListHolidays", "ListRouteFares", "ListFareCalendar"}
    by_itself = {"GetDashboard", "DownloadSalesReport", "DownloadRedemptionReport"}
    by_itself |= {"DownloadDisruption"}  # tests/aftersales have one
    by_itself |= {"TestChannel", "DownloadChannelDifferences"}  # and tests/channels
    listing = {name for name in METHODS if name.startswith(("List", "Search", "Report"))}
    listing -= asking | {"ListBlackoutDates"}
    assert set(VALID) == METHODS.keys() - listing - by_itself - ASKING_WECHAT
    assert set(CHANGING) | ASKING_WECHAT == {
        name for name in METHODS if not name.startswith(READING) and name != "AdminLogin"
    }


# Repeats


@pytest.mark.parametrize("method", CHANGING)
async def test_repeats_at_once_do_the_work_once(admin_client: AdminClient, method: str) -> None:
    request = message(method, **await valid(admin_client, method))
    audited = await admin_client.scalar(AUDITED)
    first, *others = await asyncio.gather(*[admin_client.call(method, request) for _ in range(4)])
    assert all(answer == first for answer in others)
    # of two channels each; of a feed its stops, routes and timetables, and itself
    of_two = dict.fromkeys(("MoveAllotment", "AdjustAllotment", "ArchiveAllotment"), 2)
    several = of_two | {"ImportGtfs": 3 + 3 + 7 + 1}
    rows = several.get(method, 1)
    assert await admin_client.scalar(AUDITED) == audited + rows


async def test_request_id_is_required(admin_client: AdminClient, subtests: pytest.Subtests) -> None:
    for method in CHANGING:
        with subtests.test(method=method):
            fields = await valid(admin_client, method, refused=True) | {"request_id": ""}
            refused = await admin_client.refused(method, **fields)
            assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, ("request_id",))


async def test_failed_call_is_not_remembered(admin_client: AdminClient) -> None:
    fields = VALID["CreateTerminal"] | {"venue_code": "LATER", "request_id": request_id()}
    assert await admin_client.reason("CreateTerminal", **fields) == Reason.NOT_FOUND
    await admin_client.do("CreateVenue", **VALID["CreateVenue"] | {"venue_code": "LATER"})
    assert await admin_client.reason("CreateTerminal", **fields) is None


# Rights


async def test_only_administrators_may_call(
    admin_client: AdminClient, subtests: pytest.Subtests
) -> None:
    callers = {
        "partner": (await admin_client.partner(), Reason.ROLE_NOT_ALLOWED),
        "operator": (await admin_client.operator(), Reason.ROLE_NOT_ALLOWED),
        "nobody": (admin_client.called_by(), Reason.UNAUTHENTICATED),
        "stranger": (
            admin_client.called_by(("authorization", "Bearer dta_0_0")),
            Reason.UNAUTHENTICATED,
        ),
    }
    for method in METHODS.keys() - {"AdminLogin"}:
        fields = await valid(admin_client, method, refused=True)
        for who, (caller, reason) in callers.items():
            with subtests.test(method=method, who=who):
                assert await caller.reason(method, **fields) == reason
                # and before anything is said about the request
                assert await caller.reason(method) == reason


async def test_log_in(admin_client: AdminClient) -> None:
    second = await admin_client.log_in("second")
    assert (await second.do("GetPartner", partner_code="CP")).partner.partner_code == "CP"
    for username, password in (("second", "wrong"), ("olga", PASSWORD), ("nobody", PASSWORD)):
        reason = await admin_client.reason("AdminLogin", username=username, password=password)
        assert reason == Reason.LOGIN_FAILED


# Unknown and taken names


async def test_unknown_name(admin_client: AdminClient, subtests: pytest.Subtests) -> None:
    for method, resource in NAMES.items():
        with subtests.test(method=method):
            fields = renamed(method, await valid(admin_client, method, refused=True))
            refused = await admin_client.refused(method, **fields)
            name = str(fields[METHODS[method].input_type.fields[0].name])
            assert refused.reason == Reason.NOT_FOUND
            assert refused.metadata == {"resource": resource, "name": name}


async def test_unknown_reference(admin_client: AdminClient, subtests: pytest.Subtests) -> None:
    for method, wrong, resource, name in UNKNOWN:
        with subtests.test(method=method, wrong=wrong):
            refused = await admin_client.refused(
                method, **await valid(admin_client, method, refused=True) | wrong
            )
            assert (refused.reason, refused.metadata["resource"]) == (Reason.NOT_FOUND, resource)
            assert name is None or refused.metadata["name"] == name


@pytest.mark.parametrize("method", CREATING)
async def test_created_twice(admin_client: AdminClient, method: str) -> None:
    fields = await valid(admin_client, method)
    await admin_client.do(method, **fields)
    refused = await admin_client.refused(method, **fields)
    noun = method.removeprefix("Create")
    resource = OF_TWO_WORDS.get(noun) or catalogue_calls.RESOURCES.get(noun, noun.lower())
    name = OF_TWO_NAMES.get(noun) or str(next(iter(fields.values())))
    assert refused.reason == Reason.ALREADY_EXISTS
    assert refused.metadata == {"resource": resource, "name": name}


@pytest.mark.parametrize("method", CREATING)
async def test_created_by_several_at_once(admin_client: AdminClient, method: str) -> None:
    """Seen red: with a plain INSERT the others get CONFLICT, which does not say what
    exists.
    """
    fields = await valid(admin_client, method)
    reasons = await asyncio.gather(*[admin_client.reason(method, **fields) for _ in range(5)])
    assert sorted(reasons, key=str) == [Reason.ALREADY_EXISTS] * 4 + [None]


async def test_names_of_accounts_are_shared(admin_client: AdminClient) -> None:
    reason = await admin_client.reason("CreateOperator", username="root", **OPERATOR)
    assert reason == Reason.ALREADY_EXISTS
