"""What runs in the background of a process: loops that no error ends.

A loop that ends by an error is logged, waits a moment (longer each time) and is started again. Until
it has run for STEADY_SECONDS it counts as down, and the process is not healthy. Loops handle what they
expect themselves, such as a database that is away; this is for what nobody expected.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import structlog

FIRST_RESTART_SECONDS = 0.1
MAX_RESTART_SECONDS = 5.0
STEADY_SECONDS = 1.0
"""A loop that was started again and has run this long is up."""
FORGIVE_SECONDS = 30.0
"""After a run of this length the next restart waits as little as the first did."""

log = structlog.get_logger()

Run = Callable[[], Awaitable[None]]


class Loop:
    """One loop. Make it by `Loops.add`.

    Attributes:
        name: of the loop, and of its asyncio task.
        is_down: whether it ended by an error and has not run steadily since.
    """

    def __init__(self, name: str, run: Run, on_change: Callable[[], None]) -> None:
        self.name = name
        self.is_down = False
        self._run = run
        self._on_change = on_change
        self._ending = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended; one that waits for its restart is running."""
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """Runs it, unless it is running. It ends when its function returns."""
        if not self.is_running:
            self._ending.clear()
            self._task = asyncio.create_task(self._supervise(), name=self.name)

    async def end(self, *, within_seconds: float | None = None) -> None:
        """Waits until its function has returned, which the caller has told it to do; never raises.

        It is not started again, whatever happens. After `within_seconds` it is cancelled.
        """
        self._ending.set()
        if self._task:
            await asyncio.wait({self._task}, timeout=within_seconds)
            await self.cancel()

    def cancel_soon(self) -> None:
        """Cancels it, and does not wait."""
        self._ending.set()
        if self._task:
            self._task.cancel()

    async def cancel(self) -> None:
        """Cancels it and waits until it has ended; never raises its errors."""
        self.cancel_soon()
        if self._task:
            await asyncio.wait({self._task})

    async def _supervise(self) -> None:
        restart_seconds = FIRST_RESTART_SECONDS
        while True:
            began = time.monotonic()
            error = await self._run_once()
            if error is None or self._ending.is_set():
                if error is not None:
                    log.warning("loop.failed_at_its_end", loop=self.name, exc_info=error)
                self._set_down(is_down=False)
                return
            if time.monotonic() - began >= FORGIVE_SECONDS:
                restart_seconds = FIRST_RESTART_SECONDS
            self._set_down(is_down=True)
            log.error("loop.died", loop=self.name, restart_seconds=restart_seconds, exc_info=error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(restart_seconds):
                    await self._ending.wait()
            if self._ending.is_set():
                return
            restart_seconds = min(2 * restart_seconds, MAX_RESTART_SECONDS)

    async def _run_once(self) -> BaseException | None:
        """What ended a run; None if its function returned."""
        steady = asyncio.get_running_loop().call_later(STEADY_SECONDS, self._is_steady)
        try:
            await self._run()
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task and task.cancelling():
                raise
            return error  # of something it waited for: nobody has cancelled the loop
        except Exception as error:  # noqa: BLE001 - whatever it was, the loop is started again
            return error
        finally:
            steady.cancel()
        return None

    def _is_steady(self) -> None:
        self._set_down(is_down=False)

    def _set_down(self, *, is_down: bool) -> None:
        if is_down != self.is_down:
            self.is_down = is_down
            self._on_change()


class Loops:
    """The loops of a process. `on_change` is called whenever one goes down or is up again."""

    def __init__(self, on_change: Callable[[], None] = lambda: None) -> None:
        self._on_change = on_change
        self._loops: dict[str, Loop] = {}

    @property
    def names(self) -> frozenset[str]:
        """Of all loops, running or not."""
        return frozenset(self._loops)

    @property
    def down(self) -> list[str]:
        """The names of those that are down."""
        return sorted(loop.name for loop in self._loops.values() if loop.is_down)

    def add(self, name: str, run: Run) -> Loop:
        """A loop that is not started yet. Raises ValueError if there is one of this name."""
        if name in self._loops:
            raise ValueError(f"there is a loop {name} already")
        loop = self._loops[name] = Loop(name, run, self._on_change)
        return loop
