"""The configuration: `[tool.pytest-fastr]` of pyproject.toml as one frozen value.

Every key is declared once, in `_KEYS`. What is not understood is refused with the key, the value and an
example. Markers and command-line options use the same `parse_*` functions, so that "5s" means the same
everywhere.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

from pytest_fastr.apps import CommandApp, UrlApp, parse_app
from pytest_fastr.errors import ConfigError
from pytest_fastr.keys import (
    Key,
    as_number,
    fields,
    one_of,
    parse_count,
    parse_duration,
    positive,
    refusal,
    suggestion,
    text_like,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MountKind = Literal["auto", "asgi", "native"]
"""How an app is served: by its own code; its routes compiled, for FastAPI; or compiled for FastrAPI only."""

LanesKind = Literal["gate", "report", "off"]
"""What a route that leaves its lane does: turn its test red, be said, or nothing, not even be looked for."""

TABLE = "pytest-fastr"
"""The name of the table below `[tool]`."""

DEFAULT_LIMITS: Mapping[str, float] = MappingProxyType({
    "cpu": 0.05, "throughput": 0.05, "p50": 0.05, "p90": 0.08, "p99": 0.15, "memory": 0.10,
    "rate_p50": 0.10, "rate_p90": 0.20, "rate_p99": 0.30,
})  # fmt: skip
"""The change that counts as a regression of a stored baseline. Its keys are the known metrics."""

DEFAULT_PAIRED_LIMITS: Mapping[str, float] = MappingProxyType({**DEFAULT_LIMITS, "cpu": 0.02, "throughput": 0.02})
"""The change that counts as a regression of another git ref, measured in the same run."""

DEFAULT_FUNCTION_LIMITS: Mapping[str, float] = MappingProxyType({"cpu": DEFAULT_LIMITS["cpu"], "time": 0.10})
"""The change that counts as a regression of a function of pytest-benchmark's. Its wall time decides where a limit of
`time` is given."""

DEFAULT_GATE: tuple[str, ...] = ("cpu", "throughput", "p99")
"""The metrics that decide a verdict unless told otherwise."""


@dataclass(frozen=True, slots=True)
class AbsoluteLimit:
    """What a metric must stay below (``<``) or above (``>``), whatever the baseline: ``p99`` (p50, p90, p99, p999: of
    the response time, in microseconds), ``cpu`` (microseconds a request), ``rps``, ``memory`` (bytes)."""

    text: str
    metric: str
    sign: str
    bound: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What was said about limits: changes by metric, as fractions, and absolute limits by metric."""

    changes: Mapping[str, float] = field(default_factory=dict)
    absolute: Mapping[str, AbsoluteLimit] = field(default_factory=dict)

    def over(self, other: Limits) -> Limits:
        """These, and what they leave open as the other ones say."""
        return Limits({**other.changes, **self.changes}, {**other.absolute, **self.absolute})

    def of(self, paired: bool) -> Mapping[str, float]:
        """The change that counts as a regression, for every metric."""
        return {**(DEFAULT_PAIRED_LIMITS if paired else DEFAULT_LIMITS), **self.changes}


@dataclass(frozen=True, slots=True)
class AgainstConfig:
    """How another git ref is made into a server (table `against`)."""

    prepare: str | None = None
    """A command of the shell, run in its checkout."""
    copy: tuple[str, ...] = ()
    """Files and folders that git ignores and the app needs."""
    env: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: MappingProxyType({}))
    """Added to the environment of one side's servers: `baseline` (the ref) or `candidate`."""


