"""OCTO: what a reseller's system sees, books and is refused. The scenarios of OCTO's own supplier
validator are among these (docs/guides/octo.md says how it is run itself); each answer is compared
with the description, and Schemathesis asks for what else that has, right and wrong.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import hypothesis
import orjson
import psycopg
import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from server.api.octo.application import ROUTES
from server.api.octo.errors import octo_error
from server.api.octo.products import PRICING
from server.platform.errors import DomainError, Reason
from tests.support import octo_description
from tests.support.invariants import assert_invariants
from tests.support.octo_client import (
    ALLOTTED,
    FERRY,
    NAMED,
    PACKAGE,
    TRAIN,
    OctoClient,
    octo_server,
)
from tests.support.partner_client import CP, sandbox_key
from tests.support.timetable import tomorrow
from tests.support.waiting import becomes

Json = dict[str, Any]
DAY = tomorrow().isoformat()
RANGE = {"localDateStart": DAY, "localDateEnd": (tomorrow() + timedelta(days=30)).isoformat()}
load_all_checks()
CHECKED = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)
"""Not that 401 is answered without a key: clients take that for a booking."""


@pytest.fixture(scope="module")
async def url(module_database_url: str, module_redis_url: str) -> AsyncIterator[str]:
    async with octo_server(module_database_url, module_redis_url) as address:
        yield address


@pytest.fixture
async def octo(url: str, module_database_url: str) -> AsyncIterator[OctoClient]:
    async with OctoClient(url) as client:
        yield client
    assert_invariants(module_database_url)


@pytest.fixture
async def priced(url: str) -> AsyncIterator[OctoClient]:
    wanted = {"Octo-Capabilities": "octo/pricing, octo/unknown"}
    async with OctoClient(url, **wanted) as client:
        yield client


async def test_what_is_sold(octo: OctoClient, priced: OctoClient) -> None:
    supplier = await octo.ask("GET", "/supplier")
    assert supplier["endpoint"].endswith("/octo")
    products = {each["id"]: each for each in await octo.ask("GET", "/products")}
    assert {name: each["availabilityType"] for name, each in products.items()} == {
        "106": "OPENING_HOURS",
        "201": "START_TIME",
        "202": "START_TIME",
    }
    train = products["201"]
    assert [each["id"] for each in train["options"]] == ["11-0-0-1", "11-0-0-2", "11-0-1-2"]
    assert train["options"][2]["availabilityLocalStartTimes"] == ["08:33", "20:33"]
    assert [each["default"] for each in train["options"]] == [True, False, False]
    assert (await octo.ask("GET", "/products/201")) == train
    (child,) = [each for each in train["options"][0]["units"] if each["id"] == "CHILD"]
    assert child["restrictions"]["accompaniedBy"] == ["ADULT"]
    assert "pricingFrom" not in child
    answer = await priced.http.get("/products/106")
    assert answer.headers["octo-capabilities"] == "octo/pricing"
    assert answer.json()["options"][0]["units"][0]["pricingFrom"][0]["net"] == 30_000


async def test_what_is_available(octo: OctoClient, priced: OctoClient) -> None:
    (ferry,) = await octo.slots(FERRY)
    assert ferry["localDateTimeStart"] == f"{DAY}T12:00:00+08:00"
    assert ferry["utcCutoffAt"] == f"{DAY}T03:30:00Z"
    assert (ferry["status"], ferry["capacity"]) == ("AVAILABLE", ALLOTTED)
    (day,) = await octo.slots(PACKAGE)
    assert day["localDateTimeEnd"] == f"{DAY}T23:59:00+08:00"
    assert day["openingHours"] == [{"from": "00:00", "to": "23:59"}]
    assert day["utcCutoffAt"]
    by_id = {**FERRY, "availabilityIds": [ferry["id"], "1", "x", "9" * 30]}
    assert await octo.ask("POST", "/availability", by_id) == [ferry]
    asked = {**PACKAGE, "localDate": DAY, "units": [{"id": "ADULT", "quantity": 13}]}
    (many,) = await priced.ask("POST", "/availability", asked)
    assert (many["available"], many["pricing"]["retail"]) == (False, 13 * 30_000)
    asked = {**PACKAGE, "localDate": DAY, "units": [{"id": "ADULT", "quantity": 0}]}
    assert (await octo.ask("POST", "/availability", asked))[0]["available"]
    elsewhere = {**PACKAGE, "localDate": DAY, "currency": "USD"}  # without prices it says nothing
    assert await octo.ask("POST", "/availability", elsewhere)
    calendar = await octo.ask("POST", "/availability/calendar", {**FERRY, **RANGE})
    assert len(calendar) == 31
    assert {each["status"] for each in calendar} == {"AVAILABLE", "CLOSED"}  # 20 days are on sale


REFUSED_CHECKS = [
    ({"productId": "999"}, "INVALID_PRODUCT_ID"),
    ({"productId": "106\x00"}, "INVALID_PRODUCT_ID"),
    ({"productId": None}, "INVALID_PRODUCT_ID"),
    ({"productId": 202}, "INVALID_PRODUCT_ID"),
    ({"optionId": "12-9-0-1"}, "INVALID_OPTION_ID"),
    ({"localDate": None}, "BAD_REQUEST"),
    ({"localDateStart": DAY, "localDateEnd": DAY}, "BAD_REQUEST"),
    ({"availabilityIds": ["1"]}, "BAD_REQUEST"),
    ({"localDate": None, "localDateStart": DAY}, "BAD_REQUEST"),
    ({"localDate": "2027-02-29"}, "BAD_REQUEST"),
    ({"localDate": "20270228"}, "BAD_REQUEST"),
    ({"localDate": None, "localDateStart": DAY, "localDateEnd": "2020-01-01"}, "BAD_REQUEST"),
    ({"localDate": None, "localDateStart": DAY, "localDateEnd": "2199-01-01"}, "BAD_REQUEST"),
    ({"units": [{"id": "GOAT", "quantity": 1}]}, "INVALID_UNIT_ID"),
    ({"units": "ADULT"}, "BAD_REQUEST"),
    ({"localDate": None, "availabilityIds": ["\ud800"]}, "BAD_REQUEST"),
    ({"productId": "\ud800"}, "INVALID_PRODUCT_ID"),
    ({"currency": "USD"}, "BAD_REQUEST"),
]


@pytest.mark.parametrize(("change", "code"), REFUSED_CHECKS)
async def test_a_check_that_is_refused(priced: OctoClient, change: Json, code: str) -> None:
    asked = {**FERRY, "localDate": DAY, **change}
    assert await priced.refused("POST", "/availability", asked) == code


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
async def test_days_that_nobody_sells(octo: OctoClient, day: str) -> None:
    for what in (FERRY, PACKAGE):
        assert await octo.ask("POST", "/availability", {**what, "localDate": day}) == []
        assert await octo.ask("POST", "/availability", {**what, "availabilityIds": [day]}) == []
        (shown,) = await octo.ask("POST", "/availability/calendar", {**what, "localDate": day})
        assert shown["status"] == "CLOSED"
        wanted = {**what, "availabilityId": day, "unitItems": [{"unitId": "ADULT"}]}
        assert await octo.refused("POST", "/bookings", wanted) == "INVALID_AVAILABILITY_ID"


async def test_a_year_is_reckoned_in_dates(octo: OctoClient) -> None:
    for days, status in ((365, 200), (366, 400)):
        last = (tomorrow() + timedelta(days=days)).isoformat()
        asked = {**FERRY, "localDateStart": DAY, "localDateEnd": last}
        await octo.ask("POST", "/availability", asked, status)


async def test_a_booking_from_hold_to_cancellation(octo: OctoClient, priced: OctoClient) -> None:
    before = await octo.left(TRAIN, 3)
    held = await octo.hold(TRAIN, "ADULT", "CHILD", days=3, notes="by the window")
    assert (held["status"], held["testMode"], held["notes"]) == ("ON_HOLD", False, "by the window")
    assert await octo.left(TRAIN, 3) == before - 2
    (slot,) = [each for each in await octo.slots(TRAIN, 3) if each["id"] == held["availabilityId"]]
    assert held["availability"] == slot
    path = f"/bookings/{held['uuid']}"
    longer = await octo.ask("POST", f"{path}/extend", {"expirationMinutes": 60})
    assert longer["utcExpiresAt"] > held["utcExpiresAt"]
    said = {**NAMED, "resellerReference": "R-1"}
    sold = await octo.ask("POST", f"{path}/confirm", said)
    assert (sold["status"], sold["utcExpiresAt"]) == ("CONFIRMED", None)
    assert sold["contact"]["fullName"] == "Ada Wong"
    assert [each["unitId"] for each in sold["unitItems"]] == ["ADULT", "CHILD"]
    for item in sold["unitItems"]:
        (delivery,) = item["ticket"]["deliveryOptions"]
        assert delivery["deliveryFormat"] == "QRCODE"
        assert delivery["deliveryValue"]
        assert item["supplierReference"].startswith("OTA-CP-")
    assert (await priced.ask("GET", path))["pricing"]["retail"] == 30_000
    for query in (
        "resellerReference=R-1",
        f"supplierReference={sold['supplierReference']}",
        f"localDate={held['availability']['localDateTimeStart'][:10]}&productId=201",
    ):
        found = await octo.ask("GET", f"/bookings?{query}")
        assert held["uuid"] in {each["uuid"] for each in found}
    assert await octo.ask("GET", "/bookings?resellerReference=other") == []
    gone = await octo.ask("POST", f"{path}/cancel", {"reason": "rain"})
    assert gone["status"] == "CANCELLED"
    assert gone["cancellation"]["refund"] == "PARTIAL"  # 80 % until a day before
    assert gone["cancellation"]["reason"] == "rain"
    assert await octo.ask("DELETE", path, {"reason": "sun"}) == gone
    assert await octo.left(TRAIN, 3) == before
    for body in (said, NAMED):
        assert await octo.refused("POST", f"{path}/confirm", body) == "INVALID_BOOKING_UUID"


async def test_a_hold_changes_as_a_whole(octo: OctoClient) -> None:
    ferry, package = await octo.left(FERRY, 4), await octo.left(PACKAGE)
    held = await octo.hold(FERRY, days=4)
    path = f"/bookings/{held['uuid']}"
    more = await octo.ask("PATCH", path, {"unitItems": [{"unitId": "ADULT"}] * 3})
    assert len(more["unitItems"]) == 3
    assert more["utcExpiresAt"] <= held["utcExpiresAt"]
    assert await octo.left(FERRY, 4) == ferry - 3
    day = (await octo.slots(PACKAGE))[0]["id"]
    moved = await octo.ask("PATCH", path, {**PACKAGE, "availabilityId": day, **NAMED})
    assert (moved["productId"], moved["availability"]["allDay"]) == ("106", True)
    assert (await octo.left(FERRY, 4), await octo.left(PACKAGE)) == (ferry, package - 3)
    too_many = {"unitItems": [{"unitId": "ADULT"}] * (package + 1)}
    assert await octo.refused("PATCH", path, too_many) == "UNPROCESSABLE_ENTITY"
    assert await octo.left(PACKAGE) == package - 3  # nothing of it was done
    for name in ("\u200b", "Ada\u202e"):
        unfit = {"contact": {"fullName": name}}
        assert await octo.refused("POST", f"{path}/confirm", unfit) == "BAD_REQUEST"
    said = {"unitItems": [{"unitId": "CHILD"}, {"unitId": "ADULT"}], "resellerReference": "R-2"}
    sold = await octo.ask("POST", f"{path}/confirm", said)
    assert [each["unitId"] for each in sold["unitItems"]] == ["CHILD", "ADULT"]
    assert await octo.left(PACKAGE) == package - 2
    words = await octo.ask("PATCH", path, {"notes": "late", "contact": {"emailAddress": "a@b.c"}})
    assert (words["status"], words["notes"]) == ("CONFIRMED", "late")
    assert await octo.refused("PATCH", path, {"availabilityId": "x"}) == "UNPROCESSABLE_ENTITY"


REFUSED_BOOKINGS = [
    ({"productId": "999"}, "INVALID_PRODUCT_ID"),
    ({"optionId": "nothing"}, "INVALID_OPTION_ID"),
    ({"availabilityId": "1"}, "INVALID_AVAILABILITY_ID"),
    ({"availabilityId": None}, "INVALID_AVAILABILITY_ID"),
    ({"unitItems": [{"unitId": "GOAT"}]}, "INVALID_UNIT_ID"),
    ({"unitItems": [{}]}, "INVALID_UNIT_ID"),
    ({"unitItems": []}, "UNPROCESSABLE_ENTITY"),
    ({"unitItems": None}, "UNPROCESSABLE_ENTITY"),
    ({"unitItems": [{"unitId": "PET"}]}, "UNPROCESSABLE_ENTITY"),  # not alone
    ({"unitItems": [{"unitId": "ADULT"}] * 21}, "BAD_REQUEST"),
    ({"uuid": "not-one"}, "BAD_REQUEST"),
    ({"expirationMinutes": 0}, "BAD_REQUEST"),
    ({"expirationMinutes": 60 * 24 * 300}, "UNPROCESSABLE_ENTITY"),
    ({"notes": "\x00"}, "BAD_REQUEST"),
    ({"contact": ["Ada"]}, "BAD_REQUEST"),
    ({"contact": {"locales": ["\ud800"]}}, "BAD_REQUEST"),
    ({"contact": {"emailAddress": "none"}}, "BAD_REQUEST"),
    ({"uuid": uuid4().hex}, "BAD_REQUEST"),
    ({"currency": "USD"}, "BAD_REQUEST"),
]


@pytest.mark.parametrize(("change", "code"), REFUSED_BOOKINGS)
async def test_a_booking_that_is_refused(priced: OctoClient, change: Json, code: str) -> None:
    before = await priced.left(FERRY, 5)
    wanted = await priced.wanted(FERRY, days=5)
    assert await priced.refused("POST", "/bookings", wanted | change) == code
    assert await priced.left(FERRY, 5) == before


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("GET", "/bookings/{}"),
        ("PATCH", "/bookings/{}"),
        ("POST", "/bookings/{}/confirm"),
        ("POST", "/bookings/{}/extend"),
        ("POST", "/bookings/{}/cancel"),
    ],
)
async def test_a_booking_that_there_is_not(octo: OctoClient, verb: str, path: str) -> None:
    for name in ("invalidUUID", str(uuid4())):
        body = None if verb == "GET" else {"expirationMinutes": 5, **NAMED}
        assert await octo.refused(verb, path.format(name), body) == "INVALID_BOOKING_UUID"


async def test_who_may_call(url: str, octo: OctoClient) -> None:
    async with OctoClient(url, "dtk_no") as stranger:
        assert await stranger.refused("GET", "/products", status=403) == "UNAUTHORIZED"
        del stranger.http.headers["Authorization"]
        assert await stranger.refused("GET", "/supplier", status=403) == "UNAUTHORIZED"
        said = (await stranger.http.get("/supplier")).json()["errorMessage"]
        assert "Authorization: Bearer" in said
        assert "x-api-key" not in said
    assert await octo.refused("GET", "/bookings") == "BAD_REQUEST"
    assert await octo.refused("GET", "/nothing", status=404) == "NOT_FOUND"
    assert await octo.refused("DELETE", "/products", status=405) == "BAD_REQUEST"
    assert (await octo.http.put("/bookings")).headers["allow"] == "GET, POST"
    assert await octo.refused("GET", "/products/1%2F2") == "INVALID_PRODUCT_ID"
    assert await octo.refused("GET", "/bookings/%ff") == "INVALID_BOOKING_UUID"
    answer = await octo.http.post("/bookings", content=b'{"a": 1, "a": 2}')
    assert answer.json()["error"] == "BAD_REQUEST"
    answer = await octo.http.post("/bookings", content=b"{")
    assert answer.json()["error"] == "BAD_REQUEST"


def test_no_refusal_has_a_status_that_clients_take_for_a_booking() -> None:
    """Those are 401, 409, 410, 422, 429 and 503."""
    for reason in Reason:
        assert octo_error(DomainError(reason, "why")).http_status in {400, 403, 404, 500}, reason
    for reason, code in (
        (Reason.UNAUTHENTICATED, "UNAUTHORIZED"),
        (Reason.ADDRESS_NOT_ALLOWED, "FORBIDDEN"),
        (Reason.ROLE_NOT_ALLOWED, "FORBIDDEN"),
    ):
        refused = octo_error(DomainError(reason, "why"))
        assert (refused.http_status, refused.content["error"]) == (403, code)


async def test_bodies_that_clients_send_otherwise(octo: OctoClient) -> None:
    """None, what has no place in OCTO, and what other languages' numbers and texts hold."""
    for odd in ('"\\ud800"', "1" * 400, "1.5e300", "[" * 600 + "]" * 600):
        wanted = orjson.dumps(await octo.wanted(PACKAGE, days=8, **NAMED))
        body = wanted[:-1] + f', "theirs": {odd}}}'.encode()
        answer = await octo.http.post("/bookings", content=body)
        assert answer.status_code == 200, odd
        booking_id = answer.json()["uuid"]
        answer = await octo.http.post(f"/bookings/{booking_id}/confirm", content=b"")
        assert answer.json().get("status") == "CONFIRMED", answer.json()


