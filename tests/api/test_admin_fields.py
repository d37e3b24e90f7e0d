"""What the fields of AdminService's requests may hold, and which of them an update changes."""

from typing import Any

import pytest
from deeptravel.admin.v1 import account_pb2, product_pb2, state_pb2
from deeptravel.tickets.v1.ticket_pb2 import CUSTOMER_TYPE_ADULT
from google.protobuf.field_mask_pb2 import FieldMask

from server.platform.errors import Reason
from tests.support.admin_client import (
    ADULT,
    CHANGING,
    FERRY,
    METHODS,
    PRODUCT,
    TOKENS,
    VALID,
    AdminClient,
    valid,
)
from tests.support.rpc_server import refusal

UPDATING = [name for name in CHANGING if "update_mask" in METHODS[name].input_type.fields_by_name]
UNCHANGEABLE = ["", "create_time", "state", "no_such_field", "*", "request_id", "update_mask"]

WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("CreatePartner", {"partner_code": "DIRECT"}, "partner_code"),
    ("CreatePartner", {"partner_code": "DT"}, "partner_code"),
    ("CreatePartner", {"partner_code": "cp"}, "partner_code"),
    ("CreatePartner", {"partner_code": "A-B"}, "partner_code"),
    ("CreatePartner", {"partner_code": "ABCDEFGHIJKLM"}, "partner_code"),
    ("CreatePartner", {"display_name": ""}, "display_name"),
    ("CreatePartner", {"requests_per_minute": -1}, "requests_per_minute"),
    (
        "CreatePartner",
        {"activation_tolerance_basis_points": 10_001},
        "activation_tolerance_basis_points",
    ),
    (
        "CreatePartner",
        {"activation_tolerance_basis_points": -1},
        "activation_tolerance_basis_points",
    ),
    ("CreatePartner", {"allowed_addresses": ["10.0.0.1/8"]}, "allowed_addresses[0]"),
    (
        "CreatePartner",
        {"allowed_addresses": ["10.0.0.1", "somewhere"]},
        "allowed_addresses[1]",
    ),
    ("CreatePartner", {"allowed_addresses": ["10.0.0.1", "10.0.0.1"]}, "allowed_addresses"),
    ("CreateMerchant", {"merchant_code": "a"}, "merchant_code"),
    ("CreateMerchant", {"merchant_code": "A" * 33}, "merchant_code"),
    ("CreateMerchant", {"function_codes": []}, "function_codes"),
    ("CreateMerchant", {"function_codes": ["Ferry"]}, "function_codes"),
    ("CreateMerchant", {"function_codes": ["1st"]}, "function_codes"),
    ("CreateMerchant", {"function_codes": ["ferry", "ferry"]}, "function_codes"),
    ("CreateMerchant", {"reversal_window_seconds": -1}, "reversal_window_seconds"),
    ("CreateVenue", {"time_zone": "Hong Kong"}, "time_zone"),
    ("CreateVenue", {"time_zone": "Asia"}, "time_zone"),
    ("CreateVenue", {"time_zone": "../UTC"}, "time_zone"),
    ("CreateVenue", {"function_codes": ["tokens"]}, "function_codes"),
    ("CreateTerminal", {"terminal_device_id": "T 1"}, "terminal_device_id"),
    ("CreateTerminal", {"terminal_device_id": "T/1"}, "terminal_device_id"),
    ("CreateOperator", {"username": "Olga"}, "username"),
    ("CreateOperator", {"password": "elevenchars"}, "password"),
    ("CreateOperator", {"password": "x" * 257}, "password"),
    ("CreateOperator", {"role": 0}, "role"),
    ("CreateOperator", {"role": 9}, "role"),
    ("CreateOperator", {"venue_codes": ["PIER", "PIER"]}, "venue_codes"),
    ("CreateAdministrator", {"password": "elevenchars"}, "password"),
    ("CreateProduct", {"product_id": 0}, "product_id"),
    ("CreateProduct", {"kind": 0}, "kind"),
    ("CreateProduct", {"currency_code": "HK"}, "currency_code"),
    ("CreateProduct", {"currency_code": "hkd"}, "currency_code"),
    ("CreateProduct", {"fares": []}, "fares"),
    ("CreateProduct", {"fares": [ADULT, ADULT]}, "fares"),
    (
        "CreateProduct",
        {"fares": [product_pb2.Fare(customer_type=CUSTOMER_TYPE_ADULT, day_type="Weekday")]},
        "fares[0].day_type",
    ),
    (
        "CreateProduct",
        {"fares": [product_pb2.Fare(day_type="weekday")]},
        "fares[0].customer_type",
    ),
    (
        "CreateProduct",
        {
            "fares": [
                product_pb2.Fare(
                    customer_type=CUSTOMER_TYPE_ADULT, day_type="weekday", amount_minor=-1
                )
            ]
        },
        "fares[0].amount_minor",
    ),
    ("CreateProduct", {"entitlements": []}, "entitlements"),
    ("CreateProduct", {"entitlements": [FERRY, TOKENS, FERRY]}, "entitlements"),
    (
        "CreateProduct",
        {
            "entitlements": [
                product_pb2.ProductEntitlement(
                    function_code="ferry", display_name_en="F", display_name_zh="渡"
                )
            ]
        },
        "entitlements[0].total_uses",
    ),
    ("CreateProduct", {"validity_days": 0}, "validity_days"),
    ("CreateProduct", {"validity_days": 4000}, "validity_days"),
    ("CreateProduct", {"blackout_dates": ["2026-02-30"]}, "blackout_dates[0]"),
    ("CreateProduct", {"blackout_dates": ["20260101"]}, "blackout_dates"),
    ("CreateProduct", {"blackout_dates": ["2026-01-01"] * 2}, "blackout_dates"),
    ("CreateAllotment", {"total": -1}, "total"),
    ("UpdateAllotment", {"total": -1}, "total"),
    ("MoveAllotment", {"quantity": 0}, "quantity"),
    ("MoveAllotment", {"to_channel": "CP"}, "to_channel"),
    ("MoveAllotment", {"quantity": -5}, "quantity"),
    ("BlockTicket", {"comment": ""}, "comment"),
    (
        "UpdateProduct",
        {"fares": [ADULT, ADULT], "update_mask": "fares"},
        "fares",
    ),
    ("UpdateProduct", {"entitlements": [], "update_mask": "entitlements"}, "entitlements"),
    ("UpdateVenue", {"time_zone": "Mars", "update_mask": "time_zone"}, "time_zone"),
    (
        "UpdateVenue",
        {"function_codes": ["tokens"], "update_mask": "function_codes"},
        "function_codes",
    ),
    ("UpdateOperator", {"locked": True, "update_mask": "locked"}, "locked"),
    ("UpdateOperator", {"password": "short", "update_mask": "password"}, "password"),
]
"""Method, wrong fields, and the field that is named."""


