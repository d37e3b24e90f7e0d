"""A refused or failed call as both transports say it: google.rpc.Status with the details that
callers act on.
"""

from collections.abc import Sequence

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from server.platform.errors import STATUS_BY_REASON, DomainError

ERROR_DOMAIN = "deeptravel"
MAX_MESSAGE_BYTES = 400
"""Of an error's message; beyond ASCII each byte of it is three in the `grpc-message` trailer."""
MAX_FACT_BYTES = 200
"""Of each value of an ErrorInfo and each text of a violation."""
MAX_VIOLATIONS_BYTES = 1280
"""Of the violations of one status: all trailers together stay under 6 KiB."""


def error_status(error: DomainError, request_id: str) -> status_pb2.Status:
    """The error as both transports send it, with the details that callers act on.

    Many a client takes at most 8 KiB of trailers, and the status travels in them: texts are
    cut, and of the violations as many are listed as fit, with how many of those found were left out
    as `violations_left_out` of the ErrorInfo.
    """
    message = _cut(error.message, MAX_MESSAGE_BYTES)
    facts = {key: _cut(value, MAX_FACT_BYTES) for key, value in error.metadata.items()}
    listed, left_out = _listed(error.violations)
    if left_out:
        facts["violations_left_out"] = str(left_out)
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN, metadata=facts),
        error_details_pb2.RequestInfo(request_id=request_id),
    ]
    if listed:
        details.append(error_details_pb2.BadRequest(field_violations=listed))
    if error.retry_seconds is not None:
        delay = Duration()
        delay.FromNanoseconds(int(error.retry_seconds * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(
        code=grpc.StatusCode[STATUS_BY_REASON[error.reason]].value[0], message=message
    )
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def _listed(
    violations: Sequence[tuple[str, str]],
) -> tuple[list[error_details_pb2.BadRequest.FieldViolation], int]:
    """The violations that fit into a status, and how many do not."""
    listed, size = [], 0
    for field, description in violations:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=_cut(field, MAX_FACT_BYTES), description=_cut(description, MAX_FACT_BYTES)
        )
        size += violation.ByteSize() + 3
        if size > MAX_VIOLATIONS_BYTES:
            break
        listed.append(violation)
    return listed, len(violations) - len(listed)


def _cut(text: str, limit: int) -> str:
    """The text, or as much of it as `limit` bytes of UTF-8 hold, with an ellipsis."""
    encoded = text.encode()
    if len(encoded) <= limit:
        return text
    return encoded[: limit - len("…".encode())].decode(errors="ignore") + "…"
