"""Why a ticket cannot be given back or changed, in words, with what can be done instead. Pure."""

from collections.abc import Mapping
from datetime import datetime

from server.catalog.policy import Refused
from server.platform.texts import clock_time

_WORDS = {
    "NOT_ACTIVE": "it was not sold yet",
    "BLOCKED": "it is blocked; ask the platform's administrator",
    "REDEEMED": "it was used",
    "EXPIRED": "its validity is over",
    "VOIDED": "it was cancelled before it was sold",
    "REFUNDING": "a refund of it is under way; wait until that is settled",
    "REFUNDED": "it was given back",
    "CHANGING": "a change of it waits to be paid; pay or cancel the order of that change first",
    "CHANGED": "it was changed into another ticket; name that one",
    "NOT_REFUNDABLE": "it was sold on terms that give nothing back",
    "NOT_CHANGEABLE": "it was sold on terms that allow no change",
    "CHANGES_USED_UP": "it was changed as often as its terms allow",
    "TOO_LATE": "it is too late",
    "SHARED": (
        "it is shared by the whole order and goes back by itself, with the last of its tickets"
    ),
    "CHANGED_TOO_LATE": "it was changed when nothing of it would have been given back any more",
}
"""By reason (policy.REASONS)."""


def in_words(refused: Refused) -> str:
    """Why it is refused, as the end of a sentence, with the moment or numbers that decided."""
    words, facts = _WORDS[refused.reason], refused.facts
    if refused.reason == "TOO_LATE":
        return f"{words}: that was possible until {_clock(facts, 'deadline_time')}"
    if refused.reason == "EXPIRED" and "valid_until_time" in facts:
        return f"{words} since {_clock(facts, 'valid_until_time')}"
    if refused.reason == "REDEEMED" and facts.get("remaining_uses"):
        return f"{words}: {facts['remaining_uses']} of {facts['total_uses']} uses are left"
    if refused.reason == "CHANGES_USED_UP":
        return f"{words}: {facts['changes_made']} of {facts['changes_allowed']} times"
    return words


def order_in_words(state: str) -> str:
    """Why an order in this state has nothing to give back, as the end of a sentence."""
    if state == "PENDING":
        return "it is not paid yet; cancel it instead"
    return f"it is {state} and has no tickets"


def _clock(facts: Mapping[str, str | int], name: str) -> str:
    return clock_time(datetime.fromisoformat(str(facts[name])))
