"""An example of each call, as curl, grpcurl, Python and Java: what a reader copies.

Its values come from the table below, by the field's name; where that has none, from the field's
rules. A test holds that each is a valid request.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from tools.openapi import RULES, Contract
from tools.python_client import snake

Json = dict[str, Any]

HTTP, GRPC = "http://127.0.0.1:8080", "127.0.0.1:50051"
DAY, MOMENT = "2027-03-01", "2027-03-01T02:00:00Z"
VALUES: dict[str, Any] = {
    "activation_tolerance_basis_points": 100,
    "airport_code": "HKG",
    "amount_minor": 29_800,
    "batch_id": "0b6f3e52-8a3c-4f0e-9d53-0c6f1f3b7a11",
    "bill_date": "2027-02-28",
    "channel": "CP",
    "city_code": "HKG",
    "code": "the-code-of-wx.login",
    "currency_code": "CNY",
    "departure_id": "4711",
    "destination_city_code": "HKG",
    "device_id": "TERMINAL-CP-001",
    "display_name": "Central Pier",
    "display_name_en": "Central Pier",
    "display_name_zh": "中環碼頭",
    "distributor_id": "KIOSK-8",
    "document_number": "E12345678",
    "document_type": "DOCUMENT_TYPE_PASSPORT",
    "encrypted_data": "AEAE…:…:…:…",
    "fare_class": "SECOND",
    "from_channel": "DIRECT",
    "function_code": "ferry",
    "merchant_code": "PIER",
    "name": "张三",
    "offer_id": "the-offer-id-of-a-search",
    "order_id": "ORD-CP-20270301-000001",
    "origin_city_code": "SZX",
    "partner_code": "CP",
    "month": "2026-11",
    "password": "correct-horse-battery",
    "product_id": 106,
    "qr_token": "AEAE…:…:…:…",
    "quantity": 2,
    "reason": "lost by the passenger",
    "reference": "PAY-20270301-1",
    "refresh_token": "the-refresh-token",
    "request_id": "3f1c0f8e-5f0b-4b1f-8a55-0d6f0d3c9b21",
    "service_number": "G5607",
    "session_code": "the-session-code",
    "terminal_device_id": "TERMINAL-CP-001",
    "ticket_code": "OTA-CP-20270301-000001",
    "time_zone": "Asia/Hong_Kong",
    "to_channel": "CP",
    "total": 500,
    "travel_date": DAY,
    "type": "CUSTOMER_TYPE_ADULT",
    "url": "https://partner.example.com/webhooks",
    "username": "operator",
    "venue_code": "CENTRAL-PIER",
}
UUID = "0b6f3e52-8a3c-4f0e-9d53-0c6f1f3b7a11"
CANDIDATES = (UUID, UUID.replace("-", ""), "CP", "4711", DAY, "09:30", "weekday", "code-1", "text")
"""For a field that the table does not have, the first that its pattern takes."""
SHOWN_TOO = {
    "BulkGenerateTicketsRequest": ("distributor_id",),
    "ListTicketsRequest": ("page_size",),
    "RedeemRequest": ("function_code",),
    "StreamBatchTicketsRequest": ("with_qr",),
}
"""Fields that a call does not need, and a reader wants to see."""
CHANGED = ("display_name", "display_name_en", "total")
"""What an update mask names: the first that there is."""
SHOWN_VALUES = {"page_size": 50, "with_qr": True}
JAVA_INTEGERS = {FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64}


@dataclass(frozen=True)
class Example:
    """One call in four languages.

    Attributes:
        request: as JSON of protobuf, with whole names of enums.
        curl: over HTTP.
        grpcurl: over gRPC.
        python: with the package `deeptravel`.
        java: with `com.deeptravel.client`.
    """

    request: Json
    curl: str
    grpcurl: str
    python: str
    java: str


class Examples:
    """Makes the examples of a contract."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract

    def of(self, method: MethodDescriptor, header: str) -> Example:
        """The example of a method; `header` is what its caller shows."""
        request = self._message(method.input_type)
        return Example(
            request,
            self._curl(method, request, header),
            _grpcurl(method, request, header),
            self._python(method, request),
            self._java(method, request),
        )

    def _message(self, message: Descriptor, depth: int = 0) -> Json:
        shown: tuple[str, ...] = SHOWN_TOO.get(message.name, ())
        if "update_mask" in message.fields_by_name:
            shown = (_changed(message), "update_mask")
        found: Json = {}
        for field in message.fields:
            required = self._contract.option(field, RULES).required
            if not (required or field.name in shown or field.name == "request_id"):
                continue
            value = self._value(field, depth)
            found[field.name] = [value] if field.is_repeated else value
        for choice in message.oneofs:
            if len(choice.fields) > 1 and not any(each.name in found for each in choice.fields):
                field = choice.fields[0]
                found[field.name] = self._value(field, depth)
        return found

    def _value(self, field: FieldDescriptor, depth: int) -> Any:
        kind = field.message_type
        if kind is not None:
            known = {"Timestamp": MOMENT, "Duration": "60s"}
            if kind.name == "FieldMask":
                return _camel(_changed(field.containing_type))
            if kind.full_name.startswith("google.protobuf."):
                return known.get(kind.name, {})
            return self._message(kind, depth + 1)
        if field.name in SHOWN_VALUES:
            return SHOWN_VALUES[field.name]
        if field.enum_type is not None:
            wanted = str(VALUES.get(field.name))
            names = [value.name for value in field.enum_type.values]
            return wanted if wanted in names else names[1]
        rules = self._contract.option(field, RULES)
        rules = rules.repeated.items if field.is_repeated else rules
        if field.type == FieldDescriptor.TYPE_BOOL:
            return True
        if field.type == FieldDescriptor.TYPE_STRING:
            return _text(field, rules.string)
        value = VALUES.get(field.name, VALUES.get(field.name.removesuffix("s"), 1))
        return value if isinstance(value, int) else 1

    # ------------------------------------------------------------------------------ as commands

    def _curl(self, method: MethodDescriptor, request: Json, header: str) -> str:
        rule = self._contract.option(method, "google.api.http")
        verb = rule.WhichOneof("pattern")
        if verb is None:
            return ""
        path, left = getattr(rule, verb), self.as_gateway_reads(method.input_type, request)
        for name in re.findall(r"\{([^=}]+)", path):
            path = re.sub(rf"\{{{name}[^}}]*\}}", str(left.pop(name, "")), path)
        lines = [f"curl {'' if verb in {'get', 'post'} else f'-X {verb.upper()} '}{HTTP}{path}"]
        if not rule.body and left:
            query = "&".join(f"{name}={_query(value)}" for name, value in left.items())
            lines[0] = f"curl '{HTTP}{path}?{query}'"
        lines += [f'-H "{header}"'] if header else []
        if rule.body:
            body = left if rule.body == "*" else left.get(rule.body)
            text = json.dumps(body, ensure_ascii=False)
            lines += ["-H 'Content-Type: application/json'", f"-d '{text}'"]
        return " \\\n  ".join(lines)

    def as_gateway_reads(self, message: Descriptor, request: Json) -> Json:
        """The same in JSON as the gateway shows it: enums without their prefix."""
        found: Json = {}
        for name, value in request.items():
            field = message.fields_by_name[name]
            values = value if isinstance(value, list) else [value]
            if field.enum_type is not None:
                lower = self._contract.option(field, "deeptravel.common.v1.json_lower_case")
                prefix = field.enum_type.values[0].name.removesuffix("UNSPECIFIED")
                values = [str(each).removeprefix(prefix) for each in values]
                values = [each.lower() for each in values] if lower else values
            elif field.message_type is not None and isinstance(values[0], dict):
                values = [self.as_gateway_reads(field.message_type, each) for each in values]
            found[name] = values if isinstance(value, list) else values[0]
        return found

    def _python(self, method: MethodDescriptor, request: Json) -> str:
        noun = method.containing_service.full_name.split(".")[1]
        call = f"client.{noun}.{snake(method.name)}"
        if method.client_streaming:
            text = _python_message(method.input_type, request)
            return f"for answer in {call}([{text}]):\n    print(answer)"
        given = _python_arguments(method.input_type, request)
        text = f"{call}(" + "".join(f"\n    {each}," for each in given) + ("\n)" if given else ")")
        if method.server_streaming:
            return f"for each in {text}:\n    print(each)"
        return f"answer = {text}"

    def _java(self, method: MethodDescriptor, request: Json) -> str:
        service = f"{method.containing_service.name}Grpc.get{method.name}Method()"
        built = _java_message(method.input_type, request, "        ")
        if method.client_streaming:
            return (
                f"// over {method.containing_service.name}Grpc.newStub(channel)\nvar request ="
                f"\n    {built};"
            )
        verb = "stream" if method.server_streaming else "call"
        return f"var answer =\n    client.{verb}(\n        {service},\n        {built});"


