"""The server as production composes it, in this process."""

import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from server import app as app_module
from server.app import App, jobs
from server.platform.config import Settings, load_settings
from server.platform.schedule import Job
from tests.support.rpc_server import SECRET_KEY
from tests.support.server_process import ServerProcess


def gate_process(
    database_url: str,
    redis_url: str,
    data_dir: Path,
    *arguments: str,
    settings: Mapping[str, str] | None = None,
) -> ServerProcess:
    """A server in a process of its own, to be started; `settings` are more of its environment."""
    env = {
        "DEEPTRAVEL_DATABASE_URL": database_url,
        "DEEPTRAVEL_REDIS_URL": redis_url,
        "DEEPTRAVEL_SECRET_KEY": base64.b64encode(SECRET_KEY).decode(),
    }
    return ServerProcess(*arguments, data_dir=data_dir, env=env | dict(settings or {}))


@dataclass
class GateServer:
    """A started App, and a channel to it."""

    app: App
    channel: grpc.aio.Channel

    async def stop(self) -> None:
        """Stops as on SIGTERM."""
        self.is_stopped = True
        await self.app.stop()

    is_stopped: bool = False


def _frequent_jobs(settings: Settings) -> list[Job]:
    return [job for job in jobs(settings) if job.cadence <= timedelta(minutes=1)]


@asynccontextmanager
async def gate_server(
    database_url: str, redis_url: str, **settings: Any
) -> AsyncIterator[GateServer]:
    """A server on free ports; several over one database are several processes, but for the
    machine.

    Of its jobs it runs those that are due within a minute; `all_jobs` would look at once for the
    others too, each over a connection of its own.
    """
    ports = {"grpc_port": 0, "http_port": 0, "secret_key": SECRET_KEY}
    all_jobs = settings.pop("all_jobs", False)
    with pytest.MonkeyPatch.context() as patched:
        if not all_jobs:
            patched.setattr(app_module, "jobs", _frequent_jobs)
        app = await App.start(load_settings(**ports | settings), database_url, redis_url)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{app.grpc_port}") as channel:
        server = GateServer(app, channel)
        try:
            yield server
        finally:
            if not server.is_stopped:
                app.hurry()
                await app.stop()
