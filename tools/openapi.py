"""Describe the JSON interface as OpenAPI 3.1, from the contract's annotations and comments.

    python -m tools.openapi DESCRIPTOR_SET > openapi.json

DESCRIPTOR_SET is what `protoc --include_imports --include_source_info --descriptor_set_out` writes.
Nothing of the generated code is imported, so that this can run before there is any.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    FieldDescriptor,
    MethodDescriptor,
    ServiceDescriptor,
)
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

Json = dict[str, Any]

RULES = "buf.validate.field"

TITLE = "DeepTravel Ticketing"
DESCRIPTION = """\
Every method is also a gRPC method of the same name; both give the same answers.

Field names are written in snake_case and read in lowerCamelCase too. Fields that may be absent
are left out when they are; 64-bit integers are written as strings and read as numbers too; enums
are read in upper and lower case.

A failure is a google.rpc.Status; `details` name the reason (`ErrorInfo`), each faulty field
(`BadRequest`), when to try again (`RetryInfo`, also the header `Retry-After`) and the request in
the server's log (`RequestInfo`, also the header `X-Request-Id`, which a client may choose). A
refused scan is an answer, not a failure: HTTP 422 with its `reason`.

`X-Request-Timeout` (seconds) or `Grpc-Timeout` limits how long the server works on a request: 30
s unless said, at most 300 s. `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`
(seconds) come where calls are counted.
"""
SECURITY_SCHEMES: Json = {
    "partner_key": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Api-Key",
        "description": "The API key of an OTA partner.",
    },
    "access_token": {
        "type": "http",
        "scheme": "bearer",
        "description": "The `access_token` of a log-in.",
    },
}
STATUS: Json = {
    "type": "object",
    "description": "A google.rpc.Status: why a call failed.",
    "required": ["code", "message", "details"],
    "properties": {
        "code": {"type": "integer", "description": "google.rpc.Code, e.g. 3 for INVALID_ARGUMENT."},
        "message": {"type": "string", "description": "In English: what is wrong and what to do."},
        "details": {
            "type": "array",
            "description": (
                "Messages of google.rpc, e.g. ErrorInfo, BadRequest, RetryInfo, RequestInfo."
            ),
            "items": {
                "type": "object",
                "required": ["@type"],
                "properties": {"@type": {"type": "string"}},
            },
        },
    },
}
WELL_KNOWN: dict[str, Json] = {
    "Any": {"type": "object", "properties": {"@type": {"type": "string"}}, "required": ["@type"]},
    "BoolValue": {"type": ["boolean", "null"]},
    "BytesValue": {"type": ["string", "null"], "contentEncoding": "base64"},
    "DoubleValue": {"type": ["number", "null"]},
    "Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"},
    "FieldMask": {"type": "string"},
    "FloatValue": {"type": ["number", "null"]},
    "Int32Value": {"type": ["integer", "null"]},
    "Int64Value": {"type": ["string", "integer", "null"], "format": "int64"},
    "ListValue": {"type": "array"},
    "StringValue": {"type": ["string", "null"]},
    "Struct": {"type": "object"},
    "Timestamp": {"type": "string", "format": "date-time"},
    "UInt32Value": {"type": ["integer", "null"], "minimum": 0},
    "UInt64Value": {"type": ["string", "integer", "null"], "format": "uint64"},
    "Value": {},
}
RAW_BODY = "google.api.HttpBody"
NUMBERS = {
    FieldDescriptor.CPPTYPE_INT32: "int32",
    FieldDescriptor.CPPTYPE_UINT32: "uint32",
    FieldDescriptor.CPPTYPE_INT64: "int64",
    FieldDescriptor.CPPTYPE_UINT64: "uint64",
    FieldDescriptor.CPPTYPE_FLOAT: "float",
    FieldDescriptor.CPPTYPE_DOUBLE: "double",
}


class Contract:
    """The descriptors of a set, with their comments and our options."""

    def __init__(self, descriptor_set: FileDescriptorSet) -> None:
        self._pool = descriptor_pool.DescriptorPool()
        self._comments: dict[str, str] = {}
        self._names: Counter[str] = Counter()
        self.services: list[ServiceDescriptor] = []
        for file in descriptor_set.file:
            self._pool.Add(file)
            self._names.update(message.name for message in file.message_type)
            self._names.update(enum.name for enum in file.enum_type)
        for file in descriptor_set.file:
            self._comments |= dict(_comments(file))
            found = self._pool.FindFileByName(file.name)
            self.services += found.services_by_name.values()

    def name(self, descriptor: Descriptor | EnumDescriptor) -> str:
        """The name of a type, with its package only where another has the same name."""
        top = descriptor
        while top.containing_type is not None:
            top = top.containing_type
        nested = descriptor.full_name.removeprefix(f"{top.file.package}.")
        return nested if self._names[top.name] == 1 else descriptor.full_name

    def comment(self, full_name: str) -> str:
        """The comment in front of an element, each paragraph on one line."""
        return self._comments.get(full_name, "")

    def option(self, descriptor: Any, name: str) -> Any:
        """The value of an option that extends the options of a method or a field."""
        # The set has descriptors of its own, which the options' generated class does not know.
        extension = self._pool.FindExtensionByName(name)
        assert extension.containing_type is not None
        options_type = message_factory.GetMessageClass(extension.containing_type)
        options = options_type.FromString(descriptor.GetOptions().SerializeToString())
        return options.Extensions[extension]  # type: ignore[index]

    def roles(self, method: MethodDescriptor) -> set[str]:
        """Who may call a method, without prefix."""
        access = self.option(method, "deeptravel.common.v1.access")
        values = access.DESCRIPTOR.fields_by_name["roles"].enum_type.values_by_number
        return {values[number].name.removeprefix("ROLE_") for number in access.roles}

    def values(self, enum: str, prefix: str) -> Iterator[tuple[str, str]]:
        """The values of an enum but the first, without prefix, each with its comment."""
        for value in self._pool.FindEnumTypeByName(enum).values[1:]:
            yield value.name.removeprefix(prefix), self.comment(f"{enum}.{value.name}")

    def repeat_name(self, number: int) -> str:
        """What becomes of a repeat, of a method's option `repeat`, by name."""
        repeat = self._pool.FindEnumTypeByName("deeptravel.common.v1.Repeat")
        return repeat.values_by_number[number].name


