"""AdminService: protobuf messages to plain arguments and back.

The methods are in parts: those that are alike, as rows of a table, in `servicer_records.py`; those
of allotments in `servicer_allotments.py`, of channels in `servicer_channels.py`, of departures in
`servicer_departures.py`, of versions of what sells in `servicer_config_versions.py`, of cancelled
and moved departures in `servicer_disruptions.py`, of rentals in `servicer_rentals.py`, of jobs in
`servicer_jobs.py`, of money in `servicer_money.py`; the rest here.
"""

from zoneinfo import ZoneInfo

from deeptravel.admin.v1 import (
    account_pb2,
    partner_pb2,
    ticket_block_pb2,
    traveller_pb2,
)

from server.aftersales.ticket_changes import ChangeHandler
from server.api import calls, paging, requests
from server.api import repeats as repeats_module
from server.api.admin import messages
from server.api.admin.servicer_allotments import AllotmentMethods
from server.api.admin.servicer_audit import AuditMethods
from server.api.admin.servicer_catalogue import CatalogueMethods
from server.api.admin.servicer_catalogue_files import CatalogueFileMethods
from server.api.admin.servicer_channel_listings import ChannelListingMethods
from server.api.admin.servicer_channel_syncs import ChannelSyncMethods
from server.api.admin.servicer_channels import ChannelMethods
from server.api.admin.servicer_config_versions import ConfigVersionMethods
from server.api.admin.servicer_departures import DepartureMethods
from server.api.admin.servicer_disruptions import DisruptionMethods
from server.api.admin.servicer_fares import FareMethods
from server.api.admin.servicer_gtfs import GtfsMethods
from server.api.admin.servicer_holidays import HolidayMethods
from server.api.admin.servicer_jobs import JobMethods
from server.api.admin.servicer_keys import KeyMethods
from server.api.admin.servicer_money import MoneyMethods
from server.api.admin.servicer_notifications import NotificationMethods
from server.api.admin.servicer_offline import OfflineMethods
from server.api.admin.servicer_orders import OrderMethods
from server.api.admin.servicer_records import PARTNER, PARTNER_KEY, RecordMethods
from server.api.admin.servicer_rentals import RentalMethods
from server.api.admin.servicer_reports import DASHBOARD_SECONDS, ReportMethods
from server.api.admin.servicer_second_factor import SecondFactorMethods
from server.api.admin.servicer_statements import PartnerStatementMethods
from server.api.admin.table import VERSION, by, version_in
from server.api.calls import Context
from server.api.repeats import ChangingCall, changing
from server.audit.job_control import JobTable
from server.channels.connecting import ChannelClients
from server.channels.drifting import DriftDetector
from server.identity import accounts, partner_keys, traveller_blocks
from server.identity.accounts import OPERATORS
from server.identity.callers import Admin
from server.identity.second_factors import SecondFactors
from server.identity.service import Identity
from server.orders import ticket_blocks
from server.partners import sandboxes
from server.platform import clock
from server.platform.database import Database
from server.reports.recent import Recent
from server.wechat.client import WechatClient


