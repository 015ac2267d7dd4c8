"""The published JSON Schemas (draft 2020-12) of the files that pytest-fastr writes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

SchemaName = Literal["result", "load"]
"""The result file of ``--perf-json``; the document of ``pytest-fastr load --json``."""

SCHEMAS: tuple[SchemaName, ...] = get_args(SchemaName)


def schema_text(name: SchemaName) -> str:
    """The schema as JSON, with a newline at the end."""
    return (Path(__file__).parent / "schema" / f"{name}.schema.json").read_text(encoding="utf-8")
