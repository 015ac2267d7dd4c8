"""The table after the tests: a row a test, a line a warning, one summary.

It fits the width by saying less and never by breaking a number: numbers beside the name (`_table_wide`), the
interval below its change (`_table_stacked`), the numbers below the name (`_table_compact`), no table at all
(`_list`).
"""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from pytest_fastr.gate.model import MetricResult, SessionReport, TestReport, Verdict, severity, worst
from pytest_fastr.report.page_text import Page
from pytest_fastr.report.paragraph import (
    absolute_words,
    again_with,
    at_rate_words,
    errors_text,
    left_lane,
    metric_words,
    paragraph,
)
from pytest_fastr.report.quantity import (
    interval_text,
    percent_text,
    printable,
    rate_text,
    share_text,
    time_text,
)

__all__ = ["paragraph", "render"]

MIN_WIDTH = 20
_MIN_NAME = 24
_MIN_COMPACT_NAME = 18
_MIN_WARNED_NAME = 30
_GAP = 2
STYLES = {
    Verdict.REGRESSED: "bold red",
    Verdict.INVALID: "bold red",
    Verdict.NEW: "cyan",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.IMPROVED: "green",
    Verdict.EQUIVALENT: "green",
}
_GREEN = (Verdict.EQUIVALENT, Verdict.IMPROVED)


def render(report: SessionReport, width: int, color: bool, ascii_only: bool = False, verbosity: int = 0) -> str:
    """The report as text of at most `width` columns (20 at least), without a newline at the end.

    `verbosity` as pytest counts it: below 0 only what is not green, above 0 every metric of every test.
    """
    if not report.tests:
        return "no perf test was measured"
    page = Page(max(width, MIN_WIDTH), ascii_only)
    told = report
    if verbosity < 0:
        told = replace(report, tests=tuple(test for test in report.tests if test.verdict not in _GREEN))
    parts: list[RenderableType] = []
    if told.tests:
        parts += [*_table([_row(test, page, told) for test in told.tests], page), *_warnings(told, page), Text("")]
    if verbosity > 0:
        parts += [*_details(report, page), Text("")]
    parts += page.packed(list(_summary(report)), STYLES[worst(test.verdict for test in report.tests)])
    return printed(parts, page.width, color)


def worst_metric(test: TestReport) -> MetricResult | None:
    """The gated metric that speaks for the test: of the worst verdict, the one that moved most.

    Moves count in units of what the run could see: where nothing was shown, the noisiest metric has least to say.
    """
    gated = [metric for metric in test.metrics.values() if metric.verdict is not None]
    return min(gated, key=_rank, default=None)


def _rank(metric: MetricResult) -> tuple[int, float]:
    worsening = metric.worsening
    unit = max(metric.limit or 0.0, metric.smallest_detectable or 0.0) or 1.0
    moved = 0.0 if worsening is None or not math.isfinite(worsening) else worsening / unit
    verdict = metric.verdict or Verdict.EQUIVALENT
    # What improved most speaks for an improved test.
    return severity(verdict), moved if verdict is Verdict.IMPROVED else -moved


@dataclass(frozen=True, slots=True)
class _Row:
    """One test as text, before it is known what has room."""

    nodeid: str
    rps: str
    p50: str
    p99: str
    cpu: str
    change: str
    interval: str
    verdict: Verdict

    @property
    def change_with_interval(self) -> str:
        return f"{self.change} {self.interval}".strip()


def test_title(test: TestReport, report: SessionReport) -> str:
    """The test's name, and what it was compared with where the session's other ref leaves that open."""
    return f"{test.nodeid} (stored)" if report.against is not None and test.mode == "stored" else test.nodeid


def _row(test: TestReport, page: Page, report: SessionReport) -> _Row:
    metric = worst_metric(test)
    known = metric is not None and metric.change is not None
    broken = next((one for one in test.absolute if one.verdict is Verdict.REGRESSED), None)
    if broken is not None and not (metric and metric.verdict is Verdict.REGRESSED):
        change, interval = page.text(broken.limit), absolute_words(broken).rpartition(": ")[2]
    elif left_lane(test) and not (metric and metric.verdict is Verdict.REGRESSED):
        change, interval = "lane", f"{test.lane.baseline} -> {test.lane.lane}" if test.lane else ""
    else:
        change = f"{page.text(metric.name)} {percent_text(metric.change)}" if metric and known else "-"
        interval = interval_text(metric.low, metric.high) if metric and known else ""
    return _Row(
        nodeid=page.text(test_title(test, report)),
        rps=rate_text(test.rps),
        p50=time_text(test.p50_us),
        p99=time_text(test.p99_us),
        cpu=time_text(test.cpu_us_per_request),
        change=change,
        interval=interval,
        verdict=test.verdict,
    )