class AdminServicer(
    RecordMethods,
    AllotmentMethods,
    DepartureMethods,
    CatalogueFileMethods,
    CatalogueMethods,
    ChannelMethods,
    ChannelListingMethods,
    ChannelSyncMethods,
    ConfigVersionMethods,
    DisruptionMethods,
    FareMethods,
    GtfsMethods,
    HolidayMethods,
    JobMethods,
    KeyMethods,
    MoneyMethods,
    NotificationMethods,
    OfflineMethods,
    OrderMethods,
    PartnerStatementMethods,
    RentalMethods,
    ReportMethods,
    AuditMethods,
    SecondFactorMethods,
):
    """The methods of AdminService; the contract documents each."""

    def __init__(  # noqa: PLR0913 - what its parts work with
        self,
        db: Database,
        identity: Identity,
        repeats: repeats_module.Repeats,
        pages: paging.PageTokens,
        *,
        zone: ZoneInfo,
        changes: ChangeHandler,
        wechat: WechatClient | None = None,
        jobs: JobTable,
        channels: ChannelClients,
        channel_drift: DriftDetector,
        channel_peak: frozenset[int],
        secret_key: bytes,
    ) -> None:
        self._db = db
        self._identity = identity
        self._second_factors = SecondFactors(db, identity.codes, identity.login_failures)
        self._repeats = repeats
        self._pages = pages
        self._zone = zone
        self._changes, self._seals = changes, changes.seals
        self._wechat = wechat
        self._dashboards = Recent(DASHBOARD_SECONDS)
        self._jobs = jobs
        self._secret_key = secret_key
        self._channels, self._channel_peak = channels, channel_peak
        self._channel_drift = channel_drift

    async def AdminLogin(
        self,
        request: account_pb2.AdminLoginRequest,
        context: Context[account_pb2.AdminLoginRequest, account_pb2.AdminLoginResponse],
    ) -> account_pb2.AdminLoginResponse:
        tokens = await self._identity.log_in(
            request.username,
            request.password,
            None,
            clock.now(),
            address=calls.current().address,
            code=request.code,
        )
        return account_pb2.AdminLoginResponse(
            access_token=tokens.access_token,
            refresh_token=tokens.refresh_token,
            expires_in=tokens.expires_in_seconds,
        )

    # Partners' keys

    @changing
    async def CreatePartnerKey(
        self, request: partner_pb2.CreatePartnerKeyRequest, call: ChangingCall[Admin]
    ) -> partner_pb2.CreatePartnerKeyResponse:
        is_test = request.mode == partner_pb2.PARTNER_MODE_TEST
        create = sandboxes.create_test_key if is_test else partner_keys.create_live_key
        key, api_key = await create(call.tx, request.partner_code, **by(call))
        return partner_pb2.CreatePartnerKeyResponse(key=messages.key_message(key), api_key=api_key)

    async def GetPartnerKey(
        self,
        request: partner_pb2.GetPartnerKeyRequest,
        context: Context[partner_pb2.GetPartnerKeyRequest, partner_pb2.GetPartnerKeyResponse],
    ) -> partner_pb2.GetPartnerKeyResponse:
        async with self._db.transaction() as tx:
            key = await partner_keys.get_key(tx, request.partner_code, request.key_id)
        return partner_pb2.GetPartnerKeyResponse(key=messages.key_message(key))

    async def ListPartnerKeys(
        self,
        request: partner_pb2.ListPartnerKeysRequest,
        context: Context[partner_pb2.ListPartnerKeysRequest, partner_pb2.ListPartnerKeysResponse],
    ) -> partner_pb2.ListPartnerKeysResponse:
        async with self._db.report(calls.caller(Admin).key) as tx:
            await PARTNER.records.get(tx, request.partner_code)
        found, token = await self.page(PARTNER_KEY, request)
        return partner_pb2.ListPartnerKeysResponse(
            keys=map(messages.key_message, found), next_page_token=token
        )

    @changing
    async def RevokePartnerKey(
        self, request: partner_pb2.RevokePartnerKeyRequest, call: ChangingCall[Admin]
    ) -> partner_pb2.RevokePartnerKeyResponse:
        key = await partner_keys.revoke_key(
            call.tx, request.partner_code, request.key_id, **by(call)
        )
        return partner_pb2.RevokePartnerKeyResponse(key=messages.key_message(key))

    # Accounts, where passwords are hashed

    @changing
    async def CreateOperator(
        self, request: account_pb2.CreateOperatorRequest, call: ChangingCall[Admin]
    ) -> account_pb2.CreateOperatorResponse:
        operator = await accounts.create_operator(
            call.tx,
            self._identity.passwords,
            username=request.username,
            role=messages.ROLE_NAME[request.role],
            merchant_code=request.merchant_code,
            venue_codes=list(request.venue_codes),
            display_name=request.display_name,
            password=request.password,
            **by(call),
        )
        return account_pb2.CreateOperatorResponse(operator=messages.operator_message(operator))

    @changing
    async def UpdateOperator(
        self, request: account_pb2.UpdateOperatorRequest, call: ChangingCall[Admin]
    ) -> account_pb2.UpdateOperatorResponse:
        await OPERATORS.require_version(call.tx, request.username, version_in(request))
        operator = await accounts.update_operator(
            call.tx,
            self._identity.passwords,
            request.username,
            requests.changes(request, besides=[VERSION]),
            **by(call),
        )
        return account_pb2.UpdateOperatorResponse(operator=messages.operator_message(operator))

    @changing
    async def CreateAdministrator(
        self, request: account_pb2.CreateAdministratorRequest, call: ChangingCall[Admin]
    ) -> account_pb2.CreateAdministratorResponse:
        administrator = await accounts.create_administrator(
            call.tx,
            self._identity.passwords,
            username=request.username,
            display_name=request.display_name,
            password=request.password,
            roles=messages.admin_roles(request.roles),
            **by(call),
        )
        message = messages.administrator_message(administrator)
        return account_pb2.CreateAdministratorResponse(administrator=message)

    @changing
    async def UpdateAdministrator(
        self, request: account_pb2.UpdateAdministratorRequest, call: ChangingCall[Admin]
    ) -> account_pb2.UpdateAdministratorResponse:
        administrator = await accounts.update_administrator(
            call.tx,
            self._identity.passwords,
            request.username,
            requests.changes(request, {"roles": messages.admin_roles}, besides=[VERSION]),
            version=request.version,
            **by(call),
        )
        message = messages.administrator_message(administrator)
        return account_pb2.UpdateAdministratorResponse(administrator=message)

    # Blocks

    @changing
    async def BlockTicket(
        self, request: ticket_block_pb2.BlockTicketRequest, call: ChangingCall[Admin]
    ) -> ticket_block_pb2.BlockTicketResponse:
        block = await ticket_blocks.block_ticket(
            call.tx,
            ticket_code=request.ticket_code,
            blocked=True,
            comment=request.comment,
            **by(call),
        )
        return messages.ticket_block(block, ticket_block_pb2.BlockTicketResponse)

    @changing
    async def UnblockTicket(
        self, request: ticket_block_pb2.UnblockTicketRequest, call: ChangingCall[Admin]
    ) -> ticket_block_pb2.UnblockTicketResponse:
        block = await ticket_blocks.block_ticket(
            call.tx,
            ticket_code=request.ticket_code,
            blocked=False,
            comment=request.comment,
            **by(call),
        )
        return messages.ticket_block(block, ticket_block_pb2.UnblockTicketResponse)

    @changing
    async def BlockTraveller(
        self, request: traveller_pb2.BlockTravellerRequest, call: ChangingCall[Admin]
    ) -> traveller_pb2.BlockTravellerResponse:
        traveller = await traveller_blocks.block_traveller(
            call.tx, request.traveller_id, comment=request.comment, **by(call)
        )
        return traveller_pb2.BlockTravellerResponse(traveller=messages.traveller_message(traveller))

    @changing
    async def UnblockTraveller(
        self, request: traveller_pb2.UnblockTravellerRequest, call: ChangingCall[Admin]
    ) -> traveller_pb2.UnblockTravellerResponse:
        traveller = await traveller_blocks.unblock_traveller(
            call.tx, request.traveller_id, comment=request.comment, **by(call)
        )
        message = messages.traveller_message(traveller)
        return traveller_pb2.UnblockTravellerResponse(traveller=message)
