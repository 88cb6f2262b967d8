"""All modules of a project, and what the names in them stand for across its files."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from project_source import known
from project_source.classes import Class
from project_source.files import Tree
from project_source.modules import Binding, Function, Module, default_of, keyword

DEPTH = 24  # of a chain of names, calls and imports; a longer one is taken for unknown
_CONTEXT_MANAGERS = frozenset({"contextlib.asynccontextmanager", "contextlib.contextmanager"})
_ITERATORS = frozenset({"AsyncIterator", "AsyncGenerator", "AsyncIterable", "Iterator", "Generator", "Iterable"})
_CONTEXTS = frozenset({
    "AbstractAsyncContextManager",
    "AbstractContextManager",
    "AsyncContextManager",
    "ContextManager",
})


@dataclass(frozen=True)
class Value:
    """What an expression is.

    Attributes:
        name: A qualified name: of the class whose instance it is, or of the thing itself.
        instance: Whether it is an instance of that class.
        node: The call, definition or parameter that it comes from.
        module: Where that node stands.
    """

    name: str
    instance: bool
    node: ast.AST | None = None
    module: Module | None = None


class Project:
    """The parsed files of a project.

    Attributes:
        tree: All its files, also those that are not Python.
        modules: By path.
    """

    def __init__(self, tree: Tree, wanted: Callable[[str, bytes], bool] | None = None) -> None:
        """Parse the Python files; what cannot be parsed is noted in `tree.unread`.

        Args:
            wanted: Says by path and content whether a file matters; every one does where it is missing.
        """
        self.tree = tree
        self.modules: dict[str, Module] = {}
        for path in tree.files:
            if (
                path.endswith(".py")
                and (source := tree.read(path)) is not None
                and (not wanted or wanted(path, source))
            ):
                try:
                    self.modules[path] = Module(path, source)
                except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
                    line = getattr(error, "lineno", None)
                    tree.unread.append((
                        path,
                        f"line {line}: {error.msg}" if isinstance(error, SyntaxError) else str(error),
                    ))
        self._by_last: dict[str, list[Module]] = defaultdict(list)
        for module in self.modules.values():
            self._by_last[module.name.rpartition(".")[2]].append(module)
        self._found: dict[tuple[str, str], Module | None] = {}
        self._values: dict[ast.AST, Value | None] = {}
        self._busy: set[ast.AST] = set()

    @cached_property
    def calls(self) -> dict[str, list[tuple[ast.Call, Module]]]:
        """All calls, by the last name of what they call: `session.get(...)` stands below get."""
        found: dict[str, list[tuple[ast.Call, Module]]] = defaultdict(list)
        for module in self.modules.values():
            for call in module.all(ast.Call):
                if isinstance(call.func, ast.Name | ast.Attribute):
                    found[call.func.id if isinstance(call.func, ast.Name) else call.func.attr].append((call, module))
        return found

    # ---- modules --------------------------------------------------------------------------------

    def find(self, name: str, near: Module) -> Module | None:
        """The module that an import means: the project may lie below src/, or below several folders of their own."""
        place = (name, near.package)
        if place not in self._found:
            self._found[place] = self._find(name, near)
        return self._found[place]

    def _find(self, name: str, near: Module) -> Module | None:
        if not name or name.partition(".")[0] in known.THIRD_PARTY or name.partition(".")[0] in sys.stdlib_module_names:
            return None
        found = [one for one in self._by_last[name.rpartition(".")[2]] if f".{one.name}".endswith(f".{name}")]
        if len(found) < 2:
            return found[0] if found else None

        def closeness(one: Module) -> tuple[bool, int]:
            prefix = one.name.removesuffix(name)
            shared = next((n for n, (a, b) in enumerate(zip(one.path, near.path, strict=False)) if a != b), 0)
            return f"{near.name}.".startswith(prefix), shared

        return max(found, key=closeness)

    # ---- names ----------------------------------------------------------------------------------

    def name_of(self, node: ast.AST, module: Module) -> str:
        """The qualified name of what a name or attribute stands for; "" where that is unknown.

        `sa.select` is `sqlalchemy.select`, also where the module imports `sa` from another one of the project.
        """
        value = self.value_of(node, module)
        return value.name if value and not value.instance else ""

    def called(self, call: ast.Call, module: Module) -> str:
        """The qualified name of the function or class that a call calls; "" where that is unknown."""
        return self.name_of(call.func, module)

    def type_of(self, node: ast.AST, module: Module) -> str:
        """The qualified name of the class whose instance an expression is; "" where that is unknown."""
        value = self.value_of(node, module)
        return value.name if value and value.instance else ""

    def is_session(self, node: ast.AST, module: Module) -> bool:
        """Whether an expression is an AsyncSession, of SQLModel or of SQLAlchemy."""
        return self.type_of(node, module) in known.ASYNC_SESSIONS

    def value_of(self, node: ast.AST, module: Module) -> Value | None:
        """What an expression is, as far as imports, assignments, annotations and calls say."""
        if node in self._values:
            return self._values[node]
        if node in self._busy or len(self._busy) > DEPTH:
            return None
        self._busy.add(node)
        try:
            value = self._value(node, module)
        finally:
            self._busy.discard(node)
        if not self._busy:
            self._values[node] = value
        return value

    def _value(self, node: ast.AST, module: Module) -> Value | None:
        if isinstance(node, ast.Name):
            return self._first(self._bound(one, module) for one in module.bindings(node.id, node)) or self._from_star(
                node.id, module
            )
        if isinstance(node, ast.Attribute):
            return self._attribute(node, module)
        if isinstance(node, ast.Call):
            return self._call(node, module)
        if isinstance(node, ast.Await):
            return self.value_of(node.value, module)
        if isinstance(node, ast.NamedExpr):
            return self.value_of(node.value, module)
        if isinstance(node, ast.IfExp):
            return self.value_of(node.body, module) or self.value_of(node.orelse, module)
        if isinstance(node, ast.BoolOp):
            return self._first(self.value_of(one, module) for one in node.values)
        if isinstance(node, Function | ast.ClassDef):
            return Value(f"{module.name}.{node.name}", False, node, module)
        return None

    @staticmethod
    def _first(values: Iterator[Value | None]) -> Value | None:
        return next((one for one in values if one), None)

    def _from_star(self, name: str, module: Module) -> Value | None:
        for origin in module.stars:
            if (other := self.find(origin, module)) and other is not module:
                if value := self.member(other, name):
                    return value
            elif origin.partition(".")[0] in known.STARS and name in known.STARS[origin.partition(".")[0]]:
                return Value(known.canonical(f"{origin}.{name}"), False)
        return None

    def member(self, module: Module, name: str) -> Value | None:
        """What a name at the top of a module stands for."""
        found = module.top.names.get(name, [])
        return self._first(self._bound(one, module) for one in found[::-1]) or (
            self._from_star(name, module) if not found else None
        )

    def named(self, qualified: str, near: Module) -> Value | None:
        """What a qualified name stands for: something of the project, or of a library."""
        if module := self.find(qualified, near):
            return Value(module.name, False, module.tree, module)
        origin, _, name = qualified.rpartition(".")
        if origin and (module := self.find(origin, near)):
            return self.member(module, name) if module is not near or name in module.top.names else None
        return Value(known.canonical(qualified), False)

    def _bound(self, one: Binding, module: Module) -> Value | None:
        if one.node in self._busy and one.kind != "import":
            return None
        if one.kind == "import":
            key = f"{one.name}@{module.path}"
            if key in self._importing or len(self._importing) > DEPTH:
                return None
            self._importing.add(key)
            try:
                return self.named(one.name, module)
            finally:
                self._importing.discard(key)
        if one.kind in {"class", "function", "value"}:
            return self.value_of(one.node, module)
        if one.kind == "annotation":
            assert isinstance(one.node, ast.AnnAssign)
            promised = self.annotated(one.node.annotation, module)
            value = self.value_of(one.node.value, module) if one.node.value else None
            if promised and promised.name in known.SESSION_MAKERS and value and value.name == promised.name:
                return value  # the call says more than `async_sessionmaker[AsyncSession]`
            return promised or value
        if one.kind == "parameter":
            assert isinstance(one.node, ast.arg)
            return self._parameter(one.node, module)
        if one.kind == "with":
            return self._entered(one.node, module)
        if one.kind == "for":
            return self._yielded(one.node, module, known_managers=False)
        return None

    @cached_property
    def _importing(self) -> set[str]:
        return set()

    # ---- types ----------------------------------------------------------------------------------

    def annotated(self, annotation: ast.expr, module: Module) -> Value | None:
        """The instance that an annotation promises: `T`, `T | None`, `Optional[T]`, `Annotated[T, ...]`, an alias of one."""
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            try:
                annotation = ast.parse(annotation.value, mode="eval").body
            except SyntaxError:
                return None
            if not isinstance(annotation, ast.Name):
                return None
            found = self.member(module, annotation.id)
            return Value(found.name, True, found.node, found.module) if found and not found.instance else None
        if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
            sides = [one for one in (annotation.left, annotation.right) if not _is_none(one)]
            return self.annotated(sides[0], module) if len(sides) == 1 else None
        if isinstance(annotation, ast.Subscript):
            outer = self.name_of(annotation.value, module)
            arguments = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
            if outer in {"typing.Annotated", "typing_extensions.Annotated"}:
                return self.annotated(arguments[0], module) or self._depends(arguments[1:], module)
            if outer == "typing.Optional":
                return self.annotated(arguments[0], module)
            if outer in known.SESSION_MAKERS:
                return Value(outer, True, annotation, module)
            value = self.value_of(annotation.value, module)
            return Value(value.name, True, value.node, value.module) if value and not value.instance else None
        if isinstance(annotation, ast.Name | ast.Attribute):
            if alias := self._alias(annotation, module):
                return self.annotated(*alias)
            value = self.value_of(annotation, module)
            return Value(value.name, True, value.node, value.module) if value and not value.instance else None
        return None

    def written(self, annotation: ast.expr, module: Module) -> tuple[ast.expr, Module]:
        """An annotation as it is spelled out, and where: quotes are removed, and the name of an alias gives what it stands for."""
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            try:
                return ast.parse(annotation.value.strip(), mode="eval").body, module
            except SyntaxError:
                return annotation, module
        return self._alias(annotation, module) or (annotation, module)

    def alternatives(self, annotation: ast.expr, module: Module) -> list[tuple[ast.expr, Module]]:
        """The types that an annotation allows, without None, and where each is written: `Annotated[int | None, ...]` gives int."""
        node, where = self.written(annotation, module)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return [*self.alternatives(node.left, where), *self.alternatives(node.right, where)]
        if isinstance(node, ast.Subscript):
            outer = self.name_of(node.value, where).rpartition(".")[2]
            inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            if outer in {"Annotated", "Optional", "Mapped", "Final"}:
                return self.alternatives(inner[0], where)
            if outer == "Union":
                return [found for one in inner for found in self.alternatives(one, where)]
        return [] if _is_none(node) else [(node, where)]

    def _alias(self, name: ast.expr, module: Module) -> tuple[ast.expr, Module] | None:
        """The subscript or union behind the name of a type, and where it stands."""
        if not isinstance(name, ast.Name):
            return None
        here, wanted = module, name.id
        for _ in range(DEPTH):
            found = (
                here.bindings(wanted, name) if here is module and wanted == name.id else here.top.names.get(wanted, [])
            )
            if not found:
                return None
            one = found[0] if here is module else found[-1]
            if one.kind == "import":
                origin, _, wanted = one.name.rpartition(".")
                other = self.find(origin, here)
                if other is None or other is here:
                    return None
                here = other
                continue
            node = one.node.value if isinstance(one.node, ast.AnnAssign) else one.node
            if isinstance(node, ast.Subscript | ast.BinOp):
                return node, here
            return None
        return None

    def _depends(self, metadata: list[ast.expr], module: Module) -> Value | None:
        """What FastAPI passes for `Depends(f)`."""
        for one in metadata:
            if isinstance(one, ast.Call) and self.called(one, module) in known.DEPENDS and one.args:
                return self.result_of(one.args[0], module)
        return None

    def dependency(self, parameter: ast.arg, module: Module) -> tuple[ast.Call, Module] | None:
        """The `Depends(...)` of a parameter, as its default or in its (possibly aliased) annotation, and where it stands."""
        function = module.parents.get(module.parents[parameter])
        default = default_of(function, parameter.arg) if isinstance(function, Function) else None
        if isinstance(default, ast.Call) and self.called(default, module) in known.DEPENDS:
            return default, module
        annotation, where = parameter.annotation, module
        if isinstance(annotation, ast.Name) and (alias := self._alias(annotation, module)):
            annotation, where = alias
        if isinstance(annotation, ast.Subscript) and isinstance(annotation.slice, ast.Tuple):
            for one in annotation.slice.elts[1:]:
                if isinstance(one, ast.Call) and self.called(one, where) in known.DEPENDS:
                    return one, where
        return None

    def result_of(self, function: ast.expr, module: Module) -> Value | None:
        """What a function gives: its result, or what it yields; for a class, an instance."""
        value = self.value_of(function, module)
        if value is None:
            return None
        if value.instance:  # such as async_sessionmaker, called
            return self._made_by(value)
        if isinstance(value.node, Function) and value.module:
            return self.result_of_function(value.node, value.module)
        return Value(value.name, True, value.node, value.module) if _is_class_name(value) else None

    def _parameter(self, parameter: ast.arg, module: Module) -> Value | None:
        if parameter.annotation is not None and (value := self.annotated(parameter.annotation, module)):
            return value
        function = module.parents.get(module.parents[parameter])
        if not isinstance(function, Function):
            return None
        default = default_of(function, parameter.arg)
        if isinstance(default, ast.Call) and self.called(default, module) in known.DEPENDS and default.args:
            return self.result_of(default.args[0], module)
        owner = module.parents.get(function)
        first = [*function.args.posonlyargs, *function.args.args][:1]
        if isinstance(owner, ast.ClassDef) and first == [parameter] and parameter.arg in {"self", "cls"}:
            return Value(f"{module.name}.{owner.name}", parameter.arg == "self", owner, module)
        return None

    def result_of_function(self, function: Function, module: Module) -> Value | None:
        """What a function returns or yields, by its annotation or its code."""
        annotation = function.returns
        if isinstance(annotation, ast.Subscript):
            outer = self.name_of(annotation.value, module).rpartition(".")[2]
            if outer in _ITERATORS | _CONTEXTS:
                inner = annotation.slice.elts[0] if isinstance(annotation.slice, ast.Tuple) else annotation.slice
                return self.annotated(inner, module)
        if annotation is not None and (value := self.annotated(annotation, module)):
            return value
        for node in module.own(function, ast.AST):
            if isinstance(node, ast.Yield | ast.Return) and node.value and (value := self.value_of(node.value, module)):
                return value
        return None

    def _call(self, call: ast.Call, module: Module) -> Value | None:
        if isinstance(call.func, ast.Attribute):
            made = self._method(call, module)
            if made:
                return made
        value = self.value_of(call.func, module)
        if value is None:
            return None
        if value.instance:
            return self._made_by(value)
        if value.name in known.FACTORIES:
            return Value(known.FACTORIES[value.name], True, call, module)
        if isinstance(value.node, Function) and value.module:
            if self.is_context_manager(value.node, value.module) or value.module.is_generator(value.node):
                return None  # what it yields is found by `with` and `for`
            return self.result_of_function(value.node, value.module)
        return Value(value.name, True, call, module) if _is_class_name(value) else None

    def _made_by(self, maker: Value) -> Value | None:
        """The session that a session factory makes."""
        if maker.name not in known.SESSION_MAKERS or maker.module is None:
            return None
        if isinstance(maker.node, ast.Subscript):  # an annotation
            return self.annotated(maker.node.slice, maker.module)
        if not isinstance(maker.node, ast.Call):
            return None
        chosen = keyword(maker.node, "class_")
        if chosen is not None:
            name = self.name_of(chosen, maker.module)
            return Value(name, True, maker.node, maker.module) if name else None
        default = (
            "sqlalchemy.ext.asyncio.AsyncSession"
            if maker.name.startswith("sqlalchemy.ext.")
            else "sqlalchemy.orm.Session"
        )
        return Value(default, True, maker.node, maker.module)

    def _method(self, call: ast.Call, module: Module) -> Value | None:
        assert isinstance(call.func, ast.Attribute)
        owner = self.value_of(call.func.value, module)
        if owner is None or not owner.instance:
            return None
        if owner.name in known.SESSION_MAKERS and call.func.attr == "begin":
            return self._made_by(owner)
        kind = known.METHODS.get((owner.name, call.func.attr))
        return Value(kind, True, call, module) if kind else None

    def is_context_manager(self, function: Function, module: Module) -> bool:
        """Whether `@asynccontextmanager` (or the other one) decorates a function."""
        return any(self.name_of(one, module) in _CONTEXT_MANAGERS for one in function.decorator_list)

    def _entered(self, node: ast.AST, module: Module) -> Value | None:
        """What `with node as x` gives."""
        return self._yielded(node, module, known_managers=True) or self.value_of(node, module)

    def _yielded(self, node: ast.AST, module: Module, *, known_managers: bool) -> Value | None:
        if not isinstance(node, ast.Call):
            return None
        value = self.value_of(node.func, module)
        if value is None or not isinstance(value.node, Function) or value.module is None:
            return None
        if known_managers or value.module.is_generator(value.node):
            return self.result_of_function(value.node, value.module)
        return None

    def _attribute(self, node: ast.Attribute, module: Module) -> Value | None:
        owner = self.value_of(node.value, module)
        if owner is None:
            return None
        if isinstance(owner.node, ast.ClassDef) and owner.module:
            return self._class_attribute(owner, node.attr)
        if isinstance(owner.node, ast.Module) and owner.module:
            return self.member(owner.module, node.attr) or self.named(f"{owner.name}.{node.attr}", module)
        if owner.instance:
            kind = known.ATTRIBUTES.get((owner.name, node.attr))
            if kind:
                return Value(kind, True, owner.node, owner.module)
            if found := self.class_named(owner.name, owner.module or module):
                return self._class_attribute(Value(owner.name, True, found.node, found.module), node.attr)
            return None
        return Value(known.canonical(f"{owner.name}.{node.attr}"), False)

    def _class_attribute(self, owner: Value, name: str) -> Value | None:
        assert isinstance(owner.node, ast.ClassDef)
        assert owner.module
        for one in self.lineage(owner.node):
            scope = one.module.scopes[one.node]
            for binding in scope.names.get(name, [])[::-1]:
                return self._bound(binding, one.module)
            place = one.module.self_assignments.get(one.node, {}).get(name)
            if isinstance(place, ast.AnnAssign):
                return self.annotated(place.annotation, one.module)
            if place is not None:
                return self.value_of(place.value, one.module)
        return None

    # ---- classes --------------------------------------------------------------------------------

    @cached_property
    def classes(self) -> list[Class]:
        """All classes of the project, in the order of its files."""
        return [Class(node, module, self) for module in self.modules.values() for node in module.all(ast.ClassDef)]

    @cached_property
    def _class_of_node(self) -> dict[ast.ClassDef, Class]:
        return {one.node: one for one in self.classes}

    @cached_property
    def tables(self) -> list[Class]:
        """The SQLModel classes with `table=True`."""
        return [one for one in self.classes if one.is_table]

    def class_at(self, node: ast.AST, module: Module) -> Class | None:
        """The class of the project that a name stands for, or whose instance an expression is."""
        value = self.value_of(node, module)
        if value is None:
            return None
        if isinstance(value.node, ast.ClassDef):
            return self._class_of_node.get(value.node)
        return self.class_named(value.name, value.module or module) if value.instance else None

    def class_named(self, qualified: str, near: Module) -> Class | None:
        """A class of the project by its qualified name."""
        value = self.named(qualified, near)
        return self._class_of_node.get(value.node) if value and isinstance(value.node, ast.ClassDef) else None

    def class_of(self, node: ast.ClassDef) -> Class:
        """The class behind a definition."""
        return self._class_of_node[node]

    def lineage(self, node: ast.ClassDef) -> list[Class]:
        """A class and those of its bases that the project defines, nearest first."""
        found: list[Class] = []
        waiting = [self._class_of_node[node]]
        while waiting:
            one = waiting.pop(0)
            if one not in found:
                found.append(one)
                waiting += [base for base in (self.class_at(b, one.module) for b in one.base_nodes) if base]
        return found


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_class_name(value: Value) -> bool:
    return isinstance(value.node, ast.ClassDef) or (value.node is None and value.name.rpartition(".")[2][:1].isupper())
