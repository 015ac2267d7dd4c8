"""A small project under test: an application, its configuration, and pytest runs in it."""

from __future__ import annotations

import json
import os
import textwrap
import uuid
from pathlib import Path
from typing import Any

import pytest

from support.repository import git

APP = """
import os
import sys

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    path = scope["path"]
    total = 0
    for number in range(300 * int(os.environ.get("SHOP_WORK", "1"))):
        total += number
    status = 500 if path == "/broken" else 404 if path == "/missing" else 201 if path == "/made" else 200
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})

def create_app():
    return app
"""

FAST = """
[tool.pytest-fastr]
app = "shop:app"
users = 4
duration = "450ms"
epochs = 3
warmup_max = "300ms"
"""


class Project:
    """The files of a small project, and pytest runs in it."""

    def __init__(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pytester = pytester
        self.path = pytester.path
        self.monkeypatch = monkeypatch
        # Inherited by every process that the run starts: what is left of them can be found by it.
        self.mark = f"fastr-test-{uuid.uuid4()}"
        monkeypatch.setenv("FASTR_TEST_MARK", self.mark)
        monkeypatch.delenv("CI", raising=False)
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.setenv("PYTHONPATH", str(self.path))
        self.write("shop.py", APP)
        self.configure(FAST)

    def write(self, name: str, text: str) -> Path:
        """Writes a file of the project."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def configure(self, text: str) -> None:
        """Writes pyproject.toml."""
        self.write("pyproject.toml", text)

    def test(self, body: str, name: str = "test_perf.py") -> None:
        """Writes a test file."""
        self.write(name, body)

    def make_repository(self) -> None:
        """Makes a git repository of the project, all committed on main, with a cache of its own for worktrees."""
        self.monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        self.monkeypatch.setenv("PYTEST_FASTR_CACHE", str(self.path.parent / "cache"))
        git(self.path, "init", "-q", "-b", "main")
        self.commit()

    def commit(self) -> None:
        """Commits all that there is, but for what runs leave."""
        self.write(".gitignore", "__pycache__\nresult.json\nprivate.txt\nrunpytest-*\nstdout\nstderr\nbaselines\n")
        git(self.path, "add", "-A")
        git(self.path, "commit", "-q", "-m", "a state")

    def run(self, *args: str) -> pytest.RunResult:
        """Runs pytest in a process of its own, without a plugin of a package's package that takes long to start."""
        return self.pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:faker", *args)

    def results(self, *args: str) -> tuple[pytest.RunResult, list[dict[str, Any]]]:
        """Runs pytest with a result file, and reads it."""
        result = self.run("--perf", "--perf-json", "result.json", *args)
        document = json.loads((self.path / "result.json").read_text())
        return result, document["tests"]

    def processes_left(self) -> list[str]:
        """Command lines of processes that the project's runs started and that still live."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if entry.name != str(os.getpid()) and self.mark.encode() in (entry / "environ").read_bytes():
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
        return found
