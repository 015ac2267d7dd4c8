"""docs/benchmarks.md and its plots, from the results."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from measuring.records import Record
from published import database, frameworks
from published.places import FINDINGS
from published.plots import Line, bars, spans, stacked
from published.summary import read_summary
from published.table import Source, Summary, Table
from pytest_fastr.errors import ReportError
from pytest_fastr.github.markdown import cell, code, folded
from pytest_fastr.report.output import write_text

TABLES = (frameworks.TABLE, database.TABLE)
BUSY_GENERATOR = 0.9
HEAD = """# Benchmarks

Two tables that were published elsewhere, measured again with [pytest-fastr load](load.md). `make bench-frameworks` and
`make bench-database` measure and write this page; the numbers are in `benchmarks/published/results/`.

* The server has cores of its own, one unless a table says otherwise, and the generator another one. A PostgreSQL that
  is started for this shares the generator's, so that it takes nothing from the server. One of `DATABASE_URL` is where
  it is.
* Rows alternate: in each round every row is started, warmed up and measured once, in an order by chance. Printed are
  the median of the rounds and the range of the middle 80 %. A ratio is taken within a round. Absolute numbers are this
  machine's and nobody else's.
* One answer is compared with the right one before and after each measurement; under load every answer must be a 200.
  What is not is counted under errors.
* Times are from when a request was due to its last byte, with the connect where each request has its own. CPU is that
  of the server's processes for a request, memory their peak (pages that processes share count for each of them).
* A quantile stands there where ten requests or more of every round took longer; else `-` does.
* Every framework has the handler that is fastest for it: `async def` for FastAPI and ours, `def` for the others. Access
  logs are off.
"""


def write_page(results: Path, page: Path) -> list[Path]:
    """Writes the page and its plots. Returns what was written. Raises ReportError for results that are none."""
    parts: list[str] = [HEAD]
    files: dict[str, str] = {}
    for table in TABLES:
        path = results / f"{table.name}.json"
        try:
            found = read_summary(path, table.name)
            text, plots = section(table, found)
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise ReportError(
                f"{path} is damaged ({type(error).__name__}: {error}): remove it, and measure again"
            ) from error
        parts.append(text)
        files |= plots
    written = []
    for name, image in files.items():
        write_text(page.parent / "images" / name, image, "plot", "--page")
        written.append(page.parent / "images" / name)
    write_text(page, "\n".join(parts), "page", "--page")
    return [page, *written]


def section(table: Table, found: Summary | None) -> tuple[str, dict[str, str]]:
    """One table's part of the page, and its plots by file name."""
    if found is None:
        lines = [f"## {table.title}", "", table.about, "", f"Not measured yet: `make bench-{table.name}`.", ""]
        return "\n".join([*lines, *_published(table.sources)]), {}
    lines = [f"## {table.title}", "", table.about, "", _machine(found), ""]
    files: dict[str, str] = {}
    for load in found["workloads"]:
        rows = _sorted(load["rows"])
        plots = _plots(table, load, rows)
        files |= plots
        lines += [f"### {_title(table, load)}", ""]
        lines += [f"![{_title(table, load)}](images/{name})" for name in plots]
        lines += ["", *(_open_table(table, rows) if load["rate"] else _closed_table(table, rows)), ""]
    lines += _goals(table, found)
    lines += ["### Where the time goes", "", *_steps(found), *_findings(table)]
    lines += _published(table.sources)
    lines += _checked(table, found)
    lines += _details(table, found)
    return "\n".join(lines), files