async def test_wrong_field(admin_client: AdminClient, subtests: pytest.Subtests) -> None:
    for method, fields, field in WRONG:
        with subtests.test(method=method, wrong=fields):
            refused = await admin_client.refused(
                method, **await valid(admin_client, method) | fields
            )
            assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, (field,))


async def test_every_fault_is_listed(admin_client: AdminClient) -> None:
    fields = VALID["CreateProduct"] | {
        "fares": [ADULT, ADULT],
        "entitlements": [FERRY, FERRY],
        "blackout_dates": ["2026-02-30"],
    }
    refused = await admin_client.refused("CreateProduct", **fields)
    assert refused.fields == ("fares", "entitlements", "blackout_dates[0]")


async def test_defaults(admin_client: AdminClient) -> None:
    created = (await admin_client.do("CreatePartner", partner_code="C", display_name="C")).partner
    assert created.requests_per_minute == 100
    assert created.activation_tolerance_basis_points == 0
    assert created.allowed_addresses == []
    assert created.state == state_pb2.RESOURCE_STATE_ACTIVE
    fields = {"display_name": "M", "function_codes": ["ferry"]}
    usual = await admin_client.do("CreateMerchant", merchant_code="M", **fields)
    assert usual.merchant.reversal_window_seconds == 900
    never = await admin_client.do(
        "CreateMerchant", merchant_code="N", **fields, reversal_window_seconds=0
    )
    assert never.merchant.reversal_window_seconds == 0


async def test_product_is_read_as_created(admin_client: AdminClient) -> None:
    product = (await admin_client.do("CreateProduct", product_id=1, **PRODUCT)).product
    ferry, tokens = product.entitlements
    assert (ferry.use_mode, ferry.guard_seconds) == (product_pb2.USE_MODE_ONCE_PER_QR, 60)
    assert (tokens.use_mode, tokens.guard_seconds) == (product_pb2.USE_MODE_MULTI_USE, 5)
    assert ferry.rotating_code == product_pb2.ROTATING_CODE_NONE
    assert tokens.display_name_zh == "代币"
    assert product.display_name_zh == "尊享套票"
    assert product.fares == [ADULT]
    assert product.blackout_dates == ["2026-02-17", "2026-12-25"]
    assert product.kind == product_pb2.PRODUCT_KIND_PACKAGE
    assert product.state == product_pb2.PRODUCT_STATE_ACTIVE
    assert (await admin_client.do("GetProduct", product_id=1)).product == product


# Updates


async def test_mask_that_names_what_cannot_change(
    admin_client: AdminClient, subtests: pytest.Subtests
) -> None:
    for method in UPDATING:
        fields = await valid(admin_client, method)
        for path in [*UNCHANGEABLE, METHODS[method].input_type.fields[0].name]:
            with subtests.test(method=method, path=path):
                mask = FieldMask(paths=path.split())
                refused = await admin_client.refused(method, **fields | {"update_mask": mask})
                assert (refused.reason, refused.fields) == (
                    Reason.INVALID_FIELD,
                    ("update_mask",),
                )


