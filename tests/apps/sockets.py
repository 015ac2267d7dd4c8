"""Websockets: an everyday FastAPI application, and one that follows a script and notes what it sees."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect

# The server's; the framework adds others.
SCOPE_KEYS = (
    "type", "asgi", "http_version", "scheme", "path", "raw_path", "query_string", "root_path", "headers",
    "subprotocols", "extensions",
)  # fmt: skip

app = FastAPI()
seen: list[str] = []


@app.get("/seen")
async def read_seen() -> list[str]:
    return seen


@app.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            message = await websocket.receive()
            if "text" in message:
                await websocket.send_text(message["text"])
            elif "bytes" in message:
                await websocket.send_bytes(message["bytes"])
            else:
                raise WebSocketDisconnect(message["code"], message.get("reason"))
    except WebSocketDisconnect as error:
        seen.append(f"left {error.code} {error.reason}")


@app.websocket("/json/{name}")
async def json(websocket: WebSocket, name: str, times: int = 1) -> None:
    await websocket.accept()
    message = await websocket.receive_json()
    for _ in range(times):
        await websocket.send_json({"name": name, "got": message})
    await websocket.close()


@app.websocket("/subprotocol")
async def subprotocol(websocket: WebSocket) -> None:
    offered = websocket.scope["subprotocols"]
    await websocket.accept(offered[-1] if offered else None, [(b"x-one", b"1"), (b"set-cookie", b"a=b")])
    await websocket.send_text(repr(offered))
    await websocket.close()


@app.websocket("/scope")
async def scope(websocket: WebSocket) -> None:
    await websocket.accept()
    told = {key: websocket.scope[key] for key in SCOPE_KEYS}
    await websocket.send_text(repr(told))
    await websocket.close()


@app.websocket("/close")
async def close(websocket: WebSocket, code: int = 1000, reason: str | None = None) -> None:
    await websocket.accept()
    await websocket.close(code, reason)


@app.websocket("/reject")
async def reject(websocket: WebSocket) -> None:
    await websocket.close(4000)


@app.websocket("/deny")
async def deny(websocket: WebSocket) -> None:
    body = b"not you" * 10
    await websocket.send_denial_response(Response(body, 418, {"x-why": "because"}, "text/plain"))


@app.websocket("/raise-before")
async def raise_before(websocket: WebSocket) -> None:
    raise ValueError("before")


@app.websocket("/return-before")
async def return_before(websocket: WebSocket) -> None:
    """Neither accepts nor denies."""


@app.middleware("http")
async def middleware(request: Request, call_next: Any) -> Any:
    return await call_next(request)


# ---- the script -----------------------------------------------------------------------------------------------------

ACCEPT = {"type": "websocket.accept"}
CLOSE = {"type": "websocket.close"}
TEXT = {"type": "websocket.send", "text": "hi"}
DENY = {"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-a", b"b")]}
BODY = {"type": "websocket.http.response.body", "body": b"no"}
RECEIVE = {"type": "receive"}

SCRIPTS: dict[str, list[dict[str, Any]]] = {
    "/receive": [RECEIVE, ACCEPT, RECEIVE, RECEIVE],
    "/receive-many": [RECEIVE, ACCEPT, *[RECEIVE] * 6],
    "/close": [RECEIVE, ACCEPT, {**CLOSE, "code": 3001, "reason": "enough"}, RECEIVE],
    "/close-without-a-code": [RECEIVE, ACCEPT, CLOSE, RECEIVE],
    "/close-none": [RECEIVE, ACCEPT, {**CLOSE, "code": 1000, "reason": None}, RECEIVE],
    "/reject": [RECEIVE, CLOSE, RECEIVE],
    "/reject-at-once": [CLOSE],
    "/deny": [RECEIVE, DENY, BODY, RECEIVE],
    "/deny-in-pieces": [DENY, {**BODY, "more_body": True}, BODY],
    "/send-before-accept": [RECEIVE, TEXT, ACCEPT, TEXT, CLOSE],
    "/body-before-start": [RECEIVE, BODY, ACCEPT, CLOSE],
    "/unknown-before-accept": [RECEIVE, {"type": "websocket.wave"}, ACCEPT, CLOSE],
    "/unknown-after-accept": [RECEIVE, ACCEPT, {"type": "websocket.wave"}, CLOSE],
    "/accept-twice": [RECEIVE, ACCEPT, ACCEPT, CLOSE],
    "/deny-after-accept": [RECEIVE, ACCEPT, DENY, CLOSE],
    "/http-message": [RECEIVE, {"type": "http.response.start", "status": 200}, ACCEPT, CLOSE],
    "/accept-during-denial": [RECEIVE, DENY, ACCEPT, BODY],
    "/invalid-close-code": [RECEIVE, ACCEPT, {**CLOSE, "code": 1005}, CLOSE],
    "/bytes-and-text": [RECEIVE, ACCEPT, {**TEXT, "bytes": b"bytes first"}, CLOSE],
    "/bytes-none": [RECEIVE, ACCEPT, {**TEXT, "bytes": None}, CLOSE],
    "/bytearray": [RECEIVE, ACCEPT, {"type": "websocket.send", "bytes": bytearray(b"array")}, CLOSE],
    "/no-type": [RECEIVE, {}, ACCEPT, CLOSE],
}
# uvicorn answers some by what has happened on the wire meanwhile: these are asked of one server only.
AFTER_CLOSE = [RECEIVE, ACCEPT, CLOSE, TEXT, CLOSE, ACCEPT]
SCRIPTS["/after-close"] = AFTER_CLOSE
SCRIPTS["/after-reject"] = [CLOSE, ACCEPT, TEXT]

notes: dict[str, list[Any]] = {}


def kind(error: BaseException) -> str:
    for known in (OSError, RuntimeError, TypeError, KeyError):
        if isinstance(error, known):
            return known.__name__
    return type(error).__name__


async def scripted(scope: Any, receive: Any, send: Any) -> None:
    """Follows the script of its path; ``?id`` names the notes, which ``GET /?id`` reads."""
    key = scope["query_string"].decode()
    if scope["type"] == "http":
        body = repr(notes.get(key, [])).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})
        return
    if scope["type"] != "websocket":
        raise NotImplementedError(scope["type"])
    note = notes.setdefault(key, [])
    for step in SCRIPTS[scope["path"]]:
        if step is RECEIVE:
            event = await receive()
            if event["type"] == "websocket.disconnect":
                # Reasons are the server's words where the client gave none.
                note.append({"type": event["type"], "code": int(event["code"])})
                break
            note.append(event)
            continue
        try:
            await send(step)
        except Exception as error:
            note.append(kind(error))
        else:
            note.append("sent")
    note.append("end")
