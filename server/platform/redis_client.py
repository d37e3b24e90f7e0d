"""A client of Redis, one server or a cluster, and the one place that says what happens when it is
slow, away, or answers what cannot be read.

Redis holds only what can be lost, so whoever asks goes on without an answer: `RedisClient.ask`.

- Slow: a call ends after CALL_SECONDS, and Redis counts as away.
- Away: it is not asked again for SILENT_SECONDS, and then by one call alone, so that its loss costs
  next to nothing. In a cluster that holds for each node by itself.
- An answer that cannot be read, or an error that concerns one key (its value is of another type,
  its node is out of memory), is that call's alone, and keeps no other from Redis.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from server.platform import redis_url
from server.platform.faults import fault_text
from server.platform.optional import without

with without("opentelemetry"):  # its SDK, for metrics of redis-py's own that nobody reads
    import redis
    from redis._parsers.commands import AsyncCommandsParser
    from redis.asyncio import ConnectionPool, Redis, RedisCluster
    from redis.asyncio.cluster import ClusterNode
    from redis.asyncio.connection import SSLConnection, parse_url
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import ClusterDownError, NoScriptError, RedisClusterException
    from redis.exceptions import ConnectionError as RedisConnectionError
    from redis.exceptions import TimeoutError as RedisTimeoutError

SOCKET_SECONDS = 0.25
CALL_SECONDS = 2 * SOCKET_SECONDS
CALLS_AT_ONCE = 16
"""To one node; calls beyond it wait for their turn: a burst must not look like a lost Redis."""
SILENT_SECONDS = 1.0
"""Who did not answer is not asked again for this long."""
UNKNOWN = ""
"""The node of keys whose node is not known: no node of the cluster answers, or none has their
slot.
"""

AWAY = (
    RedisConnectionError,
    RedisTimeoutError,
    RedisClusterException,
    ClusterDownError,
    TimeoutError,
    OSError,
)
"""What says that a node does not answer, or has lost its part of the cluster."""

T = TypeVar("T")
log = structlog.get_logger()


class _NoAnswerError(Exception):
    """Redis did not answer this call."""


@dataclass
class _Node:
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CALLS_AT_ONCE))
    is_away: bool = False
    silent_until: float = 0.0
    is_tried: bool = False


class RedisClient:
    """One process's way to Redis for one purpose, which is how the log calls it.

    Attributes:
        redis: redis-py's client; its commands are made within `ask`.
    """

    def __init__(self, url: str, purpose: str) -> None:
        self._purpose = purpose
        self._nodes: dict[str, _Node] = {}
        self._finding: asyncio.Task[None] | None = None
        self._warned_at = float("-inf")
        self._named = redis_url.read(url).nodes
        self._cluster = _cluster(url)
        self.redis: Any = self._cluster or Redis(
            connection_pool=ConnectionPool.from_url(
                url, socket_timeout=SOCKET_SECONDS, socket_connect_timeout=SOCKET_SECONDS
            )
        )

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._finding:
            self._finding.cancel()
            await asyncio.gather(self._finding, return_exceptions=True)
        await self.redis.aclose()
        if self._cluster is None:
            await self.redis.connection_pool.disconnect()
            return
        # after a failure it is to look for nodes again, and then its aclose does nothing
        for nodes in ("nodes_cache", "startup_nodes"):
            await self._cluster.nodes_manager.aclose(nodes)

    async def ask(self, key: str, work: Callable[[], Awaitable[T]], otherwise: T) -> T:
        """What `work` gives, which asks for keys in the slot of `key` alone and reads the answer;
        `otherwise` if there is none, whatever the reason.
        """
        try:
            return await self._call(key, work)
        except _NoAnswerError:
            return otherwise

    async def _call(self, key: str, work: Callable[[], Awaitable[T]]) -> T:
        name = self._node_of(key)
        node = self._nodes.setdefault(name, _Node())
        async with node.turns:
            if node.is_away and (node.is_tried or time.monotonic() < node.silent_until):
                raise _NoAnswerError
            node.is_tried = node.is_away
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    answer = await self._answer(work)
            except AWAY as error:
                node.is_away, node.silent_until = True, time.monotonic() + SILENT_SECONDS
                log.warning("redis.lost", purpose=self._purpose, node=name, error=fault_text(error))
                if self._cluster:
                    self._find_nodes()
                raise _NoAnswerError from error
            except Exception as error:
                self._warn_of(key, error)
                raise _NoAnswerError from error
            finally:
                node.is_tried = False
            node.is_away = False
            return answer

    async def answers(self) -> bool:
        """Whether Redis does: in a cluster every node that has keys."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                if self._cluster is None:
                    await self.redis.ping()
                else:
                    await self._know_nodes()
                    await self._cluster.ping(target_nodes=RedisCluster.PRIMARIES)
        except Exception:  # noqa: BLE001 - whatever the client raises, there was no answer
            return False
        return True

    async def _answer(self, work: Callable[[], Awaitable[T]]) -> T:
        await self._know_nodes()
        try:
            return await work()
        except RedisConnectionError:
            if self._cluster is None:
                raise
        await self._know_nodes()  # another may have the slots by now
        return await work()

    async def _know_nodes(self) -> None:
        """Waits for the look at who has which slots, if one is due."""
        if self._cluster and self._cluster._initialize:  # noqa: SLF001 - its own commands go by it
            await asyncio.shield(self._find_nodes())

    def _node_of(self, key: str) -> str:
        if self._cluster is None:
            return UNKNOWN
        try:
            node = self._cluster.get_node_from_key(key)
        except RedisClusterException:
            return UNKNOWN
        return str(node.name) if node else UNKNOWN

    def _find_nodes(self) -> asyncio.Task[None]:
        """Asks who has which slots, beside the calls: one that is cut off in it would close all
        connections.
        """
        assert self._cluster
        if self._finding is None or self._finding.done():
            finding = _initialize(self._cluster, self._named)
            self._finding = asyncio.create_task(finding, name="redis-nodes")
        return self._finding

    def _warn_of(self, key: str, error: Exception) -> None:
        if time.monotonic() - self._warned_at > SILENT_SECONDS:
            self._warned_at = time.monotonic()
            log.warning("redis.refused", purpose=self._purpose, key=key, error=fault_text(error))


