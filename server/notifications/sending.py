"""What every channel has in common: a message that is to go out, what became of it, and the sender
that does it.
"""

from enum import StrEnum
from typing import NamedTuple, Protocol

from server.notifications.template_rules import Template

ATTEMPT_SECONDS = 12.0
"""An attempt is over by then, whatever the provider does."""


class AttemptResult(StrEnum):
    """What became of an attempt."""

    SENT = "SENT"
    RETRY = "RETRY"
    """It was not taken, and may be another time."""
    UNKNOWN = "UNKNOWN"
    """It may have been taken: the answer was lost."""
    GIVE_UP = "GIVE_UP"
    """It will never be taken."""
    NO_CONSENT = "NO_CONSENT"
    """The traveller has not agreed, or not any more."""
    STOP_TEMPLATE = "STOP_TEMPLATE"
    """Nothing of this template will be taken until somebody mends it."""
    STOP = "STOP"
    """Nothing of this channel will."""


class Outgoing(NamedTuple):
    """A message as a channel sends it. `message_id` is the same in each attempt, `address` the
    openid, telephone number or e-mail address; `values` are the placeholders' texts.
    """

    message_id: str
    kind: str
    language: str
    address: str
    template: Template
    values: dict[str, str]
    calendar: bytes = b""


class SendResult(NamedTuple):
    """What became of an attempt: the provider's code and words, for administrators, and how long it
    asks us to wait.
    """

    result: AttemptResult
    code: str = ""
    words: str = ""
    wait_seconds: float = 0.0


class ChannelSender(Protocol):
    """A channel: `at_once` messages at the most are sent at the same time by one process."""

    channel: str
    at_once: int

    async def send(self, message: Outgoing) -> SendResult:
        """One attempt; never raises but when it is cancelled."""
        ...

    async def close(self) -> None:
        """Closes its connections."""
        ...
