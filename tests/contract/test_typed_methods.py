"""The types that a servicer's methods name are those of the contract; mypy cannot see who may call.

Seen red with a `ChangingCall[None]` in CancelOrder, which only travellers call.
"""

import inspect
from collections.abc import Iterator
from types import UnionType
from typing import Any, get_args, get_origin

import pytest
from deeptravel.admin.v1 import admin_service_pb2
from deeptravel.common.v1 import options_pb2
from deeptravel.ota.v1 import ota_service_pb2
from deeptravel.redemption.v1 import redemption_service_pb2
from deeptravel.ticketing.v1 import ticketing_service_pb2
from google.protobuf.descriptor import MethodDescriptor

from server.api.admin.servicer import AdminServicer
from server.api.ota.servicer import OtaServicer
from server.api.paging import Page
from server.api.redemption.servicer import RedemptionServicer
from server.api.repeats import ChangingCall
from server.api.ticketing.servicer import TicketingServicer
from server.identity.callers import Admin, Operator, Partner, Traveller

ROLES: dict[object, set[str]] = {
    Partner: {"ROLE_PARTNER"},
    Operator: {"ROLE_OPERATOR", "ROLE_SUPERVISOR"},
    Admin: {"ROLE_ADMIN"},
    Traveller: {"ROLE_TRAVELLER"},
    type(None): {"ROLE_ANYONE"},
}
KIND = {role: kind for kind, roles in ROLES.items() for role in roles}
SERVICERS = {
    AdminServicer: admin_service_pb2.DESCRIPTOR,
    OtaServicer: ota_service_pb2.DESCRIPTOR,
    RedemptionServicer: redemption_service_pb2.DESCRIPTOR,
    TicketingServicer: ticketing_service_pb2.DESCRIPTOR,
}


def _methods() -> Iterator[tuple[MethodDescriptor, dict[str, Any]]]:
    """Of each method of the contract: the types that its servicer names."""
    for servicer, file in SERVICERS.items():
        (service,) = file.services_by_name.values()
        for method in service.methods:
            written = inspect.unwrap(getattr(servicer, method.name))
            yield method, inspect.get_annotations(written)


METHODS = {method.full_name: (method, types) for method, types in _methods()}
OF_CALLERS = {
    name: (method, types[argument])
    for name, (method, types) in METHODS.items()
    for argument in types
    if get_origin(types[argument]) in (ChangingCall, Page)
}


@pytest.mark.parametrize("name", OF_CALLERS)
def test_a_method_names_the_callers_that_may_call_it(name: str) -> None:
    method, kind = OF_CALLERS[name]
    caller = get_args(kind)[0]
    kinds = get_args(caller) if isinstance(caller, UnionType) else (caller or type(None),)
    named = set().union(*(ROLES[kind] for kind in kinds))
    access = method.GetOptions().Extensions[options_pb2.access]
    allowed = {options_pb2.Role.Name(role) for role in access.roles}
    # an operator who may not is still an operator
    assert {KIND[role] for role in allowed} == {KIND[role] for role in named}


@pytest.mark.parametrize("name", OF_CALLERS)
def test_a_method_names_its_messages(name: str) -> None:
    method, types = METHODS[name]
    assert types["request"].DESCRIPTOR is method.input_type
    assert types["return"].DESCRIPTOR is method.output_type


def test_methods_have_been_found() -> None:
    assert "deeptravel.ticketing.v1.TicketingService.CancelOrder" in OF_CALLERS
