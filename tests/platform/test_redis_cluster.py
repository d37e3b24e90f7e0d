"""Rate limits and the cache over a Redis cluster of three real nodes, also when one is lost."""

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from server.operations import doctor, preparation
from server.operations.findings import Verdict
from server.platform import redis_client
from server.platform.errors import StartError
from server.platform.ratelimit import Allowance, RateLimiter
from server.platform.redis_client import RedisClient
from server.search.cache import Cache, CacheKind
from tests.support import redis_cluster
from tests.support.free_ports import free_port
from tests.support.redis_cluster import Cluster, Node

LIMIT = 3
TEXTS: CacheKind[bytes] = CacheKind("texts", 60, bytes, bytes)
NO_LONGER_THAN = 5.0
"""Seconds, with a wide margin: a killed node refuses connections at once."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with redis_cluster.running(tmp_path, replica=False) as three:
        yield three


def partner(number: int) -> str:
    return f"partner:{number}"


def tagged(number: int) -> str:
    return f"{{{partner(number)}}}"


def keys_by_node(cluster: Cluster) -> dict[int, str]:
    """For each node a partner's key that it has."""
    return {node.port: cluster.key_of(node, tagged).strip("{}") for node in cluster.nodes[:3]}


async def answered(limiter: RateLimiter, key: str, limit: int) -> Allowance:
    """The answer to a request, as soon as Redis answers: a slow machine may miss the time of a
    call.
    """
    async with asyncio.timeout(redis_cluster.START_SECONDS):
        while (answer := await limiter.hit(key, limit)) is None:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.05)
    return answer


async def allowed(limiter: RateLimiter, key: str) -> list[bool | None]:
    """Whether each of LIMIT + 1 requests is, None if Redis did not answer."""
    answers = [await limiter.hit(key, LIMIT) for _ in range(LIMIT + 1)]
    return [answer.allowed if answer else None for answer in answers]


def beside(key: str) -> str:
    """Another key of the same slot, to get to know the node by."""
    return f"{key}}}beside"


LIMITED = [*[True] * LIMIT, False]
LET_THROUGH = [None] * (LIMIT + 1)


async def test_limits_and_cache_over_three_nodes(cluster: Cluster) -> None:
    """Seen red: with a node's URL the keys of the two other nodes failed with MOVED, every limit
    with them.
    """
    limiter = RateLimiter(cluster.url)
    other = RateLimiter(cluster.url)
    cache, other_cache = Cache(cluster.url), Cache(cluster.url)
    for key in keys_by_node(cluster).values():
        await answered(limiter, beside(key), 1000)
        await answered(other, beside(key), 1000)
        assert await allowed(limiter, key) == LIMITED
        assert not (await answered(other, key, LIMIT)).allowed
    async with asyncio.timeout(redis_cluster.START_SECONDS):
        for known in (cache, other_cache):
            while not await known._client.answers():
                pass
    for number in range(9):
        made = str(number).encode()
        assert await cache.get(TEXTS, str(number), "one", lambda: made) == made  # noqa: B023
        assert await other_cache.get(TEXTS, str(number), "one", lambda: b"again") == made
    names = [name for node in cluster.nodes for name in node.command("KEYS", "*")]
    assert len(names) == 3 * 2 + 9  # two keys of each partner, and no lock is left
    assert await limiter.answers()
    for each in (limiter, other, cache, other_cache):
        await each.close()


async def test_a_master_that_is_killed_costs_its_own_slots_alone(cluster: Cluster) -> None:
    """Seen red: one node's failure silenced Redis for all keys, so that other partners were let
    through.
    """
    keys = keys_by_node(cluster)
    limiter = RateLimiter(cluster.url)
    lost, *others = cluster.nodes
    for key in keys.values():
        await answered(
            limiter, beside(key), 1000
        )  # it knows the cluster, and its scripts are loaded
    lost.kill()
    began = time.monotonic()
    assert await allowed(limiter, keys[lost.port]) == LET_THROUGH
    assert time.monotonic() - began < NO_LONGER_THAN
    for node in others:
        assert await allowed(limiter, keys[node.port]) == LIMITED
    cluster.wait(lambda: "fail" in str(others[0].command("CLUSTER NODES")))
    another = RateLimiter(cluster.url)  # a process that starts now, with a node of its URL away
    for node in others:
        assert not (await answered(another, keys[node.port], LIMIT)).allowed
    assert await another.hit(keys[lost.port], LIMIT) is None
    assert not await another.answers()
    for each in (limiter, another):
        await each.close()


