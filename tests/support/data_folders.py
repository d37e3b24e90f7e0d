"""Where a run's PostgreSQL and Valkey keep their data, and copies of what a first start makes."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = Path("/dev/shm")
NEEDED_BYTES = 4 << 30
PREFIX = "deeptravel-tests-"


@contextmanager
def data_folder(otherwise: Path) -> Iterator[Path]:
    """A folder in memory where there is plenty of it, since a copied database is a thousand files
    on the disk; what a run that was killed left there is removed.
    """
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < NEEDED_BYTES:
        yield otherwise
        return
    for left in MEMORY.glob(f"{PREFIX}*"):
        if not Path("/proc", left.name.removeprefix(PREFIX)).exists():
            shutil.rmtree(left, ignore_errors=True)
    folder = MEMORY / f"{PREFIX}{os.getpid()}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def copied(folder: Path, to: Path) -> Path:
    """A copy of the data folder of a server that has ended; each file's owner has its copy, too."""
    subprocess.run(["cp", "-a", folder, to], check=True)
    return to
