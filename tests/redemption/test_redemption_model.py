"""The decision of a scan against a model of a ticket, over whole histories."""

from dataclasses import replace
from datetime import UTC, date, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from server.redemption import redeem, rules
from server.redemption.rules import (
    Earlier,
    Refusal,
    Scan,
    ScannedTicket,
    Snapshot,
    TicketTerms,
    Uses,
)
from server.tickets.rotating_codes import CodeShown
from tests.redemption.test_redemption_rules import JTI, NOON, OTHER_JTI, a_ticket, explained
from tests.support.redemption_model import Entitlement, Model, Place

FUNCTIONS = ("ferry", "gift", "tokens")
SHOWN = {True: CodeShown.CURRENT, False: CodeShown.STALE, None: CodeShown.NO_CODE}
jtis = st.sampled_from([JTI, OTHER_JTI])
entitlement_terms = st.builds(
    Entitlement,
    function_code=st.just(""),
    total=st.integers(1, 4),
    use_mode=st.sampled_from(["ONCE_PER_QR", "MULTI_USE"]),
    guard_seconds=st.sampled_from([0, 60]),
    rotating_code=st.sampled_from(["NONE", "OPTIONAL", "REQUIRED"]),
)
asked = st.tuples(
    st.just("scan"),
    jtis,
    st.sampled_from(FUNCTIONS),
    st.integers(1, 3),
    st.frozensets(st.sampled_from(FUNCTIONS), min_size=2),
    st.sampled_from([True, True, False, None]),
)
changed = st.one_of(
    st.tuples(st.just("jti"), jtis),
    st.tuples(st.just("blocked"), st.booleans()),
    st.tuples(st.just("standing"), st.sampled_from(["ACTIVE", "REFUNDING", "EXPIRED", "CHANGED"])),
)
steps = st.lists(
    st.tuples(st.sampled_from([0, 30, 60, 24 * 3600]), st.one_of(asked, asked, asked, changed)),
    max_size=25,
)


def server_ticket(model: Model) -> ScannedTicket:
    return replace(
        a_ticket(),
        valid_from_time=model.valid_from.astimezone(UTC),
        valid_until_time=model.valid_until.astimezone(UTC),
        snapshot=Snapshot(
            {
                e.function_code: TicketTerms(e.use_mode, e.guard_seconds, e.rotating_code)
                for e in model.entitlements
            },
            model.blackout_dates,
        ),
        uses={e.function_code: Uses(e.total, e.total) for e in sorted(model.entitlements)},
    )


def follow(ticket: ScannedTicket, scan: Scan, number: int) -> Refusal | None:
    refusal = rules.decide(scan, ticket)
    if refusal is None:
        rules.apply(scan, ticket, Earlier(number, scan.now, "T-1", "PIER"))
        facts: dict[str, str | int] = {
            "function": scan.function_code,
            "quantity": 1,
            "remaining": 1,
            "total": 1,
        }
        explained("", "admitted", facts)
    else:
        explained(refusal.reason, refusal.check, refusal.facts)
    return refusal


@settings(max_examples=400, deadline=None)
@given(
    terms=st.dictionaries(st.sampled_from(FUNCTIONS), entitlement_terms, min_size=1),
    blackout=st.frozensets(st.sampled_from([NOON.date(), NOON.date() + timedelta(days=1)])),
    days=st.tuples(st.integers(-1, 1), st.integers(2, 3)),
    steps=steps,
)
def test_decides_as_the_model_does(
    terms: dict[str, Entitlement],
    blackout: frozenset[date],
    days: tuple[int, int],
    steps: list[tuple[int, Any]],
) -> None:
    model = Model(
        JTI,
        tuple(e._replace(function_code=function) for function, e in terms.items()),
        valid_from=NOON + timedelta(days=days[0]),
        valid_until=NOON + timedelta(days=days[1]),
        blackout_dates=blackout,
    )
    ticket, now, admitted = server_ticket(model), NOON, []
    for number, (seconds, step) in enumerate(steps):
        now += timedelta(seconds=seconds)
        match step:
            case ("scan", jti, function, quantity, allowed, code):
                scan = Scan(jti, function, quantity, allowed, now, shown=SHOWN[code])
                refusal = follow(ticket, scan, number)
                place = Place(allowed, now, code)
                outcome, model = model.scan(number, jti, function, quantity, place)
                assert (refusal.reason if refusal else "") == outcome.reason
                earlier = refusal.earlier.event_id if refusal and refusal.earlier else None
                assert earlier == outcome.earlier
                assert redeem.remaining(ticket) == outcome.remaining
                assert ticket.state == outcome.state
                admitted += [(jti, function, quantity)] if refusal is None else []
            case ("standing", standing):
                model = replace(model, standing=standing)
                ticket.state = model.state()
            case (name, value):
                model = replace(model, **{name: value})
                setattr(ticket, name, value)
    for entitlement in model.entitlements:
        mine = [scan for scan in admitted if scan[1] == entitlement.function_code]
        assert sum(quantity for _, _, quantity in mine) <= entitlement.total
        if entitlement.use_mode == "ONCE_PER_QR":
            assert len({jti for jti, _, _ in mine}) == len(mine)
