"""What the client knows of an RPC, and how a call of it begins."""

import uuid
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


@dataclass(frozen=True)
class Method(Generic[Request, Response]):
    """An RPC.

    Attributes:
        path: of gRPC.
        request: class of its requests.
        response: class of its answers.
        safe: whether a repeat does no harm, even without a request id.
        resume: of a stream, the field of the request that says after what to go on, and the field
            of each answer that goes there.
        items: of a page, the repeated field with its items.
    """

    path: str
    request: type[Request]
    response: type[Response]
    safe: bool = False
    resume: tuple[str, str] | None = None
    items: str = ""

    @property
    def name(self) -> str:
        """The RPC's own name."""
        return self.path.rpartition("/")[2]

    def prepared(self, request: Any) -> bool:
        """Gives the request an id if it takes one and has none; whether it may be repeated."""
        if "request_id" not in self.request.DESCRIPTOR.fields_by_name:
            return self.safe
        if not request.request_id:
            request.request_id = new_request_id()
        return True

    def identified(self, request: Any) -> Any:
        """Of a stream of calls: the message, with an id where its call has none."""
        for field, inner in request.ListFields():
            if field.message_type and "request_id" in field.message_type.fields_by_name:
                inner.request_id = inner.request_id or new_request_id()
        return request

    def passed(self, request: Any, answer: Any) -> None:
        """Of a stream: what it goes on after if it breaks now."""
        if self.resume is not None:
            after, of_answer = self.resume
            if last := getattr(answer, of_answer):  # an answer may have nothing to go on after
                setattr(request, after, last)


def new_request_id() -> str:
    """An id for a call that changes something.

    Keep it with what you are about to do: the same id again, an hour and a restart later too, does
    it once and gets the first answer again.
    """
    return uuid.uuid4().hex
