"""Which addresses and URLs webhooks are sent to. Pure.

Only public ones: a partner's URL must not make the server call into its own network. Addresses of
IPv6 that stand for one of IPv4 (mapped, NAT64, 6to4) are judged by that.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

MAX_PORT = 65_535

_NOT_PUBLIC_4 = [
    IPv4Network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
]
_UNICAST_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = [
    IPv6Network(text)
    for text in ("2001::/23", "2001:db8::/32", "3fff::/20")  # IETF with Teredo; examples
]
_MAPPED, _NAT64 = IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96")
_6TO4 = IPv6Network("2002::/16")


def is_public(text: str) -> bool:
    """Whether an IP address, of either version, with a scope or without, is one of the public
    internet.
    """
    address = ip_address(text)
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    if address.scope_id:
        return False
    inside = _inside(address)
    if inside is not None:
        return is_public(str(inside))
    return address in _UNICAST_6 and not any(address in network for network in _NOT_PUBLIC_6)


def _inside(address: IPv6Address) -> IPv4Address | None:
    """The address of IPv4 that one of IPv6 stands for."""
    number = int(address)
    if address in _MAPPED or address in _NAT64:
        return IPv4Address(number & 0xFFFF_FFFF)
    return IPv4Address(number >> 80 & 0xFFFF_FFFF) if address in _6TO4 else None


def fault_of_url(url: str, *, plain_and_private: bool) -> str | None:
    """What is wrong with a URL that webhooks are to be sent to; None if nothing is, as far as its
    text says.

    `plain_and_private` allows http, and addresses that are not public, for trying it out.
    """
    schemes = ("https", "http") if plain_and_private else ("https",)
    if not url.isascii() or any(character <= " " for character in url):
        return "is not a URL: it has characters that must be escaped"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in schemes:
        return f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}"
    if not host or port == 0:
        return "names no host"
    if parts.username is not None or parts.password is not None:
        return "must not have a user and password: the signature proves who sends"
    if parts.fragment:
        return "must not have a fragment"
    if not plain_and_private and _is_private_literal(host):
        return f"its host {host} is not a public address"
    return None


def _is_private_literal(host: str) -> bool:
    try:
        return not is_public(host)
    except ValueError:  # a name
        return host == "localhost" or host.endswith(".localhost")
