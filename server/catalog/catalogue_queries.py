"""What a catalogue is read by: a query for each kind of its facts."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from server.stock.ids import EPOCH

PAST_KEPT = timedelta(days=2)
"""Departures before that are not offered any more, nor looked at."""
ENDED_PROMOTIONS_KEPT = timedelta(days=30)
"""So long the answer to a code typed in is that it is over, not that there is none."""
CatalogueFacts = dict[str, list[tuple[Any, ...]]]
"""What a catalogue is made of: the rows of each query of catalogue_queries."""

QUERIES = {
    name: text(query)
    for name, query in {
        "cities": (
            "SELECT city_code, display_name_en, display_name_zh, time_zone,"
            " CASE state WHEN 'ACTIVE' THEN hot_rank END FROM cities"
            " ORDER BY 1"
        ),
        "stops": (
            "SELECT stop_code, city_code, display_name_en, display_name_zh FROM stops ORDER BY 1"
        ),
        "products": (
            "SELECT product_id, kind, display_name_en, display_name_zh, currency_code, fares,"
            " entitlements, tiers, policy, max_per_traveller, city_code, calendar_code,"
            " validity_days, blackout_dates, boarding_minutes, unaccompanied_types, age_limits FROM"
            " products WHERE state = 'ACTIVE' ORDER BY 1"
        ),
        "routes": (
            "SELECT route_id, product_id, vehicle, stops, fare_classes, routes.fares FROM routes"
            " JOIN products p USING (product_id)"
            " WHERE routes.state = 'ACTIVE' AND p.state = 'ACTIVE' ORDER BY 1"
        ),
        "timetables": "SELECT timetable_id, route_id, service_number, departure_clock, weekdays,"
        " first_date, last_date, ARRAY(SELECT jsonb_object_keys(seats) ORDER BY 1), sale_days,"
        " closing_minutes, added_dates, removed_dates, headway_seconds FROM timetables"
        " JOIN routes r USING (route_id)"
        " JOIN products p USING (product_id) WHERE timetables.state = 'ACTIVE'"
        " AND r.state = 'ACTIVE' AND p.state = 'ACTIVE' ORDER BY 1",
        # a row for each timetable, not for each departure, of which there are a hundred times as
        # many
        "departures": (
            "SELECT timetable_id, array_agg(travel_date - CAST(:epoch AS date)"
            " ORDER BY travel_date),"
            " array_agg(extract(epoch FROM departure_time)::bigint ORDER BY travel_date),"
            " array_agg(state = 'CANCELLED' ORDER BY travel_date)"
            " FROM departures WHERE travel_date >= :since GROUP BY 1 ORDER BY 1"
        ),
        "stocks": "SELECT stock_id, hold_seconds FROM stocks WHERE partner_id = 0"
        " AND promotion_id IS NULL AND fleet_id IS NULL AND (departure_id IS NULL OR hold_seconds"
        " IS NOT NULL) ORDER BY 1",
        "car_categories": "SELECT product_id, category_code, make, model, model_year, seats, doors,"
        " large_bags, small_bags, transmission, fuel_type, air_conditioning, feature_codes,"
        " image_urls, min_driver_age, young_driver_age, young_driver_minor, grace_minutes,"
        " min_days, max_days FROM car_categories WHERE state = 'ACTIVE' ORDER BY 1",
        "rental_locations": "SELECT location_id, city_code, l.display_name_en, l.display_name_zh,"
        " address_en, address_zh, phone, time_zone, latitude_microdegrees, longitude_microdegrees,"
        " pick_up, drop_off, opening_hours, ARRAY(SELECT unnest(closed_dates)::text), venue_code"
        " FROM rental_locations l JOIN cities USING (city_code) WHERE l.state = 'ACTIVE' ORDER BY"
        " 1",
        "rental_extras": "SELECT extra_id, extra_code, display_name_en, display_name_zh,"
        " charge_basis, amount_minor, currency_code, max_quantity, max_amount_minor, product_ids"
        " FROM rental_extras WHERE state = 'ACTIVE' ORDER BY 1",
        "rental_fleets": "SELECT fleet_id, product_id, location_id, fares, first_date, last_date,"
        " sale_days, closing_minutes, one_way FROM rental_fleets WHERE state = 'ACTIVE' ORDER BY 1",
        "holidays": "SELECT calendar_code, day, day_type, display_name_en, display_name_zh"
        " FROM holidays ORDER BY 1, 2",
        "calendars": "SELECT calendar_code, known_until FROM holiday_calendars ORDER BY 1",
        "promotions": "SELECT promotion_id, coalesce(code, ''), display_name_en, display_name_zh,"
        " basis_points_off, amount_off_minor, begin_time, end_time, min_party, product_ids,"
        " stackable, capped, coalesce(currency_code, ''), max_per_traveller FROM promotions WHERE"
        " state = 'ACTIVE' AND end_time > :ended_since ORDER BY 1",
    }.items()
}


async def read_facts(tx: AsyncConnection, now: datetime) -> CatalogueFacts:
    """All that offers are made of: the rows of each query, in one snapshot of the database."""
    await tx.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
    parameters: dict[str, dict[str, Any]] = {
        "departures": {"epoch": EPOCH, "since": (now - PAST_KEPT).date()},
        "promotions": {"ended_since": now - ENDED_PROMOTIONS_KEPT},
    }
    return {
        name: [tuple(row) for row in await tx.execute(query, parameters.get(name, {}))]
        for name, query in QUERIES.items()
    }
