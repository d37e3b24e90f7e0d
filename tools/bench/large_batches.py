"""What one partner's large batches cost others: their calls alone and beside six of 50,000.

Partner HK, a gate and travellers (DIRECT) make small calls at a steady pace. Alone and beside are
measured one after the other in each round, for as long as each other, so that what else the machine
does meets both;
`beside / alone` is the ratio of two such p95. How long the event loop was held says a health check,
which needs no database; the driver's own loop, measured likewise, says how much of that is the
machine's.
"""

import asyncio
import itertools
import os
import random
import tempfile
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import uvloop
from deeptravel.admin.v1 import account_pb2, admin_service_pb2_grpc, allotment_pb2, partner_pb2
from deeptravel.ota.v1 import ota_service_pb2, ota_service_pb2_grpc
from deeptravel.redemption.v1 import access_pb2, redemption_pb2, redemption_service_pb2_grpc
from deeptravel.ticketing.v1 import order_pb2
from deeptravel.tickets.v1 import ticket_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from server.audit.rules import DIRECT_CHANNEL
from server.operations.schema import migrate
from tests.support import databases
from tests.support.rpc_server import SECRET_KEY
from tests.support.server_process import ServerProcess
from tests.support.traveller import TravellerClient, party
from tools.bench import searching
from tools.bench.figures import Figures, percentile
from tools.bench.redemption import FARE_MINOR, PRODUCT, admitted
from tools.dev.demo_catalog import ZONE
from tools.dev.embedded.services import EmbeddedServices

DATABASE = "bench_large_batches"
BATCHES = 6
BATCH = 50_000
SMALL_BATCH = 10
PAGE = 50
LARGE_PAGE = 200
PAGES = 40
"""Of each kind, at the end."""
PAUSE_SECONDS = 0.06
"""Between two calls of a kind, on average: alone they leave the server more than half of its
time."""
PROBE_SECONDS = 0.01
ALONE_SECONDS = 10
WARM_UP_SECONDS = 3
TARGETS = {
    "beside / alone, p95, BulkGenerateTickets of 10": ("<=", 2),
    "beside / alone, p95, ActivateTickets of 10": ("<=", 2),
    "beside / alone, p95, ListTickets of 50": ("<=", 2),
    "beside / alone, p95, Redeem": ("<=", 2),
    "beside / alone, p95, CreateOrder of a traveller": ("<=", 2),
    "beside / alone, p95, SearchOffers": ("<=", 2),
    "pages of 200, p95": ("<=", 30),
}
"""What the figures are to reach, at most."""

Metadata = tuple[tuple[str, str], ...]
Latencies = dict[str, list[float]]

_numbers = itertools.count(1)


def request_id() -> str:
    """One that was not used before."""
    return f"bench-{next(_numbers)}"


