"""The async engines of a project, and the database URLs that reach them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Literal

from project_source.modules import Module, keyword
from project_source.project import Project
from project_source.texts import literal, origins, pieces

URL = re.compile(r"(?P<name>postgres|postgresql|mysql|mariadb|sqlite)(?:\+(?P<driver>\w+))?://")
_ENTRY = re.compile(
    r"^\s*(?:export\s+|ENV\s+|-\s+)?[\"']?(?P<name>[A-Za-z_][\w.]*)[\"']?\s*[:=]\s*[\"']?"
    r"(?P<url>(?:postgres|postgresql|mysql|mariadb|sqlite)(?:\+\w+)?://[^\s\"'#]*)"
)
_ASYNC_ENGINE = "sqlalchemy.ext.asyncio.create_async_engine"
_SAME = frozenset({"str", "sqlalchemy.make_url", "pydantic.SecretStr", "pydantic.PostgresDsn", "urllib.parse.unquote"})
_UNWRAPPED = frozenset({"get_secret_value", "unicode_string"})
_DEPTH = 6


@dataclass(frozen=True)
class Source:
    """Where the URL of an engine comes from.

    Attributes:
        kind: "text" for a literal, "setting" for an environment variable or a field of the settings, "masked" for
            `str(url)` of SQLAlchemy's URL, which hides the password, "computed" for anything else.
        text: The literal with `{}` for what is put in, or the name of the setting.
    """

    kind: Literal["text", "setting", "masked", "computed"]
    text: str
    node: ast.AST
    module: Module


@dataclass(frozen=True)
class Engine:
    """A call that makes an async engine.

    Attributes:
        call: `create_async_engine(...)`, or the `create_engine(...)` inside `AsyncEngine(...)`.
    """

    call: ast.Call
    module: Module
    sources: tuple[Source, ...]

    def argument(self, name: str) -> ast.expr | None:
        """A keyword argument of the call."""
        return keyword(self.call, name)

    @property
    def open_ended(self) -> bool:
        """Whether the call passes `**options`, so that it may have any argument."""
        return any(one.arg is None for one in self.call.keywords)

    @property
    def texts(self) -> list[Source]:
        return [one for one in self.sources if one.kind == "text"]


@dataclass(frozen=True)
class Entry:
    """A database URL in a file of settings."""

    path: str
    line: int
    name: str
    url: str


@lru_cache(maxsize=1)
def engines(project: Project) -> tuple[Engine, ...]:
    """The calls that make async engines, in the order of the files."""
    found = []
    for module in project.modules.values():
        for call in module.all(ast.Call):
            last = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
            if last not in {"create_async_engine", "create_engine"}:
                continue
            name = project.called(call, module)
            above = module.parents[call]
            wrapped = isinstance(above, ast.Call) and project.called(above, module).endswith("asyncio.AsyncEngine")
            if name == _ASYNC_ENGINE or (name == "sqlalchemy.create_engine" and wrapped):
                url = call.args[0] if call.args else keyword(call, "url")
                found.append(Engine(call, module, tuple(sources(project, url, module)) if url else ()))
    return tuple(found)


def sources(project: Project, node: ast.AST, module: Module, depth: int = _DEPTH) -> Iterator[Source]:
    """Where the value of a URL comes from."""
    if depth <= 0:
        return
    for one, where in origins(project, node, module):
        if isinstance(one, ast.AnnAssign):
            if isinstance(one.target, ast.Name) and isinstance(where.parents[one], ast.ClassDef):
                yield Source("setting", one.target.id, one, where)
        elif isinstance(one, ast.Attribute) and one.attr != "url":
            yield Source("setting", one.attr, one, where)
        elif isinstance(one, ast.Subscript) and _is_environ(one.value) and isinstance(one.slice, ast.Constant):
            yield Source("setting", str(one.slice.value), one, where)
        elif isinstance(one, ast.Call) and (text := pieces(one)) is None:
            yield from _called(project, one, where, depth)
        elif isinstance(one, ast.expr) and (text := pieces(one)) is not None:
            yield Source("text", literal(text), one, where)
        else:
            yield Source("computed", "", one, where)


def _called(project: Project, call: ast.Call, module: Module, depth: int) -> Iterator[Source]:
    name = project.called(call, module) or (call.func.id if isinstance(call.func, ast.Name) else "")
    last = call.func.attr if isinstance(call.func, ast.Attribute) else name
    if name == "os.getenv" or (last == "get" and isinstance(call.func, ast.Attribute) and _is_environ(call.func.value)):
        if call.args and isinstance(call.args[0], ast.Constant):
            yield Source("setting", str(call.args[0].value), call, module)
        for default in call.args[1:2]:
            yield from sources(project, default, module, depth - 1)
    elif name == "sqlalchemy.URL.create":
        driver = call.args[0] if call.args else keyword(call, "drivername")
        for one in sources(project, driver, module, depth - 1) if driver else ():
            yield Source(one.kind, f"{one.text}://", one.node, one.module)
    elif name in _SAME and call.args:
        if name == "str" and project.type_of(call.args[0], module) == "sqlalchemy.URL":
            yield Source("masked", "", call, module)
        else:
            yield from sources(project, call.args[0], module, depth - 1)
    elif last in _UNWRAPPED and isinstance(call.func, ast.Attribute):
        yield from sources(project, call.func.value, module, depth - 1)
    else:
        yield Source("computed", "", call, module)


def _is_environ(node: ast.expr) -> bool:
    return ast.unparse(node) in {"os.environ", "environ"}


def _holds_settings(path: str) -> bool:
    name = PurePosixPath(path).name
    return (
        name.startswith(".env")
        or name.endswith((".env", ".ini", ".toml", ".cfg"))
        or (name.endswith((".yml", ".yaml")) and not path.startswith(".github/"))
    ) and not name.endswith((".lock", ".py"))


@lru_cache(maxsize=1)
def entries(project: Project) -> tuple[Entry, ...]:
    """The database URLs in `.env*`, `*.ini`, `*.toml`, compose and YAML files, without what is commented out."""
    found = []
    for path in project.tree.files:
        if _holds_settings(path) and (text := project.tree.text(path)) and "://" in text:
            for number, line in enumerate(text.splitlines(), 1):
                if match := _ENTRY.match(line):
                    found.append(Entry(path, number, match["name"], match["url"]))
    return tuple(found)
