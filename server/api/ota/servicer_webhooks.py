"""The methods of OtaService about webhooks."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from deeptravel.ota.v1 import ota_service_pb2_grpc, webhook_pb2

from server.api import calls, convert
from server.api.calls import Context
from server.api.ota import webhook_messages as messages
from server.api.ota.partner_trail import note
from server.api.paging import Page, PageTokens, paged
from server.api.repeats import ChangingCall, Repeats, changing
from server.identity.callers import Partner
from server.partners.payment_webhooks import PaymentWebhooks
from server.platform import clock
from server.platform.database import Database
from server.webhooks import deliveries, endpoints, signatures
from server.webhooks.webhook_secrets import WebhookSecrets

number = endpoints.endpoint_number
ENDPOINT = "webhook_endpoint"
"""What the audit trail calls one."""


class Webhooks(NamedTuple):
    """What the methods work with; `allow_private` as the setting has it."""

    secrets: WebhookSecrets
    payments: PaymentWebhooks
    allow_private: bool


class WebhookMethods(ota_service_pb2_grpc.OtaServiceServicer):
    """A part of OtaServicer. Deliveries and secrets go by the time that it is, also those of a
    sandbox, whose test clock is ahead: whoever receives them checks it.
    """

    _db: Database
    _pages: PageTokens
    _repeats: Repeats
    _webhooks: Webhooks

    async def CreateWebhookEndpoint(
        self,
        request: webhook_pb2.CreateWebhookEndpointRequest,
        context: Context[
            webhook_pb2.CreateWebhookEndpointRequest, webhook_pb2.CreateWebhookEndpointResponse
        ],
    ) -> webhook_pb2.CreateWebhookEndpointResponse:
        settings = messages.settings(request)
        await endpoints.check(settings, plain_and_private=self._webhooks.allow_private)
        return await self._create_endpoint(request, context)

    @changing
    async def _create_endpoint(
        self, request: webhook_pb2.CreateWebhookEndpointRequest, call: ChangingCall[Partner]
    ) -> webhook_pb2.CreateWebhookEndpointResponse:
        made, secret = await endpoints.create(
            call.tx,
            self._webhooks.secrets,
            call.caller.partner_id,
            messages.settings(request),
            now=clock.now(),
        )
        await note(call, "create", ENDPOINT, made.endpoint_id, made._asdict())
        return webhook_pb2.CreateWebhookEndpointResponse(
            endpoint=messages.endpoint(made), secret=signatures.written(secret)
        )

    async def GetWebhookEndpoint(
        self,
        request: webhook_pb2.GetWebhookEndpointRequest,
        context: Context[
            webhook_pb2.GetWebhookEndpointRequest, webhook_pb2.GetWebhookEndpointResponse
        ],
    ) -> webhook_pb2.GetWebhookEndpointResponse:
        async with self._db.transaction() as tx:
            found = await endpoints.find(
                tx,
                calls.caller(Partner).partner_id,
                number(request.endpoint_id),
                now=clock.now(),
            )
        return webhook_pb2.GetWebhookEndpointResponse(endpoint=messages.endpoint(found))

    @paged
    async def ListWebhookEndpoints(
        self, request: webhook_pb2.ListWebhookEndpointsRequest, page: Page[Partner, UUID]
    ) -> webhook_pb2.ListWebhookEndpointsResponse:
        async with self._db.report(page.caller.key) as tx:
            found = await endpoints.page(
                tx,
                page.caller.partner_id,
                after=page.after,
                limit=page.size + 1,
                now=clock.now(),
            )
        shown = page.cut(found, lambda last: last.endpoint_id)
        return webhook_pb2.ListWebhookEndpointsResponse(endpoints=map(messages.endpoint, shown))

    async def UpdateWebhookEndpoint(
        self,
        request: webhook_pb2.UpdateWebhookEndpointRequest,
        context: Context[
            webhook_pb2.UpdateWebhookEndpointRequest, webhook_pb2.UpdateWebhookEndpointResponse
        ],
    ) -> webhook_pb2.UpdateWebhookEndpointResponse:
        settings = messages.settings(request)
        await endpoints.check(settings, plain_and_private=self._webhooks.allow_private)
        return await self._update_endpoint(request, context)

    @changing
    async def _update_endpoint(
        self, request: webhook_pb2.UpdateWebhookEndpointRequest, call: ChangingCall[Partner]
    ) -> webhook_pb2.UpdateWebhookEndpointResponse:
        found = await endpoints.update(
            call.tx,
            call.caller.partner_id,
            number(request.endpoint_id),
            messages.settings(request),
            state=messages.ENDPOINT_STATE_NAME[request.state],
            version=request.version,
            now=clock.now(),
        )
        await note(call, "update", ENDPOINT, found.endpoint_id, found._asdict())
        return webhook_pb2.UpdateWebhookEndpointResponse(endpoint=messages.endpoint(found))

    @changing
    async def DeleteWebhookEndpoint(
        self, request: webhook_pb2.DeleteWebhookEndpointRequest, call: ChangingCall[Partner]
    ) -> webhook_pb2.DeleteWebhookEndpointResponse:
        await endpoints.delete(call.tx, call.caller.partner_id, number(request.endpoint_id))
        await note(call, "delete", ENDPOINT, request.endpoint_id, None)
        return webhook_pb2.DeleteWebhookEndpointResponse()

    @changing
    async def RotateWebhookSecret(
        self, request: webhook_pb2.RotateWebhookSecretRequest, call: ChangingCall[Partner]
    ) -> webhook_pb2.RotateWebhookSecretResponse:
        given = request.overlap_seconds if request.HasField("overlap_seconds") else None
        secret, until = await endpoints.rotate_secret(
            call.tx,
            self._webhooks.secrets,
            call.caller.partner_id,
            number(request.endpoint_id),
            overlap_seconds=given,
            now=clock.now(),
        )
        await note(call, "rotate-secret", ENDPOINT, request.endpoint_id, {"old_until": until})
        return webhook_pb2.RotateWebhookSecretResponse(
            secret=signatures.written(secret),
            previous_secret_expire_time=convert.timestamp(until),
        )

    @changing
    async def SendTestEvent(
        self, request: webhook_pb2.SendTestEventRequest, call: ChangingCall[Partner]
    ) -> webhook_pb2.SendTestEventResponse:
        event_id = await deliveries.add_test(
            call.tx, call.caller.partner_id, number(request.endpoint_id), now=clock.now()
        )
        return webhook_pb2.SendTestEventResponse(event_id=event_id)

    @paged
    async def ListWebhookDeliveries(
        self,
        request: webhook_pb2.ListWebhookDeliveriesRequest,
        page: Page[Partner, tuple[datetime, UUID]],
    ) -> webhook_pb2.ListWebhookDeliveriesResponse:
        async with self._db.report(page.caller.key) as tx:
            found = await deliveries.page(
                tx,
                page.caller.partner_id,
                number(request.endpoint_id),
                state=messages.DELIVERY_STATE_NAME[request.state],
                before=page.after[1] if page.after else None,
                limit=page.size + 1,
                now=clock.now(),
            )
        shown = page.cut(found, lambda last: (last[0].create_time, last[0].event_id))
        return webhook_pb2.ListWebhookDeliveriesResponse(deliveries=map(messages.delivery, shown))

    @changing
    async def ReplayWebhookDelivery(
        self, request: webhook_pb2.ReplayWebhookDeliveryRequest, call: ChangingCall[Partner]
    ) -> webhook_pb2.ReplayWebhookDeliveryResponse:
        await deliveries.replay(
            call.tx,
            call.caller.partner_id,
            number(request.endpoint_id),
            request.event_id,
            now=clock.now(),
        )
        return webhook_pb2.ReplayWebhookDeliveryResponse()

    @changing
    async def ReplayWebhookDeliveries(
        self, request: webhook_pb2.ReplayWebhookDeliveriesRequest, call: ChangingCall[Partner]
    ) -> webhook_pb2.ReplayWebhookDeliveriesResponse:
        quantity = await deliveries.replay_range(
            call.tx,
            call.caller.partner_id,
            number(request.endpoint_id),
            after=request.after_cursor,
            until=request.until_cursor,
            with_delivered=request.with_delivered,
            now=clock.now(),
        )
        return webhook_pb2.ReplayWebhookDeliveriesResponse(quantity=quantity)

    # The partner's own webhook, of payments

    @changing
    async def RotatePaymentWebhookSecret(
        self, request: webhook_pb2.RotatePaymentWebhookSecretRequest, call: ChangingCall[Partner]
    ) -> webhook_pb2.RotatePaymentWebhookSecretResponse:
        given = request.overlap_seconds if request.HasField("overlap_seconds") else None
        secret, until = await self._webhooks.payments.rotate_secret(
            call.tx, call.caller.partner_id, overlap_seconds=given, now=clock.now()
        )
        after = {"old_until": until}
        await note(call, "rotate-secret", "payment_webhook", call.caller.partner_code, after)
        return webhook_pb2.RotatePaymentWebhookSecretResponse(
            secret=signatures.written(secret),
            previous_secret_expire_time=convert.timestamp(until),
        )

    async def ReceivePartnerPayment(
        self,
        request: webhook_pb2.ReceivePartnerPaymentRequest,
        context: Context[
            webhook_pb2.ReceivePartnerPaymentRequest, webhook_pb2.ReceivePartnerPaymentResponse
        ],
    ) -> webhook_pb2.ReceivePartnerPaymentResponse:
        headers = messages.headers(calls.current().metadata)
        message_id = await self._webhooks.payments.receive(
            request.partner_code, headers, request.body.data, now=clock.now()
        )
        return webhook_pb2.ReceivePartnerPaymentResponse(message_id=message_id)
