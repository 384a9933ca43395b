"""A reply that is written by a thread, as fast as its client reads it."""

import asyncio
import io
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

# How much of a reply is in memory.
_PIECE_BYTES = 2**20
# A client that reads nothing for longer than this would block a thread.
_PATIENCE_SECONDS = 60.0


class ReplyStream(io.RawIOBase):
    """The body of a reply as an open file; writing raises OSError if the client is gone, or reads nothing for 60 s."""

    def __init__(self, reply: RequestHandler) -> None:
        self._reply = reply
        self._loop = asyncio.get_running_loop()
        self.begun = False
        self._gone: asyncio.Future[None] = self._loop.create_future()

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: Any) -> int:
        """Sends a piece of the bytes, and returns how many; called in a thread."""
        piece = memoryview(data).cast("B")[:_PIECE_BYTES]
        asyncio.run_coroutine_threadsafe(self._send(bytes(piece)), self._loop).result()
        return len(piece)

    def lose(self) -> None:
        """The client is gone; called in the event loop."""
        if not self._gone.done():
            self._gone.set_result(None)

    def cut(self) -> None:
        """Closes the connection, so that the client sees that the reply is incomplete; called in the event loop."""
        if not self._gone.done():
            self._gone.set_result(None)
            self._reply.detach().close()

    async def _send(self, piece: bytes) -> None:
        if not self._gone.done():
            self.begun = True
            self._reply.write(piece)
            # A flush into a connection that closes meanwhile may never complete.
            flushed = asyncio.ensure_future(self._reply.flush())
            await asyncio.wait((flushed, self._gone), timeout=_PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if flushed.done() and not self._gone.done():
                return flushed.result()
        raise StreamClosedError
