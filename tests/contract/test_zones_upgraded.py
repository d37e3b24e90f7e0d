"""What was sold before the upgrade knows the zone of its city: its moments were shown in UTC."""

from alembic import command
from sqlalchemy import text

from tests.contract.test_schema import connected, empty_database, run
from tools.dev.embedded.services import EmbeddedServices

CITIES = """
INSERT INTO cities (city_code, display_name_en, display_name_zh, time_zone)
VALUES ('TYO', '', '', 'Asia/Tokyo'), ('BKK', '', '', 'Asia/Bangkok')
"""
PRODUCTS = """
INSERT INTO products (product_id, kind, display_name_en, display_name_zh, currency_code, fares,
  entitlements, validity_days, blackout_dates, state, create_time, update_time, city_code)
SELECT n, 'PACKAGE', '', '', 'CNY', '[]', '[]', 1, '{}', 'ACTIVE', now(),
  now(), CASE n WHEN 1 THEN 'TYO' END
FROM generate_series(1, 2) n
"""
SNAPSHOTS = """
INSERT INTO snapshots (snapshot_id, product_id, content, create_time)
SELECT gen_random_uuid(), product_id, content::jsonb, now() FROM (VALUES
  (1, '{"offer": {"journey": null}}'),
  (2, '{"offer": {"journey": {"origin": {"city_code": "BKK"}}}}'),
  (2, '{"offer": {"journey": {"origin": {"city_code": "BKK"}}, "time_zone": "Asia/Macau"}}'),
  (2, '{"offer": {"journey": null}}'),
  (1, '{"fares": []}')) AS sold (product_id, content)
"""
ZONES = "SELECT content #>> '{offer,time_zone}' FROM snapshots ORDER BY 1"


def test_what_was_sold_has_the_zone_of_its_city(services: EmbeddedServices) -> None:
    """Of a package its product's, of a journey that where it begins; what has one keeps it, a
    partner's batch has none.
    """
    with empty_database(services, "zones_upgraded") as url, connected(url) as connection:
        run(connection, command.upgrade, "0008")
        for statement in (CITIES, PRODUCTS, SNAPSHOTS):
            connection.execute(text(statement))
        run(connection, command.upgrade, "0009")
        zones = list(connection.execute(text(ZONES)).scalars())
        assert zones == ["Asia/Bangkok", "Asia/Macau", "Asia/Tokyo", None, None]
