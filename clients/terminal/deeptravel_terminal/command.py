"""`deeptravel-terminal`."""

import argparse
import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

from deeptravel import AsyncClient, CallError

from deeptravel_terminal import camera, demo, pictures, screen_end
from deeptravel_terminal._version import __version__
from deeptravel_terminal.app import Choice, Given, TerminalApp
from deeptravel_terminal.codes import Scanned
from deeptravel_terminal.gate import KEEPALIVE, Gate
from deeptravel_terminal.offline import Offline
from deeptravel_terminal.scan_line import LinkState
from deeptravel_terminal.store import Store, StoreError

PASSWORD = "DEEPTRAVEL_TERMINAL_PASSWORD"  # noqa: S105 # its name
OK, WRONG, CANNOT_RUN = 0, 1, 3
FOLDER = Path("~/.local/share/deeptravel-terminal")
DESCRIPTION = """\
The scanner terminal of a merchant: scans QR codes of tickets, looks and redeems.

A scanner that types as a keyboard needs no setting but its suffix, Enter or Tab. Keys:
  F2 look first / redeem at once   F3 next scan is an order   F4 history, reversal
  F5 next function                 F6 how many uses           F7 log in, departure
  F8 decided without network       F9 sound on/off            F10 end
  Enter redeems what was looked at, Esc leaves it
"""
EPILOG = f"""\
examples:
  deeptravel-terminal --demo                      beside `make run`, with a simulated scanner
  deeptravel-terminal --server tickets.example.com:443 --device TERMINAL-CP-001 --functions ferry
  deeptravel-terminal --picture ticket.png        says what the code in a picture is

The password is typed on the screen, or comes in {PASSWORD}.
exit codes: 0 ended by the operator or read, 1 no code in the picture, 2 wrong arguments, 3 a file
or the demo cannot be read
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    asked = _parser().parse_args(arguments)
    try:
        if asked.picture:
            return _read_picture(asked.picture)
        if asked.wipe:
            return _wipe(asked)
        return asyncio.run(_run(asked))
    except (OSError, ValueError, pictures.PictureError, CallError, StoreError) as error:
        print(f"deeptravel-terminal: {error}", file=sys.stderr)
        return CANNOT_RUN


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "deeptravel-terminal",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--server", metavar="HOST:PORT", help="gRPC; 127.0.0.1:50051 of the demo")
    parser.add_argument("--device", metavar="ID", help="this terminal, as the platform knows it")
    parser.add_argument("--functions", metavar="F,G", help="redeemed here; the first until F5")
    parser.add_argument("--username", default="", help="asked for on the screen if absent")
    parser.add_argument(
        "--departure",
        default="",
        metavar="D",
        help="admit one alone: `G5711 2026-12-04`, or its number",
    )
    parser.add_argument("--look-first", action="store_true", help="show before Enter redeems")
    parser.add_argument("--mute", action="store_true", help="no bell")
    parser.add_argument(
        "--camera",
        metavar="DEVICE",
        help="/dev/video0, read by ffmpeg; or a command that writes frames, a byte a pixel",
    )
    parser.add_argument("--camera-size", default="640x480", metavar="WxH", help="640x480")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="read one picture, and end")
    parser.add_argument("--folder", type=Path, metavar="DIR", help=f"{FOLDER}")
    parser.add_argument("--online-only", action="store_true", help="keep no pack, write nothing")
    parser.add_argument(
        "--pack-hours",
        type=float,
        default=24.0,
        metavar="H",
        help="without network, decide by a pack up to so old; 24",
    )
    parser.add_argument("--wipe", action="store_true", help="delete what --device keeps, and end")
    parser.add_argument(
        "--lose-scans", action="store_true", help="with --wipe: also scans that were not sent"
    )
    parser.add_argument("--plaintext", action="store_true", help="no TLS: a server on this machine")
    parser.add_argument("--root-certificates", type=Path, metavar="PEM", help="of the authority")
    parser.add_argument("--demo", action="store_true", help="with a simulated scanner")
    parser.add_argument(
        "--credentials",
        type=Path,
        metavar="FILE",
        default=Path(".deeptravel/demo-credentials.json"),
        help="of the demo: what `make run` wrote",
    )
    parser.add_argument("--pace", type=float, default=4.0, metavar="S", help="of the demo's scans")
    return parser


def _read_picture(path: Path) -> int:
    """Says what the code is; of a foreign one no more than that."""
    found = pictures.read_file(path)
    print("no code" if found is None else f"{found.kind.value} {found.text}".strip())
    return WRONG if found is None else OK


def _wipe(asked: argparse.Namespace) -> int:
    """Deletes the terminal's file; not scans that were not sent, unless that is asked for."""
    if not asked.device:
        raise ValueError("--wipe is of a terminal: name it by --device")
    store = Store(_file_of(asked, asked.device), asked.device)
    if (count := store.unsent_count()) and not asked.lose_scans:
        store.close()
        raise ValueError(f"{count} scans were not sent: connect it first, or add --lose-scans")
    store.wipe()
    print("wiped")
    return OK


