"""One Python file, parsed: its nodes by type, their parents, and what each scope binds."""

from __future__ import annotations

import ast
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias, TypeVar, overload

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Node = TypeVar("Node", bound=ast.AST)
Other = TypeVar("Other", bound=ast.AST)
Kind = Literal["import", "class", "function", "value", "annotation", "parameter", "with", "for", "other"]
_SCOPES = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.Lambda,
    ast.ClassDef,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
)
_BINDING = (
    ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.Assign, ast.AnnAssign, ast.NamedExpr,
    ast.With, ast.AsyncWith, ast.For, ast.AsyncFor, ast.comprehension, ast.ExceptHandler,
)  # fmt: skip
_FIELDS: dict[type[ast.AST], tuple[str, ...]] = {}
_PLAIN = frozenset({
    "ctx",
    "op",
    "ops",
    "type_comment",
    "kind",
    "id",
    "attr",
    "level",
    "module",
    "is_async",
    "simple",
    "conversion",
})


@dataclass(frozen=True)
class Binding:
    """A name gets a meaning.

    Attributes:
        kind: How: an import, a class or function, `name = value`, `name: annotation`, a parameter, `with ... as name`, `for name in ...`.
        node: The expression, definition or parameter behind it.
        line: Where.
        name: The qualified name, for an import.
    """

    kind: Kind
    node: ast.AST
    line: int
    name: str = ""


@dataclass
class Scope:
    """The names of a module, class, function, lambda or comprehension."""

    node: ast.AST
    parent: Scope | None
    names: dict[str, list[Binding]] = field(default_factory=lambda: defaultdict(list))


