"""The plugin that runs another project's tests through the engine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

THEIRS = """
import contextlib
import pytest, fastapi
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

seen = []

@contextlib.asynccontextmanager
async def lifespan(app):
    seen.append("up")
    yield
    seen.append("down")

app = FastAPI(lifespan=lifespan)

@app.post("/who")
async def who(request: Request):
    return [request.client.host, (await request.body()).decode()]

@app.get("/kind")
def kind() -> str:
    return type(app).__name__

@app.get("/fails")
def fails() -> None:
    raise LookupError("theirs")

def test_requests_come_over_a_socket() -> None:
    assert TestClient(app).post("/who", content="body").json() == ["127.0.0.1", "body"]
    assert seen == []

def test_the_kind() -> None:
    assert TestClient(app).get("/kind").json() == KIND

def test_errors_are_raised_here() -> None:
    with pytest.raises(LookupError, match="theirs"):
        TestClient(app).get("/fails")
    assert TestClient(app, raise_server_exceptions=False).get("/fails").status_code == 500

def test_the_lifespan() -> None:
    with TestClient(app) as client:
        assert client.get("/kind").status_code == 200
        assert seen == ["up"]
    assert seen == ["up", "down"]
"""


@pytest.mark.parametrize(("face", "kind"), [("", "FastAPI"), ("1", "FastrAPI")])
def test_testclient_goes_through_the_engine(tmp_path: Path, face: str, kind: str) -> None:
    (tmp_path / "test_theirs.py").write_text(THEIRS.replace("KIND", repr(kind)))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "FASTR_FACE": face}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "support.over_sockets", "-p", "no:faker", "test_theirs.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, "4 passed" in done.stdout) == (0, True), done.stdout + done.stderr
