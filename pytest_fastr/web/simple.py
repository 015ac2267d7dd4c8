"""Whether a handler can be told, from its code alone, never to wait for anything."""

from __future__ import annotations

import builtins
import dis
import inspect
from typing import Any

# What such a handler may call: none of these waits, or runs code of anybody else's when given plain values.
_HARMLESS = frozenset({
    "abs", "bool", "chr", "dict", "divmod", "enumerate", "float", "frozenset", "int", "len", "list", "max", "min",
    "ord", "range", "repr", "reversed", "round", "set", "sorted", "str", "sum", "tuple", "zip",
})  # fmt: skip
# Instructions that run code which is not in sight: attributes, imports, `with`, generators.
_OUT_OF_SIGHT = (
    "LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER", "STORE_ATTR", "DELETE_ATTR", "IMPORT", "BEFORE_WITH", "SETUP_WITH",
    "BEFORE_ASYNC", "YIELD", "SEND", "GET_AWAITABLE", "MAKE_FUNCTION", "LOAD_BUILD_CLASS", "STORE_GLOBAL",
    "LOAD_SPECIAL",
)  # fmt: skip
_MOST_INSTRUCTIONS = 400
_JUMPS = frozenset(dis.hasjrel) | frozenset(dis.hasjabs)


def never_waits(function: Any) -> bool:
    """True only for a function that calls nothing but a few builtins and has no loop: it cannot block, and ends.

    Everything else may block for all that can be told, and has to run in a thread. A coroutine function that never
    waits awaits nothing either: its coroutine ends with its first step.
    """
    if not inspect.isfunction(function) or hasattr(function, "__wrapped__"):
        return False
    instructions = list(dis.get_instructions(function))
    generates = function.__code__.co_flags & (inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR)
    if generates or len(instructions) > _MOST_INSTRUCTIONS:
        return False
    for one in instructions:
        back = one.opcode in _JUMPS and isinstance(one.argval, int) and one.argval <= one.offset
        if back or one.opname.startswith(_OUT_OF_SIGHT):
            return False
        is_name = one.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF")
        if is_name and not _is_harmless(function, str(one.argval)):
            return False
    return True


def _is_harmless(function: Any, name: str) -> bool:
    """Whether a name stands for a plain value, or for one of the builtins that may be called."""
    variables = inspect.getclosurevars(function)
    for names in (variables.nonlocals, variables.globals):
        if name in names:
            value = names[name]
            return value is None or type(value) in (bool, int, float, str, bytes, tuple, list, dict, set, frozenset)
    return name in _HARMLESS and getattr(builtins, name, None) is variables.builtins.get(name)
