#!/usr/bin/env bash
# grpcio 1.85.1 (Python 3.11, Linux): the iterator of requests of a grpc.aio stream that has ended.
#
# A stream both ways is given an asynchronous iterator of requests. When the server ends the stream, a
# good engineer opens another one with an iterator over the same queue, and expects that what is put
# into the queue from then on is sent over the new stream.
#
# Guess: with the call its iterator is closed; the next request stays in the queue for the new stream.
# Seen:  the iterator of the ended call is left waiting, also after call.cancel(). It takes the next
#        request out of the queue, drops it without an error, and is closed only then. The new
#        stream gets the one after it.
#
# What to do: let the iterator end by itself when its stream has ended (a number of the stream, or an
# event that wakes it), and keep each request until it is answered.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check grpcio==1.85.1
cat > "$work/streams.py" <<'PY'
import asyncio

import grpc

queue, taken = asyncio.Queue(), []


async def broken_once(requests, context):
    async for each in requests:
        if each == b"first":
            await context.abort(grpc.StatusCode.UNAVAILABLE, "broken")
        yield each


async def requests(stream):
    while True:
        each = await queue.get()
        taken.append((stream, each))
        yield each


async def main():
    server = grpc.aio.server()
    handlers = {"Echo": grpc.stream_stream_rpc_method_handler(broken_once)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("a.A", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.stream_stream("/a.A/Echo")(requests("ended"))
        queue.put_nowait(b"first")
        assert await call.code() == grpc.StatusCode.UNAVAILABLE
        call.cancel()
        again = channel.stream_stream("/a.A/Echo")(requests("new"))
        await asyncio.sleep(0.5)
        queue.put_nowait(b"second")
        await asyncio.sleep(0.5)
        queue.put_nowait(b"third")
        answer = await asyncio.wait_for(again.read(), 10)
        print("taken:", taken)
        print("the new stream's first answer:", answer)
        again.cancel()
    await server.stop(None)
    assert taken[1] == ("ended", b"second") and answer == b"third", "other"


asyncio.run(main())
PY
"$work/venv/bin/python" "$work/streams.py"
