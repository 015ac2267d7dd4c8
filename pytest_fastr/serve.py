"""``python -m pytest_fastr.serve module:attr``: serves an application in this process.

The one command line by which every server under test is started, baseline and candidate alike.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pytest_fastr.mount.child import ParentPipes, run_server, run_supervisor
from pytest_fastr.mount.logs import log_to_stderr
from pytest_fastr.mount.moved import Moved
from pytest_fastr.mount.runtime import TRUSTED_PROXIES, ServeOptions
from pytest_fastr.mount.target import AppRef
from pytest_fastr.mount.workers import worker_command


def parser() -> argparse.ArgumentParser:
    """The command line, with what only other processes of pytest-fastr say."""
    made = argparse.ArgumentParser(
        prog="python -m pytest_fastr.serve",
        description="Serve an ASGI or WSGI application with pytest-fastr's engine.",
    )
    add_arguments(made)
    made.add_argument("--moved", nargs=2, metavar=("CHECKOUT", "COPY"), help="import the checkout's code from the copy")
    made.add_argument("--sample", type=Path, metavar="FILE", help="profile the server; written when told to stop")
    made.add_argument("--lanes", action="store_true", help=argparse.SUPPRESS)
    for name in ("ready", "lifeline", "connections"):
        made.add_argument(f"--{name}-fd", type=int, help=argparse.SUPPRESS)
    return made


def add_arguments(made: argparse.ArgumentParser) -> None:
    """What anybody may say who serves an application."""
    made.add_argument("app", help="module:attr, or module:factory() for a function that makes the application")
    made.add_argument("--host", default="127.0.0.1")
    place = made.add_mutually_exclusive_group()
    place.add_argument("--port", type=_port, default=8000, help="0 takes a free one")
    place.add_argument("--uds", metavar="PATH", help="a Unix socket, in place of host and port")
    made.add_argument("--workers", type=_workers, default=1, metavar="N", help="processes that share the connections")
    made.add_argument("--root-path", type=_prefix, default="", help="prefix that a proxy in front strips")
    made.add_argument("--forwarded-allow-ips", type=_proxies, metavar="LIST",
                      default=os.environ.get("FORWARDED_ALLOW_IPS", ",".join(TRUSTED_PROXIES)),
                      help="proxies whose X-Forwarded-For and -Proto are believed: addresses, networks, or * for all "
                      "(default: $FORWARDED_ALLOW_IPS, or 127.0.0.1,::1)")  # fmt: skip
    made.add_argument("--lifespan", choices=("auto", "on", "off"), default="auto")
    made.add_argument("--mount", choices=("auto", "asgi", "native"), default="auto",
                      help="native: compiled routes of a FastAPI application; auto: for FastrAPI")  # fmt: skip
    made.add_argument("--interface", choices=("auto", "asgi", "wsgi"), default="auto", help="the application's kind")
    made.add_argument("--threads", type=_threads, metavar="N", help="for WSGI, and for native handlers that block")
    made.add_argument("--drain-timeout", type=_seconds, default=10.0, metavar="SECONDS")
    made.add_argument("--path", action="append", default=[], metavar="DIR", help="put before the import path")
    made.add_argument("--chdir", type=_folder, metavar="DIR", help="serve in this folder")
    made.add_argument("--limit", action="append", default=[], type=_limit, metavar="NAME=VALUE",
                      help="an engine limit, e.g. max_connections=1000 or header_timeout=5")  # fmt: skip
    made.add_argument("--log-level", choices=("debug", "info", "warning", "error"), help="(default: info)")
    made.add_argument("--log-format", choices=("text", "json"), help="lines for people or for machines")
    made.add_argument("--access-log", action="store_true", help="a line for every request that was answered")


def main(argv: Sequence[str] | None = None) -> int:
    """Serves until SIGTERM or SIGINT. Returns 0, 1 (did not start), 2 (usage) or 3 (port taken)."""
    args = parser().parse_args(argv)
    moved = None
    if args.moved is not None:
        moved = Moved(*(Path(place).resolve() for place in args.moved))
        moved.install()
    pipes = ParentPipes(ready=args.ready_fd, lifeline=args.lifeline_fd)
    sample = args.sample and args.sample.absolute()
    return serve(args, pipes, args.connections_fd, moved, sample, args.lanes)


def run(args: argparse.Namespace) -> int:
    """The command ``pytest-fastr serve``. Returns as :func:`main`."""
    # As with `python -m`, which a script is not started by.
    args.path = [*args.path, str(Path.cwd())]
    return serve(args, ParentPipes())


def serve(
    args: argparse.Namespace,
    pipes: ParentPipes,
    connections_fd: int | None = None,
    moved: Moved | None = None,
    sample: Path | None = None,
    lanes: bool = False,
) -> int:
    """Serves as the command line says. Returns the exit code."""
    options = ServeOptions(
        host=args.host,
        port=args.port,
        root_path=args.root_path,
        trusted_proxies=args.forwarded_allow_ips,
        lifespan=args.lifespan,
        drain_timeout=args.drain_timeout,
        limits=dict(args.limit),
        mount=args.mount,
        threads=args.threads,
        interface=args.interface,
        uds=args.uds,
        workers=args.workers,
        connections_fd=connections_fd,
    )
    asked = args.log_level or args.log_format or args.access_log
    logging_to = partial(log_to_stderr, args.log_level, args.log_format or "text", args.access_log) if asked else None
    if options.workers > 1:
        if logging_to is not None:
            logging_to()
        return run_supervisor(worker_command(args.app, options, _further(args, lanes)), options, pipes)
    if args.path:
        sys.path[:] = [*args.path, *(entry for entry in sys.path if entry not in args.path)]
    if args.chdir is not None:
        os.chdir(args.chdir)
    return run_server(lambda: AppRef.parse(args.app).load(), options, pipes, moved, sample, logging_to, lanes)


def _further(args: argparse.Namespace, lanes: bool) -> list[str]:
    """What a worker is told beside the options of its serving."""
    further = [*(f"--path={entry}" for entry in args.path)]
    if args.chdir is not None:
        further.append(f"--chdir={args.chdir}")
    if getattr(args, "moved", None) is not None:
        further += ["--moved", *args.moved]
    for name in ("log_level", "log_format"):
        if (value := getattr(args, name)) is not None:
            further.append(f"--{name.replace('_', '-')}={value}")
    return [*further, *(["--access-log"] if args.access_log else []), *(["--lanes"] if lanes else [])]


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is no port: 0 to 65535")
    return port


def _workers(text: str) -> int:
    workers = int(text)
    if not 1 <= workers <= 256:
        raise argparse.ArgumentTypeError(f"{workers} workers: 1 to 256")
    return workers


def _threads(text: str) -> int:
    threads = int(text)
    if not 1 <= threads <= 256:
        raise argparse.ArgumentTypeError(f"{threads} threads: 1 to 256")
    return threads


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no time: seconds, 0 or more")
    return seconds


def _prefix(text: str) -> str:
    if text and not text.startswith("/"):
        raise argparse.ArgumentTypeError(f"{text!r} is no prefix of a path: write '/{text}'")
    return text


def _proxies(text: str) -> tuple[str, ...]:
    return tuple(_proxy(name) for part in text.split(",") if (name := part.strip()))


def _proxy(name: str) -> str:
    """As the engine reads it, which knows no netmasks."""
    try:
        return name if name == "*" else str(ipaddress.ip_network(name, strict=False))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{name!r} is no address, network or *") from None


def _folder(text: str) -> str:
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is no folder")
    return text


def _limit(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value) if "." in value or name.endswith("_timeout") else int(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=NUMBER") from None


if __name__ == "__main__":
    sys.exit(main())
