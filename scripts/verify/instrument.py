"""Python blocks as code that reports what it did: every statement marks that it ran, every expectation is checked in place."""

from __future__ import annotations
import __future__

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import TypeGuard

from verify import expectations
from verify.expectations import Expectation
from verify.pages import PageError

PROBE = "__verify__"  # the name under which builtins holds the probe of the process
_AWAITING = (ast.Await, ast.AsyncFor, ast.AsyncWith)
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


@dataclass(frozen=True)
class Statement:
    """One top-level statement of a block, compiled.

    Attributes:
        code: Run it with ``eval``; the result is a coroutine where ``awaits``.
        awaits: Whether it awaits at the top level.
        names: The names that it mentions.
    """

    code: CodeType
    line: int
    end_line: int
    awaits: bool
    names: frozenset[str]


@dataclass(frozen=True)
class Check:
    """Expectations of one kind that belong to one statement.

    Attributes:
        statement: Line of the statement.
    """

    statement: int
    expected: tuple[Expectation, ...]


@dataclass(frozen=True)
class Program:
    """A compiled block: its statements, and its checks by the line of their first comment, by which the code names them."""

    statements: tuple[Statement, ...]
    checks: dict[int, Check]


def read(code: str, first_line: int, path: Path) -> ast.Module:
    """Parse Python whose first line is ``first_line`` of ``path``; top-level await is allowed.

    Raises:
        PageError: It is not Python.
    """
    padded = "\n" * (first_line - 1) + code
    try:
        compile(padded, str(path), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        return ast.parse(padded, str(path))
    except SyntaxError as error:
        raise PageError(path, error.lineno or first_line, f"not valid Python: {error.msg}") from None


def program(code: str, first_line: int, path: Path, shown_as: str) -> Program:
    """Compile a block.

    Args:
        code: Text of the block.
        first_line: Its first line in the page.
        path: The page, for errors.
        shown_as: File name for tracebacks.

    Raises:
        PageError: It is not Python, or an expectation belongs to no statement.
    """
    tree = read(code, first_line, path)
    attached = attach(tree, code, first_line, path)
    checks: dict[int, Check] = {}
    statements = []
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    for node in tree.body:
        at_top, names = awaits(node), _names(node)
        if _is_future(node):  # holds for the rest of the block
            flags |= _future_flags(node)
            body: list[ast.stmt] = [node]
        else:
            body = _instrumented([node], attached, checks)
        module = ast.fix_missing_locations(ast.Module(body, type_ignores=[]))
        compiled = compile(module, shown_as, "exec", flags, dont_inherit=True)
        statements.append(Statement(compiled, node.lineno, node.end_lineno or node.lineno, at_top, names))
    return Program(tuple(statements), checks)


def module(source: str, filename: str) -> CodeType:
    """Compile an importable file so that its statements mark that they ran."""
    tree = ast.parse(source, filename)
    body: list[ast.stmt] = []
    while tree.body and (_is_docstring(tree.body[0]) or _is_future(tree.body[0])):
        body.append(tree.body.pop(0))
    tree.body = body + _instrumented(tree.body, {}, {})
    return compile(ast.fix_missing_locations(tree), filename, "exec", dont_inherit=True)


def statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements that a page promises to run: all but `...`, docstrings and what only a type checker reads."""
    yield from _must_run(tree.body)


def enclosing(tree: ast.Module, line: int) -> tuple[int, int]:
    """First and last line of the innermost function that holds a line, or of the top-level statement where none does."""
    best = next(
        ((s.lineno, s.end_lineno or s.lineno) for s in tree.body if s.lineno <= line <= (s.end_lineno or s.lineno)),
        (line, line),
    )
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first, last = node.lineno, node.end_lineno or node.lineno
            if first < line <= last and last - first <= best[1] - best[0]:
                best = (first, last)
    return best


def awaits(node: ast.AST) -> bool:
    """Whether code awaits outside its functions."""
    if isinstance(node, _AWAITING) or (isinstance(node, ast.comprehension) and node.is_async):
        return True
    if isinstance(node, _SCOPES):
        return False
    return any(awaits(child) for child in ast.iter_child_nodes(node))


def attach(tree: ast.Module, code: str, first_line: int, path: Path) -> dict[int, list[Expectation]]:
    """Give each expectation to its statement: the one that ends on its line, or the one above it at the same indentation.

    Returns:
        Expectations by the ``id`` of the statement's node.

    Raises:
        PageError: There is no such statement.
    """
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    attached: dict[int, list[Expectation]] = {}
    for expectation, column, alone in expectations.comments(code, first_line, path):
        if alone:
            owners = [n for n in nodes if n.col_offset == column and (n.end_lineno or 0) < expectation.line]
        else:
            owners = [n for n in nodes if n.end_lineno == expectation.line]
        if not owners:
            where = "above it at the same indentation" if alone else "ends on its line"
            raise PageError(path, expectation.line, f"the expectation belongs to no statement: none {where}")
        owner = max(owners, key=lambda n: (n.end_lineno or 0, n.lineno, n.col_offset))
        attached.setdefault(id(owner), []).append(expectation)
    return attached


def _instrumented(
    body: Sequence[ast.stmt], attached: dict[int, list[Expectation]], checks: dict[int, Check]
) -> list[ast.stmt]:
    new: list[ast.stmt] = []
    for node in body:
        _descend(node, attached, checks)
        if not _is_docstring(node):
            new.append(_call(node, "hit", ast.Constant(node.lineno)))
        new += _checked(node, attached.get(id(node), []), checks)
    return new


def _descend(node: ast.AST, attached: dict[int, list[Expectation]], checks: dict[int, Check]) -> None:
    for name, value in ast.iter_fields(node):
        if not isinstance(value, list) or not value:
            continue
        if isinstance(value[0], ast.stmt):
            setattr(node, name, _instrumented(value, attached, checks))
        elif isinstance(value[0], (ast.ExceptHandler, ast.match_case)):
            for child in value:
                _descend(child, attached, checks)


def _checked(node: ast.stmt, expected: list[Expectation], checks: dict[int, Check]) -> list[ast.stmt]:
    def number(kind: str) -> ast.Constant | None:
        group = tuple(one for one in expected if one.kind == kind)
        if not group:
            return None
        checks[group[0].line] = Check(node.lineno, group)
        return ast.Constant(group[0].line)

    new: list[ast.stmt] = [node]
    if value := number("value"):
        if isinstance(node, ast.Expr):
            node.value = _call(node, "value", value, node.value).value
        else:
            new.append(_call(node, "output", value))
    if raises := number("raises"):
        caught = ast.Name("__error__", ast.Load())
        handler = ast.ExceptHandler(
            ast.Name("BaseException", ast.Load()), "__error__", [_call(node, "raised", raises, caught)]
        )
        attempt = ast.Try(new, [handler], [_call(node, "not_raised", raises)], [])
        new = [ast.copy_location(attempt, node)]
    if warns := number("warns"):
        new.append(_call(node, "warned", warns))
    return new


def _call(node: ast.stmt, method: str, *arguments: ast.expr) -> ast.Expr:
    function = ast.Attribute(ast.Name(PROBE, ast.Load()), method, ast.Load())
    statement = ast.Expr(ast.Call(function, list(arguments), []))
    for child in ast.walk(statement):
        if not hasattr(child, "lineno"):
            ast.copy_location(child, node)
    return statement


def _must_run(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        if _is_ellipsis(node) or _is_docstring(node) or _is_future(node):
            continue
        yield node
        if isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            yield from _must_run(node.orelse)
            continue
        for child in _bodies(node):
            yield from _must_run(child)


def _bodies(node: ast.AST) -> Iterator[list[ast.stmt]]:
    for _, value in ast.iter_fields(node):
        if isinstance(value, list) and value:
            if isinstance(value[0], ast.stmt):
                yield value
            elif isinstance(value[0], (ast.ExceptHandler, ast.match_case)):
                for child in value:
                    yield from _bodies(child)


def _names(node: ast.AST) -> frozenset[str]:
    return frozenset(child.id for child in ast.walk(node) if isinstance(child, ast.Name))


def _is_ellipsis(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.value.value is ...


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_future(node: ast.stmt) -> TypeGuard[ast.ImportFrom]:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _future_flags(node: ast.ImportFrom) -> int:
    flags = 0
    for alias in node.names:
        flags |= getattr(__future__, alias.name).compiler_flag
    return flags
