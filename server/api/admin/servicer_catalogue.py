"""What administrators do to the records of the catalogue, as rows of the table of AdminService: a
noun, and a row for each of its methods.

What a row does stands in `table.py`, how a noun is added in `docs/guides/adding-a-noun.md`.
"""

from typing import Unpack

from deeptravel.admin.v1 import (
    catalog_pb2,
    city_pb2,
    entitlement_template_pb2,
    promotion_pb2,
    route_pb2,
    timetable_pb2,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from server.api.admin import noun_messages, route_messages
from server.api.admin.table import AdminMethods, Create, Get, List, Noun, Retire, Update, by
from server.api.repeats import ChangingCall, changing
from server.audit.records import By
from server.catalog import cities, promotions, routes, templates, timetables
from server.catalog.changes import ACTIVE
from server.catalog.promotions import KeptPromotion, PromotionRecord
from server.identity.callers import Admin

CITY = Noun(cities.CITIES, noun_messages.city_message)
STOP = Noun(cities.STOPS, noun_messages.stop_message)
ROUTE = Noun(routes.ROUTES, route_messages.route_message)
TIMETABLE = Noun(timetables.TIMETABLES, noun_messages.timetable_message)
TEMPLATE = Noun(templates.TEMPLATES, noun_messages.template_message)
PROMOTION = Noun(promotions.PROMOTIONS, noun_messages.promotion_message)


async def _create_promotion(
    tx: AsyncConnection, new: tuple[PromotionRecord, int], /, **by: Unpack[By]
) -> KeptPromotion:
    record, cap = new
    return await promotions.create_promotion(tx, record, cap=cap, **by)


class CatalogueMethods(AdminMethods):
    """A part of AdminServicer; the contract documents each method."""

    CreateCity = Create(
        city_pb2.CreateCityRequest,
        city_pb2.CreateCityResponse,
        CITY,
        noun_messages.new_city,
        cities.create_city,
    )
    GetCity = Get(city_pb2.GetCityRequest, city_pb2.GetCityResponse, CITY)
    ListCities = List(city_pb2.ListCitiesRequest, city_pb2.ListCitiesResponse, CITY)
    UpdateCity = Update(
        city_pb2.UpdateCityRequest,
        city_pb2.UpdateCityResponse,
        CITY,
        cities.update_city,
        noun_messages.READ_CITY,
    )
    ArchiveCity = Retire(
        city_pb2.ArchiveCityRequest,
        city_pb2.ArchiveCityResponse,
        CITY,
        cities.archive_city,
    )
    UnarchiveCity = Retire(
        city_pb2.UnarchiveCityRequest,
        city_pb2.UnarchiveCityResponse,
        CITY,
        cities.unarchive_city,
    )

    CreateStop = Create(
        city_pb2.CreateStopRequest,
        city_pb2.CreateStopResponse,
        STOP,
        noun_messages.new_stop,
        cities.create_stop,
    )
    GetStop = Get(city_pb2.GetStopRequest, city_pb2.GetStopResponse, STOP)
    ListStops = List(city_pb2.ListStopsRequest, city_pb2.ListStopsResponse, STOP)
    UpdateStop = Update(
        city_pb2.UpdateStopRequest,
        city_pb2.UpdateStopResponse,
        STOP,
        cities.update_stop,
    )
    ArchiveStop = Retire(
        city_pb2.ArchiveStopRequest,
        city_pb2.ArchiveStopResponse,
        STOP,
        cities.archive_stop,
    )
    UnarchiveStop = Retire(
        city_pb2.UnarchiveStopRequest,
        city_pb2.UnarchiveStopResponse,
        STOP,
        cities.unarchive_stop,
    )

    CreateRoute = Create(
        route_pb2.CreateRouteRequest,
        route_pb2.CreateRouteResponse,
        ROUTE,
        route_messages.new_route,
        routes.create_route,
    )
    GetRoute = Get(route_pb2.GetRouteRequest, route_pb2.GetRouteResponse, ROUTE)
    ListRoutes = List(
        catalog_pb2.ListRoutesRequest, catalog_pb2.ListRoutesResponse, ROUTE, {"state": ACTIVE}
    )
    UpdateRoute = Update(
        route_pb2.UpdateRouteRequest,
        route_pb2.UpdateRouteResponse,
        ROUTE,
        routes.update_route,
        route_messages.READ_ROUTE,
        route_messages.ROUTE_NAMES,
    )
    ArchiveRoute = Retire(
        route_pb2.ArchiveRouteRequest,
        route_pb2.ArchiveRouteResponse,
        ROUTE,
        routes.archive_route,
    )
    UnarchiveRoute = Retire(
        route_pb2.UnarchiveRouteRequest,
        route_pb2.UnarchiveRouteResponse,
        ROUTE,
        routes.unarchive_route,
    )

    CreateTimetable = Create(
        timetable_pb2.CreateTimetableRequest,
        timetable_pb2.CreateTimetableResponse,
        TIMETABLE,
        noun_messages.new_timetable,
        timetables.create_timetable,
    )
    GetTimetable = Get(
        timetable_pb2.GetTimetableRequest, timetable_pb2.GetTimetableResponse, TIMETABLE
    )
    ListTimetables = List(
        timetable_pb2.ListTimetablesRequest, timetable_pb2.ListTimetablesResponse, TIMETABLE
    )
    UpdateTimetable = Update(
        timetable_pb2.UpdateTimetableRequest,
        timetable_pb2.UpdateTimetableResponse,
        TIMETABLE,
        timetables.update_timetable,
        noun_messages.READ_TIMETABLE,
    )
    ArchiveTimetable = Retire(
        timetable_pb2.ArchiveTimetableRequest,
        timetable_pb2.ArchiveTimetableResponse,
        TIMETABLE,
        timetables.archive_timetable,
    )
    UnarchiveTimetable = Retire(
        timetable_pb2.UnarchiveTimetableRequest,
        timetable_pb2.UnarchiveTimetableResponse,
        TIMETABLE,
        timetables.unarchive_timetable,
    )

    CreateEntitlementTemplate = Create(
        entitlement_template_pb2.CreateEntitlementTemplateRequest,
        entitlement_template_pb2.CreateEntitlementTemplateResponse,
        TEMPLATE,
        noun_messages.new_template,
        templates.create_template,
    )
    GetEntitlementTemplate = Get(
        entitlement_template_pb2.GetEntitlementTemplateRequest,
        entitlement_template_pb2.GetEntitlementTemplateResponse,
        TEMPLATE,
    )
    ListEntitlementTemplates = List(
        entitlement_template_pb2.ListEntitlementTemplatesRequest,
        entitlement_template_pb2.ListEntitlementTemplatesResponse,
        TEMPLATE,
    )
    UpdateEntitlementTemplate = Update(
        entitlement_template_pb2.UpdateEntitlementTemplateRequest,
        entitlement_template_pb2.UpdateEntitlementTemplateResponse,
        TEMPLATE,
        templates.update_template,
    )
    ArchiveEntitlementTemplate = Retire(
        entitlement_template_pb2.ArchiveEntitlementTemplateRequest,
        entitlement_template_pb2.ArchiveEntitlementTemplateResponse,
        TEMPLATE,
        templates.archive_template,
    )
    UnarchiveEntitlementTemplate = Retire(
        entitlement_template_pb2.UnarchiveEntitlementTemplateRequest,
        entitlement_template_pb2.UnarchiveEntitlementTemplateResponse,
        TEMPLATE,
        templates.unarchive_template,
    )

    CreatePromotion = Create(
        promotion_pb2.CreatePromotionRequest,
        promotion_pb2.CreatePromotionResponse,
        PROMOTION,
        noun_messages.new_promotion,
        _create_promotion,
    )
    GetPromotion = Get(
        promotion_pb2.GetPromotionRequest, promotion_pb2.GetPromotionResponse, PROMOTION
    )
    ListPromotions = List(
        promotion_pb2.ListPromotionsRequest, promotion_pb2.ListPromotionsResponse, PROMOTION
    )
    UpdatePromotion = Update(
        promotion_pb2.UpdatePromotionRequest,
        promotion_pb2.UpdatePromotionResponse,
        PROMOTION,
        promotions.update_promotion,
        noun_messages.READ_PROMOTION,
        noun_messages.PROMOTION_NAMES,
    )
    ArchivePromotion = Retire(
        promotion_pb2.ArchivePromotionRequest,
        promotion_pb2.ArchivePromotionResponse,
        PROMOTION,
        promotions.archive_promotion,
    )
    UnarchivePromotion = Retire(
        promotion_pb2.UnarchivePromotionRequest,
        promotion_pb2.UnarchivePromotionResponse,
        PROMOTION,
        promotions.unarchive_promotion,
    )

    @changing
    async def SetPromotionCap(
        self, request: promotion_pb2.SetPromotionCapRequest, call: ChangingCall[Admin]
    ) -> promotion_pb2.SetPromotionCapResponse:
        number = request.promotion_id
        await promotions.PROMOTIONS.require_version(call.tx, number, request.version)
        changed = await promotions.update_promotion(
            call.tx, number, {"cap": request.cap}, **by(call)
        )
        message = noun_messages.promotion_message(changed)
        return promotion_pb2.SetPromotionCapResponse(promotion=message)
