"""What the services work with: every room's parts, on one platform, in the order they start."""

from contextlib import AsyncExitStack
from functools import partial
from typing import NamedTuple

from server.aftersales import tasks as aftersales_tasks
from server.aftersales.quotes import Quotes
from server.aftersales.refund_requests import RefundHandler
from server.aftersales.ticket_changes import ChangeHandler
from server.api.ota.servicer_webhooks import Webhooks
from server.api.redemption.packs import signed_push
from server.api.redemption.servicer import RedemptionDomain
from server.api.ticketing.offers import encoded_offer, encoded_price
from server.api.ticketing.servicer import TicketingDomain
from server.api.ticketing.servicer_notifications import NotificationDomain
from server.catalog.catalogue import Catalogues
from server.channels import tasks as channel_tasks
from server.channels.allotment_orders import AllotmentOrders
from server.channels.booking_handler import BookingHandler
from server.channels.booking_orders import BookingOrders
from server.channels.booking_seals import BookingSeals
from server.channels.call_log import CallJournal
from server.channels.catalogue_watch import CatalogueWatch
from server.channels.connecting import ChannelClients
from server.channels.disconnecting import ChannelEnder
from server.channels.feed_service import FeedService
from server.channels.fetching import BookingFetcher
from server.channels.probing import ChannelProbe
from server.channels.pushing import Pusher
from server.channels.tokens import ChannelTokens
from server.channels.ttd_notices import TtdNotices
from server.channels.ttd_orders import TtdOrders
from server.channels.ttd_rows import TtdSeals
from server.channels.ttd_service import TtdService
from server.channels.watching import ThresholdWatch
from server.configuration.publishing import ScheduledVersions
from server.identity.service import Identity
from server.notifications import tasks as notification_tasks
from server.notifications.channels import make_senders, terms_of
from server.notifications.dispatching import NotificationDispatcher
from server.notifications.following import Follower
from server.notifications.preferences import ContactSeals
from server.notifications.templates import Templates
from server.orders import tasks as order_tasks
from server.orders.hold import OrderHolds
from server.orders.hold_expiry import Expiry
from server.orders.own_reads import OwnReads
from server.orders.passengers import PassengerSeals
from server.orders.reader import OrderReader
from server.orders.watch import Watcher
from server.partners import sandbox_clock
from server.partners import tasks as partner_tasks
from server.partners.booking_content import PartnerBookingSeals
from server.partners.bookings import Booker
from server.partners.ledger import Bookkeeper
from server.partners.payment_webhooks import PaymentWebhooks
from server.partners.reservation_expiry import ReservationExpiry
from server.partners.rules import ReservationTerms
from server.partners.sandbox_clock import SandboxClocks
from server.payments import payments as payment_records
from server.payments import tasks as payment_tasks
from server.payments.notices import NoticeHandler
from server.payments.payment_requests import PaymentHandler
from server.payments.settlement import Settlement
from server.platform.change_feed import ChangeFeed
from server.platform.config import Settings
from server.platform.database import Database
from server.platform.lifecycle import at_stop, start_part
from server.platform.loops import Loops
from server.platform.metrics import SIMULATED_SCAN_QUEUE
from server.platform.presence import Presence
from server.platform.ratelimit import RateLimiter
from server.platform.reading import Readers
from server.platform.schedule import Jobs
from server.platform.task_worker import TaskKind
from server.redemption.lookup import QrLooks
from server.redemption.offline_keys import OfflineKeys
from server.redemption.pack_pushes import PackPushes
from server.redemption.redeem import Redeemer
from server.redemption.uploads import Uploads
from server.redemption.venue_packs import VenuePacks
from server.search.cache import Cache
from server.search.rentals import RentalSearch
from server.search.search import Search
from server.search.seats_left import SeatsLeft
from server.tickets.issuing import Issuer
from server.tickets.key_rings import KeyRings
from server.tickets.rotating_keys import RotatingKeys
from server.webhooks import tasks as webhook_tasks
from server.webhooks.dispatching import Dispatcher
from server.webhooks.sequencing import Sequencer
from server.webhooks.webhook_secrets import WebhookSecrets
from server.wechat.client import WechatClient


