"""URLs of PostgreSQL as libpq writes them: several hosts, IPv6, unix sockets, percent-encoded
parts.

The driver reads them, nothing of ours does: what libpq understands, we take. Errors and `shown`
never hold a password, nor a part of one that was not percent-encoded.
"""

import re
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Engine, create_engine

from server.platform.optional import load_part

# the rest is sessions, which bring the object mapper along
load_part(
    "sqlalchemy.ext.asyncio", engine=("AsyncConnection", "AsyncEngine", "create_async_engine")
)

SCHEME = "postgresql://"
OTHER_SCHEMES = ("postgresql+psycopg://", "postgres://")
HIGHEST_PORT = 65_535
DEFAULT_PORT = "5432"

DEFAULTS = {
    "application_name": "deeptravel",
    # of each host: the next one is tried then
    "connect_timeout": "3",
    # after a failover the former primary may answer still
    "target_session_attrs": "read-write",
    # a machine that is gone is noticed in 10 s, by what was sent to it or by asking
    "tcp_user_timeout": "10000",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
}
"""Connection parameters that a URL may say otherwise."""


def normalised(url: str) -> str:
    """The URL, beginning with postgresql://. Raises ValueError, with the remedy, if libpq cannot
    read it.
    """
    for scheme in OTHER_SCHEMES:
        if url.startswith(scheme):
            url = SCHEME + url.removeprefix(scheme)
    if not url.startswith(SCHEME):
        raise ValueError("must begin with postgresql://")
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        unknown = re.search(r'invalid URI query parameter: "(\w+)"', str(error))
        about = f' (it knows no parameter "{unknown[1]}")' if unknown else ""
        raise ValueError(f"cannot be read{about}: {_REMEDY}") from None
    hosts = [host for each in ("host", "hostaddr") for host in str(given.get(each, "")).split(",")]
    if any("@" in host[1:] for host in hosts):  # a first one is an abstract socket's
        raise ValueError(f"has an @ too many: {_REMEDY}")
    for port in str(given.get("port", "")).split(","):
        if port and not (port.isascii() and port.isdigit() and 0 < int(port) <= HIGHEST_PORT):
            raise ValueError(f"has a port that is no number from 1 to {HIGHEST_PORT}: {_REMEDY}")
    return url


_REMEDY = (
    "write postgresql://user:password@host:5432/database, several hosts as host1:5432,host2:5432,"
    " and percent-encode the characters @ : / ? # % of a password (@ is %40)"
)


def for_reading(url: str) -> str:
    """The URL for those who only read: a server that takes no writes is taken too, unless the URL
    says otherwise.
    """
    if "target_session_attrs" in conninfo_to_dict(normalised(url)):
        return url
    return f"{url}{'&' if '?' in url else '?'}target_session_attrs=any"


def parameters(url: str) -> dict[str, str]:
    """What the driver is given for it: DEFAULTS, and what the URL says. Raises ValueError."""
    given = conninfo_to_dict(normalised(url))
    return DEFAULTS | {name: str(value) for name, value in given.items() if value is not None}


def preferring(given: dict[str, str], server: tuple[str, str]) -> dict[str, str]:
    """Parameters whose hosts are tried in the same order, but for this one (host and port), which
    comes first.

    As they are, if they do not name it, or say in which order to try.
    """
    hosts = given.get("host", "").split(",")
    ports = given.get("port", "").split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    places = list(zip(hosts, [port or DEFAULT_PORT for port in ports], strict=False))
    if "hostaddr" in given or "load_balance_hosts" in given or server not in places:
        return given
    places.sort(key=lambda place: place != server)
    return given | {
        "host": ",".join(host for host, _ in places),
        "port": ",".join(port for _, port in places),
    }


def shown(url: str) -> str:
    """The URL without its password and parameters, for people."""
    try:
        given = conninfo_to_dict(normalised(url))
    except ValueError:
        return "(not understood)"
    hosts = str(given.get("host") or given.get("hostaddr") or "").split(",")
    ports = str(given.get("port") or "").split(",")
    if len(ports) < len(hosts):
        ports = ports[:1] * len(hosts)
    places = ",".join(_place(*each) for each in zip(hosts, ports, strict=False))
    user = f"{quote(str(given['user']))}@" if "user" in given else ""
    return f"{SCHEME}{user}{places}/{quote(str(given.get('dbname', '')))}"


def _place(host: str, port: str) -> str:
    if ":" in host:
        host = f"[{host}]"
    return f"{host}:{port}" if port else host


def connect(url: str, *, autocommit: bool = False) -> psycopg.Connection[Any]:
    """A connection for a command, which has no event loop. Raises ValueError, and the driver's
    errors.
    """
    given: dict[str, Any] = {**parameters(url)}
    return psycopg.connect("", autocommit=autocommit, **given)


def engine(url: str) -> Engine:
    """Likewise, for SQLAlchemy; dispose of it."""
    # the name is the dialect's; where the database is, the driver knows
    return create_engine(
        "postgresql+psycopg://", creator=lambda: connect(url), hide_parameters=True
    )
