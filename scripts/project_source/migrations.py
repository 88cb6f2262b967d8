"""The Alembic environments of a project, and their migrations."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import PurePosixPath

from project_source.modules import Module
from project_source.project import Project

_ASYNC = frozenset({"create_async_engine", "async_engine_from_config", "AsyncEngine"})


@dataclass(frozen=True)
class Environment:
    """A folder of Alembic.

    Attributes:
        folder: Where env.py stands, "" for the project's own.
        env: env.py.
        template: The path of script.py.mako.
        ini: The path of alembic.ini, or of pyproject.toml with `[tool.alembic]`.
    """

    folder: str
    env: Module
    template: str | None
    ini: str | None

    @cached_property
    def is_async(self) -> bool:
        """Whether env.py makes an async engine, or imports something that is named like one."""
        return any(one.id in _ASYNC or "async" in one.id.lower() for one in self.env.all(ast.Name))

    @cached_property
    def replaces_url(self) -> bool:
        """Whether env.py takes the URL from elsewhere than the file of settings."""
        reads = False
        for one in self.env.all(ast.Constant):
            if one.value == "sqlalchemy.url":
                above = self.env.parents[one]
                if not (isinstance(above, ast.Call) and getattr(above.func, "attr", "") == "get_main_option"):
                    return True
                reads = True
        sections = any(one.attr == "get_section" for one in self.env.all(ast.Attribute))
        return not (reads or sections) or any(
            isinstance(one.value, ast.Constant) and one.arg == "url" for one in self.env.all(ast.keyword)
        )


@dataclass(frozen=True)
class Revision:
    """A migration.

    Attributes:
        line: The assignment of `revision`.
        down: The revisions before it; several for a merge.
        depends: Revisions that `depends_on` names.
    """

    id: str
    module: Module
    line: ast.stmt
    down: tuple[str, ...]
    labels: tuple[str, ...]
    depends: tuple[str, ...]

    def function(self, name: str) -> ast.FunctionDef | None:
        """`upgrade` or `downgrade`."""
        return next(
            (one for one in self.module.tree.body if isinstance(one, ast.FunctionDef) and one.name == name), None
        )


@lru_cache(maxsize=1)
def environments(project: Project) -> tuple[Environment, ...]:
    """The folders in which an env.py uses Alembic's context."""
    found = []
    files = set(project.tree.files)
    inis = [one for one in files if PurePosixPath(one).name in {"alembic.ini", "pyproject.toml"}]
    for path, module in project.modules.items():
        if PurePosixPath(path).name == "env.py" and any(
            one.name == "alembic.context" or one.name == "alembic"
            for names in module.top.names.values()
            for one in names
        ):
            folder = path.rpartition("/")[0]
            template = f"{folder}/script.py.mako".lstrip("/")
            found.append(
                Environment(folder, module, template if template in files else None, _ini(project, folder, inis))
            )
    return tuple(found)


def _ini(project: Project, folder: str, inis: list[str]) -> str | None:
    """The file whose script_location is a folder."""
    for path in sorted(inis, key=lambda one: (one.endswith(".toml"), -len(one))):
        text = project.tree.text(path) or ""
        base = path.rpartition("/")[0]
        for match in re.finditer(r"^\s*script_location\s*=\s*[\"']?(?P<where>[^\"'\n]+)", text, re.MULTILINE):
            where = (
                re.sub(r"%?%\(here\)s/?", "", match["where"].strip()).replace(":", "/").strip("/").removeprefix("./")
            )
            if f"{base}/{where}".strip("/") == folder or (
                f"{folder}/".endswith(f"/{where}/") and folder.startswith(base)
            ):
                return path
    return None


@lru_cache(maxsize=1)
def revisions(project: Project) -> tuple[Revision, ...]:
    """The migrations: modules that assign `revision` and `down_revision`."""
    return tuple(found for module in project.modules.values() for found in _revision(module))


def _revision(module: Module) -> Iterator[Revision]:
    values = {name: _value(module, name) for name in ("revision", "down_revision", "branch_labels", "depends_on")}
    own, down = values["revision"], values["down_revision"]
    if own is not None and down is not None and len(ids := _texts(own[1])) == 1:
        labels, depends = values["branch_labels"], values["depends_on"]
        yield Revision(
            ids[0], module, own[0], _texts(down[1]),
            _texts(labels[1]) if labels else (), _texts(depends[1]) if depends else (),
        )  # fmt: skip


def _value(module: Module, name: str) -> tuple[ast.stmt, ast.expr] | None:
    for line in module.tree.body:
        if isinstance(line, ast.Assign) and any(isinstance(one, ast.Name) and one.id == name for one in line.targets):
            return line, line.value
        if (
            isinstance(line, ast.AnnAssign)
            and isinstance(line.target, ast.Name)
            and line.target.id == name
            and line.value
        ):
            return line, line.value
    return None


def _texts(node: ast.expr) -> tuple[str, ...]:
    return tuple(one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str))
