"""Somebody who has the contract and credentials, and nothing else, over gRPC and over JSON."""

import base64
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from deeptravel.ota.v1 import ota_service_pb2 as ota
from deeptravel.ota.v1 import ota_service_pb2_grpc
from google.rpc import error_details_pb2, status_pb2

from tests.support.described import ROOT
from tests.support.server_process import ServerProcess

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TICKET_CODE = re.compile(r"OTA-CP-\d{8}-\d{6}")
ORDER_ID = re.compile(r"ORD-CP-\d{8}-\d{6}")
QR_TEXT = re.compile(r"[A-Z2-7]+(:[A-Z2-7]+){3}")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3,9})?Z")
REDEMPTION_ID = re.compile(r"[0-9a-f]{32}")
PAGE_TOKEN = re.compile(r"[\w-]+")
TEXT = re.compile(r".+")

CUSTOMER = {"name": "张三", "type": "adult"}
PRICE = 29800
PAYMENT = {"reference": "PAY-1", "amount_minor": PRICE, "currency_code": "CNY"}
BOTH_LEFT = [
    {"function_code": "ferry", "remaining_uses": 1},
    {"function_code": "gift", "remaining_uses": 1},
]
FERRY_USED = [
    {"function_code": "ferry", "remaining_uses": 0},
    {"function_code": "gift", "remaining_uses": 1},
]
EXPLANATION = {"check": TEXT, "en": TEXT, "zh": re.compile(".*[\u4e00-\u9fff].*")}
DETAILS = {
    "product_id": 106,
    "display_name_en": TEXT,
    "display_name_zh": re.compile(".*[\u4e00-\u9fff].*"),
    "seat": "",
    "departure_cancelled": False,
    "valid_from_time": MOMENT,
    "valid_until_time": MOMENT,
}
"""What a ticket of a package is for."""
LIMITS = {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"}
CHANGE_SECONDS = 1.0
"""How soon a change of an administrator is seen."""

Json = dict[str, Any]


def check(value: Any, shape: Any, path: str = "answer") -> None:
    """Checks a JSON value: dicts have exactly these keys, patterns match whole texts, types are
    those, the rest equal.
    """
    if isinstance(shape, dict):
        assert isinstance(value, dict), path
        assert value.keys() == shape.keys(), path
        for key, inner in shape.items():
            check(value[key], inner, f"{path}.{key}")
    elif isinstance(shape, list):
        assert isinstance(value, list), path
        assert len(value) == len(shape), path
        for index, (item, inner) in enumerate(zip(value, shape, strict=True)):
            check(item, inner, f"{path}[{index}]")
    elif isinstance(shape, re.Pattern):
        assert isinstance(value, str), path
        assert shape.fullmatch(value), f"{path} is {value!r}"
    elif isinstance(shape, type):
        assert type(value) is shape, path
    else:
        assert (type(value), value) == (type(shape), shape), path


class Caller:
    """Calls with somebody's credentials."""

    def __init__(self, http: httpx2.Client, **headers: str) -> None:
        self._http = http
        self._headers = headers

    def send(self, verb: str, path: str, body: Any = None, **parameters: Any) -> httpx2.Response:
        return self._http.request(
            verb, path, json=body, params=parameters, headers=self._headers, timeout=30
        )

    def ask(self, verb: str, path: str, body: Any = None, **parameters: Any) -> Any:
        """The answer to a call that succeeds."""
        response = self.send(verb, path, body, **parameters)
        assert response.status_code == 200, response.text
        return response.json()


@pytest.fixture
def http(served: ServerProcess) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=served.url) as client:
        yield client


@pytest.fixture
def anyone(http: httpx2.Client) -> Caller:
    return Caller(http)


@pytest.fixture
def partner(served: ServerProcess, http: httpx2.Client) -> Caller:
    return Caller(http, **{"X-Api-Key": served.credentials["partner_api_key"]})


@pytest.fixture
def operator(served: ServerProcess, anyone: Caller, http: httpx2.Client) -> Caller:
    terminal = {"terminal_device_id": served.credentials["terminal_device_id"]}
    tokens = anyone.ask("POST", "/operators/login", served.credentials["operator"] | terminal)
    return Caller(http, Authorization=f"Bearer {tokens['access_token']}")


