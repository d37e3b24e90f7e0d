"""Tables of stock: allotments and their notices, seats, who sits where, who travels when, and what
counts for a traveller.
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
    LargeBinary,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from server.platform.database import metadata

stocks = Table(
    "stocks",
    metadata,
    # see ids.stock_id, ids.departure_stock_id, ids.rental_stock_id, ids.promotion_stock_id: the
    # key states what it is the stock of
    Column("stock_id", BigInteger, primary_key=True, autoincrement=False),
    # none for the cap of a promotion
    Column("product_id", ForeignKey("products.product_id")),
    # 0 is our own sales channel, DIRECT
    Column("partner_id", Integer, nullable=False, index=True),
    # of one departure and fare class; none for the stock of a package
    Column("departure_id", BigInteger),
    Column("fare_class", Text),
    # of one day of use of a package, for a partner; none for all days together
    Column("use_date", Date),
    # the cars of a fleet on that day
    Column("fleet_id", Integer),
    Column("promotion_id", Integer),
    Column("total", Integer, nullable=False),
    Column("held", Integer, nullable=False, server_default="0"),
    Column("sold", Integer, nullable=False, server_default="0"),
    # how long a hold lasts in this channel; the setting's if none
    Column("hold_seconds", Integer),
    # how long a reservation of it may last, extensions included; the setting's if none
    Column("max_hold_seconds", Integer),
    # of a partner's stock of a departure or day: what is free returns to DIRECT so many days
    # before, on `release_date`, which is empty when that is over
    Column("release_days", Integer),
    Column("release_date", Date),
    # nothing is taken of it any more: its departure is cancelled, or it is archived
    Column("closed", Boolean, nullable=False, server_default="false"),
    # a partner's that is over, until it is taken back; what is free of it returns to DIRECT from
    # its `release_date` on
    Column("archived", Boolean, nullable=False, server_default="false"),
    Column("update_time", DateTime(timezone=True), nullable=False),
    # counts the changes of total and terms: who changes them may say which one was read
    Column("allotment_version", Integer, nullable=False, server_default="1"),
    # counts the changes of what is left, and how much that was before the last: see levels.py
    Column("version", BigInteger, nullable=False, server_default="1"),
    Column("left_before", Integer, nullable=False, server_default="0"),
    # a change is noted when so many are left, or fewer, or were; none where nobody lists it
    Column("notice_level", Integer),
    CheckConstraint("held >= 0 AND sold >= 0 AND held + sold <= total", name="no_oversell"),
    CheckConstraint("hold_seconds BETWEEN 1 AND 86400", name="hold_seconds"),
    CheckConstraint(
        "CASE WHEN fleet_id IS NOT NULL THEN use_date IS NOT NULL AND product_id IS NOT NULL AND"
        " departure_id IS NULL AND promotion_id IS NULL AND fleet_id BETWEEN 1 AND 67108863 AND"
        " stock_id = (3::bigint << 61) + (fleet_id::bigint << 34) +"
        " ((use_date - DATE '2020-01-01')::bigint << 20) + partner_id"
        " WHEN departure_id IS NOT NULL THEN fare_class IS NOT NULL AND product_id IS NOT"
        " NULL AND promotion_id IS NULL AND use_date IS NULL AND stock_id & ~(15::bigint << 20) ="
        " (1::bigint << 62) + (departure_id << 24) + partner_id WHEN promotion_id IS NOT NULL THEN"
        " product_id IS NULL AND use_date IS NULL AND stock_id = (1::bigint << 61) +"
        " (promotion_id::bigint << 20) WHEN use_date IS NOT NULL THEN product_id IS NOT NULL AND"
        " product_id < 67108864 AND partner_id > 0 AND stock_id = (1::bigint << 60) +"
        " (product_id::bigint << 34) + ((use_date - DATE '2020-01-01')::bigint << 20) + partner_id"
        " ELSE product_id IS NOT NULL AND stock_id = (product_id::bigint << 20) + partner_id END",
        name="stock_id_is_its_subject",
    ),
    CheckConstraint("max_hold_seconds BETWEEN 1 AND 2592000", name="max_hold_seconds"),
    CheckConstraint("release_days BETWEEN 0 AND 365", name="release_days"),
    CheckConstraint(
        "release_days IS NULL OR (partner_id > 0 AND (departure_id IS NOT NULL OR use_date IS NOT"
        " NULL))",
        name="release_of_partners",
    ),
    CheckConstraint("NOT archived OR (closed AND partner_id > 0)", name="archived_is_closed"),
    # room on the page, since every sale updates its row
    postgresql_with={"fillfactor": 50},
)


Index(
    "ix_stocks_departure_id",
    stocks.c.departure_id,
    postgresql_where=stocks.c.departure_id.is_not(None),
)


# what the catalogue reads of them: a few, beside those of all departures there ever were
Index(
    "ix_stocks_catalogue",
    stocks.c.stock_id,
    postgresql_where=text(
        "partner_id = 0 AND promotion_id IS NULL AND fleet_id IS NULL AND (departure_id IS NULL OR"
        " hold_seconds IS NOT NULL)"
    ),
)


# what is to return to DIRECT, some day
Index(
    "ix_stocks_release_date",
    stocks.c.release_date,
    postgresql_where=stocks.c.release_date.is_not(None),
)


stock_notices = Table(
    "stock_notices",
    metadata,
    # changes of what is left that outside channels are to know at once, until they are taken: each
    # change is one of its own, so whoever sells waits for nobody
    Column("stock_id", BigInteger, primary_key=True, autoincrement=False),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
)


taken_seats = Table(
    "taken_seats",
    metadata,
    # numbered seats that are held or sold, see seating.py; a seat has one row or none
    Column("stock_id", BigInteger, primary_key=True, autoincrement=False),
    Column("seat_index", Integer, primary_key=True, autoincrement=False),
    Column("order_id", BigInteger, nullable=False),
)


document_journeys = Table(
    "document_journeys",
    metadata,
    # where a document travels: its journeys that are held or sold; those that are over are dropped
    # in time
    Column("document_hash", LargeBinary, primary_key=True),
    # {"<departure_id>:<order_id>": [from, until]}, in seconds after the departure leaves its first
    # stop
    Column("journeys", JSONB, nullable=False),
    # drawn anew with each journey that is added, and which one was there before
    Column("version", BigInteger, nullable=False),
    Column("seen_version", BigInteger, nullable=False),
    # whoever adds a journey without having seen the last one writes -1: see journeys.py
    CheckConstraint("seen_version >= 0", name="seen"),
)


traveller_quotas = Table(
    "traveller_quotas",
    metadata,
    # tickets that a traveller holds and has of a departure or of a product on a day, or orders that
    # use a promotion: see ids.quota_id, ids.promotion_quota_id
    Column("quota_id", BigInteger, primary_key=True, autoincrement=False),
    Column("traveller_id", BigInteger, primary_key=True, autoincrement=False),
    Column("quantity", Integer, nullable=False),
    # the limit when something was last added
    Column("max_quantity", Integer, nullable=False),
    CheckConstraint("quantity BETWEEN 0 AND max_quantity", name="limit"),
)
