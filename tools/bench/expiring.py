"""A midnight at which many tickets end at once, while gates redeem others.

    python -m tools.bench.expiring [--tickets 100000] [--rate 100] [--quiet 15] [--workers 1]

Redemptions come at a steady rate, first for `--quiet` seconds with nothing to expire, then while
all of the tickets do. Printed are how long that took, p50 and p99 of the redemptions before and
meanwhile, what PostgreSQL's statements took, and what is left: expired tickets, completed orders,
events. To reach: a million within 180 s, and p99 within twice that of the quiet time. The tickets
are partners', two an order, as the dearest are: each has its event.

The CPU that a ticket takes of the server and of PostgreSQL, which others on the machine change
little, is printed twice: until all are EXPIRED, and until all that follows is done too (events
numbered and in the ledger, the index of those to expire emptied). What both took in the quiet time
is taken off; compare it with `--rate 0`, since a redemption costs less while the server is busy.

Each slice of five seconds has a line: how many tickets are expired, and p50 / p99 of redemptions,
of the server's event loop and of this driver's. At the end stand what the sessions of PostgreSQL
waited for, what each ticket wrote, and the statements by their time.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import psycopg
import uvloop
from deeptravel.ota.v1 import ota_service_pb2_grpc
from deeptravel.redemption.v1 import access_pb2, redemption_service_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from server.tickets.rules import SEQUENCE_BITS
from tests.support.rpc_server import SECRET_KEY
from tests.support.server_process import ServerProcess
from tools.bench import redemption
from tools.bench.figures import Figures, open_loop, percentile
from tools.bench.metering import Meter, Noise, cpu_seconds, postmaster
from tools.bench.watching import Waits, Written
from tools.dev.embedded.services import EmbeddedServices

JOB = "expire-tickets"
SLICE_SECONDS = 5
"""Redemptions are sent and reported by slices of so many seconds."""
PROBE_SECONDS = 0.05
MOST_SECONDS = 900

# Copies of one order of two, and of its tickets, on a day that no other has: their numbers are free
_COPY_ORDERS = """
INSERT INTO orders SELECT r.*
FROM (SELECT * FROM orders WHERE order_id = %(order_id)s) o, generate_series(1, %(orders)s) AS n,
  LATERAL jsonb_populate_record(NULL::orders, to_jsonb(o) || jsonb_build_object(
    'order_id', o.order_id + (1::bigint << %(bits)s) * 400 + n, 'order_code', 'BENCH-' || n,
    'ticket_count', 2, 'open_ticket_id', NULL)) r
"""
_COPY_TICKETS = """
INSERT INTO tickets SELECT r.*
FROM (SELECT * FROM tickets WHERE order_id = %(order_id)s LIMIT 1) t,
  generate_series(1, %(orders)s * 2) AS n,
  regexp_match(t.ticket_code, '^(.*-)([0-9]{8})-([0-9]+)$') AS code,
  LATERAL jsonb_populate_record(NULL::tickets, to_jsonb(t) || jsonb_build_object(
    'ticket_id', t.ticket_id + (1::bigint << %(bits)s) * 400 + n,
    'ticket_code', code[1] || to_char(code[2]::date + 400, 'YYYYMMDD-')
      || lpad((code[3]::int + n)::text, greatest(6, length((code[3]::int + n)::text)), '0'),
    'customer_name', 'BENCH',
    'jti', gen_random_uuid(), 'expiry_pending', true, 'state', 'ACTIVE',
    'order_id', %(order_id)s::bigint + (1::bigint << %(bits)s) * 400 + (n + 1) / 2,
    'valid_from_time', now() - interval '9 days',
    'valid_until_time', now() - interval '1 second')) r
"""
_COPY_ENTITLEMENTS = """
INSERT INTO entitlements (ticket_id, function_code, total_uses, remaining_uses)
SELECT t.ticket_id, e.function_code, e.total_uses, e.total_uses FROM tickets t,
  (SELECT * FROM entitlements WHERE ticket_id =
    (SELECT ticket_id FROM tickets WHERE order_id = %(order_id)s LIMIT 1)) e
WHERE t.customer_name = 'BENCH'
"""
_PAUSE = """
INSERT INTO job_runs (job_name, paused_by, paused_time) VALUES (%s, 'bench', now())
ON CONFLICT (job_name) DO UPDATE SET paused_by = 'bench', paused_time = now()
"""
_GO = """
UPDATE job_runs SET paused_by = NULL, paused_time = NULL, run_time = NULL WHERE job_name = %s
"""
_LEFT = """
SELECT EXISTS (SELECT FROM tickets WHERE expiry_pending AND state = 'ACTIVE'
  AND valid_until_time < now() AND partner_id > 0)
