"""What a process loads before it serves: counted, not timed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from server.operations import schema

ROOT = Path(__file__).parents[2]
ONLY_WHEN_NEEDED = {
    *("alembic", "mako", "jinja2"),  # a migration
    *("phonenumbers", "segno", "PIL"),  # a telephone number, a picture
    *("opentelemetry.exporter", "opentelemetry.instrumentation"),  # a collector
    *("pytest", "mypy"),
    *("server.cli.doctor", "server.cli.demo", "server.cli.reconciling"),
}
NOT_IN_A_WORKER = {
    "server.cli.demo_data",
    "server.cli.preparation",
    "server.cli.welcome",
    "server.embedded.services",
    "server.operations.schema",
}
MOST_MODULES = 1500
"""1,590 were loaded when every start loaded everything, which took 2.6 s of CPU; each costs about 0.7 ms."""


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


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        ("server.cli.serving", ONLY_WHEN_NEEDED | NOT_IN_A_WORKER),
        (
            "server.cli.preparation, server.cli.serving, server.cli.welcome",
            ONLY_WHEN_NEEDED,
        ),
    ],
    ids=["worker", "serve"],
)
def test_what_is_loaded_to_serve(modules: str, unwanted: set[str]) -> None:
    """Seen red: alembic, mako, phonenumbers and segno."""
    loaded = run(f"import server.__main__, {modules}, sys; print(*sys.modules, sep='\\n')").split()
    found = {
        name
        for name in loaded
        if any(name == each or name.startswith(f"{each}.") for each in unwanted)
    }
    assert found == set()
    assert len(loaded) <= MOST_MODULES


def test_the_newest_migration_is_known_without_alembic() -> None:
    script = ScriptDirectory.from_config(schema._config())
    assert script.get_heads() == [schema.newest_revision()]


@pytest.mark.parametrize("command", ["serve_alone", "serve_with_workers"])
def test_garbage_is_collected_once_it_serves(command: str) -> None:
    """It is not while modules are loaded. Seen red without `gc.enable` in either."""
    assert run(f"""
import gc, os, signal, base64
gc.disable()
from server.cli import serving
from server.cli.places import Places
from server.platform.config import load_settings
from server.platform.loops import Loops

class App:
    ports, loops = {{}}, Loops()
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
settings = load_settings(secret_key=bytes(32))
if "{command}" == "serve_alone":
    serving.serve_alone(settings, Places("", ""), announce)
else:
    signal.signal(signal.SIGTERM, lambda *_: None)
    serving.serve_with_workers(settings, Places("", ""), announce, workers=2)
""").split() == ["True"]
