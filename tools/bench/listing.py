"""Pages and exports of a partner's tickets, where it has a million.

Pages of 200 under each kind of filter, at places by chance over the whole list: their tokens are
made here, as the server would make them, so that a deep page need not be walked to. Exports are
read whole, over gRPC and HTTP, while the server's memory is watched.
"""

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import grpc
import httpx2
import psutil
import uvloop
from deeptravel.ota.v1 import (
    distributor_pb2,
    export_pb2,
    ota_service_pb2,
    ota_service_pb2_grpc,
)
from deeptravel.tickets.v1 import ticket_pb2

from server.api.admission import Origin
from server.api.calls import Call, current_call
from server.api.paging import PageTokens
from server.identity.callers import Partner
from server.operations.schema import migrate
from server.platform.config import load_settings
from tests.support import databases
from tests.support.rpc_server import SECRET_KEY
from tests.support.server_process import ServerProcess
from tools.bench import many_tickets
from tools.bench.figures import Figures, percentile
from tools.bench.large_batches import Metadata, environment_of, open_doors, request_id
from tools.bench.metering import Meter
from tools.bench.redemption import FARE_MINOR, PRODUCT
from tools.dev.embedded.services import EmbeddedServices

DATABASE = "bench_listing"
TICKETS = 1_000_000
BATCH = 1_000
PAGE = 200
PLACES = 60
"""Pages of each kind, in each round."""
LINE = ("AGENCY", "SHOP")
"""Distributors, the second below the first; one of six batches is sold through both."""
SELDOM = "SELDOM"
"""A distributor that sells one batch of a thousand."""
MEMORY_SECONDS = 0.1
GRPC_OPTIONS = [("grpc.max_receive_message_length", 16 << 20)]
TARGETS = {
    "pages of 200 of a million, all kinds, p95": ("<=", 30),
    "export of a million, messages over gRPC": (">=", 30_000),
    "export of a million, CSV over gRPC": (">=", 30_000),
    "export of a million, CSV over HTTP": (">=", 30_000),
    "export of a million, JSON lines over HTTP": (">=", 30_000),
    "memory that exports of a million take": ("<=", 30),
}
"""What the figures are to reach."""