async def test_mask_and_values_are_required(
    admin_client: AdminClient, subtests: pytest.Subtests
) -> None:
    for method in UPDATING:
        with subtests.test(method=method):
            fields = await valid(admin_client, method)
            path = fields.pop("update_mask")
            assert (await admin_client.refused(method, **fields)).fields == ("update_mask",)
            del fields[path]
            refused = await admin_client.refused(method, **fields, update_mask=path)
            assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, (path,))


async def test_update_changes_what_the_mask_names_and_nothing_else(
    admin_client: AdminClient,
) -> None:
    before = (await admin_client.do("GetPartner", partner_code="CP")).partner
    answer = await admin_client.do(
        "UpdatePartner",
        partner_code="CP",
        display_name="ignored",
        requests_per_minute=7,
        allowed_addresses=["203.0.113.0/24", "2001:db8::1"],
        update_mask="requests_per_minute allowed_addresses",
    )
    after = answer.partner
    assert after.display_name == before.display_name
    assert after.requests_per_minute == 7
    assert after.allowed_addresses == ["203.0.113.0/24", "2001:db8::1"]
    assert after.update_time.ToNanoseconds() > before.update_time.ToNanoseconds()
    assert after.create_time == before.create_time
    mask = "activation_tolerance_basis_points"
    for tolerance in (500, 0):
        changed = await admin_client.do(
            "UpdatePartner",
            partner_code="CP",
            activation_tolerance_basis_points=tolerance,
            update_mask=mask,
        )
        assert changed.partner.activation_tolerance_basis_points == tolerance
    emptied = await admin_client.do(
        "UpdatePartner", partner_code="CP", update_mask="allowed_addresses"
    )
    assert emptied.partner.allowed_addresses == []
    assert (await admin_client.do("GetPartner", partner_code="CP")).partner == emptied.partner


CHANGED: list[tuple[str, dict[str, Any]]] = [
    ("UpdateMerchant", {"function_codes": ["gift"], "reversal_window_seconds": 0}),
    ("UpdateMerchant", {"offline_pack_seconds": 300, "offline_over_admission": True}),
    ("UpdateMerchant", {"offline_clock_seconds": 0, "offline_bears_refunds": True}),
    ("UpdateMerchant", {"function_codes": []}),
    ("UpdateVenue", {"time_zone": "Asia/Macau", "function_codes": []}),
    ("UpdateVenue", {"offline_pack_seconds": 300, "offline_over_admission": False}),
    ("UpdateVenue", {"offline_clock_seconds": 0, "offline_bears_refunds": True}),
    ("UpdateTerminal", {"venue_code": "QUAY"}),
    (
        "UpdateOperator",
        {"role": account_pb2.OPERATOR_ROLE_SUPERVISOR, "venue_codes": ["QUAY", "PIER"]},
    ),
    (
        "UpdateProduct",
        {"display_name_en": "Deluxe", "fares": [ADULT], "entitlements": [TOKENS]},
    ),
    ("UpdateProduct", {"display_name_zh": "豪华", "blackout_dates": ["2026-01-01"]}),
]


async def test_changes_are_read_back(admin_client: AdminClient, subtests: pytest.Subtests) -> None:
    for method, fields in CHANGED:
        with subtests.test(method=method, fields=fields):
            name = METHODS[method].input_type.fields[0].name
            key = {name: VALID[method][name]}
            noun = method.removeprefix("Update")
            answer = await admin_client.do(method, **key, **fields, update_mask=" ".join(fields))
            record = getattr(answer, noun.lower())
            for field, value in fields.items():
                assert getattr(record, field) == value
            assert getattr(await admin_client.do(f"Get{noun}", **key), noun.lower()) == record


async def test_a_venue_leaves_its_policy_to_the_merchant_again(admin_client: AdminClient) -> None:
    """By what the mask names and the request has not; of other fields that is a fault."""
    policy = {"offline_pack_seconds": 600, "offline_bears_refunds": False}
    mask = " ".join(policy)
    answer = await admin_client.do("UpdateVenue", venue_code="PIER", **policy, update_mask=mask)
    assert all(answer.venue.HasField(name) for name in policy)
    assert not answer.venue.HasField("offline_clock_seconds")
    kept = {"offline_bears_refunds": True}
    answer = await admin_client.do("UpdateVenue", venue_code="PIER", **kept, update_mask=mask)
    assert not answer.venue.HasField("offline_pack_seconds")
    assert answer.venue.offline_bears_refunds
    found = await admin_client.do("ListAuditEvents", resource="venue", name="PIER")
    newest = found.audit_events[0]
    assert (newest.before["offline_pack_seconds"], newest.after["offline_pack_seconds"]) == (
        600,
        None,
    )
    answer = await admin_client.do("UpdateVenue", venue_code="PIER", update_mask=mask)
    assert not any(answer.venue.HasField(name) for name in policy)
    refused = await refusal(
        admin_client.do("UpdateMerchant", merchant_code="M", update_mask="offline_pack_seconds")
    )
    assert refused.reason == Reason.INVALID_FIELD
