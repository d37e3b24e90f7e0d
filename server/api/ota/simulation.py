"""Calls of sandboxes whose `request_id` asks for something to happen (partners/sandbox_values.py).

A call without such a field, as all of OCTO are, is asked by the metadata `x-request-id`. The
interceptor brings only calls of keys of test mode here: to all others such an id is one like any
other.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from deeptravel.ota.v1 import sandbox_pb2
from deeptravel.redemption.v1 import redemption_pb2
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncConnection

from server.api.calls import Call
from server.identity.callers import Partner
from server.partners import sandbox_values
from server.partners.sandbox_values import (
    AFTER_COMMIT,
    RETRIED,
    SCAN_FACTS,
    SCAN_REFUSALS,
    SCANS,
    SandboxEffect,
    SandboxValue,
)
from server.platform import idempotency
from server.platform.clock import now
from server.platform.database import Database
from server.platform.errors import DomainError, Reason, invalid
from server.platform.statements import run
from server.redemption.answers import Answer
from server.webhooks import events, repeated_deliveries

EXPIRING = frozenset(
    {
        "ReserveInventory",
        "ExtendReservation",
        "BulkGenerateTickets",
        "ActivateTicket",
        "ActivateTickets",
        "IssueQr",
    }
)
"""The methods that EXPIRE_NOW is for, and those of OCTO."""
OCTO_EXPIRING = frozenset({"ReserveBooking", "ExtendBooking"})


class Simulation:
    """Serves calls of sandboxes."""

    def __init__(
        self, db: Database, answer_message: Callable[[Answer], redemption_pb2.RedeemResponse]
    ) -> None:
        self._db = db
        self._answer_message = answer_message

    async def unary(self, call: Call, request: Message, serve: Callable[[], Awaitable[Any]]) -> Any:
        """Serves a call, as its id asks. Raises what that asks for, INVALID_FIELD for a name that
        there is not.
        """
        request_id = str(getattr(request, "request_id", "") or _sent_id(call))
        asked = _read(call, request_id)
        if asked is None:
            return await serve()
        if _method(call) == SCANS and asked.name in SCAN_REFUSALS:
            refused = Answer("REJECT", asked.name, SCAN_REFUSALS[asked.name], dict(SCAN_FACTS))
            answer = self._answer_message(refused)
            return sandbox_pb2.SimulateRedemptionResponse(answer=answer)
        is_due = not asked.is_once or await self._is_first(call, request_id)
        if asked.effect is None:
            if is_due:
                raise refusal(asked, MessageToDict(request, preserving_proto_field_name=True))
            return await serve()
        if asked.effect in AFTER_COMMIT:
            response = await serve()
            if is_due:
                raise refusal(SandboxValue(AFTER_COMMIT[asked.effect]), {})
            return response
        if asked.effect is SandboxEffect.EXPIRE_NOW:
            _require_expiring(call)
            call.expires_now = True
            return await serve()
        with events.noted() as recorded:
            response = await serve()
        await self._deliver_again(cast("Partner", call.caller).partner_id, recorded)
        return response

    async def stream(self, call: Call) -> None:
        """Refuses a stream, if its id asks so. Raises as `unary`; effects are none of streams."""
        request_id = _sent_id(call)
        asked = _read(call, request_id)
        if asked is None:
            return
        if asked.effect is not None:
            raise invalid("x-request-id", f"{asked.name} is for calls that change something")
        if not asked.is_once or await self._is_first(call, request_id):
            raise refusal(asked, {})

    async def _is_first(self, call: Call, request_id: str) -> bool:
        """Whether the id comes for the first time with this method."""
        assert call.caller is not None
        method = f"{call.method} of a sandbox"
        keyed = idempotency.KeyedCall.of(call.caller.key, method, request_id, b"")

        async def claim(tx: AsyncConnection) -> bool:
            if await idempotency.begin(tx, keyed, now=now()) is not None:
                return False
            await idempotency.finish(tx, keyed, b"seen")
            return True

        return await self._db.in_transaction(claim)

    async def _deliver_again(self, partner_id: int, recorded: list[Any]) -> None:
        async def work(tx: AsyncConnection) -> None:
            await run(tx, repeated_deliveries.ask(partner_id, recorded, now=now()))

        if recorded:
            await self._db.in_transaction(work)


def refusal(asked: SandboxValue, request: Mapping[str, Any]) -> DomainError:
    """The error of a reason, as a call that meets it gets it."""
    violations = []
    if asked.name == Reason.INVALID_FIELD:
        violations = [("request_id", "asks for this")]
    return DomainError(
        Reason(asked.name),
        f"the sandbox was asked for {asked.name}",
        violations=violations,
        retry_seconds=RETRIED.get(asked.name) or None,
        **asked.facts(request),
    )


def _method(call: Call) -> str:
    return call.method.rpartition("/")[2]


def _read(call: Call, request_id: str) -> SandboxValue | None:
    try:
        return sandbox_values.read(request_id, _method(call))
    except ValueError as error:
        raise invalid("request_id", str(error)) from None


def _sent_id(call: Call) -> str:
    return str(call.metadata.get("x-request-id", ""))


def _require_expiring(call: Call) -> None:
    if _method(call) not in EXPIRING | OCTO_EXPIRING:
        methods = ", ".join([*sorted(EXPIRING), *sorted(OCTO_EXPIRING)])
        raise invalid("request_id", f"EXPIRE_NOW is for {methods}")
