"""Which transport serves: ours, or grpc.aio where ours cannot or is not wanted."""

from collections.abc import Sequence
from typing import Any, Literal

import grpc
import structlog

from server.api.transport import core

Transport = Literal["core", "aio"]

log = structlog.get_logger()


def new_server(
    transport: Transport,
    *,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    options: Sequence[tuple[str, Any]] = (),
) -> grpc.aio.Server:
    """A server that has not started, in the running event loop."""
    absent = core.missing()
    if transport == "core" and not absent:
        from server.api.transport.server import CoreServer  # loads only where the names exist

        return CoreServer(interceptors=interceptors, options=options)
    log.info("transport.grpc_aio", chosen=transport == "aio", missing=absent)
    return grpc.aio.server(interceptors=interceptors, options=options)
