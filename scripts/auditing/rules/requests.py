"""ASM022 and ASM023: numbers without bounds, and table models, between the client and the database."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from auditing.catalogue import check
from auditing.finding import Found, at
from project_source import known
from project_source.classes import Class
from project_source.modules import Function, Module, default_of, keyword, last_name, parameters
from project_source.project import Project
from project_source.requests import VERBS
from project_source.statements import method

_APPS = frozenset({"fastapi.APIRouter", "fastapi.FastAPI"})
_SIZES = frozenset({
    "count",
    "items_per_page",
    "limit",
    "pageSize",
    "perPage",
    "page_limit",
    "page_size",
    "per_page",
    "size",
    "top",
    "top_k",
    "take",
})
_STARTS = frozenset({"offset", "page", "page_index", "page_num", "page_number", "skip", "start"})
_IDS = re.compile(r"^(?:id|pk|.+_id)$")
_FROM_REQUEST = frozenset({"fastapi.Query", "fastapi.Path"})
_ELSEWHERE = frozenset({
    "fastapi.Body",
    "fastapi.Cookie",
    "fastapi.File",
    "fastapi.Form",
    "fastapi.Header",
    *known.DEPENDS,
})
_FILTERED = frozenset({"response_model_exclude", "response_model_include"})
_BODIES = frozenset({"post", "put", "patch", "api_route", "delete"})
_CHECKS = frozenset({"clamp", "max", "min", "range"})
_ORDER = ("nowhere", "unknown", "page")
_SECRET = re.compile(r"password|secret|api_?key|private_?key|^hashed", re.IGNORECASE)


Reach: TypeAlias = Literal["nowhere", "unknown", "page", "checked"]


@dataclass(frozen=True)
class Route:
    """An endpoint of FastAPI.

    Attributes:
        decorators: The calls that make it one, `@router.get("/heroes")`.
    """

    function: Function
    decorators: tuple[ast.Call, ...]


def routes(project: Project, module: Module) -> Iterator[Route]:
    """The endpoints in a file."""
    for function in module.functions():
        found = [
            one for one in function.decorator_list
            if isinstance(one, ast.Call) and method(one) in VERBS and (one.args or keyword(one, "path"))
            and isinstance(one.func, ast.Attribute) and _is_app(one.func.value, project, module)
        ]  # fmt: skip
        if found:
            yield Route(function, tuple(found))


def _is_app(node: ast.expr, project: Project, module: Module) -> bool:
    kind = project.type_of(node, module)
    if kind in _APPS:
        return True
    klass = project.class_at(node, module)
    return bool(klass and klass.foreign_bases & _APPS)


@lru_cache(maxsize=2)
def dependencies(project: Project) -> frozenset[ast.AST]:
    """The functions and classes that `Depends(...)` names, and models that a route takes as its query."""
    found: set[ast.AST] = set()
    for module in project.modules.values():
        for call in module.all(ast.Call):
            if call.args and project.called(call, module) in known.DEPENDS:
                value = project.value_of(call.args[0], module)
                if value and value.node and not value.instance:
                    found.add(value.node)
    return frozenset(found)


@check("ASM022")
def numbers_without_bounds(project: Project, module: Module) -> Iterator[Found]:
    """A limit, an offset or an id of an endpoint, or of a dependency, that takes any integer."""
    handlers = {one.function: one for one in routes(project, module)}
    for function in module.functions():
        route = handlers.get(function)
        if route is None and function not in dependencies(project):
            continue
        sizes: list[tuple[ast.arg, Reach]] = []
        ids: list[ast.arg] = []
        for one in parameters(function):
            if one.arg in _SIZES or one.arg in _STARTS:
                if _missing(one, project, module):
                    sizes.append((one, _reach(one.arg, function, project, module)))
            elif (
                route
                and _IDS.match(one.arg)
                and _is_in_path(one.arg, route)
                and _missing(one, project, module, both=False)
            ):
                ids.append(one)
        sizes = [one for one in sizes if one[1] in {"page", "unknown"}]
        if certain := [one for one in sizes if one[1] == "page"]:
            sizes = certain
        if sizes:
            shown = ", ".join(f"`{one.arg}`" for one, _ in sizes)
            yield at(
                module, sizes[0][0], f"{shown} {'takes' if len(sizes) == 1 else 'take'} any integer: -1 is a 500 or all rows, and so is a huge one",
                "give bounds: `Annotated[int, Query(ge=1, le=100)]`, and `ge=0` for an offset", possible=not certain,
            )  # fmt: skip
        if ids:
            yield at(
                module, ids[0], f"`{ids[0].arg}` takes an integer that no column holds: the driver's error is a 500",
                "give bounds: `Annotated[int, Path(ge=1, le=2**31 - 1)]`", possible=True,
            )  # fmt: skip


def _missing(one: ast.arg, project: Project, module: Module, *, both: bool = True) -> bool:
    """Whether an integer of a parameter has no lower bound; or no upper one, where it is a size."""
    if one.annotation is None:
        return False
    function = module.parents[module.parents[one]]
    assert isinstance(function, Function)
    default = default_of(function, one.arg)
    limits: set[str] = set()
    if isinstance(default, ast.Call):
        name = project.called(default, module)
        if name not in _FROM_REQUEST:
            return False
        limits |= {word.arg for word in default.keywords if word.arg}
        if any(word.arg is None for word in default.keywords):
            return False
    node, where = project.written(one.annotation, module)
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple):
        for extra in node.slice.elts[1:]:
            if not isinstance(extra, ast.Call):
                return False
            name = project.called(extra, where)
            if name in _ELSEWHERE:
                return False
            limits |= {word.arg for word in extra.keywords if word.arg} | {name.rpartition(".")[2].lower()}
    allowed = project.alternatives(one.annotation, module)
    if len(allowed) != 1 or not isinstance(allowed[0][0], ast.Name) or allowed[0][0].id != "int":
        return False
    if "interval" in limits:
        return False
    lower, upper = bool(limits & {"ge", "gt"}), bool(limits & {"le", "lt"})
    return not lower or (both and one.arg in _SIZES and not upper)


def _reach(name: str, function: Function, project: Project, module: Module, depth: int = 6) -> Reach:
    """Where a function hands a number on to: `limit` or `offset`, itself or by what it calls; or that it is checked first."""
    found: Reach = "nowhere"
    for node in module.own(function, ast.Name):
        if node.id == name:
            if isinstance(node.ctx, ast.Store):
                if len(module.every_binding(name, node)) > 1:
                    return "checked"
                continue
            one = _reach_of(node, function, project, module, depth)
            if one == "checked":
                return "checked"
            found = max(found, one, key=_ORDER.index)
    return found


def _reach_of(node: ast.expr, function: Function, project: Project, module: Module, depth: int) -> Reach:
    above = module.parents.get(node)
    while isinstance(above, ast.BinOp | ast.IfExp | ast.BoolOp):
        if isinstance(above, ast.IfExp) and node is above.test:
            return "nowhere"
        node, above = above, module.parents.get(above)
    if isinstance(above, ast.Compare):
        return (
            "nowhere"
            if all(isinstance(one, ast.Constant) and one.value is None for one in above.comparators)
            else "checked"
        )
    if isinstance(above, ast.Assign) and isinstance(above.targets[0], ast.Name) and depth:
        return (
            _reach(above.targets[0].id, function, project, module, depth - 1)
            if len(module.every_binding(above.targets[0].id, above.value)) == 1
            else "unknown"
        )
    if isinstance(above, ast.Subscript | ast.Slice):
        return "checked"
    word = above.arg if isinstance(above, ast.keyword) else None
    call = module.parents.get(above) if isinstance(above, ast.keyword) else above
    if not isinstance(call, ast.Call) or node is call.func:
        return "nowhere"
    last = last_name(call.func)
    if last in _CHECKS:
        return "checked"
    if isinstance(call.func, ast.Attribute) and last in {"limit", "offset"}:
        return "page"
    if last in {"int", "str", "float"}:
        return _reach_of(call, function, project, module, depth)
    value = project.value_of(call.func, module)
    if depth and value and isinstance(value.node, Function) and value.module:
        return (
            _reach(inner, value.node, project, value.module, depth - 1)
            if (inner := _parameter(call, node, word, value.node))
            else "unknown"
        )
    if word in {"limit", "offset", "skip"}:
        return "page"
    outer = module.parents.get(call)
    return "page" if isinstance(outer, ast.keyword) and outer.arg in {"limit", "offset", "skip"} else "unknown"


def _parameter(call: ast.Call, node: ast.expr, word: str | None, function: Function) -> str:
    """The name of the parameter that takes an argument."""
    if word:
        return word if any(one.arg == word for one in parameters(function)) else ""
    names = [one.arg for one in [*function.args.posonlyargs, *function.args.args]]
    if names[:1] in (["self"], ["cls"]):
        names = names[1:]
    place = next((number for number, one in enumerate(call.args) if one is node), len(names))
    return names[place] if place < len(names) else ""


def _is_in_path(name: str, route: Route) -> bool:
    for one in route.decorators:
        path = one.args[0] if one.args else keyword(one, "path")
        if isinstance(path, ast.Constant) and f"{{{name}" in str(path.value):
            return True
    return False


@check("ASM022")
def negative_limits(project: Project, module: Module) -> Iterator[Found]:
    """`limit(-1)` of a statement."""
    for call in module.all(ast.Call):
        if method(call) in {"limit", "offset"} and len(call.args) == 1 and isinstance(call.args[0], ast.UnaryOp):
            value, function = call.args[0], call.func
            if not (
                isinstance(value.op, ast.USub)
                and isinstance(value.operand, ast.Constant)
                and isinstance(function, ast.Attribute)
            ):
                continue
            if project.type_of(function.value, module) in {"sqlalchemy.Select", "sqlmodel.Select"}:
                yield at(
                    module, call, f"a negative {method(call)} is all rows on SQLite, and an error of the other databases",
                    f"leave `{method(call)}` out, or give a number",
                )  # fmt: skip


@check("ASM023")
def tables_in_requests(project: Project, module: Module) -> Iterator[Found]:
    """A table model as the body of a request or as the response."""
    for route in routes(project, module):
        if any(method(one) in _BODIES for one in route.decorators):
            for one in parameters(route.function):
                table = _body(one, route, project, module)
                if table is not None:
                    yield at(
                        module, one, f"`{table.name}` is a table model: as a body it is not validated, and the client may set each column",
                        "take a schema without `table=True`, and make the row from it",
                    )  # fmt: skip
        yield from _response(route, project, module)


def _body(one: ast.arg, route: Route, project: Project, module: Module) -> Class | None:
    if one.annotation is None or project.dependency(one, module):
        return None
    default = default_of(route.function, one.arg)
    if isinstance(default, ast.Call) and project.called(default, module) != "fastapi.Body":
        return None
    node, where = project.written(one.annotation, module)
    if isinstance(node, ast.Subscript) and any(
        isinstance(call, ast.Call) and project.called(call, where) in _ELSEWHERE - {"fastapi.Body"}
        for call in ast.walk(node)
    ):
        return None
    return _table_in(one.annotation, project, module)


def _table_in(annotation: ast.expr, project: Project, module: Module) -> Class | None:
    """The table model in an annotation: itself, optional, or in a list or another generic."""
    for node, where in project.alternatives(annotation, module):
        if isinstance(node, ast.Subscript):
            inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            for one in inner:
                if found := _table_in(one, project, where):
                    return found
            continue
        if isinstance(node, ast.Name | ast.Attribute):
            value = project.value_of(node, where)
            if value and not value.instance and isinstance(value.node, ast.ClassDef):
                found = project.class_of(value.node)
                if found.is_table:
                    return found
    return None


def _response(route: Route, project: Project, module: Module) -> Iterator[Found]:
    for one in route.decorators:
        if any(word.arg in _FILTERED or word.arg is None for word in one.keywords):
            continue
        model = keyword(one, "response_model")
        place: ast.expr | None = model if model is not None else route.function.returns
        if place is None or (isinstance(place, ast.Constant) and not isinstance(place.value, str)):
            continue
        table = _table_in(place, project, module)
        if table is None:
            continue
        secret = next((name for name in table.fields if _SECRET.search(name)), "")
        shown = f"its `{secret}`, too" if secret else "each new column, too"
        yield at(
            module, place, f"`{table.name}` is a table model: as a response it shows every column, {shown}",
            f"respond with a schema without `table=True`: `{table.name}Public`",
        )  # fmt: skip
        return


@check("ASM023")
def updates_with_everything(project: Project, module: Module) -> Iterator[Found]:
    """`sqlmodel_update` with fields that the client did not send, or that nobody chose."""
    for call in module.all(ast.Call):
        if method(call) != "sqlmodel_update" or not call.args:
            continue
        given = call.args[0]
        if isinstance(given, ast.Name):
            bound = module.every_binding(given.id, given)
            node = bound[0].node if len(bound) == 1 else None
            if isinstance(node, ast.Call) and method(node) in {"model_dump", "dict"}:
                given = node
        if (
            isinstance(given, ast.Call)
            and method(given) in {"model_dump", "dict"}
            and isinstance(given.func, ast.Attribute)
        ):
            if any(
                word.arg is None or word.arg in {"exclude_unset", "exclude_none", "exclude_defaults"}
                for word in given.keywords
            ):
                continue
            schema = project.class_at(given.func.value, module)
        elif isinstance(given, ast.Name):
            schema = project.class_at(given, module)
            if schema is None and not _is_raw(given, project, module):
                continue
        else:
            continue
        if schema is None and not isinstance(given, ast.Name):
            continue
        if schema is not None and not _is_partial(schema):
            continue
        yield at(
            module, call,
            "`sqlmodel_update` overwrites the fields that the client did not send" if schema else "`sqlmodel_update` with a raw dict sets each column that the client names",
            "pass `data.model_dump(exclude_unset=True)` of a schema",
        )  # fmt: skip


def _is_raw(name: ast.Name, project: Project, module: Module) -> bool:
    """Whether it is a dict that nothing has validated: a body of a request, or JSON."""
    for one in module.every_binding(name.id, name):
        if isinstance(one.node, ast.arg) and one.node.annotation is not None:
            annotation = one.node.annotation
            is_dict = last_name(annotation.value if isinstance(annotation, ast.Subscript) else annotation) in {
                "dict",
                "Dict",
            }
            return is_dict and any(route.function is module.function_of(name) for route in routes(project, module))
        node = one.node.value if isinstance(one.node, ast.Await) else one.node
        is_json = isinstance(node, ast.Call) and (
            (method(node) == "json" and not node.args) or project.called(node, module) == "json.loads"
        )
        if one.kind == "value" and is_json:
            return True
    return False


def _is_partial(schema: Class) -> bool:
    """Whether every field of a schema may be left out."""
    fields = [
        one
        for one in schema.fields.values()
        if one.kind == "column" and not one.name.startswith("_") and one.name != "model_config"
    ]
    return bool(fields) and all(_has_default(one.node.value) for one in fields)


def _has_default(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        return bool(
            keyword(value, "default")
            or keyword(value, "default_factory")
            or (value.args and not _is_ellipsis(value.args[0]))
        )
    return value is not None and not _is_ellipsis(value)


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...