def _table(rows: Sequence[_Row], page: Page) -> list[RenderableType]:
    """The richest form in which every number has room."""
    for form in (_table_wide, _table_stacked, _table_compact):
        table = form(rows, page)
        if table is not None:
            return [table]
    return list(_list(rows, page))


def _table_wide(rows: Sequence[_Row], page: Page) -> Table | None:
    return _columns(rows, page, [row.change_with_interval for row in rows])


def _table_stacked(rows: Sequence[_Row], page: Page) -> Table | None:
    return _columns(rows, page, [f"{row.change}\n{row.interval}".strip() for row in rows])


def _columns(rows: Sequence[_Row], page: Page, changes: Sequence[str]) -> Table | None:
    columns = {
        "rps": [row.rps for row in rows],
        "p50": [row.p50 for row in rows],
        "p99": [row.p99 for row in rows],
        "CPU/req": [row.cpu for row in rows],
        "change": list(changes),
    }
    return _built(rows, page, columns, _MIN_NAME)


def _table_compact(rows: Sequence[_Row], page: Page) -> Table | None:
    """Numbers below the name: as many as have room in every row, the cost of a request longest."""
    changes = {"change": [f"{row.change}\n{row.interval}".strip() for row in rows]}
    for kept in (4, 3, 2, 1):
        below = [_numbers_below(row, kept, page) for row in rows]
        table = _built(rows, page, changes, _MIN_COMPACT_NAME, below)
        if table is not None:
            return table
    return None


def _numbers_below(row: _Row, kept: int, page: Page) -> str:
    numbers = [f"p50 {row.p50}", f"{row.rps} rps", f"p99 {row.p99}", f"CPU {row.cpu}"]
    return page.separator.join(numbers[-kept:])


def _built(
    rows: Sequence[_Row],
    page: Page,
    columns: dict[str, list[str]],
    min_name: int,
    below: Sequence[str] | None = None,
) -> Table | None:
    """The table, or None where the columns leave the names less than they need and less than `min_name`."""
    all_columns = {**columns, "verdict": [str(row.verdict) for row in rows]}
    widths = {title: max(_cell_width(cell) for cell in [title, *cells]) for title, cells in all_columns.items()}
    room = page.width - sum(widths.values()) - _GAP * len(widths)
    names, needed = _names([row.nodeid for row in rows], room, page)
    below_needs = max((cell_len(line) for line in below or ()), default=0)
    if room < below_needs or room < min(min_name, needed):
        return None
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold", show_edge=False)
    table.add_column(Text("test"), no_wrap=True, width=min(room, max(needed, below_needs, 4)))
    for title, width in widths.items():
        numeric = title not in ("change", "verdict")
        table.add_column(Text(title), no_wrap=True, width=width, justify="right" if numeric else "left")
    for index, row in enumerate(rows):
        name = Text(names[index])
        if below is not None:
            name.append(f"\n{below[index]}", style="dim")
        table.add_row(
            name,
            *(Text(cells[index]) for cells in columns.values()),
            Text(str(row.verdict), style=STYLES[row.verdict]),
        )
    return table


def _list(rows: Sequence[_Row], page: Page) -> Iterator[Text]:
    """For a terminal too narrow for columns: a value a line."""
    for row in rows:
        yield Text(page.cut(row.nodeid.rpartition("::")[2], page.width))
        yield Text(f"  {row.verdict}", style=STYLES[row.verdict])
        for line in (row.change, row.interval, f"CPU {row.cpu}"):
            if line not in ("", "-"):
                yield Text(page.cut(f"  {line}", page.width))


