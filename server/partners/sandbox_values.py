"""Magic values of sandboxes: what a `request_id` of a key of test mode has happen. Pure.

`sandbox-NAME` or `sandbox-NAME-anything`: NAME is an ErrorReason that partners meet (FACTS), with
which the call is then refused, or a SandboxEffect; of SimulateRedemption also the reason why a scan
is refused (SCAN_REFUSALS). Whatever else begins so is refused, so that a name with a slip of the
pen does not pass for a call that went well.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

PREFIX = "sandbox-"
_FORM = re.compile(r"sandbox-([A-Z_]+)(?:-.*)?", re.ASCII | re.DOTALL)


class SandboxEffect(StrEnum):
    """What a call of a sandbox may be followed by, other than a refusal."""

    TIMEOUT_AFTER_COMMIT = "TIMEOUT_AFTER_COMMIT"
    """The call is done, and ends with DEADLINE_EXCEEDED; its repeat gets the first answer."""
    UNAVAILABLE_AFTER_COMMIT = "UNAVAILABLE_AFTER_COMMIT"
    """The same with DATABASE_UNAVAILABLE."""
    DUPLICATE_NOTICE = "DUPLICATE_NOTICE"
    """Each event of the call is delivered to each webhook endpoint, and once more."""
    EXPIRE_NOW = "EXPIRE_NOW"
    """What the call makes, or is about, expires a second later."""


EFFECTS: frozenset[str] = frozenset(SandboxEffect)
AFTER_COMMIT: Mapping[str, str] = {
    SandboxEffect.TIMEOUT_AFTER_COMMIT: "DEADLINE_EXCEEDED",
    SandboxEffect.UNAVAILABLE_AFTER_COMMIT: "DATABASE_UNAVAILABLE",
}
"""The reason with which a call ends that was done."""
RETRIED: Mapping[str, float] = {
    "RATE_LIMITED": 1.0,
    "SERVER_BUSY": 0.5,
    "CONFLICT": 0.5,
    "DATABASE_UNAVAILABLE": 1.0,
    "SHUTTING_DOWN": 1.0,
    "DEADLINE_EXCEEDED": 0.0,
}
"""Reasons after which a client repeats the call, and the seconds of the RetryInfo, 0 without one:
the first call with a `request_id` is refused, its repeats are served.
"""
RESERVATION_ID = "0b6f3e52-8a3c-4f0e-9d53-0c6f1f3b7a11"
MOMENT = "2026-01-01T00:00:00+00:00"
NAMED = {"resource": "ticket", "name": "sandbox"}
FACTS: Mapping[str, Mapping[str, str]] = {
    "INVALID_FIELD": {},
    "PAGE_TOKEN_INVALID": {},
    "UNAUTHENTICATED": {},
    "ROLE_NOT_ALLOWED": {"role": "PARTNER", "allowed": "ADMIN"},
    "ADDRESS_NOT_ALLOWED": {"address": "192.0.2.1"},
    "NOT_FOUND": NAMED,
    "ALREADY_EXISTS": NAMED,
    "IDEMPOTENCY_MISMATCH": {},
    "SOLD_OUT": {"product_id": "106", "requested": "1", "available": "0"},
    "PRODUCT_NOT_ON_SALE": {"product_id": "106"},
    "OFFER_NOT_AVAILABLE": {"offer_id": "sandbox", "why": "NO_FARE"},
    "TICKET_STATE_REFUSES": {"ticket_code": "sandbox", "status": "VOIDED"},
    "STOCK_IN_USE": {"held": "1", "sold": "1", "total": "2"},
    "REVERSAL_REFUSED": {"redemption_id": "0" * 32},
    "RATE_LIMITED": {},
    "SERVER_BUSY": {},
    "CONFLICT": {},
    "DATABASE_UNAVAILABLE": {},
    "SHUTTING_DOWN": {},
    "INTERNAL": {},
    "DEADLINE_EXCEEDED": {},
    "NOTICE_REFUSED": {},
    "PAYMENT_MISMATCH": {
        "ticket_code": "sandbox",
        "expected_minor": "29800",
        "expected_currency_code": "CNY",
        "paid_minor": "1",
        "paid_currency_code": "CNY",
    },
    "DEPARTURE_CANCELLED": {"departure_id": "4711"},
    "RANGE_TOO_LARGE": {},
    "EVENTS_REMOVED": {"after_cursor": "0", "oldest_cursor": "1"},
    "RESERVATION_EXPIRED": {"reservation_id": RESERVATION_ID, "expire_time": MOMENT},
    "RESERVATION_STATE_REFUSES": {"reservation_id": RESERVATION_ID, "status": "RELEASED"},
    "RESERVATION_USED_UP": {
        "reservation_id": RESERVATION_ID,
        "requested": "1",
        "available": "0",
    },
    "RESERVATION_TOO_LONG": {"max_expire_time": MOMENT},
    "DISTRIBUTOR_REFUSED": {"distributor_id": "sandbox", "why": "ARCHIVED"},
    "VERSION_MISMATCH": {"resource": "distributor", "name": "sandbox", "version": "1"},
    "ENDPOINT_LIMIT": {"limit": "20"},
    "TEST_MODE_ONLY": {},
}
"""The reasons of the contract that partners meet, each with the metadata that the contract promises
for it; what the request says under the same name counts more.
"""


SCANS = "SimulateRedemption"
"""The method whose calls may be answered as a scan that is refused."""
SCAN_REFUSALS: Mapping[str, str] = {
    "TOKEN_INVALID": "token",
    "TOKEN_EXPIRED": "expiry",
    "QR_SUPERSEDED": "jti",
    "QR_KEY_COMPROMISED": "key",
    "TICKET_NOT_FOUND": "ticket",
    "TICKET_NOT_ACTIVE": "state",
    "TICKET_NOT_YET_VALID": "validity",
    "TICKET_EXPIRED": "validity",
    "TICKET_REFUNDED": "state",
    "TICKET_CHANGED": "state",
    "TICKET_VOIDED": "state",
    "TICKET_BLOCKED": "blocked",
    "FUNCTION_NOT_INCLUDED": "function",
    "NO_USES_LEFT": "uses",
    "ALREADY_REDEEMED": "guard",
    "FUNCTION_NOT_ALLOWED_HERE": "place",
    "BLACKOUT_DATE": "blackout",
    "WRONG_DEPARTURE": "departure",
    "DEPARTURE_CANCELLED": "departure",
    "TEST_TICKET": "mode",
    "LEASED_ELSEWHERE": "lease",
    "ROTATING_CODE_EXPIRED": "rotating_code",
    "ROTATING_CODE_REQUIRED": "rotating_code",
}
"""Why a scan is refused, of deeptravel.redemption.v1.RefusalReason, and the check that decides."""
SCAN_FACTS: Mapping[str, str | int] = {
    "allowed": "gift",
    "asked": 2,
    "at": "2026-01-01 08:00:00",
    "date": "2026-01-01",
    "departs": "2026-01-01 09:00:00",
    "destination_en": "Macau",
    "destination_zh": "澳门",
    "expired_at": "2026-01-01 08:00:00",
    "function": "ferry",
    "here": "F100 (2026-01-01)",
    "included": "gift",
    "now": "2026-01-01 08:00:00",
    "opens": "2026-01-01 07:00:00",
    "origin_en": "Hong Kong",
    "origin_zh": "香港",
    "remaining": 1,
    "seconds": 30,
    "service": "F200",
    "state": "PRE_GENERATED",
    "terminal": "SANDBOX",
    "total": 1,
    "until": "2026-01-01 08:15:00",
    "valid_from": "2026-01-02 00:00:00",
    "valid_until": "2026-01-01 08:00:00",
    "venue": "SANDBOX",
}
"""What their texts speak of."""


class SandboxValue(NamedTuple):
    """What a `request_id` asks for: a reason of FACTS, or an effect."""

    name: str

    @property
    def effect(self) -> SandboxEffect | None:
        """The effect; None for a reason."""
        return SandboxEffect(self.name) if self.name in EFFECTS else None

    @property
    def is_once(self) -> bool:
        """Whether only the first call with the `request_id` ends so."""
        return self.name in RETRIED or self.name in AFTER_COMMIT

    def facts(self, request: Mapping[str, Any]) -> dict[str, str]:
        """The metadata of the reason, with what the request says."""
        said = {"requested": request.get("quantity")} | dict(request)
        samples = FACTS[self.name]
        return {name: str(said.get(name) or sample) for name, sample in samples.items()}


def read(request_id: str, method: str) -> SandboxValue | None:
    """What a `request_id` of a call of `method` asks for; None for any other. Raises ValueError,
    with the remedy, for a name that there is not.
    """
    if not request_id.startswith(PREFIX):
        return None
    match, scans = _FORM.fullmatch(request_id), SCAN_REFUSALS if method == SCANS else {}
    if match and (match[1] in FACTS or match[1] in EFFECTS or match[1] in scans):
        return SandboxValue(match[1])
    names = ", ".join([*SandboxEffect, *scans, *FACTS])
    raise ValueError(f"after {PREFIX} comes one of {names}; other ids must begin otherwise")
