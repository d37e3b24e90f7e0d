"""Calls whose statements fail: answered as faults of the server, and nobody's data in its log or
in PostgreSQL's.
"""

import json
import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
import psycopg
import pytest
from sqlalchemy import make_url

from tests.support.data_folders import copied
from tests.support.server_process import ServerProcess
from tests.support.waiting import WAIT_SECONDS
from tools.dev.wechat_simulator.app import openid
from tools.dev.wechat_simulator.merchant import Merchant

NAME = "Marked-Person-7391739"
DOCUMENT = "E73917391"
USER = "marked-user-7391739"
PASSWORD = "marked password 7391739"
BROKEN_TABLES = (
    *("accounts", "travellers", "partners", "idempotency_keys"),
    *("orders", "tickets", "payments", "redemption_events", "login_failures"),
)


@pytest.fixture(scope="module")
def server(begun_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One of its own: its tables are broken."""
    folder = copied(begun_folder, tmp_path_factory.mktemp("broken") / "data")
    with ServerProcess(data_dir=folder) as running:
        yield running


def database(server: ServerProcess) -> psycopg.Connection[Any]:
    running = json.loads((server.data_dir / "server.json").read_text())
    plain = make_url(running["database_url"]).set(drivername="postgresql")
    return psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True)


def break_tables(server: ServerProcess) -> None:
    """No row can be written any more; those that are there stay."""
    with database(server) as connection:
        for table in BROKEN_TABLES:
            exists = connection.execute("SELECT to_regclass(%s)", [table]).fetchone()
            if exists != (None,):
                connection.execute(f"ALTER TABLE {table} ADD CHECK (false) NOT VALID")


def bearer(answer: httpx2.Response) -> dict[str, str]:
    return {"Authorization": f"Bearer {answer.raise_for_status().json()['access_token']}"}


def test_no_value_is_logged(server: ServerProcess) -> None:
    """Seen red: the traveller's openid and the administrators' names stood in the log, as
    parameters and in DETAIL.
    """
    credentials = server.credentials
    with httpx2.Client(base_url=server.url, timeout=30) as http:
        traveller = bearer(http.post("/travellers/login", json={"code": "somebody"}))
        admin = bearer(http.post("/admin/login", json=credentials["admin"]))
        partner = {"X-Api-Key": credentials["partner_api_key"]}
        terminal = {"terminal_device_id": credentials["terminal_device_id"]}
        operator = bearer(http.post("/operators/login", json=credentials["operator"] | terminal))
        ticket = {"product_id": 106, "quantity": 1, "request_id": "before"}
        made = http.post("/ota/tickets/bulk-generate", json=ticket, headers=partner).json()
        code = made["tickets"][0]["ticket_code"]
        day = (datetime.now(ZoneInfo("Asia/Hong_Kong")) + timedelta(days=3)).date()
        offers = http.get(
            "/offers",
            params={
                "origin_city_code": "SZX",
                "destination_city_code": "HKG",
                "travel_date": str(day),
                "passengers": "adult",
                "available_only": "true",
            },
        ).json()["offers"]
        passenger = {"name": NAME, "document_type": "PASSPORT", "document_number": DOCUMENT}
        person = {"display_name": NAME, "password": PASSWORD}
        proof = {"reference": NAME, "amount_minor": 29800, "currency_code": "CNY"}
        break_tables(server)

        calls: list[tuple[str, dict[str, Any], dict[str, str]]] = [
            ("/travellers/login", {"code": NAME}, {}),
            (
                "/orders",
                {"items": [{"offer_id": offers[0]["offer_id"]}], "passengers": [passenger]},
                traveller,
            ),
            (
                "/admin/operators",
                {"username": USER, "role": "OPERATOR", "merchant_code": "HARBOUR", **person},
                admin,
            ),
            ("/admin/administrators", {"username": f"{USER}-2", **person}, admin),
            (
                f"/ota/tickets/{code}/activate",
                {"customer": {"name": NAME, "type": "adult"}, "payment": proof},
                partner,
            ),
            (
                "/ota/tickets/bulk-generate",
                {"product_id": 106, "quantity": 1, "distributor_id": NAME},
                partner,
            ),
            ("/venue/scan", {"qr_token": NAME, "function_code": "ferry"}, operator),
        ]
        for path, body, headers in calls:
            full = body if path == "/travellers/login" else {"request_id": uuid.uuid4().hex, **body}
            answer = http.post(path, json=full, headers=headers)
            assert answer.status_code == 500, (path, answer.text)
            assert NAME not in answer.text
    until = time.monotonic() + WAIT_SECONDS
    while server.log.count('"call.fault"') < len(calls):  # lines are written together
        assert time.monotonic() < until
        time.sleep(0.02)
    logs = server.log + (server.data_dir / "postgres.log").read_text()
    merchant = Merchant.open(server.data_dir / "wechat")
    for value in (NAME, DOCUMENT, USER, PASSWORD, openid(merchant, NAME)):
        assert value not in logs
    faults = [line for line in server.log_lines if line["event"] == "call.fault"]
    assert all("CheckViolation: 23514" in line["exception"] for line in faults)
