"""Failed log-ins and lost refreshes through a real server, over gRPC and JSON: where a call comes
from counts.

Seen red with failures counted by name alone: the operator was locked out.
"""

from collections.abc import AsyncIterator

import httpx2
import pytest
from deeptravel.admin.v1 import account_pb2
from deeptravel.admin.v1.admin_service_pb2_grpc import AdminServiceStub
from deeptravel.redemption.v1 import access_pb2

from tests.support.gate import PASSWORD, Terminal, World, a_world
from tests.support.gate_server import GateServer, gate_server

GUESSER = "127.0.0.2"
"""Another address of this machine, from which the guesser calls."""


@pytest.fixture(scope="module")
async def world(module_database_url: str) -> AsyncIterator[World]:
    async with a_world(module_database_url) as filled:
        yield filled


@pytest.fixture(scope="module")
async def server(
    world: World, module_database_url: str, module_redis_url: str
) -> AsyncIterator[GateServer]:
    async with gate_server(module_database_url, module_redis_url) as running:
        yield running


def http_from(server: GateServer, address: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        base_url=f"http://127.0.0.1:{server.app.http_port}",
        transport=httpx2.AsyncHTTPTransport(local_address=address),
    )


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/operators/login", {"username": "olga", "terminal_device_id": "T-1"}),
        ("/admin/login", {"username": "root"}),
    ],
)
async def test_a_guesser_elsewhere_locks_nobody_out(
    server: GateServer, path: str, body: dict[str, str]
) -> None:
    async with http_from(server, GUESSER) as guesser, http_from(server, "127.0.0.1") as here:
        wrong = body | {"password": "guess"}
        statuses = [(await guesser.post(path, json=wrong)).status_code for _ in range(7)]
        assert statuses == [401] * 5 + [429] * 2
        right = body | {"password": PASSWORD}
        locked = await guesser.post(path, json=right)
        assert locked.status_code == 429
        assert int(locked.headers["retry-after"]) > 200
        assert (await here.post(path, json=right)).status_code == 200
    if "terminal_device_id" in body:
        await Terminal.log_in(server.channel)
    else:
        request = account_pb2.AdminLoginRequest(**right)
        assert (await AdminServiceStub(server.channel).AdminLogin(request)).access_token


async def test_a_refresh_whose_answer_was_lost(server: GateServer) -> None:
    """Seen red with `gets_successor_again` refusing every repeat: UNAUTHENTICATED."""
    stub = (await Terminal.log_in(server.channel)).stub
    login = access_pb2.OperatorLoginRequest(
        username="olga", password=PASSWORD, terminal_device_id="T-1"
    )
    token = (await stub.OperatorLogin(login)).refresh_token
    first = await stub.RefreshToken(access_pb2.RefreshTokenRequest(refresh_token=token))
    again = await stub.RefreshToken(access_pb2.RefreshTokenRequest(refresh_token=token))
    assert (again.access_token, again.refresh_token) == (first.access_token, first.refresh_token)
    assert 0 <= first.expires_in - again.expires_in < 60
    async with http_from(server, "127.0.0.1") as http:
        answer = await http.post("/operators/refresh", json={"refresh_token": token})
        assert answer.json()["refresh_token"] == first.refresh_token