"""
_LAST = "SELECT max(ticket_id) FROM tickets WHERE customer_name = 'BENCH'"
_IS_OPEN = "SELECT state = 'ACTIVE' FROM tickets WHERE ticket_id = %(ticket_id)s"
# what redemptions go on to record comes after it, in each partner's order
_EXPIRED_UP_TO = """
SELECT coalesce(max(record_time), '-infinity') FROM partner_events WHERE type = 'ticket.expired'
"""
_FOLLOWS = """
SELECT EXISTS (SELECT FROM partner_events WHERE sequence IS NULL AND record_time <= %(until)s)
  OR EXISTS (SELECT FROM order_events WHERE notify)
  OR EXISTS (SELECT FROM partner_feeds f LEFT JOIN ledgers l USING (partner_id)
    JOIN partner_events e ON (e.partner_id, e.sequence)
      = (f.partner_id, coalesce(l.posted_sequence, f.purged_sequence) + 1)
    WHERE e.record_time <= %(until)s)
  OR EXISTS (SELECT FROM tickets WHERE expiry_pending AND valid_until_time < now())
"""
_OUTCOME = """
SELECT (SELECT count(*) FROM tickets WHERE state = 'EXPIRED' AND customer_name = 'BENCH'),
  (SELECT count(*) FROM orders WHERE state = 'COMPLETED' AND order_code LIKE 'BENCH-%'),
  (SELECT count(*) FROM partner_events WHERE type = 'ticket.expired'),
  (SELECT count(*) FROM ledger_entries JOIN tickets USING (ticket_id)
    WHERE customer_name = 'BENCH'),
  (SELECT count(*) FROM job_history WHERE job_name = 'expire-tickets' AND outcome = 'FAILED')
"""
_ITEMS = "SELECT items FROM job_runs WHERE job_name = 'expire-tickets'"
_STATEMENTS = """
SELECT calls, round(total_exec_time)::int, round(mean_exec_time::numeric, 2)::float, rows,
  wal_bytes::bigint, left(regexp_replace(query, '\\s+', ' ', 'g'), 110)
FROM pg_stat_statements ORDER BY total_exec_time DESC LIMIT 16
"""


def fill(url: str, tickets: int) -> None:
    """Makes the tickets that end, from one that is there."""
    with psycopg.connect(url) as pg:
        (order_id,) = pg.execute(
            "SELECT order_id FROM tickets WHERE order_id IS NOT NULL LIMIT 1"
        ).fetchone() or (0,)
        values = {"bits": SEQUENCE_BITS, "orders": tickets // 2, "order_id": order_id}
        for statement in (_COPY_ORDERS, _COPY_TICKETS, _COPY_ENTITLEMENTS):
            pg.execute(statement.encode(), values)
    with psycopg.connect(url, autocommit=True) as pg:
        pg.execute("VACUUM (ANALYZE) tickets, entitlements, orders")
        pg.execute("CHECKPOINT")


class Loops:
    """How long event loops are held: the server's, by health checks, which need no database, and
    this driver's own, by a sleep of a millisecond.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._health: Any = health_pb2_grpc.HealthStub(channel)
        self._checks: list[float] = []
        self._own: list[float] = []

    async def probe(self) -> None:
        """Looks until it is cancelled."""
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            slept = time.perf_counter()
            await self._health.Check(health_pb2.HealthCheckRequest())
            self._own.append((slept - began) * 1000)
            self._checks.append((time.perf_counter() - slept) * 1000)
            await asyncio.sleep(PROBE_SECONDS)

    def take(self) -> tuple[list[float], list[float]]:
        """Milliseconds of the health checks and the own sleeps since the last time."""
        taken = self._checks, self._own
        self._checks, self._own = [], []
        return taken


