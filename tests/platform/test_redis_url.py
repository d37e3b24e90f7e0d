"""What a Redis URL says, and what it must not say."""

import pytest
from redis.asyncio.connection import SSLConnection

from server.platform import redis_url
from server.platform.config import ConfigError, load_settings
from server.platform.redis_client import RedisClient

DATABASE = "postgresql://u@h/d"


@pytest.mark.parametrize(
    ("url", "nodes", "node_urls"),
    [
        (
            "redis+cluster://h1,h2:7001,[::1]:7002",
            (("h1", 6379), ("h2", 7001), ("::1", 7002)),
            ("redis://h1:6379", "redis://h2:7001", "redis://[::1]:7002"),
        ),
        (
            "rediss+cluster://us%40er:p%40ss@h1/0?ssl_check_hostname=false",
            (("h1", 6379),),
            ("rediss://us%40er:p%40ss@h1:6379?ssl_check_hostname=false",),
        ),
        ("redis://h:1/3", (), ("redis://h:1/3",)),
        ("unix:///run/redis.sock", (), ("unix:///run/redis.sock",)),
    ],
)
def test_urls(url: str, nodes: tuple[tuple[str, int], ...], node_urls: tuple[str, ...]) -> None:
    found = redis_url.read(url)
    assert (found.nodes, found.node_urls) == (nodes, node_urls)
    assert found.is_cluster == bool(nodes)
    assert load_settings(redis_url=url, database_url=DATABASE).redis_url == url


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("http://h", "must begin with redis://"),
        ("cluster+redis://h", "must begin with redis://"),
        ("redis+cluster://h1/1", "names a database: a cluster has database 0 alone"),
        ("redis+cluster://", "names the node ''"),
        ("redis+cluster://h1,,h2", "names the node ''"),
        ("redis+cluster://h1:70000", "names the node 'h1:70000'"),
        ("redis+cluster://h1:x", "names the node 'h1:x'"),
        ("rediss://h?ssl_ca_crts=x", "has the option 'ssl_ca_crts', .* did you mean ssl_ca_certs"),
        ("rediss+cluster://h?colour=", "has the option 'colour', .* there are client_name, db"),
        ("redis+cluster://h?ssl_ca_certs=x", "has the option ssl_ca_certs, but no TLS"),
    ],
)
def test_urls_that_are_refused(url: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=f"DEEPTRAVEL_REDIS_URL {fault}"):
        load_settings(redis_url=url, database_url=DATABASE)


@pytest.mark.parametrize("scheme", ["redis", "rediss", "redis+cluster", "rediss+cluster"])
async def test_every_option_is_known_to_the_client(scheme: str) -> None:
    """Seen red: those that we set ourselves were given twice to a cluster, a TypeError."""
    names = redis_url.OPTIONS | (redis_url.TLS_OPTIONS if "rediss" in scheme else frozenset())
    values = dict.fromkeys(names, "3") | {"ssl_cert_reqs": "none", "ssl_check_hostname": "no"}
    options = "&".join(f"{name}={values[name]}" for name in sorted(names))
    client = RedisClient(f"{scheme}://h1?{options}", "test")
    if "cluster" in scheme:
        connection = client.redis.startup_nodes[0].acquire_connection()
    else:
        connection = client.redis.connection_pool.make_connection()
    assert (connection.socket_timeout, connection.client_name) == (3.0, "3")
    await client.aclose()


def test_passwords_are_not_shown() -> None:
    assert redis_url.shown("rediss+cluster://u:p%40s@h1,h2:7?a=b") == "rediss+cluster://h1,h2:7"


async def test_a_cluster_gets_credentials_and_tls() -> None:
    client = RedisClient("rediss+cluster://me:p%40ss@h1,h2:7?ssl_check_hostname=false", "test")
    (first, second) = client.redis.startup_nodes
    assert [(node.host, node.port) for node in (first, second)] == [("h1", 6379), ("h2", 7)]
    options = client.redis.connection_kwargs
    assert first.connection_class is options["connection_class"] is SSLConnection
    assert (options["username"], options["password"]) == ("me", "p@ss")
    assert options["ssl_check_hostname"] is False
    await client.aclose()
