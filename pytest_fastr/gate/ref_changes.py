"""What differs between the two sides of a comparison that a reader of its result must know.

Everything is read from two folders, A the baseline's and B the candidate's; nothing is imported or run.
"""

from __future__ import annotations

import ast
import fnmatch
import hashlib
import json
import os
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar

from pytest_fastr.config import TABLE

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TEST_FILES = ("test_*.py", "*_test.py")
"""Pytest's own patterns of the names of test files."""

MEASURING_FIXTURES = frozenset({"perf", "perf_load"})

_LOCK_FILES = ("uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "requirements*.txt", "pylock*.toml", "Cargo.lock",
               "package-lock.json")  # fmt: skip
_LOCK_FILE_DEPTH = 2
_NOT_ENTERED = frozenset({"__pycache__", "build", "dist", "node_modules", "site-packages", "venv"})
_UNSET = "not set"


@dataclass(frozen=True, slots=True)
class TestChanges:
    """How the tests of the candidate differ from the baseline's, by node ids without parameters."""

    __test__: ClassVar[bool] = False  # pytest collects classes by the name Test*

    new: tuple[str, ...]
    """Only the candidate has them, and no removed one looks like them."""
    removed: tuple[str, ...]
    """Only the baseline has them, and no new one looks like them."""
    renamed: tuple[tuple[str, str], ...]
    """The baseline's and the candidate's node id of what is one test."""


def lock_differences(baseline: Path, candidate: Path) -> tuple[str, ...]:
    """The lock files, up to two folders deep, that differ or that one side alone has."""
    a, b = ({path: root / path for path in _files(root, _LOCK_FILE_DEPTH) if _is_lock(path)}
            for root in (baseline, candidate))  # fmt: skip
    return tuple(name for name, _ in _differences(a, b))


def gate_changes(baseline: Path, candidate: Path, baselines: str) -> tuple[str, ...]:
    """What the change does to the gate itself, a sentence each.

    That is: keys of `[tool.pytest-fastr]`, stored baselines in the folder `baselines`, limits in test files.
    """
    return (
        *_config_changes(baseline, candidate),
        *_baseline_changes(baseline, candidate, baselines),
        *_limit_changes(baseline, candidate),
    )


def perf_tests(root: Path, patterns: Sequence[str] = TEST_FILES) -> Mapping[str, str]:
    """The tests that take the fixture `perf` or `perf_load`: node id to a hash of the function's body.

    The hash knows neither the function's name nor its decorators, comments or layout.
    """
    tests: dict[str, str] = {}
    for path in _test_files(root, patterns):
        for name, node in _definitions(_parsed(root / path, "perf")):
            if isinstance(node, ast.ClassDef) or not all(one.startswith("Test") for one in name.split("::")[:-1]):
                continue
            arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            if any(one.arg in MEASURING_FIXTURES for one in arguments):
                body = "\n".join(ast.dump(statement) for statement in node.body)
                tests[f"{path}::{name}"] = hashlib.sha256(body.encode(errors="replace")).hexdigest()[:16]
    return tests


def has_test(root: Path, nodeid: str) -> bool:
    """Whether the file in `root` has the test of this node id, whatever fixtures it takes.

    One that the file may have got from another one, by an import or a base class, counts as there.
    """
    path, *names = nodeid.partition("[")[0].split("::")
    body = _parsed(root / path).body
    if not names:
        return False
    *classes, function = names
    owner: ast.ClassDef | None = None
    for name in classes:
        inside = body if owner is None else owner.body
        owner = _class(inside, name)
        if owner is None:
            return _binds(inside, name)
    return _binds(body, function) if owner is None else _class_has(owner, function, body)


def compare_tests(baseline: Mapping[str, str], candidate: Mapping[str, str]) -> TestChanges:
    """What is new, removed and renamed between two results of `perf_tests`.

    Renamed is what has the same body, or else the same function name in another file, where one pair alone has it.
    """
    removed = {nodeid: body for nodeid, body in baseline.items() if nodeid not in candidate}
    new = {nodeid: body for nodeid, body in candidate.items() if nodeid not in baseline}
    renamed = _pairs(removed, new)
    old_names, new_names = ({nodeid: nodeid.rpartition("::")[2] for nodeid in side if nodeid not in _members(renamed)}
                            for side in (removed, new))  # fmt: skip
    renamed += [(old, now) for old, now in _pairs(old_names, new_names) if _file(old) != _file(now)]
    return TestChanges(
        new=tuple(sorted(new.keys() - _members(renamed))),
        removed=tuple(sorted(removed.keys() - _members(renamed))),
        renamed=tuple(sorted(renamed)),
    )


