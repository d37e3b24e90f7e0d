"""Every invariant holds over data in every state; what is not as it should be breaks it alone."""

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url
from typer.testing import CliRunner

from server.__main__ import app
from server.operations import doctor
from server.operations.consistency import EXAMPLES, INVARIANTS, Result, examine, look
from server.operations.findings import Verdict
from tests.operations.distributor_corruptions import OF_DISTRIBUTORS
from tests.operations.ledger_corruptions import POSTED
from tests.operations.reservation_corruptions import RESERVED
from tests.operations.traveller_corruptions import A_TICKET_OF, OF_TRAVELLERS
from tests.support import databases
from tests.support.every_state import every_state
from tests.support.invariants import assert_invariants
from tools.dev.embedded.services import EmbeddedServices

# of each, one invariant sees it
CORRUPTIONS = [*OF_TRAVELLERS, *RESERVED, *OF_DISTRIBUTORS, *POSTED]


@dataclass(frozen=True)
class Made:
    """A database of every state, and the order codes in it by name."""

    url: str
    orders: dict[str, str]

    def connect(self) -> psycopg.Connection[Any]:
        """A connection to it."""
        plain = make_url(self.url).set(drivername="postgresql")
        return psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True)


@dataclass
class Books:
    """One that is connected to."""

    made: Made
    pg: psycopg.Connection[Any]

    def look(self, statement: str = "") -> list[Result]:
        """What does not hold after a statement, which is undone."""
        with self.pg.transaction(force_rollback=True):
            for each in filter(str.strip, self._named(statement).split(";\n")):
                assert self.pg.execute(each.encode()).rowcount != 0, each
            results = [look(self.pg, invariant) for invariant in INVARIANTS]
        return [result for result in results if not result.holds]

    def broken(self, statement: str = "") -> dict[str, str]:
        """The names of what does not hold then, with examples."""
        return {result.invariant.name: result.text for result in self.look(statement)}

    def _named(self, statement: str) -> str:
        def order_id(match: re.Match[str]) -> str:
            code = self.made.orders[match[1]]
            return f"(SELECT order_id FROM orders WHERE order_code = '{code}')"

        return re.sub(r"<([a-z0-9-]+)>", order_id, statement)


@pytest.fixture(scope="module")
def made(services: EmbeddedServices, template_url: str) -> Iterator[Made]:
    """Nobody is connected to it."""
    with databases.copied(services.database_url, template_url) as url:
        yield Made(url, asyncio.run(every_state(url, services.redis_url)))


@pytest.fixture
def copy(services: EmbeddedServices, made: Made) -> Iterator[Made]:
    """One for a test that leaves traces."""
    with databases.copied(services.database_url, made.url) as url:
        yield Made(url, made.orders)


@pytest.fixture(scope="module")
def books(services: EmbeddedServices, made: Made) -> Iterator[Books]:
    """For those who take back what they do."""
    with databases.copied(services.database_url, made.url) as url:
        shared = Made(url, made.orders)
        with shared.connect() as pg:
            yield Books(shared, pg)


def test_what_the_server_made_holds(books: Books) -> None:
    """With a partner's batch of a product that shares something, and a late payment closed by
    hand, among all others.
    """
    assert books.broken() == {}


@pytest.mark.parametrize(("name", "statement"), CORRUPTIONS)
def test_a_wrong_row_breaks_its_own_alone(books: Books, name: str, statement: str) -> None:
    broken = books.broken(statement)
    assert broken.keys() == {name}, broken


def test_each_is_shown_to_break() -> None:
    assert {name for name, _ in CORRUPTIONS} == {each.name for each in INVARIANTS}
    assert len({each.name for each in INVARIANTS}) == len(INVARIANTS)


def test_a_ring_of_changes_is_found(books: Books) -> None:
    """It has no beginning, so what else is wrong with it may be anything."""
    ring = f"""
UPDATE orders SET first_order_id = order_id, first_item_index = 0, changes_order_id = <chain-3>,
  changes_ticket_id = (
  SELECT ticket_id FROM ticket_sales WHERE {A_TICKET_OF.format("chain-3")})
  WHERE order_id = <chain-1>
"""
    assert "without a beginning" in books.broken(ring)["change-chains"]


def test_an_order_that_a_task_completes_soon_is_right(books: Books) -> None:
    last = (
        "(SELECT max(order_id) FROM orders WHERE state = 'COMPLETED' AND traveller_id IS NOT NULL)"
    )
    used_up = f"""
INSERT INTO outbox_tasks SELECT gen_random_uuid(), 'order.complete', o.order_id || ' 1',
  jsonb_build_object('order_id', o.order_id::text, 'actor', 'a'), '<state>', now(), 0, NULL, NULL,
  NULL, now(), now()
FROM orders o WHERE order_id = {last};
UPDATE orders SET state = 'PAID' WHERE order_id = {last}
"""
    assert "order-states" in books.broken(used_up.replace("<state>", "DONE"))
    assert "order-states" not in books.broken(used_up.replace("<state>", "OPEN"))


def test_examples_are_few(books: Books) -> None:
    (result,) = books.look("DELETE FROM taken_seats")
    assert (len(result.examples), result.more) == (EXAMPLES, True)
    assert result.text.endswith("…")


def test_an_empty_database(database_url: str) -> None:
    assert_invariants(database_url)


def test_all_see_one_snapshot(copy: Made) -> None:
    """What is committed while they are examined is seen by all of them or none."""
    with copy.connect() as pg, copy.connect() as other:
        results = examine(other)
        first = next(results)
        pg.execute("DELETE FROM entitlements; DELETE FROM tickets")
        assert first.holds
        assert all(result.holds for result in results)


def test_doctor(copy: Made, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`deeptravel doctor --invariants`, for people and as JSON, and its exit code."""
    monkeypatch.setenv("DEEPTRAVEL_DATABASE_URL", copy.url)
    monkeypatch.setenv("DEEPTRAVEL_REDIS_URL", redis_url)
    run = CliRunner().invoke
    clean = run(app, ["doctor", "--invariants"])
    assert clean.exit_code == 0
    assert all(each.name in clean.output for each in INVARIANTS)
    code = copy.orders["paid"]
    databases.execute(copy.url, f"UPDATE orders SET sequence = 7 WHERE order_code = '{code}'")
    wrong = run(app, ["doctor", "--invariants", "--json"])
    assert wrong.exit_code == 1
    findings = {each["subject"]: each for each in json.loads(wrong.output)}
    assert findings.keys() == {each.name for each in INVARIANTS}
    (found,) = (each for each in findings.values() if each["verdict"] != "ok")
    assert found["subject"] == "order-events"
    assert f"{code}: sequence 7" in found["found"]
    assert found["remedy"]


def test_doctor_without_our_tables(services: EmbeddedServices) -> None:
    """It says so, and asks for nothing that is not there."""
    (away,) = doctor.check_invariants("postgresql+psycopg://u@127.0.0.1:1/x")
    assert (away.verdict, away.subject) == (Verdict.WRONG, "database")
    databases.execute(services.database_url, "CREATE DATABASE invariants_empty")
    try:
        url = databases.renamed(services.database_url, "invariants_empty")
        (schema,) = doctor.check_invariants(url)
        assert (schema.verdict, schema.subject) == (Verdict.WARNING, "schema")
    finally:
        databases.execute(services.database_url, "DROP DATABASE invariants_empty WITH (FORCE)")