class Module:
    """A parsed file.

    Attributes:
        path: Relative to the project, with slashes.
        name: Dotted, from the project's folder.
        package: The dotted name that relative imports start from.
        lines: The text, line by line.
        stars: Modules of `from ... import *`.
    """

    def __init__(self, path: str, source: bytes) -> None:
        """Parse a file.

        Raises:
            SyntaxError: It is not Python of this interpreter's version.
            ValueError: It holds a NUL byte, or is not in its declared encoding.
        """
        self.path, self.source = path, source
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "\d" in a string of the project is not our affair
            self.tree = ast.parse(source, path)
        parts = path.removesuffix(".py").split("/")
        is_package = parts[-1] == "__init__"
        self.name = ".".join(parts[:-1] if is_package else parts)
        self.package = ".".join(parts[:-1])
        self.lines = source.decode("utf-8", errors="replace").splitlines()
        self.nodes: dict[type[ast.AST], list[ast.AST]] = defaultdict(list)
        self.parents: dict[ast.AST, ast.AST] = {}
        self.scopes: dict[ast.AST, Scope] = {}
        self.stars: list[str] = []
        self.top = Scope(self.tree, None)
        self.scopes[self.tree] = self.top
        self._index(self.tree, self.top)

    @overload
    def all(self, one: type[Node], /) -> Iterator[Node]: ...
    @overload
    def all(self, one: type[Node], other: type[Other], /) -> Iterator[Node | Other]: ...
    @overload
    def all(self, *types: type[Node]) -> Iterator[Node]: ...
    def all(self, *types: type[ast.AST]) -> Iterator[ast.AST]:
        """The nodes of some types, in the order of the text."""
        for one in types:
            yield from self.nodes.get(one, ())

    def functions(self) -> Iterator[Function]:
        """All functions and methods."""
        yield from self.all(ast.FunctionDef)
        yield from self.all(ast.AsyncFunctionDef)

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        """What a node stands in, from the inside out; the module is the last."""
        while (above := self.parents.get(node)) is not None:
            yield above
            node = above

    def function_of(self, node: ast.AST) -> Function | None:
        """The function that a node stands in (lambdas are looked through)."""
        return next((one for one in self.ancestors(node) if isinstance(one, Function)), None)

    @cached_property
    def self_assignments(self) -> dict[ast.ClassDef, dict[str, ast.Assign | ast.AnnAssign]]:
        """What the methods of each class assign to attributes of self: the first assignment of each name."""
        found: dict[ast.ClassDef, dict[str, ast.Assign | ast.AnnAssign]] = defaultdict(dict)
        plain: list[tuple[ast.expr, ast.Assign | ast.AnnAssign]] = [
            (target, node) for node in self.all(ast.Assign) for target in node.targets
        ]
        for target, node in [*plain, *((one.target, one) for one in self.all(ast.AnnAssign))]:
            if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
                owner = self.class_of(node)
                if owner:
                    found[owner].setdefault(target.attr, node)
        return found

    def class_of(self, node: ast.AST) -> ast.ClassDef | None:
        """The class whose body, or method, a node stands in."""
        return next((one for one in self.ancestors(node) if isinstance(one, ast.ClassDef)), None)

    def statement_of(self, node: ast.AST) -> ast.stmt:
        """The statement that a node is, or is part of."""
        while not isinstance(node, ast.stmt):
            node = self.parents[node]
        return node

    def within(self, node: ast.AST, container: ast.AST) -> bool:
        """Whether a node is inside another one."""
        return any(one is container for one in self.ancestors(node))

    @overload
    def own(self, function: ast.AST, one: type[Node], /) -> Iterator[Node]: ...
    @overload
    def own(self, function: ast.AST, one: type[Node], other: type[Other], /) -> Iterator[Node | Other]: ...
    @overload
    def own(self, function: ast.AST, *types: type[Node]) -> Iterator[Node]: ...
    def own(self, function: ast.AST, *types: type[ast.AST]) -> Iterator[ast.AST]:
        """The nodes of some types in a function, without those of functions and classes inside it."""
        stack = _children(function)[::-1]
        while stack:
            node = stack.pop()
            if isinstance(node, types):
                yield node
            if not isinstance(node, Function | ast.ClassDef | ast.Lambda):
                stack += _children(node)[::-1]

    def is_generator(self, function: Function) -> bool:
        """Whether it yields."""
        return next(self.own(function, ast.Yield, ast.YieldFrom), None) is not None

    def bindings(self, name: str, at: ast.AST) -> list[Binding]:
        """What a name may stand for where a node uses it.

        Of the scope that binds it: in the scope of the node itself, the last binding above the node; in an outer scope
        all bindings, the last one first, as the code there may have run to its end.
        """
        scope: Scope | None = self._scope_of(at)
        own = True
        while scope is not None:
            found = scope.names.get(name)
            if found and not (isinstance(scope.node, ast.ClassDef) and not own):
                line = getattr(at, "lineno", 0)
                above = [one for one in found if one.line <= line] if own else []
                return [above[-1]] if above else found[::-1]
            own = own and isinstance(scope.node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp))
            scope = scope.parent
        return []

    def every_binding(self, name: str, at: ast.AST) -> list[Binding]:
        """All bindings of a name in the scope that binds it, in the order of the text."""
        scope: Scope | None = self._scope_of(at)
        while scope is not None:
            if found := scope.names.get(name):
                return found
            scope = scope.parent
        return []

    def _scope_of(self, node: ast.AST) -> Scope:
        child, above = node, self.parents.get(node)
        while above is not None:
            if above in self.scopes and not self._outside(child, above):
                return self.scopes[above]
            child, above = above, self.parents.get(above)
        return self.top

    @staticmethod
    def _outside(child: ast.AST, scope: ast.AST) -> bool:
        """Whether a child of a function or class is evaluated in the scope around it: decorators, defaults, bases."""
        if isinstance(scope, Function):
            return child not in scope.body
        if isinstance(scope, ast.ClassDef):
            return child not in scope.body
        return False

    def _index(self, root: ast.AST, top: Scope) -> None:
        stack: list[tuple[ast.AST, Scope]] = [(root, top)]
        nodes, parents = self.nodes, self.parents
        while stack:
            node, scope = stack.pop()
            nodes[type(node)].append(node)
            inner = scope
            if isinstance(node, _SCOPES):
                inner = self.scopes[node] = Scope(node, scope)
            if isinstance(node, _BINDING):
                self._bind(node, scope, inner)
            for child in _children(node)[::-1]:
                parents[child] = node
                stack.append((child, inner))

    def _bind(self, node: ast.AST, scope: Scope, inner: Scope) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.name if alias.asname else alias.name.partition(".")[0]
                scope.names[alias.asname or name].append(Binding("import", node, node.lineno, name))
        elif isinstance(node, ast.ImportFrom):
            origin = self._absolute(node)
            for alias in node.names:
                if alias.name == "*":
                    self.stars.append(origin)
                else:
                    found = Binding("import", node, node.lineno, f"{origin}.{alias.name}".lstrip("."))
                    scope.names[alias.asname or alias.name].append(found)
        elif isinstance(node, ast.ClassDef):
            scope.names[node.name].append(Binding("class", node, node.lineno))
        elif isinstance(node, Function):
            scope.names[node.name].append(Binding("function", node, node.lineno))
            self._parameters(node.args, inner)
        elif isinstance(node, ast.Lambda):
            self._parameters(node.args, inner)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                self._target(target, "value", node.value, node.lineno, scope)
        elif isinstance(node, ast.AnnAssign):
            self._target(node.target, "annotation", node, node.lineno, scope)
        elif isinstance(node, ast.NamedExpr):
            self._target(node.target, "value", node.value, node.lineno, scope)
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            for item in node.items:
                if item.optional_vars is not None:
                    self._target(item.optional_vars, "with", item.context_expr, node.lineno, scope)
        elif isinstance(node, (ast.For, ast.AsyncFor)):
            self._target(node.target, "for", node.iter, node.lineno, scope)
        elif isinstance(node, ast.comprehension):
            self._target(node.target, "for", node.iter, getattr(node.target, "lineno", 0), scope)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            scope.names[node.name].append(Binding("other", node, node.lineno))

    @staticmethod
    def _parameters(arguments: ast.arguments, scope: Scope) -> None:
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += [one for one in (arguments.vararg, arguments.kwarg) if one]
        for one in every:
            scope.names[one.arg].append(Binding("parameter", one, one.lineno))

    def _target(self, target: ast.expr, kind: Kind, node: ast.AST, line: int, scope: Scope) -> None:
        if isinstance(target, ast.Name):
            scope.names[target.id].append(Binding(kind, node, line))
        elif isinstance(target, (ast.Tuple, ast.List)):
            values = node.elts if isinstance(node, (ast.Tuple, ast.List)) else []
            same = kind == "value" and len(values) == len(target.elts)
            for number, element in enumerate(target.elts):
                self._target(element, kind if same else "other", values[number] if same else node, line, scope)
        elif isinstance(target, ast.Starred):
            self._target(target.value, "other", node, line, scope)

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.package.split(".") if self.package else []
        base = parts[: len(parts) - (node.level - 1)] if node.level > 1 else parts
        return ".".join([*base, *([node.module] if node.module else [])])


