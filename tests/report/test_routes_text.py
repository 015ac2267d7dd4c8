"""What is printed of an application's lanes."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_fastr.report.routes_text import routes_text


@dataclass(frozen=True)
class Report:
    methods: tuple[str, ...]
    path: str
    lane: str
    reasons: tuple[str, ...] = ()


REPORTS = [
    Report(("GET",), "/", "fast"),
    Report(("GET", "POST"), "/users/{user_id}", "typed", ("reads parameter 'user_id'", "reads parameter 'full'")),
    Report(("GET",), "/files/{name}.json", "asgi", ("its path has a parameter beside other text",)),
]


def test_every_route_has_a_line_and_its_reasons() -> None:
    assert routes_text(REPORTS, 100) == (
        "fast  GET      /\n"
        "typed GET,POST /users/{user_id}    reads parameter 'user_id'; reads parameter 'full'\n"
        "asgi  GET      /files/{name}.json  its path has a parameter beside other text\n"
        "3 routes: 1 fast, 1 typed, 1 asgi\n"
    )


def test_in_a_narrow_terminal_the_reasons_have_lines_of_their_own() -> None:
    assert routes_text(REPORTS, 40) == (
        "fast  GET      /\n"
        "typed GET,POST /users/{user_id}\n"
        "      reads parameter 'user_id'; reads\n"
        "      parameter 'full'\n"
        "asgi  GET      /files/{name}.json\n"
        "      its path has a parameter beside\n"
        "      other text\n"
        "3 routes: 1 fast, 1 typed, 1 asgi\n"
    )


def test_an_application_without_routes() -> None:
    assert routes_text([], 80) == "the application has no HTTP routes\n"
