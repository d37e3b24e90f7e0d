"""A midnight at which many tickets end at once, while gates redeem others.

    python -m tools.bench.expiring [--tickets 100000] [--rate 100] [--quiet 15] [--workers 1]

Redemptions come at a steady rate, in a process of their own, first for `--quiet` seconds with
nothing to expire, then while all of the tickets do. Printed are how long that took, p50 and p99 of
the redemptions before and meanwhile, what PostgreSQL's statements took, and what is left: expired
tickets, completed orders, events. To reach: a million within 180 s, and p99 within twice that of
the quiet time. The tickets are partners', two an order, as the dearest are: each has its event.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import psycopg
import uvloop
from deeptravel.ota.v1 import ota_service_pb2_grpc
from deeptravel.redemption.v1 import access_pb2, redemption_service_pb2_grpc

from server.tickets.rules import SEQUENCE_BITS
from tests.support.rpc_server import SECRET_KEY
from tests.support.server_process import ServerProcess
from tools.bench import redemption
from tools.bench.figures import Figures, open_loop, percentile
from tools.bench.metering import Meter
from tools.dev.embedded.services import EmbeddedServices

JOB = "expire-tickets"
SLICE_SECONDS = 5
"""Redemptions are sent and reported by slices of so many seconds."""
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
  LATERAL jsonb_populate_record(NULL::tickets, to_jsonb(t) || jsonb_build_object(
    'ticket_id', t.ticket_id + (1::bigint << %(bits)s) * 400 + n, 'ticket_code', 'BENCH-' || n,
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
WHERE t.ticket_code LIKE 'BENCH-%%'
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
_OUTCOME = """
SELECT (SELECT count(*) FROM tickets WHERE state = 'EXPIRED' AND ticket_code LIKE 'BENCH-%'),
  (SELECT count(*) FROM orders WHERE state = 'COMPLETED' AND order_code LIKE 'BENCH-%'),
  (SELECT count(*) FROM partner_events WHERE type = 'ticket.expired'),
  (SELECT count(*) FROM job_history WHERE job_name = 'expire-tickets' AND outcome = 'FAILED')
"""
_STATEMENTS = """
SELECT calls, round(total_exec_time)::int, round(mean_exec_time::numeric, 2)::float, rows,
  left(regexp_replace(query, '\\s+', ' ', 'g'), 110)
FROM pg_stat_statements ORDER BY total_exec_time DESC LIMIT 14
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


class Midnight:
    """The steady redemptions, slice by slice, until they are to stop."""

    def __init__(self, gate: redemption.Gate, tokens: redemption.Tickets, rate: int) -> None:
        self._gate, self._tokens, self._rate = gate, tokens, rate
        self.errors = 0

    async def slice(self, seconds: int = SLICE_SECONDS) -> list[float]:
        """Milliseconds of so many seconds' redemptions."""
        scans = [
            self._gate.scan(token, "ferry") for token in self._tokens.take(self._rate * seconds)
        ]
        latencies, errors = await open_loop(
            self._gate.redeeming(self._gate.redeem), scans, self._rate
        )
        self.errors += errors
        return latencies


def _p(latencies: Sequence[float]) -> tuple[float, float]:
    return percentile(latencies, 0.5), percentile(latencies, 0.99)


async def measure(server: ServerProcess, url: str, options: Any, figures: Figures) -> None:
    """Fills, waits for the quiet time, lets the midnight come."""
    credentials = server.credentials
    stub = redemption_service_pb2_grpc.RedemptionServiceStub
    async with (
        grpc.aio.insecure_channel(server.target) as channel,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as pg,
    ):
        await redemption.allot(channel, credentials)
        key = (("x-api-key", credentials["partner_api_key"]),)
        ota = ota_service_pb2_grpc.OtaServiceStub(channel)
        redemption.BATCH = 10_000
        scans = options.rate * (options.quiet + options.most + 4 * SLICE_SECONDS)
        tokens = await redemption.make_tickets(ota, key, figures, scans)
        await pg.execute(_PAUSE, (JOB,))
        await asyncio.sleep(4)  # every process has seen it
        began = time.perf_counter()
        await asyncio.to_thread(fill, url, options.tickets)
        figures.add("tickets made", time.perf_counter() - began, "s")
        login = await stub(channel).OperatorLogin(
            access_pb2.OperatorLoginRequest(
                **credentials["operator"], terminal_device_id=credentials["terminal_device_id"]
            )
        )
        bearer = (("authorization", f"Bearer {login.access_token}"),)
        device = credentials["terminal_device_id"]
        gate = redemption.Gate(stub(channel), Meter(server.process.pid, 0), {}, bearer, device)
        midnight = Midnight(gate, tokens, options.rate)
        await midnight.slice()  # warm-up
        quiet: list[float] = []
        for _ in range(-(-options.quiet // SLICE_SECONDS)):
            quiet += await midnight.slice()
        await _statistics(pg, "SELECT pg_stat_statements_reset()")
        await pg.execute(_GO, (JOB,))
        began = time.perf_counter()
        busy: list[float] = []
        done = asyncio.create_task(_done(pg))
        while not done.done() and time.perf_counter() - began < options.most:
            busy += await midnight.slice()
        seconds = await done - began
        figures.add("expired within", seconds, "s")
        figures.add("a million would take", seconds / options.tickets * 1_000_000, "s")
        for name, latencies in (("quiet", quiet), ("while expiring", busy)):
            p50, p99 = _p(latencies)
            figures.add(f"redemption p50, {name}", p50, "ms")
            figures.add(f"redemption p99, {name}", p99, "ms")
        figures.add("p99 while expiring ÷ quiet", _p(busy)[1] / _p(quiet)[1], "")
        figures.add("redemptions not admitted", midnight.errors, "calls")
        row = await (await pg.execute(_OUTCOME)).fetchone()
        print("expired, completed orders, events, failed runs:", row)
        for found in await _statistics(pg, _STATEMENTS):
            print(*found, sep=" | ")


async def _done(pg: psycopg.AsyncConnection[Any]) -> float:
    while (await (await pg.execute(_LEFT)).fetchone() or (False,))[0]:  # noqa: ASYNC110
        await asyncio.sleep(0.25)
    return time.perf_counter()


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
    parser.add_argument("--rate", type=int, default=100, help="redemptions a second")
    parser.add_argument("--quiet", type=int, default=15, help="seconds before midnight")
    parser.add_argument("--most", type=int, default=300, help="seconds after it at the most")
    parser.add_argument("--workers", type=int, default=1, help="processes of the server")
    options = parser.parse_args()
    figures = Figures()
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
            with ServerProcess(*workers, data_dir=demo, env=environment) as server:
                uvloop.run(measure(server, services.database_url, options, figures))
        finally:
            services.stop()
    json.dump({name: figures.median(name) for name in figures.samples}, sys.stdout, indent=2)


if __name__ == "__main__":
    main()