def _file_of(asked: argparse.Namespace, device: str) -> Path:
    name = re.sub(r"[^A-Za-z0-9_-]", "_", device)
    # the demo's beside its credentials: a server with other data signs by another key
    usual = asked.credentials.parent / "terminal" if asked.demo else FOLDER
    folder: Path = (asked.folder or usual).expanduser()
    return folder / f"{name}.db"


async def _run(asked: argparse.Namespace) -> int:
    if asked.demo:
        return await _run_demo(asked)
    missing = [name for name in ("server", "device", "functions") if not getattr(asked, name)]
    if missing:
        raise ValueError(f"--{missing[0]} is missing; --demo needs none, --help says more")
    given = Given(
        asked.username, os.environ.pop(PASSWORD, ""), asked.departure, scans=_camera(asked)
    )
    async with _client(asked, asked.server) as client:
        await _show(asked, client, asked.device, asked.functions.split(","), given)
    return OK


async def _run_demo(asked: argparse.Namespace) -> int:
    known = demo.DemoCredentials.read(asked.credentials)
    asked.plaintext = not asked.root_certificates
    server = asked.server or "127.0.0.1:50051"
    async with (
        _client(asked, server) as client,
        _client(asked, server, known.partner_api_key) as partner,
    ):
        given = Given(
            known.username, known.password, note="演示 demo", scans=demo.scans(partner, asked.pace)
        )
        functions = (asked.functions or ",".join(demo.FUNCTIONS)).split(",")
        await _show(asked, client, known.terminal_device_id, functions, given)
    return OK


async def _show(
    asked: argparse.Namespace, client: AsyncClient, device: str, functions: list[str], given: Given
) -> None:
    if not sys.stdin.isatty():
        raise ValueError("the screen needs a terminal: standard input is none")
    offline = None
    if not asked.online_only:
        store = Store(_file_of(asked, device), device)
        offline = Offline(store, asked.pack_hours)
    gate = Gate(client, device, _nobody, offline)
    choice = Choice(functions, looks_first=asked.look_first, sounds=not asked.mute)
    app, loop = TerminalApp(gate, choice, given), asyncio.get_running_loop()
    ends = partial(loop.call_soon_threadsafe, app.call_later, app.action_quit)
    screen_end.follow(sys.stdin.fileno(), ends)
    try:
        await app.run_async()
    finally:
        if offline:
            offline.store.close()


def _nobody(state: LinkState, said: str) -> None:
    """Until there is a screen."""


def _client(asked: argparse.Namespace, server: str, api_key: str | None = None) -> AsyncClient:
    pem = asked.root_certificates.read_bytes() if asked.root_certificates else None
    return AsyncClient(
        server,
        api_key=api_key,
        plaintext=asked.plaintext,
        root_certificates=pem,
        channel_options=KEEPALIVE,
    )


def _camera(asked: argparse.Namespace) -> AsyncIterator[Scanned] | None:
    if not asked.camera:
        return None
    width, cross, height = asked.camera_size.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise ValueError(f"--camera-size {asked.camera_size}: write 640x480")
    size = int(width), int(height)
    return camera.scans(camera.command_of(asked.camera, *size), *size)
