"""The configuration: `[tool.pytest-fastr]` of pyproject.toml as one frozen value.

Every key is declared once, in `_KEYS`. What is not understood is refused with the key, the value and an
example. Markers and command-line options use the same `parse_*` functions, so that "5s" means the same
everywhere.
"""

from __future__ import annotations

import difflib
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

from pytest_fastr.errors import ConfigError

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

    app: str | None = None
    """`module:attr` or `module:factory()` of the app under test."""
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
    return Config(**_fields(table, _KEYS, where))


def _fields(table: Mapping[str, object], keys: Iterable[_Key], where: str) -> dict[str, Any]:
    """The fields that a table of these keys fills."""
    known = {key.name: key for key in keys}
    values: dict[str, Any] = {}
    for name, value in table.items():
        if name not in known:
            raise ConfigError(f"{where}: unknown key `{name}`{_suggestion(name, known)}")
        key = known[name]
        values[key.field] = key.parse(value, f"{where}: `{name}`")
    return values


def parse_duration(value: object, what: str) -> float:
    """Seconds from "500ms", "5s", "2m" or a number of seconds. `what` names the value in messages."""
    example = 'a duration above zero, such as "500ms", "5s", "2m" or a number of seconds'
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m)", value.strip(), re.ASCII)
        seconds = float(match[1]) * _SECONDS[match[2]] if match else math.nan
    else:
        seconds = _number(value)
    return _positive(seconds, value, what, example)


def parse_limit(value: object, what: str) -> float:
    """A fraction from "2%" or 0.02. A bare number from 1 up is refused: 2 would mean 200 %."""
    example = 'a change above zero, such as "2%" or 0.02'
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", value.strip(), re.ASCII)
        return _positive(float(match[1]) / 100 if match else math.nan, value, what, example)
    fraction = _positive(_number(value), value, what, example)
    if fraction >= 1:
        raise ConfigError(f'{what} is {value!r}, which would be {fraction * 100:g} %; write "{fraction:g}%"')
    return fraction


def parse_limits(value: object, what: str) -> Limits:
    """A table of metric to limit: a change (``"2%"``) or, with a unit or a sign, an absolute one (``"50ms"``,
    ``">2000"``), or a list of both."""
    if not isinstance(value, Mapping):
        raise _refusal(value, what, 'a table, such as { cpu = "2%", p99 = "50ms" }')
    changes: dict[str, float] = {}
    absolute: dict[str, AbsoluteLimit] = {}
    for metric, given in value.items():
        for limit in given if isinstance(given, list) else [given]:
            known = _absolute_limit(metric, limit, f"{what} of `{metric}`")
            if known is not None:
                absolute[metric] = known
                continue
            _check_metric(metric, what, {*DEFAULT_LIMITS, *_ABSOLUTE_METRICS})
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
        raise _refusal(value, what, f"an absolute limit, such as {example}")
    bound = float(match[2]) * units[match[3] or ""]
    if not bound > 0:
        raise _refusal(value, what, f"above zero, such as {example}")
    return AbsoluteLimit(f"{metric}{sign}{match[2]}{match[3] or ''}", str(metric), sign, bound)


def parse_count(value: object, what: str) -> int:
    """A whole number from 1 up."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _refusal(value, what, "a whole number from 1 up, such as 20")
    return value


@dataclass(frozen=True, slots=True)
class _Key:
    """A key of the table: the field it fills, and what turns its value into the field's."""

    name: str
    field: str
    parse: Callable[[object, str], object]


_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}


def _text(example: str) -> Callable[[object, str], str]:
    def parse(value: object, what: str) -> str:
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            raise _refusal(value, what, f"a text, such as {example}")
        return value

    return parse


def _choice(*choices: str) -> Callable[[object, str], str]:
    def parse(value: object, what: str) -> str:
        if not isinstance(value, str) or value not in choices:
            raise _refusal(value, what, " or ".join(f'"{choice}"' for choice in choices))
        return value

    return parse


def parse_mount(value: object, what: str) -> MountKind:
    """How an app is served."""
    return _choice(*get_args(MountKind))(value, what)  # type: ignore[return-value]


def _probability(value: object, what: str) -> float:
    probability = parse_limit(value, what)
    if probability >= 0.5:
        raise _refusal(value, what, 'a probability below 50 %, such as "1%" or 0.01')
    return probability


