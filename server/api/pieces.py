"""Files as streams of google.api.HttpBody, since a message of gRPC is at most 4 MiB long."""

from collections.abc import Iterator

from google.api import httpbody_pb2

PIECE_BYTES = 64 * 1024


def of_file(content_type: str, content: bytes) -> Iterator[httpbody_pb2.HttpBody]:
    """The pieces of a file in their order, each with its content type; one if it is empty."""
    for first in range(0, max(len(content), 1), PIECE_BYTES):
        piece = content[first : first + PIECE_BYTES]
        yield httpbody_pb2.HttpBody(content_type=content_type, data=piece)
