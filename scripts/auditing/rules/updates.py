"""ASM018: a time of the last change that never changes, or that cannot be read after a flush."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache

from auditing.catalogue import check
from auditing.finding import Found, at
from project_source.classes import Class, Field
from project_source.modules import Function, Module, keyword, last_name
from project_source.project import Project
from project_source.statements import row_of

_NAMES = frozenset({
    "date_modified", "date_updated", "last_modified", "last_modified_at", "last_updated", "last_updated_at", "modified", "modified_at",
    "modified_on", "update_time", "updated", "updated_at", "updated_date", "updated_on", "updated_time",
})  # fmt: skip
_COLUMNS = frozenset({"sqlalchemy.Column", "sqlalchemy.orm.mapped_column"})


@lru_cache(maxsize=2)
def _sessions(project: Project) -> frozenset[str]:
    """Whether the project has async sessions, sync ones, or both; a synchronous session loads a value when it is read."""
    found: set[str] = set()
    for module in project.modules.values():
        for one in module.all(ast.ImportFrom):
            if "ext.asyncio" in (one.module or ""):
                found.add("async")
            elif one.module in {"sqlmodel", "sqlalchemy.orm"} and any(name.name == "Session" for name in one.names):
                found.add("sync")
    return frozenset(found)


@lru_cache(maxsize=2)
def _with_fields(project: Project) -> dict[ast.AnnAssign, list[Class]]:
    """The mapped classes that have each annotated line, their own or an inherited one."""
    found: dict[ast.AnnAssign, list[Class]] = {}
    for klass in project.classes:
        if klass.is_table or klass.is_declarative:
            for field in klass.fields.values():
                found.setdefault(field.node, []).append(klass)
    return found


@check("ASM018")
def values_of_the_database(project: Project, module: Module) -> Iterator[Found]:
    """`onupdate` with an SQL expression, where nothing fetches the new value."""
    if "async" not in _sessions(project):
        return
    nodes: list[ast.keyword | ast.Dict] = [*module.all(ast.keyword), *module.all(ast.Dict)]
    for node in nodes:
        value = _onupdate(node)
        if value is None or not (_is_sql(value, project, module) or _is_server(node)):
            continue
        line = next((one for one in module.ancestors(node) if isinstance(one, ast.stmt)), None)
        body = module.parents.get(line) if line else None
        if isinstance(body, Function):  # declared_attr
            body = module.parents.get(body)
        if not isinstance(body, ast.ClassDef):
            continue
        klass = project.class_of(body)
        heirs = _with_fields(project).get(line, []) if isinstance(line, ast.AnnAssign) else []
        if not heirs and not (klass.is_table or klass.is_declarative):
            continue
        if not all(_fetches(one) for one in heirs or [klass]):
            yield at(
                module, value, "the database computes this value: after an update it is not loaded, and reading it is a MissingGreenlet",
                "use a function of Python as `onupdate`, or set `eager_defaults` in `__mapper_args__`",
                possible="sync" in _sessions(project),
            )  # fmt: skip


def _onupdate(node: ast.keyword | ast.Dict) -> ast.expr | None:
    if isinstance(node, ast.keyword):
        return node.value if node.arg in {"onupdate", "server_onupdate"} else None
    return next(
        (value for key, value in zip(node.keys, node.values, strict=True)
         if isinstance(key, ast.Constant) and key.value in {"onupdate", "server_onupdate"}), None,
    )  # fmt: skip


def _is_server(node: ast.keyword | ast.Dict) -> bool:
    if isinstance(node, ast.keyword):
        return node.arg == "server_onupdate"
    return any(isinstance(key, ast.Constant) and key.value == "server_onupdate" for key in node.keys)


def _is_sql(value: ast.expr, project: Project, module: Module) -> bool:
    if not isinstance(value, ast.Call):
        return False
    name = project.called(value, module)
    return name.startswith("sqlalchemy.func.") or name == "sqlalchemy.text"


def _fetches(klass: Class) -> bool:
    return any(
        (isinstance(node, ast.Constant) and node.value == "eager_defaults") or (isinstance(node, ast.keyword) and node.arg == "eager_defaults")
        for one in klass.lineage for line in one.node.body for node in ast.walk(line)
    )  # fmt: skip


@check("ASM018")
def times_that_never_change(project: Project, module: Module) -> Iterator[Found]:
    """`updated_at` with a default alone, where no code of the project sets it."""
    owners = _with_fields(project)
    for klass in map(project.class_of, module.all(ast.ClassDef)):
        for name, field in klass.own_fields.items():
            if name not in _NAMES or not owners.get(field.node) or not _is_stamped_once(field, project, module):
                continue
            kin = {base for heir in owners[field.node] for base in heir.lineage}
            if not _written(project).get(name, set()) & {None, *kin} and not _has_triggers(project):
                yield at(
                    module, field.node, f"`{name}` keeps the time of the insert: nothing sets it when the row is changed",
                    'give `sa_column_kwargs={"onupdate": now}` with a function that returns the time',
                )  # fmt: skip


def _is_stamped_once(field: Field, project: Project, module: Module) -> bool:
    """Whether it gets a time by default, and says nothing of updates."""
    value = field.node.value
    if not isinstance(value, ast.Call) or not any(
        ast.unparse(node).rpartition(".")[2] == "datetime"
        for node, _ in project.alternatives(field.node.annotation, module)
    ):
        return False
    name = project.called(value, module)
    column = keyword(value, "sa_column")
    if name not in {"sqlmodel.Field", *_COLUMNS} or any(one.arg is None for one in value.keywords):
        return False
    if column is not None and (not isinstance(column, ast.Call) or project.called(column, module) not in _COLUMNS):
        return False
    text = ast.unparse(value) + ast.unparse(field.node.annotation)
    extra = keyword(value, "sa_column_kwargs")
    if (
        "onupdate" in text
        or "Computed" in text
        or "ON UPDATE" in text
        or (extra is not None and not isinstance(extra, ast.Dict))
    ):
        return False
    default = keyword(value, "default")
    return (
        "default_factory" in text
        or "server_default" in text
        or not (default is None or isinstance(default, ast.Constant))
    )


@lru_cache(maxsize=2)
def _written(project: Project) -> dict[str, set[Class | None]]:
    """The names that some code sets, with the class whose object it is; None where that may be any.

    An attribute, a key of a dict, or an argument of `values(...)` sets it; a constructor does not.
    """
    found: dict[str, set[Class | None]] = defaultdict(set)
    for module in project.modules.values():
        for one in module.all(ast.Attribute):
            if one.attr in _NAMES and isinstance(one.ctx, ast.Store):
                found[one.attr].add(row_of(one.value, project, module))
        for text in module.all(ast.Constant):
            if isinstance(text.value, str) and text.value in _NAMES and _is_written(text, module):
                found[text.value].add(None)
        for word in module.all(ast.keyword):
            call = module.parents.get(word) if word.arg in _NAMES else None
            if word.arg and isinstance(call, ast.Call) and not last_name(call.func)[:1].isupper():
                found[word.arg].add(None)
    return found


def _is_written(node: ast.Constant, module: Module) -> bool:
    above = module.parents.get(node)
    if isinstance(above, ast.Dict):
        return node in above.keys
    if isinstance(above, ast.Subscript):
        return isinstance(above.ctx, ast.Store)
    return isinstance(above, ast.Call) and last_name(above.func) in {"setattr", "hasattr"}


@lru_cache(maxsize=2)
def _has_triggers(project: Project) -> bool:
    """Whether a trigger of the database may set it."""
    if any(" TRIGGER " in line for module in project.modules.values() for line in module.lines):
        return True
    return any(" TRIGGER " in (project.tree.text(path) or "") for path in project.tree.files if path.endswith(".sql"))