def _machine(found: Summary) -> str:
    run = found["run"]
    key, recorded = run["profile"]["key"], run["profile"]["recorded"]
    memory = f"{recorded['memory_bytes'] / 2**30:.0f} GiB" if recorded.get("memory_bytes") else "memory unknown"
    parts = [
        f"{code(str(key['cpu_model']))} ({key['cores']} cores, {code(str(recorded.get('virtualisation')))})", memory,
        f"kernel {code(str(run['kernel']))}", f"Python {code(str(run['python']))}",
        f"pytest-fastr {code(str(recorded.get('engine_version', '')))} at {code(str(run['commit'] or 'unknown')[:12])}",
    ]  # fmt: skip
    if run.get("database"):
        parts.append(code(str(run["database"])))
    cores = len(run.get("server_cores") or ())
    if cores != 1:
        parts.append(f"{cores} cores for the server" if cores else "cores as the system gives them")
    rounds = f"{run['rounds']} round{'s' if run['rounds'] != 1 else ''} of {run['seconds']:g} s"
    return f"{', '.join(parts)}; {rounds} after {run['warm_up']:g} s of warm-up, {str(run['from'])[:10]}."


def _closed_table(table: Table, rows: list[Summary]) -> list[str]:
    has_database = any(row.get("others_us") for row in rows)
    titles = ["row", "requests/s", f"of {_name(table, table.base)}", "average", "median", "p95", "p99", "CPU a request"]
    titles += ["database's CPU"] if has_database else []
    titles += ["peak memory", "errors"]
    lines = [_line(titles), _line(["---"] * len(titles))]
    for row in rows:
        if "absent" in row:
            lines.append(_line([_row_name(table, row), cell(str(row["absent"])), *[""] * (len(titles) - 2)]))
            continue
        cells = [
            _row_name(table, row), _ranged(row["rps"], "{:,.0f}"),
            "1" if row["server"] == table.base else _ranged(row["of_base"], "{:.2f}"),
            *(_time(row[name]) for name in ("mean_us", "p50_us", "p95_us", "p99_us")),
            _one(row["cpu_us"], "{:,.0f} us" if has_database else "{:.1f} us"),
        ]  # fmt: skip
        cells += [_one(row["others_us"], "{:,.0f} us")] if has_database else []
        lines.append(_line([*cells, _one(row["peak_rss_bytes"], "{:.0f} MiB", 2**-20), _errors(row)]))
    return lines


def _open_table(table: Table, rows: list[Summary]) -> list[str]:
    titles = ["row", "answered", "answers/s", "median, from when due", "p99", "median, from when sent", "p99", "errors"]
    lines = [_line(titles), _line(["---"] * len(titles))]
    for row in rows:
        if "absent" in row:
            lines.append(_line([_row_name(table, row), cell(str(row["absent"])), *[""] * (len(titles) - 2)]))
            continue
        share = f"{row['answered'] / row['scheduled']:.0%}" if row["scheduled"] else ""
        cells = [_row_name(table, row), share, _ranged(row["rps"], "{:,.0f}")]
        cells += [_time(row[name]) for name in ("p50_us", "p99_us", "service_p50_us", "service_p99_us")]
        lines.append(_line([*cells, _errors(row)]))
    return [
        *lines, "",
        "An open loop: requests are due by the clock, whatever becomes of those before. One that finds all connections "
        "busy waits, and its time counts from when it was due: that is what *coordinated omission* leaves out. What a "
        "generator that waits for its answers would print is beside it (*from when sent*). A second after the end what "
        "is still open is given up, and counts with its time so far; so a row that answers few of its requests has a "
        "median that says how long the load lasted, as in any queue that only grows.",
    ]  # fmt: skip


def _goals(table: Table, found: Summary) -> list[str]:
    lines = ["### Goals", "", _line(["goal", "ratio", ""]), _line(["---"] * 3)]
    lines += [_line([goal["text"], _ranged(goal["ratio"], "{:.2f}"), _best(table, goal)]) for goal in found["goals"]]
    return [*lines, ""]


def _best(table: Table, goal: Summary) -> str:
    if goal["ours"] is None or len(table_goal_ours(table, goal["text"])) < 2:
        return str(goal["judged"])
    return f"{goal['judged']} (by {_name(table, goal['ours'])})"


