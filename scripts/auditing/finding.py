"""What a check reports."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from project_source.modules import Module


@dataclass(frozen=True)
class Edit:
    """A piece of a file that is replaced.

    Attributes:
        start: Line from 1, and column in bytes from 0, as in `ast`.
        end: Behind its last byte, in the same way.
    """

    start: tuple[int, int]
    end: tuple[int, int]
    text: str


@dataclass(frozen=True)
class Found:
    """A place in which a check sees its rule broken.

    Attributes:
        column: From 1, in characters.
        end_line: A `noqa` counts on every line from `line` to this one.
        message: What is wrong and what happens, one sentence without a full stop.
        remedy: What to write instead, one sentence without a full stop.
        possible: The check cannot be sure; shown with `--possible` only.
        edits: A repair that is safe to make by itself.
        imports: Lines that the repair needs at the top of the file, such as `from datetime import UTC`.
    """

    path: str
    line: int
    column: int
    end_line: int
    message: str
    remedy: str
    possible: bool = False
    edits: tuple[Edit, ...] = ()
    imports: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding(Found):
    """A place with the rule that it breaks."""

    rule: str = ""
    severity: str = ""


def at(
    module: Module,
    node: ast.AST,
    message: str,
    remedy: str,
    *,
    possible: bool = False,
    edits: Sequence[Edit] = (),
    imports: Sequence[str] = (),
) -> Found:
    """Report a node of a Python file."""
    line: int = getattr(node, "lineno", 1)
    end: int = getattr(node, "end_lineno", None) or line
    if body := getattr(node, "body", None):  # of a class, function or loop: its head
        end = max(line, body[0].lineno - 1) if isinstance(body, list) else end
    text = module.lines[line - 1].encode() if line <= len(module.lines) else b""
    column = len(text[: getattr(node, "col_offset", 0)].decode("utf-8", errors="replace")) + 1
    return Found(module.path, line, column, end, message, remedy, possible, tuple(edits), tuple(imports))


def in_file(path: str, line: int, message: str, remedy: str, *, possible: bool = False) -> Found:
    """Report a line of a file that is not Python."""
    return Found(path, line, 1, line, message, remedy, possible)


def replacing(node: ast.expr | ast.stmt | ast.keyword | ast.alias, text: str) -> Edit:
    """The edit that puts a text in the place of a node."""
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return Edit((node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset), text)


def adding_keyword(module: Module, call: ast.Call, text: str) -> list[Edit]:
    """The edit that gives a call one more keyword argument, `name=value`; none where its layout is unusual."""
    assert call.end_lineno is not None
    assert call.end_col_offset is not None
    every: list[ast.expr | ast.keyword] = [*call.args, *call.keywords]
    if not every:
        end = (call.end_lineno, call.end_col_offset - 1)
        return [Edit(end, end, text)]
    last = max(every, key=lambda one: (one.lineno, one.col_offset))
    assert last.end_lineno is not None
    assert last.end_col_offset is not None
    end = (last.end_lineno, last.end_col_offset)
    lines = module.source.splitlines()
    rest = lines[end[0] - 1 : call.end_lineno]
    rest[-1] = rest[-1][: call.end_col_offset]
    rest[0] = rest[0][end[1] :]
    if b"".join(line.partition(b"#")[0].strip() for line in rest) not in {b")", b",)"}:
        return []  # parentheses around the last argument
    indent = lines[last.lineno - 1][: last.col_offset]
    on_its_own = last.lineno > call.lineno and not indent.strip()
    return [Edit(end, end, f",\n{indent.decode()}{text}" if on_its_own else f", {text}")]