async def test_a_repeat_gets_the_same_answer(octo: OctoClient) -> None:
    before = await octo.left(FERRY, 6)
    wanted = await octo.wanted(FERRY, days=6)
    first, *others = await asyncio.gather(
        *[octo.ask("POST", "/bookings", wanted) for _ in range(4)]
    )
    assert all(each | {"unitItems": []} == first | {"unitItems": []} for each in others)
    assert await octo.left(FERRY, 6) == before - 2
    other = wanted | {"notes": "another"}
    assert await octo.refused("POST", "/bookings", other) == "UNPROCESSABLE_ENTITY"
    path = f"/bookings/{wanted['uuid']}/confirm"
    sold = await asyncio.gather(*[octo.ask("POST", path, NAMED) for _ in range(4)])
    assert len({each["supplierReference"] for each in sold}) == 1
    changed = {"contact": {"fullName": "Eve"}}
    assert await octo.refused("POST", path, changed) == "UNPROCESSABLE_ENTITY"
    assert await octo.left(FERRY, 6) == before - 2


async def test_the_last_places_are_sold_once(octo: OctoClient) -> None:
    wanted = [await octo.wanted(FERRY, days=7) for _ in range(ALLOTTED)]
    answers = await asyncio.gather(*[octo.http.post("/bookings", json=each) for each in wanted])
    statuses = [each.status_code for each in answers]
    assert statuses.count(200) == ALLOTTED // 2
    assert {each.json()["error"] for each in answers if each.status_code == 400} == {
        "UNPROCESSABLE_ENTITY"
    }
    (slot,) = await octo.slots(FERRY, 7)
    assert (slot["status"], slot["available"], slot["vacancies"]) == ("SOLD_OUT", False, 0)


