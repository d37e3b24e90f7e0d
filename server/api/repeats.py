"""Calls that change something: each in one transaction, and a repeat gets the first answer again.

A servicer writes such a method with @changing:

    @changing
    async def CancelOrder(
        self, request: CancelOrderRequest, call: ChangingCall[Traveller]
    ) -> CancelOrderResponse:
        order = await orders.cancel_by_traveller(
            call.tx,
            call.caller.traveller_id,
            request.order_id,
            actor=call.caller.key,
            now=call.now,
            close_payments=payments.close_waiting,
        )
        return CancelOrderResponse(order=order_message(order))
"""

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar

from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncConnection

from server.api.calls import Context, Response, current
from server.identity.callers import Partner
from server.parties import sandbox_clocks
from server.platform import idempotency
from server.platform.clock import now
from server.platform.crypto import Sealer, Signer, derive
from server.platform.database import Database, set_statement_timeout


class Repeats:
    """Gives a repeated call its first answer (see server.platform.idempotency).

    Answers that carry secrets are stored encrypted; what identifies a request's content is a keyed
    hash, so that a password in it cannot be guessed from the table.
    """

    def __init__(self, db: Database, secret_key: bytes) -> None:
        self._db = db
        self._content = Signer(secret_key, "deeptravel request content", mac_bytes=32)
        self._answers = Sealer(derive(secret_key, "deeptravel stored answers"))

    def content_hash(self, request: Message) -> bytes:
        """A keyed hash of the request's content."""
        return self._content.mac(request.SerializeToString(deterministic=True))

    def _keyed(self, caller: str, method: str, request: Any) -> idempotency.KeyedCall:
        content_hash = self.content_hash(request)
        return idempotency.KeyedCall.of(caller, method, request.request_id, content_hash)

    async def once(
        self,
        request: Any,
        response_type: type[Response],
        work: Callable[[AsyncConnection], Awaitable[Response]],
        *,
        statement_timeout_seconds: int | None = None,
    ) -> Response:
        """Runs `work` in a transaction, or gives the answer of the first call with this
        `request_id`.

        Without a request_id every call does the work. `statement_timeout_seconds` is for work that
        takes long: how long its statements may take, and a repeat waits for the first, instead of
        what the settings say. Raises IDEMPOTENCY_MISMATCH, and what `work` raises: a call that
        failed did nothing and is not remembered.
        """
        if not request.request_id:
            return await self._db.in_transaction(work)
        call = current()
        assert call.caller is not None, "repeats are those of one caller"
        keyed = self._keyed(call.caller.key, call.method, request)
        secret = _carries_secrets(response_type.DESCRIPTOR)

        async def attempt(tx: AsyncConnection) -> Response:
            if statement_timeout_seconds:
                await set_statement_timeout(tx, seconds=statement_timeout_seconds)
            stored = await idempotency.begin(
                tx, keyed, now=now(), is_slow=statement_timeout_seconds is not None
            )
            if stored is not None:
                return response_type.FromString(self._answers.open(stored) if secret else stored)
            response = await work(tx)
            answer = response.SerializeToString()
            await idempotency.finish(tx, keyed, self._answers.seal(answer) if secret else answer)
            return response

        return await self._db.in_transaction(attempt)

    async def stored(self, request: Any, response_type: type[Response]) -> Response | None:
        """The answer of the first call with this `request_id`, for work that needs more than one
        transaction.

        None if there is none: then do the work, such that it may be done again, and store its
        answer by `once`. Raises IDEMPOTENCY_MISMATCH.
        """
        call = current()
        if not request.request_id or call.caller is None:
            return None
        keyed = self._keyed(call.caller.key, call.method, request)
        async with self._db.transaction() as tx:
            stored = await idempotency.find(tx, keyed)
        if stored is None:
            return None
        secret = _carries_secrets(response_type.DESCRIPTOR)
        return response_type.FromString(self._answers.open(stored) if secret else stored)


@functools.cache
def _carries_secrets(descriptor: Any, around: tuple[Any, ...] = ()) -> bool:
    """Whether a field of it, or of what is in it, is secret; `around` are the messages it was
    found in.
    """
    inside = (*around, descriptor)  # a message may hold itself, as google.protobuf.Struct does
    return any(
        field.GetOptions().debug_redact
        or (
            field.message_type is not None
            and field.message_type not in inside
            and _carries_secrets(field.message_type, inside)
        )
        for field in descriptor.fields
    )


class HasRepeats(Protocol):
    """A servicer that changes something."""

    _repeats: Repeats


C = TypeVar("C")
S = TypeVar("S", bound=HasRepeats)
Request = TypeVar("Request", bound=Message)
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class ChangingCall(Generic[C]):
    """What a changing call works with: its transaction, who calls, and the time, which for a
    sandbox is what its test clock shows.

    After a lost race the work is done again, in another transaction, at a later time.
    """

    tx: AsyncConnection
    caller: C
    now: datetime


async def begin(tx: AsyncConnection) -> ChangingCall[Any]:
    """What the current call works with. The test clock of a sandbox is held until the commit, so
    that whatever the call writes has a time that it shows meanwhile.
    """
    caller = current().caller
    if not isinstance(caller, Partner) or not caller.is_test:
        return ChangingCall(tx, caller, now())
    held = replace(caller, time=await sandbox_clocks.hold(tx, caller.partner_id))
    return ChangingCall(tx, held, held.now())


Work = Callable[Concatenate[S, Request, ChangingCall[C], P], Awaitable[Response]]
"""A method as it is written: with a ChangingCall instead of the context."""

Method = Callable[Concatenate[S, Request, Context[Request, Response], P], Awaitable[Response]]
"""A method as gRPC calls it. Further arguments are those of a step that another method calls."""


def changing(work: Work[S, Request, C, P, Response]) -> Method[S, Request, Response, P]:
    """Makes the method a transaction, and gives its first answer to a repeat (`Repeats.once`).

    The types are those of its annotations. What must be had before the transaction, the method
    gets as further arguments from the one that calls it, with the request and the context.
    """
    return _changing(work, None)


def changing_within(
    seconds: int,
) -> Callable[[Work[S, Request, C, P, Response]], Method[S, Request, Response, P]]:
    """As `changing`, for work that takes long: `statement_timeout_seconds` of `Repeats.once`."""
    return lambda work: _changing(work, seconds)


def _changing(
    work: Work[S, Request, C, P, Response], statement_timeout_seconds: int | None
) -> Method[S, Request, Response, P]:
    response_type: type[Response] = work.__annotations__["return"]

    @functools.wraps(work)
    async def changed(
        self: S,
        request: Request,
        _context: Context[Request, Response],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Response:
        async def attempt(tx: AsyncConnection) -> Response:
            return await work(self, request, await begin(tx), *args, **kwargs)

        return await self._repeats.once(
            request, response_type, attempt, statement_timeout_seconds=statement_timeout_seconds
        )

    return changed


def in_steps(method: Method[S, Request, Response, P]) -> Method[S, Request, Response, P]:
    """For a changing call of more than one transaction: a repeat does none of it again.

    It is written such that it may be begun again, and ends with a method that is @changing, which
    keeps its answer.
    """
    response_type: type[Response] = method.__annotations__["return"]

    @functools.wraps(method)
    async def once(
        self: S,
        request: Request,
        context: Context[Request, Response],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Response:
        stored = await self._repeats.stored(request, response_type)
        return await method(self, request, context, *args, **kwargs) if stored is None else stored

    return once
