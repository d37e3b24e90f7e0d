"""What a caller names something by, and what then stands in the path of a URL, is no step of it."""

import re

import pytest
from deeptravel.admin.v1 import account_pb2, admin_service_pb2
from deeptravel.ota.v1 import ota_service_pb2
from deeptravel.redemption.v1 import redemption_service_pb2
from deeptravel.ticketing.v1 import ticketing_service_pb2
from google.api import annotations_pb2
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor

from server.api.fields import Checker
from server.platform.errors import DomainError
from tests.support.probe import message_class

SERVICES = [
    service
    for file in (
        admin_service_pb2,
        ota_service_pb2,
        redemption_service_pb2,
        ticketing_service_pb2,
    )
    for service in file.DESCRIPTOR.services_by_name.values()
]
STEPS = [".", "..", "...", "\uff0e\uff0e"]  # the last are dots of full width, kept as dots


def in_paths(method: MethodDescriptor) -> set[str]:
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    path: str = getattr(rule, rule.WhichOneof("pattern") or "get")
    return set(re.findall(r"{(\w+)[=}]", path))


METHODS = [method for service in SERVICES for method in service.methods]
NAMED = set[str]().union(*map(in_paths, METHODS))
CHOSEN = [
    field
    for method in METHODS
    if method.name.startswith("Create")
    for field in method.input_type.fields
    if field.name in NAMED - in_paths(method) and field.type == FieldDescriptor.TYPE_STRING
]
"""Fields by which something new is named, or what it belongs to."""


def faults(field: FieldDescriptor, text: str) -> set[str]:
    assert field.containing_type is not None
    request = message_class(field.containing_type)()
    setattr(request, field.name, text)
    return {name for name, _ in Checker.of(field.containing_type).violations(request, "")}


def test_there_are_such_fields() -> None:
    assert {"distributor_id", "username", "terminal_device_id"} <= {each.name for each in CHOSEN}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("field", CHOSEN, ids=lambda field: field.full_name.rpartition("v1.")[2])
def test_nothing_is_named_like_a_step_of_a_path(field: FieldDescriptor, step: str) -> None:
    """Seen red: a distributor, a terminal and an operator called `..` could be created, and no
    client of HTTP reached them, since it resolves the step itself.
    """
    assert field.name in faults(field, step)


def test_dots_within_a_name_stay() -> None:
    for name in ("ann.b", ".ann", "ann."):
        request = account_pb2.CreateOperatorRequest(username=name)
        with pytest.raises(DomainError) as refused:
            Checker.of(request.DESCRIPTOR).check(request)
        assert "username" not in str(refused.value.metadata)
