"""WSGI applications, and the threads that serve them."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.util import FileWrapper

from pytest_fastr import _native
from pytest_fastr.pool import default_threads

WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

logger = logging.getLogger("pytest_fastr.server")


class WsgiRunner:
    """A bounded number of threads; requests beyond that wait for one. They end with :meth:`close`.

    ``multiprocess``: other processes serve the same application.
    """

    def __init__(self, app: WsgiApplication, root_path: str, threads: int | None, multiprocess: bool = False) -> None:
        count = threads or default_threads()
        template = {
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": count > 1,
            "wsgi.multiprocess": multiprocess,
            "wsgi.run_once": False,
            "wsgi.file_wrapper": FileWrapper,
            # The end of a body is an end of file, whatever was said about its length.
            "wsgi.input_terminated": True,
        }
        self.workers = _native.WsgiWorkers(app, template, root_path, _complain)
        for number in range(count):
            threading.Thread(target=self.workers.work, name=f"fastr-wsgi-{number}", daemon=True).start()

    @property
    def pending(self) -> int:
        """Requests that wait for a thread or have one."""
        return self.workers.pending

    def close(self) -> None:
        """Lets the threads end after the requests that they are in."""
        self.workers.close()


def _complain(method: str, path: str, error: BaseException) -> None:
    logger.error("Exception in WSGI application (%s %s)", method, path, exc_info=error)
