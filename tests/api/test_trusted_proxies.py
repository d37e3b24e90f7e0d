"""Who calls through a proxy that is trusted, over gRPC and JSON; browsers of other origins;
settings that cannot be.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import httpx2
import pytest
from deeptravel.ota.v1 import ota_service_pb2 as ota
from deeptravel.redemption.v1 import access_pb2, redemption_service_pb2_grpc

from server.app import App
from server.platform.config import ConfigError, load_settings
from server.platform.errors import Reason
from tests.support.app_server import channel_to, running
from tests.support.gate import PASSWORD, World, a_world
from tests.support.partner_client import CP, Market, a_market
from tests.support.rpc_server import refusal, refusal_or_none

PARTNER, STRANGER = "198.51.100.7", "203.0.113.9"
LIMITED = "UPDATE partners SET allowed_addresses = '{198.51.100.0/24}'"
PROXY = "127.0.0.1"


@pytest.fixture
async def market(database_url: str) -> AsyncIterator[Market]:
    async with a_market(database_url) as made:
        await made.sql(LIMITED)
        yield made


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with a_world(database_url) as made:
        yield made


@asynccontextmanager
async def json_client(app: App) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{app.http_port}") as client:
        yield client


async def grpc_reason(channel: grpc.aio.Channel, *said: tuple[str, str]) -> Reason | None:
    list_tickets: Any = channel.unary_unary(
        "/deeptravel.ota.v1.OtaService/ListTickets",
        request_serializer=ota.ListTicketsRequest.SerializeToString,
    )
    metadata = (("x-api-key", CP.api_key), *said)
    refused = await refusal_or_none(list_tickets(ota.ListTicketsRequest(), metadata=metadata))
    return refused.reason if refused else None


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded"])
async def test_a_partners_addresses_are_those_its_proxy_tells(
    market: Market, database_url: str, redis_url: str, header: str
) -> None:
    """Seen red where only the peer's address counted: nobody behind the proxy was let in."""
    forwarded = {"x-forwarded-for": "{}", "forwarded": "for={};proto=https"}[header]
    partner, stranger = forwarded.format(PARTNER), forwarded.format(STRANGER)
    other = {"x-forwarded-for": "forwarded", "forwarded": "x-forwarded-for"}[header]
    outcomes: list[tuple[list[tuple[str, str]], bool]] = [
        ([(header, partner)], True),
        ([(header, stranger)], False),
        ([(header, f"{partner}, {stranger}")], False),  # the stranger invented the partner
        ([(header, f"{stranger}, {partner}")], True),
        ([(header, partner), (header, stranger)], False),
        ([(header, stranger), (header, partner)], True),
        ([(other, "for=198.51.100.7" if other == "forwarded" else PARTNER)], False),
        ([], False),
    ]
    given = {"trusted_proxies": PROXY, "trusted_proxy_header": header}
    async with (
        running(database_url, redis_url, **given) as app,
        channel_to(app) as channel,
        json_client(app) as http,
    ):
        for said, allowed in outcomes:
            reason = await grpc_reason(channel, *said)
            assert reason is (None if allowed else Reason.ADDRESS_NOT_ALLOWED), said
            headers = [("x-api-key", CP.api_key), *said]
            answer = await http.get("/ota/tickets", headers=headers)
            assert answer.status_code == (200 if allowed else 403), said
            as_metadata = {"x-api-key": CP.api_key, f"grpc-metadata-{header}": partner}
            assert (await http.get("/ota/tickets", headers=as_metadata)).status_code == 400


async def test_nobody_is_believed_who_is_no_trusted_proxy(
    market: Market, database_url: str, redis_url: str
) -> None:
    """Seen red where everybody was trusted."""
    for given in ({}, {"trusted_proxies": "10.0.0.0/8, 2001:db8::/32"}):
        async with (
            running(database_url, redis_url, **given) as app,
            channel_to(app) as channel,
            json_client(app) as http,
        ):
            said = ("x-forwarded-for", PARTNER)
            assert await grpc_reason(channel, said) is Reason.ADDRESS_NOT_ALLOWED
            headers = [("x-api-key", CP.api_key), said]
            assert (await http.get("/ota/tickets", headers=headers)).status_code == 403


