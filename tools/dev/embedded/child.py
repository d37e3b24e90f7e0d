"""A service that runs as a child of this process, and is started again when it dies."""

import asyncio
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import structlog

LOOK_SECONDS = 0.1
FIRST_RESTART_SECONDS = 0.1
MAX_RESTART_SECONDS = 10.0
STEADY_SECONDS = 30.0
"""After a life of this length the next restart waits as little as the first."""

log = structlog.get_logger()


class Child:
    """A service's process.

    Args:
        name: of the service.
        spawn: makes the process, with the data that are there; it may raise OSError.
        answers: whether the service takes connections; it may block.
        output: the file that the process writes to.

    Attributes:
        answers: as given.
        process: the one that runs, or ran last.
    """

    def __init__(
        self,
        name: str,
        spawn: Callable[[], subprocess.Popen[bytes]],
        answers: Callable[[], bool],
        output: Path,
    ) -> None:
        self.name = name
        self.process = spawn()
        self._spawn = spawn
        self.answers = answers
        self._output = output

    async def keep(self) -> None:
        """Starts it again whenever it has died, sooner or later by how long it lived; until it is
        cancelled.

        To be run in the main thread, for the reason that `EmbeddedServices.start` gives.
        """
        restart_seconds, born = FIRST_RESTART_SECONDS, time.monotonic()
        while True:
            while self.process.poll() is None:  # noqa: ASYNC110 - a child's end sets no event
                await asyncio.sleep(LOOK_SECONDS)
            if time.monotonic() - born >= STEADY_SECONDS:
                restart_seconds = FIRST_RESTART_SECONDS
            log.error(
                "embedded.died",
                service=self.name,
                exit_code=self.process.returncode,
                restart_seconds=restart_seconds,
                output=str(self._output),
            )
            await asyncio.sleep(restart_seconds)
            restart_seconds = min(2 * restart_seconds, MAX_RESTART_SECONDS)
            born = time.monotonic()
            self.process = self._spawn()
            await self._tell_when_it_answers(born)

    async def _tell_when_it_answers(self, born: float) -> None:
        while self.process.poll() is None:
            if await asyncio.to_thread(self.answers):
                seconds = round(time.monotonic() - born, 1)
                log.info("embedded.restarted", service=self.name, seconds=seconds)
                return
            await asyncio.sleep(LOOK_SECONDS)