async def test_limits_over_tls(tmp_path: Path) -> None:
    """TLS is spoken with nodes that others name, too, by an authority of one's own.

    Seen red with the authority left out of the nodes that are found.
    """
    with redis_cluster.running(tmp_path, replica=False, tls=True) as cluster:
        preparation.check_redis(cluster.url)
        assert {each.verdict for each in doctor.check_redis(cluster.url)} == {Verdict.OK}
        url = cluster.url.replace(f",127.0.0.1:{cluster.tls_ports[2]}", "")  # found by the others
        keys = keys_by_node(cluster)
        limiter = RateLimiter(url)
        for key in keys.values():
            await answered(limiter, beside(key), 1000)
            assert await allowed(limiter, key) == LIMITED
        lost, *others = cluster.nodes
        lost.kill()
        assert await allowed(limiter, keys[lost.port]) == LET_THROUGH
        for node in others:
            assert not (await answered(limiter, keys[node.port], LIMIT)).allowed
        await limiter.close()

        strange = cluster.url.partition("?")[0]
        with pytest.raises(StartError, match=r"CERTIFICATE_VERIFY_FAILED.*ssl_ca_certs="):
            preparation.check_redis(strange)


async def test_a_frozen_master_costs_its_own_slots_alone(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = keys_by_node(cluster)
    limiter = RateLimiter(cluster.url)
    lost, *others = cluster.nodes
    for key in keys.values():
        await answered(limiter, beside(key), 1000)
    monkeypatch.setattr(redis_client, "SILENT_SECONDS", 60.0)
    monkeypatch.setattr(redis_client, "CALL_SECONDS", 2.0)  # wide: the others answer
    lost.freeze()
    assert await allowed(limiter, keys[lost.port]) == LET_THROUGH
    for node in others:
        assert await allowed(limiter, keys[node.port]) == LIMITED
    await limiter.close()


async def test_a_promoted_replica_takes_over(tmp_path: Path) -> None:
    with redis_cluster.running(tmp_path, replica=True) as cluster:
        limiter = RateLimiter(cluster.url)
        key = keys_by_node(cluster)[cluster.nodes[0].port]
        await answered(limiter, beside(key), 1000)
        assert await allowed(limiter, key) == LIMITED
        cluster.wait(lambda: cluster.nodes[3].command("DBSIZE") == 2)
        cluster.nodes[0].kill()
        promoted: Node = cluster.nodes[3]
        cluster.wait(lambda: promoted.command("ROLE")[0] == b"master")
        assert not (await answered(limiter, key, LIMIT)).allowed  # what was counted went along
        await limiter.close()


async def test_an_error_of_one_key_is_its_own(cluster: Cluster, redis_url: str) -> None:
    """Seen red: any error, also of one value's type, silenced Redis for a second."""
    for url in (cluster.url, redis_url):
        client = RedisClient(url, "test")
        redis = client.redis
        assert await client.ask("{a}", partial(redis.set, "{a}", "text"), None)
        for _ in range(2):
            assert await client.ask("{a}", partial(redis.lpush, "{a}", 1), None) is None
            assert await client.ask("{a}b", partial(redis.get, "{a}"), None) == b"text"
        await client.aclose()


# What is said of it


def test_a_node_under_a_plain_url_is_refused_with_the_remedy(cluster: Cluster) -> None:
    """Seen red: the server started and every second key failed; doctor said ok."""
    url = f"redis://127.0.0.1:{cluster.nodes[0].port}/0"
    with pytest.raises(StartError, match=r"is a node of a cluster.*redis\+cluster://"):
        preparation.check_redis(url)
    (finding,) = doctor.check_redis(url)
    assert finding.verdict is Verdict.WRONG
    assert "redis+cluster://" in finding.remedy


def test_one_server_is_no_cluster(tmp_path: Path) -> None:
    node = redis_cluster._start(tmp_path / "alone", "--cluster-enabled", "no")
    try:
        with pytest.raises(StartError, match=r"is one server and no cluster.*redis://host"):
            preparation.check_redis(f"redis+cluster://127.0.0.1:{node.port}")
    finally:
        node.process.kill()
        node.process.wait()


def test_doctor_counts_nodes_and_slots(cluster: Cluster) -> None:
    preparation.check_redis(cluster.url)
    findings = list(doctor.check_redis(cluster.url))
    assert [each.verdict for each in findings] == [Verdict.OK] * 4
    assert findings[-1].found == "16384 of 16384 slots are served"
    lost, *others = cluster.nodes
    lost.kill()

    cluster.wait(lambda: "fail" in str(others[0].command("CLUSTER NODES")))
    preparation.check_redis(cluster.url)  # the rest serves: so do we
    away, *answering, slots = doctor.check_redis(cluster.url)
    assert away.verdict is Verdict.WARNING
    assert f"127.0.0.1:{lost.port}" in away.found
    assert [each.verdict for each in answering] == [Verdict.OK] * 2
    assert slots.verdict is Verdict.WRONG


def test_a_cluster_of_which_no_node_answers_is_refused() -> None:
    with pytest.raises(StartError, match="cannot be used"):
        preparation.check_redis(f"redis+cluster://127.0.0.1:{free_port()}")
