"""Where a change comes from: what the audit trail knows of the call that makes it.

Calls carry it in their context, so no use case has to hand it on; whoever serves calls says once
how it is found (`take_from`). Work that calls wait for together, and all that is done by the clock,
has no call: it says what it knows itself.
"""

from collections.abc import Callable
from typing import NamedTuple


class ChangeOrigin(NamedTuple):
    """From where: the caller's address, after trusted proxies; its terminal; the call's request id.

    Each is empty where there is none.
    """

    address: str = ""
    terminal_device_id: str = ""
    request_id: str = ""


NOWHERE = ChangeOrigin()
"""Of what no call makes: the daemon, the command line."""


def _nowhere() -> ChangeOrigin:
    return NOWHERE


_find: Callable[[], ChangeOrigin] = _nowhere


def take_from(find: Callable[[], ChangeOrigin]) -> None:
    """Says how the origin of the work under way is found."""
    global _find  # noqa: PLW0603 - one for the process, as the context variable it reads
    _find = find


def current() -> ChangeOrigin:
    """The origin of the work under way."""
    return _find()
