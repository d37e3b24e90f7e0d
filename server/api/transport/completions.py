"""The queue on which the core tells what is done, and who waits at it.

A thread waits while the event loop is idle, and wakes it with the first event. While there is
work the loop polls the queue itself, which costs less than a thread that takes the interpreter's
lock for each event, and hands it back to the thread when a round finds nothing.
"""

import asyncio
import threading
from collections import deque
from time import perf_counter
from typing import Any

import structlog

from server.api.transport import core

EVENTS_A_ROUND = 128
ROUND_SECONDS = 0.02
"""Of these at most the loop handles so many, or for so long, before everything else gets its turn:
with an event may come a whole call of a plain function, and when thousands come at once the
database must not end a transaction that waits for its turn. With a fifth of it fewer calls share a
transaction on a busy machine, by a third.
"""

log = structlog.get_logger()


class Completions:
    """A completion queue whose events are handled in the event loop that was running when it was
    made.

    The tag of every operation is a function of its event; it is called in the loop, and what it
    raises is logged.

    Attributes:
        queue: the core's, to be registered with a server before that starts.
    """

    def __init__(self) -> None:
        self.queue = core.CompletionQueue()
        self._loop = asyncio.get_running_loop()
        self._arrived: deque[Any] = deque()
        self._turn = threading.Lock()  # whoever releases it lets the thread wait for an event
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._wait, name="grpc-transport", daemon=True)

    def start(self) -> None:
        """Has the queue watched."""
        self._thread.start()

    async def close(self) -> None:
        """Returns when all that was begun is done and the queue is shut down."""
        self.queue.shutdown()
        if not self._thread.ident:
            self.start()
        await self._closed
        self._thread.join()

    def _wait(self) -> None:
        """In the thread: waits for an event whenever it is its turn."""
        while True:
            self._turn.acquire()
            if self._closed.done():
                return
            event = self.queue.poll()
            is_last = event.completion_type == core.QUEUE_SHUTDOWN
            self._arrived.append(event)
            del event  # a call lives as long as its events: none must wait here for the next
            try:
                self._loop.call_soon_threadsafe(self._handle)
            except RuntimeError:  # the loop was closed, and the server never stopped
                return
            if is_last:
                return

    def _handle(self) -> None:
        """In the loop: handles what has arrived, and goes on while there is more."""
        arrived, poll = self._arrived, self.queue.poll
        handled = len(arrived)
        until = perf_counter() + ROUND_SECONDS
        while arrived:
            if not self._dispatch(arrived.popleft()):
                return
        for _ in range(EVENTS_A_ROUND):
            event = poll(0)
            if event.tag is None:
                if event.completion_type == core.QUEUE_SHUTDOWN:
                    self._dispatch(event)
                    self._turn.release()
                    return
                break
            handled += 1
            self._dispatch(event)
            if perf_counter() > until:
                break
        if handled:
            self._loop.call_soon(self._handle)
        else:
            self._turn.release()

    def _dispatch(self, event: Any) -> bool:
        """Calls the event's tag; False for the last event."""
        tag = event.tag
        if tag is None:
            self._closed.set_result(None)
            return False
        try:
            tag(event)
        except Exception:
            log.exception("transport.fault")
        return True
