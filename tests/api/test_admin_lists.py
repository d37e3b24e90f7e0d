"""The trail of administrators' changes, and AdminService's lists by page and filter."""

from typing import Any

import pytest
from deeptravel.admin.v1 import account_pb2, product_pb2, state_pb2
from google.protobuf.json_format import MessageToDict
from sqlalchemy import func, select

from server.audit.models import audit_events
from server.identity.models import partner_keys
from server.platform.errors import Reason
from tests.support import timetable
from tests.support.admin_client import ADULT, OPERATOR, PASSWORD, VALID, AdminClient
from tests.support.admin_rows import BLOCKED_TRAVELLER, DEPARTURE, DEPARTURE_DAY, TRAVELLER

NEW_PASSWORD = "another twelve characters"

# The trail


async def test_trail_tells_who_what_before_and_after(admin_client: AdminClient) -> None:
    second = await admin_client.log_in("second")
    fields = {"partner_code": "CP", "requests_per_minute": 7, "update_mask": "requests_per_minute"}
    answer = await second.do("UpdatePartner", **fields)
    updated, created = await admin_client.trail("partner", "CP")
    assert (created.action, created.actor) == ("create", "admin:root")
    assert not created.HasField("before")
    assert created.after["display_name"] == "Central Pier Travel"
    assert (updated.action, updated.actor) == ("update", "admin:second")
    assert (updated.before["requests_per_minute"], updated.after["requests_per_minute"]) == (100, 7)
    changed = {
        key for key, value in updated.after.items() if updated.before.fields[key] != value
    } - {"update_time"}
    assert "requests_per_minute" in changed
    assert updated.occurred_time == answer.partner.update_time


async def test_product_in_the_trail(admin_client: AdminClient) -> None:
    await admin_client.do("UpdateProduct", product_id=106, fares=[ADULT], update_mask="fares")
    updated, _ = await admin_client.trail("product", "106")
    after = MessageToDict(updated.after)
    assert after["fares"] == [
        {"customer_type": "ADULT", "day_type": "weekday", "amount_minor": 28000}
    ]
    assert after["blackout_dates"] == ["2026-02-17", "2026-12-25"]
    assert after["entitlements"][1]["function_code"] == "tokens"


async def test_trail_of_a_move_names_both(admin_client: AdminClient) -> None:
    await admin_client.do("MoveAllotment", **VALID["MoveAllotment"])
    for name, total in (("106/CP", 1990), ("106/DIRECT", 110)):
        moved = (await admin_client.trail("allotment", name))[0]
        assert (moved.action, moved.after["total"]) == ("move", total)


async def test_no_secret_is_kept(admin_client: AdminClient) -> None:
    """Of keys and passwords only hashes are stored, and neither is in the trail; stored answers
    are encrypted.
    """
    key = await admin_client.do("CreatePartnerKey", partner_code="CP")
    await admin_client.do(
        "UpdateOperator", username="olga", password=NEW_PASSWORD, update_mask="password"
    )
    newest = (await admin_client.trail("operator", "olga"))[0]
    assert newest.after["password"] == "(not recorded)"
    secret = key.api_key.rsplit("_", 1)[1]
    hashed = await admin_client.scalar(
        select(partner_keys.c.secret_hash).where(partner_keys.c.key_id == key.key.key_id)
    )
    hidden = [secret, hashed.hex(), PASSWORD, NEW_PASSWORD, "$argon2"]
    async with admin_client.node.db.transaction() as tx:
        tables = ("audit_events", "partner_keys", "accounts", "idempotency_records")
        for table in tables:
            for row in await tx.exec_driver_sql(f"SELECT * FROM {table}"):
                content = "".join(
                    f"{value!r}{bytes(value)!r}" if isinstance(value, bytes) else repr(value)
                    for name, value in row._mapping.items()
                    if name not in ("password_hash", "secret_hash")
                )
                assert not [word for word in hidden if word in content], table


