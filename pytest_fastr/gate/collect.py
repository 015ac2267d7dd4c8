"""Which tests exist, by asking pytest in a process of its own: `collected` is the plugin in it that answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_fastr.errors import ConfigError
from pytest_fastr.gate.collected import ANSWER

_NOTHING_COLLECTED = 5
_SAID_LINES = 12


@dataclass(frozen=True, slots=True)
class Collected:
    """What pytest found, before any selection of its configuration."""

    tests: frozenset[str]
    """Node ids."""
    skipped: frozenset[str]
    """Node ids of modules and folders that were skipped as a whole: what is in them is not known."""

    def is_gone(self, nodeid: str) -> bool:
        """Whether there is no such test; what was not looked into is not gone."""
        module = nodeid.partition("::")[0]
        # A second measurement of a test has the name of its request behind the test's: `test_x [GET /b]`.
        names = [nodeid, *(nodeid[:at] for at in range(len(nodeid)) if nodeid.startswith(" [", at))]
        if any(name in self.tests for name in names):
            return False
        return not any(module == skipped or module.startswith(f"{skipped}/") for skipped in self.skipped)


def collect(root: Path, nodeids: Collection[str]) -> Collected:
    """Asks for all tests, and where stored ones lie in existing files in which none was found, for those files too.

    Raises ConfigError where pytest fails or finds nothing at all, so that nothing passes for gone.
    """
    tests, skipped = _ask(root, [])
    found = {test.partition("::")[0] for test in tests} | skipped
    files = {nodeid.partition("::")[0] for nodeid in nodeids} - found
    there = sorted(file for file in files if (root / file).is_file())
    if there:
        more, more_skipped = _ask(root, there, may_be_empty=True)
        tests, skipped = tests | more, skipped | more_skipped
    return Collected(frozenset(tests), frozenset(skipped))


def _ask(root: Path, files: Sequence[str], *, may_be_empty: bool = False) -> tuple[set[str], set[str]]:
    with tempfile.TemporaryDirectory(prefix="pytest-fastr-") as folder:
        answer = Path(folder, "answer.json")
        # A selection of the configuration (-m, -k in addopts) does not matter: tests are noted before it.
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "pytest_fastr.gate.collected"]
        done = subprocess.run(
            [*command, f"--rootdir={root}", *files],
            cwd=root,
            env={**os.environ, ANSWER: str(answer)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        try:
            document = json.loads(answer.read_bytes())
        except (OSError, ValueError):
            document = {"tests": [], "skipped": []}
    tests, skipped = set(document["tests"]), set(document["skipped"])
    empty = done.returncode == _NOTHING_COLLECTED or (done.returncode == 0 and not tests)
    if done.returncode not in (0, _NOTHING_COLLECTED) or (empty and not may_be_empty and not tests):
        why = "finds no test" if empty else f"cannot collect the tests (exit code {done.returncode})"
        said = [*done.stdout.splitlines(), *done.stderr.splitlines()][-_SAID_LINES:]
        raise ConfigError(
            f"pytest {why} in {root}, so which tests are gone is not known, and nothing was removed; mend what "
            "`pytest --collect-only` says:\n" + "\n".join(f"  {line}" for line in said)
        )
    return tests, skipped
