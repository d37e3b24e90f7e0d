"""Who calls when a proxy stands between: only a proxy that the settings trust may say so.

`X-Forwarded-For` and `Forwarded` (RFC 7239) hold the way of a request, each proxy adding whom it
was called by at the end. They are read from there, as far as the proxies are trusted: what is to
the left of the first address that is no trusted proxy was written by that caller, and may be
invented.
"""

import functools
import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

X_FORWARDED_FOR, FORWARDED = "x-forwarded-for", "forwarded"
KNOWN_ADDRESSES = 4096
"""Of so many peers it is remembered how their addresses are written."""
MAX_HOPS = 32
"""Of a way longer than this its end is read."""

_FOR = re.compile(r'(?:^|;)\s*for\s*=\s*("[^"]*"|[^;\s]*)', re.IGNORECASE)
_WITH_PORT = re.compile(r"\[(?P<v6>[^\]]*)\](?::\w+)?|(?P<v4>[^:]*):\w+")


class Proxies:
    """The proxies that are trusted, and which of the two headers they write.

    Only one header is believed: a proxy that writes one lets the other pass as its caller wrote it.
    """

    def __init__(self, trusted: tuple[Network, ...] = (), header: str = X_FORWARDED_FOR) -> None:
        self._trusted = trusted
        self.header = header
        self._alone = functools.lru_cache(KNOWN_ADDRESSES)(lambda peer: self._caller(peer, ()))

    def trusts(self, address: str) -> bool:
        """Whether it is one of the proxies; never for a text that is no address."""
        found = _address(address)
        return found is not None and self._is_trusted(found)

    def caller(self, peer: str, values: Iterable[str]) -> str:
        """The address of who calls, from that of the connection's peer and the values of `header`,
        as they came.

        The last trusted proxy itself where it names nobody, or somebody that is no address
        (`unknown`, `_hidden`).
        """
        given = list(values)
        return self._caller(peer, given) if given else self._alone(peer)

    def _caller(self, peer: str, values: Iterable[str]) -> str:
        nearest = _address(peer)
        if nearest is None:
            return peer
        if not self._is_trusted(nearest):
            return str(nearest)
        hops = [hop for value in values for hop in value.split(",")][-MAX_HOPS:]
        for hop in reversed(hops):
            found = _address(self._named(hop))
            if found is None:
                break
            nearest = found
            if not self._is_trusted(found):
                break
        return str(nearest)

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)

    def _named(self, hop: str) -> str:
        if self.header == FORWARDED:
            found = _FOR.search(hop)
            hop = found[1].strip('"') if found else ""
        hop = hop.strip()
        found = _WITH_PORT.fullmatch(hop)
        return (found["v6"] or found["v4"] or "") if found else hop


def networks(text: str) -> tuple[Network, ...]:
    """Addresses and networks with commas between. Raises ValueError, which names the one that is
    none.
    """
    found = []
    for each in text.split(","):
        name = each.strip()
        try:
            found.append(ip_network(name))
        except ValueError as error:
            raise ValueError(f"{name!r} is no address or network: {error}") from None
    return tuple(found)


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
