"""The configuration is read whole, and refused in words."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from pytest_fastr.config import (
    DEFAULT_LIMITS,
    AbsoluteLimit,
    AgainstConfig,
    Config,
    Limits,
    load_config,
    parse_config,
    parse_limit,
    parse_limits,
)
from pytest_fastr.errors import ConfigError
from pytest_fastr.keys import parse_count, parse_duration


def write(folder: Path, text: str) -> Path:
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return folder


def test_no_file_and_no_table_mean_defaults(tmp_path: Path) -> None:
    assert load_config(tmp_path) == Config()
    assert load_config(write(tmp_path, "[tool.other]\nx = 1\n")) == Config()
    assert load_config(write(tmp_path, "")) == Config()


def test_every_key_is_read(tmp_path: Path) -> None:
    table = """
    [tool.pytest-fastr]
    app = "shop.main:app"
    baselines = "perf/baselines"
    users = 8
    duration = "500ms"
    epochs = 3
    limit = { cpu = "2%", p99 = 0.2, rps = 2000 }
    gate = ["cpu", "memory"]
    false_alarm = "5%"
    inconclusive = "fail"
    new = "pass"
    startup_timeout = "2m"
    request_timeout = 1.5
    warmup_max = 1
    mount = "asgi"
    interface = "wsgi"
    threads = 2
    workers = 3
    [tool.pytest-fastr.env]
    DATABASE_URL = "sqlite://"
    """
    assert load_config(write(tmp_path, table)) == Config(
        app="shop.main:app",
        baselines="perf/baselines",
        users=8,
        duration_s=0.5,
        epochs=3,
        limit=Limits({"cpu": 0.02, "p99": 0.2}, {"rps": AbsoluteLimit("rps>2000", "rps", ">", 2000.0)}),
        gate=("cpu", "memory"),
        false_alarm=0.05,
        inconclusive="fail",
        new="pass",
        startup_timeout_s=120.0,
        request_timeout_s=1.5,
        warmup_max_s=1.0,
        env={"DATABASE_URL": "sqlite://"},
        mount="asgi",
        interface="wsgi",
        threads=2,
        workers=3,
    )


def test_a_misspelt_key_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(ConfigError, match=r"here: unknown key `durations`; did you mean `duration`\?"):
        parse_config({"durations": "5s"}, "here")


def test_a_key_like_no_other_is_refused_with_all_known_ones() -> None:
    with pytest.raises(ConfigError, match="unknown key `zzz`; known are against, app, baselines, "):
        parse_config({"zzz": 1}, "here")


def test_an_unknown_metric_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(ConfigError, match=r"`limit`: unknown metric `p98`; did you mean `p9"):
        parse_config({"limit": {"p98": "2%"}}, "here")
    with pytest.raises(ConfigError, match=r"`gate`: unknown metric `troughput`; did you mean `throughput`"):
        parse_config({"gate": ["troughput"]}, "here")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("app", 1),
        ("app", " "),
        ("users", True),
        ("users", 0),
        ("users", 2.0),
        ("users", "20"),
        ("duration", "5 hours"),
        ("duration", False),
        ("duration", -1),
        ("epochs", None),
        ("limit", "2%"),
        ("gate", "cpu"),
        ("gate", []),
        ("gate", [1]),
        ("false_alarm", "60%"),
        ("inconclusive", "maybe"),
        ("new", True),
        ("env", ["A=1"]),
        ("env", {"A": 1}),
        ("env", {"A=B": "1"}),
    ],
)
def test_a_wrong_value_is_refused_with_its_key_itself_and_an_example(key: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config({key: value}, "here")
    message = str(caught.value)
    assert message.startswith("here: ") or message.startswith("a name in here: ")
    assert f"`{key}`" in message
    shown = value["A"] if value == {"A": 1} else next(iter(value)) if value == {"A=B": "1"} else value
    assert f"is {shown!r}; it must be " in message


def test_a_metric_gated_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="names a metric twice"):
        parse_config({"gate": ["cpu", "cpu"]}, "here")


@pytest.mark.parametrize("lanes", ["gate", "report", "off"])
def test_what_a_lane_that_is_left_does_is_a_choice(lanes: str) -> None:
    assert parse_config({"lanes": lanes}, "here").lanes == lanes
    assert parse_config({}, "here").lanes == "gate"


@pytest.mark.parametrize("value", ["on", True, ["gate"]])
def test_another_choice_for_lanes_is_refused_with_those_that_there_are(value: object) -> None:
    with pytest.raises(ConfigError, match=r'here: `lanes` is .*; it must be "gate" or "report" or "off"'):
        parse_config({"lanes": value}, "here")


def test_a_mount_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ConfigError, match='\'wsgi\'; it must be "auto" or "asgi" or "native"'):
        parse_config({"mount": "wsgi"}, "here")


def test_a_syntax_error_is_told_with_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"pyproject\.toml is not valid TOML: .*line 3"):
        load_config(write(tmp_path, "[tool.pytest-fastr]\nusers = 2\nduration =\n"))


def test_bytes_that_are_no_text_are_told_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_bytes(b"[tool.pytest-fastr]\napp = '\xff'\n")
    with pytest.raises(ConfigError, match=r"pyproject\.toml is not valid TOML: it is not UTF-8 \(at line 2\)"):
        load_config(tmp_path)


def test_a_file_that_cannot_be_read_is_no_absent_one(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").mkdir()
    with pytest.raises(ConfigError, match=r"cannot read .*pyproject\.toml"):
        load_config(tmp_path)


def test_the_underscored_table_is_refused_and_not_overlooked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[tool.pytest_fastr\] is not read; name it \[tool.pytest-fastr\]"):
        load_config(write(tmp_path, "[tool.pytest_fastr]\nusers = 2\n"))


@pytest.mark.parametrize("text", ["tool = 1\n", "[tool]\npytest-fastr = 1\n"])
def test_something_else_in_the_tables_place_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="must be a table"):
        load_config(write(tmp_path, text))


@pytest.mark.parametrize(
    ("value", "seconds"), [("500ms", 0.5), ("5s", 5.0), ("2m", 120.0), ("1.5 s", 1.5), (3, 3.0), (0.25, 0.25)]
)
def test_durations_are_seconds(value: object, seconds: float) -> None:
    assert parse_duration(value, "it") == seconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        "5",
        "s",
        "-5s",
        "0s",
        "5h",
        "1e3s",
        "nan",
        "٣s",
        0,
        -0.0,
        math.nan,
        math.inf,
        True,
        None,
        [5],
        10**400,
    ],
)
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match=r'it is .*"500ms"'):
        parse_duration(value, "it")


@pytest.mark.parametrize(("value", "fraction"), [("2%", 0.02), ("0.5 %", 0.005), ("150%", 1.5), (0.02, 0.02)])
def test_limits_are_fractions(value: object, fraction: float) -> None:
    assert parse_limit(value, "it") == pytest.approx(fraction)


@pytest.mark.parametrize("value", ["2", "%", "-2%", "0%", 0, -0.1, math.nan, math.inf, True, None, "50ms"])
def test_what_is_no_limit_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match=r'it is .*"2%" or 0.02'):
        parse_limit(value, "it")


def test_a_bare_two_is_not_taken_for_two_hundred_percent() -> None:
    with pytest.raises(ConfigError, match='would be 200 %; write "2%"'):
        parse_limit(2, "it")


def test_a_throughput_cannot_be_limited_to_a_fall_of_all_of_it() -> None:
    with pytest.raises(ConfigError, match="below 100 %"):
        parse_limits({"throughput": "100%"}, "it")


def test_a_limit_that_is_not_named_is_the_default_and_another_ref_is_held_to_less() -> None:
    limits = parse_limits({"p99": "30%"}, "it")
    assert limits.changes == {"p99": 0.3}
    assert limits.of(paired=False) == {**DEFAULT_LIMITS, "p99": 0.3}
    assert limits.of(paired=True)["cpu"] < limits.of(paired=False)["cpu"]


@pytest.mark.parametrize(
    ("metric", "value", "expected"),
    [
        ("p99", "50ms", AbsoluteLimit("p99<50ms", "p99", "<", 50_000.0)),
        ("p99", "<50ms", AbsoluteLimit("p99<50ms", "p99", "<", 50_000.0)),
        ("p999", "1.5 s", AbsoluteLimit("p999<1.5s", "p999", "<", 1_500_000.0)),
        ("cpu", "300us", AbsoluteLimit("cpu<300us", "cpu", "<", 300.0)),
        ("rps", ">2000", AbsoluteLimit("rps>2000", "rps", ">", 2000.0)),
        ("rps", 2000, AbsoluteLimit("rps>2000", "rps", ">", 2000.0)),
        ("memory", "200MB", AbsoluteLimit("memory<200MB", "memory", "<", 200e6)),
        ("memory", "1GiB", AbsoluteLimit("memory<1GiB", "memory", "<", 2.0**30)),
    ],
)
def test_a_unit_or_a_sign_makes_a_limit_absolute(metric: str, value: object, expected: AbsoluteLimit) -> None:
    limits = parse_limits({metric: value}, "it")
    assert limits.absolute == {metric: expected}
    assert limits.changes == {}


def test_a_metric_may_have_a_limit_of_both_kinds_and_the_closer_place_wins() -> None:
    far = parse_limits({"p99": ["15%", "50ms"], "cpu": "2%"}, "it")
    near = parse_limits({"p99": "20ms"}, "it")
    merged = near.over(far)
    assert merged.changes == {"p99": 0.15, "cpu": 0.02}
    assert merged.absolute["p99"].bound == 20_000.0


@pytest.mark.parametrize(
    "given",
    [
        {"p99": ">50ms"}, {"p99": "50MB"}, {"rps": "<2000"}, {"rps": "2000ms"}, {"rps": "2%"}, {"memory": "50ms"},
        {"throughput": "50ms"}, {"p999": "5%"}, {"p99": "0ms"}, {"rps": 0}, {"cpu": ">1"}, {"rps": True},
    ],
)  # fmt: skip
def test_what_no_metric_is_held_to_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="it of `"):
        parse_limits(given, "it")


def test_the_other_ref_has_a_table_of_its_own() -> None:
    env = {"baseline": {"DB": "a"}, "candidate": {"DB": "b"}}
    config = parse_config({"against": {"prepare": "make", "copy": [".env"], "env": env}}, "here")
    assert config.against == AgainstConfig("make", (".env",), env)
    for wrong in (
        {"prepare": ["make"]}, {"copy": ".env"}, {"copy": [""]}, {"env": {"DB": "a"}}, {"env": {"baseline": "DB=a"}},
        {"prepared": "make"}, "make",
    ):  # fmt: skip
        with pytest.raises(ConfigError, match="here: `against`"):
            parse_config({"against": wrong}, "here")


def test_a_count_is_a_whole_number() -> None:
    assert parse_count(3, "it") == 3
    for wrong in (0, -1, 1.0, True, "1"):
        with pytest.raises(ConfigError, match="whole number"):
            parse_count(wrong, "it")
