"""Dependencies that live as long as the application: connection pools, models, clients."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, Generic, TypeVar

from starlette.requests import HTTPConnection

T = TypeVar("T")

# The attribute of a started application that holds what its app-scoped values are ended by.
STACK = "_fastr_app_stack"


class AppScoped(Generic[T]):
    """A dependency whose value is made once, when the application starts, and ended when it stops.

    Made by :func:`app_scope`. As a dependency of FastAPI's it gives the value to every request.
    """

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make
        self._opening = asyncio.Lock()
        self._value: list[T] = []
        # Applications that are started, and what ends the value with the last of them.
        self._users = 0
        self._end = AsyncExitStack()
        self.__name__ = getattr(make, "__name__", type(make).__name__)

    def __repr__(self) -> str:
        return f"app_scope({self.__name__})"

    async def __call__(self, connection: HTTPConnection) -> T:
        stack = getattr(connection.app, STACK, None)
        if not self._value and stack is not None:  # of a route that was added after the start
            await self.open(stack)
        return self.value

    @property
    def is_open(self) -> bool:
        """Whether the value is there."""
        return bool(self._value)

    @property
    def value(self) -> T:
        """The value. Raises RuntimeError before the application has started and after it has stopped."""
        if not self._value:
            raise RuntimeError(
                f"{self!r} has no value: the application has not been started, or is no FastrAPI, which makes it in "
                "its lifespan; under a test client that means `with TestClient(app) as client:`"
            )
        return self._value[0]

    async def open(self, stack: AsyncExitStack) -> None:
        """Makes the value, unless it is there; it ends with the last stack that it was opened for."""
        async with self._opening:
            if not self._value:
                self._value.append(await _enter(self._make, self._end))
            self._users += 1
            stack.push_async_callback(self._close)

    async def _close(self) -> None:
        self._users -= 1
        if self._users == 0:
            self._value.clear()
            self._opening = asyncio.Lock()  # the next one may belong to another loop
            await self._end.aclose()


def app_scope(make: Callable[..., Any]) -> AppScoped[Any]:
    """A dependency of which there is one value for the life of the application: ``Depends(app_scope(make_pool))``.

    ``make`` takes no arguments. It returns the value, or is a generator that yields it once and then cleans up; both
    may be async. It runs on the event loop's thread, when the application starts. For applications of ``FastrAPI``.
    """
    required = [
        one.name
        for one in inspect.signature(make).parameters.values()
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
    if required:
        name = getattr(make, "__name__", make)
        raise TypeError(f"app_scope({name}): it takes {', '.join(required)}, but is given nothing")
    return AppScoped(make)


async def _enter(make: Callable[..., Any], stack: AsyncExitStack) -> Any:
    if inspect.isasyncgenfunction(make):
        return await stack.enter_async_context(asynccontextmanager(make)())
    if inspect.isgeneratorfunction(make):
        return stack.enter_context(contextmanager(make)())
    value = make()
    return await value if inspect.isawaitable(value) else value


@asynccontextmanager
async def opened(values: Iterable[AppScoped[Any]]) -> AsyncIterator[AsyncExitStack]:
    """Makes the values, in order, and ends them in reverse."""
    async with AsyncExitStack() as stack:
        for value in values:
            await value.open(stack)
        yield stack