@pytest.fixture
def admin(served: ServerProcess, anyone: Caller, http: httpx2.Client) -> Caller:
    tokens = anyone.ask("POST", "/admin/login", served.credentials["admin"])
    return Caller(http, Authorization=f"Bearer {tokens['access_token']}")


def batch(quantity: int = 1, *, activated: bool = True, **fields: Any) -> Json:
    """A request for tickets of product 106."""
    request = {"product_id": 106, "quantity": quantity, "request_id": uuid.uuid4().hex, **fields}
    return request | (
        {
            "activation": {
                "customer": CUSTOMER,
                "payment": PAYMENT | {"amount_minor": quantity * PRICE},
            }
        }
        if activated
        else {}
    )


def make_ticket(partner: Caller) -> tuple[str, Json]:
    """A new activated ticket: its code and its QR."""
    made = partner.ask("POST", "/ota/tickets/bulk-generate", batch())
    code: str = made["tickets"][0]["ticket_code"]
    return code, partner.ask("POST", f"/qr/{code}", {})


# -----------------------------------------------------------------------------------------------
# gRPC


def test_over_grpc_from_elsewhere(served: ServerProcess, tmp_path: Path) -> None:
    """The script runs in an empty folder, with a copy of the generated package and without the
    server's code.
    """
    shutil.copytree(ROOT / "generated", tmp_path / "generated")
    shutil.copy(Path(__file__).with_name("partner_program.py"), tmp_path)
    credentials = served.data_dir / "demo-credentials.json"
    # -S leaves out site-packages with their .pth files, one of which leads to this repository
    run = f"""\
import runpy, sys
sys.path += [{str(tmp_path / "generated")!r}, {sysconfig.get_path("platlib")!r}]
sys.argv[1:] = [{served.target!r}, {str(credentials)!r}]
runpy.run_path("partner_program.py", run_name="__main__")
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-W", "error", "-c", run],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    steps = [line.partition(":")[0] for line in done.stdout.splitlines()]
    assert steps == [
        *("batch", "same request_id", "list and stream", "QR"),
        *(
            "look",
            "look",
            "redeem ferry",
            "redeem gift on a stream",
            "redeem ferry again",
            "redemptions",
        ),
    ]


# -----------------------------------------------------------------------------------------------
# JSON


def test_bulk_generate(partner: Caller) -> None:
    request = batch(2, distributor_id="KIOSK-7")
    made = partner.ask("POST", "/ota/tickets/bulk-generate", request)
    ticket = {"ticket_code": TICKET_CODE, "status": "ACTIVE"}
    shape = {
        "batch_id": UUID,
        "quantity": 2,
        "tickets": [ticket, ticket],
        "next_page_token": "",
        "order_id": ORDER_ID,
    }
    check(made, shape)
    assert partner.ask("POST", "/ota/tickets/bulk-generate", request) == made
    unsold = partner.ask("POST", "/ota/tickets/bulk-generate", batch(201, activated=False))
    assert unsold["quantity"] == 201
    assert unsold["order_id"] == ""
    assert len(unsold["tickets"]) == 200
    rest = partner.ask(
        *("GET", "/ota/tickets"),
        batch_id=unsold["batch_id"],
        page_token=unsold["next_page_token"],
    )
    assert len(rest["tickets"]) == 1


def test_activate(partner: Caller) -> None:
    made = partner.ask("POST", "/ota/tickets/bulk-generate", batch(activated=False))
    check(made["tickets"], [{"ticket_code": TICKET_CODE, "status": "PRE_GENERATED"}])
    code = made["tickets"][0]["ticket_code"]
    request = {"request_id": uuid.uuid4().hex, "customer": CUSTOMER, "payment": PAYMENT}
    activated = partner.ask("POST", f"/ota/tickets/{code}/activate", request)
    check(activated, {"ticket_code": code, "status": "ACTIVE", "order_id": ORDER_ID})
    assert partner.ask("POST", f"/ota/tickets/{code}/activate", request) == activated


def test_inventory(partner: Caller) -> None:
    def stock(product_id: int, total: int) -> Json:
        counts = {"held": int, "sold": int, "available": int}
        part = {"departure_id": "", "fare_class": "", "use_date": ""}
        return {"product_id": product_id, "total": total, **counts, **part}

    all_of_it = partner.ask("GET", "/ota/inventory")
    check(all_of_it, {"inventory": [stock(106, 2000), stock(107, 1500), stock(108, 1500)]})
    partner.ask("POST", "/ota/tickets/bulk-generate", batch(3))
    (after,) = partner.ask("GET", "/ota/inventory", product_id=106)["inventory"]
    assert after["sold"] == all_of_it["inventory"][0]["sold"] + 3
    assert after["available"] == after["total"] - after["held"] - after["sold"]


def test_list_tickets(partner: Caller) -> None:
    made = partner.ask("POST", "/ota/tickets/bulk-generate", batch(3, distributor_id="KIOSK-7"))
    ticket = {
        "ticket_code": TICKET_CODE,
        "status": "ACTIVE",
        "batch_id": made["batch_id"],
        "product_id": 106,
        "distributor_id": "KIOSK-7",
        "order_id": made["order_id"],
        "create_time": MOMENT,
        "valid_from_time": MOMENT,
        "valid_until_time": MOMENT,
        "entitlements": [each | {"total_uses": 1} for each in BOTH_LEFT],
        "line_of_sale_id": "",
    }
    wanted = {"batch_id": made["batch_id"], "status": "ACTIVE", "page_size": 2}
    first = partner.ask("GET", "/ota/tickets", **wanted)
    check(first, {"tickets": [ticket, ticket], "next_page_token": PAGE_TOKEN, "lines_of_sale": []})
    last = partner.ask("GET", "/ota/tickets", **wanted, page_token=first["next_page_token"])
    check(last, {"tickets": [ticket], "next_page_token": "", "lines_of_sale": []})
    codes = [each["ticket_code"] for page in (first, last) for each in page["tickets"]]
    assert codes == [each["ticket_code"] for each in made["tickets"]]


def test_issue_qr(partner: Caller) -> None:
    code, issued = make_ticket(partner)
    shape = {
        "ticket_code": code,
        "jti": UUID,
        "encrypted_data": QR_TEXT,
        "expire_time": MOMENT,
        "png": str,
        "svg": re.compile("<.*<svg .*", re.DOTALL),
        "raster": "",
        "width_pixels": 456,
    }
    check(issued, shape)
    assert base64.b64decode(issued["png"], validate=True).startswith(b"\x89PNG")
    again = partner.ask("POST", f"/qr/{code}")
    assert again["jti"] == issued["jti"]
    rotated = partner.ask("POST", f"/qr/{code}", {"rotate": True, "request_id": uuid.uuid4().hex})
    check(rotated, shape)
    assert rotated["jti"] != issued["jti"]


def test_log_in_and_session(served: ServerProcess, anyone: Caller, http: httpx2.Client) -> None:
    terminal = {"terminal_device_id": served.credentials["terminal_device_id"]}
    tokens = anyone.ask("POST", "/operators/login", served.credentials["operator"] | terminal)
    check(tokens, {"access_token": TEXT, "refresh_token": TEXT, "expires_in": int})
    operator = Caller(http, Authorization=f"Bearer {tokens['access_token']}")
    session = operator.ask("POST", "/validators/sessions", terminal)
    check(session, {"session_code": TEXT})


def test_decrypt(partner: Caller, operator: Caller) -> None:
    code, issued = make_ticket(partner)
    for caller in (operator, partner, operator):
        look = caller.ask("POST", "/qr/decrypt", {"encrypted_data": issued["encrypted_data"]})
        ticket_info = {
            "ticket_type": "OTA",
            "status": "ACTIVE",
            "customer_info": {"type": "adult", "name": "张三"},
            "entitlements": BOTH_LEFT,
            "details": DETAILS,
        }
        check(look, {"jti": issued["jti"], "ticket_code": code, "ticket_info": ticket_info})
    refused = operator.send("POST", "/qr/decrypt", {"encrypted_data": "A:B:C:D"})
    assert refused.status_code == 422
    shape = {"result": "reject", "reason": "TOKEN_INVALID", "explanation": EXPLANATION}
    check(refused.json(), {"jti": "", "ticket_code": "", **shape})


def test_scan(served: ServerProcess, partner: Caller, operator: Caller) -> None:
    code, issued = make_ticket(partner)
    terminal = served.credentials["terminal_device_id"]
    session = operator.ask("POST", "/validators/sessions", {"terminal_device_id": terminal})
    scan = {
        "qr_token": issued["encrypted_data"],
        "function_code": "ferry",
        "terminal_device_id": terminal,
    }
    admitted = operator.ask("POST", "/venue/scan", scan)
    shape = {
        "result": "success",
        "ticket_status": "partially_redeemed",
        "entitlements": FERRY_USED,
        "performance_metrics": {"fraud_checks_passed": True},
        "redemption_id": REDEMPTION_ID,
        "explanation": EXPLANATION,
        "ticket_code": code,
        "details": DETAILS,
    }
    check(admitted, shape)
    refused = operator.send("POST", "/venue/scan", scan | session | {"quantity": 1})
    assert refused.status_code == 422
    earlier = {
        "redeemed_at": MOMENT,
        "terminal_device_id": terminal,
        "venue_code": "CENTRAL-PIER",
        "redemption_id": admitted["redemption_id"],
    }
    of_refusal = {
        "result": "reject",
        "reason": "ALREADY_REDEEMED",
        "performance_metrics": {"fraud_checks_passed": False},
        "earlier": earlier,
    }
    check(refused.json(), shape | of_refusal)
    gift = scan | {"function_code": "gift", "request_id": uuid.uuid4().hex}
    used = operator.ask("POST", "/venue/scan", gift)
    assert used["ticket_status"] == "used"
    assert operator.ask("POST", "/venue/scan", gift) == used


def test_analytics(served: ServerProcess, partner: Caller, operator: Caller) -> None:
    code, issued = make_ticket(partner)
    scan = {"qr_token": issued["encrypted_data"], "function_code": "ferry"}
    assert [operator.send("POST", "/venue/scan", scan).status_code for _ in range(2)] == [200, 422]
    event = {
        "ticket_code": code,
        "function_code": "ferry",
        "jti": issued["jti"],
        "result": "success",
        "terminal_device_id": served.credentials["terminal_device_id"],
        "redeemed_at": MOMENT,
        "redemption_id": REDEMPTION_ID,
        "operator": "operator",
        "merchant_code": TEXT,
        "venue_code": "CENTRAL-PIER",
        "quantity": 1,
        "reversed_redemption_id": "",
        "comment": "",
    }
    refused = event | {"result": "reject", "reason": "ALREADY_REDEEMED"}
    found = operator.ask("GET", "/venue/analytics/redemptions", ticket_code=code)
    check(found, {"redemptions": [refused, event], "next_page_token": ""})
    wanted = {"jti": issued["jti"], "page_size": 1}
    first = operator.ask("GET", "/venue/analytics/redemptions", **wanted)
    check(first, {"redemptions": [refused], "next_page_token": PAGE_TOKEN})
    token = first["next_page_token"]
    last = operator.ask("GET", "/venue/analytics/redemptions", **wanted, page_token=token)
    check(last, {"redemptions": [event], "next_page_token": ""})


def test_errors_have_one_shape(partner: Caller, anyone: Caller) -> None:
    url, kind = "/ota/tickets/bulk-generate", "type.googleapis.com/google.rpc."

    def shape(code: int, reason: str, **facts: Any) -> Json:
        info = {"@type": f"{kind}ErrorInfo", "reason": reason, "domain": "deeptravel", **facts}
        request = {"@type": f"{kind}RequestInfo", "request_id": TEXT}
        return {"code": code, "message": TEXT, "details": [info, request]}

    def violating(*fields: str) -> Json:
        found = shape(3, "INVALID_FIELD")
        violations = [{"field": field, "description": TEXT} for field in fields]
        found["details"].append({"@type": f"{kind}BadRequest", "field_violations": violations})
        return found

    response = partner.send("POST", url, {"product_id": 106, "quantity": 0})
    assert response.status_code == 400
    check(response.json(), violating("quantity", "request_id"))
    response = partner.send("POST", url, batch(quantty=1) | {"quantity": "2x"})
    assert response.status_code == 400
    check(response.json(), violating("quantity", "quantty"))
    response = anyone.send("POST", url, batch())
    assert response.status_code == 401
    check(response.json(), shape(16, "UNAUTHENTICATED"))
    response = partner.send("POST", url, batch(50_000))
    assert response.status_code == 400
    metadata = {"product_id": "106", "requested": "50000", "available": re.compile(r"\d+")}
    check(response.json(), shape(9, "SOLD_OUT", metadata=metadata))


# --------------------------------------------------------------------------------------------
# limits


def limits(carried: Any) -> dict[str, int]:
    """The limit headers of an answer."""
    return {key: int(value) for key, value in carried if key in LIMITS}


def new_partner(admin: Caller, *, requests_per_minute: int) -> tuple[str, str]:
    """Code and API key of a partner with some stock."""
    code = f"L{uuid.uuid4().hex[:8].upper()}"
    partner = {
        "partner_code": code,
        "display_name": "Limited",
        "requests_per_minute": requests_per_minute,
    }
    admin.ask("POST", "/admin/partners", partner | {"request_id": uuid.uuid4().hex})
    stock = {"channel": code, "total": 5, "request_id": uuid.uuid4().hex}
    admin.ask("POST", "/admin/products/106/allotments", stock)
    key = {"request_id": uuid.uuid4().hex}
    return code, admin.ask("POST", f"/admin/partners/{code}/keys", key)["api_key"]


def test_limit_is_one_on_both_transports(
    served: ServerProcess, admin: Caller, http: httpx2.Client
) -> None:
    code, api_key = new_partner(admin, requests_per_minute=4)
    partner = Caller(http, **{"X-Api-Key": api_key})
    with grpc.insecure_channel(served.target) as channel:
        stub = ota_service_pb2_grpc.OtaServiceStub(channel)

        def call() -> Any:
            _, done = stub.GetInventory.with_call(
                ota.GetInventoryRequest(), metadata=(("x-api-key", api_key),), timeout=30
            )
            return done.trailing_metadata()

        for remaining in (3, 1):
            response = partner.send("GET", "/ota/inventory")
            assert response.status_code == 200
            _assert_limits(limits(response.headers.items()), 4, remaining)
            _assert_limits(limits(call()), 4, remaining - 1)

        response = partner.send("GET", "/ota/inventory")
        assert response.status_code == 429
        _assert_limits(limits(response.headers.items()), 4, 0)
        assert 1 <= int(response.headers["retry-after"]) <= 60
        info, _, retry = response.json()["details"]
        assert (response.json()["code"], info["reason"]) == (8, "RATE_LIMITED")
        assert retry["retry_delay"] == f"{response.headers['retry-after']}s"

        with pytest.raises(grpc.RpcError) as refused:
            call()
        error: Any = refused.value
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        trailer = dict(error.trailing_metadata())
        _assert_limits(limits(trailer.items()), 4, 0)
        status = status_pb2.Status.FromString(trailer["grpc-status-details-bin"])
        delay = error_details_pb2.RetryInfo()
        assert [each.Unpack(delay) for each in status.details].count(True) == 1
        assert 1 <= delay.retry_delay.seconds <= 60

    more = {"requests_per_minute": 50, "update_mask": "requests_per_minute"}
    admin.ask("PATCH", f"/admin/partners/{code}", more | {"request_id": uuid.uuid4().hex})
    changed = asked = time.monotonic()
    while (response := partner.send("GET", "/ota/inventory")).status_code == 429:
        assert asked - changed < CHANGE_SECONDS
        time.sleep(0.02)
        asked = time.monotonic()
    # the four of the minute count under the new limit too
    _assert_limits(limits(response.headers.items()), 50, 45)


def _assert_limits(found: dict[str, int], limit: int, remaining: int) -> None:
    assert found.keys() == LIMITS
    assert (found["x-ratelimit-limit"], found["x-ratelimit-remaining"]) == (limit, remaining)
    assert 1 <= found["x-ratelimit-reset"] <= 60


def test_limit_of_one_partner_leaves_others_alone(admin: Caller, http: httpx2.Client) -> None:
    _, small = new_partner(admin, requests_per_minute=1)
    _, other = new_partner(admin, requests_per_minute=1)
    first = Caller(http, **{"X-Api-Key": small})
    assert [first.send("GET", "/ota/inventory").status_code for _ in range(3)] == [200, 429, 429]
    second = Caller(http, **{"X-Api-Key": other})
    assert second.send("GET", "/ota/inventory").status_code == 200
