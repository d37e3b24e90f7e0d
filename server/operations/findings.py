"""What the doctor says of one thing: how bad, what was found, and the remedy."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, what was found, and the remedy where something is to be
    done.
    """

    subject: str
    verdict: Verdict
    found: str
    remedy: str = ""


def ok(subject: str, found: str) -> Finding:
    """Nothing to be done."""
    return Finding(subject, Verdict.OK, found)


def wrong(subject: str, error: object) -> Finding:
    """A fault whose text says the remedy after its last colon."""
    found, _, remedy = str(error).replace("\n", "; ").rpartition(": ")
    return Finding(subject, Verdict.WRONG, found or remedy, remedy if found else "")