async def test_what_a_hold_that_is_over_held_returns(
    octo: OctoClient, module_database_url: str
) -> None:
    before = await octo.left(FERRY, 8)
    held = await octo.hold(FERRY, days=8)
    end_hold(module_database_url, held["uuid"])
    over = await octo.ask("GET", f"/bookings/{held['uuid']}")
    assert over["status"] == "EXPIRED"
    assert over["cancellation"]["refund"] == "NONE"
    await becomes(before, lambda: octo.left(FERRY, 8))


HELD, SOLD, RELEASED, RETURNED, EXPIRED = "held", "sold", "released", "returned", "expired"
OVER = dict.fromkeys((RELEASED, RETURNED), "CANCELLED") | {EXPIRED: "expired"}
"""States of a booking that nothing can be done with, and the word by which a refusal says so."""
STATUS = {HELD: "ON_HOLD", SOLD: "CONFIRMED", EXPIRED: "EXPIRED"} | dict.fromkeys(
    (RELEASED, RETURNED), "CANCELLED"
)
CONFIRM, PARTY = {**NAMED, "notes": "first"}, {"unitItems": [{"unitId": "ADULT"}] * 3}
ACTS: dict[str, tuple[str, str, Any, dict[str, str]]] = {
    # what is asked, and by state the new status, or the code that it is refused with
    "read": ("GET", "", None, STATUS),
    "book again": ("POST", "book", {}, STATUS),
    "book another": ("POST", "book", {"notes": "x"}, dict.fromkeys(STATUS, "UNPROCESSABLE_ENTITY")),
    "confirm": ("POST", "/confirm", CONFIRM, {HELD: "CONFIRMED", SOLD: "CONFIRMED"}),
    "confirm otherwise": (
        *("POST", "/confirm", NAMED),
        {HELD: "CONFIRMED", SOLD: "UNPROCESSABLE_ENTITY"},
    ),
    "say more": ("PATCH", "", {"notes": "late"}, {HELD: "ON_HOLD", SOLD: "CONFIRMED"}),
    "change": ("PATCH", "", PARTY, {HELD: "ON_HOLD", SOLD: "UNPROCESSABLE_ENTITY"}),
    "extend": ("POST", "/extend", {"expirationMinutes": 60}, {HELD: "ON_HOLD"}),
    "cancel": (
        *("POST", "/cancel", {"reason": "rain"}),
        dict.fromkeys((HELD, SOLD, RELEASED, RETURNED), "CANCELLED"),
    ),
}


