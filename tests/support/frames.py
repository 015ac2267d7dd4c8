"""A websocket client of raw frames, which sends what it is told and hides nothing of what comes."""

from __future__ import annotations

import contextlib
import itertools
import socket
from types import TracebackType

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
FIN = 0x80
PATIENCE_SECONDS = 20.0

Frame = tuple[int, bytes]


def frame(first: int, payload: bytes = b"") -> bytes:
    """A masked frame; ``first`` is its first byte."""
    mask = b"\x37\xfa\x21\x3d"
    length = len(payload)
    if length < 126:
        head = bytes([first, 0x80 | length])
    elif length < 1 << 16:
        head = bytes([first, 0xFE]) + length.to_bytes(2, "big")
    else:
        head = bytes([first, 0xFF]) + length.to_bytes(8, "big")
    key = int.from_bytes(mask * (length // 4 + 1), "big") >> (8 * (4 - length % 4))
    return head + mask + (int.from_bytes(payload, "big") ^ key).to_bytes(length, "big")


def close_frame(code: int, reason: str = "") -> bytes:
    return frame(FIN | CLOSE, code.to_bytes(2, "big") + reason.encode())


class RawWebSocket:
    """One connection, after its handshake was sent. ``status``, ``headers`` and ``body`` are the answer's."""

    def __init__(self, port: int, target: str = "/", *fields: str, behind: bytes = b"") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        lines = [
            f"GET {target} HTTP/1.1", "Host: shop.example", "Connection: Upgrade", "Upgrade: websocket",
            "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", *fields, "", "",
        ]  # fmt: skip
        self.socket.sendall("\r\n".join(lines).encode("latin-1") + behind)
        head, *fields_answered = self._head().split("\r\n")
        self.status = int(head.split(" ")[1])
        pairs = (field.partition(":") for field in fields_answered)
        self.headers = sorted((name.lower(), value.strip()) for name, _, value in pairs)
        self.body = b""
        if self.status != 101:
            self.body = self._body()

    def __enter__(self) -> RawWebSocket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.socket.close()

    def header(self, name: str) -> str | None:
        return next((value for known, value in self.headers if known == name), None)

    def _fill(self) -> bool:
        try:
            piece = self.socket.recv(1 << 16)
        except ConnectionError:
            return False
        self._buffer += piece
        return bool(piece)

    def _head(self) -> str:
        while b"\r\n\r\n" not in self._buffer:
            assert self._fill(), f"the connection ended after {self._buffer!r}"
        head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        return head.decode("latin-1")

    def _body(self) -> bytes:
        while self._fill():
            pass
        if self.header("transfer-encoding") != "chunked":
            return self._buffer
        body, rest = b"", self._buffer
        while True:
            length, _, rest = rest.partition(b"\r\n")
            size = int(length or b"0", 16)
            if not size:
                return body
            body, rest = body + rest[:size], rest[size + 2 :]

    def _take(self, length: int) -> bytes | None:
        pieces, have = [self._buffer], len(self._buffer)
        while have < length:
            try:
                piece = self.socket.recv(1 << 16)
            except ConnectionError:
                return None
            if not piece:
                return None
            pieces.append(piece)
            have += len(piece)
        whole = b"".join(pieces)
        self._buffer = whole[length:]
        return whole[:length]

    def send(self, opcode: int, payload: bytes = b"") -> None:
        self.socket.sendall(frame(FIN | opcode, payload))

    def send_raw(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            self.socket.sendall(data)

    def receive(self) -> Frame | None:
        """The next frame: its first byte and its payload. None at the connection's end."""
        head = self._take(2)
        if head is None:
            return None
        length = head[1]
        if length >= 126:
            longer = self._take(2 if length == 126 else 8)
            assert longer is not None
            length = int.from_bytes(longer, "big")
        payload = self._take(length)
        return None if payload is None else (head[0], payload)

    def rest(self) -> list[Frame]:
        """All frames up to the connection's end."""
        return list(itertools.takewhile(lambda one: one is not None, iter(self.receive, None)))

    def close(self, code: int = 1000, reason: str = "") -> list[Frame]:
        """Closes, and returns what still came."""
        self.send_raw(close_frame(code, reason))
        return self.rest()
