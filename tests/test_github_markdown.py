"""Text of a result is text on GitHub too: no mention, link, image, HTML or end of a table comes out of it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from pytest_fastr.gate.model import AbsoluteResult, MetricResult, ValidityNote, Verdict
from pytest_fastr.github.decision import decide
from pytest_fastr.github.markdown import block, cell, code, html_code
from pytest_fastr.github.page import page
from pytest_fastr.report.load_reader import LoadLimit, LoadRun
from pytest_fastr.report.result_reader import ResultFile
from support.results import report_of, session_of

EVIL = (
    "@everyone",
    "[x](https://evil.example)",
    "![x](https://evil.example/p.png)",
    "https://evil.example www.evil.example a@evil.example",
    "<img src=x onerror=alert(1)><script>",
    "</code></summary></details><b>",
    "a | b | c",
    "a \\| b \\\\| c",
    "`@everyone` ``@everyone`` ```\n@everyone",
    "```",
    "`",
    " ` ",
    "``` `` `",
    "~~~\n# head\n\n* item\n> quote\n---\n",
    "#1 GH-1 :smile: **x** _y_ $z$",
    "&lt;b&gt; &#64;everyone",
    "-->\n<!-- x",
    "\u202eabc\x1b[31m\x00",
    "",
    " ",
    "\\",
    "end\\",
    "x" * 5000,
)
PARSER = MarkdownIt("commonmark", {"html": True}).enable("table")


def outside_of_code(markdown: str) -> str:
    """What a renderer sees as anything but code: the text and HTML in which GitHub looks for mentions and links."""
    seen = []
    for token in PARSER.parse(markdown):
        if token.type == "html_block":
            seen.append(re.sub(r"<code>[^<]*</code>", "", token.content))
        for child in token.children or ():
            if child.type != "code_inline":
                seen.append(f"{child.type}:{child.content}")
    return "\n".join(seen)


@pytest.mark.parametrize("text", EVIL)
def test_a_span_is_one_span_of_that_text(text: str) -> None:
    (_, inline, _) = PARSER.parse(code(text, 10_000))
    (span,) = inline.children or []
    assert span.type == "code_inline"
    shown = text.encode("unicode_escape").decode() if not text.isprintable() else text
    if text.isprintable() and text.strip():
        assert span.content.strip() == shown.strip()


@pytest.mark.parametrize("text", EVIL)
def test_a_cell_is_one_cell(text: str) -> None:
    table = f"| a | b |\n|---|---|\n| {cell(text)} | last |"
    cells = [token for token in PARSER.parse(table) if token.type == "inline"]
    assert len(cells) == 4
    (span,) = cells[2].children or []
    assert span.type == "code_inline"
    assert cells[3].content == "last"


@pytest.mark.parametrize("text", EVIL)
def test_a_block_ends_where_it_should(text: str) -> None:
    tokens = PARSER.parse(f"{block(text)}\n\nbehind")
    assert [token.type for token in tokens] == ["fence", "paragraph_open", "inline", "paragraph_close"]


@pytest.mark.parametrize("text", EVIL)
def test_html_of_a_title_stays_within_it(text: str) -> None:
    made = html_code(text, 10_000)
    assert re.fullmatch(r"<code>[^<>\n]*</code>", made)


def test_a_page_holds_no_word_of_a_result_outside_of_code() -> None:
    tests, loads = [], []
    for number, evil in enumerate(EVIL):
        text = f"{evil} @mention{number} https://evil.example <b>"
        metric = MetricResult("cpu", "us", "lower", 1, 2, 1, 1, 1, 0.1, Verdict.REGRESSED, 0.1, (text,))
        plain = report_of(
            Verdict.REGRESSED,
            nodeid=text,
            where=(text,),
            errors={text: 3},
            against=text,
            validity=(ValidityNote("warn", "x", text),),
        )
        tests.append(replace(plain, metrics={"cpu": metric}))
        # A name that the reader lets pass, and GitHub would take for a link.
        named = replace(metric, name="www.evil.example")
        tests.append(replace(plain, metrics={"www.evil.example": named}))
        broken = AbsoluteResult(text, "p99", 1.0, Verdict.REGRESSED)
        tests.append(replace(plain, metrics={}, absolute=(broken,), verdict=Verdict.REGRESSED, nodeid=f"2{text}"))
        tests.append(replace(plain, verdict=Verdict.INVALID, validity=(ValidityNote("void", "x", text),)))
        loads.append(LoadRun(text, 1, 1.0, 1.0, 1.0, (LoadLimit(text, False),), ()))
    result = ResultFile(session_of(*tests, against=EVIL[0], changes=EVIL), tuple(loads))
    made = page(result, decide(result, "regressed"), 1024 * 1024)
    outside = outside_of_code(made)
    for word in ("@", "evil", "<b>", "<img", "<script", "![", "smile", "mention", "link_open"):
        assert word not in outside
    rows = [line for line in made.splitlines() if line.startswith("| ") and "mention" in line]
    assert len(rows) == len(tests) + len(loads)
    bodies = [token for token in PARSER.parse(made) if token.type == "tr_open"]
    assert len(bodies) == len(rows) + 2


def test_one_explanation_that_is_too_long_does_not_hide_the_others() -> None:
    huge = report_of(Verdict.REGRESSED, "test_a_huge", where=("x" * 90_000,))
    result = ResultFile(session_of(huge, report_of(Verdict.REGRESSED, "test_b_small")))
    made = page(result, decide(result, "regressed"), 65_535)
    assert "<code>tests/perf/test_shop.py::test_b_small</code>" in made
    assert "**1 more explanation had no room here" in made
