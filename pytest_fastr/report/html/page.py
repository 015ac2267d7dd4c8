"""The whole report as one document: values in, text out, the same text for the same values."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from pytest_fastr.gate.model import Outcome, SessionReport
from pytest_fastr.report.html.environment import environment
from pytest_fastr.report.html.loads import LoadRun, loads_part
from pytest_fastr.report.html.markup import Markup, join, tag
from pytest_fastr.report.html.overview import build_verdict, entries_of, overview
from pytest_fastr.report.html.section import section

# No script, and nothing is fetched: whatever a name might hold, a browser does not act on it.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


TITLE = "Performance report"


def style() -> str:
    """The style sheet."""
    return files(__package__).joinpath("style.css").read_text(encoding="utf-8")


def to_html(
    report: SessionReport,
    outcomes: Sequence[Outcome],
    loads: Sequence[LoadRun] = (),
    commit: str | None = None,
    interrupted: bool = False,
    failed_tests: int = 0,
) -> str:
    """The document. ``outcomes``: what each test of the report does to the build, in its order. ``failed_tests``: how
    many tests of the run failed, for whatever reason."""
    entries = entries_of(report, outcomes)
    broken = [run.nodeid for run in loads if run.is_broken]
    told = {(one.test.path, one.test.line) for one in entries if one.outcome is Outcome.FAIL}
    others = max(failed_tests - len(told) - len(set(broken)), 0)
    verdict, sentence = build_verdict(entries, len(broken), len(loads), interrupted, others)
    main = [
        overview(report, entries, verdict, sentence),
        tag("section", tag("h2", "Tests", id="tests"), map(section, entries), aria_labelledby="tests")
        if entries
        else None,
        loads_part(loads),
        environment(report, commit),
    ]
    body = join(
        [
            tag("a", "Skip to the overview", href="#overview", class_="skip"),
            tag("header", tag("h1", TITLE), tag("p", _subtitle(report)), _navigation(bool(entries), loads)),
            tag("main", main),
            tag("footer", tag("p", "Written by pytest-fastr. What each plot means: docs/report.md.")),
        ]
    )  # fmt: skip
    head = [
        tag("meta", charset="utf-8"),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"/>'),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{sentence} {TITLE}"),
        tag("link", rel="icon", href="data:,"),
        tag("style", Markup(style())),
    ]
    return f"<!DOCTYPE html>\n{tag('html', tag('head', head), tag('body', body), lang='en')}\n"


def _subtitle(report: SessionReport) -> str:
    against = f"against {report.against}" if report.against is not None else "against stored baselines"
    return f"{report.started[:16].replace('T', ' ')} · {against} · {report.profile.slug}"


def _navigation(tests: bool, loads: Sequence[LoadRun]) -> Markup:
    places = [("overview", "Overview"), *([("tests", "Tests")] if tests else []),
              *([("loads", "Load runs")] if loads else []), ("environment", "Environment")]  # fmt: skip
    links = [tag("li", tag("a", title, href=f"#{place}")) for place, title in places]
    return tag("nav", tag("ul", links), aria_label="Parts of the report")