@pytest.mark.parametrize("act", ACTS)
async def test_each_call_on_a_booking_in_each_state(
    octo: OctoClient, module_database_url: str, act: str
) -> None:
    """What cannot be done is refused by OCTO's codes, in words about the booking: what is over is
    said to be over, whatever was confirmed before. Seen red: a second confirmation of what was
    cancelled said that a `request_id` was used.
    """
    verb, under, body, becomes_by_state = ACTS[act]
    for state, status in STATUS.items():
        wanted = await octo.wanted(FERRY, days=12)
        path = f"/bookings/{wanted['uuid']}"
        await octo.ask("POST", "/bookings", wanted)
        if state in (SOLD, RETURNED):
            await octo.ask("POST", f"{path}/confirm", CONFIRM)
        if state in (RELEASED, RETURNED):
            await octo.ask("POST", f"{path}/cancel", {})
        if state == EXPIRED:
            end_hold(module_database_url, wanted["uuid"])
        where, asked = ("/bookings", wanted | body) if under == "book" else (path + under, body)
        expected = becomes_by_state.get(state, "INVALID_BOOKING_UUID")
        if expected in STATUS.values():
            assert (await octo.ask(verb, where, asked))["status"] == expected, state
        else:
            said = await octo.ask(verb, where, asked, 400)
            assert said["error"] == expected, state
            assert said["errorMessage"].startswith(("the booking ", "the hold of the booking "))
            if expected == "INVALID_BOOKING_UUID":
                assert said["uuid"] == wanted["uuid"]
                assert OVER.get(state, "CONFIRMED") in said["errorMessage"]
            assert (await octo.ask("GET", path))["status"] == status
        if state in (HELD, SOLD):
            await octo.ask("DELETE", path)
    await becomes(ALLOTTED, lambda: octo.left(FERRY, 12))


