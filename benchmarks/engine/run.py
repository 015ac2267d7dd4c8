"""Measures our engine beside its peers.

    python benchmarks/engine/run.py RECORDS
    python benchmarks/engine/run.py RECORDS --rounds 3 --seconds 1 --only ours-native,nginx --workloads W1,W2

One line of RECORDS (JSON lines) is one measurement; what is there already is not measured again, so that the same
command goes on where it was interrupted. In every round each server meets each workload once, in an order that a seed
shuffles: all servers on one workload, then on the next, so that what changes with time meets alike what is compared.
Servers have one process and one core, the generator another one. `table.py RECORDS` prints the comparison.

Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import benchmarks_path  # noqa: F401  (for `measuring`)
import servers
import workloads

from measuring.generators import Span
from measuring.processes import cores
from measuring.rounds import CACHE, Plan, Setting, end_on_signals, measure


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=Path, help="JSON lines, appended to")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="of load for a measurement")
    parser.add_argument("--warm-up", type=float, default=0.5, metavar="SECONDS", help="of load before it")
    parser.add_argument("--only", type=_names, default=[], metavar="SERVER,...")
    parser.add_argument("--workloads", type=_names, default=[], metavar="W1,...", help="names or beginnings of names")
    parser.add_argument("--generator", choices=("own", "wrk"), default="own")
    parser.add_argument("--check", action="store_true", help="measure everything with both generators")
    parser.add_argument("--server-cores", type=int, default=1, metavar="N", help="that a server may use (1)")
    parser.add_argument("--unpinned", action="store_true", help="the system places servers and generator")
    parser.add_argument("--seed", type=int, default=1, help="of the order")
    parser.add_argument("--cache", type=Path, default=CACHE, metavar="DIR", help="for the peers' environments")
    parser.add_argument("--python", metavar="PYTHON", help="the peers' interpreter (default: this one, if it will do)")
    parser.add_argument("--start-timeout", type=float, default=600.0, metavar="SECONDS")
    parser.add_argument("--list", action="store_true", help="print servers and workloads, measure nothing")
    args = parser.parse_args()
    if args.rounds < 1 or args.seconds <= 0 or args.warm_up < 0 or args.server_cores < 1:
        parser.error("--rounds, --seconds and --server-cores must be positive")
    if (args.check or args.generator == "wrk") and shutil.which("wrk") is None:
        parser.error("wrk is not installed (apt-get install wrk)")
    return args


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def main() -> int:
    args = arguments()
    try:
        plan = Plan(
            servers.chosen(args.only), workloads.chosen(args.workloads),
            ["own", "wrk"] if args.check else [args.generator], args.rounds, Span(args.seconds, args.warm_up),
            args.seed, cores(args.unpinned, args.server_cores),
        )  # fmt: skip
    except ValueError as error:
        sys.exit(f"run.py: {error}")
    if args.list:
        titles = [(one.name, one.title) for one in plan.servers] + [(one.name, one.title) for one in plan.workloads]
        print("\n".join(f"{name:26}{title}" for name, title in titles))
        return 0
    end_on_signals()
    setting = Setting(args.records, args.cache, servers.APPS, args.python, args.start_timeout)
    return 0 if measure(plan, setting, {"only": args.only, "workloads": args.workloads}) else 130


if __name__ == "__main__":
    sys.exit(main())
