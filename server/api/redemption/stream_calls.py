"""Unary calls that a ScanStream carries beside its scans: with the rights, the repeats, the audit
trail and the line in the log that they have alone, since they are the same methods.
"""

import asyncio
from types import MappingProxyType
from typing import Any

from deeptravel.redemption.v1 import redemption_pb2, redemption_service_pb2

from server.api import calls
from server.api.interceptor import record, require_role
from server.api.methods import methods
from server.platform.errors import STATUS_BY_REASON, DomainError, Reason

CALLS = MappingProxyType(
    {
        "order": "LookupOrder",
        "history": "ListRedemptions",
        "party": "RedeemMany",
        "by_code": "RedeemByCode",
        "reversal": "ReverseRedemption",
    }
)
"""Method by the field that has its request in ScanStreamRequest, and its response in ScanAnswer."""
_SERVICE = redemption_service_pb2.DESCRIPTOR.services_by_name["RedemptionService"]
_METHODS = {path.rpartition("/")[2]: method for path, method in methods([_SERVICE]).items()}


async def called(
    servicer: Any, request: redemption_pb2.ScanStreamRequest
) -> redemption_pb2.ScanAnswer:
    """Calls the method of RedemptionService whose request a checked message of a stream carries;
    in a task of its own. Raises ROLE_NOT_ALLOWED, and what the method does.
    """
    asked = request.WhichOneof("call")
    assert asked is not None
    method = _METHODS[CALLS[asked]]
    call = calls.begin_part(method.name)
    try:
        require_role(calls.caller(), method)
        response = await getattr(servicer, CALLS[asked])(getattr(request, asked), None)
    except BaseException as error:
        call.code, call.reason = _ending(error)
        raise
    finally:
        record(call, method)
    return redemption_pb2.ScanAnswer(scan_id=request.scan_id, **{asked: response})


def _ending(error: BaseException) -> tuple[str, str | None]:
    """Status and reason."""
    if isinstance(error, asyncio.CancelledError):
        return "CANCELLED", None
    reason = error.reason if isinstance(error, DomainError) else Reason.INTERNAL
    return STATUS_BY_REASON[reason], reason
