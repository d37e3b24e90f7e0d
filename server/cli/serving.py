"""Serving in this process, or in several that share the ports, until SIGTERM or Ctrl-C."""

import asyncio
import base64
import gc
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog
import uvloop
from prometheus_client.multiprocess import mark_process_dead

from server.app import App
from server.operations.places import Places
from server.platform import logs
from server.platform.config import Settings, load_settings, wechat_settings
from server.platform.errors import StartError
from server.platform.loops import Loops, Polling

FIRST_BACKOFF_SECONDS = 0.5
MOST_BACKOFF_SECONDS = 30.0
STEADY_SECONDS = 10.0
"""A worker that lived this long is replaced at once."""
KILL_AFTER_DRAIN_SECONDS = 10.0
HURRIED = 130
"""Exit code when a second Ctrl-C cut calls off."""
FULL_COLLECTION_SECONDS = 600.0
"""A collection that walks over all the server remembers stops it for 30 ms and more, several times
a minute if Python has its way, and finds next to nothing: garbage is found young.
"""
NEVER = (1 << 31) - 1

log = structlog.get_logger()

Announce = Callable[[Mapping[str, int]], None]
"""Called with the ports, by the names of their settings, when all are open."""


def serve_alone(settings: Settings, found: Places, announce: Announce) -> int:
    """Serves in this process on ports that are kept for it; returns the exit code.

    Raises StartError, ConfigError, DomainError.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings, found, announce))


def serve_as_worker() -> int:
    """Serves in a process of `serve_with_workers`, which says the rest on standard input and
    ends it by closing that.
    """
    given = json.loads(sys.stdin.buffer.readline())
    settings = load_settings(**given["settings"])
    found = Places(**given["places"])

    def announce(_ports: Mapping[str, int]) -> None:
        sys.stdout.write("ready\n")
        sys.stdout.flush()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings, found, announce, is_worker=True))


async def _serve(
    settings: Settings, found: Places, announce: Announce, *, is_worker: bool = False
) -> int:
    signals = _StopSignals()
    asyncio.get_running_loop().set_exception_handler(logs.loop_fault)
    if is_worker:
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), signals.end_by_parent)
    app = await App.start(settings, found.database_url, found.redis_url, shared_ports=True)
    # What is there now stays, and no collection need walk over it; a first one would take a fifth
    # of a second and find next to nothing.
    gc.freeze()
    gc.enable()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, NEVER)
    collecting = app.loops.add("garbage-collection", Polling(_collect, FULL_COLLECTION_SECONDS))
    collecting.start()
    kept = found.keep(app.loops)
    signals.when_again(app.hurry)
    announce(app.ports)
    await signals.stop.wait()
    await collecting.cancel()
    await app.stop()
    for loop in kept:
        await loop.cancel()
    return HURRIED if signals.again else 0


async def _collect() -> None:
    gc.collect()


class _StopSignals:
    """Signals to stop; a second one says to wait for nobody."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.again = False
        self._hurry: Callable[[], None] = lambda: None
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._hear)

    def when_again(self, hurry: Callable[[], None]) -> None:
        self._hurry = hurry

    def end_by_parent(self) -> None:
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        log.error("worker.orphaned", remedy="the process that started it is gone; this one ends")
        self.stop.set()

    def _hear(self) -> None:
        if self.stop.is_set():
            self.again = True
            self._hurry()
        self.stop.set()


def serve_with_workers(
    settings: Settings, found: Places, announce: Announce, *, workers: int
) -> int:
    """Serves in `workers` processes, replacing those that die, on ports that are kept for them;
    returns the exit code.

    Raises StartError.
    """
    gc.enable()
    chosen = {name: port for name, (_, port, _) in settings.listeners.items()}
    with tempfile.TemporaryDirectory(prefix="deeptravel-metrics-") as metrics:
        assert settings.secret_key is not None
        secret_key = base64.b64encode(settings.secret_key.get_secret_value()).decode()
        given = {**chosen, "secret_key": secret_key, **wechat_settings(settings)}
        given["webhook_allow_private"] = settings.webhook_allow_private
        if settings.documentation_key is not None:
            given["documentation_key"] = settings.documentation_key.get_secret_value()
        word = {"settings": given, "places": found.for_workers}
        supervisor = _Supervisor(json.dumps(word).encode() + b"\n", metrics, settings.drain_seconds)
        return asyncio.run(_keep_all(supervisor, workers, found, lambda: announce(chosen)))


