"""The gate: what decides whether an app got slower.

* `model`: the values that pass from the gate to the report (verdicts, metrics, notes).
* `profile`: what hardware and interpreter this is; baselines count for one profile only.
* `baseline`: what was measured before, kept as reviewable files.
* `atomic_file`: how files are written so that a kill leaves the old or the new one.
* `epochs`, `measure`: pairs of fresh servers, and what one request cost on them.
* `reference`: the frozen app that a stored baseline is a ratio to.

Nothing is imported here: the reference app's server imports this package, and its process holds the app
alone.
"""
