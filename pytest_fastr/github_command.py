"""``pytest-fastr github``: what the action does. Wiring only."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from pytest_fastr.errors import ConfigError, ReportError, ResultError
from pytest_fastr.github.annotations import annotations_of, as_log
from pytest_fastr.github.client import Api
from pytest_fastr.github.context import Context, context_of
from pytest_fastr.github.decision import Decision, decide
from pytest_fastr.github.measure import Measurement, folder_of, measure, read_outcome
from pytest_fastr.github.patience import TOTAL_S, Patience
from pytest_fastr.github.publish import Publication, publish
from pytest_fastr.github.runner_files import StepSummary, write_outputs
from pytest_fastr.keys import parse_duration
from pytest_fastr.report.output import print_text
from pytest_fastr.report.result_reader import ResultFile, read_result

NAME = "pytest-fastr"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the two commands below ``github`` and their options."""
    commands = parser.add_subparsers(dest="github_command", required=True)
    report = commands.add_parser("report", help="job summary, annotations, check run and comment of a result file")
    report.add_argument("result", type=Path, metavar="RESULT.json", help="the file of --perf-json")
    report.add_argument(
        "--fail-on", choices=("regressed", "inconclusive", "never"), default="regressed",
        help="which verdicts give exit code 1: regressed (and invalid), those and inconclusive, or none",
    )  # fmt: skip
    report.add_argument(
        "--comment", choices=("never", "on-change", "always"), default="on-change",
        help="when a pull request gets a comment; one that is there is updated in any case",
    )  # fmt: skip
    report.add_argument("--no-check", action="store_true", help="make no check run")
    report.add_argument("--name", default=NAME, help="tells apart several reports of one commit (%(default)s)")
    report.add_argument("--root", default="", metavar="DIR", help="where pytest ran, from the repository's top")
    report.add_argument("--pytest-outcome", type=Path, metavar="FILE", help="what `github measure` wrote beside it")
    report.add_argument(
        "--from-workflow-run", nargs="?", const="", metavar="EVENT.json",
        help="report the run that this workflow_run event is about (default: the file GITHUB_EVENT_PATH)",
    )  # fmt: skip
    report.add_argument(
        "--max-wait", default=f"{TOTAL_S:g}s", metavar="TIME", help="all the time that GitHub may take (%(default)s)"
    )
    report.set_defaults(run=run_report)
    measuring = commands.add_parser("measure", help="the action's run of pytest, from its inputs in the environment")
    measuring.add_argument("--name", default=NAME, help="the report's name")
    measuring.set_defaults(run=run_measure)


def run_measure(args: argparse.Namespace) -> int:
    """Measures. The outputs are set before, so that the report finds what there is whatever happens."""
    measurement = Measurement(folder_of(os.environ, args.name or NAME))
    paths = {"report-path": str(measurement.result), "pytest-outcome": str(measurement.outcome)}
    write_outputs(_file(os.environ, "GITHUB_OUTPUT"), paths)
    return measure(os.environ, measurement)


def run_report(args: argparse.Namespace) -> int:
    """Reports. Returns 1 where the result fails the build, whatever GitHub did; 2 where there is no result."""
    env = os.environ
    summary = StepSummary(_file(env, "GITHUB_STEP_SUMMARY"), _say)
    try:
        result = read_result(args.result)
        outcome = None if args.pytest_outcome is None else read_outcome(args.pytest_outcome)
    except ResultError as error:
        _no_result(str(error), summary, env)
        raise
    decision = decide(result, args.fail_on, outcome)
    _tell_outputs(env, _outputs(args.result, result, decision))
    context = context_of(env, _event_path(args, env))
    api = None
    if context.token:
        api = Api(context.api_url, context.token, Patience(parse_duration(args.max_wait, "--max-wait")))
    told = annotations_of(result.session.tests, _placing(args.root, env, context))
    publication = Publication(result, decision, told, args.name or NAME, args.comment, check=not args.no_check)
    publish(publication, context, api, summary, _say)
    _say(as_log(" ".join([f"{decision.headline}.", *decision.problems])))
    return 1 if decision.fails else 0


def _say(line: str) -> None:
    """Prints a line, whatever the log can show of it."""
    print_text(line + "\n")
    sys.stdout.flush()


def _no_result(why: str, summary: StepSummary, env: Mapping[str, str]) -> None:
    """What a reader of the summary must know. The words are ours: no text of a result stands in a refusal."""
    summary.write(lambda _: f"### 🔴 Performance: there is no result\n\n{why}.\n")
    _tell_outputs(env, {"verdict": "invalid", "regressions": "0", "inconclusive": "0"})


def _tell_outputs(env: Mapping[str, str], outputs: Mapping[str, str]) -> None:
    """Sets the report's outputs. Where that is not possible it is said, and the result decides all the same."""
    try:
        write_outputs(_file(env, "GITHUB_OUTPUT"), outputs)
    except ReportError as error:
        _say(as_log(str(error)))


def _outputs(path: Path, result: ResultFile, decision: Decision) -> dict[str, str]:
    counts = {verdict.value: count for verdict, count in decision.counts.items()}
    return {
        "verdict": str(decision.verdict),
        "regressions": str(counts.get("regressed", 0)),
        "inconclusive": str(counts.get("inconclusive", 0)),
        "report-path": str(path),
        "profile": result.session.profile.slug,
    }


def _event_path(args: argparse.Namespace, env: Mapping[str, str]) -> Path | None:
    if args.from_workflow_run is None:
        return None
    path = args.from_workflow_run or env.get("GITHUB_EVENT_PATH")
    if not path:
        raise ConfigError("--from-workflow-run: GITHUB_EVENT_PATH is not set; name the event's file behind the option")
    return Path(path)


def _placing(root: str, env: Mapping[str, str], context: Context) -> Callable[[str], str | None]:
    """Says where in the repository a test's file lies. Its path counts from pytest's root, which may be the
    repository's top or the folder that pytest ran in."""
    top = None if context.measured is not None else _file(env, "GITHUB_WORKSPACE")

    def place(path: str) -> str | None:
        candidates = [PurePosixPath(root, path), PurePosixPath(path)]
        inside = [one for one in candidates if not one.is_absolute() and ".." not in one.parts]
        there = [one for one in inside if top is not None and Path(top, one).is_file()]
        return str((there or inside)[0]) if inside else None

    return place


def _file(env: Mapping[str, str], name: str) -> Path | None:
    return Path(env[name]) if env.get(name) else None
