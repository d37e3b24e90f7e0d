"""Spans by the stable names of OpenTelemetry's semantic conventions, and the trace of a call.

The library's interceptor (0.66b2) gives spans the names that were experimental; here they are
renamed on their way to the exporter. Where no exporter is configured nothing of this is loaded.
"""

from collections.abc import Mapping
from typing import Any

import grpc
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import get_current_span
from opentelemetry.trace.status import Status, StatusCode

from server.api.call_metrics import ERRORS, SYSTEM

_CODES = {code.value[0]: code.name for code in grpc.StatusCode}
_RENAMED = {"net.peer.ip": "network.peer.address", "net.peer.port": "network.peer.port"}
_FORMER = {"rpc.system", "rpc.service", "rpc.grpc.status_code", "net.peer.name"}


class StableNames(SpanProcessor):
    """Renames what ends, and hands it on to `inner`."""

    def __init__(self, inner: SpanProcessor) -> None:
        self._inner = inner

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Called by the library."""
        self._inner.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """Called by the library."""
        self._inner.on_end(renamed(span) if "rpc.system" in (span.attributes or {}) else span)

    def shutdown(self) -> None:
        """Called by the library."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Called by the library."""
        return self._inner.force_flush(timeout_millis)


def renamed(span: ReadableSpan) -> ReadableSpan:
    """A span of a call, by the stable names: `rpc.system.name`, `rpc.method` with its service,
    `rpc.response.status_code` as its name, and `error.type` for a fault of the server.
    """
    given: Mapping[str, Any] = span.attributes or {}
    method = span.name.removeprefix("/")
    code = _CODES.get(given.get("rpc.grpc.status_code", 0), "UNKNOWN")
    attributes = {
        _RENAMED.get(name, name): value for name, value in given.items() if name not in _FORMER
    }
    attributes |= {
        "rpc.system.name": SYSTEM,
        "rpc.method": method,
        "rpc.response.status_code": code,
    }
    if code in ERRORS:
        attributes["error.type"] = code
    return ReadableSpan(
        name=method,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=attributes,
        events=span.events,
        links=span.links,
        kind=span.kind,
        status=Status(StatusCode.ERROR, span.status.description)
        if code in ERRORS
        else Status(StatusCode.UNSET),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def current_trace_id() -> str:
    """The trace of the call that is served, in hexadecimal; empty if it is traced nowhere."""
    context = get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else ""