def _text(field: FieldDescriptor, rules: Any) -> str:
    named = VALUES.get(field.name, VALUES.get(field.name.removesuffix("s")))
    found = named if isinstance(named, str) else _guess(field.name)
    if rules.pattern and not re.search(rules.pattern, found):
        return next((each for each in CANDIDATES if re.search(rules.pattern, each)), found)
    return found[: rules.max_len or None]


def _changed(message: Descriptor | None) -> str:
    assert message is not None, "an update mask is a field"
    return next(name for name in CHANGED if name in message.fields_by_name)


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _guess(name: str) -> str:
    if name.endswith(("_id", "_ids")):
        return UUID
    return "CODE-1" if "code" in name else "text"


def _query(value: Any) -> str:
    if isinstance(value, list):
        return str(value[0])
    return str(value).lower() if isinstance(value, bool) else str(value)


def _grpcurl(method: MethodDescriptor, request: Json, header: str) -> str:
    lines = ["grpcurl -plaintext"]
    lines += [f'-H "{header}"'] if header else []
    lines += [f"-d '{json.dumps(_grpcurl_body(method, request), ensure_ascii=False)}'"]
    lines += [f"{GRPC} {method.containing_service.full_name}/{method.name}"]
    return " \\\n  ".join(lines)


def _grpcurl_body(method: MethodDescriptor, request: Json) -> Json:
    """grpcurl takes a FieldMask by its paths, and no text (findings/grpcurl-field-mask-text.sh)."""
    masks = {
        field.name
        for field in method.input_type.fields
        if field.message_type is not None and field.message_type.name == "FieldMask"
    }
    return {
        name: {"paths": [_changed(method.input_type)]} if name in masks else value
        for name, value in request.items()
    }


