"""All services: for threads, and for asyncio."""

from deeptravel._generated.admin.service import AdminService, AsyncAdminService
from deeptravel._generated.ota.service import AsyncOtaService, OtaService
from deeptravel._generated.redemption.service import AsyncRedemptionService, RedemptionService
from deeptravel._generated.ticketing.service import AsyncTicketingService, TicketingService

__all__ = [
    "AdminService",
    "AsyncAdminService",
    "AsyncOtaService",
    "AsyncRedemptionService",
    "AsyncTicketingService",
    "OtaService",
    "RedemptionService",
    "TicketingService",
]
