"""All that is used of grpcio's private module: its core in C, as grpcio's own servers use it.

The module is private by name, so grpcio is pinned below its next minor version, and `missing` says
what a version does not have: then grpc.aio serves.
"""

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import grpc

cygrpc: Any = importlib.import_module("grpc._cython.cygrpc")  # which has no types

USED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Call": ("peer", "start_server_batch"),
        "CallDetails": ("deadline", "method"),
        "CompletionQueue": ("poll", "shutdown"),
        "CompletionType": ("operation_complete", "queue_shutdown", "queue_timeout"),
        "BatchOperationEvent": ("batch_operations", "completion_type", "success", "tag"),
        "RequestCallEvent": ("call", "call_details", "invocation_metadata", "success", "tag"),
        "ReceiveCloseOnServerOperation": ("cancelled",),
        "ReceiveMessageOperation": ("message",),
        "SendInitialMetadataOperation": (),
        "SendMessageOperation": (),
        "SendStatusFromServerOperation": (),
        "Server": (
            "add_http2_port",
            "cancel_all_calls",
            "destroy",
            "register_completion_queue",
            "request_call",
            "shutdown",
            "start",
        ),
        "WriteFlag": ("no_compress",),
        "GRPC_COMPRESSION_REQUEST_ALGORITHM_MD_KEY": (),
        "auth_context": (),
        "peer_identities": (),
        "peer_identity_key": (),
    }
)
"""Names of the module, and of their attributes."""


def missing(module: Any = cygrpc) -> list[str]:
    """Which of the names that are used this grpcio does not have."""
    absent: list[str] = []
    for name, attributes in USED.items():
        found = getattr(module, name, None)
        if found is None:
            absent.append(name)
        else:
            absent += [f"{name}.{each}" for each in attributes if not hasattr(found, each)]
    return absent


def credentials_of(given: grpc.ServerCredentials) -> Any:
    """What the core takes for the credentials of a port."""
    return given._credentials  # type: ignore[attr-defined]  # noqa: SLF001 - as grpc.aio does


if not missing():
    Call = cygrpc.Call
    CompletionQueue = cygrpc.CompletionQueue
    QUEUE_SHUTDOWN: int = cygrpc.CompletionType.queue_shutdown
    ReceiveClose = cygrpc.ReceiveCloseOnServerOperation
    ReceiveMessage = cygrpc.ReceiveMessageOperation
    SendInitialMetadata = cygrpc.SendInitialMetadataOperation
    SendMessage = cygrpc.SendMessageOperation
    SendStatus = cygrpc.SendStatusFromServerOperation
    Server = cygrpc.Server
    NO_COMPRESSION: int = cygrpc.WriteFlag.no_compress
    COMPRESSION_KEY: str = cygrpc.GRPC_COMPRESSION_REQUEST_ALGORITHM_MD_KEY
    auth_context = cygrpc.auth_context
    peer_identities = cygrpc.peer_identities
    peer_identity_key = cygrpc.peer_identity_key
