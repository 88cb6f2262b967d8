"""ASM027: env.py, script.py.mako and alembic.ini."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache

from auditing.catalogue import check, project_check
from auditing.finding import Found, at, in_file
from project_source.classes import Class
from project_source.engines import URL, entries, sources
from project_source.files import is_test
from project_source.migrations import Environment, environments, revisions
from project_source.modules import Function, Module, keyword
from project_source.project import Project
from project_source.requirements import databases
from project_source.texts import origins

_DYNAMIC = frozenset({
    "import_module",
    "__import__",
    "walk_packages",
    "iter_modules",
    "exec",
    "entry_points",
    "load_all_models",
})
_CONSTRAINTS = frozenset({
    "create_check_constraint", "create_unique_constraint", "create_foreign_key", "create_primary_key", "drop_constraint", "alter_column",
})  # fmt: skip
_ASIDE = frozenset({"examples", "example", "demo", "demos", "docs", "docs_src", "scripts", "migrations", "versions"})


@project_check("ASM027")
def environment(project: Project) -> Iterator[Found]:
    """What each folder of Alembic misses."""
    for one in environments(project):
        yield from _metadata(project, one)
        yield from _template(project, one)
        yield from _percent(project, one)
        yield from _batch(project, one)
        yield from _not_called(one)


def _metadata(project: Project, one: Environment) -> Iterator[Found]:
    """`target_metadata = None`, or a metadata without the models."""
    tables = [
        each for each in (*project.tables, *(c for c in project.classes if c.is_declarative)) if _counts(each, one)
    ]
    lines: list[ast.Assign | ast.AnnAssign] = [*one.env.all(ast.Assign), *one.env.all(ast.AnnAssign)]
    for line in lines:
        targets = line.targets if isinstance(line, ast.Assign) else [line.target]
        if (
            not any(isinstance(each, ast.Name) and each.id == "target_metadata" for each in targets)
            or line.value is None
        ):
            continue
        if isinstance(line.value, ast.Constant) and line.value.value is None:
            if tables:
                yield at(
                    one.env, line, "`target_metadata = None`: autogenerate sees no models and writes an empty migration",
                    "write `SQLModel.metadata`, and import the models",
                )  # fmt: skip
            return
    if not _uses(project, one.env, "sqlmodel.SQLModel"):
        return
    reached = _reached(project, one.env)
    if reached is None:
        return
    used = _used(project)
    missing = [
        each for each in tables if each.is_table and each.module.path not in reached and each.module.path in used
    ]
    if missing:
        node = next((each for each in one.env.all(ast.Attribute) if each.attr == "metadata"), one.env.tree)
        names = ", ".join(sorted({each.name for each in missing})[:3])
        yield at(
            one.env, node, f"nothing that env.py imports defines {names}: autogenerate drops their tables",
            "import every module with models in env.py",
        )  # fmt: skip


def _counts(klass: Class, one: Environment) -> bool:
    """Whether a model belongs to an environment: in the same part of the project, and no test or example."""
    path = klass.module.path
    root = (one.ini or "").rpartition("/")[0] or one.folder.rpartition("/")[0]
    folders = set(path.split("/")[:-1])
    own = {each for each in klass.node.keywords if each.arg in {"registry", "metadata"}}
    return (
        path.startswith(f"{root}/" if root else "")
        and not is_test(path)
        and not (folders & _ASIDE)
        and not own
        and not _has_metadata(klass)
    )


def _has_metadata(klass: Class) -> bool:
    """Whether a class, or a base of the project, has a metadata of its own."""
    return any(
        "metadata" in each.module.scopes[each.node].names or "registry" in {k.arg for k in each.node.keywords}
        for each in klass.lineage
    )


def _uses(project: Project, module: Module, name: str) -> bool:
    """Whether a module takes the metadata of a class."""
    return any(
        each.attr == "metadata" and project.name_of(each.value, module) == name for each in module.all(ast.Attribute)
    )


def _reached(project: Project, env: Module) -> set[str] | None:
    """The modules that env.py imports, at last; None where some are imported by name at run time."""
    found: set[str] = set()
    waiting = [env]
    while waiting:
        module = waiting.pop()
        if module.path in found:
            continue
        found.add(module.path)
        used = {one.id for one in module.all(ast.Name)} | {one.attr for one in module.all(ast.Attribute)}
        if used & _DYNAMIC and (module is env or _near_models(module)):
            return None
        for name in _imported(module):
            parts = name.split(".")
            for length in range(1, len(parts) + 1):
                if other := project.find(".".join(parts[:length]), module):
                    waiting.append(other)
    return found


@lru_cache(maxsize=1)
def _used(project: Project) -> frozenset[str]:
    """The modules that some other module imports, tests aside."""
    return frozenset(
        other.path
        for module in project.modules.values()
        if not is_test(module.path)
        for name in _imported(module)
        for part in (name, name.rpartition(".")[0])
        if part and (other := project.find(part, module)) and other is not module
    )


def _near_models(module: Module) -> bool:
    return re.search(r"model|entit|table|schema|plugin|__init__|db|base", module.path) is not None


def _imported(module: Module) -> Iterator[str]:
    yield from module.stars
    for node in module.all(ast.Import):
        for alias in node.names:
            yield alias.name
    for scope in module.scopes.values():
        for found in scope.names.values():
            for one in found:
                if one.kind == "import" and isinstance(one.node, ast.ImportFrom):
                    yield one.name


def _template(project: Project, one: Environment) -> Iterator[Found]:
    """script.py.mako without `import sqlmodel`, which the types of SQLModel's columns need."""
    if one.template is None or not any(_counts(each, one) for each in project.tables):
        return
    if not any(each.attr == "metadata" or each.attr == "target_metadata" for each in one.env.all(ast.Attribute)):
        return  # it is not meant for autogenerate
    text = project.tree.text(one.template) or ""
    if re.search(r"^\s*(?:import sqlmodel\b|from sqlmodel\b)", text, re.MULTILINE):
        return
    if any(
        each.arg in {"render_item", "user_module_prefix", "process_revision_directives"}
        for each in one.env.all(ast.keyword)
    ):
        return
    if "render_item" in ast.dump(one.env.tree):
        return
    lines = text.splitlines()
    number = next((n for n, line in enumerate(lines, 1) if line.startswith(("import sqlalchemy", "from alembic"))), 1)
    yield in_file(
        one.template,
        number,
        "no `import sqlmodel` in the template: a migration fails with NameError `sqlmodel`",
        "add `import sqlmodel`",
    )


