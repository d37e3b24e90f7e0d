"""The numbers and codes of partners and their sandboxes. Pure.

A partner's sandbox is a partner of its own, so that all that is kept apart between partners is kept
apart between what is live and what is for trying: stock, tickets, reservations, events, ledger. Its
number is the partner's with SANDBOX_BIT set. The number leads those of tickets and orders, so each
of these says by itself whether it is for trying, also to a reader without network.
"""

from collections.abc import Iterator

PARTNER_BITS = 20
"""Of a partner's number."""
SANDBOX_BIT = 1 << PARTNER_BITS - 1
"""Set in the number of a sandbox, and in no other; so there is at most one of each partner."""
SANDBOX_PREFIX = "TEST"
"""What the codes of sandboxes begin with, and no new partner's."""
MAX_CODE_CHARS = 12

LIVE, TEST = "LIVE", "TEST"
"""The modes of partners and their keys: that of a sandbox is TEST."""


def is_sandbox(partner_id: int) -> bool:
    """Whether a partner is the sandbox of another, by its number."""
    return bool(partner_id & SANDBOX_BIT)


def sandbox_id(partner_id: int) -> int:
    """The number of a partner's sandbox."""
    return partner_id | SANDBOX_BIT


def live_id(partner_id: int) -> int:
    """The number of the partner whose sandbox this is."""
    return partner_id & ~SANDBOX_BIT


def sandbox_codes(partner_id: int, partner_code: str) -> Iterator[str]:
    """What a partner's sandbox may be called, the best first: TEST and the partner's code, cut to
    length; where that is taken, by the partner's number.
    """
    yield f"{SANDBOX_PREFIX}{partner_code}"[:MAX_CODE_CHARS]
    yield f"{SANDBOX_PREFIX}{partner_id}"
    for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
        yield f"{SANDBOX_PREFIX}{letter}{partner_id}"
