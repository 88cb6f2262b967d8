"""ASM028: migrations that fail, or that lose or shift data."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache

from auditing.catalogue import check, project_check
from auditing.finding import Found, at
from project_source.engines import entries
from project_source.migrations import Revision, revisions
from project_source.modules import Function, Module, keyword
from project_source.project import Project
from project_source.requirements import databases
from project_source.texts import literal, origins, pieces

_TO_ZONE = re.compile(
    r"\bALTER\s+(?:COLUMN\s+)?\S+\s+(?:SET\s+DATA\s+)?TYPE\s+(?:timestamptz|timestamp(?:\(\d\))?\s+with\s+time\s+zone)",
    re.IGNORECASE,
)
_CONCURRENTLY = re.compile(r"\b(?:CREATE|DROP)\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\b", re.IGNORECASE)
_RUNS = frozenset({"execute", "exec", "text", "exec_driver_sql"})
_EMPTIED = re.compile(r"\b(?:TRUNCATE|DELETE\s+FROM)\b", re.IGNORECASE)
_ALWAYS_FILLED = frozenset({"sqlalchemy.Identity", "sqlalchemy.Computed"})
_SMALL = frozenset({"sqlalchemy.Enum", "sqlalchemy.dialects.postgresql.ENUM"})


@project_check("ASM028")
def several_heads(project: Project) -> Iterator[Found]:
    """More than one last revision in a folder of migrations."""
    by_folder: dict[str, list[Revision]] = defaultdict(list)
    for one in revisions(project):
        by_folder[one.module.path.rpartition("/")[0]].append(one)
    every = revisions(project)
    before = {down for one in every for down in (*one.down, *one.depends)}
    for found in by_folder.values():
        labels = {label for one in found for label in one.labels}
        heads = sorted((one for one in found if one.id not in before), key=lambda one: one.module.path)
        roots = [one for one in found if not one.down]
        if len(heads) < 2 or labels or len(roots) > 1:
            continue
        for one in heads[1:]:
            others = ", ".join(each.id for each in heads if each is not one)
            yield at(
                one.module, one.line, f"a second head beside {others}: `upgrade head` fails, `Multiple head revisions are present`",
                "run `alembic merge heads`, or let one follow the other",
            )  # fmt: skip


def _is_migration(module: Module) -> bool:
    return "revision" in module.top.names and "down_revision" in module.top.names


@lru_cache(maxsize=1)
def _databases(project: Project) -> frozenset[str]:
    """The databases that a project may run on, as far as its packages and settings tell."""
    named = {one.url.partition(":")[0].partition("+")[0] for one in entries(project)}
    return databases(project) | {
        "postgresql" if one == "postgres" else "mysql" if one == "mariadb" else one for one in named
    }


def _may_run_on(project: Project, database: str) -> bool:
    return not _databases(project) or database in _databases(project)


def _function(module: Module, name: str) -> Function | None:
    return next((one for one in module.tree.body if isinstance(one, Function) and one.name == name), None)


@check("ASM028")
def names_that_are_missing(project: Project, module: Module) -> Iterator[Found]:  # noqa: ARG001
    """`sqlmodel.…` in a migration that does not import it; a constraint that is dropped by no name."""
    if not _is_migration(module):
        return
    for name in module.all(ast.Name):
        if name.id == "sqlmodel" and isinstance(name.ctx, ast.Load) and not module.bindings("sqlmodel", name):
            yield at(
                module, name, "`sqlmodel` is not imported: NameError when the migration runs", "add `import sqlmodel`"
            )
            break
    for call in module.all(ast.Call):
        last = getattr(call.func, "attr", "")
        if last == "drop_constraint" and _is_none(call.args[0] if call.args else keyword(call, "constraint_name")):
            yield at(
                module, call, "a constraint without a name cannot be dropped: CompileError, or ValueError in batch mode",
                "write its name, and set a naming convention",
            )  # fmt: skip
        elif (
            last in {"create_unique_constraint", "create_foreign_key", "create_check_constraint"}
            and call.args
            and _is_none(call.args[0])
        ):
            yield at(
                module, call, "a constraint without a name: the database chooses one, and the downgrade does not know it",
                "write a name, or set a naming convention", possible=True,
            )  # fmt: skip


def _is_none(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


@check("ASM028")
def columns(project: Project, module: Module) -> Iterator[Found]:
    """A required column without a default; a column that is dropped where one is added."""
    if not _is_migration(module) or (upgrade := _function(module, "upgrade")) is None:
        return
    emptied = any(
        isinstance(one.value, str) and _EMPTIED.search(one.value) for one in module.own(upgrade, ast.Constant)
    )
    created = {
        _table(one, module) for one in module.own(upgrade, ast.Call) if getattr(one.func, "attr", "") == "create_table"
    }
    added: dict[str, list[tuple[ast.Call, ast.Call]]] = defaultdict(list)
    dropped: dict[str, list[ast.Call]] = defaultdict(list)
    for call in module.own(upgrade, ast.Call):
        last, table = getattr(call.func, "attr", ""), _table(call, module)
        if last == "drop_column":
            dropped[table].append(call)
        if last != "add_column" or not (column := _column(call)):
            continue
        added[table].append((call, column))
        required = keyword(column, "nullable")
        if not (isinstance(required, ast.Constant) and required.value is False) or keyword(column, "server_default"):
            continue
        if (
            emptied
            or _databases(project) == {"mysql"}
            or table in created
            or any(project.called(one, module) in _ALWAYS_FILLED for one in column.args if isinstance(one, ast.Call))
        ):
            continue
        yield at(
            module, call, "a required column without a default: the migration fails where the table has rows",
            "give it a `server_default`, or add it nullable, fill it, and alter it",
        )  # fmt: skip
    moves = any(getattr(one.func, "attr", "") in {"execute", "bulk_insert"} for one in module.own(upgrade, ast.Call))
    for table, calls in added.items():
        if len(calls) == 1 and len(dropped[table]) == 1 and not moves and table:
            yield at(
                module, calls[0][0], "a column is added and one is dropped: a rename loses its values like this",
                "write `alter_column(..., new_column_name=...)`, or move the values", possible=True,
            )  # fmt: skip


def _column(call: ast.Call) -> ast.Call | None:
    """`sa.Column(...)` of add_column, of `op` or of a batch."""
    return next(
        (
            one
            for one in call.args
            if isinstance(one, ast.Call) and getattr(one.func, "attr", getattr(one.func, "id", "")) == "Column"
        ),
        None,
    )


def _table(call: ast.Call, module: Module) -> str:
    """The table that an operation changes: its first argument, or that of batch_alter_table."""
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    if isinstance(owner, ast.Name) and owner.id != "op":
        for one in module.ancestors(call):
            if isinstance(one, ast.With):
                for item in one.items:
                    if (
                        isinstance(item.optional_vars, ast.Name)
                        and item.optional_vars.id == owner.id
                        and isinstance(item.context_expr, ast.Call)
                    ):
                        return _text(item.context_expr.args[0] if item.context_expr.args else None)
    return _text(call.args[0] if call.args else None)


def _text(node: ast.expr | None) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ""


@check("ASM028")
def types(project: Project, module: Module) -> Iterator[Found]:
    """An enum that stays behind, and a column that gets its time zone without a word about the old one."""
    if not _is_migration(module) or not _may_run_on(project, "postgresql"):
        return
    for call in module.all(ast.Call):
        if getattr(call.func, "attr", "") != "alter_column" or keyword(call, "postgresql_using"):
            continue
        new, old = keyword(call, "type_"), keyword(call, "existing_type")
        if new is None or old is None or not _has_zone(new) or _has_zone(old) or not _is_time(old):
            continue
        yield at(
            module, call, "old values are taken for the server's time zone: they shift, unless it is UTC",
            "pass `postgresql_using=\"<column> AT TIME ZONE 'UTC'\"`",
        )  # fmt: skip
    yield from _enums(project, module)


def _is_time(node: ast.expr) -> bool:
    return re.search(r"TIMESTAMP|DateTime|DATETIME", ast.unparse(node)) is not None


def _has_zone(node: ast.expr) -> bool:
    text = ast.unparse(node)
    return _is_time(node) and ("timezone=True" in text or "UTCDateTime" in text)


def _enums(project: Project, module: Module) -> Iterator[Found]:
    upgrade, downgrade = _function(module, "upgrade"), _function(module, "downgrade")
    if upgrade is None or downgrade is None:
        return
    undone = {getattr(one.func, "attr", "") for one in module.own(downgrade, ast.Call)}
    if not undone & {"drop_table", "drop_column"} or any(isinstance(one, ast.Raise) for one in downgrade.body):
        return
    back = ast.unparse(downgrade)
    if ".drop(" in back or "DROP TYPE" in back.upper() or "enum" in " ".join(undone).lower():
        return
    for call in module.own(upgrade, ast.Call):
        if project.called(call, module) not in _SMALL:
            continue
        name = keyword(call, "name")
        plain = [keyword(call, one) for one in ("native_enum", "create_type")]
        if (
            not isinstance(name, ast.Constant)
            or not isinstance(name.value, str)
            or any(isinstance(one, ast.Constant) and one.value is False for one in plain)
        ):
            continue
        operation = next((getattr(one.func, "attr", "") for one in module.ancestors(call) if isinstance(one, ast.Call)
                          and getattr(one.func, "attr", "") in {"create_table", "add_column"}), "")  # fmt: skip
        if operation == "create_table" and undone & {"drop_table"}:
            yield at(
                module, call, f"the downgrade leaves the type `{name.value}` behind: the next upgrade fails, `already exists`",
                f"write `sa.Enum(name=\"{name.value}\").drop(op.get_bind(), checkfirst=True)` there",
            )  # fmt: skip
            return


@check("ASM028")
def statements(project: Project, module: Module) -> Iterator[Found]:
    """A time zone in plain SQL, and CONCURRENTLY inside the transaction of a migration."""
    migration = _is_migration(module)
    for call in module.all(ast.Call):
        last = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if last in {"create_index", "drop_index"} and migration:
            wanted = keyword(call, "postgresql_concurrently")
            if isinstance(wanted, ast.Constant) and wanted.value is True and not _is_outside(module, call):
                yield at(module, call, "CONCURRENTLY does not run in a transaction: ActiveSQLTransaction", _BLOCK)
        elif last in _RUNS and call.args and (migration or last in {"text", "exec_driver_sql"}):
            for node, _ in origins(project, call.args[0], module) if not isinstance(call.args[0], ast.Call) else ():
                text = literal(parts) if isinstance(node, ast.expr) and (parts := pieces(node)) else ""
                if _TO_ZONE.search(text) and not re.search(r"\bUSING\b", text, re.IGNORECASE):
                    yield at(
                        module, call, "old values are taken for the server's time zone: they shift, unless it is UTC",
                        "write `USING <column> AT TIME ZONE 'UTC'`",
                    )  # fmt: skip
                elif migration and _CONCURRENTLY.search(text) and not _is_outside(module, call):
                    yield at(module, call, "CONCURRENTLY does not run in a transaction: ActiveSQLTransaction", _BLOCK)


_BLOCK = "put it into `with op.get_context().autocommit_block():`"


def _is_outside(module: Module, call: ast.Call) -> bool:
    """Whether a call stands in an autocommit block, or behind a COMMIT."""
    for one in module.ancestors(call):
        if isinstance(one, ast.With) and any(
            "autocommit" in ast.unparse(item.context_expr).lower() for item in one.items
        ):
            return True
        if isinstance(one, Function):
            text = ast.unparse(one)
            return "'COMMIT'" in text.upper() or "AUTOCOMMIT" in text
    return False
