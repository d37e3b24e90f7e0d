"""What runs in the background of a process: loops that no error ends.

A loop that ends by an error is logged, waits a moment (longer each time) and is started again.
Until it has run for STEADY_SECONDS it counts as down, and the process is not healthy.

Most loops poll: they look at something again and again. Each of them is a `Polling`: its function,
its interval and the errors after which the next look is enough, such as a database that is away;
any other error ends the run, as above. Whether most of them have anything to do is asked for all of
them together (due_check.py).
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass, replace

import structlog

from server.platform.errors import DomainError
from server.platform.faults import fault_text
from server.platform.statements import Command

FIRST_RESTART_SECONDS = 0.1
MAX_RESTART_SECONDS = 5.0
STEADY_SECONDS = 1.0
"""A loop that was started again and has run this long is up."""
FORGIVE_SECONDS = 30.0
"""After a run of this length the next restart waits as little as the first did."""

log = structlog.get_logger()

Run = Callable[[], Awaitable[None]]
Look = Callable[[], Awaitable[object]]


Due = Callable[[], Command[bool] | bool]


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Polling:
    """How a loop polls.

    Attributes:
        look: one look.
        interval_seconds: from the end of one look to the beginning of the next.
        jitter_seconds: up to so much longer by chance, so that processes take turns.
        spacing_seconds: from the end of a look to the next at the least, however often it is woken.
        at_once: whether the first look comes at the start; else within the interval, by chance.
        timeout_seconds: after them a look is cancelled, which is a TimeoutError.
        tolerated: errors of a look that are logged, and followed by the next one; it is not woken
            before, since that mends nothing. Any other error ends the run, to be started again.
        wanted: whether there is something to look at; if not, the loop ends by itself.
        due: whether a look would find something, or the command by which the database says so;
            asked every interval instead of the look, in a process with a `DueCheck`.
    """

    look: Look
    interval_seconds: float
    _: KW_ONLY
    jitter_seconds: float = 0.0
    spacing_seconds: float = 0.0
    at_once: bool = False
    timeout_seconds: float | None = None
    tolerated: tuple[type[Exception], ...] = ()
    wanted: Callable[[], bool] = _always
    due: Due | None = None


class Loop:
    """One loop. Make it by `Loops.add`.

    Attributes:
        name: of the loop, and of its asyncio task.
        is_down: whether it ended by an error and has not run steadily since.
    """

    def __init__(self, name: str, run: Run | Polling, loops: "Loops") -> None:
        self.name = name
        self.is_down = False
        self._run = run
        self._loops = loops
        self._asks_at: float | None = None
        self._ending = asyncio.Event()
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended; one that waits for its restart is running."""
        return self._task is not None and not self._task.done()

    @property
    def is_ending(self) -> bool:
        """Whether it is to end; a look that takes long returns early then."""
        return self._ending.is_set()

    def wake(self) -> None:
        """Has a polling loop look at once, unless its last look failed."""
        self._woken.set()

    def is_due(self, now: float) -> Command[bool] | bool:
        """Whether it is to look at this time (monotonic), or what the database is to be asked; no
        while it does not wait for that, or was asked less than an interval ago.
        """
        polling = self._run
        if self._asks_at is None or self._asks_at > now or not isinstance(polling, Polling):
            return False
        self._asks_at = now + polling.interval_seconds
        return polling.due() if polling.due else False

    def start(self) -> None:
        """Runs it, unless it is running. It ends when its function returns."""
        if not self.is_running:
            self._ending.clear()
            self._woken.clear()
            self._task = asyncio.create_task(self._supervise(), name=self.name)

    async def end(self, *, within_seconds: float | None = None) -> None:
        """Ends it, and waits until the look under way has returned; never raises.

        One that does not poll the caller has to tell to return. It is not started again,
        whatever happens. After `within_seconds` it is cancelled.
        """
        self._ending.set()
        self._woken.set()
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
            if isinstance(self._run, Polling):
                await self._poll(self._run)
            else:
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

    async def _poll(self, polling: Polling) -> None:
        if not polling.at_once:  # loops that start together shall not look together ever after
            first = random.uniform(0.0, polling.interval_seconds)  # noqa: S311
            await self._wait(replace(polling, interval_seconds=first), self._woken)
        while polling.wanted() and not self.is_ending:
            self._woken.clear()
            waits_for = self._woken
            try:
                # not wait_for, which up to Python 3.11 forgets a cancellation that comes with the
                # result
                async with asyncio.timeout(polling.timeout_seconds):
                    await polling.look()
            except polling.tolerated as error:
                waits_for = self._ending
                if isinstance(error, DomainError | OSError):  # timeouts are OSErrors
                    log.warning("loop.poll_failed", loop=self.name, error=fault_text(error))
                else:
                    log.error("loop.poll_failed", loop=self.name, exc_info=error)
            await self._wait(polling, waits_for)

    async def _wait(self, polling: Polling, event: asyncio.Event) -> None:
        seconds = polling.interval_seconds + random.uniform(0.0, polling.jitter_seconds)  # noqa: S311
        is_asked = polling.due is not None and event is self._woken and self._loops.are_checked
        self._asks_at = 0.0 if is_asked else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if is_asked else seconds):
                await event.wait()
                self._asks_at = None
                await asyncio.sleep(polling.spacing_seconds)

    def _is_steady(self) -> None:
        self._set_down(is_down=False)

    def _set_down(self, *, is_down: bool) -> None:
        if is_down != self.is_down:
            self.is_down = is_down
            self._loops.on_change()


class Loops:
    """The loops of a process.

    Attributes:
        on_change: called whenever one goes down or is up again.
        are_checked: whether a `DueCheck` asks for those that poll.
    """

    def __init__(self, on_change: Callable[[], None] = lambda: None) -> None:
        self.on_change = on_change
        self.are_checked = False
        self._loops: dict[str, Loop] = {}

    @property
    def names(self) -> frozenset[str]:
        """Of all loops, running or not."""
        return frozenset(self._loops)

    @property
    def down(self) -> list[str]:
        """The names of those that are down."""
        return sorted(loop.name for loop in self._loops.values() if loop.is_down)

    def due(self, now: float) -> dict[Loop, Command[bool] | bool]:
        """Which are to look at this time (monotonic), or what the database is to be asked for
        them.
        """
        return {loop: is_due for loop in self._loops.values() if (is_due := loop.is_due(now))}

    def add(self, name: str, run: Run | Polling) -> Loop:
        """A loop that is not started yet, with its function or how it polls. Raises ValueError
        if there is one of this name.
        """
        if name in self._loops:
            raise ValueError(f"there is a loop {name} already")
        loop = self._loops[name] = Loop(name, run, self)
        return loop