def end_hold(database_url: str, booking_id: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "UPDATE reservations SET expire_time = now() WHERE reservation_id ="
            " (SELECT reservation_id FROM partner_bookings WHERE booking_id = %s)",
            (booking_id,),
        )


async def test_a_confirmation_and_a_cancellation_at_once(octo: OctoClient) -> None:
    for _ in range(3):
        held = await octo.hold(FERRY, days=9)
        path = f"/bookings/{held['uuid']}"
        await asyncio.gather(
            octo.http.post(f"{path}/confirm", json=NAMED),
            octo.http.post(f"{path}/cancel", json={}),
            octo.http.patch(path, json={"unitItems": [{"unitId": "ADULT"}]}),
        )
        assert (await octo.ask("GET", path))["status"] == "CANCELLED"
    assert await octo.left(FERRY, 9) == ALLOTTED


async def test_a_sandbox_does_what_it_is_asked(
    url: str, octo: OctoClient, module_database_url: str
) -> None:
    live = await octo.left(FERRY, 11)
    async with OctoClient(url, await sandbox_key(module_database_url)) as test:
        wanted = await test.wanted(FERRY, days=11)
        refused = await test.refused("POST", "/bookings", wanted, request_id="sandbox-SOLD_OUT-1")
        assert refused == "UNPROCESSABLE_ENTITY"
        held = await test.ask("POST", "/bookings", wanted)
        assert (held["status"], held["testMode"]) == ("ON_HOLD", True)
        path = f"/bookings/{held['uuid']}"
        for name, code, http_status in (
            ("RESERVATION_EXPIRED", "INVALID_BOOKING_UUID", 400),
            ("RATE_LIMITED", "UNPROCESSABLE_ENTITY", 400),
            ("DATABASE_UNAVAILABLE", "INTERNAL_SERVER_ERROR", 500),
            ("TIMEOUT_AFTER_COMMIT", "INTERNAL_SERVER_ERROR", 500),
        ):
            assert (await test.ask("GET", path))["status"] == "ON_HOLD"
            asked = "POST", f"{path}/confirm", NAMED, http_status, f"sandbox-{name}-1"
            assert await test.refused(*asked) == code
        assert (await test.ask("GET", path))["status"] == "CONFIRMED"
        last = "sandbox-TIMEOUT_AFTER_COMMIT-1"
        again = await test.ask("POST", f"{path}/confirm", NAMED, request_id=last)
        assert again["status"] == "CONFIRMED"
        for wrong in ("sandbox-NONE", "sandbox-EXPIRE_NOW"):
            assert await test.refused("GET", "/products", request_id=wrong) == "BAD_REQUEST"
        brief = await test.wanted(FERRY, days=11)
        await test.ask("POST", "/bookings", brief, request_id="sandbox-EXPIRE_NOW-1")

        async def status_of_brief() -> str:
            return str((await test.ask("GET", f"/bookings/{brief['uuid']}"))["status"])

        await becomes("EXPIRED", status_of_brief)
    assert await octo.left(FERRY, 11) == live
    assert await octo.ask("GET", "/products", request_id="sandbox-SOLD_OUT-1")  # of a live key


