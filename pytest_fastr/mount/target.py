"""Names of applications: ``module:attr`` and ``module:factory()``."""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from dataclasses import dataclass
from typing import Any, Literal

from pytest_fastr.errors import AppImportError, ConfigError
from pytest_fastr.mount.asgi import AsgiApplication
from pytest_fastr.mount.wsgi import WsgiApplication

Application = AsgiApplication | WsgiApplication
InterfaceKind = Literal["auto", "asgi", "wsgi"]

_FORM = re.compile(r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<attr>[^\W\d]\w*(?:\.[^\W\d]\w*)*)(?P<call>\(\))?")


@dataclass(frozen=True, slots=True)
class AppRef:
    """Where an application is found: an attribute of a module, called first if it is a factory."""

    module: str
    attr: str
    factory: bool

    @classmethod
    def parse(cls, text: str) -> AppRef:
        """Reads ``module:attr`` or ``module:factory()``. Raises AppImportError when it is neither."""
        match = _FORM.fullmatch(text.strip())
        if match is None:
            raise AppImportError(
                f"{text!r} names no application: write 'module:attr', e.g. 'shop.main:app', "
                "or 'module:factory()' for a function that makes one"
            )
        return cls(match["module"], match["attr"], match["call"] is not None)

    def __str__(self) -> str:
        return f"{self.module}:{self.attr}{'()' if self.factory else ''}"

    def load(self) -> Application:
        """Imports the application. Raises AppImportError with the reason."""
        value = self._attribute(self._import())
        if self.factory:
            if not callable(value):
                raise AppImportError(f"{self}: {self.attr!r} is a {type(value).__name__}, not a factory; drop the '()'")
            try:
                value = value()
            except Exception as error:
                raise AppImportError(f"{self}: the factory raised {type(error).__name__}: {error}") from error
        return check_app(value, str(self))

    def _import(self) -> Any:
        try:
            return importlib.import_module(self.module)
        except ModuleNotFoundError as error:
            if error.name is not None and (self.module + ".").startswith(error.name + "."):
                raise AppImportError(
                    f"{self}: there is no module {error.name!r}; "
                    "run from the folder that holds it, or name that (pytest's `pythonpath`, a server's `--path`)"
                ) from error
            raise AppImportError(f"{self}: importing {self.module!r} failed: {error}") from error
        except Exception as error:
            raise AppImportError(f"{self}: importing {self.module!r} raised {type(error).__name__}: {error}") from error

    def _attribute(self, value: Any) -> Any:
        for name in self.attr.split("."):
            try:
                value = getattr(value, name)
            except AttributeError as error:
                near = difflib.get_close_matches(name, dir(value), n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise AppImportError(f"{self}: {self.module!r} has no attribute {name!r}{hint}") from error
        return value


def check_app(app: Any, name: str) -> Application:
    """Returns ``app`` if it may be an application. Raises AppImportError with what it seems to be instead."""
    if not callable(app):
        raise AppImportError(f"{name} is an object of type {type(app).__name__}, not an application")
    if not _is_coroutine_function(app):
        if _parameters(app) == 0:
            raise AppImportError(f"{name} looks like a factory: write '{name}()' so that it is called")
        if _parameters(app) == 1:
            raise AppImportError(
                f"{name} takes one argument: applications take (scope, receive, send), those of WSGI (environ, "
                "start_response); one of ASGI 2 can be wrapped by asgiref's guarantee_single_callable"
            )
    return app  # type: ignore[no-any-return]


def interface_of(app: Any, said: InterfaceKind = "auto") -> Literal["asgi", "wsgi"]:
    """What is ``said``, or by what a call takes: WSGI has ``(environ, start_response)``. ASGI where nothing tells.

    Raises ConfigError when the application cannot be called as is said.
    """
    if said == "wsgi" and _is_coroutine_function(app):
        raise ConfigError('interface = "wsgi", but the application is an async function: say "asgi", or leave it out')
    if said == "asgi" and not _is_coroutine_function(app) and _parameters(app) == 2:
        raise ConfigError(
            'interface = "asgi", but the application takes two arguments, as for WSGI: say "wsgi", or leave it out'
        )
    if said != "auto":
        return said
    if _is_coroutine_function(app):
        return "asgi"
    return "wsgi" if hasattr(app, "wsgi_app") or _parameters(app) == 2 else "asgi"


def _is_coroutine_function(app: Any) -> bool:
    return inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(getattr(app, "__call__", None))  # noqa: B004


def _parameters(app: Any) -> int | None:
    """How many positional arguments a call needs; None where that cannot be told."""
    try:
        parameters = inspect.signature(app).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return None
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(one.kind in positional and one.default is one.empty for one in parameters)
