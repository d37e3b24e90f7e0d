"""Round trips in libpq's pipeline mode: all answers of one are read by one callback of the event
loop.

psycopg waits with a generator, and for each wait it registers the socket, starts a timer and steps
a task; for a handful of short statements that costs more than the statements do.
"""

import asyncio
import select

import psycopg
from psycopg import pq
from psycopg.errors import error_from_result

STALL_SECONDS = 0.1
"""What has come while the event loop stood still is read within this time."""


class NoAnswerError(psycopg.OperationalError):
    """The server did not answer in time; the connection is closed."""


class RoundTrips:
    """The round trips of one connection, one at a time."""

    def __init__(self, pgconn: pq.abc.PGconn) -> None:
        self._pgconn = pgconn
        self._loop: asyncio.AbstractEventLoop | None = None
        self._socket = -1
        self._is_kept = False
        self._is_over = False
        self._answer: asyncio.Future[list[pq.abc.PGresult]] | None = None
        self._results: list[pq.abc.PGresult] = []
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_kept(self) -> bool:
        """Whether the connection is in pipeline mode for good."""
        return self._is_kept

    def keep(self) -> None:
        """Puts the connection into pipeline mode, and reads, until it is closed.

        psycopg must run nothing on it any more. That the server ends it is then seen at once, and
        not at the next round trip.
        """
        self._pgconn.enter_pipeline_mode()
        self._listen()
        self._is_kept = True

    def begin(self) -> None:
        """To be called before the commands of a round trip are queued on the connection."""
        if not self._is_kept:
            self._pgconn.enter_pipeline_mode()

    async def run(self, *, seconds: float) -> list[pq.abc.PGresult]:
        """Sends what is queued, which must end with a sync, and gives a result for each command.

        Raises NoAnswerError after `seconds`, and the driver's OperationalError where the connection
        is lost. After these, and after a cancellation, the connection must be closed: half-read
        answers must not meet its next user.
        """
        loop = self._listen()
        self._results = []
        answer: asyncio.Future[list[pq.abc.PGresult]] = loop.create_future()
        self._answer = answer
        self._deadline = loop.time() + seconds
        if self._is_over:  # another server has taken this one's place
            self._deadline = loop.time() + STALL_SECONDS
        if self._timer is None or self._timer.when() > self._deadline:
            self._watch(self._deadline)
        try:
            if self._pgconn.flush():
                loop.add_writer(self._socket, self._write)
            results = await answer
        finally:
            self._answer = None
            if not self._is_kept:
                self.close()
        if not self._is_kept:
            self._pgconn.exit_pipeline_mode()
        return results

    def end(self) -> None:
        """Ends the wait for an answer that has not come yet, now and in future."""
        self._is_over = True
        if self._answer is not None:
            self._look()

    def close(self) -> None:
        """Stops reading. To be called before the connection is closed."""
        if self._loop and self._socket >= 0:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
        self._socket = -1
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _listen(self) -> asyncio.AbstractEventLoop:
        if self._socket < 0 or self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._socket = self._pgconn.socket
            self._loop.add_reader(self._socket, self._read)
        return self._loop

    def _read(self) -> None:
        pgconn = self._pgconn
        try:
            pgconn.consume_input()
            while not pgconn.is_busy():
                if self._answer is None:
                    return  # a notice
                result = pgconn.get_result()
                if result is None:
                    continue  # the end of one command's answer
                if result.status == pq.ExecStatus.PIPELINE_SYNC:
                    if not self._answer.done():
                        self._answer.set_result(self._results)
                    return
                self._results.append(result)
        except psycopg.Error as error:
            self._lose(error)

    def _write(self) -> None:
        try:
            if not self._pgconn.flush() and self._loop:
                self._loop.remove_writer(self._socket)
        except psycopg.Error as error:
            self._lose(error)

    def _lose(self, error: psycopg.Error) -> None:
        """The connection is lost: if the server has said why, that is the error."""
        self.close()
        self._pgconn.finish()
        if self._answer is not None and not self._answer.done():
            failed = [r for r in self._results if r.status == pq.ExecStatus.FATAL_ERROR]
            self._answer.set_exception(error_from_result(failed[0]) if failed else error)

    def _watch(self, when: float) -> None:
        if self._timer:
            self._timer.cancel()
        assert self._loop
        self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        """Whether the answer is late."""
        self._timer = None
        if self._answer is None or self._loop is None or self._socket < 0:
            return
        now = self._loop.time()
        if now < self._deadline and not self._is_over:
            self._watch(self._deadline)
        elif is_readable(self._socket):  # after a stall of the event loop it is only unread
            self._watch(now + STALL_SECONDS)
        else:
            self._lose(NoAnswerError("the database did not answer in time"))


def is_readable(fileno: int) -> bool:
    """Whether something has come that is not read yet."""
    poll = select.poll()
    poll.register(fileno, select.POLLIN)
    return bool(poll.poll(0))
