"""What was stored and issued before there was one module for it opens, and is made the same.

The examples were made by the six modules that each had derivations of their own.
"""

import ast
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from cryptography.exceptions import InvalidTag
from deeptravel.ticketing.v1.order_pb2 import CancelOrderRequest, ListOrdersRequest

from server.aftersales.quotes import Quotes
from server.api import paging
from server.api.paging import PageTokens
from server.api.repeats import Repeats
from server.identity import credentials, refreshing
from server.identity.callers import Traveller
from server.identity.travellers import TravellerTokens
from server.orders.passengers import Passenger, PassengerSeals
from server.payments.refund_actions import request_mark
from server.platform.crypto import Sealer, Signer, derive
from server.platform.errors import DomainError, Reason
from server.tickets import keys

SECRET_KEY = bytes(range(32))
NOW = datetime(2026, 11, 28, 7, 0, tzinfo=UTC)
IN_AN_HOUR = datetime(2026, 11, 28, 8, 0, tzinfo=UTC)
PASSENGER = Passenger("Wang Wei", "ADULT", "PASSPORT", "E12345678")

PAGE_TOKEN = "jYrLAuvnd7NnGkSMIahrRFsiMjAyNi0xMS0yOCIsMTJd"
QUOTE = "pWJHdoLGvmNWyrYTvR-h31sxNzk1ODUyODAwLjAseyJ0b3RhbF9taW5vciI6MTAwfV0"
TRAVELLER_TOKEN = "dtt_AQAAAAAAAABNawqKAADKy5QPD5uCqZdr652LDv1LAhqD5aaG"
ANSWER = "566f3ca0de26d30895957ece3e171c772306b1309bf747f553f7db0498eed55483a767c1f289"
SUCCESSOR = (
    "7454c125ccd4b95a8afe8a6941486a25bd547b66c55da87cdb593338163d329f93df18b22ce60f31b1be9a69ff"
)
PARTY = (
    "d59d51971f1baa0847b4f7399a319e770d04536cbf354cacb37faba7fdfe053da8592b0144d8d0216bd5d3edc520"
    "bc99cbf99ceea4e11210798f446995c07b8e51e7082fa6a1e2b47c8e18ed2df2e36887ef909c92e130a8e425aeea"
    "cc61796661053bf58416f9025e85712691f5637c4b9baf649b32bc"
)
VERIFY_KEY = "bfd874b23bfad69e830fabfe3c49ebf29a3338b776244cca39ad89381deead04"
SEED = "7ec664ff7ec6e93764927b34d960991debc5b25c960c7285ed58df00df8394a5"
AES_KEY = "e01975eecf5cbe58f7785d851b540ff8146d477f3ab7e8a725493571a3519b2e"
QR_KEY = (
    "e05cf82fe5ce3061b21eeadac4afad21b289d64a55c7d45366ab2312736e2da09c8c191cd1c9a72bcd7ac90ebc4f"
    "883d2d1e5b9e5cd359373141fe9bb78fe067fb4b3332910c8e10342bc788028a14dda8089428de57e2188b948fb1"
)


def test_a_stored_answer_opens_and_a_request_has_the_same_hash() -> None:
    repeats = Repeats(cast("Any", None), SECRET_KEY)
    assert repeats._answers.open(bytes.fromhex(ANSWER)) == b"the answer"
    request = CancelOrderRequest(request_id="r-1", order_id="ORD-DT-20261121-000001")
    assert repeats.content_hash(request).hex() == (
        "9c648dcba8e4007085084fa53978690ea13f8167022aa668b8d48bd279168a82"
    )


def test_a_page_token_is_read_and_made(monkeypatch: pytest.MonkeyPatch) -> None:
    caller = SimpleNamespace(key="traveller:7")
    monkeypatch.setattr(paging, "current", lambda: SimpleNamespace(caller=caller))
    tokens = PageTokens(SECRET_KEY)
    assert tokens.encode(ListOrdersRequest(page_size=3), ["2026-11-28", 12]) == PAGE_TOKEN
    assert tokens.decode(ListOrdersRequest(page_token=PAGE_TOKEN)) == ["2026-11-28", 12]
    caller.key = "traveller:8"
    with pytest.raises(DomainError) as refused:
        tokens.decode(ListOrdersRequest(page_token=PAGE_TOKEN))
    assert refused.value.reason is Reason.PAGE_TOKEN_INVALID


