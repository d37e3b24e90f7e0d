import io
import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest
from deeptravel_terminal import command
from deeptravel_terminal.offline_rules import LocalUse
from deeptravel_terminal.store import Store
from deeptravel_terminal.stored_scans import StoredScan
from PIL import Image

from tests.samples import OURS, PAYMENT
from tests.test_pictures import symbol


def test_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    symbol(OURS).save(tmp_path / "ours.png")
    symbol(PAYMENT).save(tmp_path / "payment.png")
    Image.new("L", (50, 50), 255).save(tmp_path / "white.png")
    codes = [
        command.main(["--picture", str(tmp_path / f"{name}.png")])
        for name in ("ours", "payment", "white")
    ]
    assert codes == [0, 0, 1]
    printed = capsys.readouterr().out
    assert printed == f"ticket or order of ours {OURS}\npayment code\nno code\n"


def test_the_demo_keeps_its_file_beside_its_servers_data(tmp_path: Path) -> None:
    """So that a server with other data, which signs by another key, has another file."""
    parser, credentials = command._parser(), str(tmp_path / "demo-credentials.json")
    demo = ["--demo", "--credentials", credentials]
    assert command._file_of(parser.parse_args(demo), "T") == tmp_path / "terminal" / "T.db"
    other = parser.parse_args([*demo, "--folder", str(tmp_path / "x")])
    assert command._file_of(other, "T") == tmp_path / "x" / "T.db"
    assert command._file_of(parser.parse_args([]), "T").parent == command.FOLDER.expanduser()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--server", "x:1", "--device", "T"], "--functions is missing"),
        (
            ["--server", "x:1", "--device", "T", "--functions", "ferry", "--online-only"],
            "the screen needs a terminal",
        ),
        (["--picture", "no-such-file"], "no-such-file"),
        (["--demo", "--credentials", "no-such-file"], "start the server by `make run`"),
        (
            [
                "--server",
                "x:1",
                "--device",
                "T",
                "--functions",
                "ferry",
                "--camera",
                "/dev/video0",
                "--camera-size",
                "big",
            ],
            "--camera-size big: write 640x480",
        ),
    ],
)
def test_what_is_wrong_is_said(
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())  # no terminal, whoever runs the tests
    assert command.main(arguments) == command.CANNOT_RUN
    assert said in capsys.readouterr().err


def test_a_wipe_asks_for_scans_that_were_not_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path / "T_1.db", "T/1")
    store.write_scan(
        StoredScan(0, "a", OURS, "ferry", 1, 0, 0, "", admitted=True),
        1,
        LocalUse("ferry", 1, b"", 0),
    )
    store.close()
    wipe = ["--wipe", "--device", "T/1", "--folder", str(tmp_path)]
    assert command.main(wipe) == command.CANNOT_RUN
    assert "1 scans were not sent" in capsys.readouterr().err
    assert command.main([*wipe, "--lose-scans"]) == command.OK
    assert list(tmp_path.iterdir()) == []
    assert command.main(["--wipe"]) == command.CANNOT_RUN


HEEDLESS = """
import signal, sys
signal.signal(signal.SIGHUP, signal.SIG_IGN)
from deeptravel_terminal import command
sys.exit(command.main(sys.argv[1:]))
"""


def test_a_window_that_is_closed_ends_it(tmp_path: Path) -> None:
    """Also where `nohup` has it ignore the signal of that. Seen red without who looks: it goes on,
    at the whole of a processor.
    """
    ours, screen = pty.openpty()
    asked = ["--server", "127.0.0.1:1", "--device", "T", "--functions", "ferry", "--plaintext"]
    running = subprocess.Popen(
        [sys.executable, "-c", HEEDLESS, *asked, "--folder", str(tmp_path)],
        stdin=screen,
        stdout=screen,
        stderr=screen,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        os.close(screen)
        drawn = b""
        while "登录 Log in".encode() not in drawn:
            assert select.select([ours], [], [], 60)[0], drawn
            drawn += os.read(ours, 65536)
        os.close(ours)
        assert running.wait(60) == command.OK
    finally:
        running.kill()
        running.wait()
    store = Store(tmp_path / "T.db", "T")  # nobody has it any more
    store.close()


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--help"])
    said = capsys.readouterr().out
    assert all(each in said for each in ("--demo", "F10", "exit codes", command.PASSWORD))