def _pairs(removed: Mapping[str, str], new: Mapping[str, str]) -> list[tuple[str, str]]:
    """The node ids whose value is that of exactly one removed and one new test."""
    before, after = Counter(removed.values()), Counter(new.values())
    now = {value: nodeid for nodeid, value in new.items()}
    return [(old, now[value]) for old, value in removed.items() if before[value] == after[value] == 1]


def _members(pairs: Sequence[tuple[str, str]]) -> set[str]:
    return {nodeid for pair in pairs for nodeid in pair}


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def _config_changes(baseline: Path, candidate: Path) -> Iterator[str]:
    sides = []
    for root, name in ((baseline, "baseline"), (candidate, "candidate")):
        try:
            sides.append(_settings(root))
        except (OSError, ValueError, RecursionError) as error:
            yield f"pyproject.toml of the {name} cannot be parsed, so [tool.{TABLE}] was not compared: {error}"
            return
    a, b = sides
    for key in sorted(a.keys() | b.keys()):
        before, after = a.get(key, _UNSET), b.get(key, _UNSET)
        if before == after:
            continue
        # Passwords are kept there, and reports are public.
        yield f"`{key}` was changed" if "env" in key.split(".") else f"`{key}` was {before} and is {after}"


def _settings(root: Path) -> dict[str, str]:
    """The keys of the table, dotted where tables are nested, and their values as texts."""
    try:
        table: object = tomllib.loads((root / "pyproject.toml").read_bytes().decode("utf-8"))
    except FileNotFoundError:
        return {}
    for name in ("tool", TABLE):
        table = table.get(name) if isinstance(table, Mapping) else None
    return dict(_flat(table, "")) if isinstance(table, Mapping) else {}


def _flat(table: Mapping[str, object], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, str) and value:
            yield f"{prefix}{key}", value
        else:
            yield f"{prefix}{key}", json.dumps(value, default=str, ensure_ascii=False)


def _baseline_changes(baseline: Path, candidate: Path, baselines: str) -> Iterator[str]:
    if os.path.isabs(baselines):
        return  # One folder for both sides.
    a, b = ({name: root / baselines / name for name in _files(root / baselines) if name.endswith(".json")}
            for root in (baseline, candidate))  # fmt: skip
    for name, what in _differences(a, b):
        yield f"{PurePosixPath(baselines, name)} was {what}"


