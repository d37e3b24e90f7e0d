"""A server in a process of its own, so that it can be killed in the middle of its work."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from server.app import App
from server.config import load_settings
from tests.support.rpc_server import SECRET_KEY

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class ServerProcess:
    """A started server, and a channel to it."""

    process: asyncio.subprocess.Process
    channel: grpc.aio.Channel

    async def kill(self) -> None:
        """Ends it at once, as `kill -9` does."""
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def server_process(database_url: str, redis_url: str) -> AsyncIterator[ServerProcess]:
    """Starts a server on a free port; it ends with the block, or with this process."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__, database_url, redis_url),
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([".", "generated"])},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        port = int(await process.stdout.readline())
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield ServerProcess(process, channel)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def main(database_url: str, redis_url: str) -> None:
    """Serves until the parent closes standard input, by ending."""
    settings = load_settings(grpc_port=0, http_port=0, secret_key=SECRET_KEY, log_level="ERROR")
    app = await App.start(settings, database_url, redis_url)
    os.write(1, b"%d\n" % app.grpc_port)
    await asyncio.to_thread(sys.stdin.read)
    app.hurry()
    await app.stop()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
