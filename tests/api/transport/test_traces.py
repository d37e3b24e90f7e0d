"""Spans of calls of every kind, in the caller's trace."""

import asyncio
from typing import Any

import grpc
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace.status import StatusCode

from server.api import grpc_server
from server.api.rpc_spans import StableNames
from server.api.transport.choice import Transport
from tests.api.transport.test_calls import ended
from tests.support.echo_server import SERVICE, Echo, serving

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = (("traceparent", f"00-{TRACE_ID}-00f067aa0ba902b7-01"),)


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def interceptor(spans: InMemorySpanExporter) -> grpc.aio.ServerInterceptor:
    provider = TracerProvider()
    provider.add_span_processor(StableNames(SimpleSpanProcessor(spans)))
    return grpc_server.SpanInterceptor(provider)


async def test_calls_of_every_kind_have_a_span(
    transport: Transport, interceptor: Any, spans: InMemorySpanExporter
) -> None:
    """Seen red: methods that write their answers, as ScanStream, ended with a fault, since the
    library's interceptor takes every stream of answers for a generator.
    """
    async with serving(transport, Echo(), interceptors=[interceptor]) as (_, client):
        for method in ("Unary", "Plain"):
            assert await client.unary(method)(b"x", metadata=PARENT) == b"x"
        assert [part async for part in client.split()(b"ab", metadata=PARENT)] == [b"a", b"b"]
        assert await client.join()(iter([b"a", b"b"]), metadata=PARENT) == b"ab"
        both = client.both()(metadata=PARENT)
        await both.write(b"first")
        assert await both.read() == b"first"
        await both.done_writing()
        assert await ended(both) == ("OK", "")
        await asyncio.sleep(0)
    found = spans.get_finished_spans()
    names = [span.name for span in found if f"{span.context.trace_id:032x}" == TRACE_ID]
    assert names == [f"{SERVICE}/{name}" for name in ("Unary", "Plain", "Split", "Join", "Both")]


class Refusing(Echo):
    """Refuses."""

    async def unary(self, request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.NOT_FOUND, "nothing")
        return request

    async def both(self, _requests: Any, context: Any) -> None:
        await context.abort(grpc.StatusCode.NOT_FOUND, "nothing")


class Faulty(Echo):
    """Is not there."""

    async def unary(self, request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        return request


async def test_a_span_says_how_its_call_ended(
    transport: Transport, interceptor: Any, spans: InMemorySpanExporter
) -> None:
    async with serving(transport, Refusing(), interceptors=[interceptor]) as (_, client):
        for call in (client.unary("Unary")(b""), client.both()()):
            assert await ended(call) == ("NOT_FOUND", "nothing")
    for span in spans.get_finished_spans():
        found = span.attributes or {}
        assert found["rpc.response.status_code"] == "NOT_FOUND"
        # an answer, and no fault of the server
        assert "error.type" not in found
        assert span.status.status_code is StatusCode.UNSET


async def test_a_fault_of_the_server_is_an_error(
    transport: Transport, interceptor: Any, spans: InMemorySpanExporter
) -> None:
    async with serving(transport, Faulty(), interceptors=[interceptor]) as (_, client):
        assert (await ended(client.unary("Unary")(b"")))[0] == "UNAVAILABLE"
    (span,) = spans.get_finished_spans()
    found = span.attributes or {}
    assert (found["rpc.response.status_code"], found["error.type"]) == ("UNAVAILABLE",) * 2
    assert span.status.status_code is StatusCode.ERROR
