"""How a refund is shared out over payments, and what its numbers say. Pure."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

MOST_REFUNDS = 50
"""Refunds of one payment that WeChat takes on (pay.weixin.qq.com, "refund", note 1). Every number
counts under which it was asked, also one that it closed: the documents do not say that this one is
free again.
"""


def allot_refund(amount_minor: int, remaining: Sequence[int]) -> list[int]:
    """What each payment gives back of a refund, in the order of `remaining`: what each has left,
    newest first.

    The newest gives all it can before the next does. Raises ValueError if all together have too
    little left.
    """
    shares = []
    for left in remaining:
        share = min(amount_minor, left)
        shares.append(share)
        amount_minor -= share
    if amount_minor:
        raise ValueError(f"{amount_minor} more than is left of the payments")
    return shares


class Source(NamedTuple):
    """A payment to give back of: what is left of it, and how many refunds of it WeChat was asked
    for.
    """

    left_minor: int
    refund_count: int

    @property
    def open_minor(self) -> int:
        """What WeChat gives back of it: nothing more after MOST_REFUNDS."""
        return self.left_minor if self.refund_count < MOST_REFUNDS else 0


class Shares(NamedTuple):
    """What each payment gives back of a refund by WeChat, and what only by hand since WeChat
    does not.
    """

    by_wechat: list[int]
    by_hand: list[int]


def share_out(amount_minor: int, sources: Sequence[Source]) -> Shares:
    """What each payment gives back of a refund, newest first; by hand only what WeChat does not
    give.

    Raises ValueError if all together have too little left.
    """
    within = [source.open_minor for source in sources]
    beyond = [source.left_minor - source.open_minor for source in sources]
    by_wechat = min(amount_minor, sum(within))
    return Shares(allot_refund(by_wechat, within), allot_refund(amount_minor - by_wechat, beyond))


def takes_last(amount_minor: int, sources: Sequence[Source]) -> bool:
    """Whether it is the last refund of a payment of which something is left, that nobody gets
    back afterwards.
    """
    shares = share_out(amount_minor, sources).by_wechat
    return any(
        share and source.refund_count + 1 == MOST_REFUNDS and share < source.left_minor
        for share, source in zip(shares, sources, strict=True)
    )


def out_refund_no(order_id: int, refund_no: int, part_no: int, attempt: int = 1) -> str:
    """Our number, at WeChat, of what one refund gives back of one payment; stable until it settles.

    There is a further attempt only after one that WeChat has closed.
    """
    return f"DT{order_id}R{refund_no}S{part_no}" + (f"A{attempt}" if attempt > 1 else "")


class RefundPart(NamedTuple):
    """What an out_refund_no says."""

    order_id: int
    refund_no: int
    part_no: int
    attempt: int


def refund_part(out_refund_no: str) -> RefundPart | None:
    """What the number says; None for one that is not ours."""
    match = _OUT_REFUND_NO.fullmatch(out_refund_no)
    if match is None or int(match[1]) >= 1 << 63:
        return None
    return RefundPart(int(match[1]), int(match[2]), int(match[3]), int(match[4] or 1))


def part_state(reported: str, *, is_alone: bool, has_tickets: bool) -> str:
    """The state of a part that WeChat settles as SUCCEEDED, CLOSED or ABNORMAL.

    Closed for good is only what undoes the whole refund, tickets and all; else the traveller would
    be left without ticket or money, and it needs manual resolution.
    """
    return "ABNORMAL" if reported == "CLOSED" and not (is_alone and has_tickets) else reported


def refund_state(part_states: Iterable[str]) -> str:
    """The state of a refund by those of its parts; one of nothing has none, and has succeeded."""
    states = set(part_states)
    for state in ("ABNORMAL", "PROCESSING", "CLOSED"):
        if state in states:
            return state
    return "SUCCEEDED"


_OUT_REFUND_NO = re.compile(r"DT(\d{1,19})R(\d{1,5})S(\d{1,4})(?:A(\d{1,4}))?", re.ASCII)
