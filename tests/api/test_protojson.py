"""The JSON form of messages: against the reference implementation, and every kind of fault by
its path.
"""

import json
import math
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from server.api.http import protojson
from server.platform.errors import MAX_VIOLATIONS
from tests.support import probe
from tests.support.counted import calls_of
from tests.support.messages import messages

EVERYTHING = probe.load().methods_by_name["Echo"].input_type
Everything = probe.message_class(EVERYTHING)


def read(value: Any) -> tuple[Any, list[tuple[str, str]]]:
    message, faults = Everything(), protojson.Faults()
    with suppress(protojson.EnoughFaultsError):
        protojson.read(value, message, faults)
    return message, list(faults)


def good(value: Any) -> Any:
    message, faults = read(value)
    assert faults == []
    return message


def places(value: Any, path: str = "") -> list[tuple[str, list[Any]]]:
    """Every place in a JSON value: its path as a fault would name it, and the keys that lead
    there.
    """
    found: list[tuple[str, list[Any]]] = []
    if isinstance(value, dict):
        of_map = path.rpartition(".")[2] in {"counts", "by_number", "by_truth", "colour_of"}
        for key, item in value.items():
            at = f"{path}[{key}]" if of_map else f"{path}.{key}" if path else key
            found.append((at, [key]))
            if key not in {"anything", "value"}:
                found += [(deeper, [key, *keys]) for deeper, keys in places(item, at)]
    elif isinstance(value, list):
        for index, item in enumerate(value):
            at = f"{path}[{index}]"
            found.append((at, [index]))
            found += [(deeper, [index, *keys]) for deeper, keys in places(item, at)]
    return found


@given(messages(EVERYTHING), st.booleans(), st.booleans())
def test_reads_what_the_reference_writes(message: Message, snake: bool, numbers: bool) -> None:
    written = json_format.MessageToJson(
        message, preserving_proto_field_name=snake, use_integers_for_enums=numbers
    )
    assert good(protojson.loads(written.encode())) == message


@given(messages(EVERYTHING))
def test_reads_what_it_writes(message: Message) -> None:
    written = json.loads(json.dumps(protojson.write(message)))
    assert good(written) == message


@given(messages(EVERYTHING), st.data())
def test_a_wrong_value_is_named_by_its_path_and_by_no_other(
    message: Message, data: st.DataObject
) -> None:
    written = json.loads(json.dumps(protojson.write(message)))
    free = ("value", "anything")
    path, keys = data.draw(st.sampled_from([p for p in places(written) if p[0] not in free]))
    at = written
    for key in keys[:-1]:
        at = at[key]
    at[keys[-1]] = 7.5 if isinstance(at[keys[-1]], dict | list) else [[]]
    assert [fault[0] for fault in read(written)[1]] == [path]


