"""Webhooks to a partner's endpoint while another endpoint hangs: deliveries a second.

Events are recorded at once; a server numbers them, sends them, signed, and writes down what became
of them. A receiver takes them in a process of its own. The endpoint that hangs gets the same events
and answers none. One in four events is the second of its ticket, and waits for the first.
"""

import asyncio
import multiprocessing
import time
from base64 import b64encode
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import psycopg
import uvloop

from server.operations.schema import migrate
from server.platform import clock
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.statements import run
from server.webhooks import endpoints, events
from server.webhooks.endpoints import EndpointSettings
from server.webhooks.events import PartnerEvent
from server.webhooks.rules import BATCH_GENERATED
from server.webhooks.webhook_secrets import WebhookSecrets
from tests.support import databases
from tests.support.gate_server import gate_process
from tests.support.receiver import a_receiver
from tests.support.rpc_server import SECRET_KEY
from tools.bench.figures import Figures
from tools.bench.metering import Meter
from tools.dev.embedded.services import EmbeddedServices

DATABASE = "bench_webhooks"
EVENTS = 6_000
RECORDED_AT_ONCE = 500
PARTNER = 1
NAME = "webhooks beside an endpoint that hangs"
ORDERED = "webhooks that came before an earlier one of their ticket"
TARGETS = {NAME: (">=", 500), ORDERED: ("<=", 0)}
"""What the figures are to reach."""
_SETTINGS = {
    "DEEPTRAVEL_SECRET_KEY": b64encode(SECRET_KEY).decode(),
    "DEEPTRAVEL_WEBHOOK_ALLOW_PRIVATE": "true",
    "DEEPTRAVEL_LOG_FORMAT": "json",
}
_WRITTEN = """
SELECT count(*) >= %s FROM webhook_deliveries WHERE endpoint_id = %s AND state = 'DELIVERED'
"""


def receive(pipe: Connection, expected: int) -> None:
    """The healthy receiver's process: says its port, and for each round deliveries a second, and
    how many came too early.
    """

    async def listen() -> None:
        async with a_receiver() as receiver:
            pipe.send(receiver.port)
            while await asyncio.to_thread(pipe.recv):
                del receiver.received[:]
                await receiver.until(1)
                began = time.perf_counter()
                count = expected
                while len({each.id for each in receiver.received}) < expected:
                    count = len(await receiver.until(count, seconds=600)) + 1
                rate = (expected - 1) / (time.perf_counter() - began)
                last, early = dict[str, int](), 0
                for each in receiver.received:
                    data = each.message["data"]
                    early += data["quantity"] < last.get(data["batch_id"], 0)
                    last[data["batch_id"]] = data["quantity"]
                pipe.send((rate, early))

    uvloop.run(listen())


async def compare(url: str, figures: Figures, options: Any, meter: Meter, pipe: Connection) -> None:
    """So many rounds against a running server."""
    settings = load_settings(webhook_allow_private=True)
    db, secrets = Database(settings, url), WebhookSecrets(SECRET_KEY)
    port = await asyncio.to_thread(pipe.recv)
    async with (
        a_receiver() as hanging,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as pg,
    ):
        hanging.answer = lambda _: None
        for number in range(options.rounds):
            print(f"webhooks, round {number + 1} of {options.rounds}", flush=True)
            await pg.execute("DELETE FROM webhook_deliveries")
            await pg.execute("DELETE FROM webhook_endpoints")
            await pg.execute("VACUUM ANALYZE webhook_deliveries, webhook_attempts, partner_events")
            made = []
            for to in (hanging.url, f"http://127.0.0.1:{port}/"):
                async with db.transaction() as tx:
                    where = EndpointSettings(to, [], "")
                    made.append(
                        await endpoints.create(tx, secrets, PARTNER, where, now=clock.now())
                    )
            pipe.send(True)
            with meter.of(figures, NAME, EVENTS):
                await _record(db, number)
                rate, early = await asyncio.to_thread(pipe.recv)
                await _written(pg, made[1][0].endpoint_id)
            figures.add(NAME, rate, "deliveries/s")
            figures.add(ORDERED, early, "deliveries")
    pipe.send(False)
    await db.close()


async def _written(pg: psycopg.AsyncConnection[Any], endpoint_id: UUID) -> None:
    """Waits until all deliveries to an endpoint are written down."""
    for _ in range(600):
        found = await (await pg.execute(_WRITTEN, (EVENTS, endpoint_id))).fetchone()
        if found and found[0]:
            return
        await asyncio.sleep(0.1)
    raise RuntimeError("deliveries that came are not written down")


async def _record(db: Database, number: int) -> None:
    """All events, in one transaction; those that are the second of their ticket later."""
    tickets = EVENTS * 3 // 4
    async with db.transaction() as tx:
        for first in range(0, EVENTS, RECORDED_AT_ONCE):
            made = [
                _event(f"{number}-{each % tickets}", 1 + each // tickets)
                for each in range(first, first + RECORDED_AT_ONCE)
            ]
            await run(tx, events.record(*made, now=clock.now()))


def _event(subject: str, place: int) -> PartnerEvent:
    return PartnerEvent(PARTNER, BATCH_GENERATED, subject, {"batch_id": subject, "quantity": place})


def measure(services: EmbeddedServices, figures: Figures, options: Any) -> None:
    """Starts a server over a database of its own, and measures."""
    databases.execute(services.database_url, f"CREATE DATABASE {DATABASE}")
    url = databases.renamed(services.database_url, DATABASE)
    migrate(url)
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=receive, args=(theirs, EVENTS))
    process.start()
    with (
        TemporaryDirectory() as folder,
        gate_process(url, services.redis_url, Path(folder), settings=_SETTINGS) as server,
    ):
        meter = Meter(server.process.pid, options.postgres)
        uvloop.run(compare(url, figures, options, meter, ours))
    process.join()
