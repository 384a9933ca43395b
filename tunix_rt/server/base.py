"""What all routes share: who has access, how large a body may be, and how a failure is reported."""

import asyncio
import re
from http import HTTPStatus
from http.client import responses
from types import TracebackType
from typing import Any

from jupyter_server.auth.utils import HTTP_METHOD_TO_AUTH_ACTION
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import ensure_async
from pydantic_core import to_json
from tornado.web import HTTPError, RequestHandler, stream_request_body

from tunix_rt.errors import StoreBusy, TunixRTError
from tunix_rt.server.error_status import detail_of, status_of
from tunix_rt.server.store_threads import ServedStore

_RETRY_AFTER_SECONDS = 5
# Up to N bytes of a refused body are read, for up to N seconds; then the connection is closed.
_PASSED_BYTES = 64 * 2**20
_PASSED_SECONDS = 10.0
# The name for all methods that are not in HTTP; there is no code for it.
_NO_METHOD = "UNKNOWN"


@stream_request_body
class Route(APIHandler):
    """A route under Jupyter's rules: no body is read from clients that they refuse, or if it is too large.

    `root` is the path of the API, without the slash at its end.
    """

    auth_resource = "tunix_rt"
    # So that these are refused only after the client was identified.
    SUPPORTED_METHODS = (*APIHandler.SUPPORTED_METHODS, "TRACE", "QUERY", _NO_METHOD)
    trace = query = unknown = RequestHandler._unimplemented_method  # noqa: SLF001

    def initialize(self, served: ServedStore, root: str) -> None:
        """Receives the extension's objects for a request."""
        self.served, self.root = served, root
        if self.request.method not in self.SUPPORTED_METHODS:
            # Tornado would refuse it before the client was identified.
            self.request.method = _NO_METHOD
        self._refused: asyncio.TimerHandle | None = None
        self._body = bytearray()
        self._body_max_bytes: int | None = None
        self._n_received = 0

    def body_max_bytes(self) -> int:
        """The largest body of a POST; a body with other methods is ignored."""
        return 0

    @property
    def body(self) -> bytes:
        """The complete body."""
        return bytes(self._body)

    def set_default_headers(self) -> None:
        """Jupyter's headers, and that replies are not cached."""
        super().set_default_headers()
        self.set_header("Cache-Control", "no-store")

    def decode_argument(self, value: bytes, name: str | None = None) -> str:  # noqa: ARG002
        """A part of the path; one that is not UTF-8 is refused as an invalid id after the client was identified."""
        return value.decode(errors="replace")

    async def prepare(self) -> None:  # type: ignore[override]
        """Admits or refuses the request, after its headers and before its body."""
        try:
            await self.admit()
            self._body_max_bytes = self._checked_body()
        except (HTTPError, TunixRTError) as error:
            self._refuse(error)

    async def admit(self) -> None:
        """Raises HTTPError for clients that Jupyter refuses, and for an unknown method."""
        # Host, user, XSRF and origin; an unknown user is refused here, whatever Jupyter's default is.
        await super().prepare()
        method = str(self.request.method)
        if self.current_user is None:
            raise HTTPError(403)
        action = HTTP_METHOD_TO_AUTH_ACTION.get(method, "read")
        if not await ensure_async(self.authorizer.is_authorized(self, self.current_user, action, self.auth_resource)):
            raise HTTPError(403, f"not authorized to {action} {self.auth_resource}")
        if not self._implements(method):
            raise MethodUnknown(405)

    def data_received(self, chunk: bytes) -> None:
        """A piece of the body; a body of unknown length is refused when it becomes too large."""
        self._n_received += len(chunk)
        if self._refused is not None:
            if self._n_received > _PASSED_BYTES:
                self._end()
        elif self._body_max_bytes is not None and self._n_received > self._body_max_bytes:
            self._body.clear()
            self._refuse(_too_large(f"more than {self._body_max_bytes:,}", self._body_max_bytes))
        elif self._body_max_bytes is not None:
            self._body += chunk

    def send_json(self, content: Any, status: int = 200) -> None:
        """Ends the reply with this content: a model, a JSON value, or bytes of JSON."""
        self.set_status(status)
        self.finish(content if isinstance(content, bytes) else to_json(content))

    def send_error(self, status_code: int = 500, **given: Any) -> None:
        """Ends the reply as a failure; each error of the package has its own status."""
        error = given.get("exc_info", (None, None))[1]
        super().send_error(status_of(error) if isinstance(error, TunixRTError) else status_code, **given)

    def write_error(self, status_code: int, **given: Any) -> None:
        """The failure as JSON, without any traceback."""
        self.finish(self._error_body(status_code, given.get("exc_info", (None, None))[1]))

    def _error_body(self, status: int, error: BaseException | None) -> bytes:
        detail: Any = responses.get(status, "Unknown")
        if isinstance(error, TunixRTError):
            detail = detail_of(error)
        elif isinstance(error, HTTPError):
            detail = error.get_message() or detail
        if isinstance(error, StoreBusy):
            self.set_header("Retry-After", _RETRY_AFTER_SECONDS)
        if isinstance(error, MethodUnknown):
            self.set_header("Allow", ", ".join(filter(self._implements, self.SUPPORTED_METHODS)))
        return to_json({"detail": detail})

    def _refuse(self, error: HTTPError | TunixRTError) -> None:
        """Replies at once, and ends the request when the rest of its body has been read and dropped.

        A connection that is closed while the client sends may take the reply with it.
        """
        self.log_exception(type(error), error, error.__traceback__)
        self.clear()
        self.set_status(error.status_code if isinstance(error, HTTPError) else status_of(error))
        body = self._error_body(self.get_status(), error)
        length = self._content_length()
        if "Expect" in self.request.headers or length is None or length > _PASSED_BYTES:
            # The client sends nothing, or too much.
            self.set_header("Connection", "close")
            self.finish(body)
            return
        self.set_header("Content-Type", "application/json")
        self.set_header("Content-Length", len(body))
        self.write(body)
        self.flush()
        setattr(self, str(self.request.method).lower(), self._end)
        self._refused = asyncio.get_running_loop().call_later(_PASSED_SECONDS, self._end)

    def _end(self, *_: str) -> None:
        if not self._finished:
            self.finish()

    def on_finish(self) -> None:
        """The request is complete."""
        if self._refused is not None:
            self._refused.cancel()

    def on_connection_close(self) -> None:
        """The client has disconnected."""
        super().on_connection_close()
        self.on_finish()

    def _content_length(self) -> int | None:
        """The Content-Length of the body, 0 without one; None if it is not a valid number."""
        said = self.request.headers.get("Content-Length", "0")
        # Python does not parse numbers of more than 4,300 digits.
        return int(said) if re.fullmatch(r"\d{1,18}", said, re.ASCII) else None

    def _checked_body(self) -> int | None:
        """The largest body to read, None for no body; HTTPError if its headers show that it is refused."""
        length = self._content_length()
        if length is None:
            raise HTTPError(400, "Content-Length must be a number of bytes, of at most 18 digits")
        if self.request.method != "POST":
            return None
        maximum = self.body_max_bytes()
        if length > maximum:
            raise _too_large(f"{length:,}", maximum)
        if self.request.headers.get("Content-Encoding", "identity") != "identity":
            raise HTTPError(415, "a compressed body is not accepted; send it uncompressed")
        return maximum

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Errors with advice are one line of the log; errors of the client are not logged."""
        if not isinstance(value, TunixRTError):
            super().log_exception(typ, value, tb)
        elif status_of(value) >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self.log.warning("%s %s: %s", self.request.method, self.request.path, value)

    def _implements(self, method: str) -> bool:
        # Jupyter checks it in the same way.
        return getattr(type(self), method.lower()) is not RequestHandler._unimplemented_method  # noqa: SLF001


class MethodUnknown(HTTPError):
    """The route has other methods."""


def _too_large(size: str, maximum: int) -> HTTPError:
    return HTTPError(413, f"body of {size} bytes exceeds maximum of {maximum:,} bytes")
