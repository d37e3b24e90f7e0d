"""What administrators keep as protobuf messages, and requests to create it as plain values."""

from datetime import datetime
from typing import Any, Protocol, TypedDict, TypeVar

from deeptravel.admin.v1 import (
    account_pb2,
    audit_pb2,
    partner_pb2,
    state_pb2,
    ticket_block_pb2,
    traveller_pb2,
    venue_pb2,
)
from deeptravel.common.v1 import options_pb2
from deeptravel.tickets.v1 import ticket_pb2
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from server.api.convert import enum_names, enum_numbers, timestamp
from server.api.requests import optional
from server.audit.audit_events import AuditEvent
from server.identity.accounts import Administrator, OperatorAccount
from server.identity.partner_keys import PartnerKey
from server.identity.traveller_blocks import TravellerRecord
from server.orders.ticket_blocks import TicketBlock
from server.parties.partners import DEFAULT_REQUESTS_PER_MINUTE, NewPartner, PartnerRecord
from server.parties.venues import (
    DEFAULT_REVERSAL_WINDOW_SECONDS,
    Merchant,
    NewMerchant,
    NewTerminal,
    NewVenue,
    Terminal,
    Venue,
)

STATE = enum_numbers(state_pb2.ResourceState)
MODE = enum_numbers(partner_pb2.PartnerMode)
ROLE = enum_numbers(account_pb2.OperatorRole)
ROLE_NAME = enum_names(account_pb2.OperatorRole)
ADMIN_ROLE = enum_numbers(options_pb2.AdminRole)
ADMIN_ROLE_NAME = enum_names(options_pb2.AdminRole)
TRAVELLER_STATE = enum_numbers(traveller_pb2.TravellerState)
TICKET_STATE = enum_numbers(ticket_pb2.TicketState)

BlockResponse = TypeVar(
    "BlockResponse", ticket_block_pb2.BlockTicketResponse, ticket_block_pb2.UnblockTicketResponse
)


class _Kept(Protocol):
    @property
    def state(self) -> str: ...
    @property
    def create_time(self) -> datetime: ...
    @property
    def update_time(self) -> datetime: ...


def partner_message(partner: PartnerRecord) -> partner_pb2.Partner:
    """A partner."""
    return partner_pb2.Partner(
        partner_code=partner.partner_code,
        display_name=partner.display_name,
        requests_per_minute=partner.requests_per_minute,
        allowed_addresses=partner.allowed_addresses,
        activation_tolerance_basis_points=partner.activation_tolerance_basis_points,
        mode=MODE[partner.mode],
        sandbox_partner_code=partner.sandbox_partner_code or "",
        live_partner_code=partner.live_partner_code or "",
        version=partner.version,
        **_common(partner),
    )


def key_message(key: PartnerKey) -> partner_pb2.PartnerKey:
    """A partner's key."""
    return partner_pb2.PartnerKey(
        key_id=key.key_id,
        mode=MODE[key.mode],
        state=STATE[key.state],
        create_time=timestamp(key.create_time),
        last_used_time=timestamp(key.last_used_time),
        revoke_time=timestamp(key.revoke_time),
    )


def merchant_message(merchant: Merchant) -> venue_pb2.Merchant:
    """A merchant."""
    return venue_pb2.Merchant(
        merchant_code=merchant.merchant_code,
        display_name=merchant.display_name,
        function_codes=merchant.function_codes,
        reversal_window_seconds=merchant.reversal_window_seconds,
        offline_pack_seconds=merchant.offline_pack_seconds,
        offline_clock_seconds=merchant.offline_clock_seconds,
        offline_over_admission=merchant.offline_over_admission,
        offline_bears_refunds=merchant.offline_bears_refunds,
        version=merchant.version,
        **_common(merchant),
    )


def venue_message(venue: Venue) -> venue_pb2.Venue:
    """A venue."""
    return venue_pb2.Venue(
        venue_code=venue.venue_code,
        merchant_code=venue.merchant_code,
        display_name=venue.display_name,
        time_zone=venue.time_zone,
        function_codes=venue.function_codes,
        offline_pack_seconds=venue.offline_pack_seconds,
        offline_clock_seconds=venue.offline_clock_seconds,
        offline_over_admission=venue.offline_over_admission,
        offline_bears_refunds=venue.offline_bears_refunds,
        version=venue.version,
        **_common(venue),
    )


def terminal_message(terminal: Terminal) -> venue_pb2.Terminal:
    """A terminal."""
    return venue_pb2.Terminal(
        terminal_device_id=terminal.terminal_device_id,
        venue_code=terminal.venue_code,
        display_name=terminal.display_name,
        version=terminal.version,
        **_common(terminal),
    )