class Listing:
    """The partner that has a million tickets; `copies` are (number, first ticket, batch id)."""

    def __init__(self, server: ServerProcess, channel: grpc.aio.Channel) -> None:
        self._ota: Any = ota_service_pb2_grpc.OtaServiceStub(channel)
        self._key = server.credentials["partner_api_key"]
        self._url = server.url
        self._tokens = PageTokens(SECRET_KEY)
        self.copies: Sequence[Any] = []
        call = Call("ListTickets", "", {}, Origin("", of_gateway=False))
        call.caller = Partner(1, "CP", 0)
        current_call.set(call)  # whom page tokens are bound to

    @property
    def _metadata(self) -> Metadata:
        return (("x-api-key", self._key),)

    async def fill(self, url: str) -> None:
        """Makes the tickets."""
        for distributor_id, parent in ((LINE[0], ""), (LINE[1], LINE[0]), (SELDOM, "")):
            request = distributor_pb2.CreateDistributorRequest(
                distributor_id=distributor_id,
                parent_distributor_id=parent,
                display_name=distributor_id,
                commission_basis_points=500,
                request_id=request_id(),
            )
            await self._ota.CreateDistributor(request, metadata=self._metadata)
        kinds = [await self._batch() for _ in range(4)]
        kinds += [await self._batch(distributor_id=LINE[1]), await self._batch(is_sold=True)]
        today = datetime.now(load_settings().zone).date()
        until = many_tickets.yesterday(today)
        self.copies = await asyncio.to_thread(many_tickets.copy, url, kinds, TICKETS, until=until)
        seldom = await self._batch(distributor_id=SELDOM)
        assert seldom

    async def _batch(self, *, distributor_id: str = "", is_sold: bool = False) -> str:
        request = ota_service_pb2.BulkGenerateTicketsRequest(
            product_id=PRODUCT,
            quantity=BATCH,
            distributor_id=distributor_id,
            request_id=request_id(),
        )
        if is_sold:
            request.activation.customer.name = "Bench"
            request.activation.payment.reference = request_id()
            request.activation.payment.amount_minor = BATCH * FARE_MINOR
            request.activation.payment.currency_code = "CNY"
        made = await self._ota.BulkGenerateTickets(request, metadata=self._metadata)
        return str(made.batch_id)

    def _wanted(self) -> dict[str, dict[str, Any]]:
        state = ticket_pb2.TicketState
        middle = self.copies[len(self.copies) // 2]
        now = datetime.now(load_settings().zone)
        return {
            "all": {},
            "all, with lines of sale": {"with_lines_of_sale": True},
            "a batch": {"batch_id": middle[2]},
            "a distributor": {"distributor_id": LINE[0]},
            "a distributor with one batch": {"distributor_id": SELDOM},
            "a state that one in ten has": {"status": state.TICKET_STATE_VOIDED},
            "a state that one batch in six has": {"status": state.TICKET_STATE_ACTIVE},
            "a state that none has": {"status": state.TICKET_STATE_USED},
            "a state of a distributor": {
                "status": state.TICKET_STATE_VOIDED,
                "distributor_id": LINE[1],
            },
            "a week": {
                "create_time_from": now - timedelta(days=20),
                "create_time_until": now - timedelta(days=13),
            },
            "a product": {"product_id": PRODUCT},
        }

    async def pages(self, figures: Figures, meter: Meter, chance: random.Random) -> None:
        """Pages of each kind at places by chance, the kinds in turn, so that what else the machine
        does meets all; and the first of each.
        """
        wanted = self._wanted()
        found: dict[str, list[float]] = {kind: [] for kind in wanted}
        tickets = 0
        with meter.of(figures, "pages of 200 of a million, all kinds, p95", PLACES * len(wanted)):
            for place in range(PLACES):
                for kind, filters in wanted.items():
                    request = ota_service_pb2.ListTicketsRequest(page_size=PAGE, **filters)
                    if place:
                        request.page_token = self._token(request, chance)
                    began = time.perf_counter()
                    answer = await self._ota.ListTickets(request, metadata=self._metadata)
                    found[kind].append((time.perf_counter() - began) * 1000)
                    tickets += len(answer.tickets)
        if tickets < PLACES * PAGE:
            raise RuntimeError(f"only {tickets} tickets on all pages")
        for kind, latencies in found.items():
            figures.add(f"pages of 200 of a million, {kind}, p50", percentile(latencies, 0.5), "ms")
            figures.add(
                f"pages of 200 of a million, {kind}, p95", percentile(latencies, 0.95), "ms"
            )
        together = [each for latencies in found.values() for each in latencies]
        figures.add("pages of 200 of a million, all kinds, p95", percentile(together, 0.95), "ms")

    def _token(self, request: Any, chance: random.Random) -> str:
        """Of a page somewhere: after a ticket of the batch, or of any."""
        copies = self.copies
        if request.batch_id:
            copies = [each for each in copies if each[2] == request.batch_id]
        after = chance.choice(copies)[1] + chance.randrange(BATCH)
        return self._tokens.encode(request, [after])

    async def exports(self, server: ServerProcess, figures: Figures, meter: Meter) -> None:
        """All tickets, each way, with the memory that the server takes meanwhile."""
        ways: dict[str, Callable[[], Awaitable[int]]] = {
            "messages over gRPC": self._messages,
            "CSV over gRPC": self._file,
            "CSV over HTTP": lambda: self._download("csv"),
            "JSON lines over HTTP": lambda: self._download("jsonl"),
        }
        with Memory(server) as memory:
            for way, read in ways.items():
                name = f"export of a million, {way}"
                began = time.perf_counter()
                with meter.of(figures, name, TICKETS):
                    count = await read()
                if count < TICKETS:
                    raise RuntimeError(f"{way}: only {count} tickets")
                figures.add(name, count / (time.perf_counter() - began), "tickets/s")
        figures.add("memory that exports of a million take", memory.grown, "MiB")

    async def _messages(self) -> int:
        request = export_pb2.ExportTicketsRequest()
        stream = self._ota.ExportTickets(request, metadata=self._metadata)
        return sum([len(part.tickets) async for part in stream])

    async def _file(self) -> int:
        request = export_pb2.ExportTicketsRequest(format=export_pb2.EXPORT_FORMAT_CSV)
        stream = self._ota.ExportTickets(request, metadata=self._metadata)
        lines: int = sum([part.file.data.count(b"\n") async for part in stream])
        return lines - 1

    async def _download(self, form: str) -> int:
        lines = 0
        async with (
            httpx2.AsyncClient(trust_env=False, timeout=600.0) as http,
            http.stream(
                "GET",
                f"{self._url}/ota/tickets:export?format={form}",
                headers={"X-Api-Key": self._key},
            ) as answer,
        ):
            async for part in answer.aiter_raw():
                lines += part.count(b"\n")
        return lines - (form == "csv")


class Memory:
    """How much a server's memory grows in the block, at the most."""

    def __init__(self, server: ServerProcess) -> None:
        self._process = psutil.Process(server.process.pid)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.grown = 0.0

    def _watch(self) -> None:
        before = self._process.memory_info().rss
        while not self._is_over.wait(MEMORY_SECONDS):
            grown = (self._process.memory_info().rss - before) / (1 << 20)
            self.grown = max(self.grown, grown)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()


async def run(server: ServerProcess, url: str, figures: Figures, options: Any) -> None:
    """All of it, against a running server."""
    async with grpc.aio.insecure_channel(server.target, GRPC_OPTIONS) as channel:
        await open_doors(channel, server.credentials)
        listing = Listing(server, channel)
        began = time.perf_counter()
        await listing.fill(url)
        print(f"a million tickets in {time.perf_counter() - began:.0f} s", flush=True)
        meter = Meter(server.process.pid, options.postgres)
        chance = random.Random()  # noqa: S311 - chooses pages
        for number in range(options.rounds):
            print(f"listing, round {number + 1} of {options.rounds}", flush=True)
            await listing.pages(figures, meter, chance)
            await listing.exports(server, figures, meter)


def measure(services: EmbeddedServices, figures: Figures, options: Any) -> None:
    """Starts a server with demo data over a database of its own, and measures."""
    databases.execute(services.database_url, f"CREATE DATABASE {DATABASE}")
    url = databases.renamed(services.database_url, DATABASE)
    migrate(url)
    with (
        TemporaryDirectory() as folder,
        ServerProcess(data_dir=Path(folder), env=environment_of(url, services.redis_url)) as server,
    ):
        uvloop.run(run(server, url, figures, options))
    databases.execute(services.database_url, f"DROP DATABASE {DATABASE} WITH (FORCE)")
