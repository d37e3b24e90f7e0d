"""What a process loads before it serves: counted, not timed."""

import os
import subprocess
import sys
from pathlib import Path

from alembic.script import ScriptDirectory

from server.operations import schema

ROOT = Path(__file__).parents[2]
ONLY_WHEN_NEEDED = {
    *("alembic", "mako", "jinja2"),  # a migration
    *("phonenumbers", "segno", "PIL"),  # a telephone number, a picture
    *("markdown_it", "fpdf", "icalendar"),  # a page of the documentation, a statement, an entry
    "aiosmtplib",  # an e-mail
    "opentelemetry",  # a collector
    *("server.webhooks.sending", "aiohttp"),  # a partner's endpoint, a channel
    "psutil",  # a PostgreSQL left over by a kill
    *("rich.traceback", "pygments"),  # structlog's tracebacks, if they were not text
    "sqlalchemy.orm",  # nothing: the tables are asked for rows
    *("uvicorn.main", "uvicorn.supervisors", "click"),  # nothing: uvicorn is a part of this process
    *("valkey", "coredis"),  # nothing: other clients than ours
    *("pytest", "mypy"),
    *("server.operations.doctor", "server.cli.demo", "server.cli.reconciling"),
}
NOT_IN_A_WORKER = {
    *("rich", "typer"),
    "server.__main__",
    "server.cli.development",
    "server.operations.preparation",
    "server.cli.welcome",
    "server.operations.schema",
    "tools",
}
MOST_MODULES = {"worker": 1_650, "serve": 1_740}
"""A few more than there are, a third of them our own: each costs about 0.7 ms of CPU."""
WORKER = "server.cli.worker, server.cli.serving"
SERVE = (
    "server.__main__, server.cli.development, server.operations.preparation, server.cli.serving,"
    " server.cli.welcome"
)
EMBEDDED = f"{SERVE}, tools.dev.demo_data, tools.dev.embedded.services"


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={name: text for name, text in os.environ.items() if "DEEPTRAVEL" not in name},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded_of(loaded: list[str], unwanted: set[str]) -> set[str]:
    return {
        name
        for name in loaded
        if any(name == each or name.startswith(f"{each}.") for each in unwanted)
    }


def require_few(process: str, loaded: list[str], unwanted: set[str]) -> None:
    """Of all modules that a process has loaded."""
    assert loaded_of(loaded, unwanted) == set()
    assert len(loaded) <= MOST_MODULES[process]


def test_what_is_loaded_to_serve() -> None:
    """By URLs, and then by embedded services. Seen red: alembic, mako, phonenumbers and segno.

    Also with any use of `server.platform.optional` taken out, and with psutil imported at once.
    """
    by_urls, embedded = run(
        f"import {SERVE}, sys; print(*sys.modules); import {EMBEDDED}; print(*sys.modules)"
    ).splitlines()
    require_few("serve", by_urls.split(), ONLY_WHEN_NEEDED | {"tools"})
    require_few("serve", embedded.split(), ONLY_WHEN_NEEDED)


def test_what_is_loaded_by_a_worker(database_url: str, redis_url: str) -> None:
    """When it serves nothing more: what is loaded later holds up calls. Seen red: `limits` loaded
    valkey.
    """
    loaded = run(f"""
import sys
import {WORKER}
print(*sys.modules)
import asyncio
from datetime import UTC, datetime
from server.platform import logs
from server.app import App
from server.platform.config import load_settings
from server.platform.database import Database
from server.tickets.keys import create_first_key

async def serve():
    logs.configure(level="ERROR", style="json")
    ports = ("grpc_port", "http_port", "operations_grpc_port", "operations_http_port")
    settings = load_settings(secret_key=bytes(32), **dict.fromkeys(ports, 0))
    db = Database(settings, {database_url!r})
    async with db.transaction() as tx:
        await create_first_key(tx, bytes(32), datetime.now(UTC))
    await db.close()
    app = await App.start(settings, {database_url!r}, {redis_url!r})
    print(*sys.modules)
    await app.stop()

asyncio.run(serve())
""").splitlines()
    assert len(loaded) == 2
    for each in loaded:
        require_few("worker", each.split(), ONLY_WHEN_NEEDED | NOT_IN_A_WORKER)


def test_the_newest_migration_is_known_without_alembic() -> None:
    script = ScriptDirectory.from_config(schema._config())
    assert script.get_heads() == [schema.newest_revision()]


def test_garbage_is_collected_once_it_serves() -> None:
    """It is not while modules are loaded. Seen red without `gc.enable` in either."""
    assert run("""
import gc, os, signal
from server.cli import serving
from server.operations.places import Places
from server.platform.config import load_settings
from server.platform.loops import Loops

class App:
    ports, loops = {}, Loops()
    @classmethod
    async def start(cls, *_, **__): return cls()
    def hurry(self): pass
    async def stop(self): pass

class Supervisor:
    def __init__(self, *_): pass
    async def run(self, workers, announce): announce()

def announce(_):
    print(gc.isenabled())
    os.kill(os.getpid(), signal.SIGTERM)

serving.App, serving._Supervisor = App, Supervisor
settings, places = load_settings(secret_key=bytes(32)), Places("", "")
gc.disable()
serving.serve_alone(settings, places, announce)
signal.signal(signal.SIGTERM, lambda *_: None)
gc.disable()
serving.serve_with_workers(settings, places, announce, workers=2)
""").split() == ["True", "True"]