class Platform(NamedTuple):
    """What every room is built on."""

    settings: Settings
    db: Database
    limiter: RateLimiter
    feed: ChangeFeed
    secret_key: bytes
    loops: Loops
    jobs: Jobs
    presence: Presence


class Orders(NamedTuple):
    """What makes and reads orders."""

    catalogues: Catalogues
    reader: OrderReader
    order_holds: OrderHolds
    watcher: Watcher


class Payments(NamedTuple):
    """What takes payments."""

    settlement: Settlement
    requests: PaymentHandler
    notices: NoticeHandler


SIMULATED_WORKERS, SIMULATED_TOKENS = 2, 1_000
"""Of simulated terminals: scans at once, and tokens remembered."""


class Domain(NamedTuple):
    """What the services work with, and what the task worker runs; `simulated` redeems at simulated
    terminals, `wechat` is None without an account there.
    """

    identity: Identity
    issuer: Issuer
    redemption: RedemptionDomain
    simulated: Redeemer
    ticketing: TicketingDomain
    webhooks: Webhooks
    catalogues: Catalogues
    settlement: Settlement
    wechat: WechatClient | None
    task_kinds: dict[str, TaskKind]


async def start_domain(stack: AsyncExitStack, platform: Platform, cache: Cache) -> Domain:
    """Starts every room's parts, which stop when the stack closes. Raises DATABASE_UNAVAILABLE."""
    settings, db = platform.settings, platform.db
    identity = Identity(db, platform.feed, platform.limiter, settings, platform.loops)
    await identity.start()
    at_stop(stack, "identity", identity.stop)
    wechat = WechatClient.of(settings)
    if wechat:
        wechat.start()
        at_stop(stack, "wechat", wechat.aclose)
    at_stop(stack, "cache", cache.close)
    key_rings = await _key_rings(platform)
    webhooks = _start_webhooks(stack, platform)
    readers = Readers(db)
    at_stop(stack, "readers", readers.stop)
    orders, seats = _start_orders(stack, platform), SeatsLeft(readers)
    payments = _payments(platform, readers, orders, wechat)
    notifications = _start_notifications(stack, platform)
    issuer, quotes = Issuer(key_rings, db, settings.zone), Quotes(platform.secret_key)
    return Domain(
        identity=identity,
        issuer=issuer,
        simulated=Redeemer(
            db,
            key_rings,
            rotating_keys=RotatingKeys(platform.secret_key),
            batch=1,
            workers=SIMULATED_WORKERS,
            token_cache=SIMULATED_TOKENS,
            queue=SIMULATED_SCAN_QUEUE,
        ),
        redemption=_redemption(stack, platform, readers, key_rings, identity),
        ticketing=TicketingDomain(
            order_holds=orders.order_holds,
            reader=orders.reader,
            own_reads=OwnReads(readers, orders.reader),
            watcher=orders.watcher,
            issuer=issuer,
            travellers=identity.travellers,
            rotating_keys=RotatingKeys(platform.secret_key),
            payment_handler=payments.requests,
            notice_handler=payments.notices,
            refund_handler=RefundHandler(quotes, quote_seconds=settings.quote_seconds),
            change_handler=ChangeHandler(
                db,
                orders.order_holds,
                orders.reader.seals,
                quotes,
                payments.settlement,
                zone=settings.zone,
                quote_seconds=settings.quote_seconds,
            ),
            search=_search(orders, seats, cache),
            rentals=RentalSearch(orders.catalogues, seats),
            notifications=notifications,
        ),
        webhooks=webhooks,
        catalogues=orders.catalogues,
        settlement=payments.settlement,
        wechat=wechat,
        task_kinds={
            **aftersales_tasks.kinds(db),
            **notification_tasks.kinds(db),
            **order_tasks.kinds(db),
            **partner_tasks.kinds(db),
            **payment_tasks.kinds(db, wechat, payments.settlement, payments.requests),
            **webhook_tasks.kinds(db),
            **webhooks.payments.kinds(),
        },
    )


