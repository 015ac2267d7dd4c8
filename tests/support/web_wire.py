"""HTTP/1.1 as exact bytes: requests that say what no client library would, and a reader that hides nothing."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass, replace

Address = tuple[str, int]
Fields = tuple[tuple[bytes, bytes], ...]

_BODILESS = (204, 304)


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    ``headers`` are without the framing, which follows from ``body``: None sends none, ``chunks`` (sizes, the last one
    repeated) make it chunked. ``bursts`` gives every chunk a write of its own.
    """

    method: str
    target: str
    headers: Fields = ((b"host", b"shop.example"),)
    body: bytes | None = None
    chunks: tuple[int, ...] = ()
    bursts: bool = False
    version: str = "1.1"

    def fields(self) -> Fields:
        """All header fields, in the order sent."""
        if self.body is None:
            return self.headers
        if self.chunks:
            return (*self.headers, (b"transfer-encoding", b"chunked"))
        return (*self.headers, (b"content-length", str(len(self.body)).encode()))

    def wire(self) -> list[bytes]:
        """The bytes, one item a write."""
        lines = [f"{self.method} {self.target} HTTP/{self.version}".encode("ascii")]
        lines += [name + b": " + value for name, value in self.fields()]
        head = b"\r\n".join([*lines, b"", b""])
        if self.body is None:
            return [head]
        if not self.chunks:
            return [head + self.body]
        writes = [head, *(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in self._pieces()), b"0\r\n\r\n"]
        return writes if self.bursts else [b"".join(writes)]

    def _pieces(self) -> list[bytes]:
        assert self.body is not None
        pieces, at, sizes = [], 0, list(self.chunks)
        while at < len(self.body):
            size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
            pieces.append(self.body[at : at + size])
            at += size
        return pieces


@dataclass(frozen=True, slots=True)
class Answer:
    """One response: header names in lower case, in the order sent.

    ``flaw`` says what kept it from being a whole one: it broke off, or there was none.
    """

    status: int
    headers: Fields
    body: bytes
    flaw: str = ""

    def header(self, name: bytes) -> bytes | None:
        """The first value of a field."""
        return next((value for known, value in self.headers if known == name), None)

    def render(self) -> str:
        """For a person to read."""
        lines = [f"{self.status}{f' ({self.flaw})' if self.flaw else ''}"]
        lines += [f"{name.decode('latin-1')}: {value!r}"[:600] for name, value in self.headers]
        return "\n".join([*lines, f"body ({len(self.body)} bytes): {self.body[:4000]!r}"])


class Client:
    """A connection that is kept as long as the server keeps it."""

    def __init__(self, address: Address, timeout: float = 15.0) -> None:
        self._address = address
        self._timeout = timeout
        self._socket: socket.socket | None = None
        self._buffer = b""
        self._used = False

    def connect(self) -> Address:
        """Connects where needed. Returns this end's address."""
        if self._socket is None:
            self._socket = socket.create_connection(self._address, self._timeout)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._buffer, self._used = b"", False
        host, port = self._socket.getsockname()[:2]
        return host, port

    def close(self) -> None:
        """Ends the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ask(self, request: Request) -> Answer:
        """Sends a request and reads its answer. A connection that fails is an answer too, with status 0.

        A kept connection may be closed by the server at any time, so a request that got no byte back on one is asked
        again. That a handler ran for the first of the two would be seen in its journal.
        """
        kept = self._socket is not None and self._used
        answer = self._ask(request)
        if kept and answer.status == 0 and not self._buffer:
            answer = self._ask(request)
        return answer

    def _ask(self, request: Request) -> Answer:
        self.connect()
        assert self._socket is not None
        self._used = True
        try:
            # A server may answer before it has read all; then the rest is refused.
            with contextlib.suppress(ConnectionError):
                for piece in request.wire():
                    self._socket.sendall(piece)
            answer = self._read(request.method == "HEAD")
        except (OSError, ValueError, IndexError) as error:
            self.close()
            return Answer(0, (), b"", f"no answer: {error!r}, read so far: {self._buffer[:300]!r}")
        closing = request.version == "1.0" or answer.header(b"connection") == b"close"
        if closing and not answer.flaw:
            self._await_end()
        if self._buffer:
            answer = replace(answer, flaw=f"bytes behind the answer: {self._buffer[:300]!r}")
        if answer.flaw or closing:
            self.close()
        return answer

    def _await_end(self) -> None:
        """Leaves it to the server to close: to be left by its client is news to an application that still sends."""
        with contextlib.suppress(OSError):
            while self._socket is not None and self._more():
                pass

    def _read(self, head_only: bool) -> Answer:
        status, headers = self._head()
        while status < 200:
            status, headers = self._head()
        answer = Answer(status, headers, b"")
        if head_only or status in _BODILESS:
            return answer
        if (answer.header(b"transfer-encoding") or b"").lower() == b"chunked":
            body, flaw = self._chunked()
        elif (length := answer.header(b"content-length")) is not None:
            body, flaw = self._exactly(int(length))
        else:
            body, flaw = self._rest(), ""
        return replace(answer, body=body, flaw=flaw)

    def _more(self) -> bool:
        assert self._socket is not None
        piece = self._socket.recv(1 << 16)
        self._buffer += piece
        return bool(piece)

    def _head(self) -> tuple[int, Fields]:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if not self._more():
                raise ConnectionError("closed within a head")
        first, *lines = self._buffer[:end].split(b"\r\n")
        self._buffer = self._buffer[end + 4 :]
        pairs = (line.partition(b":") for line in lines)
        return int(first.split(b" ", 2)[1]), tuple((name.lower(), value.strip(b" \t")) for name, _, value in pairs)

    def _exactly(self, size: int) -> tuple[bytes, str]:
        try:
            while len(self._buffer) < size and self._more():
                pass
        except OSError:
            pass
        body, self._buffer = self._buffer[:size], self._buffer[size:]
        return body, "" if len(body) == size else "broken off"

    def _rest(self) -> bytes:
        while self._more():
            pass
        body, self._buffer = self._buffer, b""
        self.close()
        return body

    def _chunked(self) -> tuple[bytes, str]:
        body = b""
        while True:
            try:
                while (end := self._buffer.find(b"\r\n")) < 0:
                    if not self._more():
                        return body, "broken off"
            except OSError:
                return body, "broken off"
            size = int(self._buffer[:end], 16)
            self._buffer = self._buffer[end + 2 :]
            piece, flaw = self._exactly(size + 2)
            body += piece[:size]
            if flaw or size == 0:
                return body, flaw
