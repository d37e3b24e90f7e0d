"""What is sold, where it goes and when, what it costs, and the versions of all that. How much of it
each sales channel has is in stock/.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    Time,
    false,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from server.platform.database import metadata

products = Table(
    "products",
    metadata,
    Column("product_id", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("display_name_en", Text, nullable=False),
    Column("display_name_zh", Text, nullable=False),
    Column("currency_code", Text, nullable=False),
    # a list of {customer_type, day_type, amount_minor}
    Column("fares", JSONB, nullable=False),
    # a list of {function_code, display_name_en/zh, total_uses, use_mode, guard_seconds, shared,
    # rotating_code}; the last two may be left out
    Column("entitlements", JSONB, nullable=False),
    # discounts by party size, see pricing.parse_tiers
    Column("tiers", JSONB, nullable=False, server_default=text("'[]'")),
    # refund and change, see ticketing.policy
    Column("policy", JSONB, nullable=False, server_default=text("'{}'")),
    # tickets of one departure, or of the product, that one traveller may hold and have at once
    Column("max_per_traveller", Integer, nullable=False, server_default="9"),
    # boarding of its departures opens so many minutes before each leaves
    Column("boarding_minutes", Integer, nullable=False, server_default="120"),
    # customer types that may travel alone, of those who must not if nothing is said: see
    # ticketing.passenger_rules
    Column("unaccompanied_types", ARRAY(Text), nullable=False, server_default="{}"),
    # whom fares are for, a list of {customer_type, min_age, max_age}; max_age may be null
    Column("age_limits", JSONB, nullable=False, server_default=text("'[]'")),
    # where a package is used; no city: found by number only
    Column("city_code", Text),
    # whose holidays count
    Column("calendar_code", Text, nullable=False, server_default="HK"),
    Column("validity_days", Integer, nullable=False),
    Column("blackout_dates", ARRAY(Date), nullable=False),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    CheckConstraint("kind IN ('TRANSPORT', 'PACKAGE', 'RENTAL')", name="kind"),
    CheckConstraint("state IN ('ACTIVE', 'ARCHIVED')", name="state"),
    CheckConstraint("validity_days > 0", name="validity_days"),
    CheckConstraint("boarding_minutes BETWEEN 1 AND 1440", name="boarding_minutes"),
)


cities = Table(
    "cities",
    metadata,
    Column("city_code", Text, primary_key=True),
    Column("display_name_en", Text, nullable=False),
    Column("display_name_zh", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    # place in the hot list, 1 is the first; none: not in it
    Column("hot_rank", Integer),
    Column("state", Text, nullable=False, server_default="ACTIVE"),
    # counts the changes: who changes it may say which one was read
    Column("version", Integer, nullable=False, server_default="1"),
    CheckConstraint("state IN ('ACTIVE', 'ARCHIVED')", name="state"),
)

stops = Table(
    "stops",
    metadata,
    # a station or pier
    Column("stop_code", Text, primary_key=True),
    Column("city_code", ForeignKey(cities.c.city_code), nullable=False),
    Column("display_name_en", Text, nullable=False),
    Column("display_name_zh", Text, nullable=False),
    # where it is (WGS 84), in millionths of a degree; both or neither
    Column("latitude_microdegrees", Integer),
    Column("longitude_microdegrees", Integer),
    Column("state", Text, nullable=False, server_default="ACTIVE"),
    Column("version", Integer, nullable=False, server_default="1"),
    CheckConstraint("state IN ('ACTIVE', 'ARCHIVED')", name="state"),
    CheckConstraint(
        "(latitude_microdegrees IS NULL) = (longitude_microdegrees IS NULL)", name="place"
    ),
)

routes = Table(
    "routes",
    metadata,
    Column("route_id", Integer, primary_key=True, autoincrement=False),
    # of kind TRANSPORT: names, entitlements, policy and blackout dates are the product's
    Column("product_id", ForeignKey(products.c.product_id), nullable=False),
    Column("vehicle", Text, nullable=False),
    # a list of {stop_code, arrive_minutes, depart_minutes} since the departure of the first, in the
    # order they are called at; with approximate: true where the minutes are
    Column("stops", JSONB, nullable=False),
    # a list of {class_code, class_index, display_name_en/zh, seat_map}; seat_map (see
    # stock/seating.py) or null: not numbered
    Column("fare_classes", JSONB, nullable=False),
    # a list of {class_code, origin, destination, customer_type, day_type, amount_minor}; what has
    # no fare is not sold
    Column("fares", JSONB, nullable=False),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    CheckConstraint("vehicle IN ('TRAIN', 'FERRY', 'BUS')", name="vehicle"),
    CheckConstraint("state IN ('ACTIVE', 'ARCHIVED')", name="state"),
)

timetables = Table(
    "timetables",
    metadata,
    # one service that runs on certain days, as GTFS's trip and calendar; 20 bits, since it leads
    # the departure ids
    Column("timetable_id", Integer, primary_key=True, autoincrement=False),
    Column("route_id", ForeignKey(routes.c.route_id), nullable=False),
    Column("service_number", Text, nullable=False),
    # at the first stop, by the clock of its city
    Column("departure_clock", Time, nullable=False),
    # bit 0 is Monday
    Column("weekdays", SmallInteger, nullable=False),
    Column("first_date", Date, nullable=False),
    Column("last_date", Date, nullable=False),
    # days it runs besides, and days of its weekdays on which it does not, as GTFS's calendar_dates;
    # within its dates, in order
    Column("added_dates", ARRAY(Date), nullable=False, server_default="{}"),
    Column("removed_dates", ARRAY(Date), nullable=False, server_default="{}"),
    # of a service without a timetable: it leaves about every so many seconds, and its clock is the
    # earliest moment of one of its vehicles
    Column("headway_seconds", Integer),
    # seats of DIRECT by class code
    Column("seats", JSONB, nullable=False),
    # on sale from this many days before the day of departure
    Column("sale_days", Integer, nullable=False),
    # not sold any more this many minutes before departure
    Column("closing_minutes", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    CheckConstraint("timetable_id BETWEEN 1 AND 1048575", name="timetable_id_20_bits"),
    CheckConstraint("weekdays BETWEEN 0 AND 127", name="weekdays"),
    CheckConstraint("first_date <= last_date", name="dates"),
    CheckConstraint("headway_seconds BETWEEN 1 AND 86400", name="headway_seconds"),
    CheckConstraint("state IN ('ACTIVE', 'ARCHIVED')", name="state"),
)

departures = Table(
    "departures",
    metadata,
    # see rules.departure_id: timetable and date, stated by the key itself
    Column("departure_id", BigInteger, primary_key=True, autoincrement=False),
    Column("timetable_id", ForeignKey(timetables.c.timetable_id), nullable=False),
    Column("travel_date", Date, nullable=False),
    # at the first stop, as it is now
    Column("departure_time", DateTime(timezone=True), nullable=False),
    # for good when it is CANCELLED, unless it is withdrawn
    Column("state", Text, nullable=False),
    # nothing of it was sold, and the feed that it is of has its day no more: it runs again when
    # that has it again
    Column("withdrawn", Boolean, nullable=False, server_default=false()),
    # departure_time before it was first moved; none if it never was
    Column("planned_time", DateTime(timezone=True)),
    # when it was cancelled, and whether its tickets are refunded AT_ONCE or AFTER_CHOICE; none of
    # one that was cancelled before tickets followed their departure
    Column("cancel_time", DateTime(timezone=True)),
    Column("cancel_refunds", Text),
    # by what refunds and changes are free since it was last cancelled or moved
    Column("waiver_code", Text),
    # counts the changes of its state, its time and our own seats
    Column("version", Integer, nullable=False, server_default="1"),
    CheckConstraint("state IN ('SCHEDULED', 'CANCELLED')", name="state"),
    CheckConstraint("cancel_refunds IN ('AT_ONCE', 'AFTER_CHOICE')", name="cancel_refunds"),
    CheckConstraint(
        "(cancel_time IS NULL) = (cancel_refunds IS NULL)"
        " AND (cancel_time IS NULL OR state = 'CANCELLED')",
        name="cancelled",
    ),
)
Index("ix_departures_travel_date", departures.c.travel_date)

holidays = Table(
    "holidays",
    metadata,
    Column("calendar_code", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    # a working Saturday is a `weekday` (调休)
    Column("day_type", Text, nullable=False),
    Column("display_name_en", Text, nullable=False),
    Column("display_name_zh", Text, nullable=False),
    # SHIPPED with a release, or set by an OPERATOR, whose days no release changes
    Column("origin", Text, nullable=False, server_default="OPERATOR"),
    CheckConstraint("day_type IN ('weekday', 'weekend', 'holiday')", name="day_type"),
    CheckConstraint("origin IN ('OPERATOR', 'SHIPPED')", name="origin"),
)

holiday_calendars = Table(
    "holiday_calendars",
    metadata,
    Column("calendar_code", Text, primary_key=True),
    Column("display_name_en", Text, nullable=False),
    Column("display_name_zh", Text, nullable=False),
    # the last day whose type is known: the last of the last of its years; none: no year yet
    Column("known_until", Date),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    CheckConstraint("state IN ('ACTIVE', 'ARCHIVED')", name="state"),
)

holiday_years = Table(
    "holiday_years",
    metadata,
    # a year of a calendar whose official list is known
    Column("calendar_code", Text, primary_key=True),
    Column("year", Integer, primary_key=True, autoincrement=False),
    # the gazette or notice: its number and date
    Column("source", Text, nullable=False),
    Column("origin", Text, nullable=False),
    # of what is shipped; a later one corrects it
    Column("edition", Integer, nullable=False, server_default="1"),
    CheckConstraint("origin IN ('OPERATOR', 'SHIPPED')", name="origin"),
)

car_categories = Table(
    "car_categories",
    metadata,
    # the car that a product of kind RENTAL is
    Column("product_id", ForeignKey(products.c.product_id), primary_key=True, autoincrement=False),
    # ECONOMY, SUV …: what channels have a code of their own for
    Column("category_code", Text, nullable=False),
    Column("make", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("model_year", Integer, nullable=False),
    Column("seats", Integer, nullable=False),
    Column("doors", Integer, nullable=False),
    Column("large_bags", Integer, nullable=False),
    Column("small_bags", Integer, nullable=False),
    Column("transmission", Text, nullable=False),
    Column("fuel_type", Text, nullable=False),
    Column("air_conditioning", Boolean, nullable=False),
    Column("feature_codes", ARRAY(Text), nullable=False),
    Column("image_urls", ARRAY(Text), nullable=False),
    Column("min_driver_age", Integer, nullable=False),
    # drivers below it pay young_driver_minor for each day; 0: nobody does
    Column("young_driver_age", Integer, nullable=False),
    Column("young_driver_minor", BigInteger, nullable=False),
    # see rental_rules.days_of
    Column("grace_minutes", Integer, nullable=False),
    Column("min_days", Integer, nullable=False),
    Column("max_days", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    CheckConstraint("transmission IN ('AUTOMATIC', 'MANUAL')", name="transmission"),
    CheckConstraint("fuel_type IN ('GASOLINE', 'DIESEL', 'HYBRID', 'ELECTRIC')", name="fuel_type"),
    CheckConstraint("min_days BETWEEN 1 AND max_days", name="length"),
    CheckConstraint("state IN ('ACTIVE', 'ARCHIVED')", name="state"),
)

rental_locations = Table(
    "rental_locations",
    metadata,
    # where cars are picked up and returned, by the clock of the city
    Column("location_id", Integer, primary_key=True, autoincrement=False),
    Column("city_code", ForeignKey(cities.c.city_code), nullable=False),
    Column("display_name_en", Text, nullable=False),
    Column("display_name_zh", Text, nullable=False),
    Column("address_en", Text, nullable=False),
    Column("address_zh", Text, nullable=False),
    Column("phone", Text, nullable=False),
    # in millionths of a degree (WGS 84); both or neither
    Column("latitude_microdegrees", Integer),
    Column("longitude_microdegrees", Integer),
    Column("pick_up", Boolean, nullable=False),
    Column("drop_off", Boolean, nullable=False),
    # a list of {weekday, opens, closes}, see rental_rules.OpeningHours
    Column("opening_hours", JSONB, nullable=False),
    Column("closed_dates", ARRAY(Date), nullable=False),
    # where its vouchers are redeemed; none: anywhere
    Column("venue_code", Text),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    CheckConstraint("location_id BETWEEN 1 AND 9999", name="location_id"),
    CheckConstraint(
        "(latitude_microdegrees IS NULL) = (longitude_microdegrees IS NULL)", name="place"
    ),
    CheckConstraint("state IN ('ACTIVE', 'ARCHIVED')", name="state"),
)

rental_extras = Table(
    "rental_extras",
    metadata,
    # what a driver may have besides the car; two digits of an offer's id
    Column("extra_id", Integer, primary_key=True, autoincrement=False),
    Column("extra_code", Text, nullable=False, unique=True),
    Column("display_name_en", Text, nullable=False),
    Column("display_name_zh", Text, nullable=False),
    Column("charge_basis", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency_code", Text, nullable=False),
    Column("max_quantity", Integer, nullable=False),
    # of one for a whole rental; 0: no limit
    Column("max_amount_minor", BigInteger, nullable=False),
    # empty: all in its currency
    Column("product_ids", ARRAY(Integer), nullable=False),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    CheckConstraint("extra_id BETWEEN 1 AND 99", name="extra_id"),
    CheckConstraint("charge_basis IN ('PER_DAY', 'PER_RENTAL')", name="charge_basis"),
    CheckConstraint("max_quantity BETWEEN 1 AND 9", name="max_quantity"),
    CheckConstraint("state IN ('ACTIVE', 'ARCHIVED')", name="state"),
)

rental_fleets = Table(
    "rental_fleets",
    metadata,
    # the cars of a category at a location; 26 bits, since it leads the ids of its stocks
    Column("fleet_id", Integer, primary_key=True, autoincrement=False),
    Column("product_id", ForeignKey(products.c.product_id), nullable=False),
    Column("location_id", ForeignKey(rental_locations.c.location_id), nullable=False),
    # as those of products; empty: the product's
    Column("fares", JSONB, nullable=False),
    # of DIRECT on each new day
    Column("cars", Integer, nullable=False),
    Column("first_date", Date, nullable=False),
    Column("last_date", Date, nullable=False),
    Column("sale_days", Integer, nullable=False),
    Column("closing_minutes", Integer, nullable=False),
    # a list of {location_id, fee_minor}: where else its cars may be returned
    Column("one_way", JSONB, nullable=False),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    CheckConstraint("fleet_id BETWEEN 1 AND 67108863", name="fleet_id_26_bits"),
    CheckConstraint("cars >= 0", name="cars"),
    CheckConstraint("first_date <= last_date", name="dates"),
    CheckConstraint("state IN ('ACTIVE', 'ARCHIVED')", name="state"),
)
Index(
    "uq_rental_fleets_product_id",
    rental_fleets.c.product_id,
    rental_fleets.c.location_id,
    unique=True,
)

entitlement_templates = Table(
    "entitlement_templates",
    metadata,
    # what products can be made of; they keep what it was then
    Column("template_code", Text, primary_key=True),
    Column("function_code", Text, nullable=False),
    Column("display_name_en", Text, nullable=False),
    Column("display_name_zh", Text, nullable=False),
    Column("total_uses", Integer, nullable=False),
    Column("use_mode", Text, nullable=False),
    Column("guard_seconds", Integer, nullable=False),
    Column("shared", Boolean, nullable=False),
    Column("rotating_code", Text, nullable=False, server_default="NONE"),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    CheckConstraint("rotating_code IN ('NONE', 'OPTIONAL', 'REQUIRED')", name="rotating_code"),
    CheckConstraint("use_mode IN ('ONCE_PER_QR', 'MULTI_USE')", name="use_mode"),
    CheckConstraint("total_uses > 0", name="total_uses"),
    CheckConstraint("state IN ('ACTIVE', 'ARCHIVED')", name="state"),
)

promotions = Table(
    "promotions",
    metadata,
    # 31 bits; a cap is a row of stocks
    Column("promotion_id", Integer, primary_key=True, autoincrement=False),
    # none: applies by itself
    Column("code", Text, unique=True),
    Column("display_name_en", Text, nullable=False),
    Column("display_name_zh", Text, nullable=False),
    Column("basis_points_off", Integer, nullable=False),
    Column("amount_off_minor", Integer, nullable=False),
    Column("begin_time", DateTime(timezone=True), nullable=False),
    Column("end_time", DateTime(timezone=True), nullable=False),
    Column("min_party", Integer, nullable=False),
    # empty: all
    Column("product_ids", ARRAY(Integer), nullable=False),
    Column("stackable", Boolean, nullable=False),
    # whether orders under it count against its row in stocks
    Column("capped", Boolean, nullable=False),
    # of an amount: only of orders in this currency are so many minor units taken off
    Column("currency_code", Text),
    # orders of one traveller under it; none: any number
    Column("max_per_traveller", Integer),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    CheckConstraint("(basis_points_off = 0) <> (amount_off_minor = 0)", name="one_discount"),
    CheckConstraint(
        "basis_points_off BETWEEN 0 AND 10000 AND amount_off_minor >= 0", name="discount"
    ),
    CheckConstraint(
        "(amount_off_minor > 0) = (currency_code IS NOT NULL)", name="currency_of_amount"
    ),
    CheckConstraint("max_per_traveller > 0", name="max_per_traveller"),
    CheckConstraint("begin_time < end_time", name="window"),
    CheckConstraint("state IN ('ACTIVE', 'ARCHIVED')", name="state"),
)

config_versions = Table(
    "config_versions",
    metadata,
    # what sells, version by version, see config_versions.py: PRODUCT, ROUTE_FARES or PROMOTION
    Column("object_type", Text, primary_key=True),
    Column("object_id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    # what it was made from; none of the first
    Column("base_version", Integer),
    # all of it, by the names of the object's columns
    Column("content", JSONB, nullable=False),
    # why, in its author's words
    Column("comment", Text, nullable=False),
    Column("author", Text, nullable=False),
    # who published or scheduled it
    Column("publisher", Text),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    # when it is or was to take effect, if that was said
    Column("effective_time", DateTime(timezone=True)),
    Column("publish_time", DateTime(timezone=True)),
    # why it is published though examples fail; empty: it is not
    Column("force_comment", Text, nullable=False, server_default=""),
    # of a draft: why it did not take effect when it was to
    Column("fault", Text, nullable=False, server_default=""),
    # with what it is or was published together, all or nothing; empty: alone
    Column("change_set_id", Text, nullable=False, server_default=""),
    # counts its changes: who changes a draft may say which one was read
    Column("revision", Integer, nullable=False, server_default="1"),
    CheckConstraint("object_type IN ('PRODUCT', 'ROUTE_FARES', 'PROMOTION')", name="object_type"),
    CheckConstraint(
        "state IN ('DRAFT', 'SCHEDULED', 'PUBLISHED', 'SUPERSEDED', 'DISCARDED')", name="state"
    ),
    CheckConstraint("version > 0 AND base_version < version", name="version"),
    CheckConstraint(
        "(state IN ('PUBLISHED', 'SUPERSEDED')) = (publish_time IS NOT NULL)", name="published"
    ),
    CheckConstraint(
        "state <> 'SCHEDULED' OR (effective_time IS NOT NULL AND publisher IS NOT NULL)",
        name="scheduled",
    ),
    CheckConstraint(
        "change_set_id = '' OR state IN ('SCHEDULED', 'PUBLISHED', 'SUPERSEDED')",
        name="change_set",
    ),
)
Index(
    "ix_config_versions_change_set_id",
    config_versions.c.change_set_id,
    postgresql_where=config_versions.c.change_set_id != "",
)
Index(
    "uq_config_versions_published",
    config_versions.c.object_type,
    config_versions.c.object_id,
    unique=True,
    postgresql_where=config_versions.c.state == "PUBLISHED",
)
Index(
    "ix_config_versions_effective_time",
    config_versions.c.effective_time,
    postgresql_where=config_versions.c.state == "SCHEDULED",
)

product_examples = Table(
    "product_examples",
    metadata,
    # what a product's rules are to answer, see configuration/examples.py
    Column("product_id", Integer, primary_key=True, autoincrement=False),
    # YAML, as it was written
    Column("content", Text, nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    # counts how often they were set; 1 is that of a product that never had any
    Column("version", Integer, nullable=False, server_default="2"),
)
