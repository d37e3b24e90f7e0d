"""Failures in JSON: google.rpc.Status with the details that callers act on, the same shape on
every path.
"""

import base64
import http
from typing import Any

import orjson
from google.protobuf import json_format
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError
from google.rpc import status_pb2

from server.api.statuses import error_status
from server.platform.errors import DomainError


def status_json(status: status_pb2.Status) -> dict[str, Any]:
    """The status with its details, as they stand in an answer's body."""
    details = [_detail_json(detail) for detail in status.details]
    return {"code": status.code, "message": status.message, "details": details}


def whole_answer(http_status: int, error: DomainError, request_id: str) -> bytes:
    """An answer from its status line to the end of its body, for requests of which no application
    hears.

    The connection is closed after it.
    """
    body = orjson.dumps(status_json(error_status(error, request_id)))
    lines = [
        f"HTTP/1.1 {http_status} {http.HTTPStatus(http_status).phrase}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        "cache-control: no-store",
        "x-content-type-options: nosniff",
        f"x-request-id: {request_id}",
        "connection: close",
    ]
    if error.retry_seconds is not None:
        lines.append(f"retry-after: {max(1, round(error.retry_seconds))}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def _detail_json(detail: AnyMessage) -> Any:
    try:
        return json_format.MessageToDict(detail, preserving_proto_field_name=True)
    except (TypeError, KeyError, DecodeError):  # a type unknown here
        return {"@type": detail.type_url, "value": base64.b64encode(detail.value).decode()}