async def test_trail_by_page_and_filter(admin_client: AdminClient) -> None:
    everything: list[Any] = []
    token = ""
    while True:
        page = await admin_client.do("ListAuditEvents", page_size=4, page_token=token)
        everything += page.audit_events
        token = page.next_page_token
        if not token:
            break
        assert len(page.audit_events) == 4
    assert len(everything) == await admin_client.scalar(
        select(func.count()).select_from(audit_events)
    )
    assert len({event.audit_id for event in everything}) == len(everything)
    moments = [event.occurred_time.ToNanoseconds() for event in everything]
    assert moments == sorted(moments, reverse=True)

    middle = everything[len(everything) // 2].occurred_time
    later = await admin_client.do("ListAuditEvents", time_from=middle, page_size=200)
    earlier = await admin_client.do("ListAuditEvents", time_until=middle, page_size=200)
    assert [*later.audit_events, *earlier.audit_events] == everything
    by_actor = await admin_client.do("ListAuditEvents", actor="admin:root", page_size=200)
    assert list(by_actor.audit_events) == everything
    nobody = await admin_client.do("ListAuditEvents", actor="admin:nobody")
    assert not nobody.audit_events
    venues = await admin_client.do("ListAuditEvents", resource="venue")
    assert {event.name for event in venues.audit_events} == {"PIER", "QUAY", "SHOP"}


# Lists


PAGES: list[tuple[str, dict[str, Any], list[str]]] = [
    ("ListPartners", {}, ["CP", "HK"]),
    ("ListChannels", {}, ["EXP", "KAYAK"]),
    ("ListChannels", {"vendor_code": "kayak"}, ["KAYAK"]),
    ("ListMerchants", {}, ["FERRIES", "SHOPS"]),
    ("ListVenues", {}, ["PIER", "QUAY", "SHOP"]),
    ("ListVenues", {"merchant_code": "FERRIES"}, ["PIER", "QUAY"]),
    ("ListVenues", {"merchant_code": "NONE"}, []),
    ("ListTerminals", {"venue_code": "PIER"}, ["T-1"]),
    ("ListTerminals", {"venue_code": "QUAY"}, []),
    ("ListOperators", {"merchant_code": "FERRIES"}, ["olga"]),
    ("ListOperators", {"role": account_pb2.OPERATOR_ROLE_SUPERVISOR}, ["sam"]),
    ("ListOperators", {}, ["olga", "sam"]),
    ("ListAdministrators", {}, ["root", "second"]),
    ("ListProducts", {"kind": product_pb2.PRODUCT_KIND_PACKAGE}, ["106", "950"]),
    ("ListProducts", {"state": product_pb2.PRODUCT_STATE_ARCHIVED}, ["950"]),
    (
        "ListProducts",
        {},
        ["106", str(timetable.TRAIN), "950", "1301", "1304", "1306", "1308"],
    ),
    ("ListCarCategories", {"category_code": "ECONOMY"}, ["1301", "1304", "1306"]),
    ("ListCarCategories", {"state": state_pb2.CATALOGUE_STATE_ARCHIVED}, ["1306"]),
    ("ListRentalLocations", {"city_code": "HKG"}, ["10", "20", "30"]),
    ("ListRentalExtras", {}, ["10", "20", "30"]),
    ("ListRentalFleets", {"product_id": 1304}, ["33"]),
    ("ListRentalFleets", {"location_id": 10}, ["31", "33"]),
    ("ListRoutes", {}, ["11"]),
    ("ListRoutes", {"state": state_pb2.CATALOGUE_STATE_ARCHIVED}, ["20"]),
    ("ListRoutes", {"product_id": 999}, []),
    ("ListCities", {}, ["HKG", "MFM", "OLD", "SZX"]),
    ("ListCities", {"state": state_pb2.CATALOGUE_STATE_ARCHIVED}, ["OLD"]),
    ("ListStops", {"city_code": "HKG"}, ["OLD", "TAIPA", "XJA"]),
    ("ListTimetables", {"route_id": 11}, [str(timetable.EARLY), "998"]),
    ("ListTimetables", {"state": state_pb2.CATALOGUE_STATE_ARCHIVED}, ["998"]),
    ("ListEntitlementTemplates", {"function_code": "ferry"}, ["FERRY", "OLD"]),
    ("ListPromotions", {}, ["7", "9"]),
    ("ListHolidayCalendars", {}, ["CN", "HK", "MO", "OLD"]),
    ("ListHolidays", {"calendar_code": "HK"}, ["2026-12-25", "2027-12-25"]),
    ("ListHolidays", {"calendar_code": "HK", "since": "2027-01-01"}, ["2027-12-25"]),
    ("ListDepartures", {"timetable_id": timetable.EARLY}, [DEPARTURE]),
    ("ListDepartures", {}, [DEPARTURE]),
    ("ListDepartures", {"route_id": 11, "travel_date": DEPARTURE_DAY.isoformat()}, [DEPARTURE]),
    ("ListDepartures", {"route_id": 12}, []),
    ("ListDepartures", {"travel_date": "2020-02-02"}, []),
    ("ListTravellers", {}, [str(TRAVELLER), str(BLOCKED_TRAVELLER)]),
    ("ListAllotments", {}, ["106 DIRECT", "106 CP"]),
    ("ListAllotments", {"channel": "CP"}, ["106 CP"]),
    ("ListAllotments", {"channel": "DIRECT", "product_id": 106}, ["106 DIRECT"]),
    ("ListAllotments", {"product_id": 107}, []),
]


async def test_lists_by_page(admin_client: AdminClient, subtests: pytest.Subtests) -> None:
    staff = OPERATOR | {"role": account_pb2.OPERATOR_ROLE_SUPERVISOR, "merchant_code": "SHOPS"}
    await admin_client.do("CreateOperator", username="sam", **staff)
    for method, filters, expected in PAGES:
        with subtests.test(method=method, filters=filters):
            found, token = [], ""
            while True:
                page = await admin_client.do(method, **filters, page_size=1, page_token=token)
                records = getattr(page, page.DESCRIPTOR.fields[0].name)
                assert len(records) <= 1
                found += [name_of(record) for record in records]
                token = page.next_page_token
                if not token:
                    break
            assert found == expected
            whole = await admin_client.do(method, **filters)
            assert [name_of(r) for r in getattr(whole, whole.DESCRIPTOR.fields[0].name)] == expected


def name_of(record: Any) -> str:
    if record.DESCRIPTOR.name == "Allotment":
        return f"{record.product_id} {record.channel}"
    return str(getattr(record, record.DESCRIPTOR.fields[0].name))


async def test_keys_by_page(admin_client: AdminClient) -> None:
    made = [(await admin_client.do("CreatePartnerKey", partner_code="CP")).key for _ in range(3)]
    await admin_client.do("CreatePartnerKey", partner_code="HK")
    await admin_client.do("RevokePartnerKey", partner_code="CP", key_id=made[0].key_id)
    first = await admin_client.do("ListPartnerKeys", partner_code="CP", page_size=2)
    rest = await admin_client.do(
        "ListPartnerKeys", partner_code="CP", page_size=2, page_token=first.next_page_token
    )
    keys = [*first.keys, *rest.keys]
    assert [key.key_id for key in keys] == sorted(key.key_id for key in made)
    assert not rest.next_page_token
    revoked = {key.key_id for key in keys if key.HasField("revoke_time")}
    assert revoked == {made[0].key_id}


async def test_page_token_belongs_to_its_filters(admin_client: AdminClient) -> None:
    page = await admin_client.do("ListVenues", merchant_code="FERRIES", page_size=1)
    for filters in ({}, {"merchant_code": "SHOPS"}):
        refused = await admin_client.refused(
            "ListVenues", **filters, page_token=page.next_page_token
        )
        assert refused.reason == Reason.PAGE_TOKEN_INVALID
    assert await admin_client.reason("ListVenues", page_size=201) == Reason.INVALID_FIELD
