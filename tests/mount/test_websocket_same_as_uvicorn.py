"""Websockets are served as under uvicorn: the frames on the wire and the events that the application sees are equal.

Differences that are deliberate, each tested below or taken out before the comparison:

* A connection that ends without a close frame is code 1006 (RFC 6455, 7.1.5); uvicorn tells 1005.
* An application that returns from an open websocket closes it with 1000, one that raises with 1011; uvicorn drops the
  connection.
* ``date``, ``server``, and on a denial ``content-type``, which uvicorn adds, and how its body is framed.
* The words of a close reason that the server makes up.
* No compression is negotiated (``permessage-deflate``), which is the server's choice.
* A wrong version of the protocol is answered with 426, as RFC 6455 (4.4) suggests; uvicorn says 400.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from support.frames import BINARY, FIN, PING, TEXT, Frame, RawWebSocket, close_frame, frame

Ports = tuple[int, int]
Talk = Callable[[RawWebSocket], Any]
IDS = itertools.count()


@pytest.fixture(scope="module")
def ports(both_servers: Callable[..., Ports]) -> Ports:
    return both_servers("sockets:app")


@pytest.fixture(scope="module")
def scripted_ports(both_servers: Callable[..., Ports]) -> Ports:
    return both_servers("sockets:scripted")


def answered(websocket: RawWebSocket) -> tuple[int, list[tuple[str, str]], bytes]:
    ignored = {"date", "server", "content-type", "content-length", "transfer-encoding"}
    headers = [(name, value.lower()) for name, value in websocket.headers if name not in ignored]
    return websocket.status, headers, websocket.body


def wordless(frames: list[Frame]) -> list[Frame]:
    """Without reasons of close frames."""
    return [(first, payload[:2] if first == FIN | 0x8 else payload) for first, payload in frames]


def both(ports: Ports, target: str, talk: Talk, *fields: str) -> Any:
    """Holds the same talk with both servers, and returns what came of it, which must be equal."""
    results = []
    for port in ports:
        with RawWebSocket(port, target, *fields) as websocket:
            talked = talk(websocket) if websocket.status == 101 else None
            results.append((answered(websocket), talked))
    oracle, ours = results
    assert ours == oracle
    return ours


def says(*messages: tuple[int, bytes], code: int = 1000, reason: str = "") -> Talk:
    """Sends messages, one answer each, and closes."""

    def talk(websocket: RawWebSocket) -> list[Frame | None]:
        frames: list[Frame | None] = []
        for opcode, payload in messages:
            websocket.send(opcode, payload)
            frames.append(websocket.receive())
        return frames + websocket.close(code, reason)

    return talk


def listens(websocket: RawWebSocket) -> list[Frame]:
    """Takes what comes up to a close frame, answers that, and takes what still comes."""
    frames = []
    while (one := websocket.receive()) is not None:
        frames.append(one)
        if one[0] == FIN | 0x8:
            websocket.send_raw(frame(FIN | 0x8, one[1]))
    return frames


@pytest.mark.parametrize("messages", [
    [(TEXT, b"hello")],
    [(TEXT, "h\u00e9 \U0001f600 \0".encode())],
    [(TEXT, b""), (BINARY, b"")],
    [(BINARY, bytes(range(256)))],
    [(BINARY, b"x" * length) for length in (125, 126, 65_535, 65_536, 1_000_000)],
    [(PING, b"are you there"), (TEXT, b"yes")],
], ids=lambda messages: str([(opcode, len(payload)) for opcode, payload in messages]))  # fmt: skip
def test_messages_are_echoed(ports: Ports, messages: list[tuple[int, bytes]]) -> None:
    both(ports, "/echo", says(*messages))


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "away"), (4999, "caf\u00e9")])
def test_the_client_s_close_is_answered_and_seen(
    ports: Ports, code: int, reason: str, ask: Callable[..., Any], wait_until: Callable[..., None]
) -> None:
    _, frames = both(ports, "/echo", says(code=code, reason=reason))
    assert frames == [(FIN | 0x8, code.to_bytes(2, "big") + reason.encode())]
    wanted = f'"left {code} {reason}"'.encode()
    for port in ports:
        wait_until(lambda port=port: wanted in ask(port, b"GET /seen HTTP/1.1\r\nhost: h\r\n\r\n").body, "the close")


def test_a_close_frame_without_a_code_is_answered_with_one_of_its_kind(ports: Ports) -> None:
    def talk(websocket: RawWebSocket) -> list[Frame]:
        websocket.send(0x8)
        return websocket.rest()

    assert both(ports, "/echo", talk)[1] == [(FIN | 0x8, b"")]


@pytest.mark.parametrize("target", [
    "/close", "/close?code=4321&reason=caf%C3%A9", "/close?code=1013",
])  # fmt: skip
def test_the_application_s_close_is_sent(ports: Ports, target: str) -> None:
    both(ports, target, listens)


@pytest.mark.parametrize("target", ["/reject", "/deny", "/raise-before", "/return-before", "/nowhere"])
def test_a_handshake_is_denied(ports: Ports, target: str) -> None:
    (status, _, _), talked = both(ports, target, listens)
    assert status != 101
    assert talked is None


@pytest.mark.parametrize("fields", [
    [], ["Sec-WebSocket-Protocol: chat"], ["Sec-WebSocket-Protocol: a, b ,c"],
    ["Sec-WebSocket-Protocol: a,b", "Sec-WebSocket-Protocol: c"],
], ids=str)  # fmt: skip
def test_subprotocols_are_offered_and_chosen(ports: Ports, fields: list[str]) -> None:
    both(ports, "/subprotocol", listens, *fields)


@pytest.mark.parametrize("target", ["/scope", "/scope?a=b&c=%20+d", "/%73cope", "/scope?"])
def test_the_scope_is_uvicorns(ports: Ports, target: str) -> None:
    both(ports, target, listens, "X-Mixed: Value", "Cookie: a=1", "Sec-WebSocket-Protocol: one,two")


def test_the_scope_behind_a_prefix_is_uvicorns(both_servers: Callable[..., Ports]) -> None:
    both(both_servers("sockets:app", "/api"), "/scope", listens)


def test_json_and_parameters_work(ports: Ports) -> None:
    def talk(websocket: RawWebSocket) -> list[Frame]:
        websocket.send(TEXT, b'{"a": [1, 2]}')
        return listens(websocket)

    _, frames = both(ports, "/json/tea?times=3", talk)
    assert len(frames) == 4


@pytest.mark.parametrize(("name", "wire"), {
    "fragments": [frame(TEXT, b"one "), frame(FIN | PING, b"p"), frame(0, b"two "), frame(FIN, b"three")],
    "a split character": [frame(TEXT, b"\xe2"), frame(0, b"\x82"), frame(FIN, b"\xac")],
}.items())  # fmt: skip
def test_fragments_are_one_message(ports: Ports, name: str, wire: list[bytes]) -> None:
    def talk(websocket: RawWebSocket) -> list[Frame | None]:
        websocket.send_raw(b"".join(wire[:-1]))
        websocket.send_raw(wire[-1])
        frames = [websocket.receive()]
        # A pong may come first. A close that overtakes the echo makes uvicorn forget it.
        while frames[-1] is not None and frames[-1][0] != FIN | TEXT:
            frames.append(websocket.receive())
        return [*frames, *websocket.close()]

    both(ports, "/echo", talk)


@pytest.mark.parametrize(("name", "wire", "code"), [
    ("unmasked", b"\x81\x02hi", 1002),
    ("reserved bit", frame(FIN | 0x40 | TEXT, b"a"), 1002),
    ("unknown opcode", frame(FIN | 0x3, b"a"), 1002),
    ("unknown control opcode", frame(FIN | 0xB, b"a"), 1002),
    ("continuation of nothing", frame(FIN, b"a"), 1002),
    ("message inside a message", frame(TEXT, b"a") + frame(FIN | TEXT, b"b"), 1002),
    ("fragmented ping", frame(PING, b""), 1002),
    ("long ping", frame(FIN | PING, b"x" * 126), 1002),
    ("close of one byte", frame(FIN | 0x8, b"\x03"), 1002),
    ("close code 1005", close_frame(1005), 1002),
    ("close code 999", close_frame(999), 1002),
    ("no UTF-8", frame(FIN | TEXT, b"\xff"), 1007),
    ("no UTF-8 in a close reason", frame(FIN | 0x8, b"\x03\xe8\xff"), 1007),
    ("too big", b"\x82\xff" + (16 * 1024 * 1024 + 1).to_bytes(8, "big") + b"mask", 1009),
], ids=lambda part: part if isinstance(part, str) else "")  # fmt: skip
def test_what_breaks_the_protocol_closes_with_the_same_code(
    scripted_ports: Ports, name: str, wire: bytes, code: int, ask: Callable[..., Any], wait_until: Callable[..., None]
) -> None:
    def talk(websocket: RawWebSocket) -> list[Frame]:
        websocket.send_raw(wire)
        one = websocket.receive()
        return wordless([one] if one else [])

    target = f"/receive?{next(IDS)}"
    _, frames = both(scripted_ports, target, talk)
    assert frames == [(FIN | 0x8, code.to_bytes(2, "big"))]
    for port in scripted_ports:
        seen = notes(port, target, ask, wait_until)
        assert {"type": "websocket.disconnect", "code": code} in seen


def notes(port: int, target: str, ask: Callable[..., Any], wait_until: Callable[..., None]) -> list[Any]:
    """What the scripted application saw."""
    request = f"GET /?{target.partition('?')[2]} HTTP/1.1\r\nhost: h\r\n\r\n".encode()
    read: Callable[[], list[Any]] = lambda: ast.literal_eval(ask(port, request).body.decode())  # noqa: E731
    wait_until(lambda: read()[-1:] == ["end"], "the end of the script")
    return read()


def events_of_both(
    ports: Ports, path: str, talk: Talk, ask: Callable[..., Any], wait_until: Callable[..., None]
) -> list[Any]:
    target = f"{path}?{next(IDS)}"
    both(ports, target, talk)
    oracle, ours = (notes(port, target, ask, wait_until) for port in ports)
    assert ours == oracle
    return ours


@pytest.mark.parametrize("path", [
    "/close", "/close-without-a-code", "/close-none", "/reject", "/reject-at-once", "/deny", "/deny-in-pieces",
    "/send-before-accept", "/body-before-start", "/unknown-before-accept", "/unknown-after-accept", "/accept-twice",
    "/deny-after-accept", "/http-message", "/accept-during-denial", "/bytes-and-text", "/bytes-none",
    "/bytearray", "/no-type",
])  # fmt: skip
def test_the_application_sees_the_same_events_and_errors(
    scripted_ports: Ports, path: str, ask: Callable[..., Any], wait_until: Callable[..., None]
) -> None:
    events_of_both(scripted_ports, path, listens, ask, wait_until)


def test_messages_and_their_end_are_the_same_events(
    scripted_ports: Ports, ask: Callable[..., Any], wait_until: Callable[..., None]
) -> None:
    def talk(websocket: RawWebSocket) -> list[Frame]:
        for opcode, payload in [(TEXT, b"a"), (BINARY, b"b"), (TEXT, b""), (PING, b""), (BINARY, b"")]:
            websocket.send(opcode, payload)
        return websocket.close(4000, "done")

    seen = events_of_both(scripted_ports, "/receive-many", talk, ask, wait_until)
    assert [one["type"].rpartition(".")[2] for one in seen if isinstance(one, dict)] == [
        "connect", "receive", "receive", "receive", "receive", "disconnect",
    ]  # fmt: skip


def test_an_end_without_a_close_frame_is_1006(
    scripted_ports: Ports, ask: Callable[..., Any], wait_until: Callable[..., None]
) -> None:
    codes = []
    for port in scripted_ports:
        target = f"/receive?{next(IDS)}"
        with RawWebSocket(port, target):
            pass
        *_, gone, _ = notes(port, target, ask, wait_until)
        codes.append(gone["code"])
    assert codes == [1005, 1006]


@pytest.mark.parametrize("change", [
    ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Key: short"),
    ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "X: y"),
    ("Sec-WebSocket-Version: 13", "X: y"),
])  # fmt: skip
def test_a_handshake_that_is_none_is_refused(ports: Ports, ask: Callable[..., Any], change: tuple[str, str]) -> None:
    head = (
        "GET /echo HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    request = head.replace(*change).encode()
    assert [ask(port, request).status for port in ports] == [400, 400]


def test_a_wrong_version_is_told_the_right_one(ports: Ports, ask: Callable[..., Any]) -> None:
    request = (
        b"GET /echo HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    oracle, ours = (ask(port, request) for port in ports)
    assert oracle.status == 400
    assert (ours.status, ours.header("sec-websocket-version")) == (426, "13")
