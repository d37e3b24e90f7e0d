"""What an order costs: what is asked for, checked and priced, over tables and no database."""

from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, timedelta
from itertools import count
from types import SimpleNamespace
from typing import Any, cast

import pytest

from server.catalog.catalogue import Catalogue
from server.catalog.pricing import PriceTerms, Promotion
from server.orders.documents import identity
from server.orders.passenger_checks import check_passengers
from server.orders.passengers import Passenger
from server.orders.prices import NewOrder, Priced, Prices, Wish, check_total
from server.platform.errors import DomainError, Reason
from server.stock.ids import promotion_quota_id, promotion_stock_id

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ADULTS = ["ADULT", "ADULT"]
LATE = "TR-3-0-0-1"
LENIENT = {
    "unaccompanied_types": ["PET", "CHILD"],
    "age_limits": [
        {"customer_type": "CHILD", "min_age": 2, "max_age": 11},
        {"customer_type": "SENIOR", "min_age": 65, "max_age": None},
        {"customer_type": "ADULT", "min_age": 18, "max_age": 64},
    ],
}


def check(new: NewOrder, items: Any) -> None:
    """Who travels; a document is its identity."""
    documents = [
        repr(identity(p.document_type, p.document_number)).encode() if p.document_number else None
        for p in new.passengers
    ]
    check_passengers(new, items, documents, now=NOW)


def offer(offer_id: str, **given: Any) -> Any:
    values: dict[str, Any] = {
        "offer_id": offer_id,
        "product_id": 1,
        "currency_code": "CNY",
        "fares": {("ADULT", "weekday"): 10_000, ("CHILD", "weekday"): 5_000},
        "day_type": "weekday",
        "tiers": (),
        "rental": None,
        "day_types": (),
        "charges": (),
        "documents_required": True,
        "unavailable": lambda now: "",
        # TR-7-… is a leg of departure 7
        "journey": SimpleNamespace(departure_id=int(offer_id.split("-")[1])),
        "passenger_rules": {},
        "travel_date": date(2026, 11, 30),
    } | given
    terms = {each.name: values[each.name] for each in fields(PriceTerms)}
    return SimpleNamespace(**values, terms=PriceTerms(**terms))


def promotion(number: int, code: str = "", **fields: Any) -> Promotion:
    values: dict[str, Any] = {
        "display_name_en": "",
        "display_name_zh": "",
        "basis_points_off": 1_000 * number,
        "amount_off_minor": 0,
        "begin": NOW - timedelta(days=1),
        "end": NOW + timedelta(days=1),
        "min_party": 1,
        "product_ids": frozenset(),
        "stackable": False,
    } | fields
    return Promotion(number, code, **values)


@dataclass
class Shelf:
    """A catalogue of a few offers and promotions."""

    found: dict[str, Any]
    known: list[Promotion] = field(default_factory=list)
    capped: frozenset[int] = frozenset()
    limits: dict[int, int] = field(default_factory=dict)

    def offer(self, offer_id: str) -> Any:
        return self.found.get(offer_id)

    def promotions(self, codes: Any) -> list[Promotion]:
        return [p for p in self.known if not p.code or p.code in codes]

    def promotion(self, code: str) -> Promotion | None:
        return next((p for p in self.known if p.code == code), None)


def prices(
    *known: Promotion, capped: tuple[int, ...] = (), limits: dict[int, int] | None = None
) -> Prices:
    fares = {(who, "weekday"): 10_000 for who in ("ADULT", "CHILD", "SENIOR", "STUDENT", "PET")}
    found = [
        offer("TR-1-0-0-1"),
        offer("TR-2-0-0-1"),
        offer("TR-5-0-0-1", fares=fares),
        offer("TR-5-1-0-1", fares=fares),
        offer("TR-6-0-0-1", fares=fares, passenger_rules=LENIENT),
        offer(LATE, unavailable=lambda now: "SALE_CLOSED"),
        offer(
            "PK-106-20261130",
            currency_code="HKD",
            product_id=106,
            documents_required=False,
            journey=None,
        ),
        offer("PK-107-20261130", fares=fares, documents_required=False, journey=None),
    ]
    shelf = Shelf(
        {each.offer_id: each for each in found}, list(known), frozenset(capped), limits or {}
    )
    return Prices(cast(Catalogue, shelf))