def _differences(a: Mapping[str, Path], b: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    """The names that differ, in order, with what happened to each."""
    for name in sorted(a.keys() | b.keys()):
        if name not in a or name not in b:
            yield name, "removed" if name in a else "added"
        elif _content(a[name]) != _content(b[name]):
            yield name, "changed"


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _is_lock(path: str) -> bool:
    pure = PurePosixPath(path)
    if pure.parent.name == "requirements" and pure.suffix == ".txt":
        return True
    return any(fnmatch.fnmatchcase(pure.name, pattern) for pattern in _LOCK_FILES)


def _limit_changes(baseline: Path, candidate: Path) -> Iterator[str]:
    shared = set(_test_files(baseline, TEST_FILES)) & set(_test_files(candidate, TEST_FILES))
    for path in sorted(shared):
        a, b = (_limits(_parsed(root / path, "perf")) for root in (baseline, candidate))
        for scope in [scope for scope in b if scope in a]:
            if a[scope] != b[scope]:
                yield f"{path}{scope}: limit was {a[scope] or _UNSET} and is {b[scope] or _UNSET}"


def _limits(tree: ast.Module) -> dict[str, str]:
    """The limits in the perf markers of the module (""), of each class and of each test ("::name"), as text."""
    constants = {target.id: value for target, value in _assignments(tree.body)}
    limits = {"": _marked(_pytestmark(tree.body), constants)}
    for name, node in _definitions(tree):
        inside = _pytestmark(node.body) if isinstance(node, ast.ClassDef) else []
        limits[f"::{name}"] = _marked([*node.decorator_list, *inside], constants)
    return limits


def _marked(expressions: Sequence[ast.expr], constants: Mapping[str, ast.expr]) -> str:
    found = []
    for node in (node for expression in expressions for node in ast.walk(expression)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("mark.perf"):
            values = [keyword.value for keyword in node.keywords if keyword.arg == "limit"]
            found += [constants.get(value.id, value) if isinstance(value, ast.Name) else value for value in values]
    return ", ".join(_text(value) for value in found)


def _text(value: ast.expr) -> str:
    """The expression as text, the keys of a table in order."""
    try:
        literal = ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return ast.unparse(value)
    return repr(dict(sorted(literal.items(), key=str)) if isinstance(literal, dict) else literal)


def _pytestmark(body: Sequence[ast.stmt]) -> list[ast.expr]:
    return [value for target, value in _assignments(body) if target.id == "pytestmark"]


def _assignments(body: Sequence[ast.stmt]) -> Iterator[tuple[ast.Name, ast.expr]]:
    for one in _statements(body):
        if isinstance(one, ast.Assign):
            yield from ((target, one.value) for target in one.targets if isinstance(target, ast.Name))
        elif isinstance(one, (ast.AnnAssign, ast.AugAssign)) and isinstance(one.target, ast.Name) and one.value:
            yield one.target, one.value


def _definitions(
    tree: ast.Module | ast.ClassDef, prefix: str = ""
) -> Iterator[tuple[str, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every class and test function, with its name as in a node id."""
    for one in _statements(tree.body):
        if isinstance(one, ast.ClassDef):
            yield f"{prefix}{one.name}", one
            yield from _definitions(one, f"{prefix}{one.name}::")
        elif isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)) and one.name.startswith("test"):
            yield f"{prefix}{one.name}", one


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a scope, those under `if`, `try` and `with` too."""
    for one in body:
        yield one
        for part in ("body", "orelse", "handlers", "finalbody"):
            if not isinstance(one, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                yield from _statements(getattr(one, part, ()))


def _class(body: Sequence[ast.stmt], name: str) -> ast.ClassDef | None:
    return next((one for one in _statements(body) if isinstance(one, ast.ClassDef) and one.name == name), None)


def _class_has(owner: ast.ClassDef, name: str, module: Sequence[ast.stmt]) -> bool:
    """Whether the class has this member, or may have it from a base that is not in its file."""
    if _binds(owner.body, name):
        return True
    for base in owner.bases:
        known = _class(module, base.id) if isinstance(base, ast.Name) else None
        if known is None:
            if not isinstance(base, ast.Name) or base.id != "object":
                return True
        elif known.lineno < owner.lineno and _class_has(known, name, module):
            return True
    return False


def _binds(body: Sequence[ast.stmt], name: str) -> bool:
    """Whether a scope has a definition, an assignment or an import of this name."""
    for one in _statements(body):
        if isinstance(one, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and one.name == name:
            return True
        if isinstance(one, ast.ImportFrom) and any((alias.asname or alias.name) == name for alias in one.names):
            return True
    return any(target.id == name for target, _ in _assignments(body))


def _parsed(path: Path, word: str = "") -> ast.Module:
    """The module in a file; an empty one for a file that does not parse, or in which `word` is not."""
    nothing = ast.Module(body=[], type_ignores=[])
    try:
        source = path.read_bytes()
        if word.encode() not in source:
            return nothing
        with warnings.catch_warnings():
            # Of the code that is read, such as of its escapes.
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return nothing


def _test_files(root: Path, patterns: Sequence[str]) -> Iterator[str]:
    for path in _files(root):
        if any(fnmatch.fnmatchcase(PurePosixPath(path).name, pattern) for pattern in patterns):
            yield path


def _files(root: Path, depth: int | None = None) -> Iterator[str]:
    """The files below a folder, relative to it; not those of tools, builds and virtual environments."""
    for folder, names, files in os.walk(root):
        here = Path(folder).relative_to(root)
        names[:] = sorted(
            name
            for name in names
            if name not in _NOT_ENTERED
            and not name.startswith(".")
            and not os.path.exists(os.path.join(folder, name, "pyvenv.cfg"))
            and (depth is None or len(here.parts) < depth)
        )
        yield from ((here / name).as_posix() for name in sorted(files))
