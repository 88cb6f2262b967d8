"""Python and the packages that matter here: what is declared, locked and installed."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from project_source.files import Tree
from project_source.project import Project
from project_source.requirements import requirements

NAMES = (
    "sqlmodel", "sqlalchemy", "greenlet", "fastapi", "starlette", "pydantic", "pydantic-settings", "alembic", "asyncpg", "psycopg",
    "psycopg2", "psycopg2-binary", "aiosqlite", "asyncmy", "aiomysql", "pymysql", "uvicorn", "pytest", "pytest-asyncio", "anyio", "httpx",
)  # fmt: skip
_LOCKS = ("uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock")


@dataclass
class Package:
    """One package.

    Attributes:
        declared: Such as `[asyncio]>=0.0.50`; None where nothing declares it.
    """

    declared: str | None = None
    locked: str | None = None
    installed: str | None = None


@dataclass
class Packages:
    """All that matter.

    Attributes:
        requires_python: What pyproject.toml says.
        environment: Version of the Python of a .venv in the project.
        sources: Files that declare or lock packages.
    """

    requires_python: str | None = None
    environment: str | None = None
    sources: list[str] = field(default_factory=list)
    packages: dict[str, Package] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Whether a package is declared, locked or installed."""
        return name in self.packages

    def version(self, name: str) -> str | None:
        """The version that counts: installed, else locked."""
        one = self.packages.get(name)
        return (one.installed or one.locked) if one else None


def look(project: Project) -> Packages:
    """Read pyproject.toml, requirements, lock files and the environment; the files nearest to the project's folder win."""
    found = Packages()
    tree = project.tree
    for one in sorted(requirements(project), key=lambda one: (one.path.count("/"), one.path)):
        if one.name in NAMES:
            extras = f"[{','.join(sorted(one.extras))}]" if one.extras else ""
            package = found.packages.setdefault(one.name, Package())
            package.declared = package.declared if package.declared is not None else extras + one.specifier
            if one.path not in found.sources:
                found.sources.append(one.path)
    for path in sorted(tree.files, key=lambda path: (path.count("/"), path)):
        name = path.rpartition("/")[2]
        if name == "pyproject.toml":
            found.requires_python = found.requires_python or _python(_toml(tree, path))
        elif name in _LOCKS:
            _locked(tree, path, found)
    _environment(tree.root, found)
    return found


def _python(data: dict[str, Any]) -> str | None:
    poetry = _table(_table(data, "tool"), "poetry")
    required = _table(data, "project").get("requires-python") or _table(poetry, "dependencies").get("python")
    return required if isinstance(required, str) else None


def _locked(tree: Tree, path: str, found: Packages) -> None:
    found.sources.append(path)
    versions: list[tuple[str, str]] = []
    if path.endswith("Pipfile.lock"):
        try:
            data = json.loads(tree.text(path) or "{}")
            versions = [
                (n, str(v.get("version", "")).lstrip("="))
                for part in ("default", "develop")
                for n, v in data.get(part, {}).items()
            ]
        except (ValueError, AttributeError):
            tree.unread.append((path, "not a lock file"))
    else:
        entries = _toml(tree, path).get("package", [])
        versions = [(str(one.get("name")), str(one.get("version"))) for one in entries if isinstance(one, dict)]
    for name, version in versions:
        if _normal(name) in NAMES:
            found.packages.setdefault(_normal(name), Package()).locked = version


def _environment(root: Path, found: Packages) -> None:
    for folder in (root / ".venv", root / "venv"):
        try:
            text = (folder / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        match = re.search(r"(?m)^version(?:_info)?\s*=\s*(\d+\.\d+(?:\.\d+)?)", text)
        found.environment = match[1] if match else None
        for place in [*folder.glob("lib/python3*/site-packages"), folder / "Lib" / "site-packages"]:
            for entry in place.glob("*.dist-info"):
                name, _, version = entry.name.removesuffix(".dist-info").rpartition("-")
                if _normal(name) in NAMES:
                    found.packages.setdefault(_normal(name), Package()).installed = version
        return


def _toml(tree: Tree, path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(tree.text(path) or "")
    except tomllib.TOMLDecodeError as error:
        tree.unread.append((path, str(error)))
        return {}


def _table(data: dict[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key, {})
    return value if isinstance(value, dict) else {}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