class Midnight:
    """The steady redemptions, slice by slice, until they are to stop."""

    def __init__(
        self, gate: redemption.Gate, tokens: redemption.Tickets, rate: int, loops: Loops
    ) -> None:
        self._gate, self._tokens, self._rate = gate, tokens, rate
        self.loops = loops
        self.errors = 0

    async def slice(self, seconds: int = SLICE_SECONDS) -> list[float]:
        """Milliseconds of so many seconds' redemptions."""
        if not self._rate:
            await asyncio.sleep(seconds)
            return []
        scans = [
            self._gate.scan(token, "ferry") for token in self._tokens.take(self._rate * seconds)
        ]
        latencies, errors = await open_loop(
            self._gate.redeeming(self._gate.redeem), scans, self._rate
        )
        self.errors += errors
        return latencies

    async def slices(
        self, pg: psycopg.AsyncConnection[Any], seconds: float, until: Callable[[], bool]
    ) -> list[float]:
        """Slices for so long, or until then, each with a line of its own."""
        began = time.perf_counter()
        all_latencies: list[float] = []
        self.loops.take()
        while not until() and time.perf_counter() - began < seconds:
            latencies = await self.slice()
            all_latencies += latencies
            expired = await _value(pg, _ITEMS) or 0
            line = f"  {time.perf_counter() - began:6.1f} s, {expired:,} expired so far"
            for what, found in zip(
                ("redemptions", "server's loop", "driver's loop"),
                (latencies, *self.loops.take()),
                strict=True,
            ):
                if found:
                    line += ", {} {:.1f} / {:.1f} ms".format(what, *_p(found))
            print(line, flush=True)
        return all_latencies


def _p(latencies: Sequence[float]) -> tuple[float, float]:
    return percentile(latencies, 0.5), percentile(latencies, 0.99)


class Metered:
    """The CPU of a server and of PostgreSQL beyond what they take in the quiet time, which begins
    with this; `pids` are theirs.
    """

    def __init__(self, *pids: int) -> None:
        self._pids = pids
        self._mark = self._now()
        self._quiet = [0.0 for _ in pids]

    def _now(self) -> list[float]:
        return [time.perf_counter(), *map(cpu_seconds, self._pids)]

    def _since(self) -> list[float]:
        return [now - then for now, then in zip(self._now(), self._mark, strict=True)]

    def end_quiet(self) -> None:
        """The quiet time ends, and the midnight begins."""
        seconds, *cpu = self._since()
        self._quiet = [used / seconds for used in cpu]
        self._mark = self._now()

    def report(self, figures: Figures, what: str, tickets: int) -> None:
        """Microseconds that each ticket took since the midnight."""
        seconds, *cpu = self._since()
        for name, used, quiet in zip(("server", "PostgreSQL"), cpu, self._quiet, strict=True):
            micros = (used - quiet * seconds) / tickets * 1_000_000
            figures.add(f"{name} CPU a ticket, {what}", micros, "µs")


async def _midnight(server: ServerProcess, options: Any, figures: Figures) -> Midnight:
    """A gate with tickets enough."""
    credentials = server.credentials
    channel = grpc.aio.insecure_channel(server.target)
    await redemption.allot(channel, credentials)
    key = (("x-api-key", credentials["partner_api_key"]),)
    ota = ota_service_pb2_grpc.OtaServiceStub(channel)
    redemption.BATCH = 10_000
    scans = options.rate * (options.quiet + options.most + 4 * SLICE_SECONDS)
    tokens = await redemption.make_tickets(ota, key, figures, max(scans, 2))
    stub = redemption_service_pb2_grpc.RedemptionServiceStub(channel)
    device = credentials["terminal_device_id"]
    login = await stub.OperatorLogin(
        access_pb2.OperatorLoginRequest(**credentials["operator"], terminal_device_id=device)
    )
    bearer = (("authorization", f"Bearer {login.access_token}"),)
    gate = redemption.Gate(stub, Meter(server.process.pid, 0), {}, bearer, device)
    return Midnight(gate, tokens, options.rate, Loops(channel))


async def measure(
    server: ServerProcess, services: EmbeddedServices, options: Any, figures: Figures
) -> None:
    """Fills, waits for the quiet time, lets the midnight come."""
    midnight = await _midnight(server, options, figures)
    url = services.database_url
    waits = Waits(url)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as pg:
        await pg.execute(_PAUSE, (JOB,))
        await asyncio.sleep(4)  # every process has seen it
        began = time.perf_counter()
        await asyncio.to_thread(fill, url, options.tickets)
        figures.add("tickets made", time.perf_counter() - began, "s")
        await midnight.slice()  # warm-up
        metered = Metered(server.process.pid, options.postgres)
        with _beside(midnight.loops.probe()):
            quiet = await midnight.slices(pg, options.quiet, lambda: False)
            metered.end_quiet()
            written = await Written.now(pg)
            await _statistics(pg, "SELECT pg_stat_statements_reset()")
            await pg.execute(_GO, (JOB,))
            began = time.perf_counter()
            with _beside(waits.sample()):
                done = asyncio.create_task(_done(pg))
                busy = await midnight.slices(pg, options.most, done.done)
                seconds = await done - began
            metered.report(figures, "expired", options.tickets)
            figures.add("expired within", seconds, "s")
            figures.add("a million would take", seconds / options.tickets * 1_000_000, "s")
            _report_redemptions(figures, quiet, busy)
            until = {"until": await _value(pg, _EXPIRED_UP_TO)}
            while time.perf_counter() - began < options.most and await _value(pg, _FOLLOWS, until):
                await midnight.slice(1)
            figures.add("all that follows is done within", time.perf_counter() - began, "s")
        figures.add("redemptions not admitted", midnight.errors, "calls")
        metered.report(figures, "all done", options.tickets)
        row = await (await pg.execute(_OUTCOME)).fetchone()
        print("expired, completed orders, events, ledger entries, failed runs:", row)
        print("calls | ms | ms each | rows | bytes of log | statement")
        for found in await _statistics(pg, _STATEMENTS):
            print(*found, sep=" | ")
        since = (await Written.now(pg)).since(written, options.tickets)
        print("A ticket, with all that follows and the redemptions beside it:", *since, sep="\n  ")
        print("Sessions at once until all were expired:", *waits.lines(), sep="\n  ")


