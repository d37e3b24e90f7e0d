"""Where PostgreSQL and Redis are: those of the settings, or embedded ones, of this process or of a running server."""

import contextlib
import json
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from server.platform.config import Settings
from server.platform.loops import Loop, Loops

if TYPE_CHECKING:
    from server.embedded.services import EmbeddedServices

CONNECT_SECONDS = 5
RUNNING_FILE = "server.json"


@dataclass(frozen=True)
class Places:
    """Where PostgreSQL and Redis are, and whether they are ours; `services` only in the process that runs them."""

    database_url: str
    redis_url: str
    embedded: bool = False
    services: "EmbeddedServices | None" = field(default=None, repr=False, compare=False)

    @property
    def for_workers(self) -> dict[str, Any]:
        """What another process of the same server is given."""
        return {
            "database_url": self.database_url,
            "redis_url": self.redis_url,
            "embedded": self.embedded,
        }

    def keep(self, loops: Loops) -> list[Loop]:
        """Has the services that this process runs started again when they die; end the loops before the services."""
        kept = []
        for child in self.services.children if self.services else ():
            kept.append(loops.add(f"embedded {child.name}", child.keep))
            kept[-1].start()
        return kept


@contextlib.contextmanager
def open_places(
    settings: Settings, *, attach: bool = False, when_ours: Callable[[], None] | None = None
) -> Iterator[Places]:
    """The database and Redis of the settings; else embedded ones, run until the end of the block.

    `when_ours` is called as soon as the data folder is this process's, before the services are up.

    With `attach`, those of a server that runs over the same data folder are used. Raises StartError.
    """
    if settings.database_url and settings.redis_url:
        yield Places(settings.database_url, settings.redis_url)
        return
    from server.embedded.services import EmbeddedServices, FolderInUseError

    try:
        services = EmbeddedServices.start(settings.data_dir, when_ours=when_ours)
    except FolderInUseError as error:
        running = read_running(settings) if attach else {}
        if running.get("pid") != error.pid:
            raise
        yield Places(running["database_url"], running["redis_url"], embedded=True)
        return
    try:
        found = Places(services.database_url, services.redis_url, embedded=True, services=services)
        write_running(settings, found)
        yield found
    finally:
        (settings.data_dir / RUNNING_FILE).unlink(missing_ok=True)
        services.stop()


def write_running(settings: Settings, found: Places, **ports: int) -> None:
    """Tells other commands on this machine where the embedded services and the server's ports are."""
    content = {
        "pid": str(os.getpid()),
        "database_url": found.database_url,
        "redis_url": found.redis_url,
        **ports,
    }
    write_privately(settings.data_dir / RUNNING_FILE, json.dumps(content))


def read_running(settings: Settings) -> dict[str, Any]:
    """What `write_running` told last; empty if nothing is told."""
    try:
        content: dict[str, Any] = json.loads((settings.data_dir / RUNNING_FILE).read_text())
    except (OSError, ValueError):
        return {}
    return content


def running_port(settings: Settings) -> int | None:
    """The gRPC port of the server that serves on this machine with these settings; None if none answers there."""
    running = read_running(settings)
    for port in (running.get("grpc_port"), settings.grpc_port):
        if port:
            try:
                socket.create_connection((settings.grpc_host, port), CONNECT_SECONDS).close()
            except OSError:
                continue
            return int(port)
    return None


def write_privately(path: Path, content: str) -> None:
    """Writes a file for this user alone, whole or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # mode 600
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(path)