def _redemption(
    stack: AsyncExitStack,
    platform: Platform,
    readers: Readers,
    key_rings: KeyRings,
    identity: Identity,
) -> RedemptionDomain:
    db, settings = platform.db, platform.settings
    rotating_keys = RotatingKeys(platform.secret_key)
    redeemer = Redeemer(
        db,
        key_rings,
        rotating_keys=rotating_keys,
        batch=settings.redeem_batch,
        workers=settings.redeem_workers,
        token_cache=settings.token_cache,
    )
    keys = OfflineKeys(platform.secret_key)
    pushes = PackPushes(db, platform.feed, platform.loops, encode=partial(signed_push, keys))
    at_stop(stack, "pack pushes", pushes.close)
    return RedemptionDomain(
        identity,
        redeemer,
        QrLooks(readers, redeemer, rotating_keys),
        VenuePacks(db, key_rings, platform.secret_key),
        pushes,
        Uploads(db, redeemer),
        keys,
        settings.zone,
        platform.secret_key,
    )


async def start_scheduled_versions(stack: AsyncExitStack, platform: Platform) -> None:
    """Has take effect what is due, and goes on so. Raises DATABASE_UNAVAILABLE."""
    scheduled = ScheduledVersions(platform.db, platform.loops)
    await scheduled.catch_up()  # before anything is sold
    start_part(stack, "scheduled versions", scheduled)


def _search(orders: Orders, seats: SeatsLeft, cache: Cache) -> Search:
    return Search(
        orders.catalogues,
        seats,
        cache,
        encode_offer=encoded_offer,
        encode_price=encoded_price,
    )


def reservation_terms(settings: Settings) -> ReservationTerms:
    """How long partners reserve where their stock says nothing else."""
    return ReservationTerms(
        settings.reservation_seconds,
        settings.reservation_max_seconds,
        settings.reservation_warning_seconds,
    )


class Channels(NamedTuple):
    """What works for outside channels: who calls them, its tasks, and who answers Ctrip's
    attractions channel and those that fetch.
    """

    clients: ChannelClients
    kinds: dict[str, TaskKind]
    ttd: TtdService
    feed: FeedService


def start_channels(
    stack: AsyncExitStack, platform: Platform, domain: Domain, redis_url: str
) -> Channels:
    """What sends outside channels what they are to know, and takes what they have booked."""
    db, secret_key, sold = platform.db, platform.secret_key, domain.ticketing
    tokens = ChannelTokens(redis_url, secret_key)
    clients = ChannelClients(db, secret_key, tokens, platform.limiter)
    at_stop(stack, "channels", clients.close)
    watch = ThresholdWatch(db, platform.settings.zone, platform.loops)
    start_part(stack, "channel thresholds", watch)
    changes = CatalogueWatch(db, domain.catalogues, platform.loops)
    start_part(stack, "channel catalogue", changes)
    pusher = Pusher(db, domain.catalogues, clients, platform.settings.zone)
    seals = BookingSeals(secret_key)
    made = BookingOrders(db, seals, sold.order_holds, domain.settlement, sold.change_handler)
    booker = Booker(
        *(db, PartnerBookingSeals(secret_key), reservation_terms(platform.settings)),
        platform.settings.zone,
    )
    allotted = AllotmentOrders(db, seals, booker, domain.catalogues, platform.settings.zone)
    handler = BookingHandler(db, clients, made, allotted, sold.refund_handler)
    fetcher = BookingFetcher(db, clients, seals)
    ttd_seals = TtdSeals(secret_key)
    ttd_orders = TtdOrders.of(
        *(db, ttd_seals, sold.order_holds, domain.settlement, domain.issuer),
        *(sold.change_handler, sold.refund_handler),
    )
    notices = TtdNotices(db, clients, ttd_seals, ttd_orders)
    ender = ChannelEnder(db, clients, platform.settings.zone)
    kinds = pusher.kinds() | channel_tasks.kinds(fetcher, handler) | notices.kinds()
    kinds |= ender.kinds() | ChannelProbe(db, clients).kinds()
    journal = CallJournal(db, platform.loops)
    start_part(stack, "channel call log", journal)
    ttd = TtdService(clients, ttd_orders, notices, journal)
    feed = FeedService(db, clients.seals, platform.limiter, platform.settings.zone)
    return Channels(clients, kinds, ttd, feed)


