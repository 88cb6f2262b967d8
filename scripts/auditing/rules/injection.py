"""ASM024: text of a user inside SQL, and text() that does not mean what it says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Literal

from auditing.catalogue import check
from auditing.finding import Found, at
from project_source.files import is_test
from project_source.modules import Function, Module, default_of, keyword
from project_source.project import Project
from project_source.requests import is_route
from project_source.texts import literal, origins, pieces

Kind = Literal["fixed", "number", "open"]
_TEXT = frozenset({"sqlalchemy.text", "sqlalchemy.literal_column"})
_ROWS = re.compile(r"\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH|MERGE|REPLACE)\b", re.IGNORECASE)
_VALUE = re.compile(r"(?:(?<![<>=@|&~#-])(?:=|<|>|<=|>=|<>|!=)|\bLIKE|\bILIKE|\bVALUES\s*\([^()]*)\s*$", re.IGNORECASE)
_CAST = re.compile(r"(?<![:\w\\]):(?P<name>[A-Za-z_]\w*)::(?P<type>\w+)")
_SET = re.compile(
    r"\s*SET\s+(?:SESSION\s+)?(?!LOCAL\b|SESSION\b|TRANSACTION\b|CONSTRAINTS\b|NAMES\b|GLOBAL\b|PERSIST\b|@)(?P<name>[\w.]+)\s*(?:=|\bTO\b)",
    re.IGNORECASE,
)
_OF_MARIADB = re.compile(
    r"wsrep_|max_statement_time|max_execution_time|foreign_key_checks|unique_checks|sql_|innodb_|autocommit|time_zone|tx_|lock_wait",
    re.IGNORECASE,
)
_CONFIG = re.compile(r"\bset_config\s*\([^()]*,\s*false\s*\)", re.IGNORECASE)
_RESET = re.compile(r"\b(?:RESET|DISCARD)\b|\bSET\s+\S+\s*(?:=|TO)\s*DEFAULT", re.IGNORECASE)
_SAFE_CALLS = re.compile(r"quot|escap|ident|sanit|safe|valid|compile|int$|float$|len$|round$|uuid|hex$", re.IGNORECASE)
_NUMBERS = frozenset({"int", "float", "bool", "UUID", "date", "datetime", "Decimal", "Literal"})
_CLAUSES = frozenset({"where", "filter", "order_by", "having", "group_by"})
_LIKE = frozenset({"like", "ilike", "notlike", "not_like", "not_ilike", "notilike"})
_PARTS = frozenset({"contains", "startswith", "endswith", "icontains", "istartswith", "iendswith"})
_DEPTH = 6


@check("ASM024")
def texts(project: Project, module: Module) -> Iterator[Found]:
    """What is put into text(), `exec_driver_sql()` and `literal_column()`; casts and SET in them."""
    if _is_migration(module):
        return
    for call in module.all(ast.Call):
        last = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if not call.args or not (
            last == "exec_driver_sql" or last in module.top.names or last in {"text", "literal_column", "sa_text"}
        ):
            continue
        if last != "exec_driver_sql" and project.called(call, module) not in _TEXT:
            continue
        if found := _put_together(project, call, module):
            yield found
        elif last == "text" and _ordered(call, module) and not isinstance(call.args[0], ast.Constant):
            yield at(
                module, call, "`order_by(text(...))` runs any expression, also one over other columns", "choose the column from a dict of allowed ones",
                possible=not _from_request(project, call.args[0], module),
            )  # fmt: skip
        yield from _written(project, call, module)


def _is_migration(module: Module) -> bool:
    """Whether a file is run by Alembic: a migration, or a helper of migrations."""
    if "revision" in module.top.names and "down_revision" in module.top.names:
        return True
    return any(one.name == "alembic.op" for found in module.top.names.values() for one in found)


def _ordered(call: ast.Call, module: Module) -> bool:
    above = module.parents[call]
    return isinstance(above, ast.Call) and getattr(above.func, "attr", "") == "order_by"


def _put_together(project: Project, call: ast.Call, module: Module) -> Found | None:
    """The worst of what is put into a statement."""
    possible: Found | None = None
    for node, where in origins(project, call.args[0], module):
        parts = pieces(node) if isinstance(node, ast.expr) else None
        if not parts or all(isinstance(one, str) for one in parts):
            continue
        rows = _ROWS.match(literal(parts)) is not None
        for number, one in enumerate(parts):
            if isinstance(one, str):
                continue
            kind = _kind(project, one, where)
            before = parts[number - 1] if number else ""
            after = parts[number + 1] if number + 1 < len(parts) else ""
            value = rows and isinstance(before, str) and isinstance(after, str) and _is_value(before, after)
            if kind == "fixed" and not (value and _is_variable(one, where)):
                continue
            sure = kind == "open" and not is_test(module.path) and (
                value or _from_request(project, one, where)
            )  # fmt: skip
            found = at(
                module, call, f"`{_short(one)}` becomes part of the statement: whoever chooses it writes SQL",
                "pass it as a parameter, `:name`; choose names from a list", possible=not sure,
            )  # fmt: skip
            if sure:
                return found
            possible = possible or found
    return possible


def _is_variable(node: ast.expr, module: Module) -> bool:
    """Whether an expression is a name in small letters with a literal behind it: a stand-in for a value from outside."""
    found = module.bindings(node.id, node) if isinstance(node, ast.Name) and not node.id.isupper() else []
    return any(one.kind == "value" and isinstance(one.node, ast.Constant) for one in found)


def _short(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 30 else f"{text[:27]}..."


def _is_value(before: str, after: str) -> bool:
    """Whether what is put in stands in the place of a value, quoted or not."""
    quoted = before.rstrip("%").endswith("'") and after.lstrip("%").startswith("'")
    return quoted or _VALUE.search(before) is not None


def _kind(project: Project, node: ast.AST, module: Module, depth: int = _DEPTH) -> Kind:
    """Whether a text is fixed by the program, a number, or open to anything."""
    if depth <= 0:
        return "open"
    if isinstance(node, ast.Constant):
        return "fixed"
    if isinstance(node, ast.Name):
        return "fixed" if node.id.isupper() else _kind_of_name(project, node, module, depth)
    if isinstance(node, ast.Attribute):
        owner = ast.unparse(node.value).lower()
        if node.attr.isupper() or node.attr.startswith("__") or re.search(r"table|column|dialect|metadata", owner):
            return "fixed"
        return _worst(
            _kind(project, one, where, depth - 1) for one, where in origins(project, node, module) if one is not node
        )
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "join" and node.args:
            return _kind(project, node.args[0], module, depth - 1)
        if _SAFE_CALLS.search(name) or name in {"range", "enumerate", "now"}:
            return "fixed"
        if isinstance(node.func, ast.Attribute) and node.func.attr in {
            "get",
            "lower",
            "upper",
            "strip",
            "keys",
            "items",
            "values",
        }:
            return _kind(project, node.func.value, module, depth - 1)
        if name in {"str", "sorted", "list", "tuple", "set"} and node.args:
            return _kind(project, node.args[0], module, depth - 1)
        return _worst(
            _kind(project, one, where, depth - 1) for one, where in origins(project, node, module) if one is not node
        )
    if isinstance(node, ast.GeneratorExp | ast.ListComp | ast.SetComp):
        return _kind(project, node.elt, module, depth - 1)
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return _worst(_kind(project, one, module, depth - 1) for one in node.elts) if node.elts else "open"
    if isinstance(node, ast.Dict):
        return _worst(_kind(project, one, module, depth - 1) for one in node.values) if node.values else "open"
    if isinstance(node, ast.Subscript):
        return _kind(project, node.value, module, depth - 1)
    if isinstance(node, ast.IfExp):
        return _worst(_kind(project, one, module, depth - 1) for one in (node.body, node.orelse))
    if isinstance(node, ast.BinOp | ast.JoinedStr) and (parts := pieces(node)):
        return (
            _worst(_kind(project, one, module, depth - 1) for one in parts if not isinstance(one, str))
            if any(not isinstance(one, str) for one in parts)
            else "fixed"
        )
    if isinstance(node, ast.BinOp) and any(isinstance(one, ast.Constant) for one in (node.left, node.right)):
        return "number"
    if isinstance(node, ast.BinOp):
        return _worst(_kind(project, one, module, depth - 1) for one in (node.left, node.right))
    return "open"


def _worst(kinds: Iterator[Kind]) -> Kind:
    found = list(kinds)
    if not found or "open" in found:
        return "open"
    return "number" if "number" in found else "fixed"


def _kind_of_name(project: Project, node: ast.Name, module: Module, depth: int) -> Kind:
    found = module.bindings(node.id, node)
    loops = [one for one in found if one.kind == "for"]
    if loops:
        return _worst(_kind(project, one.node, module, depth - 1) for one in loops)
    kinds: list[Kind] = []
    for one, where in origins(project, node, module):
        if isinstance(one, ast.AnnAssign):
            continue
        if isinstance(one, ast.arg):
            kinds.append(_kind_of_parameter(project, one, where, depth - 1))
        else:
            kinds.append("open" if one is node else _kind(project, one, where, depth - 1))
    return _worst(iter(kinds))


def _kind_of_parameter(project: Project, parameter: ast.arg, module: Module, depth: int) -> Kind:
    """A parameter is as open as its type, or as what the calls in the project pass."""
    if parameter.annotation is not None:
        names = {one.id for one in ast.walk(parameter.annotation) if isinstance(one, ast.Name)}
        names |= {one.attr for one in ast.walk(parameter.annotation) if isinstance(one, ast.Attribute)}
        if names & _NUMBERS:
            return "number"
        found = project.annotated(parameter.annotation, module)
        klass = project.class_named(found.name, module) if found else None
        if klass and any(one.rpartition(".")[2] in {"Enum", "StrEnum", "IntEnum"} for one in klass.foreign_bases):
            return "fixed"
    function = module.parents.get(module.parents[parameter])
    if not isinstance(function, Function) or is_route(function) or depth <= 0:
        return "open"
    return _worst(_kind(project, one, where, depth) for one, where in _passed(project, function, parameter.arg))


def _passed(project: Project, function: Function, name: str) -> Iterator[tuple[ast.expr, Module]]:
    """What the calls of a function in the project pass for a parameter."""
    names = [one.arg for one in (*function.args.posonlyargs, *function.args.args)]
    for call, module in project.calls.get(function.name, ()):
        if (value := project.value_of(call.func, module)) is None or value.node is not function:
            continue
        if (given := keyword(call, name)) is not None:
            yield given, module
        elif name in names:
            place = names.index(name) - (names[0] in {"self", "cls"} and isinstance(call.func, ast.Attribute))
            if place < len(call.args):
                yield call.args[place], module


def _from_request(project: Project, node: ast.AST, module: Module) -> bool:
    """Whether an expression is a text that a route takes from its client, and that is compared with no list."""
    for one in ast.walk(node):
        function = module.function_of(one) if isinstance(one, ast.Name) else None
        if function is None or not is_route(function):
            continue
        for origin, where in origins(project, one, module):
            if where is module and isinstance(origin, ast.arg) and module.parents[module.parents[origin]] is function:
                default = default_of(function, origin.arg)
                declared = f"{ast.unparse(origin)} = {ast.unparse(default) if default else ''}"
                limited = re.search(r"Depends|Literal|pattern|Enum|Header", declared)
                if (
                    re.search(r":.*\bstr\b", declared)
                    and not limited
                    and not _is_compared(module, function, origin.arg)
                ):
                    return True
    return False


def _is_compared(module: Module, function: Function, name: str) -> bool:
    """Whether a function looks a name up in something: `if sort not in COLUMNS`, `COLUMNS[sort]`, `match`."""
    return any(isinstance(one.left, ast.Name) and one.left.id == name for one in module.own(function, ast.Compare))


def _written(project: Project, call: ast.Call, module: Module) -> Iterator[Found]:
    """What stands in the literal itself."""
    for node, _ in origins(project, call.args[0], module):
        parts = pieces(node) if isinstance(node, ast.expr) else None
        if not parts:
            continue
        text = literal(parts)
        if (match := _CAST.search(text)) and getattr(call.func, "attr", "") != "exec_driver_sql":
            yield at(
                module, call, f"`:{match['name']}::{match['type']}` is no parameter in text(): a syntax error at the colon",
                f"write `CAST(:{match['name']} AS {match['type']})`",
            )  # fmt: skip
        if (_SET.match(text) or _CONFIG.search(text)) and not _stays_in_place(module, call):
            name = match["name"] if (match := _SET.match(text)) else "set_config"
            yield at(
                module, call, f"`{name}` stays set on the connection, and the pool gives it to the next request",
                "write `SET LOCAL`, or `set_config(name, value, true)`",
                possible=is_test(module.path) or _OF_MARIADB.match(name) is not None,  # it has no SET LOCAL
            )  # fmt: skip


def _stays_in_place(module: Module, call: ast.Call) -> bool:
    """Whether a SET is meant for the connection, or is taken back: a listener, Alembic, a RESET in the same function."""
    if module.path.endswith("env.py"):
        return True
    function = module.function_of(call)
    if function is None:
        return False
    if any("listens_for" in ast.unparse(one) for one in function.decorator_list):
        return True
    written = [one.value for one in module.own(function, ast.Constant) if isinstance(one.value, str)]
    names = [match["name"].lower() for one in written if (match := _SET.match(one))]
    return any(_RESET.search(one) for one in written) or len(names) > len(set(names))


@check("ASM024")
def chosen_columns(project: Project, module: Module) -> Iterator[Found]:
    """`getattr(Model, name)` in a condition or an order."""
    for call in module.all(ast.Call):
        if (
            not (isinstance(call.func, ast.Name) and call.func.id == "getattr")
            or len(call.args) < 2
            or isinstance(call.args[1], ast.Constant)
        ):
            continue
        function = module.function_of(call)
        if not _in_clause(module, call) or (
            _kind(project, call.args[1], module) == "fixed" and not _is_variable(call.args[1], module)
        ):
            continue
        klass = project.class_at(call.args[0], module)
        value = project.value_of(call.args[0], module)
        is_model = (
            klass is not None and (klass.is_table or klass.is_declarative) and value is not None and not value.instance
        )
        if not is_model and not re.search(r"model|entity|table", ast.unparse(call.args[0]), re.IGNORECASE):
            continue
        name = call.args[1].id if isinstance(call.args[1], ast.Name) else ""
        if function is not None and name and _is_compared(module, function, name):
            continue
        yield at(
            module, call, f"`{_short(call)}` reaches every column: an order or a condition tells what it holds",
            "choose the column from a dict of allowed ones", possible=not (is_model and _from_request(project, call.args[1], module)),
        )  # fmt: skip


def _in_clause(module: Module, call: ast.Call) -> bool:
    """Whether a call stands in where() or order_by(), or its value goes there through a name."""
    for one in module.ancestors(call):
        if isinstance(one, ast.Call) and getattr(one.func, "attr", "") in _CLAUSES:
            return True
        if isinstance(one, ast.Assign) and len(one.targets) == 1 and isinstance(one.targets[0], ast.Name):
            name, function = one.targets[0].id, module.function_of(one)
            return function is not None and any(
                isinstance(use, ast.Name) and use.id == name
                for clause in module.own(function, ast.Call)
                if getattr(clause.func, "attr", "") in _CLAUSES
                for argument in clause.args
                for use in ast.walk(argument)
            )
        if isinstance(one, ast.stmt):
            return False
    return False


@check("ASM024")
def wildcards(project: Project, module: Module) -> Iterator[Found]:
    """A text from elsewhere in like() and contains(), without an escape."""
    for call in module.all(ast.Call):
        if (
            not isinstance(call.func, ast.Attribute)
            or not call.args
            or any(one.arg in {"escape", "autoescape"} for one in call.keywords)
        ):
            continue
        name, pattern = call.func.attr, call.args[0]
        if name in _LIKE:
            open_ended = isinstance(pattern, ast.JoinedStr) or _is_pattern_of(project, pattern, module)
        elif name in _PARTS and _is_column(project, call.func.value, module):
            fixed = isinstance(pattern, ast.Constant)
            open_ended = (
                bool(re.search(r"[%_]", str(pattern.value))) if isinstance(pattern, ast.Constant) else not fixed
            )
        else:
            continue
        if open_ended and "escape" not in ast.unparse(pattern):
            yield at(
                module, call, "`%` and `_` in the text are wildcards here: a user matches, and scans, every row",
                "write `contains(text, autoescape=True)`", possible=True,
            )  # fmt: skip


def _is_pattern_of(project: Project, pattern: ast.expr, module: Module) -> bool:
    """Whether a pattern is put together from a text that is not fixed; who passes a whole pattern means its wildcards."""
    for one, where in origins(project, pattern, module):
        parts = pieces(one) if isinstance(one, ast.expr) else None
        if any(not isinstance(part, str) and _kind(project, part, where) == "open" for part in parts or ()):
            return True
    return False


def _is_column(project: Project, node: ast.expr, module: Module) -> bool:
    if isinstance(node, ast.Call):
        return project.called(node, module) in {"sqlmodel.col", "sqlalchemy.column", "sqlalchemy.func.lower"}
    value = project.value_of(node.value, module) if isinstance(node, ast.Attribute) else None
    klass = (
        project.class_at(node.value, module)
        if isinstance(node, ast.Attribute) and value and not value.instance
        else None
    )
    return klass is not None and (klass.is_table or klass.is_declarative)
