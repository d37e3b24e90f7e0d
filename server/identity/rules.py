"""The decisions about callers: lock-out, who may stand at which terminal, addresses, used
tokens. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Network = IPv4Network | IPv6Network

REFRESH_REPEAT = timedelta(seconds=30)
"""How long the refresh token before gives the same successor again (DOMAIN, Operations)."""
REFRESH_RACE = timedelta(seconds=10)
"""How soon after a refresh a token older still may come and be taken for a late retry, not for a
theft.
"""
ONE_CALLER_IPV6_BITS = 64
"""Of an address of IPv6 those that one caller cannot change at will."""


@dataclass(frozen=True, slots=True)
class Failures:
    """Failed log-ins in a row, and when they are forgotten."""

    count: int
    expire_time: datetime

    def another(self, now: datetime, *, lock: timedelta) -> "Failures":
        """One failure more; those that are over do not count."""
        before = self.count if now < self.expire_time else 0
        return Failures(before + 1, now + lock)

    def another_in_window(self, now: datetime, *, lock: timedelta, limit: int) -> "Failures":
        """One failure more of those of many people, which are not in a row: forgotten `lock` after
        the first.

        The one that makes them `limit` locks for as long from then on.
        """
        if now >= self.expire_time or not self.count:
            return Failures(1, now + lock)
        count = self.count + 1
        return Failures(count, now + lock if count >= limit else self.expire_time)

    def locked_for(self, now: datetime, *, limit: int) -> timedelta | None:
        """How long the name is locked out yet; None if it is not. `limit` failures lock it out."""
        if self.count < limit or now >= self.expire_time:
            return None
        return self.expire_time - now


@dataclass(frozen=True, slots=True)
class Standing:
    """An account, and where its owner stands: the facts that decide whether it may act.

    The terminal's and venue's are None where there is no terminal, or none of that name.
    """

    role: str
    state: str
    merchant_code: str | None
    merchant_state: str | None
    venue_codes: tuple[str, ...]
    terminal_device_id: str | None
    terminal_state: str | None
    venue_code: str | None
    venue_state: str | None
    venue_merchant_code: str | None

    def fault(self) -> str | None:
        """Why the account may not act here, for the log; None if it may.

        An administrator acts without a terminal. An operator needs an active terminal at an active
        venue of the own, active merchant, one of the account's venues if it names any.
        """
        if self.state != "ACTIVE":
            return f"account {self.state}".lower()
        if self.role == "ADMIN":
            return "administrator at a terminal" if self.terminal_device_id else None
        if self.terminal_device_id is None:
            return "operator without a terminal"
        checks = (
            (self.merchant_state == "ACTIVE", f"merchant {self.merchant_state}".lower()),
            (self.terminal_state is not None, "terminal unknown"),
            (self.venue_merchant_code == self.merchant_code, "terminal of another merchant"),
            (self.terminal_state == "ACTIVE", f"terminal {self.terminal_state}".lower()),
            (self.venue_state == "ACTIVE", f"venue {self.venue_state}".lower()),
            (
                not self.venue_codes or self.venue_code in self.venue_codes,
                "venue not among the account's",
            ),
        )
        return next((fault for holds, fault in checks if not holds), None)


def function_codes(merchant: Iterable[str], venue: Iterable[str]) -> frozenset[str]:
    """What may be redeemed at a venue: the merchant's functions, narrowed by the venue's if it
    names any.
    """
    allowed = frozenset(merchant)
    narrowed = frozenset(venue)
    return allowed & narrowed if narrowed else allowed


def gets_successor_again(issue_time: datetime, now: datetime) -> bool:
    """Whether the refresh token before is most likely repeated because the answer of
    `issue_time` was lost.
    """
    return now - issue_time < REFRESH_REPEAT


def is_theft(issue_time: datetime, now: datetime) -> bool:
    """Whether a refresh token that is no longer valid, nor the one before, shows that somebody else
    has it.

    Right after a refresh it is more likely a late repeat: such a call is refused, too, and the
    log-in lives on. Later, the log-in is ended: either the one who comes now or the one who came
    before is not its owner.
    """
    return now - issue_time >= REFRESH_RACE


def login_source(address: str) -> str:
    """Who an address is to the count of failed log-ins: itself, of IPv6 the network of one
    caller.
    """
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, IPv6Address):
        mapped: IPv4Address | None = ip.ipv4_mapped
        if mapped is None:
            return str(ip_network((ip, ONE_CALLER_IPV6_BITS), strict=False))
        return str(mapped)
    return str(ip)


def networks(allowed: Iterable[str]) -> tuple[Network, ...]:
    """An allow-list of addresses (`192.0.2.7`) and ranges (`2001:db8::/32`). Raises ValueError
    naming the bad one.
    """
    return tuple(ip_network(entry, strict=False) for entry in allowed)


def address_allowed(address: str, allowed: tuple[Network, ...]) -> bool:
    """Whether a partner may call from the address; an empty list allows all, an unreadable
    address is allowed none.
    """
    if not allowed:
        return True
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return any(ip in network for network in allowed)
