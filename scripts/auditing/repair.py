"""The repairs that findings bring with them, applied to the files."""

from __future__ import annotations

import ast
import difflib
import warnings
from collections.abc import Iterable, Iterator

from auditing.finding import Edit, Finding
from project_source.modules import Module

_BOM = b"\xef\xbb\xbf"


def repaired(module: Module, findings: Iterable[Finding]) -> tuple[bytes, list[Finding]]:
    """Apply the repairs of one file.

    Repairs that overlap an earlier one, or need an import whose name means something else in the file, are left out.

    Returns:
        The new content, and the findings that were repaired. Nothing is changed where the result would not parse.
    """
    bom = _BOM if module.source.startswith(_BOM) else b""
    source = module.source.removeprefix(_BOM)
    try:
        source.decode("utf-8")
    except UnicodeDecodeError:
        return module.source, []
    edits: list[tuple[int, int, bytes]] = []
    imports: list[str] = []
    done: list[Finding] = []
    starts = _line_starts(source)
    for one in findings:
        spans = [_span(edit, starts) for edit in one.edits]
        free = all(end <= a or start >= b for start, end, _ in spans for a, b, _ in edits)
        if spans and free and all(_importable(line, module) for line in one.imports):
            edits += spans
            imports += [line for line in one.imports if line not in imports and not _imported(line, module)]
            done.append(one)
    if not done:
        return module.source, []
    if imports:
        newline = b"\r\n" if b"\r\n" in source else b"\n"
        place = starts[_import_line(module)] if _import_line(module) < len(starts) else len(source)
        lead = b"" if not place or source[:place].endswith(b"\n") else newline
        edits.append((place, place, lead + b"".join(line.encode() + newline for line in imports)))
    new = source
    for start, end, text in sorted(edits, key=lambda edit: (edit[0], edit[1]), reverse=True):
        new = new[:start] + text + new[end:]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(new)
    except (SyntaxError, ValueError):
        return module.source, []
    return bom + new, done


def diff(path: str, old: bytes, new: bytes) -> str:
    """A unified diff."""
    before, after = (text.decode("utf-8").splitlines(keepends=True) for text in (old, new))
    return "".join(_ended(difflib.unified_diff(before, after, f"a/{path}", f"b/{path}")))


def _ended(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _line_starts(source: bytes) -> list[int]:
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return starts


def _span(edit: Edit, starts: list[int]) -> tuple[int, int, bytes]:
    (first, column), (last, end) = edit.start, edit.end
    return starts[first - 1] + column, starts[last - 1] + end, edit.text.encode()


def _names(line: str) -> list[tuple[str, str]]:
    """The local and the qualified names that an import line binds."""
    node = ast.parse(line).body[0]
    if isinstance(node, ast.ImportFrom):
        return [(one.asname or one.name, f"{node.module}.{one.name}") for one in node.names]
    assert isinstance(node, ast.Import)
    return [(one.asname or one.name, one.name) for one in node.names]


def _imported(line: str, module: Module) -> bool:
    return all(any(b.name == full for b in module.top.names.get(name, [])) for name, full in _names(line))


def _importable(line: str, module: Module) -> bool:
    """Whether its names mean nothing else in any scope of the file."""
    for name, full in _names(line):
        for scope in module.scopes.values():
            if any(binding.name != full for binding in scope.names.get(name, [])):
                return False
    return True


def _import_line(module: Module) -> int:
    """The index of the line before which an import is put: behind the first run of imports, else behind the docstring."""
    line = 0
    for node in module.tree.body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and not line
        if not docstring and not isinstance(node, ast.Import | ast.ImportFrom):
            break
        line = node.end_lineno or node.lineno
    return line