class Callers:
    """Partner CP, which makes large batches; partner HK, a gate and travellers, who make small
    calls.
    """

    def __init__(self, channel: grpc.aio.Channel, large: Metadata, small: Metadata) -> None:
        self._ota: Any = ota_service_pb2_grpc.OtaServiceStub(channel)
        self._gate: Any = redemption_service_pb2_grpc.RedemptionServiceStub(channel)
        self._health: Any = health_pb2_grpc.HealthStub(channel)
        self._channel = channel
        self._searches = itertools.cycle(searching.searches(500))
        self._large, self._small = large, small
        self._terminal = ""
        self._login: Metadata = ()
        self._codes: list[str] = []
        self._tokens: list[str] = []

    async def log_in(self, credentials: dict[str, Any]) -> None:
        """Opens the gate."""
        self._terminal = credentials["terminal_device_id"]
        request = access_pb2.OperatorLoginRequest(
            **credentials["operator"], terminal_device_id=self._terminal
        )
        tokens = await self._gate.OperatorLogin(request)
        self._login = (("authorization", f"Bearer {tokens.access_token}"),)

    async def stock_up(self) -> None:
        """Makes tickets to activate and to scan, which is not measured."""
        while len(self._codes) < 8_000:
            request = ota_service_pb2.BulkGenerateTicketsRequest(
                product_id=PRODUCT, quantity=200, request_id=request_id()
            )
            batch = await self._ota.BulkGenerateTickets(request, metadata=self._small)
            self._codes += [ticket.ticket_code for ticket in batch.tickets]
        while len(self._tokens) < 2_000:
            request = ota_service_pb2.BulkGenerateTicketsRequest(
                product_id=PRODUCT, quantity=1000, request_id=request_id()
            )
            request.activation.customer.name = "Bench"
            request.activation.payment.CopyFrom(_payment(1000))
            batch = await self._ota.BulkGenerateTickets(request, metadata=self._small)
            stream = self._ota.StreamBatchTickets(
                ota_service_pb2.StreamBatchTicketsRequest(batch_id=batch.batch_id, with_qr=True),
                metadata=self._small,
            )
            self._tokens += [ticket.encrypted_data async for ticket in stream]

    async def large_batch(self) -> str:
        """Partner CP makes one; gives its id."""
        request = ota_service_pb2.BulkGenerateTicketsRequest(
            product_id=PRODUCT, quantity=BATCH, request_id=request_id()
        )
        batch = await self._ota.BulkGenerateTickets(request, metadata=self._large)
        return str(batch.batch_id)

    async def make(self) -> None:
        """A small batch."""
        request = ota_service_pb2.BulkGenerateTicketsRequest(
            product_id=PRODUCT, quantity=SMALL_BATCH, request_id=request_id()
        )
        await self._ota.BulkGenerateTickets(request, metadata=self._small)

    async def activate(self) -> None:
        """Tickets that were made before, each paid on its own."""
        codes = [self._codes.pop() for _ in range(SMALL_BATCH)]
        request = ota_service_pb2.ActivateTicketsRequest(
            request_id=request_id(),
            activations=[
                ota_service_pb2.TicketActivation(
                    ticket_code=code,
                    customer=ticket_pb2.CustomerInfo(name="Bench"),
                    payment=_payment(1),
                )
                for code in codes
            ],
        )
        answer = await self._ota.ActivateTickets(request, metadata=self._small)
        if not all(verdict.activated for verdict in answer.verdicts):
            raise RuntimeError(f"not activated: {answer}")

    async def page(self) -> None:
        """The first page of partner HK's tickets."""
        request = ota_service_pb2.ListTicketsRequest(page_size=PAGE)
        await self._ota.ListTickets(request, metadata=self._small)

    async def redeem(self) -> None:
        """A ticket that was not seen before."""
        request = redemption_pb2.RedeemRequest(
            qr_token=self._tokens.pop(),
            function_code="ferry",
            terminal_device_id=self._terminal,
            request_id=request_id(),
        )
        admitted(await self._gate.Redeem(request, metadata=self._login))

    async def order(self) -> None:
        """A traveller who has not ordered before, and the stock of our own channel."""
        day = datetime.now(ZONE).date() + timedelta(days=3)
        client = TravellerClient.of(self._channel, next(_numbers))
        request = order_pb2.CreateOrderRequest(
            request_id=request_id(),
            items=[order_pb2.OrderItem(offer_id=f"PK-{PRODUCT}-{day:%Y%m%d}")],
            passengers=party(1),
        )
        await client.call("CreateOrder", request)

    async def search(self) -> None:
        """Trains and ferries of a day."""
        client = TravellerClient.of(self._channel, 1)
        await client.call("SearchOffers", next(self._searches))

    async def health(self) -> None:
        """Answered by the event loop alone."""
        await self._health.Check(health_pb2.HealthCheckRequest())

    async def pages(self, kind: str, **wanted: Any) -> list[float]:
        """Milliseconds of PAGES pages of LARGE_PAGE of partner CP's tickets, one behind the
        other.
        """
        latencies: list[float] = []
        batch = kind == "ListBatchTickets"
        request_type: Any = (
            ota_service_pb2.ListBatchTicketsRequest if batch else ota_service_pb2.ListTicketsRequest
        )
        token = ""
        for _ in range(PAGES):
            request = request_type(page_size=LARGE_PAGE, page_token=token, **wanted)
            began = time.perf_counter()
            answer = await getattr(self._ota, kind)(request, metadata=self._large)
            latencies.append((time.perf_counter() - began) * 1000)
            token = answer.next_page_token
            if not token:
                break
        return latencies


def _payment(tickets: int) -> ticket_pb2.PaymentProof:
    return ticket_pb2.PaymentProof(
        reference=request_id(), amount_minor=tickets * FARE_MINOR, currency_code="CNY"
    )


async def small_calls(callers: Callers, until: Callable[[], bool]) -> Latencies:
    """Milliseconds of small calls of all kinds, each one after the other with a pause, until it is
    time.
    """
    calls = {
        "BulkGenerateTickets of 10": callers.make,
        "ActivateTickets of 10": callers.activate,
        "ListTickets of 50": callers.page,
        "Redeem": callers.redeem,
        "CreateOrder of a traveller": callers.order,
        "SearchOffers": callers.search,
    }
    latencies: Latencies = {}

    async def repeat(name: str, call: Callable[[], Awaitable[None]], pause: float) -> None:
        latencies[name] = []
        while not until():
            began = time.perf_counter()
            await call()
            latencies[name].append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311

    async def nothing() -> None:
        await asyncio.sleep(0.001)

    await asyncio.gather(
        repeat("health check", callers.health, PROBE_SECONDS),
        repeat("driver's own millisecond", nothing, PROBE_SECONDS),
        *(repeat(name, call, PAUSE_SECONDS) for name, call in calls.items()),
    )
    return latencies


async def alone(callers: Callers, seconds: float) -> Latencies:
    """Small calls for so long."""
    end = time.perf_counter() + seconds
    return await small_calls(callers, lambda: time.perf_counter() > end)


async def beside(callers: Callers, figures: Figures) -> Latencies:
    """Small calls until partner CP's batches are made."""
    began = time.perf_counter()
    batches = [asyncio.ensure_future(callers.large_batch()) for _ in range(BATCHES)]
    latencies = await small_calls(callers, lambda: all(batch.done() for batch in batches))
    await asyncio.gather(*batches)
    figures.add("six batches of 50,000", time.perf_counter() - began, "s")
    return latencies


