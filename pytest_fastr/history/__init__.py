"""The sessions that were measured here, kept in a database of this checkout.

* `record`: what is kept of a session; `trend`: how one test went over the sessions. Plain values.
* `store`: the database. The only module that imports SQLite.
* `keep`: adds a session at its end.

No baseline: nothing is ever compared with it. Nothing is imported here.
"""
