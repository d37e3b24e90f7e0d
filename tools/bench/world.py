"""What `tools.bench.pairs` measures a build over: its own PostgreSQL and Valkey, tickets and orders
to be, and prepared requests.

    python -m tools.bench.world FOLDER TICKETS ORDERS BURSTS

It runs with the code of the build that is measured, writes FOLDER/world.json and the requests
(FOLDER/<name>.requests), prints `ready`, and stays until standard input ends.
"""

import itertools
import json
import struct
import sys
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import grpc
import orjson
import uvloop
from deeptravel.ota.v1 import ota_service_pb2_grpc
from deeptravel.redemption.v1 import access_pb2, redemption_pb2, redemption_service_pb2_grpc
from deeptravel.ticketing.v1 import order_pb2

from server.operations.schema import migrate
from tests.support import databases
from tests.support.rpc_server import SECRET_KEY
from tests.support.server_process import ServerProcess
from tests.support.traveller import FIRST, SECOND, TravellerClient, a_world, party
from tools.bench import redemption, searching
from tools.bench.figures import Figures
from tools.dev.embedded.services import EmbeddedServices

SPREAD_DEPARTURES = 40
SEARCHES = 20_000
SEATS, SEATS_OF_ALL = 5_000, 1_000_000
BURST_ORDERS, BURST_SEATS = 10_000, 5_000
Prepared = Iterable[tuple[str, bytes]]
"""Requests: the value of `authorization`, and the message."""


def write(path: Path, requests: Prepared) -> None:
    """A file that tools/bench/load reads."""
    with path.open("wb") as file:
        for authorization, message in requests:
            for part in (authorization.encode(), message):
                file.write(struct.pack("<I", len(part)) + part)


async def tickets(server: ServerProcess, folder: Path, count: int) -> None:
    """Looks, redemptions and scans of tickets that nobody has seen yet, in the same order."""
    credentials = server.credentials
    terminal = credentials["terminal_device_id"]
    async with grpc.aio.insecure_channel(server.target) as channel:
        await redemption.allot(channel, credentials)
        key = (("x-api-key", credentials["partner_api_key"]),)
        ota = ota_service_pb2_grpc.OtaServiceStub(channel)
        redemption.BATCH = min(count, redemption.BATCH)
        made = await redemption.make_tickets(ota, key, Figures(), count)
        login = await redemption_service_pb2_grpc.RedemptionServiceStub(channel).OperatorLogin(
            access_pb2.OperatorLoginRequest(**credentials["operator"], terminal_device_id=terminal)
        )
    bearer = f"Bearer {login.access_token}"
    scans = [
        redemption_pb2.RedeemRequest(
            qr_token=token,
            function_code="ferry",
            terminal_device_id=terminal,
            request_id=f"ferry-{token[3:35]}",
        )
        for token in made.take(count)
    ]
    looks = [redemption_pb2.DecryptQrRequest(encrypted_data=scan.qr_token) for scan in scans]
    streamed = [
        redemption_pb2.ScanStreamRequest(scan_id=str(number), scan=scan)
        for number, scan in enumerate(scans)
    ]
    for name, messages in (("redeem", scans), ("look", looks), ("stream", streamed)):
        requests = ((bearer, message.SerializeToString()) for message in messages)
        write(folder / f"{name}.requests", requests)
    in_json = ((bearer, orjson.dumps(_json(scan))) for scan in scans)
    write(folder / "scan-json.requests", in_json)


def _json(scan: redemption_pb2.RedeemRequest) -> dict[str, str]:
    return {field.name: value for field, value in scan.ListFields()}


async def orders(url: str, folder: Path, count: int, bursts: int) -> None:
    """Orders of two by travellers who order once: all on one departure, and over forty; of one for
    half as many seats as there are orders, on a departure for each burst.
    """
    async with (
        a_world(url, seats=SEATS, departures=1 + SPREAD_DEPARTURES + bursts) as world,
        grpc.aio.insecure_channel("127.0.0.1:1") as nowhere,
    ):
        await world.sql("UPDATE stocks SET total = %s WHERE fare_class = 'SECOND'", SEATS_OF_ALL)
        spread = [2 + number for number in range(SPREAD_DEPARTURES)]
        numbers = itertools.count(1)

        def prepared(offers: Sequence[str], many: int, size: int) -> Iterator[tuple[str, bytes]]:
            for place, number in zip(range(many), numbers, strict=False):
                traveller = TravellerClient.of(nowhere, number)
                order = order_pb2.CreateOrderRequest(
                    request_id=f"bench-{number}",
                    items=[order_pb2.OrderItem(offer_id=offers[place % len(offers)])],
                    passengers=party(size),
                )
                yield traveller.metadata[0][1], order.SerializeToString()

        one = [world.seat(1, SECOND)]
        write(folder / "order-hot.requests", prepared(one, count, 2))
        over_many = [world.seat(departure, FIRST) for departure in spread]
        write(folder / "order-spread.requests", prepared(over_many, count, 2))
        in_bursts: list[tuple[str, bytes]] = []
        for departure in range(spread[-1] + 1, spread[-1] + 1 + bursts):
            await world.sql(
                "UPDATE stocks SET total = %s WHERE stock_id = %s",
                BURST_SEATS,
                world.stock_id(departure, SECOND),
            )
            in_bursts += prepared([world.seat(departure, SECOND)], BURST_ORDERS, 1)
        write(folder / "order-burst.requests", in_bursts)


def main(folder: Path, ticket_count: int, order_count: int, bursts: int) -> None:
    """Makes it, with so many tickets, orders to be of each kind and bursts of orders, and stays."""
    services = EmbeddedServices.start(folder / "data")
    try:
        settings = {
            "DEEPTRAVEL_REDIS_URL": services.redis_url,
            "DEEPTRAVEL_SECRET_KEY": b64encode(SECRET_KEY).decode(),
            "DEEPTRAVEL_ACCESS_TOKEN_SECONDS": "36000",
            "DEEPTRAVEL_LOG_FORMAT": "json",
            "DEEPTRAVEL_MAX_CALLS_PER_ADDRESS": "0",  # all callers have one
        }
        gates = settings | {"DEEPTRAVEL_DATABASE_URL": services.database_url}
        demo = gates | {"DEEPTRAVEL_DEMO_DATA": "true"}
        with ServerProcess(data_dir=folder / "demo", env=demo) as server:
            uvloop.run(tickets(server, folder, ticket_count))
        url = databases.renamed(services.database_url, "bench_travellers")
        databases.execute(services.database_url, "CREATE DATABASE bench_travellers")
        migrate(url)
        uvloop.run(orders(url, folder, order_count, bursts))
        searches = searching.searches(SEARCHES)
        write(folder / "search.requests", (("", each.SerializeToString()) for each in searches))
        postmaster = (folder / "data" / "postgres" / "postmaster.pid").read_text()
        world = {
            "postgres": int(postmaster.split()[0]),
            "gates": gates,
            "travellers": settings | {"DEEPTRAVEL_DATABASE_URL": url},
        }
        (folder / "world.json").write_text(json.dumps(world, indent=1))
        print("ready", flush=True)
        sys.stdin.read()
    finally:
        services.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