async def compare(callers: Callers, figures: Figures, *, is_beside_first: bool) -> None:
    """One round: beside the batches until they are made, and alone for a while."""
    phases: dict[str, Latencies] = {}
    for phase in ("beside", "alone") if is_beside_first else ("alone", "beside"):
        await callers.stock_up()
        figures.add(f"load average, {phase}", os.getloadavg()[0], "processes")
        measured = beside(callers, figures) if phase == "beside" else alone(callers, ALONE_SECONDS)
        phases[phase] = await measured
    for name in phases["beside"]:
        p95 = {}
        for phase, latencies in phases.items():
            p95[phase] = percentile(latencies[name], 0.95)
            figures.add(f"{name}, {phase}, p50", percentile(latencies[name], 0.5), "ms")
            figures.add(f"{name}, {phase}, p95", p95[phase], "ms")
            figures.add(f"{name}, {phase}, longest", max(latencies[name]), "ms")
        figures.add(f"beside / alone, p95, {name}", p95["beside"] / p95["alone"], "times")


async def pages(callers: Callers, figures: Figures) -> None:
    """Pages of all tickets, of a batch with and without QR texts, and by state."""
    batch_id = await callers.large_batch()
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "all": ("ListTickets", {}),
        "a batch": ("ListTickets", {"batch_id": batch_id}),
        "a state": ("ListTickets", {"status": ticket_pb2.TICKET_STATE_PRE_GENERATED}),
        "a state that none has": ("ListTickets", {"status": ticket_pb2.TICKET_STATE_USED}),
        "QR texts of a batch": ("ListBatchTickets", {"batch_id": batch_id, "with_qr": True}),
    }
    together: list[float] = []
    for name, (method, wanted) in kinds.items():
        latencies = await callers.pages(method, **wanted)
        together += latencies
        figures.add(f"pages of 200, {name}, p50", percentile(latencies, 0.5), "ms")
        figures.add(f"pages of 200, {name}, p95", percentile(latencies, 0.95), "ms")
    figures.add("pages of 200, p95", percentile(together, 0.95), "ms")


async def run(server: ServerProcess, figures: Figures, options: Any) -> None:
    """All of it, against a running server."""
    credentials = server.credentials
    async with grpc.aio.insecure_channel(server.target) as channel:
        await open_doors(channel, credentials)
        large, small = (
            (("x-api-key", credentials[key]),)
            for key in ("partner_api_key", "other_partner_api_key")
        )
        callers = Callers(channel, large, small)
        await callers.log_in(credentials)
        await callers.stock_up()
        await alone(callers, WARM_UP_SECONDS)
        for number in range(options.rounds):
            print(f"large batches, round {number + 1} of {options.rounds}", flush=True)
            await compare(callers, figures, is_beside_first=number % 2 == 0)
        await pages(callers, figures)


async def open_doors(channel: grpc.aio.Channel, credentials: dict[str, Any]) -> None:
    """Gives all channels enough stock, and both partners as many calls as there may be."""
    admin: Any = admin_service_pb2_grpc.AdminServiceStub(channel)
    login = await admin.AdminLogin(account_pb2.AdminLoginRequest(**credentials["admin"]))
    metadata = (("authorization", f"Bearer {login.access_token}"),)
    for channel_code in ("CP", "HK", DIRECT_CHANNEL):
        stock = allotment_pb2.UpdateAllotmentRequest(
            product_id=PRODUCT, channel=channel_code, total=100_000_000, request_id=request_id()
        )
        stock.update_mask.paths.append("total")
        await admin.UpdateAllotment(stock, metadata=metadata)
    for partner_code in ("CP", "HK"):
        calls = partner_pb2.UpdatePartnerRequest(
            partner_code=partner_code, requests_per_minute=1_000_000, request_id=request_id()
        )
        calls.update_mask.paths.append("requests_per_minute")
        await admin.UpdatePartner(calls, metadata=metadata)


def environment_of(database_url: str, redis_url: str) -> dict[str, str]:
    """The settings of a server with demo data."""
    return {
        "DEEPTRAVEL_DATABASE_URL": database_url,
        "DEEPTRAVEL_REDIS_URL": redis_url,
        "DEEPTRAVEL_MAX_CALLS_PER_ADDRESS": "0",  # all callers have one
        "DEEPTRAVEL_SECRET_KEY": b64encode(SECRET_KEY).decode(),
        "DEEPTRAVEL_DEMO_DATA": "true",
        "DEEPTRAVEL_ACCESS_TOKEN_SECONDS": "36000",
    }


def measure(services: EmbeddedServices, figures: Figures, options: Any) -> None:
    """Starts a server with demo data over a database of its own, and measures."""
    databases.execute(services.database_url, f"CREATE DATABASE {DATABASE}")
    url = databases.renamed(services.database_url, DATABASE)
    migrate(url)
    environment = environment_of(url, services.redis_url)
    with (
        tempfile.TemporaryDirectory() as folder,
        ServerProcess(data_dir=Path(folder), env=environment) as server,
    ):
        uvloop.run(run(server, figures, options))
