"""No message that gRPC lets through holds a process, or takes its memory, whatever it is full of.

Seen red before sizes were looked at first and the checks ended at the violations that are reported:
half a million empty items were parsed and each looked at, in 0.9 s and 110 MB. Counted, it was
seen red without the search (long lists are parsed), with violations looked for beyond those that
are reported (453,000 calls), and with texts normalised whatever their length.
"""

import tracemalloc
import unicodedata
from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Any

import pytest
from deeptravel.admin.v1 import admin_service_pb2
from deeptravel.ota.v1 import ota_service_pb2
from deeptravel.redemption.v1 import redemption_service_pb2
from deeptravel.ticketing.v1 import order_pb2, ticketing_service_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st

from server.api import bounds, methods
from server.api.bounds import NUMBER_BYTES, OTHER_FIELDS, UNSEARCHED_BYTES, Bounds
from server.api.field_rules import max_items
from server.platform.config import load_settings
from server.platform.errors import MAX_VIOLATIONS, DomainError, Reason
from tests.support import greatest, probe
from tests.support.counted import calls_of
from tests.support.messages import messages
from tests.support.probe import message_class

EVERYTHING = probe.load().methods_by_name["Echo"].input_type
MAX_BYTES = load_settings().max_message_bytes
MAX_CALLS = 430_000
"""Python's, of functions of its own and of C's; the most, of routes, takes 406,000."""
MANY_CALLS = 1000
"""Messages of one method that take more, and as many, are full of other letters alone: the memory
of one of them is looked at, which takes ten times as long as reading.
"""
MAX_NORMALISED = 30_000_000
"""Squares of the lengths of the texts that are normalised, which takes so long; the most, of a
list of ticket codes, is 8 million.
"""
MAX_MEMORY = 20 << 20

PARTS = 8
"""So that several processes share the methods, and none takes minutes on a busy machine."""

METHODS = methods.methods(
    service
    for module in (
        admin_service_pb2,
        ota_service_pb2,
        redemption_service_pb2,
        ticketing_service_pb2,
    )
    for service in module.DESCRIPTOR.services_by_name.values()
)


def read(method: Any, content: bytes) -> DomainError | None:
    """What is wrong with a request; None if nothing is."""
    try:
        method.read(content)
    except DomainError as error:
        return error
    except DecodeError:
        return DomainError(Reason.INVALID_FIELD, "undecodable")
    return None


