"""The methods of AdminService about rentals of cars: categories, locations, extras, fleets and
their stock. What a row does, and how a noun is added, stands in `table.py`.
"""

from datetime import date

from deeptravel.admin.v1 import (
    car_category_pb2,
    rental_extra_pb2,
    rental_fleet_pb2,
    rental_location_pb2,
)

from server.api import convert
from server.api.admin import rental_messages
from server.api.admin.noun_messages import day
from server.api.admin.table import AdminMethods, Create, Get, List, Noun, Retire, Update, by
from server.api.paging import Page, paged
from server.api.repeats import ChangingCall, changing
from server.audit.rules import DIRECT_CHANNEL
from server.catalog import car_categories, rental_extras, rental_fleets, rental_locations
from server.identity.callers import Admin

CAR_CATEGORY = Noun(car_categories.CAR_CATEGORIES, rental_messages.category_message)
LOCATION = Noun(rental_locations.LOCATIONS, rental_messages.location_message)
EXTRA = Noun(rental_extras.EXTRAS, rental_messages.extra_message)
FLEET = Noun(rental_fleets.FLEETS, rental_messages.fleet_message)


class RentalMethods(AdminMethods):
    """A part of AdminServicer; the contract documents each method."""

    CreateCarCategory = Create(
        car_category_pb2.CreateCarCategoryRequest,
        car_category_pb2.CreateCarCategoryResponse,
        CAR_CATEGORY,
        rental_messages.new_category,
        car_categories.create_category,
    )
    GetCarCategory = Get(
        car_category_pb2.GetCarCategoryRequest,
        car_category_pb2.GetCarCategoryResponse,
        CAR_CATEGORY,
    )
    ListCarCategories = List(
        car_category_pb2.ListCarCategoriesRequest,
        car_category_pb2.ListCarCategoriesResponse,
        CAR_CATEGORY,
    )
    UpdateCarCategory = Update(
        car_category_pb2.UpdateCarCategoryRequest,
        car_category_pb2.UpdateCarCategoryResponse,
        CAR_CATEGORY,
        car_categories.update_category,
    )
    ArchiveCarCategory = Retire(
        car_category_pb2.ArchiveCarCategoryRequest,
        car_category_pb2.ArchiveCarCategoryResponse,
        CAR_CATEGORY,
        car_categories.archive_category,
    )
    UnarchiveCarCategory = Retire(
        car_category_pb2.UnarchiveCarCategoryRequest,
        car_category_pb2.UnarchiveCarCategoryResponse,
        CAR_CATEGORY,
        car_categories.unarchive_category,
    )

    CreateRentalLocation = Create(
        rental_location_pb2.CreateRentalLocationRequest,
        rental_location_pb2.CreateRentalLocationResponse,
        LOCATION,
        rental_messages.new_location,
        rental_locations.create_location,
    )
    GetRentalLocation = Get(
        rental_location_pb2.GetRentalLocationRequest,
        rental_location_pb2.GetRentalLocationResponse,
        LOCATION,
    )
    ListRentalLocations = List(
        rental_location_pb2.ListRentalLocationsRequest,
        rental_location_pb2.ListRentalLocationsResponse,
        LOCATION,
    )
    UpdateRentalLocation = Update(
        rental_location_pb2.UpdateRentalLocationRequest,
        rental_location_pb2.UpdateRentalLocationResponse,
        LOCATION,
        rental_locations.update_location,
        rental_messages.READ_LOCATION,
    )
    ArchiveRentalLocation = Retire(
        rental_location_pb2.ArchiveRentalLocationRequest,
        rental_location_pb2.ArchiveRentalLocationResponse,
        LOCATION,
        rental_locations.archive_location,
    )
    UnarchiveRentalLocation = Retire(
        rental_location_pb2.UnarchiveRentalLocationRequest,
        rental_location_pb2.UnarchiveRentalLocationResponse,
        LOCATION,
        rental_locations.unarchive_location,
    )

    CreateRentalExtra = Create(
        rental_extra_pb2.CreateRentalExtraRequest,
        rental_extra_pb2.CreateRentalExtraResponse,
        EXTRA,
        rental_messages.new_extra,
        rental_extras.create_extra,
    )
    GetRentalExtra = Get(
        rental_extra_pb2.GetRentalExtraRequest, rental_extra_pb2.GetRentalExtraResponse, EXTRA
    )
    ListRentalExtras = List(
        rental_extra_pb2.ListRentalExtrasRequest, rental_extra_pb2.ListRentalExtrasResponse, EXTRA
    )
    UpdateRentalExtra = Update(
        rental_extra_pb2.UpdateRentalExtraRequest,
        rental_extra_pb2.UpdateRentalExtraResponse,
        EXTRA,
        rental_extras.update_extra,
    )
    ArchiveRentalExtra = Retire(
        rental_extra_pb2.ArchiveRentalExtraRequest,
        rental_extra_pb2.ArchiveRentalExtraResponse,
        EXTRA,
        rental_extras.archive_extra,
    )
    UnarchiveRentalExtra = Retire(
        rental_extra_pb2.UnarchiveRentalExtraRequest,
        rental_extra_pb2.UnarchiveRentalExtraResponse,
        EXTRA,
        rental_extras.unarchive_extra,
    )

    CreateRentalFleet = Create(
        rental_fleet_pb2.CreateRentalFleetRequest,
        rental_fleet_pb2.CreateRentalFleetResponse,
        FLEET,
        rental_messages.new_fleet,
        rental_fleets.create_fleet,
    )
    GetRentalFleet = Get(
        rental_fleet_pb2.GetRentalFleetRequest, rental_fleet_pb2.GetRentalFleetResponse, FLEET
    )
    ListRentalFleets = List(
        rental_fleet_pb2.ListRentalFleetsRequest, rental_fleet_pb2.ListRentalFleetsResponse, FLEET
    )
    UpdateRentalFleet = Update(
        rental_fleet_pb2.UpdateRentalFleetRequest,
        rental_fleet_pb2.UpdateRentalFleetResponse,
        FLEET,
        rental_fleets.update_fleet,
        rental_messages.READ_FLEET,
    )
    ArchiveRentalFleet = Retire(
        rental_fleet_pb2.ArchiveRentalFleetRequest,
        rental_fleet_pb2.ArchiveRentalFleetResponse,
        FLEET,
        rental_fleets.archive_fleet,
    )
    UnarchiveRentalFleet = Retire(
        rental_fleet_pb2.UnarchiveRentalFleetRequest,
        rental_fleet_pb2.UnarchiveRentalFleetResponse,
        FLEET,
        rental_fleets.unarchive_fleet,
    )

    @paged
    async def ListRentalStock(
        self, request: rental_fleet_pb2.ListRentalStockRequest, page: Page[Admin, date]
    ) -> rental_fleet_pb2.ListRentalStockResponse:
        days = rental_fleets.WantedDays(
            request.fleet_id,
            request.channel or DIRECT_CHANNEL,
            convert.day(request, "first_date"),
            convert.day(request, "last_date"),
            page.after,
        )
        async with self._db.report(page.caller.key) as tx:
            found = await rental_fleets.stock(tx, days, limit=page.size + 1)
            fleet = await rental_fleets.FLEETS.get(tx, request.fleet_id)
        shown = page.cut(found, lambda last: last.use_date)
        messages = [rental_messages.stock_message(*days[:2], each) for each in shown]
        return rental_fleet_pb2.ListRentalStockResponse(stock=messages, version=fleet.version)

    @changing
    async def SetRentalStock(
        self, request: rental_fleet_pb2.SetRentalStockRequest, call: ChangingCall[Admin]
    ) -> rental_fleet_pb2.SetRentalStockResponse:
        await rental_fleets.FLEETS.require_version(call.tx, request.fleet_id, request.version)
        changed = await rental_fleets.set_stock(
            call.tx,
            request.fleet_id,
            first_date=day("first_date", request.first_date),
            last_date=day("last_date", request.last_date),
            total=request.total,
            **by(call),
        )
        return rental_fleet_pb2.SetRentalStockResponse(**changed._asdict())
