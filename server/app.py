"""The composition root: what the server is made of, in which order it starts, and how it stops."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, NamedTuple, Self

import grpc
import structlog
from deeptravel.admin.v1 import admin_service_pb2, admin_service_pb2_grpc
from deeptravel.common.v1 import errors_pb2  # noqa: F401 - reflection describes what is loaded
from deeptravel.ota.v1 import ota_service_pb2, ota_service_pb2_grpc
from deeptravel.redemption.v1 import redemption_service_pb2, redemption_service_pb2_grpc
from deeptravel.ticketing.v1 import ticketing_service_pb2, ticketing_service_pb2_grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy import event

from server.aftersales import tasks as aftersales_tasks
from server.api import interceptor, operations, paging, reflection
from server.api import repeats as repeats_module
from server.api.admin.servicer import AdminServicer
from server.api.admission import Admission
from server.api.grpc_server import age_options, server_options, trace_ids, tracing
from server.api.health import Health
from server.api.http import ctrip_ttd
from server.api.http.application import Door, gateway
from server.api.http.channel_feed import ChannelFeedDoor
from server.api.http.serving import HttpServer
from server.api.octo.application import Octo, OctoDomain
from server.api.ota.servicer import OtaDomain, OtaServicer
from server.api.ota.servicer_sandbox import SimulatedTerminals
from server.api.ota.simulation import Simulation
from server.api.redemption.messages import answer_message
from server.api.redemption.servicer import RedemptionServicer
from server.api.shares import CallShares
from server.api.ticketing.servicer import TicketingServicer
from server.api.tls import Certificates
from server.api.transport.choice import new_server
from server.api.transport.in_process import InProcessServer
from server.audit import tasks as audit_tasks
from server.audit import trail
from server.audit.chain_keys import ChainKeys
from server.audit.chaining import AuditSequencer
from server.audit.job_control import JobTable
from server.audit.job_trail import note_run
from server.catalog import tasks as catalog_tasks
from server.channels import tasks as channel_tasks
from server.channels.connecting import ChannelClients
from server.channels.drifting import DriftDetector
from server.domain import (
    Channels,
    Domain,
    Platform,
    reservation_terms,
    start_channels,
    start_domain,
    start_scheduled_versions,
)
from server.identity import tasks as identity_tasks
from server.notifications import tasks as notification_tasks
from server.orders import search_terms
from server.orders import tasks as order_tasks
from server.orders.watch import Watcher
from server.partners import sandbox_clock
from server.partners import tasks as partner_tasks
from server.partners.booking_content import PartnerBookingSeals
from server.partners.bookings import Booker
from server.partners.ledger import posted_sequence
from server.payments import tasks as payment_tasks
from server.platform import ports
from server.platform import tasks as platform_tasks
from server.platform.change_feed import ChangeFeed, ChangeListener
from server.platform.config import ConfigError, Settings
from server.platform.database import Database
from server.platform.due_check import DueCheck
from server.platform.errors import StartError
from server.platform.lifecycle import at_stop, start_part
from server.platform.loops import Loops
from server.platform.metrics import POOL, exposition
from server.platform.presence import Presence
from server.platform.proxies import is_loopback
from server.platform.ratelimit import RateLimiter
from server.platform.schedule import Job, Jobs
from server.platform.task_worker import TaskKind, TaskWorker
from server.redemption import tasks as redemption_tasks
from server.reports import tasks as report_tasks
from server.reports.state_counts import StateMetrics
from server.search.cache import Cache
from server.webhooks import tasks as webhook_tasks
from server.wechat.client import WechatClient

QUIET_SECONDS = 0.1
MOST_UNQUIET_SECONDS = 2.0
POLL_SECONDS = 0.02

log = structlog.get_logger()

Add = Callable[[Any, Any], None]

DESCRIPTORS: list[ServiceDescriptor] = [
    ota_service_pb2.DESCRIPTOR.services_by_name["OtaService"],
    redemption_service_pb2.DESCRIPTOR.services_by_name["RedemptionService"],
    admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"],
    ticketing_service_pb2.DESCRIPTOR.services_by_name["TicketingService"],
]
"""The contract's services."""


class Service(NamedTuple):
    """Who serves one of the contract's services, and what adds it to a server of any kind."""

    add: Add
    servicer: object


def jobs(settings: Settings) -> list[Job]:
    """All that is done by the clock, with these settings: each room's list."""
    return [
        *aftersales_tasks.jobs(settings),
        *audit_tasks.jobs(settings),
        *catalog_tasks.jobs(settings),
        *channel_tasks.jobs(settings),
        *identity_tasks.jobs(settings),
        *notification_tasks.jobs(settings),
        *order_tasks.jobs(settings),
        *payment_tasks.jobs(settings),
        *platform_tasks.jobs(settings),
        *redemption_tasks.jobs(settings),
        *partner_tasks.jobs(settings),
        *report_tasks.jobs(settings),
        *webhook_tasks.jobs(settings, posted_sequence),
    ]


