"""What all plots are made of: a frame with axes, lines, bands, marks, and a figure around it.

Coordinates are those of a view box that the browser scales; type sizes are set in the style sheet, larger on phones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pytest_fastr.report.html.axes import Axis
from pytest_fastr.report.html.markup import Child, Markup, join, number, tag

WIDTH = 480
LEFT, RIGHT = 62, 14
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a plot's lines may be."""

    height: int = 236
    top: int = 16
    bottom: int = 44
    right: int = RIGHT

    @property
    def across(self) -> tuple[float, float]:
        """From left to right."""
        return float(LEFT), float(WIDTH - self.right)

    @property
    def upwards(self) -> tuple[float, float]:
        """From the bottom to the top."""
        return float(self.height - self.bottom), float(self.top)

    def y_grid(self, axis: Axis, write: Callable[[float], str]) -> Markup:
        """Lines across at round values, with the values at the left."""
        left, right = self.across
        return join(
            [
                tag("line", x1=left, x2=right, y1=axis.at(tick), y2=axis.at(tick), class_="grid"),
                tag("text", write(tick), x=left - 7, y=axis.at(tick) + 4, class_="tick end"),
            ]
            for tick in axis.ticks()
        )

    def x_ticks(self, places: Iterable[tuple[float, str]]) -> Markup:
        """Values below, at their places."""
        low, _ = self.upwards
        return join(
            [
                tag("line", x1=x, x2=x, y1=low, y2=low + 4, class_="axis"),
                tag("text", text, x=x, y=low + 18, class_="tick middle"),
            ]
            for x, text in places
        )

    def base(self, title: str) -> Markup:
        """The line at the bottom and what it counts."""
        left, right = self.across
        low, _ = self.upwards
        return join(
            [
                tag("line", x1=left, x2=right, y1=low, y2=low, class_="axis"),
                tag("text", title, x=right, y=float(self.height - 6), class_="tick end"),
            ]
        )


def svg(frame: Frame, key: str, title: str, description: str, *parts: Child) -> Markup:
    """An image with a name and a description for those who hear it."""
    return tag(
        "svg",
        tag("title", title, id=f"{key}-t"),
        tag("desc", description, id=f"{key}-d"),
        *parts,
        viewBox=f"0 0 {WIDTH} {frame.height}",
        role="img",
        aria_labelledby=f"{key}-t",
        aria_describedby=f"{key}-d",
        class_="plot",
    )


def curve(points: Sequence[Point], class_: str) -> Markup:
    """A line through the points."""
    return tag("path", d=_path(points), class_=f"line {class_}") if points else Markup("")


def band(left: float, right: float, top: float, bottom: float, class_: str) -> Markup:
    """A filled rectangle."""
    return tag("rect", x=left, y=top, width=max(right - left, 0.5), height=max(bottom - top, 0.5), class_=class_)


def across(frame: Frame, y: float, class_: str) -> Markup:
    """A line over the whole width."""
    left, right = frame.across
    return tag("line", x1=left, x2=right, y1=y, y2=y, class_=class_)


def mark(x: float, y: float, class_: str, radius: float = 2.6) -> Markup:
    """A dot."""
    return tag("circle", cx=x, cy=y, r=radius, class_=class_)


def diamond(x: float, y: float, class_: str, size: float = 5.5) -> Markup:
    """A mark that is told from a dot by its shape."""
    corners = ((x, y - size), (x + size, y), (x, y + size), (x - size, y))
    return tag("path", d=f"{_path(corners)}Z", class_=class_)


def label(text: str, x: float, y: float, class_: str) -> Markup:
    """Words inside a plot, legible over its lines."""
    return tag("text", text, x=x, y=y, class_=f"label {class_}")


def figure(title: str, image: Child, caption: Child, numbers: Child = None) -> Markup:
    """A plot under its title, what it shows, and its numbers as a table to open."""
    more = tag("details", tag("summary", "Numbers", tag("span", f" of {title}", class_="sr")), numbers)
    return tag(
        "figure",
        tag("figcaption", tag("h4", title), tag("p", caption)),
        image,
        more if numbers is not None else None,
    )


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Child]], class_: str = "") -> Markup:
    """A table in a box that scrolls by itself; the first cell of a row is its header."""
    scrolled = _table(caption, head, rows, class_)
    return tag("div", scrolled, class_="scroll", role="region", aria_label=caption, tabindex=0)


def cards(caption: str, head: Sequence[str], rows: Iterable[Sequence[Child]], class_: str) -> Markup:
    """A table whose rows a phone shows as cards. Its roles are written out: a laid out table would lose them."""
    return _table(caption, head, rows, f"cards {class_}", roles=True)


def _table(
    caption: str, head: Sequence[str], rows: Iterable[Sequence[Child]], class_: str, roles: bool = False
) -> Markup:
    def role(name: str) -> str | None:
        return name if roles else None

    titles = [tag("th", title, scope="col", role=role("columnheader")) for title in head]
    body = []
    for first, *others in rows:
        cells = [
            tag("td", cell, role=role("cell"), data_label=title if roles else None)
            for title, cell in zip(head[1:], others, strict=True)
        ]
        body.append(tag("tr", tag("th", first, scope="row", role=role("rowheader")), cells, role=role("row")))
    return tag(
        "table",
        tag("caption", caption, class_="sr"),
        tag("thead", tag("tr", titles, role=role("row")), role=role("rowgroup")),
        tag("tbody", body, role=role("rowgroup")),
        class_=class_ or None,
        role=role("table"),
    )


def _path(points: Iterable[Point]) -> str:
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)
