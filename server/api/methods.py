"""The methods that can be called: who may, what their requests are checked by, and what is counted
of them.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from deeptravel.common.v1 import options_pb2
from google.protobuf import empty_pb2
from google.protobuf.descriptor import Descriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from server.api.bounds import Bounds
from server.api.call_metrics import MethodMetrics
from server.api.fields import Checker

ADMINISTRATOR = "ADMINISTRATOR"
"""The administrators' role that may call whatever administrators may."""


class Method:
    """A method that is called: who may, and what its requests are checked by."""

    def __init__(
        self,
        name: str,
        full_name: str,
        access: options_pb2.Access,
        request: Descriptor,
    ) -> None:
        self.name = name
        self.roles = frozenset(_short(options_pb2.Role, access.roles))
        self.admin_roles = frozenset(
            {ADMINISTRATOR, *_short(options_pb2.AdminRole, access.admin_roles)}
        )
        self.before_second_factor = access.before_second_factor
        self.test_mode_only = access.test_mode_only
        self.request = request
        self._bounds = Bounds.of(request)
        self._parse = GetMessageClass(request).FromString
        self._checker = Checker.of(request)
        self.metrics = MethodMetrics(full_name)

    def parse(self, content: bytes) -> Any:
        """A request from its bytes, unchecked. Raises INVALID_FIELD for more than it can hold,
        DecodeError.
        """
        self._bounds.check(content)
        return self._parse(content)

    def read(self, content: bytes) -> Any:
        """A request from its bytes. Raises INVALID_FIELD for what is not as annotated,
        DecodeError.
        """
        request = self.parse(content)
        self._checker.check(request)
        return request


def methods(services: Iterable[ServiceDescriptor]) -> dict[str, Method]:
    """Every method by its path. Raises ValueError for a method without `access` option: the
    server must not start.
    """
    found = {}
    for service in services:
        for method in service.methods:
            access = method.GetOptions().Extensions[options_pb2.access]
            full_name = f"{service.full_name}/{method.name}"
            made = Method(f"{service.name}/{method.name}", full_name, access, method.input_type)
            if not made.roles or "UNSPECIFIED" in made.roles | made.admin_roles:
                raise ValueError(f"{method.full_name} does not say who may call it (access option)")
            found[f"/{full_name}"] = made
    return found


def of_partners(service: str, name: str) -> Method:
    """A method of another protocol, for partners; its requests are no messages of ours."""
    access = options_pb2.Access(roles=[options_pb2.ROLE_PARTNER])
    return Method(f"{service}/{name}", f"{service}/{name}", access, empty_pb2.Empty.DESCRIPTOR)


def _short(enum: Any, numbers: Iterable[int]) -> Iterator[str]:
    """The names of an enum's values without their prefix."""
    prefix = enum.Name(0).removesuffix("UNSPECIFIED")
    return (enum.Name(number).removeprefix(prefix) for number in numbers)
