"""Where each call that changes something leaves its trace: every method of the contract that does
is named here, with the audit trail or a table that says who, what and when. A new one that is not
named fails. That those of administrators do leave their event is tried call by call in
tests/api/test_admin.py (`test_repeats_at_once_do_the_work_once`).
"""

import pytest
from deeptravel.admin.v1 import admin_service_pb2
from deeptravel.ota.v1 import ota_service_pb2
from deeptravel.redemption.v1 import redemption_service_pb2
from deeptravel.ticketing.v1 import ticketing_service_pb2

from server.operations.schema import metadata

SERVICES = {
    "AdminService": admin_service_pb2,
    "OtaService": ota_service_pb2,
    "RedemptionService": redemption_service_pb2,
    "TicketingService": ticketing_service_pb2,
}
METHODS = {
    method.name
    for name, module in SERVICES.items()
    if name != "AdminService"
    for method in module.DESCRIPTOR.services_by_name[name].methods
}
READING = (
    *("Get", "List", "Search", "Quote", "Watch", "Stream", "Export", "Download", "Lookup"),
    *("Decrypt", "Summarize"),
)
AUDIT = "audit_events"
TRACES = {
    # sign-ins
    "OperatorLogin": AUDIT,
    "Logout": AUDIT,
    "TravellerLogin": AUDIT,
    "RefreshToken": "logins",  # of one that was used before audit_events
    "OpenValidatorSession": "validator_sessions",
    "CloseValidatorSession": "validator_sessions",
    # the gate: scans have a table of their own, the supervisor's acts are audited too
    "Redeem": "redemption_events",
    "RedeemMany": "redemption_events",
    "ScanStream": "redemption_events",
    "UploadScans": "offline_scans",
    "RedeemByCode": AUDIT,
    "ReverseRedemption": AUDIT,
    "LeaseTickets": AUDIT,
    "GiveBackLeases": AUDIT,
    # partners' configuration, and what they do in bulk
    "CreateDistributor": AUDIT,
    "UpdateDistributor": AUDIT,
    "ArchiveDistributor": AUDIT,
    "CreateWebhookEndpoint": AUDIT,
    "UpdateWebhookEndpoint": AUDIT,
    "DeleteWebhookEndpoint": AUDIT,
    "RotateWebhookSecret": AUDIT,
    "RotatePaymentWebhookSecret": AUDIT,
    "ActivateTickets": AUDIT,
    "CancelTickets": AUDIT,
    "ReassignTickets": AUDIT,
    # partners' trade
    "ReserveInventory": "reservations",
    "ExtendReservation": "partner_events",
    "ReleaseReservation": "partner_events",
    "BulkGenerateTickets": "batches",
    "ActivateTicket": "partner_events",
    "ReceivePartnerPayment": "partner_payments",
    "SendTestEvent": "webhook_deliveries",
    "ReplayWebhookDelivery": "webhook_deliveries",
    "ReplayWebhookDeliveries": "webhook_deliveries",
    "AcknowledgeEvents": "partner_feeds",
    # sandboxes
    "SetSandboxStock": "stocks",
    "SimulateRedemption": "redemption_events",
    "SimulateReversal": AUDIT,
    "AdvanceTestClock": "sandbox_advances",
    # travellers' own
    "CreateOrder": "order_events",
    "CancelOrder": "order_events",
    "CreatePayment": "payments",
    "ReceiveWechatPayNotice": "notices",
    "RequestRefund": "refunds",
    "ChangeTicket": "order_events",
    "MarkNotificationRead": "notifications",
    "MarkAllNotificationsRead": "notifications",
    "ReportSubscriptionConsents": "notification_consents",
    "UpdateNotificationPreferences": "notification_preferences",
}
CHANGES_NOTHING = {"IssueQr", "IssueOrderQr", "IssueTicketQr"}
"""A QR is made anew each time and moves nothing."""


@pytest.mark.fast
def test_each_call_that_changes_something_leaves_a_trace() -> None:
    changing = {name for name in METHODS if not name.startswith(READING)} - CHANGES_NOTHING
    assert changing == TRACES.keys()
    assert set(TRACES.values()) <= metadata.tables.keys()