def _start_webhooks(stack: AsyncExitStack, platform: Platform) -> Webhooks:
    db, settings = platform.db, platform.settings
    secrets = WebhookSecrets(platform.secret_key)
    start_part(stack, "webhooks", Dispatcher(db, secrets, settings, platform.loops))
    start_part(stack, "events", Sequencer(db, platform.loops))
    start_part(stack, "ledgers", Bookkeeper(db, settings.zone, platform.loops))
    payments = PaymentWebhooks(db, secrets, zone=settings.zone)
    return Webhooks(secrets, payments, bool(settings.webhook_allow_private))


def _start_notifications(stack: AsyncExitStack, platform: Platform) -> NotificationDomain:
    db, settings, loops = platform.db, platform.settings, platform.loops
    templates, seals = Templates(db, platform.feed), ContactSeals(platform.secret_key)
    senders = make_senders(settings, db, platform.secret_key)
    terms = terms_of(settings, senders)
    if senders:
        dispatcher = NotificationDispatcher(
            db, templates, seals, senders, zone=settings.zone, loops=loops
        )
        start_part(stack, "messages", dispatcher)
    start_part(stack, "notifications", Follower(db, templates, terms, loops))
    return NotificationDomain(templates, seals, terms.language, terms.zone)


def _start_orders(stack: AsyncExitStack, platform: Platform) -> Orders:
    db, settings = platform.db, platform.settings
    are_paused = platform.jobs.is_paused
    holds = Expiry(
        db,
        payment_records.close_waiting,
        platform.loops,
        is_paused=partial(are_paused, payment_tasks.EXPIRE_HOLDS),
    )
    start_part(stack, "hold expiry", holds)
    reservations = ReservationExpiry(
        db, platform.loops, is_paused=partial(are_paused, partner_tasks.EXPIRE_RESERVATIONS)
    )
    start_part(stack, "reservation expiry", reservations)
    terms = sandbox_clock.ClockTerms.of(settings)
    start_part(stack, "sandbox clocks", SandboxClocks(db, terms, platform.loops))
    reader = OrderReader(PassengerSeals(platform.secret_key))
    catalogues = Catalogues(platform.feed, db)
    order_holds = OrderHolds(
        db,
        catalogues,
        reader,
        zone=settings.zone,
        hold_seconds=settings.hold_seconds,
        batch=settings.order_batch,
        workers=settings.order_workers,
    )
    return Orders(catalogues, reader, order_holds, Watcher(db, platform.loops))


def _payments(
    platform: Platform, readers: Readers, orders: Orders, client: WechatClient | None
) -> Payments:
    db = platform.db
    settlement = Settlement(
        db,
        orders.reader,
        zone=platform.settings.zone,
        app_id=client.app_id if client else "",
        merchant_id=client.merchant_id if client else "",
    )
    return Payments(
        settlement, PaymentHandler(db, readers, settlement, client), NoticeHandler(db, client)
    )


async def _key_rings(platform: Platform) -> KeyRings:
    """The keys of QR codes, which open with the secret key."""
    key_rings = KeyRings(platform.feed, platform.db, platform.secret_key)
    await key_rings.get("")
    return key_rings
