"""The methods of OtaService about the test clock of a sandbox."""

import math
from datetime import datetime, timedelta
from typing import cast

from deeptravel.ota.v1 import ota_service_pb2_grpc, test_clock_pb2

from server.api import calls, convert
from server.api.calls import Context
from server.api.ota.servicer_sandbox import SimulatedTerminals
from server.api.repeats import ChangingCall, Repeats, changing
from server.identity.callers import Partner
from server.parties import sandbox_clocks
from server.parties.clock_rules import SandboxTime
from server.parties.sandbox_clocks import Advance
from server.partners import sandbox_clock
from server.platform import clock
from server.platform.database import Database

MAX_SECONDS = 20.0
"""So long a call moves a clock; the caller hears then how far it has come."""
ANSWER_SECONDS = 0.5
"""What is left of a call's deadline for its answer."""


class TestClockMethods(ota_service_pb2_grpc.OtaServiceServicer):
    """A part of OtaServicer; the contract documents each method."""

    _db: Database
    _repeats: Repeats
    _terminals: SimulatedTerminals

    async def GetTestClock(
        self,
        request: test_clock_pb2.GetTestClockRequest,
        context: Context[test_clock_pb2.GetTestClockRequest, test_clock_pb2.GetTestClockResponse],
    ) -> test_clock_pb2.GetTestClockResponse:
        partner = calls.caller(Partner)
        async with self._db.transaction() as tx:
            time = await sandbox_clocks.read(tx, partner.partner_id)
            asked = await sandbox_clocks.under_way(tx, partner.partner_id)
        return test_clock_pb2.GetTestClockResponse(clock=_shown(time, asked))

    async def AdvanceTestClock(
        self,
        request: test_clock_pb2.AdvanceTestClockRequest,
        context: Context[
            test_clock_pb2.AdvanceTestClockRequest, test_clock_pb2.AdvanceTestClockResponse
        ],
    ) -> test_clock_pb2.AdvanceTestClockResponse:
        asked = await self._set_target(request, context)
        done, current_time = await sandbox_clock.advance(
            self._db,
            calls.caller(Partner).partner_id,
            cast(datetime, convert.moment(asked, "target_time")),
            terms=self._terminals.clock_terms,
            seconds=min(MAX_SECONDS, (context.time_remaining() or math.inf) - ANSWER_SECONDS),
        )
        return _advanced(done, current_time)

    @changing
    async def _set_target(
        self, request: test_clock_pb2.AdvanceTestClockRequest, call: ChangingCall[Partner]
    ) -> test_clock_pb2.AdvanceTestClockResponse:
        to_time = convert.moment(request, "to_time")
        asked = await sandbox_clock.set_target(
            call.tx, call.caller, to_time=to_time, by_seconds=request.by_seconds
        )
        return _advanced(asked, asked.from_time)


def _shown(time: SandboxTime, asked: Advance | None) -> test_clock_pb2.TestClock:
    now = clock.now()
    current = time.at(now)
    return test_clock_pb2.TestClock(
        current_time=convert.timestamp(current),
        ahead_seconds=(current - now) // timedelta(seconds=1),
        target_time=convert.timestamp(asked.target_time) if asked else None,
    )


def _advanced(advance: Advance, current_time: datetime) -> test_clock_pb2.AdvanceTestClockResponse:
    return test_clock_pb2.AdvanceTestClockResponse(
        current_time=convert.timestamp(current_time),
        from_time=convert.timestamp(advance.from_time),
        target_time=convert.timestamp(advance.target_time),
        finished=advance.finish_time is not None,
        events=[
            test_clock_pb2.EventCount(type=kind, count=number)
            for kind, number in sorted((advance.events or {}).items())
        ],
        steps=advance.steps,
    )