def _against(value: object, what: str) -> AgainstConfig:
    if not isinstance(value, Mapping):
        raise _refusal(value, what, 'a table, such as { prepare = "make build", copy = [".env"] }')
    return AgainstConfig(**_fields(value, _AGAINST_KEYS, what))


def _texts(value: object, what: str) -> tuple[str, ...]:
    parse = _text('".env"')
    if not isinstance(value, list):
        raise _refusal(value, what, 'a list of texts, such as [".env", "assets"]')
    return tuple(str(parse(one, f"an entry of {what}")) for one in value)


def _environments(value: object, what: str) -> Mapping[str, Mapping[str, str]]:
    sides = ("baseline", "candidate")
    if not isinstance(value, Mapping) or not set(value) <= set(sides):
        example = 'a table a side, such as { baseline = { DB = "a.db" }, candidate = { DB = "b.db" } }'
        raise _refusal(value, what, example)
    return MappingProxyType({side: _environment(one, f"{what} of `{side}`") for side, one in value.items()})


def _metrics(value: object, what: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
        raise _refusal(value, what, 'a list of at least one metric, such as ["cpu", "p99"]')
    for metric in value:
        _check_metric(metric, what)
    if len(set(value)) != len(value):
        raise ConfigError(f"{what} names a metric twice: {value!r}")
    return tuple(value)


def _environment(value: object, what: str) -> Mapping[str, str]:
    example = 'a table of texts, such as { DATABASE_URL = "sqlite:///perf.db" }'
    if not isinstance(value, Mapping):
        raise _refusal(value, what, example)
    for name, text in value.items():
        if not name or "=" in name or "\0" in name:
            raise _refusal(name, f"a name in {what}", "the name of an environment variable, such as DATABASE_URL")
        if not isinstance(text, str) or "\0" in text:
            raise _refusal(text, f"{what} of `{name}`", 'a text, such as "1"')
    return MappingProxyType(dict(value))


_AGAINST_KEYS = (
    _Key("prepare", "prepare", _text('"make build"')),
    _Key("copy", "copy", _texts),
    _Key("env", "env", _environments),
)

_KEYS = (
    _Key("app", "app", _text('"shop.main:app"')),
    _Key("baselines", "baselines", _text('"baselines"')),
    _Key("users", "users", parse_count),
    _Key("duration", "duration_s", parse_duration),
    _Key("epochs", "epochs", parse_count),
    _Key("limit", "limit", parse_limits),
    _Key("gate", "gate", _metrics),
    _Key("false_alarm", "false_alarm", _probability),
    _Key("inconclusive", "inconclusive", _choice("pass", "fail")),
    _Key("new", "new", _choice("auto", "pass", "fail")),
    _Key("startup_timeout", "startup_timeout_s", parse_duration),
    _Key("request_timeout", "request_timeout_s", parse_duration),
    _Key("warmup_max", "warmup_max_s", parse_duration),
    _Key("env", "env", _environment),
    _Key("mount", "mount", parse_mount),
    _Key("lanes", "lanes", _choice(*get_args(LanesKind))),
    _Key("interface", "interface", _choice("auto", "asgi", "wsgi")),
    _Key("threads", "threads", parse_count),
    _Key("workers", "workers", parse_count),
    _Key("budget", "budget_s", parse_duration),
    _Key("against", "against", _against),
)


def _number(value: object) -> float:
    """The number itself; NaN, which every check refuses, for what is none. A bool is no number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _positive(number: float, value: object, what: str, example: str) -> float:
    if not math.isfinite(number) or number <= 0:
        raise _refusal(value, what, example)
    return number


def _check_metric(metric: object, what: str, known: Iterable[str] = DEFAULT_LIMITS) -> None:
    if not isinstance(metric, str) or metric not in DEFAULT_LIMITS:
        raise ConfigError(f"{what}: unknown metric `{metric}`{_suggestion(str(metric), known)}")


def _suggestion(name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean `{near[0]}`?" if near else f"; known are {', '.join(sorted(names))}"


def _refusal(value: object, what: str, example: str) -> ConfigError:
    return ConfigError(f"{what} is {value!r}; it must be {example}")
