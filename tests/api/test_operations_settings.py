"""Where the operations address is, and what it needs to be reached from elsewhere."""

from typing import Any

import pytest

from server.app import App
from server.platform.config import ConfigError, load_settings
from tests.support.certificates import issue

FIELDS = ("grpc_port", "http_port", "operations_grpc_port", "operations_http_port")


@pytest.mark.parametrize(
    ("given", "ports"),
    [
        ({}, (50051, 8080, 51051, 9080)),
        ({"grpc_port": 0, "http_port": 0}, (0, 0, 0, 0)),
        ({"http_port": 65000}, (50051, 65000, 51051, 64000)),
        ({"operations_grpc_port": 7, "operations_http_port": 0}, (50051, 8080, 7, 0)),
    ],
)
def test_ports(given: dict[str, Any], ports: tuple[int, ...]) -> None:
    listeners = load_settings(**given).listeners
    assert tuple(listeners[name][1] for name in FIELDS) == ports
    assert {host for host, _, _ in listeners.values()} == {"127.0.0.1"}


@pytest.mark.parametrize("name", ["operations_grpc_host", "operations_http_host"])
def test_plaintext_leaves_the_machine_only_where_that_is_allowed(name: str, tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match=r"plaintext on 192\.0\.2\.1"):
        load_settings(**{name: "192.0.2.1"})
    load_settings(**{name: "192.0.2.1"}, allow_plaintext=True)


def test_tls_is_for_whom_another_machine_reaches(tmp_path: Any) -> None:
    pair = issue("server", issue("CA"))
    (tmp_path / "server.pem").write_bytes(pair.pem)
    (tmp_path / "server.key").write_bytes(pair.key_pem)
    files = {
        "tls_certificate": tmp_path / "server.pem",
        "tls_private_key": tmp_path / "server.key",
    }
    inside, outside = (
        App(load_settings(operations_http_host=host, **files)) for host in ("::1", "192.0.2.1")
    )
    assert inside._certificates_on("http_port")
    assert not inside._certificates_on("operations_http_port")
    assert outside._certificates_on("operations_http_port")
