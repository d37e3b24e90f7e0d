"""The methods of OtaService that only keys of test mode may call: about the caller's sandbox."""

from collections.abc import Callable
from typing import NamedTuple
from zoneinfo import ZoneInfo

from deeptravel.ota.v1 import ota_service_pb2_grpc, sandbox_pb2
from deeptravel.redemption.v1 import redemption_pb2

from server.api import calls
from server.api.calls import Context
from server.api.ota import sandbox_messages as messages
from server.api.repeats import ChangingCall, Repeats, changing
from server.catalog import allotments
from server.identity.callers import Partner
from server.parties.partners import PARTNERS
from server.partners import sandbox_clock, sandboxes
from server.platform.database import Database
from server.redemption import reversals
from server.redemption.answers import Answer
from server.redemption.redeem import Redeemer


class SimulatedTerminals(NamedTuple):
    """What redeems, and what makes of an answer the message that terminals get; and what counts for
    the sandboxes' clocks.
    """

    redeemer: Redeemer
    answer_message: Callable[[Answer], redemption_pb2.RedeemResponse]
    clock_terms: sandbox_clock.ClockTerms


class SandboxMethods(ota_service_pb2_grpc.OtaServiceServicer):
    """A part of OtaServicer; the contract documents each method."""

    _db: Database
    _repeats: Repeats
    _zone: ZoneInfo
    _terminals: SimulatedTerminals

    async def GetSandbox(
        self,
        request: sandbox_pb2.GetSandboxRequest,
        context: Context[sandbox_pb2.GetSandboxRequest, sandbox_pb2.GetSandboxResponse],
    ) -> sandbox_pb2.GetSandboxResponse:
        async with self._db.transaction() as tx:
            return messages.sandbox(await PARTNERS.get(tx, calls.caller(Partner).partner_code))

    @changing
    async def SetSandboxStock(
        self, request: sandbox_pb2.SetSandboxStockRequest, call: ChangingCall[Partner]
    ) -> sandbox_pb2.SetSandboxStockResponse:
        stock = await allotments.set_test_stock(
            call.tx,
            messages.subject(request),
            sandbox_id=call.caller.partner_id,
            sandbox_code=call.caller.partner_code,
            total=request.total,
            version=request.version,
            zone=self._zone,
            actor=call.caller.key,
            now=call.now,
        )
        return messages.test_stock(stock)

    async def SimulateRedemption(
        self,
        request: sandbox_pb2.SimulateRedemptionRequest,
        context: Context[
            sandbox_pb2.SimulateRedemptionRequest, sandbox_pb2.SimulateRedemptionResponse
        ],
    ) -> sandbox_pb2.SimulateRedemptionResponse:
        caller, function = calls.caller(Partner), request.function_code
        (answer,) = await self._terminals.redeemer.submit(
            sandboxes.simulated_terminal(caller, function, zone=self._zone),
            [messages.scan(request, caller)],
            request_id=request.request_id,
            session_code="",
            method="SimulateRedemption",
            comment=messages.comment(request),
        )
        shown = self._terminals.answer_message(answer)
        return sandbox_pb2.SimulateRedemptionResponse(answer=shown)

    @changing
    async def SimulateReversal(
        self, request: sandbox_pb2.SimulateReversalRequest, call: ChangingCall[Partner]
    ) -> sandbox_pb2.SimulateReversalResponse:
        taken_back = await reversals.reverse(
            call.tx,
            redemption=request.redemption_id,
            comment="in the sandbox",
            caller=sandboxes.simulated_terminal(call.caller, "", zone=self._zone),
            now=call.now,
        )
        return messages.reversal(taken_back)
