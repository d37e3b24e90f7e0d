"""Which fields hold personal data, by name: those that the contract marks `debug_redact`, and what
the audit trail calls the same.
"""

from collections.abc import Iterator
from functools import cache

from deeptravel.admin.v1 import admin_service_pb2
from deeptravel.ota.v1 import ota_service_pb2
from deeptravel.redemption.v1 import redemption_service_pb2
from deeptravel.ticketing.v1 import ticketing_service_pb2
from google.protobuf.descriptor import Descriptor

CONTRACT = (admin_service_pb2, ota_service_pb2, redemption_service_pb2, ticketing_service_pb2)
STORED = {"birth_date", "customer_name", "customer_phone", "holder_name", "passenger_name", "phone"}
"""What rows call it where the contract has another name."""
NEVER_STORED = {"code"}
"""What is of a log-in only, and never recorded: in the trail it is a promotion's code, or the one a
vendor stopped a channel with.
"""


@cache
def personal_fields() -> frozenset[str]:
    """The names."""
    seen: set[str] = set()
    found = frozenset(STORED).union(
        name
        for file in CONTRACT
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        for message in (method.input_type, method.output_type)
        for name in _marked(message, seen)
    )
    return found - NEVER_STORED


def _marked(message: Descriptor, seen: set[str]) -> Iterator[str]:
    if message.full_name in seen:
        return
    seen.add(message.full_name)
    for field in message.fields:
        if field.GetOptions().debug_redact:
            yield field.name
        if field.message_type:
            yield from _marked(field.message_type, seen)