def operator_message(operator: OperatorAccount) -> account_pb2.Operator:
    """An operator's or supervisor's account."""
    return account_pb2.Operator(
        username=operator.username,
        role=ROLE[operator.role],
        merchant_code=operator.merchant_code,
        venue_codes=operator.venue_codes,
        display_name=operator.display_name,
        failed_logins=operator.failed_logins,
        failed_logins_expire_time=timestamp(operator.failed_logins_expire_time),
        version=operator.version,
        **_common(operator),
    )


def administrator_message(administrator: Administrator) -> account_pb2.Administrator:
    """An administrator's account."""
    return account_pb2.Administrator(
        username=administrator.username,
        display_name=administrator.display_name,
        roles=(ADMIN_ROLE[role] for role in administrator.roles),
        failed_logins=administrator.failed_logins,
        failed_logins_expire_time=timestamp(administrator.failed_logins_expire_time),
        second_factor=administrator.second_factor,
        version=administrator.version,
        **_common(administrator),
    )


def admin_roles(numbers: Any) -> list[str]:
    """Roles of administrators by the names the domain uses."""
    return [ADMIN_ROLE_NAME[number] for number in numbers]


def new_partner(request: partner_pb2.CreatePartnerRequest) -> NewPartner:
    """What CreatePartner asks for."""
    return NewPartner(
        partner_code=request.partner_code,
        display_name=request.display_name,
        requests_per_minute=request.requests_per_minute or DEFAULT_REQUESTS_PER_MINUTE,
        allowed_addresses=list(request.allowed_addresses),
        activation_tolerance_basis_points=request.activation_tolerance_basis_points,
    )


def new_merchant(request: venue_pb2.CreateMerchantRequest) -> NewMerchant:
    """What CreateMerchant asks for."""
    return NewMerchant(
        merchant_code=request.merchant_code,
        display_name=request.display_name,
        function_codes=list(request.function_codes),
        reversal_window_seconds=optional(
            request, "reversal_window_seconds", DEFAULT_REVERSAL_WINDOW_SECONDS
        ),
    )


def new_venue(request: venue_pb2.CreateVenueRequest) -> NewVenue:
    """What CreateVenue asks for."""
    return NewVenue(
        venue_code=request.venue_code,
        merchant_code=request.merchant_code,
        display_name=request.display_name,
        time_zone=request.time_zone,
        function_codes=list(request.function_codes),
    )


def new_terminal(request: venue_pb2.CreateTerminalRequest) -> NewTerminal:
    """What CreateTerminal asks for."""
    return NewTerminal(
        terminal_device_id=request.terminal_device_id,
        venue_code=request.venue_code,
        display_name=request.display_name,
    )


def traveller_message(traveller: TravellerRecord) -> traveller_pb2.Traveller:
    """A traveller."""
    return traveller_pb2.Traveller(
        traveller_id=traveller.traveller_id,
        app_id=traveller.app_id,
        openid=traveller.openid,
        unionid=traveller.unionid or "",
        state=TRAVELLER_STATE[traveller.state],
        create_time=timestamp(traveller.create_time),
        update_time=timestamp(traveller.update_time),
        last_login_time=timestamp(traveller.last_login_time),
    )


def audit_message(event: AuditEvent) -> audit_pb2.AuditEvent:
    """An audit event."""
    return audit_pb2.AuditEvent(
        audit_id=str(event.audit_id),
        occurred_time=timestamp(event.occurred_time),
        actor=event.actor,
        action=event.action,
        resource=event.resource,
        name=event.name,
        before=_struct(event.before),
        after=_struct(event.after),
        reason=event.reason or "",
        address=event.address or "",
        terminal_device_id=event.terminal_device_id or "",
        request_id=event.request_id or "",
        position=event.position or 0,
        chain_hash=(event.chain_hash or b"").hex(),
    )


def ticket_block(block: TicketBlock, response: type[BlockResponse]) -> BlockResponse:
    """A ticket that is blocked or unblocked."""
    return response(
        ticket_code=block.ticket_code,
        status=TICKET_STATE[block.state],
        blocked=block.blocked,
        successor_ticket_code=block.successor_ticket_code,
    )


class _Common(TypedDict):
    state: "state_pb2.ResourceState.ValueType"
    create_time: Timestamp | None
    update_time: Timestamp | None


def _common(record: _Kept) -> _Common:
    return _Common(
        state=STATE[record.state],
        create_time=timestamp(record.create_time),
        update_time=timestamp(record.update_time),
    )


def _struct(content: dict[str, Any] | None) -> Struct | None:
    if content is None:
        return None
    struct = Struct()
    struct.update(content)
    return struct
