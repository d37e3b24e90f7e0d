"""The methods of AdminService about channels, what they are sent and what they book. What a row
does stands in `table.py`.
"""

from datetime import date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from deeptravel.admin.v1 import channel_booking_pb2, channel_difference_pb2, channel_pb2

from server.api import calls, requests
from server.api.admin import channel_messages as messages
from server.api.admin.table import VERSION, AdminMethods, Get, List, Noun, by, version_in
from server.api.calls import Context
from server.api.paging import Page, paged
from server.api.repeats import ChangingCall, changing
from server.channels import asking, bookings, call_log, channel_records, kept_values, outgoing
from server.channels.booking_ends import request_cancellation
from server.channels.channel_records import CHANNELS
from server.channels.connecting import ChannelClients
from server.channels.disconnecting import disconnect_channel
from server.channels.drifting import DriftDetector
from server.channels.facts import (
    CancellationReason,
    ChannelCallError,
    UnmappedError,
    UntestableError,
)
from server.identity.callers import Admin
from server.platform import clock
from server.platform.statements import run

CHANNEL = Noun(CHANNELS, messages.channel)
MOST_FAULTS = 50
"""Of GetChannelDrift."""


class ChannelMethods(AdminMethods):
    """A part of AdminServicer; the contract documents each method."""

    _channels: ChannelClients
    _channel_drift: DriftDetector
    _zone: ZoneInfo

    GetChannel = Get(channel_pb2.GetChannelRequest, channel_pb2.GetChannelResponse, CHANNEL)
    ListChannels = List(channel_pb2.ListChannelsRequest, channel_pb2.ListChannelsResponse, CHANNEL)

    @changing
    async def ConnectChannel(
        self, request: channel_pb2.ConnectChannelRequest, call: ChangingCall[Admin]
    ) -> channel_pb2.ConnectChannelResponse:
        given = messages.credentials(request.credentials)
        made = await channel_records.connect_channel(
            call.tx, self._channels.seals, messages.new_channel(request), given, **by(call)
        )
        return channel_pb2.ConnectChannelResponse(channel=messages.channel(made))

    @changing
    async def UpdateChannel(
        self, request: channel_pb2.UpdateChannelRequest, call: ChangingCall[Admin]
    ) -> channel_pb2.UpdateChannelResponse:
        await CHANNELS.require_version(call.tx, request.channel_code, version_in(request))
        values = requests.changes(request, besides=[VERSION])
        changed = await channel_records.update_channel(
            call.tx, self._channels.seals, request.channel_code, values, **by(call)
        )
        return channel_pb2.UpdateChannelResponse(channel=messages.channel(changed))

    @changing
    async def RotateChannelCredentials(
        self, request: channel_pb2.RotateChannelCredentialsRequest, call: ChangingCall[Admin]
    ) -> channel_pb2.RotateChannelCredentialsResponse:
        await CHANNELS.require_version(call.tx, request.channel_code, version_in(request))
        given = messages.credentials(request.credentials)
        changed = await channel_records.rotate_credentials(
            call.tx, self._channels.seals, request.channel_code, given, **by(call)
        )
        return channel_pb2.RotateChannelCredentialsResponse(channel=messages.channel(changed))

    @changing
    async def PauseChannel(
        self, request: channel_pb2.PauseChannelRequest, call: ChangingCall[Admin]
    ) -> channel_pb2.PauseChannelResponse:
        await CHANNELS.require_version(call.tx, request.channel_code, version_in(request))
        paused = await channel_records.set_paused(
            call.tx, self._channels.seals, request.channel_code, paused=True, **by(call)
        )
        return channel_pb2.PauseChannelResponse(channel=messages.channel(paused))

    @changing
    async def ResumeChannel(
        self, request: channel_pb2.ResumeChannelRequest, call: ChangingCall[Admin]
    ) -> channel_pb2.ResumeChannelResponse:
        await CHANNELS.require_version(call.tx, request.channel_code, version_in(request))
        resumed = await channel_records.set_paused(
            call.tx, self._channels.seals, request.channel_code, paused=False, **by(call)
        )
        return channel_pb2.ResumeChannelResponse(channel=messages.channel(resumed))

    @changing
    async def DisconnectChannel(
        self, request: channel_pb2.DisconnectChannelRequest, call: ChangingCall[Admin]
    ) -> channel_pb2.DisconnectChannelResponse:
        await CHANNELS.require_version(call.tx, request.channel_code, version_in(request))
        ended = await disconnect_channel(
            call.tx,
            self._channels.seals,
            request.channel_code,
            today=call.now.astimezone(self._zone).date(),
            keep_bookings=request.keep_bookings,
            at_once=request.at_once,
            **by(call),
        )
        return channel_pb2.DisconnectChannelResponse(channel=messages.channel(ended))

    async def TestChannel(
        self,
        request: channel_pb2.TestChannelRequest,
        context: Context[channel_pb2.TestChannelRequest, channel_pb2.TestChannelResponse],
    ) -> channel_pb2.TestChannelResponse:
        try:
            await self._channels.test(request.channel_code)
        except ChannelCallError as error:
            outcome = messages.OUTCOME[error.kind]
            return channel_pb2.TestChannelResponse(outcome=outcome, error=error.with_remedy)
        except UnmappedError as error:
            outcome = channel_pb2.CHANNEL_CALL_OUTCOME_UNMAPPED
            return channel_pb2.TestChannelResponse(outcome=outcome, error=str(error))
        except UntestableError as error:
            outcome = channel_pb2.CHANNEL_CALL_OUTCOME_UNTESTABLE
            return channel_pb2.TestChannelResponse(outcome=outcome, error=str(error))
        return channel_pb2.TestChannelResponse(outcome=channel_pb2.CHANNEL_CALL_OUTCOME_OK)

    # What they are sent

    @changing
    async def SyncChannel(
        self, request: channel_pb2.SyncChannelRequest, call: ChangingCall[Admin]
    ) -> channel_pb2.SyncChannelResponse:
        await asking.sync_channel(
            call.tx,
            request.channel_code,
            everything=request.everything,
            **by(call),
        )
        return channel_pb2.SyncChannelResponse()

    async def GetChannelDrift(
        self,
        request: channel_pb2.GetChannelDriftRequest,
        context: Context[channel_pb2.GetChannelDriftRequest, channel_pb2.GetChannelDriftResponse],
    ) -> channel_pb2.GetChannelDriftResponse:
        code, now = request.channel_code, clock.now()
        today = now.astimezone(self._zone).date()
        async with self._db.report(calls.caller().key) as tx:
            channel = await CHANNELS.get(tx, code)
            found = await run(tx, outgoing.drift(code, today=today))
            faults = await run(tx, outgoing.faults(code, today=today, limit=MOST_FAULTS))
            drifted = await self._channel_drift.count(tx, channel, now=now)
        return channel_pb2.GetChannelDriftResponse(
            drift=messages.drifts(found, drifted), faults=map(messages.fault, faults)
        )

    @paged
    async def ListChannelDrift(
        self,
        request: channel_difference_pb2.ListChannelDriftRequest,
        page: Page[Admin, tuple[str, str, date]],
    ) -> channel_difference_pb2.ListChannelDriftResponse:
        now, limit = clock.now(), page.size + 1
        async with self._db.report(page.caller.key) as tx:
            channel = await CHANNELS.get(tx, request.channel_code)
            found = await self._channel_drift.page(
                tx, channel, item_id=request.item_id, after=page.after, limit=limit, now=now
            )
        shown = page.cut(found, lambda last: last.place)
        return channel_difference_pb2.ListChannelDriftResponse(
            differences=[messages.drifted(each, now) for each in shown]
        )

    @paged
    async def ListChannelValues(
        self,
        request: channel_pb2.ListChannelValuesRequest,
        page: Page[Admin, tuple[str, str, date]],
    ) -> channel_pb2.ListChannelValuesResponse:
        command = kept_values.page(
            request.channel_code,
            what=messages.VALUE_KIND_NAME[request.what],
            item_id=request.item_id,
            waiting=request.waiting,
            faulty=request.faulty,
            after=page.after,
            limit=page.size + 1,
        )
        async with self._db.report(page.caller.key) as tx:
            await CHANNELS.get(tx, request.channel_code)
            found = await run(tx, command)
        shown = page.cut(found, lambda last: (last.what, last.item_id, last.day))
        return channel_pb2.ListChannelValuesResponse(values=map(messages.value, shown))

    @paged
    async def ListChannelCalls(
        self, request: channel_pb2.ListChannelCallsRequest, page: Page[Admin, UUID]
    ) -> channel_pb2.ListChannelCallsResponse:
        command = call_log.newest(request.channel_code, before=page.after, limit=page.size + 1)
        async with self._db.report(page.caller.key) as tx:
            await CHANNELS.get(tx, request.channel_code)
            found = await run(tx, command)
        shown = page.cut(found, lambda last: last.call_id)
        return channel_pb2.ListChannelCallsResponse(calls=map(messages.call, shown))

    # What they book

    @changing
    async def FetchChannelBookings(
        self, request: channel_pb2.FetchChannelBookingsRequest, call: ChangingCall[Admin]
    ) -> channel_pb2.FetchChannelBookingsResponse:
        await asking.fetch_bookings(call.tx, request.channel_code, **by(call))
        return channel_pb2.FetchChannelBookingsResponse()

    @paged
    async def ListChannelBookings(
        self,
        request: channel_booking_pb2.ListChannelBookingsRequest,
        page: Page[Admin, tuple[datetime, str]],
    ) -> channel_booking_pb2.ListChannelBookingsResponse:
        command = bookings.page(
            request.channel_code,
            state=messages.BOOKING_STATE_NAME[request.state],
            faulty=request.faulty,
            before=page.after,
            limit=page.size + 1,
        )
        async with self._db.report(page.caller.key) as tx:
            await CHANNELS.get(tx, request.channel_code)
            found = await run(tx, command)
        shown = page.cut(found, lambda last: (last.create_time, last.booking_id))
        return channel_booking_pb2.ListChannelBookingsResponse(
            bookings=map(messages.booking, shown)
        )

    async def GetChannelBooking(
        self,
        request: channel_booking_pb2.GetChannelBookingRequest,
        context: Context[
            channel_booking_pb2.GetChannelBookingRequest,
            channel_booking_pb2.GetChannelBookingResponse,
        ],
    ) -> channel_booking_pb2.GetChannelBookingResponse:
        async with self._db.transaction() as tx:
            found = await asking.get_booking(tx, request.channel_code, request.booking_id)
        return channel_booking_pb2.GetChannelBookingResponse(booking=messages.booking(found))

    @changing
    async def CancelChannelBooking(
        self, request: channel_booking_pb2.CancelChannelBookingRequest, call: ChangingCall[Admin]
    ) -> channel_booking_pb2.CancelChannelBookingResponse:
        cancelled = await request_cancellation(
            call.tx,
            request.channel_code,
            request.booking_id,
            request.reason or CancellationReason.OTHER,
            request.comment,
            **by(call),
        )
        message = messages.booking(cancelled)
        return channel_booking_pb2.CancelChannelBookingResponse(booking=message)

    @changing
    async def RetryChannelBooking(
        self, request: channel_booking_pb2.RetryChannelBookingRequest, call: ChangingCall[Admin]
    ) -> channel_booking_pb2.RetryChannelBookingResponse:
        found = await asking.retry_booking(
            call.tx, request.channel_code, request.booking_id, **by(call)
        )
        return channel_booking_pb2.RetryChannelBookingResponse(booking=messages.booking(found))
