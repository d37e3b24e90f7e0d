"""What becomes of a scan that a terminal decided without network. Pure.

Whether it is admitted is decided by `rules.decide`, as online, at the time of the scan; here is
what the answer means for somebody who has been let in already (DOMAIN, Redemption 10).
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from server.parties.offline_policy import OfflinePolicy
from server.platform.crypto import digest
from server.redemption.rules import ScannedTicket

HASH_PREFIX = b"deeptravel offline scan v1\x00"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_LAST_VERSION = 1 << 45
_NUMBERS = struct.Struct(">qqqiB")
_GIVEN_BACK = {"REFUNDED": "REFUNDING", "CHANGED": "CHANGING"}
_REVOKED = frozenset(
    {
        *("TICKET_REFUNDED", "TICKET_CHANGED", "TICKET_NOT_ACTIVE"),
        *("TICKET_BLOCKED", "QR_SUPERSEDED"),
    }
)


@dataclass(frozen=True, slots=True)
class OfflineScan:
    """A scan as the terminal has written it down; `scanned_time` by its clock, if it has one, and
    `pack_version` in milliseconds of Unix time.
    """

    scan_id: str
    qr_token: str
    function_code: str
    quantity: int
    ticket_code: str
    scanned_time: datetime | None
    counter: int
    pack_version: int
    previous_hash: str
    admitted: bool
    comment: str = ""

    @property
    def is_by_code(self) -> bool:
        """Whether the ticket was named by its code, without a QR."""
        return bool(self.ticket_code and not self.qr_token)

    def hash(self) -> str:
        """SHA-256 of it, in hexadecimal digits, as the contract's UploadedScan has it."""
        texts = self.scan_id, self.qr_token, self.function_code, self.ticket_code
        parts = [text.encode() for text in (self.previous_hash, *texts)]
        at = (self.scanned_time - _EPOCH) // _MILLISECOND if self.scanned_time else 0
        numbers = self.counter, at, self.pack_version, self.quantity, self.admitted
        said = _framed([self.comment.encode()]) if self.comment else b""
        return digest(HASH_PREFIX + _framed(parts) + _NUMBERS.pack(*numbers) + said).hex()


class BelievedTime(NamedTuple):
    """When a scan was made, as far as it can be believed; `is_suspect` if the clock was wrong."""

    moment: datetime
    is_suspect: bool


class TicketMove(NamedTuple):
    """What happened to a ticket other than by redemption."""

    action: str
    state: str
    moment: datetime


class Judgement(NamedTuple):
    """What becomes of a scan, and who bears it: MERCHANT, PLATFORM, or nobody."""

    verdict: str
    liable: str = ""


def believed_time(scan: OfflineScan, received: datetime, policy: OfflinePolicy) -> BelievedTime:
    """The terminal's time, brought between its pack and the upload."""
    begins = min(pack_time(scan.pack_version), received)
    if scan.scanned_time is None:
        return BelievedTime(received, is_suspect=True)
    early, late = begins - policy.clock_tolerance, received + policy.clock_tolerance
    moment = min(max(scan.scanned_time, begins), received)
    return BelievedTime(moment, not early <= scan.scanned_time <= late)


def revoked_time(
    ticket: ScannedTicket, moves: Sequence[TicketMove], *, is_other_qr: bool
) -> datetime | None:
    """Since when a ticket is being given back or blocked, or its QR is superseded: the first of
    these; None if it is not, or nobody knows. `moves` are in the order of time.
    """
    wanted = []
    if is_other_qr:
        wanted.append([move for move in moves if move.action == "qr_rotated"])
    if ticket.blocked:
        wanted.append([move for move in moves if move.action == "block"])
    if ticket.state in ("REFUNDED", "CHANGED", "REFUNDING", "CHANGING"):
        begun = _GIVEN_BACK.get(ticket.state, ticket.state)
        wanted.append([move for move in moves if move.state == begun])
    return min((found[-1].moment for found in wanted if found), default=None)


def judge(
    reason: str,
    earlier_terminal: str,
    *,
    terminal_device_id: str,
    time: BelievedTime,
    revoked: datetime | None,
    pack_version: int,
    policy: OfflinePolicy,
) -> Judgement:
    """The verdict on a scan that the terminal admitted; `reason` is that of its refusal at its
    time, empty if it is admitted, and `earlier_terminal` where the function was redeemed before.
    """
    if not reason:
        return Judgement("CLOCK_SUSPECT" if time.is_suspect else "ACCEPTED")
    if reason == "TOKEN_INVALID":
        return Judgement("MALFORMED", "MERCHANT")
    if reason == "TICKET_NOT_FOUND":
        return Judgement("UNKNOWN_TICKET", "MERCHANT")
    if reason in ("ALREADY_REDEEMED", "NO_USES_LEFT") and earlier_terminal:
        if earlier_terminal == terminal_device_id:
            return Judgement("DUPLICATE", "MERCHANT")
        return Judgement("OVER_ADMITTED" if policy.over_admission else "CONFLICT", "MERCHANT")
    if reason in _REVOKED and revoked:
        if time.moment < revoked:
            return Judgement("CONFLICT", "MERCHANT" if policy.bears_refunds else "PLATFORM")
        begun = pack_time(pack_version)
        could_not_know = begun < revoked and time.moment - begun <= timedelta(
            seconds=policy.pack_seconds
        )
        return Judgement("REVOKED_AT_SCAN", "PLATFORM" if could_not_know else "MERCHANT")
    return Judgement("REFUSED", "MERCHANT")


def _framed(parts: Sequence[bytes]) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def pack_time(pack_version: int) -> datetime:
    """When a pack was begun."""
    return datetime.fromtimestamp(min(pack_version, _LAST_VERSION) / 1000, UTC)
