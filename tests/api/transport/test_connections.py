"""What holds of connections on both transports: ports, TLS, keep-alive, age, and the libraries'
services.
"""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from server.api import operations
from server.api.tls import Certificates
from server.api.transport.choice import Transport, new_server
from tests.api.transport.test_calls import begun, ended, ours, outcome
from tests.support.certificates import Pair, issue
from tests.support.echo_server import Client, Echo, serving
from tests.support.waiting import WAIT_SECONDS

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"
PING_FRAME, GO_AWAY_FRAME = 6, 7
APART = (("grpc.use_local_subchannel_pool", 1),)
"""A channel with these has a connection of its own."""


@pytest.fixture
def echo() -> Echo:
    return Echo()


async def test_a_unix_socket(transport: Transport, echo: Echo, tmp_path: Path) -> None:
    async with serving(transport, echo, address=f"unix:{tmp_path}/s") as (_, client):
        for method in ("Unary", "Plain"):
            assert await client.unary(method)(b"x") == b"x"
        call = client.unary("Hold")(b"")
        await begun(echo)
        assert echo.context.peer().startswith("unix:")
        call.cancel()


@ours
async def test_a_port_that_is_taken_cannot_be_had(transport: Transport, echo: Echo) -> None:
    async with serving(transport, echo, options=[("grpc.so_reuseport", 0)]) as (_, client):
        other = new_server(transport, options=[("grpc.so_reuseport", 0)])
        with pytest.raises(RuntimeError, match=client.target):
            other.add_insecure_port(client.target)
        await other.stop(None)


async def test_two_servers_share_a_port(transport: Transport) -> None:
    """As several workers do: the kernel gives each some of the connections."""
    one, other = Echo(), Echo()
    shared = (("grpc.so_reuseport", 1),)
    async with (
        serving(transport, one, options=shared) as (_, client),
        serving(transport, other, options=shared, address=client.target),
    ):
        async with asyncio.timeout(WAIT_SECONDS):
            while not (one.answered and other.answered):
                async with grpc.aio.insecure_channel(client.target, options=APART) as channel:
                    assert await Client(channel).unary("Unary")(b"x") == b"x"


