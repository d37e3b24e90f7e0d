"""How PostgreSQL runs the statements of shared transactions: by key, planned once, even where the
tables are empty when that happens.

Seen red with joins and bitmaps as they are by default (four statements read a whole table by its
index), and with `enable_seqscan` so too.
"""

import gc
import importlib
import inspect
import json
import pkgutil
import sys
from collections.abc import AsyncIterator, Collection, Iterator
from typing import Any

import psycopg
import pytest
import pytest_asyncio

import server
from server.platform import postgres_url
from server.platform.config import load_settings
from server.platform.database import PLANS_BY_KEY, Database
from server.platform.statements import Statement, run

COMMAND_OK = psycopg.pq.ExecStatus.COMMAND_OK
SCANS = {"Index Scan", "Index Only Scan", "Bitmap Index Scan"}
SMALL = {
    "audit_checkpoints",  # one a day
    "audit_segments",  # one a break that somebody has looked at
    "channels",
    "issue_check_marks",
    "job_runs",
    "merchants",
    "notification_marks",
    "notification_pauses",
    "notification_requests",  # emptied as it is read
    "notification_templates",
    "partner_feeds",
    "partners",
    "qr_keys",
    "rental_locations",
    "routes",
    "sandbox_clocks",
    "stock_notices",  # emptied as it is read
    "webhook_endpoints",
}
"""Read whole by a statement: what somebody configures, marks, and queues."""
KNOWN = {
    "channel_calls": ["DELETE FROM channel_calls WHERE (channel_code, call_id) IN"],
    "channel_listings": ["DELETE FROM channel_values WHERE (channel_code, what, item_id"],
    "disruptions": ["SELECT disruption_id, departure_id, kind, comment, waiver_code"],
    "notifications": ["WITH old AS MATERIALIZED ( SELECT traveller_id, number"],
    "orders": [
        "SELECT t.ticket_id, o.order_id FROM orders o JOIN tickets t ON t.order_id",
        "UPDATE channel_bookings b SET state = 'CANCEL_PENDING'",
        "WITH held AS ( SELECT (i.item ->> 'stock_id')::bigint AS stock_id",
    ],
    "partner_events": ["SELECT f.partner_id FROM partner_feeds f JOIN partner_events e"],
    "redemption_events": ["SELECT count(*)::int FROM unissued_redemptions u JOIN"],
    "stocks": ["WITH held AS ( SELECT (i.item ->> 'stock_id')::bigint AS stock_id"],
    "ticket_sales": ["SELECT 'overdue-order', o.order_code, format('PENDING"],
    "tickets": [
        "SELECT d.stock_id, d.seat_index, d.ticket_id FROM batches b JOIN tickets t",
    ],
    "webhook_deliveries": ["WITH old AS MATERIALIZED ( SELECT partner_id, endpoint_id"],
}
"""By table, how the statements begin that read it whole on an empty database. They came while this
test saw no statement at all, since what the collector has frozen is not among its objects.
Deletions of what is old and consistency checks may be meant so; the others are to be looked at.
"""
PARTIAL = """
SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indpred IS NOT NULL
"""
"""An index of what waits: to read all of it is what it is for."""
SETTING = Statement("SELECT current_setting($1)", str)
SETTINGS = {"plan_cache_mode": "force_generic_plan", "enable_hashjoin": "off", "jit": "off"}


def every_statement() -> list[Statement[Any]]:
    for module in pkgutil.walk_packages(server.__path__, "server."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    gc.unfreeze()  # what is frozen is not among the collector's objects
    gc.collect()
    found = [each for each in gc.get_objects() if isinstance(each, Statement)]
    gc.freeze()
    of_tests = named_in("tests.") - named_in("server.")
    return [each for each in found if id(each) not in of_tests]


def named_in(package: str) -> set[int]:
    modules = [module for name, module in [*sys.modules.items()] if name.startswith(package)]
    return {id(each) for module in modules for each in [*vars(module).values()]}


def statements() -> list[bytes]:
    return sorted({each.sql for each in every_statement() if b"FROM" in each.sql})


def takes(row: Any, columns: int) -> bool:
    """Whether rows are made of so many columns; of a NamedTuple a default counts for nothing."""
    if hasattr(row, "_make"):
        return len(row._fields) == columns
    try:
        inspect.signature(row).bind(*range(columns))
    except TypeError:
        return False
    except ValueError:  # a type of Python's own, of one value
        return columns == 1
    return True


def test_every_statement_gives_what_its_rows_are_made_of(database_url: str) -> None:
    """Seen red with a field of a row that had a default, and no column."""
    wrong, seen = [], 0
    with postgres_url.connect(database_url) as connection:
        for each in every_statement():
            if each.row is None or connection.pgconn.prepare(b"", each.sql).status != COMMAND_OK:
                connection.rollback()  # it is no statement of these tables: a test's, or of none
                continue
            seen += 1
            columns = connection.pgconn.describe_prepared(b"").nfields
            if not takes(each.row, columns):
                wrong.append((each.row, columns, each.sql.decode()))
    assert seen > 300
    assert not wrong


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def reads_whole(node: dict[str, Any], partial: Collection[str]) -> bool:
    """Whether it is a table's part of a plan, and reads all of it."""
    kind = node["Node Type"]
    if node.get("Relation Name") in SMALL or node.get("Index Name") in partial:
        return False
    return kind == "Seq Scan" or (kind in SCANS and "Index Cond" not in node)


def test_every_statement_finds_its_rows_by_an_index(database_url: str) -> None:
    whole: list[tuple[str, str]] = []
    planned = 0
    with postgres_url.connect(database_url) as connection:
        if connection.info.server_version < 160_000:
            pytest.skip("PostgreSQL explains plans for all parameters from version 16 on")
        for option in PLANS_BY_KEY.split("-c ")[1:]:
            name, value = option.strip().split("=")
            connection.execute("SELECT set_config(%s, %s, false)", (name, value))
        partial = {name for (name,) in connection.execute(PARTIAL)}
        for sql in statements():
            result = connection.pgconn.exec_(b"EXPLAIN (GENERIC_PLAN, FORMAT JSON) " + sql)
            if result.status != psycopg.pq.ExecStatus.TUPLES_OK:
                connection.rollback()  # it is no statement of these tables: a test's, or of none
                continue
            (explained,) = json.loads(result.get_value(0, 0) or b"")
            planned += 1
            read = [each for each in nodes(explained["Plan"]) if reads_whole(each, partial)]
            whole += [
                (each.get("Relation Name", ""), " ".join(sql.decode().split())) for each in read
            ]
    assert planned > 300
    assert [
        (table, sql) for table, sql in whole if not sql.startswith(tuple(KNOWN.get(table, ())))
    ] == []


@pytest_asyncio.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = Database(load_settings(), database_url)
    yield database
    await database.close()


async def test_connections_of_shared_transactions_plan_so(db: Database) -> None:
    async with db.pipeline() as pipeline, pipeline.autocommit():
        for name, value in SETTINGS.items():
            assert await run(pipeline, SETTING(name)) == [value]
    async with db.transaction() as tx:
        assert await run(tx, SETTING("plan_cache_mode")) == ["auto"]


async def test_the_url_has_the_last_word(database_url: str) -> None:
    """As it must where a database cannot plan for all parameters."""
    mark = "&" if "?" in database_url else "?"
    url = f"{database_url}{mark}options=-c%20plan_cache_mode%3Dauto"
    database = Database(load_settings(), url)
    async with database.pipeline() as pipeline, pipeline.autocommit():
        assert await run(pipeline, SETTING("plan_cache_mode")) == ["auto"]
    await database.close()