def ask(
    *offer_ids: str, of: Prices | None = None, codes: tuple[str, ...] = (), **options: Any
) -> Priced:
    wishes = [Wish(offer_id) for offer_id in offer_ids]
    return (of or prices()).price(wishes, options.pop("party", ADULTS), codes, now=NOW, **options)


def refused(call: Any) -> tuple[Reason, dict[str, str], list[str]]:
    with pytest.raises(DomainError) as fault:
        call()
    error = fault.value
    return error.reason, error.metadata, [path for path, _ in error.violations]


def test_an_order_costs_what_its_items_cost() -> None:
    priced = ask("TR-1-0-0-1", "TR-2-0-0-1", party=["ADULT", "CHILD"])
    assert [item.price.total_minor for item in priced.items] == [15_000, 15_000]
    assert (priced.total_minor, priced.currency_code, priced.capped) == (30_000, "CNY", ())


@pytest.mark.parametrize(
    ("offer_ids", "party", "expected"),
    [
        (("nothing",), ADULTS, (Reason.NOT_FOUND, {"resource": "offer", "name": "nothing"}, [])),
        (
            (LATE,),
            ADULTS,
            (Reason.OFFER_NOT_AVAILABLE, {"offer_id": LATE, "why": "SALE_CLOSED"}, []),
        ),
        (
            ("TR-1-0-0-1",),
            ["SENIOR"],
            (Reason.OFFER_NOT_AVAILABLE, {"offer_id": "TR-1-0-0-1", "why": "NO_FARE"}, []),
        ),
        (("TR-1-0-0-1", "TR-1-0-0-1"), ADULTS, (Reason.INVALID_FIELD, {}, ["items[1].offer_id"])),
        (
            ("TR-1-0-0-1", "PK-106-20261130"),
            ADULTS,
            (Reason.INVALID_FIELD, {}, ["items[1].offer_id"]),
        ),
    ],
)
def test_what_cannot_be_priced(
    offer_ids: tuple[str, ...], party: list[str], expected: tuple[Any, ...]
) -> None:
    assert refused(lambda: ask(*offer_ids, party=party)) == expected


def test_a_remembered_price_ends_with_a_promotion() -> None:
    of = prices(promotion(1))
    wishes = [Wish("TR-1-0-0-1")]

    def total(moment: datetime) -> int:
        return of.price(wishes, ADULTS, (), now=moment).total_minor

    assert [total(NOW), total(NOW), total(NOW + timedelta(days=1))] == [18_000, 18_000, 20_000]


def test_a_code_must_be_good_for_something() -> None:
    of = prices(promotion(1, "ONE", product_ids=frozenset({106})), promotion(2, "TWO"))
    assert ask("TR-1-0-0-1", of=of, codes=("TWO",)).total_minor == 16_000
    for code in ("ONE", "NONE"):
        reason, metadata, _ = refused(lambda code=code: ask("TR-1-0-0-1", of=of, codes=(code,)))
        assert (reason, metadata["promotion_code"]) == (Reason.PROMOTION_NOT_APPLICABLE, code)


def test_what_is_used_up_gives_way_to_the_next_best() -> None:
    of = prices(promotion(1), promotion(2), promotion(3), capped=(2, 3))
    wishes = [Wish("TR-1-0-0-1")]
    priced = ask("TR-1-0-0-1", of=of)
    assert (priced.total_minor, priced.capped) == (14_000, (3,))
    assert of.counted(()) == {2, 3}
    for left, total, capped in (
        ({2: 1, 3: 1}, 14_000, (3,)),
        ({2: 1, 3: 0}, 16_000, (2,)),
        ({2: 0, 3: 0}, 18_000, ()),
    ):
        stocks = {promotion_stock_id(number): amount for number, amount in left.items()}
        again = of.without_used_up(priced, wishes, ADULTS, (), left=stocks.__getitem__, now=NOW)
        assert (again.total_minor, again.capped) == (total, capped)


