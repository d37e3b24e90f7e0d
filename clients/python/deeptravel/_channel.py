"""Where the server is and how it is reached."""

from dataclasses import dataclass, field
from typing import Any

import grpc

from deeptravel._retries import RetryPolicy
from deeptravel._version import __version__

CALL_SECONDS = 30.0
EVENT_PAUSE_SECONDS = 5.0
"""Twelve calls a minute, of the hundred that a partner has."""
EVENT_PAGE = 50
OPTIONS: tuple[tuple[str, Any], ...] = (
    # Deadlines and repeats are this client's: those of a service config end calls early in Python
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.enable_retries", 0),
    ("grpc.primary_user_agent", f"deeptravel-python/{__version__}"),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
)


@dataclass(frozen=True)
class Target:
    """An address, and what is wanted of calls to it."""

    address: str
    plaintext: bool
    root_certificates: bytes | None = field(repr=False)
    timeout: float
    retry: RetryPolicy
    options: tuple[tuple[str, Any], ...] = ()

    def credentials(self) -> grpc.ChannelCredentials | None:
        """For TLS; None for plaintext. Raises ValueError."""
        if not self.plaintext:
            return grpc.ssl_channel_credentials(self.root_certificates)
        if self.root_certificates is not None:
            raise ValueError("root_certificates are for TLS: leave plaintext out")
        return None

    @property
    def channel_options(self) -> tuple[tuple[str, Any], ...]:
        """For the channel, a caller's last: gRPC takes the last of a name."""
        return (*OPTIONS, *self.options)