def table_goal_ours(table: Table, text: str) -> tuple[str, ...]:
    """The rows that may reach a goal."""
    return next((goal.ours for goal in table.goals if goal.text == text), ())


def _steps(found: Summary) -> list[str]:
    """Where the CPU time of our answer goes, as far as its steps can be measured by themselves."""
    steps = found.get("where")
    if not steps:
        return []
    rows = next(load["rows"] for load in found["workloads"] if load["name"] == "keep")
    mine = next(row for row in rows if row["server"] == "ours-face")
    parts = [
        ("a query of asyncpg that selects nothing (`SELECT 1`)", steps["select_1_us"]),
        ("the hundred rows, beyond that", max(steps["page_us"] - steps["select_1_us"], 0.0)),
        ("taking a connection from the pool, and giving it back", max(steps["pool_us"] - steps["page_us"], 0.0)),
        ("a dictionary for each row", steps["dicts_us"]),
        ("the JSON", steps["json_us"]),
    ]
    whole = (mine.get("cpu_us") or {}).get("median")
    if whole is not None:
        rest = max(whole - sum(value for _, value in parts), 0.0)
        parts += [("the rest: HTTP, the engine, the handler", rest), ("all of it, under load", whole)]
    lines = [_line(["step of FastrAPI's answer", "CPU"]), _line(["---", "---"])]
    lines += [_line([name, f"{value:,.0f} us"]) for name, value in parts]
    both, uvloop, small = (f"{steps[name]:,.0f} us" for name in ("page_us", "page_uvloop_us", "page_small_us"))
    note = (
        f"Query and rows, {both} together on asyncio's sockets, take {uvloop} on uvloop's, and {small} on asyncio's "
        "with 64 KiB to read at a time instead of 256 KiB."
    )
    return [*lines, "", note, ""]


def _findings(table: Table) -> list[str]:
    path = FINDINGS / f"{table.name}.md"
    return [path.read_text(encoding="utf-8").strip(), ""] if path.exists() else []


def _published(sources: Iterable[Source]) -> list[str]:
    titles = ["as published", "requests/s", "average", "median", "p95", "p99", "memory"]
    lines = ["### As published", ""]
    for source in sources:
        lines += [f"[{source.title}]({source.url}): {source.method}.", "", _line(titles), _line(["---"] * len(titles))]
        for row in source.rows:
            times = [row.mean_ms, row.p50_ms, row.p95_ms, row.p99_ms]
            cells = [row.name, f"{row.rps:,.0f}", *("" if ms is None else f"{ms:,.10g} ms" for ms in times)]
            lines.append(_line([*cells, "" if row.memory_mib is None else f"{row.memory_mib:,.0f} MiB"]))
        lines.append("")
    return lines


def _checked(table: Table, found: Summary) -> list[str]:
    """What other generators found, as ratios to ours."""
    lines = []
    for load in found["workloads"]:
        for row in load["rows"]:
            for name, beside in sorted((row.get("beside") or {}).items()):
                failed = (row.get("beside_errors") or {}).get(name, 0)
                cells = [load["title"], _row_name(table, row), name]
                cells += [_ranged(beside[value], "{:.2f}") for value in ("rps", "cpu_us", "p50_us", "p99_us")]
                lines.append(_line([*cells, f"{failed:,}"]))
    if not lines:
        return []
    titles = ["load", "row", "generator", "requests/s", "server's CPU", "median", "p99", "errors"]
    run = found["run"]
    versions = ", ".join(code(str(run[name]).partition(" Copyright")[0]) for name in ("wrk", "oha") if run.get(name))
    body = "\n".join([_line(titles), _line(["---"] * len(titles)), *lines])
    words = f"Ratios to pytest-fastr's generator, in some of the rounds: what it finds, others find too ({versions})."
    return ["### The instrument, checked", "", words, "", folded("Numbers", body), ""]


