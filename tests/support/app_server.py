"""The whole server in the test's own process, and what its port is spoken to with."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from server.app import App
from server.platform.config import Settings, load_settings

SECRET_KEY = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"
"""How an HTTP/2 connection begins, and empty settings."""


def settings(**given: Any) -> Settings:
    """Settings for free ports."""
    return load_settings(grpc_port=0, http_port=0, secret_key=SECRET_KEY, **given)


@asynccontextmanager
async def running(database_url: str, redis_url: str, **given: Any) -> AsyncIterator[App]:
    """A started server, stopped as on SIGTERM."""
    app = await App.start(settings(**given), database_url, redis_url)
    try:
        yield app
    finally:
        await app.stop()


@asynccontextmanager
async def channel_to(app: App) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to its public port."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{app.grpc_port}") as channel:
        yield channel
