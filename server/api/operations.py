"""What the operations address answers, which nobody but those who run the server should reach.

Over HTTP `/metrics` and `/healthz`, over gRPC channelz with health and reflection. Metrics are
those of all workers, whichever of them answers; channelz is that of the one that has the
connection.
"""

from collections.abc import Callable

import grpc
from grpc_channelz.v1 import channelz, channelz_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from server.api import reflection
from server.api.health import Report

NO_STORE = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


def pages(metrics: Callable[[], tuple[bytes, str]], health: Callable[[], Report]) -> Starlette:
    """The HTTP application: `metrics` is text and its content type, `health` how the server
    stands.
    """

    async def show_metrics(_request: Request) -> Response:
        text, content_type = metrics()
        return Response(text, media_type=content_type, headers=NO_STORE)

    async def show_health(_request: Request) -> Response:
        report = health()
        return JSONResponse(report.content, report.http_status, headers=NO_STORE)

    return Starlette(routes=[Route("/metrics", show_metrics), Route("/healthz", show_health)])


def add_services(server: grpc.aio.Server, health_servicer: health.aio.HealthServicer) -> None:
    """Adds channelz, health and reflection over both to a server that has not started."""
    channelz.add_channelz_servicer(server)
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    reflection.serve(
        server,
        [
            descriptor.full_name
            for module in (channelz_pb2, health_pb2)
            for descriptor in module.DESCRIPTOR.services_by_name.values()
        ],
    )
