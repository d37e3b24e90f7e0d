"""Parts of refunds: what a refund gives back of one payment, which is one refund at WeChat."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from server.payments import refund_rules, rules
from server.platform.statements import Command, Statement, Transaction, run


@dataclass(frozen=True, slots=True)
class Part:
    """What a refund gives back of one payment: WeChat's refund; the columns of
    refund_models.refund_parts.
    """

    payment_order_id: int
    payment_attempt: int
    out_refund_no: str
    amount_minor: int
    state: str
    asked_count: int = 0
    provider_refund_id: str = ""
    provider_state: str = ""
    provider_create_time: datetime | None = None
    provider_success_time: datetime | None = None
    abnormal_account: str = ""
    abnormal_request: str = ""

    @property
    def out_trade_no(self) -> str:
        """Our number of the payment."""
        return rules.out_trade_no(self.payment_order_id, self.payment_attempt)


_COLUMNS = (
    *("payment_order_id", "payment_attempt", "out_refund_no", "amount_minor", "state"),
    *("asked_count", "provider_refund_id", "provider_state", "provider_create_time"),
    *("provider_success_time", "abnormal_account", "abnormal_request"),
)
assert tuple(Part.__dataclass_fields__) == _COLUMNS
_ROWS = """
unnest($2::bigint[], $3::int[], $4::smallint[], $5::bigint[], $6::int[], $7::text[], $8::bigint[],
  $9::text[], $10::smallint[], $11::text[], $12::text[], $13::timestamptz[], $14::timestamptz[],
  $15::text[], $16::text[])
"""
_READ = Statement(
    f"""
SELECT p.order_id, p.refund_no, {", ".join(f"p.{name}" for name in _COLUMNS)}
FROM unnest($1::bigint[], $2::int[]) AS v (order_id, refund_no)
JOIN refund_parts p ON p.order_id = v.order_id AND p.refund_no = v.refund_no
ORDER BY p.order_id, p.refund_no, p.part_no
""",  # noqa: S608 - names of columns
    lambda order_id, refund_no, *part: ((order_id, refund_no), Part(*part)),
)
_ADD = Statement(f"""
INSERT INTO refund_parts (order_id, refund_no, part_no, {", ".join(_COLUMNS)}, update_time)
SELECT v.*, $1::timestamptz FROM {_ROWS} v
""")  # noqa: S608 - names of columns
_MOVE = Statement(f"""
UPDATE refund_parts p SET {", ".join(f"{name} = v.{name}" for name in _COLUMNS)},
  update_time = $1::timestamptz
FROM {_ROWS} AS v (order_id, refund_no, part_no, {", ".join(_COLUMNS)})
WHERE p.order_id = v.order_id AND p.refund_no = v.refund_no AND p.part_no = v.part_no
""")  # noqa: S608 - names of columns


def read(named: Sequence[tuple[int, int]]) -> Command[tuple[tuple[int, int], Part]] | None:
    """The parts of refunds, each as (order_id, refund_no), in the order of their numbers."""
    return _READ.of_rows(named)


async def parts_of(
    tx: Transaction, named: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], list[Part]]:
    """`read`, by refund."""
    return by_refund(named, await run(tx, read(named)))


def by_refund(
    named: Iterable[tuple[int, int]], found: Iterable[tuple[tuple[int, int], Part]]
) -> dict[tuple[int, int], list[Part]]:
    """What `read` has found, in its order."""
    parts: dict[tuple[int, int], list[Part]] = {each: [] for each in named}
    for key, part in found:
        parts[key].append(part)
    return parts


def add(parts: Iterable[Part], *, now: datetime) -> Command[None] | None:
    """Writes new ones."""
    return _ADD.of_rows([_row(part) for part in parts], now)


def move(parts: Iterable[Part], *, now: datetime) -> Command[None] | None:
    """Writes what parts, each once, whose refunds are locked, are now."""
    return _MOVE.of_rows([_row(part) for part in parts], now)


def named(part: Part) -> dict[str, Any]:
    """A part as incidents name it."""
    return {
        "out_trade_no": part.out_trade_no,
        "out_refund_no": part.out_refund_no,
        "amount_minor": part.amount_minor,
    }


def _row(part: Part) -> tuple[Any, ...]:
    key = refund_rules.refund_part(part.out_refund_no)
    assert key is not None, "made by ourselves"
    return (*key[:3], *asdict(part).values())