ID = Passenger("a", "ADULT", "PASSPORT", "E12345678")


@pytest.mark.parametrize(
    ("second", "reason", "where"),
    [
        (Passenger("b", "ADULT"), Reason.INVALID_FIELD, "passengers[1].document_number"),
        (Passenger("b", "PET"), None, ""),
        (Passenger("b", "PET", "PASSPORT", ""), Reason.INVALID_FIELD,
        "passengers[1].document_number"),
        (Passenger("b", "ADULT", "", "E1"), Reason.INVALID_FIELD, "passengers[1].document_type"),
        (Passenger("b", "ADULT", "PASSPORT", "E87654321"), None, ""),
        (Passenger("b", "ADULT", "PASSPORT", "e 1234-5678"), Reason.DUPLICATE_PASSENGER, "1"),
    ],
)  # fmt: skip
def test_who_may_travel(second: Passenger, reason: Reason | None, where: str) -> None:
    new = NewOrder((Wish("TR-1-0-0-1"),), (ID, second))
    items = ask("TR-1-0-0-1").items
    if reason is None:
        check(new, items)
        return
    found, metadata, fields = refused(lambda: check(new, items))
    assert (found, [*fields, metadata.get("passenger_index")][0]) == (reason, where)


def who(customer_type: str, born: str = "", kind: str = "RESIDENT_ID") -> Passenger:
    """Somebody with a resident id of their own that tells a birthday, if that matters."""
    if not born:
        return Passenger("a", customer_type, "PASSPORT", f"E{next(_numbers):08}")
    body = f"810000{born}{next(_numbers) % 1000:03}"
    rest = sum(int(c) << 17 - at for at, c in enumerate(body)) % 11
    return Passenger("a", customer_type, kind, body + "0123456789X"[(1 - rest) % 11])


_numbers = count(1)


@pytest.mark.parametrize(
    ("wishes", "party", "alone"),
    [
        ([("TR-5-0-0-1", ())], "CHILD", 0),
        ([("TR-5-0-0-1", ())], "PET", 0),
        ([("TR-5-0-0-1", ())], "CHILD PET", 0),
        ([("TR-5-0-0-1", ())], "ADULT CHILD PET", None),
        ([("TR-5-0-0-1", ())], "SENIOR CHILD", None),
        ([("TR-5-0-0-1", ())], "STUDENT PET", None),
        # on the same departure, in another class
        ([("TR-5-0-0-1", (0,)), ("TR-5-1-0-1", (1,))], "ADULT CHILD", None),
        # the adult goes on another train, or only one way
        ([("TR-5-0-0-1", (0,)), ("TR-2-0-0-1", (1,))], "ADULT CHILD", 1),
        ([("TR-5-0-0-1", ()), ("TR-2-0-0-1", (1,))], "ADULT CHILD", 1),
        ([("PK-107-20261130", ())], "PET", 0),
        ([("PK-107-20261130", ())], "PET ADULT", None),
        # the pet's plan is the pet's, the adult has another in the same order
        ([("PK-107-20261130", (0,)), ("TR-5-0-0-1", (1,))], "PET ADULT", None),
        ([("TR-6-0-0-1", ())], "CHILD PET", None),
    ],
)
def test_children_and_pets_travel_with_somebody(
    wishes: list[tuple[str, tuple[int, ...]]], party: str, alone: int | None
) -> None:
    passengers = tuple([who(each) for each in party.split()])
    new = NewOrder(tuple(Wish(*wish) for wish in wishes), passengers)
    items = prices().price(new.wishes, new.party, (), now=NOW).items
    if alone is None:
        check(new, items)
        return
    reason, metadata, _ = refused(lambda: check(new, items))
    assert reason is Reason.PASSENGER_NOT_ALLOWED
    assert (metadata["rule"], metadata["passenger_index"]) == ("COMPANION_REQUIRED", str(alone))
    assert metadata["customer_type"] == passengers[alone].customer_type