@given(messages(EVERYTHING), st.text(min_size=1), st.data())
def test_an_unknown_field_is_named_wherever_it_stands(
    message: Message, name: str, data: st.DataObject
) -> None:
    known = {*EVERYTHING.fields_by_name, *EVERYTHING.fields_by_camelcase_name, "text", "number"}
    name = f"x{name}" if name in known or name in {"tags", "inner"} else name
    written = protojson.write(message)
    objects = [("", written)]
    objects += [("inner.", written["inner"])] if "inner" in written else []
    objects += [(f"many[{i}].", item) for i, item in enumerate(written["many"])]
    prefix, at = data.draw(st.sampled_from(objects))
    at[name] = 1
    shown = name[: protojson.MAX_NAME_CHARACTERS].encode("utf-8", "replace").decode()
    assert [fault[0] for fault in read(written)[1]] == [prefix + shown]


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_refused(body: bytes) -> None:
    try:
        value = protojson.loads(body)
    except protojson.MalformedJsonError:
        return
    assert repr(json.loads(body)) == repr(value)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"a": 1,\n "b" 2}', "line 2, column 6"),
        (b"", "line 1, column 1"),
        (b'{"a": NaN}', "NaN"),
        (b"[-Infinity]", "Infinity"),
        (b'{"a": "\xff"}', "UTF-8 at byte 7"),
        (b"[" * 100_000, "nested"),
        (b'{"a":' * 50_000, "nested"),
        (b"1" * 5000, "digits"),
        (b"{} {}", "Extra data"),
        (b"{'a': 1}", "double quotes"),
    ],
)
def test_what_is_no_json_is_refused_with_the_place(body: bytes, words: str) -> None:
    with pytest.raises(protojson.MalformedJsonError, match=words):
        protojson.loads(body)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ('{"small": 1, "small": 1}', "small"),
        ('{"inner": {"text": "a", "text": "b"}}', "inner.text"),
        ('{"many": [{}, {"number": 1, "number": 2}]}', "many[1].number"),
        ('{"some_text": "a", "someText": "a"}', "some_text"),
        ('{"counts": {"a": 1, "a": 2}}', "counts"),
        ('{"chosen_text": "a", "chosen_truth": true}', "chosen_truth"),
        ('{"by_truth": {"yes": "a"}}', "by_truth[yes]"),
        ('{"by_number": {"1.5": {}}}', "by_number[1.5]"),
        ('{"colour_of": {"a": "GREEN"}}', "colour_of[a]"),
        ('{"numbers": [1, null]}', "numbers[1]"),
        ('{"many": [null]}', "many[0]"),
        ('{"some_text": "\\ud800"}', "some_text"),
        ('{"\\ud800": 1}', "?"),
        ('{"at_time": "yesterday"}', "at_time"),
        ('{"at_time": 5}', "at_time"),
        ('{"at_time": "9999999-01-01T00:00:00Z"}', "at_time"),
        ('{"span": "3 days"}', "span"),
        ('{"mask": ["small"]}', "mask"),
        ('{"mask": "a;b"}', "mask"),
        ('{"wrapped_large": "x"}', "wrapped_large"),
        ('{"wrapped_truth": "true"}', "wrapped_truth"),
        ('{"anything": 1}', "anything"),
        ('{"anything": ' + '{"a":' * 200 + "1" + "}" * 201 + "", "anything"),
        ('{"raw": "not base64!"}', "raw"),
        ('{"raw": "AAAAA"}', "raw"),
        ('{"truth": "true"}', "truth"),
        ('{"truth": 1}', "truth"),
        ('{"rough": 1e39}', "rough"),
        ('{"rough": 3.4028236e+38}', "rough"),
        ('{"fine": 1e999}', "fine"),
        ('{"fine": "1e999"}', "fine"),
        ('{"fine": "nan"}', "fine"),
        ('{"colour": 3}', "colour"),
        ('{"colour": true}', "colour"),
        ('{"colour": 1.5}', "colour"),
        ('{"colour": ""}', "colour"),
        ('{"small": true}', "small"),
        ('{"small": 2147483648}', "small"),
        ('{"small": 1e400}', "small"),
        ('{"small": " 1"}', "small"),
        ('{"small": "１"}', "small"),
        ('{"small_count": -1}', "small_count"),
        ('{"large_count": 18446744073709551616}', "large_count"),
        ('{"large": "9223372036854775808"}', "large"),
        ("[]", "body"),
        ("null", "body"),
        ('"a"', "body"),
        ('{"inner":' * 80 + "{}" + "}" * 80, ".".join(["inner"] * 64)),
    ],
)
def test_each_kind_of_fault_names_its_field(body: str, path: str) -> None:
    assert [fault[0] for fault in read(protojson.loads(body.encode()))[1]] == [path]


