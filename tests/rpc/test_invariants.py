"""Every invariant holds over a world with one of each, and is broken by a row that is not as it should be."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import make_url
from typer.testing import CliRunner

from server.__main__ import app
from server.commandline import doctor
from server.embedded.services import EmbeddedServices
from server.invariants import EXAMPLES, INVARIANTS, examine, look
from tests.support import databases
from tests.support.invariants import assert_invariants, broken
from tests.support.ledger import CAP, DEPARTURE, PACKAGE, PARTNERS, TRAIN, Ledger, fill


@contextmanager
def a_ledger(database_url: str) -> Iterator[Ledger]:
    plain = make_url(database_url).set(drivername="postgresql")
    with psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True) as pg:
        ledger = Ledger(pg)
        fill(ledger)
        assert_invariants(database_url)
        yield ledger


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    with a_ledger(database_url) as ledger:
        yield ledger


@pytest.fixture(scope="module")
def shared_ledger(services: EmbeddedServices, template_url: str) -> Iterator[Ledger]:
    """For those who take back what they do."""
    with databases.copied(services.database_url, template_url) as url, a_ledger(url) as ledger:
        yield ledger


IS_SHARED = "ticket_id IN (SELECT ticket_id FROM ticket_sales WHERE passenger_index < 0)"
CORRUPTIONS = [
    ("stock", f"UPDATE stocks SET held = held + 1 WHERE stock_id = {TRAIN}"),
    ("stock", f"UPDATE stocks SET sold = sold - 1 WHERE stock_id = {PACKAGE}"),
    ("stock", f"UPDATE stocks SET sold = sold + 1 WHERE stock_id = {PARTNERS}"),
    ("stock", f"UPDATE stocks SET sold = 0 WHERE stock_id = {CAP}"),
    ("stock", f"DELETE FROM stocks WHERE stock_id = {PARTNERS}"),
    (
        "oversell",
        "ALTER TABLE stocks DROP CONSTRAINT ck_stocks_no_oversell; UPDATE stocks SET total = 1",
    ),
    ("seats", "DELETE FROM taken_seats WHERE seat_index = 4"),
    ("seats", f"INSERT INTO taken_seats VALUES ({TRAIN}, 99, 4)"),
    ("seats", "UPDATE taken_seats SET order_id = 4 WHERE seat_index = 1"),
    ("one-seat-one-ticket", "UPDATE ticket_sales SET seat_index = 3 WHERE seat_index = 4"),
    ("travel-guards", "DELETE FROM travel_guards WHERE order_id = 1"),
    ("travel-guards", f"INSERT INTO travel_guards VALUES ({DEPARTURE}, 'x', 4)"),
    ("traveller-quotas", "UPDATE traveller_quotas SET quantity = quantity - 1"),
    ("traveller-quotas", "INSERT INTO traveller_quotas VALUES (1, 9, 1)"),
    ("batches", "UPDATE batches SET quantity = 4"),
    ("batches", "DELETE FROM batches"),
    ("refunded-of-payments", "UPDATE payments SET refunded_minor = 81 WHERE order_id = 4"),
    ("refunded-of-payments", "UPDATE refunds SET state = 'CLOSED' WHERE order_id = 5"),
    ("refunded-of-payments", "DELETE FROM payments WHERE order_id = 3"),
    ("refund-parts", "UPDATE refund_parts SET amount_minor = 1 WHERE order_id = 4"),
    ("refund-parts", "UPDATE refund_parts SET state = 'SUCCEEDED' WHERE order_id = 4"),
    ("refund-parts", "UPDATE refund_parts SET state = 'CLOSED' WHERE order_id = 4"),
    ("refund-parts", "UPDATE refunds SET settle_time = NULL WHERE order_id = 5"),
    ("refund-parts", "DELETE FROM refund_parts WHERE order_id = 5"),
    ("refund-parts", "DELETE FROM refunds WHERE order_id = 3"),
    ("refund-of-tickets", "UPDATE refunds SET amount_minor = 79 WHERE order_id = 4"),
    ("refund-of-tickets", "UPDATE ticket_sales SET amount_minor = 79 WHERE order_id = 4"),
    (
        "refund-of-tickets",
        "INSERT INTO refunds SELECT order_id, 2, 'SUCCEEDED', cause, tickets, 90, 'HKD', now(), now() FROM refunds",
    ),
    ("paid-in-full", "UPDATE payments SET amount_minor = 301 WHERE order_id = 4"),
    ("paid-in-full", "UPDATE refunds SET cause = 'ADMINISTRATOR' WHERE order_id = 6"),
    (
        "paid-in-full",
        "UPDATE payments SET state = 'SUCCEEDED', success_time = now() WHERE order_id = 1",
    ),
    ("paid-in-full", "DELETE FROM payments WHERE order_id = 8"),
    ("paid-in-full", "UPDATE payments SET order_id = 99 WHERE order_id = 2"),
    ("one-transaction-one-payment", "UPDATE payments SET transaction_id = 'same'"),
    ("work-under-way", "UPDATE outbox_tasks SET state = 'DONE' WHERE kind = 'refund.query'"),
    ("work-under-way", "DELETE FROM outbox_tasks WHERE kind = 'payment.close'"),
    ("prices", "UPDATE orders SET amount_minor = 199 WHERE order_id = 1"),
    ("prices", "UPDATE orders SET amount_minor = 129, credit_minor = 0 WHERE order_id = 8"),
    ("prices", "UPDATE ticket_sales SET amount_minor = 99 WHERE order_id = 4"),
    ("tickets-of-orders", "DELETE FROM ticket_sales WHERE order_id = 6 AND passenger_index < 0"),
    ("tickets-of-orders", "UPDATE ticket_sales SET order_id = 1 WHERE order_id = 8"),
    ("tickets-of-orders", "UPDATE ticket_sales SET passenger_index = 0 WHERE order_id = 4"),
    ("sales-of-tickets", "DELETE FROM ticket_sales WHERE order_id = 6"),
    ("sales-of-tickets", "DELETE FROM tickets WHERE order_id = 4"),
    ("sales-of-tickets", "UPDATE orders SET ticket_count = 2 WHERE order_id = 20"),
    ("order-states", "UPDATE orders SET state = 'COMPLETED' WHERE order_id = 4"),
    ("order-states", "UPDATE orders SET state = 'PAID', cancel_reason = NULL WHERE order_id = 7"),
    ("order-states", "UPDATE orders SET cancel_reason = 'TRAVELLER' WHERE order_id = 5"),
    ("order-states", "UPDATE orders SET pay_time = NULL WHERE order_id = 4"),
    ("order-states", "UPDATE orders SET pay_time = now() WHERE order_id = 2"),
    ("order-events", "UPDATE orders SET sequence = 7 WHERE order_id = 4"),
    ("order-events", "DELETE FROM order_events WHERE order_id = 2"),
    (
        "order-events",
        "UPDATE order_events SET sequence = 9 WHERE (order_id, sequence) = (4, 3)",
    ),
    ("order-events", "UPDATE order_events SET state = 'PAID' WHERE order_id = 2"),
    ("refunding", "UPDATE tickets SET state = 'ACTIVE' WHERE state = 'REFUNDING'"),
    ("refunding", "UPDATE tickets SET state = 'REFUNDING' WHERE state = 'REFUNDED'"),
    ("refunding", "DELETE FROM refunds WHERE order_id = 5"),
    ("changing", "UPDATE tickets SET state = 'ACTIVE' WHERE state = 'CHANGING'"),
    ("changing", "UPDATE tickets SET state = 'ACTIVE' WHERE state = 'CHANGED'"),
    ("changing", "UPDATE tickets SET state = 'CHANGED' WHERE order_id = 8"),
    ("changing", "DELETE FROM ticket_sales WHERE order_id = 8"),
    ("entitlements", "UPDATE entitlements SET total_uses = total_uses + 1"),
    ("entitlements", "DELETE FROM entitlements WHERE function_code = 'lounge'"),
    ("entitlements", "UPDATE snapshots SET content = '{\"entitlements\": []}'"),
    (
        "uses",
        "UPDATE entitlements SET remaining_uses = 0 WHERE ticket_id = (SELECT max(ticket_id) FROM tickets)",
    ),
    ("uses", "UPDATE tickets SET state = 'USED' WHERE order_id = 20"),
    ("uses", "DELETE FROM redemption_events"),
    ("redemption-guards", "DELETE FROM redemption_guards"),
    ("redemption-guards", "UPDATE redemption_guards SET event_id = 78"),
    ("shared-tickets", f"UPDATE tickets SET state = 'REFUNDED' WHERE {IS_SHARED}"),
    (
        "shared-tickets",
        f"UPDATE tickets SET valid_until_time = valid_until_time + interval '1 day' WHERE {IS_SHARED}",
    ),
    (
        "shared-tickets",
        f"UPDATE tickets SET state = CASE WHEN {IS_SHARED} THEN 'ACTIVE' ELSE 'REFUNDED' END WHERE order_id = 6",
    ),
    ("first-of-changes", "UPDATE orders SET first_order_id = 4 WHERE order_id = 8"),
    ("first-of-changes", "UPDATE orders SET first_item_index = 1 WHERE order_id = 10"),
    ("ticket-events", "DELETE FROM ticket_events WHERE state = 'REFUNDED'"),
]


@pytest.mark.parametrize(("name", "statement"), CORRUPTIONS)
def test_a_wrong_row_breaks_it(shared_ledger: Ledger, name: str, statement: str) -> None:
    pg = shared_ledger.pg
    (invariant,) = (each for each in INVARIANTS if each.name == name)
    assert look(pg, invariant).holds
    with pg.transaction(force_rollback=True):
        pg.execute(statement.encode())
        result = look(pg, invariant)
    assert not result.holds
    assert all(subject and text for subject, text in result.examples)


def test_each_is_shown_to_break() -> None:
    assert {name for name, _ in CORRUPTIONS} == {each.name for each in INVARIANTS}
    assert len({each.name for each in INVARIANTS}) == len(INVARIANTS)


def test_examples_are_few(ledger: Ledger, database_url: str) -> None:
    ledger.pg.execute("DELETE FROM taken_seats")
    (result,) = broken(database_url)
    assert (len(result.examples), result.more) == (EXAMPLES, True)
    assert result.text.endswith("…")


def test_an_empty_database(database_url: str) -> None:
    assert_invariants(database_url)


def test_all_see_one_snapshot(ledger: Ledger, database_url: str) -> None:
    """What is committed while they are examined is seen by all of them or none."""
    plain = make_url(database_url).set(drivername="postgresql")
    url = plain.render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as other:
        results = examine(other)
        first = next(results)
        ledger.pg.execute("DELETE FROM entitlements; DELETE FROM tickets")
        assert first.holds
        assert all(result.holds for result in results)


def test_doctor(
    ledger: Ledger, database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`deeptravel doctor --invariants`, for people and as JSON, and its exit code."""
    monkeypatch.setenv("DEEPTRAVEL_DATABASE_URL", database_url)
    monkeypatch.setenv("DEEPTRAVEL_REDIS_URL", redis_url)
    run = CliRunner().invoke
    clean = run(app, ["doctor", "--invariants"])
    assert clean.exit_code == 0
    assert all(each.name in clean.output for each in INVARIANTS)
    ledger.pg.execute("UPDATE orders SET sequence = 7 WHERE order_id = 4")
    wrong = run(app, ["doctor", "--invariants", "--json"])
    assert wrong.exit_code == 1
    findings = {each["subject"]: each for each in json.loads(wrong.output)}
    assert findings.keys() == {each.name for each in INVARIANTS}
    (found,) = (each for each in findings.values() if each["verdict"] != "ok")
    assert found["subject"] == "order-events"
    assert "ORD-4: sequence 7" in found["found"]
    assert found["remedy"]


def test_doctor_without_our_tables(services: EmbeddedServices) -> None:
    """It says so, and asks for nothing that is not there."""
    (away,) = doctor.check_invariants("postgresql+psycopg://u@127.0.0.1:1/x")
    assert (away.verdict, away.subject) == (doctor.Verdict.WRONG, "database")
    databases.execute(services.database_url, "CREATE DATABASE invariants_empty")
    try:
        url = databases.renamed(services.database_url, "invariants_empty")
        (schema,) = doctor.check_invariants(url)
        assert (schema.verdict, schema.subject) == (doctor.Verdict.WARNING, "schema")
    finally:
        databases.execute(services.database_url, "DROP DATABASE invariants_empty WITH (FORCE)")
