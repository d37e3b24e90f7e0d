"""Scans, and what else a gate asks, over one ScanStream that is opened again whenever it breaks;
and what is pushed there.

Whatever changes something has a request id from its beginning to its answer. What had no answer
when the stream broke is sent again with the same id, so that it is done once however often the
network fails.
"""

import asyncio
import enum
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from deeptravel import AsyncClient, CallError, Reason, redemption
from google.protobuf.message import Message

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 10.0
REPEATED = {
    Reason.CONFLICT,
    Reason.DATABASE_UNAVAILABLE,
    Reason.DEADLINE_EXCEEDED,
    Reason.RATE_LIMITED,
    Reason.SERVER_BUSY,
    Reason.SHUTTING_DOWN,
}
"""Of a single question on the stream: it was not decided, or it is unknown whether it was."""
REPEAT_SECONDS = 0.3
LATE_SECONDS = 300.0
"""How long an answer that came too late is kept for the same question."""


class LinkState(enum.Enum):
    """Whether the server can be reached."""

    CONNECTING = "connecting"
    ONLINE = "online"
    OFFLINE = "offline"
    ENDED = "log-in over"


class ScanFailedError(Exception):
    """The server answered that a question failed; `reason` as in the contract."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


class UndecidedError(Exception):
    """No answer came in time; `was_sent` says whether the server may have decided it."""

    def __init__(self, *, was_sent: bool) -> None:
        super().__init__("sent, no answer" if was_sent else "not sent")
        self.was_sent = was_sent


@dataclass(eq=False)
class _Waiting:
    """A question without an answer; `content` is it without its ids."""

    request: redemption.ScanStreamRequest
    content: bytes
    answer: asyncio.Future[redemption.ScanAnswer]
    was_sent: bool = False
    is_due: bool = True
    given_up_at: float | None = None  # nobody waits any more; the same question gets its answer


@dataclass(eq=False)
class ScanLine:
    """The stream of a terminal; `run` is its task.

    Args:
        client: of an operator who has logged in.
        prepare: called before each stream is opened; raises CallError. It renews a log-in that is
            over, and opens the session.
        changed: called with each new state, and what the server said.
        pushed: called with what changes of the pack; without it the server pushes nothing.
    """

    client: AsyncClient
    prepare: Callable[[], Awaitable[None]]
    changed: Callable[[LinkState, str], None]
    pushed: Callable[[redemption.PackPush], None] | None = None
    state: LinkState = LinkState.CONNECTING
    _waiting: dict[str, _Waiting] = field(default_factory=dict)
    _due: asyncio.Event = field(default_factory=asyncio.Event)
    _broken: int = 0

    async def ask(
        self, request: redemption.ScanStreamRequest, seconds: float
    ) -> redemption.ScanAnswer:
        """The answer to a scan or another call. The same that still waits is not sent twice.

        Args:
            request: with a `scan_id`, and what it asks with a request id, if that has one.
            seconds: how long to wait for the answer. What was sent keeps waiting for it beyond
                that, unseen, since its outcome is to be known; what was not is dropped.

        Raises:
            ScanFailedError: the server could not decide it.
            UndecidedError: no answer came in time.
        """
        loop = asyncio.get_running_loop()
        self._forget_late(loop.time())
        content = _without_ids(request)
        known = next((each for each in self._waiting.values() if each.content == content), None)
        mine = known or _Waiting(request, content, loop.create_future())
        mine.given_up_at = None
        self._waiting.setdefault(mine.request.scan_id, mine)
        self._due.set()
        try:
            answer = await asyncio.wait_for(asyncio.shield(mine.answer), seconds)
        except TimeoutError:
            if mine.was_sent:
                mine.given_up_at = loop.time()
            else:
                del self._waiting[mine.request.scan_id]
            raise UndecidedError(was_sent=mine.was_sent) from None
        finally:
            if mine.answer.done():
                self._waiting.pop(mine.request.scan_id, None)
        return answer

    def withdraw(self, scan_id: str) -> None:
        """Forgets what was decided otherwise: it is not sent again."""
        self._waiting.pop(scan_id, None)

    async def run(self) -> None:
        """Keeps the stream open until the log-in is over; then the state is ENDED."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                await self.prepare()
                self._become(LinkState.ONLINE, "")
                pause = FIRST_PAUSE_SECONDS
                await self._stream()
                said = "the server ended the stream"
            except CallError as error:
                if error.reason == Reason.UNAUTHENTICATED and error.method != "ScanStream":
                    self._become(LinkState.ENDED, error.message)
                    return
                said = error.message
            self._become(LinkState.OFFLINE, said)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 # no secret
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _stream(self) -> None:
        for each in self._waiting.values():
            each.is_due = not each.answer.done()
        try:
            async for response in self.client.redemption.scan_stream(self._requests()):
                for answer in response.answers:
                    self._take(answer)
                if self.pushed and response.HasField("push"):
                    self.pushed(response.push)
        finally:
            self._broken += 1  # gRPC leaves the requests of a stream that broke waiting for more
            self._due.set()

    async def _requests(self) -> AsyncIterator[redemption.ScanStreamRequest]:
        mine = self._broken
        if self.pushed:
            yield redemption.ScanStreamRequest(with_pack_pushes=True)
        while mine == self._broken:
            self._due.clear()
            for each in list(self._waiting.values()):
                if each.is_due:
                    each.is_due, each.was_sent = False, True
                    yield each.request
            await self._due.wait()

    def _take(self, answer: redemption.ScanAnswer) -> None:
        mine = self._waiting.get(answer.scan_id)
        if mine is None or mine.answer.done():
            return
        if answer.failure.reason in REPEATED:
            asyncio.get_running_loop().call_later(REPEAT_SECONDS, self._again, mine)
            return
        if answer.HasField("failure"):
            mine.answer.set_exception(
                ScanFailedError(answer.failure.reason, answer.failure.message)
            )
            mine.answer.exception()  # nobody may wait for it any more
        else:
            mine.answer.set_result(answer)

    def _forget_late(self, now: float) -> None:
        for scan_id, each in list(self._waiting.items()):
            since = each.given_up_at
            if each.answer.done() and since is not None and now - since > LATE_SECONDS:
                del self._waiting[scan_id]

    def _again(self, mine: _Waiting) -> None:
        mine.is_due = True
        self._due.set()

    def _become(self, state: LinkState, said: str) -> None:
        self.state = state
        self.changed(state, said)


def _without_ids(request: redemption.ScanStreamRequest) -> bytes:
    """What it asks, however often."""
    bare = redemption.ScanStreamRequest()
    bare.CopyFrom(request)
    bare.ClearField("scan_id")
    for _, asked in bare.ListFields():
        if isinstance(asked, Message) and "request_id" in asked.DESCRIPTOR.fields_by_name:
            asked.ClearField("request_id")
    return bare.SerializeToString(deterministic=True)
