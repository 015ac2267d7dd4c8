"""Servers in fresh processes: applications from their names, by one command line, and commands by a warden."""

from __future__ import annotations

import os
import subprocess

from pytest_fastr.apps import CommandApp
from pytest_fastr.errors import StartupError
from pytest_fastr.mount.child import MARK
from pytest_fastr.mount.command import warden_command
from pytest_fastr.mount.process import Channel, Launch, ServerProcess
from pytest_fastr.mount.target import AppRef

REPORT_SECONDS = 5.0
"""A warden gives up by itself when the time for the start is over, and says why. So much later its word is not waited
for any more."""


def spawn(app: AppRef | CommandApp, launch: Launch) -> ServerProcess:
    """Starts a server and waits until it answers. Raises MountError's children."""
    (server,) = spawn_together((app, launch))
    return server


def spawn_together(*servers: tuple[AppRef | CommandApp, Launch]) -> tuple[ServerProcess, ...]:
    """Starts several servers at once, and waits until all of them answer. Raises MountError's children; then none of
    them is left."""
    started: list[ServerProcess] = []
    try:
        started += (_begin(app, launch) for app, launch in servers)
        for server, (app, launch) in zip(started, servers, strict=True):
            later = REPORT_SECONDS if isinstance(app, CommandApp) else 0.0
            server.await_ready(launch.startup_timeout + later)
    except BaseException:
        for server in started:
            server.stop()
        raise
    return tuple(started)


def _begin(app: AppRef | CommandApp, launch: Launch) -> ServerProcess:
    """A server that is starting."""
    stop_s = app.stop_timeout_s if isinstance(app, CommandApp) else launch.options.drain_timeout
    channel = Channel.open()
    try:
        popen = subprocess.Popen(
            warden_command(app, launch, channel)
            if isinstance(app, CommandApp)
            else _serve_command(app, launch, channel),
            stdin=subprocess.DEVNULL,
            stdout=channel.log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **launch.env, MARK: channel.mark},
            pass_fds=(channel.ready_write, channel.lifeline_read),
            start_new_session=True,
        )
    except OSError as error:
        channel.discard()
        raise StartupError(f"cannot start {launch.python}: {error}") from error
    except StartupError:
        channel.discard()
        raise
    finally:
        channel.close_child_ends()
    return ServerProcess(popen.pid, channel, popen, stop_s)


def _serve_command(app: AppRef, launch: Launch, channel: Channel) -> list[str]:
    options = launch.options
    command = [
        launch.python, "-m", "pytest_fastr.serve", str(app),
        "--host", options.host, "--port", str(options.port), "--workers", str(options.workers),
        *options.arguments(),
        "--ready-fd", str(channel.ready_write), "--lifeline-fd", str(channel.lifeline_read),
    ]  # fmt: skip
    for entry in launch.path:
        command += ["--path", entry]
    if launch.moved is not None:
        command += ["--moved", *launch.moved]
    if launch.cwd is not None:
        command += ["--chdir", launch.cwd]
    if launch.sample is not None:
        command += ["--sample", launch.sample]
    if launch.lanes:
        command.append("--lanes")
    return command