@pytest.mark.parametrize(
    ("body", "field", "value"),
    [
        ('{"small": 1.0}', "small", 1),
        ('{"small": 1e3}', "small", 1000),
        ('{"small": "-5"}', "small", -5),
        ('{"large": "9223372036854775807"}', "large", 2**63 - 1),
        ('{"large": 9223372036854775807}', "large", 2**63 - 1),
        ('{"small": null}', "small", 0),
        ('{"numbers": null}', "numbers", []),
        ('{"colour": "COLOUR_KIND_DARK_BLUE"}', "colour", 2),
        ('{"colour": "dark_blue"}', "colour", 2),
        ('{"colour": "Dark_Blue"}', "colour", 2),
        ('{"colour": 2}', "colour", 2),
        ('{"colour": "2"}', "colour", 2),
        ('{"colour": "UNSPECIFIED"}', "colour", 0),
        ('{"bare": "some"}', "bare", 1),
        ('{"raw": "_-8"}', "raw", b"\xff\xef"),
        ('{"raw": "/+8="}', "raw", b"\xff\xef"),
        ('{"fine": "Infinity"}', "fine", math.inf),
        ('{"fine": "-1.5e3"}', "fine", -1500.0),
        ('{"fine": 3}', "fine", 3.0),
        ('{"rough": 3.4028235e+38}', "rough", (2 - 2**-23) * 2.0**127),
        ('{"someText": "\\u0000\\ud83d\\ude00"}', "some_text", "\0😀"),
        ('{"by_truth": {"true": "a"}}', "by_truth", {True: "a"}),
        ('{"by_number": {}}', "by_number", {}),
        ('{"mask": "some_text,someText"}', "mask", FieldMask(paths=["some_text", "some_text"])),
        ('{"mask": "inner.text, raw,"}', "mask", FieldMask(paths=["inner.text", "raw"])),
        ('{"mask": ""}', "mask", FieldMask()),
    ],
)
def test_what_the_mapping_allows_is_read(body: str, field: str, value: Any) -> None:
    assert getattr(good(protojson.loads(body.encode())), field) == value


def test_how_values_are_written() -> None:
    message = Everything(large=2**60, raw=b"\xff\xef", colour=2, soft_colour=2, fine=math.inf)
    message.colours.extend([0, 1])
    message.by_truth[True] = "yes"
    message.maybe_colour = 0
    message.at_time.FromJsonString("2025-11-03T08:00:00+08:00")
    written = protojson.write(message)
    assert written["large"] == str(2**60)
    assert written["small"] == 0
    assert written["raw"] == "/+8="
    assert written["colour"] == "DARK_BLUE"
    assert written["soft_colour"] == "dark_blue"
    assert written["colours"] == ["UNSPECIFIED", "RED"]
    assert written["by_truth"] == {"true": "yes"}
    assert written["maybe_colour"] == "UNSPECIFIED"
    assert written["at_time"] == "2025-11-03T00:00:00Z"
    assert written["fine"] == "Infinity"
    assert written["some_text"] == ""
    assert written["many"] == []
    assert written["counts"] == {}
    assert not {"bare", "inner", "maybe", "chosen_text", "span", "value"} & written.keys()
    assert protojson.write(Everything(bare=1))["bare"] == "SOME"
    message.ParseFromString(b"\x60\x63")  # colour = 99, which this contract does not know
    assert protojson.write(message)["colour"] == 99


