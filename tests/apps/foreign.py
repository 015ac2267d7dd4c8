"""A server that knows nothing of pytest-fastr: ``foreign.py HOST PORT [WAY]``, where WAY is a way to misbehave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    """Answers with the process' surroundings; `/late` with 503 for the first three times."""

    protocol_version = "HTTP/1.1"
    asked = 0

    def do_GET(self) -> None:
        late = self.path == "/late" and Handler.asked < 3
        Handler.asked += self.path == "/late"
        told = (os.getcwd(), os.environ.get("PYTHONHASHSEED"), os.environ.get("ADDED"), Handler.asked, *sys.argv[3:])
        body = "\n".join(map(str, told)).encode()
        self.send_response(503 if late or self.path == "/never" else 404 if self.path == "/" else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def child(*, own_session: bool = False) -> int:
    """A process that does nothing, for as long as a test may take."""
    nothing = [sys.executable, "-c", "import time; time.sleep(600)"]
    return subprocess.Popen(nothing, start_new_session=own_session).pid


def main() -> None:
    """Serves."""
    host, port, way = sys.argv[1], int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else ""
    print("about to serve", flush=True)
    if way == "exits":
        print("no database", file=sys.stderr, flush=True)
        sys.exit(7)
    if way == "crashes":
        os.kill(os.getpid(), signal.SIGKILL)
    if way == "daemon":
        sys.exit(0)
    if way == "sleeps":
        time.sleep(600)
    if way == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if way == "family":
        print("family", os.getpid(), child(), child(own_session=True), flush=True)
    HTTPServer((host, port), Handler).serve_forever()


if __name__ == "__main__":
    main()