def _percent(project: Project, one: Environment) -> Iterator[Found]:
    """`set_main_option` with a URL in which `%` is not doubled."""
    for call in one.env.all(ast.Call):
        if getattr(call.func, "attr", "") != "set_main_option" or len(call.args) != 2:
            continue
        if not (isinstance(call.args[0], ast.Constant) and call.args[0].value == "sqlalchemy.url"):
            continue
        written = [ast.unparse(call.args[1])] + [
            ast.unparse(each) for each, _ in origins(project, call.args[1], one.env)
        ]
        if any("%%" in each for each in written) or isinstance(call.args[1], ast.Constant):
            continue
        texts = [each.text for each in sources(project, call.args[1], one.env) if each.kind == "text"]
        if texts and all(each.startswith("sqlite") for each in texts):
            continue
        yield at(
            one.env, call, "`%` in the URL, as in an escaped password, is taken for interpolation: ValueError",
            "write `url.replace(\"%\", \"%%\")`, or make the engine from the settings",
        )  # fmt: skip


@check("ASM027")
def percent_in_text(project: Project, module: Module) -> Iterator[Found]:  # noqa: ARG001
    """`set_main_option("sqlalchemy.url", "...%40...")`: the text is read as a template."""
    for call in module.all(ast.Call):
        if getattr(call.func, "attr", "") != "set_main_option" or len(call.args) != 2:
            continue
        name, url = call.args
        if not (isinstance(name, ast.Constant) and name.value == "sqlalchemy.url" and isinstance(url, ast.Constant)):
            continue
        if "%" in str(url.value).replace("%%", ""):
            yield at(
                module, call, "`%` in the URL, as in an escaped password, is taken for interpolation: ValueError",
                "write `%%` for `%`, or make the engine from the settings",
            )  # fmt: skip


