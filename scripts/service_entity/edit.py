"""Edits of files that the caller may have changed: the place is found by parsing, and the text around it stays."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from service_entity.errors import TargetError
from service_entity.imports import kind, module_key, name_key, natural, section
from service_entity.layout import WIDTH, fit, from_import

Key = Callable[[str], tuple[object, ...]]


class Item(NamedTuple):
    """Part of a list: what it is sorted by, and where it stands in the text."""

    name: str
    begin: int
    end: int


@dataclass
class Source:
    """A Python file while it is edited.

    Attributes:
        name: For errors: ``app/main.py``.
        text: With ``\\n`` at the ends of lines.
    """

    name: str
    text: str

    @property
    def tree(self) -> ast.Module:
        """The file, parsed.

        Raises:
            TargetError: It is not valid Python.
        """
        try:
            return ast.parse(self.text)
        except (SyntaxError, ValueError, RecursionError) as error:
            line = f":{error.lineno}" if isinstance(error, SyntaxError) else ""
            raise TargetError(f"{self.name}{line} is not valid Python: {getattr(error, 'msg', error)}") from None

    @property
    def bound(self) -> set[str]:
        """Every name that the file binds, at any depth."""
        found = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
            elif isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                found.add(node.name)
            elif isinstance(node, ast.arg):
                found.add(node.arg)
            elif isinstance(node, ast.alias):
                found.add((node.asname or node.name).split(".")[0])
        return found

    def missing(self, what: str) -> TargetError:
        """The error for a place that is not there."""
        return TargetError(f"{self.name} has no {what}, where an entity would be entered; put it back")

    # ---- edits -------------------------------------------------------------------------------

    def add_import(self, module: str, name: str) -> None:
        """Import a name, where ruff would put the import."""
        found = [node for node in self.tree.body if isinstance(node, ast.ImportFrom) and not node.level]
        for node in found:
            if node.module == module and not any(one.asname for one in node.names):
                items = [self._item(one.name, one, one) for one in node.names]
                self._insert(items, name, node, name, name_key)
                return
        peers = [node for node in found if section(node.module or "") == section(module)]
        statement = from_import(module, [name])
        later = [node for node in peers if module_key(node.module or "") > module_key(module)]
        if later:
            self._insert_lines(self._first_line(later[0].lineno), statement)
            return
        imports = [node for node in self.tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        if peers or imports:
            gap = "" if peers else "\n"
            self._insert_lines((peers or imports)[-1].end_lineno, gap + statement)
            return
        body = self.tree.body
        has_doc = bool(body) and ast.get_docstring(self.tree) is not None
        self._insert_lines(body[0].end_lineno if has_doc else 0, ("\n" if has_doc else "") + statement)

    def add_to_all(self, name: str) -> None:
        """Enter a name in ``__all__``.

        Raises:
            TargetError: There is none.
        """
        value = self._assigned("__all__")
        if not isinstance(value, (ast.List, ast.Tuple)):
            raise self.missing("list __all__ = [...]")

        items = [self._item(str(getattr(one, "value", "")), one, one) for one in value.elts]
        self._insert(items, f'"{name}"', value, name, lambda item: (kind(item), natural(item)))

    def add_dependency(self, alias: str, service: str) -> None:
        """Enter what an endpoint asks for in app/api/deps.py: ``Invoices = Annotated[...]``.

        Raises:
            TargetError: There is no function ``provide``.
        """
        statement = fit(f"{alias} = Annotated[{service}, Depends(provide({service}))]\n")
        peers = [
            (node, node.targets[0].id)
            for node in self.tree.body
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and "Depends(provide(" in ast.unparse(node.value)
        ]
        later = [node for node, name in peers if name.lower() > alias.lower()]
        if later and _is_sorted([(name.lower(),) for _, name in peers]):
            self._insert_lines(self._first_line(later[0].lineno), statement)
        elif peers:
            self._insert_lines(peers[-1][0].end_lineno, statement)
        else:
            body = self.tree.body
            places = [place for place, node in enumerate(body) if getattr(node, "name", "") == "provide"]
            if not places:
                raise self.missing("function provide()")
            if places[0] + 1 == len(body):
                self._insert_lines(body[places[0]].end_lineno, f"\n\n{statement}")
                return
            following = body[places[0] + 1]
            gap = "\n\n" if isinstance(following, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) else "\n"
            self._insert_lines(self._first_line(following.lineno), statement + gap)

    def add_router(self, module: str) -> None:
        """Have app/main.py include a router.

        Raises:
            TargetError: No router is included there.
        """
        tree = self.tree
        calls = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Call)
            and isinstance(node.value.func, ast.Attribute)
            and node.value.func.attr == "include_router"
        ]
        if not calls:
            raise self.missing("call of app.include_router()")
        for loop in (node for node in ast.walk(tree) if isinstance(node, ast.For)):
            if any(call in loop.body for call in calls) and isinstance(loop.iter, (ast.Tuple, ast.List)):
                items = [self._item(ast.unparse(one), one, one) for one in loop.iter.elts]
                self._insert(items, module, loop.iter, module, lambda item: (natural(item),))
                return
        last = max(calls, key=lambda call: call.lineno)
        owner = ast.unparse(last.value.func.value)  # type: ignore[attr-defined]
        self._insert_lines(last.end_lineno, f"{' ' * last.col_offset}{owner}.include_router({module}.router)\n")

    def add_to_dict(self, variable: str, entries: Sequence[tuple[str, str]]) -> None:
        """Enter keys and values at the end of a dict.

        Raises:
            TargetError: There is no such dict.
        """
        for key, value in entries:
            found = self._assigned(variable)
            if not isinstance(found, ast.Dict):
                raise self.missing(f"table {variable} = {{...}}")
            pairs = zip(found.keys, found.values, strict=True)
            self._insert([self._item("", one or two, two) for one, two in pairs], f"{key}: {value}", found)

    def add_before(self, variable: str, definition: str) -> None:
        """Write a definition above that of a variable.

        Raises:
            TargetError: There is no such variable.
        """
        statement = self._assignment(variable)
        if statement is None:
            raise self.missing(f"table {variable} = {{...}}")
        self._insert_lines(self._first_line(statement.lineno), definition)

    def append(self, definition: str) -> None:
        """Write a function at the end of the file."""
        self.text = self.text.rstrip("\n") + "\n\n\n" + definition

    # ---- places ------------------------------------------------------------------------------

    def _assignment(self, variable: str) -> ast.Assign | ast.AnnAssign | None:
        for node in self.tree.body:
            if isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if any(isinstance(target, ast.Name) and target.id == variable for target in targets):
                    return node
        return None

    def _assigned(self, variable: str) -> ast.expr | None:
        statement = self._assignment(variable)
        return statement.value if statement else None

    def _first_line(self, line: int) -> int:
        """The number of lines above a line and the comments that belong to it."""
        lines = _lines(self.text)
        while line > 1 and lines[line - 2].lstrip().startswith("#"):
            line -= 1
        return line - 1

    def _offset(self, line: int | None, column: int | None) -> int:
        """Where a place of the parser stands in the text. The parser counts bytes within a line."""
        assert line is not None
        lines = _lines(self.text)
        return sum(map(len, lines[: line - 1])) + len(lines[line - 1].encode()[:column].decode())

    def _item(self, name: str, first: ast.expr | ast.alias, last: ast.expr | ast.alias) -> Item:
        begin = self._offset(first.lineno, first.col_offset)
        return Item(name, begin, self._offset(last.end_lineno, last.end_col_offset))

    # ---- text --------------------------------------------------------------------------------

    def _insert_lines(self, above: int | None, new: str) -> None:
        """Insert whole lines below the first ``above`` lines."""
        lines = _lines(self.text)
        if lines and not lines[-1].endswith("\n"):
            lines[-1] += "\n"
        self.text = "".join([*lines[:above], new, *lines[above:]])

    def _insert(
        self, items: list[Item], new: str, around: ast.stmt | ast.expr, name: str = "", key: Key | None = None
    ) -> None:
        """Insert an item into a list of any kind.

        Args:
            new: Its text.
            around: The whole list.
            name: By which it is sorted, and known to be there already.
            key: How the list may be sorted; a list that is not gets the item at its end.
        """
        place = len(items)
        if key:
            if any(item.name == name for item in items):
                return
            keys = [key(item.name) for item in items]
            if _is_sorted(keys):
                place = sum(one < key(name) for one in keys)
        begin = self._offset(around.lineno, around.col_offset)
        end = self._offset(around.end_lineno, around.end_col_offset)
        if "\n" not in self.text[begin:end]:
            self._rewrite_line(items, place, new, begin, end)
        elif items and all(not self._before(item).strip() for item in items):
            self._insert_item_line(items, place, new)
        elif place < len(items):
            self.text = f"{self.text[: items[place].begin]}{new}, {self.text[items[place].begin :]}"
        elif items:
            self.text = f"{self.text[: items[-1].end]}, {new}{self.text[items[-1].end :]}"
        else:  # a comment between brackets, and nothing else
            self.text = f"{self.text[: begin + 1]}\n    {new},{self.text[begin + 1 :]}"

    def _before(self, item: Item) -> str:
        """What stands before an item on its line."""
        return self.text[self.text.rfind("\n", 0, item.begin) + 1 : item.begin]

    def _rewrite_line(self, items: list[Item], place: int, new: str, begin: int, end: int) -> None:
        """All on one line: write it anew, on several lines where it is too long."""
        texts = [self.text[item.begin : item.end] for item in items]
        texts.insert(place, new)
        first, last = (items[0].begin, items[-1].end) if items else (begin + 1, end - 1)
        if self.text[last] == ",":  # a tuple of one
            last += 1
        start = self.text.rfind("\n", 0, begin) + 1
        stop = (self.text + "\n").index("\n", end)
        line = f"{self.text[start:first]}{', '.join(texts)}{self.text[last:stop]}\n"
        if len(line) - 1 > WIDTH and "#" not in self.text[end:stop]:
            line = fit(line)
        self.text = self.text[:start] + line + self.text[stop + 1 :]

    def _insert_item_line(self, items: list[Item], place: int, new: str) -> None:
        """One item a line: another line."""
        line = fit(f"{self._before(items[0])}{new},\n")
        if place < len(items):
            number = self.text.count("\n", 0, items[place].begin) + 1
            self._insert_lines(self._first_line(number), line)
            return
        end = items[-1].end
        if not self.text[end:].lstrip().startswith(","):
            self.text = f"{self.text[:end]},{self.text[end:]}"
        self._insert_lines(self.text.count("\n", 0, end) + 1, line)


def _lines(text: str) -> list[str]:
    """Lines as the parser counts them."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _is_sorted(keys: Sequence[tuple[object, ...]]) -> bool:
    return all(one <= two for one, two in pairwise(keys))
