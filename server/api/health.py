"""Whether this process can serve, and what of it is degraded: gRPC health by service, and
`/healthz`.

NOT_SERVING while the database does not answer or takes no writes, while a loop of ours is down, and
while the process stops. A lost Redis is reported, and served without.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import psycopg
import structlog
from grpc_health.v1 import health, health_pb2

from server.platform.connection import DriverConnection
from server.platform.database import Database
from server.platform.faults import fault_text
from server.platform.loops import Loops, Polling
from server.platform.metrics import DEGRADED
from server.platform.round_trips import NoAnswerError

PROBE_SECONDS = 0.5
"""From the end of one look at the database, or Redis, to the next.

So long health may be SERVING without a database: calls say DATABASE_UNAVAILABLE at once, and to
look at each request for health instead would make it as slow as the database."""
ANSWER_SECONDS = 2.0
"""So long the database has to answer."""
DATABASE, REDIS = "database", "redis"

log = structlog.get_logger()

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass(frozen=True, slots=True)
class Report:
    """What `/healthz` tells: whether calls should be sent here, and the names of what is
    degraded.
    """

    is_serving: bool
    degraded: Sequence[str]

    @property
    def content(self) -> dict[str, object]:
        """The JSON of it."""
        status = "SERVING" if self.is_serving else "NOT_SERVING"
        return {"status": status, "degraded": list(self.degraded)}

    @property
    def http_status(self) -> int:
        """Its status: 200 or 503."""
        return 200 if self.is_serving else 503


class Health:
    """The health of one process, from `start` to `stop`. The database has answered when it is made.

    Args:
        db: looked at over a connection of its own, so that a busy pool is no lost database.
        redis_answers: whether Redis does; it must not raise.

    Attributes:
        loops: of this process; whoever runs something in the background adds it here.
        servicer: of grpc.health.v1.
    """

    def __init__(self, db: Database, redis_answers: Callable[[], Awaitable[bool]]) -> None:
        self._changed = asyncio.Event()
        self.loops = Loops(self._changed.set)
        self.servicer = health.aio.HealthServicer()
        self._db = db
        self._redis_answers = redis_answers
        self._connection: DriverConnection | None = None
        self._server = "", ""
        self._lost: set[str] = set()
        self._is_stopping = False
        self._always: frozenset[str] = frozenset()
        self._ours: frozenset[str] = frozenset()
        self._reported: int = _SERVING
        self._silent: tuple[str, str] | None = None
        self._loops = [
            self.loops.add(
                "database-probe", Polling(self._probe_database, PROBE_SECONDS, at_once=True)
            ),
            self.loops.add("redis-probe", Polling(self._probe_redis, PROBE_SECONDS, at_once=True)),
            self.loops.add("health", self._tell_always),
        ]

    @property
    def report(self) -> Report:
        """How it stands now."""
        down = [f"loop {name}" for name in self.loops.down]
        is_serving = not (self._is_stopping or DATABASE in self._lost or down)
        return Report(is_serving, [*sorted(self._lost), *down])

    async def start(self, ours: Sequence[str], others: Sequence[str]) -> None:
        """Begins to look, and to tell: of `ours` (gRPC services) by what is found, of `others`
        that they serve.
        """
        self._ours = frozenset({"", *ours})
        for name in (*self._ours, *others):
            await self.servicer.set(name, _SERVING)
        for loop in self._loops:
            loop.start()

    async def say_stopping(self) -> None:
        """NOT_SERVING from now on, for all services."""
        self._is_stopping = True
        await self.servicer.enter_graceful_shutdown()

    def give_up_lost(self) -> None:
        """At the stop, when nobody calls any more: what waits for a database that does not
        answer waits in vain.
        """
        if DATABASE in self._lost:
            self._db.abandon_all()

    async def stop(self) -> None:
        """Ends it."""
        for loop in self._loops:
            await loop.cancel()
        await self._disconnect()

    async def _tell_always(self) -> None:
        while True:
            report = self.report
            status = _SERVING if report.is_serving else _NOT_SERVING
            if status != self._reported and not self._is_stopping:
                for name in self._ours:
                    await self.servicer.set(name, status)
                self._reported = status
                log.warning("health.changed", serving=report.is_serving, degraded=report.degraded)
            await self._changed.wait()
            self._changed.clear()

    def _lose(self, part: str, error: str) -> None:
        if part not in self._lost:
            self._lost.add(part)
            DEGRADED.labels(part).set(1)
            log.warning("health.lost", part=part, error=error)
            self._changed.set()

    def _regain(self, part: str) -> None:
        if part in self._lost:
            self._lost.remove(part)
            DEGRADED.labels(part).set(0)
            log.info("health.regained", part=part)
            self._changed.set()

    async def _probe_database(self) -> None:
        try:
            await self._ask_database()
        except (psycopg.Error, OSError) as error:
            if isinstance(error, NoAnswerError) and self._connection:
                self._silent = self._server
            await self._disconnect()
            self._lose(DATABASE, fault_text(error))
        else:
            self._regain(DATABASE)

    async def _ask_database(self) -> None:
        """Raises the driver's errors; the database must take writes, too."""
        if self._connection is None:
            self._connection = await self._db.connect()
            self._connection.answer_seconds = ANSWER_SECONDS
            self._server = self._connection.server
        cursor = await self._connection.execute("SHOW transaction_read_only")
        if await cursor.fetchone() != ("off",):
            raise psycopg.OperationalError("the database takes no writes")
        if self._silent and self._server != self._silent:
            # whoever waits for a server that was replaced waits in vain
            self._db.abandon(self._silent)
        self._silent = None

    async def _disconnect(self) -> None:
        if self._connection:
            connection, self._connection = self._connection, None
            await connection.close()

    async def _probe_redis(self) -> None:
        if await self._redis_answers():
            self._regain(REDIS)
        else:
            self._lose(REDIS, "no answer")
