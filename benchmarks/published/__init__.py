"""The two published tables, measured again: `python -m published --help`, and docs/benchmarks.md, which it writes."""
