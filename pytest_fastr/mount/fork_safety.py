"""Whether this process may be forked: not while it has threads, which the child would lack."""

from __future__ import annotations

import os
import threading
import time

from pytest_fastr.errors import ForkError

_POLL_SECONDS = 0.005

# A joined thread is gone for Python a moment before it is for the kernel.
_THREAD_END_SECONDS = 0.5


def refuse_threads() -> None:
    """Raises ForkError when this process has threads, which a forked child would lack."""
    others = [one.name for one in threading.enumerate() if one is not threading.current_thread()]
    deadline = time.monotonic() + _THREAD_END_SECONDS
    while (native := _kernel_threads() - len(others) - 1) > 0 and not others and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    if native > 0:
        others.append(f"{native} native thread{'s' if native > 1 else ''} of an extension or of faulthandler_timeout")
    if others:
        raise ForkError(
            "an application object is measured in a fork of this process, but threads that do not survive a fork are "
            f"running: {', '.join(others)}. Stop them before the perf test, or name the application as 'module:attr' "
            '(for example app = "shop.main:app" in [tool.pytest-fastr]), which is started in a fresh process'
        )


def _kernel_threads() -> int:
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 0