def test_a_quote_is_read_and_made() -> None:
    quotes = Quotes(SECRET_KEY)
    facts = {"total_minor": 100}
    assert quotes.sign("refund", "traveller:7", facts, expire_time=IN_AN_HOUR) == QUOTE
    assert quotes.open("refund", "traveller:7", QUOTE, now=NOW) == facts
    for kind, caller, quote in (
        ("change", "traveller:7", QUOTE),
        ("refund", "traveller:8", QUOTE),
        ("refund", "traveller:7", QUOTE[:-1]),
        ("refund", "traveller:7", "é"),
        ("refund", "traveller:7", ""),
    ):
        with pytest.raises(DomainError) as refused:
            quotes.open(cast("Any", kind), caller, quote, now=NOW)
        assert refused.value.reason is Reason.QUOTE_INVALID


def test_a_travellers_token_is_read() -> None:
    tokens = TravellerTokens(SECRET_KEY, life_seconds=3600)
    assert tokens.read(TRAVELLER_TOKEN, NOW.timestamp()) == Traveller(77)
    other = TravellerTokens(bytes(32), life_seconds=3600)
    assert other.read(TRAVELLER_TOKEN, NOW.timestamp()) is None


def test_the_tokens_of_a_refresh_open() -> None:
    stored = bytes.fromhex(SUCCESSOR)
    assert refreshing.unseal("dtr_old", stored) == refreshing.Successor("dta_1", "dtr_2")
    with pytest.raises(InvalidTag):
        refreshing.unseal("dtr_other", stored)


def test_passengers_open_and_documents_have_the_same_hash() -> None:
    seals = PassengerSeals(SECRET_KEY)
    party = seals.open_party(4711, bytes.fromhex(PARTY))
    assert (party.passengers, party.contact_phone) == ([PASSENGER], "+85291234567")
    assert seals.document_hash(PASSENGER).hex() == "d99a87f230586f99076ebe66fdd5cec5"
    with pytest.raises(InvalidTag):
        seals.open_party(4712, bytes.fromhex(PARTY))


def test_a_qr_key_opens() -> None:
    verify_key = bytes.fromhex(VERIFY_KEY)
    opened = keys.decrypt_secrets(bytes.fromhex(QR_KEY), 9, verify_key, SECRET_KEY)
    assert opened == (bytes.fromhex(SEED), bytes.fromhex(AES_KEY))


def test_digests_are_the_same() -> None:
    assert credentials.secret_hash("a secret").hex() == (
        "984ca5162200734c592148f1820b71057f098573d138666b48663e4e30cd8d3a"
    )
    assert request_mark("admin:1", "r-1", b"\1" * 32) == (
        "29905f96ee2ac56c205e98834d5c42cab01b6f00d6bb49223e0910569c3d5d1d"
    )


def test_each_purpose_has_a_key_of_its_own() -> None:
    one, other = (derive(SECRET_KEY, purpose) for purpose in ("one", "other"))
    sealed = Sealer(one).seal(b"content")
    with pytest.raises(InvalidTag):
        Sealer(other).open(sealed)
    assert not Signer(SECRET_KEY, "one").has_signed(b"", Signer(SECRET_KEY, "other").mac(b""))


FORMS_OF_THEIR_OWN = {
    "channels/ctrip.py",
    "channels/expedia.py",
    "channels/ttd_wire.py",
    "partners/statement_rules.py",
    "platform/crypto.py",
    "tickets/qr.py",
    "tickets/rotating_codes.py",
    "webhooks/signatures.py",
    "wechat/bill.py",
    "wechat/signatures.py",
}


def test_there_is_one_place_for_it() -> None:
    """Seen red with `import hashlib` in another module."""
    server = Path(__file__).parents[2] / "server"
    using = set()
    for path in server.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            if any(name in {"hashlib", "hmac"} or name.endswith(".aead") for name in names):
                using.add(path.relative_to(server).as_posix())
    assert using == FORMS_OF_THEIR_OWN