class Script:
    """A Lua script. Unlike redis-py's it is loaded where its key is, not at every node, one of
    which may be away.
    """

    def __init__(self, redis: Any, source: bytes | str) -> None:
        self._redis = redis
        self._source = source
        self._sha: str = redis.register_script(source).sha

    async def __call__(self, keys: list[str], args: list[Any]) -> Any:
        """Runs it. Raises redis-py's errors."""
        try:
            return await self._redis.evalsha(self._sha, len(keys), *keys, *args)
        except NoScriptError:
            return await self._redis.eval(self._source, len(keys), *keys, *args)


def info_of(node_url: str, seconds: float) -> dict[str, Any] | Exception:
    """What one server or node says of itself, or why it did not answer in time; it blocks."""
    try:
        with redis.Redis.from_url(
            node_url, socket_connect_timeout=seconds, socket_timeout=seconds
        ) as client:
            info: Any = client.info()
            return dict(info)
    except (redis.RedisError, OSError, ValueError) as error:
        return error


def _cluster(url: str) -> RedisCluster | None:
    found = redis_url.read(url)
    if not found.is_cluster:
        return None
    defaults = {
        "socket_timeout": SOCKET_SECONDS,
        "socket_connect_timeout": SOCKET_SECONDS,
        "max_connections": 2 * CALLS_AT_ONCE,
    }
    options: dict[str, Any] = defaults | dict(parse_url(found.node_urls[0]))
    for name in ("host", "port", "db"):
        options.pop(name, None)
    if options.pop("connection_class", None) is SSLConnection:
        options["ssl"] = True
    cluster = RedisCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in found.nodes],
        # the slots of a node that is lost must not keep us from those that are there
        require_full_coverage=False,
        retry=Retry(NoBackoff(), 0),  # see RedisClient._answer
        **options,
    )
    cluster.commands_parser = _CommandsOfAnyNode(cluster)
    return cluster


class _CommandsOfAnyNode(AsyncCommandsParser):
    """The table of commands from a node that answers; redis-py asks the first master, which may
    be the lost one.
    """

    def __init__(self, cluster: RedisCluster) -> None:
        super().__init__()
        self._cluster = cluster

    async def initialize(self, node: Any | None = None) -> None:  # noqa: ARG002 - its name is given
        """Called by the cluster's client, with its default node. Raises redis-py's errors if
        none answers.
        """
        lost: Exception | None = None
        for each in self._cluster.get_primaries():
            try:
                await super().initialize(each)
            except AWAY as error:
                lost = error
            else:
                self._cluster.set_default_node(each)
                return
        raise lost or RedisClusterException("the cluster has no master")


async def _initialize(cluster: RedisCluster, named: Sequence[tuple[str, int]]) -> None:
    try:
        # also of those in the URL, which may have come back when all that were found are gone
        await cluster.initialize(additional_startup_nodes_info=list(named))
    except Exception as error:  # noqa: BLE001 - the next call that fails tries again
        log.warning("redis.nodes_unknown", error=fault_text(error))
