"""A process that makes statements over every table fail with marked values, and logs each error in
every way there is.

`python -m tests.support.failing_statements URL TEXT NUMBER STYLE`; the log is on standard error,
what failed on standard output. The last error is left to whoever catches what nobody catches.
"""

import asyncio
import gc
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import structlog
from sqlalchemy import BigInteger, Integer, LargeBinary, Table, Text, insert, text

from server.api import calls, interceptor
from server.api.admission import Origin
from server.api.calls import Call
from server.operations.schema import metadata
from server.platform import logs, task_worker
from server.platform.config import load_settings
from server.platform.database import Database, set_statement_timeout

log = structlog.get_logger()


def marked_row(table: Table, mark: str, number: int) -> dict[str, Any]:
    """A mark in each column that takes one; the others are empty, which some do not allow."""
    row: dict[str, Any] = {}
    for column in table.columns:
        if isinstance(column.type, Text):
            row[column.name] = mark
        elif isinstance(column.type, LargeBinary):
            row[column.name] = mark.encode()
        elif isinstance(column.type, BigInteger) or (
            isinstance(column.type, Integer) and number < 1 << 31
        ):
            row[column.name] = number
    return row


def failing(table: Table, mark: str, number: int) -> Iterator[tuple[str, Any, Any]]:
    """A constraint that is violated, a bad value, and a statement that takes too long."""
    nothing = dict.fromkeys(column.name for column in table.primary_key)
    yield "constraint", insert(table), marked_row(table, mark, number) | nothing
    values = {"mark": mark}
    yield (
        "bad value",
        text(f"SELECT CAST(CAST(:mark AS text) AS bigint) FROM {_some(table)}"),
        values,
    )
    yield (
        "time-out",
        text(f"SELECT pg_sleep(5) FROM {_some(table)} WHERE CAST(:mark AS text) <> ''"),
        values,
    )


def _some(table: Table) -> str:
    return f"(SELECT 1) AS one LEFT JOIN {table.name} ON true"


def say_everywhere(error: Exception) -> None:
    """Whatever logs an error, while it is handled."""
    interceptor.log_fault(error)
    log.warning("failed", error=error)
    log.info("failed", error=task_worker._error_text(error))
    log.exception("failed")  # noqa: LOG004 - its caller handles it
    library = logging.getLogger("library")
    library.error("failed", exc_info=error)
    library.error("failed: %s", error)
    library.error(error)


async def run(url: str, mark: str, number: int) -> None:
    asyncio.get_running_loop().set_exception_handler(logs.loop_fault)
    call = Call("a.b.C/D", "request", {}, Origin("127.0.0.1", of_gateway=True))
    calls.current_call.set(call)
    db = Database(load_settings(), url)

    async def fail(statement: Any, values: dict[str, Any], *, is_cut_off: bool = False) -> None:
        async with db.transaction() as tx:
            await set_statement_timeout(tx, seconds=60)
            if is_cut_off:
                await tx.execute(text("SET LOCAL statement_timeout = 20"))
            await tx.execute(statement, values)

    for table in metadata.sorted_tables:
        for kind, statement, values in failing(table, mark, number):
            try:
                await fail(statement, values, is_cut_off=kind == "time-out")
            except Exception as error:  # noqa: BLE001 - whatever it is, it is logged
                say_everywhere(error)
                cause = error.__cause__ or error
                name = type(getattr(cause, "orig", cause)).__name__
                sys.stdout.write(f"{table.name}\t{kind}\t{name}\n")
    statement, values = insert(metadata.tables["travellers"]), {"openid": mark}
    forgotten = asyncio.create_task(fail(statement, values), name="forgotten")
    await asyncio.wait([forgotten])
    del forgotten
    gc.collect()
    await db.close()


def main() -> None:
    url, mark, number, style = sys.argv[1:]
    logs.configure(level="INFO", style=style)
    logs.guard_process()
    asyncio.run(run(url, mark, int(number)))

    def fail() -> None:
        raise ValueError(mark)

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    fail()


if __name__ == "__main__":
    main()