def _children(node: ast.AST) -> list[ast.AST]:
    """The nodes right below a node, in the order of the text, without contexts and operators."""
    found: list[ast.AST] = []
    for name in _node_fields(type(node)):
        value = getattr(node, name, None)
        if type(value) is list:
            found += [one for one in value if isinstance(one, ast.AST)]
        elif isinstance(value, ast.AST):
            found.append(value)
    return found


def _node_fields(kind: type[ast.AST]) -> tuple[str, ...]:
    """The fields of a kind of node that hold nodes worth a look."""
    if kind not in _FIELDS:
        _FIELDS[kind] = tuple(name for name in kind._fields if name not in _PLAIN)
    return _FIELDS[kind]


def default_of(function: Function, name: str) -> ast.expr | None:
    """The default of a parameter."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    pairs = list(zip(reversed(positional), reversed(arguments.defaults), strict=False))
    pairs += [(one, value) for one, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if value]
    return next((value for one, value in pairs if one.arg == name), None)


def last_name(node: ast.AST) -> str:
    """The name itself, or the one behind the last dot; "" for other expressions."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    """The value of a keyword argument of a call."""
    return next((one.value for one in call.keywords if one.arg == name), None)


def parameters(function: Function) -> list[ast.arg]:
    """Positional and keyword parameters, without *args and **kwargs."""
    return [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
