"""The other side of a paired run: another git ref, checked out, prepared, and served by the same command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from pytest_fastr.apps import CommandApp, UrlApp
from pytest_fastr.config import Config
from pytest_fastr.errors import RefError
from pytest_fastr.gate.cache import cache_folder
from pytest_fastr.gate.epochs import AppSource
from pytest_fastr.gate.model import ValidityNote
from pytest_fastr.gate.ref import Ref, current_commit
from pytest_fastr.gate.ref_changes import compare_tests, gate_changes, has_test, lock_differences, perf_tests
from pytest_fastr.gate.worktree import Worktree
from pytest_fastr.load import RequestSpec
from pytest_fastr.mount import Launch
from pytest_fastr.mount.moved import Moved, is_code_of

_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Against:
    """Another ref as the baseline's side. Made early, so that a misspelt ref costs nothing; checked out when there is
    something to measure."""

    def __init__(self, ref: Ref, config: Config, rootdir: Path, python: str | None = None) -> None:
        self._ref = ref
        self._config = config
        self._rootdir = rootdir
        self._python = python
        self._worktree: Worktree | None = None
        self._used: set[str] = set()
        self._old_names: Mapping[str, str] = {}
        self.is_tested = True
        """Whether the ref has any perf test."""
        self.changes: tuple[str, ...] = ()
        """What differs between the two sides besides the code: sentences."""
        if python is not None:
            _refuse_other_version(python)

    @property
    def title(self) -> str:
        """``main (1a2b3c4d)``."""
        short = self._ref.commit[:8]
        return short if self._ref.commit.startswith(self._ref.name) else f"{self._ref.name} ({short})"

    def check_out(self, env: Mapping[str, str], show: Callable[[str], None]) -> None:
        """Makes the checkout and prepares it. Raises RefError."""
        config = self._config.against
        self._worktree = Worktree.check_out(
            self._ref, cache_folder(env), prepare=config.prepare, copy=config.copy, show=show
        )
        self.changes = tuple(self._changes())

    def close(self) -> None:
        """Removes the checkout."""
        if self._worktree is not None:
            self._worktree.remove()
            self._worktree = None

    def candidate(self, source: AppSource) -> AppSource:
        """The working tree's side of a pair."""
        if source.is_object or isinstance(source.app, UrlApp):
            return source
        env = self._env("candidate")
        if isinstance(source.app, CommandApp):
            env = with_import_path(env, source.launch, self._ref.toplevel)
        return replace(source, root=self._ref.toplevel, launch=replace(source.launch, env=env))

    def baseline(self, candidate: AppSource) -> AppSource:
        """The other ref's side: the same application, from its checkout."""
        if isinstance(candidate.app, CommandApp):
            return self._baseline_command(candidate, candidate.app)
        moved = self._moved()
        here = Path.cwd()
        cwd = next((place for place in map(moved.place, (here, self._rootdir)) if place.is_dir()), moved.copy)
        path = [str(moved.place(Path(entry))) for entry in candidate.launch.path]
        if self._python is not None:
            # What is installed for this interpreter is not for that one.
            path = [entry for entry in path if Path(entry).is_relative_to(moved.copy)]
        launch = replace(
            candidate.launch,
            env=self._env("baseline"),
            path=path,
            python=self._python or candidate.launch.python,
            cwd=str(cwd),
            moved=(str(moved.checkout), str(moved.copy)),
        )
        return replace(candidate, root=moved.copy, launch=launch)

    def _baseline_command(self, candidate: AppSource, app: CommandApp) -> AppSource:
        """The same command, from its folder in the checkout."""
        moved, launch = self._moved(), candidate.launch
        if self._python is not None and not any("{python}" in word for word in app.argv):
            raise RefError(
                f"--perf-against-python says which interpreter {self.title} is served by, and the command does not ask "
                f"for it: begin it with {{python}} -m, or leave the option out: {app}"
            )
        cwd = moved.place(Path(launch.cwd or self._rootdir))
        if not cwd.is_dir():
            raise RefError(f"{self.title} has no folder {app.cwd!r}, which the command runs in")
        there = replace(
            launch, cwd=str(cwd), root=str(moved.place(self._rootdir)), python=self._python or launch.python,
            path=[str(moved.place(Path(entry))) for entry in launch.path],
        )  # fmt: skip
        env = self._env("baseline")
        leading = env.get("PYTHONPATH", os.environ.get("PYTHONPATH", "")).split(os.pathsep)
        env = {**env, "PYTHONPATH": os.pathsep.join(str(moved.place(Path(one))) for one in leading if one)}
        return replace(candidate, root=moved.copy, launch=replace(there, env=with_import_path(env, there, moved.copy)))

    def has_test(self, nodeid: str) -> bool:
        """Whether the ref has the test, whatever its parameters, and be it by another name."""
        path, colons, name = nodeid.partition("::")
        function = colons + name.partition("[")[0].rstrip()
        if path + function in self._old_names:
            return True
        inside = (self._rootdir / path).resolve()
        if not inside.is_relative_to(self._ref.toplevel):
            return False
        return has_test(self._moved().copy, inside.relative_to(self._ref.toplevel).as_posix() + function)

    def is_first_use(self, source: AppSource) -> bool:
        """Whether this application is asked for for the first time."""
        known = source.key in self._used
        self._used.add(source.key)
        return not known

    def notes_on(self, request: RequestSpec) -> tuple[ValidityNote, ...]:
        """What makes a comparison of this request doubtful."""
        if request.method not in _WRITES or self._env("baseline") != self._env("candidate"):
            return ()
        message = (
            f"{request.method} writes, and both sides have the same environment: where it leads to one database, each "
            "side's rows slow the other; give each its own in [tool.pytest-fastr.against] `env`"
        )
        return (ValidityNote("warn", "shared-state", message),)

    def _env(self, side: Literal["baseline", "candidate"]) -> Mapping[str, str]:
        """What is added to the environment of a side's servers."""
        return {**self._config.env, **self._config.against.env.get(side, {})}

    def _moved(self) -> Moved:
        assert self._worktree is not None  # checked out before anything is measured
        return self._worktree.moved

    def _changes(self) -> list[str]:
        moved = self._moved()
        before, now = moved.place(self._rootdir), self._rootdir
        locks = lock_differences(moved.copy, self._ref.toplevel)
        said = []
        if self._ref.commit == current_commit(self._rootdir):
            said.append(f"{self.title} is the commit that is checked out here: only what is not committed differs")
        if locks:
            said.append(
                f"{', '.join(locks)} differ{'s' if len(locks) == 1 else ''} from {self.title}'s, and both sides run "
                "with the packages installed here (another interpreter for the ref: --perf-against-python)"
            )
        said += gate_changes(before, now, self._config.baselines)
        theirs = perf_tests(before)
        # The cache folder may be in the project.
        ours = {
            name: one for name, one in perf_tests(now).items() if not (now / name).is_relative_to(moved.copy.parent)
        }
        tests = compare_tests(theirs, ours)
        self._old_names = {new: old for old, new in tests.renamed}
        self.is_tested = bool(theirs)
        said += [f"{test} is new: {self.title} does not have it" for test in tests.new]
        said += [f"{test} was removed: {self.title} has it, and it is not measured any more" for test in tests.removed]
        said += [f"{new} was {old}" for old, new in tests.renamed]
        return said


