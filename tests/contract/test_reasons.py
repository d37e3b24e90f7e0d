"""Every reason why something fails or is refused stands in the contract, and the other way
round.
"""

import ast
import functools
import re
import string
from collections.abc import Iterator
from pathlib import Path

from server.api.http.application import HTTP_STATUSES
from server.platform.errors import STATUS_BY_REASON, Reason
from server.redemption import explanations, rules
from tests.support import described
from tests.support.described import ROOT

SERVER = ROOT / "server"
ERROR_REASONS = described.values("deeptravel.common.v1.ErrorReason")
REFUSAL_REASONS = described.values("deeptravel.redemption.v1.RefusalReason")
SIMULATED = "server/api/ota/simulation.py"
"""Refusals that a sandbox asks for by name: tests/partners/test_sandbox_values.py holds them to the
contract.
"""
OF_REASONS = re.compile("DomainError|Reason|Refusal")
NOT_METADATA = {"violations", "retry_seconds"}


@functools.cache
def _nodes(folder: Path = SERVER) -> tuple[tuple[str, ast.Call | ast.Attribute], ...]:
    """The calls and attributes in the files that have to do with reasons, and where they are."""
    return tuple(
        (f"{path.relative_to(ROOT)}:{node.lineno}", node)
        for path in sorted(folder.rglob("*.py"))
        if OF_REASONS.search(text := path.read_text())
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call | ast.Attribute)
    )


def _called(node: ast.AST) -> str:
    return _last_name(node.func) if isinstance(node, ast.Call) else ""


def _last_name(node: ast.AST) -> str:
    """Of `a.b.c` c."""
    return str(getattr(node, "attr", getattr(node, "id", "")))


@functools.cache
def _raised() -> tuple[tuple[str, str, set[str]], ...]:
    """Where a DomainError is made, of which reason, with which keywords."""
    return tuple(_look_for_raised())


def _look_for_raised() -> Iterator[tuple[str, str, set[str]]]:
    for where, node in _nodes():
        if where.startswith(SIMULATED):
            continue
        if _called(node) == "DomainError":
            assert isinstance(node, ast.Call)
            reason = ast.unparse(node.args[0]).removeprefix("Reason.")
            yield where, reason, {keyword.arg or "**" for keyword in node.keywords}
        elif _called(node) == "__init__" and isinstance(node, ast.Call) and node.args:
            reason = ast.unparse(node.args[0])
            if reason.startswith("Reason."):
                keywords = {keyword.arg or "**" for keyword in node.keywords}
                yield where, reason.removeprefix("Reason."), keywords


def test_contract_code_and_table_have_the_same_reasons() -> None:
    assert list(ERROR_REASONS) == [reason.name for reason in Reason]
    assert all(reason.name == reason.value for reason in Reason)
    assert list(STATUS_BY_REASON) == list(Reason)


def test_comments_name_the_status() -> None:
    named = {name: value.comment.partition(".")[0] for name, value in ERROR_REASONS.items()}
    assert named == {reason.name: status for reason, status in STATUS_BY_REASON.items()}


def test_every_status_has_an_http_status() -> None:
    from grpc import StatusCode  # its values are google.rpc.Code

    codes = {StatusCode[status].value[0] for status in STATUS_BY_REASON.values()}
    assert codes - HTTP_STATUSES.keys() == {StatusCode.INTERNAL.value[0]}  # the rest is 500


def test_every_reason_is_raised_and_none_is_unknown() -> None:
    mentioned = {
        node.attr
        for _, node in _nodes()
        if isinstance(node, ast.Attribute) and _last_name(node.value) == "Reason"
    }
    used = {reason for _, reason, _ in _raised()}
    assert mentioned <= set(Reason.__members__)
    assert used <= set(Reason.__members__), "reasons are written out where they are raised"
    assert set(Reason.__members__) - used == {"INVALID_FIELD", "NOT_FOUND"} - used


def test_metadata_is_as_the_comments_promise() -> None:
    wrong = []
    for where, reason, keywords in _raised():
        promised = re.search(r"Metadata: ((?:`\w+`(?:, )?)+)", ERROR_REASONS[reason].comment)
        names = set(re.findall(r"`(\w+)`", promised[1])) if promised else set()
        if "**" not in keywords and keywords - NOT_METADATA != names:
            wrong.append((where, reason, keywords - NOT_METADATA, names))
    assert wrong == []


def test_comments_promise_retry_info_where_it_is_given() -> None:
    for where, reason, keywords in _raised():
        if "retry_seconds" in keywords:
            assert "RetryInfo" in ERROR_REASONS[reason].comment, where
    for reason, value in ERROR_REASONS.items():
        if "RetryInfo" in value.comment:
            given = [keywords for _, raised, keywords in _raised() if raised == reason]
            assert given
            assert all("retry_seconds" in keywords for keywords in given), reason


# Refusals of a scan


def _refusals() -> set[tuple[str, str]]:
    """Reason and check of every refusal that the code can make."""
    made = {(reason, "state") for reason in rules._REFUSED_STATES.values()}
    for where, node in _nodes(SERVER / "redemption"):
        if _called(node) == "Refusal" and isinstance(node, ast.Call):
            reason, check = node.args[:2]
            assert isinstance(check, ast.Constant), where
            if isinstance(reason, ast.Constant):
                made.add((str(reason.value), str(check.value)))
    return made


def test_refusals_are_those_of_the_contract() -> None:
    assert {reason for reason, _ in _refusals()} == REFUSAL_REASONS.keys()


def test_every_refusal_is_explained_in_both_languages() -> None:
    explained = explanations._TEXTS
    assert _refusals() <= explained.keys()
    assert {reason for reason, _ in explained if reason} == REFUSAL_REASONS.keys()
    for key, (english, chinese) in explained.items():
        assert re.search("[a-z]", english), key
        assert re.search("[\u4e00-\u9fff]", chinese), key
        assert _values(english) == _values(chinese), key


def _values(text: str) -> set[str]:
    names = {name for _, name, _, _ in string.Formatter().parse(text) if name}
    return {re.sub("_(en|zh)$", "", name) for name in names}