def _comments(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    by_path = {
        tuple(location.path): _paragraphs(location.leading_comments)
        for location in file.source_code_info.location
    }

    def inside(
        message: DescriptorProto, name: str, path: tuple[int, ...]
    ) -> Iterator[tuple[str, str]]:
        yield name, by_path.get(path, "")
        for index, field in enumerate(message.field):
            yield f"{name}.{field.name}", by_path.get((*path, 2, index), "")
        for index, nested in enumerate(message.nested_type):
            yield from inside(nested, f"{name}.{nested.name}", (*path, 3, index))
        for index, enum in enumerate(message.enum_type):
            yield f"{name}.{enum.name}", by_path.get((*path, 4, index), "")

    package = file.package
    for index, message in enumerate(file.message_type):
        yield from inside(message, f"{package}.{message.name}", (4, index))
    for index, enum in enumerate(file.enum_type):
        yield f"{package}.{enum.name}", by_path.get((5, index), "")
        for number, value in enumerate(enum.value):
            yield f"{package}.{enum.name}.{value.name}", by_path.get((5, index, 2, number), "")
    for index, service in enumerate(file.service):
        yield f"{package}.{service.name}", by_path.get((6, index), "")
        for number, method in enumerate(service.method):
            name = f"{package}.{service.name}.{method.name}"
            yield name, by_path.get((6, index, 2, number), "")


def _paragraphs(comment: str) -> str:
    blocks = re.split(r"\n\s*\n", comment.strip())
    return "\n\n".join(" ".join(line.strip() for line in block.splitlines()) for block in blocks)


class Schemas:
    """The schemas of messages and enums, made when first referred to."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._sent = {
            name
            for service in contract.services
            for method in service.methods
            for name in _reachable(method.input_type)
        }
        self.components: Json = {"Status": STATUS}

    def message(self, descriptor: Descriptor) -> Json:
        """A reference to the schema of a message."""
        if descriptor.full_name.startswith("google.protobuf."):
            return dict(WELL_KNOWN.get(descriptor.name, {"type": "object"}))
        name = self._contract.name(descriptor)
        if name not in self.components:
            self.components[name] = {}  # a message may hold itself
            self.components[name] = self.fields(descriptor)
        return {"$ref": f"#/components/schemas/{name}"}

    def fields(self, descriptor: Descriptor, leave_out: Sequence[str] = ()) -> Json:
        """The schema of a message's object."""
        fields = [field for field in descriptor.fields if field.name not in leave_out]
        sent = descriptor.full_name in self._sent
        required = [field.name for field in fields if self._is_there(field, sent=sent)]
        schema: Json = {"type": "object"}
        if comment := self._contract.comment(descriptor.full_name):
            schema["description"] = comment
        schema["properties"] = {field.name: self.field(field) for field in fields}
        if required:
            schema["required"] = required
        return schema

    def _is_there(self, field: FieldDescriptor, *, sent: bool) -> bool:
        """Whether a field must be sent, or is always answered."""
        if sent:
            return self.is_required(field)
        return field.is_repeated or not (field.has_presence or field.enum_type)

    def is_required(self, field: FieldDescriptor) -> bool:
        """Whether a request is refused without the field."""
        return bool(self._contract.option(field, RULES).required)

    def field(self, field: FieldDescriptor) -> Json:
        """The schema of one field, with its comment and rules."""
        assert field.containing_type is not None
        sent = field.containing_type.full_name in self._sent
        schema = self._value(field, sent=sent)
        rules = self._contract.option(field, RULES)
        if field.is_repeated and not _is_map(field):
            schema = {"type": "array", "items": schema}
            if sent:
                schema["maxItems"] = rules.repeated.max_items
                if self.is_required(field):
                    schema["minItems"] = 1
        comment = self._contract.comment(field.full_name)
        choice = field.containing_oneof
        if choice is not None and len(choice.fields) > 1:
            others = ", ".join(f"`{other.name}`" for other in choice.fields if other is not field)
            comment = f"{comment} Never together with {others}.".strip()
        return schema | ({"description": comment} if comment else {})

    def _value(self, field: FieldDescriptor, *, sent: bool) -> Json:
        if field.message_type is not None:
            if _is_map(field):
                value = field.message_type.fields_by_name["value"]
                return {"type": "object", "additionalProperties": self._value(value, sent=sent)}
            return self.message(field.message_type)
        if field.enum_type is not None:
            lower = self._contract.option(field, "deeptravel.common.v1.json_lower_case")
            return self._enum(field.enum_type, lower=lower)
        if field.type == FieldDescriptor.TYPE_BOOL:
            return {"type": "boolean"}
        if field.type == FieldDescriptor.TYPE_BYTES:
            return {"type": "string", "contentEncoding": "base64"}
        rules = self._contract.option(field, RULES)
        values = rules.repeated.items if field.is_repeated else rules
        if field.cpp_type in NUMBERS:
            return self._number(field, values, sent=sent)
        return self._text(field, values.string) if sent else {"type": "string"}

    def _text(self, field: FieldDescriptor, rules: Any) -> Json:
        schema: Json = {"type": "string"}
        if rules.max_len:
            schema["maxLength"] = rules.max_len
        must_be = self.is_required(field) or field.is_repeated
        if must_be:
            schema["minLength"] = 1
        if rules.pattern:
            inner = rules.pattern.removeprefix("^").removesuffix("$")
            schema["pattern"] = rules.pattern if must_be else f"^(?:{inner})?$"
        return schema

    def _number(self, field: FieldDescriptor, rules: Any, *, sent: bool) -> Json:
        form = NUMBERS[field.cpp_type]
        if form in {"float", "double"}:
            return {"type": "number", "format": form}
        schema: Json = {"type": "integer", "format": form}
        if form.endswith("64"):
            schema["type"] = ["string", "integer"] if sent else "string"
        if sent and schema["type"] != "string":
            of_kind = getattr(rules, form)
            not_zero = self.is_required(field) and not field.has_presence
            if of_kind.HasField("gte"):
                schema["minimum"] = max(of_kind.gte, 1) if not_zero else of_kind.gte
            if of_kind.HasField("lte"):
                schema["maximum"] = of_kind.lte
        return schema

    def _enum(self, descriptor: EnumDescriptor, *, lower: bool) -> Json:
        name = f"{self._contract.name(descriptor)}{'.lower_case' if lower else ''}"
        if name not in self.components:
            first, *values = descriptor.values
            prefix = first.name.removesuffix("UNSPECIFIED")
            names = [value.name.removeprefix(prefix) for value in values]
            names = [each.lower() for each in names] if lower else names
            lines = [self._contract.comment(descriptor.full_name), ""]
            for value, each in zip(values, names, strict=True):
                meaning = self._contract.comment(f"{descriptor.full_name}.{value.name}")
                lines.append(f"- `{each}`: {meaning}")
            self.components[name] = {
                "type": "string",
                "enum": names,
                "description": "\n".join(lines).strip(),
            }
        return {"$ref": f"#/components/schemas/{name}"}


def _reachable(descriptor: Descriptor, found: set[str] | None = None) -> set[str]:
    found = set() if found is None else found
    if descriptor.full_name not in found:
        found.add(descriptor.full_name)
        for field in descriptor.fields:
            if field.message_type is not None:
                _reachable(field.message_type, found)
    return found


def _is_map(field: FieldDescriptor) -> bool:
    kind = field.message_type
    return bool(field.is_repeated and kind is not None and kind.GetOptions().map_entry)


class Paths:
    """The operations, one for each HTTP rule."""

    def __init__(self, contract: Contract, schemas: Schemas) -> None:
        self._contract = contract
        self._schemas = schemas
        self.paths: Json = {}

    def add(self, method: MethodDescriptor) -> bool:
        """Describe a method's HTTP rules; False if it has none."""
        rule = self._contract.option(method, "google.api.http")
        rules = [rule, *rule.additional_bindings] if rule.WhichOneof("pattern") else []
        for number, each in enumerate(rules):
            kind = each.WhichOneof("pattern")
            verb = each.custom.kind.lower() if kind == "custom" else kind
            template = each.custom.path if kind == "custom" else getattr(each, kind)
            operation = self._operation(method, each, template)
            if number:
                operation["operationId"] += str(number + 1)
            path = re.sub(r"\{([^=}]+)=[^}]+\}", r"{\1}", template)
            self.paths.setdefault(path, {})[verb] = operation
        return bool(rules)

    def _operation(self, method: MethodDescriptor, rule: Any, template: str) -> Json:
        comment = self._contract.comment(method.full_name)
        summary = re.split(r"(?<=[.:])\s", comment, maxsplit=1)[0].rstrip(".:")
        in_path = re.findall(r"\{([^=}]+)", template)
        operation: Json = {
            "operationId": f"{method.containing_service.name}_{method.name}",
            "tags": [method.containing_service.name],
            "summary": summary,
            "description": comment,
        }
        parameters = self._parameters(method.input_type, rule.body, in_path)
        if parameters:
            operation["parameters"] = parameters
        if body := self._body(method.input_type, rule.body, in_path):
            operation["requestBody"] = body
        roles = self._roles(method)
        operation["responses"] = self._responses(method, rule.response_body, roles)
        operation["security"] = [{scheme: []} for scheme in _schemes(roles)]
        operation["x-roles"] = roles
        if admin_roles := self._admin_roles(method):
            operation["x-admin-roles"] = admin_roles
        return operation

    def _roles(self, method: MethodDescriptor) -> list[str]:
        access = self._contract.option(method, "deeptravel.common.v1.access")
        values = access.DESCRIPTOR.fields_by_name["roles"].enum_type.values_by_number
        return [values[number].name.removeprefix("ROLE_") for number in access.roles]

    def _admin_roles(self, method: MethodDescriptor) -> list[str]:
        """Of administrators the roles that may call, where it does not take the first of them."""
        access = self._contract.option(method, "deeptravel.common.v1.access")
        values = access.DESCRIPTOR.fields_by_name["admin_roles"].enum_type.values_by_number
        return [values[number].name.removeprefix("ADMIN_ROLE_") for number in access.admin_roles]

    def _parameters(self, request: Descriptor, body: str, in_path: list[str]) -> list[Json]:
        parameters = []
        for name, field in _leaves(request):
            place = "path" if name in in_path else "query"
            if place == "path" or (body != "*" and name.split(".")[0] != body):
                schema = self._schemas.field(field)
                comment = schema.pop("description", "")
                required = place == "path" or ("." not in name and self._schemas.is_required(field))
                described = {"name": name, "in": place, "description": comment}
                parameters.append(described | {"required": required, "schema": schema})
        return sorted(parameters, key=lambda each: each["in"] != "path")

    def _body(self, request: Descriptor, body: str, in_path: list[str]) -> Json | None:
        if not body:
            return None
        field = None if body == "*" else request.fields_by_name[body]
        kind = request if field is None else field.message_type
        if kind is not None and kind.full_name == RAW_BODY:
            return {"required": True, "content": {"*/*": {"schema": {}}}}
        if field is not None:
            required, schema = self._schemas.is_required(field), self._schemas.field(field)
        else:
            left = [each for each in request.fields if each.name not in in_path]
            if not left:
                return None
            required = any(self._schemas.is_required(each) for each in left)
            whole = len(left) == len(request.fields)
            schemas = self._schemas
            schema = schemas.message(request) if whole else schemas.fields(request, in_path)
        return {"required": required, "content": {"application/json": {"schema": schema}}}

    def _responses(self, method: MethodDescriptor, response_body: str, roles: list[str]) -> Json:
        response = method.output_type
        field = response.fields_by_name[response_body] if response_body else None
        kind = response if field is None else field.message_type
        media = "application/x-ndjson" if method.server_streaming else "application/json"
        schema = self._schemas.message(response) if field is None else self._schemas.field(field)
        if kind is not None and kind.full_name == RAW_BODY:
            media, schema = "*/*", {}
        content = {media: {"schema": schema}}
        comment = self._contract.comment(response.full_name) or "Done."
        responses: Json = {"200": {"description": comment, "content": content}}
        result = response.fields_by_name.get("result")
        if result is not None and result.enum_type and result.enum_type.name == "RedemptionResult":
            refused = "Refused: `reason` says why, `explanation` what would help."
            responses["422"] = {"description": refused, "content": content}
        codes = ["400", "default"] if "ANYONE" in roles else ["400", "401", "403", "default"]
        return responses | {code: {"$ref": "#/components/responses/Failure"} for code in codes}


def _schemes(roles: list[str]) -> list[str]:
    schemes = ["partner_key"] if "PARTNER" in roles else []
    logged_in = {"OPERATOR", "SUPERVISOR", "ADMIN", "TRAVELLER"}
    return schemes + (["access_token"] if logged_in & set(roles) else [])


def _leaves(descriptor: Descriptor, prefix: str = "") -> Iterator[tuple[str, FieldDescriptor]]:
    """The fields a path or query parameter can name."""
    for field in descriptor.fields:
        kind = field.message_type
        if kind is None or kind.full_name.startswith("google.protobuf."):
            yield prefix + field.name, field
        elif not field.is_repeated and prefix.count(".") < 2:
            yield from _leaves(kind, f"{prefix}{field.name}.")


def openapi(descriptor_set: FileDescriptorSet) -> Json:
    """The OpenAPI document of every method that carries `google.api.http`."""
    contract = Contract(descriptor_set)
    schemas = Schemas(contract)
    paths = Paths(contract, schemas)
    tags = []
    for service in contract.services:
        described = [paths.add(method) for method in service.methods]
        if any(described):
            comment = contract.comment(service.full_name)
            tags.append({"name": service.name, "description": comment})
    failure = {"schema": {"$ref": "#/components/schemas/Status"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": "v1", "description": _paragraphs(DESCRIPTION)},
        "servers": [{"url": "/"}],
        "tags": tags,
        "paths": paths.paths,
        "components": {
            "schemas": schemas.components,
            "responses": {
                "Failure": {
                    "description": "Failed; nothing was changed unless the message says so.",
                    "content": {"application/json": failure},
                }
            },
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def main() -> None:
    """Write the document to standard output."""
    descriptor_set = FileDescriptorSet.FromString(Path(sys.argv[1]).read_bytes())
    print(json.dumps(openapi(descriptor_set), ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