async def _keep_all(
    supervisor: "_Supervisor", workers: int, found: Places, announce: Callable[[], None]
) -> int:
    """Keeps the embedded services running as long as the workers."""
    kept = found.keep(Loops())
    try:
        return await supervisor.run(workers, announce)
    finally:
        for loop in kept:
            await loop.cancel()


class _Supervisor:
    def __init__(self, word: bytes, metrics: str, drain_seconds: float) -> None:
        self._word = word
        self._metrics = metrics
        self._drain_seconds = drain_seconds
        self._running: dict[int, asyncio.subprocess.Process] = {}

    async def run(self, workers: int, announce: Callable[[], None]) -> int:
        signals = _StopSignals()
        signals.when_again(lambda: self._signal(signal.SIGTERM))  # each for the second time, too
        ready = [asyncio.Event() for _ in range(workers)]
        keepers = [asyncio.create_task(self._keep(each, signals.stop)) for each in ready]
        stop = asyncio.create_task(signals.stop.wait())
        try:
            up = asyncio.create_task(_all_set(ready))
            await asyncio.wait([up, stop, *keepers], return_when=asyncio.FIRST_COMPLETED)
            if up.done():
                announce()
                await asyncio.wait([stop, *keepers], return_when=asyncio.FIRST_COMPLETED)
            up.cancel()
        finally:
            signals.stop.set()
            self._signal(signal.SIGTERM)
            await self._wait_or_kill(keepers)
        for keeper in keepers:
            keeper.result()
        return HURRIED if signals.again else 0

    async def _keep(self, ready: asyncio.Event, stop: asyncio.Event) -> None:
        """Keeps one worker running until `stop`."""
        backoff = FIRST_BACKOFF_SECONDS
        while not stop.is_set():
            began = time.monotonic()
            try:
                code = await self._run_worker(ready)
            except Exception as error:
                log.error("worker.not_started", exc_info=error)
                code = None
            if stop.is_set():
                break
            if not ready.is_set():
                raise StartError("a worker could not start; see what it said above")
            lived = time.monotonic() - began
            backoff = 0.0 if lived > STEADY_SECONDS else backoff or FIRST_BACKOFF_SECONDS
            log.error(
                "worker.died",
                exit_code=code,
                lived_seconds=round(lived, 1),
                restart_seconds=backoff,
            )
            try:
                await asyncio.wait_for(stop.wait(), backoff)
            except TimeoutError:
                backoff = min(2 * backoff, MOST_BACKOFF_SECONDS)

    async def _run_worker(self, ready: asyncio.Event) -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "server.cli.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": self._metrics},
            start_new_session=True,  # Ctrl-C reaches us, and we tell them
        )
        assert process.stdin
        assert process.stdout
        self._running[process.pid] = process
        process.stdin.write(self._word)
        if await process.stdout.readline() == b"ready\n":
            ready.set()
            log.info("worker.started", pid=process.pid)
        code = await process.wait()
        del self._running[process.pid]
        mark_process_dead(process.pid, self._metrics)  # type: ignore[no-untyped-call]
        return code

    def _signal(self, number: signal.Signals) -> None:
        for process in self._running.values():
            if process.returncode is None:
                process.send_signal(number)

    async def _wait_or_kill(self, keepers: list[asyncio.Task[Any]]) -> None:
        kill_after_seconds = self._drain_seconds + KILL_AFTER_DRAIN_SECONDS
        _, pending = await asyncio.wait(keepers, timeout=kill_after_seconds)
        if pending:
            log.error("worker.killed", pids=list(self._running), seconds=kill_after_seconds)
            self._signal(signal.SIGKILL)
            await asyncio.wait(pending)


async def _all_set(events: Iterable[asyncio.Event]) -> None:
    for each in events:
        await each.wait()