def _batch(project: Project, one: Environment) -> Iterator[Found]:
    """A database of SQLite without `render_as_batch`."""
    if any(each.arg == "render_as_batch" for each in one.env.all(ast.keyword)) or "render_as_batch" in ast.dump(
        one.env.tree
    ):
        return
    urls = [each.url for each in entries(project) if each.path == one.ini and each.name == "sqlalchemy.url"]
    if one.replaces_url:
        urls = []
        for call in one.env.all(ast.Call):
            last = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            arguments = (
                call.args[1:2]
                if last == "set_main_option"
                else call.args[:1]
                if last.startswith("create_") and last.endswith("engine")
                else []
            )
            for argument in arguments:
                urls += [each.text for each in sources(project, argument, one.env)]
    if not urls or not all((match := URL.match(each)) and match["name"] == "sqlite" for each in urls):
        return
    calls = [each for each in one.env.all(ast.Call) if getattr(each.func, "attr", "") == "configure"]
    if configured := next((each for each in calls if keyword(each, "connection")), None):
        yield at(
            one.env, configured, "SQLite cannot change a constraint or a column, and `render_as_batch` is off: the migration fails",
            "pass `render_as_batch=True`",
        )  # fmt: skip


def _not_called(one: Environment) -> Iterator[Found]:
    """An env.py that defines how to run, and does not."""
    calls = {ast.unparse(each.func).rpartition(".")[2] for each in one.env.all(ast.Call)}
    loaded = {each.id for each in one.env.all(ast.Name) if isinstance(each.ctx, ast.Load)}
    for function in one.env.tree.body:
        if (
            isinstance(function, Function)
            and function.name == "run_migrations_online"
            and function.name not in calls | loaded
        ):
            yield at(
                one.env, function, "nothing calls `run_migrations_online`: `upgrade` does nothing, and says nothing",
                "call it at the end of env.py, unless `context.is_offline_mode()`",
            )  # fmt: skip


@check("ASM027")
def commands_in_a_loop(project: Project, module: Module) -> Iterator[Found]:
    """`command.upgrade` in async code, where env.py starts a loop of its own."""
    for call in module.all(ast.Call):
        if not isinstance(call.func, ast.Attribute | ast.Name) or getattr(call.func, "attr", "") not in {
            "upgrade",
            "downgrade",
            "check",
            "revision",
        }:
            continue
        if not project.called(call, module).startswith("alembic.command."):
            continue
        function = next(
            (each for each in module.ancestors(call) if isinstance(each, Function | ast.Lambda)), module.tree
        )
        awaited = isinstance(function, ast.AsyncFunctionDef) or (
            isinstance(function, ast.Module) and any(module.own(module.tree, ast.Await))
        )
        started = [each for each in environments(project) if b"asyncio.run(" in each.env.source]
        if awaited and started and "connection" not in " ".join(line for line in module.lines if "attributes" in line):
            yield at(
                module, call, f"`{ast.unparse(call.func)}` runs env.py, which starts a loop, and there is one: RuntimeError",
                "write `await asyncio.to_thread(command.upgrade, config, \"head\")`",
            )  # fmt: skip


@check("ASM027")
def changes_outside_batch(project: Project, module: Module) -> Iterator[Found]:
    """A change of a constraint or column outside batch mode, where the database may be SQLite."""
    if "revision" not in module.top.names or "down_revision" not in module.top.names:
        return
    urls = [each.url for each in entries(project)]
    if databases(project) - {"sqlite"} or any(not each.startswith("sqlite") for each in urls):
        return
    others = [each for each in environments(project) if b"postgres" in each.env.source.lower()]
    if others:
        return
    for call in module.all(ast.Call):
        if not isinstance(call.func, ast.Attribute) or call.func.attr not in _CONSTRAINTS:
            continue
        if project.name_of(call.func.value, module) == "alembic.op":
            yield at(
                module, call, f"SQLite has no `{call.func.attr}` outside batch mode: NotImplementedError, or a syntax error",
                "write `with op.batch_alter_table(...) as batch:`", possible=True,
            )  # fmt: skip


@project_check("ASM027")
def unnamed_constraints(project: Project) -> Iterator[Found]:
    """A project with migrations whose metadata names no constraints."""
    if not revisions(project):
        return
    for module in project.modules.values():
        if any(each.value == "naming_convention" for each in module.all(ast.Constant)):
            return
        if any(each.arg == "naming_convention" for each in module.all(ast.keyword)):
            return
        if any(each.attr == "naming_convention" for each in module.all(ast.Attribute)):
            return
    for one in environments(project):
        if any(_counts(each, one) for each in project.tables):
            yield at(
                one.env, one.env.tree, "no naming convention: a constraint gets no name in migrations, and cannot be dropped",
                "set `SQLModel.metadata.naming_convention` before the first model", possible=True,
            )  # fmt: skip
