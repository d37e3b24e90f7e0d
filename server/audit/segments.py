"""Segments of the audit trail's chain: each but the first begins after a break, which somebody has
looked at and given a reason for (`deeptravel audit resume`). What was found broken stays known: it
is signed with the segment, whose first hash is made of it, so that neither can be taken away.
"""

import json
from datetime import UTC, datetime
from typing import NamedTuple

from server.platform.crypto import digest

SEGMENT_WORD = "deeptravel-audit-segment-1"
HASH_PREFIX = b"deeptravel audit segment 1\0"


class Segment(NamedTuple):
    """A segment of the chain: its number, from 2, its first position, how many checkpoints there
    were before it, what was wrong then, and who has resumed the chain when and why; `signature` is
    of the line without it.
    """

    segment_number: int
    begin_position: int
    checkpoints: int
    fault: str
    actor: str
    reason: str
    create_time: datetime
    signature: bytes = b""

    def unsigned_line(self) -> str:
        """What is signed: a word, the numbers, the time, and a JSON array of the texts."""
        moment = self.create_time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        texts = json.dumps([self.fault, self.actor, self.reason], ensure_ascii=False)
        numbers = f"{self.segment_number} {self.begin_position} {self.checkpoints}"
        return f"{SEGMENT_WORD} {numbers} {moment} {texts}"

    def first_hash(self) -> bytes:
        """The chain's hash before the first event of the segment."""
        return digest(HASH_PREFIX + self.unsigned_line().encode())
