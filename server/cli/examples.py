"""`deeptravel policies test`: examples of prices, refunds and entries, tried."""

import sys
from pathlib import Path
from typing import Any

import orjson

from server.cli import exits
from server.configuration.example_files import try_file
from server.configuration.examples import ExampleError


def run(path: Path) -> int:
    """Tries a file and prints what fails; the exit code."""
    try:
        count, failures = try_file(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ExampleError) as error:
        sys.stderr.write(f"{path}: {error}\n")
        return exits.WRONG_SETTINGS
    for name, expected, actual in failures:
        sys.stdout.write(f"FAILED {name}\n")
        for field in {**expected, **actual}:
            if field not in expected:
                sys.stdout.write(f"    {field}: {_shown(actual[field])}\n")
            elif expected[field] != actual.get(field):
                is_now = _shown(actual.get(field))
                sys.stdout.write(f"    {field}: expected {_shown(expected[field])}, is {is_now}\n")
    sys.stdout.write(f"{count - len(failures)} of {count} examples hold\n")
    return exits.WRONG if failures else 0


def _shown(value: Any) -> str:
    return orjson.dumps(value, default=str).decode()
