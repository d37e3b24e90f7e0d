"""Requests about a sandbox as plain arguments, and what became of them as messages."""

from deeptravel.ota.v1 import sandbox_pb2
from deeptravel.tickets.v1 import ticket_pb2

from server.api import convert
from server.api.ota.messages import TICKET_STATE
from server.catalog.allotments import Allotment, AllotmentSubject
from server.identity.callers import Partner
from server.parties.partners import PartnerRecord
from server.platform.errors import invalid
from server.redemption.redeem import ScanItem
from server.redemption.reversals import Reversal
from server.tickets.tickets import ticket_number


def sandbox(record: PartnerRecord) -> sandbox_pb2.GetSandboxResponse:
    """A sandbox."""
    return sandbox_pb2.GetSandboxResponse(
        partner_code=record.partner_code,
        live_partner_code=record.live_partner_code or "",
        display_name=record.display_name,
    )


def subject(request: sandbox_pb2.SetSandboxStockRequest) -> AllotmentSubject:
    """What test stock is to be of."""
    return AllotmentSubject(
        request.product_id,
        int(request.departure_id) if request.departure_id else None,
        request.fare_class,
        convert.day(request, "use_date"),
    )


def test_stock(stock: Allotment) -> sandbox_pb2.SetSandboxStockResponse:
    """Test stock as it is now."""
    return sandbox_pb2.SetSandboxStockResponse(
        total=stock.total,
        held=stock.held,
        sold=stock.sold,
        available=stock.total - stock.held - stock.sold,
        version=stock.version,
    )


def scan(request: sandbox_pb2.SimulateRedemptionRequest, caller: Partner) -> ScanItem:
    """What a simulated terminal is to redeem. Raises INVALID_FIELD where it names no ticket."""
    if not request.qr_token and not request.ticket_code:
        raise invalid("qr_token", "send this, or ticket_code")
    number = None if request.qr_token else ticket_number(request.ticket_code, caller) or 0
    return ScanItem(
        request.qr_token,
        request.function_code,
        request.quantity or 1,
        request.ticket_code,
        number,
    )


def comment(request: sandbox_pb2.SimulateRedemptionRequest) -> str:
    """Why there is no QR, where there is none."""
    return "" if request.qr_token else "in the sandbox"


def reversal(taken_back: Reversal) -> sandbox_pb2.SimulateReversalResponse:
    """A simulated redemption that was taken back."""
    return sandbox_pb2.SimulateReversalResponse(
        redemption_id=taken_back.redemption_id,
        ticket_code=taken_back.ticket_code,
        ticket_status=TICKET_STATE[taken_back.ticket_state],
        entitlements=[
            ticket_pb2.Entitlement(function_code=function, remaining_uses=uses)
            for function, uses in taken_back.remaining
        ],
    )
