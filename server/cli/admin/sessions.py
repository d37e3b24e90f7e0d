"""Log-ins at servers, kept between commands in a file that only its owner reads; and calls that
carry them.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from deeptravel.redemption.v1 import access_pb2, redemption_service_pb2_grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from server.cli.admin.values import UsageError

DEFAULT_SERVER = "localhost:50051"
RETRIES_SECONDS = (0.2, 1.0)
"""Pauses before a call is sent again, with the same request_id."""
BEFORE_EXPIRY_SECONDS = 30
_LOOPBACK = ("localhost", "127.", "[::1]")
_AWAY = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Server:
    """Where calls go, and how."""

    address: str
    tls: bool = False
    ca: Path | None = None
    insecure: bool = False
    timeout_seconds: float = 30.0


class CallError(Exception):
    """A call that was refused, or that no server answered.

    Attributes:
        reason: as the contract names it; the status code's name without one.
        fields: paths of fields that are wrong, and what is wrong with each.
        is_away: whether the server did not answer, or said that it cannot now.
    """

    def __init__(self, error: grpc.RpcError) -> None:
        status: Any = error
        super().__init__(status.details() or "")
        self.code: grpc.StatusCode = status.code()
        self.is_away = self.code in _AWAY
        self.reason = self.code.name
        self.fields: list[tuple[str, str]] = []
        for key, value in status.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                self._read(status_pb2.Status.FromString(value))

    def _read(self, status: status_pb2.Status) -> None:
        for detail in status.details:
            info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
            if detail.Unpack(info):
                self.reason = info.reason
            elif detail.Unpack(bad):
                self.fields = [(each.field, each.description) for each in bad.field_violations]


class KeptLogins:
    """The file of log-ins: by server, the tokens and until when the first is good."""

    def __init__(self) -> None:
        home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        self.path = Path(home) / "deeptravel" / "admin-logins.json"

    def read(self, server: str) -> dict[str, Any] | None:
        """The log-in at a server; None without one."""
        found: dict[str, Any] | None = self._all().get(server)
        return found

    def write(self, server: str, login: dict[str, Any] | None) -> None:
        """Keeps the log-in at a server, or forgets it."""
        kept = self._all()
        kept.pop(server, None)
        if login:
            kept[server] = login
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self.path.with_suffix(f".{os.getpid()}")
        # with its mode from the first moment
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(kept, file)
        fresh.replace(self.path)

    def _all(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self.path.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return found


@contextmanager
def connected(server: Server) -> Iterator[grpc.Channel]:
    """A channel to a server. Raises UsageError for one elsewhere without TLS."""
    if server.tls or server.ca:
        roots = server.ca.read_bytes() if server.ca else None
        channel = grpc.secure_channel(server.address, grpc.ssl_channel_credentials(roots))
    else:
        if not server.insecure and not server.address.startswith(_LOOPBACK):
            raise UsageError(
                f"{server.address} is not this machine: write --tls, --tls-ca FILE for a CA of your"
                " own, or --insecure where the network itself is safe"
            )
        channel = grpc.insecure_channel(server.address)
    with channel:
        yield channel


class AdminSession:
    """Calls of one server, by whoever is logged in there."""

    def __init__(self, server: Server, channel: grpc.Channel, tokens: KeptLogins) -> None:
        self.server = server
        self.channel = channel
        self.tokens = tokens

    def metadata(self) -> Metadata:
        """Who calls. Raises UsageError without a log-in, CallError if it cannot be renewed."""
        if token := os.environ.get("DEEPTRAVEL_ADMIN_TOKEN"):
            return (("authorization", f"Bearer {token}"),)
        login = self.tokens.read(self.server.address)
        if login is None:
            raise UsageError(
                f"nobody is logged in at {self.server.address}: deeptravel admin login USERNAME"
                f" --server {self.server.address}"
            )
        if time.time() > login["expire_time"] - BEFORE_EXPIRY_SECONDS:
            login = self._renewed(login)
        return (("authorization", f"Bearer {login['access_token']}"),)

    def keep(self, username: str, answer: Any) -> dict[str, Any]:
        """Keeps what a log-in or its renewal answered."""
        login = {
            "username": username,
            "access_token": answer.access_token,
            "refresh_token": answer.refresh_token,
            "expire_time": time.time() + answer.expires_in,
        }
        self.tokens.write(self.server.address, login)
        return login

    def log_out(self) -> None:
        """Ends the log-in at the server, and forgets it."""
        stub = redemption_service_pb2_grpc.RedemptionServiceStub(self.channel)
        metadata = self.metadata()
        self.tokens.write(self.server.address, None)
        self.send(stub.Logout, access_pb2.LogoutRequest(), metadata)

    def send(self, call: Callable[..., Any], request: Message, metadata: Metadata = ()) -> Any:
        """The answer; sent again, the same, where no server answered. Raises CallError."""
        for pause in (*RETRIES_SECONDS, None):
            try:
                return call(request, metadata=metadata, timeout=self.server.timeout_seconds)
            except grpc.RpcError as error:
                failure = CallError(error)
                if not failure.is_away or pause is None:
                    raise failure from None
                time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def stream(self, call: Callable[..., Any], request: Message) -> Iterator[Any]:
        """The answers of a stream as they come. Raises CallError."""
        try:
            yield from call(request, metadata=self.metadata())
        except grpc.RpcError as error:
            raise CallError(error) from None

    def _renewed(self, login: dict[str, Any]) -> dict[str, Any]:
        stub = redemption_service_pb2_grpc.RedemptionServiceStub(self.channel)
        request = access_pb2.RefreshTokenRequest(refresh_token=login["refresh_token"])
        return self.keep(login["username"], self.send(stub.RefreshToken, request))
