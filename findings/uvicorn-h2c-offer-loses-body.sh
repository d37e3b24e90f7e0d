#!/usr/bin/env bash
# uvicorn 0.54.0 with httptools 0.9.0 (Python 3.11, Linux): a POST that offers an upgrade to HTTP/2.
#
# Java's java.net.http.HttpClient offers "Upgrade: h2c" with every first request over plain HTTP, as
# `curl --http2` does. RFC 9110 section 7.8 lets a server ignore the offer and serve the request.
#
# Guess: uvicorn, which knows no HTTP/2, ignores the offer and hands on the request with its body.
# Seen:  with the httptools parser (the one that `uvicorn[standard]` picks) the application gets
#        the right method, path and headers, Content-Length included, and a body of 0 bytes; status
#        200. With the h11 parser, and without the offer, it gets all 100 bytes.
#
# So a JSON service answers a question that nobody asked: an optional list that was sent is absent.
# What to do: a server that keeps the body or refuses the request, and a test that offers the upgrade.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  uvicorn==0.54.0 httptools==0.9.0 h11==0.16.0
cat > "$work/offer.py" <<'PY'
import asyncio

import uvicorn

OFFER = (
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
)
REQUEST = b"POST / HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: 100\r\n\r\n" + b"x" * 100


async def count_body(scope, receive, send):
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"body of %d bytes" % size})


async def received(parser, offer):
    """What the application received of the body."""
    config = uvicorn.Config(count_body, port=0, http=parser, lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    reader, writer = await asyncio.open_connection(*server.servers[0].sockets[0].getsockname())
    writer.write(REQUEST % offer)
    answer = await asyncio.wait_for(reader.readuntil(b" bytes"), 10)
    writer.close()
    server.should_exit = True
    await serving
    return answer.split(b"body of ")[1].decode()


async def main():
    seen = {
        (parser, bool(offer)): await received(parser, offer)
        for parser in ("httptools", "h11")
        for offer in (OFFER, b"")
    }
    for (parser, offered), size in seen.items():
        print(f"{parser}, upgrade {'offered' if offered else 'not offered'}: {size}")
    assert seen.pop(("httptools", True)) == "0 bytes", "the body arrives now"
    assert set(seen.values()) == {"100 bytes"}, seen


asyncio.run(main())
PY
"$work/venv/bin/python" "$work/offer.py"
