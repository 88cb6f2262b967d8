"""Alembic: where it is set up, what env.py does, the revisions and their heads."""

from __future__ import annotations

import ast
import configparser
import re
import tomllib
from dataclasses import dataclass

from project_source.files import Tree
from project_source.modules import Module
from project_source.project import Project


@dataclass(frozen=True)
class Migrations:
    """One Alembic environment.

    Attributes:
        config: alembic.ini, or pyproject.toml.
        folder: The script location, relative to the project.
        is_async: Whether env.py uses an async engine.
        has_metadata: Whether env.py gives a target_metadata that is not None.
        imports_sqlmodel: Whether script.py.mako imports sqlmodel.
        heads: Revisions that no other one follows.
        missing: Revisions that are named as down_revision and do not exist.
    """

    config: str
    folder: str
    is_async: bool
    has_metadata: bool
    imports_sqlmodel: bool
    revisions: int
    heads: tuple[str, ...]
    missing: tuple[str, ...]


def look(tree: Tree, project: Project) -> list[Migrations]:
    """Find the environments: folders with an env.py and versions/, or that a configuration names."""
    folders = {
        path.removesuffix("env.py").rstrip("/"): ""
        for path in tree.files
        if re.search(r"(^|/)env\.py$", path) and _is_alembic(tree, path)
    }
    for path in tree.files:
        name = path.rpartition("/")[2]
        if (name.endswith(".ini") and "alembic" in name) or name == "pyproject.toml":
            location = _location(tree, path)
            if location is not None:
                folder = "/".join(
                    part for part in [*path.split("/")[:-1], *location.split("/")] if part not in {"", "."}
                )
                if folder in folders or f"{folder}/env.py" in tree.files:
                    folders[folder] = path
    return [_environment(folder, config, tree, project) for folder, config in sorted(folders.items())]


def _is_alembic(tree: Tree, path: str) -> bool:
    return "alembic" in (tree.text(path) or "")


def _location(tree: Tree, path: str) -> str | None:
    text = tree.text(path) or ""
    if path.endswith(".toml"):
        try:
            value = tomllib.loads(text).get("tool", {}).get("alembic", {}).get("script_location")
        except (tomllib.TOMLDecodeError, AttributeError):
            return None
    else:
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read_string(text)
            value = parser.get("alembic", "script_location", fallback=None)
        except configparser.Error:
            return None
    return re.sub(r"%\(here\)s/?", "", value) if isinstance(value, str) else None


def _environment(folder: str, config: str, tree: Tree, project: Project) -> Migrations:
    prefix = f"{folder}/" if folder else ""
    env = tree.text(f"{prefix}env.py") or ""
    mako = tree.text(f"{prefix}script.py.mako") or "" if f"{prefix}script.py.mako" in tree.files else ""
    revisions: dict[str, tuple[str, ...]] = {}
    for path, module in project.modules.items():
        if path.startswith(prefix) and path != f"{prefix}env.py":
            name, below = _constant(module, "revision"), _constant(module, "down_revision")
            if name:
                revisions[name[0]] = below
    followed = {one for below in revisions.values() for one in below}
    return Migrations(
        config=config,
        folder=folder or ".",
        is_async=re.search(r"create_async_engine|async_engine_from_config|\.run_sync\(", env) is not None,
        has_metadata=re.search(
            r"target_metadata[\"']?(?:\s*:[^=\n{]+)?\s*[:=]\s*(?!None\b|target_metadata\b|config\b)\w", env
        )
        is not None,
        imports_sqlmodel="sqlmodel" in mako or ("sqlmodel" in env and "render_item" in env),
        revisions=len(revisions),
        heads=tuple(sorted(set(revisions) - followed)),
        missing=tuple(sorted(followed - set(revisions))),
    )


def _constant(module: Module, name: str) -> tuple[str, ...]:
    """The text, or texts, that a name at the top of a revision holds."""
    for node in module.tree.body:
        target = (
            node.targets[0]
            if isinstance(node, ast.Assign)
            else node.target
            if isinstance(node, ast.AnnAssign)
            else None
        )
        if isinstance(target, ast.Name) and target.id == name:
            value = getattr(node, "value", None)
            return (
                tuple(
                    one.value for one in ast.walk(value) if isinstance(one, ast.Constant) and isinstance(one.value, str)
                )
                if value
                else ()
            )
    return ()
