#!/usr/bin/env bash
# opentelemetry-instrumentation-grpc 0.66b2, grpcio 1.85.1 (Python 3.11): streams under aio_server_interceptor().
#
# grpc.aio documents two ways to answer with a stream: an asynchronous generator, and a coroutine that
# calls context.write. A good engineer who adds OpenTelemetry's interceptor expects spans for both.
#
# Guess: both kinds of handlers answer as before, with a span each.
# Seen:  every call of a handler that writes ends as UNKNOWN, "'async for' requires an object with
#        __aiter__ method, got coroutine": the interceptor takes each stream of answers for a generator.
#        Nothing is said at the start, and unary calls go on to work.
#
# What to do: show it generators: wrap such a handler in one that awaits it and yields nothing.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check grpcio==1.85.1 \
    opentelemetry-sdk==1.45.2 opentelemetry-instrumentation-grpc==0.66b2
cat > "$work/streams.py" <<'PY'
import asyncio

import grpc
from opentelemetry.instrumentation.grpc import aio_server_interceptor


async def generated(request, context):
    yield b"one"
    yield b"two"


async def written(request, context):
    await context.write(b"one")
    await context.write(b"two")


async def wrapped(request, context):
    await written(request, context)
    for nothing in ():
        yield nothing


async def end(interceptors, name):
    server = grpc.aio.server(interceptors=interceptors)
    handlers = {
        handler.__name__: grpc.unary_stream_rpc_method_handler(handler)
        for handler in (generated, written, wrapped)
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("a.A", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            return [part async for part in channel.unary_stream(f"/a.A/{name}")(b"")]
    except grpc.aio.AioRpcError as error:
        return f"{error.code().name}: {error.details()}"
    finally:
        await server.stop(None)


async def main():
    for name in ("generated", "written", "wrapped"):
        for title, interceptors in (("without", []), ("with", [aio_server_interceptor()])):
            print(f"{name:9} {title:7} the interceptor: {await end(interceptors, name)}")
    found = await end([aio_server_interceptor()], "written")
    assert "got coroutine" in found, "other than found"


asyncio.run(main())
PY
"$work/venv/bin/python" "$work/streams.py" 2> "$work/log" || { cat "$work/log" >&2; exit 1; }