class App:
    """One process's server, started.

    Attributes:
        ports: all open ports, by the names of their settings, also where those say 0.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._certificates = Certificates.of(settings)
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._health: Health
        self._public: grpc.aio.Server
        self._in_process: InProcessServer
        self._http: HttpServer
        self._octo: OctoDomain
        self._watcher: Watcher
        self._interceptor: interceptor.Interceptor
        self._wechat: WechatClient | None
        self._kinds: dict[str, TaskKind]
        self._doors: list[Door] = []
        self._rest = AsyncExitStack()
        self.ports: dict[str, int] = {}

    @property
    def grpc_port(self) -> int:
        """The public gRPC port."""
        return self.ports["grpc_port"]

    @property
    def http_port(self) -> int:
        """The public HTTP port."""
        return self.ports["http_port"]

    @classmethod
    async def start(
        cls, settings: Settings, database_url: str, redis_url: str, *, shared_ports: bool = False
    ) -> Self:
        """Starts to serve; the database is migrated and has a QR key, and the settings have a
        secret key.

        With `shared_ports` other processes may listen on the same ports. Raises StartError for a
        port that cannot be had, ConfigError for TLS files and a secret key that do not fit,
        DATABASE_UNAVAILABLE.
        """
        app = cls(settings)
        async with AsyncExitStack() as stack:
            services = await app._start_services(stack, database_url, redis_url)
            await app._start_grpc(stack, services, shared_ports=shared_ports)
            await app._start_operations(stack, shared_ports=shared_ports)
            await app._start_http(stack, shared_ports=shared_ports)
            app._rest = stack.pop_all()
        log.info("server.started", **app.ports)
        return app

    @property
    def loops(self) -> Loops:
        """What runs in the background."""
        return self._health.loops

    async def stop(self) -> None:
        """Says NOT_SERVING, refuses new calls, lets those in flight finish, then closes everything,
        last made first.

        Takes at most `drain_seconds`, or until `hurry`; what is not finished then is cut off.
        """
        log.info("server.stopping")
        await self._health.say_stopping()
        self._stopping.set()
        self._watcher.stop()
        self._interceptor.refuse()
        finished = asyncio.create_task(self._finish())
        hurried = asyncio.create_task(self._hurry.wait())
        try:
            async with asyncio.timeout(self._settings.drain_seconds):
                await asyncio.wait({finished, hurried}, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            pass
        cut_off = not finished.done()
        for task in (finished, hurried):
            task.cancel()
        await asyncio.gather(finished, hurried, return_exceptions=True)
        self._health.give_up_lost()
        await self._rest.aclose()
        log.info("server.stopped", calls_cut_off=cut_off)

    def hurry(self) -> None:
        """Makes `stop` wait for nobody."""
        self._hurry.set()

    async def _finish(self) -> None:
        await asyncio.gather(self._finish_calls(), self._http.finish())

    async def _finish_calls(self) -> None:
        await self._interceptor.finished.wait()
        # A call that arrives while the listener closes is reset as CANCELLED, not refused: so it
        # closes when nobody calls any more, unless somebody does so all the time.
        began = quiet_since = time.monotonic()
        refused = self._interceptor.refused
        while time.monotonic() - quiet_since < QUIET_SECONDS:
            await asyncio.sleep(POLL_SECONDS)
            if refused != self._interceptor.refused and (
                time.monotonic() - began < MOST_UNQUIET_SECONDS
            ):
                refused, quiet_since = self._interceptor.refused, time.monotonic()

    async def _start_services(
        self, stack: AsyncExitStack, database_url: str, redis_url: str
    ) -> list[Service]:
        platform = await self._start_platform(stack, database_url, redis_url)
        await start_scheduled_versions(stack, platform)
        domain = await start_domain(stack, platform, Cache(redis_url))
        self._watcher, self._wechat = domain.ticketing.watcher, domain.wechat
        channels = start_channels(stack, platform, domain, redis_url)
        self._doors = self._opened_doors(channels)
        kinds = domain.task_kinds | channels.kinds
        self._kinds, is_paused = kinds, platform.jobs.is_paused
        worker = TaskWorker(
            platform.db, kinds, is_paused=is_paused, presence=platform.presence, loops=self.loops
        )
        start_part(stack, "outbox", worker)
        self._interceptor = interceptor.Interceptor(
            DESCRIPTORS,
            domain.identity,
            Admission(
                max_calls=self._settings.max_calls_in_flight,
                max_calls_per_address=self._settings.max_calls_per_address,
                first_message_seconds=self._settings.first_message_seconds,
                proxies=self._settings.proxies,
            ),
            self.loops,
            CallShares(
                in_all=self._settings.partner_calls_in_all,
                per_partner=self._settings.partner_calls,
                waiting_per_partner=self._settings.partner_calls_waiting,
            ),
            simulation=Simulation(platform.db, answer_message),
            trace_id=trace_ids() if self._settings.otlp_endpoint else None,
        )
        at_stop(stack, "stream rights", self._interceptor.close)
        return self._services(platform, domain, channels.clients)

    async def _start_platform(
        self, stack: AsyncExitStack, database_url: str, redis_url: str
    ) -> Platform:
        secret_key = _secret_key(self._settings)
        trail.seal_with(secret_key)
        search_terms.use_key(secret_key)
        db = Database(self._settings, database_url)
        at_stop(stack, "database", db.close)
        _measure_pool(db)
        limiter = RateLimiter(redis_url)
        at_stop(stack, "limits", limiter.close)
        self._health = Health(db, limiter.answers)
        at_stop(stack, "health", self._health.stop)
        start_part(stack, "due check", DueCheck(db, self.loops))
        table = Jobs(db, jobs(self._settings), self.loops, note_run)
        start_part(stack, "jobs", table)
        keys = ChainKeys(secret_key)
        start_part(stack, "audit chain", AuditSequencer(db, keys, self.loops))
        start_part(stack, "state metrics", StateMetrics(db, self.loops))
        feed = ChangeFeed(db, self.loops)
        await feed.start()
        at_stop(stack, "change feed", feed.stop)
        presence = Presence()
        start_part(stack, "change listener", ChangeListener(db, feed, self.loops, presence))
        return Platform(self._settings, db, limiter, feed, secret_key, self.loops, table, presence)

    def _opened_doors(self, channels: Channels) -> list[Door]:
        """The feed's, and of protocols of others those that the settings open."""
        feed = ChannelFeedDoor(channels.feed.answer)
        if not self._settings.ctrip_ttd:
            return [feed]
        log.warning(
            "channels.unverified",
            vendor="ctrip_ttd",
            path=ctrip_ttd.PREFIX,
            remedy="try it with the vendor's test account before anybody sells by it",
        )
        return [feed, ctrip_ttd.CtripTtdDoor(channels.ttd.answer)]

    def _services(
        self, platform: Platform, domain: Domain, channels: ChannelClients
    ) -> list[Service]:
        db, secret_key = platform.db, platform.secret_key
        repeats, pages = repeats_module.Repeats(db, secret_key), paging.PageTokens(secret_key)
        clock_terms = sandbox_clock.ClockTerms.of(self._settings)
        terminals = SimulatedTerminals(domain.simulated, answer_message, clock_terms)
        terms = reservation_terms(self._settings)
        ota = OtaServicer(
            *(db, repeats, pages),
            OtaDomain(domain.issuer, domain.catalogues, domain.webhooks, terminals),
            zone=self._settings.zone,
            terms=terms,
        )
        booker = Booker(db, PartnerBookingSeals(secret_key), terms, self._settings.zone)
        self._octo = OctoDomain(db, booker, domain.catalogues, domain.issuer)
        redemption = RedemptionServicer(db, repeats, pages, domain.redemption, self._stopping)
        zone, wechat = self._settings.zone, self._wechat
        admin = AdminServicer(
            *(db, domain.identity, repeats, pages),
            zone=zone,
            changes=domain.ticketing.change_handler,
            wechat=wechat,
            jobs=JobTable(platform.jobs.table, self._kinds),
            channels=channels,
            channel_drift=DriftDetector(domain.catalogues, zone),
            channel_peak=self._settings.channel_peak,
            secret_key=platform.secret_key,
        )
        ticketing = TicketingServicer(db, repeats, pages, domain.ticketing)
        return [
            Service(ota_service_pb2_grpc.add_OtaServiceServicer_to_server, ota),
            Service(
                redemption_service_pb2_grpc.add_RedemptionServiceServicer_to_server, redemption
            ),
            Service(admin_service_pb2_grpc.add_AdminServiceServicer_to_server, admin),
            Service(ticketing_service_pb2_grpc.add_TicketingServiceServicer_to_server, ticketing),
        ]

    async def _start_grpc(
        self, stack: AsyncExitStack, services: list[Service], *, shared_ports: bool
    ) -> None:
        settings = self._settings
        interceptors: list[grpc.aio.ServerInterceptor] = [self._interceptor]
        if settings.otlp_endpoint:
            traced = tracing(settings.otlp_endpoint)
            interceptors.insert(0, await stack.enter_async_context(traced))
        self._in_process = InProcessServer(interceptors)
        self._public = new_server(
            settings.transport,
            interceptors=interceptors,
            options=[
                *server_options(settings, shared_ports=shared_ports),
                *age_options(settings),
            ],
        )
        for service in services:
            service.add(service.servicer, self._in_process)
            service.add(service.servicer, self._public)
        self._open_grpc_port(self._public, "grpc_port", shared=shared_ports)
        await self._add_health_and_reflection()
        await self._in_process.start()
        stack.push_async_callback(self._in_process.stop)
        await self._public.start()
        stack.push_async_callback(self._public.stop, None)

    def _open_grpc_port(self, server: grpc.aio.Server, name: str, *, shared: bool) -> None:
        host, port, setting = self._settings.listeners[name]
        if port and not shared:
            ports.require_free(host, port, setting)
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        certificates = self._certificates_on(name)
        try:
            if certificates:
                opened = server.add_secure_port(address, certificates.grpc_credentials())
            else:
                opened = server.add_insecure_port(address)
        except RuntimeError as error:
            raise StartError(
                f"gRPC cannot listen on {address} ({error}): set {setting}_HOST and {setting}_PORT"
            ) from error
        self.ports[name] = opened

    def _certificates_on(self, name: str) -> Certificates | None:
        """What a port shows; those for operations none where only this machine reaches them."""
        host, _, _ = self._settings.listeners[name]
        is_private = name.startswith("operations_") and is_loopback(host)
        return None if is_private else self._certificates

    async def _open_http_port(
        self, stack: AsyncExitStack, application: Any, name: str, *, shared: bool
    ) -> HttpServer:
        """Serves the application there until the stack closes."""
        host, port, setting = self._settings.listeners[name]
        sockets = ports.listen(host, port, setting, shared=shared)
        self.ports[name] = int(sockets[0].getsockname()[1])
        http = HttpServer(
            application,
            self._settings,
            self._certificates_on(name),
            loops=self.loops,
            name=name.removesuffix("_port"),
        )
        await http.start(sockets)
        stack.push_async_callback(http.cut_off)
        return http

    async def _start_operations(self, stack: AsyncExitStack, *, shared_ports: bool) -> None:
        """Opens the operations address, which answers until the last call has ended."""
        server = new_server(
            self._settings.transport,
            options=server_options(self._settings, shared_ports=shared_ports),
        )
        operations.add_services(server, self._health.servicer)
        self._open_grpc_port(server, "operations_grpc_port", shared=shared_ports)
        await server.start()
        stack.push_async_callback(server.stop, None)
        pages = operations.pages(exposition, lambda: self._health.report)
        await self._open_http_port(stack, pages, "operations_http_port", shared=shared_ports)

    async def _add_health_and_reflection(self) -> None:
        ours = [service.full_name for service in DESCRIPTORS]
        health_pb2_grpc.add_HealthServicer_to_server(self._health.servicer, self._public)
        others = [each.full_name for each in health_pb2.DESCRIPTOR.services_by_name.values()]
        others += reflection.serve(self._public, [*ours, *others])
        await self._health.start(ours, others)

    def _own_url(self) -> str:
        """Where this machine reaches our HTTP port."""
        host = self._settings.http_host
        if host in ("", "0.0.0.0", "::"):  # noqa: S104 - compared, not bound
            host = "127.0.0.1"
        scheme = "https" if self._certificates else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.http_port}"

    async def _start_http(self, stack: AsyncExitStack, *, shared_ports: bool) -> None:
        settings, offered = self._settings, self._settings.documentation_key
        application = gateway(
            DESCRIPTORS,
            self._in_process,
            max_body_bytes=settings.max_body_bytes,
            admit=self._interceptor.admit,
            health=lambda: self._health.report,
            proxies=settings.proxies,
            origins=settings.origins,
            offered_key=offered.get_secret_value() if offered else "",
            doors=self._doors,
        )
        octo = Octo(self._interceptor, self._octo, settings.proxies)
        self._http = await self._open_http_port(
            stack, octo.before(application), "http_port", shared=shared_ports
        )
        if self._wechat and not self._wechat.notify_url:  # a simulator on this machine
            self._wechat.notify_url = self._own_url()


def _secret_key(settings: Settings) -> bytes:
    if settings.secret_key is None:
        raise ConfigError("DEEPTRAVEL_SECRET_KEY is not set")
    return settings.secret_key.get_secret_value()


def _measure_pool(db: Database) -> None:
    for engine in db.engines:
        event.listen(engine.sync_engine, "checkout", lambda *_: POOL.inc())
        event.listen(engine.sync_engine, "checkin", lambda *_: POOL.dec())
    db.pipelines.on_lent = POOL.inc
