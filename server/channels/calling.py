"""A call to a channel: what is common to all vendors, around a codec.

Token, limit, breaker and record of each attempt stand here; what a request and an answer look like
is the codec's alone. Of a call that may be repeated a lost answer is TRANSIENT; of one that may
not, UNKNOWN_OUTCOME, and whoever asked reads it back. A call is repeated here in one case: the
token or the time of the signature was refused, and another is there now.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from server.channels.breaker import CircuitBreaker, CircuitBreakers
from server.channels.facts import (
    BookingsRead,
    BookingState,
    Capability,
    ChannelCallError,
    FailureKind,
)
from server.channels.http_pool import HttpPool, NoVendorAnswerError
from server.channels.tokens import ChannelTokens
from server.channels.wire import (
    Cancellation,
    Codec,
    Entry,
    IssuedToken,
    WireAnswer,
    WireRequest,
    redacted,
)
from server.platform import clock
from server.platform.ratelimit import RateLimiter

SKEW_SECONDS = 5
"""A vendor's clock that differs by more is followed, once it has refused ours."""
OK = "OK"


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One attempt, as the log has it; neither bodies nor credentials.

    Attributes:
        outcome: OK, or a FailureKind.
        http_status: 0 if there was no answer.
    """

    channel_code: str
    endpoint: str
    method: str
    http_status: int
    outcome: str
    duration_ms: int
    request_bytes: int
    response_bytes: int
    error: str
    create_time: datetime


Record = Callable[[CallRecord], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Connection:
    """What a channel's calls go by.

    Attributes:
        credential_name: the channel and the version of its credentials: whom tokens and the limit
            belong to.
    """

    channel_code: str
    credential_name: str
    codec: Codec
    pool: HttpPool
    calls_per_minute: int


class ChannelClient:
    """Calls one vendor with one set of credentials."""

    def __init__(
        self,
        connection: Connection,
        tokens: ChannelTokens,
        limiter: RateLimiter,
        record: Record,
        breakers: CircuitBreakers,
    ) -> None:
        self._connection = connection
        self._codec = connection.codec
        self._tokens = tokens
        self._limiter = limiter
        self._record = record
        self._breakers = breakers
        self._clock_ahead = 0

    @property
    def codec(self) -> Codec:
        """The wire, for making entries."""
        return self._codec

    async def test(self) -> None:
        """Proves that we are known: lists the bookings of today. Raises ChannelCallError,
        UnmappedError for the word of new ones.
        """
        today = clock.now().date()
        await self.bookings(today, today, BookingState.NEW)

    async def push(self, what: Capability, entries: Sequence[Entry]) -> None:
        """Sends entries of STATIC, PRICES or AVAILABILITY. Raises ChannelCallError."""
        await self._call(self._codec.push(what, entries))

    async def bookings(self, first: date, last: date, state: BookingState | None) -> BookingsRead:
        """Bookings made on these days, in this state or in any. Raises ChannelCallError."""
        content = await self._call(self._codec.bookings(first, last, state))
        return self._codec.read_bookings(content)

    async def confirm(self, booking_id: str, number: str) -> None:
        """Confirms a booking. Raises ChannelCallError, UNKNOWN_OUTCOME among others."""
        await self._call(self._codec.confirm(booking_id, number))

    async def cancel(self, booking_id: str, why: Cancellation, number: str) -> None:
        """Cancels or rejects a booking. Raises ChannelCallError, UNKNOWN_OUTCOME among others."""
        await self._call(self._codec.cancel(booking_id, why, number))

    async def notify(self, request: WireRequest) -> None:
        """Sends a notice that may be repeated. Raises ChannelCallError."""
        await self._call(request)

    async def _call(self, request: WireRequest) -> Any:
        token = await self._token("")
        try:
            return await self._attempt(request, token, self._codec.read)
        except _RefusedProofError as refused:
            renewed = await self._token(token) if token else ""
            if not token and not refused.time_was_wrong:
                raise refused.error from None
            try:
                return await self._attempt(request, renewed, self._codec.read)
            except _RefusedProofError as again:
                raise again.error from None

    async def _token(self, refused: str) -> str:
        wire = self._codec.token_wire
        if wire is None:
            return ""

        async def fetch() -> IssuedToken:
            for is_last in (False, True):
                try:
                    issued: IssuedToken = await self._attempt(
                        wire.request(self._seconds()), None, wire.read
                    )
                    return issued
                except _RefusedProofError as error:
                    if is_last or not error.time_was_wrong:
                        raise error.error from None
            raise AssertionError

        return await self._tokens.get(self._connection.credential_name, fetch, refused)

    async def _attempt(
        self, request: WireRequest, token: str | None, read: Callable[[WireAnswer], Any]
    ) -> Any:
        """Sends once. `token` is None for a request that proves itself."""
        breaker = self._breakers[request.endpoint]
        if wait := breaker.wait_seconds(time.monotonic()):
            raise ChannelCallError(
                FailureKind.TRANSIENT,
                f"{request.endpoint} is away and is not asked for a while",
                retry_after_seconds=round(wait) or 1,
            )
        try:
            await self._keep_to_limit()
        except BaseException:
            breaker.cancelled()
            raise
        proven = request if token is None else self._codec.prove(request, token, self._seconds())
        answer, began = WireAnswer(0), time.monotonic()
        try:
            answer = await self._connection.pool.send(proven)
            content = read(answer)
        except NoVendorAnswerError as error:
            kind = FailureKind.UNKNOWN_OUTCOME if error.was_sent else FailureKind.TRANSIENT
            failure = ChannelCallError(kind, str(error))
        except ChannelCallError as error:
            failure = error
        except BaseException:
            breaker.cancelled()
            raise
        else:
            breaker.succeeded()
            await self._note(request, answer, began, OK, "")
            return content
        failure = _for(request, failure)
        _count(breaker, failure, answer)
        await self._note(request, answer, began, failure.kind, redacted(str(failure)))
        if failure.kind is FailureKind.AUTHENTICATION and answer.status != 403:
            raise _RefusedProofError(failure, time_was_wrong=self._follow_clock(answer))
        raise failure

    async def _keep_to_limit(self) -> None:
        name, limit = self._connection.credential_name, self._connection.calls_per_minute
        allowance = await self._limiter.hit(f"channel:{name}", limit)
        if allowance and not allowance.allowed:
            raise ChannelCallError(
                FailureKind.RATE_LIMITED,
                "our own limit of the channel's calls is reached",
                retry_after_seconds=allowance.reset_seconds,
            )

    def _seconds(self) -> int:
        return int(clock.now().timestamp()) + self._clock_ahead

    def _follow_clock(self, answer: WireAnswer) -> bool:
        """Takes the vendor's time over where it differs; whether it did."""
        try:
            theirs = parsedate_to_datetime(answer.headers.get("date", ""))
        except ValueError:
            return False
        if theirs.tzinfo is None:
            theirs = theirs.replace(tzinfo=UTC)
        ahead = round(theirs.timestamp() - clock.now().timestamp())
        if abs(ahead - self._clock_ahead) <= SKEW_SECONDS:
            return False
        self._clock_ahead = ahead
        return True

    async def _note(
        self, request: WireRequest, answer: WireAnswer, began: float, outcome: str, error: str
    ) -> None:
        await self._record(
            CallRecord(
                channel_code=self._connection.channel_code,
                endpoint=request.endpoint,
                method=request.method,
                http_status=answer.status,
                outcome=outcome,
                duration_ms=round((time.monotonic() - began) * 1000),
                request_bytes=len(request.body),
                response_bytes=len(answer.body),
                error=error,
                create_time=clock.now(),
            )
        )