class Work:
    """What it takes to read requests, counted: the same on every machine."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._normalise, self._normalised = unicodedata.normalize, 0
        self._traced: set[tuple[str, int]] = set()
        patch.setattr(unicodedata, "normalize", self._normalize)

    def _normalize(self, form: Any, text: str) -> str:
        self._normalised += len(text) ** 2
        return self._normalise(form, text) if self._normalised < MAX_NORMALISED else text

    def excesses(self, method: Any, content: bytes) -> Iterator[str]:
        """What reading a request takes too much of."""
        self._normalised = 0
        calls = calls_of(partial(read, method, content))
        if calls > MAX_CALLS:
            yield "calls"
        if self._normalised > MAX_NORMALISED:
            yield "normalised"
        if calls > MANY_CALLS:
            if (method.name, calls) in self._traced:
                return
            self._traced.add((method.name, calls))
        tracemalloc.start()
        read(method, content)
        if tracemalloc.get_traced_memory()[1] > MAX_MEMORY:
            yield "memory"
        tracemalloc.stop()


@pytest.mark.parametrize("part", range(PARTS))
def test_the_greatest_messages_take_little(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    work, found = Work(monkeypatch), []
    for path in list(METHODS)[part::PARTS]:
        method, longest = METHODS[path], 0
        for what, content in greatest.of(method.request, MAX_BYTES):
            assert len(content) <= MAX_BYTES
            longest = max(longest, len(content))
            excesses = chain(work.excesses(method, content), _too_long_lists(method, content))
            found += [f"{path}: {what}: {excess}" for excess in excesses]
        assert longest > 0.9 * MAX_BYTES or not method.request.fields, path
    assert found == []


def _too_long_lists(method: Any, content: bytes) -> Iterator[str]:
    """The lists with more items than they take that are parsed nevertheless: each item takes
    memory of its own.
    """
    try:
        request = method.parse(content)
    except (DomainError, DecodeError):
        return
    if len(content) > UNSEARCHED_BYTES:
        for field, items in lists(request):
            # of a packed list the length is looked at: an item may be one byte of ten
            if len(items) > max_items(field) * (NUMBER_BYTES if is_number(field) else 1):
                yield field.name


def lists(message: Message) -> Iterator[tuple[FieldDescriptor, Any]]:
    """The lists in a message, and in what is in it."""
    for field, value in message.ListFields():
        if field.is_repeated:
            yield field, value
        if field.message_type:
            for each in value if field.is_repeated else [value]:
                yield from lists(each)


def is_number(field: FieldDescriptor) -> bool:
    """Whether a list of it may be packed."""
    return field.message_type is None and field.type not in (field.TYPE_STRING, field.TYPE_BYTES)


def test_all_that_the_contract_allows_passes() -> None:
    for method in METHODS.values():
        Bounds.of(method.request).check(greatest.whole(method.request, "😀", 1))


def test_fields_of_a_later_contract_pass() -> None:
    later = greatest.delimited(greatest.UNKNOWN, b"x") * (OTHER_FIELDS // 2)
    for method in METHODS.values():
        Bounds.of(method.request).check(greatest.whole(method.request, "x", 1) + later)


QUOTE = METHODS["/deeptravel.ticketing.v1.TicketingService/QuoteOrder"]
PRODUCT = METHODS["/deeptravel.admin.v1.AdminService/CreateProduct"]


def test_the_list_that_is_too_long_is_named() -> None:
    error = read(
        QUOTE, order_pb2.QuoteOrderRequest(items=[order_pb2.OrderItem()] * 5000).SerializeToString()
    )
    assert error
    assert error.reason is Reason.INVALID_FIELD
    assert error.violations == (("items", "has more items than the 10 that are taken"),)


def test_a_message_in_parts_has_the_items_of_all() -> None:
    policy = PRODUCT.request.fields_by_name["policy"]
    assert policy.message_type
    tiers = policy.message_type.fields_by_name["refund_tiers"]
    part = greatest.delimited(policy.number, greatest.delimited(tiers.number, b"") * 3)
    padding = greatest.delimited(greatest.UNKNOWN, b" " * UNSEARCHED_BYTES)
    assert PRODUCT.parse(padding + part * 6)
    error = read(PRODUCT, padding + part * 7)
    assert error
    assert [field for field, _ in error.violations] == ["policy.refund_tiers"]


@pytest.mark.parametrize("count", [2, 100])
def test_no_more_is_checked_than_is_reported(count: int) -> None:
    """Also of a message that is too short to be searched."""
    request = order_pb2.QuoteOrderRequest(items=[order_pb2.OrderItem()] * count)
    error = read(QUOTE, request.SerializeToString())
    assert error
    assert len(error.violations) <= MAX_VIOLATIONS
    beginnings = [field for field, _ in error.violations]
    assert ("items[0].offer_id" in beginnings) == (count == 2)
    assert ("items" in beginnings) == (count == 100)


@given(messages(EVERYTHING), st.binary(max_size=3), st.integers(0), st.integers(0, 3))
def test_bytes_are_refused_only_if_they_are_no_message(
    message: Message, inserted: bytes, place: int, dropped: int
) -> None:
    whole = message.SerializeToString()
    place %= len(whole) + 1
    content = whole[:place] + inserted + whole[place + dropped :]
    try:
        message_class(EVERYTHING).FromString(content)
    except DecodeError:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "UNSEARCHED_BYTES", -1)
        Bounds.of(EVERYTHING).check(content)
