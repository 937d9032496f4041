"""`--where`: a small expression over one event, like `data.status == "blocked" and agent != "luna"`.

Owns its language: comparisons, `and`, `or`, `not`, `in`, dotted paths, `[0]` and `["a key"]`, text, numbers, lists,
true, false, null. Nothing is ever called, so an expression can neither change anything nor run for long. What is
absent is null; comparing what cannot be compared is false.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any, Final

from hcom_replica.errors import UsageError

Scope = Mapping[str, Any]
Term = Callable[[Scope], Any]

NAMES: Final = ("id", "origin", "device", "seq", "hlc", "order", "time", "kind", "agent", "name", "data")
EXPRESSION_CHARS_MAX: Final = 4_096
_SHOWN_CHARS: Final = 20
_WORDS: Final = {"true": True, "false": False, "null": None}
_HINT: Final = 'write like: data.status == "blocked" and kind != "life"'

_COMPARE: Final[dict[type[ast.cmpop], Callable[[Any, Any], Any]]] = {
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
    ast.Is: lambda a, b: a == b,
    ast.IsNot: lambda a, b: a != b,
}


def compile_where(text: str) -> Callable[[Scope], bool]:
    """Turn an expression into a test of one event.

    Args:
        text: at most EXPRESSION_CHARS_MAX characters.

    Raises:
        UsageError: what it does not understand, and how it is written.
    """
    if len(text) > EXPRESSION_CHARS_MAX:
        raise UsageError(f"--where has {len(text)} characters, at most {EXPRESSION_CHARS_MAX} are taken")
    bare = text.strip()
    try:
        term = _term(ast.parse(bare, mode="eval").body)
    except SyntaxError as error:
        hint = "compare with ==" if _has_single_equals(text) else _HINT
        at = _characters(bare, error.lineno or 1) + error.offset - 1 if error.offset else len(bare)
        raise UsageError(f"--where is not an expression, {_place(bare, at)}: {error.msg}", hint=hint) from None
    except _Unknown as error:
        line = bare.split("\n")[error.line - 1].encode()[: error.offset_bytes]
        place = _place(bare, _characters(bare, error.line) + len(line.decode()))
        raise UsageError(f"--where, {place}: {error}", hint=error.hint) from None
    except (ValueError, RecursionError, MemoryError):
        raise UsageError(f"--where is not an expression: {text[:80]!r}", hint=_HINT) from None
    return lambda scope: bool(term(scope))


def _characters(text: str, line: int) -> int:
    """How many characters stand before a line, counted from 1."""
    return sum(len(before) + 1 for before in text.split("\n")[: line - 1])


def _place(text: str, at: int) -> str:
    rest = text[at : at + _SHOWN_CHARS]
    return f"at character {at + 1} ({rest!r})" if rest else "at its end"


def _has_single_equals(text: str) -> bool:
    bare = text
    for operator in ("==", "!=", "<=", ">="):
        bare = bare.replace(operator, "")
    return "=" in bare


def _term(node: ast.expr) -> Term:
    build = _TERMS.get(type(node))
    if build is None:
        raise _cannot(node)
    return build(node)


class _Unknown(Exception):
    """A part of an expression that is not of the language.

    Args:
        node: the part.
        what: what is wrong with it.
        hint: how it is written.
    """

    def __init__(self, node: ast.expr, what: str, hint: str) -> None:
        super().__init__(what)
        self.line = node.lineno
        self.offset_bytes = node.col_offset
        self.hint = hint


def _cannot(node: ast.expr) -> _Unknown:
    return _Unknown(node, f"it cannot do {ast.unparse(node)!r}", _HINT)


def _constant(node: ast.Constant) -> Term:
    value = node.value
    if value is not None and not isinstance(value, str | int | float):
        raise _cannot(node)
    return lambda _: value


def _name(node: ast.Name) -> Term:
    name = node.id
    if name in _WORDS:
        value = _WORDS[name]
        return lambda _: value
    if name not in NAMES:
        hint = f'use {", ".join(NAMES)}; text goes in quotes: "{name}"; data.{name}'
        raise _Unknown(node, f"there is no {name!r}", hint)
    return lambda scope: scope[name]


def _attribute(node: ast.Attribute) -> Term:
    inner, key = _term(node.value), node.attr
    return lambda scope: _member(inner(scope), key)


def _subscript(node: ast.Subscript) -> Term:
    inner, key = _term(node.value), _term(node.slice)
    return lambda scope: _member(inner(scope), key(scope))


def _member(value: Any, key: Any) -> Any:
    if isinstance(value, dict) and isinstance(key, str):
        return value.get(key)
    if isinstance(value, list) and isinstance(key, int) and -len(value) <= key < len(value):
        return value[key]
    return None


def _listed(node: ast.List | ast.Tuple) -> Term:
    items = [_term(item) for item in node.elts]
    return lambda scope: [item(scope) for item in items]


def _compare(node: ast.Compare) -> Term:
    first = _term(node.left)
    rest = [(_COMPARE[type(op)], _term(right)) for op, right in zip(node.ops, node.comparators, strict=True)]

    def test(scope: Scope) -> bool:
        left = first(scope)
        for compare, right_term in rest:
            right = right_term(scope)
            if not _holds(compare, left, right):
                return False
            left = right
        return True

    return test


def _holds(compare: Callable[[Any, Any], Any], left: Any, right: Any) -> bool:
    try:
        return bool(compare(left, right))
    except TypeError:
        return False


def _boolean(node: ast.BoolOp) -> Term:
    terms = [_term(value) for value in node.values]
    decide = all if isinstance(node.op, ast.And) else any
    return lambda scope: decide(term(scope) for term in terms)


def _unary(node: ast.UnaryOp) -> Term:
    inner = _term(node.operand)
    if isinstance(node.op, ast.Not):
        return lambda scope: not inner(scope)
    if (
        isinstance(node.op, ast.USub)
        and isinstance(node.operand, ast.Constant)
        and isinstance(node.operand.value, int | float)
    ):
        value = -node.operand.value
        return lambda _: value
    raise _cannot(node)


_TERMS: Final[dict[type[ast.expr], Callable[[Any], Term]]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Subscript: _subscript,
    ast.List: _listed,
    ast.Tuple: _listed,
    ast.Compare: _compare,
    ast.BoolOp: _boolean,
    ast.UnaryOp: _unary,
}
