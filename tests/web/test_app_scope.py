"""Dependencies of which there is one value for the life of an application."""

from __future__ import annotations

import asyncio
import http.client
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI

from pytest_fastr import Server, StartupError
from pytest_fastr.web import FastrAPI, app_scope

events: list[str] = []


@app_scope
def made() -> Iterator[str]:
    events.append("made")
    yield "value"
    events.append("ended")


@app_scope
async def made_async() -> AsyncIterator[int]:
    await asyncio.sleep(0)
    events.append("made async")
    yield 7
    events.append("ended async")


@app_scope
def fails() -> None:
    raise OSError("no database")


Made = Annotated[str, Depends(made)]
MadeAsync = Annotated[int, Depends(made_async)]


def nested(one: MadeAsync) -> list[int]:
    return [one]


def get(server: Server, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=20)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def make() -> FastrAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, int]]:
        events.append("up")
        yield {"state": 1}
        events.append("down")

    app = FastrAPI(lifespan=lifespan)

    @app.get("/one/{x}")
    async def one(x: int, value: Made) -> list[Any]:
        return [x, value]

    @app.get("/twice")
    async def twice(first: MadeAsync, second: MadeAsync) -> list[int]:
        return [first, second]

    @app.get("/nested")
    def through(values: Annotated[list[int], Depends(nested)]) -> list[int]:
        return values

    return app


@pytest.mark.parametrize("mount", ["native", "asgi"])
def test_a_value_is_made_once_and_ended_when_the_server_stops(mount: Any) -> None:
    for _ in range(2):  # and made anew by the next server
        events.clear()
        with Server(make(), mount=mount) as server:
            assert [get(server, "/one/3") for _ in range(3)] == [(200, b'[3,"value"]')] * 3
            assert get(server, "/nested") == (200, b"[7]")
            assert get(server, "/twice") == (200, b"[7,7]")
            assert events == ["up", "made", "made async"]
        assert events == ["up", "made", "made async", "ended async", "ended", "down"]


def test_it_lives_as_long_as_the_last_application_that_uses_it() -> None:
    events.clear()
    with Server(make()) as one:
        with Server(make()) as other:
            assert get(one, "/one/3") == get(other, "/one/3") == (200, b'[3,"value"]')
        assert get(one, "/one/3") == (200, b'[3,"value"]')
        assert events.count("made") == 1
        assert "ended" not in events
    assert events.count("ended") == events.count("ended async") == 1


def test_it_costs_a_route_no_lane() -> None:
    app = make()
    lanes = {one.path: one.lane for one in app.lanes()}
    assert (lanes["/one/{x}"], lanes["/nested"]) == ("typed", "full")
    with Server(app) as server:
        get(server, "/one/3")
        assert server.native_counts()["compiled"] == 1


def test_it_can_be_overridden() -> None:
    app = make()
    with Server(app) as server:
        app.dependency_overrides[made] = lambda: "other"
        assert get(server, "/one/3") == (200, b'[3,"other"]')
        app.dependency_overrides.clear()
        assert get(server, "/one/3") == (200, b'[3,"value"]')


def test_a_route_added_later_gets_its_value_too() -> None:
    app = FastrAPI()

    @app.get("/add")
    async def add() -> None:
        @app.get("/late")
        async def late(value: Made) -> str:
            return value

    events.clear()
    with Server(app) as server:
        assert get(server, "/add")[0] == 200
        assert events == []
        assert get(server, "/late") == (200, b'"value"')
    assert events == ["made", "ended"]


def test_what_cannot_be_made_stops_the_start() -> None:
    app = FastrAPI()

    @app.get("/")
    async def handler(value: Annotated[None, Depends(fails)]) -> None: ...

    with pytest.raises(StartupError, match="no database"), Server(app):
        pass


def test_an_application_that_was_not_started_says_so() -> None:
    with pytest.raises(RuntimeError, match="the application has not been started"):
        _ = made.value
    app = FastAPI()

    @app.get("/")
    async def handler(value: Made) -> str:
        return value

    with Server(app, mount="asgi") as server:
        assert get(server, "/")[0] == 500


def test_it_takes_no_arguments() -> None:
    with pytest.raises(TypeError, match="it takes size, but is given nothing"):
        app_scope(lambda size: size)


def test_uvicorn_runs_it_as_well() -> None:
    code = (
        "import asyncio, uvicorn, sys; sys.path.insert(0, sys.argv[1]); from test_app_scope import make, events\n"
        "async def main():\n"
        "    server = uvicorn.Server(uvicorn.Config(make(), port=0, log_level='error'))\n"
        "    task = asyncio.create_task(server.serve())\n"
        "    while not server.started: await asyncio.sleep(0.01)\n"
        "    port = server.servers[0].sockets[0].getsockname()[1]\n"
        "    reader, writer = await asyncio.open_connection('127.0.0.1', port)\n"
        "    writer.write(b'GET /one/3 HTTP/1.1\\r\\nhost: h\\r\\nconnection: close\\r\\n\\r\\n')\n"
        "    print((await reader.read()).splitlines()[-1]); writer.close()\n"
        "    server.should_exit = True; await task; print(events)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(__file__).rpartition("/")[0]], capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == [
        """b'[3,"value"]'""", "['up', 'made', 'made async', 'ended async', 'ended', 'down']",
    ], done.stderr  # fmt: skip