def _names(nodeids: Sequence[str], room: int, page: Page) -> tuple[list[str], int]:
    """Names of the tests within `room`, and the width they need: as much of the node id as fits in every row.

    Shortening stops where two tests would get the same name; what still needs more room loses its middle.
    """
    forms = [
        list(nodeids),
        [f"{path.rpartition('/')[2]}{rest}" for path, rest in map(_split, nodeids)],
        [rest.removeprefix("::") or path for path, rest in map(_split, nodeids)],
        [nodeid.partition("[")[0].rpartition("::")[2] + "".join(nodeid.partition("[")[1:]) for nodeid in nodeids],
    ]
    chosen = forms[0]
    for form in forms:
        if len(set(form)) < len(set(nodeids)):
            break
        chosen = form
        if max(map(cell_len, form)) <= room:
            break
    return [page.cut(name, max(room, 1)) for name in chosen], max(map(cell_len, chosen))


def _split(nodeid: str) -> tuple[str, str]:
    path, colons, rest = nodeid.partition("::")
    return path, colons + rest


def _warnings(report: SessionReport, page: Page) -> list[Text]:
    """A line for each difference of the refs, each warning, each void reason, the errors, and what was looked at
    again."""
    lines = [line for change in report.changes for line in page.wrapped(f"! {page.text(change)}", "yellow", indent=2)]
    titles = [page.text(test_title(test, report)) for test in report.tests]
    names, _ = _names(titles, max(_MIN_WARNED_NAME, page.width // 3), page)
    for name, test in zip(names, report.tests, strict=True):
        said = [
            (f"{note.level} {note.code}: {note.message}", "red" if note.level == "void" else "yellow")
            for note in test.validity
        ]
        if test.lane is not None and test.lane.message:
            said.append((test.lane.message, STYLES[test.lane.verdict] if test.lane.verdict else "yellow"))
        errors = errors_text(test.errors, test.requests)
        if errors:
            said.append((errors, "red"))
        if test.confirmed is not None:
            seen = "seen again" if test.confirmed else "not seen again"
            said.append((f"measured again {again_with(test)}: the regression was {seen}", "yellow"))
        elif test.looks > 1:
            said.append((f"near its limit: measured on {again_with(test)}, {test.looks} looks in all", "yellow"))
        said += [
            (at_rate_words(metric, test), "") for metric in test.metrics.values() if metric.name.startswith("rate_")
        ]
        for text, style in said:
            lines += page.wrapped(f"! {name}: {page.text(text)}", style, indent=2)
    return [Text(""), *lines] if lines else []


def _details(report: SessionReport, page: Page) -> Iterator[Text]:
    """Every metric of every test, a line each."""
    for test in report.tests:
        yield from page.wrapped(page.text(test_title(test, report)), "bold", indent=2)
        for metric in test.metrics.values():
            style = STYLES[metric.verdict] if metric.verdict is not None else "dim"
            yield from page.wrapped(f"- {page.text(metric_words(metric))}", style, indent=2)


def _summary(report: SessionReport) -> Iterator[str]:
    """The parts of the last line."""
    counted = Counter(test.verdict for test in report.tests)
    verdicts = ", ".join(f"{counted[verdict]} {verdict}" for verdict in sorted(counted, key=severity))
    yield f"{len(report.tests)} test{'' if len(report.tests) == 1 else 's'}: {verdicts}"
    if report.against is not None:
        yield f"against {printable(report.against)}"
    yield f"profile {report.profile.slug}"
    sizes = smallest_detectable(metric for test in report.tests for metric in test.metrics.values())
    if sizes:
        yield f"smallest change every test could see: {sizes}"


def smallest_detectable(metrics: Iterable[MetricResult]) -> str:
    """``cpu 2.1 %, p99 9 %``: per gated metric the size that none of these would have missed. Empty: not known."""
    sizes: dict[str, float] = {}
    for metric in metrics:
        size = metric.smallest_detectable
        if metric.verdict is not None and size is not None and math.isfinite(size):
            sizes[metric.name] = max(size, sizes.get(metric.name, 0.0))
    return ", ".join(f"{name} {share_text(size)}" for name, size in sizes.items())


def _cell_width(cell: str) -> int:
    return max((cell_len(line) for line in cell.split("\n")), default=0)


def printed(parts: Sequence[RenderableType], width: int, color: bool) -> str:
    """What rich prints. The environment is left out: the caller has decided about color and width."""
    stream = io.StringIO()
    console = Console(
        file=stream,
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=not color,
        legacy_windows=False,
        highlight=False,
        _environ={},
    )
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, Text), markup=False, emoji=False)
    return "\n".join(line.rstrip() for line in stream.getvalue().rstrip("\n").split("\n"))
