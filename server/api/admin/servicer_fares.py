"""The methods of AdminService about fares, day by day too, and the days on which products are not
valid.
"""

from collections.abc import Iterable
from datetime import date

from deeptravel.admin.v1 import catalog_pb2, fare_pb2

from server.api import convert
from server.api.admin.noun_messages import day
from server.api.admin.product_messages import product_message
from server.api.admin.route_messages import CUSTOMER_TYPE_NAME, fare_messages, route_fares
from server.api.admin.route_messages import route_message as route_of
from server.api.admin.table import AdminMethods, by
from server.api.paging import Page, paged
from server.api.repeats import ChangingCall, changing
from server.catalog import fares, products, routes
from server.catalog.fares import FareDay, FareFilter
from server.catalog.products import PRODUCTS
from server.catalog.routes import ROUTES
from server.identity.callers import Admin


class FareMethods(AdminMethods):
    """A part of AdminServicer; the contract documents each method."""

    @paged
    async def ListRouteFares(
        self, request: fare_pb2.ListRouteFaresRequest, page: Page[Admin, int]
    ) -> fare_pb2.ListRouteFaresResponse:
        wanted = FareFilter(
            class_code=request.class_code,
            origin=request.origin_stop_code,
            destination=request.destination_stop_code,
            customer_type=CUSTOMER_TYPE_NAME[request.customer_type],
            day_type=request.day_type,
        )
        async with self._db.report(page.caller.key) as tx:
            route = await ROUTES.get(tx, request.route_id)
        found = fares.matching(route.fares, wanted, after=page.after)
        shown = page.cut(found, lambda last: last[0])
        return fare_pb2.ListRouteFaresResponse(
            fares=fare_messages(fare for _, fare in shown), version=route.version
        )

    @changing
    async def SetRouteFares(
        self, request: catalog_pb2.SetRouteFaresRequest, call: ChangingCall[Admin]
    ) -> catalog_pb2.SetRouteFaresResponse:
        fares = route_fares(request.fares)
        await ROUTES.require_version(call.tx, request.route_id, request.version)
        route = await routes.set_fares(call.tx, request.route_id, fares, **by(call))
        return catalog_pb2.SetRouteFaresResponse(route=route_of(route))

    @changing
    async def ChangeRouteFares(
        self, request: fare_pb2.ChangeRouteFaresRequest, call: ChangingCall[Admin]
    ) -> fare_pb2.ChangeRouteFaresResponse:
        await ROUTES.require_version(call.tx, request.route_id, request.version)
        route = await routes.change_fares(
            call.tx,
            request.route_id,
            route_fares(request.fares),
            route_fares(request.removed_fares),
            **by(call),
        )
        return fare_pb2.ChangeRouteFaresResponse(route=route_of(route))

    @paged
    async def ListFareCalendar(
        self, request: fare_pb2.ListFareCalendarRequest, page: Page[Admin, date]
    ) -> fare_pb2.ListFareCalendarResponse:
        async with self._db.report(page.caller.key) as tx:
            found = await fares.fare_calendar(
                tx,
                product_id=request.product_id,
                route_id=request.route_id,
                leg=(request.class_code, request.origin_stop_code, request.destination_stop_code),
                customer_type=CUSTOMER_TYPE_NAME[request.customer_type],
                since=day("since", request.since),
                until=day("until", request.until),
            )
        later = [each for each in found.days if page.after is None or each.day > page.after]
        shown = page.cut(later, lambda last: last.day)
        return fare_pb2.ListFareCalendarResponse(
            days=map(_day_message, shown), currency_code=found.currency_code
        )

    @paged
    async def ListBlackoutDates(
        self, request: fare_pb2.ListBlackoutDatesRequest, page: Page[Admin, date]
    ) -> fare_pb2.ListBlackoutDatesResponse:
        since = convert.day(request, "since") or date.min
        async with self._db.report(page.caller.key) as tx:
            product = await PRODUCTS.get(tx, request.product_id)
        after = page.after or date.min
        days = [each for each in product.blackout_dates if each >= since and each > after]
        shown = page.cut(days, lambda last: last)
        return fare_pb2.ListBlackoutDatesResponse(blackout_dates=map(date.isoformat, shown))

    @changing
    async def AddBlackoutDates(
        self, request: fare_pb2.AddBlackoutDatesRequest, call: ChangingCall[Admin]
    ) -> fare_pb2.AddBlackoutDatesResponse:
        await PRODUCTS.require_version(call.tx, request.product_id, request.version)
        product = await products.change_blackout_dates(
            call.tx, request.product_id, added=_days(request.blackout_dates), **by(call)
        )
        return fare_pb2.AddBlackoutDatesResponse(product=product_message(product))

    @changing
    async def RemoveBlackoutDates(
        self, request: fare_pb2.RemoveBlackoutDatesRequest, call: ChangingCall[Admin]
    ) -> fare_pb2.RemoveBlackoutDatesResponse:
        await PRODUCTS.require_version(call.tx, request.product_id, request.version)
        product = await products.change_blackout_dates(
            call.tx, request.product_id, removed=_days(request.blackout_dates), **by(call)
        )
        return fare_pb2.RemoveBlackoutDatesResponse(product=product_message(product))


def _days(dates: Iterable[str]) -> list[date]:
    return [day(f"blackout_dates[{index}]", written) for index, written in enumerate(dates)]


def _day_message(each: FareDay) -> fare_pb2.FareDay:
    return fare_pb2.FareDay(
        day=each.day.isoformat(),
        day_type=each.day_type,
        display_name_en=each.display_name_en,
        display_name_zh=each.display_name_zh,
        amount_minor=each.amount_minor,
        provisional=each.provisional,
        blackout=each.blackout,
    )
