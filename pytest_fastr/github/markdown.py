"""Markdown of GitHub around text that anybody may have written.

Text from a result stands in code spans, fenced blocks and HTML's `code`, and nowhere else: in those, GitHub sees no
mention, no link, no image, no HTML, no emoji and no reference to an issue. Entities and backslashes would not do:
mentions and links are looked for in what they have become.
https://docs.github.com/get-started/writing-on-github/getting-started-with-writing-and-formatting-on-github/basic-writing-and-formatting-syntax
"""

from __future__ import annotations

import html
import re

from pytest_fastr.report.quantity import printable


def code(text: str, most: int = 200) -> str:
    """The text as a code span on one line; its middle goes where it is longer than ``most`` characters."""
    shown = shortened(printable(text), most) or " "
    fence = "`" * (_longest_run(shown) + 1)
    # A space between fence and text: one at each end is taken away again, and a backtick would belong to the fence.
    space = " " if shown.startswith(("`", " ")) or shown.endswith(("`", " ")) else ""
    return f"{fence}{space}{shown}{space}{fence}"


def cell(text: str, most: int = 120) -> str:
    """The text as a code span within a cell of a table, whose ends a bar would be."""
    # Cells are cut before code spans are seen. A backslash takes the bar's meaning, unless another one takes its own.
    bar = "\\x7c" if "\\" in printable(text) else "\\|"
    return code(text, most).replace("|", bar)


def block(text: str) -> str:
    """The lines as a fenced block."""
    lines = [printable(line) for line in text.split("\n")]
    fence = "`" * max(3, _longest_run(text) + 1)
    return "\n".join([f"{fence}text", *lines, fence])


def html_code(text: str, most: int = 200) -> str:
    """The text for a title, which is HTML and no Markdown: up to the next empty line, nothing is looked for in it."""
    return f"<code>{html.escape(shortened(printable(text), most))}</code>"


def folded(title: str, body: str) -> str:
    """A part that is opened by a click. ``title`` is HTML: words of ours, and text in `html_code`."""
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"


def shortened(text: str, most: int) -> str:
    """The text within so many characters: names differ at both ends, so the middle goes."""
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"


def size(text: str) -> int:
    """How much the text counts: bytes of UTF-8, of which there are never fewer than characters."""
    return len(text.encode("utf-8"))


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
