"""Every name, comment, code and telephone number in the contract is read by the one mechanism there
is for it.

Seen red with the annotation taken out of all fields.
"""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from deeptravel.admin.v1 import admin_service_pb2  # noqa: F401 - its messages are looked up by name
from deeptravel.common.v1 import options_pb2
from deeptravel.ota.v1 import ota_service_pb2  # noqa: F401
from deeptravel.redemption.v1 import redemption_service_pb2  # noqa: F401
from deeptravel.ticketing.v1 import order_pb2, refund_pb2, ticketing_service_pb2  # noqa: F401
from google.protobuf import message_factory
from google.protobuf.descriptor_pool import Default

from server.api.fields import READERS, Checker
from server.platform.errors import DomainError, Reason
from tests.support import described
from tests.support.described import rules, text

COMMENT, CODE, TICKET_CODE = (
    options_pb2.TEXT_COMMENT,
    options_pb2.TEXT_TYPED_CODE,
    options_pb2.TEXT_TICKET_CODE,
)
NAME, PHONE_NUMBER = options_pb2.TEXT_NAME, options_pb2.TEXT_PHONE_NUMBER
KINDS = {
    "comment": COMMENT,
    "force_comment": COMMENT,
    "address_en": NAME,
    "address_zh": NAME,
    "make": NAME,
    "model": NAME,
    "distributor_id": NAME,
    "parent_distributor_id": NAME,
    "promotion_code": CODE,
    "promotion_codes": CODE,
    "service_number": CODE,
    "ticket_code": TICKET_CODE,
    "ticket_codes": TICKET_CODE,
    "after_ticket_code": TICKET_CODE,
    "order_id": TICKET_CODE,
    "order_code": TICKET_CODE,
    "qr_token": options_pb2.TEXT_SCANNED,
    "encrypted_data": options_pb2.TEXT_SCANNED,
}
OTHERWISE = {
    "deeptravel.admin.v1.ExportAuditEventsRequest.name": "a filter, as the next",
    "deeptravel.admin.v1.ListAuditEventsRequest.name": (
        "a filter: names of records, which are codes and numbers"
    ),
    "deeptravel.admin.v1.OrderSearch.name": "a part of one is enough",
    "deeptravel.admin.v1.OrderSearch.contact_phone": "its last digits are enough",
    "deeptravel.admin.v1.OrderSearch.code": "of an order or a ticket",
    "deeptravel.admin.v1.ImportGtfsRequest.feed_name": "a code, of letters and digits",
    "deeptravel.redemption.v1.OfflineScan.ticket_code": "as it was hashed by the terminal",
    "deeptravel.redemption.v1.OfflineScan.comment": "likewise",
}


def kind_of(name: str) -> int:
    """What a field of this name holds, wherever it is."""
    if name == "name" or name.endswith("_name") or name.startswith("display_name"):
        return NAME
    if "phone" in name:
        return PHONE_NUMBER
    return KINDS.get(name, options_pb2.TEXT_UNSPECIFIED)


def sent() -> Iterator[tuple[str, Any]]:
    """The text fields of all that callers send, by full name."""
    messages, seen = described.messages(), set()

    def fields(name: str) -> Iterator[tuple[str, Any]]:
        if name in seen or name not in messages:
            return
        seen.add(name)
        for field in messages[name].field:
            if field.type == field.TYPE_STRING:
                yield f"{name}.{field.name}", field
            elif field.type_name:
                yield from fields(field.type_name.lstrip("."))

    for method in described.of_kind("Method"):
        yield from fields(method.proto.input_type.lstrip("."))


SENT = dict(sent())
NAMES = [name for name, field in SENT.items() if text(field) == NAME]


def test_no_field_lacks_what_its_name_says() -> None:
    wrong = {
        name
        for name, field in SENT.items()
        if text(field) != kind_of(field.name) and name not in OTHERWISE
    }
    assert wrong == set()
    assert SENT.keys() >= OTHERWISE.keys()
    assert len(NAMES) > 20


def test_every_kind_has_a_reader() -> None:
    assert READERS.keys() == set(options_pb2.Text.values()) - {options_pb2.TEXT_UNSPECIFIED}


def checked(field: str, value: str | list[str]) -> Any:
    """What the checker makes of a message with nothing but this field, or the violation of the
    field.
    """
    message_name, _, name = field.rpartition(".")
    descriptor = Default().FindMessageTypeByName(message_name)
    message = message_factory.GetMessageClass(descriptor)(**{name: value})
    found = dict(Checker.of(descriptor).violations(message, ""))
    return found[name] if name in found else getattr(message, name)


@pytest.mark.parametrize("field", NAMES)
def test_names_are_normalised_or_refused(field: str) -> None:
    assert checked(field, "　Ｗａｎｇ 三\u200b ") == "Wang 三"
    for bad in (" ", "\u3000", "\u200b", "a\nb", "a\u202eb"):
        violation = checked(field, bad)
        assert "; send " in violation, violation
    length = rules(SENT[field]).string.max_len
    assert checked(field, "x" * length + " ") == "x" * length
    assert "at most" in checked(field, "ﬀ" * length)  # NFKC makes two letters of each


def test_the_violation_names_the_field_and_the_remedy() -> None:
    request = order_pb2.CreateOrderRequest(
        request_id="r",
        items=[order_pb2.OrderItem(offer_id="o")],
        passengers=[order_pb2.Passenger(name="A"), order_pb2.Passenger(name="Wang\nWei")],
    )
    with pytest.raises(DomainError) as refused:
        Checker.of(request.DESCRIPTOR).check(request)
    assert refused.value.reason is Reason.INVALID_FIELD
    ((field, description),) = refused.value.violations
    assert field == "passengers[1].name"
    assert description == (
        "holds U+000A at position 4, which breaks the line; send the name in one line, without it"
    )


def test_items_are_read_too() -> None:
    quote = order_pb2.QuoteOrderRequest(promotion_codes=["autumn-10 ", "ＸＭＡＳ"])
    list(Checker.of(quote.DESCRIPTOR).violations(quote, ""))
    assert list(quote.promotion_codes) == ["AUTUMN10", "XMAS"]
    refund = refund_pb2.QuoteRefundRequest(ticket_codes=["dir dt 20261121 000001"])
    list(Checker.of(refund.DESCRIPTOR).violations(refund, ""))
    assert list(refund.ticket_codes) == ["DIR-DT-20261121-000001"]


TYPED = [name for name, field in SENT.items() if text(field)]
BLANKS, ACCENTS = " " * 300_000, "\u0301\u0323" * 150_000


@pytest.mark.parametrize("field", TYPED)
def test_what_is_much_too_long_costs_nothing(field: str) -> None:
    """Seen red: trimming and normalising took the square of the length, minutes for a text of one
    message, in which the server did nothing else.
    """
    repeated = SENT[field].label == SENT[field].LABEL_REPEATED
    begin = time.process_time()
    for typed in (f"a{BLANKS}b", f"a{ACCENTS}"):
        violation = checked(field, [typed] if repeated else typed)
        assert "characters" in violation, violation
    assert time.process_time() - begin < 1
