"""Processes that are forked behave as those that a test starts for real."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support import forking
from tests.support.server_process import environment
from tests.support.waiting import WAIT_SECONDS

HTTP = ("http.server", "0", "--bind", "127.0.0.1")
"""Serves until a signal ends it."""


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[forking.Forked]:
    with (tmp_path / "said").open("wb") as said:
        process = forking.Forked(*HTTP, env=environment(), stdout=said, stderr=said)
    yield process
    process.kill()
    process.wait(WAIT_SECONDS)


def test_input_output_and_exit_code() -> None:
    done = forking.run("json.tool", env=environment(), text="[1]", timeout=WAIT_SECONDS)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["[", "1", "]"], "")
    done = forking.run("json.tool", env=environment(), text="[", timeout=WAIT_SECONDS)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Expecting value" in done.stderr


def test_a_process_of_its_own(endless: forking.Forked) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        endless.wait(0)
    assert endless.poll() is None
    assert os.getsid(endless.pid) == os.getpgid(endless.pid) == endless.pid
    endless.send_signal(signal.SIGSTOP)
    process = psutil.Process(endless.pid)
    while process.status() != psutil.STATUS_STOPPED:
        pass
    assert endless.poll() is None
    endless.kill()
    assert endless.wait(WAIT_SECONDS) == endless.poll() == -signal.SIGKILL


def test_sigterm_is_not_caught(endless: forking.Forked) -> None:
    endless.send_signal(signal.SIGTERM)
    assert endless.wait(WAIT_SECONDS) == -signal.SIGTERM


@pytest.mark.parametrize("name", ["PYTHONPATH", "LC_ALL"])
def test_what_python_reads_at_its_start_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        forking.run("json.tool", env=environment() | {name: "C"}, timeout=WAIT_SECONDS)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's wish for a parent's death")
def test_it_ends_with_the_tests_however_they_end(tmp_path: Path) -> None:
    """Even if they, as what a shell starts in the background, ignore SIGINT; and leave no file.

    Seen red without PR_SET_PDEATHSIG, and with SIGINT as its signal.
    """
    program = (
        "import os, signal, sys\n"
        "from tests.support import forking\n"
        "forking.LOADED = ()\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "with open(os.devnull, 'wb') as said:\n"
        f"    process = forking.Forked(*{HTTP}, env=os.environ, stdout=said, stderr=said)\n"
        "print(process.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=forking.ROOT,
        env=environment() | {"TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as tests:
        assert tests.stdout
        forked = psutil.Process(int(tests.stdout.readline()))
        tests.kill()
    _, running = psutil.wait_procs([forked], timeout=WAIT_SECONDS)
    assert not running
    assert not list(tmp_path.iterdir())
