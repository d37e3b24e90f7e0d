"""The traveller's commands that `serve` prints work as they are printed."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.server_process import ServerProcess

ROOT = Path(__file__).parents[2]
GRPCURL = f"""\
#!/bin/sh
exec {sys.executable} -m tests.support.grpcurl "$@"
"""


def as_printed(served: ServerProcess, tmp_path: Path, title: str) -> str:
    """What the commands under a title print."""
    (tmp_path / "grpcurl").write_text(GRPCURL)
    (tmp_path / "grpcurl").chmod(0o755)
    while "Ctrl-C stops the server." not in served.output:
        time.sleep(0.01)
    printed = re.findall(
        rf"To paste: {title}\n(.*?)\n(?:\n|Ctrl-C)", served.output, flags=re.DOTALL
    )
    done = subprocess.run(
        ["bash", "-e"],
        input=printed[0],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return str(done.stdout)


@pytest.mark.parametrize("tool", ["curl", "grpcurl"])
def test_printed_commands_work_as_printed(served: ServerProcess, tmp_path: Path, tool: str) -> None:
    stdout = as_printed(served, tmp_path, rf"search[^\n]* with {tool}")
    lines = stdout.splitlines()
    assert lines[0].startswith("dtt_")
    assert re.fullmatch(r"TR-\d+-\d+-\d+-\d+", lines[1])
    assert re.fullmatch(r"ORD-DT-\d{8}-\d{6,}", lines[2])
    link = re.search(r"pay in a browser on (http://127\.0\.0\.1:\d+/simulator/pay/\w+)", stdout)
    assert link
    assert '"SUCCESS"' in stdout
    assert re.search(r"^DIR-DT-\d{8}-\d{6,}$", stdout, flags=re.MULTILINE)
    assert re.search(r"^[A-Z2-7]+(:[A-Z2-7]+){3}$", stdout, flags=re.MULTILINE)
    assert lines[-1].removeprefix("TICKET_STATE_") == "REFUNDED"


def test_a_car_is_rented_kept_longer_and_given_back(served: ServerProcess, tmp_path: Path) -> None:
    lines = as_printed(served, tmp_path, r"rent a car[^\n]* with curl").splitlines()
    offers = [each for each in lines if each.startswith("RC-")]
    assert [re.sub(r"^RC-301-\d{8}-", "", each) for each in offers] == [
        "1000-1-1-2880-30-401",
        "1000-1-1-4320-30-401",
    ]
    assert sum(each.startswith("ORD-DT-") for each in lines) == 2
    assert sum('"SUCCESS"' in each for each in lines) == 2
    assert lines[-1] == "REFUNDED"