@contextmanager
def _beside(work: Coroutine[Any, Any, None]) -> Iterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()


def _report_redemptions(figures: Figures, quiet: list[float], busy: list[float]) -> None:
    if quiet and busy:
        for name, latencies in (("quiet", quiet), ("while expiring", busy)):
            p50, p99 = _p(latencies)
            figures.add(f"redemption p50, {name}", p50, "ms")
            figures.add(f"redemption p99, {name}", p99, "ms")
        figures.add("p99 while expiring ÷ quiet", _p(busy)[1] / _p(quiet)[1], "")


async def _done(pg: psycopg.AsyncConnection[Any]) -> float:
    last = {"ticket_id": await _value(pg, _LAST)}
    # the last in their order first: to look for any open one reads all that were open
    while await _value(pg, _IS_OPEN, last) or await _value(pg, _LEFT):  # noqa: ASYNC110
        await asyncio.sleep(0.25)
    return time.perf_counter()


async def _value(
    pg: psycopg.AsyncConnection[Any], query: str, values: Mapping[str, Any] | None = None
) -> Any:
    row = await (await pg.execute(query.encode(), values)).fetchone()
    return row and row[0]


def _with_statistics(folder: Path) -> EmbeddedServices:
    """PostgreSQL that counts its statements, where its packages have what does so."""
    services = EmbeddedServices.start(folder)
    with psycopg.connect(services.database_url, autocommit=True) as pg:
        try:
            pg.execute("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")
            pg.execute("CREATE EXTENSION pg_stat_statements")
        except psycopg.Error as error:
            print(f"no statistics of statements: {error}")
            return services
    services.stop()
    return EmbeddedServices.start(folder)


async def _statistics(pg: psycopg.AsyncConnection[Any], query: str) -> list[Any]:
    try:
        return await (await pg.execute(query.encode())).fetchall()
    except psycopg.Error as error:
        print(f"no statistics of statements: {error}")
        return []


def main() -> None:
    """Starts a database and a server, and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tickets", type=int, default=100_000, help="how many end at once")
    parser.add_argument("--rate", type=int, default=100, help="redemptions a second, or 0")
    parser.add_argument("--quiet", type=int, default=15, help="seconds before midnight")
    parser.add_argument("--most", type=int, default=300, help="seconds after it at the most")
    parser.add_argument("--workers", type=int, default=1, help="processes of the server")
    options = parser.parse_args()
    figures, noise = Figures(), Noise()
    with tempfile.TemporaryDirectory() as folder:
        services = _with_statistics(Path(folder) / "data")
        try:
            environment = {
                "DEEPTRAVEL_DATABASE_URL": services.database_url,
                "DEEPTRAVEL_REDIS_URL": services.redis_url,
                "DEEPTRAVEL_MAX_CALLS_PER_ADDRESS": "0",  # all callers have one
                "DEEPTRAVEL_SECRET_KEY": b64encode(SECRET_KEY).decode(),
                "DEEPTRAVEL_DEMO_DATA": "true",
                "DEEPTRAVEL_ACCESS_TOKEN_SECONDS": "36000",
            }
            demo = Path(folder) / "demo"
            demo.mkdir()
            workers = ("--workers", str(options.workers)) if options.workers > 1 else ()
            options.postgres = postmaster(Path(folder) / "data")
            with ServerProcess(*workers, data_dir=demo, env=environment) as server:
                uvloop.run(measure(server, services, options, figures))
            print(noise.line(figures))
        finally:
            services.stop()
    json.dump({name: figures.median(name) for name in figures.samples}, sys.stdout, indent=2)


if __name__ == "__main__":
    main()
