"""Examples of prices, refunds and entries: as files, and kept with products."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from server.audit.models import audit_events
from server.catalog.config_versions import PRODUCT, PUBLISHED, ROUTE_FARES, ConfigSubject
from server.cli import examples as command
from server.configuration import kept_examples, publishing
from server.configuration.example_files import try_file
from server.configuration.examples import ExampleError
from server.platform.database import Database
from server.platform.errors import Reason
from tests.configuration.test_versions import do, draft, refused, states
from tests.support import timetable as world

FILE = Path("docs/examples/policies.yaml")


def test_the_documented_file_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(FILE) == 0
    assert capsys.readouterr().out == "12 of 12 examples hold\n"


@pytest.mark.parametrize(
    ("was", "becomes", "failure"),
    [
        ("total_minor: 60000", "total_minor: 60001", "total_minor: expected 60001, is 60000"),
        ("refused: NO_FARE", "total_minor: 1", 'refused: "NO_FARE"'),
        ("percent: 100}", "percent: 90}", "amount_minor: expected 29500, is 26500"),
        ("boarding_minutes: 120", "boarding_minutes: 119", 'reason: "TICKET_NOT_YET_VALID"'),
        ("guard_seconds: 60", "guard_seconds: 30", "admitted: expected false, is true"),
        ('["2026-12-25"]', "[]", "admitted: expected false, is true"),
    ],
)
def test_what_fails_is_named_with_both_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], was: str, becomes: str, failure: str
) -> None:
    text = FILE.read_text()
    assert was in text
    file = tmp_path / "policies.yaml"
    file.write_text(text.replace(was, becomes))
    assert command.run(file) == 1
    shown = capsys.readouterr().out
    assert f"    {failure}\n" in shown
    assert shown.startswith("FAILED ")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[", "is no YAML"),
        ("a: &a [1]\nb: *a", "alias"),
        ("terms: {}\nterms: {}", "twice"),
        ("examples: []", "terms and examples"),
        ("terms: {}\nexamples: []", "no list of 1"),
        ("terms: {faires: []}\nexamples: []", "no field 'faires'"),
        ("terms: {policy: {percent: 3}}\nexamples: []", "unknown fields"),
        ("terms: {}\nexamples: [{name: n, price: {party: [ADULT]}}]", "examples[0].expected"),
        ("terms: {}\nexamples: [{name: n, price: {party: 1}, expected: {refused: X}}]", "party"),
        ("terms: {}\nexamples: [{name: n, price: {}, expected: {refused: X}}]", "price"),
        ("terms: {}\nexamples: [{price: {a: 1}, expected: {refused: X}}]", "name"),
        (
            (
                "terms: {}\nexamples: [{name: n, entry: {scan_time: '2026-12-01T10:00:00'},"
                " expected: {admitted: true}}]"
            ),
            "write it as",
        ),
        (
            (
                "terms: {policy: {refund_tiers: [{minutes_before: 0, percent: 50}]}}\nexamples: "
                "[{name: n, refund: {paid_minor: x}, expected: {amount_minor: 1}}]"
            ),
            "'n': cannot be worked out",
        ),
    ],
)
def test_wrong_files(text: str, why: str) -> None:
    with pytest.raises(ExampleError, match=re.escape(why)):
        try_file(text)


KEPT = """
examples:
- name: an adult to Hong Kong
  price: {party: [ADULT], route_id: 11, class_code: SECOND, origin: IZQ, destination: XJA}
  expected: {total_minor: 20000}
- name: a day before
  refund: {paid_minor: 10000, minutes_before: 1440}
  expected: {amount_minor: 8000}
"""
TRAIN = ConfigSubject(PRODUCT, world.TRAIN)
FARES = ConfigSubject(ROUTE_FARES, world.TRAIN_ROUTE)


@pytest.fixture
async def db(timetable_url: str) -> AsyncIterator[Database]:
    async with world.database(timetable_url) as database:
        yield database


async def test_what_fails_an_example_is_not_published_unless_it_is_forced(db: Database) -> None:
    """Seen red: without the examples tried at publishing both drafts were published."""
    await do(db, kept_examples.set_examples, world.TRAIN, KEPT)
    policy = {"refund_tiers": [{"minutes_before": 1440, "percent": 70}]}
    made = await draft(db, TRAIN, policy=policy)
    later = {"effective_time": datetime.now(UTC) + timedelta(hours=1)}
    for work, named in ((publishing.publish, {}), (publishing.schedule, later)):
        error = await refused(db, work, TRAIN, made.version, **named)
        assert error.reason is Reason.CONFIG_EXAMPLE_FAILED
        assert error.metadata == {
            "version_id": made.version_id,
            "example": "a day before",
            "expected": '{"amount_minor":8000}',
            "actual": '{"amount_minor":7000}',
        }
    fares = [{**fare, "amount_minor": 7} for fare in world.TRAIN_FARES]
    dearer = await draft(db, FARES, fares=fares)
    error = await refused(db, publishing.publish, FARES, dearer.version)
    assert error.metadata["example"] == "an adult to Hong Kong"
    done = await do(db, publishing.publish, TRAIN, made.version, force_comment="agreed with law")
    assert (done.state, done.force_comment) == (PUBLISHED, "agreed with law")
    query = select(audit_events.c.after["force_comment"].astext).where(
        audit_events.c.action == "publish", audit_events.c.resource == "config_version"
    )
    async with db.transaction() as tx:
        assert await tx.scalar(query) == "agreed with law"
    assert await states(db, FARES) == ["PUBLISHED", "DRAFT"]


async def test_only_what_can_be_worked_out_is_kept(db: Database) -> None:
    error = await refused(db, kept_examples.set_examples, world.TRAIN, "examples: 3")
    assert error.violations[0][0] == "content"
    error = await refused(db, kept_examples.set_examples, 4711, KEPT)
    assert error.reason is Reason.NOT_FOUND
    await do(db, kept_examples.set_examples, world.TRAIN, KEPT)
    await do(db, kept_examples.set_examples, world.TRAIN, "")
    async with db.transaction() as tx:
        assert (await kept_examples.get_examples(tx, world.TRAIN))[0] == ""
    made = await draft(db, TRAIN, boarding_minutes=5)
    assert (await do(db, publishing.publish, TRAIN, made.version)).state == PUBLISHED
