"""The packages that a project asks for: in pyproject.toml, requirements files, setup.cfg and Pipfile."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

from project_source.project import Project

_ONE = re.compile(r"^\s*(?P<name>[A-Za-z0-9][\w.-]*)\s*(?:\[(?P<extras>[^\]]*)\])?\s*(?P<specifier>[^;#]*)")
_DATABASES = {
    "asyncpg": "postgresql", "psycopg": "postgresql", "psycopg2": "postgresql", "psycopg2-binary": "postgresql", "pg8000": "postgresql",
    "aiomysql": "mysql", "asyncmy": "mysql", "pymysql": "mysql", "mysqlclient": "mysql", "mysql-connector-python": "mysql",
    "aiosqlite": "sqlite",
}  # fmt: skip
_LOCKS = frozenset({"poetry.lock", "uv.lock", "pdm.lock", "Pipfile.lock", "pylock.toml"})


@dataclass(frozen=True)
class Requirement:
    """A package that a file asks for.

    Attributes:
        name: In small letters, with dashes.
        specifier: The versions, as the file writes them; "" for any.
    """

    path: str
    line: int
    name: str
    extras: frozenset[str]
    specifier: str


@lru_cache(maxsize=1)
def requirements(project: Project) -> tuple[Requirement, ...]:
    """The packages that the files of a project ask for."""
    found: list[Requirement] = []
    for path in project.tree.files:
        name = PurePosixPath(path).name
        if name in {"pyproject.toml", "Pipfile"}:
            text = project.tree.text(path) or ""
            try:
                found += _of_toml(path, text, tomllib.loads(text))
            except tomllib.TOMLDecodeError:
                continue  # the template of a generator
        elif (name.endswith((".txt", ".in")) and "require" in path) or name == "setup.cfg":
            for number, line in enumerate((project.tree.text(path) or "").splitlines(), 1):
                if not line.lstrip().startswith(("#", "-", "[")):
                    found += _parsed(path, number, line)
    return tuple(found)


@lru_cache(maxsize=1)
def databases(project: Project) -> frozenset[str]:
    """The databases whose drivers a project asks for: "postgresql", "mysql", "sqlite"."""
    return frozenset(_DATABASES[one.name] for one in requirements(project) if one.name in _DATABASES)


def locks(project: Project) -> Iterator[str]:
    """The paths of the lock files."""
    return (path for path in project.tree.files if PurePosixPath(path).name in _LOCKS)


def _parsed(path: str, line: int, text: str) -> list[Requirement]:
    match = _ONE.match(text)
    if match is None:
        return []
    extras = frozenset(one.strip() for one in (match["extras"] or "").split(",") if one.strip())
    return [Requirement(path, line, _normal(match["name"]), extras, match["specifier"].strip())]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _of_toml(path: str, text: str, data: dict[str, Any]) -> Iterator[Requirement]:
    lines = text.splitlines()

    def line_of(wanted: str) -> int:
        return next((n for n, line in enumerate(lines, 1) if wanted in line and not line.lstrip().startswith("#")), 1)

    for value in _lists(data):
        for one in value:
            if isinstance(one, str):
                yield from _parsed(path, line_of(one), one)
    for table in _tables(data):
        for name, value in table.items():
            pattern = re.compile(rf"^\s*[\"']?{re.escape(name)}[\"']?\s*=")
            number = next((n for n, line in enumerate(lines, 1) if pattern.match(line)), 1)
            given: dict[str, Any] = value if isinstance(value, dict) else {"version": value}
            version = given.get("version", "")
            yield Requirement(
                path,
                number,
                _normal(name),
                frozenset(given.get("extras", ())),
                version if isinstance(version, str) else "",
            )


def _lists(data: dict[str, Any]) -> Iterator[list[Any]]:
    project = data.get("project", {})
    yield project.get("dependencies", [])
    yield from project.get("optional-dependencies", {}).values()
    yield from data.get("dependency-groups", {}).values()
    yield data.get("tool", {}).get("uv", {}).get("dev-dependencies", [])


def _tables(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    poetry = data.get("tool", {}).get("poetry", {})
    yield poetry.get("dependencies", {})
    yield poetry.get("dev-dependencies", {})
    for group in poetry.get("group", {}).values():
        yield group.get("dependencies", {})
    yield data.get("packages", {})