def _details(table: Table, found: Summary) -> list[str]:
    lines = []
    for server in found["servers"]:
        if server.get("command"):
            packages = ", ".join(code(str(one)) for one in server["packages"])
            lines += [
                f"* {_name(table, server['name'])}: {code(str(server['command']), 400)}"
                + (f" (Python {code(str(server['python']))}; {packages})" if packages else "")
            ]
    return [folded("Commands and versions", "\n".join(lines)), ""] if lines else []


def _plots(table: Table, load: Summary, rows: list[Summary]) -> dict[str, str]:
    """Plots by file name."""
    stem, title = f"benchmarks-{table.name}-{load['name']}", _title(table, load)

    def lines(values: Callable[[Summary], list[float]], text: Callable[[Summary], str]) -> list[Line]:
        return [
            Line(
                _name(table, row["server"]),
                found,
                row["server"] in table.ours,
                _spread(row),
                text(row) if found else "",
            )
            for row in rows
            if (found := values(row)) or "absent" in row
        ]

    if load["rate"]:
        names = ("from when sent (what waiting hides)", "from when due")
        waits = lines(lambda row: _medians(row, "service_p50_us", "p50_us", scale=1e-3), lambda row: "")
        return {f"{stem}.svg": spans(f"{title}: median time", waits, names, "ms")}
    rates = lines(lambda row: _medians(row, "rps"), lambda row: f"{row['rps']['median']:,.0f}")
    times = lines(lambda row: _medians(row, "p50_us", "p95_us", "p99_us", scale=1e-3), lambda row: "")
    made = {
        f"{stem}.svg": bars(f"{title}: requests/s", rates, "requests/s"),
        f"{stem}-times.svg": spans(f"{title}: times", times, ("median", "p95", "p99"), "ms"),
    }
    costs = lines(lambda row: _medians(row, "cpu_us", "others_us"), _cost)
    if any(len(line.values) > 1 for line in costs):
        made[f"{stem}-cpu.svg"] = stacked(f"{title}: CPU time of a request", costs, ("server", "database"), "us")
    return made


def _cost(row: Summary) -> str:
    return f"{sum(_medians(row, 'cpu_us', 'others_us')):,.0f} us"


def _medians(row: Summary, *names: str, scale: float = 1.0) -> list[float]:
    return [row[name]["median"] * scale for name in names if row.get(name)]


def _spread(row: Summary) -> tuple[float, float] | None:
    return (row["rps"]["low"], row["rps"]["high"]) if row.get("rps") and row["rounds"] > 1 else None


def _sorted(rows: list[Summary]) -> list[Summary]:
    return sorted(rows, key=lambda row: -(row.get("rps") or {"median": 0.0})["median"])


def _title(table: Table, load: Summary) -> str:
    return next((one.title for one in table.workloads if one.name == load["name"]), cell(str(load["name"])))


def _name(table: Table, server: str) -> str:
    return next((one.title for one in table.servers if one.name == server), server)


def _row_name(table: Table, row: Summary) -> str:
    name = _name(table, row["server"])
    busy = (row.get("utilisation") or {"median": 0.0})["median"] > BUSY_GENERATOR
    shown = f"{name} (the generator had no time left: at least this)" if busy else name
    return f"**{shown}**" if row["server"] in table.ours else shown


def _errors(row: Summary) -> str:
    return "; ".join([f"{row['errors']:,}", *(cell(str(reason)) for reason in row["wrong"])])


def _ranged(found: Record | None, form: str) -> str:
    if found is None:
        return ""
    low, middle, high = (form.format(found[name]) for name in ("low", "median", "high"))
    return middle if low == high else f"{middle} [{low}, {high}]"


def _one(found: Record | None, form: str, scale: float = 1.0) -> str:
    return "" if found is None else form.format(found["median"] * scale)


def _time(found: Record | None) -> str:
    """Milliseconds, to three digits."""
    if found is None:
        return "-"
    ms = found["median"] / 1000
    return f"{ms:,.0f} ms" if ms >= 100 else f"{ms:.1f} ms" if ms >= 10 else f"{ms:.2f} ms"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
