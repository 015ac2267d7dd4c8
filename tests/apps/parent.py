"""A process with two servers, one spawned and one forked, for a test to kill. Prints one JSON line of process ids.

Each server has started processes of its own. With ``hang`` the servers hold their interpreters when that is printed.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from pathlib import Path

from apps import trouble

from pytest_fastr.mount import AppRef, Launch, fork, spawn


def main() -> None:
    path = "then-hang" if sys.argv[1:] == ["hang"] else ""
    launch = Launch(path=(str(Path(__file__).parent),))
    servers = [spawn(AppRef.parse("trouble:family"), launch), fork(trouble.family, launch)]
    bodies = [urllib.request.urlopen(f"{server.url}/{path}").read() for server in servers]
    while path and not all("holding" in server.log_tail() for server in servers):
        time.sleep(0.005)
    print(json.dumps([int(pid) for body in bodies for pid in body.split()]), flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main()
