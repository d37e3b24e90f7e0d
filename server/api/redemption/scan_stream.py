"""One ScanStream: reads scans and other calls, answers them as they are decided, several in one
message; and pushes what changes of the venue's pack, to a terminal that asks for it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import grpc
from deeptravel.redemption.v1 import redemption_pb2

from server.api import interceptor
from server.api.calls import Context
from server.api.fields import Checker
from server.platform.errors import STATUS_BY_REASON, DomainError, Reason, invalid
from server.redemption.answers import Answer

MAX_SCANS_IN_FLIGHT = 256
"""Of one stream, with its calls; at this many the server reads no further, so that flow control
holds the terminal back.
"""
MAX_PUSHES_WAITING = 8
"""To a terminal that does not read; at this many they are dropped, and it asks for the pack."""
RETRY_SECONDS = 1.0
_END: object = grpc.aio.EOF

_check = Checker.of(redemption_pb2.ScanStreamRequest.DESCRIPTOR).check

Submit = Callable[[redemption_pb2.RedeemRequest], Awaitable[asyncio.Future[list[Answer]]]]
Serve = Callable[[redemption_pb2.ScanStreamRequest], Coroutine[Any, Any, redemption_pb2.ScanAnswer]]
"""Serves a call that is no scan."""
Receive = Callable[[redemption_pb2.PackPush | None], None]
"""Takes a push; None has the terminal ask for the pack."""


class ScanStream:
    """A stream being served. It is cancelled when the caller's rights are gone
    (`server.api.streams`).
    """

    def __init__(
        self,
        context: Context[redemption_pb2.ScanStreamRequest, redemption_pb2.ScanStreamResponse],
        *,
        submit: Submit,
        serve: Serve,
        answer_message: Callable[[Answer], redemption_pb2.RedeemResponse],
        stopping: asyncio.Event,
        follow: Callable[[Receive], AbstractContextManager[None]],
    ) -> None:
        self._context = context
        self._submit = submit
        self._serve = serve
        self._answer_message = answer_message
        self._stopping = stopping
        self._follow = follow
        self._following: ExitStack | None = None
        self._pushes: deque[redemption_pb2.PackPush] = deque()
        self._in_flight: set[asyncio.Future[Any]] = set()
        self._room = asyncio.Semaphore(MAX_SCANS_IN_FLIGHT)
        self._decided: list[redemption_pb2.ScanAnswer] = []
        self._news = asyncio.Event()
        self._read_all = False

    async def run(self) -> None:
        """Serves the stream to its end.

        Raises SHUTTING_DOWN when the server stops, after the scans that were read are answered.
        Cancelled, those not yet decided are dropped.
        """
        reader = asyncio.create_task(self._read())
        watcher = asyncio.create_task(self._stopping.wait())
        writer = asyncio.create_task(self._write())
        tasks = {reader, watcher, writer}
        try:
            await asyncio.wait({watcher, writer}, return_when=asyncio.FIRST_COMPLETED)
            if watcher.done():
                reader.cancel()
                await writer
                raise DomainError(
                    Reason.SHUTTING_DOWN,
                    "the server is stopping; open the stream again",
                    retry_seconds=RETRY_SECONDS,
                )
            writer.result()
            await reader
        finally:
            if self._following:
                self._following.close()
            for task in tasks:
                task.cancel()
            for scan in self._in_flight:
                scan.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self) -> None:
        try:
            while (request := await self._context.read()) is not _END:
                await self._room.acquire()
                await self._take(request)
        finally:
            self._read_all = True
            self._news.set()

    async def _take(self, request: redemption_pb2.ScanStreamRequest) -> None:
        scan_id: str = request.scan_id
        if request.with_pack_pushes:
            self._begin_pushes()
            if not scan_id and not request.HasField("scan") and not request.WhichOneof("call"):
                self._room.release()
                return
        try:
            _check(request)
            future = await self._begin(request)
        except DomainError as error:
            self._put(_failure(scan_id, error))
            return
        self._in_flight.add(future)
        future.add_done_callback(lambda done: self._done(scan_id, done))

    async def _begin(self, request: redemption_pb2.ScanStreamRequest) -> asyncio.Future[Any]:
        """What is to be the answers to a scan, or the answer to a call."""
        is_scan, call = request.HasField("scan"), request.WhichOneof("call")
        if not request.scan_id:
            raise invalid("scan_id", "is missing")
        if is_scan == bool(call):
            raise invalid("scan", f"is there with {call}: send one alone" if call else "is missing")
        if is_scan:
            return await self._submit(request.scan)
        return asyncio.create_task(self._serve(request))

    def _done(self, scan_id: str, future: asyncio.Future[Any]) -> None:
        self._in_flight.discard(future)
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            outcome = future.result()
            if isinstance(outcome, redemption_pb2.ScanAnswer):
                self._put(outcome)
            else:
                answer = self._answer_message(outcome[0])
                self._put(redemption_pb2.ScanAnswer(scan_id=scan_id, answer=answer))
        elif isinstance(error, DomainError):
            self._put(_failure(scan_id, error))
        else:
            interceptor.log_fault(error)
            self._put(_failure(scan_id, DomainError(Reason.INTERNAL, "a fault of the server")))

    def _put(self, answer: redemption_pb2.ScanAnswer) -> None:
        self._decided.append(answer)
        self._news.set()

    def _begin_pushes(self) -> None:
        if self._following is None:
            self._following = ExitStack()
            self._following.enter_context(self._follow(self._receive))

    def _receive(self, push: redemption_pb2.PackPush | None) -> None:
        if push is None or len(self._pushes) == MAX_PUSHES_WAITING:
            self._pushes.clear()
            push = redemption_pb2.PackPush(ask_for_pack=True)
        self._pushes.append(push)
        self._news.set()

    async def _write(self) -> None:
        while True:
            if self._decided:
                answers, self._decided = self._decided, []
                await self._context.write(redemption_pb2.ScanStreamResponse(answers=answers))
                for _ in answers:
                    self._room.release()
            elif self._read_all and not self._in_flight:
                return
            elif self._pushes:
                push = self._pushes.popleft()
                await self._context.write(redemption_pb2.ScanStreamResponse(push=push))
            else:
                self._news.clear()
                await self._news.wait()


def _failure(scan_id: str, error: DomainError) -> redemption_pb2.ScanAnswer:
    status = grpc.StatusCode[STATUS_BY_REASON[error.reason]]
    failure = redemption_pb2.ScanFailure(
        code=status.value[0], reason=error.reason, message=error.message
    )
    return redemption_pb2.ScanAnswer(scan_id=scan_id, failure=failure)
