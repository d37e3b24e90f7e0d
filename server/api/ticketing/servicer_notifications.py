"""The methods of TicketingService about messages to travellers."""

from collections.abc import AsyncIterator
from typing import NamedTuple
from zoneinfo import ZoneInfo

from deeptravel.ticketing.v1 import notification_pb2, ticketing_service_pb2_grpc

from server.api import calls, paging, pieces
from server.api import repeats as repeats_module
from server.api.calls import Context
from server.api.paging import Page, paged
from server.api.repeats import ChangingCall, changing
from server.api.ticketing import notifications as messages
from server.identity.callers import Traveller
from server.notifications import calendar_entries, inbox, preferences
from server.notifications.preferences import ContactSeals
from server.notifications.templates import Published, Templates
from server.platform import clock
from server.platform.database import Database

MAX_NUMBER = (1 << 63) - 1


class NotificationDomain(NamedTuple):
    """What travellers are notified by: templates, sealed contacts, the language of those who have
    chosen none, and the time zone.
    """

    templates: Templates
    seals: ContactSeals
    language: str
    zone: ZoneInfo


class InboxMethods(ticketing_service_pb2_grpc.TicketingServiceServicer):
    """A part of TicketingServicer; the contract documents each method."""

    _db: Database
    _repeats: repeats_module.Repeats
    _pages: paging.PageTokens
    _notifications: NotificationDomain

    @paged
    async def ListNotifications(
        self, request: notification_pb2.ListNotificationsRequest, page: Page[Traveller, int]
    ) -> notification_pb2.ListNotificationsResponse:
        async with self._db.transaction() as tx:
            found = await inbox.page(
                tx,
                page.caller.traveller_id,
                unread_only=request.unread_only,
                before=page.after,
                limit=page.size + 1,
            )
        shown = page.cut(found, lambda last: last.number)
        return notification_pb2.ListNotificationsResponse(
            notifications=map(messages.notification, shown)
        )

    async def GetUnreadNotificationCount(
        self,
        request: notification_pb2.GetUnreadNotificationCountRequest,
        context: Context[
            notification_pb2.GetUnreadNotificationCountRequest,
            notification_pb2.GetUnreadNotificationCountResponse,
        ],
    ) -> notification_pb2.GetUnreadNotificationCountResponse:
        async with self._db.transaction() as tx:
            unread = await inbox.count_unread(tx, calls.caller(Traveller).traveller_id)
        return notification_pb2.GetUnreadNotificationCountResponse(unread=unread)

    async def MarkNotificationRead(
        self,
        request: notification_pb2.MarkNotificationReadRequest,
        context: Context[
            notification_pb2.MarkNotificationReadRequest,
            notification_pb2.MarkNotificationReadResponse,
        ],
    ) -> notification_pb2.MarkNotificationReadResponse:
        whose = calls.caller(Traveller).traveller_id
        read = await self._db.in_transaction(
            lambda tx: inbox.mark_read(tx, whose, request.notification_id, now=clock.now())
        )
        return notification_pb2.MarkNotificationReadResponse(
            notification=messages.notification(read)
        )

    async def MarkAllNotificationsRead(
        self,
        request: notification_pb2.MarkAllNotificationsReadRequest,
        context: Context[
            notification_pb2.MarkAllNotificationsReadRequest,
            notification_pb2.MarkAllNotificationsReadResponse,
        ],
    ) -> notification_pb2.MarkAllNotificationsReadResponse:
        whose, until = calls.caller(Traveller).traveller_id, request.until_notification_id
        unread = await self._db.in_transaction(
            lambda tx: inbox.mark_all_read(tx, whose, until=until or MAX_NUMBER, now=clock.now())
        )
        return notification_pb2.MarkAllNotificationsReadResponse(unread=unread)

    async def ReportSubscriptionConsents(
        self,
        request: notification_pb2.ReportSubscriptionConsentsRequest,
        context: Context[
            notification_pb2.ReportSubscriptionConsentsRequest,
            notification_pb2.ReportSubscriptionConsentsResponse,
        ],
    ) -> notification_pb2.ReportSubscriptionConsentsResponse:
        return await self._report_consents(
            request, context, await self._notifications.templates.all()
        )

    @changing
    async def _report_consents(
        self,
        request: notification_pb2.ReportSubscriptionConsentsRequest,
        call: ChangingCall[Traveller],
        published: Published,
    ) -> notification_pb2.ReportSubscriptionConsentsResponse:
        whose = call.caller.traveller_id
        await preferences.agree(call.tx, whose, messages.accepted(request), now=call.now)
        kept = await preferences.read(call.tx, self._notifications.seals, whose)
        language = kept.language or self._notifications.language
        kinds = preferences.templates_of(published, language)
        available = await preferences.agreed(call.tx, whose, kinds)
        return notification_pb2.ReportSubscriptionConsentsResponse(
            templates=messages.templates(kinds, available)
        )

    async def GetNotificationPreferences(
        self,
        request: notification_pb2.GetNotificationPreferencesRequest,
        context: Context[
            notification_pb2.GetNotificationPreferencesRequest,
            notification_pb2.GetNotificationPreferencesResponse,
        ],
    ) -> notification_pb2.GetNotificationPreferencesResponse:
        published = await self._notifications.templates.all()
        whose = calls.caller(Traveller).traveller_id
        async with self._db.transaction() as tx:
            kept = await preferences.read(tx, self._notifications.seals, whose)
            language = kept.language or self._notifications.language
            kinds = preferences.templates_of(published, language)
            available = await preferences.agreed(tx, whose, kinds)
        return notification_pb2.GetNotificationPreferencesResponse(
            preferences=messages.preferences(kept),
            templates=messages.templates(kinds, available),
            version=kept.version,
        )

    @changing
    async def UpdateNotificationPreferences(
        self,
        request: notification_pb2.UpdateNotificationPreferencesRequest,
        call: ChangingCall[Traveller],
    ) -> notification_pb2.UpdateNotificationPreferencesResponse:
        kept = await preferences.keep(
            call.tx,
            self._notifications.seals,
            call.caller.traveller_id,
            messages.wanted(request.preferences),
            version=request.version,
            now=call.now,
        )
        return notification_pb2.UpdateNotificationPreferencesResponse(
            preferences=messages.preferences(kept), version=kept.version
        )

    async def DownloadCalendarEntry(
        self,
        request: notification_pb2.DownloadCalendarEntryRequest,
        context: Context[
            notification_pb2.DownloadCalendarEntryRequest,
            notification_pb2.DownloadCalendarEntryResponse,
        ],
    ) -> AsyncIterator[notification_pb2.DownloadCalendarEntryResponse]:
        whose, zone = calls.caller(Traveller).traveller_id, self._notifications.zone
        async with self._db.transaction() as tx:
            content = await calendar_entries.entry_of(tx, request.ticket_code, whose, zone=zone)
        for body in pieces.of_file(calendar_entries.CONTENT_TYPE, content):
            yield notification_pb2.DownloadCalendarEntryResponse(body=body)
