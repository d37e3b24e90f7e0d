"""Calls in the metrics by OpenTelemetry's names, and their trace in the log."""

import pytest
from prometheus_client import REGISTRY

from server.api.call_metrics import MethodMetrics
from server.api.calls import trace_id_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("given", "trace"),
    [
        (f"00-{TRACE}-{SPAN}-01", TRACE),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", TRACE),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        ("00-abc-def-01", None),
        (b"00", None),
        (None, None),
    ],
)
def test_the_trace_that_the_caller_names(given: str | bytes | None, trace: str | None) -> None:
    assert trace_id_of({} if given is None else {"traceparent": given}) == trace


@pytest.mark.parametrize(("code", "error"), [("OK", ""), ("NOT_FOUND", ""), ("INTERNAL",) * 2])
def test_calls_are_counted(code: str, error: str) -> None:
    method = MethodMetrics("deeptravel.try.v1.TryService/Try")
    labels = {
        "rpc_system_name": "grpc",
        "rpc_method": "deeptravel.try.v1.TryService/Try",
        "rpc_response_status_code": code,
        "error_type": error,
    }
    for _ in range(2):
        method.count(code, 0.02)
    assert REGISTRY.get_sample_value("rpc_server_call_duration_seconds_count", labels) == 2
