"""Tickets and what they entitle to, the snapshots they were sold under, the keys of their QR codes,
and what was issued under these.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from server.parties.rules import SANDBOX_BIT
from server.platform.database import metadata

snapshots = Table(
    "snapshots",
    metadata,
    # never updated: price, rules and entitlements as they were when the batch or order was made; of
    # a partner's tickets the line of sale too, see partners/commission.py
    Column("snapshot_id", Uuid, primary_key=True),
    Column("product_id", Integer, nullable=False),
    Column("content", JSONB, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
)

batches = Table(
    "batches",
    metadata,
    Column("batch_id", Uuid, primary_key=True),
    Column("partner_id", Integer, nullable=False),
    Column("product_id", Integer, nullable=False),
    Column("distributor_id", Text, nullable=False),
    Column("snapshot_id", Uuid, nullable=False),
    # its tickets are first_ticket_id .. first_ticket_id + quantity - 1
    Column("first_ticket_id", BigInteger, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("order_id", BigInteger),
    Column("create_time", DateTime(timezone=True), nullable=False),
    # the reservation it was made of, see partners/reservations.py
    Column("reservation_id", Uuid),
)
Index(
    "ix_batches_reservation",
    batches.c.reservation_id,
    batches.c.first_ticket_id,
    postgresql_where=batches.c.reservation_id.is_not(None),
)
# lists, in the order of the tickets
Index("ix_batches_partner_id", batches.c.partner_id, batches.c.first_ticket_id)

distributor_batches = Table(
    "distributor_batches",
    metadata,
    # which batches have tickets that are sold through a distributor, by itself or by those below:
    # the tickets of the batch that have this snapshot, whose line of sale names it
    Column("partner_id", Integer, primary_key=True, autoincrement=False),
    Column("distributor_id", Text, primary_key=True),
    # as of batches
    Column("first_ticket_id", BigInteger, primary_key=True, autoincrement=False),
    Column("snapshot_id", Uuid, primary_key=True),
    Column("last_ticket_id", BigInteger, nullable=False),
    CheckConstraint("first_ticket_id <= last_ticket_id", name="range"),
)

numberings = Table(
    "numberings",
    metadata,
    # the next sequence number of a channel's day, for tickets (T) and orders (O)
    Column("partner_id", Integer, primary_key=True, autoincrement=False),
    Column("day", Date, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("next_sequence", Integer, nullable=False),
    CheckConstraint("next_sequence <= 134217728", name="sequence_27_bits"),
)

tickets = Table(
    "tickets",
    metadata,
    Column("ticket_id", BigInteger, primary_key=True, autoincrement=False),
    # the readable twin of ticket_id, unique because that is
    Column("ticket_code", Text, nullable=False),
    # id of the QR now valid
    Column("jti", Uuid, nullable=False),
    Column("state", Text, nullable=False),
    Column("blocked", Boolean, nullable=False, server_default="false"),
    Column("product_id", Integer, nullable=False),
    # 0 is our own sales channel, DIRECT
    Column("partner_id", Integer, nullable=False),
    Column("batch_id", Uuid),
    Column("distributor_id", Text, nullable=False),
    Column("snapshot_id", Uuid, nullable=False),
    Column("order_id", BigInteger),
    Column("customer_type", Text),
    Column("customer_name", Text),
    Column("valid_from_time", DateTime(timezone=True), nullable=False),
    Column("valid_until_time", DateTime(timezone=True), nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    # which of its order's `ticket_rotations` the last of its own QR was; 0: none since it has an
    # order
    Column("rotation", Integer, nullable=False, server_default="0"),
    # whether the end of its validity is still to be looked at, see validity.py
    Column("expiry_pending", Boolean, nullable=False, server_default="true"),
    # the reservation it was made of: what is not activated of it is VOIDED with it
    Column("reservation_id", Uuid),
    # which transaction has made it, none before terminals had packs: see
    # redemption/pack_statements.py
    Column(
        "create_transaction_id",
        BigInteger,
        server_default=text("pg_current_xact_id()::text::bigint"),
    ),
    CheckConstraint(
        "state IN ('PRE_GENERATED', 'ACTIVE', 'PARTIALLY_REDEEMED', 'USED', 'REFUNDING',"
        " 'REFUNDED', 'CHANGING', 'CHANGED', 'EXPIRED', 'VOIDED')",
        name="state",
    ),
    CheckConstraint(
        "(order_id IS NULL) = (state IN ('PRE_GENERATED', 'VOIDED'))", name="sold_has_order"
    ),
    CheckConstraint("valid_from_time < valid_until_time", name="validity"),
    CheckConstraint(
        "expiry_pending OR state NOT IN ('ACTIVE', 'PARTIALLY_REDEEMED', 'REFUNDING', 'CHANGING')",
        name="open_until_it_expires",
    ),
    # A redemption writes its ticket anew, on the same page and in no index, so that a page has room
    # for all its tickets at once, as a party has consecutive numbers. No index may name a column
    # that a redemption changes, in its condition neither (tests/contract/test_schema.py).
    postgresql_with={"fillfactor": 50},
)
# those whose validity ends them, see orders/ticket_expiry.py; not most of all that were ever sold
Index(
    "ix_tickets_expiry_pending",
    tickets.c.valid_until_time,
    tickets.c.ticket_id,
    postgresql_where=tickets.c.expiry_pending,
)
# the same of each sandbox, by its clock: far ahead of it there are all others' tickets; of these it
# has none
Index(
    "ix_tickets_sandbox_expiry",
    tickets.c.partner_id,
    tickets.c.valid_until_time,
    tickets.c.ticket_id,
    postgresql_where=text(f"expiry_pending AND partner_id >= {SANDBOX_BIT}"),
)
Index(
    "ix_tickets_create_transaction_id",
    tickets.c.create_transaction_id,
    postgresql_where=text("create_transaction_id IS NOT NULL"),
)
Index("ix_tickets_order_id", tickets.c.order_id, postgresql_where=tickets.c.order_id.is_not(None))

ticket_reminders = Table(
    "ticket_reminders",
    metadata,
    # up to which ticket, in the order in which they end, partners were reminded: of a sandbox, and
    # of all others (0)
    Column("partner_id", Integer, primary_key=True, autoincrement=False),
    Column("until_time", DateTime(timezone=True), nullable=False),
    Column("ticket_id", BigInteger, nullable=False),
)

departure_tickets = Table(
    "departure_tickets",
    metadata,
    # of partners' tickets those of departures: each is of one, and of a seat where these are
    # numbered. What travellers bought is in `ticket_sales`
    Column("ticket_id", BigInteger, primary_key=True, autoincrement=False),
    Column("departure_id", BigInteger, nullable=False),
    # the stock by which its seats are counted (`taken_seats`): our own of its class, or, of a test
    # ticket, that of the sandbox
    Column("stock_id", BigInteger, nullable=False),
    Column("seat_index", Integer),
    Column("seat", Text),
    # when it leaves where the customer boards; moves with the departure
    Column("reference_time", DateTime(timezone=True), nullable=False),
    CheckConstraint("(seat_index IS NULL) = (seat IS NULL)", name="seat"),
)
Index(
    "ix_departure_tickets_departure_id",
    departure_tickets.c.departure_id,
    departure_tickets.c.ticket_id,
)

entitlements = Table(
    "entitlements",
    metadata,
    Column("ticket_id", BigInteger, primary_key=True, autoincrement=False),
    Column("function_code", Text, primary_key=True),
    Column("total_uses", Integer, nullable=False),
    Column("remaining_uses", Integer, nullable=False),
    # the terminal that alone redeems it until then; both stay when that is over
    Column("leased_by", Text),
    Column("leased_until", DateTime(timezone=True)),
    CheckConstraint("remaining_uses BETWEEN 0 AND total_uses", name="remaining_uses"),
    # as of tickets
    postgresql_with={"fillfactor": 50},
)

# how much a terminal has leased
Index(
    "ix_entitlements_leased",
    entitlements.c.leased_by,
    entitlements.c.leased_until,
    postgresql_where=text("leased_by IS NOT NULL"),
)

ticket_events = Table(
    "ticket_events",
    metadata,
    # moves of a ticket other than by redemption, which has its own events
    Column("ticket_id", BigInteger, primary_key=True, autoincrement=False),
    Column("event_id", BigInteger, primary_key=True, autoincrement=False),
    Column("action", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("occurred_time", DateTime(timezone=True), nullable=False),
    # which transaction has recorded it, as `tickets.create_transaction_id`
    Column("transaction_id", BigInteger, server_default=text("pg_current_xact_id()::text::bigint")),
)
# terminals know by themselves that the validity of a ticket is over
Index(
    "ix_ticket_events_transaction_id",
    ticket_events.c.transaction_id,
    postgresql_where=text("transaction_id IS NOT NULL AND action <> 'expired'"),
)

# A small table that every process reads whole. The id of a revoked key may be given to a new one.
qr_keys = Table(
    "qr_keys",
    metadata,
    Column("key_id", SmallInteger, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("verify_key", LargeBinary, nullable=False),  # Ed25519 public key
    Column("encrypted_secrets", LargeBinary, nullable=False),  # see server.tickets.keys
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("activate_time", DateTime(timezone=True)),
    Column("retire_time", DateTime(timezone=True)),  # its successor became active
    Column("revoke_time", DateTime(timezone=True)),
    # since when it is known that others have it
    Column("compromise_time", DateTime(timezone=True)),
    # whether each token of it is in `issued_tokens`: not so of those made before there was that
    Column("is_recorded", Boolean, nullable=False, server_default="false"),
    CheckConstraint("key_id BETWEEN 0 AND 255", name="key_id"),
    CheckConstraint(
        "state IN ('PENDING', 'ACTIVE', 'VERIFY_ONLY', 'COMPROMISED', 'REVOKED')", name="state"
    ),
    CheckConstraint("octet_length(verify_key) = 32", name="verify_key"),
    Index(
        "qr_keys_one_active",
        "state",
        unique=True,
        postgresql_where=text("state = 'ACTIVE'"),
    ),
    Index(
        "qr_keys_one_pending",
        "state",
        unique=True,
        postgresql_where=text("state = 'PENDING'"),
    ),
)

qr_issues = Table(
    "qr_issues",
    metadata,
    # under which keys QRs were issued, however often; as long as a key has its id. What was issued
    # before there was the table has no row
    Column("key_id", SmallInteger, primary_key=True, autoincrement=False),
    # a QrKind; the number of the ticket or order, and the jti that the QR has
    Column("kind", SmallInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("jti", Uuid, primary_key=True),
    Column("issue_time", DateTime(timezone=True), nullable=False),
    # since its key was compromised: when it was issued anew, or found to be of no use
    Column("replace_time", DateTime(timezone=True)),
    Index(
        "ix_qr_issues_to_replace",
        "key_id",
        "kind",
        "number",
        postgresql_where=text("replace_time IS NULL"),
    ),
)

issued_tokens = Table(
    "issued_tokens",
    metadata,
    # every token that was made under a key, as long as the key has its id: what somebody else made
    # has no row
    Column("key_id", Integer, primary_key=True, autoincrement=False),
    # as of qr_issues
    Column("kind", SmallInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    # of qr.Seal
    Column("digest", LargeBinary, primary_key=True),
    Column("issue_time", DateTime(timezone=True), nullable=False),
    CheckConstraint("octet_length(digest) = 16", name="digest"),
)

issuing_keys = Table(
    "issuing_keys",
    metadata,
    # the keys that sign a partner's tokens of one day, see issuing_keys.py; the numbers below are
    # key ids of qr_keys
    Column(
        "number",
        Integer,
        Identity(start=256, minvalue=256, maxvalue=16_777_215),
        primary_key=True,
    ),
    # 0 is DIRECT
    Column("partner_id", Integer, nullable=False),
    # in the platform's time zone
    Column("day", Date, nullable=False),
    Column("state", Text, nullable=False),
    Column("verify_key", LargeBinary, nullable=False),  # Ed25519 public key
    # the private half, while its day is not over and nobody else has it
    Column("encrypted_seed", LargeBinary),
    Column("create_time", DateTime(timezone=True), nullable=False),
    # not before the last of its tokens has expired
    Column("end_time", DateTime(timezone=True), nullable=False),
    Column("retire_time", DateTime(timezone=True)),  # its private half was destroyed
    # since when it is known that others have it
    Column("compromise_time", DateTime(timezone=True)),
    # which transaction has written it last
    Column(
        "transaction_id",
        BigInteger,
        nullable=False,
        server_default=text("pg_current_xact_id()::text::bigint"),
    ),
    CheckConstraint("octet_length(verify_key) = 32", name="verify_key"),
    CheckConstraint("state IN ('ACTIVE', 'VERIFY_ONLY', 'COMPROMISED')", name="state"),
    CheckConstraint("(encrypted_seed IS NOT NULL) = (state = 'ACTIVE')", name="seed"),
    Index(
        "issuing_keys_one_active",
        "partner_id",
        "day",
        unique=True,
        postgresql_where=text("state = 'ACTIVE'"),
    ),
    Index("ix_issuing_keys_day", "day", "partner_id", "number"),
    Index("ix_issuing_keys_end_time", "end_time"),
    Index("ix_issuing_keys_transaction_id", "transaction_id"),
)

issuing_key_issues = Table(
    "issuing_key_issues",
    metadata,
    # as qr_issues, of issuing keys, for which its column is too narrow
    Column("key_number", Integer, primary_key=True, autoincrement=False),
    Column("kind", SmallInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("jti", Uuid, primary_key=True),
    Column("issue_time", DateTime(timezone=True), nullable=False),
    Column("replace_time", DateTime(timezone=True)),
    Index(
        "ix_issuing_key_issues_to_replace",
        "key_number",
        "kind",
        "number",
        postgresql_where=text("replace_time IS NULL"),
    ),
)
