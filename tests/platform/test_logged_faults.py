"""A statement that fails, or a value that cannot be read, is logged without its values, by us
and by PostgreSQL.
"""

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from server.operations.schema import metadata
from server.platform.faults import fault_text, traceback_text
from server.platform.outbox import GiveUpError
from tools.dev.embedded.services import EmbeddedServices

ROOT = Path(__file__).parents[2]
MARK = "marked-openid-张三-E7391739"
NUMBER = 739_173_917_391
FORMS = (MARK, MARK.encode().hex(), str(NUMBER), repr(MARK.encode())[2:-1], ascii(MARK)[1:-1])
"""What would give the values away: as they are, and as bytes are shown."""


@pytest.mark.parametrize("style", ["json", "text"])
def test_statements_of_every_table(
    services: EmbeddedServices, database_url: str, style: str
) -> None:
    """Seen red without `hide_parameters`, with PostgreSQL's texts as they are, and with its log
    as it is by default.
    """
    arguments = [database_url, MARK, str(NUMBER), style]
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.failing_statements", *arguments],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'generated'}", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    failed = [line.split("\t") for line in done.stdout.splitlines()]
    assert {(table, kind) for table, kind, _ in failed} == {
        (table.name, kind)
        for table in metadata.sorted_tables
        for kind in ("constraint", "bad value", "time-out")
    }
    by_kind = {kind: {error for _, each, error in failed if each == kind} for _, kind, _ in failed}
    assert by_kind["bad value"] == {"InvalidTextRepresentation"}
    assert by_kind["time-out"] == {"QueryCanceled"}
    assert by_kind["constraint"] <= {"NotNullViolation", "CheckViolation", "GeneratedAlways"}
    database_log = (services._data_dir / "postgres.log").read_text()
    for form in FORMS:
        assert form not in done.stderr
        assert form not in database_log
    for what in ("in fail", "ValueError", "loop.fault", "NotNullViolation: 23502 null value in"):
        assert what in done.stderr  # it is said what happened, and where


def caught(fail: Callable[[], object]) -> BaseException:
    try:
        fail()
    except Exception as error:  # noqa: BLE001 - any is wanted
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    ("raises", "shown"),
    [
        ("int('E7391739')", "ValueError"),
        ("{}['E7391739']", "KeyError"),
        ("b'E7391739\\xff'.decode()", "UnicodeDecodeError"),
        ("import json; json.loads('E7391739')", "JSONDecodeError"),
        ("from uuid import UUID; UUID('E7391739')", "ValueError"),
        ("None.name", "AttributeError: 'NoneType' object has no attribute 'name'"),
        ("raise TimeoutError", "TimeoutError"),
        (
            "raise ConnectionRefusedError(111, 'refused')",
            "ConnectionRefusedError: [Errno 111] refused",
        ),
    ],
)
def test_errors_that_name_values(raises: str, shown: str) -> None:
    assert fault_text(caught(lambda: exec(raises))) == shown


def test_own_errors_say_what_they_say() -> None:
    assert fault_text(GiveUpError("not a payment of ours")) == "GiveUpError: not a payment of ours"


def test_chains_and_groups() -> None:
    value = "".join(["E7", "391739"])  # else the line of code would show it

    def fail() -> None:
        try:
            int(value)
        except ValueError as error:
            raise ExceptionGroup(value, [error, psycopg.DataError(value)]) from error

    shown = traceback_text(caught(fail))
    assert value not in shown
    assert shown.count("ValueError") == 2  # the cause, and in the group
    assert "  | DataError" in shown
    assert "in fail" in shown


WORDS_OF_ITS_OWN = {
    "server/cli/serving.py",  # StartError
    "server/api/http/listener.py",  # OSError
    "server/wechat/client.py",  # ours, and WeChat's own words about a request
    "server/payments/payment_requests.py",  # likewise
    "server/payments/notices.py",  # ours
    "server/partners/payment_webhooks.py",  # likewise
    "server/api/tls.py",  # of files
}
"""Where `str(error)` may be logged, since no value of a row or a request can be in it."""


def test_every_engine_hides_parameters_and_no_error_is_logged_as_it_is() -> None:
    """Wherever one is made or logged; server.platform.faults.fault_text is the way."""
    product = [*(ROOT / "server").rglob("*.py"), *(ROOT / "tools" / "dev").glob("*.py")]
    product += (ROOT / "tools" / "dev" / "embedded").rglob("*.py")
    for path in sorted(product):
        name = str(path.relative_to(ROOT))
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call):
                continue
            called = ast.unparse(call.func)
            given = {each.arg: ast.unparse(each.value) for each in call.keywords}
            if called.endswith(("create_engine", "create_async_engine")):
                assert given.get("hide_parameters") == "True", name
            if called.startswith(("log.", "_log.")):
                shown = [*given.values(), *map(ast.unparse, call.args)]
                assert "repr(error)" not in shown, f"{name}: {call.lineno}"
                assert "str(error)" not in shown or name in WORDS_OF_ITS_OWN, (
                    f"{name}: {call.lineno}"
                )


@pytest.mark.parametrize(
    ("level", "shown"), [("INFO", "x: warned\nx: failed\n"), ("ERROR", "x: failed\n")]
)
def test_libraries_say_no_more_than_the_level_lets_through(level: str, shown: str) -> None:
    """Seen red: at ERROR the scheduler warned of a look that it skipped on a busy machine."""
    program = f"""
import logging
from server.platform import logs
logs.configure(level={level!r}, style="json")
logger = logging.getLogger("x")
logger.info("noted"), logger.warning("warned"), logger.error("failed")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr == shown
