"""A database that the tests of a module share with the servers over it.

What a module's fixtures have put there is remembered; before each further test it is put back, and
the servers of this process drop what they had remembered of it. So a test finds what it would find
in a database of its own, without a database, a server and its connections made for it. Whoever
counts what a whole server does, stops it or breaks it, takes `database_url` instead.
"""

import asyncio
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from tests.support import databases
from tests.support.changes import changes_are_seen

TRIES = 60
STAYS = ("alembic_version", "change_feed", "job_runs", "numberings")
"""What servers have read or reserved from these is in their memory: that must not come again."""
RESTORE = sql.SQL("""
CREATE FUNCTION remembered.restore() RETURNS void LANGUAGE plpgsql AS $$
DECLARE other text;
BEGIN
  FOR other IN SELECT tablename FROM pg_tables
    WHERE schemaname = 'public' AND NOT tablename = ANY({})
  LOOP EXECUTE format('DROP TABLE %I', other); END LOOP;
  {};
END $$""")
"""First goes what a test has made itself. On a connection that is kept, a function's statements are
planned once.
"""
FILL = sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {}")
IS_FILLED = sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM {})")
NUMBERS_BEGIN = "DELETE FROM numberings WHERE partner_id <> 0"
"""A partner's, again; of the direct channel's the servers have reserved some."""
PRODUCTS_DIFFER = """
UPDATE products
SET blackout_dates = blackout_dates || (DATE '1900-01-01' + (SELECT count(*) FROM change_feed)::int)
WHERE product_id IN (SELECT product_id FROM stocks WHERE partner_id = 0)
"""
"""Of what they sell to travellers the servers remember that it is kept, by what it is: so it is not
quite what it was before. The day is long past.
"""
NOBODY_POSTS = """
LOCK TABLE sandbox_clocks, ledgers, partner_feeds, notification_marks IN EXCLUSIVE MODE
"""
"""Whoever numbers or posts what happened before, notifies of it or has it happen by the clock of a
sandbox, would write that down beside what is put back.
"""
PUT_BACK = (
    f"BEGIN; SET session_replication_role = replica; {NOBODY_POSTS};"
    f" SELECT remembered.restore(); {NUMBERS_BEGIN}; {{}};"
    " INSERT INTO change_feed DEFAULT VALUES; COMMIT"
)
"""The role stays with the connection: each change of it has all statements planned again."""
TABLES = """
SELECT c.table_name, string_agg(quote_ident(c.column_name), ', ')
FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
WHERE table_schema = 'public' AND t.table_type = 'BASE TABLE' AND c.is_generated = 'NEVER'
GROUP BY c.table_name ORDER BY c.table_name
"""


@dataclass
class ModuleDatabase:
    """The database at this URL; `sells`: to travellers, at servers that are not stopped."""

    url: str
    sells: bool = True
    _is_remembered: bool = False

    async def as_filled(self) -> None:
        """Remembers what there is, the first time; puts that back later."""
        if not self._is_remembered:
            await asyncio.to_thread(self._remember)
            self._is_remembered = True
            return
        # in a thread: servers of this one may hold what it waits for
        await asyncio.to_thread(self._restore)
        await changes_are_seen()

    def _remember(self) -> None:
        with databases.connected(self.url) as pg:
            _remember(pg)

    def _restore(self) -> None:
        put_back = PUT_BACK.format(PRODUCTS_DIFFER if self.sells else "")
        for _ in range(TRIES):
            with databases.connected(self.url) as pg:
                try:
                    pg.execute(put_back)
                except psycopg.errors.AdminShutdown:
                    continue  # a test has ended all connections
                except (psycopg.errors.DeadlockDetected, psycopg.errors.UniqueViolation):
                    # the servers' jobs may hold rows meanwhile, in another order, or have written
                    # one that nobody saw before it was put back
                    pg.execute("ROLLBACK")
                except psycopg.Error:
                    pg.execute("ROLLBACK")  # the connection is kept: other tests need it
                    raise
                else:
                    return
        raise TimeoutError("the servers of the module never rest")


def _remember(pg: psycopg.Connection[TupleRow]) -> None:
    """Copies the tables that are not empty, and makes the function that puts them back."""
    tables: dict[str, str] = dict(pg.execute(TABLES).fetchall())
    emptied = [
        sql.SQL("DELETE FROM {}").format(sql.Identifier(table))
        for table in tables
        if table not in STAYS
    ]
    filled = [
        IS_FILLED.format(sql.Literal(table), sql.Identifier(table))
        for table in tables
        if table not in STAYS
    ]
    pg.execute("CREATE SCHEMA remembered")
    refilled = []
    for (table,) in pg.execute(sql.SQL(" UNION ALL ").join(filled)).fetchall():
        name, kept = sql.Identifier(table), sql.Identifier("remembered", table)
        columns = sql.SQL(tables[table])
        pg.execute(sql.SQL("CREATE TABLE {} AS SELECT {} FROM {}").format(kept, columns, name))
        refilled.append(FILL.format(name, columns, columns, kept))
    statements = sql.SQL("; ").join([*emptied, *refilled])
    pg.execute(RESTORE.format(sql.Literal([*tables]), statements))
