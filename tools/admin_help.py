"""What the contract's comments say, for the help of the administrator's commands: generated code
has no comments.
"""

from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tools.openapi import Contract

SERVICE = "deeptravel.admin.v1.AdminService"
REASONS = "deeptravel.common.v1.ErrorReason"


def admin_help(descriptor_set: FileDescriptorSet) -> dict[str, str]:
    """The comments of AdminService's methods, of the fields of their requests, and of the reasons
    of refusals, by full name.
    """
    contract = Contract(descriptor_set)
    (service,) = [each for each in contract.services if each.full_name == SERVICE]
    names: dict[str, None] = {}
    for method in service.methods:
        names[method.full_name] = None
        names |= dict.fromkeys(_fields(method.input_type, set()))
    names |= dict.fromkeys(
        f"{REASONS}.ERROR_REASON_{name}" for name, _ in contract.values(REASONS, "ERROR_REASON_")
    )
    return {name: said for name in names if (said := contract.comment(name))}


def _fields(message: Descriptor, seen: set[str]) -> Iterator[str]:
    if message.full_name in seen or not message.full_name.startswith("deeptravel."):
        return
    seen.add(message.full_name)
    for field in message.fields:
        yield field.full_name
        if field.message_type is not None:
            yield from _fields(field.message_type, seen)