def with_import_path(env: Mapping[str, str], launch: Launch, checkout: Path) -> Mapping[str, str]:
    """The environment of a command on one side of a pair, with that side's folders in front of PYTHONPATH: the one it
    runs in, then those along the tests' import path that lie in the checkout.

    Without them a source folder that an editable install leads to would be the working tree's on both sides.
    """
    own = [entry for entry in launch.path if is_code_of(Path(entry), checkout.resolve())]
    given = env.get("PYTHONPATH", os.environ.get("PYTHONPATH", "")).split(os.pathsep)
    # What is given relative to the tests' folder must not become relative to the command's.
    path = dict.fromkeys(os.path.abspath(entry) for entry in (launch.cwd, *own, *given) if entry)
    return {**env, "PYTHONPATH": os.pathsep.join(path)}


def _refuse_other_version(python: str) -> None:
    """Raises RefError where that interpreter has no pytest-fastr, or another one: servers must be started alike."""
    ask = "import importlib.metadata as m, pytest_fastr._native; print(m.version('pytest-fastr'))"
    # Not from the folder that pytest was started in.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        done = subprocess.run(
            [python, "-c", ask], capture_output=True, text=True, timeout=60, check=False, env=env, cwd=sys.base_prefix
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise RefError(f"--perf-against-python {python}: it cannot be run: {error}") from None
    found, here = done.stdout.strip(), version("pytest-fastr")
    if done.returncode != 0:
        raise RefError(f"--perf-against-python {python}: it has no pytest-fastr; install {here} for it")
    if found != here:
        raise RefError(f"--perf-against-python {python}: it has pytest-fastr {found} and this one is {here}")
