"""How many calls this process has counted, as `/metrics` says it."""

from prometheus_client import REGISTRY

from server.api.call_metrics import ERRORS, SYSTEM


def counted_calls(noun: str, method: str, code: str) -> float:
    """Calls of a method, e.g. of `redemption` and `RedemptionService/Redeem`, that ended so."""
    labels = {
        "rpc_system_name": SYSTEM,
        "rpc_method": f"deeptravel.{noun}.v1.{method}",
        "rpc_response_status_code": code,
        "error_type": code if code in ERRORS else "",
    }
    return REGISTRY.get_sample_value("rpc_server_call_duration_seconds_count", labels) or 0.0
