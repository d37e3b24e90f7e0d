"""A server for the demo: the client in `clients/python` walks through the main job against it."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from server.cli import development
from server.operations.data_folder import DEMO_CREDENTIALS_FILE
from server.platform.errors import StartError

EXAMPLE = "examples/main_job.py"
"""Of the Python client: runs as a process of its own, and knows what any partner knows."""
SERVING = re.compile(r"gRPC on (\S+) and HTTP on")


def run(target: str, credentials: Path, tls_ca: Path | None) -> int:
    """The whole job, printed on standard output; the client's exit code."""
    folder = development.client_folder()
    command = [sys.executable, str(folder / EXAMPLE), "--target", target]
    command += ["--credentials", str(credentials)]
    command += ["--tls-ca", str(tls_ca)] if tls_ca else []
    # its package comes before the generated code, which has the same name in this environment
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(command, env=environment, check=False).returncode


@contextlib.contextmanager
def own_server() -> Iterator[tuple[str, Path]]:
    """A server on free ports over a new, temporary data folder: its address, and the file of its
    demo credentials. Raises StartError.
    """
    with tempfile.TemporaryDirectory(prefix="deeptravel-demo-") as folder:
        process = subprocess.Popen(
            [*development.tied_to_us(), sys.executable, "-m", "server", "serve"],
            env=_own_settings(Path(folder)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            assert process.stdout
            found = SERVING.search(process.stdout.readline())
            if not found:
                raise StartError("the demo's own server did not start; see what it said above")
            yield found[1], Path(folder) / DEMO_CREDENTIALS_FILE
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate()


def _own_settings(folder: Path) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("DEEPTRAVEL_")}
    return kept | {
        "DEEPTRAVEL_DATA_DIR": str(folder),
        "DEEPTRAVEL_GRPC_PORT": "0",
        "DEEPTRAVEL_HTTP_PORT": "0",
        "DEEPTRAVEL_LOG_LEVEL": "ERROR",
    }
