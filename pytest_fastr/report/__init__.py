"""Reports: one renderer a format, values of `pytest_fastr.gate.model` in, text out. None decides anything.

* `terminal`: the table and the summary after the tests.
* `paragraph`: what to know and do about one test that is not green.
* `result_file`: the JSON of `--perf-json`; `result_reader`: its strict reader; `schemas`: their JSON Schemas.
* `csv_text`, `k6`, `summary_text`, `compare_text`, `history_text`, `history_table`: other forms of results.
* `html`: the page of `--perf-report`.
* `live`: one line of progress while load runs.
* `quantity`: how numbers are written, in all of them.
"""
