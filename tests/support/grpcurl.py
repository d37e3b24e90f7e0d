"""As much of grpcurl as the printed commands use: it knows the services by reflection alone."""

import sys
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)


def main(arguments: list[str]) -> None:
    """`-plaintext [-H header]... [-d json] host:port list | service/method`."""
    metadata: list[tuple[str, str | bytes]] = []
    data, rest = "", []
    given = iter(arguments)
    for argument in given:
        if argument == "-H":
            name, _, text = next(given).partition(": ")
            metadata.append((name, text))
        elif argument == "-d":
            data = next(given)
        elif argument != "-plaintext":
            rest.append(argument)
    target, what = rest
    with grpc.insecure_channel(target) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        if what == "list":
            sys.stdout.write("\n".join(sorted(database.get_services())) + "\n")
            return
        service, _, name = what.partition("/")
        method = DescriptorPool(database).FindServiceByName(service).methods_by_name[name]
        request: Any = GetMessageClass(method.input_type)
        response: Any = GetMessageClass(method.output_type)
        call = channel.unary_unary(
            f"/{what}", request.SerializeToString, response_deserializer=response.FromString
        )
        answer = call(json_format.Parse(data, request()), metadata=tuple(metadata))
        sys.stdout.write(json_format.MessageToJson(answer) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
