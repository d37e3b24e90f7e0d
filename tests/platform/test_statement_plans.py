"""How PostgreSQL runs the statements of shared transactions: by key, planned once, even where the
tables are empty when that happens.

Seen red with joins and bitmaps as they are by default (four statements read a whole table by its
index), and with `enable_seqscan` so too.
"""

import gc
import importlib
import json
import pkgutil
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
import pytest_asyncio

import server
from server.platform import postgres_url
from server.platform.config import load_settings
from server.platform.database import PLANS_BY_KEY, Database
from server.platform.statements import Statement, run

SCANS = {"Index Scan", "Index Only Scan", "Bitmap Index Scan"}
SMALL = {"audit_checkpoints", "audit_segments"}
"""Read whole by a command: one row a day, and one a break that somebody has looked at."""
SETTING = Statement("SELECT current_setting($1)", str)
SETTINGS = {"plan_cache_mode": "force_generic_plan", "enable_hashjoin": "off", "jit": "off"}


def statements() -> list[bytes]:
    for module in pkgutil.walk_packages(server.__path__, "server."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found = {each.sql for each in gc.get_objects() if isinstance(each, Statement)}
    return sorted(sql for sql in found if b"FROM" in sql)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def test_every_statement_finds_its_rows_by_an_index(database_url: str) -> None:
    whole: list[tuple[str, str]] = []
    with postgres_url.connect(database_url) as connection:
        if connection.info.server_version < 160_000:
            pytest.skip("PostgreSQL explains plans for all parameters from version 16 on")
        for option in PLANS_BY_KEY.split("-c ")[1:]:
            name, value = option.strip().split("=")
            connection.execute("SELECT set_config(%s, %s, false)", (name, value))
        for sql in statements():
            result = connection.pgconn.exec_(b"EXPLAIN (GENERIC_PLAN, FORMAT JSON) " + sql)
            if result.status != psycopg.pq.ExecStatus.TUPLES_OK:
                connection.rollback()  # it is no statement of these tables: a test's, or of none
                continue
            (explained,) = json.loads(result.get_value(0, 0) or b"")
            for node in nodes(explained["Plan"]):
                kind = node["Node Type"]
                if node.get("Relation Name") in SMALL:
                    continue
                if kind == "Seq Scan" or (kind in SCANS and "Index Cond" not in node):
                    whole.append((node.get("Relation Name", ""), sql.decode()))
    assert not whole


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
