"""docs/tutorial.md, followed step by step: its files written, its commands run, its exit codes and words expected."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from support.github_api import fake_github

ROOT = Path(__file__).parents[1]
TUTORIAL = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHA = "a" * 40  # the commit that the imitation has


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the word behind it (a file, or the exit code), and its text."""

    language: str
    word: str
    text: str


def blocks() -> list[Block]:
    return [Block(*match) for match in BLOCK.findall(TUTORIAL.read_text())]


class Reader:
    """Follows the page in a folder, with the commands of this interpreter."""

    def __init__(self, folder: Path, commands: Path) -> None:
        self.folder = folder
        self.output = ""
        self.told: list[str] = []
        commands.mkdir()
        # What the page installs is there.
        pip = '[ "$1 $2 $3" = "-m pip install" ] && shift 3 && exec "$0" -c "import fastapi, pytest_fastr"\n'
        for name, before, module in (("python", pip, ""), ("pytest", "", "-m pytest"),
                                     ("pytest-fastr", "", "-m pytest_fastr.cli")):  # fmt: skip
            script = commands / name
            script.write_text(f'#!/bin/sh\n{before}exec "{sys.executable}" {module} "$@"\n')
            script.chmod(0o755)
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "PYTEST_", "CI"))},
            "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
            "PYTEST_FASTR_CACHE": str(commands / "cache"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "COLUMNS": "80",
            **{f"GIT_{role}_{what}": f"{role}@example.org".lower()
               for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }  # fmt: skip

    def follow(self, block: Block) -> None:
        """Does what the block says."""
        if block.language == "console":
            self._run(block)
        elif block.language == "text":
            self._expect(block)
        else:
            path = self.folder / block.word
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)

    def _run(self, block: Block) -> None:
        commands = [line.removeprefix("$ ") for line in block.text.splitlines()]
        expected = int(block.word.removeprefix("exit=") or "0")
        self.output = ""
        for number, command in enumerate(commands):
            done = self.run(command)
            self.output += done.stdout + done.stderr
            # A block that is red is so by its first command; the others look at what that left.
            assert done.returncode == (expected if number == 0 else 0), f"{command}\n{done.stdout}{done.stderr}"

    def run(self, command: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Runs one line in the folder."""
        return subprocess.run(
            ["sh", "-c", command], cwd=self.folder, env={**self.env, **env}, capture_output=True, text=True
        )

    def _expect(self, block: Block) -> None:
        seen = {_words(line) for line in self.output.splitlines()}
        for line in block.text.splitlines():
            # Which functions the sampler meets most differs from run to run.
            if " us a request" not in line:
                assert _words(line) in seen, f"{line!r} in\n{self.output}"
                self.told.append(line)


def _words(line: str) -> str:
    """The line without its numbers and what goes with their size: signs, units, blanks."""
    line = re.sub(r"\(\w{8}\)", "(commit)", line)
    line = re.sub(r"[-+]?(?:more than )?\d[\d,.]*(?: (?:[num]?s|%)(?![/\w]))?", "#", line)
    return re.sub(r"\s+", " ", line).strip()


def test_the_page_holds_what_it_says(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    reader = Reader(folder, tmp_path / "bin")
    for block in blocks():
        reader.follow(block)
    assert any("regressed against main" in line for line in reader.told)
    assert any("CPU per request rose by" in line for line in reader.told)
    assert "difflib.py:SequenceMatcher" in (folder / "report.html").read_text()
    _becomes_a_red_pull_request(reader)


def _becomes_a_red_pull_request(reader: Reader) -> None:
    event = reader.folder / "event.json"
    head = {"sha": SHA, "repo": {"full_name": "acme/shop"}}
    event.write_text(json.dumps({"pull_request": {"number": 5, "head": head}}))
    with fake_github() as hub:
        hub.pull(5, "acme:nearly-right", SHA)
        done = reader.run(
            "pytest-fastr github report result.json",
            GITHUB_API_URL=hub.url,
            GITHUB_SERVER_URL="https://github.com",
            GITHUB_REPOSITORY=hub.repository,
            GITHUB_EVENT_NAME="pull_request",
            GITHUB_EVENT_PATH=str(event),
            GITHUB_SHA=SHA,
            GITHUB_RUN_ID="77",
            GITHUB_TOKEN="good",
            GITHUB_STEP_SUMMARY=str(reader.folder / "summary.md"),
        )
        assert done.returncode == 1, done.stdout + done.stderr
        assert [run["conclusion"] for run in hub.checks] == ["failure"]
        (comment,) = hub.comments
        assert "regressed" in comment["body"]


def test_the_page_s_workflow_is_the_one_that_is_linted_but_for_its_comments() -> None:
    pasted = next(block.text for block in blocks() if block.word.endswith("performance.yml"))
    linted = (ROOT / "docs/examples/performance.yml").read_text()
    shown = [line for line in pasted.splitlines() if line.strip() and "pip install" not in line]
    assert [line for line in shown if line not in linted.splitlines()] == []
