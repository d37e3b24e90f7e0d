"""The operations address: metrics and channelz answer there, with one process and with several,
and nowhere else.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from deeptravel.ticketing.v1 import offer_pb2, ticketing_service_pb2_grpc
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from tests.support.server_process import ServerProcess

METHOD = "ListHotCities"
CALLS = 12
PROCESSES = {"one": (), "workers": ("--workers", "2")}


@pytest.fixture
def env(database_url: str, redis_url: str) -> dict[str, str]:
    """Settings for a server over the tests' PostgreSQL and Valkey."""
    return {
        "DEEPTRAVEL_DATABASE_URL": database_url,
        "DEEPTRAVEL_REDIS_URL": redis_url,
        "DEEPTRAVEL_SECRET_KEY": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    }


@pytest.fixture(params=PROCESSES)
def server(
    tmp_path: Path, env: dict[str, str], request: pytest.FixtureRequest
) -> Iterator[ServerProcess]:
    with ServerProcess(*PROCESSES[request.param], data_dir=tmp_path, env=env) as running:
        yield running


def servers_of(target: str) -> list[Any]:
    with grpc.insecure_channel(target) as channel:
        stub: Any = channelz_pb2_grpc.ChannelzStub(channel)
        return list(stub.GetServers(channelz_pb2.GetServersRequest()).server)


def test_metrics_and_channelz_answer_on_the_operations_address_alone(
    server: ServerProcess,
) -> None:
    """Seen red: both answered anybody on the public ports."""
    for _ in range(CALLS):  # each on a connection of its own, which any worker may get
        with grpc.insecure_channel(server.target) as channel:
            stub = ticketing_service_pb2_grpc.TicketingServiceStub(channel)
            stub.ListHotCities(offer_pb2.ListHotCitiesRequest())
    with httpx2.Client(base_url=server.url) as public:
        refused = public.get("/metrics")
        assert (refused.status_code, refused.json()["code"]) == (404, 5)
        assert public.get("/healthz").status_code == 200
    with pytest.raises(grpc.RpcError) as unimplemented:
        servers_of(server.target)
    assert getattr(unimplemented.value, "code")() is grpc.StatusCode.UNIMPLEMENTED  # noqa: B009

    for _ in range(4):  # whichever worker answers, the figures are those of all
        with httpx2.Client(base_url=server.operations_url) as operations:
            answer = operations.get("/metrics")
            assert answer.headers["content-type"].startswith("text/plain")
            (counted,) = re.findall(
                rf"^rpc_server_call_duration_seconds_count\{{.*{METHOD}.*\}} (\S+)$",
                answer.text,
                re.MULTILINE,
            )
            assert float(counted) == CALLS
            assert operations.get("/healthz").json() == {"status": "SERVING", "degraded": []}
            assert operations.get("/offers").status_code == 404
    assert servers_of(server.channelz_target)
    with grpc.insecure_channel(server.channelz_target) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert "grpc.channelz.v1.Channelz" in set(database.get_services())
        health: Any = health_pb2_grpc.HealthStub(channel)
        answer = health.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        stub = ticketing_service_pb2_grpc.TicketingServiceStub(channel)
        with pytest.raises(grpc.RpcError) as nothing_else:
            stub.ListHotCities(offer_pb2.ListHotCitiesRequest())
        assert getattr(nothing_else.value, "code")() is grpc.StatusCode.UNIMPLEMENTED  # noqa: B009


def test_a_busy_operations_port_is_named(tmp_path: Path, env: dict[str, str]) -> None:
    with ServerProcess(data_dir=tmp_path / "first", env=env) as first:
        port = first.operations_url.rpartition(":")[2]
        taken = env | {"DEEPTRAVEL_OPERATIONS_HTTP_PORT": port}
        second = ServerProcess(data_dir=tmp_path / "second", env=taken)
        with pytest.raises(AssertionError, match="set DEEPTRAVEL_OPERATIONS_HTTP_PORT"):
            second.start()
