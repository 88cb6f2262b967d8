"""Breaks lines that are too long, where ruff would break them: at the last brackets, then one item a line."""

from __future__ import annotations

import re

WIDTH = 120
_OPEN, _CLOSE = "([{", ")]}"
_ANNOTATED = re.compile(r'(\w+): (.*\]|.* \| None) = (None|"\w+")')
_CALL = re.compile(r"[\w\])]$")  # what stands before the brackets of a call or a subscript


def fit(text: str) -> str:
    """The text with its long lines broken. Comments, docstrings and lines without brackets stay as they are."""
    return "".join(
        line if len(line.rstrip("\n")) <= WIDTH else _broken(line) for line in text.splitlines(keepends=True)
    )


def from_import(module: str, names: list[str]) -> str:
    """An import, one name a line where one line is not enough."""
    line = f"from {module} import {', '.join(names)}\n"
    if len(line) - 1 <= WIDTH:
        return line
    return f"from {module} import (\n" + "".join(f"    {name},\n" for name in names) + ")\n"


def _broken(line: str) -> str:
    indent, code = line[: len(line) - len(line.lstrip())], line.strip()
    if code.startswith("from ") and " import " in code and "(" not in code:
        module, _, names = code.removeprefix("from ").partition(" import ")
        return from_import(module, names.split(", "))
    if broken := _broken_value(indent, code):
        return broken
    pairs = _pairs(code)
    if not pairs or code.startswith(("#", '"""')):
        return line
    definition = code.startswith(("def ", "async def "))
    start, end = pairs[0] if definition else pairs[-1]
    inside, items = code[start + 1 : end], _items(code[start + 1 : end])
    if not items:
        return line
    head, tail, deeper = code[: start + 1], code[end:], indent + "    "
    on_one_line = len(items) > 1 if definition else bool(_CALL.search(head[:-1])) and not _only_literal(items)
    if on_one_line and len(deeper + inside) <= WIDTH:
        return f"{indent}{head}\n{deeper}{inside}\n{indent}{tail}\n"
    lines = "".join(fit(f"{deeper}{item},\n") for item in items)
    return f"{indent}{head}\n{lines}{indent}{tail}\n"


def _broken_value(indent: str, code: str) -> str:
    """An annotation with a short value, such as ``sort: Literal["a", "b"] = "a"``; empty where it is something else."""
    if not (match := _ANNOTATED.fullmatch(code)):
        return ""
    name, annotation, value = match.groups()
    if annotation.endswith(" | None"):
        return f"{indent}{name}: (\n{indent}    {annotation}\n{indent}) = {value}\n"
    first = f"{indent}{name}: {annotation} = ("
    return f"{first}\n{indent}    {value}\n{indent})\n" if len(first) <= WIDTH else ""


def _only_literal(items: list[str]) -> bool:
    return len(items) == 1 and items[0][0] in "[{"


def _pairs(code: str) -> list[tuple[int, int]]:
    """The outermost brackets, from left to right."""
    found, depth, begin, position = [], 0, 0, 0
    while position < len(code):
        character = code[position]
        if character in "\"'":
            position = _end_of_string(code, position)
        elif character in _OPEN:
            begin = position if not depth else begin
            depth += 1
        elif character in _CLOSE:
            depth -= 1
            if not depth:
                found.append((begin, position))
        position += 1
    return found


def _items(code: str) -> list[str]:
    """What the commas outside of inner brackets divide."""
    items, begin, position = [], 0, 0
    inner = dict(_pairs(code))
    while position < len(code):
        if code[position] in "\"'":
            position = _end_of_string(code, position)
        elif position in inner:
            position = inner[position]
        elif code[position] == ",":
            items.append(code[begin:position].strip())
            begin = position + 1
        position += 1
    return [item for item in [*items, code[begin:].strip()] if item]


def _end_of_string(code: str, start: int) -> int:
    position = start + 1
    while position < len(code) and code[position] != code[start]:
        position += 2 if code[position] == "\\" else 1
    return position
