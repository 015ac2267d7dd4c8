"""Serves ``module:attr`` with uvicorn (httptools, uvloop) on a free port, which it prints. Ends with its parent."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import threading

import uvicorn


def end_with_parent() -> None:
    """Standard input is a pipe whose other end only the parent holds."""
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("app")
    parser.add_argument("--path", required=True)
    parser.add_argument("--root-path", default="")
    args = parser.parse_args()
    sys.path.insert(0, args.path)
    config = uvicorn.Config(
        args.app,
        http="httptools",
        loop="uvloop",
        root_path=args.root_path,
        log_level="critical",
        access_log=False,
    )
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    threading.Thread(target=end_with_parent, daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
