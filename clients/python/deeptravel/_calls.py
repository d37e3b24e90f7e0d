"""Calls of a thread: with a deadline, repeated where that is safe."""

import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import grpc

from deeptravel._credentials import Credentials, Metadata
from deeptravel._errors import CallError, call_error
from deeptravel._generated.reasons import Reason
from deeptravel._method import Method, Request, Response
from deeptravel._retries import Retries, RetryPolicy


class Calls:
    """Calls of one caller over a channel. Every method raises CallError.

    Args:
        channel: to the server; others may call over it too.
        credentials: what each call shows.
        timeout: seconds of a call where none are given; streams have none.
        retry: how often a call is repeated.
    """

    def __init__(
        self, channel: grpc.Channel, credentials: Credentials, timeout: float, retry: RetryPolicy
    ) -> None:
        self.channel = channel
        self._credentials = credentials
        self._timeout = timeout
        self._retry = retry
        self._renewing = threading.Lock()

    def unary(
        self, method: Method[Request, Response], request: Request, timeout: float | None = None
    ) -> Response:
        """One answer."""
        safe = method.prepared(request)
        seconds = self._timeout if timeout is None else timeout
        retries = Retries(self._retry, safe=safe, timeout=seconds)
        call: Any = self.channel.unary_unary(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        renewed = False
        while True:
            shown = self._credentials.metadata
            try:
                answer: Response = call(request, timeout=retries.remaining(), metadata=shown)
            except grpc.RpcError as error:
                found = _found(error, method, request)
                if not renewed and self._renewed(found, shown):
                    renewed = True
                    continue
                pause = retries.pause(found)
                if pause is None:
                    raise found from error
            else:
                return answer
            time.sleep(pause)

    def pages(
        self, method: Method[Request, Response], request: Any, timeout: float | None = None
    ) -> Iterator[Any]:
        """The items of all pages; the timeout is that of each."""
        while True:
            page: Any = self.unary(method, request, timeout)
            yield from getattr(page, method.items)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def stream(
        self, method: Method[Request, Response], request: Any, timeout: float | None = None
    ) -> Iterator[Response]:
        """What comes until the server ends the stream.

        If it breaks it is opened again after what came last, where the RPC can go on; where it
        cannot, only before anything came.
        """
        retries = Retries(self._retry, safe=method.prepared(request), timeout=timeout)
        call: Any = self.channel.unary_stream(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        renewed = came = False
        while True:
            shown = self._credentials.metadata
            opened = call(request, timeout=retries.remaining(), metadata=shown)
            try:
                for answer in opened:
                    came = True
                    yield answer
                    retries.progressed()
                    renewed = False
                    method.passed(request, answer)
                return
            except grpc.RpcError as error:
                found = _found(error, method, request)
                if came and method.resume is None:
                    raise found from error
                if not renewed and self._renewed(found, shown):
                    renewed = True
                    continue
                pause = retries.pause(found)
                if pause is None:
                    raise found from error
            finally:
                opened.cancel()
            time.sleep(pause)

    def scan(
        self,
        method: Method[Request, Response],
        requests: Iterable[Request],
        timeout: float | None = None,
    ) -> Iterator[Response]:
        """A stream both ways. Each request with an id of its own; not opened again if it breaks."""

        def prepared() -> Iterator[Request]:
            for each in requests:
                yield method.identified(each)

        call: Any = self.channel.stream_stream(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        opened = call(prepared(), timeout=timeout, metadata=self._credentials.metadata)
        try:
            yield from opened
        except grpc.RpcError as error:
            raise call_error(error, method=method.name) from error
        finally:
            opened.cancel()

    def _renewed(self, error: CallError, shown: Metadata) -> bool:
        """Whether there is a new access token in place of the one that was shown, and is over."""
        mine = self._credentials
        if error.reason != Reason.UNAUTHENTICATED or mine.renew is None:
            return False
        with self._renewing:
            if mine.metadata == shown:
                mine.use(mine.renew(mine.refresh_token))
        return True


def _found(error: grpc.RpcError, method: Method[Any, Any], request: Any) -> CallError:
    request_id = getattr(request, "request_id", "")
    return call_error(error, method=method.name, request_id=request_id)
