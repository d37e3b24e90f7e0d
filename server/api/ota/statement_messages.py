"""Statements between protobuf and plain values."""

from collections.abc import Mapping, Sequence
from typing import Any

from deeptravel.ota.v1 import statement_pb2

from server.api import convert
from server.partners.statement_rules import StatementDocument, month_text
from server.partners.statements import StatementSummary

FORMAT_NAME = convert.enum_names(statement_pb2.StatementFormat)
_KIND = convert.enum_numbers(statement_pb2.StatementLineKind)
_ACCOUNT = convert.enum_numbers(statement_pb2.LedgerAccount)
_PROVISIONAL = statement_pb2.STATEMENT_STATE_PROVISIONAL
_SEALED = statement_pb2.STATEMENT_STATE_SEALED


def summary(found: StatementSummary) -> statement_pb2.StatementSummary:
    """A statement in a list."""
    return statement_pb2.StatementSummary(
        month=month_text(found.month),
        state=_SEALED if found.seal_time else _PROVISIONAL,
        content_sha256=found.content_sha256,
        seal_time=convert.timestamp(found.seal_time),
    )


def statement(made: StatementDocument) -> statement_pb2.Statement:
    """A statement without its lines."""
    content = made.content
    return statement_pb2.Statement(
        month=content["month"],
        state=_SEALED if made.is_sealed else _PROVISIONAL,
        content_sha256=made.content_sha256,
        partner_code=content["partner_code"],
        partner_name=content["partner_name"],
        time_zone=content["time_zone"],
        last_event_cursor=content["last_event_cursor"],
        totals=[statement_pb2.StatementTotals(**each) for each in content["totals"]],
        accounts=map(_account, content["accounts"]),
        distributors=[
            statement_pb2.StatementDistributor(**each) for each in content["distributors"]
        ],
    )


def lines(
    made: StatementDocument, after: int | None, size: int
) -> tuple[list[statement_pb2.StatementLine], int | None]:
    """A page of its lines, after so many; and after how many the next page begins."""
    first = after or 0
    found: Sequence[Mapping[str, Any]] = made.content["lines"]
    shown = [
        statement_pb2.StatementLine(**{**each, "kind": _KIND[each["kind"]]})
        for each in found[first : first + size]
    ]
    return shown, first + size if first + size < len(found) else None


def _account(each: Mapping[str, Any]) -> statement_pb2.StatementAccount:
    return statement_pb2.StatementAccount(**{**each, "account": _ACCOUNT[each["account"]]})