def test_a_byte_order_mark_does_no_harm() -> None:
    assert protojson.loads(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


def test_null_is_a_value_only_for_value() -> None:
    assert good({"value": None}).HasField("value")
    assert not good({"inner": None}).HasField("inner")
    assert not good({"wrapped_text": None}).HasField("wrapped_text")
    assert good({"inner": {}}).HasField("inner")


def test_faults_are_bounded_and_show_no_value() -> None:
    _, faults = read({f"secret{number}": "hunter2" for number in range(1000)})
    assert len(faults) == MAX_VIOLATIONS
    _, faults = read({"small": "hunter2", "colour": "hunter2", "at_time": "hunter2"})
    assert len(faults) == 3
    assert "hunter2" not in str(faults)


def test_a_near_miss_is_suggested() -> None:
    assert read({"smal": 1})[1] == [("smal", "there is no such field; did you mean small?")]


@pytest.mark.parametrize(
    ("field", "value", "remedy"),
    [
        ("small", "1e2", "100"),
        ("large", "1.0", "100"),
        ("wrapped_large", "1e2", "100"),
        ("at_time", "2025-11-03T24:00:00Z", "23:59:59"),
        ("at_time", "2025-11-03T23:59:60Z", "23:59:59"),
        ("at_time", "2025-11-03T08:00:00.123456789012Z", "nine digits"),
        ("span", "1.123456789012s", "nine digits"),
    ],
)
def test_numbers_and_times_of_other_forms_are_refused_with_what_to_write(
    field: str, value: str, remedy: str
) -> None:
    """Seen red: the reference takes the wrapped `1e2`, and drops digits of a span."""
    ((path, description),) = read({field: value})[1]
    assert path == field
    assert remedy in description


def test_nothing_is_read_beyond_the_faults_that_are_listed() -> None:
    """Seen red: all was read, whatever came of it."""
    message, faults = Everything(), protojson.Faults()
    with pytest.raises(protojson.EnoughFaultsError):
        protojson.read({"numbers": ["x"] * 900, "small": 1}, message, faults)
    assert len(faults) == MAX_VIOLATIONS
    assert message.small == 0


def test_nothing_is_read_of_a_list_that_is_too_long() -> None:
    """Seen red: a message was made of each item."""
    message, faults = read({"many": [{}] * 1001, "counts": {str(n): n for n in range(1001)}})
    assert faults == [
        ("many", "has 1001 items, at most 1000 are taken"),
        ("counts", "has 1001 items, at most 1000 are taken"),
    ]
    assert message == Everything()


def test_few_names_are_compared_with_what_they_may_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen red: each of 50,000 names of one body was, in 5 s."""
    compared: list[str] = []

    def none(name: str, *_: object, **__: object) -> list[str]:
        compared.append(name)
        return []

    monkeypatch.setattr("difflib.get_close_matches", none)
    read({f"smal{number}": 1 for number in range(1000)})
    assert len(compared) == protojson.MAX_HINTS
    read({"x" * 1000: 1})
    assert len(compared) == protojson.MAX_HINTS


MIB = 1 << 20
WORST = {
    "objects": b"[" + b"{}," * (MIB // 3) + b"{}]",
    "lists": b"[" + b"[]," * (MIB // 3) + b"[]]",
    "items": b'{"many": [' + b"{}," * 49_000 + b"{}]}",
    "numbers": b'{"numbers": [' + b"1," * 99_000 + b"1]}",
    "names": b"{" + b",".join(b'"%x":1' % n for n in range(99_000)) + b"}",
    "names twice": b"{" + b'"a":1,' * 99_000 + b'"a":1}',
    "near names": b"{" + b",".join(b'"smal%x":1' % n for n in range(40_000)) + b"}",
    "digits": b'{"fine": 1.' + b"5" * MIB + b"}",
    "digits in a text": b'{"fine": "1.' + b"5" * MIB + b'"}',
    "numbers of many digits": b'{"numbers": [' + (b"1" * 4200 + b",") * (MIB // 4201) + b"1]}",
    "paths": b'{"mask": "' + b"A" * MIB + b'"}',
    "time": b'{"at_time": "2025-11-03T08:00:00.' + b"0" * MIB + b'Z"}',
    "span": b'{"span": "' + b"1" * MIB + b's"}',
    "Base64": b'{"raw": "' + b"_" * MIB + b'"}',
    "padding": b'{"raw": "' + b"=" * MIB + b'"}',
    "colour": b'{"colour": "' + b"x" * MIB + b'"}',
    "escapes": b'{"some_text": "' + b"\\u0041" * (MIB // 6) + b'"}',
    "depth": b'{"inner":' * 100_000,
}


MAX_CALLS = 200_000
"""The most is 148,000, of a list of 49,000 items."""


def test_the_worst_body_takes_little() -> None:
    """Counted without MAX_VALUES 1,049,000 calls are made, without MAX_MASK_CHARACTERS 2,097,000,
    without an end at MAX_VIOLATIONS 496,000.
    """

    def worked(body: bytes) -> None:
        with suppress(protojson.MalformedJsonError):
            read(protojson.loads(body))

    found = {what: calls_of(partial(worked, body)) for what, body in WORST.items()}
    assert {what: calls for what, calls in found.items() if calls > MAX_CALLS} == {}
