"""The files of the data folder that other commands and people look for, and who may read them."""

import json
import os
import socket
import tempfile
from pathlib import Path
from typing import Any

from server.operations.places import CONNECT_SECONDS, Places
from server.platform.config import Settings

SECRET_KEY_FILE = "secret.key"  # noqa: S105 - its name
DEMO_CREDENTIALS_FILE = "demo-credentials.json"
RUNNING_FILE = "server.json"
PRIVATE_FILES = (SECRET_KEY_FILE, DEMO_CREDENTIALS_FILE, RUNNING_FILE)
"""For the folder's owner alone."""
FREE_BYTES_NEEDED = 300 * 1024 * 1024
"""On its disk, for the embedded PostgreSQL to begin with."""


def write_running(settings: Settings, found: Places, **ports: int) -> None:
    """Tells other commands on this machine where the embedded services and the server's ports
    are.
    """
    content = {
        "pid": str(os.getpid()),
        "database_url": found.database_url,
        "redis_url": found.redis_url,
        **ports,
    }
    write_privately(settings.data_dir / RUNNING_FILE, json.dumps(content))


def read_running(settings: Settings) -> dict[str, Any]:
    """What `write_running` wrote last; empty if there is nothing."""
    try:
        content: dict[str, Any] = json.loads((settings.data_dir / RUNNING_FILE).read_text())
    except (OSError, ValueError):
        return {}
    return content


def running_port(settings: Settings) -> int | None:
    """The gRPC port of the server that serves on this machine with these settings; None if none
    answers there.
    """
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
