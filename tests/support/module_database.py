"""A database that the tests of a module share with the servers over it.

What a module's fixtures have put there is remembered; before each further test it is put back, and
the servers of this process drop what they had remembered of it. So a test finds what it would find
in a database of its own, without a database, a server and its connections made for it. Whoever
counts what a whole server does, stops it or breaks it, takes `database_url` instead.
"""

from contextlib import suppress
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from tests.support.changes import changes_are_seen

TRIES = 60
STAYS = ("alembic_version", "change_feed", "job_runs", "numberings")
"""What servers have read or reserved from these is in their memory: that must not come again."""
OTHERS_GO = sql.SQL("""
DO $$ DECLARE other text; BEGIN
  FOR other IN SELECT tablename FROM pg_tables
    WHERE schemaname = 'public' AND NOT tablename = ANY({})
  LOOP EXECUTE format('DROP TABLE %I', other); END LOOP;
END $$""")
"""What a test has made itself."""
FILL = sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {}")
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
NOBODY_POSTS = "LOCK TABLE ledgers, partner_feeds, notification_marks IN EXCLUSIVE MODE"
"""Whoever numbers or posts what happened before, or notifies of it, would write that down beside
what is put back.
"""
ENDS = (NUMBERS_BEGIN, PRODUCTS_DIFFER, "INSERT INTO change_feed DEFAULT VALUES", "COMMIT")
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
    _restoring: sql.Composed | None = field(default=None, repr=False)

    async def as_filled(self) -> None:
        """Remembers what there is, the first time; puts that back later."""
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as pg:
            if self._restoring is None:
                self._restoring = await _remember(pg, self.sells)
                return
            for _ in range(TRIES):
                # the servers' jobs may hold rows meanwhile, in another order
                with suppress(psycopg.errors.DeadlockDetected):
                    await pg.execute(self._restoring)
                    break
                await pg.execute("ROLLBACK")
            else:
                raise TimeoutError("the servers of the module never rest")
        await changes_are_seen()


async def _remember(pg: psycopg.AsyncConnection[tuple[str, str]], sells: bool) -> sql.Composed:
    """Copies the tables that are not empty; what puts them back, in one transaction."""
    begin = sql.SQL(f"BEGIN; SET LOCAL session_replication_role = replica; {NOBODY_POSTS}")
    statements: list[sql.Composable] = [begin]
    tables = await (await pg.execute(TABLES)).fetchall()
    statements.append(OTHERS_GO.format(sql.Literal([table for table, _ in tables])))
    await pg.execute("CREATE SCHEMA remembered")
    for table, columns in tables:
        if table in STAYS:
            continue
        name, kept = sql.Identifier(table), sql.Identifier("remembered", table)
        named = sql.SQL(columns)
        copied = await pg.execute(
            sql.SQL("CREATE TABLE {} AS SELECT {} FROM {}").format(kept, named, name)
        )
        statements.append(sql.SQL("DELETE FROM {}").format(name))
        if copied.rowcount:
            statements.append(FILL.format(name, named, named, kept))
    ends = [end for end in ENDS if sells or end != PRODUCTS_DIFFER]
    return sql.SQL("; ").join([*statements, *map(sql.SQL, ends)])
