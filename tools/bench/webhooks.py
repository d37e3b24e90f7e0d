"""Webhooks to a partner's endpoint while another endpoint hangs: deliveries a second.

    python -m tools.bench.webhooks --events 4000

Recorded, numbered, sent, answered and written down, by one process over a PostgreSQL of its own;
the receiver is a process beside it. The endpoint that hangs gets the same events, and answers none.
"""

import argparse
import asyncio
import multiprocessing
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import uvloop

from server.operations.schema import migrate
from server.platform import clock
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.statements import run
from server.webhooks import endpoints, events
from server.webhooks.dispatching import Dispatcher
from server.webhooks.endpoints import EndpointSettings
from server.webhooks.events import PartnerEvent
from server.webhooks.rules import BATCH_GENERATED
from server.webhooks.sequencing import Sequencer
from server.webhooks.webhook_secrets import WebhookSecrets
from tests.support import databases
from tests.support.receiver import a_receiver
from tools.dev.embedded.services import EmbeddedServices

DATABASE = "bench_webhooks"
SECRET_KEY = bytes(32)
PARTNER = 1


def receive(pipe: Connection, expected: int) -> None:
    """The healthy receiver's process: says its port, and how long the deliveries took."""

    async def listen() -> None:
        async with a_receiver() as receiver:
            pipe.send(receiver.port)
            await receiver.until(1)
            began = time.perf_counter()
            count = expected
            while len({each.id for each in receiver.received}) < expected:
                count = len(await receiver.until(count)) + 1
            pipe.send((expected - 1) / (time.perf_counter() - began))

    asyncio.run(listen())


async def measure(url: str, count: int) -> None:
    """Prints deliveries a second to the healthy endpoint."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=receive, args=(theirs, count))
    process.start()
    settings = load_settings(webhook_allow_private=True)
    db, secrets = Database(settings, url), WebhookSecrets(SECRET_KEY)
    async with a_receiver() as hanging:
        hanging.answer = lambda _: None
        port = await asyncio.to_thread(ours.recv)
        for to in (hanging.url, f"http://127.0.0.1:{port}/"):
            async with db.transaction() as tx:
                where = EndpointSettings(to, [], "")
                await endpoints.create(tx, secrets, PARTNER, where, now=clock.now())
        sequencer, dispatcher = Sequencer(db), Dispatcher(db, secrets, settings)
        dispatcher.start()
        for first in range(0, count, 500):
            numbers = range(first, min(first + 500, count))
            made = [_event(f"b-{number}") for number in numbers]
            async with db.transaction() as tx:
                await run(tx, events.record(*made, now=clock.now()))
        cpu = time.process_time()
        sequencer.start()
        rate = await asyncio.to_thread(ours.recv)
        cpu_ms = (time.process_time() - cpu) * 1000 / count
        print(f"webhooks beside an endpoint that hangs{rate:>12,.0f} deliveries/s", flush=True)
        print(f"CPU of the sender, all included{cpu_ms:>19.2f} ms a delivery", flush=True)
        await sequencer.stop()
        await dispatcher.stop()
    await db.close()
    process.join()


def _event(subject: str) -> PartnerEvent:
    return PartnerEvent(PARTNER, BATCH_GENERATED, subject, {"batch_id": subject, "quantity": 1})


def main() -> None:
    """Starts a PostgreSQL, and measures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=4000, help="recorded at once")
    options: Any = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        services = EmbeddedServices.start(Path(folder))
        try:
            databases.execute(services.database_url, f"CREATE DATABASE {DATABASE}")
            url = databases.renamed(services.database_url, DATABASE)
            migrate(url)
            uvloop.run(measure(url, options.events))
        finally:
            services.stop()


if __name__ == "__main__":
    main()