class _RefusedProofError(Exception):
    """The vendor does not take the token or the signature."""

    def __init__(self, error: ChannelCallError, *, time_was_wrong: bool) -> None:
        super().__init__(str(error))
        self.error = error
        self.time_was_wrong = time_was_wrong


def _for(request: WireRequest, failure: ChannelCallError) -> ChannelCallError:
    """What a failure means for this request, whether it may be repeated or not."""
    unknown = (FailureKind.UNKNOWN_OUTCOME, FailureKind.UNREADABLE)
    if failure.kind not in unknown:
        return failure
    if not request.is_repeatable:
        kind = FailureKind.UNKNOWN_OUTCOME
    elif failure.kind is FailureKind.UNREADABLE:
        return failure
    else:
        kind = FailureKind.TRANSIENT
    text = str(failure).partition(": ")[2]
    return ChannelCallError(kind, text, retry_after_seconds=failure.retry_after_seconds)


def _count(breaker: CircuitBreaker, failure: ChannelCallError, answer: WireAnswer) -> None:
    is_expected = 0 < answer.status < 500 and failure.kind in (
        FailureKind.REFUSED,
        FailureKind.RATE_LIMITED,
        FailureKind.AUTHENTICATION,
    )
    if is_expected:
        breaker.succeeded()
    else:
        breaker.failed(time.monotonic())
