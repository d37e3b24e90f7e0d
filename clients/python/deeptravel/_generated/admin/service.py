"""Methods of deeptravel.admin.v1.AdminService."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping

from deeptravel._generated import admin, common, ota, ticketing, tickets
from deeptravel._async_calls import AsyncCalls
from deeptravel._calls import Calls
from deeptravel._fields import Duration, FieldMask, Moment, Struct, timestamp
from deeptravel._method import Method

_ADMIN_LOGIN = Method(
    "/deeptravel.admin.v1.AdminService/AdminLogin",
    admin.AdminLoginRequest,
    admin.AdminLoginResponse,
    safe=False,
)
_CREATE_PARTNER = Method(
    "/deeptravel.admin.v1.AdminService/CreatePartner",
    admin.CreatePartnerRequest,
    admin.CreatePartnerResponse,
    safe=False,
)
_GET_PARTNER = Method(
    "/deeptravel.admin.v1.AdminService/GetPartner",
    admin.GetPartnerRequest,
    admin.GetPartnerResponse,
    safe=True,
)
_LIST_PARTNERS = Method(
    "/deeptravel.admin.v1.AdminService/ListPartners",
    admin.ListPartnersRequest,
    admin.ListPartnersResponse,
    safe=True,
    items="partners",
)
_UPDATE_PARTNER = Method(
    "/deeptravel.admin.v1.AdminService/UpdatePartner",
    admin.UpdatePartnerRequest,
    admin.UpdatePartnerResponse,
    safe=False,
)
_REVOKE_PARTNER = Method(
    "/deeptravel.admin.v1.AdminService/RevokePartner",
    admin.RevokePartnerRequest,
    admin.RevokePartnerResponse,
    safe=False,
)
_ARCHIVE_PARTNER = Method(
    "/deeptravel.admin.v1.AdminService/ArchivePartner",
    admin.ArchivePartnerRequest,
    admin.ArchivePartnerResponse,
    safe=False,
)
_UNARCHIVE_PARTNER = Method(
    "/deeptravel.admin.v1.AdminService/UnarchivePartner",
    admin.UnarchivePartnerRequest,
    admin.UnarchivePartnerResponse,
    safe=False,
)
_CREATE_PARTNER_KEY = Method(
    "/deeptravel.admin.v1.AdminService/CreatePartnerKey",
    admin.CreatePartnerKeyRequest,
    admin.CreatePartnerKeyResponse,
    safe=False,
)
_GET_PARTNER_KEY = Method(
    "/deeptravel.admin.v1.AdminService/GetPartnerKey",
    admin.GetPartnerKeyRequest,
    admin.GetPartnerKeyResponse,
    safe=True,
)
_LIST_PARTNER_KEYS = Method(
    "/deeptravel.admin.v1.AdminService/ListPartnerKeys",
    admin.ListPartnerKeysRequest,
    admin.ListPartnerKeysResponse,
    safe=True,
    items="keys",
)
_REVOKE_PARTNER_KEY = Method(
    "/deeptravel.admin.v1.AdminService/RevokePartnerKey",
    admin.RevokePartnerKeyRequest,
    admin.RevokePartnerKeyResponse,
    safe=False,
)
_LIST_PARTNER_STATEMENTS = Method(
    "/deeptravel.admin.v1.AdminService/ListPartnerStatements",
    admin.ListPartnerStatementsRequest,
    admin.ListPartnerStatementsResponse,
    safe=True,
    items="statements",
)
_GET_PARTNER_STATEMENT = Method(
    "/deeptravel.admin.v1.AdminService/GetPartnerStatement",
    admin.GetPartnerStatementRequest,
    admin.GetPartnerStatementResponse,
    safe=True,
    items="lines",
)
_DOWNLOAD_PARTNER_STATEMENT = Method(
    "/deeptravel.admin.v1.AdminService/DownloadPartnerStatement",
    admin.DownloadPartnerStatementRequest,
    admin.DownloadPartnerStatementResponse,
    safe=True,
)
_CREATE_MERCHANT = Method(
    "/deeptravel.admin.v1.AdminService/CreateMerchant",
    admin.CreateMerchantRequest,
    admin.CreateMerchantResponse,
    safe=False,
)
_GET_MERCHANT = Method(
    "/deeptravel.admin.v1.AdminService/GetMerchant",
    admin.GetMerchantRequest,
    admin.GetMerchantResponse,
    safe=True,
)
_LIST_MERCHANTS = Method(
    "/deeptravel.admin.v1.AdminService/ListMerchants",
    admin.ListMerchantsRequest,
    admin.ListMerchantsResponse,
    safe=True,
    items="merchants",
)
_UPDATE_MERCHANT = Method(
    "/deeptravel.admin.v1.AdminService/UpdateMerchant",
    admin.UpdateMerchantRequest,
    admin.UpdateMerchantResponse,
    safe=False,
)
_REVOKE_MERCHANT = Method(
    "/deeptravel.admin.v1.AdminService/RevokeMerchant",
    admin.RevokeMerchantRequest,
    admin.RevokeMerchantResponse,
    safe=False,
)
_ARCHIVE_MERCHANT = Method(
    "/deeptravel.admin.v1.AdminService/ArchiveMerchant",
    admin.ArchiveMerchantRequest,
    admin.ArchiveMerchantResponse,
    safe=False,
)
_UNARCHIVE_MERCHANT = Method(
    "/deeptravel.admin.v1.AdminService/UnarchiveMerchant",
    admin.UnarchiveMerchantRequest,
    admin.UnarchiveMerchantResponse,
    safe=False,
)
_CREATE_VENUE = Method(
    "/deeptravel.admin.v1.AdminService/CreateVenue",
    admin.CreateVenueRequest,
    admin.CreateVenueResponse,
    safe=False,
)
_GET_VENUE = Method(
    "/deeptravel.admin.v1.AdminService/GetVenue",
    admin.GetVenueRequest,
    admin.GetVenueResponse,
    safe=True,
)
_LIST_VENUES = Method(
    "/deeptravel.admin.v1.AdminService/ListVenues",
    admin.ListVenuesRequest,
    admin.ListVenuesResponse,
    safe=True,
    items="venues",
)
_UPDATE_VENUE = Method(
    "/deeptravel.admin.v1.AdminService/UpdateVenue",
    admin.UpdateVenueRequest,
    admin.UpdateVenueResponse,
    safe=False,
)
_REVOKE_VENUE = Method(
    "/deeptravel.admin.v1.AdminService/RevokeVenue",
    admin.RevokeVenueRequest,
    admin.RevokeVenueResponse,
    safe=False,
)
_ARCHIVE_VENUE = Method(
    "/deeptravel.admin.v1.AdminService/ArchiveVenue",
    admin.ArchiveVenueRequest,
    admin.ArchiveVenueResponse,
    safe=False,
)
_UNARCHIVE_VENUE = Method(
    "/deeptravel.admin.v1.AdminService/UnarchiveVenue",
    admin.UnarchiveVenueRequest,
    admin.UnarchiveVenueResponse,
    safe=False,
)
_CREATE_TERMINAL = Method(
    "/deeptravel.admin.v1.AdminService/CreateTerminal",
    admin.CreateTerminalRequest,
    admin.CreateTerminalResponse,
    safe=False,
)
_GET_TERMINAL = Method(
    "/deeptravel.admin.v1.AdminService/GetTerminal",
    admin.GetTerminalRequest,
    admin.GetTerminalResponse,
    safe=True,
)
_LIST_TERMINALS = Method(
    "/deeptravel.admin.v1.AdminService/ListTerminals",
    admin.ListTerminalsRequest,
    admin.ListTerminalsResponse,
    safe=True,
    items="terminals",
)
_UPDATE_TERMINAL = Method(
    "/deeptravel.admin.v1.AdminService/UpdateTerminal",
    admin.UpdateTerminalRequest,
    admin.UpdateTerminalResponse,
    safe=False,
)
_REVOKE_TERMINAL = Method(
    "/deeptravel.admin.v1.AdminService/RevokeTerminal",
    admin.RevokeTerminalRequest,
    admin.RevokeTerminalResponse,
    safe=False,
)
_ARCHIVE_TERMINAL = Method(
    "/deeptravel.admin.v1.AdminService/ArchiveTerminal",
    admin.ArchiveTerminalRequest,
    admin.ArchiveTerminalResponse,
    safe=False,
)
_UNARCHIVE_TERMINAL = Method(
    "/deeptravel.admin.v1.AdminService/UnarchiveTerminal",
    admin.UnarchiveTerminalRequest,
    admin.UnarchiveTerminalResponse,
    safe=False,
)
_CREATE_OPERATOR = Method(
    "/deeptravel.admin.v1.AdminService/CreateOperator",
    admin.CreateOperatorRequest,
    admin.CreateOperatorResponse,
    safe=False,
)
_GET_OPERATOR = Method(
    "/deeptravel.admin.v1.AdminService/GetOperator",
    admin.GetOperatorRequest,
    admin.GetOperatorResponse,
    safe=True,
)
_LIST_OPERATORS = Method(
    "/deeptravel.admin.v1.AdminService/ListOperators",
    admin.ListOperatorsRequest,
    admin.ListOperatorsResponse,
    safe=True,
    items="operators",
)
_UPDATE_OPERATOR = Method(
    "/deeptravel.admin.v1.AdminService/UpdateOperator",
    admin.UpdateOperatorRequest,
    admin.UpdateOperatorResponse,
    safe=False,
)
_REVOKE_OPERATOR = Method(
    "/deeptravel.admin.v1.AdminService/RevokeOperator",
    admin.RevokeOperatorRequest,
    admin.RevokeOperatorResponse,
    safe=False,
)
_ARCHIVE_OPERATOR = Method(
    "/deeptravel.admin.v1.AdminService/ArchiveOperator",
    admin.ArchiveOperatorRequest,
    admin.ArchiveOperatorResponse,
    safe=False,
)
_UNARCHIVE_OPERATOR = Method(
    "/deeptravel.admin.v1.AdminService/UnarchiveOperator",
    admin.UnarchiveOperatorRequest,
    admin.UnarchiveOperatorResponse,
    safe=False,
)
_ENROL_SECOND_FACTOR = Method(
    "/deeptravel.admin.v1.AdminService/EnrolSecondFactor",
    admin.EnrolSecondFactorRequest,
    admin.EnrolSecondFactorResponse,
    safe=False,
)
_CONFIRM_SECOND_FACTOR = Method(
    "/deeptravel.admin.v1.AdminService/ConfirmSecondFactor",
    admin.ConfirmSecondFactorRequest,
    admin.ConfirmSecondFactorResponse,
    safe=False,
)
_RENEW_RECOVERY_CODES = Method(
    "/deeptravel.admin.v1.AdminService/RenewRecoveryCodes",
    admin.RenewRecoveryCodesRequest,
    admin.RenewRecoveryCodesResponse,
    safe=False,
)
_RESET_SECOND_FACTOR = Method(
    "/deeptravel.admin.v1.AdminService/ResetSecondFactor",
    admin.ResetSecondFactorRequest,
    admin.ResetSecondFactorResponse,
    safe=False,
)
_CREATE_ADMINISTRATOR = Method(
    "/deeptravel.admin.v1.AdminService/CreateAdministrator",
    admin.CreateAdministratorRequest,
    admin.CreateAdministratorResponse,
    safe=False,
)
_GET_ADMINISTRATOR = Method(
    "/deeptravel.admin.v1.AdminService/GetAdministrator",
    admin.GetAdministratorRequest,
    admin.GetAdministratorResponse,
    safe=True,
)
_LIST_ADMINISTRATORS = Method(
    "/deeptravel.admin.v1.AdminService/ListAdministrators",
    admin.ListAdministratorsRequest,
    admin.ListAdministratorsResponse,
    safe=True,
    items="administrators",
)
_UPDATE_ADMINISTRATOR = Method(
    "/deeptravel.admin.v1.AdminService/UpdateAdministrator",
    admin.UpdateAdministratorRequest,
    admin.UpdateAdministratorResponse,
    safe=False,
)
_REVOKE_ADMINISTRATOR = Method(
    "/deeptravel.admin.v1.AdminService/RevokeAdministrator",
    admin.RevokeAdministratorRequest,
    admin.RevokeAdministratorResponse,
    safe=False,
)
_CREATE_PRODUCT = Method(
    "/deeptravel.admin.v1.AdminService/CreateProduct",
    admin.CreateProductRequest,
    admin.CreateProductResponse,
    safe=False,
)
_GET_PRODUCT = Method(
    "/deeptravel.admin.v1.AdminService/GetProduct",
    admin.GetProductRequest,
    admin.GetProductResponse,
    safe=True,
)
_LIST_PRODUCTS = Method(
    "/deeptravel.admin.v1.AdminService/ListProducts",
    admin.ListProductsRequest,
    admin.ListProductsResponse,
    safe=True,
    items="products",
)
_UPDATE_PRODUCT = Method(
    "/deeptravel.admin.v1.AdminService/UpdateProduct",
    admin.UpdateProductRequest,
    admin.UpdateProductResponse,
    safe=False,
)
_ARCHIVE_PRODUCT = Method(
    "/deeptravel.admin.v1.AdminService/ArchiveProduct",
    admin.ArchiveProductRequest,
    admin.ArchiveProductResponse,
    safe=False,
)
_CREATE_ALLOTMENT = Method(
    "/deeptravel.admin.v1.AdminService/CreateAllotment",
    admin.CreateAllotmentRequest,
    admin.CreateAllotmentResponse,
    safe=False,
)
_GET_ALLOTMENT = Method(
    "/deeptravel.admin.v1.AdminService/GetAllotment",
    admin.GetAllotmentRequest,
    admin.GetAllotmentResponse,
    safe=True,
)
_LIST_ALLOTMENTS = Method(
    "/deeptravel.admin.v1.AdminService/ListAllotments",
    admin.ListAllotmentsRequest,
    admin.ListAllotmentsResponse,
    safe=True,
    items="allotments",
)
_UPDATE_ALLOTMENT = Method(
    "/deeptravel.admin.v1.AdminService/UpdateAllotment",
    admin.UpdateAllotmentRequest,
    admin.UpdateAllotmentResponse,
    safe=False,
)
_MOVE_ALLOTMENT = Method(
    "/deeptravel.admin.v1.AdminService/MoveAllotment",
    admin.MoveAllotmentRequest,
    admin.MoveAllotmentResponse,
    safe=False,
)
_ADJUST_ALLOTMENT = Method(
    "/deeptravel.admin.v1.AdminService/AdjustAllotment",
    admin.AdjustAllotmentRequest,
    admin.AdjustAllotmentResponse,
    safe=False,
)
_SET_ALLOTMENT_TERMS = Method(
    "/deeptravel.admin.v1.AdminService/SetAllotmentTerms",
    admin.SetAllotmentTermsRequest,
    admin.SetAllotmentTermsResponse,
    safe=False,
)
_ARCHIVE_ALLOTMENT = Method(
    "/deeptravel.admin.v1.AdminService/ArchiveAllotment",
    admin.ArchiveAllotmentRequest,
    admin.ArchiveAllotmentResponse,
    safe=False,
)
_UNARCHIVE_ALLOTMENT = Method(
    "/deeptravel.admin.v1.AdminService/UnarchiveAllotment",
    admin.UnarchiveAllotmentRequest,
    admin.UnarchiveAllotmentResponse,
    safe=False,
)
_BLOCK_TICKET = Method(
    "/deeptravel.admin.v1.AdminService/BlockTicket",
    admin.BlockTicketRequest,
    admin.BlockTicketResponse,
    safe=False,
)
_UNBLOCK_TICKET = Method(
    "/deeptravel.admin.v1.AdminService/UnblockTicket",
    admin.UnblockTicketRequest,
    admin.UnblockTicketResponse,
    safe=False,
)
_SEARCH_ORDERS = Method(
    "/deeptravel.admin.v1.AdminService/SearchOrders",
    admin.SearchOrdersRequest,
    admin.SearchOrdersResponse,
    safe=True,
    items="orders",
)
_GET_ORDER = Method(
    "/deeptravel.admin.v1.AdminService/GetOrder",
    admin.GetOrderRequest,
    admin.GetOrderResponse,
    safe=True,
)
_SEARCH_TICKETS = Method(
    "/deeptravel.admin.v1.AdminService/SearchTickets",
    admin.SearchTicketsRequest,
    admin.SearchTicketsResponse,
    safe=True,
    items="tickets",
)
_GET_TICKET = Method(
    "/deeptravel.admin.v1.AdminService/GetTicket",
    admin.GetTicketRequest,
    admin.GetTicketResponse,
    safe=True,
)
_LIST_TRAVELLERS = Method(
    "/deeptravel.admin.v1.AdminService/ListTravellers",
    admin.ListTravellersRequest,
    admin.ListTravellersResponse,
    safe=True,
    items="travellers",
)
_BLOCK_TRAVELLER = Method(
    "/deeptravel.admin.v1.AdminService/BlockTraveller",
    admin.BlockTravellerRequest,
    admin.BlockTravellerResponse,
    safe=False,
)
_UNBLOCK_TRAVELLER = Method(
    "/deeptravel.admin.v1.AdminService/UnblockTraveller",
    admin.UnblockTravellerRequest,
    admin.UnblockTravellerResponse,
    safe=False,
)
_LIST_REFUNDS = Method(
    "/deeptravel.admin.v1.AdminService/ListRefunds",
    admin.ListRefundsRequest,
    admin.ListRefundsResponse,
    safe=True,
    items="refunds",
)
_GET_REFUND = Method(
    "/deeptravel.admin.v1.AdminService/GetRefund",
    admin.GetRefundRequest,
    admin.GetRefundResponse,
    safe=True,
)
_RETRY_REFUND = Method(
    "/deeptravel.admin.v1.AdminService/RetryRefund",
    admin.RetryRefundRequest,
    admin.RetryRefundResponse,
    safe=False,
)
_APPLY_ABNORMAL_REFUND = Method(
    "/deeptravel.admin.v1.AdminService/ApplyAbnormalRefund",
    admin.ApplyAbnormalRefundRequest,
    admin.ApplyAbnormalRefundResponse,
    safe=False,
)
_SETTLE_REFUND = Method(
    "/deeptravel.admin.v1.AdminService/SettleRefund",
    admin.SettleRefundRequest,
    admin.SettleRefundResponse,
    safe=False,
)
_LIST_PAYMENT_INCIDENTS = Method(
    "/deeptravel.admin.v1.AdminService/ListPaymentIncidents",
    admin.ListPaymentIncidentsRequest,
    admin.ListPaymentIncidentsResponse,
    safe=True,
    items="payment_incidents",
)
_RESOLVE_PAYMENT_INCIDENT = Method(
    "/deeptravel.admin.v1.AdminService/ResolvePaymentIncident",
    admin.ResolvePaymentIncidentRequest,
    admin.ResolvePaymentIncidentResponse,
    safe=False,
)
_LIST_RECONCILIATIONS = Method(
    "/deeptravel.admin.v1.AdminService/ListReconciliations",
    admin.ListReconciliationsRequest,
    admin.ListReconciliationsResponse,
    safe=True,
    items="reconciliations",
)
_LIST_RECONCILIATION_DIFFERENCES = Method(
    "/deeptravel.admin.v1.AdminService/ListReconciliationDifferences",
    admin.ListReconciliationDifferencesRequest,
    admin.ListReconciliationDifferencesResponse,
    safe=True,
    items="differences",
)
_LIST_DEAD_TASKS = Method(
    "/deeptravel.admin.v1.AdminService/ListDeadTasks",
    admin.ListDeadTasksRequest,
    admin.ListDeadTasksResponse,
    safe=True,
    items="dead_tasks",
)
_REPLAY_TASK = Method(
    "/deeptravel.admin.v1.AdminService/ReplayTask",
    admin.ReplayTaskRequest,
    admin.ReplayTaskResponse,
    safe=False,
)
_LIST_JOBS = Method(
    "/deeptravel.admin.v1.AdminService/ListJobs",
    admin.ListJobsRequest,
    admin.ListJobsResponse,
    safe=True,
    items="jobs",
)
_RUN_JOB = Method(
    "/deeptravel.admin.v1.AdminService/RunJob",
    admin.RunJobRequest,
    admin.RunJobResponse,
    safe=False,
)
_PAUSE_JOB = Method(
    "/deeptravel.admin.v1.AdminService/PauseJob",
    admin.PauseJobRequest,
    admin.PauseJobResponse,
    safe=False,
)
_RESUME_JOB = Method(
    "/deeptravel.admin.v1.AdminService/ResumeJob",
    admin.ResumeJobRequest,
    admin.ResumeJobResponse,
    safe=False,
)
_LIST_STUCK = Method(
    "/deeptravel.admin.v1.AdminService/ListStuck",
    admin.ListStuckRequest,
    admin.ListStuckResponse,
    safe=True,
    items="stuck",
)
_LIST_JOB_RUNS = Method(
    "/deeptravel.admin.v1.AdminService/ListJobRuns",
    admin.ListJobRunsRequest,
    admin.ListJobRunsResponse,
    safe=True,
    items="job_runs",
)
_LIST_ROUTES = Method(
    "/deeptravel.admin.v1.AdminService/ListRoutes",
    admin.ListRoutesRequest,
    admin.ListRoutesResponse,
    safe=True,
    items="routes",
)
_SET_ROUTE_FARES = Method(
    "/deeptravel.admin.v1.AdminService/SetRouteFares",
    admin.SetRouteFaresRequest,
    admin.SetRouteFaresResponse,
    safe=False,
)
_LIST_DEPARTURES = Method(
    "/deeptravel.admin.v1.AdminService/ListDepartures",
    admin.ListDeparturesRequest,
    admin.ListDeparturesResponse,
    safe=True,
    items="departures",
)
_GET_DEPARTURE = Method(
    "/deeptravel.admin.v1.AdminService/GetDeparture",
    admin.GetDepartureRequest,
    admin.GetDepartureResponse,
    safe=True,
)
_CANCEL_DEPARTURE = Method(
    "/deeptravel.admin.v1.AdminService/CancelDeparture",
    admin.CancelDepartureRequest,
    admin.CancelDepartureResponse,
    safe=False,
)
_MOVE_DEPARTURE = Method(
    "/deeptravel.admin.v1.AdminService/MoveDeparture",
    admin.MoveDepartureRequest,
    admin.MoveDepartureResponse,
    safe=False,
)
_PREVIEW_DISRUPTION = Method(
    "/deeptravel.admin.v1.AdminService/PreviewDisruption",
    admin.PreviewDisruptionRequest,
    admin.PreviewDisruptionResponse,
    safe=True,
    items="totals",
)
_LIST_DISRUPTIONS = Method(
    "/deeptravel.admin.v1.AdminService/ListDisruptions",
    admin.ListDisruptionsRequest,
    admin.ListDisruptionsResponse,
    safe=True,
    items="disruptions",
)
_GET_DISRUPTION = Method(
    "/deeptravel.admin.v1.AdminService/GetDisruption",
    admin.GetDisruptionRequest,
    admin.GetDisruptionResponse,
    safe=True,
)
_LIST_DISRUPTION_TICKETS = Method(
    "/deeptravel.admin.v1.AdminService/ListDisruptionTickets",
    admin.ListDisruptionTicketsRequest,
    admin.ListDisruptionTicketsResponse,
    safe=True,
    items="tickets",
)
_DOWNLOAD_DISRUPTION = Method(
    "/deeptravel.admin.v1.AdminService/DownloadDisruption",
    admin.DownloadDisruptionRequest,
    admin.DownloadDisruptionResponse,
    safe=True,
)
_LIST_DISRUPTION_REFUNDS = Method(
    "/deeptravel.admin.v1.AdminService/ListDisruptionRefunds",
    admin.ListDisruptionRefundsRequest,
    admin.ListDisruptionRefundsResponse,
    safe=True,
    items="refunds",
)
_REBOOK_DISRUPTION_TICKETS = Method(
    "/deeptravel.admin.v1.AdminService/RebookDisruptionTickets",
    admin.RebookDisruptionTicketsRequest,
    admin.RebookDisruptionTicketsResponse,
    safe=False,
)
_REFUND_DISRUPTION_TICKETS = Method(
    "/deeptravel.admin.v1.AdminService/RefundDisruptionTickets",
    admin.RefundDisruptionTicketsRequest,
    admin.RefundDisruptionTicketsResponse,
    safe=False,
)
_SET_DEPARTURE_STATE = Method(
    "/deeptravel.admin.v1.AdminService/SetDepartureState",
    admin.SetDepartureStateRequest,
    admin.SetDepartureStateResponse,
    safe=False,
)
_SET_DEPARTURE_STOCK = Method(
    "/deeptravel.admin.v1.AdminService/SetDepartureStock",
    admin.SetDepartureStockRequest,
    admin.SetDepartureStockResponse,
    safe=False,
)
_CREATE_CONFIG_DRAFT = Method(
    "/deeptravel.admin.v1.AdminService/CreateConfigDraft",
    admin.CreateConfigDraftRequest,
    admin.CreateConfigDraftResponse,
    safe=False,
)
_UPDATE_CONFIG_DRAFT = Method(
    "/deeptravel.admin.v1.AdminService/UpdateConfigDraft",
    admin.UpdateConfigDraftRequest,
    admin.UpdateConfigDraftResponse,
    safe=False,
)
_DISCARD_CONFIG_DRAFT = Method(
    "/deeptravel.admin.v1.AdminService/DiscardConfigDraft",
    admin.DiscardConfigDraftRequest,
    admin.DiscardConfigDraftResponse,
    safe=False,
)
_GET_CONFIG_VERSION = Method(
    "/deeptravel.admin.v1.AdminService/GetConfigVersion",
    admin.GetConfigVersionRequest,
    admin.GetConfigVersionResponse,
    safe=True,
)
_LIST_CONFIG_VERSIONS = Method(
    "/deeptravel.admin.v1.AdminService/ListConfigVersions",
    admin.ListConfigVersionsRequest,
    admin.ListConfigVersionsResponse,
    safe=True,
    items="config_versions",
)
_PREVIEW_CONFIG_VERSION = Method(
    "/deeptravel.admin.v1.AdminService/PreviewConfigVersion",
    admin.PreviewConfigVersionRequest,
    admin.PreviewConfigVersionResponse,
    safe=True,
    items="offer_changes",
)
_PUBLISH_CONFIG_VERSION = Method(
    "/deeptravel.admin.v1.AdminService/PublishConfigVersion",
    admin.PublishConfigVersionRequest,
    admin.PublishConfigVersionResponse,
    safe=False,
)
_CANCEL_SCHEDULED_VERSION = Method(
    "/deeptravel.admin.v1.AdminService/CancelScheduledVersion",
    admin.CancelScheduledVersionRequest,
    admin.CancelScheduledVersionResponse,
    safe=False,
)
_PUBLISH_CHANGE_SET = Method(
    "/deeptravel.admin.v1.AdminService/PublishChangeSet",
    admin.PublishChangeSetRequest,
    admin.PublishChangeSetResponse,
    safe=False,
)
_PREVIEW_CHANGE_SET = Method(
    "/deeptravel.admin.v1.AdminService/PreviewChangeSet",
    admin.PreviewChangeSetRequest,
    admin.PreviewChangeSetResponse,
    safe=True,
    items="offer_changes",
)
_ROLL_BACK_CHANGE_SET = Method(
    "/deeptravel.admin.v1.AdminService/RollBackChangeSet",
    admin.RollBackChangeSetRequest,
    admin.RollBackChangeSetResponse,
    safe=False,
)
_ROLL_BACK_CONFIG = Method(
    "/deeptravel.admin.v1.AdminService/RollBackConfig",
    admin.RollBackConfigRequest,
    admin.RollBackConfigResponse,
    safe=False,
)
_SET_PRODUCT_EXAMPLES = Method(
    "/deeptravel.admin.v1.AdminService/SetProductExamples",
    admin.SetProductExamplesRequest,
    admin.SetProductExamplesResponse,
    safe=False,
)
_GET_PRODUCT_EXAMPLES = Method(
    "/deeptravel.admin.v1.AdminService/GetProductExamples",
    admin.GetProductExamplesRequest,
    admin.GetProductExamplesResponse,
    safe=True,
)
_EXPORT_AUDIT_EVENTS = Method(
    "/deeptravel.admin.v1.AdminService/ExportAuditEvents",
    admin.ExportAuditEventsRequest,
    admin.ExportAuditEventsResponse,
    safe=True,
)
_LIST_AUDIT_EVENTS = Method(
    "/deeptravel.admin.v1.AdminService/ListAuditEvents",
    admin.ListAuditEventsRequest,
    admin.ListAuditEventsResponse,
    safe=True,
    items="audit_events",
)
_GET_DASHBOARD = Method(
    "/deeptravel.admin.v1.AdminService/GetDashboard",
    admin.GetDashboardRequest,
    admin.GetDashboardResponse,
    safe=True,
)
_GET_QR_KEY = Method(
    "/deeptravel.admin.v1.AdminService/GetQrKey",
    admin.GetQrKeyRequest,
    admin.GetQrKeyResponse,
    safe=True,
)
_LIST_QR_KEYS = Method(
    "/deeptravel.admin.v1.AdminService/ListQrKeys",
    admin.ListQrKeysRequest,
    admin.ListQrKeysResponse,
    safe=True,
    items="qr_keys",
)
_COMPROMISE_QR_KEY = Method(
    "/deeptravel.admin.v1.AdminService/CompromiseQrKey",
    admin.CompromiseQrKeyRequest,
    admin.CompromiseQrKeyResponse,
    safe=False,
)
_LIST_UNISSUED_REDEMPTIONS = Method(
    "/deeptravel.admin.v1.AdminService/ListUnissuedRedemptions",
    admin.ListUnissuedRedemptionsRequest,
    admin.ListUnissuedRedemptionsResponse,
    safe=True,
    items="redemptions",
)
_LIST_OFFLINE_CONFLICTS = Method(
    "/deeptravel.admin.v1.AdminService/ListOfflineConflicts",
    admin.ListOfflineConflictsRequest,
    admin.ListOfflineConflictsResponse,
    safe=True,
    items="conflicts",
)
_REPORT_REDEMPTIONS = Method(
    "/deeptravel.admin.v1.AdminService/ReportRedemptions",
    admin.ReportRedemptionsRequest,
    admin.ReportRedemptionsResponse,
    safe=True,
    items="rows",
)
_REPORT_SALES = Method(
    "/deeptravel.admin.v1.AdminService/ReportSales",
    admin.ReportSalesRequest,
    admin.ReportSalesResponse,
    safe=True,
    items="rows",
)
_DOWNLOAD_REDEMPTION_REPORT = Method(
    "/deeptravel.admin.v1.AdminService/DownloadRedemptionReport",
    admin.DownloadRedemptionReportRequest,
    admin.DownloadRedemptionReportResponse,
    safe=True,
)
_DOWNLOAD_SALES_REPORT = Method(
    "/deeptravel.admin.v1.AdminService/DownloadSalesReport",
    admin.DownloadSalesReportRequest,
    admin.DownloadSalesReportResponse,
    safe=True,
)
_CREATE_CITY = Method(
    "/deeptravel.admin.v1.AdminService/CreateCity",
    admin.CreateCityRequest,
    admin.CreateCityResponse,
    safe=False,
)
_GET_CITY = Method(
    "/deeptravel.admin.v1.AdminService/GetCity",
    admin.GetCityRequest,
    admin.GetCityResponse,
    safe=True,
)
_LIST_CITIES = Method(
    "/deeptravel.admin.v1.AdminService/ListCities",
    admin.ListCitiesRequest,
    admin.ListCitiesResponse,
    safe=True,
    items="cities",
)
_UPDATE_CITY = Method(
    "/deeptravel.admin.v1.AdminService/UpdateCity",
    admin.UpdateCityRequest,
    admin.UpdateCityResponse,
    safe=False,
)
_ARCHIVE_CITY = Method(
    "/deeptravel.admin.v1.AdminService/ArchiveCity",
    admin.ArchiveCityRequest,
    admin.ArchiveCityResponse,
    safe=False,
)
_UNARCHIVE_CITY = Method(
    "/deeptravel.admin.v1.AdminService/UnarchiveCity",
    admin.UnarchiveCityRequest,
    admin.UnarchiveCityResponse,
    safe=False,
)
_CREATE_STOP = Method(
    "/deeptravel.admin.v1.AdminService/CreateStop",
    admin.CreateStopRequest,
    admin.CreateStopResponse,
    safe=False,
)
_GET_STOP = Method(
    "/deeptravel.admin.v1.AdminService/GetStop",
    admin.GetStopRequest,
    admin.GetStopResponse,
    safe=True,
)
_LIST_STOPS = Method(
    "/deeptravel.admin.v1.AdminService/ListStops",
    admin.ListStopsRequest,
    admin.ListStopsResponse,
    safe=True,
    items="stops",
)
_UPDATE_STOP = Method(
    "/deeptravel.admin.v1.AdminService/UpdateStop",
    admin.UpdateStopRequest,
    admin.UpdateStopResponse,
    safe=False,
)
_ARCHIVE_STOP = Method(
    "/deeptravel.admin.v1.AdminService/ArchiveStop",
    admin.ArchiveStopRequest,
    admin.ArchiveStopResponse,
    safe=False,
)
_UNARCHIVE_STOP = Method(
    "/deeptravel.admin.v1.AdminService/UnarchiveStop",
    admin.UnarchiveStopRequest,
    admin.UnarchiveStopResponse,
    safe=False,
)
_CREATE_CAR_CATEGORY = Method(
    "/deeptravel.admin.v1.AdminService/CreateCarCategory",
    admin.CreateCarCategoryRequest,
    admin.CreateCarCategoryResponse,
    safe=False,
)
_GET_CAR_CATEGORY = Method(
    "/deeptravel.admin.v1.AdminService/GetCarCategory",
    admin.GetCarCategoryRequest,
    admin.GetCarCategoryResponse,
    safe=True,
)
_LIST_CAR_CATEGORIES = Method(
    "/deeptravel.admin.v1.AdminService/ListCarCategories",
    admin.ListCarCategoriesRequest,
    admin.ListCarCategoriesResponse,
    safe=True,
    items="car_categories",
)
_UPDATE_CAR_CATEGORY = Method(
    "/deeptravel.admin.v1.AdminService/UpdateCarCategory",
    admin.UpdateCarCategoryRequest,
    admin.UpdateCarCategoryResponse,
    safe=False,
)
_ARCHIVE_CAR_CATEGORY = Method(
    "/deeptravel.admin.v1.AdminService/ArchiveCarCategory",
    admin.ArchiveCarCategoryRequest,
    admin.ArchiveCarCategoryResponse,
    safe=False,
)
_UNARCHIVE_CAR_CATEGORY = Method(
    "/deeptravel.admin.v1.AdminService/UnarchiveCarCategory",
    admin.UnarchiveCarCategoryRequest,
    admin.UnarchiveCarCategoryResponse,
    safe=False,
)
_CREATE_RENTAL_LOCATION = Method(
    "/deeptravel.admin.v1.AdminService/CreateRentalLocation",
    admin.CreateRentalLocationRequest,
    admin.CreateRentalLocationResponse,
    safe=False,
)
_GET_RENTAL_LOCATION = Method(
    "/deeptravel.admin.v1.AdminService/GetRentalLocation",
    admin.GetRentalLocationRequest,
    admin.GetRentalLocationResponse,
    safe=True,
)
_LIST_RENTAL_LOCATIONS = Method(
    "/deeptravel.admin.v1.AdminService/ListRentalLocations",
    admin.ListRentalLocationsRequest,
    admin.ListRentalLocationsResponse,
    safe=True,
    items="rental_locations",
)
_UPDATE_RENTAL_LOCATION = Method(
    "/deeptravel.admin.v1.AdminService/UpdateRentalLocation",
    admin.UpdateRentalLocationRequest,
    admin.UpdateRentalLocationResponse,
    safe=False,
)
_ARCHIVE_RENTAL_LOCATION = Method(
    "/deeptravel.admin.v1.AdminService/ArchiveRentalLocation",
    admin.ArchiveRentalLocationRequest,
    admin.ArchiveRentalLocationResponse,
    safe=False,
)
_UNARCHIVE_RENTAL_LOCATION = Method(
    "/deeptravel.admin.v1.AdminService/UnarchiveRentalLocation",
    admin.UnarchiveRentalLocationRequest,
    admin.UnarchiveRentalLocationResponse,
    safe=False,
)
_CREATE_RENTAL_EXTRA = Method(
    "/deeptravel.admin.v1.AdminService/CreateRentalExtra",
    admin.CreateRentalExtraRequest,
    admin.CreateRentalExtraResponse,
    safe=False,
)
_GET_RENTAL_EXTRA = Method(
    "/deeptravel.admin.v1.AdminService/GetRentalExtra",
    admin.GetRentalExtraRequest,
    admin.GetRentalExtraResponse,
    safe=True,
)
_LIST_RENTAL_EXTRAS = Method(
    "/deeptravel.admin.v1.AdminService/ListRentalExtras",
    admin.ListRentalExtrasRequest,
    admin.ListRentalExtrasResponse,
    safe=True,
    items="rental_extras",
)
_UPDATE_RENTAL_EXTRA = Method(
    "/deeptravel.admin.v1.AdminService/UpdateRentalExtra",
    admin.UpdateRentalExtraRequest,
    admin.UpdateRentalExtraResponse,
    safe=False,
)
_ARCHIVE_RENTAL_EXTRA = Method(
    "/deeptravel.admin.v1.AdminService/ArchiveRentalExtra",
    admin.ArchiveRentalExtraRequest,
    admin.ArchiveRentalExtraResponse,
    safe=False,
)
_UNARCHIVE_RENTAL_EXTRA = Method(
    "/deeptravel.admin.v1.AdminService/UnarchiveRentalExtra",
    admin.UnarchiveRentalExtraRequest,
    admin.UnarchiveRentalExtraResponse,
    safe=False,
)
_CREATE_RENTAL_FLEET = Method(
    "/deeptravel.admin.v1.AdminService/CreateRentalFleet",
    admin.CreateRentalFleetRequest,
    admin.CreateRentalFleetResponse,
    safe=False,
)
_GET_RENTAL_FLEET = Method(
    "/deeptravel.admin.v1.AdminService/GetRentalFleet",
    admin.GetRentalFleetRequest,
    admin.GetRentalFleetResponse,
    safe=True,
)
_LIST_RENTAL_FLEETS = Method(
    "/deeptravel.admin.v1.AdminService/ListRentalFleets",
    admin.ListRentalFleetsRequest,
    admin.ListRentalFleetsResponse,
    safe=True,
    items="rental_fleets",
)
_UPDATE_RENTAL_FLEET = Method(
    "/deeptravel.admin.v1.AdminService/UpdateRentalFleet",
    admin.UpdateRentalFleetRequest,
    admin.UpdateRentalFleetResponse,
    safe=False,
)
_ARCHIVE_RENTAL_FLEET = Method(
    "/deeptravel.admin.v1.AdminService/ArchiveRentalFleet",
    admin.ArchiveRentalFleetRequest,
    admin.ArchiveRentalFleetResponse,
    safe=False,
)
_UNARCHIVE_RENTAL_FLEET = Method(
    "/deeptravel.admin.v1.AdminService/UnarchiveRentalFleet",
    admin.UnarchiveRentalFleetRequest,
    admin.UnarchiveRentalFleetResponse,
    safe=False,
)
_LIST_RENTAL_STOCK = Method(
    "/deeptravel.admin.v1.AdminService/ListRentalStock",
    admin.ListRentalStockRequest,
    admin.ListRentalStockResponse,
    safe=True,
    items="stock",
)
_SET_RENTAL_STOCK = Method(
    "/deeptravel.admin.v1.AdminService/SetRentalStock",
    admin.SetRentalStockRequest,
    admin.SetRentalStockResponse,
    safe=False,
)
_CREATE_ROUTE = Method(
    "/deeptravel.admin.v1.AdminService/CreateRoute",
    admin.CreateRouteRequest,
    admin.CreateRouteResponse,
    safe=False,
)
_GET_ROUTE = Method(
    "/deeptravel.admin.v1.AdminService/GetRoute",
    admin.GetRouteRequest,
    admin.GetRouteResponse,
    safe=True,
)
_UPDATE_ROUTE = Method(
    "/deeptravel.admin.v1.AdminService/UpdateRoute",
    admin.UpdateRouteRequest,
    admin.UpdateRouteResponse,
    safe=False,
)
_ARCHIVE_ROUTE = Method(
    "/deeptravel.admin.v1.AdminService/ArchiveRoute",
    admin.ArchiveRouteRequest,
    admin.ArchiveRouteResponse,
    safe=False,
)
_UNARCHIVE_ROUTE = Method(
    "/deeptravel.admin.v1.AdminService/UnarchiveRoute",
    admin.UnarchiveRouteRequest,
    admin.UnarchiveRouteResponse,
    safe=False,
)
_CREATE_TIMETABLE = Method(
    "/deeptravel.admin.v1.AdminService/CreateTimetable",
    admin.CreateTimetableRequest,
    admin.CreateTimetableResponse,
    safe=False,
)
_GET_TIMETABLE = Method(
    "/deeptravel.admin.v1.AdminService/GetTimetable",
    admin.GetTimetableRequest,
    admin.GetTimetableResponse,
    safe=True,
)
_LIST_TIMETABLES = Method(
    "/deeptravel.admin.v1.AdminService/ListTimetables",
    admin.ListTimetablesRequest,
    admin.ListTimetablesResponse,
    safe=True,
    items="timetables",
)
_UPDATE_TIMETABLE = Method(
    "/deeptravel.admin.v1.AdminService/UpdateTimetable",
    admin.UpdateTimetableRequest,
    admin.UpdateTimetableResponse,
    safe=False,
)
_ARCHIVE_TIMETABLE = Method(
    "/deeptravel.admin.v1.AdminService/ArchiveTimetable",
    admin.ArchiveTimetableRequest,
    admin.ArchiveTimetableResponse,
    safe=False,
)
_UNARCHIVE_TIMETABLE = Method(
    "/deeptravel.admin.v1.AdminService/UnarchiveTimetable",
    admin.UnarchiveTimetableRequest,
    admin.UnarchiveTimetableResponse,
    safe=False,
)
_CREATE_ENTITLEMENT_TEMPLATE = Method(
    "/deeptravel.admin.v1.AdminService/CreateEntitlementTemplate",
    admin.CreateEntitlementTemplateRequest,
    admin.CreateEntitlementTemplateResponse,
    safe=False,
)
_GET_ENTITLEMENT_TEMPLATE = Method(
    "/deeptravel.admin.v1.AdminService/GetEntitlementTemplate",
    admin.GetEntitlementTemplateRequest,
    admin.GetEntitlementTemplateResponse,
    safe=True,
)
_LIST_ENTITLEMENT_TEMPLATES = Method(
    "/deeptravel.admin.v1.AdminService/ListEntitlementTemplates",
    admin.ListEntitlementTemplatesRequest,
    admin.ListEntitlementTemplatesResponse,
    safe=True,
    items="entitlement_templates",
)
_UPDATE_ENTITLEMENT_TEMPLATE = Method(
    "/deeptravel.admin.v1.AdminService/UpdateEntitlementTemplate",
    admin.UpdateEntitlementTemplateRequest,
    admin.UpdateEntitlementTemplateResponse,
    safe=False,
)
_ARCHIVE_ENTITLEMENT_TEMPLATE = Method(
    "/deeptravel.admin.v1.AdminService/ArchiveEntitlementTemplate",
    admin.ArchiveEntitlementTemplateRequest,
    admin.ArchiveEntitlementTemplateResponse,
    safe=False,
)
_UNARCHIVE_ENTITLEMENT_TEMPLATE = Method(
    "/deeptravel.admin.v1.AdminService/UnarchiveEntitlementTemplate",
    admin.UnarchiveEntitlementTemplateRequest,
    admin.UnarchiveEntitlementTemplateResponse,
    safe=False,
)
_CREATE_PROMOTION = Method(
    "/deeptravel.admin.v1.AdminService/CreatePromotion",
    admin.CreatePromotionRequest,
    admin.CreatePromotionResponse,
    safe=False,
)
_GET_PROMOTION = Method(
    "/deeptravel.admin.v1.AdminService/GetPromotion",
    admin.GetPromotionRequest,
    admin.GetPromotionResponse,
    safe=True,
)
_LIST_PROMOTIONS = Method(
    "/deeptravel.admin.v1.AdminService/ListPromotions",
    admin.ListPromotionsRequest,
    admin.ListPromotionsResponse,
    safe=True,
    items="promotions",
)
_UPDATE_PROMOTION = Method(
    "/deeptravel.admin.v1.AdminService/UpdatePromotion",
    admin.UpdatePromotionRequest,
    admin.UpdatePromotionResponse,
    safe=False,
)
_ARCHIVE_PROMOTION = Method(
    "/deeptravel.admin.v1.AdminService/ArchivePromotion",
    admin.ArchivePromotionRequest,
    admin.ArchivePromotionResponse,
    safe=False,
)
_UNARCHIVE_PROMOTION = Method(
    "/deeptravel.admin.v1.AdminService/UnarchivePromotion",
    admin.UnarchivePromotionRequest,
    admin.UnarchivePromotionResponse,
    safe=False,
)
_SET_PROMOTION_CAP = Method(
    "/deeptravel.admin.v1.AdminService/SetPromotionCap",
    admin.SetPromotionCapRequest,
    admin.SetPromotionCapResponse,
    safe=False,
)
_CREATE_HOLIDAY_CALENDAR = Method(
    "/deeptravel.admin.v1.AdminService/CreateHolidayCalendar",
    admin.CreateHolidayCalendarRequest,
    admin.CreateHolidayCalendarResponse,
    safe=False,
)
_GET_HOLIDAY_CALENDAR = Method(
    "/deeptravel.admin.v1.AdminService/GetHolidayCalendar",
    admin.GetHolidayCalendarRequest,
    admin.GetHolidayCalendarResponse,
    safe=True,
)
_LIST_HOLIDAY_CALENDARS = Method(
    "/deeptravel.admin.v1.AdminService/ListHolidayCalendars",
    admin.ListHolidayCalendarsRequest,
    admin.ListHolidayCalendarsResponse,
    safe=True,
    items="holiday_calendars",
)
_UPDATE_HOLIDAY_CALENDAR = Method(
    "/deeptravel.admin.v1.AdminService/UpdateHolidayCalendar",
    admin.UpdateHolidayCalendarRequest,
    admin.UpdateHolidayCalendarResponse,
    safe=False,
)
_ARCHIVE_HOLIDAY_CALENDAR = Method(
    "/deeptravel.admin.v1.AdminService/ArchiveHolidayCalendar",
    admin.ArchiveHolidayCalendarRequest,
    admin.ArchiveHolidayCalendarResponse,
    safe=False,
)
_UNARCHIVE_HOLIDAY_CALENDAR = Method(
    "/deeptravel.admin.v1.AdminService/UnarchiveHolidayCalendar",
    admin.UnarchiveHolidayCalendarRequest,
    admin.UnarchiveHolidayCalendarResponse,
    safe=False,
)
_ADD_HOLIDAY_YEAR = Method(
    "/deeptravel.admin.v1.AdminService/AddHolidayYear",
    admin.AddHolidayYearRequest,
    admin.AddHolidayYearResponse,
    safe=False,
)
_LIST_HOLIDAYS = Method(
    "/deeptravel.admin.v1.AdminService/ListHolidays",
    admin.ListHolidaysRequest,
    admin.ListHolidaysResponse,
    safe=True,
    items="days",
)
_SET_HOLIDAYS = Method(
    "/deeptravel.admin.v1.AdminService/SetHolidays",
    admin.SetHolidaysRequest,
    admin.SetHolidaysResponse,
    safe=False,
)
_REMOVE_HOLIDAY = Method(
    "/deeptravel.admin.v1.AdminService/RemoveHoliday",
    admin.RemoveHolidayRequest,
    admin.RemoveHolidayResponse,
    safe=False,
)
_LIST_ROUTE_FARES = Method(
    "/deeptravel.admin.v1.AdminService/ListRouteFares",
    admin.ListRouteFaresRequest,
    admin.ListRouteFaresResponse,
    safe=True,
    items="fares",
)
_CHANGE_ROUTE_FARES = Method(
    "/deeptravel.admin.v1.AdminService/ChangeRouteFares",
    admin.ChangeRouteFaresRequest,
    admin.ChangeRouteFaresResponse,
    safe=False,
)
_LIST_FARE_CALENDAR = Method(
    "/deeptravel.admin.v1.AdminService/ListFareCalendar",
    admin.ListFareCalendarRequest,
    admin.ListFareCalendarResponse,
    safe=True,
    items="days",
)
_LIST_BLACKOUT_DATES = Method(
    "/deeptravel.admin.v1.AdminService/ListBlackoutDates",
    admin.ListBlackoutDatesRequest,
    admin.ListBlackoutDatesResponse,
    safe=True,
    items="blackout_dates",
)
_ADD_BLACKOUT_DATES = Method(
    "/deeptravel.admin.v1.AdminService/AddBlackoutDates",
    admin.AddBlackoutDatesRequest,
    admin.AddBlackoutDatesResponse,
    safe=False,
)
_REMOVE_BLACKOUT_DATES = Method(
    "/deeptravel.admin.v1.AdminService/RemoveBlackoutDates",
    admin.RemoveBlackoutDatesRequest,
    admin.RemoveBlackoutDatesResponse,
    safe=False,
)
_UNARCHIVE_PRODUCT = Method(
    "/deeptravel.admin.v1.AdminService/UnarchiveProduct",
    admin.UnarchiveProductRequest,
    admin.UnarchiveProductResponse,
    safe=False,
)
_IMPORT_GTFS = Method(
    "/deeptravel.admin.v1.AdminService/ImportGtfs",
    admin.ImportGtfsRequest,
    admin.ImportGtfsResponse,
    safe=False,
)
_EXPORT_GTFS = Method(
    "/deeptravel.admin.v1.AdminService/ExportGtfs",
    admin.ExportGtfsRequest,
    admin.ExportGtfsResponse,
    safe=True,
)
_EXPORT_CATALOGUE = Method(
    "/deeptravel.admin.v1.AdminService/ExportCatalogue",
    admin.ExportCatalogueRequest,
    admin.ExportCatalogueResponse,
    safe=True,
)
_LIST_NOTIFICATION_TEMPLATES = Method(
    "/deeptravel.admin.v1.AdminService/ListNotificationTemplates",
    admin.ListNotificationTemplatesRequest,
    admin.ListNotificationTemplatesResponse,
    safe=True,
    items="templates",
)
_GET_NOTIFICATION_TEMPLATE = Method(
    "/deeptravel.admin.v1.AdminService/GetNotificationTemplate",
    admin.GetNotificationTemplateRequest,
    admin.GetNotificationTemplateResponse,
    safe=True,
)
_UPDATE_NOTIFICATION_TEMPLATE = Method(
    "/deeptravel.admin.v1.AdminService/UpdateNotificationTemplate",
    admin.UpdateNotificationTemplateRequest,
    admin.UpdateNotificationTemplateResponse,
    safe=False,
)
_PREVIEW_NOTIFICATION_TEMPLATE = Method(
    "/deeptravel.admin.v1.AdminService/PreviewNotificationTemplate",
    admin.PreviewNotificationTemplateRequest,
    admin.PreviewNotificationTemplateResponse,
    safe=True,
)
_LIST_NOTIFICATION_DELIVERIES = Method(
    "/deeptravel.admin.v1.AdminService/ListNotificationDeliveries",
    admin.ListNotificationDeliveriesRequest,
    admin.ListNotificationDeliveriesResponse,
    safe=True,
    items="deliveries",
)
_LIST_ORDER_NOTIFICATIONS = Method(
    "/deeptravel.admin.v1.AdminService/ListOrderNotifications",
    admin.ListOrderNotificationsRequest,
    admin.ListOrderNotificationsResponse,
    safe=True,
    items="deliveries",
)
_LIST_NOTIFICATION_PAUSES = Method(
    "/deeptravel.admin.v1.AdminService/ListNotificationPauses",
    admin.ListNotificationPausesRequest,
    admin.ListNotificationPausesResponse,
    safe=True,
    items="pauses",
)
_RESUME_NOTIFICATION_CHANNEL = Method(
    "/deeptravel.admin.v1.AdminService/ResumeNotificationChannel",
    admin.ResumeNotificationChannelRequest,
    admin.ResumeNotificationChannelResponse,
    safe=False,
)
_CONNECT_CHANNEL = Method(
    "/deeptravel.admin.v1.AdminService/ConnectChannel",
    admin.ConnectChannelRequest,
    admin.ConnectChannelResponse,
    safe=False,
)
_GET_CHANNEL = Method(
    "/deeptravel.admin.v1.AdminService/GetChannel",
    admin.GetChannelRequest,
    admin.GetChannelResponse,
    safe=True,
)
_LIST_CHANNELS = Method(
    "/deeptravel.admin.v1.AdminService/ListChannels",
    admin.ListChannelsRequest,
    admin.ListChannelsResponse,
    safe=True,
    items="channels",
)
_UPDATE_CHANNEL = Method(
    "/deeptravel.admin.v1.AdminService/UpdateChannel",
    admin.UpdateChannelRequest,
    admin.UpdateChannelResponse,
    safe=False,
)
_ROTATE_CHANNEL_CREDENTIALS = Method(
    "/deeptravel.admin.v1.AdminService/RotateChannelCredentials",
    admin.RotateChannelCredentialsRequest,
    admin.RotateChannelCredentialsResponse,
    safe=False,
)
_PAUSE_CHANNEL = Method(
    "/deeptravel.admin.v1.AdminService/PauseChannel",
    admin.PauseChannelRequest,
    admin.PauseChannelResponse,
    safe=False,
)
_RESUME_CHANNEL = Method(
    "/deeptravel.admin.v1.AdminService/ResumeChannel",
    admin.ResumeChannelRequest,
    admin.ResumeChannelResponse,
    safe=False,
)
_DISCONNECT_CHANNEL = Method(
    "/deeptravel.admin.v1.AdminService/DisconnectChannel",
    admin.DisconnectChannelRequest,
    admin.DisconnectChannelResponse,
    safe=False,
)
_TEST_CHANNEL = Method(
    "/deeptravel.admin.v1.AdminService/TestChannel",
    admin.TestChannelRequest,
    admin.TestChannelResponse,
    safe=False,
)
_SYNC_CHANNEL = Method(
    "/deeptravel.admin.v1.AdminService/SyncChannel",
    admin.SyncChannelRequest,
    admin.SyncChannelResponse,
    safe=False,
)
_FETCH_CHANNEL_BOOKINGS = Method(
    "/deeptravel.admin.v1.AdminService/FetchChannelBookings",
    admin.FetchChannelBookingsRequest,
    admin.FetchChannelBookingsResponse,
    safe=False,
)
_GET_CHANNEL_DRIFT = Method(
    "/deeptravel.admin.v1.AdminService/GetChannelDrift",
    admin.GetChannelDriftRequest,
    admin.GetChannelDriftResponse,
    safe=True,
)
_LIST_CHANNEL_DRIFT = Method(
    "/deeptravel.admin.v1.AdminService/ListChannelDrift",
    admin.ListChannelDriftRequest,
    admin.ListChannelDriftResponse,
    safe=True,
    items="differences",
)
_LIST_CHANNEL_VALUES = Method(
    "/deeptravel.admin.v1.AdminService/ListChannelValues",
    admin.ListChannelValuesRequest,
    admin.ListChannelValuesResponse,
    safe=True,
    items="values",
)
_LIST_CHANNEL_DIFFERENCES = Method(
    "/deeptravel.admin.v1.AdminService/ListChannelDifferences",
    admin.ListChannelDifferencesRequest,
    admin.ListChannelDifferencesResponse,
    safe=True,
    items="differences",
)
_DOWNLOAD_CHANNEL_DIFFERENCES = Method(
    "/deeptravel.admin.v1.AdminService/DownloadChannelDifferences",
    admin.DownloadChannelDifferencesRequest,
    admin.DownloadChannelDifferencesResponse,
    safe=True,
)
_GET_CHANNEL_CADENCES = Method(
    "/deeptravel.admin.v1.AdminService/GetChannelCadences",
    admin.GetChannelCadencesRequest,
    admin.GetChannelCadencesResponse,
    safe=True,
)
_LIST_CHANNEL_CALLS = Method(
    "/deeptravel.admin.v1.AdminService/ListChannelCalls",
    admin.ListChannelCallsRequest,
    admin.ListChannelCallsResponse,
    safe=True,
    items="calls",
)
_LIST_CHANNEL_WORDS = Method(
    "/deeptravel.admin.v1.AdminService/ListChannelWords",
    admin.ListChannelWordsRequest,
    admin.ListChannelWordsResponse,
    safe=True,
    items="words",
)
_SET_CHANNEL_WORD = Method(
    "/deeptravel.admin.v1.AdminService/SetChannelWord",
    admin.SetChannelWordRequest,
    admin.SetChannelWordResponse,
    safe=False,
)
_REMOVE_CHANNEL_WORD = Method(
    "/deeptravel.admin.v1.AdminService/RemoveChannelWord",
    admin.RemoveChannelWordRequest,
    admin.RemoveChannelWordResponse,
    safe=False,
)
_CREATE_CHANNEL_LISTING = Method(
    "/deeptravel.admin.v1.AdminService/CreateChannelListing",
    admin.CreateChannelListingRequest,
    admin.CreateChannelListingResponse,
    safe=False,
)
_GET_CHANNEL_LISTING = Method(
    "/deeptravel.admin.v1.AdminService/GetChannelListing",
    admin.GetChannelListingRequest,
    admin.GetChannelListingResponse,
    safe=True,
)
_LIST_CHANNEL_LISTINGS = Method(
    "/deeptravel.admin.v1.AdminService/ListChannelListings",
    admin.ListChannelListingsRequest,
    admin.ListChannelListingsResponse,
    safe=True,
    items="listings",
)
_UPDATE_CHANNEL_LISTING = Method(
    "/deeptravel.admin.v1.AdminService/UpdateChannelListing",
    admin.UpdateChannelListingRequest,
    admin.UpdateChannelListingResponse,
    safe=False,
)
_END_CHANNEL_LISTING = Method(
    "/deeptravel.admin.v1.AdminService/EndChannelListing",
    admin.EndChannelListingRequest,
    admin.EndChannelListingResponse,
    safe=False,
)
_LIST_CHANNEL_BOOKINGS = Method(
    "/deeptravel.admin.v1.AdminService/ListChannelBookings",
    admin.ListChannelBookingsRequest,
    admin.ListChannelBookingsResponse,
    safe=True,
    items="bookings",
)
_GET_CHANNEL_BOOKING = Method(
    "/deeptravel.admin.v1.AdminService/GetChannelBooking",
    admin.GetChannelBookingRequest,
    admin.GetChannelBookingResponse,
    safe=True,
)
_CANCEL_CHANNEL_BOOKING = Method(
    "/deeptravel.admin.v1.AdminService/CancelChannelBooking",
    admin.CancelChannelBookingRequest,
    admin.CancelChannelBookingResponse,
    safe=False,
)
_RETRY_CHANNEL_BOOKING = Method(
    "/deeptravel.admin.v1.AdminService/RetryChannelBooking",
    admin.RetryChannelBookingRequest,
    admin.RetryChannelBookingResponse,
    safe=False,
)


class AdminService:
    """What platform administrators do: partners and their keys, merchants, venues, terminals and
    accounts, products and their stock, blocks of single tickets and of travellers, and the audit
    trail of all that. What an administrator may call is said by the roles of the account
    (`admin_roles` of each method's `access`); all others get ROLE_NOT_ALLOWED.

    Every changing call is audited with what was before and after, and seen by every reader within a
    second. It carries a `request_id` and may be repeated safely with the same one: it gets the
    first answer again; the same id with other content gets IDEMPOTENCY_MISMATCH. Update calls
    change the fields that `update_mask` names and no others. What is revoked stays so, and revoking
    it again does no harm.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def admin_login(
        self,
        *,
        username: str,
        password: str,
        code: str = "",
        timeout: float | None = None,
    ) -> admin.AdminLoginResponse:
        """Logs an administrator in. RedemptionService.RefreshToken and Logout take these tokens too.
        Failures are counted by name and address together. Log-ins that arrive together take turns
        by address, those from where the administrator has logged in before first. An account with a
        second factor needs a `code` too, whose failures count with those of passwords. Reasons:
        LOGIN_FAILED, LOGIN_LOCKED, SECOND_FACTOR_REQUIRED, SERVER_BUSY (more than 16 wait from one
        place, or too many in all).
        """
        return self._calls.unary(_ADMIN_LOGIN, admin.AdminLoginRequest(username=username, password=password, code=code), timeout)

    def create_partner(
        self,
        *,
        partner_code: str,
        display_name: str,
        requests_per_minute: int = 0,
        allowed_addresses: Iterable[str] = (),
        request_id: str = "",
        activation_tolerance_basis_points: int = 0,
        timeout: float | None = None,
    ) -> admin.CreatePartnerResponse:
        """Creates a partner, without a key or stock yet. Reasons: ALREADY_EXISTS,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_CREATE_PARTNER, admin.CreatePartnerRequest(partner_code=partner_code, display_name=display_name, requests_per_minute=requests_per_minute, allowed_addresses=allowed_addresses, request_id=request_id, activation_tolerance_basis_points=activation_tolerance_basis_points), timeout)

    def get_partner(
        self,
        *,
        partner_code: str,
        timeout: float | None = None,
    ) -> admin.GetPartnerResponse:
        """Reads a partner. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_PARTNER, admin.GetPartnerRequest(partner_code=partner_code), timeout)

    def list_partners(
        self,
        *,
        state: admin.ResourceState.ValueType = admin.RESOURCE_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        mode: admin.PartnerMode.ValueType = admin.PARTNER_MODE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> admin.ListPartnersResponse:
        """Lists partners by page. Reasons: PAGE_TOKEN_INVALID."""
        return self._calls.unary(_LIST_PARTNERS, admin.ListPartnersRequest(state=state, page_size=page_size, page_token=page_token, mode=mode), timeout)

    def iter_partners(
        self,
        *,
        state: admin.ResourceState.ValueType = admin.RESOURCE_STATE_UNSPECIFIED,
        page_size: int = 0,
        mode: admin.PartnerMode.ValueType = admin.PARTNER_MODE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> Iterator[admin.Partner]:
        """All `partners` of list_partners, page after page."""
        return self._calls.pages(_LIST_PARTNERS, admin.ListPartnersRequest(state=state, page_size=page_size, mode=mode), timeout)

    def update_partner(
        self,
        *,
        partner_code: str,
        update_mask: FieldMask,
        display_name: str = "",
        requests_per_minute: int | None = None,
        allowed_addresses: Iterable[str] = (),
        request_id: str = "",
        activation_tolerance_basis_points: int | None = None,
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.UpdatePartnerResponse:
        """Changes a partner. Reasons: NOT_FOUND, REVOKED, ARCHIVED, VERSION_MISMATCH,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UPDATE_PARTNER, admin.UpdatePartnerRequest(partner_code=partner_code, update_mask=update_mask, display_name=display_name, requests_per_minute=requests_per_minute, allowed_addresses=allowed_addresses, request_id=request_id, activation_tolerance_basis_points=activation_tolerance_basis_points, version=version), timeout)

    def revoke_partner(
        self,
        *,
        partner_code: str,
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.RevokePartnerResponse:
        """Shuts a partner out for good: all its keys stop working within a second. What it sold stays
        valid; its stock can be moved to others. Reasons: NOT_FOUND, VERSION_MISMATCH,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_REVOKE_PARTNER, admin.RevokePartnerRequest(partner_code=partner_code, request_id=request_id, version=version), timeout)

    def archive_partner(
        self,
        *,
        partner_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchivePartnerResponse:
        """Shuts a partner out until it is taken back, with its sandbox: all its keys are refused
        within a second. What it sold stays valid; its stock can be moved to others. A repeat does
        no harm. Reasons: NOT_FOUND, REVOKED, INVALID_FIELD (a sandbox), VERSION_MISMATCH,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ARCHIVE_PARTNER, admin.ArchivePartnerRequest(partner_code=partner_code, version=version, request_id=request_id), timeout)

    def unarchive_partner(
        self,
        *,
        partner_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchivePartnerResponse:
        """Takes an archived partner back, with its sandbox; its keys that are not revoked work again.
        A repeat does no harm. Reasons: NOT_FOUND, REVOKED, INVALID_FIELD (a sandbox),
        VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UNARCHIVE_PARTNER, admin.UnarchivePartnerRequest(partner_code=partner_code, version=version, request_id=request_id), timeout)

    def create_partner_key(
        self,
        *,
        partner_code: str,
        request_id: str = "",
        mode: admin.PartnerMode.ValueType = admin.PARTNER_MODE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> admin.CreatePartnerKeyResponse:
        """Makes a new API key for a partner; the older ones go on working. Reasons: NOT_FOUND,
        REVOKED, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_CREATE_PARTNER_KEY, admin.CreatePartnerKeyRequest(partner_code=partner_code, request_id=request_id, mode=mode), timeout)

    def get_partner_key(
        self,
        *,
        partner_code: str,
        key_id: str,
        timeout: float | None = None,
    ) -> admin.GetPartnerKeyResponse:
        """Reads a key of a partner, without its secret. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_PARTNER_KEY, admin.GetPartnerKeyRequest(partner_code=partner_code, key_id=key_id), timeout)

    def list_partner_keys(
        self,
        *,
        partner_code: str,
        page_size: int = 0,
        page_token: str = "",
        mode: admin.PartnerMode.ValueType = admin.PARTNER_MODE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> admin.ListPartnerKeysResponse:
        """Lists the keys of a partner by page. Reasons: NOT_FOUND, PAGE_TOKEN_INVALID."""
        return self._calls.unary(_LIST_PARTNER_KEYS, admin.ListPartnerKeysRequest(partner_code=partner_code, page_size=page_size, page_token=page_token, mode=mode), timeout)

    def iter_partner_keys(
        self,
        *,
        partner_code: str,
        page_size: int = 0,
        mode: admin.PartnerMode.ValueType = admin.PARTNER_MODE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> Iterator[admin.PartnerKey]:
        """All `keys` of list_partner_keys, page after page."""
        return self._calls.pages(_LIST_PARTNER_KEYS, admin.ListPartnerKeysRequest(partner_code=partner_code, page_size=page_size, mode=mode), timeout)

    def revoke_partner_key(
        self,
        *,
        partner_code: str,
        key_id: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.RevokePartnerKeyResponse:
        """Takes a key out of use, within a second. Reasons: NOT_FOUND, IDEMPOTENCY_MISMATCH."""
        return self._calls.unary(_REVOKE_PARTNER_KEY, admin.RevokePartnerKeyRequest(partner_code=partner_code, key_id=key_id, request_id=request_id), timeout)

    def list_partner_statements(
        self,
        *,
        partner_code: str,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListPartnerStatementsResponse:
        """Lists a partner's monthly statements, the latest first. Reasons: NOT_FOUND,
        PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_PARTNER_STATEMENTS, admin.ListPartnerStatementsRequest(partner_code=partner_code, page_size=page_size, page_token=page_token), timeout)

    def iter_partner_statements(
        self,
        *,
        partner_code: str,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[ota.StatementSummary]:
        """All `statements` of list_partner_statements, page after page."""
        return self._calls.pages(_LIST_PARTNER_STATEMENTS, admin.ListPartnerStatementsRequest(partner_code=partner_code, page_size=page_size), timeout)

    def get_partner_statement(
        self,
        *,
        partner_code: str,
        month: str,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.GetPartnerStatementResponse:
        """Reads a partner's statement of a month, as OtaService/GetStatement gives it to the partner.
        Reasons: NOT_FOUND, PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_GET_PARTNER_STATEMENT, admin.GetPartnerStatementRequest(partner_code=partner_code, month=month, page_size=page_size, page_token=page_token), timeout)

    def iter_partner_statement_lines(
        self,
        *,
        partner_code: str,
        month: str,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[ota.StatementLine]:
        """All `lines` of get_partner_statement, page after page."""
        return self._calls.pages(_GET_PARTNER_STATEMENT, admin.GetPartnerStatementRequest(partner_code=partner_code, month=month, page_size=page_size), timeout)

    def download_partner_statement(
        self,
        *,
        partner_code: str,
        month: str,
        format: ota.StatementFormat.ValueType,
        timeout: float | None = None,
    ) -> Iterator[admin.DownloadPartnerStatementResponse]:
        """Downloads a partner's statement of a month as CSV, JSON or PDF, the same bytes that the
        partner gets. Reasons: NOT_FOUND.
        """
        return self._calls.stream(_DOWNLOAD_PARTNER_STATEMENT, admin.DownloadPartnerStatementRequest(partner_code=partner_code, month=month, format=format), timeout)

    def create_merchant(
        self,
        *,
        merchant_code: str,
        display_name: str,
        function_codes: Iterable[str],
        reversal_window_seconds: int | None = None,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CreateMerchantResponse:
        """Creates a merchant. Reasons: ALREADY_EXISTS, IDEMPOTENCY_MISMATCH."""
        return self._calls.unary(_CREATE_MERCHANT, admin.CreateMerchantRequest(merchant_code=merchant_code, display_name=display_name, function_codes=function_codes, reversal_window_seconds=reversal_window_seconds, request_id=request_id), timeout)

    def get_merchant(
        self,
        *,
        merchant_code: str,
        timeout: float | None = None,
    ) -> admin.GetMerchantResponse:
        """Reads a merchant. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_MERCHANT, admin.GetMerchantRequest(merchant_code=merchant_code), timeout)

    def list_merchants(
        self,
        *,
        state: admin.ResourceState.ValueType = admin.RESOURCE_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListMerchantsResponse:
        """Lists merchants by page. Reasons: PAGE_TOKEN_INVALID."""
        return self._calls.unary(_LIST_MERCHANTS, admin.ListMerchantsRequest(state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_merchants(
        self,
        *,
        state: admin.ResourceState.ValueType = admin.RESOURCE_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.Merchant]:
        """All `merchants` of list_merchants, page after page."""
        return self._calls.pages(_LIST_MERCHANTS, admin.ListMerchantsRequest(state=state, page_size=page_size), timeout)

    def update_merchant(
        self,
        *,
        merchant_code: str,
        update_mask: FieldMask,
        display_name: str = "",
        function_codes: Iterable[str] = (),
        reversal_window_seconds: int | None = None,
        request_id: str = "",
        version: int = 0,
        offline_pack_seconds: int | None = None,
        offline_clock_seconds: int | None = None,
        offline_over_admission: bool | None = None,
        offline_bears_refunds: bool | None = None,
        timeout: float | None = None,
    ) -> admin.UpdateMerchantResponse:
        """Changes a merchant. Reasons: NOT_FOUND, REVOKED, ARCHIVED, VERSION_MISMATCH,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UPDATE_MERCHANT, admin.UpdateMerchantRequest(merchant_code=merchant_code, update_mask=update_mask, display_name=display_name, function_codes=function_codes, reversal_window_seconds=reversal_window_seconds, request_id=request_id, version=version, offline_pack_seconds=offline_pack_seconds, offline_clock_seconds=offline_clock_seconds, offline_over_admission=offline_over_admission, offline_bears_refunds=offline_bears_refunds), timeout)

    def revoke_merchant(
        self,
        *,
        merchant_code: str,
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.RevokeMerchantResponse:
        """Shuts a merchant out for good, with its venues, terminals and operators, within a second.
        Reasons: NOT_FOUND, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_REVOKE_MERCHANT, admin.RevokeMerchantRequest(merchant_code=merchant_code, request_id=request_id, version=version), timeout)

    def archive_merchant(
        self,
        *,
        merchant_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchiveMerchantResponse:
        """Shuts a merchant out until it is taken back, with its venues, terminals and operators,
        within a second: their log-ins and sessions end, nothing is redeemed there. What happened
        stays. A repeat does no harm. Reasons: NOT_FOUND, REVOKED, VERSION_MISMATCH,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ARCHIVE_MERCHANT, admin.ArchiveMerchantRequest(merchant_code=merchant_code, version=version, request_id=request_id), timeout)

    def unarchive_merchant(
        self,
        *,
        merchant_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveMerchantResponse:
        """Takes an archived merchant back; its staff log in again. A repeat does no harm. Reasons:
        NOT_FOUND, REVOKED, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UNARCHIVE_MERCHANT, admin.UnarchiveMerchantRequest(merchant_code=merchant_code, version=version, request_id=request_id), timeout)

    def create_venue(
        self,
        *,
        venue_code: str,
        merchant_code: str,
        display_name: str,
        time_zone: str,
        function_codes: Iterable[str] = (),
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CreateVenueResponse:
        """Creates a venue of a merchant. Reasons: ALREADY_EXISTS, NOT_FOUND, REVOKED (the merchant),
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_CREATE_VENUE, admin.CreateVenueRequest(venue_code=venue_code, merchant_code=merchant_code, display_name=display_name, time_zone=time_zone, function_codes=function_codes, request_id=request_id), timeout)

    def get_venue(
        self,
        *,
        venue_code: str,
        timeout: float | None = None,
    ) -> admin.GetVenueResponse:
        """Reads a venue. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_VENUE, admin.GetVenueRequest(venue_code=venue_code), timeout)

    def list_venues(
        self,
        *,
        merchant_code: str = "",
        state: admin.ResourceState.ValueType = admin.RESOURCE_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListVenuesResponse:
        """Lists venues by page. Reasons: PAGE_TOKEN_INVALID."""
        return self._calls.unary(_LIST_VENUES, admin.ListVenuesRequest(merchant_code=merchant_code, state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_venues(
        self,
        *,
        merchant_code: str = "",
        state: admin.ResourceState.ValueType = admin.RESOURCE_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.Venue]:
        """All `venues` of list_venues, page after page."""
        return self._calls.pages(_LIST_VENUES, admin.ListVenuesRequest(merchant_code=merchant_code, state=state, page_size=page_size), timeout)

    def update_venue(
        self,
        *,
        venue_code: str,
        update_mask: FieldMask,
        display_name: str = "",
        time_zone: str = "",
        function_codes: Iterable[str] = (),
        request_id: str = "",
        version: int = 0,
        offline_pack_seconds: int | None = None,
        offline_clock_seconds: int | None = None,
        offline_over_admission: bool | None = None,
        offline_bears_refunds: bool | None = None,
        timeout: float | None = None,
    ) -> admin.UpdateVenueResponse:
        """Changes a venue. Reasons: NOT_FOUND, REVOKED, ARCHIVED, VERSION_MISMATCH,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UPDATE_VENUE, admin.UpdateVenueRequest(venue_code=venue_code, update_mask=update_mask, display_name=display_name, time_zone=time_zone, function_codes=function_codes, request_id=request_id, version=version, offline_pack_seconds=offline_pack_seconds, offline_clock_seconds=offline_clock_seconds, offline_over_admission=offline_over_admission, offline_bears_refunds=offline_bears_refunds), timeout)

    def revoke_venue(
        self,
        *,
        venue_code: str,
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.RevokeVenueResponse:
        """Shuts a venue out for good, with its terminals, within a second. Reasons: NOT_FOUND,
        VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_REVOKE_VENUE, admin.RevokeVenueRequest(venue_code=venue_code, request_id=request_id, version=version), timeout)

    def archive_venue(
        self,
        *,
        venue_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchiveVenueResponse:
        """Shuts a venue out until it is taken back, with its terminals, within a second: log-ins and
        sessions there end, nothing is redeemed there. What happened stays. A repeat does no harm.
        Reasons: NOT_FOUND, REVOKED, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ARCHIVE_VENUE, admin.ArchiveVenueRequest(venue_code=venue_code, version=version, request_id=request_id), timeout)

    def unarchive_venue(
        self,
        *,
        venue_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveVenueResponse:
        """Takes an archived venue back. A repeat does no harm. Reasons: NOT_FOUND, REVOKED and
        ARCHIVED (of the merchant, too), VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UNARCHIVE_VENUE, admin.UnarchiveVenueRequest(venue_code=venue_code, version=version, request_id=request_id), timeout)

    def create_terminal(
        self,
        *,
        terminal_device_id: str,
        venue_code: str,
        display_name: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CreateTerminalResponse:
        """Creates a terminal at a venue. Reasons: ALREADY_EXISTS, NOT_FOUND, REVOKED (the venue or its
        merchant), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_CREATE_TERMINAL, admin.CreateTerminalRequest(terminal_device_id=terminal_device_id, venue_code=venue_code, display_name=display_name, request_id=request_id), timeout)

    def get_terminal(
        self,
        *,
        terminal_device_id: str,
        timeout: float | None = None,
    ) -> admin.GetTerminalResponse:
        """Reads a terminal. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_TERMINAL, admin.GetTerminalRequest(terminal_device_id=terminal_device_id), timeout)

    def list_terminals(
        self,
        *,
        venue_code: str = "",
        state: admin.ResourceState.ValueType = admin.RESOURCE_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListTerminalsResponse:
        """Lists terminals by page. Reasons: PAGE_TOKEN_INVALID."""
        return self._calls.unary(_LIST_TERMINALS, admin.ListTerminalsRequest(venue_code=venue_code, state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_terminals(
        self,
        *,
        venue_code: str = "",
        state: admin.ResourceState.ValueType = admin.RESOURCE_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.Terminal]:
        """All `terminals` of list_terminals, page after page."""
        return self._calls.pages(_LIST_TERMINALS, admin.ListTerminalsRequest(venue_code=venue_code, state=state, page_size=page_size), timeout)

    def update_terminal(
        self,
        *,
        terminal_device_id: str,
        update_mask: FieldMask,
        display_name: str = "",
        venue_code: str = "",
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.UpdateTerminalResponse:
        """Changes a terminal, or moves it to another venue. Reasons: NOT_FOUND, REVOKED,
        VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UPDATE_TERMINAL, admin.UpdateTerminalRequest(terminal_device_id=terminal_device_id, update_mask=update_mask, display_name=display_name, venue_code=venue_code, request_id=request_id, version=version), timeout)

    def revoke_terminal(
        self,
        *,
        terminal_device_id: str,
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.RevokeTerminalResponse:
        """Shuts a terminal out for good, within a second: log-ins bound to it end. Reasons: NOT_FOUND,
        VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_REVOKE_TERMINAL, admin.RevokeTerminalRequest(terminal_device_id=terminal_device_id, request_id=request_id, version=version), timeout)

    def archive_terminal(
        self,
        *,
        terminal_device_id: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchiveTerminalResponse:
        """Shuts a terminal out until it is taken back, within a second: log-ins bound to it end. One
        that was stolen is revoked instead. A repeat does no harm. Reasons: NOT_FOUND, REVOKED,
        VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ARCHIVE_TERMINAL, admin.ArchiveTerminalRequest(terminal_device_id=terminal_device_id, version=version, request_id=request_id), timeout)

    def unarchive_terminal(
        self,
        *,
        terminal_device_id: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveTerminalResponse:
        """Takes an archived terminal back. A repeat does no harm. Reasons: NOT_FOUND, REVOKED and
        ARCHIVED (of its venue and merchant, too), VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UNARCHIVE_TERMINAL, admin.UnarchiveTerminalRequest(terminal_device_id=terminal_device_id, version=version, request_id=request_id), timeout)

    def create_operator(
        self,
        *,
        username: str,
        role: admin.OperatorRole.ValueType,
        merchant_code: str,
        display_name: str,
        password: str,
        venue_codes: Iterable[str] = (),
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CreateOperatorResponse:
        """Creates an operator's or supervisor's account. Reasons: ALREADY_EXISTS, NOT_FOUND, REVOKED
        (the merchant or a venue), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_CREATE_OPERATOR, admin.CreateOperatorRequest(username=username, role=role, merchant_code=merchant_code, display_name=display_name, password=password, venue_codes=venue_codes, request_id=request_id), timeout)

    def get_operator(
        self,
        *,
        username: str,
        timeout: float | None = None,
    ) -> admin.GetOperatorResponse:
        """Reads an operator. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_OPERATOR, admin.GetOperatorRequest(username=username), timeout)

    def list_operators(
        self,
        *,
        merchant_code: str = "",
        role: admin.OperatorRole.ValueType = admin.OPERATOR_ROLE_UNSPECIFIED,
        state: admin.ResourceState.ValueType = admin.RESOURCE_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListOperatorsResponse:
        """Lists operators by page. Reasons: PAGE_TOKEN_INVALID."""
        return self._calls.unary(_LIST_OPERATORS, admin.ListOperatorsRequest(merchant_code=merchant_code, role=role, state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_operators(
        self,
        *,
        merchant_code: str = "",
        role: admin.OperatorRole.ValueType = admin.OPERATOR_ROLE_UNSPECIFIED,
        state: admin.ResourceState.ValueType = admin.RESOURCE_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.Operator]:
        """All `operators` of list_operators, page after page."""
        return self._calls.pages(_LIST_OPERATORS, admin.ListOperatorsRequest(merchant_code=merchant_code, role=role, state=state, page_size=page_size), timeout)

    def update_operator(
        self,
        *,
        username: str,
        update_mask: FieldMask,
        role: admin.OperatorRole.ValueType = admin.OPERATOR_ROLE_UNSPECIFIED,
        venue_codes: Iterable[str] = (),
        display_name: str = "",
        password: str = "",
        locked: bool | None = None,
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.UpdateOperatorResponse:
        """Changes an operator: role, venues, name, password, lock-out. Reasons: NOT_FOUND, REVOKED,
        VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UPDATE_OPERATOR, admin.UpdateOperatorRequest(username=username, update_mask=update_mask, role=role, venue_codes=venue_codes, display_name=display_name, password=password, locked=locked, request_id=request_id, version=version), timeout)

    def revoke_operator(
        self,
        *,
        username: str,
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.RevokeOperatorResponse:
        """Shuts an operator out for good, within a second. Reasons: NOT_FOUND, VERSION_MISMATCH,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_REVOKE_OPERATOR, admin.RevokeOperatorRequest(username=username, request_id=request_id, version=version), timeout)

    def archive_operator(
        self,
        *,
        username: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchiveOperatorResponse:
        """Shuts an operator out until he is taken back, within a second: his log-ins and sessions end.
        What he redeemed stays. A repeat does no harm. Reasons: NOT_FOUND, REVOKED,
        VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ARCHIVE_OPERATOR, admin.ArchiveOperatorRequest(username=username, version=version, request_id=request_id), timeout)

    def unarchive_operator(
        self,
        *,
        username: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveOperatorResponse:
        """Takes an archived operator back, who logs in again. A repeat does no harm. Reasons:
        NOT_FOUND, REVOKED and ARCHIVED (of the merchant, too), VERSION_MISMATCH,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UNARCHIVE_OPERATOR, admin.UnarchiveOperatorRequest(username=username, version=version, request_id=request_id), timeout)

    def enrol_second_factor(
        self,
        *,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.EnrolSecondFactorResponse:
        """Begins a second factor of the caller's account: one-time codes by the clock (TOTP, RFC
        6238), for any authenticator. It counts once a code is confirmed; until then another call
        makes another secret. Reasons: ALREADY_EXISTS (one is confirmed; another administrator
        resets it), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ENROL_SECOND_FACTOR, admin.EnrolSecondFactorRequest(request_id=request_id), timeout)

    def confirm_second_factor(
        self,
        *,
        code: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ConfirmSecondFactorResponse:
        """Confirms the second factor of the caller's account with a first code: from now on each log-
        in needs a code, and each code is taken once. Reasons: NOT_FOUND (none was begun),
        ALREADY_EXISTS, INVALID_FIELD (the code), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_CONFIRM_SECOND_FACTOR, admin.ConfirmSecondFactorRequest(code=code, request_id=request_id), timeout)

    def renew_recovery_codes(
        self,
        *,
        code: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.RenewRecoveryCodesResponse:
        """Makes new recovery codes of the caller's account, and refuses those of before at once. It
        takes a code of the authenticator; wrong ones count as failed log-ins do. Reasons: NOT_FOUND
        (no second factor is confirmed), INVALID_FIELD (the code), LOGIN_LOCKED,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_RENEW_RECOVERY_CODES, admin.RenewRecoveryCodesRequest(code=code, request_id=request_id), timeout)

    def reset_second_factor(
        self,
        *,
        username: str,
        comment: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ResetSecondFactorResponse:
        """Takes the second factor of another administrator away, whose telephone is lost, and ends the
        log-ins; a repeat does no harm. Reasons: NOT_FOUND, OWN_ACCOUNT, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_RESET_SECOND_FACTOR, admin.ResetSecondFactorRequest(username=username, comment=comment, request_id=request_id), timeout)

    def create_administrator(
        self,
        *,
        username: str,
        display_name: str,
        password: str,
        request_id: str = "",
        roles: Iterable[common.AdminRole.ValueType] = (),
        timeout: float | None = None,
    ) -> admin.CreateAdministratorResponse:
        """Creates another administrator's account, with the roles that say what it may call. Reasons:
        ALREADY_EXISTS, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_CREATE_ADMINISTRATOR, admin.CreateAdministratorRequest(username=username, display_name=display_name, password=password, request_id=request_id, roles=roles), timeout)

    def get_administrator(
        self,
        *,
        username: str,
        timeout: float | None = None,
    ) -> admin.GetAdministratorResponse:
        """Reads an administrator. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_ADMINISTRATOR, admin.GetAdministratorRequest(username=username), timeout)

    def list_administrators(
        self,
        *,
        state: admin.ResourceState.ValueType = admin.RESOURCE_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListAdministratorsResponse:
        """Lists administrators by page. Reasons: PAGE_TOKEN_INVALID."""
        return self._calls.unary(_LIST_ADMINISTRATORS, admin.ListAdministratorsRequest(state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_administrators(
        self,
        *,
        state: admin.ResourceState.ValueType = admin.RESOURCE_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.Administrator]:
        """All `administrators` of list_administrators, page after page."""
        return self._calls.pages(_LIST_ADMINISTRATORS, admin.ListAdministratorsRequest(state=state, page_size=page_size), timeout)

    def update_administrator(
        self,
        *,
        username: str,
        update_mask: FieldMask,
        roles: Iterable[common.AdminRole.ValueType] = (),
        display_name: str = "",
        password: str = "",
        locked: bool | None = None,
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.UpdateAdministratorResponse:
        """Changes an administrator: roles, name, password, lock-out. Other roles count within a
        second, in every process and for log-ins of before. Nobody changes his own roles, and the
        last account with ADMIN_ROLE_ADMINISTRATOR keeps that role. Reasons: NOT_FOUND, REVOKED,
        OWN_ACCOUNT, LAST_ADMINISTRATOR, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UPDATE_ADMINISTRATOR, admin.UpdateAdministratorRequest(username=username, update_mask=update_mask, roles=roles, display_name=display_name, password=password, locked=locked, request_id=request_id, version=version), timeout)

    def revoke_administrator(
        self,
        *,
        username: str,
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.RevokeAdministratorResponse:
        """Shuts an administrator out for good, within a second; never the last one with
        ADMIN_ROLE_ADMINISTRATOR. Reasons: NOT_FOUND, LAST_ADMINISTRATOR, VERSION_MISMATCH,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_REVOKE_ADMINISTRATOR, admin.RevokeAdministratorRequest(username=username, request_id=request_id, version=version), timeout)

    def create_product(
        self,
        *,
        product_id: int,
        kind: admin.ProductKind.ValueType,
        display_name_en: str,
        display_name_zh: str,
        currency_code: str,
        fares: Iterable[admin.Fare],
        validity_days: int,
        entitlements: Iterable[admin.ProductEntitlement] = (),
        blackout_dates: Iterable[str] = (),
        request_id: str = "",
        tiers: Iterable[admin.PartyTier] = (),
        policy: admin.RefundPolicy | None = None,
        max_per_traveller: int = 0,
        city_code: str = "",
        calendar_code: str = "",
        boarding_minutes: int = 0,
        unaccompanied_types: Iterable[tickets.CustomerType.ValueType] = (),
        age_limits: Iterable[admin.AgeLimit] = (),
        entitlement_template_codes: Iterable[str] = (),
        timeout: float | None = None,
    ) -> admin.CreateProductResponse:
        """Creates a product. It is sold where it has an allotment. Reasons: ALREADY_EXISTS,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_CREATE_PRODUCT, admin.CreateProductRequest(product_id=product_id, kind=kind, display_name_en=display_name_en, display_name_zh=display_name_zh, currency_code=currency_code, fares=fares, validity_days=validity_days, entitlements=entitlements, blackout_dates=blackout_dates, request_id=request_id, tiers=tiers, policy=policy, max_per_traveller=max_per_traveller, city_code=city_code, calendar_code=calendar_code, boarding_minutes=boarding_minutes, unaccompanied_types=unaccompanied_types, age_limits=age_limits, entitlement_template_codes=entitlement_template_codes), timeout)

    def get_product(
        self,
        *,
        product_id: int,
        timeout: float | None = None,
    ) -> admin.GetProductResponse:
        """Reads a product. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_PRODUCT, admin.GetProductRequest(product_id=product_id), timeout)

    def list_products(
        self,
        *,
        kind: admin.ProductKind.ValueType = admin.PRODUCT_KIND_UNSPECIFIED,
        state: admin.ProductState.ValueType = admin.PRODUCT_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListProductsResponse:
        """Lists products by page. Reasons: PAGE_TOKEN_INVALID."""
        return self._calls.unary(_LIST_PRODUCTS, admin.ListProductsRequest(kind=kind, state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_products(
        self,
        *,
        kind: admin.ProductKind.ValueType = admin.PRODUCT_KIND_UNSPECIFIED,
        state: admin.ProductState.ValueType = admin.PRODUCT_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.Product]:
        """All `products` of list_products, page after page."""
        return self._calls.pages(_LIST_PRODUCTS, admin.ListProductsRequest(kind=kind, state=state, page_size=page_size), timeout)

    def update_product(
        self,
        *,
        product_id: int,
        update_mask: FieldMask,
        display_name_en: str = "",
        display_name_zh: str = "",
        fares: Iterable[admin.Fare] = (),
        entitlements: Iterable[admin.ProductEntitlement] = (),
        validity_days: int | None = None,
        blackout_dates: Iterable[str] = (),
        request_id: str = "",
        tiers: Iterable[admin.PartyTier] = (),
        policy: admin.RefundPolicy | None = None,
        max_per_traveller: int | None = None,
        city_code: str = "",
        calendar_code: str = "",
        boarding_minutes: int | None = None,
        unaccompanied_types: Iterable[tickets.CustomerType.ValueType] = (),
        age_limits: Iterable[admin.AgeLimit] = (),
        version: int = 0,
        entitlement_template_codes: Iterable[str] = (),
        timeout: float | None = None,
    ) -> admin.UpdateProductResponse:
        """Changes a product for what is sold from now on; tickets keep the snapshot they were sold
        under. Reasons: NOT_FOUND, PRODUCT_NOT_ON_SALE (archived), VERSION_MISMATCH,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UPDATE_PRODUCT, admin.UpdateProductRequest(product_id=product_id, update_mask=update_mask, display_name_en=display_name_en, display_name_zh=display_name_zh, fares=fares, entitlements=entitlements, validity_days=validity_days, blackout_dates=blackout_dates, request_id=request_id, tiers=tiers, policy=policy, max_per_traveller=max_per_traveller, city_code=city_code, calendar_code=calendar_code, boarding_minutes=boarding_minutes, unaccompanied_types=unaccompanied_types, age_limits=age_limits, version=version, entitlement_template_codes=entitlement_template_codes), timeout)

    def archive_product(
        self,
        *,
        product_id: int,
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.ArchiveProductResponse:
        """Takes a product off sale for good; tickets sold before stay valid. Reasons: NOT_FOUND,
        VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ARCHIVE_PRODUCT, admin.ArchiveProductRequest(product_id=product_id, request_id=request_id, version=version), timeout)

    def create_allotment(
        self,
        *,
        product_id: int,
        channel: str,
        total: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CreateAllotmentResponse:
        """Gives a channel stock of a product. Reasons: ALREADY_EXISTS, NOT_FOUND, REVOKED (the
        partner), PRODUCT_NOT_ON_SALE (archived), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_CREATE_ALLOTMENT, admin.CreateAllotmentRequest(product_id=product_id, channel=channel, total=total, request_id=request_id), timeout)

    def get_allotment(
        self,
        *,
        product_id: int,
        channel: str,
        departure_id: str = "",
        fare_class: str = "",
        use_date: str = "",
        fleet_id: int = 0,
        timeout: float | None = None,
    ) -> admin.GetAllotmentResponse:
        """Reads a channel's stock of a product, now, from the database. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_ALLOTMENT, admin.GetAllotmentRequest(product_id=product_id, channel=channel, departure_id=departure_id, fare_class=fare_class, use_date=use_date, fleet_id=fleet_id), timeout)

    def list_allotments(
        self,
        *,
        product_id: int = 0,
        channel: str = "",
        page_size: int = 0,
        page_token: str = "",
        departure_id: str = "",
        use_date: str = "",
        fleet_id: int = 0,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> admin.ListAllotmentsResponse:
        """Lists the stock of products and channels by page. Reasons: NOT_FOUND (the channel),
        PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_ALLOTMENTS, admin.ListAllotmentsRequest(product_id=product_id, channel=channel, page_size=page_size, page_token=page_token, departure_id=departure_id, use_date=use_date, fleet_id=fleet_id, state=state), timeout)

    def iter_allotments(
        self,
        *,
        product_id: int = 0,
        channel: str = "",
        page_size: int = 0,
        departure_id: str = "",
        use_date: str = "",
        fleet_id: int = 0,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> Iterator[admin.Allotment]:
        """All `allotments` of list_allotments, page after page."""
        return self._calls.pages(_LIST_ALLOTMENTS, admin.ListAllotmentsRequest(product_id=product_id, channel=channel, page_size=page_size, departure_id=departure_id, use_date=use_date, fleet_id=fleet_id, state=state), timeout)

    def update_allotment(
        self,
        *,
        product_id: int,
        channel: str,
        update_mask: FieldMask,
        total: int | None = None,
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.UpdateAllotmentResponse:
        """Sets the total of an allotment. Reasons: NOT_FOUND, STOCK_IN_USE, VERSION_MISMATCH,
        ARCHIVED, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UPDATE_ALLOTMENT, admin.UpdateAllotmentRequest(product_id=product_id, channel=channel, update_mask=update_mask, total=total, request_id=request_id, version=version), timeout)

    def move_allotment(
        self,
        *,
        product_id: int,
        from_channel: str,
        to_channel: str,
        quantity: int,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.MoveAllotmentResponse:
        """Moves stock of a product from one channel to another, all or nothing; only what is neither
        held nor sold can move. Reasons: NOT_FOUND, STOCK_IN_USE, REVOKED (the partner whose stock
        would grow), ARCHIVED, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_MOVE_ALLOTMENT, admin.MoveAllotmentRequest(product_id=product_id, from_channel=from_channel, to_channel=to_channel, quantity=quantity, request_id=request_id), timeout)

    def adjust_allotment(
        self,
        *,
        product_id: int,
        from_channel: str,
        to_channel: str,
        quantity: int,
        departure_id: str = "",
        fare_class: str = "",
        use_date: str = "",
        comment: str = "",
        request_id: str = "",
        fleet_id: int = 0,
        timeout: float | None = None,
    ) -> admin.AdjustAllotmentResponse:
        """Moves stock from one channel to another, all or nothing: of a product, or of a class of one
        departure or one day of use of it; only what is neither held nor sold can move. Stock of the
        channel that grows is made if there is none. Audited with both sides before and after;
        partners hear of it (`allotment.adjusted`). Reasons: NOT_FOUND, STOCK_IN_USE, REVOKED (the
        partner whose stock would grow), DEPARTURE_CANCELLED, INVALID_FIELD (also for a departure
        that has left, and for a partner's stock of a day that is over), ARCHIVED,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ADJUST_ALLOTMENT, admin.AdjustAllotmentRequest(product_id=product_id, from_channel=from_channel, to_channel=to_channel, quantity=quantity, departure_id=departure_id, fare_class=fare_class, use_date=use_date, comment=comment, request_id=request_id, fleet_id=fleet_id), timeout)

    def set_allotment_terms(
        self,
        *,
        product_id: int,
        channel: str,
        departure_id: str = "",
        fare_class: str = "",
        use_date: str = "",
        hold_seconds: int | None = None,
        max_hold_seconds: int | None = None,
        release_days: int | None = None,
        request_id: str = "",
        fleet_id: int = 0,
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.SetAllotmentTermsResponse:
        """Says how long reservations of an allotment last, and how many days before its departure or
        day what is free of it returns to DIRECT. Reasons: NOT_FOUND, VERSION_MISMATCH, ARCHIVED,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_SET_ALLOTMENT_TERMS, admin.SetAllotmentTermsRequest(product_id=product_id, channel=channel, departure_id=departure_id, fare_class=fare_class, use_date=use_date, hold_seconds=hold_seconds, max_hold_seconds=max_hold_seconds, release_days=release_days, request_id=request_id, fleet_id=fleet_id, version=version), timeout)

    def archive_allotment(
        self,
        *,
        product_id: int,
        channel: str,
        departure_id: str = "",
        fare_class: str = "",
        use_date: str = "",
        fleet_id: int = 0,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchiveAllotmentResponse:
        """Has nothing taken of a partner's allotment any more, within a second in every process. What
        is sold of it stays valid, and what is reserved may still be sold. What is free returns to
        DIRECT at once, and what becomes free later within a minute or so: where DIRECT has stock of
        the same, and the departure or day is to come; else it stays, and nobody can take it. The
        partner hears of what it loses (`allotment.adjusted`). Our own channel's is not archived:
        archive the product, cancel the departure, or set its total. A repeat does no harm. Reasons:
        NOT_FOUND, VERSION_MISMATCH, INVALID_FIELD (DIRECT, a sandbox), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ARCHIVE_ALLOTMENT, admin.ArchiveAllotmentRequest(product_id=product_id, channel=channel, departure_id=departure_id, fare_class=fare_class, use_date=use_date, fleet_id=fleet_id, version=version, request_id=request_id), timeout)

    def unarchive_allotment(
        self,
        *,
        product_id: int,
        channel: str,
        departure_id: str = "",
        fare_class: str = "",
        use_date: str = "",
        fleet_id: int = 0,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveAllotmentResponse:
        """Takes an archived allotment back, with what is left in it: what has returned to DIRECT stays
        there until AdjustAllotment moves some again. A repeat does no harm. Reasons: NOT_FOUND,
        VERSION_MISMATCH, REVOKED and ARCHIVED (the partner), INVALID_FIELD (DIRECT, a sandbox),
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UNARCHIVE_ALLOTMENT, admin.UnarchiveAllotmentRequest(product_id=product_id, channel=channel, departure_id=departure_id, fare_class=fare_class, use_date=use_date, fleet_id=fleet_id, version=version, request_id=request_id), timeout)

    def block_ticket(
        self,
        *,
        ticket_code: str,
        comment: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.BlockTicketResponse:
        """Has a ticket, of whatever partner, refused at every gate as TICKET_BLOCKED, until it is
        unblocked. A blocked ticket is neither given back nor changed. A block goes along with a
        change: one that is set while the ticket is CHANGING, or later, is also that of the ticket
        it was changed into. Blocking one that is blocked does no harm. Reasons: NOT_FOUND,
        CONFLICT, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_BLOCK_TICKET, admin.BlockTicketRequest(ticket_code=ticket_code, comment=comment, request_id=request_id), timeout)

    def unblock_ticket(
        self,
        *,
        ticket_code: str,
        comment: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnblockTicketResponse:
        """Lifts the block of a ticket, and of what it was changed into. Reasons: NOT_FOUND, CONFLICT,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UNBLOCK_TICKET, admin.UnblockTicketRequest(ticket_code=ticket_code, comment=comment, request_id=request_id), timeout)

    def search_orders(
        self,
        *,
        search: admin.OrderSearch | None = None,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.SearchOrdersResponse:
        """Searches for orders of all channels by code, name, document or telephone number, the newest
        first. What was searched for is audited by its kind, not by its content. An order that was
        made before this release may take minutes to be found after the upgrade. Auditors search by
        code and time alone. Reasons: INVALID_FIELD (too short, or fits too many orders),
        ROLE_NOT_ALLOWED, PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_SEARCH_ORDERS, admin.SearchOrdersRequest(search=search, page_size=page_size, page_token=page_token), timeout)

    def iter_search_orders(
        self,
        *,
        search: admin.OrderSearch | None = None,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.OrderOverview]:
        """All `orders` of search_orders, page after page."""
        return self._calls.pages(_SEARCH_ORDERS, admin.SearchOrdersRequest(search=search, page_size=page_size), timeout)

    def get_order(
        self,
        *,
        order_code: str,
        timeout: float | None = None,
    ) -> admin.GetOrderResponse:
        """Reads an order of any channel, with its tickets and what happened to it; audited. Auditors
        see no personal data. Reasons: NOT_FOUND.
        """
        return self._calls.unary(_GET_ORDER, admin.GetOrderRequest(order_code=order_code), timeout)

    def search_tickets(
        self,
        *,
        search: admin.OrderSearch | None = None,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.SearchTicketsResponse:
        """Searches for tickets of all channels by what SearchOrders takes; audited as that is.
        Reasons: INVALID_FIELD (too short, or fits too many orders), ROLE_NOT_ALLOWED,
        PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_SEARCH_TICKETS, admin.SearchTicketsRequest(search=search, page_size=page_size, page_token=page_token), timeout)

    def iter_search_tickets(
        self,
        *,
        search: admin.OrderSearch | None = None,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.TicketOverview]:
        """All `tickets` of search_tickets, page after page."""
        return self._calls.pages(_SEARCH_TICKETS, admin.SearchTicketsRequest(search=search, page_size=page_size), timeout)

    def get_ticket(
        self,
        *,
        ticket_code: str,
        timeout: float | None = None,
    ) -> admin.GetTicketResponse:
        """Reads a ticket of any channel, sold or not, with what happened to it; audited. Auditors see
        no personal data. Reasons: NOT_FOUND.
        """
        return self._calls.unary(_GET_TICKET, admin.GetTicketRequest(ticket_code=ticket_code), timeout)

    def list_travellers(
        self,
        *,
        state: admin.TravellerState.ValueType = admin.TRAVELLER_STATE_UNSPECIFIED,
        openid: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListTravellersResponse:
        """Lists travellers by page. Reasons: PAGE_TOKEN_INVALID."""
        return self._calls.unary(_LIST_TRAVELLERS, admin.ListTravellersRequest(state=state, openid=openid, page_size=page_size, page_token=page_token), timeout)

    def iter_travellers(
        self,
        *,
        state: admin.TravellerState.ValueType = admin.TRAVELLER_STATE_UNSPECIFIED,
        openid: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.Traveller]:
        """All `travellers` of list_travellers, page after page."""
        return self._calls.pages(_LIST_TRAVELLERS, admin.ListTravellersRequest(state=state, openid=openid, page_size=page_size), timeout)

    def block_traveller(
        self,
        *,
        traveller_id: int,
        comment: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.BlockTravellerResponse:
        """Shuts a traveller out until unblocked: no log-in from now on, and no call within a second.
        Orders and tickets stay as they are. Blocking one who is blocked does no harm. Reasons:
        NOT_FOUND, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_BLOCK_TRAVELLER, admin.BlockTravellerRequest(traveller_id=traveller_id, comment=comment, request_id=request_id), timeout)

    def unblock_traveller(
        self,
        *,
        traveller_id: int,
        comment: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnblockTravellerResponse:
        """Lifts the block of a traveller; access tokens of before are good again for what is left of
        their life. Reasons: NOT_FOUND, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UNBLOCK_TRAVELLER, admin.UnblockTravellerRequest(traveller_id=traveller_id, comment=comment, request_id=request_id), timeout)

    def list_refunds(
        self,
        *,
        state: ticketing.RefundState.ValueType = ticketing.REFUND_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListRefundsResponse:
        """Lists refunds, newest first, by page; the ABNORMAL ones are those WeChat cannot give back by
        itself. Reasons: PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_REFUNDS, admin.ListRefundsRequest(state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_refunds(
        self,
        *,
        state: ticketing.RefundState.ValueType = ticketing.REFUND_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[ticketing.Refund]:
        """All `refunds` of list_refunds, page after page."""
        return self._calls.pages(_LIST_REFUNDS, admin.ListRefundsRequest(state=state, page_size=page_size), timeout)

    def get_refund(
        self,
        *,
        refund_id: str,
        timeout: float | None = None,
    ) -> admin.GetRefundResponse:
        """Reads a refund with its parts. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_REFUND, admin.GetRefundRequest(refund_id=refund_id), timeout)

    def retry_refund(
        self,
        *,
        refund_id: str,
        comment: str = "",
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.RetryRefundResponse:
        """Asks WeChat again for what an ABNORMAL refund has not given back. It is given back once,
        however often it is asked for. Reasons: NOT_FOUND, REFUND_REFUSED (NOT_ABNORMAL;
        REFUNDS_USED_UP: WeChat has closed the number, and takes on no other of the payment),
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_RETRY_REFUND, admin.RetryRefundRequest(refund_id=refund_id, comment=comment, request_id=request_id), timeout)

    def apply_abnormal_refund(
        self,
        *,
        refund_id: str,
        account: admin.AbnormalRefundAccount.ValueType,
        out_refund_no: str = "",
        bank_type: str = "",
        bank_account: str = "",
        real_name: str = "",
        comment: str = "",
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ApplyAbnormalRefundResponse:
        """Has WeChat send a part of a refund that is ABNORMAL at WeChat to another account: a debit
        card of the traveller, or our own account, from where the traveller is yet to get it. Safe
        to repeat: it is given back once. When the answer is lost or WeChat does not answer, the
        part is PROCESSING and WeChat is asked about it. The card's number and its holder's name are
        passed on encrypted, and neither stored nor logged. Reasons: NOT_FOUND, INVALID_FIELD,
        REFUND_REFUSED (NOT_ABNORMAL; SEVERAL_PARTS: name one; WECHAT_REFUSED: the account cannot
        be, or WeChat is at it), PAYMENT_PROVIDER_UNAVAILABLE, PAYMENTS_NOT_CONFIGURED,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_APPLY_ABNORMAL_REFUND, admin.ApplyAbnormalRefundRequest(refund_id=refund_id, account=account, out_refund_no=out_refund_no, bank_type=bank_type, bank_account=bank_account, real_name=real_name, comment=comment, request_id=request_id), timeout)

    def settle_refund(
        self,
        *,
        refund_id: str,
        state: ticketing.RefundState.ValueType,
        comment: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.SettleRefundResponse:
        """Settles by hand the parts of a refund that are ABNORMAL, and only those. What became of a
        part that was given up (REFUND_GIVEN_UP) is not known: RetryRefund, which asks under the
        same number, gives nothing twice. Reasons: NOT_FOUND, REFUND_REFUSED (NOT_ABNORMAL;
        PART_PROCESSING: WeChat is at another part, wait for that; PART_SUCCEEDED: to be CLOSED, and
        a part of it was given back), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_SETTLE_REFUND, admin.SettleRefundRequest(refund_id=refund_id, state=state, comment=comment, request_id=request_id), timeout)

    def list_payment_incidents(
        self,
        *,
        include_resolved: bool = False,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListPaymentIncidentsResponse:
        """Lists what did not fit about payments, refunds and notices, newest first, by page. Reasons:
        PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_PAYMENT_INCIDENTS, admin.ListPaymentIncidentsRequest(include_resolved=include_resolved, page_size=page_size, page_token=page_token), timeout)

    def iter_payment_incidents(
        self,
        *,
        include_resolved: bool = False,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.PaymentIncident]:
        """All `payment_incidents` of list_payment_incidents, page after page."""
        return self._calls.pages(_LIST_PAYMENT_INCIDENTS, admin.ListPaymentIncidentsRequest(include_resolved=include_resolved, page_size=page_size), timeout)

    def resolve_payment_incident(
        self,
        *,
        incident_id: str,
        comment: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ResolvePaymentIncidentResponse:
        """Says that an incident was seen to; a repeat does no harm. Reasons: NOT_FOUND,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_RESOLVE_PAYMENT_INCIDENT, admin.ResolvePaymentIncidentRequest(incident_id=incident_id, comment=comment, request_id=request_id), timeout)

    def list_reconciliations(
        self,
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListReconciliationsResponse:
        """Lists the daily comparisons with WeChat's trade bill, newest first, by page. Reasons:
        PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_RECONCILIATIONS, admin.ListReconciliationsRequest(page_size=page_size, page_token=page_token), timeout)

    def iter_reconciliations(
        self,
        *,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.Reconciliation]:
        """All `reconciliations` of list_reconciliations, page after page."""
        return self._calls.pages(_LIST_RECONCILIATIONS, admin.ListReconciliationsRequest(page_size=page_size), timeout)

    def list_reconciliation_differences(
        self,
        *,
        bill_date: str,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListReconciliationDifferencesResponse:
        """Lists what was not the same on both sides on a day. Reasons: NOT_FOUND (not compared yet),
        PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_RECONCILIATION_DIFFERENCES, admin.ListReconciliationDifferencesRequest(bill_date=bill_date, page_size=page_size, page_token=page_token), timeout)

    def iter_reconciliation_differences(
        self,
        *,
        bill_date: str,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.ReconciliationDifference]:
        """All `differences` of list_reconciliation_differences, page after page."""
        return self._calls.pages(_LIST_RECONCILIATION_DIFFERENCES, admin.ListReconciliationDifferencesRequest(bill_date=bill_date, page_size=page_size), timeout)

    def list_dead_tasks(
        self,
        *,
        kind: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListDeadTasksResponse:
        """Lists work in the background that was given up, newest first, by page. Reasons:
        PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_DEAD_TASKS, admin.ListDeadTasksRequest(kind=kind, page_size=page_size, page_token=page_token), timeout)

    def iter_dead_tasks(
        self,
        *,
        kind: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.DeadTask]:
        """All `dead_tasks` of list_dead_tasks, page after page."""
        return self._calls.pages(_LIST_DEAD_TASKS, admin.ListDeadTasksRequest(kind=kind, page_size=page_size), timeout)

    def replay_task(
        self,
        *,
        task_id: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ReplayTaskResponse:
        """Has work that was given up tried again, with all its attempts. Reasons: NOT_FOUND (not given
        up), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_REPLAY_TASK, admin.ReplayTaskRequest(task_id=task_id, request_id=request_id), timeout)

    def list_jobs(
        self,
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListJobsResponse:
        """Lists what the server does by the clock: when each job ran last and runs next, how late it
        is, where it runs and who paused it; and the queues of tasks that calls leave: how many are
        open, fail, were done or given up, and how long the oldest waits. Reasons:
        PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_JOBS, admin.ListJobsRequest(page_size=page_size, page_token=page_token), timeout)

    def iter_jobs(
        self,
        *,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.Job]:
        """All `jobs` of list_jobs, page after page."""
        return self._calls.pages(_LIST_JOBS, admin.ListJobsRequest(page_size=page_size), timeout)

    def run_job(
        self,
        *,
        job_code: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.RunJobResponse:
        """Has a job run now, whatever its cadence, also one that is paused. Of a queue it has those
        tasks tried now that wait for their next try after a failure; what is due later stays so,
        what was given up is for ReplayTask, and a paused queue stays paused. Audited. Reasons:
        NOT_FOUND, JOB_RUNNING, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_RUN_JOB, admin.RunJobRequest(job_code=job_code, request_id=request_id), timeout)

    def pause_job(
        self,
        *,
        job_code: str,
        comment: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.PauseJobResponse:
        """Pauses a job in every process, within some seconds, until it is resumed; a run under way
        ends after the piece it is at. Of a queue no task is begun meanwhile: tasks come in and
        wait, those under way end. Of one that is paused the first pause stays. Audited with the
        comment. Reasons: NOT_FOUND, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_PAUSE_JOB, admin.PauseJobRequest(job_code=job_code, comment=comment, request_id=request_id), timeout)

    def resume_job(
        self,
        *,
        job_code: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ResumeJobResponse:
        """Has a paused job or queue go on: it does what is due since. One that is not paused stays as
        it is. Audited. Reasons: NOT_FOUND, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_RESUME_JOB, admin.ResumeJobRequest(job_code=job_code, request_id=request_id), timeout)

    def list_stuck(
        self,
        *,
        kind: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListStuckResponse:
        """Lists what the job `sweep-stuck` has found that does not go on by itself, and cannot finish:
        somebody has to see to it. What is found no more is not listed any longer; RunJob looks
        anew. Reasons: PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_STUCK, admin.ListStuckRequest(kind=kind, page_size=page_size, page_token=page_token), timeout)

    def iter_stuck(
        self,
        *,
        kind: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.Stuck]:
        """All `stuck` of list_stuck, page after page."""
        return self._calls.pages(_LIST_STUCK, admin.ListStuckRequest(kind=kind, page_size=page_size), timeout)

    def list_job_runs(
        self,
        *,
        job_code: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListJobRunsResponse:
        """Lists runs of jobs that ended, newest first, by page, as long as they are kept. A queue has
        no runs. Reasons: NOT_FOUND, INVALID_FIELD (a queue), PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_JOB_RUNS, admin.ListJobRunsRequest(job_code=job_code, page_size=page_size, page_token=page_token), timeout)

    def iter_job_runs(
        self,
        *,
        job_code: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.JobRun]:
        """All `job_runs` of list_job_runs, page after page."""
        return self._calls.pages(_LIST_JOB_RUNS, admin.ListJobRunsRequest(job_code=job_code, page_size=page_size), timeout)

    def list_routes(
        self,
        *,
        page_size: int = 0,
        page_token: str = "",
        product_id: int = 0,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> admin.ListRoutesResponse:
        """Lists routes with their fares by page. Reasons: PAGE_TOKEN_INVALID."""
        return self._calls.unary(_LIST_ROUTES, admin.ListRoutesRequest(page_size=page_size, page_token=page_token, product_id=product_id, state=state), timeout)

    def iter_routes(
        self,
        *,
        page_size: int = 0,
        product_id: int = 0,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> Iterator[admin.Route]:
        """All `routes` of list_routes, page after page."""
        return self._calls.pages(_LIST_ROUTES, admin.ListRoutesRequest(page_size=page_size, product_id=product_id, state=state), timeout)

    def set_route_fares(
        self,
        *,
        route_id: int,
        fares: Iterable[admin.RouteFare] = (),
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.SetRouteFaresResponse:
        """Sets the fares of a route; orders and tickets keep theirs. Searches show it within a second.
        Reasons: NOT_FOUND, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_SET_ROUTE_FARES, admin.SetRouteFaresRequest(route_id=route_id, fares=fares, request_id=request_id, version=version), timeout)

    def list_departures(
        self,
        *,
        route_id: int = 0,
        travel_date: str = "",
        page_size: int = 0,
        page_token: str = "",
        timetable_id: int = 0,
        state: admin.DepartureState.ValueType = admin.DEPARTURE_STATE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> admin.ListDeparturesResponse:
        """Lists departures with our own seats by page. Reasons: PAGE_TOKEN_INVALID."""
        return self._calls.unary(_LIST_DEPARTURES, admin.ListDeparturesRequest(route_id=route_id, travel_date=travel_date, page_size=page_size, page_token=page_token, timetable_id=timetable_id, state=state), timeout)

    def iter_departures(
        self,
        *,
        route_id: int = 0,
        travel_date: str = "",
        page_size: int = 0,
        timetable_id: int = 0,
        state: admin.DepartureState.ValueType = admin.DEPARTURE_STATE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> Iterator[admin.Departure]:
        """All `departures` of list_departures, page after page."""
        return self._calls.pages(_LIST_DEPARTURES, admin.ListDeparturesRequest(route_id=route_id, travel_date=travel_date, page_size=page_size, timetable_id=timetable_id, state=state), timeout)

    def get_departure(
        self,
        *,
        departure_id: str,
        timeout: float | None = None,
    ) -> admin.GetDepartureResponse:
        """Reads a departure with our own seats. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_DEPARTURE, admin.GetDepartureRequest(departure_id=departure_id), timeout)

    def cancel_departure(
        self,
        *,
        departure_id: str,
        comment: str,
        refunds: admin.DepartureRefunds.ValueType = admin.DEPARTURE_REFUNDS_UNSPECIFIED,
        request_id: str = "",
        waiver_code: str = "",
        preview_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.CancelDepartureResponse:
        """Cancels a departure, for good. It has no versions as what sells has: it was sold to people
        who are refunded and notified, so it is previewed by PreviewDisruption, whose `preview_id`
        is the version check. From then on nothing is sold of it, in every process; searches show it
        within a second. Orders that wait for payment are cancelled, their payments closed at
        WeChat, and money that comes anyway goes back whole. Sold tickets are refused at the gate as
        DEPARTURE_CANCELLED, and what is unused of them is refunded whole and without a fee, by
        itself: at once, or when the departure would have left, so that the traveller may ask for
        the refund or a free change before. Tickets that are blocked follow when they are unblocked;
        those used, boarded with, or EXPIRED before stay; a refund that was asked for before keeps
        its amount. Travellers are notified and read `departure.cancelled` in the events of their
        orders. What became of each ticket is in the report (GetDisruption). It is refused as
        DEPARTURE_OVER when tickets of it are EXPIRED, which is final, and none is left that it
        would give back. Audited with the comment. Reasons: NOT_FOUND, DEPARTURE_OVER,
        PREVIEW_OUTDATED, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_CANCEL_DEPARTURE, admin.CancelDepartureRequest(departure_id=departure_id, comment=comment, refunds=refunds, request_id=request_id, waiver_code=waiver_code, preview_id=preview_id, version=version), timeout)

    def move_departure(
        self,
        *,
        departure_id: str,
        departure_time: Moment,
        comment: str,
        request_id: str = "",
        waiver_code: str = "",
        preview_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.MoveDepartureResponse:
        """Has a departure leave at another time, also on another day. The times of sold tickets follow
        within seconds, those of orders that wait for payment when they are paid; a QR that was
        issued before is good until its own time, so it is to be issued again when the departure
        moves by more than some hours. If it leaves earlier or later than it was sold for by more
        than the product's tolerance, however often it was moved in between, refund and change are
        free until it leaves. Travellers are notified and read `departure.moved` in the events of
        their orders. What became of each ticket is in the report (GetDisruption). Audited with the
        comment. Reasons: NOT_FOUND, DEPARTURE_CANCELLED, PREVIEW_OUTDATED, VERSION_MISMATCH,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_MOVE_DEPARTURE, admin.MoveDepartureRequest(departure_id=departure_id, departure_time=timestamp(departure_time), comment=comment, request_id=request_id, waiver_code=waiver_code, preview_id=preview_id, version=version), timeout)

    def preview_disruption(
        self,
        *,
        departure_id: str,
        departure_time: Moment | None = None,
        refunds: admin.DepartureRefunds.ValueType = admin.DEPARTURE_REFUNDS_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.PreviewDisruptionResponse:
        """What it would do to cancel or move a departure: who is concerned, what goes back, which
        holds end, and where there are seats instead; worked out by the rules that the work goes by.
        Nothing is done. To carry out what was previewed, send its `preview_id` with CancelDeparture
        or MoveDeparture. Of thousands of tickets it takes seconds. Reasons: NOT_FOUND,
        DEPARTURE_CANCELLED (it is to be moved), DEPARTURE_OVER (it is to be cancelled),
        PAGE_TOKEN_INVALID, SERVER_BUSY, RANGE_TOO_LARGE.
        """
        return self._calls.unary(_PREVIEW_DISRUPTION, admin.PreviewDisruptionRequest(departure_id=departure_id, departure_time=timestamp(departure_time), refunds=refunds, page_size=page_size, page_token=page_token), timeout)

    def iter_disruption_totals(
        self,
        *,
        departure_id: str,
        departure_time: Moment | None = None,
        refunds: admin.DepartureRefunds.ValueType = admin.DEPARTURE_REFUNDS_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.DisruptionTotal]:
        """All `totals` of preview_disruption, page after page."""
        return self._calls.pages(_PREVIEW_DISRUPTION, admin.PreviewDisruptionRequest(departure_id=departure_id, departure_time=timestamp(departure_time), refunds=refunds, page_size=page_size), timeout)

    def list_disruptions(
        self,
        *,
        departure_id: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListDisruptionsResponse:
        """Lists what was done to departures, the newest first, by page. Reasons: PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_DISRUPTIONS, admin.ListDisruptionsRequest(departure_id=departure_id, page_size=page_size, page_token=page_token), timeout)

    def iter_disruptions(
        self,
        *,
        departure_id: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.Disruption]:
        """All `disruptions` of list_disruptions, page after page."""
        return self._calls.pages(_LIST_DISRUPTIONS, admin.ListDisruptionsRequest(departure_id=departure_id, page_size=page_size), timeout)

    def get_disruption(
        self,
        *,
        disruption_id: str,
        timeout: float | None = None,
    ) -> admin.GetDisruptionResponse:
        """The report of a cancelled or moved departure, as it is now: how far it is, and the sums of
        its tickets, messages, partners and holds. Reasons: NOT_FOUND, SERVER_BUSY, RANGE_TOO_LARGE.
        """
        return self._calls.unary(_GET_DISRUPTION, admin.GetDisruptionRequest(disruption_id=disruption_id), timeout)

    def list_disruption_tickets(
        self,
        *,
        disruption_id: str,
        outcome: admin.DisruptionOutcome.ValueType = admin.DISRUPTION_OUTCOME_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListDisruptionTicketsResponse:
        """The tickets of a report, each once, by page: what became of it, and who must act. Reasons:
        NOT_FOUND, PAGE_TOKEN_INVALID, SERVER_BUSY, RANGE_TOO_LARGE.
        """
        return self._calls.unary(_LIST_DISRUPTION_TICKETS, admin.ListDisruptionTicketsRequest(disruption_id=disruption_id, outcome=outcome, page_size=page_size, page_token=page_token), timeout)

    def iter_disruption_tickets(
        self,
        *,
        disruption_id: str,
        outcome: admin.DisruptionOutcome.ValueType = admin.DISRUPTION_OUTCOME_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.DisruptionTicket]:
        """All `tickets` of list_disruption_tickets, page after page."""
        return self._calls.pages(_LIST_DISRUPTION_TICKETS, admin.ListDisruptionTicketsRequest(disruption_id=disruption_id, outcome=outcome, page_size=page_size), timeout)

    def download_disruption(
        self,
        *,
        disruption_id: str,
        timeout: float | None = None,
    ) -> Iterator[admin.DownloadDisruptionResponse]:
        """Downloads the tickets of a report as CSV: UTF-8 with a byte order mark, amounts in minor
        units. Reasons: NOT_FOUND, SERVER_BUSY, RANGE_TOO_LARGE.
        """
        return self._calls.stream(_DOWNLOAD_DISRUPTION, admin.DownloadDisruptionRequest(disruption_id=disruption_id), timeout)

    def list_disruption_refunds(
        self,
        *,
        disruption_id: str,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListDisruptionRefundsResponse:
        """The refunds of a report, each once, by page: what is given back of which payment, by which
        refund number, and how far that is. What of them is for its tickets is together what the
        report says. Reasons: NOT_FOUND, PAGE_TOKEN_INVALID, SERVER_BUSY, RANGE_TOO_LARGE.
        """
        return self._calls.unary(_LIST_DISRUPTION_REFUNDS, admin.ListDisruptionRefundsRequest(disruption_id=disruption_id, page_size=page_size, page_token=page_token), timeout)

    def iter_disruption_refunds(
        self,
        *,
        disruption_id: str,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.DisruptionRefund]:
        """All `refunds` of list_disruption_refunds, page after page."""
        return self._calls.pages(_LIST_DISRUPTION_REFUNDS, admin.ListDisruptionRefundsRequest(disruption_id=disruption_id, page_size=page_size), timeout)

    def rebook_disruption_tickets(
        self,
        *,
        disruption_id: str,
        departure_id: str,
        comment: str,
        class_code: str = "",
        ticket_codes: Iterable[str] = (),
        bulk: admin.DisruptionBulk.ValueType = admin.DISRUPTION_BULK_UNSPECIFIED,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.RebookDisruptionTicketsResponse:
        """Has tickets of a cancelled or moved departure changed to another one of the product, for
        travellers who were asked: those named, or the next that are AWAITING_CHOICE. It costs them
        nothing: what the new one is dearer by the operator bears, what it is cheaper by goes back.
        Each has an outcome of its own; each traveller is notified. A ticket that is changed or
        refunded meanwhile is refused, not changed twice. Partners' tickets are theirs to change.
        Audited with the comment. Reasons: NOT_FOUND, INVALID_FIELD, DEPARTURE_CANCELLED (of the one
        to go on), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_REBOOK_DISRUPTION_TICKETS, admin.RebookDisruptionTicketsRequest(disruption_id=disruption_id, departure_id=departure_id, comment=comment, class_code=class_code, ticket_codes=ticket_codes, bulk=bulk, request_id=request_id), timeout)

    def refund_disruption_tickets(
        self,
        *,
        disruption_id: str,
        comment: str,
        ticket_codes: Iterable[str] = (),
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.RefundDisruptionTicketsResponse:
        """Has tickets of a cancelled or moved departure refunded, whole and without a fee, for
        travellers who were asked: those named, or the next that are AWAITING_CHOICE. To refund all
        that wait, call CancelDeparture again with refunds AT_ONCE. Each has an outcome of its own;
        each traveller is notified when the refund is over. Audited with the comment. Reasons:
        NOT_FOUND, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_REFUND_DISRUPTION_TICKETS, admin.RefundDisruptionTicketsRequest(disruption_id=disruption_id, comment=comment, ticket_codes=ticket_codes, request_id=request_id), timeout)

    def set_departure_state(
        self,
        *,
        departure_id: str,
        state: admin.DepartureState.ValueType,
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.SetDepartureStateResponse:
        """CancelDeparture in an older form, as the product's policy says. Reasons: NOT_FOUND,
        DEPARTURE_CANCELLED (it cannot run after all), DEPARTURE_OVER, VERSION_MISMATCH,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_SET_DEPARTURE_STATE, admin.SetDepartureStateRequest(departure_id=departure_id, state=state, request_id=request_id, version=version), timeout)

    def set_departure_stock(
        self,
        *,
        departure_id: str,
        class_code: str,
        total: int,
        request_id: str = "",
        was_total: int | None = None,
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.SetDepartureStockResponse:
        """Sets how many seats of a departure are ours to sell in a class. Reasons: NOT_FOUND,
        STOCK_IN_USE (fewer than are held and sold), VERSION_MISMATCH (not `was_total` any more),
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_SET_DEPARTURE_STOCK, admin.SetDepartureStockRequest(departure_id=departure_id, class_code=class_code, total=total, request_id=request_id, was_total=was_total, version=version), timeout)

    def create_config_draft(
        self,
        *,
        object_type: admin.ConfigObjectType.ValueType,
        object_id: int,
        comment: str,
        base_version: int = 0,
        content: admin.ConfigContent | None = None,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CreateConfigDraftResponse:
        """Makes a draft of a product, of a route's fares or of a promotion: nothing is sold under it
        until it is published. Reasons: NOT_FOUND, PRODUCT_NOT_ON_SALE or ARCHIVED,
        CONFIG_VERSION_OUTDATED (the base is neither published nor scheduled), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_CREATE_CONFIG_DRAFT, admin.CreateConfigDraftRequest(object_type=object_type, object_id=object_id, comment=comment, base_version=base_version, content=content, request_id=request_id), timeout)

    def update_config_draft(
        self,
        *,
        version_id: str,
        content: admin.ConfigContent | None = None,
        comment: str = "",
        request_id: str = "",
        revision: int = 0,
        timeout: float | None = None,
    ) -> admin.UpdateConfigDraftResponse:
        """Changes a draft. Reasons: NOT_FOUND, PRODUCT_NOT_ON_SALE or ARCHIVED,
        CONFIG_VERSION_STATE_REFUSES, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UPDATE_CONFIG_DRAFT, admin.UpdateConfigDraftRequest(version_id=version_id, content=content, comment=comment, request_id=request_id, revision=revision), timeout)

    def discard_config_draft(
        self,
        *,
        version_id: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.DiscardConfigDraftResponse:
        """Discards a draft, for good; a repeat does no harm. Reasons: NOT_FOUND,
        CONFIG_VERSION_STATE_REFUSES, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_DISCARD_CONFIG_DRAFT, admin.DiscardConfigDraftRequest(version_id=version_id, request_id=request_id), timeout)

    def get_config_version(
        self,
        *,
        version_id: str,
        timeout: float | None = None,
    ) -> admin.GetConfigVersionResponse:
        """Reads a version. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_CONFIG_VERSION, admin.GetConfigVersionRequest(version_id=version_id), timeout)

    def list_config_versions(
        self,
        *,
        object_type: admin.ConfigObjectType.ValueType = admin.CONFIG_OBJECT_TYPE_UNSPECIFIED,
        object_id: int = 0,
        state: admin.ConfigVersionState.ValueType = admin.CONFIG_VERSION_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        change_set_id: str = "",
        timeout: float | None = None,
    ) -> admin.ListConfigVersionsResponse:
        """Lists versions by page. Reasons: PAGE_TOKEN_INVALID."""
        return self._calls.unary(_LIST_CONFIG_VERSIONS, admin.ListConfigVersionsRequest(object_type=object_type, object_id=object_id, state=state, page_size=page_size, page_token=page_token, change_set_id=change_set_id), timeout)

    def iter_config_versions(
        self,
        *,
        object_type: admin.ConfigObjectType.ValueType = admin.CONFIG_OBJECT_TYPE_UNSPECIFIED,
        object_id: int = 0,
        state: admin.ConfigVersionState.ValueType = admin.CONFIG_VERSION_STATE_UNSPECIFIED,
        page_size: int = 0,
        change_set_id: str = "",
        timeout: float | None = None,
    ) -> Iterator[admin.ConfigVersion]:
        """All `config_versions` of list_config_versions, page after page."""
        return self._calls.pages(_LIST_CONFIG_VERSIONS, admin.ListConfigVersionsRequest(object_type=object_type, object_id=object_id, state=state, page_size=page_size, change_set_id=change_set_id), timeout)

    def preview_config_version(
        self,
        *,
        version_id: str,
        days: int = 0,
        party: Iterable[tickets.CustomerType.ValueType] = (),
        promotion_codes: Iterable[str] = (),
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.PreviewConfigVersionResponse:
        """The dry run: what a version would do to the offers of the next days, for one party, and what
        keeps the terms it was sold under. Nothing is changed. The prices are those that search,
        quote and order then give, as long as nothing else changes. Reasons: NOT_FOUND,
        PRODUCT_NOT_ON_SALE or ARCHIVED, PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_PREVIEW_CONFIG_VERSION, admin.PreviewConfigVersionRequest(version_id=version_id, days=days, party=party, promotion_codes=promotion_codes, page_size=page_size, page_token=page_token), timeout)

    def iter_config_version_offer_changes(
        self,
        *,
        version_id: str,
        days: int = 0,
        party: Iterable[tickets.CustomerType.ValueType] = (),
        promotion_codes: Iterable[str] = (),
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.OfferChange]:
        """All `offer_changes` of preview_config_version, page after page."""
        return self._calls.pages(_PREVIEW_CONFIG_VERSION, admin.PreviewConfigVersionRequest(version_id=version_id, days=days, party=party, promotion_codes=promotion_codes, page_size=page_size), timeout)

    def publish_config_version(
        self,
        *,
        version_id: str,
        effective_time: Moment | None = None,
        force_comment: str = "",
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.PublishConfigVersionResponse:
        """Has a draft take effect, now or at a time to come: for what is sold from then on, in every
        process within a second. Orders, tickets and batches keep the snapshot they were sold under.
        What is scheduled takes effect once, also if no server ran at its time: then before anything
        is sold again. If it does not apply any more then, it is a draft again, with its `fault`;
        nothing of it takes effect. Reasons: NOT_FOUND, PRODUCT_NOT_ON_SALE or ARCHIVED,
        CONFIG_VERSION_STATE_REFUSES, CONFIG_VERSION_OUTDATED, CONFIG_EXAMPLE_FAILED (unless there
        is a `force_comment`), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_PUBLISH_CONFIG_VERSION, admin.PublishConfigVersionRequest(version_id=version_id, effective_time=timestamp(effective_time), force_comment=force_comment, request_id=request_id), timeout)

    def cancel_scheduled_version(
        self,
        *,
        version_id: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CancelScheduledVersionResponse:
        """Makes a scheduled version a draft again, with all others of its change set. Reasons:
        NOT_FOUND, CONFIG_VERSION_STATE_REFUSES, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_CANCEL_SCHEDULED_VERSION, admin.CancelScheduledVersionRequest(version_id=version_id, request_id=request_id), timeout)

    def publish_change_set(
        self,
        *,
        version_ids: Iterable[str],
        effective_time: Moment | None = None,
        force_comment: str = "",
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.PublishChangeSetResponse:
        """Has drafts of several objects take effect together, now or at a time to come: new fares with
        the refund policy and the promotion that belong to them, say. It is one change set: all of
        it takes effect at one moment, or nothing of it, as in PublishConfigVersion. Examples are
        tried against all of it. What is wrong names the version. Reasons: NOT_FOUND,
        PRODUCT_NOT_ON_SALE or ARCHIVED, CONFIG_VERSION_STATE_REFUSES, CONFIG_VERSION_OUTDATED,
        CONFIG_EXAMPLE_FAILED (unless there is a `force_comment`), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_PUBLISH_CHANGE_SET, admin.PublishChangeSetRequest(version_ids=version_ids, effective_time=timestamp(effective_time), force_comment=force_comment, request_id=request_id), timeout)

    def preview_change_set(
        self,
        *,
        version_ids: Iterable[str],
        days: int = 0,
        party: Iterable[tickets.CustomerType.ValueType] = (),
        promotion_codes: Iterable[str] = (),
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.PreviewChangeSetResponse:
        """The dry run of several versions that take effect together, see PreviewConfigVersion.
        Reasons: NOT_FOUND, PRODUCT_NOT_ON_SALE or ARCHIVED, PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_PREVIEW_CHANGE_SET, admin.PreviewChangeSetRequest(version_ids=version_ids, days=days, party=party, promotion_codes=promotion_codes, page_size=page_size, page_token=page_token), timeout)

    def iter_change_set_offer_changes(
        self,
        *,
        version_ids: Iterable[str],
        days: int = 0,
        party: Iterable[tickets.CustomerType.ValueType] = (),
        promotion_codes: Iterable[str] = (),
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.OfferChange]:
        """All `offer_changes` of preview_change_set, page after page."""
        return self._calls.pages(_PREVIEW_CHANGE_SET, admin.PreviewChangeSetRequest(version_ids=version_ids, days=days, party=party, promotion_codes=promotion_codes, page_size=page_size), timeout)

    def roll_back_change_set(
        self,
        *,
        change_set_id: str,
        comment: str,
        publish: bool = False,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.RollBackChangeSetResponse:
        """Makes new versions of all objects of a change set with what they had before it: drafts, or
        published at once as another change set. Refused if any of them was changed since. Reasons:
        NOT_FOUND, PRODUCT_NOT_ON_SALE or ARCHIVED, CONFIG_VERSION_STATE_REFUSES (it is scheduled),
        CONFIG_VERSION_OUTDATED, CONFIG_EXAMPLE_FAILED, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ROLL_BACK_CHANGE_SET, admin.RollBackChangeSetRequest(change_set_id=change_set_id, comment=comment, publish=publish, request_id=request_id), timeout)

    def roll_back_config(
        self,
        *,
        version_id: str,
        comment: str,
        publish: bool = False,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.RollBackConfigResponse:
        """Makes a new version with the content of one that was published before: a draft, or published
        at once. Reasons: NOT_FOUND, PRODUCT_NOT_ON_SALE or ARCHIVED, CONFIG_EXAMPLE_FAILED,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ROLL_BACK_CONFIG, admin.RollBackConfigRequest(version_id=version_id, comment=comment, publish=publish, request_id=request_id), timeout)

    def set_product_examples(
        self,
        *,
        product_id: int,
        content: str = "",
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.SetProductExamplesResponse:
        """Keeps examples with a product: what its fares, its refund policy and its entry are to
        answer. They are tried whenever a version of it, or of the fares of its routes, is published
        or scheduled. Reasons: NOT_FOUND, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_SET_PRODUCT_EXAMPLES, admin.SetProductExamplesRequest(product_id=product_id, content=content, request_id=request_id, version=version), timeout)

    def get_product_examples(
        self,
        *,
        product_id: int,
        timeout: float | None = None,
    ) -> admin.GetProductExamplesResponse:
        """Reads the examples kept with a product. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_PRODUCT_EXAMPLES, admin.GetProductExamplesRequest(product_id=product_id), timeout)

    def export_audit_events(
        self,
        *,
        format: admin.AuditExportFormat.ValueType,
        resource: str = "",
        name: str = "",
        actor: str = "",
        action: str = "",
        reason: str = "",
        time_from: Moment | None = None,
        time_until: Moment | None = None,
        timeout: float | None = None,
    ) -> Iterator[admin.ExportAuditEventsResponse]:
        """Exports audit events, newest first, as CSV or JSON lines: all that ListAuditEvents would
        list, in one stream. Reasons: SERVER_BUSY (two lists and reports of a caller are read at
        once).
        """
        return self._calls.stream(_EXPORT_AUDIT_EVENTS, admin.ExportAuditEventsRequest(format=format, resource=resource, name=name, actor=actor, action=action, reason=reason, time_from=timestamp(time_from), time_until=timestamp(time_until)), timeout)

    def list_audit_events(
        self,
        *,
        resource: str = "",
        name: str = "",
        actor: str = "",
        time_from: Moment | None = None,
        time_until: Moment | None = None,
        page_size: int = 0,
        page_token: str = "",
        action: str = "",
        reason: str = "",
        timeout: float | None = None,
    ) -> admin.ListAuditEventsResponse:
        """Lists what was changed by whom, and who signed in, newest first, by page. Reasons:
        PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_AUDIT_EVENTS, admin.ListAuditEventsRequest(resource=resource, name=name, actor=actor, time_from=timestamp(time_from), time_until=timestamp(time_until), page_size=page_size, page_token=page_token, action=action, reason=reason), timeout)

    def iter_audit_events(
        self,
        *,
        resource: str = "",
        name: str = "",
        actor: str = "",
        time_from: Moment | None = None,
        time_until: Moment | None = None,
        page_size: int = 0,
        action: str = "",
        reason: str = "",
        timeout: float | None = None,
    ) -> Iterator[admin.AuditEvent]:
        """All `audit_events` of list_audit_events, page after page."""
        return self._calls.pages(_LIST_AUDIT_EVENTS, admin.ListAuditEventsRequest(resource=resource, name=name, actor=actor, time_from=timestamp(time_from), time_until=timestamp(time_until), page_size=page_size, action=action, reason=reason), timeout)

    def get_dashboard(
        self,
        *,
        from_day: str = "",
        until_day: str = "",
        merchant_code: str = "",
        timeout: float | None = None,
    ) -> admin.GetDashboardResponse:
        """How things stand today, or on the days asked for (31 at the most): orders, revenue by
        currency, redemptions by hour and merchant, refusals by reason; states of tickets and
        orders, queues and jobs. A supervisor gets redemptions and refusals of the own merchant.
        Figures are up to five seconds old, the same for all who ask. Sandboxes are left out.
        Reasons: SERVER_BUSY (two lists and reports of a caller are read at once), RANGE_TOO_LARGE.
        """
        return self._calls.unary(_GET_DASHBOARD, admin.GetDashboardRequest(from_day=from_day, until_day=until_day, merchant_code=merchant_code), timeout)

    def get_qr_key(
        self,
        *,
        qr_key_id: int,
        timeout: float | None = None,
    ) -> admin.GetQrKeyResponse:
        """Reads a key that seals QR codes. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_QR_KEY, admin.GetQrKeyRequest(qr_key_id=qr_key_id), timeout)

    def list_qr_keys(
        self,
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListQrKeysResponse:
        """Lists the keys that seal QR codes, by number, by page; of compromised ones, how much of what
        was issued under them is issued anew. Reasons: PAGE_TOKEN_INVALID, SERVER_BUSY,
        RANGE_TOO_LARGE.
        """
        return self._calls.unary(_LIST_QR_KEYS, admin.ListQrKeysRequest(page_size=page_size, page_token=page_token), timeout)

    def iter_qr_keys(
        self,
        *,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.QrKey]:
        """All `qr_keys` of list_qr_keys, page after page."""
        return self._calls.pages(_LIST_QR_KEYS, admin.ListQrKeysRequest(page_size=page_size), timeout)

    def compromise_qr_key(
        self,
        *,
        comment: str,
        qr_key_id: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CompromiseQrKeyResponse:
        """Says that others have a key, be it the one that seals: another seals in its place. Once it
        has answered, two seconds later, every process refuses what was made with the key, by
        whomever. A code that we issued is refused as QR_KEY_COMPROMISED, by which an operator sees
        that the ticket is genuine and is redeemed by its number; a forged one, also of a ticket
        that there is, as TOKEN_INVALID. The honest codes are issued anew in the background
        (ListQrKeys), and partners hear of each by `ticket.qr_reissued`. Cannot be taken back; of a
        key that is COMPROMISED already it does nothing. Audited with the comment. Reasons:
        NOT_FOUND, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_COMPROMISE_QR_KEY, admin.CompromiseQrKeyRequest(comment=comment, qr_key_id=qr_key_id, request_id=request_id), timeout)

    def list_unissued_redemptions(
        self,
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListUnissuedRedemptionsResponse:
        """Lists redemptions by codes that were made with a key of ours, but that we did not issue:
        somebody has the key, and CompromiseQrKey ends that. A job looks hourly at what was redeemed
        since it looked last; codes of keys from before each code was recorded are left out. Newest
        first, by page. Reasons: PAGE_TOKEN_INVALID, SERVER_BUSY, RANGE_TOO_LARGE.
        """
        return self._calls.unary(_LIST_UNISSUED_REDEMPTIONS, admin.ListUnissuedRedemptionsRequest(page_size=page_size, page_token=page_token), timeout)

    def iter_unissued_redemptions(
        self,
        *,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.UnissuedRedemption]:
        """All `redemptions` of list_unissued_redemptions, page after page."""
        return self._calls.pages(_LIST_UNISSUED_REDEMPTIONS, admin.ListUnissuedRedemptionsRequest(page_size=page_size), timeout)

    def list_offline_conflicts(
        self,
        *,
        merchant_code: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListOfflineConflictsResponse:
        """Lists scans that terminals admitted without network and that were not simply accepted:
        somebody had been admitted before, the ticket was given back, is unknown or no ticket of
        ours, or the terminal's clock was wrong; with who bears it, newest first, by page. Reasons:
        PAGE_TOKEN_INVALID, SERVER_BUSY, RANGE_TOO_LARGE.
        """
        return self._calls.unary(_LIST_OFFLINE_CONFLICTS, admin.ListOfflineConflictsRequest(merchant_code=merchant_code, page_size=page_size, page_token=page_token), timeout)

    def iter_offline_conflicts(
        self,
        *,
        merchant_code: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.OfflineConflict]:
        """All `conflicts` of list_offline_conflicts, page after page."""
        return self._calls.pages(_LIST_OFFLINE_CONFLICTS, admin.ListOfflineConflictsRequest(merchant_code=merchant_code, page_size=page_size), timeout)

    def report_redemptions(
        self,
        *,
        from_day: str = "",
        until_day: str = "",
        merchant_code: str = "",
        period: admin.ReportPeriod.ValueType = admin.REPORT_PERIOD_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ReportRedemptionsResponse:
        """The report of redemptions (`reports-redemptions`): by hour or day, merchant, venue and
        entitlement, of up to 31 days, by page. What has just happened counts. Single events are in
        RedemptionService.ListRedemptions. Reasons: PAGE_TOKEN_INVALID, SERVER_BUSY,
        RANGE_TOO_LARGE.
        """
        return self._calls.unary(_REPORT_REDEMPTIONS, admin.ReportRedemptionsRequest(from_day=from_day, until_day=until_day, merchant_code=merchant_code, period=period, page_size=page_size, page_token=page_token), timeout)

    def iter_redemptions_rows(
        self,
        *,
        from_day: str = "",
        until_day: str = "",
        merchant_code: str = "",
        period: admin.ReportPeriod.ValueType = admin.REPORT_PERIOD_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.RedemptionReportRow]:
        """All `rows` of report_redemptions, page after page."""
        return self._calls.pages(_REPORT_REDEMPTIONS, admin.ReportRedemptionsRequest(from_day=from_day, until_day=until_day, merchant_code=merchant_code, period=period, page_size=page_size), timeout)

    def report_sales(
        self,
        *,
        from_day: str = "",
        until_day: str = "",
        period: admin.ReportPeriod.ValueType = admin.REPORT_PERIOD_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ReportSalesResponse:
        """The report of sales: tickets sold, changed and refunded, and their money, by hour or day,
        channel and product, of up to 31 days, by page. Sandboxes are left out. Reasons:
        PAGE_TOKEN_INVALID, SERVER_BUSY, RANGE_TOO_LARGE.
        """
        return self._calls.unary(_REPORT_SALES, admin.ReportSalesRequest(from_day=from_day, until_day=until_day, period=period, page_size=page_size, page_token=page_token), timeout)

    def iter_sales_rows(
        self,
        *,
        from_day: str = "",
        until_day: str = "",
        period: admin.ReportPeriod.ValueType = admin.REPORT_PERIOD_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.SalesReportRow]:
        """All `rows` of report_sales, page after page."""
        return self._calls.pages(_REPORT_SALES, admin.ReportSalesRequest(from_day=from_day, until_day=until_day, period=period, page_size=page_size), timeout)

    def download_redemption_report(
        self,
        *,
        from_day: str = "",
        until_day: str = "",
        merchant_code: str = "",
        period: admin.ReportPeriod.ValueType = admin.REPORT_PERIOD_UNSPECIFIED,
        timeout: float | None = None,
    ) -> Iterator[admin.DownloadRedemptionReportResponse]:
        """Downloads the report of redemptions as CSV, all its rows. Reasons: SERVER_BUSY,
        RANGE_TOO_LARGE (also while a part of its time is not summed up yet).
        """
        return self._calls.stream(_DOWNLOAD_REDEMPTION_REPORT, admin.DownloadRedemptionReportRequest(from_day=from_day, until_day=until_day, merchant_code=merchant_code, period=period), timeout)

    def download_sales_report(
        self,
        *,
        from_day: str = "",
        until_day: str = "",
        period: admin.ReportPeriod.ValueType = admin.REPORT_PERIOD_UNSPECIFIED,
        timeout: float | None = None,
    ) -> Iterator[admin.DownloadSalesReportResponse]:
        """Downloads the report of sales as CSV, all its rows. Reasons: SERVER_BUSY, RANGE_TOO_LARGE
        (also while a part of its time is not summed up yet).
        """
        return self._calls.stream(_DOWNLOAD_SALES_REPORT, admin.DownloadSalesReportRequest(from_day=from_day, until_day=until_day, period=period), timeout)

    def create_city(
        self,
        *,
        city_code: str,
        display_name_en: str,
        display_name_zh: str,
        time_zone: str,
        hot_rank: int | None = None,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CreateCityResponse:
        """Creates a city. Reasons: ALREADY_EXISTS, IDEMPOTENCY_MISMATCH."""
        return self._calls.unary(_CREATE_CITY, admin.CreateCityRequest(city_code=city_code, display_name_en=display_name_en, display_name_zh=display_name_zh, time_zone=time_zone, hot_rank=hot_rank, request_id=request_id), timeout)

    def get_city(
        self,
        *,
        city_code: str,
        timeout: float | None = None,
    ) -> admin.GetCityResponse:
        """Reads a city. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_CITY, admin.GetCityRequest(city_code=city_code), timeout)

    def list_cities(
        self,
        *,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListCitiesResponse:
        """Lists cities by page. Reasons: PAGE_TOKEN_INVALID."""
        return self._calls.unary(_LIST_CITIES, admin.ListCitiesRequest(state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_cities(
        self,
        *,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.City]:
        """All `cities` of list_cities, page after page."""
        return self._calls.pages(_LIST_CITIES, admin.ListCitiesRequest(state=state, page_size=page_size), timeout)

    def update_city(
        self,
        *,
        city_code: str,
        update_mask: FieldMask,
        display_name_en: str = "",
        display_name_zh: str = "",
        time_zone: str = "",
        hot_rank: int | None = None,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UpdateCityResponse:
        """Changes a city; searches show it within a second. Another time zone is refused while a route
        calls there: its services leave by that clock. Reasons: NOT_FOUND, VERSION_MISMATCH,
        ARCHIVED, IN_USE, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UPDATE_CITY, admin.UpdateCityRequest(city_code=city_code, update_mask=update_mask, display_name_en=display_name_en, display_name_zh=display_name_zh, time_zone=time_zone, hot_rank=hot_rank, version=version, request_id=request_id), timeout)

    def archive_city(
        self,
        *,
        city_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchiveCityResponse:
        """Takes a city out of the lists. Refused while it has a stop or a package that is not
        archived. A repeat does no harm. Reasons: NOT_FOUND, VERSION_MISMATCH, IN_USE,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ARCHIVE_CITY, admin.ArchiveCityRequest(city_code=city_code, version=version, request_id=request_id), timeout)

    def unarchive_city(
        self,
        *,
        city_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveCityResponse:
        """Takes an archived city back. A repeat does no harm. Reasons: NOT_FOUND, VERSION_MISMATCH,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UNARCHIVE_CITY, admin.UnarchiveCityRequest(city_code=city_code, version=version, request_id=request_id), timeout)

    def create_stop(
        self,
        *,
        stop_code: str,
        city_code: str,
        display_name_en: str,
        display_name_zh: str,
        request_id: str = "",
        latitude_microdegrees: int | None = None,
        longitude_microdegrees: int | None = None,
        timeout: float | None = None,
    ) -> admin.CreateStopResponse:
        """Creates a stop. Reasons: ALREADY_EXISTS, NOT_FOUND and ARCHIVED (the city),
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_CREATE_STOP, admin.CreateStopRequest(stop_code=stop_code, city_code=city_code, display_name_en=display_name_en, display_name_zh=display_name_zh, request_id=request_id, latitude_microdegrees=latitude_microdegrees, longitude_microdegrees=longitude_microdegrees), timeout)

    def get_stop(
        self,
        *,
        stop_code: str,
        timeout: float | None = None,
    ) -> admin.GetStopResponse:
        """Reads a stop. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_STOP, admin.GetStopRequest(stop_code=stop_code), timeout)

    def list_stops(
        self,
        *,
        city_code: str = "",
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListStopsResponse:
        """Lists stops by page. Reasons: PAGE_TOKEN_INVALID."""
        return self._calls.unary(_LIST_STOPS, admin.ListStopsRequest(city_code=city_code, state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_stops(
        self,
        *,
        city_code: str = "",
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.Stop]:
        """All `stops` of list_stops, page after page."""
        return self._calls.pages(_LIST_STOPS, admin.ListStopsRequest(city_code=city_code, state=state, page_size=page_size), timeout)

    def update_stop(
        self,
        *,
        stop_code: str,
        update_mask: FieldMask,
        city_code: str = "",
        display_name_en: str = "",
        display_name_zh: str = "",
        version: int = 0,
        request_id: str = "",
        latitude_microdegrees: int | None = None,
        longitude_microdegrees: int | None = None,
        timeout: float | None = None,
    ) -> admin.UpdateStopResponse:
        """Changes a stop; searches show it within a second. Another city is refused while a route
        calls there. Reasons: NOT_FOUND, VERSION_MISMATCH, ARCHIVED, IN_USE, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UPDATE_STOP, admin.UpdateStopRequest(stop_code=stop_code, update_mask=update_mask, city_code=city_code, display_name_en=display_name_en, display_name_zh=display_name_zh, version=version, request_id=request_id, latitude_microdegrees=latitude_microdegrees, longitude_microdegrees=longitude_microdegrees), timeout)

    def archive_stop(
        self,
        *,
        stop_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchiveStopResponse:
        """Has no new route call at a stop. Refused while a route that is not archived calls there. A
        repeat does no harm. Reasons: NOT_FOUND, VERSION_MISMATCH, IN_USE, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ARCHIVE_STOP, admin.ArchiveStopRequest(stop_code=stop_code, version=version, request_id=request_id), timeout)

    def unarchive_stop(
        self,
        *,
        stop_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveStopResponse:
        """Takes an archived stop back. A repeat does no harm. Reasons: NOT_FOUND, VERSION_MISMATCH,
        ARCHIVED (its city), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UNARCHIVE_STOP, admin.UnarchiveStopRequest(stop_code=stop_code, version=version, request_id=request_id), timeout)

    def create_car_category(
        self,
        *,
        product_id: int,
        category_code: str,
        make: str,
        model: str,
        model_year: int,
        seats: int,
        doors: int,
        transmission: admin.Transmission.ValueType,
        fuel_type: admin.FuelType.ValueType,
        min_driver_age: int,
        large_bags: int | None = None,
        small_bags: int | None = None,
        air_conditioning: bool | None = None,
        feature_codes: Iterable[str] = (),
        image_urls: Iterable[str] = (),
        young_driver_age: int | None = None,
        young_driver_minor: int | None = None,
        grace_minutes: int | None = None,
        min_days: int | None = None,
        max_days: int | None = None,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CreateCarCategoryResponse:
        """Creates the car category of a product of kind RENTAL, which says what its days cost, by the
        day type of each, how much less longer rentals cost (`tiers`, by days), and how it is
        refunded and changed. It is on sale where it has a fleet. Reasons: INVALID_FIELD (another
        kind), NOT_FOUND and PRODUCT_NOT_ON_SALE (the product), ALREADY_EXISTS,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_CREATE_CAR_CATEGORY, admin.CreateCarCategoryRequest(product_id=product_id, category_code=category_code, make=make, model=model, model_year=model_year, seats=seats, doors=doors, transmission=transmission, fuel_type=fuel_type, min_driver_age=min_driver_age, large_bags=large_bags, small_bags=small_bags, air_conditioning=air_conditioning, feature_codes=feature_codes, image_urls=image_urls, young_driver_age=young_driver_age, young_driver_minor=young_driver_minor, grace_minutes=grace_minutes, min_days=min_days, max_days=max_days, request_id=request_id), timeout)

    def get_car_category(
        self,
        *,
        product_id: int,
        timeout: float | None = None,
    ) -> admin.GetCarCategoryResponse:
        """Reads a car category. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_CAR_CATEGORY, admin.GetCarCategoryRequest(product_id=product_id), timeout)

    def list_car_categories(
        self,
        *,
        category_code: str = "",
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListCarCategoriesResponse:
        """Lists car categories by page. Reasons: PAGE_TOKEN_INVALID."""
        return self._calls.unary(_LIST_CAR_CATEGORIES, admin.ListCarCategoriesRequest(category_code=category_code, state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_car_categories(
        self,
        *,
        category_code: str = "",
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.CarCategory]:
        """All `car_categories` of list_car_categories, page after page."""
        return self._calls.pages(_LIST_CAR_CATEGORIES, admin.ListCarCategoriesRequest(category_code=category_code, state=state, page_size=page_size), timeout)

    def update_car_category(
        self,
        *,
        product_id: int,
        update_mask: FieldMask,
        category_code: str = "",
        make: str = "",
        model: str = "",
        model_year: int = 0,
        seats: int = 0,
        doors: int = 0,
        large_bags: int | None = None,
        small_bags: int | None = None,
        transmission: admin.Transmission.ValueType = admin.TRANSMISSION_UNSPECIFIED,
        fuel_type: admin.FuelType.ValueType = admin.FUEL_TYPE_UNSPECIFIED,
        air_conditioning: bool | None = None,
        feature_codes: Iterable[str] = (),
        image_urls: Iterable[str] = (),
        min_driver_age: int = 0,
        young_driver_age: int | None = None,
        young_driver_minor: int | None = None,
        grace_minutes: int | None = None,
        min_days: int | None = None,
        max_days: int | None = None,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UpdateCarCategoryResponse:
        """Changes a car category for what is sold from now on. Reasons: INVALID_FIELD, NOT_FOUND,
        VERSION_MISMATCH, ARCHIVED, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UPDATE_CAR_CATEGORY, admin.UpdateCarCategoryRequest(product_id=product_id, update_mask=update_mask, category_code=category_code, make=make, model=model, model_year=model_year, seats=seats, doors=doors, large_bags=large_bags, small_bags=small_bags, transmission=transmission, fuel_type=fuel_type, air_conditioning=air_conditioning, feature_codes=feature_codes, image_urls=image_urls, min_driver_age=min_driver_age, young_driver_age=young_driver_age, young_driver_minor=young_driver_minor, grace_minutes=grace_minutes, min_days=min_days, max_days=max_days, version=version, request_id=request_id), timeout)

    def archive_car_category(
        self,
        *,
        product_id: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchiveCarCategoryResponse:
        """Takes a car category off sale at all locations; what was sold of it stays. A repeat does no
        harm. Reasons: NOT_FOUND, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ARCHIVE_CAR_CATEGORY, admin.ArchiveCarCategoryRequest(product_id=product_id, version=version, request_id=request_id), timeout)

    def unarchive_car_category(
        self,
        *,
        product_id: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveCarCategoryResponse:
        """Puts an archived car category on sale again. A repeat does no harm. Reasons: NOT_FOUND,
        VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UNARCHIVE_CAR_CATEGORY, admin.UnarchiveCarCategoryRequest(product_id=product_id, version=version, request_id=request_id), timeout)

    def create_rental_location(
        self,
        *,
        location_id: int,
        city_code: str,
        display_name_en: str,
        display_name_zh: str,
        address_en: str,
        address_zh: str,
        opening_hours: Iterable[admin.OpeningHours],
        phone: str = "",
        latitude_microdegrees: int | None = None,
        longitude_microdegrees: int | None = None,
        pick_up: bool | None = None,
        drop_off: bool | None = None,
        closed_dates: Iterable[str] = (),
        venue_code: str = "",
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CreateRentalLocationResponse:
        """Creates a rental location. Reasons: INVALID_FIELD, NOT_FOUND and ARCHIVED (the city),
        NOT_FOUND (the venue), ALREADY_EXISTS, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_CREATE_RENTAL_LOCATION, admin.CreateRentalLocationRequest(location_id=location_id, city_code=city_code, display_name_en=display_name_en, display_name_zh=display_name_zh, address_en=address_en, address_zh=address_zh, opening_hours=opening_hours, phone=phone, latitude_microdegrees=latitude_microdegrees, longitude_microdegrees=longitude_microdegrees, pick_up=pick_up, drop_off=drop_off, closed_dates=closed_dates, venue_code=venue_code, request_id=request_id), timeout)

    def get_rental_location(
        self,
        *,
        location_id: int,
        timeout: float | None = None,
    ) -> admin.GetRentalLocationResponse:
        """Reads a rental location. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_RENTAL_LOCATION, admin.GetRentalLocationRequest(location_id=location_id), timeout)

    def list_rental_locations(
        self,
        *,
        city_code: str = "",
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListRentalLocationsResponse:
        """Lists rental locations by page. Reasons: PAGE_TOKEN_INVALID."""
        return self._calls.unary(_LIST_RENTAL_LOCATIONS, admin.ListRentalLocationsRequest(city_code=city_code, state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_rental_locations(
        self,
        *,
        city_code: str = "",
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.RentalLocation]:
        """All `rental_locations` of list_rental_locations, page after page."""
        return self._calls.pages(_LIST_RENTAL_LOCATIONS, admin.ListRentalLocationsRequest(city_code=city_code, state=state, page_size=page_size), timeout)

    def update_rental_location(
        self,
        *,
        location_id: int,
        update_mask: FieldMask,
        display_name_en: str = "",
        display_name_zh: str = "",
        address_en: str = "",
        address_zh: str = "",
        phone: str = "",
        latitude_microdegrees: int | None = None,
        longitude_microdegrees: int | None = None,
        pick_up: bool | None = None,
        drop_off: bool | None = None,
        opening_hours: Iterable[admin.OpeningHours] = (),
        closed_dates: Iterable[str] = (),
        venue_code: str = "",
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UpdateRentalLocationResponse:
        """Changes a rental location; what was sold keeps its times. Reasons: INVALID_FIELD, NOT_FOUND,
        VERSION_MISMATCH, ARCHIVED, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UPDATE_RENTAL_LOCATION, admin.UpdateRentalLocationRequest(location_id=location_id, update_mask=update_mask, display_name_en=display_name_en, display_name_zh=display_name_zh, address_en=address_en, address_zh=address_zh, phone=phone, latitude_microdegrees=latitude_microdegrees, longitude_microdegrees=longitude_microdegrees, pick_up=pick_up, drop_off=drop_off, opening_hours=opening_hours, closed_dates=closed_dates, venue_code=venue_code, version=version, request_id=request_id), timeout)

    def archive_rental_location(
        self,
        *,
        location_id: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchiveRentalLocationResponse:
        """Has nobody rent from or to a location any more; what was sold stays. A repeat does no harm.
        Reasons: NOT_FOUND, VERSION_MISMATCH, IN_USE (a fleet that is not archived is picked up
        there), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ARCHIVE_RENTAL_LOCATION, admin.ArchiveRentalLocationRequest(location_id=location_id, version=version, request_id=request_id), timeout)

    def unarchive_rental_location(
        self,
        *,
        location_id: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveRentalLocationResponse:
        """Takes an archived rental location back. A repeat does no harm. Reasons: NOT_FOUND,
        VERSION_MISMATCH, ARCHIVED (the city), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UNARCHIVE_RENTAL_LOCATION, admin.UnarchiveRentalLocationRequest(location_id=location_id, version=version, request_id=request_id), timeout)

    def create_rental_extra(
        self,
        *,
        extra_id: int,
        extra_code: str,
        display_name_en: str,
        display_name_zh: str,
        charge_basis: admin.ChargeBasis.ValueType,
        amount_minor: int,
        currency_code: str,
        max_quantity: int,
        max_amount_minor: int | None = None,
        product_ids: Iterable[int] = (),
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CreateRentalExtraResponse:
        """Creates an extra. Reasons: INVALID_FIELD, ALREADY_EXISTS (number or code),
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_CREATE_RENTAL_EXTRA, admin.CreateRentalExtraRequest(extra_id=extra_id, extra_code=extra_code, display_name_en=display_name_en, display_name_zh=display_name_zh, charge_basis=charge_basis, amount_minor=amount_minor, currency_code=currency_code, max_quantity=max_quantity, max_amount_minor=max_amount_minor, product_ids=product_ids, request_id=request_id), timeout)

    def get_rental_extra(
        self,
        *,
        extra_id: int,
        timeout: float | None = None,
    ) -> admin.GetRentalExtraResponse:
        """Reads a rental extra. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_RENTAL_EXTRA, admin.GetRentalExtraRequest(extra_id=extra_id), timeout)

    def list_rental_extras(
        self,
        *,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListRentalExtrasResponse:
        """Lists rental extras by page. Reasons: PAGE_TOKEN_INVALID."""
        return self._calls.unary(_LIST_RENTAL_EXTRAS, admin.ListRentalExtrasRequest(state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_rental_extras(
        self,
        *,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.RentalExtra]:
        """All `rental_extras` of list_rental_extras, page after page."""
        return self._calls.pages(_LIST_RENTAL_EXTRAS, admin.ListRentalExtrasRequest(state=state, page_size=page_size), timeout)

    def update_rental_extra(
        self,
        *,
        extra_id: int,
        update_mask: FieldMask,
        display_name_en: str = "",
        display_name_zh: str = "",
        charge_basis: admin.ChargeBasis.ValueType = admin.CHARGE_BASIS_UNSPECIFIED,
        amount_minor: int | None = None,
        max_quantity: int = 0,
        max_amount_minor: int | None = None,
        product_ids: Iterable[int] = (),
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UpdateRentalExtraResponse:
        """Changes an extra for what is sold from now on. Reasons: INVALID_FIELD, NOT_FOUND,
        VERSION_MISMATCH, ARCHIVED, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UPDATE_RENTAL_EXTRA, admin.UpdateRentalExtraRequest(extra_id=extra_id, update_mask=update_mask, display_name_en=display_name_en, display_name_zh=display_name_zh, charge_basis=charge_basis, amount_minor=amount_minor, max_quantity=max_quantity, max_amount_minor=max_amount_minor, product_ids=product_ids, version=version, request_id=request_id), timeout)

    def archive_rental_extra(
        self,
        *,
        extra_id: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchiveRentalExtraResponse:
        """Takes an extra off sale; what was sold with it stays. A repeat does no harm. Reasons:
        NOT_FOUND, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ARCHIVE_RENTAL_EXTRA, admin.ArchiveRentalExtraRequest(extra_id=extra_id, version=version, request_id=request_id), timeout)

    def unarchive_rental_extra(
        self,
        *,
        extra_id: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveRentalExtraResponse:
        """Puts an archived extra on sale again. A repeat does no harm. Reasons: NOT_FOUND,
        VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UNARCHIVE_RENTAL_EXTRA, admin.UnarchiveRentalExtraRequest(extra_id=extra_id, version=version, request_id=request_id), timeout)

    def create_rental_fleet(
        self,
        *,
        fleet_id: int,
        product_id: int,
        location_id: int,
        cars: int,
        first_date: str,
        last_date: str,
        sale_days: int,
        closing_minutes: int,
        fares: Iterable[admin.Fare] = (),
        one_way: Iterable[admin.OneWayRental] = (),
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CreateRentalFleetResponse:
        """Creates a fleet: from then on its cars are on sale, and each day has a stock of its own as
        far ahead as it is sold. Reasons: INVALID_FIELD, NOT_FOUND and ARCHIVED (category,
        location), ALREADY_EXISTS (number, or category at the location), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_CREATE_RENTAL_FLEET, admin.CreateRentalFleetRequest(fleet_id=fleet_id, product_id=product_id, location_id=location_id, cars=cars, first_date=first_date, last_date=last_date, sale_days=sale_days, closing_minutes=closing_minutes, fares=fares, one_way=one_way, request_id=request_id), timeout)

    def get_rental_fleet(
        self,
        *,
        fleet_id: int,
        timeout: float | None = None,
    ) -> admin.GetRentalFleetResponse:
        """Reads a rental fleet. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_RENTAL_FLEET, admin.GetRentalFleetRequest(fleet_id=fleet_id), timeout)

    def list_rental_fleets(
        self,
        *,
        product_id: int = 0,
        location_id: int = 0,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListRentalFleetsResponse:
        """Lists rental fleets by page. Reasons: PAGE_TOKEN_INVALID."""
        return self._calls.unary(_LIST_RENTAL_FLEETS, admin.ListRentalFleetsRequest(product_id=product_id, location_id=location_id, state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_rental_fleets(
        self,
        *,
        product_id: int = 0,
        location_id: int = 0,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.RentalFleet]:
        """All `rental_fleets` of list_rental_fleets, page after page."""
        return self._calls.pages(_LIST_RENTAL_FLEETS, admin.ListRentalFleetsRequest(product_id=product_id, location_id=location_id, state=state, page_size=page_size), timeout)

    def update_rental_fleet(
        self,
        *,
        fleet_id: int,
        update_mask: FieldMask,
        fares: Iterable[admin.Fare] = (),
        cars: int | None = None,
        first_date: str = "",
        last_date: str = "",
        sale_days: int = 0,
        closing_minutes: int | None = None,
        one_way: Iterable[admin.OneWayRental] = (),
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UpdateRentalFleetResponse:
        """Changes a fleet for what is sold from now on; days that are made keep their stock. Reasons:
        INVALID_FIELD, NOT_FOUND, VERSION_MISMATCH, ARCHIVED, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UPDATE_RENTAL_FLEET, admin.UpdateRentalFleetRequest(fleet_id=fleet_id, update_mask=update_mask, fares=fares, cars=cars, first_date=first_date, last_date=last_date, sale_days=sale_days, closing_minutes=closing_minutes, one_way=one_way, version=version, request_id=request_id), timeout)

    def archive_rental_fleet(
        self,
        *,
        fleet_id: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchiveRentalFleetResponse:
        """Takes a fleet off sale; what was sold of it stays. A repeat does no harm. Reasons:
        NOT_FOUND, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ARCHIVE_RENTAL_FLEET, admin.ArchiveRentalFleetRequest(fleet_id=fleet_id, version=version, request_id=request_id), timeout)

    def unarchive_rental_fleet(
        self,
        *,
        fleet_id: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveRentalFleetResponse:
        """Puts an archived fleet on sale again. A repeat does no harm. Reasons: NOT_FOUND,
        VERSION_MISMATCH, ARCHIVED (category, location), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UNARCHIVE_RENTAL_FLEET, admin.UnarchiveRentalFleetRequest(fleet_id=fleet_id, version=version, request_id=request_id), timeout)

    def list_rental_stock(
        self,
        *,
        fleet_id: int,
        channel: str = "",
        first_date: str = "",
        last_date: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListRentalStockResponse:
        """Lists the stock of a fleet, a row for each day, by page. Reasons: NOT_FOUND (fleet,
        channel), INVALID_FIELD, PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_RENTAL_STOCK, admin.ListRentalStockRequest(fleet_id=fleet_id, channel=channel, first_date=first_date, last_date=last_date, page_size=page_size, page_token=page_token), timeout)

    def iter_rental_stock(
        self,
        *,
        fleet_id: int,
        channel: str = "",
        first_date: str = "",
        last_date: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.RentalStock]:
        """All `stock` of list_rental_stock, page after page."""
        return self._calls.pages(_LIST_RENTAL_STOCK, admin.ListRentalStockRequest(fleet_id=fleet_id, channel=channel, first_date=first_date, last_date=last_date, page_size=page_size), timeout)

    def set_rental_stock(
        self,
        *,
        fleet_id: int,
        first_date: str,
        last_date: str,
        total: int,
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.SetRentalStockResponse:
        """Sets how many cars of a fleet we have ourselves on each day of a range, all days or none;
        days that have no stock yet get it. Partners have no cars set apart. Reasons: INVALID_FIELD,
        NOT_FOUND, STOCK_IN_USE (names the day), VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_SET_RENTAL_STOCK, admin.SetRentalStockRequest(fleet_id=fleet_id, first_date=first_date, last_date=last_date, total=total, request_id=request_id, version=version), timeout)

    def create_route(
        self,
        *,
        route_id: int,
        product_id: int,
        kind: ticketing.OfferKind.ValueType,
        stops: Iterable[admin.RouteStop],
        fare_classes: Iterable[admin.RouteClass],
        fares: Iterable[admin.RouteFare] = (),
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CreateRouteResponse:
        """Creates a route. Reasons: ALREADY_EXISTS, NOT_FOUND and PRODUCT_NOT_ON_SALE (the product),
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_CREATE_ROUTE, admin.CreateRouteRequest(route_id=route_id, product_id=product_id, kind=kind, stops=stops, fare_classes=fare_classes, fares=fares, request_id=request_id), timeout)

    def get_route(
        self,
        *,
        route_id: int,
        timeout: float | None = None,
    ) -> admin.GetRouteResponse:
        """Reads a route. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_ROUTE, admin.GetRouteRequest(route_id=route_id), timeout)

    def update_route(
        self,
        *,
        route_id: int,
        update_mask: FieldMask,
        kind: ticketing.OfferKind.ValueType = ticketing.OFFER_KIND_UNSPECIFIED,
        stops: Iterable[admin.RouteStop] = (),
        fare_classes: Iterable[admin.RouteClass] = (),
        fares: Iterable[admin.RouteFare] = (),
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UpdateRouteResponse:
        """Changes a route, for what is sold from now on; orders and tickets keep what they were sold.
        Searches show it within a second. Refused as STOCK_IN_USE for other stops or times, and for
        a class that is gone or has another number or seat map, while departures that have not
        arrived have seats of it held or sold: make another route for what is to go otherwise, and
        archive this one. Reasons: NOT_FOUND, VERSION_MISMATCH, ARCHIVED, STOCK_IN_USE,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UPDATE_ROUTE, admin.UpdateRouteRequest(route_id=route_id, update_mask=update_mask, kind=kind, stops=stops, fare_classes=fare_classes, fares=fares, version=version, request_id=request_id), timeout)

    def archive_route(
        self,
        *,
        route_id: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchiveRouteResponse:
        """Takes a route off sale, within a second; tickets sold stay valid and their departures run. A
        repeat does no harm. Reasons: NOT_FOUND, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ARCHIVE_ROUTE, admin.ArchiveRouteRequest(route_id=route_id, version=version, request_id=request_id), timeout)

    def unarchive_route(
        self,
        *,
        route_id: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveRouteResponse:
        """Puts an archived route on sale again. A repeat does no harm. Reasons: NOT_FOUND,
        VERSION_MISMATCH, PRODUCT_NOT_ON_SALE, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UNARCHIVE_ROUTE, admin.UnarchiveRouteRequest(route_id=route_id, version=version, request_id=request_id), timeout)

    def create_timetable(
        self,
        *,
        timetable_id: int,
        route_id: int,
        service_number: str,
        departure_clock: str,
        first_date: str,
        last_date: str,
        seats: Iterable[admin.TimetableSeats],
        sale_days: int,
        closing_minutes: int,
        weekdays: Iterable[int] = (),
        request_id: str = "",
        added_dates: Iterable[str] = (),
        removed_dates: Iterable[str] = (),
        headway_seconds: int = 0,
        timeout: float | None = None,
    ) -> admin.CreateTimetableResponse:
        """Creates a timetable. Its departures are made as far ahead as they are on sale. Reasons:
        ALREADY_EXISTS, NOT_FOUND and ARCHIVED (the route), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_CREATE_TIMETABLE, admin.CreateTimetableRequest(timetable_id=timetable_id, route_id=route_id, service_number=service_number, departure_clock=departure_clock, first_date=first_date, last_date=last_date, seats=seats, sale_days=sale_days, closing_minutes=closing_minutes, weekdays=weekdays, request_id=request_id, added_dates=added_dates, removed_dates=removed_dates, headway_seconds=headway_seconds), timeout)

    def get_timetable(
        self,
        *,
        timetable_id: int,
        timeout: float | None = None,
    ) -> admin.GetTimetableResponse:
        """Reads a timetable. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_TIMETABLE, admin.GetTimetableRequest(timetable_id=timetable_id), timeout)

    def list_timetables(
        self,
        *,
        route_id: int = 0,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListTimetablesResponse:
        """Lists timetables by page. Reasons: PAGE_TOKEN_INVALID."""
        return self._calls.unary(_LIST_TIMETABLES, admin.ListTimetablesRequest(route_id=route_id, state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_timetables(
        self,
        *,
        route_id: int = 0,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.Timetable]:
        """All `timetables` of list_timetables, page after page."""
        return self._calls.pages(_LIST_TIMETABLES, admin.ListTimetablesRequest(route_id=route_id, state=state, page_size=page_size), timeout)

    def update_timetable(
        self,
        *,
        timetable_id: int,
        update_mask: FieldMask,
        service_number: str = "",
        departure_clock: str = "",
        weekdays: Iterable[int] = (),
        first_date: str = "",
        last_date: str = "",
        seats: Iterable[admin.TimetableSeats] = (),
        sale_days: int | None = None,
        closing_minutes: int | None = None,
        version: int = 0,
        request_id: str = "",
        added_dates: Iterable[str] = (),
        removed_dates: Iterable[str] = (),
        headway_seconds: int = 0,
        timeout: float | None = None,
    ) -> admin.UpdateTimetableResponse:
        """Changes a timetable, for departures that are not made yet; they are made a few days before
        their sale begins. Of those that are made, another clock moves the ones of which nothing is
        held or sold in any channel, and which were not moved by themselves; all others leave when
        they were sold for, unless MoveDeparture moves them. Days, dates and seats of made
        departures stay: CancelDeparture and SetDepartureStock change these. Reasons: NOT_FOUND,
        VERSION_MISMATCH, ARCHIVED, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UPDATE_TIMETABLE, admin.UpdateTimetableRequest(timetable_id=timetable_id, update_mask=update_mask, service_number=service_number, departure_clock=departure_clock, weekdays=weekdays, first_date=first_date, last_date=last_date, seats=seats, sale_days=sale_days, closing_minutes=closing_minutes, version=version, request_id=request_id, added_dates=added_dates, removed_dates=removed_dates, headway_seconds=headway_seconds), timeout)

    def archive_timetable(
        self,
        *,
        timetable_id: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchiveTimetableResponse:
        """Takes a service off sale, within a second; tickets sold stay valid and their departures run.
        A repeat does no harm. Reasons: NOT_FOUND, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ARCHIVE_TIMETABLE, admin.ArchiveTimetableRequest(timetable_id=timetable_id, version=version, request_id=request_id), timeout)

    def unarchive_timetable(
        self,
        *,
        timetable_id: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveTimetableResponse:
        """Puts an archived service on sale again. A repeat does no harm. Reasons: NOT_FOUND,
        VERSION_MISMATCH, ARCHIVED (its route), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UNARCHIVE_TIMETABLE, admin.UnarchiveTimetableRequest(timetable_id=timetable_id, version=version, request_id=request_id), timeout)

    def create_entitlement_template(
        self,
        *,
        template_code: str,
        function_code: str,
        display_name_en: str,
        display_name_zh: str,
        total_uses: int,
        use_mode: admin.UseMode.ValueType = admin.USE_MODE_UNSPECIFIED,
        guard_seconds: int | None = None,
        shared: bool = False,
        request_id: str = "",
        rotating_code: admin.RotatingCode.ValueType = admin.ROTATING_CODE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> admin.CreateEntitlementTemplateResponse:
        """Creates an entitlement template. Products are made of it by `entitlement_template_codes`.
        Reasons: ALREADY_EXISTS, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_CREATE_ENTITLEMENT_TEMPLATE, admin.CreateEntitlementTemplateRequest(template_code=template_code, function_code=function_code, display_name_en=display_name_en, display_name_zh=display_name_zh, total_uses=total_uses, use_mode=use_mode, guard_seconds=guard_seconds, shared=shared, request_id=request_id, rotating_code=rotating_code), timeout)

    def get_entitlement_template(
        self,
        *,
        template_code: str,
        timeout: float | None = None,
    ) -> admin.GetEntitlementTemplateResponse:
        """Reads an entitlement template. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_ENTITLEMENT_TEMPLATE, admin.GetEntitlementTemplateRequest(template_code=template_code), timeout)

    def list_entitlement_templates(
        self,
        *,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        function_code: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListEntitlementTemplatesResponse:
        """Lists entitlement templates by page. Reasons: PAGE_TOKEN_INVALID."""
        return self._calls.unary(_LIST_ENTITLEMENT_TEMPLATES, admin.ListEntitlementTemplatesRequest(state=state, function_code=function_code, page_size=page_size, page_token=page_token), timeout)

    def iter_entitlement_templates(
        self,
        *,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        function_code: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.EntitlementTemplate]:
        """All `entitlement_templates` of list_entitlement_templates, page after page."""
        return self._calls.pages(_LIST_ENTITLEMENT_TEMPLATES, admin.ListEntitlementTemplatesRequest(state=state, function_code=function_code, page_size=page_size), timeout)

    def update_entitlement_template(
        self,
        *,
        template_code: str,
        update_mask: FieldMask,
        function_code: str = "",
        display_name_en: str = "",
        display_name_zh: str = "",
        total_uses: int = 0,
        use_mode: admin.UseMode.ValueType = admin.USE_MODE_UNSPECIFIED,
        guard_seconds: int | None = None,
        shared: bool | None = None,
        version: int = 0,
        request_id: str = "",
        rotating_code: admin.RotatingCode.ValueType = admin.ROTATING_CODE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> admin.UpdateEntitlementTemplateResponse:
        """Changes an entitlement template, for products that are created or changed with it from now
        on; those there are stay as they are. Reasons: NOT_FOUND, VERSION_MISMATCH, ARCHIVED,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UPDATE_ENTITLEMENT_TEMPLATE, admin.UpdateEntitlementTemplateRequest(template_code=template_code, update_mask=update_mask, function_code=function_code, display_name_en=display_name_en, display_name_zh=display_name_zh, total_uses=total_uses, use_mode=use_mode, guard_seconds=guard_seconds, shared=shared, version=version, request_id=request_id, rotating_code=rotating_code), timeout)

    def archive_entitlement_template(
        self,
        *,
        template_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchiveEntitlementTemplateResponse:
        """Has no product made of an entitlement template any more. A repeat does no harm. Reasons:
        NOT_FOUND, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ARCHIVE_ENTITLEMENT_TEMPLATE, admin.ArchiveEntitlementTemplateRequest(template_code=template_code, version=version, request_id=request_id), timeout)

    def unarchive_entitlement_template(
        self,
        *,
        template_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveEntitlementTemplateResponse:
        """Takes an archived entitlement template back. A repeat does no harm. Reasons: NOT_FOUND,
        VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UNARCHIVE_ENTITLEMENT_TEMPLATE, admin.UnarchiveEntitlementTemplateRequest(template_code=template_code, version=version, request_id=request_id), timeout)

    def create_promotion(
        self,
        *,
        promotion_id: int,
        display_name_en: str,
        display_name_zh: str,
        begin_time: Moment,
        end_time: Moment,
        promotion_code: str | None = None,
        basis_points_off: int | None = None,
        amount_off_minor: int | None = None,
        min_party: int = 0,
        product_ids: Iterable[int] = (),
        stackable: bool = False,
        currency_code: str | None = None,
        max_per_traveller: int | None = None,
        cap: int | None = None,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CreatePromotionResponse:
        """Creates a promotion. Reasons: ALREADY_EXISTS, IDEMPOTENCY_MISMATCH."""
        return self._calls.unary(_CREATE_PROMOTION, admin.CreatePromotionRequest(promotion_id=promotion_id, display_name_en=display_name_en, display_name_zh=display_name_zh, begin_time=timestamp(begin_time), end_time=timestamp(end_time), promotion_code=promotion_code, basis_points_off=basis_points_off, amount_off_minor=amount_off_minor, min_party=min_party, product_ids=product_ids, stackable=stackable, currency_code=currency_code, max_per_traveller=max_per_traveller, cap=cap, request_id=request_id), timeout)

    def get_promotion(
        self,
        *,
        promotion_id: int,
        timeout: float | None = None,
    ) -> admin.GetPromotionResponse:
        """Reads a promotion. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_PROMOTION, admin.GetPromotionRequest(promotion_id=promotion_id), timeout)

    def list_promotions(
        self,
        *,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListPromotionsResponse:
        """Lists promotions by page. Reasons: PAGE_TOKEN_INVALID."""
        return self._calls.unary(_LIST_PROMOTIONS, admin.ListPromotionsRequest(state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_promotions(
        self,
        *,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.Promotion]:
        """All `promotions` of list_promotions, page after page."""
        return self._calls.pages(_LIST_PROMOTIONS, admin.ListPromotionsRequest(state=state, page_size=page_size), timeout)

    def update_promotion(
        self,
        *,
        promotion_id: int,
        update_mask: FieldMask,
        promotion_code: str | None = None,
        display_name_en: str = "",
        display_name_zh: str = "",
        basis_points_off: int | None = None,
        amount_off_minor: int | None = None,
        begin_time: Moment | None = None,
        end_time: Moment | None = None,
        min_party: int = 0,
        product_ids: Iterable[int] = (),
        stackable: bool | None = None,
        currency_code: str | None = None,
        max_per_traveller: int | None = None,
        cap: int | None = None,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UpdatePromotionResponse:
        """Changes a promotion, for orders from now on; those that are held or paid keep what they were
        given. Quotes show it within a second. Reasons: NOT_FOUND, VERSION_MISMATCH, ARCHIVED,
        ALREADY_EXISTS (the code), STOCK_IN_USE (the cap), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UPDATE_PROMOTION, admin.UpdatePromotionRequest(promotion_id=promotion_id, update_mask=update_mask, promotion_code=promotion_code, display_name_en=display_name_en, display_name_zh=display_name_zh, basis_points_off=basis_points_off, amount_off_minor=amount_off_minor, begin_time=timestamp(begin_time), end_time=timestamp(end_time), min_party=min_party, product_ids=product_ids, stackable=stackable, currency_code=currency_code, max_per_traveller=max_per_traveller, cap=cap, version=version, request_id=request_id), timeout)

    def archive_promotion(
        self,
        *,
        promotion_id: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchivePromotionResponse:
        """Ends a promotion, within a second; orders that are held or paid keep what they were given. A
        repeat does no harm. Reasons: NOT_FOUND, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ARCHIVE_PROMOTION, admin.ArchivePromotionRequest(promotion_id=promotion_id, version=version, request_id=request_id), timeout)

    def unarchive_promotion(
        self,
        *,
        promotion_id: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchivePromotionResponse:
        """Lets an archived promotion apply again, in its window. A repeat does no harm. Reasons:
        NOT_FOUND, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UNARCHIVE_PROMOTION, admin.UnarchivePromotionRequest(promotion_id=promotion_id, version=version, request_id=request_id), timeout)

    def set_promotion_cap(
        self,
        *,
        promotion_id: int,
        cap: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.SetPromotionCapResponse:
        """Sets for how many orders a promotion is whose orders are counted. Reasons: NOT_FOUND,
        VERSION_MISMATCH, STOCK_IN_USE (fewer than hold and have used it), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_SET_PROMOTION_CAP, admin.SetPromotionCapRequest(promotion_id=promotion_id, cap=cap, version=version, request_id=request_id), timeout)

    def create_holiday_calendar(
        self,
        *,
        calendar_code: str,
        display_name_en: str,
        display_name_zh: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CreateHolidayCalendarResponse:
        """Creates a holiday calendar. No year of it is known yet. Reasons: ALREADY_EXISTS,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_CREATE_HOLIDAY_CALENDAR, admin.CreateHolidayCalendarRequest(calendar_code=calendar_code, display_name_en=display_name_en, display_name_zh=display_name_zh, request_id=request_id), timeout)

    def get_holiday_calendar(
        self,
        *,
        calendar_code: str,
        timeout: float | None = None,
    ) -> admin.GetHolidayCalendarResponse:
        """Reads a holiday calendar. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_HOLIDAY_CALENDAR, admin.GetHolidayCalendarRequest(calendar_code=calendar_code), timeout)

    def list_holiday_calendars(
        self,
        *,
        page_size: int = 0,
        page_token: str = "",
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> admin.ListHolidayCalendarsResponse:
        """Lists holiday calendars by page. Reasons: PAGE_TOKEN_INVALID."""
        return self._calls.unary(_LIST_HOLIDAY_CALENDARS, admin.ListHolidayCalendarsRequest(page_size=page_size, page_token=page_token, state=state), timeout)

    def iter_holiday_calendars(
        self,
        *,
        page_size: int = 0,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> Iterator[admin.HolidayCalendar]:
        """All `holiday_calendars` of list_holiday_calendars, page after page."""
        return self._calls.pages(_LIST_HOLIDAY_CALENDARS, admin.ListHolidayCalendarsRequest(page_size=page_size, state=state), timeout)

    def update_holiday_calendar(
        self,
        *,
        calendar_code: str,
        update_mask: FieldMask,
        display_name_en: str = "",
        display_name_zh: str = "",
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UpdateHolidayCalendarResponse:
        """Changes the names of a holiday calendar. Reasons: NOT_FOUND, VERSION_MISMATCH, ARCHIVED,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UPDATE_HOLIDAY_CALENDAR, admin.UpdateHolidayCalendarRequest(calendar_code=calendar_code, update_mask=update_mask, display_name_en=display_name_en, display_name_zh=display_name_zh, version=version, request_id=request_id), timeout)

    def archive_holiday_calendar(
        self,
        *,
        calendar_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchiveHolidayCalendarResponse:
        """Has no product be of a holiday calendar any more. Refused while a product that is not
        archived is of it, or is to be by a version that is scheduled. What was sold keeps its
        price. A repeat does no harm. Reasons: NOT_FOUND, VERSION_MISMATCH, IN_USE,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ARCHIVE_HOLIDAY_CALENDAR, admin.ArchiveHolidayCalendarRequest(calendar_code=calendar_code, version=version, request_id=request_id), timeout)

    def unarchive_holiday_calendar(
        self,
        *,
        calendar_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveHolidayCalendarResponse:
        """Takes an archived holiday calendar back, with its years and days. A repeat does no harm.
        Reasons: NOT_FOUND, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UNARCHIVE_HOLIDAY_CALENDAR, admin.UnarchiveHolidayCalendarRequest(calendar_code=calendar_code, version=version, request_id=request_id), timeout)

    def add_holiday_year(
        self,
        *,
        calendar_code: str,
        year: int,
        source: str,
        days: Iterable[admin.HolidayDay] = (),
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.AddHolidayYearResponse:
        """Adds a year to a holiday calendar, or corrects it, as the official list says: from then on
        the fares of its days are no longer provisional. Orders and tickets keep theirs. Reasons:
        NOT_FOUND, VERSION_MISMATCH, ARCHIVED, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ADD_HOLIDAY_YEAR, admin.AddHolidayYearRequest(calendar_code=calendar_code, year=year, source=source, days=days, version=version, request_id=request_id), timeout)

    def list_holidays(
        self,
        *,
        calendar_code: str,
        since: str = "",
        until: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListHolidaysResponse:
        """Lists the days of a calendar that are not what their weekday says, by page. Reasons:
        NOT_FOUND, PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_HOLIDAYS, admin.ListHolidaysRequest(calendar_code=calendar_code, since=since, until=until, page_size=page_size, page_token=page_token), timeout)

    def iter_holidays(
        self,
        *,
        calendar_code: str,
        since: str = "",
        until: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.HolidayDay]:
        """All `days` of list_holidays, page after page."""
        return self._calls.pages(_LIST_HOLIDAYS, admin.ListHolidaysRequest(calendar_code=calendar_code, since=since, until=until, page_size=page_size), timeout)

    def set_holidays(
        self,
        *,
        calendar_code: str,
        days: Iterable[admin.HolidayDay],
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.SetHolidaysResponse:
        """Sets single days of a calendar; searches and quotes show their fares within a second, orders
        and tickets keep theirs. Reasons: NOT_FOUND, VERSION_MISMATCH, ARCHIVED,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_SET_HOLIDAYS, admin.SetHolidaysRequest(calendar_code=calendar_code, days=days, version=version, request_id=request_id), timeout)

    def remove_holiday(
        self,
        *,
        calendar_code: str,
        day: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.RemoveHolidayResponse:
        """Has a day be what its weekday says. Reasons: NOT_FOUND, VERSION_MISMATCH, ARCHIVED,
        IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_REMOVE_HOLIDAY, admin.RemoveHolidayRequest(calendar_code=calendar_code, day=day, version=version, request_id=request_id), timeout)

    def list_route_fares(
        self,
        *,
        route_id: int,
        class_code: str = "",
        origin_stop_code: str = "",
        destination_stop_code: str = "",
        customer_type: tickets.CustomerType.ValueType = tickets.CUSTOMER_TYPE_UNSPECIFIED,
        day_type: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListRouteFaresResponse:
        """Lists fares of a route by page, of a class, pair of stops, customer type and type of day.
        Reasons: NOT_FOUND, PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_ROUTE_FARES, admin.ListRouteFaresRequest(route_id=route_id, class_code=class_code, origin_stop_code=origin_stop_code, destination_stop_code=destination_stop_code, customer_type=customer_type, day_type=day_type, page_size=page_size, page_token=page_token), timeout)

    def iter_route_fares(
        self,
        *,
        route_id: int,
        class_code: str = "",
        origin_stop_code: str = "",
        destination_stop_code: str = "",
        customer_type: tickets.CustomerType.ValueType = tickets.CUSTOMER_TYPE_UNSPECIFIED,
        day_type: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.RouteFare]:
        """All `fares` of list_route_fares, page after page."""
        return self._calls.pages(_LIST_ROUTE_FARES, admin.ListRouteFaresRequest(route_id=route_id, class_code=class_code, origin_stop_code=origin_stop_code, destination_stop_code=destination_stop_code, customer_type=customer_type, day_type=day_type, page_size=page_size), timeout)

    def change_route_fares(
        self,
        *,
        route_id: int,
        fares: Iterable[admin.RouteFare] = (),
        removed_fares: Iterable[admin.RouteFare] = (),
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ChangeRouteFaresResponse:
        """Sets some fares of a route and removes others, for what is sold from now on; orders and
        tickets keep theirs. Searches show it within a second. Reasons: NOT_FOUND, VERSION_MISMATCH,
        ARCHIVED, INVALID_FIELD (also for one to remove that is not there), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_CHANGE_ROUTE_FARES, admin.ChangeRouteFaresRequest(route_id=route_id, fares=fares, removed_fares=removed_fares, version=version, request_id=request_id), timeout)

    def list_fare_calendar(
        self,
        *,
        product_id: int,
        customer_type: tickets.CustomerType.ValueType,
        since: str,
        until: str,
        route_id: int = 0,
        class_code: str = "",
        origin_stop_code: str = "",
        destination_stop_code: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListFareCalendarResponse:
        """Lists what a product, or a leg of a route in a class, costs a customer type day by day: by
        the calendar of its holidays, before discounts. Reasons: NOT_FOUND, PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_FARE_CALENDAR, admin.ListFareCalendarRequest(product_id=product_id, customer_type=customer_type, since=since, until=until, route_id=route_id, class_code=class_code, origin_stop_code=origin_stop_code, destination_stop_code=destination_stop_code, page_size=page_size, page_token=page_token), timeout)

    def iter_fare_calendar(
        self,
        *,
        product_id: int,
        customer_type: tickets.CustomerType.ValueType,
        since: str,
        until: str,
        route_id: int = 0,
        class_code: str = "",
        origin_stop_code: str = "",
        destination_stop_code: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.FareDay]:
        """All `days` of list_fare_calendar, page after page."""
        return self._calls.pages(_LIST_FARE_CALENDAR, admin.ListFareCalendarRequest(product_id=product_id, customer_type=customer_type, since=since, until=until, route_id=route_id, class_code=class_code, origin_stop_code=origin_stop_code, destination_stop_code=destination_stop_code, page_size=page_size), timeout)

    def list_blackout_dates(
        self,
        *,
        product_id: int,
        since: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListBlackoutDatesResponse:
        """Lists the days on which a product is not valid, by page. Reasons: NOT_FOUND,
        PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_BLACKOUT_DATES, admin.ListBlackoutDatesRequest(product_id=product_id, since=since, page_size=page_size, page_token=page_token), timeout)

    def iter_blackout_dates(
        self,
        *,
        product_id: int,
        since: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[str]:
        """All `blackout_dates` of list_blackout_dates, page after page."""
        return self._calls.pages(_LIST_BLACKOUT_DATES, admin.ListBlackoutDatesRequest(product_id=product_id, since=since, page_size=page_size), timeout)

    def add_blackout_dates(
        self,
        *,
        product_id: int,
        blackout_dates: Iterable[str],
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.AddBlackoutDatesResponse:
        """Adds days on which a product is not valid, for what is sold from now on; tickets keep the
        days they were sold with. Reasons: NOT_FOUND, VERSION_MISMATCH, PRODUCT_NOT_ON_SALE
        (archived), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ADD_BLACKOUT_DATES, admin.AddBlackoutDatesRequest(product_id=product_id, blackout_dates=blackout_dates, version=version, request_id=request_id), timeout)

    def remove_blackout_dates(
        self,
        *,
        product_id: int,
        blackout_dates: Iterable[str],
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.RemoveBlackoutDatesResponse:
        """Takes away days on which a product is not valid, for what is sold from now on; tickets keep
        the days they were sold with. Reasons: NOT_FOUND, VERSION_MISMATCH, PRODUCT_NOT_ON_SALE
        (archived), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_REMOVE_BLACKOUT_DATES, admin.RemoveBlackoutDatesRequest(product_id=product_id, blackout_dates=blackout_dates, version=version, request_id=request_id), timeout)

    def unarchive_product(
        self,
        *,
        product_id: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveProductResponse:
        """Puts an archived product on sale again. A repeat does no harm. Reasons: NOT_FOUND,
        VERSION_MISMATCH, INVALID_FIELD (its city or calendar is archived), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UNARCHIVE_PRODUCT, admin.UnarchiveProductRequest(product_id=product_id, version=version, request_id=request_id), timeout)

    def import_gtfs(
        self,
        *,
        archive: bytes,
        feed_name: str,
        product_id: int,
        seats: Iterable[admin.TimetableSeats],
        city_code: str = "",
        stop_cities: Iterable[admin.GtfsStopCity] = (),
        agency_id: str = "",
        route_ids: Iterable[str] = (),
        sale_days: int | None = None,
        closing_minutes: int | None = None,
        dry_run: bool = False,
        keep_going: bool = False,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ImportGtfsResponse:
        """Imports a GTFS feed: stops, routes, trips as timetables, fares. What of the feed is which of
        ours is remembered under its `feed_name`: a newer edition changes what differs and archives
        what is gone, but never a departure of which something is held or sold. A repeat changes
        nothing. A refused line is no error of the call but stands in the report. Reasons:
        INVALID_FIELD (the archive cannot be read), NOT_FOUND (product), PRODUCT_NOT_ON_SALE,
        STOCK_IN_USE, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_IMPORT_GTFS, admin.ImportGtfsRequest(archive=archive, feed_name=feed_name, product_id=product_id, seats=seats, city_code=city_code, stop_cities=stop_cities, agency_id=agency_id, route_ids=route_ids, sale_days=sale_days, closing_minutes=closing_minutes, dry_run=dry_run, keep_going=keep_going, request_id=request_id), timeout)

    def export_gtfs(
        self,
        *,
        agency_name: str,
        agency_url: str,
        agency_time_zone: str = "",
        agency_email: str = "",
        route_ids: Iterable[int] = (),
        first_date: str = "",
        last_date: str = "",
        timeout: float | None = None,
    ) -> Iterator[admin.ExportGtfsResponse]:
        """Exports what is on sale as a GTFS feed for partners: plain stop_times without frequencies,
        just the days on which something leaves, fares as GTFS-Fares v2. The same content is the
        same bytes. Reasons: INVALID_FIELD (also if it is not known where a stop is), NOT_FOUND
        (route), SERVER_BUSY.
        """
        return self._calls.stream(_EXPORT_GTFS, admin.ExportGtfsRequest(agency_name=agency_name, agency_url=agency_url, agency_time_zone=agency_time_zone, agency_email=agency_email, route_ids=route_ids, first_date=first_date, last_date=last_date), timeout)

    def export_catalogue(
        self,
        *,
        format: admin.CatalogueFormat.ValueType = admin.CATALOGUE_FORMAT_UNSPECIFIED,
        timeout: float | None = None,
    ) -> Iterator[admin.ExportCatalogueResponse]:
        """Exports the catalogue as a file that ImportCatalogue takes: into an empty database it makes
        the same catalogue, without car categories, rental locations, extras and fleets, which files
        do not have. Cells of CSV that a spreadsheet program would take for formulas have an
        apostrophe before them, which the import takes away. Reasons: SERVER_BUSY.
        """
        return self._calls.stream(_EXPORT_CATALOGUE, admin.ExportCatalogueRequest(format=format), timeout)

    def list_notification_templates(
        self,
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListNotificationTemplatesResponse:
        """Lists the templates of messages in force, by page: those that were published, else those
        that are shipped. Reasons: PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_NOTIFICATION_TEMPLATES, admin.ListNotificationTemplatesRequest(page_size=page_size, page_token=page_token), timeout)

    def iter_notification_templates(
        self,
        *,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.NotificationTemplate]:
        """All `templates` of list_notification_templates, page after page."""
        return self._calls.pages(_LIST_NOTIFICATION_TEMPLATES, admin.ListNotificationTemplatesRequest(page_size=page_size), timeout)

    def get_notification_template(
        self,
        *,
        kind: ticketing.NotificationKind.ValueType,
        channel: admin.NotificationChannel.ValueType,
        language: ticketing.NotificationLanguage.ValueType,
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.GetNotificationTemplateResponse:
        """Reads a template of messages, as it is in force or was in a version, with the placeholders
        it may have. Reasons: NOT_FOUND.
        """
        return self._calls.unary(_GET_NOTIFICATION_TEMPLATE, admin.GetNotificationTemplateRequest(kind=kind, channel=channel, language=language, version=version), timeout)

    def update_notification_template(
        self,
        *,
        kind: ticketing.NotificationKind.ValueType,
        channel: admin.NotificationChannel.ValueType,
        language: ticketing.NotificationLanguage.ValueType,
        template: admin.NotificationTexts,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UpdateNotificationTemplateResponse:
        """Publishes a template of messages; every process goes by it within a second. To go back to a
        version, publish its texts again. Reasons: INVALID_FIELD (a placeholder that there is not,
        named; a brace that stands alone; what the channel needs or has no use for),
        VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UPDATE_NOTIFICATION_TEMPLATE, admin.UpdateNotificationTemplateRequest(kind=kind, channel=channel, language=language, template=template, version=version, request_id=request_id), timeout)

    def preview_notification_template(
        self,
        *,
        kind: ticketing.NotificationKind.ValueType,
        channel: admin.NotificationChannel.ValueType,
        language: ticketing.NotificationLanguage.ValueType,
        template: admin.NotificationTexts,
        timeout: float | None = None,
    ) -> admin.PreviewNotificationTemplateResponse:
        """Shows a template of messages filled in with sample values, and publishes nothing. Reasons:
        INVALID_FIELD, as of UpdateNotificationTemplate.
        """
        return self._calls.unary(_PREVIEW_NOTIFICATION_TEMPLATE, admin.PreviewNotificationTemplateRequest(kind=kind, channel=channel, language=language, template=template), timeout)

    def list_notification_deliveries(
        self,
        *,
        traveller_id: int,
        state: admin.NotificationDeliveryState.ValueType = admin.NOTIFICATION_DELIVERY_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListNotificationDeliveriesResponse:
        """Lists what became of a traveller's messages in each channel but the inbox, the latest first,
        by page. What was given up is replayed by ReplayTask. Reasons: PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_NOTIFICATION_DELIVERIES, admin.ListNotificationDeliveriesRequest(traveller_id=traveller_id, state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_notification_deliveries(
        self,
        *,
        traveller_id: int,
        state: admin.NotificationDeliveryState.ValueType = admin.NOTIFICATION_DELIVERY_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.NotificationDelivery]:
        """All `deliveries` of list_notification_deliveries, page after page."""
        return self._calls.pages(_LIST_NOTIFICATION_DELIVERIES, admin.ListNotificationDeliveriesRequest(traveller_id=traveller_id, state=state, page_size=page_size), timeout)

    def list_order_notifications(
        self,
        *,
        order_code: str,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListOrderNotificationsResponse:
        """Lists what the traveller of an order was notified of, in which language and channel, and
        what became of it, the latest first, by page. Reasons: NOT_FOUND, PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_ORDER_NOTIFICATIONS, admin.ListOrderNotificationsRequest(order_code=order_code, page_size=page_size, page_token=page_token), timeout)

    def iter_order_notifications(
        self,
        *,
        order_code: str,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.NotificationDelivery]:
        """All `deliveries` of list_order_notifications, page after page."""
        return self._calls.pages(_LIST_ORDER_NOTIFICATIONS, admin.ListOrderNotificationsRequest(order_code=order_code, page_size=page_size), timeout)

    def list_notification_pauses(
        self,
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListNotificationPausesResponse:
        """Lists the channels and templates that are stopped, by page. Reasons: PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_NOTIFICATION_PAUSES, admin.ListNotificationPausesRequest(page_size=page_size, page_token=page_token), timeout)

    def iter_notification_pauses(
        self,
        *,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.NotificationPause]:
        """All `pauses` of list_notification_pauses, page after page."""
        return self._calls.pages(_LIST_NOTIFICATION_PAUSES, admin.ListNotificationPausesRequest(page_size=page_size), timeout)

    def resume_notification_channel(
        self,
        *,
        channel: admin.NotificationChannel.ValueType,
        template_id: str = "",
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ResumeNotificationChannelResponse:
        """Has a channel or template that is stopped go on at once; what is not mended stops it again.
        Reasons: NOT_FOUND (it is not stopped), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_RESUME_NOTIFICATION_CHANNEL, admin.ResumeNotificationChannelRequest(channel=channel, template_id=template_id, request_id=request_id), timeout)

    def connect_channel(
        self,
        *,
        channel_code: str,
        vendor_code: str,
        currency_code: str,
        partner_code: str = "",
        base_url: str = "",
        calls_per_minute: int = 0,
        credentials: Iterable[admin.ChannelCredential] = (),
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ConnectChannelResponse:
        """Connects a channel, ACTIVE, with the words that its vendor’s documents give. Reasons:
        INVALID_FIELD (also for an account that another channel has), NOT_FOUND, REVOKED and
        ARCHIVED (partner), ALREADY_EXISTS, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_CONNECT_CHANNEL, admin.ConnectChannelRequest(channel_code=channel_code, vendor_code=vendor_code, currency_code=currency_code, partner_code=partner_code, base_url=base_url, calls_per_minute=calls_per_minute, credentials=credentials, request_id=request_id), timeout)

    def get_channel(
        self,
        *,
        channel_code: str,
        timeout: float | None = None,
    ) -> admin.GetChannelResponse:
        """Reads a channel. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_CHANNEL, admin.GetChannelRequest(channel_code=channel_code), timeout)

    def list_channels(
        self,
        *,
        vendor_code: str = "",
        state: admin.ChannelState.ValueType = admin.CHANNEL_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListChannelsResponse:
        """Lists channels by page. Reasons: PAGE_TOKEN_INVALID."""
        return self._calls.unary(_LIST_CHANNELS, admin.ListChannelsRequest(vendor_code=vendor_code, state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_channels(
        self,
        *,
        vendor_code: str = "",
        state: admin.ChannelState.ValueType = admin.CHANNEL_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.Channel]:
        """All `channels` of list_channels, page after page."""
        return self._calls.pages(_LIST_CHANNELS, admin.ListChannelsRequest(vendor_code=vendor_code, state=state, page_size=page_size), timeout)

    def update_channel(
        self,
        *,
        channel_code: str,
        update_mask: FieldMask,
        base_url: str = "",
        currency_code: str = "",
        calls_per_minute: int = 0,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UpdateChannelResponse:
        """Changes a channel, from its next call on. Reasons: INVALID_FIELD, NOT_FOUND, REVOKED,
        VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UPDATE_CHANNEL, admin.UpdateChannelRequest(channel_code=channel_code, update_mask=update_mask, base_url=base_url, currency_code=currency_code, calls_per_minute=calls_per_minute, version=version, request_id=request_id), timeout)

    def rotate_channel_credentials(
        self,
        *,
        channel_code: str,
        credentials: Iterable[admin.ChannelCredential] = (),
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.RotateChannelCredentialsResponse:
        """Gives a channel other credentials, which count from its next call on, in every process.
        Reasons: INVALID_FIELD, NOT_FOUND, REVOKED, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_ROTATE_CHANNEL_CREDENTIALS, admin.RotateChannelCredentialsRequest(channel_code=channel_code, credentials=credentials, version=version, request_id=request_id), timeout)

    def pause_channel(
        self,
        *,
        channel_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.PauseChannelResponse:
        """Pauses a channel: nothing is sent or fetched, and what changes waits. A repeat does no harm.
        Reasons: NOT_FOUND, REVOKED, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_PAUSE_CHANNEL, admin.PauseChannelRequest(channel_code=channel_code, version=version, request_id=request_id), timeout)

    def resume_channel(
        self,
        *,
        channel_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ResumeChannelResponse:
        """Resumes a paused channel, which is then sent what has changed meanwhile. A repeat does no
        harm. Reasons: INVALID_FIELD (another channel has its account), NOT_FOUND, REVOKED,
        VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_RESUME_CHANNEL, admin.ResumeChannelRequest(channel_code=channel_code, version=version, request_id=request_id), timeout)

    def disconnect_channel(
        self,
        *,
        channel_code: str,
        keep_bookings: bool = False,
        at_once: bool = False,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.DisconnectChannelResponse:
        """Disconnects a channel: it is sent that nothing is left, what it has booked until then is
        seen to, and then its credentials are erased; nothing else of it is deleted. ConnectChannel
        with the same code and account takes it up again, and ResumeChannel before it has ended. A
        repeat does no harm. Reasons: NOT_FOUND, IN_USE (bookings that are not over, unless they are
        kept), VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_DISCONNECT_CHANNEL, admin.DisconnectChannelRequest(channel_code=channel_code, keep_bookings=keep_bookings, at_once=at_once, version=version, request_id=request_id), timeout)

    def test_channel(
        self,
        *,
        channel_code: str,
        timeout: float | None = None,
    ) -> admin.TestChannelResponse:
        """Calls a channel with the credentials that it has, and says what became of it; nothing is
        changed there. One that fetches a feed, or calls us, is not called: UNTESTABLE. Reasons:
        NOT_FOUND.
        """
        return self._calls.unary(_TEST_CHANNEL, admin.TestChannelRequest(channel_code=channel_code), timeout)

    def sync_channel(
        self,
        *,
        channel_code: str,
        everything: bool = False,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.SyncChannelResponse:
        """Has a channel compared with catalogue and stock now, and sent what differs, by the processes
        that run. Reasons: NOT_FOUND, REVOKED, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_SYNC_CHANNEL, admin.SyncChannelRequest(channel_code=channel_code, everything=everything, request_id=request_id), timeout)

    def fetch_channel_bookings(
        self,
        *,
        channel_code: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.FetchChannelBookingsResponse:
        """Has all bookings of a channel fetched now that are not over. Reasons: NOT_FOUND, REVOKED,
        INVALID_FIELD (a vendor that lists none), IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_FETCH_CHANNEL_BOOKINGS, admin.FetchChannelBookingsRequest(channel_code=channel_code, request_id=request_id), timeout)

    def get_channel_drift(
        self,
        *,
        channel_code: str,
        timeout: float | None = None,
    ) -> admin.GetChannelDriftResponse:
        """Says how far a channel is behind price plans, catalogue and stock as they are at this
        moment, and what cannot be sent. Reasons: NOT_FOUND, SERVER_BUSY, RANGE_TOO_LARGE.
        """
        return self._calls.unary(_GET_CHANNEL_DRIFT, admin.GetChannelDriftRequest(channel_code=channel_code), timeout)

    def list_channel_drift(
        self,
        *,
        channel_code: str,
        item_id: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListChannelDriftResponse:
        """Lists what a channel was sent otherwise, or not at all, than price plans, catalogue and
        stock say at this moment, or is about to be, by page: worked out anew, and compared with
        what the vendor took when it was sent, as vendors have no call to read back. SyncChannel
        mends it. Reasons: NOT_FOUND, PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_CHANNEL_DRIFT, admin.ListChannelDriftRequest(channel_code=channel_code, item_id=item_id, page_size=page_size, page_token=page_token), timeout)

    def iter_channel_drift(
        self,
        *,
        channel_code: str,
        item_id: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.ChannelDifference]:
        """All `differences` of list_channel_drift, page after page."""
        return self._calls.pages(_LIST_CHANNEL_DRIFT, admin.ListChannelDriftRequest(channel_code=channel_code, item_id=item_id, page_size=page_size), timeout)

    def list_channel_values(
        self,
        *,
        channel_code: str,
        what: admin.ChannelValueKind.ValueType = admin.CHANNEL_VALUE_KIND_UNSPECIFIED,
        item_id: str = "",
        waiting: bool = False,
        faulty: bool = False,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListChannelValuesResponse:
        """Lists what a channel is to know and what it was sent, by page. Reasons: NOT_FOUND,
        PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_CHANNEL_VALUES, admin.ListChannelValuesRequest(channel_code=channel_code, what=what, item_id=item_id, waiting=waiting, faulty=faulty, page_size=page_size, page_token=page_token), timeout)

    def iter_channel_values(
        self,
        *,
        channel_code: str,
        what: admin.ChannelValueKind.ValueType = admin.CHANNEL_VALUE_KIND_UNSPECIFIED,
        item_id: str = "",
        waiting: bool = False,
        faulty: bool = False,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.ChannelValue]:
        """All `values` of list_channel_values, page after page."""
        return self._calls.pages(_LIST_CHANNEL_VALUES, admin.ListChannelValuesRequest(channel_code=channel_code, what=what, item_id=item_id, waiting=waiting, faulty=faulty, page_size=page_size), timeout)

    def list_channel_differences(
        self,
        *,
        channel_code: str,
        what: admin.ChannelValueKind.ValueType = admin.CHANNEL_VALUE_KIND_UNSPECIFIED,
        item_id: str = "",
        uncorrected: bool = False,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListChannelDifferencesResponse:
        """Lists of which values full syncs of the last seven days found that a channel had been sent
        others, by page. Reasons: NOT_FOUND, PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_CHANNEL_DIFFERENCES, admin.ListChannelDifferencesRequest(channel_code=channel_code, what=what, item_id=item_id, uncorrected=uncorrected, page_size=page_size, page_token=page_token), timeout)

    def iter_channel_differences(
        self,
        *,
        channel_code: str,
        what: admin.ChannelValueKind.ValueType = admin.CHANNEL_VALUE_KIND_UNSPECIFIED,
        item_id: str = "",
        uncorrected: bool = False,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.ChannelDifference]:
        """All `differences` of list_channel_differences, page after page."""
        return self._calls.pages(_LIST_CHANNEL_DIFFERENCES, admin.ListChannelDifferencesRequest(channel_code=channel_code, what=what, item_id=item_id, uncorrected=uncorrected, page_size=page_size), timeout)

    def download_channel_differences(
        self,
        *,
        channel_code: str,
        uncorrected: bool = False,
        timeout: float | None = None,
    ) -> Iterator[admin.DownloadChannelDifferencesResponse]:
        """Downloads the same as CSV, all its rows. Reasons: NOT_FOUND, SERVER_BUSY."""
        return self._calls.stream(_DOWNLOAD_CHANNEL_DIFFERENCES, admin.DownloadChannelDifferencesRequest(channel_code=channel_code, uncorrected=uncorrected), timeout)

    def get_channel_cadences(
        self,
        *,
        channel_code: str,
        timeout: float | None = None,
    ) -> admin.GetChannelCadencesResponse:
        """Reads when each part of what a channel is to know was compared, and is next. Reasons:
        NOT_FOUND.
        """
        return self._calls.unary(_GET_CHANNEL_CADENCES, admin.GetChannelCadencesRequest(channel_code=channel_code), timeout)

    def list_channel_calls(
        self,
        *,
        channel_code: str,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListChannelCallsResponse:
        """Lists calls to a channel, the newest first, by page. Reasons: NOT_FOUND, PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_CHANNEL_CALLS, admin.ListChannelCallsRequest(channel_code=channel_code, page_size=page_size, page_token=page_token), timeout)

    def iter_channel_calls(
        self,
        *,
        channel_code: str,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.ChannelCall]:
        """All `calls` of list_channel_calls, page after page."""
        return self._calls.pages(_LIST_CHANNEL_CALLS, admin.ListChannelCallsRequest(channel_code=channel_code, page_size=page_size), timeout)

    def list_channel_words(
        self,
        *,
        channel_code: str,
        kind: admin.ChannelWordKind.ValueType = admin.CHANNEL_WORD_KIND_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListChannelWordsResponse:
        """Lists the vendor’s words beside ours, by page. Reasons: NOT_FOUND, PAGE_TOKEN_INVALID."""
        return self._calls.unary(_LIST_CHANNEL_WORDS, admin.ListChannelWordsRequest(channel_code=channel_code, kind=kind, page_size=page_size, page_token=page_token), timeout)

    def iter_channel_words(
        self,
        *,
        channel_code: str,
        kind: admin.ChannelWordKind.ValueType = admin.CHANNEL_WORD_KIND_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.ChannelWord]:
        """All `words` of list_channel_words, page after page."""
        return self._calls.pages(_LIST_CHANNEL_WORDS, admin.ListChannelWordsRequest(channel_code=channel_code, kind=kind, page_size=page_size), timeout)

    def set_channel_word(
        self,
        *,
        channel_code: str,
        kind: admin.ChannelWordKind.ValueType,
        ours: str,
        theirs: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.SetChannelWordResponse:
        """Adds a word, or changes it; what waited for it, or was sent with another, is sent. That of a
        place where the channel sells is not changed: end its listings first. Reasons:
        INVALID_FIELD, NOT_FOUND, REVOKED, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_SET_CHANNEL_WORD, admin.SetChannelWordRequest(channel_code=channel_code, kind=kind, ours=ours, theirs=theirs, version=version, request_id=request_id), timeout)

    def remove_channel_word(
        self,
        *,
        channel_code: str,
        kind: admin.ChannelWordKind.ValueType,
        word: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.RemoveChannelWordResponse:
        """Removes a word: nothing is sent in its place. Not that of a place where the channel sells.
        Reasons: INVALID_FIELD, NOT_FOUND, REVOKED, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_REMOVE_CHANNEL_WORD, admin.RemoveChannelWordRequest(channel_code=channel_code, kind=kind, word=word, version=version, request_id=request_id), timeout)

    def create_channel_listing(
        self,
        *,
        channel_code: str,
        item_id: str,
        location: str,
        currency_code: str,
        product_id: int = 0,
        rental_location_id: int = 0,
        timetable_id: int = 0,
        class_index: int = 0,
        origin_index: int = 0,
        destination_index: int = 0,
        customer_type: tickets.CustomerType.ValueType = tickets.CUSTOMER_TYPE_UNSPECIFIED,
        rate_millionths: int = 0,
        markup_basis_points: int | None = None,
        threshold: int | None = None,
        days_ahead: int = 0,
        request_id: str = "",
        price_pace: admin.ChannelPricePace.ValueType = admin.CHANNEL_PRICE_PACE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> admin.CreateChannelListingResponse:
        """Lists something at a channel; its prices and quantities are worked out and sent at once.
        Reasons: INVALID_FIELD, NOT_FOUND, REVOKED, ARCHIVED, ALREADY_EXISTS, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_CREATE_CHANNEL_LISTING, admin.CreateChannelListingRequest(channel_code=channel_code, item_id=item_id, location=location, currency_code=currency_code, product_id=product_id, rental_location_id=rental_location_id, timetable_id=timetable_id, class_index=class_index, origin_index=origin_index, destination_index=destination_index, customer_type=customer_type, rate_millionths=rate_millionths, markup_basis_points=markup_basis_points, threshold=threshold, days_ahead=days_ahead, request_id=request_id, price_pace=price_pace), timeout)

    def get_channel_listing(
        self,
        *,
        channel_code: str,
        item_id: str,
        timeout: float | None = None,
    ) -> admin.GetChannelListingResponse:
        """Reads a listing. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_CHANNEL_LISTING, admin.GetChannelListingRequest(channel_code=channel_code, item_id=item_id), timeout)

    def list_channel_listings(
        self,
        *,
        channel_code: str,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListChannelListingsResponse:
        """Lists what is listed at a channel, by page. Reasons: NOT_FOUND, PAGE_TOKEN_INVALID."""
        return self._calls.unary(_LIST_CHANNEL_LISTINGS, admin.ListChannelListingsRequest(channel_code=channel_code, page_size=page_size, page_token=page_token), timeout)

    def iter_channel_listings(
        self,
        *,
        channel_code: str,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.ChannelListing]:
        """All `listings` of list_channel_listings, page after page."""
        return self._calls.pages(_LIST_CHANNEL_LISTINGS, admin.ListChannelListingsRequest(channel_code=channel_code, page_size=page_size), timeout)

    def update_channel_listing(
        self,
        *,
        channel_code: str,
        item_id: str,
        update_mask: FieldMask,
        customer_type: tickets.CustomerType.ValueType = tickets.CUSTOMER_TYPE_UNSPECIFIED,
        currency_code: str = "",
        rate_millionths: int = 0,
        markup_basis_points: int | None = None,
        threshold: int | None = None,
        days_ahead: int = 0,
        version: int = 0,
        request_id: str = "",
        price_pace: admin.ChannelPricePace.ValueType = admin.CHANNEL_PRICE_PACE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> admin.UpdateChannelListingResponse:
        """Changes the price plan or pace of a listing; what differs is sent at once. Reasons:
        INVALID_FIELD, NOT_FOUND, REVOKED, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_UPDATE_CHANNEL_LISTING, admin.UpdateChannelListingRequest(channel_code=channel_code, item_id=item_id, update_mask=update_mask, customer_type=customer_type, currency_code=currency_code, rate_millionths=rate_millionths, markup_basis_points=markup_basis_points, threshold=threshold, days_ahead=days_ahead, version=version, request_id=request_id, price_pace=price_pace), timeout)

    def end_channel_listing(
        self,
        *,
        channel_code: str,
        item_id: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.EndChannelListingResponse:
        """Ends a listing: the channel is sent that nothing is left of it. Reasons: NOT_FOUND, REVOKED,
        VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_END_CHANNEL_LISTING, admin.EndChannelListingRequest(channel_code=channel_code, item_id=item_id, version=version, request_id=request_id), timeout)

    def list_channel_bookings(
        self,
        *,
        channel_code: str,
        state: admin.ChannelBookingState.ValueType = admin.CHANNEL_BOOKING_STATE_UNSPECIFIED,
        faulty: bool = False,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListChannelBookingsResponse:
        """Lists the bookings of a channel, the newest first, by page. Reasons: NOT_FOUND,
        PAGE_TOKEN_INVALID.
        """
        return self._calls.unary(_LIST_CHANNEL_BOOKINGS, admin.ListChannelBookingsRequest(channel_code=channel_code, state=state, faulty=faulty, page_size=page_size, page_token=page_token), timeout)

    def iter_channel_bookings(
        self,
        *,
        channel_code: str,
        state: admin.ChannelBookingState.ValueType = admin.CHANNEL_BOOKING_STATE_UNSPECIFIED,
        faulty: bool = False,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[admin.ChannelBooking]:
        """All `bookings` of list_channel_bookings, page after page."""
        return self._calls.pages(_LIST_CHANNEL_BOOKINGS, admin.ListChannelBookingsRequest(channel_code=channel_code, state=state, faulty=faulty, page_size=page_size), timeout)

    def get_channel_booking(
        self,
        *,
        channel_code: str,
        booking_id: str,
        timeout: float | None = None,
    ) -> admin.GetChannelBookingResponse:
        """Reads a booking of a channel. Reasons: NOT_FOUND."""
        return self._calls.unary(_GET_CHANNEL_BOOKING, admin.GetChannelBookingRequest(channel_code=channel_code, booking_id=booking_id), timeout)

    def cancel_channel_booking(
        self,
        *,
        channel_code: str,
        booking_id: str,
        comment: str,
        reason: str = "",
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CancelChannelBookingResponse:
        """Has a booking cancelled at the channel, or rejected if no order was made of it. A repeat
        does no harm. Reasons: INVALID_FIELD, NOT_FOUND, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_CANCEL_CHANNEL_BOOKING, admin.CancelChannelBookingRequest(channel_code=channel_code, booking_id=booking_id, comment=comment, reason=reason, request_id=request_id), timeout)

    def retry_channel_booking(
        self,
        *,
        channel_code: str,
        booking_id: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.RetryChannelBookingResponse:
        """Has a booking looked at again at once, as after a word was mapped. Reasons: INVALID_FIELD
        (one that cannot be read is fetched anew), NOT_FOUND, REVOKED, IDEMPOTENCY_MISMATCH.
        """
        return self._calls.unary(_RETRY_CHANNEL_BOOKING, admin.RetryChannelBookingRequest(channel_code=channel_code, booking_id=booking_id, request_id=request_id), timeout)


class AsyncAdminService:
    """What platform administrators do: partners and their keys, merchants, venues, terminals and
    accounts, products and their stock, blocks of single tickets and of travellers, and the audit
    trail of all that. What an administrator may call is said by the roles of the account
    (`admin_roles` of each method's `access`); all others get ROLE_NOT_ALLOWED.

    Every changing call is audited with what was before and after, and seen by every reader within a
    second. It carries a `request_id` and may be repeated safely with the same one: it gets the
    first answer again; the same id with other content gets IDEMPOTENCY_MISMATCH. Update calls
    change the fields that `update_mask` names and no others. What is revoked stays so, and revoking
    it again does no harm.
    """

    def __init__(self, calls: AsyncCalls) -> None:
        self._calls = calls

    async def admin_login(
        self,
        *,
        username: str,
        password: str,
        code: str = "",
        timeout: float | None = None,
    ) -> admin.AdminLoginResponse:
        """Logs an administrator in. RedemptionService.RefreshToken and Logout take these tokens too.
        Failures are counted by name and address together. Log-ins that arrive together take turns
        by address, those from where the administrator has logged in before first. An account with a
        second factor needs a `code` too, whose failures count with those of passwords. Reasons:
        LOGIN_FAILED, LOGIN_LOCKED, SECOND_FACTOR_REQUIRED, SERVER_BUSY (more than 16 wait from one
        place, or too many in all).
        """
        return await self._calls.unary(_ADMIN_LOGIN, admin.AdminLoginRequest(username=username, password=password, code=code), timeout)

    async def create_partner(
        self,
        *,
        partner_code: str,
        display_name: str,
        requests_per_minute: int = 0,
        allowed_addresses: Iterable[str] = (),
        request_id: str = "",
        activation_tolerance_basis_points: int = 0,
        timeout: float | None = None,
    ) -> admin.CreatePartnerResponse:
        """Creates a partner, without a key or stock yet. Reasons: ALREADY_EXISTS,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_CREATE_PARTNER, admin.CreatePartnerRequest(partner_code=partner_code, display_name=display_name, requests_per_minute=requests_per_minute, allowed_addresses=allowed_addresses, request_id=request_id, activation_tolerance_basis_points=activation_tolerance_basis_points), timeout)

    async def get_partner(
        self,
        *,
        partner_code: str,
        timeout: float | None = None,
    ) -> admin.GetPartnerResponse:
        """Reads a partner. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_PARTNER, admin.GetPartnerRequest(partner_code=partner_code), timeout)

    async def list_partners(
        self,
        *,
        state: admin.ResourceState.ValueType = admin.RESOURCE_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        mode: admin.PartnerMode.ValueType = admin.PARTNER_MODE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> admin.ListPartnersResponse:
        """Lists partners by page. Reasons: PAGE_TOKEN_INVALID."""
        return await self._calls.unary(_LIST_PARTNERS, admin.ListPartnersRequest(state=state, page_size=page_size, page_token=page_token, mode=mode), timeout)

    def iter_partners(
        self,
        *,
        state: admin.ResourceState.ValueType = admin.RESOURCE_STATE_UNSPECIFIED,
        page_size: int = 0,
        mode: admin.PartnerMode.ValueType = admin.PARTNER_MODE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.Partner]:
        """All `partners` of list_partners, page after page."""
        return self._calls.pages(_LIST_PARTNERS, admin.ListPartnersRequest(state=state, page_size=page_size, mode=mode), timeout)

    async def update_partner(
        self,
        *,
        partner_code: str,
        update_mask: FieldMask,
        display_name: str = "",
        requests_per_minute: int | None = None,
        allowed_addresses: Iterable[str] = (),
        request_id: str = "",
        activation_tolerance_basis_points: int | None = None,
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.UpdatePartnerResponse:
        """Changes a partner. Reasons: NOT_FOUND, REVOKED, ARCHIVED, VERSION_MISMATCH,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UPDATE_PARTNER, admin.UpdatePartnerRequest(partner_code=partner_code, update_mask=update_mask, display_name=display_name, requests_per_minute=requests_per_minute, allowed_addresses=allowed_addresses, request_id=request_id, activation_tolerance_basis_points=activation_tolerance_basis_points, version=version), timeout)

    async def revoke_partner(
        self,
        *,
        partner_code: str,
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.RevokePartnerResponse:
        """Shuts a partner out for good: all its keys stop working within a second. What it sold stays
        valid; its stock can be moved to others. Reasons: NOT_FOUND, VERSION_MISMATCH,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_REVOKE_PARTNER, admin.RevokePartnerRequest(partner_code=partner_code, request_id=request_id, version=version), timeout)

    async def archive_partner(
        self,
        *,
        partner_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchivePartnerResponse:
        """Shuts a partner out until it is taken back, with its sandbox: all its keys are refused
        within a second. What it sold stays valid; its stock can be moved to others. A repeat does
        no harm. Reasons: NOT_FOUND, REVOKED, INVALID_FIELD (a sandbox), VERSION_MISMATCH,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ARCHIVE_PARTNER, admin.ArchivePartnerRequest(partner_code=partner_code, version=version, request_id=request_id), timeout)

    async def unarchive_partner(
        self,
        *,
        partner_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchivePartnerResponse:
        """Takes an archived partner back, with its sandbox; its keys that are not revoked work again.
        A repeat does no harm. Reasons: NOT_FOUND, REVOKED, INVALID_FIELD (a sandbox),
        VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UNARCHIVE_PARTNER, admin.UnarchivePartnerRequest(partner_code=partner_code, version=version, request_id=request_id), timeout)

    async def create_partner_key(
        self,
        *,
        partner_code: str,
        request_id: str = "",
        mode: admin.PartnerMode.ValueType = admin.PARTNER_MODE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> admin.CreatePartnerKeyResponse:
        """Makes a new API key for a partner; the older ones go on working. Reasons: NOT_FOUND,
        REVOKED, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_CREATE_PARTNER_KEY, admin.CreatePartnerKeyRequest(partner_code=partner_code, request_id=request_id, mode=mode), timeout)

    async def get_partner_key(
        self,
        *,
        partner_code: str,
        key_id: str,
        timeout: float | None = None,
    ) -> admin.GetPartnerKeyResponse:
        """Reads a key of a partner, without its secret. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_PARTNER_KEY, admin.GetPartnerKeyRequest(partner_code=partner_code, key_id=key_id), timeout)

    async def list_partner_keys(
        self,
        *,
        partner_code: str,
        page_size: int = 0,
        page_token: str = "",
        mode: admin.PartnerMode.ValueType = admin.PARTNER_MODE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> admin.ListPartnerKeysResponse:
        """Lists the keys of a partner by page. Reasons: NOT_FOUND, PAGE_TOKEN_INVALID."""
        return await self._calls.unary(_LIST_PARTNER_KEYS, admin.ListPartnerKeysRequest(partner_code=partner_code, page_size=page_size, page_token=page_token, mode=mode), timeout)

    def iter_partner_keys(
        self,
        *,
        partner_code: str,
        page_size: int = 0,
        mode: admin.PartnerMode.ValueType = admin.PARTNER_MODE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.PartnerKey]:
        """All `keys` of list_partner_keys, page after page."""
        return self._calls.pages(_LIST_PARTNER_KEYS, admin.ListPartnerKeysRequest(partner_code=partner_code, page_size=page_size, mode=mode), timeout)

    async def revoke_partner_key(
        self,
        *,
        partner_code: str,
        key_id: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.RevokePartnerKeyResponse:
        """Takes a key out of use, within a second. Reasons: NOT_FOUND, IDEMPOTENCY_MISMATCH."""
        return await self._calls.unary(_REVOKE_PARTNER_KEY, admin.RevokePartnerKeyRequest(partner_code=partner_code, key_id=key_id, request_id=request_id), timeout)

    async def list_partner_statements(
        self,
        *,
        partner_code: str,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListPartnerStatementsResponse:
        """Lists a partner's monthly statements, the latest first. Reasons: NOT_FOUND,
        PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_PARTNER_STATEMENTS, admin.ListPartnerStatementsRequest(partner_code=partner_code, page_size=page_size, page_token=page_token), timeout)

    def iter_partner_statements(
        self,
        *,
        partner_code: str,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[ota.StatementSummary]:
        """All `statements` of list_partner_statements, page after page."""
        return self._calls.pages(_LIST_PARTNER_STATEMENTS, admin.ListPartnerStatementsRequest(partner_code=partner_code, page_size=page_size), timeout)

    async def get_partner_statement(
        self,
        *,
        partner_code: str,
        month: str,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.GetPartnerStatementResponse:
        """Reads a partner's statement of a month, as OtaService/GetStatement gives it to the partner.
        Reasons: NOT_FOUND, PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_GET_PARTNER_STATEMENT, admin.GetPartnerStatementRequest(partner_code=partner_code, month=month, page_size=page_size, page_token=page_token), timeout)

    def iter_partner_statement_lines(
        self,
        *,
        partner_code: str,
        month: str,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[ota.StatementLine]:
        """All `lines` of get_partner_statement, page after page."""
        return self._calls.pages(_GET_PARTNER_STATEMENT, admin.GetPartnerStatementRequest(partner_code=partner_code, month=month, page_size=page_size), timeout)

    def download_partner_statement(
        self,
        *,
        partner_code: str,
        month: str,
        format: ota.StatementFormat.ValueType,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.DownloadPartnerStatementResponse]:
        """Downloads a partner's statement of a month as CSV, JSON or PDF, the same bytes that the
        partner gets. Reasons: NOT_FOUND.
        """
        return self._calls.stream(_DOWNLOAD_PARTNER_STATEMENT, admin.DownloadPartnerStatementRequest(partner_code=partner_code, month=month, format=format), timeout)

    async def create_merchant(
        self,
        *,
        merchant_code: str,
        display_name: str,
        function_codes: Iterable[str],
        reversal_window_seconds: int | None = None,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CreateMerchantResponse:
        """Creates a merchant. Reasons: ALREADY_EXISTS, IDEMPOTENCY_MISMATCH."""
        return await self._calls.unary(_CREATE_MERCHANT, admin.CreateMerchantRequest(merchant_code=merchant_code, display_name=display_name, function_codes=function_codes, reversal_window_seconds=reversal_window_seconds, request_id=request_id), timeout)

    async def get_merchant(
        self,
        *,
        merchant_code: str,
        timeout: float | None = None,
    ) -> admin.GetMerchantResponse:
        """Reads a merchant. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_MERCHANT, admin.GetMerchantRequest(merchant_code=merchant_code), timeout)

    async def list_merchants(
        self,
        *,
        state: admin.ResourceState.ValueType = admin.RESOURCE_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListMerchantsResponse:
        """Lists merchants by page. Reasons: PAGE_TOKEN_INVALID."""
        return await self._calls.unary(_LIST_MERCHANTS, admin.ListMerchantsRequest(state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_merchants(
        self,
        *,
        state: admin.ResourceState.ValueType = admin.RESOURCE_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.Merchant]:
        """All `merchants` of list_merchants, page after page."""
        return self._calls.pages(_LIST_MERCHANTS, admin.ListMerchantsRequest(state=state, page_size=page_size), timeout)

    async def update_merchant(
        self,
        *,
        merchant_code: str,
        update_mask: FieldMask,
        display_name: str = "",
        function_codes: Iterable[str] = (),
        reversal_window_seconds: int | None = None,
        request_id: str = "",
        version: int = 0,
        offline_pack_seconds: int | None = None,
        offline_clock_seconds: int | None = None,
        offline_over_admission: bool | None = None,
        offline_bears_refunds: bool | None = None,
        timeout: float | None = None,
    ) -> admin.UpdateMerchantResponse:
        """Changes a merchant. Reasons: NOT_FOUND, REVOKED, ARCHIVED, VERSION_MISMATCH,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UPDATE_MERCHANT, admin.UpdateMerchantRequest(merchant_code=merchant_code, update_mask=update_mask, display_name=display_name, function_codes=function_codes, reversal_window_seconds=reversal_window_seconds, request_id=request_id, version=version, offline_pack_seconds=offline_pack_seconds, offline_clock_seconds=offline_clock_seconds, offline_over_admission=offline_over_admission, offline_bears_refunds=offline_bears_refunds), timeout)

    async def revoke_merchant(
        self,
        *,
        merchant_code: str,
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.RevokeMerchantResponse:
        """Shuts a merchant out for good, with its venues, terminals and operators, within a second.
        Reasons: NOT_FOUND, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_REVOKE_MERCHANT, admin.RevokeMerchantRequest(merchant_code=merchant_code, request_id=request_id, version=version), timeout)

    async def archive_merchant(
        self,
        *,
        merchant_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchiveMerchantResponse:
        """Shuts a merchant out until it is taken back, with its venues, terminals and operators,
        within a second: their log-ins and sessions end, nothing is redeemed there. What happened
        stays. A repeat does no harm. Reasons: NOT_FOUND, REVOKED, VERSION_MISMATCH,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ARCHIVE_MERCHANT, admin.ArchiveMerchantRequest(merchant_code=merchant_code, version=version, request_id=request_id), timeout)

    async def unarchive_merchant(
        self,
        *,
        merchant_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveMerchantResponse:
        """Takes an archived merchant back; its staff log in again. A repeat does no harm. Reasons:
        NOT_FOUND, REVOKED, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UNARCHIVE_MERCHANT, admin.UnarchiveMerchantRequest(merchant_code=merchant_code, version=version, request_id=request_id), timeout)

    async def create_venue(
        self,
        *,
        venue_code: str,
        merchant_code: str,
        display_name: str,
        time_zone: str,
        function_codes: Iterable[str] = (),
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CreateVenueResponse:
        """Creates a venue of a merchant. Reasons: ALREADY_EXISTS, NOT_FOUND, REVOKED (the merchant),
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_CREATE_VENUE, admin.CreateVenueRequest(venue_code=venue_code, merchant_code=merchant_code, display_name=display_name, time_zone=time_zone, function_codes=function_codes, request_id=request_id), timeout)

    async def get_venue(
        self,
        *,
        venue_code: str,
        timeout: float | None = None,
    ) -> admin.GetVenueResponse:
        """Reads a venue. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_VENUE, admin.GetVenueRequest(venue_code=venue_code), timeout)

    async def list_venues(
        self,
        *,
        merchant_code: str = "",
        state: admin.ResourceState.ValueType = admin.RESOURCE_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListVenuesResponse:
        """Lists venues by page. Reasons: PAGE_TOKEN_INVALID."""
        return await self._calls.unary(_LIST_VENUES, admin.ListVenuesRequest(merchant_code=merchant_code, state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_venues(
        self,
        *,
        merchant_code: str = "",
        state: admin.ResourceState.ValueType = admin.RESOURCE_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.Venue]:
        """All `venues` of list_venues, page after page."""
        return self._calls.pages(_LIST_VENUES, admin.ListVenuesRequest(merchant_code=merchant_code, state=state, page_size=page_size), timeout)

    async def update_venue(
        self,
        *,
        venue_code: str,
        update_mask: FieldMask,
        display_name: str = "",
        time_zone: str = "",
        function_codes: Iterable[str] = (),
        request_id: str = "",
        version: int = 0,
        offline_pack_seconds: int | None = None,
        offline_clock_seconds: int | None = None,
        offline_over_admission: bool | None = None,
        offline_bears_refunds: bool | None = None,
        timeout: float | None = None,
    ) -> admin.UpdateVenueResponse:
        """Changes a venue. Reasons: NOT_FOUND, REVOKED, ARCHIVED, VERSION_MISMATCH,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UPDATE_VENUE, admin.UpdateVenueRequest(venue_code=venue_code, update_mask=update_mask, display_name=display_name, time_zone=time_zone, function_codes=function_codes, request_id=request_id, version=version, offline_pack_seconds=offline_pack_seconds, offline_clock_seconds=offline_clock_seconds, offline_over_admission=offline_over_admission, offline_bears_refunds=offline_bears_refunds), timeout)

    async def revoke_venue(
        self,
        *,
        venue_code: str,
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.RevokeVenueResponse:
        """Shuts a venue out for good, with its terminals, within a second. Reasons: NOT_FOUND,
        VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_REVOKE_VENUE, admin.RevokeVenueRequest(venue_code=venue_code, request_id=request_id, version=version), timeout)

    async def archive_venue(
        self,
        *,
        venue_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchiveVenueResponse:
        """Shuts a venue out until it is taken back, with its terminals, within a second: log-ins and
        sessions there end, nothing is redeemed there. What happened stays. A repeat does no harm.
        Reasons: NOT_FOUND, REVOKED, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ARCHIVE_VENUE, admin.ArchiveVenueRequest(venue_code=venue_code, version=version, request_id=request_id), timeout)

    async def unarchive_venue(
        self,
        *,
        venue_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveVenueResponse:
        """Takes an archived venue back. A repeat does no harm. Reasons: NOT_FOUND, REVOKED and
        ARCHIVED (of the merchant, too), VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UNARCHIVE_VENUE, admin.UnarchiveVenueRequest(venue_code=venue_code, version=version, request_id=request_id), timeout)

    async def create_terminal(
        self,
        *,
        terminal_device_id: str,
        venue_code: str,
        display_name: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CreateTerminalResponse:
        """Creates a terminal at a venue. Reasons: ALREADY_EXISTS, NOT_FOUND, REVOKED (the venue or its
        merchant), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_CREATE_TERMINAL, admin.CreateTerminalRequest(terminal_device_id=terminal_device_id, venue_code=venue_code, display_name=display_name, request_id=request_id), timeout)

    async def get_terminal(
        self,
        *,
        terminal_device_id: str,
        timeout: float | None = None,
    ) -> admin.GetTerminalResponse:
        """Reads a terminal. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_TERMINAL, admin.GetTerminalRequest(terminal_device_id=terminal_device_id), timeout)

    async def list_terminals(
        self,
        *,
        venue_code: str = "",
        state: admin.ResourceState.ValueType = admin.RESOURCE_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListTerminalsResponse:
        """Lists terminals by page. Reasons: PAGE_TOKEN_INVALID."""
        return await self._calls.unary(_LIST_TERMINALS, admin.ListTerminalsRequest(venue_code=venue_code, state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_terminals(
        self,
        *,
        venue_code: str = "",
        state: admin.ResourceState.ValueType = admin.RESOURCE_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.Terminal]:
        """All `terminals` of list_terminals, page after page."""
        return self._calls.pages(_LIST_TERMINALS, admin.ListTerminalsRequest(venue_code=venue_code, state=state, page_size=page_size), timeout)

    async def update_terminal(
        self,
        *,
        terminal_device_id: str,
        update_mask: FieldMask,
        display_name: str = "",
        venue_code: str = "",
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.UpdateTerminalResponse:
        """Changes a terminal, or moves it to another venue. Reasons: NOT_FOUND, REVOKED,
        VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UPDATE_TERMINAL, admin.UpdateTerminalRequest(terminal_device_id=terminal_device_id, update_mask=update_mask, display_name=display_name, venue_code=venue_code, request_id=request_id, version=version), timeout)

    async def revoke_terminal(
        self,
        *,
        terminal_device_id: str,
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.RevokeTerminalResponse:
        """Shuts a terminal out for good, within a second: log-ins bound to it end. Reasons: NOT_FOUND,
        VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_REVOKE_TERMINAL, admin.RevokeTerminalRequest(terminal_device_id=terminal_device_id, request_id=request_id, version=version), timeout)

    async def archive_terminal(
        self,
        *,
        terminal_device_id: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchiveTerminalResponse:
        """Shuts a terminal out until it is taken back, within a second: log-ins bound to it end. One
        that was stolen is revoked instead. A repeat does no harm. Reasons: NOT_FOUND, REVOKED,
        VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ARCHIVE_TERMINAL, admin.ArchiveTerminalRequest(terminal_device_id=terminal_device_id, version=version, request_id=request_id), timeout)

    async def unarchive_terminal(
        self,
        *,
        terminal_device_id: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveTerminalResponse:
        """Takes an archived terminal back. A repeat does no harm. Reasons: NOT_FOUND, REVOKED and
        ARCHIVED (of its venue and merchant, too), VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UNARCHIVE_TERMINAL, admin.UnarchiveTerminalRequest(terminal_device_id=terminal_device_id, version=version, request_id=request_id), timeout)

    async def create_operator(
        self,
        *,
        username: str,
        role: admin.OperatorRole.ValueType,
        merchant_code: str,
        display_name: str,
        password: str,
        venue_codes: Iterable[str] = (),
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CreateOperatorResponse:
        """Creates an operator's or supervisor's account. Reasons: ALREADY_EXISTS, NOT_FOUND, REVOKED
        (the merchant or a venue), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_CREATE_OPERATOR, admin.CreateOperatorRequest(username=username, role=role, merchant_code=merchant_code, display_name=display_name, password=password, venue_codes=venue_codes, request_id=request_id), timeout)

    async def get_operator(
        self,
        *,
        username: str,
        timeout: float | None = None,
    ) -> admin.GetOperatorResponse:
        """Reads an operator. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_OPERATOR, admin.GetOperatorRequest(username=username), timeout)

    async def list_operators(
        self,
        *,
        merchant_code: str = "",
        role: admin.OperatorRole.ValueType = admin.OPERATOR_ROLE_UNSPECIFIED,
        state: admin.ResourceState.ValueType = admin.RESOURCE_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListOperatorsResponse:
        """Lists operators by page. Reasons: PAGE_TOKEN_INVALID."""
        return await self._calls.unary(_LIST_OPERATORS, admin.ListOperatorsRequest(merchant_code=merchant_code, role=role, state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_operators(
        self,
        *,
        merchant_code: str = "",
        role: admin.OperatorRole.ValueType = admin.OPERATOR_ROLE_UNSPECIFIED,
        state: admin.ResourceState.ValueType = admin.RESOURCE_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.Operator]:
        """All `operators` of list_operators, page after page."""
        return self._calls.pages(_LIST_OPERATORS, admin.ListOperatorsRequest(merchant_code=merchant_code, role=role, state=state, page_size=page_size), timeout)

    async def update_operator(
        self,
        *,
        username: str,
        update_mask: FieldMask,
        role: admin.OperatorRole.ValueType = admin.OPERATOR_ROLE_UNSPECIFIED,
        venue_codes: Iterable[str] = (),
        display_name: str = "",
        password: str = "",
        locked: bool | None = None,
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.UpdateOperatorResponse:
        """Changes an operator: role, venues, name, password, lock-out. Reasons: NOT_FOUND, REVOKED,
        VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UPDATE_OPERATOR, admin.UpdateOperatorRequest(username=username, update_mask=update_mask, role=role, venue_codes=venue_codes, display_name=display_name, password=password, locked=locked, request_id=request_id, version=version), timeout)

    async def revoke_operator(
        self,
        *,
        username: str,
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.RevokeOperatorResponse:
        """Shuts an operator out for good, within a second. Reasons: NOT_FOUND, VERSION_MISMATCH,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_REVOKE_OPERATOR, admin.RevokeOperatorRequest(username=username, request_id=request_id, version=version), timeout)

    async def archive_operator(
        self,
        *,
        username: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchiveOperatorResponse:
        """Shuts an operator out until he is taken back, within a second: his log-ins and sessions end.
        What he redeemed stays. A repeat does no harm. Reasons: NOT_FOUND, REVOKED,
        VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ARCHIVE_OPERATOR, admin.ArchiveOperatorRequest(username=username, version=version, request_id=request_id), timeout)

    async def unarchive_operator(
        self,
        *,
        username: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveOperatorResponse:
        """Takes an archived operator back, who logs in again. A repeat does no harm. Reasons:
        NOT_FOUND, REVOKED and ARCHIVED (of the merchant, too), VERSION_MISMATCH,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UNARCHIVE_OPERATOR, admin.UnarchiveOperatorRequest(username=username, version=version, request_id=request_id), timeout)

    async def enrol_second_factor(
        self,
        *,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.EnrolSecondFactorResponse:
        """Begins a second factor of the caller's account: one-time codes by the clock (TOTP, RFC
        6238), for any authenticator. It counts once a code is confirmed; until then another call
        makes another secret. Reasons: ALREADY_EXISTS (one is confirmed; another administrator
        resets it), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ENROL_SECOND_FACTOR, admin.EnrolSecondFactorRequest(request_id=request_id), timeout)

    async def confirm_second_factor(
        self,
        *,
        code: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ConfirmSecondFactorResponse:
        """Confirms the second factor of the caller's account with a first code: from now on each log-
        in needs a code, and each code is taken once. Reasons: NOT_FOUND (none was begun),
        ALREADY_EXISTS, INVALID_FIELD (the code), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_CONFIRM_SECOND_FACTOR, admin.ConfirmSecondFactorRequest(code=code, request_id=request_id), timeout)

    async def renew_recovery_codes(
        self,
        *,
        code: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.RenewRecoveryCodesResponse:
        """Makes new recovery codes of the caller's account, and refuses those of before at once. It
        takes a code of the authenticator; wrong ones count as failed log-ins do. Reasons: NOT_FOUND
        (no second factor is confirmed), INVALID_FIELD (the code), LOGIN_LOCKED,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_RENEW_RECOVERY_CODES, admin.RenewRecoveryCodesRequest(code=code, request_id=request_id), timeout)

    async def reset_second_factor(
        self,
        *,
        username: str,
        comment: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ResetSecondFactorResponse:
        """Takes the second factor of another administrator away, whose telephone is lost, and ends the
        log-ins; a repeat does no harm. Reasons: NOT_FOUND, OWN_ACCOUNT, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_RESET_SECOND_FACTOR, admin.ResetSecondFactorRequest(username=username, comment=comment, request_id=request_id), timeout)

    async def create_administrator(
        self,
        *,
        username: str,
        display_name: str,
        password: str,
        request_id: str = "",
        roles: Iterable[common.AdminRole.ValueType] = (),
        timeout: float | None = None,
    ) -> admin.CreateAdministratorResponse:
        """Creates another administrator's account, with the roles that say what it may call. Reasons:
        ALREADY_EXISTS, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_CREATE_ADMINISTRATOR, admin.CreateAdministratorRequest(username=username, display_name=display_name, password=password, request_id=request_id, roles=roles), timeout)

    async def get_administrator(
        self,
        *,
        username: str,
        timeout: float | None = None,
    ) -> admin.GetAdministratorResponse:
        """Reads an administrator. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_ADMINISTRATOR, admin.GetAdministratorRequest(username=username), timeout)

    async def list_administrators(
        self,
        *,
        state: admin.ResourceState.ValueType = admin.RESOURCE_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListAdministratorsResponse:
        """Lists administrators by page. Reasons: PAGE_TOKEN_INVALID."""
        return await self._calls.unary(_LIST_ADMINISTRATORS, admin.ListAdministratorsRequest(state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_administrators(
        self,
        *,
        state: admin.ResourceState.ValueType = admin.RESOURCE_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.Administrator]:
        """All `administrators` of list_administrators, page after page."""
        return self._calls.pages(_LIST_ADMINISTRATORS, admin.ListAdministratorsRequest(state=state, page_size=page_size), timeout)

    async def update_administrator(
        self,
        *,
        username: str,
        update_mask: FieldMask,
        roles: Iterable[common.AdminRole.ValueType] = (),
        display_name: str = "",
        password: str = "",
        locked: bool | None = None,
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.UpdateAdministratorResponse:
        """Changes an administrator: roles, name, password, lock-out. Other roles count within a
        second, in every process and for log-ins of before. Nobody changes his own roles, and the
        last account with ADMIN_ROLE_ADMINISTRATOR keeps that role. Reasons: NOT_FOUND, REVOKED,
        OWN_ACCOUNT, LAST_ADMINISTRATOR, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UPDATE_ADMINISTRATOR, admin.UpdateAdministratorRequest(username=username, update_mask=update_mask, roles=roles, display_name=display_name, password=password, locked=locked, request_id=request_id, version=version), timeout)

    async def revoke_administrator(
        self,
        *,
        username: str,
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.RevokeAdministratorResponse:
        """Shuts an administrator out for good, within a second; never the last one with
        ADMIN_ROLE_ADMINISTRATOR. Reasons: NOT_FOUND, LAST_ADMINISTRATOR, VERSION_MISMATCH,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_REVOKE_ADMINISTRATOR, admin.RevokeAdministratorRequest(username=username, request_id=request_id, version=version), timeout)

    async def create_product(
        self,
        *,
        product_id: int,
        kind: admin.ProductKind.ValueType,
        display_name_en: str,
        display_name_zh: str,
        currency_code: str,
        fares: Iterable[admin.Fare],
        validity_days: int,
        entitlements: Iterable[admin.ProductEntitlement] = (),
        blackout_dates: Iterable[str] = (),
        request_id: str = "",
        tiers: Iterable[admin.PartyTier] = (),
        policy: admin.RefundPolicy | None = None,
        max_per_traveller: int = 0,
        city_code: str = "",
        calendar_code: str = "",
        boarding_minutes: int = 0,
        unaccompanied_types: Iterable[tickets.CustomerType.ValueType] = (),
        age_limits: Iterable[admin.AgeLimit] = (),
        entitlement_template_codes: Iterable[str] = (),
        timeout: float | None = None,
    ) -> admin.CreateProductResponse:
        """Creates a product. It is sold where it has an allotment. Reasons: ALREADY_EXISTS,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_CREATE_PRODUCT, admin.CreateProductRequest(product_id=product_id, kind=kind, display_name_en=display_name_en, display_name_zh=display_name_zh, currency_code=currency_code, fares=fares, validity_days=validity_days, entitlements=entitlements, blackout_dates=blackout_dates, request_id=request_id, tiers=tiers, policy=policy, max_per_traveller=max_per_traveller, city_code=city_code, calendar_code=calendar_code, boarding_minutes=boarding_minutes, unaccompanied_types=unaccompanied_types, age_limits=age_limits, entitlement_template_codes=entitlement_template_codes), timeout)

    async def get_product(
        self,
        *,
        product_id: int,
        timeout: float | None = None,
    ) -> admin.GetProductResponse:
        """Reads a product. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_PRODUCT, admin.GetProductRequest(product_id=product_id), timeout)

    async def list_products(
        self,
        *,
        kind: admin.ProductKind.ValueType = admin.PRODUCT_KIND_UNSPECIFIED,
        state: admin.ProductState.ValueType = admin.PRODUCT_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListProductsResponse:
        """Lists products by page. Reasons: PAGE_TOKEN_INVALID."""
        return await self._calls.unary(_LIST_PRODUCTS, admin.ListProductsRequest(kind=kind, state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_products(
        self,
        *,
        kind: admin.ProductKind.ValueType = admin.PRODUCT_KIND_UNSPECIFIED,
        state: admin.ProductState.ValueType = admin.PRODUCT_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.Product]:
        """All `products` of list_products, page after page."""
        return self._calls.pages(_LIST_PRODUCTS, admin.ListProductsRequest(kind=kind, state=state, page_size=page_size), timeout)

    async def update_product(
        self,
        *,
        product_id: int,
        update_mask: FieldMask,
        display_name_en: str = "",
        display_name_zh: str = "",
        fares: Iterable[admin.Fare] = (),
        entitlements: Iterable[admin.ProductEntitlement] = (),
        validity_days: int | None = None,
        blackout_dates: Iterable[str] = (),
        request_id: str = "",
        tiers: Iterable[admin.PartyTier] = (),
        policy: admin.RefundPolicy | None = None,
        max_per_traveller: int | None = None,
        city_code: str = "",
        calendar_code: str = "",
        boarding_minutes: int | None = None,
        unaccompanied_types: Iterable[tickets.CustomerType.ValueType] = (),
        age_limits: Iterable[admin.AgeLimit] = (),
        version: int = 0,
        entitlement_template_codes: Iterable[str] = (),
        timeout: float | None = None,
    ) -> admin.UpdateProductResponse:
        """Changes a product for what is sold from now on; tickets keep the snapshot they were sold
        under. Reasons: NOT_FOUND, PRODUCT_NOT_ON_SALE (archived), VERSION_MISMATCH,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UPDATE_PRODUCT, admin.UpdateProductRequest(product_id=product_id, update_mask=update_mask, display_name_en=display_name_en, display_name_zh=display_name_zh, fares=fares, entitlements=entitlements, validity_days=validity_days, blackout_dates=blackout_dates, request_id=request_id, tiers=tiers, policy=policy, max_per_traveller=max_per_traveller, city_code=city_code, calendar_code=calendar_code, boarding_minutes=boarding_minutes, unaccompanied_types=unaccompanied_types, age_limits=age_limits, version=version, entitlement_template_codes=entitlement_template_codes), timeout)

    async def archive_product(
        self,
        *,
        product_id: int,
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.ArchiveProductResponse:
        """Takes a product off sale for good; tickets sold before stay valid. Reasons: NOT_FOUND,
        VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ARCHIVE_PRODUCT, admin.ArchiveProductRequest(product_id=product_id, request_id=request_id, version=version), timeout)

    async def create_allotment(
        self,
        *,
        product_id: int,
        channel: str,
        total: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CreateAllotmentResponse:
        """Gives a channel stock of a product. Reasons: ALREADY_EXISTS, NOT_FOUND, REVOKED (the
        partner), PRODUCT_NOT_ON_SALE (archived), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_CREATE_ALLOTMENT, admin.CreateAllotmentRequest(product_id=product_id, channel=channel, total=total, request_id=request_id), timeout)

    async def get_allotment(
        self,
        *,
        product_id: int,
        channel: str,
        departure_id: str = "",
        fare_class: str = "",
        use_date: str = "",
        fleet_id: int = 0,
        timeout: float | None = None,
    ) -> admin.GetAllotmentResponse:
        """Reads a channel's stock of a product, now, from the database. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_ALLOTMENT, admin.GetAllotmentRequest(product_id=product_id, channel=channel, departure_id=departure_id, fare_class=fare_class, use_date=use_date, fleet_id=fleet_id), timeout)

    async def list_allotments(
        self,
        *,
        product_id: int = 0,
        channel: str = "",
        page_size: int = 0,
        page_token: str = "",
        departure_id: str = "",
        use_date: str = "",
        fleet_id: int = 0,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> admin.ListAllotmentsResponse:
        """Lists the stock of products and channels by page. Reasons: NOT_FOUND (the channel),
        PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_ALLOTMENTS, admin.ListAllotmentsRequest(product_id=product_id, channel=channel, page_size=page_size, page_token=page_token, departure_id=departure_id, use_date=use_date, fleet_id=fleet_id, state=state), timeout)

    def iter_allotments(
        self,
        *,
        product_id: int = 0,
        channel: str = "",
        page_size: int = 0,
        departure_id: str = "",
        use_date: str = "",
        fleet_id: int = 0,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.Allotment]:
        """All `allotments` of list_allotments, page after page."""
        return self._calls.pages(_LIST_ALLOTMENTS, admin.ListAllotmentsRequest(product_id=product_id, channel=channel, page_size=page_size, departure_id=departure_id, use_date=use_date, fleet_id=fleet_id, state=state), timeout)

    async def update_allotment(
        self,
        *,
        product_id: int,
        channel: str,
        update_mask: FieldMask,
        total: int | None = None,
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.UpdateAllotmentResponse:
        """Sets the total of an allotment. Reasons: NOT_FOUND, STOCK_IN_USE, VERSION_MISMATCH,
        ARCHIVED, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UPDATE_ALLOTMENT, admin.UpdateAllotmentRequest(product_id=product_id, channel=channel, update_mask=update_mask, total=total, request_id=request_id, version=version), timeout)

    async def move_allotment(
        self,
        *,
        product_id: int,
        from_channel: str,
        to_channel: str,
        quantity: int,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.MoveAllotmentResponse:
        """Moves stock of a product from one channel to another, all or nothing; only what is neither
        held nor sold can move. Reasons: NOT_FOUND, STOCK_IN_USE, REVOKED (the partner whose stock
        would grow), ARCHIVED, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_MOVE_ALLOTMENT, admin.MoveAllotmentRequest(product_id=product_id, from_channel=from_channel, to_channel=to_channel, quantity=quantity, request_id=request_id), timeout)

    async def adjust_allotment(
        self,
        *,
        product_id: int,
        from_channel: str,
        to_channel: str,
        quantity: int,
        departure_id: str = "",
        fare_class: str = "",
        use_date: str = "",
        comment: str = "",
        request_id: str = "",
        fleet_id: int = 0,
        timeout: float | None = None,
    ) -> admin.AdjustAllotmentResponse:
        """Moves stock from one channel to another, all or nothing: of a product, or of a class of one
        departure or one day of use of it; only what is neither held nor sold can move. Stock of the
        channel that grows is made if there is none. Audited with both sides before and after;
        partners hear of it (`allotment.adjusted`). Reasons: NOT_FOUND, STOCK_IN_USE, REVOKED (the
        partner whose stock would grow), DEPARTURE_CANCELLED, INVALID_FIELD (also for a departure
        that has left, and for a partner's stock of a day that is over), ARCHIVED,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ADJUST_ALLOTMENT, admin.AdjustAllotmentRequest(product_id=product_id, from_channel=from_channel, to_channel=to_channel, quantity=quantity, departure_id=departure_id, fare_class=fare_class, use_date=use_date, comment=comment, request_id=request_id, fleet_id=fleet_id), timeout)

    async def set_allotment_terms(
        self,
        *,
        product_id: int,
        channel: str,
        departure_id: str = "",
        fare_class: str = "",
        use_date: str = "",
        hold_seconds: int | None = None,
        max_hold_seconds: int | None = None,
        release_days: int | None = None,
        request_id: str = "",
        fleet_id: int = 0,
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.SetAllotmentTermsResponse:
        """Says how long reservations of an allotment last, and how many days before its departure or
        day what is free of it returns to DIRECT. Reasons: NOT_FOUND, VERSION_MISMATCH, ARCHIVED,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_SET_ALLOTMENT_TERMS, admin.SetAllotmentTermsRequest(product_id=product_id, channel=channel, departure_id=departure_id, fare_class=fare_class, use_date=use_date, hold_seconds=hold_seconds, max_hold_seconds=max_hold_seconds, release_days=release_days, request_id=request_id, fleet_id=fleet_id, version=version), timeout)

    async def archive_allotment(
        self,
        *,
        product_id: int,
        channel: str,
        departure_id: str = "",
        fare_class: str = "",
        use_date: str = "",
        fleet_id: int = 0,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchiveAllotmentResponse:
        """Has nothing taken of a partner's allotment any more, within a second in every process. What
        is sold of it stays valid, and what is reserved may still be sold. What is free returns to
        DIRECT at once, and what becomes free later within a minute or so: where DIRECT has stock of
        the same, and the departure or day is to come; else it stays, and nobody can take it. The
        partner hears of what it loses (`allotment.adjusted`). Our own channel's is not archived:
        archive the product, cancel the departure, or set its total. A repeat does no harm. Reasons:
        NOT_FOUND, VERSION_MISMATCH, INVALID_FIELD (DIRECT, a sandbox), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ARCHIVE_ALLOTMENT, admin.ArchiveAllotmentRequest(product_id=product_id, channel=channel, departure_id=departure_id, fare_class=fare_class, use_date=use_date, fleet_id=fleet_id, version=version, request_id=request_id), timeout)

    async def unarchive_allotment(
        self,
        *,
        product_id: int,
        channel: str,
        departure_id: str = "",
        fare_class: str = "",
        use_date: str = "",
        fleet_id: int = 0,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveAllotmentResponse:
        """Takes an archived allotment back, with what is left in it: what has returned to DIRECT stays
        there until AdjustAllotment moves some again. A repeat does no harm. Reasons: NOT_FOUND,
        VERSION_MISMATCH, REVOKED and ARCHIVED (the partner), INVALID_FIELD (DIRECT, a sandbox),
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UNARCHIVE_ALLOTMENT, admin.UnarchiveAllotmentRequest(product_id=product_id, channel=channel, departure_id=departure_id, fare_class=fare_class, use_date=use_date, fleet_id=fleet_id, version=version, request_id=request_id), timeout)

    async def block_ticket(
        self,
        *,
        ticket_code: str,
        comment: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.BlockTicketResponse:
        """Has a ticket, of whatever partner, refused at every gate as TICKET_BLOCKED, until it is
        unblocked. A blocked ticket is neither given back nor changed. A block goes along with a
        change: one that is set while the ticket is CHANGING, or later, is also that of the ticket
        it was changed into. Blocking one that is blocked does no harm. Reasons: NOT_FOUND,
        CONFLICT, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_BLOCK_TICKET, admin.BlockTicketRequest(ticket_code=ticket_code, comment=comment, request_id=request_id), timeout)

    async def unblock_ticket(
        self,
        *,
        ticket_code: str,
        comment: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnblockTicketResponse:
        """Lifts the block of a ticket, and of what it was changed into. Reasons: NOT_FOUND, CONFLICT,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UNBLOCK_TICKET, admin.UnblockTicketRequest(ticket_code=ticket_code, comment=comment, request_id=request_id), timeout)

    async def search_orders(
        self,
        *,
        search: admin.OrderSearch | None = None,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.SearchOrdersResponse:
        """Searches for orders of all channels by code, name, document or telephone number, the newest
        first. What was searched for is audited by its kind, not by its content. An order that was
        made before this release may take minutes to be found after the upgrade. Auditors search by
        code and time alone. Reasons: INVALID_FIELD (too short, or fits too many orders),
        ROLE_NOT_ALLOWED, PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_SEARCH_ORDERS, admin.SearchOrdersRequest(search=search, page_size=page_size, page_token=page_token), timeout)

    def iter_search_orders(
        self,
        *,
        search: admin.OrderSearch | None = None,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.OrderOverview]:
        """All `orders` of search_orders, page after page."""
        return self._calls.pages(_SEARCH_ORDERS, admin.SearchOrdersRequest(search=search, page_size=page_size), timeout)

    async def get_order(
        self,
        *,
        order_code: str,
        timeout: float | None = None,
    ) -> admin.GetOrderResponse:
        """Reads an order of any channel, with its tickets and what happened to it; audited. Auditors
        see no personal data. Reasons: NOT_FOUND.
        """
        return await self._calls.unary(_GET_ORDER, admin.GetOrderRequest(order_code=order_code), timeout)

    async def search_tickets(
        self,
        *,
        search: admin.OrderSearch | None = None,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.SearchTicketsResponse:
        """Searches for tickets of all channels by what SearchOrders takes; audited as that is.
        Reasons: INVALID_FIELD (too short, or fits too many orders), ROLE_NOT_ALLOWED,
        PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_SEARCH_TICKETS, admin.SearchTicketsRequest(search=search, page_size=page_size, page_token=page_token), timeout)

    def iter_search_tickets(
        self,
        *,
        search: admin.OrderSearch | None = None,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.TicketOverview]:
        """All `tickets` of search_tickets, page after page."""
        return self._calls.pages(_SEARCH_TICKETS, admin.SearchTicketsRequest(search=search, page_size=page_size), timeout)

    async def get_ticket(
        self,
        *,
        ticket_code: str,
        timeout: float | None = None,
    ) -> admin.GetTicketResponse:
        """Reads a ticket of any channel, sold or not, with what happened to it; audited. Auditors see
        no personal data. Reasons: NOT_FOUND.
        """
        return await self._calls.unary(_GET_TICKET, admin.GetTicketRequest(ticket_code=ticket_code), timeout)

    async def list_travellers(
        self,
        *,
        state: admin.TravellerState.ValueType = admin.TRAVELLER_STATE_UNSPECIFIED,
        openid: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListTravellersResponse:
        """Lists travellers by page. Reasons: PAGE_TOKEN_INVALID."""
        return await self._calls.unary(_LIST_TRAVELLERS, admin.ListTravellersRequest(state=state, openid=openid, page_size=page_size, page_token=page_token), timeout)

    def iter_travellers(
        self,
        *,
        state: admin.TravellerState.ValueType = admin.TRAVELLER_STATE_UNSPECIFIED,
        openid: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.Traveller]:
        """All `travellers` of list_travellers, page after page."""
        return self._calls.pages(_LIST_TRAVELLERS, admin.ListTravellersRequest(state=state, openid=openid, page_size=page_size), timeout)

    async def block_traveller(
        self,
        *,
        traveller_id: int,
        comment: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.BlockTravellerResponse:
        """Shuts a traveller out until unblocked: no log-in from now on, and no call within a second.
        Orders and tickets stay as they are. Blocking one who is blocked does no harm. Reasons:
        NOT_FOUND, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_BLOCK_TRAVELLER, admin.BlockTravellerRequest(traveller_id=traveller_id, comment=comment, request_id=request_id), timeout)

    async def unblock_traveller(
        self,
        *,
        traveller_id: int,
        comment: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnblockTravellerResponse:
        """Lifts the block of a traveller; access tokens of before are good again for what is left of
        their life. Reasons: NOT_FOUND, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UNBLOCK_TRAVELLER, admin.UnblockTravellerRequest(traveller_id=traveller_id, comment=comment, request_id=request_id), timeout)

    async def list_refunds(
        self,
        *,
        state: ticketing.RefundState.ValueType = ticketing.REFUND_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListRefundsResponse:
        """Lists refunds, newest first, by page; the ABNORMAL ones are those WeChat cannot give back by
        itself. Reasons: PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_REFUNDS, admin.ListRefundsRequest(state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_refunds(
        self,
        *,
        state: ticketing.RefundState.ValueType = ticketing.REFUND_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[ticketing.Refund]:
        """All `refunds` of list_refunds, page after page."""
        return self._calls.pages(_LIST_REFUNDS, admin.ListRefundsRequest(state=state, page_size=page_size), timeout)

    async def get_refund(
        self,
        *,
        refund_id: str,
        timeout: float | None = None,
    ) -> admin.GetRefundResponse:
        """Reads a refund with its parts. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_REFUND, admin.GetRefundRequest(refund_id=refund_id), timeout)

    async def retry_refund(
        self,
        *,
        refund_id: str,
        comment: str = "",
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.RetryRefundResponse:
        """Asks WeChat again for what an ABNORMAL refund has not given back. It is given back once,
        however often it is asked for. Reasons: NOT_FOUND, REFUND_REFUSED (NOT_ABNORMAL;
        REFUNDS_USED_UP: WeChat has closed the number, and takes on no other of the payment),
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_RETRY_REFUND, admin.RetryRefundRequest(refund_id=refund_id, comment=comment, request_id=request_id), timeout)

    async def apply_abnormal_refund(
        self,
        *,
        refund_id: str,
        account: admin.AbnormalRefundAccount.ValueType,
        out_refund_no: str = "",
        bank_type: str = "",
        bank_account: str = "",
        real_name: str = "",
        comment: str = "",
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ApplyAbnormalRefundResponse:
        """Has WeChat send a part of a refund that is ABNORMAL at WeChat to another account: a debit
        card of the traveller, or our own account, from where the traveller is yet to get it. Safe
        to repeat: it is given back once. When the answer is lost or WeChat does not answer, the
        part is PROCESSING and WeChat is asked about it. The card's number and its holder's name are
        passed on encrypted, and neither stored nor logged. Reasons: NOT_FOUND, INVALID_FIELD,
        REFUND_REFUSED (NOT_ABNORMAL; SEVERAL_PARTS: name one; WECHAT_REFUSED: the account cannot
        be, or WeChat is at it), PAYMENT_PROVIDER_UNAVAILABLE, PAYMENTS_NOT_CONFIGURED,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_APPLY_ABNORMAL_REFUND, admin.ApplyAbnormalRefundRequest(refund_id=refund_id, account=account, out_refund_no=out_refund_no, bank_type=bank_type, bank_account=bank_account, real_name=real_name, comment=comment, request_id=request_id), timeout)

    async def settle_refund(
        self,
        *,
        refund_id: str,
        state: ticketing.RefundState.ValueType,
        comment: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.SettleRefundResponse:
        """Settles by hand the parts of a refund that are ABNORMAL, and only those. What became of a
        part that was given up (REFUND_GIVEN_UP) is not known: RetryRefund, which asks under the
        same number, gives nothing twice. Reasons: NOT_FOUND, REFUND_REFUSED (NOT_ABNORMAL;
        PART_PROCESSING: WeChat is at another part, wait for that; PART_SUCCEEDED: to be CLOSED, and
        a part of it was given back), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_SETTLE_REFUND, admin.SettleRefundRequest(refund_id=refund_id, state=state, comment=comment, request_id=request_id), timeout)

    async def list_payment_incidents(
        self,
        *,
        include_resolved: bool = False,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListPaymentIncidentsResponse:
        """Lists what did not fit about payments, refunds and notices, newest first, by page. Reasons:
        PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_PAYMENT_INCIDENTS, admin.ListPaymentIncidentsRequest(include_resolved=include_resolved, page_size=page_size, page_token=page_token), timeout)

    def iter_payment_incidents(
        self,
        *,
        include_resolved: bool = False,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.PaymentIncident]:
        """All `payment_incidents` of list_payment_incidents, page after page."""
        return self._calls.pages(_LIST_PAYMENT_INCIDENTS, admin.ListPaymentIncidentsRequest(include_resolved=include_resolved, page_size=page_size), timeout)

    async def resolve_payment_incident(
        self,
        *,
        incident_id: str,
        comment: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ResolvePaymentIncidentResponse:
        """Says that an incident was seen to; a repeat does no harm. Reasons: NOT_FOUND,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_RESOLVE_PAYMENT_INCIDENT, admin.ResolvePaymentIncidentRequest(incident_id=incident_id, comment=comment, request_id=request_id), timeout)

    async def list_reconciliations(
        self,
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListReconciliationsResponse:
        """Lists the daily comparisons with WeChat's trade bill, newest first, by page. Reasons:
        PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_RECONCILIATIONS, admin.ListReconciliationsRequest(page_size=page_size, page_token=page_token), timeout)

    def iter_reconciliations(
        self,
        *,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.Reconciliation]:
        """All `reconciliations` of list_reconciliations, page after page."""
        return self._calls.pages(_LIST_RECONCILIATIONS, admin.ListReconciliationsRequest(page_size=page_size), timeout)

    async def list_reconciliation_differences(
        self,
        *,
        bill_date: str,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListReconciliationDifferencesResponse:
        """Lists what was not the same on both sides on a day. Reasons: NOT_FOUND (not compared yet),
        PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_RECONCILIATION_DIFFERENCES, admin.ListReconciliationDifferencesRequest(bill_date=bill_date, page_size=page_size, page_token=page_token), timeout)

    def iter_reconciliation_differences(
        self,
        *,
        bill_date: str,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.ReconciliationDifference]:
        """All `differences` of list_reconciliation_differences, page after page."""
        return self._calls.pages(_LIST_RECONCILIATION_DIFFERENCES, admin.ListReconciliationDifferencesRequest(bill_date=bill_date, page_size=page_size), timeout)

    async def list_dead_tasks(
        self,
        *,
        kind: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListDeadTasksResponse:
        """Lists work in the background that was given up, newest first, by page. Reasons:
        PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_DEAD_TASKS, admin.ListDeadTasksRequest(kind=kind, page_size=page_size, page_token=page_token), timeout)

    def iter_dead_tasks(
        self,
        *,
        kind: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.DeadTask]:
        """All `dead_tasks` of list_dead_tasks, page after page."""
        return self._calls.pages(_LIST_DEAD_TASKS, admin.ListDeadTasksRequest(kind=kind, page_size=page_size), timeout)

    async def replay_task(
        self,
        *,
        task_id: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ReplayTaskResponse:
        """Has work that was given up tried again, with all its attempts. Reasons: NOT_FOUND (not given
        up), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_REPLAY_TASK, admin.ReplayTaskRequest(task_id=task_id, request_id=request_id), timeout)

    async def list_jobs(
        self,
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListJobsResponse:
        """Lists what the server does by the clock: when each job ran last and runs next, how late it
        is, where it runs and who paused it; and the queues of tasks that calls leave: how many are
        open, fail, were done or given up, and how long the oldest waits. Reasons:
        PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_JOBS, admin.ListJobsRequest(page_size=page_size, page_token=page_token), timeout)

    def iter_jobs(
        self,
        *,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.Job]:
        """All `jobs` of list_jobs, page after page."""
        return self._calls.pages(_LIST_JOBS, admin.ListJobsRequest(page_size=page_size), timeout)

    async def run_job(
        self,
        *,
        job_code: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.RunJobResponse:
        """Has a job run now, whatever its cadence, also one that is paused. Of a queue it has those
        tasks tried now that wait for their next try after a failure; what is due later stays so,
        what was given up is for ReplayTask, and a paused queue stays paused. Audited. Reasons:
        NOT_FOUND, JOB_RUNNING, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_RUN_JOB, admin.RunJobRequest(job_code=job_code, request_id=request_id), timeout)

    async def pause_job(
        self,
        *,
        job_code: str,
        comment: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.PauseJobResponse:
        """Pauses a job in every process, within some seconds, until it is resumed; a run under way
        ends after the piece it is at. Of a queue no task is begun meanwhile: tasks come in and
        wait, those under way end. Of one that is paused the first pause stays. Audited with the
        comment. Reasons: NOT_FOUND, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_PAUSE_JOB, admin.PauseJobRequest(job_code=job_code, comment=comment, request_id=request_id), timeout)

    async def resume_job(
        self,
        *,
        job_code: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ResumeJobResponse:
        """Has a paused job or queue go on: it does what is due since. One that is not paused stays as
        it is. Audited. Reasons: NOT_FOUND, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_RESUME_JOB, admin.ResumeJobRequest(job_code=job_code, request_id=request_id), timeout)

    async def list_stuck(
        self,
        *,
        kind: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListStuckResponse:
        """Lists what the job `sweep-stuck` has found that does not go on by itself, and cannot finish:
        somebody has to see to it. What is found no more is not listed any longer; RunJob looks
        anew. Reasons: PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_STUCK, admin.ListStuckRequest(kind=kind, page_size=page_size, page_token=page_token), timeout)

    def iter_stuck(
        self,
        *,
        kind: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.Stuck]:
        """All `stuck` of list_stuck, page after page."""
        return self._calls.pages(_LIST_STUCK, admin.ListStuckRequest(kind=kind, page_size=page_size), timeout)

    async def list_job_runs(
        self,
        *,
        job_code: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListJobRunsResponse:
        """Lists runs of jobs that ended, newest first, by page, as long as they are kept. A queue has
        no runs. Reasons: NOT_FOUND, INVALID_FIELD (a queue), PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_JOB_RUNS, admin.ListJobRunsRequest(job_code=job_code, page_size=page_size, page_token=page_token), timeout)

    def iter_job_runs(
        self,
        *,
        job_code: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.JobRun]:
        """All `job_runs` of list_job_runs, page after page."""
        return self._calls.pages(_LIST_JOB_RUNS, admin.ListJobRunsRequest(job_code=job_code, page_size=page_size), timeout)

    async def list_routes(
        self,
        *,
        page_size: int = 0,
        page_token: str = "",
        product_id: int = 0,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> admin.ListRoutesResponse:
        """Lists routes with their fares by page. Reasons: PAGE_TOKEN_INVALID."""
        return await self._calls.unary(_LIST_ROUTES, admin.ListRoutesRequest(page_size=page_size, page_token=page_token, product_id=product_id, state=state), timeout)

    def iter_routes(
        self,
        *,
        page_size: int = 0,
        product_id: int = 0,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.Route]:
        """All `routes` of list_routes, page after page."""
        return self._calls.pages(_LIST_ROUTES, admin.ListRoutesRequest(page_size=page_size, product_id=product_id, state=state), timeout)

    async def set_route_fares(
        self,
        *,
        route_id: int,
        fares: Iterable[admin.RouteFare] = (),
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.SetRouteFaresResponse:
        """Sets the fares of a route; orders and tickets keep theirs. Searches show it within a second.
        Reasons: NOT_FOUND, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_SET_ROUTE_FARES, admin.SetRouteFaresRequest(route_id=route_id, fares=fares, request_id=request_id, version=version), timeout)

    async def list_departures(
        self,
        *,
        route_id: int = 0,
        travel_date: str = "",
        page_size: int = 0,
        page_token: str = "",
        timetable_id: int = 0,
        state: admin.DepartureState.ValueType = admin.DEPARTURE_STATE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> admin.ListDeparturesResponse:
        """Lists departures with our own seats by page. Reasons: PAGE_TOKEN_INVALID."""
        return await self._calls.unary(_LIST_DEPARTURES, admin.ListDeparturesRequest(route_id=route_id, travel_date=travel_date, page_size=page_size, page_token=page_token, timetable_id=timetable_id, state=state), timeout)

    def iter_departures(
        self,
        *,
        route_id: int = 0,
        travel_date: str = "",
        page_size: int = 0,
        timetable_id: int = 0,
        state: admin.DepartureState.ValueType = admin.DEPARTURE_STATE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.Departure]:
        """All `departures` of list_departures, page after page."""
        return self._calls.pages(_LIST_DEPARTURES, admin.ListDeparturesRequest(route_id=route_id, travel_date=travel_date, page_size=page_size, timetable_id=timetable_id, state=state), timeout)

    async def get_departure(
        self,
        *,
        departure_id: str,
        timeout: float | None = None,
    ) -> admin.GetDepartureResponse:
        """Reads a departure with our own seats. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_DEPARTURE, admin.GetDepartureRequest(departure_id=departure_id), timeout)

    async def cancel_departure(
        self,
        *,
        departure_id: str,
        comment: str,
        refunds: admin.DepartureRefunds.ValueType = admin.DEPARTURE_REFUNDS_UNSPECIFIED,
        request_id: str = "",
        waiver_code: str = "",
        preview_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.CancelDepartureResponse:
        """Cancels a departure, for good. It has no versions as what sells has: it was sold to people
        who are refunded and notified, so it is previewed by PreviewDisruption, whose `preview_id`
        is the version check. From then on nothing is sold of it, in every process; searches show it
        within a second. Orders that wait for payment are cancelled, their payments closed at
        WeChat, and money that comes anyway goes back whole. Sold tickets are refused at the gate as
        DEPARTURE_CANCELLED, and what is unused of them is refunded whole and without a fee, by
        itself: at once, or when the departure would have left, so that the traveller may ask for
        the refund or a free change before. Tickets that are blocked follow when they are unblocked;
        those used, boarded with, or EXPIRED before stay; a refund that was asked for before keeps
        its amount. Travellers are notified and read `departure.cancelled` in the events of their
        orders. What became of each ticket is in the report (GetDisruption). It is refused as
        DEPARTURE_OVER when tickets of it are EXPIRED, which is final, and none is left that it
        would give back. Audited with the comment. Reasons: NOT_FOUND, DEPARTURE_OVER,
        PREVIEW_OUTDATED, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_CANCEL_DEPARTURE, admin.CancelDepartureRequest(departure_id=departure_id, comment=comment, refunds=refunds, request_id=request_id, waiver_code=waiver_code, preview_id=preview_id, version=version), timeout)

    async def move_departure(
        self,
        *,
        departure_id: str,
        departure_time: Moment,
        comment: str,
        request_id: str = "",
        waiver_code: str = "",
        preview_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.MoveDepartureResponse:
        """Has a departure leave at another time, also on another day. The times of sold tickets follow
        within seconds, those of orders that wait for payment when they are paid; a QR that was
        issued before is good until its own time, so it is to be issued again when the departure
        moves by more than some hours. If it leaves earlier or later than it was sold for by more
        than the product's tolerance, however often it was moved in between, refund and change are
        free until it leaves. Travellers are notified and read `departure.moved` in the events of
        their orders. What became of each ticket is in the report (GetDisruption). Audited with the
        comment. Reasons: NOT_FOUND, DEPARTURE_CANCELLED, PREVIEW_OUTDATED, VERSION_MISMATCH,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_MOVE_DEPARTURE, admin.MoveDepartureRequest(departure_id=departure_id, departure_time=timestamp(departure_time), comment=comment, request_id=request_id, waiver_code=waiver_code, preview_id=preview_id, version=version), timeout)

    async def preview_disruption(
        self,
        *,
        departure_id: str,
        departure_time: Moment | None = None,
        refunds: admin.DepartureRefunds.ValueType = admin.DEPARTURE_REFUNDS_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.PreviewDisruptionResponse:
        """What it would do to cancel or move a departure: who is concerned, what goes back, which
        holds end, and where there are seats instead; worked out by the rules that the work goes by.
        Nothing is done. To carry out what was previewed, send its `preview_id` with CancelDeparture
        or MoveDeparture. Of thousands of tickets it takes seconds. Reasons: NOT_FOUND,
        DEPARTURE_CANCELLED (it is to be moved), DEPARTURE_OVER (it is to be cancelled),
        PAGE_TOKEN_INVALID, SERVER_BUSY, RANGE_TOO_LARGE.
        """
        return await self._calls.unary(_PREVIEW_DISRUPTION, admin.PreviewDisruptionRequest(departure_id=departure_id, departure_time=timestamp(departure_time), refunds=refunds, page_size=page_size, page_token=page_token), timeout)

    def iter_disruption_totals(
        self,
        *,
        departure_id: str,
        departure_time: Moment | None = None,
        refunds: admin.DepartureRefunds.ValueType = admin.DEPARTURE_REFUNDS_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.DisruptionTotal]:
        """All `totals` of preview_disruption, page after page."""
        return self._calls.pages(_PREVIEW_DISRUPTION, admin.PreviewDisruptionRequest(departure_id=departure_id, departure_time=timestamp(departure_time), refunds=refunds, page_size=page_size), timeout)

    async def list_disruptions(
        self,
        *,
        departure_id: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListDisruptionsResponse:
        """Lists what was done to departures, the newest first, by page. Reasons: PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_DISRUPTIONS, admin.ListDisruptionsRequest(departure_id=departure_id, page_size=page_size, page_token=page_token), timeout)

    def iter_disruptions(
        self,
        *,
        departure_id: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.Disruption]:
        """All `disruptions` of list_disruptions, page after page."""
        return self._calls.pages(_LIST_DISRUPTIONS, admin.ListDisruptionsRequest(departure_id=departure_id, page_size=page_size), timeout)

    async def get_disruption(
        self,
        *,
        disruption_id: str,
        timeout: float | None = None,
    ) -> admin.GetDisruptionResponse:
        """The report of a cancelled or moved departure, as it is now: how far it is, and the sums of
        its tickets, messages, partners and holds. Reasons: NOT_FOUND, SERVER_BUSY, RANGE_TOO_LARGE.
        """
        return await self._calls.unary(_GET_DISRUPTION, admin.GetDisruptionRequest(disruption_id=disruption_id), timeout)

    async def list_disruption_tickets(
        self,
        *,
        disruption_id: str,
        outcome: admin.DisruptionOutcome.ValueType = admin.DISRUPTION_OUTCOME_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListDisruptionTicketsResponse:
        """The tickets of a report, each once, by page: what became of it, and who must act. Reasons:
        NOT_FOUND, PAGE_TOKEN_INVALID, SERVER_BUSY, RANGE_TOO_LARGE.
        """
        return await self._calls.unary(_LIST_DISRUPTION_TICKETS, admin.ListDisruptionTicketsRequest(disruption_id=disruption_id, outcome=outcome, page_size=page_size, page_token=page_token), timeout)

    def iter_disruption_tickets(
        self,
        *,
        disruption_id: str,
        outcome: admin.DisruptionOutcome.ValueType = admin.DISRUPTION_OUTCOME_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.DisruptionTicket]:
        """All `tickets` of list_disruption_tickets, page after page."""
        return self._calls.pages(_LIST_DISRUPTION_TICKETS, admin.ListDisruptionTicketsRequest(disruption_id=disruption_id, outcome=outcome, page_size=page_size), timeout)

    def download_disruption(
        self,
        *,
        disruption_id: str,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.DownloadDisruptionResponse]:
        """Downloads the tickets of a report as CSV: UTF-8 with a byte order mark, amounts in minor
        units. Reasons: NOT_FOUND, SERVER_BUSY, RANGE_TOO_LARGE.
        """
        return self._calls.stream(_DOWNLOAD_DISRUPTION, admin.DownloadDisruptionRequest(disruption_id=disruption_id), timeout)

    async def list_disruption_refunds(
        self,
        *,
        disruption_id: str,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListDisruptionRefundsResponse:
        """The refunds of a report, each once, by page: what is given back of which payment, by which
        refund number, and how far that is. What of them is for its tickets is together what the
        report says. Reasons: NOT_FOUND, PAGE_TOKEN_INVALID, SERVER_BUSY, RANGE_TOO_LARGE.
        """
        return await self._calls.unary(_LIST_DISRUPTION_REFUNDS, admin.ListDisruptionRefundsRequest(disruption_id=disruption_id, page_size=page_size, page_token=page_token), timeout)

    def iter_disruption_refunds(
        self,
        *,
        disruption_id: str,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.DisruptionRefund]:
        """All `refunds` of list_disruption_refunds, page after page."""
        return self._calls.pages(_LIST_DISRUPTION_REFUNDS, admin.ListDisruptionRefundsRequest(disruption_id=disruption_id, page_size=page_size), timeout)

    async def rebook_disruption_tickets(
        self,
        *,
        disruption_id: str,
        departure_id: str,
        comment: str,
        class_code: str = "",
        ticket_codes: Iterable[str] = (),
        bulk: admin.DisruptionBulk.ValueType = admin.DISRUPTION_BULK_UNSPECIFIED,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.RebookDisruptionTicketsResponse:
        """Has tickets of a cancelled or moved departure changed to another one of the product, for
        travellers who were asked: those named, or the next that are AWAITING_CHOICE. It costs them
        nothing: what the new one is dearer by the operator bears, what it is cheaper by goes back.
        Each has an outcome of its own; each traveller is notified. A ticket that is changed or
        refunded meanwhile is refused, not changed twice. Partners' tickets are theirs to change.
        Audited with the comment. Reasons: NOT_FOUND, INVALID_FIELD, DEPARTURE_CANCELLED (of the one
        to go on), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_REBOOK_DISRUPTION_TICKETS, admin.RebookDisruptionTicketsRequest(disruption_id=disruption_id, departure_id=departure_id, comment=comment, class_code=class_code, ticket_codes=ticket_codes, bulk=bulk, request_id=request_id), timeout)

    async def refund_disruption_tickets(
        self,
        *,
        disruption_id: str,
        comment: str,
        ticket_codes: Iterable[str] = (),
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.RefundDisruptionTicketsResponse:
        """Has tickets of a cancelled or moved departure refunded, whole and without a fee, for
        travellers who were asked: those named, or the next that are AWAITING_CHOICE. To refund all
        that wait, call CancelDeparture again with refunds AT_ONCE. Each has an outcome of its own;
        each traveller is notified when the refund is over. Audited with the comment. Reasons:
        NOT_FOUND, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_REFUND_DISRUPTION_TICKETS, admin.RefundDisruptionTicketsRequest(disruption_id=disruption_id, comment=comment, ticket_codes=ticket_codes, request_id=request_id), timeout)

    async def set_departure_state(
        self,
        *,
        departure_id: str,
        state: admin.DepartureState.ValueType,
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.SetDepartureStateResponse:
        """CancelDeparture in an older form, as the product's policy says. Reasons: NOT_FOUND,
        DEPARTURE_CANCELLED (it cannot run after all), DEPARTURE_OVER, VERSION_MISMATCH,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_SET_DEPARTURE_STATE, admin.SetDepartureStateRequest(departure_id=departure_id, state=state, request_id=request_id, version=version), timeout)

    async def set_departure_stock(
        self,
        *,
        departure_id: str,
        class_code: str,
        total: int,
        request_id: str = "",
        was_total: int | None = None,
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.SetDepartureStockResponse:
        """Sets how many seats of a departure are ours to sell in a class. Reasons: NOT_FOUND,
        STOCK_IN_USE (fewer than are held and sold), VERSION_MISMATCH (not `was_total` any more),
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_SET_DEPARTURE_STOCK, admin.SetDepartureStockRequest(departure_id=departure_id, class_code=class_code, total=total, request_id=request_id, was_total=was_total, version=version), timeout)

    async def create_config_draft(
        self,
        *,
        object_type: admin.ConfigObjectType.ValueType,
        object_id: int,
        comment: str,
        base_version: int = 0,
        content: admin.ConfigContent | None = None,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CreateConfigDraftResponse:
        """Makes a draft of a product, of a route's fares or of a promotion: nothing is sold under it
        until it is published. Reasons: NOT_FOUND, PRODUCT_NOT_ON_SALE or ARCHIVED,
        CONFIG_VERSION_OUTDATED (the base is neither published nor scheduled), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_CREATE_CONFIG_DRAFT, admin.CreateConfigDraftRequest(object_type=object_type, object_id=object_id, comment=comment, base_version=base_version, content=content, request_id=request_id), timeout)

    async def update_config_draft(
        self,
        *,
        version_id: str,
        content: admin.ConfigContent | None = None,
        comment: str = "",
        request_id: str = "",
        revision: int = 0,
        timeout: float | None = None,
    ) -> admin.UpdateConfigDraftResponse:
        """Changes a draft. Reasons: NOT_FOUND, PRODUCT_NOT_ON_SALE or ARCHIVED,
        CONFIG_VERSION_STATE_REFUSES, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UPDATE_CONFIG_DRAFT, admin.UpdateConfigDraftRequest(version_id=version_id, content=content, comment=comment, request_id=request_id, revision=revision), timeout)

    async def discard_config_draft(
        self,
        *,
        version_id: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.DiscardConfigDraftResponse:
        """Discards a draft, for good; a repeat does no harm. Reasons: NOT_FOUND,
        CONFIG_VERSION_STATE_REFUSES, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_DISCARD_CONFIG_DRAFT, admin.DiscardConfigDraftRequest(version_id=version_id, request_id=request_id), timeout)

    async def get_config_version(
        self,
        *,
        version_id: str,
        timeout: float | None = None,
    ) -> admin.GetConfigVersionResponse:
        """Reads a version. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_CONFIG_VERSION, admin.GetConfigVersionRequest(version_id=version_id), timeout)

    async def list_config_versions(
        self,
        *,
        object_type: admin.ConfigObjectType.ValueType = admin.CONFIG_OBJECT_TYPE_UNSPECIFIED,
        object_id: int = 0,
        state: admin.ConfigVersionState.ValueType = admin.CONFIG_VERSION_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        change_set_id: str = "",
        timeout: float | None = None,
    ) -> admin.ListConfigVersionsResponse:
        """Lists versions by page. Reasons: PAGE_TOKEN_INVALID."""
        return await self._calls.unary(_LIST_CONFIG_VERSIONS, admin.ListConfigVersionsRequest(object_type=object_type, object_id=object_id, state=state, page_size=page_size, page_token=page_token, change_set_id=change_set_id), timeout)

    def iter_config_versions(
        self,
        *,
        object_type: admin.ConfigObjectType.ValueType = admin.CONFIG_OBJECT_TYPE_UNSPECIFIED,
        object_id: int = 0,
        state: admin.ConfigVersionState.ValueType = admin.CONFIG_VERSION_STATE_UNSPECIFIED,
        page_size: int = 0,
        change_set_id: str = "",
        timeout: float | None = None,
    ) -> AsyncIterator[admin.ConfigVersion]:
        """All `config_versions` of list_config_versions, page after page."""
        return self._calls.pages(_LIST_CONFIG_VERSIONS, admin.ListConfigVersionsRequest(object_type=object_type, object_id=object_id, state=state, page_size=page_size, change_set_id=change_set_id), timeout)

    async def preview_config_version(
        self,
        *,
        version_id: str,
        days: int = 0,
        party: Iterable[tickets.CustomerType.ValueType] = (),
        promotion_codes: Iterable[str] = (),
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.PreviewConfigVersionResponse:
        """The dry run: what a version would do to the offers of the next days, for one party, and what
        keeps the terms it was sold under. Nothing is changed. The prices are those that search,
        quote and order then give, as long as nothing else changes. Reasons: NOT_FOUND,
        PRODUCT_NOT_ON_SALE or ARCHIVED, PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_PREVIEW_CONFIG_VERSION, admin.PreviewConfigVersionRequest(version_id=version_id, days=days, party=party, promotion_codes=promotion_codes, page_size=page_size, page_token=page_token), timeout)

    def iter_config_version_offer_changes(
        self,
        *,
        version_id: str,
        days: int = 0,
        party: Iterable[tickets.CustomerType.ValueType] = (),
        promotion_codes: Iterable[str] = (),
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.OfferChange]:
        """All `offer_changes` of preview_config_version, page after page."""
        return self._calls.pages(_PREVIEW_CONFIG_VERSION, admin.PreviewConfigVersionRequest(version_id=version_id, days=days, party=party, promotion_codes=promotion_codes, page_size=page_size), timeout)

    async def publish_config_version(
        self,
        *,
        version_id: str,
        effective_time: Moment | None = None,
        force_comment: str = "",
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.PublishConfigVersionResponse:
        """Has a draft take effect, now or at a time to come: for what is sold from then on, in every
        process within a second. Orders, tickets and batches keep the snapshot they were sold under.
        What is scheduled takes effect once, also if no server ran at its time: then before anything
        is sold again. If it does not apply any more then, it is a draft again, with its `fault`;
        nothing of it takes effect. Reasons: NOT_FOUND, PRODUCT_NOT_ON_SALE or ARCHIVED,
        CONFIG_VERSION_STATE_REFUSES, CONFIG_VERSION_OUTDATED, CONFIG_EXAMPLE_FAILED (unless there
        is a `force_comment`), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_PUBLISH_CONFIG_VERSION, admin.PublishConfigVersionRequest(version_id=version_id, effective_time=timestamp(effective_time), force_comment=force_comment, request_id=request_id), timeout)

    async def cancel_scheduled_version(
        self,
        *,
        version_id: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CancelScheduledVersionResponse:
        """Makes a scheduled version a draft again, with all others of its change set. Reasons:
        NOT_FOUND, CONFIG_VERSION_STATE_REFUSES, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_CANCEL_SCHEDULED_VERSION, admin.CancelScheduledVersionRequest(version_id=version_id, request_id=request_id), timeout)

    async def publish_change_set(
        self,
        *,
        version_ids: Iterable[str],
        effective_time: Moment | None = None,
        force_comment: str = "",
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.PublishChangeSetResponse:
        """Has drafts of several objects take effect together, now or at a time to come: new fares with
        the refund policy and the promotion that belong to them, say. It is one change set: all of
        it takes effect at one moment, or nothing of it, as in PublishConfigVersion. Examples are
        tried against all of it. What is wrong names the version. Reasons: NOT_FOUND,
        PRODUCT_NOT_ON_SALE or ARCHIVED, CONFIG_VERSION_STATE_REFUSES, CONFIG_VERSION_OUTDATED,
        CONFIG_EXAMPLE_FAILED (unless there is a `force_comment`), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_PUBLISH_CHANGE_SET, admin.PublishChangeSetRequest(version_ids=version_ids, effective_time=timestamp(effective_time), force_comment=force_comment, request_id=request_id), timeout)

    async def preview_change_set(
        self,
        *,
        version_ids: Iterable[str],
        days: int = 0,
        party: Iterable[tickets.CustomerType.ValueType] = (),
        promotion_codes: Iterable[str] = (),
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.PreviewChangeSetResponse:
        """The dry run of several versions that take effect together, see PreviewConfigVersion.
        Reasons: NOT_FOUND, PRODUCT_NOT_ON_SALE or ARCHIVED, PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_PREVIEW_CHANGE_SET, admin.PreviewChangeSetRequest(version_ids=version_ids, days=days, party=party, promotion_codes=promotion_codes, page_size=page_size, page_token=page_token), timeout)

    def iter_change_set_offer_changes(
        self,
        *,
        version_ids: Iterable[str],
        days: int = 0,
        party: Iterable[tickets.CustomerType.ValueType] = (),
        promotion_codes: Iterable[str] = (),
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.OfferChange]:
        """All `offer_changes` of preview_change_set, page after page."""
        return self._calls.pages(_PREVIEW_CHANGE_SET, admin.PreviewChangeSetRequest(version_ids=version_ids, days=days, party=party, promotion_codes=promotion_codes, page_size=page_size), timeout)

    async def roll_back_change_set(
        self,
        *,
        change_set_id: str,
        comment: str,
        publish: bool = False,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.RollBackChangeSetResponse:
        """Makes new versions of all objects of a change set with what they had before it: drafts, or
        published at once as another change set. Refused if any of them was changed since. Reasons:
        NOT_FOUND, PRODUCT_NOT_ON_SALE or ARCHIVED, CONFIG_VERSION_STATE_REFUSES (it is scheduled),
        CONFIG_VERSION_OUTDATED, CONFIG_EXAMPLE_FAILED, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ROLL_BACK_CHANGE_SET, admin.RollBackChangeSetRequest(change_set_id=change_set_id, comment=comment, publish=publish, request_id=request_id), timeout)

    async def roll_back_config(
        self,
        *,
        version_id: str,
        comment: str,
        publish: bool = False,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.RollBackConfigResponse:
        """Makes a new version with the content of one that was published before: a draft, or published
        at once. Reasons: NOT_FOUND, PRODUCT_NOT_ON_SALE or ARCHIVED, CONFIG_EXAMPLE_FAILED,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ROLL_BACK_CONFIG, admin.RollBackConfigRequest(version_id=version_id, comment=comment, publish=publish, request_id=request_id), timeout)

    async def set_product_examples(
        self,
        *,
        product_id: int,
        content: str = "",
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.SetProductExamplesResponse:
        """Keeps examples with a product: what its fares, its refund policy and its entry are to
        answer. They are tried whenever a version of it, or of the fares of its routes, is published
        or scheduled. Reasons: NOT_FOUND, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_SET_PRODUCT_EXAMPLES, admin.SetProductExamplesRequest(product_id=product_id, content=content, request_id=request_id, version=version), timeout)

    async def get_product_examples(
        self,
        *,
        product_id: int,
        timeout: float | None = None,
    ) -> admin.GetProductExamplesResponse:
        """Reads the examples kept with a product. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_PRODUCT_EXAMPLES, admin.GetProductExamplesRequest(product_id=product_id), timeout)

    def export_audit_events(
        self,
        *,
        format: admin.AuditExportFormat.ValueType,
        resource: str = "",
        name: str = "",
        actor: str = "",
        action: str = "",
        reason: str = "",
        time_from: Moment | None = None,
        time_until: Moment | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.ExportAuditEventsResponse]:
        """Exports audit events, newest first, as CSV or JSON lines: all that ListAuditEvents would
        list, in one stream. Reasons: SERVER_BUSY (two lists and reports of a caller are read at
        once).
        """
        return self._calls.stream(_EXPORT_AUDIT_EVENTS, admin.ExportAuditEventsRequest(format=format, resource=resource, name=name, actor=actor, action=action, reason=reason, time_from=timestamp(time_from), time_until=timestamp(time_until)), timeout)

    async def list_audit_events(
        self,
        *,
        resource: str = "",
        name: str = "",
        actor: str = "",
        time_from: Moment | None = None,
        time_until: Moment | None = None,
        page_size: int = 0,
        page_token: str = "",
        action: str = "",
        reason: str = "",
        timeout: float | None = None,
    ) -> admin.ListAuditEventsResponse:
        """Lists what was changed by whom, and who signed in, newest first, by page. Reasons:
        PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_AUDIT_EVENTS, admin.ListAuditEventsRequest(resource=resource, name=name, actor=actor, time_from=timestamp(time_from), time_until=timestamp(time_until), page_size=page_size, page_token=page_token, action=action, reason=reason), timeout)

    def iter_audit_events(
        self,
        *,
        resource: str = "",
        name: str = "",
        actor: str = "",
        time_from: Moment | None = None,
        time_until: Moment | None = None,
        page_size: int = 0,
        action: str = "",
        reason: str = "",
        timeout: float | None = None,
    ) -> AsyncIterator[admin.AuditEvent]:
        """All `audit_events` of list_audit_events, page after page."""
        return self._calls.pages(_LIST_AUDIT_EVENTS, admin.ListAuditEventsRequest(resource=resource, name=name, actor=actor, time_from=timestamp(time_from), time_until=timestamp(time_until), page_size=page_size, action=action, reason=reason), timeout)

    async def get_dashboard(
        self,
        *,
        from_day: str = "",
        until_day: str = "",
        merchant_code: str = "",
        timeout: float | None = None,
    ) -> admin.GetDashboardResponse:
        """How things stand today, or on the days asked for (31 at the most): orders, revenue by
        currency, redemptions by hour and merchant, refusals by reason; states of tickets and
        orders, queues and jobs. A supervisor gets redemptions and refusals of the own merchant.
        Figures are up to five seconds old, the same for all who ask. Sandboxes are left out.
        Reasons: SERVER_BUSY (two lists and reports of a caller are read at once), RANGE_TOO_LARGE.
        """
        return await self._calls.unary(_GET_DASHBOARD, admin.GetDashboardRequest(from_day=from_day, until_day=until_day, merchant_code=merchant_code), timeout)

    async def get_qr_key(
        self,
        *,
        qr_key_id: int,
        timeout: float | None = None,
    ) -> admin.GetQrKeyResponse:
        """Reads a key that seals QR codes. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_QR_KEY, admin.GetQrKeyRequest(qr_key_id=qr_key_id), timeout)

    async def list_qr_keys(
        self,
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListQrKeysResponse:
        """Lists the keys that seal QR codes, by number, by page; of compromised ones, how much of what
        was issued under them is issued anew. Reasons: PAGE_TOKEN_INVALID, SERVER_BUSY,
        RANGE_TOO_LARGE.
        """
        return await self._calls.unary(_LIST_QR_KEYS, admin.ListQrKeysRequest(page_size=page_size, page_token=page_token), timeout)

    def iter_qr_keys(
        self,
        *,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.QrKey]:
        """All `qr_keys` of list_qr_keys, page after page."""
        return self._calls.pages(_LIST_QR_KEYS, admin.ListQrKeysRequest(page_size=page_size), timeout)

    async def compromise_qr_key(
        self,
        *,
        comment: str,
        qr_key_id: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CompromiseQrKeyResponse:
        """Says that others have a key, be it the one that seals: another seals in its place. Once it
        has answered, two seconds later, every process refuses what was made with the key, by
        whomever. A code that we issued is refused as QR_KEY_COMPROMISED, by which an operator sees
        that the ticket is genuine and is redeemed by its number; a forged one, also of a ticket
        that there is, as TOKEN_INVALID. The honest codes are issued anew in the background
        (ListQrKeys), and partners hear of each by `ticket.qr_reissued`. Cannot be taken back; of a
        key that is COMPROMISED already it does nothing. Audited with the comment. Reasons:
        NOT_FOUND, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_COMPROMISE_QR_KEY, admin.CompromiseQrKeyRequest(comment=comment, qr_key_id=qr_key_id, request_id=request_id), timeout)

    async def list_unissued_redemptions(
        self,
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListUnissuedRedemptionsResponse:
        """Lists redemptions by codes that were made with a key of ours, but that we did not issue:
        somebody has the key, and CompromiseQrKey ends that. A job looks hourly at what was redeemed
        since it looked last; codes of keys from before each code was recorded are left out. Newest
        first, by page. Reasons: PAGE_TOKEN_INVALID, SERVER_BUSY, RANGE_TOO_LARGE.
        """
        return await self._calls.unary(_LIST_UNISSUED_REDEMPTIONS, admin.ListUnissuedRedemptionsRequest(page_size=page_size, page_token=page_token), timeout)

    def iter_unissued_redemptions(
        self,
        *,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.UnissuedRedemption]:
        """All `redemptions` of list_unissued_redemptions, page after page."""
        return self._calls.pages(_LIST_UNISSUED_REDEMPTIONS, admin.ListUnissuedRedemptionsRequest(page_size=page_size), timeout)

    async def list_offline_conflicts(
        self,
        *,
        merchant_code: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListOfflineConflictsResponse:
        """Lists scans that terminals admitted without network and that were not simply accepted:
        somebody had been admitted before, the ticket was given back, is unknown or no ticket of
        ours, or the terminal's clock was wrong; with who bears it, newest first, by page. Reasons:
        PAGE_TOKEN_INVALID, SERVER_BUSY, RANGE_TOO_LARGE.
        """
        return await self._calls.unary(_LIST_OFFLINE_CONFLICTS, admin.ListOfflineConflictsRequest(merchant_code=merchant_code, page_size=page_size, page_token=page_token), timeout)

    def iter_offline_conflicts(
        self,
        *,
        merchant_code: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.OfflineConflict]:
        """All `conflicts` of list_offline_conflicts, page after page."""
        return self._calls.pages(_LIST_OFFLINE_CONFLICTS, admin.ListOfflineConflictsRequest(merchant_code=merchant_code, page_size=page_size), timeout)

    async def report_redemptions(
        self,
        *,
        from_day: str = "",
        until_day: str = "",
        merchant_code: str = "",
        period: admin.ReportPeriod.ValueType = admin.REPORT_PERIOD_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ReportRedemptionsResponse:
        """The report of redemptions (`reports-redemptions`): by hour or day, merchant, venue and
        entitlement, of up to 31 days, by page. What has just happened counts. Single events are in
        RedemptionService.ListRedemptions. Reasons: PAGE_TOKEN_INVALID, SERVER_BUSY,
        RANGE_TOO_LARGE.
        """
        return await self._calls.unary(_REPORT_REDEMPTIONS, admin.ReportRedemptionsRequest(from_day=from_day, until_day=until_day, merchant_code=merchant_code, period=period, page_size=page_size, page_token=page_token), timeout)

    def iter_redemptions_rows(
        self,
        *,
        from_day: str = "",
        until_day: str = "",
        merchant_code: str = "",
        period: admin.ReportPeriod.ValueType = admin.REPORT_PERIOD_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.RedemptionReportRow]:
        """All `rows` of report_redemptions, page after page."""
        return self._calls.pages(_REPORT_REDEMPTIONS, admin.ReportRedemptionsRequest(from_day=from_day, until_day=until_day, merchant_code=merchant_code, period=period, page_size=page_size), timeout)

    async def report_sales(
        self,
        *,
        from_day: str = "",
        until_day: str = "",
        period: admin.ReportPeriod.ValueType = admin.REPORT_PERIOD_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ReportSalesResponse:
        """The report of sales: tickets sold, changed and refunded, and their money, by hour or day,
        channel and product, of up to 31 days, by page. Sandboxes are left out. Reasons:
        PAGE_TOKEN_INVALID, SERVER_BUSY, RANGE_TOO_LARGE.
        """
        return await self._calls.unary(_REPORT_SALES, admin.ReportSalesRequest(from_day=from_day, until_day=until_day, period=period, page_size=page_size, page_token=page_token), timeout)

    def iter_sales_rows(
        self,
        *,
        from_day: str = "",
        until_day: str = "",
        period: admin.ReportPeriod.ValueType = admin.REPORT_PERIOD_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.SalesReportRow]:
        """All `rows` of report_sales, page after page."""
        return self._calls.pages(_REPORT_SALES, admin.ReportSalesRequest(from_day=from_day, until_day=until_day, period=period, page_size=page_size), timeout)

    def download_redemption_report(
        self,
        *,
        from_day: str = "",
        until_day: str = "",
        merchant_code: str = "",
        period: admin.ReportPeriod.ValueType = admin.REPORT_PERIOD_UNSPECIFIED,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.DownloadRedemptionReportResponse]:
        """Downloads the report of redemptions as CSV, all its rows. Reasons: SERVER_BUSY,
        RANGE_TOO_LARGE (also while a part of its time is not summed up yet).
        """
        return self._calls.stream(_DOWNLOAD_REDEMPTION_REPORT, admin.DownloadRedemptionReportRequest(from_day=from_day, until_day=until_day, merchant_code=merchant_code, period=period), timeout)

    def download_sales_report(
        self,
        *,
        from_day: str = "",
        until_day: str = "",
        period: admin.ReportPeriod.ValueType = admin.REPORT_PERIOD_UNSPECIFIED,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.DownloadSalesReportResponse]:
        """Downloads the report of sales as CSV, all its rows. Reasons: SERVER_BUSY, RANGE_TOO_LARGE
        (also while a part of its time is not summed up yet).
        """
        return self._calls.stream(_DOWNLOAD_SALES_REPORT, admin.DownloadSalesReportRequest(from_day=from_day, until_day=until_day, period=period), timeout)

    async def create_city(
        self,
        *,
        city_code: str,
        display_name_en: str,
        display_name_zh: str,
        time_zone: str,
        hot_rank: int | None = None,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CreateCityResponse:
        """Creates a city. Reasons: ALREADY_EXISTS, IDEMPOTENCY_MISMATCH."""
        return await self._calls.unary(_CREATE_CITY, admin.CreateCityRequest(city_code=city_code, display_name_en=display_name_en, display_name_zh=display_name_zh, time_zone=time_zone, hot_rank=hot_rank, request_id=request_id), timeout)

    async def get_city(
        self,
        *,
        city_code: str,
        timeout: float | None = None,
    ) -> admin.GetCityResponse:
        """Reads a city. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_CITY, admin.GetCityRequest(city_code=city_code), timeout)

    async def list_cities(
        self,
        *,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListCitiesResponse:
        """Lists cities by page. Reasons: PAGE_TOKEN_INVALID."""
        return await self._calls.unary(_LIST_CITIES, admin.ListCitiesRequest(state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_cities(
        self,
        *,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.City]:
        """All `cities` of list_cities, page after page."""
        return self._calls.pages(_LIST_CITIES, admin.ListCitiesRequest(state=state, page_size=page_size), timeout)

    async def update_city(
        self,
        *,
        city_code: str,
        update_mask: FieldMask,
        display_name_en: str = "",
        display_name_zh: str = "",
        time_zone: str = "",
        hot_rank: int | None = None,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UpdateCityResponse:
        """Changes a city; searches show it within a second. Another time zone is refused while a route
        calls there: its services leave by that clock. Reasons: NOT_FOUND, VERSION_MISMATCH,
        ARCHIVED, IN_USE, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UPDATE_CITY, admin.UpdateCityRequest(city_code=city_code, update_mask=update_mask, display_name_en=display_name_en, display_name_zh=display_name_zh, time_zone=time_zone, hot_rank=hot_rank, version=version, request_id=request_id), timeout)

    async def archive_city(
        self,
        *,
        city_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchiveCityResponse:
        """Takes a city out of the lists. Refused while it has a stop or a package that is not
        archived. A repeat does no harm. Reasons: NOT_FOUND, VERSION_MISMATCH, IN_USE,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ARCHIVE_CITY, admin.ArchiveCityRequest(city_code=city_code, version=version, request_id=request_id), timeout)

    async def unarchive_city(
        self,
        *,
        city_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveCityResponse:
        """Takes an archived city back. A repeat does no harm. Reasons: NOT_FOUND, VERSION_MISMATCH,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UNARCHIVE_CITY, admin.UnarchiveCityRequest(city_code=city_code, version=version, request_id=request_id), timeout)

    async def create_stop(
        self,
        *,
        stop_code: str,
        city_code: str,
        display_name_en: str,
        display_name_zh: str,
        request_id: str = "",
        latitude_microdegrees: int | None = None,
        longitude_microdegrees: int | None = None,
        timeout: float | None = None,
    ) -> admin.CreateStopResponse:
        """Creates a stop. Reasons: ALREADY_EXISTS, NOT_FOUND and ARCHIVED (the city),
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_CREATE_STOP, admin.CreateStopRequest(stop_code=stop_code, city_code=city_code, display_name_en=display_name_en, display_name_zh=display_name_zh, request_id=request_id, latitude_microdegrees=latitude_microdegrees, longitude_microdegrees=longitude_microdegrees), timeout)

    async def get_stop(
        self,
        *,
        stop_code: str,
        timeout: float | None = None,
    ) -> admin.GetStopResponse:
        """Reads a stop. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_STOP, admin.GetStopRequest(stop_code=stop_code), timeout)

    async def list_stops(
        self,
        *,
        city_code: str = "",
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListStopsResponse:
        """Lists stops by page. Reasons: PAGE_TOKEN_INVALID."""
        return await self._calls.unary(_LIST_STOPS, admin.ListStopsRequest(city_code=city_code, state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_stops(
        self,
        *,
        city_code: str = "",
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.Stop]:
        """All `stops` of list_stops, page after page."""
        return self._calls.pages(_LIST_STOPS, admin.ListStopsRequest(city_code=city_code, state=state, page_size=page_size), timeout)

    async def update_stop(
        self,
        *,
        stop_code: str,
        update_mask: FieldMask,
        city_code: str = "",
        display_name_en: str = "",
        display_name_zh: str = "",
        version: int = 0,
        request_id: str = "",
        latitude_microdegrees: int | None = None,
        longitude_microdegrees: int | None = None,
        timeout: float | None = None,
    ) -> admin.UpdateStopResponse:
        """Changes a stop; searches show it within a second. Another city is refused while a route
        calls there. Reasons: NOT_FOUND, VERSION_MISMATCH, ARCHIVED, IN_USE, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UPDATE_STOP, admin.UpdateStopRequest(stop_code=stop_code, update_mask=update_mask, city_code=city_code, display_name_en=display_name_en, display_name_zh=display_name_zh, version=version, request_id=request_id, latitude_microdegrees=latitude_microdegrees, longitude_microdegrees=longitude_microdegrees), timeout)

    async def archive_stop(
        self,
        *,
        stop_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchiveStopResponse:
        """Has no new route call at a stop. Refused while a route that is not archived calls there. A
        repeat does no harm. Reasons: NOT_FOUND, VERSION_MISMATCH, IN_USE, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ARCHIVE_STOP, admin.ArchiveStopRequest(stop_code=stop_code, version=version, request_id=request_id), timeout)

    async def unarchive_stop(
        self,
        *,
        stop_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveStopResponse:
        """Takes an archived stop back. A repeat does no harm. Reasons: NOT_FOUND, VERSION_MISMATCH,
        ARCHIVED (its city), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UNARCHIVE_STOP, admin.UnarchiveStopRequest(stop_code=stop_code, version=version, request_id=request_id), timeout)

    async def create_car_category(
        self,
        *,
        product_id: int,
        category_code: str,
        make: str,
        model: str,
        model_year: int,
        seats: int,
        doors: int,
        transmission: admin.Transmission.ValueType,
        fuel_type: admin.FuelType.ValueType,
        min_driver_age: int,
        large_bags: int | None = None,
        small_bags: int | None = None,
        air_conditioning: bool | None = None,
        feature_codes: Iterable[str] = (),
        image_urls: Iterable[str] = (),
        young_driver_age: int | None = None,
        young_driver_minor: int | None = None,
        grace_minutes: int | None = None,
        min_days: int | None = None,
        max_days: int | None = None,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CreateCarCategoryResponse:
        """Creates the car category of a product of kind RENTAL, which says what its days cost, by the
        day type of each, how much less longer rentals cost (`tiers`, by days), and how it is
        refunded and changed. It is on sale where it has a fleet. Reasons: INVALID_FIELD (another
        kind), NOT_FOUND and PRODUCT_NOT_ON_SALE (the product), ALREADY_EXISTS,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_CREATE_CAR_CATEGORY, admin.CreateCarCategoryRequest(product_id=product_id, category_code=category_code, make=make, model=model, model_year=model_year, seats=seats, doors=doors, transmission=transmission, fuel_type=fuel_type, min_driver_age=min_driver_age, large_bags=large_bags, small_bags=small_bags, air_conditioning=air_conditioning, feature_codes=feature_codes, image_urls=image_urls, young_driver_age=young_driver_age, young_driver_minor=young_driver_minor, grace_minutes=grace_minutes, min_days=min_days, max_days=max_days, request_id=request_id), timeout)

    async def get_car_category(
        self,
        *,
        product_id: int,
        timeout: float | None = None,
    ) -> admin.GetCarCategoryResponse:
        """Reads a car category. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_CAR_CATEGORY, admin.GetCarCategoryRequest(product_id=product_id), timeout)

    async def list_car_categories(
        self,
        *,
        category_code: str = "",
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListCarCategoriesResponse:
        """Lists car categories by page. Reasons: PAGE_TOKEN_INVALID."""
        return await self._calls.unary(_LIST_CAR_CATEGORIES, admin.ListCarCategoriesRequest(category_code=category_code, state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_car_categories(
        self,
        *,
        category_code: str = "",
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.CarCategory]:
        """All `car_categories` of list_car_categories, page after page."""
        return self._calls.pages(_LIST_CAR_CATEGORIES, admin.ListCarCategoriesRequest(category_code=category_code, state=state, page_size=page_size), timeout)

    async def update_car_category(
        self,
        *,
        product_id: int,
        update_mask: FieldMask,
        category_code: str = "",
        make: str = "",
        model: str = "",
        model_year: int = 0,
        seats: int = 0,
        doors: int = 0,
        large_bags: int | None = None,
        small_bags: int | None = None,
        transmission: admin.Transmission.ValueType = admin.TRANSMISSION_UNSPECIFIED,
        fuel_type: admin.FuelType.ValueType = admin.FUEL_TYPE_UNSPECIFIED,
        air_conditioning: bool | None = None,
        feature_codes: Iterable[str] = (),
        image_urls: Iterable[str] = (),
        min_driver_age: int = 0,
        young_driver_age: int | None = None,
        young_driver_minor: int | None = None,
        grace_minutes: int | None = None,
        min_days: int | None = None,
        max_days: int | None = None,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UpdateCarCategoryResponse:
        """Changes a car category for what is sold from now on. Reasons: INVALID_FIELD, NOT_FOUND,
        VERSION_MISMATCH, ARCHIVED, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UPDATE_CAR_CATEGORY, admin.UpdateCarCategoryRequest(product_id=product_id, update_mask=update_mask, category_code=category_code, make=make, model=model, model_year=model_year, seats=seats, doors=doors, large_bags=large_bags, small_bags=small_bags, transmission=transmission, fuel_type=fuel_type, air_conditioning=air_conditioning, feature_codes=feature_codes, image_urls=image_urls, min_driver_age=min_driver_age, young_driver_age=young_driver_age, young_driver_minor=young_driver_minor, grace_minutes=grace_minutes, min_days=min_days, max_days=max_days, version=version, request_id=request_id), timeout)

    async def archive_car_category(
        self,
        *,
        product_id: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchiveCarCategoryResponse:
        """Takes a car category off sale at all locations; what was sold of it stays. A repeat does no
        harm. Reasons: NOT_FOUND, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ARCHIVE_CAR_CATEGORY, admin.ArchiveCarCategoryRequest(product_id=product_id, version=version, request_id=request_id), timeout)

    async def unarchive_car_category(
        self,
        *,
        product_id: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveCarCategoryResponse:
        """Puts an archived car category on sale again. A repeat does no harm. Reasons: NOT_FOUND,
        VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UNARCHIVE_CAR_CATEGORY, admin.UnarchiveCarCategoryRequest(product_id=product_id, version=version, request_id=request_id), timeout)

    async def create_rental_location(
        self,
        *,
        location_id: int,
        city_code: str,
        display_name_en: str,
        display_name_zh: str,
        address_en: str,
        address_zh: str,
        opening_hours: Iterable[admin.OpeningHours],
        phone: str = "",
        latitude_microdegrees: int | None = None,
        longitude_microdegrees: int | None = None,
        pick_up: bool | None = None,
        drop_off: bool | None = None,
        closed_dates: Iterable[str] = (),
        venue_code: str = "",
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CreateRentalLocationResponse:
        """Creates a rental location. Reasons: INVALID_FIELD, NOT_FOUND and ARCHIVED (the city),
        NOT_FOUND (the venue), ALREADY_EXISTS, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_CREATE_RENTAL_LOCATION, admin.CreateRentalLocationRequest(location_id=location_id, city_code=city_code, display_name_en=display_name_en, display_name_zh=display_name_zh, address_en=address_en, address_zh=address_zh, opening_hours=opening_hours, phone=phone, latitude_microdegrees=latitude_microdegrees, longitude_microdegrees=longitude_microdegrees, pick_up=pick_up, drop_off=drop_off, closed_dates=closed_dates, venue_code=venue_code, request_id=request_id), timeout)

    async def get_rental_location(
        self,
        *,
        location_id: int,
        timeout: float | None = None,
    ) -> admin.GetRentalLocationResponse:
        """Reads a rental location. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_RENTAL_LOCATION, admin.GetRentalLocationRequest(location_id=location_id), timeout)

    async def list_rental_locations(
        self,
        *,
        city_code: str = "",
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListRentalLocationsResponse:
        """Lists rental locations by page. Reasons: PAGE_TOKEN_INVALID."""
        return await self._calls.unary(_LIST_RENTAL_LOCATIONS, admin.ListRentalLocationsRequest(city_code=city_code, state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_rental_locations(
        self,
        *,
        city_code: str = "",
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.RentalLocation]:
        """All `rental_locations` of list_rental_locations, page after page."""
        return self._calls.pages(_LIST_RENTAL_LOCATIONS, admin.ListRentalLocationsRequest(city_code=city_code, state=state, page_size=page_size), timeout)

    async def update_rental_location(
        self,
        *,
        location_id: int,
        update_mask: FieldMask,
        display_name_en: str = "",
        display_name_zh: str = "",
        address_en: str = "",
        address_zh: str = "",
        phone: str = "",
        latitude_microdegrees: int | None = None,
        longitude_microdegrees: int | None = None,
        pick_up: bool | None = None,
        drop_off: bool | None = None,
        opening_hours: Iterable[admin.OpeningHours] = (),
        closed_dates: Iterable[str] = (),
        venue_code: str = "",
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UpdateRentalLocationResponse:
        """Changes a rental location; what was sold keeps its times. Reasons: INVALID_FIELD, NOT_FOUND,
        VERSION_MISMATCH, ARCHIVED, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UPDATE_RENTAL_LOCATION, admin.UpdateRentalLocationRequest(location_id=location_id, update_mask=update_mask, display_name_en=display_name_en, display_name_zh=display_name_zh, address_en=address_en, address_zh=address_zh, phone=phone, latitude_microdegrees=latitude_microdegrees, longitude_microdegrees=longitude_microdegrees, pick_up=pick_up, drop_off=drop_off, opening_hours=opening_hours, closed_dates=closed_dates, venue_code=venue_code, version=version, request_id=request_id), timeout)

    async def archive_rental_location(
        self,
        *,
        location_id: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchiveRentalLocationResponse:
        """Has nobody rent from or to a location any more; what was sold stays. A repeat does no harm.
        Reasons: NOT_FOUND, VERSION_MISMATCH, IN_USE (a fleet that is not archived is picked up
        there), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ARCHIVE_RENTAL_LOCATION, admin.ArchiveRentalLocationRequest(location_id=location_id, version=version, request_id=request_id), timeout)

    async def unarchive_rental_location(
        self,
        *,
        location_id: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveRentalLocationResponse:
        """Takes an archived rental location back. A repeat does no harm. Reasons: NOT_FOUND,
        VERSION_MISMATCH, ARCHIVED (the city), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UNARCHIVE_RENTAL_LOCATION, admin.UnarchiveRentalLocationRequest(location_id=location_id, version=version, request_id=request_id), timeout)

    async def create_rental_extra(
        self,
        *,
        extra_id: int,
        extra_code: str,
        display_name_en: str,
        display_name_zh: str,
        charge_basis: admin.ChargeBasis.ValueType,
        amount_minor: int,
        currency_code: str,
        max_quantity: int,
        max_amount_minor: int | None = None,
        product_ids: Iterable[int] = (),
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CreateRentalExtraResponse:
        """Creates an extra. Reasons: INVALID_FIELD, ALREADY_EXISTS (number or code),
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_CREATE_RENTAL_EXTRA, admin.CreateRentalExtraRequest(extra_id=extra_id, extra_code=extra_code, display_name_en=display_name_en, display_name_zh=display_name_zh, charge_basis=charge_basis, amount_minor=amount_minor, currency_code=currency_code, max_quantity=max_quantity, max_amount_minor=max_amount_minor, product_ids=product_ids, request_id=request_id), timeout)

    async def get_rental_extra(
        self,
        *,
        extra_id: int,
        timeout: float | None = None,
    ) -> admin.GetRentalExtraResponse:
        """Reads a rental extra. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_RENTAL_EXTRA, admin.GetRentalExtraRequest(extra_id=extra_id), timeout)

    async def list_rental_extras(
        self,
        *,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListRentalExtrasResponse:
        """Lists rental extras by page. Reasons: PAGE_TOKEN_INVALID."""
        return await self._calls.unary(_LIST_RENTAL_EXTRAS, admin.ListRentalExtrasRequest(state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_rental_extras(
        self,
        *,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.RentalExtra]:
        """All `rental_extras` of list_rental_extras, page after page."""
        return self._calls.pages(_LIST_RENTAL_EXTRAS, admin.ListRentalExtrasRequest(state=state, page_size=page_size), timeout)

    async def update_rental_extra(
        self,
        *,
        extra_id: int,
        update_mask: FieldMask,
        display_name_en: str = "",
        display_name_zh: str = "",
        charge_basis: admin.ChargeBasis.ValueType = admin.CHARGE_BASIS_UNSPECIFIED,
        amount_minor: int | None = None,
        max_quantity: int = 0,
        max_amount_minor: int | None = None,
        product_ids: Iterable[int] = (),
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UpdateRentalExtraResponse:
        """Changes an extra for what is sold from now on. Reasons: INVALID_FIELD, NOT_FOUND,
        VERSION_MISMATCH, ARCHIVED, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UPDATE_RENTAL_EXTRA, admin.UpdateRentalExtraRequest(extra_id=extra_id, update_mask=update_mask, display_name_en=display_name_en, display_name_zh=display_name_zh, charge_basis=charge_basis, amount_minor=amount_minor, max_quantity=max_quantity, max_amount_minor=max_amount_minor, product_ids=product_ids, version=version, request_id=request_id), timeout)

    async def archive_rental_extra(
        self,
        *,
        extra_id: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchiveRentalExtraResponse:
        """Takes an extra off sale; what was sold with it stays. A repeat does no harm. Reasons:
        NOT_FOUND, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ARCHIVE_RENTAL_EXTRA, admin.ArchiveRentalExtraRequest(extra_id=extra_id, version=version, request_id=request_id), timeout)

    async def unarchive_rental_extra(
        self,
        *,
        extra_id: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveRentalExtraResponse:
        """Puts an archived extra on sale again. A repeat does no harm. Reasons: NOT_FOUND,
        VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UNARCHIVE_RENTAL_EXTRA, admin.UnarchiveRentalExtraRequest(extra_id=extra_id, version=version, request_id=request_id), timeout)

    async def create_rental_fleet(
        self,
        *,
        fleet_id: int,
        product_id: int,
        location_id: int,
        cars: int,
        first_date: str,
        last_date: str,
        sale_days: int,
        closing_minutes: int,
        fares: Iterable[admin.Fare] = (),
        one_way: Iterable[admin.OneWayRental] = (),
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CreateRentalFleetResponse:
        """Creates a fleet: from then on its cars are on sale, and each day has a stock of its own as
        far ahead as it is sold. Reasons: INVALID_FIELD, NOT_FOUND and ARCHIVED (category,
        location), ALREADY_EXISTS (number, or category at the location), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_CREATE_RENTAL_FLEET, admin.CreateRentalFleetRequest(fleet_id=fleet_id, product_id=product_id, location_id=location_id, cars=cars, first_date=first_date, last_date=last_date, sale_days=sale_days, closing_minutes=closing_minutes, fares=fares, one_way=one_way, request_id=request_id), timeout)

    async def get_rental_fleet(
        self,
        *,
        fleet_id: int,
        timeout: float | None = None,
    ) -> admin.GetRentalFleetResponse:
        """Reads a rental fleet. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_RENTAL_FLEET, admin.GetRentalFleetRequest(fleet_id=fleet_id), timeout)

    async def list_rental_fleets(
        self,
        *,
        product_id: int = 0,
        location_id: int = 0,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListRentalFleetsResponse:
        """Lists rental fleets by page. Reasons: PAGE_TOKEN_INVALID."""
        return await self._calls.unary(_LIST_RENTAL_FLEETS, admin.ListRentalFleetsRequest(product_id=product_id, location_id=location_id, state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_rental_fleets(
        self,
        *,
        product_id: int = 0,
        location_id: int = 0,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.RentalFleet]:
        """All `rental_fleets` of list_rental_fleets, page after page."""
        return self._calls.pages(_LIST_RENTAL_FLEETS, admin.ListRentalFleetsRequest(product_id=product_id, location_id=location_id, state=state, page_size=page_size), timeout)

    async def update_rental_fleet(
        self,
        *,
        fleet_id: int,
        update_mask: FieldMask,
        fares: Iterable[admin.Fare] = (),
        cars: int | None = None,
        first_date: str = "",
        last_date: str = "",
        sale_days: int = 0,
        closing_minutes: int | None = None,
        one_way: Iterable[admin.OneWayRental] = (),
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UpdateRentalFleetResponse:
        """Changes a fleet for what is sold from now on; days that are made keep their stock. Reasons:
        INVALID_FIELD, NOT_FOUND, VERSION_MISMATCH, ARCHIVED, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UPDATE_RENTAL_FLEET, admin.UpdateRentalFleetRequest(fleet_id=fleet_id, update_mask=update_mask, fares=fares, cars=cars, first_date=first_date, last_date=last_date, sale_days=sale_days, closing_minutes=closing_minutes, one_way=one_way, version=version, request_id=request_id), timeout)

    async def archive_rental_fleet(
        self,
        *,
        fleet_id: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchiveRentalFleetResponse:
        """Takes a fleet off sale; what was sold of it stays. A repeat does no harm. Reasons:
        NOT_FOUND, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ARCHIVE_RENTAL_FLEET, admin.ArchiveRentalFleetRequest(fleet_id=fleet_id, version=version, request_id=request_id), timeout)

    async def unarchive_rental_fleet(
        self,
        *,
        fleet_id: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveRentalFleetResponse:
        """Puts an archived fleet on sale again. A repeat does no harm. Reasons: NOT_FOUND,
        VERSION_MISMATCH, ARCHIVED (category, location), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UNARCHIVE_RENTAL_FLEET, admin.UnarchiveRentalFleetRequest(fleet_id=fleet_id, version=version, request_id=request_id), timeout)

    async def list_rental_stock(
        self,
        *,
        fleet_id: int,
        channel: str = "",
        first_date: str = "",
        last_date: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListRentalStockResponse:
        """Lists the stock of a fleet, a row for each day, by page. Reasons: NOT_FOUND (fleet,
        channel), INVALID_FIELD, PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_RENTAL_STOCK, admin.ListRentalStockRequest(fleet_id=fleet_id, channel=channel, first_date=first_date, last_date=last_date, page_size=page_size, page_token=page_token), timeout)

    def iter_rental_stock(
        self,
        *,
        fleet_id: int,
        channel: str = "",
        first_date: str = "",
        last_date: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.RentalStock]:
        """All `stock` of list_rental_stock, page after page."""
        return self._calls.pages(_LIST_RENTAL_STOCK, admin.ListRentalStockRequest(fleet_id=fleet_id, channel=channel, first_date=first_date, last_date=last_date, page_size=page_size), timeout)

    async def set_rental_stock(
        self,
        *,
        fleet_id: int,
        first_date: str,
        last_date: str,
        total: int,
        request_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.SetRentalStockResponse:
        """Sets how many cars of a fleet we have ourselves on each day of a range, all days or none;
        days that have no stock yet get it. Partners have no cars set apart. Reasons: INVALID_FIELD,
        NOT_FOUND, STOCK_IN_USE (names the day), VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_SET_RENTAL_STOCK, admin.SetRentalStockRequest(fleet_id=fleet_id, first_date=first_date, last_date=last_date, total=total, request_id=request_id, version=version), timeout)

    async def create_route(
        self,
        *,
        route_id: int,
        product_id: int,
        kind: ticketing.OfferKind.ValueType,
        stops: Iterable[admin.RouteStop],
        fare_classes: Iterable[admin.RouteClass],
        fares: Iterable[admin.RouteFare] = (),
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CreateRouteResponse:
        """Creates a route. Reasons: ALREADY_EXISTS, NOT_FOUND and PRODUCT_NOT_ON_SALE (the product),
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_CREATE_ROUTE, admin.CreateRouteRequest(route_id=route_id, product_id=product_id, kind=kind, stops=stops, fare_classes=fare_classes, fares=fares, request_id=request_id), timeout)

    async def get_route(
        self,
        *,
        route_id: int,
        timeout: float | None = None,
    ) -> admin.GetRouteResponse:
        """Reads a route. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_ROUTE, admin.GetRouteRequest(route_id=route_id), timeout)

    async def update_route(
        self,
        *,
        route_id: int,
        update_mask: FieldMask,
        kind: ticketing.OfferKind.ValueType = ticketing.OFFER_KIND_UNSPECIFIED,
        stops: Iterable[admin.RouteStop] = (),
        fare_classes: Iterable[admin.RouteClass] = (),
        fares: Iterable[admin.RouteFare] = (),
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UpdateRouteResponse:
        """Changes a route, for what is sold from now on; orders and tickets keep what they were sold.
        Searches show it within a second. Refused as STOCK_IN_USE for other stops or times, and for
        a class that is gone or has another number or seat map, while departures that have not
        arrived have seats of it held or sold: make another route for what is to go otherwise, and
        archive this one. Reasons: NOT_FOUND, VERSION_MISMATCH, ARCHIVED, STOCK_IN_USE,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UPDATE_ROUTE, admin.UpdateRouteRequest(route_id=route_id, update_mask=update_mask, kind=kind, stops=stops, fare_classes=fare_classes, fares=fares, version=version, request_id=request_id), timeout)

    async def archive_route(
        self,
        *,
        route_id: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchiveRouteResponse:
        """Takes a route off sale, within a second; tickets sold stay valid and their departures run. A
        repeat does no harm. Reasons: NOT_FOUND, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ARCHIVE_ROUTE, admin.ArchiveRouteRequest(route_id=route_id, version=version, request_id=request_id), timeout)

    async def unarchive_route(
        self,
        *,
        route_id: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveRouteResponse:
        """Puts an archived route on sale again. A repeat does no harm. Reasons: NOT_FOUND,
        VERSION_MISMATCH, PRODUCT_NOT_ON_SALE, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UNARCHIVE_ROUTE, admin.UnarchiveRouteRequest(route_id=route_id, version=version, request_id=request_id), timeout)

    async def create_timetable(
        self,
        *,
        timetable_id: int,
        route_id: int,
        service_number: str,
        departure_clock: str,
        first_date: str,
        last_date: str,
        seats: Iterable[admin.TimetableSeats],
        sale_days: int,
        closing_minutes: int,
        weekdays: Iterable[int] = (),
        request_id: str = "",
        added_dates: Iterable[str] = (),
        removed_dates: Iterable[str] = (),
        headway_seconds: int = 0,
        timeout: float | None = None,
    ) -> admin.CreateTimetableResponse:
        """Creates a timetable. Its departures are made as far ahead as they are on sale. Reasons:
        ALREADY_EXISTS, NOT_FOUND and ARCHIVED (the route), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_CREATE_TIMETABLE, admin.CreateTimetableRequest(timetable_id=timetable_id, route_id=route_id, service_number=service_number, departure_clock=departure_clock, first_date=first_date, last_date=last_date, seats=seats, sale_days=sale_days, closing_minutes=closing_minutes, weekdays=weekdays, request_id=request_id, added_dates=added_dates, removed_dates=removed_dates, headway_seconds=headway_seconds), timeout)

    async def get_timetable(
        self,
        *,
        timetable_id: int,
        timeout: float | None = None,
    ) -> admin.GetTimetableResponse:
        """Reads a timetable. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_TIMETABLE, admin.GetTimetableRequest(timetable_id=timetable_id), timeout)

    async def list_timetables(
        self,
        *,
        route_id: int = 0,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListTimetablesResponse:
        """Lists timetables by page. Reasons: PAGE_TOKEN_INVALID."""
        return await self._calls.unary(_LIST_TIMETABLES, admin.ListTimetablesRequest(route_id=route_id, state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_timetables(
        self,
        *,
        route_id: int = 0,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.Timetable]:
        """All `timetables` of list_timetables, page after page."""
        return self._calls.pages(_LIST_TIMETABLES, admin.ListTimetablesRequest(route_id=route_id, state=state, page_size=page_size), timeout)

    async def update_timetable(
        self,
        *,
        timetable_id: int,
        update_mask: FieldMask,
        service_number: str = "",
        departure_clock: str = "",
        weekdays: Iterable[int] = (),
        first_date: str = "",
        last_date: str = "",
        seats: Iterable[admin.TimetableSeats] = (),
        sale_days: int | None = None,
        closing_minutes: int | None = None,
        version: int = 0,
        request_id: str = "",
        added_dates: Iterable[str] = (),
        removed_dates: Iterable[str] = (),
        headway_seconds: int = 0,
        timeout: float | None = None,
    ) -> admin.UpdateTimetableResponse:
        """Changes a timetable, for departures that are not made yet; they are made a few days before
        their sale begins. Of those that are made, another clock moves the ones of which nothing is
        held or sold in any channel, and which were not moved by themselves; all others leave when
        they were sold for, unless MoveDeparture moves them. Days, dates and seats of made
        departures stay: CancelDeparture and SetDepartureStock change these. Reasons: NOT_FOUND,
        VERSION_MISMATCH, ARCHIVED, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UPDATE_TIMETABLE, admin.UpdateTimetableRequest(timetable_id=timetable_id, update_mask=update_mask, service_number=service_number, departure_clock=departure_clock, weekdays=weekdays, first_date=first_date, last_date=last_date, seats=seats, sale_days=sale_days, closing_minutes=closing_minutes, version=version, request_id=request_id, added_dates=added_dates, removed_dates=removed_dates, headway_seconds=headway_seconds), timeout)

    async def archive_timetable(
        self,
        *,
        timetable_id: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchiveTimetableResponse:
        """Takes a service off sale, within a second; tickets sold stay valid and their departures run.
        A repeat does no harm. Reasons: NOT_FOUND, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ARCHIVE_TIMETABLE, admin.ArchiveTimetableRequest(timetable_id=timetable_id, version=version, request_id=request_id), timeout)

    async def unarchive_timetable(
        self,
        *,
        timetable_id: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveTimetableResponse:
        """Puts an archived service on sale again. A repeat does no harm. Reasons: NOT_FOUND,
        VERSION_MISMATCH, ARCHIVED (its route), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UNARCHIVE_TIMETABLE, admin.UnarchiveTimetableRequest(timetable_id=timetable_id, version=version, request_id=request_id), timeout)

    async def create_entitlement_template(
        self,
        *,
        template_code: str,
        function_code: str,
        display_name_en: str,
        display_name_zh: str,
        total_uses: int,
        use_mode: admin.UseMode.ValueType = admin.USE_MODE_UNSPECIFIED,
        guard_seconds: int | None = None,
        shared: bool = False,
        request_id: str = "",
        rotating_code: admin.RotatingCode.ValueType = admin.ROTATING_CODE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> admin.CreateEntitlementTemplateResponse:
        """Creates an entitlement template. Products are made of it by `entitlement_template_codes`.
        Reasons: ALREADY_EXISTS, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_CREATE_ENTITLEMENT_TEMPLATE, admin.CreateEntitlementTemplateRequest(template_code=template_code, function_code=function_code, display_name_en=display_name_en, display_name_zh=display_name_zh, total_uses=total_uses, use_mode=use_mode, guard_seconds=guard_seconds, shared=shared, request_id=request_id, rotating_code=rotating_code), timeout)

    async def get_entitlement_template(
        self,
        *,
        template_code: str,
        timeout: float | None = None,
    ) -> admin.GetEntitlementTemplateResponse:
        """Reads an entitlement template. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_ENTITLEMENT_TEMPLATE, admin.GetEntitlementTemplateRequest(template_code=template_code), timeout)

    async def list_entitlement_templates(
        self,
        *,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        function_code: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListEntitlementTemplatesResponse:
        """Lists entitlement templates by page. Reasons: PAGE_TOKEN_INVALID."""
        return await self._calls.unary(_LIST_ENTITLEMENT_TEMPLATES, admin.ListEntitlementTemplatesRequest(state=state, function_code=function_code, page_size=page_size, page_token=page_token), timeout)

    def iter_entitlement_templates(
        self,
        *,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        function_code: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.EntitlementTemplate]:
        """All `entitlement_templates` of list_entitlement_templates, page after page."""
        return self._calls.pages(_LIST_ENTITLEMENT_TEMPLATES, admin.ListEntitlementTemplatesRequest(state=state, function_code=function_code, page_size=page_size), timeout)

    async def update_entitlement_template(
        self,
        *,
        template_code: str,
        update_mask: FieldMask,
        function_code: str = "",
        display_name_en: str = "",
        display_name_zh: str = "",
        total_uses: int = 0,
        use_mode: admin.UseMode.ValueType = admin.USE_MODE_UNSPECIFIED,
        guard_seconds: int | None = None,
        shared: bool | None = None,
        version: int = 0,
        request_id: str = "",
        rotating_code: admin.RotatingCode.ValueType = admin.ROTATING_CODE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> admin.UpdateEntitlementTemplateResponse:
        """Changes an entitlement template, for products that are created or changed with it from now
        on; those there are stay as they are. Reasons: NOT_FOUND, VERSION_MISMATCH, ARCHIVED,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UPDATE_ENTITLEMENT_TEMPLATE, admin.UpdateEntitlementTemplateRequest(template_code=template_code, update_mask=update_mask, function_code=function_code, display_name_en=display_name_en, display_name_zh=display_name_zh, total_uses=total_uses, use_mode=use_mode, guard_seconds=guard_seconds, shared=shared, version=version, request_id=request_id, rotating_code=rotating_code), timeout)

    async def archive_entitlement_template(
        self,
        *,
        template_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchiveEntitlementTemplateResponse:
        """Has no product made of an entitlement template any more. A repeat does no harm. Reasons:
        NOT_FOUND, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ARCHIVE_ENTITLEMENT_TEMPLATE, admin.ArchiveEntitlementTemplateRequest(template_code=template_code, version=version, request_id=request_id), timeout)

    async def unarchive_entitlement_template(
        self,
        *,
        template_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveEntitlementTemplateResponse:
        """Takes an archived entitlement template back. A repeat does no harm. Reasons: NOT_FOUND,
        VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UNARCHIVE_ENTITLEMENT_TEMPLATE, admin.UnarchiveEntitlementTemplateRequest(template_code=template_code, version=version, request_id=request_id), timeout)

    async def create_promotion(
        self,
        *,
        promotion_id: int,
        display_name_en: str,
        display_name_zh: str,
        begin_time: Moment,
        end_time: Moment,
        promotion_code: str | None = None,
        basis_points_off: int | None = None,
        amount_off_minor: int | None = None,
        min_party: int = 0,
        product_ids: Iterable[int] = (),
        stackable: bool = False,
        currency_code: str | None = None,
        max_per_traveller: int | None = None,
        cap: int | None = None,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CreatePromotionResponse:
        """Creates a promotion. Reasons: ALREADY_EXISTS, IDEMPOTENCY_MISMATCH."""
        return await self._calls.unary(_CREATE_PROMOTION, admin.CreatePromotionRequest(promotion_id=promotion_id, display_name_en=display_name_en, display_name_zh=display_name_zh, begin_time=timestamp(begin_time), end_time=timestamp(end_time), promotion_code=promotion_code, basis_points_off=basis_points_off, amount_off_minor=amount_off_minor, min_party=min_party, product_ids=product_ids, stackable=stackable, currency_code=currency_code, max_per_traveller=max_per_traveller, cap=cap, request_id=request_id), timeout)

    async def get_promotion(
        self,
        *,
        promotion_id: int,
        timeout: float | None = None,
    ) -> admin.GetPromotionResponse:
        """Reads a promotion. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_PROMOTION, admin.GetPromotionRequest(promotion_id=promotion_id), timeout)

    async def list_promotions(
        self,
        *,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListPromotionsResponse:
        """Lists promotions by page. Reasons: PAGE_TOKEN_INVALID."""
        return await self._calls.unary(_LIST_PROMOTIONS, admin.ListPromotionsRequest(state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_promotions(
        self,
        *,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.Promotion]:
        """All `promotions` of list_promotions, page after page."""
        return self._calls.pages(_LIST_PROMOTIONS, admin.ListPromotionsRequest(state=state, page_size=page_size), timeout)

    async def update_promotion(
        self,
        *,
        promotion_id: int,
        update_mask: FieldMask,
        promotion_code: str | None = None,
        display_name_en: str = "",
        display_name_zh: str = "",
        basis_points_off: int | None = None,
        amount_off_minor: int | None = None,
        begin_time: Moment | None = None,
        end_time: Moment | None = None,
        min_party: int = 0,
        product_ids: Iterable[int] = (),
        stackable: bool | None = None,
        currency_code: str | None = None,
        max_per_traveller: int | None = None,
        cap: int | None = None,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UpdatePromotionResponse:
        """Changes a promotion, for orders from now on; those that are held or paid keep what they were
        given. Quotes show it within a second. Reasons: NOT_FOUND, VERSION_MISMATCH, ARCHIVED,
        ALREADY_EXISTS (the code), STOCK_IN_USE (the cap), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UPDATE_PROMOTION, admin.UpdatePromotionRequest(promotion_id=promotion_id, update_mask=update_mask, promotion_code=promotion_code, display_name_en=display_name_en, display_name_zh=display_name_zh, basis_points_off=basis_points_off, amount_off_minor=amount_off_minor, begin_time=timestamp(begin_time), end_time=timestamp(end_time), min_party=min_party, product_ids=product_ids, stackable=stackable, currency_code=currency_code, max_per_traveller=max_per_traveller, cap=cap, version=version, request_id=request_id), timeout)

    async def archive_promotion(
        self,
        *,
        promotion_id: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchivePromotionResponse:
        """Ends a promotion, within a second; orders that are held or paid keep what they were given. A
        repeat does no harm. Reasons: NOT_FOUND, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ARCHIVE_PROMOTION, admin.ArchivePromotionRequest(promotion_id=promotion_id, version=version, request_id=request_id), timeout)

    async def unarchive_promotion(
        self,
        *,
        promotion_id: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchivePromotionResponse:
        """Lets an archived promotion apply again, in its window. A repeat does no harm. Reasons:
        NOT_FOUND, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UNARCHIVE_PROMOTION, admin.UnarchivePromotionRequest(promotion_id=promotion_id, version=version, request_id=request_id), timeout)

    async def set_promotion_cap(
        self,
        *,
        promotion_id: int,
        cap: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.SetPromotionCapResponse:
        """Sets for how many orders a promotion is whose orders are counted. Reasons: NOT_FOUND,
        VERSION_MISMATCH, STOCK_IN_USE (fewer than hold and have used it), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_SET_PROMOTION_CAP, admin.SetPromotionCapRequest(promotion_id=promotion_id, cap=cap, version=version, request_id=request_id), timeout)

    async def create_holiday_calendar(
        self,
        *,
        calendar_code: str,
        display_name_en: str,
        display_name_zh: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CreateHolidayCalendarResponse:
        """Creates a holiday calendar. No year of it is known yet. Reasons: ALREADY_EXISTS,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_CREATE_HOLIDAY_CALENDAR, admin.CreateHolidayCalendarRequest(calendar_code=calendar_code, display_name_en=display_name_en, display_name_zh=display_name_zh, request_id=request_id), timeout)

    async def get_holiday_calendar(
        self,
        *,
        calendar_code: str,
        timeout: float | None = None,
    ) -> admin.GetHolidayCalendarResponse:
        """Reads a holiday calendar. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_HOLIDAY_CALENDAR, admin.GetHolidayCalendarRequest(calendar_code=calendar_code), timeout)

    async def list_holiday_calendars(
        self,
        *,
        page_size: int = 0,
        page_token: str = "",
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> admin.ListHolidayCalendarsResponse:
        """Lists holiday calendars by page. Reasons: PAGE_TOKEN_INVALID."""
        return await self._calls.unary(_LIST_HOLIDAY_CALENDARS, admin.ListHolidayCalendarsRequest(page_size=page_size, page_token=page_token, state=state), timeout)

    def iter_holiday_calendars(
        self,
        *,
        page_size: int = 0,
        state: admin.CatalogueState.ValueType = admin.CATALOGUE_STATE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.HolidayCalendar]:
        """All `holiday_calendars` of list_holiday_calendars, page after page."""
        return self._calls.pages(_LIST_HOLIDAY_CALENDARS, admin.ListHolidayCalendarsRequest(page_size=page_size, state=state), timeout)

    async def update_holiday_calendar(
        self,
        *,
        calendar_code: str,
        update_mask: FieldMask,
        display_name_en: str = "",
        display_name_zh: str = "",
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UpdateHolidayCalendarResponse:
        """Changes the names of a holiday calendar. Reasons: NOT_FOUND, VERSION_MISMATCH, ARCHIVED,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UPDATE_HOLIDAY_CALENDAR, admin.UpdateHolidayCalendarRequest(calendar_code=calendar_code, update_mask=update_mask, display_name_en=display_name_en, display_name_zh=display_name_zh, version=version, request_id=request_id), timeout)

    async def archive_holiday_calendar(
        self,
        *,
        calendar_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ArchiveHolidayCalendarResponse:
        """Has no product be of a holiday calendar any more. Refused while a product that is not
        archived is of it, or is to be by a version that is scheduled. What was sold keeps its
        price. A repeat does no harm. Reasons: NOT_FOUND, VERSION_MISMATCH, IN_USE,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ARCHIVE_HOLIDAY_CALENDAR, admin.ArchiveHolidayCalendarRequest(calendar_code=calendar_code, version=version, request_id=request_id), timeout)

    async def unarchive_holiday_calendar(
        self,
        *,
        calendar_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveHolidayCalendarResponse:
        """Takes an archived holiday calendar back, with its years and days. A repeat does no harm.
        Reasons: NOT_FOUND, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UNARCHIVE_HOLIDAY_CALENDAR, admin.UnarchiveHolidayCalendarRequest(calendar_code=calendar_code, version=version, request_id=request_id), timeout)

    async def add_holiday_year(
        self,
        *,
        calendar_code: str,
        year: int,
        source: str,
        days: Iterable[admin.HolidayDay] = (),
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.AddHolidayYearResponse:
        """Adds a year to a holiday calendar, or corrects it, as the official list says: from then on
        the fares of its days are no longer provisional. Orders and tickets keep theirs. Reasons:
        NOT_FOUND, VERSION_MISMATCH, ARCHIVED, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ADD_HOLIDAY_YEAR, admin.AddHolidayYearRequest(calendar_code=calendar_code, year=year, source=source, days=days, version=version, request_id=request_id), timeout)

    async def list_holidays(
        self,
        *,
        calendar_code: str,
        since: str = "",
        until: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListHolidaysResponse:
        """Lists the days of a calendar that are not what their weekday says, by page. Reasons:
        NOT_FOUND, PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_HOLIDAYS, admin.ListHolidaysRequest(calendar_code=calendar_code, since=since, until=until, page_size=page_size, page_token=page_token), timeout)

    def iter_holidays(
        self,
        *,
        calendar_code: str,
        since: str = "",
        until: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.HolidayDay]:
        """All `days` of list_holidays, page after page."""
        return self._calls.pages(_LIST_HOLIDAYS, admin.ListHolidaysRequest(calendar_code=calendar_code, since=since, until=until, page_size=page_size), timeout)

    async def set_holidays(
        self,
        *,
        calendar_code: str,
        days: Iterable[admin.HolidayDay],
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.SetHolidaysResponse:
        """Sets single days of a calendar; searches and quotes show their fares within a second, orders
        and tickets keep theirs. Reasons: NOT_FOUND, VERSION_MISMATCH, ARCHIVED,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_SET_HOLIDAYS, admin.SetHolidaysRequest(calendar_code=calendar_code, days=days, version=version, request_id=request_id), timeout)

    async def remove_holiday(
        self,
        *,
        calendar_code: str,
        day: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.RemoveHolidayResponse:
        """Has a day be what its weekday says. Reasons: NOT_FOUND, VERSION_MISMATCH, ARCHIVED,
        IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_REMOVE_HOLIDAY, admin.RemoveHolidayRequest(calendar_code=calendar_code, day=day, version=version, request_id=request_id), timeout)

    async def list_route_fares(
        self,
        *,
        route_id: int,
        class_code: str = "",
        origin_stop_code: str = "",
        destination_stop_code: str = "",
        customer_type: tickets.CustomerType.ValueType = tickets.CUSTOMER_TYPE_UNSPECIFIED,
        day_type: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListRouteFaresResponse:
        """Lists fares of a route by page, of a class, pair of stops, customer type and type of day.
        Reasons: NOT_FOUND, PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_ROUTE_FARES, admin.ListRouteFaresRequest(route_id=route_id, class_code=class_code, origin_stop_code=origin_stop_code, destination_stop_code=destination_stop_code, customer_type=customer_type, day_type=day_type, page_size=page_size, page_token=page_token), timeout)

    def iter_route_fares(
        self,
        *,
        route_id: int,
        class_code: str = "",
        origin_stop_code: str = "",
        destination_stop_code: str = "",
        customer_type: tickets.CustomerType.ValueType = tickets.CUSTOMER_TYPE_UNSPECIFIED,
        day_type: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.RouteFare]:
        """All `fares` of list_route_fares, page after page."""
        return self._calls.pages(_LIST_ROUTE_FARES, admin.ListRouteFaresRequest(route_id=route_id, class_code=class_code, origin_stop_code=origin_stop_code, destination_stop_code=destination_stop_code, customer_type=customer_type, day_type=day_type, page_size=page_size), timeout)

    async def change_route_fares(
        self,
        *,
        route_id: int,
        fares: Iterable[admin.RouteFare] = (),
        removed_fares: Iterable[admin.RouteFare] = (),
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ChangeRouteFaresResponse:
        """Sets some fares of a route and removes others, for what is sold from now on; orders and
        tickets keep theirs. Searches show it within a second. Reasons: NOT_FOUND, VERSION_MISMATCH,
        ARCHIVED, INVALID_FIELD (also for one to remove that is not there), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_CHANGE_ROUTE_FARES, admin.ChangeRouteFaresRequest(route_id=route_id, fares=fares, removed_fares=removed_fares, version=version, request_id=request_id), timeout)

    async def list_fare_calendar(
        self,
        *,
        product_id: int,
        customer_type: tickets.CustomerType.ValueType,
        since: str,
        until: str,
        route_id: int = 0,
        class_code: str = "",
        origin_stop_code: str = "",
        destination_stop_code: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListFareCalendarResponse:
        """Lists what a product, or a leg of a route in a class, costs a customer type day by day: by
        the calendar of its holidays, before discounts. Reasons: NOT_FOUND, PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_FARE_CALENDAR, admin.ListFareCalendarRequest(product_id=product_id, customer_type=customer_type, since=since, until=until, route_id=route_id, class_code=class_code, origin_stop_code=origin_stop_code, destination_stop_code=destination_stop_code, page_size=page_size, page_token=page_token), timeout)

    def iter_fare_calendar(
        self,
        *,
        product_id: int,
        customer_type: tickets.CustomerType.ValueType,
        since: str,
        until: str,
        route_id: int = 0,
        class_code: str = "",
        origin_stop_code: str = "",
        destination_stop_code: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.FareDay]:
        """All `days` of list_fare_calendar, page after page."""
        return self._calls.pages(_LIST_FARE_CALENDAR, admin.ListFareCalendarRequest(product_id=product_id, customer_type=customer_type, since=since, until=until, route_id=route_id, class_code=class_code, origin_stop_code=origin_stop_code, destination_stop_code=destination_stop_code, page_size=page_size), timeout)

    async def list_blackout_dates(
        self,
        *,
        product_id: int,
        since: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListBlackoutDatesResponse:
        """Lists the days on which a product is not valid, by page. Reasons: NOT_FOUND,
        PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_BLACKOUT_DATES, admin.ListBlackoutDatesRequest(product_id=product_id, since=since, page_size=page_size, page_token=page_token), timeout)

    def iter_blackout_dates(
        self,
        *,
        product_id: int,
        since: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[str]:
        """All `blackout_dates` of list_blackout_dates, page after page."""
        return self._calls.pages(_LIST_BLACKOUT_DATES, admin.ListBlackoutDatesRequest(product_id=product_id, since=since, page_size=page_size), timeout)

    async def add_blackout_dates(
        self,
        *,
        product_id: int,
        blackout_dates: Iterable[str],
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.AddBlackoutDatesResponse:
        """Adds days on which a product is not valid, for what is sold from now on; tickets keep the
        days they were sold with. Reasons: NOT_FOUND, VERSION_MISMATCH, PRODUCT_NOT_ON_SALE
        (archived), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ADD_BLACKOUT_DATES, admin.AddBlackoutDatesRequest(product_id=product_id, blackout_dates=blackout_dates, version=version, request_id=request_id), timeout)

    async def remove_blackout_dates(
        self,
        *,
        product_id: int,
        blackout_dates: Iterable[str],
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.RemoveBlackoutDatesResponse:
        """Takes away days on which a product is not valid, for what is sold from now on; tickets keep
        the days they were sold with. Reasons: NOT_FOUND, VERSION_MISMATCH, PRODUCT_NOT_ON_SALE
        (archived), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_REMOVE_BLACKOUT_DATES, admin.RemoveBlackoutDatesRequest(product_id=product_id, blackout_dates=blackout_dates, version=version, request_id=request_id), timeout)

    async def unarchive_product(
        self,
        *,
        product_id: int,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UnarchiveProductResponse:
        """Puts an archived product on sale again. A repeat does no harm. Reasons: NOT_FOUND,
        VERSION_MISMATCH, INVALID_FIELD (its city or calendar is archived), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UNARCHIVE_PRODUCT, admin.UnarchiveProductRequest(product_id=product_id, version=version, request_id=request_id), timeout)

    async def import_gtfs(
        self,
        *,
        archive: bytes,
        feed_name: str,
        product_id: int,
        seats: Iterable[admin.TimetableSeats],
        city_code: str = "",
        stop_cities: Iterable[admin.GtfsStopCity] = (),
        agency_id: str = "",
        route_ids: Iterable[str] = (),
        sale_days: int | None = None,
        closing_minutes: int | None = None,
        dry_run: bool = False,
        keep_going: bool = False,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ImportGtfsResponse:
        """Imports a GTFS feed: stops, routes, trips as timetables, fares. What of the feed is which of
        ours is remembered under its `feed_name`: a newer edition changes what differs and archives
        what is gone, but never a departure of which something is held or sold. A repeat changes
        nothing. A refused line is no error of the call but stands in the report. Reasons:
        INVALID_FIELD (the archive cannot be read), NOT_FOUND (product), PRODUCT_NOT_ON_SALE,
        STOCK_IN_USE, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_IMPORT_GTFS, admin.ImportGtfsRequest(archive=archive, feed_name=feed_name, product_id=product_id, seats=seats, city_code=city_code, stop_cities=stop_cities, agency_id=agency_id, route_ids=route_ids, sale_days=sale_days, closing_minutes=closing_minutes, dry_run=dry_run, keep_going=keep_going, request_id=request_id), timeout)

    def export_gtfs(
        self,
        *,
        agency_name: str,
        agency_url: str,
        agency_time_zone: str = "",
        agency_email: str = "",
        route_ids: Iterable[int] = (),
        first_date: str = "",
        last_date: str = "",
        timeout: float | None = None,
    ) -> AsyncIterator[admin.ExportGtfsResponse]:
        """Exports what is on sale as a GTFS feed for partners: plain stop_times without frequencies,
        just the days on which something leaves, fares as GTFS-Fares v2. The same content is the
        same bytes. Reasons: INVALID_FIELD (also if it is not known where a stop is), NOT_FOUND
        (route), SERVER_BUSY.
        """
        return self._calls.stream(_EXPORT_GTFS, admin.ExportGtfsRequest(agency_name=agency_name, agency_url=agency_url, agency_time_zone=agency_time_zone, agency_email=agency_email, route_ids=route_ids, first_date=first_date, last_date=last_date), timeout)

    def export_catalogue(
        self,
        *,
        format: admin.CatalogueFormat.ValueType = admin.CATALOGUE_FORMAT_UNSPECIFIED,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.ExportCatalogueResponse]:
        """Exports the catalogue as a file that ImportCatalogue takes: into an empty database it makes
        the same catalogue, without car categories, rental locations, extras and fleets, which files
        do not have. Cells of CSV that a spreadsheet program would take for formulas have an
        apostrophe before them, which the import takes away. Reasons: SERVER_BUSY.
        """
        return self._calls.stream(_EXPORT_CATALOGUE, admin.ExportCatalogueRequest(format=format), timeout)

    async def list_notification_templates(
        self,
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListNotificationTemplatesResponse:
        """Lists the templates of messages in force, by page: those that were published, else those
        that are shipped. Reasons: PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_NOTIFICATION_TEMPLATES, admin.ListNotificationTemplatesRequest(page_size=page_size, page_token=page_token), timeout)

    def iter_notification_templates(
        self,
        *,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.NotificationTemplate]:
        """All `templates` of list_notification_templates, page after page."""
        return self._calls.pages(_LIST_NOTIFICATION_TEMPLATES, admin.ListNotificationTemplatesRequest(page_size=page_size), timeout)

    async def get_notification_template(
        self,
        *,
        kind: ticketing.NotificationKind.ValueType,
        channel: admin.NotificationChannel.ValueType,
        language: ticketing.NotificationLanguage.ValueType,
        version: int = 0,
        timeout: float | None = None,
    ) -> admin.GetNotificationTemplateResponse:
        """Reads a template of messages, as it is in force or was in a version, with the placeholders
        it may have. Reasons: NOT_FOUND.
        """
        return await self._calls.unary(_GET_NOTIFICATION_TEMPLATE, admin.GetNotificationTemplateRequest(kind=kind, channel=channel, language=language, version=version), timeout)

    async def update_notification_template(
        self,
        *,
        kind: ticketing.NotificationKind.ValueType,
        channel: admin.NotificationChannel.ValueType,
        language: ticketing.NotificationLanguage.ValueType,
        template: admin.NotificationTexts,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UpdateNotificationTemplateResponse:
        """Publishes a template of messages; every process goes by it within a second. To go back to a
        version, publish its texts again. Reasons: INVALID_FIELD (a placeholder that there is not,
        named; a brace that stands alone; what the channel needs or has no use for),
        VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UPDATE_NOTIFICATION_TEMPLATE, admin.UpdateNotificationTemplateRequest(kind=kind, channel=channel, language=language, template=template, version=version, request_id=request_id), timeout)

    async def preview_notification_template(
        self,
        *,
        kind: ticketing.NotificationKind.ValueType,
        channel: admin.NotificationChannel.ValueType,
        language: ticketing.NotificationLanguage.ValueType,
        template: admin.NotificationTexts,
        timeout: float | None = None,
    ) -> admin.PreviewNotificationTemplateResponse:
        """Shows a template of messages filled in with sample values, and publishes nothing. Reasons:
        INVALID_FIELD, as of UpdateNotificationTemplate.
        """
        return await self._calls.unary(_PREVIEW_NOTIFICATION_TEMPLATE, admin.PreviewNotificationTemplateRequest(kind=kind, channel=channel, language=language, template=template), timeout)

    async def list_notification_deliveries(
        self,
        *,
        traveller_id: int,
        state: admin.NotificationDeliveryState.ValueType = admin.NOTIFICATION_DELIVERY_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListNotificationDeliveriesResponse:
        """Lists what became of a traveller's messages in each channel but the inbox, the latest first,
        by page. What was given up is replayed by ReplayTask. Reasons: PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_NOTIFICATION_DELIVERIES, admin.ListNotificationDeliveriesRequest(traveller_id=traveller_id, state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_notification_deliveries(
        self,
        *,
        traveller_id: int,
        state: admin.NotificationDeliveryState.ValueType = admin.NOTIFICATION_DELIVERY_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.NotificationDelivery]:
        """All `deliveries` of list_notification_deliveries, page after page."""
        return self._calls.pages(_LIST_NOTIFICATION_DELIVERIES, admin.ListNotificationDeliveriesRequest(traveller_id=traveller_id, state=state, page_size=page_size), timeout)

    async def list_order_notifications(
        self,
        *,
        order_code: str,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListOrderNotificationsResponse:
        """Lists what the traveller of an order was notified of, in which language and channel, and
        what became of it, the latest first, by page. Reasons: NOT_FOUND, PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_ORDER_NOTIFICATIONS, admin.ListOrderNotificationsRequest(order_code=order_code, page_size=page_size, page_token=page_token), timeout)

    def iter_order_notifications(
        self,
        *,
        order_code: str,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.NotificationDelivery]:
        """All `deliveries` of list_order_notifications, page after page."""
        return self._calls.pages(_LIST_ORDER_NOTIFICATIONS, admin.ListOrderNotificationsRequest(order_code=order_code, page_size=page_size), timeout)

    async def list_notification_pauses(
        self,
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListNotificationPausesResponse:
        """Lists the channels and templates that are stopped, by page. Reasons: PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_NOTIFICATION_PAUSES, admin.ListNotificationPausesRequest(page_size=page_size, page_token=page_token), timeout)

    def iter_notification_pauses(
        self,
        *,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.NotificationPause]:
        """All `pauses` of list_notification_pauses, page after page."""
        return self._calls.pages(_LIST_NOTIFICATION_PAUSES, admin.ListNotificationPausesRequest(page_size=page_size), timeout)

    async def resume_notification_channel(
        self,
        *,
        channel: admin.NotificationChannel.ValueType,
        template_id: str = "",
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ResumeNotificationChannelResponse:
        """Has a channel or template that is stopped go on at once; what is not mended stops it again.
        Reasons: NOT_FOUND (it is not stopped), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_RESUME_NOTIFICATION_CHANNEL, admin.ResumeNotificationChannelRequest(channel=channel, template_id=template_id, request_id=request_id), timeout)

    async def connect_channel(
        self,
        *,
        channel_code: str,
        vendor_code: str,
        currency_code: str,
        partner_code: str = "",
        base_url: str = "",
        calls_per_minute: int = 0,
        credentials: Iterable[admin.ChannelCredential] = (),
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ConnectChannelResponse:
        """Connects a channel, ACTIVE, with the words that its vendor’s documents give. Reasons:
        INVALID_FIELD (also for an account that another channel has), NOT_FOUND, REVOKED and
        ARCHIVED (partner), ALREADY_EXISTS, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_CONNECT_CHANNEL, admin.ConnectChannelRequest(channel_code=channel_code, vendor_code=vendor_code, currency_code=currency_code, partner_code=partner_code, base_url=base_url, calls_per_minute=calls_per_minute, credentials=credentials, request_id=request_id), timeout)

    async def get_channel(
        self,
        *,
        channel_code: str,
        timeout: float | None = None,
    ) -> admin.GetChannelResponse:
        """Reads a channel. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_CHANNEL, admin.GetChannelRequest(channel_code=channel_code), timeout)

    async def list_channels(
        self,
        *,
        vendor_code: str = "",
        state: admin.ChannelState.ValueType = admin.CHANNEL_STATE_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListChannelsResponse:
        """Lists channels by page. Reasons: PAGE_TOKEN_INVALID."""
        return await self._calls.unary(_LIST_CHANNELS, admin.ListChannelsRequest(vendor_code=vendor_code, state=state, page_size=page_size, page_token=page_token), timeout)

    def iter_channels(
        self,
        *,
        vendor_code: str = "",
        state: admin.ChannelState.ValueType = admin.CHANNEL_STATE_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.Channel]:
        """All `channels` of list_channels, page after page."""
        return self._calls.pages(_LIST_CHANNELS, admin.ListChannelsRequest(vendor_code=vendor_code, state=state, page_size=page_size), timeout)

    async def update_channel(
        self,
        *,
        channel_code: str,
        update_mask: FieldMask,
        base_url: str = "",
        currency_code: str = "",
        calls_per_minute: int = 0,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.UpdateChannelResponse:
        """Changes a channel, from its next call on. Reasons: INVALID_FIELD, NOT_FOUND, REVOKED,
        VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UPDATE_CHANNEL, admin.UpdateChannelRequest(channel_code=channel_code, update_mask=update_mask, base_url=base_url, currency_code=currency_code, calls_per_minute=calls_per_minute, version=version, request_id=request_id), timeout)

    async def rotate_channel_credentials(
        self,
        *,
        channel_code: str,
        credentials: Iterable[admin.ChannelCredential] = (),
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.RotateChannelCredentialsResponse:
        """Gives a channel other credentials, which count from its next call on, in every process.
        Reasons: INVALID_FIELD, NOT_FOUND, REVOKED, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_ROTATE_CHANNEL_CREDENTIALS, admin.RotateChannelCredentialsRequest(channel_code=channel_code, credentials=credentials, version=version, request_id=request_id), timeout)

    async def pause_channel(
        self,
        *,
        channel_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.PauseChannelResponse:
        """Pauses a channel: nothing is sent or fetched, and what changes waits. A repeat does no harm.
        Reasons: NOT_FOUND, REVOKED, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_PAUSE_CHANNEL, admin.PauseChannelRequest(channel_code=channel_code, version=version, request_id=request_id), timeout)

    async def resume_channel(
        self,
        *,
        channel_code: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.ResumeChannelResponse:
        """Resumes a paused channel, which is then sent what has changed meanwhile. A repeat does no
        harm. Reasons: INVALID_FIELD (another channel has its account), NOT_FOUND, REVOKED,
        VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_RESUME_CHANNEL, admin.ResumeChannelRequest(channel_code=channel_code, version=version, request_id=request_id), timeout)

    async def disconnect_channel(
        self,
        *,
        channel_code: str,
        keep_bookings: bool = False,
        at_once: bool = False,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.DisconnectChannelResponse:
        """Disconnects a channel: it is sent that nothing is left, what it has booked until then is
        seen to, and then its credentials are erased; nothing else of it is deleted. ConnectChannel
        with the same code and account takes it up again, and ResumeChannel before it has ended. A
        repeat does no harm. Reasons: NOT_FOUND, IN_USE (bookings that are not over, unless they are
        kept), VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_DISCONNECT_CHANNEL, admin.DisconnectChannelRequest(channel_code=channel_code, keep_bookings=keep_bookings, at_once=at_once, version=version, request_id=request_id), timeout)

    async def test_channel(
        self,
        *,
        channel_code: str,
        timeout: float | None = None,
    ) -> admin.TestChannelResponse:
        """Calls a channel with the credentials that it has, and says what became of it; nothing is
        changed there. One that fetches a feed, or calls us, is not called: UNTESTABLE. Reasons:
        NOT_FOUND.
        """
        return await self._calls.unary(_TEST_CHANNEL, admin.TestChannelRequest(channel_code=channel_code), timeout)

    async def sync_channel(
        self,
        *,
        channel_code: str,
        everything: bool = False,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.SyncChannelResponse:
        """Has a channel compared with catalogue and stock now, and sent what differs, by the processes
        that run. Reasons: NOT_FOUND, REVOKED, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_SYNC_CHANNEL, admin.SyncChannelRequest(channel_code=channel_code, everything=everything, request_id=request_id), timeout)

    async def fetch_channel_bookings(
        self,
        *,
        channel_code: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.FetchChannelBookingsResponse:
        """Has all bookings of a channel fetched now that are not over. Reasons: NOT_FOUND, REVOKED,
        INVALID_FIELD (a vendor that lists none), IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_FETCH_CHANNEL_BOOKINGS, admin.FetchChannelBookingsRequest(channel_code=channel_code, request_id=request_id), timeout)

    async def get_channel_drift(
        self,
        *,
        channel_code: str,
        timeout: float | None = None,
    ) -> admin.GetChannelDriftResponse:
        """Says how far a channel is behind price plans, catalogue and stock as they are at this
        moment, and what cannot be sent. Reasons: NOT_FOUND, SERVER_BUSY, RANGE_TOO_LARGE.
        """
        return await self._calls.unary(_GET_CHANNEL_DRIFT, admin.GetChannelDriftRequest(channel_code=channel_code), timeout)

    async def list_channel_drift(
        self,
        *,
        channel_code: str,
        item_id: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListChannelDriftResponse:
        """Lists what a channel was sent otherwise, or not at all, than price plans, catalogue and
        stock say at this moment, or is about to be, by page: worked out anew, and compared with
        what the vendor took when it was sent, as vendors have no call to read back. SyncChannel
        mends it. Reasons: NOT_FOUND, PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_CHANNEL_DRIFT, admin.ListChannelDriftRequest(channel_code=channel_code, item_id=item_id, page_size=page_size, page_token=page_token), timeout)

    def iter_channel_drift(
        self,
        *,
        channel_code: str,
        item_id: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.ChannelDifference]:
        """All `differences` of list_channel_drift, page after page."""
        return self._calls.pages(_LIST_CHANNEL_DRIFT, admin.ListChannelDriftRequest(channel_code=channel_code, item_id=item_id, page_size=page_size), timeout)

    async def list_channel_values(
        self,
        *,
        channel_code: str,
        what: admin.ChannelValueKind.ValueType = admin.CHANNEL_VALUE_KIND_UNSPECIFIED,
        item_id: str = "",
        waiting: bool = False,
        faulty: bool = False,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListChannelValuesResponse:
        """Lists what a channel is to know and what it was sent, by page. Reasons: NOT_FOUND,
        PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_CHANNEL_VALUES, admin.ListChannelValuesRequest(channel_code=channel_code, what=what, item_id=item_id, waiting=waiting, faulty=faulty, page_size=page_size, page_token=page_token), timeout)

    def iter_channel_values(
        self,
        *,
        channel_code: str,
        what: admin.ChannelValueKind.ValueType = admin.CHANNEL_VALUE_KIND_UNSPECIFIED,
        item_id: str = "",
        waiting: bool = False,
        faulty: bool = False,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.ChannelValue]:
        """All `values` of list_channel_values, page after page."""
        return self._calls.pages(_LIST_CHANNEL_VALUES, admin.ListChannelValuesRequest(channel_code=channel_code, what=what, item_id=item_id, waiting=waiting, faulty=faulty, page_size=page_size), timeout)

    async def list_channel_differences(
        self,
        *,
        channel_code: str,
        what: admin.ChannelValueKind.ValueType = admin.CHANNEL_VALUE_KIND_UNSPECIFIED,
        item_id: str = "",
        uncorrected: bool = False,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListChannelDifferencesResponse:
        """Lists of which values full syncs of the last seven days found that a channel had been sent
        others, by page. Reasons: NOT_FOUND, PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_CHANNEL_DIFFERENCES, admin.ListChannelDifferencesRequest(channel_code=channel_code, what=what, item_id=item_id, uncorrected=uncorrected, page_size=page_size, page_token=page_token), timeout)

    def iter_channel_differences(
        self,
        *,
        channel_code: str,
        what: admin.ChannelValueKind.ValueType = admin.CHANNEL_VALUE_KIND_UNSPECIFIED,
        item_id: str = "",
        uncorrected: bool = False,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.ChannelDifference]:
        """All `differences` of list_channel_differences, page after page."""
        return self._calls.pages(_LIST_CHANNEL_DIFFERENCES, admin.ListChannelDifferencesRequest(channel_code=channel_code, what=what, item_id=item_id, uncorrected=uncorrected, page_size=page_size), timeout)

    def download_channel_differences(
        self,
        *,
        channel_code: str,
        uncorrected: bool = False,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.DownloadChannelDifferencesResponse]:
        """Downloads the same as CSV, all its rows. Reasons: NOT_FOUND, SERVER_BUSY."""
        return self._calls.stream(_DOWNLOAD_CHANNEL_DIFFERENCES, admin.DownloadChannelDifferencesRequest(channel_code=channel_code, uncorrected=uncorrected), timeout)

    async def get_channel_cadences(
        self,
        *,
        channel_code: str,
        timeout: float | None = None,
    ) -> admin.GetChannelCadencesResponse:
        """Reads when each part of what a channel is to know was compared, and is next. Reasons:
        NOT_FOUND.
        """
        return await self._calls.unary(_GET_CHANNEL_CADENCES, admin.GetChannelCadencesRequest(channel_code=channel_code), timeout)

    async def list_channel_calls(
        self,
        *,
        channel_code: str,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListChannelCallsResponse:
        """Lists calls to a channel, the newest first, by page. Reasons: NOT_FOUND, PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_CHANNEL_CALLS, admin.ListChannelCallsRequest(channel_code=channel_code, page_size=page_size, page_token=page_token), timeout)

    def iter_channel_calls(
        self,
        *,
        channel_code: str,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.ChannelCall]:
        """All `calls` of list_channel_calls, page after page."""
        return self._calls.pages(_LIST_CHANNEL_CALLS, admin.ListChannelCallsRequest(channel_code=channel_code, page_size=page_size), timeout)

    async def list_channel_words(
        self,
        *,
        channel_code: str,
        kind: admin.ChannelWordKind.ValueType = admin.CHANNEL_WORD_KIND_UNSPECIFIED,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListChannelWordsResponse:
        """Lists the vendor’s words beside ours, by page. Reasons: NOT_FOUND, PAGE_TOKEN_INVALID."""
        return await self._calls.unary(_LIST_CHANNEL_WORDS, admin.ListChannelWordsRequest(channel_code=channel_code, kind=kind, page_size=page_size, page_token=page_token), timeout)

    def iter_channel_words(
        self,
        *,
        channel_code: str,
        kind: admin.ChannelWordKind.ValueType = admin.CHANNEL_WORD_KIND_UNSPECIFIED,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.ChannelWord]:
        """All `words` of list_channel_words, page after page."""
        return self._calls.pages(_LIST_CHANNEL_WORDS, admin.ListChannelWordsRequest(channel_code=channel_code, kind=kind, page_size=page_size), timeout)

    async def set_channel_word(
        self,
        *,
        channel_code: str,
        kind: admin.ChannelWordKind.ValueType,
        ours: str,
        theirs: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.SetChannelWordResponse:
        """Adds a word, or changes it; what waited for it, or was sent with another, is sent. That of a
        place where the channel sells is not changed: end its listings first. Reasons:
        INVALID_FIELD, NOT_FOUND, REVOKED, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_SET_CHANNEL_WORD, admin.SetChannelWordRequest(channel_code=channel_code, kind=kind, ours=ours, theirs=theirs, version=version, request_id=request_id), timeout)

    async def remove_channel_word(
        self,
        *,
        channel_code: str,
        kind: admin.ChannelWordKind.ValueType,
        word: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.RemoveChannelWordResponse:
        """Removes a word: nothing is sent in its place. Not that of a place where the channel sells.
        Reasons: INVALID_FIELD, NOT_FOUND, REVOKED, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_REMOVE_CHANNEL_WORD, admin.RemoveChannelWordRequest(channel_code=channel_code, kind=kind, word=word, version=version, request_id=request_id), timeout)

    async def create_channel_listing(
        self,
        *,
        channel_code: str,
        item_id: str,
        location: str,
        currency_code: str,
        product_id: int = 0,
        rental_location_id: int = 0,
        timetable_id: int = 0,
        class_index: int = 0,
        origin_index: int = 0,
        destination_index: int = 0,
        customer_type: tickets.CustomerType.ValueType = tickets.CUSTOMER_TYPE_UNSPECIFIED,
        rate_millionths: int = 0,
        markup_basis_points: int | None = None,
        threshold: int | None = None,
        days_ahead: int = 0,
        request_id: str = "",
        price_pace: admin.ChannelPricePace.ValueType = admin.CHANNEL_PRICE_PACE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> admin.CreateChannelListingResponse:
        """Lists something at a channel; its prices and quantities are worked out and sent at once.
        Reasons: INVALID_FIELD, NOT_FOUND, REVOKED, ARCHIVED, ALREADY_EXISTS, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_CREATE_CHANNEL_LISTING, admin.CreateChannelListingRequest(channel_code=channel_code, item_id=item_id, location=location, currency_code=currency_code, product_id=product_id, rental_location_id=rental_location_id, timetable_id=timetable_id, class_index=class_index, origin_index=origin_index, destination_index=destination_index, customer_type=customer_type, rate_millionths=rate_millionths, markup_basis_points=markup_basis_points, threshold=threshold, days_ahead=days_ahead, request_id=request_id, price_pace=price_pace), timeout)

    async def get_channel_listing(
        self,
        *,
        channel_code: str,
        item_id: str,
        timeout: float | None = None,
    ) -> admin.GetChannelListingResponse:
        """Reads a listing. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_CHANNEL_LISTING, admin.GetChannelListingRequest(channel_code=channel_code, item_id=item_id), timeout)

    async def list_channel_listings(
        self,
        *,
        channel_code: str,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListChannelListingsResponse:
        """Lists what is listed at a channel, by page. Reasons: NOT_FOUND, PAGE_TOKEN_INVALID."""
        return await self._calls.unary(_LIST_CHANNEL_LISTINGS, admin.ListChannelListingsRequest(channel_code=channel_code, page_size=page_size, page_token=page_token), timeout)

    def iter_channel_listings(
        self,
        *,
        channel_code: str,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.ChannelListing]:
        """All `listings` of list_channel_listings, page after page."""
        return self._calls.pages(_LIST_CHANNEL_LISTINGS, admin.ListChannelListingsRequest(channel_code=channel_code, page_size=page_size), timeout)

    async def update_channel_listing(
        self,
        *,
        channel_code: str,
        item_id: str,
        update_mask: FieldMask,
        customer_type: tickets.CustomerType.ValueType = tickets.CUSTOMER_TYPE_UNSPECIFIED,
        currency_code: str = "",
        rate_millionths: int = 0,
        markup_basis_points: int | None = None,
        threshold: int | None = None,
        days_ahead: int = 0,
        version: int = 0,
        request_id: str = "",
        price_pace: admin.ChannelPricePace.ValueType = admin.CHANNEL_PRICE_PACE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> admin.UpdateChannelListingResponse:
        """Changes the price plan or pace of a listing; what differs is sent at once. Reasons:
        INVALID_FIELD, NOT_FOUND, REVOKED, VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_UPDATE_CHANNEL_LISTING, admin.UpdateChannelListingRequest(channel_code=channel_code, item_id=item_id, update_mask=update_mask, customer_type=customer_type, currency_code=currency_code, rate_millionths=rate_millionths, markup_basis_points=markup_basis_points, threshold=threshold, days_ahead=days_ahead, version=version, request_id=request_id, price_pace=price_pace), timeout)

    async def end_channel_listing(
        self,
        *,
        channel_code: str,
        item_id: str,
        version: int = 0,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.EndChannelListingResponse:
        """Ends a listing: the channel is sent that nothing is left of it. Reasons: NOT_FOUND, REVOKED,
        VERSION_MISMATCH, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_END_CHANNEL_LISTING, admin.EndChannelListingRequest(channel_code=channel_code, item_id=item_id, version=version, request_id=request_id), timeout)

    async def list_channel_bookings(
        self,
        *,
        channel_code: str,
        state: admin.ChannelBookingState.ValueType = admin.CHANNEL_BOOKING_STATE_UNSPECIFIED,
        faulty: bool = False,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> admin.ListChannelBookingsResponse:
        """Lists the bookings of a channel, the newest first, by page. Reasons: NOT_FOUND,
        PAGE_TOKEN_INVALID.
        """
        return await self._calls.unary(_LIST_CHANNEL_BOOKINGS, admin.ListChannelBookingsRequest(channel_code=channel_code, state=state, faulty=faulty, page_size=page_size, page_token=page_token), timeout)

    def iter_channel_bookings(
        self,
        *,
        channel_code: str,
        state: admin.ChannelBookingState.ValueType = admin.CHANNEL_BOOKING_STATE_UNSPECIFIED,
        faulty: bool = False,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[admin.ChannelBooking]:
        """All `bookings` of list_channel_bookings, page after page."""
        return self._calls.pages(_LIST_CHANNEL_BOOKINGS, admin.ListChannelBookingsRequest(channel_code=channel_code, state=state, faulty=faulty, page_size=page_size), timeout)

    async def get_channel_booking(
        self,
        *,
        channel_code: str,
        booking_id: str,
        timeout: float | None = None,
    ) -> admin.GetChannelBookingResponse:
        """Reads a booking of a channel. Reasons: NOT_FOUND."""
        return await self._calls.unary(_GET_CHANNEL_BOOKING, admin.GetChannelBookingRequest(channel_code=channel_code, booking_id=booking_id), timeout)

    async def cancel_channel_booking(
        self,
        *,
        channel_code: str,
        booking_id: str,
        comment: str,
        reason: str = "",
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.CancelChannelBookingResponse:
        """Has a booking cancelled at the channel, or rejected if no order was made of it. A repeat
        does no harm. Reasons: INVALID_FIELD, NOT_FOUND, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_CANCEL_CHANNEL_BOOKING, admin.CancelChannelBookingRequest(channel_code=channel_code, booking_id=booking_id, comment=comment, reason=reason, request_id=request_id), timeout)

    async def retry_channel_booking(
        self,
        *,
        channel_code: str,
        booking_id: str,
        request_id: str = "",
        timeout: float | None = None,
    ) -> admin.RetryChannelBookingResponse:
        """Has a booking looked at again at once, as after a word was mapped. Reasons: INVALID_FIELD
        (one that cannot be read is fetched anew), NOT_FOUND, REVOKED, IDEMPOTENCY_MISMATCH.
        """
        return await self._calls.unary(_RETRY_CHANNEL_BOOKING, admin.RetryChannelBookingRequest(channel_code=channel_code, booking_id=booking_id, request_id=request_id), timeout)