@dataclass(frozen=True, slots=True)
class Config:
    """What the user configured, with defaults for the rest."""

    app: str | CommandApp | UrlApp | None = None
    """The app under test: `module:attr` or `module:factory()`, a command that serves it, or where it is served."""
    baselines: str = "baselines"
    """Folder of the baselines, relative to the root directory."""
    users: int = 20
    """Connections of the closed loop."""
    duration_s: float = 5.0
    """Load time per side, over all epochs (key `duration`)."""
    epochs: int = 6
    """Pairs of fresh server processes."""
    limit: Limits = field(default_factory=Limits)
    """What counts as a regression, where it is not the default."""
    gate: tuple[str, ...] = DEFAULT_GATE
    """The metrics that decide."""
    false_alarm: float = 0.01
    """Probability that a build in which nothing changed turns red."""
    inconclusive: Literal["pass", "fail"] = "pass"
    """What an inconclusive test does to the build."""
    new: Literal["auto", "pass", "fail"] = "auto"
    """What a test without a baseline does; `auto` passes locally and fails in CI."""
    startup_timeout_s: float = 30.0
    """How long a server may take to become ready (key `startup_timeout`)."""
    request_timeout_s: float = 10.0
    """After which a request counts as an error (key `request_timeout`)."""
    warmup_max_s: float = 3.0
    """Longest warm-up of a server (key `warmup_max`); it ends earlier where its stop rule says so."""
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Added to the environment of the server process."""
    mount: MountKind = "auto"
    """How the app becomes a server."""
    interface: Literal["auto", "asgi", "wsgi"] = "auto"
    """What kind of application it is; `auto` goes by what its call takes."""
    threads: int | None = None
    """How many threads serve WSGI, or native handlers that block; None for the default."""
    workers: int = 1
    """Processes that serve the app."""
    lanes: LanesKind = "gate"
    """What a route of FastAPI that leaves its lane does to the build."""
    budget_s: float = 600.0
    """How long a session may measure (key `budget`)."""
    against: AgainstConfig = field(default_factory=AgainstConfig)
    """How another git ref is made into a server."""
    history: bool | str = True
    """Whether sessions are kept, or the file that they are kept in, relative to the root directory."""


def load_config(rootdir: Path) -> Config:
    """Reads `rootdir/pyproject.toml`; no file or no table means defaults."""
    path = rootdir / "pyproject.toml"
    try:
        document = tomllib.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        return Config()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path} is not valid TOML: it is not UTF-8 (at line {line})") from error
    except tomllib.TOMLDecodeError as error:
        # The decoder's own message ends in "(at line L, column C)".
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    tools = document.get("tool", {})
    if not isinstance(tools, Mapping):
        raise ConfigError(f"{path}: `tool` must be a table, such as [tool.{TABLE}]")
    for near in ("pytest_fastr", "pytestfastr"):
        if near in tools:
            raise ConfigError(f"{path}: the table [tool.{near}] is not read; name it [tool.{TABLE}]")
    table = tools.get(TABLE, {})
    if not isinstance(table, Mapping):
        raise ConfigError(f"{path}: `tool.{TABLE}` must be a table, such as [tool.{TABLE}], not {table!r}")
    return parse_config(table, f"{path} [tool.{TABLE}]")


def parse_config(table: Mapping[str, object], where: str) -> Config:
    """Checks a table of keys. `where` names its place in messages."""
    return Config(**fields(table, _KEYS, where))


def parse_limit(value: object, what: str) -> float:
    """A fraction from "2%" or 0.02. A bare number from 1 up is refused: 2 would mean 200 %."""
    example = 'a change above zero, such as "2%" or 0.02'
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", value.strip(), re.ASCII)
        return positive(float(match[1]) / 100 if match else math.nan, value, what, example)
    fraction = positive(as_number(value), value, what, example)
    if fraction >= 1:
        raise ConfigError(f'{what} is {value!r}, which would be {fraction * 100:g} %; write "{fraction:g}%"')
    return fraction


def parse_limits(value: object, what: str) -> Limits:
    """A table of metric to limit: a change (``"2%"``) or, with a unit or a sign, an absolute one (``"50ms"``,
    ``">2000"``), or a list of both."""
    if not isinstance(value, Mapping):
        raise refusal(value, what, 'a table, such as { cpu = "2%", p99 = "50ms" }')
    changes: dict[str, float] = {}
    absolute: dict[str, AbsoluteLimit] = {}
    for metric, given in value.items():
        for limit in given if isinstance(given, list) else [given]:
            known = _absolute_limit(metric, limit, f"{what} of `{metric}`")
            if known is not None:
                absolute[metric] = known
                continue
            if metric not in DEFAULT_FUNCTION_LIMITS:
                _check_metric(metric, what, {*DEFAULT_LIMITS, *DEFAULT_FUNCTION_LIMITS, *_ABSOLUTE_METRICS})
            changes[metric] = parse_limit(limit, f"{what} of `{metric}`")
    if changes.get("throughput", 0.0) >= 1:
        raise ConfigError(f"{what} of `throughput` must be below 100 %: it cannot fall further")
    return Limits(changes, absolute)


_ABSOLUTE = re.compile(r"\s*([<>]?)\s*(\d+(?:\.\d+)?)\s*(us|ms|s|m|B|kB|MB|GB|KiB|MiB|GiB)?\s*", re.ASCII)
_TIME_US = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6}
_BYTES = {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
# Metric to the units of its absolute limit, the side it must stay on, and an example.
_ABSOLUTE_METRICS: Mapping[str, tuple[Mapping[str, float], str, str]] = {
    **dict.fromkeys(("p50", "p90", "p99", "p999"), (_TIME_US, "<", '"50ms"')),
    "cpu": (_TIME_US, "<", '"300us"'),
    "rps": ({"": 1.0}, ">", '">2000"'),
    "memory": (_BYTES, "<", '"200MB"'),
}


def _absolute_limit(metric: object, value: object, what: str) -> AbsoluteLimit | None:
    """The limit, if it is an absolute one."""
    text = str(value) if isinstance(value, (int, float)) and metric == "rps" else value
    match = _ABSOLUTE.fullmatch(text) if isinstance(text, str) else None
    if metric not in ("rps", "p999") and (match is None or not (match[1] or match[3])):
        return None
    if metric not in _ABSOLUTE_METRICS:
        raise ConfigError(f"{what} is {value!r}; absolute limits are known for {', '.join(_ABSOLUTE_METRICS)}")
    units, sign, example = _ABSOLUTE_METRICS[str(metric)]
    if match is None or (match[3] or "") not in units or match[1] not in ("", sign):
        raise refusal(value, what, f"an absolute limit, such as {example}")
    bound = float(match[2]) * units[match[3] or ""]
    if not bound > 0:
        raise refusal(value, what, f"above zero, such as {example}")
    return AbsoluteLimit(f"{metric}{sign}{match[2]}{match[3] or ''}", str(metric), sign, bound)


def parse_mount(value: object, what: str) -> MountKind:
    """How an app is served."""
    return one_of(*get_args(MountKind))(value, what)  # type: ignore[return-value]


def _probability(value: object, what: str) -> float:
    probability = parse_limit(value, what)
    if probability >= 0.5:
        raise refusal(value, what, 'a probability below 50 %, such as "1%" or 0.01')
    return probability


def _against(value: object, what: str) -> AgainstConfig:
    if not isinstance(value, Mapping):
        raise refusal(value, what, 'a table, such as { prepare = "make build", copy = [".env"] }')
    return AgainstConfig(**fields(value, _AGAINST_KEYS, what))


def _history(value: object, what: str) -> bool | str:
    if not isinstance(value, bool) and (not isinstance(value, str) or not value.strip() or "\0" in value):
        raise refusal(value, what, 'true, false, or the path of a file, such as ".pytest-fastr/history.db"')
    return value


def _texts(value: object, what: str) -> tuple[str, ...]:
    parse = text_like('".env"')
    if not isinstance(value, list):
        raise refusal(value, what, 'a list of texts, such as [".env", "assets"]')
    return tuple(str(parse(one, f"an entry of {what}")) for one in value)


def _environments(value: object, what: str) -> Mapping[str, Mapping[str, str]]:
    sides = ("baseline", "candidate")
    if not isinstance(value, Mapping) or not set(value) <= set(sides):
        example = 'a table a side, such as { baseline = { DB = "a.db" }, candidate = { DB = "b.db" } }'
        raise refusal(value, what, example)
    return MappingProxyType({side: _environment(one, f"{what} of `{side}`") for side, one in value.items()})


def _metrics(value: object, what: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
        raise refusal(value, what, 'a list of at least one metric, such as ["cpu", "p99"]')
    for metric in value:
        _check_metric(metric, what)
    if len(set(value)) != len(value):
        raise ConfigError(f"{what} names a metric twice: {value!r}")
    return tuple(value)


def _environment(value: object, what: str) -> Mapping[str, str]:
    example = 'a table of texts, such as { DATABASE_URL = "sqlite:///perf.db" }'
    if not isinstance(value, Mapping):
        raise refusal(value, what, example)
    for name, text in value.items():
        if not name or "=" in name or "\0" in name:
            raise refusal(name, f"a name in {what}", "the name of an environment variable, such as DATABASE_URL")
        if not isinstance(text, str) or "\0" in text:
            raise refusal(text, f"{what} of `{name}`", 'a text, such as "1"')
    return MappingProxyType(dict(value))


_AGAINST_KEYS = (
    Key("prepare", "prepare", text_like('"make build"')),
    Key("copy", "copy", _texts),
    Key("env", "env", _environments),
)

_KEYS = (
    Key("app", "app", parse_app),
    Key("baselines", "baselines", text_like('"baselines"')),
    Key("users", "users", parse_count),
    Key("duration", "duration_s", parse_duration),
    Key("epochs", "epochs", parse_count),
    Key("limit", "limit", parse_limits),
    Key("gate", "gate", _metrics),
    Key("false_alarm", "false_alarm", _probability),
    Key("inconclusive", "inconclusive", one_of("pass", "fail")),
    Key("new", "new", one_of("auto", "pass", "fail")),
    Key("startup_timeout", "startup_timeout_s", parse_duration),
    Key("request_timeout", "request_timeout_s", parse_duration),
    Key("warmup_max", "warmup_max_s", parse_duration),
    Key("env", "env", _environment),
    Key("mount", "mount", parse_mount),
    Key("lanes", "lanes", one_of(*get_args(LanesKind))),
    Key("interface", "interface", one_of("auto", "asgi", "wsgi")),
    Key("threads", "threads", parse_count),
    Key("workers", "workers", parse_count),
    Key("budget", "budget_s", parse_duration),
    Key("against", "against", _against),
    Key("history", "history", _history),
)


def _check_metric(metric: object, what: str, known: Iterable[str] = DEFAULT_LIMITS) -> None:
    if not isinstance(metric, str) or metric not in DEFAULT_LIMITS:
        raise ConfigError(f"{what}: unknown metric `{metric}`{suggestion(str(metric), known)}")