@pytest.mark.parametrize(
    ("offer_id", "customer_type", "born", "expected"),
    [
        ("TR-5-0-0-1", "CHILD", "19850704", (41, "0", "13")),
        ("TR-5-0-0-1", "CHILD", "20121201", None),  # 13 on the day of travel, November 30
        ("TR-5-0-0-1", "CHILD", "20121130", (14, "0", "13")),  # 13 when it is ordered, then 14
        ("TR-5-0-0-1", "CHILD", "20261101", None),
        ("TR-5-0-0-1", "SENIOR", "19661201", (59, "60", "")),
        ("TR-5-0-0-1", "SENIOR", "19661130", None),
        ("TR-5-0-0-1", "ADULT", "20200101", None),  # whoever pays in full
        ("TR-5-0-0-1", "STUDENT", "19500101", None),
        ("TR-6-0-0-1", "CHILD", "20141201", None),
        ("TR-6-0-0-1", "CHILD", "20141130", (12, "2", "11")),
        ("TR-6-0-0-1", "CHILD", "20251201", (0, "2", "11")),
        ("TR-6-0-0-1", "SENIOR", "19620101", (64, "65", "")),
        ("TR-6-0-0-1", "ADULT", "19500101", (76, "18", "64")),
    ],
)
@pytest.mark.parametrize("kind", ["RESIDENT_ID", "RESIDENCE_PERMIT"])
def test_a_fare_is_for_the_age_that_the_document_tells(
    offer_id: str, customer_type: str, born: str, kind: str, expected: tuple[int, str, str] | None
) -> None:
    new = NewOrder((Wish(offer_id),), (who("ADULT"), who(customer_type, born, kind)))
    items = prices().price(new.wishes, new.party, (), now=NOW).items
    if expected is None:
        check(new, items)
        return
    reason, metadata, _ = refused(lambda: check(new, items))
    assert reason is Reason.PASSENGER_NOT_ALLOWED
    assert (metadata["rule"], metadata["passenger_index"]) == ("AGE_LIMIT", "1")
    found = int(metadata["age"]), metadata["min_age"], metadata["max_age"]
    assert found == expected


def test_nobody_travels_who_is_not_born() -> None:
    new = NewOrder((Wish("TR-5-0-0-1"),), (who("ADULT", "20990101"),))
    items = prices().price(new.wishes, new.party, (), now=NOW).items
    reason, _, fields = refused(lambda: check(new, items))
    assert (reason, fields) == (Reason.INVALID_FIELD, ["passengers[0].document_number"])


def test_what_a_traveller_has_used_up_gives_way() -> None:
    """A promotion for so many orders of one traveller, beside one for all."""
    of = prices(promotion(1), promotion(2, "TWICE"), limits={2: 2})
    wishes = [Wish("TR-1-0-0-1")]
    priced = ask("TR-1-0-0-1", of=of, codes=("TWICE",))
    assert (priced.total_minor, priced.capped, priced.limits) == (16_000, (), ((2, 2),))
    assert of.limited(("TWICE",)) == {2}
    assert of.limited(()) == set()

    def again(used: int) -> Priced:
        quotas = {promotion_quota_id(2): used}
        return of.without_used_up(
            priced,
            wishes,
            ADULTS,
            ("TWICE",),
            left=lambda _: 0,
            used=quotas.__getitem__,
            now=NOW,
        )

    assert again(1) == priced
    reason, metadata, _ = refused(lambda: again(2))
    assert (reason, metadata["promotion_code"]) == (Reason.PROMOTION_NOT_APPLICABLE, "TWICE")


def test_packages_ask_for_no_documents() -> None:
    new = NewOrder((Wish("PK-106-20261130"),), (Passenger("a", "ADULT"), Passenger("b", "ADULT")))
    check(new, ask("PK-106-20261130").items)


def test_the_total_is_the_quoted_one() -> None:
    priced = ask("TR-1-0-0-1")
    for quoted in (None, 20_000):
        check_total(NewOrder((), (), (), quoted), priced)
    reason, metadata, _ = refused(lambda: check_total(NewOrder((), (), (), 19_999), priced))
    assert reason is Reason.PRICE_CHANGED
    assert metadata == {"quoted_minor": "19999", "total_minor": "20000", "currency_code": "CNY"}
