"""The stock step of CreateOrder alone: orders of two places on one stock, in sets that share a
transaction, as a batch takes them; places a second.

    python -m tools.bench.stock_step --sets 64 128 256 --rounds 20

Locked, read, decided, taken, written and committed by the functions that CreateOrder uses, over a
PostgreSQL of its own. With `--counted` also what counts for each traveller.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvloop

from server.operations.schema import migrate
from server.platform import clock
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.pipeline import PipelineConnection
from server.platform.statements import commit_with
from server.stock import taking
from server.stock.taking import Wanted
from tests.support import databases
from tests.support.traveller import SECOND, World, a_world
from tools.dev.embedded.services import EmbeddedServices

SEATS = 100_000_000
PLACES = 2
MOST_PER_TRAVELLER = 9
DATABASE = "bench_stock"


def wanted(world: World, number: int, *, is_counted: bool) -> Wanted:
    """What an order of a traveller who orders once asks for."""
    return Wanted(
        offer_id=world.seat(1, SECOND),
        product_id=1,
        stock_id=world.stock_id(1, SECOND),
        traveller_id=number,
        max_per_traveller=MOST_PER_TRAVELLER,
        passengers=range(PLACES),
        departure_id=world.departure_id(),
        is_counted=is_counted,
    )


async def take(pipeline: PipelineConnection, orders: Sequence[Wanted]) -> None:
    """One set of orders, in one transaction."""
    now = clock.now()
    async with pipeline.transaction():
        facts = await taking.read(
            pipeline,
            stock_ids={order.stock_id for order in orders},
            seated=(),
            quota_keys=[order.quota for order in orders if order.is_counted],
            documents=(),
            skip_locked=False,
        )
        for order in orders:
            seats = taking.decide([order], facts)
            taking.take(order.traveller_id, [order], seats, facts, now)
        await commit_with(pipeline, [*taking.write(facts, now=now)])


async def measure(url: str, options: Any) -> None:
    """Prints the median of each size of sets. Raises RuntimeError if a place was lost."""
    async with a_world(url, seats=10, departures=1) as world:
        await world.sql("UPDATE stocks SET total = %s WHERE fare_class = 'SECOND'", SEATS)
        db, made = Database(load_settings(), url), 0
        async with db.pipeline() as pipeline:
            for size in options.sets:
                rates = []
                for _ in range(options.rounds):
                    numbers = range(made + 1, made + size + 1)
                    made += size
                    orders = [wanted(world, n, is_counted=options.counted) for n in numbers]
                    began = time.perf_counter()
                    await take(pipeline, orders)
                    rates.append(size * PLACES / (time.perf_counter() - began))
                print(f"sets of {size:<6}{statistics.median(rates):>12,.0f} places/s", flush=True)
        await db.close()
        held = await world.value("SELECT sum(held) FROM stocks WHERE fare_class = 'SECOND'")
        if held != made * PLACES:
            raise RuntimeError(f"{held} places are held of {made * PLACES}")


def main() -> None:
    """Starts a PostgreSQL, and measures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", type=int, nargs="+", default=[64, 128, 256], help="of orders")
    parser.add_argument("--rounds", type=int, default=20, help="samples of each")
    parser.add_argument("--counted", action="store_true", help="for each traveller, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        services = EmbeddedServices.start(Path(folder))
        try:
            databases.execute(services.database_url, f"CREATE DATABASE {DATABASE}")
            url = databases.renamed(services.database_url, DATABASE)
            migrate(url)
            uvloop.run(measure(url, options))
        finally:
            services.stop()


if __name__ == "__main__":
    main()
