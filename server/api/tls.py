"""TLS from files, on both ports: a renewed certificate, key or client CA holds from the next
handshake on.

Files that do not fit together, as while they are being replaced one by one, leave the former ones
in force.
"""

import ssl
import threading
from pathlib import Path
from typing import Any

import grpc
import structlog

from server.platform.config import ConfigError, Settings

log = structlog.get_logger()

Stamp = tuple[tuple[int, int, int], ...]


class Certificates:
    """The server's certificate chain and key, and the CA of clients if they must have
    certificates.
    """

    def __init__(self, certificate: Path, private_key: Path, client_ca: Path | None) -> None:
        """Raises ConfigError if the files cannot be used."""
        self._certificate = certificate
        self._private_key = private_key
        self._client_ca = client_ca
        self._lock = threading.Lock()  # gRPC asks from threads of its own
        try:
            self._stamp = self._read_stamp()
            self._context = self._new_context()
            self._configuration = self._new_configuration()
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"DEEPTRAVEL_TLS_*: {certificate}, {private_key}"
                f"{f', {client_ca}' if client_ca else ''} cannot be used: {error}"
            ) from error
        self._entry = self._new_context()
        self._entry.sni_callback = self._choose

    @classmethod
    def of(cls, settings: Settings) -> "Certificates | None":
        """Those of the settings; None for plaintext. Raises ConfigError."""
        if settings.tls_certificate is None or settings.tls_private_key is None:
            return None
        return cls(settings.tls_certificate, settings.tls_private_key, settings.tls_client_ca)

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """For `add_secure_port`."""
        given = self._configuration

        def changed() -> grpc.ServerCertificateConfiguration | None:
            nonlocal given
            self._refresh()
            if given is self._configuration:
                return None
            given = self._configuration
            return given

        return grpc.dynamic_ssl_server_credentials(
            given,
            changed,  # type: ignore[arg-type] # None says that nothing changed
            require_client_authentication=self._client_ca is not None,
        )

    def ssl_context(self) -> ssl.SSLContext:
        """For asyncio."""
        return self._entry

    def _choose(self, handshake: Any, _name: str | None, _context: ssl.SSLContext) -> None:
        self._refresh()
        handshake.context = self._context

    def _refresh(self) -> None:
        with self._lock:
            try:
                stamp = self._read_stamp()
                if stamp == self._stamp:
                    return
                self._stamp = stamp
                self._context, self._configuration = self._new_context(), self._new_configuration()
            except (OSError, ssl.SSLError) as error:
                log.error(
                    "tls.not_reloaded", error=str(error), remedy="the former files still hold"
                )
            else:
                log.info("tls.reloaded", certificate=str(self._certificate))

    def _read_stamp(self) -> Stamp:
        files = (self._certificate, self._private_key, self._client_ca)
        stats = [path.stat() for path in files if path]
        return tuple((each.st_mtime_ns, each.st_size, each.st_ino) for each in stats)

    def _new_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate, self._private_key, password="")  # never asks
        context.set_alpn_protocols(["http/1.1"])
        if self._client_ca:
            context.load_verify_locations(self._client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
            # a resumed session would not be checked against a new CA
            context.options |= ssl.OP_NO_TICKET
            context.num_tickets = 0
        return context

    def _new_configuration(self) -> grpc.ServerCertificateConfiguration:
        pair = self._private_key.read_bytes(), self._certificate.read_bytes()
        ca = self._client_ca.read_bytes() if self._client_ca else None
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=ca)
