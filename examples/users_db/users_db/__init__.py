"""Users from a database: an example app of pytest-fastr, and the app of the benchmark with a database."""
