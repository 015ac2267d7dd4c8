"""What the marker, a fixture or the configuration names as the application, made into something to start."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_fastr.apps import CommandApp, UrlApp, parse_app
from pytest_fastr.config import Config, MountKind
from pytest_fastr.errors import ConfigError
from pytest_fastr.gate.epochs import AppSource
from pytest_fastr.mount import AppRef, Launch
from pytest_fastr.mount.runtime import ServeOptions
from pytest_fastr.mount.target import check_app

DRAIN_SECONDS = 1.0


def app_source(app: Any, config: Config, rootdir: Path, where: str, mount: MountKind) -> AppSource:
    """The application as something to start. ``where`` names its place in messages. Raises ConfigError and MountError's
    children."""
    if app is None:
        raise ConfigError(
            'no application to test: set `app = "module:attr"` in [tool.pytest-fastr], write a fixture `perf_app`, '
            'or mark the test with @pytest.mark.perf(app="module:attr")'
        )
    if isinstance(app, Mapping):
        app = parse_app(app, where)
    if isinstance(app, UrlApp):
        return AppSource(app, Launch())
    is_object = not isinstance(app, str | CommandApp)
    if is_object and config.workers > 1:
        raise ConfigError(
            'workers: an application object of this process has one; name the app as "module:attr" to have more'
        )
    launch = Launch(
        # Nothing is in flight when a measured server is ended: what still runs then hangs.
        options=ServeOptions(
            drain_timeout=DRAIN_SECONDS,
            mount=mount,
            threads=config.threads,
            interface=config.interface,
            workers=config.workers,
        ),
        env=config.env,
        # pytest's own import path, and last the folder of the configuration, whatever folder pytest was started in.
        path=() if is_object else (*(entry for entry in sys.path if entry), str(rootdir)),
        startup_timeout=config.startup_timeout_s,
        cwd=str(_folder(app, rootdir, where)) if isinstance(app, CommandApp) else None,
        root=str(rootdir),
    )
    if isinstance(app, CommandApp):
        return AppSource(app, launch)
    target = AppRef.parse(app) if isinstance(app, str) else check_app(app, "the application of `perf_app`")
    return AppSource(target, launch)


def _folder(app: CommandApp, rootdir: Path, where: str) -> Path:
    folder = rootdir / app.cwd
    if not folder.is_dir():
        raise ConfigError(f"{where}: `cwd` is {app.cwd!r}, and there is no folder {folder}")
    return folder
