"""The methods of AdminService about messages to travellers."""

from zoneinfo import ZoneInfo

from deeptravel.admin.v1 import notification_pb2

from server.api import calls
from server.api.admin import notification_messages as messages
from server.api.admin.table import AdminMethods, by
from server.api.calls import Context
from server.api.paging import Page, paged
from server.api.repeats import ChangingCall, changing
from server.identity.callers import Admin
from server.notifications import deliveries, pauses, templates, texts
from server.orders import order_search
from server.platform.statements import run


class NotificationMethods(AdminMethods):
    """A part of AdminServicer; the contract documents each method."""

    _zone: ZoneInfo

    @paged
    async def ListNotificationTemplates(
        self,
        request: notification_pb2.ListNotificationTemplatesRequest,
        page: Page[Admin, int],
    ) -> notification_pb2.ListNotificationTemplatesResponse:
        async with self._db.report(page.caller.key) as tx:
            found = await templates.read_all(tx)
        numbered = messages.numbered(found, page.after)
        shown = page.cut(numbered, lambda last: last[0])
        return notification_pb2.ListNotificationTemplatesResponse(
            templates=[messages.template_message(kept) for _, kept in shown]
        )

    async def GetNotificationTemplate(
        self,
        request: notification_pb2.GetNotificationTemplateRequest,
        context: Context[
            notification_pb2.GetNotificationTemplateRequest,
            notification_pb2.GetNotificationTemplateResponse,
        ],
    ) -> notification_pb2.GetNotificationTemplateResponse:
        key = messages.key_of(request)
        async with self._db.report(calls.caller(Admin).key) as tx:
            kept = await templates.get(tx, key, request.version)
        return notification_pb2.GetNotificationTemplateResponse(
            template=messages.template_message(kept),
            placeholders=messages.placeholders(texts.PLACEHOLDERS[key.kind]),
        )

    @changing
    async def UpdateNotificationTemplate(
        self,
        request: notification_pb2.UpdateNotificationTemplateRequest,
        call: ChangingCall[Admin],
    ) -> notification_pb2.UpdateNotificationTemplateResponse:
        given, key = messages.given(request.template), messages.key_of(request)
        kept = await templates.publish_template(call.tx, key, given, request.version, **by(call))
        return notification_pb2.UpdateNotificationTemplateResponse(
            template=messages.template_message(kept)
        )

    async def PreviewNotificationTemplate(
        self,
        request: notification_pb2.PreviewNotificationTemplateRequest,
        context: Context[
            notification_pb2.PreviewNotificationTemplateRequest,
            notification_pb2.PreviewNotificationTemplateResponse,
        ],
    ) -> notification_pb2.PreviewNotificationTemplateResponse:
        key, given = messages.key_of(request), messages.given(request.template)
        return messages.preview_message(templates.preview(key, given, zone=self._zone))

    @paged
    async def ListNotificationDeliveries(
        self,
        request: notification_pb2.ListNotificationDeliveriesRequest,
        page: Page[Admin, tuple[int, str]],
    ) -> notification_pb2.ListNotificationDeliveriesResponse:
        wanted = deliveries.page(
            request.traveller_id,
            state=messages.STATE_NAMES[request.state],
            before=page.after,
            limit=page.size + 1,
        )
        async with self._db.report(page.caller.key) as tx:
            found = await run(tx, wanted)
        shown = page.cut(found, lambda last: (last.number, last.channel))
        return notification_pb2.ListNotificationDeliveriesResponse(
            deliveries=map(messages.delivery_message, shown)
        )

    @paged
    async def ListOrderNotifications(
        self,
        request: notification_pb2.ListOrderNotificationsRequest,
        page: Page[Admin, tuple[int, str]],
    ) -> notification_pb2.ListOrderNotificationsResponse:
        async with self._db.report(page.caller.key) as tx:
            order = await order_search.get(tx, request.order_code)
            found = await run(
                tx, deliveries.of_order(order.order_id, before=page.after, limit=page.size + 1)
            )
        shown = page.cut(found, lambda last: (last.number, last.channel))
        return notification_pb2.ListOrderNotificationsResponse(
            deliveries=map(messages.delivery_message, shown)
        )

    @paged
    async def ListNotificationPauses(
        self, request: notification_pb2.ListNotificationPausesRequest, page: Page[Admin, int]
    ) -> notification_pb2.ListNotificationPausesResponse:
        async with self._db.report(page.caller.key) as tx:
            found = await run(tx, pauses.read())
        numbered = messages.numbered(found, page.after)
        shown = page.cut(numbered, lambda last: last[0])
        return notification_pb2.ListNotificationPausesResponse(
            pauses=[messages.pause_message(pause) for _, pause in shown]
        )

    @changing
    async def ResumeNotificationChannel(
        self,
        request: notification_pb2.ResumeNotificationChannelRequest,
        call: ChangingCall[Admin],
    ) -> notification_pb2.ResumeNotificationChannelResponse:
        channel = messages.CHANNEL_NAMES[request.channel]
        pause = await pauses.resume(call.tx, channel, request.template_id, **by(call))
        return notification_pb2.ResumeNotificationChannelResponse(
            pause=messages.pause_message(pause)
        )