async def test_failed_log_ins_count_by_whom_the_proxy_tells(
    world: World, database_url: str, redis_url: str
) -> None:
    """A guesser behind the same proxy locks out nobody else. Seen red with the proxy's own
    address.
    """
    given: dict[str, Any] = {"username": "olga", "terminal_device_id": "T-1"}
    async with (
        running(database_url, redis_url, trusted_proxies=PROXY) as app,
        channel_to(app) as channel,
        json_client(app) as http,
    ):
        stub = redemption_service_pb2_grpc.RedemptionServiceStub(channel)
        wrong = access_pb2.OperatorLoginRequest(**given, password="guess")
        right = access_pb2.OperatorLoginRequest(**given, password=PASSWORD)
        guesser, operator = (("x-forwarded-for", STRANGER),), (("x-forwarded-for", PARTNER),)
        for _ in range(5):
            await refusal(stub.OperatorLogin(wrong, metadata=guesser))
        locked = await refusal(stub.OperatorLogin(right, metadata=guesser))
        assert locked.reason is Reason.LOGIN_LOCKED
        body = given | {"password": PASSWORD}
        answer = await http.post("/operators/login", json=body, headers=guesser)
        assert answer.status_code == 429, "one count for both transports"
        assert (await stub.OperatorLogin(right, metadata=operator)).access_token
        answer = await http.post("/operators/login", json=body, headers=operator)
        assert answer.status_code == 200


SHOP = "https://shop.example"


async def test_pages_of_named_origins_may_call(database_url: str, redis_url: str) -> None:
    """Seen red where the gateway was not given the origins."""
    preflight = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type, x-request-id",
    }
    async with (
        running(database_url, redis_url, cors_origins=f"{SHOP}, http://localhost:3000") as app,
        json_client(app) as http,
    ):
        asked = {"Origin": SHOP} | preflight
        answer = await http.request("OPTIONS", "/orders", headers=asked)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == SHOP
        assert "POST" in answer.headers["access-control-allow-methods"]
        allowed = answer.headers["access-control-allow-headers"].lower()
        assert all(name in allowed for name in ("authorization", "content-type", "x-request-id"))
        answer = await http.post("/orders", headers={"Origin": SHOP}, json={})
        assert answer.status_code == 401, "failures can be read too"
        assert answer.headers["access-control-allow-origin"] == SHOP
        assert "x-request-id" in answer.headers["access-control-expose-headers"].lower()
        assert "access-control-allow-credentials" not in answer.headers
        for stranger in ("https://shop.example.org", "null", "https://SHOP.example"):
            asked = {"Origin": stranger} | preflight
            answer = await http.request("OPTIONS", "/orders", headers=asked)
            assert answer.status_code == 400
            answer = await http.get("/healthz", headers={"Origin": stranger})
            assert answer.headers.get("access-control-allow-origin") is None
    async with running(database_url, redis_url) as app, json_client(app) as http:
        answer = await http.request("OPTIONS", "/orders", headers={"Origin": SHOP} | preflight)
        assert not any(name.startswith("access-control-") for name in answer.headers)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"trusted_proxies": "10.0.0.1/8"}, "10.0.0.1/8"),
        ({"trusted_proxies": "10.0.0.1,proxy"}, "proxy"),
        ({"trusted_proxy_header": "x-real-ip"}, "forwarded"),
        ({"cors_origins": "shop.example"}, "shop.example"),
        ({"cors_origins": "https://shop.example/"}, "https://shop.example/"),
        ({"cors_origins": "https://Shop.example"}, "https://Shop.example"),
        ({"cors_origins": "https://shop.example,"}, "''"),
        ({"connection_age_seconds": -1}, "greater than or equal to 0"),
        ({"connection_age_grace_seconds": 0}, "greater than or equal to 1"),
        ({"http_header_seconds": 0}, "greater than or equal to 1"),
        ({"http_connections": 0}, "greater than or equal to 1"),
        ({"http_connections_per_address": -1}, "greater than or equal to 0"),
    ],
)
def test_settings_that_cannot_be_are_named(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_settings(**given)
    (setting,) = given
    assert str(refused.value).startswith(f"DEEPTRAVEL_{setting.upper()} ")
    assert named in str(refused.value)


def test_what_may_be_set() -> None:
    settings = load_settings(trusted_proxies="10.0.0.0/8, ::1", cors_origins="https://[::1]:8443,*")
    assert settings.proxies.trusts("10.1.2.3")
    assert settings.origins == ("https://[::1]:8443", "*")