def _python_arguments(message: Descriptor, request: Json) -> list[str]:
    lines = []
    for name, value in request.items():
        field = message.fields_by_name[name]
        values = value if isinstance(value, list) else [value]
        texts = [_python_value(field, each) for each in values]
        lines.append(f"{name}=[{', '.join(texts)}]" if field.is_repeated else f"{name}={texts[0]}")
    return lines


def _python_value(field: FieldDescriptor, value: Any) -> str:
    if field.enum_type is not None:
        return f"{field.enum_type.full_name.split('.')[1]}.{value}"
    kind = field.message_type
    if kind is None:
        return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
    if kind.name == "Timestamp":
        return f'datetime.fromisoformat("{value}")'
    if kind.name == "FieldMask":
        return f'FieldMask(paths=["{_changed(field.containing_type)}"])'
    return _python_message(kind, value)


def _python_message(message: Descriptor, request: Json) -> str:
    noun = message.full_name.split(".")[1]
    return f"{noun}.{message.name}({', '.join(_python_arguments(message, request))})"


def _java_message(message: Descriptor, request: Json, indent: str) -> str:
    lines = [f"{message.name}.newBuilder()"]
    for name, value in request.items():
        field = message.fields_by_name[name]
        camel = "".join(part.capitalize() for part in name.split("_"))
        verb = "add" if field.is_repeated else "set"
        for each in value if isinstance(value, list) else [value]:
            lines.append(f"    .{verb}{camel}({_java_value(field, each, indent + '    ')})")
    return f"\n{indent}".join([*lines, "    .build()"])


def _java_value(field: FieldDescriptor, value: Any, indent: str) -> str:
    if field.enum_type is not None:
        return f"{field.enum_type.name}.{value}"
    kind = field.message_type
    if kind is not None:
        if kind.name == "Timestamp":
            seconds = f'Instant.parse("{value}").getEpochSecond()'
            return f"Timestamp.newBuilder().setSeconds({seconds})"
        if kind.name == "FieldMask":
            return f'FieldMask.newBuilder().addPaths("{_changed(field.containing_type)}")'
        return _java_message(kind, value, indent)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value}L" if field.cpp_type in JAVA_INTEGERS else str(value)
    return json.dumps(value, ensure_ascii=False)
