"""The URL of Redis: one server, or a cluster of which some nodes are named.

`redis://user:password@host:6379/0` and `rediss://…` (TLS) are redis-py's, as is `unix:///path`. A
cluster is `redis+cluster://user:password@host,host:7000,…` or `rediss+cluster://…`, with database 0
alone; one named node that answers is enough to find the others. Options follow a `?`, as redis-py
calls them.
"""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from urllib.parse import parse_qs, urlsplit

DEFAULT_PORT = 6379
CLUSTER = "+cluster"
PLAIN_SCHEMES = ("redis://", "rediss://", "unix://")
CLUSTER_SCHEMES = ("redis+cluster://", "rediss+cluster://")
OPTIONS = frozenset(
    [
        "db",
        "username",
        "password",
        "client_name",
        "protocol",
        "socket_timeout",
        "socket_connect_timeout",
        "socket_keepalive",
        "health_check_interval",
        "max_connections",
    ]
)
TLS_OPTIONS = frozenset(
    [
        "ssl_ca_certs",
        "ssl_certfile",
        "ssl_keyfile",
        "ssl_cert_reqs",
        "ssl_check_hostname",
        "ssl_min_version",
        "ssl_ciphers",
    ]
)
"""With rediss:// alone; `ssl_ca_certs` names the file of a certificate authority of one's own."""
_NODE = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:,/@\s]+)(?::([0-9]{1,5}))?")


@dataclass(frozen=True)
class RedisUrl:
    """What a URL says.

    Attributes:
        is_cluster: whether keys are spread over the nodes of a cluster.
        nodes: host and port of each node that is named; none for a socket, or for one server.
        node_urls: a URL for each node by itself, as redis-py takes it, with password and options.
    """

    is_cluster: bool
    nodes: tuple[tuple[str, int], ...]
    node_urls: tuple[str, ...]


def read(url: str) -> RedisUrl:
    """What it says. Raises ValueError, whose text goes on after the name of a setting."""
    if url.startswith(PLAIN_SCHEMES):
        _check_options(url)
        return RedisUrl(is_cluster=False, nodes=(), node_urls=(url,))
    if not url.startswith(CLUSTER_SCHEMES):
        schemes = ", ".join((*PLAIN_SCHEMES, CLUSTER_SCHEMES[0]))
        raise ValueError(f"must begin with {schemes} or {CLUSTER_SCHEMES[1]}")
    _check_options(url)
    parts = urlsplit(url)
    credentials, at, hosts = parts.netloc.rpartition("@")
    if parts.path not in ("", "/", "/0"):
        raise ValueError("names a database: a cluster has database 0 alone, leave the path out")
    nodes = []
    for text in hosts.split(","):
        found = _NODE.fullmatch(text.strip())
        port = int(found[2] or DEFAULT_PORT) if found else 0
        if not found or not 0 < port <= 65535:
            raise ValueError(
                f"names the node {text.strip()!r}: write"
                " redis+cluster://host:port,host:port,host:port"
            )
        nodes.append((found[1], port))
    scheme = parts.scheme.removesuffix(CLUSTER)
    query = f"?{parts.query}" if parts.query else ""
    urls = [f"{scheme}://{credentials}{at}{host}:{port}{query}" for host, port in nodes]
    bare = tuple((host.strip("[]"), port) for host, port in nodes)
    return RedisUrl(is_cluster=True, nodes=bare, node_urls=tuple(urls))


def _check_options(url: str) -> None:
    """Raises ValueError for one that redis-py does not know; it would say so by a TypeError."""
    has_tls = url.startswith("rediss")
    known = OPTIONS | (TLS_OPTIONS if has_tls else frozenset())
    for name in parse_qs(url.partition("?")[2], keep_blank_values=True):
        if name in known:
            continue
        if name in TLS_OPTIONS:
            raise ValueError(
                f"has the option {name}, but no TLS: write rediss:// or rediss+cluster://"
            )
        meant = get_close_matches(name, known, n=1)
        hint = f"did you mean {meant[0]}?" if meant else f"there are {', '.join(sorted(known))}"
        raise ValueError(f"has the option {name!r}, which is not known: {hint}")


def shown(url: str) -> str:
    """The URL without user, password and options."""
    scheme, _, rest = url.partition("://")
    place = rest.partition("?")[0].rpartition("@")[2]
    return f"{scheme}://{place}"