# the server's loop, in this process, takes chances while requests are drawn
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
@pytest.mark.parametrize("mode", GenerationMode)
async def test_requests_of_all_kinds(url: str, octo: OctoClient, mode: GenerationMode) -> None:
    sold, held = await octo.hold(PACKAGE, days=10), await octo.hold(FERRY, days=10)
    await octo.ask("POST", f"/bookings/{sold['uuid']}/confirm", NAMED)
    known = {
        name: [str(each[name]) for each in (sold, held)]
        for name in ("productId", "optionId", "availabilityId", "uuid")
    }
    known |= {"id": known["productId"], "unitId": ["ADULT", "CHILD"]}
    schema = schemathesis.openapi.from_dict(octo_description.described(known))
    all_operations: Any = schema.get_all_operations()
    found = [each.ok() for each in all_operations]
    assert len(found) == sum(len(routes) for routes in ROUTES.values())
    for operation in found:
        if mode is GenerationMode.POSITIVE or operation.body:  # in a path no text is wrong
            await asyncio.to_thread(_ask, f"{url}/octo", operation, mode)


def _ask(url: str, operation: Any, mode: GenerationMode) -> None:
    """Makes a few requests of an operation, the same ones each time."""

    @hypothesis.settings(
        max_examples=8,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        headers = {"Authorization": f"Bearer {CP.api_key}", "Octo-Capabilities": PRICING}
        answer = case.call(base_url=url, headers=headers)
        case.validate_response(answer, checks=[CHECKS.get_one(name) for name in CHECKED])

    ask()
