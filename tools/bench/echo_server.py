"""The yardstick of the benchmark: Redeem and ScanStream that answer at once, of the same message
sizes.

Without `--interceptors` nothing but gRPC, with the product's server settings; with it, the
product's interceptor and its authentication too. By grpc.aio, or by `--transport core` on the
product's own transport, where Redeem is a plain function too. Prints its port.
"""

import argparse
from typing import Any

import grpc
import uvloop
from deeptravel.redemption.v1 import redemption_pb2, redemption_service_pb2
from deeptravel.redemption.v1 import redemption_service_pb2_grpc as redemption_grpc
from google.protobuf import json_format

from server.api.admission import Admission
from server.api.grpc_server import server_options
from server.api.interceptor import Interceptor
from server.api.transport.choice import Transport, new_server
from server.api.transport.handlers import DirectHandler, UnaryCall
from server.identity.service import Identity
from server.platform import logs
from server.platform.change_feed import ChangeFeed
from server.platform.config import SECRET_KEY_BYTES, load_settings
from server.platform.database import Database
from server.platform.ratelimit import RateLimiter

ANSWER = json_format.ParseDict(
    {
        "result": "REDEMPTION_RESULT_SUCCESS",
        "ticket_status": "TICKET_STATE_PARTIALLY_REDEEMED",
        "entitlements": [
            {"function_code": "ferry", "remaining_uses": 0},
            {"function_code": "gift", "remaining_uses": 1},
        ],
        "performance_metrics": {"fraud_checks_passed": True},
        "redemption_id": "0" * 32,
        "explanation": {
            "check": "admitted",
            "en": "Admitted: ferry ×1. 0 of 1 uses left.",
            "zh": "准许通行：ferry ×1。剩余 0/1 次。",
        },
        "ticket_code": "OTA-CP-20251103-000001",
    },
    redemption_pb2.RedeemResponse(),
)


class Echo(redemption_grpc.RedemptionServiceServicer):
    """Answers what a redemption would."""

    async def Redeem(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        """One answer."""
        return ANSWER

    async def ScanStream(  # type: ignore[override]  # noqa: N802
        self,
        request_iterator: Any,  # noqa: ARG002
        context: Any,
    ) -> None:
        """One answer a message."""
        while (request := await context.read()) is not grpc.aio.EOF:
            answer = redemption_pb2.ScanAnswer(scan_id=request.scan_id, answer=ANSWER)
            await context.write(redemption_pb2.ScanStreamResponse(answers=[answer]))


def plain(call: UnaryCall, content: bytes) -> bool:
    """Redeem as a plain function."""
    redemption_pb2.RedeemRequest.FromString(content)
    call.answer(ANSWER.SerializeToString())
    return True


class Plainly(grpc.aio.ServerInterceptor):
    """Makes Redeem a plain function."""

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """The handler, with the function where there is one."""
        handler = await continuation(handler_call_details)
        path: str = handler_call_details.method
        return DirectHandler(handler, plain) if path.endswith("/Redeem") else handler


async def serve(transport: Transport, *, interceptors: bool) -> None:
    """Serves until it is ended."""
    settings = load_settings(secret_key=bytes(SECRET_KEY_BYTES))
    chain: list[grpc.aio.ServerInterceptor] = []
    if interceptors:
        assert settings.database_url is not None
        assert settings.redis_url is not None
        db = Database(settings, settings.database_url)
        feed = ChangeFeed(db)
        await feed.start()
        guards = Identity(db, feed, RateLimiter(settings.redis_url), settings)
        service = redemption_service_pb2.DESCRIPTOR.services_by_name["RedemptionService"]
        admission = Admission(max_calls=settings.max_calls_in_flight)
        chain = [Interceptor([service], guards, admission)]
    else:
        chain = [Plainly()]
    server = new_server(transport, interceptors=chain, options=server_options(settings))
    echo = Echo()  # type: ignore[abstract]
    redemption_grpc.add_RedemptionServiceServicer_to_server(echo, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interceptors", action="store_true")
    parser.add_argument("--transport", choices=["aio", "core"], default="aio")
    arguments = parser.parse_args()
    logs.configure(level="INFO", style="json")
    uvloop.run(serve(arguments.transport, interceptors=arguments.interceptors))
