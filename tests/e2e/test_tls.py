"""TLS and mutual TLS on both ports, from files that are replaced while the server runs."""

import base64
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.certificates import Pair, issue
from tests.support.server_process import ServerProcess

SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture
def env(database_url: str, redis_url: str, tmp_path: Path) -> dict[str, str]:
    """Settings of a server with TLS; its files are in `tmp_path`."""
    return {
        "DEEPTRAVEL_DATABASE_URL": database_url,
        "DEEPTRAVEL_REDIS_URL": redis_url,
        "DEEPTRAVEL_SECRET_KEY": base64.b64encode(bytes(range(32))).decode(),
        "DEEPTRAVEL_TLS_CERTIFICATE": str(tmp_path / "server.pem"),
        "DEEPTRAVEL_TLS_PRIVATE_KEY": str(tmp_path / "server.key"),
    }


def put(folder: Path, pair: Pair) -> None:
    (folder / "server.pem").write_bytes(pair.pem)
    (folder / "server.key").write_bytes(pair.key_pem)


def grpc_serves(server: ServerProcess, ca: Pair, client: Pair | None = None) -> bool:
    """Whether a health check over a new connection is answered."""
    credentials = grpc.ssl_channel_credentials(
        ca.pem, client.key_pem if client else None, client.pem if client else None
    )
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(server.target, credentials, options) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=30)
        except grpc.RpcError:
            return False
    return bool(answer.status == SERVING)


def https_serves(server: ServerProcess, folder: Path, ca: Pair, client: Pair | None = None) -> bool:
    """Whether a request over a new connection is answered."""
    context = ssl.create_default_context(cadata=ca.pem.decode())
    if client:
        (folder / "client.pem").write_bytes(client.pem + client.key_pem)
        context.load_cert_chain(folder / "client.pem")
    try:
        with httpx2.Client(verify=context) as http:
            answer = http.get(f"https://127.0.0.1:{server.http_port}/healthz")
    except httpx2.TransportError:
        return False
    return bool(answer.json()["status"] == "SERVING")


def serials(server: ServerProcess) -> list[int]:
    """Of the certificates on both ports."""
    return [
        x509.load_pem_x509_certificate(
            ssl.get_server_certificate(("127.0.0.1", port)).encode()
        ).serial_number
        for port in (server.grpc_port, server.http_port)
    ]


def test_renewed_certificate_is_used_without_restart(env: dict[str, str], tmp_path: Path) -> None:
    ca = issue("CA")
    first, second = issue("first", ca), issue("second", ca)
    put(tmp_path, first)
    with ServerProcess(data_dir=tmp_path / "data", env=env) as server:
        assert grpc_serves(server, ca)
        assert https_serves(server, tmp_path, ca)
        assert not grpc_serves(server, issue("another CA"))
        with pytest.raises(httpx2.TransportError):
            httpx2.get(server.url)  # plaintext
        assert serials(server) == [first.serial] * 2

        (tmp_path / "server.pem").write_bytes(second.pem)  # and still the former key
        assert serials(server) == [first.serial] * 2
        assert '"tls.not_reloaded"' in server.log

        put(tmp_path, second)
        assert serials(server) == [second.serial] * 2
        assert grpc_serves(server, ca)
        assert https_serves(server, tmp_path, ca)
    assert server.process.returncode == 0


def test_client_certificates(env: dict[str, str], tmp_path: Path) -> None:
    ca, client_ca, other_ca = issue("CA"), issue("clients' CA"), issue("clients' other CA")
    client, other = issue("client", client_ca), issue("other", other_ca)
    put(tmp_path, issue("server", ca))
    (tmp_path / "clients.pem").write_bytes(client_ca.pem)
    env["DEEPTRAVEL_TLS_CLIENT_CA"] = str(tmp_path / "clients.pem")
    with ServerProcess(data_dir=tmp_path / "data", env=env) as server:
        both: list[Callable[[Pair | None], bool]] = [
            lambda given: grpc_serves(server, ca, given),
            lambda given: https_serves(server, tmp_path, ca, given),
        ]
        for serves in both:
            assert serves(client)
            assert not serves(None)
            assert not serves(other)
        (tmp_path / "clients.pem").write_bytes(other_ca.pem)
        for serves in both:
            assert serves(other)
            assert not serves(client)
    assert server.process.returncode == 0


def test_certificate_and_key_that_do_not_fit(env: dict[str, str], tmp_path: Path) -> None:
    ca = issue("CA")
    put(tmp_path, issue("one", ca)._replace(key=issue("two", ca).key))
    server = ServerProcess(data_dir=tmp_path / "data", env=env)
    with pytest.raises(AssertionError, match=r"(?s)exit code 2.*DEEPTRAVEL_TLS_.* cannot be used"):
        server.start()
    assert "Traceback" not in server.log
