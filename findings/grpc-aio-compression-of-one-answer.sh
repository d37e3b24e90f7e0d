#!/usr/bin/env bash
# grpcio 1.85.1 (Python 3.11, Linux): context.set_compression in grpc.aio, for a single answer.
#
# The method's documentation says that it sets the compression algorithm to be used for the entire call.
# A good engineer calls it in a handler whose answer is long, and expects fewer bytes on the way.
#
# Guess: an answer of 100,000 equal bytes takes a few hundred bytes, in unary and streaming methods.
# Seen:  so it is in a streaming method; in a unary method the call has
#        no effect, and all 100,000 bytes are sent. There is no error, and no warning.
#
# What to do: send the initial metadata before the answer (await context.send_initial_metadata(())), or
# set the server's default, grpc.aio.server(compression=...).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check grpcio==1.85.1
cat > "$work/sizes.py" <<'PY'
import asyncio

import grpc

ANSWER = b"x" * 100_000


async def unary(request, context):
    context.set_compression(grpc.Compression.Gzip)
    return ANSWER


async def begun(request, context):
    context.set_compression(grpc.Compression.Gzip)
    await context.send_initial_metadata(())
    return ANSWER


async def stream(request, context):
    context.set_compression(grpc.Compression.Gzip)
    yield ANSWER


class Way(asyncio.Protocol):
    """Passes on what comes from one side to the other, and counts what comes from the server."""

    received = 0

    def __init__(self, port, other=None):
        self.port, self.other, self.early = port, other, []

    def connection_made(self, transport):
        self.own = transport
        if self.other is None:
            self.task = asyncio.create_task(self.connect())

    async def connect(self):
        loop = asyncio.get_running_loop()
        make = lambda: Way(0, self.own)
        self.other, _ = await loop.create_connection(make, "127.0.0.1", self.port)
        self.other.writelines(self.early)

    def data_received(self, data):
        Way.received += 0 if self.port else len(data)
        self.other.write(data) if self.other else self.early.append(data)

    def connection_lost(self, error):
        if self.other:
            self.other.close()


async def main():
    server = grpc.aio.server()
    handlers = {
        "unary": grpc.unary_unary_rpc_method_handler(unary),
        "begun": grpc.unary_unary_rpc_method_handler(begun),
        "stream": grpc.unary_stream_rpc_method_handler(stream),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("a.A", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    way = await asyncio.get_running_loop().create_server(lambda: Way(port), "127.0.0.1", 0)
    sizes = {}
    async with grpc.aio.insecure_channel(f"127.0.0.1:{way.sockets[0].getsockname()[1]}") as channel:
        for name in handlers:
            before = Way.received
            if name == "stream":
                answers = [each async for each in channel.unary_stream(f"/a.A/{name}")(b"")]
            else:
                answers = [await channel.unary_unary(f"/a.A/{name}")(b"")]
            assert answers == [ANSWER]
            sizes[name] = Way.received - before
            print(f"{name:6} {sizes[name]:7} bytes")
    way.close()
    await server.stop(None)
    assert sizes["stream"] < 5_000 and sizes["begun"] < 5_000 < 90_000 < sizes["unary"], "other"


asyncio.run(main())
PY
"$work/venv/bin/python" "$work/sizes.py"
