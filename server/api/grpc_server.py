"""How a gRPC server is made: its options, and the interceptor that traces its calls."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc

from server.platform.config import Settings

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    Handler = grpc.RpcMethodHandler[Any, Any]

KEEPALIVE_SECONDS = 60
"""After this long without a word a connection is asked whether it is alive."""
KEEPALIVE_TIMEOUT_SECONDS = 20
MIN_PING_SECONDS = 5
"""Clients that ask more often than this are sent away. Java's asks every 10 s at most, a
little less as it arrives.
"""
MAX_ANSWER_BYTES = 4 << 20
"""Clients take no greater ones, unless they are set to."""
LEAST_PENDING_CALLS = 4096
"""Calls that have come and wait for the loop, whatever few may be in flight: each hears
SERVER_BUSY from us.
"""


def server_options(settings: Settings, *, shared_ports: bool = False) -> list[tuple[str, int]]:
    """The gRPC options of the server; `shared_ports` lets several workers listen on one port."""
    pending = max(2 * settings.max_calls_in_flight, LEAST_PENDING_CALLS)
    # twice what is taken, so that one busy connection hears SERVER_BUSY: near this limit gRPC's own
    # clients do not wait for a place, but see calls end as UNAVAILABLE (grpcio 1.85, RST_STREAM 7)
    streams = 2 * settings.max_calls_in_flight
    return [
        ("grpc.so_reuseport", int(shared_ports)),  # else a second server would share the port
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", MAX_ANSWER_BYTES),
        ("grpc.max_concurrent_streams", streams),
        ("grpc.max_allowed_incoming_connections", settings.max_connections),
        ("grpc.server_handshake_timeout_ms", int(settings.first_message_seconds * 1000)),
        # else the library cancels calls that come faster than the loop takes them, from the
        # thousandth on
        ("grpc.server.max_pending_requests", pending),
        ("grpc.server.max_pending_requests_hard_limit", pending),
        ("grpc.keepalive_time_ms", KEEPALIVE_SECONDS * 1000),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_SECONDS * 1000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_SECONDS * 1000),
    ]


def age_options(settings: Settings) -> list[tuple[str, int]]:
    """The gRPC options of the public server that bound the age of its connections."""
    if not settings.connection_age_seconds:
        return []
    return [
        ("grpc.max_connection_age_ms", settings.connection_age_seconds * 1000),
        ("grpc.max_connection_age_grace_ms", settings.connection_age_grace_seconds * 1000),
    ]


def trace_ids() -> Callable[[], str]:
    """What tells the trace of the call that is served; where calls are traced."""
    from server.api.rpc_spans import current_trace_id

    return current_trace_id


@asynccontextmanager
async def tracing(endpoint: str) -> AsyncIterator[grpc.aio.ServerInterceptor]:
    """The interceptor that makes a span of every call and sends them to a collector."""
    # Loaded only where traces are wanted: it takes half a second.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from server.api.rpc_spans import StableNames

    provider = TracerProvider(resource=Resource.create({"service.name": "deeptravel-ticketing"}))
    exporter = OTLPSpanExporter(endpoint, insecure=not endpoint.startswith("https://"))
    provider.add_span_processor(StableNames(BatchSpanProcessor(exporter)))
    try:
        yield SpanInterceptor(provider)
    finally:
        await asyncio.to_thread(provider.shutdown)  # sends what it has, and waits for the collector


class SpanInterceptor(grpc.aio.ServerInterceptor):
    """Makes a span of every call, but for health checks, by OpenTelemetry's interceptor.

    That one takes every stream of answers for a generator, and fails where a coroutine writes them
    (0.66b2); so it is shown generators.
    """

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry.instrumentation.grpc import aio_server_interceptor, filters

        self._inner: grpc.aio.ServerInterceptor = aio_server_interceptor(  # type: ignore[no-untyped-call]
            tracer_provider=provider, filter_=filters.negate(filters.health_check())
        )

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """The handler, with a span around each of its calls."""

        async def generating(details: grpc.HandlerCallDetails) -> Any:
            handler = await continuation(details)
            return handler and _generating(handler)

        inner: Any = self._inner
        return await inner.intercept_service(generating, handler_call_details)  # type: ignore[no-any-return]


def _generating(handler: "Handler") -> "Handler":
    """The handler as it is, or with a generator that yields nothing for the coroutine that writes
    its answers.
    """
    behavior: Any = handler.stream_stream if handler.request_streaming else handler.unary_stream
    if not handler.response_streaming or not inspect.iscoroutinefunction(behavior):
        return handler

    async def generate(request: Any, context: Any) -> AsyncIterator[Any]:
        await behavior(request, context)
        nothing: tuple[Any, ...] = ()
        for answer in nothing:
            yield answer

    kind = (
        grpc.stream_stream_rpc_method_handler
        if handler.request_streaming
        else grpc.unary_stream_rpc_method_handler
    )
    made: Handler = kind(generate, handler.request_deserializer, handler.response_serializer)
    return made