class Files:
    """Certificates in a folder, which the server reads anew."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ca = issue("CA")
        self.put(issue("server", self.ca))
        (folder / "ca.pem").write_bytes(self.ca.pem)

    def put(self, pair: Pair) -> None:
        (self._folder / "server.pem").write_bytes(pair.pem)
        (self._folder / "server.key").write_bytes(pair.key_pem)

    def credentials(self, *, mutual: bool) -> grpc.ServerCredentials:
        names = [self._folder / name for name in ("server.pem", "server.key", "ca.pem")]
        return Certificates(names[0], names[1], names[2] if mutual else None).grpc_credentials()


async def answers(target: str, credentials: grpc.ChannelCredentials) -> bool:
    """Whether a new connection is taken."""
    async with grpc.aio.secure_channel(target, credentials, options=APART) as channel:
        code, _ = await ended(Client(channel).unary("Unary")(b"x", timeout=30))
    assert code in ("OK", "UNAVAILABLE")
    return code == "OK"


async def test_tls_from_files_that_are_replaced(
    transport: Transport, echo: Echo, tmp_path: Path
) -> None:
    files = Files(tmp_path)
    trusting = grpc.ssl_channel_credentials(files.ca.pem)
    credentials = files.credentials(mutual=False), trusting
    async with serving(transport, echo, credentials=credentials) as (_, client):
        held = client.unary("Hold")(b"held")
        await begun(echo)
        assert await answers(client.target, trusting)
        assert not await answers(client.target, grpc.ssl_channel_credentials(issue("CA").pem))
        new_ca = issue("CA")
        files.put(issue("server", new_ca))
        assert await answers(client.target, grpc.ssl_channel_credentials(new_ca.pem))
        assert not await answers(client.target, trusting)
        echo.open.set()
        assert await held == b"held", "a connection stays as it was"


async def test_mutual_tls_says_who_is_there(
    transport: Transport, echo: Echo, tmp_path: Path
) -> None:
    files = Files(tmp_path)
    own = issue("gate 7", files.ca)
    known = grpc.ssl_channel_credentials(files.ca.pem, own.key_pem, own.pem)
    credentials = files.credentials(mutual=True), known
    async with serving(transport, echo, credentials=credentials) as (_, client):
        call = client.unary("Hold")(b"")
        await begun(echo)
        assert echo.context.peer_identity_key() == "x509_subject_alternative_name"
        assert list(echo.context.peer_identities()) == [b"127.0.0.1"]
        assert echo.context.auth_context()["x509_common_name"] == [b"gate 7"]
        call.cancel()
        assert await outcome(echo) == "CancelledError"
        stranger = issue("stranger", issue("CA"))
        for given in ((None, None), (stranger.key_pem, stranger.pem)):
            unknown = grpc.ssl_channel_credentials(files.ca.pem, *given)
            assert not await answers(client.target, unknown)


async def test_whose_certificates_are_taken_is_replaced_too(
    transport: Transport, echo: Echo, tmp_path: Path
) -> None:
    files, new_ca = Files(tmp_path), issue("CA")

    def client_of(ca: Pair) -> grpc.ChannelCredentials:
        own = issue("gate 7", ca)
        return grpc.ssl_channel_credentials(files.ca.pem, own.key_pem, own.pem)

    former, later = client_of(files.ca), client_of(new_ca)
    credentials = files.credentials(mutual=True), former
    async with serving(transport, echo, credentials=credentials) as (_, client):
        assert await answers(client.target, former)
        assert not await answers(client.target, later)
        (tmp_path / "ca.pem").write_bytes(new_ca.pem)
        assert await answers(client.target, later)
        assert not await answers(client.target, former)


async def frames(target: str, until_kind: int) -> int:
    """How many frames of the kind come before the connection ends, or the first of them."""
    host, _, port = target.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(PREFACE)
    found = 0
    async with asyncio.timeout(WAIT_SECONDS):
        while not found and (head := await reader.read(9)):
            found += head[3] == until_kind
            await reader.readexactly(int.from_bytes(head[:3], "big"))
    writer.close()
    await writer.wait_closed()
    return found


async def test_a_silent_connection_is_asked_whether_it_is_alive(
    transport: Transport, echo: Echo
) -> None:
    asked = [("grpc.keepalive_time_ms", 1000), ("grpc.keepalive_permit_without_calls", 1)]
    async with serving(transport, echo, options=asked) as (_, client):
        assert await frames(client.target, PING_FRAME)


async def test_an_old_connection_is_closed_and_its_calls_finish(
    transport: Transport, echo: Echo
) -> None:
    aged = [("grpc.max_connection_age_ms", 500), ("grpc.max_connection_age_grace_ms", 60_000)]
    async with serving(transport, echo, options=aged) as (_, client):
        held = client.unary("Hold")(b"held")
        await begun(echo)
        assert await frames(client.target, GO_AWAY_FRAME)
        assert await client.unary("Unary")(b"on a new one") == b"on a new one"
        echo.open.set()
        assert await held == b"held"


async def test_services_of_libraries(transport: Transport, echo: Echo) -> None:
    """Health with its stream, reflection under both names, channelz."""
    servicer = health.aio.HealthServicer()
    async with serving(
        transport, echo, add=lambda server: operations.add_services(server, servicer)
    ) as (_, client):
        checks: Any = health_pb2_grpc.HealthStub(client.channel)
        asked = health_pb2.HealthCheckRequest()
        assert (await checks.Check(asked)).status == health_pb2.HealthCheckResponse.SERVING
        watch = checks.Watch(asked)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        await servicer.enter_graceful_shutdown()
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
        unknown = checks.Check(health_pb2.HealthCheckRequest(service="no.Service"))
        assert (await ended(unknown))[0] == "NOT_FOUND"
        for version in ("v1", "v1alpha"):
            names = await reflected(client, version)
            assert {"grpc.channelz.v1.Channelz", f"grpc.reflection.{version}.ServerReflection"} <= (
                names
            )
        channel: Any = client.channel
        live: Any = channelz_pb2_grpc.ChannelzStub(channel)
        found = await live.GetServers(channelz_pb2.GetServersRequest())
        assert any(server.data.calls_started > 3 for server in found.server)


async def reflected(client: Client, version: str) -> set[str]:
    """The services that reflection names; the same messages under both of its names."""
    method: Any = client.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    call = method(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    answer = await call.read()
    assert await ended(call) == ("OK", "")
    return {each.name for each in answer.list_services_response.service}


async def test_more_calls_than_are_awaited_at_once(transport: Transport, echo: Echo) -> None:
    """Those that come while many are open are served as well."""
    async with serving(transport, echo) as (_, client):
        held = [client.unary("Hold")(b"%d" % number) for number in range(500)]
        for _ in held:
            await begun(echo)
        assert await client.unary("Unary")(b"x") == b"x"
        echo.open.set()
        assert await asyncio.gather(*held) == [b"%d" % number for number in range(500)]
