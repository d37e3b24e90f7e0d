"""What a caller of OCTO hears of an error: the specification's codes, and an HTTP status that its
clients understand.

A refusal is 400: some clients read a booking out of 401, 409, 410, 422, 429 and 503. Whoever may
not call gets 403, a fault of ours 500. What is no request of OCTO's at all has the status that HTTP
has for it: 404, 405, 408, 413.
"""

from typing import NamedTuple

from server.platform.errors import STATUS_BY_REASON, DomainError, Reason

INVALID_IDS = {
    "product": ("INVALID_PRODUCT_ID", "productId"),
    "option": ("INVALID_OPTION_ID", "optionId"),
    "unit": ("INVALID_UNIT_ID", "unitId"),
    "availability": ("INVALID_AVAILABILITY_ID", "availabilityId"),
    "booking": ("INVALID_BOOKING_UUID", "uuid"),
}
"""The code for what there is not, and the field that names it."""
FORBIDDEN = {"UNAUTHENTICATED": "UNAUTHORIZED", "PERMISSION_DENIED": "FORBIDDEN"}
FAULTS = frozenset({"INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "UNKNOWN"})
OVER = frozenset({Reason.RESERVATION_EXPIRED, Reason.RESERVATION_STATE_REFUSES})
"""A hold that cannot be used any more: its uuid is none to confirm."""


class UnprocessableError(DomainError):
    """A request that is well formed and still asks for nothing that can be done."""


class OctoError(NamedTuple):
    """An answer that refuses."""

    http_status: int
    content: dict[str, str]


def bad_request(error: DomainError) -> dict[str, str]:
    """What somebody hears whose request is none of OCTO's."""
    return {"error": "BAD_REQUEST", "errorMessage": error.message}


def octo_error(error: DomainError, uuid: str = "") -> OctoError:
    """The error as OCTO says it; `uuid` is that of the booking the call was about."""
    said = {"errorMessage": error.message}
    status = STATUS_BY_REASON[error.reason]
    if error.reason == Reason.NOT_FOUND and error.metadata.get("resource") in INVALID_IDS:
        code, field = INVALID_IDS[error.metadata["resource"]]
        return OctoError(400, {"error": code, **said, field: error.metadata.get("name", "")})
    if error.reason in OVER:
        return OctoError(400, {"error": "INVALID_BOOKING_UUID", **said, "uuid": uuid})
    if isinstance(error, UnprocessableError):
        return OctoError(400, {"error": "UNPROCESSABLE_ENTITY", **said})
    if error.reason == Reason.INVALID_FIELD:
        return OctoError(400, bad_request(error))
    if error.reason == Reason.NOT_FOUND:
        return OctoError(404, {"error": "NOT_FOUND", **said})
    if status in FORBIDDEN:
        return OctoError(403, {"error": FORBIDDEN[status], **said})
    if status in FAULTS:
        return OctoError(500, {"error": "INTERNAL_SERVER_ERROR", **said})
    return OctoError(400, {"error": "UNPROCESSABLE_ENTITY", **said})
