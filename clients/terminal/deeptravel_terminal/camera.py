"""A camera as a program that writes its frames on standard output, a byte a pixel: ffmpeg, or
any other. So no library of a vendor is needed, and the operating system ends it with us.
"""

import asyncio
import contextlib
import shlex
from collections.abc import AsyncIterator

from deeptravel_terminal.codes import Scanned
from deeptravel_terminal.pictures import read_frame

SAME_SECONDS = 3.0
"""How long a code may be out of view, a hand before it, and is still the same scan."""


class CameraError(Exception):
    """The camera's program ended; the text says which, and what it said."""


def command_of(camera: str, width: int, height: int) -> list[str]:
    """The program for a device such as `/dev/video0`; what is no device is a command itself."""
    if not camera.startswith("/dev/"):
        return shlex.split(camera)
    size = f"{width}x{height}"
    came = ["-f", "v4l2", "-video_size", size, "-i", camera]
    gone = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", size, "-"]
    return ["ffmpeg", "-loglevel", "error", "-nostdin", *came, *gone]


class Seen:
    """Frames in, scans out: a code that stays in view is one scan."""

    def __init__(self) -> None:
        self._last: Scanned | None = None
        self._at = float("-inf")

    def new(self, found: Scanned | None, at: float) -> Scanned | None:
        """The scan, if it is one; `at` in seconds of a clock that only goes forward."""
        if found is None:
            return None
        is_same = found == self._last and at - self._at < SAME_SECONDS
        self._last, self._at = found, at
        return None if is_same else found


async def scans(command: list[str], width: int, height: int) -> AsyncIterator[Scanned]:
    """What comes into view. Raises CameraError when the program ends."""
    try:
        running = await asyncio.create_subprocess_exec(
            *command,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=4 * width * height,
        )
    except OSError as error:
        raise CameraError(f"{command[0]} cannot be run: {error}") from error
    assert running.stdout
    assert running.stderr
    seen, clock = Seen(), asyncio.get_running_loop().time
    try:
        while True:
            frame = await running.stdout.readexactly(width * height)
            found = await asyncio.to_thread(read_frame, frame, width, height)
            if scan := seen.new(found, clock()):
                yield scan
    except asyncio.IncompleteReadError:
        said = (await running.stderr.read(400)).decode(errors="replace").strip()
        raise CameraError(f"{command[0]} ended: {said or 'it said nothing'}") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            running.kill()
        await running.wait()
